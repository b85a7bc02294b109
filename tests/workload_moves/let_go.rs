//! Old volumes are let go when Git says so and a later backup holds their claims, and not before.

use super::world::{CLAIM, World, text};
use couchestor::io::clock::now;
use serde_json::{Value, json};

const BACKUPS: &str = "apiVersion: storage.billyronks.io/v1
kind: BackupLocation
metadata: {name: s3, namespace: velero}
spec: {bucket: b, region: r, credentials: {name: velero-s3}, default: true}
---
apiVersion: storage.billyronks.io/v1
kind: BackupPolicy
metadata: {name: daily, namespace: velero}
spec:
  location: s3
  includedNamespaces: [shop]
  volumes: fs-backup
  schedules: [{name: backup, schedule: 0 2 * * *, ttl: 720h}]
";

/// A completed backup that began so many seconds from now, and what it holds of the shop.
fn backed_up(world: &World, name: &str, seconds: i64) {
    let at = |seconds: i64| {
        jiff::Timestamp::from_second(now().as_second() + seconds)
            .unwrap()
            .to_string()
    };
    let claim = world.get("PersistentVolumeClaim", CLAIM).unwrap();
    world.put(json!({"apiVersion": "velero.io/v1", "kind": "Backup",
        "metadata": {"name": name, "namespace": "velero", "uid": format!("uid-{name}"), "labels": {"storage.billyronks.io/backup-policy": "daily"}},
        "spec": {"storageLocation": "s3", "includedNamespaces": ["shop"]},
        "status": {"phase": "Completed", "startTimestamp": at(seconds), "completionTimestamp": at(seconds), "expiration": at(9999)}}));
    world.put(json!({"apiVersion": "velero.io/v1", "kind": "PodVolumeBackup",
        "metadata": {"name": format!("{name}-data"), "namespace": "velero",
            "labels": {"velero.io/backup-uid": format!("uid-{name}"), "velero.io/pvc-uid": claim["metadata"]["uid"]},
            "annotations": {"velero.io/pvc-name": CLAIM}},
        "spec": {"pod": {"namespace": "shop", "name": "shop-0"}, "volume": "data", "uploaderType": "kopia"},
        "status": {"phase": "Completed", "snapshotID": "k1", "progress": {"bytesDone": 5, "totalBytes": 5}}}));
}

/// What becomes of a volume after its claim, or that it is gone.
fn policy(world: &World, volume: &str) -> String {
    let found = world.get("PersistentVolume", volume);
    found.map_or("gone".to_owned(), |one: Value| {
        text(&one, "/spec/persistentVolumeReclaimPolicy").to_owned()
    })
}

/// A shop that was moved, with backups; gives its old volume.
async fn moved() -> (World, String) {
    let mut world = World::new().await;
    world.follow.commit("p/backups.yaml", BACKUPS, &[]);
    world.follow.git(&["push", "-q", "origin", "main"]);
    world.turns(1).await;
    let old = text(&world.volume(), "/metadata/name").to_owned();
    world.promote("  keepOldVolumes: true\n");
    world.until(1, "Completed").await;
    (world, old)
}

fn told(world: &World) -> String {
    let rollout = world.get("Rollout", "onto-fast").unwrap();
    text(&rollout, "/status/phases/0/promotion").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_volume_goes_when_git_lets_it_and_a_later_backup_holds_its_claim() {
    let (mut world, old) = moved().await;
    backed_up(&world, "before", -3600);
    world.amend("keepOldVolumes: true", "keepOldVolumes: false");
    world.turns(3).await;
    assert_eq!(policy(&world, &old), "Retain");
    let said = told(&world);
    assert!(
        said.contains("old volumes are kept for now: no backup that holds every volume"),
        "{said}"
    );

    backed_up(&world, "after", 5);
    // Backups are read once a minute, unless a controller begins anew.
    world.restart();
    world.turns(5).await;
    assert_eq!(policy(&world, &old), "gone", "{}", told(&world));
    let one = world.newest().unwrap();
    assert!(!text(&one, "/status/letGoAt").is_empty(), "{one:#}");
    // There is no way back any more, and that is said.
    world.demote();
    world.turns(3).await;
    assert_eq!(world.sim().list("WorkloadMove").len(), 1);
    let said = told(&world);
    assert!(
        said.contains("were let go, so there is nothing to go back to"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_moves_from_starting_keeps_old_volumes_too() {
    let (mut world, old) = moved().await;
    backed_up(&world, "after", 5);
    // From here on nothing but what is said keeps the old volume.
    type Says = fn(&mut couchestor::turn::Source<'_>);
    let rows: [(Says, &str); 4] = [
        (|one| one.limits.dry_run = true, "nothing is let go in a dry run"),
        (|one| one.preserve = true, "preservation mode"),
        (|one| one.moves.paused = Some("holidays".to_owned()), "holidays"),
        (
            |one| {
                one.approvals = Some(couchestor::model::kinds::merges::ApprovalRule {
                    count: 1,
                    from: Vec::new(),
                    head_only: false,
                });
            },
            "lacks approvals that the source demands",
        ),
    ];
    world.says = rows[0].0;
    world.amend("keepOldVolumes: true", "keepOldVolumes: false");
    world.restart();
    for (says, words) in rows {
        world.says = says;
        world.turns(2).await;
        assert_eq!(policy(&world, &old), "Retain", "{words}");
        let said = told(&world);
        assert!(
            said.contains("old volumes are kept for now") && said.contains(words),
            "{words}: {said}"
        );
    }
    // The newest revision cannot be read: it may say otherwise.
    world.follow.commit("p/broken.yaml", "kind: [", &[]);
    world.follow.git(&["push", "-q", "origin", "main"]);
    world.turns(1).await;
    world.says = |_| {};
    world.turns(2).await;
    assert_eq!(policy(&world, &old), "Retain", "a revision that cannot be read");
    world.says = rows[0].0;
    world.follow.git(&["rm", "-q", "p/broken.yaml"]);
    world.follow.git(&["commit", "-q", "-m", "mended"]);
    world.follow.git(&["push", "-q", "origin", "main"]);
    world.turns(2).await;

    // A volume that is not as the move left it stays, and nobody writes that it was let go.
    let mark = "storage.billyronks.io/workload-move";
    let mut volume = world.get("PersistentVolume", &old).unwrap();
    let id = volume["metadata"]["labels"][mark].take();
    assert!(id.is_string(), "{volume:#}");
    volume["metadata"]["labels"][mark] = json!("somebodys");
    world.put(volume);
    world.says = |_| {};
    world.turns(3).await;
    assert_eq!(policy(&world, &old), "Retain");
    let said = told(&world);
    assert!(said.contains("is not as the move left it"), "{said}");
    let one = world.newest().unwrap();
    assert_eq!(text(&one, "/status/letGoAt"), "", "{one:#}");

    let mut volume = world.get("PersistentVolume", &old).unwrap();
    volume["metadata"]["labels"][mark] = id;
    world.put(volume);
    world.turns(3).await;
    assert_eq!(policy(&world, &old), "gone", "{}", told(&world));
    assert!(!text(&world.newest().unwrap(), "/status/letGoAt").is_empty());
}
