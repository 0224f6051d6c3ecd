//! A launch with a name, what is right under it, and which checks look at it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use observe::{Action, Exit, Fault, InputFile, Launch, Observation, Schedule, Stdout, Trigger};

/// One launch of an exercise's specification.
#[derive(Clone, Debug)]
pub struct Plan {
    /// For people, e.g. `child first`.
    pub name: String,
    /// What the plan does to the program, as the beginning of a sentence: "With reads cut to 3 bytes". Empty where
    /// it does nothing.
    pub circumstance: String,
    /// When it is made.
    pub stage: Stage,
    /// The launch, but for the program, which is not compiled yet.
    pub launch: Launch,
    /// Each fork's parent comes first where the program can be traced. Not what the plan is about: without it chance
    /// would decide what a program that waits for nobody comes to.
    pub parent_first: bool,
    /// A second try, made when the program takes the first one's arguments for bad usage.
    pub or_else: Option<Vec<OsString>>,
    /// What a right program comes to.
    pub expect: Expect,
    /// Ids of the checks that judge it.
    pub checks: Vec<&'static str>,
    /// Draws, for a demo, what the program's work is about, a line each: what its system calls do not show.
    pub drawing: Option<fn(&Plan, &Observation) -> Vec<String>>,
}

/// When a plan is made, and what must have held before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// First: does the program do its work?
    Plain,
    /// The same under other schedules.
    Order,
    /// Bad usage and failing calls; makes sense of a program that does not do its work yet.
    Refusal,
    /// Hard conditions, which make sense only for a program that does its work.
    Hard,
}

/// What a right program comes to under a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expect {
    /// Exit status.
    pub status: i32,
    /// Standard output, where it is determined.
    pub stdout: Option<Vec<u8>>,
    /// For a failing call: the names of which one must be in the message.
    pub calls: &'static [&'static str],
    /// For a failing call: what must be named in the message.
    pub object: Option<String>,
    /// For a failing call: with which errno it fails.
    pub errno: i32,
    /// For a failing call: it may be a child's, so that others have their say about it too, and the status is free.
    pub anyones: bool,
}

impl Plan {
    /// A plan without files, faults or schedule.
    pub fn new(name: impl Into<String>) -> Plan {
        Plan {
            name: name.into(),
            circumstance: String::new(),
            stage: Stage::Plain,
            launch: Launch::new(""),
            parent_first: false,
            or_else: None,
            expect: Expect { status: 0, stdout: None, calls: &[], object: None, errno: 0, anyones: false },
            checks: Vec::new(),
            drawing: None,
        }
    }

    /// One more argument.
    pub fn arg(mut self, arg: impl Into<Vec<u8>>) -> Plan {
        self.launch.args.push(OsString::from_vec(arg.into()));
        self
    }

    /// One more file in the working directory.
    pub fn file(mut self, file: InputFile) -> Plan {
        self.launch.files.push(file);
        self
    }

    /// Standard output is this.
    pub fn onto(mut self, stdout: Stdout) -> Plan {
        self.launch.stdout = stdout;
        self
    }

    /// A right program prints exactly this and exits with 0.
    pub fn prints(mut self, stdout: impl Into<Vec<u8>>) -> Plan {
        let stdout = stdout.into();
        self.launch.output_limit = self.launch.output_limit.max(2 * stdout.len());
        self.expect.stdout = Some(stdout);
        self
    }

    /// A right program exits with this status.
    pub fn exits(mut self, status: i32) -> Plan {
        self.expect.status = status;
        self
    }

    /// A right program says on standard error that one of `calls` failed with `errno`, on `object` if one is given,
    /// prints nothing else and exits with 1.
    pub fn reports(mut self, calls: &'static [&'static str], object: Option<&str>, errno: i32) -> Plan {
        let object = object.map(str::to_string);
        self.expect = Expect { status: 1, stdout: Some(Vec::new()), calls, object, errno, anyones: false };
        self.stage = Stage::Refusal;
        self.checks = vec!["reports"];
        self
    }

    /// Made at this stage.
    pub fn at(mut self, stage: Stage) -> Plan {
        self.stage = stage;
        self
    }

    /// Under this schedule, which in words is `circumstance`.
    pub fn scheduled(mut self, schedule: Schedule, circumstance: &str) -> Plan {
        self.launch.schedule = schedule;
        self.circumstance = circumstance.into();
        self.stage = Stage::Order;
        self
    }

    /// With this fault.
    pub fn fault(mut self, fault: Fault) -> Plan {
        self.launch.faults.push(fault);
        self
    }

    /// With this deed from outside.
    pub fn action(mut self, action: Action) -> Plan {
        self.launch.actions.push(action);
        self
    }

    /// What the plan does to the program, in words.
    pub fn because(mut self, circumstance: impl Into<String>) -> Plan {
        self.circumstance = circumstance.into();
        self
    }

    /// Reads and writes are not traced: for programs that make many.
    pub fn coarse(mut self) -> Plan {
        self.launch.watch.transfers = false;
        self
    }

    /// With copies of what shared mappings hold.
    pub fn snapshots(mut self) -> Plan {
        self.launch.watch.snapshots = true;
        self
    }

    /// Sleeps return at once.
    pub fn sleepless(mut self) -> Plan {
        self.launch.elide_sleeps = true;
        self
    }

    /// With this drawing.
    pub fn drawn(mut self, drawing: fn(&Plan, &Observation) -> Vec<String>) -> Plan {
        self.drawing = Some(drawing);
        self
    }

    /// Judged by these checks.
    pub fn judged_by(mut self, checks: &[&'static str]) -> Plan {
        self.checks = checks.to_vec();
        self
    }

    /// The same launch under another name, judged by these checks.
    pub fn again(&self, name: &str, checks: &[&'static str]) -> Plan {
        let mut plan = self.clone();
        plan.name = name.into();
        plan.judged_by(checks)
    }

    /// Whether it holds, fails or elides calls, which only a traced program can be made to feel.
    pub fn needs_tracing(&self) -> bool {
        let launch = &self.launch;
        let before_call = |action: &Action| matches!(action.when, Trigger::Before { .. } | Trigger::Released);
        launch.schedule != Schedule::Free
            || launch.elide_sleeps
            || !launch.faults.is_empty()
            || launch.actions.iter().any(before_call)
    }

    /// Whether status and output are those of a right program.
    pub(crate) fn comes_right(&self, seen: &Observation) -> bool {
        seen.exit() == Some(Exit::Code(self.expect.status))
            && self.expect.stdout.as_ref().is_none_or(|expected| *expected == seen.stdout.bytes)
    }

    /// The n-th argument as text, or empty.
    pub fn argument(&self, n: usize) -> String {
        self.launch.args.get(n).map(|a| a.to_string_lossy().into_owned()).unwrap_or_default()
    }
}
