//! `sigpipe_epipe`: a server loses some of its readers, and goes on serving the others.

use observe::{Action, Call, Deed, Ending, Event, Exit, ObjectId, On, ProcessId, Stdin, Trigger};

use crate::spec::Spec;
use crate::spec::common::calls::{self, FORK_CALLS, INPUTS, PIPE_CALLS, READS, ROOT, pipes, reads_of, writes_of};
use crate::spec::common::channels::ends_closed;
use crate::spec::common::endings::{command_line, output as as_expected};
use crate::spec::common::plans::{
    bad_usage, cuts, failing, interrupted, orders, unwritable_channel, unwritable_output,
};
use crate::spec::common::text::{complaints, quoted};
use crate::spec::common::{FORKS, PIPES, order, reaped, reports, under_faults, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run};

/// `sigpipe_epipe N K`
pub(crate) fn sigpipe_epipe() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but N and K, K at most N, is refused", usage),
            Check::outside("reports", "a failing pipe, fork, read or write is reported", reports),
            Check::outside("survives", "the server is not killed by a reader that leaves", survives),
            Check::seen("really-gone", "a reader that has left leaves no copy of its read end behind", really_gone),
            Check::seen("served", "who stays gets every line; who leaves has had one", served),
            Check::outside("output", "each reader lost is counted once", output),
            Check::seen("told-by-pipe", "the server learns from the pipe that a reader has gone", told_by_pipe),
            Check::seen("ends-closed", "nobody waits for an end of file that an open end keeps away", ends_closed),
            Check::seen("order", "it is right whoever runs first", order),
            Check::seen("reaped", "every child is waited for", reaped),
            Check::seen("short-io", "it is right when reads and writes are cut short", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", under_faults),
        ],
        demo: |nonce| lost(nonce, "two of three readers leave", 3, 2),
    }
}

/// Each line comes when everybody waits for it, so that who was to leave has left.
fn lost(nonce: &mut Nonce, name: &str, readers: u64, leaving: u64) -> Plan {
    let lines: Vec<Vec<u8>> = (0..3)
        .map(|_| {
            let len = nonce.number(8, 20) as usize;
            format!("{}\n", nonce.sentence(len)).into_bytes()
        })
        .collect();
    sent(name, readers, leaving, &lines)
}

fn sent(name: &str, readers: u64, leaving: u64, lines: &[Vec<u8>]) -> Plan {
    let mut plan = Plan::new(name)
        .arg(readers.to_string())
        .arg(leaving.to_string())
        .prints(format!("lost {leaving}\n"))
        .judged_by(&["survives", "really-gone", "served", "output", "told-by-pipe", "ends-closed", "reaped"]);
    plan.launch.stdin = Stdin::Open(lines[0].clone());
    for line in &lines[1..] {
        plan = plan.action(Action { when: Trigger::AllBlocked, what: Deed::Feed(line.clone()) });
    }
    plan.action(Action { when: Trigger::AllBlocked, what: Deed::CloseStdin })
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let (readers, leaving) = (nonce.number(4, 5), nonce.number(2, 3));
    let plain = lost(nonce, "some readers leave", readers, leaving);
    let fails = |name: &str, names, calls: &[&str], on, errno| {
        plain.again(name, &[]).reports(names, None, errno).fault(failing(calls, on, errno))
    };
    let with_empty = [b"some\n".to_vec(), b"\n".to_vec(), b"words\n".to_vec()];
    let mut plans = vec![
        plain.clone(),
        lost(nonce, "nobody leaves", 2, 0),
        lost(nonce, "one reader, and it leaves", 1, 1),
        lost(nonce, "everybody leaves", 2, 2),
        sent("an empty line", 3, 1, &with_empty),
    ];
    plans.extend(orders(&plain, &["order", "ends-closed", "reaped"]));
    plans.extend([
        fails("pipe fails", PIPES, PIPE_CALLS, None, libc::EMFILE),
        fails("fork fails", FORKS, FORK_CALLS, None, libc::EAGAIN),
        fails("read fails", INPUTS, READS, Some(On::Stdin), libc::EIO),
        unwritable_output(&plain),
        unwritable_channel(&plain, On::Pipe),
        bad_usage("no arguments", &[]),
        bad_usage("no K", &["3"]),
        bad_usage("no number", &["three", "1"]),
    ]);
    plans.extend(cuts(&plain, &[On::Pipe, On::Stdin, On::Stdout]));
    plans.push(interrupted(&plain, &[On::Pipe, On::Stdin, On::Stdout]));
    plans
}

