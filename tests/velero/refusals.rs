//! What Velero makes of objects that `validate` refuses: each is forced past us, fails there with Velero's own words, and stands beside
//! the policy that would have rendered it.

use super::Folder;
use crate::support::objects::{list, text, until};
use crate::support::s3::S3;
use crate::support::{servers, velero};
use serde_json::{Value, json};
use std::time::Duration;

/// The table.
mod cases;

/// What is forced past us.
enum Force {
    /// A Backup, which ends in FailedValidation; the fields of its spec, beside a good location.
    Backup(&'static str),
    /// A Schedule with this cron expression, which ends in FailedValidation.
    Cron(&'static str),
    /// A location, which is Unavailable; fields over a good one's spec.
    Location(&'static str),
    /// An object of Velero's that the API server refuses by its definition: its kind and spec.
    Refused(&'static str, &'static str),
}

/// What `validate` says.
#[derive(Debug)]
enum Found {
    /// An error of this rule: nothing of the commit is applied.
    Refused(&'static str),
    /// A warning of this rule: what is not in Git may still make it right, so the commit is applied.
    Doubted(&'static str),
}

/// One thing that Velero finds out later than we do.
struct Case {
    /// What is wrong.
    wrong: &'static str,
    /// A policy that would render it, as documents beside a good location `good` and, where it is no BackupPolicy, a good policy.
    policy: &'static str,
    /// The rule by which `validate` names it.
    found: Found,
    /// The same past us.
    force: Force,
    /// Velero's words.
    says: &'static [&'static str],
}

/// What else is in the folder: nothing of it is wrong.
const GOOD: &str = "apiVersion: storage.billyronks.io/v1
kind: BackupLocation
metadata: {name: good, namespace: velero}
spec: {bucket: shared, region: none, endpoint: https://s3.example.org, credentials: {name: velero-s3}, default: true}
";

/// What a good policy has, besides what a case writes.
const POLICY: &str = "apiVersion: storage.billyronks.io/v1
kind: BackupPolicy
metadata: {name: p, namespace: velero}
spec:
";

/// The rules of what `validate` finds in a folder, with their severity.
fn findings(folder: &Folder) -> Vec<(String, String)> {
    let output = folder.couchestor(&["validate", "policies/here", "-o", "json"]);
    let said: Vec<Value> = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let part = |one: &Value, pointer: &str| text(one, pointer).to_owned();
    let found: Vec<(String, String)> = said
        .iter()
        .map(|one| (part(one, "/severity"), part(one, "/rule")))
        .collect();
    assert_eq!(
        output.status.code(),
        Some(i32::from(!found.is_empty())),
        "{said:#?}"
    );
    found
}

/// The rules by which `validate` refuses a folder.
fn rules(folder: &Folder) -> Vec<String> {
    let found = findings(folder).into_iter();
    let errors = found.filter(|(severity, _)| severity == "error");
    errors.map(|(_, rule)| rule).collect()
}

/// The folder of a case: a BackupPolicy whose spec is given, or whole documents.
fn folder(policy: &str) -> Folder {
    let whole = policy.contains("kind: ");
    let policy = match whole {
        true => policy.to_owned(),
        false => {
            let indented: Vec<String> = policy.lines().map(|line| format!("  {line}")).collect();
            let mut spec = indented.join("\n");
            for (key, good) in [
                ("location:", "  location: good"),
                ("includedNamespaces:", "  includedNamespaces: [default]"),
                ("schedules:", "  schedules: [{name: s, schedule: 0 2 * * *}]"),
            ] {
                if !indented.iter().any(|line| line.trim_start().starts_with(key)) {
                    spec = format!("{spec}\n{good}");
                }
            }
            format!("{POLICY}{spec}\n")
        }
    };
    let folder = Folder::with(&format!("{GOOD}---\n{policy}"));
    for name in ["velero-s3.sops.yaml", "velero-repo.sops.yaml"] {
        let secret = std::fs::read_to_string(super::root().join("policies/base").join(name)).unwrap();
        folder.write(&format!("policies/here/{name}"), &secret);
    }
    folder
}

#[test]
fn what_is_good_beside_the_cases_is_good() {
    assert_eq!(findings(&folder("volumes: none")), Vec::new());
}

#[test]
fn each_case_is_named_by_its_rule() {
    let mut odd = Vec::new();
    for case in cases::ALL {
        let found = findings(&folder(case.policy));
        let wanted = match case.found {
            Found::Refused(rule) => ("error", rule),
            Found::Doubted(rule) => ("warning", rule),
        };
        if !found
            .iter()
            .any(|(severity, rule)| (severity.as_str(), rule.as_str()) == wanted)
        {
            odd.push(format!(
                "{}: expected {:?}, found {found:?}",
                case.wrong, case.found
            ));
        }
    }
    assert!(odd.is_empty(), "{}", odd.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_case_fails_in_velero() {
    if servers::left_out("each_case_fails_in_velero") {
        return;
    }
    // Of its own: a location of these is a second default one, and Velero would write into the others.
    let velero = velero::alone("velero-refusals");
    let client = velero::admin().await;
    furnish(&velero);
    velero.located(&client, "shared", "Available").await;
    // Schedules and locations are forced at once, and then looked at one by one. Backups queue up: of several that Velero refuses it
    // looks at one a minute.
    let mut odd = Vec::new();
    let mut forced: Vec<(&str, &str, String, &[&str])> = Vec::new();
    for (index, case) in cases::ALL.iter().enumerate() {
        let name = format!("case-{index}");
        let read = |text: &str| -> Value { serde_json::from_str(text).unwrap() };
        let (kind, spec) = match case.force {
            Force::Backup(spec) => {
                let mut whole =
                    json!({"storageLocation": "shared", "includedNamespaces": ["default"], "ttl": "1h"});
                merge(&mut whole, &read(spec));
                ("Backup", whole)
            }
            Force::Cron(cron) => {
                let template = json!({"storageLocation": "shared", "includedNamespaces": ["default"]});
                ("Schedule", json!({"schedule": cron, "template": template}))
            }
            Force::Location(spec) => ("BackupStorageLocation", location(&velero, &read(spec))),
            Force::Refused(kind, spec) => {
                let refused = velero.make(&client, kind, &name, read(spec)).await;
                let words = refused.err().unwrap_or_else(|| "it was taken".to_owned());
                if !case.says.iter().all(|part| words.contains(part)) {
                    odd.push(format!("{}: {words}", case.wrong));
                }
                continue;
            }
        };
        velero.make(&client, kind, &name, spec).await.unwrap();
        match kind {
            "Backup" => odd.extend(judged(&velero, &client, case.wrong, kind, &name, case.says).await),
            _ => forced.push((case.wrong, kind, name, case.says)),
        }
    }
    for (index, (wrong, spec, says)) in cases::SEEN_BY_VELERO_ALONE.iter().enumerate() {
        let (name, spec) = (format!("seen-{index}"), serde_json::from_str(spec).unwrap());
        let kind = "BackupStorageLocation";
        velero
            .make(&client, kind, &name, location(&velero, &spec))
            .await
            .unwrap();
        forced.push((wrong, kind, name, says));
    }
    for (wrong, kind, name, says) in forced {
        odd.extend(judged(&velero, &client, wrong, kind, &name, says).await);
    }
    assert!(odd.is_empty(), "{}", odd.join("\n"));
}

/// Waits for Velero's judgement, and says in which way it is not the one that was expected.
async fn judged(
    velero: &velero::Velero,
    client: &kube::Client,
    wrong: &str,
    kind: &str,
    name: &str,
    says: &[&str],
) -> Option<String> {
    let (expected, judged) = match kind {
        "BackupStorageLocation" => ("Unavailable", "/status/lastValidationTime"),
        _ => ("FailedValidation", "/status/phase"),
    };
    let path = velero.path(&format!("{}s", kind.to_lowercase()), name);
    let over = |one: &Value| {
        !text(one, judged).is_empty()
            && !["New", "Queued", "ReadyToStart", "InProgress"].contains(&text(one, judged))
    };
    let seen = until(client, &path, &format!("Velero judges {wrong}"), over).await;
    let phase = text(&seen, "/status/phase");
    // One error a line, as Velero wrote it.
    let words: Vec<&str> = seen["status"]["validationErrors"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let words = format!("{}{}", words.join("\n"), text(&seen, "/status/message"));
    let as_it_should = phase == expected && says.iter().all(|part| words.contains(part));
    (!as_it_should).then(|| format!("{wrong}: {phase} {words}\n  expected {says:?}"))
}

/// A location in the shared bucket, but for these fields.
fn location(velero: &velero::Velero, spec: &Value) -> Value {
    let mut whole = velero.location("any", "shared", &velero.s3)["spec"].clone();
    merge(&mut whole, spec);
    whole
}

/// What Velero takes, and what we say to it.
#[tokio::test(flavor = "multi_thread")]
async fn good_schedules_are_taken_by_both_and_some_by_the_newest_velero_only() {
    let rules_of = |cron: &str| rules(&folder(&format!("schedules: [{{name: s, schedule: '{cron}'}}]")));
    for cron in cases::TAKEN {
        assert_eq!(rules_of(cron), Vec::<String>::new(), "{cron}");
    }
    for cron in cases::TAKEN_SINCE {
        assert_eq!(rules_of(cron), ["schedule"], "{cron}");
    }
    if servers::left_out("good_schedules_are_taken_by_both_and_some_by_the_newest_velero_only") {
        return;
    }
    let velero = velero::shared();
    let client = velero::admin().await;
    for (index, cron) in cases::TAKEN.iter().chain(cases::TAKEN_SINCE).enumerate() {
        let name = format!("taken-{index}");
        let template =
            json!({"storageLocation": "shared", "includedNamespaces": ["kube-public"], "ttl": "1h"});
        velero
            .make(
                &client,
                "Schedule",
                &name,
                json!({"schedule": cron, "template": template}),
            )
            .await
            .unwrap();
        let enabled = |one: &Value| one["status"]["phase"] == "Enabled";
        until(
            &client,
            &velero.path("schedules", &name),
            &format!("{cron} is Enabled"),
            enabled,
        )
        .await;
    }
}

/// What the cases name: a location that may only be read, ConfigMaps that are no volume policies, a bucket of somebody else.
fn furnish(velero: &velero::Velero) {
    let mut read_only = velero.location("read-only", "shared", &velero.s3);
    read_only["spec"]["accessMode"] = json!("ReadOnly");
    velero.apply(&read_only);
    let policy = |name: &str, data: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": velero.namespace}, "data": data});
    let good = "version: v1\nvolumePolicies:\n- {conditions: {storageClass: [a]}, action: {type: skip}}\n";
    velero.apply(&policy("two-keys", json!({"a": good, "b": good})));
    velero.apply(&policy("wrong-version", json!({"a": good.replace("v1", "v2")})));
    velero.apply(&policy(
        "unknown-field",
        json!({"a": good.replace("storageClass", "storageclasses")}),
    ));
    velero.apply(&policy(
        "unknown-action",
        json!({"a": good.replace("skip", "ignore")}),
    ));
    velero.s3.bucket("elses");
    velero.s3.put("elses", "photos/cat.jpg", "meow");
}

fn merge(into: &mut Value, more: &Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                match value {
                    Value::Null => drop(into.remove(key)),
                    value => merge(into.entry(key.clone()).or_insert(Value::Null), value),
                }
            }
        }
        (into, more) => *into = more.clone(),
    }
}

/// A date that never comes is due for ever: `validate` refuses it, and Velero makes backup after backup, two in the first second. Since Velero
/// asks for days that fit both fields, a Monday that is the 30th of February is such a date too; before, it meant every Monday of that month.
#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_that_never_fires_is_a_storm_of_backups_in_velero() {
    let never = [("0 2 30 2 *", "kube-public"), ("0 2 30 2 1", "kube-node-lease")];
    for (cron, _) in never {
        let wrong = folder(&format!("schedules: [{{name: s, schedule: {cron}}}]"));
        assert_eq!(rules(&wrong), ["schedule"], "{cron}");
    }
    if servers::left_out("a_schedule_that_never_fires_is_a_storm_of_backups_in_velero") {
        return;
    }
    // Of its own: its backups would queue up before those of others.
    let velero = velero::alone("velero-storm");
    let client = velero::admin().await;
    velero.located(&client, "shared", "Available").await;
    for (cron, namespace) in never {
        let template = json!({"storageLocation": "shared", "includedNamespaces": [namespace], "ttl": "1h"});
        let spec = json!({"schedule": cron, "template": template});
        velero.make(&client, "Schedule", namespace, spec).await.unwrap();
    }
    for (cron, namespace) in never {
        let two = |backups: &Value| {
            let items = backups["items"].as_array().into_iter().flatten();
            items
                .filter(|one| one["metadata"]["labels"]["velero.io/schedule-name"] == namespace)
                .count()
                >= 2
        };
        let path = velero.path("backups", "");
        let what = format!("a second backup of {cron}, which never comes");
        until(&client, path.trim_end_matches('/'), &what, two).await;
    }
}

/// A schedule's name becomes a label: one that is too long is Enabled for ever, and no backup is ever made.
#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_whose_name_is_too_long_never_makes_a_backup_in_velero() {
    let long = "n".repeat(64);
    let wrong = folder(&format!("schedules: [{{name: {long}, schedule: 0 2 * * *}}]"));
    assert_eq!(rules(&wrong), ["value"]);
    if servers::left_out("a_schedule_whose_name_is_too_long_never_makes_a_backup_in_velero") {
        return;
    }
    let velero = velero::alone("velero-long");
    let client = velero::admin().await;
    // Due at once.
    let template = json!({"storageLocation": "shared", "includedNamespaces": ["kube-public"]});
    velero
        .make(
            &client,
            "Schedule",
            &long,
            json!({"schedule": "0 2 30 2 *", "template": template}),
        )
        .await
        .unwrap();
    let enabled = |one: &Value| one["status"]["phase"] == "Enabled";
    until(
        &client,
        &velero.path("schedules", &long),
        "it is Enabled",
        enabled,
    )
    .await;
    let began = std::time::Instant::now();
    while !velero.log().contains("must be no more than 63") {
        assert!(
            began.elapsed() < Duration::from_secs(90),
            "Velero does not say why: {}",
            velero.log()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(
        list(&client, velero.path("backups", "").trim_end_matches('/'))
            .await
            .is_empty()
    );
}

/// A lifetime that Go cannot read stops Velero from reading any schedule or backup.
#[tokio::test(flavor = "multi_thread")]
async fn one_ttl_in_days_blinds_velero_to_all_schedules() {
    let wrong = folder("schedules: [{name: s, schedule: 0 2 * * *, ttl: 30d}]");
    assert_eq!(rules(&wrong), ["duration"]);
    if servers::left_out("one_ttl_in_days_blinds_velero_to_all_schedules") {
        return;
    }
    let velero = velero::alone("velero-days");
    let client = velero::admin().await;
    let template =
        |ttl: &str| json!({"storageLocation": "shared", "includedNamespaces": ["kube-public"], "ttl": ttl});
    let schedule = |ttl: &str| json!({"schedule": "0 2 * * *", "template": template(ttl)});
    let enabled = |one: &Value| one["status"]["phase"] == "Enabled";
    velero
        .make(&client, "Schedule", "before", schedule("720h"))
        .await
        .unwrap();
    until(
        &client,
        &velero.path("schedules", "before"),
        "a schedule before it is Enabled",
        enabled,
    )
    .await;
    velero
        .make(&client, "Schedule", "days", schedule("30d"))
        .await
        .unwrap();
    let began = std::time::Instant::now();
    while !velero.log().contains("unknown unit") {
        assert!(
            began.elapsed() < Duration::from_secs(90),
            "Velero does not say why: {}",
            velero.log()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    velero
        .make(&client, "Schedule", "after", schedule("720h"))
        .await
        .unwrap();
    // It is judged as soon as the other one is gone, and not before: its first look comes after Velero has read the list again.
    velero::cluster().kubectl(
        &[
            "delete",
            "schedule.velero.io",
            "days",
            "--namespace",
            velero.namespace,
        ],
        "",
    );
    until(
        &client,
        &velero.path("schedules", "after"),
        "a schedule after it is Enabled",
        enabled,
    )
    .await;
}

/// Of two default locations Velero makes one an ordinary one, against what is in Git; of two places for snapshots of one provider it takes
/// neither, and refuses the backup.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_default_locations_velero_changes_one_and_of_two_places_for_snapshots_it_takes_none() {
    let place = |name: &str| {
        format!(
            "---\napiVersion: velero.io/v1\nkind: VolumeSnapshotLocation\nmetadata: {{name: {name}, namespace: velero}}\nspec: {{provider: aws}}\n"
        )
    };
    let policy = format!(
        "{POLICY}  location: good\n  includedNamespaces: [default]\n  volumes: snapshot-move\n  schedules: [{{name: s, schedule: 0 2 * * *}}]\n"
    );
    let once = folder(&(policy.clone() + &place("one")));
    let twice = folder(&(policy + &place("one") + &place("two")));
    assert_eq!(
        (rules(&once), rules(&twice)),
        (vec![], vec!["volume-method".to_owned()])
    );
    if servers::left_out(
        "of_two_default_locations_velero_changes_one_and_of_two_places_for_snapshots_it_takes_none",
    ) {
        return;
    }
    let velero = velero::alone("velero-defaults");
    let client = velero::admin().await;
    let second = S3::start("access-not-secret", "secret-not-secret", "second");
    for (name, bucket, s3) in [("one", "shared", &velero.s3), ("two", "second", &second)] {
        let mut location = velero.location(name, bucket, s3);
        location["spec"]["default"] = json!(true);
        velero.apply(&location);
    }
    let path = velero.path("backupstoragelocations", "");
    let only_one = |all: &Value| {
        let items = all["items"].as_array().into_iter().flatten();
        items.filter(|one| one["spec"]["default"] == true).count() == 1
    };
    until(
        &client,
        path.trim_end_matches('/'),
        "Velero leaves one default location",
        only_one,
    )
    .await;

    velero.located(&client, "shared", "Available").await;
    for name in ["first", "second"] {
        let spec = json!({"provider": "velero.io/aws", "config": {"region": "none"}});
        velero
            .make(&client, "VolumeSnapshotLocation", name, spec)
            .await
            .unwrap();
    }
    let spec = json!({"storageLocation": "shared", "includedNamespaces": ["default"], "ttl": "1h", "snapshotVolumes": true});
    velero.make(&client, "Backup", "twice", spec).await.unwrap();
    let says: &[&str] = &["more than one possible volume snapshot location"];
    let odd = judged(
        &velero,
        &client,
        "two places for snapshots",
        "Backup",
        "twice",
        says,
    )
    .await;
    assert_eq!(odd, None);
}
