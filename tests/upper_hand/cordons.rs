//! What Mayastor is left with, and what it does by itself: cordons of ours that stay, and spares of its own.

use super::{PATIENCE, Stage, UUID, cordons};
use couchestor::sim::mayastor::{At, How, Reason, Route};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// As a journal leaves it that was deleted by force, finalizer and all.
#[tokio::test(flavor = "multi_thread")]
async fn a_cordon_of_ours_that_no_journal_speaks_for_is_taken_back_and_told_of_and_those_of_others_stay() {
    let mut stage = Stage::set().await;
    let labels = ["couchestor-0badcafe", "couchestor-of-mine", "maintenance"];
    let node = stage.follow.running.mayastor.with(|state| {
        let node = state.nodes.keys().next().unwrap().clone();
        for label in labels {
            state.cordon_node(&node, label).unwrap();
        }
        node
    });
    stage.follow.source(json!({}));
    stage.follow.run().await;
    stage
        .until("the end of the cordon", || {
            let held = stage
                .follow
                .running
                .mayastor
                .with(|state| state.nodes[&node].cordons.clone());
            let others = ["couchestor-of-mine".to_owned(), "maintenance".to_owned()];
            assert!(others.iter().all(|label| held.contains(label)), "{held:?}");
            (!held.contains(labels[0])).then_some(())
        })
        .await;
    let told = stage
        .until("the Event", || {
            let mut all = stage.follow.running.kubernetes.list("Event").into_iter();
            all.find(|one| one["reason"] == "CordonSwept")
        })
        .await;
    let note = told["message"].as_str().unwrap();
    assert!(note.contains(&node) && note.contains(labels[0]), "{told:#}");
    assert_eq!(told["involvedObject"]["kind"], "PolicySource", "{told:#}");
    stage.follow.turns(1).await;
    let held = stage
        .follow
        .running
        .mayastor
        .with(|state| state.nodes[&node].cordons.clone());
    let held: BTreeSet<&str> = held.iter().map(String::as_str).collect();
    assert_eq!(held, BTreeSet::from(["couchestor-of-mine", "maintenance"]));
    stage.follow.halt().await;
}

/// Mayastor takes no cordon back for a while: no other copy of any volume can go to those pools meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_cordon_that_is_held_too_long_is_told_of_once_and_counted_until_it_is_gone() {
    let mut stage = Stage::set().await;
    stage.follow.running.mayastor.with(|state| {
        for number in 0..10_000 {
            let at = At::Route(Route::UncordonPool, number);
            state.order(at, How::Unavailable);
        }
    });
    stage.approve();
    stage.follow.source(json!({}));
    stage.follow.run().await;
    let held = |stage: &Stage| {
        let mut all = stage.migrations().into_iter();
        all.find(|one| one["status"]["window"]["confirmed"][0].is_string())
    };
    stage.until("a cordon", || held(&stage)).await;
    stage.follow.halt().await;
    let mut migration = held(&stage).expect("nobody takes it back");
    let since = couchestor::io::clock::now() - Duration::from_secs(180);
    migration["status"]["window"]["since"] = json!(since.to_string());
    stage.follow.put(migration);

    stage.follow.run().await;
    let told = || {
        let events = stage.follow.running.kubernetes.list("Event").into_iter();
        let told: Vec<Value> = events.filter(|one| one["reason"] == "CordonHeld").collect();
        (!told.is_empty()).then_some(told)
    };
    stage.until("the Event", told).await;
    stage.follow.turns(5).await;
    // One on the move, and one on its claim.
    let told = told().unwrap();
    // What is told again makes a series of it.
    assert!(told.iter().all(|one| one["series"].is_null()), "{told:#?}");
    let told: Vec<String> = told
        .iter()
        .map(|one| one["involvedObject"]["kind"].as_str().unwrap().to_owned())
        .collect();
    let moves = told.iter().filter(|kind| *kind == "VolumeMigration").count();
    assert_eq!(moves, 1, "{told:?}");
    let gauge = |name: &str| {
        let text = stage.follow.metrics.text(couchestor::io::clock::now());
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()
    };
    assert!(gauge("couchestor_cordons_held ") > 0);
    assert!(gauge("couchestor_cordon_held_seconds ") >= 180);

    stage.follow.running.mayastor.with(|state| state.faults.none());
    // Calls whose end nobody knows are waited out for a minute first.
    let completed = async || (stage.migrations()[0]["status"]["phase"] == "Completed").then_some(());
    stage.follow.found("the end", 3 * PATIENCE, completed).await;
    assert_eq!(cordons(&stage), 0);
    stage
        .until("the gauge to fall", || {
            (gauge("couchestor_cordons_held ") == 0).then_some(())
        })
        .await;
    stage.follow.halt().await;
}

/// Two complete copies; time goes by faster there than here.
fn two_whole(stage: &Stage) -> Option<()> {
    stage.follow.running.mayastor.with(|state| {
        state.pass(Duration::from_secs(5));
        let volume = &state.volumes[UUID];
        (volume.copies.len() == 2 && volume.synced().count() == 2).then_some(())
    })
}

/// Mayastor replaces a lost copy wherever it finds room, also on pools of another tier.
#[tokio::test(flavor = "multi_thread")]
async fn a_spare_that_was_built_on_another_tier_is_brought_back_once_after_the_cool_down() {
    let mut stage = Stage::set().await;
    let busy = "apiVersion: storage.billyronks.io/v1\nkind: StoragePolicy\nmetadata: {name: busy}\n\
                spec: {tiers: [hot, cold], cooldownPeriod: 15s}\n";
    stage.follow.commit("p/busy.yaml", busy, &[]);
    stage.follow.running.mayastor.with(|state| {
        let two = state.as_someone_else(|state| state.set_replica_count(UUID, 2));
        two.unwrap();
    });
    stage.until("two copies", || two_whole(&stage)).await;
    let hot = |stage: &Stage| {
        stage
            .pools()
            .iter()
            .filter(|pool| pool.starts_with("nvme-"))
            .count()
    };
    stage.approve();
    stage.follow.source(json!({}));
    stage.follow.run().await;
    stage
        .until("the first move", || {
            two_whole(&stage);
            let all = stage.migrations();
            (all.first()?["status"]["phase"] == "Completed").then_some(())
        })
        .await;
    assert_eq!(hot(&stage), 2, "{:?}", stage.pools());

    stage.follow.running.mayastor.with(|state| {
        let copies = &state.volumes[UUID].copies;
        let lost = copies
            .iter()
            .find(|copy| copy.pool == "nvme-4")
            .unwrap()
            .id
            .clone();
        assert!(state.fault_copy(UUID, &lost, Reason::IoError));
        // After the grace the copy is given up.
        state.pass(Duration::from_secs(700));
    });
    stage
        .until("the spare", || {
            two_whole(&stage)?;
            (hot(&stage) == 1).then_some(())
        })
        .await;
    let waits = stage.assignment_waits("Drifted").await;
    let words = waits["message"].as_str().unwrap();
    assert!(words.contains("has placed a copy elsewhere since"), "{waits:#}");
    assert_eq!(stage.migrations().len(), 1, "it waits for the cool-down");
    stage
        .until("the second move", || {
            two_whole(&stage);
            let mut all = stage.migrations().into_iter();
            all.find(|one| one["spec"]["attempt"] == 2 && one["status"]["phase"] == "Completed")
        })
        .await;
    assert_eq!(hot(&stage), 2, "{:?}", stage.pools());
    stage.follow.turns(5).await;
    assert_eq!(stage.migrations().len(), 2, "it is not followed for ever");
    stage.follow.halt().await;
}
