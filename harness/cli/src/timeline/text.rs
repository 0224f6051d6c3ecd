//! The timeline for a terminal: rails from top to bottom, a sentence beside each thing that happens.

mod rails;
mod rows;

use observe::{Observation, Page, Pages};

use super::hang;
use super::model::Model;
use super::readable::{cells, clock, count, fit, printable};
use super::story::capital;
use rails::Rails;
use rows::Row;

/// Columns of the time.
const TIME: usize = 10;
/// No terminal is taken to be narrower.
const NARROWEST: usize = 40;

/// How a piece of text is to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ink {
    Plain,
    Faint,
    Strong,
    Bad,
    Lane(usize),
}

/// A line in pieces.
type Line = Vec<(Ink, String)>;

/// The whole timeline.
pub(super) fn timeline(obs: &Observation, model: &Model, heading: (&str, &str), width: usize, colour: bool) -> String {
    let width = width.max(NARROWEST);
    let mut lines: Vec<Line> = vec![vec![(Ink::Strong, fit(heading.0, width))]];
    if !heading.1.is_empty() {
        lines.push(vec![(Ink::Faint, fit(&format!("$ {}", heading.1), width))]);
    }
    lines.push(Vec::new());
    let mut rails = Rails::new(model, width.saturating_sub(TIME + 20).min(width / 2));
    for (lane, name) in rails.names(width.saturating_sub(TIME + 1)) {
        let mut line = vec![(Ink::Plain, " ".repeat(TIME + 1))];
        line.extend(lane);
        line.push(name);
        lines.push(line);
    }
    for row in rows::rows(obs, model) {
        lines.extend(told(&mut rails, &row, width));
    }
    lines.extend(pages(model, width));
    lines.extend(explained(obs, model, width));
    if !model.notes.is_empty() && obs.hang.is_some() {
        lines.push(Vec::new());
    }
    for note in &model.notes {
        lines.extend(paragraph(note, Ink::Faint, 0, width));
    }
    lines.iter().map(|line| painted(line, colour)).collect()
}

fn told(rails: &mut Rails, row: &Row, width: usize) -> Vec<Line> {
    let room = width.saturating_sub(TIME + 1 + rails.width() + 1);
    let mut lines = Vec::new();
    for (index, part) in wrap(&row.words, room).into_iter().enumerate() {
        let time = if index == 0 { row.at.map(clock).unwrap_or_default() } else { String::new() };
        let mut line = vec![(Ink::Faint, format!("{time:>TIME$} "))];
        line.extend(if index == 0 { rails.draw(row) } else { rails.plain() });
        line.push((Ink::Plain, " ".into()));
        line.push((row.ink, part));
        lines.push(line);
    }
    lines
}

/// Pages of the mappings, a sign each, at first and at last.
fn pages(model: &Model, width: usize) -> Vec<Line> {
    let looked_at: Vec<_> = model.mappings.iter().filter(|m| m.pages.iter().any(Option::is_some)).collect();
    if looked_at.is_empty() {
        return Vec::new();
    }
    let head = "Pages: · without memory, □ of a file or of shared memory, ■ private, ▣ private and another process has it, too";
    let mut lines = vec![Vec::new()];
    lines.extend(paragraph(head, Ink::Strong, 0, width));
    for mapping in looked_at {
        let whose = format!("{}: {}", model.lanes[mapping.lane].name, mapping.label);
        lines.extend(paragraph(&whose, Ink::Lane(mapping.lane), 2, width));
        for look in mapping.pages.iter().flatten() {
            let Pages { present, total, per_cell, cells, .. } = &look.pages;
            let cells: String = cells.iter().map(sign).collect();
            let each = if *per_cell > 1 { format!(", {} a sign", count(*per_cell)) } else { String::new() };
            let words = format!("{}, {} of {} present{each}: {cells}", look.when, count(*present), count(*total));
            lines.extend(paragraph(&words, Ink::Plain, 4, width));
        }
    }
    lines
}

fn sign(page: &Page) -> char {
    match page {
        Page { present: false, .. } => '·',
        Page { own: true, elsewhere: true, .. } => '▣',
        Page { own: true, .. } => '■',
        _ => '□',
    }
}

fn explained(obs: &Observation, model: &Model, width: usize) -> Vec<Line> {
    let Some(why) = &obs.hang else { return vec![Vec::new()] };
    let mut lines = vec![Vec::new()];
    lines.extend(paragraph(&format!("Why it hangs: {}", printable(&why.summary)), Ink::Bad, 0, width));
    for (head, reasons) in hang::sentences(why, &model.names) {
        lines.extend(paragraph(&format!("• {head}"), Ink::Plain, 2, width));
        for reason in reasons {
            lines.extend(paragraph(&capital(&reason), Ink::Plain, 6, width));
        }
    }
    lines
}

fn paragraph(text: &str, ink: Ink, indent: usize, width: usize) -> Vec<Line> {
    let lines = wrap(text, width.saturating_sub(indent + 2)).into_iter().enumerate();
    let hanging = usize::from(text.starts_with('•')) * 2;
    lines.map(|(i, part)| vec![(ink, " ".repeat(indent + if i > 0 { hanging } else { 0 }) + &part)]).collect()
}

/// Breaks text into lines of at most `room` columns, within words only where one word is longer.
fn wrap(text: &str, room: usize) -> Vec<String> {
    let room = room.max(8);
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ') {
        let mut rest = word.to_owned();
        loop {
            let gap = usize::from(used > 0);
            if used + gap + cells(&rest) <= room {
                if let Some(last) = lines.last_mut() {
                    last.push_str(&" ".repeat(gap));
                    last.push_str(&rest);
                }
                used += gap + cells(&rest);
                break;
            }
            if used > 0 {
                lines.push(String::new());
                used = 0;
                continue;
            }
            let (head, tail) = split(&rest, room);
            lines.insert(lines.len() - 1, head);
            rest = tail;
        }
    }
    lines
}

fn split(word: &str, room: usize) -> (String, String) {
    let mut used = 0;
    let at = word.char_indices().find(|(_, c)| {
        used += cells(c.encode_utf8(&mut [0; 4]));
        used > room
    });
    let (head, tail) = word.split_at(at.map_or(word.len(), |(i, _)| i));
    (head.to_owned(), tail.to_owned())
}

fn painted(line: &Line, colour: bool) -> String {
    const HUES: [u8; 6] = [36, 33, 32, 35, 34, 37];
    let mut out = String::new();
    for (ink, text) in line {
        let code = match ink {
            _ if !colour || text.trim().is_empty() => None,
            Ink::Plain => None,
            Ink::Faint => Some("2".to_owned()),
            Ink::Strong => Some("1".to_owned()),
            Ink::Bad => Some("1;31".to_owned()),
            Ink::Lane(lane) => Some(HUES[lane % HUES.len()].to_string()),
        };
        match code {
            Some(code) => out.push_str(&format!("\x1b[{code}m{text}\x1b[0m")),
            None => out.push_str(text),
        }
    }
    let end = if colour { out.len() } else { out.trim_end().len() };
    out.truncate(end);
    out.push('\n');
    out
}
