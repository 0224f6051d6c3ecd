//! Makes the launches of a specification, stage by stage, some at a time, and stops where going on says nothing.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use observe::{Ending, Exit, Launch, Observation, ObserveError, Rung, Schedule};

use crate::weigh::{self, Subject};
use crate::{Check, Compiled, Exercise, GradeError, Grader, Objection, Plan, Run, Stage};

/// What was seen of the plans that were made.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    /// For each plan, in order; nothing where it was not made.
    pub seen: Vec<Option<Observation>>,
    /// Launches made.
    pub launches: u32,
    /// Their processor time.
    pub cpu: Duration,
    /// The one plan that was asked for, if not all were; its plain counterpart may have been made with it.
    pub asked: Option<usize>,
    /// Why the later plans were not made.
    pub stopped: Option<&'static str>,
}

const ENDLESS: &str = "an earlier run came to no end: mend that first";
const NOT_YET: &str = "the program does not do its plain work yet: this is tried when it does";

impl Rounds {
    /// Makes all plans, or the one asked for.
    pub fn make(
        grader: &Grader,
        exercise: &Exercise,
        compiled: &Compiled,
        plans: &[Plan],
        subject: &Subject,
        only: Option<usize>,
        workers: usize,
    ) -> Result<Rounds, GradeError> {
        let mut rounds = Rounds { seen: vec![None; plans.len()], asked: only, ..Rounds::default() };
        let checks = exercise.checks();
        let baseline = only.and_then(|one| plain_like(plans, one));
        for stage in [Stage::Plain, Stage::Order, Stage::Refusal, Stage::Hard] {
            let chosen = |i: usize| match only {
                Some(one) => i == one || Some(i) == baseline,
                None => true,
            };
            let indices: Vec<usize> = (0..plans.len()).filter(|i| plans[*i].stage == stage && chosen(*i)).collect();
            rounds.stopped = rounds.reason_to_stop(&checks, plans, stage).filter(|_| only.is_none());
            if rounds.stopped.is_some() {
                break;
            }
            if !grader.options().until_failure {
                rounds.make_all(grader, exercise, compiled, plans, &indices, workers)?;
                continue;
            }
            for index in indices {
                rounds.make_all(grader, exercise, compiled, plans, &[index], 1)?;
                if checks.iter().any(|check| weigh::fails(check, plans, &rounds, index, subject)) {
                    return Ok(rounds);
                }
            }
        }
        Ok(rounds)
    }

    /// The rung of the first launch, and why it was no better one.
    pub fn rung(&self) -> Option<String> {
        let seen = self.seen.iter().flatten().next()?;
        let reason = seen.rung_reason.as_ref().map(|why| format!(", for there is {why}")).unwrap_or_default();
        Some(format!("{}{reason}", seen.rung))
    }

    /// The plain run of the same command line, for comparison with this plan's.
    pub fn baseline(&self, plans: &[Plan], index: usize) -> Option<&Observation> {
        self.seen.get(plain_like(plans, index)?)?.as_ref()
    }

    /// Whether any run of the same command line came to the right result, under whatever schedule.
    pub fn sometimes_right(&self, plans: &[Plan], index: usize) -> bool {
        let same = |plan: &Plan| {
            matches!(plan.stage, Stage::Plain | Stage::Order) && plan.launch.args == plans[index].launch.args
        };
        self.made(plans).any(|(_, plan, seen)| same(plan) && plan.comes_right(seen))
    }

