//! A picture in a few sentences: for those who do not see it, and where nobody wrote a better story.

use observe::{Ending, Observation};

use super::flows::Passing;
use super::model::{Model, Step};
use super::readable::{duration, printable};
use super::words::{Kind, exit_words};

/// Sentences between the first and the last ones.
const MOST_SENTENCES: usize = 8;

/// What happened, in a few sentences.
pub(super) fn story(obs: &Observation, model: &Model) -> Vec<String> {
    let mut told = vec![format!("{}, in {}.", cast(model), duration(model.end))];
    let course: Vec<String> = model.steps.iter().enumerate().filter_map(|(i, s)| sentence(model, i, s)).collect();
    told.extend(course.iter().take(MOST_SENTENCES).cloned());
    if course.len() > MOST_SENTENCES {
        told.push(format!("And {} more steps of this kind.", course.len() - MOST_SENTENCES));
    }
    told.extend(longest_wait(model));
    told.push(match (&obs.hang, obs.ending) {
        (Some(hang), _) => format!("It hangs: {}.", printable(hang.summary.trim_end_matches('.'))),
        (None, Ending::Ended(exit)) => {
            let name = model.names.first().map_or("the program", String::as_str);
            format!("{} {}.", subject(name), exit_words(exit))
        }
        _ => "It did not come to its end by itself.".into(),
    });
    told
}

fn cast(model: &Model) -> String {
    let names: Vec<&str> = model.names.iter().take(6).map(String::as_str).collect();
    match (names.as_slice(), model.names.len()) {
        ([], _) => "Nothing was seen".into(),
        ([one], _) => format!("One process, {one}"),
        (some, n) if n > some.len() => format!("{n} processes, {} and others", some.join(", ")),
        ([first @ .., last], n) => format!("{n} processes, {} and {last}", first.join(", ")),
    }
}

/// The steps that make the story: messages, printing, signals, failures, shared mappings.
fn sentence(model: &Model, index: usize, step: &Step) -> Option<String> {
    let name = subject(&model.lanes[step.lane].name);
    let sent = |f: &&super::model::Flow| f.from_step == index && f.what == Passing::Bytes && f.from.0 != f.to.0;
    if let Some(flow) = model.flows.iter().find(sent) {
        let to = &model.lanes[flow.to.0].name;
        return Some(format!("{name} sends {to} {} through {}.", flow.load, flow.through));
    }
    let telling = matches!(step.kind, Kind::Print | Kind::Signal | Kind::Memory) || step.failed;
    (telling && step.kind != Kind::Exit).then(|| format!("{name} {}.", step.sentence))
}

fn longest_wait(model: &Model) -> Option<String> {
    let waits = model.steps.iter().filter_map(|s| s.waiting.as_ref().map(|w| (s, w)));
    let (step, waiting) = waits.filter(|(_, w)| !w.for_ever).max_by_key(|(_, w)| w.total())?;
    let (name, time) = (&model.lanes[step.lane].name, duration(waiting.total()));
    Some(format!("The longest wait: {name} {}, {time} long.", waiting.what))
}

/// A process's name at the beginning of a sentence: a program's own name keeps its small letters.
pub(super) fn subject(name: &str) -> String {
    let described = ["the ", "child ", "thread "].iter().any(|start| name.starts_with(start));
    if described { capital(name) } else { name.to_owned() }
}

/// The text with a capital first letter.
pub(super) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().collect::<String>() + chars.as_str())
}
