//! The controller itself: somebody opens a pull request, it says what that would change, and what came of the merge.

use super::life::NOTES;
use crate::forges::world::World;
use crate::proposals::life::client;
use crate::support::follow::Follow;
use couchestor::io::git::{Lease, Signature};
use couchestor::model::rendering::FileChange;
use couchestor::sim::forge::{MergeBy, REPOSITORY};
use jiff::Timestamp;
use serde_json::json;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

async fn commit(world: &World, branch: &str, path: &str, text: &str) {
    let folder = tempfile::tempdir().unwrap();
    let person = client(world, &folder, "person");
    let tips = person.fetch("main").await.unwrap();
    let tip = tips.branches["main"].clone();
    let lease = match branch {
        "main" => Lease::At(tip.clone()),
        _ => Lease::Absent,
    };
    let files = vec![FileChange {
        path: path.to_owned(),
        content: Some(text.as_bytes().to_vec()),
    }];
    let who = Signature {
        name: "Ann".into(),
        email: "ann@example.org".into(),
    };
    let at = Timestamp::from_second(1_790_000_000).unwrap();
    let pushed = person.push_as(&who, branch, lease, Some(tip), files, "Change\n".into(), at);
    pushed.await.unwrap();
}

async fn until_said(world: &World, number: u64, words: &str, follow: &Follow) -> String {
    let began = Instant::now();
    loop {
        let all = world.forge.comments(number, None).await.unwrap();
        let ours: Vec<_> = all.iter().filter(|one| one.author == world.me()).collect();
        assert!(ours.len() < 2, "{ours:?}");
        if let Some(found) = ours.iter().find(|one| one.body.contains(words)) {
            return found.body.clone();
        }
        assert!(
            began.elapsed() < PATIENCE,
            "{words} was never said: {ours:?} {:#}",
            follow.status()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_what_a_merge_would_change_and_what_came_of_it() {
    let world = World::github().await;
    commit(&world, "main", "p/notes.yaml", NOTES).await;
    commit(&world, "change", "p/notes.yaml", &NOTES.replace("a: b", "a: c")).await;
    let sim = world.simulated();
    let number = sim.open("ann", "A change", ("change", "main"), false).unwrap();
    let mut follow = Follow::new().await;
    follow.secret("forge", json!({"token": world.token}));
    let forge =
        json!({"type": "github", "url": sim.url(), "repository": REPOSITORY, "secretRef": {"name": "forge"}});
    follow.source(json!({
        "url": format!("file://{}", sim.repository().display()),
        "proposals": {"path": "assignments", "forge": forge, "plans": {"commands": {"from": ["ann"]}}},
    }));
    follow.run().await;
    let said = until_said(&world, number, "`ConfigMap db/notes`", &follow).await;
    assert!(said.contains("`data.a`: `\"b\"` → `\"c\"`"), "{said}");
    follow.until("Ready", &["ReconciliationSucceeded"]).await;
    let review = &follow.status()["reviews"][0];
    assert_eq!(
        (&review["number"], &review["result"]),
        (&json!(number), &json!("Planned"))
    );
    world.merge(number, MergeBy::Squash, "ann").await;
    until_said(&world, number, "**Merged and applied**", &follow).await;
    let applied = follow
        .running
        .kubernetes
        .get("ConfigMap", Some("db"), "notes")
        .unwrap();
    assert_eq!(applied["data"]["a"], "c");
    follow.halt().await;
}
