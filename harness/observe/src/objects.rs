//! Kernel objects and the descriptor tables that name them.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::calls::Call;
use crate::observation::{Access, Descriptor, Descriptors, Object, ObjectId, ObjectKind, Observation, ProcessId, What};
use crate::process_files;

/// All objects met in one launch, each once.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    objects: Vec<Object>,
    known: HashMap<(u64, u64), ObjectId>,
    pipes: usize,
    sockets: usize,
    work: PathBuf,
}

impl Registry {
    /// `work` is the working directory as paths in the box begin with it.
    pub(crate) fn new(work: &Path) -> Registry {
        Registry { work: work.to_owned(), ..Registry::default() }
    }

    pub(crate) fn into_objects(self) -> Vec<Object> {
        self.objects
    }

    pub(crate) fn get(&self, id: ObjectId) -> &Object {
        &self.objects[id.0 as usize]
    }

    /// Adds an object, or finds it by its identity.
    pub(crate) fn add(&mut self, identity: (u64, u64), kind: ObjectKind) -> ObjectId {
        if let Some(id) = self.known.get(&identity) {
            return *id;
        }
        let label = self.label(&kind);
        let id = ObjectId(self.objects.len() as u32);
        self.objects.push(Object { kind, identity, label });
        self.known.insert(identity, id);
        id
    }

    /// Adds an object that no descriptor names: shared anonymous memory.
    pub(crate) fn add_anonymous(&mut self, serial: u64) -> ObjectId {
        self.add((u64::MAX, serial), ObjectKind::AnonymousShared)
    }

    fn label(&mut self, kind: &ObjectKind) -> String {
        match kind {
            ObjectKind::Pipe => {
                self.pipes += 1;
                format!("pipe {}", letters(self.pipes))
            }
            ObjectKind::Socket => {
                self.sockets += 1;
                format!("socket {}", letters(self.sockets))
            }
            ObjectKind::Fifo(path) => format!("FIFO {}", path.display()),
            ObjectKind::Directory(path) if path.as_os_str().is_empty() => "the working directory".into(),
            ObjectKind::File(path) | ObjectKind::Directory(path) | ObjectKind::Device(path) => {
                path.display().to_string()
            }
            ObjectKind::Memfd => "memory file".into(),
            ObjectKind::AnonymousShared => "shared memory".into(),
            ObjectKind::Terminal => "the terminal".into(),
            ObjectKind::Standard(0) => "standard input".into(),
            ObjectKind::Standard(1) => "standard output".into(),
            ObjectKind::Standard(_) => "standard error".into(),
            ObjectKind::Other(name) => name.clone(),
        }
    }

    /// What a descriptor of a living process names, and how it was opened.
    pub(crate) fn resolve(&mut self, pid: i32, fd: i32) -> Option<Descriptor> {
        let object = self.named(pid, fd)?;
        let link = std::fs::symlink_metadata(descriptor_path(pid, fd)).ok()?.permissions().mode();
        let access = Access { read: link & 0o400 != 0, write: link & 0o200 != 0 };
        let flags = process_files::descriptor_flags(pid, fd);
        Some(Descriptor { object, access, close_on_exec: flags & libc::O_CLOEXEC != 0 })
    }

    /// What a descriptor of a living process names.
    pub(crate) fn named(&mut self, pid: i32, fd: i32) -> Option<ObjectId> {
        let metadata = std::fs::metadata(descriptor_path(pid, fd)).ok()?;
        let identity = (metadata.dev(), metadata.ino());
        let link = process_files::descriptor_link(pid, fd)?;
        // All anon inodes (eventfd, epoll, …) share one inode: the link's text is all that tells their kind.
        Some(match link.to_str() {
            Some(text) if text.starts_with("anon_inode:") => {
                let name = text.trim_start_matches("anon_inode:").trim_matches(['[', ']']);
                self.add((identity.0, fxhash(name)), ObjectKind::Other(name.to_owned()))
            }
            _ => {
                let kind = self.kind_of(&metadata, &link);
                self.add(identity, kind)
            }
        })
    }

    /// What a descriptor names whose kind is known, because its making was seen.
    pub(crate) fn made(&mut self, pid: i32, fd: i32, kind: ObjectKind) -> Option<ObjectId> {
        let metadata = std::fs::metadata(descriptor_path(pid, fd)).ok()?;
        Some(self.add((metadata.dev(), metadata.ino()), kind))
    }

    fn kind_of(&self, metadata: &std::fs::Metadata, link: &Path) -> ObjectKind {
        let text = link.to_string_lossy();
        let kind = metadata.file_type();
        let path = || self.shown(link);
        if text.starts_with("pipe:") {
            ObjectKind::Pipe
        } else if kind.is_fifo() {
            ObjectKind::Fifo(path())
        } else if kind.is_socket() {
            ObjectKind::Socket
        } else if text.starts_with("/memfd:") {
            ObjectKind::Memfd
        } else if kind.is_dir() {
            ObjectKind::Directory(path())
        } else if kind.is_char_device() || kind.is_block_device() {
            if text.starts_with("/dev/pts/") || text == "/dev/tty" {
                ObjectKind::Terminal
            } else {
                ObjectKind::Device(path())
            }
        } else {
            ObjectKind::File(path())
        }
    }

    /// A path as the program would write it: relative to the working directory if it lies there.
    pub(crate) fn shown(&self, path: &Path) -> PathBuf {
        process_files::readable(path.strip_prefix(&self.work).unwrap_or(path))
    }
}

