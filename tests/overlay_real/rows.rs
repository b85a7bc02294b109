//! One object for every row of the tables that kustomize has built in: where lists merge by a key, and where a name is a reference.
//! All rows are one tree, so that the real kustomize runs once.

use super::verdicts::{Replaced, same_object};
use super::{Tree, ours, theirs};
use crate::support::{say, servers};
use serde_json::{Value, json};

/// Builds a tree both ways; the objects of both, sorted by name.
fn both(tree: &Tree) -> (Vec<Value>, Vec<Value>) {
    let sorted = |outcome: Result<Vec<Value>, String>, who: &str| {
        let mut all = outcome.unwrap_or_else(|error| panic!("{who}: {error}"));
        all.sort_by_key(|object| object.pointer("/metadata/name").map(ToString::to_string));
        all
    };
    (
        sorted(ours(tree, "over"), "ours"),
        sorted(theirs(tree, "over"), "kustomize"),
    )
}

fn written(objects: &[Value]) -> String {
    objects.iter().map(|object| format!("---\n{object}\n")).collect()
}

/// A value with another at the end of a path; the parts with a star are lists of one item.
fn at(path: &[&str], value: Value) -> Value {
    match path {
        [] => value,
        [first, rest @ ..] => match first.strip_suffix('*') {
            Some(list) => json!({list: [at(rest, value)]}),
            None => json!({*first: at(rest, value)}),
        },
    }
}

/// The two objects in one.
fn joined(mut one: Value, other: Value) -> Value {
    if let (Value::Object(one), Value::Object(other)) = (&mut one, other) {
        for (key, value) in other {
            let before = one.remove(&key);
            let both = match before {
                Some(before) => joined(before, value),
                None => value,
            };
            one.insert(key, both);
        }
    }
    one
}

/// Where a list merges, as `apiVersion Kind path: keys`; without keys it is a set. Behind it stand some that are replaced.
const LISTS: [&str; 44] = [
    "v1 ConfigMap metadata/finalizers:",
    "v1 ConfigMap metadata/ownerReferences: uid",
    "v1 Pod spec/containers: name",
    "v1 Pod spec/initContainers: name",
    "v1 Pod spec/ephemeralContainers: name",
    "v1 Pod spec/volumes: name",
    "v1 Pod spec/imagePullSecrets: name",
    "v1 Pod spec/hostAliases: ip",
    "v1 Pod spec/topologySpreadConstraints: topologyKey whenUnsatisfiable",
    "v1 Pod status/podIPs: ip",
    "v1 Pod status/conditions: type",
    "v1 PodTemplate template/spec/containers: name",
    "v1 ReplicationController spec/template/spec/containers: name",
    "apps/v1 Deployment spec/template/spec/containers: name",
    "apps/v1 StatefulSet spec/template/spec/volumes: name",
    "apps/v1 DaemonSet spec/template/spec/hostAliases: ip",
    "apps/v1 ReplicaSet spec/template/spec/initContainers: name",
    "batch/v1 Job spec/template/spec/containers: name",
    "batch/v1 CronJob spec/jobTemplate/spec/template/spec/containers: name",
    "v1 Service spec/ports: port protocol",
    "v1 ServiceAccount secrets: name",
    "v1 ServiceAccount imagePullSecrets: name",
    "v1 Node spec/podCIDRs:",
    "v1 Node status/addresses: type",
    "v1 Node status/conditions: type",
    "v1 Namespace status/conditions: type",
    "v1 Service status/conditions: type",
    "v1 PersistentVolumeClaim status/conditions: type",
    "v1 ReplicationController status/conditions: type",
    "v1 ComponentStatus conditions: type",
    "apps/v1 Deployment status/conditions: type",
    "apps/v1 DaemonSet status/conditions: type",
    "apps/v1 ReplicaSet status/conditions: type",
    "apps/v1 StatefulSet status/conditions: type",
    "batch/v1 Job status/conditions: type",
    "policy/v1 PodDisruptionBudget status/conditions: type",
    "apiregistration.k8s.io/v1 APIService status/conditions: type",
    "admissionregistration.k8s.io/v1 MutatingWebhookConfiguration webhooks: name",
    "admissionregistration.k8s.io/v1 ValidatingWebhookConfiguration webhooks: name",
    "storage.k8s.io/v1 CSINode spec/drivers: name",
    "v1 Pod spec/tolerations: key",
    "networking.k8s.io/v1 Ingress spec/rules: host",
    "rbac.authorization.k8s.io/v1 RoleBinding subjects: name",
    "autoscaling/v2 HorizontalPodAutoscaler status/conditions: type",
];

