//! Restores that people ask for, by the real binary against the simulated API server, with a Velero that is played.

/// Namespaces, backups, Flux.
mod world;

/// Velero and controllers, played.
mod player;

/// Restores that are carried out.
mod carried_out;

/// What breaks off goes on.
mod broken_off;

use serde_json::{Value, json};
use world::{BACKUP, World, reasons, said};

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_what_would_be_done_to_whom() {
    let world = World::busy().await;
    world.backup("daily-backup-20261129080000", 2);
    let output = world
        .couchestor(&["restore", "plan", "database", "--replace"])
        .await;
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    for words in [
        "Restore of namespace database from backup daily-backup-20261129020000, of policy daily in location s3, started 8 h ago",
        "Newer, and passed over: daily-backup-20261129080000: backup daily-backup-20261129080000 holds no volume of namespace database",
        "data-postgres-0   42 B by fs-backup   pvc-old, openebs-hostpath   postgres-0   given a new volume; the old one is kept",
        "StatefulSet     postgres               scaled to 0, and back to 1",
        "Kustomization   flux-system/database   suspended, and resumed",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
    // Nothing is changed by it.
    assert!(
        world.plan(&["database", "--replace"]).await["refusals"]
            .as_array()
            .unwrap()
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_gone_comes_back_whole_and_its_flux_waits() {
    let world = World::bare().await;
    world.put(
        json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
        "metadata": {"name": "database", "namespace": "flux-system"}, "spec": {"suspend": true},
        "status": {"inventory": {"entries": [{"id": "database_postgres_apps_StatefulSet", "v": "v1"}]}}}),
    );
    world.put(
        json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
        "metadata": {"name": "other", "namespace": "flux-system"}, "spec": {},
        "status": {"inventory": {"entries": [{"id": "other_postgres_apps_StatefulSet", "v": "v1"}]}}}),
    );
    let plan = world.plan(&["database"]).await;
    assert_eq!(reasons(&plan), Vec::<String>::new(), "{plan:#}");
    assert_eq!(plan["way"], "Everything");
    assert_eq!(plan["claims"][0]["fate"], "Created");
    let flux =
        json!([{"kind": "Kustomization", "namespace": "flux-system", "name": "database", "suspended": true}]);
    assert_eq!(plan["flux"], flux);
    assert_eq!(plan["backup"]["name"], BACKUP);
}

