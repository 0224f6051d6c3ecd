//! The textbooks' claims, tried on this machine.

mod clock;
mod frames;
mod lab;
mod mapping;
mod speed;
mod streams;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::{BenchError, nearest_names};
use crate::request::Progress;
use crate::subject::Workshop;
use lab::{Answer, Lab, Tried};

/// Bytes that the scratch files of one claim take at most.
const SCRATCH: u64 = 128 << 20;

/// What came of a claim here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClaimVerdict {
    /// It is so on this machine.
    Holds,
    /// It is not so on this machine.
    Fails,
    /// The figures do not decide.
    Undecided,
    /// It could not be tried here.
    Skipped,
}

/// A claim, and what was seen.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Claim {
    /// A short name.
    pub id: String,
    /// The documents that make the claim.
    pub source: String,
    /// The claim itself.
    pub claim: String,
    /// What came of it.
    pub verdict: ClaimVerdict,
    /// The figures, by name; the unit is in the name.
    pub figures: serde_json::Map<String, serde_json::Value>,
    /// One sentence.
    pub why: String,
}

/// Which claims are to be tried.
#[derive(Debug, Clone)]
pub struct ClaimsRequest {
    /// Only these, by id; all when `None`.
    pub only: Option<Vec<String>>,
    /// Where scratch files go, as [`crate::Request::dir`].
    pub dir: Option<PathBuf>,
    /// The wall time after which no further claim is tried.
    pub budget: Duration,
    /// Set by the caller to stop; what was not tried by then is skipped.
    pub interrupted: Arc<AtomicBool>,
}

impl Default for ClaimsRequest {
    fn default() -> Self {
        Self { only: None, dir: None, budget: Duration::from_secs(60), interrupted: Arc::new(AtomicBool::new(false)) }
    }
}

/// A claim of the documents and how it is tried.
struct Entry {
    id: &'static str,
    source: &'static str,
    claim: &'static str,
    trial: fn(&Lab) -> Tried,
}

const fn entry(id: &'static str, source: &'static str, claim: &'static str, trial: fn(&Lab) -> Tried) -> Entry {
    Entry { id, source, claim, trial }
}

