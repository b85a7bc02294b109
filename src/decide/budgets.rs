//! How many moves may run at one time, and how many may start within an hour: by policy, tier, node, pair of nodes, pool and cluster.

use super::View;
use super::place::{self, Room, bit};
use crate::model::decision::Why;
use crate::model::desired::Policy;
use crate::model::migration_brief::MigrationBrief;
use crate::model::observation::{Backing, CopyAt, Fleet, MayastorVolume, UNKNOWN};
use jiff::Timestamp;
use std::collections::{BTreeSet, HashMap};

/// What a budget per hour looks back over.
const HOUR_SECS: i64 = 3600;

/// Two nodes, the lesser index first.
type Pair = (u32, u32);

/// Moves that run, and those that start in this turn.
pub(super) struct Running<'a> {
    all: usize,
    of_policy: HashMap<&'a str, usize>,
    of_tier: HashMap<&'a str, usize>,
    of_node: HashMap<u32, usize>,
    of_pair: HashMap<Pair, usize>,
    of_pool: HashMap<u32, usize>,
    /// Moves and bytes of a policy that started within the last hour.
    hourly: HashMap<&'a str, (usize, u64)>,
}

impl<'a> Running<'a> {
    /// What runs, but for its ways: see [`Running::add_way`].
    pub(super) fn of(view: &View<'a>) -> Self {
        let mut running = Self {
            all: 0,
            of_policy: HashMap::new(),
            of_tier: HashMap::new(),
            of_node: HashMap::new(),
            of_pair: HashMap::new(),
            of_pool: HashMap::new(),
            hourly: HashMap::new(),
        };
        for migration in &view.in_flight.migrations {
            let bound = view
                .observation
                .find(&migration.claim)
                .map(|index| &view.observation.volumes[index]);
            let volume = bound.and_then(|bound| match &bound.backing {
                Backing::Mayastor(volume) => Some(volume),
                _ => None,
            });
            let policy = migration.policy.as_deref();
            if started_within_an_hour(migration, view.now)
                && let Some(policy) = policy
            {
                running.add_hourly(policy, volume.map_or(0, place::bytes));
            }
            if !migration.phase.is_final() {
                let nodes = volume
                    .into_iter()
                    .flat_map(|volume| volume.copies.iter().map(|copy| copy.node));
                running.add(policy, (&migration.from.0, &migration.to.0), nodes);
            }
        }
        running
    }

    fn add(
        &mut self,
        policy: Option<&'a str>,
        (from, to): (&'a str, &'a str),
        nodes: impl Iterator<Item = u32>,
    ) {
        self.all += 1;
        if let Some(policy) = policy {
            *self.of_policy.entry(policy).or_default() += 1;
        }
        for tier in [from, to] {
            *self.of_tier.entry(tier).or_default() += 1;
        }
        for node in nodes {
            *self.of_node.entry(node).or_default() += 1;
        }
    }

    fn add_hourly(&mut self, policy: &'a str, of: u64) {
        let (moves, bytes) = self.hourly.entry(policy).or_default();
        *moves += 1;
        *bytes = bytes.saturating_add(of);
    }

    /// Counts a move that starts.
    pub(super) fn begin(
        &mut self,
        policy: Option<&'a str>,
        tiers: (&'a str, &'a str),
        volume: &MayastorVolume,
        new: impl Iterator<Item = u32>,
    ) {
        let nodes = volume.copies.iter().map(|copy| copy.node).chain(new);
        self.add(policy, tiers, nodes);
        if let Some(policy) = policy {
            self.add_hourly(policy, place::bytes(volume));
        }
    }

    /// Counts the pools of a move, and the pairs of nodes between which it copies: from each copy that is not on the tier to each
    /// that is, or is expected on one of the chosen pools.
    pub(super) fn add_way(
        &mut self,
        view: &View,
        room: &Room,
        volume: &MayastorVolume,
        to: usize,
        chosen: &[u32],
    ) {
        for pair in pairs(view, room, volume, to, chosen) {
            *self.of_pair.entry(pair).or_default() += 1;
        }
        for pool in pools(volume, chosen) {
            *self.of_pool.entry(pool).or_default() += 1;
        }
    }

    /// Counts a move to a tier that this source does not know: any two of its nodes may be those between which it copies.
    pub(super) fn add_unplaced(&mut self, volume: &MayastorVolume) {
        let nodes: Vec<u32> = volume.copies.iter().map(|copy| copy.node).collect();
        let pairs = nodes
            .iter()
            .enumerate()
            .flat_map(|(place, one)| nodes[place + 1..].iter().filter_map(|other| pair(*one, *other)));
        for pair in pairs.collect::<BTreeSet<Pair>>() {
            *self.of_pair.entry(pair).or_default() += 1;
        }
        for pool in pools(volume, &[]) {
            *self.of_pool.entry(pool).or_default() += 1;
        }
    }

