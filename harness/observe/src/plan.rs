//! What a launch is to be: the program, its inputs, the order and the errors
//! that the kernel is made to deliver, and how closely to look.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One run of one program with one plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Launch {
    /// The executable, as a path of the machine outside the box.
    pub program: PathBuf,
    /// What the program sees as its own name (`argv[0]`).
    pub name: String,
    /// Arguments after the name.
    pub args: Vec<OsString>,
    /// One more argument, the last: the program's process id as it sees it.
    pub own_pid: bool,
    /// Variables added to the clean environment (`PATH`, `HOME`, `LANG=C.UTF-8`, `TZ=UTC`).
    pub env: Vec<(String, String)>,
    /// Laid into the empty working directory before the program starts.
    pub files: Vec<InputFile>,
    /// Where standard input comes from.
    pub stdin: Stdin,
    /// What standard output and standard error are.
    pub stdout: Stdout,
    /// From the program's start until everything of it is killed; put off by at most twice as long for time in which
    /// the machine did not let the program run ([`crate::Observation::starved`]).
    pub deadline: Duration,
    /// Bytes of each output stream that are kept. Four times as many stop the launch as flooded; more than this at the
    /// deadline, and it counts as flooded rather than as a hang.
    pub output_limit: usize,
    /// Box limits.
    pub limits: Limits,
    /// How closely to look.
    pub watch: Watch,
    /// In which order processes run.
    pub schedule: Schedule,
    /// `nanosleep` and `clock_nanosleep` return at once, as if the time had passed.
    pub elide_sleeps: bool,
    /// Errors and short transfers that the kernel is made to deliver.
    pub faults: Vec<Fault>,
    /// What the harness does to the program from outside while it runs.
    pub actions: Vec<Action>,
    /// Its processes take turns on one processor until one of them computes, which makes it quicker to trace: almost
    /// twice as quick where many children are born. What would run side by side then comes in the scheduler's order.
    pub turns: bool,
    /// The program may make virtual machines, where the machine lets its user: it finds `/dev/kvm`.
    pub kvm: bool,
    /// Which rung of the containment ladder; `None` takes the best the machine has.
    pub rung: Option<Rung>,
    /// Run in the caller's own directory, with the caller's files, environment and rights, instead of in a box:
    /// for a command of the user's own that is only to be watched. `files`, `limits` and `rung` do not apply.
    pub here: bool,
}

impl Launch {
    /// A launch of `program` with the defaults of a short, well-behaved run:
    /// no input, pipes for output, everything watched, a deadline of ten seconds.
    pub fn new(program: impl Into<PathBuf>) -> Launch {
        let program = program.into();
        let name = program.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        Launch {
            program,
            name,
            args: Vec::new(),
            own_pid: false,
            env: Vec::new(),
            files: Vec::new(),
            stdin: Stdin::Empty,
            stdout: Stdout::Pipe,
            deadline: Duration::from_secs(10),
            output_limit: 1 << 20,
            limits: Limits::default(),
            watch: Watch::default(),
            schedule: Schedule::Free,
            elide_sleeps: false,
            faults: Vec::new(),
            actions: Vec::new(),
            turns: false,
            kvm: false,
            rung: None,
            here: false,
        }
    }
}

/// A file laid into the working directory before the program starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputFile {
    /// Relative to the working directory.
    pub path: PathBuf,
    /// What it holds.
    pub content: Content,
    /// Permission bits (`chmod`), given regardless of the umask.
    pub mode: u32,
}

impl InputFile {
    /// A regular file of mode 0644.
    pub fn new(path: impl Into<PathBuf>, bytes: impl Into<Vec<u8>>) -> InputFile {
        InputFile { path: path.into(), content: Content::Bytes(bytes.into()), mode: 0o644 }
    }

    /// The same file with other permission bits.
    pub fn mode(mut self, mode: u32) -> InputFile {
        self.mode = mode;
        self
    }
}

/// What an input file holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Content {
    /// These bytes.
    Bytes(#[serde(with = "serde_bytes")] Vec<u8>),
    /// A hole of this many bytes, with pieces of data at offsets.
    Sparse {
        /// Length of the file in bytes.
        len: u64,
        /// Offset and data.
        pieces: Vec<(u64, Vec<u8>)>,
    },
    /// An empty directory.
    Directory,
    /// A symbolic link to this target.
    Symlink(PathBuf),
    /// A hard link to this earlier input file.
    HardLink(PathBuf),
    /// A named pipe.
    Fifo,
}

