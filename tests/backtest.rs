//! `backtest` and every question of the policies against a real Prometheus, with series whose values are known beforehand.

use crate::support::prometheus::{Prometheus, Rates, Recording};
use crate::support::servers;
use couchestor::decide::questions;
use couchestor::io::prometheus as client;
use couchestor::model::desired::{Budgets, Fullness, Measure, Policy, Signal};
use couchestor::model::engine::{EngineState, GIB, Health, Node, Pool, Replica, Volume};
use couchestor::model::ids::VolumeName;
use couchestor::model::observation::{ClusterVolume, Observation, Provider};
use couchestor::model::timeline::Span;
use couchestor::model::week::WeekWindow;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

/// Every question of the policies.
mod asked;

/// 2026-10-01T00:00:00Z.
const MIDNIGHT: i64 = 1_790_812_800;
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// Noon of the second day.
const NOON: i64 = MIDNIGHT + 36 * HOUR;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

const POLICIES: &str = "apiVersion: storage.billyronks.io/v1
kind: StorageTier
metadata: {name: hot}
spec: {rank: 100, poolSelector: {matchLabels: {storage-tier: hot}}, costPerGiBMonth: 0.20}
---
apiVersion: storage.billyronks.io/v1
kind: StorageTier
metadata: {name: cold}
spec:
  rank: 10
  poolSelector: {matchLabels: {storage-tier: cold}}
  costPerGiBMonth: 0.05
  storageClass: {name: mayastor, mayastor: {replicas: 1, fsType: ext4}}
---
apiVersion: storage.billyronks.io/v1
kind: StoragePolicy
metadata: {name: p}
spec:
  highWatermarkIOPS: 500
  lowWatermarkIOPS: 50
  samplingWindow: 1h
  cooldownPeriod: 24h
  sustainedFor: 12h
  storageClassName: mayastor
  tiers: [cold, hot]
  maxConcurrentMigrations: 5
";

/// Eight days: one volume is hot on the third and the fourth, one swings every eight hours, one is idle on a hot pool.
fn eight_days() -> Recording {
    let hot = |at: i64| (2 * DAY + 1..=4 * DAY).contains(&(at - MIDNIGHT));
    let up = |at: i64| (at - MIDNIGHT - 1).rem_euclid(16 * HOUR) < 8 * HOUR;
    Recording {
        first: MIDNIGHT,
        last: MIDNIGHT + 8 * DAY,
        scrape: 60,
        volumes: vec![
            (
                "pvc-1",
                Box::new(move |at| Some(Rates::of(if hot(at) { 2000.0 } else { 200.0 }))),
            ),
            (
                "pvc-2",
                Box::new(move |at| Some(Rates::of(if up(at) { 1000.0 } else { 10.0 }))),
            ),
            ("pvc-3", Box::new(|_| Some(Rates::of(5.0)))),
        ],
    }
}

