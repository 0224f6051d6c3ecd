//! Single keys from the terminal, and the terminal given back as it was on every way out.

use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{self, LocalFlags, SetArg, SpecialCharacterIndices, Termios};

/// How the terminal was before it was changed; shared, because a signal or a panic must find it too.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// The keyboard while keys come one by one and are not echoed. Dropping it gives the terminal back.
pub struct Keyboard(());

impl Keyboard {
    /// Takes the keyboard; `None` where standard input is no terminal.
    pub fn take() -> Option<Keyboard> {
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            return None;
        }
        let before = termios::tcgetattr(&stdin).ok()?;
        let mut keys = before.clone();
        // Signals stay: Ctrl-C must interrupt even if nobody reads keys.
        keys.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
        keys.control_chars[SpecialCharacterIndices::VMIN as usize] = 0;
        keys.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        termios::tcsetattr(&stdin, SetArg::TCSANOW, &keys).ok()?;
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            previous(panic);
        }));
        Some(Keyboard(()))
    }

    /// The next key, if one is pressed within `patience`.
    pub fn key(&self, patience: Duration) -> Option<char> {
        let stdin = std::io::stdin();
        let mut waiting = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        let patience = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
        if poll(&mut waiting, patience).ok()? == 0 {
            return None;
        }
        let mut byte = [0u8];
        match nix::unistd::read(&stdin, &mut byte) {
            Ok(1) => Some(char::from(byte[0])),
            // The terminal is gone, or nobody will type any more.
            Ok(_) => Some('q'),
            Err(_) => None,
        }
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back as it was; does nothing where it was not changed.
pub fn restore() {
    if let Some(before) = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take() {
        // Nothing can be done for a terminal that refuses.
        let _ = termios::tcsetattr(std::io::stdin(), SetArg::TCSANOW, &before);
    }
}
