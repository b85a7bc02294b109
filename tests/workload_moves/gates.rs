//! Gates of backups under the whole line: a promotion that is merged moves nothing while one of them does not hold, whatever the reason, and
//! a phase is done only when what was moved is backed up and was restored anew.

use super::assert_on;
use super::world::{CLAIM, SECOND, SPACE, World, text};
use crate::support::velero_played::{self, ago, takes};
use couchestor::sim::kubernetes::{On, What};
use serde_json::{Value, json};

const POLICIES: &str = "
apiVersion: storage.billyronks.io/v1
kind: BackupLocation
metadata: {name: s3, namespace: velero}
spec: {bucket: b, region: r, credentials: {name: velero-s3}}
---
apiVersion: storage.billyronks.io/v1
kind: BackupPolicy
metadata: {name: daily, namespace: velero}
spec:
  location: s3
  includedNamespaces: [shop]
  rpo: 26h
  rto: 5m
  schedules: [{name: backup, schedule: 0 2 * * *, ttl: 9000h}]
  drill: {schedule: 0 5 1 1 *, evidenceAge: 8900h}
---
apiVersion: storage.billyronks.io/v1
kind: Rollout
metadata: {name: onto-fast}
spec:
  storageClassName: fast
  phases:
  - name: shops
    workloads: [{namespace: shop}]
    gates:
    - coverage: {policy: daily}
    - rpo: {policy: daily}
    - drill: {policy: daily, within: 200h}
    - rto: {policy: daily}
";

fn velero(world: &World, kind: &str, name: &str) -> Value {
    world.sim().get(kind, Some("velero"), name).unwrap()
}

/// A shop whose claims are old, and a policy that Velero has taken.
async fn furnished() -> World {
    let mut world = World::of_two().await;
    world.says = |source| source.poked = true;
    for claim in [CLAIM, SECOND] {
        made(&world, claim, 1000);
    }
    world.follow.commit("p/rollout.yaml", POLICIES, &[]);
    world.follow.git(&["push", "-q", "origin", "main"]);
    world.turn().await;
    takes(world.sim(), "s3", "daily-backup");
    world
}

/// A Backup of so many hours ago with the volumes of claims as they are now.
fn back_up(world: &World, name: &str, hours: i64, claims: &[(&str, &str)]) {
    let claims: Vec<(&str, &str, &str)> = claims
        .iter()
        .map(|(claim, upload)| (SPACE, *claim, *upload))
        .collect();
    velero_played::back_up(world.sim(), ("daily-backup", name), hours, "Completed", &claims);
}

fn forget(world: &World, backup: &str) {
    world.sim().remove("Backup", Some("velero"), backup);
    for claim in [CLAIM, SECOND] {
        let name = format!("{backup}-{claim}");
        world.sim().remove("PodVolumeBackup", Some("velero"), &name);
    }
}

/// What drills have found, the newest first.
fn drilled(world: &World, drills: Value) {
    let mut policy = velero(world, "BackupPolicy", "daily");
    policy["status"]["drills"] = drills;
    world.put(policy);
}

/// A drill that ended so many hours ago, out of a backup that began an hour before it.
fn drill(hours: i64, volumes: &[&str], seconds: u64) -> Value {
    json!({"id": format!("d{hours}"), "backup": "b", "backupStartedAt": ago(hours + 1), "namespace": SPACE, "startedAt": ago(hours),
        "finishedAt": ago(hours), "passed": true, "restoreSeconds": seconds, "volumes": volumes})
}

const BOTH: [(&str, &str); 2] = [(CLAIM, "Completed"), (SECOND, "Completed")];

/// All of it is proved.
fn proved(world: &World, hours: i64) {
    back_up(world, "good", hours, &BOTH);
    drilled(world, json!([drill(hours, &[CLAIM, SECOND], 60)]));
}

fn location(world: &World, phase: &str) {
    let mut location = velero(world, "BackupStorageLocation", "s3");
    location["status"]["phase"] = json!(phase);
    world.put(location);
}

