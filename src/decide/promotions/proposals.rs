//! Which phase of each rollout is proposed to be promoted: the first that is open, whose gates hold, and that nobody has said no to.

use super::{Decided, NAMED_MAX, Seen, Stands, groups_by, unfounded};
use crate::model::approval::Approved;
use crate::model::decision::ProposedMove;
use crate::model::ids::{PolicyName, TierName};
use crate::model::kinds::policy_source::{ProposalState, ProposalStatus};
use crate::model::kinds::rollout::PhaseMethod;
use crate::model::kinds::tier_assignment::DecisionNote;
use crate::model::promotions::{Candidate, Group, Promotion, Wanted};
use crate::model::restores::Facts;
use crate::model::rollouts::Report;
use std::collections::BTreeSet;

/// Claims of one promotion: what a person can look through, and what the status of a source can remember.
pub(super) const CLAIMS_MAX: usize = 200;

/// What the identities of proposals that promote a rollout begin with: no policy's name has a slash.
const IDENTITY: &str = "rollout/";

/// Identity of the proposals that promote a rollout, beside those of policies.
pub fn identity(rollout: &str) -> PolicyName {
    PolicyName(format!("{IDENTITY}{rollout}"))
}

/// The rollout of an identity; nothing of any other proposal's.
pub fn rollout_of(policy: &str) -> Option<&str> {
    policy.strip_prefix(IDENTITY)
}

/// What a proposal's moves rest on: the phase as it is written. By this a no is remembered.
fn signal(phase: &str, fingerprint: &str) -> String {
    format!("phase {phase} {fingerprint}")
}

/// Whether base holds what was proposed of a claim.
pub fn holds(standing: &[Approved<Promotion>], claim: (&str, &str), note: &DecisionNote) -> bool {
    let mut all = standing.iter().map(Approved::what);
    all.any(|what| {
        let names = what
            .claims
            .iter()
            .any(|one| (one.namespace.as_str(), one.name.as_str()) == claim);
        rollout_of(&note.policy) == Some(what.rollout.as_str())
            && note.signal == signal(&what.phase, &what.fingerprint)
            && names
    })
}

/// What is to be proposed.
#[derive(Clone, Debug, Default)]
pub struct Proposing {
    /// Phases that are to be proposed now.
    pub wanted: Vec<Wanted>,
    /// Why none of a rollout is, by its name.
    pub not: Vec<(String, String)>,
    /// Rollouts of which nobody knows now whether anything is: that nothing of them is wanted says nothing.
    pub unknown: BTreeSet<String>,
}

/// Why nothing of a rollout is proposed.
enum Not {
    /// Nothing is wanted, for this reason.
    Wanted(String),
    /// Nobody knows, for something could not be looked at.
    Known,
}

impl From<String> for Not {
    fn from(why: String) -> Self {
        Self::Wanted(why)
    }
}

/// What is to be proposed now.
pub fn proposals(seen: &Seen, decided: &Decided) -> Proposing {
    let mut found = Proposing::default();
    for report in seen.reports {
        let name = report.name.clone();
        match of_rollout(seen, decided, report) {
            Ok(one) => found.wanted.push(one),
            Err(Not::Wanted(why)) => found.not.push((name, why)),
            Err(Not::Known) => drop(found.unknown.insert(name)),
        }
    }
    found
}

fn of_rollout(seen: &Seen, decided: &Decided, report: &Report) -> Result<Wanted, Not> {
    if report.secret {
        let words =
            "the rollout is encrypted, and a proposal would show its claims; write the promotion by hand";
        return Err(Not::Wanted(words.to_owned()));
    }
    let mut why = "nothing of it is to be moved".to_owned();
    for (place, (phase, candidate)) in report.phases.iter().zip(&report.candidates).enumerate() {
        if candidate.elsewhere.is_empty() || candidate.method == PhaseMethod::New {
            continue;
        }
        if let Some(unfounded) = unfounded(report, place, candidate) {
            // Those that follow wait for this one.
            return Err(format!("phase {}: {unfounded}", phase.name).into());
        }
        let promoted = is_promoted(decided, report, &phase.name).then(|| "it is promoted".to_owned());
        if let Some(said) = promoted.or_else(|| refused(seen, report, &phase.name, candidate)) {
            why = format!("phase {}: {said}", phase.name);
            continue;
        }
        let groups = groups_of(seen, candidate)?;
        if groups.iter().all(|group| !group.refusals.is_empty()) {
            let refusals: BTreeSet<&str> = groups
                .iter()
                .flat_map(|one| &one.refusals)
                .map(|one| one.message.as_str())
                .collect();
            let first: Vec<&str> = refusals.into_iter().take(NAMED_MAX).collect();
            return Err(format!(
                "phase {}: none of it can be moved: {}",
                phase.name,
                first.join("; ")
            )
            .into());
        }
        return Ok(Wanted {
            identity: identity(&report.name),
            rollout: report.name.clone(),
            class: candidate.class.clone(),
            phase: phase.name.clone(),
            place: place + 1,
            phases: report.phases.len(),
            moves: moves(seen, report, &phase.name, candidate),
            candidate: candidate.clone(),
            keep_old_volumes: true,
            groups,
            down_before: down_before(seen, report),
            copy: report.copy.clone(),
        });
    }
    Err(why.into())
}

