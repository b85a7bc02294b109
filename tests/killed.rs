//! Real processes in real trouble: the controller killed at random moments of moves, two controllers without election, the API server
//! killed, Mayastor cut off. After each of them the volume must be whole, and then everything must come to its end.
//!
//! `COUCHESTOR_KILLS=1000 cargo test killed::killed_at_random -- --nocapture` does it longer, on four clusters side by side; a kill
//! and what it takes to come to an end again are about eight seconds.

use crate::controller::{ASSIGNMENT, Stage, UUID};
use crate::support::{say, seed, servers};
use couchestor::io::git::Lease;
use couchestor::model::ids::CommitId;
use couchestor::model::kinds::volume_migration::{Phase, VolumeMigration};
use couchestor::model::rendering::FileChange;
use couchestor::sim::mayastor::How;
use fastrand::Rng;
use std::collections::BTreeMap;
use std::process::Child;
use std::time::Duration;

/// Kills of one run of the tests.
const KILLS: usize = 50;

/// Clusters that they are spread over, and those for more kills than that: most of the time of a kill is waiting.
const CLUSTERS: [usize; 2] = [2, 4];

/// An undisturbed move takes about three seconds: kills fall on every part of it, and some before and after.
const KILLED_WITHIN: Duration = Duration::from_millis(3500);

/// Of a move that has begun, most of the time that it takes.
const MIDST: Duration = Duration::from_millis(1500);

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

    /// Waits until the move has begun to do something, and for a moment of its time then.
    async fn in_the_midst(&self, rng: &mut Rng) {
        let moves = self.moves;
        let stage = &self.stage;
        stage
            .wait(&format!("move {moves} to begin"), async || {
                let all = stage.migrations().await;
                (all.len() == moves && all.iter().any(under_way)).then_some(())
            })
            .await;
        tokio::time::sleep(within(rng, MIDST)).await;
    }

    /// How many moves are under way.
    async fn under_way(&self) -> usize {
        let all = self.stage.migrations().await;
        all.iter().filter(|one| under_way(one)).count()
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

fn under_way(one: &VolumeMigration) -> bool {
    let phase = one.status.as_ref().map(|status| status.phase);
    phase.is_some_and(|phase| !phase.is_final() && phase != Phase::Pending)
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn within(rng: &mut Rng, most: Duration) -> Duration {
    most.mul_f64(rng.f64())
}

/// So many kills on a cluster of their own: how many fell in the middle of a move, and how many moves there were.
async fn killed(kills: usize, mut rng: Rng) -> (usize, usize) {
    let mut shuttle = Shuttle::set().await;
    let mut inside = 0;
    for _ in 0..kills {
        shuttle.turn_round().await;
        tokio::time::sleep(within(&mut rng, KILLED_WITHIN)).await;
        shuttle.stage.kill_controller();
        shuttle.is_whole();
        inside += shuttle.under_way().await;
        shuttle.stage.controller = Some(shuttle.stage.spawn("", &IMPATIENT));
        shuttle.ends().await;
    }
    shuttle.was_recorded().await;
    (inside, shuttle.moves)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments_it_loses_nothing_and_every_move_ends() {
    if servers::left_out("killed at random moments") {
        return;
    }
    let asked = std::env::var("COUCHESTOR_KILLS").ok();
    let kills = asked.and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let seed = seed("kills");
    let clusters = CLUSTERS[usize::from(kills > KILLS)];
    let each = (0..clusters).map(|cluster| {
        let share = kills / clusters + usize::from(cluster < kills % clusters);
        killed(share, Rng::with_seed(seed + cluster as u64))
    });
    let all = futures::future::join_all(each).await;
    let inside: usize = all.iter().map(|(inside, _)| inside).sum();
    let moves: usize = all.iter().map(|(_, moves)| moves).sum();
    say(&format!(
        "{kills} kills, {inside} of them in the middle of a move: {moves} moves completed, each recorded once",
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
    let (mut met, mut dead, mut cut) = (0, 0, 0);
    for round in 0..4 {
        // The second one takes the next epoch, while the first believes that it is alone.
        shuttle.turn_round().await;
        shuttle.in_the_midst(&mut rng).await;
        met += shuttle.under_way().await;
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
        shuttle.in_the_midst(&mut rng).await;
        dead += shuttle.under_way().await;
        shuttle.stage.server.restart_api();
        shuttle.is_whole();
        shuttle.ends().await;
    }
    for _ in 0..3 {
        shuttle.turn_round().await;
        shuttle.in_the_midst(&mut rng).await;
        let cuts = [How::CutBefore, How::CutAfter];
        let chance = rng.u64(..);
        shuttle
            .stage
            .mayastor
            .with(|state| state.faults.by_chance(chance, 1, &cuts));
        tokio::time::sleep(within(&mut rng, Duration::from_secs(4))).await;
        cut += shuttle.stage.mayastor.with(|state| {
            state.faults.none();
            std::mem::take(&mut state.faults.happened).len()
        });
        shuttle.is_whole();
        shuttle.ends().await;
    }
    shuttle.was_recorded().await;
    say(&format!(
        "a second controller in the midst of {met} moves, the API server killed in the midst of {dead}, {cut} calls to Mayastor cut: \
         {} moves completed, each recorded once",
        shuttle.moves
    ));
    assert!(
        met > 0 && dead > 0 && cut > 0,
        "troubles beside the moves prove nothing"
    );
}
