//! `fdopen_file`, of `06_stdio`: one line through a stream into a file.

use std::path::Path;

use observe::{Call, Event, InputFile, ObjectId, ObjectKind, On};

use crate::spec::Spec;
use crate::spec::common::calls::{WRITES, writes_of};
use crate::spec::common::endings::{command_line, ended, status, text};
use crate::spec::common::plans::{bad_usage, cut, failing, interrupted};
use crate::spec::common::text::{difference, quoted};
use crate::spec::common::{OPENS, reports, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run, Stage};

/// How people name the calls that empty a buffer into a file.
const FILE_OUTPUTS: &[&str] = &["write", "print", "flush", "put", "close"];

/// `fdopen_file PATH NAME SCORE`
pub(crate) fn fdopen_file() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but PATH, NAME and an integer is refused", usage),
            Check::outside("reports", "a failing open or write is reported with the path", reports),
            Check::outside("output", "the file holds the line, and standard output nothing", written),
            Check::seen("flushed", "what was printed into the stream comes into the file", flushed),
            Check::seen("one-write", "the line leaves the buffer in one write", one_write),
            Check::seen("closed-once", "the descriptor is closed, and once", closed_once),
            Check::outside("truncated", "of a file that was there before nothing is left", truncated),
            Check::seen("mode", "a new file may be read and written by its owner and by nobody else", mode),
            Check::seen("short-io", "the line is whole when writes are cut short", under_faults),
            Check::seen("eintr", "the line is whole when writes are interrupted", under_faults),
        ],
        demo: new_file,
    }
}

fn new_file(nonce: &mut Nonce) -> Plan {
    let (path, len) = (format!("{}.txt", nonce.word(6)), nonce.number(3, 20) as usize);
    let name = nonce.sentence(len);
    let score = nonce.number(1000, 5_000_000_000).to_string();
    Plan::new("a new file").arg(path).arg(name).arg(score).prints("").judged_by(&[
        "output",
        "flushed",
        "one-write",
        "closed-once",
        "mode",
    ])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let plain = new_file(nonce);
    let path = plain.argument(0);
    let old = nonce.text(300);
    let there = new_file(nonce);
    let there_path = there.argument(0);
    let full = plain
        .again("the disk is full", &[])
        .reports(FILE_OUTPUTS, Some(&path), libc::ENOSPC)
        .fault(failing(WRITES, Some(On::WrittenFile), libc::ENOSPC))
        .because("When the file cannot be written");
    let nowhere = Plan::new("open fails").arg("nowhere/file").arg("Ada").arg("123");
    vec![
        plain.clone(),
        there
            .again("a file is there", &["truncated", "one-write", "closed-once"])
            .file(InputFile::new(there_path, old))
            .because("When a longer file is there already"),
        nowhere.reports(OPENS, Some("nowhere"), libc::ENOENT),
        full,
        bad_usage("no arguments", &[]),
        bad_usage("no score", &["file", "Ada"]),
        bad_usage("one too many", &["file", "Ada", "1", "2"]),
        cut(&plain, &[On::WrittenFile], WRITES, "write", 3),
        interrupted(&plain, &[On::WrittenFile]).at(Stage::Hard),
    ]
}

fn line(run: &Run) -> Vec<u8> {
    format!("Name:{} Score:{}\n", run.plan.argument(1), run.plan.argument(2)).into_bytes()
}

/// `output`: the file holds the line and nothing else.
fn written(run: &Run) -> Finding {
    ended(run)?;
    status(run)?;
    text(run)?;
    let (path, line) = (run.plan.argument(0), line(run));
    let wrong = |message: String| Failure::new(Reason::WrongOutput, message).evidence(command_line(run)).found();
    match run.seen.files.iter().find(|f| f.path == Path::new(&path)) {
        None => wrong(format!("There is no file {path} at the end: make it with open, O_CREAT.")),
        Some(left) if left.bytes == line => Ok(()),
        Some(left) if left.bytes.is_empty() => wrong(format!(
            "{path} is empty: the line never left the stream's buffer. Flush or close the stream before the program ends."
        )),
        Some(left) => wrong(format!(
            "Into {path} the program {}.",
            difference(&line, &left.bytes).replacen("printed", "wrote", 1)
        )),
    }
}

/// `truncated`: the same where a longer file was.
fn truncated(run: &Run) -> Finding {
    ended(run)?;
    status(run)?;
    let (path, line) = (run.plan.argument(0), line(run));
    let old = run.plan.launch.files.first().map(|f| &f.content);
    let Some(left) = run.seen.files.iter().find(|f| f.path == Path::new(&path)) else {
        return Failure::new(Reason::WrongState, format!("{path} is gone.")).found();
    };
    let Some(observe::Content::Bytes(old)) = old else { return Ok(()) };
    let made_anew = run.seen.successes().any(|(_, _, call, _)| match call {
        Call::Unlink { path: gone } => gone.file_name() == Path::new(&path).file_name(),
        Call::Rename { from, to, .. } => [from, to].iter().any(|one| one.file_name() == Path::new(&path).file_name()),
        _ => false,
    });
    let words = match &left.bytes {
        bytes if *bytes == line && !made_anew => return Ok(()),
        bytes if *bytes == line => format!(
            "{path} was there, and another file has taken its name: what is there is to be emptied and to stay, with its owner, its mode and its other names. Open it with O_TRUNC."
        ),
        bytes if bytes.starts_with(&line) && bytes.len() == old.len() => format!(
            "The line is at the beginning of {path}, but after it comes what is left of the old, longer file: open it with O_TRUNC."
        ),
        bytes if bytes.starts_with(old) => {
            format!("The old contents of {path} are still before the line: open it with O_TRUNC, not to append.")
        }
        bytes => format!("{path} holds {} instead of the line alone.", quoted(bytes)),
    };
    Failure::new(Reason::WrongState, words).at(openings(run).first().and_then(|(e, ..)| e.source.as_ref())).found()
}

