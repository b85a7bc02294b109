//! What goes wrong while workloads move, and that the end says the truth.

use super::*;

/// What spoils a world, and in which phase it is spoiled.
type Fault = (&'static str, MovePhase, fn(&mut World));

/// Goes on to a phase, spoils it there, and goes on to the end.
fn spoiled((what, phase, spoil): Fault) -> World {
    let mut world = World::new();
    for _ in 0..STEPS {
        if world.status.phase == phase {
            spoil(&mut world);
            return world.ended();
        }
        assert!(!world.step(), "{what}: it ended before {phase:?}");
        world.lives();
    }
    panic!("{what}: it never came to {phase:?}");
}

#[test]
fn what_fails_before_a_claim_is_touched_is_taken_back_until_everything_is_as_it_was() {
    let faults: [(Fault, MovePhase, &str); 7] = [
        (
            ("the copy differs", MovePhase::Provision, |one| {
                one.copies = Err("its contents differ".to_owned())
            }),
            MovePhase::RolledBack,
            "claim data-0 could not be copied: its contents differ",
        ),
        (
            ("the class makes no volume", MovePhase::Provision, |one| {
                one.provisions = false
            }),
            MovePhase::RolledBack,
            "has made no volume",
        ),
        (
            ("withdrawn while it copies", MovePhase::Copy, |one| {
                one.withdrawn = Some("its promotion has left Git".to_owned())
            }),
            MovePhase::Cancelled,
            "its promotion has left Git",
        ),
        (
            ("withdrawn before anything is exchanged", MovePhase::Keep, |one| {
                one.withdrawn = Some("gone".to_owned())
            }),
            MovePhase::Cancelled,
            "gone",
        ),
        (
            ("withdrawn before anything is done", MovePhase::Pending, |one| {
                one.withdrawn = Some("gone".to_owned())
            }),
            MovePhase::Cancelled,
            "gone",
        ),
        (
            ("the claim has another volume", MovePhase::Pending, |one| {
                one.spec.claims[0].volume = "older-0".to_owned();
            }),
            MovePhase::Superseded,
            "claim data-0 is not bound to volume older-0 any more",
        ),
        (
            ("the class is gone", MovePhase::Pending, |one| {
                one.spec.claims[0].to = "faster".to_owned()
            }),
            MovePhase::Superseded,
            "there is no StorageClass faster any more",
        ),
    ];
    for (fault, phase, words) in faults {
        let what = fault.0;
        let world = spoiled(fault);
        assert_eq!(world.status.phase, phase, "{what}: {:#?}", world.status);
        assert!(
            world.status.message.contains(words),
            "{what}: {}",
            world.status.message
        );
        assert_untouched(&world, what);
    }
}

#[test]
fn a_failed_move_broken_off_at_any_write_is_taken_back_all_the_same() {
    let spoil = |one: &mut World| one.copies = Err("its contents differ".to_owned());
    let mut first = World::new();
    spoil(&mut first);
    let all = first.clone().ended().writes;
    for place in 0..2 * all {
        let mut world = first.clone();
        world.dies_in = Some(place);
        let world = world.ended();
        assert_eq!(world.status.phase, MovePhase::RolledBack, "died at {place}");
        assert_untouched(&world, &format!("died at {place}"));
    }
}

#[test]
fn who_scales_up_meanwhile_has_the_data_copied_again() {
    for phase in [
        MovePhase::Drain,
        MovePhase::Copy,
        MovePhase::Keep,
        MovePhase::Exchange,
    ] {
        let world = spoiled(("somebody scales up", phase, |one| {
            (one.replicas, one.generation) = (2, one.generation + 1);
            one.lives();
            for data in one.data.values_mut() {
                *data += " written meanwhile";
            }
        }));
        assert_moved(&world, phase.as_str());
        for claim in ["data-0", "data-1"] {
            assert!(
                world.data_of(claim).contains("written meanwhile"),
                "{phase:?}: {:?}",
                world.data
            );
        }
    }
}

#[test]
fn who_scales_up_and_down_again_unseen_has_the_data_copied_again() {
    for phase in [MovePhase::Copy, MovePhase::Keep, MovePhase::Exchange] {
        let world = spoiled(("up and down between two looks", phase, |one| {
            one.generation += 2;
            for (name, data) in &mut one.data {
                if name.starts_with("old") {
                    *data += " written unseen";
                }
            }
        }));
        assert_moved(&world, phase.as_str());
        assert!(world.status.copied_again == 1, "{phase:?}");
        for claim in ["data-0", "data-1"] {
            assert!(
                world.data_of(claim).contains("written unseen"),
                "{phase:?}: {:?}",
                world.data
            );
        }
    }
}

#[test]
fn who_uses_the_claims_again_and_again_keeps_them_where_they_are() {
    let mut world = World::new();
    for _ in 0..STEPS {
        if world.status.phase == MovePhase::Copy && !world.status.disturbed {
            world.generation += 1;
        }
        if world.step() {
            break;
        }
        world.lives();
    }
    assert_eq!(world.status.phase, MovePhase::RolledBack, "{:#?}", world.status);
    assert!(
        world
            .status
            .message
            .contains("each time while they were copied, 3 times")
    );
    assert_untouched(&world, "used again and again");
}

/// Goes on until it stands still, or ends.
fn stands(world: &mut World) {
    for _ in 0..STEPS {
        if world.step() || world.status.phase == MovePhase::NeedsPerson {
            return;
        }
        world.lives();
    }
}

#[test]
fn a_claim_that_somebody_makes_in_between_stops_the_move_until_it_is_gone() {
    let mut world = World::new();
    while world.status.phase != MovePhase::Exchange || world.claims.contains_key("data-0") {
        assert!(!world.step());
        world.lives();
    }
    world
        .claims
        .insert("data-0".to_owned(), claim("data-0", "somebodys", "slow"));
    let before = world.volumes.clone();
    stands(&mut world);
    assert_eq!(world.status.phase, MovePhase::NeedsPerson, "{:#?}", world.status);
    assert!(
        world
            .status
            .message
            .contains("volume somebodys, which this move does not know")
    );
    assert_eq!(world.status.stopped_at, Some(MovePhase::Exchange));
    for _ in 0..20 {
        assert!(!world.step());
    }
    assert_eq!(world.volumes.len(), before.len(), "nothing is deleted");
    world.claims.remove("data-0");
    assert_moved(&world.ended(), "once the foreign claim is gone");
}

#[test]
fn workloads_that_do_not_become_ready_need_a_person_and_go_on_when_they_are() {
    let mut world = World::new();
    world.ready = false;
    stands(&mut world);
    assert_eq!(world.status.phase, MovePhase::NeedsPerson, "{:#?}", world.status);
    assert!(
        world
            .status
            .message
            .contains("StatefulSet db did not become ready")
    );
    assert_eq!(
        (world.replicas, world.suspended),
        (2, false),
        "nothing is left down"
    );
    world.ready = true;
    assert_moved(&world.ended(), "ready at last");
}

#[test]
fn a_volume_that_goes_under_an_exchange_deletes_nothing_more() {
    let mut world = World::new();
    while world.status.phase != MovePhase::Exchange {
        assert!(!world.step());
        world.lives();
    }
    world.volumes.get_mut("new-1").unwrap().going = true;
    stands(&mut world);
    assert_eq!(world.status.phase, MovePhase::NeedsPerson, "{:#?}", world.status);
    assert_eq!(
        world.claims["data-1"].volume, "old-1",
        "the claim whose new volume goes is left alone"
    );
    assert!(world.volumes.contains_key("old-0") && world.volumes.contains_key("old-1"));
}

#[test]
fn an_older_leadership_does_nothing() {
    let world = World::new();
    let mut status = world.status.clone();
    status.epoch = Some(7);
    let context = Context {
        name: name(),
        epoch: 6,
        withdrawn: None,
        now: Timestamp::from_second(NOW).unwrap(),
    };
    assert_eq!(next(&world.spec, &status, &world.seen(), &context), Step::Fenced);
}

#[test]
fn the_first_volume_that_is_lost_before_the_exchange_takes_all_back() {
    let world = spoiled(("the new volume is for somebody else", MovePhase::Keep, |one| {
        one.volumes.get_mut("new-0").unwrap().claim = ("other".to_owned(), "x".to_owned());
    }));
    assert_eq!(world.status.phase, MovePhase::RolledBack, "{:#?}", world.status);
    assert!(world.status.message.contains("somebody uses it"));
}
