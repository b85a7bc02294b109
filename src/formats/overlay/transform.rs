//! `namespace` and `labels` of a kustomization.

use super::kustomization::Labels;
use crate::model::desired::Resource;
use serde_json::{Map, Value, json};

/// Kinds that have no namespace: Kubernetes' own, and those of ours and our neighbours that a storage repository holds.
const CLUSTER_SCOPED: [&str; 26] = [
    "APIService",
    "CSIDriver",
    "CSINode",
    "CertificateSigningRequest",
    "ClusterRole",
    "ClusterRoleBinding",
    "ComponentStatus",
    "CustomResourceDefinition",
    "FlowSchema",
    "IngressClass",
    "MutatingWebhookConfiguration",
    "Namespace",
    "Node",
    "PersistentVolume",
    "PriorityClass",
    "PriorityLevelConfiguration",
    "Rollout",
    "RuntimeClass",
    "StorageClass",
    "StoragePolicy",
    "StorageTier",
    "ValidatingAdmissionPolicy",
    "ValidatingWebhookConfiguration",
    "VolumeAttachment",
    "VolumeMigration",
    "VolumeSnapshotClass",
];

/// Whether a kind has no namespace.
pub(super) fn is_cluster_scoped(kind: &str) -> bool {
    CLUSTER_SCOPED.contains(&kind)
}

/// Puts every namespaced object, and the service accounts that role bindings name, into a namespace.
pub(super) fn namespace(resources: &mut [Resource], namespace: &str) {
    for resource in resources {
        let kind = resource.kind().to_owned();
        if kind == "Namespace" {
            continue;
        }
        if !is_cluster_scoped(&kind) {
            resource.value["metadata"]["namespace"] = json!(namespace);
        }
        if kind == "RoleBinding" || kind == "ClusterRoleBinding" {
            let subjects = resource.value.get_mut("subjects").and_then(Value::as_array_mut);
            for subject in subjects.into_iter().flatten() {
                if subject["kind"] == "ServiceAccount" && subject["name"] == "default" {
                    subject["namespace"] = json!(namespace);
                }
            }
        }
    }
}

/// Adds labels to objects and, as asked, to selectors and to pod templates.
pub(super) fn labels(resources: &mut [Resource], labels: &Labels) {
    for resource in resources {
        put(&mut resource.value, &["metadata", "labels"], labels, true);
        let kind = resource.kind().to_owned();
        let workload = matches!(
            kind.as_str(),
            "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job" | "ReplicationController"
        );
        if workload && (labels.selectors || labels.templates) {
            put(
                &mut resource.value,
                &["spec", "template", "metadata", "labels"],
                labels,
                true,
            );
        }
        if kind == "CronJob" && (labels.selectors || labels.templates) {
            put(
                &mut resource.value,
                &["spec", "jobTemplate", "metadata", "labels"],
                labels,
                true,
            );
            put(
                &mut resource.value,
                &["spec", "jobTemplate", "spec", "template", "metadata", "labels"],
                labels,
                true,
            );
        }
        if kind == "StatefulSet" && (labels.selectors || labels.templates) {
            let claims = resource
                .value
                .pointer_mut("/spec/volumeClaimTemplates")
                .and_then(Value::as_array_mut);
            for claim in claims.into_iter().flatten() {
                put(claim, &["metadata", "labels"], labels, true);
            }
        }
        if labels.selectors {
            match kind.as_str() {
                "Service" => put(&mut resource.value, &["spec", "selector"], labels, false),
                "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" => {
                    put(
                        &mut resource.value,
                        &["spec", "selector", "matchLabels"],
                        labels,
                        true,
                    );
                }
                "NetworkPolicy" => put(
                    &mut resource.value,
                    &["spec", "podSelector", "matchLabels"],
                    labels,
                    false,
                ),
                "PodDisruptionBudget" => put(
                    &mut resource.value,
                    &["spec", "selector", "matchLabels"],
                    labels,
                    false,
                ),
                _ => {}
            }
        }
    }
}

fn put(value: &mut Value, path: &[&str], labels: &Labels, create: bool) {
    let mut at = value;
    for part in path {
        if !at.is_object() {
            return;
        }
        if at.get(*part).is_none() {
            if !create {
                return;
            }
            at[*part] = Value::Object(Map::new());
        }
        at = &mut at[*part];
    }
    if let Value::Object(map) = at {
        for (key, text) in &labels.pairs {
            map.insert(key.clone(), Value::String(text.clone()));
        }
    }
}
