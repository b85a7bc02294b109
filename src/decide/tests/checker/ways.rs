//! Rules about the ways of moves: the nodes between which they copy, the pools that they touch, and nodes that rest.

use super::super::world::NOW;
use super::Rules;
use crate::model::decision::{Decision, Start};
use crate::model::ids::{ClaimRef, NodeName, PolicyName, PoolName};
use crate::model::migration_brief::MigrationBrief;
use jiff::Timestamp;
use std::collections::BTreeSet;

impl Rules<'_> {
    /// The pairs of nodes between which a move copies, as far as its copies and expected pools say, the lesser name first.
    fn pairs(&self, claim: &ClaimRef, to: &str, expected: &[PoolName]) -> BTreeSet<(NodeName, NodeName)> {
        let Some(volume) = self.known(claim) else {
            return BTreeSet::new();
        };
        let on = |pool: &PoolName| self.engine.pools[pool].labels["tier"] == to;
        let new = expected.iter().map(|pool| &self.engine.pools[pool].node);
        let there = volume
            .replicas
            .iter()
            .filter(|copy| on(&copy.pool))
            .map(|copy| &copy.node);
        let goals: Vec<&NodeName> = there.chain(new).collect();
        let leaving = volume
            .replicas
            .iter()
            .filter(|copy| !on(&copy.pool))
            .map(|copy| &copy.node);
        let mut pairs = BTreeSet::new();
        for from in leaving {
            for goal in goals.iter().filter(|goal| **goal != from) {
                pairs.insert((from.min(goal).clone(), from.max(goal).clone()));
            }
        }
        pairs
    }

    /// Where a move starts, no more than allowed copy between the same nodes or touch the same pool; no node of it has just returned.
    pub(super) fn ways_are_not_crowded(&self, running: &[&MigrationBrief], decision: &Decision) {
        let control = &self.world.in_flight.control;
        let touches = |claim: &ClaimRef, expected: &[PoolName], pool: &PoolName| {
            let held = self
                .known(claim)
                .is_some_and(|volume| volume.replicas.iter().any(|copy| copy.pool == *pool));
            held || expected.contains(pool)
        };
        for (place, one) in decision.starts.iter().enumerate() {
            let what = one.approved.what();
            let (said, before) = (
                format!("{}: {}", self.what, what.claim),
                &decision.starts[..place],
            );
            let of = |one: &Start| {
                let what = one.approved.what();
                self.pairs(&what.claim, what.to.as_str(), &one.pools)
            };
            for pair in of(one) {
                let runs = running
                    .iter()
                    .filter(|one| self.pairs(&one.claim, one.to.as_str(), &[]).contains(&pair));
                let used = runs.count() + before.iter().filter(|one| of(one).contains(&pair)).count();
                let max = control.per_node_pair as usize;
                assert!(max == 0 || used < max, "{said} is one too many between {pair:?}");
            }
            let held = self.of(&what.claim).replicas.iter().map(|copy| &copy.pool);
            let pools: BTreeSet<&PoolName> = held.chain(&one.pools).collect();
            let named = what.policy.clone().map(PolicyName);
            let policy = named.and_then(|name| self.world.desired.policies.get(&name));
            let max = policy.and_then(|policy| policy.budgets.moves_per_pool);
            for pool in pools {
                let now = Timestamp::from_second(NOW).unwrap();
                let rests = control
                    .resting
                    .get(&self.engine.pools[pool].node)
                    .is_some_and(|until| now < *until);
                assert!(!rests, "{said}: the node of {pool} has just returned");
                let runs = running
                    .iter()
                    .filter(|one| touches(&one.claim, &[], pool))
                    .count();
                let starts = before
                    .iter()
                    .filter(|one| touches(&one.approved.what().claim, &one.pools, pool))
                    .count();
                assert!(
                    max.is_none_or(|max| runs + starts < max as usize),
                    "{said} is one too many on {pool}"
                );
            }
        }
    }

    /// Where a move starts, no more moves read than the policy allows: those that run, and those that start before it.
    pub(super) fn nodes_are_spared(&self, running: &[&MigrationBrief], decision: &Decision) {
        let reads = |claim: &ClaimRef, node: &NodeName| {
            let volume = self.known(claim);
            volume.is_some_and(|volume| volume.replicas.iter().any(|copy| copy.node == *node))
        };
        for (place, one) in decision.starts.iter().enumerate() {
            let what = one.approved.what();
            let named = what.policy.clone().map(PolicyName);
            let policy = named.and_then(|name| self.world.desired.policies.get(&name));
            let Some(max) = policy.and_then(|policy| policy.budgets.moves_per_node) else {
                continue;
            };
            for node in self.of(&what.claim).replicas.iter().map(|copy| &copy.node) {
                let before = decision.starts[..place].iter();
                let before = before
                    .filter(|one| reads(&one.approved.what().claim, node))
                    .count();
                let runs = running.iter().filter(|one| reads(&one.claim, node)).count();
                assert!(
                    before + runs < max as usize,
                    "{}: {} is one too many on {node}",
                    self.what,
                    what.claim
                );
            }
        }
    }
}
