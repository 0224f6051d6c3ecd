//! `watch`, without a terminal and on one.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::libc;
use nix::pty::{Winsize, grantpt, openpty, posix_openpt, ptsname_r, unlockpt};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;

use crate::program::{fresh_suite, in_directory};

/// What a program prints, as it comes.
struct Screen {
    pieces: Receiver<Vec<u8>>,
    seen: String,
}

impl Screen {
    fn of(mut source: impl Read + Send + 'static) -> Screen {
        let (send, pieces) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count) = source.read(&mut buffer) {
                if count == 0 || send.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Screen { pieces, seen: String::new() }
    }

    /// Waits until `words` are printed, and forgets what was printed up to them.
    fn until(&mut self, words: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(at) = self.seen.find(words) {
                self.seen.drain(..at + words.len());
                return;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.pieces.recv_timeout(left) {
                Ok(piece) => self.seen.push_str(&String::from_utf8_lossy(&piece)),
                Err(_) => panic!("\u{201c}{words}\u{201d} never came; there was: {}", self.seen),
            }
        }
    }
}

fn solve(suite: &Path, name: &str) {
    fs::copy(suite.join("solutions/05_pipes").join(name), suite.join("exercises/05_pipes").join(name)).unwrap();
}

/// However busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

fn ends_with(mut child: Child, status: i32) {
    let began = Instant::now();
    loop {
        if let Some(ended) = child.try_wait().unwrap() {
            assert_eq!(ended.code(), Some(status));
            return;
        }
        assert!(began.elapsed() < PATIENCE, "it did not end");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn without_a_terminal_each_save_is_answered_with_a_verdict() {
    let suite = fresh_suite();
    let mut child = in_directory(suite.path(), &["watch", "pipe_hello"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut screen = Screen::of(child.stdout.take().unwrap());
    screen.until("pipe_hello not begun");
    solve(suite.path(), "hello.rs");
    screen.until("pipe_hello passed");
    // As many editors save: a new file takes the old one's name.
    let file = suite.path().join("exercises/05_pipes/eof.rs");
    fs::write(suite.path().join("exercises/05_pipes/.eof.rs.swp"), "fn main() { nonsense }").unwrap();
    fs::rename(suite.path().join("exercises/05_pipes/.eof.rs.swp"), &file).unwrap();
    screen.until("pipe_eof does not compile");
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    ends_with(child, 130);
}

#[test]
fn a_save_gives_up_the_run_under_way() {
    let suite = fresh_suite();
    let file = suite.path().join("exercises/05_pipes/hello.rs");
    fs::write(&file, "fn main() { loop { std::hint::spin_loop(); } }").unwrap();
    let arguments = ["watch", "--rung", "K", "pipe_hello"];
    let mut child = in_directory(suite.path(), &arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut screen = Screen::of(child.stdout.take().unwrap());
    screen.until("grading");
    thread::sleep(Duration::from_millis(1000));
    solve(suite.path(), "hello.rs");
    let saved = Instant::now();
    screen.until("pipe_hello passed");
    assert!(saved.elapsed() < Duration::from_secs(10));
    screen.until("run on rung K");
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    ends_with(child, 130);
}

const SIZE: Winsize = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };

/// What stands on a terminal of 80 columns and 24 rows.
struct Picture {
    pieces: Receiver<Vec<u8>>,
    terminal: vt100::Parser,
}

impl Picture {
    fn of(source: impl Read + Send + 'static) -> Picture {
        Picture { pieces: Screen::of(source).pieces, terminal: vt100::Parser::new(24, 80, 0) }
    }

    /// Waits until these words stand there.
    fn until(&mut self, words: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.terminal.screen().contents().contains(words) {
            match self.pieces.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(piece) => self.terminal.process(&piece),
                Err(_) => {
                    panic!("\u{201c}{words}\u{201d} never came; there was:\n{}", self.terminal.screen().contents())
                }
            }
        }
    }
}

/// A session on a pseudo-terminal, and the terminal's other end.
fn on_terminal(suite: &Path) -> (Child, File, OwnedFd, Picture) {
    let pty = openpty(Some(&SIZE), None).unwrap();
    let end = || Stdio::from(pty.slave.try_clone().unwrap());
    let mut command = in_directory(suite, &["watch", "pipe_hello"]);
    command.env("TERM", "xterm").stdin(end()).stdout(end()).stderr(end());
    let child = command.spawn().unwrap();
    let keys = File::from(pty.master);
    let picture = Picture::of(keys.try_clone().unwrap());
    (child, keys, pty.slave, picture)
}

fn is_itself(terminal: &OwnedFd) -> bool {
    tcgetattr(terminal).unwrap().local_flags.contains(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG)
}

#[test]
fn on_a_terminal_keys_are_answered_and_it_is_given_back() {
    let suite = fresh_suite();
    let (child, mut keys, terminal, mut picture) = on_terminal(suite.path());
    let mut press = |key: &str| keys.write_all(key.as_bytes()).unwrap();
    picture.until("pipe_hello not begun");
    assert!(!is_itself(&terminal));
    press("h");
    picture.until("Hint 1 of 3");
    press("n");
    picture.until("pipe_eof failed");
    press("p");
    picture.until("pipe_hello not begun");
    press("s");
    picture.until("once yours has passed");
    solve(suite.path(), "hello.rs");
    picture.until("pipe_hello passed");
    press("s");
    picture.until("Yours is the solution");
    press("i'one two'\r");
    picture.until("[exit status 0");
    press("t");
    picture.until("pipe_hello at work");
    press("l");
    picture.until("Enter turns to it");
    press("q");
    ends_with(child, 0);
    assert!(is_itself(&terminal));
}

#[test]
fn keys_answer_and_a_save_is_seen_while_a_program_runs_for_ever() {
    let suite = fresh_suite();
    let file = suite.path().join("exercises/05_pipes/hello.rs");
    fs::write(&file, "fn main() { loop { std::hint::spin_loop(); } }").unwrap();
    let (child, mut keys, _terminal, mut picture) = on_terminal(suite.path());
    picture.until("grading");
    keys.write_all(b"h").unwrap();
    picture.until("Hint 1 of 3");
    solve(suite.path(), "hello.rs");
    picture.until("pipe_hello passed");
    keys.write_all(b"\x03").unwrap();
    ends_with(child, 130);
}

/// A pseudo-terminal whose near end no program that is started has too: it is closed when it is dropped here.
fn private_terminal() -> (File, File) {
    let near = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).unwrap();
    grantpt(&near).unwrap();
    unlockpt(&near).unwrap();
    let far =
        File::options().read(true).write(true).custom_flags(libc::O_NOCTTY).open(ptsname_r(&near).unwrap()).unwrap();
    // SAFETY: the call reads the size it is given.
    unsafe { libc::ioctl(far.as_raw_fd(), libc::TIOCSWINSZ, &SIZE) };
    (File::from(OwnedFd::from(near)), far)
}

#[test]
fn a_session_whose_terminal_is_closed_ends() {
    let suite = fresh_suite();
    let file = suite.path().join("exercises/05_pipes/hello.rs");
    fs::write(&file, "fn main() { loop { std::hint::spin_loop(); } }").unwrap();
    let (mut terminal, slave) = private_terminal();
    let end = || Stdio::from(slave.try_clone().unwrap());
    let mut command = in_directory(suite.path(), &["watch", "pipe_hello"]);
    let child = command.env("TERM", "xterm").stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
    drop(command);
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("grading") {
        let mut piece = [0; 4096];
        let count = terminal.read(&mut piece).unwrap();
        seen.extend(&piece[..count]);
    }
    drop((terminal, slave));
    ends_with(child, 130);
}

#[test]
fn a_signal_gives_the_terminal_back_too() {
    let suite = fresh_suite();
    let (child, _keys, terminal, mut picture) = on_terminal(suite.path());
    picture.until("n next");
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    ends_with(child, 130);
    assert!(is_itself(&terminal));
}
