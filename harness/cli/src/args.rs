//! The command line as types: what can be said, and nothing of what it does.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::quantities::{Shard, parse_seconds, parse_shard, parse_size};

/// Linux systems-programming exercises, graded by what the kernel saw.
///
/// Exit status: 0 all passed, or done · 1 something graded failed · 2 the command
/// line or an input is at fault · 3 the harness failed, or could not do what it
/// was asked · 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "syslings", version, disable_help_subcommand = true, infer_subcommands = false)]
pub struct Cli {
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: ColorWhen,
    /// Say more: all evidence, every check, each launch
    #[arg(long, short, global = true)]
    pub verbose: bool,
    /// The suite's directory (by default the one around the current directory)
    #[arg(long, global = true, value_name = "DIR")]
    pub suite: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The box that programs run in.
#[derive(Clone, Copy, Debug, Args)]
pub struct BoxArgs {
    /// Run programs on this rung of the ladder of boxes, F, K or L [default: the best that `doctor` finds]
    #[arg(long, value_name = "RUNG", ignore_case = true)]
    pub rung: Option<RungName>,
}

impl BoxArgs {
    /// The same again, to go at the end of a command.
    pub fn again(self) -> String {
        let name = self.rung.and_then(|rung| rung.to_possible_value());
        name.map_or_else(String::new, |name| format!(" --rung {}", name.get_name()))
    }
}

/// A rung of the ladder of boxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RungName {
    /// Namespaces.
    #[value(name = "F")]
    Namespaces,
    /// Subreaper and ptrace.
    #[value(name = "K")]
    Traced,
    /// Subreaper alone.
    #[value(name = "L")]
    Plain,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    /// On a terminal, unless `NO_COLOR` says otherwise.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run and check every demo, then time mmap against read/write
    Tour(TourArgs),
    /// The exercises by module, with their state
    List(ListArgs),
    /// Compile, run and grade one exercise
    Run(RunArgs),
    /// Grade on save, in teaching order
    Watch(WatchArgs),
    /// A hint, from the concept to the place
    Hint(HintArgs),
    /// Put the stub back; what was there is kept beside it
    Reset(ResetArgs),
    /// The solution at work, with its timeline
    Demo(DemoArgs),
    /// Lessons, exercises and pictures as a site that needs no server
    Book(BookArgs),
    /// Grade many exercises, or a class of submissions
    Grade(GradeArgs),
    /// Join JSON reports of shards into one
    Merge(MergeArgs),
    /// Compare ways to do I/O
    Bench(BenchArgs),
    /// Try the textbook's claims on this machine
    Claims(ClaimsArgs),
    /// What a program did, as a timeline
    Trace(TraceArgs),
    /// Why a program hangs
    Why(WhyArgs),
    /// What this machine offers, and what each missing thing costs
    Doctor(DoctorArgs),
    /// What a shell needs to complete this command line, on standard output
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// The manual page, on standard output
    Man,
    /// For those who make exercises
    #[command(subcommand)]
    Dev(DevCommand),
}

/// `dev`
#[derive(Debug, Subcommand)]
pub enum DevCommand {
    /// Make the stubs as they are now the ones that are handed out
    Pristine {
        /// Change nothing; fail if a stub is not the one that is handed out
        #[arg(long)]
        check: bool,
    },
    /// Make the pictures that lessons show, `![words](EXERCISE.svg)`, from runs of the solutions
    Pictures,
    /// Make a class to try `grade --submissions` on: solutions and submissions on file, no two the same
    Class {
        /// A directory that is not there yet, or is empty
        directory: PathBuf,
        /// How many programs, ten a person
        #[arg(long, value_name = "N", default_value_t = 1000)]
        submissions: usize,
    },
    /// Make the long proofs, of which `cargo test` has a short form, and print their figures
    Prove(ProveArgs),
    /// Grade the solutions over and over, with other inputs each time: no verdict may differ
    Steady(SteadyArgs),
}

/// `dev prove`
#[derive(Debug, Args)]
pub struct ProveArgs {
    /// Which; all if none is named
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Only say which there are
    #[arg(long)]
    pub list: bool,
    /// The proof's own options, instead of those of the full proof
    #[arg(last = true, value_name = "OPTION")]
    pub options: Vec<OsString>,
}

