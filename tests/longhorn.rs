//! Claims about moving volumes of Longhorn: the production engine and client against its controllers' simulation, through kills and cut
//! connections, on the simulated API server and once on the real one.

use crate::support::moves::spec;
use couchestor::execute::engine::{EngineError, JournalStore, Orders, StorageEngine, StoreError, execute};
use couchestor::execute::journal::{Act, Reading};
use couchestor::io::cluster::Cluster;
use couchestor::io::longhorn::{Longhorn, REPLICAS, VOLUMES};
use couchestor::model::kinds::volume_migration::{
    Phase, VolumeMigration, VolumeMigrationSpec, VolumeMigrationStatus,
};
use couchestor::sim::kubernetes::{KubernetesSim, On, What};
use couchestor::sim::longhorn::{DiskSeed, LonghornSim, NAMESPACE, VolumeSeed};
use couchestor::wiring::LonghornAdapter;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

/// The moves, undisturbed and disturbed.
mod moves;

/// The real API server.
mod real;

/// What is observed of Longhorn.
mod seen;

const START: i64 = 1_800_000_000;

/// Seconds that pass with each reading.
const PASS: i64 = 30;

/// More turns than any move here needs: half an hour of patience after a timeout of 3000 seconds.
const TURNS_MAX: usize = 300;

const VOLUME: &str = "pvc-1";

/// Where the process dies, by the number of the effect.
#[derive(Clone, Copy, Debug)]
enum Death {
    Before(usize),
    After(usize),
}

/// Longhorn's client as the journal's hands and a journal in memory, in a process that can die at each effect.
struct Process<'a> {
    longhorn: Longhorn,
    sim: &'a LonghornSim,
    stored: Mutex<VolumeMigration>,
    death: Option<Death>,
    dead: Mutex<bool>,
    effects: AtomicUsize,
    seconds: AtomicI64,
}

impl<'a> Process<'a> {
    fn new(cluster: &Cluster, sim: &'a LonghornSim, to: &str) -> Self {
        Self {
            longhorn: Longhorn::of(cluster),
            sim,
            stored: Mutex::new(migration(to)),
            death: None,
            dead: Mutex::new(false),
            effects: AtomicUsize::new(0),
            seconds: AtomicI64::new(0),
        }
    }

    fn is_dead(&self) -> bool {
        *self.dead.lock().unwrap()
    }

    /// Counts an effect; `None` when the process is dead before it, else whether it dies after it.
    fn begin(&self) -> Option<bool> {
        if self.is_dead() {
            return None;
        }
        let number = self.effects.fetch_add(1, Ordering::SeqCst);
        match self.death {
            Some(Death::Before(at)) if at == number => {
                *self.dead.lock().unwrap() = true;
                None
            }
            Some(Death::After(at)) => Some(at == number),
            _ => Some(false),
        }
    }

    fn end(&self, dies: bool) {
        if dies {
            *self.dead.lock().unwrap() = true;
        }
    }

    fn status(&self) -> VolumeMigrationStatus {
        self.stored.lock().unwrap().status.clone().unwrap_or_default()
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_second(START + self.seconds.load(Ordering::SeqCst)).unwrap()
    }

    /// A change of the count waits for the controllers. They go on until the copy has its place and no further: how much of it is filled
    /// when the act ends would be a matter of the clock.
    async fn while_controllers_go_on<T>(&self, act: impl Future<Output = T>) -> T {
        let mut act = std::pin::pin!(act);
        let before = self.copies().await;
        loop {
            tokio::select! {
                done = &mut act => return done,
                () = tokio::time::sleep(std::time::Duration::from_millis(20)) => {}
            }
            if self.copies().await != before {
                return act.await;
            }
            // A fault that was ordered for the act may meet the controllers: they try again in the next round.
            let (done, _) = futures::future::join(
                futures::future::poll_fn(|context| std::task::Poll::Ready(act.as_mut().poll(context))),
                self.sim.step(),
            )
            .await;
            if let std::task::Poll::Ready(done) = done {
                return done;
            }
        }
    }

    async fn copies(&self) -> usize {
        self.sim.copies(VOLUME).await.unwrap().len()
    }

