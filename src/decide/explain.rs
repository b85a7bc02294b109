//! Why one volume is where it is, in full: its signals with their thresholds, its rest, and what speaks against each pool.

use super::heat::{self, Columns, Direction, Held, Measured, beyond};
use super::place::{self, Room, bit};
use super::{InFlight, Limits, View, judge, starts};
use crate::model::decision::{Decision, LeftAlone, measured, span};
use crate::model::desired::{Budgets, Desired, Policy, Signal};
use crate::model::engine::gib;
use crate::model::ids::ClaimRef;
use crate::model::masked::noted;
use crate::model::observation::{Backing, Observation, Pin};
use crate::model::week::WeekWindow;
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
    /// What it speaks for: `hot`, `cold`, `neither`, `unknown`, and `still hot` or `still cold` by the hysteresis of what is asked for
    /// already; for exceptions `holds` or `does not hold`.
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
    let taker = judge::taker(&view, bound.group).ok();
    let taker = taker.map(|taker| view.policies.measured(taker));
    let taker = taker.as_ref();
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
        load(&mut explanation, &view, measured, index);
        rest(&mut explanation, &view, measured, index);
        tiers(&mut explanation, &view, measured);
        pools(&mut explanation, &view, measured, index, decision);
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

/// What is asked for of a volume already: its thresholds give way by the hysteresis.
fn held(view: &View, of: &Measured, index: usize) -> Held {
    let on_tiers = place::tiers_of(&view.observation.volumes[index], &view.pool_tiers);
    judge::ways(view, of, view.past(index), on_tiers).map_or_else(Held::default, |ways| ways.held)
}

/// What a value speaks for.
fn says(policy: &Policy, signal: &Signal, held: Held, value: Option<f64>) -> &'static str {
    let Some(value) = value else { return "unknown" };
    let hot = |slack| {
        let above = signal.above;
        above.is_some_and(|above| beyond(Direction::Hotter, value, above, slack))
    };
    let cold = |slack| {
        let below = signal.below;
        below.is_some_and(|below| beyond(Direction::Colder, value, below, slack))
    };
    if hot(0.0) {
        "hot"
    } else if cold(0.0) {
        "cold"
    } else if held.hotter && hot(policy.hysteresis) {
        "still hot"
    } else if held.colder && cold(policy.hysteresis) {
        "still cold"
    } else {
        "neither"
    }
}

