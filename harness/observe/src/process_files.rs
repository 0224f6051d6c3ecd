//! What /proc says of a process, read from outside the box.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use libc::c_long;

use crate::memory;

/// State of one thread at one moment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ThreadState {
    /// `R`, `S`, `D`, `T`, `t`, `Z`, `X`.
    pub(crate) letter: char,
    /// System call number and arguments, if it is blocked in one.
    pub(crate) call: Option<(u32, [u64; 6])>,
    /// Voluntary and involuntary context switches.
    pub(crate) switches: u64,
    /// Processor time.
    pub(crate) cpu: Duration,
    /// It waits, uninterruptibly, for a child that it has made by vfork.
    vforked: bool,
}

impl ThreadState {
    /// It has ended, and nobody has taken note of that.
    pub(crate) fn dead(&self) -> bool {
        matches!(self.letter, 'Z' | 'X')
    }

    /// It sleeps until something happens, or is stopped. Uninterruptible sleep counts only where it is for the child of
    /// a vfork: elsewhere the kernel ends it soon (a page is read from the disk, a lock is free), and the program goes on.
    pub(crate) fn blocked(&self) -> bool {
        matches!(self.letter, 'S' | 'T' | 'Z' | 'X') || self.vforked
    }
}

/// A file that the kernel writes in one piece, by one read: the files here are made anew for each, and a reader that
/// does not know how long they are asks five times.
fn small_file(path: &str) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let mut bytes = vec![0; 4096];
    let len = file.read(&mut bytes).ok()?;
    let whole = len < bytes.len();
    bytes.truncate(len);
    if !whole {
        file.read_to_end(&mut bytes).ok()?;
    }
    // A program's name need not be text.
    Some(String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
}

fn task_file(pid: i32, tid: i32, name: &str) -> Option<String> {
    small_file(&format!("/proc/{pid}/task/{tid}/{name}"))
}

/// State letter of a thread alone, which is cheap.
pub(crate) fn letter(pid: i32, tid: i32) -> Option<char> {
    let stat = task_file(pid, tid, "stat")?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

/// State of a thread; `None` if it is gone or may not be read.
pub(crate) fn thread_state(pid: i32, tid: i32) -> Option<ThreadState> {
    let syscall = task_file(pid, tid, "syscall");
    let letter = match (letter(pid, tid)?, &syscall) {
        // wait4() marks its caller as asleep before it looks, even if it is not to sleep: it is on a processor.
        ('S', Some(line)) if line.starts_with("running") => 'R',
        (letter, _) => letter,
    };
    let call = syscall.and_then(|line| parse_syscall(&line));
    let status = task_file(pid, tid, "status").unwrap_or_default();
    let switches = status
        .lines()
        .filter_map(|l| l.split_once("ctxt_switches:"))
        .filter_map(|(_, n)| n.trim().parse::<u64>().ok())
        .sum();
    // Before it has the child, it may be kept waiting for a lock.
    let vforked = letter == 'D'
        && call.is_some_and(|(number, arguments)| is_vfork(tid, number.into(), arguments))
        && !children_of_thread(pid, tid).is_empty();
    Some(ThreadState { letter, call, switches, cpu: Times::of(pid, tid).cpu, vforked })
}

/// Whether a call makes a child for whose end, or exec, its caller waits.
pub(crate) fn is_vfork(tid: i32, number: c_long, arguments: [u64; 6]) -> bool {
    let flags = match number {
        libc::SYS_vfork => return true,
        libc::SYS_clone => arguments[0],
        // The first word of its arguments.
        libc::SYS_clone3 => memory::word(tid, arguments[0]).unwrap_or(0),
        _ => 0,
    };
    flags & libc::CLONE_VFORK as u64 != 0
}

fn parse_syscall(line: &str) -> Option<(u32, [u64; 6])> {
    let mut words = line.split_ascii_whitespace();
    let number = words.next()?.parse::<i64>().ok()?;
    let mut arguments = [0; 6];
    for slot in &mut arguments {
        *slot = u64::from_str_radix(words.next()?.trim_start_matches("0x"), 16).ok()?;
    }
    u32::try_from(number).ok().map(|n| (n, arguments))
}

/// What the scheduler has counted of one thread; nothing if it is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times {
    /// Processor time.
    pub(crate) cpu: Duration,
    /// For how long it was ready to run and was not let, until it last was.
    pub(crate) delay: Duration,
}

impl Times {
    pub(crate) fn of(pid: i32, tid: i32) -> Times {
        let line = task_file(pid, tid, "schedstat").unwrap_or_default();
        let mut nanoseconds =
            line.split_ascii_whitespace().map_while(|word| word.parse().ok().map(Duration::from_nanos));
        let mut next = || nanoseconds.next().unwrap_or_default();
        Times { cpu: next(), delay: next() }
    }
}

