//! What was merged and can never be carried out as it was merged: it is used up, nothing moves, and the pull request says why.

use super::stage::Stage;
use crate::forges::world::World;
use crate::proposals::followed::{POLICIES, VOLUMES};
use couchestor::sim::forge::MergeBy;
use serde_json::json;

/// The claim is made anew and has another volume: its name is all that an assignment can go by.
fn another_volume(stage: &Stage) {
    const OTHER: &str = "pvc-5f3c1c6e-0b1d-4c86-9d5e-2b8f6f0a0009";
    let cluster = &stage.follow.running.kubernetes;
    let mut volume = cluster.remove("PersistentVolume", None, VOLUMES[0]).unwrap();
    volume["metadata"]["name"] = OTHER.into();
    cluster.put(volume).unwrap();
    let mut claim = cluster
        .get("PersistentVolumeClaim", Some("db"), "data-0")
        .unwrap();
    claim["spec"]["volumeName"] = OTHER.into();
    cluster.put(claim).unwrap();
}

/// The policy that asked for it has another name since.
async fn another_policy(stage: &Stage) {
    let policies = POLICIES.replace("name: tiering", "name: other");
    assert_ne!(policies, POLICIES);
    stage.push("p/policies.yaml", &policies).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_speaks_of_another_volume_or_policy_is_used_up_and_says_so() {
    for (what, words) in [
        ("volume", "the assignment was made for"),
        ("policy", "its StoragePolicy tiering is gone"),
    ] {
        let mut stage = Stage::set(World::github().await, json!({})).await;
        let number = stage.opened().await;
        stage.world.merge(number, MergeBy::Merge, "ann").await;
        match what {
            "volume" => another_volume(&stage),
            _ => another_policy(&stage).await,
        }
        stage.follow.run().await;
        let ended = stage.ended("Superseded").await;
        assert!(ended["status"]["startedAt"].is_null(), "{what}: {ended:#}");
        let text = stage.told(number, "superseded; nothing was moved").await;
        assert!(text.contains(words), "{what}: {text}");
        stage.follow.turns(2).await;
        assert_eq!(stage.migrations().len(), 1, "{what}");
        stage.follow.halt().await;
    }
}
