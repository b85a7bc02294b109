//! The alerts and the dashboard in `kubernetes/`: promtool reads every expression, every metric that they name is one that the
//! controller shows, every metric that it shows is used or excused, and each alert is raised by what it is for.

use crate::support::servers;
use couchestor::io::clock;
use couchestor::model::ids::SourceRef;
use couchestor::model::kinds::volume_migration::Phase;
use couchestor::telemetry::{BackupsNow, Metrics, MoveNow, RollbackReason, RolloutNow, Tiered, Unprotected};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Metrics that neither the dashboard nor an alert uses, and why.
const EXCUSED: [(&str, &str); 0] = [];

fn committed(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("kubernetes")
        .join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn dashboard() -> Value {
    serde_json::from_str(&committed("grafana-dashboard.json")).expect("the dashboard is JSON")
}

/// The groups of the PrometheusRule.
fn groups() -> Value {
    let text = committed("monitoring.yaml");
    let documents = text
        .split("\n---\n")
        .filter(|one| one.contains("kind: PrometheusRule"));
    let rules: Vec<Value> = documents
        .map(|one| serde_saphyr::from_str(one).unwrap())
        .collect();
    assert_eq!(rules.len(), 1);
    rules[0]["spec"]["groups"].clone()
}

/// Every expression of the dashboard, with its panel, as Grafana would send it.
fn panels() -> Vec<(String, String)> {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let of = |panel: &Value| {
        let title = panel["title"].as_str().unwrap().to_owned();
        let targets = panel["targets"].as_array().unwrap().clone();
        targets.into_iter().map(move |target| {
            let expression = target["expr"].as_str().unwrap();
            (title.clone(), expression.replace("$__rate_interval", "5m"))
        })
    };
    panels.iter().flat_map(of).collect()
}

fn alerts() -> Vec<(String, String)> {
    let groups = groups();
    let rules = groups.as_array().unwrap().iter();
    let rules = rules.flat_map(|group| group["rules"].as_array().unwrap().clone());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    rules
        .map(|rule| (text(&rule["alert"]), text(&rule["expr"])))
        .collect()
}

/// Runs promtool in a folder that holds the files, JSON being YAML.
fn promtool(arguments: &[&str], files: &[(&str, Value)]) {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content.to_string()).unwrap();
    }
    let output = Command::new(servers::promtool())
        .args(arguments)
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "promtool {arguments:?}:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A controller's metrics after everything that is counted has happened once.
fn shown() -> String {
    let metrics = Metrics::default();
    let (source, now) = (
        SourceRef {
            namespace: "couchestor-system".into(),
            name: "homelab".into(),
        },
        clock::now(),
    );
    metrics.ended("success", "Completed", 60);
    metrics.left_phase(Phase::WaitSync, 50);
    metrics.copied("cold", "hot", 1 << 30);
    metrics.rolled_back(RollbackReason::Timeout);
    metrics.count(&source, |counts| {
        counts.running.push(MoveNow {
            namespace: "db".into(),
            claim: "data-0".into(),
            phase: Phase::WaitSync,
            since: Some(now),
            ratio: Some(0.5),
        });
        counts.left_alone.insert("Resting", 1);
        counts.backups.push(BackupsNow {
            namespace: "velero".into(),
            policy: "nightly".into(),
            covered_at: Some(now),
            allowed_seconds: Some(86_400),
            verified_at: Some(now),
            restore_seconds: Some(60),
            volumes: [("covered", 1), ("exempt", 0), ("uncovered", 1)],
            unprotected: vec![Unprotected {
                namespace: "db".into(),
                claim: "data-0".into(),
                reason: "NotMounted",
            }],
            unproved: Some("DrillFailed"),
        });
        counts.rollouts.push(RolloutNow {
            rollout: "local-disks".into(),
            phase: "monitoring".into(),
            failing: 1,
        });
        let tiers = vec!["hot".to_owned()];
        counts
            .pools
            .insert("nvme-1".into(), Tiered { tiers, replicas: 1 });
    });
    metrics.text(now)
}

