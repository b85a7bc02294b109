//! The controller as a process against a real API server, with Mayastor and Prometheus simulated: the whole loop, and the
//! same with the process killed in every act of the journal.

use crate::support::{seed, servers};
use couchestor::io::git::Lease;
use couchestor::model::kinds::volume_migration::Phase;
use couchestor::model::kinds::{StorageTier, TierAssignment};
use couchestor::model::rendering::FileChange;
use std::time::{Duration, Instant};

/// What the process is run in.
mod stage;

pub(crate) use stage::{ASSIGNMENT, Stage, UUID, all_rights_that_the_manifests_give};

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_reaches_the_cluster_heat_becomes_a_proposal_a_merge_moves_the_volume_and_a_revert_moves_it_back()
 {
    if servers::left_out("the whole loop") {
        return;
    }
    let mut stage = Stage::set().await;
    let merged = stage.up_to_the_merge().await;
    let all = stage.finished(1).await;
    let status = all[0].status.clone().unwrap();
    assert_eq!(status.phase, Phase::Completed, "{}", status.message);
    assert!(stage.pools()[0].starts_with("nvme-"), "{:?}", stage.pools());
    stage.assert_intact();
    stage.everyone_was_told(&status);
    stage.assert_justified();

    let audit = stage.repository.log_branch("couchestor/audit", 10).await.unwrap();
    assert_eq!(audit.len(), 1);
    for line in [
        "Claim: db/data-0".to_owned(),
        "Result: Completed".to_owned(),
        "Approved-By: Ada Operator <ada@example.org>".to_owned(),
        format!("Approved-Revision: {merged}"),
    ] {
        assert!(
            audit[0].message.contains(&line),
            "{line} is missing in {}",
            audit[0].message
        );
    }
    stage
        .wait("statuses", async || {
            let assignments: Vec<TierAssignment> = stage.cluster.list().await.unwrap();
            let tiers: Vec<StorageTier> = stage.cluster.list().await.unwrap();
            let placed = assignments.iter().any(|one| {
                one.status
                    .as_ref()
                    .is_some_and(|status| status.phase.as_deref() == Some("Placed"))
            });
            let hot = tiers.iter().any(|one| {
                one.metadata.name.as_deref() == Some("hot")
                    && one.status.as_ref().is_some_and(|status| status.volumes == 1)
            });
            (placed && hot).then_some(())
        })
        .await;
    let classes = stage.server.kubectl(&["get", "storageclass", "-o", "name"], "");
    assert!(
        classes.contains("mayastor") && classes.contains("openebs-hostpath"),
        "{classes}"
    );

    stage.the_commands_tell_of_it();
    let gone = vec![FileChange {
        path: ASSIGNMENT.into(),
        content: None,
    }];
    stage.commit(Lease::At(merged), gone, "Revert the move\n").await;
    let all = stage.finished(2).await;
    assert!(all.iter().all(|one| {
        one.status
            .as_ref()
            .is_some_and(|status| status.phase == Phase::Completed)
    }));
    assert!(stage.pools()[0].starts_with("sata-"), "{:?}", stage.pools());
    stage.assert_intact();
    stage
        .wait("the reverted proposal to be left alone", async || {
            stage
                .status()
                .await
                .proposals
                .iter()
                .all(|one| format!("{:?}", one.state) != "Open")
                .then_some(())
        })
        .await;
}

/// What the journal says of each act. Records between which nothing is done follow each other at once; every act lasts a second.
const ACTS: [&str; 6] = [
    "cordon pool",
    "ask for 2 copies",
    "release our cordons",
    "is being filled",
    "cordon node",
    "ask for 1 copies",
];

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_every_act_of_the_journal_a_migration_ends_in_the_same_state() {
    if servers::left_out("killed in every act of the journal") {
        return;
    }
    let mut stage = Stage::set().await;
    // Each change takes a while, before and after it is done, so that the kill falls on either side of it.
    stage
        .mayastor
        .with(|state| state.change_takes = Duration::from_secs(1));
    // Calls are given up after five seconds: a new leadership waits for ten, and not for sixty.
    let impatient = ["--mayastor-timeout-seconds", "5"];
    stage.controller = Some(stage.spawn("", &impatient));
    let merged = stage.up_to_the_merge().await;
    let mut random = fastrand::Rng::with_seed(seed("kills in every act"));
    let mut killed_at = Vec::<&str>::new();
    // After each kill the next leadership waits for the call that may be under way still.
    let until = Instant::now() + Duration::from_secs(60) * u32::try_from(ACTS.len()).unwrap();
    loop {
        assert!(Instant::now() < until, "{:#?}", stage.migrations().await);
        let status = stage
            .migrations()
            .await
            .into_iter()
            .next()
            .and_then(|one| one.status)
            .unwrap_or_default();
        if status.phase.is_final() && status.audit_commit.is_some() {
            assert_eq!(status.phase, Phase::Completed, "{}", status.message);
            break;
        }
        let note = status.journal.last().map(|record| record.note.clone());
        let acts = |act: &&&str| note.as_ref().is_some_and(|note| note.contains(**act));
        // A leadership that takes over makes a record of its own, so each act is killed once.
        if let Some(act) = ACTS.iter().find(acts).filter(|act| !killed_at.contains(act)) {
            tokio::time::sleep(Duration::from_millis(random.u64(0..800))).await;
            stage.kill_controller();
            killed_at.push(act);
            stage.controller = Some(stage.spawn("", &impatient));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for act in ACTS {
        assert!(
            killed_at.contains(&act),
            "never killed at {act:?}: {killed_at:#?}"
        );
    }
    assert!(
        stage.pools().len() == 1 && stage.pools()[0].starts_with("nvme-"),
        "{:?}",
        stage.pools()
    );
    stage.assert_intact();
    stage.assert_justified();
    let audit = stage.repository.log_branch("couchestor/audit", 10).await.unwrap();
    assert_eq!(audit.len(), 1, "one outcome is recorded once");
    assert!(audit[0].message.contains(&format!("Approved-Revision: {merged}")));
    assert_eq!(stage.migrations().await.len(), 1);
}