    fn made<'a>(&'a self, plans: &'a [Plan]) -> impl Iterator<Item = (usize, &'a Plan, &'a Observation)> {
        let all = plans.iter().zip(&self.seen).enumerate();
        all.filter_map(|(index, (plan, seen))| Some((index, plan, seen.as_ref()?)))
    }

    fn reason_to_stop(&self, checks: &[Check], plans: &[Plan], stage: Stage) -> Option<&'static str> {
        if self.made(plans).any(|(_, _, seen)| is_endless(seen)) {
            return Some(ENDLESS);
        }
        let plain = |plan: &Plan| matches!(plan.stage, Stage::Plain | Stage::Order);
        let works = || {
            self.made(plans)
                .filter(|(_, plan, _)| plain(plan))
                .all(|(index, ..)| self.does_its_work(checks, plans, index))
        };
        (stage == Stage::Hard && !works()).then_some(NOT_YET)
    }

    /// Whether the result of one run is right.
    fn does_its_work(&self, checks: &[Check], plans: &[Plan], index: usize) -> bool {
        let Some(seen) = &self.seen[index] else { return true };
        let baseline = self.baseline(plans, index);
        let run = Run { plan: &plans[index], seen, baseline, sometimes_right: true };
        let results = ["output", "order", "copied", "sparse", "saved"];
        let judges = checks.iter().filter(|c| results.contains(&c.id) && run.plan.checks.contains(&c.id));
        judges
            .filter(|c| (c.lacks)(&run).is_none())
            .map(|c| (c.judge)(&run))
            .all(|finding| !matches!(finding, Err(Objection::Fails(_))))
    }

    fn make_all(
        &mut self,
        grader: &Grader,
        exercise: &Exercise,
        compiled: &Compiled,
        plans: &[Plan],
        indices: &[usize],
        workers: usize,
    ) -> Result<(), GradeError> {
        let next = AtomicUsize::new(0);
        let stop = AtomicBool::new(false);
        let results = Mutex::new(Vec::new());
        let work = || {
            while !stop.load(Ordering::SeqCst) {
                let Some(index) = indices.get(next.fetch_add(1, Ordering::SeqCst)) else { break };
                let result = make_one(grader, exercise, compiled, &plans[*index]);
                if !matches!(&result, Ok((seen, _)) if !is_endless(seen)) {
                    stop.store(true, Ordering::SeqCst);
                }
                lock(&results).push((*index, result));
            }
        };
        if workers <= 1 || indices.len() <= 1 {
            work();
        } else {
            std::thread::scope(|scope| {
                for _ in 0..workers.min(indices.len()) {
                    scope.spawn(work);
                }
            });
        }
        let mut ended = BTreeMap::new();
        for (index, result) in std::mem::take(&mut *lock(&results)) {
            ended.insert(index, result?);
        }
        for (index, (seen, launches)) in ended {
            let endless = is_endless(&seen);
            self.launches += launches;
            self.cpu += seen.cpu;
            self.seen[index] = Some(seen);
            if endless {
                // What was made beside it is left out: a verdict does not tell how many worked on it.
                break;
            }
        }
        Ok(())
    }
}

/// The first plain plan of the same command line; failing that, the first plain plan.
fn plain_like(plans: &[Plan], index: usize) -> Option<usize> {
    let plain = |p: &&(usize, &Plan)| p.1.stage == Stage::Plain;
    let all: Vec<(usize, &Plan)> = plans.iter().enumerate().collect();
    let same = all.iter().filter(plain).find(|(_, p)| p.launch.args == plans[index].launch.args);
    same.or_else(|| all.iter().find(plain)).map(|(i, _)| *i)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn make_one(
    grader: &Grader,
    exercise: &Exercise,
    compiled: &Compiled,
    plan: &Plan,
) -> Result<(Observation, u32), GradeError> {
    grader.check_interrupt()?;
    let mut launch = launch_of(&plan.launch, exercise, compiled, grader.options().rung);
    if plan.parent_first {
        launch.schedule = Schedule::ParentFirst;
    }
    let seen = observed(grader, &launch)?;
    match &plan.or_else {
        Some(args) if seen.exit() == Some(Exit::Code(2)) => {
            launch.args = args.clone();
            Ok((observed(grader, &launch)?, 2))
        }
        _ => Ok((seen, 1)),
    }
}

/// A box or supervisor that broke is given other chances, after pauses: on a busy machine that is most often passing,
/// and the program is not at fault.
fn observed(grader: &Grader, launch: &Launch) -> Result<Observation, GradeError> {
    for pause in [Duration::from_millis(10), Duration::from_millis(100)] {
        match grader.observer().run(launch) {
            Err(ObserveError::Supervisor(_) | ObserveError::NoBox(_)) => std::thread::sleep(pause),
            result => return Ok(result?),
        }
        grader.check_interrupt()?;
    }
    Ok(grader.observer().run(launch)?)
}

/// A plan's launch with the program put in.
pub(crate) fn launch_of(launch: &Launch, exercise: &Exercise, compiled: &Compiled, rung: Option<Rung>) -> Launch {
    Launch { program: compiled.program.to_path_buf(), name: exercise.name.into(), rung, ..launch.clone() }
}

fn is_endless(seen: &Observation) -> bool {
    matches!(seen.ending, Ending::Deadline | Ending::Flooded | Ending::OverLimit)
}
