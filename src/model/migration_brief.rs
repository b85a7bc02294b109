//! A migration in brief: what deciding needs to know of those that run or ran.

use super::ids::{ClaimRef, CommitId, TierName, VolumeName};
use super::kinds::RETRY;
use super::kinds::moves::said;
use super::kinds::volume_migration::{Phase, VolumeMigration};
use jiff::Timestamp;

/// A migration in brief.
#[derive(Clone, Debug, PartialEq)]
pub struct MigrationBrief {
    /// The VolumeMigration's name.
    pub name: String,
    /// The claim.
    pub claim: ClaimRef,
    /// The volume.
    pub volume: VolumeName,
    /// From which tier.
    pub from: TierName,
    /// To which tier.
    pub to: TierName,
    /// The policy that proposed it.
    pub policy: Option<String>,
    /// Where it stands.
    pub phase: Phase,
    /// The commit that approved it.
    pub approved_in: CommitId,
    /// The volume's mean latency before it, in milliseconds, when that is to be compared.
    pub latency_before: Option<f64>,
    /// Which attempt of its approval it is, from 1 on.
    pub attempt: u32,
    /// The order of a person to try it again that was not acted upon yet.
    pub retry: Option<String>,
    /// When it began, RFC 3339.
    pub started: Option<String>,
    /// When it ended, RFC 3339; these sort as text.
    pub finished: Option<String>,
    /// Bytes that it has copied, as far as the engine told.
    pub copied: Option<u64>,
}

impl From<&VolumeMigration> for MigrationBrief {
    fn from(migration: &VolumeMigration) -> Self {
        let (spec, status) = (&migration.spec, migration.status.as_ref());
        Self {
            name: migration.metadata.name.clone().unwrap_or_default(),
            claim: ClaimRef {
                namespace: spec.claim.namespace.clone(),
                name: spec.claim.name.clone(),
            },
            volume: VolumeName(spec.volume.clone()),
            from: TierName(spec.from.clone()),
            to: TierName(spec.to.clone()),
            policy: spec.policy.clone(),
            phase: status.map(|status| status.phase).unwrap_or_default(),
            approved_in: CommitId(spec.approved.commit.clone()),
            latency_before: spec.latency_before_ms,
            attempt: spec.attempt.unwrap_or(1),
            retry: said(migration.metadata.annotations.as_ref(), RETRY)
                .filter(|value| status.and_then(|status| status.last_handled_retry.as_deref()) != Some(value))
                .map(str::to_owned),
            started: status.and_then(|status| status.started_at.clone()),
            finished: status.and_then(|status| status.finished_at.clone()),
            copied: status.and_then(|status| status.bytes_copied),
        }
    }
}

impl MigrationBrief {
    /// When it ended.
    pub fn ended(&self) -> Option<Timestamp> {
        self.finished.as_ref()?.parse().ok()
    }

    /// Whether it came to nothing by a fault: a person's cancelling is none.
    pub fn failed(&self) -> bool {
        matches!(self.phase, Phase::RolledBack | Phase::NeedsPerson)
    }

    /// Whether it did what was asked.
    pub fn succeeded(&self) -> bool {
        matches!(self.phase, Phase::Completed | Phase::Preserved)
    }
}
