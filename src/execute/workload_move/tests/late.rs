//! Claims about pods that use the claims when some of them are exchanged already.

use super::*;

/// Goes on until the first claim was deleted and a pod, which came just before, uses it.
fn lingering() -> World {
    let mut world = World::new();
    while !world.claims["data-0"].going {
        assert!(!world.step());
        if !world.claims["data-0"].going {
            world.lives();
        }
    }
    world.visitor = true;
    world
}

/// Looks and moments of everybody.
fn goes_on(world: &mut World, steps: usize) {
    for _ in 0..steps {
        assert!(!world.step());
        world.lives();
    }
}

#[test]
fn what_is_written_to_a_claim_that_lingers_is_copied_again_broken_off_anywhere() {
    let mut first = lingering();
    goes_on(&mut first, 5);
    assert!(first.claims["data-0"].going, "its pod keeps it");
    *first.data.get_mut("old-0").unwrap() += " written late";
    first.visitor = false;
    first.writes = 0;
    let all = first.clone().ended();
    for place in 0..2 * all.writes {
        let mut world = first.clone();
        world.dies_in = Some(place);
        let world = world.ended();
        let what = format!("died at {place}");
        assert_moved(&world, &what);
        assert!(
            world.data_of("data-0").contains("written late"),
            "{what}: {:?}",
            world.data
        );
        assert_eq!(
            world.claims["data-0"].manifest["spec"]["storageClassName"], "fast",
            "{what}"
        );
    }
}

#[test]
fn once_a_claim_is_exchanged_neither_time_nor_copies_run_out() {
    let mut world = World::new();
    while world.claims.get("data-0").is_none_or(|one| one.volume != "new-0") {
        assert!(!world.step());
        world.lives();
    }
    world.now += 5 * 3600;
    for round in 0..COPIES_AGAIN_MAX + 2 {
        world.generation += 1;
        *world.data.get_mut("old-1").unwrap() += &format!(" round {round}");
        let before = world.status.copied_again;
        while world.status.copied_again == before {
            assert!(!world.step());
            world.lives();
            assert_ne!(world.status.phase, MovePhase::NeedsPerson, "{:#?}", world.status);
        }
        while world.status.phase != MovePhase::Keep {
            assert!(!world.step());
            world.lives();
        }
    }
    let world = world.ended();
    assert_moved(&world, "used again and again, and for long");
    assert!(world.data_of("data-1").contains("round 4"), "{:?}", world.data);
}

#[test]
fn a_claim_that_was_bound_between_two_reads_of_one_look_is_waited_for() {
    let mut world = World::new();
    while world.jobs.len() < 2 || world.jobs.values().any(|job| job.outcome == JobOutcome::Runs) {
        assert!(!world.step());
        world.lives();
    }
    let copy = objects::copy_claim("data-0", &World::id());
    let bound = world.claims[&copy].clone();
    let seen = world.claims.get_mut(&copy).unwrap();
    (seen.volume, seen.phase) = (String::new(), "Pending".to_owned());
    assert!(!world.step());
    assert_eq!(world.status.phase, MovePhase::Copy, "{:#?}", world.status);
    world.claims.insert(copy, bound);
    assert_moved(&world.ended(), "seen bound a look later");
}
