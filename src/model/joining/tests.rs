//! Claims about joining: whatever order the three speak in, the records are those that a plain reading makes.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests"
)]

use super::*;
use crate::model::engine::{Ability, Health, Node, Pool, Replica};
use crate::model::ids::ClaimRef;
use crate::model::observation::Pin;
use std::collections::HashSet;
use std::num::NonZeroI64;

/// Begins of names: alike, empty, and different within a letter.
const BEGINS: [&str; 8] = [
    "",
    "data-",
    "data-app-0000",
    "data-app-0001",
    "ä",
    "å",
    "a\0",
    "a",
];

fn pool(name: &str, node: &str) -> Pool {
    Pool {
        name: name.into(),
        node: node.into(),
        labels: BTreeMap::new(),
        state: Health::Online,
        capacity: 1,
        used: 0,
        committed: None,
        cordoned: false,
        encrypted: false,
    }
}

fn node(name: &str) -> Node {
    Node {
        name: name.into(),
        labels: BTreeMap::new(),
        state: Health::Online,
        cordons: Vec::new(),
        draining: false,
        version: Some("v2.10.1".to_owned()),
    }
}

fn volume(random: &mut fastrand::Rng, uuid: &str) -> Volume {
    let replica = |random: &mut fastrand::Rng| Replica {
        id: "r".into(),
        // Some are on another node than their pool, or on one that nobody knows.
        node: format!("n{}", random.usize(..4)).into(),
        pool: format!("p{}", random.usize(..5)).into(),
        state: Health::Online,
        child: None,
        healthy: None,
        rebuild_progress: None,
    };
    let inclusion = |random: &mut fastrand::Rng| match random.usize(..3) {
        0 => BTreeMap::from([("zone".to_owned(), format!("z{}", random.usize(..2)))]),
        _ => BTreeMap::new(),
    };
    Volume {
        uuid: uuid.to_owned(),
        size: random.u64(..),
        num_replicas: random.u8(..4),
        created: true,
        obstacle: None,
        busy: false,
        state: Health::Online,
        target_node: random.bool().then(|| "n0".into()),
        target_state: Some(Health::Online),
        rebuilds: 0,
        replicas: (0..random.usize(..6)).map(|_| replica(random)).collect(),
        self_heal: true,
        thin: random.bool(),
        snapshots: 0,
        cloned: false,
        affinity_group: None,
        encrypted: random.bool(),
        pool_inclusion: inclusion(random),
        node_inclusion: inclusion(random),
        allowed_nodes: Vec::new(),
    }
}

fn seen(random: &mut fastrand::Rng, number: usize) -> ClusterVolume {
    let begins = BEGINS[random.usize(..BEGINS.len())];
    let uuid = format!("{begins}{}", random.usize(..40));
    ClusterVolume {
        name: match random.bool() {
            true => format!("pvc-{uuid}-{number}").into(),
            false => format!("pvc-{uuid}").into(),
        },
        claim: ClaimRef {
            namespace: BEGINS[random.usize(..BEGINS.len())].to_owned(),
            name: format!("{begins}{}", random.usize(..40)),
        },
        claim_labels: (0..random.usize(..3))
            .map(|key| (format!("key{key}"), random.usize(..2).to_string()))
            .collect(),
        storage_class: format!("class{}", random.usize(..2)),
        provider: match random.usize(..10) {
            0 => Provider::Local,
            1 => Provider::Other("csi".to_owned()),
            _ => Provider::Mayastor(uuid),
        },
        last_migration: Timestamp::from_second(random.i64(..1000)).ok(),
        created: None,
        pin: random.bool().then_some(Pin::Always),
    }
}

fn engine(random: &mut fastrand::Rng) -> EngineState {
    let mut state = EngineState::default();
    for name in ["p0", "p1", "p2", "p3"] {
        let pool = pool(name, ["n0", "n1", "n2", "unknown"][random.usize(..4)]);
        state.pools.insert(pool.name.clone(), pool);
    }
    for name in ["n0", "n1", "n2"] {
        state.nodes.insert(name.into(), node(name));
    }
    for _ in 0..random.usize(..80) {
        let uuid = format!("{}{}", BEGINS[random.usize(..BEGINS.len())], random.usize(..40));
        state.volumes.insert(uuid.clone(), volume(random, &uuid));
    }
    state
}