/// Processor time of a process, all its threads together; none if it is gone.
pub(crate) fn process_cpu(pid: i32) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let mut clock = 0;
    // SAFETY: both calls write what they are given room for.
    let known =
        unsafe { libc::clock_getcpuclockid(pid, &mut clock) == 0 && libc::clock_gettime(clock, &mut time) == 0 };
    if known { Duration::new(time.tv_sec as u64, time.tv_nsec as u32) } else { Duration::ZERO }
}

/// Threads of a process.
pub(crate) fn threads(pid: i32) -> Vec<i32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect()
}

/// Children of a process, by all its threads.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    threads(pid).into_iter().flat_map(|tid| children_of_thread(pid, tid)).collect()
}

fn children_of_thread(pid: i32, tid: i32) -> Vec<i32> {
    let line = fs::read_to_string(format!("/proc/{pid}/task/{tid}/children")).unwrap_or_default();
    line.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// All descendants of a process that are still to be found.
pub(crate) fn descendants(pid: i32) -> Vec<i32> {
    some_descendants(pid, usize::MAX)
}

/// Descendants of a process, until there are this many.
pub(crate) fn some_descendants(pid: i32, most: usize) -> Vec<i32> {
    let mut found = Vec::new();
    let mut open = vec![pid];
    while let Some(next) = open.pop() {
        for child in children(next) {
            if found.len() >= most {
                return found;
            }
            if !found.contains(&child) {
                found.push(child);
                open.push(child);
            }
        }
    }
    found
}

fn status_line(pid: i32, key: &str) -> Option<String> {
    let status = small_file(&format!("/proc/{pid}/status"))?;
    status.lines().find_map(|l| l.strip_prefix(key).map(|rest| rest.trim().to_owned()))
}

/// Name of the program that a process runs, as `ps` shows it.
pub(crate) fn command(pid: i32) -> String {
    small_file(&format!("/proc/{pid}/comm")).map_or_else(|| "process".into(), |name| name.trim().to_owned())
}

/// Thread group of a thread.
pub(crate) fn thread_group(tid: i32) -> Option<i32> {
    status_line(tid, "Tgid:")?.parse().ok()
}

/// Process id as the process itself sees it.
pub(crate) fn inner_pid(pid: i32) -> Option<i32> {
    status_line(pid, "NSpid:")?.split_ascii_whitespace().last()?.parse().ok()
}

/// The set of signals that a process ignores, with a bit a signal.
pub(crate) fn ignored_signals(pid: i32) -> Option<u64> {
    u64::from_str_radix(&status_line(pid, "SigIgn:")?, 16).ok()
}

/// The set of signals that have come to a thread or its process and are kept back, because it blocks them.
pub(crate) fn blocked_signals(pid: i32, tid: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/task/{tid}/status")).ok()?;
    let set = |key| u64::from_str_radix(status.lines().find_map(|line: &str| line.strip_prefix(key))?.trim(), 16).ok();
    Some((set("SigPnd:")? | set("ShdPnd:")?) & set("SigBlk:")?)
}

/// Id of the parent.
pub(crate) fn parent(pid: i32) -> Option<i32> {
    status_line(pid, "PPid:")?.parse().ok()
}

/// What one small file says of a process.
pub(crate) struct Size {
    pub(crate) threads: u64,
    /// Bytes, shared ones included.
    pub(crate) resident: u64,
}

/// How large a process is; `None` if it is gone.
pub(crate) fn size(pid: i32) -> Option<Size> {
    const PAGE: u64 = 4096;
    let stat = small_file(&format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    // Fields 20 and 24 of the line, whose first two are cut off.
    let field = |n: usize| fields.get(n - 3).and_then(|f| f.parse::<u64>().ok());
    Some(Size { threads: field(20)?, resident: field(24)? * PAGE })
}

/// Counts of `read`- and `write`-like calls.
pub(crate) fn transfers(pid: i32) -> (u64, u64) {
    let io = small_file(&format!("/proc/{pid}/io")).unwrap_or_default();
    let count = |key: &str| io.lines().find_map(|l| l.strip_prefix(key)?.trim().parse().ok()).unwrap_or(0);
    (count("syscr:"), count("syscw:"))
}

/// Minor and major faults of a process.
pub(crate) fn faults(pid: i32) -> (u64, u64) {
    let stat = small_file(&format!("/proc/{pid}/stat")).unwrap_or_default();
    let Some((_, rest)) = stat.rsplit_once(')') else {
        return (0, 0);
    };
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let field = |n: usize| fields.get(n).and_then(|f| f.parse().ok()).unwrap_or(0);
    (field(7), field(9))
}

/// Open descriptors of a process.
pub(crate) fn descriptors(pid: i32) -> Vec<i32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return Vec::new();
    };
    let mut all: Vec<i32> = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect();
    all.sort_unstable();
    all
}

