//! A program at work, with its story.

use observe::{Launch, Observation};

use crate::rounds::launch_of;
use crate::{Exercise, GradeError, Grader, Nonce, Run, Submission, Tree, story};

/// One run, to be shown.
#[derive(Clone, Debug)]
pub struct Demo {
    /// What was run.
    pub launch: Launch,
    /// What was seen.
    pub observation: Observation,
    /// What the program's work is about, drawn in lines of text; empty where the calls show it.
    pub drawing: Vec<String>,
    /// What happened, a sentence each, in order.
    pub story: Vec<String>,
    /// What this machine lacks, so that the program could not do its work.
    pub lacks: Option<String>,
}

/// The demo's inputs are the same each time, so that it can be read along with the lesson.
const SEED: u64 = 2026;

/// The check of bad command lines, for which a program needs nothing.
const USAGE: &str = "usage";

impl Grader {
    /// Runs the solution once, with small inputs, and tells what the kernel saw.
    ///
    /// # Errors
    /// Whatever keeps the solution from being compiled or run.
    pub fn demo(&self, exercise: &Exercise) -> Result<Demo, GradeError> {
        self.demo_of(exercise, &Submission::Tree(Tree::Solutions))
    }

    /// The same of any answer to the exercise.
    ///
    /// # Errors
    /// Whatever keeps the program from being compiled or run.
    pub fn demo_of(&self, exercise: &Exercise, submission: &Submission) -> Result<Demo, GradeError> {
        let compiled = self.compiler().compile(exercise, submission)?;
        let spec = (exercise.spec)();
        let plan = (spec.demo)(&mut Nonce::new(SEED));
        let mut launch = launch_of(&plan.launch, exercise, &compiled, self.options().rung);
        launch.watch.pages = true;
        self.check_interrupt()?;
        let observation = self.observer().run(&launch)?;
        let drawing = plan.drawing.map(|draw| draw(&plan, &observation)).unwrap_or_default();
        let run = Run { plan: &plan, seen: &observation, baseline: None, sometimes_right: true };
        // What only some checks want does not keep the program from its work.
        let wanted: Option<Vec<String>> =
            spec.checks.iter().filter(|check| check.id != USAGE).map(|check| (check.lacks)(&run)).collect();
        let lacks = wanted.and_then(|all| all.into_iter().next());
        let skipped =
            lacks.iter().map(|why| format!("Skipped: {why}. What follows is what the program does without it."));
        let story = skipped.chain(story::tell(&observation)).collect();
        Ok(Demo { launch, observation, drawing, story, lacks })
    }
}
