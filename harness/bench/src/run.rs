//! The road from a request to a report.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::alarm::{self, Alarm};
use crate::cache;
use crate::comparison::{Comparison, ENOUGH};
use crate::costs;
use crate::error::{BenchError, nearest_names};
use crate::findings::findings;
use crate::fio::{self, NoCheck};
use crate::folios::{Layout, Shape};
use crate::format::bytes;
use crate::guard::Guard;
use crate::machine::{Machine, Ticks, meminfo};
use crate::model;
use crate::report::{Discarded, FileFacts, Report, SCHEMA, Skipped};
use crate::request::{CacheChoice, CacheState, Progress, Request, WorkloadName};
use crate::sample::Canary;
use crate::strategy::{Strategy, Tier, external, ipc, random, rescan, scan, share, small};
use crate::subject::{Subject, Workshop};
use crate::workload::file::FileArena;
use crate::workload::many::SmallFiles;
use crate::workload::talk::TalkArena;
use crate::workload::{self, Arena};

/// Budgets below this leave room for the core strategies only.
const ROOMY: Duration = Duration::from_secs(60);

/// The bytes that *update* and *records* work on, at most: a call for every
/// record takes its time.
const UPDATED: u64 = 16 << 20;
const RECORDS: u64 = 4 << 20;

/// The sizes of *small*'s files, and about how many bytes there are of each.
const SIZES: [u64; 7] = [4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20];
const SMALL_BYTES: u64 = 32 << 20;

/// The tmpfs that every Linux has.
const SHARED_MEMORY: &str = "/dev/shm";

/// Round trips of one trial of *ipc*: the most that the time suffices for.
const TRIPS: [u64; 4] = [2000, 1000, 500, 250];

/// Messages one way of one trial.
const MESSAGES: u64 = 1 << 15;

/// Compares strategies as the request says.
///
/// Files that it writes are in a directory of its own and are gone when it
/// returns, whichever way. A file of the caller's is only read.
///
/// # Errors
/// A sentence of [`BenchError`] about the request, the file, the disk, or bytes
/// that were wrong. A strategy that this machine does not have is no error: it
/// is listed in [`Report::skipped`]. An interrupt is none either once anything
/// was measured: the report is then marked.
pub fn compare(request: &Request, on: &mut dyn FnMut(Progress<'_>)) -> Result<Report, BenchError> {
    check_names(request)?;
    let _guard = Guard::install();
    let mut run = Run::begin(request, on).map_err(|error| late(error, request))?;
    for workload in &request.workloads {
        let states = run.states(*workload);
        run.parts.extend(states.into_iter().map(|state| (*workload, state)));
    }
    let parts = run.parts.clone();
    for (done, (workload, state)) in parts.iter().enumerate() {
        if run.stopped() {
            break;
        }
        let all: u32 = parts[done..].iter().map(|(w, s)| weight(*w, *s)).sum();
        let share = run.left() * weight(*workload, *state) / all;
        match run.part(*workload, *state, Instant::now() + share, on) {
            // What was measured by then is kept, and `finish` says what is not.
            Ok(()) | Err(BenchError::Interrupted) => {}
            Err(error @ (BenchError::NoSpace { .. } | BenchError::TooLong { .. } | BenchError::Io { .. }))
                if !run.report.results.is_empty() =>
            {
                let (workload, cache, why) = (*workload, *state, error.to_string());
                run.report.skipped.push(Skipped { workload, cache, shape: None, strategy: None, why });
                run.report.partial = true;
            }
            Err(error) => return Err(error),
        }
    }
    run.check_with_fio(on)?;
    run.finish()
}

/// Work that was broken off by the clock and not by the caller.
fn late(error: BenchError, request: &Request) -> BenchError {
    match error {
        BenchError::Interrupted if !request.interrupted.load(Ordering::Relaxed) => BenchError::Nothing {
            why: format!("the budget of {} s was spent before the first trial", request.budget.as_secs()),
        },
        error => error,
    }
}

/// One comparison on its way.
struct Run<'a> {
    request: &'a Request,
    workshop: Workshop,
    subject: Option<Arc<Subject>>,
    began: Instant,
    alarm: Alarm,
    ticks: Option<Ticks>,
    canary: Canary,
    parts: Vec<(WorkloadName, CacheState)>,
    report: Report,
}