/// Whether Git promotes a phase, with some effect.
fn is_promoted(decided: &Decided, report: &Report, phase: &str) -> bool {
    let of_it = |one: &&super::Standing| one.rollout == report.name && one.phase == phase && !one.back;
    let standing = decided.standings.iter().find(of_it);
    standing.is_some_and(|one| !matches!(one.stands, Stands::Superseded(_)))
}

/// Why a phase may not be asked about, whatever is found in its namespaces.
pub(super) fn refused(seen: &Seen, report: &Report, phase: &str, candidate: &Candidate) -> Option<String> {
    if candidate.claims.len() > CLAIMS_MAX {
        return Some(format!(
            "it has more than {CLAIMS_MAX} claims; split it into several phases"
        ));
    }
    let promotions = &seen.desired.promotions;
    let sealed = promotions.standing.iter().map(Approved::what);
    let mut sealed = sealed.filter(|one| one.rollout == report.name && one.phase == phase && one.secret);
    if sealed.next().is_some() {
        return Some("its promotion is encrypted, and couchestor edits no such file".to_owned());
    }
    let signal = signal(phase, &candidate.fingerprint);
    let asked = |record: &&ProposalStatus| {
        rollout_of(&record.policy) == Some(report.name.as_str())
            && record.moves.iter().any(|one| one.decision.signal == signal)
    };
    let known = || {
        let known = seen.in_flight.proposals.iter().filter(asked);
        known.filter(|record| !record.is_forgotten(seen.limits.rejections_expire, seen.now))
    };
    if known().any(|record| record.state == ProposalState::Declined) {
        return Some("a person has said no to it as it is written".to_owned());
    }
    let partly = |record: &ProposalStatus| record.moves.iter().any(|one| !one.accepted);
    if known().any(|record| record.state == ProposalState::Merged && partly(record)) {
        return Some("a person has merged it without some of its claims".to_owned());
    }
    let mut gone = promotions.withdrawn.iter().map(Approved::what);
    let withdrawn = gone.any(|one| one.rollout == report.name && one.phase == phase);
    let moved = seen.moves.iter().any(|one| {
        one.spec.rollout == report.name
            && one.spec.rollout_phase == phase
            && one.spec.fingerprint == candidate.fingerprint
    });
    if withdrawn && (moved || known().any(|record| record.state == ProposalState::Merged)) {
        return Some(
            "a person has taken its promotion back; whoever wants it after all commits the file again"
                .to_owned(),
        );
    }
    None
}

fn groups_of(seen: &Seen, candidate: &Candidate) -> Result<Vec<Group>, Not> {
    let mut all = Vec::new();
    for (namespace, claims) in candidate.by_namespace() {
        let facts = facts_of(seen, namespace).ok_or(Not::Known)?;
        all.extend(groups_by(
            candidate.method,
            namespace,
            facts,
            &claims,
            &candidate.class,
        ));
    }
    Ok(all)
}

fn facts_of<'a>(seen: &Seen<'a>, namespace: &str) -> Option<&'a Facts> {
    seen.facts.get(namespace)?.as_ref().ok()
}

/// All claims of the phase, as the source's status remembers what was proposed. Tiers are something else than classes, so neither is taken
/// for the other.
fn moves(seen: &Seen, report: &Report, phase: &str, candidate: &Candidate) -> Vec<ProposedMove> {
    let one = |claim: &crate::model::ids::ClaimRef| {
        let facts = facts_of(seen, &claim.namespace);
        let live = facts.and_then(|facts| facts.claims.iter().find(|live| live.claim.claim == *claim));
        let from = live.map_or("", |live| live.claim.storage_class.as_str());
        let class = |name: &str| TierName(format!("class/{name}"));
        ProposedMove {
            claim: claim.clone(),
            volume: live.map_or("", |live| live.volume.as_str()).into(),
            policy: identity(&report.name),
            from: class(from),
            to: class(&candidate.class),
            hotter: false,
            note: DecisionNote::bare(
                identity(&report.name).0,
                from.to_owned(),
                signal(phase, &candidate.fingerprint),
                0.0,
            ),
            candidates: Vec::new(),
            bytes: live.map_or(0, |live| live.bytes),
            monthly_cost: None,
        }
    };
    candidate.claims.iter().map(one).collect()
}

/// How long workloads of the rollout were down at most in moves that completed, in seconds.
fn down_before(seen: &Seen, report: &Report) -> Option<u64> {
    let took = seen
        .moves
        .iter()
        .filter(|one| one.spec.rollout == report.name)
        .filter_map(|one| one.status.as_ref()?.seconds_down());
    took.max()
}
