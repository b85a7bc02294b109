//! What the API tells, in the shapes of its published schema (`control-plane/rest/openapi-specs/v0_api_spec.yaml`): hyphens
//! and all, and without the fields that a release doesn't have yet.

use super::profile::Capabilities;
use super::state::{
    Copy, Drain, PoolStatus, Reason, Rebuild, RebuildState, SimNode, SimPool, SimVolume, Snapshot, State,
};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// The size of a block in rebuilds.
const BLOCK: u64 = 512;

/// Seconds since 1970 at which the simulator starts, as far as its answers are concerned.
const EPOCH: i64 = 1_767_225_600;

/// The world as it is, or as a stale read has it.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub(super) nodes: &'a BTreeMap<String, SimNode>,
    pub(super) offline: &'a BTreeMap<String, Duration>,
    pub(super) pools: &'a BTreeMap<String, SimPool>,
    pub(super) volumes: &'a BTreeMap<String, SimVolume>,
    pub(super) capabilities: Capabilities,
}

fn stamp(at: Duration) -> String {
    let seconds = i64::try_from(at.as_secs()).unwrap_or(i64::MAX - EPOCH);
    jiff::Timestamp::new(EPOCH + seconds, 0).map_or_else(|_| String::new(), |time| time.to_string())
}

impl<'a> View<'a> {
    /// Whether a copy's node and pool answer.
    pub fn reachable(&self, copy: &Copy) -> bool {
        self.pools.get(&copy.pool).is_some_and(|pool| {
            !self.offline.contains_key(&pool.node)
                && !matches!(pool.status, PoolStatus::Faulted | PoolStatus::Unknown)
        })
    }

    /// Whether a volume's target is there.
    pub fn target_lives(&self, volume: &SimVolume) -> bool {
        volume
            .target
            .as_ref()
            .is_some_and(|node| self.nodes.contains_key(node) && !self.offline.contains_key(node))
    }

