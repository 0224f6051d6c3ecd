//! The box of one launch: who guards it, what the program finds in it, and how it is entered.
//!
//! Supervisor → guardian → program. On rung F the guardian is the first process of a PID namespace, so that its
//! death is everybody's; on K and L it is a subreaper. The supervisor has one thread, and so have its forks.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::mount::{MsFlags, mount};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, pipe2, setsid};

use super::confine;
use crate::plan::{Content, InputFile, Launch, Rung, Stdout};

/// Where the working directory lies on rung F.
pub(super) const WORK: &str = "/tmp/box";

/// The program's side of its three standard streams.
pub(super) struct Ends {
    pub(super) stdin: OwnedFd,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
    pub(super) terminal: bool,
}

/// A launch whose program waits to be let go.
pub(super) struct Started {
    pub(super) guardian: Pid,
    pub(super) program: Pid,
    /// The working directory, held open from outside.
    pub(super) work: File,
    /// How paths in the working directory begin, as the program sees them.
    pub(super) work_path: PathBuf,
    /// Removes a working directory that is on a real file system.
    _temporary: Option<tempfile::TempDir>,
    go: File,
    /// Set-up errors of the program's side; end-of-file once it has become the program.
    trouble: File,
    /// The program's wait status, from the guardian.
    pub(super) status: File,
}

impl Started {
    /// Lets the program begin; returns what went wrong if it cannot.
    pub(super) fn release(&mut self) -> io::Result<()> {
        self.go.write_all(b"g")
    }

    /// What went wrong before the program began, once that is known.
    pub(super) fn trouble(&mut self) -> Option<String> {
        let mut text = String::new();
        match self.trouble.read_to_string(&mut text) {
            Ok(_) if text.is_empty() => None,
            Ok(_) => Some(text),
            Err(error) => Some(error.to_string()),
        }
    }
}

fn file(fd: OwnedFd) -> File {
    File::from(fd)
}

fn describe(what: &str) -> impl Fn(nix::Error) -> String + '_ {
    move |error| format!("{what}: {}", error.desc())
}

/// Makes the box and forks the program in it, up to just before its exec.
pub(super) fn start(launch: &Launch, program: &File, ends: Ends, rung: Rung, trace: bool) -> Result<Started, String> {
    let (go_read, go_write) = pipe2(OFlag::O_CLOEXEC).map_err(describe("pipe"))?;
    let (trouble_read, trouble_write) = pipe2(OFlag::O_CLOEXEC).map_err(describe("pipe"))?;
    let (status_read, status_write) = pipe2(OFlag::O_CLOEXEC).map_err(describe("pipe"))?;
    let (ready_read, ready_write) = pipe2(OFlag::O_CLOEXEC).map_err(describe("pipe"))?;
    let temporary = match (launch.here, rung) {
        (true, _) | (false, Rung::F) => None,
        _ => Some(
            tempfile::Builder::new().prefix("syslings-").tempdir().map_err(|e| format!("no working directory: {e}"))?,
        ),
    };
    let work_path = match &temporary {
        Some(dir) => dir.path().to_owned(),
        None if launch.here => std::env::current_dir().map_err(|e| format!("no working directory: {e}"))?,
        None => PathBuf::from(WORK),
    };
    let inside = Inside { launch, program, rung, trace, work_path: &work_path };

    let guardian = if rung == Rung::F && !launch.here { clone_into_namespaces()? } else { plain_fork()? };
    if guardian == 0 {
        drop((go_write, trouble_read, status_read, ready_read));
        let mut trouble = file(trouble_write);
        let outcome = inside.guard(ends, file(go_read), &mut trouble, file(status_write), file(ready_write));
        if let Err(text) = outcome {
            // Nobody is left to tell if this fails too.
            let _ = trouble.write_all(text.as_bytes());
        }
        // SAFETY: _exit runs no destructor and no atexit handler of the supervisor that this is a copy of.
        unsafe { libc::_exit(70) }
    }
    drop((go_read, trouble_write, status_write, ready_write, ends));
    let guardian = Pid::from_raw(guardian);
    let mut pid = [0; 4];
    let mut trouble = file(trouble_read);
    if file(ready_read).read_exact(&mut pid).is_err() {
        let mut text = String::new();
        let _ = trouble.read_to_string(&mut text);
        let _ = waitpid(guardian, Some(WaitPidFlag::__WALL));
        return Err(if text.is_empty() { "the guardian of the box died".into() } else { text });
    }
    let program = only_child(guardian, i32::from_ne_bytes(pid), rung == Rung::F && !launch.here)?;
    let work = File::open(if rung == Rung::F && !launch.here {
        PathBuf::from(format!("/proc/{guardian}/root{WORK}"))
    } else {
        work_path.clone()
    })
    .map_err(|e| format!("working directory of the box: {e}"))?;
    Ok(Started {
        guardian,
        program,
        work,
        work_path,
        _temporary: temporary,
        go: file(go_write),
        trouble,
        status: file(status_read),
    })
}

