//! Desires and decisions → exact bytes. Pure: the same input gives the same bytes.

use crate::model::desired::{Desired, Resource, group_of, text_at};
use crate::model::ids::ObjectId;
use crate::model::kinds::GROUP;
use crate::model::rendering::{RenderedObject, Stage};
use serde_json::{Map, Value};
use std::sync::Arc;

/// StorageTier → StorageClass.
mod storage_class;

/// BackupLocation and BackupPolicy → Velero's objects.
pub mod velero;

/// Schedules of backups, as plans tell them.
pub mod backups;

/// What is delivered by pull request.
pub mod delivery;

/// Names and words as a forge may show them.
mod markdown;

/// A proposed move → branch, file, message.
pub mod proposal;

/// A phase of a rollout → branch, file, message.
pub mod promotion;

/// What became of merged moves.
pub mod results;

/// Assignments that are taken back.
pub mod rollback;

/// A plan → the comment on its pull request.
pub mod review;

/// Objects as text for people, secrets masked.
pub mod text;

#[cfg(test)]
mod tests;

/// Renders every object that the cluster should hold, in the order in which it is applied.
pub fn render(desired: &Desired) -> Vec<RenderedObject> {
    let mut objects = Vec::new();
    for resource in &desired.resources {
        objects.push(object(resource.value.clone(), resource, None));
        if resource.group() != GROUP {
            continue;
        }
        let made = match resource.kind() {
            "StorageTier" => storage_class::render(resource).into_iter().collect(),
            "BackupLocation" => velero::location(resource).into_iter().collect(),
            "BackupPolicy" => velero::policy(resource),
            _ => Vec::new(),
        };
        let made_from = format!("{} {}", resource.kind(), resource.name());
        objects.extend(
            made.into_iter()
                .map(|value| object(Arc::new(value), resource, Some(made_from.clone()))),
        );
    }
    objects.sort_by(|a, b| (a.stage, rank(&a.id.kind), &a.id).cmp(&(b.stage, rank(&b.id.kind), &b.id)));
    objects
}

fn object(value: Arc<Value>, resource: &Resource, made_from: Option<String>) -> RenderedObject {
    let text = |path: &[&str]| text_at(&value, path).to_owned();
    let api_version = text(&["apiVersion"]);
    let id = ObjectId {
        group: group_of(&api_version).to_owned(),
        kind: text(&["kind"]),
        namespace: text(&["metadata", "namespace"]),
        name: text(&["metadata", "name"]),
    };
    let secret = resource.origin.secret || id.kind == "Secret" && id.group.is_empty();
    RenderedObject {
        stage: stage(&id),
        id,
        api_version,
        secret,
        origin: resource.origin.clone(),
        made_from,
        value,
    }
}

fn stage(id: &ObjectId) -> Stage {
    match id.kind.as_str() {
        "CustomResourceDefinition" | "Namespace" | "ClusterRole" => Stage::Definitions,
        kind if kind.ends_with("Class") => Stage::Classes,
        _ => Stage::Rest,
    }
}

/// What others refer to comes first.
fn rank(kind: &str) -> u8 {
    match kind {
        "CustomResourceDefinition" => 0,
        "Namespace" => 1,
        "ServiceAccount" | "Secret" | "ConfigMap" => 2,
        "StorageTier" | "BackupLocation" | "BackupStorageLocation" => 3,
        _ => 4,
    }
}

/// An object with its usual head.
fn head(api_version: &str, kind: &str, namespace: Option<&str>, name: &str) -> Map<String, Value> {
    let mut metadata = Map::new();
    metadata.insert("name".to_owned(), Value::from(name));
    if let Some(namespace) = namespace {
        metadata.insert("namespace".to_owned(), Value::from(namespace));
    }
    let mut object = Map::new();
    object.insert("apiVersion".to_owned(), Value::from(api_version));
    object.insert("kind".to_owned(), Value::from(kind));
    object.insert("metadata".to_owned(), Value::Object(metadata));
    object
}
