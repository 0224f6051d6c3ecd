//! The specifications checked against themselves.

use std::path::Path;

use crate::{Nonce, Stage, Suite};

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
