//! A compiler ends with its harness, and so do the assembler and the linker that it has started.
//!
//! `PR_SET_PDEATHSIG` would end the compiler alone, and with the thread that started it. Here the whole process group
//! has a pipe whose other end is the harness's, and the kernel is told to announce its closing by SIGKILL.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::fcntl::OFlag;
use nix::unistd::pipe2;

/// As in <asm-generic/fcntl.h>, which the libc crate lacks.
const F_SETSIG: libc::c_int = 10;

/// Whoever holds this holds up the command's processes.
#[must_use]
pub(super) struct Lifeline {
    _end: OwnedFd,
}

/// Makes the command the leader of a process group that is killed when the lifeline is dropped, or lost.
pub(super) fn tie(command: &mut Command) -> io::Result<Lifeline> {
    let (theirs, ours) = pipe2(OFlag::O_CLOEXEC)?;
    command.process_group(0);
    // SAFETY: between fork and exec the closure makes system calls alone; it allocates nothing and takes no lock.
    unsafe { command.pre_exec(move || hold(theirs.as_raw_fd())) };
    Ok(Lifeline { _end: ours })
}

/// In the child. Its own copy of the harness's end is closed by exec: if that is the last, it is told so then.
fn hold(fd: RawFd) -> io::Result<()> {
    let group = -nix::unistd::getpid().as_raw();
    let orders = [
        (libc::F_SETOWN, group),
        (F_SETSIG, libc::SIGKILL),
        (libc::F_SETFL, libc::O_ASYNC),
        // To be inherited by whatever is started.
        (libc::F_SETFD, 0),
    ];
    for (order, value) in orders {
        // SAFETY: each of these takes a number.
        if unsafe { libc::fcntl(fd, order, value) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::Stdio;

    use super::*;

    #[test]
    fn what_the_command_has_started_ends_with_the_lifeline_too() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 1000 & echo $!; wait"]).stdout(Stdio::piped());
        let lifeline = tie(&mut command).unwrap();
        let mut child = command.spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_exact(&mut [0]).unwrap();
        drop(lifeline);
        // Both held it open.
        stdout.read_to_end(&mut Vec::new()).unwrap();
        assert!(!child.wait().unwrap().success());
    }
}
