//! What is taken back: moves of a phase whose promotion was taken out of Git, while the phase is still written as it was.

use super::{Deciding, Found, Stands, clusters, groups, phase_of};
use crate::model::approval::Approved;
use crate::model::ids::SourceRef;
use crate::model::kinds::WorkloadMove;
use crate::model::kinds::rollout::PhaseMethod;
use crate::model::kinds::workload_move::{MovePhase, MovedClaim};
use crate::model::promotions::{Group, Start, Withdrawn};
use crate::model::restores::Facts;
use std::collections::BTreeSet;

/// Whether a move is one that the taking out of its promotion has moved back, and that was not yet.
pub(super) fn is_to_be_taken_back(
    source: &SourceRef,
    gone: &Withdrawn,
    one: &WorkloadMove,
    moves: &[WorkloadMove],
) -> bool {
    let (spec, name) = (&one.spec, one.metadata.name.as_deref());
    let taken_back = moves
        .iter()
        .any(|other| other.spec.back.as_deref() == name && phase_of(other) == MovePhase::Completed);
    spec.source.is(source)
        && spec.rollout == gone.rollout
        && spec.rollout_phase == gone.phase
        && spec.back.is_none()
        && phase_of(one) == MovePhase::Completed
        && !taken_back
}

impl Deciding<'_> {
    /// What is taken back of a phase; nothing where nothing was moved.
    pub(super) fn back(&self, gone: &Approved<Withdrawn>) -> Option<Found> {
        let (what, seen) = (gone.what(), self.seen);
        let of_phase = |one: &&WorkloadMove| {
            one.spec.source.is(seen.source)
                && one.spec.rollout == what.rollout
                && one.spec.rollout_phase == what.phase
                && one.spec.back.is_none()
        };
        let left: Vec<&WorkloadMove> = seen
            .moves
            .iter()
            .filter(|one| is_to_be_taken_back(seen.source, what, one, seen.moves))
            .collect();
        if left.is_empty() {
            let any = seen
                .moves
                .iter()
                .filter(of_phase)
                .any(|one| phase_of(one) == MovePhase::Completed);
            return any.then_some(Found::Stands(Stands::Moved));
        }
        // Whoever has ended a rollout takes it out with its promotions, and wants nothing moved.
        let report = seen.reports.iter().find(|one| one.name == what.rollout)?;
        let place = report.phases.iter().position(|one| one.name == what.phase)?;
        let candidate = report.candidates.get(place)?;
        // Nor does who has written the phase differently since want undone what was moved before that.
        let as_written = |one: &&WorkloadMove| one.spec.fingerprint == candidate.fingerprint;
        let left: Vec<&WorkloadMove> = left.into_iter().filter(as_written).collect();
        if left.is_empty() {
            return None;
        }
        if let Some(words) = self.under_way(&what.rollout, &what.phase) {
            return Some(words);
        }
        if let Some(why) = self.held() {
            return Some(Found::waits(why));
        }
        let mut waits = Vec::new();
        for one in left {
            match self.taken_back(gone, one, report) {
                Ok(start) => return Some(Found::Starts(Box::new(start))),
                Err(why) => waits.push(why),
            }
        }
        Some(Found::waits(waits.join("; ")))
    }

    fn taken_back(
        &self,
        gone: &Approved<Withdrawn>,
        one: &WorkloadMove,
        report: &crate::model::rollouts::Report,
    ) -> Result<Start, String> {
        let (spec, status) = (&one.spec, one.status.clone().unwrap_or_default());
        let name = one.metadata.name.clone().unwrap_or_default();
        let namespace = &spec.namespace;
        if status.let_go_at.is_some() && spec.method != PhaseMethod::Cnpg {
            return Err(format!(
                "the old volumes of WorkloadMove {name} were let go, so there is nothing to go back to"
            ));
        }
        let facts = self.facts(namespace)?;
        let commit = gone.approval().commit.as_str();
        let tried = self.seen.moves.iter().find(|other| {
            other.spec.back.as_deref() == Some(name.as_str()) && other.spec.approved.commit == commit
        });
        if let Some(tried) = tried {
            let words = tried.status.as_ref().map_or("", |one| one.message.as_str());
            let tried = tried.metadata.name.as_deref().unwrap_or_default();
            return Err(format!(
                "WorkloadMove {tried} could not take {name} back: {words}. Mend the cause, commit the promotion again and take it out again"
            ));
        }
        if spec.method == PhaseMethod::Cnpg {
            return self.cloned_back(gone, one, facts, report);
        }
        let claims: BTreeSet<&str> = spec.claims.iter().map(|claim| claim.name.as_str()).collect();
        // Its volumes are there: no class has to make any.
        let group = groups::group(namespace, facts, &claims, None);
        if let Some(refusal) = group.refusals.first() {
            return Err(format!("refused ({}): {}", refusal.reason, refusal.message));
        }
        if let Some(why) = self.busy(facts, namespace, &group.claims) {
            return Err(why);
        }
        let mut moved = Vec::new();
        for (claim, journal) in spec.claims.iter().zip(&status.claims) {
            let new = journal.new_volume.as_deref().unwrap_or_default();
            moved.push(returned(
                facts,
                claim,
                new,
                journal.old_policy.clone(),
                journal.old_claim.as_deref(),
            )?);
        }
        Ok(start(gone, one, report, (group, moved)))
    }

    /// A Cluster whose instances are made anew on the class that they had: by its operator, and only when Git has given it that class again.
    /// Its old volumes are no part of that, for what is on them is older than what the Cluster holds.
    fn cloned_back(
        &self,
        gone: &Approved<Withdrawn>,
        one: &WorkloadMove,
        facts: &Facts,
        report: &crate::model::rollouts::Report,
    ) -> Result<Start, String> {
        let spec = &one.spec;
        let cluster = spec.workloads.first().map_or("", |one| one.name.as_str());
        let from: BTreeSet<&str> = spec.claims.iter().map(|claim| claim.from.as_str()).collect();
        let (Some(to), 1) = (from.first().copied(), from.len()) else {
            return Err(format!(
                "claims of Cluster {cluster} had several classes ({}); move it back by hand",
                spec.from
            ));
        };
        let seen = facts.clusters.get(cluster);
        let elsewhere = seen.iter().flat_map(|seen| &seen.claims);
        let elsewhere = elsewhere.filter(|(_, claim)| claim.class != to);
        let claims: BTreeSet<&str> = elsewhere.map(|(name, _)| name.as_str()).collect();
        let groups = clusters::groups(&spec.namespace, facts, &claims, to);
        let Some(group) = groups.into_iter().next() else {
            return Err(format!(
                "Cluster {cluster} has no claims that are not on class {to}"
            ));
        };
        if let Some(refusal) = group.refusals.first() {
            return Err(format!("refused ({}): {}", refusal.reason, refusal.message));
        }
        if let Some(why) = self
            .busy(facts, &spec.namespace, &group.claims)
            .or(group.waits.clone())
        {
            return Err(why);
        }
        let live = facts.claims.iter();
        let live = live.filter(|live| group.claims.contains(&live.claim.claim.name));
        let moved = live.map(|live| super::moved(live, to)).collect();
        Ok(start(gone, one, report, (group, moved)))
    }
}

