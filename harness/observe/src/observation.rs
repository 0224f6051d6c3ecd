//! What was seen of one launch: a value, complete in itself, that checks and pictures are made from.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::calls::{Call, Sysno};
use crate::hang::Hang;
use crate::plan::Rung;

/// Everything that was seen of one launch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Observation {
    /// How the launch came to its end.
    pub ending: Ending,
    /// Standard output (or the terminal's).
    pub stdout: Output,
    /// Standard error.
    pub stderr: Output,
    /// All processes, the program itself first, then in the order of their creation.
    pub processes: Vec<Process>,
    /// In the order of their happening. Empty where tracing was not possible.
    pub events: Vec<Event>,
    /// The kernel objects that events name.
    pub objects: Vec<Object>,
    /// What the working directory holds at the end.
    pub files: Vec<FileLeft>,
    /// Processes that were still alive when the program itself had ended, and had to be killed.
    pub survivors: Vec<ProcessId>,
    /// Why it hung, if it did.
    pub hang: Option<Hang>,
    /// What [`crate::Deed::ReadFifo`] actions read, in the order of the actions.
    pub fifo_bytes: Vec<Vec<u8>>,
    /// How many actions of the plan happened, in order.
    pub actions_done: usize,
    /// How many calls each fault of the plan hit, in the plan's order.
    pub faults_hit: Vec<u32>,
    /// From the program's start to its end.
    pub wall: Duration,
    /// From the program's start until nothing of it was left: no process, and nothing to be killed.
    pub gone: Duration,
    /// When the clock of all these times stood still and for how long, because debug information was read while a thread
    /// was stopped. Sleeps, timers and other threads went on: what takes them a second may be shorter here by as much.
    pub left_out: Vec<(Duration, Duration)>,
    /// What its deadline was put off by, because the machine did not let it run.
    pub starved: Duration,
    /// User and system time of all its processes that were reaped.
    pub cpu: Duration,
    /// Whether and how it was traced.
    pub tracing: Tracing,
    /// The box it ran in.
    pub rung: Rung,
    /// Why it was no better one, if the best one was asked for and could not be had.
    pub rung_reason: Option<String>,
    /// The limit that the launch ran into, if one is known, in words that follow "the program": "made more than 128
    /// processes and threads at once".
    pub over_limit: Option<String>,
    /// The trace stopped being complete after this many events.
    pub truncated: bool,
}

/// How a launch came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// The program ended by itself.
    Ended(Exit),
    /// Nothing in the launch could ever end its waiting; it was killed.
    Deadlocked,
    /// It was killed at the deadline.
    Deadline,
    /// It wrote without end and was killed.
    Flooded,
    /// It was over a limit of its box, or went on at one, and was killed; [`Observation::over_limit`] says which.
    OverLimit,
}

/// How one process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// With this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// Whether system calls were seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tracing {
    /// Yes.
    On,
    /// The plan did not ask for it.
    NotAsked,
    /// It was not permitted; the reason in words.
    NotPermitted(String),
}

/// Index of a process in [`Observation::processes`]; 0 is the program itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProcessId(pub u32);

/// Index of an object in [`Observation::objects`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectId(pub u32);

/// One process of the launch (all its threads).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Process {
    /// Process id as the program sees it.
    pub pid: i32,
    /// Who forked it; `None` for the program itself.
    pub parent: Option<ProcessId>,
    /// Since the program's start.
    pub started: Duration,
    /// Since the program's start.
    pub ended: Option<Duration>,
    /// How it ended; `None` if it was killed by the harness.
    pub exit: Option<Exit>,
    /// It was waited for by a process of the launch.
    pub reaped: bool,
    /// It was killed by the harness.
    pub killed: bool,
    /// User and system time at its end (0 where it could not be read).
    pub cpu: Duration,
    /// The longest time for which it used the processor while the harness held all others (busy waiting shows here).
    pub cpu_while_alone: Duration,
    /// `read`-like and `write`-like system calls that it made, loader and runtime included (`/proc/PID/io`).
    pub reads: u64,
    /// See `reads`.
    pub writes: u64,
    /// Page faults without input or output.
    pub minor_faults: u64,
    /// Page faults that read a device.
    pub major_faults: u64,
    /// Descriptors open when it ended.
    pub open_at_exit: Vec<(i32, ObjectId)>,
}

/// One thing that a process did or that happened to it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    /// When it began, since the program's start.
    pub at: Duration,
    /// When its result was known (blocked time lies between); equal to `at` where it has no duration.
    pub until: Duration,
    /// Who.
    pub process: ProcessId,
    /// Thread id as the machine outside the box sees it; tells the threads of a process apart.
    pub thread: i32,
    /// It happened before the program's own `main` began (loader, runtime).
    pub startup: bool,
    /// Where in the program's own source, if asked for and known.
    pub source: Option<SourceLine>,
    /// Function names from the call outwards to `main`, as far as they are known; only with a source line asked for.
    pub stack: Stack,
    /// The pages of the mapping that was just made or is about to go; at a fork (the child's) and at the end those of each
    /// mapping that the program's own code made and has still. Only if asked for.
    pub pages: Vec<Pages>,
    /// What.
    pub what: What,
}

