//! `run`: compile, run and grade one exercise, or just run it in the box.

use std::ffi::OsString;
use std::io::{IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::Result;
use grade::{Exercise, GradeError, Grader, Kind, Outcome, State, Submission, Suite, Tree, Verdict};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use observe::{Ending, Exit as ProgramExit, Observation, Stdin};

use crate::args::{Cli, RunArgs};
use crate::commands::why;
use crate::context;
use crate::exit::Exit;
use crate::input::Input;
use crate::meter;
use crate::progress::Progress;
use crate::report::hang;
use crate::report::verdict::{SCREENFUL, View};
use crate::terminal::{self, DIM, Styled};

/// Grades one submission, or runs it with the arguments given.
pub fn run(cli: &Cli, args: &RunArgs) -> Result<Exit> {
    let suite = context::suite(cli)?;
    let exercise = suite.exercise(&args.exercise).map_err(context::stop_grading)?;
    let submission = submission(&suite, exercise, args)?;
    let grader = context::grader(&suite, None, context::rung(args.boxed));
    if let Some(words) = words(args) {
        return just_run(&grader, exercise, &submission, words);
    }
    let verdict = match &args.replay {
        Some(id) => meter::during(&format!("grading {}", exercise.name), || grader.replay(exercise, &submission, id)),
        None => grade(&grader, exercise, &submission),
    };
    crate::interrupt::check()?;
    let verdict = verdict.or_else(|error| compile_error(exercise, &submission, error))?;
    show(cli, &suite, args, &submission, &verdict)?;
    Ok(exit_of(verdict.outcome))
}

/// The words after `--`; none at all are arguments too, though the parser cannot tell.
fn words(args: &RunArgs) -> Option<&[OsString]> {
    let bare = || std::env::args_os().next_back().is_some_and(|word| word == "--");
    args.args.as_deref().or_else(|| bare().then_some(&[]))
}

fn submission(suite: &Suite, exercise: &Exercise, args: &RunArgs) -> Result<Submission> {
    match &args.file {
        Some(path) => context::file_submission(suite, exercise.name, path),
        None if args.solution => Ok(Submission::Tree(Tree::Solutions)),
        None => {
            let submission = Submission::Tree(Tree::Exercises);
            submission.source(exercise).map_err(context::stop_grading)?;
            Ok(submission)
        }
    }
}

/// Grades, and records what was achieved in the learner's own tree.
fn grade(grader: &Grader, exercise: &Exercise, submission: &Submission) -> Result<Verdict, GradeError> {
    let source = submission.source(exercise)?;
    let verdict = meter::during(&format!("grading {}", exercise.name), || {
        grader.grade(exercise, &as_handed_out(grader, exercise, submission))
    });
    if *submission == Submission::Tree(Tree::Exercises)
        && let Err(error) = Progress::load(grader.suite().root()).record(&verdict, source.as_bytes())
    {
        anstream::eprintln!("Your progress could not be written: {error:#}");
    }
    Ok(verdict)
}

/// A program to mend is whole as it is handed out: to see it fail is where its learner begins.
pub fn as_handed_out(grader: &Grader, exercise: &Exercise, submission: &Submission) -> Submission {
    let untouched =
        *submission == Submission::Tree(Tree::Exercises) && grader.suite().state(exercise) == State::NotBegun;
    if untouched && exercise.kind == Kind::Mend {
        Submission::File { path: exercise.stub_path(), label: Tree::Exercises.folder().to_owned() }
    } else {
        submission.clone()
    }
}

/// A program that does not compile cannot be replayed; what rustc says is the verdict.
fn compile_error(exercise: &Exercise, submission: &Submission, error: GradeError) -> Result<Verdict> {
    let GradeError::Compile(message) = error else { return Err(context::stop_grading(error)) };
    Ok(Verdict {
        exercise: exercise.name.to_owned(),
        submission: submission.label(),
        outcome: Outcome::CompileError,
        checks: Vec::new(),
        runs: 0,
        wall_ms: 0,
        cpu_ms: 0,
        partial: false,
        message: Some(message),
        rung: None,
    })
}

fn show(cli: &Cli, suite: &Suite, args: &RunArgs, submission: &Submission, verdict: &Verdict) -> Result<()> {
    let mut command = format!("run {}", verdict.exercise);
    if args.solution {
        command.push_str(" --solution");
    }
    if let Some(path) = &args.file {
        command.push_str(&format!(" --file {}", path.display()));
    }
    command.push_str(&args.boxed.again());
    let base = match submission {
        Submission::Tree(_) => suite.root(),
        Submission::File { .. } => Path::new(""),
    };
    let view = View { base, width: terminal::width(), height: SCREENFUL, verbose: cli.verbose, keys: false, command };
    let mut out = anstream::stdout().lock();
    for line in view.lines(verdict) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// The exit status of one verdict.
pub fn exit_of(outcome: Outcome) -> Exit {
    match outcome {
        Outcome::Passed | Outcome::NotBegun => Exit::Done,
        Outcome::Failed | Outcome::CompileError => Exit::Failed,
        Outcome::Skipped | Outcome::HarnessFault => Exit::Harness,
    }
}

fn just_run(grader: &Grader, exercise: &Exercise, submission: &Submission, words: &[OsString]) -> Result<Exit> {
    let input = Input::of(words)?;
    let seen =
        match grader.run_with_args(exercise, submission, input.words.clone(), input.files.clone(), piped_input()?) {
            Ok(seen) => seen,
            Err(GradeError::Compile(message)) => {
                anstream::eprint!("{message}");
                return Ok(Exit::Failed);
            }
            Err(error) => return Err(context::stop_grading(error)),
        };
    let mut out = std::io::stdout().lock();
    out.write_all(&seen.stdout.bytes)?;
    out.flush()?;
    std::io::stderr().write_all(&seen.stderr.bytes)?;
    anstream::eprintln!("{}", Styled(DIM, ended(&seen, &input)));
    if let Some(found) = &seen.hang {
        for line in hang::lines(found, &hang::namer(&seen)) {
            anstream::eprintln!("{line}");
        }
    }
    Ok(Exit::Done)
}

/// What is piped in. A terminal is not read, nor a pipe that nobody has written to yet: scripts often pass one on
/// that stays open and silent.
fn piped_input() -> Result<Stdin> {
    const PATIENCE_MS: u8 = 100;
    let stdin = std::io::stdin();
    if stdin.is_terminal()
        || poll(&mut [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)], PollTimeout::from(PATIENCE_MS))? == 0
    {
        return Ok(Stdin::Empty);
    }
    let mut bytes = Vec::new();
    stdin.lock().read_to_end(&mut bytes)?;
    Ok(if bytes.is_empty() { Stdin::Empty } else { Stdin::Bytes(bytes) })
}

/// How a run ended and what it has written, in brackets.
pub fn ended(seen: &Observation, input: &Input) -> String {
    let seconds = seen.wall.as_secs_f64();
    let how = match seen.ending {
        Ending::Ended(ProgramExit::Code(status)) => format!("exit status {status}"),
        Ending::Ended(ProgramExit::Signal(signal)) => format!("killed by {}", why::signal_name(signal)),
        Ending::Deadlocked | Ending::Deadline => "it hung and was killed".to_owned(),
        Ending::Flooded => "it wrote without end and was killed".to_owned(),
        Ending::OverLimit => {
            format!("it {} and was killed", seen.over_limit.as_deref().unwrap_or("ran into a limit of its box"))
        }
    };
    let left = match seen.survivors.len() {
        0 => String::new(),
        1 => ", one process outlived it".to_owned(),
        n => format!(", {n} processes outlived it"),
    };
    let written: String = input.written(seen).iter().map(|file| format!(", {file} written in its box")).collect();
    format!("[{how}, {seconds:.2} s{left}{written}]")
}
