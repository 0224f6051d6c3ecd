//! What the observer saw of ordinary programs is what strace sees of them, call by call: for each thread the names of
//! its calls, in their order, with their results.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use libtest_mimic::Trial;
use nix::errno::Errno;
use observe::{Launch, Observation, Observer, Sysno, What};

use super::programs::Programs;

/// A name, and what a shell is told to do in a directory of its own. What goes through a
/// pipe is written at once or read byte by byte: whether a reader finds one write there or two is chance.
const CORPUS: [(&str, &str); 20] = [
    ("list_sort_head", "ls -l / | sort | head -3"),
    ("tar", "mkdir a; echo one >a/one; echo two >a/two; tar cf a.tar a; tar tf a.tar; tar xf a.tar"),
    ("tar_to_tar", "mkdir a b; echo one >a/one; tar cf - -C a . | tar xf - -C b"),
    ("cargo", "$CARGO --version"),
    ("redirections", "echo hello >f; cat <f; cat f f >>g; wc -c <g; rm f g"),
    ("loop_in_a_pipeline", "for n in 1 2 3; do echo $n; done | while read -r n; do echo \"<$n>\"; done"),
    ("substitution", "echo \"$(echo one) $(seq 3 | tail -1)\""),
    ("here_document", "cat <<END\nhello\nEND"),
    ("background_job", "true & wait $!; false || echo failed"),
    ("fifo", "mkfifo f; echo hello >f & cat f; wait"),
    ("counting", "seq 300 | sort -n | uniq -c | wc -l"),
    ("find", "mkdir -p a/b/c; touch a/b/x a/b/c/y; find . -name '[xy]' -exec ls {} +"),
    ("grep_sed", "printf 'a=1\\nb=2\\n' >f; grep -n b f; sed 's/=/: /' f; sed -i 's/1/3/' f; cat f"),
    ("copy_and_move", "echo x >a; cp a b; mv b c; ln -s c d; cat d; ls; rm -r a c d; mkdir e; rmdir e"),
    ("dd", "dd if=/dev/zero of=f bs=1000 count=7 status=none; truncate -s 3 f; od -c f"),
    ("gzip", "seq 100 >f; gzip f; gunzip -c f.gz | tail -1"),
    ("signals", "trap 'echo caught' USR1; kill -USR1 $$; sh -c 'kill -TERM $$'; echo $?"),
    ("awk", "printf '1 2\\n3 4\\n' | awk '{ s += $2 } END { print s }'"),
    ("timeout", "timeout 5 true; timeout 0.05 sleep 5; echo $?"),
    ("python", PYTHON),
];

const PYTHON: &str = "/usr/bin/env -i PATH=/usr/bin:/bin PYTHONHASHSEED=0 python3 -c '
import multiprocessing
def square(n): return n * n
if __name__ == \"__main__\":
    child, parent = multiprocessing.Pipe()
    p = multiprocessing.get_context(\"fork\").Process(target=lambda: child.send(square(7)))
    p.start()
    print(parent.recv())
    p.join()
'";

/// Programs of ours, which use what shells and their commands do not.
const OWN: [&str; 8] = [
    "alarm_wakes_pause",
    "child_sleeps",
    "killed_by_a_sibling",
    "posix_timer",
    "select_with_a_limit",
    "signalfd_for_the_childs_end",
    "socket_with_a_limit",
    "timer_descriptor_in_epoll",
];

/// Pairs of runs, at most: where processes meet by chance, not every run is like another.
const ROUNDS: usize = 12;

/// A thread by its descent: the how-manieth thread or process that the how-manieth … of the first one made.
type Thread = Vec<usize>;

/// What each thread did, a line a call.
type Story = BTreeMap<Thread, Vec<String>>;

pub fn trials(observer: &Observer, programs: &Programs) -> Vec<Trial> {
    let present = Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok_and(|s| s.success());
    if !present {
        println!("Not compared with strace, which is not installed: `apt install strace`, or your system's like.");
    }
    let shell = CORPUS.map(|(name, script)| (name.to_owned(), vec!["bash".to_owned(), "-c".into(), script.into()]));
    let own =
        OWN.map(|name| (name.to_owned(), vec![programs.launch(name).program.display().to_string(), name.to_owned()]));
    let trial = |(name, command): (String, Vec<String>)| {
        let observer = observer.clone();
        Trial::test(format!("strace::{name}_is_seen_alike"), move || Ok(compare(&observer, &command)?))
            .with_ignored_flag(!present)
    };
    shell.into_iter().chain(own).map(trial).collect()
}

fn compare(observer: &Observer, command: &[String]) -> Result<(), String> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(observed(observer, command)?);
        theirs.push(straced(command)?);
        if ours.iter().any(|story| differences(story, &theirs).is_empty()) {
            return Ok(());
        }
    }
    let nearest = ours.iter().map(|story| differences(story, &theirs)).min_by_key(Vec::len).unwrap_or_default();
    Err(format!("in {ROUNDS} runs none was like one of strace's:\n{}", nearest.join("\n")))
}

