//! What policies select volumes by, as numbers and one text.

use super::desired::Policy;
use super::quick::{Quick, Table};
use std::hash::Hasher;

/// Stands for what no policy names, and for the end of a chain.
pub(crate) const NONE: u32 = u32::MAX;

/// What a policy selects by, close together: ten thousand policies lie far apart.
pub(crate) struct Selector {
    /// Its StorageClass, by the number of that.
    class: u32,
    /// The key of its first label, by the number of that.
    key: u32,
    /// The first label's value, as a part of [`Selectors::values`].
    value: (u32, u32),
    /// The policy with the same hash before it.
    before: u32,
    /// Whether it demands more than one label.
    pub(crate) more: bool,
    /// Whether it proposes anything.
    pub(crate) enabled: bool,
}

/// Policies by class and the first label that is demanded: no group is compared with every policy.
#[derive(Default)]
pub(crate) struct Selectors {
    selectors: Vec<Selector>,
    values: String,
    /// A part of the hash, and the last policy that has it.
    slots: Vec<(u32, u32)>,
    /// Numbers of StorageClasses, and of keys of first labels: nobody looks for others.
    pub(crate) classes: Table<Box<str>, u32>,
    pub(crate) keys: Table<Box<str>, u32>,
    /// Whether a policy demands no label.
    pub(crate) unlabelled: bool,
}

/// The hash of a class with a label, by the numbers of class and key.
pub(crate) fn hash(class: u32, key: u32, value: &str) -> u64 {
    let mut hash = Quick::default();
    hash.write_u64(u64::from(class) << 32 | u64::from(key));
    hash.write(value.as_bytes());
    hash.finish()
}

/// The number of a text; most are the same as the one before.
fn number<'a>(known: &mut Table<Box<str>, u32>, last: &mut (&'a str, u32), text: &'a str) -> u32 {
    if last.0 != text || last.1 == NONE {
        let next = known.len() as u32;
        *last = (text, *known.entry(text.into()).or_insert(next));
    }
    last.1
}

impl Selectors {
    /// The selectors of policies in order of name.
    pub(super) fn of<'a>(policies: impl ExactSizeIterator<Item = &'a Policy>) -> Self {
        let mut index = Self {
            selectors: Vec::with_capacity(policies.len()),
            // At most half of them are taken.
            slots: vec![(0, NONE); (policies.len() * 2).next_power_of_two().max(2)],
            ..Self::default()
        };
        let (mut class, mut key) = (("", NONE), ("", NONE));
        for (policy, place) in policies.zip(0_u32..) {
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
                enabled: policy.enabled,
            });
        }
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

    /// The last policy that has a hash, by its place.
    pub(crate) fn last(&self, hash: u64) -> u32 {
        self.slots[self.slot(hash)].1
    }

    /// Of the policies that have the hash of one, which is the last, those that have a class and a first label.
    pub(crate) fn chain(
        &self,
        last: u32,
        class: u32,
        key: u32,
        value: &str,
    ) -> impl Iterator<Item = (u32, &Selector)> {
        let mut next = last;
        std::iter::from_fn(move || {
            loop {
                let (place, selector) = (next, self.selectors.get(next as usize)?);
                next = selector.before;
                let own = &self.values[selector.value.0 as usize..selector.value.1 as usize];
                if (selector.class, selector.key, own) == (class, key, value) {
                    return Some((place, selector));
                }
            }
        })
    }
}
