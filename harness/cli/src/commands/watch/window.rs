//! The session on a terminal: one picture at a time, and keys that always answer.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::time::Instant;

use anyhow::Result;
use grade::{Outcome as Grade, Verdict};
use ratatui::Frame;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use similar::TextDiff;

use super::pane::Pane;
use super::work::Task;
use super::{BEAT, Happening, Outcome, Session, UNSAVED};
use crate::commands::{list, reset};
use crate::context;
use crate::exit::{Exit, Stop};
use crate::interrupt;
use crate::progress::{Progress, Standing};
use crate::saves::Saves;
use crate::screen::Screen;
use crate::terminal::{self, BAD, GOOD, HEAD, Styled};

/// A terminal of fewer lines shows less of what stands around a verdict.
const FEW_ROWS: u16 = 12;

/// The keys and what they do, in the order in which they are shown.
const KEYS: [(&str, &str); 13] = [
    ("n", "next"),
    ("p", "previous"),
    ("l", "list"),
    ("h", "hint"),
    ("r", "again"),
    ("i", "run with input"),
    ("t", "timeline"),
    ("s", "solution"),
    ("v", "all checks"),
    ("R", "reset"),
    ("↑↓", "scroll"),
    ("Esc", "verdict"),
    ("q", "quit"),
];

/// Width of the bar that shows how many have passed.
const BAR: usize = 24;

/// What the keys mean at the moment.
enum Mode {
    /// Each key does something.
    Keys,
    /// A line is being typed: the arguments of a run.
    Typing(String),
    /// An exercise is being chosen: its index.
    Choosing(usize),
}

/// The session, and what is on the screen.
pub(super) struct Window<'a> {
    session: Session<'a>,
    mode: Mode,
    pane: Pane,
    verdict: Option<Verdict>,
    /// What is being done, since when.
    task: Option<(Task, Instant)>,
    hints: usize,
    verbose: bool,
    /// Said once, above the keys.
    remark: Option<String>,
    standings: Vec<Option<Standing>>,
    /// Lines of the body at the last drawing.
    height: usize,
}

