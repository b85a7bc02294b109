//! A forge that is down, or fails by order and by chance: nothing is lost, doubled or concluded.

use super::life::Life;
use crate::forges::world::{World, options};
use crate::support::{say, seed};
use couchestor::io::forge::Options;
use couchestor::model::kinds::policy_source::{ProposalState, ProposalStatus};
use couchestor::model::pull_request::ForgeKind;
use couchestor::sim::forge::{Fault, MergeBy};
use std::time::Duration;

/// Polls of an hour.
const HOUR: usize = 40;

/// For so many turns the simulated forge answers nothing but errors, or cuts connections; a real one is cut off; and on plain Git the
/// repository is not there. How many requests, or turns, came to nothing is given back.
async fn outage(life: &mut Life, wanted: impl Fn(usize) -> &'static [&'static str]) -> usize {
    let before = life.turned_away();
    let mut failed = 0;
    life.unreachable(true);
    for turn in 0..HOUR {
        failed += usize::from(!life.turn(wanted(turn)).await.errors.is_empty());
        let stands = |record: &ProposalStatus| {
            matches!(record.state, ProposalState::Open | ProposalState::Withdrawing)
        };
        assert!(life.records.iter().all(stands), "turn {turn}: {:?}", life.records);
        assert!(life.records.len() <= 1, "turn {turn}: {:?}", life.records);
        if life.forge {
            assert!(life.branches().await.len() <= 1, "turn {turn}");
        }
    }
    life.unreachable(false);
    match life.forge {
        true => life.turned_away() - before,
        false => failed,
    }
}

pub(super) async fn while_the_forge_is_down_nothing_is_lost_doubled_or_concluded(mut life: Life) {
    life.done(&["a"]).await;
    let number = life.record().number;
    let happened = outage(&mut life, |turn| match turn {
        0..10 => &["a"],
        10..25 => &["a", "b"],
        // It would be withdrawn, and that is not done behind the forge's back.
        25..30 => &[],
        _ => &["a", "c"],
    });
    let happened = happened.await;
    assert!(happened >= HOUR, "{happened} requests went wrong");
    life.turn(&["a", "c"]).await;
    assert!(life.done(&["a", "c"]).await.is_empty(), "all is as it should be");
    assert_eq!(life.record().number, number);
    assert!(life.has(&life.branch(), "assignments/db/c.yaml").await);
    assert!(!life.has(&life.branch(), "assignments/db/b.yaml").await);
    if let Some(pull) = life.pull().await {
        assert!(pull.is_open());
        assert!(
            pull.body.contains("db/c") && !pull.body.contains("db/b"),
            "{}",
            pull.body
        );
        assert_eq!(pull.head_sha.as_str(), life.record().commit);
        assert_eq!(life.world.forge.list_open(10).await.unwrap().len(), 1);
    }
    assert_eq!(
        life.comments(number).await,
        "",
        "nothing is said of an hour without answers"
    );
    life.merge(MergeBy::Squash).await;
    assert_eq!(life.done(&["a", "c"]).await, ["Merged"]);
    let what = if life.forge {
        "requests"
    } else {
        "looks at the repository"
    };
    say(&format!("{happened} {what} failed in {HOUR} turns"));
}

pub(super) async fn a_forge_that_is_down_at_first_gets_one_pull_request(mut life: Life) {
    let happened = outage(&mut life, |_| &["a"]).await;
    assert!(happened >= HOUR, "{happened} requests went wrong");
    life.turn(&["a"]).await;
    assert!(life.done(&["a"]).await.is_empty());
    assert_eq!(life.branches().await, [life.branch()]);
    if !life.forge {
        return;
    }
    let open = life.world.forge.list_open(10).await.unwrap();
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!(life.record().number, Some(open[0].number));
    assert_eq!(open[0].head_sha.as_str(), life.record().commit);
}

