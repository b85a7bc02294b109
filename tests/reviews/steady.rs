//! Faults neither double nor lose a comment, sources do not disturb each other, and an hour in which nothing happens costs little.

use super::life::{self, Life, POLICY};
use crate::forges::world::World;
use crate::support::{say, seed};
use couchestor::sim::forge::{Fault, MergeBy};
use couchestor::sim::prometheus::Load;

/// Whatever goes wrong with whichever request: in the end there is one comment with the plan of the head, and the right status.
#[tokio::test(flavor = "multi_thread")]
async fn faults_neither_double_nor_lose_a_comment() {
    const FAULTS: [Fault; 5] = [
        Fault::LostReply,
        Fault::ErrorAfter,
        Fault::ErrorBefore,
        Fault::Cut,
        Fault::Stale,
    ];
    let mut random = fastrand::Rng::with_seed(seed("plans under faults"));
    let (mut turns, mut happened) = (0, 0);
    for round in 0..8 {
        let world = match round % 2 {
            0 => World::github().await,
            _ => World::gitlab().await,
        };
        let mut life = Life::new(world).await;
        let number = life.open("change", &[("p/notes.yaml", None)]).await;
        life.world
            .simulated()
            .faults_by_chance(random.u64(..), 3, &FAULTS);
        for at in 0..5 {
            life.turn().await;
            turns += 1;
            let text = POLICY.replace("50000", &format!("6000{at}"));
            if random.bool() {
                life.commit("change", None, &[("p/policy.yaml", Some(&text))])
                    .await;
            }
        }
        happened += life.world.simulated().happened().len();
        life.world.simulated().no_faults();
        for _ in 0..3 {
            life.turn().await;
        }
        let head = life.head(number).await;
        let comment = life.comment(number).await;
        assert!(comment.contains(&head[..12]), "round {round}: {comment}");
        assert_eq!(life.state(&head).await.0, "success", "round {round}");
        life.world.merge(number, MergeBy::Merge, "ann").await;
        life.world
            .simulated()
            .faults_by_chance(random.u64(..), 3, &FAULTS);
        for _ in 0..5 {
            life.turn().await;
            turns += 1;
        }
        happened += life.world.simulated().happened().len();
        life.world.simulated().no_faults();
        for _ in 0..3 {
            life.turn().await;
        }
        let comment = life.comment(number).await;
        assert!(comment.contains("Merged and applied"), "round {round}: {comment}");
        assert_eq!(comment.matches("The plan").count(), 1, "round {round}: {comment}");
    }
    assert!(happened > 0, "nothing went wrong");
    say(&format!(
        "{turns} turns with {happened} faults, and never two comments"
    ));
}

/// Of two sources on one branch the later one's status has a name of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_source_on_a_branch_overwrites_no_status_of_the_first() {
    let mut life = Life::new(World::github().await).await;
    let number = life.open("change", &[("p/notes.yaml", None)]).await;
    life.second = true;
    life.good_turn().await;
    let statuses = life.world.statuses(&life.head(number).await).await;
    let names: Vec<&String> = statuses.keys().collect();
    assert_eq!(names, ["couchestor/plan/couchestor-system/homelab"]);
}

/// The clock of the hour that is simulated.
static SECOND: std::sync::atomic::AtomicI64 = std::sync::atomic::AtomicI64::new(0);

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_of_peace_costs_fewer_than_sixty_requests() {
    use std::sync::atomic::Ordering;
    let mut worlds = vec![World::github().await, World::gitlab().await];
    if !crate::support::servers::left_out("reviews::an_hour_of_peace on Gitea") {
        worlds.push(World::gitea().await);
    }
    for world in worlds {
        let kind = world.kind().name();
        let mut life = Life::new(world).await;
        for branch in ["one", "two", "three"] {
            let path = format!("p/{branch}.yaml");
            life.open(branch, &[(&path, Some(&life::NOTES.replace("notes", branch)))])
                .await;
        }
        // And one of our own.
        let load = Load::random(60_000.0, 1.0);
        life.running.prometheus.set(life::VOLUME, Some(load));
        let began = couchestor::io::clock::now().as_second();
        SECOND.store(began, Ordering::Relaxed);
        life.outside.clock = || jiff::Timestamp::from_second(SECOND.load(Ordering::Relaxed)).unwrap();
        life.good_turn().await;
        life.hinted = false;
        // What was opened just now is looked at in the turns after it.
        for minute in 1..=10 {
            SECOND.store(began + minute * 60, Ordering::Relaxed);
            life.good_turn().await;
        }
        let own = life.status.proposals.first().and_then(|record| record.number);
        assert!(own.is_some(), "{kind}: {:?}", life.status.proposals);
        assert_eq!(life.status.reviews.len(), 4, "{kind}: {:?}", life.status.reviews);
        let before = life.world.forge.requests();
        for minute in 11..=70 {
            SECOND.store(began + minute * 60, Ordering::Relaxed);
            life.good_turn().await;
        }
        let after = life.world.forge.requests();
        let asked = (after.reads + after.writes) - (before.reads + before.writes);
        say(&format!(
            "an hour with four open pull requests on {kind}: {asked} requests"
        ));
        assert!(asked < 60, "{kind}: {asked}");
        assert_eq!(after.writes, before.writes, "{kind}");
    }
}
