//! Repeated equal calls become one step: "12 × reads 1 B".

use observe::ObjectId;

use super::model::{Step, Waiting};
use super::readable::{count, plural, size};
use super::told::Told;
use super::words::Kind;

/// Patterns of up to this many different calls are recognised when they repeat.
const LONGEST_PATTERN: usize = 4;

/// How eagerly calls are grouped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Eagerness {
    /// Equal calls that become a group.
    pub equal: usize,
    /// Calls of one kind on one object, but of different sizes, that become a group.
    pub similar: usize,
    /// Processes that are not drawn are not told apart.
    pub crowd: bool,
}

type Signature<'a> = (Kind, Option<ObjectId>, bool, &'a str);

/// The steps of one lane, from its events in order.
pub(super) fn group(lane: usize, told: &[Told], indices: &[usize], how: Eagerness) -> Vec<Step> {
    let signs: Vec<Option<Signature>> = indices.iter().map(|i| signature(&told[*i], how)).collect();
    let mut steps = Vec::new();
    let mut at = 0;
    while at < indices.len() {
        let (period, times) = best_pattern(told, indices, &signs, at, how);
        let taken = &indices[at..at + period * times];
        steps.push(if taken.len() == 1 { single(lane, told, taken[0]) } else { many(lane, told, taken, period) });
        at += taken.len();
    }
    steps
}

/// What must be equal in the members of a group; `None` for what is never grouped.
fn signature(told: &Told, how: Eagerness) -> Option<Signature<'_>> {
    let said = &told.said;
    let words = match said.kind {
        Kind::Begin | Kind::Exec | Kind::Exit | Kind::EndOfFile => return None,
        _ if told.for_ever => return None,
        Kind::Read | Kind::Write | Kind::Print => "",
        Kind::Fork | Kind::Reap | Kind::Close if how.crowd => "",
        _ if !said.plural.is_empty() => said.plural,
        _ => said.brief.as_str(),
    };
    Some((said.kind, said.object.filter(|_| !words.is_empty() || transfers(said.kind)), said.failed, words))
}

fn transfers(kind: Kind) -> bool {
    matches!(kind, Kind::Read | Kind::Write | Kind::Print)
}

/// Length of the pattern that begins here and how often it occurs in a row; `(1, 1)` if there is none.
fn best_pattern(
    told: &[Told],
    indices: &[usize],
    signs: &[Option<Signature>],
    at: usize,
    how: Eagerness,
) -> (usize, usize) {
    let mut best = (1, 1);
    for period in 1..=LONGEST_PATTERN {
        if signs[at..].len() < 2 * period || signs[at..at + period].iter().any(Option::is_none) {
            break;
        }
        let pattern = &signs[at..at + period];
        let times = signs[at..].chunks_exact(period).take_while(|chunk| *chunk == pattern).count();
        let members = &indices[at..at + period * times];
        let equal = members
            .chunks(period)
            .all(|c| c.iter().zip(members).all(|(a, b)| told[*a].said.brief == told[*b].said.brief));
        let enough = if equal { how.equal } else { how.similar };
        let longer = period * times > best.0 * best.1 + period;
        if times >= enough.max(if period > 1 { 3 } else { 2 }) && longer {
            best = (period, times);
        }
    }
    best
}

fn single(lane: usize, told: &[Told], index: usize) -> Step {
    let one = &told[index];
    let waiting = one.waited.then(|| Waiting {
        what: one.said.waits.clone().unwrap_or_default(),
        spans: vec![(one.from, one.to)],
        for_ever: one.for_ever,
    });
    Step {
        lane,
        from: one.from,
        to: one.to,
        kind: one.said.kind,
        sentence: one.said.sentence.clone(),
        brief: one.said.brief.clone(),
        place: one.said.place.clone(),
        waiting,
        failed: one.said.failed,
        told: vec![index],
        count: 1,
    }
}

fn many(lane: usize, told: &[Told], members: &[usize], period: usize) -> Step {
    let times = (members.len() / period) as u64;
    let parts: Vec<(String, String)> = (0..period)
        .map(|k| {
            let same: Vec<&Told> = members.iter().skip(k).step_by(period).map(|i| &told[*i]).collect();
            describe(&same)
        })
        .collect();
    let (brief, sentence) = match parts.as_slice() {
        [(brief, sentence)] => (format!("{} × {brief}", count(times)), format!("{sentence}, {} times", count(times))),
        _ => {
            let briefs: Vec<&str> = parts.iter().map(|p| p.0.as_str()).collect();
            let sentences: Vec<&str> = parts.iter().map(|p| p.1.as_str()).collect();
            (
                format!("{} × ({})", count(times), briefs.join(", ")),
                format!("{}, {} times in turn", sentences.join(", then "), count(times)),
            )
        }
    };
    let first = &told[members[0]];
    let members_told = members.iter().map(|i| &told[*i]);
    let waits: Vec<&Told> = members_told.clone().filter(|t| t.waited).collect();
    let waiting = waits.first().map(|t| Waiting {
        what: t.said.waits.clone().unwrap_or_default(),
        spans: waits.iter().map(|t| (t.from, t.to)).collect(),
        for_ever: false,
    });
    let kinds = || members_told.clone().map(|t| t.said.kind);
    Step {
        lane,
        from: first.from,
        to: members_told.clone().map(|t| t.to).max().unwrap_or(first.to),
        kind: kinds().find(|k| matches!(k, Kind::Write | Kind::Print)).unwrap_or(first.said.kind),
        sentence,
        brief,
        place: String::new(),
        waiting,
        failed: first.said.failed,
        told: members.to_vec(),
        count: members.len(),
    }
}

/// One position of a pattern in a few words and in a sentence.
fn describe(same: &[&Told]) -> (String, String) {
    let first = &same[0].said;
    let bytes: u64 = same.iter().filter_map(|t| t.said.given.or(t.said.taken)).map(|m| m.bytes).sum();
    let equal = same.iter().all(|t| t.said.brief == first.brief);
    let verb = match first.kind {
        Kind::Read => "reads",
        Kind::Write => "writes",
        Kind::Print => "prints",
        Kind::Fork if !equal => return ("forks a process".into(), "forks a process".into()),
        Kind::Reap if !equal => return ("collects a child".into(), "collects a child".into()),
        Kind::Close if !equal => return ("closes".into(), "closes a descriptor".into()),
        _ if !equal && !first.plural.is_empty() => return (first.plural.into(), first.plural.into()),
        _ if equal && same.iter().all(|t| t.said.sentence == first.sentence) => {
            return (first.brief.clone(), first.sentence.clone());
        }
        _ => return (first.brief.clone(), first.brief.clone()),
    };
    if first.failed {
        return (first.brief.clone(), first.sentence.clone());
    }
    let each = bytes / same.len().max(1) as u64;
    if equal && first.kind != Kind::Print {
        return (
            format!("{verb} {}{}", size(each), first.place),
            format!("{verb} {}{}", plural(each, "byte"), first.place),
        );
    }
    (
        format!("{verb}{} ({})", first.place, size(bytes)),
        format!("{verb} {} in all{}", plural(bytes, "byte"), first.place),
    )
}
