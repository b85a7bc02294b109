//! Which moves fit together: budgets and room are shared out, the most useful moves first.
//!
//! What is proposed already keeps its place. Then come moves to a hotter tier, by how much load each byte that is copied carries;
//! where a tier has no room for one, the coldest volumes that want to leave it go first. Moves to a colder tier come last, the
//! coldest first.

use super::View;
use super::heat::Direction;
use super::judge::Wanted;
use super::place::Room;
use crate::formats::duration;
use crate::model::decision::{Decision, ProposedMove, Why};
use crate::model::desired::{Signal, Tier};
use crate::model::engine::GIB;
use crate::model::kinds::tier_assignment::{DecisionNote, SignalNote};
use crate::model::masked::noted;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// Moves that may go before one that needs their room; if so many do not help, the volume waits for its tier to be given more.
const LEAVERS_MAX: usize = 8;

/// Moves that are put in order at first; then twice as many, and so on.
const PIECE: usize = 256;

/// Claims that are named where one waits for others.
const NAMED_MAX: usize = 3;

/// What is left of the budgets.
struct Budgets {
    /// For each policy by its place in order of name the moves that are proposed: all of them are one proposal. One that is open
    /// already counts as one more.
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

/// In what order moves are admitted, as one number: open ones, then those to hotter tiers by density, then those to colder ones, the
/// coldest first; claims decide what is equal. Its lower half is the move's place.
fn rank(wanted: &Wanted, place: u32) -> u128 {
    let hotter = wanted.pointed.direction == Direction::Hotter;
    // Load per byte, as a multiple of the threshold; the greater the hotter.
    let gibs = (wanted.bytes.max(1) as f64) / GIB as f64;
    let excess = wanted.pointed.value / wanted.pointed.threshold.max(f64::MIN_POSITIVE);
    let bits = (excess / gibs).to_bits();
    // As integers in the order of the numbers: `f64::total_cmp` does the same.
    let rising = if bits >> 63 == 0 { bits | 1 << 63 } else { !bits };
    let density = if hotter { !rising } else { rising };
    let class = u128::from(wanted.open.is_none()) << 1 | u128::from(!hotter);
    class << 96 | u128::from(density) << 32 | u128::from(place)
}

/// The move's place in [`Admitting::all`].
fn place_of(rank: u128) -> usize {
    rank as u32 as usize
}

/// Moves that are looked at in turn.
struct Admitting<'v, 'a> {
    view: &'v View<'a>,
    room: &'v mut Room,
    all: Vec<Wanted<'a>>,
    done: Vec<bool>,
    /// For each tier the moves that leave it for a colder one, the coldest first; made when the first move finds no room.
    leaving: Option<Vec<VecDeque<usize>>>,
    budgets: Budgets,
    decision: &'v mut Decision<'a>,
    /// Reasons that nobody needs, since their volumes are proposed.
    gone: Vec<usize>,
}

pub(super) fn admit<'a>(view: &View<'a>, room: &mut Room, all: Vec<Wanted<'a>>, decision: &mut Decision<'a>) {
    let ranks = all.iter().zip(0..).map(|(wanted, place)| rank(wanted, place));
    let ranks: Vec<u128> = ranks.collect();
    let mut admitting = Admitting {
        budgets: budgets(view, decision),
        done: vec![false; all.len()],
        view,
        room,
        all,
        leaving: None,
        decision,
        gone: Vec::new(),
    };
    admitting.in_order(ranks);
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
    /// Looks at moves in order. The source's budget admits a few of thousands, so they are put in order piece by piece, and no further
    /// when it is used up.
    fn in_order(&mut self, mut ranks: Vec<u128>) {
        let mut rest = &mut *ranks;
        let mut piece = PIECE;
        while rest.len() > piece && !self.used_up() {
            rest.select_nth_unstable(piece);
            let (first, others) = rest.split_at_mut(piece);
            self.sorted(first);
            (rest, piece) = (others, piece * 2);
        }
        if self.used_up() {
            self.leave_out();
        }
        self.sorted(rest);
    }

    /// Puts moves in order, and looks at them.
    fn sorted(&mut self, ranks: &mut [u128]) {
        if self.used_up() {
            // What was left out needs no order.
            let mut kept: Vec<u128> = ranks
                .iter()
                .copied()
                .filter(|rank| !self.done[place_of(*rank)])
                .collect();
            kept.sort_unstable();
            return self.each(&kept);
        }
        ranks.sort_unstable();
        self.each(ranks);
    }

    fn each(&mut self, ranks: &[u128]) {
        for index in ranks.iter().map(|rank| place_of(*rank)) {
            if !std::mem::replace(&mut self.done[index], true) {
                self.one(index);
            }
        }
    }

    /// Whether no policy that has no proposal may get one.
    fn used_up(&self) -> bool {
        self.budgets.open >= self.view.limits.max_open as usize
    }

    /// Leaves out what the source's budget no longer admits, whatever the order. It is never given back.
    fn leave_out(&mut self) {
        for index in 0..self.all.len() {
            let one = &self.all[index];
            if !self.done[index] && one.open.is_none() && self.budgets.has_proposal[one.taker] == 0 {
                self.done[index] = true;
                self.leave(
                    index,
                    Why::OverBudget {
                        budget: self.budgets.of_source.clone(),
                    },
                );
            }
        }
    }

    /// For each tier the moves that leave it for a colder one, the coldest first.
    fn leaving(&self) -> Vec<VecDeque<usize>> {
        let colder = |(wanted, _): &(&Wanted, u32)| wanted.pointed.direction == Direction::Colder;
        let all = self.all.iter().zip(0..).filter(colder);
        let mut ranks: Vec<u128> = all.map(|(wanted, place)| rank(wanted, place)).collect();
        ranks.sort_unstable();
        let mut leaving = vec![VecDeque::new(); self.view.tiers.len()];
        for index in ranks.into_iter().map(place_of) {
            leaving[self.all[index].from].push_back(index);
        }
        leaving
    }

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

    fn leave(&mut self, index: usize, why: Why<'a>) {
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
        let tier = &self.view.tiers[self.all[index].to].name;
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
        if self.leaving.is_none() {
            self.leaving = Some(self.leaving());
        }
        let (view, hot) = (self.view, &self.all[index]);
        let Some(from) = self.leaving.as_mut().map(|leaving| &mut leaving[hot.to]) else {
            return Vec::new();
        };
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
    let mut of_policy = vec![0; view.policies.all.len()];
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
    let place = |name: &str| view.policies.place(name);
    for policy in running.chain(started).filter_map(place) {
        of_policy[policy] += 1;
    }
    // What is open counts, wanted or not: a person may have changed it, or closing it has failed.
    let mut has_proposal = vec![0; view.policies.all.len()];
    let mut others = BTreeSet::new();
    for record in &view.in_flight.proposals {
        // What takes a failed move back is no policy's proposal.
        let counts = record.state.is_open() && !record.policy.contains('/');
        match place(&record.policy) {
            Some(policy) if counts => has_proposal[policy] = 1,
            None if counts => drop(others.insert(&record.policy)),
            _ => {}
        }
    }
    Budgets {
        open: has_proposal.iter().filter(|count| **count > 0).count() + others.len(),
        has_proposal,
        of_policy,
        of_source: format!("the source's proposals.maxOpen of {}", view.limits.max_open).into(),
    }
}

fn within(view: &View, wanted: &Wanted, budgets: &Budgets) -> Result<(), Why<'static>> {
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
        note: note(view, wanted, from, to),
        candidates,
        bytes: wanted.bytes,
        monthly_cost: monthly_cost(from, to, wanted.bytes),
    }
}

