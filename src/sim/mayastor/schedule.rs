//! Where a new copy goes: the scheduler's filters in their order, then its weights. It knows nothing of tiers.
//!
//! mayastor-control-plane: `controller/scheduling/volume_policy/{mod,node,pool,simple,thick,affinity_group}.rs`.

use super::state::{PoolStatus, SimPool, SimVolume, State};
use std::collections::{BTreeMap, BTreeSet};

/// A thin pool may promise so much of its capacity.
const POOL_COMMITMENT_PERCENT: u64 = 250;

/// What a thin volume needs free beyond what is written, of its size.
const VOLUME_COMMITMENT_PERCENT: u64 = 40;

const MIB: u64 = 1 << 20;

/// Why a pool is no candidate: the first filter that it doesn't pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Filter {
    /// Its node is cordoned or drained.
    NodeCordoned,
    /// Its node isn't there.
    NodeOffline,
    /// The volume may not use its node.
    NotAllowed,
    /// Its node holds a copy already.
    NodeInUse,
    /// Its node's labels don't fit.
    NodeLabels,
    /// It is Faulted or Unknown.
    Unusable,
    /// Its capacity is smaller than the volume.
    TooSmall,
    /// Its labels don't fit.
    PoolLabels,
    /// It would promise too much.
    Overcommitted,
    /// Too little is free.
    NoSpace,
    /// It is cordoned for replicas.
    PoolCordoned,
    /// It is encrypted and the volume isn't, or the other way round.
    Encryption,
    /// Its node holds the single copy of another volume of the affinity group.
    AntiAffinity,
}

/// Whether labels have what is demanded; an empty value demands the key only.
pub(super) fn have(labels: &BTreeMap<String, String>, demanded: &BTreeMap<String, String>) -> bool {
    demanded.iter().all(|(key, value)| has(labels, key, value))
}

/// Whether labels have anything that is refused.
fn have_any(labels: &BTreeMap<String, String>, refused: &BTreeMap<String, String>) -> bool {
    refused.iter().any(|(key, value)| has(labels, key, value))
}

fn has(labels: &BTreeMap<String, String>, key: &str, value: &str) -> bool {
    labels
        .get(key)
        .is_some_and(|label| value.is_empty() || label == value)
}

/// Whether a pool fits a volume's topology.
pub(super) fn pool_fits(volume: &SimVolume, pool: &SimPool) -> bool {
    have(&pool.labels, &volume.seed.pool_inclusion) && !have_any(&pool.labels, &volume.seed.pool_exclusion)
}

/// What a search for a pool looks up once.
struct Search<'a> {
    volume: &'a SimVolume,
    /// Nodes that hold a copy.
    holding: BTreeSet<&'a str>,
    /// Nodes that the affinity group keeps it from.
    restricted: BTreeSet<&'a str>,
    /// Copies of the affinity group by pool, when its volumes have several.
    of_group: BTreeMap<&'a str, u64>,
    need: u64,
}

/// Two values as parts of a hundred, the larger one better: how the weighted scores compare two pools.
fn grade(weight: u64, one: u64, other: u64) -> (u64, u64) {
    let (one, other) = (u128::from(one), u128::from(other));
    let of = |value: u128| u64::try_from(value * 100 / (one + other)).unwrap_or(0) * weight;
    match one + other {
        0 => (50 * weight, 50 * weight),
        _ => (of(one), of(other)),
    }
}

impl State {
    /// Bytes that a copy may take on a pool. From 2.12 its label is larger and sizes are rounded up to 1 MiB.
    pub(super) fn replica_size(&self, size: u64) -> u64 {
        match self.capabilities.large_labels {
            true => size.div_ceil(MIB) * MIB + 8 * MIB,
            false => size,
        }
    }

    fn search<'a>(&'a self, volume: &'a SimVolume, reuse: Option<&str>) -> Search<'a> {
        let node_of = |pool: &str| self.pools.get(pool).map(|pool| pool.node.as_str());
        let holding = volume
            .copies
            .iter()
            .filter_map(|copy| node_of(&copy.pool))
            .filter(|node| reuse != Some(*node))
            .collect();
        let (mut restricted, mut of_group) = (BTreeSet::new(), BTreeMap::new());
        let others = volume
            .seed
            .affinity_group
            .as_ref()
            .and_then(|group| self.groups.get(group));
        for other in others
            .into_iter()
            .flatten()
            .filter_map(|uuid| self.volumes.get(uuid))
        {
            for copy in &other.copies {
                *of_group.entry(copy.pool.as_str()).or_insert(0) += 1;
                if other.num_replicas == 1 && other.seed.uuid != volume.seed.uuid {
                    restricted.extend(node_of(&copy.pool));
                }
            }
        }
        Search {
            volume,
            holding,
            restricted: if volume.num_replicas == 1 {
                restricted
            } else {
                BTreeSet::new()
            },
            of_group: if volume.num_replicas > 1 {
                of_group
            } else {
                BTreeMap::new()
            },
            need: self.replica_size(volume.size),
        }
    }

