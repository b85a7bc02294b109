//! Which moves fit together: budgets and room are shared out, the most useful moves first.
//!
//! What is proposed already keeps its place. Then come moves to a hotter tier, by how much load each byte that is copied carries;
//! where a tier has no room for one, the coldest volumes that want to leave it go first. Moves to a colder tier come last, the
//! coldest first.

use super::View;
use super::heat::Direction;
use super::judge::Wanted;
use super::place::{Room, bytes};
use crate::model::decision::{Decision, ProposedMove, Why};
use crate::model::desired::Tier;
use crate::model::engine::GIB;
use crate::model::kinds::tier_assignment::DecisionNote;
use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap, VecDeque};

/// Moves that may go before one that needs their room; if so many do not help, the volume waits for its tier to be given more.
const LEAVERS_MAX: usize = 8;

/// Claims that are named where one waits for others.
const NAMED_MAX: usize = 3;

/// What is left of the budgets.
struct Budgets<'a> {
    /// Policies that have a proposal.
    open: BTreeSet<&'a str>,
    of_policy: HashMap<&'a str, u32>,
}

/// A wanted move, with how useful it is.
struct Ranked<'a> {
    wanted: Wanted<'a>,
    /// Load per byte, as a multiple of the threshold; the greater the hotter.
    density: f64,
}

fn ranked(wanted: Wanted) -> Ranked {
    let gibs = (bytes(&wanted.volume).max(1) as f64) / GIB as f64;
    let excess = wanted.pointed.value / wanted.pointed.threshold.max(f64::MIN_POSITIVE);
    Ranked {
        density: excess / gibs,
        wanted,
    }
}

/// Open ones first, then to hotter tiers by density, then to colder ones, the coldest first; claims decide what is equal.
fn order(a: &Ranked, b: &Ranked) -> Ordering {
    let hotter = |one: &Ranked| one.wanted.pointed.direction == Direction::Hotter;
    let claims = || {
        let key = |one: &Ranked| (one.wanted.bound.namespace.clone(), one.wanted.bound.claim.clone());
        key(a).cmp(&key(b))
    };
    let open = b.wanted.open.is_some().cmp(&a.wanted.open.is_some());
    open.then(hotter(b).cmp(&hotter(a)))
        .then_with(|| match hotter(a) {
            true => b.density.total_cmp(&a.density).then_with(claims),
            false => a.density.total_cmp(&b.density).then_with(claims),
        })
}

pub(super) fn admit<'a>(
    view: &View<'a>,
    room: &mut Room,
    wanted: Vec<Wanted<'a>>,
    decision: &mut Decision<'a>,
) {
    let mut all: Vec<Ranked> = wanted.into_iter().map(ranked).collect();
    all.sort_by(order);
    let mut budgets = budgets(view, decision);
    let mut done = vec![false; all.len()];
    let mut leaving = leaving(view, &all);
    for index in 0..all.len() {
        if done[index] {
            continue;
        }
        done[index] = true;
        let one = &all[index];
        if let Err(why) = within(view, &one.wanted, &budgets) {
            decision
                .left_alone
                .push(view.leave(one.wanted.bound, Some(one.wanted.policy), why));
            continue;
        }
        let chosen = room.choose(view, one.wanted.volume, one.wanted.to);
        let waits = match &chosen {
            Err(Why::NoRoom { .. }) if one.wanted.pointed.direction == Direction::Hotter => {
                leavers(view, room, &all, &done, &mut leaving, index)
            }
            _ => Vec::new(),
        };
        if !waits.is_empty() {
            // What makes room goes first; what needs the room is proposed when it is there.
            let mut names = Vec::new();
            for leaver in waits {
                done[leaver] = true;
                let other = &all[leaver].wanted;
                names.push(other.bound.claim_ref().to_string());
                let chosen = room.choose(view, other.volume, other.to);
                place(view, room, other, chosen, &mut budgets, decision);
            }
            let after = match names.len() {
                0..=NAMED_MAX => names.join(", "),
                more => format!("{} and {} more", names[..NAMED_MAX].join(", "), more - NAMED_MAX),
            };
            let why = Why::WaitsForRoom {
                tier: view.tiers[one.wanted.to].name.clone(),
                after,
            };
            decision
                .left_alone
                .push(view.leave(one.wanted.bound, Some(one.wanted.policy), why));
            continue;
        }
        place(view, room, &one.wanted, chosen, &mut budgets, decision);
    }
}

/// For each tier the moves that leave it for a colder one, the coldest first.
fn leaving(view: &View, all: &[Ranked]) -> Vec<VecDeque<usize>> {
    let mut leaving = vec![VecDeque::new(); view.tiers.len()];
    for (index, one) in all.iter().enumerate() {
        if one.wanted.pointed.direction == Direction::Colder {
            leaving[one.wanted.from].push_back(index);
        }
    }
    leaving
}

