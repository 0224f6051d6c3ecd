//! A program entered as a strategy: timed from its start to its end.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Fault, Strategy, Task, Work, call};
use crate::request::ExternalStrategy;

/// A program that has not ended by then is not going to.
const DEADLINE: Duration = Duration::from_secs(60);

/// How often a program that still runs is looked after; while it runs, its end
/// wakes the wait at once.
const LOOK: Duration = Duration::from_millis(50);

/// The strategy of a program.
pub fn strategy(entry: &ExternalStrategy) -> Strategy {
    let argv = entry.argv.clone();
    let copies = copies(entry);
    let what = format!("the program {}", argv.first().map_or("", String::as_str));
    Strategy::new(&entry.name, &what, None, move |task| {
        let mut command = command(&argv, &task)?;
        Ok(Box::new(move || {
            let child = command.spawn().map_err(call("start the program"))?;
            wait(child, &task)?;
            Ok(Work {
                program: true,
                unseen: !copies,
                note: Some("a program: its start and end are timed too".to_owned()),
                ..Work::default()
            })
        }))
    })
}

/// Whether the program makes a copy.
pub fn copies(entry: &ExternalStrategy) -> bool {
    entry.argv.iter().any(|argument| argument.contains("{dst}"))
}

fn command(argv: &[String], task: &Task<'_>) -> Result<Command, Fault> {
    let source = task.path.to_string_lossy();
    let target = task.target.to_string_lossy();
    let mut words = argv.iter().map(|word| word.replace("{src}", &source).replace("{dst}", &target));
    let program = words.next().ok_or_else(|| Fault::Unsupported("the program has no name".to_owned()))?;
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.process_group(0);
    Ok(command)
}

/// Waits on a pidfd, so that the end is seen when it comes and an interrupt too.
fn wait(mut child: Child, task: &Task<'_>) -> Result<(), Fault> {
    let started = Instant::now();
    let pid = child.id() as libc::pid_t;
    // SAFETY: takes integers only; the child has not been waited for, so the
    // number is still its own.
    let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } as i32;
    let end = loop {
        if has_ended(pid) {
            break Ok(());
        }
        if let Err(fault) = task.go_on() {
            break Err(fault);
        }
        if started.elapsed() > DEADLINE {
            break Err(Fault::Unsupported(format!(
                "the program had not ended after {} s and was killed",
                DEADLINE.as_secs()
            )));
        }
        if pidfd < 0 {
            std::thread::sleep(Duration::from_millis(1));
        } else {
            let mut poll = libc::pollfd { fd: pidfd, events: libc::POLLIN, revents: 0 };
            // SAFETY: one valid pollfd.
            unsafe { libc::poll(&raw mut poll, 1, LOOK.as_millis() as i32) };
        }
    };
    if pidfd >= 0 {
        // SAFETY: opened above and used by nobody else.
        unsafe { libc::close(pidfd) };
    }
    // What the program started may outlive it; its group does not.
    // SAFETY: a negative number is the group that `process_group(0)` made; its
    // leader has not been waited for, so the number is still the group's.
    unsafe { libc::kill(-pid, libc::SIGKILL) };
    let status = child.wait().map_err(call("wait"))?;
    end?;
    if status.success() { Ok(()) } else { Err(Fault::Unsupported(format!("the program failed: {status}"))) }
}

/// Whether the child is a zombie by now; leaves it one.
fn has_ended(pid: libc::pid_t) -> bool {
    // SAFETY: all zeros is a valid siginfo.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is valid and written by the kernel only when it answers 0.
    let result = unsafe { libc::waitid(libc::P_PID, pid as libc::id_t, &raw mut info, flags) };
    // SAFETY: set by a successful waitid, and 0 when nothing has ended.
    result == 0 && unsafe { info.si_pid() } == pid
}