fn world() -> Observation {
    let names = ["hot", "swing", "idle"];
    let volume = |number: usize, pool: &str, node: &str| Volume {
        uuid: number.to_string(),
        size: 10 * GIB,
        num_replicas: 1,
        created: true,
        busy: false,
        state: Health::Online,
        target_node: Some(node.into()),
        target_state: Some(Health::Online),
        rebuilds: 0,
        replicas: vec![Replica {
            id: format!("r{number}").into(),
            node: node.into(),
            pool: pool.into(),
            state: Health::Online,
            child: Some(Health::Online),
            healthy: Some(true),
            rebuild_progress: None,
        }],
        self_heal: true,
        thin: false,
        snapshots: 0,
        cloned: false,
        affinity_group: None,
        encrypted: false,
        pool_inclusion: BTreeMap::new(),
        node_inclusion: BTreeMap::new(),
        allowed_nodes: Vec::new(),
        obstacle: None,
    };
    let pools =
        [("cold-1", "n1", "cold", 20), ("hot-2", "n2", "hot", 10)].map(|(name, node, tier, used)| Pool {
            name: name.into(),
            node: node.into(),
            labels: BTreeMap::from([("storage-tier".to_owned(), tier.to_owned())]),
            state: Health::Online,
            capacity: 100 * GIB,
            used: used * GIB,
            committed: None,
            cordoned: false,
            encrypted: false,
        });
    let node = |name: &str| Node {
        name: name.into(),
        labels: BTreeMap::new(),
        state: Health::Online,
        cordons: Vec::new(),
        draining: false,
        version: Some("v2.10.1".to_owned()),
    };
    let engine = EngineState {
        volumes: [(1, "cold-1", "n1"), (2, "cold-1", "n1"), (3, "hot-2", "n2")]
            .map(|(number, pool, node)| (number.to_string(), volume(number, pool, node)))
            .into(),
        pools: pools.map(|pool| (pool.name.clone(), pool)).into(),
        nodes: ["n1", "n2"].map(|name| (name.into(), node(name))).into(),
    };
    let seen = names.iter().enumerate().map(|(index, name)| ClusterVolume {
        name: VolumeName(format!("pvc-{}", index + 1)),
        claim: couchestor::model::ids::ClaimRef {
            namespace: "db".to_owned(),
            name: (*name).to_owned(),
        },
        claim_labels: BTreeMap::new(),
        storage_class: "mayastor".to_owned(),
        provider: Provider::Mayastor((index + 1).to_string()),
        last_migration: None,
        created: None,
        pin: None,
    });
    Observation::assemble(
        at(NOON),
        seen.collect(),
        BTreeSet::new(),
        Ok(engine),
        BTreeMap::new(),
    )
}

/// A folder with the policies and the recorded world.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("p")).unwrap();
    std::fs::write(folder.path().join("p/policies.yaml"), POLICIES).unwrap();
    std::fs::write(
        folder.path().join("world.json"),
        serde_json::to_vec(&world()).unwrap(),
    )
    .unwrap();
    folder
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_couchestor"));
    command
        .current_dir(folder)
        .env("HOME", folder)
        .env_remove("PROMETHEUS_URL");
    command
        .args(["backtest", "p", "--observation", "world.json"])
        .args(arguments);
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn seven_days_of_a_real_prometheus_are_replayed() {
    if servers::left_out("seven_days_of_a_real_prometheus_are_replayed") {
        return;
    }
    let (server, folder) = (Prometheus::with(&eight_days()), folder());
    let arguments = [
        "--prometheus-url",
        &server.url,
        "--days",
        "7",
        "--until",
        "2026-10-09T00:00:00Z",
        "--step",
        "1h",
    ];
    let json = run(
        folder.path(),
        &[&arguments[..], &["-o", "json", "--html", "page.html"]].concat(),
    );
    assert!(json.status.success(), "{}", said(&json));
    let report: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        (&report["evaluations"], &report["taken"]),
        (&169.into(), &3.into()),
        "{report}"
    );
    assert!(report["known"].as_f64().unwrap() > 0.999, "{}", report["known"]);
    let begin = MIDNIGHT + DAY;
    let strategy = |index: usize| &report["strategies"][index];
    let moves: Vec<(String, String, i64)> = strategy(0)["moves"]
        .as_array()
        .unwrap()
        .iter()
        .map(|moved| {
            let text = |key: &str| moved[key].as_str().unwrap().to_owned();
            (
                text("claim"),
                text("to"),
                (moved["movedAt"].as_i64().unwrap() - begin) / HOUR,
            )
        })
        .collect();
    // The idle one at once; the hot one when it has been hot for twelve hours; four hours later each. The swinging one never.
    let expected = [("db/idle", "cold", 4), ("db/hot", "hot", 24 + 12 + 4)];
    let expected = expected.map(|(claim, to, hour)| (claim.to_owned(), to.to_owned(), hour));
    assert_eq!(moves, expected, "{}", report["leftAlone"]);
    let flapping = |index: usize| strategy(index)["flapping"].as_array().map(Vec::len);
    assert_eq!([0, 1, 2, 3].map(flapping), [Some(0), Some(0), Some(1), None]);
    assert_eq!(strategy(2)["flapping"][0], "db/swing");
    shares(&report);
    // Twenty GiB on cold and ten on hot: 3.00; after four hours 1.50; from hour forty on 3.00.
    let cost = (4.0 * 3.0 + 36.0 * 1.5 + 128.0 * 3.0) / 168.0;
    let told = strategy(0)["monthlyCost"].as_f64().unwrap();
    assert!((told - cost).abs() < 1e-6, "{told} and not {cost}");
    let page = std::fs::read_to_string(folder.path().join("page.html")).unwrap();
    assert!(
        page.contains("db/swing") && page.matches("<svg").count() == 8,
        "{}",
        page.matches("<svg").count()
    );
    let text = run(folder.path(), &arguments);
    let told = String::from_utf8_lossy(&text.stdout).into_owned();
    for words in [
        "PLAIN WATERMARKS",
        "ORACLE",
        "db/hot",
        "cold → hot",
        "volumes that flap",
        "NotSustained",
        "Load is known for 100.0 %",
    ] {
        assert!(told.contains(words), "{words}\n{told}");
    }
    assert!(
        text.stderr.is_empty(),
        "no bar where nobody sees it: {}",
        said(&text)
    );
    crate::support::say(&told);
}