/// Lists inside of a container, each in every list of containers that has it.
const IN_CONTAINERS: [&str; 6] = [
    "env: name",
    "envFrom: prefix",
    "volumeMounts: mountPath",
    "volumeDevices: devicePath",
    "ports: containerPort protocol",
    "args:",
];

/// Items of a list by its keys: what the object has, and what the patch brings.
fn items(keys: &[&str]) -> (Value, Value) {
    if keys.is_empty() {
        return (json!(["a.b/one", "a.b/two"]), json!(["a.b/three", "a.b/one"]));
    }
    let item = |number: usize, field: &str| {
        let mut item = json!({field: format!("of {number}")});
        for key in keys {
            item[*key] = match *key {
                "port" | "containerPort" => json!(number),
                "protocol" => json!(["TCP", "UDP", "SCTP"][number % 3]),
                "mountPath" | "devicePath" => json!(format!("/{number}")),
                "ip" => json!(format!("10.0.0.{number}")),
                _ => json!(format!("key-{number}")),
            };
        }
        item
    };
    (
        json!([item(1, "old"), item(2, "old")]),
        json!([item(3, "new"), item(2, "new")]),
    )
}

#[test]
fn every_list_merges_by_the_keys_that_kustomize_merges_it_by() {
    if servers::left_out("every_list_merges_by_the_keys_that_kustomize_merges_it_by") {
        return;
    }
    let mut rows: Vec<(String, String)> = LISTS
        .iter()
        .map(|row| {
            let (place, keys) = row.split_once(':').expect("a colon");
            (place.to_owned(), keys.trim().to_owned())
        })
        .collect();
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for row in IN_CONTAINERS {
            let (field, keys) = row.split_once(':').expect("a colon");
            rows.push((format!("v1 Pod spec/{list}*/{field}"), keys.trim().to_owned()));
        }
    }
    let (mut objects, mut patches) = (Vec::new(), Vec::new());
    for (number, (place, keys)) in rows.iter().enumerate() {
        let mut parts = place.split(' ');
        let mut part = || parts.next().expect("three parts");
        let (version, kind, path) = (part(), part(), part());
        let path: Vec<&str> = path.split('/').collect();
        let (old, new) = items(&keys.split_whitespace().collect::<Vec<_>>());
        let head =
            json!({"apiVersion": version, "kind": kind, "metadata": {"name": format!("row-{number:03}")}});
        // An item on the way is the same one in both.
        let named = |mut value: Value| {
            for list in ["containers", "initContainers", "ephemeralContainers"] {
                if let Some(item) = value.pointer_mut(&format!("/spec/{list}/0"))
                    && place.contains('*')
                {
                    item["name"] = json!("c");
                }
            }
            value
        };
        objects.push(named(joined(head.clone(), at(&path, old))));
        patches.push(named(joined(head, at(&path, new))));
    }
    let tree = Tree::from([
        ("over/a.yaml".to_owned(), written(&objects)),
        ("over/p.yaml".to_owned(), written(&patches)),
        (
            "over/kustomization.yaml".to_owned(),
            "resources: [a.yaml]\npatches: [{path: p.yaml}]\n".to_owned(),
        ),
    ]);
    let (ours, theirs) = both(&tree);
    assert_eq!((ours.len(), theirs.len()), (rows.len(), rows.len()));
    let pairs = rows.iter().zip(ours.iter().zip(&theirs));
    let wrong: Vec<String> = pairs
        .filter(|(_, (ours, theirs))| same_object(ours, theirs, &Replaced::default()).is_none())
        .map(|((place, keys), (ours, theirs))| format!("{place}: {keys}\nours   {ours}\ntheirs {theirs}"))
        .collect();
    let merged = theirs
        .iter()
        .filter(|object| object.to_string().contains("of 1") || object.to_string().contains("two"));
    say(&format!(
        "merge keys: {} lists, {} of them merge",
        rows.len(),
        merged.count()
    ));
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// What refers to what: the kind that is meant, then the kind that names it, then the place.
const REFERENCES: [&str; 44] = [
    "apps/v1 Deployment | autoscaling/v2 HorizontalPodAutoscaler spec/scaleTargetRef/name",
    "v1 ReplicationController | autoscaling/v2 HorizontalPodAutoscaler spec/scaleTargetRef/name",
    "apps/v1 ReplicaSet | autoscaling/v2 HorizontalPodAutoscaler spec/scaleTargetRef/name",
    "apps/v1 StatefulSet | autoscaling/v2 HorizontalPodAutoscaler spec/scaleTargetRef/name",
    "v1 ConfigMap | v1 Node spec/configSource/configMap/name",
    "v1 ConfigMap | rbac.authorization.k8s.io/v1 Role rules*/resourceNames+",
    "v1 ConfigMap | rbac.authorization.k8s.io/v1 ClusterRole rules*/resourceNames+",
    "v1 ConfigMap | networking.k8s.io/v1 Ingress metadata/annotations/nginx.ingress.kubernetes.io~fastcgi-params-configmap",
    "v1 Secret | networking.k8s.io/v1 Ingress spec/tls*/secretName",
    "v1 Secret | networking.k8s.io/v1 Ingress metadata/annotations/ingress.kubernetes.io~auth-secret",
    "v1 Secret | networking.k8s.io/v1 Ingress metadata/annotations/nginx.ingress.kubernetes.io~auth-secret",
    "v1 Secret | networking.k8s.io/v1 Ingress metadata/annotations/nginx.ingress.kubernetes.io~auth-tls-secret",
    "v1 Secret | v1 ServiceAccount imagePullSecrets*/name",
    "v1 Secret | storage.k8s.io/v1 StorageClass parameters/secretName",
    "v1 Secret | storage.k8s.io/v1 StorageClass parameters/adminSecretName",
    "v1 Secret | storage.k8s.io/v1 StorageClass parameters/userSecretName",
    "v1 Secret | storage.k8s.io/v1 StorageClass parameters/secretRef",
    "v1 Secret | rbac.authorization.k8s.io/v1 Role rules*/resourceNames+",
    "v1 Secret | rbac.authorization.k8s.io/v1 ClusterRole rules*/resourceNames+",
    "v1 Secret | serving.knative.dev/v1 Service spec/template/spec/containers*/env*/valueFrom/secretKeyRef/name",
    "v1 Secret | v1 PersistentVolume spec/azureFile/secretName",
    "v1 Service | apps/v1 StatefulSet spec/serviceName",
    "v1 Service | networking.k8s.io/v1 Ingress spec/rules*/http/paths*/backend/serviceName",
    "v1 Service | networking.k8s.io/v1 Ingress spec/backend/serviceName",
    "v1 Service | networking.k8s.io/v1 Ingress spec/rules*/http/paths*/backend/service/name",
    "v1 Service | networking.k8s.io/v1 Ingress spec/defaultBackend/service/name",
    "v1 Service | apiregistration.k8s.io/v1 APIService spec/service/name",
    "v1 Service | admissionregistration.k8s.io/v1 ValidatingWebhookConfiguration webhooks*/clientConfig/service/name",
    "v1 Service | admissionregistration.k8s.io/v1 MutatingWebhookConfiguration webhooks*/clientConfig/service/name",
    "rbac.authorization.k8s.io/v1 Role | rbac.authorization.k8s.io/v1 RoleBinding roleRef/name",
    "rbac.authorization.k8s.io/v1 ClusterRole | rbac.authorization.k8s.io/v1 RoleBinding roleRef/name",
    "rbac.authorization.k8s.io/v1 ClusterRole | rbac.authorization.k8s.io/v1 ClusterRoleBinding roleRef/name",
    "v1 ServiceAccount | rbac.authorization.k8s.io/v1 RoleBinding subjects*/name",
    "v1 ServiceAccount | rbac.authorization.k8s.io/v1 ClusterRoleBinding subjects*/name",
    "v1 PersistentVolume | v1 PersistentVolumeClaim spec/volumeName",
    "v1 PersistentVolume | rbac.authorization.k8s.io/v1 ClusterRole rules*/resourceNames+",
    "storage.k8s.io/v1 StorageClass | v1 PersistentVolume spec/storageClassName",
    "storage.k8s.io/v1 StorageClass | v1 PersistentVolumeClaim spec/storageClassName",
    "storage.k8s.io/v1 StorageClass | apps/v1 StatefulSet spec/volumeClaimTemplates*/spec/storageClassName",
    "admissionregistration.k8s.io/v1 ValidatingAdmissionPolicy | admissionregistration.k8s.io/v1 ValidatingAdmissionPolicyBinding spec/policyName",
    // None of these is one.
    "v1 ConfigMap | v1 ServiceAccount imagePullSecrets*/name",
    "v1 Secret | v1 ConfigMap data/secretName",
    "v1 Service | example.org/v1 Thing spec/service/name",
    "v1 PersistentVolumeClaim | v1 PersistentVolume spec/claimRef/name",
];

