//! Some results are known without waiting for the kernel's: they must be the kernel's.

use std::fmt::Write;

use libtest_mimic::Trial;
use observe::{Call, Ending, Exit, Launch, Observer, What};

/// The argument by which this executable is the program that is observed.
pub const ARGUMENT: &str = "--descriptors";

/// Makes descriptors in every way, and prints of each whether it is closed at exec.
pub fn ask() {
    let ok = |result: i32| {
        assert!(result >= 0, "{}", std::io::Error::last_os_error());
        result
    };
    let (mut pipe, mut plain, mut pair) = ([0; 2], [0; 2], [0; 2]);
    let path = c"/proc/self/exe".as_ptr();
    // SAFETY: the kernel writes two numbers into each array, and reads the names; nobody else owns these descriptors.
    let fds = unsafe {
        ok(libc::pipe2(pipe.as_mut_ptr(), libc::O_CLOEXEC));
        ok(libc::pipe2(plain.as_mut_ptr(), 0));
        ok(libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0, pair.as_mut_ptr()));
        let file = ok(libc::open(path, libc::O_RDONLY | libc::O_CLOEXEC));
        ok(libc::dup2(file, file));
        let marked = ok(libc::open(path, libc::O_RDONLY));
        ok(libc::ioctl(marked, libc::FIOCLEX));
        let set = ok(libc::open(path, libc::O_RDONLY));
        ok(libc::fcntl(set, libc::F_SETFD, libc::FD_CLOEXEC));
        let unmarked = ok(libc::open(path, libc::O_RDONLY | libc::O_CLOEXEC));
        ok(libc::ioctl(unmarked, libc::FIONCLEX));
        let ranged = ok(libc::dup(file));
        ok(libc::close_range(ranged as u32, ranged as u32, libc::CLOSE_RANGE_CLOEXEC as i32));
        let copies = [ok(libc::dup(file)), ok(libc::fcntl(plain[0], libc::F_DUPFD_CLOEXEC, 0))];
        let memory = ok(libc::memfd_create(c"m".as_ptr(), libc::MFD_CLOEXEC));
        let others = [file, marked, set, unmarked, ranged, memory];
        [&pipe[..], &plain, &pair, &copies, &others].concat()
    };
    let mut told = String::new();
    for fd in fds {
        // SAFETY: the operation takes plain numbers.
        let flags = ok(unsafe { libc::fcntl(fd, libc::F_GETFD) });
        writeln!(told, "{fd} {flags}").expect("memory");
    }
    print!("{told}");
}

/// Whether that is what was seen.
pub fn trial(observer: &Observer) -> Trial {
    let observer = observer.clone();
    let name = "descriptors::what_is_closed_at_exec_is_told_as_the_kernel_tells_it";
    Trial::test(name, move || Ok(check(&observer)?))
}

fn check(observer: &Observer) -> Result<(), String> {
    let mut launch = Launch::new(std::env::current_exe().map_err(|e| e.to_string())?);
    launch.args = vec![ARGUMENT.into()];
    let seen = observer.run(&launch).map_err(|e| e.to_string())?;
    if seen.ending != Ending::Ended(Exit::Code(0)) {
        return Err(format!("{:?}: {}", seen.ending, String::from_utf8_lossy(&seen.stderr.bytes)));
    }
    let mut told = String::new();
    for event in seen.events.iter().filter(|event| !event.startup) {
        if let What::Called { call: Call::Fcntl { fd, command: libc::F_GETFD, .. }, result: Some(Ok(flags)), .. } =
            &event.what
        {
            writeln!(told, "{fd} {flags}").expect("memory");
        }
    }
    let printed = String::from_utf8_lossy(&seen.stdout.bytes);
    if printed == told { Ok(()) } else { Err(format!("the program printed:\n{printed}and this was seen:\n{told}")) }
}
