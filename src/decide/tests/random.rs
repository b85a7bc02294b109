//! Random worlds, in which everything that planning looks at is met now and then.

use super::world::*;
use crate::decide::Limits;
use crate::model::approval::{Approved, Move};
use crate::model::desired::{Policy, TierPools};
use crate::model::engine::{EngineState, Health, Pool, Volume};
use crate::model::ids::{ClaimRef, PolicyName};
use crate::model::kinds::policy_source::{ProposalState, ProposalStatus};
use crate::model::kinds::volume_migration::Phase;
use crate::model::migration_brief::MigrationBrief;
use crate::model::observation::{Pin, Provider};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Tiers from the coldest to the hottest.
pub(super) const TIERS: [&str; 3] = ["cold", "warm", "hot"];

fn random_pools(random: &mut fastrand::Rng, engine: &mut EngineState) {
    let node = engine.nodes.values().next().unwrap().clone();
    engine.pools.clear();
    engine.nodes.clear();
    for number in 0..random.usize(3..10) {
        let mut node = node.clone();
        node.name = format!("n{number}").as_str().into();
        node.labels = BTreeMap::from([("zone".to_owned(), format!("z{}", number % 2))]);
        node.draining = random.usize(..12) == 0;
        if random.usize(..12) == 0 {
            node.state = Health::Offline;
        }
        engine.nodes.insert(node.name.clone(), node);
        for tier in TIERS {
            for copy in 0..random.usize(0..3) {
                let name = format!("{tier}-{number}-{copy}");
                let mut pool = pool(&name, &format!("n{number}"), tier, random.u64(20..400));
                pool.used = random.u64(0..=pool.capacity / GIB) * GIB;
                pool.committed = random.bool().then(|| pool.used + random.u64(..200) * GIB);
                pool.encrypted = random.usize(..6) == 0;
                pool.cordoned = random.usize(..12) == 0;
                pool.labels
                    .insert("disk".into(), ["a", "b"][random.usize(..2)].into());
                engine.pools.insert(pool.name.clone(), pool);
            }
        }
    }
}

fn random_volume(random: &mut fastrand::Rng, template: &Volume, engine: &EngineState, name: &str) -> Volume {
    let mut volume = template.clone();
    volume.uuid = name.to_owned();
    volume.size = random.u64(1..60) * GIB;
    volume.thin = random.bool();
    volume.encrypted = random.usize(..6) == 0;
    let tier = TIERS[random.usize(..3)];
    let mut pools: Vec<&Pool> = engine.pools.values().collect();
    random.shuffle(&mut pools);
    let wanted = random.usize(1..=3);
    let mut replicas = Vec::new();
    let mut nodes = BTreeSet::new();
    let mixed = random.usize(..15) == 0;
    for pool in pools {
        let fits = mixed || pool.labels["tier"] == tier;
        if replicas.len() < wanted && fits && nodes.insert(pool.node.clone()) {
            let mut replica = template.replicas[0].clone();
            replica.id = format!("{name}-{}", replicas.len()).into();
            (replica.pool, replica.node) = (pool.name.clone(), pool.node.clone());
            replicas.push(replica);
        }
    }
    volume.num_replicas = u8::try_from(replicas.len().max(1)).unwrap();
    volume.replicas = replicas;
    if random.usize(..10) == 0 {
        volume.target_node = None;
    }
    match random.usize(..8) {
        0 => drop(volume.pool_inclusion.insert("disk".into(), "a".into())),
        1 => drop(volume.node_inclusion.insert("zone".into(), "z1".into())),
        2 => volume.allowed_nodes = vec!["n0".into(), "n1".into(), "n3".into()],
        3 => drop(volume.pool_inclusion.insert("disk".into(), String::new())),
        _ => {}
    }
    volume
}

