//! `04_fork`, `shared_ring`: a stream of bytes through shared memory, with futexes to wait at.

use observe::{Call, Hold, InputFile, ObjectKind, On, ProcessId, Schedule, What, Who};

use super::Spec;
use super::common::calls::{self, ROOT, birth_of, files, reads_of, writes_of};
use super::common::plans::{bad_usage, cuts, failing, interrupted, orders, unwritable_output};
use super::common::refusals::described;
use super::common::{FORKS, MAPS, OPENS, order, output, reaped, reports, under_faults, usage};
use super::fork::{not_shared, waits_blocking};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run};

/// Bytes in the ring.
const RING: u64 = 1 << 16;
/// The most that may be shared: the ring, perhaps mapped twice side by side, and what belongs to it.
const SHARED: u64 = 4 * RING;
/// A batch has this many bytes at least, where its calls do not show it.
const BATCH: u64 = 64;

/// `shared_ring [--from N] FILE`
pub(crate) fn shared_ring() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but one FILE, and N if you like, is refused", usage),
            Check::outside("reports", "a call that fails is reported", reports),
            Check::outside("output", "FILE is on standard output, byte by byte", output),
            Check::outside("counters-wrap", "nothing goes wrong when the counters run over", wraps),
            Check::seen(
                "through-ring",
                "the child reads FILE, the parent writes, a ring of 64 KiB between",
                through_ring,
            ),
            Check::seen("blocks-by-futex", "who finds the ring full, or empty, sleeps in a futex", blocks_by_futex),
            Check::seen("one-wake-a-batch", "one wake at most for all that was done at a time", one_wake_a_batch),
            Check::seen("no-lost-wake-up", "nobody sleeps through what happens just before", no_lost_wake_up),
            Check::seen("order", "it is right whoever runs first, and with sleeps that do not sleep", order),
            Check::seen(
                "waits-blocking",
                "whoever waits blocks: no spinning, no looking again and again",
                waits_blocking,
            ),
            Check::seen("short-io", "it is right when reads and writes are cut short", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", under_faults),
            Check::seen("reaped", "the child is waited for", reaped),
        ],
        demo: |nonce| ring_plan("a file", nonce, 100_000, None),
    }
}

fn ring_plan(name: &str, nonce: &mut Nonce, len: usize, from: Option<u32>) -> Plan {
    let file = format!("{}.bin", nonce.word(6));
    let bytes = nonce.bytes(len);
    let plan = match from {
        Some(from) => Plan::new(name).arg("--from").arg(from.to_string()),
        None => Plan::new(name),
    };
    let plan = plan.arg(file.clone()).file(InputFile::new(file, bytes.clone())).prints(bytes).judged_by(&["output"]);
    if from.is_some() { plan.judged_by(&["counters-wrap"]) } else { plan }
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let (length, rest) = (nonce.number(200_000, 240_000) as usize, nonce.number(4_000, 8_000) as usize);
    let small = ring_plan("a small file", nonce, rest, None);
    let small = small.again("a small file", &["output", "one-wake-a-batch", "reaped"]);
    let plain = ring_plan("a file larger than the ring", nonce, length, None);
    let plain = plain.again("a file larger than the ring", &["output", "through-ring", "one-wake-a-batch", "reaped"]);
    let over = u32::MAX - nonce.number(1, 60_000) as u32;
    let signed = i32::MAX as u32 - nonce.number(1, 60_000) as u32;
    let mut plans = vec![
        small.clone(),
        plain.clone(),
        ring_plan("an empty file", nonce, 0, None),
        ring_plan("as much as the ring holds", nonce, RING as usize, None),
        ring_plan("counters that begin just below 2^32", nonce, length, Some(over)),
        ring_plan("counters that begin just below 2^31", nonce, length, Some(signed)),
    ];
    let filled_first = ring_plan("counters that run over while the parent is held", nonce, length, Some(over));
    let words = "When the parent is held until the child can do no more";
    plans.push(filled_first.scheduled(Schedule::ChildFirst, words));
    plans.extend(orders(&plain, &["order", "waits-blocking", "blocks-by-futex", "reaped"]));
    plans.extend([
        held(&plain, "the parent is slow to sleep", Who::Root),
        held(&plain, "the child is slow to sleep", Who::Descendants),
    ]);
    let file = small.argument(0);
    let data = || On::File(file.clone().into());
    let fails = |name: &str, names, calls: &[&str], on, object: Option<&str>, errno| {
        small.again(name, &[]).reports(names, object, errno).fault(failing(calls, on, errno))
    };
    plans.extend([
        Plan::new("no such file").arg("missing.bin").reports(OPENS, Some("missing.bin"), libc::ENOENT),
        fails("read fails", &["read"], calls::READS, Some(data()), Some(&file), libc::EIO),
        fails("mmap fails", MAPS, &["mmap"], None, None, libc::ENOMEM),
        fails("fork fails", FORKS, calls::FORK_CALLS, None, None, libc::EAGAIN),
        unwritable_output(&plain),
        bad_usage("no file", &[]),
        bad_usage("two files", &["one", "two"]),
        bad_usage("no number", &["--from", "here", "one"]),
        bad_usage("no file behind the number", &["--from", "7"]),
    ]);
    let tiny = ring_plan("a few bytes", nonce, 500, None);
    let file = tiny.argument(0);
    let on = [On::File(file.into()), On::Stdout];
    plans.extend(cuts(&tiny, &on));
    plans.push(interrupted(&tiny, &on));
    plans
}

