//! Who wrote which part of an output.

use observe::{Call, ObjectKind, Observation, Output, ProcessId, What};

use super::readable::escaped;

/// Parts of an output that are shown.
const MOST_PARTS: usize = 60;
/// Bytes of an output that are shown.
const MOST_BYTES: usize = 8 << 10;

/// A part of an output and its author, if known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Who wrote it.
    pub author: Option<ProcessId>,
    /// Lines, printable.
    pub lines: Vec<String>,
}

/// The parts of standard output (1) or standard error (2), and whether something was left out.
pub(super) fn parts(obs: &Observation, stream: u8) -> (Vec<Part>, bool) {
    let output = if stream == 1 { &obs.stdout } else { &obs.stderr };
    let pieces = written(obs, stream);
    let all: u64 = pieces.iter().map(|(_, n)| n).sum();
    let pieces = if all == output.total { pieces } else { vec![(None, output.total)] };
    cut(output, &pieces)
}

fn cut(output: &Output, pieces: &[(Option<ProcessId>, u64)]) -> (Vec<Part>, bool) {
    let shown = &output.bytes[..output.bytes.len().min(MOST_BYTES)];
    let mut parts: Vec<Part> = Vec::new();
    let mut at = 0;
    for (author, len) in pieces.iter().take(MOST_PARTS) {
        let end = at + (*len as usize).min(shown.len() - at);
        if end > at {
            parts.push(Part { author: *author, lines: lines(&shown[at..end]) });
        }
        at = end;
    }
    (parts, (at as u64) < output.total)
}

/// Author and length of each write in turn, those of one author in a row as one.
fn written(obs: &Observation, stream: u8) -> Vec<(Option<ProcessId>, u64)> {
    let mut pieces: Vec<(Option<ProcessId>, u64)> = Vec::new();
    for event in &obs.events {
        let What::Called { call, result: Some(Ok(n)), .. } = &event.what else { continue };
        let object = match call {
            Call::Write { object, .. } => object,
            Call::Move { to, .. } => to,
            _ => continue,
        };
        let kind = object.and_then(|id| obs.objects.get(id.0 as usize)).map(|o| &o.kind);
        let here = match kind {
            Some(ObjectKind::Standard(n)) => *n == stream,
            Some(ObjectKind::Terminal) => stream == 1,
            _ => false,
        };
        let bytes = (*n).max(0) as u64;
        match pieces.last_mut() {
            _ if !here => {}
            Some((author, len)) if *author == Some(event.process) => *len += bytes,
            _ => pieces.push((Some(event.process), bytes)),
        }
    }
    pieces
}

fn lines(bytes: &[u8]) -> Vec<String> {
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    body.split(|b| *b == b'\n').map(|line| escaped(line.strip_suffix(b"\r").unwrap_or(line))).collect()
}
