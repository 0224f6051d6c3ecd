//! The small programs that are observed: a folder of files, each with a `pub fn main`, compiled into one executable
//! that is told by its first argument which of them to be.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use observe::Launch;

/// A folder of programs, compiled.
#[derive(Clone, Debug)]
pub struct Programs {
    executable: PathBuf,
    folder: PathBuf,
    /// The files' names without their endings, sorted.
    pub names: Vec<String>,
}

/// Whether an ordinary user may serve page faults, of user mode alone.
fn may_serve_faults() -> bool {
    const UFFD_USER_MODE_ONLY: libc::c_int = 1;
    // SAFETY: the call takes a plain number and makes a descriptor that nobody else owns.
    unsafe {
        let fd = libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | UFFD_USER_MODE_ONLY);
        fd >= 0 && libc::close(fd as libc::c_int) == 0
    }
}

/// The root of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace is there")
}

impl Programs {
    /// Compiles a folder with `rustc`, as cargo's dev profile would.
    pub fn compile(folder: &Path) -> Programs {
        let name = folder.file_name().expect("a folder has a name").to_string_lossy().into_owned();
        let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let mut names: Vec<String> = fs::read_dir(folder)
            .expect("the folder of programs")
            .flatten()
            .filter_map(|e| e.file_name().to_str()?.strip_suffix(".rs").map(str::to_owned))
            .collect();
        names.sort();
        let mut source = String::new();
        for program in &names {
            let file = folder.join(format!("{program}.rs"));
            source.push_str(&format!("#[path = {file:?}]\nmod {program};\n"));
        }
        source.push_str("fn main() {\n    match std::env::args().nth(1).as_deref() {\n");
        for program in &names {
            source.push_str(&format!("        Some({program:?}) => {program}::main(),\n"));
        }
        source.push_str("        other => panic!(\"no program {other:?}\"),\n    }\n}\n");
        let list = out.join(format!("{name}.rs"));
        // One executable for each process that compiles, renamed into place: tests may run side by side.
        let fresh = out.join(format!("{name}.{}", std::process::id()));
        let executable = out.join(&name);
        fs::write(&list, source).expect("the list of programs");
        let status = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
            .args(["--edition", "2024", "--cap-lints", "allow", "-C", "debuginfo=line-tables-only", "-o"])
            .arg(&fresh)
            .arg(&list)
            .status()
            .expect("rustc runs");
        assert!(status.success(), "the programs in {} do not compile", folder.display());
        fs::rename(&fresh, &executable).expect("the executable");
        Programs { executable, folder: folder.to_owned(), names }
    }

    /// A launch of one of them.
    pub fn launch(&self, name: &str) -> Launch {
        assert!(self.names.iter().any(|n| n == name), "there is no program {name} in {}", self.folder.display());
        let mut launch = Launch::new(&self.executable);
        launch.name = name.to_owned();
        launch.args.push(name.into());
        launch
    }

    /// The source of one of them.
    pub fn text(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(format!("{name}.rs"))).expect("the program's source")
    }

    /// Whether this machine has what one of them uses.
    pub fn can_run(&self, name: &str) -> bool {
        head(&self.text(name), "needs") != Some("userfaultfd") || may_serve_faults()
    }

    /// Whether one of them uses what only a box with namespaces lets a program use.
    pub fn needs_namespaces(&self, name: &str) -> bool {
        head(&self.text(name), "needs") == Some("namespaces")
    }
}

/// The value of a line `//! key: value`.
pub fn head<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|l| l.strip_prefix("//! ")?.strip_prefix(key)?.strip_prefix(": "))
}

/// The lines that end in this mark, from 1.
pub fn marked(text: &str, mark: &str) -> Vec<u32> {
    (1..).zip(text.lines()).filter(|(_, l)| l.ends_with(mark)).map(|(n, _)| n).collect()
}
