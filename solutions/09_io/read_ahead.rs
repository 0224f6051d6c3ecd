//! Feeds a file to a command, and reads each block while the command takes the one before.
//!
//! usage: read_ahead FILE CMD [ARG…]
//!
//! Exits as CMD does.
//!
//! See pthreads(7), pipe(7), read(2), wait(2).

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::{env, fmt, thread};

const BLOCK_BYTES: usize = 64 * 1024;
/// One to be filled while the other is taken.
const BLOCKS: usize = 2;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [path, command, arguments @ ..] = arguments.as_slice() else {
        complain("usage: read_ahead FILE CMD [ARG...]");
        return ExitCode::from(2);
    };
    run(Path::new(path), Command::new(command).args(arguments)).unwrap_or_else(|message| {
        complain(&message);
        ExitCode::FAILURE
    })
}

fn run(path: &Path, command: &mut Command) -> Result<ExitCode, String> {
    let file = File::open(path).map_err(failed(format!("open {}", path.display())))?;
    let name = command.get_program().display().to_string();
    let mut child = command.stdin(Stdio::piped()).spawn().map_err(failed(format!("exec {name}")))?;
    // Feeding takes the write end with it: its end is the command's end of file.
    let fed = child.stdin.take().map_or(Ok(()), |input| feed(file, path, input));
    let status = child.wait().map_err(failed(format!("wait {name}")))?;
    fed?;
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    Ok(ExitCode::from(code as u8))
}

/// A thread fills blocks, this one hands them on. Blocks go round, so that no more than those are ever filled.
fn feed(mut file: File, path: &Path, mut input: impl Write) -> Result<(), String> {
    let (to_fill, empty) = mpsc::channel();
    let (to_hand_on, full) = mpsc::channel::<(Vec<u8>, usize)>();
    for _ in 0..BLOCKS {
        let _ = to_fill.send(vec![0; BLOCK_BYTES]);
    }
    thread::scope(|scope| {
        let reader = scope.spawn(move || {
            for mut block in empty {
                let length = read_some(&mut file, &mut block)?;
                if length == 0 || to_hand_on.send((block, length)).is_err() {
                    break;
                }
            }
            Ok(())
        });
        let mut handed_on = Ok(());
        for (block, length) in full {
            handed_on = input.write_all(&block[..length]);
            if handed_on.is_err() {
                break;
            }
            // The reader is gone when it has seen the end; what it has filled before is still to be handed on.
            let _ = to_fill.send(block);
        }
        drop(to_fill); // or a reader would wait for it for ever
        reader.join().expect("reading does not panic").map_err(failed(format!("read {}", path.display())))?;
        match handed_on {
            // The command wants no more, which is its own affair.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result.map_err(failed("write pipe")),
        }
    })
}

fn read_some(file: &mut File, block: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(block) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Makes an error into `CALL OBJECT: REASON`, the reason in the C library's words.
fn failed(call: impl fmt::Display) -> impl FnOnce(io::Error) -> String {
    move |error| {
        let error = error.to_string();
        let reason = error.split(" (os error").next().unwrap_or(&error);
        format!("{call}: {reason}")
    }
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
