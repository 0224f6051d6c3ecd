//! The exercises by module, in teaching order: the table that everything else looks things up in.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use observe::Schedule;
use serde::{Deserialize, Serialize};

use crate::nonce::Nonce;
use crate::spec::{self, Spec};
use crate::{Check, GradeError, Plan, Stage, Tree};

/// A chapter: a folder of exercises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its folder in `exercises` and `solutions`, e.g. `05_pipes`.
    pub folder: &'static str,
    /// The folder without its number, e.g. `pipes`.
    pub short: &'static str,
    /// For people.
    pub title: &'static str,
}

/// What kind of work a stub asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Finish a skeleton.
    Write,
    /// A whole program with the classic bug: find it.
    Mend,
    /// Fill in what will happen.
    Predict,
}

/// One exercise.
#[derive(Clone, Debug)]
pub struct Exercise {
    /// Its name and its binary's, e.g. `pipe_hello`.
    pub name: &'static str,
    /// The chapter that it belongs to.
    pub module: Module,
    /// What it is about, in a few words.
    pub title: &'static str,
    /// What kind of work it asks for.
    pub kind: Kind,
    /// Its command line.
    pub usage: &'static str,
    file: &'static str,
    pub(crate) spec: fn() -> Spec,
    root: Arc<Path>,
}

impl Exercise {
    /// The learner's file.
    pub fn stub_path(&self) -> PathBuf {
        self.path_in(Tree::Exercises)
    }

    /// The finished program.
    pub fn solution_path(&self) -> PathBuf {
        self.path_in(Tree::Solutions)
    }

    /// Its file in one of the trees.
    pub fn path_in(&self, tree: Tree) -> PathBuf {
        self.root.join(tree.folder()).join(self.relative_path())
    }

    /// `05_pipes/hello.rs`: the same in every tree.
    pub fn relative_path(&self) -> PathBuf {
        Path::new(self.module.folder).join(self.file)
    }

    /// `pipes::hello`: the name as a path of modules.
    pub fn path_name(&self) -> String {
        format!("{}::{}", self.module.short, self.file.trim_end_matches(".rs"))
    }

    /// The chapter's lesson.
    pub fn lesson_path(&self) -> PathBuf {
        self.root.join(Tree::Exercises.folder()).join(self.module.folder).join("README.md")
    }

    /// Its hints, from the concept to the place.
    ///
    /// # Errors
    /// [`GradeError::Suite`] if `exercises/hints.toml` cannot be read or has none for it.
    pub fn hints(&self) -> Result<Vec<String>, GradeError> {
        #[derive(Deserialize)]
        struct Entry {
            hints: Vec<String>,
        }
        let path = self.root.join(Tree::Exercises.folder()).join("hints.toml");
        let text = std::fs::read_to_string(&path).map_err(|e| GradeError::suite("read", &path, e))?;
        let mut all: std::collections::BTreeMap<String, Entry> =
            toml::from_str(&text).map_err(|e| GradeError::suite("understand", &path, e))?;
        match all.remove(self.name) {
            Some(entry) => Ok(entry.hints),
            None => Err(GradeError::suite("find", &path, format!("it has no hints for {}", self.name))),
        }
    }

    /// What is run to grade it, with the inputs that this seed gives.
    pub fn plans(&self, seed: u64) -> Vec<Plan> {
        let mut plans = ((self.spec)().plans)(&mut Nonce::new(seed));
        leave_no_order_to_chance(&mut plans);
        plans
    }

    /// Whether its programs are compiled as a release is: what the optimiser makes of a loop is a part of the lesson.
    pub fn is_optimised(&self) -> bool {
        OPTIMISED.contains(&self.name)
    }

    /// Whether its launches come one after another, those of other gradings too: they drop a file of the machine's from
    /// memory, and would count one another's faults.
    pub(crate) fn takes_turns(&self) -> bool {
        self.name == "fault_kinds"
    }

    /// Whether its programs are to use an io_uring.
    pub(crate) fn is_about_rings(&self) -> bool {
        ["map_device", "uring_copy"].contains(&self.name)
    }

    /// What it must show.
    pub fn checks(&self) -> Vec<Check> {
        (self.spec)().checks
    }
}

