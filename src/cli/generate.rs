//! `crds` and `manifests`: what `kubernetes/` needs. A test holds the committed files against these.

use super::{Failed, data, monitoring};
use crate::model::kinds::all_crds;
use crate::render::text::yaml;
use serde_json::{Value, json};

/// The namespace in which couchestor runs.
const NAMESPACE: &str = "couchestor-system";

/// The image that the manifests name.
const IMAGE: &str = concat!("ghcr.io/billyronks/couchestor:v", env!("CARGO_PKG_VERSION"));

/// Options of `manifests`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Prometheus, as the controller reaches it.
    #[arg(long, default_value = "http://prometheus-operated.monitoring:9090")]
    prometheus_url: String,
    /// Mayastor's REST API, as the controller reaches it.
    #[arg(long, default_value = "http://openebs-api-rest.openebs:8081")]
    mayastor_url: String,
    /// Print what watches couchestor instead: a ServiceMonitor and a PrometheusRule, which need the Prometheus Operator.
    #[arg(long)]
    monitoring: bool,
}

/// One right with its reason.
struct Right {
    group: &'static str,
    resources: &'static [&'static str],
    verbs: &'static [&'static str],
    because: &'static str,
}

/// Every right in the cluster that couchestor has, and why. Objects that a repository holds need rights of their own:
/// give them by a ClusterRole that is aggregated by the label below.
const RIGHTS: [Right; 32] = [
    Right {
        group: "storage.billyronks.io",
        resources: &["policysources"],
        verbs: &["get", "list", "watch"],
        because: "what to follow",
    },
    Right {
        group: "storage.billyronks.io",
        resources: &[
            "storagetiers",
            "storagepolicies",
            "tierassignments",
            "backuplocations",
            "backuppolicies",
            "rollouts",
            "rolloutpromotions",
        ],
        verbs: &["get", "list", "patch", "create", "delete"],
        because: "applied from Git, and pruned when they leave it",
    },
    Right {
        group: "storage.billyronks.io",
        resources: &["backuppolicies"],
        verbs: &["watch"],
        because: "a drill that a person asks for starts at once",
    },
    Right {
        group: "storage.billyronks.io",
        resources: &["volumemigrations", "workloadmoves"],
        verbs: &["get", "list", "watch", "create", "patch"],
        because: "one per approved move, which can be deleted once it has ended",
    },
    Right {
        group: "storage.billyronks.io",
        resources: &[
            "policysources/status",
            "storagetiers/status",
            "storagepolicies/status",
            "tierassignments/status",
            "backuplocations/status",
            "backuppolicies/status",
            "rollouts/status",
            "rolloutpromotions/status",
            "volumemigrations/status",
            "workloadmoves/status",
        ],
        verbs: &["update"],
        because: "status, and the journal of migrations",
    },
    Right {
        group: "storage.k8s.io",
        resources: &["storageclasses"],
        verbs: &["get", "list", "patch", "create", "delete"],
        because: "rendered from tiers",
    },
    Right {
        group: "velero.io",
        resources: &["backupstoragelocations", "schedules"],
        verbs: &["get", "patch", "create", "delete"],
        because: "rendered from backup locations and policies",
    },
    Right {
        group: "velero.io",
        resources: &[
            "backups",
            "podvolumebackups",
            "datauploads",
            "backupstoragelocations",
            "schedules",
            "backuprepositories",
        ],
        verbs: &["get", "list"],
        because: "which volumes each backup holds, and what keeps backups from being made",
    },
    Right {
        group: "",
        resources: &["pods"],
        verbs: &["get", "list"],
        because: "why a volume is in no backup: Velero reads files through running pods; what starts in them is kept still in drills",
    },
    Right {
        group: "longhorn.io",
        resources: &["volumes", "replicas", "nodes"],
        verbs: &["list", "patch"],
        because: "where Longhorn is: its copies and disks are read, counted, marked and cordoned",
    },
    Right {
        group: "longhorn.io",
        resources: &["replicas"],
        verbs: &["delete"],
        because: "the old copy of a Longhorn volume goes once the new one is complete",
    },
    Right {
        group: "longhorn.io",
        resources: &["engines", "settings"],
        verbs: &["list"],
        because: "which copies are complete, and what Longhorn does by itself",
    },
    Right {
        group: "",
        resources: &["persistentvolumes"],
        verbs: &["get", "list", "patch"],
        because: "which volumes there are; the time of the last move is written on them, and rollouts keep old ones and let claims have others",
    },
    Right {
        group: "",
        resources: &["persistentvolumeclaims"],
        verbs: &["get", "list", "create", "delete"],
        because: "which claims are bound to them; a rollout makes claims anew, and deletes one only when its volumes stay",
    },
    Right {
        group: "postgresql.cnpg.io",
        resources: &["clusters", "backups"],
        verbs: &["get", "list"],
        because: "whether an instance of a database may be made anew on another class",
    },
    Right {
        group: "postgresql.cnpg.io",
        resources: &["clusters/status"],
        verbs: &["patch"],
        because: "a rollout lets another instance be the primary, as `kubectl cnpg promote` does",
    },
    Right {
        group: "",
        resources: &["pods"],
        verbs: &["delete"],
        because: "of a replica of a database, whose claims are being deleted and whose operator makes it anew",
    },
    Right {
        group: "apps",
        resources: &["deployments", "statefulsets", "replicasets"],
        verbs: &["get", "list", "patch"],
        because: "a rollout scales what uses claims down, and up again",
    },
    Right {
        group: "apps",
        resources: &["daemonsets"],
        verbs: &["list"],
        because: "what uses claims and cannot be scaled down is not moved; whether Velero has a node agent",
    },
    Right {
        group: "batch",
        resources: &["cronjobs"],
        verbs: &["get", "list", "patch"],
        because: "a rollout suspends what would use claims, and resumes it",
    },
    Right {
        group: "kustomize.toolkit.fluxcd.io",
        resources: &["kustomizations"],
        verbs: &["get", "list", "patch"],
        because: "a rollout suspends what would scale workloads up again, and resumes it",
    },
    Right {
        group: "helm.toolkit.fluxcd.io",
        resources: &["helmreleases"],
        verbs: &["get", "list", "patch"],
        because: "the same",
    },
    Right {
        group: "autoscaling",
        resources: &["horizontalpodautoscalers"],
        verbs: &["list"],
        because: "what else scales workloads",
    },
    Right {
        group: "keda.sh",
        resources: &["scaledobjects"],
        verbs: &["list"],
        because: "the same",
    },
    Right {
        group: "",
        resources: &["secrets", "configmaps"],
        verbs: &["get", "patch", "create", "delete"],
        because: "credentials are read, and Secrets from Git are applied",
    },
    Right {
        group: "",
        resources: &["namespaces"],
        verbs: &["get", "list", "patch", "create", "delete"],
        because: "namespaces from Git are applied, and Velero leaves out those with a label of its own; scratch namespaces of drills are deleted, and no other",
    },
    Right {
        group: "velero.io",
        resources: &["restores"],
        verbs: &["get", "list", "create", "delete"],
        because: "a drill restores a backup",
    },
    Right {
        group: "velero.io",
        resources: &["podvolumerestores", "datadownloads"],
        verbs: &["list"],
        because: "whether every volume came back with every byte",
    },
    Right {
        group: "",
        resources: &["resourcequotas"],
        verbs: &["get", "create"],
        because: "scratch namespaces have a quota",
    },
    Right {
        group: "networking.k8s.io",
        resources: &["networkpolicies"],
        verbs: &["get", "create"],
        because: "scratch namespaces have no network",
    },
    Right {
        group: "batch",
        resources: &["jobs"],
        verbs: &["get", "list", "create", "delete"],
        because: "a drill looks into restored volumes; a rollout copies volumes",
    },
    Right {
        group: "events.k8s.io",
        resources: &["events"],
        verbs: &["create", "patch"],
        because: "what happened, on the object that it happened to",
    },
];

