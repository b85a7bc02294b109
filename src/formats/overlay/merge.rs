//! Strategic merge on plain JSON, with kustomize's meaning (kyaml 0.21, `yaml/merge2`): maps merge, the lists that Kubernetes'
//! API declares as keyed merge by their keys with the patch's items first, and every other list is replaced.
//!
//! `$retainKeys` and `$deleteFromPrimitiveList` work as with kubectl; kustomize would leave them in the object.

use super::items::{Identity, Items, Keys};
use super::object::{Named, split_api_version};
use serde_json::{Map, Value};
use std::collections::HashSet;

/// What is known of a kind's lists.
pub(super) struct Shape<'a> {
    group: &'a str,
    version: &'a str,
    kind: &'a str,
    pod: &'static [&'static str],
}

/// Group versions whose types kustomize knows: those of Kubernetes 1.21, which it has built in.
const KNOWN: [&str; 34] = [
    "v1",
    "admissionregistration.k8s.io/v1",
    "admissionregistration.k8s.io/v1beta1",
    "apiextensions.k8s.io/v1",
    "apiextensions.k8s.io/v1beta1",
    "apiregistration.k8s.io/v1",
    "apiregistration.k8s.io/v1beta1",
    "apps/v1",
    "authentication.k8s.io/v1",
    "authorization.k8s.io/v1",
    "autoscaling/v1",
    "autoscaling/v2beta1",
    "autoscaling/v2beta2",
    "batch/v1",
    "batch/v1beta1",
    "certificates.k8s.io/v1",
    "certificates.k8s.io/v1beta1",
    "coordination.k8s.io/v1",
    "coordination.k8s.io/v1beta1",
    "discovery.k8s.io/v1",
    "discovery.k8s.io/v1beta1",
    "events.k8s.io/v1",
    "extensions/v1beta1",
    "flowcontrol.apiserver.k8s.io/v1beta1",
    "networking.k8s.io/v1",
    "networking.k8s.io/v1beta1",
    "node.k8s.io/v1",
    "policy/v1",
    "policy/v1beta1",
    "rbac.authorization.k8s.io/v1",
    "rbac.authorization.k8s.io/v1beta1",
    "scheduling.k8s.io/v1",
    "storage.k8s.io/v1",
    "storage.k8s.io/v1beta1",
];

impl<'a> Shape<'a> {
    pub(super) fn of(id: Named<'a>) -> Self {
        let pod: &'static [&'static str] = match (id.group, id.kind) {
            ("", "Pod") => &["spec"],
            ("", "PodTemplate") => &["template", "spec"],
            ("", "ReplicationController")
            | ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
            | ("batch", "Job") => &["spec", "template", "spec"],
            ("batch", "CronJob") => &["spec", "jobTemplate", "spec", "template", "spec"],
            _ => &[],
        };
        Self {
            group: id.group,
            version: id.version,
            kind: id.kind,
            pod,
        }
    }

    /// Whether kustomize knows the type. Most patches have no lists, and nobody asks.
    fn known(&self) -> bool {
        KNOWN.iter().any(|known| match self.group {
            "" => *known == self.version,
            group => split_api_version(known) == (group, self.version),
        })
    }

    /// How a list merges; `None` when it is replaced. The path has the names of maps' keys only.
    fn keys(&self, path: &[String]) -> Option<Keys> {
        if !self.known() {
            return None;
        }
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        match path.as_slice() {
            [.., "metadata", "finalizers"] => return Some(&[]),
            [.., "metadata", "ownerReferences"] => return Some(&["uid"]),
            _ => {}
        }
        if !self.pod.is_empty()
            && let Some(inside) = path.strip_prefix(self.pod)
        {
            return in_pod(inside);
        }
        match (self.group, self.kind, path.as_slice()) {
            ("", "Service", ["spec", "ports"]) => Some(&["port", "protocol"]),
            ("", "ServiceAccount", ["secrets"]) => Some(&["name"]),
            ("", "Node", ["spec", "podCIDRs"]) => Some(&[]),
            ("", "Node", ["status", "addresses"]) => Some(&["type"]),
            ("", "Pod", ["status", "podIPs"]) => Some(&["ip"]),
            (
                "admissionregistration.k8s.io",
                "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration",
                ["webhooks"],
            ) => Some(&["name"]),
            ("storage.k8s.io", "CSINode", ["spec", "drivers"]) => Some(&["name"]),
            (
                "" | "apps" | "batch" | "policy" | "apiregistration.k8s.io",
                "Node"
                | "Namespace"
                | "Pod"
                | "Service"
                | "PersistentVolumeClaim"
                | "ReplicationController"
                | "ComponentStatus"
                | "DaemonSet"
                | "Deployment"
                | "ReplicaSet"
                | "StatefulSet"
                | "Job"
                | "PodDisruptionBudget"
                | "APIService",
                ["status", "conditions"] | ["conditions"],
            ) => Some(&["type"]),
            _ => None,
        }
    }
}

fn in_pod(path: &[&str]) -> Option<Keys> {
    const CONTAINERS: [&str; 2] = ["containers", "initContainers"];
    match path {
        ["containers" | "initContainers" | "ephemeralContainers" | "volumes" | "imagePullSecrets"] => {
            Some(&["name"])
        }
        ["hostAliases"] => Some(&["ip"]),
        ["topologySpreadConstraints"] => Some(&["topologyKey", "whenUnsatisfiable"]),
        [list, "ports"] if CONTAINERS.contains(list) => Some(&["containerPort", "protocol"]),
        [list, field] if CONTAINERS.contains(list) || *list == "ephemeralContainers" => match *field {
            "env" => Some(&["name"]),
            "volumeMounts" => Some(&["mountPath"]),
            "volumeDevices" => Some(&["devicePath"]),
            _ => None,
        },
        _ => None,
    }
}

