//! The policies of a revision, with a digest of them that is made once: plans of the same revision need not read ten thousand
//! policies again, each in its own place of the memory.

use super::desired::{Measure, Policy, Signal};
use super::ids::PolicyName;
use super::quick::Table;
use super::selectors::Selectors;
use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::num::NonZeroU32;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Policies by name. Whoever changes one makes the digest void.
#[derive(Default)]
pub struct Policies {
    all: BTreeMap<PolicyName, Policy>,
    digest: OnceLock<Digest>,
}

impl Policies {
    pub(crate) fn digest(&self) -> &Digest {
        self.digest.get_or_init(|| Digest::of(&self.all))
    }
}

impl Deref for Policies {
    type Target = BTreeMap<PolicyName, Policy>;

    fn deref(&self) -> &Self::Target {
        &self.all
    }
}

impl DerefMut for Policies {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.digest = OnceLock::new();
        &mut self.all
    }
}

impl From<BTreeMap<PolicyName, Policy>> for Policies {
    fn from(all: BTreeMap<PolicyName, Policy>) -> Self {
        Self {
            all,
            digest: OnceLock::new(),
        }
    }
}

impl FromIterator<(PolicyName, Policy)> for Policies {
    fn from_iter<I: IntoIterator<Item = (PolicyName, Policy)>>(all: I) -> Self {
        BTreeMap::from_iter(all).into()
    }
}

impl Clone for Policies {
    fn clone(&self) -> Self {
        // Copies are made to be changed.
        self.all.clone().into()
    }
}

impl std::fmt::Debug for Policies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.all.fmt(f)
    }
}

/// What a plan needs of every policy, close together; policies by their places in order of name.
pub(crate) struct Digest {
    /// What they select.
    pub(crate) selectors: Selectors,
    /// A rule for each.
    pub(crate) rules: Vec<Rule>,
    /// For each all that it demands, if it has one signal and neither exceptions nor a time for which that must be sustained.
    pub(crate) plain: Vec<Option<Plain>>,
    /// The names of their signals, of which there are few.
    pub(crate) signals: Vec<Arc<str>>,
    /// The first policy of each kind: those of a kind ask the same about the same tiers, and are all switched on or all off.
    pub(crate) kinds: Vec<u32>,
    /// The place of each by its name.
    places: HashMap<Box<str>, u32>,
}

/// A policy in short.
pub(crate) struct Rule {
    /// Its kind, an index of [`Digest::kinds`].
    pub(crate) kind: u32,
    /// Whether it proposes anything.
    pub(crate) enabled: bool,
    /// Whether it only says what it would do.
    pub(crate) dry_run: bool,
    /// Seconds for which a volume must have been there, and for which it rests after a move.
    pub(crate) min_age: i64,
    pub(crate) cooldown: i64,
    /// The part of a tier that must be used before a volume leaves it for a colder one.
    pub(crate) demote_above: f64,
    /// The part of a tier that may be used after a volume came from a colder one.
    pub(crate) promote_below: f64,
}

/// What a plain policy demands. It is looked at for each volume, and two of them share a line of the memory.
pub(crate) struct Plain {
    /// Least part of the window that must have samples.
    pub(crate) min_coverage: f64,
    /// At or above this a volume is hot.
    pub(crate) above: f64,
    /// Below this it is cold.
    pub(crate) below: f64,
    /// Its kind, an index of [`Digest::kinds`].
    pub(crate) kind: u32,
    /// The signal, an index of [`Digest::signals`] and one.
    signal: NonZeroU32,
}

/// Policies that ask the same have the same answers, and ten thousand policies mostly do.
struct Asks<'a>(&'a Policy);

impl Asks<'_> {
    fn measures(&self) -> impl Iterator<Item = (&Measure, Option<u64>)> {
        let of = |signal: &'_ Signal| signal.percentile.map(f64::to_bits);
        let all = self.0.signals.iter().chain(&self.0.not_heat_when);
        all.map(move |signal| (&signal.measure, of(signal)))
    }

    /// What must be sustained is asked of volumes that were watched for long enough.
    fn watched(&self) -> Option<u64> {
        (!self.0.sustained.is_zero()).then_some(self.0.min_coverage.to_bits())
    }
}

