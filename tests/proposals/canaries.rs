//! What was encrypted in policies, tiers and assignments comes out nowhere, whatever becomes of a proposal: canaries are planted
//! there, the controller goes through the life of proposals, and everything that it has written is searched.

use super::followed::{PATIENCE, VOLUMES, moves, proposal, source};
use super::life::client;
use crate::forges::world::World;
use crate::support::canary::Canary;
use crate::support::follow::Follow;
use crate::support::say;
use crate::support::seal::Sealer;
use couchestor::io::git::{Lease, Signature};
use couchestor::model::decision::span;
use couchestor::model::rendering::FileChange;
use couchestor::sim::forge::MergeBy;
use couchestor::sim::prometheus::Load;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::io::Write;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The claim monitoring/metrics-0 stays on its node's disk: what its assignment says is read, and moves nothing.
const LOCAL: &str = "p/assignments/monitoring/metrics-0.yaml";

/// All that is logged while these tests run, also by others.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What is planted.
struct Planted {
    /// Thresholds, prices, a name and a query.
    canaries: Vec<Canary>,
    /// Times in seconds, of nine digits each.
    times: Vec<u64>,
    sealer: Sealer,
}

impl Planted {
    fn new() -> Self {
        let mut canaries: Vec<Canary> = (0..8).map(|_| Canary::new()).collect();
        canaries.sort_by_key(|canary| canary.number);
        Self {
            canaries,
            times: (0..8)
                .map(|_| fastrand::u64(100_000_000..1_000_000_000))
                .collect(),
            sealer: Sealer::new(),
        }
    }

    fn number(&self, at: usize) -> u64 {
        self.canaries[at].number
    }

    fn time(&self, at: usize) -> String {
        format!("{}s", self.times[at])
    }

    fn sealed(&self, kind: &str, metadata: Value, spec: Value) -> String {
        let object = json!({"apiVersion": "storage.billyronks.io/v1", "kind": kind, "metadata": metadata, "spec": spec});
        self.sealer.yaml(&object.to_string())
    }

    fn tier(&self, name: &str, rank: u32, price: usize) -> String {
        let spec = json!({"rank": rank, "costPerGiBMonth": self.number(price),
            "poolSelector": {"matchLabels": {"storage-tier": name}}});
        self.sealed("StorageTier", json!({"name": name}), spec)
    }

    /// The policy that moves volumes, by a signal of its own name beside one that has a name here; its second version has another
    /// threshold.
    fn policy(&self, above: usize) -> String {
        let query = "sum by (pv_name) (rate(volume_num_read_ops[$window])) + sum by (pv_name) (rate(volume_num_write_ops[$window]))";
        let (above, below) = (self.number(above), self.number(0));
        let spec = json!({
            "tiers": ["cold", "hot"],
            "signals": [
                {"name": self.canaries[1].word, "query": query, "above": above, "below": below},
                {"name": "iops", "above": above, "below": below},
            ],
            "samplingWindow": self.time(0), "cooldownPeriod": self.time(1),
        });
        self.sealed("StoragePolicy", json!({"name": "tiering"}), spec)
    }

    /// One that asks what Prometheus does not understand, and quotes.
    fn own(&self) -> String {
        let word = &self.canaries[1].word;
        let spec = json!({
            "tiers": ["cold", "hot"], "storageClassName": "other",
            "signals": [{"name": word, "query": format!("nothing_{}", word.replace('-', "_")), "above": self.number(4), "below": 1}],
            "minVolumeAge": self.time(2), "samplingWindow": self.time(3),
        });
        self.sealed("StoragePolicy", json!({"name": "own"}), spec)
    }

    fn assignment(&self, volume: &str) -> String {
        let decision = json!({"policy": "tiering", "from": "cold", "signal": "iops", "value": self.number(5),
            "watermark": self.number(6), "window": self.time(4)});
        let spec = json!({"claim": "metrics-0", "volume": volume, "tier": "hot", "decision": decision});
        let metadata = json!({"name": "metrics-0", "namespace": "monitoring"});
        self.sealed("TierAssignment", metadata, spec)
    }

