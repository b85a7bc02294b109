//! Every write of a move is struck, and every two of them: before it is done, done without an answer, done with half an answer, and
//! after it was answered; with fresh and old readings afterwards; alone, and with a leadership that another one has followed and that
//! goes on nevertheless. Through the real clients, over HTTP, against the simulated Mayastor and Kubernetes, in virtual time.

use super::verdict::{Asked, Ended, Known, as_said, verdict};
use crate::support::moves;
use couchestor::execute::engine::{EngineError, JournalStore, Orders, StorageEngine, StoreError, execute};
use couchestor::execute::journal::{Act, Reading};
use couchestor::io::cluster::Cluster;
use couchestor::io::mayastor::Mayastor;
use couchestor::model::kinds::all_crds;
use couchestor::model::kinds::volume_migration::{Phase, VolumeMigration, VolumeMigrationSpec};
use couchestor::sim::kubernetes::{KubernetesSim, On, What};
use couchestor::sim::mayastor::{
    At, Clock, Fault, How, MayastorSim, NodeSeed, PoolSeed, Profile, Setup, Stale, State, VolumeSeed,
};
use couchestor::wiring::{EngineAdapter, StoreAdapter};
use futures::future::BoxFuture;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

/// When the clock of every run starts.
const START: i64 = 1_900_000_000;

/// Between two turns. A call of an earlier leadership is waited out for a minute.
const TURN_SECS: u64 = 15;

/// A struck move takes some thirty turns.
const TURNS_MAX: usize = 300;

const UUID: &str = "00000000-0000-4000-8000-000000000000";

/// How a write is struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// The process ends before it asks.
    Before,
    /// It is done, and the connection ends without an answer.
    Unanswered,
    /// It is done, and half of the answer comes.
    Torn,
    /// The process ends when it has the answer.
    After,
}

/// One write that is struck, and what is true afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Which write of the run, journal and engine counted together.
    pub write: usize,
    pub blow: Blow,
    /// So many readings that follow are as old as so many changes, and so is what the next process knows of the journal.
    pub old: u8,
    /// Another leadership takes a turn at this moment. The one that was struck does not end, and goes on.
    pub followed: bool,
}

/// All ways to strike writes.
pub fn points(writes: usize) -> Vec<Point> {
    let mut all = Vec::new();
    for write in 0..writes {
        for blow in [Blow::Before, Blow::Unanswered, Blow::Torn, Blow::After] {
            for old in 0..=2 {
                for followed in [false, true] {
                    all.push(Point {
                        write,
                        blow,
                        old,
                        followed,
                    });
                }
            }
        }
    }
    all
}

/// Servers and clients, for one run after the other.
pub struct Bench {
    pub profile: Profile,
    /// Whether the approval is taken back once the copy is being filled.
    pub withdrawn: bool,
    millis: Arc<AtomicU64>,
    mayastor: MayastorSim,
    engine: Mayastor,
    kubernetes: KubernetesSim,
    cluster: Cluster,
}

fn setup(profile: Profile) -> Setup {
    let mut setup = Setup {
        profile,
        rebuild: std::time::Duration::from_secs(30),
        ..Setup::default()
    };
    for (index, tier) in ["cold", "cold", "hot"].into_iter().enumerate() {
        setup.nodes.push(NodeSeed {
            name: format!("n{index}"),
            ..NodeSeed::default()
        });
        setup.pools.push(PoolSeed {
            name: format!("{tier}-{index}"),
            node: format!("n{index}"),
            labels: BTreeMap::from([("tier".to_owned(), tier.to_owned())]),
            capacity_gib: 100,
            ..PoolSeed::default()
        });
    }
    setup.volumes.push(VolumeSeed {
        uuid: UUID.into(),
        size_gib: 10,
        pools: vec!["cold-0".into()],
        // Before 2.9 only a copy that is the single remote one can be moved: the target is beside the new one.
        target: Some(if profile == Profile::V2_7 { "n2" } else { "n0" }.into()),
        ..VolumeSeed::default()
    });
    setup
}

