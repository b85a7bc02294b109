//! Backups, from Velero's objects to the statuses, Events and metrics of policies: through the whole turn, against the simulated servers.

use crate::support::line;
use crate::support::velero_played::{ago, back_up, takes};
use couchestor::formats::sops::Identities;
use couchestor::io::git::{Lease, Repository};
use couchestor::model::ids::CommitId;
use couchestor::model::kinds::policy_source::PolicySourceStatus;
use couchestor::model::rendering::FileChange;
use couchestor::sim::kubernetes::{On, What};
use couchestor::sim::world::Running;
use couchestor::turn::{Memory, Source, World, turn};
use jiff::Timestamp;
use serde_json::{Value, json};

const POLICY: &str = "
apiVersion: storage.billyronks.io/v1
kind: BackupLocation
metadata: {name: s3, namespace: velero}
spec: {bucket: b, region: r, credentials: {name: velero-s3}}
---
apiVersion: storage.billyronks.io/v1
kind: BackupPolicy
metadata: {name: nightly, namespace: velero}
spec:
  location: s3
  includedNamespaces: [db, monitor*]
  rpo: 24h
  schedules: [{name: daily, schedule: 0 2 * * *}]
";

/// A controller of one source whose repository holds one policy, in a cluster with the claims of `policies/world.yaml`.
struct Stage {
    running: Running,
    world: World,
    repository: Repository,
    memory: Memory,
    status: PolicySourceStatus,
    folder: tempfile::TempDir,
}

impl Stage {
    async fn set() -> Self {
        Self::with(POLICY).await
    }

