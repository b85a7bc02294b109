//! Velero's kinds, and others that a restore looks at, for the simulated API server; what Velero would write is written by tests.

use serde_json::{Value, json};

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
