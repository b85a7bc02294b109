//! Claims about rollouts: which phase is open, what a gate demands, what a soak remembers, and that what is not known does not hold.

use super::*;
use crate::decide::tests::world::world;
use crate::model::backups::{BackupRules, FoundBackup, Method, Unseen};
use crate::model::coverage::{Gap, Judged, Trouble, Verdict};
use crate::model::desired::{Origin, Resource};
use crate::model::ids::ClaimRef;
use crate::model::kinds::drill::DrillRecord;
use crate::model::observation::{ClusterVolume, Provider, UnboundClaim};
use serde_json::{Value, json};
use std::sync::Arc;

/// What gates demand.
mod gates;

/// What is told, and what is not.
mod told;

const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86_400;

fn at(seconds_ago: i64) -> Timestamp {
    Timestamp::from_second(NOW - seconds_ago).unwrap()
}

fn resource(kind: &str, namespace: Option<&str>, name: &str, spec: &Value) -> Resource {
    let value = json!({
        "apiVersion": "storage.billyronks.io/v1", "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec,
    });
    let origin = Origin {
        path: "p/a.yaml".into(),
        document: 0,
        line: 1,
        places: Arc::default(),
        changed: Vec::new(),
        secret: false,
    };
    Resource {
        value: Arc::new(value),
        origin,
    }
}

/// Claims of `test` and `prod`, a backup policy that holds and drills both, and a rollout of two phases.
struct Scene {
    claims: Vec<ClusterVolume>,
    rollout: Value,
    policy: Value,
    backups: Option<BackupReading>,
    figures: BTreeMap<String, Result<f64, String>>,
    unbound: Vec<UnboundClaim>,
    secret: bool,
    secret_policy: bool,
}

fn bound(namespace: &str, name: &str, class: &str) -> ClusterVolume {
    ClusterVolume {
        name: format!("pv-{namespace}-{name}").into(),
        claim: ClaimRef {
            namespace: namespace.into(),
            name: name.into(),
        },
        claim_labels: BTreeMap::from([("app".to_owned(), name.to_owned())]),
        storage_class: class.to_owned(),
        provider: Provider::Local,
        last_migration: None,
        created: Some(at(30 * DAY)),
        pin: None,
    }
}

fn drilled(namespace: &str, passed: bool, ago: i64, seconds: u64) -> DrillRecord {
    DrillRecord {
        namespace: namespace.into(),
        started_at: at(ago + 600).to_string(),
        finished_at: at(ago).to_string(),
        passed,
        backup_started_at: Some(at(ago + 1200).to_string()),
        volumes: vec!["a".into(), "b".into()],
        restore_seconds: Some(seconds),
        failure: (!passed).then(|| "job checks failed".to_owned()),
        ..DrillRecord::default()
    }
}

fn scene() -> Scene {
    let held = |namespace: &str, name: &str| {
        let claim = ClaimRef {
            namespace: namespace.into(),
            name: name.into(),
        };
        let verdict = Verdict::Covered {
            method: Method::FsBackup,
            bytes: 10,
            snapshot: "s".into(),
        };
        (claim, verdict)
    };
    let covered = Judged {
        backup: FoundBackup {
            name: "daily-1".into(),
            phase: "Completed".into(),
            started: Some(at(3600)),
            ..FoundBackup::default()
        },
        volumes: vec![held("prod", "a"), held("prod", "b"), held("test", "a")],
    };
    let report = PolicyReport {
        rules: Arc::new(BackupRules {
            policy: PolicyKey {
                namespace: "velero".into(),
                name: "daily".into(),
            },
            ..BackupRules::default()
        }),
        in_scope: Vec::new(),
        newest: None,
        covered: Some(covered),
        reading: None,
        uploading: BTreeMap::new(),
        drill: None,
        drills: vec![drilled("test", true, DAY, 120), drilled("prod", true, DAY, 120)],
        trouble: None,
    };
    Scene {
        claims: vec![
            bound("test", "a", "fast"),
            bound("prod", "a", "slow"),
            bound("prod", "b", "fast"),
            bound("other", "a", "slow"),
        ],
        rollout: json!({"storageClassName": "fast", "phases": [
            {"name": "first", "workloads": [{"namespace": "test"}], "gates": [
                {"coverage": {"policy": "daily"}}, {"rpo": {"policy": "daily"}}, {"drill": {"policy": "daily"}},
                {"rto": {"policy": "daily"}}, {"metric": {"name": "alerts", "query": "q", "below": 1.0}},
            ]},
            {"name": "second", "workloads": [{"namespace": "prod"}], "soak": "48h"},
        ]}),
        policy: json!({
            "location": "s3", "includedNamespaces": ["test", "prod"], "volumes": "fs-backup", "rpo": "24h", "rto": "15m",
            "schedules": [{"name": "d", "schedule": "0 2 * * *"}], "drill": {"schedule": "@weekly"},
        }),
        backups: Some(BackupReading {
            at: at(0),
            unseen: None,
            policies: vec![report],
            locations: Vec::new(),
            excluded_namespaces: BTreeSet::new(),
            restoring: Default::default(),
            busy: Vec::new(),
        }),
        figures: BTreeMap::from([("q".to_owned(), Ok(0.0))]),
        unbound: Vec::new(),
        secret: false,
        secret_policy: false,
    }
}

