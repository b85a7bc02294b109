//! What happens by itself as time goes by: rebuilds, the hot spare reconciler, a target's switch-over.
//!
//! mayastor-control-plane: `core/controller/reconciler/{nexus,volume}`; io-engine for rebuilds.

use super::judge::Actor;
use super::state::{Reason, Rebuild, RebuildState, State};
use std::time::Duration;

/// Steps of one jump in time: a hot spare look each 10 s makes 11 days. What lies beyond is skipped.
const STEPS_MAX: usize = 100_000;

/// Rebuilds of a volume that are remembered.
const REBUILDS_MAX: usize = 64;

/// Part of a copy that a partial rebuild copies: what was written while it was away.
const PARTIAL: f64 = 0.05;

/// So near to full is full: sums of floats.
const FULL: f64 = 1.0 - 1e-9;

impl State {
    /// Lets time go by, up to a moment after the start.
    pub fn advance(&mut self, now: Duration) {
        for _ in 0..STEPS_MAX {
            if self.at >= now {
                return;
            }
            self.keep_past(false);
            if self.unsettled.is_empty() {
                break;
            }
            let next = self.next_event().min(now);
            self.step(next);
        }
        self.at = self.at.max(now);
    }

    /// Lets some time go by.
    pub fn pass(&mut self, time: Duration) {
        self.advance(self.at + time);
    }

    fn tick_after(&self, at: Duration) -> Duration {
        let interval = self
            .setup
            .times
            .hot_spare
            .max(Duration::from_millis(1))
            .as_nanos();
        let next = (at.as_nanos() / interval + 1) * interval;
        Duration::from_nanos(u64::try_from(next).unwrap_or(u64::MAX))
    }

    fn speed(&self, speed: f64) -> f64 {
        match self.rebuilds_stall {
            true => 0.0,
            false => speed / self.setup.rebuild.as_secs_f64().max(0.001),
        }
    }

    /// When something happens next: a rebuild ends, or the reconciler looks.
    fn next_event(&self) -> Duration {
        let mut next = self.tick_after(self.at);
        for volume in self.unsettled.iter().filter_map(|uuid| self.volumes.get(uuid)) {
            let speed = self.speed(volume.speed);
            if speed <= 0.0 {
                continue;
            }
            for rebuild in volume.rebuilds.iter().filter(|rebuild| rebuild.ended.is_none()) {
                let left = ((1.0 - rebuild.filled) / speed).max(0.0);
                if left < (next - self.at).as_secs_f64() {
                    // A microsecond more, so that rounding doesn't leave a rest that takes no time.
                    next = next.min(self.at + Duration::from_secs_f64(left) + Duration::from_micros(1));
                }
            }
        }
        next
    }

    fn step(&mut self, to: Duration) {
        let passed = to.saturating_sub(self.at).as_secs_f64();
        let tick = self.tick_after(self.at) <= to;
        self.at = to;
        let unsettled: Vec<String> = self.unsettled.iter().cloned().collect();
        for uuid in unsettled {
            self.fill(&uuid, passed);
            if tick {
                let acting = std::mem::replace(&mut self.acting, Actor::Reconciler);
                self.reconcile(&uuid);
                self.acting = acting;
            }
            self.settle(&uuid);
        }
    }

    /// Rebuilds that run.
    pub(super) fn running(&self) -> usize {
        self.unsettled
            .iter()
            .filter_map(|uuid| self.volumes.get(uuid))
            .flat_map(|volume| &volume.rebuilds)
            .filter(|rebuild| rebuild.ended.is_none())
            .count()
    }

    /// Fills the copies of a volume that are being rebuilt.
    fn fill(&mut self, uuid: &str, passed: f64) {
        let at = self.at;
        let Some(volume) = self.volumes.get(uuid) else {
            return;
        };
        let share = passed * self.speed(volume.speed);
        let running: Vec<(usize, String)> = volume
            .rebuilds
            .iter()
            .enumerate()
            .filter(|(_, rebuild)| rebuild.ended.is_none())
            .map(|(index, rebuild)| (index, rebuild.copy.clone()))
            .collect();
        for (index, id) in running {
            let Some(volume) = self.volumes.get(uuid) else {
                return;
            };
            let Some(copy) = volume.copies.iter().find(|copy| copy.id == id) else {
                continue;
            };
            let filled = if copy.filled + share >= FULL {
                1.0
            } else {
                copy.filled + share
            };
            let (had, pool) = (copy.taken, copy.pool.clone());
            let taken = self.takes(uuid, filled);
            if let Some(pool) = self.pools.get_mut(&pool) {
                if taken.saturating_sub(had) > pool.free() {
                    self.break_copy(uuid, &id, Reason::NoSpace);
                    continue;
                }
                pool.taken = (pool.taken + taken).saturating_sub(had);
            }
            let Some(volume) = self.volumes.get_mut(uuid) else {
                return;
            };
            if let Some(copy) = volume.copies.iter_mut().find(|copy| copy.id == id) {
                (copy.filled, copy.taken) = (filled, taken);
            }
            if let Some(rebuild) = volume.rebuilds.get_mut(index) {
                rebuild.filled = filled;
                if filled >= 1.0 {
                    (rebuild.state, rebuild.ended) = (RebuildState::Completed, Some(at));
                }
            }
        }
    }

