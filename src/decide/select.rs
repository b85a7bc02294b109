//! Which policy takes a volume: decided once per group of volumes that are alike.

use crate::model::desired::{Desired, Policy};
use crate::model::observation::{Group, Observation};
use crate::model::policies::Digest;
use crate::model::quick::Table;
use crate::model::selectors::{NONE, Selectors, hash};
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
    policies: &'a [&'a Policy],
    digest: &'a Digest,
}

/// What a group could be selected by: its class with one of its labels.
struct Asked<'a> {
    /// The group's place.
    group: u32,
    class: u32,
    key: u32,
    value: &'a str,
    /// Its hash, and then the place of the last policy that has it.
    found: u64,
}

impl Index<'_> {
    /// Policies that take a group by its class and one of its labels, and whether they are enabled.
    fn by_label(&self, group: &Group, asked: &Asked, found: &mut Vec<(u32, bool)>) {
        let last = asked.found as u32;
        for (place, selector) in self
            .digest
            .selectors
            .chain(last, asked.class, asked.key, asked.value)
        {
            let mut labels = self.policies[place as usize].claim_labels.iter();
            if !selector.more || labels.all(|(key, value)| group.label(key) == Some(value.as_str())) {
                found.push((place, selector.enabled));
            }
        }
    }

    fn taken(&self, found: &[(u32, bool)], several: &mut Vec<String>) -> Taken {
        let mut enabled = found.iter().filter(|(_, enabled)| *enabled);
        match (enabled.next(), enabled.next(), found.first()) {
            (Some(_), Some(_), _) => {
                let enabled = found.iter().filter(|(_, enabled)| *enabled);
                let names = enabled.map(|(place, _)| self.policies[*place as usize].name.as_str());
                several.push(names.collect::<Vec<_>>().join(", "));
                Taken::Several((several.len() - 1) as u32)
            }
            (Some((one, _)), None, _) | (None, _, Some((one, _))) => Taken::By(*one),
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

/// What all groups could be selected by, in order of group, with the policies that may be meant. That is found in steps for all of
/// them: their looks at memory, which take most of the time, then wait together and not one for the other.
fn asked<'a>(selectors: &Selectors, groups: &'a [Group]) -> Vec<Asked<'a>> {
    let labels = groups.iter().zip(0..).flat_map(|(group, place)| {
        let labels = group.labels.iter();
        labels.map(move |(key, value)| (place, key, &**value))
    });
    // A list that grows is copied again and again; most groups have a label or two.
    let mut found: Vec<(u32, &Arc<str>, &str)> = Vec::with_capacity(2 * groups.len());
    found.extend(labels);
    let mut labels = found.into_iter().peekable();
    let (mut classes, mut keys) = (Shared::default(), Shared::default());
    let mut all = Vec::with_capacity(groups.len());
    for (group, place) in groups.iter().zip(0..) {
        let class = classes.number(&selectors.classes, &group.storage_class);
        let mut ask = |key, value| {
            all.push(Asked {
                group: place,
                class,
                key,
                value,
                found: 0,
            });
        };
        if selectors.unlabelled && class != NONE {
            ask(NONE, "");
        }
        while let Some((_, key, value)) = labels.next_if(|(group, ..)| *group == place) {
            let key = keys.number(&selectors.keys, key);
            if key != NONE && class != NONE {
                ask(key, value);
            }
        }
    }
    for one in &mut all {
        one.found = hash(one.class, one.key, one.value);
    }
    for one in &mut all {
        one.found = u64::from(selectors.last(one.found));
    }
    all
}

/// Selects. The policies are in order of name.
pub(super) fn select(policies: &[&Policy], desired: &Desired, observation: &Observation) -> Selected {
    let digest = desired.policies.digest();
    let index = Index { policies, digest };
    let mut asked = asked(&index.digest.selectors, &observation.groups)
        .into_iter()
        .peekable();
    let mut selected = Selected {
        of_group: Vec::with_capacity(observation.groups.len()),
        several: Vec::new(),
    };
    let mut found = Vec::new();
    for (group, place) in observation.groups.iter().zip(0..) {
        found.clear();
        while let Some(one) = asked.next_if(|one| one.group == place) {
            index.by_label(group, &one, &mut found);
        }
        found.sort_unstable();
        let taken = index.taken(&found, &mut selected.several);
        selected.of_group.push(taken);
    }
    selected
}
