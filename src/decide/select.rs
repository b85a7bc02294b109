//! Which policy takes a volume: decided once per group of volumes that are alike.

use crate::model::desired::{Desired, Policy};
use crate::model::observation::{Group, Observation};
use crate::model::policies::Digest;
use crate::model::quick::Table;
use crate::model::selectors::NONE;
use std::sync::Arc;

/// Which policy takes a group of volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// None.
    Nobody,
    /// The only enabled one, or one that is switched off if that is all there is; by its place in order of name.
    By(u32),
    /// Several enabled ones; the place of their names among [`Selected::several`].
    Several(u32),
}

/// Which policies take which groups.
#[derive(Default)]
pub(super) struct Selected {
    /// For each group of volumes the policy that takes it.
    pub(super) of_group: Vec<Taken>,
    /// Names of policies that take the same group.
    pub(super) several: Vec<String>,
}

/// Policies with the digest of what they select.
struct Index<'a> {
    policies: Vec<&'a Policy>,
    digest: &'a Digest,
}

impl Index<'_> {
    /// Policies that take a group by its class and one of its labels.
    fn by_label(&self, group: &Group, class: u32, key: u32, value: &str, found: &mut Vec<usize>) {
        for (place, more) in self.digest.selectors.by_label(class, key, value) {
            let mut labels = self.policies[place].claim_labels.iter();
            if !more || labels.all(|(key, value)| group.label(key) == Some(value.as_str())) {
                found.push(place);
            }
        }
    }

    fn taken(&self, found: &[usize], several: &mut Vec<String>) -> Taken {
        let mut enabled = found.iter().filter(|index| self.digest.rules[**index].enabled);
        match (enabled.next(), enabled.next(), found.first()) {
            (Some(_), Some(_), _) => {
                let enabled = found.iter().map(|index| self.policies[*index]);
                let names = enabled.filter(|policy| policy.enabled);
                let names: Vec<&str> = names.map(|policy| policy.name.as_str()).collect();
                several.push(names.join(", "));
                Taken::Several((several.len() - 1) as u32)
            }
            (Some(one), None, _) | (None, _, Some(one)) => Taken::By(*one as u32),
            (None, _, None) => Taken::Nobody,
        }
    }
}

/// Numbers of the texts that groups share, by where they lie: most groups need no look at the text.
#[derive(Default)]
struct Shared(Table<usize, u32>);

impl Shared {
    fn number(&mut self, known: &Table<Box<str>, u32>, text: &Arc<str>) -> u32 {
        let at = Arc::as_ptr(text).cast::<u8>() as usize;
        let number = || known.get(&**text).copied().unwrap_or(NONE);
        *self.0.entry(at).or_insert_with(number)
    }
}

pub(super) fn select(desired: &Desired, observation: &Observation) -> Selected {
    let index = Index {
        policies: desired.policies.values().collect(),
        digest: desired.policies.digest(),
    };
    let selectors = &index.digest.selectors;
    let (mut classes, mut keys) = (Shared::default(), Shared::default());
    let mut selected = Selected {
        of_group: Vec::with_capacity(observation.groups.len()),
        several: Vec::new(),
    };
    let mut found = Vec::new();
    for group in &observation.groups {
        found.clear();
        let class = classes.number(&selectors.classes, &group.storage_class);
        if class != NONE {
            if selectors.unlabelled {
                index.by_label(group, class, NONE, "", &mut found);
            }
            for (key, value) in &group.labels {
                let key = keys.number(&selectors.keys, key);
                if key != NONE {
                    index.by_label(group, class, key, value, &mut found);
                }
            }
            found.sort_unstable();
        }
        let taken = index.taken(&found, &mut selected.several);
        selected.of_group.push(taken);
    }
    selected
}