impl Hash for Asks<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.enabled.hash(state);
        self.0.window_text.hash(state);
        self.0.sustained.hash(state);
        self.watched().hash(state);
        self.0.signals.len().hash(state);
        self.0.tiers.hash(state);
        for (measure, percentile) in self.measures() {
            std::mem::discriminant(measure).hash(state);
            percentile.hash(state);
        }
    }
}

impl PartialEq for Asks<'_> {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (self.0, other.0);
        a.enabled == b.enabled
            && a.window_text == b.window_text
            && a.sustained == b.sustained
            && self.watched() == other.watched()
            && a.signals.len() == b.signals.len()
            && a.tiers == b.tiers
            && a.excluded_windows == b.excluded_windows
            && self.measures().eq(other.measures())
    }
}

impl Eq for Asks<'_> {}

impl Digest {
    fn of(all: &BTreeMap<PolicyName, Policy>) -> Self {
        let mut known: Table<Asks<'_>, u32> = Table::default();
        let mut digest = Self {
            selectors: Selectors::of(all.values()),
            rules: Vec::with_capacity(all.len()),
            plain: Vec::with_capacity(all.len()),
            signals: Vec::new(),
            kinds: Vec::new(),
            places: all.keys().map(|name| name.as_str().into()).zip(0..).collect(),
        };
        let mut signals: Table<&str, NonZeroU32> = Table::default();
        for (policy, place) in all.values().zip(0_u32..) {
            let kind = *known.entry(Asks(policy)).or_insert_with(|| {
                digest.kinds.push(place);
                (digest.kinds.len() - 1) as u32
            });
            digest.rules.push(Rule {
                kind,
                enabled: policy.enabled,
                dry_run: policy.dry_run,
                min_age: seconds(policy.min_age),
                cooldown: seconds(policy.cooldown),
                demote_above: policy.fullness.demote_above.unwrap_or(f64::NEG_INFINITY),
                promote_below: policy.fullness.promote_below.unwrap_or(f64::INFINITY),
            });
            let plain = plain(policy).map(|signal| {
                let number = *signals.entry(&*signal.name).or_insert_with(|| {
                    digest.signals.push(signal.name.clone());
                    let count = u32::try_from(digest.signals.len()).unwrap_or(u32::MAX);
                    NonZeroU32::new(count).unwrap_or(NonZeroU32::MAX)
                });
                Plain {
                    min_coverage: policy.min_coverage,
                    above: signal.above.unwrap_or(f64::INFINITY),
                    below: signal.below.unwrap_or(f64::NEG_INFINITY),
                    kind,
                    signal: number,
                }
            });
            digest.plain.push(plain);
        }
        digest
    }

    /// The place of a policy in order of name.
    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).map(|place| *place as usize)
    }

    /// The name of a plain policy's signal.
    pub(crate) fn signal(&self, plain: &Plain) -> &str {
        &self.signals[plain.signal.get() as usize - 1]
    }
}

fn seconds(of: Duration) -> i64 {
    i64::try_from(of.as_secs()).unwrap_or(i64::MAX)
}

/// The signal of a policy that can be told in short.
fn plain(policy: &Policy) -> Option<&Signal> {
    let [signal] = &*policy.signals else {
        return None;
    };
    let plain = policy.enabled && policy.not_heat_when.is_empty() && policy.sustained.is_zero();
    plain.then_some(signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_does_not_outlive_what_it_was_made_of() {
        let mut policies = Policies::default();
        assert_eq!(policies.digest().rules.len(), 0);
        policies.retain(|_, _| true);
        assert!(policies.digest.get().is_none(), "who could have changed it, did");
        let copy = policies.clone();
        assert!(copy.digest.get().is_none(), "a copy is made to be changed");
    }
}