impl Scene {
    fn with(change: impl FnOnce(&mut Self)) -> Self {
        let mut scene = scene();
        change(&mut scene);
        scene
    }

    fn report(&mut self) -> &mut PolicyReport {
        &mut self.backups.as_mut().unwrap().policies[0]
    }

    fn judged(&self, before: &[PhaseStatus], ago: i64) -> Report {
        let mut desired = world().desired;
        let mut rollout = resource("Rollout", None, "r", &self.rollout);
        rollout.origin.secret = self.secret;
        let mut policy = resource("BackupPolicy", Some("velero"), "daily", &self.policy);
        policy.origin.secret = self.secret_policy;
        desired.resources = vec![policy, rollout].into();
        let engine = Err("not asked".to_owned());
        let (classes, none) = (BTreeSet::new(), BTreeMap::new());
        let mut observation = Observation::assemble(at(ago), self.claims.clone(), classes, engine, none);
        observation.figures.clone_from(&self.figures);
        observation.unbound.clone_from(&self.unbound);
        let seen = Seen {
            desired: &desired,
            observation: &observation,
            backups: self.backups.as_ref(),
            now: at(ago),
        };
        let status = RolloutStatus {
            phases: before.to_vec(),
            ..RolloutStatus::default()
        };
        judge(&seen, &BTreeMap::from([("r".to_owned(), status)])).remove(0)
    }

    fn phases(&self) -> Vec<PhaseStatus> {
        self.judged(&[], 0).phases
    }
}

fn states(phases: &[PhaseStatus]) -> Vec<PhaseState> {
    phases.iter().map(|phase| phase.state).collect()
}

#[test]
fn the_first_phase_that_lacks_something_is_open_and_those_after_it_wait() {
    let phases = scene().phases();
    assert_eq!(
        states(&phases),
        [PhaseState::Done, PhaseState::Open],
        "{phases:#?}"
    );
    assert_eq!((phases[1].claims, phases[1].placed), (2, 1));
    assert_eq!(phases[1].waits_for, "prod/a on fast");
    let elsewhere = Scene::with(|scene| scene.claims[0].storage_class = "slow".into());
    let phases = elsewhere.phases();
    assert_eq!(states(&phases), [PhaseState::Open, PhaseState::Waiting]);
    assert_eq!(phases[1].waits_for, "phase first");
    let report = elsewhere.judged(&[], 0);
    assert_eq!(
        report.current().map(|(place, one)| (place, &*one.name)),
        Some((1, "first"))
    );
}

#[test]
fn a_phase_without_claims_is_not_done() {
    let phases = Scene::with(|scene| drop(scene.claims.remove(0))).phases();
    assert_eq!(states(&phases)[0], PhaseState::Open);
    assert_eq!(phases[0].waits_for, "its workloads have no claim");
}

#[test]
fn a_claim_without_a_volume_is_not_on_the_class() {
    let waits = Scene::with(|scene| {
        scene.unbound = vec![UnboundClaim {
            claim: ClaimRef {
                namespace: "test".into(),
                name: "b".into(),
            },
            labels: BTreeMap::new(),
        }];
    });
    let phases = waits.phases();
    assert_eq!((phases[0].claims, phases[0].placed), (2, 1));
    assert!(
        phases[0].waits_for.starts_with("test/b on fast"),
        "{}",
        phases[0].waits_for
    );
}

