//! The file that is measured: given and checked, or generated and removed.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::statfs::Statfs;
use tempfile::TempDir;

use crate::alarm::Pace;
use crate::error::BenchError;
use crate::memory::{self, Digest};
use crate::statistics::Random;

/// Room to leave on the file system beside what is written.
const SLACK: u64 = 32 << 20;

/// The least bytes that make a trial measurable.
pub const LEAST: u64 = 64 << 10;

/// The beginning of the names of our directories.
const PREFIX: &str = "syslings-bench-";

/// A directory is younger than this when its maker may not have locked it yet.
const YOUNG: Duration = Duration::from_secs(60);

/// A directory of our own, removed with everything in it when it is dropped.
///
/// It is locked while it is in use, so that what a killed run had to leave is
/// known as such and removed by the next.
#[derive(Debug)]
pub struct Workshop {
    dir: TempDir,
    _lock: Option<Flock<File>>,
}

impl Workshop {
    /// Makes one in `dir`, or where temporary files belong, preferring a place
    /// on a disk, because what lies in memory is never cold.
    ///
    /// # Errors
    /// When no directory can be made there.
    pub fn new(dir: Option<&Path>) -> Result<Self, BenchError> {
        let parent = dir.map_or_else(default_dir, Path::to_owned);
        let refused = |source| BenchError::BadDirectory { dir: parent.clone(), source };
        if !std::fs::metadata(&parent).map_err(refused)?.is_dir() {
            return Err(refused(io::Error::from_raw_os_error(libc::ENOTDIR)));
        }
        if let Some(file_system) = pseudo_file_system(&parent) {
            return Err(BenchError::Pseudo { path: parent, file_system });
        }
        sweep(&parent);
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir_in(&parent).map_err(refused)?;
        let lock = lock(dir.path());
        Ok(Self { dir, _lock: lock })
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The directory itself.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Whether what is made there lies in memory only.
    pub fn in_memory(&self) -> bool {
        nix::sys::statfs::statfs(self.dir()).is_ok_and(|fs| keeps_in_memory(&fs))
    }

    /// Refuses to go on when fewer than `need` bytes (and a little) are free.
    ///
    /// # Errors
    /// [`BenchError::NoSpace`], before anything is written.
    pub fn ensure_space(&self, need: u64, purpose: &'static str) -> Result<(), BenchError> {
        let stat = nix::sys::statvfs::statvfs(self.dir())
            .map_err(|e| BenchError::io("ask the free space of", self.dir(), e))?;
        if stat.blocks() == 0 {
            // One without a size, such as ramfs: it takes what memory there is.
            return Ok(());
        }
        let free = (stat.blocks_available() as u64).saturating_mul(stat.fragment_size() as u64);
        if free < need.saturating_add(SLACK) {
            let dir = self.dir().parent().unwrap_or(self.dir()).to_owned();
            return Err(BenchError::NoSpace { dir, need: need.saturating_add(SLACK), free, purpose });
        }
        Ok(())
    }
}

/// Takes the lock of a directory that nobody else has.
fn lock(dir: &Path) -> Option<Flock<File>> {
    Flock::lock(File::open(dir).ok()?, FlockArg::LockExclusiveNonblock).ok()
}

/// Removes what runs of this user left in `parent` when they were killed. What
/// cannot be removed is left: it is not this run's affair.
fn sweep(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && entry.metadata().is_ok_and(|metadata| {
                let age = metadata.modified().ok().and_then(|time| time.elapsed().ok());
                metadata.is_dir()
                    && metadata.uid() == nix::unistd::geteuid().as_raw()
                    && age.is_some_and(|age| age > YOUNG)
            });
        if ours && lock(&entry.path()).is_some() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn default_dir() -> PathBuf {
    let temporary = std::env::temp_dir();
    let places = [temporary.clone(), PathBuf::from("/var/tmp")];
    let on_disk =
        places.into_iter().find(|place| nix::sys::statfs::statfs(place).is_ok_and(|fs| !keeps_in_memory(&fs)));
    on_disk.unwrap_or(temporary)
}

/// The file under measurement, and what its bytes must come to.
#[derive(Debug)]
pub struct Subject {
    path: PathBuf,
    shown: PathBuf,
    file: File,
    size: u64,
    stamp: Stamp,
    sum: u64,
    digest: u64,
    in_memory: bool,
    /// What a generated file's bytes were made of.
    seed: Option<u64>,
}

/// What changes when a file does.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(metadata: &std::fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

impl Subject {
    /// Takes a file of the user's, after looking at what it is.
    ///
    /// # Errors
    /// One of [`BenchError`]'s sentences about the file.
    pub fn given<'a>(path: &Path, pace: impl Into<Pace<'a>>) -> Result<Self, BenchError> {
        let metadata = std::fs::metadata(path).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => BenchError::Missing { path: path.to_owned() },
            _ => BenchError::Unreadable { path: path.to_owned(), source: e },
        })?;
        if let Some(kind) = what_it_is(metadata.file_type()) {
            return Err(BenchError::NotAFile { path: path.to_owned(), kind });
        }
        if let Some(file_system) = pseudo_file_system(path) {
            return Err(BenchError::Pseudo { path: path.to_owned(), file_system });
        }
        if metadata.len() == 0 {
            return Err(BenchError::Empty { path: path.to_owned() });
        }
        let file = File::open(path).map_err(|source| BenchError::Unreadable { path: path.to_owned(), source })?;
        Self::over(path.to_owned(), path.to_owned(), file, pace.into())
    }

    /// Writes a file of `size` pseudo-random bytes in pieces of `piece` bytes:
    /// the piece decides in how large folios the page cache holds it.
    ///
    /// # Errors
    /// [`BenchError::NoSpace`] before anything is written, or what the kernel says.
    pub fn generate<'a>(
        workshop: &Workshop,
        name: &str,
        size: u64,
        piece: usize,
        seed: u64,
        pace: impl Into<Pace<'a>>,
    ) -> Result<Self, BenchError> {
        let pace = pace.into();
        if size < LEAST {
            return Err(BenchError::TooSmall { size, least: LEAST });
        }
        let path = workshop.path(name);
        let write = |e| BenchError::io("write", &path, e);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|e| BenchError::io("create", &path, e))?;
        write_noise(&file, &path, size, piece, seed, pace)?.map_err(write)?;
        file.sync_all().map_err(|e| BenchError::io("fsync", &path, e))?;
        let subject = Self::over(path, PathBuf::from("(generated)"), file, pace)?;
        Ok(Self { seed: Some(seed), ..subject })
    }

    /// The same generated file with the same bytes, written anew in pieces of
    /// `piece` bytes into a page cache that holds nothing of it.
    ///
    /// # Errors
    /// [`BenchError::Nothing`] for a file that was not generated, what the
    /// kernel says, or [`BenchError::Interrupted`].
    pub fn rewritten(&self, piece: usize, interrupted: &AtomicBool) -> Result<Self, BenchError> {
        let Some(seed) = self.seed else {
            return Err(BenchError::Nothing { why: "a file of the caller\u{2019}s is not written to".to_owned() });
        };
        let failed = |e| BenchError::io("write", &self.path, e);
        let file = OpenOptions::new().read(true).write(true).open(&self.path).map_err(failed)?;
        if self.in_memory {
            // Nothing else makes tmpfs give its pages back.
            file.set_len(0).map_err(failed)?;
        } else {
            flush(&file);
            crate::cache::evict(&file).map_err(failed)?;
        }
        write_noise(&file, &self.path, self.size, piece, seed, interrupted.into())?.map_err(failed)?;
        file.sync_all().map_err(failed)?;
        let stamp = Stamp::of(&file.metadata().map_err(failed)?);
        Ok(Self { path: self.path.clone(), shown: self.shown.clone(), file, stamp, ..*self })
    }

    fn over(path: PathBuf, shown: PathBuf, file: File, pace: Pace<'_>) -> Result<Self, BenchError> {
        let metadata = file.metadata().map_err(|e| BenchError::io("fstat", &path, e))?;
        let stamp = Stamp::of(&metadata);
        let in_memory = nix::sys::statfs::fstatfs(&file).is_ok_and(|fs| keeps_in_memory(&fs));
        let (sum, digest, read) = digest_in_time(&path, stamp.size, pace)?;
        if read != stamp.size {
            let what = format!("fstat says {} bytes, reading gives {read}", stamp.size);
            return Err(BenchError::Changed { path: shown, what });
        }
        Ok(Self { path, shown, file, size: stamp.size, stamp, sum, digest, in_memory, seed: None })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How a report names it.
    pub fn shown(&self) -> &Path {
        &self.shown
    }

    /// Opened for reading.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// In bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What [`memory::sum`] of the whole file gives.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// What [`Digest`] of the whole file gives.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Whether it lies on tmpfs or ramfs and so is always cached.
    pub fn in_memory(&self) -> bool {
        self.in_memory
    }

    /// Fails when the file is no longer what it was: cut, grown, written to or
    /// replaced.
    ///
    /// # Errors
    /// [`BenchError::Changed`] with what is different.
    pub fn ensure_unchanged(&self) -> Result<(), BenchError> {
        let changed = |what: String| Err(BenchError::Changed { path: self.shown.clone(), what });
        let Ok(metadata) = self.file.metadata() else { return changed("fstat fails".to_owned()) };
        let now = Stamp::of(&metadata);
        if now.size != self.stamp.size {
            return changed(format!("{} bytes before, {} now", self.stamp.size, now.size));
        }
        if now.modified != self.stamp.modified {
            return changed("its modification time moved".to_owned());
        }
        match std::fs::metadata(&self.path) {
            Ok(named) if Stamp::of(&named) == self.stamp => Ok(()),
            Ok(_) => changed("another file has its name now".to_owned()),
            Err(_) => changed("its name is gone".to_owned()),
        }
    }
}

