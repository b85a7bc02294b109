//! Restores that are broken off at any write, or killed, come to the same end or are taken back.

use super::carried_out::{REPLACE, assert_restored, assert_untouched, phase, policy, under_way};
use super::player::Velero as Plays;
use super::world::{World, said};
use crate::support::{say, seed};
use couchestor::sim::kubernetes::{On, What};
use std::time::Duration;

/// More writes than a restore has.
const WRITES_MAX: usize = 80;

/// Runs into a fault at the nth write; whether there was one.
async fn broken_off(world: &World, place: usize, what: &What) -> bool {
    world
        .sim
        .faults()
        .order(On::Writes, place - 1, What::Delay(Duration::ZERO));
    world.sim.faults().order(On::Writes, 1, what.clone());
    let output = world.lives(Plays::Restores, &REPLACE).await;
    let happened = world.sim.faults().left() == 0;
    world.sim.faults().clear();
    assert_eq!(
        output.status.success(),
        !happened,
        "{place} {what:?}: {}",
        said(&output)
    );
    happened
}

/// Each write of a restore is lost, or done and not answered; then the same command runs again.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_broken_off_at_any_write_goes_on_to_the_same_end() {
    let mut struck = 0;
    for what in [What::Drop, What::LoseReply] {
        for place in 1..WRITES_MAX {
            let world = World::busy().await;
            if !broken_off(&world, place, &what).await {
                break;
            }
            struck += 1;
            let output = world.lives(Plays::Restores, &REPLACE).await;
            let text = format!("{place} {what:?}: {}", said(&output));
            assert_eq!(output.status.code(), Some(0), "{text}");
            assert_restored(&world, &text);
        }
    }
    assert!((40..2 * WRITES_MAX).contains(&struck), "{struck}");
    say(&format!(
        "a restore was broken off at {struck} writes, and came to the same end"
    ));
}

/// Broken off in the same way, and taken back.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_broken_off_at_any_write_is_taken_back_as_if_nobody_had_asked() {
    let (mut struck, mut written) = (0, 0);
    for place in 1..WRITES_MAX {
        let world = World::busy().await;
        if !broken_off(&world, place, &What::LoseReply).await {
            break;
        }
        struck += 1;
        // The last write deletes the record: the restore has ended.
        let Some(id) = under_way(&world) else { continue };
        let up = matches!(phase(&world).as_deref(), Some("ScaleUp" | "Resume" | "CleanUp"));
        let output = world.lives(Plays::Restores, &["restore", "abort", &id]).await;
        let text = format!("{place}: {}", said(&output));
        assert_eq!(output.status.code(), Some(0), "{text}");
        assert_untouched(&world, &text);
        if up {
            // Live data may be there.
            written += 1;
            let volumes = world.sim.list("PersistentVolume");
            let kept = volumes
                .iter()
                .any(|one| one["metadata"]["annotations"]["what-is-on-it"] == "restored");
            assert!(kept && text.contains("it is kept"), "{text}");
        }
    }
    assert!(struck >= 20 && written >= 3, "{struck} {written}");
}

/// Killed by the system at a random moment, again and again.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_killed_again_and_again_comes_to_the_same_end() {
    let mut random = fastrand::Rng::with_seed(seed("restores that are killed"));
    for round in 0..3 {
        let world = World::busy().await;
        for _ in 0..6 {
            let after = Duration::from_millis(random.u64(50..500));
            world.killed(Plays::Restores, after, &REPLACE).await;
        }
        // It may have ended before, and this is the next.
        let output = world.lives(Plays::Restores, &REPLACE).await;
        let text = format!("{round}: {}", said(&output));
        assert_eq!(output.status.code(), Some(0), "{text}");
        assert_eq!(world.data("data-postgres-0"), "restored", "{text}");
        assert_eq!(policy(&world, "pvc-old"), "Retain", "{text}");
        world.assert_as_before(&text);
    }
}
