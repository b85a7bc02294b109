//! Volumes in backups and restores of the real Velero, with nodes and node agent played: what Velero calls complete, and what is in it.

use crate::support::kubelet::{Copy, Pod};
use crate::support::objects::{list, text, until};
use crate::support::{servers, velero};
use serde_json::{Value, json};

/// A namespace with a claim and a pod that mounts it, both named `data`.
fn shop(namespace: &str) {
    let text = include_str!("shop.yaml").replace("NAMESPACE", namespace);
    velero::cluster().kubectl(&["apply", "-f", "-"], &text);
}

async fn running(client: &kube::Client, namespace: &str, phase: &str) {
    let path = format!("/api/v1/namespaces/{namespace}/pods/data");
    let what = format!("the pod of {namespace} is {phase}");
    until(client, &path, &what, |pod| {
        text(pod, "/status/phase") == phase && !text(pod, "/spec/nodeName").is_empty()
    })
    .await;
}

fn of(namespace: &str) -> Value {
    json!({"storageLocation": "shared", "includedNamespaces": [namespace], "defaultVolumesToFsBackup": true, "ttl": "1h"})
}

/// A Backup's PodVolumeBackups.
async fn copies(velero: &velero::Velero, client: &kube::Client, backup: &str) -> Vec<Value> {
    let all = list(client, velero.path("podvolumebackups", "").trim_end_matches('/')).await;
    let mine = |one: &Value| text(one, "/metadata/labels/velero.io~1backup-name") == backup;
    all.into_iter().filter(mine).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_is_backed_up_into_a_real_repository_and_restored_into_another_namespace() {
    if servers::left_out("a_volume_is_backed_up_into_a_real_repository_and_restored_into_another_namespace") {
        return;
    }
    let (velero, kubelet) = (velero::shared(), velero::kubelet());
    let client = velero::admin().await;
    shop("whole");
    kubelet.copy("whole", "data", Copy::Whole(4096));
    running(&client, "whole", "Running").await;
    velero.located(&client, "shared", "Available").await;
    let backup = velero.backup(&client, "whole", of("whole")).await;
    assert_eq!(
        text(&backup, "/status/phase"),
        "Completed",
        "{backup:#?}\n{}",
        velero.log()
    );
    let made = copies(velero, &client, "whole").await;
    assert_eq!(made.len(), 1);
    assert_eq!(
        made[0]["status"]["progress"],
        json!({"bytesDone": 4096, "totalBytes": 4096})
    );
    let claim = until(
        &client,
        "/api/v1/namespaces/whole/persistentvolumeclaims/data",
        "the claim",
        |_| true,
    )
    .await;
    assert_eq!(
        made[0]["metadata"]["labels"]["velero.io/pvc-uid"],
        claim["metadata"]["uid"]
    );
    // What uploads are found by.
    assert_eq!(
        made[0]["metadata"]["labels"]["velero.io/backup-uid"],
        backup["metadata"]["uid"]
    );
    assert_eq!(made[0]["metadata"]["annotations"]["velero.io/pvc-name"], "data");
    // Velero itself made the repository, encrypted with the password that was there before it.
    assert!(!velero.s3.keys(velero::BUCKET, "kopia/whole/").is_empty());
    let repositories = list(
        &client,
        velero.path("backuprepositories", "").trim_end_matches('/'),
    )
    .await;
    let mine = repositories
        .iter()
        .find(|one| text(one, "/spec/volumeNamespace") == "whole");
    assert_eq!(mine.map(|one| text(one, "/status/phase")), Some("Ready"));

    let spec = json!({"backupName": "whole", "includedNamespaces": ["whole"], "namespaceMapping": {"whole": "whole-again"}});
    velero.make(&client, "Restore", "whole", spec).await.unwrap();
    let restore = velero.ended(&client, "restores", "whole").await;
    assert_eq!(
        text(&restore, "/status/phase"),
        "Completed",
        "{restore:#?}\n{}",
        velero.log()
    );
    // All objects are counted, those too that were there already.
    let progress = &restore["status"]["progress"];
    assert!(progress["totalItems"].as_u64() >= Some(3), "{progress}");
    assert_eq!(progress["itemsRestored"], progress["totalItems"]);
    let back = list(
        &client,
        velero.path("podvolumerestores", "").trim_end_matches('/'),
    )
    .await;
    let back: Vec<&Value> = back
        .iter()
        .filter(|one| text(one, "/spec/pod/namespace") == "whole-again")
        .collect();
    assert_eq!(back.len(), 1);
    assert_eq!(
        back[0]["status"]["progress"],
        json!({"bytesDone": 4096, "totalBytes": 4096})
    );
    running(&client, "whole-again", "Running").await;
    let claim = "/api/v1/namespaces/whole-again/persistentvolumeclaims/data";
    until(&client, claim, "the restored claim is bound", |claim| {
        text(claim, "/status/phase") == "Bound"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn completed_says_nothing_about_the_volume_of_a_pod_that_does_not_run() {
    if servers::left_out("completed_says_nothing_about_the_volume_of_a_pod_that_does_not_run") {
        return;
    }
    let (velero, kubelet) = (velero::shared(), velero::kubelet());
    let client = velero::admin().await;
    kubelet.pod("left-out", "data", Pod::Waits);
    shop("left-out");
    running(&client, "left-out", "Pending").await;
    velero.located(&client, "shared", "Available").await;
    let backup = velero.backup(&client, "left-out", of("left-out")).await;
    assert_eq!(text(&backup, "/status/phase"), "Completed");
    assert_eq!(backup["status"].get("errors"), None, "{backup:#?}");
    assert!(copies(velero, &client, "left-out").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_fails_is_a_backup_in_part_and_a_slow_one_is_waited_for() {
    if servers::left_out("a_volume_that_fails_is_a_backup_in_part_and_a_slow_one_is_waited_for") {
        return;
    }
    let (velero, kubelet) = (velero::shared(), velero::kubelet());
    let client = velero::admin().await;
    velero.located(&client, "shared", "Available").await;
    shop("fails");
    kubelet.copy("fails", "da*", Copy::Fails("disk on fire"));
    running(&client, "fails", "Running").await;
    let backup = velero.backup(&client, "fails", of("fails")).await;
    assert_eq!(text(&backup, "/status/phase"), "PartiallyFailed");
    assert_eq!(
        text(&copies(velero, &client, "fails").await[0], "/status/message"),
        "disk on fire"
    );

    // Called complete, with fewer bytes than there are: Velero does not look.
    kubelet.copy(
        "fails",
        "data",
        Copy::Short {
            done: 10,
            total: 4096,
        },
    );
    let backup = velero.backup(&client, "short", of("fails")).await;
    assert_eq!(text(&backup, "/status/phase"), "Completed");

    kubelet.copy("fails", "data", Copy::Waits);
    velero.make(&client, "Backup", "slow", of("fails")).await.unwrap();
    let path = velero.path("podvolumebackups", "");
    let under_way = |all: &Value| {
        let mut all = all["items"].as_array().into_iter().flatten();
        all.any(|one| {
            text(one, "/metadata/labels/velero.io~1backup-name") == "slow"
                && text(one, "/status/phase") == "InProgress"
        })
    };
    until(
        &client,
        path.trim_end_matches('/'),
        "the slow copy is under way",
        under_way,
    )
    .await;
    let backup = until(
        &client,
        &velero.path("backups", "slow"),
        "the slow backup",
        |_| true,
    )
    .await;
    assert_eq!(text(&backup, "/status/phase"), "InProgress");
    kubelet.copy("fails", "data", Copy::Whole(4096));
    let backup = velero.ended(&client, "backups", "slow").await;
    assert_eq!(text(&backup, "/status/phase"), "Completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pod_of_a_job_succeeds_unless_it_is_told_to_fail() {
    if servers::left_out("the_pod_of_a_job_succeeds_unless_it_is_told_to_fail") {
        return;
    }
    let (_velero, kubelet) = (velero::shared(), velero::kubelet());
    let client = velero::admin().await;
    kubelet.pod("jobs", "bad-*", Pod::Fails);
    velero::cluster().kubectl(&["create", "namespace", "jobs"], "");
    for (name, counter) in [("good", "succeeded"), ("bad", "failed")] {
        let template =
            json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "check", "image": "check"}]}});
        let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": "jobs"},
            "spec": {"backoffLimit": 0, "template": template}});
        velero::cluster().kubectl(&["apply", "-f", "-"], &job.to_string());
        let path = format!("/apis/batch/v1/namespaces/jobs/jobs/{name}");
        until(&client, &path, &format!("Job {name} has {counter}"), |job| {
            job["status"][counter] == 1
        })
        .await;
    }
}

