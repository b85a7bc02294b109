//! Where a volume is, and which pools could take a copy of it, beside all that is under way or planned already.

use super::View;
use crate::model::decision::Why;
use crate::model::desired::{Tier, TierPools};
use crate::model::engine::{Health, Pool, gib, has_room};
use crate::model::glance::Glance;
use crate::model::ids::PoolName;
use crate::model::observation::{Backing, BoundVolume, Fleet, MayastorVolume, Topology, UNKNOWN};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// Pools that are told, of those that could take a copy and of those that could not.
const TOLD_MAX: usize = 20;

/// A tier as a bit; a source has at most 64 tiers.
pub(super) fn bit(tier: usize) -> u64 {
    u32::try_from(tier)
        .ok()
        .and_then(|tier| 1_u64.checked_shl(tier))
        .unwrap_or(0)
}

/// The only tier of a set.
pub(super) fn only(tiers: u64) -> Option<usize> {
    (tiers.count_ones() == 1).then_some(tiers.trailing_zeros() as usize)
}

/// Whether a pool belongs to a tier: it carries every label of the tier's selector.
pub fn belongs(pool: &Pool, tier: &Tier) -> bool {
    match &tier.pools {
        TierPools::Mayastor(labels) => {
            let mut all = labels.iter();
            !labels.is_empty() && all.all(|(key, value)| pool.labels.get(key) == Some(value))
        }
        TierPools::Local => false,
    }
}

/// For each pool the tiers that it belongs to.
pub(super) fn pool_tiers(fleet: &Fleet, tiers: &[&Tier]) -> Vec<u64> {
    let of = |pool: &Pool| {
        let belonging = tiers.iter().enumerate().filter(|(_, tier)| belongs(pool, tier));
        belonging.fold(0, |bits, (index, _)| bits | bit(index))
    };
    fleet.pools.iter().map(of).collect()
}

/// The tiers to which the pools of all copies of a volume belong.
pub(super) fn tiers_of(bound: &BoundVolume, pool_tiers: &[u64]) -> u64 {
    let Backing::Mayastor(volume) = &bound.backing else {
        return 0;
    };
    common(volume.copies.iter().map(|copy| copy.pool), pool_tiers)
}

/// The same at a glance.
pub(super) fn tiers_at_a_glance(glance: &Glance, bound: &BoundVolume, pool_tiers: &[u64]) -> u64 {
    match glance.pools() {
        Some(pools) => common(pools.iter().copied(), pool_tiers),
        None => tiers_of(bound, pool_tiers),
    }
}

/// The tiers to which all of some pools belong; those of no pools are none.
fn common(mut pools: impl Iterator<Item = u32>, pool_tiers: &[u64]) -> u64 {
    let of = |pool: u32| pool_tiers.get(pool as usize).copied().unwrap_or(0);
    let first = pools.next().map_or(0, of);
    pools.fold(first, |bits, pool| bits & of(pool))
}

/// How full a tier is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Filled {
    /// Bytes of its pools.
    capacity: u64,
    /// The part of them that is used.
    pub(super) part: f64,
}

impl Filled {
    /// How full it is in percent; `None` when none of its pools was seen.
    pub(super) fn percent(self) -> Option<f64> {
        (self.capacity > 0).then_some(self.part * 100.0)
    }
}

/// How full each of so many tiers is.
pub(super) fn filled(fleet: &Fleet, pool_tiers: &[u64], tiers: usize) -> Vec<Filled> {
    let of = |tier: usize| {
        let pools = fleet.pools.iter().zip(pool_tiers);
        let pools = pools.filter(|(_, tiers)| *tiers & bit(tier) != 0);
        let sums = |(used, capacity): (u64, u64), (pool, _): (&Pool, _)| {
            (
                used.saturating_add(pool.used),
                capacity.saturating_add(pool.capacity),
            )
        };
        let (used, capacity) = pools.fold((0, 0), sums);
        let part = if capacity == 0 {
            0.0
        } else {
            used as f64 / capacity as f64
        };
        Filled { capacity, part }
    };
    (0..tiers).map(of).collect()
}

/// How full a tier would be with a volume on it.
pub(super) fn fullness_after(view: &View, tier: usize, volume: &MayastorVolume) -> f64 {
    let Filled { capacity, part } = view.filled[tier];
    if capacity == 0 {
        return 1.0;
    }
    part + bytes(volume) as f64 / capacity as f64
}

