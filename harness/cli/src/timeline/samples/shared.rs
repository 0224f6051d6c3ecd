//! Shared memory and mapped files.

use nix::libc;
use observe::{Call, Exit, ObjectKind, Observation};

use super::Scenario;

const WAIT: i32 = 0;
const WAKE: i32 = 1;

pub(super) fn counter() -> Observation {
    let mut s = Scenario::new("exercises/04_fork/shared_anon.rs");
    let memory = s.object(ObjectKind::AnonymousShared, "shared memory 1");
    let map = Call::Mmap {
        address: 0,
        len: 4096,
        prot: libc::PROT_READ | libc::PROT_WRITE,
        flags: libc::MAP_SHARED | libc::MAP_ANONYMOUS,
        fd: -1,
        object: Some(memory),
        offset: 0,
    };
    s.call((900, 920), 0, 9, map, Some(Ok(0x7f00_0000)));
    s.pages(0x7f00_0000, ".", None);
    let child = s.fork(960, 0, 12);
    s.pages(0x7f00_0000, ".", None);
    let futex = |op| Call::Futex { address: 0x7f00_0000, op, value: 1, timed: false };
    s.call((1_130, 1_410), child, 30, futex(WAIT), Some(Ok(0)));
    s.call((1_350, 1_365), 0, 18, futex(WAKE), Some(Ok(1)));
    s.wait((1_400, 1_750), 0, 20, child);
    s.print(1_460, child, 33, b"42\n");
    s.exit(1_690, child, Exit::Code(0));
    s.pages(0x7f00_0000, "o", Some(0x12_3456));
    s.snapshot(0x7f00_0000, memory, &[19, 0, 0, 0, 23, 0, 0, 0, 1]);
    let unmap = Call::Munmap { address: 0x7f00_0000, len: 4096, snapshots: Vec::new() };
    s.call((1_790, 1_800), 0, 21, unmap, Some(Ok(0)));
    s.exit(1_880, 0, Exit::Code(0));
    s.done()
}

pub(super) fn file() -> Observation {
    let mut s = Scenario::new("exercises/03_mmap/write.rs");
    let file = s.object(ObjectKind::File("numbers.bin".into()), "numbers.bin");
    let flags = libc::O_RDWR | libc::O_CREAT;
    s.call(
        (900, 925),
        0,
        7,
        Call::Open { path: "numbers.bin".into(), flags, mode: 0o644, object: Some(file) },
        Some(Ok(3)),
    );
    let size = Call::Truncate { path: "".into(), fd: 3, object: Some(file), len: 40 };
    s.call((950, 965), 0, 8, size, Some(Ok(0)));
    for (at, flags, address) in [(1_000, libc::MAP_SHARED, 0x7f10_0000), (1_030, libc::MAP_PRIVATE, 0x7f20_0000)] {
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        let map = Call::Mmap { address: 0, len: 40, prot, flags, fd: 3, object: Some(file), offset: 0 };
        s.call((at, at + 12), 0, 9, map, Some(Ok(address)));
        s.pages(address as u64, &".".repeat(20), None);
    }
    s.close(1_060, 0, 10, (3, file));
    let sync = Call::Msync { address: 0x7f10_0000, len: 40, flags: libc::MS_SYNC };
    s.call((1_200, 4_700), 0, 14, sync, Some(Ok(0)));
    for (at, address) in [(4_750, 0x7f10_0000), (4_780, 0x7f20_0000)] {
        s.call((at, at + 9), 0, 15, Call::Munmap { address, len: 40, snapshots: Vec::new() }, Some(Ok(0)));
        s.pages(address, "oo.opppp............", Some(0x9_1000));
    }
    for row in 0..3 {
        s.print(4_850 + row * 40, 0, 17, format!("{:08x}  78 56 34 12 de c0 ad de 00 00 00 00\n", row * 16).as_bytes());
    }
    s.exit(5_000, 0, Exit::Code(0));
    s.done()
}
