//! The wait-for graph: who waits for what, who could end the wait, and whether anybody ever will. Made from /proc,
//! so it serves a traced launch, an untraced one and any process that the user may look at; what a trace knows
//! besides makes the explanation better.

mod graph;
mod lines;
mod look;
mod others;
mod proof;
mod tell;
mod words;

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::time::Duration;

use crate::hang::Hang;
use crate::objects::Registry;
use crate::observation::{Event, ProcessId};
use crate::process_files;
use crate::symbols::Images;

use lines::{Finder, RETRIES};
use look::{Identity, Tables};
use tell::{Teller, Told, rank};
use words::Naming;

pub(crate) use lines::Asking;
pub(crate) use look::{Look, look, look_for_long, look_if_quiet};
pub(crate) use proof::{Surroundings, stuck};

/// What an explanation is asked of.
pub(crate) struct Question<'a> {
    /// The processes as they are.
    pub(crate) look: &'a Look,
    /// What is around them.
    pub(crate) around: &'a Surroundings,
    /// What was traced.
    pub(crate) events: &'a [Event],
    /// Every read and write is among the events.
    pub(crate) transfers: bool,
    /// Since the program's start.
    pub(crate) now: Duration,
    /// Nothing can end it.
    pub(crate) proven: bool,
    /// How running threads may be asked where they are.
    pub(crate) asking: Asking,
    /// How long they are waited for in all.
    pub(crate) patience: Duration,
    /// How many processes there have been.
    pub(crate) born: usize,
    /// What their user calls them, by index; empty where they are called by their places in the family.
    pub(crate) names: &'a [String],
    /// The program's file.
    pub(crate) program: &'a File,
}

/// Threads told of, at most.
const TOLD: usize = 64;

/// Puts the graph into words, the heart of it first. `index` gives the index of a process in the observation.
pub(crate) fn explain(
    question: &Question<'_>,
    index: &dyn Fn(i32) -> Option<ProcessId>,
    registry: &mut Registry,
    images: &mut Images,
) -> Hang {
    let tables = Tables::read(question.look);
    let names = Naming { index, born: question.born, known: question.names };
    let mut finder = Finder {
        events: question.events,
        images,
        program: question.program,
        asking: question.asking,
        spaces: HashMap::new(),
        retries: RETRIES,
        patience: question.patience,
    };
    finder.stop_those_who_run(question.look);
    let mut teller = Teller {
        look: question.look,
        tables: &tables,
        around: question.around,
        events: question.events,
        transfers: question.transfers,
        now: question.now,
        proven: question.proven,
        names: &names,
        registry,
    };
    let tasks = question.look.processes.iter().flat_map(|p| p.tasks.iter().map(move |t| (p, t)));
    let mut told: Vec<Told> = tasks.take(TOLD).map(|(p, t)| teller.tell(p, t, &mut finder)).collect();
    put_behind(&mut told);
    // The sort is stable: of those that are as near to the heart, the one that has waited longest comes first.
    told.sort_by_key(|t| (t.rank, t.order(), t.since.unwrap_or(Duration::MAX)));
    Hang {
        proven: question.proven,
        kind: told.first().map_or("waiting", |t| t.kind).to_owned(),
        summary: told.first().map_or_else(|| "the program did not end".into(), |heart| summary(heart, &names)),
        waiters: told.into_iter().map(|t| t.waiter).collect(),
    }
}

/// Whoever waits, directly or not, for somebody who does not wait for it in turn is not the heart.
fn put_behind(told: &mut [Told]) {
    let reached: Vec<BTreeSet<i32>> = told.iter().map(|t| reached(told, t.pid)).collect();
    let behind: Vec<usize> = (0..told.len())
        .filter(|n| told[*n].rank == rank::PLAIN)
        .filter(|n| {
            let nearer = |m: usize| {
                told[m].rank <= rank::PLAIN && reached[*n].contains(&told[m].pid) && !reached[m].contains(&told[*n].pid)
            };
            (0..told.len()).any(nearer)
        })
        .collect();
    for n in behind {
        told[n].rank = rank::BEHIND;
    }
}

