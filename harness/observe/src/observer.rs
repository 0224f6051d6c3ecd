//! The harness's side: a pool of supervisors.

use std::collections::HashMap;
use std::fs::File;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;

use crate::ObserveError;
use crate::interpreter;
use crate::observation::Observation;
use crate::plan::Launch;
use crate::supervisor::protocol::{Channel, Reply};
pub(crate) use crate::supervisor::{ARGUMENT, ONLY_TRY, Rights};

/// Where launches are run: a pool of supervisors, kept between launches. Cheap to clone and usable from many threads.
#[derive(Clone, Debug, Default)]
pub struct Observer {
    pool: Arc<Mutex<Pool>>,
}

#[derive(Debug, Default)]
struct Pool {
    idle: Vec<Supervisor>,
    /// Conversations under way, by number.
    busy: HashMap<u64, UnixStream>,
    /// How many there have been.
    conversations: u64,
    interrupted: bool,
}

/// A supervisor that has not answered so long after its launch's deadline never will.
const PATIENCE: Duration = Duration::from_secs(60);
/// One that is told to end has this long for it.
const LEAVE: Duration = Duration::from_secs(20);

/// A supervisor process and the socket to it. Dropping it ends the process and whatever it runs.
#[derive(Debug)]
struct Supervisor {
    /// The number of the one under way.
    conversation: u64,
    rights: Rights,
    processors: Option<CpuSet>,
    channel: Channel,
    process: Child,
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        // It ends by itself when its socket does, once nothing of its launch is left.
        if self.channel.wait_for_end(LEAVE).is_err() {
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
    }
}

fn supervisor_failed(error: impl std::fmt::Display) -> ObserveError {
    ObserveError::Supervisor(error.to_string())
}

/// Where this thread may run, and whatever it starts.
fn processors() -> Option<CpuSet> {
    sched_getaffinity(Pid::from_raw(0)).ok()
}

impl Supervisor {
    fn start(rights: Rights) -> Result<Supervisor, ObserveError> {
        let (ours, theirs) = UnixStream::pair().map_err(supervisor_failed)?;
        let mut command = Command::new("/proc/self/exe");
        let process = command
            .args([ARGUMENT, rights.argument()])
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .spawn()
            .map_err(supervisor_failed)?;
        Ok(Supervisor { conversation: 0, rights, processors: processors(), channel: Channel::new(ours), process })
    }
}

impl Observer {
    /// A pool that starts its supervisors when they are first needed.
    pub fn new() -> Observer {
        Observer::default()
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one launch to its end and returns what was seen. Blocks the calling thread only.
    ///
    /// # Errors
    /// [`ObserveError`] for faults of the harness or an unusable executable.
    pub fn run(&self, launch: &Launch) -> Result<Observation, ObserveError> {
        let unusable =
            |reason: std::io::Error| ObserveError::Program { path: launch.program.clone(), reason: reason.to_string() };
        let program = File::open(&launch.program).map_err(unusable)?;
        if program.metadata().map_err(unusable)?.is_dir() {
            return Err(unusable(std::io::Error::from(std::io::ErrorKind::IsADirectory)));
        }
        let mut supervisor = self.take(Rights::of(launch))?;
        // A deadline may be put off by twice its length.
        let patience = launch.deadline.saturating_mul(3).saturating_add(PATIENCE);
        let channel = &mut supervisor.channel;
        let outcome = channel.send_launch(launch, &program).and_then(|()| channel.await_reply(patience));
        let mut pool = self.pool();
        pool.busy.remove(&supervisor.conversation);
        let interrupted = pool.interrupted;
        match outcome {
            Ok(_) if interrupted => Err(ObserveError::Interrupted),
            Ok(Reply::Seen(mut observation, stacks)) => {
                pool.idle.push(supervisor);
                drop(pool);
                stacks.give_back(&mut observation.events);
                Ok(*observation)
            }
            other => {
                // A supervisor that has failed may have something left that ends with it.
                drop(pool);
                drop(supervisor);
                match other {
                    Ok(Reply::NotStarted(reason)) => Err(match interpreter::of_its_own(&program) {
                        Some(interpreter) => ObserveError::Interpreter { interpreter, reason },
                        None => ObserveError::NoBox(format!("exec {}: {reason}", launch.program.display())),
                    }),
                    Ok(Reply::Failed(text)) => Err(ObserveError::NoBox(text)),
                    Err(text) if !interrupted => Err(supervisor_failed(text)),
                    _ => Err(ObserveError::Interrupted),
                }
            }
        }
    }

    fn take(&self, rights: Rights) -> Result<Supervisor, ObserveError> {
        let mut supervisor = match self.idle(rights)? {
            Some(supervisor) => supervisor,
            // It begins when it gets a processor: nobody else's launch is to wait for that, so the pool is free.
            None => Supervisor::start(rights)?,
        };
        let handle = supervisor.channel.handle().map_err(supervisor_failed)?;
        let mut pool = self.pool();
        if pool.interrupted {
            drop(pool);
            return Err(ObserveError::Interrupted);
        }
        pool.conversations += 1;
        supervisor.conversation = pool.conversations;
        pool.busy.insert(supervisor.conversation, handle);
        Ok(supervisor)
    }

    /// One that has nothing to do.
    fn idle(&self, rights: Rights) -> Result<Option<Supervisor>, ObserveError> {
        let processors = processors();
        let mut pool = self.pool();
        if pool.interrupted {
            return Err(ObserveError::Interrupted);
        }
        let index = pool.idle.iter().position(|s| s.rights == rights && s.processors == processors);
        Ok(index.map(|index| pool.idle.swap_remove(index)))
    }

    /// Kills every launch under way and makes all later ones fail with [`ObserveError::Interrupted`].
    pub fn interrupt(&self) {
        let mut pool = self.pool();
        pool.interrupted = true;
        for stream in pool.busy.values() {
            // The supervisor's end then ends the conversation from its side.
            let _ = stream.shutdown(Shutdown::Write);
        }
        pool.idle.clear();
    }
}

/// Becomes a supervisor, and never returns, if this process was started as one by [`Observer`].
pub fn supervise_if_asked() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|a| a == ARGUMENT) {
        let second = arguments.next().unwrap_or_default();
        if second == ONLY_TRY {
            // Whoever tries the box wants to know what group that is in.
            print!("{}", std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default());
            std::process::exit(0);
        }
        crate::supervisor::serve(Rights::named(&second).unwrap_or(Rights::Ordinary));
    }
}

/// Explains why a running process and its descendants do not end, from /proc alone. With it come the names by which
/// the explanation calls the processes, by index: `cat (4711)`.
///
/// # Errors
/// Says in words when there is no such process, or when it may not be looked at.
pub fn explain(pid: i32) -> Result<(crate::Hang, Vec<String>), String> {
    crate::waits::explain_tree(pid)
}