/// Each futex call of one side is held until the other can do no more: what it did on the way must not be missed.
fn held(plan: &Plan, name: &str, who: Who) -> Plan {
    let holds = ["futex", "futex_wait", "futex_waitv"].map(|call| Hold::new(who, call, 0));
    let schedule = Schedule::Holds(holds.into());
    let words = format!("When {name} (it is held before each futex call until the other can do no more)");
    plan.again(name, &["no-lost-wake-up"]).scheduled(schedule, &words)
}

fn wraps(run: &Run) -> Finding {
    output(run).map_err(|objection| {
        objection.amended(|failure| {
            failure.message.push_str(" The counters have run over here: take their difference with wrapping_sub (in C: as unsigned), never compare which is larger, and add with wrapping_add. And what does not fit before the ring's end goes on at its beginning.");
        })
    })
}

fn no_lost_wake_up(run: &Run) -> Finding {
    output(run).map_err(|objection| {
        objection.amended(|failure| {
            if failure.reason == Reason::Hung {
                failure.message.push_str(" The other has done its work, and its wake, between the look at the ring and the sleep. FUTEX_WAIT sleeps only if the word still has the value given: so take that value before you look at the ring, and let the other change the word before it wakes.");
            }
        })
    })
}

fn file_of(run: &Run) -> String {
    run.plan.argument(run.plan.launch.args.len() - 1)
}

fn length(run: &Run) -> u64 {
    run.plan.expect.stdout.as_ref().map_or(0, Vec::len) as u64
}

fn through_ring(run: &Run) -> Finding {
    let seen = run.seen;
    let wrong = |words: String| Failure::new(Reason::WrongCalls, words);
    let Some((fork, _)) = birth_of(seen, ProcessId(1)) else {
        return wrong("The program made no child: it is a child that is to read FILE.".into()).found();
    };
    let shared = seen.successes().filter_map(|(index, event, call, _)| match call {
        Call::Mmap { len, flags, prot, .. }
            if flags & libc::MAP_TYPE != libc::MAP_PRIVATE && prot & libc::PROT_WRITE != 0 && index < fork =>
        {
            Some((event, *len))
        }
        _ => None,
    });
    let Some((event, len)) = shared.max_by_key(|(_, len)| *len) else { return Err(not_shared(run, fork).into()) };
    if !(RING..=SHARED).contains(&len) {
        let words = format!(
            "The shared memory has {len} bytes: a ring of 64 KiB, and a little for what belongs to it, is all that is wanted, however large FILE is."
        );
        return wrong(words).at(event.source.as_ref()).found();
    }
    let objects = files(seen, &file_of(run));
    let own = objects.iter().flat_map(|o| reads_of(seen, *o)).find(|t| t.event.process == ROOT && t.bytes > 0);
    if let Some(read) = own {
        let words = "The parent reads FILE itself: it is the child that is to read it, and the ring that the parent gets it from.";
        return wrong(words.into()).at(read.event.source.as_ref()).found();
    }
    if let Some(print) = calls::printed(run).into_iter().find(|t| t.event.process != ROOT) {
        let words = "The child writes to standard output itself: it is to fill the ring, and the parent to write.";
        return wrong(words.into()).at(print.event.source.as_ref()).found();
    }
    let stream = |kind: &ObjectKind| matches!(kind, ObjectKind::Pipe | ObjectKind::Socket | ObjectKind::Fifo(_));
    let around = calls::objects(seen, stream).into_iter().find_map(|o| {
        let sent: u64 = writes_of(seen, o).map(|t| t.bytes).sum();
        writes_of(seen, o).next().filter(|_| sent >= length(run) / 2)
    });
    match around {
        Some(sent) => {
            let words = "The bytes of FILE go through a pipe or socket: they are to go through the shared memory.";
            wrong(words.into()).at(sent.event.source.as_ref()).found()
        }
        None => Ok(()),
    }
}

