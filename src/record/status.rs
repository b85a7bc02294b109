//! What is written into the status of our kinds: where things are, and why they are so.

use super::backups;
use super::promotions;
use super::rollouts;
use super::tally::{OfPolicy, Tally};
use crate::io::cluster::{Cluster, ClusterError};
use crate::model::conditions;
use crate::model::coverage::BackupReading;
use crate::model::decision::{Decision, Why};
use crate::model::desired::{Desired, Policy, Tier, TierPools};
use crate::model::ids::{ClaimRef, ObjectId, PolicyName, TierName};
use crate::model::kinds::storage_policy::{LastMigration, PolicyPhase, StoragePolicyStatus};
use crate::model::kinds::storage_tier::StorageTierStatus;
use crate::model::kinds::tier_assignment::TierAssignmentStatus;
use crate::model::kinds::{GROUP, HasStatus, Resource, StoragePolicy, StorageTier, TierAssignment};
use crate::model::migration_brief::MigrationBrief;
use crate::model::observation::Observation;
use crate::model::rollouts::Report;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

/// What statuses are made of.
pub struct Facts<'a> {
    /// What Git asks for.
    pub desired: &'a Desired,
    /// What was seen.
    pub observation: &'a Observation,
    /// What was decided.
    pub decision: &'a Decision<'a>,
    /// Every migration.
    pub migrations: &'a [MigrationBrief],
    /// The tier of each observed volume.
    pub placed: &'a [Option<&'a TierName>],
    /// The policy that takes each observed volume.
    pub takers: &'a [Option<&'a Policy>],
    /// What is known of backups.
    pub backups: Option<&'a BackupReading>,
    /// Rollouts as they were judged.
    pub rollouts: &'a [Report],
    /// Inventory ids of what other sources hold.
    pub others: &'a BTreeSet<String>,
    /// Now.
    pub now: Timestamp,
}

/// Brings the status of every object of our kinds up to date; unchanged ones are not written.
///
/// # Errors
/// The first list or write that fails.
pub async fn update(cluster: &Cluster, facts: &Facts<'_>) -> Result<(), ClusterError> {
    let tally = &Tally::of(facts);
    each::<StoragePolicy>(cluster, |object| policy(object, facts, tally)).await?;
    each::<TierAssignment>(cluster, |object| assignment(object, facts, tally)).await?;
    each::<StorageTier>(cluster, |object| tier(object, facts, tally)).await?;
    backups::update(cluster, facts, tally).await?;
    rollouts::update(cluster, facts, tally).await?;
    promotions::update(cluster, facts, tally).await
}