/// Where the program opened regular files to write: event, mode given, descriptor, file.
fn openings<'a>(run: &Run<'a>) -> Vec<(&'a Event, u32, i32, ObjectId)> {
    let opened = run.seen.successes().filter_map(|(_, event, call, fd)| match call {
        Call::Open { flags, mode, object: Some(object), .. }
            if flags & libc::O_ACCMODE != libc::O_RDONLY
                && matches!(run.seen.object(*object).kind, ObjectKind::File(_)) =>
        {
            Some((event, *mode, fd as i32, *object))
        }
        _ => None,
    });
    opened.collect()
}

/// `flushed`: a file was opened to write, and something was written into it.
fn flushed(run: &Run) -> Finding {
    let opened = openings(run);
    let Some((event, ..)) = opened.first() else {
        return Err(Objection::open("no file was opened to write"));
    };
    if opened.iter().any(|(.., file)| writes_of(run.seen, *file).any(|t| t.bytes > 0)) {
        return Ok(());
    }
    let words = "Nothing was ever written to the file: what was printed into the stream stayed in its buffer, and was lost when the program ended. Flush or close the stream, and look at the result.";
    Failure::new(Reason::WrongCalls, words).at(event.source.as_ref()).found()
}

/// `one-write`: all pieces of the line leave together.
fn one_write(run: &Run) -> Finding {
    let all = openings(run).into_iter().map(|(.., file)| file);
    let writes: Vec<_> =
        all.flat_map(|file| writes_of(run.seen, file).filter(|t| t.bytes > 0).collect::<Vec<_>>()).collect();
    match writes.as_slice() {
        [] => Err(Objection::open("nothing was written to a file")),
        [_] => Ok(()),
        [first, ..] => {
            let words = format!(
                "The line takes {} writes: it is printed straight into the descriptor, piece by piece. Print it into a buffered stream.",
                writes.len()
            );
            let pieces = writes.iter().map(|t| format!("write of {}", quoted(t.data)));
            Failure::new(Reason::WrongCalls, words).at(first.event.source.as_ref()).evidences(pieces).found()
        }
    }
}

/// `closed-once`: each descriptor of the file is closed, and not again when it is no longer the file's.
fn closed_once(run: &Run) -> Finding {
    let opened = openings(run);
    if opened.is_empty() {
        return Err(Objection::open("no file was opened to write"));
    }
    let mine = |fd: i32, file: Option<ObjectId>| opened.iter().any(|(.., f, o)| *f == fd || Some(*o) == file);
    let closes = |failed: bool| {
        run.seen.calls().find_map(|(_, event, call, result)| match (call, result) {
            (Call::Close { fd, object }, Some(Ok(_))) if !failed && mine(-1, *object) => Some((event, *fd)),
            (Call::Close { fd, .. }, Some(Err(libc::EBADF))) if failed && mine(*fd, None) => Some((event, *fd)),
            _ => None,
        })
    };
    if let Some((event, fd)) = closes(true) {
        let words = format!(
            "Descriptor {fd} is closed twice: the stream owns it, and closes it. The second close says EBADF here; in a larger program it closes whatever has got the number {fd} meanwhile."
        );
        return Failure::new(Reason::WrongCalls, words).at(event.source.as_ref()).found();
    }
    if closes(false).is_some() || run.seen.exit().is_none() {
        return Ok(());
    }
    let words = "The file is never closed: its descriptor stays open until the process ends. Close the stream (drop it, or fclose) when the line is in it.";
    Failure::new(Reason::WrongCalls, words).at(opened.first().and_then(|(e, ..)| e.source.as_ref())).found()
}

/// `mode`: 0600 for a new file, by the program's own word and not by the umask's.
fn mode(run: &Run) -> Finding {
    let path = run.plan.argument(0);
    let Some(left) = run.seen.files.iter().find(|f| f.path == Path::new(&path)) else {
        return Err(Objection::open(format!("there is no file {path}")));
    };
    let changed = run.seen.successes().any(|(_, _, call, _)| matches!(call, Call::Chmod { .. }));
    let opened = openings(run);
    let asked = opened.first().map(|(_, mode, ..)| mode & 0o7777).filter(|mode| !changed && mode & 0o077 != 0);
    let (given, whose) = match (left.mode & 0o777, asked) {
        (0o600, None) => return Ok(()),
        (_, Some(asked)) => (asked, "asked for"),
        (mode, None) => (mode, "left with"),
    };
    let words = format!(
        "{path} is {whose} mode {given:04o} instead of 0600: the umask takes bits away, but which ones is not yours to say. Give open the mode 0600."
    );
    Failure::new(Reason::WrongState, words).at(opened.first().and_then(|(e, ..)| e.source.as_ref())).found()
}

/// `short-io`, `eintr`: the same file as without the faults.
fn under_faults(run: &Run) -> Finding {
    written(run).map_err(|objection| {
        objection.amended(|failure| {
            if !matches!(failure.reason, Reason::Hung | Reason::Flooded) {
                failure.reason = Reason::FaultNotHandled;
            }
        })
    })
}