fn counted(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

fn number(run: &Run, n: usize) -> usize {
    run.plan.argument(n).parse().unwrap_or_default()
}

/// The lines of standard input.
fn lines(plan: &Plan) -> Vec<Vec<u8>> {
    let Stdin::Open(first) = &plan.launch.stdin else { return Vec::new() };
    let later = plan.launch.actions.iter().filter_map(|action| match &action.what {
        Deed::Feed(bytes) => Some(bytes.clone()),
        _ => None,
    });
    std::iter::once(first.clone()).chain(later).collect()
}

/// The pipe of one reader: who reads it, and how many bytes came to him.
struct Feed {
    pipe: ObjectId,
    reader: Option<ProcessId>,
    came: u64,
}

/// The pipes that the server has written to.
fn feeds(run: &Run) -> Vec<Feed> {
    let written = |pipe: &ObjectId| writes_of(run.seen, *pipe).any(|t| t.event.process == ROOT && t.bytes > 0);
    let all = pipes(run.seen).into_iter().filter(written);
    all.map(|pipe| {
        let reads: Vec<_> = reads_of(run.seen, pipe).filter(|t| t.event.process != ROOT).collect();
        let reader = reads.first().map(|t| t.event.process);
        Feed { pipe, reader, came: reads.iter().map(|t| t.bytes).sum() }
    })
    .collect()
}

/// `survives`: no SIGPIPE has killed the server.
fn survives(run: &Run) -> Finding {
    if run.seen.exit() != Some(Exit::Signal(libc::SIGPIPE)) {
        return if run.seen.exit().is_some() { Ok(()) } else { Err(Objection::open("the program came to no end")) };
    }
    let words = "The server was killed by SIGPIPE when it wrote to a reader that had left: nobody serves the others any more. Ignore the signal (Rust's runtime has, until you change it) and look at EPIPE.";
    Failure::new(Reason::Signalled, words).at(refusals(run).first().and_then(|(_, e)| e.source.as_ref())).found()
}

/// The server's writes to pipes that found no reader.
fn refusals<'a>(run: &Run<'a>) -> Vec<(ObjectId, &'a Event)> {
    let refused = run.seen.calls().filter_map(|(_, event, call, result)| match (call, result) {
        (Call::Write { object: Some(o), .. }, Some(Err(libc::EPIPE))) if event.process == ROOT => Some((*o, event)),
        _ => None,
    });
    refused.filter(|(pipe, _)| pipes(run.seen).contains(pipe)).collect()
}

/// `really-gone`: no write succeeds after the pipe's reader has ended.
fn really_gone(run: &Run) -> Finding {
    let feeds = feeds(run);
    for Feed { pipe, reader, .. } in &feeds {
        let Some(ended) = reader.and_then(|reader| run.seen.process(reader).ended) else { continue };
        let late = writes_of(run.seen, *pipe).find(|t| t.event.at > ended && t.bytes > 0);
        let Some(late) = late else { continue };
        let label = &run.seen.object(*pipe).label;
        let who = reader.map_or("its reader".into(), |reader| run.seen.name_of(reader));
        let holder = run.seen.holders_before(late.index, *pipe, false).into_iter().next();
        let held = holder.map_or("somebody still had the read end open".into(), |(process, fd)| {
            format!("{} still had the read end open (fd {fd})", run.seen.name_of(process))
        });
        let words = format!(
            "A write to {label} succeeded although {who}, who read it, was gone: {held}. EPIPE comes only when the last copy is closed: close it right after fork wherever it is not used."
        );
        return Failure::new(Reason::WrongCalls, words).at(late.event.source.as_ref()).found();
    }
    if feeds.is_empty() { Err(Objection::open("the server sent nothing to any pipe")) } else { Ok(()) }
}