/// Where standard input comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Stdin {
    /// `/dev/null`.
    Empty,
    /// A pipe that delivers these bytes, then end-of-file.
    Bytes(#[serde(with = "serde_bytes")] Vec<u8>),
    /// A pipe that delivers these bytes and stays open until an [`Action`] closes it or the launch ends.
    Open(#[serde(with = "serde_bytes")] Vec<u8>),
    /// The launch's terminal (needs [`Stdout::Terminal`]).
    Terminal,
}

/// What standard output and standard error are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Stdout {
    /// A pipe each.
    Pipe,
    /// Standard output is a pseudo-terminal of 80 by 24; standard error stays a pipe.
    Terminal,
    /// Standard output is this file of the working directory, created empty; standard error stays a pipe.
    File {
        /// Relative to the working directory.
        path: PathBuf,
        /// Opened with `O_APPEND`.
        append: bool,
    },
    /// Standard output is a pipe whose reader goes away after this many bytes.
    ClosesAfter(usize),
}

/// Limits of the box.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Processes and threads at once.
    pub processes: u64,
    /// Bytes of address space of one process.
    pub address_space: u64,
    /// Bytes in the working directory: the size of its file system on rung F, and looked after from outside on the
    /// others, where it is also the greatest length of one file (`RLIMIT_FSIZE`; twice as much on rung F).
    pub disk: u64,
    /// Names in the working directory, in all its directories together.
    pub files: u64,
    /// Open descriptors of one process.
    pub descriptors: u64,
    /// Bytes of memory touched by all processes together, shared memory and memory files included: not a limit of the
    /// kernel's, but looked after many times a second.
    pub memory: u64,
    /// Memory may come in pages larger than the smallest without being asked for (`PR_SET_THP_DISABLE` if not).
    pub huge_pages: bool,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            processes: 128,
            address_space: 16 << 30,
            disk: 1 << 30,
            files: 12_000,
            descriptors: 256,
            memory: 2 << 30,
            huge_pages: true,
        }
    }
}

/// How closely to look at a program.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    /// Trace system calls at all. Without it only output, status, /proc and what is left behind are seen.
    pub trace: bool,
    /// Also stop at each read and write (`pread`, `writev`, … too): dear for programs that make 10⁵ of them.
    pub transfers: bool,
    /// Bytes of each transfer that are kept with its event.
    pub transfer_bytes: usize,
    /// Bytes of each regular file that is left which are kept; of all of them together 32 MiB, or 1 MiB of a program that
    /// met a limit or had to be stopped.
    pub file_bytes: usize,
    /// Find the source line of each call made after `main` has begun.
    pub sources: bool,
    /// Copy what writable shared mappings hold at fork, munmap and exit (the first 64 KiB of each).
    pub snapshots: bool,
    /// Read the page tables of a mapping when it is made, before it is unmapped, and when its process ends.
    pub pages: bool,
    /// Call a hang as soon as the wait-for graph proves it, not only at the deadline.
    pub early_hang: bool,
}

impl Default for Watch {
    fn default() -> Watch {
        Watch {
            trace: true,
            transfers: true,
            transfer_bytes: 4096,
            file_bytes: 8 << 20,
            sources: true,
            snapshots: false,
            pages: false,
            early_hang: true,
        }
    }
}

/// In which order the processes of a launch run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Schedule {
    /// As the kernel likes.
    Free,
    /// After each fork the parent is held until the child blocks or ends.
    ChildFirst,
    /// After each fork the child is held until the parent blocks or ends.
    ParentFirst,
    /// These holds.
    Holds(Vec<Hold>),
    /// After each fork, and before each write and close, one side is held, chosen by this seed.
    Random(u64),
}

/// A process stopped at one of its calls until the others have nothing left to do without it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hold {
    /// Whose call.
    pub who: Who,
    /// System call's name, as in its man page.
    pub call: String,
    /// The n-th such call of that process after `main` has begun, from 1; 0 means each.
    pub nth: u32,
    /// On which kind of object the call must be, where it has one.
    pub on: Option<On>,
    /// Before the call, or after it.
    pub side: Side,
    /// It goes on after all others that are held; those in the order in which they came to their holds.
    pub last: bool,
}

impl Hold {
    /// Before the n-th such call on whatever object.
    pub fn new(who: Who, call: impl Into<String>, nth: u32) -> Hold {
        Hold { who, call: call.into(), nth, on: None, side: Side::Before, last: false }
    }

    /// Only where the call is on such an object.
    pub fn on(self, on: On) -> Hold {
        Hold { on: Some(on), ..self }
    }
}

/// Before or after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Side {
    /// The call has not been made.
    Before,
    /// The call has been made and its result not yet seen by the program.
    After,
}

