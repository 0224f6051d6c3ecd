//! The hostile programs: compiled once, each with what is expected of it on each rung, and what it is given.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use observe::{Launch, Limits, Rung, Stdout};

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/hostile");
const DEADLINE: Duration = Duration::from_millis(1500);

/// One hostile program.
pub struct Program {
    pub name: String,
    pub path: PathBuf,
    expected: Vec<(String, String)>,
}

/// All of them, and the bait that some of them are led to.
pub struct Corpus {
    pub programs: Vec<Program>,
    /// A directory that links planted for the clean-up lead to.
    pub victim: PathBuf,
    listener: TcpListener,
    socket: PathBuf,
    name: String,
    _open: [UnixListener; 2],
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Corpus {
    /// Compiles what is newer than its executable. It stays for the life of the process.
    pub fn compile() -> Result<&'static Corpus, String> {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hostile");
        std::fs::create_dir_all(&place).map_err(text)?;
        let mut sources: Vec<PathBuf> = std::fs::read_dir(SOURCES)
            .map_err(|e| format!("{SOURCES}: {e}"))?
            .flatten()
            .map(|e| e.path())
            .filter(|p| p.extension().is_some_and(|e| e == "rs"))
            .collect();
        sources.sort();
        let programs = sources.iter().map(|source| compile(source, &place)).collect::<Result<_, _>>()?;
        let bait = std::env::temp_dir().join(format!("hostile-bait-{}", std::process::id()));
        let victim = bait.join("victim");
        std::fs::create_dir_all(&victim).map_err(text)?;
        std::fs::write(victim.join("keep"), "kept").map_err(text)?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(text)?;
        let socket = bait.join("socket");
        let _ = std::fs::remove_file(&socket);
        let name = format!("hostile-{}", std::process::id());
        let hidden = SocketAddr::from_abstract_name(&name).map_err(text)?;
        let open = [UnixListener::bind(&socket).map_err(text)?, UnixListener::bind_addr(&hidden).map_err(text)?];
        Ok(Box::leak(Box::new(Corpus { programs, victim, listener, socket, name, _open: open })))
    }

    /// The launch of one program on one rung, recognisable by its mark.
    pub fn launch(&self, program: &Program, rung: Rung, mark: &str) -> Launch {
        let mut launch = Launch::new(&program.path);
        launch.rung = Some(rung);
        // Traced, these make so many calls before they come to the point.
        let long = ["deep_directory", "many_files", "million_mappings", "setuid_binaries"];
        launch.deadline = if long.contains(&program.name.as_str()) { 8 * DEADLINE } else { DEADLINE };
        launch.output_limit = 1 << 20;
        launch.limits = Limits { processes: 64, disk: 64 << 20, memory: 256 << 20, ..Limits::default() };
        launch.env.push((super::leftovers::MARK.into(), mark.into()));
        let arguments: Vec<String> = match program.name.as_str() {
            "reads_secrets" | "writes_elsewhere" => {
                let repository = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
                let solutions = concat!(env!("CARGO_MANIFEST_DIR"), "/../../solutions");
                vec![repository.into(), solutions.into(), SOURCES.into(), shown(&self.victim)]
            }
            "network" => vec![self.listener.local_addr().map_or(22, |a| a.port()).to_string()],
            "unix_sockets" => vec![shown(&self.socket), self.name.clone()],
            "symlinks" => vec![shown(&self.victim)],
            "memory_by_mapping" => vec![(60 << 20).to_string()],
            _ => Vec::new(),
        };
        launch.args = arguments.into_iter().map(Into::into).collect();
        if matches!(program.name.as_str(), "fakes_input" | "terminal_escapes" | "other_terminals") {
            launch.stdout = Stdout::Terminal;
        }
        launch.watch.sources = false;
        launch
    }
}

impl Drop for Corpus {
    fn drop(&mut self) {
        let _ = self.victim.parent().map(std::fs::remove_dir_all);
    }
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn compile(source: &Path, place: &Path) -> Result<Program, String> {
    let name = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let path = place.join(&name);
    let code = std::fs::read_to_string(source).map_err(text)?;
    let modified = |path: &Path| path.metadata().and_then(|m| m.modified()).ok();
    if modified(&path) < modified(source) {
        // Made under another name, so that a compilation in parallel is never seen half done.
        let fresh = place.join(format!("{name}.{}", std::process::id()));
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let mut command = Command::new(rustc);
        command.args(["--edition", "2024", "-C", "opt-level=1", "-C", "strip=symbols", "-o"]).arg(&fresh).arg(source);
        let output = command.output().map_err(|e| format!("rustc: {e}"))?;
        if !output.status.success() {
            return Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr)));
        }
        std::fs::rename(&fresh, &path).map_err(text)?;
    }
    let expected = code.lines().filter_map(expectation).collect();
    Ok(Program { name, path, expected })
}

/// `//! expect: REASON`, or `//! expect K L: REASON` for some rungs only.
fn expectation(line: &str) -> Option<(String, String)> {
    let (rungs, reason) = line.strip_prefix("//! expect")?.split_once(':')?;
    Some((rungs.trim().to_owned(), reason.trim().to_owned()))
}

impl Program {
    /// What it must be reported as.
    pub fn expected(&self, rung: Rung) -> &str {
        let here = |rungs: &str| rungs.is_empty() || rungs.contains(super::letter(rung));
        self.expected.iter().find(|(rungs, _)| here(rungs)).map_or("nothing", |(_, reason)| reason)
    }
}
