//! Where each claim's volume stands in an observation: a table of hashes and indices beside the records, which hold the names.

use super::observation::BoundVolume;
use super::quick::Quick;
use std::hash::Hasher;
use std::sync::OnceLock;

/// How far from its place a claim may stand. Who chooses names that meet gets a search by halves instead.
const PROBES_MAX: usize = 64;

/// Marks a slot that nothing stands in.
const EMPTY: u32 = u32::MAX;

/// Where each claim's first volume stands. It is made with the observation, or at the first look when that was read from a file.
#[derive(Clone, Default)]
pub(super) struct Claims(OnceLock<Slots>);

#[derive(Clone)]
struct Slots {
    /// A part of the hash, and the index of the volume.
    slots: Box<[(u32, u32)]>,
    /// Whether a claim found no slot near its place.
    crowded: bool,
    /// Whether a claim has several volumes.
    several: bool,
}

/// What was read is the same, whether or not something has been looked for since.
impl PartialEq for Claims {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl std::fmt::Debug for Claims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Claims")
    }
}

/// The hash of a namespace, to which that of its claims' names is added.
pub(super) fn begun(namespace: &str) -> Quick {
    let mut hash = Quick::default();
    hash.write(namespace.as_bytes());
    hash
}

/// The hash of a claim.
pub(super) fn hash(mut begun: Quick, claim: &str) -> u64 {
    begun.write(claim.as_bytes());
    begun.finish()
}

impl Slots {
    /// The table of volumes in order of claim, with the hashes of their claims.
    fn of(volumes: &[BoundVolume], hashes: impl Iterator<Item = u64>) -> Self {
        // Three quarters are filled.
        let count = volumes.len() + volumes.len() / 3 + 1;
        let mut all = Self {
            slots: vec![(0, EMPTY); count].into(),
            crowded: false,
            several: false,
        };
        let mut last: Option<(u64, &BoundVolume)> = None;
        for ((volume, index), hash) in volumes.iter().zip(0_u32..EMPTY).zip(hashes) {
            // Names lie far apart, and are looked at only when their hashes are the same.
            let same = |(other, before): (u64, &BoundVolume)| other == hash && before.key() == volume.key();
            if last.replace((hash, volume)).is_some_and(same) {
                all.several = true;
                continue;
            }
            let empty = all.near(hash).find(|slot| all.slots[*slot].1 == EMPTY);
            match empty {
                Some(slot) => all.slots[slot] = (hash as u32, index),
                None => all.crowded = true,
            }
        }
        all
    }

    /// The same where the hashes have yet to be made.
    fn read(volumes: &[BoundVolume]) -> Self {
        let hash = |volume: &BoundVolume| hash(begun(&volume.namespace), &volume.claim);
        Self::of(volumes, volumes.iter().map(hash))
    }

    /// The slots in which a hash may stand, from the best on.
    fn near(&self, hash: u64) -> impl Iterator<Item = usize> + use<> {
        let count = self.slots.len();
        let home = ((u128::from(hash) * count as u128) >> 64) as usize;
        let wrapped = move |slot| if slot < count { slot } else { slot - count };
        (home..home + PROBES_MAX.min(count)).map(wrapped)
    }
}

impl Slots {
    /// The index that most likely belongs to a hash: nobody has compared names yet.
    fn likely(&self, hash: u64) -> u32 {
        let slots = self.near(hash).map(|slot| self.slots[slot]);
        let mut ends = slots.skip_while(|(part, index)| *index != EMPTY && *part != hash as u32);
        ends.next().map_or(EMPTY, |(_, index)| index)
    }
}

impl Claims {
    /// The table of volumes in order of claim, with the hashes of their claims.
    pub(super) fn of(volumes: &[BoundVolume], hashes: impl Iterator<Item = u64>) -> Self {
        Self(OnceLock::from(Slots::of(volumes, hashes)))
    }

    /// The indices of the first volumes of many claims. Every step is done for all of them, so that their looks at memory, which take
    /// most of the time, wait together and not one for the other.
    pub(super) fn first_of_each<'c>(
        &self,
        volumes: &[BoundVolume],
        claims: impl Iterator<Item = (&'c str, &'c str)> + Clone,
    ) -> Vec<Option<usize>> {
        let table = self.0.get_or_init(|| Slots::read(volumes));
        let hashes = claims
            .clone()
            .map(|(namespace, claim)| hash(begun(namespace), claim));
        let hashes: Vec<u64> = hashes.collect();
        let likely: Vec<u32> = hashes.into_iter().map(|hash| table.likely(hash)).collect();
        let found = claims.zip(likely).map(|(key, likely)| {
            let likely = likely as usize;
            match volumes.get(likely).is_some_and(|volume| volume.key() == key) {
                true => Some(likely),
                false => self.first(volumes, key.0, key.1),
            }
        });
        found.collect()
    }

    /// Whether a claim has several volumes: there should be none, and then nobody needs to compare names to find that out.
    pub(super) fn has_several(&self, volumes: &[BoundVolume]) -> bool {
        self.0.get_or_init(|| Slots::read(volumes)).several
    }

    /// The index of a claim's first volume.
    pub(super) fn first(&self, volumes: &[BoundVolume], namespace: &str, claim: &str) -> Option<usize> {
        let table = self.0.get_or_init(|| Slots::read(volumes));
        let (hash, key) = (hash(begun(namespace), claim), (namespace, claim));
        for slot in table.near(hash) {
            let (part, index) = table.slots[slot];
            if index == EMPTY {
                return None;
            }
            let index = index as usize;
            if part == hash as u32 && volumes.get(index).is_some_and(|volume| volume.key() == key) {
                return Some(index);
            }
        }
        if !table.crowded {
            return None;
        }
        let first = volumes.partition_point(|volume| volume.key() < key);
        volumes
            .get(first)
            .is_some_and(|volume| volume.key() == key)
            .then_some(first)
    }
}