fn random_policy(random: &mut fastrand::Rng, template: &Policy, number: usize) -> Policy {
    let mut policy = template.clone();
    policy.name = PolicyName(format!("p{number}"));
    // Now and then a policy takes what another takes too.
    let app = if random.usize(..8) == 0 { 0 } else { number };
    policy.claim_labels.insert("app".into(), format!("a{app}"));
    policy.tiers = match random.usize(..4) {
        0 => vec!["cold".into(), "hot".into()],
        _ => TIERS.iter().map(|tier| (*tier).into()).collect(),
    };
    policy.enabled = random.usize(..6) > 0;
    policy.dry_run = random.usize(..10) == 0;
    policy.max_concurrent = random.u32(..5);
    policy.budgets.moves_per_hour = (random.usize(..3) == 0).then(|| random.u32(..3));
    policy.budgets.moves_per_node = (random.usize(..3) == 0).then(|| random.u32(1..3));
    policy.budgets.moves_per_pool = (random.usize(..3) == 0).then(|| random.u32(1..3));
    policy.budgets.bytes_per_hour = (random.usize(..3) == 0).then(|| random.u64(10..100) * GIB);
    if random.usize(..4) == 0 {
        policy.min_age = Duration::from_secs(3600);
    }
    policy.fullness.promote_below = (random.usize(..3) == 0).then(|| random.f64());
    policy.fullness.demote_above = (random.usize(..3) == 0).then(|| random.f64());
    policy
}

/// A world of up to two hundred volumes.
pub(super) fn random_world(random: &mut fastrand::Rng) -> World {
    let mut made = world();
    let template = made.volume().clone();
    let (policy, bound) = (made.policy().clone(), made.seen[0].clone());
    let mut warm = made.tier("hot").clone();
    (warm.name, warm.rank, warm.pools) = ("warm".into(), 50, TierPools::Mayastor(labels("warm")));
    made.desired.tiers.insert(warm.name.clone(), warm);
    for tier in made.desired.tiers.values_mut() {
        tier.pool_reserve = random.u64(..20) * GIB;
        tier.max_moves = (random.usize(..3) == 0).then(|| random.u32(..4));
    }
    made.desired.policies = (0..random.usize(2..6))
        .map(|number| random_policy(random, &policy, number))
        .map(|policy| (policy.name.clone(), policy))
        .collect();
    let mut engine = made.engine.clone().unwrap();
    random_pools(random, &mut engine);
    engine.volumes.clear();
    made.seen.clear();
    let mut loads = BTreeMap::new();
    for number in 0..random.usize(1..=200) {
        let name = format!("v{number}");
        let mut bound = bound.clone();
        bound.name = format!("pvc-{name}").into();
        bound.claim.name = name.clone();
        bound.claim.namespace = format!("ns{}", random.usize(..3));
        bound
            .claim_labels
            .insert("app".into(), format!("a{}", random.usize(..4)));
        bound.provider = match random.usize(..20) {
            0 => Provider::Local,
            1 => Provider::Other("csi".into()),
            _ => Provider::Mayastor(name.clone()),
        };
        let ago = |seconds: i64| Timestamp::from_second(NOW - seconds).ok();
        bound.created = (random.bool()).then(|| ago(random.i64(..7200))).flatten();
        bound.last_migration = (random.usize(..8) == 0)
            .then(|| ago(random.i64(..100_000)))
            .flatten();
        bound.pin = (random.usize(..15) == 0).then_some(Pin::Always);
        let volume = random_volume(random, &template, &engine, &name);
        if random.usize(..25) > 0 {
            engine.volumes.insert(name.clone(), volume);
        }
        let iops = [0.0, 100.0, 2000.0, 6000.0, 20_000.0][random.usize(..5)] * (1.0 + random.f64() / 10.0);
        let coverage = if random.usize(..15) == 0 { 0.3 } else { 1.0 };
        if random.usize(..15) > 0 {
            loads.insert(
                bound.name.to_string(),
                Load::from([("iops", iops), ("coverage", coverage)]),
            );
        }
        made.seen.push(bound);
    }
    made.engine = Ok(engine);
    made.loads = Ok(loads);
    made.limits = Limits {
        max_open: [0, 3, 10, 1000][random.usize(..4)],
        rejections_expire: None,
        max_concurrent: [0, 2, 5, 1000][random.usize(..4)],
        dry_run: random.usize(..20) == 0,
    };
    made.in_flight.control.per_node_pair = random.u32(..3);
    if random.usize(..10) == 0 {
        let until = Timestamp::from_second(NOW + random.i64(-60..60)).unwrap();
        made.in_flight.control.resting.insert("n1".into(), until);
    }
    let hasty = random.usize(..4) == 0;
    if hasty {
        only_bytes_are_short(random, &mut made);
    }
    random_past(random, &mut made, hasty);
    made
}