    async fn with(policy: &str) -> Self {
        let running = line::servers().await;
        let kubernetes = &running.kubernetes;
        let all = kubernetes.list("PersistentVolumeClaim").into_iter();
        for mut older in all.chain(kubernetes.list("PersistentVolume")) {
            older["metadata"]["creationTimestamp"] = json!(ago(1000));
            running.kubernetes.put(older).unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let file = FileChange {
            path: "p/backups.yaml".into(),
            content: Some(policy.as_bytes().to_vec()),
        };
        Self {
            repository: line::pushed(folder.path(), vec![file]).await,
            world: line::outside(&running, None).await,
            running,
            memory: Memory::default(),
            status: PolicySourceStatus::default(),
            folder,
        }
    }

    /// Commits another text in the place of the policies.
    async fn commit(&self, text: &str) {
        let bare = self.folder.path().join("repository.git");
        let output = std::process::Command::new("git")
            .arg("--git-dir")
            .arg(bare)
            .args(["rev-parse", "main"])
            .output()
            .unwrap();
        let tip = CommitId(String::from_utf8(output.stdout).unwrap().trim().to_owned());
        let file = FileChange {
            path: "p/backups.yaml".into(),
            content: Some(text.as_bytes().to_vec()),
        };
        let now = couchestor::io::clock::now();
        let lease = Lease::At(tip.clone());
        self.repository
            .push("main", lease, Some(tip), vec![file], "other\n".into(), now)
            .await
            .unwrap();
    }

    /// A turn; `poked` has it look at everything now.
    async fn turn(&mut self, poked: bool) {
        let identities = Identities::parse([]).unwrap();
        let source = Source {
            poked,
            ..line::source(&self.repository, &identities)
        };
        let turned = turn(&self.world, &source, &self.status, &mut self.memory)
            .await
            .unwrap_or_else(|failure| panic!("{failure:?}"));
        assert!(turned.failures.is_empty(), "{:?}", turned.failures);
        self.status.inventory = turned.inventory.or(self.status.inventory.take());
    }

    fn get(&self, kind: &str, name: &str) -> Value {
        self.running.kubernetes.get(kind, Some("velero"), name).unwrap()
    }

    fn put(&self, object: Value) {
        self.running.kubernetes.put(object).unwrap();
    }

    /// What Velero writes when it has looked at what was rendered.
    fn velero_looks(&self) {
        takes(&self.running.kubernetes, "s3", "nightly-daily");
    }

    /// A Backup as Velero makes it of the Schedule, with uploads of the claims.
    fn backup(&self, name: &str, hours: i64, phase: &str, claims: &[(&str, &str)]) {
        let claims: Vec<(&str, &str, &str)> = claims
            .iter()
            .map(|(namespace, claim)| (*namespace, *claim, "Completed"))
            .collect();
        back_up(
            &self.running.kubernetes,
            ("nightly-daily", name),
            hours,
            phase,
            &claims,
        );
    }

    /// The status and the reason of a condition.
    fn condition(&self, kind: &str, name: &str, type_: &str) -> (String, String) {
        let object = self.get(kind, name);
        let conditions = object["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let found = conditions.iter().find(|one| one["type"] == type_);
        let text = |key: &str| found.map_or("absent".to_owned(), |one| one[key].as_str().unwrap().to_owned());
        (text("status"), text("reason"))
    }

    fn ready(&self) -> (String, String) {
        self.condition("BackupPolicy", "nightly", "Ready")
    }

    /// Reasons of Events about the policy. The API server keeps an Event as the core group has it.
    fn events(&self) -> Vec<String> {
        let events = self.running.kubernetes.list("Event.events.k8s.io");
        let ours = events.iter().filter(|event| {
            event["involvedObject"]["kind"] == "BackupPolicy" || event["regarding"]["kind"] == "BackupPolicy"
        });
        let mut reasons: Vec<String> = ours
            .map(|one| one["reason"].as_str().unwrap().to_owned())
            .collect();
        reasons.sort();
        reasons
    }

    fn metric(&self, sample: &str) -> Option<f64> {
        let text = self.world.metrics.text(couchestor::io::clock::now());
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(sample));
        lines.find_map(|rest| rest.strip_prefix(' ')?.parse().ok())
    }

    fn velero_reads(&self) -> usize {
        let all = self.running.kubernetes.requests().all();
        let of_velero = |one: &&couchestor::sim::kubernetes::Request| {
            matches!(one.verb.as_str(), "list" | "get") && one.resource.ends_with(".velero.io")
        };
        all.iter().filter(of_velero).count()
    }
}

fn pair(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

const ALL: [(&str, &str); 3] = [("db", "data-0"), ("db", "data-1"), ("monitoring", "metrics-0")];
const POLICY_LABELS: &str = "{namespace=\"velero\",policy=\"nightly\"}";

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_with_one_uncovered_volume_is_no_backup_and_a_whole_one_makes_the_policy_ready() {
    let mut stage = Stage::set().await;
    stage.turn(false).await;
    assert_eq!(
        stage.ready(),
        pair("False", "LocationUnavailable"),
        "Velero has not looked yet"
    );
    stage.velero_looks();
    stage.turn(true).await;
    assert_eq!(stage.ready(), pair("False", "NeverBackedUp"));
    assert_eq!(
        stage.condition("BackupLocation", "s3", "Available"),
        pair("True", "Available")
    );
    assert_eq!(
        stage.metric(&format!("couchestor_rpo_seconds{POLICY_LABELS}")),
        None,
        "unknown is no number"
    );

    stage.backup("nightly-daily-1", 2, "Completed", &ALL[..2]);
    stage.put(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "metrics-0", "namespace": "monitoring"},
        "spec": {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "metrics-0"}}]},
        "status": {"phase": "Pending"},
    }));
    stage.turn(true).await;
    assert_eq!(stage.ready(), pair("False", "Uncovered"));
    assert_eq!(
        stage.condition("BackupPolicy", "nightly", "Fresh"),
        pair("False", "NothingCovered")
    );
    let newest = stage.get("BackupPolicy", "nightly")["status"]["newest"].clone();
    assert_eq!(
        (&newest["volumes"], &newest["covered"], &newest["bytes"]),
        (&json!(3), &json!(2), &json!(8192))
    );
    assert_eq!(newest["uncovered"][0]["reason"], "PodNotRunning", "{newest}");
    assert!(stage.get("BackupPolicy", "nightly")["status"]["covered"].is_null());
    assert!(
        stage.events().contains(&"Uncovered".to_owned()),
        "{:?}",
        stage.events()
    );
    let unprotected = "couchestor_volume_unprotected{namespace=\"monitoring\",claim=\"metrics-0\",policy=\"nightly\",reason=\"PodNotRunning\"}";
    assert_eq!(stage.metric(unprotected), Some(1.0));

    stage.backup("nightly-daily-2", 1, "Completed", &ALL);
    stage.turn(true).await;
    assert_eq!(stage.ready(), pair("True", "BackedUp"));
    assert_eq!(stage.metric(unprotected), None);
    let lost = stage
        .metric(&format!("couchestor_rpo_seconds{POLICY_LABELS}"))
        .unwrap();
    assert!((3600.0..3900.0).contains(&lost), "{lost}");
    assert_eq!(
        stage.metric(&format!("couchestor_rpo_objective_seconds{POLICY_LABELS}")),
        Some(86_400.0)
    );
    let events = stage.events();

    let writes = stage.running.kubernetes.requests().writes();
    let reads = stage.velero_reads();
    for _ in 0..3 {
        stage.turn(false).await;
    }
    assert_eq!(
        stage.velero_reads(),
        reads,
        "within a minute nothing of Velero is read again"
    );
    stage.running.kubernetes.requests().clear();
    stage.turn(true).await;
    let again = stage
        .running
        .kubernetes
        .requests()
        .count("list", "podvolumebackups.velero.io");
    assert_eq!(
        again, 0,
        "what was uploaded for a backup that ended changes no more"
    );
    assert_eq!(
        stage.running.kubernetes.requests().writes(),
        0,
        "nothing new is nothing written; {writes} before"
    );
    assert_eq!(stage.events(), events, "and nothing told");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_seen_of_velero_is_told_and_stops_no_turn() {
    let mut stage = Stage::set().await;
    stage.turn(false).await;
    stage.velero_looks();
    stage.backup("nightly-daily-1", 1, "Completed", &ALL);
    stage.turn(true).await;
    assert_eq!(stage.ready(), pair("True", "BackedUp"));

    let faults = stage.running.kubernetes.faults();
    faults.order(On::of("list", "backups.velero.io"), 1, What::Answer(500));
    stage.turn(true).await;
    assert_eq!(stage.ready(), pair("False", "VeleroUnreadable"));
    assert_eq!(
        stage.condition("BackupPolicy", "nightly", "Fresh"),
        pair("False", "VeleroUnreadable")
    );
    assert_eq!(
        stage.condition("BackupLocation", "s3", "Available"),
        pair("False", "VeleroUnreadable")
    );
    let known = stage.get("BackupPolicy", "nightly")["status"]["covered"]["name"].clone();
    assert_eq!(known, "nightly-daily-1", "what was known stays known");
    let lost = stage.metric(&format!("couchestor_rpo_seconds{POLICY_LABELS}"));
    assert!(
        lost.is_some_and(|lost| lost >= 3600.0),
        "and grows older: {lost:?}"
    );

    let mut schedule = stage.get("Schedule", "nightly-daily");
    schedule["status"] = json!({"phase": "FailedValidation", "validationErrors": ["invalid schedule: expected exactly 5 fields"]});
    stage.put(schedule);
    stage.turn(true).await;
    assert_eq!(stage.ready(), pair("False", "ScheduleRefused"));
    let conditions = stage.get("BackupPolicy", "nightly")["status"]["conditions"].to_string();
    assert!(conditions.contains("expected exactly 5 fields"), "{conditions}");

    stage
        .running
        .kubernetes
        .remove("CustomResourceDefinition", None, "backups.velero.io");
    stage.turn(true).await;
    assert_eq!(stage.ready(), pair("False", "VeleroMissing"));
}