impl<'a> Window<'a> {
    pub(super) fn new(session: Session<'a>) -> Window<'a> {
        Window {
            session,
            mode: Mode::Keys,
            pane: Pane::new("", ""),
            verdict: None,
            task: None,
            hints: 0,
            verbose: false,
            remark: None,
            standings: Vec::new(),
            height: 0,
        }
    }

    /// Until `q` or a signal. Whatever happens, the terminal is given back.
    pub(super) fn go_on(
        &mut self,
        mut screen: Screen,
        happened: &Receiver<Happening>,
        mut saves: Saves,
    ) -> Result<Exit> {
        self.look_up_standings();
        self.begin(Task::Grade)?;
        loop {
            interrupt::check()?;
            screen.draw(|frame| self.draw(frame))?;
            if let Some(key) = screen.key(BEAT)?
                && !self.obey(key)?
            {
                return Ok(Exit::Done);
            }
            for happening in happened.try_iter() {
                if let Happening::Done { number, outcome } = happening
                    && self.session.works.is_last(number)
                {
                    self.done(outcome);
                }
            }
            if let Some(saved) = saves.look().first() {
                self.saved(saved)?;
            }
        }
    }

    fn saved(&mut self, path: &Path) -> Result<()> {
        if self.session.turn_to(path) {
            self.hints = 0;
        }
        self.mode = Mode::Keys;
        self.begin(Task::Grade)
    }

    fn begin(&mut self, task: Task) -> Result<()> {
        self.task = Some((task.clone(), Instant::now()));
        self.session.begin(task)
    }

    fn done(&mut self, outcome: Outcome) {
        self.task = None;
        match outcome {
            Outcome::Graded { verdict, unsaved } => {
                self.remark = unsaved.map(|why| format!("{UNSAVED}: {why}"));
                self.verdict = Some(*verdict);
                self.look_up_standings();
                self.show_verdict();
            }
            Outcome::Told { title, text } => self.pane = Pane::new(title, &text),
        }
    }

    fn look_up_standings(&mut self) {
        let suite = &self.session.suite;
        let progress = Progress::load(suite.root());
        self.standings = suite.exercises().iter().map(|exercise| list::standing(suite, &progress, exercise)).collect();
    }

    fn show_verdict(&mut self) {
        let Some(verdict) = &self.verdict else { return };
        let mut lines = self.session.lines(verdict, self.verbose, true);
        if verdict.outcome == Grade::Passed {
            lines.push(String::new());
            lines.push("n  the next exercise     s  the solution beside yours".to_owned());
        }
        self.pane = Pane::new("", &lines.join("\n"));
    }

    /// Does what a key means; `false` ends the session.
    fn obey(&mut self, key: KeyEvent) -> Result<bool> {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Err(Stop::Interrupted.into()),
                KeyCode::Char('d') => Ok(false),
                _ => Ok(true),
            };
        }
        self.remark = None;
        match &self.mode {
            Mode::Typing(line) => {
                let line = line.clone();
                self.typed(key.code, line)?;
                Ok(true)
            }
            Mode::Choosing(index) => {
                let index = *index;
                self.chosen(key.code, index)
            }
            Mode::Keys => self.done_by_key(key.code),
        }
    }

    fn done_by_key(&mut self, key: KeyCode) -> Result<bool> {
        let page = isize::try_from(self.height.saturating_sub(1)).unwrap_or(isize::MAX);
        match key {
            KeyCode::Char('q') => return Ok(false),
            KeyCode::Char('n') => self.step(1)?,
            KeyCode::Char('p') => self.step(self.session.suite.exercises().len() - 1)?,
            KeyCode::Char('l') => self.mode = Mode::Choosing(self.session.current),
            KeyCode::Char('h') => self.show_hints()?,
            KeyCode::Char('r') => self.begin(Task::Grade)?,
            KeyCode::Char('i') => self.mode = Mode::Typing(String::new()),
            KeyCode::Char('t') => self.begin(Task::Timeline)?,
            KeyCode::Char('s') => self.show_solution(),
            KeyCode::Char('v') => {
                self.verbose = !self.verbose;
                self.show_verdict();
            }
            KeyCode::Char('R') => {
                let words = reset::put_back(&self.session.suite, self.session.exercise())?;
                self.begin(Task::Grade)?;
                self.remark = Some(words);
            }
            KeyCode::Esc => self.show_verdict(),
            KeyCode::Down | KeyCode::Char('j') => self.pane.scroll(1, self.height),
            KeyCode::Up | KeyCode::Char('k') => self.pane.scroll(-1, self.height),
            KeyCode::PageDown | KeyCode::Char(' ') => self.pane.scroll(page, self.height),
            KeyCode::PageUp => self.pane.scroll(-page, self.height),
            KeyCode::Home => self.pane.scroll(isize::MIN, self.height),
            KeyCode::End => self.pane.scroll(isize::MAX, self.height),
            _ => {}
        }
        Ok(true)
    }

    /// The line of arguments, a key at a time.
    fn typed(&mut self, key: KeyCode, mut line: String) -> Result<()> {
        match key {
            KeyCode::Enter => {
                let Some(words) = shlex::split(&line) else {
                    self.remark = Some("A quote is not closed.".to_owned());
                    return Ok(());
                };
                self.mode = Mode::Keys;
                return self.begin(Task::Run(words.into_iter().map(OsString::from).collect()));
            }
            KeyCode::Esc => {
                self.mode = Mode::Keys;
                return Ok(());
            }
            KeyCode::Backspace => drop(line.pop()),
            KeyCode::Char(c) => line.push(c),
            _ => {}
        }
        self.mode = Mode::Typing(line);
        Ok(())
    }

    fn chosen(&mut self, key: KeyCode, index: usize) -> Result<bool> {
        let count = self.session.suite.exercises().len();
        let page = self.height.saturating_sub(1);
        let index = match key {
            KeyCode::Char('q') => return Ok(false),
            KeyCode::Esc | KeyCode::Char('l') => {
                self.mode = Mode::Keys;
                return Ok(true);
            }
            KeyCode::Enter => {
                self.mode = Mode::Keys;
                self.turn_to(index)?;
                return Ok(true);
            }
            KeyCode::Down | KeyCode::Char('j') => (index + 1) % count,
            KeyCode::Up | KeyCode::Char('k') => (index + count - 1) % count,
            KeyCode::PageDown => (index + page).min(count - 1),
            KeyCode::PageUp => index.saturating_sub(page),
            KeyCode::Home => 0,
            KeyCode::End => count - 1,
            _ => index,
        };
        self.mode = Mode::Choosing(index);
        Ok(true)
    }

    fn step(&mut self, by: usize) -> Result<()> {
        self.turn_to((self.session.current + by) % self.session.suite.exercises().len())
    }

    fn turn_to(&mut self, index: usize) -> Result<()> {
        self.session.current = index;
        self.hints = 0;
        self.verdict = None;
        self.pane = Pane::new("", "");
        self.begin(Task::Grade)
    }

    /// One hint more than before.
    fn show_hints(&mut self) -> Result<()> {
        let hints = self.session.exercise().hints().map_err(context::stop_grading)?;
        self.hints = (self.hints + 1).min(hints.len());
        let mut text = String::new();
        for (number, words) in (1..).zip(&hints).take(self.hints) {
            text.push_str(&format!("{}\n", Styled(HEAD, format!("Hint {number} of {}", hints.len()))));
            text.push_str(&terminal::wrap(words.trim(), terminal::width()).join("\n"));
            text.push_str("\n\n");
        }
        if self.hints < hints.len() {
            text.push_str("h  one more");
        }
        self.pane = Pane::new(format!("{}: hints", self.session.exercise().name), &text);
        Ok(())
    }

    /// The solution as a difference against the learner's file, once that has passed.
    fn show_solution(&mut self) {
        let exercise = self.session.exercise();
        if self.standings.get(self.session.current) != Some(&Some(Standing::Passed)) {
            self.remark = Some("The solution is shown once yours has passed.".to_owned());
            return;
        }
        let read = |path: PathBuf| std::fs::read_to_string(path).unwrap_or_default();
        let (yours, ours) = (read(exercise.stub_path()), read(exercise.solution_path()));
        let difference = TextDiff::from_lines(&yours, &ours);
        let unified = difference.unified_diff().context_radius(3).header("yours", "the solution").to_string();
        let lines: Vec<String> = unified
            .lines()
            .map(|line| match line.chars().next() {
                Some('-') => Styled(BAD, line).to_string(),
                Some('+') => Styled(GOOD, line).to_string(),
                _ => line.to_owned(),
            })
            .collect();
        let text = if lines.is_empty() { "Yours is the solution, line by line.".to_owned() } else { lines.join("\n") };
        self.pane = Pane::new(format!("{}: yours, and the solution", exercise.name), &text);
    }

    fn draw(&mut self, frame: &mut Frame) {
        let keys = self.key_lines(frame.area().width);
        // The verdict comes first: on a terminal of few lines it takes those of the bar and of most keys.
        let rows = frame.area().height;
        let above = if rows < FEW_ROWS { 1 } else { 3 };
        let below = u16::try_from(keys.len()).unwrap_or(2) + 1;
        let [head, body, foot] = Layout::vertical([
            Constraint::Length(above),
            Constraint::Fill(1),
            Constraint::Length(below.min((rows / 4).max(1))),
        ])
        .areas(frame.area());
        self.height = usize::from(body.height);
        let shown = self.head(head.width).into_iter().skip(usize::from(rows < FEW_ROWS));
        frame.render_widget(Paragraph::new(shown.collect::<Vec<_>>()), head);
        match self.mode {
            Mode::Choosing(index) => frame.render_widget(Paragraph::new(self.choices(index, body)), body),
            _ => frame.render_widget(Paragraph::new(self.pane.in_sight(self.height)), body),
        }
        let mut lines = vec![self.remark_line()];
        lines.extend(keys);
        frame.render_widget(Paragraph::new(lines), foot);
    }

    /// How far the learner has come, which exercise this is, and what is being done.
    fn head(&self, width: u16) -> Vec<Line<'static>> {
        let count = self.standings.len().max(1);
        let passed = self.standings.iter().filter(|standing| **standing == Some(Standing::Passed)).count();
        let full = BAR * passed / count;
        let bar = Line::from(vec![
            Span::styled("█".repeat(full), colour(Color::Green)),
            Span::styled("░".repeat(BAR - full), dim()),
            Span::raw(format!(" {passed} of {count} passed")),
        ]);
        let (path, place) = self.session.place();
        let state = match &self.task {
            Some((task, since)) => Span::styled(
                format!("{} … {:.0} s", task.doing(), since.elapsed().as_secs_f64()),
                colour(Color::Yellow),
            ),
            None => Span::styled(self.pane.title.clone(), bold()),
        };
        let title = Line::from(vec![Span::styled(path, bold()), Span::styled(format!(" {place}  "), dim()), state]);
        vec![bar, title, Line::styled("─".repeat(usize::from(width)), dim())]
    }

    fn choices(&self, index: usize, body: Rect) -> Vec<Line<'static>> {
        let height = usize::from(body.height).max(1);
        let first = index.saturating_sub(height / 2).min(self.standings.len().saturating_sub(height));
        let exercises = self.session.suite.exercises();
        let widest = exercises.iter().map(|exercise| exercise.name.len()).max().unwrap_or(0);
        exercises
            .iter()
            .zip(&self.standings)
            .enumerate()
            .skip(first)
            .take(height)
            .map(|(n, (exercise, standing))| {
                let mark = if n == index { "▸" } else { " " };
                let words = format!("{mark} {} {:widest$}  {}", list::sign(*standing), exercise.name, exercise.title);
                Line::styled(words, if n == index { bold().add_modifier(Modifier::REVERSED) } else { Style::new() })
            })
            .collect()
    }

    fn remark_line(&self) -> Line<'static> {
        let below = self.pane.below(self.height);
        match (&self.mode, &self.remark) {
            (Mode::Typing(line), remark) => Line::from(vec![
                Span::styled(format!("{} ", self.session.exercise().name), bold()),
                Span::raw(format!("{line}█")),
                match remark {
                    Some(remark) => Span::styled(format!("   {remark}"), colour(Color::Yellow)),
                    None => Span::styled("   arguments, perhaps < FILE; Enter runs it, Esc leaves it", dim()),
                },
            ]),
            (Mode::Choosing(_), _) => Line::styled("↑↓ choose, Enter turns to it, Esc goes back", dim()),
            (Mode::Keys, Some(remark)) => Line::styled(remark.clone(), colour(Color::Yellow)),
            (Mode::Keys, None) if below > 0 => Line::styled(format!("… {below} more lines (↓)"), dim()),
            (Mode::Keys, None) => Line::default(),
        }
    }

    /// The keys, in as many lines as they take.
    fn key_lines(&self, width: u16) -> Vec<Line<'static>> {
        let mut lines: Vec<Vec<Span>> = vec![Vec::new()];
        let mut used = 0;
        for (key, what) in KEYS {
            let long = key.chars().count() + what.len() + 3;
            if used + long > usize::from(width) + 2 && used > 0 {
                lines.push(Vec::new());
                used = 0;
            }
            used += long;
            if let Some(line) = lines.last_mut() {
                line.extend([Span::styled(key, bold()), Span::styled(format!(" {what}  "), dim())]);
            }
        }
        lines.into_iter().map(Line::from).collect()
    }
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn dim() -> Style {
    if terminal::colored() { Style::new().add_modifier(Modifier::DIM) } else { Style::new() }
}

fn colour(colour: Color) -> Style {
    if terminal::colored() { Style::new().fg(colour) } else { Style::new() }
}