/// How many copies of a volume are on a tier.
pub(super) fn copies_on(view: &View, volume: &MayastorVolume, tier: usize) -> usize {
    let of = |pool: u32| view.pool_tiers.get(pool as usize).copied().unwrap_or(0);
    let on = volume.copies.iter().filter(|copy| of(copy.pool) & bit(tier) != 0);
    on.count()
}

/// Bytes of all copies of a volume.
pub(super) fn bytes(volume: &MayastorVolume) -> u64 {
    volume.size.saturating_mul(u64::from(volume.wanted_copies))
}

/// The names of pools.
pub(super) fn names(view: &View, pools: &[u32]) -> Vec<PoolName> {
    let fleet = view.observation.engine.as_ref().ok();
    let of = |pool: &u32| Some(fleet?.pools.get(*pool as usize)?.name.clone());
    pools.iter().filter_map(of).collect()
}

/// Why a pool takes nobody's copy now.
fn closed(fleet: &Fleet, pool: &Pool) -> Option<String> {
    let node = fleet.nodes.get(fleet.node(&pool.node) as usize);
    if pool.state != Health::Online {
        Some(format!("is {:?}", pool.state))
    } else if pool.cordoned {
        Some("is cordoned".to_owned())
    } else if node.is_none_or(|node| node.state != Health::Online) {
        Some(format!("is on {}, which is not Online", pool.node))
    } else if node.is_some_and(|node| !node.cordons.is_empty() || node.draining) {
        Some(format!("is on {}, which is cordoned", pool.node))
    } else {
        None
    }
}

/// What pools have left, beside what is under way and planned.
pub(super) struct Room {
    /// For each pool its free bytes.
    free: Vec<u64>,
    /// For each pool the bytes that it has promised to thin volumes.
    committed: Vec<u64>,
    /// For each pool its node.
    nodes: Vec<u32>,
    /// For each pool the tiers among whose open pools it is, as bits.
    tiers: Vec<u64>,
    /// For each tier its open pools, the roomiest last, and of equals the first by name.
    open: Vec<BTreeSet<(u64, Reverse<u32>)>>,
}

impl Room {
    pub(super) fn of(view: &View) -> Self {
        let mut room = Self {
            free: Vec::new(),
            committed: Vec::new(),
            nodes: Vec::new(),
            tiers: Vec::new(),
            open: vec![BTreeSet::new(); view.tiers.len()],
        };
        let Ok(fleet) = &view.observation.engine else {
            return room;
        };
        for (index, pool) in fleet.pools.iter().enumerate() {
            room.free.push(pool.free());
            room.committed.push(pool.committed.unwrap_or(pool.used));
            room.nodes.push(fleet.node(&pool.node));
            room.tiers.push(0);
            let Ok(number) = u32::try_from(index) else { break };
            if closed(fleet, pool).is_some() {
                continue;
            }
            for (tier, open) in room.open.iter_mut().enumerate() {
                if view.pool_tiers[index] & bit(tier) != 0 {
                    open.insert((pool.free(), Reverse(number)));
                    room.tiers[index] |= bit(tier);
                }
            }
        }
        room
    }

    fn set(&mut self, pool: u32, free: u64, committed: u64) {
        let at = pool as usize;
        let old = std::mem::replace(&mut self.free[at], free);
        self.committed[at] = committed;
        let mut tiers = self.tiers[at];
        while tiers != 0 {
            let open = &mut self.open[tiers.trailing_zeros() as usize];
            tiers &= tiers - 1;
            open.remove(&(old, Reverse(pool)));
            open.insert((free, Reverse(pool)));
        }
    }

    /// Takes room for copies.
    pub(super) fn take(&mut self, volume: &MayastorVolume, pools: &[u32]) {
        for pool in pools {
            let (free, committed) = (self.free[*pool as usize], self.committed[*pool as usize]);
            let (free, committed) = (
                free.saturating_sub(volume.size),
                committed.saturating_add(volume.size),
            );
            self.set(*pool, free, committed);
        }
    }

    /// Gives back the room of a volume's copies, as it will be when it has left.
    pub(super) fn give_back(&mut self, volume: &MayastorVolume) {
        for copy in volume.copies.iter() {
            let Some(free) = self.free.get(copy.pool as usize) else {
                continue;
            };
            let free = free.saturating_add(volume.size);
            let committed = self.committed[copy.pool as usize].saturating_sub(volume.size);
            self.set(copy.pool, free, committed);
        }
    }

    /// What there is on pools, to be put back by [`Room::put_back`].
    pub(super) fn remember(&self, volume: &MayastorVolume, pools: &[u32]) -> Vec<(u32, u64, u64)> {
        let copies = volume.copies.iter().map(|copy| copy.pool);
        let known = copies.chain(pools.iter().copied());
        let known = known.filter(|pool| (*pool as usize) < self.free.len());
        known
            .map(|pool| (pool, self.free[pool as usize], self.committed[pool as usize]))
            .collect()
    }

