//! Mayastor's answers as they are written, and as records. Fields that came with later versions are optional, and words that are not
//! known are read as "unknown", never as a good sign.

use crate::model::engine::{Health, Node, Pool, Rebuild, RebuildState, Replica, Volume};
use crate::model::ids::{NodeName, PoolName, ReplicaId};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Deserialize)]
pub(super) struct Volumes {
    pub(super) entries: Vec<RawVolume>,
    #[serde(default)]
    pub(super) next_token: Option<i64>,
}

#[derive(Deserialize)]
pub(super) struct RawVolume {
    pub(super) spec: VolumeSpec,
    state: VolumeState,
}

#[derive(Deserialize)]
pub(super) struct VolumeSpec {
    pub(super) uuid: String,
    size: u64,
    num_replicas: u8,
    status: String,
    #[serde(default)]
    policy: Policy,
    #[serde(default)]
    topology: Value,
    #[serde(default)]
    thin: bool,
    #[serde(default)]
    affinity_group: Option<Value>,
    #[serde(default)]
    content_source: Option<Value>,
    #[serde(default)]
    num_snapshots: u32,
    #[serde(default)]
    encrypted: bool,
    #[serde(default)]
    operation: Option<Value>,
    #[serde(default)]
    target: Option<SpecTarget>,
}

#[derive(Deserialize)]
struct SpecTarget {
    #[serde(default)]
    node: Option<String>,
}

#[derive(Deserialize, Default)]
struct Policy {
    #[serde(default)]
    self_heal: bool,
}

#[derive(Deserialize)]
pub(super) struct RebuildHistory {
    #[serde(default)]
    pub(super) records: Vec<RebuildRecord>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RebuildRecord {
    child_uri: String,
    rebuild_job_state: String,
    #[serde(default)]
    blocks_total: u64,
    #[serde(default)]
    blocks_recovered: u64,
    #[serde(default)]
    block_size: u64,
    #[serde(default)]
    start_time: String,
}

pub(super) fn rebuild(raw: RebuildRecord) -> Rebuild {
    Rebuild {
        child: raw.child_uri,
        state: match raw.rebuild_job_state.as_str() {
            "Completed" => RebuildState::Completed,
            "Init" | "Rebuilding" | "Paused" => RebuildState::Running,
            _ => RebuildState::Failed,
        },
        total: raw.blocks_total.saturating_mul(raw.block_size),
        recovered: raw.blocks_recovered.saturating_mul(raw.block_size),
        started: raw.start_time,
    }
}

#[derive(Deserialize)]
struct VolumeState {
    status: String,
    #[serde(default)]
    target: Option<Target>,
    #[serde(default)]
    replica_topology: BTreeMap<String, ReplicaState>,
}

#[derive(Deserialize)]
struct Target {
    node: String,
    state: String,
    #[serde(default)]
    rebuilds: u32,
}

#[derive(Deserialize)]
struct ReplicaState {
    #[serde(default)]
    node: Option<String>,
    #[serde(default)]
    pool: Option<String>,
    state: String,
    #[serde(rename = "child-status", default)]
    child_status: Option<String>,
    #[serde(rename = "rebuild-progress", default)]
    rebuild_progress: Option<u8>,
    #[serde(default)]
    healthy: Option<bool>,
}

#[derive(Deserialize)]
pub(super) struct RawPool {
    id: String,
    #[serde(default)]
    spec: Option<PoolSpec>,
    #[serde(default)]
    state: Option<PoolState>,
}

#[derive(Deserialize)]
struct PoolSpec {
    node: String,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(rename = "cordonDrain", default)]
    cordon_drain: Option<Value>,
}

#[derive(Deserialize)]
struct PoolState {
    capacity: u64,
    used: u64,
    #[serde(default)]
    committed: Option<u64>,
    node: String,
    status: String,
    #[serde(default)]
    encrypted: Option<bool>,
}

#[derive(Deserialize)]
pub(super) struct RawNode {
    id: String,
    #[serde(default)]
    spec: Option<NodeSpec>,
    #[serde(default)]
    state: Option<NodeState>,
}

#[derive(Deserialize)]
struct NodeSpec {
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    cordondrainstate: Option<Value>,
    #[serde(default)]
    version: Option<String>,
}

#[derive(Deserialize)]
struct NodeState {
    status: String,
    #[serde(default)]
    version: Option<String>,
}

/// Reads one volume as the API writes it.
///
/// # Errors
/// What does not fit the schema.
pub fn read_volume(value: Value) -> Result<Volume, serde_json::Error> {
    serde_json::from_value(value).map(volume)
}

/// Reads a list of pools as the API writes it.
///
/// # Errors
/// What does not fit the schema.
pub fn read_pools(value: Value) -> Result<BTreeMap<PoolName, Pool>, serde_json::Error> {
    serde_json::from_value(value).map(pools)
}

pub(super) fn pools(raw: Vec<RawPool>) -> BTreeMap<PoolName, Pool> {
    raw.into_iter()
        .map(pool)
        .map(|pool| (pool.name.clone(), pool))
        .collect()
}

/// Reads a list of nodes as the API writes it.
///
/// # Errors
/// What does not fit the schema.
pub fn read_nodes(value: Value) -> Result<BTreeMap<NodeName, Node>, serde_json::Error> {
    serde_json::from_value(value).map(nodes)
}