    /// Lines that say any of it.
    fn leaks(&self, text: &str) -> Vec<String> {
        let price = |gibs: f64| (self.number(3) as f64 - self.number(2) as f64) * gibs;
        let mut times: Vec<String> = Vec::new();
        for seconds in &self.times {
            times.extend([seconds.to_string(), span(*seconds)]);
        }
        times.push(format!("{:.0}", price(40.0).abs()));
        let is_in = |line: &&str| {
            self.canaries.iter().any(|canary| canary.is_in(line))
                || times.iter().any(|time| line.contains(time))
        };
        let mut leaks: Vec<String> = text.lines().filter(is_in).map(str::to_owned).collect();
        // In one piece too: base64 may be broken over lines.
        let joined: String = text.split_whitespace().collect();
        if leaks.is_empty() && self.canaries.iter().any(|canary| canary.is_in(&joined)) {
            leaks.push("broken over several lines".to_owned());
        }
        leaks
    }
}

struct Stage {
    world: World,
    follow: Follow,
    planted: Planted,
}

impl Stage {
    async fn set(world: World) -> Self {
        let (follow, planted) = (Follow::new().await, Planted::new());
        let stage = Self {
            world,
            follow,
            planted,
        };
        let planted = &stage.planted;
        let volumes = stage.follow.running.kubernetes.list("PersistentVolume");
        let local = volumes
            .iter()
            .find(|one| one["spec"]["claimRef"]["name"] == "metrics-0")
            .unwrap()["metadata"]["name"]
            .as_str()
            .unwrap();
        for (path, text) in [
            ("p/cold.yaml", planted.tier("cold", 10, 2)),
            ("p/hot.yaml", planted.tier("hot", 100, 3)),
            ("p/policy.yaml", planted.policy(4)),
            ("p/own.yaml", planted.own()),
            (LOCAL, planted.assignment(local)),
        ] {
            stage.push("main", path, &text).await;
        }
        source(
            &stage.world,
            &stage.follow,
            json!({"plans": {"commands": {"from": ["ann"]}}}),
        );
        stage
            .follow
            .secret("keys", json!({"k.agekey": stage.planted.sealer.key}));
        let kubernetes = &stage.follow.running.kubernetes;
        let mut object = kubernetes
            .get("PolicySource", Some("couchestor-system"), "homelab")
            .unwrap();
        object["spec"]["decryption"] = json!({"secretRef": {"name": "keys"}});
        stage.follow.put(object);
        stage
    }

    async fn push(&self, branch: &str, path: &str, content: &str) {
        let folder = tempfile::tempdir().unwrap();
        let person = client(&self.world, &folder, "person");
        let tips = person.fetch_all().await.unwrap().branches;
        let (lease, parent) = match tips.get(branch) {
            Some(tip) => (Lease::At(tip.clone()), tip.clone()),
            None => (Lease::Absent, tips["main"].clone()),
        };
        let files = vec![FileChange {
            path: path.into(),
            content: Some(content.into()),
        }];
        let who = Signature {
            name: "Ann".into(),
            email: "ann@example.org".into(),
        };
        let at = Timestamp::from_second(1_790_000_000).unwrap();
        let pushed = person.push_as(&who, branch, lease, Some(parent), files, "By hand\n".into(), at);
        pushed.await.unwrap();
    }

    /// Twice the highest threshold, or next to nothing.
    fn load(&self, volume: usize, hot: bool) {
        self.busy(volume, if hot { 2e16 } else { 7.0 });
    }

    fn busy(&self, volume: usize, iops: f64) {
        let load = Load::random(iops, 1.0);
        self.follow.running.prometheus.set(VOLUMES[volume], Some(load));
    }

