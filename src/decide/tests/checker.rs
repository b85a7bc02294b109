//! Every plan for seeded random worlds is checked by rules that are written down once more, without the planner's own tables.

use super::random::{carry_out, random_world};
use super::world::*;
use crate::model::decision::{Decision, ProposedMove, Start, Why};
use crate::model::desired::{Policy, Tier};
use crate::model::engine::{EngineState, Health, Pool, Volume};
use crate::model::ids::ClaimRef;
use crate::model::kinds::policy_source::{ProposalState, ProposedMoveStatus};
use crate::model::migration_brief::MigrationBrief;
use crate::model::observation::Provider;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Where moves crowd.
mod ways;

/// Worlds that are made up.
const WORLDS: usize = 200;

/// What was seen in all worlds.
#[derive(Debug, Default)]
struct Counts {
    volumes: usize,
    proposed: usize,
    started: usize,
    /// Moves that waited for a policy's bytes of the hour.
    waited_for_bytes: usize,
    reasons: BTreeMap<&'static str, usize>,
}

fn seed() -> u64 {
    let fixed = std::env::var("COUCHESTOR_SEED").ok();
    let fixed = fixed.and_then(|text| text.parse().ok());
    fixed.unwrap_or_else(|| fastrand::u64(0..1 << 40))
}

/// The rules, from the world's own records.
struct Rules<'w> {
    world: &'w World,
    engine: &'w EngineState,
    what: String,
}