/// What could not be said is said with the next turn, once.
#[tokio::test(flavor = "multi_thread")]
async fn a_comment_that_failed_is_made_with_the_next_turn() {
    for kind in [ForgeKind::Github, ForgeKind::Gitlab] {
        for fault in [
            Fault::ErrorBefore,
            Fault::ErrorAfter,
            Fault::Cut,
            Fault::LostReply,
        ] {
            // Before the comment the open ones are listed, and those comments that are there.
            for request in 0..4 {
                let mut life = Life::new(World::sim(kind).await, true);
                life.done(&["a"]).await;
                life.commit(&life.branch(), "notes.md", Some("wait\n")).await;
                // Once as it is sent, and once as it is sent again.
                for again in 0..2 {
                    life.world.simulated().fault(request + again, fault);
                }
                let what = format!("{kind:?} {fault:?} {request}");
                life.turn(&["a"]).await;
                assert_ne!(life.world.simulated().happened(), [""; 0], "{what}");
                life.world.simulated().no_faults();
                for _ in 0..2 {
                    life.turn(&["a"]).await;
                }
                assert_eq!(life.record().state, ProposalState::Edited, "{what}");
                let comments = life.comments(life.record().number).await;
                assert_eq!(
                    comments.matches("writes to it no more").count(),
                    1,
                    "{what}: {comments}"
                );
            }
        }
    }
}

/// An answer that comes when nobody waits for it any more.
const TOO_SLOW: Duration = Duration::from_millis(600);

/// Whatever goes wrong with whichever request: in the end there is one pull request with what is wanted, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn faults_neither_double_nor_lose_a_proposal() {
    const FAULTS: [Fault; 9] = [
        Fault::LostReply,
        Fault::ErrorAfter,
        Fault::ErrorBefore,
        Fault::Cut,
        Fault::Stale,
        Fault::Race,
        Fault::Slow(TOO_SLOW),
        Fault::TooMany(0),
        Fault::Secondary(0),
    ];
    let mut random = fastrand::Rng::with_seed(seed("proposals under faults"));
    let (mut turns, mut happened) = (0, 0);
    for round in 0..24 {
        let world = match round % 2 {
            0 => World::github().await,
            _ => World::gitlab().await,
        };
        let mut life = Life::new(world, true);
        let patient = Options {
            timeout: TOO_SLOW / 2,
            ..options()
        };
        life.world.forge = World::client(life.world.simulated(), &life.world.token, patient);
        // Every third round nobody is told to come back later, so that more is tried in it.
        let faults = if round % 3 == 0 { &FAULTS[..] } else { &FAULTS[..7] };
        life.world.simulated().faults_by_chance(random.u64(..), 3, faults);
        for _ in 0..6 {
            let wanted: Vec<&str> = ["a", "b", "c"].into_iter().filter(|_| random.bool()).collect();
            life.turn(&wanted).await;
            turns += 1;
        }
        happened += life.world.simulated().happened().len();
        life.world.simulated().no_faults();
        life.world.forge = World::client(life.world.simulated(), &life.world.token, options());
        for _ in 0..4 {
            life.turn(&["a", "c"]).await;
        }
        let open = life.world.forge.list_open(10).await.unwrap();
        let of_us = |state| life.records.iter().filter(move |record| record.state == state);
        let known: Vec<_> = of_us(ProposalState::Open).collect();
        assert_eq!(open.len(), 1, "round {round}: {open:?} {:?}", life.records);
        assert_eq!(known.len(), 1, "round {round}: {known:?}");
        assert_eq!(
            of_us(ProposalState::Declined).count(),
            0,
            "round {round}: nobody said no"
        );
        assert_eq!(known[0].number, Some(open[0].number), "round {round}");
        assert_eq!(open[0].head_sha.as_str(), known[0].commit, "round {round}");
        assert!(
            open[0].title.contains("2 volumes"),
            "round {round}: {}",
            open[0].title
        );
    }
    assert!(happened > 0, "nothing went wrong");
    say(&format!(
        "{turns} turns with {happened} faults, and never two pull requests"
    ));
}
