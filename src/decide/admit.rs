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
use std::collections::VecDeque;
use std::sync::Arc;

/// Moves that may go before one that needs their room; if so many do not help, the volume waits for its tier to be given more.
const LEAVERS_MAX: usize = 8;

/// Claims that are named where one waits for others.
const NAMED_MAX: usize = 3;

/// What is left of the budgets.
struct Budgets {
    /// For each policy by its place in order of name the moves that are proposed: all of them are one proposal.
    has_proposal: Vec<u32>,
    /// How many have one.
    open: usize,
    /// For each policy by its place in order of name the moves that are proposed or run.
    of_policy: Vec<u32>,
    /// What is said of all that the source's budget leaves out.
    of_source: Arc<str>,
}

impl Budgets {
    /// Counts a move that is proposed.
    fn count(&mut self, taker: usize) {
        self.of_policy[taker] += 1;
        self.has_proposal[taker] += 1;
        self.open += usize::from(self.has_proposal[taker] == 1);
    }

    /// Takes it back.
    fn uncount(&mut self, taker: usize) {
        self.of_policy[taker] -= 1;
        self.has_proposal[taker] -= 1;
        self.open -= usize::from(self.has_proposal[taker] == 0);
    }
}

/// In what order moves are admitted: open ones, then those to hotter tiers by density, then those to colder ones, the coldest first;
/// claims decide what is equal.
fn rank(wanted: &Wanted) -> (bool, bool, u64, usize) {
    let hotter = wanted.pointed.direction == Direction::Hotter;
    // Load per byte, as a multiple of the threshold; the greater the hotter.
    let gibs = (bytes(wanted.volume).max(1) as f64) / GIB as f64;
    let excess = wanted.pointed.value / wanted.pointed.threshold.max(f64::MIN_POSITIVE);
    let bits = (excess / gibs).to_bits();
    // As integers in the order of the numbers: `f64::total_cmp` does the same.
    let rising = if bits >> 63 == 0 { bits | 1 << 63 } else { !bits };
    let density = if hotter { !rising } else { rising };
    (wanted.open.is_none(), !hotter, density, wanted.index)
}

/// Moves that are looked at in turn.
struct Admitting<'v, 'a> {
    view: &'v View<'a>,
    room: &'v mut Room,
    all: Vec<Wanted<'a>>,
    done: Vec<bool>,
    /// For each tier the moves that leave it for a colder one, the coldest first.
    leaving: Vec<VecDeque<usize>>,
    budgets: Budgets,
    decision: &'v mut Decision<'a>,
    /// Reasons that nobody needs, since their volumes are proposed.
    gone: Vec<usize>,
}

pub(super) fn admit<'a>(view: &View<'a>, room: &mut Room, all: Vec<Wanted<'a>>, decision: &mut Decision<'a>) {
    let mut order: Vec<_> = all.iter().map(rank).zip(0..all.len()).collect();
    order.sort_unstable();
    let mut leaving = vec![VecDeque::new(); view.tiers.len()];
    for (_, index) in &order {
        let wanted = &all[*index];
        if wanted.pointed.direction == Direction::Colder {
            leaving[wanted.from].push_back(*index);
        }
    }
    let mut admitting = Admitting {
        budgets: budgets(view, decision),
        done: vec![false; all.len()],
        view,
        room,
        all,
        leaving,
        decision,
        gone: Vec::new(),
    };
    for (_, index) in order {
        if !std::mem::replace(&mut admitting.done[index], true) {
            admitting.one(index);
        }
    }
    let mut gone = admitting.gone;
    gone.sort_unstable();
    let (mut slot, mut next) = (0, gone.into_iter().peekable());
    decision.left_alone.retain(|_| {
        let proposed = next.next_if_eq(&slot).is_some();
        slot += 1;
        !proposed
    });
}