/// The rules that are rendered end with one that has no conditions. It takes what no other took, also against what the Backup says by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_rule_without_conditions_takes_every_volume_that_no_other_took() {
    if servers::left_out("a_rule_without_conditions_takes_every_volume_that_no_other_took") {
        return;
    }
    let (velero, _kubelet) = (velero::shared(), velero::kubelet());
    let client = velero::admin().await;
    shop("ruled");
    running(&client, "ruled", "Running").await;
    velero.located(&client, "shared", "Available").await;
    for (name, volumes, method, by_itself, taken) in [
        ("ruled-in", "fs-backup", "skip", false, 1),
        ("ruled-out", "none", "fs-backup", true, 0),
    ] {
        let folder = super::Folder::with(&format!(
            "apiVersion: storage.billyronks.io/v1
kind: BackupLocation
metadata: {{name: shared, namespace: velero}}
spec: {{bucket: shared, region: none, endpoint: https://s3.example.org, credentials: {{name: shared}}}}
---
apiVersion: storage.billyronks.io/v1
kind: BackupPolicy
metadata: {{name: {name}, namespace: velero}}
spec:
  location: shared
  includedNamespaces: [ruled]
  volumes: {volumes}
  volumeRules: [{{storageClasses: [elsewhere], method: {method}, reason: nothing is of it}}]
  schedules: [{{name: s, schedule: 0 2 * * *}}]
"
        ));
        let rendered = folder.rendered();
        let rules = rendered
            .iter()
            .find(|one| text(one, "/kind") == "ConfigMap")
            .unwrap();
        velero.apply(rules);
        let mut spec = of("ruled");
        spec["defaultVolumesToFsBackup"] = json!(by_itself);
        spec["resourcePolicy"] = json!({"kind": "configmap", "name": rules["metadata"]["name"]});
        let backup = velero.backup(&client, name, spec).await;
        assert_eq!(text(&backup, "/status/phase"), "Completed", "{backup:#?}");
        assert_eq!(copies(velero, &client, name).await.len(), taken, "{name}");
    }
}