    /// Starts and ends rebuilds as they can run, and says whether the volume has anything left to do.
    pub(super) fn settle(&mut self, uuid: &str) {
        let at = self.at;
        let Some(volume) = self.volumes.get(uuid) else {
            return;
        };
        let view = self.view();
        let served = match &volume.target {
            Some(_) => view.target_lives(volume),
            None => self.setup.offline_rebuild && self.capabilities.offline_rebuild,
        };
        let source = volume
            .synced()
            .find(|copy| view.reachable(copy))
            .map(|copy| copy.id.clone())
            .filter(|_| served);
        let can: Vec<(String, bool, f64)> = volume
            .copies
            .iter()
            .filter(|copy| !copy.faulted && copy.filled < 1.0)
            .map(|copy| (copy.id.clone(), view.reachable(copy), copy.filled))
            .collect();
        let waits = volume.copies.iter().any(|copy| !copy.synced())
            || volume.copies.len() < usize::from(volume.num_replicas)
            || (volume.target.is_some() && !view.target_lives(volume));
        match waits {
            true => self.unsettled.insert(uuid.to_owned()),
            false => self.unsettled.remove(uuid),
        };
        let Some(volume) = self.volumes.get_mut(uuid) else {
            return;
        };
        volume.count();
        for (id, reachable, filled) in can {
            let running = volume
                .rebuilds
                .iter_mut()
                .find(|rebuild| rebuild.copy == id && rebuild.ended.is_none());
            match (running, &source, reachable) {
                (None, Some(source), true) => {
                    if volume.rebuilds.len() == REBUILDS_MAX {
                        volume.rebuilds.remove(0);
                    }
                    volume.rebuilds.push(Rebuild {
                        copy: id,
                        source: source.clone(),
                        state: RebuildState::Rebuilding,
                        partial: filled > 0.0,
                        from: filled,
                        filled,
                        started: at,
                        ended: None,
                    });
                }
                (Some(rebuild), None, _) | (Some(rebuild), _, false) => {
                    (rebuild.state, rebuild.ended) = (RebuildState::Failed, Some(at));
                }
                _ => {}
            }
        }
    }

    /// Marks a copy Faulted and ends its rebuild. The last complete copy stays as it is: the engine has nothing to write to
    /// without it, so nothing makes it stale.
    pub(super) fn break_copy(&mut self, uuid: &str, id: &str, reason: Reason) -> bool {
        let at = self.at;
        let Some(volume) = self.volumes.get_mut(uuid) else {
            return false;
        };
        let last = volume.synced().count() == 1;
        let Some(copy) = volume.copies.iter_mut().find(|copy| copy.id == id) else {
            return false;
        };
        if copy.faulted || (copy.synced() && last) {
            return false;
        }
        copy.faulted = true;
        copy.reason = Some(reason);
        copy.faulted_at = at;
        for rebuild in &mut volume.rebuilds {
            if rebuild.copy == id && rebuild.ended.is_none() {
                (rebuild.state, rebuild.ended) = (RebuildState::Failed, Some(at));
            }
        }
        volume.count();
        true
    }

    /// A copy that comes back in time gets what it missed; one that was incomplete begins anew.
    pub(super) fn revive(&mut self, uuid: &str, id: &str) -> bool {
        let (at, grace) = (self.at, self.setup.times.grace);
        let Some(volume) = self.volumes.get_mut(uuid) else {
            return false;
        };
        let Some(copy) = volume.copies.iter_mut().find(|copy| copy.id == id) else {
            return false;
        };
        if !copy.faulted || copy.reason == Some(Reason::NoSpace) || at >= copy.faulted_at + grace {
            return false;
        }
        copy.faulted = false;
        copy.reason = None;
        copy.filled = if copy.filled >= 1.0 { 1.0 - PARTIAL } else { 0.0 };
        self.settle(uuid);
        true
    }