/// The guardian knows the program by its number in the box; outside it has another.
fn only_child(guardian: Pid, inner: i32, namespaced: bool) -> Result<Pid, String> {
    if !namespaced {
        return Ok(Pid::from_raw(inner));
    }
    crate::process_files::children(guardian.as_raw())
        .first()
        .map(|pid| Pid::from_raw(*pid))
        .ok_or_else(|| "the kernel does not list children in /proc (CONFIG_PROC_CHILDREN)".into())
}

fn clone_into_namespaces() -> Result<i32, String> {
    let flags = libc::CLONE_NEWUSER
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWNET
        | libc::SIGCHLD;
    // SAFETY: without CLONE_VM and with a null stack this is fork(2) with namespaces: the child goes on with a copy
    // of everything. The supervisor has one thread, so no lock is held by a thread that the child lacks.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    if pid < 0 { Err(format!("namespaces: {}", io::Error::last_os_error())) } else { Ok(pid as i32) }
}

fn plain_fork() -> Result<i32, String> {
    // SAFETY: the supervisor has one thread, so the child may do whatever it could.
    match unsafe { fork() }.map_err(describe("fork"))? {
        ForkResult::Parent { child } => Ok(child.as_raw()),
        ForkResult::Child => Ok(0),
    }
}

/// What the guardian and the program know of their launch.
struct Inside<'a> {
    launch: &'a Launch,
    program: &'a File,
    rung: Rung,
    trace: bool,
    work_path: &'a Path,
}

