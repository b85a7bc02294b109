//! Claims about what goes wrong: clones that never come, primaries that fail over, people who interfere, and approvals that go.

use super::*;
use jiff::Timestamp;

#[test]
fn a_clone_that_never_is_ready_needs_a_person_and_nothing_more_is_deleted() {
    for dead in [false, true] {
        let mut world = World::of(3);
        world.until(|world| deleted(world).len() == 1);
        (world.clones, world.operator) = (false, !dead);
        world.until(|world| world.status.phase == MovePhase::NeedsPerson);
        let said = world.said().to_owned();
        assert!(
            said.contains("instance x-2 was not made anew within 3600 s"),
            "{said}"
        );
        let acts = world.acts.len();
        for _ in 0..50 {
            world.step();
        }
        assert_eq!(world.status.phase, MovePhase::NeedsPerson);
        // What is marked then was kept before.
        let later = &world.acts[acts..];
        assert!(
            later.iter().all(|act| matches!(act, Act::Mark { .. })),
            "{later:?}"
        );
        assert!(world.seen.others_are_ready("x-2"));
        (world.clones, world.operator) = (true, true);
        assert_moved(&world.ended(), "mended");
    }
}

#[test]
fn who_gives_up_a_clone_that_never_comes_is_told_what_stands() {
    let mut world = World::of(3);
    world.until(|world| deleted(world).len() == 1);
    world.clones = false;
    world.withdrawn = Some("a person cancelled it: enough".to_owned());
    let world = world.ended();
    assert_eq!(world.status.phase, MovePhase::Cancelled);
    let said = world.said();
    assert!(said.contains("enough; Cluster x is not well: "), "{said}");
    assert!(said.contains("Not on class fast: x-1, x-3; kept: pv-"), "{said}");
    assert_eq!(deleted(&world), ["x-2"]);
}

#[test]
fn a_primary_that_fails_over_by_itself_at_any_moment_loses_nothing() {
    let all = World::of(3).ended();
    let mut led_away = 0;
    for place in 1..all.writes {
        let mut world = World::of(3).at(place);
        // The instance that is about to go, wherever it can.
        let of = world.status.instance.as_ref().map(|one| one.name.clone());
        let ready = |name: &String| {
            world
                .seen
                .pods
                .get(name)
                .is_some_and(|pod| pod.ready && !pod.going)
        };
        let other = of.filter(ready).unwrap_or_else(|| "x-3".to_owned());
        if !ready(&other) {
            continue;
        }
        (world.cluster().primary, world.cluster().target) = (other.clone(), other.clone());
        world.ticked();
        let claims = world.seen.claims.values();
        led_away += usize::from(claims.filter(|one| one.going && one.instance == other).count() > 0);
        assert_moved(&world.ended(), &format!("failed over to {other} at {place}"));
    }
    assert!(led_away > 0, "none was struck while its claims were on their way");
}

#[test]
fn a_class_that_git_takes_back_midway_stops_it_until_it_is_there_again() {
    let all = World::of(3).ended();
    for place in 1..all.writes {
        let mut world = World::of(3).at(place);
        if world.status.phase > MovePhase::SwitchOver || world.status.phase == MovePhase::Pending {
            continue;
        }
        world.class("slow");
        let began = deleted(&world).len();
        world.until(|world| world.status.phase == MovePhase::NeedsPerson || world.status.phase.is_final());
        if world.status.phase.is_final() {
            // All of it was done.
            assert_moved(&world, &format!("taken back at {place}"));
            continue;
        }
        assert!(deleted(&world).len() <= began + 1, "{place}: {:?}", world.acts);
        assert_eq!(world.seen.waits(), None, "{place}: the Cluster is whole");
        assert!(
            world.said().contains("let Git say fast there first"),
            "{place}: {}",
            world.said()
        );
        world.class("fast");
        let world = world.ended();
        assert_eq!(world.status.phase, MovePhase::Completed, "{place}");
        assert!(world.seen.elsewhere("fast").is_empty(), "{place}");
    }
}