impl<'a> Run<'a> {
    fn begin(request: &'a Request, on: &mut dyn FnMut(Progress<'_>)) -> Result<Self, BenchError> {
        let began = Instant::now();
        let ticks = Ticks::now();
        let size = request.file.as_ref().and_then(|path| path.metadata().ok()).map_or(request.size, |file| file.len());
        let alarm = Alarm::set(&request.interrupted, alarm::limit(began + request.budget, size));
        let workshop = Workshop::new(request.dir.as_deref())?;
        let needs_file = request.workloads.iter().any(|w| reads_a_file(*w));
        let subject = match &request.file {
            _ if !needs_file => None,
            Some(path) => {
                on(Progress::Phase { what: &format!("read {}", path.display()) });
                Some(Arc::new(Subject::given(path, alarm.pace())?))
            }
            None => {
                workshop.ensure_space(room(request, request.size), "the generated file and its copies")?;
                on(Progress::Phase { what: &format!("generate {}", bytes(request.size)) });
                Some(Arc::new(Subject::generate(
                    &workshop,
                    "subject",
                    request.size,
                    4 << 20,
                    request.seed,
                    alarm.pace(),
                )?))
            }
        };
        if let (Some(subject), Some(_)) = (&subject, &request.file) {
            workshop.ensure_space(room(request, subject.size()) - subject.size(), "copies of the file")?;
        }
        on(Progress::Phase { what: "measure primitive costs" });
        let costs = costs::measure(&workshop, alarm.flag())?;
        if Guard::struck() {
            let full = std::io::Error::other("the disk is full, or fails (SIGBUS)");
            return Err(BenchError::io("store to a mapped file in", workshop.dir(), full));
        }
        let place = subject.as_ref().map_or(workshop.dir(), |s| s.path());
        let file = subject.as_ref().map(|s| file_facts(s, request.file.is_none()));
        let report = Report {
            schema: SCHEMA,
            suite: env!("CARGO_PKG_VERSION").to_owned(),
            began: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()),
            elapsed_s: 0.0,
            seed: request.seed,
            machine: Machine::look(place),
            costs,
            file: file.unwrap_or_default(),
            layouts: Vec::new(),
            results: Vec::new(),
            checks: Vec::new(),
            findings: Vec::new(),
            skipped: Vec::new(),
            discarded: Discarded::default(),
            notes: Vec::new(),
            interrupted: false,
            partial: false,
        };
        Ok(Self { request, workshop, subject, began, alarm, ticks, canary: Canary::new(), parts: Vec::new(), report })
    }

    fn left(&self) -> Duration {
        self.request.budget.saturating_sub(self.began.elapsed())
    }

    fn stopped(&self) -> bool {
        let asked = self.report.interrupted || self.request.interrupted.load(Ordering::Relaxed);
        asked || self.alarm.flag().load(Ordering::Relaxed)
    }

    fn part(
        &mut self,
        workload: WorkloadName,
        state: CacheState,
        deadline: Instant,
        on: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), BenchError> {
        match workload {
            WorkloadName::Shape => return self.shapes(deadline, on),
            WorkloadName::Small => return self.small_files(deadline, on),
            WorkloadName::Share => return self.sharers(deadline, on),
            WorkloadName::Ipc => return self.messages(deadline, on),
            _ => {}
        }
        let mut arena = self.arena(workload, state)?;
        let strategies = self.strategies(workload, state, &|| workload::strategies(workload));
        self.note_meaningless(workload, state);
        self.compare(Group { workload, cache: state, shape: None }, arena.as_mut(), strategies, deadline, on)
    }

    fn compare(
        &mut self,
        group: Group,
        arena: &mut dyn Arena,
        strategies: Vec<Strategy>,
        deadline: Instant,
        on: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), BenchError> {
        let Group { workload, cache, shape } = group;
        if let (CacheState::Warm, Some(file)) = (cache, arena.file()) {
            self.report.layouts.extend(Layout::of(file, workload, shape.as_deref()));
        }
        let probe = arena.file().map(|file| match (workload, cache) {
            (WorkloadName::Copy, CacheState::Warm) | (WorkloadName::Write, _) => {
                model::Probe::of(file, cache).with_writing(file, arena.task().target)
            }
            (WorkloadName::Update | WorkloadName::Records, _) => model::Probe::of(file, cache).with_updates(file),
            _ => model::Probe::of(file, cache),
        });
        let comparison = Comparison {
            workload,
            cache,
            shape,
            arena,
            strategies,
            optional: self.request.strategies.is_none(),
            must: self.report.results.is_empty(),
        };
        let mut outcome = comparison.run(self.request, self.alarm.flag(), deadline, &mut self.canary, on)?;
        for row in &mut outcome.rows {
            row.predicted_ns = model::predict(row, &self.report.costs, probe.as_ref());
        }
        self.report.results.extend(outcome.rows);
        self.report.skipped.extend(outcome.skipped);
        self.report.interrupted |= outcome.interrupted;
        let total = &mut self.report.discarded;
        total.trials += outcome.discarded.trials;
        total.disturbed_but_kept += outcome.discarded.disturbed_but_kept;
        for (reason, count) in outcome.discarded.reasons {
            *total.reasons.entry(reason).or_default() += count;
        }
        Ok(())
    }

    /// The states asked for that this workload and file can have.
    fn states(&mut self, workload: WorkloadName) -> Vec<CacheState> {
        if matches!(workload, WorkloadName::Write | WorkloadName::Pipe | WorkloadName::Ipc) {
            return vec![CacheState::None];
        }
        let mut states = match (workload, self.request.cache) {
            (WorkloadName::Scan | WorkloadName::Random | WorkloadName::Copy, CacheChoice::Cold) => {
                vec![CacheState::Cold]
            }
            (WorkloadName::Scan | WorkloadName::Random | WorkloadName::Copy, CacheChoice::Both) => {
                vec![CacheState::Warm, CacheState::Cold]
            }
            _ => vec![CacheState::Warm],
        };
        // These work on files of their own, which are small.
        if matches!(workload, WorkloadName::Small | WorkloadName::Update | WorkloadName::Records) {
            return states;
        }
        let Some(subject) = &self.subject else { return states };
        let mut refuse = |state: CacheState, why: String| {
            if states.contains(&state) {
                states.retain(|s| *s != state);
                let skipped = Skipped { workload, cache: state, shape: None, strategy: None, why };
                self.report.skipped.push(skipped);
            }
        };
        if subject.in_memory() {
            let why = "the file lies in memory only (tmpfs, ramfs), and is never cold";
            refuse(CacheState::Cold, why.to_owned());
        }
        if let Some(why) = meminfo("MemAvailable").and_then(|memory| larger_than_memory(subject.size(), memory)) {
            refuse(CacheState::Warm, why);
        }
        states
    }

    fn arena(&self, workload: WorkloadName, state: CacheState) -> Result<Box<dyn Arena>, BenchError> {
        let target = self.workshop.path("target");
        let interrupted = Arc::clone(self.alarm.flag());
        let seed = self.request.seed;
        if workload == WorkloadName::Pipe {
            return Ok(Box::new(TalkArena::stream(target, self.request.size, interrupted)));
        }
        let Some(subject) = self.subject.clone() else {
            return Err(BenchError::Nothing { why: format!("{workload} needs a file") });
        };
        Ok(match workload {
            WorkloadName::Copy => Box::new(FileArena::copy(subject, target, interrupted)),
            WorkloadName::Write => Box::new(FileArena::write(subject, target, interrupted)?),
            WorkloadName::Random => {
                let count = if state == CacheState::Cold { 1000 } else { 20_000 };
                let count = count.min((subject.size() as usize / random::BLOCK).max(1) * 2);
                Box::new(FileArena::random(subject, target, interrupted, count, seed)?)
            }
            WorkloadName::Update | WorkloadName::Records => {
                let most = if workload == WorkloadName::Update { UPDATED } else { RECORDS };
                let size = subject.size().min(most) / 4096 * 4096;
                let size = size.max(crate::subject::LEAST);
                self.workshop.ensure_space(size, "the file that is updated")?;
                let _ = std::fs::remove_file(self.workshop.path("records"));
                let records = Subject::generate(&self.workshop, "records", size, 1 << 20, seed, self.alarm.pace())?;
                let count = (workload == WorkloadName::Update).then_some(10_000);
                Box::new(FileArena::update(Arc::new(records), target, interrupted, count, seed))
            }
            _ => Box::new(FileArena::scan(subject, target, interrupted)),
        })
    }

    /// The strategies of a list that take part: baseline, the same once more,
    /// the others.
    fn strategies(&self, workload: WorkloadName, state: CacheState, list: &dyn Fn() -> Vec<Strategy>) -> Vec<Strategy> {
        let full = !self.request.quick && self.request.budget >= ROOMY;
        let mut all = list();
        let baseline = all.remove(0);
        let mut again = list().remove(0);
        again.name.push_str("_again");
        let others = all.into_iter().filter(|s| match &self.request.strategies {
            Some(names) => names.contains(&s.name),
            None => full || s.tier == Tier::Core,
        });
        let mine = self.request.extra.iter().filter(|entry| match workload {
            WorkloadName::Copy => external::copies(entry),
            WorkloadName::Scan => !external::copies(entry),
            _ => false,
        });
        let mut chosen = vec![baseline, again];
        chosen.extend(mine.map(external::strategy));
        chosen.extend(others.filter(|s| s.only.is_none_or(|only| only == state)));
        chosen
    }

    /// Lists the strategies that were asked for by name and mean nothing in this state.
    fn note_meaningless(&mut self, workload: WorkloadName, state: CacheState) {
        let Some(names) = &self.request.strategies else { return };
        let elsewhere = workload::strategies(workload)
            .into_iter()
            .filter_map(|strategy| Some((strategy.only.filter(|only| *only != state)?, strategy.name)))
            .filter(|(_, name)| names.contains(name));
        self.report.skipped.extend(elsewhere.map(|(only, name)| Skipped {
            workload,
            cache: state,
            shape: None,
            strategy: Some(name),
            why: format!("it means something only in a {only} cache"),
        }));
    }

    /// The same number of bytes in files of several sizes, where other files lie
    /// and, unless it is to be quick, in memory.
    fn small_files(&mut self, deadline: Instant, on: &mut dyn FnMut(Progress<'_>)) -> Result<(), BenchError> {
        let mut places = vec![("", None)];
        if !self.request.quick && !self.workshop.in_memory() {
            match memory_workshop() {
                Ok(shop) => places.push((", on tmpfs", Some(shop))),
                Err(why) => self.report.skipped.push(Skipped {
                    workload: WorkloadName::Small,
                    cache: CacheState::Warm,
                    shape: Some("on tmpfs".to_owned()),
                    strategy: None,
                    why,
                }),
            }
        }
        let groups = SIZES.len() * places.len();
        let all = places.iter().flat_map(|place| SIZES.map(|size| (place, size)));
        for (done, ((place, shop), size)) in all.enumerate() {
            if self.stopped() {
                break;
            }
            let until = part_of(deadline, groups - done);
            let count = (SMALL_BYTES / size).clamp(2, 500) as usize;
            let shape = format!("{count} files of {}{place}", bytes(size));
            on(Progress::Phase { what: &format!("write {shape}") });
            let interrupted = Arc::clone(self.alarm.flag());
            let workshop = shop.as_ref().unwrap_or(&self.workshop);
            let mut arena = SmallFiles::new(workshop, count, size, self.request.seed, interrupted)?;
            let strategies = self.strategies(WorkloadName::Small, CacheState::Warm, &small::strategies);
            let group = Group { workload: WorkloadName::Small, cache: CacheState::Warm, shape: Some(shape) };
            self.compare(group, &mut arena, strategies, until, on)?;
        }
        Ok(())
    }

    /// The same file, scanned by more and more processes at once.
    fn sharers(&mut self, deadline: Instant, on: &mut dyn FnMut(Progress<'_>)) -> Result<(), BenchError> {
        for (done, processes) in share::PROCESSES.into_iter().enumerate() {
            if self.stopped() {
                break;
            }
            let until = part_of(deadline, share::PROCESSES.len() - done);
            let mut arena = self.arena(WorkloadName::Share, CacheState::Warm)?;
            let strategies = self.strategies(WorkloadName::Share, CacheState::Warm, &|| share::strategies(processes));
            let shape = Some(format!("{processes} processes"));
            let group = Group { workload: WorkloadName::Share, cache: CacheState::Warm, shape };
            self.compare(group, arena.as_mut(), strategies, until, on)?;
        }
        Ok(())
    }

    /// Messages there and back, and messages one way.
    fn messages(&mut self, deadline: Instant, on: &mut dyn FnMut(Progress<'_>)) -> Result<(), BenchError> {
        type List = fn() -> Vec<Strategy>;
        let ways: [(&str, List); 2] = [(ipc::TRIPS, ipc::round_trips), (ipc::ONE_WAY, ipc::one_way)];
        for (done, (shape, list)) in ways.into_iter().enumerate() {
            if self.stopped() {
                break;
            }
            let until = part_of(deadline, ways.len() - done);
            let strategies = self.strategies(WorkloadName::Ipc, CacheState::None, &list);
            let count = if shape == ipc::TRIPS { self.trips(until, strategies.len()) } else { MESSAGES };
            let target = self.workshop.path("target");
            let mut arena = TalkArena::messages(target, count, Arc::clone(self.alarm.flag()));
            let group = Group { workload: WorkloadName::Ipc, cache: CacheState::None, shape: Some(shape.to_owned()) };
            self.compare(group, &mut arena, strategies, until, on)?;
        }
        Ok(())
    }

    /// As many round trips a trial as let enough rounds of all strategies end in half of the time: a processor of a
    /// virtual machine may take ten times as long to wake another as one that is real.
    fn trips(&self, until: Instant, strategies: usize) -> u64 {
        let trip = self.report.costs.pipe_round_trip_ns.as_ref().map_or(0.0, |cost| cost.median);
        let a_trial = until.saturating_duration_since(Instant::now()) / (2 * ENOUGH * strategies) as u32;
        let fits = |trips: &u64| *trips as f64 * trip <= a_trial.as_nanos() as f64;
        TRIPS.into_iter().find(fits).unwrap_or(TRIPS[TRIPS.len() - 1])
    }

    /// The same file again and again, brought into the cache in different ways.
    fn shapes(&mut self, deadline: Instant, on: &mut dyn FnMut(Progress<'_>)) -> Result<(), BenchError> {
        let (subject, shapes) = self.shapeable()?;
        let mut subject = subject;
        for (done, shape) in shapes.iter().enumerate() {
            if self.stopped() {
                break;
            }
            let name = shape.name();
            on(Progress::Phase { what: &format!("have {} {name}", bytes(subject.size())) });
            let target = self.workshop.path("target");
            let interrupted = Arc::clone(self.alarm.flag());
            let mut arena = FileArena::shaped(subject, target, interrupted, *shape)?;
            // Page by page that took seconds, of which the trials' time is no part.
            let until = part_of(deadline, shapes.len() - done);
            let mut strategies = vec![scan::read(64 << 10), scan::read(64 << 10)];
            strategies[1].name.push_str("_again");
            let wanted = ["mmap", "mmap_populate", "read_256k"];
            strategies.extend(scan::strategies().into_iter().filter(|s| wanted.contains(&s.name.as_str())));
            // No fault and no copy: what the memory itself gives in this shape.
            strategies.push(rescan::mmap_kept().less());
            let group = Group { workload: WorkloadName::Shape, cache: CacheState::Warm, shape: Some(name) };
            self.compare(group, &mut arena, strategies, until, on)?;
            subject = arena.into_subject();
        }
        Ok(())
    }

    /// The file whose shape is varied, and the shapes that it can be given: one
    /// of the caller's is never written to, one in memory is never read in.
    fn shapeable(&self) -> Result<(Arc<Subject>, Vec<Shape>), BenchError> {
        if let (Some(subject), Some(_)) = (&self.subject, &self.request.file) {
            let shapes = if subject.in_memory() { &[][..] } else { &Shape::BY_READING };
            return match shapes {
                [] => Err(BenchError::Nothing {
                    why: "a file that lies in memory only and may not be written to has one shape".to_owned(),
                }),
                shapes => Ok((Arc::clone(subject), shapes.to_vec())),
            };
        }
        let size = self.request.size;
        self.workshop.ensure_space(size, "the file in another shape")?;
        let (seed, pace) = (self.request.seed, self.alarm.pace());
        let subject = Subject::generate(&self.workshop, "shape", size, 4 << 20, seed, pace)?;
        let mut shapes = Shape::OWN.to_vec();
        if subject.in_memory() {
            shapes.retain(|shape| matches!(shape, Shape::Written(_)));
        }
        Ok((Arc::new(subject), shapes))
    }

    fn check_with_fio(&mut self, on: &mut dyn FnMut(Progress<'_>)) -> Result<(), BenchError> {
        let (Some(program), Some(subject)) = (&self.request.check_with_fio, &self.subject) else { return Ok(()) };
        let mut say = |what: &str| on(Progress::Phase { what });
        match fio::check(program, subject, self.request.seed, &self.request.interrupted, &mut say) {
            Ok(checks) => self.report.checks = checks,
            Err(NoCheck::Note(why)) => self.report.notes.push(why),
            Err(NoCheck::Broken(BenchError::Interrupted)) => {}
            Err(NoCheck::Broken(error)) => return Err(error),
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Report, BenchError> {
        self.report.machine.note_load(self.ticks);
        self.report.elapsed_s = self.began.elapsed().as_secs_f64();
        self.report.interrupted |= self.request.interrupted.load(Ordering::Relaxed);
        if self.report.results.is_empty() {
            if self.report.interrupted {
                return Err(BenchError::Interrupted);
            }
            let mut reasons: Vec<String> = Vec::new();
            for skipped in &self.report.skipped {
                if !reasons.contains(&skipped.why) {
                    reasons.push(skipped.why.clone());
                }
            }
            if reasons.is_empty() {
                return Err(late(BenchError::Interrupted, self.request));
            }
            return Err(BenchError::Nothing { why: reasons.join("; ") });
        }
        for (workload, cache) in self.parts.clone() {
            let here = |other: WorkloadName, state: CacheState| (other, state) == (workload, cache);
            if self.report.results.iter().any(|row| here(row.workload, row.cache))
                || self.report.skipped.iter().any(|one| here(one.workload, one.cache))
            {
                continue;
            }
            let why = if self.report.interrupted { "interrupted before its turn" } else { "no time was left for it" };
            let why = why.to_owned();
            self.report.skipped.push(Skipped { workload, cache, shape: None, strategy: None, why });
        }
        // Strategies that nobody asked for by name may be left out; a part that
        // has no row at all may not.
        let missing = self.parts.iter().any(|(workload, state)| {
            !self.report.results.iter().any(|row| row.workload == *workload && row.cache == *state)
        });
        let groups = self.report.groups();
        let lost = self.report.skipped.iter().any(|s| s.strategy.is_some() && !groups.iter().any(|group| group.has(s)));
        self.report.partial |= self.report.interrupted || missing || lost;
        self.report.findings = findings(&self.report);
        let notes = notes(&self.report);
        self.report.notes.extend(notes);
        Ok(self.report)
    }
}

/// A place for small files in memory, or why there is none.
fn memory_workshop() -> Result<Workshop, String> {
    let shop = Workshop::new(Some(Path::new(SHARED_MEMORY))).map_err(|error| error.to_string())?;
    shop.ensure_space(SMALL_BYTES, "the small files").map_err(|error| error.to_string())?;
    if shop.in_memory() { Ok(shop) } else { Err(format!("{SHARED_MEMORY} is no tmpfs")) }
}

/// What rows that can be compared have in common.
struct Group {
    workload: WorkloadName,
    cache: CacheState,
    shape: Option<String>,
}

/// The end of the first of so many parts that share the time until `deadline`.
fn part_of(deadline: Instant, parts: usize) -> Instant {
    Instant::now() + deadline.saturating_duration_since(Instant::now()) / parts as u32
}

/// How long a round of trials takes, roughly, beside the others': the budget is
/// shared by it.
fn weight(workload: WorkloadName, state: CacheState) -> u32 {
    match (workload, state) {
        (WorkloadName::Copy, CacheState::Cold) => 6,
        (WorkloadName::Copy | WorkloadName::Write, _) | (_, CacheState::Cold) => 4,
        (WorkloadName::Small, _) => 12,
        (WorkloadName::Shape, _) => 8,
        (WorkloadName::Share, _) => 6,
        (WorkloadName::Pipe, _) => 3,
        _ => 2,
    }
}

/// Why a file cannot be all in the page cache, if so.
fn larger_than_memory(size: u64, available: u64) -> Option<String> {
    (size > available / 10 * 8).then(|| {
        format!("the file has {}, of {} available memory: it cannot all be cached", bytes(size), bytes(available))
    })
}

/// Bytes to be free for a request: the file, its target and the scratch files.
fn room(request: &Request, size: u64) -> u64 {
    let copies =
        request.workloads.iter().any(|w| matches!(w, WorkloadName::Copy | WorkloadName::Write | WorkloadName::Shape));
    size + if copies { size } else { 0 } + (192 << 20)
}

fn reads_a_file(workload: WorkloadName) -> bool {
    !matches!(workload, WorkloadName::Pipe | WorkloadName::Ipc | WorkloadName::Small)
}

fn file_facts(subject: &Subject, generated: bool) -> FileFacts {
    let proof = cache::residency(subject.file(), subject.size())
        .map_or_else(|e| format!("not possible: {e}"), |r| r.witness.name().to_owned());
    FileFacts { path: subject.shown().display().to_string(), bytes: subject.size(), generated, proof }
}

fn notes(report: &Report) -> Vec<String> {
    let mut notes = Vec::new();
    let cold = report.results.iter().any(|row| row.cache == CacheState::Cold);
    if cold && report.machine.storage.hypervisor_may_cache {
        notes.push("Cold means cold for this kernel: the hypervisor may hold the file in a cache below.".to_owned());
    }
    if report.discarded.disturbed_but_kept > 0 {
        notes.push(format!(
            "The machine was busy: {} trials were kept although they were disturbed, because \
             their neighbours were too; the pairing by rounds is what makes them comparable.",
            report.discarded.disturbed_but_kept
        ));
    }
    notes
}

fn check_names(request: &Request) -> Result<(), BenchError> {
    let Some(names) = &request.strategies else { return Ok(()) };
    let known: Vec<String> = request
        .workloads
        .iter()
        .flat_map(|w| workload::strategies(*w))
        .map(|s| s.name)
        .chain(request.extra.iter().map(|e| e.name.clone()))
        .collect();
    for name in names {
        if !known.contains(name) {
            let workloads: Vec<&str> = request.workloads.iter().map(|w| w.name()).collect();
            return Err(BenchError::UnknownStrategy {
                name: name.clone(),
                workloads: workloads.join(", "),
                near: nearest_names(name, known.iter().map(String::as_str)),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_larger_than_memory_is_not_measured_warm() {
        assert_eq!(larger_than_memory(7 << 30, 10 << 30), None);
        let why = larger_than_memory(9 << 30, 10 << 30).unwrap();
        assert_eq!(why, "the file has 9 GiB, of 10 GiB available memory: it cannot all be cached");
    }
}
