//! Rollouts under the whole controller: phases open one after the other as claims appear on the class, across restarts, and are told in
//! the object's status and by Events. What a figure of Prometheus is, the real one says.

use crate::support::follow::Follow;
use crate::support::prometheus::{Prometheus, Rates, Recording};
use crate::support::servers;
use couchestor::io::prometheus::Prometheus as Client;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;

/// A turn takes a fraction of a second; a busy machine may need more.
const PATIENCE: Duration = Duration::from_secs(120);

/// Phases over the claims of `policies/world.yaml`: two of `db` are on the class from the start, one of `monitoring` is not.
const ROLLOUT: &str = "apiVersion: storage.billyronks.io/v1
kind: Rollout
metadata: {name: onto-mayastor}
spec:
  storageClassName: mayastor
  phases:
  - name: databases
    workloads: [{namespace: db}]
    soak: 2s
  - name: monitoring
    workloads: [{namespace: monitoring}]
  - name: last
    workloads: [{namespace: web}]
    gates: [{metric: {name: nothing, query: nothing_is_called_so, below: 1}}]
";

fn rollout(follow: &Follow) -> Value {
    let found = follow.running.kubernetes.get("Rollout", None, "onto-mayastor");
    found.map(|one| one["status"].clone()).unwrap_or_default()
}

/// The states of the phases.
fn states(status: &Value) -> Vec<String> {
    let phases = status["phases"].as_array().cloned().unwrap_or_default();
    let state = |phase: &Value| phase["state"].as_str().unwrap_or_default().to_owned();
    phases.iter().map(state).collect()
}

async fn until(follow: &Follow, expected: [&str; 3]) -> Value {
    let look = async || Some(rollout(follow)).filter(|status| states(status) == expected);
    let what = format!("{expected:?}, in place of {:#}", rollout(follow));
    follow.found(&what, PATIENCE, look).await
}

/// The claim of `monitoring` is made again on the class, as a person does it.
fn moved(follow: &Follow, class: &str) {
    let cluster = &follow.running.kubernetes;
    let (space, name) = (Some("monitoring"), "metrics-0");
    let mut claim = cluster.get("PersistentVolumeClaim", space, name).unwrap();
    claim["spec"]["storageClassName"] = json!(class);
    let volume = claim["spec"]["volumeName"].as_str().unwrap().to_owned();
    let mut volume = cluster.get("PersistentVolume", None, &volume).unwrap();
    volume["spec"]["storageClassName"] = json!(class);
    cluster.put(volume).unwrap();
    cluster.put(claim).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn phases_open_one_after_the_other_and_across_restarts() {
    let mut follow = Follow::new().await;
    follow.commit("p/rollout.yaml", ROLLOUT, &[]);
    follow.source(json!({}));
    follow.run().await;
    let status = until(&follow, ["Done", "Open", "Waiting"]).await;
    assert_eq!(status["phase"], "monitoring");
    assert_eq!(
        status["phases"][1]["waitsFor"],
        "monitoring/metrics-0 on mayastor"
    );
    assert_eq!(status["phases"][2]["waitsFor"], "phase monitoring");
    let ready = &status["conditions"][0];
    assert_eq!(
        (&ready["status"], &ready["reason"]),
        (&json!("False"), &json!("PhaseOpen"))
    );
    // Its soak is over, and that outlives the controller; nothing is written while nothing changes.
    follow.run().await;
    follow.turns(3).await;
    assert_eq!(rollout(&follow), status);

    moved(&follow, "mayastor");
    let status = until(&follow, ["Done", "Done", "Open"]).await;
    let waits = status["phases"][2]["waitsFor"].as_str().unwrap();
    assert!(waits.starts_with("metric nothing: "), "{waits}");
    // It goes back: that is told, and the last phase waits again.
    moved(&follow, "openebs-hostpath");
    let status = until(&follow, ["Done", "Done", "Waiting"]).await;
    assert_eq!(
        status["phases"][2]["waitsFor"],
        "phase monitoring: monitoring/metrics-0 on mayastor"
    );
    moved(&follow, "mayastor");
    until(&follow, ["Done", "Done", "Open"]).await;

    // Without the gate that nobody can satisfy all is done.
    let gate = ROLLOUT.lines().rfind(|line| line.contains("gates:")).unwrap();
    follow.commit("p/rollout.yaml", &ROLLOUT.replace(&format!("{gate}\n"), ""), &[]);
    let status = until(&follow, ["Done", "Done", "Done"]).await;
    assert_eq!(status.get("phase"), None);
    let look = async || {
        let ready = rollout(&follow)["conditions"][0].clone();
        (ready["status"] == "True").then_some(ready)
    };
    let ready = follow.found("Ready", PATIENCE, look).await;
    assert_eq!(ready["message"], "all 3 phases are done");
    let events = follow.running.kubernetes.list("Event");
    for reason in ["PhaseOpen", "PhaseDone", "PhaseWaits"] {
        assert!(
            events.iter().any(|one| one["reason"] == reason),
            "{reason}: {events:#?}"
        );
    }
    follow.halt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_figure_is_exactly_one_number() {
    if servers::left_out("a_figure_is_exactly_one_number") {
        return;
    }
    let now = couchestor::io::clock::now().as_second();
    let recording = Recording {
        volumes: vec![("a", Box::new(|_| Some(Rates::default())))],
        first: now - 600,
        last: now,
        scrape: 60,
    };
    let server = Prometheus::with(&recording);
    let client = Client::new(&server.url).unwrap();
    let at = Timestamp::from_second(now).unwrap();
    for (query, expected) in [
        ("7", Ok(7.0)),
        ("scalar(vector(2.5))", Ok(2.5)),
        ("vector(3)", Ok(3.0)),
        ("count(nothing_is_called_so) or vector(0)", Ok(0.0)),
        ("nothing_is_called_so", Err("has no value")),
        ("scalar(nothing_is_called_so)", Err("value is NaN")),
        ("1 / 0", Err("value is +Inf")),
        (
            "label_replace(vector(1), \"a\", \"b\", \"\", \"\") or vector(1)",
            Err("has 2 values"),
        ),
        ("count(", Err("refused the query")),
        ("vector(1)[5m:1m]", Err("cannot be read")),
    ] {
        let found = client.figure(query, at).await.map_err(|error| error.to_string());
        match (&found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(*found, expected, "{query}"),
            (Err(found), Err(words)) => assert!(found.contains(words), "{query}: {found}"),
            (found, expected) => panic!("{query}: {found:?} in place of {expected:?}"),
        }
    }
}
