//! The hostile programs: compiled once, each with what is expected of it on each rung, and what it is given.
//!
//! Each is a file that can be compiled and run alone. Here they are modules of one executable, which looks at its own
//! name to know which of them to be: that is compiled in a fiftieth of the time.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use observe::{Launch, Limits, Rung, Stdout};

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/hostile");
/// For programs that do nothing until they are killed.
const DEADLINE: Duration = Duration::from_secs(1);
/// For those that come to an end before, on any machine.
const LONG: Duration = Duration::from_secs(120);

/// How the bait's directory is called, before the number of the process that has laid it.
pub const BAIT: &str = "hostile-bait-";

/// Removes the bait of those that were killed.
fn sweep() {
    for entry in std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(BAIT)?.parse::<u32>().ok());
        if owner.is_some_and(|owner| !Path::new(&format!("/proc/{owner}")).exists()) {
            // Another user's stays.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// One hostile program.
pub struct Program {
    pub name: String,
    pub path: PathBuf,
    code: String,
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
    /// Compiles the programs, if they are newer than the executable. It stays for the life of the process.
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
        let programs: Vec<Program> = sources.iter().map(|source| read(source, &place)).collect::<Result<_, _>>()?;
        compile(&sources, &programs, &place)?;
        sweep();
        let bait = std::env::temp_dir().join(format!("{BAIT}{}", std::process::id()));
        let victim = bait.join("victim");
        std::fs::create_dir_all(&victim).map_err(text)?;
        std::fs::write(victim.join("keep"), "kept").map_err(text)?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(text)?;
        let socket = bait.join("socket");
        let _ = std::fs::remove_file(&socket);
        let name = format!("{BAIT}{}", std::process::id());
        let hidden = SocketAddr::from_abstract_name(&name).map_err(text)?;
        let open = [UnixListener::bind(&socket).map_err(text)?, UnixListener::bind_addr(&hidden).map_err(text)?];
        Ok(Box::leak(Box::new(Corpus { programs, victim, listener, socket, name, _open: open })))
    }

    /// Removes the bait.
    pub fn put_away(&self) {
        let _ = self.victim.parent().map(std::fs::remove_dir_all);
    }

    /// The launch of one program on one rung, recognisable by its mark.
    pub fn launch(&self, program: &Program, rung: Rung, mark: &str) -> Launch {
        let mut launch = Launch::new(&program.path);
        launch.rung = Some(rung);
        launch.deadline = if program.expected(rung).starts_with("hung") { DEADLINE } else { LONG };
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
            "symlinks" | "swaps_directories" => vec![shown(&self.victim)],
            "deep_directory" => vec!["1000".to_owned()],
            "memory_by_mapping" => vec![(60 << 20).to_string()],
            _ => Vec::new(),
        };
        launch.args = arguments.into_iter().map(Into::into).collect();
        if matches!(program.name.as_str(), "fakes_input" | "terminal_escapes" | "other_terminals") {
            launch.stdout = Stdout::Terminal;
        }
        launch.limits.files = 2000;
        if program.name == "million_mappings" {
            launch.limits.address_space = 64 << 20;
        }
        launch.watch.sources = false;
        launch
    }

    /// The same with room, and orders, for what takes seconds.
    pub fn enlarge(&self, program: &Program, launch: &mut Launch) {
        let Limits { files, address_space, .. } = Limits::default();
        launch.limits = Limits { files, address_space, ..launch.limits };
        if program.name == "deep_directory" {
            launch.args = vec!["10000".into()];
        }
    }
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn read(source: &Path, place: &Path) -> Result<Program, String> {
    let name = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let code = std::fs::read_to_string(source).map_err(text)?;
    let expected = code.lines().filter_map(expectation).collect();
    Ok(Program { path: place.join(&name), name, code, expected })
}

fn compile(sources: &[PathBuf], programs: &[Program], place: &Path) -> Result<(), String> {
    let all = place.join("all");
    let modified = |path: &Path| path.metadata().and_then(|m| m.modified()).ok();
    let newest = sources.iter().filter_map(|source| modified(source)).max();
    if modified(&all) >= newest && programs.iter().all(|program| program.path.exists()) {
        return Ok(());
    }
    // Made under other names, so that a compilation in parallel is never seen half done.
    let fresh = tempfile::tempdir_in(place).map_err(text)?;
    let (source, executable) = (fresh.path().join("all.rs"), fresh.path().join("all"));
    std::fs::write(&source, together(programs)).map_err(text)?;
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(rustc);
    command.args(["--edition", "2024", "--cap-lints", "allow", "-C", "opt-level=1", "-C", "strip=symbols", "-o"]);
    let output = command.arg(&executable).arg(&source).output().map_err(|e| format!("rustc: {e}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    for program in programs {
        let link = fresh.path().join(&program.name);
        std::fs::hard_link(&executable, &link).map_err(text)?;
        std::fs::rename(&link, &program.path).map_err(text)?;
    }
    std::fs::rename(&executable, &all).map_err(text)
}

/// All of them as one program.
fn together(programs: &[Program]) -> String {
    let module = |p: &Program| format!("mod {} {{\n{}\n}}\n", p.name, p.code.replace("fn main()", "pub fn main()"));
    let modules = programs.iter().map(module);
    let arms = programs.iter().map(|p| format!("        Some({:?}) => {}::main(),\n", p.name, p.name));
    let (modules, arms): (String, String) = (modules.collect(), arms.collect());
    format!(
        "{modules}fn main() {{\n    let name = std::env::args().next().unwrap_or_default();\n    match name.rsplit('/').next() {{\n{arms}        _ => panic!(\"{{name}}\"),\n    }}\n}}\n"
    )
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