/// The share of I/O by hand: operations per second, hour by hour.
fn shares(report: &serde_json::Value) {
    let (mut all, mut hot, mut idle) = (0.0, 0.0, 0.0);
    for hour in 0..168 {
        let of_recording = hour + 24;
        let first = if (48..96).contains(&of_recording) {
            2000.0
        } else {
            200.0
        };
        let second = if of_recording % 16 < 8 { 1000.0 } else { 10.0 };
        all += first + second + 5.0;
        idle += 5.0;
        hot += if hour >= 40 { first } else { 0.0 } + if hour < 4 { 5.0 } else { 0.0 };
    }
    // The last hour of a range has one sample less than the hour after a change has more: a hundredth.
    for (index, expected) in [(0, hot / all), (1, idle / all), (3, 1.0)] {
        let told = report["strategies"][index]["hotShare"].as_f64().unwrap();
        assert!(
            (told - expected).abs() < 0.01,
            "strategy {index}: {told} and not {expected}"
        );
    }
    let told = report["operations"].as_f64().unwrap();
    assert!(
        (told / (all * 3600.0) - 1.0).abs() < 0.01,
        "{told} and not {}",
        all * 3600.0
    );
    let share = |index: usize| report["strategies"][index]["hotShare"].as_f64().unwrap();
    assert!((0..3).all(|other| share(3) >= share(other)));
}

#[test]
fn what_cannot_be_replayed_is_said() {
    if servers::left_out("what_cannot_be_replayed_is_said") {
        return;
    }
    let (server, folder) = (Prometheus::with(&eight_days()), folder());
    let url = server.url.as_str();
    let nobody = "http://127.0.0.1:1";
    for (arguments, words) in [
        (&[][..], "give --prometheus-url"),
        (&["--prometheus-url", nobody], "did not answer"),
        (
            &["--prometheus-url", nobody, "-o", "sarif"],
            "only `validate` writes SARIF",
        ),
        (
            &["--prometheus-url", url, "--until", "2020-01-01T00:00:00Z"],
            "has no samples of volume_num_read_ops",
        ),
        (&["--prometheus-url", url, "--step", "1d"], "write 24h"),
        (&["--prometheus-url", url, "--step", "1s"], "between 1m and 24h"),
        (
            &["--prometheus-url", url, "--days", "365", "--step", "1m"],
            "choose a longer --step",
        ),
        (
            &["--prometheus-url", url, "--approval-delay", "soon"],
            "--approval-delay soon",
        ),
    ] {
        let output = run(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains(words), "{arguments:?}: {}", said(&output));
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn an_answer_in_part_is_refused() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // Ends with the test's process; each request gets the same answer.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 8192]);
            let body = r#"{"status":"success","warnings":["a store is away"],"data":{"resultType":"matrix","result":[]}}"#;
            let head = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all((head + body).as_bytes());
        }
    });
    let output = run(folder().path(), &["--prometheus-url", &url, "--days", "1"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(
        said(&output).contains("in part only: a store is away"),
        "{}",
        said(&output)
    );
}