/// Lets many moves of the first policy start at once, as long as its bytes for an hour allow it.
fn only_bytes_are_short(random: &mut fastrand::Rng, made: &mut World) {
    (made.limits.max_concurrent, made.limits.dry_run) = (1000, false);
    made.in_flight.control = Default::default();
    for tier in made.desired.tiers.values_mut() {
        tier.max_moves = None;
    }
    let mut policies = made.desired.policies.values().cloned();
    let mut first = policies.next().unwrap();
    (first.enabled, first.dry_run, first.max_concurrent) = (true, false, 1000);
    first.budgets.moves_per_hour = None;
    first.budgets.moves_per_node = None;
    first.budgets.bytes_per_hour = Some(random.u64(20..300) * GIB);
    let rest: Vec<_> = policies.collect();
    made.desired.policies = std::iter::once(first)
        .chain(rest)
        .map(|policy| (policy.name.clone(), policy))
        .collect();
    let engine = made.engine.as_mut().unwrap();
    for pool in engine.pools.values_mut() {
        (pool.capacity, pool.used, pool.committed) = (4000 * GIB, 0, None);
    }
}

/// Approvals, migrations and proposals.
fn random_past(random: &mut fastrand::Rng, made: &mut World, hasty: bool) {
    for bound in made.seen.clone() {
        let to = TIERS[random.usize(..3)];
        let chance = random.usize(..25);
        match chance {
            0 | 1 | 4..=9 if chance < 2 || hasty => {
                made.approve(to);
                let (what, approval) = {
                    let last = made.desired.approved.pop().unwrap();
                    (last.what().clone(), last.approval().clone())
                };
                let what = Move {
                    claim: bound.claim.clone(),
                    volume: bound.name.clone(),
                    policy: made.desired.policies.keys().next().map(ToString::to_string),
                    ..what
                };
                let approved = Approved::read_from_verified_tree(what, approval);
                made.desired.approved.push(approved);
            }
            2 => made.in_flight.migrations.push(MigrationBrief {
                name: format!("m-{}", bound.claim.name),
                claim: bound.claim.clone(),
                volume: bound.name.clone(),
                from: TIERS[random.usize(..3)].into(),
                to: to.into(),
                policy: made.desired.policies.keys().next().map(ToString::to_string),
                phase: [Phase::WaitSync, Phase::Completed, Phase::RolledBack][random.usize(..3)],
                approved_in: "a".into(),
                latency_before: None,
                attempt: 1,
                retry: None,
                started: Timestamp::from_second(NOW - random.i64(0..7200))
                    .ok()
                    .map(|at| at.to_string()),
                finished: None,
                copied: None,
            }),
            3 => {
                made.declined([2000.0, 6000.0][random.usize(..2)]);
                let proposal: &mut ProposalStatus = made.in_flight.proposals.last_mut().unwrap();
                let step = &mut proposal.moves[0];
                (step.namespace, step.claim) = (bound.claim.namespace.clone(), bound.claim.name.clone());
                (step.volume, step.to) = (bound.name.to_string(), to.to_owned());
                if random.bool() {
                    proposal.state = ProposalState::Open;
                }
            }
            _ => {}
        }
    }
}

/// Carries the proposals out as far as there is room, and says which moved.
pub(super) fn carry_out(world: &mut World, moves: &[(ClaimRef, String, bool)]) {
    let mut engine = world.engine.clone().unwrap();
    for (claim, to, _) in moves {
        let bound = world.seen.iter_mut().find(|seen| seen.claim == *claim).unwrap();
        let Provider::Mayastor(uuid) = &bound.provider else {
            panic!("{claim} cannot be moved");
        };
        let volume = engine.volumes.get_mut(uuid).unwrap();
        let mut nodes: BTreeSet<_> = BTreeSet::new();
        for copy in &mut volume.replicas {
            let pools = engine.pools.values_mut();
            let mut free = pools.filter(|pool| pool.labels["tier"] == **to && !nodes.contains(&pool.node));
            let pool = free.next().unwrap();
            nodes.insert(pool.node.clone());
            (copy.pool, copy.node) = (pool.name.clone(), pool.node.clone());
        }
        bound.last_migration = Timestamp::from_second(NOW).ok();
    }
    world.engine = Ok(engine);
    world.in_flight = Default::default();
    world.desired.approved.clear();
}
