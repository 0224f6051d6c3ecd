//! The libraries that a program may use, built once by cargo, and the rustc that links them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::lifeline;
use crate::GradeError;

/// rustc and the libraries of one package of the workspace.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Externs {
    rustc: PathBuf,
    /// Crate name and rlib.
    libraries: BTreeMap<String, PathBuf>,
    search: PathBuf,
    edition: String,
    /// Changes when anything does that the executable depends on, but for its source.
    pub fingerprint: String,
}

impl Externs {
    /// What is known of `package` from an earlier time, or what cargo says now.
    pub fn learn(root: &Path, build_dir: &Path, package: &str) -> Result<Externs, GradeError> {
        let fingerprint = fingerprint(root, package);
        let notes = build_dir.join(format!("externs-{package}-{fingerprint}.json"));
        let noted = std::fs::read(&notes).ok().and_then(|bytes| serde_json::from_slice::<Externs>(&bytes).ok());
        if let Some(externs) = noted.filter(Externs::is_there) {
            return Ok(externs);
        }
        let externs = Externs::build(root, build_dir, package, fingerprint)?;
        let text = serde_json::to_vec_pretty(&externs).map_err(|e| GradeError::suite("write", &notes, e))?;
        let draft = notes.with_extension(format!("{}.tmp", std::process::id()));
        std::fs::write(&draft, text)
            .and_then(|()| std::fs::rename(&draft, &notes))
            .map_err(|e| GradeError::suite("write", &notes, e))?;
        Ok(externs)
    }

    /// rustc with everything but the source and the output.
    pub fn rustc(&self, crate_name: &str) -> Command {
        let mut rustc = Command::new(&self.rustc);
        clean(&mut rustc);
        // As in the workspace's dev profile: line tables are what a source line in a verdict needs.
        rustc.args(["--edition", &self.edition, "--crate-name", crate_name, "--crate-type", "bin"]);
        rustc.args(["-C", "debuginfo=line-tables-only"]);
        rustc.arg("-L").arg(prefixed("dependency=", &self.search));
        for (name, path) in &self.libraries {
            rustc.arg("--extern").arg(prefixed(&format!("{name}="), path));
        }
        rustc
    }

    /// What it reads beside the source: its own installation, and every library (but no program built beside them).
    pub fn files(&self) -> Vec<PathBuf> {
        let is_library = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "rlib" || kind == "rmeta");
        let beside = std::fs::read_dir(&self.search).into_iter().flatten().flatten().map(|entry| entry.path());
        let installation = self.rustc.parent().and_then(Path::parent).map(Path::to_path_buf);
        beside.filter(is_library).chain(installation).collect()
    }

    /// The directory in which it looks for libraries.
    pub fn search(&self) -> PathBuf {
        self.search.clone()
    }

    fn is_there(&self) -> bool {
        self.rustc.is_file() && self.libraries.values().all(|path| path.is_file())
    }

    fn build(root: &Path, build_dir: &Path, package: &str, fingerprint: String) -> Result<Externs, GradeError> {
        let manifest = Manifest::read(root, package)?;
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        clean(&mut cargo);
        cargo.current_dir(root).args(["build", "--quiet", "--message-format=json", "-p", package, "--bin"]);
        cargo.arg(&manifest.first_bin).arg("--target-dir").arg(build_dir.join("libraries"));
        let broken = |e: std::io::Error| GradeError::Toolchain(format!("cargo cannot be run: {e}"));
        let _lifeline = lifeline::tie(&mut cargo).map_err(broken)?;
        let output = cargo.output().map_err(broken)?;
        let libraries = libraries(&output.stdout, &manifest.dependencies);
        // Whether the program itself compiled does not matter here, only what it depends on.
        let complete = libraries.len() == manifest.dependencies.len();
        let search = libraries.values().next().and_then(|path| path.parent()).map(Path::to_path_buf);
        let Some(search) = search.filter(|_| complete) else {
            let message = String::from_utf8_lossy(&output.stderr);
            let report = format!("cargo cannot build the libraries of `{package}`:\n{message}");
            return Err(GradeError::Toolchain(report));
        };
        Ok(Externs { rustc: rustc_path(root)?, libraries, search, edition: manifest.edition, fingerprint })
    }
}

