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

/// An hour in which nobody does anything, after ten minutes in which what is there is looked at: the requests that it costs, with
/// so many seconds from one turn to the next.
async fn hour(life: &mut Life, step: usize) -> u64 {
    use std::sync::atomic::Ordering;
    let kind = life.world.kind().name();
    let began = couchestor::io::clock::now().as_second();
    SECOND.store(began, Ordering::Relaxed);
    life.outside.clock = || jiff::Timestamp::from_second(SECOND.load(Ordering::Relaxed)).unwrap();
    life.good_turn().await;
    life.hinted = false;
    // What was opened just now is looked at in the turns after it.
    for second in (60..=600).step_by(60) {
        SECOND.store(began + second, Ordering::Relaxed);
        life.good_turn().await;
    }
    let before = life.world.forge.requests();
    for second in (600..=4200).step_by(step).skip(1) {
        SECOND.store(began + second, Ordering::Relaxed);
        life.good_turn().await;
    }
    let after = life.world.forge.requests();
    assert_eq!(after.writes, before.writes, "{kind}");
    after.reads - before.reads
}

/// Few pull requests and one of our own; more than fit on a page, of which the newest hundred get a plan; and a merge that waits for
/// approvals.
#[tokio::test(flavor = "multi_thread")]
async fn an_hour_of_peace_costs_fewer_than_sixty_requests() {
    let with_gitea = !crate::support::servers::left_out("reviews::an_hour_of_peace on Gitea");
    for row in ["few", "many", "waiting"] {
        let mut worlds = vec![World::github().await];
        // What differs between forges is what a page holds; so many pull requests take minutes on each.
        if row == "few" {
            worlds.push(World::gitlab().await);
            if with_gitea {
                worlds.push(World::gitea().await);
            }
        }
        for world in worlds {
            let kind = world.kind();
            let mut life = Life::new(world).await;
            let count = if row == "many" { 120 } else { 3 };
            let mut opened = Vec::new();
            for at in 0..count {
                let (path, name) = (format!("p/{at}.yaml"), format!("notes-{at}"));
                let text = life::NOTES.replace("notes", &name);
                opened.push(life.open(&format!("change-{at}"), &[(&path, Some(&text))]).await);
            }
            match row {
                "waiting" => {
                    life.approvals = Some(serde_json::from_value(serde_json::json!({"count": 1})).unwrap());
                    let text = life::assignment("hot");
                    let number = life
                        .open("move", &[("p/assignments/db/data-0.yaml", Some(&text))])
                        .await;
                    life.world.merge(number, MergeBy::Merge, "ann").await;
                }
                _ => {
                    let load = Load::random(60_000.0, 1.0);
                    life.running.prometheus.set(life::VOLUME, Some(load));
                }
            }
            // Every ninety seconds the most is asked.
            let asked = hour(&mut life, if row == "waiting" { 30 } else { 60 }).await;
            let kind = kind.name();
            say(&format!(
                "an hour, {row}, {count} open on {kind}: {asked} requests"
            ));
            assert!(asked < 60, "{row} on {kind}: {asked}");
            let reviews: Vec<u64> = life.status.reviews.iter().map(|review| review.number).collect();
            match row {
                "waiting" => {
                    let merges = &life.status.merges;
                    assert_eq!(merges.len(), 1, "{kind}: {merges:?}");
                    let wait = |at: &str| at.parse::<jiff::Timestamp>().unwrap().as_second();
                    let looked = wait(&merges[0].asked) - wait(&merges[0].since);
                    assert!(looked >= 3600, "{kind}: it is looked for again: {merges:?}");
                    // Six times, beside the forty looks at what is open.
                    assert!(asked >= 45, "{kind}: {asked}");
                    assert_eq!(life.running.kubernetes.list("VolumeMigration").len(), 0, "{kind}");
                }
                _ => {
                    let own = life.status.proposals.first().and_then(|record| record.number);
                    opened.extend(own);
                    assert!(own.is_some(), "{kind}: {:?}", life.status.proposals);
                    // The newest hundred: docs/pull-requests.md names the bound.
                    let oldest = opened.len().saturating_sub(100);
                    assert_eq!(reviews, opened[oldest..], "{row} on {kind}");
                }
            }
        }
    }
}
