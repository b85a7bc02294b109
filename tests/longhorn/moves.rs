//! Whole moves on the simulated API server.

use super::*;

#[tokio::test]
async fn volumes_of_one_and_two_copies_go_up_and_come_down_again() {
    for (copies, up) in [(1, vec!["h1/nvme"]), (2, vec!["h1/nvme", "h2/nvme"])] {
        let world = world(copies, true).await;
        let process = Process::new(&world.cluster, &world.sim, "nvme");
        let status = run(&process, &world.sim, approved).await;
        assert_eq!(status.phase, Phase::Completed, "{}", status.message);
        assert_eq!(pools(&world.sim).await, up);
        assert_tidy(&world.sim, copies, "up").await;
        assert_eq!(status.removals.len(), copies, "each removal has its evidence");

        let process = Process::new(&world.cluster, &world.sim, "hdd");
        let status = run(&process, &world.sim, approved).await;
        assert_eq!(status.phase, Phase::Completed, "{}", status.message);
        let down = pools(&world.sim).await;
        assert!(down.iter().all(|pool| pool.ends_with("/hdd")), "{down:?}");
        assert_eq!(down.len(), copies);
        assert_tidy(&world.sim, copies, "down").await;
    }
}

#[tokio::test]
async fn a_process_that_dies_at_any_effect_changes_nothing_about_the_end() {
    let undisturbed = world(1, true).await;
    let process = Process::new(&undisturbed.cluster, &undisturbed.sim, "nvme");
    run(&process, &undisturbed.sim, approved).await;
    let effects = process.effects.load(Ordering::SeqCst);
    assert!(effects > 10, "{effects} effects");
    for death in (0..effects).flat_map(|at| [Death::Before(at), Death::After(at)]) {
        let world = world(1, true).await;
        let mut process = Process::new(&world.cluster, &world.sim, "nvme");
        process.death = Some(death);
        let status = run(&process, &world.sim, approved).await;
        let what = format!("{death:?}");
        assert_eq!(status.phase, Phase::Completed, "{what}: {}", status.message);
        assert_eq!(pools(&world.sim).await, ["h1/nvme"], "{what}");
        assert_tidy(&world.sim, 1, &what).await;
    }
}

/// A verb on a resource, and how often it is written. Status is written by Longhorn's controllers alone.
type Written = BTreeMap<(String, String), usize>;

fn written_to(world: &World) -> Written {
    let mut all = Written::new();
    for one in world.kubernetes.requests().all() {
        if matches!(one.verb.as_str(), "patch" | "delete") && !one.resource.ends_with("/status") {
            *all.entry((one.verb, one.resource)).or_default() += 1;
        }
    }
    all
}

/// What an act writes, one request after the other: the connection is cut at each of them, before or after it is carried out, for the first
/// copy that moves and for the second.
#[tokio::test]
async fn a_connection_that_is_cut_inside_an_act_changes_nothing_about_the_end() {
    let undisturbed = world(2, true).await;
    let process = Process::new(&undisturbed.cluster, &undisturbed.sim, "nvme");
    undisturbed.kubernetes.requests().clear();
    let mut begun = Vec::new();
    run(&process, &undisturbed.sim, async |_: &VolumeMigrationStatus| {
        begun.push(written_to(&undisturbed));
        true
    })
    .await;
    let all = written_to(&undisturbed);
    let kinds: Vec<(&str, &str)> = all
        .keys()
        .map(|(verb, on)| (verb.as_str(), on.as_str()))
        .collect();
    let expected = [
        ("delete", "replicas.longhorn.io"),
        ("patch", "nodes.longhorn.io"),
        ("patch", "replicas.longhorn.io"),
        ("patch", "volumes.longhorn.io"),
    ];
    assert_eq!(kinds, expected);
    for (kind @ (verb, on), count) in &all {
        // At the beginning of the last turn that makes any, so many had been made.
        let made = |written: &Written| written.get(kind).copied().unwrap_or_default();
        let last = begun.iter().map(made).filter(|made| made < count).max();
        for before in BTreeSet::from([0, last.unwrap_or_default()]) {
            for what in [What::Drop, What::LoseReply, What::Conflict, What::Answer(500)] {
                disturbed((verb, on), before, &what).await;
            }
        }
    }
}

/// A move with one fault in a turn, once so many of the same writes were made; the controllers' rounds between the turns are left alone.
async fn disturbed((verb, on): (&str, &str), before: usize, what: &What) {
    let world = world(2, true).await;
    let process = Process::new(&world.cluster, &world.sim, "nvme");
    world.kubernetes.requests().clear();
    let name = format!("{verb} {on} after {before}: {what:?}");
    let mut met = false;
    for _ in 0..TURNS_MAX {
        if process.status().phase.is_final() {
            break;
        }
        let made = written_to(&world).get(&(verb.to_owned(), on.to_owned())).copied();
        let strikes = !met && made.unwrap_or_default() >= before;
        if strikes {
            world.kubernetes.faults().order(On::of(verb, on), 1, what.clone());
        }
        process.turn(true).await;
        met |= strikes && world.kubernetes.faults().left() == 0;
        world.kubernetes.faults().clear();
        world.sim.step().await.unwrap();
    }
    let status = process.status();
    assert!(met, "{name}: no such request was made");
    assert_eq!(status.phase, Phase::Completed, "{name}: {}", status.message);
    assert_eq!(pools(&world.sim).await, ["h1/nvme", "h2/nvme"], "{name}");
    assert_tidy(&world.sim, 2, &name).await;
}

