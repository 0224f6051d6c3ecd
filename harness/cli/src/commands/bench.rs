//! `bench`: ways to do I/O, compared on this machine.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::bench::{BenchError, CacheChoice, ExternalStrategy, Progress, Report, Request, WorkloadName};
use anyhow::{Context, Result};

use crate::args::BenchArgs;
use crate::exit::{Exit, Stop};
use crate::files;
use crate::interrupt;
use crate::meter::Meter;
use crate::report::comparison;
use crate::terminal::{self, DIM, Styled};

/// Bytes of the generated file of a quick comparison.
const QUICK_SIZE: u64 = 256 << 20;
/// Time for the trials of a quick comparison.
const QUICK_BUDGET: Duration = Duration::from_secs(24);

/// Compares, or sets two earlier comparisons side by side.
pub fn bench(args: &BenchArgs) -> Result<Exit> {
    if let Some([a, b]) = args.compare.as_deref() {
        return side_by_side(a, b);
    }
    for path in [&args.json, &args.html].into_iter().flatten() {
        files::check_writable(path)?;
    }
    let report = measure(&request(args)?)?;
    write_reports(&report, args.json.as_deref(), args.html.as_deref())?;
    show(&report)?;
    Ok(if interrupt::asked() { Exit::Interrupted } else { Exit::Done })
}

fn request(args: &BenchArgs) -> Result<Request> {
    let mut request = Request { interrupted: interrupt::flag(), quick: args.quick, ..Request::default() };
    if args.quick {
        request.size = QUICK_SIZE;
        request.budget = QUICK_BUDGET;
    }
    if !args.workloads.is_empty() {
        request.workloads =
            args.workloads.iter().map(|name| name.parse::<WorkloadName>().map_err(stop)).collect::<Result<_>>()?;
    }
    request.cache = args.cache.parse::<CacheChoice>().map_err(Stop::input)?;
    request.file.clone_from(&args.file);
    request.dir.clone_from(&args.dir);
    if !args.strategies.is_empty() {
        request.strategies = Some(args.strategies.clone());
    }
    request.size = args.size.unwrap_or(request.size);
    request.budget = args.budget.unwrap_or(request.budget);
    request.seed = args.seed.unwrap_or(request.seed);
    request.check_with_fio = args.check_with.as_ref().map(PathBuf::from);
    request.extra = args.mine.iter().map(|text| external(text)).collect::<Result<_>>()?;
    Ok(request)
}

/// `NAME=COMMAND` as a strategy: the command is split at blanks, and no shell is asked.
fn external(text: &str) -> Result<ExternalStrategy> {
    let form = || {
        Stop::input(format!(
            "--mine {text}: NAME=COMMAND is wanted, such as mine='target/release/copy {{src}} {{dst}}'"
        ))
    };
    let (name, command) = text.split_once('=').ok_or_else(form)?;
    let argv: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
    if name.is_empty() || argv.is_empty() { Err(form()) } else { Ok(ExternalStrategy { name: name.to_owned(), argv }) }
}

/// Makes the comparison and shows how it gets on.
pub fn measure(request: &Request) -> Result<Report> {
    let mut meter = Meter::begin("measuring", 0);
    let mut on = |progress: Progress<'_>| match progress {
        Progress::Phase { what } => meter.say(what),
        Progress::Trial { workload, strategy, cache, round, of } => {
            meter.say(&format!("{workload} {cache} {strategy}, round {round} of about {of}"));
        }
        // A terminal narrower than the table would break its lines.
        Progress::Standing(rows) if terminal::width() >= 80 => {
            meter.below(&comparison::standing(rows, terminal::width()));
        }
        _ => {}
    };
    ::bench::compare(request, &mut on).map_err(stop)
}

/// The comparer's error as one that knows its exit status.
pub fn stop(error: BenchError) -> anyhow::Error {
    match error {
        BenchError::Interrupted => Stop::Interrupted.into(),
        BenchError::Io { .. }
        | BenchError::WrongBytes { .. }
        | BenchError::Nothing { .. }
        | BenchError::NoSpace { .. } => error.into(),
        input => Stop::input(input.to_string()),
    }
}

/// Writes the report in the forms that were asked for.
pub fn write_reports(report: &Report, json: Option<&Path>, html: Option<&Path>) -> Result<()> {
    if let Some(path) = json {
        files::write_whole(path, report.to_json().context("the report is no JSON")?.as_bytes())?;
        anstream::eprintln!("Written: {}", path.display());
    }
    if let Some(path) = html {
        files::write_whole(path, report.to_html().as_bytes())?;
        anstream::eprintln!("Written: {}", path.display());
    }
    Ok(())
}

fn show(report: &Report) -> Result<()> {
    let width = terminal::width();
    let mut out = anstream::stdout().lock();
    let file = match report.file.bytes {
        0 => String::new(),
        size => format!("{} {}, ", report.file.path, ::bench::format::bytes(size)),
    };
    writeln!(out, "{}", Styled(DIM, format!("{file}{:.0} s", report.elapsed_s)))?;
    for line in comparison::machine(report, width) {
        writeln!(out, "{line}")?;
    }
    for lines in [
        comparison::tables(report, width),
        comparison::checks(report),
        comparison::findings(report, width),
        comparison::caveats(report, width),
    ] {
        for line in &lines {
            writeln!(out, "{line}")?;
        }
        if !lines.is_empty() {
            writeln!(out)?;
        }
    }
    Ok(())
}

fn side_by_side(a: &Path, b: &Path) -> Result<Exit> {
    let (first, second) = (read(a)?, read(b)?);
    let lines = comparison::side_by_side(&first, &second, terminal::width());
    if lines.is_empty() {
        return Err(Stop::input("the two reports have no way of any workload in common"));
    }
    let mut out = anstream::stdout().lock();
    writeln!(out, "A: {}   B: {}", a.display(), b.display())?;
    for line in lines {
        writeln!(out, "{line}")?;
    }
    Ok(Exit::Done)
}

fn read(path: &Path) -> Result<Report> {
    files::check_readable(path)?;
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|e| Stop::input(format!("{shown}: {}", files::reason(&e))))?;
    Report::from_json(&text).map_err(|e| Stop::input(format!("{shown}: is no report of bench: {e}")))
}