/// Names of functions, from the innermost outwards. Those who came from the same place share them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
pub struct Stack(Arc<[String]>);

impl From<Vec<String>> for Stack {
    fn from(names: Vec<String>) -> Stack {
        Stack(names.into())
    }
}

impl From<Stack> for Vec<String> {
    fn from(stack: Stack) -> Vec<String> {
        stack.to_vec()
    }
}

impl Deref for Stack {
    type Target = [String];
    fn deref(&self) -> &[String] {
        &self.0
    }
}

/// What the page tables say of a mapping.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pages {
    /// Where the mapping begins.
    pub address: u64,
    /// In all.
    pub total: u64,
    /// Those that have a frame of memory: the others fault when they are next touched.
    pub present: u64,
    /// Those written to since they were last the same as the file; unknown where mappings have grown together.
    pub dirty: Option<u64>,
    /// Those that are no file's and no shared memory's, but the process's own.
    pub own: u64,
    /// Those that another process has mapped, too.
    pub elsewhere: u64,
    /// The frame of the first that is present, where the kernel tells it (CAP_SYS_ADMIN).
    pub frame: Option<u64>,
    /// They in order: one by one, or where they are many so many at a time.
    pub cells: Vec<Page>,
    /// Pages of each cell, the last one's fewer.
    pub per_cell: u64,
}

/// What a page table says of one page, or of some in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// It has a frame of memory; of some, any has.
    pub present: bool,
    /// It is private, no file's and no shared memory's; of some, any is.
    pub own: bool,
    /// Another process has it mapped, too; of some, all that are present.
    pub elsewhere: bool,
    /// It (of some, any) was written to since it was last the same as the file; unknown where the kernel tells only of
    /// the whole mapping and its pages differ.
    pub dirty: Option<bool>,
    /// Its frame, where the kernel tells it (CAP_SYS_ADMIN); of some, none's.
    pub frame: Option<u64>,
}

impl std::fmt::Display for Pages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Pages { total, present, own, elsewhere, .. } = self;
        let pages = if *total == 1 { "page" } else { "pages" };
        match present {
            0 if *total == 1 => return write!(f, "its page is not present"),
            0 => return write!(f, "none of its {total} pages is present"),
            _ => write!(f, "{present} of {total} {pages} present")?,
        }
        if let Some(dirty) = self.dirty {
            write!(f, ", {dirty} dirty")?;
        }
        write!(f, ", {own} private, {elsewhere} shared with another process")?;
        match self.frame {
            Some(frame) => write!(f, ", the first in frame {frame:#x}"),
            None => Ok(()),
        }
    }
}

/// Kinds of event.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum What {
    /// A system call.
    Called {
        /// Which.
        sysno: Sysno,
        /// Its arguments, decoded.
        call: Call,
        /// Its result: a value, or an errno. `None` if it never returned.
        result: Option<Result<i64, i32>>,
        /// The result (or the count asked for) is the plan's doing.
        injected: bool,
    },
    /// It forked this process (or vforked, or cloned).
    Forked {
        /// The new one.
        child: ProcessId,
        /// What the writable shared mappings held, if asked for.
        snapshots: Vec<Snapshot>,
    },
    /// It became another program.
    Executed {
        /// The new executable.
        path: PathBuf,
        /// Descriptors that stayed open through it.
        open: Vec<(i32, ObjectId)>,
    },
    /// A signal was delivered to it.
    Signalled {
        /// Number.
        signal: i32,
        /// `si_code`.
        code: i32,
        /// Faulting address of SIGSEGV and SIGBUS.
        address: Option<u64>,
        /// Sender, if it is one of the launch.
        sender: Option<ProcessId>,
        /// What the process had arranged for it.
        disposition: Disposition,
    },
    /// A signal handler returned.
    HandlerReturned,
    /// Its `main` began.
    MainBegan,
    /// It ended.
    Exited {
        /// How.
        exit: Exit,
        /// What the writable shared mappings held, if asked for.
        snapshots: Vec<Snapshot>,
    },
}

/// What a process had arranged for a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Disposition {
    /// The default action.
    Default,
    /// Ignored.
    Ignored,
    /// A handler.
    Handler,
}

/// A place in the program's own source.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SourceLine {
    /// As the compiler recorded it.
    pub file: String,
    /// From 1.
    pub line: u32,
}

impl std::fmt::Display for SourceLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.file.rsplit('/').next().unwrap_or(&self.file);
        write!(f, "{name}:{}", self.line)
    }
}

/// What a writable shared mapping held at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Where it is mapped in that process.
    pub address: u64,
    /// Length of the mapping in bytes.
    pub len: u64,
    /// The object mapped, where it is known.
    pub object: Option<ObjectId>,
    /// The first 64 KiB.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
}

