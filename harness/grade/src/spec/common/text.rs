//! Words for bytes: what a program printed, and how that differs from what was right.

use observe::Observation;

const SHOWN: usize = 60;

/// The bytes in quotes, unprintable ones escaped, long ones cut.
pub fn quoted(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(SHOWN)];
    let text: String = match std::str::from_utf8(shown) {
        Ok(text) => text.escape_debug().map(|c| c.to_string()).collect::<String>().replace("\\'", "'"),
        Err(_) => shown.escape_ascii().to_string(),
    };
    if bytes.len() > SHOWN { format!("\"{text}…\" ({} bytes)", bytes.len()) } else { format!("\"{text}\"") }
}

/// How `got` differs from `expected`, as the end of a sentence: "printed nothing instead of …".
pub fn difference(expected: &[u8], got: &[u8]) -> String {
    let wanted = quoted(expected);
    if got.is_empty() {
        return format!("printed nothing instead of {wanted}");
    }
    if expected.is_empty() {
        return format!("printed {} where nothing was to be printed", quoted(got));
    }
    if expected.strip_suffix(b"\n") == Some(got) {
        return format!("printed {} without the newline at its end", quoted(got));
    }
    if expected.starts_with(got) {
        return format!("printed only the first {} of {} bytes: {}", got.len(), expected.len(), quoted(got));
    }
    if let Some(more) = got.strip_prefix(expected) {
        return format!("printed {wanted} and then also {}", quoted(more));
    }
    let same = expected.iter().zip(got).take_while(|(a, b)| a == b).count();
    if same >= SHOWN / 2 {
        let from = same - same.min(10);
        let (wanted, got) = (quoted(tail(expected, from)), quoted(tail(got, from)));
        return format!("printed something else from byte {same} on: {got} instead of {wanted}");
    }
    format!("printed {} instead of {wanted}", quoted(got))
}

fn tail(bytes: &[u8], from: usize) -> &[u8] {
    &bytes[from.min(bytes.len())..]
}

/// The lines of standard error, as evidence.
pub fn complaints(seen: &Observation) -> Vec<String> {
    let text = seen.stderr.text();
    text.lines().filter(|line| !line.trim().is_empty()).take(6).map(|line| format!("stderr: {line}")).collect()
}

/// The first line of standard error, if there is one.
pub fn first_complaint(seen: &Observation) -> Option<String> {
    seen.stderr.text().lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_string)
}

/// Whether the Rust runtime's panic message is on standard error.
pub fn panicked(seen: &Observation) -> bool {
    let text = seen.stderr.text();
    text.contains("panicked at") || text.contains("RUST_BACKTRACE")
}

/// `SIGSEGV (11)`.
pub fn signal_name(signal: i32) -> String {
    match nix::sys::signal::Signal::try_from(signal) {
        Ok(known) => format!("{} ({signal})", known.as_str()),
        Err(_) => format!("signal {signal}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_told_as_what_happened() {
        assert_eq!(difference(b"ab\n", b""), "printed nothing instead of \"ab\\n\"");
        assert_eq!(difference(b"ab\n", b"ab"), "printed \"ab\" without the newline at its end");
        assert_eq!(difference(b"abcd", b"ab"), "printed only the first 2 of 4 bytes: \"ab\"");
        assert_eq!(difference(b"a\n", b"a\na\n"), "printed \"a\\n\" and then also \"a\\n\"");
        assert_eq!(difference(b"a's\n", b"\xff"), "printed \"\\xff\" instead of \"a's\\n\"");
        let (mut long, other) = (vec![b'x'; 100], vec![b'x'; 90]);
        long[80] = b'y';
        assert!(difference(&long, &other).contains("from byte 80 on"));
    }
}