/// In the order of the documents' list.
#[rustfmt::skip]
const CLAIMS: &[Entry] = &[
    entry("mmap-faster", "004", "mapped files are faster than read() and write()", speed::mmap_faster),
    entry("mmap-not-faster", "001", "for simple sequential processing mapping is not necessarily faster, because of minor faults", speed::mmap_not_faster),
    entry("no-syscall", "004", "accesses to a mapping make no system call", mapping::no_syscall),
    entry("no-copy", "001, 004", "read copies from the page cache, a mapping does not", mapping::no_copy),
    entry("lazy", "000, 004", "only the pages that are touched are loaded", mapping::lazy),
    entry("faults-first-touch", "001", "a mapping brings minor faults on first access", mapping::faults_first_touch),
    entry("shared-frame", "000\u{2013}004", "processes that map one file share one physical copy", mapping::shared_frame),
    entry("cow-page", "001\u{2013}003", "a write to a private mapping copies just that page", mapping::cow_page),
    entry("private-unwritten", "002", "until written, private pages show the file's current contents", mapping::private_unwritten),
    entry("fork-cheap", "003", "fork is quick thanks to copy-on-write", speed::fork_cheap),
    entry("shm-no-cost", "001", "shared memory needs no copying, system call or disk", speed::shm_no_cost),
    entry("pipe-capacity", "000", "a pipe holds 4 KiB to 128 KiB", streams::pipe_capacity),
    entry("pipe-atomic-size", "000", "writes are atomic up to the size of the pipe", streams::pipe_atomic_size),
    entry("pipe-full-fails", "000", "a full pipe makes writes fail", streams::pipe_full_fails),
    entry("stdio-line", "000", "streams are line buffered only on terminals", streams::stdio_line),
    entry("fscanf-newline", "000", "fscanf waits for the end of the line", streams::fscanf_newline),
    entry("ftell-2g", "000", "ftell stops at 2 GiB", streams::ftell_2g),
    entry("fifo-blocks", "000", "opening a FIFO blocks until the other end is opened", streams::fifo_blocks),
    entry("fifo-destroyed", "000", "a FIFO whose O_RDWR writer closes early is destroyed", streams::fifo_destroyed),
    entry("sigpipe-all-readers", "000", "SIGPIPE comes only when every read end is closed", streams::sigpipe_all_readers),
    entry("open-string-mode", "000", "open(\"\u{2026}\", \"w\", \u{2026}) opens a file for writing", streams::open_string_mode),
    entry("file-41", "001", "to make a file of N bytes, seek to N and write one byte: that is one too many", mapping::file_41),
    entry("sigbus", "001", "access beyond the file's pages raises SIGBUS", mapping::sigbus),
    entry("len-rounded", "002", "the length of a mapping is rounded up to whole pages", mapping::len_rounded),
    entry("off-aligned", "002", "the offset of a mapping must be a multiple of the page size", mapping::off_aligned),
    entry("fixed-fails", "002", "MAP_FIXED fails where something is mapped already", mapping::fixed_fails),
    entry("munmap-segv", "003", "access after munmap raises SIGSEGV", mapping::munmap_segv),
    entry("x-loop", "002", "a child's write to ordinary memory is never seen by the parent, to shared memory it is", mapping::x_loop),
    entry("directory-2k", "000", "a page directory has 2 bytes an entry, 2 KiB in all", frames::directory_2k),
    entry("table-sizes", "000, 002", "a flat table of 2\u{b2}\u{2070} pages takes 4 MiB", frames::table_sizes),
    entry("two-level-12k", "000", "three frames, 12 KiB, suffice for the tables of a small process", frames::two_level_12k),
    entry("walk-cost", "000, 002", "without a TLB a four-level table makes an access five times as long", speed::walk_cost),
    entry("large-pages", "002", "large pages need less table and give the TLB more reach", speed::large_pages),
    entry("48-bit", "002", "virtual addresses have 48 bits", speed::address_bits),
    entry("nx", "000", "a page without the right to be executed cannot be", mapping::nx),
    entry("dirty-bit", "000, 002", "the processor notes which pages were written", mapping::dirty_bit),
    entry("referenced-bit", "000, 002", "the processor notes which pages were accessed", mapping::referenced_bit),
    entry("second-chance", "002", "a page taken from a process whose frame still holds it comes back without I/O", mapping::second_chance),
    entry("clock-one-hand", "002", "one reference bit a page is enough to find those not in use: the clock algorithm", clock::one_hand),
    entry("clock-two-hands", "002", "with much memory a second hand sees sooner that a page is not in use", clock::two_hands),
    entry("thrash", "000", "where more is touched than fits into memory, throughput collapses", frames::thrash),
    entry("read-ahead", "002", "the kernel reads ahead of a sequential reader", speed::read_ahead),
    entry("write-behind", "002", "the kernel writes behind the program's back", speed::write_behind),
    entry("one-io", "002", "a process has one I/O under way at a time", speed::one_io),
    entry("msync-or-eventually", "001, 004", "dirty pages reach the file in time, at once by msync", speed::msync_or_eventually),
    entry("clean-pages-drop", "001", "clean file pages are dropped before anything is swapped", frames::clean_pages_drop),
    entry("demand-zero", "003", "fresh memory is zero, and there only once it is touched", frames::demand_zero),
    entry("exec-replaces", "003", "exec replaces all memory of a process, and not the process", mapping::exec_replaces),
    entry("device-mapping", "004", "the registers of devices have addresses, as memory has", mapping::device_mapping),
    entry("accessor-tons", "002", "accessor calls slow an allocator \u{201c}tons\u{201d}, inlining mends it", speed::accessor_tons),
];

/// The names of the claims, in order.
pub fn ids() -> impl Iterator<Item = &'static str> {
    CLAIMS.iter().map(|entry| entry.id)
}

