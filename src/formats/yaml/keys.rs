//! Which keys a mapping has already.

use super::{Key, Node};
use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};

/// Mappings of fewer entries are searched for a key; larger ones keep a table, so that no mapping costs its square.
const SMALL: usize = 24;

/// What hashes keys: nobody outside can make many keys fall on one number.
pub(super) type Secret = RandomState;

/// The keys of a mapping: for a large one the indices of its entries by the hash of their keys. No key is copied.
#[derive(Default)]
pub(super) struct Keys(Option<Box<Table>>);

#[derive(Default)]
struct Table {
    known: HashMap<u64, u32, BuildHasherDefault<Hashed>>,
    /// Entries whose hash another key has.
    others: Vec<u32>,
}

/// Hands on what is a hash already.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |sum, byte| sum << 8 | u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl Keys {
    /// The line of the entry that has a key already; if there is none, the key is kept as that of the entry which comes next.
    pub(super) fn keep(&mut self, secret: &Secret, text: &str, entries: &[(Key, Node)]) -> Option<u32> {
        if entries.len() < SMALL {
            return line_of(text, entries);
        }
        let first =
            self.table(secret, entries)
                .insert(secret.hash_one(text), text, entries.len(), entries)?;
        entries.get(first).map(|(other, _)| other.line)
    }

    /// Whether an entry has a key.
    pub(super) fn has(&mut self, secret: &Secret, text: &str, entries: &[(Key, Node)]) -> bool {
        if entries.len() < SMALL {
            return line_of(text, entries).is_some();
        }
        let hash = secret.hash_one(text);
        self.table(secret, entries).find(hash, text, entries).is_some()
    }

    fn table(&mut self, secret: &Secret, entries: &[(Key, Node)]) -> &mut Table {
        self.0.get_or_insert_with(|| {
            let mut table = Box::<Table>::default();
            for (index, (key, _)) in entries.iter().enumerate().filter(|(_, (key, _))| !key.merge) {
                table.insert(secret.hash_one(&key.text), &key.text, index, entries);
            }
            table
        })
    }
}

fn line_of(text: &str, entries: &[(Key, Node)]) -> Option<u32> {
    // Keys that are not the same mostly end otherwise: those need no call that compares them.
    let last = text.as_bytes().last();
    let same = |(key, _): &&(Key, Node)| key.text.as_bytes().last() == last && key.text == text && !key.merge;
    entries.iter().find(same).map(|(key, _)| key.line)
}

impl Table {
    fn find(&self, hash: u64, text: &str, entries: &[(Key, Node)]) -> Option<usize> {
        let same = |at: &&u32| {
            entries
                .get(**at as usize)
                .is_some_and(|(key, _)| key.text == text)
        };
        let known = self.known.get(&hash)?;
        std::iter::once(known)
            .chain(&self.others)
            .find(same)
            .map(|at| *at as usize)
    }

    /// Keeps the key of an entry that will stand at `index`, if none has it.
    fn insert(&mut self, hash: u64, text: &str, index: usize, entries: &[(Key, Node)]) -> Option<usize> {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        match self.known.entry(hash) {
            Entry::Vacant(free) => {
                free.insert(index);
                None
            }
            Entry::Occupied(_) => {
                let found = self.find(hash, text, entries);
                if found.is_none() {
                    self.others.push(index);
                }
                found
            }
        }
    }
}