/// What a plain reading makes of a volume of which the engine knows that.
fn is_recorded(of: &Observation, bound: &BoundVolume, uuid: &str, known: &Volume) {
    let (Backing::Mayastor(record), Ok(fleet)) = (&bound.backing, &of.engine) else {
        unreachable!("{} is known to the engine", bound.name);
    };
    assert_eq!(bound.uuid(), Some(uuid));
    let copies = known.replicas.iter().map(|replica| CopyAt {
        pool: fleet.pool(&replica.pool),
        node: fleet.node(&replica.node),
    });
    assert_eq!(record.copies, copies.collect());
    assert_eq!(
        fleet.topologies[record.topology as usize],
        Topology {
            pool_inclusion: known.pool_inclusion.clone(),
            node_inclusion: known.node_inclusion.clone(),
            allowed_nodes: Vec::new(),
        }
    );
    let told = Abilities {
        pool_cordons: Ability::Has,
        removal_heeds_cordons: Ability::Has,
    };
    assert_eq!(record.unfit, Unfit::of(known, told));
    assert_eq!(
        (record.size, record.wanted_copies, record.thin, record.encrypted),
        (known.size, known.num_replicas, known.thin, known.encrypted)
    );
}

#[test]
fn records_are_those_that_a_plain_reading_makes() {
    let seed =
        std::env::var("COUCHESTOR_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    eprintln!("joining: seed {seed} (COUCHESTOR_SEED={seed} repeats it)");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut known = 0;
    for _ in 0..100 {
        let mut all: Vec<ClusterVolume> = (0..random.usize(..150)).map(|n| seen(&mut random, n)).collect();
        let state = engine(&mut random);
        let values = HashMap::from_iter(
            all.iter()
                .zip(0..)
                .map(|(one, n)| (one.name.to_string(), f64::from(n))),
        );
        let answers = BTreeMap::from([("q".to_owned(), Ok(values.clone()))]);
        let (at, mut volumes) = (Timestamp::UNIX_EPOCH, state.volumes.clone());
        let of = Observation::assemble(at, all.clone(), BTreeSet::new(), Ok(state), answers);
        all.sort_by(|a, b| (&a.claim, &a.name).cmp(&(&b.claim, &b.name)));
        assert_eq!(of.volumes.len(), all.len());
        for (place, (bound, plain)) in of.volumes.iter().zip(&all).enumerate() {
            assert_eq!(
                (bound.claim_ref(), bound.volume_name()),
                (plain.claim.clone(), plain.name.clone())
            );
            let group = of.group(bound).unwrap();
            let labels = group
                .labels
                .iter()
                .map(|(key, value)| (key.to_string(), value.to_string()));
            assert_eq!(
                (&*group.storage_class, labels.collect()),
                (&*plain.storage_class, plain.claim_labels.clone())
            );
            assert_eq!(
                bound.last_migration.map(NonZeroI64::get),
                plain
                    .last_migration
                    .map(Timestamp::as_second)
                    .filter(|at| *at != 0)
            );
            assert_eq!(bound.pin, plain.pin);
            assert_eq!(of.answers["q"].as_ref().unwrap()[place], values[&*bound.name]);
            match &plain.provider {
                Provider::Local => assert_eq!(bound.backing, Backing::Local),
                Provider::Other(driver) => assert_eq!(bound.backing, Backing::Other(driver.as_str().into())),
                Provider::Longhorn(name) => panic!("{name}: none is made up here"),
                Provider::Mayastor(uuid) => match volumes.remove(uuid) {
                    None => assert_eq!(bound.backing, Backing::NotInEngine),
                    Some(volume) => {
                        known += 1;
                        is_recorded(&of, bound, uuid, &volume);
                    }
                },
            }
        }
        let claims: Vec<ClaimRef> = all.iter().map(|one| one.claim.clone()).collect();
        let missing = ["a", "zz"].map(|name| ClaimRef {
            namespace: "data-".to_owned(),
            name: name.to_owned(),
        });
        let asked = claims.iter().chain(&missing);
        let one_by_one = asked.clone().map(|claim| of.all_of(claim));
        assert!(of.all_of_each(asked).eq(one_by_one), "many are found as each is");
        let once: HashSet<&Group> = of.groups.iter().collect();
        assert_eq!(
            once.len(),
            of.groups.len(),
            "volumes that are alike share a group"
        );
    }
    assert!(known > 100, "only {known} volumes were known to the engine");
}