fn descriptor_path(pid: i32, fd: i32) -> String {
    format!("/proc/{pid}/fd/{fd}")
}

fn fxhash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

fn letters(n: usize) -> String {
    let mut n = n - 1;
    let mut text = String::new();
    loop {
        text.insert(0, char::from(b'A' + (n % 26) as u8));
        if n < 26 {
            return text;
        }
        n = n / 26 - 1;
    }
}

/// What one successful call does to the table of the process that made it.
pub(crate) fn apply(table: &mut Descriptors, call: &Call, value: i64, resolved: impl Fn(i32) -> Option<Descriptor>) {
    match call {
        Call::Open { flags, object: Some(object), .. } => {
            let access = match flags & libc::O_ACCMODE {
                libc::O_RDONLY => Access { read: true, write: false },
                libc::O_WRONLY => Access { read: false, write: true },
                _ => Access { read: true, write: true },
            };
            let close_on_exec = flags & libc::O_CLOEXEC != 0;
            table.insert(value as i32, Descriptor { object: *object, access, close_on_exec });
        }
        Call::NewDescriptor { flags, object: Some(object) } => {
            let close_on_exec = flags & libc::O_CLOEXEC != 0;
            let access = Access { read: true, write: true };
            table.insert(value as i32, Descriptor { object: *object, access, close_on_exec });
        }
        Call::Socketpair { first_fd, second_fd, kind, object: Some(a), peer: Some(b) } => {
            let access = Access { read: true, write: true };
            let close_on_exec = kind & libc::SOCK_CLOEXEC != 0;
            table.insert(*first_fd, Descriptor { object: *a, access, close_on_exec });
            table.insert(*second_fd, Descriptor { object: *b, access, close_on_exec });
        }
        Call::Pipe { read_fd, write_fd, flags, object: Some(object) } => {
            let close_on_exec = flags & libc::O_CLOEXEC != 0;
            for (fd, write) in [(*read_fd, false), (*write_fd, true)] {
                let access = Access { read: !write, write };
                table.insert(fd, Descriptor { object: *object, access, close_on_exec });
            }
        }
        // A descriptor put onto itself stays as it is.
        Call::Dup { fd, onto, .. } if *onto == Some(*fd) => {}
        Call::Dup { fd, close_on_exec, .. } => {
            if let Some(old) = table.get(fd).copied() {
                table.insert(value as i32, Descriptor { close_on_exec: *close_on_exec, ..old });
            } else if let Some(new) = resolved(value as i32) {
                table.insert(value as i32, new);
            }
        }
        Call::Close { fd, .. } => {
            table.remove(fd);
        }
        Call::CloseRange { first, last, flags } => {
            let range = i32::try_from(*first).unwrap_or(i32::MAX)..=i32::try_from(*last).unwrap_or(i32::MAX);
            if *flags as u32 & libc::CLOSE_RANGE_CLOEXEC != 0 {
                for (_, d) in table.range_mut(range) {
                    d.close_on_exec = true;
                }
            } else {
                table.retain(|fd, _| !range.contains(fd));
            }
        }
        Call::Fcntl { fd, command, argument, .. } if *command == libc::F_SETFD => {
            if let Some(d) = table.get_mut(fd) {
                d.close_on_exec = *argument as i32 & libc::FD_CLOEXEC != 0;
            }
        }
        Call::Ioctl { fd, request, .. } if [libc::FIOCLEX, libc::FIONCLEX].contains(request) => {
            if let Some(d) = table.get_mut(fd) {
                d.close_on_exec = *request == libc::FIOCLEX;
            }
        }
        _ => {}
    }
}

/// Rebuilds the descriptor tables as they were just before event `index`.
pub(crate) fn replay(seen: &Observation, index: usize) -> BTreeMap<ProcessId, Descriptors> {
    let mut tables: BTreeMap<ProcessId, Descriptors> = BTreeMap::new();
    let standard = |n: u8| seen.objects.iter().position(|o| o.kind == ObjectKind::Standard(n));
    let mut first = Descriptors::new();
    for n in 0..3 {
        if let Some(object) = standard(n).or_else(|| standard(1)) {
            let access = Access { read: n == 0, write: n != 0 };
            first.insert(i32::from(n), Descriptor { object: ObjectId(object as u32), access, close_on_exec: false });
        }
    }
    tables.insert(ProcessId(0), first);
    let Some(limit) = seen.events.get(index) else {
        return tables;
    };
    // A call takes effect when it returns, so calls are ordered by their ends.
    let mut order: Vec<usize> = (0..seen.events.len())
        .filter(|i| {
            *i != index && seen.events[*i].until <= limit.at && (*i < index || seen.events[*i].until < limit.at)
        })
        .collect();
    order.sort_by_key(|i| (seen.events[*i].until, *i));
    for event in order.into_iter().map(|i| &seen.events[i]) {
        match &event.what {
            What::Called { call, result: Some(Ok(value)), .. } => {
                if let Some(table) = tables.get_mut(&event.process) {
                    apply(table, call, *value, |_| None);
                }
            }
            What::Forked { child, .. } => {
                let copy = tables.get(&event.process).cloned().unwrap_or_default();
                tables.insert(*child, copy);
            }
            What::Executed { .. } => {
                if let Some(table) = tables.get_mut(&event.process) {
                    table.retain(|_, d| !d.close_on_exec);
                }
            }
            What::Exited { .. } => {
                tables.remove(&event.process);
            }
            _ => {}
        }
    }
    tables
}