    /// The state of a volume in the API's word.
    pub fn status(&self, volume: &SimVolume) -> &'static str {
        let wanted = usize::from(volume.num_replicas);
        let synced = volume.synced().filter(|copy| self.reachable(copy)).count();
        let there = volume.copies.iter().filter(|copy| self.reachable(copy)).count();
        if volume.target.is_some() && !self.target_lives(volume) {
            return "Unknown";
        }
        // Without a target older releases count what is there, be it empty (openebs/openebs#4124).
        let good = if volume.target.is_none() && !self.capabilities.judges_unpublished {
            there
        } else {
            synced
        };
        match good {
            0 => "Faulted",
            _ if good == wanted && volume.copies.len() == wanted => "Online",
            _ => "Degraded",
        }
    }

    fn child(&self, copy: &Copy) -> &'static str {
        match (copy.faulted || !self.reachable(copy), copy.synced()) {
            (true, _) => "Faulted",
            (false, true) => "Online",
            (false, false) => "Degraded",
        }
    }

    fn replica(&self, volume: &SimVolume, copy: &Copy) -> Value {
        let node = self.pools.get(&copy.pool).map(|pool| pool.node.clone());
        // An empty copy is Online like any other; only its state as a child of the target tells.
        let state = if self.reachable(copy) { "Online" } else { "Unknown" };
        let mut shown = json!({
            "node": node, "pool": copy.pool, "state": state,
            "usage": {"capacity": volume.size, "allocated": copy.taken, "allocated_snapshots": 0,
                      "allocated_all_snapshots": 0},
            "encrypted": volume.seed.encrypted,
        });
        if self.capabilities.tells_health {
            shown["healthy"] = json!(copy.synced());
        }
        if self.target_lives(volume) {
            shown["child-status"] = json!(self.child(copy));
            if let Some(reason) = copy.reason {
                shown["child-status-reason"] = json!(match reason {
                    Reason::Lost => "CannotOpen",
                    Reason::IoError => "IoFailure",
                    Reason::NoSpace => "NoSpace",
                    Reason::RebuildFailed => "RebuildFailed",
                });
            }
            if self.runs(volume, copy) {
                shown["rebuild-progress"] = json!((copy.filled * 100.0) as u8);
            }
        }
        shown
    }

    fn runs(&self, volume: &SimVolume, copy: &Copy) -> bool {
        let mut rebuilds = volume.rebuilds.iter();
        rebuilds.any(|rebuild| rebuild.copy == copy.id && rebuild.ended.is_none())
    }

    fn uri(&self, volume: &SimVolume, copy: &str) -> String {
        let node = volume
            .copies
            .iter()
            .find(|other| other.id == copy)
            .and_then(|copy| self.pools.get(&copy.pool))
            .map(|pool| pool.node.as_str());
        match node {
            Some(node) if volume.target.as_deref() == Some(node) => format!("bdev:///{copy}?uuid={copy}"),
            _ => format!("nvmf://127.0.0.1:8420/nqn.2019-05.io.openebs:{copy}?uuid={copy}"),
        }
    }

    fn target(&self, uuid: &str, volume: &SimVolume) -> Value {
        if !self.target_lives(volume) {
            return Value::Null;
        }
        let status = match self.status(volume) {
            "Unknown" => "Online",
            status => status,
        };
        let children: Vec<Value> = volume
            .copies
            .iter()
            .map(|copy| {
                let mut child =
                    json!({"uri": self.uri(volume, &copy.id), "state": self.child(copy), "state_reason": "Unknown"});
                if self.runs(volume, copy) {
                    child["rebuildProgress"] = json!((copy.filled * 100.0) as u8);
                }
                child
            })
            .collect();
        let rebuilds = volume
            .copies
            .iter()
            .filter(|copy| self.runs(volume, copy))
            .count();
        json!({
            "uuid": nexus(uuid, volume), "node": volume.target, "state": status, "children": children,
            "rebuilds": rebuilds, "protocol": "nvmf", "size": volume.size,
            "deviceUri": format!("nvmf://127.0.0.1:8420/nqn.2019-05.io.openebs:{uuid}"),
        })
    }

    fn spec(&self, uuid: &str, volume: &SimVolume) -> Value {
        let seed = &volume.seed;
        let mut spec = json!({
            "uuid": uuid, "size": volume.size, "num_replicas": volume.num_replicas,
            "status": if volume.creating { "Creating" } else { "Created" },
            "policy": {"self_heal": !seed.no_self_heal}, "thin": seed.thin, "as_thin": seed.thin,
            "num_snapshots": volume.snapshots.len(), "encrypted": seed.encrypted, "labels": {},
        });
        let mut topology = Map::new();
        if !seed.pool_inclusion.is_empty() || !seed.pool_exclusion.is_empty() {
            topology.insert(
                "pool_topology".to_owned(),
                json!({"labelled": {"inclusion": seed.pool_inclusion, "exclusion": seed.pool_exclusion,
                                    "affinity_key": []}}),
            );
        }
        if !seed.allowed_nodes.is_empty() {
            topology.insert(
                "node_topology".to_owned(),
                json!({"explicit": {"allowed_nodes": seed.allowed_nodes, "preferred_nodes": []}}),
            );
        } else if !seed.node_inclusion.is_empty() {
            topology.insert(
                "node_topology".to_owned(),
                json!({"labelled": {"inclusion": seed.node_inclusion, "exclusion": {}, "affinity_key": []}}),
            );
        }
        if !topology.is_empty() {
            spec["topology"] = Value::Object(topology);
        }
        if let Some(node) = &volume.target {
            spec["target"] = json!({"node": node, "protocol": "nvmf", "frontend_nodes": []});
        }
        if let Some(group) = &seed.affinity_group {
            spec["affinity_group"] = json!({"id": group});
        }
        if let Some(snapshot) = &seed.cloned_from {
            spec["content_source"] = json!({"snapshot": {"snapshot": snapshot, "volume": uuid}});
        }
        if let Some(operation) = &volume.operation {
            spec["operation"] = json!({"operation": operation});
        }
        spec
    }

    fn shown_volume(&self, uuid: &str, volume: &SimVolume) -> Value {
        let replicas: Map<String, Value> = volume
            .copies
            .iter()
            .map(|copy| (copy.id.clone(), self.replica(volume, copy)))
            .collect();
        let mut state = json!({
            "uuid": uuid, "size": volume.size, "status": self.status(volume), "replica_topology": replicas,
            "usage": {"capacity": volume.size, "allocated": volume.written, "allocated_replica": volume.written,
                      "allocated_snapshots": 0, "allocated_all_snapshots": 0},
        });
        let target = self.target(uuid, volume);
        if !target.is_null() {
            state["target"] = target;
        }
        if self.capabilities.tells_health {
            let synced = volume.synced().count();
            let online = volume.synced().filter(|copy| self.reachable(copy)).count();
            state["health"] = json!({
                "cleanShutdown": volume.target.is_none(), "healthyReplicas": synced, "cleanReplicas": synced,
                "onlineHealthyReplicas": online, "onlineCleanReplicas": online,
                "liveHealthyReplicas": if self.target_lives(volume) { online } else { 0 },
            });
        }
        json!({"spec": self.spec(uuid, volume), "state": state})
    }

    /// `GET /volumes/{id}`.
    pub fn volume(&self, uuid: &str) -> Option<Value> {
        self.volumes
            .get(uuid)
            .map(|volume| self.shown_volume(uuid, volume))
    }

    /// `GET /volumes`: so many (0 is all) from a token on.
    pub fn volumes(&self, most: usize, start: usize) -> Value {
        let take = if most == 0 { usize::MAX } else { most };
        let page = self.volumes.iter().skip(start).take(take);
        let entries: Vec<Value> = page
            .map(|(uuid, volume)| self.shown_volume(uuid, volume))
            .collect();
        let next = start + entries.len();
        match next < self.volumes.len() {
            true => json!({"entries": entries, "next_token": next}),
            false => json!({"entries": entries}),
        }
    }

    /// `GET /pools/{id}`.
    pub fn pool(&self, name: &str) -> Option<Value> {
        let pool = self.pools.get(name)?;
        let status = match pool.status {
            _ if self.offline.contains_key(&pool.node) => "Unknown",
            PoolStatus::Online => "Online",
            PoolStatus::Suspected if self.capabilities.suspects_pools => "Suspected",
            PoolStatus::Suspected | PoolStatus::Degraded => "Degraded",
            PoolStatus::Faulted => "Faulted",
            PoolStatus::Unknown => "Unknown",
        };
        let disks = [format!("/dev/disk/by-id/{name}")];
        let mut spec = json!({"id": name, "node": pool.node, "labels": pool.labels, "disks": disks, "status": "Created"});
        if pool.cordon.any() {
            let cordon = pool.cordon;
            spec["cordonDrain"] = json!({"cordoned": {"replicas": cordon.replicas, "snapshots": cordon.snapshots,
                                                      "restores": cordon.restores, "import": cordon.import}});
        }
        if pool.encrypted {
            spec["encryption"] = json!({"secret": {"name": format!("{name}-key")}});
        }
        let used = pool.used + pool.taken;
        Some(json!({
            "id": name, "spec": spec,
            "state": {"id": name, "node": pool.node, "capacity": pool.capacity, "used": used,
                      "committed": pool.used + pool.committed, "disks": disks, "status": status,
                      "encrypted": pool.encrypted},
        }))
    }

    /// `GET /pools`.
    pub fn pools(&self) -> Value {
        self.pools.keys().filter_map(|name| self.pool(name)).collect()
    }

    /// `GET /nodes/{id}`.
    pub fn node(&self, name: &str) -> Option<Value> {
        let node = self.nodes.get(name)?;
        let version = node.version.as_deref().unwrap_or(self.capabilities.version);
        let version = (!version.is_empty()).then_some(version);
        let endpoint = "127.0.0.1:10124";
        let mut spec = json!({"id": name, "grpcEndpoint": endpoint, "labels": node.labels});
        if let Some(version) = version {
            spec["version"] = json!(version);
        }
        let labels = json!({"cordonlabels": node.cordons, "drainlabels": node.drains});
        match node.drain {
            Some(Drain::Draining) => spec["cordondrainstate"] = json!({"drainingstate": labels}),
            Some(Drain::Drained) => spec["cordondrainstate"] = json!({"drainedstate": labels}),
            None if !node.cordons.is_empty() => {
                spec["cordondrainstate"] = json!({"cordonedstate": {"cordonlabels": node.cordons}});
            }
            None => {}
        }
        let status = if self.offline.contains_key(name) {
            "Offline"
        } else {
            "Online"
        };
        let mut state = json!({"id": name, "grpcEndpoint": endpoint, "status": status});
        if let Some(version) = version {
            state["version"] = json!(version);
        }
        Some(json!({"id": name, "spec": spec, "state": state}))
    }

    /// `GET /nodes`.
    pub fn nodes(&self) -> Value {
        self.nodes.keys().filter_map(|name| self.node(name)).collect()
    }

    /// `GET /volumes/{id}/rebuild-history`; `None` within when the volume has no target. It tells of rebuilds that have ended
    /// under this target: one that runs is told of by the copy's `rebuild-progress`. Whether the real one lists those too isn't
    /// confirmed.
    pub fn rebuild_history(&self, uuid: &str) -> Option<Option<Value>> {
        let volume = self.volumes.get(uuid)?;
        if !self.target_lives(volume) {
            return Some(None);
        }
        let records: Vec<Value> = volume
            .rebuilds
            .iter()
            .filter(|rebuild| rebuild.ended.is_some())
            .map(|rebuild| self.record(volume, rebuild))
            .collect();
        Some(Some(
            json!({"targetUuid": nexus(uuid, volume), "records": records}),
        ))
    }

    fn record(&self, volume: &SimVolume, rebuild: &Rebuild) -> Value {
        let total = volume.size / BLOCK;
        let blocks = |share: f64| (total as f64 * share) as u64;
        let (had, has) = (blocks(rebuild.from), blocks(rebuild.filled));
        let written = volume.written as f64 / volume.size.max(1) as f64;
        json!({
            "childUri": self.uri(volume, &rebuild.copy), "srcUri": self.uri(volume, &rebuild.source),
            "rebuildJobState": match rebuild.state {
                RebuildState::Rebuilding => "Rebuilding",
                RebuildState::Stopped => "Stopped",
                RebuildState::Failed => "Failed",
                RebuildState::Completed => "Completed",
            },
            "blocksTotal": total, "blocksRecovered": has - had.min(has),
            "blocksTransferred": blocks((rebuild.filled - rebuild.from).max(0.0) * written),
            "blocksRemaining": total - has.min(total), "blockSize": BLOCK, "isPartial": rebuild.partial,
            "startTime": stamp(rebuild.started), "endTime": stamp(rebuild.ended.unwrap_or(rebuild.started)),
        })
    }

    /// `GET /volumes/{id}/snapshots`.
    pub fn snapshots(&self, uuid: &str) -> Option<Value> {
        let volume = self.volumes.get(uuid)?;
        let entries: Vec<Value> = volume
            .snapshots
            .iter()
            .map(|snapshot| shown_snapshot(uuid, volume, snapshot))
            .collect();
        Some(json!({"entries": entries}))
    }

    /// `GET /volumes/snapshots`.
    pub fn all_snapshots(&self) -> Value {
        let of = |(uuid, volume): (&'a String, &'a SimVolume)| {
            volume
                .snapshots
                .iter()
                .map(move |snapshot| shown_snapshot(uuid, volume, snapshot))
        };
        json!({"entries": self.volumes.iter().flat_map(of).collect::<Vec<_>>()})
    }

    /// `GET /specs`, as far as moves ask for it: volumes, pools, nodes, replicas.
    pub fn specs(&self) -> Value {
        let volumes: Vec<Value> = self
            .volumes
            .iter()
            .map(|(uuid, volume)| self.spec(uuid, volume))
            .collect();
        let spec_of = |value: Value| value.get("spec").cloned().unwrap_or_default();
        let pools: Vec<Value> = self
            .pools
            .keys()
            .filter_map(|name| self.pool(name))
            .map(spec_of)
            .collect();
        let nodes: Vec<Value> = self
            .nodes
            .keys()
            .filter_map(|name| self.node(name))
            .map(spec_of)
            .collect();
        let of = |(uuid, volume): (&'a String, &'a SimVolume)| {
            volume.copies.iter().map(move |copy| {
                json!({"uuid": copy.id, "name": copy.id, "pool": copy.pool, "size": volume.size,
                       "thin": volume.seed.thin, "share": "nvmf", "status": "Created", "managed": true,
                       "owners": {"volume": uuid, "nexuses": []}})
            })
        };
        let replicas: Vec<Value> = self.volumes.iter().flat_map(of).collect();
        json!({"volumes": volumes, "pools": pools, "nodes": nodes, "replicas": replicas, "nexuses": []})
    }
}

