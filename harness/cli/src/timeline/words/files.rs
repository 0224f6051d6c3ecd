//! Descriptors, names and contents of files, in words.

use std::path::Path;
use std::time::Duration;

use nix::libc;
use observe::{Call, ObjectId, ObjectKind, ProcessId};

use super::{CallResult, Kind, Said, Speaker, error, finish};
use crate::timeline::readable::{fit_middle, plural, printable, size};

impl Speaker<'_> {
    pub(super) fn file(&self, who: ProcessId, call: &Call, result: CallResult) -> Said {
        match call {
            Call::Open { path, flags, object, .. } => self.open(path, *flags, *object, result),
            Call::Close { fd, object } => finish(self.close(who, *fd, *object), result),
            Call::Pipe { .. } | Call::NewDescriptor { .. } | Call::Socketpair { .. } | Call::Dup { .. } => {
                finish(self.descriptor(call, result), result)
            }
            _ => finish(self.name_or_content(call), result),
        }
    }

    fn open(&self, path: &Path, flags: i32, object: Option<ObjectId>, result: CallResult) -> Said {
        let name = match object {
            Some(_) => self.label(object, -1),
            None => named(path),
        };
        let (how, peer) = match flags & libc::O_ACCMODE {
            libc::O_RDONLY => ("to read", "a writer"),
            libc::O_WRONLY => ("to write", "a reader"),
            _ => ("to read and write", "nobody"),
        };
        let cached = flags & libc::O_DIRECT == 0;
        let how = if cached { how.to_owned() } else { format!("{how}, past the page cache") };
        let mut said = match result {
            Some(Ok(_)) => Said::new(Kind::Make, format!("opens {name}"), format!("opens {name} {how}")),
            Some(Err(libc::ENXIO)) if flags & libc::O_NONBLOCK != 0 => Said::new(
                Kind::Make,
                format!("opens {name} ✗"),
                format!("cannot open {name} {how} yet: nobody reads it (ENXIO)"),
            ),
            Some(Err(errno)) => {
                Said::new(Kind::Make, format!("opens {name} ✗"), format!("cannot open {name} {how}: {}", error(errno)))
            }
            None => Said::same(Kind::Make, format!("waits for {peer} to open {name}")),
        };
        said.failed = matches!(result, Some(Err(_)));
        let fifo = matches!(self.kind(object), Some(ObjectKind::Fifo(_)));
        said.quiet = matches!(self.kind(object), Some(ObjectKind::Directory(_) | ObjectKind::Device(_)));
        if (fifo && flags & libc::O_NONBLOCK == 0) || result.is_none() {
            said = said.waits(format!("for {peer} to open {name}"));
            said.patience = Duration::MAX;
        }
        said.about(object)
    }

    fn close(&self, who: ProcessId, fd: i32, object: Option<ObjectId>) -> Said {
        let label = self.label(object, fd);
        let piped = matches!(self.kind(object), Some(ObjectKind::Pipe | ObjectKind::Fifo(_)));
        let end = match self.ends.get(&(who, fd)) {
            Some(access) if piped && access.write && !access.read => "write end",
            Some(access) if piped && access.read && !access.write => "read end",
            _ => "",
        };
        let said = match end {
            "" => Said::same(Kind::Close, format!("closes {label}")),
            end => Said::new(
                Kind::Close,
                format!("closes {label} {end}"),
                format!("closes its {end} of {label} (descriptor {fd})"),
            ),
        };
        let said = said.about(object);
        let told = matches!(
            self.kind(object),
            Some(ObjectKind::Pipe | ObjectKind::Fifo(_) | ObjectKind::File(_) | ObjectKind::Memfd | ObjectKind::Socket)
        );
        if told { said } else { said.quiet() }
    }

    fn descriptor(&self, call: &Call, result: CallResult) -> Said {
        match call {
            Call::Pipe { read_fd, write_fd, object, .. } => {
                let label = self.label(*object, *read_fd);
                let sentence = format!("makes {label}: descriptor {read_fd} reads, descriptor {write_fd} writes");
                Said::new(Kind::Make, format!("makes {label}"), sentence).about(*object)
            }
            Call::Socketpair { object, peer, first_fd, second_fd, .. } => {
                let (one, other) = (self.label(*object, *first_fd), self.label(*peer, *second_fd));
                Said::new(Kind::Make, "makes a socket pair", format!("makes {one} and {other}, joined to each other"))
            }
            Call::Dup { fd, object, onto, .. } => {
                let label = self.label(*object, *fd);
                let new = result.and_then(Result::ok).or(onto.map(i64::from));
                let (brief, place) = match new {
                    Some(0) => (format!("stdin ← {label}"), "its standard input".into()),
                    Some(1) => (format!("stdout → {label}"), "its standard output".into()),
                    Some(2) => (format!("stderr → {label}"), "its standard error".into()),
                    Some(n) => (format!("duplicates {label}"), format!("descriptor {n}")),
                    None => (format!("duplicates {label}"), "a new descriptor".into()),
                };
                // A shell puts its standard output back from where it kept it.
                let named = if place.ends_with(&label) { format!("descriptor {fd}") } else { label };
                Said::new(Kind::Make, brief, format!("makes {place} another name for {named}")).about(*object)
            }
            Call::NewDescriptor { object, .. } => {
                Said::same(Kind::Make, format!("makes {}", self.label(*object, -1))).about(*object)
            }
            _ => Said::same(Kind::Make, "makes a descriptor"),
        }
    }

    fn name_or_content(&self, call: &Call) -> Said {
        let said = |words: String| Said::same(Kind::File, words);
        match call {
            Call::MakeNode { path, mode } if mode & libc::S_IFMT == libc::S_IFIFO => {
                said(format!("makes FIFO {}", named(path)))
            }
            Call::MakeNode { path, .. } => said(format!("makes {}", named(path))),
            Call::MakeDirectory { path, .. } => said(format!("makes directory {}", named(path))),
            Call::Unlink { path } => said(format!("removes {}", named(path))),
            Call::Rename { from, to, .. } => said(format!("renames {} to {}", named(from), named(to))),
            Call::Link { from, to } => said(format!("links {} as {}", named(from), named(to))),
            Call::Symlink { target, path } => said(format!("makes {} point to {}", named(path), named(target))),
            Call::Chmod { path, mode, .. } => said(format!("sets mode {:o} on {}", mode & 0o7777, or_descriptor(path))),
            Call::Truncate { path, fd, object, len } => {
                let what = if path.as_os_str().is_empty() { self.label(*object, *fd) } else { named(path) };
                let sentence = format!("makes {what} {} long", plural(*len, "byte"));
                Said::new(Kind::File, format!("sizes {what}: {}", size(*len)), sentence).about(*object)
            }
            Call::Allocate { fd, object, len, .. } => {
                said(format!("reserves {} for {}", size(*len), self.label(*object, *fd))).about(*object)
            }
            Call::Sync { fd, object } => {
                let label = self.label(*object, *fd);
                let sentence = format!("waits until {label} is safe on its device");
                Said::new(Kind::File, format!("syncs {label}"), sentence).about(*object).waits("for the device")
            }
            Call::Seek { fd, object, .. } => {
                said(format!("moves its place in {}", self.label(*object, *fd))).about(*object).quiet()
            }
            Call::Look { path, .. } => said(format!("looks at {}", or_descriptor(path))).quiet(),
            Call::CloseRange { first, last, .. } if *last > 0xFFFF => {
                Said::same(Kind::Close, format!("closes all descriptors from {first}"))
            }
            Call::CloseRange { first, last, .. } => {
                Said::same(Kind::Close, format!("closes descriptors {first} to {last}"))
            }
            Call::Fcntl { fd, object, .. } => {
                said(format!("asks about or sets flags of {}", self.label(*object, *fd))).quiet()
            }
            Call::Ioctl { fd, object, .. } => said(format!("asks the driver of {}", self.label(*object, *fd))).quiet(),
            _ => said("does something with a file".into()).quiet(),
        }
    }
}

