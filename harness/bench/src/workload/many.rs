//! The arena of many small files.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Arena;
use crate::cache::{self, Residency};
use crate::error::BenchError;
use crate::request::CacheState;
use crate::statistics::Random;
use crate::strategy::{Task, Work, small};
use crate::subject::{Subject, Workshop, fill};

/// Files of one size, all cached since they were written a moment ago.
#[derive(Debug)]
pub struct SmallFiles {
    dir: PathBuf,
    sizes: Vec<u64>,
    expected: u64,
    interrupted: Arc<AtomicBool>,
}

impl SmallFiles {
    /// Writes `count` files of `size` bytes.
    ///
    /// # Errors
    /// [`BenchError::NoSpace`] before anything is written, or what the kernel says.
    pub fn new(
        workshop: &Workshop,
        count: usize,
        size: u64,
        seed: u64,
        interrupted: Arc<AtomicBool>,
    ) -> Result<Self, BenchError> {
        workshop.ensure_space(count as u64 * size.next_multiple_of(4096), "the small files")?;
        let dir = workshop.path(&format!("small-{size}"));
        std::fs::create_dir(&dir).map_err(|e| BenchError::io("make the directory", &dir, e))?;
        let mut random = Random::new(seed);
        let mut bytes = vec![0u8; size as usize];
        let mut expected = 0u64;
        for number in 0..count {
            if interrupted.load(Ordering::Relaxed) {
                return Err(BenchError::Interrupted);
            }
            fill(&mut bytes, &mut random);
            expected = expected.wrapping_add(crate::memory::sum(&bytes));
            let path = dir.join(small::name(number));
            std::fs::write(&path, &bytes).map_err(|e| BenchError::io("write", &path, e))?;
        }
        Ok(Self { dir, sizes: vec![size; count], expected, interrupted })
    }
}

impl Drop for SmallFiles {
    fn drop(&mut self) {
        // What stays goes with the workshop.
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Arena for SmallFiles {
    fn task(&self) -> Task<'_> {
        Task {
            path: &self.dir,
            size: self.bytes(),
            target: &self.dir,
            offsets: &self.sizes,
            interrupted: &self.interrupted,
        }
    }

    fn bytes(&self) -> u64 {
        self.sizes.iter().sum()
    }

    fn operations(&self) -> Option<u64> {
        Some(self.sizes.len() as u64)
    }

    fn ready(&mut self, _: CacheState) -> Result<Result<Option<Residency>, String>, BenchError> {
        let mut whole: Option<Residency> = None;
        for (number, size) in self.sizes.iter().enumerate() {
            let path = self.dir.join(small::name(number));
            let failed = |e| BenchError::io("ask what is cached of", &path, e);
            let file = File::open(&path).map_err(failed)?;
            let mut one = cache::residency(&file, *size).map_err(failed)?;
            if !one.is_warm() {
                std::fs::read(&path).map_err(failed)?;
                one = cache::residency(&file, *size).map_err(failed)?;
            }
            let before = whole.map_or((0, 0), |w| (w.cached, w.pages));
            whole = Some(Residency { cached: one.cached + before.0, pages: one.pages + before.1, ..one });
        }
        Ok(match whole {
            Some(whole) if !whole.is_warm() => {
                Err(format!("only {} of {} pages were cached", whole.cached, whole.pages))
            }
            whole => Ok(whole),
        })
    }

    fn verify(&mut self, work: &Work) -> Result<Result<u64, String>, BenchError> {
        Ok(if work.checksum == self.expected {
            Ok(work.checksum)
        } else {
            Err(format!("checksum {:016x} where {:016x} was right", work.checksum, self.expected))
        })
    }

    fn settle(&mut self) {}

    fn file(&self) -> Option<&Subject> {
        None
    }

    fn subject(&self) -> Option<&Subject> {
        None
    }
}