/// Where some plans ask what another order of the processes brings, the order of the others is the same each time: in
/// those that a program is put to even if it is right in one order only.
fn leave_no_order_to_chance(plans: &mut [Plan]) {
    if !plans.iter().any(|plan| plan.launch.schedule == Schedule::ParentFirst) {
        return;
    }
    for plan in plans.iter_mut().filter(|plan| matches!(plan.stage, Stage::Plain | Stage::Refusal)) {
        plan.parent_first = plan.launch.schedule == Schedule::Free;
    }
}

const ADDRESS_SPACE: Module = Module { folder: "01_address_space", short: "address_space", title: "Address spaces" };
const ALLOCATOR: Module = Module { folder: "02_allocator", short: "allocator", title: "An allocator" };
const MMAP: Module = Module { folder: "03_mmap", short: "mmap", title: "Mapped files" };
const FORK: Module = Module { folder: "04_fork", short: "fork", title: "Processes that share memory" };
const PIPES: Module = Module { folder: "05_pipes", short: "pipes", title: "Pipes" };
const STDIO: Module = Module { folder: "06_stdio", short: "stdio", title: "Buffered streams" };
const FIFOS: Module = Module { folder: "07_fifos", short: "fifos", title: "Named pipes" };
const SIGNALS: Module = Module { folder: "08_signals", short: "signals", title: "Signals" };
const IO: Module = Module { folder: "09_io", short: "io", title: "Ways to copy a file" };

/// Exercises about loops that end only if the compiler really looks each time, and one that is compared for speed.
const OPTIMISED: &[&str] = &["shared_flag", "quit_flag", "malloc_trace"];

struct Row {
    name: &'static str,
    module: Module,
    file: &'static str,
    kind: Kind,
    usage: &'static str,
    title: &'static str,
    spec: fn() -> Spec,
}

