//! Real processes in real trouble: the controller killed at random moments of moves, two controllers without election, the API server
//! killed, Mayastor cut off. After each of them the volume must be whole, and then everything must come to its end.
//!
//! `COUCHESTOR_KILLS=1000 cargo test killed -- --nocapture` does it longer, about eight seconds for each kill.

use crate::controller::{ASSIGNMENT, Stage, UUID};
use crate::support::{say, seed, servers};
use couchestor::io::git::Lease;
use couchestor::model::ids::CommitId;
use couchestor::model::kinds::volume_migration::Phase;
use couchestor::model::rendering::FileChange;
use couchestor::sim::mayastor::How;
use fastrand::Rng;
use std::collections::BTreeMap;
use std::process::Child;
use std::time::Duration;

/// Kills of one run of the tests.
const KILLS: usize = 50;

/// An undisturbed move takes about three seconds: kills fall on every part of it, and some before and after.
const KILLED_WITHIN: Duration = Duration::from_millis(3500);

/// Calls are given up after a second, so that a new leadership waits for two and not for sixty.
const IMPATIENT: [&str; 2] = ["--mayastor-timeout-seconds", "1"];

/// A volume that goes to and fro between two tiers.
struct Shuttle {
    stage: Stage,
    tip: CommitId,
    assignment: Vec<u8>,
    /// Moves that were approved.
    moves: usize,
    hot: bool,
}

impl Shuttle {
    async fn set() -> Self {
        let mut stage = Stage::set().await;
        stage.mayastor.with(|state| {
            state.change_takes = Duration::from_millis(100);
        });
        stage.controller = Some(stage.spawn("", &IMPATIENT));
        let tip = stage.up_to_the_merge().await;
        let assignment = stage.repository.read_at(&tip, ASSIGNMENT).await.unwrap();
        let mut shuttle = Self {
            stage,
            tip,
            assignment,
            moves: 1,
            hot: true,
        };
        shuttle.ends().await;
        shuttle
    }

    /// A person approves the way back, or the way there again.
    async fn turn_round(&mut self) {
        self.hot = !self.hot;
        self.moves += 1;
        let mut text = format!("# The {}th move.\n", self.moves).into_bytes();
        text.extend(&self.assignment);
        let change = FileChange {
            path: ASSIGNMENT.into(),
            content: self.hot.then_some(text),
        };
        let lease = Lease::At(self.tip.clone());
        self.tip = self.stage.commit(lease, vec![change], "Move it\n").await;
    }

    /// What must hold at every moment.
    fn is_whole(&self) {
        self.stage.mayastor.with(|state| {
            let volume = &state.volumes[UUID];
            assert!(volume.fewest_synced >= 1, "no complete copy: {:?}", state.log);
            assert!(volume.copies.len() <= 2, "more copies than two: {:?}", state.log);
            assert_eq!(state.judge.losses().count(), 0, "{:?}", state.judge.removals);
        });
    }

    /// Waits until every approved move has ended and is recorded, and looks at what is left.
    async fn ends(&mut self) {
        let (moves, hot) = (self.moves, self.hot);
        let stage = &self.stage;
        stage
            .wait(&format!("move {moves} to end"), async || {
                let all = stage.migrations().await;
                let ended = all.iter().filter(|one| {
                    let status = one.status.as_ref();
                    status.is_some_and(|status| status.phase.is_final() && status.audit_commit.is_some())
                });
                (ended.count() == moves).then_some(())
            })
            .await;
        self.is_whole();
        self.stage.assert_intact();
        let pools = self.stage.pools();
        let there = if hot { "nvme-" } else { "sata-" };
        assert!(pools.len() == 1 && pools[0].starts_with(there), "{pools:?}");
    }