/// `dev steady`
#[derive(Debug, Args)]
pub struct SteadyArgs {
    /// Only these exercises [default: all]
    #[arg(value_name = "EXERCISE")]
    pub exercises: Vec<String>,
    /// How often each program is graded
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub runs: u32,
    /// The wrong and unusual submissions under fixtures/submissions too
    #[arg(long)]
    pub fixtures: bool,
    /// Keep every processor busy with something else meanwhile
    #[arg(long)]
    pub load: bool,
    /// Submissions graded at a time [default: one a processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// The box.
    #[command(flatten)]
    pub boxed: BoxArgs,
}

/// `tour`
#[derive(Debug, Args)]
pub struct TourArgs {
    /// Time this file instead of a generated one (it is only read)
    #[arg(long, value_name = "F")]
    pub file: Option<PathBuf>,
    /// A smaller file and fewer trials
    #[arg(long)]
    pub quick: bool,
    /// Bytes of the generated file, such as 64M or 1GiB
    #[arg(long, value_name = "BYTES", value_parser = parse_size)]
    pub size: Option<u64>,
    /// Where the reports are written [default: target/syslings]
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// The box.
    #[command(flatten)]
    pub boxed: BoxArgs,
}

/// `list`
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only exercises whose name, module or title has this in it
    #[arg(value_name = "TEXT")]
    pub text: Option<String>,
    /// Only these
    #[arg(long, value_name = "STATE")]
    pub state: Option<StateName>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Where a learner stands, as asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StateName {
    /// Not passed yet, or changed since.
    Open,
    /// Not begun.
    NotBegun,
    /// Begun and not passed, or changed since.
    InProgress,
    /// Passed.
    Passed,
}

/// `run`
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The exercise's name, such as `pipe_hello`
    pub exercise: String,
    /// Grade the solution instead
    #[arg(long, conflicts_with = "file")]
    pub solution: bool,
    /// Grade this file instead
    #[arg(long, value_name = "F")]
    pub file: Option<PathBuf>,
    /// Run one launch of an earlier verdict again
    #[arg(long, value_name = "ID")]
    pub replay: Option<String>,
    /// The box.
    #[command(flatten)]
    pub boxed: BoxArgs,
    /// Do not grade: run it in the box with these arguments
    #[arg(last = true, value_name = "ARGS", conflicts_with = "replay")]
    pub args: Option<Vec<OsString>>,
}

/// `watch`
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Begin with this exercise [default: the first that has not passed]
    pub exercise: Option<String>,
    /// The box.
    #[command(flatten)]
    pub boxed: BoxArgs,
}

/// `hint`
#[derive(Debug, Args)]
pub struct HintArgs {
    /// The exercise's name
    pub exercise: String,
    /// Which hint: 1 the concept, 2 the place, 3 nearly the code
    #[arg(value_parser = clap::value_parser!(u8).range(1..=3))]
    pub step: Option<u8>,
}

/// `reset`
#[derive(Debug, Args)]
pub struct ResetArgs {
    /// The exercise's name
    pub exercise: String,
}

/// `demo`
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// The box.
    #[command(flatten)]
    pub boxed: BoxArgs,
    /// The exercise's name
    pub exercise: String,
    /// Write the timeline as a page
    #[arg(long, value_name = "F")]
    pub html: Option<PathBuf>,
    /// Write the timeline as a picture
    #[arg(long, value_name = "F")]
    pub svg: Option<PathBuf>,
}

/// `book`
#[derive(Debug, Args)]
pub struct BookArgs {
    /// The directory: a new one, an empty one, or an earlier book's
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// A report of `bench --json` to go with it [default: the last tour's, if there is one]
    #[arg(long, value_name = "F")]
    pub report: Option<PathBuf>,
}

/// `grade`
#[derive(Debug, Args)]
pub struct GradeArgs {
    /// Only these exercises
    #[arg(value_name = "EXERCISE")]
    pub exercises: Vec<String>,
    /// Which tree to grade
    #[arg(long, default_value = "exercises", conflicts_with_all = ["submissions", "file"])]
    pub tree: TreeName,
    /// Grade this file as an answer to that exercise; may be repeated
    #[arg(long, value_name = "EXERCISE=F", conflicts_with = "submissions")]
    pub file: Vec<String>,
    /// Grade a class: DIR/NAME/EXERCISE.rs for each NAME
    #[arg(long, value_name = "DIR")]
    pub submissions: Option<PathBuf>,
    /// What to print
    #[arg(long, default_value = "text")]
    pub format: Format,
    /// Write it to this file instead of standard output
    #[arg(long, value_name = "F")]
    pub output: Option<PathBuf>,
    /// Go on with a grading into the same output that was broken off: what is in its journal is not graded again
    #[arg(long, requires = "output")]
    pub resume: bool,
    /// Submissions graded at once [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// Grade only the K-th of N parts
    #[arg(long, value_name = "K/N", value_parser = parse_shard)]
    pub shard: Option<Shard>,
    /// Makes the inputs of the launches the same again
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
    /// The box.
    #[command(flatten)]
    pub boxed: BoxArgs,
}

