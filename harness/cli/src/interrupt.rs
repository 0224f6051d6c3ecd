//! Ctrl-C, SIGTERM and SIGHUP: one flag, the launches under way given up, and an end within a second
//! whatever a command is doing.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::exit::{Exit, Stop};
use crate::screen;

/// How long a command has to end by itself once it was interrupted.
const GRACE: Duration = Duration::from_millis(900);

/// How the names of such directories begin.
const SCRATCH: &str = "syslings-bench-";

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
    screen::restore();
    kill_children();
    remove_scratch();
    std::process::exit(i32::from(Exit::Interrupted.status()));
}

/// Removes the directories for temporary files in which this process still holds something open.
fn remove_scratch() {
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else { return };
    for path in open.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok()) {
        if let Some(directory) = path.ancestors().take(2).find(|path| is_scratch(path)) {
            // There is nobody left to tell if it cannot be removed; the next comparison sweeps.
            let _ = std::fs::remove_dir_all(directory);
        }
    }
}

/// Nothing but a directory that the comparer made: its name has this beginning and six characters of chance.
fn is_scratch(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.is_dir() && name.strip_prefix(SCRATCH).is_some_and(|chance| chance.len() == 6 && !chance.contains('-'))
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