/// The coldest moves away from a tier after which a volume would have room there; none if even all of them do not help.
fn leavers(
    view: &View,
    room: &mut Room,
    all: &[Ranked],
    done: &[bool],
    leaving: &mut [VecDeque<usize>],
    index: usize,
) -> Vec<usize> {
    let hot = &all[index].wanted;
    let from = &mut leaving[hot.to];
    while from.front().is_some_and(|first| done[*first]) {
        from.pop_front();
    }
    let mut left: Vec<usize> = Vec::new();
    let mut helps = false;
    for other in from
        .iter()
        .copied()
        .filter(|other| !done[*other])
        .take(LEAVERS_MAX)
    {
        room.give_back(all[other].wanted.volume);
        left.push(other);
        if room.choose(view, hot.volume, hot.to).is_ok() {
            helps = true;
            break;
        }
    }
    for other in &left {
        room.take_back(all[*other].wanted.volume);
    }
    if helps { left } else { Vec::new() }
}

/// Admits a move, or says why not.
fn place<'a>(
    view: &View<'a>,
    room: &mut Room,
    wanted: &Wanted<'a>,
    chosen: Result<Vec<u32>, Why>,
    budgets: &mut Budgets<'a>,
    decision: &mut Decision<'a>,
) {
    let outcome = chosen.and_then(|chosen| within(view, wanted, budgets).map(|()| chosen));
    match outcome {
        Ok(chosen) => {
            let candidates = room.candidates(view, wanted.volume, wanted.to);
            room.take(wanted.volume, &chosen);
            budgets.open.insert(wanted.policy.name.as_str());
            *budgets.of_policy.entry(wanted.policy.name.as_str()).or_default() += 1;
            decision.proposals.push(proposed(view, wanted, candidates));
        }
        Err(why) => decision
            .left_alone
            .push(view.leave(wanted.bound, Some(wanted.policy), why)),
    }
}

fn budgets<'a>(view: &View<'a>, decision: &Decision<'a>) -> Budgets<'a> {
    let mut of_policy: HashMap<&str, u32> = HashMap::new();
    let known = |name: &str| {
        let key = crate::model::ids::PolicyName(name.to_owned());
        view.desired
            .policies
            .get_key_value(&key)
            .map(|(name, _)| name.as_str())
    };
    let running = view
        .in_flight
        .migrations
        .iter()
        .filter(|one| !one.phase.is_final());
    let running = running.filter_map(|migration| migration.policy.as_deref());
    let started = decision
        .starts
        .iter()
        .filter_map(|start| start.approved.what().policy.as_deref());
    for name in running.chain(started).filter_map(known) {
        *of_policy.entry(name).or_default() += 1;
    }
    Budgets {
        open: BTreeSet::new(),
        of_policy,
    }
}

fn within(view: &View, wanted: &Wanted, budgets: &Budgets) -> Result<(), Why> {
    if wanted.open.is_some() {
        return Ok(());
    }
    let used = budgets
        .of_policy
        .get(wanted.policy.name.as_str())
        .copied()
        .unwrap_or(0);
    let name = wanted.policy.name.as_str();
    let budget = if !budgets.open.contains(name) && budgets.open.len() >= view.limits.max_open as usize {
        format!("the source's proposals.maxOpen of {}", view.limits.max_open)
    } else if used >= wanted.policy.max_concurrent {
        let (allowed, name) = (wanted.policy.max_concurrent, &wanted.policy.name);
        format!("maxConcurrentMigrations: {allowed} of {name}")
    } else {
        return Ok(());
    };
    Err(Why::OverBudget { budget })
}

fn proposed(view: &View, wanted: &Wanted, candidates: Vec<crate::model::ids::PoolName>) -> ProposedMove {
    let (from, to) = (view.tiers[wanted.from], view.tiers[wanted.to]);
    ProposedMove {
        claim: wanted.bound.claim_ref(),
        volume: wanted.bound.volume_name(),
        policy: wanted.policy.name.clone(),
        from: from.name.clone(),
        to: to.name.clone(),
        hotter: wanted.pointed.direction == Direction::Hotter,
        note: note(wanted, from, to),
        candidates,
        bytes: bytes(wanted.volume),
        monthly_cost: monthly_cost(from, to, bytes(wanted.volume)),
    }
}

/// What a month costs more afterwards.
pub(super) fn monthly_cost(from: &Tier, to: &Tier, bytes: u64) -> Option<f64> {
    let gibs = bytes as f64 / GIB as f64;
    Some((to.cost_per_gib_month? - from.cost_per_gib_month?) * gibs)
}

/// The figures of an open proposal stay as they were proposed: a reviewer's text does not change under their eyes.
fn note(wanted: &Wanted, from: &Tier, to: &Tier) -> DecisionNote {
    let policy = wanted.policy;
    let fresh = DecisionNote {
        policy: policy.name.to_string(),
        from: from.name.to_string(),
        signal: wanted.pointed.signal.name.to_string(),
        value: rounded(wanted.pointed.value),
        watermark: (!policy.secret).then_some(wanted.pointed.threshold),
        window: (!policy.secret).then(|| policy.window_text.clone()),
    };
    match wanted.open {
        Some(open) if open.to == to.name.as_str() => {
            let same = DecisionNote {
                value: fresh.value,
                ..open.decision.clone()
            };
            if same == fresh {
                open.decision.clone()
            } else {
                fresh
            }
        }
        _ => fresh,
    }
}

/// Three digits of what is small, whole numbers of what is large: nobody reads more.
fn rounded(value: f64) -> f64 {
    match value.abs() {
        large if large >= 100.0 => value.round(),
        _ => (value * 1000.0).round() / 1000.0,
    }
}