/// A tree of the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TreeName {
    /// The learner's files.
    Exercises,
    /// The reference answers.
    Solutions,
}

/// What `grade` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people.
    Text,
    /// The contract's JSON.
    Json,
    /// JUnit XML.
    Junit,
    /// Gradescope's results.json.
    Gradescope,
}

/// `merge`
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// Reports made by `grade --format json`
    #[arg(required = true, value_name = "JSON")]
    pub reports: Vec<PathBuf>,
    /// What to print
    #[arg(long, default_value = "json")]
    pub format: Format,
    /// Write it to this file instead of standard output
    #[arg(long, value_name = "F")]
    pub output: Option<PathBuf>,
}

/// `bench`
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Of scan, rescan, random, copy, update, write, records, share, small, shape, pipe and ipc [default: scan copy]
    #[arg(value_name = "WORKLOAD")]
    pub workloads: Vec<String>,
    /// Read this file instead of a generated one (it is never written to)
    #[arg(long, value_name = "F")]
    pub file: Option<PathBuf>,
    /// Where files are generated and copies written
    #[arg(long, value_name = "D")]
    pub dir: Option<PathBuf>,
    /// Bytes of the generated file, such as 256M or 1GiB
    #[arg(long, value_name = "BYTES", value_parser = parse_size)]
    pub size: Option<u64>,
    /// State of the page cache before each trial: warm, cold or both
    #[arg(long, value_name = "CACHE", default_value = "both", value_parser = ["warm", "cold", "both"])]
    pub cache: String,
    /// Only these ways
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub strategies: Vec<String>,
    /// No new trial starts after this many seconds
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub budget: Option<Duration>,
    /// Fewer ways, within half a minute
    #[arg(long)]
    pub quick: bool,
    /// Check some figures against this program, if it is installed; a minute more
    #[arg(long, value_name = "fio", value_parser = ["fio"])]
    pub check_with: Option<String>,
    /// Enter a program of your own: NAME=COMMAND, with {src} and {dst} for the files
    #[arg(long, value_name = "NAME=COMMAND")]
    pub mine: Vec<String>,
    /// The seed of the trials' order and of the offsets
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
    /// Write the report as JSON
    #[arg(long, value_name = "F")]
    pub json: Option<PathBuf>,
    /// Write the report as a page
    #[arg(long, value_name = "F")]
    pub html: Option<PathBuf>,
    /// Measure nothing: show two JSON reports side by side
    #[arg(long, num_args = 2, value_names = ["A.json", "B.json"], conflicts_with_all = ["workloads", "file", "dir", "size", "strategies", "budget", "quick", "check_with", "mine", "seed", "json", "html"])]
    pub compare: Option<Vec<PathBuf>>,
}

/// `claims`
#[derive(Debug, Args)]
pub struct ClaimsArgs {
    /// Write the figures as JSON
    #[arg(long, value_name = "F")]
    pub json: Option<PathBuf>,
}

/// `trace`
#[derive(Debug, Args)]
pub struct TraceArgs {
    /// Write the timeline as a page
    #[arg(long, value_name = "F")]
    pub html: Option<PathBuf>,
    /// Write the timeline as a picture
    #[arg(long, value_name = "F")]
    pub svg: Option<PathBuf>,
    /// Write everything that was seen
    #[arg(long, value_name = "F")]
    pub json: Option<PathBuf>,
    /// Stop it after this many seconds
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = parse_seconds)]
    pub deadline: Duration,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// `why`
#[derive(Debug, Args)]
pub struct WhyArgs {
    /// A process that is running
    #[arg(value_name = "PID", required_unless_present = "command", conflicts_with = "command")]
    pub pid: Option<i32>,
    /// With a command: call it a hang after this many seconds
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = parse_seconds)]
    pub after: Duration,
    /// A program to start, and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// `doctor`
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