fn shown_snapshot(uuid: &str, volume: &SimVolume, snapshot: &Snapshot) -> Value {
    let replicas: Vec<Value> = snapshot
        .pools
        .iter()
        .map(|pool| json!({"online": {"pool_id": pool, "size": volume.size, "allocated_size": volume.written}}))
        .collect();
    json!({
        "definition": {"metadata": {"status": "Created", "spec_size": volume.size, "total_allocated_size": 0,
                                    "num_restores": 0, "num_snapshot_replicas": snapshot.pools.len()},
                       "spec": {"uuid": snapshot.id, "source_volume": uuid}},
        "state": {"uuid": snapshot.id, "source_volume": uuid, "allocated_size": volume.written,
                  "ready_as_source": true, "replica_snapshots": replicas},
    })
}

/// The uuid of a volume's target: another one each time that it is made.
fn nexus(uuid: &str, volume: &SimVolume) -> String {
    let tail: String = uuid.chars().filter(char::is_ascii_hexdigit).collect();
    let tail = format!("{tail:0>4}");
    let tail = tail.get(tail.len() - 4..).unwrap_or("0000");
    format!("0e0a0500-0000-4000-8000-{:08x}{tail}", volume.targets)
}

impl State {
    /// What `GET /volumes/{id}` answers.
    pub fn show_volume(&self, uuid: &str) -> Option<Value> {
        self.view().volume(uuid)
    }

    /// What `GET /volumes` answers, all on one page.
    pub fn show_volumes(&self) -> Value {
        self.view().volumes(0, 0)
    }

    /// What `GET /pools` answers.
    pub fn show_pools(&self) -> Value {
        self.view().pools()
    }

    /// What `GET /nodes` answers.
    pub fn show_nodes(&self) -> Value {
        self.view().nodes()
    }

    /// Whether a volume has all of its copies in order.
    pub fn is_online(&self, volume: &SimVolume) -> bool {
        self.view().status(volume) == "Online"
    }
}