    /// What all moves together must have left.
    async fn was_recorded(&self) {
        let migrations = self.stage.migrations().await;
        let mut ends: BTreeMap<Phase, usize> = BTreeMap::new();
        for one in &migrations {
            *ends
                .entry(one.status.clone().unwrap_or_default().phase)
                .or_insert(0) += 1;
        }
        assert_eq!(ends, BTreeMap::from([(Phase::Completed, self.moves)]));
        let log = self
            .stage
            .repository
            .log_branch("couchestor/audit", self.moves + 10);
        let recorded = log.await.unwrap().len();
        assert_eq!(recorded, self.moves, "each outcome is recorded once");
        self.stage.assert_justified();
    }
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn within(rng: &mut Rng, most: Duration) -> Duration {
    most.mul_f64(rng.f64())
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments_it_loses_nothing_and_every_move_ends() {
    if servers::left_out("killed at random moments") {
        return;
    }
    let asked = std::env::var("COUCHESTOR_KILLS").ok();
    let kills = asked.and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let mut rng = Rng::with_seed(seed("kills"));
    let mut shuttle = Shuttle::set().await;
    let mut inside = 0;
    for _ in 0..kills {
        shuttle.turn_round().await;
        tokio::time::sleep(within(&mut rng, KILLED_WITHIN)).await;
        shuttle.stage.kill_controller();
        shuttle.is_whole();
        let all = shuttle.stage.migrations().await;
        let under_way = |phase: Phase| !phase.is_final() && phase != Phase::Pending;
        inside += all
            .iter()
            .filter_map(|one| one.status.as_ref())
            .filter(|status| under_way(status.phase))
            .count();
        shuttle.stage.controller = Some(shuttle.stage.spawn("", &IMPATIENT));
        shuttle.ends().await;
    }
    shuttle.was_recorded().await;
    say(&format!(
        "{kills} kills, {inside} of them in the middle of a move: {} moves completed, each recorded once",
        shuttle.moves
    ));
    assert!(inside * 4 > kills, "kills beside the moves prove nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_controllers_without_election_an_api_server_that_dies_and_a_mayastor_that_is_cut_off_lose_nothing()
 {
    if servers::left_out("two controllers, a dying API server, Mayastor cut off") {
        return;
    }
    let mut rng = Rng::with_seed(seed("troubles"));
    let mut shuttle = Shuttle::set().await;
    for round in 0..4 {
        // The second one takes the next epoch, while the first believes that it is alone.
        shuttle.turn_round().await;
        tokio::time::sleep(within(&mut rng, KILLED_WITHIN / 2)).await;
        let second = shuttle.stage.spawn(&format!("second-{round}-"), &IMPATIENT);
        tokio::time::sleep(within(&mut rng, KILLED_WITHIN)).await;
        shuttle.is_whole();
        if rng.bool() {
            shuttle.ends().await;
        }
        let first = shuttle.stage.controller.replace(second).unwrap();
        kill(first);
        shuttle.ends().await;
    }
    for _ in 0..3 {
        shuttle.turn_round().await;
        tokio::time::sleep(within(&mut rng, KILLED_WITHIN)).await;
        shuttle.stage.server.restart_api();
        shuttle.is_whole();
        shuttle.ends().await;
    }
    for _ in 0..3 {
        shuttle.turn_round().await;
        tokio::time::sleep(within(&mut rng, KILLED_WITHIN)).await;
        let cuts = [How::CutBefore, How::CutAfter];
        let chance = rng.u64(..);
        shuttle
            .stage
            .mayastor
            .with(|state| state.faults.by_chance(chance, 1, &cuts));
        tokio::time::sleep(within(&mut rng, Duration::from_secs(4))).await;
        shuttle.stage.mayastor.with(|state| state.faults.none());
        shuttle.is_whole();
        shuttle.ends().await;
    }
    shuttle.was_recorded().await;
    say(&format!(
        "two controllers at once, the API server killed, Mayastor cut off: {} moves completed, each recorded once",
        shuttle.moves
    ));
}