/// Where pods stand.
const PODS: [&str; 9] = [
    "v1 Pod spec",
    "v1 PodTemplate template/spec",
    "apps/v1 Deployment spec/template/spec",
    "apps/v1 ReplicaSet spec/template/spec",
    "apps/v1 DaemonSet spec/template/spec",
    "apps/v1 StatefulSet spec/template/spec",
    "batch/v1 Job spec/template/spec",
    "batch/v1 CronJob spec/jobTemplate/spec/template/spec",
    "v1 ReplicationController spec/template/spec",
];

/// What pods refer to.
const IN_PODS: [&str; 16] = [
    "v1 ConfigMap volumes*/configMap/name",
    "v1 ConfigMap containers*/env*/valueFrom/configMapKeyRef/name",
    "v1 ConfigMap initContainers*/env*/valueFrom/configMapKeyRef/name",
    "v1 ConfigMap containers*/envFrom*/configMapRef/name",
    "v1 ConfigMap initContainers*/envFrom*/configMapRef/name",
    "v1 ConfigMap volumes*/projected/sources*/configMap/name",
    "v1 Secret volumes*/secret/secretName",
    "v1 Secret containers*/env*/valueFrom/secretKeyRef/name",
    "v1 Secret initContainers*/env*/valueFrom/secretKeyRef/name",
    "v1 Secret containers*/envFrom*/secretRef/name",
    "v1 Secret initContainers*/envFrom*/secretRef/name",
    "v1 Secret imagePullSecrets*/name",
    "v1 Secret volumes*/projected/sources*/secret/name",
    "v1 ServiceAccount serviceAccountName",
    "v1 PersistentVolumeClaim volumes*/persistentVolumeClaim/claimName",
    "scheduling.k8s.io/v1 PriorityClass priorityClassName",
];

