//! Claims about placement and removal: every filter keeps a pool out, and what makes a copy go differs by release.

use super::*;
use crate::sim::mayastor::{Filter, PoolStatus, Profile};

type Row = (Filter, &'static str, fn(&mut Setup), fn(&mut State));

/// Rows about nodes and labels.
fn of_nodes() -> Vec<Row> {
    vec![
        (
            Filter::NodeCordoned,
            "hot-3",
            |_| {},
            |state| state.cordon_node("n3", "x").unwrap(),
        ),
        (
            Filter::NodeCordoned,
            "hot-3",
            |_| {},
            |state| state.drain_node("n3", "x").unwrap(),
        ),
        (
            Filter::NodeOffline,
            "hot-3",
            |_| {},
            |state| state.lose_node("n3"),
        ),
        (
            Filter::NotAllowed,
            "hot-3",
            |setup| setup.volumes[0].allowed_nodes = ["n1".to_owned()].into(),
            |_| {},
        ),
        (Filter::NodeInUse, "cold-1", |_| {}, |_| {}),
        (
            Filter::NodeLabels,
            "hot-3",
            |setup| setup.volumes[0].node_inclusion = labels(&[("zone", "")]),
            |_| {},
        ),
        (
            Filter::Unusable,
            "hot-3",
            |_| {},
            |state| state.set_pool_status("hot-3", PoolStatus::Faulted),
        ),
        (
            Filter::TooSmall,
            "hot-3",
            |setup| setup.volumes[0].size_gib = 100,
            |_| {},
        ),
        (
            Filter::PoolLabels,
            "hot-3",
            |setup| setup.volumes[0].pool_inclusion = labels(&[("tier", "cold")]),
            |_| {},
        ),
        (
            Filter::PoolLabels,
            "hot-3",
            |setup| setup.volumes[0].pool_inclusion = labels(&[("disk", "")]),
            |_| {},
        ),
        (
            Filter::PoolLabels,
            "hot-3",
            |setup| setup.volumes[0].pool_exclusion = labels(&[("tier", "hot")]),
            |_| {},
        ),
        (
            Filter::PoolLabels,
            "hot-3",
            |setup| setup.volumes[0].pool_exclusion = labels(&[("tier", "")]),
            |_| {},
        ),
    ]
}

/// Rows about room and what else a pool is.
fn of_pools() -> Vec<Row> {
    vec![
        (
            Filter::Overcommitted,
            "hot-3",
            |setup| {
                setup.volumes[0].thin = true;
                for index in 0..5 {
                    let mut other = volume(&format!("w{index}"), &["hot-3"], None);
                    (other.thin, other.size_gib, other.written_gib) = (true, 48, Some(1));
                    setup.volumes.push(other);
                }
            },
            |_| {},
        ),
        (
            Filter::NoSpace,
            "hot-3",
            |setup| {
                let volume = &mut setup.volumes[0];
                (volume.thin, volume.size_gib, volume.written_gib) = (true, 50, Some(1));
            },
            |state| state.fill_pool("hot-3", 20 * GIB),
        ),
        (
            Filter::NoSpace,
            "hot-3",
            |_| {},
            |state| state.fill_pool("hot-3", 10 * GIB),
        ),
        (
            Filter::PoolCordoned,
            "hot-3",
            |_| {},
            |state| state.cordon_pool("hot-3").unwrap(),
        ),
        (
            Filter::Encryption,
            "hot-3",
            |setup| setup.pools[2].encrypted = true,
            |_| {},
        ),
        (
            Filter::AntiAffinity,
            "hot-3",
            |setup| {
                setup.volumes.push(volume("w", &["hot-3"], None));
                for volume in &mut setup.volumes {
                    volume.affinity_group = Some("g".to_owned());
                }
            },
            |_| {},
        ),
    ]
}

#[test]
fn each_filter_keeps_a_pool_out_for_its_own_reason_and_no_copy_goes_there() {
    assert_eq!(world().candidates("v")[2], ("hot-3".to_owned(), None));
    for (filter, pool, seed, act) in of_nodes().into_iter().chain(of_pools()) {
        let mut setup = setup();
        seed(&mut setup);
        let mut state = State::new(setup).unwrap();
        act(&mut state);
        let found = state.candidates("v").into_iter().find(|(name, _)| name == pool);
        assert_eq!(found, Some((pool.to_owned(), Some(filter))), "{filter:?}");
        state.lose_node(if pool == "hot-3" { "n2" } else { "n3" });
        let _ = state.set_replica_count("v", 2);
        assert!(!pools_of(&state, "v")[1..].contains(&pool), "{filter:?}");
    }
}

#[test]
fn a_thin_volume_needs_what_is_written_and_two_fifths_of_its_size() {
    for (free, passes) in [(21, false), (22, true)] {
        let mut setup = setup();
        let volume = &mut setup.volumes[0];
        (volume.thin, volume.size_gib, volume.written_gib) = (true, 50, Some(1));
        let mut state = State::new(setup).unwrap();
        state.fill_pool("hot-3", free * GIB);
        assert_eq!(state.candidates("v")[2].1.is_none(), passes, "{free} GiB");
    }
}

#[test]
fn from_2_12_a_replica_takes_more_than_its_size() {
    for (profile, passes) in [(Profile::V2_10, true), (Profile::V2_12, false)] {
        let mut state = State::new(Setup { profile, ..setup() }).unwrap();
        state.fill_pool("hot-3", 10 * GIB + 1);
        assert_eq!(state.candidates("v")[2].1.is_none(), passes, "{profile:?}");
    }
}

#[test]
fn a_pool_with_fewer_copies_is_preferred_to_one_with_a_little_more_room() {
    let mut setup = setup();
    setup.pools[2].capacity_gib = 950;
    for index in 0..3 {
        setup
            .volumes
            .push(volume(&format!("w{index}"), &["cold-2"], None));
    }
    let mut state = State::new(setup).unwrap();
    state.set_replica_count("v", 2).unwrap();
    assert_eq!(pools_of(&state, "v"), ["cold-1", "hot-3"]);
}

/// Two complete copies: the cold one beside the target, the hot one remote.
fn two(profile: Profile, pool_inclusion: &[(&str, &str)]) -> State {
    let mut setup = Setup { profile, ..setup() };
    setup.volumes[0].pools.push("hot-3".to_owned());
    setup.volumes[0].pool_inclusion = labels(pool_inclusion);
    State::new(setup).unwrap()
}

#[test]
fn which_of_two_complete_copies_goes_differs_by_release() {
    type Steer = fn(&mut State);
    let none: Steer = |_| {};
    let node_1: Steer = |state| state.cordon_node("n1", "x").unwrap();
    let node_3: Steer = |state| state.cordon_node("n3", "x").unwrap();
    // What stays, in 2.7, 2.9, 2.10 and 2.12.
    type Row = (
        &'static str,
        &'static [(&'static str, &'static str)],
        Steer,
        [&'static str; 4],
    );
    let rows: [Row; 4] = [
        ("nothing steers", &[], none, ["cold-1"; 4]),
        (
            "the cold copy's node is cordoned",
            &[],
            node_1,
            ["cold-1", "hot-3", "hot-3", "hot-3"],
        ),
        (
            "the cold copy's pool doesn't fit",
            &[("tier", "hot")],
            none,
            ["cold-1", "hot-3", "hot-3", "hot-3"],
        ),
        (
            "fit goes before cordon",
            &[("tier", "hot")],
            node_3,
            ["cold-1", "hot-3", "hot-3", "hot-3"],
        ),
    ];
    for (what, inclusion, steer, stays) in rows {
        for (profile, stays) in Profile::ALL.into_iter().zip(stays) {
            let mut state = two(profile, inclusion);
            steer(&mut state);
            state.set_replica_count("v", 1).unwrap();
            assert_eq!(pools_of(&state, "v"), [stays], "{profile:?}: {what}");
        }
    }
}

#[test]
fn a_pools_cordon_says_nothing_about_which_copy_goes() {
    for profile in [Profile::V2_10, Profile::V2_12] {
        let mut state = two(profile, &[]);
        state.cordon_pool("cold-1").unwrap();
        state.set_replica_count("v", 1).unwrap();
        assert_eq!(pools_of(&state, "v"), ["cold-1"]);
    }
}

#[test]
fn a_copy_that_cannot_be_reached_is_not_counted_on_when_another_is_to_go() {
    let mut setup = setup();
    setup.volumes[0] = volume("v", &["cold-1", "hot-3"], None);
    let mut state = State::new(setup).unwrap();
    state.lose_node("n1");
    let refusal = state.set_replica_count("v", 1).unwrap_err();
    assert_eq!((refusal.status, refusal.kind), (412, "FailedPrecondition"));
    assert_eq!(pools_of(&state, "v").len(), 2);
}

#[test]
fn copies_that_rank_alike_go_as_the_setup_says() {
    for (newest_goes_first, stays) in [(false, "hot-3"), (true, "cold-2")] {
        let mut setup = Setup {
            newest_goes_first,
            ..setup()
        };
        setup.volumes[0] = volume("v", &["cold-2", "hot-3"], None);
        let mut state = State::new(setup).unwrap();
        state.set_replica_count("v", 1).unwrap();
        assert_eq!(pools_of(&state, "v"), [stays]);
    }
}