impl Bench {
    pub async fn set(profile: Profile) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let millis = Arc::new(AtomicU64::new(0));
        let clock = Clock::Driven(Arc::clone(&millis));
        let mayastor = MayastorSim::start_as(setup(profile), clock)
            .await
            .expect("loopback");
        let now = {
            let millis = Arc::clone(&millis);
            move || time(&millis)
        };
        let kubernetes = KubernetesSim::start(now).await.expect("loopback");
        for crd in all_crds() {
            let crd = serde_json::to_value(crd).expect("a CRD is JSON");
            kubernetes.put(crd).expect("a CRD is an object");
        }
        let cluster = Cluster::from_kubeconfig(&kubernetes.kubeconfig()).await.unwrap();
        Self {
            profile,
            withdrawn: false,
            millis,
            engine: Mayastor::new(&mayastor.url()).unwrap(),
            mayastor,
            kubernetes,
            cluster,
        }
    }

    /// The same, for moves whose approval is taken back.
    pub async fn withdrawn(profile: Profile) -> Self {
        Self {
            withdrawn: true,
            ..Self::set(profile).await
        }
    }

    /// How many writes a move makes that nothing befalls.
    pub async fn writes(&self) -> usize {
        let run = self.begin(&[]);
        let ended = run.to_the_end().await.expect("an undisturbed move");
        let end = if self.withdrawn { "Cancelled" } else { "Completed" };
        assert_eq!(ended.finals, BTreeMap::from([(end, 1)]));
        run.writes.load(Ordering::SeqCst)
    }

    /// Carries a move out that is struck at these points; the second counts from the first.
    pub async fn strike(&self, points: &[Point]) -> Result<Ended, String> {
        let run = self.begin(points);
        let ended = run.to_the_end().await?;
        // A first blow can end a run before the second falls, and two in one release count as one.
        let faults = points.len() - run.plan().len();
        if faults == 0 {
            return Err("none of the writes was struck".to_owned());
        }
        Ok(Ended { faults, ..ended })
    }

    fn begin(&self, points: &[Point]) -> Run<'_> {
        self.kubernetes.remove("VolumeMigration", None, "move");
        self.kubernetes.faults().clear();
        self.kubernetes.forget_history();
        self.millis.store(0, Ordering::SeqCst);
        self.mayastor.with(|state| {
            *state = State::new(setup(self.profile)).expect("it was good before");
            state.remember_past();
        });
        let spec = VolumeMigrationSpec {
            timeout_seconds: 1800,
            ..moves::spec(UUID)
        };
        let made = serde_json::to_value(VolumeMigration::new("move", spec)).expect("JSON");
        self.kubernetes.put(made).expect("an object");
        Run {
            bench: self,
            plan: Mutex::new(points.iter().map(|point| (point.write, *point)).collect()),
            writes: AtomicUsize::new(0),
            epoch: AtomicU64::new(0),
            readings: AtomicU8::new(0),
            back: AtomicU8::new(0),
            lists: AtomicU8::new(0),
            said: Mutex::default(),
            known: Mutex::default(),
            taken_back: AtomicBool::new(false),
        }
    }
}

fn time(millis: &AtomicU64) -> Timestamp {
    let passed = i64::try_from(millis.load(Ordering::SeqCst)).unwrap();
    Timestamp::from_millisecond(START * 1000 + passed).unwrap()
}

/// One move from its beginning to its end.
struct Run<'a> {
    bench: &'a Bench,
    /// Blows that have not fallen.
    plan: Mutex<BTreeMap<usize, Point>>,
    writes: AtomicUsize,
    epoch: AtomicU64,
    /// Readings that will be old still, and how old.
    readings: AtomicU8,
    back: AtomicU8,
    /// Changes that the next look at the journal is behind.
    lists: AtomicU8,
    /// What the engine said of turns that did not go as far as they could.
    said: Mutex<Vec<String>>,
    known: Mutex<Known>,
    /// Whether the approval was taken back.
    taken_back: AtomicBool,
}

