//! The program under test, built once, and suites of its own to spoil.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use assert_cmd::assert::OutputAssertExt;
use serde_json::Value;
use tempfile::TempDir;

/// The suite's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The binary, as cargo builds it in this profile.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(root()).args(["build", "--quiet", "-p", "syslings", "--message-format=json"]);
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        let output = cargo.stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success(), "syslings does not build");
        let executable = |line: &str| {
            let message: Value = serde_json::from_str(line).ok()?;
            Some(PathBuf::from(message["executable"].as_str()?))
        };
        String::from_utf8(output.stdout).unwrap().lines().rev().find_map(executable).unwrap()
    })
}

/// `syslings` in the suite's root, with nothing of the test's own environment that changes what it shows.
pub fn syslings(arguments: &[&str]) -> Command {
    in_directory(root(), arguments)
}

/// `syslings` in another directory.
pub fn in_directory(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.current_dir(directory).args(arguments).stdin(Stdio::null());
    // What was compiled for one suite serves its copies.
    command.env("CARGO_TARGET_DIR", binary().parent().and_then(Path::parent).unwrap());
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLORTERM", "SYSLINGS_ROOT"] {
        command.env_remove(name);
    }
    command
}

/// What it prints, with the exit status that it must have.
pub fn prints(command: &mut Command, status: i32) -> String {
    let output = command.assert().code(status).get_output().clone();
    String::from_utf8(output.stdout).unwrap()
}

/// What it says on standard error, with the exit status that it must have.
pub fn complains(command: &mut Command, status: i32) -> String {
    let output = command.assert().code(status).get_output().clone();
    String::from_utf8(output.stderr).unwrap()
}

/// What it prints, as JSON.
pub fn json(command: &mut Command, status: i32) -> Value {
    serde_json::from_str(&prints(command, status)).unwrap()
}

/// A file of fixtures.
pub fn fixture(kind: &str, exercise: &str, name: &str) -> String {
    format!("fixtures/submissions/{kind}/{exercise}/{name}")
}

/// A suite as freshly cloned, in a directory of its own. The stubs are as they are handed out.
pub fn fresh_suite() -> TempDir {
    let copy = tempfile::Builder::new().prefix("suite-").tempdir().unwrap();
    copy_tree(root(), copy.path());
    let pristine = root().join("harness/grade/pristine");
    copy_tree(&pristine, &copy.path().join("exercises"));
    copy
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if ["target", ".git", ".syslings"].iter().any(|skipped| name == *skipped) {
            continue;
        }
        let (from, to) = (entry.path(), to.join(name));
        if from.is_dir() {
            copy_tree(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap();
        }
    }
}