const ROWS: &[Row] = &[
    Row {
        name: "address_split",
        module: ADDRESS_SPACE,
        file: "address_split.rs",
        kind: Kind::Write,
        usage: "address_split PAGE_BYTES ADDR…",
        title: "a page, and where in it",
        spec: spec::address_space::address_split,
    },
    Row {
        name: "page_math",
        module: ADDRESS_SPACE,
        file: "page_math.rs",
        kind: Kind::Write,
        usage: "page_math VA_BITS PAGE_BYTES ENTRY_BYTES [LEVEL_BITS…]",
        title: "what a page table costs",
        spec: spec::address_space::page_math,
    },
    Row {
        name: "two_level",
        module: ADDRESS_SPACE,
        file: "two_level.rs",
        kind: Kind::Write,
        usage: "two_level REQUESTS IMAGE",
        title: "a process's memory in two levels of tables",
        spec: spec::address_space::two_level,
    },
    Row {
        name: "four_level",
        module: ADDRESS_SPACE,
        file: "four_level.rs",
        kind: Kind::Write,
        usage: "four_level REQUESTS IMAGE",
        title: "four levels, three sizes of pages",
        spec: spec::address_space::four_level,
    },
    Row {
        name: "accessed_dirty",
        module: ADDRESS_SPACE,
        file: "accessed_dirty.rs",
        kind: Kind::Write,
        usage: "accessed_dirty IMAGE",
        title: "what the processor has noted",
        spec: spec::address_space::accessed_dirty,
    },
    Row {
        name: "clock_hand",
        module: ADDRESS_SPACE,
        file: "clock_hand.rs",
        kind: Kind::Write,
        usage: "clock_hand FRAMES GAP TRACE",
        title: "which page has to go",
        spec: spec::address_space::clock_hand,
    },
    Row {
        name: "base_bounds",
        module: ADDRESS_SPACE,
        file: "base_bounds.rs",
        kind: Kind::Write,
        usage: "base_bounds REQUESTS IMAGE",
        title: "a memory of its own for each program",
        spec: spec::address_space::base_bounds,
    },
    Row {
        name: "memory_fence",
        module: ADDRESS_SPACE,
        file: "memory_fence.rs",
        kind: Kind::Write,
        usage: "memory_fence FENCE IMAGE",
        title: "the system behind a fence",
        spec: spec::address_space::memory_fence,
    },
    Row {
        name: "overlays",
        module: ADDRESS_SPACE,
        file: "overlays.rs",
        kind: Kind::Write,
        usage: "overlays PROGRAM",
        title: "200 KiB of program in 100 KiB",
        spec: spec::address_space::overlays,
    },
    Row {
        name: "swap_images",
        module: ADDRESS_SPACE,
        file: "swap_images.rs",
        kind: Kind::Write,
        usage: "swap_images BACKING",
        title: "two processes, and room for one",
        spec: spec::address_space::swap_images,
    },
    Row {
        name: "fault_kinds",
        module: ADDRESS_SPACE,
        file: "fault_kinds.rs",
        kind: Kind::Write,
        usage: "fault_kinds MINOR INVALID FILE PAGE…",
        title: "three kinds of page fault",
        spec: spec::address_space::fault_kinds,
    },
    Row {
        name: "fault_report",
        module: ADDRESS_SPACE,
        file: "fault_report.rs",
        kind: Kind::Write,
        usage: "fault_report unmapped|protected OFFSET",
        title: "last words of a fault",
        spec: spec::address_space::fault_report,
    },
    Row {
        name: "no_execute",
        module: ADDRESS_SPACE,
        file: "no_execute.rs",
        kind: Kind::Write,
        usage: "no_execute",
        title: "data that may not run",
        spec: spec::address_space::no_execute,
    },
    Row {
        name: "dirty_track",
        module: ADDRESS_SPACE,
        file: "dirty_track.rs",
        kind: Kind::Write,
        usage: "dirty_track N",
        title: "a write barrier",
        spec: spec::address_space::dirty_track,
    },
    Row {
        name: "process_map",
        module: ADDRESS_SPACE,
        file: "process_map.rs",
        kind: Kind::Write,
        usage: "process_map PID",
        title: "one copy of libc for all",
        spec: spec::address_space::process_map,
    },
    Row {
        name: "user_pager",
        module: ADDRESS_SPACE,
        file: "user_pager.rs",
        kind: Kind::Write,
        usage: "user_pager FILE FRAMES",
        title: "a pager of your own",
        spec: spec::address_space::user_pager,
    },
    Row {
        name: "frames",
        module: ADDRESS_SPACE,
        file: "frames.rs",
        kind: Kind::Write,
        usage: "frames PAGES PAGE…",
        title: "where the pages really are",
        spec: spec::address_space::frames,
    },
    Row {
        name: "tlb_reach",
        module: ADDRESS_SPACE,
        file: "tlb_reach.rs",
        kind: Kind::Write,
        usage: "tlb_reach model SETS WAYS TRACE | tlb_reach measure PAGES",
        title: "how far a TLB reaches",
        spec: spec::address_space::tlb_reach,
    },
    Row {
        name: "large_pages",
        module: ADDRESS_SPACE,
        file: "large_pages.rs",
        kind: Kind::Write,
        usage: "large_pages MIB STEPS",
        title: "the same walk on pages of two sizes",
        spec: spec::address_space::large_pages,
    },
    Row {
        name: "mmio_console",
        module: ADDRESS_SPACE,
        file: "mmio_console.rs",
        kind: Kind::Write,
        usage: "mmio_console GUEST",
        title: "a device that is a program",
        spec: spec::address_space::mmio_console,
    },
    Row {
        name: "block_tags",
        module: ALLOCATOR,
        file: "block_tags.rs",
        kind: Kind::Write,
        usage: "block_tags SCRIPT IMAGE",
        title: "the size at both ends",
        spec: spec::allocator::block_tags,
    },
    Row {
        name: "free_list",
        module: ALLOCATOR,
        file: "free_list.rs",
        kind: Kind::Write,
        usage: "free_list SCRIPT IMAGE",
        title: "a circle of what is free",
        spec: spec::allocator::free_list,
    },
    Row {
        name: "malloc_trace",
        module: ALLOCATOR,
        file: "malloc_trace.rs",
        kind: Kind::Write,
        usage: "malloc_trace [--bytes BYTES] [--heap FILE] TRACE | malloc_trace --race ROUNDS TRACE",
        title: "malloc, free and realloc",
        spec: spec::allocator::malloc_trace,
    },
    Row {
        name: "map_read",
        module: MMAP,
        file: "read.rs",
        kind: Kind::Write,
        usage: "map_read FILE",
        title: "a file as an array of bytes",
        spec: spec::mmap::map_read,
    },
    Row {
        name: "map_write",
        module: MMAP,
        file: "write.rs",
        kind: Kind::Write,
        usage: "map_write FILE",
        title: "a file written by stores to memory",
        spec: spec::mmap::map_write,
    },
    Row {
        name: "map_private",
        module: MMAP,
        file: "private.rs",
        kind: Kind::Write,
        usage: "map_private FILE BYTE",
        title: "change a mapped file that nobody else sees change",
        spec: spec::mmap::map_private,
    },
    Row {
        name: "map_shared",
        module: MMAP,
        file: "shared.rs",
        kind: Kind::Write,
        usage: "map_shared FILE BYTE",
        title: "change a file by a store to memory",
        spec: spec::mmap::map_shared,
    },
    Row {
        name: "map_anonymous",
        module: MMAP,
        file: "anonymous.rs",
        kind: Kind::Write,
        usage: "map_anonymous PAGES STRIDE",
        title: "memory that is made when it is touched",
        spec: spec::mmap::map_anonymous,
    },
    Row {
        name: "map_lazy",
        module: MMAP,
        file: "lazy.rs",
        kind: Kind::Write,
        usage: "map_lazy FILE PAGE…",
        title: "only what is touched",
        spec: spec::mmap::map_lazy,
    },
    Row {
        name: "map_offset",
        module: MMAP,
        file: "offset.rs",
        kind: Kind::Write,
        usage: "map_offset FILE OFFSET LEN",
        title: "a piece of a file, from anywhere",
        spec: spec::mmap::map_offset,
    },
    Row {
        name: "map_unmap",
        module: MMAP,
        file: "unmap.rs",
        kind: Kind::Write,
        usage: "map_unmap FILE",
        title: "a hole, and who falls into it",
        spec: spec::mmap::map_unmap,
    },
    Row {
        name: "map_cat",
        module: MMAP,
        file: "cat.rs",
        kind: Kind::Write,
        usage: "map_cat FILE",
        title: "a file to standard output, without a read",
        spec: spec::mmap::map_cat,
    },
    Row {
        name: "map_records",
        module: MMAP,
        file: "records.rs",
        kind: Kind::Write,
        usage: "map_records FILE ID DELTA",
        title: "records changed in place",
        spec: spec::mmap::map_records,
    },
    Row {
        name: "map_fixed",
        module: MMAP,
        file: "fixed.rs",
        kind: Kind::Write,
        usage: "map_fixed",
        title: "an address as a wish, and as an order",
        spec: spec::mmap::map_fixed,
    },
    Row {
        name: "map_grow",
        module: MMAP,
        file: "grow.rs",
        kind: Kind::Write,
        usage: "map_grow FILE",
        title: "a mapping that grows with its file",
        spec: spec::mmap::map_grow,
    },
    Row {
        name: "map_ring",
        module: MMAP,
        file: "ring.rs",
        kind: Kind::Write,
        usage: "map_ring TEXT",
        title: "a ring without a seam",
        spec: spec::mmap::map_ring,
    },
    Row {
        name: "map_sigbus",
        module: MMAP,
        file: "sigbus.rs",
        kind: Kind::Write,
        usage: "map_sigbus FILE",
        title: "a page that is gone",
        spec: spec::mmap::map_sigbus,
    },
    Row {
        name: "map_sync",
        module: MMAP,
        file: "sync.rs",
        kind: Kind::Write,
        usage: "map_sync FILE N",
        title: "said to be durable, and durable",
        spec: spec::mmap::map_sync,
    },
    Row {
        name: "map_device",
        module: MMAP,
        file: "device.rs",
        kind: Kind::Write,
        usage: "map_device FILE",
        title: "a request by stores to a device",
        spec: spec::mmap::map_device,
    },
    Row {
        name: "shared_anon",
        module: FORK,
        file: "shared_anon.rs",
        kind: Kind::Write,
        usage: "shared_anon A B",
        title: "two processes, one memory, no sleep",
        spec: spec::fork::shared_anon,
    },
    Row {
        name: "fork_reap",
        module: FORK,
        file: "reap.rs",
        kind: Kind::Write,
        usage: "fork_reap N",
        title: "how each of your children ended",
        spec: spec::fork_reap::fork_reap,
    },
    Row {
        name: "shared_counter",
        module: FORK,
        file: "shared_counter.rs",
        kind: Kind::Write,
        usage: "shared_counter P N",
        title: "one counter for many processes",
        spec: spec::shared_counter::shared_counter,
    },
    Row {
        name: "shared_flag",
        module: FORK,
        file: "shared_flag.rs",
        kind: Kind::Write,
        usage: "shared_flag FILE",
        title: "wait for a store of another process",
        spec: spec::shared_flag::shared_flag,
    },
    Row {
        name: "quit_flag",
        module: FORK,
        file: "quit_flag.rs",
        kind: Kind::Write,
        usage: "quit_flag MS",
        title: "a loop that ends when another process says so",
        spec: spec::quit_flag::quit_flag,
    },
    Row {
        name: "shared_ring",
        module: FORK,
        file: "shared_ring.rs",
        kind: Kind::Write,
        usage: "shared_ring [--from N] FILE",
        title: "a stream through shared memory",
        spec: spec::shared_ring::shared_ring,
    },
    Row {
        name: "robust_mutex",
        module: FORK,
        file: "robust_mutex.rs",
        kind: Kind::Write,
        usage: "robust_mutex",
        title: "a lock whose holder has died",
        spec: spec::robust_mutex::robust_mutex,
    },
    Row {
        name: "fork_copy",
        module: FORK,
        file: "copy.rs",
        kind: Kind::Write,
        usage: "fork_copy A B",
        title: "one variable before fork, two after it",
        spec: spec::fork_copy::fork_copy,
    },
    Row {
        name: "cow_pages",
        module: FORK,
        file: "cow_pages.rs",
        kind: Kind::Write,
        usage: "cow_pages N K",
        title: "the pages that fork did not copy",
        spec: spec::cow_pages::cow_pages,
    },
    Row {
        name: "fork_offset",
        module: FORK,
        file: "offset.rs",
        kind: Kind::Write,
        usage: "fork_offset FILE",
        title: "one offset for two, or one for each",
        spec: spec::fork_offset::fork_offset,
    },
    Row {
        name: "fork_exec",
        module: FORK,
        file: "exec.rs",
        kind: Kind::Write,
        usage: "fork_exec CMD ARGS…",
        title: "another program in a child, and nothing left open in it",
        spec: spec::fork_exec::fork_exec,
    },
    Row {
        name: "shm_pair",
        module: FORK,
        file: "shm_pair.rs",
        kind: Kind::Write,
        usage: "shm_pair NAME VALUE",
        title: "shared memory with a name",
        spec: spec::shm_pair::shm_pair,
    },
    Row {
        name: "pipe_count",
        module: PIPES,
        file: "count.rs",
        kind: Kind::Write,
        usage: "pipe_count MESSAGE",
        title: "a message to yourself",
        spec: spec::pipes_count::pipe_count,
    },
    Row {
        name: "pipe_hello",
        module: PIPES,
        file: "hello.rs",
        kind: Kind::Write,
        usage: "pipe_hello MESSAGE",
        title: "a message from parent to child",
        spec: spec::pipes::pipe_hello,
    },
    Row {
        name: "pipe_eof",
        module: PIPES,
        file: "eof.rs",
        kind: Kind::Mend,
        usage: "pipe_eof MESSAGE",
        title: "the child that never leaves its loop",
        spec: spec::pipes::pipe_eof,
    },
    Row {
        name: "pipe_reply",
        module: PIPES,
        file: "reply.rs",
        kind: Kind::Write,
        usage: "pipe_reply",
        title: "question and answer over two pipes",
        spec: spec::pipes_reply::pipe_reply,
    },
    Row {
        name: "pipe_capacity",
        module: PIPES,
        file: "capacity.rs",
        kind: Kind::Write,
        usage: "pipe_capacity [BYTES]",
        title: "how much a pipe holds",
        spec: spec::pipes_full::pipe_capacity,
    },
    Row {
        name: "pipe_partial",
        module: PIPES,
        file: "partial.rs",
        kind: Kind::Write,
        usage: "pipe_partial FILE",
        title: "a writer that is refused and loses nothing",
        spec: spec::pipes_partial::pipe_partial,
    },
    Row {
        name: "pipe_line",
        module: PIPES,
        file: "line.rs",
        kind: Kind::Write,
        usage: "pipe_line 'CMD | CMD | …'",
        title: "a line of commands, as the shell runs it",
        spec: spec::pipes_line::pipe_line,
    },
    Row {
        name: "pipe_poll",
        module: PIPES,
        file: "poll.rs",
        kind: Kind::Write,
        usage: "pipe_poll N",
        title: "whoever speaks first is heard first",
        spec: spec::pipes_poll::pipe_poll,
    },
    Row {
        name: "pipe_atomic",
        module: PIPES,
        file: "atomic.rs",
        kind: Kind::Write,
        usage: "pipe_atomic W N",
        title: "many writers, no record torn",
        spec: spec::pipes_atomic::pipe_atomic,
    },
    Row {
        name: "pipe_splice",
        module: PIPES,
        file: "splice.rs",
        kind: Kind::Write,
        usage: "pipe_splice FILE",
        title: "a copy that the kernel makes",
        spec: spec::pipes_splice::pipe_splice,
    },
    Row {
        name: "fdopen_pipe",
        module: STDIO,
        file: "fdopen_pipe.rs",
        kind: Kind::Write,
        usage: "fdopen_pipe A B C",
        title: "buffered streams over the two ends of a pipe",
        spec: spec::stdio::fdopen_pipe,
    },
    Row {
        name: "flush_child",
        module: STDIO,
        file: "flush_child.rs",
        kind: Kind::Mend,
        usage: "flush_child SCORE",
        title: "the child whose last word stays in its buffer",
        spec: spec::stdio::flush_child,
    },
    Row {
        name: "double_flush",
        module: STDIO,
        file: "double_flush.rs",
        kind: Kind::Mend,
        usage: "double_flush TEXT",
        title: "a buffer that fork copies",
        spec: spec::stdio::double_flush,
    },
    Row {
        name: "fdopen_file",
        module: STDIO,
        file: "fdopen_file.rs",
        kind: Kind::Write,
        usage: "fdopen_file PATH NAME SCORE",
        title: "a stream over a descriptor of your own",
        spec: spec::stdio::fdopen_file,
    },
    Row {
        name: "scan_number",
        module: STDIO,
        file: "scan_number.rs",
        kind: Kind::Write,
        usage: "scan_number",
        title: "numbers from a pipe that stays open",
        spec: spec::stdio::scan_number,
    },
    Row {
        name: "file_size",
        module: STDIO,
        file: "file_size.rs",
        kind: Kind::Write,
        usage: "file_size PATH",
        title: "a length, and an offset that others may share",
        spec: spec::stdio::file_size,
    },
    Row {
        name: "lost_output",
        module: STDIO,
        file: "lost_output.rs",
        kind: Kind::Mend,
        usage: "lost_output WAY",
        title: "six ways to end, and what was printed before",
        spec: spec::stdio::lost_output,
    },
    Row {
        name: "buffer_sizes",
        module: STDIO,
        file: "buffer_sizes.rs",
        kind: Kind::Write,
        usage: "buffer_sizes FILE BYTES",
        title: "how many calls a copy takes",
        spec: spec::stdio::buffer_sizes,
    },
    Row {
        name: "stream_modes",
        module: STDIO,
        file: "stream_modes.rs",
        kind: Kind::Write,
        usage: "stream_modes",
        title: "a buffered stream, mode by mode",
        spec: spec::stdio::stream_modes,
    },
    Row {
        name: "line_buffering",
        module: STDIO,
        file: "line_buffering.rs",
        kind: Kind::Write,
        usage: "line_buffering [-u] N",
        title: "when does printed text leave the program?",
        spec: spec::stdio::line_buffering,
    },
    Row {
        name: "fifo_hello",
        module: FIFOS,
        file: "hello.rs",
        kind: Kind::Write,
        usage: "fifo_hello PATH MESSAGE",
        title: "a pipe with a name",
        spec: spec::fifos::fifo_hello,
    },
    Row {
        name: "fifo_race",
        module: FIFOS,
        file: "fifo_race.rs",
        kind: Kind::Mend,
        usage: "fifo_race PATH MESSAGE",
        title: "the sender that was gone before its reader came",
        spec: spec::fifos::fifo_race,
    },
    Row {
        name: "fifo_nonblock",
        module: FIFOS,
        file: "fifo_nonblock.rs",
        kind: Kind::Write,
        usage: "fifo_nonblock PATH",
        title: "first ask, then wait",
        spec: spec::fifos::fifo_nonblock,
    },
    Row {
        name: "fifo_server",
        module: FIFOS,
        file: "fifo_server.rs",
        kind: Kind::Write,
        usage: "fifo_server PATH N",
        title: "clients that come and go",
        spec: spec::fifos::fifo_server,
    },
    Row {
        name: "fifo_lifetime",
        module: FIFOS,
        file: "fifo_lifetime.rs",
        kind: Kind::Predict,
        usage: "fifo_lifetime PATH",
        title: "what is left when all have closed it",
        spec: spec::fifos::fifo_lifetime,
    },
    Row {
        name: "sigpipe_default",
        module: SIGNALS,
        file: "sigpipe_default.rs",
        kind: Kind::Mend,
        usage: "sigpipe_default",
        title: "printing for ever, until nobody reads",
        spec: spec::signals::sigpipe_default,
    },
    Row {
        name: "sigpipe_handler",
        module: SIGNALS,
        file: "sigpipe_handler.rs",
        kind: Kind::Mend,
        usage: "sigpipe_handler",
        title: "the signal of a pipe that nobody reads",
        spec: spec::signals::sigpipe_handler,
    },
    Row {
        name: "sigpipe_epipe",
        module: SIGNALS,
        file: "sigpipe_epipe.rs",
        kind: Kind::Write,
        usage: "sigpipe_epipe N K",
        title: "a server that outlives its readers",
        spec: spec::signals::sigpipe_epipe,
    },
    Row {
        name: "signal_wait",
        module: SIGNALS,
        file: "signal_wait.rs",
        kind: Kind::Write,
        usage: "signal_wait N",
        title: "signals and children, in one loop that misses none",
        spec: spec::signals::signal_wait,
    },
    Row {
        name: "copy_read_write",
        module: IO,
        file: "copy_read_write.rs",
        kind: Kind::Write,
        usage: "copy_read_write SRC DST [--block N]",
        title: "copy a file with read and write",
        spec: spec::io::copy_read_write,
    },
    Row {
        name: "copy_mmap",
        module: IO,
        file: "copy_mmap.rs",
        kind: Kind::Write,
        usage: "copy_mmap SRC DST",
        title: "copy a file out of a mapping",
        spec: spec::io::copy_mmap,
    },
    Row {
        name: "copy_kernel",
        module: IO,
        file: "copy_kernel.rs",
        kind: Kind::Write,
        usage: "copy_kernel SRC DST",
        title: "copy a file inside the kernel",
        spec: spec::io::copy_kernel,
    },
    Row {
        name: "save_atomic",
        module: IO,
        file: "save_atomic.rs",
        kind: Kind::Write,
        usage: "save_atomic FILE",
        title: "save a file, old or new and never half",
        spec: spec::io::save_atomic,
    },
    Row {
        name: "word_count",
        module: IO,
        file: "word_count.rs",
        kind: Kind::Write,
        usage: "word_count FILE [--mmap]",
        title: "lines, words and bytes, read or mapped",
        spec: spec::io::word_count,
    },
    Row {
        name: "random_reads",
        module: IO,
        file: "random_reads.rs",
        kind: Kind::Write,
        usage: "random_reads FILE SEED N [--mmap]",
        title: "blocks here and there, read or mapped",
        spec: spec::io::random_reads,
    },
    Row {
        name: "read_ahead",
        module: IO,
        file: "read_ahead.rs",
        kind: Kind::Write,
        usage: "read_ahead FILE CMD [ARG…]",
        title: "the next block while the last one is taken",
        spec: spec::io::read_ahead,
    },
    Row {
        name: "direct_copy",
        module: IO,
        file: "direct_copy.rs",
        kind: Kind::Write,
        usage: "direct_copy SRC DST",
        title: "copy a file past the page cache",
        spec: spec::io::direct_copy,
    },
    Row {
        name: "uring_copy",
        module: IO,
        file: "uring_copy.rs",
        kind: Kind::Write,
        usage: "uring_copy SRC DST",
        title: "copy a file, several blocks at once",
        spec: spec::io::uring_copy,
    },
];

/// All exercises of the suite at `root`, in teaching order.
pub(crate) fn exercises(root: &Arc<Path>) -> Vec<Exercise> {
    ROWS.iter()
        .map(|row| Exercise {
            name: row.name,
            module: row.module,
            title: row.title,
            kind: row.kind,
            usage: row.usage,
            file: row.file,
            spec: row.spec,
            root: root.clone(),
        })
        .collect()
}
