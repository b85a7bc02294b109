//! Items of lists that are known by keys: which of an object's items a patch's item means.

use serde_json::Value;
use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

/// Keys of a list, at most two; none for a list of plain values that are merged as a set.
pub(super) type Keys = &'static [&'static str];

/// Up to so many comparisons an index would take longer than looking.
const COMPARISONS_MAX: usize = 256;

/// The values of an item's keys, as texts; "" for a missing one, but a port without a protocol is one of TCP, as the API server
/// reads it.
pub(super) struct Identity<'a> {
    first: Cow<'a, str>,
    second: Cow<'a, str>,
}

impl<'a> Identity<'a> {
    pub(super) fn of(item: &'a Value, keys: Keys) -> Self {
        let text = |position: usize| {
            let key = keys.get(position).copied();
            match key.and_then(|key| item.get(key)) {
                None | Some(Value::Null) if key == Some("protocol") => Cow::Borrowed("TCP"),
                None | Some(Value::Null) => Cow::Borrowed(""),
                Some(Value::String(text)) => Cow::Borrowed(text.as_str()),
                Some(other) => Cow::Owned(other.to_string()),
            }
        };
        Self {
            first: text(0),
            second: text(1),
        }
    }

    /// Whether there is nothing to know it by: the first key says which item it is, the second tells those of one first key apart.
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// Whether two items are one: the same first key, and the same second one, if both have it.
    fn fits(&self, other: &Self) -> bool {
        let (a, b) = (&self.second, &other.second);
        !self.is_empty() && self.first == other.first && (a == b || a.is_empty() || b.is_empty())
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

    /// Takes the item with the same keys, else the first that fits, of those that are left.
    pub(super) fn take(&mut self, wanted: &Identity) -> Option<Value> {
        let keys = self.keys;
        let holds = |old: &Option<Value>, fits: &dyn Fn(&Identity) -> bool| {
            old.as_ref().is_some_and(|old| fits(&Identity::of(old, keys)))
        };
        let fits = |old: &Identity| old.fits(wanted);
        let same = |old: &Identity| old.fits(wanted) && old.second == wanted.second;
        let position = match &mut self.index {
            None => {
                let exact = self.items.iter().position(|old| holds(old, &same));
                exact.or_else(|| self.items.iter().position(|old| holds(old, &fits)))
            }
            Some(index) => index
                .first(wanted, &self.items)
                .filter(|position| holds(&self.items[*position], &fits)),
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
            if first.is_empty() {
                continue;
            }
            for place in [(By::Both, &*first, &*second), (By::First, &*first, "")] {
                let key = index.hasher.hash_one(place);
                index.positions.entry(key).or_default().push_back(position);
            }
        }
        index
    }

    /// The item that is left and has the same keys, else the first that fits. Every item at one of the places fits, so those that
    /// were taken are looked at once.
    fn first(&mut self, wanted: &Identity, items: &[Option<Value>]) -> Option<usize> {
        let (first, second) = (&*wanted.first, &*wanted.second);
        let less = match second.is_empty() {
            // A key that is not asked for may have any value.
            true => (By::First, first, ""),
            // A key that an item does not have fits.
            false => (By::Both, first, ""),
        };
        [(By::Both, first, second), less].into_iter().find_map(|place| {
            let positions = self.positions.get_mut(&self.hasher.hash_one(place))?;
            while positions
                .front()
                .is_some_and(|position| items[*position].is_none())
            {
                positions.pop_front();
            }
            positions.front().copied()
        })
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
    fn an_item_with_the_same_keys_is_taken_before_one_that_fits() {
        let ports = json!([{"port": 53, "n": "tcp"}, {"port": 53, "protocol": "UDP", "n": "udp"}]);
        let zones = json!([{"port": 1, "n": "any"}, {"port": 1, "zone": "a", "n": "a"}, {"port": 1, "zone": "b", "n": "b"}]);
        let rows: [(&Value, Keys, Value, Option<&str>); 8] = [
            (
                &ports,
                &["port", "protocol"],
                json!({"port": 53, "protocol": "UDP"}),
                Some("udp"),
            ),
            (
                &ports,
                &["port", "protocol"],
                json!({"port": 53, "protocol": "TCP"}),
                Some("tcp"),
            ),
            (&ports, &["port", "protocol"], json!({"port": 53}), Some("tcp")),
            (
                &ports,
                &["port", "protocol"],
                json!({"port": 53, "protocol": "SCTP"}),
                None,
            ),
            (&ports, &["port", "protocol"], json!({"protocol": "UDP"}), None),
            (
                &zones,
                &["port", "zone"],
                json!({"port": 1, "zone": "b"}),
                Some("b"),
            ),
            (
                &zones,
                &["port", "zone"],
                json!({"port": 1, "zone": "c"}),
                Some("any"),
            ),
            (&zones, &["port", "zone"], json!({"port": 1}), Some("any")),
        ];
        for (items, keys, wanted, found) in rows {
            for length in [0, COMPARISONS_MAX + 1] {
                let mut items = Items::new(items.as_array().unwrap().clone(), keys, length);
                let taken = items.take(&Identity::of(&wanted, keys));
                assert_eq!(
                    taken.as_ref().and_then(|one| one["n"].as_str()),
                    found,
                    "{wanted}"
                );
            }
        }
    }

    #[test]
    fn the_index_takes_what_looking_at_each_takes() {
        let seed =
            std::env::var("COUCHESTOR_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut taken, rounds) = (0, 3_000);
        for _ in 0..rounds {
            let kinds: [Keys; 3] = [&["port", "protocol"], &["port", "zone"], &["port"]];
            let keys = kinds[random.usize(..kinds.len())];
            let mut item = |nothing: bool| {
                let mut item = json!({"n": random.u32(..)});
                if !nothing || random.u8(..3) > 0 {
                    item["port"] = json!(random.u8(..6));
                }
                for second in ["protocol", "zone"] {
                    if random.u8(..3) > 0 {
                        item[second] = json!(["TCP", "UDP", ""][random.usize(..3)]);
                    }
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
