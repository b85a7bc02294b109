//! Velero's kinds, and others that a restore looks at, for the simulated API server; what Velero would write is written by tests.

use couchestor::sim::kubernetes::KubernetesSim;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// So many hours ago, to the second.
pub fn ago(hours: i64) -> String {
    let at = couchestor::io::clock::now() - SignedDuration::from_hours(hours);
    Timestamp::from_second(at.as_second()).unwrap().to_string()
}

/// A Backup as Velero makes it of a Schedule, with an upload of each claim as it is now, in that phase.
pub fn back_up(
    sim: &KubernetesSim,
    (schedule, name): (&str, &str),
    hours: i64,
    phase: &str,
    claims: &[(&str, &str, &str)],
) {
    let schedule = sim.get("Schedule", Some("velero"), schedule).unwrap();
    let template = &schedule["spec"]["template"];
    let uid = format!("uid-{name}");
    let made = json!({"apiVersion": "velero.io/v1", "kind": "Backup",
        "metadata": {"name": name, "namespace": "velero", "uid": uid, "labels": template["metadata"]["labels"]},
        "spec": template,
        "status": {"phase": phase, "startTimestamp": ago(hours), "completionTimestamp": ago(hours)}});
    sim.put(made).unwrap();
    for (namespace, claim, upload) in claims {
        let found = sim.get("PersistentVolumeClaim", Some(namespace), claim).unwrap();
        let made = json!({"apiVersion": "velero.io/v1", "kind": "PodVolumeBackup",
            "metadata": {"name": format!("{name}-{claim}"), "namespace": "velero", "labels": {
                "velero.io/backup-name": name, "velero.io/backup-uid": uid, "velero.io/pvc-uid": found["metadata"]["uid"]}},
            "spec": {"uploaderType": "kopia"},
            "status": {"phase": upload, "snapshotID": "5f1c", "progress": {"totalBytes": 4096, "bytesDone": 4096}}});
        sim.put(made).unwrap();
    }
}

/// Velero has taken what was rendered: the location is reached, and the Schedule read.
pub fn takes(sim: &KubernetesSim, location: &str, schedule: &str) {
    for (kind, name, phase) in [
        ("BackupStorageLocation", location, "Available"),
        ("Schedule", schedule, "Enabled"),
    ] {
        let mut one = sim.get(kind, Some("velero"), name).unwrap();
        one["status"] = json!({"phase": phase});
        sim.put(one).unwrap();
    }
}

fn crd(group: &str, version: &str, kind: &str, plural: &str) -> Value {
    let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}"),
            "annotations": {"api-approved.kubernetes.io": "unapproved, a test's"}},
        "spec": {"group": group, "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase(), "listKind": format!("{kind}List")},
            "versions": [{"name": version, "served": true, "storage": true, "schema": {"openAPIV3Schema": any}}]}})
}

/// Velero's kinds, of which nothing is pruned.
pub fn kinds() -> Vec<Value> {
    let velero = |kind: &str, plural: &str| crd("velero.io", "v1", kind, plural);
    vec![
        velero("Backup", "backups"),
        velero("Restore", "restores"),
        velero("Schedule", "schedules"),
        velero("BackupStorageLocation", "backupstoragelocations"),
        velero("PodVolumeBackup", "podvolumebackups"),
        velero("PodVolumeRestore", "podvolumerestores"),
    ]
}

/// What else a restore looks at: Velero's repositories, and what scales workloads up again.
pub fn others() -> Vec<Value> {
    vec![
        crd(
            "kustomize.toolkit.fluxcd.io",
            "v1",
            "Kustomization",
            "kustomizations",
        ),
        crd("helm.toolkit.fluxcd.io", "v2", "HelmRelease", "helmreleases"),
        crd("velero.io", "v1", "BackupRepository", "backuprepositories"),
        crd("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects"),
        crd("postgresql.cnpg.io", "v1", "Cluster", "clusters"),
    ]
}
