//! Why one volume is where it is, in full: its signals with their thresholds, its rest, and what speaks against each pool.

use super::heat::{self, Columns, Measured};
use super::place::{Room, bit};
use super::{InFlight, Limits, View, judge};
use crate::model::decision::{Decision, LeftAlone, measured, span};
use crate::model::desired::{Desired, Signal};
use crate::model::ids::ClaimRef;
use crate::model::observation::{Backing, Observation};
use jiff::Timestamp;
use serde::Serialize;

/// One signal of a volume.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SignalFacts {
    /// Its name, with the percentile if there is one.
    pub name: String,
    /// Its value over the window, if it is known.
    pub value: Option<f64>,
    /// The value as people read it.
    pub shown: String,
    /// Least value in the time for which it must be sustained.
    pub least: Option<f64>,
    /// Greatest value in that time.
    pub greatest: Option<f64>,
    /// At or above this it speaks for hot.
    pub above: Option<f64>,
    /// Below this it speaks for cold.
    pub below: Option<f64>,
    /// What it speaks for: `hot`, `cold`, `neither`, `unknown`; for exceptions `holds` or `does not hold`.
    pub says: &'static str,
}

/// One pool of a tier that the volume could go to.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolFacts {
    /// Its tier.
    pub tier: String,
    /// Its name.
    pub pool: String,
    /// What keeps a copy off it; absent when nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excluded: Option<String>,
}

/// All that bears on one volume.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The claim, `namespace/name`.
    pub claim: String,
    /// The PersistentVolume.
    pub volume: String,
    /// The policy that takes it.
    pub policy: Option<String>,
    /// The tier that it is on.
    pub tier: Option<String>,
    /// The policy's tiers from the coldest to the hottest.
    pub tiers: Vec<String>,
    /// What is decided, in one line.
    pub verdict: String,
    /// The window over which signals are measured.
    pub window: Option<String>,
    /// Part of the window that has samples, in percent.
    pub coverage_percent: Option<u32>,
    /// Signals that make hot or cold.
    pub signals: Vec<SignalFacts>,
    /// When all of these hold, it is not hot after all.
    pub not_heat_when: Vec<SignalFacts>,
    /// Further facts, a line each.
    pub facts: Vec<String>,
    /// Pools of the policy's other tiers.
    pub pools: Vec<PoolFacts>,
}

/// Explains one claim's volume; `None` if there is no such claim.
pub fn explain(
    desired: &Desired,
    observation: &Observation,
    in_flight: &InFlight,
    limits: Limits,
    now: Timestamp,
    claim: &ClaimRef,
    decision: &Decision,
) -> Option<Explanation> {
    let view = View::new(desired, observation, in_flight, limits, now);
    let index = observation.find(claim)?;
    let bound = &observation.volumes[index];
    let taker = judge::taker(&view, bound).ok();
    let taker = taker.map(|taker| &view.policies[taker]);
    let name = |tier: &usize| view.tiers[*tier].name.to_string();
    let mut explanation = Explanation {
        claim: claim.to_string(),
        volume: bound.name.to_string(),
        policy: taker.map(|measured| measured.policy.name.to_string()),
        tier: view.placed(bound).as_ref().map(name),
        tiers: taker
            .map(|measured| measured.kind.tiers.iter().map(name).collect())
            .unwrap_or_default(),
        verdict: verdict(decision, claim),
        window: None,
        coverage_percent: None,
        signals: Vec::new(),
        not_heat_when: Vec::new(),
        facts: Vec::new(),
        pools: Vec::new(),
    };
    if let Some(measured) = taker {
        load(&mut explanation, measured, index);
        rest(&mut explanation, &view, measured, index);
        pools(&mut explanation, &view, measured, index);
    }
    Some(explanation)
}

fn verdict(decision: &Decision, claim: &ClaimRef) -> String {
    if let Some(one) = decision.proposals.iter().find(|one| one.claim == *claim) {
        return format!("to be moved from {} to {}, if a person agrees", one.from, one.to);
    }
    if let Some(one) = decision
        .starts
        .iter()
        .find(|one| one.approved.what().claim == *claim)
    {
        return format!(
            "approved, and starts now: from {} to {}",
            one.from,
            one.approved.what().to
        );
    }
    let left = decision.left_alone.iter().find(|left| left.is(claim));
    left.map_or_else(|| "it is where it belongs".to_owned(), LeftAlone::words)
}