/// Flags word of a descriptor, octal in fdinfo.
pub(crate) fn descriptor_flags(pid: i32, fd: i32) -> i32 {
    small_file(&format!("/proc/{pid}/fdinfo/{fd}"))
        .and_then(|s| {
            let flags = s.lines().find_map(|l| l.strip_prefix("flags:"))?.trim().to_owned();
            i32::from_str_radix(&flags, 8).ok()
        })
        .unwrap_or(0)
}

/// A path as text, with replacement characters for what is none: only such can be sent on.
pub(crate) fn readable(path: &Path) -> PathBuf {
    PathBuf::from(path.to_string_lossy().into_owned())
}

/// What a descriptor's link says.
pub(crate) fn descriptor_link(pid: i32, fd: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok()
}

/// One line of /proc/PID/maps.
#[derive(Clone, Debug)]
pub(crate) struct Region {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) executable: bool,
    pub(crate) offset: u64,
    pub(crate) inode: u64,
    pub(crate) path: String,
}

/// All regions of a process.
pub(crate) fn regions(pid: i32) -> Vec<Region> {
    fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default().lines().filter_map(parse_region).collect()
}

fn parse_region(line: &str) -> Option<Region> {
    let mut words = line.splitn(6, ' ');
    let (start, end) = words.next()?.split_once('-')?;
    let flags = words.next()?.as_bytes();
    let offset = u64::from_str_radix(words.next()?, 16).ok()?;
    words.next()?;
    let inode = words.next()?.parse().ok()?;
    let path = words.next().unwrap_or("").trim().to_owned();
    Some(Region {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        executable: flags.get(2) == Some(&b'x'),
        offset,
        inode,
        path,
    })
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
    use std::ptr;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Instant;

    use nix::sys::stat::Mode;
    use nix::unistd::gettid;

    use super::*;

    #[test]
    fn a_fork_alone_waits_for_no_child() {
        let (as_fork_does, as_spawn_does) =
            (libc::CLONE_CHILD_SETTID | libc::SIGCHLD, libc::CLONE_VM | libc::CLONE_VFORK);
        let first = |flags: i32| [flags as u64, 0, 0, 0, 0, 0];
        assert!(!is_vfork(0, libc::SYS_clone, first(as_fork_does)));
        assert!(is_vfork(0, libc::SYS_clone, first(as_spawn_does)));
        assert!(!is_vfork(0, libc::SYS_fork, [u64::MAX; 6]));
        assert!(is_vfork(0, libc::SYS_vfork, [0; 6]));
        let own = std::process::id().cast_signed();
        for (flags, waits) in [(as_fork_does, false), (as_spawn_does, true)] {
            let arguments = first(flags);
            assert_eq!(is_vfork(own, libc::SYS_clone3, [arguments.as_ptr().expose_provenance() as u64; 6]), waits);
        }
    }

    #[test]
    fn who_waits_for_the_child_of_a_vfork_is_blocked() {
        let directory = tempfile::tempdir().expect("a directory");
        let fifo = directory.path().join("fifo");
        nix::unistd::mkfifo(&fifo, Mode::S_IRUSR | Mode::S_IWUSR).expect("a FIFO");
        let path = CString::new(fifo.as_os_str().as_bytes()).expect("a path");
        let (told, id) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(move || {
                told.send(gettid().as_raw()).expect("somebody listens");
                let program = c"/bin/true".as_ptr();
                let (arguments, environment) = ([program.cast_mut(), ptr::null_mut()], [ptr::null_mut()]);
                let mut child = 0;
                // SAFETY: every pointer is to a value that lives until the call has returned. The child opens the FIFO,
                // and waits for a writer, before it becomes another program.
                unsafe {
                    let mut actions = std::mem::zeroed();
                    libc::posix_spawn_file_actions_init(&mut actions);
                    libc::posix_spawn_file_actions_addopen(&mut actions, 0, path.as_ptr(), libc::O_RDONLY, 0);
                    let (arguments, environment) = (arguments.as_ptr(), environment.as_ptr());
                    let failed = libc::posix_spawn(&mut child, program, &actions, ptr::null(), arguments, environment);
                    libc::posix_spawn_file_actions_destroy(&mut actions);
                    assert_eq!(failed, 0);
                    libc::waitpid(child, ptr::null_mut(), 0);
                }
            });
            let parent = id.recv().expect("its number");
            let begin = Instant::now();
            let seen = loop {
                let state = thread_state(std::process::id().cast_signed(), parent).expect("the thread lives");
                if state.letter == 'D' && state.blocked() || begin.elapsed() > Duration::from_secs(20) {
                    break state;
                }
            };
            let writer = File::options().write(true).open(&fifo).expect("the child reads");
            drop(writer);
            assert!(seen.letter == 'D' && seen.blocked(), "{seen:?}");
        });
    }
}