/// Names of samples.
fn samples(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split(['{', ' ']).next())
        .map(str::to_owned)
        .collect()
}

/// Names of metrics in an expression: ours start like no function or label does.
fn named(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|one: char| !one.is_ascii_alphanumeric() && one != '_');
    let ours = words.filter(|word| word.starts_with("couchestor_") || word.starts_with("storage_operator_"));
    ours.map(str::to_owned).collect()
}

#[test]
fn the_dashboard_and_the_alerts_name_metrics_that_exist_and_leave_none_out() {
    let there = samples(&shown());
    let mut used = BTreeSet::new();
    for (place, expression) in panels().into_iter().chain(alerts()) {
        let names = named(&expression);
        assert!(!names.is_empty(), "{place} names no metric of ours: {expression}");
        for name in names {
            assert!(there.contains(&name), "{place} names {name}, which nothing shows");
            used.insert(name);
        }
    }
    for name in &there {
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| name.strip_suffix(end))
            .map(|stem| format!("{stem}_bucket"));
        let is_used = used.contains(name) || family.is_some_and(|family| used.contains(&family));
        let excused = EXCUSED.iter().any(|(excused, _)| excused == name);
        assert!(
            is_used != excused,
            "{name}: use it in the dashboard or an alert, or excuse it, and not both"
        );
    }
}

#[test]
fn panels_of_the_dashboard_do_not_lie_on_each_other() {
    let dashboard = dashboard();
    let mut cells = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let at = |side: &str| panel["gridPos"][side].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{} is beyond the edge", panel["title"]);
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(cells.insert((x, y)), "{} lies on another panel", panel["title"]);
            }
        }
    }
}

#[test]
fn promtool_reads_every_alert_and_every_panel() {
    if servers::left_out("promtool on alerts and panels") {
        return;
    }
    let rules: Vec<Value> = panels()
        .into_iter()
        .enumerate()
        .map(|(index, (_, expression))| json!({"record": format!("panel:{index}"), "expr": expression}))
        .collect();
    let panels = json!({"groups": [{"name": "panels", "rules": rules}]});
    let files = [("rules.yml", json!({"groups": groups()})), ("panels.yml", panels)];
    promtool(&["check", "rules", "rules.yml", "panels.yml"], &files);
}

/// What raises an alert: series by the minute, when it is looked, and the labels that it then has beside its severity.
struct Case {
    alert: &'static str,
    series: &'static [(&'static str, &'static str)],
    minute: u32,
    labels: Value,
    severity: &'static str,
}

fn case(
    alert: &'static str,
    severity: &'static str,
    labels: Value,
    minute: u32,
    series: &'static [(&'static str, &'static str)],
) -> Case {
    Case {
        alert,
        series,
        minute,
        labels,
        severity,
    }
}

