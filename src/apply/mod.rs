//! Objects → the cluster: server-side, in stages, only what differs; and prunes what left the repository.

use crate::io::cluster::{Cluster, ClusterError, Live, Which};
use crate::io::velero::LOCATIONS;
use crate::model::desired::text_at;
use crate::model::diagnostic::Place;
use crate::model::failure::{Class, Failure};
use crate::model::ids::ObjectId;
use crate::model::kinds::policy_source::{Inventory, InventoryEntry};
use crate::model::kinds::{FIELD_MANAGER, MADE_ONCE, is_repository_secret, is_schedule};
use crate::model::rendering::{RenderedObject, Stage};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What is removed and what is kept. Pure.
pub mod prune;

/// What somebody else applies from now on.
pub mod hand_over;

/// How long CRDs may take to be served before the objects that need them are tried.
const ESTABLISH_TRIES: u32 = 20;
const ESTABLISH_PAUSE: Duration = Duration::from_millis(250);

/// What was done with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It was not there.
    Created,
    /// It differed.
    Configured,
    /// It was as it should be; nothing was written.
    Unchanged,
    /// It left the repository and was removed.
    Pruned,
    /// It left the repository and was kept, for this reason; what can be paused is paused.
    Kept(String),
}

/// An object that could not be applied or removed.
#[derive(Clone, Debug)]
pub struct ApplyFailure {
    /// The object.
    pub id: ObjectId,
    /// The file that it comes from.
    pub place: Option<Place>,
    /// What went wrong.
    pub message: String,
    /// What to do.
    pub help: String,
    /// When to try again.
    pub class: Class,
}

/// What an apply did.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// What is in the cluster by our doing now.
    pub inventory: Inventory,
    /// What was done, object by object.
    pub actions: Vec<(ObjectId, Action)>,
    /// What failed.
    pub failures: Vec<ApplyFailure>,
    /// What left the repository and was kept, and why, as far as that was not told before.
    pub newly_kept: Vec<(ObjectId, String)>,
}

impl Applied {
    /// How many objects were created, changed or removed.
    pub fn changes(&self) -> usize {
        let changed =
            |action: &Action| matches!(action, Action::Created | Action::Configured | Action::Pruned);
        self.actions.iter().filter(|(_, action)| changed(action)).count()
    }
}

/// Hashes of what was last applied, so that unchanged objects cost nothing. It is a cache: losing it costs a dry run
/// per object.
#[derive(Debug, Default)]
pub struct ApplyMemory {
    hashes: BTreeMap<ObjectId, [u8; 32]>,
    /// What left the repository and was kept, and why.
    kept: BTreeMap<ObjectId, String>,
}

/// How to apply.
pub struct Options<'a> {
    /// Whether to remove what left the repository.
    pub prune: bool,
    /// What was in the cluster by our doing before.
    pub previous: &'a Inventory,
    /// StorageClasses that volumes or claims refer to; `None` when that could not be read.
    pub classes_in_use: Option<&'a BTreeSet<String>>,
    /// Whether to compare every object with the cluster, whatever the memory says.
    pub full: bool,
}

/// Applies.
pub async fn apply(
    cluster: &Cluster,
    objects: &[RenderedObject],
    options: Options<'_>,
    memory: &mut ApplyMemory,
) -> Applied {
    let mut applied = Applied::default();
    let previous: BTreeSet<&str> = options
        .previous
        .entries
        .iter()
        .map(|entry| entry.id.as_str())
        .collect();
    for stage in [Stage::Definitions, Stage::Classes, Stage::Rest] {
        let of_stage: Vec<&RenderedObject> = objects.iter().filter(|object| object.stage == stage).collect();
        for object in &of_stage {
            let outcome = apply_one(cluster, object, options.full, memory).await;
            let known = previous.contains(object.id.inventory_id().as_str());
            take_down(&mut applied, object, outcome, known);
        }
        if stage == Stage::Definitions {
            wait_for_definitions(cluster, &of_stage).await;
        }
        if stage != Stage::Rest && !applied.failures.is_empty() {
            // What comes later may need what failed: keep what was there and try again.
            keep_previous(&mut applied, options.previous);
            return applied;
        }
    }
    if !applied.failures.is_empty() {
        keep_previous(&mut applied, options.previous);
        return applied;
    }
    prune_all(cluster, objects, &options, memory, &mut applied).await;
    applied.inventory.entries.sort();
    applied
}

