//! The planner that one writes first, after the seed's pseudo-code: every policy looks at every volume by its labels, heat comes from
//! a map by name, and every pool is looked at for each copy. It has no budgets, windows or reasons, so it does less.

use crate::world::{COLD, HOT, World};
use couchestor::model::desired::TierPools;
use couchestor::model::engine::Pool;
use couchestor::model::observation::Provider;
use std::collections::{BTreeMap, BTreeSet};

/// Moves by claim, with the pools that they go to.
pub fn plan(world: &World, heat: &BTreeMap<String, f64>) -> BTreeMap<String, Vec<String>> {
    let mut free: BTreeMap<String, u64> = world
        .engine
        .pools
        .iter()
        .map(|(name, pool)| (name.to_string(), pool.free()))
        .collect();
    let mut moves = BTreeMap::new();
    for policy in world.desired.policies.values().filter(|policy| policy.enabled) {
        for seen in &world.seen {
            let mut labels = policy.claim_labels.iter();
            let taken = seen.storage_class == policy.storage_class
                && labels.all(|(key, value)| seen.claim_labels.get(key) == Some(value));
            let Provider::Mayastor(uuid) = &seen.provider else {
                continue;
            };
            if !taken {
                continue;
            }
            let (Some(volume), Some(iops)) = (world.engine.volumes.get(uuid), heat.get(seen.name.as_str()))
            else {
                continue;
            };
            let of_tier = |pool: &Pool, tier: &str| {
                let tier = &world.desired.tiers[&tier.into()];
                matches!(&tier.pools, TierPools::Mayastor(labels)
                    if labels.iter().all(|(key, value)| pool.labels.get(key) == Some(value)))
            };
            let on = |tier: &str| {
                let mut copies = volume.replicas.iter();
                copies.all(|copy| of_tier(&world.engine.pools[&copy.pool], tier))
            };
            let Some(here) = policy.tiers.iter().position(|tier| on(tier.as_str())) else {
                continue;
            };
            let to = match *iops {
                hot if hot >= HOT => policy.tiers.get(here + 1),
                cold if cold < COLD => here.checked_sub(1).map(|to| &policy.tiers[to]),
                _ => None,
            };
            let Some(to) = to else { continue };
            let mut nodes: BTreeSet<String> =
                volume.replicas.iter().map(|copy| copy.node.to_string()).collect();
            let mut chosen = Vec::new();
            for _ in &volume.replicas {
                let pools = world.engine.pools.values().filter(|pool| {
                    of_tier(pool, to.as_str())
                        && !nodes.contains(pool.node.as_str())
                        && free[pool.name.as_str()] >= volume.size
                });
                if let Some(best) = pools.max_by_key(|pool| free[pool.name.as_str()]) {
                    nodes.insert(best.node.to_string());
                    chosen.push(best.name.to_string());
                }
            }
            if chosen.len() == volume.replicas.len() {
                for pool in &chosen {
                    free.entry(pool.clone()).and_modify(|free| *free -= volume.size);
                }
                moves.insert(seen.claim.to_string(), chosen);
            }
        }
    }
    moves
}
