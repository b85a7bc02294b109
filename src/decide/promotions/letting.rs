//! Which old volumes may be let go: those of which Git says so, once nobody can need them to get back what their claims hold.

use super::{back, phase_of};
use crate::model::coverage::{BackupReading, Verdict};
use crate::model::desired::Desired;
use crate::model::ids::{ClaimRef, CommitId, SourceRef};
use crate::model::kinds::WorkloadMove;
use crate::model::kinds::workload_move::MovePhase;
use crate::model::observation::Observation;
use crate::model::promotions::Withdrawn;
use jiff::Timestamp;

/// What is known of backups and volumes.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// The source.
    pub source: &'a SourceRef,
    /// What Git asks for.
    pub desired: &'a Desired,
    /// What was seen of volumes.
    pub observation: &'a Observation,
    /// What is known of backups.
    pub backups: Option<&'a BackupReading>,
}

/// A move whose old volumes Git lets go.
pub struct Letting {
    /// Its place.
    pub place: usize,
    /// The commit that says so.
    pub commit: CommitId,
    /// Whether they may go, or why they are kept for now.
    pub may: Result<(), String>,
}

/// Moves whose old volumes Git lets go.
pub fn letting(known: &Known, moves: &[WorkloadMove]) -> Vec<Letting> {
    let mut found = Vec::new();
    for promotion in &known.desired.promotions.standing {
        let what = promotion.what();
        if what.keep_old_volumes {
            continue;
        }
        let of_it = Withdrawn {
            rollout: what.rollout.clone(),
            phase: what.phase.clone(),
        };
        for (place, one) in moves.iter().enumerate() {
            let status = one.status.as_ref();
            let kept = status.is_some_and(|status| status.let_go_at.is_none());
            // What may still be taken back is just what is kept.
            let stands = back::is_to_be_taken_back(known.source, &of_it, one, moves);
            if kept && stands && one.spec.fingerprint == what.fingerprint {
                found.push(Letting {
                    place,
                    commit: promotion.approval().commit.clone(),
                    may: unneeded(known, one),
                });
            }
        }
    }
    // Nothing is let go while anything is under way.
    if let Some(busy) = moves.iter().find(|one| !phase_of(one).is_final()) {
        let name = busy.metadata.name.as_deref().unwrap_or_default();
        let why = format!("WorkloadMove {name} is under way");
        for one in &mut found {
            one.may = Err(why.clone());
        }
    }
    found
}

/// Whether nobody needs the old volumes of a move: each claim is on its new volume, and a backup that began after the move holds it.
fn unneeded(known: &Known, one: &WorkloadMove) -> Result<(), String> {
    let status = one.status.clone().unwrap_or_default();
    debug_assert_eq!(status.phase, MovePhase::Completed);
    let finished: Option<Timestamp> = status.finished_at.as_ref().and_then(|at| at.parse().ok());
    let finished = finished.ok_or_else(|| "it is not known when it ended".to_owned())?;
    let backups = known
        .backups
        .ok_or_else(|| "no backup policy speaks of its claims".to_owned())?;
    if backups.unseen.is_some() {
        return Err("nothing is known of backups now".to_owned());
    }
    for (claim, journal) in one.spec.claims.iter().zip(&status.claims) {
        let of = ClaimRef {
            namespace: one.spec.namespace.clone(),
            name: claim.name.clone(),
        };
        let bound = known
            .observation
            .find(&of)
            .map(|index| &known.observation.volumes[index]);
        let on = bound.is_some_and(|bound| Some(&*bound.name) == journal.new_volume.as_deref());
        if !on {
            return Err(format!(
                "claim {of} is not bound to the volume that it was moved to"
            ));
        }
        let held = backups
            .policies
            .iter()
            .filter_map(|report| report.covered.as_ref())
            .any(|covered| {
                let begun = covered.backup.started.is_some_and(|at| at > finished);
                let mut volumes = covered.volumes.iter();
                begun
                    && volumes
                        .any(|(claim, verdict)| *claim == of && matches!(verdict, Verdict::Covered { .. }))
            });
        if !held {
            return Err(format!(
                "no backup that holds every volume, and claim {of}, has begun since it was moved"
            ));
        }
    }
    Ok(())
}