fn take_down(
    applied: &mut Applied,
    object: &RenderedObject,
    outcome: Result<Action, ClusterError>,
    known: bool,
) {
    let entry = object.inventory_entry();
    match outcome {
        Ok(action) => {
            applied.inventory.entries.push(entry);
            applied.actions.push((object.id.clone(), action));
        }
        Err(error) => {
            if known {
                applied.inventory.entries.push(entry);
            }
            let help = help(object, &error);
            let error = if object.secret { error.masked() } else { error };
            applied.failures.push(ApplyFailure {
                id: object.id.clone(),
                place: Some(object.origin.place("")),
                class: error.class(),
                message: error.to_string(),
                help,
            });
        }
    }
}

fn keep_previous(applied: &mut Applied, previous: &Inventory) {
    let mut entries: BTreeSet<InventoryEntry> = previous.entries.iter().cloned().collect();
    entries.extend(applied.inventory.entries.drain(..));
    applied.inventory.entries = entries.into_iter().collect();
}

/// What to do about an object that the server refuses; empty when its own words say it.
pub fn help(object: &RenderedObject, error: &ClusterError) -> String {
    let text = error.to_string();
    if object.id.kind == "StorageClass" && text.contains("updates to") {
        let who = object.made_from.as_deref().map_or_else(
            || "give the StorageClass a new name".to_owned(),
            |from| format!("give spec.storageClass.name of {from} a new name"),
        );
        return format!(
            "Kubernetes never changes these fields of a StorageClass: {who} (volumes keep using the old class), \
             or delete the class if nothing uses it, and it is made anew"
        );
    }
    match error {
        ClusterError::Api { code: 404, .. } => "add its Namespace to the repository, or create it".to_owned(),
        ClusterError::Forbidden { .. } => "give couchestor's service account this right".to_owned(),
        ClusterError::Api { code: 500, .. } => {
            "a field that its CRD does not declare makes the API server answer so; check the spelling of its fields"
                .to_owned()
        }
        _ => String::new(),
    }
}

async fn apply_one(
    cluster: &Cluster,
    object: &RenderedObject,
    full: bool,
    memory: &mut ApplyMemory,
) -> Result<Action, ClusterError> {
    let hash: [u8; 32] = Sha256::digest(object.value.to_string().as_bytes()).into();
    if !full && memory.hashes.get(&object.id) == Some(&hash) {
        return Ok(Action::Unchanged);
    }
    let action = difference(cluster, object).await?;
    if action != Action::Unchanged {
        cluster
            .apply_object(&object.api_version, &object.id, &object.value, false)
            .await?;
    }
    memory.hashes.insert(object.id.clone(), hash);
    Ok(action)
}

/// What an apply of one object would do, asked of the server without changing anything.
///
/// # Errors
/// Any [`ClusterError`].
pub async fn difference(cluster: &Cluster, object: &RenderedObject) -> Result<Action, ClusterError> {
    let Some(live) = cluster.get_object(&object.api_version, &object.id).await? else {
        return Ok(Action::Created);
    };
    // What was made once is left as it is, whoever made it.
    let (key, once) = MADE_ONCE;
    let held = text_at(&object.value, &["metadata", "annotations", key]) == once;
    let password = is_repository_secret(&object.id);
    if held && !password {
        return Ok(Action::Unchanged);
    }
    let wanted = cluster
        .apply_object(&object.api_version, &object.id, &object.value, true)
        .await?;
    if password && live.0.get("data") != wanted.0.get("data") {
        return Err(ClusterError::MadeOnce {
            what: object.id.to_string(),
            why: "backups that were made with the password in the cluster cannot be read with another one; put that password into Git, or, if no \
                  backup is needed any more, delete the Secret and let Velero begin in another folder of the bucket",
        });
    }
    let as_it_is = live.is_applied_by(FIELD_MANAGER) && same(&live, &wanted);
    Ok(if as_it_is {
        Action::Unchanged
    } else {
        Action::Configured
    })
}

/// Whether an apply would change nothing that anyone sees: everything but bookkeeping is equal.
fn same(live: &Live, wanted: &Live) -> bool {
    let mut sides = [live.0.clone(), wanted.0.clone()];
    for side in &mut sides {
        if let Some(metadata) = side
            .get_mut("metadata")
            .and_then(serde_json::Value::as_object_mut)
        {
            for field in ["managedFields", "resourceVersion", "generation"] {
                metadata.remove(field);
            }
        }
    }
    sides[0] == sides[1]
}

