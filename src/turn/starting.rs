//! Approved moves become VolumeMigrations: those that start, and those that are used up because they make no sense any more.

use super::{Source, TurnFailure, Turned, World};
use crate::execute::start;
use crate::io::cluster::ClusterError;
use crate::model::decision::Decision;
use crate::model::desired::{Desired, TierPools};
use crate::model::ids::CommitId;
use crate::model::kinds::merges::MergeStatus;
use crate::model::kinds::volume_migration::VolumeMigration;
use crate::model::observation::{BoundVolume, Observation};

/// What starting goes by.
pub(super) struct Approvals<'a> {
    /// What the forge says of commits.
    pub(super) merges: &'a [MergeStatus],
    /// Whether the newest tip is what was read: one that is broken or not signed may take an approval back.
    pub(super) current: bool,
}

impl Approvals<'_> {
    pub(super) fn of(&self, commit: &CommitId) -> Option<&MergeStatus> {
        self.merges.iter().find(|merge| merge.commit == commit.as_str())
    }

    /// Whether a commit has what the source demands; what was not found out is not there.
    pub(super) fn suffice(&self, source: &Source<'_>, commit: &CommitId) -> bool {
        match &source.approvals {
            None => true,
            Some(rule) => self.of(commit).is_some_and(|merge| rule.missing(merge).is_none()),
        }
    }
}

pub(super) async fn start_all(
    world: &World,
    source: &Source<'_>,
    (desired, observation, decision): (&Desired, &Observation, &Decision<'_>),
    approvals: &Approvals<'_>,
    turned: &mut Turned,
) -> Vec<VolumeMigration> {
    if !approvals.current {
        return Vec::new();
    }
    let mut made = Vec::new();
    for one in &decision.superseded {
        let commit = &one.approved.approval().commit;
        if approvals.suffice(source, commit) {
            made.push((start::superseded(&source.name, one, approvals.of(commit)), None));
        }
    }
    for one in &decision.starts {
        let (what, approval) = (one.approved.what(), one.approved.approval());
        if !approvals.suffice(source, &approval.commit) {
            continue;
        }
        let Some(tier) = desired.tiers.get(&what.to) else {
            continue;
        };
        let TierPools::Mayastor(labels) = &tier.pools else {
            continue;
        };
        let bound = observation
            .find(&what.claim)
            .map(|index| &observation.volumes[index]);
        let Some(uuid) = bound.and_then(BoundVolume::uuid) else {
            continue;
        };
        let target = start::Target {
            volume_uuid: uuid.to_owned(),
            pool_labels: labels.clone(),
            pool_reserve: tier.pool_reserve,
            preserve: source.preserve,
        };
        let merge = approvals.of(&approval.commit);
        let migration = start::migration(&source.name, one, target, merge);
        let merged = merge.and_then(|merge| Some((merge.number?, merge.merged_by.as_ref()?)));
        let merged = merged.map_or_else(String::new, |(number, who)| {
            format!(", merged by {who} with pull request {number}")
        });
        let note = format!(
            "{} from {} to {}, approved by {}{merged}",
            what.claim, one.from, what.to, approval.author
        );
        made.push((migration, Some(note)));
    }
    let mut started = Vec::new();
    for (migration, note) in made {
        match world.cluster.create(&migration).await {
            Ok(created) => {
                if let Some(note) = note
                    && let Err(error) = world.cluster.publish(&created, false, "Started", &note).await
                {
                    tracing::debug!(%error, "event not published");
                }
                started.push(created);
            }
            // It was made in a turn whose end we did not see; the next turn lists it.
            Err(ClusterError::Exists { .. }) => {}
            Err(error) => turned.failures.push(TurnFailure::from(&error)),
        }
    }
    started
}