#[tokio::test]
async fn a_tag_that_no_disk_has_moves_nothing() {
    let world = world(1, true).await;
    let process = Process::new(&world.cluster, &world.sim, "nvmee");
    let status = run(&process, &world.sim, approved).await;
    assert_eq!(status.phase, Phase::RolledBack);
    assert!(status.message.contains("no pool of nvmee"), "{}", status.message);
    assert_eq!(pools(&world.sim).await, ["c1/hdd"]);
    assert_tidy(&world.sim, 1, "wrong tag").await;
}

#[tokio::test]
async fn a_detached_volume_is_left_alone_and_its_reason_is_said() {
    let world = world(1, false).await;
    let process = Process::new(&world.cluster, &world.sim, "nvme");
    let status = run(&process, &world.sim, approved).await;
    assert_eq!(status.phase, Phase::RolledBack);
    assert!(
        status.message.contains("not mounted by any pod"),
        "{}",
        status.message
    );
    assert_eq!(pools(&world.sim).await, ["c1/hdd"]);
    assert!(world.sim.left_behind().await.unwrap().is_empty());
}

#[tokio::test]
async fn volumes_that_longhorn_arranges_by_itself_are_left_to_it() {
    for (setting, change, said) in [
        ("replica-auto-balance", json!({}), "balances"),
        ("x", json!({"replicaAutoBalance": "best-effort"}), "balances"),
        ("x", json!({"dataLocality": "best-effort"}), "dataLocality"),
    ] {
        let world = world(1, true).await;
        world.sim.add_setting(setting, "least-effort").await.unwrap();
        world
            .sim
            .change(&VOLUMES, VOLUME, &json!({"spec": change}))
            .await
            .unwrap();
        let process = Process::new(&world.cluster, &world.sim, "nvme");
        let status = run(&process, &world.sim, approved).await;
        assert_eq!(status.phase, Phase::RolledBack);
        assert!(status.message.contains(said), "{}", status.message);
        assert_eq!(pools(&world.sim).await, ["c1/hdd"]);
    }
}

#[tokio::test]
async fn a_copy_that_fails_while_another_is_filled_is_waited_for() {
    for which in ["pvc-1-r-old2", "pvc-1-r-new1"] {
        let world = world(2, true).await;
        let process = Process::new(&world.cluster, &world.sim, "nvme");
        let mut rounds = 0;
        let status = run(&process, &world.sim, async |status: &VolumeMigrationStatus| {
            if status.phase == Phase::WaitSync {
                rounds += 1;
                match rounds {
                    1 => world.sim.break_copy(which),
                    3 => world.sim.mend_copy(which),
                    _ => {}
                }
            }
            true
        })
        .await;
        assert_eq!(status.phase, Phase::Completed, "{which}: {}", status.message);
        assert_eq!(pools(&world.sim).await, ["h1/nvme", "h2/nvme"], "{which}");
        assert_tidy(&world.sim, 1, which).await;
    }
}

#[tokio::test]
async fn a_node_that_goes_while_its_copy_is_filled_and_comes_back_is_waited_for() {
    let world = world(1, true).await;
    let process = Process::new(&world.cluster, &world.sim, "nvme");
    let mut rounds = 0;
    let status = run(&process, &world.sim, async |status: &VolumeMigrationStatus| {
        if status.phase == Phase::WaitSync {
            rounds += 1;
            if rounds < 3 {
                world.sim.set_node_ready("h1", rounds == 2).await.unwrap();
            }
        }
        true
    })
    .await;
    assert_eq!(status.phase, Phase::Completed, "{}", status.message);
    assert_eq!(pools(&world.sim).await, ["h1/nvme"]);
    assert_tidy(&world.sim, 1, "node").await;
}

#[tokio::test]
async fn an_approval_that_is_withdrawn_takes_the_new_copy_back_whatever_has_come_of_it() {
    for phase in [Phase::WaitSync, Phase::ScaleDown] {
        let world = world(1, true).await;
        let process = Process::new(&world.cluster, &world.sim, "nvme");
        let mut withdrawn = false;
        let status = run(&process, &world.sim, async |status: &VolumeMigrationStatus| {
            withdrawn |= status.phase == phase || phase == Phase::ScaleDown && status.synced_since.is_some();
            !withdrawn
        })
        .await;
        let what = format!("{phase:?}: {}", status.message);
        assert_eq!(status.phase, Phase::Cancelled, "{what}");
        assert_eq!(pools(&world.sim).await, ["c1/hdd"], "{what}");
        assert_tidy(&world.sim, 1, &what).await;
    }
}