impl Rules<'_> {
    fn of(&self, claim: &ClaimRef) -> &Volume {
        let bound = self.world.seen.iter().find(|seen| seen.claim == *claim).unwrap();
        match &bound.provider {
            Provider::Mayastor(uuid) => &self.engine.volumes[uuid],
            other => panic!("{}: {claim} of {other:?} would be moved", self.what),
        }
    }

    fn policy(&self, claim: &ClaimRef) -> &Policy {
        let bound = self.world.seen.iter().find(|seen| seen.claim == *claim).unwrap();
        let mut taking = self.world.desired.policies.values().filter(|policy| {
            let mut labels = policy.claim_labels.iter();
            policy.enabled && labels.all(|(key, value)| bound.claim_labels.get(key) == Some(value))
        });
        let policy = taking.next().unwrap();
        assert!(taking.next().is_none(), "{}: {claim} is taken twice", self.what);
        policy
    }

    /// Whether a copy of a volume may be on a pool, whatever the room.
    fn admits(&self, volume: &Volume, tier: &Tier, pool: &Pool) -> bool {
        let node = &self.engine.nodes[&pool.node];
        let has = |labels: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>| {
            let mut wanted = wanted.iter();
            wanted.all(|(key, value)| {
                labels
                    .get(key)
                    .is_some_and(|own| value.is_empty() || own == value)
            })
        };
        pool.state == Health::Online
            && !pool.cordoned
            && pool.labels.get("tier").map(String::as_str) == Some(tier.name.as_str())
            && node.state == Health::Online
            && !node.draining
            && pool.encrypted == volume.encrypted
            && volume.replicas.iter().all(|copy| copy.node != pool.node)
            && has(&pool.labels, &volume.pool_inclusion)
            && has(&node.labels, &volume.node_inclusion)
            && (volume.allowed_nodes.is_empty() || volume.allowed_nodes.contains(&pool.node))
    }

    fn everybody_has_one_verdict(&self, decision: &Decision) {
        let mut verdicts: BTreeMap<ClaimRef, usize> = BTreeMap::new();
        let owned = |(namespace, name): (&str, &str)| ClaimRef {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        let proposed = decision.proposals.iter().map(|one| one.claim.clone());
        let started = decision
            .starts
            .iter()
            .map(|one| one.approved.what().claim.clone());
        let left = decision.left_alone.iter().map(|left| owned(left.claim()));
        for claim in proposed.chain(started).chain(left) {
            *verdicts.entry(claim).or_default() += 1;
        }
        for seen in &self.world.seen {
            assert_eq!(
                verdicts.get(&seen.claim),
                Some(&1),
                "{}: verdicts of {}",
                self.what,
                seen.claim
            );
        }
        assert_eq!(verdicts.len(), self.world.seen.len(), "{}", self.what);
        let order = |claims: Vec<ClaimRef>| claims.is_sorted();
        assert!(
            order(decision.proposals.iter().map(|one| one.claim.clone()).collect()),
            "{}",
            self.what
        );
        assert!(
            order(
                decision
                    .left_alone
                    .iter()
                    .map(|left| owned(left.claim()))
                    .collect()
            ),
            "{}",
            self.what
        );
    }

    fn moves_are_allowed(&self, decision: &Decision) {
        for one in &decision.proposals {
            let (volume, policy) = (self.of(&one.claim), self.policy(&one.claim));
            let bound = self
                .world
                .seen
                .iter()
                .find(|seen| seen.claim == one.claim)
                .unwrap();
            let what = format!("{}: {}", self.what, one.claim);
            assert_eq!(policy.name, one.policy, "{what}");
            assert!(
                !policy.dry_run && !self.world.limits.dry_run && bound.pin.is_none(),
                "{what}"
            );
            let step = |name: &str| {
                policy
                    .tiers
                    .iter()
                    .position(|tier| tier.as_str() == name)
                    .unwrap()
            };
            let (from, to) = (step(one.from.as_str()), step(one.to.as_str()));
            assert!(
                if one.hotter {
                    to == from + 1
                } else {
                    from == to + 1
                },
                "{what}: more than a step"
            );
            let on = |copy: &crate::model::engine::Replica| {
                self.engine.pools[&copy.pool].labels["tier"] == one.from.as_str()
            };
            assert!(volume.replicas.iter().all(on), "{what} is not on {}", one.from);
            let iops = self.world.loads.as_ref().unwrap()[bound.name.as_str()]["iops"];
            let crossed = if one.hotter {
                iops >= 4500.0
            } else {
                iops < 500.0 / 0.9
            };
            assert!(crossed, "{what}: {iops} IOPS");
            let tier = &self.world.desired.tiers[&one.to];
            for candidate in &one.candidates {
                let pool = &self.engine.pools[candidate];
                assert!(
                    self.admits(volume, tier, pool),
                    "{what} may not go to {candidate}"
                );
            }
            let nodes = one.candidates.iter().map(|pool| &self.engine.pools[pool].node);
            let nodes: BTreeSet<_> = nodes.collect();
            assert!(nodes.len() >= volume.replicas.len(), "{what} has no nodes enough");
        }
        let names: BTreeSet<String> = decision
            .proposals
            .iter()
            .map(|one| one.claim.to_string())
            .collect();
        for left in &decision.left_alone {
            if let Why::WaitsForRoom { after, .. } = &left.why {
                let first = after.split([',', ' ']).next().unwrap();
                assert!(names.contains(first), "{}: nobody proposes {after}", self.what);
            }
        }
    }

    fn budgets_are_kept(&self, decision: &Decision) {
        let open = |claim: &ClaimRef| {
            let mut known = self.world.in_flight.proposals.iter();
            known.any(|one| {
                let of_claim = |step: &ProposedMoveStatus| {
                    (&step.namespace, &step.claim) == (&claim.namespace, &claim.name)
                };
                one.state == ProposalState::Open && one.moves.iter().any(of_claim)
            })
        };
        let fresh: Vec<&ProposedMove> = decision
            .proposals
            .iter()
            .filter(|one| !open(&one.claim))
            .collect();
        // All moves of a policy are one proposal.
        let all: BTreeSet<_> = decision.proposals.iter().map(|one| &one.policy).collect();
        // What is open counts, wanted or not.
        let records = self.world.in_flight.proposals.iter();
        let kept = records.filter(|one| one.state.is_open());
        let kept: BTreeSet<&str> = kept.map(|one| one.policy.as_str()).collect();
        // A volume whose move is open stays proposed, though another policy takes it now.
        let taken = decision.proposals.iter().filter(|one| open(&one.claim));
        let taken: BTreeSet<_> = taken.map(|one| &one.policy).collect();
        let fresh_ones = all
            .iter()
            .filter(|one| !kept.contains(one.as_str()) && !taken.contains(*one));
        let fresh_ones = fresh_ones.count();
        let max_open = self.world.limits.max_open as usize;
        assert!(
            fresh_ones == 0 || kept.len() + fresh_ones <= max_open,
            "{}: maxOpen",
            self.what
        );
        let running = self
            .world
            .in_flight
            .migrations
            .iter()
            .filter(|one| !one.phase.is_final());
        let running: Vec<&MigrationBrief> = running.collect();
        let started = decision.starts.len();
        let max = self.world.limits.max_concurrent as usize;
        assert!(
            started == 0 || running.len() + started <= max,
            "{}: max_concurrent",
            self.what
        );
        for policy in self.world.desired.policies.values() {
            let own = |name: Option<&str>| name == Some(policy.name.as_str());
            let runs = running.iter().filter(|one| own(one.policy.as_deref())).count();
            let starts = || {
                let of = |one: &&Start| own(one.approved.what().policy.as_deref());
                decision.starts.iter().filter(of)
            };
            let proposed = decision
                .proposals
                .iter()
                .filter(|one| one.policy == policy.name)
                .count();
            let new = fresh.iter().filter(|one| one.policy == policy.name).count();
            let what = format!("{}: budgets of {}", self.what, policy.name);
            let max = policy.max_concurrent as usize;
            assert!(starts().count() == 0 || runs + starts().count() <= max, "{what}");
            assert!(new == 0 || runs + starts().count() + proposed <= max, "{what}");
            let lately = |one: &&MigrationBrief| {
                let at: Option<Timestamp> = one.started.as_deref().and_then(|at| at.parse().ok());
                own(one.policy.as_deref()) && at.is_some_and(|at| NOW - at.as_second() < 3600)
            };
            let recent = || self.world.in_flight.migrations.iter().filter(lately);
            if let Some(max) = policy.budgets.moves_per_hour {
                let all = recent().count() + starts().count();
                assert!(
                    starts().count() == 0 || all <= max as usize,
                    "{what}: moves per hour"
                );
            }
            if let Some(max) = policy.budgets.bytes_per_hour {
                let before: u64 = recent().map(|one| self.bytes(&one.claim)).sum();
                let more: u64 = starts().map(|one| self.bytes(&one.approved.what().claim)).sum();
                // A volume that is larger than the budget starts alone.
                let alone = before == 0 && starts().count() == 1;
                assert!(
                    more == 0 || before + more <= max || alone,
                    "{what}: bytes per hour"
                );
            }
        }
        self.nodes_are_spared(&running, decision);
        self.ways_are_not_crowded(&running, decision);
        for tier in self.world.desired.tiers.values() {
            let Some(max) = tier.max_moves else { continue };
            let runs = running
                .iter()
                .filter(|one| one.from == tier.name || one.to == tier.name)
                .count();
            let starts = decision.starts.iter();
            let starts = starts.filter(|one| one.from == tier.name || one.approved.what().to == tier.name);
            let starts = starts.count();
            assert!(
                starts == 0 || runs + starts <= max as usize,
                "{}: moves of {}",
                self.what,
                tier.name
            );
        }
    }

    /// The engine's volume of a claim, if there is one.
    fn known(&self, claim: &ClaimRef) -> Option<&Volume> {
        let seen = self.world.seen.iter().find(|seen| seen.claim == *claim)?;
        match &seen.provider {
            Provider::Mayastor(uuid) => self.engine.volumes.get(uuid),
            _ => None,
        }
    }

    /// Bytes of all copies of a claim's volume.
    fn bytes(&self, claim: &ClaimRef) -> u64 {
        let of = |volume: &Volume| volume.size * u64::from(volume.num_replicas);
        self.known(claim).map_or(0, of)
    }

    /// Copies of all moves of the plan fit on the pools at once: some order is found in which each goes to the roomiest.
    fn all_fit_together(&self, decision: &Decision, random: &mut fastrand::Rng) {
        let started = decision.starts.iter().map(|one| {
            let what = one.approved.what();
            (self.of(&what.claim), &self.world.desired.tiers[&what.to])
        });
        let proposed = decision.proposals.iter();
        let proposed = proposed.map(|one| (self.of(&one.claim), &self.world.desired.tiers[&one.to]));
        let mut moves: Vec<(&Volume, &Tier)> = started.chain(proposed).collect();
        moves.sort_by_key(|(volume, _)| std::cmp::Reverse(volume.size));
        for _ in 0..500 {
            if self.fit(&moves) {
                return;
            }
            random.shuffle(&mut moves);
        }
        panic!("{}: {} moves do not fit together", self.what, moves.len());
    }

    fn fit(&self, moves: &[(&Volume, &Tier)]) -> bool {
        let free = |pool: &Pool| (pool.free(), pool.committed.unwrap_or(pool.used));
        let mut room: BTreeMap<_, (u64, u64)> = self
            .engine
            .pools
            .values()
            .map(|pool| (&pool.name, free(pool)))
            .collect();
        moves.iter().all(|(volume, tier)| {
            let there = |pool: &Pool| pool.labels["tier"] == tier.name.as_str();
            let stay = volume
                .replicas
                .iter()
                .filter(|copy| there(&self.engine.pools[&copy.pool]))
                .count();
            let mut nodes = BTreeSet::new();
            (stay..volume.replicas.len()).all(|_| {
                let has_room = |pool: &&Pool| {
                    let (free, committed) = room[&pool.name];
                    let promised = (committed + volume.size) as f64 <= pool.capacity as f64 * 2.5;
                    match volume.thin {
                        true => promised && free >= (volume.size as f64 * 0.4) as u64 + tier.pool_reserve,
                        false => free >= volume.size + tier.pool_reserve,
                    }
                };
                let pools = self.engine.pools.values();
                let pools =
                    pools.filter(|pool| self.admits(volume, tier, pool) && !nodes.contains(&pool.node));
                let Some(best) = pools.filter(has_room).max_by_key(|pool| room[&pool.name]) else {
                    return false;
                };
                nodes.insert(best.node.clone());
                let (free, committed) = &mut *room.get_mut(&best.name).unwrap();
                *free = free.saturating_sub(volume.size);
                *committed += volume.size;
                true
            })
        })
    }
}