/// What a month costs more afterwards; an encrypted price is not told.
pub(super) fn monthly_cost(from: &Tier, to: &Tier, bytes: u64) -> Option<f64> {
    if from.secret || to.secret {
        return None;
    }
    let gibs = bytes as f64 / GIB as f64;
    Some((to.cost_per_gib_month? - from.cost_per_gib_month?) * gibs)
}

/// The figures of an open proposal stay as they were proposed: a reviewer's text does not change under their eyes.
fn note(view: &View, wanted: &Wanted, from: &Tier, to: &Tier) -> DecisionNote {
    let (policy, pointed) = (wanted.policy, &wanted.pointed);
    let told = !policy.secret;
    let first = policy.signals.iter().find(|one| *one.name == *pointed.signal);
    let fresh = DecisionNote {
        policy: policy.name.to_string(),
        from: from.name.to_string(),
        signal: noted(policy, pointed.signal).to_owned(),
        value: rounded(pointed.value),
        watermark: told.then_some(pointed.threshold),
        window: told.then(|| policy.window_text.clone()),
        percentile: first.filter(|_| told).and_then(percent),
        also: match told && policy.signals.len() > 1 {
            true => also(view, wanted),
            false => Vec::new(),
        },
        sustained_for: (told && !policy.sustained.is_zero()).then(|| duration::format(policy.sustained)),
        after: wanted.after.as_deref().map(str::to_owned),
    };
    match wanted.open {
        Some(open) if open.to == to.name.as_str() => {
            if open.decision.measured_as(&fresh) == fresh {
                open.decision.clone()
            } else {
                fresh
            }
        }
        _ => fresh,
    }
}

/// The other signals that had to point the same way.
fn also(view: &View, wanted: &Wanted) -> Vec<SignalNote> {
    let bound = wanted.bound;
    let Some(index) = view
        .observation
        .index_of(&bound.namespace, &bound.claim, &bound.name)
    else {
        return Vec::new();
    };
    let measured = view.policies.measured(wanted.taker);
    let others = measured.thresholds(index, wanted.pointed.direction);
    let others = others.filter(|(signal, ..)| *signal.name != *wanted.pointed.signal);
    let note = |(signal, value, watermark): (&Signal, f64, f64)| SignalNote {
        signal: signal.name.to_string(),
        value: rounded(value),
        watermark,
        percentile: percent(signal),
    };
    others.map(note).collect()
}

/// A signal's percentile, 0 to 100, without what a part of 1 loses on the way.
fn percent(signal: &Signal) -> Option<f64> {
    signal.percentile.map(|part| (part * 100.0 * 1e6).round() / 1e6)
}

/// Three digits of what is small, whole numbers of what is large: nobody reads more.
fn rounded(value: f64) -> f64 {
    match value.abs() {
        large if large >= 100.0 => value.round(),
        _ => (value * 1000.0).round() / 1000.0,
    }
}
