//! Drills under faults: lost writes, controllers that are started anew or die.

use super::{PATIENCE, Plays, Stage, play};
use crate::support::{say, seed};
use couchestor::sim::kubernetes::{On, What};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Faults between all steps, and a controller that is started anew now and then: each drill ends once, with the same result.
#[tokio::test(flavor = "multi_thread")]
async fn faults_and_restarts_change_nothing_about_the_end_of_a_drill() {
    let mut random = fastrand::Rng::with_seed(seed("drills under faults"));
    let mut happened = 0;
    let mut stage = Stage::new(Plays::Well).await;
    for round in 1..=6 {
        stage.request(&format!("round {round}"));
        let began = Instant::now();
        while stage.policy()["status"]["drills"].as_array().map_or(0, Vec::len) < round {
            assert!(began.elapsed() < PATIENCE, "round {round}: {:#}", stage.policy());
            play(stage.sim(), Plays::Well);
            let what = match random.u8(..4) {
                0 => What::Drop,
                1 => What::LoseReply,
                2 => What::Conflict,
                _ => What::Answer(500),
            };
            stage.sim().faults().order(On::Writes, 1, what);
            tokio::time::sleep(Duration::from_millis(random.u64(20..200))).await;
            happened += 1 - stage.sim().faults().left().min(1);
            stage.sim().faults().clear();
            if random.u8(..8) == 0 {
                stage.follow.run().await;
            }
        }
        let record = stage.ended(round).await;
        assert_eq!(record["passed"], true, "round {round}: {record:#}");
        stage.assert_tidy(&format!("round {round}"));
        let audited = stage.audited();
        assert_eq!(
            audited.len(),
            round,
            "{audited:#?} {:#}",
            stage.policy()["status"]
        );
    }
    assert!(happened > 0, "nothing went wrong");
    say(&format!(
        "6 drills and {happened} faults: each ended once, and left nothing"
    ));
    stage.end().await;
}

/// The evidence is written before the status says that the drill has ended. Who dies in between is followed by one that ends it with the
/// evidence that is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_drill_whose_controller_dies_between_its_evidence_and_its_end_ends_once() {
    let mut stage = Stage::new(Plays::Well).await;
    stage.request("now");
    let at = |policy: &Value, phase: &str| policy["status"]["drill"]["phase"] == phase;
    let policy = stage.until("it restores", |policy| at(policy, "Restore")).await;
    let scratch = policy["status"]["drill"]["scratch"].clone();
    let name = scratch.as_str().unwrap();
    // While this is held the namespace stays, and the drill waits for it.
    let held = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "held", "namespace": name, "finalizers": ["example.org/held"]}});
    stage.sim().put(held).unwrap();
    stage
        .until("it waits for the namespace to go", |policy| {
            let going = stage.sim().get("Namespace", None, name);
            at(policy, "CleanUp") && going.is_some_and(|one| !one["metadata"]["deletionTimestamp"].is_null())
        })
        .await;
    let writes_lost = 10_000;
    stage
        .sim()
        .faults()
        .order(On::StatusWrites, writes_lost, What::Drop);
    stage.sim().remove("ConfigMap", Some(name), "held");
    stage.sim().remove("Namespace", None, name);
    let recorded = async || Some(()).filter(|()| stage.has_audit_branch() && stage.audited().len() == 1);
    stage.follow.found("the evidence", PATIENCE, recorded).await;
    assert!(
        at(&stage.policy(), "CleanUp"),
        "the end is not written: {:#}",
        stage.policy()
    );
    assert!(stage.sim().faults().left() < writes_lost, "it was tried");
    stage.follow.halt().await;
    stage.sim().faults().clear();
    stage.follow.run().await;
    let record = stage.ended(1).await;
    assert_eq!(record["passed"], true, "{record:#}");
    assert_eq!(
        stage.audited(),
        [format!("{} Passed", record["id"].as_str().unwrap())]
    );
    stage.assert_tidy("it ended after a death");
    stage.follow.turns(2).await;
    stage.ended(1).await;
    stage.end().await;
}
