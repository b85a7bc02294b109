//! Which copy goes when a volume is to have one fewer. It isn't the one that the caller means, unless the caller sees to it.
//!
//! mayastor-control-plane: `controller/scheduling/mod.rs` (`ChildSorters`) and `scheduling/volume.rs`
//! (`ReplicaRemovalCandidates`). A pool's cordon plays no part in either.

use super::schedule::{have, pool_fits};
use super::state::{Copy, SimVolume, State};

impl State {
    /// The copy that goes: unhealthy ones at any rate, complete ones only while more of them than `left` can be reached.
    pub(super) fn victim(&self, volume: &SimVolume, left: usize) -> Option<usize> {
        let first = |healthy: bool| {
            (0..volume.copies.len())
                .filter(|index| volume.copies[*index].synced() == healthy)
                .min_by_key(|index| {
                    let age = if self.setup.newest_goes_first {
                        volume.copies.len() - index
                    } else {
                        *index
                    };
                    (self.rank(volume, &volume.copies[*index]), age)
                })
        };
        if let Some(unhealthy) = first(false) {
            return Some(unhealthy);
        }
        let view = self.view();
        let reachable = volume.synced().filter(|copy| view.reachable(copy)).count();
        if reachable > left { first(true) } else { None }
    }

    /// The lowest goes first: as a child of the target, then by topology and cordons where the release minds them, then
    /// remote ones before the one beside the target, then by the load of the affinity group.
    fn rank(
        &self,
        volume: &SimVolume,
        copy: &Copy,
    ) -> (u8, u8, bool, bool, bool, bool, std::cmp::Reverse<usize>) {
        let pool = self.pools.get(&copy.pool);
        let node = pool.and_then(|pool| self.nodes.get(&pool.node));
        let child = match (copy.faulted, copy.synced()) {
            (true, _) => 0,
            (false, false) => 1,
            (false, true) => 2,
        };
        let progress = (copy.filled * 100.0) as u8;
        let minds = self.capabilities;
        let node_fits = !minds.removal_minds_topology
            || node.is_some_and(|node| have(&node.labels, &volume.seed.node_inclusion));
        let fits = !minds.removal_minds_topology || pool.is_some_and(|pool| pool_fits(volume, pool));
        let cordoned = minds.removal_minds_cordons && node.is_some_and(super::state::SimNode::cordoned);
        let local = volume.target.is_some() && pool.map(|pool| &pool.node) == volume.target.as_ref();
        let group = volume
            .seed
            .affinity_group
            .as_ref()
            .and_then(|group| self.groups.get(group));
        let load = group
            .into_iter()
            .flatten()
            .filter_map(|uuid| self.volumes.get(uuid))
            .flat_map(|other| &other.copies)
            .filter(|other| other.pool == copy.pool)
            .count();
        (
            child,
            progress,
            node_fits,
            fits,
            !cordoned,
            local,
            std::cmp::Reverse(load),
        )
    }
}