pub(super) fn nodes(raw: Vec<RawNode>) -> BTreeMap<NodeName, Node> {
    raw.into_iter()
        .map(node)
        .map(|node| (node.name.clone(), node))
        .collect()
}

fn health(word: &str) -> Health {
    match word {
        "Online" => Health::Online,
        "Degraded" => Health::Degraded,
        "Faulted" => Health::Faulted,
        "Offline" | "Shutdown" => Health::Offline,
        _ => Health::Unknown,
    }
}

fn labels(value: Option<&Value>) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    value
        .and_then(Value::as_object)
        .map(|map| {
            map.iter()
                .filter_map(|(key, value)| Some((key.clone(), text(value)?)))
                .collect()
        })
        .unwrap_or_default()
}

pub(super) fn volume(raw: RawVolume) -> Volume {
    let (spec, state) = (raw.spec, raw.state);
    let topology = &spec.topology;
    let allowed = topology
        .pointer("/node_topology/explicit/allowed_nodes")
        .and_then(Value::as_array);
    Volume {
        uuid: spec.uuid,
        size: spec.size,
        num_replicas: spec.num_replicas,
        created: spec.status == "Created",
        busy: spec.operation.is_some_and(|operation| !operation.is_null()),
        state: health(&state.status),
        // While the target's node is lost the state knows no target; the volume is published nevertheless.
        target_node: state
            .target
            .as_ref()
            .map(|target| target.node.clone())
            .or(spec.target.map(|target| target.node.unwrap_or_default()))
            .map(NodeName),
        target_state: state.target.as_ref().map(|target| health(&target.state)),
        rebuilds: state.target.as_ref().map_or(0, |target| target.rebuilds),
        replicas: state
            .replica_topology
            .into_iter()
            .map(|(id, replica)| Replica {
                id: ReplicaId(id),
                node: NodeName(replica.node.unwrap_or_default()),
                pool: PoolName(replica.pool.unwrap_or_default()),
                state: health(&replica.state),
                child: replica.child_status.as_deref().map(health),
                healthy: replica.healthy,
                rebuild_progress: replica.rebuild_progress,
            })
            .collect(),
        self_heal: spec.policy.self_heal,
        thin: spec.thin,
        snapshots: spec.num_snapshots,
        cloned: spec.content_source.is_some_and(|source| !source.is_null()),
        affinity_group: spec
            .affinity_group
            .and_then(|group| group.get("id")?.as_str().map(str::to_owned)),
        encrypted: spec.encrypted,
        pool_inclusion: labels(topology.pointer("/pool_topology/labelled/inclusion")),
        node_inclusion: labels(topology.pointer("/node_topology/labelled/inclusion")),
        allowed_nodes: allowed
            .into_iter()
            .flatten()
            .filter_map(|node| node.as_str().map(NodeName::from))
            .collect(),
        obstacle: None,
    }
}

fn pool(raw: RawPool) -> Pool {
    let node = raw
        .spec
        .as_ref()
        .map(|spec| spec.node.clone())
        .or(raw.state.as_ref().map(|state| state.node.clone()));
    let cordoned = raw
        .spec
        .as_ref()
        .and_then(|spec| spec.cordon_drain.as_ref())
        .is_some_and(|state| {
            // A cordon of any kind keeps us off: reading too much into it costs a move, reading too little costs placement.
            state
                .get("cordoned")
                .or(state.get("cordonedState"))
                .is_some_and(|cordoned| {
                    cordoned
                        .as_bool()
                        .unwrap_or_else(|| cordoned.get("replicas").and_then(Value::as_bool).unwrap_or(true))
                })
        });
    Pool {
        name: PoolName(raw.id),
        node: NodeName(node.unwrap_or_default()),
        labels: raw.spec.and_then(|spec| spec.labels).unwrap_or_default(),
        state: raw
            .state
            .as_ref()
            .map(|state| health(&state.status))
            .unwrap_or_default(),
        capacity: raw.state.as_ref().map_or(0, |state| state.capacity),
        used: raw.state.as_ref().map_or(0, |state| state.used),
        committed: raw.state.as_ref().and_then(|state| state.committed),
        cordoned,
        encrypted: raw.state.and_then(|state| state.encrypted).unwrap_or(false),
    }
}

fn node(raw: RawNode) -> Node {
    let state = raw
        .spec
        .as_ref()
        .and_then(|spec| spec.cordondrainstate.clone())
        .unwrap_or_default();
    let words = |pointer: &str| {
        state
            .pointer(pointer)
            .and_then(Value::as_array)
            .map(|all| {
                all.iter()
                    .filter_map(|word| word.as_str().map(str::to_owned))
                    .collect::<Vec<_>>()
            })
            .unwrap_or_default()
    };
    let mut cordons = Vec::new();
    for pointer in [
        "/cordonedstate/cordonlabels",
        "/drainingstate/cordonlabels",
        "/drainedstate/cordonlabels",
    ] {
        cordons.extend(words(pointer));
    }
    Node {
        name: NodeName(raw.id),
        draining: state.get("drainingstate").is_some() || state.get("drainedstate").is_some(),
        cordons,
        labels: raw
            .spec
            .as_ref()
            .and_then(|spec| spec.labels.clone())
            .unwrap_or_default(),
        state: raw
            .state
            .as_ref()
            .map(|state| health(&state.status))
            .unwrap_or_default(),
        version: raw
            .spec
            .and_then(|spec| spec.version)
            .or(raw.state.and_then(|state| state.version)),
    }
}
