//! user_pager FILE FRAMES < ACCESSES   (FRAMES from 1)
//!
//! Be the pager: let FILE be seen through memory of its size, in which no more than
//! FRAMES pages are at any time. Each line of standard input is an access, OFFSET to
//! load a byte (print its value) or OFFSET=BYTE to store one. At the end print how
//! many pages you had to bring; FILE then holds what was stored.
//!
//!     $ printf '0\n8200\n1=65\n4096\n1\n' | user_pager letters.txt 2
//!     97
//!     99
//!     98
//!     65
//!     faults 4
//!
//! Map anonymous memory and register it with userfaultfd (with UFFD_USER_MODE_ONLY,
//! which needs no privilege): a thread that touches a page without a frame sleeps,
//! and a message comes to the descriptor. Another thread reads it, makes room *first*
//! (write the page back, then MADV_DONTNEED), and puts the page there by UFFDIO_COPY.
//! Who has to go is said by a clock: frames fill in order; an access sets the page's
//! bit (note it yourself: the processor's belongs to the kernel). If the bit at the
//! hand is set it is cleared, else that page goes; either way the hand goes on.
//!
//! Why: live migration, memory snapshots and swapping over a network are this program.
//!
//! Read: userfaultfd(2), ioctl_userfaultfd(2), madvise(2). A call that fails is
//! reported as `CALL OBJECT: REASON`, with exit status 1.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;

/// The kernel's interface, as linux/userfaultfd.h has it. A message is 32 bytes: the event in the first, and from byte
/// 16 on the address.
#[allow(dead_code, reason = "until it is used")]
mod uffd {
    pub const USER_MODE_ONLY: libc::c_int = 1;
    pub const API: u64 = 0xaa;
    pub const REGISTER_MODE_MISSING: u64 = 1;
    pub const EVENT_PAGEFAULT: u8 = 0x12;

    #[repr(C)]
    pub struct Api {
        pub api: u64,
        pub features: u64,
        pub ioctls: u64,
    }

    #[repr(C)]
    pub struct Register {
        pub start: u64,
        pub len: u64,
        pub mode: u64,
        pub ioctls: u64,
    }

    #[repr(C)]
    pub struct Copy {
        pub dst: u64,
        pub src: u64,
        pub len: u64,
        pub mode: u64,
        pub copy: i64,
    }

    nix::ioctl_readwrite!(api, 0xaa, 0x3f, Api);
    nix::ioctl_readwrite!(register, 0xaa, 0x00, Register);
    nix::ioctl_readwrite!(copy, 0xaa, 0x03, Copy);
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [path, frames] = arguments.as_slice() else {
        return usage();
    };
    let Some(frames) = frames.to_str().and_then(|word| word.parse().ok()) else {
        return usage();
    };
    match run(Path::new(path), frames) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(file: &Path, frames: NonZeroUsize) -> Result<(), String> {
    // TODO: open FILE, map memory of as many pages, and register it.
    // TODO: have a thread that reads messages, evicts by the clock, and brings pages.
    // TODO: make the accesses of standard input, and note the bits.
    // TODO: write back what is still in memory; print the values and the faults.
    let _ = (file, frames);
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: user_pager FILE FRAMES < ACCESSES   (FRAMES from 1)");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
