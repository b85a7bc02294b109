//! Policies of one class whose labels may meet on one claim: a doubt, since nobody knows the labels of claims that are not there yet.
//!
//! Policies are compared by the keys of their labels, and those of two sets of keys by what they say of the keys that both have: a
//! look-up for each policy and set, and not one for each two policies.

use crate::model::desired::{Policy, Resource};
use crate::model::diagnostic::Diagnostic;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Sets of keys that are compared within one class; people use a handful.
const KEY_SETS_MAX: usize = 32;

/// A policy and its object.
type One<'a> = (&'a Resource, &'a Policy);

/// The policies by the keys of their labels.
type Sets<'a> = BTreeMap<BTreeSet<&'a str>, Vec<One<'a>>>;

pub(super) fn check(enabled: &[One], diagnostics: &mut Vec<Diagnostic>) {
    let mut classes: BTreeMap<&str, Sets> = BTreeMap::new();
    for one in enabled {
        let keys = one.1.claim_labels.keys().map(String::as_str).collect();
        let sets = classes.entry(one.1.storage_class.as_str()).or_default();
        sets.entry(keys).or_default().push(*one);
    }
    // Each later policy with the first one that it may meet.
    let mut met: BTreeMap<&str, (One, One)> = BTreeMap::new();
    for sets in classes.values() {
        let sets: Vec<_> = sets.iter().take(KEY_SETS_MAX).collect();
        for (left, right) in sets
            .iter()
            .flat_map(|left| sets.iter().map(move |right| (left, right)))
        {
            let common: Vec<&str> = left.0.intersection(right.0).copied().collect();
            // Where one has all keys of the other, its claims are the other's too, which is refused, or they exclude each other.
            if common.len() == left.0.len() || common.len() == right.0.len() {
                continue;
            }
            let said = |policy: &Policy| -> Vec<Option<String>> {
                let values = common.iter().map(|key| policy.claim_labels.get(*key).cloned());
                values.collect()
            };
            let mut first: HashMap<Vec<Option<String>>, One> = HashMap::new();
            for one in left.1 {
                let kept = first.entry(said(one.1)).or_insert(*one);
                if one.1.name < kept.1.name {
                    *kept = *one;
                }
            }
            for one in right.1 {
                let Some(other) = first.get(&said(one.1)).filter(|other| other.1.name < one.1.name) else {
                    continue;
                };
                let kept = met.entry(one.1.name.as_str()).or_insert((*one, *other));
                if other.1.name < kept.1.1.name {
                    kept.1 = *other;
                }
            }
        }
    }
    diagnostics.extend(met.into_values().map(|((resource, policy), (first, other))| {
        let message = format!(
            "a claim of StorageClass {} may have the labels of this policy and of StoragePolicy {}, at {}: such a claim would be left alone",
            resource.origin.told(&policy.storage_class),
            first.origin.told(other.name.as_str()),
            first.origin.place("/spec/storageClassName")
        );
        Diagnostic::warning(
            resource.origin.place("/spec/storageClassName"),
            "policy-overlap",
            message,
            "give both a label of one key with different values in `volumeSelector`",
        )
    }));
}