fn load(explanation: &mut Explanation, of: &Measured, index: usize) {
    let policy = of.policy;
    explanation.window = (!policy.secret).then(|| policy.window_text.clone());
    let Some(answers) = &of.kind.answers else { return };
    let coverage = heat::known(&answers.coverage, index);
    explanation.coverage_percent = coverage.map(|part| (part.clamp(0.0, 1.0) * 100.0) as u32);
    let title = |signal: &Signal| match signal.percentile {
        Some(part) => format!("{} p{:.0}", signal.name, part * 100.0),
        None => signal.name.to_string(),
    };
    let shown = |signal: &Signal, value: Option<f64>| match value {
        Some(value) => measured(&signal.name, value),
        None => "unknown".to_owned(),
    };
    // Of a policy that was encrypted no threshold is told.
    let told = |threshold: Option<f64>| threshold.filter(|_| !policy.secret);
    for (signal, Columns { value, extremes }) in policy.signals.iter().zip(&answers.signals) {
        let value = heat::known(value, index);
        let extremes = extremes.as_ref();
        explanation.signals.push(SignalFacts {
            name: title(signal),
            value,
            shown: shown(signal, value),
            least: extremes.and_then(|(least, _)| heat::known(least, index)),
            greatest: extremes.and_then(|(_, greatest)| heat::known(greatest, index)),
            above: told(signal.above),
            below: told(signal.below),
            says: match value {
                None => "unknown",
                Some(value) if signal.above.is_some_and(|above| value >= above) => "hot",
                Some(value) if signal.below.is_some_and(|below| value < below) => "cold",
                Some(_) => "neither",
            },
        });
    }
    for (signal, column) in policy.not_heat_when.iter().zip(&answers.exceptions) {
        let value = heat::known(column, index);
        let holds = |value: f64| {
            signal.above.is_some_and(|above| value >= above)
                || signal.below.is_some_and(|below| value < below)
        };
        explanation.not_heat_when.push(SignalFacts {
            name: title(signal),
            value,
            shown: shown(signal, value),
            least: None,
            greatest: None,
            above: told(signal.above),
            below: told(signal.below),
            says: match value {
                None => "unknown",
                Some(value) if holds(value) => "holds",
                Some(_) => "does not hold",
            },
        });
    }
}

fn rest(explanation: &mut Explanation, view: &View, of: &Measured, index: usize) {
    let (bound, policy) = (&view.observation.volumes[index], of.policy);
    let since = |at: i64| u64::try_from(view.now.as_second().saturating_sub(at)).unwrap_or(0);
    let facts = &mut explanation.facts;
    if let Some(last) = bound.last_migration {
        facts.push(format!(
            "last moved {} ago; policies let it rest for {}",
            span(since(last)),
            span(policy.cooldown.as_secs())
        ));
    }
    if let Some(created) = bound.created {
        facts.push(format!("made {} ago", span(since(created))));
    }
    if !policy.sustained.is_zero() && !policy.secret {
        facts.push(format!(
            "thresholds must be crossed for {} without a break",
            span(policy.sustained.as_secs())
        ));
    }
    if let Some(window) = policy
        .move_windows
        .iter()
        .filter_map(|window| window.opens(view.now))
        .min()
    {
        match window == view.now {
            true => facts.push("a window for moves is open".to_owned()),
            false => facts.push(format!("the next window for moves opens at {window}")),
        }
    }
    if let Backing::Mayastor(volume) = &bound.backing {
        let size = crate::model::engine::gib(volume.size);
        let copies = volume.copies.len();
        facts.push(format!("{size}, {copies} of {} copies", volume.wanted_copies));
    }
    for tier in &of.kind.tiers {
        let name = &view.tiers[*tier].name;
        facts.push(match view.filled[*tier].percent() {
            Some(percent) => format!("tier {name} is {percent:.0} % full"),
            None => format!("how full tier {name} is, is not known"),
        });
    }
}

fn pools(explanation: &mut Explanation, view: &View, of: &Measured, index: usize) {
    let bound = &view.observation.volumes[index];
    let (Backing::Mayastor(volume), Ok(fleet)) = (&bound.backing, &view.observation.engine) else {
        return;
    };
    let room = Room::of(view);
    let here = view.placed(bound);
    for tier in of.kind.tiers.iter().copied().filter(|tier| Some(*tier) != here) {
        for (pool, number) in fleet.pools.iter().zip(0_u32..) {
            if view.pool_tiers[number as usize] & bit(tier) == 0 {
                continue;
            }
            explanation.pools.push(PoolFacts {
                tier: view.tiers[tier].name.to_string(),
                pool: pool.name.to_string(),
                excluded: room.exclusion(view, fleet, volume, tier, number),
            });
        }
    }
}