/// A process by its place in the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Who {
    /// Any process.
    Any,
    /// The program itself.
    Root,
    /// Any process that it forked, and theirs.
    Descendants,
    /// The n-th process forked, from 1.
    Nth(u32),
}

/// Kinds of object that a hold or a fault may ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum On {
    /// An unnamed pipe that the program made (not its standard streams).
    Pipe,
    /// A named pipe.
    Fifo,
    /// A regular file with this path in the working directory.
    File(PathBuf),
    /// Any regular file of the working directory.
    AnyFile,
    /// A regular file of the working directory opened for writing.
    WrittenFile,
    /// Standard output, whatever it is.
    Stdout,
    /// Standard input, whatever it is.
    Stdin,
}

/// An error or a short transfer that the real kernel may deliver, on chosen calls after `main` has begun.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// Whose calls.
    pub who: Who,
    /// System calls' names; the n-th is counted over all of them together, per launch.
    pub calls: Vec<String>,
    /// Which of them.
    pub nth: Nth,
    /// On which kind of object the call must be, where it has one.
    pub on: Option<On>,
    /// What happens.
    pub effect: Effect,
}

/// Which of the matching calls. One that a signal breaks off, and that the kernel or the program makes again, counts once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Nth {
    /// Only this one, from 1.
    Only(u32),
    /// This one and all later, from 1.
    From(u32),
    /// Every second one, beginning with the first: a call that is tried again succeeds.
    Alternate,
}

/// What a fault does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// The count argument is cut to this many bytes, so that the kernel does a real short transfer.
    Short(u64),
    /// The call is not made and fails with this errno. `EINTR` spares the calls of C's own streams where sources are
    /// asked for: those give up on it (fputc(3p) ERRORS), and whoever prints by them cannot make them go on. It spares
    /// opens that do not wait (O_NONBLOCK), too.
    Fail(i32),
}

/// What the harness does to the program from outside while it runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// When.
    pub when: Trigger,
    /// What.
    pub what: Deed,
}

/// When an action happens; each action happens once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Trigger {
    /// Standard output so far contains these bytes.
    Printed(Vec<u8>),
    /// Just before the n-th call of this name (from 1) after `main` has begun, with the caller stopped.
    Before {
        /// System calls' names, counted together.
        calls: Vec<String>,
        /// Which, from 1.
        nth: u32,
    },
    /// All processes of the launch are blocked.
    AllBlocked,
    /// A process that the schedule held is let go, because the others can do no more without it; it has not gone on yet.
    Released,
    /// After the earlier action in the list has happened.
    AfterPrevious,
}

/// What an action does. Paths are relative to the working directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Deed {
    /// Create or replace a file.
    WriteFile {
        /// Which.
        path: PathBuf,
        /// With what.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// Append to a file.
    AppendFile {
        /// Which.
        path: PathBuf,
        /// What.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// Cut or extend a file.
    Truncate {
        /// Which.
        path: PathBuf,
        /// To how many bytes.
        len: u64,
    },
    /// More bytes on standard input.
    Feed(#[serde(with = "serde_bytes")] Vec<u8>),
    /// Close standard input.
    CloseStdin,
    /// Send this signal to the program itself. With [`Trigger::Before`] it comes before the call: its handler has
    /// returned when the call begins.
    Signal(i32),
    /// Send a signal to a process that it forked.
    SignalChild {
        /// Which, in the order of their creation, from 1.
        nth: u32,
        /// Number.
        signal: i32,
    },
    /// Open a FIFO for reading and read until end-of-file; what came is in [`crate::Observation::fifo_bytes`].
    ReadFifo(PathBuf),
    /// Open a FIFO for writing, write these bytes and close it.
    WriteFifo {
        /// Which.
        path: PathBuf,
        /// What.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
}

/// A rung of the containment ladder, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Rung {
    /// Own user, PID, mount, IPC and network namespaces, with a root that holds the system's files and nothing else of
    /// the machine; everything in them dies with their first process.
    F,
    /// No namespaces: subreaper, `PTRACE_O_EXITKILL` and a sweep of descendants. Landlock keeps files, signals and TCP
    /// from the program, a filter what would stay behind or lead out: there are no sockets (but `socketpair`), no names
    /// in `/dev/shm`, no System V objects, no message queues and no io_uring. Other processes can be seen in `/proc`.
    K,
    /// As K without ptrace.
    L,
}

impl std::fmt::Display for Rung {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Rung::F => "F (namespaces)",
            Rung::K => "K (subreaper and ptrace)",
            Rung::L => "L (subreaper)",
        })
    }
}
