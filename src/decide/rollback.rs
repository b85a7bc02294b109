//! Which assignments should be taken back: base says a tier, and the move there has failed, so it says what is not so; or the volume
//! has answered more slowly since.

use super::questions::latency;
use super::{InFlight, placements};
use crate::model::decision::ProposedMove;
use crate::model::desired::{Desired, Policy, Rollback};
use crate::model::ids::{PolicyName, TierName};
use crate::model::kinds::policy_source::{ProposalState, ProposalStatus, ProposedMoveStatus};
use crate::model::kinds::tier_assignment::DecisionNote;
use crate::model::kinds::volume_migration::Phase;
use crate::model::migration_brief::MigrationBrief;
use crate::model::observation::Observation;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

/// Assignments that are taken back in one proposal.
const MOVES_MAX: usize = 50;

/// What assignments belong to that no policy proposed.
const BY_HAND: &str = "assignments";

/// Why an assignment is taken back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cause {
    /// The move failed, and the volume is where it was.
    Failed(Phase),
    /// The move succeeded, and the volume has answered more slowly since.
    Slower {
        /// Mean latency before it, in milliseconds.
        before: f64,
        /// Mean latency after it.
        after: f64,
    },
}

/// An assignment to be set back.
#[derive(Clone, Debug, PartialEq)]
pub struct Return {
    /// From the tier that base says to the one that it should say. Its note names the migration, by which a no is remembered.
    pub back: ProposedMove,
    /// The migration.
    pub migration: String,
    /// Why.
    pub cause: Cause,
}

/// A migration by what was approved: volume, tier and commit.
type Key<'a> = (&'a str, &'a str, &'a str);

fn key(migration: &MigrationBrief) -> Key<'_> {
    let MigrationBrief {
        volume,
        to,
        approved_in,
        ..
    } = migration;
    (volume.as_str(), to.as_str(), approved_in.as_str())
}

/// What is to be asked beside the questions of [`super::questions()`]: the latency, for policies that compare it, while a move of
/// theirs may start or ended not long ago. One query for each of them, whatever the number of moves.
pub fn questions(desired: &Desired, migrations: &[MigrationBrief], now: Timestamp) -> BTreeSet<String> {
    let mut asked = BTreeSet::new();
    if desired.policies.values().all(|policy| policy.rollback.is_none()) {
        return asked;
    }
    let after = migrations
        .iter()
        .filter_map(|one| Some((one, comparing(desired, one.policy.as_deref()?)?)))
        .filter(|(one, (policy, rollback))| compared(one, policy, rollback, now))
        .map(|(_, (policy, _))| policy);
    let done: HashSet<Key> = migrations.iter().map(key).collect();
    let before = desired.approved.iter().filter_map(|approved| {
        let what = approved.what();
        let (policy, _) = comparing(desired, what.policy.as_deref()?)?;
        let commit = approved.approval().commit.as_str();
        (!done.contains(&(what.volume.as_str(), what.to.as_str(), commit))).then_some(policy)
    });
    let policies: BTreeMap<&PolicyName, &Policy> =
        after.chain(before).map(|policy| (&policy.name, policy)).collect();
    asked.extend(policies.values().map(|policy| latency(policy, now)));
    asked
}

/// The policy of that name, if it compares latencies.
fn comparing<'a>(desired: &'a Desired, name: &str) -> Option<(&'a Policy, Rollback)> {
    let policy = desired.policies.get(&PolicyName(name.to_owned()))?;
    let policy = Some(policy).filter(|policy| policy.enabled)?;
    Some((policy, policy.rollback?))
}

/// Whether a whole window has passed since a move, and it is not yet too long ago.
fn compared(migration: &MigrationBrief, policy: &Policy, rollback: &Rollback, now: Timestamp) -> bool {
    let ended = migration.finished.as_deref();
    let Some(ended) = ended.and_then(|at| at.parse::<Timestamp>().ok()) else {
        return false;
    };
    let since = Duration::try_from(now.duration_since(ended)).unwrap_or_default();
    migration.phase == Phase::Completed
        && migration.latency_before.is_some()
        && since >= policy.window
        && since <= rollback.within
}

/// The volume's mean latency over the policy's window, in milliseconds, if it was asked for and is known.
pub fn latency_of(policy: &Policy, observation: &Observation, index: usize, now: Timestamp) -> Option<f64> {
    policy.rollback?;
    let answer = observation.answers.get(&latency(policy, now))?;
    let value = answer.as_ref().ok()?.get(index).copied()?;
    (value.is_finite() && value > 0.0).then_some(value)
}

/// Identity of the proposals that take moves of a policy back, beside the policy's own: no policy's name has a slash.
pub fn identity(policy: &str, cause: Cause) -> PolicyName {
    PolicyName(match cause {
        Cause::Failed(_) => format!("rollback/{policy}"),
        Cause::Slower { .. } => format!("slower/{policy}"),
    })
}

/// What a no to one return is remembered by.
fn remembered(migration: &str, cause: Cause) -> String {
    match cause {
        Cause::Failed(_) => format!("failed {migration}"),
        Cause::Slower { .. } => format!("latency {migration}"),
    }
}