/// `crds`.
pub fn crds() -> Result<u8, Failed> {
    data(&crds_text()?);
    Ok(0)
}

/// The CRDs as text.
pub(crate) fn crds_text() -> Result<String, Failed> {
    let crds: Vec<Value> = all_crds()
        .into_iter()
        .map(serde_json::to_value)
        .collect::<Result<_, _>>()?;
    Ok(format!(
        "# Written by `couchestor crds`; do not edit.\n{}",
        yaml(&crds)
    ))
}

/// `manifests`.
pub fn manifests(arguments: &Arguments) -> Result<u8, Failed> {
    data(&match arguments.monitoring {
        true => monitoring_text(),
        false => manifests_text(&arguments.prometheus_url, &arguments.mayastor_url),
    });
    Ok(0)
}

fn labels() -> Value {
    json!({"app.kubernetes.io/name": "couchestor"})
}

fn monitoring_text() -> String {
    let (labels, name) = (labels(), "couchestor");
    let meta = json!({"name": name, "namespace": NAMESPACE, "labels": labels});
    format!(
        "# Written by `couchestor manifests --monitoring`; do not edit. It needs the kinds of the Prometheus Operator.\n{}",
        yaml(&monitoring::objects(&meta, &labels))
    )
}

fn manifests_text(prometheus: &str, mayastor: &str) -> String {
    let labels = labels();
    let meta = |name: &str| json!({"name": name, "namespace": NAMESPACE, "labels": labels});
    let rules: Vec<Value> = RIGHTS
        .iter()
        .map(|right| json!({"apiGroups": [right.group], "resources": right.resources, "verbs": right.verbs}))
        .collect();
    let reasons: Vec<String> = RIGHTS
        .iter()
        .map(|right| {
            format!(
                "{} {}: {} — {}",
                right.group,
                right.resources.join(","),
                right.verbs.join(","),
                right.because
            )
        })
        .collect();
    let mut role = meta("couchestor");
    role["annotations"] = json!({"storage.billyronks.io/reasons":
        "coordination.k8s.io leases: get,create,update — who leads, and the epoch of each leadership"});
    let objects = [
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta("couchestor")}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {
            "name": "couchestor", "labels": labels,
            "annotations": {"storage.billyronks.io/reasons": reasons.join("\n")}}, "rules": rules}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": "couchestor", "labels": labels},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "couchestor"},
            "subjects": [{"kind": "ServiceAccount", "name": "couchestor", "namespace": NAMESPACE}]}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": role,
            "rules": [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]}]}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": meta("couchestor"),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "couchestor"},
            "subjects": [{"kind": "ServiceAccount", "name": "couchestor", "namespace": NAMESPACE}]}),
        deployment(&meta("couchestor"), &labels, prometheus, mayastor),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": meta("couchestor-metrics"), "spec": {
            "selector": labels, "ports": [{"name": "metrics", "port": 8080, "targetPort": "metrics"}]}}),
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta("couchestor"), "spec": {
            "podSelector": {"matchLabels": labels}, "policyTypes": ["Ingress"],
            // Nothing but scrapes and probes comes in; where Git, Prometheus and Mayastor are, the cluster knows.
            "ingress": [{"ports": [{"port": 8080, "protocol": "TCP"}, {"port": 8081, "protocol": "TCP"}]}]}}),
    ];
    format!(
        "# Written by `couchestor manifests`; do not edit.\n{}",
        yaml(&objects)
    )
}

fn deployment(meta: &Value, labels: &Value, prometheus: &str, mayastor: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": {
        "replicas": 1,
        // The new one waits until the old one, asked to stop, gives the Lease up: no time without a controller that is ready.
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {
            "serviceAccountName": "couchestor",
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "couchestor", "image": IMAGE,
                "args": ["run", "--leader-election=lease", format!("--prometheus-url={prometheus}"), format!("--mayastor-url={mayastor}")],
                "env": [
                    {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
                ],
                "ports": [{"name": "metrics", "containerPort": 8080}, {"name": "health", "containerPort": 8081}],
                "livenessProbe": {"httpGet": {"path": "/healthz", "port": "health"}},
                "readinessProbe": {"httpGet": {"path": "/readyz", "port": "health"}},
                "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
                "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}},
                "volumeMounts": [{"name": "cache", "mountPath": "/var/cache/couchestor"}, {"name": "tmp", "mountPath": "/tmp"}],
            }],
            "volumes": [{"name": "cache", "emptyDir": {"sizeLimit": "2Gi"}}, {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}],
        }},
    }})
}
