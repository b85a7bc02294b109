//! Which objects an apply would create or change, and which schedules of backups would stop.

use super::super::Failed;
use crate::apply::prune::{self, Verdict};
use crate::io::cluster::{Cluster, ClusterError};
use crate::model::ids::ObjectId;
use crate::model::kinds::policy_source::DeliveryMode;
use crate::model::kinds::{PolicySource, is_schedule};
use crate::model::rendering::RenderedObject;
use serde::Serialize;
use std::collections::BTreeSet;

/// An object that an apply would create or change, or a Schedule that it would pause or remove.
#[derive(Serialize)]
pub(super) struct Change {
    #[serde(flatten)]
    pub(super) object: ObjectId,
    /// What would be done: `created`, `configured`, `paused`, `pruned`, or `refused`.
    pub(super) action: String,
    /// Why the server would refuse it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

/// What an apply would create or change, asked of the server without changing anything.
pub(super) async fn changes(cluster: &Cluster, objects: &[RenderedObject]) -> Result<Vec<Change>, Failed> {
    let mut changes = Vec::new();
    for object in objects {
        let (action, error) = match crate::apply::difference(cluster, object).await {
            Ok(crate::apply::Action::Unchanged) => continue,
            Ok(action) => (format!("{action:?}").to_lowercase(), None),
            // It would be so of every other object, and each would be waited for.
            Err(error @ ClusterError::Unreachable { .. }) => return Err(error.into()),
            Err(error) => {
                let help = crate::apply::help(object, &error);
                let error = if object.secret { error.masked() } else { error };
                let told = match help.is_empty() {
                    true => error.to_string(),
                    false => format!("{error}; {help}"),
                };
                ("refused".to_owned(), Some(told))
            }
        };
        let object = object.id.clone();
        changes.push(Change {
            object,
            action,
            error,
        });
    }
    Ok(changes)
}

/// Velero's Schedules that are not in the folder any more. A folder on disk does not say which source it is: those are looked at that hold
/// something of it.
pub(super) async fn leaving(
    cluster: &Cluster,
    sources: &[PolicySource],
    objects: &[RenderedObject],
) -> Result<Vec<Change>, Failed> {
    let wanted: BTreeSet<String> = objects.iter().map(|object| object.id.inventory_id()).collect();
    let mut changes = Vec::new();
    for source in sources.iter().filter(|source| prunes(source)) {
        let inventory = source
            .status
            .as_ref()
            .and_then(|status| status.inventory.as_ref());
        let entries = || inventory.into_iter().flat_map(|inventory| &inventory.entries);
        if !entries().any(|entry| wanted.contains(&entry.id)) {
            continue;
        }
        for entry in entries().filter(|entry| !wanted.contains(&entry.id)) {
            let id = ObjectId::from_inventory_id(&entry.id).filter(is_schedule);
            let Some(object) = id else { continue };
            let live = match cluster.get_object(&object.api_version(&entry.v), &object).await {
                Ok(Some(live)) => live,
                Ok(None) | Err(ClusterError::UnknownKind { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            let action = match prune::verdict(&object, &live, true, None) {
                Verdict::Remove => "pruned",
                Verdict::Pause(_) if !prune::is_paused(&live) => "paused",
                _ => continue,
            };
            changes.push(Change {
                object,
                action: action.to_owned(),
                error: None,
            });
        }
    }
    Ok(changes)
}

fn prunes(source: &PolicySource) -> bool {
    let delivery = source.spec.delivery.as_ref();
    source.spec.prune && delivery.is_none_or(|one| one.mode != DeliveryMode::Commit)
}
