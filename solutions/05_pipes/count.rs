//! pipe_count MESSAGE: send MESSAGE to yourself through a pipe, and print how many bytes came out.

use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use std::thread;

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

fn count(message: &[u8]) -> Result<usize, String> {
    let (mut reader, mut writer) = io::pipe().map_err(|e| format!("pipe: {e}"))?;
    thread::scope(|scope| {
        // Somebody must read while a message is written that is longer than the pipe holds. The thread's end takes
        // the write end with it; without that the reading below would wait for ever.
        let written = scope.spawn(move || writer.write_all(message));
        let mut received = Vec::new();
        reader.read_to_end(&mut received).map_err(|e| format!("read pipe: {e}"))?;
        written.join().expect("writing does not panic").map_err(|e| format!("write pipe: {e}"))?;
        Ok(received.len())
    })
}