/// Files that every program on a system uses, whatever it is there for: libraries, locales, devices.
const OF_THE_SYSTEM: [&str; 11] = [
    "/usr/lib",
    "/usr/local/lib",
    "/usr/share",
    "/lib",
    "/proc",
    "/sys",
    "/dev",
    "/etc/ld.so",
    "/etc/locale",
    "/etc/nsswitch.conf",
    "/etc/selinux",
];

/// The object is such a file.
pub(in crate::timeline) fn of_the_system(kind: &ObjectKind) -> bool {
    match kind {
        ObjectKind::File(path) | ObjectKind::Device(path) | ObjectKind::Directory(path) => path_of_the_system(path),
        _ => false,
    }
}

fn path_of_the_system(path: &Path) -> bool {
    let name = path.to_string_lossy();
    OF_THE_SYSTEM.iter().any(|start| name.starts_with(start))
}

impl Speaker<'_> {
    /// The call is about such a file: true for what nobody would tell of a program.
    pub(super) fn is_of_the_system(&self, call: &Call, object: Option<ObjectId>) -> bool {
        let opened = matches!(call, Call::Open { path, .. } if path_of_the_system(path));
        opened || self.kind(object).is_some_and(of_the_system)
    }
}

fn named(path: &Path) -> String {
    fit_middle(&printable(&path.to_string_lossy()), 30)
}

fn or_descriptor(path: &Path) -> String {
    if path.as_os_str().is_empty() { "an open file".into() } else { named(path) }
}