    /// The node that a target would go to: online, uncordoned, one with a complete copy before others.
    pub(super) fn target_node(&self, volume: &super::SimVolume) -> Option<String> {
        let view = self.view();
        let local = |node: &String| {
            volume
                .synced()
                .filter_map(|copy| self.pools.get(&copy.pool))
                .any(|pool| pool.node == *node)
        };
        volume.synced().find(|copy| view.reachable(copy))?;
        self.nodes
            .iter()
            .filter(|(name, node)| !node.cordoned() && !self.offline.contains_key(*name))
            .map(|(name, _)| name)
            .min_by_key(|name| !local(name))
            .cloned()
    }

    /// Gives a volume another target, or none. Copies that aren't complete are no part of a new one: they begin anew.
    pub(super) fn target(&mut self, uuid: &str, node: Option<String>) {
        let at = self.at;
        let Some(volume) = self.volumes.get_mut(uuid) else {
            return;
        };
        for rebuild in &mut volume.rebuilds {
            if rebuild.ended.is_none() {
                (rebuild.state, rebuild.ended) = (RebuildState::Stopped, Some(at));
            }
        }
        if node.is_some() {
            volume.targets += 1;
            volume.rebuilds.clear();
        }
        volume.target = node;
        for copy in &mut volume.copies {
            if !copy.synced() {
                copy.filled = 0.0;
            }
        }
        self.fault_lost(uuid);
        self.settle(uuid);
    }

    /// Copies that a live target can't reach miss what is written.
    pub(super) fn fault_lost(&mut self, uuid: &str) {
        let Some(volume) = self.volumes.get(uuid) else {
            return;
        };
        let view = self.view();
        if !view.target_lives(volume) || !volume.synced().any(|copy| view.reachable(copy)) {
            return;
        }
        let lost: Vec<String> = volume
            .copies
            .iter()
            .filter(|copy| !view.reachable(copy))
            .map(|copy| copy.id.clone())
            .collect();
        for id in lost {
            self.break_copy(uuid, &id, Reason::Lost);
        }
    }

    /// What the reconcilers do for a volume when they look.
    fn reconcile(&mut self, uuid: &str) {
        self.switch_over(uuid);
        let Some(volume) = self.volumes.get(uuid) else {
            return;
        };
        if volume.target.is_none() || !self.view().target_lives(volume) || volume.seed.no_self_heal {
            return;
        }
        let due: Vec<(String, bool)> = volume
            .copies
            .iter()
            .filter(|copy| copy.faulted)
            .filter(|copy| {
                matches!(copy.reason, Some(Reason::NoSpace | Reason::RebuildFailed))
                    || self.at >= copy.faulted_at + self.setup.times.grace
            })
            .map(|copy| (copy.id.clone(), copy.reason == Some(Reason::NoSpace)))
            .collect();
        let mut reuse = None;
        for (id, full) in due {
            let found = self
                .volumes
                .get(uuid)
                .and_then(|volume| volume.copies.iter().position(|copy| copy.id == id));
            let Some(index) = found else { continue };
            if full {
                // A copy without space may be moved to another pool of its own node.
                reuse = self
                    .volumes
                    .get(uuid)
                    .and_then(|volume| self.pools.get(&volume.copies.get(index)?.pool))
                    .map(|pool| pool.node.clone());
            }
            self.drop_copy(uuid, index);
        }
        // Each round adds a copy or ends.
        for _ in 0..usize::from(u8::MAX) {
            let missing = self
                .volumes
                .get(uuid)
                .is_some_and(|volume| volume.copies.len() < usize::from(volume.num_replicas));
            if !missing || self.setup.max_rebuilds.is_some_and(|most| self.running() >= most) {
                return;
            }
            let Some(pool) = self.place(uuid, reuse.as_deref()) else {
                return;
            };
            self.put_copy(uuid, pool, 0.0);
            self.settle(uuid);
        }
    }

    /// A target whose node has been gone for long enough is made anew on another.
    fn switch_over(&mut self, uuid: &str) {
        let Some(volume) = self.volumes.get(uuid) else {
            return;
        };
        let since = volume.target.as_ref().and_then(|node| self.offline.get(node));
        let due = since.is_some_and(|since| self.at >= *since + self.setup.times.switch_over);
        if !due {
            return;
        }
        if let Some(node) = self.target_node(volume) {
            self.target(uuid, Some(node));
        }
    }
}
