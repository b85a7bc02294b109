//! Restores that people ask for, by the real command, from what the real Velero backed up, on a real API server with Kubernetes'
//! controllers: first the data of a claim that is in use, then all of a namespace that is gone.

use crate::support::kubelet::Copy;
use crate::support::objects::{get, list, text, until, until_within};
use crate::support::{servers, velero};
use kube::Client;
use serde_json::{Value, json};
use std::process::{Command, Output};
use std::time::Duration;

const NAMESPACE: &str = "returned";
const CLAIM: &str = "/api/v1/namespaces/returned/persistentvolumeclaims/data";
const WORKLOAD: &str = "/apis/apps/v1/namespaces/returned/deployments/web";

/// Namespaces end slowly.
const PATIENCE: Duration = Duration::from_secs(240);

/// The command ends by itself; what it cannot do in this time it says.
fn restore(arguments: &[&str]) -> Output {
    let fixed = [
        "--kubeconfig",
        &velero::cluster().kubeconfig_path().display().to_string(),
    ]
    .map(str::to_owned);
    Command::new(env!("CARGO_BIN_EXE_couchestor"))
        .arg("restore")
        .args(arguments)
        .args(fixed)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

async fn running(client: &Client) {
    until(client, WORKLOAD, "the workload runs", |one| {
        one["status"]["readyReplicas"] == 1
    })
    .await;
}

/// The volume of the claim.
async fn bound(client: &Client) -> String {
    let claim = until(client, CLAIM, "the claim is bound", |claim| {
        text(claim, "/status/phase") == "Bound"
    })
    .await;
    text(&claim, "/spec/volumeName").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_real_velero_backed_up_comes_back_under_a_claim_in_use_and_into_a_namespace_that_is_gone() {
    if servers::left_out("velero::returned") {
        return;
    }
    let (server, kubelet) = (velero::shared(), velero::kubelet());
    let client = velero::admin().await;
    velero::cluster().kubectl(&["apply", "-f", "-"], include_str!("returned.yaml"));
    kubelet.copy(NAMESPACE, "data", Copy::Whole(4096));
    running(&client).await;
    let old = bound(&client).await;
    server.located(&client, "shared", "Available").await;
    let spec = json!({"storageLocation": "shared", "includedNamespaces": [NAMESPACE], "defaultVolumesToFsBackup": true, "ttl": "48h"});
    let backup = server.backup(&client, "returned", spec).await;
    assert_eq!(
        text(&backup, "/status/phase"),
        "Completed",
        "{backup:#?}\n{}",
        server.log()
    );

    // The data of a claim that is in use: a plan, and what it says.
    let planned = restore(&["plan", NAMESPACE, "--replace", "--backup", "returned"]);
    let plan = said(&planned);
    assert_eq!(planned.status.code(), Some(0), "{plan}");
    for words in [
        old.as_str(),
        "given a new volume; the old one is kept",
        "scaled to 0, and back to 1",
    ] {
        assert!(plan.contains(words), "{words}\n{plan}");
    }
    let run = || {
        let all = ["run", NAMESPACE, "--replace", "--backup", "returned", "--yes"];
        tokio::task::spawn_blocking(move || restore(&all))
    };
    let done = run().await.unwrap();
    assert_eq!(done.status.code(), Some(0), "{}\n{}", said(&done), server.log());
    running(&client).await;
    let new = bound(&client).await;
    assert_ne!(new, old);
    let kept = get(&client, &format!("/api/v1/persistentvolumes/{old}"))
        .await
        .unwrap();
    assert_eq!(text(&kept, "/spec/persistentVolumeReclaimPolicy"), "Retain");
    assert!(said(&done).contains(&old), "{}", said(&done));
    let came = list(
        &client,
        server.path("podvolumerestores", "").trim_end_matches('/'),
    )
    .await;
    let ours = |one: &&Value| text(one, "/spec/pod/namespace").starts_with("restore-returned-");
    let came = came.iter().find(ours);
    assert!(said(&done).contains("data: 4096 bytes"), "{}", said(&done));
    // Whoever deletes a Restore deletes what Velero wrote down of its volumes.
    assert!(
        came.is_none_or(|one| one["status"]["progress"]["bytesDone"] == 4096),
        "{came:?}"
    );
    nothing_is_left(&client).await;

    // All of a namespace that is gone.
    velero::cluster().kubectl(&["delete", "namespace", NAMESPACE, "--wait=false"], "");
    let began = std::time::Instant::now();
    while get(&client, "/api/v1/namespaces/returned").await.is_some() {
        assert!(began.elapsed() < PATIENCE, "the namespace does not end");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let all = ["run", NAMESPACE, "--backup", "returned", "--yes"];
    let done = tokio::task::spawn_blocking(move || restore(&all)).await.unwrap();
    assert_eq!(done.status.code(), Some(0), "{}\n{}", said(&done), server.log());
    running(&client).await;
    let third = bound(&client).await;
    assert!(third != new && third != old, "{third}");
    let config = get(&client, "/api/v1/namespaces/returned/configmaps/settings").await;
    assert_eq!(
        config.map(|one| text(&one, "/data/colour").to_owned()).as_deref(),
        Some("blue")
    );
}

/// No scratch namespace and no record.
async fn nothing_is_left(client: &Client) {
    let ours = |one: &&Value| text(one, "/metadata/name").starts_with("restore-returned-");
    until_within(
        PATIENCE,
        client,
        "/api/v1/namespaces",
        "the scratch namespace is gone",
        |all| {
            let items = all["items"].as_array().unwrap();
            items.iter().find(ours).is_none()
        },
    )
    .await;
    let records = list(client, "/api/v1/configmaps").await;
    let record = |one: &&Value| text(one, "/metadata/name").starts_with("couchestor-restore-");
    assert_eq!(records.iter().find(record), None);
}
