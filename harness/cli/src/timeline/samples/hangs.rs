//! Programs that come to no end.

use std::time::Duration;

use nix::libc;
use observe::{Call, Culprit, Ending, Hang, ObjectId, ObjectKind, Observation, ProcessId, SourceLine, Waiter};

use super::Scenario;

fn stop(s: &mut Scenario, at: u64) {
    s.obs.wall = Duration::from_micros(at);
    s.obs.ending = Ending::Deadlocked;
    for process in s.obs.processes.iter_mut().filter(|p| p.exit.is_none()) {
        (process.killed, process.ended) = (true, Some(Duration::from_micros(at)));
    }
}

fn line(file: &str, line: u32) -> Option<SourceLine> {
    Some(SourceLine { file: file.into(), line })
}

fn waiter(process: u32, waits: &str, because: &[&str], object: Option<ObjectId>, since_ms: u64) -> Waiter {
    Waiter {
        process: ProcessId(process),
        pid: 10 + process as i32,
        waits: waits.into(),
        because: because.iter().map(|b| (*b).to_owned()).collect(),
        object,
        call: Some("read".into()),
        source: line("eof.rs", 31),
        spinning: false,
        since_ms,
        culprits: Vec::new(),
    }
}

pub(super) fn own_write_end() -> Observation {
    let mut s = Scenario::new("exercises/05_pipes/eof.rs");
    let pipe = s.pipe(905, 0, 12, "pipe A", (3, 4));
    let child = s.fork(960, 0, 15);
    s.close(1070, 0, 17, (3, pipe));
    s.read((1160, 1420), child, 31, (3, pipe), b"Hi Child!");
    s.write((1380, 1395), 0, 18, (4, pipe), b"Hi Child!");
    s.close(1440, 0, 19, (4, pipe));
    s.print(1_490, child, 33, b"Hi Child!");
    let read = Call::Read { fd: 3, object: Some(pipe), address: 0, asked: 64, offset: None, data: Vec::new() };
    s.call((1_530, 1_530), child, 31, read, None);
    s.call((1_470, 1_470), 0, 20, Call::Wait { pid: 11, options: 0, reaped: None }, None);
    stop(&mut s, 120_000);
    let mut first = waiter(
        1,
        "waits in read() on pipe A (fd 3) for bytes or end-of-file",
        &["pipe A's write end is still open in the child itself (fd 4): it waits for itself"],
        Some(pipe),
        118,
    );
    first.culprits = vec![Culprit { process: ProcessId(1), fd: 4, made_at: line("eof.rs", 12) }];
    let second = waiter(0, "waits for its child to end", &["the child waits itself"], None, 118);
    s.obs.hang = Some(Hang {
        proven: true,
        kind: "end-of-file-never-comes".into(),
        summary: "the child waits for end-of-file on pipe A, whose write end it holds itself (fd 4)".into(),
        waiters: vec![first, second],
    });
    s.done()
}

pub(super) fn fifo_without_peer() -> Observation {
    let mut s = Scenario::new("exercises/07_fifos/hello.rs");
    let fifo = s.object(ObjectKind::Fifo("log".into()), "FIFO log");
    let node = Call::MakeNode { path: "log".into(), mode: libc::S_IFIFO | 0o600 };
    s.call((900, 930), 0, 8, node, Some(Ok(0)));
    let open = Call::Open { path: "log".into(), flags: libc::O_WRONLY, mode: 0, object: Some(fifo) };
    s.call((980, 980), 0, 9, open, None);
    stop(&mut s, 9_000_000);
    s.obs.hang = Some(Hang {
        proven: true,
        kind: "fifo-no-peer".into(),
        summary: "the program opens FIFO log to write, and nobody opens it to read".into(),
        waiters: vec![waiter(
            0,
            "waits in open() of FIFO log for a reader",
            &["no other process is alive"],
            Some(fifo),
            8_999,
        )],
    });
    s.done()
}

pub(super) fn both_pipes_full() -> Observation {
    let mut s = Scenario::new("exercises/05_pipes/reply.rs");
    let there = s.pipe(905, 0, 12, "pipe A", (3, 4));
    let back = s.pipe(930, 0, 13, "pipe B", (5, 6));
    let child = s.fork(960, 0, 15);
    let text = vec![b'a'; 4096];
    for i in 0..32u64 {
        s.write((1_100 + i * 40, 1_115 + i * 40), 0, 20, (4, there), &text);
        if i < 16 {
            s.read((1_120 + i * 40, 1_135 + i * 40), child, 30, (3, there), &text);
            s.write((1_136 + i * 40, 1_150 + i * 40), child, 31, (6, back), &text.to_ascii_uppercase());
        }
    }
    let full = |fd, object| Call::Write {
        fd,
        object: Some(object),
        address: 0,
        asked: 4096,
        offset: None,
        data: text.clone(),
    };
    s.call((2_400, 2_400), 0, 20, full(4, there), None);
    s.read((1_765, 1_780), child, 30, (3, there), &text);
    s.call((1_800, 1_800), child, 31, full(6, back), None);
    stop(&mut s, 250_000);
    let mut one = waiter(
        0,
        "waits in write() on pipe A (fd 4) for room",
        &["only the child reads pipe A, and it waits for room in pipe B"],
        Some(there),
        247,
    );
    let mut two = waiter(
        1,
        "waits in write() on pipe B (fd 6) for room",
        &["only the parent reads pipe B, and it waits for room in pipe A"],
        Some(back),
        248,
    );
    one.source = line("reply.rs", 20);
    two.source = line("reply.rs", 31);
    s.obs.hang = Some(Hang {
        proven: true,
        kind: "pipe-full".into(),
        summary: "parent and child each wait for the other to read: both pipes are full".into(),
        waiters: vec![one, two],
    });
    s.done()
}
