//! The terminal taken for a session that fills it, and given back as it was on every way out.

use std::io::IsTerminal;
use std::mem::ManuallyDrop;
use std::os::fd::AsFd;
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event, KeyEvent, KeyEventKind};
use ratatui::crossterm::execute;
use ratatui::{DefaultTerminal, Frame};

use crate::exit::Stop;

const LOST: &str = "the terminal is gone";

/// Whether the terminal is taken; shared, because a signal must find it too.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The whole terminal, with keys that come one by one. Dropping it gives the terminal back, and so does a panic.
///
/// What ratatui does when its terminal is dropped is done by [`restore`]: it would complain of a terminal that is closed
/// there, where nobody hears it, and panic.
pub struct Screen(ManuallyDrop<DefaultTerminal>);

impl Screen {
    /// Takes the terminal; `None` where there is none that can be drawn on and typed at.
    pub fn take() -> Result<Option<Screen>> {
        let able = std::env::var_os("TERM").is_some_and(|term| term != "dumb" && !term.is_empty());
        if !able || !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
            return Ok(None);
        }
        TAKEN.store(true, Ordering::SeqCst);
        let usual = panic::take_hook();
        let terminal = ratatui::try_init().context("cannot take the terminal");
        // A piece of work that panics in another thread must not take the terminal from the session, which goes on.
        let session = thread::current().id();
        panic::set_hook(Box::new(move |info| {
            if thread::current().id() == session {
                restore();
                usual(info);
            }
        }));
        if terminal.is_err() {
            restore();
        }
        thread::Builder::new().name("hangup".into()).spawn(tell_of_hangup).context("cannot start a thread")?;
        Ok(Some(Screen(ManuallyDrop::new(terminal?))))
    }

    /// Draws one picture. A terminal that is closed while it is drawn on ends the session as its hangup does.
    pub fn draw(&mut self, picture: impl FnOnce(&mut Frame)) -> Result<()> {
        heard(self.0.draw(picture).map(drop), "cannot draw on the terminal")
    }

    /// The next key, if one is pressed within `patience`.
    pub fn key(&self, patience: Duration) -> Result<Option<KeyEvent>> {
        // More than one may have come with the last.
        wait(Duration::ZERO)?;
        if !heard(event::poll(Duration::ZERO), LOST)? {
            wait(patience)?;
            if !heard(event::poll(Duration::ZERO), LOST)? {
                return Ok(None);
            }
        }
        match heard(event::read(), LOST)? {
            Event::Key(key) if key.kind != KeyEventKind::Release => Ok(Some(key)),
            _ => Ok(None),
        }
    }
}

/// A terminal that is closed between a look at it and a read goes on saying so to crossterm, which never comes back. The
/// kernel's signal is for those alone whom the terminal controls; everybody else is told from here.
fn tell_of_hangup() {
    let stdin = std::io::stdin();
    let mut closed = [PollFd::new(stdin.as_fd(), PollFlags::empty())];
    while poll(&mut closed, PollTimeout::NONE) == Err(Errno::EINTR) {}
    // Nobody but this process itself is to hear it.
    let _ = kill(Pid::this(), Signal::SIGHUP);
}

/// What the terminal answered. If it was closed, that is why it failed, in whatever words.
fn heard<T>(answer: std::io::Result<T>, failed: &'static str) -> Result<T> {
    if answer.is_err() {
        wait(Duration::ZERO)?;
    }
    answer.context(failed)
}

/// Waits until something is typed, or not; an error if nobody is there to type. crossterm would read a terminal that was
/// closed over and over, and never come back.
fn wait(patience: Duration) -> Result<()> {
    let stdin = std::io::stdin();
    let mut typed = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
    match poll(&mut typed, PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX)) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(error) => return Err(error).context(LOST),
    }
    let gone = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
    match typed[0].revents() {
        Some(seen) if seen.intersects(gone) => Err(Stop::Interrupted.into()),
        _ => Ok(()),
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
        // A terminal that is closed needs no restoring.
        let _ = ratatui::try_restore();
        let _ = execute!(std::io::stdout(), Show);
    }
}
