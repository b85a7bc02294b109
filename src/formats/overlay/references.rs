//! The table of references by name: which kind refers to which, and where (kustomize 5.8,
//! `builtinpluginconsts/namereference.go`; ours at its end).

use super::fields::{Row, Spec};
use std::collections::BTreeMap;

/// Kind that is referred to: group, version (both empty for any), kind.
pub(super) type Target = (&'static str, &'static str, &'static str);

/// Places inside of a pod's spec that hold the name of such a kind.
const IN_PODS: [(Target, &[&str]); 5] = [
    (
        ("", "v1", "ConfigMap"),
        &[
            "volumes/configMap/name",
            "containers/env/valueFrom/configMapKeyRef/name",
            "initContainers/env/valueFrom/configMapKeyRef/name",
            "containers/envFrom/configMapRef/name",
            "initContainers/envFrom/configMapRef/name",
            "volumes/projected/sources/configMap/name",
        ],
    ),
    (
        ("", "v1", "Secret"),
        &[
            "volumes/secret/secretName",
            "containers/env/valueFrom/secretKeyRef/name",
            "initContainers/env/valueFrom/secretKeyRef/name",
            "containers/envFrom/secretRef/name",
            "initContainers/envFrom/secretRef/name",
            "imagePullSecrets/name",
            "volumes/projected/sources/secret/name",
        ],
    ),
    (("", "v1", "ServiceAccount"), &["serviceAccountName"]),
    (
        ("", "v1", "PersistentVolumeClaim"),
        &["volumes/persistentVolumeClaim/claimName"],
    ),
    (
        ("scheduling.k8s.io", "v1", "PriorityClass"),
        &["priorityClassName"],
    ),
];

/// Where pods' specs stand; whether names of ConfigMaps and Secrets are followed there, and whether those of the rest are.
const PODS: [(&str, &str, &str, bool, bool); 9] = [
    ("", "Pod", "spec", true, true),
    ("", "PodTemplate", "template/spec", true, false),
    ("", "Deployment", "spec/template/spec", true, true),
    ("", "ReplicaSet", "spec/template/spec", true, false),
    ("", "DaemonSet", "spec/template/spec", true, true),
    ("", "StatefulSet", "spec/template/spec", true, true),
    ("", "Job", "spec/template/spec", true, true),
    ("", "CronJob", "spec/jobTemplate/spec/template/spec", true, true),
    ("", "ReplicationController", "spec/template/spec", false, true),
];

/// All other references: what is referred to, then the place.
const ELSEWHERE: [(Target, Row); 51] = [
    (
        ("", "", "Deployment"),
        (
            "",
            "",
            "HorizontalPodAutoscaler",
            "spec/scaleTargetRef/name",
            false,
        ),
    ),
    (
        ("", "", "ReplicationController"),
        (
            "",
            "",
            "HorizontalPodAutoscaler",
            "spec/scaleTargetRef/name",
            false,
        ),
    ),
    (
        ("", "", "ReplicaSet"),
        (
            "",
            "",
            "HorizontalPodAutoscaler",
            "spec/scaleTargetRef/name",
            false,
        ),
    ),
    (
        ("", "", "StatefulSet"),
        (
            "",
            "",
            "HorizontalPodAutoscaler",
            "spec/scaleTargetRef/name",
            false,
        ),
    ),
    (
        ("", "v1", "ConfigMap"),
        ("", "", "Node", "spec/configSource/configMap", false),
    ),
    (
        ("", "v1", "ConfigMap"),
        ("", "", "Role", "rules/resourceNames", false),
    ),
    (
        ("", "v1", "ConfigMap"),
        ("", "", "ClusterRole", "rules/resourceNames", false),
    ),
    (
        ("", "v1", "ConfigMap"),
        (
            "",
            "",
            "Ingress",
            "metadata/annotations/nginx.ingress.kubernetes.io\\/fastcgi-params-configmap",
            false,
        ),
    ),
    (
        ("", "v1", "Secret"),
        ("", "", "Ingress", "spec/tls/secretName", false),
    ),
    (
        ("", "v1", "Secret"),
        (
            "",
            "",
            "Ingress",
            "metadata/annotations/ingress.kubernetes.io\\/auth-secret",
            false,
        ),
    ),
    (
        ("", "v1", "Secret"),
        (
            "",
            "",
            "Ingress",
            "metadata/annotations/nginx.ingress.kubernetes.io\\/auth-secret",
            false,
        ),
    ),
    (
        ("", "v1", "Secret"),
        (
            "",
            "",
            "Ingress",
            "metadata/annotations/nginx.ingress.kubernetes.io\\/auth-tls-secret",
            false,
        ),
    ),
    (
        ("", "v1", "Secret"),
        ("", "", "ServiceAccount", "imagePullSecrets/name", false),
    ),
    (
        ("", "v1", "Secret"),
        ("", "", "StorageClass", "parameters/secretName", false),
    ),
    (
        ("", "v1", "Secret"),
        ("", "", "StorageClass", "parameters/adminSecretName", false),
    ),
    (
        ("", "v1", "Secret"),
        ("", "", "StorageClass", "parameters/userSecretName", false),
    ),
    (
        ("", "v1", "Secret"),
        ("", "", "StorageClass", "parameters/secretRef", false),
    ),
    (
        ("", "v1", "Secret"),
        ("", "", "Role", "rules/resourceNames", false),
    ),
    (
        ("", "v1", "Secret"),
        ("", "", "ClusterRole", "rules/resourceNames", false),
    ),
    (
        ("", "v1", "Secret"),
        (
            "serving.knative.dev",
            "v1",
            "Service",
            "spec/template/spec/containers/env/valueFrom/secretKeyRef/name",
            false,
        ),
    ),
    (
        ("", "v1", "Secret"),
        ("", "", "PersistentVolume", "spec/azureFile/secretName", false),
    ),
    (
        ("", "v1", "Service"),
        ("apps", "", "StatefulSet", "spec/serviceName", false),
    ),
    (
        ("", "v1", "Service"),
        (
            "",
            "",
            "Ingress",
            "spec/rules/http/paths/backend/serviceName",
            false,
        ),
    ),
    (
        ("", "v1", "Service"),
        ("", "", "Ingress", "spec/backend/serviceName", false),
    ),
    (
        ("", "v1", "Service"),
        (
            "",
            "",
            "Ingress",
            "spec/rules/http/paths/backend/service/name",
            false,
        ),
    ),
    (
        ("", "v1", "Service"),
        ("", "", "Ingress", "spec/defaultBackend/service/name", false),
    ),
    (
        ("", "v1", "Service"),
        (
            "apiregistration.k8s.io",
            "",
            "APIService",
            "spec/service/name",
            false,
        ),
    ),
    (
        ("", "v1", "Service"),
        (
            "admissionregistration.k8s.io",
            "",
            "ValidatingWebhookConfiguration",
            "webhooks/clientConfig/service",
            false,
        ),
    ),
    (
        ("", "v1", "Service"),
        (
            "admissionregistration.k8s.io",
            "",
            "MutatingWebhookConfiguration",
            "webhooks/clientConfig/service",
            false,
        ),
    ),
    (
        ("rbac.authorization.k8s.io", "", "Role"),
        (
            "rbac.authorization.k8s.io",
            "",
            "RoleBinding",
            "roleRef/name",
            false,
        ),
    ),
    (
        ("rbac.authorization.k8s.io", "", "ClusterRole"),
        (
            "rbac.authorization.k8s.io",
            "",
            "RoleBinding",
            "roleRef/name",
            false,
        ),
    ),
    (
        ("rbac.authorization.k8s.io", "", "ClusterRole"),
        (
            "rbac.authorization.k8s.io",
            "",
            "ClusterRoleBinding",
            "roleRef/name",
            false,
        ),
    ),
    (
        ("", "v1", "ServiceAccount"),
        ("rbac.authorization.k8s.io", "", "RoleBinding", "subjects", false),
    ),
    (
        ("", "v1", "ServiceAccount"),
        (
            "rbac.authorization.k8s.io",
            "",
            "ClusterRoleBinding",
            "subjects",
            false,
        ),
    ),
    (
        ("", "v1", "PersistentVolume"),
        ("", "", "PersistentVolumeClaim", "spec/volumeName", false),
    ),
    (
        ("", "v1", "PersistentVolume"),
        ("", "", "ClusterRole", "rules/resourceNames", false),
    ),
    (
        ("storage.k8s.io", "v1", "StorageClass"),
        ("", "", "PersistentVolume", "spec/storageClassName", false),
    ),
    (
        ("storage.k8s.io", "v1", "StorageClass"),
        ("", "", "PersistentVolumeClaim", "spec/storageClassName", false),
    ),
    (
        ("storage.k8s.io", "v1", "StorageClass"),
        (
            "",
            "",
            "StatefulSet",
            "spec/volumeClaimTemplates/spec/storageClassName",
            false,
        ),
    ),
    (
        ("admissionregistration.k8s.io", "", "ValidatingAdmissionPolicy"),
        (
            "admissionregistration.k8s.io",
            "",
            "ValidatingAdmissionPolicyBinding",
            "spec/policyName",
            false,
        ),
    ),
    // Ours: kustomize knows nothing of these, and a renamed tier must take its policies and assignments along.
    (
        ("storage.billyronks.io", "v1", "StorageTier"),
        ("storage.billyronks.io", "", "StoragePolicy", "spec/tiers", false),
    ),
    (
        ("storage.billyronks.io", "v1", "StorageTier"),
        ("storage.billyronks.io", "", "TierAssignment", "spec/tier", false),
    ),
    (
        ("storage.billyronks.io", "v1", "StoragePolicy"),
        (
            "storage.billyronks.io",
            "",
            "TierAssignment",
            "spec/decision/policy",
            false,
        ),
    ),
    (
        ("storage.billyronks.io", "v1", "BackupLocation"),
        (
            "storage.billyronks.io",
            "",
            "BackupPolicy",
            "spec/location",
            false,
        ),
    ),
    (
        ("storage.billyronks.io", "v1", "BackupLocation"),
        (
            "storage.billyronks.io",
            "",
            "BackupPolicy",
            "spec/schedules/location",
            false,
        ),
    ),
    (
        ("", "v1", "ConfigMap"),
        (
            "storage.billyronks.io",
            "",
            "BackupPolicy",
            "spec/volumePolicy/name",
            false,
        ),
    ),
    (
        ("", "v1", "ConfigMap"),
        (
            "storage.billyronks.io",
            "",
            "BackupPolicy",
            "spec/drill/job/name",
            false,
        ),
    ),
    (
        ("storage.k8s.io", "v1", "StorageClass"),
        (
            "storage.billyronks.io",
            "",
            "BackupPolicy",
            "spec/volumeRules/storageClasses",
            false,
        ),
    ),
    (
        ("", "v1", "Secret"),
        (
            "storage.billyronks.io",
            "",
            "BackupLocation",
            "spec/caCertRef/name",
            false,
        ),
    ),
    (
        ("storage.k8s.io", "v1", "StorageClass"),
        (
            "storage.billyronks.io",
            "",
            "StoragePolicy",
            "spec/storageClassName",
            false,
        ),
    ),
    (
        ("", "v1", "Secret"),
        (
            "storage.billyronks.io",
            "",
            "BackupLocation",
            "spec/credentials/name",
            false,
        ),
    ),
];

/// The references by the kind that holds them.
pub(super) fn table() -> BTreeMap<&'static str, Vec<(Target, Spec)>> {
    let mut table: BTreeMap<&'static str, Vec<(Target, Spec)>> = BTreeMap::new();
    let mut add = |target: Target, row: Row| {
        table.entry(row.2).or_default().push((target, Spec::from(row)));
    };
    for (target, row) in ELSEWHERE {
        add(target, row);
    }
    for (target, paths) in IN_PODS {
        let data = matches!(target.2, "ConfigMap" | "Secret");
        for (group, kind, spec, holds_data, holds_rest) in PODS {
            if (data && !holds_data) || (!data && !holds_rest) {
                continue;
            }
            for path in paths {
                table.entry(kind).or_default().push((
                    target,
                    Spec {
                        group: group.to_owned(),
                        version: String::new(),
                        kind: kind.to_owned(),
                        path: format!("{spec}/{path}"),
                        create: false,
                    },
                ));
            }
        }
    }
    table
}