/// In what one run of ours is like none of strace's: threads are compared singly, as what one does by chance has
/// nothing to do with what another does.
fn differences(ours: &Story, theirs: &[Story]) -> Vec<String> {
    if !theirs.iter().any(|story| story.keys().eq(ours.keys())) {
        let threads: Vec<_> = theirs.iter().map(|story| story.keys().collect::<Vec<_>>()).collect();
        return vec![format!("threads {:?}, and with strace {threads:?}", ours.keys().collect::<Vec<_>>())];
    }
    ours.iter()
        .filter(|(thread, calls)| !theirs.iter().any(|story| story.get(*thread) == Some(*calls)))
        .map(|(thread, calls)| {
            let first = |other: &&Vec<String>| calls.iter().zip(other.iter()).take_while(|(a, b)| a == b).count();
            let nearest = theirs.iter().filter_map(|story| story.get(thread)).max_by_key(first);
            let nearest = nearest.map(Vec::as_slice).unwrap_or_default();
            let from = calls.iter().zip(nearest).take_while(|(a, b)| a == b).count().saturating_sub(2);
            let window = |list: &[String]| list.iter().skip(from).take(8).cloned().collect::<Vec<_>>().join(", ");
            format!("thread {thread:?}, from call {from}:\n  ours   {}\n  strace {}", window(calls), window(nearest))
        })
        .collect()
}

/// A directory to run in, and the command that goes there first.
fn there(command: &[String]) -> Result<(tempfile::TempDir, Vec<String>), String> {
    let directory = tempfile::tempdir().map_err(|e| e.to_string())?;
    // Where cargo lets the loader look has nothing to do with it.
    let enter = "cd \"$0\" && unset LD_LIBRARY_PATH && exec \"$@\"".to_owned();
    let mut words = vec!["sh".to_owned(), "-c".into(), enter, directory.path().display().to_string()];
    words.extend_from_slice(command);
    Ok((directory, words))
}

fn observed(observer: &Observer, command: &[String]) -> Result<Story, String> {
    let (_directory, words) = there(command)?;
    let mut launch = Launch::new("/bin/sh");
    launch.args = words[1..].iter().map(Into::into).collect();
    launch.here = true;
    launch.watch.sources = false;
    let seen = observer.run(&launch).map_err(|e| e.to_string())?;
    Ok(told(&seen))
}

/// The story in an observation.
fn told(seen: &Observation) -> Story {
    let mut calls = Vec::new();
    for event in &seen.events {
        match &event.what {
            What::Called { sysno, result, .. } => {
                let result = match result {
                    Some(Ok(value)) => value.to_string(),
                    Some(Err(errno)) => format!("{:?}", Errno::from_raw(*errno)),
                    None => "?".into(),
                };
                calls.push((event.thread, sysno.name().to_owned(), result));
            }
            What::HandlerReturned => calls.push((event.thread, "rt_sigreturn".into(), "0".into())),
            _ => {}
        }
    }
    story(calls)
}

fn straced(command: &[String]) -> Result<Story, String> {
    let (directory, words) = there(command)?;
    let output = directory.path().with_extension("strace");
    fs::create_dir(&output).map_err(|e| e.to_string())?;
    let mut strace = Command::new("strace");
    strace.args(["-ff", "-qq", "-o"]).arg(output.join("of")).args(&words).stdin(Stdio::null());
    // SAFETY: between fork and exec the closure makes system calls alone; it allocates nothing and takes no lock.
    unsafe { strace.pre_exec(default_signals) };
    let calls = strace.output().and_then(|_| written(&output));
    let _ = fs::remove_dir_all(&output);
    Ok(story(calls.map_err(|e| e.to_string())?))
}

