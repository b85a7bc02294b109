//! What stands in a volume's way, before a copy is added and before one goes: a row for each thing, on the simulated Mayastor.

/// The rows.
mod rows;

use super::play::{Leadership, World, is_over};
use super::verdict::as_said;
use crate::support::moves;
use couchestor::model::kinds::volume_migration::{
    Phase, VolumeMigration, VolumeMigrationSpec, VolumeMigrationStatus,
};
use couchestor::sim::mayastor::{Cordoned, NodeSeed, PoolSeed, Profile, Setup, State, VolumeSeed};
use rows::{COLD, DONE, PLACES, Row, VOLUMES, quiet};
use std::collections::BTreeMap;
use std::time::Duration;

const UUID: &str = "00000000-0000-4000-8000-000000000000";

const GIB: u64 = 1 << 30;

/// A turn each quarter of a minute.
const TURN: Duration = Duration::from_secs(15);

/// An hour and a half: longer than every deadline and all patience here.
const TURNS_MAX: usize = 360;

/// Three cold nodes and two hot ones with a pool each; a volume of 10 GiB on the first, its target beside it.
fn ground(profile: Profile) -> Setup {
    let mut setup = Setup {
        profile,
        rebuild: Duration::from_secs(60),
        ..Setup::default()
    };
    for (index, tier) in ["cold", "cold", "cold", "hot", "hot"].into_iter().enumerate() {
        setup.nodes.push(NodeSeed {
            name: format!("n{index}"),
            labels: labels("zone", if index == 3 { "b" } else { "a" }),
            ..NodeSeed::default()
        });
        setup.pools.push(PoolSeed {
            name: format!("{tier}-{index}"),
            node: format!("n{index}"),
            labels: labels("tier", tier),
            capacity_gib: 100,
            ..PoolSeed::default()
        });
    }
    setup.volumes.push(VolumeSeed {
        uuid: UUID.into(),
        size_gib: 10,
        pools: vec!["cold-0".into()],
        target: Some("n0".into()),
        ..VolumeSeed::default()
    });
    setup
}

fn labels(key: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(key.to_owned(), value.to_owned())])
}

/// What a run came to.
struct Came {
    status: VolumeMigrationStatus,
    state: State,
}

impl Came {
    fn pools(&self) -> Vec<&str> {
        let copies = self.state.volumes[UUID].copies.iter();
        copies.map(|copy| copy.pool.as_str()).collect()
    }
}

/// Moves the volume; before each turn something may happen, and what it gives back cancels the move.
async fn moved(
    setup: Setup,
    spec: VolumeMigrationSpec,
    mut before: impl FnMut(&mut State, &VolumeMigrationStatus) -> bool,
) -> Came {
    let state = State::new(setup).expect("the ground fits together");
    let world = World::new(state, std::iter::once(VolumeMigration::new("move", spec)));
    let mut by = Leadership {
        epoch: 1,
        ..Leadership::default()
    };
    for _ in 0..TURNS_MAX {
        let status = world.migrations().remove(0).status.unwrap_or_default();
        if before(&mut world.state.lock().unwrap(), &status) {
            by.cancelled.insert("move".to_owned());
        }
        world.turn(world.stored(), &by).await;
        if world.migrations().iter().all(is_over) {
            break;
        }
        world.state.lock().unwrap().pass(TURN);
    }
    if let Err(wrong) = world.judge() {
        panic!("{wrong}");
    }
    let all = world.migrations();
    let state = world.state.lock().unwrap().clone();
    as_said(&state, &all).unwrap();
    Came {
        status: all
            .into_iter()
            .next()
            .and_then(|one| one.status)
            .unwrap_or_default(),
        state,
    }
}

fn spec() -> VolumeMigrationSpec {
    moves::spec(UUID)
}

fn accepting() -> VolumeMigrationSpec {
    VolumeMigrationSpec {
        accept_snapshots_stay: true,
        ..spec()
    }
}

