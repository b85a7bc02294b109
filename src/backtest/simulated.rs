//! One set of policies at work: what `decide` proposes, approved after a while, and carried out on a copy of the world.

use super::report::{Moved, Pending};
use crate::decide::{self, InFlight, Limits, place};
use crate::model::decision::{Decision, ProposedMove};
use crate::model::desired::{Desired, Policy};
use crate::model::kinds::policy_source::{ProposalState, ProposalStatus, ProposedMoveStatus};
use crate::model::observation::{Answer, Backing, CopyAt, Fleet, MayastorVolume, Observation};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::num::NonZeroI64;

/// What a budget per hour looks back over.
const HOUR_SECS: i64 = 3600;

/// The replay proposes what the policies ask for, whatever a source's own limit.
const LIMITS: Limits = Limits {
    rejections_expire: None,
    max_open: u32::MAX,
    max_concurrent: u32::MAX,
    dry_run: false,
};

/// A proposal that waits for its approval.
struct Open {
    since: i64,
    what: ProposedMove,
}

/// Policies at work.
pub(super) struct Simulated<'a> {
    desired: &'a Desired,
    pub(super) world: Observation,
    delay: i64,
    open: Vec<Open>,
    pub(super) moves: Vec<Moved>,
    pub(super) proposed: usize,
    pub(super) withdrawn: usize,
    /// How often each reason left a volume alone.
    pub(super) reasons: BTreeMap<&'static str, u64>,
}

impl<'a> Simulated<'a> {
    pub(super) fn new(desired: &'a Desired, world: Observation, delay: i64) -> Self {
        Self {
            desired,
            world,
            delay,
            open: Vec::new(),
            moves: Vec::new(),
            proposed: 0,
            withdrawn: 0,
            reasons: BTreeMap::new(),
        }
    }