/// The object that is meant and the one that names it.
fn pair(row: &str, number: usize) -> [Value; 2] {
    let parts: Vec<&str> = row.split([' ', '|']).filter(|part| !part.is_empty()).collect();
    let [version, kind, by_version, by_kind, path] = parts.as_slice() else {
        panic!("five parts in {row}");
    };
    let target = format!("target-{number:03}");
    let meant = json!({"apiVersion": version, "kind": kind, "metadata": {"name": target}});
    let path: Vec<String> = path.split('/').map(|part| part.replace('~', "/")).collect();
    let mut path: Vec<&str> = path.iter().map(String::as_str).collect();
    let mut value = json!(target);
    if let Some(list) = path.last().and_then(|last| last.strip_suffix('+')) {
        value = json!({list: [target, "other"]});
        path.pop();
    }
    let head =
        json!({"apiVersion": by_version, "kind": by_kind, "metadata": {"name": format!("user-{number:03}")}});
    let mut user = joined(head, at(&path, value));
    // What stands beside a name and says which kind it is of.
    for pointer in ["/spec/scaleTargetRef", "/roleRef", "/subjects/0"] {
        if let Some(place) = user.pointer_mut(pointer) {
            let group = version.split_once('/').map_or("", |(group, _)| group);
            place["kind"] = json!(kind);
            match pointer {
                "/spec/scaleTargetRef" => place["apiVersion"] = json!(version),
                "/roleRef" => place["apiGroup"] = json!(group),
                _ => place["namespace"] = json!("default"),
            }
        }
    }
    [meant, user]
}

