//! Traces of allocations as programs make them: the classic mixes. Each ends with nothing allocated, so that it can be
//! replayed again.

use std::fmt;

use crate::Nonce;

/// One line of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// `a ID SIZE`
    Allocate { id: u64, bytes: u64 },
    /// `r ID SIZE`
    Resize { id: u64, bytes: u64 },
    /// `f ID`
    Free { id: u64 },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Allocate { id, bytes } => write!(f, "a {id} {bytes}"),
            Step::Resize { id, bytes } => write!(f, "r {id} {bytes}"),
            Step::Free { id } => write!(f, "f {id}"),
        }
    }
}

/// The lines of a trace as a file.
pub fn text(steps: &[Step]) -> String {
    steps.iter().map(|step| format!("{step}\n")).collect()
}

/// The steps of a trace that is right.
pub fn steps(text: &str) -> Vec<Step> {
    let step = |line: &str| {
        let mut words = line.split(' ');
        let (letter, id) = (words.next()?, words.next()?.parse().ok()?);
        let bytes = words.next().and_then(|word| word.parse().ok());
        match letter {
            "a" => Some(Step::Allocate { id, bytes: bytes? }),
            "r" => Some(Step::Resize { id, bytes: bytes? }),
            _ => Some(Step::Free { id }),
        }
    };
    text.lines().filter_map(step).collect()
}

/// A mix by its name; `scale` is roughly the number of blocks.
pub type Mix = fn(&mut Trace, u64);

/// The classic mixes.
pub const MIXES: &[(&str, Mix)] = &[
    ("short-lived", short_lived),
    ("growing", growing),
    ("binary", binary),
    ("coalescing", coalescing),
    ("random", random),
    ("realloc", realloc),
];

/// One mix of its own, all of it freed at the end.
pub fn alone(nonce: &mut Nonce, mix: Mix, scale: u64) -> Vec<Step> {
    let mut trace = Trace::new(nonce);
    mix(&mut trace, scale);
    trace.free_all();
    trace.steps
}

/// One after another, in one trace.
pub fn all(nonce: &mut Nonce, scale: u64) -> Vec<Step> {
    let mut trace = Trace::new(nonce);
    for (_, mix) in MIXES {
        mix(&mut trace, scale);
        trace.free_all();
    }
    trace.steps
}

/// A trace in the making.
pub struct Trace<'a> {
    nonce: &'a mut Nonce,
    steps: Vec<Step>,
    live: Vec<u64>,
    next: u64,
}

impl Trace<'_> {
    fn new(nonce: &mut Nonce) -> Trace<'_> {
        let next = nonce.number(1, 1000);
        Trace { nonce, steps: Vec::new(), live: Vec::new(), next }
    }

    fn allocate(&mut self, bytes: u64) -> u64 {
        let id = self.next;
        self.next += 1;
        self.live.push(id);
        self.steps.push(Step::Allocate { id, bytes });
        id
    }

    /// Frees the n-th of those that are allocated.
    fn free(&mut self, n: usize) {
        let id = self.live.remove(n);
        self.steps.push(Step::Free { id });
    }

    fn free_one(&mut self) {
        let n = self.nonce.number(0, self.live.len() as u64 - 1);
        self.free(n as usize);
    }

    fn free_all(&mut self) {
        while !self.live.is_empty() {
            self.free_one();
        }
    }
}

/// Most blocks stay, a few come and go at once.
fn short_lived(trace: &mut Trace, scale: u64) {
    for _ in 0..scale {
        let bytes = trace.nonce.number(100, 600);
        trace.allocate(bytes);
    }
    let lasting = trace.live.len();
    for _ in 0..2 * scale {
        let bytes = trace.nonce.number(40, 400);
        trace.allocate(bytes);
        if trace.live.len() > lasting + 4 {
            trace.free(lasting);
        }
    }
}

/// Ever larger blocks; now and then one of the first goes, and a small one takes its place.
fn growing(trace: &mut Trace, scale: u64) {
    for n in 0..scale {
        trace.allocate(150 + 4 * n);
        if n % 8 == 7 {
            trace.free(0);
            trace.allocate(140);
        }
    }
}

/// Small and large by turns; the large ones go, and in the place of each come two of half its size.
fn binary(trace: &mut Trace, scale: u64) {
    for _ in 0..scale {
        trace.allocate(112);
        trace.allocate(496);
    }
    for n in 0..scale {
        trace.free(n as usize + 1);
    }
    for _ in 0..2 * scale {
        trace.allocate(240);
    }
}

/// Blocks side by side go in any order, and what they leave is given out in larger pieces.
fn coalescing(trace: &mut Trace, scale: u64) {
    for _ in 0..4 * scale {
        trace.allocate(240);
    }
    trace.free_all();
    for _ in 0..scale {
        trace.allocate(1008);
    }
}

/// Any size, any order, more coming than going.
fn random(trace: &mut Trace, scale: u64) {
    for _ in 0..3 * scale {
        let bytes = trace.nonce.number(1, 1500);
        trace.allocate(bytes);
        if trace.nonce.number(0, 4) < 2 {
            trace.free_one();
        }
    }
}

/// Blocks that grow a little at a time, and shrink now and then.
fn realloc(trace: &mut Trace, scale: u64) {
    let mut sizes = Vec::new();
    for n in 0..scale {
        let bytes = trace.nonce.number(200, 400);
        let id = trace.allocate(bytes);
        sizes.push((id, bytes));
        if n % 2 == 1 {
            let grown = trace.nonce.number(0, sizes.len() as u64 - 1) as usize;
            let (id, bytes) = &mut sizes[grown];
            *bytes = if trace.nonce.number(0, 3) == 0 { *bytes - 30 } else { *bytes + trace.nonce.number(20, 60) };
            trace.steps.push(Step::Resize { id: *id, bytes: *bytes });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_ends_with_nothing_allocated_and_can_be_read_again() {
        for (name, mix) in MIXES {
            let trace = alone(&mut Nonce::new(1), *mix, 50);
            assert_eq!(steps(&text(&trace)), trace, "{name}");
            let allocated = trace.iter().filter(|step| matches!(step, Step::Allocate { .. })).count();
            let freed = trace.iter().filter(|step| matches!(step, Step::Free { .. })).count();
            assert!(allocated >= 50 && allocated == freed, "{name}");
        }
    }
}