/// Writes the status of every object of a kind where it is another.
async fn each<K>(cluster: &Cluster, next: impl Fn(&K) -> K::Status) -> Result<(), ClusterError>
where
    K: HasStatus + Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize,
    K::Status: PartialEq,
{
    for mut object in cluster.list::<K>().await? {
        let next = next(&object);
        if object.status() == Some(&next) {
            continue;
        }
        *object.status_mut() = Some(next);
        match cluster.replace_status(&object).await {
            // The next turn sees the newer object and tries again.
            Ok(_) | Err(ClusterError::Conflict { .. } | ClusterError::Api { code: 404, .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether Git holds the object; one that it does not hold has no effect, and its condition says so.
pub(super) fn in_git<K: Resource<DynamicType = ()>>(
    object: &K,
    kind: &str,
    list: &mut Vec<Condition>,
    facts: &Facts,
    tally: &Tally,
) -> bool {
    let meta = object.meta();
    let (namespace, name) = (
        meta.namespace.clone().unwrap_or_default(),
        meta.name.clone().unwrap_or_default(),
    );
    let found = tally.holds(kind, &namespace, &name);
    let id = ObjectId {
        group: GROUP.to_owned(),
        kind: kind.to_owned(),
        namespace,
        name,
    };
    if !found && !facts.others.contains(&id.inventory_id()) {
        let message = "no policy repository holds this object, so it has no effect";
        conditions::set(
            list,
            "Ready",
            false,
            "NotInGit",
            message,
            meta.generation,
            facts.now,
        );
    }
    found
}

fn last(newest: &MigrationBrief) -> LastMigration {
    LastMigration {
        name: newest.name.clone(),
        claim: newest.claim.to_string(),
        from: newest.from.to_string(),
        to: newest.to.to_string(),
        result: newest.phase.as_str().to_owned(),
        finished: newest.finished.clone().unwrap_or_default(),
    }
}

fn policy(object: &StoragePolicy, facts: &Facts, tally: &Tally) -> StoragePolicyStatus {
    let mut status = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation;
    status.observed_generation = generation;
    if !in_git(object, "StoragePolicy", &mut status.conditions, facts, tally) {
        return status;
    }
    let name = object.metadata.name.clone().unwrap_or_default();
    let Some(policy) = facts.desired.policies.get(&PolicyName(name.clone())) else {
        return status;
    };
    let nothing = OfPolicy::default();
    let counted = tally.policy(&name).unwrap_or(&nothing);
    status.watched_volumes = counted.watched;
    status.hot_volumes = counted.hot;
    status.cold_volumes = counted.cold;
    status.active_migrations = counted.active;
    status.total_migrations = counted.completed;
    status.failed_migrations = counted.failed;
    let reasons = counted.left_alone.iter();
    status.left_alone = reasons
        .map(|(reason, count)| ((*reason).to_owned(), *count))
        .collect();
    let claims = counted.claims.iter();
    status.left_alone_claims = claims
        .map(|((namespace, name), reason)| (format!("{namespace}/{name}"), (*reason).to_owned()))
        .collect();
    status.last_migration = counted.last.map(last);
    let trouble = match (&facts.observation.engine, counted.unread) {
        (Err(error), _) => Some(("MayastorUnavailable", error.clone())),
        (_, Some(error)) => Some(("PrometheusUnavailable", error.to_owned())),
        _ => None,
    };
    let (phase, ready, reason, message) = match (policy.enabled, trouble) {
        (false, _) => (
            PolicyPhase::Disabled,
            true,
            "Disabled",
            "the policy has enabled: false".to_owned(),
        ),
        (true, Some((reason, error))) => (PolicyPhase::Error, false, reason, error),
        (true, None) => (
            PolicyPhase::Active,
            true,
            "Active",
            format!("watches {} volumes", counted.watched),
        ),
    };
    status.phase = Some(phase);
    conditions::set(
        &mut status.conditions,
        "Ready",
        ready,
        reason,
        &message,
        generation,
        facts.now,
    );
    status
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn assignment(object: &TierAssignment, facts: &Facts, tally: &Tally) -> TierAssignmentStatus {
    let mut status = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation;
    status.observed_generation = generation;
    if !in_git(object, "TierAssignment", &mut status.conditions, facts, tally) {
        return status;
    }
    let claim = ClaimRef {
        namespace: object.metadata.namespace.clone().unwrap_or_default(),
        name: object.spec.claim.clone(),
    };
    let found = facts.observation.find(&claim);
    let placed = found.and_then(|index| facts.placed.get(index).copied().flatten());
    status.observed_tier = placed.map(ToString::to_string);
    let migrations = tally.claim(&claim);
    status.last_migration = migrations.and_then(|of| of.last).map(last);
    let running = migrations.and_then(|of| of.running);
    let left = tally.left_alone(&claim);
    let (phase, ready, reason, message) = if placed.is_some_and(|tier| tier.as_str() == object.spec.tier) {
        (
            "Placed",
            true,
            "Placed",
            format!("all copies are on {}", object.spec.tier),
        )
    } else if let Some(running) = running {
        (
            "Moving",
            false,
            "Moving",
            format!("{} is in phase {}", running.name, running.phase.as_str()),
        )
    } else if let Some(left) = left {
        let failed = matches!(left.why, Why::FailedBefore { .. });
        (
            if failed { "Failed" } else { "Waiting" },
            false,
            left.why.reason(),
            left.words(),
        )
    } else {
        (
            "Waiting",
            false,
            "Waiting",
            "its migration is about to start".to_owned(),
        )
    };
    status.phase = Some(phase.to_owned());
    conditions::set(
        &mut status.conditions,
        "Ready",
        ready,
        reason,
        &message,
        generation,
        facts.now,
    );
    status
}

fn tier(object: &StorageTier, facts: &Facts, tally: &Tally) -> StorageTierStatus {
    let mut status = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation;
    status.observed_generation = generation;
    if !in_git(object, "StorageTier", &mut status.conditions, facts, tally) {
        return status;
    }
    let name = TierName(object.metadata.name.clone().unwrap_or_default());
    let Some(tier) = facts.desired.tiers.get(&name) else {
        return status;
    };
    status.volumes = tally.on_tier(&name);
    let (ready, reason, message) = match (&facts.observation.engine, &tier.pools) {
        (_, TierPools::Local) => (
            true,
            "Local",
            "local disks; its volumes stay where they are".to_owned(),
        ),
        (Err(error), _) => (false, "MayastorUnavailable", error.clone()),
        (Ok(engine), TierPools::Mayastor(_)) => {
            status.pools = count(engine.pools.iter().filter(|pool| has(tier, &pool.labels)).count());
            match status.pools {
                0 => (
                    false,
                    "NoPools",
                    "no Mayastor pool carries these labels".to_owned(),
                ),
                pools => (true, "PoolsFound", format!("{pools} pools carry these labels")),
            }
        }
    };
    conditions::set(
        &mut status.conditions,
        "Ready",
        ready,
        reason,
        &message,
        generation,
        facts.now,
    );
    status
}

fn has(tier: &Tier, labels: &BTreeMap<String, String>) -> bool {
    match &tier.pools {
        TierPools::Mayastor(wanted) => wanted.iter().all(|(key, value)| labels.get(key) == Some(value)),
        TierPools::Local => false,
    }
}