/// Tries the claims, in the order of the documents. Those that an interrupt, or
/// the end of the time, kept out are skipped and say so.
///
/// # Errors
/// A sentence of [`BenchError`] about scratch files or an unknown name.
pub fn claims(request: &ClaimsRequest, on: &mut dyn FnMut(Progress<'_>)) -> Result<Vec<Claim>, BenchError> {
    if let Some(name) = request.only.iter().flatten().find(|name| !ids().any(|id| id == *name)) {
        return Err(BenchError::UnknownClaim { name: name.clone(), near: nearest_names(name, ids()) });
    }
    let began = Instant::now();
    let lab = Lab { workshop: Workshop::new(request.dir.as_deref())?, interrupted: Arc::clone(&request.interrupted) };
    lab.workshop.ensure_space(SCRATCH, "the claims\u{2019} scratch files")?;
    let wanted = |id: &str| request.only.as_ref().is_none_or(|only| only.iter().any(|name| name == id));
    let mut tried = Vec::new();
    let interrupted = || Answer::skipped("interrupted before it was tried");
    for entry in CLAIMS.iter().filter(|entry| wanted(entry.id)) {
        let answer = if request.interrupted.load(Ordering::Relaxed) {
            interrupted()
        } else if began.elapsed() > request.budget {
            Answer::skipped(format!("the {} s for all claims were spent before it", request.budget.as_secs()))
        } else {
            on(Progress::Phase { what: entry.id });
            match (entry.trial)(&lab) {
                Ok(answer) => answer,
                Err(BenchError::Interrupted) => interrupted(),
                Err(error) => Answer::skipped(format!("the trial could not be made: {error}")),
            }
        };
        let claim = Claim {
            id: entry.id.to_owned(),
            source: entry.source.to_owned(),
            claim: entry.claim.to_owned(),
            verdict: answer.verdict,
            figures: answer.figures,
            why: answer.why,
        };
        on(Progress::Claim(&claim));
        tried.push(claim);
    }
    Ok(tried)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What no machine's speed decides.
    const CERTAIN: [(&str, ClaimVerdict); 20] = [
        ("no-copy", ClaimVerdict::Holds),
        ("cow-page", ClaimVerdict::Holds),
        ("pipe-atomic-size", ClaimVerdict::Fails),
        ("pipe-full-fails", ClaimVerdict::Fails),
        ("stdio-line", ClaimVerdict::Holds),
        ("fscanf-newline", ClaimVerdict::Fails),
        ("sigpipe-all-readers", ClaimVerdict::Holds),
        ("file-41", ClaimVerdict::Holds),
        ("sigbus", ClaimVerdict::Holds),
        ("fixed-fails", ClaimVerdict::Fails),
        ("munmap-segv", ClaimVerdict::Holds),
        ("x-loop", ClaimVerdict::Holds),
        ("open-string-mode", ClaimVerdict::Fails),
        ("clean-pages-drop", ClaimVerdict::Holds),
        ("demand-zero", ClaimVerdict::Holds),
        ("directory-2k", ClaimVerdict::Fails),
        ("table-sizes", ClaimVerdict::Fails),
        ("clock-one-hand", ClaimVerdict::Holds),
        ("clock-two-hands", ClaimVerdict::Holds),
        ("exec-replaces", ClaimVerdict::Holds),
    ];

    #[test]
    fn what_does_not_depend_on_speed_comes_out_as_it_must() {
        let only = Some(CERTAIN.iter().map(|(id, _)| (*id).to_owned()).collect());
        let tried = claims(&ClaimsRequest { only, ..ClaimsRequest::default() }, &mut |_| {}).unwrap();
        assert_eq!(tried.len(), CERTAIN.len());
        for claim in tried {
            let expected = CERTAIN.iter().find(|(id, _)| *id == claim.id).unwrap().1;
            let skipped = claim.verdict == ClaimVerdict::Skipped;
            assert!(skipped || claim.verdict == expected, "{claim:?}");
            assert!(!claim.why.is_empty());
        }
    }

    #[test]
    fn what_an_interrupt_or_the_end_of_the_time_keeps_out_is_skipped_with_the_reason() {
        let why = |interrupted: bool, budget: Duration| {
            let interrupted = Arc::new(AtomicBool::new(interrupted));
            let request = ClaimsRequest { interrupted, budget, ..ClaimsRequest::default() };
            let tried = claims(&request, &mut |_| {}).unwrap();
            assert_eq!(tried.len(), CLAIMS.len());
            assert!(tried.iter().all(|claim| claim.verdict == ClaimVerdict::Skipped));
            tried[0].why.clone()
        };
        assert_eq!(why(true, Duration::from_secs(60)), "interrupted before it was tried");
        assert_eq!(why(false, Duration::ZERO), "the 0 s for all claims were spent before it");
    }

    #[test]
    fn names_are_unique_and_unknown_ones_are_refused() {
        let mut names: Vec<_> = ids().collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CLAIMS.len());
        let only = Some(vec!["mmap-fastr".to_owned()]);
        let error = claims(&ClaimsRequest { only, ..ClaimsRequest::default() }, &mut |_| {}).unwrap_err();
        assert!(error.to_string().contains("mmap-faster"), "{error}");
    }
}
