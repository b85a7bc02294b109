//! What a restore makes: beside Velero's Restore, for the data of claims, a scratch namespace like a drill's, without network, in which
//! restored pods sleep.

use crate::execute::drill::objects::modifiers;
use crate::model::drills::PodSeen;
use crate::model::restores::Way;
use crate::model::restores::run::{RESTORE_LABEL, RESTORE_OF_LABEL, RestoreRun};
use serde_json::{Value, json};

fn labels(run: &RestoreRun) -> Value {
    json!({RESTORE_LABEL: run.id, "app.kubernetes.io/managed-by": "couchestor"})
}

/// The scratch namespace. It is created, never applied: a namespace that is there is somebody's.
pub fn scratch(run: &RestoreRun) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": run.scratch, "labels": labels(run)}})
}

/// What surrounds the data in the scratch namespace, and the changes to what is restored there.
pub fn surroundings(run: &RestoreRun, velero: &str, image: &str, pods: &[PodSeen]) -> Vec<Value> {
    vec![
        json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "deny-all", "namespace": run.scratch, "labels": labels(run)},
            "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
        }),
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": run.changes_name(), "namespace": velero, "labels": labels(run)},
            "data": {"modifiers.yaml": modifiers(&run.namespace, image, pods).to_string()},
        }),
    ]
}

/// Velero's Restore: of everything as it was, or of data into the scratch namespace.
pub fn restore(run: &RestoreRun, velero: &str) -> Value {
    let mut made = json!({
        "apiVersion": "velero.io/v1",
        "kind": "Restore",
        "metadata": {"name": run.object_name(), "namespace": velero, "labels": labels(run)},
        "spec": {
            "backupName": run.backup,
            "includedNamespaces": [run.namespace],
            "existingResourcePolicy": "none",
        },
    });
    if run.way == Way::Volumes {
        // It stays until the claims are exchanged: so long no volume of the namespace is moved.
        made["metadata"]["labels"][RESTORE_OF_LABEL] = json!(run.namespace);
        let spec = &mut made["spec"];
        spec["namespaceMapping"] = json!({run.namespace.as_str(): run.scratch});
        spec["includedResources"] = json!(crate::execute::drill::objects::RESTORED);
        spec["includeClusterResources"] = json!(false);
        spec["resourceModifier"] = json!({"kind": "ConfigMap", "name": run.changes_name()});
    }
    made
}

/// The record of a restore.
pub fn record(run: &RestoreRun, velero: &str) -> Value {
    let mut labels = labels(run);
    labels[RESTORE_OF_LABEL] = json!(run.namespace);
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": run.object_name(), "namespace": velero, "labels": labels},
        "data": {"record.json": serde_json::to_string(run).unwrap_or_default()},
    })
}
