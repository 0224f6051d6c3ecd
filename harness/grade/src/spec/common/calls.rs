//! Families of system calls: as the kernel names them, and as people do in a message.

use observe::{Call, Event, Object, ObjectId, ObjectKind, Observation, ProcessId, Stdout, What};

use crate::Run;

/// The kernel's names of calls that read.
pub const READS: &[&str] = &["read", "pread64", "readv", "preadv", "preadv2", "recvfrom", "recvmsg"];
/// The kernel's names of calls that write.
pub const WRITES: &[&str] = &["write", "pwrite64", "writev", "pwritev", "pwritev2", "sendto", "sendmsg"];
/// The kernel's names of calls that move bytes without showing them to the program.
pub const MOVES: &[&str] = &["sendfile", "splice", "tee", "vmsplice", "copy_file_range"];
/// The kernel's names of calls that wait for a child.
pub const WAITS: &[&str] = &["wait4", "waitid"];
/// The kernel's names of calls that make a process.
pub const FORK_CALLS: &[&str] = &["fork", "vfork", "clone", "clone3"];
/// The kernel's names of calls that make a pipe.
pub const PIPE_CALLS: &[&str] = &["pipe", "pipe2"];
/// The kernel's names of calls that open a file.
pub const OPEN_CALLS: &[&str] = &["open", "openat", "openat2", "creat"];
/// The kernel's names of calls that give a file a name, or take another's.
pub const RENAME_CALLS: &[&str] = &["rename", "renameat", "renameat2", "link", "linkat"];
/// The kernel's names of calls that set the mode of a file.
pub const MODE_CALLS: &[&str] = &["chmod", "fchmod", "fchmodat", "fchmodat2"];
/// The kernel's names of calls that give a file its length and nothing else.
pub const SIZE_CALLS: &[&str] = &["ftruncate", "truncate", "fallocate"];

/// How people name a call that makes a process.
pub const FORKS: &[&str] = &["fork", "clone", "spawn"];
/// How people name a call that makes a pipe, or a process with pipes in one step.
pub const PIPES: &[&str] = &["pipe", "spawn"];
/// How people name a call that opens a file.
pub const OPENS: &[&str] = &["open", "creat", "mkstemp", "mkostemp", "tempfile", "stat", "access"];
/// How people name a call that maps memory.
pub const MAPS: &[&str] = &["mmap", "map"];
/// How people name a call that gives a file its length.
pub const SIZES: &[&str] = &["truncate", "allocate", "size", "set_len", "set len", "length"];
/// How people name a call that writes a file which they may open and write in one step.
pub const SAVES: &[&str] = &["write", "put", "flush", "open", "create"];
/// How people name a call that reads input.
pub const INPUTS: &[&str] = &["read", "scan", "stdin", "standard input", "get"];
/// How people name a call that reads a file which they may open and read in one step.
pub const LOADS: &[&str] = &["read", "scan", "get", "open"];
/// How people name a call that writes output.
pub const OUTPUTS: &[&str] = &["write", "print", "stdout", "standard output", "flush", "put"];

/// The program itself.
pub const ROOT: ProcessId = ProcessId(0);

/// A successful transfer: who, in which event, how many bytes, and the first of them.
#[derive(Clone, Copy)]
pub struct Transfer<'a> {
    /// Index of its event.
    pub index: usize,
    /// Its event.
    pub event: &'a Event,
    /// Bytes moved.
    pub bytes: u64,
    /// The first bytes moved, as far as they are known.
    pub data: &'a [u8],
    /// The bytes did not pass through the program.
    pub inside: bool,
}

/// All that was read from an object: by `read` and its kin, or moved out of it inside the kernel.
pub fn reads_of(seen: &Observation, object: ObjectId) -> impl Iterator<Item = Transfer<'_>> {
    seen.successes().filter_map(move |(index, event, call, value)| {
        let (data, inside) = match call {
            Call::Read { object: Some(o), data, .. } if *o == object => (data.as_slice(), false),
            Call::Move { from: Some(o), .. } if *o == object => (&[][..], true),
            _ => return None,
        };
        Some(transfer(index, event, value, data, inside))
    })
}

/// All that was written to an object.
pub fn writes_of(seen: &Observation, object: ObjectId) -> impl Iterator<Item = Transfer<'_>> {
    seen.successes().filter_map(move |(index, event, call, value)| {
        let (data, inside) = match call {
            Call::Write { object: Some(o), data, .. } if *o == object => (data.as_slice(), false),
            Call::Move { to: Some(o), .. } if *o == object => (&[][..], true),
            _ => return None,
        };
        Some(transfer(index, event, value, data, inside))
    })
}

fn transfer<'a>(index: usize, event: &'a Event, value: i64, data: &'a [u8], inside: bool) -> Transfer<'a> {
    let bytes = value.max(0) as u64;
    let data = &data[..data.len().min(bytes as usize)];
    Transfer { index, event, bytes, data, inside }
}

/// The bytes of some transfers, one after another.
pub fn joined<'a>(transfers: impl Iterator<Item = Transfer<'a>>) -> Vec<u8> {
    transfers.flat_map(|t| t.data.iter().copied()).collect()
}

/// The objects of a kind.
pub fn objects(seen: &Observation, is: impl Fn(&ObjectKind) -> bool) -> Vec<ObjectId> {
    let named = seen.objects.iter().enumerate().filter(|(_, o)| is(&o.kind));
    named.map(|(i, _)| ObjectId(i as u32)).collect()
}

/// The unnamed pipes that the program made.
pub fn pipes(seen: &Observation) -> Vec<ObjectId> {
    objects(seen, |kind| *kind == ObjectKind::Pipe)
}

/// The objects that are this file of the working directory, whatever became of its name.
pub fn files(seen: &Observation, path: &str) -> Vec<ObjectId> {
    objects(seen, |kind| matches!(kind, ObjectKind::File(p) if p.as_os_str() == path))
}

/// Whether an object is the launch's standard output.
pub fn is_stdout(run: &Run, object: &Object) -> bool {
    match (&run.plan.launch.stdout, &object.kind) {
        (Stdout::File { path, .. }, ObjectKind::File(p)) => path == p,
        (Stdout::Terminal, ObjectKind::Terminal) => true,
        (_, kind) => *kind == ObjectKind::Standard(1),
    }
}

/// Everything written to standard output, in order.
pub fn printed<'a>(run: &Run<'a>) -> Vec<Transfer<'a>> {
    let outputs: Vec<ObjectId> =
        (0..run.seen.objects.len() as u32).map(ObjectId).filter(|id| is_stdout(run, run.seen.object(*id))).collect();
    let mut all: Vec<Transfer> = outputs.into_iter().flat_map(|id| writes_of(run.seen, id)).collect();
    all.sort_by_key(|t| t.index);
    all
}

/// Where a process forked this one: the event's index and the event.
pub fn birth_of(seen: &Observation, child: ProcessId) -> Option<(usize, &Event)> {
    seen.events.iter().enumerate().find(|(_, e)| matches!(&e.what, What::Forked { child: c, .. } if *c == child))
}

/// The calls that the plan's faults have hit, in order.
pub fn injected(seen: &Observation) -> impl Iterator<Item = &Event> {
    seen.events.iter().filter(|e| matches!(&e.what, What::Called { injected: true, .. }))
}
