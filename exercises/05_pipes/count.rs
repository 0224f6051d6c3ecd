//! pipe_count MESSAGE
//!
//! Send MESSAGE to yourself through a pipe, and print how many bytes came out.
//!
//!     $ pipe_count hello
//!     5
//!
//! You need a pipe, a write of the whole message, and reads until the end of file.
//! Think about who still holds the write end by then, and about a message that is
//! longer than the pipe holds.
//!
//! Why: one process is enough to meet everything that makes pipes hang.
//!
//! Read: pipe(7), "Pipe capacity"; read(2); std::io::pipe; std::thread::scope.

use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(message), None) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: pipe_count MESSAGE");
        return ExitCode::from(2);
    };
    match count(message.as_bytes()) {
        Ok(bytes) => {
            println!("{bytes}");
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

/// How many bytes of the message come out of the pipe.
fn count(_message: &[u8]) -> Result<usize, String> {
    Err("not written yet".into())
}
