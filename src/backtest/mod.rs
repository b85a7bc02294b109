//! What policies would have done with recorded load, beside doing nothing, plain watermarks, and who knows the future.
//!
//! Pure: `asked` says what Prometheus must be asked, `replay` takes the answers. Each evaluation runs the very
//! [`decide`](crate::decide::decide) that the controller runs, on a copy of the world in which earlier moves were carried out.

use crate::decide::questions;
use crate::model::desired::{Assignment, Budgets, Desired, Fullness, Measure, Policy};
use crate::model::ids::ClaimRef;
use crate::model::observation::Observation;
use crate::model::resources::Resources;
use crate::model::timeline::Span;
use ground::{Ground, Placed, Tally};
use jiff::Timestamp;
use oracle::Oracle;
use report::{Busy, Outcome, Report};
use simulated::Simulated;
use std::time::Duration;

/// What all strategies have in common.
mod ground;

/// What is asked, and answered.
mod history;

/// Who knows the future.
mod oracle;

/// The page that is written for a browser.
pub mod page;

/// Plots as SVG.
mod plot;

/// What a replay came to.
pub mod report;

/// Figures as people read them.
pub mod shown;

/// Policies at work.
mod simulated;

#[cfg(test)]
mod tests;

pub use history::{Asked, History, asked};

/// Volumes whose load is shown.
const BUSIEST: usize = 6;

/// How a replay runs.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// When policies are evaluated.
    pub span: Span,
    /// How long a proposal waits for its approval, in seconds.
    pub approval_delay: i64,
}

/// The desires of a replay: the policies as they are, and the same as plain watermarks.
pub struct Desires {
    /// As they are; in a dry run they count as if they moved.
    pub policies: Desired,
    /// The same thresholds for the mean over the window, and nothing that keeps a volume from going to and fro.
    pub watermarks: Desired,
}

impl Desires {
    /// Takes what a repository asks for. Approvals and assignments are history that is replayed, so they are left out; a volume
    /// that its assignment pins stays pinned.
    pub fn of(desired: Desired) -> Self {
        let pinned = |assignment: &Assignment| assignment.pin.is_some();
        let mut policies = Desired {
            resources: Resources::default(),
            approved: Vec::new(),
            reverted: Default::default(),
            promotions: Default::default(),
            ..desired
        };
        policies.assignments.retain(|_, assignment| pinned(assignment));
        for policy in policies.policies.values_mut() {
            policy.dry_run = false;
        }
        let mut watermarks = policies.clone();
        watermarks.policies.values_mut().for_each(plain);
        Self { policies, watermarks }
    }

    /// What must be asked for a replay.
    pub fn asked(&self, span: Span) -> Asked {
        asked(&[&self.policies, &self.watermarks], span)
    }
}

fn plain(policy: &mut Policy) {
    for signal in &mut policy.signals {
        signal.percentile = None;
    }
    policy.not_heat_when = Vec::new();
    policy.excluded_windows = Vec::new();
    policy.sustained = Duration::ZERO;
    policy.cooldown = Duration::ZERO;
    policy.min_age = Duration::ZERO;
    policy.hysteresis = 0.0;
    policy.fullness = Fullness::default();
    policy.budgets = Budgets::default();
}

/// What the world was when the replay begins, as far as that is known: placed as today, and not moved since.
fn beginning(observation: &Observation, first: i64) -> Observation {
    let mut world = observation.clone();
    world.answers.clear();
    for volume in world.volumes.iter_mut() {
        volume.last_migration = volume.last_migration.filter(|at| at.get() <= first);
    }
    world
}

/// Replays.
pub fn replay(desires: &Desires, observation: &Observation, history: &History, settings: Settings) -> Report {
    let span = settings.span;
    let world = beginning(observation, span.first);
    let ground = Ground::of(&desires.policies, &world);
    let nothing = ground.placed(&desires.policies, &world);
    let mut oracle = Oracle::new(&desires.policies, &world, &ground, nothing.clone());
    let simulated = |desired| Simulated::new(desired, world.clone(), settings.approval_delay);
    let mut at_work = [&desires.policies, &desires.watermarks].map(simulated);
    let mut placed = [nothing.clone(), nothing.clone()];
    let mut tallies: [Tally; 4] = Default::default();
    let operations = questions::operations(u64::try_from(span.step).unwrap_or(0));
    for at in span.times() {
        let Ok(now) = Timestamp::from_second(at) else {
            continue;
        };
        if at > span.first
            && let Some(load) = history.row(&operations, at)
        {
            oracle.step(&ground, at, load, &[&nothing, &placed[0], &placed[1]]);
            let all: [&Placed; 4] = [&placed[0], &nothing, &placed[1], &oracle.placed];
            for (tally, placed) in tallies.iter_mut().zip(all) {
                tally.add(&ground, placed, load);
            }
        }
        for (one, placed) in at_work.iter_mut().zip(&mut placed) {
            let desired = one.desired();
            if one.step(now, history.answers(desired, now)) {
                *placed = ground.placed(desired, &one.world);
            }
        }
    }
    let seconds = span.step as f64;
    let [ours, watermarks] = at_work;
    let pending = ours.pending();
    let left_alone = ours.reasons.clone();
    let (all, _) = tallies[1].sums();
    let [first, second, third, fourth] = tallies;
    let rest = |claim: &str| cooldown(&ground, observation, claim);
    let strategies = vec![
        worked("policies", ours, first, seconds, rest),
        judged("nothing", second, seconds),
        worked("watermarks", watermarks, third, seconds, rest),
        Outcome {
            moved: oracle.moves,
            bytes_moved: oracle.bytes_moved,
            flapping: None,
            ..judged("oracle", fourth, seconds)
        },
    ];
    let (busiest, known) = busiest(desires, observation, &ground, history, span);
    Report {
        first: span.first,
        last: span.last,
        step_seconds: span.step,
        evaluations: span.steps(),
        approval_delay_seconds: settings.approval_delay,
        volumes: observation.volumes.len(),
        taken: ground.taken().count(),
        known,
        operations: all * seconds,
        strategies,
        pending,
        left_alone,
        busiest,
        assumptions: assumptions(),
    }
}

