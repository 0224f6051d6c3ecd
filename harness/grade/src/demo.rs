//! A program at work, with its story.

use observe::{Launch, Observation};

use crate::rounds::launch_of;
use crate::{Exercise, GradeError, Grader, Nonce, Submission, Tree, story};

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
}

/// The demo's inputs are the same each time, so that it can be read along with the lesson.
const SEED: u64 = 2026;

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
        let plan = ((exercise.spec)().demo)(&mut Nonce::new(SEED));
        let mut launch = launch_of(&plan.launch, exercise, &compiled, self.options().rung);
        launch.watch.pages = true;
        self.check_interrupt()?;
        let observation = self.observer().run(&launch)?;
        let story = story::tell(&observation);
        let drawing = plan.drawing.map(|draw| draw(&plan, &observation)).unwrap_or_default();
        Ok(Demo { launch, observation, drawing, story })
    }
}