/// Merges a patch into an object; `Null` is what is left of one that the patch deletes.
///
/// # Errors
/// When the two do not fit together: a map where the other has a list.
pub(super) fn merge(base: &mut Value, patch: &Value, shape: &Shape) -> Result<(), String> {
    let merged = walk(Some(std::mem::take(base)), Some(patch), shape, &mut Vec::new())?;
    *base = merged.unwrap_or(Value::Null);
    Ok(())
}

/// What is left of two values; `None` when nothing is.
fn walk(
    base: Option<Value>,
    patch: Option<&Value>,
    shape: &Shape,
    path: &mut Vec<String>,
) -> Result<Option<Value>, String> {
    let Some(patch) = patch else { return Ok(base) };
    let base = base.filter(|base| !base.is_null());
    match (base, patch) {
        (_, Value::Null) => Ok(None),
        (None, Value::Object(map)) => match directive(map) {
            Some("delete") => Ok(None),
            _ => maps(Map::new(), map, shape, path).map(Some),
        },
        (Some(Value::Object(base)), Value::Object(map)) => match directive(map) {
            Some("delete") => Ok(None),
            Some("replace") => maps(Map::new(), map, shape, path).map(Some),
            Some("merge") | None => maps(base, map, shape, path).map(Some),
            Some(other) => Err(format!("`$patch: {other}` is none of merge, replace and delete")),
        },
        (None, Value::Array(items)) => lists(Vec::new(), items, shape, path),
        (Some(Value::Array(base)), Value::Array(items)) => lists(base, items, shape, path),
        (Some(Value::Object(_) | Value::Array(_)), _) | (Some(_), Value::Object(_) | Value::Array(_)) => {
            Err(format!(
                "`{}` is of another kind in the patch than in the object",
                path.join(".")
            ))
        }
        (_, scalar) => Ok(Some(scalar.clone())),
    }
}

fn directive(map: &Map<String, Value>) -> Option<&str> {
    map.get("$patch").and_then(Value::as_str)
}

fn maps(
    mut base: Map<String, Value>,
    patch: &Map<String, Value>,
    shape: &Shape,
    path: &mut Vec<String>,
) -> Result<Value, String> {
    if let Some(Value::Array(kept)) = patch.get("$retainKeys") {
        let kept: HashSet<&str> = kept.iter().filter_map(Value::as_str).collect();
        base.retain(|key, _| kept.contains(key.as_str()));
    }
    for (key, value) in patch {
        if let Some(list) = key.strip_prefix("$deleteFromPrimitiveList/") {
            if let (Some(Value::Array(items)), Value::Array(gone)) = (base.get_mut(list), value) {
                let gone: HashSet<&Value> = gone.iter().collect();
                items.retain(|item| !gone.contains(item));
            }
            continue;
        }
        if key == "$patch" || key == "$retainKeys" || key.starts_with("$setElementOrder/") {
            continue;
        }
        path.push(key.clone());
        let merged = walk(base.remove(key), Some(value), shape, path)?;
        path.pop();
        if let Some(merged) = merged {
            base.insert(key.clone(), merged);
        }
    }
    Ok(Value::Object(base))
}

fn lists(
    base: Vec<Value>,
    items: &[Value],
    shape: &Shape,
    path: &mut Vec<String>,
) -> Result<Option<Value>, String> {
    let Some(keys) = shape.keys(path) else {
        return Ok(Some(Value::Array(items.to_vec())));
    };
    // An item that holds nothing but a directive speaks for the whole list.
    let alone = |item: &&Value| {
        item.as_object()
            .is_some_and(|map| map.len() == 1 && directive(map).is_some())
    };
    let whole = items
        .iter()
        .find(alone)
        .and_then(|item| directive(item.as_object()?));
    let rest: Vec<&Value> = items.iter().filter(|item| !alone(item)).collect();
    let base = match whole {
        Some("delete") => return Ok(None),
        Some("replace") => Vec::new(),
        _ => base,
    };
    if keys.is_empty() {
        let mut seen: HashSet<&Value> = HashSet::with_capacity(rest.len() + base.len());
        let once = rest.into_iter().chain(&base).filter(|value| seen.insert(value));
        return Ok(Some(Value::Array(once.cloned().collect())));
    }
    keyed(base, &rest, keys, shape, path).map(|all| Some(Value::Array(all)))
}

/// The patch's items first, in their order, each merged with the one that it fits; then what the object had besides.
fn keyed(
    base: Vec<Value>,
    items: &[&Value],
    keys: Keys,
    shape: &Shape,
    path: &mut Vec<String>,
) -> Result<Vec<Value>, String> {
    let mut rest = Items::new(base, keys, items.len());
    let mut all = Vec::new();
    for item in items {
        let wanted = Identity::of(item, keys);
        if wanted.is_empty() {
            return Err(format!(
                "an item of `{}` has no `{}` to know it by",
                path.join("."),
                keys[0]
            ));
        }
        let old = rest.take(&wanted);
        if let Some(merged) = walk(old, Some(item), shape, path)? {
            all.push(merged);
        }
    }
    all.extend(rest.into_rest());
    Ok(all)
}
