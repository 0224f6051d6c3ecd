//! What must hold for every picture.

use super::model::{Model, model};
use super::readable::cells;
use super::scene::{Frame, Item, Scene, Shape};
use super::*;

fn scene(obs: &Observation, model: &Model) -> Scene {
    let below = ["A sentence below the picture.".to_owned()];
    let drawing = ["  a line that is wider than most pictures are: ", "", "└ another"].map(|line| line.repeat(3));
    let frame = Frame { title: "Title", command: "command", drawing: &drawing, below: &below };
    Scene::new(model, &hang::guilty(obs, &model.lanes), Some(frame))
}

/// Elements closed in order, attributes quoted and unique, no stray `<` or `&`, only characters that XML allows.
fn well_formed(xml: &str) -> Result<(), String> {
    if let Some(bad) =
        xml.chars().find(|c| (*c < ' ' && !"\n\t\r".contains(*c)) || matches!(*c, '\u{fffe}' | '\u{ffff}'))
    {
        return Err(format!("character {:x}", u32::from(bad)));
    }
    let (mut open, mut rest): (Vec<&str>, &str) = (Vec::new(), xml);
    while let Some(at) = rest.find('<') {
        references(&rest[..at])?;
        let end = rest[at..].find('>').ok_or("an element without end")? + at;
        let tag = &rest[at + 1..end];
        match tag.strip_prefix('/') {
            Some(name) if open.pop() == Some(name) => {}
            Some(name) => return Err(format!("</{name}> closes nothing")),
            None => open.push(attributes(tag)?),
        }
        rest = &rest[end + 1..];
    }
    references(rest)?;
    if open.is_empty() { Ok(()) } else { Err(format!("still open: {open:?}")) }
}

fn attributes(tag: &str) -> Result<&str, String> {
    let (name, mut rest) = tag.split_once(' ').unwrap_or((tag, ""));
    let mut seen = Vec::new();
    while !rest.trim().is_empty() {
        let (key, after) = rest.trim_start().split_once("=\"").ok_or(format!("attribute in <{tag}>"))?;
        let (value, after) = after.split_once('"').ok_or(format!("value in <{tag}>"))?;
        references(value)?;
        if seen.contains(&key) || key.contains(' ') {
            return Err(format!("attribute {key} in <{tag}>"));
        }
        seen.push(key);
        rest = after;
    }
    Ok(name)
}

fn references(text: &str) -> Result<(), String> {
    let known = ["amp;", "lt;", "gt;", "quot;"];
    let bad = text.match_indices('&').find(|(at, _)| !known.iter().any(|k| text[at + 1..].starts_with(k)));
    bad.map_or(Ok(()), |(at, _)| Err(text[at..].chars().take(20).collect()))
}

#[test]
fn every_svg_is_well_formed_whatever_the_program_wrote() {
    for (name, obs, caption) in samples::all() {
        if let Err(reason) = well_formed(&svg(&obs, &caption)) {
            panic!("{name}: {reason}");
        }
    }
    assert!(well_formed("<a b=\"c\"><d></a>").is_err(), "the check itself finds faults");
}

#[test]
fn nothing_that_a_program_wrote_becomes_markup_or_a_terminal_command() {
    for (name, obs, caption) in samples::all() {
        let page = html(&obs, &caption);
        assert!(!page.contains("<script"), "{name}");
        for picture in [page, svg(&obs, &caption), text(&obs, &caption, 80, false)] {
            assert!(!picture.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{name}");
        }
    }
}

fn text_boxes(scene: &Scene) -> Vec<(f64, f64, f64, f64, &str)> {
    let boxed = |item: &'_ Item| match &item.shape {
        Shape::Text { x, y, width, size, .. } => Some((*x, y - size * 0.76, x + width, y + size * 0.2)),
        _ => None,
    };
    let words = |item: &Item| matches!(&item.shape, Shape::Text { .. }).then_some(());
    let items = scene.items.iter().filter(|i| words(i).is_some());
    items
        .filter_map(|item| {
            let Shape::Text { content, .. } = &item.shape else { return None };
            boxed(item).map(|(a, b, c, d)| (a, b, c, d, content.as_str()))
        })
        .collect()
}

