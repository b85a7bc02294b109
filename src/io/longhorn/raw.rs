//! Longhorn's custom resources (`longhorn.io/v1beta2`), as far as moving replicas needs them.
//!
//! The names are those of longhorn-manager's `k8s/pkg/apis/longhorn/v1beta2`. Go writes empty lists and maps as null, so all of them may
//! be null here; a field that a release does not have is empty.

use crate::io::cluster::Foreign;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::collections::BTreeMap;

const fn kind(kind: &'static str, plural: &'static str) -> Foreign {
    Foreign::of("longhorn.io", "v1beta2", kind, plural)
}

/// Volumes.
pub const VOLUMES: Foreign = kind("Volume", "volumes");
/// Replicas: one object for each copy.
pub const REPLICAS: Foreign = kind("Replica", "replicas");
/// Engines: what serves a volume, with its view of each copy.
pub const ENGINES: Foreign = kind("Engine", "engines");
/// Nodes with their disks.
pub const NODES: Foreign = kind("Node", "nodes");
/// Settings.
pub const SETTINGS: Foreign = kind("Setting", "settings");

fn or_empty<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Meta {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) uid: String,
    pub(super) resource_version: String,
    pub(super) deletion_timestamp: Option<String>,
    #[serde(deserialize_with = "or_empty")]
    pub(super) annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Object<S, T> {
    pub(super) metadata: Meta,
    pub(super) spec: S,
    #[serde(default)]
    pub(super) status: T,
}

pub(super) type RawVolume = Object<VolumeSpec, VolumeStatus>;
pub(super) type RawReplica = Object<ReplicaSpec, InstanceStatus>;
pub(super) type RawEngine = Object<EngineSpec, EngineStatus>;
pub(super) type RawNode = Object<NodeSpec, NodeStatus>;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct VolumeSpec {
    pub(super) size: String,
    pub(super) number_of_replicas: i64,
    pub(super) data_engine: String,
    pub(super) data_locality: String,
    pub(super) replica_auto_balance: String,
    pub(super) clone_mode: String,
    #[serde(rename = "migrationNodeID")]
    pub(super) migration_node: String,
    pub(super) image: String,
    #[serde(deserialize_with = "or_empty")]
    pub(super) disk_selector: Vec<String>,
    #[serde(deserialize_with = "or_empty")]
    pub(super) node_selector: Vec<String>,
    #[serde(deserialize_with = "or_empty")]
    pub(super) data_layout: DataLayout,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct DataLayout {
    #[serde(rename = "type")]
    pub(super) kind: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct VolumeStatus {
    pub(super) state: String,
    pub(super) robustness: String,
    #[serde(rename = "currentNodeID")]
    pub(super) current_node: String,
    pub(super) current_image: String,
    pub(super) restore_required: bool,
    pub(super) is_standby: bool,
    pub(super) expansion_required: bool,
    pub(super) switchover_state: String,
    pub(super) clone_status: CloneStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct CloneStatus {
    pub(super) state: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ReplicaSpec {
    pub(super) volume_name: String,
    #[serde(rename = "nodeID")]
    pub(super) node: String,
    #[serde(rename = "diskID")]
    pub(super) disk: String,
    pub(super) healthy_at: String,
    pub(super) failed_at: String,
    pub(super) eviction_requested: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct InstanceStatus {
    pub(super) current_state: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct EngineSpec {
    pub(super) volume_name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct EngineStatus {
    pub(super) current_state: String,
    #[serde(deserialize_with = "or_empty")]
    pub(super) replica_mode_map: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_empty")]
    pub(super) current_replica_address_map: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_empty")]
    pub(super) rebuild_status: BTreeMap<String, Option<RebuildStatus>>,
    pub(super) is_expanding: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RebuildStatus {
    pub(super) progress: i64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct NodeSpec {
    #[serde(deserialize_with = "or_empty")]
    pub(super) disks: BTreeMap<String, DiskSpec>,
    pub(super) allow_scheduling: bool,
    pub(super) eviction_requested: bool,
    #[serde(deserialize_with = "or_empty")]
    pub(super) tags: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct DiskSpec {
    pub(super) disk_type: String,
    pub(super) allow_scheduling: bool,
    pub(super) eviction_requested: bool,
    pub(super) storage_reserved: i64,
    #[serde(deserialize_with = "or_empty")]
    pub(super) tags: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct NodeStatus {
    #[serde(deserialize_with = "or_empty")]
    pub(super) conditions: Vec<Condition>,
    #[serde(deserialize_with = "or_empty")]
    pub(super) disk_status: BTreeMap<String, DiskStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct DiskStatus {
    #[serde(deserialize_with = "or_empty")]
    pub(super) conditions: Vec<Condition>,
    pub(super) storage_available: i64,
    pub(super) storage_scheduled: i64,
    pub(super) storage_maximum: i64,
    #[serde(rename = "diskUUID")]
    pub(super) uuid: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Condition {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) status: String,
}

/// Whether a condition holds; one that is not there does not.
pub(super) fn holds(conditions: &[Condition], kind: &str) -> bool {
    let mut of_kind = conditions.iter().filter(|condition| condition.kind == kind);
    of_kind.any(|condition| condition.status == "True")
}

/// The settings on which placing and removing copies depends.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings(BTreeMap<String, String>);

impl Settings {
    pub(super) fn read(objects: &[Value]) -> Self {
        let one = |object: &Value| {
            let name = object.pointer("/metadata/name")?.as_str()?;
            Some((name.to_owned(), object.get("value")?.as_str()?.to_owned()))
        };
        Self(objects.iter().filter_map(one).collect())
    }

    /// A setting's value for a data engine: releases since 1.10 write some as `{"v1":"…","v2":"…"}`.
    pub(super) fn get(&self, name: &str, engine: &str) -> Option<String> {
        let text = self.0.get(name)?;
        let each: Option<BTreeMap<String, Value>> = serde_json::from_str(text).ok();
        let Some(each) = each else {
            return Some(text.clone());
        };
        let engine = if engine.is_empty() { "v1" } else { engine };
        match each.get(engine)? {
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }

    /// A number, or what Longhorn takes when nothing is set.
    pub(super) fn number(&self, name: &str, engine: &str, default: i64) -> i64 {
        let set = self.get(name, engine);
        set.and_then(|text| text.parse().ok()).unwrap_or(default)
    }
}
