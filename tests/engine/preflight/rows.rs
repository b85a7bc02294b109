//! A row for each thing that decides whether a volume is moved, and where its copy goes.

use super::{UUID, accepting, labels, spec};
use couchestor::model::kinds::volume_migration::VolumeMigrationSpec;
use couchestor::sim::mayastor::{Reason, Setup, State, VolumeSeed};

/// How the ground or the engine differs, and what comes of it: where the copies lie then, and what is said.
pub(super) struct Row {
    pub(super) what: &'static str,
    pub(super) differs: fn(&mut Setup),
    pub(super) then: fn(&mut State),
    pub(super) spec: fn() -> VolumeMigrationSpec,
    pub(super) lies: &'static [&'static str],
    pub(super) says: &'static str,
}

pub(super) const DONE: &str = "all copies are on hot";
const NO_POOL: &str = "no pool of hot can take a copy now";

fn same(_: &mut Setup) {}

pub(super) fn quiet(_: &mut State) {}

const fn row(what: &'static str, lies: &'static [&'static str], says: &'static str) -> Row {
    Row {
        what,
        differs: same,
        then: quiet,
        spec,
        lies,
        says,
    }
}

impl Row {
    const fn differs(self, differs: fn(&mut Setup)) -> Self {
        Self { differs, ..self }
    }

    const fn then(self, then: fn(&mut State)) -> Self {
        Self { then, ..self }
    }

    const fn accepting(self) -> Self {
        Self {
            spec: accepting,
            ..self
        }
    }
}

pub(super) const COLD: &[&str] = &["cold-0"];
const HOT: &[&str] = &["hot-3"];
/// The other hot pool, where the first is not admitted.
const OTHER: &[&str] = &["hot-4"];

/// What the volume is like, and what is done with it.
pub(super) const VOLUMES: [Row; 18] = [
    row("nothing is in the way", HOT, DONE),
    row("it has a snapshot", COLD, "the volume has snapshots")
        .differs(|setup| setup.volumes[0].snapshots = 1),
    row("its snapshot may stay", HOT, DONE)
        .differs(|setup| setup.volumes[0].snapshots = 1)
        .accepting(),
    row(
        "its snapshot may stay, but a node cannot rebuild such volumes",
        COLD,
        "NexusRebuildReplicaAncestry",
    )
    .differs(|setup| {
        setup.volumes[0].snapshots = 1;
        setup.nodes[0].lacks_ancestry_fix = true;
    })
    .accepting(),
    row("it is a clone", COLD, "made from a snapshot")
        .differs(|setup| setup.volumes[0].cloned_from = Some("s".into())),
    row("it is a clone, and that is accepted", HOT, DONE)
        .differs(|setup| setup.volumes[0].cloned_from = Some("s".into()))
        .accepting(),
    row(
        "it is the single copy of a volume of a group",
        COLD,
        "affinity group",
    )
    .differs(|setup| setup.volumes[0].affinity_group = Some("g".into())),
    row("it is of a group, with two copies", &["hot-3", "hot-4"], DONE).differs(|setup| {
        setup.volumes[0].affinity_group = Some("g".into());
        setup.volumes[0].pools.push("cold-1".into());
    }),
    row("it is not repaired", COLD, "self_heal off").differs(|setup| setup.volumes[0].no_self_heal = true),
    row("no pod has mounted it", COLD, "not mounted by any pod")
        .differs(|setup| setup.volumes[0].target = None),
    row("it is still being made", COLD, "has not finished creating")
        .then(|state| state.volumes.get_mut(UUID).unwrap().creating = true),
    row(
        "something is being done with it",
        COLD,
        "not all copies of the volume are online and complete",
    )
    .then(|state| state.set_operation(UUID, Some("Resize"))),
    row(
        "one of its copies is broken",
        &["cold-0", "cold-1"],
        "not all copies of the volume are online and complete",
    )
    .differs(|setup| setup.volumes[0].pools.push("cold-1".into()))
    .then(|state| {
        let copy = state.volumes[UUID].copies[1].id.clone();
        state.fault_copy(UUID, &copy, Reason::IoError);
    }),
    row("its node is being drained", COLD, "node n0 is being drained")
        .then(|state| state.drain_node("n0", "maintenance").unwrap()),
    row("rebuilds are not started any more", COLD, "MaxRebuilds")
        .differs(|setup| setup.max_rebuilds = Some(0)),
    row("it is encrypted, and no hot pool is", COLD, NO_POOL).differs(|setup| {
        (setup.volumes[0].encrypted, setup.pools[0].encrypted) = (true, true);
    }),
    row("it is encrypted, and so is one hot pool", OTHER, DONE).differs(|setup| {
        setup.volumes[0].encrypted = true;
        (setup.pools[0].encrypted, setup.pools[4].encrypted) = (true, true);
    }),
    row("it is not, and so is one hot pool", OTHER, DONE).differs(|setup| setup.pools[3].encrypted = true),
];

/// Where a copy could go.
pub(super) const PLACES: [Row; 15] = [
    row("hot pools are nearly full", COLD, NO_POOL).differs(|setup| {
        (setup.pools[3].used_gib, setup.pools[4].used_gib) = (94, 94);
    }),
    row("for a thin one there is room", HOT, DONE).differs(|setup| {
        (setup.pools[3].used_gib, setup.pools[4].used_gib) = (94, 94);
        (setup.volumes[0].thin, setup.volumes[0].written_gib) = (true, Some(1));
    }),
    row("hot pools have promised too much to thin ones", COLD, NO_POOL).differs(|setup| {
        (setup.volumes[0].thin, setup.volumes[0].written_gib) = (true, Some(1));
        setup.volumes.push(VolumeSeed {
            uuid: "00000000-0000-4000-8000-000000000001".into(),
            size_gib: 245,
            pools: vec!["hot-3".into(), "hot-4".into()],
            target: Some("n3".into()),
            thin: true,
            written_gib: Some(1),
            ..VolumeSeed::default()
        });
    }),
    row("no hot node is allowed", COLD, NO_POOL)
        .differs(|setup| setup.volumes[0].allowed_nodes = ["n0".into(), "n1".into()].into()),
    row("one hot node is allowed", OTHER, DONE)
        .differs(|setup| setup.volumes[0].allowed_nodes = ["n0".into(), "n4".into()].into()),
    row("it is bound to cold pools", COLD, NO_POOL)
        .differs(|setup| setup.volumes[0].pool_inclusion = labels("tier", "cold")),
    row("it is bound to pools of any tier", HOT, DONE)
        .differs(|setup| setup.volumes[0].pool_inclusion = labels("tier", "")),
    row(
        "hot pools are excluded, which only Mayastor minds",
        COLD,
        "NotEnoughResources",
    )
    .differs(|setup| setup.volumes[0].pool_exclusion = labels("tier", "hot")),
    row("it is bound to a zone without hot pools", COLD, NO_POOL).differs(|setup| {
        setup.nodes[4].labels = labels("zone", "b");
        setup.volumes[0].node_inclusion = labels("zone", "a");
    }),
    row("it is bound to a zone with a hot pool", OTHER, DONE)
        .differs(|setup| setup.volumes[0].node_inclusion = labels("zone", "a")),
    row("somebody has cordoned a hot pool", OTHER, DONE)
        .then(|state| state.as_someone_else(|state| state.cordon_pool("hot-3")).unwrap()),
    row("somebody has cordoned both hot nodes", COLD, NO_POOL).then(|state| {
        state.as_someone_else(|state| {
            state.cordon_node("n3", "theirs").unwrap();
            state.cordon_node("n4", "theirs").unwrap();
        });
    }),
    row("a hot node is being drained", OTHER, DONE)
        .then(|state| state.drain_node("n3", "maintenance").unwrap()),
    row("a hot node is away", OTHER, DONE).then(|state| state.lose_node("n3")),
    row("hot pools bear no labels", COLD, NO_POOL).then(|state| {
        state.label_pool("hot-3", "tier", None).unwrap();
        state.label_pool("hot-4", "tier", None).unwrap();
    }),
];
