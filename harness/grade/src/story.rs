//! Tells a run in plain sentences, from what the kernel saw: who made what, who waited for whom, what went where.

use std::time::Duration;

use observe::{Call, Disposition, Event, Exit, ObjectId, ObjectKind, Observation, ProcessId, What};

/// A call that took longer has waited.
const WAITED: Duration = Duration::from_millis(1);
/// Bytes of a transfer that are quoted.
const QUOTED: usize = 40;

/// What happened, a sentence each, in order.
pub(crate) fn tell(seen: &Observation) -> Vec<String> {
    let mut events: Vec<(usize, &Event)> =
        seen.events.iter().enumerate().filter(|(_, e)| !e.startup || becomes(e)).collect();
    // A call that waits for somebody is told when it is done, every other when it is made: so a read comes after the
    // write that it waited for.
    events.sort_by_key(|(_, e)| if waits_for_somebody(seen, e) { e.until } else { e.at });
    let mut story: Vec<Told> = Vec::new();
    for (index, event) in events {
        let Some(told) = told(seen, index, event) else { continue };
        match story.last_mut() {
            Some(last) if last.head == told.head && last.transfer.is_some() && told.transfer.is_some() => {
                last.add(told)
            }
            _ => story.push(told),
        }
    }
    story.into_iter().map(Told::sentence).collect()
}

/// One sentence in the making; transfers of one kind in a row become one.
struct Told {
    head: String,
    transfer: Option<u64>,
    times: u32,
    tail: String,
}

impl Told {
    fn add(&mut self, next: Told) {
        self.times += 1;
        self.transfer = Some(self.transfer.unwrap_or(0) + next.transfer.unwrap_or(0));
        self.tail = String::new();
    }

    fn sentence(self) -> String {
        let text = match (self.transfer, self.times) {
            (Some(bytes), 1) => format!("{} {}{}", self.head, counted(bytes, "byte"), self.tail),
            (Some(bytes), times) => format!("{} {} in {times} calls{}", self.head, counted(bytes, "byte"), self.tail),
            (None, _) => format!("{}{}", self.head, self.tail),
        };
        let mut letters = text.chars();
        let first: String = letters.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
        format!("{first}{}.", letters.as_str())
    }
}

