//! What is written into the status of our kinds: where things are, and why they are so.

use crate::io::cluster::{Cluster, ClusterError};
use crate::model::conditions;
use crate::model::decision::{Decision, Why};
use crate::model::desired::{Desired, Policy, Tier, TierPools};
use crate::model::ids::{ClaimRef, ObjectId, PolicyName, TierName};
use crate::model::kinds::storage_policy::{LastMigration, PolicyPhase};
use crate::model::kinds::volume_migration::Phase;
use crate::model::kinds::{
    BackupLocation, BackupPolicy, GROUP, Resource, Rollout, StoragePolicy, StorageTier, TierAssignment,
};
use crate::model::migration_brief::MigrationBrief;
use crate::model::observation::Observation;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use std::collections::{BTreeMap, BTreeSet};

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
    for object in cluster.list::<StoragePolicy>().await? {
        let next = policy(&object, facts);
        write(
            cluster,
            object,
            next,
            |object, status| object.status = Some(status),
            |object| object.status.clone(),
        )
        .await?;
    }
    for object in cluster.list::<TierAssignment>().await? {
        let next = assignment(&object, facts);
        write(
            cluster,
            object,
            next,
            |object, status| object.status = Some(status),
            |object| object.status.clone(),
        )
        .await?;
    }
    for object in cluster.list::<StorageTier>().await? {
        let next = tier(&object, facts);
        write(
            cluster,
            object,
            next,
            |object, status| object.status = Some(status),
            |object| object.status.clone(),
        )
        .await?;
    }
    for object in cluster.list::<BackupLocation>().await? {
        let mut next = object.status.clone().unwrap_or_default();
        next.observed_generation = object.metadata.generation;
        applied(&object, "BackupLocation", &mut next.conditions, facts);
        write(
            cluster,
            object,
            next,
            |object, status| object.status = Some(status),
            |object| object.status.clone(),
        )
        .await?;
    }
    for object in cluster.list::<BackupPolicy>().await? {
        let mut next = object.status.clone().unwrap_or_default();
        next.observed_generation = object.metadata.generation;
        applied(&object, "BackupPolicy", &mut next.conditions, facts);
        write(
            cluster,
            object,
            next,
            |object, status| object.status = Some(status),
            |object| object.status.clone(),
        )
        .await?;
    }
    for object in cluster.list::<Rollout>().await? {
        let mut next = object.status.clone().unwrap_or_default();
        next.observed_generation = object.metadata.generation;
        if in_git(&object, "Rollout", &mut next.conditions, facts) {
            let message = "this release reads and shows rollouts; it moves no workload";
            conditions::set(
                &mut next.conditions,
                "Ready",
                false,
                "NotCarriedOut",
                message,
                object.metadata.generation,
                facts.now,
            );
        }
        write(
            cluster,
            object,
            next,
            |object, status| object.status = Some(status),
            |object| object.status.clone(),
        )
        .await?;
    }
    Ok(())
}

