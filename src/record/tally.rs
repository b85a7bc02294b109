//! What statuses count and look up, gathered in one pass: thousands of objects ask about a hundred thousand volumes.

use super::status::Facts;
use crate::model::decision::{LeftAlone, Why};
use crate::model::desired::Policy;
use crate::model::ids::{ClaimRef, TierName};
use crate::model::kinds::volume_migration::Phase;
use crate::model::migration_brief::MigrationBrief;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Claims that a policy's status names: etcd takes a megabyte and a half, and ten thousand policies are ordinary.
const CLAIMS_MAX: usize = 50;

/// What a policy's status counts.
#[derive(Default)]
pub(super) struct OfPolicy<'a> {
    /// Volumes that it takes.
    pub(super) watched: u32,
    /// Those of them that are on its hottest tier.
    pub(super) hot: u32,
    /// Those of them that are on its coldest tier.
    pub(super) cold: u32,
    /// Migrations that run.
    pub(super) active: u32,
    /// Migrations that ended well.
    pub(super) completed: u32,
    /// Migrations that did not.
    pub(super) failed: u32,
    /// The newest one that has ended.
    pub(super) last: Option<&'a MigrationBrief>,
    /// Volumes that it leaves alone, by reason.
    pub(super) left_alone: BTreeMap<&'static str, u32>,
    /// The first of them, with their reasons.
    pub(super) claims: Vec<((&'a str, &'a str), &'static str)>,
    /// Why Prometheus could not be read.
    pub(super) unread: Option<&'a str>,
}

/// Migrations of a claim.
#[derive(Default)]
pub(super) struct OfClaim<'a> {
    /// The first one that runs.
    pub(super) running: Option<&'a MigrationBrief>,
    /// The newest one that has ended.
    pub(super) last: Option<&'a MigrationBrief>,
}

/// Everything that is counted.
pub(super) struct Tally<'a> {
    policies: BTreeMap<&'a str, OfPolicy<'a>>,
    claims: HashMap<&'a ClaimRef, OfClaim<'a>>,
    tiers: BTreeMap<&'a TierName, u32>,
    /// Kind, namespace and name of what Git holds.
    in_git: HashSet<(&'a str, &'a str, &'a str)>,
    left_alone: &'a [LeftAlone<'a>],
}

/// Of several that ended at one time the later in the list is the newest.
fn newest<'a>(last: &mut Option<&'a MigrationBrief>, migration: &'a MigrationBrief) {
    if migration.phase.is_final() && last.is_none_or(|last| migration.finished >= last.finished) {
        *last = Some(migration);
    }
}

impl<'a> Tally<'a> {
    pub(super) fn of(facts: &Facts<'a>) -> Self {
        let ours = facts.desired.resources.of_our_group();
        let mut tally = Self {
            policies: BTreeMap::new(),
            claims: HashMap::new(),
            tiers: BTreeMap::new(),
            in_git: ours
                .map(|one| (one.kind(), one.namespace(), one.name()))
                .collect(),
            left_alone: &facts.decision.left_alone,
        };
        for (taker, placed) in facts.takers.iter().zip(facts.placed) {
            if let Some(tier) = placed {
                *tally.tiers.entry(tier).or_default() += 1;
            }
            if let Some(policy) = taker {
                tally.volume(policy, *placed);
            }
        }
        for migration in facts.migrations {
            tally.migration(migration);
        }
        for left in &facts.decision.left_alone {
            tally.left(left);
        }
        tally
    }

    fn volume(&mut self, policy: &'a Policy, placed: Option<&TierName>) {
        let counted = self.policies.entry(policy.name.as_str()).or_default();
        counted.watched += 1;
        counted.hot += u32::from(placed.is_some() && placed == policy.tiers.last());
        counted.cold += u32::from(placed.is_some() && placed == policy.tiers.first());
    }

    fn migration(&mut self, migration: &'a MigrationBrief) {
        let of_claim = self.claims.entry(&migration.claim).or_default();
        newest(&mut of_claim.last, migration);
        if !migration.phase.is_final() {
            of_claim.running.get_or_insert(migration);
        }
        let Some(policy) = migration.policy.as_deref() else {
            return;
        };
        let counted = self.policies.entry(policy).or_default();
        newest(&mut counted.last, migration);
        match migration.phase {
            Phase::Completed => counted.completed += 1,
            Phase::RolledBack | Phase::NeedsPerson => counted.failed += 1,
            phase => counted.active += u32::from(!phase.is_final()),
        }
    }

    fn left(&mut self, left: &'a LeftAlone<'a>) {
        let Some(policy) = left.policy else { return };
        let counted = self.policies.entry(policy.name.as_str()).or_default();
        *counted.left_alone.entry(left.why.reason()).or_default() += 1;
        if counted.claims.len() < CLAIMS_MAX {
            counted.claims.push((left.claim(), left.why.reason()));
        }
        if let Why::HeatUnknown { error } = &left.why {
            // Prometheus quotes the query that it does not understand.
            let told = if policy.secret {
                "it said why, and the policy is encrypted"
            } else {
                error
            };
            counted.unread.get_or_insert(told);
        }
    }

    /// What is counted of a policy, if anything is.
    pub(super) fn policy(&self, name: &str) -> Option<&OfPolicy<'a>> {
        self.policies.get(name)
    }

    /// A claim's migrations, if there are any.
    pub(super) fn claim(&self, claim: &ClaimRef) -> Option<&OfClaim<'a>> {
        self.claims.get(claim)
    }

    /// Volumes on a tier.
    pub(super) fn on_tier(&self, tier: &TierName) -> u32 {
        self.tiers.get(tier).copied().unwrap_or(0)
    }

    /// Whether Git holds an object.
    pub(super) fn holds(&self, kind: &str, namespace: &str, name: &str) -> bool {
        self.in_git.contains(&(kind, namespace, name))
    }

    /// Why a claim's volume is left alone; reasons are in order of claim.
    pub(super) fn left_alone(&self, claim: &ClaimRef) -> Option<&'a LeftAlone<'a>> {
        let key = (claim.namespace.as_str(), claim.name.as_str());
        let from = self.left_alone.partition_point(|left| left.claim() < key);
        self.left_alone.get(from).filter(|left| left.claim() == key)
    }
}
