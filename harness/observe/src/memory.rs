//! Reading another process's memory.

use std::io::IoSliceMut;
use std::path::PathBuf;

use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

/// Bytes of a page.
pub(crate) const PAGE: u64 = 4096;

/// Reads up to `len` bytes; fewer where the memory ends.
pub(crate) fn read(tid: i32, address: u64, len: usize) -> Vec<u8> {
    let mut buffer = vec![0; len];
    if len > 0 && address % PAGE + len as u64 <= PAGE {
        let remote = [RemoteIoVec { base: address as usize, len }];
        let got = process_vm_readv(Pid::from_raw(tid), &mut [IoSliceMut::new(&mut buffer)], &remote);
        buffer.truncate(got.unwrap_or(0));
        return buffer;
    }
    let mut done = 0;
    // One remote vector a page: a transfer stops at the first vector that cannot be read whole.
    while done < len {
        let mut remote = Vec::new();
        let mut at = done;
        while at < len && remote.len() < 512 {
            let start = address + at as u64;
            let piece = ((PAGE - start % PAGE) as usize).min(len - at);
            remote.push(RemoteIoVec { base: start as usize, len: piece });
            at += piece;
        }
        let want = at - done;
        let slice = &mut buffer[done..at];
        match process_vm_readv(Pid::from_raw(tid), &mut [IoSliceMut::new(slice)], &remote) {
            Ok(n) => {
                done += n;
                if n < want {
                    break;
                }
            }
            Err(_) => break,
        }
    }
    buffer.truncate(done);
    buffer
}

/// Reads a word.
pub(crate) fn word(tid: i32, address: u64) -> Option<u64> {
    let bytes = read(tid, address, 8);
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

/// Reads a half word.
pub(crate) fn half(tid: i32, address: u64) -> Option<u32> {
    let bytes = read(tid, address, 4);
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

/// Reads a path that ends with NUL; empty where the pointer is null or wild.
pub(crate) fn path(tid: i32, address: u64) -> PathBuf {
    if address == 0 {
        return PathBuf::new();
    }
    let mut bytes = read(tid, address, libc::PATH_MAX as usize);
    if let Some(end) = bytes.iter().position(|b| *b == 0) {
        bytes.truncate(end);
    }
    // What is no text comes with replacement characters, as everything that is shown or sent on does.
    PathBuf::from(String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads the bytes that an array of `iovec` points at, up to `limit`, and says how many there are in all.
pub(crate) fn vectors(tid: i32, address: u64, count: u64, limit: usize) -> (Vec<u8>, u64) {
    let raw = read(tid, address, count.min(1024) as usize * 16);
    let mut data = Vec::new();
    let mut total = 0;
    for pair in raw.chunks_exact(16) {
        let (base, len) = pair.split_at(8);
        let base = u64::from_le_bytes(base.try_into().unwrap_or_default());
        let len = u64::from_le_bytes(len.try_into().unwrap_or_default());
        total += len;
        if data.len() < limit {
            data.extend(read(tid, base, (len as usize).min(limit - data.len())));
        }
    }
    (data, total)
}
