//! Open, checksum and close many small files: where the set-up decides.

use std::fs::File;
use std::path::PathBuf;

use super::{Fault, Prepared, Strategy, Task, Work, call, read_full};
use crate::memory::{Buffer, Mapping, sum};

/// Every strategy of the workload; the first is what the others are compared with.
pub fn strategies() -> Vec<Strategy> {
    let new = |name: &str, what: &str, threads: usize, mapped: bool| {
        Strategy::new(name, what, None, move |task| run(task, threads, mapped))
    };
    vec![
        new("read", "read(2) into one buffer", 1, false),
        new("mmap", "map, sum, unmap", 1, true),
        new("read_2_threads", "the same by two threads", 2, false),
        new("mmap_2_threads", "each unmap is told to the other processor", 2, true),
    ]
}

/// The file of this number in the task's directory.
pub fn name(number: usize) -> String {
    format!("small-{number}")
}

fn run(task: Task<'_>, threads: usize, mapped: bool) -> Result<Prepared<'_>, Fault> {
    let largest = task.offsets.iter().copied().max().unwrap_or(0) as usize;
    let paths: Vec<PathBuf> = (0..task.offsets.len()).map(|number| task.path.join(name(number))).collect();
    let mut buffers: Vec<Buffer> = (0..threads)
        .map(|_| Buffer::new(largest.max(1) + 1))
        .collect::<Result<_, _>>()
        .map_err(call("mmap a buffer"))?;
    let share = paths.len().div_ceil(threads);
    Ok(Box::new(move || {
        let mut work = Work::default();
        if threads == 1 {
            work = visit(&task, &paths, &mut buffers[0], mapped)?;
        } else {
            let parts: Vec<Result<Work, Fault>> = std::thread::scope(|scope| {
                let handles: Vec<_> = paths
                    .chunks(share)
                    .zip(&mut buffers)
                    .map(|(paths, buffer)| scope.spawn(move || visit(&task, paths, buffer, mapped)))
                    .collect();
                handles.into_iter().map(|h| h.join().unwrap_or(Err(Fault::Short))).collect()
            });
            for part in parts {
                let part = part?;
                work.checksum = work.checksum.wrapping_add(part.checksum);
                work.system_calls += part.system_calls;
            }
        }
        Ok(work)
    }))
}

fn visit(task: &Task<'_>, paths: &[PathBuf], buffer: &mut Buffer, mapped: bool) -> Result<Work, Fault> {
    let mut work = Work::default();
    for path in paths {
        task.go_on()?;
        let file = File::open(path).map_err(call("open"))?;
        work.system_calls += 2;
        if mapped {
            let len = file.metadata().map_err(call("fstat"))?.len() as usize;
            let mapping = Mapping::file(&file, 0, len, libc::PROT_READ, libc::MAP_SHARED).map_err(call("mmap"))?;
            work.checksum = work.checksum.wrapping_add(mapping.sum(0, len));
            work.system_calls += 3;
        } else {
            let n = read_full(&file, buffer.bytes(), &mut work.system_calls)?;
            work.checksum = work.checksum.wrapping_add(sum(&buffer.bytes()[..n]));
            work.copied += n as u64;
        }
    }
    Ok(work)
}
