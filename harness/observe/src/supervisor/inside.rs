//! The program's side of the box, from the guardian's birth to the program's exec.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::unistd::{ForkResult, Pid, fork, setsid};

use super::boxes::{Ends, Trouble, describe};
use super::cgroups::Group;
use super::confine;
use super::forks;
use super::guardian::{Guardian, Ready};
use super::processors::OneProcessor;
use super::protocol::send_with;
use super::root;
use super::scratch::Scratch;
use crate::plan::{Content, InputFile, Launch, Rung, Stdout};
use crate::process_files;

/// Bytes that a process may lock in memory.
const LOCKED: u64 = 64 << 20;

/// Processes of this user's that may begin meanwhile elsewhere: many, where a tracer keeps the limit of this launch;
/// where none does, no more than can be got rid of at once.
const OTHERS: u64 = 4096;
const OTHERS_UNTRACED: u64 = 64;

/// What the guardian and the program know of their launch.
pub(super) struct Inside<'a> {
    pub(super) launch: &'a Launch,
    pub(super) program: &'a File,
    pub(super) rung: Rung,
    pub(super) trace: bool,
    /// What it leaves before it is the program, if nobody traces it.
    pub(super) processor: Option<&'a OneProcessor>,
    /// Where the program is to be, if that can be had.
    pub(super) group: Option<&'a Group>,
}

/// The guardian's ends of the pipes to the supervisor.
pub(super) struct Lines {
    pub(super) go: File,
    pub(super) trouble: File,
    pub(super) status: File,
    pub(super) ready: File,
    pub(super) lifeline: UnixStream,
    /// Where the program's side says who is to be asked before it forks.
    pub(super) forks: Option<UnixStream>,
}

/// Ends this process, which is a copy of the supervisor.
fn leave() -> ! {
    // SAFETY: _exit runs no destructor and no atexit handler of the supervisor that this is a copy of.
    unsafe { libc::_exit(70) }
}