    async fn until<T>(&self, what: &str, look: impl Fn() -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            let now = self.follow.status();
            assert!(began.elapsed() < PATIENCE, "{what} never came: {now:#}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn open(&self, after: u64, count: usize) -> u64 {
        let open = |one: &Value| {
            let number = one["number"].as_u64();
            one["state"] == "Open" && moves(one) == count && number.is_some_and(|number| number > after)
        };
        let found = proposal(&self.follow, "the pull request", open).await;
        found["number"].as_u64().unwrap()
    }

    /// Asks for a turn now: pull requests are looked at every ninety seconds.
    fn poke(&self) {
        let kubernetes = &self.follow.running.kubernetes;
        let namespace = Some("couchestor-system");
        let mut source = kubernetes.get("PolicySource", namespace, "homelab").unwrap();
        let at = couchestor::io::clock::now().to_string();
        source["metadata"]["annotations"] = json!({"reconcile.fluxcd.io/requestedAt": at});
        self.follow.put(source);
    }

    async fn commented(&self, number: u64, words: &str) {
        self.poke();
        let said = || {
            let said = self.world.simulated().with(|state| {
                let mut pulls = state.pulls.iter().filter(|pull| pull.number == number);
                pulls.any(|pull| pull.comments.iter().any(|one| one.body.contains(words)))
            });
            said.then_some(())
        };
        self.until(words, said).await;
    }

    async fn merge(&mut self, number: u64, iops: f64) {
        self.follow.halt().await;
        self.world.merge(number, MergeBy::Squash, "ann").await;
        self.busy(0, iops);
        self.follow.run().await;
    }

    /// All that was written anywhere, by the place where it stands.
    async fn written(&self, log: &Log) -> Vec<(&'static str, String)> {
        let sim = self.world.simulated();
        let (pulls, statuses) = sim.with(|state| {
            let pulls: Vec<String> = state
                .pulls
                .iter()
                .map(|pull| format!("{pull:#?}\n{}", pull.body))
                .collect();
            (pulls.join("\n"), format!("{:#?}", state.statuses))
        });
        let git = |arguments: &[&str]| {
            let output = Command::new("git")
                .arg("-C")
                .arg(sim.repository())
                .args(arguments)
                .output()
                .unwrap();
            assert!(output.status.success(), "{arguments:?}");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let kubernetes = &self.follow.running.kubernetes;
        let all = |kind: &str| format!("{:#}", Value::Array(kubernetes.list(kind)));
        let status = |kind: &str| {
            let all = kubernetes.list(kind);
            let shown = all
                .iter()
                .map(|one| format!("{:#}\n{:#}", one["metadata"]["annotations"], one["status"]));
            shown.collect::<String>()
        };
        vec![
            ("pull requests", pulls),
            ("commit statuses", statuses),
            ("commits", git(&["log", "--all", "-p", "--format=fuller"])),
            ("branches", git(&["for-each-ref"])),
            ("sources", all("PolicySource")),
            ("migrations", all("VolumeMigration")),
            ("events", all("Event")),
            ("policies", status("StoragePolicy")),
            ("tiers", status("StorageTier")),
            ("assignments", status("TierAssignment")),
            ("metrics", self.follow.metrics.text(couchestor::io::clock::now())),
            (
                "log",
                String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned(),
            ),
        ]
    }
}

async fn nothing_encrypted_comes_out(world: World) {
    let log = Log::default();
    let sink = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(couchestor::telemetry::filter("debug").unwrap())
        .with_ansi(false)
        .with_writer(move || sink.clone())
        .finish();
    // Where another test of this process has set one already, the other of the two hosts searches the log.
    let logged = tracing::subscriber::set_global_default(subscriber).is_ok();
    let mut stage = Stage::set(world).await;
    stage.load(0, true);
    stage.follow.run().await;
    // Proposed, and refreshed.
    let first = stage.open(0, 1).await;
    stage.load(1, true);
    assert_eq!(stage.open(0, 2).await, first);
    // A person wants other thresholds: a plan.
    let changed = stage.planted.policy(7);
    stage.push("thresholds", "p/policy.yaml", &changed).await;
    let plan = stage
        .world
        .simulated()
        .open("ann", "Other thresholds", ("thresholds", "main"), false)
        .unwrap();
    stage.commented(plan, "an encrypted `StoragePolicy`").await;
    // Withdrawn.
    stage.load(0, false);
    stage.load(1, false);
    stage.commented(first, "not proposed any more").await;
    // Merged, and the load went back before it could start.
    stage.load(0, true);
    let second = stage.open(first, 1).await;
    stage.merge(second, 7.0).await;
    stage.commented(second, "superseded").await;
    // Merged and done, at the load that was merged before: it is another approval nevertheless.
    stage.load(0, true);
    let third = stage.open(second, 1).await;
    stage.merge(third, 2e16).await;
    stage.commented(third, "| moved |").await;
    stage.follow.halt().await;

    let mut bytes = 0;
    let mut leaks = Vec::new();
    for (place, text) in stage.written(&log).await {
        assert!(!text.trim().is_empty() || place == "log", "nothing in {place}");
        bytes += text.len();
        let found = stage.planted.leaks(&text).into_iter().take(5);
        leaks.extend(found.map(|line| format!("{place}: {line}")));
    }
    if logged {
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert!(
            text.contains("turn{source=\"couchestor-system/homelab\"}"),
            "lines name their source"
        );
    }
    say(&format!("{bytes} bytes were searched"));
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
    // The search finds what is there: in the cluster the objects say it.
    let applied = stage.follow.running.kubernetes.list("StoragePolicy");
    assert!(!stage.planted.leaks(&format!("{applied:?}")).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_encrypted_comes_out_on_github() {
    nothing_encrypted_comes_out(World::github().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_encrypted_comes_out_on_gitlab() {
    nothing_encrypted_comes_out(World::gitlab().await).await;
}
