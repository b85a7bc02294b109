//! What cannot be measured has not changed, and a source says when it is blind.

use super::stage::Stage;
use crate::forges::world::World;
use crate::proposals::followed::{VOLUMES, proposal};
use couchestor::sim::prometheus::Load;
use serde_json::{Value, json};

/// What cannot be measured has not changed: an outage closes no pull request.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_prometheus_withdraws_nothing() {
    let mut stage = Stage::set(World::github().await, json!({})).await;
    let number = stage.opened().await;
    stage.follow.running.prometheus.fail(Some("down"), None);
    stage.follow.run().await;
    let unknown = async || {
        let all = stage.follow.running.kubernetes.list("StoragePolicy");
        all.iter()
            .any(|one| one["status"].to_string().contains("HeatUnknown"))
            .then_some(())
    };
    stage.until("HeatUnknown", unknown).await;
    stage.follow.turns(3).await;
    assert!(stage.world.forge.get(number).await.unwrap().is_open());
    stage.follow.running.prometheus.fail(None, None);
    stage.load(2000.0);
    let closed = async || (!stage.world.forge.get(number).await.unwrap().is_open()).then_some(());
    stage
        .until("the withdrawal of what no longer holds", closed)
        .await;
    let why = async || {
        let all = stage.world.forge.comments(number, None).await.unwrap();
        let said = "- `db/data-0`: 2000 IOPS lies between the thresholds";
        all.iter().any(|one| one.body.contains(said)).then_some(())
    };
    stage.until("the reason", why).await;
    stage.follow.halt().await;
}

/// What policies go by could not be read, and the source says so; what Git says is applied all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_says_when_it_is_blind() {
    let mut stage = Stage::set(World::github().await, json!({})).await;
    stage.follow.run().await;
    stage.follow.until("Measured", &["True/Measured"]).await;
    stage.follow.running.prometheus.fail(Some("down"), None);
    let words = [
        "False/PrometheusUnavailable",
        "questions were not answered",
        "down",
    ];
    stage.follow.until("Measured", &words).await;
    stage
        .follow
        .until("Ready", &["True/ReconciliationSucceeded"])
        .await;
    stage.follow.running.prometheus.fail(None, None);
    stage.follow.until("Measured", &["True/Measured"]).await;
    stage.follow.halt().await;
}

/// One of two cannot be measured any more: the other one's refresh does not drop it.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_cannot_be_measured_stays_when_its_proposal_is_refreshed() {
    let mut stage = Stage::set(World::github().await, json!({})).await;
    let second = |load: Option<Load>| stage.follow.running.prometheus.set(VOLUMES[1], load);
    second(Some(Load::random(9000.0, 1.0)));
    stage.follow.run().await;
    let both = |one: &Value| one["number"].is_u64() && one["moves"].as_array().map(Vec::len) == Some(2);
    let before = proposal(&stage.follow, "two moves", both).await;
    stage.follow.halt().await;
    stage.follow.running.prometheus.set(VOLUMES[1], None);
    // Base moves on, so that the proposal is made anew.
    let tip = stage.push("p/more.yaml", "# nothing\n").await;
    stage.follow.run().await;
    let anew = |one: &Value| one["base"] == tip.as_str() && one["commit"] != before["commit"];
    let after = proposal(&stage.follow, "the refresh", anew).await;
    assert_eq!(after["moves"], before["moves"], "{after:#}");
    let pull = stage
        .world
        .forge
        .get(after["number"].as_u64().unwrap())
        .await
        .unwrap();
    assert!(
        pull.body.contains("`db/data-1`") && pull.body.contains("9000 IOPS"),
        "{}",
        pull.body
    );
    stage.follow.halt().await;
}