impl Inside<'_> {
    /// The guardian's whole life.
    fn guard(&self, ends: Ends, go: File, trouble: &mut File, status: File, mut ready: File) -> Result<(), String> {
        // SAFETY: prctl with these operations takes plain numbers.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1);
        }
        if !self.launch.here {
            if self.rung == Rung::F {
                enter_namespaces(self.launch.limits.disk)?;
            }
            std::env::set_current_dir(self.work_path).map_err(|e| format!("working directory: {e}"))?;
            lay_files(&self.launch.files)?;
        }
        let ends = self.open_output(ends)?;
        // SAFETY: the guardian is a fork of a process with one thread.
        match unsafe { fork() }.map_err(describe("fork"))? {
            ForkResult::Child => {
                drop((status, ready));
                let Err(text) = self.become_program(&ends, go);
                let _ = trouble.write_all(text.as_bytes());
                // SAFETY: see `start`.
                unsafe { libc::_exit(70) }
            }
            ForkResult::Parent { child } => {
                drop((ends, go));
                let written = ready.write_all(&child.as_raw().to_ne_bytes());
                drop(ready);
                written.map_err(|e| e.to_string())?;
                wait_for_all(child, status, trouble.as_raw_fd());
            }
        }
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
    fn become_program(&self, ends: &Ends, mut go: File) -> Result<std::convert::Infallible, String> {
        setsid().map_err(describe("setsid"))?;
        for (end, number) in [(&ends.stdin, 0), (&ends.stdout, 1), (&ends.stderr, 2)] {
            // SAFETY: both are plain numbers of this process; what they named before is given up on purpose.
            if unsafe { libc::dup2(end.as_raw_fd(), number) } < 0 {
                return Err(format!("dup2: {}", io::Error::last_os_error()));
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
        let arguments = std::iter::once(self.launch.name.as_bytes())
            .chain(self.launch.args.iter().map(|a| a.as_bytes()))
            .map(CString::new)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| "an argument contains a NUL byte".to_owned())?;
        let environment = self.environment();
        if !self.launch.here {
            confine::files(self.program, self.work_path)?;
        }
        confine::calls(self.trace, self.launch.watch.transfers, self.launch.here)?;
        let error = exec(self.program.as_fd().as_raw_fd(), &self.launch.program, &arguments, &environment);
        Err(format!("exec {}: {}", self.launch.program.display(), error.desc()))
    }

    fn limit(&self) -> Result<(), String> {
        let limits = &self.launch.limits;
        let set = |resource, value| setrlimit(resource, value, value).map_err(describe("setrlimit"));
        set(Resource::RLIMIT_CORE, 0)?;
        set(Resource::RLIMIT_AS, limits.address_space)?;
        set(Resource::RLIMIT_NOFILE, limits.descriptors)?;
        if self.rung == Rung::F {
            // Counted in the box's own user namespace; outside it the user's other processes would count too.
            set(Resource::RLIMIT_NPROC, limits.processes + 1)?;
        } else {
            set(Resource::RLIMIT_FSIZE, limits.disk)?;
        }
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
    for signal in Signal::iterator() {
        if !matches!(signal, Signal::SIGKILL | Signal::SIGSTOP) {
            // SAFETY: the default action is no function of ours.
            unsafe { libc::signal(signal as i32, libc::SIG_DFL) };
        }
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None).map_err(describe("sigprocmask"))
}

fn enter_namespaces(disk: u64) -> Result<(), String> {
    // The numbers stay what they were, so that owners of files look the same inside and out.
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    // In the new namespace the old ids read as "nobody" until they are mapped: the supervisor left them here.
    let (uid, gid) = super::OUTER_IDS.get().copied().unwrap_or((uid.as_raw(), gid.as_raw()));
    let put = |name: &str, text: String| {
        fs::write(format!("/proc/self/{name}"), text).map_err(|e| format!("user namespace ({name}): {e}"))
    };
    put("setgroups", "deny".into())?;
    put("uid_map", format!("{uid} {uid} 1"))?;
    put("gid_map", format!("{gid} {gid} 1"))?;
    let own = fs::read_link("/proc/self/ns/mnt").map_err(|e| e.to_string())?;
    if super::OUTER_MOUNTS.get() == Some(&own) {
        return Err("the mount namespace is still the machine's own".into());
    }
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).map_err(describe("mount / private"))?;
    let safe = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let memory = |place: &str, size: u64| {
        let options = format!("size={size},nr_inodes=20000,mode=0755");
        mount(Some("tmpfs"), place, Some("tmpfs"), safe, Some(options.as_str())).map_err(describe("mount tmpfs"))
    };
    memory("/dev/shm", disk.min(256 << 20))?;
    memory("/tmp", disk)?;
    mount(Some("proc"), "/proc", Some("proc"), safe | MsFlags::MS_NOEXEC, none).map_err(describe("mount /proc"))?;
    fs::create_dir(WORK).map_err(|e| format!("{WORK}: {e}"))
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

/// Reaps whatever is left to the guardian, tells the program's status, and stays: as the first process of the box it
/// must not end before the supervisor says so.
fn wait_for_all(program: Pid, mut status: File, trouble: RawFd) -> ! {
    // SAFETY: the descriptor is the guardian's copy, which nobody uses any more; it must close, so that the
    // supervisor sees its end when the program's copy is closed by exec.
    drop(unsafe { OwnedFd::from_raw_fd(trouble) });
    // SAFETY: marks nothing but closes what the guardian has no use for; the status pipe is kept by its number.
    unsafe {
        let keep = status.as_raw_fd() as u32;
        if keep > 3 {
            libc::syscall(libc::SYS_close_range, 3, keep - 1, 0);
        }
        libc::syscall(libc::SYS_close_range, keep + 1, u32::MAX, 0);
        for fd in 0..3 {
            libc::close(fd);
        }
    }
    loop {
        match waitpid(None, Some(WaitPidFlag::__WALL)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == program => {
                let _ = status.write_all(&(code << 8).to_ne_bytes());
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == program => {
                let _ = status.write_all(&(signal as i32).to_ne_bytes());
            }
            Err(nix::Error::ECHILD) => {
                // SAFETY: pause takes nothing; the guardian is ended by SIGKILL.
                unsafe { libc::pause() };
            }
            _ => {}
        }
    }
}
