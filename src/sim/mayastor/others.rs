//! What others do, at a test's order: people who scale and cordon, nodes that fall away, disks that fail, pools that run full.

use super::calls::Refusal;
use super::judge::Actor;
use super::state::{Drain, PoolStatus, Reason, RebuildState, State};
use std::collections::BTreeMap;

impl State {
    /// Somebody else acts: no fault befalls the calls, and the judge knows whose they were. Any call of the API can be made.
    pub fn as_someone_else<T>(&mut self, act: impl FnOnce(&mut Self) -> T) -> T {
        let acting = std::mem::replace(&mut self.acting, Actor::SomeoneElse);
        let done = act(self);
        self.acting = acting;
        done
    }

    /// A node stops answering: its pools are unknown, its copies are missed by targets elsewhere, its targets are gone.
    pub fn lose_node(&mut self, node: &str) {
        self.keep_past(true);
        self.offline.entry(node.to_owned()).or_insert(self.at);
        for uuid in self.concerned(node) {
            self.fault_lost(&uuid);
            self.settle(&uuid);
        }
    }

    /// A node answers again. Copies that missed something in a short time are rebuilt from a log; the others are replaced.
    pub fn return_node(&mut self, node: &str) {
        self.keep_past(true);
        if self.offline.remove(node).is_none() {
            return;
        }
        for uuid in self.concerned(node) {
            self.again(&uuid);
        }
    }

    /// Copies of a volume that were lost and can be reached again come back, if they do so in time.
    fn again(&mut self, uuid: &str) {
        let view = self.view();
        let back: Vec<String> = self
            .volumes
            .get(uuid)
            .into_iter()
            .flat_map(|volume| &volume.copies)
            .filter(|copy| copy.reason == Some(Reason::Lost) && view.reachable(copy))
            .map(|copy| copy.id.clone())
            .collect();
        for id in back {
            self.revive(uuid, &id);
        }
        self.fault_lost(uuid);
        self.settle(uuid);
    }

    /// Volumes with a copy or a target on a node.
    fn concerned(&self, node: &str) -> Vec<String> {
        self.volumes
            .iter()
            .filter(|(_, volume)| {
                volume.target.as_deref() == Some(node)
                    || volume
                        .copies
                        .iter()
                        .any(|copy| self.pools.get(&copy.pool).is_some_and(|pool| pool.node == node))
            })
            .map(|(uuid, _)| uuid.clone())
            .collect()
    }

    /// A copy breaks. The last complete one of a volume doesn't: then nothing could be said of the caller.
    pub fn fault_copy(&mut self, uuid: &str, copy: &str, reason: Reason) -> bool {
        self.keep_past(true);
        let done = self.break_copy(uuid, copy, reason);
        self.settle(uuid);
        done
    }

    /// A copy that broke is there again. After the grace, or for want of space, it isn't taken back.
    pub fn return_copy(&mut self, uuid: &str, copy: &str) -> bool {
        self.keep_past(true);
        self.revive(uuid, copy)
    }

    /// The rebuilds of a volume that run fail.
    pub fn fail_rebuilds(&mut self, uuid: &str) {
        let running: Vec<String> = self
            .volumes
            .get(uuid)
            .into_iter()
            .flat_map(|volume| &volume.rebuilds)
            .filter(|rebuild| rebuild.state == RebuildState::Rebuilding)
            .map(|rebuild| rebuild.copy.clone())
            .collect();
        for copy in running {
            self.fault_copy(uuid, &copy, Reason::RebuildFailed);
        }
    }

    /// A volume is rebuilt so fast from now on: 1 is normal, 0 is not at all.
    pub fn set_rebuild_speed(&mut self, uuid: &str, speed: f64) {
        if let Some(volume) = self.volumes.get_mut(uuid) {
            volume.speed = speed;
        }
    }

    /// Others fill a pool up to so many free bytes.
    pub fn fill_pool(&mut self, name: &str, free: u64) {
        self.keep_past(true);
        if let Some(pool) = self.pools.get_mut(name) {
            pool.used = pool.capacity.saturating_sub(pool.taken + free);
        }
    }

    /// A pool's state changes. Releases that don't know `Suspected` say `Degraded`.
    pub fn set_pool_status(&mut self, name: &str, status: PoolStatus) {
        self.keep_past(true);
        if let Some(pool) = self.pools.get_mut(name) {
            pool.status = status;
        }
        let on_it: Vec<String> = self
            .volumes
            .iter()
            .filter(|(_, volume)| volume.copies.iter().any(|copy| copy.pool == name))
            .map(|(uuid, _)| uuid.clone())
            .collect();
        for uuid in on_it {
            self.again(&uuid);
        }
    }

