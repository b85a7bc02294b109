//! Claims about taking a completed move back.

use super::*;

/// The move that takes a completed one back.
pub(super) fn back_of(mut world: World) -> World {
    for (place, claim) in world.spec.claims.iter_mut().enumerate() {
        let journal = &world.status.claims[place];
        let new = journal.new_volume.clone().unwrap();
        claim.onto = Some(std::mem::replace(&mut claim.volume, new));
        claim.policy.clone_from(&journal.old_policy);
        std::mem::swap(&mut claim.from, &mut claim.to);
    }
    for volume in world.volumes.values_mut() {
        volume.mark.clear();
    }
    world.spec.back = Some(name());
    world.status = WorkloadMoveStatus::default();
    world.writes = 0;
    world
}

fn assert_back(world: &World, what: &str) {
    assert_completed(world, what);
    for place in 0..2 {
        let (claim, old, new) = (
            format!("data-{place}"),
            format!("old-{place}"),
            format!("new-{place}"),
        );
        assert_eq!(world.claims[&claim].volume, old, "{what}");
        assert_eq!(world.volumes[&old].policy, "Delete", "{what}: as it was");
        assert_eq!(
            world.volumes[&new].policy, RETAIN,
            "{what}: what it leaves is kept too"
        );
        let written = format!("data {place}+ since {place}");
        assert!(
            world.data[&old].starts_with(&written),
            "{what}: what was written since is not lost: {:?}",
            world.data
        );
    }
    assert_rest(world, what);
}

#[test]
fn a_move_is_taken_back_with_what_was_written_since_broken_off_anywhere() {
    let mut moved = World::new().ended().settled();
    for place in 0..2 {
        *moved.data.get_mut(&format!("new-{place}")).unwrap() += &format!(" since {place}");
    }
    let moved = back_of(moved);
    let all = moved.clone().ended();
    assert_back(&all, "undisturbed");
    for place in 0..2 * all.writes {
        let mut world = moved.clone();
        world.dies_in = Some(place);
        assert_back(&world.ended(), &format!("died at {place}"));
    }
}

#[test]
fn a_way_back_that_fails_says_what_became_of_the_kept_volumes_and_can_be_tried_again() {
    let mut world = back_of(World::new().ended().settled());
    world.copies = Err("its contents differ".to_owned());
    let mut world = world.ended();
    assert_eq!(world.status.phase, MovePhase::RolledBack, "{:#?}", world.status);
    let said = &world.status.message;
    assert!(!said.contains("everything is as it was"), "{said}");
    assert!(
        said.ends_with("may be overwritten in part by now: old-0, old-1"),
        "{said}"
    );
    for place in 0..2 {
        let kept = world.volumes.get_mut(&format!("old-{place}")).unwrap();
        assert_eq!(kept.policy, RETAIN);
        // As another move would have left it.
        kept.claim.1 = objects::copy_claim(&format!("data-{place}"), "0badcafe");
        assert_eq!(
            world.claims[&format!("data-{place}")].volume,
            format!("new-{place}")
        );
    }
    assert_rest(&world, "a way back that failed");
    world.copies = Ok(());
    world.status = WorkloadMoveStatus::default();
    let mut other = world.clone();
    assert_eq!(world.ended().status.phase, MovePhase::Completed);
    // A volume that somebody has by now is not taken.
    other.volumes.get_mut("old-0").unwrap().phase = "Bound".to_owned();
    assert_eq!(other.volumes["old-1"].phase, "Released");
    assert_eq!(other.ended().status.phase, MovePhase::Superseded);
}