    /// Undoes what was taken and given back since, the latest first.
    pub(super) fn put_back(&mut self, remembered: &[(u32, u64, u64)]) {
        for (pool, free, committed) in remembered {
            self.set(*pool, *free, *committed);
        }
    }

    /// The nodes of pools.
    pub(super) fn nodes_of(&self, pools: &[u32]) -> impl Iterator<Item = u32> {
        pools.iter().map(|pool| self.nodes[*pool as usize])
    }

    /// Whether a pool has room for a copy, beside what is taken already.
    fn has_room(&self, view: &View, volume: &MayastorVolume, tier: &Tier, pool: u32) -> bool {
        let Ok(fleet) = &view.observation.engine else {
            return false;
        };
        let at = pool as usize;
        has_room(volume.size, volume.thin, tier.pool_reserve, self.free[at], || {
            (fleet.pools[at].capacity, self.committed[at])
        })
    }

    /// The pools of a tier to which a volume's copies could go, one on each node, the roomiest first, and all others that could take
    /// one.
    ///
    /// # Errors
    /// [`Why::NoRoom`], [`Why::Pinned`], or [`Why::NoPool`] with what excludes each pool.
    pub(super) fn choose<'a>(
        &self,
        view: &View<'a>,
        volume: &MayastorVolume,
        to: usize,
    ) -> Result<Vec<u32>, Why<'a>> {
        let tier = view.tiers[to];
        let Ok(fleet) = &view.observation.engine else {
            return Err(Why::NotInEngine);
        };
        let needed_copies = self.copies_to_move(view, volume, to);
        let mut chosen: Vec<u32> = Vec::new();
        for (_, Reverse(pool)) in self.open[to].iter().rev() {
            if chosen.len() == needed_copies {
                break;
            }
            let node = self.nodes[*pool as usize];
            let taken = chosen.iter().any(|other| self.nodes[*other as usize] == node);
            let admitted = || barred(fleet, volume, &fleet.pools[*pool as usize], node).is_none();
            if !taken && admitted() && self.has_room(view, volume, tier, *pool) {
                chosen.push(*pool);
            }
            // Pools come in order of their room: after a thick volume found none, nobody has any.
            if !volume.thin && self.free[*pool as usize] < volume.size.saturating_add(tier.pool_reserve) {
                break;
            }
        }
        match chosen.len() == needed_copies {
            true => Ok(chosen),
            false => Err(self.why_not(view, fleet, volume, to, needed_copies)),
        }
    }

    /// Pools of a tier that could take a copy, the roomiest first, as many as anybody reads.
    pub(super) fn candidates(&self, view: &View, volume: &MayastorVolume, to: usize) -> Vec<PoolName> {
        let Ok(fleet) = &view.observation.engine else {
            return Vec::new();
        };
        let usable = |pool: u32| {
            barred(
                fleet,
                volume,
                &fleet.pools[pool as usize],
                self.nodes[pool as usize],
            )
            .is_none()
                && self.has_room(view, volume, view.tiers[to], pool)
        };
        let open = self.open[to].iter().rev().map(|(_, Reverse(pool))| *pool);
        let usable = open.filter(|pool| usable(*pool)).take(TOLD_MAX);
        usable
            .map(|pool| fleet.pools[pool as usize].name.clone())
            .collect()
    }

    fn copies_to_move(&self, view: &View, volume: &MayastorVolume, to: usize) -> usize {
        volume.copies.len() - copies_on(view, volume, to)
    }

    /// What excludes each pool of a tier.
    fn why_not<'a>(
        &self,
        view: &View<'a>,
        fleet: &Fleet,
        volume: &MayastorVolume,
        to: usize,
        copies: usize,
    ) -> Why<'a> {
        let tier = view.tiers[to];
        let members = (0..fleet.pools.len()).filter(|pool| view.pool_tiers[*pool] & bit(to) != 0);
        let members: Vec<u32> = members.filter_map(|pool| u32::try_from(pool).ok()).collect();
        let needed = volume.size.saturating_add(tier.pool_reserve);
        if let Some((roomiest, _)) = self.open[to].last()
            && *roomiest < needed
            && !volume.thin
        {
            // What is needed tells how much the tier keeps free.
            return Why::NoRoom {
                tier: &tier.name,
                needed: if tier.secret { 0 } else { needed },
                roomiest: *roomiest,
            };
        }
        let default = Topology::default();
        let topology = fleet.topologies.get(volume.topology as usize).unwrap_or(&default);
        let admits = |pool: &u32| admits(&topology.pool_inclusion, &fleet.pools[*pool as usize].labels);
        if !members.is_empty() && !members.iter().any(admits) {
            let labels: Vec<String> = topology
                .pool_inclusion
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            return Why::Pinned {
                labels: labels.join(", "),
            };
        }
        let mut excluded = Vec::new();
        let mut usable: BTreeSet<u32> = BTreeSet::new();
        for pool in &members {
            match self.exclusion(view, fleet, volume, to, *pool) {
                Some(_) if excluded.len() >= TOLD_MAX => {}
                Some(reason) => excluded.push(format!("{} {reason}", fleet.pools[*pool as usize].name)),
                None => drop(usable.insert(self.nodes[*pool as usize])),
            }
        }
        if members.len() > TOLD_MAX + usable.len() {
            excluded.push(format!("and {} more", members.len() - TOLD_MAX));
        }
        if !usable.is_empty() {
            let has = usable.len();
            excluded.push(format!(
                "{copies} copies need as many nodes, and only {has} has room"
            ));
        }
        Why::NoPool {
            tier: &tier.name,
            excluded: excluded.into(),
        }
    }

    /// What keeps a copy of a volume off a pool.
    pub(super) fn exclusion(
        &self,
        view: &View,
        fleet: &Fleet,
        volume: &MayastorVolume,
        to: usize,
        index: u32,
    ) -> Option<String> {
        let pool = &fleet.pools[index as usize];
        if let Some(reason) = closed(fleet, pool) {
            return Some(reason);
        }
        if let Some(bar) = barred(fleet, volume, pool, self.nodes[index as usize]) {
            return Some(bar.describe(volume, pool));
        }
        let tier = view.tiers[to];
        if self.has_room(view, volume, tier, index) {
            return None;
        }
        let (free, needed) = (
            self.free[index as usize],
            volume.size.saturating_add(tier.pool_reserve),
        );
        Some(match volume.thin {
            _ if tier.secret => "has too little room".to_owned(),
            false => format!("has {} free, {} are needed", gib(free), gib(needed)),
            true => format!(
                "has {} free and {} promised, too little for a thin copy of {}",
                gib(free),
                gib(self.committed[index as usize]),
                gib(volume.size)
            ),
        })
    }
}