#[test]
fn no_text_overlaps_another_or_leaves_the_picture() {
    for (name, obs, _) in samples::all() {
        let model = model(&obs);
        let scene = scene(&obs, &model);
        let boxes = text_boxes(&scene);
        for (i, a) in boxes.iter().enumerate() {
            assert!(a.0 >= 0.0 && a.1 >= 0.0 && a.2 <= scene.width && a.3 <= scene.height, "{name}: {a:?} is outside");
            for b in &boxes[i + 1..] {
                let apart = a.2 <= b.0 || b.2 <= a.0 || a.3 <= b.1 || b.3 <= a.1;
                assert!(apart, "{name}: {a:?} overlaps {b:?}");
            }
        }
    }
}

#[test]
fn every_line_of_text_fits_the_terminal() {
    for (name, obs, caption) in samples::all() {
        for width in [40, 80, 200] {
            for line in text(&obs, &caption, width, false).lines() {
                assert!(cells(line) <= width, "{name} at {width}: {line}");
            }
        }
    }
}

#[test]
fn colour_changes_nothing_but_colour() {
    let (_, obs, caption) = samples::all().swap_remove(1);
    let painted = text(&obs, &caption, 80, true);
    let mut plain = String::new();
    for (index, part) in painted.split("\x1b[").enumerate() {
        plain.push_str(if index == 0 { part } else { part.split_once('m').map_or("", |(_, rest)| rest) });
    }
    let trimmed: Vec<&str> = plain.lines().map(str::trim_end).collect();
    let expected = text(&obs, &caption, 80, false);
    assert_eq!(trimmed, expected.lines().collect::<Vec<_>>());
}

#[test]
fn pictures_stay_bounded() {
    for (name, obs, caption) in samples::all() {
        assert!(svg(&obs, &caption).len() < 300_000, "{name}");
        assert!(html(&obs, &caption).len() < 600_000, "{name}");
        assert!(text(&obs, &caption, 80, false).lines().count() < 700, "{name}");
        let model = model(&obs);
        assert!(model.steps.len() <= limit::MOST_STEPS + 2 * lanes::MOST_LANES, "{name}");
        assert!(scene(&obs, &model).width < 4_000.0, "{name}");
    }
}

fn sample(name: &str) -> (Observation, Caption) {
    let found = samples::all().into_iter().find(|(n, ..)| *n == name);
    found.map(|(_, obs, caption)| (obs, caption)).unwrap()
}

#[test]
fn a_message_is_followed_from_its_writer_to_its_reader() {
    let (obs, caption) = sample("hello");
    let picture = text(&obs, &caption, 100, false);
    assert!(picture.contains("the parent writes 9 bytes to pipe A: \"Hi Child!\""), "{picture}");
    assert!(
        picture.contains("├──▶● the child reads 9 bytes from pipe A: \"Hi Child!\" after waiting 260 µs"),
        "{picture}"
    );
    assert!(picture.contains("the child reads end-of-file from pipe A"), "{picture}");
    assert!(svg(&obs, &caption).contains("writes &quot;Hi Child!&quot; (9 B) → pipe A"));
}

#[test]
fn a_hang_names_the_descriptor_to_blame() {
    let (obs, caption) = sample("eof_hang");
    let picture = svg(&obs, &caption);
    assert!(picture.contains("✗ descriptor 4 keeps pipe A open · made at eof.rs:12"));
    assert!(text(&obs, &caption, 80, false).contains("the child waits for bytes in pipe A, for ever"));
    assert!(html(&obs, &caption).contains("Why it hangs"));
}

#[test]
fn repeated_calls_are_said_once() {
    let (obs, caption) = sample("many");
    let picture = text(&obs, &caption, 80, false);
    assert!(picture.contains("writes 1 byte to pipe A, 2,500 times"), "{picture}");
    assert!(picture.contains("reads 1 byte from pipe A, 2,500 times"), "{picture}");
}

