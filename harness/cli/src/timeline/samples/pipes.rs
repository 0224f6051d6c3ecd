//! Pipes: a message, a line of programs, signals, and floods.

use nix::libc;
use observe::{Call, Disposition, Exit, ObjectId, ObjectKind, Observation, What};

use super::Scenario;

pub(super) fn hello() -> Observation {
    let mut s = Scenario::new("exercises/05_pipes/hello.rs");
    let pipe = s.pipe(905, 0, 12, "pipe A", (3, 4));
    let child = s.fork(960, 0, 15);
    s.close(1070, 0, 17, (3, pipe));
    s.close(1130, child, 26, (4, pipe));
    s.read((1160, 1420), child, 28, (3, pipe), b"Hi Child!");
    s.write((1380, 1395), 0, 18, (4, pipe), b"Hi Child!");
    s.close(1440, 0, 19, (4, pipe));
    s.read((1450, 1475), child, 28, (3, pipe), b"");
    s.wait((1470, 1720), 0, 20, child);
    s.print(1510, child, 31, b"Hi Child!\n");
    s.exit(1650, child, Exit::Code(0));
    s.exit(1790, 0, Exit::Code(0));
    s.done()
}

pub(super) fn alone() -> Observation {
    let mut s = Scenario::new("true.rs");
    s.exit(1000, 0, Exit::Code(0));
    s.done()
}

pub(super) fn sigpipe() -> Observation {
    let mut s = Scenario::new("exercises/08_signals/sigpipe_handler.rs");
    let pipe = s.pipe(900, 0, 10, "pipe A", (3, 4));
    let child = s.fork(950, 0, 12);
    let handler = Call::Sigaction { signal: libc::SIGPIPE, disposition: Some(Disposition::Handler), flags: 0 };
    s.call((1100, 1108), child, 20, handler, Some(Ok(0)));
    s.close(1150, child, 21, (3, pipe));
    s.write((1180, 1195), child, 22, (4, pipe), b"one");
    s.read((1050, 1230), 0, 14, (3, pipe), b"one");
    s.close(1260, 0, 15, (3, pipe));
    s.wait((1300, 12_350), 0, 16, child);
    s.call((1340, 11_350), child, 23, Call::Sleep { nanoseconds: 10_000_000 }, Some(Ok(0)));
    let write = Call::Write { fd: 4, object: Some(pipe), address: 0, asked: 3, offset: None, data: b"two".to_vec() };
    s.call((11_400, 11_420), child, 24, write, Some(Err(libc::EPIPE)));
    s.what(11_425, child, signalled(libc::SIGPIPE, Disposition::Handler));
    s.print(11_450, child, 31, b"No one is listening!\n");
    s.what(11_480, child, What::HandlerReturned);
    s.print(11_510, child, 25, b"Done\n");
    s.exit(12_200, child, Exit::Code(0));
    s.exit(12_500, 0, Exit::Code(0));
    s.done()
}

fn signalled(signal: i32, disposition: Disposition) -> What {
    What::Signalled { signal, code: 0, address: None, sender: None, disposition }
}

pub(super) fn pipeline() -> Observation {
    let mut s = Scenario::new("pipe_line.rs");
    let programs = ["/usr/bin/cat", "/usr/bin/tr", "/usr/bin/sort", "/usr/bin/uniq", "/usr/bin/head"];
    let pipes: Vec<ObjectId> = (0..4)
        .map(|i| s.pipe(900 + i * 40, 0, 8, &format!("pipe {}", ["A", "B", "C", "D"][i as usize]), (3, 4)))
        .collect();
    let mut at = 1_200;
    let mut children = Vec::new();
    for (index, program) in programs.iter().enumerate() {
        let child = s.fork(at, 0, 20);
        let start = at + 150;
        for (fd, pipe) in [(0, index.checked_sub(1)), (1, (index < 4).then_some(index))] {
            if let Some(pipe) = pipe {
                let call = Call::Dup { fd: 3, object: Some(pipes[pipe]), onto: Some(fd), close_on_exec: false };
                s.call((start + fd as u64 * 20, start + 8 + fd as u64 * 20), child, 23, call, Some(Ok(i64::from(fd))));
            }
        }
        s.exec(start + 90, child, program);
        children.push(child);
        at += 260;
    }
    for pipe in &pipes {
        at += 15;
        s.close(at, 0, 30, (4, *pipe));
    }
    let data = b"pear\napple\nfig\napple\n".repeat(20);
    let file = s.object(ObjectKind::File("words".into()), "words");
    let open = Call::Open { path: "words".into(), flags: 0, mode: 0, object: Some(file) };
    s.call((4_000, 4_020), children[0], 0, open, Some(Ok(3)));
    s.read((4_050, 4_070), children[0], 0, (3, file), &data);
    s.write((4_100, 4_120), children[0], 0, (1, pipes[0]), &data);
    s.exit(4_300, children[0], Exit::Code(0));
    s.read((2_900, 4_150), children[1], 0, (0, pipes[0]), &data);
    s.write((4_260, 4_280), children[1], 0, (1, pipes[1]), &data.to_ascii_uppercase());
    s.read((4_290, 4_320), children[1], 0, (0, pipes[0]), b"");
    s.exit(4_420, children[1], Exit::Code(0));
    s.read((3_200, 4_300), children[2], 0, (0, pipes[1]), &data.to_ascii_uppercase());
    s.read((4_330, 4_440), children[2], 0, (0, pipes[1]), b"");
    s.write((4_700, 4_720), children[2], 0, (1, pipes[2]), &data);
    s.exit(4_800, children[2], Exit::Code(0));
    s.read((3_400, 4_740), children[3], 0, (0, pipes[2]), &data);
    s.read((4_760, 4_820), children[3], 0, (0, pipes[2]), b"");
    s.write((4_900, 4_920), children[3], 0, (1, pipes[3]), b"     40 APPLE\n     20 FIG\n     20 PEAR\n");
    s.exit(5_000, children[3], Exit::Code(0));
    s.read((3_700, 4_940), children[4], 0, (0, pipes[3]), b"     40 APPLE\n     20 FIG\n     20 PEAR\n");
    s.print(5_050, children[4], 0, b"     40 APPLE\n     20 FIG\n     20 PEAR\n");
    s.exit(5_200, children[4], Exit::Code(0));
    let ends = [4_400, 4_480, 4_850, 5_060, 5_260];
    let mut from = at + 30;
    for (child, end) in children.iter().zip(ends) {
        s.wait((from, end), 0, 33, *child);
        from = end + 10;
    }
    s.exit(5_400, 0, Exit::Code(0));
    s.done()
}