async fn wait_for_definitions(cluster: &Cluster, objects: &[&RenderedObject]) {
    for object in objects
        .iter()
        .filter(|object| object.id.kind == "CustomResourceDefinition")
    {
        for _ in 0..ESTABLISH_TRIES {
            let live = cluster
                .get_object(&object.api_version, &object.id)
                .await
                .ok()
                .flatten();
            let established = live.is_some_and(|live| {
                live.0
                    .pointer("/status/conditions")
                    .and_then(serde_json::Value::as_array)
                    .is_some_and(|all| {
                        all.iter()
                            .any(|one| one["type"] == "Established" && one["status"] == "True")
                    })
            });
            if established {
                break;
            }
            tokio::time::sleep(ESTABLISH_PAUSE).await;
        }
    }
}

async fn prune_all(
    cluster: &Cluster,
    objects: &[RenderedObject],
    options: &Options<'_>,
    memory: &mut ApplyMemory,
    applied: &mut Applied,
) {
    let wanted: BTreeSet<String> = objects.iter().map(|object| object.id.inventory_id()).collect();
    let before = std::mem::take(&mut memory.kept);
    for entry in options
        .previous
        .entries
        .iter()
        .filter(|entry| !wanted.contains(&entry.id))
    {
        let Some(id) = ObjectId::from_inventory_id(&entry.id) else {
            continue;
        };
        let api_version = id.api_version(&entry.v);
        let outcome = prune_one(cluster, &api_version, &id, options).await;
        match outcome {
            Ok(None) => {}
            Ok(Some(action)) => {
                // It is not as it was applied any more, or may be so no longer: what comes back is compared.
                memory.hashes.remove(&id);
                if let Action::Kept(why) = &action {
                    applied.inventory.entries.push(entry.clone());
                    if before.get(&id) != Some(why) {
                        applied.newly_kept.push((id.clone(), why.clone()));
                    }
                    memory.kept.insert(id.clone(), why.clone());
                }
                applied.actions.push((id, action));
            }
            Err(error) => {
                applied.inventory.entries.push(entry.clone());
                let what = if is_schedule(&id) {
                    "paused or removed"
                } else {
                    "removed"
                };
                applied.failures.push(ApplyFailure {
                    place: None,
                    class: error.class(),
                    message: format!("could not be {what}: {error}"),
                    help: String::new(),
                    id,
                });
            }
        }
    }
}

async fn prune_one(
    cluster: &Cluster,
    api_version: &str,
    id: &ObjectId,
    options: &Options<'_>,
) -> Result<Option<Action>, ClusterError> {
    let live = match cluster.get_object(api_version, id).await {
        Ok(Some(live)) => live,
        Ok(None) | Err(ClusterError::UnknownKind { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    match prune::verdict(id, &live, options.prune, options.classes_in_use) {
        prune::Verdict::Remove => {
            if let Some(why) = needed_by_velero(cluster, id).await? {
                return Ok(Some(Action::Kept(why)));
            }
            let uid = live.uid().unwrap_or_default();
            cluster.delete_object(api_version, id, uid).await?;
            Ok(Some(Action::Pruned))
        }
        prune::Verdict::Pause(why) => {
            if !prune::is_paused(&live) {
                let uid = live.uid().unwrap_or_default();
                cluster.pause_object(api_version, id, uid).await?;
            }
            Ok(Some(Action::Kept(why)))
        }
        prune::Verdict::Keep(why) => Ok(Some(Action::Kept(why))),
        prune::Verdict::Forget => Ok(None),
    }
}

/// Why a Secret must stay, if it must: a location, which is never removed, reads its bucket with it.
async fn needed_by_velero(cluster: &Cluster, id: &ObjectId) -> Result<Option<String>, ClusterError> {
    if !(id.group.is_empty() && id.kind == "Secret") {
        return Ok(None);
    }
    let all = Which::default();
    let found = cluster.list_foreign_in(&LOCATIONS, &id.namespace, &all).await?;
    let named = |one: &Value| text_at(one, &["spec", "credential", "name"]) == id.name;
    let location = found.unwrap_or_default().into_iter().find(named);
    Ok(location.map(|location| {
        let name = text_at(&location, &["metadata", "name"]);
        format!("BackupStorageLocation {name} reads its bucket with it: delete both by hand")
    }))
}

#[cfg(test)]
mod tests;
