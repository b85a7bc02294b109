//! Objects that couchestor has applied → whoever applies them now. couchestor gives up its share of their fields, and nothing of them
//! changes: what nobody else has applied yet is left as it is, and looked at again.

use super::ApplyFailure;
use crate::io::cluster::{Cluster, ClusterError, Live};
use crate::model::failure::Failure;
use crate::model::ids::ObjectId;
use crate::model::kinds::FIELD_MANAGER;
use crate::model::kinds::policy_source::{Inventory, InventoryEntry};
use serde_json::{Value, json};

/// Hands over what can be. Gives back what is still couchestor's, and what failed.
pub async fn hand_over(cluster: &Cluster, inventory: &Inventory) -> (Inventory, Vec<ApplyFailure>) {
    let (mut left, mut failures) = (Inventory::default(), Vec::new());
    for entry in &inventory.entries {
        let Some(id) = ObjectId::from_inventory_id(&entry.id) else {
            continue;
        };
        match hand_over_one(cluster, entry, &id).await {
            Ok(true) => {}
            Ok(false) => left.entries.push(entry.clone()),
            Err(error) => {
                left.entries.push(entry.clone());
                // The server quotes what it refuses, and the object may be secret.
                let error = error.masked();
                failures.push(ApplyFailure {
                    id,
                    place: None,
                    message: format!("could not be handed over: {error}"),
                    help: String::new(),
                    class: error.class(),
                });
            }
        }
    }
    (left, failures)
}

/// Whether it is couchestor's no more.
async fn hand_over_one(
    cluster: &Cluster,
    entry: &InventoryEntry,
    id: &ObjectId,
) -> Result<bool, ClusterError> {
    let api_version = id.api_version(&entry.v);
    let live = match cluster.get_object(&api_version, id).await {
        Ok(Some(live)) => live,
        Ok(None) | Err(ClusterError::UnknownKind { .. }) => return Ok(true),
        Err(error) => return Err(error),
    };
    match share(&live) {
        Share::None => Ok(true),
        Share::Alone => Ok(false),
        Share::Covered => {
            let mut bare = json!({"apiVersion": api_version, "kind": id.kind, "metadata": {"name": id.name}});
            // Of this one only: where it has gone since, none is made.
            if let Some(uid) = live.0.pointer("/metadata/uid") {
                bare["metadata"]["uid"] = uid.clone();
            }
            if !id.namespace.is_empty() {
                bare["metadata"]["namespace"] = json!(id.namespace);
            }
            cluster.apply_object(&api_version, id, &bare, false).await?;
            Ok(true)
        }
    }
}

/// What couchestor has of an object's fields.
#[derive(Debug, PartialEq, Eq)]
enum Share {
    /// Nothing.
    None,
    /// Nothing that somebody else has not applied too.
    Covered,
    /// Something that would go if couchestor let go of it.
    Alone,
}

fn share(live: &Live) -> Share {
    let (ours, theirs): (Vec<_>, Vec<_>) = live.applied().partition(|(manager, _)| *manager == FIELD_MANAGER);
    match ours.as_slice() {
        [] => Share::None,
        ours => {
            let covered = ours
                .iter()
                .all(|(_, ours)| theirs.iter().any(|(_, theirs)| covers(theirs, ours)));
            if covered { Share::Covered } else { Share::Alone }
        }
    }
}

/// Whether one set of fields, as `managedFields` writes it, holds all of another.
fn covers(theirs: &Value, ours: &Value) -> bool {
    let empty = serde_json::Map::new();
    let (theirs, ours) = (
        theirs.as_object().unwrap_or(&empty),
        ours.as_object().unwrap_or(&empty),
    );
    let covered = |(key, ours): (&String, &Value)| {
        // What is written as `stringData` is kept as `data`.
        let kept = (key == "f:stringData").then(|| theirs.get("f:data")).flatten();
        theirs
            .get(key)
            .or(kept)
            .is_some_and(|theirs| covers(theirs, ours))
    };
    ours.iter().all(covered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_somebody_else_has_applied_too_is_let_go() {
        let data = |keys: &[&str]| {
            let keys: serde_json::Map<String, Value> =
                keys.iter().map(|key| (format!("f:{key}"), json!({}))).collect();
            json!({"f:data": keys})
        };
        let entry = |manager: &str, operation: &str, fields: Value| json!({"manager": manager, "operation": operation, "fieldsV1": fields});
        let (ours, flux) = (FIELD_MANAGER, "kustomize-controller");
        let table = [
            ("nobody has applied it", vec![], Share::None),
            (
                "somebody else has",
                vec![entry(flux, "Apply", data(&["a"]))],
                Share::None,
            ),
            (
                "nobody else has",
                vec![entry(ours, "Apply", data(&["a"]))],
                Share::Alone,
            ),
            (
                "somebody else has the same",
                vec![
                    entry(ours, "Apply", data(&["a"])),
                    entry(flux, "Apply", data(&["a"])),
                ],
                Share::Covered,
            ),
            (
                "somebody else has more",
                vec![
                    entry(ours, "Apply", data(&["a"])),
                    entry(flux, "Apply", data(&["a", "b"])),
                ],
                Share::Covered,
            ),
            (
                "somebody else has less",
                vec![
                    entry(ours, "Apply", data(&["a", "b"])),
                    entry(flux, "Apply", data(&["a"])),
                ],
                Share::Alone,
            ),
            (
                "somebody else has only updated it",
                vec![
                    entry(ours, "Apply", data(&["a"])),
                    entry(flux, "Update", data(&["a"])),
                ],
                Share::Alone,
            ),
            (
                "a Secret, which is written in another way than it is kept",
                vec![
                    entry(ours, "Apply", json!({"f:stringData": {"f:a": {}}})),
                    entry(flux, "Apply", data(&["a"])),
                ],
                Share::Covered,
            ),
        ];
        for (what, managed, expected) in table {
            let live = Live(json!({"metadata": {"managedFields": managed}}));
            assert_eq!(share(&live), expected, "{what}");
        }
    }
}
