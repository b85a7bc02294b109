//! Old volumes of completed moves of workloads are let go, where Git says so and nobody can need them.

use super::moving::{failure, name};
use super::starting::Approvals;
use super::{Source, Turned, World};
use crate::decide::InFlight;
use crate::decide::promotions::letting::{Known, letting};
use crate::execute::workload_move::{RETAIN, objects};
use crate::io::cluster::ClusterError;
use crate::io::workload_moves::{Driver, Names};
use crate::model::desired::Desired;
use crate::model::ids::CommitId;
use crate::model::kinds::WorkloadMove;
use crate::model::kinds::volume_migration::JournalRecord;
use crate::model::kinds::workload_move::WorkloadMoveSpec;
use crate::model::moves::Stop;
use crate::model::observation::Observation;
use crate::model::restores::run::VolumeNow;
use crate::model::rollouts::Report;

/// Lets go what may be, and says in the rollouts' phases what is kept for now.
pub(super) async fn let_go(
    world: &World,
    source: &Source<'_>,
    (desired, observation, in_flight): (&Desired, &Observation, &InFlight),
    approvals: &Approvals<'_>,
    moves: &mut [WorkloadMove],
    reports: &mut [Report],
    turned: &mut Turned,
) {
    let known = Known {
        source: &source.name,
        desired,
        observation,
        backups: in_flight.backups.as_deref(),
    };
    for found in letting(&known, moves) {
        let Some(one) = moves.get_mut(found.place) else {
            continue;
        };
        let held = held(source, in_flight.control.stop.as_ref(), approvals, &found.commit);
        let kept = match held.map_or(found.may, Err) {
            Err(why) => Some(why),
            Ok(()) => match release(world, one).await {
                Ok(kept) => kept,
                // Somebody has written it since: the next turn reads it anew.
                Err(ClusterError::Conflict { .. }) => None,
                Err(error) => {
                    turned.failures.push(failure(one, error));
                    None
                }
            },
        };
        let Some(why) = kept else { continue };
        let report = reports.iter_mut().find(|report| report.name == one.spec.rollout);
        let phases = report.into_iter().flat_map(|report| &mut report.phases);
        for phase in phases.filter(|phase| phase.name == one.spec.rollout_phase) {
            phase.promotion += &format!("; old volumes are kept for now: {why}");
        }
    }
}

/// Why nothing is let go now, whatever is known of the volumes: what keeps a move from starting, which can be taken back, keeps this too,
/// which cannot.
fn held(
    source: &Source<'_>,
    stop: Option<&Stop>,
    approvals: &Approvals<'_>,
    commit: &CommitId,
) -> Option<String> {
    if !approvals.current {
        return Some("the newest revision was not read, and may say otherwise".to_owned());
    }
    if source.limits.dry_run {
        return Some("nothing is let go in a dry run".to_owned());
    }
    if source.preserve {
        return Some("old copies are kept in preservation mode".to_owned());
    }
    if let Some(stop) = stop {
        return Some(stop.to_string());
    }
    let missing = !approvals.suffice(source, commit);
    missing.then(|| format!("commit {commit} lacks approvals that the source demands"))
}

/// What becomes of an old volume.
enum Old {
    /// It is let go, or gone.
    Gone,
    /// It is as the move left it: kept, marked, and nobody's. Its policy was this one.
    Stands(String),
    /// It stays, for this reason.
    Stays(String),
}

fn old(seen: Option<&VolumeNow>, spec: &WorkloadMoveSpec, id: &str, place: usize, was: Option<&str>) -> Old {
    let claim = spec.claims.get(place).cloned().unwrap_or_default();
    let volume = &claim.volume;
    let Some(now) = seen.filter(|now| now.policy == RETAIN) else {
        return Old::Gone;
    };
    let (namespace, of) = (&now.claim.0, now.claim.1.as_str());
    let of_it = *namespace == spec.namespace && (of == claim.name || objects::is_beside(of, &claim.name));
    match was.filter(|policy| *policy != RETAIN) {
        _ if now.phase != "Released" || now.mark != id || now.going || !of_it => {
            Old::Stays(format!("volume {volume} is not as the move left it"))
        }
        None => Old::Stays(format!(
            "volume {volume} was to outlive its claim before the move too; delete it by hand"
        )),
        Some(policy) => Old::Stands(policy.to_owned()),
    }
}

/// Sets the old volumes to what was to become of them, so that their provisioner deletes them: all of a move, or none. Gives why they
/// are kept, if they are. That they were let go is written down only when none of them is kept any more.
async fn release(world: &World, one: &mut WorkloadMove) -> Result<Option<String>, ClusterError> {
    let spec = one.spec.clone();
    let names = Names {
        id: objects::id(name(one)),
        copies: Vec::new(),
        jobs: Vec::new(),
    };
    let driver = Driver::of(&world.cluster, &spec, &names);
    let seen = driver.volumes().await?;
    let mut status = one.status.clone().unwrap_or_default();
    let mut pending: Vec<(&str, String)> = Vec::new();
    for (place, claim) in spec.claims.iter().enumerate() {
        let was = status.claims.get(place).and_then(|one| one.old_policy.as_deref());
        match old(seen.volumes.get(&claim.volume), &spec, &names.id, place, was) {
            Old::Gone => {}
            Old::Stands(policy) => pending.push((&claim.volume, policy)),
            Old::Stays(why) => return Ok(Some(why)),
        }
    }
    let volumes: Vec<&str> = spec.claims.iter().map(|claim| claim.volume.as_str()).collect();
    let words = format!("Git lets the old volumes go: {}", volumes.join(", "));
    if !pending.is_empty() {
        // Written each time: it fails if somebody else has written since.
        status.intent = words;
        one.status = Some(status);
        *one = world.cluster.replace_status(one).await?;
        for (volume, policy) in pending {
            driver.release(&seen, volume, &policy).await?;
        }
        // Whether it came to pass is seen with the next turn.
        return Ok(None);
    }
    let now = (world.clock)().to_string();
    status.intent.clear();
    status.message.clone_from(&words);
    status.let_go_at = Some(now.clone());
    status.journal.push(JournalRecord {
        at: now,
        step: "LetGo".to_owned(),
        note: words,
    });
    one.status = Some(status);
    *one = world.cluster.replace_status(one).await?;
    Ok(None)
}
