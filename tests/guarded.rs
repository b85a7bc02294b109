//! A controller that does not lead, or not any more, changes nothing: each client, and the whole controller beside one that leads.

use crate::support::follow::Follow;
use crate::support::{line, moves};
use couchestor::ha::{Candidate, LeaseStore, StoreError};
use couchestor::io::cluster::{Annotated, Cluster, ClusterError, Foreign};
use couchestor::io::guard::Guard;
use couchestor::io::mayastor::{Mayastor, MayastorError};
use couchestor::model::ids::ObjectId;
use couchestor::model::kinds::PolicySource;
use couchestor::model::kinds::volume_migration::VolumeMigration;
use couchestor::model::lease::LeaseRecord;
use couchestor::sim::world::Running;
use couchestor::telemetry::Metrics;
use couchestor::wiring::{self, Clients, Health};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const UUID: &str = "5f3c1c6e-0b1d-4c86-9d5e-2b8f6f0a0001";

/// Two takings of the Lease from one that has fallen silent, and a turn for each.
const PATIENCE: Duration = Duration::from_secs(120);

fn config_map() -> (ObjectId, Value) {
    let id = ObjectId {
        group: String::new(),
        kind: "ConfigMap".to_owned(),
        namespace: "db".to_owned(),
        name: "a".to_owned(),
    };
    let object =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "db"}});
    (id, object)
}

/// What has been done to the engine.
fn done(running: &Running) -> String {
    running
        .mayastor
        .with(|state| format!("{:?} {:?}", state.log, state.judge.cordons))
}