/// What is broken, how, which gate tells of it, what it says, and how it is mended.
type Row = (&'static str, fn(&World), &'static str, &'static str, fn(&World));

const ROWS: [Row; 10] = [
    (
        "S3 is down",
        |world| location(world, "Unavailable"),
        "coverage",
        "s3",
        |world| location(world, "Available"),
    ),
    (
        "there is no backup any more",
        |world| forget(world, "good"),
        "coverage",
        "no backup holds every volume",
        |world| proved(world, 2),
    ),
    (
        "an upload of the only backup failed",
        |world| {
            forget(world, "good");
            back_up(world, "half", 1, &[(CLAIM, "Completed"), (SECOND, "Failed")]);
        },
        "rpo",
        "no backup holds every volume",
        |world| {
            forget(world, "half");
            proved(world, 2);
        },
    ),
    (
        "the newest whole backup is too old",
        |world| {
            forget(world, "good");
            back_up(world, "old", 27, &BOTH);
        },
        "rpo",
        "older than 26h",
        |world| {
            forget(world, "old");
            proved(world, 2);
        },
    ),
    (
        "nothing was ever restored",
        |world| drilled(world, json!([])),
        "drill",
        "never restored",
        |world| proved(world, 2),
    ),
    (
        "the evidence is expired",
        |world| drilled(world, json!([drill(201, &[CLAIM, SECOND], 60)])),
        "drill",
        "proves something for 200h",
        |world| proved(world, 2),
    ),
    (
        "the last drill failed",
        |world| {
            let mut failed = drill(1, &[CLAIM, SECOND], 60);
            failed["passed"] = json!(false);
            failed["failure"] = json!("job look: it failed");
            drilled(world, json!([failed, drill(2, &[CLAIM, SECOND], 60)]));
        },
        "drill",
        "job look: it failed",
        |world| proved(world, 2),
    ),
    (
        "the last drill restored one claim only",
        |world| drilled(world, json!([drill(2, &[CLAIM], 60)])),
        "rto",
        "did not restore shop/logs-shop-0",
        |world| proved(world, 2),
    ),
    (
        "a restore takes too long",
        |world| drilled(world, json!([drill(2, &[CLAIM, SECOND], 301)])),
        "rto",
        "5m is promised",
        |world| proved(world, 2),
    ),
    (
        "a claim was made anew after the backup",
        |world| made(world, SECOND, 1),
        "coverage",
        "does not hold shop/logs-shop-0",
        |world| made(world, SECOND, 1000),
    ),
];

/// The claim and its volume were made so many hours ago.
fn made(world: &World, claim: &str, hours: i64) {
    let volume = world.volume_of(claim);
    for mut one in [world.get("PersistentVolumeClaim", claim).unwrap(), volume] {
        one["metadata"]["creationTimestamp"] = json!(ago(hours));
        world.put(one);
    }
}

/// The gate of that word, as the Rollout's status has it.
fn gate(world: &World, word: &str) -> Value {
    let rollout = world.get("Rollout", "onto-fast").unwrap();
    let gates = rollout["status"]["phases"][0]["gates"].as_array().cloned();
    let mut gates = gates.unwrap_or_default().into_iter();
    let found = gates.find(|gate| text(gate, "/gate").starts_with(word));
    found.unwrap_or_else(|| panic!("{rollout:#}"))
}

fn state(world: &World) -> String {
    let rollout = world.get("Rollout", "onto-fast").unwrap();
    text(&rollout, "/status/phases/0/state").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merged_promotion_moves_nothing_while_a_gate_does_not_hold_and_is_done_when_what_it_moved_is_proved()
 {
    let mut world = furnished().await;
    proved(&world, 2);
    world.turn().await;
    let mut promoted = false;
    for (what, breaks, word, says, mends) in ROWS {
        for kind in ["coverage", "rpo", "drill", "rto"] {
            assert_eq!(
                gate(&world, kind)["holds"],
                true,
                "before {what}: {:#}",
                gate(&world, kind)
            );
        }
        breaks(&world);
        if !promoted {
            world.promote("");
            promoted = true;
        }
        world.turns(3).await;
        let found = gate(&world, word);
        assert_eq!(found["holds"], false, "{what}: {found:#}");
        assert!(text(&found, "/message").contains(says), "{what}: {found:#}");
        assert!(world.sim().list("WorkloadMove").is_empty(), "{what}");
        assert_eq!(state(&world), "Open", "{what}");
        mends(&world);
        // It is looked at, and does not move yet: the line itself is held up for as long.
        world.says = |source| {
            source.poked = true;
            source.limits.dry_run = true;
        };
        world.turns(2).await;
        world.says = |source| source.poked = true;
    }

    world.until(1, "Completed").await;
    assert_on(&world, "fast", 2, "all of it held");
    world.turns(2).await;
    let open = gate(&world, "coverage");
    assert_eq!(
        (state(&world).as_str(), &open["holds"]),
        ("Open", &json!(false)),
        "{open:#}"
    );
    assert!(
        text(&open, "/message").contains("does not hold shop/data-shop-0"),
        "{open:#}"
    );
    assert!(text(&gate(&world, "drill"), "/message").contains("did not restore"));

    // The night's backup has what was moved, and the drill that follows restores it.
    back_up(&world, "night", 0, &BOTH);
    world.turn().await;
    assert_eq!(gate(&world, "rpo")["holds"], true, "{:#}", gate(&world, "rpo"));
    assert_eq!(state(&world), "Open");
    let mut last = drill(0, &[CLAIM, SECOND], 60);
    last["backupStartedAt"] = json!(ago(0));
    drilled(&world, json!([last]));
    world.turn().await;
    assert_eq!(
        state(&world),
        "Done",
        "{:#}",
        world.get("Rollout", "onto-fast").unwrap()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_is_added_while_a_move_runs_keeps_the_phase_open_until_it_is_proved_too() {
    let mut world = furnished().await;
    proved(&world, 2);
    world.promote("");
    for _ in 0..60 {
        if world.phase() == "Copy" {
            break;
        }
        world.turns(1).await;
    }
    assert_eq!(world.phase(), "Copy", "{:#?}", world.newest());
    world.put(json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "pv-new"},
        "spec": {"storageClassName": "fast", "persistentVolumeReclaimPolicy": "Delete", "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "1Gi"}, "csi": {"driver": "example.org", "volumeHandle": "new"},
            "claimRef": {"namespace": SPACE, "name": "new"}},
        "status": {"phase": "Available"}}));
    world.put(json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "new", "namespace": SPACE},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "fast", "volumeName": "pv-new",
            "resources": {"requests": {"storage": "1Gi"}}},
        "status": {"phase": "Pending"}}));
    world.until(1, "Completed").await;
    // All of the shop's is proved anew, and nothing of the new one.
    back_up(&world, "night", 0, &BOTH);
    let mut last = drill(0, &[CLAIM, SECOND], 60);
    last["backupStartedAt"] = json!(ago(0));
    drilled(&world, json!([last]));
    world.turns(2).await;
    assert_eq!(state(&world), "Open");
    let lacks = gate(&world, "drill");
    assert!(
        text(&lacks, "/message").contains("did not restore shop/new"),
        "{lacks:#}"
    );
    forget(&world, "good");
    world.sim().remove("Backup", Some("velero"), "night");
    back_up(&world, "next", 0, &[BOTH[0], BOTH[1], ("new", "Completed")]);
    let mut last = drill(0, &[CLAIM, SECOND, "new"], 60);
    last["backupStartedAt"] = json!(ago(0));
    drilled(&world, json!([last]));
    world.turns(2).await;
    assert_eq!(
        state(&world),
        "Done",
        "{:#}",
        world.get("Rollout", "onto-fast").unwrap()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn while_backups_cannot_be_read_a_merged_promotion_moves_nothing() {
    let mut world = furnished().await;
    proved(&world, 2);
    world.turn().await;
    let reads = 100_000;
    world.sim().faults().order(
        On::Verb("list".to_owned(), "backups.velero.io".to_owned()),
        reads,
        What::Answer(500),
    );
    world.promote("");
    world.turns(4).await;
    assert!(world.sim().faults().left() < reads, "it was asked for");
    assert!(world.sim().list("WorkloadMove").is_empty());
    let found = gate(&world, "coverage");
    assert_eq!(found["holds"], false, "{found:#}");
    world.sim().faults().clear();
    world.until(1, "Completed").await;
    assert_on(&world, "fast", 2, "they can be read again");
}