/// The few lines of a package's manifest that matter here.
struct Manifest {
    dependencies: Vec<String>,
    first_bin: String,
    edition: String,
}

impl Manifest {
    fn read(root: &Path, package: &str) -> Result<Manifest, GradeError> {
        let table = |path: &Path| -> Result<toml::Table, GradeError> {
            let text = std::fs::read_to_string(path).map_err(|e| GradeError::suite("read", path, e))?;
            text.parse().map_err(|e| GradeError::suite("understand", path, e))
        };
        let path = root.join(package).join("Cargo.toml");
        let own = table(&path)?;
        let workspace = table(&root.join("Cargo.toml"))?;
        let edition = |t: &toml::Table| t.get("package")?.get("edition")?.as_str().map(str::to_string);
        let inherited = workspace.get("workspace").and_then(|w| w.as_table()).and_then(edition);
        let bins = own.get("bin").and_then(|b| b.as_array());
        let first_bin = bins.and_then(|b| b.first()?.get("name")?.as_str().map(str::to_string));
        let names = own.get("dependencies").and_then(|d| d.as_table()).map(|d| d.keys().cloned().collect());
        Ok(Manifest {
            dependencies: names.unwrap_or_default(),
            first_bin: first_bin.ok_or_else(|| GradeError::suite("understand", &path, "it lists no program"))?,
            edition: edition(&own).or(inherited).unwrap_or_else(|| "2024".into()),
        })
    }
}

/// The rlibs of these packages among cargo's messages.
fn libraries(messages: &[u8], wanted: &[String]) -> BTreeMap<String, PathBuf> {
    #[derive(Deserialize)]
    struct Target {
        name: String,
    }
    #[derive(Deserialize)]
    struct Artifact {
        target: Target,
        filenames: Vec<PathBuf>,
    }
    let wanted: Vec<String> = wanted.iter().map(|name| name.replace('-', "_")).collect();
    messages
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Artifact>(line).ok())
        .filter_map(|artifact| {
            let name = artifact.target.name.replace('-', "_");
            let rlib = artifact.filenames.into_iter().find(|path| path.extension().is_some_and(|e| e == "rlib"))?;
            wanted.contains(&name).then_some((name, rlib))
        })
        .collect()
}

/// The real rustc behind a toolchain manager's stand-in, which would cost each compilation some milliseconds.
fn rustc_path(root: &Path) -> Result<PathBuf, GradeError> {
    let mut rustc = Command::new("rustc");
    clean(&mut rustc);
    let output = rustc
        .current_dir(root)
        .args(["--print", "sysroot"])
        .output()
        .map_err(|e| GradeError::Toolchain(format!("rustc cannot be run: {e}")))?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let inside = sysroot.join("bin/rustc");
    Ok(if inside.is_file() { inside } else { "rustc".into() })
}

/// Takes out of the environment what an outer cargo put into it for its own program: it would make the inner one
/// build everything anew.
fn clean(command: &mut Command) {
    let kept = |name: &str| name == "CARGO_HOME" || name.starts_with("CARGO_NET") || name.starts_with("CARGO_HTTP");
    let foreign = |name: &str| {
        (name.starts_with("CARGO") && !kept(name))
            || (name.starts_with("RUST") && !name.starts_with("RUSTUP"))
            || ["MAKEFLAGS", "MFLAGS", "LD_LIBRARY_PATH", "OUT_DIR"].contains(&name)
    };
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(foreign) {
            command.env_remove(&name);
        }
    }
}

fn fingerprint(root: &Path, package: &str) -> String {
    let mut hash = Sha256::new();
    for name in ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "rust-toolchain", &format!("{package}/Cargo.toml")]
    {
        hash.update(name);
        hash.update(std::fs::read(root.join(name)).unwrap_or_default());
    }
    hash.update(std::env::var("RUSTUP_TOOLCHAIN").unwrap_or_default());
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn prefixed(prefix: &str, path: &Path) -> std::ffi::OsString {
    let mut text = std::ffi::OsString::from(prefix);
    text.push(path);
    text
}
