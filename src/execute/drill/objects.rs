//! What a drill makes: a scratch namespace without network, changes that keep restored workloads from doing anything, a Restore of Velero
//! with both, and Jobs that check. Every object carries the drill's label, by which it is found again and taken away.
//!
//! Of a namespace only pods, claims, ConfigMaps, Secrets and ServiceAccounts are restored. A workload's controller would start more pods, or
//! delete those that Velero brings the data with; routes and certificates would reach outside. PersistentVolumes are not restored: one
//! that Velero holds no data of would be a second object for the same place on a disk, and the drill would write to live data. Claims lose
//! their volume's name instead, so that each gets a new one.

use crate::model::drills::{PodSeen, object_name};
use crate::model::kinds::drill::{DRILL_LABEL, DRILL_POLICY_LABEL, DrillRun, DrillSpec, Sentinel};
use serde_json::{Value, json};

/// What is restored of a namespace.
pub const RESTORED: [&str; 5] = [
    "pods",
    "persistentvolumeclaims",
    "configmaps",
    "secrets",
    "serviceaccounts",
];

/// More pods and claims than a namespace of people's has; services are never needed.
const PODS_MAX: &str = "500";

/// How long a Job that checks may run, in seconds: it reads files of one volume.
const JOB_SECONDS: i64 = 1800;

/// The Job of the user's.
pub const USERS_JOB: &str = "drill-job";

/// Whose drill it is.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// The BackupPolicy.
    pub policy: &'a str,
    /// Its namespace, which is Velero's.
    pub namespace: &'a str,
}

fn labels(run: &DrillRun, owner: Owner) -> Value {
    json!({DRILL_LABEL: run.id, DRILL_POLICY_LABEL: owner.policy, "app.kubernetes.io/managed-by": "couchestor"})
}

/// The scratch namespace. It is created, never applied: a namespace that is there is somebody's.
pub fn scratch(run: &DrillRun, owner: Owner) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": run.scratch,
            "labels": labels(run, owner),
            "annotations": {
                "storage.billyronks.io/drill-of": format!("{}/{}", owner.namespace, owner.policy),
                "storage.billyronks.io/drill-backup": run.backup,
            },
        },
    })
}

/// What surrounds the restore: no network in either direction, no services, and the changes to what is restored.
pub fn surroundings(run: &DrillRun, owner: Owner, spec: &DrillSpec, pods: &[PodSeen]) -> Vec<Value> {
    let meta = |name: &str, namespace: &str| json!({"name": name, "namespace": namespace, "labels": labels(run, owner)});
    vec![
        json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": meta("deny-all", &run.scratch),
            "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
        }),
        json!({
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": meta("drill", &run.scratch),
            "spec": {"hard": {"pods": PODS_MAX, "persistentvolumeclaims": PODS_MAX, "services": "0"}},
        }),
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": meta(&object_name(run), owner.namespace),
            "data": {"modifiers.yaml": modifiers(&run.namespace, &spec.image, pods).to_string()},
        }),
    ]
}

/// Velero's resource modifiers; it reads YAML, which JSON is. Namespaces in conditions are those that were backed up.
pub fn modifiers(namespace: &str, image: &str, pods: &[PodSeen]) -> Value {
    let sleeps = json!({"spec": {
        "automountServiceAccountToken": false,
        "hostNetwork": null,
        "hostPID": null,
        "hostIPC": null,
        "containers": [{"name": "drill", "image": image, "command": ["sh", "-c", "sleep 86400"]}],
    }});
    let unbound = json!({"spec": {"volumeName": null}, "metadata": {"annotations": {
        "pv.kubernetes.io/bind-completed": null,
        "pv.kubernetes.io/bound-by-controller": null,
        "volume.kubernetes.io/selected-node": null,
    }}});
    let on = |resource: &str| json!({"groupResource": resource, "namespaces": [namespace]});
    let mut rules = vec![
        json!({"conditions": on("pods"), "mergePatches": [{"patchData": sleeps.to_string()}]}),
        json!({"conditions": on("persistentvolumeclaims"), "mergePatches": [{"patchData": unbound.to_string()}]}),
    ];
    // Velero's own container, which waits for the data, comes first; those that the pod had follow it, and do nothing.
    let nothing = json!(["sh", "-c", "true"]).to_string();
    for pod in pods.iter().filter(|pod| pod.init_containers > 0) {
        let mut conditions = on("pods");
        conditions["resourceNameRegex"] = json!(format!("^{}$", pod.name.replace('.', "\\.")));
        let patches = (1..=pod.init_containers).flat_map(|at| {
            let set = |field: &str, value: &str| {
                let path = format!("/spec/initContainers/{at}/{field}");
                json!({"operation": "add", "path": path, "value": value})
            };
            [set("image", image), set("command", &nothing), set("args", "[]")]
        });
        let patches: Vec<Value> = patches.collect();
        rules.push(json!({"conditions": conditions, "patches": patches}));
    }
    json!({"version": "v1", "resourceModifierRules": rules})
}

