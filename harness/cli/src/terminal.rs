//! What is known of the terminal, the styles used on it, and how text is made to fit it.

use std::fmt::{self, Display};
use std::io::IsTerminal;
use std::sync::OnceLock;

use anstyle::{AnsiColor, Style};

use crate::args::ColorWhen;

/// What is wrong.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// What is right.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// What deserves a second look.
pub const CARE: Style = AnsiColor::Yellow.on_default();
/// What can be typed.
pub const TYPE: Style = AnsiColor::Cyan.on_default();
/// Headings.
pub const HEAD: Style = Style::new().bold();
/// What may be skipped.
pub const DIM: Style = Style::new().dimmed();

/// Makes `anstream` follow `--color`; without it, it follows `NO_COLOR`, `CLICOLOR` and `CLICOLOR_FORCE`.
pub fn choose_color(when: ColorWhen) {
    match when {
        ColorWhen::Auto => anstream::ColorChoice::Auto,
        ColorWhen::Always => anstream::ColorChoice::Always,
        ColorWhen::Never => anstream::ColorChoice::Never,
    }
    .write_global();
}

/// Whether standard output takes colour.
pub fn colored() -> bool {
    !matches!(anstream::AutoStream::choice(&std::io::stdout()), anstream::ColorChoice::Never)
}

/// Columns of the terminal, within what reads well; 80 where there is none.
pub fn width() -> usize {
    terminal_size::terminal_size().map_or(80, |(columns, _)| usize::from(columns.0)).clamp(40, 120)
}

/// Whether a person watches standard error, so that progress may be drawn there.
pub fn watched() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// How this program is called from where it was called: what a person can type to call it again.
pub fn invocation() -> &'static str {
    static INVOCATION: OnceLock<String> = OnceLock::new();
    INVOCATION.get_or_init(|| {
        let own = std::env::current_exe().unwrap_or_default();
        let released = own.parent().is_some_and(|directory| directory.ends_with("release"));
        if crate::programs::in_path("syslings".as_ref()).is_some() {
            "syslings".to_owned()
        } else if std::env::var_os("CARGO").is_some() {
            format!("cargo run{} --", if released { " --release" } else { "" })
        } else {
            crate::files::relative(&own).display().to_string()
        }
    })
}

/// A command of this program to type, and what it is for, in as many lines as that takes.
pub fn suggestion(command: &str, what: &str, width: usize) -> Vec<String> {
    let command = format!("{} {command}", invocation());
    let short = command.chars().count() + what.chars().count() + 4 <= width;
    let (command, what) = (Styled(TYPE, command), Styled(DIM, what.to_owned()));
    if short { vec![format!("  {command}  {what}")] } else { vec![format!("  {what}:"), format!("    {command}")] }
}

/// A text in a style; `anstream` takes the style away where it is not wanted.
pub struct Styled<T>(pub Style, pub T);

impl<T: Display> Display for Styled<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        self.1.fmt(f)?;
        write!(f, "{:#}", self.0)
    }
}

/// Columns that a text takes, styles not counted.
pub fn columns(text: &str) -> usize {
    anstream::adapter::strip_str(text).to_string().chars().count()
}

/// Cuts a line that is too long, and shows that it was cut.
pub fn cut(line: &str, width: usize) -> String {
    if columns(line) <= width {
        return line.to_owned();
    }
    line.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Breaks a text at blanks into lines of at most `width` columns. A word longer than that stays whole.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

/// What a program printed, with nothing in it that a terminal would obey.
pub fn visible(bytes: &[u8]) -> String {
    let mut text = String::new();
    for piece in bytes.utf8_chunks() {
        for c in piece.valid().chars() {
            match c {
                '\n' => text.push(c),
                '\t' => text.push_str("    "),
                c if c.is_control() || reorders(c) => text.extend(c.escape_default()),
                c => text.push(c),
            }
        }
        for byte in piece.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// A mark that lets what follows be read in another order.
fn reorders(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A table in columns as wide as their widest cell; `right` says which columns are numbers.
pub fn table(rows: &[Vec<String>], right: &[usize]) -> Vec<String> {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> =
        (0..count).map(|c| rows.iter().filter_map(|r| r.get(c)).map(|cell| columns(cell)).max().unwrap_or(0)).collect();
    rows.iter()
        .map(|row| {
            let mut line = String::new();
            for (c, cell) in row.iter().enumerate() {
                let pad = " ".repeat(widths[c] - columns(cell));
                if right.contains(&c) {
                    line.push_str(&pad);
                    line.push_str(cell);
                } else {
                    line.push_str(cell);
                    line.push_str(&pad);
                }
                line.push_str("  ");
            }
            line.trim_end().to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_blanks() {
        assert_eq!(wrap("the child waits in read()", 10), ["the child", "waits in", "read()"]);
        assert_eq!(wrap("a\nb", 10), ["a", "b"]);
        assert_eq!(wrap("averyveryverylongword x", 5), ["averyveryverylongword", "x"]);
    }

    #[test]
    fn numbers_stand_at_the_right() {
        let rows = [vec!["scan".into(), "9".into()], vec!["a".into(), "10".into()]];
        assert_eq!(table(&rows, &[1]), ["scan   9", "a     10"]);
    }

    #[test]
    fn nothing_visible_is_obeyed_by_a_terminal() {
        assert_eq!(visible(b"a\x1b[2Jb\r\n\xff\tc"), "a\\u{1b}[2Jb\\r\n\\xff    c");
        assert_eq!(visible("\u{202e}dessap".as_bytes()), "\\u{202e}dessap");
    }

    #[test]
    fn styles_take_no_columns() {
        assert_eq!(columns(&Styled(BAD, "four").to_string()), 4);
    }
}