/// One byte at a time.
pub(super) fn many(messages: u64) -> Observation {
    let mut s = Scenario::new("flood.rs");
    let pipe = s.pipe(900, 0, 5, "pipe A", (3, 4));
    let child = s.fork(950, 0, 6);
    for i in 0..messages {
        s.write((1_200 + i * 30, 1_210 + i * 30), 0, 8, (4, pipe), b"x");
        s.read((1_205 + i * 30, 1_225 + i * 30), child, 12, (3, pipe), b"x");
    }
    let end = 1_300 + messages * 30;
    s.close(end, 0, 9, (4, pipe));
    s.read((end - 50, end + 30), child, 12, (3, pipe), b"");
    s.exit(end + 100, child, Exit::Code(0));
    s.wait((end + 20, end + 150), 0, 10, child);
    s.exit(end + 200, 0, Exit::Code(3));
    s.done()
}

/// Calls that cannot be grouped.
pub(super) fn varied(rounds: u64) -> Observation {
    let mut s = Scenario::new("varied.rs");
    for i in 0..rounds {
        let at = 1_000 + i * 100;
        let name = format!("/tmp/some/directory/with a long name/file number {i}.txt");
        let file = s.object(ObjectKind::File(name.clone().into()), &name);
        let open = Call::Open { path: name.into(), flags: libc::O_WRONLY, mode: 0o644, object: Some(file) };
        s.call((at, at + 9), 0, 4, open, Some(Ok(3)));
        s.write((at + 20, at + 30), 0, 5, (3, file), &vec![b'a'; (i % 17) as usize + 1]);
        s.close(at + 40, 0, 6, (3, file));
        s.call((at + 50, at + 55), 0, 7, Call::Unlink { path: format!("{i}").into() }, Some(Ok(0)));
    }
    s.exit(1_100 + rounds * 100, 0, Exit::Code(0));
    s.done()
}

/// A child after the other.
pub(super) fn family(children: u64) -> Observation {
    let mut s = Scenario::new("reap.rs");
    for i in 0..children {
        let at = 1_000 + i * 400;
        let child = s.fork(at, 0, 4);
        s.exit(at + 250, child, if i % 3 == 2 { Exit::Signal(libc::SIGKILL) } else { Exit::Code(i as i32 % 256) });
        s.wait((at + 100, at + 300), 0, 5, child);
    }
    s.exit(1_500 + children * 400, 0, Exit::Code(0));
    s.done()
}

/// Names and data with all that can break a page or a terminal.
pub(super) fn nasty() -> Observation {
    let mut s = Scenario::new("dir/<script>&\"'\u{7}.rs");
    let long = format!("{}\u{202e}\u{0}<b>&amp;]]>\u{1b}[31m.bin", "very-long-name-".repeat(30));
    let file = s.object(ObjectKind::File(long.clone().into()), &long);
    let open = Call::Open { path: long.into(), flags: libc::O_RDWR, mode: 0, object: Some(file) };
    s.call((900, 930), 0, 1, open, Some(Ok(3)));
    let pipe = s.pipe(1_000, 0, 2, "pipe <A> & \u{1b}]0;x\u{7}", (4, 5));
    s.write((1_050, 1_060), 0, 3, (5, pipe), b"\x00\x01\xff\xfe\x80</text>&<!--");
    s.read((1_100, 1_110), 0, 4, (4, pipe), b"\x00\x01\xff\xfe\x80</text>&<!--");
    s.print(1_200, 0, 5, b"<script>alert(1)</script>\x1b[2J\x07\r\n\xf0\x9f\x98\x80\xc3\x28\xef\xbf\xbe\n");
    s.print(1_300, 0, 6, "日本語のテキスト é ü\n".as_bytes());
    s.exit(1_400, 0, Exit::Signal(64));
    s.done()
}