/// Why eviction is no lever: Longhorn takes the wish back that is written on a replica.
#[tokio::test]
async fn the_wish_to_evict_one_copy_does_not_last() {
    let world = world(2, true).await;
    let wish = json!({"spec": {"evictionRequested": true}});
    world.sim.change(&REPLICAS, "pvc-1-r-old1", &wish).await.unwrap();
    world.sim.step().await.unwrap();
    let replica = world
        .kubernetes
        .get("Replica", Some(NAMESPACE), "pvc-1-r-old1")
        .unwrap();
    assert_eq!(replica["spec"]["evictionRequested"], false);
}

#[tokio::test]
async fn the_last_complete_copy_is_never_deleted_whoever_asks() {
    let world = world(1, true).await;
    let longhorn = Longhorn::of(&world.cluster);
    longhorn.mark(VOLUME, "c1", "couchestor-x").await.unwrap();
    world
        .sim
        .change(&VOLUMES, VOLUME, &json!({"spec": {"numberOfReplicas": 2}}))
        .await
        .unwrap();
    world.sim.step().await.unwrap();
    let refused = longhorn.set_replica_count(VOLUME, 1).await.unwrap_err();
    assert!(refused.to_string().contains("would not keep"), "{refused}");
    assert_eq!(world.sim.copies(VOLUME).await.unwrap().len(), 2);
}

/// A process that dies while it waits for the place: nobody has seen the copy yet, and it is not wanted any more.
#[tokio::test]
async fn a_copy_that_was_asked_for_and_has_no_place_yet_is_asked_for_no_more() {
    let world = world(1, true).await;
    let longhorn = Longhorn::of(&world.cluster);
    let asked = longhorn.set_replica_count(VOLUME, 2);
    let died = tokio::time::timeout(std::time::Duration::from_millis(200), asked).await;
    assert!(died.is_err(), "no controller has placed it: {died:?}");
    longhorn.set_replica_count(VOLUME, 1).await.unwrap();
    for _ in 0..5 {
        world.sim.step().await.unwrap();
    }
    assert_eq!(pools(&world.sim).await, ["c1/hdd"]);
    assert_tidy(&world.sim, 1, "not placed").await;
}

#[tokio::test]
async fn nothing_is_taken_away_once_longhorn_balances_copies_by_itself() {
    let world = world(2, true).await;
    let longhorn = Longhorn::of(&world.cluster);
    longhorn.mark(VOLUME, "c1", "couchestor-x").await.unwrap();
    let balance = json!({"spec": {"replicaAutoBalance": "least-effort"}});
    world.sim.change(&VOLUMES, VOLUME, &balance).await.unwrap();
    let refused = longhorn.set_replica_count(VOLUME, 1).await.unwrap_err();
    assert!(refused.to_string().contains("balances"), "{refused}");
    world.sim.step().await.unwrap();
    assert_eq!(world.sim.copies(VOLUME).await.unwrap().len(), 2);
}

/// A copy that stays broken is replaced by Longhorn after a while, then there are two copies too many: none of them is guessed away.
#[tokio::test]
async fn a_new_copy_that_stays_broken_ends_with_a_person_and_all_that_is_complete_is_kept() {
    let world = world(1, true).await;
    let process = Process::new(&world.cluster, &world.sim, "nvme");
    let status = run(&process, &world.sim, async |status: &VolumeMigrationStatus| {
        if status.phase == Phase::WaitSync {
            world.sim.break_copy("pvc-1-r-new1");
        }
        true
    })
    .await;
    assert!(
        matches!(status.phase, Phase::RolledBack | Phase::NeedsPerson),
        "{}",
        status.message
    );
    let copies = world.sim.copies(VOLUME).await.unwrap();
    assert!(
        copies
            .iter()
            .any(|copy| copy.name == "pvc-1-r-old1" && copy.complete),
        "{copies:?}"
    );
    assert!(world.sim.fewest(VOLUME).is_some_and(|fewest| fewest >= 1));
}

/// The engine may call a copy readable that lies on a node which has just gone.
#[tokio::test]
async fn a_copy_on_a_node_that_is_not_ready_does_not_count_as_complete() {
    let world = world(2, true).await;
    let longhorn = Longhorn::of(&world.cluster);
    longhorn.mark(VOLUME, "c1", "couchestor-x").await.unwrap();
    world.sim.set_node_ready("c2", false).await.unwrap();
    let refused = longhorn.set_replica_count(VOLUME, 1).await.unwrap_err();
    assert!(refused.to_string().contains("would not keep"), "{refused}");
    let look = longhorn.look(VOLUME).await.unwrap();
    let states: Vec<_> = look
        .volume
        .unwrap()
        .replicas
        .iter()
        .map(|one| one.state)
        .collect();
    assert_eq!(states.len(), 2);
    assert!(
        states.contains(&couchestor::model::engine::Health::Offline),
        "{states:?}"
    );
}