    /// Whether every budget lets one more move start, of a volume to the chosen pools.
    pub(super) fn admits(
        &self,
        view: &View,
        room: &Room,
        (volume, chosen): (&MayastorVolume, &[u32]),
        policy: Option<&Policy>,
        (from, to): (Option<usize>, usize),
    ) -> Result<(), Why<'static>> {
        let max = view.limits.max_concurrent;
        if self.all >= max as usize {
            return over(format!("the controller's --max-concurrent-migrations of {max}"));
        }
        self.tiers_admit(view, from, to)?;
        self.pairs_admit(view, pairs(view, room, volume, to, chosen))?;
        let Some(policy) = policy else { return Ok(()) };
        self.policy_admits(policy, volume)?;
        let nodes = volume
            .copies
            .iter()
            .map(|copy| copy.node)
            .chain(room.nodes_of(chosen));
        self.places_admit(view, policy, nodes, pools(volume, chosen))
    }

    fn tiers_admit(&self, view: &View, from: Option<usize>, to: usize) -> Result<(), Why<'static>> {
        for tier in from.into_iter().chain([to]).map(|tier| view.tiers[tier]) {
            let used = self.of_tier.get(tier.name.as_str()).copied().unwrap_or(0);
            if let Some(max) = tier.max_moves.filter(|max| used >= *max as usize) {
                return over(match tier.secret {
                    true => format!("maxConcurrentMoves of tier {}", tier.name),
                    false => format!("maxConcurrentMoves: {max} of tier {}", tier.name),
                });
            }
        }
        Ok(())
    }

    fn pairs_admit(&self, view: &View, pairs: BTreeSet<Pair>) -> Result<(), Why<'static>> {
        let max = view.in_flight.control.per_node_pair;
        let used = |pair: &Pair| self.of_pair.get(pair).copied().unwrap_or(0);
        let full = |pair: &Pair| max > 0 && used(pair) >= max as usize;
        match pairs.into_iter().find(full) {
            Some((one, other)) => {
                let (one, other) = (node_name(view, one), node_name(view, other));
                over(format!(
                    "moves.perNodePair: {max} of the PolicySource between {one} and {other}"
                ))
            }
            None => Ok(()),
        }
    }

    fn policy_admits(&self, policy: &Policy, volume: &MayastorVolume) -> Result<(), Why<'static>> {
        let name = &policy.name;
        let used = self.of_policy.get(name.as_str()).copied().unwrap_or(0);
        if used >= policy.max_concurrent as usize {
            return over(format!(
                "maxConcurrentMigrations: {} of {name}",
                policy.max_concurrent
            ));
        }
        let (moves, bytes) = self.hourly.get(name.as_str()).copied().unwrap_or_default();
        if let Some(max) = policy.budgets.moves_per_hour.filter(|max| moves >= *max as usize) {
            return over(format!("movesPerHour: {max} of {name}"));
        }
        // A volume that is larger than the whole budget would never move: it starts alone.
        let after = bytes.saturating_add(place::bytes(volume));
        let max = policy.budgets.bytes_per_hour;
        if max.is_some_and(|max| bytes > 0 && after > max) {
            return over(format!("bytesPerHour of {name}"));
        }
        Ok(())
    }

    fn places_admit(
        &self,
        view: &View,
        policy: &Policy,
        mut nodes: impl Iterator<Item = u32>,
        pools: BTreeSet<u32>,
    ) -> Result<(), Why<'static>> {
        let name = &policy.name;
        if let Some(max) = policy.budgets.moves_per_node {
            let full = |node: &u32| self.of_node.get(node).copied().unwrap_or(0) >= max as usize;
            if let Some(node) = nodes.find(full) {
                let node = node_name(view, node);
                return over(format!("movesPerNode: {max} of {name} on {node}"));
            }
        }
        if let Some(max) = policy.budgets.moves_per_pool {
            let full = |pool: &u32| self.of_pool.get(pool).copied().unwrap_or(0) >= max as usize;
            if let Some(pool) = pools.into_iter().find(full) {
                let pool = place::names(view, &[pool]).pop();
                let pool = pool.map_or_else(|| "a pool".to_owned(), |pool| pool.to_string());
                return over(format!("movesPerPool: {max} of {name} on {pool}"));
            }
        }
        Ok(())
    }
}

fn over(budget: String) -> Result<(), Why<'static>> {
    Err(Why::OverBudget {
        budget: budget.into(),
    })
}

fn started_within_an_hour(migration: &MigrationBrief, now: Timestamp) -> bool {
    let started = migration
        .started
        .as_deref()
        .and_then(|at| at.parse::<Timestamp>().ok());
    started.is_some_and(|at| now.as_second().saturating_sub(at.as_second()) < HOUR_SECS)
}

fn pair(one: u32, other: u32) -> Option<Pair> {
    (one != other && one != UNKNOWN && other != UNKNOWN).then(|| (one.min(other), one.max(other)))
}

fn pairs(view: &View, room: &Room, volume: &MayastorVolume, to: usize, chosen: &[u32]) -> BTreeSet<Pair> {
    let on = |pool: u32| view.pool_tiers.get(pool as usize).copied().unwrap_or(0) & bit(to) != 0;
    let (there, leaving): (Vec<&CopyAt>, Vec<&CopyAt>) = volume.copies.iter().partition(|copy| on(copy.pool));
    let goals: Vec<u32> = there
        .iter()
        .map(|copy| copy.node)
        .chain(room.nodes_of(chosen))
        .collect();
    let of = |from: u32| goals.iter().filter_map(move |goal| pair(from, *goal));
    leaving.iter().flat_map(|copy| of(copy.node)).collect()
}

fn pools(volume: &MayastorVolume, chosen: &[u32]) -> BTreeSet<u32> {
    let own = volume.copies.iter().map(|copy| copy.pool);
    own.chain(chosen.iter().copied())
        .filter(|pool| *pool != UNKNOWN)
        .collect()
}

fn node_name(view: &View, node: u32) -> String {
    let fleet: Option<&Fleet> = view.observation.engine.as_ref().ok();
    let found = fleet.and_then(|fleet| fleet.nodes.get(node as usize));
    found.map_or_else(|| "a node".to_owned(), |node| node.name.to_string())
}
