//! A controller that is broken off at any write, or loses an answer, comes to the same end.

use super::assert_on;
use super::world::{CLAIM, World};
use crate::support::say;
use couchestor::sim::kubernetes::{On, What};
use std::time::Duration;

/// More writes than a move has, with those of statuses and Events.
const WRITES_MAX: usize = 150;

/// How many writes are passed over between two that are struck: each costs a whole world.
const STRIDE: usize = 4;

/// Moves there while the nth write is struck, and the controller starts anew after it; whether it was struck.
async fn struck(world: &mut World, moves: usize, place: usize, what: &What) -> bool {
    let faults = world.sim().faults();
    faults.order(On::Writes, place - 1, What::Delay(Duration::ZERO));
    faults.order(On::Writes, 1, what.clone());
    for _ in 0..60 {
        world.turn().await;
        world.tick();
        let faults = world.sim().faults();
        if faults.left() == 0 {
            world.restart();
            world.until(moves, "Completed").await;
            return true;
        }
        if world.sim().list("WorkloadMove").len() == moves && world.phase() == "Completed" {
            faults.clear();
            return false;
        }
    }
    panic!("it never ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_and_its_way_back_come_to_the_same_end_whatever_write_is_lost() {
    same_end(1, What::Drop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_and_its_way_back_come_to_the_same_end_whatever_answer_is_lost() {
    same_end(1 + STRIDE / 2, What::LoseReply).await;
}

async fn same_end(first: usize, what: What) {
    let (mut count, mut whole) = (0, false);
    for place in (first..WRITES_MAX).step_by(STRIDE) {
        let mut world = World::new().await;
        world.turn().await;
        world.promote("");
        let text = format!("{what:?} at {place}");
        let there = struck(&mut world, 1, place, &what).await;
        assert_on(&world, "fast", 2, &text);
        let home = world.directory(CLAIM).unwrap();
        std::fs::write(home.join("since"), "written since").unwrap();
        world.demote();
        let back = struck(&mut world, 2, place, &what).await;
        assert_on(&world, "slow", 2, &text);
        let home = world.directory(CLAIM).unwrap();
        assert_eq!(
            std::fs::read_to_string(home.join("since")).unwrap(),
            "written since",
            "{text}"
        );
        if !there && !back {
            whole = true;
            break;
        }
        count += usize::from(there) + usize::from(back);
    }
    assert!(count > 10, "{count}");
    assert!(whole, "a move writes more than {WRITES_MAX} times");
    say(&format!(
        "moves of workloads were struck by {what:?} at {count} writes, and came to the same end"
    ));
}