/// A kernel object behind descriptors and mappings.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Object {
    /// What it is.
    pub kind: ObjectKind,
    /// Device and inode, which tell objects apart.
    pub identity: (u64, u64),
    /// A name for people: `pipe A`, `FIFO log`, `data.bin`, `the terminal`, `standard output`.
    pub label: String,
}

/// Kinds of object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ObjectKind {
    /// An unnamed pipe made by the program.
    Pipe,
    /// A named pipe.
    Fifo(PathBuf),
    /// A regular file; the path is relative to the working directory if it lies there.
    File(PathBuf),
    /// A directory.
    Directory(PathBuf),
    /// An anonymous memory file.
    Memfd,
    /// Anonymous shared memory.
    AnonymousShared,
    /// A terminal.
    Terminal,
    /// A socket.
    Socket,
    /// A device such as `/dev/null`.
    Device(PathBuf),
    /// Standard input, output (1) or error (2) as the harness made it.
    Standard(u8),
    /// eventfd, epoll, timerfd, signalfd, io_uring, …: the kernel's name for it.
    Other(String),
}

/// A name left in the working directory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FileLeft {
    /// Relative to the working directory.
    pub path: PathBuf,
    /// What it is.
    pub kind: FileKind,
    /// Permission bits.
    pub mode: u32,
    /// Length in bytes.
    pub len: u64,
    /// Inode number.
    pub inode: u64,
    /// The first part of a regular file, as much as [`Watch::file_bytes`](crate::Watch::file_bytes) says.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
}

/// Kinds of name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileKind {
    /// Regular file.
    File,
    /// Directory.
    Directory,
    /// Named pipe.
    Fifo,
    /// Symbolic link.
    Symlink(PathBuf),
    /// Socket or device.
    Other,
}

/// One output stream.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Output {
    /// What was kept: all of it, or the first part if it was too much.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
    /// The last part, if it was too much.
    #[serde(with = "serde_bytes")]
    pub tail: Vec<u8>,
    /// How much there was.
    pub total: u64,
    /// Offset into the stream and the time at which bytes from there on arrived.
    pub arrivals: Vec<(u64, Duration)>,
}

impl Output {
    /// The kept bytes as text, with replacement characters.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// Read or write side of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// May be read.
    pub read: bool,
    /// May be written.
    pub write: bool,
}

/// A descriptor table at one moment.
pub type Descriptors = BTreeMap<i32, Descriptor>;

/// One entry of a descriptor table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// What it is a name for.
    pub object: ObjectId,
    /// How it was opened.
    pub access: Access,
    /// Closed by exec.
    pub close_on_exec: bool,
}

impl Observation {
    /// The program's own exit, if it ended by itself.
    pub fn exit(&self) -> Option<Exit> {
        match self.ending {
            Ending::Ended(exit) => Some(exit),
            _ => None,
        }
    }

    /// The process with this index.
    pub fn process(&self, id: ProcessId) -> &Process {
        &self.processes[id.0 as usize]
    }

    /// The object with this index.
    pub fn object(&self, id: ObjectId) -> &Object {
        &self.objects[id.0 as usize]
    }

    /// All system calls made after `main` began, with the index of their event.
    pub fn calls(&self) -> impl Iterator<Item = (usize, &Event, &Call, Option<Result<i64, i32>>)> {
        self.events.iter().enumerate().filter_map(|(i, e)| match &e.what {
            What::Called { call, result, .. } if !e.startup => Some((i, e, call, *result)),
            _ => None,
        })
    }

    /// System calls made after `main` began that succeeded.
    pub fn successes(&self) -> impl Iterator<Item = (usize, &Event, &Call, i64)> {
        self.calls().filter_map(|(i, e, c, r)| match r {
            Some(Ok(value)) => Some((i, e, c, value)),
            _ => None,
        })
    }

    /// "the program", "its child", "child 2": how a person would call this process.
    pub fn name_of(&self, id: ProcessId) -> String {
        let children = self.processes.len() - 1;
        match (id.0, children) {
            (0, 0) => "the program".into(),
            (0, _) => "the parent".into(),
            (_, 1) => "the child".into(),
            (n, _) => format!("child {n}"),
        }
    }

    /// A file left in the working directory.
    pub fn file(&self, path: &str) -> Option<&FileLeft> {
        self.files.iter().find(|f| f.path.as_os_str() == path)
    }

    /// The descriptor table of each process as it was just before event `index` (its result not yet in force).
    /// Processes that had ended or not begun are absent.
    pub fn descriptors_before(&self, index: usize) -> BTreeMap<ProcessId, Descriptors> {
        crate::objects::replay(self, index)
    }

    /// Who holds an end of this pipe or FIFO just before event `index`: process and descriptor.
    pub fn holders_before(&self, index: usize, object: ObjectId, writing: bool) -> Vec<(ProcessId, i32)> {
        self.descriptors_before(index)
            .into_iter()
            .flat_map(|(process, table)| {
                table
                    .into_iter()
                    .filter(move |(_, d)| d.object == object && if writing { d.access.write } else { d.access.read })
                    .map(move |(fd, _)| (process, fd))
            })
            .collect()
    }
}