/// An empty value stands for "any value of this key" (the StorageClass parameter poolHasTopologyKey).
fn admits(
    inclusion: &std::collections::BTreeMap<String, String>,
    labels: &std::collections::BTreeMap<String, String>,
) -> bool {
    inclusion.iter().all(|(key, value)| {
        labels
            .get(key)
            .is_some_and(|has| value.is_empty() || has == value)
    })
}

/// Why a volume's copy may not be on a pool, however roomy it is.
#[derive(Clone, Copy)]
enum Bar {
    HoldsCopy,
    NodeNotAllowed,
    NodeLabels,
    PoolLabels,
    Encryption,
}

impl Bar {
    fn describe(self, volume: &MayastorVolume, pool: &Pool) -> String {
        match self {
            Self::HoldsCopy => format!("is on {}, which holds a copy already", pool.node),
            Self::NodeNotAllowed => format!("is on {}, which the volume may not use", pool.node),
            Self::NodeLabels => format!(
                "is on {}, which lacks the labels that the volume demands",
                pool.node
            ),
            Self::PoolLabels => "lacks the labels that the volume demands".to_owned(),
            Self::Encryption if volume.encrypted => "is not encrypted".to_owned(),
            Self::Encryption => "is encrypted".to_owned(),
        }
    }
}

fn barred(fleet: &Fleet, volume: &MayastorVolume, pool: &Pool, at: u32) -> Option<Bar> {
    if at != UNKNOWN && volume.copies.iter().any(|copy| copy.node == at) {
        return Some(Bar::HoldsCopy);
    }
    if volume.encrypted != pool.encrypted {
        return Some(Bar::Encryption);
    }
    let topology = fleet.topologies.get(volume.topology as usize)?;
    let node = fleet.nodes.get(at as usize);
    if !topology.allowed_nodes.is_empty() && !topology.allowed_nodes.contains(&pool.node) {
        Some(Bar::NodeNotAllowed)
    } else if !node.is_some_and(|node| admits(&topology.node_inclusion, &node.labels)) {
        Some(Bar::NodeLabels)
    } else if !admits(&topology.pool_inclusion, &pool.labels) {
        Some(Bar::PoolLabels)
    } else {
        None
    }
}