#[test]
fn every_reference_follows_where_kustomize_follows_it() {
    if servers::left_out("every_reference_follows_where_kustomize_follows_it") {
        return;
    }
    let mut rows: Vec<String> = REFERENCES.iter().map(|row| (*row).to_owned()).collect();
    for pod in PODS {
        for place in IN_PODS {
            let (target, path) = place.rsplit_once(' ').expect("a path");
            rows.push(format!("{target} | {pod}/{path}"));
        }
    }
    let objects: Vec<Value> = rows
        .iter()
        .enumerate()
        .flat_map(|(number, row)| pair(row, number))
        .collect();
    let tree = Tree::from([
        ("over/a.yaml".to_owned(), written(&objects)),
        (
            "over/kustomization.yaml".to_owned(),
            "resources: [a.yaml]\nnamePrefix: p-\nnameSuffix: -s\n".to_owned(),
        ),
    ]);
    let (ours, theirs) = both(&tree);
    assert_eq!((ours.len(), theirs.len()), (objects.len(), objects.len()));
    let mut wrong = Vec::new();
    let mut followed = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        // Not every kind's own name is changed.
        let user = |all: &[Value]| {
            let name = format!("user-{number:03}");
            let mut with = all.iter().filter(|one| {
                one["metadata"]["name"]
                    .as_str()
                    .is_some_and(|own| own.contains(&name))
            });
            with.next().expect("it was built").clone()
        };
        let (ours, theirs) = (user(&ours), user(&theirs));
        if theirs.to_string().contains(&format!("p-target-{number:03}-s")) {
            followed.push(row);
        }
        if same_object(&ours, &theirs, &Replaced::default()).is_none() {
            wrong.push(format!("{row}\nours   {ours}\ntheirs {theirs}"));
        }
    }
    say(&format!(
        "references: {} places, {} of them followed",
        rows.len(),
        followed.len()
    ));
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(followed.len() >= 160, "only {followed:#?}");
}

