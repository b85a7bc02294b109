//! Which policy takes a volume: decided once per group of volumes that are alike.

use crate::model::desired::{Desired, Policy};
use crate::model::observation::{Group, Observation};
use std::collections::HashMap;

/// Which policy takes a group of volumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// None.
    Nobody,
    /// The only enabled one, or one that is switched off if that is all there is; by its place in order of name.
    By(usize),
    /// Several enabled ones; their names.
    Several(String),
}

/// By class and the first label that is demanded: no group is compared with every policy.
type Key<'a> = (&'a str, Option<(&'a str, &'a str)>);

pub(super) fn select(desired: &Desired, observation: &Observation) -> Vec<Taken> {
    let policies: Vec<&Policy> = desired.policies.values().collect();
    let mut by_key: HashMap<Key, Vec<usize>> = HashMap::new();
    for (index, policy) in policies.iter().enumerate() {
        let mut labels = policy.claim_labels.iter();
        let first = labels.next().map(|(key, value)| (key.as_str(), value.as_str()));
        by_key
            .entry((&policy.storage_class, first))
            .or_default()
            .push(index);
    }
    let taken = |group: &Group| taken(group, &policies, &by_key);
    observation.groups.iter().map(taken).collect()
}

fn taken(group: &Group, policies: &[&Policy], by_key: &HashMap<Key, Vec<usize>>) -> Taken {
    let labels = group
        .labels
        .iter()
        .map(|(key, value)| Some((key.as_str(), value.as_str())));
    let keys = std::iter::once(None).chain(labels);
    let takes = |policy: &Policy| {
        let mut labels = policy.claim_labels.iter();
        labels.all(|(key, value)| group.labels.get(key) == Some(value))
    };
    let mut matching: Vec<usize> = keys
        .filter_map(|label| by_key.get(&(group.storage_class.as_str(), label)))
        .flatten()
        .copied()
        .filter(|index| takes(policies[*index]))
        .collect();
    matching.sort_unstable();
    let enabled: Vec<usize> = matching
        .iter()
        .copied()
        .filter(|index| policies[*index].enabled)
        .collect();
    match (enabled.as_slice(), matching.first()) {
        ([one], _) => Taken::By(*one),
        ([], Some(one)) => Taken::By(*one),
        ([], None) => Taken::Nobody,
        (several, _) => {
            let names: Vec<&str> = several
                .iter()
                .map(|index| policies[*index].name.as_str())
                .collect();
            Taken::Several(names.join(", "))
        }
    }
}
