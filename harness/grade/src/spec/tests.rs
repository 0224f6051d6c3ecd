//! The specifications checked against themselves.

use std::path::{Path, PathBuf};
use std::time::Duration;

use observe::{Content, Ending, Exit, FileKind, FileLeft, Observation, Output, Process, Rung, Tracing};

use crate::{Nonce, Plan, Run, Stage, Suite};

#[test]
fn every_plan_is_judged_and_every_check_has_a_plan() {
    let suite = Suite::find(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
    for exercise in suite.exercises() {
        let (plans, checks) = (exercise.plans(1), exercise.checks());
        let ids: Vec<&str> = checks.iter().map(|c| c.id).collect();
        for plan in &plans {
            assert!(!plan.checks.is_empty(), "{}: {} is judged by nothing", exercise.name, plan.name);
            for id in &plan.checks {
                assert!(ids.contains(id), "{}: {} is judged by {id}, which is no check", exercise.name, plan.name);
            }
        }
        for id in ids {
            assert!(plans.iter().any(|p| p.checks.contains(&id)), "{}: nothing leads to {id}", exercise.name);
        }
        assert!(plans.iter().any(|p| p.stage == Stage::Plain), "{}", exercise.name);
    }
}

#[test]
fn a_seed_gives_the_same_plans_again() {
    let suite = Suite::find(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
    for exercise in suite.exercises() {
        let shown = |seed| format!("{:?}", exercise.plans(seed));
        assert_eq!(shown(3), shown(3), "{}", exercise.name);
        let demo = |seed| format!("{:?}", ((exercise.spec)().demo)(&mut Nonce::new(seed)));
        assert_eq!(demo(3), demo(3), "{}", exercise.name);
    }
}

/// What a submission may leave: bytes of all kinds, and those that lead anywhere when they are taken for tables.
fn images(nonce: &mut Nonce) -> Vec<Vec<u8>> {
    let frames = nonce.number(1, 12);
    let mut entries = |flags: u64| -> Vec<u8> {
        let entry = |nonce: &mut Nonce| nonce.number(0, frames - 1) << 12 | nonce.bits() & flags;
        (0..frames * 512).flat_map(|_| entry(nonce).to_le_bytes()).collect()
    };
    let (tables, odd_tables) = (entries(0b111), entries(1 << 63 | 0xfff));
    let len = nonce.number(1, 20_000) as usize;
    let sized = nonce.number(1, 200).to_le_bytes().repeat(500);
    vec![Vec::new(), nonce.bytes(len), vec![0xff; 10_000], tables, odd_tables, sized]
}

/// What the plan's program reads, and what it is to print, with a few bits changed and maybe the end cut off: nearly
/// right, so that it is believed for a while.
fn nearly_right(nonce: &mut Nonce, plan: &Plan) -> Vec<Vec<u8>> {
    let read = plan.launch.files.iter().filter_map(|file| match &file.content {
        Content::Bytes(bytes) if bytes.len() < 1 << 18 => Some(bytes),
        _ => None,
    });
    let known = read.chain(&plan.expect.stdout).filter(|bytes| !bytes.is_empty());
    let spoilt = known.map(|bytes| {
        let mut bytes = bytes.clone();
        for _ in 0..nonce.number(1, 6) {
            let at = nonce.number(0, bytes.len() as u64 - 1) as usize;
            bytes[at] ^= 1 << nonce.number(0, 7);
        }
        if nonce.number(0, 2) == 0 {
            bytes.truncate(nonce.number(0, bytes.len() as u64) as usize);
        }
        bytes
    });
    spoilt.collect()
}

/// A run that ended well and left these bytes wherever a program may leave any.
fn left(plan: &Plan, bytes: &[u8]) -> Observation {
    let names =
        plan.launch.args.iter().map(PathBuf::from).chain(plan.launch.files.iter().map(|file| file.path.clone()));
    let file = |path| FileLeft {
        path,
        kind: FileKind::File,
        mode: 0o644,
        len: bytes.len() as u64,
        inode: 1,
        bytes: bytes.to_vec(),
    };
    let output = Output { bytes: bytes.to_vec(), total: bytes.len() as u64, ..Output::default() };
    Observation { stdout: output.clone(), stderr: output, files: names.map(file).collect(), ..nothing() }
}

fn nothing() -> Observation {
    let root = Process {
        pid: 10,
        parent: None,
        started: Duration::ZERO,
        ended: Some(Duration::ZERO),
        exit: Some(Exit::Code(0)),
        reaped: true,
        killed: false,
        cpu: Duration::ZERO,
        cpu_while_alone: Duration::ZERO,
        reads: 0,
        writes: 0,
        minor_faults: 0,
        major_faults: 0,
        open_at_exit: Vec::new(),
    };
    Observation {
        ending: Ending::Ended(Exit::Code(0)),
        stdout: Output::default(),
        stderr: Output::default(),
        processes: vec![root],
        events: Vec::new(),
        objects: Vec::new(),
        files: Vec::new(),
        survivors: Vec::new(),
        hang: None,
        fifo_bytes: Vec::new(),
        actions_done: 0,
        faults_hit: Vec::new(),
        wall: Duration::ZERO,
        gone: Duration::ZERO,
        left_out: Vec::new(),
        starved: Duration::ZERO,
        cpu: Duration::ZERO,
        tracing: Tracing::On,
        rung: Rung::F,
        rung_reason: None,
        over_limit: None,
        truncated: false,
    }
}

#[test]
fn any_bytes_that_a_program_leaves_have_a_verdict() {
    let suite = Suite::find(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
    let mut nonce = Nonce::new(6);
    for exercise in suite.exercises() {
        let (checks, demo) = (exercise.checks(), ((exercise.spec)().demo)(&mut nonce));
        for plan in exercise.plans(nonce.bits()).into_iter().chain([demo]) {
            for bytes in images(&mut nonce).into_iter().chain(nearly_right(&mut nonce, &plan)) {
                let seen = left(&plan, &bytes);
                let _lines = plan.drawing.map(|draw| draw(&plan, &seen));
                let run = Run { plan: &plan, seen: &seen, baseline: Some(&seen), sometimes_right: true };
                for check in checks.iter().filter(|check| plan.checks.contains(&check.id)) {
                    let _finding = (check.judge)(&run);
                }
            }
        }
    }
}
