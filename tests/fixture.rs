//! Submissions on file: wrong ones with what must catch them, and unusual right ones.

use std::path::{Path, PathBuf};

/// One file of `fixtures/submissions/{wrong,right}/EXERCISE/`.
#[derive(Debug)]
pub struct Fixture {
    /// Its file.
    pub path: PathBuf,
    /// The file's name without its ending.
    pub name: String,
    /// Ids of the checks that must fail, from the `//! catches:` lines.
    pub catches: Vec<String>,
    /// The line in a teacher's words.
    #[allow(dead_code, reason = "read by the suite's own tests, not by the grading ones")]
    pub words: Option<String>,
}

/// The fixtures of a kind for one exercise, by name.
pub fn all(root: &Path, kind: &str, exercise: &str) -> Vec<Fixture> {
    let directory = root.join("fixtures/submissions").join(kind).join(exercise);
    let mut fixtures: Vec<Fixture> = std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "rs" || kind == "c"))
        .map(read)
        .collect();
    fixtures.sort_by(|a, b| a.name.cmp(&b.name));
    fixtures
}

fn read(path: PathBuf) -> Fixture {
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let head: Vec<&str> = text.lines().map_while(comment).collect();
    let catches = head
        .iter()
        .filter_map(|line| line.strip_prefix("catches:"))
        .flat_map(|ids| ids.split([',', ' ']))
        .filter(|id| !id.is_empty())
        .map(str::to_owned)
        .collect();
    let words =
        head.iter().find(|line| !line.is_empty() && !line.starts_with("catches:")).map(|line| (*line).to_owned());
    let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Fixture { path, name, catches, words }
}

/// The text of a comment line: `//! …`, `// …`, and in C `/* … */`.
fn comment(line: &str) -> Option<&str> {
    let text = line.trim().strip_prefix("//!").or_else(|| line.trim().strip_prefix("//"));
    let text = text.or_else(|| line.trim().strip_prefix("/*").map(|text| text.trim_end_matches("*/")));
    text.map(str::trim)
}
