//! What harness and supervisor say to one another: a launch with its executable's descriptor, and an answer, over a
//! socket that is the supervisor's standard input. A long answer comes as a file: through a socket the two would have to
//! take turns, a hundred times for what many events say, and wait for a processor each time.

use std::fs::File;
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use serde::{Deserialize, Serialize};

use super::stacks::Stacks;
use crate::observation::Observation;
use crate::plan::Launch;

/// More bytes than a socket takes at once.
const LONG: usize = 64 << 10;

/// A supervisor's answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The events' stacks come apart from them.
    Seen(Box<Observation>, Stacks),
    Failed(String),
    /// The kernel does not start the executable: its word for why.
    NotStarted(String),
}

impl Reply {
    pub(super) fn seen(mut observation: Observation) -> Reply {
        let stacks = Stacks::take_from(&mut observation.events);
        Reply::Seen(Box::new(observation), stacks)
    }
}

/// Either side of the socket.
#[derive(Debug)]
pub(crate) struct Channel(UnixStream);

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A file of these bytes that has no name and no place on a disk.
fn in_memory(bytes: &[u8]) -> std::io::Result<File> {
    // Whoever writes more into a file than is allowed is killed.
    if getrlimit(Resource::RLIMIT_FSIZE)?.0 < bytes.len() as u64 {
        return Err(ErrorKind::FileTooLarge.into());
    }
    let mut file = File::from(memfd_create(c"reply", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(bytes)?;
    Ok(file)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Sends bytes, as many as it says, and a descriptor with them.
pub(super) fn send_with(socket: &UnixStream, bytes: &[u8], fd: BorrowedFd<'_>) -> nix::Result<usize> {
    let fds = [fd.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&fds)];
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(bytes)], &rights, MsgFlags::MSG_NOSIGNAL, None)
}

/// Receives bytes, as many as it says, and the descriptor that came with them.
pub(super) fn receive_with(socket: &UnixStream, bytes: &mut [u8]) -> nix::Result<(usize, Option<OwnedFd>)> {
    let mut space = nix::cmsg_space!([std::os::fd::RawFd; 1]);
    let mut vectors = [IoSliceMut::new(bytes)];
    let message = loop {
        match recvmsg::<()>(socket.as_raw_fd(), &mut vectors, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC) {
            Err(nix::Error::EINTR) => {}
            other => break other?,
        }
    };
    let mut received = None;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(fds) = control {
            // SAFETY: the kernel has just made these descriptors for us.
            received = fds.first().map(|fd| unsafe { OwnedFd::from_raw_fd(*fd) });
        }
    }
    Ok((message.bytes, received))
}

impl Channel {
    pub(crate) fn new(stream: UnixStream) -> Channel {
        Channel(stream)
    }

    /// The supervisor's side, moved away from descriptor 0 so that no program inherits it by accident.
    pub(super) fn inherited() -> Channel {
        // SAFETY: F_DUPFD_CLOEXEC makes a new descriptor that nobody else owns.
        let fd = unsafe { OwnedFd::from_raw_fd(libc::fcntl(0, libc::F_DUPFD_CLOEXEC, 10)) };
        if let Ok(null) = File::open("/dev/null") {
            // SAFETY: both are plain numbers; descriptor 0 was the socket and is nobody's any more.
            unsafe { libc::dup2(null.as_raw_fd(), 0) };
        }
        Channel(UnixStream::from(fd))
    }

    pub(crate) fn send_launch(&mut self, launch: &Launch, program: &File) -> Result<(), String> {
        let body = postcard::to_stdvec(launch).map_err(text)?;
        let head = (body.len() as u64).to_ne_bytes();
        let sent = send_with(&self.0, &head, program.as_fd()).map_err(text)?;
        self.0.write_all(&head[sent..]).map_err(text)?;
        self.0.write_all(&body).map_err(text)
    }

    /// Waits for the next launch; `None` when the harness has gone.
    pub(super) fn next_launch(&mut self) -> Result<Option<(Launch, File)>, String> {
        let mut head = [0; 8];
        let (got, program) = receive_with(&self.0, &mut head).map_err(text)?;
        if got == 0 {
            return Ok(None);
        }
        self.0.read_exact(&mut head[got..]).map_err(text)?;
        let mut body = vec![0; u64::from_ne_bytes(head) as usize];
        self.0.read_exact(&mut body).map_err(text)?;
        let launch = postcard::from_bytes(&body).map_err(text)?;
        let program = program.ok_or("no executable came with the launch")?;
        Ok(Some((launch, program.into())))
    }

    pub(super) fn reply(&mut self, reply: &Reply) -> Result<(), String> {
        // What cannot be sent is this launch's failure, and not the supervisor's end.
        let body = postcard::to_stdvec(reply)
            .or_else(|e| postcard::to_stdvec(&Reply::Failed(format!("the observation cannot be sent: {e}"))))
            .map_err(text)?;
        let head = (body.len() as u64).to_ne_bytes();
        // Without such a file it goes the slow way.
        if body.len() > LONG
            && let Ok(file) = in_memory(&body)
        {
            let sent = send_with(&self.0, &head, file.as_fd()).map_err(text)?;
            return self.0.write_all(&head[sent..]).map_err(text);
        }
        self.0.write_all(&head).map_err(text)?;
        self.0.write_all(&body).map_err(text)
    }

    /// Waits for the answer to a launch, but not for ever.
    pub(crate) fn await_reply(&mut self, patience: Duration) -> Result<Reply, String> {
        self.0.set_read_timeout(Some(patience)).map_err(text)?;
        let mut head = [0; 8];
        let (got, file) = receive_with(&self.0, &mut head).map_err(text)?;
        self.0.read_exact(&mut head[got..]).map_err(text)?;
        let mut body = vec![0; u64::from_ne_bytes(head) as usize];
        match file {
            Some(file) => File::from(file).read_exact_at(&mut body, 0),
            None => self.0.read_exact(&mut body),
        }
        .map_err(text)?;
        postcard::from_bytes(&body).map_err(text)
    }

    /// Ends the conversation, and waits until the other side has done so too.
    pub(crate) fn wait_for_end(&mut self, patience: Duration) -> std::io::Result<()> {
        let until = Instant::now() + patience;
        let mut unread = [0; 4096];
        self.0.shutdown(Shutdown::Write)?;
        loop {
            let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.0.set_read_timeout(Some(left))?;
            if self.0.read(&mut unread)? == 0 {
                return Ok(());
            }
        }
    }

    /// A second handle, by which another thread can close the conversation.
    pub(crate) fn handle(&self) -> std::io::Result<UnixStream> {
        self.0.try_clone()
    }
}
