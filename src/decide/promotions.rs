//! Which phases of rollouts are carried out, what starts now, and what is taken back.
//!
//! Pure. Only Git promotes, and everything that a promotion rests on is looked at again before each move: the phase as it is written, its
//! claims, its gates, the phases before it, and whatever else is busy with the namespace. What is not known keeps a move from starting.

use super::{InFlight, Limits, View, protection};
use crate::model::approval::Approved;
use crate::model::desired::Desired;
use crate::model::ids::{ClaimRef, SourceRef};
use crate::model::kinds::WorkloadMove;
use crate::model::kinds::rollout::{PhaseMethod, PhaseState};
use crate::model::kinds::workload_move::{MovePhase, MovedClaim};
use crate::model::observation::Observation;
use crate::model::promotions::{Candidate, Group, Promotion, Start};
use crate::model::restores::{ClaimFacts, Facts};
use crate::model::rollouts::Report;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Which claims move together.
mod groups;

/// Which Clusters of CloudNativePG are made anew.
mod clusters;

/// What is taken back.
mod back;

#[cfg(test)]
mod tests;

/// Which old volumes are let go.
pub mod letting;

/// Which phase is proposed.
mod proposals;

/// What is said of phases.
mod told;

pub use groups::groups;
pub use proposals::{Proposing, holds, proposals, rollout_of};
pub use told::{is_secret, tell};

/// Claims or refusals that a message names.
const NAMED_MAX: usize = 3;

/// Namespaces that are looked at in one turn, with a dozen lists each: one for each claim of the largest promotion that is proposed.
pub const NAMESPACES_MAX: usize = proposals::CLAIMS_MAX;

/// What deciding about promotions goes by.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    /// The source.
    pub source: &'a SourceRef,
    /// What Git asks for.
    pub desired: &'a Desired,
    /// What was seen of volumes.
    pub observation: &'a Observation,
    /// What is under way.
    pub in_flight: &'a InFlight,
    /// Bounds and switches.
    pub limits: Limits,
    /// Rollouts as they were judged.
    pub reports: &'a [Report],
    /// Every move of workloads that the cluster knows.
    pub moves: &'a [WorkloadMove],
    /// Namespaces that were looked at, or why they could not be.
    pub facts: &'a BTreeMap<String, Result<Facts, String>>,
    /// Now.
    pub now: Timestamp,
}

/// Where a promotion stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stands {
    /// All of its claims are on the class.
    Moved,
    /// It moves something now, or is about to.
    Moves(String),
    /// It waits for something.
    Waits(String),
    /// It says nothing of the phase as that is by now: it has to be written anew.
    Superseded(String),
}

/// A phase whose promotion stands in Git, or whose moves are taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The rollout.
    pub rollout: String,
    /// The phase.
    pub phase: String,
    /// Whether it is taken back.
    pub back: bool,
    /// Where it stands.
    pub stands: Stands,
}

/// What was decided.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decided {
    /// Promotions, and where they stand.
    pub standings: Vec<Standing>,
    /// The move that starts now: one at a time in the whole cluster, for what a person has to watch.
    pub start: Option<Start>,
}

/// Namespaces that are looked at before anything is decided, whose facts nothing is known of yet: those of phases that may move something,
/// or may be proposed. While a move runs nothing starts, and nobody has to look.
pub fn asked(seen: &Seen) -> BTreeSet<String> {
    let mut asked = BTreeSet::new();
    if seen.moves.iter().any(|one| !phase_of(one).is_final()) {
        return asked;
    }
    for report in seen.reports {
        for (place, (phase, candidate)) in report.phases.iter().zip(&report.candidates).enumerate() {
            if candidate.method == PhaseMethod::New || unfounded(report, place, candidate).is_some() {
                continue;
            }
            let mut promotions = seen.desired.promotions.standing.iter().map(Approved::what);
            let promoted = promotions.any(|what| {
                what.rollout == report.name
                    && what.phase == phase.name
                    && what.fingerprint == candidate.fingerprint
            });
            let proposed =
                !report.secret && proposals::refused(seen, report, &phase.name, candidate).is_none();
            if promoted || proposed {
                asked.extend(candidate.elsewhere.iter().map(|claim| claim.namespace.clone()));
            }
        }
    }
    for gone in &seen.desired.promotions.withdrawn {
        let of_it = seen
            .moves
            .iter()
            .filter(|one| back::is_to_be_taken_back(seen.source, gone.what(), one, seen.moves));
        asked.extend(of_it.map(|one| one.spec.namespace.clone()));
    }
    asked
}

