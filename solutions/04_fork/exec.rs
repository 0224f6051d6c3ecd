//! A command in a child, with one descriptor more than usual.
//!
//! usage: fork_exec CMD ARGS…
//!
//! CMD finds our standard output a second time as descriptor 3. All else that we
//! have open is close-on-exec, and so is the pipe on which the child tells us
//! that exec failed: if exec succeeds, that pipe just ends.
//!
//! See fork(2), execvp(3), dup2(2), fcntl(2) (FD_CLOEXEC), wait(2), signal(7).

use std::ffi::CString;
use std::io::{self, PipeReader, Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;
use std::{env, fmt};

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, execvp, fork};

fn main() -> ExitCode {
    // The system hands on arguments with no NUL in them.
    let command: Vec<CString> =
        env::args_os().skip(1).filter_map(|argument| CString::new(argument.into_vec()).ok()).collect();
    if command.is_empty() {
        return usage();
    }
    run(&command).unwrap_or_else(|message| {
        complain(&message);
        ExitCode::FAILURE
    })
}

fn run(command: &[CString]) -> Result<ExitCode, String> {
    let (failure, mut report) = io::pipe().map_err(failed("pipe"))?; // close-on-exec, both ends

    // SAFETY: this process has one thread, so the child may do anything.
    let child = match unsafe { fork() }.map_err(failed("fork"))? {
        ForkResult::Child => {
            let errno = become_command(command);
            // If nobody can be told, the exit status still says that it went wrong.
            let _ = report.write_all(&(errno as i32).to_ne_bytes());
            // SAFETY: _exit asks for nothing and does not return.
            unsafe { libc::_exit(127) }
        }
        ForkResult::Parent { child } => child,
    };
    drop(report); // or the pipe would never end
    let errno = heard(failure);
    let status = wait_for(child)?;
    if let Some(errno) = errno? {
        let name = command[0].to_string_lossy();
        complain(&failed(format!("exec {name}"))(errno));
        return Ok(ExitCode::from(127));
    }
    let mut stdout = io::stdout();
    writeln!(stdout, "exit {status}").and_then(|()| stdout.flush()).map_err(failed("write stdout"))?;
    Ok(ExitCode::SUCCESS)
}

/// Runs the command in place of this process; comes back only with the reason why not.
fn become_command(command: &[CString]) -> Errno {
    // SAFETY: the default action is no handler, and 3 is no descriptor that anybody
    // here still uses: at most it was the pipe's read end, which is the parent's.
    let prepared = unsafe {
        // Rust's runtime ignores SIGPIPE, and exec would hand that on.
        signal(Signal::SIGPIPE, SigHandler::SigDfl).and_then(|_| Errno::result(libc::dup2(libc::STDOUT_FILENO, 3)))
    };
    match prepared.and_then(|_| execvp(&command[0], command)) {
        Err(errno) => errno,
        Ok(never) => match never {},
    }
}

/// What the child had to report: nothing, if the pipe was closed by exec.
fn heard(mut failure: PipeReader) -> Result<Option<Errno>, String> {
    let mut report = Vec::new();
    failure.read_to_end(&mut report).map_err(failed("read pipe"))?;
    Ok(report.try_into().ok().map(|errno| Errno::from_raw(i32::from_ne_bytes(errno))))
}

/// The status as a shell has it: 128 and the signal's number for a command that was killed.
fn wait_for(child: Pid) -> Result<i32, String> {
    loop {
        match waitpid(child, None) {
            Err(Errno::EINTR) => {}
            Err(error) => return Err(failed("wait child")(error)),
            Ok(WaitStatus::Exited(_, status)) => return Ok(status),
            Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(128 + signal as i32),
            Ok(other) => return Err(format!("wait child: {other:?}")),
        }
    }
}

fn usage() -> ExitCode {
    complain("usage: fork_exec CMD ARGS…");
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
