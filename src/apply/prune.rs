//! What is removed and what is kept when it leaves the repository. Pure.

use crate::io::cluster::Live;
use crate::model::ids::ObjectId;
use crate::model::kinds::{FIELD_MANAGER, PRUNE, REPOSITORY_SECRET};
use std::collections::BTreeSet;

/// Kinds that hold data or other people's objects: removing one from Git never removes it from the cluster.
const NEVER: [(&str, &str); 5] = [
    ("", "PersistentVolume"),
    ("", "PersistentVolumeClaim"),
    ("", "Namespace"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    // Without it Velero neither restores what is in the bucket nor deletes what is too old.
    ("velero.io", "BackupStorageLocation"),
];

/// What becomes of an object that left the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is removed.
    Remove,
    /// It is kept, and looked at again next time.
    Keep(String),
    /// It is not ours (any more), and is forgotten.
    Forget,
}

/// Decides.
pub fn verdict(
    id: &ObjectId,
    live: &Live,
    prune: bool,
    classes_in_use: Option<&BTreeSet<String>>,
) -> Verdict {
    if !live.is_applied_by(FIELD_MANAGER) {
        return Verdict::Forget;
    }
    if !prune {
        return Verdict::Keep("spec.prune is false".to_owned());
    }
    if NEVER.contains(&(id.group.as_str(), id.kind.as_str())) {
        return Verdict::Keep(format!(
            "{} objects are never removed: delete it by hand",
            id.kind
        ));
    }
    if id.group.is_empty() && id.kind == "Secret" && id.name == REPOSITORY_SECRET {
        return Verdict::Keep("backups can be read only with it: delete it by hand".to_owned());
    }
    if let Some(key) = PRUNE.iter().find(|key| live.annotation(key) == Some("disabled")) {
        return Verdict::Keep(format!("it carries {key}: disabled"));
    }
    if id.kind == "StorageClass" {
        match classes_in_use {
            None => return Verdict::Keep("whether volumes use it could not be read".to_owned()),
            Some(used) if used.contains(&id.name) => {
                return Verdict::Keep("volumes or claims still use it".to_owned());
            }
            Some(_) => {}
        }
    }
    Verdict::Remove
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn live(manager: &str, annotations: serde_json::Value) -> Live {
        Live(json!({"metadata": {
            "annotations": annotations,
            "managedFields": [{"manager": manager, "operation": "Apply"}],
        }}))
    }

    #[test]
    fn nothing_with_data_behind_it_nothing_in_use_and_nothing_of_others_is_removed() {
        let used = BTreeSet::from(["fast".to_owned()]);
        let keep = |why: &str| Verdict::Keep(why.to_owned());
        let cases = [
            (
                "",
                "ConfigMap",
                "a",
                "couchestor",
                json!({}),
                true,
                Verdict::Remove,
            ),
            (
                "",
                "ConfigMap",
                "a",
                "couchestor",
                json!({}),
                false,
                keep("spec.prune is false"),
            ),
            ("", "ConfigMap", "a", "helm", json!({}), true, Verdict::Forget),
            (
                "",
                "PersistentVolumeClaim",
                "a",
                "couchestor",
                json!({}),
                true,
                keep("PersistentVolumeClaim objects are never removed: delete it by hand"),
            ),
            (
                "velero.io",
                "BackupStorageLocation",
                "s3",
                "couchestor",
                json!({}),
                true,
                keep("BackupStorageLocation objects are never removed: delete it by hand"),
            ),
            // Backups that a Schedule made stay when it goes, until their time has come.
            (
                "velero.io",
                "Schedule",
                "daily-backup",
                "couchestor",
                json!({}),
                true,
                Verdict::Remove,
            ),
            (
                "",
                "Secret",
                "velero-repo-credentials",
                "couchestor",
                json!({}),
                true,
                keep("backups can be read only with it: delete it by hand"),
            ),
            (
                "storage.k8s.io",
                "StorageClass",
                "fast",
                "couchestor",
                json!({}),
                true,
                keep("volumes or claims still use it"),
            ),
            (
                "storage.k8s.io",
                "StorageClass",
                "slow",
                "couchestor",
                json!({}),
                true,
                Verdict::Remove,
            ),
            (
                "",
                "ConfigMap",
                "a",
                "couchestor",
                json!({"kustomize.toolkit.fluxcd.io/prune": "disabled"}),
                true,
                keep("it carries kustomize.toolkit.fluxcd.io/prune: disabled"),
            ),
        ];
        for (group, kind, name, manager, annotations, prune, expected) in cases {
            let id = ObjectId {
                group: group.into(),
                kind: kind.into(),
                namespace: String::new(),
                name: name.into(),
            };
            assert_eq!(
                verdict(&id, &live(manager, annotations), prune, Some(&used)),
                expected,
                "{kind} {name}"
            );
        }
    }

    #[test]
    fn a_storage_class_is_kept_while_its_use_is_unknown() {
        let id = ObjectId {
            group: "storage.k8s.io".into(),
            kind: "StorageClass".into(),
            namespace: String::new(),
            name: "fast".into(),
        };
        assert!(matches!(
            verdict(&id, &live("couchestor", json!({})), true, None),
            Verdict::Keep(_)
        ));
    }
}
