//! The terminal taken for a session that fills it, and given back as it was on every way out.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use ratatui::crossterm::event::{self, Event, KeyEvent, KeyEventKind};
use ratatui::{DefaultTerminal, Frame};

/// Whether the terminal is taken; shared, because a signal must find it too.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The whole terminal, with keys that come one by one. Dropping it gives the terminal back, and so does a panic.
pub struct Screen(DefaultTerminal);

impl Screen {
    /// Takes the terminal; `None` where there is none that can be drawn on and typed at.
    pub fn take() -> Result<Option<Screen>> {
        let able = std::env::var_os("TERM").is_some_and(|term| term != "dumb" && !term.is_empty());
        if !able || !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
            return Ok(None);
        }
        TAKEN.store(true, Ordering::SeqCst);
        let terminal = ratatui::try_init().context("cannot take the terminal");
        if terminal.is_err() {
            restore();
        }
        Ok(Some(Screen(terminal?)))
    }

    /// Draws one picture.
    pub fn draw(&mut self, picture: impl FnOnce(&mut Frame)) -> Result<()> {
        self.0.draw(picture).map(drop).context("cannot draw on the terminal")
    }

    /// The next key, if one is pressed within `patience`.
    pub fn key(&self, patience: Duration) -> Result<Option<KeyEvent>> {
        let lost = "the terminal is gone";
        if !event::poll(patience).context(lost)? {
            return Ok(None);
        }
        match event::read().context(lost)? {
            Event::Key(key) if key.kind != KeyEventKind::Release => Ok(Some(key)),
            _ => Ok(None),
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back as it was; does nothing where it was not taken.
pub fn restore() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        ratatui::restore();
    }
}
