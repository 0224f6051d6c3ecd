//! Bytes, sizes and times in the form people read. Whatever a program did, what comes out of here
//! can break neither a terminal nor a page: every character is printable and lawful in XML.

use std::fmt::Write as _;
use std::time::Duration;

/// How many columns of a terminal a printable character takes.
fn cells_of(c: char) -> usize {
    let wide = matches!(u32::from(c),
        0x1100..=0x115F | 0x2E80..=0xA4CF | 0xAC00..=0xD7A3 | 0xF900..=0xFAFF
        | 0xFE30..=0xFE6F | 0xFF00..=0xFF60 | 0x1F300..=0x1FAFF | 0x20000..=0x3FFFD);
    if wide { 2 } else { 1 }
}

/// Scripts whose letters stand alone: no controls, no combining marks, nothing that turns the direction of text.
fn is_plain(c: char) -> bool {
    matches!(u32::from(c),
        0x20..=0x7E | 0xA1..=0xAC | 0xAE..=0x24F | 0x370..=0x377 | 0x384..=0x482 | 0x48A..=0x52F
        | 0x2010..=0x2027 | 0x2030..=0x205E | 0x20A0..=0x20BF | 0x2190..=0x23FF | 0x2500..=0x27BF
        | 0x3001..=0x3029 | 0x3041..=0x3096 | 0x30A0..=0x30FF | 0x4E00..=0x9FFF | 0xAC00..=0xD7A3
        | 0x1F300..=0x1FAFF)
        && c.is_alphanumeric() | !c.is_control()
}

/// Columns of a terminal that `text` takes, for text that [`printable`] or [`quoted`] made.
pub(super) fn cells(text: &str) -> usize {
    text.chars().map(cells_of).sum()
}

/// The text with everything that is not plainly printable written as an escape.
pub(super) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        push_char(&mut out, c);
    }
    out
}

fn push_char(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\t' => out.push_str("\\t"),
        '\r' => out.push_str("\\r"),
        '\0' => out.push_str("\\0"),
        c if is_plain(c) => out.push(c),
        c if c.is_ascii() => {
            let _ = write!(out, "\\x{:02x}", u32::from(c));
        }
        c => {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        }
    }
}

