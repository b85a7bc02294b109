//! The commands against simulated servers that `simulate` starts, and a source that is suspended: what people see.

use super::{POLICIES, command, folder, run, said};
use crate::support::follow::Follow;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// Servers that `simulate` started; they end with this.
pub(super) struct Servers {
    child: Child,
    /// How a command reaches them.
    arguments: Vec<String>,
}

impl Servers {
    pub(super) fn start(folder: &Path) -> Self {
        Self::start_with(folder, "k")
    }

    pub(super) fn start_with(folder: &Path, kubeconfig: &str) -> Self {
        let mut simulate = command(folder, &["simulate", "world.yaml", "--kubeconfig", kubeconfig]);
        let mut child = simulate.stdout(Stdio::piped()).spawn().unwrap();
        let mut arguments = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines().take(3) {
            let line = line.unwrap();
            let (name, value) = line.split_once('=').unwrap();
            let flag = name.to_lowercase().replace('_', "-");
            arguments.extend([format!("--{flag}"), value.to_owned()]);
        }
        Self { child, arguments }
    }

    pub(super) fn run(&self, folder: &Path, arguments: &[&str]) -> Output {
        let mut command = command(folder, arguments);
        command.args(&self.arguments).output().unwrap()
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn shown(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{}", said(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

const LEFT: &str = "Moves that would be proposed: 1
CLAIM       MOVE         HEAT                TO COPY   TAKES   A MONTH   POLICY
db/data-0   cold → hot   6120 IOPS over 1h   40 GiB    -       -         busy
Approved moves that would start: 0
Volumes that are left alone: 3
CLAIM                  TIER   REASON              WHY
db/data-1              cold   BetweenWatermarks   900 IOPS lies between the thresholds
monitoring/metrics-0   -      NoPolicy            no StoragePolicy takes it: none has its StorageClass, and labels that its claim carries
web/uploads            cold   NoData              no samples of iops in the window; it may be unpublished
";

#[test]
fn what_simulate_starts_serves_plan_status_and_backtest() {
    let world = include_str!("../../policies/world.yaml").replace("iops: 1800", "iops: 6120");
    let own = POLICIES.to_owned() + "  signals: [{name: mine, query: up, above: 1}]\n";
    let folder = folder(&[
        ("world.yaml", &world),
        ("p/a.yaml", POLICIES),
        ("own/a.yaml", &own),
    ]);
    let folder = folder.path();
    let servers = Servers::start(folder);

    let planned = servers.run(folder, &["plan", "p", "--record", "w.json"]);
    let head = "Objects that would change: 3
ACTION    OBJECT
created   StorageTier cold
created   StorageTier hot
created   StoragePolicy busy
";
    assert_eq!(shown(&planned, 2), format!("{head}{LEFT}"));
    assert_eq!(String::from_utf8_lossy(&planned.stderr), "wrote w.json\n");
    // The same of what was recorded, without any server.
    let recorded = run(folder, &["plan", "p", "--observation", "w.json"]);
    let head = "Objects are not compared: a recorded observation holds volumes only.\n";
    assert_eq!(shown(&recorded, 2), format!("{head}{LEFT}"));
    let json = run(folder, &["plan", "p", "--observation", "w.json", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_str(&shown(&json, 2)).unwrap();
    assert_eq!(json["objects"], serde_json::Value::Null);
    assert_eq!(json["proposals"][0]["claim"], "db/data-0");
    assert_eq!(json["leftAlone"].as_array().unwrap().len(), 3);
    // What a delivery by pull request would write, into a folder of the repository that has yet to be made.
    std::fs::create_dir(folder.join(".git")).unwrap();
    let deliver = ["plan", "p", "--observation", "w.json", "--deliver"];
    let delivered = shown(&run(folder, &[&deliver[..], &["out/manifests"]].concat()), 2);
    let head = "Files that a pull request would write or remove: 4\n";
    assert!(delivered.starts_with(head), "{delivered}");
    for file in [
        "storagetier.storage.billyronks.io_cold.yaml",
        "StoragePolicy busy",
    ] {
        assert!(delivered.contains(file), "{file}: {delivered}");
    }
    let overlapping = run(folder, &[&deliver[..], &["p/out"]].concat());
    shown(&overlapping, 1);
    assert!(said(&overlapping).contains("overlaps"), "{}", said(&overlapping));
    std::fs::remove_dir(folder.join(".git")).unwrap();
    let one = run(
        folder,
        &["plan", "p", "--observation", "w.json", "--volume", "db/data-0"],
    );
    let one = shown(&one, 2);
    for line in [
        "Claim    db/data-0",
        "iops     6120 IOPS   500 IOPS     5000 IOPS   hot",
        "  40 GiB, 1 of 1 copies",
    ] {
        assert!(one.lines().any(|shown| shown == line), "{line}\n{one}");
    }

    let status = command(folder, &["status", "--kubeconfig", "k"])
        .output()
        .unwrap();
    assert_eq!(shown(&status, 0), "SOURCE   READY   APPLIED   MESSAGE\n");

    let replayed = servers.run(folder, &["backtest", "p", "--days", "1", "--approval-delay", "0"]);
    let replayed = shown(&replayed, 0);
    // Volumes of the simulated cluster are as old as the servers.
    for words in [
        "3 volumes of 4",
        "moves carried out                0 ",
        "TooYoung            25.0 %",
    ] {
        assert!(replayed.contains(words), "{words}\n{replayed}");
    }
    // With one of the two alone nothing is known of moves either.
    let nowhere = "http://127.0.0.1:9";
    for (flag, words) in [
        ("--mayastor-url", "Mayastor could not be read"),
        ("--prometheus-url", "no load is known"),
    ] {
        let mut half = command(folder, &["plan", "p"]);
        let mut arguments = servers.arguments.clone();
        let at = arguments.iter().position(|one| one == flag).unwrap();
        arguments[at + 1] = nowhere.to_owned();
        let half = half.args(arguments).output().unwrap();
        shown(&half, 1);
        assert!(said(&half).contains(words), "{words}\n{}", said(&half));
    }
    // What the environment says of the terminal is no order of ours; a flag is.
    for columns in ["", "wide", "100"] {
        let mut status = command(folder, &["status", "--kubeconfig", "k"]);
        shown(&status.env("COLUMNS", columns).output().unwrap(), 0);
    }
    let wide = ["status", "--kubeconfig", "k", "--columns", "wide"];
    shown(&run(folder, &wide), 2);
    shown(&run(folder, &["status", "--kubeconfig", "k", "-o", "sarif"]), 1);
    shown(
        &run(
            folder,
            &[
                "plan",
                "p",
                "--observation",
                "w.json",
                "--template",
                "t.md",
                "-o",
                "json",
            ],
        ),
        1,
    );
    // Nobody listens there: what nobody saw needs something done, perhaps.
    let mut blind = command(folder, &["plan", "p", "--kubeconfig", "k"]);
    blind.args(["--mayastor-url", nowhere, "--prometheus-url", nowhere]);
    let blind = blind.output().unwrap();
    assert!(
        shown(&blind, 1).contains("created   StorageTier cold"),
        "{}",
        said(&blind)
    );
    let told = String::from_utf8_lossy(&blind.stderr).into_owned();
    assert!(
        told.contains("neither Mayastor nor Prometheus could be read"),
        "{told}"
    );

    let refused = servers.run(folder, &["backtest", "own", "--days", "1"]);
    assert!(
        said(&refused).contains("built-in signals iops, throughput, latency")
            && said(&refused).contains("it was asked: "),
        "{}",
        said(&refused)
    );
    assert_eq!(refused.status.code(), Some(1));

    for (arguments, words) in [
        (
            &["plan", "p", "--record", "no/w.json"][..],
            "no/w.json: No such file",
        ),
        (
            &["plan", "p", "--observation", "no.json"],
            "no.json: No such file",
        ),
        (&["plan", "p", "--observation", "world.yaml"], "world.yaml: "),
        (
            &["plan", "p", "--observation", "w.json", "--volume", "db/no"],
            "no volume is bound to a claim db/no",
        ),
        (
            &["plan", "p", "--observation", "w.json", "--volume", "db"],
            "write NAMESPACE/CLAIM",
        ),
        (&["plan", "p", "--kubeconfig", "p/a.yaml"], "check --kubeconfig"),
        (&["simulate", "no.yaml"], "no.yaml: No such file"),
        (&["simulate", "p/a.yaml"], "p/a.yaml: "),
        (
            &["simulate", "world.yaml", "--kubeconfig", "no/k"],
            "no/k: No such file",
        ),
    ] {
        let output = match arguments.contains(&"no/w.json") {
            true => servers.run(folder, arguments),
            false => run(folder, arguments),
        };
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains(words), "{arguments:?}: {}", said(&output));
    }
}

#[test]
fn simulate_spares_files_of_others_and_names_what_is_wrong_with_a_world() {
    let world = include_str!("../../policies/world.yaml");
    let with = |from: &str, to: &str| {
        assert!(world.contains(from), "{from}");
        world.replacen(from, to, 1)
    };
    let folder = folder(&[
        ("world.yaml", world),
        ("size.yaml", &with("sizeGib: 40", "sizeGib: 99999999999999")),
        ("pool.yaml", &with("capacityGib: ", "capacityGib: 99999999")),
        ("time.yaml", &with("rebuildSeconds: ", "rebuildSeconds: -")),
        ("config", "apiVersion: v1\nkind: Config\n"),
        ("k", ""),
    ]);
    let folder = folder.path();
    for (arguments, words) in [
        (
            &["simulate", "world.yaml", "--kubeconfig", "config"][..],
            "config exists, and `simulate` did not write it; name another file with --kubeconfig",
        ),
        (
            &["simulate", "size.yaml", "--kubeconfig", "k"],
            ": sizeGib is 99999999999999; write at most 1048576",
        ),
        (
            &["simulate", "size.yaml", "--kubeconfig", "k"],
            "size.yaml: volume ",
        ),
        (
            &["simulate", "pool.yaml", "--kubeconfig", "k"],
            ": capacityGib is ",
        ),
        (
            &["simulate", "time.yaml", "--kubeconfig", "k"],
            "time.yaml: rebuildSeconds: ",
        ),
    ] {
        let output = run(folder, arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains(words), "{arguments:?}: {}", said(&output));
    }
    let held = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    assert_eq!(held("config"), "apiVersion: v1\nkind: Config\n");
    // An empty file holds nothing, and its own file is written again.
    drop(Servers::start(folder));
    let first = held("k");
    drop(Servers::start(folder));
    assert!(first.contains("current-context: sim") && held("k") != first);
}

#[test]
fn the_demo_ends_its_controller_in_order() {
    let folder = folder(&[]);
    let output = run(folder.path(), &["demo", "--keep", "kept"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}", said(&output));
    assert!(
        told.contains("the controller was asked to stop, and stopped after "),
        "{told}"
    );
    let log = std::fs::read_to_string(folder.path().join("kept/controller.log")).unwrap();
    assert!(log.contains("stopping; what is under way goes on"), "{log}");
    let again = run(folder.path(), &["demo", "--keep", "kept"]);
    assert!(said(&again).contains("kept is not empty"), "{}", said(&again));
}

#[test]
fn a_demo_that_is_ended_leaves_no_controller_and_no_folder() {
    let folder = folder(&[("tmp/kept", "")]);
    let temporary = folder.path().join("tmp");
    let mut demo = command(folder.path(), &["demo", "--step"]);
    demo.env("TMPDIR", &temporary).stdin(Stdio::piped());
    let mut child = demo
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It stays open: at its end the demo would go on.
    let _entered = child.stdin.take();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("1. A person commits")));
    let kill = Command::new("kill")
        .arg("-TERM")
        .arg(child.id().to_string())
        .status();
    assert!(kill.unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(
        said(&output).contains("was ended by SIGTERM"),
        "{}",
        said(&output)
    );
    let left: Vec<_> = std::fs::read_dir(&temporary)
        .unwrap()
        .map(|one| one.unwrap().file_name())
        .collect();
    assert_eq!(left, ["kept"]);
    // The controller was started with files of that folder.
    let needle = temporary.to_str().unwrap();
    let running = std::fs::read_dir("/proc").unwrap().filter(|process| {
        let line = std::fs::read(process.as_ref().unwrap().path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(needle)
    });
    assert_eq!(running.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_source_applies_nothing_until_it_is_resumed() {
    let mut follow = Follow::new().await;
    let kubeconfig = follow.folder.path().join("k");
    std::fs::write(&kubeconfig, follow.running.kubernetes.kubeconfig()).unwrap();
    let home = tempfile::tempdir().unwrap();
    let status = || {
        let arguments = ["status", "--kubeconfig", kubeconfig.to_str().unwrap()];
        run(home.path(), &arguments)
    };
    let map = |name: &str| {
        super::MAP
            .replace("name: a", &format!("name: {name}"))
            .replace("namespace: b", "namespace: db")
    };
    let there = |follow: &Follow, name: &str| {
        follow
            .running
            .kubernetes
            .get("ConfigMap", Some("db"), name)
            .is_some()
    };
    let first = follow.commit("p/a.yaml", &map("a"), &[]);
    follow.source(serde_json::json!({}));
    follow.run().await;
    follow.until("Ready", &["True", &first]).await;
    assert_eq!(status().status.code(), Some(0));

    follow.source(serde_json::json!({"suspend": true}));
    follow
        .until("Ready", &["True/Suspended: spec.suspend is true"])
        .await;
    let second = follow.commit("p/b.yaml", &map("b"), &[]);
    follow.turns(3).await;
    assert!(!there(&follow, "b"), "suspended");
    let told = status();
    assert!(said(&told).contains("spec.suspend is true"), "{}", said(&told));

    follow.source(serde_json::json!({"suspend": false}));
    follow.until("Ready", &["True", &second]).await;
    assert!(there(&follow, "a") && there(&follow, "b"));
    follow.halt().await;
}

#[test]
fn a_template_is_tried_before_it_is_committed() {
    let world = include_str!("../../policies/world.yaml").replace("iops: 1800", "iops: 6120");
    let files = [
        ("world.yaml", world.as_str()),
        ("p/a.yaml", POLICIES),
        (
            "ours.md",
            "# We ask: {{ summary }}\n\n{% for one in moves %}{{ one.claim }}, {{ one.observed }}{% endfor %}\n",
        ),
        ("wrong.md", "# {{ summary }}\n\n{{ nobody }}\n"),
    ];
    let folder = folder(&files);
    let folder = folder.path();
    let servers = Servers::start(folder);
    shown(&servers.run(folder, &["plan", "p", "--record", "w.json"]), 2);
    let with = |template: &str| {
        run(
            folder,
            &["plan", "p", "--observation", "w.json", "--template", template],
        )
    };
    let said = shown(&with("ours.md"), 0);
    assert!(said.contains("We ask: Move db/data-0 from cold to hot"), "{said}");
    assert!(said.contains("db/data-0, 6120 IOPS"), "{said}");
    // What is printed as the built-in one says what the built-in one says.
    let built_in = shown(&run(folder, &["schema", "--template"]), 0);
    std::fs::write(folder.join("built-in.md"), &built_in).unwrap();
    let said = shown(&with("built-in.md"), 0);
    assert!(
        said.contains("Move db/data-0 from cold to hot") && said.contains("| `db/data-0` |"),
        "{said}"
    );
    let wrong = with("wrong.md");
    let words = super::said(&wrong);
    assert!(words.contains("wrong.md:3: undefined value"), "{words}");
    assert_eq!(wrong.status.code(), Some(1), "{words}");
}
