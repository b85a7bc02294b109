//! Which policy takes a volume: decided once per group of volumes that are alike.

use super::quick::Table;
use crate::model::desired::{Desired, Policy};
use crate::model::observation::{Group, Observation};
use std::collections::BTreeSet;

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

/// Policies by their keys.
struct Index<'a> {
    policies: Vec<&'a Policy>,
    /// The last policy of a key.
    last: Table<Key<'a>, usize>,
    /// For each policy the one of the same key before it.
    before: Vec<Option<usize>>,
    /// Keys of first labels: nobody looks for others.
    keys: BTreeSet<&'a str>,
    /// Whether a policy demands no label.
    unlabelled: bool,
}

impl<'a> Index<'a> {
    fn of(policies: Vec<&'a Policy>) -> Self {
        let mut last = Table::with_capacity_and_hasher(policies.len(), Default::default());
        let (mut keys, mut unlabelled, mut latest) = (BTreeSet::new(), false, "");
        let mut before = Vec::with_capacity(policies.len());
        for (index, policy) in policies.iter().enumerate() {
            let first = policy.claim_labels.first_key_value();
            let first = first.map(|(key, value)| (key.as_str(), value.as_str()));
            match first {
                None => unlabelled = true,
                Some((key, _)) if key == latest => {}
                Some((key, _)) => {
                    keys.insert(key);
                    latest = key;
                }
            }
            before.push(last.insert((policy.storage_class.as_str(), first), index));
        }
        Self {
            policies,
            last,
            before,
            keys,
            unlabelled,
        }
    }

    /// Policies that take a group, in order of name.
    fn matching(&self, group: &Group, found: &mut Vec<usize>) {
        found.clear();
        let labels = group.labels.iter().map(|(key, value)| Some((&**key, &**value)));
        let looked_for = |label: &Option<(&str, &str)>| match label {
            None => self.unlabelled,
            Some((key, _)) => self.keys.contains(key),
        };
        for label in std::iter::once(None).chain(labels).filter(looked_for) {
            let mut next = self.last.get(&(&*group.storage_class, label)).copied();
            while let Some(index) = next {
                let mut labels = self.policies[index].claim_labels.iter();
                if labels.all(|(key, value)| group.label(key) == Some(value.as_str())) {
                    found.push(index);
                }
                next = self.before[index];
            }
        }
        found.sort_unstable();
    }

    fn taken(&self, group: &Group, found: &mut Vec<usize>) -> Taken {
        self.matching(group, found);
        let mut enabled = found.iter().filter(|index| self.policies[**index].enabled);
        match (enabled.next(), enabled.next(), found.first()) {
            (Some(_), Some(_), _) => {
                let enabled = found.iter().map(|index| self.policies[*index]);
                let names = enabled.filter(|policy| policy.enabled);
                let names: Vec<&str> = names.map(|policy| policy.name.as_str()).collect();
                Taken::Several(names.join(", "))
            }
            (Some(one), None, _) | (None, _, Some(one)) => Taken::By(*one),
            (None, _, None) => Taken::Nobody,
        }
    }
}

pub(super) fn select(desired: &Desired, observation: &Observation) -> Vec<Taken> {
    let index = Index::of(desired.policies.values().collect());
    let mut found = Vec::new();
    let taken = |group: &Group| index.taken(group, &mut found);
    observation.groups.iter().map(taken).collect()
}
