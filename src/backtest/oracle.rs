//! Who knows the future: before each evaluation the volumes that will be the busiest for their bytes are on the hottest tier, as far
//! as it has room. Nothing that a strategy can do with the same room serves more operations from there.

use super::ground::{Ground, Placed, bytes};
use crate::decide::place;
use crate::model::desired::Desired;
use crate::model::ids::TierName;
use crate::model::observation::{Backing, Observation};
use std::collections::BTreeMap;

/// Knows the future.
pub(super) struct Oracle {
    /// For each tier that is somebody's hottest: its room in bytes, and the volumes that could be on it.
    tiers: BTreeMap<usize, (u64, Vec<usize>)>,
    pub(super) placed: Placed,
    pub(super) moves: u64,
    pub(super) bytes_moved: u64,
}

impl Oracle {
    pub(super) fn new(desired: &Desired, world: &Observation, ground: &Ground, placed: Placed) -> Self {
        let mut of_tier: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, taken) in ground.taken() {
            let hottest = taken.ladder.last().filter(|_| taken.ladder.len() > 1);
            if let (Some(hottest), true, true) = (hottest, taken.movable, placed[index].is_some()) {
                of_tier.entry(*hottest).or_default().push(index);
            }
        }
        let with_room = |(tier, volumes): (usize, Vec<usize>)| {
            let room = capacity(desired, world, &ground.tiers[tier], &volumes);
            (tier, (room, volumes))
        };
        Self {
            tiers: of_tier.into_iter().map(with_room).collect(),
            placed,
            moves: 0,
            bytes_moved: 0,
        }
    }

    /// Places volumes for the load of the time that ends at `at`. `others` are the placements of the other strategies: the greedy choice is not
    /// always the best one, and who knows the future knows theirs.
    pub(super) fn step(&mut self, ground: &Ground, at: i64, load: &[f64], others: &[&Placed]) {
        let dense = self.filled(ground, at, load, |rate, bytes| rate / bytes as f64);
        let busy = self.filled(ground, at, load, |rate, _| rate);
        // What came into being since may have taken the room of what was moved before.
        let stays = match self.fits(ground, at) {
            true => ground.served(&self.placed, load).1,
            false => f64::NEG_INFINITY,
        };
        let mut best = (stays, None);
        for candidate in [&dense, &busy].into_iter().chain(others.iter().copied()) {
            let hot = ground.served(candidate, load).1;
            // What is equally good is not worth a move.
            if hot > best.0 {
                best = (hot, Some(candidate));
            }
        }
        let Some(chosen) = best.1.cloned() else { return };
        for (index, taken) in ground.taken() {
            if chosen[index] != self.placed[index] {
                self.moves += 1;
                self.bytes_moved = self.bytes_moved.saturating_add(taken.bytes);
            }
        }
        self.placed = chosen;
    }

    /// Whether the hottest tiers have room for what is on them.
    fn fits(&self, ground: &Ground, at: i64) -> bool {
        self.tiers.iter().all(|(tier, (room, volumes))| {
            let there = volumes.iter().filter(|index| self.placed[**index] == Some(*tier));
            let taken = there.filter_map(|index| ground.volumes[*index].as_ref());
            let bytes = taken.filter(|one| one.exists(at)).map(|one| one.bytes);
            bytes.fold(0_u64, u64::saturating_add) <= *room
        })
    }

    /// The hottest tiers filled from the most useful volume on; idle ones stay while there is room. A volume that has yet to be made
    /// takes none, and is not moved.
    fn filled(&self, ground: &Ground, at: i64, load: &[f64], useful: impl Fn(f64, u64) -> f64) -> Placed {
        let mut placed = self.placed.clone();
        for (tier, (room, volumes)) in &self.tiers {
            let usefulness = |index: usize| {
                let rate = load
                    .get(index)
                    .copied()
                    .filter(|rate| rate.is_finite())
                    .unwrap_or(0.0);
                let bytes = ground.volumes[index]
                    .as_ref()
                    .map_or(1, |taken| taken.bytes.max(1));
                (useful(rate, bytes), self.placed[index] == Some(*tier))
            };
            let exists = |index: &&usize| ground.volumes[**index].as_ref().is_some_and(|one| one.exists(at));
            let mut order: Vec<(f64, bool, usize)> = volumes
                .iter()
                .filter(exists)
                .map(|index| {
                    let (useful, there) = usefulness(*index);
                    (useful, there, *index)
                })
                .collect();
            order.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)).then(a.2.cmp(&b.2)));
            let mut left = *room;
            for (useful, there, index) in order {
                let Some(taken) = &ground.volumes[index] else {
                    continue;
                };
                if (useful > 0.0 || there) && taken.bytes <= left {
                    left -= taken.bytes;
                    placed[index] = Some(*tier);
                } else if there {
                    let colder = taken.ladder.iter().rev().nth(1);
                    placed[index] = colder.copied();
                }
            }
        }
        placed
    }
}

/// Bytes of a tier's pools that volumes of policies can have: what others use stays used, and what they have today stays theirs.
fn capacity(desired: &Desired, world: &Observation, tier: &TierName, movable: &[usize]) -> u64 {
    let (Some(tier), Ok(fleet)) = (desired.tiers.get(tier), &world.engine) else {
        return 0;
    };
    let of_tier = |pool: u32| {
        let pool = fleet.pools.get(pool as usize);
        pool.is_some_and(|pool| place::belongs(pool, tier))
    };
    let (mut ours, mut whole) = (0_u64, 0_u64);
    for index in movable {
        let Backing::Mayastor(volume) = &world.volumes[*index].backing else {
            continue;
        };
        let there = volume.copies.iter().filter(|copy| of_tier(copy.pool)).count();
        ours = ours.saturating_add(volume.size.saturating_mul(there as u64));
        if there == volume.copies.len() {
            whole = whole.saturating_add(bytes(volume));
        }
    }
    let pools = fleet.pools.iter().filter(|pool| place::belongs(pool, tier));
    let free = pools.fold(0_u64, |sum, pool| {
        sum.saturating_add(pool.free().saturating_sub(tier.pool_reserve))
    });
    free.saturating_add(ours).max(whole)
}