impl Run<'_> {
    fn plan(&self) -> MutexGuard<'_, BTreeMap<usize, Point>> {
        self.plan.lock().unwrap()
    }

    /// The next leadership.
    fn process(&self) -> Process<'_> {
        Process {
            run: self,
            epoch: self.epoch.fetch_add(1, Ordering::SeqCst) + 1,
            dead: AtomicBool::new(false),
        }
    }

    async fn to_the_end(&self) -> Result<Ended, String> {
        let mut process = self.process();
        for _ in 0..TURNS_MAX {
            process.turn().await?;
            let newest = self.epoch.load(Ordering::SeqCst);
            if process.epoch != newest {
                // The one that was followed has a turn more, after that of the other.
                let after = self.process();
                after.turn().await?;
                process.turn().await?;
                process = after;
            }
            if process.dead.load(Ordering::SeqCst) {
                process = self.process();
            }
            let more = TURN_SECS * 1000;
            self.bench.millis.fetch_add(more, Ordering::SeqCst);
            let all = self.bench.cluster.list::<VolumeMigration>().await;
            let all = all.map_err(|error| error.to_string())?;
            if all.iter().all(over) {
                // What was asked for and not answered may come late.
                self.bench.millis.fetch_add(120_000, Ordering::SeqCst);
                let known = self.known.lock().unwrap();
                let ended = self.bench.mayastor.with(|state| {
                    as_said(state, &all)?;
                    verdict(state, &all, &known)
                })?;
                // Nothing breaks here, so no other copy goes than is meant.
                return match ended.others {
                    0 => Ok(ended),
                    _ => Err(format!("another copy went than was meant: {all:#?}")),
                };
            }
        }
        let all = self.bench.cluster.list::<VolumeMigration>().await;
        let said = self.said.lock().unwrap();
        let said = said.iter().rev().take(5).collect::<Vec<_>>();
        Err(format!("it never ended, and said last {said:?}: {all:#?}"))
    }

    /// Another leadership begins, and takes its first turn.
    fn follow(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            // What goes wrong in it shows in the end.
            let _ = self.process().turn().await;
        })
    }

    /// What the journal says just before a number of copies is asked for.
    fn about_to_ask(&self, volume: &str) {
        let at = std::time::Duration::from_millis(self.bench.millis.load(Ordering::SeqCst));
        let stored = self.bench.kubernetes.get("VolumeMigration", None, "move");
        let stored =
            stored.map(|one| serde_json::from_value::<VolumeMigration>(one).expect("what was written"));
        self.known.lock().unwrap().asked.push(Asked {
            at,
            volume: volume.to_owned(),
            evidence: stored.and_then(|one| one.status).unwrap_or_default().removals,
        });
    }

    /// The first blow that falls on one of the writes that are about to be made.
    fn struck(&self, writes: usize) -> (Range<usize>, Option<Point>) {
        let first = self.writes.fetch_add(writes, Ordering::SeqCst);
        let range = first..first + writes;
        let mut plan = self.plan();
        let at = plan.range(range.clone()).next().map(|(write, _)| *write);
        (range, at.and_then(|write| plan.remove(&write)))
    }

    fn age(&self, point: Point) {
        self.readings.store(point.old, Ordering::SeqCst);
        self.back.store(point.old, Ordering::SeqCst);
        self.lists.store(point.old, Ordering::SeqCst);
    }
}

fn over(one: &VolumeMigration) -> bool {
    one.status.as_ref().is_some_and(|status| status.phase.is_final())
}

/// Takes one of what is left.
fn one_of(left: &AtomicU8) -> bool {
    let less = |left: u8| left.checked_sub(1);
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
        .is_ok()
}

/// A process that leads, or believes that it does.
struct Process<'a> {
    run: &'a Run<'a>,
    epoch: u64,
    dead: AtomicBool,
}

impl Process<'_> {
    async fn turn(&self) -> Result<(), String> {
        let bench = self.run.bench;
        let behind = self.run.lists.swap(0, Ordering::SeqCst);
        if behind > 0 {
            let faults = bench.kubernetes.faults();
            faults.order(On::Reads, 1, What::Stale(behind.into()));
        }
        let all = bench.cluster.list::<VolumeMigration>().await;
        let mut all = all.map_err(|error| error.to_string())?;
        all.retain(|one| !over(one));
        let filling = |one: &VolumeMigration| {
            let status = one.status.as_ref();
            status.is_some_and(|status| status.phase == Phase::WaitSync)
        };
        if bench.withdrawn && all.iter().any(filling) {
            self.run.taken_back.store(true, Ordering::SeqCst);
        }
        let approved = match self.run.taken_back.load(Ordering::SeqCst) {
            true => BTreeSet::new(),
            false => ["move".to_owned()].into(),
        };
        let orders = Orders {
            approved,
            epoch: self.epoch,
            ..Orders::default()
        };
        let told = execute(self, self, all, &orders, || time(&bench.millis)).await;
        let errors = told.into_iter().filter_map(|one| one.error);
        self.run.said.lock().unwrap().extend(errors);
        Ok(())
    }

    fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// What happens once the write is done or not: `true` if the process hears of it.
    async fn afterwards(&self, point: Point) -> bool {
        self.run.age(point);
        let ends = matches!(point.blow, Blow::Before | Blow::After);
        if point.followed && point.blow != Blow::Before {
            self.run.follow().await;
        }
        if ends && !point.followed {
            self.dead.store(true, Ordering::SeqCst);
        }
        !self.is_dead()
    }
}