impl Inside<'_> {
    /// The guardian's whole life.
    pub(super) fn guard(&self, ends: Ends, mut lines: Lines) -> ! {
        let mut scratch = None;
        let started = self.furnish(ends, &mut scratch).and_then(|ends| {
            let all_at_once = !self.launch.here && self.rung != Rung::F && confine::signals();
            Ok((ends, all_at_once, self.fork()?))
        });
        match started {
            Ok((ends, _, ForkResult::Child)) => {
                let Lines { go, mut trouble, forks, .. } = lines;
                let Err(why) = self.become_program(&ends, go, forks);
                let _ = trouble.write_all(&why.to_bytes());
                leave()
            }
            Ok((ends, all_at_once, ForkResult::Parent { child })) => {
                // A supervisor that is gone already is found so by the watch, which leaves nothing.
                let _ = lines.ready.write_all(&Ready { program: child.as_raw(), all_at_once }.to_bytes());
                drop((ends, lines.go, lines.trouble, lines.ready, lines.forks));
                let namespaced = self.rung == Rung::F && !self.launch.here;
                let mut guardian = Guardian { program: child, status: lines.status, namespaced, all_at_once };
                guardian.watch(lines.lifeline, scratch.as_ref())
            }
            Err(trouble) => {
                if let Some(scratch) = scratch {
                    scratch.remove();
                }
                // Nobody is left to tell if this fails too.
                let _ = lines.trouble.write_all(&trouble.to_bytes());
                leave()
            }
        }
    }

    /// The program's process: in its group, or at least in the guardian's.
    fn fork(&self) -> Result<ForkResult, String> {
        match self.group.map(Group::fork) {
            Some(Ok(0)) => Ok(ForkResult::Child),
            Some(Ok(child)) => Ok(ForkResult::Parent { child: Pid::from_raw(child) }),
            // SAFETY: the guardian is a fork of a process with one thread.
            Some(Err(_)) | None => unsafe { fork() }.map_err(describe("fork")),
        }
    }

    /// Makes the box what the program is to find. The guardian makes the working directory, so that whoever is killed
    /// at whatever moment, somebody is left who knows of it.
    fn furnish(&self, ends: Ends, scratch: &mut Option<Scratch>) -> Result<Ends, Trouble> {
        // SAFETY: prctl with these operations takes plain numbers.
        unsafe {
            libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1);
            if self.rung == Rung::F && !self.launch.here {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            }
        }
        if !self.launch.here {
            if self.rung == Rung::F {
                let terminal = ends.terminal.then_some(&ends.stdout);
                root::enter(self.launch, self.program, terminal).map_err(Trouble::Rung)?;
            } else {
                *scratch = Some(Scratch::new(&self.launch.limits)?);
            }
            let work = scratch.as_ref().map_or(Path::new(root::WORK), Scratch::path);
            std::env::set_current_dir(work).map_err(|e| format!("working directory: {e}"))?;
            lay_files(&self.launch.files)?;
        }
        Ok(self.open_output(ends)?)
    }

    fn open_output(&self, mut ends: Ends) -> Result<Ends, String> {
        if let Stdout::File { path, append } = &self.launch.stdout {
            let flags = libc::O_CREAT | libc::O_CLOEXEC | if *append { libc::O_APPEND } else { 0 };
            ends.stdout = OpenOptions::new()
                .write(true)
                .mode(0o644)
                .custom_flags(flags)
                .open(path)
                .map_err(|e| format!("standard output {}: {e}", path.display()))?
                .into();
        }
        Ok(ends)
    }

    /// Becomes the program; returns only if that fails.
    fn become_program(&self, ends: &Ends, mut go: File, forks: Option<UnixStream>) -> Result<Infallible, Trouble> {
        setsid().map_err(describe("setsid"))?;
        for (end, number) in [(&ends.stdin, 0), (&ends.stdout, 1), (&ends.stderr, 2)] {
            // SAFETY: both are plain numbers of this process; what they named before is given up on purpose.
            if unsafe { libc::dup2(end.as_raw_fd(), number) } < 0 {
                return Err(format!("dup2: {}", io::Error::last_os_error()).into());
            }
        }
        if ends.terminal {
            // SAFETY: TIOCSCTTY takes a number; it makes the terminal on descriptor 1 the session's own.
            unsafe { libc::ioctl(1, libc::TIOCSCTTY, 0) };
        }
        let mut byte = [0];
        go.read_exact(&mut byte).map_err(|_| "the supervisor went away".to_owned())?;
        // SAFETY: close_range with CLOEXEC only marks descriptors.
        unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
        if !self.launch.here {
            self.limit()?;
        }
        default_signals()?;
        let own_pid = self.launch.own_pid.then(|| std::process::id().to_string());
        let arguments = std::iter::once(self.launch.name.as_bytes())
            .chain(self.launch.args.iter().map(|a| a.as_bytes()))
            .chain(own_pid.as_ref().map(String::as_bytes))
            .map(CString::new)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| "an argument contains a NUL byte".to_owned())?;
        let environment = self.environment();
        if !self.launch.here {
            let terminal = ends.terminal.then_some(&ends.stdout);
            confine::files(self.launch, self.program, self.rung, terminal)?;
        }
        if self.trace || !self.launch.here {
            nix::sys::prctl::set_no_new_privs().map_err(describe("no_new_privs"))?;
        }
        if let Some(socket) = forks
            && let Ok(listener) = forks::ask_first()
        {
            send_with(&socket, b"f", listener.as_fd()).map_err(describe("sendmsg"))?;
        }
        if let Some(processor) = self.processor.filter(|_| !self.trace) {
            processor.leave();
        }
        confine::calls(self.trace, self.launch.watch.transfers, self.launch.here, self.rung)?;
        let error = exec(self.program.as_fd().as_raw_fd(), &self.launch.program, &arguments, &environment);
        // What the machine or its user has too little of is nothing that the executable asks for.
        let scarce =
            [nix::Error::EAGAIN, nix::Error::ENOMEM, nix::Error::EMFILE, nix::Error::ENFILE, nix::Error::E2BIG];
        Err(if scarce.contains(&error) { describe("exec")(error).into() } else { Trouble::Exec(error.desc().into()) })
    }

    fn limit(&self) -> Result<(), String> {
        let limits = &self.launch.limits;
        // A limit of the user's own that is lower stays.
        let set = |resource, value: u64| {
            let (_, hard) = getrlimit(resource).map_err(describe("getrlimit"))?;
            let value = value.min(hard);
            setrlimit(resource, value, value).map_err(describe("setrlimit"))
        };
        set(Resource::RLIMIT_CORE, 0)?;
        set(Resource::RLIMIT_AS, limits.address_space)?;
        set(Resource::RLIMIT_NOFILE, limits.descriptors)?;
        set(Resource::RLIMIT_CPU, cpu_seconds(self.launch))?;
        set(Resource::RLIMIT_MEMLOCK, LOCKED)?;
        if !limits.huge_pages {
            // SAFETY: prctl with this operation takes plain numbers. A kernel without huge pages refuses, and has none.
            unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
        }
        if self.rung == Rung::F {
            // Counted in the box's own user namespace, guardian included, and with room for the one too many that
            // shows the limit to be passed. The file system's size stops a file that
            // is really that long, with ENOSPC; this stops one that only says so.
            set(Resource::RLIMIT_NPROC, limits.processes + 2)?;
            set(Resource::RLIMIT_FSIZE, limits.disk.saturating_mul(2))?;
        } else {
            // The kernel counts all of the user's processes, so this is only the far end of what may happen; the
            // limit itself is kept by the tracer, or by the supervisor's watch.
            let others = if self.trace { OTHERS } else { OTHERS_UNTRACED };
            set(Resource::RLIMIT_NPROC, tasks_of_user() + 2 * limits.processes + others)?;
            set(Resource::RLIMIT_FSIZE, limits.disk)?;
        }
        // Out of memory, the machine is to choose among the box's processes first. Where it may not be said, the
        // kernel's own choice has to do.
        let _ = fs::write("/proc/self/oom_score_adj", "1000");
        Ok(())
    }

    fn environment(&self) -> Vec<CString> {
        let own = [
            ("PATH", "/usr/local/bin:/usr/bin:/bin"),
            ("HOME", "/tmp"),
            ("LANG", "C.UTF-8"),
            ("TZ", "UTC"),
            ("TERM", "xterm"),
        ];
        let clean: Vec<(String, String)> = if self.launch.here {
            std::env::vars().collect()
        } else {
            own.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        clean
            .into_iter()
            .chain(self.launch.env.iter().cloned())
            .filter_map(|(k, v)| CString::new(format!("{k}={v}")).ok())
            .collect()
    }
}