/// Decides.
pub fn decide(seen: &Seen) -> Decided {
    let mut decided = Decided::default();
    if seen.desired.promotions.standing.is_empty() && seen.desired.promotions.withdrawn.is_empty() {
        return decided;
    }
    let view = View::new(
        seen.desired,
        seen.observation,
        seen.in_flight,
        seen.limits,
        seen.now,
    );
    let deciding = Deciding { seen, view };
    for promotion in &seen.desired.promotions.standing {
        let what = promotion.what();
        let found = deciding.forward(promotion);
        deciding.add(&mut decided, (&what.rollout, &what.phase, false), found);
    }
    for gone in &seen.desired.promotions.withdrawn {
        let what = gone.what();
        if let Some(found) = deciding.back(gone) {
            deciding.add(&mut decided, (&what.rollout, &what.phase, true), found);
        }
    }
    decided
}

/// What one promotion comes to.
enum Found {
    Stands(Stands),
    Starts(Box<Start>),
}

impl Found {
    fn waits(why: impl Into<String>) -> Self {
        Self::Stands(Stands::Waits(why.into()))
    }
}

struct Deciding<'a> {
    seen: &'a Seen<'a>,
    view: View<'a>,
}

impl Deciding<'_> {
    fn add(&self, decided: &mut Decided, (rollout, phase, back): (&str, &str, bool), found: Found) {
        let stands = match found {
            Found::Stands(stands) => stands,
            Found::Starts(start) if decided.start.is_none() => {
                let claims = start.claims.iter().map(|one| one.name.clone());
                let words = format!("the move of {} starts", named(claims, start.claims.len()));
                decided.start = Some(*start);
                Stands::Moves(words)
            }
            Found::Starts(_) => Stands::Waits("another move starts first".to_owned()),
        };
        decided.standings.push(Standing {
            rollout: rollout.to_owned(),
            phase: phase.to_owned(),
            back,
            stands,
        });
    }

    fn forward(&self, promotion: &Approved<Promotion>) -> Found {
        let what = promotion.what();
        let superseded = |why: String| Found::Stands(Stands::Superseded(why));
        let Some(report) = self.seen.reports.iter().find(|one| one.name == what.rollout) else {
            return superseded("the repository has no such Rollout".to_owned());
        };
        let place = report.phases.iter().position(|one| one.name == what.phase);
        let Some((place, candidate)) = place.and_then(|place| Some((place, report.candidates.get(place)?)))
        else {
            return superseded("the Rollout has no such phase".to_owned());
        };
        if candidate.fingerprint != what.fingerprint {
            return superseded(format!(
                "the phase is written differently since; its fingerprint is {} now",
                candidate.fingerprint
            ));
        }
        if candidate.elsewhere.is_empty() && !candidate.claims.is_empty() {
            return Found::Stands(Stands::Moved);
        }
        // A claim is gone for a moment while its own move exchanges it.
        if let Some(moves @ Found::Stands(Stands::Moves(_))) = self.under_way(&what.rollout, &what.phase) {
            return moves;
        }
        if what.claims != candidate.claims {
            let beside = what.claims.symmetric_difference(&candidate.claims);
            let count = beside.clone().count();
            return superseded(format!(
                "the phase has other claims than the promotion names: {}",
                named(beside.map(ToString::to_string), count)
            ));
        }
        match candidate.method {
            PhaseMethod::New => {
                return superseded("nothing of the phase is moved (`method: new`)".to_owned());
            }
            PhaseMethod::Copy | PhaseMethod::Cnpg => {}
        }
        if let Some(why) = unfounded(report, place, candidate) {
            return Found::waits(why);
        }
        self.next(promotion, report, candidate)
    }

    /// The next move of a promotion whose gates hold.
    fn next(&self, promotion: &Approved<Promotion>, report: &Report, candidate: &Candidate) -> Found {
        let (what, commit) = (promotion.what(), promotion.approval().commit.as_str());
        if let Some(words) = self.under_way(&what.rollout, &what.phase) {
            return words;
        }
        if let Some(why) = self.held() {
            return Found::waits(why);
        }
        let mut waits: Vec<String> = Vec::new();
        for (namespace, claims) in candidate.by_namespace() {
            // One that could not be looked at keeps no other waiting.
            let facts = match self.facts(namespace) {
                Ok(facts) => facts,
                Err(why) => {
                    waits.push(why);
                    continue;
                }
            };
            for group in groups_by(candidate.method, namespace, facts, &claims, &candidate.class) {
                if let Some(why) = self.keeps(commit, facts, &group) {
                    waits.push(why);
                    continue;
                }
                let moved = group.claims.iter().filter_map(|name| {
                    let live = facts.claims.iter().find(|live| live.claim.claim.name == *name)?;
                    Some(moved(live, &candidate.class))
                });
                return Found::Starts(Box::new(Start {
                    rollout: report.name.clone(),
                    phase: what.phase.clone(),
                    method: candidate.method,
                    fingerprint: candidate.fingerprint.clone(),
                    namespace: namespace.to_owned(),
                    claims: moved.collect(),
                    workloads: group.workloads,
                    flux: group.flux,
                    image: report.copy.image.clone(),
                    timeout: report.copy.timeout.clone(),
                    back: None,
                    secret: report.secret || what.secret,
                    approval: promotion.approval().clone(),
                }));
            }
        }
        let count = waits.len();
        Found::waits(named(waits.into_iter(), count))
    }

    fn facts(&self, namespace: &str) -> Result<&Facts, String> {
        match self.seen.facts.get(namespace) {
            Some(Ok(facts)) => Ok(facts),
            Some(Err(error)) => Err(format!("namespace {namespace} could not be looked at: {error}")),
            None => Err(format!("namespace {namespace} was not looked at yet")),
        }
    }

    /// Why a group is not moved now.
    fn keeps(&self, commit: &str, facts: &Facts, group: &Group) -> Option<String> {
        if let Some(refusal) = group.refusals.first() {
            return Some(format!("refused ({}): {}", refusal.reason, refusal.message));
        }
        let failed = self.seen.moves.iter().find(|one| {
            let spec = &one.spec;
            spec.approved.commit == commit
                && spec.back.is_none()
                && spec.namespace == group.namespace
                && spec.claims.iter().any(|claim| group.claims.contains(&claim.name))
                && phase_of(one) != MovePhase::Completed
        });
        if let Some(failed) = failed {
            let name = failed.metadata.name.as_deref().unwrap_or_default();
            let (phase, message) = failed
                .status
                .as_ref()
                .map_or(("", ""), |one| (one.phase.as_str(), &one.message));
            return Some(format!(
                "WorkloadMove {name} ended as {phase}: {message}. Mend the cause, and commit any change to the promotion to have it tried again"
            ));
        }
        let busy = self.busy(facts, &group.namespace, &group.claims);
        busy.or_else(|| group.waits.clone())
    }

    /// What goes on in a namespace, or with the volumes of claims.
    fn busy(&self, facts: &Facts, namespace: &str, claims: &BTreeSet<String>) -> Option<String> {
        if let Some(busy) = facts.busy.first() {
            return Some(busy.clone());
        }
        for name in claims {
            let claim = ClaimRef {
                namespace: namespace.to_owned(),
                name: name.clone(),
            };
            let running = self.seen.in_flight.migrations.iter();
            let mut running = running.filter(|one| one.claim == claim && !one.phase.is_final());
            if let Some(one) = running.next() {
                return Some(format!(
                    "VolumeMigration {} of claim {claim} is under way",
                    one.name
                ));
            }
            let Some(index) = self.seen.observation.find(&claim) else {
                return Some(format!("claim {claim} was not seen with a volume"));
            };
            if let Err(why) = protection::lets_move(&self.view, &self.seen.observation.volumes[index]) {
                return Some(format!("claim {claim}: {why}"));
            }
        }
        None
    }

    /// What a move that has not ended comes to, whoever's it is.
    fn under_way(&self, rollout: &str, phase: &str) -> Option<Found> {
        let one = self.seen.moves.iter().find(|one| !phase_of(one).is_final())?;
        let (spec, source) = (&one.spec, self.seen.source);
        let ours = spec.rollout == rollout && spec.rollout_phase == phase && spec.source.is(source);
        let name = one.metadata.name.as_deref().unwrap_or_default();
        let words = format!("WorkloadMove {name} is in phase {}", phase_of(one).as_str());
        Some(Found::Stands(match ours {
            true => Stands::Moves(words),
            false => Stands::Waits(format!("{words}; one moves at a time")),
        }))
    }

    /// What keeps all moves from starting.
    fn held(&self) -> Option<String> {
        let stop = self.seen.in_flight.control.stop.as_ref();
        let dry = self
            .seen
            .limits
            .dry_run
            .then(|| "nothing is started in a dry run".to_owned());
        stop.map(ToString::to_string).or(dry)
    }
}