async fn hold(rows: impl IntoIterator<Item = Row>) {
    for row in rows {
        for profile in [Profile::V2_10, Profile::V2_12] {
            let mut setup = ground(profile);
            (row.differs)(&mut setup);
            let mut first = Some(row.then);
            let came = moved(setup, (row.spec)(), |state, _| {
                if let Some(then) = first.take() {
                    then(state);
                }
                false
            })
            .await;
            let what = format!(
                "{profile:?}, {}: {:?} {}",
                row.what, came.status.phase, came.status.message
            );
            assert_eq!(came.pools(), row.lies, "{what}");
            assert!(came.status.message.contains(row.says), "{what}");
            if row.says != DONE {
                assert_eq!(came.status.phase, Phase::RolledBack, "{what}");
                assert!(came.state.judge.removals.is_empty(), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn what_a_volume_is_like_and_what_is_done_with_it_decides_whether_it_is_touched() {
    hold(VOLUMES).await;
}

#[tokio::test]
async fn where_a_copy_may_go_decides_whether_one_is_added() {
    hold(PLACES).await;
}

/// What comes up while the copy is filled, for so many turns.
struct Later {
    what: &'static str,
    comes: fn(&mut State),
    goes: fn(&mut State),
    turns: usize,
    accepted: bool,
    phase: Phase,
    says: &'static str,
}

const FOR_EVER: usize = usize::MAX;

fn take_snapshot(state: &mut State) {
    state.as_someone_else(|state| state.take_snapshot(UUID)).unwrap();
}

fn forget_snapshots(state: &mut State) {
    state.volumes.get_mut(UUID).unwrap().snapshots.clear();
}

/// Does something to all nodes but that of the old copy, as somebody else.
fn others(state: &mut State, act: fn(&mut State, &str)) {
    state.as_someone_else(|state| {
        for node in ["n1", "n2", "n3", "n4"] {
            act(state, node);
        }
    });
}

fn cordon_all_but_the_first(state: &mut State) {
    others(state, |state, node| {
        state.cordon_node(node, "maintenance").unwrap()
    });
}

/// Hours lie between the looks before a copy is added and the moment at which one goes.
#[tokio::test]
async fn what_comes_up_while_a_copy_is_filled_keeps_the_old_one_from_going() {
    let rows = [
        Later {
            what: "a snapshot is taken",
            comes: take_snapshot,
            goes: quiet,
            turns: FOR_EVER,
            accepted: false,
            phase: Phase::RolledBack,
            says: "the volume has snapshots",
        },
        Later {
            what: "a snapshot is taken and deleted",
            comes: take_snapshot,
            goes: forget_snapshots,
            turns: 8,
            accepted: false,
            phase: Phase::Completed,
            says: DONE,
        },
        Later {
            what: "a snapshot is taken that may stay",
            comes: take_snapshot,
            goes: quiet,
            turns: FOR_EVER,
            accepted: true,
            phase: Phase::Completed,
            says: DONE,
        },
        Later {
            what: "the old copy's node is drained",
            comes: |state| state.drain_node("n0", "maintenance").unwrap(),
            goes: |state| state.undrain_node("n0", "maintenance"),
            turns: 8,
            accepted: false,
            phase: Phase::Completed,
            says: DONE,
        },
        Later {
            what: "a node is drained and stays so",
            comes: |state| state.drain_node("n3", "maintenance").unwrap(),
            goes: quiet,
            turns: FOR_EVER,
            accepted: false,
            phase: Phase::RolledBack,
            says: "node n3 is being drained",
        },
        Later {
            what: "it is not repaired any more",
            comes: |state| state.set_self_heal(UUID, false),
            goes: quiet,
            turns: FOR_EVER,
            accepted: false,
            phase: Phase::RolledBack,
            says: "self_heal off",
        },
        Later {
            what: "it is repaired again",
            comes: |state| state.set_self_heal(UUID, false),
            goes: |state| state.set_self_heal(UUID, true),
            turns: 8,
            accepted: false,
            phase: Phase::Completed,
            says: DONE,
        },
        // The old copy's node is the last one that targets can go to: it is not cordoned, so the copy cannot be made to go.
        Later {
            what: "all other nodes are cordoned",
            comes: cordon_all_but_the_first,
            goes: quiet,
            turns: FOR_EVER,
            accepted: false,
            phase: Phase::RolledBack,
            says: "would leave none for the targets of volumes",
        },
        Later {
            what: "all other nodes are cordoned for a while",
            comes: cordon_all_but_the_first,
            goes: |state| {
                others(state, |state, node| {
                    state.uncordon_node(node, "maintenance").unwrap()
                })
            },
            turns: 8,
            accepted: false,
            phase: Phase::Completed,
            says: DONE,
        },
    ];
    for row in rows {
        let mut turns = 0;
        let spec = if row.accepted { accepting() } else { spec() };
        let came = moved(ground(Profile::V2_10), spec, |state, status| {
            if status.phase == Phase::WaitSync || turns > 0 {
                match turns {
                    0 => (row.comes)(state),
                    turns if turns == row.turns => (row.goes)(state),
                    _ => {}
                }
                turns += 1;
            }
            false
        })
        .await;
        let what = format!("{}: {:?} {}", row.what, came.status.phase, came.status.message);
        assert!(turns > 0, "{what}: it was never filled");
        let waited = row.turns == FOR_EVER || turns > row.turns;
        assert!(waited, "{what}: it did not wait until that had passed");
        assert_eq!(came.status.phase, row.phase, "{what}");
        assert!(came.status.message.contains(row.says), "{what}");
        let old_went = came.state.judge.removals.iter().any(|gone| gone.pool == "cold-0");
        assert_eq!(old_went, row.phase == Phase::Completed, "{what}");
    }
}

#[tokio::test]
async fn two_copies_of_which_one_was_moved_go_back_when_the_move_is_cancelled() {
    let mut setup = ground(Profile::V2_10);
    setup.volumes[0].pools.push("cold-1".into());
    let came = moved(setup, spec(), |_, status| {
        status.removals.iter().any(|removal| removal.gone.is_some())
    })
    .await;
    assert_eq!(came.status.phase, Phase::Cancelled, "{}", came.status.message);
    let mut pools = came.pools();
    pools.sort_unstable();
    assert_eq!(pools, ["cold-0", "cold-1"]);
    let removals = came.state.judge.removals.iter();
    let gone: Vec<&str> = removals.map(|gone| &gone.pool[..3]).collect();
    assert_eq!(
        gone,
        ["col", "hot", "hot"],
        "an old one, the one that was being filled for the other, and the new one"
    );
}

#[tokio::test]
async fn a_copy_whose_filling_stands_still_is_taken_back_before_the_timeout() {
    let spec = VolumeMigrationSpec {
        timeout_seconds: 7200,
        ..spec()
    };
    let came = moved(ground(Profile::V2_10), spec, |state, status| {
        if status.progress_percent.is_some_and(|percent| percent > 10) {
            state.set_rebuild_speed(UUID, 0.0);
        }
        false
    })
    .await;
    assert_eq!(came.status.phase, Phase::RolledBack, "{}", came.status.message);
    assert!(
        came.status.message.contains("no progress for ten minutes"),
        "{}",
        came.status.message
    );
    assert_eq!(came.pools(), COLD);
}

/// A release, what its nodes say that they run, where the target is, and what comes of it.
struct Said {
    release: Profile,
    version: &'static str,
    target: &'static str,
    phase: Phase,
    says: &'static str,
    /// Whether pools were cordoned, and whether nodes were while a copy was placed.
    cordoned: (bool, bool),
}

/// One hot node: `n2`.
fn small_ground(said: &Said) -> Setup {
    let mut setup = ground(said.release);
    setup.nodes.truncate(4);
    setup.pools.truncate(4);
    setup.volumes[0].target = Some(said.target.to_owned());
    for node in &mut setup.nodes {
        node.version = Some(said.version.to_owned());
    }
    setup
}

#[tokio::test]
async fn what_a_release_can_is_found_out_where_nodes_do_not_say_or_lie() {
    let unknown = "no node says which release of Mayastor this is";
    let rows = [
        // Nothing is said: pools are tried, and where there is no such call nodes are cordoned.
        Said {
            release: Profile::V2_10,
            version: "",
            target: "n3",
            phase: Phase::Completed,
            says: DONE,
            cordoned: (true, false),
        },
        Said {
            release: Profile::V2_9,
            version: "",
            target: "n3",
            phase: Phase::Completed,
            says: DONE,
            cordoned: (false, true),
        },
        Said {
            release: Profile::V2_7,
            version: "",
            target: "n3",
            phase: Phase::Completed,
            says: DONE,
            cordoned: (false, true),
        },
        // Whether cordons are heeded when a copy goes could be found out only by a wrong removal.
        Said {
            release: Profile::V2_10,
            version: "",
            target: "n0",
            phase: Phase::RolledBack,
            says: unknown,
            cordoned: (false, false),
        },
        Said {
            release: Profile::V2_10,
            version: "develop",
            target: "n0",
            phase: Phase::RolledBack,
            says: unknown,
            cordoned: (false, false),
        },
        // They say less than is true.
        Said {
            release: Profile::V2_10,
            version: "v2.7.1",
            target: "n3",
            phase: Phase::Completed,
            says: DONE,
            cordoned: (false, true),
        },
        Said {
            release: Profile::V2_10,
            version: "v2.7.1",
            target: "n0",
            phase: Phase::RolledBack,
            says: "does not heed cordons",
            cordoned: (false, false),
        },
        // They say more than is true: the new copy goes instead of the old one, and nothing is lost.
        Said {
            release: Profile::V2_9,
            version: "v2.10.0",
            target: "n0",
            phase: Phase::Completed,
            says: DONE,
            cordoned: (false, true),
        },
        Said {
            release: Profile::V2_7,
            version: "v2.10.0",
            target: "n0",
            phase: Phase::RolledBack,
            says: "Mayastor removed the new copy",
            cordoned: (false, true),
        },
    ];
    for said in rows {
        let came = moved(small_ground(&said), spec(), |_, _| false).await;
        let what = format!(
            "{:?} that says {:?}, target on {}: {:?} {}",
            said.release, said.version, said.target, came.status.phase, came.status.message
        );
        assert_eq!(came.status.phase, said.phase, "{what}");
        assert!(came.status.message.contains(said.says), "{what}");
        let cordons = || came.state.judge.cordons.iter().map(|held| &held.what);
        let pools = cordons().any(|what| matches!(what, Cordoned::Pool(_)));
        // The old copy's node is cordoned while that goes; others only while one is placed.
        let nodes =
            cordons().any(|what| matches!(what, Cordoned::Node { node, .. } if node != "n0" && node != "n3"));
        assert_eq!((pools, nodes), said.cordoned, "{what}");
        assert_eq!(
            came.status.no_pool_cordons,
            nodes && said.version != "v2.7.1",
            "{what}"
        );
    }
}

#[tokio::test]
async fn a_pool_that_fills_up_while_a_copy_is_filled_costs_no_copy() {
    let mut setup = ground(Profile::V2_10);
    (setup.volumes[0].thin, setup.volumes[0].written_gib) = (true, Some(9));
    let mut filled = 0;
    let came = moved(setup, spec(), |state, status| {
        if let Some(added) = status.added.as_ref().filter(|_| status.phase == Phase::WaitSync) {
            state.fill_pool(&added.pool, GIB / 64);
            filled += 1;
        }
        false
    })
    .await;
    assert!(filled > 0, "no pool was filled");
    assert_eq!(came.status.phase, Phase::RolledBack, "{}", came.status.message);
    assert_eq!(came.pools(), COLD);
    assert_eq!(came.state.volumes[UUID].fewest_synced, 1);
}