/// As in the box: a shell that is started in the background, and its tests with it, ignores SIGINT and SIGQUIT.
fn default_signals() -> std::io::Result<()> {
    for signal in [libc::SIGINT, libc::SIGQUIT, libc::SIGHUP, libc::SIGTERM] {
        // SAFETY: the default disposition has no handler that could be called.
        if unsafe { libc::signal(signal, libc::SIG_DFL) } == libc::SIG_ERR {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}

/// The calls in strace's files, of which each thread has one.
fn written(folder: &Path) -> std::io::Result<Vec<(i32, String, String)>> {
    let mut calls = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let thread = path.extension().and_then(|e| e.to_str()?.parse().ok()).unwrap_or(0);
        let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
        for (name, rest) in
            text.lines().filter(|l| l.starts_with(char::is_alphabetic)).filter_map(|l| l.split_once('('))
        {
            let result = rest.rsplit_once(" = ").map_or("?", |(_, result)| result);
            let mut words = result.split_ascii_whitespace();
            let result = match (words.next(), words.next()) {
                (Some("-1"), Some(errno)) => errno,
                // The kernel's own errors, which the program does not see: it was interrupted.
                (Some("?"), Some(errno)) if errno.starts_with("ERESTART") => "EINTR",
                (value, _) => value.unwrap_or("?"),
            };
            let result = if name == "umask" { decimal(result) } else { result.to_owned() };
            calls.push((thread, name.to_owned(), result));
        }
    }
    Ok(calls)
}

/// strace writes a mode in octal.
fn decimal(mode: &str) -> String {
    i64::from_str_radix(mode, 8).map_or_else(|_| mode.to_owned(), |number| number.to_string())
}

/// Sorts calls by thread. The threads are told by who made them, as their numbers differ from run to run.
fn story(calls: Vec<(i32, String, String)>) -> Story {
    let made = |name: &str| matches!(name, "clone" | "clone3" | "fork" | "vfork");
    let mut threads: BTreeMap<i32, Vec<(String, String)>> = BTreeMap::new();
    for (thread, name, result) in calls {
        threads.entry(thread).or_default().push((name, result));
    }
    let parents: BTreeMap<i32, (i32, usize)> = threads
        .iter()
        .flat_map(|(parent, calls)| {
            let children = calls.iter().filter(|(name, _)| made(name)).filter_map(|(_, result)| result.parse().ok());
            children.enumerate().map(|(n, child)| (child, (*parent, n)))
        })
        .collect();
    let descent = |thread: i32| {
        let mut line: Thread =
            std::iter::successors(parents.get(&thread), |(parent, _)| parents.get(parent)).map(|(_, n)| *n).collect();
        line.reverse();
        line
    };
    let shown = |(name, result): &(String, String)| {
        let watched = Sysno::named(name).is_some_and(Sysno::is_watched);
        (watched && !by_chance(name)).then(|| match result.parse::<i64>().is_ok() || result.starts_with("0x") {
            true if differs(name) => name.clone(),
            // What the interrupted call had returned is put back.
            _ if name == "rt_sigreturn" => name.clone(),
            _ => format!("{name}={result}"),
        })
    };
    // Its becoming the program is the observer's doing here, and strace's there.
    let first = threads.keys().copied().find(|thread| descent(*thread).is_empty());
    let skip = |thread: i32| usize::from(Some(thread) == first);
    threads.iter().map(|(t, calls)| (descent(*t), calls.iter().skip(skip(*t)).filter_map(shown).collect())).collect()
}

/// Calls that are made or not as threads happen to meet.
fn by_chance(name: &str) -> bool {
    matches!(name, "futex" | "restart_syscall")
}

/// Calls whose results are addresses, or ids of processes.
fn differs(name: &str) -> bool {
    let places = ["mmap", "brk", "mremap", "shmat"];
    let people = ["clone", "clone3", "fork", "vfork", "wait4", "fcntl"];
    places.contains(&name) || people.contains(&name)
}
