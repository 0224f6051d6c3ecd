//! copy_read_write SRC DST [--block N]
//!
//! Copy SRC to DST with read and write, N bytes asked of each read. Print nothing.
//! The copy has the same bytes and the same permission bits, whatever the umask.
//!
//! DST is replaced only when the copy is whole: write to a new file in the same
//! directory, then rename it. If anything fails (a full disk, half way) DST is as
//! it was, and the new file is gone. SRC and DST may not be one file, not even
//! under two names. SRC may be empty, sparse, or grow while you copy: then the
//! copy is a beginning of it, at least as long as SRC was at the start.
//!
//! Why: read and write may move less than asked, or be interrupted; a copy that
//! ignores this is right every day but one. And a file half written over the old
//! one is worse than none.
//!
//! Read: read(2) and write(2), RETURN VALUE; open(2) O_EXCL; fchmod(2);
//! rename(2); stat(2) st_dev and st_ino.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

const DEFAULT_BLOCK_BYTES: usize = 256 * 1024;
const MAX_BLOCK_BYTES: usize = 64 * 1024 * 1024;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let (src, dst, block) = match arguments.as_slice() {
        [src, dst] => (src, dst, Some(DEFAULT_BLOCK_BYTES)),
        [src, dst, flag, block] if flag == "--block" => (src, dst, block.to_str().and_then(|block| block.parse().ok())),
        _ => return usage(),
    };
    let Some(block @ 1..=MAX_BLOCK_BYTES) = block else {
        return usage();
    };
    run(Path::new(src), Path::new(dst), block).unwrap_or_else(|message| {
        complain(&message);
        ExitCode::FAILURE
    })
}

fn run(src: &Path, dst: &Path, block: usize) -> Result<ExitCode, String> {
    // TODO: open SRC. Is DST the same file?
    // TODO: make a new file in DST's directory, one that was not there before.
    // TODO: read and write until read gives 0.
    // TODO: give it SRC's mode, and DST's name.
    // TODO: whatever failed on the way: the new file must go.
    let _ = (src, dst, block);
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: copy_read_write SRC DST [--block N]   (1 to 67108864 bytes)");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
