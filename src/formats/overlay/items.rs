//! Items of lists that are known by keys: which of an object's items a patch's item means.

use serde_json::Value;
use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

/// Keys of a list, at most two; none for a list of plain values that are merged as a set.
pub(super) type Keys = &'static [&'static str];

/// Up to so many comparisons an index would take longer than looking.
const COMPARISONS_MAX: usize = 256;

/// The values of an item's keys, as texts; "" for a missing one.
pub(super) struct Identity<'a> {
    first: Cow<'a, str>,
    second: Cow<'a, str>,
}

impl<'a> Identity<'a> {
    pub(super) fn of(item: &'a Value, keys: Keys) -> Self {
        let text = |position: usize| match keys.get(position).and_then(|key| item.get(*key)) {
            None | Some(Value::Null) => Cow::Borrowed(""),
            Some(Value::String(text)) => Cow::Borrowed(text.as_str()),
            Some(other) => Cow::Owned(other.to_string()),
        };
        Self {
            first: text(0),
            second: text(1),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_empty() && self.second.is_empty()
    }

    /// Whether two items are one: the same keys, of which a missing one fits any.
    fn fits(&self, other: &Self) -> bool {
        let mut common = false;
        for (a, b) in [(&self.first, &other.first), (&self.second, &other.second)] {
            if a == b {
                common |= !a.is_empty();
            } else if !a.is_empty() && !b.is_empty() {
                return false;
            }
        }
        common
    }
}

/// An object's items, of which each is taken once.
pub(super) struct Items {
    keys: Keys,
    items: Vec<Option<Value>>,
    index: Option<Index>,
}

impl Items {
    pub(super) fn new(items: Vec<Value>, keys: Keys, wanted: usize) -> Self {
        let long = items.len().saturating_mul(wanted) > COMPARISONS_MAX;
        let index = long.then(|| Index::new(&items, keys));
        Self {
            keys,
            items: items.into_iter().map(Some).collect(),
            index,
        }
    }

    /// Takes the first item that fits, of those that are left.
    pub(super) fn take(&mut self, wanted: &Identity) -> Option<Value> {
        let keys = self.keys;
        let fits = |old: &Option<Value>| {
            old.as_ref()
                .is_some_and(|old| Identity::of(old, keys).fits(wanted))
        };
        let position = match &mut self.index {
            None => self.items.iter().position(fits),
            Some(index) => index
                .first(wanted, &self.items)
                .filter(|position| fits(&self.items[*position])),
        };
        self.items[position?].take()
    }

    /// What nobody took.
    pub(super) fn into_rest(self) -> impl Iterator<Item = Value> {
        self.items.into_iter().flatten()
    }
}

/// What a place of the index holds items by.
#[derive(Clone, Copy, Hash)]
enum By {
    Both,
    First,
    Second,
}

/// Positions of items by keyed hashes of their keys, in their order.
struct Index {
    hasher: RandomState,
    positions: HashMap<u64, VecDeque<usize>>,
}

impl Index {
    fn new(items: &[Value], keys: Keys) -> Self {
        let mut index = Self {
            hasher: RandomState::new(),
            positions: HashMap::with_capacity(items.len()),
        };
        for (position, item) in items.iter().enumerate() {
            let Identity { first, second } = Identity::of(item, keys);
            let places = [
                (By::Both, &*first, &*second),
                (By::First, &*first, ""),
                (By::Second, "", &*second),
            ];
            for place in places {
                if !(place.1.is_empty() && place.2.is_empty()) {
                    let key = index.hasher.hash_one(place);
                    index.positions.entry(key).or_default().push_back(position);
                }
            }
        }
        index
    }

    /// The first item that is left and fits. Every item at one of the places fits, so those that were taken are looked at once.
    fn first(&mut self, wanted: &Identity, items: &[Option<Value>]) -> Option<usize> {
        let (first, second) = (&*wanted.first, &*wanted.second);
        let places = match (first.is_empty(), second.is_empty()) {
            (true, true) => Vec::new(),
            // A key that is not asked for may have any value.
            (false, true) => vec![(By::First, first, "")],
            (true, false) => vec![(By::Second, "", second)],
            // A key that an item does not have fits.
            (false, false) => vec![
                (By::Both, first, second),
                (By::Both, first, ""),
                (By::Both, "", second),
            ],
        };
        let mut found: Option<usize> = None;
        for place in places {
            let Some(positions) = self.positions.get_mut(&self.hasher.hash_one(place)) else {
                continue;
            };
            while positions
                .front()
                .is_some_and(|position| items[*position].is_none())
            {
                positions.pop_front();
            }
            if let Some(position) = positions.front() {
                found = Some(found.map_or(*position, |other| other.min(*position)));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::panic,
        clippy::disallowed_methods,
        clippy::print_stderr,
        reason = "tests; the seed of random ones is printed, and taken from the environment"
    )]

    use super::*;
    use serde_json::json;

    #[test]
    fn the_index_takes_what_looking_at_each_takes() {
        let seed =
            std::env::var("COUCHESTOR_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut taken, rounds) = (0, 3_000);
        for _ in 0..rounds {
            let keys: Keys = if random.bool() {
                &["port", "protocol"]
            } else {
                &["port"]
            };
            let mut item = |nothing: bool| {
                let mut item = json!({"n": random.u32(..)});
                if !nothing || random.u8(..3) > 0 {
                    item["port"] = json!(random.u8(..6));
                }
                if random.u8(..3) > 0 {
                    item["protocol"] = json!(["TCP", "UDP", ""][random.usize(..3)]);
                }
                item
            };
            let items: Vec<Value> = (0..12).map(|_| item(true)).collect();
            let wanted: Vec<Value> = (0..12).map(|_| item(keys.len() > 1)).collect();
            let mut plain = Items::new(items.clone(), keys, 0);
            let mut indexed = Items::new(items, keys, COMPARISONS_MAX + 1);
            assert!(plain.index.is_none() && indexed.index.is_some());
            for wanted in &wanted {
                let wanted = Identity::of(wanted, keys);
                let found = indexed.take(&wanted);
                taken += usize::from(found.is_some());
                assert_eq!(found, plain.take(&wanted), "seed {seed}");
            }
            assert!(indexed.into_rest().eq(plain.into_rest()), "seed {seed}");
        }
        eprintln!("seed {seed}: {rounds} lists, {taken} items taken");
        assert!(taken > rounds, "seed {seed}");
    }
}