/// `served`: as many readers as are to stay have every line, and the others the first at least.
fn served(run: &Run) -> Finding {
    let (readers, leaving) = (number(run, 0), number(run, 1));
    let (lines, feeds) = (lines(run.plan), feeds(run));
    let all: u64 = lines.iter().map(|line| line.len() as u64).sum();
    let wrong = |words: String| Failure::new(Reason::WrongCalls, words).evidence(command_line(run));
    if feeds.is_empty() && run.seen.processes.len() == 1 {
        return wrong("The program made no readers: there was nobody to serve.".into()).found();
    }
    if !matches!(run.seen.ending, Ending::Ended(Exit::Code(_))) {
        return Err(Objection::open("the program came to no end by itself"));
    }
    if feeds.len() != readers {
        return wrong(format!(
            "The server wrote to {} pipes: each of {readers} readers has one of its own.",
            feeds.len()
        ))
        .found();
    }
    let got: Vec<String> = feeds
        .iter()
        .map(|f| {
            let who = f.reader.map_or("nobody".into(), |reader| run.seen.name_of(reader));
            format!("{who} read {} of {all} bytes from {}", f.came, run.seen.object(f.pipe).label)
        })
        .collect();
    let unheard = feeds.iter().filter(|f| f.came < lines[0].len() as u64).count();
    if unheard > 0 {
        return wrong(format!("{unheard} of the readers did not get even the first line, {}.", quoted(&lines[0])))
            .evidences(got)
            .found();
    }
    let stayed = feeds.iter().filter(|f| f.came == all).count();
    let words = match stayed {
        n if n == readers - leaving => return Ok(()),
        n if n > readers - leaving => {
            format!(
                "{n} readers have read to the end: the first {leaving} of {readers} are to leave after their first line."
            )
        }
        n => format!(
            "{} were to stay and get every line, but {n} did: when one has left the server must go on serving the others.",
            counted(readers - leaving, "reader")
        ),
    };
    let place = refusals(run).first().and_then(|(_, e)| e.source.clone());
    wrong(words).at(place.as_ref()).evidences(got).found()
}

/// `output`: `lost K`.
fn output(run: &Run) -> Finding {
    let (readers, leaving) = (number(run, 0), number(run, 1));
    let text = String::from_utf8_lossy(&run.seen.stdout.bytes);
    let said = text.trim_end().strip_prefix("lost ").and_then(|n| n.parse::<usize>().ok());
    let (Some(lost), Some(Exit::Code(0))) = (said.filter(|n| *n != leaving), run.seen.exit()) else {
        return as_expected(run);
    };
    let all = refusals(run);
    let hint = match lost {
        n if n > leaving && all.len() > leaving => {
            " A reader is lost once, at the first write that fails: send it nothing more."
        }
        n if n > leaving => " Count the writes that fail with EPIPE, and nothing else.",
        _ => "",
    };
    let words = format!("The program says it has lost {lost}, but {leaving} of its {readers} readers went away.{hint}");
    let place = all.last().and_then(|(_, e)| e.source.as_ref());
    Failure::new(Reason::WrongOutput, words).at(place).evidences(complaints(run.seen)).found()
}

/// `told-by-pipe`: a refused write, or a look at the pipe by poll, and not the argument or the child's end.
fn told_by_pipe(run: &Run) -> Finding {
    if !matches!(run.seen.ending, Ending::Ended(Exit::Code(_))) {
        return Err(Objection::open("the program came to no end by itself"));
    }
    let leaving = number(run, 1);
    let mut told: Vec<ObjectId> = refusals(run).into_iter().map(|(pipe, _)| pipe).collect();
    told.sort();
    told.dedup();
    let polled = run.seen.calls().any(|(_, event, call, _)| event.process == ROOT && matches!(call, Call::Poll { .. }));
    if told.len() >= leaving || polled {
        return Ok(());
    }
    if feeds(run).is_empty() || really_gone(run).is_err() {
        return Err(Objection::open("no reader had really gone"));
    }
    let words = format!(
        "{} went away, but {} of the pipes refused a write (EPIPE): what the program says it has not learned from its pipes. Write to every reader, and count those who are not there.",
        counted(leaving, "reader"),
        told.len()
    );
    let place = calls::printed(run).first().and_then(|t| t.event.source.clone());
    Failure::new(Reason::WrongCalls, words).at(place.as_ref()).found()
}