/// Writes `size` bytes made of `seed`, the same ones whatever the piece. The
/// inner error is the write's.
fn write_noise(
    mut file: &File,
    path: &Path,
    size: u64,
    piece: usize,
    seed: u64,
    pace: Pace<'_>,
) -> Result<io::Result<()>, BenchError> {
    let began = Instant::now();
    let mut bytes = vec![0u8; piece];
    let mut random = Random::new(seed);
    let mut left = size;
    while left > 0 {
        pace.go_on("write", path, began, (size - left, size))?;
        fill(&mut bytes, &mut random);
        let part = left.min(piece as u64) as usize;
        if let Err(error) = file.write_all(&bytes[..part]) {
            return Ok(Err(error));
        }
        left -= part as u64;
    }
    Ok(Ok(()))
}

/// Bytes that no file system can compress, fast to make.
pub fn fill(bytes: &mut [u8], random: &mut Random) {
    for word in bytes.as_chunks_mut::<8>().0 {
        *word = random.bits().to_ne_bytes();
    }
}

/// The sum, the digest and the number of the bytes of the file at `path`.
///
/// # Errors
/// What the kernel says, or [`BenchError::Interrupted`].
pub fn digest_of(path: &Path, interrupted: &AtomicBool) -> Result<(u64, u64, u64), BenchError> {
    digest_in_time(path, 0, interrupted.into())
}