/// Drills that no clock starts while this runs.
const DRILLED: &str = "  rto: 5m
  drill: {schedule: 0 5 1 1 *, namespaces: [db], evidenceAge: 8900h}
";

#[tokio::test(flavor = "multi_thread")]
async fn metrics_say_what_drills_prove_and_go_with_the_policy() {
    let policy = POLICY.replace(
        "  schedules: [{name: daily, schedule: 0 2 * * *}]\n",
        "  schedules: [{name: daily, schedule: 0 2 * * *, ttl: 9000h}]\n",
    );
    assert_ne!(policy, POLICY);
    let rollout = "---
apiVersion: storage.billyronks.io/v1
kind: Rollout
metadata: {name: onto-mayastor}
spec:
  storageClassName: mayastor
  phases:
  - name: databases
    workloads: [{namespace: db}]
    gates: [{coverage: {policy: nightly}}, {drill: {policy: nightly}}, {rto: {policy: nightly}}]
    soak: 1000h
";
    let mut stage = Stage::with(&format!("{policy}{DRILLED}{rollout}")).await;
    stage.turn(false).await;
    stage.velero_looks();
    stage.backup("nightly-daily-1", 3, "Completed", &ALL);
    stage.turn(true).await;
    let of = |metric: &str| format!("couchestor_{metric}{POLICY_LABELS}");
    let unproved = |reason: &str| {
        format!("couchestor_restore_unproved{{namespace=\"velero\",policy=\"nightly\",reason=\"{reason}\"}}")
    };
    let failing = "couchestor_rollout_gates_failing{rollout=\"onto-mayastor\",phase=\"databases\"}";
    let volumes = |state: &str| {
        format!("couchestor_backup_volumes{{namespace=\"velero\",policy=\"nightly\",state=\"{state}\"}}")
    };
    assert_eq!(stage.metric(&of("last_verified_timestamp")), None);
    assert_eq!(stage.metric(&of("restore_duration_seconds")), None);
    assert_eq!(stage.metric(&volumes("covered")), Some(3.0));
    assert_eq!(stage.metric(&volumes("uncovered")), Some(0.0));
    assert_eq!(stage.metric(failing), Some(2.0), "the drill and the rto gate");

    let drill = |hours: i64, passed: bool, seconds: u64| {
        json!({"id": format!("d{hours}"), "backup": "nightly-daily-1", "backupStartedAt": ago(3), "namespace": "db", "startedAt": ago(hours),
            "finishedAt": ago(hours), "passed": passed, "restoreSeconds": seconds, "volumes": ["data-0", "data-1"], "failure": (!passed).then_some("x")})
    };
    // What drills found, the newest first; when a restore was last proved, how long the last took, why that is no proof, and gates.
    type Found<'a> = (Vec<Value>, Option<i64>, Option<f64>, Option<&'a str>, Option<f64>);
    let rows: [Found; 4] = [
        (vec![], None, None, Some("NeverDrilled"), Some(2.0)),
        (vec![drill(2, true, 42)], Some(2), Some(42.0), None, Some(0.0)),
        (
            vec![drill(1, false, 42), drill(2, true, 50)],
            Some(2),
            Some(42.0),
            Some("DrillFailed"),
            Some(2.0),
        ),
        (
            vec![drill(1, true, 301)],
            Some(1),
            Some(301.0),
            Some("TooSlow"),
            Some(1.0),
        ),
    ];
    for (drills, verified, took, reason, gates) in rows {
        let mut policy = stage.get("BackupPolicy", "nightly");
        policy["status"]["drills"] = json!(drills);
        stage.put(policy);
        stage.turn(true).await;
        let found = stage.metric(&of("last_verified_timestamp"));
        let expected = verified.map(|hours| ago(hours).parse::<Timestamp>().unwrap().as_second() as f64);
        let near = found
            .zip(expected)
            .is_none_or(|(found, expected)| (found - expected).abs() < 120.0);
        assert!(
            near && found.is_some() == expected.is_some(),
            "{reason:?}: {found:?} {expected:?}"
        );
        assert_eq!(stage.metric(&of("restore_duration_seconds")), took, "{reason:?}");
        for word in ["NeverDrilled", "DrillFailed", "TooSlow"] {
            let expected = (reason == Some(word)).then_some(1.0);
            assert_eq!(stage.metric(&unproved(word)), expected, "{word} {reason:?}");
        }
        assert_eq!(stage.metric(failing), gates, "{reason:?}");
    }

    // Of what is in Git no more nothing is shown.
    stage
        .commit("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: db}\n")
        .await;
    stage.turn(true).await;
    let text = stage.world.metrics.text(couchestor::io::clock::now());
    for metric in ["nightly", "onto-mayastor"] {
        assert!(!text.contains(metric), "{metric}: {text}");
    }
}