#[test]
fn a_phase_with_a_class_of_its_own_is_judged_by_that_one() {
    let own = Scene::with(|scene| {
        scene.rollout["phases"][1]["storageClassName"] = json!("slow");
    });
    let report = own.judged(&[], 0);
    assert_eq!((report.phases[0].placed, report.phases[1].placed), (1, 1));
    assert_eq!(report.phases[1].waits_for, "prod/b on slow");
    let classes: Vec<&str> = report.candidates.iter().map(|one| &*one.class).collect();
    assert_eq!(classes, ["fast", "slow"]);
    // What was proved and promoted of one class says nothing of another.
    let common = scene().judged(&[], 0);
    assert_eq!(report.phases[0].fingerprint, common.phases[0].fingerprint);
    assert_ne!(report.phases[1].fingerprint, common.phases[1].fingerprint);
}

#[test]
fn a_selector_takes_the_claims_with_its_labels_only() {
    let chosen = Scene::with(|scene| {
        scene.rollout["phases"][1]["workloads"][0]["selector"] = json!({"matchLabels": {"app": "b"}});
    });
    let phases = chosen.phases();
    assert_eq!((phases[1].claims, phases[1].placed), (1, 1));
    assert_eq!(phases[1].state, PhaseState::Soaking);
}

/// Two phases of which the second soaks: its state at times from now on, the world being as the row says.
#[test]
fn a_soak_counts_without_a_break_and_is_remembered_once_it_is_over() {
    let placed = || Scene::with(|scene| scene.claims[1].storage_class = "fast".into());
    let broken = scene();
    let mut known = Vec::new();
    // Hours, whether all is placed, and the state of the second phase then.
    for (hours, whole, expected) in [
        (0, true, PhaseState::Soaking),
        (47, true, PhaseState::Soaking),
        (48, false, PhaseState::Open),
        (49, true, PhaseState::Soaking),
        (96, true, PhaseState::Soaking),
        (97, true, PhaseState::Done),
        (98, false, PhaseState::Done),
        (99, true, PhaseState::Done),
    ] {
        let mut scene = if whole { placed() } else { self::scene() };
        scene.report().covered.as_mut().unwrap().backup.started = Some(at(-hours * 3600 + 60));
        scene.report().drills = vec![drilled("test", true, -hours * 3600 + 60, 9)];
        known = scene.judged(&known, -hours * 3600).phases;
        assert_eq!(known[1].state, expected, "after {hours} h: {known:#?}");
    }
    // It is done, and what it proved no longer holds: that is told, and nothing after it would open.
    let now = broken.judged(&known, -99 * 3600);
    assert_eq!(now.phases[1].waits_for, "prod/a on fast");
    assert_eq!(now.current(), None);
}

#[test]
fn what_was_proved_before_keeps_later_phases_waiting_while_it_does_not_hold() {
    let done = scene().judged(&[], 0).phases;
    let stale =
        Scene::with(|scene| scene.report().covered.as_mut().unwrap().backup.started = Some(at(2 * DAY)));
    let phases = stale.judged(&done, 0).phases;
    assert_eq!(states(&phases), [PhaseState::Done, PhaseState::Waiting]);
    assert!(
        phases[1].waits_for.starts_with("phase first: rpo velero/daily"),
        "{}",
        phases[1].waits_for
    );
}

#[test]
fn a_phase_that_is_written_anew_begins_anew_and_a_clock_that_went_back_proves_nothing() {
    let placed = Scene::with(|scene| {
        scene.claims[1].storage_class = "fast".into();
        scene.rollout["phases"][0]["gates"] = json!([]);
    });
    let soaked = placed.judged(&placed.judged(&[], 3 * DAY).phases, 0).phases;
    assert_eq!(soaked[1].state, PhaseState::Done);
    let changed = Scene::with(|scene| {
        scene.claims[1].storage_class = "fast".into();
        scene.rollout["phases"][0]["gates"] = json!([]);
        scene.rollout["phases"][1]["soak"] = json!("24h");
    });
    assert_eq!(changed.judged(&soaked, 0).phases[1].state, PhaseState::Soaking);
    let ahead = placed.judged(&[], -3 * DAY).phases;
    let back = placed.judged(&ahead, 0).phases;
    assert_eq!(back[1].state, PhaseState::Soaking);
    assert_eq!(back[1].held_since, Some(at(0).to_string()));
}
