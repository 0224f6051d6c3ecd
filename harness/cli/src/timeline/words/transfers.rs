//! Reading and writing, in words.

use std::time::Duration;

use nix::libc;
use observe::{Call, ObjectId, ObjectKind};

use super::{CallResult, Kind, Moved, Said, Speaker, error};
use crate::timeline::readable::{plural, quoted, size};

/// Columns that data may take in a sentence.
const DATA_ROOM: usize = 36;

impl Speaker<'_> {
    pub(super) fn transfer(&self, call: &Call, result: CallResult) -> Said {
        match call {
            Call::Read { fd, object, asked, data, .. } => self.read(*fd, *object, *asked, data, result),
            Call::Write { fd, object, asked, data, .. } => self.write(*fd, *object, *asked, data, result),
            Call::Move { from_fd, from, to_fd, to, .. } => self.moved((*from, *from_fd), (*to, *to_fd), result),
            _ => Said::same(Kind::Other, "moves bytes"),
        }
    }

    fn read(&self, fd: i32, object: Option<ObjectId>, asked: u64, data: &[u8], result: CallResult) -> Said {
        let label = self.label(object, fd);
        let mut said = match result {
            Some(Ok(0)) if asked > 0 => {
                Said::new(Kind::EndOfFile, format!("end-of-file of {label}"), format!("reads end-of-file from {label}"))
            }
            Some(Ok(n)) => {
                let n = n.max(0) as u64;
                let shown = &data[..data.len().min(n as usize)];
                let mut said = Said::new(
                    Kind::Read,
                    format!("reads {}", size(n)),
                    format!("reads {} from {label}{}", plural(n, "byte"), colon(shown, n)),
                );
                said.taken = object.map(|object| Moved { object, bytes: n });
                said.place = format!(" from {label}");
                said
            }
            Some(Err(errno)) => self.refused(&label, errno, "read from", "finds nothing to read yet in"),
            None => Said::same(Kind::Read, format!("waits for bytes in {label}")),
        };
        if !matches!(self.kind(object), Some(ObjectKind::File(_) | ObjectKind::Directory(_))) {
            said = said.waits(format!("for bytes in {label}"));
        }
        if matches!(self.kind(object), Some(ObjectKind::Pipe | ObjectKind::Fifo(_))) {
            said.patience = Duration::MAX;
        }
        said.about(object)
    }

    fn write(&self, fd: i32, object: Option<ObjectId>, asked: u64, data: &[u8], result: CallResult) -> Said {
        let label = self.label(object, fd);
        let out = self.prints(object);
        let mut said = match result {
            Some(Ok(n)) => {
                let n = n.max(0) as u64;
                let shown = &data[..data.len().min(n as usize)];
                let short =
                    if n < asked { format!(", of {} that it offered,", plural(asked, "byte")) } else { String::new() };
                let (kind, brief, sentence) = match out {
                    Some(place) => {
                        (Kind::Print, quoted(shown, 24), format!("prints {}{short}{place}", quoted(shown, DATA_ROOM)))
                    }
                    None => (
                        Kind::Write,
                        format!("writes {}", size(n)),
                        format!("writes {}{short} to {label}{}", plural(n, "byte"), colon(shown, n)),
                    ),
                };
                let mut said = Said::new(kind, brief, sentence);
                said.given = object.map(|object| Moved { object, bytes: n });
                said.place = out.map_or_else(|| format!(" to {label}"), str::to_owned);
                said
            }
            Some(Err(libc::EPIPE)) => self.refused_by_nobody(&label),
            Some(Err(errno)) => self.refused(&label, errno, "write to", "finds no room yet in"),
            None => Said::same(Kind::Write, format!("waits for room in {label}")),
        };
        if !matches!(self.kind(object), Some(ObjectKind::File(_))) {
            said = said.waits(format!("for room in {label}"));
            said.patience = Duration::MAX;
        }
        said.about(object)
    }

    fn moved(&self, from: (Option<ObjectId>, i32), to: (Option<ObjectId>, i32), result: CallResult) -> Said {
        let (source, sink) = (self.label(from.0, from.1), self.label(to.0, to.1));
        let said = match result {
            Some(Ok(0)) => {
                Said::new(Kind::EndOfFile, format!("end-of-file of {source}"), format!("reaches the end of {source}"))
            }
            Some(Ok(n)) => {
                let bytes = n.max(0) as u64;
                let sentence = format!("lets the kernel move {} from {source} to {sink}", plural(bytes, "byte"));
                let mut said = Said::new(Kind::Write, format!("moves {}", size(bytes)), sentence);
                said.taken = from.0.map(|object| Moved { object, bytes });
                said.given = to.0.map(|object| Moved { object, bytes });
                said.place = format!(" to {sink}");
                said
            }
            Some(Err(errno)) => self.refused(&sink, errno, "have bytes moved to", "cannot yet move bytes to"),
            None => Said::same(Kind::Write, format!("waits to move bytes from {source} to {sink}")),
        };
        said.waits(format!("to move bytes from {source} to {sink}")).about(to.0)
    }

    fn refused(&self, label: &str, errno: i32, verb: &str, not_yet: &str) -> Said {
        let mut said = match errno {
            libc::EAGAIN => Said::new(Kind::Other, "not yet ✗", format!("{not_yet} {label} (EAGAIN)")),
            libc::EINTR => {
                Said::new(Kind::Other, "interrupted ✗", format!("is interrupted by a signal (EINTR) on {label}"))
            }
            _ => Said::new(Kind::Other, "fails ✗", format!("cannot {verb} {label}: {}", error(errno))),
        };
        said.failed = true;
        said
    }

    fn refused_by_nobody(&self, label: &str) -> Said {
        let sentence = format!("cannot write to {label}: nobody can read it any more (EPIPE)");
        let mut said = Said::new(Kind::Other, "no reader ✗", sentence);
        said.failed = true;
        said
    }

    /// Where printed bytes go, if the object is where people look: "", or " on standard error".
    pub fn prints(&self, object: Option<ObjectId>) -> Option<&'static str> {
        match self.kind(object)? {
            ObjectKind::Standard(1) | ObjectKind::Terminal => Some(""),
            ObjectKind::Standard(2) => Some(" on standard error"),
            _ => None,
        }
    }
}

fn colon(shown: &[u8], all: u64) -> String {
    match (shown.is_empty(), (shown.len() as u64) < all) {
        (true, _) => String::new(),
        (false, false) => format!(": {}", quoted(shown, DATA_ROOM)),
        (false, true) => format!(", beginning with {}", quoted(shown, DATA_ROOM)),
    }
}