fn counted(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

fn told(seen: &Observation, index: usize, event: &Event) -> Option<Told> {
    let who = seen.name_of(event.process);
    let plain = |text: String| {
        Some(Told { head: format!("{who} {text}"), transfer: None, times: 1, tail: waited(seen, event) })
    };
    match &event.what {
        What::Called { sysno, call: Call::Other { arguments }, result: Some(Ok(taken)), .. }
            if sysno.name() == "io_uring_enter" =>
        {
            plain(ring(*taken, arguments[2])?)
        }
        What::Called { call, result: Some(Ok(value)), .. } => {
            if let Some((verb, object, data)) = transfer(seen, call) {
                return Some(moved(&who, verb, &object, *value, data, waited(seen, event)));
            }
            let pages = event.pages.first().map(|pages| format!("; {pages}")).unwrap_or_default();
            plain(deed(seen, index, event, call, *value)? + &pages)
        }
        What::Called { call: Call::Mmap { address, .. }, result: Some(Err(errno)), .. } => {
            let place = if *address == 0 { "" } else { " at the address it asks for" };
            plain(format!("is refused a mapping{place} ({:?})", nix::errno::Errno::from_raw(*errno)))
        }
        What::Called { call: Call::Open { path, .. }, result: Some(Err(libc::ENXIO)), .. } => {
            plain(format!("cannot open {} to write yet: nobody reads it (ENXIO)", path.display()))
        }
        What::Called { call: Call::Write { object: Some(o), .. }, result: Some(Err(libc::EPIPE)), .. } => {
            plain(format!("writes to {} and finds no reader (EPIPE)", label(seen, *o)))
        }
        What::Forked { child, .. } => plain(format!("forks {}", seen.name_of(*child))),
        What::Executed { path, .. } => plain(format!("becomes {}", path.display())),
        What::Signalled { signal, disposition, .. } => {
            let name = nix::sys::signal::Signal::try_from(*signal).map_or("a signal", |s| s.as_str());
            plain(match disposition {
                Disposition::Handler => format!("gets {name}, and its handler is called"),
                Disposition::Ignored => format!("gets {name} and ignores it"),
                Disposition::Default => format!("gets {name}"),
            })
        }
        What::HandlerReturned => plain("returns from the handler".into()),
        What::Exited { exit: Exit::Code(code), .. } => {
            let pages =
                event.pages.last().map(|pages| format!("; of what it mapped last, {pages}")).unwrap_or_default();
            plain(format!("ends with status {code}{pages}"))
        }
        What::Exited { exit: Exit::Signal(signal), .. } => plain(format!("is killed by signal {signal}")),
        _ => None,
    }
}

/// Whether a process becomes another program: a turn in the story, though the calls about it are the loader's. That the
/// first process becomes the program is where the story begins.
fn becomes(event: &Event) -> bool {
    matches!(event.what, What::Executed { .. }) && event.process != ProcessId(0)
}

fn waited(seen: &Observation, event: &Event) -> String {
    let time = event.until.saturating_sub(event.at);
    if time < WAITED || !may_wait(seen, event) {
        return String::new();
    }
    let time = format!("{:.1} ms", time.as_secs_f64() * 1e3);
    match &event.what {
        What::Called { call: Call::Futex { .. }, .. } => format!(", for {time}"),
        What::Called { call: Call::Wait { .. }, .. } => format!(" for {time}"),
        _ => format!(" after {time} of waiting"),
    }
}

/// Whether it is a call that waits for somebody: that a full pipe is emptied counts too. What else takes time is the
/// looking itself.
fn may_wait(seen: &Observation, event: &Event) -> bool {
    let What::Called { call: Call::Write { object: Some(object), .. }, .. } = &event.what else {
        return waits_for_somebody(seen, event);
    };
    matches!(seen.object(*object).kind, ObjectKind::Pipe | ObjectKind::Fifo(_) | ObjectKind::Socket)
}

/// Whether it is a call that ends with what another process does: nobody waits for a file.
fn waits_for_somebody(seen: &Observation, event: &Event) -> bool {
    let What::Called { call, .. } = &event.what else { return false };
    match call {
        Call::Open { object, .. } => object.is_some_and(|o| matches!(seen.object(o).kind, ObjectKind::Fifo(_))),
        Call::Read { object, .. } => {
            !object.is_some_and(|o| matches!(seen.object(o).kind, ObjectKind::File(_) | ObjectKind::Directory(_)))
        }
        Call::Futex { op, .. } => op & 0x7f == libc::FUTEX_WAIT,
        call => matches!(call, Call::Wait { .. } | Call::Poll { .. } | Call::SignalWait { .. }),
    }
}

/// Bytes that go from or to somewhere worth telling.
fn transfer<'a>(seen: &Observation, call: &'a Call) -> Option<(&'static str, String, &'a [u8])> {
    match call {
        Call::Read { object: Some(o), data, .. } => Some(("reads from", label(seen, *o), data)),
        Call::Write { object: Some(o), data, .. } => Some(("writes to", label(seen, *o), data)),
        Call::Move { from: Some(from), to: Some(to), .. } => {
            Some(("lets the kernel move from", format!("{} to {}", label(seen, *from), label(seen, *to)), &[]))
        }
        _ => None,
    }
}

fn moved(who: &str, verb: &str, object: &str, value: i64, data: &[u8], waited: String) -> Told {
    let bytes = value.max(0) as u64;
    let head = format!("{who} {verb} {object}:");
    if bytes == 0 {
        let ending = if verb.starts_with("reads") { "end of file" } else { "nothing" };
        return Told { head: format!("{head} {ending}"), transfer: None, times: 1, tail: waited };
    }
    let data = &data[..data.len().min(bytes as usize)];
    let text = std::str::from_utf8(data).ok().filter(|_| (1..=QUOTED).contains(&data.len()));
    let quoted = text.map(|t| format!(", \"{}\"", t.escape_debug())).unwrap_or_default();
    Told { head, transfer: Some(bytes), times: 1, tail: quoted + &waited }
}