impl<'a> Admitting<'_, 'a> {
    fn one(&mut self, index: usize) {
        let one = &self.all[index];
        if let Err(why) = within(self.view, one, &self.budgets) {
            return self.leave(index, why);
        }
        match self.room.choose(self.view, one.volume, one.to) {
            Ok(chosen) => self.propose(index, &chosen),
            Err(why @ Why::NoRoom { .. }) if one.pointed.direction == Direction::Hotter => {
                let leavers = self.leavers(index);
                match leavers.is_empty() {
                    true => self.leave(index, why),
                    false => self.wait(index, leavers),
                }
            }
            Err(why) => self.leave(index, why),
        }
    }

    fn leave(&mut self, index: usize, why: Why) {
        self.decision.left_alone[self.all[index].slot].why = why;
    }

    fn propose(&mut self, index: usize, chosen: &[u32]) {
        let wanted = &self.all[index];
        let candidates = self.room.candidates(self.view, wanted.volume, wanted.to);
        self.room.take(wanted.volume, chosen);
        self.budgets.count(wanted.taker);
        self.gone.push(wanted.slot);
        let proposed = proposed(self.view, wanted, candidates);
        self.decision.proposals.push(proposed);
    }

    /// What makes room goes first; what needs the room is proposed when it is there.
    fn wait(&mut self, index: usize, leavers: Vec<(usize, Vec<u32>)>) {
        let mut names = Vec::new();
        for (leaver, chosen) in leavers {
            self.done[leaver] = true;
            names.push(self.all[leaver].bound.claim_ref().to_string());
            self.propose(leaver, &chosen);
        }
        let after = match names.len() {
            0..=NAMED_MAX => names.join(", "),
            more => format!("{} and {} more", names[..NAMED_MAX].join(", "), more - NAMED_MAX),
        };
        let tier = self.view.names[self.all[index].to].clone();
        self.leave(
            index,
            Why::WaitsForRoom {
                tier,
                after: after.into(),
            },
        );
    }

    /// The coldest moves away from a tier after which a volume would have room there, with the pools that they go to; none if all that
    /// budgets and room admit do not help.
    fn leavers(&mut self, index: usize) -> Vec<(usize, Vec<u32>)> {
        let (view, hot) = (self.view, &self.all[index]);
        let from = &mut self.leaving[hot.to];
        while from.front().is_some_and(|first| self.done[*first]) {
            from.pop_front();
        }
        let mut leavers: Vec<(usize, Vec<u32>)> = Vec::new();
        let mut helps = false;
        let (mut counted, mut before) = (Vec::new(), Vec::new());
        for other in from.iter().copied().filter(|other| !self.done[*other]) {
            if leavers.len() == LEAVERS_MAX {
                break;
            }
            let leaver = &self.all[other];
            if within(view, leaver, &self.budgets).is_err() {
                continue;
            }
            let Ok(chosen) = self.room.choose(view, leaver.volume, leaver.to) else {
                continue;
            };
            before.push(self.room.remember(leaver.volume, &chosen));
            self.room.take(leaver.volume, &chosen);
            self.room.give_back(leaver.volume);
            self.budgets.count(leaver.taker);
            counted.push(leaver.taker);
            leavers.push((other, chosen));
            if self.room.choose(view, hot.volume, hot.to).is_ok() {
                helps = true;
                break;
            }
        }
        for remembered in before.iter().rev() {
            self.room.put_back(remembered);
        }
        for taker in counted {
            self.budgets.uncount(taker);
        }
        if helps { leavers } else { Vec::new() }
    }
}

fn budgets(view: &View, decision: &Decision) -> Budgets {
    let mut of_policy = vec![0; view.policies.len()];
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
    let place = |name: &str| {
        view.policies
            .binary_search_by(|measured| measured.policy.name.as_str().cmp(name))
            .ok()
    };
    for policy in running.chain(started).filter_map(place) {
        of_policy[policy] += 1;
    }
    Budgets {
        has_proposal: vec![0; view.policies.len()],
        open: 0,
        of_policy,
        of_source: format!("the source's proposals.maxOpen of {}", view.limits.max_open).into(),
    }
}

fn within(view: &View, wanted: &Wanted, budgets: &Budgets) -> Result<(), Why> {
    if wanted.open.is_some() {
        return Ok(());
    }
    let used = budgets.of_policy[wanted.taker];
    let new = budgets.has_proposal[wanted.taker] == 0;
    let budget = if new && budgets.open >= view.limits.max_open as usize {
        budgets.of_source.clone()
    } else if used >= wanted.policy.max_concurrent {
        let (allowed, name) = (wanted.policy.max_concurrent, &wanted.policy.name);
        format!("maxConcurrentMigrations: {allowed} of {name}").into()
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
