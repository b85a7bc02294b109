//! Restores that are carried out, that do not end, and that are taken back.

use super::player::Velero as Plays;
use super::world::{World, said};
use couchestor::io::cluster::Cluster;
use couchestor::io::velero::Velero;
use serde_json::{Value, json};
use std::time::Duration;

pub(super) const REPLACE: [&str; 5] = ["restore", "run", "database", "--replace", "--yes"];

pub(super) fn policy(world: &World, volume: &str) -> String {
    let found = world.sim.get("PersistentVolume", None, volume);
    let policy = found.map(|one| one["spec"]["persistentVolumeReclaimPolicy"].clone());
    policy.map_or("gone".to_owned(), |policy| policy.as_str().unwrap().to_owned())
}

/// The claim has what the backup holds, the old volume is kept, and all else is as before.
pub(super) fn assert_restored(world: &World, what: &str) {
    assert_eq!(world.data("data-postgres-0"), "restored", "{what}");
    assert_eq!(policy(world, "pvc-old"), "Retain", "{what}");
    let claim = world
        .sim
        .get("PersistentVolumeClaim", Some("database"), "data-postgres-0")
        .unwrap();
    let volume = claim["spec"]["volumeName"].as_str().unwrap();
    assert_eq!(policy(world, volume), "Delete", "{what}: as its class says");
    assert_eq!(claim["metadata"]["labels"], json!({"app": "postgres"}), "{what}");
    world.assert_as_before(what);
}