    /// One turn of a process that starts anew.
    async fn turn(&self, approved: bool) {
        *self.dead.lock().unwrap() = false;
        let stored = self.stored.lock().unwrap().clone();
        let names = if approved {
            BTreeSet::from(["m".to_owned()])
        } else {
            BTreeSet::new()
        };
        let orders = Orders {
            approved: names,
            ..Orders::default()
        };
        execute(self, self, vec![stored], &orders, || self.now()).await;
    }
}

impl StorageEngine for Process<'_> {
    async fn reading(&self, volume: &str) -> Result<Reading, EngineError> {
        if self.is_dead() {
            return Err(EngineError::Unreachable("dead".into()));
        }
        self.seconds.fetch_add(PASS, Ordering::SeqCst);
        LonghornAdapter(&self.longhorn).reading(volume).await
    }

    async fn act(&self, volume: &str, act: &Act) -> Result<(), EngineError> {
        let dead = || EngineError::Indeterminate("dead".into());
        let dies = self.begin().ok_or_else(dead)?;
        let adapter = LonghornAdapter(&self.longhorn);
        let done = match act {
            Act::SetReplicas(_) => self.while_controllers_go_on(adapter.act(volume, act)).await,
            _ => adapter.act(volume, act).await,
        };
        self.end(dies);
        if dies { Err(dead()) } else { done }
    }
}

impl JournalStore for Process<'_> {
    async fn write(&self, migration: &mut VolumeMigration) -> Result<(), StoreError> {
        let dead = || StoreError::Failed("dead".into());
        let dies = self.begin().ok_or_else(dead)?;
        *self.stored.lock().unwrap() = migration.clone();
        self.end(dies);
        if dies { Err(dead()) } else { Ok(()) }
    }
}

/// Turn after turn, the controllers' rounds between them, until the move ends; `also` sees each status first.
async fn run(
    process: &Process<'_>,
    sim: &LonghornSim,
    mut also: impl AsyncFnMut(&VolumeMigrationStatus) -> bool,
) -> VolumeMigrationStatus {
    for _ in 0..TURNS_MAX {
        let status = process.status();
        if status.phase.is_final() {
            return status;
        }
        let approved = also(&status).await;
        process.turn(approved).await;
        sim.step().await.unwrap();
    }
    panic!("it never ended: {:#?}", process.status());
}

async fn approved(_: &VolumeMigrationStatus) -> bool {
    true
}

fn migration(to: &str) -> VolumeMigration {
    VolumeMigration::new(
        "m",
        VolumeMigrationSpec {
            volume: VOLUME.into(),
            from: "here".into(),
            to: to.into(),
            to_pool_labels: BTreeMap::from([(to.to_owned(), String::new())]),
            pool_reserve_bytes: 1 << 30,
            timeout_seconds: 3000,
            ..spec(VOLUME)
        },
    )
}