fn calls(act: &Act) -> usize {
    match act {
        Act::Release(window, _) => window.pools.len() + window.all_nodes().count(),
        _ => 1,
    }
}

impl StorageEngine for Process<'_> {
    async fn reading(&self, volume_uuid: &str) -> Result<Reading, EngineError> {
        if self.is_dead() {
            return Err(EngineError::Unreachable("dead".into()));
        }
        let bench = self.run.bench;
        let old = one_of(&self.run.readings);
        let back = usize::from(self.run.back.load(Ordering::SeqCst));
        let lag = old.then_some(Stale::Changes(back));
        bench.mayastor.with(|state| state.set_lag(lag));
        let reading = EngineAdapter(&bench.engine).reading(volume_uuid).await;
        bench.mayastor.with(|state| state.set_lag(None));
        reading
    }

    async fn act(&self, volume_uuid: &str, act: &Act) -> Result<(), EngineError> {
        if self.is_dead() {
            return Err(EngineError::Indeterminate("dead".into()));
        }
        let (bench, adapter) = (self.run.bench, EngineAdapter(&self.run.bench.engine));
        if matches!(act, Act::SetReplicas(_)) {
            self.run.about_to_ask(volume_uuid);
        }
        if let Act::CordonNode(node, _) = act {
            let free = bench.mayastor.with(|state| {
                state
                    .nodes
                    .iter()
                    .any(|(name, one)| name != node && !one.cordoned())
            });
            assert!(free, "cordoning {node} leaves no node for targets");
        }
        let (range, point) = self.run.struck(calls(act));
        let Some(point) = point else {
            return adapter.act(volume_uuid, act).await;
        };
        if point.followed && point.blow == Blow::Before {
            self.run.age(point);
            self.run.follow().await;
        }
        let at = point.write - range.start;
        let blows: Vec<(usize, How)> = match point.blow {
            Blow::Before if point.followed => Vec::new(),
            Blow::Before => (at..range.len()).map(|call| (call, How::CutBefore)).collect(),
            Blow::Unanswered => vec![(at, How::CutAfter)],
            Blow::Torn => vec![(at, How::Torn)],
            Blow::After if point.followed => Vec::new(),
            Blow::After => (at + 1..range.len()).map(|call| (call, How::CutBefore)).collect(),
        };
        let count = blows.len();
        let before = bench.mayastor.with(|state| {
            for (call, how) in blows {
                let at = At::Change(u64::try_from(call).unwrap());
                state.faults.order(Fault { at, how });
            }
            state.faults.happened.len()
        });
        let outcome = adapter.act(volume_uuid, act).await;
        let hits = bench.mayastor.with(|state| {
            state.faults.none();
            state.faults.happened.len() - before
        });
        assert!(count == 0 || hits > 0, "{point:?} hit nothing");
        match self.afterwards(point).await {
            true => outcome,
            false => Err(EngineError::Indeterminate("dead".into())),
        }
    }
}

impl JournalStore for Process<'_> {
    async fn write(&self, migration: &mut VolumeMigration) -> Result<(), StoreError> {
        let dead = || Err(StoreError::Failed("dead".into()));
        if self.is_dead() {
            return dead();
        }
        let (bench, adapter) = (self.run.bench, StoreAdapter(&self.run.bench.cluster));
        let (_, Some(point)) = self.run.struck(1) else {
            return adapter.write(migration).await;
        };
        let order = |what: What| bench.kubernetes.faults().order(On::StatusWrites, 1, what);
        match point.blow {
            Blow::Before if point.followed => {
                self.run.age(point);
                self.run.follow().await;
            }
            Blow::Before => {
                self.afterwards(point).await;
                return dead();
            }
            Blow::Unanswered => order(What::LoseReply),
            Blow::Torn => order(What::Torn),
            Blow::After => {}
        }
        let outcome = adapter.write(migration).await;
        assert_eq!(bench.kubernetes.faults().left(), 0, "{point:?} hit nothing");
        match self.afterwards(point).await {
            true => outcome,
            false => dead(),
        }
    }
}
