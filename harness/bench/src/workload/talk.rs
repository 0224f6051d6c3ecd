//! Arenas without a file: bytes and messages between two processes.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::Arena;
use crate::cache::Residency;
use crate::error::BenchError;
use crate::request::CacheState;
use crate::strategy::{Task, Work, ipc, pipe};
use crate::subject::Subject;

/// Two processes that talk.
#[derive(Debug)]
pub struct TalkArena {
    path: PathBuf,
    bytes: u64,
    operations: Option<u64>,
    expected: u64,
    interrupted: Arc<AtomicBool>,
}

impl TalkArena {
    /// A stream of `bytes` bytes, in whole blocks of 1 MiB.
    pub fn stream(path: PathBuf, bytes: u64, interrupted: Arc<AtomicBool>) -> Self {
        let bytes = bytes.next_multiple_of(1 << 20);
        Self { path, bytes, operations: None, expected: pipe::expected_sum(bytes), interrupted }
    }

    /// So many messages, there and back or one way.
    pub fn messages(path: PathBuf, count: u64, interrupted: Arc<AtomicBool>) -> Self {
        let bytes = count * ipc::MESSAGE as u64;
        Self { path, bytes, operations: Some(count), expected: ipc::expected_sum(count), interrupted }
    }
}

impl Arena for TalkArena {
    fn task(&self) -> Task<'_> {
        Task { path: &self.path, size: self.bytes, target: &self.path, offsets: &[], interrupted: &self.interrupted }
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn operations(&self) -> Option<u64> {
        self.operations
    }

    fn ready(&mut self, _: CacheState) -> Result<Result<Option<Residency>, String>, BenchError> {
        Ok(Ok(None))
    }

    fn verify(&mut self, work: &Work) -> Result<Result<u64, String>, BenchError> {
        if work.unseen || work.checksum == self.expected {
            return Ok(Ok(work.checksum));
        }
        Ok(Err(format!("checksum {:016x} where {:016x} was right", work.checksum, self.expected)))
    }

    fn settle(&mut self) {
        // A FIFO may be left of a strategy that failed half-way.
        let _ = std::fs::remove_file(&self.path);
    }

    fn file(&self) -> Option<&Subject> {
        None
    }

    fn subject(&self) -> Option<&Subject> {
        None
    }
}
