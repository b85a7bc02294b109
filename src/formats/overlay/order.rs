//! The order of the objects, and what is done to all of them at the very end of a build.

use super::kustomization::Order;
use super::object::{Id, Object, Source};
use serde_json::{Map, Value, json};

/// Kinds that come first with kustomize's `order: legacy`.
const FIRST: [&str; 22] = [
    "Namespace",
    "ResourceQuota",
    "StorageClass",
    "CustomResourceDefinition",
    "ServiceAccount",
    "PodSecurityPolicy",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "ConfigMap",
    "Secret",
    "Endpoints",
    "Service",
    "LimitRange",
    "PriorityClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
];

/// Kinds that come last.
const LAST: [&str; 2] = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

impl Order {
    /// The order that kustomize has built in.
    pub(super) fn usual() -> Self {
        Self {
            first: FIRST.map(str::to_owned).to_vec(),
            last: LAST.map(str::to_owned).to_vec(),
        }
    }

    fn rank(&self, kind: &str) -> i64 {
        let at = |list: &[String]| list.iter().rposition(|one| one == kind);
        let number = |index: usize| i64::try_from(index).unwrap_or(i64::MAX);
        match (at(&self.last), at(&self.first)) {
            (Some(index), _) => 1 + number(index),
            (None, Some(index)) => number(index) - number(self.first.len()),
            (None, None) => 0,
        }
    }
}

/// Sorts by kind, then by name.
pub(super) fn sort(objects: &mut [Object], order: &Order) {
    let or = |text: &str, empty: &str| {
        if text.is_empty() {
            empty.to_owned()
        } else {
            text.to_owned()
        }
    };
    let kind = |id: &Id| {
        format!(
            "{}_{}_{}",
            or(&id.group, "~G"),
            or(&id.version, "~V"),
            or(&id.kind, "~K")
        )
    };
    let name = |id: &Id| format!("{}|{}", or(&id.namespace, "~X"), or(&id.name, "~N"));
    objects.sort_by_cached_key(|object| {
        let id = object.id();
        (order.rank(&id.kind), kind(&id), name(&id))
    });
}

/// Takes out what is marked as a matter of the build alone.
pub(super) fn drop_local(objects: &mut Vec<Object>) {
    objects.retain(|object| {
        let mark = object
            .annotations()
            .and_then(|all| all.get("config.kubernetes.io/local-config"));
        mark.is_none_or(|mark| mark == "false")
    });
}

/// Writes where each object came from, relative to the folder that is built.
pub(super) fn annotate_origins(objects: &mut [Object], root: &str) {
    for object in objects {
        let text = match &object.source {
            Source::File(path) => format!("path: {}\n", relative(root, path)),
            Source::Generator { file, kind } => format!(
                "configuredIn: {}\nconfiguredBy:\n  apiVersion: builtin\n  kind: {kind}\n",
                relative(root, file)
            ),
        };
        let metadata = &mut object.resource.value_mut()["metadata"];
        if !metadata.get("annotations").is_some_and(Value::is_object) {
            metadata["annotations"] = Value::Object(Map::new());
        }
        metadata["annotations"]["config.kubernetes.io/origin"] = json!(text);
    }
}

fn relative(root: &str, path: &str) -> String {
    let root: Vec<&str> = root.split('/').filter(|part| !part.is_empty()).collect();
    let path: Vec<&str> = path.split('/').collect();
    let common = root.iter().zip(&path).take_while(|(a, b)| a == b).count();
    let up = root.len() - common;
    let mut parts = vec![".."; up];
    parts.extend(&path[common..]);
    parts.join("/")
}
