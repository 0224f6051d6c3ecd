//! Ctrl-C, SIGTERM and SIGHUP: one flag, the launches under way given up, and an end within a second
//! whatever a command is doing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::exit::{Exit, Stop};
use crate::keyboard;

/// How long a command has to end by itself once it was interrupted.
const GRACE: Duration = Duration::from_millis(900);

/// Done at the first signal, from the thread that waits for signals.
type Act = Box<dyn Fn() + Send>;

#[derive(Default)]
struct State {
    flag: Arc<AtomicBool>,
    acts: Mutex<Vec<Act>>,
}

fn state() -> &'static State {
    static STATE: OnceLock<State> = OnceLock::new();
    STATE.get_or_init(State::default)
}

/// Begins to listen for signals, for the life of the process.
pub fn listen() -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot listen for signals")?;
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            if signals.forever().next().is_some() {
                give_up();
            }
        })
        .context("cannot start a thread")?;
    Ok(())
}

fn give_up() {
    let state = state();
    state.flag.store(true, Ordering::SeqCst);
    for act in state.acts.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        act();
    }
    thread::sleep(GRACE);
    // The command is stuck in something that heeds no flag: end without it, and leave nothing behind.
    keyboard::restore();
    kill_children();
    std::process::exit(i32::from(Exit::Interrupted.status()));
}

/// Ends compilers and other descendants that would outlive this process.
fn kill_children() {
    let mut family = children(std::process::id().cast_signed());
    let mut next = 0;
    while let Some(&pid) = family.get(next) {
        family.extend(children(pid));
        next += 1;
    }
    for pid in family {
        // Gone already is as good as killed.
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
    }
}

fn children(pid: i32) -> Vec<i32> {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>())
        .collect()
}

/// Whether the process was interrupted.
pub fn asked() -> bool {
    state().flag.load(Ordering::SeqCst)
}

/// The flag itself, for work that looks at it.
pub fn flag() -> Arc<AtomicBool> {
    Arc::clone(&state().flag)
}

/// An error if the process was interrupted.
pub fn check() -> Result<()> {
    if asked() { Err(Stop::Interrupted.into()) } else { Ok(()) }
}

/// Has `act` done at the first signal.
pub fn on_signal(act: impl Fn() + Send + 'static) {
    state().acts.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(act));
}