/// The same of a file of which `size` bytes are expected.
fn digest_in_time(path: &Path, size: u64, pace: Pace<'_>) -> Result<(u64, u64, u64), BenchError> {
    let began = Instant::now();
    let unreadable = |source| BenchError::Unreadable { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(unreadable)?;
    let mut buffer = vec![0u8; 256 << 10];
    let mut digest = Digest::new();
    let (mut sum, mut total) = (0u64, 0u64);
    loop {
        pace.go_on("read", path, began, (total, size))?;
        let mut filled = 0;
        while filled < buffer.len() {
            match file.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(unreadable(e)),
            }
        }
        sum = sum.wrapping_add(memory::sum(&buffer[..filled]));
        digest.add(&buffer[..filled]);
        total += filled as u64;
        if filled < buffer.len() {
            return Ok((sum, digest.value(), total));
        }
    }
}

/// Starts writing the file's dirty pages and waits for them, so that they can
/// be dropped; works on a descriptor opened for reading.
pub fn flush(file: &File) {
    // SAFETY: takes a descriptor only.
    unsafe { libc::fdatasync(file.as_raw_fd()) };
}

fn what_it_is(kind: std::fs::FileType) -> Option<&'static str> {
    if kind.is_file() {
        None
    } else if kind.is_dir() {
        Some("a directory")
    } else if kind.is_fifo() {
        Some("a FIFO")
    } else if kind.is_socket() {
        Some("a socket")
    } else if kind.is_block_device() {
        Some("a block device")
    } else if kind.is_char_device() {
        Some("a character device")
    } else {
        Some("something else")
    }
}

/// File systems that have nothing below the page cache.
fn keeps_in_memory(fs: &Statfs) -> bool {
    /// `TMPFS_MAGIC` and `RAMFS_MAGIC` of linux/magic.h.
    const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];
    IN_MEMORY.contains(&magic(fs))
}

