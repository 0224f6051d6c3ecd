//! What the program finds around it on rung F: a root of its own that holds the system's files, read-only, a few
//! devices, and memory file systems that end with the box. Nothing else of the machine has a name in it.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;
use nix::unistd::{chdir, pivot_root};

use super::boxes::describe;
use crate::plan::{Launch, Limits};

/// Where the working directory lies.
pub(super) const WORK: &str = "/tmp/box";
/// Where the new root is put together: every machine has it, and nothing in it is needed.
const SITE: &str = "/tmp";
/// Bytes of shared memory objects, at most.
const SHARED: u64 = 256 << 20;

/// The system's own, to read and to run.
pub(super) const SYSTEM: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib64",
    "/lib32",
    "/etc",
    "/opt",
    "/nix",
    "/sys/devices/system",
    "/sys/kernel/mm",
];
/// To read and to write.
const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];
/// For a launch that asks for it.
pub(crate) const KVM: &str = "/dev/kvm";
const LINKS: &[(&str, &str)] = &[
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
];

const NONE: Option<&str> = None;

/// Takes possession of the namespaces that this process is the first one of.
pub(super) fn enter(launch: &Launch, program: &File, terminal: Option<&OwnedFd>) -> Result<(), String> {
    map_user()?;
    let own = fs::read_link("/proc/self/ns/mnt").map_err(|e| e.to_string())?;
    if super::OUTER_MOUNTS.get() == Some(&own) {
        return Err("the mount namespace is still the machine's own".into());
    }
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE).map_err(describe("mount / private"))?;
    let script = script(launch, program);
    let terminal = terminal.and_then(|fd| nix::unistd::ttyname(fd).ok());
    memory(SITE, "size=1m,nr_inodes=500,mode=0755")?;
    let devices: Vec<&Path> = devices(launch).chain(terminal.as_deref()).collect();
    lay_out(script.as_ref().map(|(path, _)| path.as_path()), &devices).map_err(|e| format!("the box's root: {e}"))?;
    for place in SYSTEM {
        if fs::symlink_metadata(place).is_ok_and(|m| m.is_dir()) {
            bind(Path::new(place), place)?;
        }
    }
    make_read_only()?;
    for device in devices {
        if device.exists() {
            bind(device, &device.to_string_lossy())?;
        }
    }
    let Limits { disk, files, .. } = launch.limits;
    memory(&within("/dev/shm"), &format!("size={},nr_inodes={files},mode=1777", disk.min(SHARED)))?;
    memory(&within("/tmp"), &format!("size={disk},nr_inodes={files},mode=0755"))?;
    if let Some((path, file)) = &script {
        show(path, file).map_err(|e| format!("the box's root: {e}"))?;
    }
    let safe = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), within("/proc").as_str(), Some("proc"), safe, NONE).map_err(describe("mount /proc"))?;
    leave_the_old()?;
    fs::create_dir(WORK).map_err(|e| format!("{WORK}: {e}"))
}

/// The numbers stay what they were, so that owners of files look the same inside and out.
fn map_user() -> Result<(), String> {
    // In the new namespace the old ids read as "nobody" until they are mapped: the supervisor left them here.
    let (uid, gid) = *super::OUTER_IDS.get().ok_or("the supervisor does not know who it is")?;
    let put = |name: &str, text: String| {
        fs::write(format!("/proc/self/{name}"), text).map_err(|e| format!("user namespace ({name}): {e}"))
    };
    put("setgroups", "deny".into())?;
    put("uid_map", format!("{uid} {uid} 1"))?;
    put("gid_map", format!("{gid} {gid} 1"))
}

/// Those that every program has, and the one that this one was promised.
pub(super) fn devices(launch: &Launch) -> impl Iterator<Item = &Path> {
    DEVICES.iter().copied().chain(launch.kvm.then_some(KVM)).map(Path::new)
}

fn within(path: &str) -> String {
    format!("{SITE}{path}")
}

fn memory(place: &str, options: &str) -> Result<(), String> {
    let safe = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), place, Some("tmpfs"), safe, Some(options)).map_err(describe("mount tmpfs"))
}

fn bind(from: &Path, to: &str) -> Result<(), String> {
    let failed = |e: nix::Error| format!("bind {to}: {}", e.desc());
    mount(Some(from), within(to).as_str(), NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE).map_err(failed)
}

/// Only a script must be opened by its name; it is opened here, before its place may be covered.
fn script(launch: &Launch, program: &File) -> Option<(PathBuf, OwnedFd)> {
    let mut mark = [0; 2];
    program.read_exact_at(&mut mark, 0).ok()?;
    let path = launch.program.canonicalize().ok().filter(|_| mark == *b"#!")?;
    let file = open(&path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
    let elsewhere = !SYSTEM.iter().any(|place| path.starts_with(place));
    elsewhere.then_some((launch.program.clone(), file))
}

/// Gives a script its name; a place under /tmp is covered by now, and made once more.
fn show(path: &Path, file: &OwnedFd) -> io::Result<()> {
    let place = PathBuf::from(within(&path.to_string_lossy()));
    if !place.exists() {
        place.parent().map_or(Ok(()), fs::create_dir_all)?;
        File::create(place)?;
    }
    bind(Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd())), &path.to_string_lossy()).map_err(io::Error::other)
}

/// Directories to mount on, files to bind on, and links.
fn lay_out(script: Option<&Path>, devices: &[&Path]) -> io::Result<()> {
    for place in SYSTEM {
        match fs::symlink_metadata(place) {
            Ok(found) if found.is_symlink() => symlink(fs::read_link(place)?, within(place))?,
            Ok(found) if found.is_dir() => fs::create_dir_all(within(place))?,
            _ => {}
        }
    }
    for place in ["/proc", "/tmp", "/dev/shm", "/dev/pts"] {
        fs::create_dir_all(within(place))?;
    }
    for (target, name) in LINKS {
        symlink(target, within(name))?;
    }
    for place in devices.iter().copied().chain(script) {
        let place = PathBuf::from(within(&place.to_string_lossy()));
        place.parent().map_or(Ok(()), fs::create_dir_all)?;
        File::create(place)?;
    }
    Ok(())
}

/// All that has been mounted in the new root so far.
fn make_read_only() -> Result<(), String> {
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    let site = c"/tmp";
    debug_assert_eq!(site.to_bytes(), SITE.as_bytes());
    // SAFETY: the path ends with NUL and the structure is as large as its size says.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            site.as_ptr(),
            libc::AT_RECURSIVE,
            &attributes,
            size_of_val(&attributes),
        )
    };
    match nix::errno::Errno::result(outcome) {
        // Before Linux 5.12 the files' own permissions must do, and Landlock from 5.13.
        Ok(_) | Err(nix::Error::ENOSYS) => Ok(()),
        Err(error) => Err(format!("mount read-only: {}", error.desc())),
    }
}

fn leave_the_old() -> Result<(), String> {
    chdir(SITE).map_err(describe("the box's root"))?;
    // The old root comes to lie on the new one, and is taken away from there.
    pivot_root(".", ".").map_err(describe("pivot_root"))?;
    umount2(".", MntFlags::MNT_DETACH).map_err(describe("umount the old root"))?;
    chdir("/").map_err(describe("the box's root"))
}
