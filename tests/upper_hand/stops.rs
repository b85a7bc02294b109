//! All moves of a source stand still: a file in Git, an annotation, a dry run, failures in a row.

use super::{Stage, UUID, cordons};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_git_freezes_moves_until_a_commit_removes_it() {
    let mut stage = Stage::set().await;
    stage
        .follow
        .commit("p/FREEZE", "moving house\nuntil Monday\n", &[]);
    stage.approve();
    stage.follow.source(json!({}));
    stage.follow.run().await;
    stage
        .follow
        .until("Moving", &["False/Frozen", "moving house"])
        .await;
    stage.assignment_waits("Frozen").await;
    assert!(stage.migrations().is_empty(), "nothing starts");
    let said = stage.says(&["status"], 0);
    assert!(
        said.contains("stand still (Frozen)") && said.contains("moving house"),
        "{said}"
    );

    stage.stall(true);
    stage.follow.git(&["rm", "-q", "p/FREEZE"]);
    stage.follow.git(&["commit", "-q", "-m", "Go on"]);
    stage.in_phase(None, "WaitSync").await;
    // A running move stands still, also by a commit that nothing can be made of, and across a restart.
    stage.follow.commit("p/broken.yaml", "kind: [", &[]);
    stage.follow.commit("p/FREEZE", "hands off\n", &[]);
    let held = || {
        let all = stage.migrations();
        let why = all[0]["status"]["held"]["why"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        why.contains("hands off").then_some(())
    };
    stage.until("the hold", held).await;
    stage.follow.halt().await;
    stage.stall(false);
    stage.follow.run().await;
    stage.follow.until("Moving", &["False/Frozen", "hands off"]).await;
    assert!(stage.migrations()[0]["status"]["phase"] != "Completed");
    stage.follow.git(&["rm", "-q", "p/FREEZE", "p/broken.yaml"]);
    stage.follow.git(&["commit", "-q", "-m", "Go on"]);
    stage.in_phase(None, "Completed").await;
    stage.follow.until("Moving", &["True/MovesStart"]).await;
    stage.follow.halt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_annotation_on_the_source_pauses_all_of_its_moves() {
    let mut stage = Stage::set().await;
    stage.approve();
    stage.follow.source(json!({}));
    stage.annotate_source("storage.billyronks.io/paused", Some("true"));
    stage.follow.run().await;
    stage
        .follow
        .until("Moving", &["False/Paused", "no reason is given"])
        .await;
    assert!(stage.migrations().is_empty(), "nothing starts");
    let said = stage.says(&["migrations", "resume-all"], 1);
    assert!(said.contains("stops all moves"), "{said}");
    stage.annotate_source("storage.billyronks.io/paused", None);
    stage.in_phase(None, "Completed").await;
    stage.follow.halt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_holds_the_moves_that_an_earlier_start_began() {
    let mut stage = Stage::set().await;
    stage.stall(true);
    stage.approve();
    stage.follow.source(json!({}));
    stage.follow.run().await;
    stage.in_phase(None, "WaitSync").await;
    stage.follow.dry_run = true;
    stage.follow.run().await;
    let held = || {
        let all = stage.migrations();
        let why = all[0]["status"]["held"]["why"].as_str().unwrap_or_default();
        why.contains("--dry-run").then_some(())
    };
    stage.until("the hold", held).await;
    stage.stall(false);
    // Two copies, both complete: all that the removal of the old one would wait for.
    let whole = || {
        stage.follow.running.mayastor.with(|state| {
            let volume = &state.volumes[UUID];
            (volume.copies.len() == 2 && volume.synced().count() == 2).then_some(())
        })
    };
    stage.until("the new copy to be whole", whole).await;
    stage.follow.turns(20).await;
    assert_eq!(stage.migrations()[0]["status"]["phase"], "WaitSync");
    assert_eq!(stage.pools().len(), 2, "{:?}", stage.pools());
    assert_eq!(cordons(&stage), 0);
    stage.follow.dry_run = false;
    stage.follow.run().await;
    stage.in_phase(None, "Completed").await;
    stage.follow.halt().await;
}

/// A migration of another volume that was rolled back just now.
fn rolled_back(number: usize) -> Value {
    let at = couchestor::io::clock::now().to_string();
    json!({
        "apiVersion": "storage.billyronks.io/v1", "kind": "VolumeMigration",
        "metadata": {"name": format!("failed-{number}")},
        "spec": {
            "source": {"namespace": "couchestor-system", "name": "homelab"},
            "claim": {"namespace": "db", "name": format!("gone-{number}")},
            "volume": format!("pvc-gone-{number}"), "volumeUuid": format!("gone-{number}"), "from": "cold", "to": "hot",
            "toPoolLabels": {}, "timeoutSeconds": 60,
            "approved": {"revision": "main", "commit": "c", "author": "Ann", "at": at, "path": "x"},
        },
        "status": {"phase": "RolledBack", "message": "no room", "startedAt": at, "finishedAt": at},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_in_a_row_stop_what_is_new_until_a_person_has_looked() {
    let mut stage = Stage::set().await;
    stage.follow.source(json!({"moves": {"stopAfterFailures": 2}}));
    stage.follow.run().await;
    stage.follow.until("Moving", &["True/MovesStart"]).await;
    stage.follow.put(rolled_back(1));
    stage.follow.put(rolled_back(2));
    stage
        .follow
        .until("Moving", &["False/StoppedAfterFailures", "failed-1, failed-2"])
        .await;
    stage.approve();
    stage.assignment_waits("StoppedAfterFailures").await;
    stage.follow.turns(3).await;
    let events = stage.follow.running.kubernetes.list("Event").into_iter();
    let told: Vec<Value> = events
        .filter(|one| one["reason"] == "StoppedAfterFailures")
        .collect();
    // What is told again makes a series of it.
    assert!(told.len() == 1 && told[0]["series"].is_null(), "{told:#?}");
    // A controller that starts anew knows it too.
    stage.follow.run().await;
    stage
        .follow
        .until("Moving", &["False/StoppedAfterFailures"])
        .await;
    assert_eq!(stage.migrations().len(), 2, "nothing starts");
    let said = stage.says(&["migrations", "resume-all"], 0);
    assert!(said.contains("moves start again"), "{said}");
    stage.in_phase(None, "Completed").await;
    stage.follow.until("Moving", &["True/MovesStart"]).await;
    let said = stage.says(&["migrations", "resume-all"], 0);
    assert!(said.contains("no source's moves were stopped"), "{said}");
    stage.follow.halt().await;
}