/// All of the bytes, escaped, without quotation marks.
pub(super) fn escaped(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            push_char(&mut out, c);
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// The bytes in quotation marks, cut to at most `room` columns; mostly unprintable ones as hexadecimal pairs.
pub(super) fn quoted(bytes: &[u8], room: usize) -> String {
    let start = &bytes[..bytes.len().min(room.saturating_mul(4))];
    let strange = start
        .utf8_chunks()
        .map(|k| k.invalid().len() + k.valid().chars().filter(|c| !is_plain(*c) && !c.is_whitespace()).count())
        .sum::<usize>();
    if strange * 3 > start.len() && start.len() > 1 {
        let pairs: Vec<String> = start.iter().map(|b| format!("{b:02x}")).collect();
        let whole = start.len() == bytes.len();
        return fit_or_mark(&pairs.join(" "), room, whole);
    }
    let whole = start.len() == bytes.len();
    format!("\"{}\"", fit_or_mark(&escaped(start), room.saturating_sub(2), whole))
}

fn fit_or_mark(text: &str, room: usize, whole: bool) -> String {
    if whole { fit(text, room) } else { fit(&format!("{text}…"), room) }
}

/// The text cut to at most `room` columns, the cut marked with `…`.
pub(super) fn fit(text: &str, room: usize) -> String {
    if cells(text) <= room {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += cells_of(c);
        if used > room {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

/// The text cut in its middle to at most `room` columns: the start and the end of a long file name tell most.
pub(super) fn fit_middle(text: &str, room: usize) -> String {
    if cells(text) <= room {
        return text.to_owned();
    }
    let tail_room = room.saturating_sub(1) / 2;
    let mut tail: Vec<char> = Vec::new();
    let mut used = 0;
    for c in text.chars().rev() {
        used += cells_of(c);
        if used > tail_room {
            break;
        }
        tail.push(c);
    }
    tail.reverse();
    fit(text, room - tail.len().min(room)) + &tail.into_iter().collect::<String>()
}

/// `12,345`.
pub(super) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 byte`, `12,345 bytes`.
pub(super) fn plural(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(n), if n == 1 { "" } else { "s" })
}

/// `9 B`, `64 KiB`, `1.5 MiB`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 || (bytes < 10_240 && !bytes.is_multiple_of(1024)) {
        return format!("{} B", count(bytes));
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let exact = (value - value.round()).abs() < 0.05;
    if exact { format!("{value:.0} {}", UNITS[unit]) } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// `3 µs`, `1.3 ms`, `2.1 s`.
pub(super) fn duration(d: Duration) -> String {
    let micros = d.as_nanos() as f64 / 1e3;
    match micros {
        m if m < 0.05 => "0".into(),
        m if m < 9.95 => format!("{} µs", short(m)),
        m if m < 999.5 => format!("{m:.0} µs"),
        m if m < 9_995.0 => format!("{} ms", short(m / 1e3)),
        m if m < 999_500.0 => format!("{:.0} ms", m / 1e3),
        m if m < 99_950_000.0 => format!("{} s", short(m / 1e6)),
        m => format!("{:.0} s", m / 1e6),
    }
}

/// A moment, to the microsecond: `1.160 ms`, `118.5 ms`, `9.000 s`.
pub(super) fn clock(at: Duration) -> String {
    let millis = at.as_nanos() as f64 / 1e6;
    match millis {
        m if m < 100.0 => format!("{m:.3} ms"),
        m if m < 1_000.0 => format!("{m:.1} ms"),
        m => format!("{:.3} s", m / 1e3),
    }
}

/// A moment, as exactly as steps of this length need it.
pub(super) fn tick(at: Duration, step: Duration) -> String {
    let (unit, name) = match at.as_nanos().max(step.as_nanos()) as f64 / 1e9 {
        s if s >= 1.0 => (1.0, "s"),
        s if s >= 1e-3 => (1e-3, "ms"),
        _ => (1e-6, "µs"),
    };
    let digits = (unit / step.as_secs_f64()).log10().ceil().clamp(0.0, 6.0) as usize;
    let text = format!("{:.digits$}", at.as_secs_f64() / unit);
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} {name}")
}

fn short(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_invalid_utf8_become_escapes() {
        assert_eq!(quoted(b"a\n\x1b[0m\xff", 40), "\"a\\n\\x1b[0m\\xff\"");
        assert_eq!(printable("\u{202e}x\u{0}"), "\\u{202e}x\\0");
        assert_eq!(quoted(&[0, 1, 2, 255], 40), "00 01 02 ff");
    }

    #[test]
    fn long_text_is_cut_to_its_room() {
        assert_eq!(quoted(b"abcdefghij", 8), "\"abcde…\"");
        assert!(cells(&fit_middle(&"x".repeat(300), 20)) <= 20);
        assert!(cells(&quoted(&[b'z'; 5000], 30)) <= 30);
        assert!(cells(&fit("日本語日本語", 5)) <= 5);
    }

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(plural(1, "byte"), "1 byte");
        assert_eq!((size(9), size(65_536), size(1_500_000)), ("9 B".into(), "64 KiB".into(), "1.4 MiB".into()));
        assert_eq!(duration(Duration::from_micros(1_300)), "1.3 ms");
        assert_eq!(duration(Duration::from_secs(10)), "10 s");
        assert_eq!(duration(Duration::from_nanos(1)), "0");
        assert_eq!(tick(Duration::from_micros(1_350), Duration::from_micros(50)), "1.35 ms");
        assert_eq!(tick(Duration::from_secs(10), Duration::from_secs(5)), "10 s");
        assert_eq!(clock(Duration::from_micros(1_160)), "1.160 ms");
    }
}