    /// The first filter that a pool doesn't pass.
    fn refused(&self, search: &Search<'_>, pool: &SimPool) -> Option<Filter> {
        let volume = search.volume;
        let node = self.nodes.get(&pool.node);
        let thin_need = volume
            .written
            .saturating_add(volume.size / 100 * VOLUME_COMMITMENT_PERCENT);
        let need = if volume.seed.thin {
            thin_need.min(search.need)
        } else {
            search.need
        };
        let promised = u128::from(search.need + pool.used + pool.committed) * 100;
        let filters = [
            (
                node.is_none_or(super::state::SimNode::cordoned),
                Filter::NodeCordoned,
            ),
            (self.offline.contains_key(&pool.node), Filter::NodeOffline),
            (
                !volume.seed.allowed_nodes.is_empty() && !volume.seed.allowed_nodes.contains(&pool.node),
                Filter::NotAllowed,
            ),
            (search.holding.contains(pool.node.as_str()), Filter::NodeInUse),
            (
                !node.is_some_and(|node| have(&node.labels, &volume.seed.node_inclusion)),
                Filter::NodeLabels,
            ),
            (
                matches!(pool.status, PoolStatus::Faulted | PoolStatus::Unknown),
                Filter::Unusable,
            ),
            (pool.capacity <= search.need, Filter::TooSmall),
            (!pool_fits(volume, pool), Filter::PoolLabels),
            (
                volume.seed.thin
                    && promised >= u128::from(pool.capacity) * u128::from(POOL_COMMITMENT_PERCENT),
                Filter::Overcommitted,
            ),
            (pool.free() <= need, Filter::NoSpace),
            (pool.cordon.replicas, Filter::PoolCordoned),
            (pool.encrypted != volume.seed.encrypted, Filter::Encryption),
            (
                search.restricted.contains(pool.node.as_str()),
                Filter::AntiAffinity,
            ),
        ];
        filters
            .into_iter()
            .find(|(out, _)| *out)
            .map(|(_, filter)| filter)
    }

    /// Whether one pool is preferred to another.
    fn better(&self, search: &Search<'_>, one: (&String, &SimPool), other: (&String, &SimPool)) -> bool {
        let ((a_name, a), (b_name, b)) = (one, other);
        if a.status != b.status {
            return a.status < b.status;
        }
        let count = |pool: &SimPool| pool.copies as u64;
        let promised = |pool: &SimPool| pool.used + pool.committed;
        let group = |name: &String| search.of_group.get(name.as_str()).copied().unwrap_or(0);
        // (weight, value of one, value of the other), the larger value better: what should be low is given crosswise.
        let criteria: Vec<(u64, u64, u64)> = match (search.volume.seed.thin, search.of_group.is_empty()) {
            (true, _) => vec![
                (25, count(b), count(a)),
                (40, a.free(), b.free()),
                (35, promised(b), promised(a)),
            ],
            (false, true) => vec![(40, count(b), count(a)), (60, a.free(), b.free())],
            (false, false) => vec![
                (25, count(b), count(a)),
                (15, group(b_name), group(a_name)),
                (60, a.free(), b.free()),
            ],
        };
        let (mut score_a, mut score_b) = (0, 0);
        for (weight, of_a, of_b) in criteria {
            let (graded_a, graded_b) = grade(weight, of_a, of_b);
            score_a += graded_a;
            score_b += graded_b;
        }
        score_a > score_b
    }

    /// The pool that the scheduler picks for one more copy; `reuse` is a node that may hold two for a moment.
    pub(super) fn place(&self, uuid: &str, reuse: Option<&str>) -> Option<String> {
        let volume = self.volumes.get(uuid)?;
        let search = self.search(volume, reuse);
        let mut best: Option<(&String, &SimPool)> = None;
        for candidate in &self.pools {
            if self.refused(&search, candidate.1).is_some() {
                continue;
            }
            // Pairs are compared in the order of names: the scores are no order of their own.
            if best.is_none_or(|best| self.better(&search, candidate, best)) {
                best = Some(candidate);
            }
        }
        best.map(|(name, _)| name.clone())
    }

    /// Each pool with the first filter that it doesn't pass, if any.
    pub fn candidates(&self, uuid: &str) -> Vec<(String, Option<Filter>)> {
        let Some(volume) = self.volumes.get(uuid) else {
            return Vec::new();
        };
        let search = self.search(volume, None);
        self.pools
            .iter()
            .map(|(name, pool)| (name.clone(), self.refused(&search, pool)))
            .collect()
    }
}
