//! What is removed and what is kept when it leaves the repository. Pure.

use crate::io::cluster::Live;
use crate::model::ids::ObjectId;
use crate::model::kinds::{
    FIELD_MANAGER, FLUX_MANAGER, NEVER_PRUNED, PRUNE, PRUNE_ENABLED, is_repository_secret, is_schedule,
};
use serde_json::Value;
use std::collections::BTreeSet;

/// What becomes of an object that left the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is removed.
    Remove,
    /// It is kept, and looked at again next time.
    Keep(String),
    /// The same, and it is paused.
    Pause(String),
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
    // It may have been handed over to Flux. Where Flux is gone and has left its mark, nobody removes it; so it is told of.
    if live.is_applied_by(FLUX_MANAGER) {
        return Verdict::Keep(
            "Flux applies it too, or did: it is Flux's to remove, or delete it by hand".to_owned(),
        );
    }
    if !prune {
        return Verdict::Keep("spec.prune is false".to_owned());
    }
    if NEVER_PRUNED.contains(&(id.group.as_str(), id.kind.as_str())) {
        return Verdict::Keep(format!(
            "{} objects are never removed: delete it by hand",
            id.kind
        ));
    }
    if is_repository_secret(id) {
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
    if is_schedule(id) && !may_go(live) {
        return Verdict::Pause(format!(
            "it is paused, so it makes no backups any more; only what Git had annotated {}: {PRUNE_ENABLED} before is removed. Delete it by \
             hand, or bring it back",
            PRUNE[0]
        ));
    }
    Verdict::Remove
}

/// Whether it is paused already.
pub fn is_paused(live: &Live) -> bool {
    live.0.pointer("/spec/paused").and_then(Value::as_bool) == Some(true)
}

/// Whether Git has said that it may be removed. What others have written there is not Git's word.
fn may_go(live: &Live) -> bool {
    let ours = |(manager, fields): (&str, &Value)| {
        let annotations = fields.get("f:metadata").and_then(|all| all.get("f:annotations"));
        let key = format!("f:{}", PRUNE[0]);
        manager == FIELD_MANAGER && annotations.is_some_and(|all| all.get(key).is_some())
    };
    live.annotation(PRUNE[0]) == Some(PRUNE_ENABLED) && live.applied().any(ours)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn live(manager: &str, annotations: serde_json::Value) -> Live {
        let managers = match manager {
            "both" => vec![FIELD_MANAGER, FLUX_MANAGER],
            one => vec![one],
        };
        let applied = |manager: &&str| json!({"manager": manager, "operation": "Apply"});
        let applied: Vec<serde_json::Value> = managers.iter().map(applied).collect();
        Live(json!({"metadata": {"annotations": annotations, "managedFields": applied}}))
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
                "ConfigMap",
                "a",
                "both",
                json!({}),
                true,
                keep("Flux applies it too, or did: it is Flux's to remove, or delete it by hand"),
            ),
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
            (
                "velero.io",
                "Schedule",
                "daily-backup",
                "couchestor",
                json!({}),
                false,
                keep("spec.prune is false"),
            ),
            (
                "velero.io",
                "Schedule",
                "daily-backup",
                "couchestor",
                json!({"storage.billyronks.io/prune": "disabled"}),
                true,
                keep("it carries storage.billyronks.io/prune: disabled"),
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

    #[test]
    fn a_schedule_is_paused_and_kept_unless_git_itself_has_said_that_it_may_go() {
        let id = |group: &str| ObjectId {
            group: group.to_owned(),
            kind: "Schedule".to_owned(),
            namespace: "velero".to_owned(),
            name: "daily-backup".to_owned(),
        };
        let said = |value: &str, by: &str| {
            let annotation = json!({"f:metadata": {"f:annotations": {"f:storage.billyronks.io/prune": {}}}});
            let spec = json!({"f:spec": {"f:schedule": {}}});
            let of = |manager: &str| if by == manager { &annotation } else { &spec };
            let managers = [FIELD_MANAGER, "kubectl"];
            let applied =
                managers.map(|one| json!({"manager": one, "operation": "Apply", "fieldsV1": of(one)}));
            Live(
                json!({"metadata": {"managedFields": applied, "annotations": {"storage.billyronks.io/prune": value}}}),
            )
        };
        let verdict = |group: &str, live: &Live| verdict(&id(group), live, true, None);
        let Verdict::Pause(why) = verdict("velero.io", &live("couchestor", json!({}))) else {
            panic!("it is not paused");
        };
        assert!(why.contains("storage.billyronks.io/prune: enabled"), "{why}");
        for (value, by) in [
            ("enabled", "kubectl"),
            ("", FIELD_MANAGER),
            ("true", FIELD_MANAGER),
        ] {
            let found = verdict("velero.io", &said(value, by));
            assert!(matches!(found, Verdict::Pause(_)), "{value} by {by}: {found:?}");
        }
        assert_eq!(
            verdict("velero.io", &said("enabled", FIELD_MANAGER)),
            Verdict::Remove
        );
        // A Schedule of somebody else's kinds.
        assert_eq!(
            verdict("example.org", &live("couchestor", json!({}))),
            Verdict::Remove
        );
    }
}