/// The processes that one waits for, directly or not.
fn reached(told: &[Told], from: i32) -> BTreeSet<i32> {
    let mut reached = BTreeSet::new();
    let mut next = vec![from];
    while let Some(pid) = next.pop() {
        for other in told.iter().filter(|t| t.pid == pid).flat_map(|t| &t.on) {
            if reached.insert(*other) {
                next.push(*other);
            }
        }
    }
    reached
}

/// The one sentence that says the heart of it.
fn summary(heart: &Told, names: &Naming<'_>) -> String {
    const REASONS: usize = 4;
    let waiter = &heart.waiter;
    let at = waiter.source.as_ref().map(|s| format!(" ({s})")).unwrap_or_default();
    let mut summary = format!("{} {}{at}", names.of(waiter.process), waiter.waits);
    for (n, reason) in waiter.because.iter().take(REASONS).enumerate() {
        summary.push_str("; ");
        summary.push_str(reason);
        if let Some(made) = waiter.culprits.get(n).and_then(|c| c.made_at.as_ref()) {
            summary.push_str(&format!(", from {made}"));
        }
    }
    summary
}

/// Explains why a process and its descendants do not end, and says what each of them is called: its command, and the
/// number by which its user finds it.
pub(crate) fn explain_tree(root: i32) -> Result<(Hang, Vec<String>), String> {
    const BETWEEN_LOOKS: Duration = Duration::from_millis(40);
    const ASKING: Duration = Duration::from_secs(2);
    if !std::path::Path::new(&format!("/proc/{root}")).exists() {
        return Err(format!("there is no process {root}"));
    }
    let mut pids = vec![root];
    pids.extend(process_files::descendants(root));
    let first = look(&pids);
    if first.processes.is_empty() {
        return Err(format!("process {root} has ended and waits to be reaped by its parent"));
    }
    if std::fs::read_to_string(format!("/proc/{root}/syscall")).is_err() {
        return Err(format!(
            "no permission to look at process {root}: it belongs to somebody else, or ptrace is restricted"
        ));
    }
    std::thread::sleep(BETWEEN_LOOKS);
    let second = look(&pids);
    let around = Surroundings { live: served_outside(&second, &pids), ..Surroundings::default() };
    let proven = first.unchanged(&second) && stuck(&second, &around, &[]);
    let index = |pid: i32| pids.iter().position(|p| *p == pid).map(|n| ProcessId(n as u32));
    let names: Vec<String> = pids.iter().map(|pid| format!("{} ({pid})", process_files::command(*pid))).collect();
    let cwd = std::fs::read_link(format!("/proc/{root}/cwd")).unwrap_or_default();
    let program = File::open(format!("/proc/{root}/exe")).map_err(|e| format!("process {root}: {e}"))?;
    let settled = if proven { second } else { look_for_long(&pids) };
    let question = Question {
        look: &settled,
        around: &around,
        events: &[],
        transfers: false,
        now: Duration::ZERO,
        proven,
        asking: Asking::Attach,
        patience: ASKING,
        born: pids.len(),
        names: &names,
        program: &program,
    };
    let hang = explain(&question, &index, &mut Registry::new(&cwd), &mut Images::default());
    Ok((hang, names))
}

/// Pipe ends of these processes whose other end a process outside the tree holds too.
fn served_outside(look: &Look, pids: &[i32]) -> Vec<(Identity, bool)> {
    let tables = Tables::read(look);
    let pipes = tables.all().filter(|(_, _, open)| open.kind == look::Kind::Pipe);
    let wanted: BTreeSet<Identity> = pipes.map(|(_, _, open)| open.identity).collect();
    let mut live = Vec::new();
    let Ok(entries) = std::fs::read_dir("/proc") else { return live };
    let others =
        entries.flatten().filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok()).filter(|pid| !pids.contains(pid));
    for pid in others {
        for open in look::open_descriptors(pid).into_values().filter(|o| wanted.contains(&o.identity)) {
            live.extend(open.write.then_some((open.identity, true)));
            live.extend(open.read.then_some((open.identity, false)));
        }
    }
    live
}
