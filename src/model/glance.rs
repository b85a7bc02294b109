//! The volumes of an observation, and beside the records what most decisions take of them, close together: a record has three lines of
//! the memory, and a look at one field of each of a hundred thousand waits for as many.

use super::observation::{Backing, BoundVolume, UNKNOWN};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::ops::{Deref, DerefMut};
use std::sync::OnceLock;

/// Volumes in order of claim. Whoever changes one makes the glances void.
#[derive(Default)]
pub struct Volumes {
    all: Vec<BoundVolume>,
    glances: OnceLock<Vec<Glance>>,
}

/// Copies whose pools stand in a glance.
const FEW: usize = 3;

/// A volume at a glance.
pub(crate) struct Glance {
    /// What policies select it by.
    pub(crate) group: u32,
    /// The pools of its copies, or [`UNKNOWN`].
    pools: [u32; FEW],
    /// How many copies it has; of a volume that no engine moves none are known.
    copies: u8,
    /// Whether a person keeps it where it is.
    pub(crate) pinned: bool,
}

impl Glance {
    fn of(volume: &BoundVolume) -> Self {
        let copies = match &volume.backing {
            Backing::Mayastor(of) => &*of.copies,
            _ => &[],
        };
        let mut pools = [UNKNOWN; FEW];
        for (pool, copy) in pools.iter_mut().zip(copies) {
            *pool = copy.pool;
        }
        Self {
            group: volume.group,
            pools,
            copies: u8::try_from(copies.len()).unwrap_or(u8::MAX),
            pinned: volume.pin.is_some(),
        }
    }

    /// The pools of its copies; `None` when only the record holds them all.
    pub(crate) fn pools(&self) -> Option<&[u32]> {
        self.pools.get(..usize::from(self.copies))
    }
}

impl Volumes {
    /// One for each volume, in their order.
    pub(crate) fn glances(&self) -> &[Glance] {
        self.glances
            .get_or_init(|| self.all.iter().map(Glance::of).collect())
    }
}

impl Deref for Volumes {
    type Target = Vec<BoundVolume>;

    fn deref(&self) -> &Self::Target {
        &self.all
    }
}

impl DerefMut for Volumes {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.glances = OnceLock::new();
        &mut self.all
    }
}

impl From<Vec<BoundVolume>> for Volumes {
    fn from(all: Vec<BoundVolume>) -> Self {
        Self {
            all,
            glances: OnceLock::new(),
        }
    }
}

impl Clone for Volumes {
    fn clone(&self) -> Self {
        // Copies are made to be changed.
        self.all.clone().into()
    }
}

impl PartialEq for Volumes {
    fn eq(&self, other: &Self) -> bool {
        self.all == other.all
    }
}

impl std::fmt::Debug for Volumes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.all.fmt(f)
    }
}

impl Serialize for Volumes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.all.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Volumes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Vec::deserialize(from).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::observation::{CopyAt, MayastorVolume};

    fn volume(pools: &[u32]) -> BoundVolume {
        let copies = pools.iter().map(|pool| CopyAt { pool: *pool, node: 0 });
        BoundVolume {
            name: "pv".into(),
            namespace: "db".into(),
            claim: "a".into(),
            backing: Backing::Mayastor(MayastorVolume {
                uuid: None,
                size: 1,
                copies: copies.collect(),
                topology: 0,
                wanted_copies: 1,
                thin: false,
                encrypted: false,
                unfit: None,
            }),
            group: 7,
            last_migration: None,
            created: None,
            pin: None,
        }
    }

    #[test]
    fn a_glance_says_what_the_record_says_and_does_not_outlive_it() {
        let mut volumes = Volumes::from(vec![volume(&[4]), volume(&[1, 2, 3]), volume(&[1, 2, 3, 4])]);
        let pools = |volumes: &Volumes| -> Vec<Option<Vec<u32>>> {
            let all = volumes.glances().iter();
            all.map(|glance| glance.pools().map(<[u32]>::to_vec)).collect()
        };
        assert_eq!(
            pools(&volumes),
            [Some(vec![4]), Some(vec![1, 2, 3]), None],
            "more than a few stand in the record"
        );
        volumes[0].backing = Backing::Local;
        (volumes[1].group, volumes[1].pin) = (8, Some(crate::model::observation::Pin::Always));
        assert_eq!(pools(&volumes)[0], Some(Vec::new()), "no engine moves it");
        let second = &volumes.glances()[1];
        assert_eq!((second.group, second.pinned), (8, true));
    }
}