/// Processor time that no process of a launch can use before its deadline, on all processors of the machine.
fn cpu_seconds(launch: &Launch) -> u64 {
    let processors = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    (launch.deadline.as_secs() + 2) * processors
}

/// Threads of this user, in all processes.
fn tasks_of_user() -> u64 {
    let own = nix::unistd::getuid().as_raw();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mine = processes.filter(|entry| entry.metadata().is_ok_and(|m| m.uid() == own));
    mine.filter_map(|entry| process_files::size(entry.file_name().to_str()?.parse().ok()?).map(|size| size.threads))
        .sum()
}

/// By descriptor, so that the executable's path need not exist in the box; a script, which its interpreter must open
/// by name, by path.
fn exec(fd: RawFd, path: &Path, arguments: &[CString], environment: &[CString]) -> nix::Error {
    let pointers = |list: &[CString]| -> Vec<*const libc::c_char> {
        list.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (argv, envp) = (pointers(arguments), pointers(environment));
    // SAFETY: both arrays are null-terminated and their strings outlive the call; the path is an empty string.
    unsafe { libc::syscall(libc::SYS_execveat, fd, c"".as_ptr(), argv.as_ptr(), envp.as_ptr(), libc::AT_EMPTY_PATH) };
    let first = nix::Error::last();
    if let (nix::Error::ENOENT, Ok(path)) = (first, CString::new(path.as_os_str().as_bytes())) {
        // SAFETY: as above.
        unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
        return nix::Error::last();
    }
    first
}

fn default_signals() -> Result<(), String> {
    // The kernel's structure: handler, flags, restorer and mask, all of them none.
    let default = [0_u64; 4];
    for signal in (1..=libc::SIGRTMAX()).filter(|n| !matches!(*n, libc::SIGKILL | libc::SIGSTOP)) {
        // The C library would refuse two signals that it has for itself; whoever started the harness may ignore them.
        // SAFETY: the default action is no function of ours, the new action is a live structure of the kernel's size,
        // and the old one is not asked for.
        let done = unsafe {
            let old = std::ptr::null_mut::<u64>();
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), old, size_of::<u64>())
        };
        nix::errno::Errno::result(done).map_err(describe("rt_sigaction"))?;
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None).map_err(describe("sigprocmask"))
}

fn lay_files(files: &[InputFile]) -> Result<(), String> {
    for input in files {
        lay_file(input).map_err(|e| format!("input file {}: {e}", input.path.display()))?;
    }
    Ok(())
}

fn lay_file(input: &InputFile) -> io::Result<()> {
    let path = &input.path;
    match &input.content {
        Content::Bytes(bytes) => fs::write(path, bytes)?,
        Content::Sparse { len, pieces } => {
            let file = File::create(path)?;
            file.set_len(*len)?;
            for (offset, bytes) in pieces {
                std::os::unix::fs::FileExt::write_all_at(&file, bytes, *offset)?;
            }
        }
        Content::Directory => fs::create_dir(path)?,
        Content::Symlink(target) => return std::os::unix::fs::symlink(target, path),
        Content::HardLink(other) => return fs::hard_link(other, path),
        Content::Fifo => nix::unistd::mkfifo(path, nix::sys::stat::Mode::from_bits_truncate(0o600))?,
    }
    fs::set_permissions(path, fs::Permissions::from_mode(input.mode))
}