#[test]
fn each_alert_is_raised_by_what_it_is_for_and_by_nothing_else() {
    if servers::left_out("promtool test rules") {
        return;
    }
    let turns = ("storage_operator_reconcile_total", "0+2x12000");
    let claim = "couchestor_rebuild_progress_ratio{namespace=\"db\", claim=\"data-0\"}";
    let cases = [
        case(
            "CouchestorCordonHeld",
            "warning",
            json!({}),
            6,
            &[("couchestor_cordon_held_seconds", "0 60 120 180 240 300 360")],
        ),
        case(
            "CouchestorMoveStuck",
            "warning",
            json!({"phase": "ScaleUp"}),
            40,
            &[(
                "couchestor_migration_phase_age_seconds{phase=\"ScaleUp\"}",
                "0+60x60",
            )],
        ),
        case(
            "CouchestorCopyStuck",
            "warning",
            json!({"namespace": "db", "claim": "data-0"}),
            40,
            &[(
                "couchestor_rebuild_progress_ratio{namespace=\"db\", claim=\"data-0\"}",
                "0.5+0x60",
            )],
        ),
        case(
            "CouchestorMoveRolledBack",
            "warning",
            json!({"reason": "timeout"}),
            10,
            &[(
                "couchestor_migrations_rolled_back_total{reason=\"timeout\"}",
                "0 0 0 1+0x60",
            )],
        ),
        case(
            "CouchestorMoveNeedsPerson",
            "critical",
            json!({}),
            2,
            &[("couchestor_migrations_needing_person", "1+0x60")],
        ),
        case(
            "CouchestorWorkloadMoveNeedsPerson",
            "critical",
            json!({}),
            2,
            &[("couchestor_workload_moves_needing_person", "1+0x60")],
        ),
        case(
            "CouchestorMovesStopped",
            "warning",
            json!({}),
            2,
            &[("couchestor_moves_stopped", "1+0x60")],
        ),
        case("CouchestorAbsent", "critical", json!({}), 10, &[]),
        case(
            "CouchestorNoLeader",
            "critical",
            json!({}),
            5,
            &[("couchestor_leader", "0+0x60")],
        ),
        case(
            "CouchestorTurnsFail",
            "warning",
            json!({}),
            60,
            &[("couchestor_turns_failed_total", "0+2x100")],
        ),
        case(
            "CouchestorVolumesOffTier",
            "warning",
            json!({}),
            1500,
            &[("couchestor_claims_off_tier", "1+0x1600")],
        ),
        case(
            "CouchestorBackupStale",
            "critical",
            json!({"namespace": "velero", "policy": "nightly"}),
            70,
            &[
                (
                    "couchestor_rpo_seconds{namespace=\"velero\", policy=\"nightly\"}",
                    "0+60x100",
                ),
                (
                    "couchestor_rpo_objective_seconds{namespace=\"velero\", policy=\"nightly\"}",
                    "3600+0x100",
                ),
                (
                    "couchestor_rpo_seconds{namespace=\"velero\", policy=\"web\"}",
                    "0+60x100",
                ),
            ],
        ),
        case(
            "CouchestorNeverBackedUp",
            "critical",
            json!({"namespace": "velero", "policy": "nightly"}),
            1600,
            &[
                (
                    "couchestor_rpo_objective_seconds{namespace=\"velero\", policy=\"nightly\"}",
                    "3600+0x1700",
                ),
                (
                    "couchestor_rpo_objective_seconds{namespace=\"velero\", policy=\"web\"}",
                    "3600+0x1700",
                ),
                (
                    "couchestor_rpo_seconds{namespace=\"velero\", policy=\"web\"}",
                    "60+0x1700",
                ),
            ],
        ),
        case(
            "CouchestorVolumeNeverBackedUp",
            "warning",
            json!({"namespace": "db", "claim": "a", "policy": "archive"}),
            1600,
            &[
                (
                    "couchestor_volume_unprotected{namespace=\"db\", claim=\"a\", policy=\"archive\", reason=\"NeverBackedUp\"}",
                    "1+0x1700",
                ),
                (
                    "couchestor_volume_unprotected{namespace=\"db\", claim=\"a\", policy=\"nightly\", reason=\"NeverBackedUp\"}",
                    "1+0x1700",
                ),
                (
                    "couchestor_rpo_objective_seconds{namespace=\"velero\", policy=\"nightly\"}",
                    "3600+0x1700",
                ),
                // The other policy has had none either, and has an alert for that, which is looked at beside.
                (
                    "couchestor_rpo_seconds{namespace=\"velero\", policy=\"nightly\"}",
                    "60+0x1700",
                ),
            ],
        ),
        case(
            "CouchestorVolumeUnprotected",
            "critical",
            json!({"namespace": "db", "claim": "a", "policy": "nightly", "reason": "NotMounted"}),
            20,
            &[
                (
                    "couchestor_volume_unprotected{namespace=\"db\", claim=\"a\", policy=\"nightly\", reason=\"NotMounted\"}",
                    "1+0x60",
                ),
                (
                    "couchestor_volume_unprotected{namespace=\"db\", claim=\"b\", policy=\"nightly\", reason=\"YoungerThanBackup\"}",
                    "1+0x60",
                ),
            ],
        ),
        case(
            "CouchestorRestoreUnproved",
            "warning",
            json!({"namespace": "velero", "policy": "nightly", "reason": "EvidenceExpired"}),
            90,
            &[
                (
                    "couchestor_restore_unproved{namespace=\"velero\", policy=\"nightly\", reason=\"EvidenceExpired\"}",
                    "1+0x100",
                ),
                (
                    "couchestor_restore_unproved{namespace=\"velero\", policy=\"web\", reason=\"NeverDrilled\"}",
                    "1+0x100",
                ),
            ],
        ),
        case(
            "CouchestorNeverDrilled",
            "warning",
            json!({"namespace": "velero", "policy": "nightly"}),
            11_600,
            &[(
                "couchestor_restore_unproved{namespace=\"velero\", policy=\"nightly\", reason=\"NeverDrilled\"}",
                "1+0x12000",
            )],
        ),
        case(
            "CouchestorRolloutWaits",
            "warning",
            json!({"rollout": "local-disks", "phase": "monitoring"}),
            4400,
            &[
                (
                    "couchestor_rollout_gates_failing{rollout=\"local-disks\", phase=\"monitoring\"}",
                    "2+0x5000",
                ),
                (
                    "couchestor_rollout_gates_failing{rollout=\"other\", phase=\"first\"}",
                    "0+0x5000",
                ),
            ],
        ),
    ];
    let all: BTreeSet<String> = alerts().into_iter().map(|(name, _)| name).collect();
    let tested: BTreeSet<String> = cases.iter().map(|case| case.alert.to_owned()).collect();
    assert_eq!(all, tested, "every alert has its case");
    let rules = groups()[0]["rules"].as_array().unwrap().clone();
    let annotations = |alert: &str| {
        let rule = rules.iter().find(|rule| rule["alert"] == alert).unwrap();
        rule["annotations"]["description"].clone()
    };
    let mut tests = Vec::new();
    for case in &cases {
        let mut series: Vec<Value> = case
            .series
            .iter()
            .map(|(name, values)| json!({"series": name, "values": values}))
            .collect();
        if case.alert != "CouchestorAbsent" {
            series.push(json!({"series": turns.0, "values": turns.1}));
        }
        let raised: Vec<Value> = all
            .iter()
            .map(|name| {
                let expected = match name == case.alert {
                    true => {
                        let mut labels = case.labels.clone();
                        labels["severity"] = case.severity.into();
                        json!([{"exp_labels": labels}])
                    }
                    false => json!([]),
                };
                json!({"eval_time": format!("{}m", case.minute), "alertname": name, "exp_alerts": expected})
            })
            .collect();
        assert!(annotations(case.alert).is_string());
        tests.push(json!({"interval": "1m", "input_series": series, "alert_rule_test": raised}));
    }
    // A copy that goes on, and a controller with nothing to do, raise nothing.
    let none: Vec<Value> = all
        .iter()
        .map(|name| json!({"eval_time": "100m", "alertname": name, "exp_alerts": []}))
        .collect();
    let calm = [
        turns,
        (claim, "0+0.005x200"),
        ("couchestor_cordon_held_seconds", "0+0x200"),
        ("couchestor_leader{pod=\"a\"}", "1+0x200"),
        ("couchestor_leader{pod=\"b\"}", "0+0x200"),
    ];
    let calm: Vec<Value> = calm
        .iter()
        .map(|(name, values)| json!({"series": name, "values": values}))
        .collect();
    tests.push(json!({"interval": "1m", "input_series": calm, "alert_rule_test": none}));
    // The words of alerts are another test's; here it is which ones are raised, so they are taken out.
    let bare: Vec<Value> = rules
        .iter()
        .map(|rule| {
            let mut rule = rule.clone();
            rule.as_object_mut().unwrap().remove("annotations");
            rule
        })
        .collect();
    let files = [
        (
            "rules.yml",
            json!({"groups": [{"name": "couchestor", "rules": bare}]}),
        ),
        (
            "test.yml",
            json!({"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": tests}),
        ),
    ];
    promtool(&["test", "rules", "test.yml"], &files);
}
