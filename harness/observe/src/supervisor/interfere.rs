//! Faults that the plan asks for, and what faults and holds have in common: who, on what, which.

use crate::objects::Registry;
use crate::observation::{ObjectId, ObjectKind, ProcessId};
use crate::plan::{Effect, Fault, Launch, Nth, On, Who};

/// A small generator of reproducible choices (SplitMix64).
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// A number from 0 to `sides` - 1.
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

/// Whether a process is the one meant.
pub(super) fn is(who: Who, process: ProcessId) -> bool {
    match who {
        Who::Any => true,
        Who::Root => process.0 == 0,
        Who::Descendants => process.0 != 0,
        Who::Nth(n) => process.0 == n,
    }
}

/// Whether a call's object (and whether its descriptor may be written) is of the kind meant.
pub(super) fn on_matches(on: Option<&On>, registry: &Registry, object: Option<(ObjectId, bool)>) -> bool {
    let Some(on) = on else { return true };
    let Some((object, written)) = object else { return false };
    let kind = &registry.get(object).kind;
    match (on, kind) {
        (On::Pipe, ObjectKind::Pipe) | (On::Fifo, ObjectKind::Fifo(_)) => true,
        (On::File(path), ObjectKind::File(other)) => path == other,
        (On::AnyFile, ObjectKind::File(path)) => path.is_relative(),
        (On::WrittenFile, ObjectKind::File(path)) => path.is_relative() && written,
        (On::Stdout, ObjectKind::Standard(1) | ObjectKind::Terminal) => true,
        (On::Stdin, ObjectKind::Standard(0)) => true,
        _ => false,
    }
}

/// The faults of a launch, and how often each could have struck and did.
#[derive(Debug)]
pub(super) struct Faults {
    faults: Vec<Fault>,
    met: Vec<u32>,
    hit: Vec<u32>,
}

impl Faults {
    pub(super) fn new(launch: &Launch) -> Faults {
        let count = launch.faults.len();
        Faults { faults: launch.faults.clone(), met: vec![0; count], hit: vec![0; count] }
    }

    pub(super) fn hits(&self) -> Vec<u32> {
        self.hit.clone()
    }

    /// What is to be done to this call, which may be one that is not to be interrupted.
    pub(super) fn effect(
        &mut self,
        registry: &Registry,
        process: ProcessId,
        name: &str,
        object: Option<(ObjectId, bool)>,
        uninterrupted: bool,
    ) -> Option<Effect> {
        let mut effect = None;
        for (n, fault) in self.faults.iter().enumerate() {
            let matches = fault.calls.iter().any(|c| c == name)
                && is(fault.who, process)
                && on_matches(fault.on.as_ref(), registry, object)
                && !(uninterrupted && fault.effect == Effect::Fail(libc::EINTR));
            if !matches {
                continue;
            }
            self.met[n] += 1;
            let met = self.met[n];
            let strikes = match fault.nth {
                Nth::Only(k) => met == k,
                Nth::From(k) => met >= k,
                Nth::Alternate => met % 2 == 1,
            };
            if strikes && effect.is_none() {
                self.hit[n] += 1;
                effect = Some(fault.effect);
            }
        }
        effect
    }
}