/// The move that takes one back, of a group with its claims.
fn start(
    gone: &Approved<Withdrawn>,
    one: &WorkloadMove,
    report: &crate::model::rollouts::Report,
    (group, claims): (Group, Vec<MovedClaim>),
) -> Start {
    let spec = &one.spec;
    Start {
        rollout: spec.rollout.clone(),
        phase: spec.rollout_phase.clone(),
        method: spec.method,
        fingerprint: spec.fingerprint.clone(),
        namespace: spec.namespace.clone(),
        claims,
        workloads: group.workloads,
        flux: group.flux,
        image: report.copy.image.clone(),
        timeout: report.copy.timeout.clone(),
        back: one.metadata.name.clone(),
        secret: report.secret || spec.secret,
        approval: gone.approval().clone(),
    }
}

/// A claim on its way back onto its old volume.
fn returned(
    facts: &Facts,
    claim: &MovedClaim,
    new: &str,
    policy: Option<String>,
    old: Option<&str>,
) -> Result<MovedClaim, String> {
    let name = &claim.name;
    let live = facts.claims.iter().find(|live| live.claim.claim.name == *name);
    let Some(live) = live.filter(|live| live.volume == new && !new.is_empty()) else {
        return Err(format!(
            "claim {name} is not on volume {new} any more, so nothing is taken back onto its old one"
        ));
    };
    // As large as it asked to be: the old volume is no larger.
    let asked = old.and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
    let asked = asked.as_ref().and_then(|one| {
        one.pointer("/spec/resources/requests/storage")?
            .as_str()
            .map(str::to_owned)
    });
    let bytes = asked.and_then(|text| crate::formats::quantity::parse_ceil(&text).ok());
    Ok(MovedClaim {
        name: name.clone(),
        volume: live.volume.clone(),
        bytes: bytes.unwrap_or(claim.bytes),
        from: claim.to.clone(),
        to: claim.from.clone(),
        onto: Some(claim.volume.clone()),
        policy,
    })
}