/// Calls other than transfers.
fn deed(seen: &Observation, index: usize, event: &Event, call: &Call, value: i64) -> Option<String> {
    Some(match call {
        Call::Pipe { read_fd, write_fd, object: Some(o), .. } => {
            format!("makes {}: {read_fd} to read, {write_fd} to write", label(seen, *o))
        }
        Call::Mmap { len, prot, flags, object, .. } => {
            let shared = flags & libc::MAP_TYPE != libc::MAP_PRIVATE;
            let what = match object {
                Some(o) => label(seen, *o),
                // The allocator's and the threads' own are of no interest.
                None if !shared && (event.source.is_none() || flags & libc::MAP_STACK != 0) => return None,
                None => "anonymous memory".into(),
            };
            let how = if shared { "shared" } else { "private" };
            let writable = if prot & libc::PROT_WRITE != 0 { "writable" } else { "read-only" };
            let place = if flags & libc::MAP_FIXED != 0 { ", in place of whatever was there" } else { "" };
            if *prot == libc::PROT_NONE {
                return Some(format!("reserves {} of addresses{place}", counted(*len, "byte")));
            }
            format!("maps {what}, {how} and {writable}, {}{place}", counted(*len, "byte"))
        }
        Call::Munmap { len, .. } if event.source.is_some() => format!("unmaps {}", counted(*len, "byte")),
        Call::Mremap { old_len, new_len, .. } => {
            format!("makes a mapping of {} one of {}", counted(*old_len, "byte"), counted(*new_len, "byte"))
        }
        Call::Msync { len, flags, .. } if flags & libc::MS_SYNC != 0 => {
            format!("has {} of a mapping written to the device", counted(*len, "byte"))
        }
        Call::Open { flags, object: Some(o), .. } => {
            let way = match flags & libc::O_ACCMODE {
                libc::O_RDONLY => "to read",
                libc::O_WRONLY => "to write",
                _ => "to read and write",
            };
            format!("opens {} {way}", label(seen, *o))
        }
        Call::Close { fd, object: Some(o) } => closing(seen, index, event, *fd, *o)?,
        // The library asks for it before it reads a file to its end, to know how much that will be.
        Call::Seek { offset: 0, whence: libc::SEEK_CUR, .. } if value == 0 => return None,
        Call::Seek { object: Some(o), offset: 0, whence: libc::SEEK_CUR, .. } => {
            format!("asks for the offset in {}: {value}", label(seen, *o))
        }
        Call::Seek { object: Some(o), .. } => format!("moves the offset in {} to {value}", label(seen, *o)),
        Call::MakeNode { path, mode } => format!("makes FIFO {} with mode {:04o}", path.display(), mode & 0o7777),
        Call::Unlink { path } => format!("removes {}", path.display()),
        Call::Rename { from, to, .. } => format!("renames {} to {}", from.display(), to.display()),
        Call::Chmod { mode, .. } => format!("sets the mode to {:04o}", mode & 0o7777),
        Call::Truncate { len, .. } => format!("makes the file {} long", counted(*len, "byte")),
        Call::Sync { object: Some(o), .. } => format!("has {} written to its device", label(seen, *o)),
        Call::Wait { reaped: Some(child), .. } => format!("has waited for {}", seen.name_of(*child)),
        Call::Sleep { nanoseconds } => format!("sleeps for {} ms", nanoseconds / 1_000_000),
        Call::Futex { op, .. } if op & 0x7f == libc::FUTEX_WAIT => "waits for a word in memory to change".into(),
        Call::Futex { op, .. } if op & 0x7f == libc::FUTEX_WAKE && value > 0 => {
            "wakes who waits for a word in memory".into()
        }
        Call::Sigaction { signal, disposition: Some(Disposition::Handler), .. } => {
            let signal = nix::sys::signal::Signal::try_from(*signal).ok()?;
            format!("arranges a handler for {signal}")
        }
        _ => return None,
    })
}

/// What a program asked of its ring: so many requests were taken, so many results awaited.
fn ring(taken: i64, awaited: u64) -> Option<String> {
    let wait = |n| if n == 1 { "one of its requests is done".into() } else { format!("{n} of its requests are done") };
    Some(match (taken, awaited) {
        (..1, 0) => return None,
        (..1, n) => format!("waits until {}", wait(n)),
        (1, 0) => "hands the kernel a request".into(),
        (1, n) => format!("hands the kernel a request, and waits until {}", wait(n)),
        (taken, 0) => format!("hands the kernel {taken} requests by one call"),
        (taken, n) => format!("hands the kernel {taken} requests by one call, and waits until {}", wait(n)),
    })
}

/// Which end of a pipe is closed, and whether it was the last of its kind.
fn closing(seen: &Observation, index: usize, event: &Event, fd: i32, object: ObjectId) -> Option<String> {
    if !matches!(seen.object(object).kind, ObjectKind::Pipe | ObjectKind::Fifo(_)) {
        return None;
    }
    let tables = seen.descriptors_before(index);
    let writes = tables.get(&event.process)?.get(&fd)?.access.write;
    let others = tables.values().flat_map(|t| t.values());
    let same = others.filter(|d| d.object == object && d.access.write == writes).count();
    let end = if writes { "write" } else { "read" };
    let last = match (writes, same) {
        (true, 1) => ": the last one, so whoever reads comes to the end of file",
        (false, 1) => ": the last one, so nobody can read any more",
        _ => "",
    };
    Some(format!("closes its {end} end of {}{last}", label(seen, object)))
}

fn label(seen: &Observation, object: ObjectId) -> String {
    seen.object(object).label.clone()
}