fn magic(fs: &Statfs) -> u64 {
    fs.filesystem_type().0 as u64 & 0xffff_ffff
}

/// File systems whose files are made up as they are read, by the magic numbers
/// of linux/magic.h.
fn pseudo_file_system(path: &Path) -> Option<&'static str> {
    const PSEUDO: [(u64, &str); 11] = [
        (0x9fa0, "proc"),
        (0x6265_6572, "sysfs"),
        (0x6462_6720, "debugfs"),
        (0x7472_6163, "tracefs"),
        (0x7363_6673, "securityfs"),
        (0x0027_e0eb, "cgroup"),
        (0x6367_7270, "cgroup2"),
        (0xcafe_4a11, "bpf"),
        (0x6265_6570, "configfs"),
        (0x6165_676c, "pstore"),
        (0xde5e_81e4, "efivarfs"),
    ];
    let fs = nix::sys::statfs::statfs(path).ok()?;
    let magic = magic(&fs);
    PSEUDO.iter().find(|(known, _)| *known == magic).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    static CALM: AtomicBool = AtomicBool::new(false);

    fn error(path: &Path) -> String {
        Subject::given(path, &CALM).unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_be_measured_is_named_with_its_cause() {
        let dir = tempfile::tempdir().unwrap();
        let empty = dir.path().join("empty");
        File::create(&empty).unwrap();
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert!(error(&dir.path().join("none")).ends_with("none: no such file"));
        assert!(error(dir.path()).contains("is a directory, not a regular file"));
        assert!(error(&empty).contains("the file is empty"));
        assert!(error(&fifo).contains("is a FIFO, not a regular file"));
        assert!(error(Path::new("/dev/null")).contains("is a character device"));
        assert!(error(Path::new("/proc/self/status")).contains("proc, a pseudo file system"));
    }

    #[test]
    fn a_changed_file_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        std::fs::write(&path, [1u8; 5000]).unwrap();
        let subject = Subject::given(&path, &CALM).unwrap();
        subject.ensure_unchanged().unwrap();
        std::fs::write(&path, [1u8; 4000]).unwrap();
        let message = subject.ensure_unchanged().unwrap_err().to_string();
        assert!(message.contains("5000 bytes before, 4000 now"), "{message}");
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, [1u8; 5000]).unwrap();
        assert!(subject.ensure_unchanged().is_err());
    }

    #[test]
    fn a_place_where_no_file_can_be_made_is_named_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        File::create(&file).unwrap();
        let message = |dir: &Path| Workshop::new(Some(dir)).unwrap_err().to_string();
        assert!(message(&file).ends_with("file: no file can be made there: Not a directory"), "{}", message(&file));
        let none = dir.path().join("none");
        assert!(message(&none).ends_with("No such file or directory"), "{}", message(&none));
        assert!(message(Path::new("/proc")).starts_with("/proc: lives on proc, a pseudo file system"));
    }

    #[test]
    fn more_than_the_disk_holds_is_refused_before_writing() {
        let workshop = Workshop::new(None).unwrap();
        let message = workshop.ensure_space(u64::MAX / 2, "a test").unwrap_err().to_string();
        assert!(message.contains("free, but"), "{message}");
    }

    #[test]
    fn what_a_killed_run_left_is_removed_and_what_is_in_use_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let old = std::time::SystemTime::now() - 2 * YOUNG;
        let make = |name: &str| {
            let path = parent.path().join(format!("{PREFIX}{name}"));
            std::fs::create_dir(&path).unwrap();
            File::open(&path).unwrap().set_modified(old).unwrap();
            path
        };
        let (left, used) = (make("left"), make("used"));
        let held = lock(&used);
        let young = parent.path().join(format!("{PREFIX}young"));
        std::fs::create_dir(&young).unwrap();
        let workshop = Workshop::new(Some(parent.path())).unwrap();
        assert!(!left.exists() && used.exists() && young.exists());
        drop((held, workshop));
    }

    #[test]
    fn a_generated_file_is_removed_with_its_workshop() {
        let workshop = Workshop::new(None).unwrap();
        let dir = workshop.dir().to_owned();
        let subject = Subject::generate(&workshop, "data", 100_000, 4096, 1, &CALM).unwrap();
        assert_eq!(subject.size(), 100_000);
        assert_eq!(digest_of(subject.path(), &CALM).unwrap().1, subject.digest());
        drop(subject);
        drop(workshop);
        assert!(!dir.exists());
    }
}
