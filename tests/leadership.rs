//! Two controllers as processes against a real API server, of which one acts: killed, stopped past its lease, asked to end.

use crate::controller::Stage;
use crate::support::servers;
use couchestor::ha::RENEW_DEADLINE;
use couchestor::model::kinds::volume_migration::Phase;
use couchestor::model::lease::LeaseRecord;
use std::process::{Child, Command};
use std::time::Duration;

const ELECTION: [&str; 3] = ["--leader-election", "lease", "--name"];

/// A controller that ends with its test.
struct Controller(Child);

impl Controller {
    fn start(stage: &Stage, name: &str) -> Self {
        Self(stage.spawn(name, &[&ELECTION[..], &[name]].concat()))
    }
}

fn signal(process: &Child, signal: &str) {
    let id = process.id().to_string();
    let sent = Command::new("kill").args([signal, &id]).status().unwrap();
    assert!(sent.success());
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn lease(stage: &Stage) -> LeaseRecord {
    let lease = stage.cluster.lease("couchestor-system", "couchestor").await;
    lease.unwrap().unwrap_or_default()
}

async fn until_it_leads(stage: &Stage, name: &str) -> LeaseRecord {
    stage
        .wait(&format!("{name} to lead"), async || {
            let lease = lease(stage).await;
            let holds = lease
                .holder
                .as_ref()
                .is_some_and(|holder| holder.starts_with(&format!("{name}_")));
            holds.then_some(lease)
        })
        .await
}

/// Until the source says that it is worked on in an epoch.
async fn until_it_acts(stage: &Stage, epoch: u64) {
    stage
        .wait(&format!("epoch {epoch} to be acted in"), async || {
            (stage.status().await.epoch == Some(epoch)).then_some(())
        })
        .await;
}

fn log(stage: &Stage, name: &str) -> String {
    std::fs::read_to_string(stage.folder.path().join(format!("{name}log"))).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_killed_in_a_migration_is_followed_by_one_that_finishes_it_in_a_higher_epoch() {
    if servers::left_out("a killed leader") {
        return;
    }
    let mut stage = Stage::set().await;
    stage
        .mayastor
        .with(|state| state.change_takes = Duration::from_secs(1));
    stage.controller = Some(stage.spawn("a", &[&ELECTION[..], &["a"]].concat()));
    let first = until_it_leads(&stage, "a").await;
    let _b = Controller::start(&stage, "b");
    stage.up_to_the_merge().await;
    assert_eq!(stage.status().await.epoch, Some(first.epoch));
    stage
        .wait("the migration to be under way", async || {
            let migrations = stage.migrations().await;
            let status = migrations.first()?.status.clone()?;
            (status.journal.len() > 1 && !status.phase.is_final()).then_some(())
        })
        .await;
    stage.kill_controller();
    let all = stage.finished(1).await;
    let second = until_it_leads(&stage, "b").await;
    let status = all[0].status.clone().unwrap();
    assert_eq!(status.phase, Phase::Completed, "{}", status.message);
    assert!(second.epoch > first.epoch, "{first:?} {second:?}");
    assert_eq!(status.epoch, Some(second.epoch));
    assert_eq!(stage.status().await.epoch, Some(second.epoch));
    assert!(stage.pools()[0].starts_with("nvme-"), "{:?}", stage.pools());
    stage.assert_intact();
    let audit = stage.repository.log_branch("couchestor/audit", 10).await.unwrap();
    assert_eq!(audit.len(), 1);
    let trailer = format!("Epoch: {}", second.epoch);
    assert!(
        audit[0].message.lines().any(|line| line == trailer),
        "{}",
        audit[0].message
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_slept_past_its_lease_does_nothing_more_and_one_that_is_asked_to_end_hands_over() {
    if servers::left_out("a leader that slept") {
        return;
    }
    let mut stage = Stage::set().await;
    stage.controller = Some(stage.spawn("a", &[&ELECTION[..], &["a"]].concat()));
    let first = until_it_leads(&stage, "a").await;
    let mut b = Controller::start(&stage, "b");
    // It falls asleep in the midst of a move, with the removal of the old copy still before it.
    stage.mayastor.with(|state| state.rebuilds_stall = true);
    stage.up_to_the_merge().await;
    stage
        .wait("the copy to be filled", async || {
            let status = stage.migrations().await.first()?.status.clone()?;
            (status.phase == Phase::WaitSync).then_some(())
        })
        .await;
    until_it_acts(&stage, first.epoch).await;

    signal(stage.controller.as_ref().unwrap(), "-STOP");
    let second = until_it_leads(&stage, "b").await;
    assert!(second.epoch > first.epoch);
    until_it_acts(&stage, second.epoch).await;
    let before = log(&stage, "a").len();
    signal(stage.controller.as_ref().unwrap(), "-CONT");
    let since = |text: String| text[before..].to_owned();
    stage
        .wait("a to see that it does not lead", async || {
            since(log(&stage, "a"))
                .contains("does not lead any more")
                .then_some(())
        })
        .await;
    // Longer than a term: whatever it still wanted to do would have been done.
    tokio::time::sleep(RENEW_DEADLINE).await;
    assert_eq!(lease(&stage).await.epoch, second.epoch);
    assert_eq!(stage.status().await.epoch, Some(second.epoch));
    let said = since(log(&stage, "a"));
    assert!(!said.contains(" leads epoch="), "{said}");

    // Both are awake now: one of them finishes it, and asks for each number of copies once.
    stage.mayastor.with(|state| state.rebuilds_stall = false);
    let all = stage.finished(1).await;
    let status = all[0].status.clone().unwrap();
    assert_eq!(status.phase, Phase::Completed, "{}", status.message);
    assert_eq!(status.epoch, Some(second.epoch));
    // One copy more, and one less.
    let changes = stage.mayastor.with(|state| state.log.clone());
    assert_eq!(changes.len(), 2, "{changes:#?}");

    signal(&b.0, "-TERM");
    assert!(b.0.wait().unwrap().success());
    let after = lease(&stage).await;
    let of_b = after
        .holder
        .as_ref()
        .is_some_and(|holder| holder.starts_with("b_"));
    assert!(!of_b, "the Lease was not given up: {after:?}");
    let third = until_it_leads(&stage, "a").await;
    assert!(third.epoch > second.epoch);
    until_it_acts(&stage, third.epoch).await;
    stage.assert_intact();

    let (_, told) = told_by_status(&stage);
    assert!(
        told.contains("homelab") && !told.contains("No controller leads"),
        "{told}"
    );
    signal(stage.controller.as_ref().unwrap(), "-TERM");
    assert!(stage.controller.take().unwrap().wait().unwrap().success());
    let (code, told) = told_by_status(&stage);
    assert_eq!(code, Some(1), "{told}");
    let words = "No controller leads: the last one gave Lease couchestor-system/couchestor back ";
    assert!(told.starts_with(words), "{told}");
}

/// How `status` ends, and what it says.
fn told_by_status(stage: &Stage) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_couchestor"))
        .arg("status")
        .env("KUBECONFIG", stage.server.kubeconfig_path())
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}