#[test]
fn every_plan_for_a_random_world_keeps_the_rules() {
    let seed = seed();
    eprintln!("plans of random worlds: seed {seed} (COUCHESTOR_SEED={seed} repeats it)");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut orders = fastrand::Rng::with_seed(seed);
    let mut counts = Counts::default();
    for number in 0..WORLDS {
        let mut world = random_world(&mut random);
        let rules = Rules {
            engine: world.engine.as_ref().unwrap(),
            world: &world,
            what: format!("seed {seed}, world {number}"),
        };
        let moves = world.decided(|decision| {
            rules.everybody_has_one_verdict(decision);
            rules.moves_are_allowed(decision);
            rules.budgets_are_kept(decision);
            rules.all_fit_together(decision, &mut orders);
            counts.volumes += world.seen.len();
            counts.proposed += decision.proposals.len();
            counts.started += decision.starts.len();
            for left in &decision.left_alone {
                let budget = match &left.why {
                    Why::OverBudget { budget } => &**budget,
                    _ => "",
                };
                counts.waited_for_bytes += usize::from(budget.starts_with("bytesPerHour"));
                *counts.reasons.entry(left.why.reason()).or_default() += 1;
            }
            let moved = |one: &ProposedMove| (one.claim.clone(), one.to.to_string(), one.hotter);
            decision.proposals.iter().map(moved).collect::<Vec<_>>()
        });
        let text = || world.decided(|decision| format!("{decision:?}"));
        assert_eq!(
            text(),
            text(),
            "seed {seed}, world {number}: the same input, another plan"
        );
        carry_out(&mut world, &moves);
        world.decided(|decision| {
            let again = |one: &&ProposedMove| moves.iter().any(|(claim, ..)| *claim == one.claim);
            let again = decision.proposals.iter().find(again);
            assert_eq!(again, None, "seed {seed}, world {number}: moved again at once");
        });
        // Once they have rested, they may go a step further, and none goes back: the load has not changed.
        for seen in &mut world.seen {
            seen.last_migration = None;
        }
        world.decided(|decision| {
            for one in &decision.proposals {
                if let Some((_, to, hotter)) = moves.iter().find(|(claim, ..)| *claim == one.claim) {
                    let what = format!("seed {seed}, world {number}: {}", one.claim);
                    assert_eq!(
                        (one.from.as_str(), one.hotter),
                        (to.as_str(), *hotter),
                        "{what} goes back"
                    );
                }
            }
        });
    }
    let Counts {
        volumes,
        proposed,
        started,
        waited_for_bytes,
        reasons,
    } = &counts;
    eprintln!(
        "{WORLDS} worlds, {volumes} volumes, {proposed} proposed, {started} started, {waited_for_bytes} waited for bytes, left alone: {reasons:?}"
    );
    assert!(
        *proposed > 100 && *started > 5 && *waited_for_bytes > 50 && reasons.len() > 15,
        "the worlds are too plain: {counts:?}"
    );
}
