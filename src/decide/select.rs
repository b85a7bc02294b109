//! Which policy takes a volume: decided once per group of volumes that are alike.

use crate::model::desired::{Desired, Policy};
use crate::model::observation::{Group, Observation};
use crate::model::quick::{Quick, Table};
use std::hash::Hasher;
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

/// Stands for what no policy names, and for the end of a chain.
const NONE: u32 = u32::MAX;

/// What a policy selects by, close together: ten thousand policies lie far apart.
struct Selector {
    /// Its StorageClass, by the number of that.
    class: u32,
    /// The key of its first label, by the number of that.
    key: u32,
    /// The first label's value, as a part of [`Index::values`].
    value: (u32, u32),
    /// The policy with the same hash before it.
    before: u32,
    /// Whether it demands more than one label.
    more: bool,
}

/// Policies by class and the first label that is demanded: no group is compared with every policy.
#[derive(Default)]
struct Index<'a> {
    policies: Vec<&'a Policy>,
    selectors: Vec<Selector>,
    values: String,
    /// A part of the hash, and the last policy that has it.
    slots: Vec<(u32, u32)>,
    /// Numbers of StorageClasses, and of keys of first labels: nobody looks for others.
    classes: Table<&'a str, u32>,
    keys: Table<&'a str, u32>,
    /// Whether a policy demands no label.
    unlabelled: bool,
}

fn hash(class: u32, key: u32, value: &str) -> u64 {
    let mut hash = Quick::default();
    hash.write_u64(u64::from(class) << 32 | u64::from(key));
    hash.write(value.as_bytes());
    hash.finish()
}

/// The number of a text; most are the same as the one before.
fn number<'a>(known: &mut Table<&'a str, u32>, last: &mut (&'a str, u32), text: &'a str) -> u32 {
    if last.0 != text || last.1 == NONE {
        let next = known.len() as u32;
        *last = (text, *known.entry(text).or_insert(next));
    }
    last.1
}

impl<'a> Index<'a> {
    fn of(policies: Vec<&'a Policy>) -> Self {
        let mut index = Self {
            selectors: Vec::with_capacity(policies.len()),
            // At most half of them are taken.
            slots: vec![(0, NONE); (policies.len() * 2).next_power_of_two().max(2)],
            ..Self::default()
        };
        let (mut class, mut key) = (("", NONE), ("", NONE));
        for (policy, place) in policies.iter().zip(0_u32..) {
            let first = policy.claim_labels.first_key_value();
            let from = index.values.len() as u32;
            let key = match first {
                Some((label, value)) => {
                    index.values.push_str(value);
                    number(&mut index.keys, &mut key, label)
                }
                None => {
                    index.unlabelled = true;
                    NONE
                }
            };
            let class = number(&mut index.classes, &mut class, &policy.storage_class);
            let value = first.map_or("", |(_, value)| value);
            let hash = hash(class, key, value);
            let slot = index.slot(hash);
            let before = std::mem::replace(&mut index.slots[slot], (hash as u32, place)).1;
            index.selectors.push(Selector {
                class,
                key,
                value: (from, index.values.len() as u32),
                before,
                more: policy.claim_labels.len() > 1,
            });
        }
        index.policies = policies;
        index
    }

    /// Where the policies of a hash are, or would be.
    fn slot(&self, hash: u64) -> usize {
        let last = self.slots.len() - 1;
        let mut slot = (hash >> 32) as usize & last;
        while self.slots[slot].1 != NONE && self.slots[slot].0 != hash as u32 {
            slot = (slot + 1) & last;
        }
        slot
    }

    /// Policies that take a group by its class and one of its labels.
    fn by_label(&self, group: &Group, class: u32, key: u32, value: &str, found: &mut Vec<usize>) {
        let mut next = self.slots[self.slot(hash(class, key, value))].1;
        while let Some(selector) = self.selectors.get(next as usize) {
            let own = &self.values[selector.value.0 as usize..selector.value.1 as usize];
            let place = next as usize;
            next = selector.before;
            let mut labels = self.policies[place].claim_labels.iter();
            if (selector.class, selector.key, own) == (class, key, value)
                && (!selector.more || labels.all(|(key, value)| group.label(key) == Some(value.as_str())))
            {
                found.push(place);
            }
        }
    }

    fn taken(&self, found: &[usize], several: &mut Vec<String>) -> Taken {
        let mut enabled = found.iter().filter(|index| self.policies[**index].enabled);
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
    fn number(&mut self, known: &Table<&str, u32>, text: &Arc<str>) -> u32 {
        let at = Arc::as_ptr(text).cast::<u8>() as usize;
        let number = || known.get(&**text).copied().unwrap_or(NONE);
        *self.0.entry(at).or_insert_with(number)
    }
}

pub(super) fn select(desired: &Desired, observation: &Observation) -> Selected {
    let index = Index::of(desired.policies.values().collect());
    let (mut classes, mut keys) = (Shared::default(), Shared::default());
    let mut selected = Selected {
        of_group: Vec::with_capacity(observation.groups.len()),
        several: Vec::new(),
    };
    let mut found = Vec::new();
    for group in &observation.groups {
        found.clear();
        let class = classes.number(&index.classes, &group.storage_class);
        if class != NONE {
            if index.unlabelled {
                index.by_label(group, class, NONE, "", &mut found);
            }
            for (key, value) in &group.labels {
                let key = keys.number(&index.keys, key);
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
