//! The way back: a move that failed, and one that made its volume slower, are proposed to be taken back.

use super::stage::Stage;
use crate::forges::world::World;
use crate::proposals::followed::{POLICIES, VOLUMES, proposal};
use crate::proposals::life::client;
use couchestor::sim::forge::MergeBy;
use serde_json::{Value, json};

/// What the cluster holds after a migration that was rolled back.
pub(super) fn rolled_back(commit: &str) -> Value {
    let at = "2026-11-21T14:30:00Z";
    json!({
        "apiVersion": "storage.billyronks.io/v1", "kind": "VolumeMigration",
        "metadata": {"name": "db-data-0-failed"},
        "spec": {
            "source": {"namespace": "couchestor-system", "name": "homelab"},
            "claim": {"namespace": "db", "name": "data-0"},
            "volume": VOLUMES[0], "volumeUuid": &VOLUMES[0][4..], "from": "cold", "to": "hot",
            "toPoolLabels": {}, "timeoutSeconds": 60, "policy": "tiering",
            "approved": {"revision": "main", "commit": commit, "author": "Ann", "at": at, "path": "x"},
        },
        "status": {
            "phase": "RolledBack", "message": "the copy made no progress for 10 min",
            "startedAt": couchestor::io::clock::now().to_string(),
            "finishedAt": couchestor::io::clock::now().to_string(),
        },
    })
}

pub(super) async fn a_failed_move_is_told_and_taken_back(world: World) {
    let mut stage = Stage::set(world, json!({})).await;
    let first = stage.opened().await;
    stage.world.merge(first, MergeBy::Squash, "ann").await;
    let tip = stage.world.tip("main").await;
    stage.follow.put(rolled_back(&tip));
    stage.follow.run().await;
    let text = stage.told(first, "**failed**; rolled back").await;
    assert!(
        text.contains("the copy made no progress for 10 min") && text.contains("kubectl describe"),
        "{text}"
    );
    stage.status(&tip, "failure").await;
    let back = |one: &Value| one["policy"] == "rollback/tiering" && one["number"].is_u64();
    let record = proposal(&stage.follow, "the way back", back).await;
    let number = record["number"].as_u64().unwrap();
    let pull = stage.world.forge.get(number).await.unwrap();
    assert_eq!(pull.title, "Take back the failed move of db/data-0 to hot");
    assert!(
        pull.body.contains("the copy made no progress for 10 min"),
        "{}",
        pull.body
    );
    assert!(pull.labels.contains(&"storage".to_owned()), "{:?}", pull.labels);
    stage.follow.halt().await;
    stage.world.merge(number, MergeBy::Squash, "ann").await;
    stage.follow.run().await;
    // Base says where the volume is, and nothing is moved for that; the policy may ask again.
    let again = |one: &Value| one["policy"] == "tiering" && one["number"].as_u64() > Some(number);
    proposal(&stage.follow, "the policy's next proposal", again).await;
    let merged = |one: &Value| one["policy"] == "rollback/tiering" && one["state"] == "Merged";
    let merged = proposal(&stage.follow, "the merge", merged).await;
    assert_eq!(merged["moves"][0]["accepted"], true, "{merged:#}");
    assert_eq!(stage.migrations().len(), 1);
    let folder = tempfile::tempdir().unwrap();
    let person = client(&stage.world, &folder, "person");
    let tip = person.fetch("main").await.unwrap().branches["main"].clone();
    let file = person
        .read_at(&tip, "p/assignments/db/data-0.yaml")
        .await
        .unwrap();
    let file = String::from_utf8(file).unwrap();
    assert!(
        file.contains("tier: cold") && !file.contains("decision"),
        "{file}"
    );
    stage.follow.halt().await;
}

pub(super) async fn a_no_to_the_way_back_is_remembered(world: World) {
    let mut stage = Stage::set(world, json!({})).await;
    let first = stage.opened().await;
    stage.world.merge(first, MergeBy::Squash, "ann").await;
    stage.follow.put(rolled_back(&stage.world.tip("main").await));
    stage.follow.run().await;
    let back = |one: &Value| one["policy"] == "rollback/tiering" && one["number"].is_u64();
    let record = proposal(&stage.follow, "the way back", back).await;
    stage.world.turn(record["number"].as_u64().unwrap(), false).await;
    stage.follow.poke().await;
    let declined = |one: &Value| one["policy"] == "rollback/tiering" && one["state"] == "Declined";
    proposal(&stage.follow, "the no", declined).await;
    stage.follow.turns(3).await;
    assert_eq!(stage.world.forge.list_open(10).await.unwrap(), []);
    stage.follow.halt().await;
}

/// A move that succeeded and made the volume slower.
pub(super) async fn what_became_slower_is_proposed_to_move_back(world: World) {
    let mut stage = Stage::set(world, json!({})).await;
    let asking =
        format!("{POLICIES}  samplingWindow: 1m\n  rollback: {{latencyWorsePercent: 50, within: 24h}}\n");
    stage.push("p/policies.yaml", &asking).await;
    let first = stage.opened().await;
    stage.world.merge(first, MergeBy::Squash, "ann").await;
    stage.follow.run().await;
    let done = stage.ended("Completed").await;
    assert_eq!(done["spec"]["latencyBeforeMs"], 2.0, "{done:#}");
    stage.told(first, "| moved |").await;
    stage.follow.halt().await;
    stage.slower_since(done, 7200);
    stage.follow.run().await;
    let back = |one: &Value| one["policy"] == "slower/tiering" && one["number"].is_u64();
    let record = proposal(&stage.follow, "the way back", back).await;
    let number = record["number"].as_u64().unwrap();
    let pull = stage.world.forge.get(number).await.unwrap();
    assert_eq!(pull.title, "Move db/data-0 back to cold: it became slower");
    assert!(
        pull.body.contains("| cold → hot | 2.00 ms | 6.00 ms |"),
        "{}",
        pull.body
    );
    // What the policy holds for too slow is its own affair.
    assert!(
        !pull.body.contains("50 %") && !pull.body.contains("50%"),
        "{}",
        pull.body
    );
    stage.follow.halt().await;
    stage.world.merge(number, MergeBy::Squash, "ann").await;
    stage.follow.run().await;
    let back = async || {
        let all = stage.migrations();
        let is_back = |one: &Value| one["spec"]["to"] == "cold" && one["status"]["phase"] == "Completed";
        all.into_iter().find(is_back)
    };
    let back = stage.until("the way back", back).await;
    assert_eq!(
        back["spec"]["latencyBeforeMs"],
        Value::Null,
        "nobody asks for it again"
    );
    stage.follow.halt().await;
}
