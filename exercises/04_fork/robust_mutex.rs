//! robust_mutex
//!
//! Put a mutex for several processes into shared memory, and make it robust. The
//! child takes it and dies with it. The parent takes it then, is told that its
//! owner is dead (EOWNERDEAD), makes it consistent and gives it back; prints
//!
//!     $ robust_mutex
//!     recovered
//!
//! and takes it and gives it back once more, as if nothing had happened.
//!
//! Print that only if you were told so. A mutex that is given back without being
//! made consistent can never be taken again (ENOTRECOVERABLE).
//!
//! Why: a lock in shared memory outlives whoever holds it. One that is not robust
//! stays locked for ever when a process is killed at the wrong moment, and all
//! that come after hang.
//!
//! Read: pthread_mutexattr_setpshared(3); pthread_mutexattr_setrobust(3), with an
//! example; pthread_mutex_consistent(3); mmap(2), MAP_SHARED; wait(2).
//! A call that fails is reported as `CALL OBJECT: REASON`, with exit status 1; the
//! functions of pthreads return the errno and do not set it.

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    if env::args_os().len() != 1 {
        return usage();
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    // TODO: map shared memory for a libc::pthread_mutex_t; initialise it there,
    //       with attributes that make it robust and for several processes.
    // TODO: fork; the child locks the mutex and leaves by _exit.
    // TODO: the parent waits for that (again after EINTR), locks, looks at what
    //       pthread_mutex_lock returns, and does what is needed.
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: robust_mutex");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