/// Minimal CRDs of Longhorn with the fields that are used: what is not here is pruned.
fn crds() -> Vec<Value> {
    let text = || json!({"type": "string"});
    let (number, yes) = (
        || json!({"type": "integer", "format": "int64"}),
        || json!({"type": "boolean"}),
    );
    let texts = || json!({"type": "array", "nullable": true, "items": {"type": "string"}});
    let map = |of: Value| json!({"type": "object", "nullable": true, "additionalProperties": of});
    let object = |fields: Value| json!({"type": "object", "properties": fields});
    let conditions = json!({"type": "array", "nullable": true, "items": object(json!({"type": text(), "status": text()}))});
    let disk = object(
        json!({"diskType": text(), "path": text(), "diskDriver": text(), "allowScheduling": yes(),
        "evictionRequested": yes(), "storageReserved": number(), "tags": texts()}),
    );
    let disk_status = object(
        json!({"diskUUID": text(), "storageAvailable": number(), "storageMaximum": number(),
        "storageScheduled": number(), "scheduledReplica": map(number()), "conditions": conditions}),
    );
    let rebuild = object(json!({"progress": number(), "isRebuilding": yes()}));
    let of_volume = json!({"size": text(), "frontend": text(), "nodeID": text(), "image": text(), "numberOfReplicas": number(),
        "dataEngine": text(), "dataLocality": text(), "replicaAutoBalance": text(), "diskSelector": texts(), "nodeSelector": texts(),
        "migrationNodeID": text()});
    let kinds = [
        (
            "Volume",
            "volumes",
            of_volume,
            json!({"state": text(), "robustness": text(), "currentNodeID": text(), "currentImage": text()}),
        ),
        (
            "Replica",
            "replicas",
            json!({"volumeName": text(), "nodeID": text(), "diskID": text(), "healthyAt": text(), "failedAt": text(), "active": yes(),
            "evictionRequested": yes()}),
            json!({"currentState": text()}),
        ),
        (
            "Engine",
            "engines",
            json!({"volumeName": text(), "active": yes()}),
            json!({"currentState": text(), "replicaModeMap": map(text()), "currentReplicaAddressMap": map(text()),
            "rebuildStatus": map(rebuild)}),
        ),
        (
            "Node",
            "nodes",
            json!({"name": text(), "disks": map(disk), "allowScheduling": yes(), "evictionRequested": yes(), "tags": texts()}),
            json!({"conditions": conditions, "diskStatus": map(disk_status), "zone": text(), "region": text()}),
        ),
        ("Setting", "settings", json!({}), json!({})),
    ];
    let crd = |(kind, plural, spec, status): (&str, &str, Value, Value)| {
        let schema = object(json!({"spec": object(spec), "status": object(status), "value": text()}));
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.longhorn.io"),
                "annotations": {"api-approved.kubernetes.io": "unapproved, a test's"}},
            "spec": {"group": "longhorn.io", "scope": "Namespaced",
                "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase(), "listKind": format!("{kind}List")},
                "versions": [{"name": "v1beta2", "served": true, "storage": true, "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": schema}}]}})
    };
    kinds.into_iter().map(crd).collect()
}

/// Nodes with slow and fast disks, and a volume of 10 GiB with so many copies on slow ones; one slow disk is the roomiest of all.
async fn furnish(sim: &LonghornSim, copies: usize, attached: bool) {
    for (node, disk, gib) in [
        ("c1", "hdd", 500),
        ("c2", "hdd", 500),
        ("h1", "nvme", 100),
        ("h2", "nvme", 90),
        ("s1", "hdd", 900),
    ] {
        let seed = DiskSeed {
            name: disk.into(),
            tags: vec![disk.into()],
            gib,
        };
        sim.add_node(node, &[seed]).await.unwrap();
    }
    let disks = ["c1", "c2"].into_iter().take(copies);
    let seed = VolumeSeed {
        name: VOLUME.into(),
        gib: 10,
        disks: disks.map(|node| (node.to_owned(), "hdd".to_owned())).collect(),
        attached: attached.then(|| "c1".to_owned()),
    };
    sim.add_volume(&seed).await.unwrap();
}

struct World {
    kubernetes: KubernetesSim,
    cluster: Cluster,
    sim: LonghornSim,
}

async fn world(copies: usize, attached: bool) -> World {
    let kubernetes = KubernetesSim::start(|| Timestamp::from_second(START).unwrap())
        .await
        .unwrap();
    for crd in crds() {
        kubernetes.put(crd).unwrap();
    }
    let cluster = Cluster::from_kubeconfig(&kubernetes.kubeconfig()).await.unwrap();
    kubernetes
        .put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}))
        .unwrap();
    let sim = LonghornSim::new(&cluster, 40);
    furnish(&sim, copies, attached).await;
    World {
        kubernetes,
        cluster,
        sim,
    }
}

async fn pools(sim: &LonghornSim) -> Vec<String> {
    let copies = sim.copies(VOLUME).await.unwrap();
    let mut pools: Vec<String> = copies.into_iter().map(|copy| copy.pool).collect();
    pools.sort();
    pools
}

async fn assert_tidy(sim: &LonghornSim, fewest: usize, what: &str) {
    assert!(
        sim.fewest(VOLUME).is_none_or(|seen| seen >= fewest),
        "{what}: {:?} complete copies at one time",
        sim.fewest(VOLUME)
    );
    let left = sim.left_behind().await.unwrap();
    assert!(left.is_empty(), "{what}: left behind: {left:?}");
    let copies = sim.copies(VOLUME).await.unwrap();
    assert!(copies.iter().all(|copy| copy.complete), "{what}: {copies:?}");
}