/// Everything is as if nobody had asked.
pub(super) fn assert_untouched(world: &World, what: &str) {
    assert_eq!(world.data("data-postgres-0"), "old", "{what}");
    assert_eq!(policy(world, "pvc-old"), "Delete", "{what}");
    world.assert_as_before(what);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_gets_what_the_backup_holds_and_its_old_volume_is_kept() {
    let world = World::busy().await;
    let output = world.lives(Plays::Restores, &REPLACE).await;
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert_restored(&world, &text);
    for words in [
        "restored 1 claim of namespace database from backup daily-backup-20261129020000",
        "claim data-postgres-0: 42 bytes",
        "kubectl patch pv pvc-old -p '{\"spec\":{\"persistentVolumeReclaimPolicy\":\"Delete\"}}'",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
    // Asked again it is another restore, from the same backup.
    let output = world.lives(Plays::Restores, &REPLACE).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(world.data("data-postgres-0"), "restored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_comes_back_from_nothing_and_flux_stays_as_it_was_found() {
    for suspended in [false, true] {
        let world = World::bare().await;
        world.put(
            json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": {"name": "database", "namespace": "flux-system"}, "spec": {"suspend": suspended},
            "status": {"inventory": {"entries": [{"id": "database_postgres_apps_StatefulSet", "v": "v1"}]}}}),
        );
        let output = world
            .lives(Plays::Restores, &["restore", "run", "database", "--yes"])
            .await;
        let text = said(&output);
        assert_eq!(output.status.code(), Some(0), "{text}");
        assert_eq!(world.data("data-postgres-0"), "restored", "{text}");
        let flux = world
            .sim
            .get("Kustomization", Some("flux-system"), "database")
            .unwrap();
        assert_eq!(flux["spec"]["suspend"] == true, suspended, "{text}");
        assert!(text.contains("suspending Flux"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_done_without_a_yes_nor_against_a_refusal() {
    let world = World::busy().await;
    for (arguments, words) in [
        (
            &["restore", "run", "database", "--replace"][..],
            "with --yes it is done without asking",
        ),
        (&["restore", "run", "database", "--yes"], "Refused (ClaimExists)"),
        (&["restore", "abort", "nope"], "no restore nope is under way"),
        (
            &[
                "restore",
                "run",
                "database",
                "--replace",
                "--yes",
                "--timeout",
                "soon",
            ],
            "--timeout soon",
        ),
    ] {
        let output = world.couchestor(arguments).await;
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(said(&output).contains(words), "{arguments:?}: {}", said(&output));
        assert_untouched(&world, words);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_fails_has_touched_nothing() {
    for (velero, words) in [
        (Plays::Fails, "PartiallyFailed: 4 of 4 objects, 1 errors"),
        (Plays::LosesAByte, "41 of 41 bytes, the backup has 42"),
    ] {
        let world = World::busy().await;
        let output = world.lives(velero, &REPLACE).await;
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(
            text.contains(words) && text.contains("nothing of the namespace was touched"),
            "{text}"
        );
        assert!(!text.contains("scaling workloads down"), "{text}");
        assert_untouched(&world, words);
    }
}

/// The id of the restore that is under way.
pub(super) fn under_way(world: &World) -> Option<String> {
    let all = world.sim.list("ConfigMap");
    let record = all.iter().find(|one| one["data"]["record.json"].is_string())?;
    Some(
        record["metadata"]["labels"]["storage.billyronks.io/restore"]
            .as_str()?
            .to_owned(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_velero_restores_in_part_says_what_is_suspended_until_it_is_taken_back() {
    let world = World::bare().await;
    world.put(
        json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
        "metadata": {"name": "database", "namespace": "flux-system"}, "spec": {},
        "status": {"inventory": {"entries": [{"id": "database_postgres_apps_StatefulSet", "v": "v1"}]}}}),
    );
    let output = world
        .lives(Plays::Fails, &["restore", "run", "database", "--yes"])
        .await;
    let text = said(&output);
    let id = under_way(&world).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    for words in [
        "PartiallyFailed",
        "Kustomization flux-system/database is suspended",
        &format!("couchestor restore abort {id}"),
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
    let output = world.lives(Plays::Fails, &["restore", "abort", &id]).await;
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("was broken off") && text.contains("what Velero restored stays"),
        "{text}"
    );
    world.assert_as_before("broken off");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_end_in_time_goes_on_later_or_is_taken_back() {
    let world = World::busy().await;
    let output = world
        .lives(Plays::NeverEnds, &[&REPLACE[..], &["--timeout", "1s"]].concat())
        .await;
    let text = said(&output);
    assert!(
        text.contains("has not ended within 1 s: waiting for Velero to restore: InProgress, 1 of 4"),
        "{text}"
    );
    assert!(text.contains("Flux and workloads are as they were."), "{text}");
    let id = under_way(&world).unwrap();
    // Meanwhile no volume of the namespace is moved, and nobody begins another one.
    let cluster = Cluster::from_kubeconfig(&world.sim.kubeconfig()).await.unwrap();
    let state = Velero::of(&cluster).state().await.unwrap();
    assert_eq!(state.restoring, [("database".to_owned(), id.clone())].into());
    let other = world
        .couchestor(&["restore", "run", "database", "--claim", "other", "--yes"])
        .await;
    assert!(
        said(&other).contains(&format!("restore {id} of namespace database is under way")),
        "{}",
        said(&other)
    );
    // Who asks for something else does not go on with it, and nobody does without a yes.
    for (arguments, words) in [
        (
            &["restore", "run", "database", "--yes"][..],
            "was asked for otherwise (database --replace)",
        ),
        (
            &["restore", "run", "database", "--replace"],
            "with --yes it is done without asking",
        ),
    ] {
        let other = world.couchestor(arguments).await;
        assert_eq!(other.status.code(), Some(1), "{arguments:?}");
        assert!(said(&other).contains(words), "{arguments:?}: {}", said(&other));
    }
    let output = world.lives(Plays::Restores, &["restore", "abort", &id]).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_untouched(&world, "taken back");
}

/// Where the restore that is under way is.
pub(super) fn phase(world: &World) -> Option<String> {
    let all = world.sim.list("ConfigMap");
    let record = all.iter().find_map(|one| one["data"]["record.json"].as_str())?;
    let record: Value = serde_json::from_str(record).unwrap();
    Some(record["phase"].as_str()?.to_owned())
}

/// One who waits for pods sees that another takes the restore back, and leaves alone what he does.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_back_beside_a_run_that_waits_stays_back() {
    let world = World::busy().await;
    let beside = async {
        let mut guest = false;
        loop {
            match phase(&world).as_deref() {
                Some("Drain") if guest => break,
                Some(_) if !guest => {
                    world.pod("guest", "data-postgres-0", None);
                    guest = true;
                }
                _ => {}
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let id = under_way(&world).unwrap();
        world.lives(Plays::Restores, &["restore", "abort", &id]).await
    };
    let waits = [&REPLACE[..], &["--timeout", "60s"]].concat();
    let (run, abort) = tokio::join!(world.lives(Plays::Restores, &waits), beside);
    assert_eq!(abort.status.code(), Some(0), "{}", said(&abort));
    assert_eq!(run.status.code(), Some(1), "{}", said(&run));
    assert!(
        said(&run).contains("somebody else goes on with this restore"),
        "{}",
        said(&run)
    );
    world.tick(Plays::Restores);
    assert_untouched(&world, &said(&abort));
}

/// Whoever breaks it off is told what stands.
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_it_with_what_stands() {
    for signal in ["-TERM", "-INT", "-HUP"] {
        let world = World::busy().await;
        let mut command = world.command(&REPLACE);
        let piped = std::process::Stdio::piped;
        let child = command.stdout(piped()).stderr(piped()).spawn().unwrap();
        let id = child.id().unwrap().to_string();
        while phase(&world).as_deref() != Some("Restore") {
            world.tick(Plays::NeverEnds);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let sent = std::process::Command::new("kill").args([signal, &id]).status();
        assert!(sent.unwrap().success());
        let output = child.wait_with_output().await.unwrap();
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{signal}: {text}");
        assert!(
            text.contains("stands at Restore: it was broken off"),
            "{signal}: {text}"
        );
    }
}

/// What anybody else writes into a ConfigMap deletes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_somebody_else_wrote_leads_nobody() {
    for (namespace, id, spoil, words) in [
        ("somebody", "0f3a", json!({}), "claim data-postgres-0 exists"),
        (
            "velero",
            "0f3a",
            json!({"scratch": "kube-system"}),
            "ConfigMap couchestor-restore-0f3a",
        ),
        (
            "velero",
            "0f3a",
            json!({"namespace": "web"}),
            "ConfigMap couchestor-restore-0f3a",
        ),
        ("velero", "0f3b", json!({}), "ConfigMap couchestor-restore-0f3a"),
    ] {
        let world = World::busy().await;
        let mut record = json!({"id": "0f3a", "phase": "CleanUp", "way": "Volumes", "backup": "b", "namespace": "database",
            "scratch": "restore-database-0f3a", "asked": {"namespace": "database"}});
        for (key, value) in spoil.as_object().unwrap() {
            record[key] = value.clone();
        }
        world.put(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "couchestor-restore-0f3a", "namespace": namespace,
            "labels": {"storage.billyronks.io/restore": id, "storage.billyronks.io/restore-of": "database"}},
            "data": {"record.json": record.to_string()}}));
        let output = world.couchestor(&["restore", "run", "database", "--yes"]).await;
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(words), "{words}: {text}");
        assert!(!text.contains("is under way"), "{text}");
    }
    let world = World::busy().await;
    for id in ["0f3a", "0f3b"] {
        world.put(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("couchestor-restore-{id}"), "namespace": "velero",
            "labels": {"storage.billyronks.io/restore": id, "storage.billyronks.io/restore-of": "database"}},
            "data": {"record.json": "{}"}}));
    }
    let output = world.couchestor(&["restore", "run", "database", "--yes"]).await;
    let text = said(&output);
    assert!(
        text.contains("couchestor-restore-0f3a, couchestor-restore-0f3b"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_asked_for_is_touched() {
    let world = World::busy().await;
    world.claim("logs", "pvc-logs");
    world.upload(super::world::BACKUP, "logs", 7);
    world.put(
        json!({"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease",
        "metadata": {"name": "pg", "namespace": "database"}, "spec": {}}),
    );
    world.change("StatefulSet", Some("database"), "postgres", |one| {
        let labels = one["metadata"]["labels"].as_object_mut().unwrap();
        labels.insert("helm.toolkit.fluxcd.io/name".into(), json!("pg"));
        labels.insert("helm.toolkit.fluxcd.io/namespace".into(), json!("database"));
    });
    for (name, claim, suspend) in [
        ("report", "data-postgres-0", false),
        ("rested", "data-postgres-0", true),
        ("archive", "logs", false),
    ] {
        let volumes = json!([{"name": "x", "persistentVolumeClaim": {"claimName": claim}}]);
        world.put(json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name, "namespace": "database"},
            "spec": {"schedule": "0 * * * *", "suspend": suspend, "jobTemplate": {"spec": {"template": {"spec": {"volumes": volumes}}}}}}));
    }
    let archive = world.sim.get("CronJob", Some("database"), "archive");
    let output = world
        .lives(
            Plays::Restores,
            &[&REPLACE[..], &["--claim", "data-postgres-0"]].concat(),
        )
        .await;
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert_restored(&world, &text);
    for words in [
        "CronJob         report                 suspended, and resumed",
        "CronJob         rested                 stays suspended",
        "HelmRelease     database/pg            suspended, and resumed",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
    assert_eq!(
        (world.data("logs"), policy(&world, "pvc-logs")),
        ("old".to_owned(), "Delete".to_owned())
    );
    assert_eq!(world.sim.get("CronJob", Some("database"), "archive"), archive);
    for (name, suspended) in [("report", false), ("rested", true)] {
        let job = world.sim.get("CronJob", Some("database"), name).unwrap();
        assert_eq!(job["spec"]["suspend"] == true, suspended, "{name}");
    }
    let release = world.sim.get("HelmRelease", Some("database"), "pg").unwrap();
    assert_ne!(release["spec"]["suspend"], true, "{text}");
}

/// Somebody who makes the claim anew while it is exchanged keeps what he made.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_appears_meanwhile_is_nobody_s_to_replace() {
    let world = World::busy().await;
    world
        .sim
        .remove("PersistentVolumeClaim", Some("database"), "data-postgres-0");
    world.sim.remove("PersistentVolume", None, "pvc-old");
    world.change("StatefulSet", Some("database"), "postgres", |one| {
        one["spec"]["replicas"] = json!(0)
    });
    world.sim.remove("Pod", Some("database"), "postgres-0");
    world.change("Kustomization", Some("flux-system"), "database", |one| {
        one["spec"]["suspend"] = json!(true)
    });
    let output = world
        .lives(
            Plays::NeverEnds,
            &["restore", "run", "database", "--yes", "--timeout", "1s"],
        )
        .await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    world.claim("data-postgres-0", "pvc-somebody");
    for mut restore in world.sim.list("Restore") {
        restore["status"] = Value::Null;
        world.put(restore);
    }
    let output = world
        .lives(Plays::Restores, &["restore", "run", "database", "--yes"])
        .await;
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("was made by somebody meanwhile"), "{text}");
    let claim = world
        .sim
        .get("PersistentVolumeClaim", Some("database"), "data-postgres-0")
        .unwrap();
    assert_eq!(claim["spec"]["volumeName"], "pvc-somebody");
}
