//! Rollouts and promotions that are encrypted in Git: what they move is named in the cluster, and nowhere else.

use super::assert_on;
use super::world::{CLAIM, FILE, ROLLOUT, World, text};
use crate::forges::world::World as Hub;
use crate::support::seal::Sealer;
use couchestor::formats::sops::Identities;
use couchestor::sim::forge::MergeBy;

/// A person asks for a commit by pull request, and merges it.
async fn merged(world: &World, title: &str, branch: &str) -> u64 {
    world.follow.git(&["push", "-q", "origin", branch]);
    world.follow.git(&["checkout", "-q", "main"]);
    let hub = world.hub.as_ref().unwrap();
    let opened = hub.simulated().open("ann", title, (branch, "main"), false);
    let number = opened.unwrap();
    hub.merge(number, MergeBy::Squash, "ben").await;
    world.follow.git(&["pull", "-q", "--ff-only", "origin", "main"]);
    number
}

/// What we have said under a pull request.
fn said(world: &World, number: u64) -> String {
    let hub = world.hub.as_ref().unwrap().simulated();
    let pulls = hub.with(|state| state.pulls.clone());
    let pull = pulls.iter().find(|one| one.number == number).unwrap();
    let comments = pull.comments.iter().map(|one| one.body.clone());
    comments.collect::<Vec<String>>().join("\n")
}

async fn told_masked(what: &str, rollout_is_sealed: bool) {
    let sealer = Sealer::new();
    let mut world = World::with(Some(Hub::github().await)).await;
    world.identities = Identities::parse([("key", sealer.key.as_str())]).unwrap();
    if rollout_is_sealed {
        world.follow.commit("p/rollout.yaml", &sealer.yaml(ROLLOUT), &[]);
        world.follow.git(&["push", "-q", "origin", "main"]);
    }
    world.turns(2).await;

    world.follow.git(&["checkout", "-q", "-b", "there"]);
    let promotion = sealer.yaml(&world.promotion("onto-fast", ""));
    world.follow.commit(FILE, &promotion, &[]);
    let there = merged(&world, "Promote", "there").await;
    world.until(1, "Completed").await;
    assert_on(&world, "fast", 2, what);
    let first = world.newest().unwrap();
    world.turns(3).await;

    world.follow.git(&["checkout", "-q", "-b", "back"]);
    world.follow.git(&["rm", "-q", FILE]);
    world.follow.git(&["commit", "-q", "-m", "back"]);
    let back = merged(&world, "Take it back", "back").await;
    world.until(2, "Completed").await;
    assert_on(&world, "slow", 2, what);
    let second = world.newest().unwrap();
    world.turns(3).await;

    // The stars of the mask, as they are written where Markdown would read them.
    let mask = "| `???` | `???`";
    for (number, way) in [(there, "there"), (back, "back")] {
        let said = said(&world, number);
        assert!(said.contains("**Moved.**"), "{what}, {way}: {said}");
        assert!(said.contains(mask), "{what}, {way}: {said}");
        names_nothing(&said, [&first, &second], &format!("{what}, {way}"));
    }
    world.follow.git(&["fetch", "-q", "origin"]);
    let audit = world
        .follow
        .git(&["log", "-p", "--format=%B", "origin/couchestor/audit"]);
    assert_eq!(audit.matches("Result: Completed").count(), 2, "{audit}");
    names_nothing(&audit, [&first, &second], &format!("{what}, audited"));
}

/// The claim, its workload and the moves, whose names begin with it, are not named.
fn names_nothing(said: &str, moves: [&serde_json::Value; 2], what: &str) {
    let mut names = vec![CLAIM, "StatefulSet/shop"];
    names.extend(moves.map(|one| text(one, "/metadata/name")));
    for name in names {
        assert!(!said.contains(name), "{what} names {name}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_encrypted_rollout_the_pull_request_that_promotes_it_names_no_claim() {
    told_masked("an encrypted rollout", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_encrypted_promotion_of_a_rollout_in_the_clear_its_way_back_is_not_named_either() {
    told_masked("an encrypted promotion", false).await;
}
