//! Claims about which page is to leave memory: tried on traces, because the
//! kernel does not tell what its page-out thread looks at.

use super::lab::{Answer, Lab, Tried};
use crate::statistics::Random;

/// Page frames of the memory, and pages that a program has.
const FRAMES: usize = 64;
const PAGES: usize = 256;

/// How a page is chosen that has to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    /// The one that came first.
    Fifo,
    /// The one that was referenced farthest in the past.
    Lru,
    /// One hand that goes round: it clears set reference bits, and takes the
    /// first page whose bit is clear.
    Clock,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    page: usize,
    referenced: bool,
    came: usize,
    last: usize,
}

/// The faults of a trace of pages in so many frames.
fn faults(trace: &[usize], frames: usize, policy: Policy) -> usize {
    let mut memory: Vec<Frame> = Vec::with_capacity(frames);
    let (mut faults, mut hand) = (0, 0);
    for (now, page) in trace.iter().copied().enumerate() {
        if let Some(frame) = memory.iter_mut().find(|frame| frame.page == page) {
            frame.referenced = true;
            frame.last = now;
            continue;
        }
        faults += 1;
        let new = Frame { page, referenced: true, came: now, last: now };
        if memory.len() < frames {
            memory.push(new);
            continue;
        }
        let oldest = |key: fn(&Frame) -> usize| (0..frames).min_by_key(|at| key(&memory[*at])).unwrap_or(0);
        let victim = match policy {
            Policy::Fifo => oldest(|frame| frame.came),
            Policy::Lru => oldest(|frame| frame.last),
            Policy::Clock => {
                while memory[hand].referenced {
                    memory[hand].referenced = false;
                    hand = (hand + 1) % frames;
                }
                let victim = hand;
                hand = (hand + 1) % frames;
                victim
            }
        };
        memory[victim] = new;
    }
    faults
}

/// References of a program that mostly works on few pages, and on others after
/// a while.
fn trace() -> Vec<usize> {
    let mut numbers = Random::new(2);
    (0..20_000)
        .map(|step| {
            let hot = step / 2000 * 16;
            if numbers.below(8) < 7 { (hot + numbers.below(FRAMES / 2)) % PAGES } else { numbers.below(PAGES) }
        })
        .collect()
}

pub fn one_hand(_: &Lab) -> Tried {
    let trace = trace();
    let [fifo, lru, clock] = [Policy::Fifo, Policy::Lru, Policy::Clock].map(|policy| faults(&trace, FRAMES, policy));
    let why = format!(
        "on a trace of {} references to {PAGES} pages in {FRAMES} frames the clock, which knows one bit of each, has \
         {clock} faults; knowing when each was last referenced gives {lru} (LRU), knowing only when it came {fifo} \
         (FIFO)",
        trace.len()
    );
    Ok(Answer::decided(clock < fifo && clock * 10 <= lru * 11, why)
        .with("faults_clock", clock)
        .with("faults_lru", lru)
        .with("faults_fifo", fifo))
}

/// What the page-out thread sees on its way round.
struct Rounds {
    /// Frames passed before the first page was freed.
    before_first: usize,
    /// Pages freed that were in use.
    in_use_freed: usize,
}

/// Frames of a large memory, and every how many of them is in use.
const MANY: usize = 4096;
const USED: usize = 8;

/// Two rounds over a memory whose reference bits are all set. The front hand
/// clears the bits; the back hand, `distance` frames behind, frees a page whose
/// bit is still clear. One hand is two at the distance of a whole round.
fn rounds(distance: usize) -> Rounds {
    let mut numbers = Random::new(4);
    let mut referenced = vec![true; MANY];
    let mut freed = vec![false; MANY];
    let mut seen = Rounds { before_first: 0, in_use_freed: 0 };
    for step in 0..2 * MANY {
        // The program goes on meanwhile.
        for _ in 0..4 {
            referenced[numbers.below(MANY / USED) * USED] = true;
        }
        if let Some(back) = step.checked_sub(distance).map(|at| at % MANY)
            && !referenced[back]
            && !freed[back]
        {
            if !freed.contains(&true) {
                seen.before_first = step;
            }
            freed[back] = true;
            seen.in_use_freed += usize::from(back.is_multiple_of(USED));
        }
        referenced[step % MANY] = false;
    }
    seen
}

pub fn two_hands(_: &Lab) -> Tried {
    let distance = MANY / 16;
    let (one, two) = (rounds(MANY), rounds(distance));
    let why = format!(
        "in {MANY} frames with every reference bit set, one hand passes {} frames before it frees the first page, two \
         hands {distance} apart pass {}; the price is {} pages freed that were in use, where one hand freed {}",
        one.before_first, two.before_first, two.in_use_freed, one.in_use_freed
    );
    Ok(Answer::decided(two.before_first < one.before_first, why)
        .with("frames_passed_one_hand", one.before_first)
        .with("frames_passed_two_hands", two.before_first)
        .with("in_use_freed_one_hand", one.in_use_freed)
        .with("in_use_freed_two_hands", two.in_use_freed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_policy_takes_the_page_that_it_says() {
        // 1 is referenced again before 4 comes: FIFO takes it all the same.
        let trace = [1, 2, 3, 1, 4, 1];
        assert_eq!(faults(&trace, 3, Policy::Fifo), 5);
        assert_eq!(faults(&trace, 3, Policy::Lru), 4);
        // All bits are set, so the clock takes 1 as FIFO does; once they are
        // cleared, the 2 that is referenced again outlives the 3.
        assert_eq!(faults(&trace, 3, Policy::Clock), 5);
        assert_eq!(faults(&[1, 2, 3, 4, 2, 5, 2], 3, Policy::Clock), 5);
        assert_eq!(faults(&[1, 2, 3, 4, 2, 5, 2], 3, Policy::Fifo), 6);
    }

    #[test]
    fn a_page_in_use_outlives_a_whole_round() {
        assert_eq!(rounds(MANY).before_first, MANY + 1);
        assert_eq!(rounds(MANY).in_use_freed, 0);
        assert!(rounds(16).in_use_freed > rounds(MANY / 4).in_use_freed);
    }
}