#[test]
fn references_of_our_own_kinds_follow_too() {
    const OURS: &str = "storage.billyronks.io/v1";
    let rows = [
        format!("{OURS} StorageTier | {OURS} StoragePolicy spec/tiers+"),
        format!("{OURS} StorageTier | {OURS} TierAssignment spec/tier"),
        format!("{OURS} StoragePolicy | {OURS} TierAssignment spec/decision/policy"),
        format!("{OURS} BackupLocation | {OURS} BackupPolicy spec/location"),
        format!("storage.k8s.io/v1 StorageClass | {OURS} StoragePolicy spec/storageClassName"),
        format!("v1 Secret | {OURS} BackupLocation spec/credentials/name"),
        format!("v1 Secret | {OURS} BackupLocation spec/caCertRef/name"),
        format!("v1 ConfigMap | {OURS} BackupPolicy spec/volumePolicy/name"),
        format!("v1 ConfigMap | {OURS} BackupPolicy spec/drill/job/name"),
    ];
    for (number, row) in rows.iter().enumerate() {
        let objects = pair(row, number);
        let tree = Tree::from([
            ("over/a.yaml".to_owned(), written(&objects)),
            (
                "over/kustomization.yaml".to_owned(),
                "resources: [a.yaml]\nnamePrefix: p-\n".to_owned(),
            ),
        ]);
        let built = ours(&tree, "over").unwrap_or_else(|error| panic!("{row}: {error}"));
        let mut wanted = objects.map(|object| object.to_string().replace("target-", "p-target-"));
        wanted[1] = wanted[1].replace("user-", "p-user-");
        let wanted = wanted.map(|text| serde_json::from_str::<Value>(&text).expect("JSON"));
        assert_eq!(built, wanted, "{row}");
    }
}

/// Directives of kubectl's patches (kubernetes.io, "Update API Objects in Place", and `strategicpatch` of apimachinery): what the
/// object has, the patch, what comes of them.
const OF_KUBECTL: [(&str, &str, &str); 6] = [
    (
        r#"{"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}"#,
        r#"{"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}"#,
        r#"{"strategy": {"type": "Recreate"}}"#,
    ),
    (
        r#"{"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}"#,
        r#"{"strategy": {"$retainKeys": ["type", "rollingUpdate"], "rollingUpdate": {"maxUnavailable": 2}}}"#,
        r#"{"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 2}}}"#,
    ),
    (
        r#"{"template": {"metadata": {"finalizers": ["a.b/c", "d.e/f"]}}}"#,
        r#"{"template": {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a.b/c"]}}}"#,
        r#"{"template": {"metadata": {"finalizers": ["d.e/f"]}}}"#,
    ),
    (
        r#"{"replicas": 1}"#,
        r#"{"template": {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a.b/c"]}}}"#,
        r#"{"replicas": 1, "template": {"metadata": {}}}"#,
    ),
    (
        r#"{"template": {"spec": {"containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]}}}"#,
        r#"{"template": {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [{"name": "b", "image": "j"}]}}}"#,
        r#"{"template": {"spec": {"containers": [{"name": "b", "image": "j"}, {"name": "a", "image": "i"}]}}}"#,
    ),
    (
        r#"{"template": {"metadata": {"finalizers": ["a.b/c"]}}}"#,
        r#"{"template": {"metadata": {"$setElementOrder/finalizers": ["d.e/f", "a.b/c"], "finalizers": ["d.e/f"]}}}"#,
        r#"{"template": {"metadata": {"finalizers": ["d.e/f", "a.b/c"]}}}"#,
    ),
];

#[test]
fn directives_of_kubectl_are_followed_where_kustomize_leaves_them_in_the_object() {
    let real =
        !servers::left_out("directives_of_kubectl_are_followed_where_kustomize_leaves_them_in_the_object");
    for (base, patch, wanted) in OF_KUBECTL {
        let object = |spec: &str| {
            let spec: Value = serde_json::from_str(spec).expect("JSON");
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec})
        };
        let tree = Tree::from([
            ("over/a.yaml".to_owned(), written(&[object(base)])),
            ("over/p.yaml".to_owned(), written(&[object(patch)])),
            (
                "over/kustomization.yaml".to_owned(),
                "resources: [a.yaml]\npatches: [{path: p.yaml}]\n".to_owned(),
            ),
        ]);
        let built = ours(&tree, "over").unwrap_or_else(|error| panic!("{patch}: {error}"));
        assert_eq!(built, [object(wanted)], "{patch}");
        if real {
            let left = theirs(&tree, "over").unwrap_or_else(|error| panic!("{patch}: {error}"));
            assert!(
                left[0].to_string().contains("\"$"),
                "kustomize follows it now, so it is to be compared: {}",
                left[0]
            );
        }
    }
}
