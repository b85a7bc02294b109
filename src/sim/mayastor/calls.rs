//! What the API does when it is asked: the rules of each change, with the kinds and the HTTP status of each refusal.

use super::faults::Route;
use super::judge::Cordoned;
use super::state::{PoolCordon, Snapshot, State};

/// A refusal, or no answer at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status; 0 when the connection was closed without an answer.
    pub status: u16,
    /// The kind, as `RestJsonError` has it.
    pub kind: &'static str,
    /// In words.
    pub message: String,
}

impl Refusal {
    pub(super) fn new(status: u16, kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            message: message.into(),
        }
    }

    pub(super) fn unanswered() -> Self {
        Self::new(0, "Cut", "the connection was closed")
    }

    pub(super) fn not_found(what: &str, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{what} {name} not found"))
    }

    pub(super) fn precondition(message: impl Into<String>) -> Self {
        Self::new(412, "FailedPrecondition", message)
    }

    /// Whether the call may have been done nevertheless: what a client has to think of this answer.
    pub fn is_unclear(&self) -> bool {
        matches!(self.status, 0 | 408 | 500 | 502 | 503 | 504)
    }
}

impl State {
    /// Makes a change; the past is kept from before it, if it is done.
    pub(super) fn change<T>(
        &mut self,
        route: Route,
        act: impl FnOnce(&mut Self) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        self.call(route, |state| state.recorded(act))
    }

    pub(super) fn recorded<T>(
        &mut self,
        act: impl FnOnce(&mut Self) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        self.keep_past(true);
        let done = act(self);
        if done.is_err() {
            self.forget_last();
        }
        done
    }

    /// `PUT /volumes/{id}/replica_count/{n}`.
    ///
    /// # Errors
    /// The API's refusal, or the fault that was ordered.
    pub fn set_replica_count(&mut self, uuid: &str, count: u8) -> Result<(), Refusal> {
        self.change(Route::ReplicaCount, |state| state.scale(uuid, count))
    }

    /// `PUT /pools/{id}/cordon`.
    ///
    /// # Errors
    /// The API's refusal, or the fault that was ordered.
    pub fn cordon_pool(&mut self, pool: &str) -> Result<(), Refusal> {
        self.change(Route::CordonPool, |state| {
            state.set_pool_cordon(pool, PoolCordon::REPLICAS, true)
        })
    }

    /// `DELETE /pools/{id}/cordon`.
    ///
    /// # Errors
    /// The API's refusal, or the fault that was ordered.
    pub fn uncordon_pool(&mut self, pool: &str) -> Result<(), Refusal> {
        self.change(Route::UncordonPool, |state| {
            state.set_pool_cordon(pool, PoolCordon::REPLICAS, false)
        })
    }

    /// `PUT /nodes/{id}/cordon/{label}`.
    ///
    /// # Errors
    /// The API's refusal, or the fault that was ordered.
    pub fn cordon_node(&mut self, node: &str, label: &str) -> Result<(), Refusal> {
        self.change(Route::CordonNode, |state| {
            state.set_node_cordon(node, label, true)
        })
    }

    /// `DELETE /nodes/{id}/cordon/{label}`.
    ///
    /// # Errors
    /// The API's refusal, or the fault that was ordered.
    pub fn uncordon_node(&mut self, node: &str, label: &str) -> Result<(), Refusal> {
        self.change(Route::UncordonNode, |state| {
            state.set_node_cordon(node, label, false)
        })
    }

    /// The rules of a replica count (`agents/src/bin/core/volume/specs.rs`, `SetReplica`).
    pub(super) fn scale(&mut self, uuid: &str, count: u8) -> Result<(), Refusal> {
        let volume = self
            .volumes
            .get(uuid)
            .ok_or_else(|| Refusal::not_found("Volume", uuid))?;
        if let Some(operation) = &volume.operation {
            return Err(Refusal::new(
                409,
                "Conflict",
                format!("{operation} is in progress on volume {uuid}"),
            ));
        }
        let have = volume.num_replicas;
        let view = self.view();
        if volume.target.is_some() && !view.target_lives(volume) {
            return Err(Refusal::new(
                503,
                "NotReady",
                format!("the target of volume {uuid} isn't ready"),
            ));
        }
        if count == have {
            let message = format!("volume {uuid} has {count} replicas already");
            return Err(Refusal::new(412, "ReplicaCountAchieved", message));
        }
        if count < 1 {
            return Err(Refusal::precondition("LastReplica: the last replica stays"));
        }
        if count.abs_diff(have) != 1 {
            let message = format!("volume {uuid} has {have} replicas; the count changes by one at a time");
            return Err(Refusal::new(412, "ReplicaChangeCount", message));
        }
        if count < 2 && volume.seed.affinity_group.is_some() {
            return Err(Refusal::precondition(
                "RestrictedReplicaCount: a volume of an affinity group keeps two replicas",
            ));
        }
        match count > have {
            true => self.scale_up(uuid, count),
            false => self.scale_down(uuid, count),
        }
    }