    /// So much of a thin volume has been written. Its complete copies take the space; one that doesn't get it breaks.
    pub fn write(&mut self, uuid: &str, written: u64) {
        let Some(volume) = self.volumes.get_mut(uuid) else {
            return;
        };
        volume.written = written.min(volume.size);
        let copies: Vec<(String, String, u64, f64)> = volume
            .copies
            .iter()
            .map(|copy| (copy.id.clone(), copy.pool.clone(), copy.taken, copy.filled))
            .collect();
        for (id, pool, had, filled) in copies {
            let taken = self.takes(uuid, filled);
            let room = self.pools.get(&pool).map_or(0, |pool| pool.free());
            if taken.saturating_sub(had) > room {
                self.break_copy(uuid, &id, Reason::NoSpace);
                continue;
            }
            if let Some(pool) = self.pools.get_mut(&pool) {
                pool.taken = (pool.taken + taken).saturating_sub(had);
            }
            let copies = self
                .volumes
                .get_mut(uuid)
                .into_iter()
                .flat_map(|volume| &mut volume.copies);
            if let Some(copy) = copies.into_iter().find(|copy| copy.id == id) {
                copy.taken = taken;
            }
        }
        self.settle(uuid);
    }

    /// Something is being done with a volume, or no longer. Meanwhile changes are refused.
    pub fn set_operation(&mut self, uuid: &str, operation: Option<&str>) {
        self.keep_past(true);
        if let Some(volume) = self.volumes.get_mut(uuid) {
            volume.operation = operation.map(str::to_owned);
        }
    }

    /// Whether Mayastor repairs a volume.
    pub fn set_self_heal(&mut self, uuid: &str, heals: bool) {
        self.keep_past(true);
        if let Some(volume) = self.volumes.get_mut(uuid) {
            volume.seed.no_self_heal = !heals;
        }
    }

    /// `PUT /nodes/{id}/drain/{label}`: targets go to other nodes, where there are any; copies stay.
    ///
    /// # Errors
    /// The API's refusal.
    pub fn drain_node(&mut self, name: &str, label: &str) -> Result<(), Refusal> {
        self.recorded(|state| state.drain(name, label))
    }

    pub(super) fn drain(&mut self, name: &str, label: &str) -> Result<(), Refusal> {
        let state = self;
        state.check_label(label)?;
        let node = state
            .nodes
            .get_mut(name)
            .ok_or_else(|| Refusal::not_found("Node", name))?;
        node.drains.insert(label.to_owned());
        node.drain = Some(Drain::Draining);
        let served: Vec<String> = state
            .volumes
            .iter()
            .filter(|(_, volume)| volume.target.as_deref() == Some(name))
            .map(|(uuid, _)| uuid.clone())
            .collect();
        let mut left = 0;
        for uuid in served {
            let next = state
                .volumes
                .get(&uuid)
                .and_then(|volume| state.target_node(volume));
            match next {
                Some(next) => state.target(&uuid, Some(next)),
                None => left += 1,
            }
        }
        if let (0, Some(node)) = (left, state.nodes.get_mut(name)) {
            node.drain = Some(Drain::Drained);
        }
        Ok(())
    }

    /// Takes a node's drain of a label back.
    pub fn undrain_node(&mut self, name: &str, label: &str) {
        if let Some(node) = self.nodes.get_mut(name) {
            node.drains.remove(label);
            if node.drains.is_empty() {
                node.drain = None;
            }
        }
    }

    /// `PUT|DELETE /pools/{id}/label/{key}`: `None` takes it away.
    ///
    /// # Errors
    /// The API's refusal.
    pub fn label_pool(&mut self, name: &str, key: &str, value: Option<&str>) -> Result<(), Refusal> {
        self.recorded(|state| state.set_pool_label(name, key, value))
    }

    pub(super) fn set_pool_label(
        &mut self,
        name: &str,
        key: &str,
        value: Option<&str>,
    ) -> Result<(), Refusal> {
        self.check_label(key)?;
        let labels = self.pools.get_mut(name).map(|pool| &mut pool.labels);
        relabel(
            labels.ok_or_else(|| Refusal::not_found("Pool", name))?,
            key,
            value,
        );
        Ok(())
    }

    /// `PUT|DELETE /nodes/{id}/label/{key}`: `None` takes it away.
    ///
    /// # Errors
    /// The API's refusal.
    pub fn label_node(&mut self, name: &str, key: &str, value: Option<&str>) -> Result<(), Refusal> {
        self.recorded(|state| state.set_node_label(name, key, value))
    }

    pub(super) fn set_node_label(
        &mut self,
        name: &str,
        key: &str,
        value: Option<&str>,
    ) -> Result<(), Refusal> {
        self.check_label(key)?;
        let labels = self.nodes.get_mut(name).map(|node| &mut node.labels);
        relabel(
            labels.ok_or_else(|| Refusal::not_found("Node", name))?,
            key,
            value,
        );
        Ok(())
    }
}

fn relabel(labels: &mut BTreeMap<String, String>, key: &str, value: Option<&str>) {
    match value {
        Some(value) => labels.insert(key.to_owned(), value.to_owned()),
        None => labels.remove(key),
    };
}
