//! Copies that come and go, with the accounts of their pools and the evidence of the judge.

use super::judge::Removal;
use super::state::{Copy, RebuildState, State};
use std::time::Duration;

impl State {
    /// Bytes that a copy takes on its pool.
    pub(super) fn takes(&self, uuid: &str, filled: f64) -> u64 {
        self.volumes.get(uuid).map_or(0, |volume| match volume.seed.thin {
            true => (volume.written as f64 * filled) as u64,
            false => self.replica_size(volume.size),
        })
    }

    /// Adds a copy.
    pub(super) fn put_copy(&mut self, uuid: &str, pool: String, filled: f64) {
        let id = self.uuid();
        let taken = self.takes(uuid, filled);
        let size = self.volumes.get(uuid).map_or(0, |volume| volume.size);
        let committed = self.replica_size(size);
        if let Some(pool) = self.pools.get_mut(&pool) {
            pool.taken += taken;
            pool.committed += committed;
            pool.copies += 1;
        }
        if filled < 1.0 {
            self.log.push(format!("{uuid}: +{id} on {pool}"));
        }
        if let Some(volume) = self.volumes.get_mut(uuid) {
            volume.copies.push(Copy {
                id,
                pool,
                filled,
                faulted: false,
                reason: None,
                faulted_at: Duration::ZERO,
                taken,
            });
            if filled < 1.0 {
                volume.count();
            }
        }
    }

    /// Removes a copy, with the evidence.
    pub(super) fn drop_copy(&mut self, uuid: &str, index: usize) {
        let (at, by) = (self.at, self.acting);
        let Some(volume) = self.volumes.get_mut(uuid) else {
            return;
        };
        let synced = volume.synced().map(|copy| copy.id.clone()).collect();
        let gone = volume.copies.remove(index);
        for rebuild in &mut volume.rebuilds {
            if rebuild.copy == gone.id && rebuild.ended.is_none() {
                rebuild.state = RebuildState::Stopped;
                rebuild.ended = Some(at);
            }
        }
        volume.count();
        let (baseline, size) = (volume.baseline, volume.size);
        let committed = self.replica_size(size);
        if let Some(pool) = self.pools.get_mut(&gone.pool) {
            pool.taken = pool.taken.saturating_sub(gone.taken);
            pool.committed = pool.committed.saturating_sub(committed);
            pool.copies = pool.copies.saturating_sub(1);
        }
        self.log.push(format!("{uuid}: -{} from {}", gone.id, gone.pool));
        self.judge.removals.push(Removal {
            at,
            volume: uuid.to_owned(),
            copy: gone.id,
            pool: gone.pool,
            by,
            synced,
            baseline,
        });
    }
}
