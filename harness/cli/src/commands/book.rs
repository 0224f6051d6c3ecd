//! `book`: lessons, exercises, the demos' pictures and the latest comparison as files that a browser opens as they are.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, Result};
use grade::{Exercise, Grader, Module, Suite};
use observe::Tracing;

use crate::args::{BookArgs, Cli};
use crate::book::{self, Chapter, Contents, Entry};
use crate::commands::demo;
use crate::context;
use crate::exit::{Exit, Stop};
use crate::files;
use crate::interrupt;
use crate::meter::Meter;
use crate::timeline;

/// Makes the book.
pub fn book(cli: &Cli, args: &BookArgs) -> Result<Exit> {
    let suite = context::suite(cli)?;
    let comparison = comparison(&suite, args)?;
    make_room(&args.out)?;
    let put = |name: &str, text: &str| files::write_whole(&args.out.join(name), text.as_bytes());
    let grader = context::grader(&suite, None, None);
    let meter = Mutex::new(Meter::begin("pages", suite.exercises().len() as u64));
    let mut chapters: Vec<Chapter> = Vec::new();
    for exercise in suite.exercises() {
        interrupt::check()?;
        let entry = entry(&grader, exercise, &put)?;
        match chapters.last_mut().filter(|chapter| chapter.module == exercise.module) {
            Some(chapter) => chapter.entries.push(entry),
            None => chapters.push(Chapter {
                module: exercise.module,
                lesson: lesson(&suite, exercise.module)?,
                entries: vec![entry],
            }),
        }
        meter.lock().unwrap_or_else(std::sync::PoisonError::into_inner).step(exercise.name);
    }
    let contents = Contents { chapters, comparison: comparison.is_some() };
    for (name, text) in book::pages(&contents) {
        put(&name, &text)?;
    }
    if let Some(report) = comparison {
        put(book::COMPARISON, &report.to_html())?;
    }
    writeln!(anstream::stdout().lock(), "The book begins at {}", args.out.join(book::INDEX).display())?;
    Ok(Exit::Done)
}

/// The report asked for, or the last tour's.
fn comparison(suite: &Suite, args: &BookArgs) -> Result<Option<bench::Report>> {
    if let Some(path) = &args.report {
        files::check_readable(path)?;
        let text =
            fs::read_to_string(path).map_err(|e| Stop::input(format!("{}: {}", path.display(), files::reason(&e))))?;
        let report = bench::Report::from_json(&text)
            .map_err(|error| Stop::input(format!("{}: is no report of bench: {error}", path.display())))?;
        return Ok(Some(report));
    }
    let tour = suite.root().join("target/syslings/tour.json");
    let last = || {
        let found: serde_json::Value = serde_json::from_str(&fs::read_to_string(tour).ok()?).ok()?;
        bench::Report::from_json(&found.get("comparison")?.to_string()).ok()
    };
    Ok(last())
}

/// The directory, made or found empty or with an earlier book in it: nobody else's files are written over.
fn make_room(directory: &Path) -> Result<()> {
    let shown = directory.display();
    if directory.exists() && !directory.is_dir() {
        return Err(Stop::input(format!("{shown}: is not a directory")));
    }
    fs::create_dir_all(directory).map_err(|e| Stop::input(format!("{shown}: {}", files::reason(&e))))?;
    let empty = fs::read_dir(directory).with_context(|| format!("cannot read {shown}"))?.next().is_none();
    let earlier = fs::read_to_string(directory.join(book::INDEX)).is_ok_and(|text| text.contains(book::GENERATOR));
    if !empty && !earlier {
        return Err(Stop::input(format!("{shown}: has files of others in it; name a new directory")));
    }
    files::check_writable(&directory.join(book::INDEX))
}

fn lesson(suite: &Suite, module: Module) -> Result<String> {
    let path: PathBuf = suite.root().join("exercises").join(module.folder).join("README.md");
    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// What the book has of an exercise; its demo's pictures are written at once.
fn entry(grader: &Grader, exercise: &Exercise, put: &dyn Fn(&str, &str) -> Result<()>) -> Result<Entry> {
    let stub = fs::read_to_string(exercise.stub_path()).unwrap_or_default();
    let head: Vec<&str> = stub
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect();
    let demo = grader.demo(exercise).map_err(context::stop_grading)?;
    let caption = demo::caption(exercise, &demo);
    put(
        &book::picture_of(exercise),
        &timeline::svg(&demo.observation, &timeline::Caption { story: Vec::new(), ..caption.clone() }),
    )?;
    put(&book::timeline_of(exercise), &timeline::html(&demo.observation, &caption))?;
    Ok(Entry {
        exercise: exercise.clone(),
        head: head.join("\n"),
        hints: exercise.hints().map_err(context::stop_grading)?,
        command: caption.command,
        story: caption.story,
        drawing: caption.drawing,
        seen: matches!(demo.observation.tracing, Tracing::On),
    })
}