/// Velero's Restore.
pub fn restore(run: &DrillRun, owner: Owner) -> Value {
    json!({
        "apiVersion": "velero.io/v1",
        "kind": "Restore",
        "metadata": {"name": object_name(run), "namespace": owner.namespace, "labels": labels(run, owner)},
        "spec": {
            "backupName": run.backup,
            "includedNamespaces": [run.namespace],
            "namespaceMapping": {run.namespace.as_str(): run.scratch},
            "includedResources": RESTORED,
            "includeClusterResources": false,
            "existingResourcePolicy": "none",
            "resourceModifier": {"kind": "ConfigMap", "name": object_name(run)},
        },
    })
}

/// The sentinels of the namespace that a drill restores, each with the name of the Job that looks for it and with what that checks.
pub fn sentinels<'a>(run: &DrillRun, spec: &'a DrillSpec) -> Vec<(String, String, &'a Sentinel)> {
    let ours = spec.sentinels.iter().filter(|one| one.namespace == run.namespace);
    let named = ours.enumerate().map(|(index, one)| {
        let what = format!("sentinel {}/{}", one.claim, one.path.trim_start_matches('/'));
        (format!("drill-sentinel-{index}"), what, one)
    });
    named.collect()
}

/// The Jobs that check, sentinels first. `users` is the manifest of the user's Job.
pub fn jobs(run: &DrillRun, owner: Owner, spec: &DrillSpec, users: Option<&Value>) -> Vec<Value> {
    let mut all: Vec<Value> = sentinels(run, spec)
        .into_iter()
        .map(|(name, _, sentinel)| looks_for(run, owner, spec, &name, sentinel))
        .collect();
    if let Some(users) = users {
        let mut job = users.clone();
        job["apiVersion"] = json!("batch/v1");
        job["kind"] = json!("Job");
        job["metadata"] = json!({"name": USERS_JOB, "namespace": run.scratch, "labels": labels(run, owner)});
        all.push(job);
    }
    all
}

fn looks_for(run: &DrillRun, owner: Owner, spec: &DrillSpec, name: &str, sentinel: &Sentinel) -> Value {
    // The path is an argument, never part of the program's text.
    let script = match &sentinel.sha256 {
        Some(_) => "test \"$(sha256sum < \"/volume/$1\" | cut -c1-64)\" = \"$2\"",
        None => "test -s \"/volume/$1\"",
    };
    let path = sentinel.path.trim_start_matches('/');
    let digest = sentinel.sha256.clone().unwrap_or_default();
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": run.scratch, "labels": labels(run, owner)},
        "spec": {
            "backoffLimit": 1,
            "activeDeadlineSeconds": JOB_SECONDS,
            "template": {
                "metadata": {"labels": labels(run, owner)},
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": false,
                    "containers": [{
                        "name": "look",
                        "image": spec.image,
                        "command": ["sh", "-c", script, "look", path, digest],
                        "volumeMounts": [{"name": "volume", "mountPath": "/volume", "readOnly": true}],
                    }],
                    "volumes": [{"name": "volume", "persistentVolumeClaim": {"claimName": sentinel.claim, "readOnly": true}}],
                },
            },
        },
    })
}