async fn write<K, S: PartialEq>(
    cluster: &Cluster,
    mut object: K,
    next: S,
    put: impl Fn(&mut K, S),
    get: impl Fn(&K) -> Option<S>,
) -> Result<(), ClusterError>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned + serde::Serialize,
{
    if get(&object).as_ref() == Some(&next) {
        return Ok(());
    }
    put(&mut object, next);
    match cluster.replace_status(&object).await {
        // The next turn sees the newer object and tries again.
        Ok(_) | Err(ClusterError::Conflict { .. } | ClusterError::Api { code: 404, .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether Git holds the object; one that it does not hold has no effect, and its condition says so.
fn in_git<K: Resource<DynamicType = ()>>(
    object: &K,
    kind: &str,
    list: &mut Vec<Condition>,
    facts: &Facts,
) -> bool {
    let meta = object.meta();
    let (namespace, name) = (
        meta.namespace.clone().unwrap_or_default(),
        meta.name.clone().unwrap_or_default(),
    );
    let found = facts.desired.resources.iter().any(|resource| {
        resource.kind() == kind && resource.name() == name && resource.namespace() == namespace
    });
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

fn applied<K: Resource<DynamicType = ()>>(object: &K, kind: &str, list: &mut Vec<Condition>, facts: &Facts) {
    if in_git(object, kind, list, facts) {
        let generation = object.meta().generation;
        conditions::set(
            list,
            "Ready",
            true,
            "Applied",
            "what it renders is applied",
            generation,
            facts.now,
        );
    }
}

fn last(migrations: &[MigrationBrief], which: impl Fn(&MigrationBrief) -> bool) -> Option<LastMigration> {
    let newest = migrations
        .iter()
        .filter(|migration| migration.phase.is_final() && which(migration))
        .max_by(|a, b| a.finished.cmp(&b.finished))?;
    Some(LastMigration {
        name: newest.name.clone(),
        claim: newest.claim.to_string(),
        from: newest.from.to_string(),
        to: newest.to.to_string(),
        result: newest.phase.as_str().to_owned(),
        finished: newest.finished.clone().unwrap_or_default(),
    })
}

fn policy(object: &StoragePolicy, facts: &Facts) -> crate::model::kinds::storage_policy::StoragePolicyStatus {
    let mut status = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation;
    status.observed_generation = generation;
    if !in_git(object, "StoragePolicy", &mut status.conditions, facts) {
        return status;
    }
    let name = object.metadata.name.clone().unwrap_or_default();
    let Some(policy) = facts.desired.policies.get(&PolicyName(name.clone())) else {
        return status;
    };
    let watched = || {
        let taken = |taker: &&Policy| taker.name == policy.name;
        let volumes = facts.takers.iter().zip(facts.placed);
        volumes.filter(move |(taker, _)| taker.as_ref().is_some_and(taken))
    };
    let on = |tier: Option<&TierName>| {
        count(
            watched()
                .filter(|(_, placed)| tier.is_some() && **placed == tier)
                .count(),
        )
    };
    let of_policy = |migration: &&MigrationBrief| migration.policy.as_deref() == Some(name.as_str());
    status.watched_volumes = count(watched().count());
    status.hot_volumes = on(policy.tiers.last());
    status.cold_volumes = on(policy.tiers.first());
    status.active_migrations = count(
        facts
            .migrations
            .iter()
            .filter(of_policy)
            .filter(|one| !one.phase.is_final())
            .count(),
    );
    status.total_migrations = count(
        facts
            .migrations
            .iter()
            .filter(of_policy)
            .filter(|one| one.phase == Phase::Completed)
            .count(),
    );
    status.failed_migrations = count(
        facts
            .migrations
            .iter()
            .filter(of_policy)
            .filter(|one| matches!(one.phase, Phase::RolledBack | Phase::NeedsPerson))
            .count(),
    );
    status.left_alone = BTreeMap::new();
    for left in facts
        .decision
        .left_alone
        .iter()
        .filter(|left| left.policy.is_some_and(|one| one.name == policy.name))
    {
        *status.left_alone.entry(left.why.reason().to_owned()).or_default() += 1;
    }
    status.last_migration = last(facts.migrations, |migration| of_policy(&migration));
    let unread = facts.decision.left_alone.iter().find_map(|left| match &left.why {
        Why::HeatUnknown { error } if left.policy.is_some_and(|one| one.name == policy.name) => Some(error),
        _ => None,
    });
    let trouble = match (&facts.observation.engine, unread) {
        (Err(error), _) => Some(("MayastorUnavailable", error.clone())),
        (_, Some(error)) => Some(("PrometheusUnavailable", error.to_string())),
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
            format!("watches {} volumes", watched().count()),
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

fn assignment(
    object: &TierAssignment,
    facts: &Facts,
) -> crate::model::kinds::tier_assignment::TierAssignmentStatus {
    let mut status = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation;
    status.observed_generation = generation;
    if !in_git(object, "TierAssignment", &mut status.conditions, facts) {
        return status;
    }
    let claim = ClaimRef {
        namespace: object.metadata.namespace.clone().unwrap_or_default(),
        name: object.spec.claim.clone(),
    };
    let found = facts.observation.find(&claim);
    let placed = found.and_then(|index| facts.placed.get(index).copied().flatten());
    status.observed_tier = placed.map(ToString::to_string);
    status.last_migration = last(facts.migrations, |migration| migration.claim == claim);
    let running = facts
        .migrations
        .iter()
        .find(|migration| migration.claim == claim && !migration.phase.is_final());
    let left = facts.decision.left_alone.iter().find(|left| left.is(&claim));
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

fn tier(object: &StorageTier, facts: &Facts) -> crate::model::kinds::storage_tier::StorageTierStatus {
    let mut status = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation;
    status.observed_generation = generation;
    if !in_git(object, "StorageTier", &mut status.conditions, facts) {
        return status;
    }
    let name = TierName(object.metadata.name.clone().unwrap_or_default());
    let Some(tier) = facts.desired.tiers.get(&name) else {
        return status;
    };
    status.volumes = count(
        facts
            .placed
            .iter()
            .filter(|placed| **placed == Some(&name))
            .count(),
    );
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