/// What is wrong with a world, with what is asked, and how it is refused.
type Row = (&'static str, fn(&World), &'static [&'static str], &'static str);

fn status(world: &World, kind: &str, name: &str, field: &str, value: Value) {
    world.change(kind, Some("velero"), name, |one| {
        one["status"][field] = value.clone()
    });
}

fn upload(world: &World, field: &str, value: Value) {
    status(
        world,
        "PodVolumeBackup",
        &format!("{BACKUP}-data-postgres-0"),
        field,
        value,
    );
}

fn pod_of(world: &World, version: &str, kind: &str) {
    let owner = json!({"apiVersion": version, "kind": kind, "name": "mine"});
    world.pod("mine-1", "data-postgres-0", Some(owner));
}

const ROWS: [Row; 32] = [
    ("it exists", |_| {}, &[], "ClaimExists"),
    ("unknown backup", |_| {}, &["--backup", "nope"], "BackupUnknown"),
    ("unknown policy", |_| {}, &["--policy", "nope"], "NoBackup"),
    (
        "unknown claim",
        |_| {},
        &["--replace", "--claim", "nope"],
        "NotHeld",
    ),
    (
        "failed backup",
        |world| status(world, "Backup", BACKUP, "phase", json!("PartiallyFailed")),
        &["--replace", "--backup", BACKUP],
        "BackupNotCompleted",
    ),
    (
        "no good backup",
        |world| status(world, "Backup", BACKUP, "phase", json!("Failed")),
        &["--replace"],
        "NoBackup",
    ),
    (
        "deleting backup",
        |world| status(world, "Backup", BACKUP, "phase", json!("Deleting")),
        &["--replace", "--backup", BACKUP],
        "BackupDeleting",
    ),
    (
        "expired backup",
        |world| {
            status(
                world,
                "Backup",
                BACKUP,
                "expiration",
                json!("2020-01-01T00:00:00Z"),
            )
        },
        &["--replace", "--backup", BACKUP],
        "BackupExpired",
    ),
    (
        "expiring backup",
        |world| {
            let soon = couchestor::io::clock::now() + jiff::SignedDuration::from_secs(1800);
            status(world, "Backup", BACKUP, "expiration", json!(soon.to_string()));
        },
        &["--replace", "--backup", BACKUP],
        "BackupExpires",
    ),
    (
        "another namespace",
        |world| {
            world.change("Backup", Some("velero"), BACKUP, |one| {
                one["spec"]["includedNamespaces"] = json!(["other"]);
            });
        },
        &["--replace", "--backup", BACKUP],
        "NamespaceNotInBackup",
    ),
    (
        "a failed upload",
        |world| upload(world, "phase", json!("Failed")),
        &["--replace"],
        "NotHeld",
    ),
    (
        "half an upload",
        |world| upload(world, "progress", json!({"bytesDone": 1, "totalBytes": 42})),
        &["--replace"],
        "NotHeld",
    ),
    (
        "no snapshot",
        |world| upload(world, "snapshotID", json!("")),
        &["--replace"],
        "NotHeld",
    ),
    (
        "a claim that was skipped",
        |world| {
            world.claim("logs-postgres-0", "pvc-logs");
            world.change(
                "PersistentVolumeClaim",
                Some("database"),
                "logs-postgres-0",
                |one| {
                    one["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
                },
            );
        },
        &["--replace"],
        "NotHeld",
    ),
    (
        "a claim that is gone and was skipped",
        |world| {
            world.change("BackupPolicy", Some("velero"), "daily", |one| {
                one["status"]["newest"] = json!({"name": BACKUP, "location": "s3", "startedAt": "2026-11-29T02:00:00Z", "phase": "Completed",
                    "volumes": 2, "covered": 1, "exempt": 0, "bytes": 42,
                    "uncovered": [{"namespace": "database", "claim": "gone", "reason": "PodNotRunning", "message": "pod x is Pending"}]});
            });
        },
        &["--replace"],
        "NotHeld",
    ),
    (
        "pods left out",
        |world| {
            world.change("Backup", Some("velero"), BACKUP, |one| {
                one["spec"]["excludedResources"] = json!(["pods"]);
            });
        },
        &["--replace"],
        "PodsNotInBackup",
    ),
    (
        "a volume that is gone",
        |world| drop(world.sim.remove("PersistentVolume", None, "pvc-old")),
        &["--replace"],
        "VolumeGone",
    ),
    (
        "a volume that is being deleted",
        |world| {
            world.change("PersistentVolume", None, "pvc-old", |one| {
                one["metadata"]["deletionTimestamp"] = json!("2026-11-29T02:00:00Z");
            });
        },
        &["--replace"],
        "VolumeGoing",
    ),
    (
        "a volume that Git declares",
        |world| {
            world.change("Kustomization", Some("flux-system"), "database", |one| {
                one["status"] =
                    json!({"inventory": {"entries": [{"id": "_pvc-old__PersistentVolume", "v": "v1"}]}});
            });
        },
        &["--replace"],
        "VolumeFromGit",
    ),
    (
        "no class",
        |world| drop(world.sim.remove("StorageClass", None, "openebs-hostpath")),
        &["--replace"],
        "StorageClassMissing",
    ),
    (
        "no bucket",
        |world| {
            status(
                world,
                "BackupStorageLocation",
                "s3",
                "phase",
                json!("Unavailable"),
            )
        },
        &["--replace"],
        "LocationUnavailable",
    ),
    (
        "no location",
        |world| drop(world.sim.remove("BackupStorageLocation", Some("velero"), "s3")),
        &["--replace"],
        "LocationMissing",
    ),
    (
        "terminating",
        |world| {
            world.change("Namespace", None, "database", |one| {
                one["metadata"]["deletionTimestamp"] = json!("2026-11-29T02:00:00Z");
            });
        },
        &["--replace"],
        "NamespaceTerminating",
    ),
    (
        "a backup runs",
        |world| {
            world.backup("running", 0);
            status(world, "Backup", "running", "phase", json!("InProgress"));
        },
        &["--replace"],
        "BackupRuns",
    ),
    (
        "a restore runs",
        |world| {
            world.put(json!({"apiVersion": "velero.io/v1", "kind": "Restore", "metadata": {"name": "by-hand", "namespace": "velero"},
                "spec": {"includedNamespaces": ["database"]}, "status": {"phase": "InProgress"}}));
        },
        &["--replace"],
        "Busy",
    ),
    (
        "a drill runs",
        |world| {
            world.change("BackupPolicy", Some("velero"), "daily", |one| {
                one["status"]["drill"] = json!({"id": "0f3a", "phase": "Restore", "backup": BACKUP, "location": "s3", "namespace": "database",
                    "scratch": "drill-database-0f3a", "startedAt": "2026-11-29T02:00:00Z"});
            });
        },
        &["--replace"],
        "Busy",
    ),
    (
        "a bare pod",
        |world| world.pod("bare", "data-postgres-0", None),
        &["--replace"],
        "BarePod",
    ),
    (
        "a pod that has ended",
        |world| {
            world.pod("ended", "data-postgres-0", None);
            world.change("Pod", Some("database"), "ended", |one| {
                one["status"]["phase"] = json!("Succeeded")
            });
        },
        &["--replace"],
        "EndedPod",
    ),
    (
        "a StatefulSet that deletes claims",
        |world| {
            world.change("StatefulSet", Some("database"), "postgres", |one| {
                one["spec"]["persistentVolumeClaimRetentionPolicy"] = json!({"whenScaled": "Delete"});
            });
        },
        &["--replace"],
        "ScalingDeletesClaims",
    ),
    (
        "an operator",
        |world| pod_of(world, "postgresql.cnpg.io/v1", "Cluster"),
        &["--replace"],
        "Operator",
    ),
    (
        "a Job",
        |world| pod_of(world, "batch/v1", "Job"),
        &["--replace"],
        "JobRuns",
    ),
    (
        "KEDA",
        |world| {
            world.put(json!({"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "postgres", "namespace": "database"},
                "spec": {"scaleTargetRef": {"kind": "StatefulSet", "name": "postgres"}}}));
        },
        &["--replace"],
        "ScaledByKeda",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_would_silently_restore_nothing_is_refused_by_name() {
    for (what, spoil, arguments, reason) in ROWS {
        let world = World::busy().await;
        spoil(&world);
        let plan = world.plan(&[&["database"], arguments].concat()).await;
        assert_eq!(reasons(&plan), [reason], "{what}: {plan:#}");
        let output = world
            .couchestor(&[&["restore", "plan", "database"], arguments].concat())
            .await;
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{what}: {text}");
        assert!(text.contains(&format!("Refused ({reason}): ")), "{what}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_scaled_is_refused_also_without_pods() {
    let world = World::busy().await;
    world.put(json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "reader", "namespace": "database"},
        "spec": {"template": {"spec": {"volumes": [{"name": "x", "persistentVolumeClaim": {"claimName": "data-postgres-0"}}]}}}}));
    world.change("StatefulSet", Some("database"), "postgres", |one| {
        one["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "acid.zalan.do/v1", "kind": "postgresql", "name": "db", "uid": "u", "controller": true}]);
    });
    let plan = world.plan(&["database", "--replace"]).await;
    assert_eq!(reasons(&plan), ["CannotScale", "Operator"], "{plan:#}");
    assert!(
        plan["refusals"][1]["message"]
            .as_str()
            .unwrap()
            .contains("postgresql/db")
    );
}