fn cooldown(ground: &Ground, observation: &Observation, claim: &str) -> u64 {
    let found = claim.split_once('/').and_then(|(namespace, name)| {
        observation.find(&ClaimRef {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    });
    let taken = found.and_then(|index| ground.volumes[index].as_ref());
    taken.map_or(0, |taken| taken.cooldown)
}

fn judged(name: &'static str, tally: Tally, seconds: f64) -> Outcome {
    Outcome {
        name,
        flapping: Some(Vec::new()),
        hot_share: tally.share(),
        hot_operations: tally.sums().1 * seconds,
        monthly_cost: tally.monthly_cost(),
        shares: tally.shares,
        ..Outcome::default()
    }
}

fn worked(
    name: &'static str,
    one: Simulated,
    tally: Tally,
    seconds: f64,
    cooldown: impl Fn(&str) -> u64,
) -> Outcome {
    Outcome {
        proposed: Some(one.proposed),
        withdrawn: Some(one.withdrawn),
        moved: one.moves.len() as u64,
        bytes_moved: one
            .moves
            .iter()
            .fold(0, |sum, moved| sum.saturating_add(moved.bytes)),
        flapping: Some(report::flapping(&one.moves, cooldown)),
        moves: one.moves,
        ..judged(name, tally, seconds)
    }
}

/// The volumes with the most operations, and the part of the time of all volumes for which load is known.
fn busiest(
    desires: &Desires,
    observation: &Observation,
    ground: &Ground,
    history: &History,
    span: Span,
) -> (Vec<Busy>, f64) {
    let operations = questions::operations(u64::try_from(span.step).unwrap_or(0));
    let rows: Vec<&[f64]> = span
        .times()
        .skip(1)
        .filter_map(|at| history.row(&operations, at))
        .collect();
    let takers = crate::decide::takers(&desires.policies, observation);
    let of = |index: usize| rows.iter().map(move |row| row[index]);
    let (mut known, mut possible) = (0_usize, 0_usize);
    let mut order: Vec<(f64, usize)> = Vec::new();
    for (index, _) in ground.taken() {
        let (count, sum) = of(index)
            .filter(|rate| rate.is_finite())
            .fold((0, 0.0), |(count, sum), rate| (count + 1, sum + rate));
        (known, possible) = (known + count, possible + rows.len());
        order.push((sum, index));
    }
    order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let chosen = order.into_iter().filter(|(sum, _)| *sum > 0.0).take(BUSIEST);
    let busy = |(sum, index): (f64, usize)| {
        let open = takers[index].filter(|policy| !policy.secret);
        let signal = open.and_then(|policy| policy.signals.iter().find(|one| one.measure == Measure::Iops));
        Busy {
            claim: observation.volumes[index].claim_ref().to_string(),
            operations: sum * span.step as f64,
            above: signal.and_then(|signal| signal.above),
            below: signal.and_then(|signal| signal.below),
            load: of(index).map(|rate| rate.is_finite().then_some(rate)).collect(),
        }
    };
    (chosen.map(busy).collect(), known as f64 / possible.max(1) as f64)
}

/// What a reader must know to judge the figures.
fn assumptions() -> Vec<String> {
    [
        "The replay begins with today's placement: where volumes were then is not recorded.",
        "Health, snapshots, labels, pins, pools and their other contents are today's throughout; a volume is left alone before it \
         was made.",
        "Each move that is still proposed when its delay is over is approved by itself, and carried out at once, in a window for moves and \
         within the budgets per hour; how long a copy takes is left out, and so are limits on what runs at one time.",
        "Policies in dry run count as if they moved; disabled ones take nothing.",
        "A thin volume counts with its full size on the pools that it leaves and goes to.",
        "Plain watermarks are the same thresholds for the mean over the window, without percentiles, sustained time, hysteresis, \
         cool-down, minimum age, windows that are not counted, conditions on fullness, and budgets per hour.",
        "The oracle knows the load until the next evaluation, moves at once, and ignores which node a copy is on: it is a bound, \
         not a goal.",
    ]
    .map(str::to_owned)
    .into()
}