    fn scale_up(&mut self, uuid: &str, count: u8) -> Result<(), Refusal> {
        let Some(volume) = self.volumes.get(uuid) else {
            return Err(Refusal::not_found("Volume", uuid));
        };
        let status = self.view().status(volume);
        if status != "Online" {
            let message = format!("volume {uuid} is {status}, which is not enough for one more replica");
            return Err(Refusal::new(412, "ReplicaIncrease", message));
        }
        let lacks = volume.copies.iter().find_map(|copy| {
            let pool = self.pools.get(&copy.pool)?;
            self.nodes
                .get(&pool.node)?
                .lacks_ancestry_fix
                .then_some(&pool.node)
        });
        if let (false, Some(node)) = (volume.snapshots.is_empty(), lacks) {
            return Err(Refusal::precondition(format!(
                "node {node} lacks the fix NexusRebuildReplicaAncestry, which a volume with snapshots needs"
            )));
        }
        if self.setup.max_rebuilds.is_some_and(|most| self.running() >= most) {
            return Err(Refusal::new(
                507,
                "ResourceExhausted",
                "MaxRebuilds: as many rebuilds run as may",
            ));
        }
        let Some(pool) = self.place(uuid, None) else {
            return Err(Refusal::new(
                507,
                "ResourceExhausted",
                "NotEnoughResources: no pool can take a replica",
            ));
        };
        if let Some(volume) = self.volumes.get_mut(uuid) {
            volume.num_replicas = count;
        }
        self.put_copy(uuid, pool, 0.0);
        self.settle(uuid);
        Ok(())
    }

    fn scale_down(&mut self, uuid: &str, count: u8) -> Result<(), Refusal> {
        let Some(volume) = self.volumes.get_mut(uuid) else {
            return Err(Refusal::not_found("Volume", uuid));
        };
        // A copy that is missing already needn't be removed.
        if volume.copies.len() <= usize::from(count) {
            volume.num_replicas = count;
            self.settle(uuid);
            return Ok(());
        }
        let victim = self
            .volumes
            .get(uuid)
            .and_then(|volume| self.victim(volume, usize::from(count)));
        let Some(victim) = victim else {
            return Err(Refusal::precondition(format!(
                "RestrictedReplicaCount: volume {uuid} needs its healthy replicas"
            )));
        };
        self.drop_copy(uuid, victim);
        if let Some(volume) = self.volumes.get_mut(uuid) {
            volume.num_replicas = count;
        }
        self.settle(uuid);
        Ok(())
    }

    /// A pool's cordon, bit by bit: what is set stays set, and a call that would change nothing is refused. The kind for a
    /// cordon that isn't there is that of nodes; the real one's isn't confirmed.
    pub(super) fn set_pool_cordon(
        &mut self,
        name: &str,
        bits: PoolCordon,
        cordon: bool,
    ) -> Result<(), Refusal> {
        if !self.capabilities.pool_cordon {
            return Err(Refusal::new(404, "NotFound", "there is no such route"));
        }
        let pool = self
            .pools
            .get_mut(name)
            .ok_or_else(|| Refusal::not_found("Pool", name))?;
        let was = pool.cordon;
        let apply = |has: bool, bit: bool| if cordon { has || bit } else { has && !bit };
        pool.cordon = PoolCordon {
            replicas: apply(was.replicas, bits.replicas),
            snapshots: apply(was.snapshots, bits.snapshots),
            restores: apply(was.restores, bits.restores),
            import: apply(was.import, bits.import),
        };
        let is = pool.cordon;
        if was == is && cordon {
            let message = format!("pool {name} is cordoned for this already");
            return Err(Refusal::new(422, "AlreadyExists", message));
        }
        if was == is {
            return Err(Refusal::precondition(format!(
                "pool {name} isn't cordoned for this"
            )));
        }
        let what = Cordoned::Pool(name.to_owned());
        match (was.replicas, is.replicas) {
            (false, true) => self.judge.cordoned(what, self.acting, self.at),
            (true, false) => self.judge.uncordoned(&what, self.acting, self.at),
            _ => {}
        }
        Ok(())
    }