/// Makes each change that the client of the API server knows.
async fn every_change(cluster: &Cluster) -> Vec<(&'static str, Result<(), ClusterError>)> {
    const MAPS: Foreign = Foreign::of("", "v1", "ConfigMap", "configmaps");
    const SOURCES: Foreign = Foreign::of("storage.billyronks.io", "v1", "PolicySource", "policysources");
    let (id, object) = config_map();
    let mut migration = VolumeMigration::new("m", moves::spec(UUID));
    let made = cluster.create(&migration).await.map(drop);
    migration.metadata.uid = Some("u".to_owned());
    migration.metadata.resource_version = Some("1".to_owned());
    migration.status = Some(Default::default());
    let annotated = Annotated {
        namespace: Some("db"),
        name: "a",
    };
    let change = json!({"data": {"a": "b"}});
    vec![
        ("create", made),
        (
            "replace_status",
            cluster.replace_status(&migration).await.map(drop),
        ),
        ("publish", cluster.publish(&migration, false, "Said", "so").await),
        ("let_go", cluster.let_go(&migration, "f").await.map(drop)),
        (
            "annotate",
            cluster.annotate::<PolicySource>(&annotated, "a", Some("b")).await,
        ),
        (
            "annotate_volume",
            cluster.annotate_volume("pvc-a", "a", "b").await,
        ),
        (
            "apply_object",
            cluster.apply_object("v1", &id, &object, false).await.map(drop),
        ),
        ("pause_object", cluster.pause_object("v1", &id, "u").await),
        ("create_object", cluster.create_object("v1", &id, &object).await),
        ("delete_object", cluster.delete_object("v1", &id, "u").await),
        (
            "delete_with_owned",
            cluster.delete_with_owned("v1", &id, "u").await,
        ),
        (
            "patch_foreign",
            cluster.patch_foreign(&MAPS, "db", "a", &change).await.map(drop),
        ),
        (
            "patch_foreign_status",
            cluster.patch_foreign_status(&SOURCES, "db", "a", &change).await,
        ),
        (
            "create_foreign",
            cluster
                .create_foreign(&MAPS, "db", object.clone())
                .await
                .map(drop),
        ),
        (
            "delete_foreign",
            cluster.delete_foreign(&MAPS, "db", "a", "u", "1").await.map(drop),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_client_changes_anything_once_its_leadership_is_over() {
    let running = line::servers().await;
    let world = line::outside(&running, None).await;
    let over = || Guard::new(|| None);
    let before = (running.kubernetes.requests().writes(), done(&running));

    let cluster = world.cluster.guarded(over());
    for (what, outcome) in every_change(&cluster).await {
        assert!(
            matches!(outcome, Err(ClusterError::NotLeading(_))),
            "{what}: {outcome:?}"
        );
    }
    // What changes nothing may still be asked: a dry run, for example.
    let (id, object) = config_map();
    cluster.apply_object("v1", &id, &object, true).await.unwrap();

    let mayastor = world.mayastor.guarded(over());
    let (pool, node) = running.mayastor.with(|state| {
        let pool = state.pools.keys().next().unwrap().clone();
        (pool, state.nodes.keys().next().unwrap().clone())
    });
    for (what, outcome) in [
        ("set_replica_count", mayastor.set_replica_count(UUID, 2).await),
        ("cordon_pool", mayastor.cordon_pool(&pool).await),
        ("uncordon_pool", mayastor.uncordon_pool(&pool).await),
        ("cordon_node", mayastor.cordon_node(&node, "couchestor-1").await),
        (
            "uncordon_node",
            mayastor.uncordon_node(&node, "couchestor-1").await,
        ),
    ] {
        assert!(
            matches!(outcome, Err(MayastorError::NotLeading(_))),
            "{what}: {outcome:?}"
        );
    }
    let after = (running.kubernetes.requests().writes(), done(&running));
    assert_eq!(after, before);

    // The same calls under a leadership do reach the servers.
    let changes = every_change(&world.cluster).await;
    let reached = running.kubernetes.requests().writes() - before.0;
    assert!(reached >= changes.len(), "{reached} of {changes:#?}");
    mayastor_reached(&world.mayastor, &pool).await;
}

async fn mayastor_reached(mayastor: &Mayastor, pool: &str) {
    mayastor.cordon_pool(pool).await.unwrap();
    mayastor.uncordon_pool(pool).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_given_up_before_another_may_lead() {
    let running = line::servers().await;
    running
        .mayastor
        .with(|state| state.change_takes = Duration::from_secs(5));
    let patient = Mayastor::new(&running.mayastor.url())
        .unwrap()
        .patient_for(Duration::from_secs(300));
    let leaving = patient.guarded(Guard::new(|| Some(Duration::from_millis(50))));
    let outcome = leaving.set_replica_count(UUID, 2).await;
    // Whether it was done nobody knows.
    assert!(
        matches!(outcome, Err(MayastorError::Indeterminate { .. })),
        "{outcome:?}"
    );
}

/// A Lease in memory, which can be out of reach.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    record: Option<LeaseRecord>,
    version: u64,
    out_of_reach: bool,
}

impl Kept {
    fn write(&mut self, record: &LeaseRecord) -> LeaseRecord {
        self.version += 1;
        let written = LeaseRecord {
            version: Some(self.version.to_string()),
            ..record.clone()
        };
        self.record = Some(written.clone());
        written
    }
}

impl Memory {
    fn with<T>(&self, act: impl FnOnce(&mut Kept) -> T) -> T {
        act(&mut self.0.lock().unwrap())
    }

    /// Somebody else says once more that it leads.
    fn renewed_by_another(&self, epoch: u64) {
        self.with(|kept| {
            let now = couchestor::io::clock::now();
            kept.write(&LeaseRecord {
                holder: Some("another".to_owned()),
                epoch,
                duration: couchestor::ha::LEASE_DURATION,
                acquired: None,
                renewed: Some(now),
                version: None,
            })
        });
    }
}

impl LeaseStore for Memory {
    async fn read(&self) -> Result<Option<LeaseRecord>, StoreError> {
        self.with(|kept| match kept.out_of_reach {
            true => Err(StoreError::Unclear("out of reach".to_owned())),
            false => Ok(kept.record.clone()),
        })
    }

    async fn write(&self, record: &LeaseRecord) -> Result<LeaseRecord, StoreError> {
        self.with(|kept| {
            if kept.out_of_reach {
                return Err(StoreError::Unclear("out of reach".to_owned()));
            }
            let version = kept.record.as_ref().and_then(|kept| kept.version.clone());
            match record.version == version {
                true => Ok(kept.write(record)),
                false => Err(StoreError::Conflict),
            }
        })
    }

    async fn highest_epoch(&self) -> Result<u64, StoreError> {
        Ok(0)
    }
}

/// A controller with election, in this process; its Lease is no object of the cluster, so each write there is for another reason.
struct Controller {
    stop: tokio::sync::oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
    metrics: Metrics,
}

async fn start(follow: &Follow, lease: &Memory) -> Controller {
    let world = line::outside(&follow.running, None).await;
    let clients = Clients {
        cluster: world.cluster,
        mayastor: world.mayastor,
        prometheus: world.prometheus,
        metrics: world.metrics.clone(),
        clock: world.clock,
    };
    let settings = follow.settings();
    let candidate = Candidate::start(lease.clone(), "we_1".to_owned(), couchestor::io::clock::now);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let task = tokio::spawn(async move {
        let stop = async {
            let _ = stopped.await;
        };
        wiring::stand(
            &clients,
            &settings,
            &Arc::new(Health::default()),
            None,
            candidate,
            stop,
        )
        .await;
    });
    Controller {
        stop,
        task,
        metrics: world.metrics,
    }
}

/// All that a controller could have changed.
fn changed(follow: &Follow) -> (usize, String, String) {
    (
        follow.running.kubernetes.requests().writes(),
        done(&follow.running),
        follow.git(&["for-each-ref"]),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_to_lead_and_who_cannot_renew_the_lease_changes_nothing() {
    let follow = Follow::new().await;
    let tier = |name: &str, rank: u32| {
        json!({"apiVersion": "storage.billyronks.io/v1", "kind": "StorageTier", "metadata": {"name": name},
            "spec": {"rank": rank, "poolSelector": {"matchLabels": {"storage-tier": name}}}})
    };
    let assignment = json!({"apiVersion": "storage.billyronks.io/v1", "kind": "TierAssignment",
        "metadata": {"name": "data-0", "namespace": "db"},
        "spec": {"claim": "data-0", "volume": format!("pvc-{UUID}"), "tier": "hot"}});
    for (path, object) in [
        ("p/cold.yaml", tier("cold", 10)),
        ("p/hot.yaml", tier("hot", 100)),
        ("p/assignments/db/data-0.yaml", assignment),
    ] {
        follow.commit(path, &object.to_string(), &[]);
    }
    follow.git(&["config", "core.bare", "true"]);
    follow.source(json!({}));
    follow.running.mayastor.with(|state| state.rebuilds_stall = true);

    let lease = Memory::default();
    lease.renewed_by_another(7);
    let before = changed(&follow);
    let controller = start(&follow, &lease).await;
    // Longer than it would take to lead if nobody did.
    let began = std::time::Instant::now();
    while began.elapsed() < couchestor::ha::LEASE_DURATION + Duration::from_secs(3) {
        lease.renewed_by_another(7);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(
        changed(&follow),
        before,
        "it changed something beside one that leads"
    );
    assert_eq!(controller.metrics.leader.get(), 0);

    // The other one falls silent.
    let phase = || {
        let all = follow.running.kubernetes.list("VolumeMigration");
        let phase = all.first().map(|one| one["status"]["phase"].clone());
        phase.and_then(|phase| phase.as_str().map(str::to_owned))
    };
    let in_phase = async |wanted: &str| {
        let look = async || (phase().as_deref() == Some(wanted)).then_some(());
        follow.found(wanted, PATIENCE, look).await;
    };
    in_phase("WaitSync").await;
    let epoch = lease.with(|kept| kept.record.as_ref().unwrap().epoch);
    assert!(epoch > 7, "{epoch}");

    // Now the Lease is out of reach, and what the move waits for comes.
    lease.with(|kept| kept.out_of_reach = true);
    let look = async || (controller.metrics.leader.get() == 0).then_some(());
    follow.found("the end of its leadership", PATIENCE, look).await;
    let before = changed(&follow);
    follow.running.mayastor.with(|state| state.rebuilds_stall = false);
    let whole = async || {
        follow.running.mayastor.with(|state| {
            let volume = &state.volumes[UUID];
            (volume.copies.len() == 2 && volume.synced().count() == 2).then_some(())
        })
    };
    follow.found("the copy to be whole", PATIENCE, whole).await;
    tokio::time::sleep(couchestor::ha::RENEW_DEADLINE).await;
    assert_eq!(
        changed(&follow),
        before,
        "it changed something after its leadership"
    );
    assert_eq!(phase().as_deref(), Some("WaitSync"));

    lease.with(|kept| kept.out_of_reach = false);
    in_phase("Completed").await;
    assert!(lease.with(|kept| kept.record.as_ref().unwrap().epoch) > epoch);
    let _ = controller.stop.send(());
    controller.task.await.unwrap();
    let holder = lease.with(|kept| kept.record.as_ref().unwrap().holder.clone());
    assert_ne!(holder.as_deref(), Some("we_1"), "it did not give the Lease up");
}