    pub(super) fn desired(&self) -> &'a Desired {
        self.desired
    }

    /// One evaluation. True when something was moved.
    pub(super) fn step(&mut self, now: Timestamp, answers: BTreeMap<String, Answer>) -> bool {
        (self.world.at, self.world.answers) = (now, answers);
        let in_flight = InFlight {
            migrations: Vec::new(),
            proposals: self.open.iter().map(status).collect(),
            ..InFlight::default()
        };
        let decision = decide::decide(self.desired, &self.world, &in_flight, LIMITS, now);
        for left in &decision.left_alone {
            *self.reasons.entry(left.why.reason()).or_default() += 1;
        }
        let Decision { proposals, .. } = decision;
        self.follow(proposals, now.as_second());
        self.carry_out(now)
    }

    /// Keeps what is still wanted, withdraws what is not, opens what is new: as the controller does with its branches.
    fn follow(&mut self, wanted: Vec<ProposedMove>, now: i64) {
        let mut before = std::mem::take(&mut self.open);
        for what in wanted {
            let same = |open: &Open| (&open.what.claim, &open.what.to) == (&what.claim, &what.to);
            let since = match before.iter().position(same) {
                Some(index) => before.swap_remove(index).since,
                None => {
                    self.proposed += 1;
                    now
                }
            };
            self.open.push(Open { since, what });
        }
        self.withdrawn += before.len();
    }

    /// Carries out what was open for long enough, in windows for moves and within budgets.
    fn carry_out(&mut self, now: Timestamp) -> bool {
        let at = now.as_second();
        let mut waiting = std::mem::take(&mut self.open);
        waiting.sort_by(|a, b| {
            a.since
                .cmp(&b.since)
                .then_with(|| a.what.claim.cmp(&b.what.claim))
        });
        let before = self.moves.len();
        for open in waiting {
            let due = at - open.since >= self.delay && self.may_start(&open.what, now);
            if due && self.moved(&open.what, at) {
                self.moves.push(Moved::of(&open.what, open.since, at));
            } else {
                self.open.push(open);
            }
        }
        self.moves.len() > before
    }

    fn may_start(&self, what: &ProposedMove, now: Timestamp) -> bool {
        let Some(policy) = self.desired.policies.get(&what.policy) else {
            return false;
        };
        let windows = &policy.move_windows;
        let inside = windows.is_empty() || windows.iter().any(|window| window.contains(now));
        inside && self.within_budgets(policy, what.bytes, now.as_second())
    }

    fn within_budgets(&self, policy: &Policy, bytes: u64, now: i64) -> bool {
        let lately = self.moves.iter().rev();
        let lately = lately.take_while(|moved| now - moved.moved_at < HOUR_SECS);
        let ours = lately.filter(|moved| moved.policy == policy.name.as_str());
        let (count, sum) = ours.fold((0_u32, 0_u64), |(count, sum), moved| {
            (count + 1, sum.saturating_add(moved.bytes))
        });
        let moves = policy.budgets.moves_per_hour.is_none_or(|most| count < most);
        // As at a start: a volume that is larger than the budget moves when nothing else did.
        let room = |most: u64| count == 0 || sum.saturating_add(bytes) <= most;
        moves && policy.budgets.bytes_per_hour.is_none_or(room)
    }

    /// Puts a volume's copies onto the first of the candidates that have room, one on each node.
    fn moved(&mut self, what: &ProposedMove, at: i64) -> bool {
        let Some(index) = self.world.find(&what.claim) else {
            return false;
        };
        let (Some(tier), Ok(fleet)) = (self.desired.tiers.get(&what.to), &mut self.world.engine) else {
            return false;
        };
        let bound = &mut self.world.volumes[index];
        let Backing::Mayastor(volume) = &mut bound.backing else {
            return false;
        };
        let belongs = |copy: &CopyAt| {
            let pool = fleet.pools.get(copy.pool as usize);
            pool.is_some_and(|pool| place::belongs(pool, tier))
        };
        let (mut copies, leaving): (Vec<CopyAt>, Vec<CopyAt>) =
            volume.copies.iter().copied().partition(belongs);
        let wanted = copies.len() + leaving.len();
        for name in &what.candidates {
            let pool = fleet.pool(name);
            let Some(found) = fleet.pools.get(pool as usize) else {
                continue;
            };
            let (node, needed) = (
                fleet.node(&found.node),
                volume.size.saturating_add(tier.pool_reserve),
            );
            let taken = copies.iter().any(|copy| copy.node == node);
            if copies.len() < wanted && !taken && (volume.thin || found.free() >= needed) {
                copies.push(CopyAt { pool, node });
            }
        }
        if copies.len() < wanted {
            return false;
        }
        book(fleet, volume, &copies);
        volume.copies = copies.into();
        bound.last_migration = NonZeroI64::new(at);
        true
    }

    /// What waits for its approval at the end.
    pub(super) fn pending(&self) -> Vec<Pending> {
        self.open
            .iter()
            .map(|open| Pending {
                claim: open.what.claim.to_string(),
                from: open.what.from.to_string(),
                to: open.what.to.to_string(),
                proposed_at: open.since,
            })
            .collect()
    }
}

/// Books a volume's bytes on its new pools and off those that it leaves; a thin volume counts with its full size, as when room is
/// shared out.
fn book(fleet: &mut Fleet, volume: &MayastorVolume, copies: &[CopyAt]) {
    for old in volume.copies.iter() {
        if let Some(pool) = fleet.pools.get_mut(old.pool as usize) {
            pool.used = pool.used.saturating_sub(volume.size);
            pool.committed = pool.committed.map(|sum| sum.saturating_sub(volume.size));
        }
    }
    for new in copies {
        if let Some(pool) = fleet.pools.get_mut(new.pool as usize) {
            pool.used = pool.used.saturating_add(volume.size).min(pool.capacity);
            pool.committed = pool.committed.map(|sum| sum.saturating_add(volume.size));
        }
    }
}

fn status(open: &Open) -> ProposalStatus {
    let what = &open.what;
    ProposalStatus {
        branch: String::new(),
        state: ProposalState::Open,
        key: String::new(),
        commit: String::new(),
        base: String::new(),
        policy: what.policy.to_string(),
        number: None,
        shown: String::new(),
        url: None,
        moves: vec![ProposedMoveStatus {
            namespace: what.claim.namespace.clone(),
            claim: what.claim.name.clone(),
            volume: what.volume.to_string(),
            from: what.from.to_string(),
            to: what.to.to_string(),
            decision: what.note.clone(),
            accepted: false,
            approved_in: None,
        }],
        policy_fingerprint: String::new(),
        title: String::new(),
        body: String::new(),
        since: String::new(),
    }
}