fn load(explanation: &mut Explanation, view: &View, of: &Measured, index: usize) {
    let policy = of.policy;
    let held = held(view, of, index);
    explanation.window = (!policy.secret).then(|| policy.window_text.clone());
    let Some(answers) = &of.kind.answers else { return };
    let coverage = heat::known(&answers.coverage, index);
    explanation.coverage_percent = coverage.map(|part| (part.clamp(0.0, 1.0) * 100.0) as u32);
    let title = |signal: &Signal| match signal.percentile.filter(|_| !policy.secret) {
        Some(part) => format!("{} p{:.0}", noted(policy, &signal.name), part * 100.0),
        None => noted(policy, &signal.name).to_owned(),
    };
    let shown = |signal: &Signal, value: Option<f64>| match value {
        Some(value) => measured(noted(policy, &signal.name), value),
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
            says: says(policy, signal, held, value),
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

/// What keeps a volume where it is, or would, whatever its load. Of a policy that was encrypted nothing is told that it says.
fn rest(explanation: &mut Explanation, view: &View, of: &Measured, index: usize) {
    let (bound, policy) = (&view.observation.volumes[index], of.policy);
    let since = |at: i64| u64::try_from(view.now.as_second().saturating_sub(at)).unwrap_or(0);
    let told = |words: String| if policy.secret { String::new() } else { words };
    let facts = &mut explanation.facts;
    let assigned = view.past(index).and_then(|past| past.assigned);
    let pins = [
        ("an annotation on the claim", bound.pin),
        ("its assignment", assigned.and_then(|assigned| assigned.pin)),
    ];
    facts.extend(
        pins.iter()
            .filter_map(|(whose, pin)| Some(pinned(whose, (*pin)?, view.now))),
    );
    if let Some(last) = bound.last_migration {
        let rests = told(format!(
            "; policies let it rest for {}",
            span(policy.cooldown.as_secs())
        ));
        facts.push(format!("last moved {} ago{rests}", span(since(last.get()))));
    }
    if let Some(created) = bound.created {
        let age = match policy.min_age.is_zero() {
            true => String::new(),
            false => told(format!(
                "; the policy moves none that is younger than {}",
                span(policy.min_age.as_secs())
            )),
        };
        facts.push(format!("made {} ago{age}", span(since(created.get()))));
    }
    if let Backing::Mayastor(volume) = &bound.backing {
        let copies = volume.copies.len();
        let size = gib(volume.size);
        facts.push(format!("{size}, {copies} of {} copies", volume.wanted_copies));
    }
    if policy.secret {
        return;
    }
    if !policy.sustained.is_zero() {
        facts.push(format!(
            "thresholds must be crossed for {} without a break",
            span(policy.sustained.as_secs())
        ));
    }
    if policy.hysteresis > 0.0 {
        facts.push(format!(
            "what is asked for or approved holds until its signal has gone back past its threshold by {:.0} %",
            policy.hysteresis * 100.0
        ));
    }
    facts.extend(windows(
        "the load is not counted in",
        &policy.excluded_windows,
        view,
    ));
    facts.extend(windows("moves start in", &policy.move_windows, view));
    facts.push(budgets(policy.max_concurrent, &policy.budgets));
}

fn pinned(whose: &str, pin: Pin, now: Timestamp) -> String {
    match pin {
        Pin::Always => format!("{whose} keeps it where it is"),
        Pin::Unreadable => format!("{whose} should keep it where it is, and cannot be read"),
        Pin::Until(until) => match Timestamp::from_second(until) {
            Ok(until) if until > now => format!("{whose} keeps it where it is until {until}"),
            _ => format!("{whose} kept it where it is, and its time is over"),
        },
    }
}

/// How many windows there are, and whether one of them is open or when the next one opens.
fn windows(what: &str, windows: &[WeekWindow], view: &View) -> Option<String> {
    let count = match windows.len() {
        0 => return None,
        1 => "one window of the week".to_owned(),
        count => format!("{count} windows of the week"),
    };
    let opens = windows.iter().filter_map(|window| window.opens(view.now)).min();
    Some(match opens {
        Some(opens) if opens == view.now => format!("{what} {count}, of which one is open now"),
        Some(opens) => format!("{what} {count}; the next one opens at {opens}"),
        None => format!("{what} {count}, of which none opens"),
    })
}

/// How many moves of a policy may run.
fn budgets(at_once: u32, budgets: &Budgets) -> String {
    let parts: Vec<String> = budgets
        .limits(at_once)
        .into_iter()
        .map(|(_, words)| words)
        .collect();
    format!("the policy's budgets for moves: {}", parts.join(", "))
}

/// How full the policy's tiers are, and how full they have to be, or may be, for moves between them.
fn tiers(explanation: &mut Explanation, view: &View, of: &Measured) {
    let (policy, all) = (of.policy, &of.kind.tiers);
    let percent = |part: f64| format!("{:.0} %", part * 100.0);
    for tier in all {
        let name = &view.tiers[*tier].name;
        let mut fact = match view.filled[*tier].percent() {
            Some(percent) => format!("tier {name} is {percent:.0} % full"),
            None => format!("how full tier {name} is, is not known"),
        };
        // The coldest one is left for none, and nothing comes to it because it became hotter.
        if !policy.secret && Some(tier) != all.first() {
            let leaves = policy.fullness.demote_above;
            let comes = policy.fullness.promote_below;
            if let Some(part) = leaves {
                fact.push_str(&format!("; it lets go of cold volumes from {} on", percent(part)));
            }
            if let Some(part) = comes {
                fact.push_str(&format!("; it takes hot ones up to {}", percent(part)));
            }
        }
        explanation.facts.push(fact);
    }
}

/// What speaks against each pool after the moves that are under way and planned beside this one. They are placed by claim here, and
/// by use where the verdict was found: of pools that are nearly full another may have been left.
fn pools(explanation: &mut Explanation, view: &View, of: &Measured, index: usize, decision: &Decision) {
    let bound = &view.observation.volumes[index];
    let (Backing::Mayastor(volume), Ok(fleet)) = (&bound.backing, &view.observation.engine) else {
        return;
    };
    let mut room = Room::of(view);
    starts::reserve(view, &mut room);
    let started = decision.starts.iter().map(|one| {
        let what = one.approved.what();
        (&what.claim, &what.to)
    });
    let proposed = decision.proposals.iter().map(|one| (&one.claim, &one.to));
    for (claim, to) in started.chain(proposed) {
        let other = view.observation.find(claim).filter(|other| *other != index);
        let other = other.map(|other| &view.observation.volumes[other].backing);
        if let (Some(Backing::Mayastor(other)), Some(to)) = (other, view.tier(to))
            && let Ok(chosen) = room.choose(view, other, to)
        {
            room.take(other, &chosen);
        }
    }
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
