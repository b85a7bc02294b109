//! What a replay came to, as data for every output.

use crate::model::decision::ProposedMove;
use serde::Serialize;
use std::collections::BTreeMap;

/// A volume that is moved more often than this in one replay flaps, whatever lies between.
const MOVES_MAX: usize = 4;

/// A policy without a cool-down calls it flapping when a volume is back within two days.
const REST_MIN_SECS: u64 = 86_400;

/// A move that was carried out.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Moved {
    /// The claim, `namespace/name`.
    pub claim: String,
    /// The policy.
    pub policy: String,
    /// From which tier.
    pub from: String,
    /// To which tier.
    pub to: String,
    /// Whether the new tier is the faster one.
    pub hotter: bool,
    /// The signal that it rests on.
    pub signal: String,
    /// Its value.
    pub value: f64,
    /// The threshold that it crossed; absent when the policy is encrypted.
    pub threshold: Option<f64>,
    /// Bytes of all copies.
    pub bytes: u64,
    /// When it was proposed, in seconds since the epoch.
    pub proposed_at: i64,
    /// When it was carried out.
    pub moved_at: i64,
}

impl Moved {
    pub(super) fn of(what: &ProposedMove, proposed_at: i64, moved_at: i64) -> Self {
        Self {
            claim: what.claim.to_string(),
            policy: what.policy.to_string(),
            from: what.from.to_string(),
            to: what.to.to_string(),
            hotter: what.hotter,
            signal: what.note.signal.clone(),
            value: what.note.value,
            threshold: what.note.watermark,
            bytes: what.bytes,
            proposed_at,
            moved_at,
        }
    }
}

/// A proposal that waits for its approval at the end.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pending {
    /// The claim.
    pub claim: String,
    /// From which tier.
    pub from: String,
    /// To which tier.
    pub to: String,
    /// Since when, in seconds since the epoch.
    pub proposed_at: i64,
}

/// What one strategy came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Its name.
    pub name: &'static str,
    /// Moves that were proposed; none for strategies that ask nobody.
    pub proposed: Option<usize>,
    /// Proposals that were taken back before they were approved.
    pub withdrawn: Option<usize>,
    /// Moves that were carried out.
    pub moved: u64,
    /// Bytes that were copied.
    pub bytes_moved: u64,
    /// Claims of volumes that were moved back too soon, or too often; unknown for who knows the future.
    pub flapping: Option<Vec<String>>,
    /// Part of all operations that the hottest tier served, 0 to 1.
    pub hot_share: Option<f64>,
    /// Operations that it served.
    pub hot_operations: f64,
    /// What a month cost in the mean, when all tiers have a price.
    pub monthly_cost: Option<f64>,
    /// The share at each evaluation but the first.
    pub shares: Vec<Option<f64>>,
    /// The moves, for strategies that are judged move by move.
    pub moves: Vec<Moved>,
}

/// One of the volumes with the most operations.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Busy {
    /// The claim.
    pub claim: String,
    /// Operations in all.
    pub operations: f64,
    /// Hot from this many operations per second on, when its policy says so and is not encrypted.
    pub above: Option<f64>,
    /// Cold below this many.
    pub below: Option<f64>,
    /// Operations per second before each evaluation but the first.
    pub load: Vec<Option<f64>>,
}

/// What a replay came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The first evaluation, in seconds since the epoch.
    pub first: i64,
    /// The last.
    pub last: i64,
    /// Seconds between two.
    pub step_seconds: i64,
    /// How many there are.
    pub evaluations: i64,
    /// How long a proposal waits for its approval.
    pub approval_delay_seconds: i64,
    /// Volumes that were seen.
    pub volumes: usize,
    /// Volumes that a policy takes and Mayastor knows.
    pub taken: usize,
    /// Part of the time of these volumes for which load is known, 0 to 1.
    pub known: f64,
    /// Operations in all.
    pub operations: f64,
    /// The policies, doing nothing, plain watermarks, and who knows the future.
    pub strategies: Vec<Outcome>,
    /// What waits for its approval at the end.
    pub pending: Vec<Pending>,
    /// How often each reason left a volume alone, by evaluation.
    pub left_alone: BTreeMap<&'static str, u64>,
    /// The volumes with the most operations.
    pub busiest: Vec<Busy>,
    /// What the replay takes for granted.
    pub assumptions: Vec<String>,
}

impl Report {
    /// The policies' own outcome.
    pub fn ours(&self) -> Option<&Outcome> {
        self.strategies.first()
    }
}

/// Claims of volumes that went back to a tier within twice their cool-down after they had left it, or that were moved very often.
pub(super) fn flapping(moves: &[Moved], cooldown: impl Fn(&str) -> u64) -> Vec<String> {
    let mut of_claim: BTreeMap<&str, Vec<&Moved>> = BTreeMap::new();
    for moved in moves {
        of_claim.entry(&moved.claim).or_default().push(moved);
    }
    let flaps = |(claim, moves): &(&str, Vec<&Moved>)| {
        let rest = cooldown(claim).max(REST_MIN_SECS).saturating_mul(2);
        let rest = i64::try_from(rest).unwrap_or(i64::MAX);
        let back = moves.iter().enumerate().any(|(index, later)| {
            let mut earlier = moves[..index].iter();
            earlier.any(|earlier| earlier.from == later.to && later.moved_at - earlier.moved_at < rest)
        });
        back || moves.len() > MOVES_MAX
    };
    of_claim
        .into_iter()
        .filter(flaps)
        .map(|(claim, _)| claim.to_owned())
        .collect()
}