    /// A node's cordon of a label.
    pub(super) fn set_node_cordon(&mut self, name: &str, label: &str, cordon: bool) -> Result<(), Refusal> {
        self.check_label(label)?;
        let node = self
            .nodes
            .get_mut(name)
            .ok_or_else(|| Refusal::not_found("Node", name))?;
        let what = Cordoned::Node {
            node: name.to_owned(),
            label: label.to_owned(),
        };
        if cordon {
            if !node.cordons.insert(label.to_owned()) {
                let message = format!("node {name} has the cordon {label} already");
                return Err(Refusal::new(422, "AlreadyExists", message));
            }
            self.judge.cordoned(what, self.acting, self.at);
        } else {
            if !node.cordons.remove(label) {
                return Err(Refusal::precondition(format!(
                    "node {name} has no cordon {label}"
                )));
            }
            self.judge.uncordoned(&what, self.acting, self.at);
        }
        Ok(())
    }

    /// Before 2.12.1 a label with a slash doesn't reach its route.
    pub(super) fn check_label(&self, label: &str) -> Result<(), Refusal> {
        match label.contains('/') && !self.capabilities.labels_with_slashes {
            true => Err(Refusal::new(404, "NotFound", "there is no such route")),
            false => Ok(()),
        }
    }

    /// `PUT /volumes/{id}/target`: on a node, or on the first that can serve it.
    ///
    /// # Errors
    /// The API's refusal, or the fault that was ordered.
    pub fn publish(&mut self, uuid: &str, node: Option<&str>) -> Result<(), Refusal> {
        self.change(Route::Other, |state| state.give_target(uuid, node))
    }

    pub(super) fn give_target(&mut self, uuid: &str, node: Option<&str>) -> Result<(), Refusal> {
        let volume = self
            .volumes
            .get(uuid)
            .ok_or_else(|| Refusal::not_found("Volume", uuid))?;
        if volume.target.is_some() {
            let message = format!("AlreadyPublished: volume {uuid} has a target");
            return Err(Refusal::precondition(message));
        }
        let node = match node {
            Some(node) => node.to_owned(),
            None => self
                .target_node(volume)
                .ok_or_else(|| Refusal::precondition("no node can serve the volume"))?,
        };
        let there = self
            .nodes
            .get(&node)
            .ok_or_else(|| Refusal::not_found("Node", &node))?;
        if there.cordoned() {
            return Err(Refusal::precondition(format!(
                "CordonedNode: node {node} is cordoned"
            )));
        }
        if self.offline.contains_key(&node) {
            return Err(Refusal::precondition(format!("node {node} isn't online")));
        }
        self.target(uuid, Some(node));
        Ok(())
    }

    /// `DELETE /volumes/{id}/target`.
    ///
    /// # Errors
    /// The API's refusal, or the fault that was ordered.
    pub fn unpublish(&mut self, uuid: &str) -> Result<(), Refusal> {
        self.change(Route::Other, |state| state.take_target(uuid))
    }

    pub(super) fn take_target(&mut self, uuid: &str) -> Result<(), Refusal> {
        let volume = self
            .volumes
            .get(uuid)
            .ok_or_else(|| Refusal::not_found("Volume", uuid))?;
        if volume.target.is_none() {
            let message = format!("volume {uuid} has no target");
            return Err(Refusal::new(412, "NotPublished", message));
        }
        self.target(uuid, None);
        Ok(())
    }

    /// `PUT /volumes/{id}/snapshots/{snapshot}`, with a uuid of the simulator's. It is held where the copies are now.
    ///
    /// # Errors
    /// The API's refusal, or the fault that was ordered.
    pub fn take_snapshot(&mut self, uuid: &str) -> Result<String, Refusal> {
        self.change(Route::Other, |state| {
            let id = state.uuid();
            state.snapshot(uuid, id.clone()).map(|()| id)
        })
    }

    pub(super) fn snapshot(&mut self, uuid: &str, id: String) -> Result<(), Refusal> {
        let cordoned = |pool: &str| self.pools.get(pool).is_some_and(|pool| pool.cordon.snapshots);
        let volume = self
            .volumes
            .get_mut(uuid)
            .ok_or_else(|| Refusal::not_found("Volume", uuid))?;
        if volume.copies.iter().any(|copy| cordoned(&copy.pool)) {
            return Err(Refusal::precondition("a pool is cordoned for snapshots"));
        }
        if volume.snapshots.iter().any(|snapshot| snapshot.id == id) {
            return Err(Refusal::new(
                422,
                "AlreadyExists",
                format!("snapshot {id} exists"),
            ));
        }
        let pools = volume.synced().map(|copy| copy.pool.clone()).collect();
        volume.snapshots.push(Snapshot { id, pools });
        Ok(())
    }
}
