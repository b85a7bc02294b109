//! What the objects of a tree say about each other: two policies for one volume, a tier without pools.

use super::understand::Understood;
use crate::model::desired::{Policy, Resource, TierPools};
use crate::model::diagnostic::Diagnostic;
use crate::model::ids::{PolicyName, TierName};
use crate::model::resources::Resources;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// Policies that may meet on one claim.
mod overlap;

/// The labels of every tree's DiskPools: Mayastor's own kind, whose `spec.topology.labelled` becomes the pool's labels.
const POOL_GROUP: &str = "openebs.io";

pub(super) fn check(resources: &Resources, understood: &Understood, diagnostics: &mut Vec<Diagnostic>) {
    let enabled = enabled(resources, understood);
    claimed_twice(&enabled, diagnostics);
    tiers_without_pools(resources, understood, diagnostics);
    overlap::check(&enabled, diagnostics);
}

/// A class and the first label that a policy asks for.
type Key<'a> = (&'a str, Option<(&'a String, &'a String)>);

/// The policies that are at work, with their objects.
fn enabled<'a>(resources: &'a Resources, understood: &'a Understood) -> Vec<(&'a Resource, &'a Policy)> {
    resources
        .ours("StoragePolicy")
        .filter_map(|resource| {
            let name = PolicyName(resource.name().to_owned());
            Some((resource, understood.policies.get(&name)?))
        })
        .filter(|(_, policy)| policy.enabled)
        .collect()
}

/// Two enabled policies of one class, where every claim that the one takes is taken by the other too. Policies whose labels only
/// might meet on one claim are no mistake yet, and [`overlap`] doubts them; the decision leaves such a claim alone and says why.
fn claimed_twice(enabled: &[(&Resource, &Policy)], diagnostics: &mut Vec<Diagnostic>) {
    // By class and first label, so that nobody is compared with everybody.
    let mut wide: HashMap<Key, Vec<&(&Resource, &Policy)>> = HashMap::new();
    for one in enabled {
        let key = (one.1.storage_class.as_str(), one.1.claim_labels.iter().next());
        wide.entry(key).or_default().push(one);
    }
    for (resource, policy) in enabled {
        let keys = std::iter::once(None).chain(policy.claim_labels.iter().map(Some));
        let other = keys
            .filter_map(|label| wide.get(&(policy.storage_class.as_str(), label)))
            .flatten()
            .find(|(_, other)| {
                let all = || {
                    let mut labels = other.claim_labels.iter();
                    labels.all(|(key, value)| policy.claim_labels.get(key) == Some(value))
                };
                // Of two with the same labels the later one is told.
                let same = other.claim_labels == policy.claim_labels;
                other.name != policy.name && all() && (!same || other.name < policy.name)
            });
        let Some((first, other)) = other else { continue };
        diagnostics.push(Diagnostic::error(
            resource.origin.place("/spec/storageClassName"),
            "policy-overlap",
            format!(
                "the claims of StorageClass {} that this policy takes are those of StoragePolicy {} too, at {}",
                resource.origin.told(&policy.storage_class),
                first.origin.told(other.name.as_str()),
                first.origin.place("/spec/storageClassName")
            ),
            "give them `volumeSelector`s that exclude each other, or set `enabled: false` on one",
        ));
    }
}

/// A tree that declares pools declares what a tier can be made of. One that declares none says nothing about them.
fn tiers_without_pools(resources: &Resources, understood: &Understood, diagnostics: &mut Vec<Diagnostic>) {
    let pools: Vec<BTreeMap<&str, &str>> = resources
        .of(POOL_GROUP, "DiskPool")
        .map(|resource| {
            let labels = resource.value.pointer("/spec/topology/labelled");
            let labels = labels.and_then(Value::as_object).into_iter().flatten();
            labels
                .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
                .collect()
        })
        .collect();
    if pools.is_empty() {
        return;
    }
    for resource in resources.ours("StorageTier") {
        let Some(tier) = understood.tiers.get(&TierName(resource.name().to_owned())) else {
            continue;
        };
        let TierPools::Mayastor(wanted) = &tier.pools else {
            continue;
        };
        let serves = |pool: &&BTreeMap<&str, &str>| {
            let mut wanted = wanted.iter();
            wanted.all(|(key, value)| pool.get(key.as_str()) == Some(&value.as_str()))
        };
        if !pools.iter().any(|pool| serves(&pool)) {
            diagnostics.push(Diagnostic::warning(
                resource.origin.place("/spec/poolSelector"),
                "tier-pools",
                format!(
                    "none of the {} DiskPools in this repository has the labels of this tier",
                    pools.len()
                ),
                "label a pool below its `spec.topology.labelled`, or correct the selector",
            ));
        }
    }
}
