//! The few ptrace requests that the tracer makes. Each goes to a thread that is stopped for this tracer (or fails
//! with ESRCH if it died meanwhile, which the caller learns from waitpid).

use libc::{c_int, c_long, c_uint, c_void, user_regs_struct};
use nix::errno::Errno;

type Outcome<T> = Result<T, Errno>;

fn request(what: c_uint, tid: i32, address: *mut c_void, data: *mut c_void) -> Outcome<c_long> {
    // SAFETY: the callers below pass the address and data that `what` is documented to take in ptrace(2); buffers
    // are live for the call.
    Errno::result(unsafe { libc::ptrace(what, tid, address, data) })
}

const OPTIONS: c_int = libc::PTRACE_O_TRACESYSGOOD
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEEXEC
    | libc::PTRACE_O_TRACEEXIT
    | libc::PTRACE_O_TRACESECCOMP
    | libc::PTRACE_O_EXITKILL;

fn null() -> *mut c_void {
    std::ptr::null_mut()
}

/// Attaches without stopping; children are attached with their parents.
pub(super) fn seize(tid: i32) -> Outcome<()> {
    request(libc::PTRACE_SEIZE, tid, null(), OPTIONS as *mut c_void).map(drop)
}

/// Has a thread end without a last stop.
pub(super) fn without_exit_stop(tid: i32) -> Outcome<()> {
    let options = OPTIONS & !libc::PTRACE_O_TRACEEXIT;
    request(libc::PTRACE_SETOPTIONS, tid, null(), options as *mut c_void).map(drop)
}

/// Lets a stopped thread go on, with a signal or 0.
pub(super) fn go_on(tid: i32, signal: i32) -> Outcome<()> {
    request(libc::PTRACE_CONT, tid, null(), signal as *mut c_void).map(drop)
}

/// Lets a thread go on to the exit of its call.
pub(super) fn to_call_exit(tid: i32) -> Outcome<()> {
    request(libc::PTRACE_SYSCALL, tid, null(), null()).map(drop)
}

/// Leaves a thread in a group stop, but listening for SIGCONT.
pub(super) fn listen(tid: i32) -> Outcome<()> {
    request(libc::PTRACE_LISTEN, tid, null(), null()).map(drop)
}

pub(super) fn registers(tid: i32) -> Outcome<user_regs_struct> {
    let mut registers = std::mem::MaybeUninit::<user_regs_struct>::uninit();
    request(libc::PTRACE_GETREGS, tid, null(), registers.as_mut_ptr().cast())?;
    // SAFETY: the request succeeded, so the kernel has filled the structure.
    Ok(unsafe { registers.assume_init() })
}

pub(super) fn set_registers(tid: i32, registers: &user_regs_struct) -> Outcome<()> {
    request(libc::PTRACE_SETREGS, tid, null(), std::ptr::from_ref(registers).cast_mut().cast()).map(drop)
}

/// Message of an event stop: a child's id, an exit status.
pub(super) fn message(tid: i32) -> Outcome<u64> {
    let mut message: libc::c_ulong = 0;
    request(libc::PTRACE_GETEVENTMSG, tid, null(), std::ptr::from_mut(&mut message).cast())?;
    Ok(message)
}

pub(super) fn signal_information(tid: i32) -> Outcome<libc::siginfo_t> {
    let mut information = std::mem::MaybeUninit::<libc::siginfo_t>::uninit();
    request(libc::PTRACE_GETSIGINFO, tid, null(), information.as_mut_ptr().cast())?;
    // SAFETY: the request succeeded, so the kernel has filled the structure.
    Ok(unsafe { information.assume_init() })
}

/// One of the registers, by its offset: much less work than all of them.
pub(super) fn register(tid: i32, offset: usize) -> Outcome<u64> {
    peek_at(libc::PTRACE_PEEKUSER, tid, offset as u64)
}

/// Reads a word, also of memory that the program itself may not read.
pub(super) fn peek(tid: i32, address: u64) -> Outcome<u64> {
    peek_at(libc::PTRACE_PEEKTEXT, tid, address)
}

fn peek_at(what: c_uint, tid: i32, address: u64) -> Outcome<u64> {
    Errno::clear();
    // SAFETY: the library's wrapper returns the word; it fails with EIO or EFAULT for an address that is not there.
    let word = unsafe { libc::ptrace(what, tid, address as *mut c_void, null()) };
    match Errno::last() {
        Errno::UnknownErrno => Ok(word as u64),
        errno => Err(errno),
    }
}

/// Writes a word, also into code that the program itself may not write.
pub(super) fn poke(tid: i32, address: u64, word: u64) -> Outcome<()> {
    request(libc::PTRACE_POKETEXT, tid, address as *mut c_void, word as *mut c_void).map(drop)
}