#[test]
fn a_move_that_is_withdrawn_leaves_a_whole_cluster_and_before_the_first_deletion_all_as_it_was() {
    let all = World::of(3).ended();
    let (mut as_it_was, mut midway) = (0, 0);
    for place in 0..all.writes {
        let before = World::of(3);
        let mut world = before.clone().at(place);
        world.withdrawn = Some("its promotion has left Git".to_owned());
        let world = world.ended();
        assert_eq!(world.seen.waits(), None, "{place}");
        match world.status.phase {
            MovePhase::Completed => assert_moved(&world, &format!("withdrawn at {place}")),
            MovePhase::Cancelled if deleted(&world).is_empty() => {
                as_it_was += 1;
                assert_eq!(world.seen.claims, before.seen.claims, "{place}");
                assert_eq!(world.seen.volumes, before.seen.volumes, "{place}");
                assert!(
                    world.said().contains("its promotion has left Git"),
                    "{}",
                    world.said()
                );
            }
            MovePhase::Cancelled => {
                midway += 1;
                assert!(
                    world.said().contains("Cluster x is whole. Not on class fast: x-"),
                    "{}",
                    world.said()
                );
                for volume in world.seen.volumes.values() {
                    let kept = volume.phase == "Released";
                    assert_eq!(volume.policy == RETAIN, kept, "{place}: {volume:?}");
                    assert_eq!(volume.mark == objects::id(&name()), kept, "{place}: {volume:?}");
                }
            }
            other => panic!("{place}: {other:?}"),
        }
    }
    assert!(as_it_was > 5 && midway > 5, "{as_it_was} {midway}");
}

#[test]
fn a_pod_that_somebody_deletes_at_any_moment_changes_nothing() {
    let all = World::of(3).ended();
    for whose in ["x-1", "x-2", "x-3"] {
        for place in 1..all.writes {
            let mut world = World::of(3).at(place);
            world.seen.pods.remove(whose);
            world.operate();
            let mut world = world.ended();
            // At the very end nobody waits for what is to be waited for before a deletion only.
            world.ticks(8);
            assert_moved(&world, &format!("{whose} at {place}"));
        }
    }
}

#[test]
fn who_says_that_people_switch_over_is_asked_to() {
    let mut world = World::of(2);
    world.cluster().supervised = true;
    world.until(|world| world.status.phase == MovePhase::NeedsPerson);
    assert!(
        world.said().contains("kubectl cnpg promote -n db x x-2"),
        "{}",
        world.said()
    );
    world.ticks(2000);
    world.step();
    assert_eq!(world.status.phase, MovePhase::NeedsPerson);
    world.cluster().target = "x-2".to_owned();
    assert_moved(&world.ended(), "switched over by hand");
}

#[test]
fn a_switch_over_that_does_not_come_to_pass_needs_a_person() {
    let mut world = World::of(2);
    world.until(|world| world.status.phase == MovePhase::SwitchOver);
    let stuck = |world: &mut World| {
        world.step();
        // The instance that is to lead never does.
        world.cluster().target = "x-1".to_owned();
        world.ticked();
        world.now += 60;
    };
    for _ in 0..200 {
        stuck(&mut world);
    }
    assert_eq!(world.status.phase, MovePhase::NeedsPerson);
    assert!(
        world.said().contains("x-1 is the primary of Cluster x still"),
        "{}",
        world.said()
    );
    assert_eq!(deleted(&world), ["x-2"]);
    world.cluster().target = "x-2".to_owned();
    assert_moved(&world.ended(), "by hand");
}

#[test]
fn what_is_not_what_was_approved_is_superseded() {
    type Change = fn(&mut World);
    let rows: [(Change, &str); 4] = [
        (|world| world.class("slow"), "let Git say fast there first"),
        (|world| world.seen.cluster = None, "Cluster x is gone"),
        (
            |world| world.seen.claims.get_mut("x-1").unwrap().volume = "other".to_owned(),
            "claim x-1 is not bound to volume pv-1 any more",
        ),
        (|world| world.cluster().wanted = 1, "has 1 instance"),
    ];
    for (change, words) in rows {
        let mut world = World::of(2);
        change(&mut world);
        world.step();
        assert_eq!(world.status.phase, MovePhase::Superseded, "{words}");
        assert!(world.said().contains(words), "{words}: {}", world.said());
        assert!(world.acts.is_empty());
    }
}

#[test]
fn a_newer_leadership_is_not_crossed() {
    let mut world = World::of(2);
    world.status.epoch = Some(2);
    let context = Context {
        name: name(),
        epoch: 1,
        withdrawn: None,
        now: Timestamp::from_second(NOW).unwrap(),
    };
    assert_eq!(
        next(&world.spec, &world.status, &world.seen, &context),
        Step::Fenced
    );
}