/// What a futex call does, whether by the old call or by those that came later.
#[derive(PartialEq)]
enum FutexKind {
    Wait,
    Wake,
}

fn futex_calls<'a>(run: &Run<'a>) -> impl Iterator<Item = (&'a observe::Event, FutexKind, i32)> {
    run.seen.calls().filter_map(|(_, event, call, _)| {
        let What::Called { sysno, .. } = &event.what else { return None };
        match (call, sysno.name()) {
            (Call::Futex { op, .. }, _) => {
                let kind = match op & libc::FUTEX_CMD_MASK {
                    libc::FUTEX_WAKE | libc::FUTEX_WAKE_BITSET | libc::FUTEX_REQUEUE | libc::FUTEX_CMP_REQUEUE => {
                        FutexKind::Wake
                    }
                    libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET | libc::FUTEX_LOCK_PI => FutexKind::Wait,
                    _ => return None,
                };
                Some((event, kind, *op))
            }
            (_, "futex_wait" | "futex_waitv") => Some((event, FutexKind::Wait, 0)),
            (_, "futex_wake") => Some((event, FutexKind::Wake, 0)),
            _ => None,
        }
    })
}

/// A futex call whose arguments make no sense to the kernel.
fn misused_futex<'a>(run: &Run<'a>) -> Option<(&'a observe::Event, i32)> {
    run.seen.calls().find_map(|(_, event, call, result)| match (call, result) {
        (Call::Futex { .. }, Some(Err(errno @ (libc::EFAULT | libc::EINVAL | libc::ENOSYS)))) => Some((event, errno)),
        _ => None,
    })
}

/// `blocks-by-futex`, seen where one side is held while the other fills the ring, or finds it empty.
fn blocks_by_futex(run: &Run) -> Finding {
    let who = match run.plan.launch.schedule {
        Schedule::ChildFirst => ProcessId(1),
        Schedule::ParentFirst => ROOT,
        _ => return Err(Objection::open("nobody was held")),
    };
    if birth_of(run.seen, ProcessId(1)).is_none() {
        return Err(Objection::open("the program made no child"));
    }
    if let Some((event, errno)) = misused_futex(run) {
        let words = format!(
            "A futex call fails ({}), and so nobody sleeps in it or is woken by it: its arguments are the word's address, what is to be done, a number, and for a wait the time limit or null.",
            described(errno)
        );
        return Failure::new(Reason::WrongCalls, words).at(event.source.as_ref()).found();
    }
    let mut waits = futex_calls(run).filter(|(event, kind, _)| event.process == who && *kind == FutexKind::Wait);
    let name = super::common::family::capital(&run.seen.name_of(who));
    match waits.next() {
        Some((event, _, op)) if op & libc::FUTEX_PRIVATE_FLAG != 0 => {
            let words = format!(
                "{name} waits at a private futex (FUTEX_PRIVATE_FLAG): no other process can wake it. Leave the flag out; the locks of the C library do so with PTHREAD_PROCESS_SHARED."
            );
            Failure::new(Reason::WrongCalls, words).at(event.source.as_ref()).found()
        }
        Some(_) => Ok(()),
        None => {
            let words = format!("{name} never sleeps in a futex, though the other side was held for a while.");
            Failure::new(Reason::WrongCalls, words).found()
        }
    }
}

fn one_wake_a_batch(run: &Run) -> Finding {
    if birth_of(run.seen, ProcessId(1)).is_none() {
        return Err(Objection::open("the program made no child"));
    }
    let read = files(run.seen, &file_of(run)).iter().flat_map(|o| reads_of(run.seen, *o)).count() as u64;
    let written = calls::printed(run).len() as u64;
    for (who, transfers, does) in [(ProcessId(1), read, "reads"), (ROOT, written, "writes")] {
        let wakes: Vec<_> =
            futex_calls(run).filter(|(event, kind, _)| event.process == who && *kind == FutexKind::Wake).collect();
        // One more for the end of it all, and one for the beginning.
        if wakes.len() as u64 > transfers.max(length(run) / BATCH) + 2 {
            let words = format!(
                "{} wakes the other {} times, and {does} {transfers} times: a wake is a system call, and one is enough for all that was put in or taken out at a time.",
                super::common::family::capital(&run.seen.name_of(who)),
                wakes.len()
            );
            return Failure::new(Reason::WrongCalls, words).at(wakes[0].0.source.as_ref()).found();
        }
    }
    Ok(())
}
