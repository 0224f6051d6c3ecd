//! Records of many writers in one pipe, none torn.
//!
//! usage: pipe_atomic W N   (W from 1 to 26, N from 1 to 1000)
//!
//! Each child hands every record over in one write of at most PIPE_BUF bytes,
//! which the kernel never mixes with others. The parent reads lines and checks
//! that each is a whole record.
//!
//! See pipe(7) on PIPE_BUF, write(2), fork(2), wait(2).

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, PipeReader, PipeWriter, Write};
use std::process::ExitCode;
use std::{env, fmt};

use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

/// How often the letter stands in a record.
const FILL: usize = 1000;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let number = |at: usize, most: u32| {
        let number = arguments.get(at)?.to_str()?.parse().ok()?;
        (1..=most).contains(&number).then_some(number)
    };
    let (2, Some(writers), Some(records)) = (arguments.len(), number(0, 26), number(1, 1000)) else {
        return usage();
    };
    match run(writers, records) {
        Ok(torn) => ExitCode::from(u8::from(torn > 0)),
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

/// How many records were torn.
fn run(writers: u32, records: u32) -> Result<u32, String> {
    let (reader, writer) = io::pipe().map_err(failed("pipe"))?;
    let (mut children, mut started) = (Vec::new(), Ok(()));
    for id in 1..=writers {
        // SAFETY: this process has one thread, so the child may do anything.
        match unsafe { fork() } {
            Ok(ForkResult::Child) => {
                drop(reader);
                send(id, records, writer)
            }
            Ok(ForkResult::Parent { child }) => children.push(child),
            Err(error) => {
                started = Err(failed("fork")(error));
                break;
            }
        }
    }
    drop(writer); // or the end of file never comes
    // Also when not all could be made: those that were write, and are waited for.
    let counted = count(reader, writers, records);
    let ended: Result<Vec<()>, String> = children.into_iter().map(wait_for).collect();
    started?;
    let (whole, torn) = counted?;

    let mut stdout = io::stdout();
    writeln!(stdout, "records {whole} torn {torn}").and_then(|()| stdout.flush()).map_err(failed("write stdout"))?;
    ended.map(|_| torn)
}

/// The child's part: one write a record, which the kernel takes whole or not at all.
fn send(id: u32, records: u32, mut writer: PipeWriter) -> ! {
    let sent = (1..=records).try_for_each(|seq| writer.write_all(record(id, seq).as_bytes()));
    let status = match sent {
        Ok(()) => 0,
        Err(error) => {
            complain(&failed("write pipe")(error));
            1
        }
    };
    // SAFETY: _exit asks for nothing and does not return.
    unsafe { libc::_exit(status) }
}

/// At most PIPE_BUF bytes.
fn record(id: u32, seq: u32) -> String {
    format!("{id}:{seq}:{}\n", letter(id).to_string().repeat(FILL))
}

fn letter(id: u32) -> char {
    (b'a'..=b'z').nth(id as usize - 1).map_or('?', char::from)
}

/// The parent's part: how many lines are whole records, and how many are not.
fn count(reader: PipeReader, writers: u32, records: u32) -> Result<(u32, u32), String> {
    let mut reader = BufReader::new(reader);
    let (mut whole, mut torn) = (0, 0);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).map_err(failed("read pipe"))? > 0 {
        let count = if is_whole(&line, writers, records) { &mut whole } else { &mut torn };
        *count += 1;
        line.clear();
    }
    Ok((whole, torn))
}

fn is_whole(line: &[u8], writers: u32, records: u32) -> bool {
    let text = String::from_utf8_lossy(line);
    let mut fields = text.splitn(3, ':');
    let mut number = |most: u32| fields.next()?.parse().ok().filter(|n| (1..=most).contains(n));
    let (Some(id), Some(seq)) = (number(writers), number(records)) else {
        return false;
    };
    text == record(id, seq)
}

/// Waits for the child; a child that failed has said why itself.
fn wait_for(child: Pid) -> Result<(), String> {
    loop {
        match waitpid(child, None) {
            Err(Errno::EINTR) => {}
            Err(error) => return Err(failed("wait child")(error)),
            Ok(WaitStatus::Exited(_, 0)) => return Ok(()),
            Ok(other) => return Err(format!("child {child}: {other:?}")),
        }
    }
}

fn usage() -> ExitCode {
    complain("usage: pipe_atomic W N   (W from 1 to 26, N from 1 to 1000)");
    ExitCode::from(2)
}

/// Makes an error into `CALL OBJECT: REASON`, the reason in the C library's words.
fn failed<E: Into<io::Error>>(call: impl fmt::Display) -> impl FnOnce(E) -> String {
    move |error| {
        let error = error.into().to_string();
        let reason = error.split(" (os error").next().unwrap_or(&error);
        format!("{call}: {reason}")
    }
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
