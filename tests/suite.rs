//! The suite looks at itself: nothing missing, nothing stray, nothing that means two things.

mod fixture;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use grade::{Exercise, Suite, Tree};

fn suite() -> Suite {
    Suite::find(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// Runs `find` on every exercise and fails with all that it has to complain of.
fn complain(find: impl Fn(&Suite, &Exercise) -> Vec<String>) {
    let suite = suite();
    let complaints: Vec<String> = suite
        .exercises()
        .iter()
        .flat_map(|exercise| find(&suite, exercise).into_iter().map(|words| format!("{}: {words}", exercise.name)))
        .collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn every_exercise_has_a_stub_and_a_different_solution() {
    complain(|_, exercise| {
        let stub = fs::read_to_string(exercise.stub_path());
        let solution = fs::read_to_string(exercise.solution_path());
        match (stub, solution) {
            (Ok(stub), Ok(solution)) if stub == solution => vec!["the stub is the solution".into()],
            (Ok(_), Ok(_)) => Vec::new(),
            (stub, solution) => vec![format!("stub {:?}, solution {:?}", stub.err(), solution.err())],
        }
    });
}

#[test]
fn every_stub_and_solution_begins_with_what_it_is_about() {
    complain(|_, exercise| {
        [Tree::Exercises, Tree::Solutions]
            .into_iter()
            .filter(|tree| {
                let text = fs::read_to_string(exercise.path_in(*tree)).unwrap_or_default();
                !text.starts_with("//!")
            })
            .map(|tree| format!("{} does not begin with //!", tree.folder()))
            .collect()
    });
}

#[test]
fn every_exercise_has_three_hints() {
    complain(|_, exercise| match exercise.hints() {
        Ok(hints) if hints.len() == 3 && hints.iter().all(|hint| !hint.trim().is_empty()) => Vec::new(),
        Ok(hints) => vec![format!("{} hints", hints.len())],
        Err(error) => vec![error.to_string()],
    });
}

#[test]
fn every_lesson_names_its_exercises() {
    complain(|_, exercise| match fs::read_to_string(exercise.lesson_path()) {
        Ok(text) if text.contains(exercise.name) => Vec::new(),
        Ok(_) => vec![format!("{} does not name it", exercise.lesson_path().display())],
        Err(error) => vec![format!("{}: {error}", exercise.lesson_path().display())],
    });
}

#[test]
fn every_lesson_shows_a_run_of_one_of_its_exercises() {
    complain(|suite, exercise| {
        let lesson = fs::read_to_string(exercise.lesson_path()).unwrap_or_default();
        let pictures: Vec<&str> =
            lesson.match_indices(".svg)").filter_map(|(end, _)| lesson[..end].rsplit("](").next()).collect();
        let module = |name: &&&str| suite.exercises().iter().any(|e| e.name == **name && e.module == exercise.module);
        let drawn = |name: &&&str| {
            let text =
                fs::read_to_string(exercise.lesson_path().with_file_name(format!("{name}.svg"))).unwrap_or_default();
            text.starts_with("<svg") && text.contains(**name)
        };
        match pictures.iter().filter(module).filter(drawn).count() {
            0 => vec!["its lesson shows no picture of a run; see `dev pictures`".into()],
            shown if shown < pictures.len() => vec!["its lesson shows a picture of something else".into()],
            _ => Vec::new(),
        }
    });
}

#[test]
fn every_exercise_has_wrong_and_right_submissions() {
    complain(|suite, exercise| {
        let wrong = fixture::all(suite.root(), "wrong", exercise.name).len();
        let right = fixture::all(suite.root(), "right", exercise.name).len();
        if wrong >= 4 && right >= 2 { Vec::new() } else { vec![format!("{wrong} wrong, {right} right")] }
    });
}

#[test]
fn every_wrong_submission_says_what_must_catch_it() {
    complain(|suite, exercise| {
        let ids: Vec<&str> = exercise.checks().iter().map(|check| check.id).collect();
        let mut complaints = Vec::new();
        for fixture in fixture::all(suite.root(), "wrong", exercise.name) {
            if fixture.catches.is_empty() {
                complaints.push(format!("{}: no catches: line", fixture.name));
            }
            if fixture.words.is_none() {
                complaints.push(format!("{}: no line in a teacher's words", fixture.name));
            }
            for id in fixture.catches.iter().filter(|id| !ids.contains(&id.as_str())) {
                complaints.push(format!("{}: there is no check {id}", fixture.name));
            }
        }
        complaints
    });
}

#[test]
fn every_right_submission_says_what_is_unusual() {
    complain(|suite, exercise| {
        fixture::all(suite.root(), "right", exercise.name)
            .into_iter()
            .filter(|fixture| fixture.words.is_none() || !fixture.catches.is_empty())
            .map(|fixture| format!("{}: begins otherwise", fixture.name))
            .collect()
    });
}

/// The kernel cannot tell how a program was written, and no check may: each module shows that on file.
#[test]
fn every_module_has_a_right_submission_in_each_way_of_writing() {
    let suite = suite();
    let mut written: BTreeMap<&str, BTreeSet<Writing>> = BTreeMap::new();
    for exercise in suite.exercises() {
        let ways = written.entry(exercise.module.folder).or_default();
        for right in fixture::all(suite.root(), "right", exercise.name) {
            ways.extend(writings(&right.path));
        }
    }
    let all = BTreeSet::from([Writing::RawLibc, Writing::Nix, Writing::Standard, Writing::C]);
    for (module, ways) in written.iter().filter(|(module, _)| PROGRAMS_OF_THE_KERNEL.contains(module)) {
        assert_eq!(*ways, all, "{module}");
    }
}

/// The modules whose programs are about system calls.
const PROGRAMS_OF_THE_KERNEL: &[&str] =
    &["03_mmap", "04_fork", "05_pipes", "06_stdio", "07_fifos", "08_signals", "09_io"];

/// What a submission makes its system calls with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Writing {
    RawLibc,
    Nix,
    /// The standard library or memmap2, and others only for what neither of them has.
    Standard,
    C,
}

/// What neither the standard library nor memmap2 has.
const WITHOUT_COUNTERPART: &[&str] =
    &["fork", "ForkResult", "Pid", "_exit", "waitpid", "mkfifo", "Mode", "kill", "signal", "sigaction", "raise"];

fn writings(path: &Path) -> BTreeSet<Writing> {
    if path.extension().is_some_and(|kind| kind == "c") {
        return BTreeSet::from([Writing::C]);
    }
    let text = fs::read_to_string(path).unwrap();
    let own = |name: &str| !WITHOUT_COUNTERPART.contains(&name);
    let mut ways = BTreeSet::new();
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let calls = text.split("libc::").skip(1).filter_map(|rest| {
        let (name, after) = rest.split_at(rest.find(|letter| !is_name(letter))?);
        (after.starts_with('(') && name.starts_with(|letter: char| letter.is_ascii_lowercase() || letter == '_'))
            .then_some(name)
    });
    if calls.into_iter().any(own) {
        ways.insert(Writing::RawLibc);
    }
    let imports = text.split("use nix::").skip(1).filter_map(|rest| rest.split(';').next());
    let foreign = |import: &str| {
        let about_ends = ["errno", "sys::wait", "sys::signal"].iter().any(|module| import.starts_with(module));
        let names = import.rsplit("::").next().unwrap_or(import).trim_matches(['{', '}']);
        !about_ends && names.split(',').any(|name| own(name.trim()))
    };
    if imports.into_iter().any(foreign) {
        ways.insert(Writing::Nix);
    }
    if ways.is_empty() || text.contains("memmap2::") {
        ways.insert(Writing::Standard);
    }
    ways
}

#[test]
fn every_check_has_one_id_and_a_title() {
    complain(|_, exercise| {
        let checks = exercise.checks();
        let ids: BTreeSet<&str> = checks.iter().map(|check| check.id).collect();
        let mut complaints = Vec::new();
        if ids.len() != checks.len() {
            complaints.push("two checks of one id".to_owned());
        }
        complaints.extend(checks.iter().filter(|c| c.title.trim().is_empty()).map(|c| format!("{}: no title", c.id)));
        complaints
    });
}

#[test]
fn every_plan_asks_for_checks_that_exist_and_every_check_is_asked_for() {
    complain(|_, exercise| {
        let ids: BTreeSet<&str> = exercise.checks().iter().map(|check| check.id).collect();
        let asked: BTreeSet<&str> = exercise.plans(1).iter().flat_map(|plan| plan.checks.clone()).collect();
        let unknown = asked.difference(&ids).map(|id| format!("a plan asks for {id}, which is no check"));
        let idle = ids.difference(&asked).map(|id| format!("no plan asks for {id}"));
        unknown.chain(idle).collect()
    });
}

#[test]
fn names_mean_one_exercise_each() {
    let suite = suite();
    let mut names = BTreeSet::new();
    for exercise in suite.exercises() {
        assert!(names.insert(exercise.name.to_owned()), "two exercises are called {}", exercise.name);
        assert!(names.insert(exercise.path_name()), "two exercises are at {}", exercise.path_name());
    }
}

#[test]
fn both_manifests_list_every_program_and_no_other() {
    let suite = suite();
    for tree in [Tree::Exercises, Tree::Solutions] {
        let folder = suite.root().join(tree.folder());
        let manifest: toml::Table = fs::read_to_string(folder.join("Cargo.toml")).unwrap().parse().unwrap();
        let field = |bin: &toml::Value, name: &str| bin[name].as_str().unwrap().to_owned();
        let listed: BTreeSet<(String, PathBuf)> = manifest["bin"]
            .as_array()
            .unwrap()
            .iter()
            .map(|bin| (field(bin, "name"), PathBuf::from(field(bin, "path"))))
            .collect();
        let wanted: BTreeSet<(String, PathBuf)> =
            suite.exercises().iter().map(|exercise| (exercise.name.to_owned(), exercise.relative_path())).collect();
        assert_eq!(listed, wanted, "{}/Cargo.toml", tree.folder());
    }
}

/// Blocks of the page are marked with the file that they are of: ```rust solutions/05_pipes/count.rs
#[test]
fn the_page_on_adding_an_exercise_shows_what_is_in_the_tree() {
    let suite = suite();
    let page = fs::read_to_string(suite.root().join("docs/adding-an-exercise.md")).unwrap();
    let mut shown = 0;
    for block in page.split("\n```").skip(1).step_by(2) {
        let (head, text) = block.split_once('\n').unwrap();
        let Some((_, path)) = head.split_once(' ') else { continue };
        let file = fs::read_to_string(suite.root().join(path)).unwrap();
        assert!(file.contains(text), "{path} has no longer:\n{text}");
        shown += 1;
    }
    assert_eq!(shown, 7);
}

#[test]
fn nothing_stray_lies_among_the_exercises() {
    let suite = suite();
    let mut stray = Vec::new();
    for tree in [Tree::Exercises, Tree::Solutions] {
        let wanted: BTreeSet<PathBuf> = suite.exercises().iter().map(|exercise| exercise.path_in(tree)).collect();
        stray.extend(
            files_under(&suite.root().join(tree.folder())).into_iter().filter(|path| {
                path.extension().is_some_and(|kind| kind == "rs" || kind == "c") && !wanted.contains(path)
            }),
        );
    }
    for kind in ["wrong", "right", "cheats"] {
        let folder = suite.root().join("fixtures/submissions").join(kind);
        let wanted: BTreeSet<PathBuf> =
            suite.exercises().iter().flat_map(|e| fixture::all(suite.root(), kind, e.name)).map(|f| f.path).collect();
        stray.extend(files_under(&folder).into_iter().filter(|path| !wanted.contains(path)));
    }
    assert!(stray.is_empty(), "{stray:#?}");
}

fn files_under(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() { files.extend(files_under(&path)) } else { files.push(path) }
    }
    files
}