#[test]
fn the_kernel_s_hints_are_told_in_words() {
    let (obs, caption) = sample("sigpipe");
    let picture = text(&obs, &caption, 200, false);
    assert!(picture.contains("the child cannot write to pipe A: nobody can read it any more (EPIPE)"), "{picture}");
    assert!(picture.contains("the child gets SIGPIPE; its handler runs"), "{picture}");
    assert!(picture.contains("the child sleeps 10 ms"), "{picture}");
}

#[test]
fn without_a_trace_processes_and_output_are_shown_and_it_is_said() {
    let (obs, caption) = sample("untraced");
    let page = html(&obs, &caption);
    for words in ["does not permit watching system calls", "the child", "Hi Child!"] {
        assert!(page.contains(words), "{words}");
        assert!(words == "Hi Child!" || svg(&obs, &caption).contains(words), "{words}");
    }
}

#[test]
fn each_part_of_the_output_has_its_author() {
    let (obs, _) = sample("sigpipe");
    let (parts, cut) = output::parts(&obs, 1);
    assert!(!cut);
    assert_eq!(parts.len(), 1);
    assert_eq!(parts[0].author, Some(observe::ProcessId(1)));
    assert_eq!(parts[0].lines, ["No one is listening!", "Done"]);
}

#[test]
fn what_shared_memory_held_is_told_where_it_was_looked_at() {
    let (obs, caption) = sample("shared");
    let picture = text(&obs, &caption, 300, false);
    assert!(picture.contains("shared memory 1 now holds 13 00 00 00 17 00 00 00 01 from byte 0 on"), "{picture}");
    assert!(svg(&obs, &caption).contains("memory, shared, 4 KiB"));
}

/// Observations that no observer makes: events of processes and objects that are not there, time that runs backwards.
fn broken(mut obs: Observation, way: usize) -> Observation {
    match way {
        0 => obs.processes.truncate(1),
        1 => obs.processes.clear(),
        2 => obs.objects.clear(),
        3 => obs.events.iter_mut().for_each(|e| std::mem::swap(&mut e.at, &mut e.until)),
        4 => obs.events.reverse(),
        5 => {
            let last = std::time::Duration::from_secs(1 << 40);
            obs.processes.iter_mut().for_each(|p| (p.started, p.ended) = (last, Some(std::time::Duration::ZERO)));
        }
        _ => obs.events.retain(|e| e.process.0 > 0),
    }
    obs
}

#[test]
fn no_observation_is_too_strange_for_a_picture() {
    for (name, obs, caption) in samples::all() {
        for way in 0..7 {
            let obs = broken(obs.clone(), way);
            assert!(well_formed(&svg(&obs, &caption)).is_ok(), "{name}, broken in way {way}");
            assert!(html(&obs, &caption).ends_with("</html>"));
            assert!(text(&obs, &caption, 80, true).contains('\n'));
        }
    }
}

#[test]
fn pages_are_shown_at_first_and_at_last() {
    let (obs, caption) = sample("mapped_file");
    let picture = text(&obs, &caption, 80, false);
    assert!(picture.contains("just mapped, 0 of 20 present: ····················"), "{picture}");
    assert!(picture.contains("before it is unmapped, 7 of 20 present: □□·□■■■■············"), "{picture}");
    let picture = svg(&obs, &caption);
    let drawn = |class: &str| picture.matches(&format!("<rect class=\"page {class}\"")).count();
    // Two mappings; each sign stands once in the legend, too.
    assert_eq!([drawn("absent"), drawn("present"), drawn("own")], [2 * (20 + 13) + 1, 2 * 3 + 1, 2 * 4 + 1]);
    assert_eq!(picture.matches("class=\"dirty\"").count(), 2 * 4 + 1);
}

#[test]
fn the_frame_of_a_page_is_named_where_there_are_few() {
    let (obs, caption) = sample("shared");
    let picture = svg(&obs, &caption);
    assert!(picture.contains(">123456<"), "{picture}");
    assert!(picture.contains("in frame 0x123456"), "{picture}");
}
