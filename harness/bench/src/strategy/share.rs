//! Two processes checksum the same file at the same time.

use std::fs::File;

use super::{Fault, Prepared, Strategy, Task, Work, buffer, call, size_name};
use crate::memory::{Mapping, sum};
use crate::process::{Child, End};

/// Every strategy of the workload; the first is what the others are compared with.
pub fn strategies() -> Vec<Strategy> {
    vec![
        read(64 << 10),
        Strategy::new("mmap", "each maps the file shared", None, |task| {
            let file = task.open()?;
            both(task, move || mapped(&file, task.size, libc::MAP_SHARED))
        }),
        Strategy::new("mmap_inherited", "one mapping, inherited and touched before", None, |task| {
            let file = task.open()?;
            let len = task.size as usize;
            let mapping = Mapping::file(&file, 0, len, libc::PROT_READ, libc::MAP_SHARED).map_err(call("mmap"))?;
            crate::memory::touch(&mapping);
            both(task, move || Some(mapping.sum(0, len)))
        }),
        read(256 << 10),
        Strategy::new("mmap_private", "each maps the file privately", None, |task| {
            let file = task.open()?;
            both(task, move || mapped(&file, task.size, libc::MAP_PRIVATE))
        })
        .full(),
    ]
}

fn read(block: usize) -> Strategy {
    let name = format!("read_{}", size_name(block));
    let what = format!("each reads by pread(2), {} KiB at a time", block >> 10);
    Strategy::new(&name, &what, Some(block), move |task| {
        let file = task.open()?;
        let mut buffer = buffer(block)?;
        both(task, move || {
            let (mut offset, mut checksum, mut calls) = (0u64, 0u64, 0);
            while offset < task.size {
                let n = super::scan::pread_some(&file, buffer.bytes(), offset, &mut calls).ok()?;
                if n == 0 {
                    return None;
                }
                checksum = checksum.wrapping_add(sum(&buffer.bytes()[..n]));
                offset += n as u64;
            }
            Some(checksum)
        })
    })
}

fn mapped(file: &File, size: u64, flags: i32) -> Option<u64> {
    let mapping = Mapping::file(file, 0, size as usize, libc::PROT_READ, flags).ok()?;
    Some(mapping.sum(0, mapping.len()))
}

/// Runs `scan` in a child and here, both from the same moment.
fn both<'a>(task: Task<'a>, mut scan: impl FnMut() -> Option<u64> + 'a) -> Result<Prepared<'a>, Fault> {
    let (wait, go) = super::copy::pipe(4096)?;
    let (answer_out, answer_in) = super::copy::pipe(4096)?;
    use std::os::fd::AsRawFd;
    // SAFETY: the scans above read memory and make system calls; what they free
    // is a mapping of their own.
    let child = unsafe {
        Child::fork(|| {
            let mut byte = 0u8;
            if libc::read(wait.as_raw_fd(), (&raw mut byte).cast(), 1) != 1 {
                return 1;
            }
            let Some(checksum) = scan() else { return 1 };
            let bytes = checksum.to_ne_bytes();
            i32::from(libc::write(answer_in.as_raw_fd(), bytes.as_ptr().cast(), 8) != 8)
        })
    }
    .map_err(call("fork"))?;
    drop(answer_in);
    Ok(Box::new(move || {
        // SAFETY: one byte from a string.
        if unsafe { libc::write(go.as_raw_fd(), c"g".as_ptr().cast(), 1) } != 1 {
            return Err(call("write")(std::io::Error::last_os_error()));
        }
        let checksum = scan().ok_or(Fault::Short)?;
        let mut bytes = [0u8; 8];
        // SAFETY: eight bytes into `bytes`.
        let told = unsafe { libc::read(answer_out.as_raw_fd(), bytes.as_mut_ptr().cast(), 8) };
        match child.wait().map_err(call("wait"))? {
            End::Exited(0) if told == 8 => {}
            end => return Err(Fault::Unsupported(format!("the other process ended early: {end:?}"))),
        }
        task.go_on()?;
        // A wrong sum of the child's must not go unseen.
        let agreed = if u64::from_ne_bytes(bytes) == checksum { checksum } else { !checksum };
        Ok(Work { checksum: agreed, note: Some("two processes".to_owned()), ..Work::default() })
    }))
}