/// What moves together by a method.
fn groups_by(
    method: PhaseMethod,
    namespace: &str,
    facts: &Facts,
    claims: &BTreeSet<&str>,
    class: &str,
) -> Vec<Group> {
    match method {
        PhaseMethod::Cnpg => clusters::groups(namespace, facts, claims, class),
        PhaseMethod::Copy | PhaseMethod::New => groups(namespace, facts, claims, class),
    }
}

/// What of a phase and of those before it keeps the phase from being promoted, and from moving anything.
pub fn unfounded(report: &Report, place: usize, candidate: &Candidate) -> Option<String> {
    for before in report.phases.iter().take(place) {
        if before.state != PhaseState::Done {
            return Some(format!("phase {} is not done", before.name));
        }
        if !before.waits_for.is_empty() {
            return Some(format!(
                "phase {} no longer holds: {}",
                before.name, before.waits_for
            ));
        }
    }
    if report
        .phases
        .get(place)
        .is_none_or(|phase| phase.state == PhaseState::Waiting)
    {
        return Some("the phase is not open".to_owned());
    }
    let failing = candidate.gates.iter().find(|gate| !gate.holds);
    failing.map(|gate| format!("{}: {}", gate.gate, gate.message))
}

/// A claim as it is to be moved.
fn moved(live: &ClaimFacts, class: &str) -> MovedClaim {
    MovedClaim {
        name: live.claim.claim.name.clone(),
        volume: live.volume.clone(),
        bytes: live.bytes,
        from: live.claim.storage_class.clone(),
        to: class.to_owned(),
        onto: None,
        policy: None,
    }
}

/// Where a move stands.
pub fn phase_of(one: &WorkloadMove) -> MovePhase {
    one.status.as_ref().map(|status| status.phase).unwrap_or_default()
}

/// The first of so many things.
fn named(names: impl Iterator<Item = String>, count: usize) -> String {
    let shown: Vec<String> = names.take(NAMED_MAX).collect();
    let more = match count.saturating_sub(shown.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", shown.join("; "))
}