/// The assignments whose approval ended in a failed move while the volume is whole on another tier, and those whose volume became
/// slower by the move, by identity. Where a person said no to that before, it is left as it is.
pub fn returns(
    desired: &Desired,
    observation: &Observation,
    in_flight: &InFlight,
    now: Timestamp,
) -> BTreeMap<PolicyName, Vec<Return>> {
    let mut returns: BTreeMap<PolicyName, Vec<Return>> = BTreeMap::new();
    let ended = |one: &&MigrationBrief| match one.phase {
        Phase::RolledBack | Phase::NeedsPerson => true,
        Phase::Completed => one.latency_before.is_some(),
        _ => false,
    };
    let mut latest: HashMap<Key, &MigrationBrief> = HashMap::new();
    for one in &in_flight.migrations {
        let known = latest.entry(key(one)).or_insert(one);
        if one.attempt > known.attempt {
            *known = one;
        }
    }
    // What a person has tried again is not taken back meanwhile.
    latest.retain(|_, one| ended(&&**one) && !(one.failed() && one.retry.is_some()));
    let ended = latest;
    if ended.is_empty() || observation.engine.is_err() {
        return returns;
    }
    let placed = placements(desired, observation);
    for approved in &desired.approved {
        let (what, commit) = (approved.what(), approved.approval().commit.as_str());
        let key = (what.volume.as_str(), what.to.as_str(), commit);
        // Without an assignment nothing can be set back: that was a way back already.
        let (Some(migration), Some(assignment)) = (ended.get(&key), desired.assignments.get(&what.claim))
        else {
            continue;
        };
        let found = observation.find(&what.claim);
        let Some(index) = found.filter(|index| *observation.volumes[*index].name == *what.volume.as_str())
        else {
            continue;
        };
        let Some(here) = placed[index] else { continue };
        let (cause, to) = match migration.phase {
            Phase::Completed => {
                let proposals = &in_flight.proposals;
                // What a person has pinned since stays.
                let free = *here == what.to && assignment.pin.is_none();
                match slower(desired, observation, proposals, migration, index, now).filter(|_| free) {
                    Some(cause) => (cause, &migration.from),
                    None => continue,
                }
            }
            failed if *here != what.to => (Cause::Failed(failed), here),
            _ => continue,
        };
        let words = remembered(&migration.name, cause);
        let mut before = said(&in_flight.proposals, what.volume.as_str(), &words);
        if before.any(|(proposal, one)| is_no(proposal, one)) {
            continue;
        }
        let policy = what.policy.clone().unwrap_or_else(|| BY_HAND.to_owned());
        let identity = identity(&policy, cause);
        let all = returns.entry(identity.clone()).or_default();
        if all.len() < MOVES_MAX {
            all.push(Return {
                back: back(desired, migration, (identity, policy), to, cause),
                migration: migration.name.clone(),
                cause,
            });
        }
    }
    returns
}

/// From where base says to the tier that it should say.
fn back(
    desired: &Desired,
    migration: &MigrationBrief,
    (identity, policy): (PolicyName, String),
    to: &TierName,
    cause: Cause,
) -> ProposedMove {
    let rank = |name| desired.tiers.get(name).map(|tier| tier.rank);
    let value = match cause {
        Cause::Failed(_) => 0.0,
        Cause::Slower { after, .. } => after,
    };
    ProposedMove {
        claim: migration.claim.clone(),
        volume: migration.volume.clone(),
        policy: identity,
        from: migration.to.clone(),
        to: to.clone(),
        hotter: rank(to) > rank(&migration.to),
        note: DecisionNote::bare(
            policy,
            migration.to.to_string(),
            remembered(&migration.name, cause),
            value,
        ),
        candidates: Vec::new(),
        bytes: 0,
        monthly_cost: None,
    }
}

/// Whether a volume has answered so much more slowly since a move that its policy wants it back. What is proposed already stays until
/// it is answered, with its figures, unless the latency goes back past the policy's hysteresis while it is still looked at.
fn slower(
    desired: &Desired,
    observation: &Observation,
    proposals: &[ProposalStatus],
    migration: &MigrationBrief,
    index: usize,
    now: Timestamp,
) -> Option<Cause> {
    let before = migration.latency_before?;
    let (policy, rollback) = comparing(desired, migration.policy.as_deref()?)?;
    // A copy on each of two tiers is nowhere to go back to.
    desired.tiers.get(&migration.from)?;
    if policy.dry_run {
        return None;
    }
    let words = remembered(&migration.name, Cause::Slower { before, after: 0.0 });
    let open = said(proposals, &migration.volume.0, &words)
        .find(|(proposal, _)| proposal.state.is_asked())
        .map(|(_, one)| one.decision.value);
    let latency = compared(migration, policy, &rollback, now)
        .then(|| latency_of(policy, observation, index, now))
        .flatten();
    let limit = before * (1.0 + rollback.worse);
    let after = match (open, latency) {
        (Some(_), Some(now)) if now < limit * (1.0 - policy.hysteresis) => return None,
        (Some(proposed), _) => proposed,
        (None, latency) => latency.filter(|now| *now >= limit)?,
    };
    // Another proposal speaks of the volume already, and a volume is asked for once.
    let volume = migration.volume.as_str();
    let other = |proposal: &ProposalStatus| {
        let of_it = |one: &ProposedMoveStatus| one.volume == volume && one.decision.signal != words;
        proposal.state.is_open() && proposal.moves.iter().any(of_it)
    };
    (open.is_some() || !proposals.iter().any(other)).then_some(Cause::Slower { before, after })
}

/// What was proposed for this reason before.
fn said<'a>(
    proposals: &'a [ProposalStatus],
    volume: &'a str,
    words: &'a str,
) -> impl Iterator<Item = (&'a ProposalStatus, &'a ProposedMoveStatus)> {
    let all = proposals
        .iter()
        .flat_map(|proposal| proposal.moves.iter().map(move |one| (proposal, one)));
    all.filter(move |(_, one)| one.volume == volume && one.decision.signal == words)
}

/// Whether a person said no to it.
fn is_no(proposal: &ProposalStatus, one: &ProposedMoveStatus) -> bool {
    match proposal.state {
        ProposalState::Declined => true,
        ProposalState::Merged => !one.accepted,
        ProposalState::Open | ProposalState::Edited | ProposalState::Withdrawing => false,
    }
}
