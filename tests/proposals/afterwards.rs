//! What the controller does with what was merged: it looks once more, asks who approved, and tells what became of it.

use super::followed::{PATIENCE, POLICIES, VOLUMES, policies, proposal, source};
use super::life::client;
use crate::forges::world::{Host, World};
use crate::support::follow::Follow;
use crate::support::{say, seed, servers};
use couchestor::io::git::{Lease, Signature};
use couchestor::model::ids::CommitId;
use couchestor::model::pull_request::{ForgeKind, NewPullRequest};
use couchestor::model::rendering::FileChange;
use couchestor::sim::forge::{Fault, MergeBy, Verdict};
use couchestor::sim::prometheus::Load;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The same on plain Git.
mod plain;

const CONTEXT: &str = "couchestor/apply";

/// A controller that has opened a pull request for the first volume; it is merged while the controller is halted.
struct Stage {
    world: World,
    follow: Follow,
}

impl Stage {
    async fn set(world: World, more: Value) -> Self {
        policies(&world).await;
        let follow = Follow::new().await;
        source(&world, &follow, more);
        let stage = Self { world, follow };
        stage.load(6120.0);
        stage
    }

    fn load(&self, iops: f64) {
        let load = Load::random(iops, 1.0);
        self.follow.running.prometheus.set(VOLUMES[0], Some(load));
    }

    /// Waits for an open pull request.
    async fn opened(&mut self) -> u64 {
        self.follow.run().await;
        let open = |one: &Value| one["state"] == "Open" && one["number"].is_u64();
        let number = proposal(&self.follow, "the pull request", open).await["number"].as_u64();
        self.follow.halt().await;
        number.unwrap()
    }

    fn migrations(&self) -> Vec<Value> {
        self.follow.running.kubernetes.list("VolumeMigration")
    }

    async fn until<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = look().await {
                return found;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{what} never came: {:#} {:#?}",
                self.follow.status(),
                self.migrations()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A person closes it, and the controller takes notice.
    async fn declined(&mut self, number: u64) {
        self.world.turn(number, false).await;
        self.follow.run().await;
        let declined = |one: &Value| one["number"] == number && one["state"] == "Declined";
        proposal(&self.follow, "the no", declined).await;
        self.follow.halt().await;
    }

    /// Waits until one migration has ended so.
    async fn ended(&self, phase: &str) -> Value {
        let look = async || {
            let all = self.migrations();
            all.into_iter().find(|one| one["status"]["phase"] == phase)
        };
        self.until(phase, look).await
    }

    /// Waits until the only comment about results says this.
    async fn told(&self, number: u64, words: &str) -> String {
        let look = async || {
            let all = self.world.forge.comments(number, None).await.unwrap();
            let of = |body: &&String| body.contains("couchestor results");
            let bodies: Vec<String> = all.into_iter().map(|one| one.body).collect();
            let told: Vec<&String> = bodies.iter().filter(of).collect();
            assert!(told.len() <= 1, "{told:#?}");
            told.first()
                .filter(|body| body.contains(words))
                .map(|body| (*body).clone())
        };
        self.until(words, look).await
    }

    async fn status(&self, sha: &str, wanted: &str) {
        let look = async || {
            let known = self.world.statuses(sha).await;
            known.get(CONTEXT).filter(|state| *state == wanted).map(drop)
        };
        self.until(wanted, look).await;
    }

    /// What is remembered of a merge.
    fn merge(&self, number: u64) -> Value {
        let all = self.follow.status()["merges"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        all.into_iter()
            .find(|one| one["number"] == number)
            .unwrap_or_default()
    }

    /// A pull request that adds a comment to the assignment.
    async fn touched(&self, tip: &str) -> u64 {
        let folder = tempfile::tempdir().unwrap();
        let person = client(&self.world, &folder, "person");
        person.fetch("main").await.unwrap();
        let (tip, path) = (
            CommitId(tip.to_owned()),
            "p/assignments/db/data-0.yaml".to_owned(),
        );
        let mut content = person.read_at(&tip, &path).await.unwrap();
        content.extend(b"# yes\n");
        let files = vec![FileChange {
            path,
            content: Some(content),
        }];
        let at = Timestamp::from_second(1_790_000_050).unwrap();
        let (lease, parent) = (Lease::Absent, Some(tip));
        let who = ann();
        let pushed = person.push_as(&who, "touched", lease, parent, files, "Yes\n".into(), at);
        pushed.await.unwrap();
        let new = NewPullRequest {
            title: "Yes".into(),
            body: String::new(),
            head_branch: "touched".into(),
            base_branch: "main".into(),
            labels: Vec::new(),
        };
        self.world.forge.open(&new).await.unwrap().pull_request.number
    }

    /// Somebody pushes to main.
    async fn push(&self, path: &str, content: &str) -> CommitId {
        let folder = tempfile::tempdir().unwrap();
        let person = client(&self.world, &folder, "person");
        let tip = person.fetch("main").await.unwrap().branches["main"].clone();
        let files = vec![FileChange {
            path: path.into(),
            content: Some(content.into()),
        }];
        let at = Timestamp::from_second(1_790_000_100).unwrap();
        let (lease, who) = (Lease::At(tip.clone()), ann());
        let pushed = person.push_as(&who, "main", lease, Some(tip), files, "By hand\n".into(), at);
        pushed.await.unwrap()
    }

    /// Requests for changes that the forge has had.
    fn writes(&self) -> usize {
        match &self.world.host {
            Host::Sim(sim) => sim
                .requests()
                .iter()
                .filter(|one| !one.starts_with("GET "))
                .count(),
            Host::Gitea(_) => 0,
        }
    }

    async fn audit(&self) -> String {
        let folder = tempfile::tempdir().unwrap();
        let person = client(&self.world, &folder, "person");
        let log = person.log_branch("couchestor/audit", 10).await.unwrap();
        log.into_iter().map(|entry| entry.message).collect()
    }
}

fn ann() -> Signature {
    Signature {
        name: "Ann".into(),
        email: "ann@example.org".into(),
    }
}

async fn what_became_of_it_is_told(world: World) {
    let mut stage = Stage::set(world, json!({})).await;
    let number = stage.opened().await;
    stage.world.review(number, "ann", Verdict::Approve).await;
    stage.world.merge(number, MergeBy::Squash, "ann").await;
    let tip = stage.world.tip("main").await;
    stage.follow.run().await;
    let done = stage.ended("Completed").await;
    let text = stage.told(number, "| moved |").await;
    assert!(
        text.contains("`db/data-0`") && text.contains("1 move of this merge: 1 done."),
        "{text}"
    );
    stage.status(&tip, "success").await;
    // Who: the forge's words beside Git's.
    let approved = &done["spec"]["approved"];
    assert_eq!(approved["commit"], tip);
    assert_eq!(approved["pullRequest"], number);
    assert_eq!(approved["mergedBy"], "ann");
    let reviewed = approved["reviewedBy"][0].as_str().unwrap();
    assert!(reviewed.starts_with("ann ("), "{approved:#}");
    assert_eq!(stage.merge(number)["mergedBy"], "ann");
    let audit = stage.audit().await;
    for trailer in [
        format!("Pull-Request: {number}\n"),
        "Merged-By: ann\n".to_owned(),
        "Reviewed-By: ann (".to_owned(),
    ] {
        assert!(audit.contains(&trailer), "{trailer}: {audit}");
    }
    // All is said: a controller that forgot everything but its status writes nothing more.
    stage.follow.halt().await;
    let before = stage.writes();
    stage.follow.run().await;
    stage.follow.turns(3).await;
    assert_eq!(stage.writes(), before);
    stage.told(number, "| moved |").await;
    assert_eq!(stage.migrations().len(), 1);
    stage.follow.halt().await;
}

async fn what_makes_no_sense_any_more_is_superseded(world: World) {
    let mut stage = Stage::set(world, json!({})).await;
    let first = stage.opened().await;
    stage.world.merge(first, MergeBy::Merge, "ann").await;
    let tip = stage.world.tip("main").await;
    stage.load(100.0);
    stage.follow.run().await;
    let ended = stage.ended("Superseded").await;
    assert_eq!(ended["spec"]["approved"]["commit"], tip);
    assert!(ended["status"]["startedAt"].is_null(), "{ended:#}");
    let text = stage.told(first, "superseded; nothing was moved").await;
    assert!(text.contains("100 IOPS no longer speaks for it"), "{text}");
    // GitLab has one word for two states.
    let state = match stage.world.kind() {
        ForgeKind::Gitlab => "failure",
        _ => "error",
    };
    stage.status(&tip, state).await;
    assert!(stage.audit().await.contains("Result: Superseded\n"));
    // The same approval never starts later; another proposal does.
    stage.load(7000.0);
    let again = |one: &Value| one["state"] == "Open" && one["number"].as_u64() > Some(first);
    let second = proposal(&stage.follow, "another pull request", again).await;
    assert_eq!(stage.migrations().len(), 1);
    let second = second["number"].as_u64().unwrap();
    stage.world.merge(second, MergeBy::Squash, "ann").await;
    stage.ended("Completed").await;
    stage.told(second, "| moved |").await;
    assert_eq!(stage.migrations().len(), 2);
    stage.follow.halt().await;
}

async fn without_the_approvals_demanded_nothing_moves(world: World) {
    let rule = json!({"approvals": {"count": 1, "from": ["ann"]}});
    let mut stage = Stage::set(world, rule).await;
    let number = stage.opened().await;
    stage.world.review(number, "ben", Verdict::Approve).await;
    stage.world.merge(number, MergeBy::Squash, "ben").await;
    let tip = stage.world.tip("main").await;
    stage.follow.run().await;
    let text = stage.told(number, "approved by 0 of 1").await;
    assert!(text.contains("1 waiting."), "{text}");
    stage.status(&tip, "pending").await;
    assert_eq!(stage.migrations().len(), 0);
    let assignment = async || {
        let found = stage
            .follow
            .running
            .kubernetes
            .get("TierAssignment", Some("db"), "data-0")?;
        let reason = found["status"]["conditions"][0]["reason"].as_str()?.to_owned();
        (reason == "NotApproved").then_some(())
    };
    stage.until("NotApproved", assignment).await;
    let (number, tip) = match stage.world.kind() {
        // They may come after the merge.
        ForgeKind::Github => {
            stage.world.review(number, "ann", Verdict::Approve).await;
            stage.follow.poke().await;
            (number, tip)
        }
        // They may not: another pull request that touches the assignment is approved before it is merged.
        ForgeKind::Gitea | ForgeKind::Gitlab => {
            let number = stage.touched(&tip).await;
            stage.world.review(number, "ann", Verdict::Approve).await;
            stage.world.review(number, "ben", Verdict::Approve).await;
            stage.world.merge(number, MergeBy::Squash, "ben").await;
            (number, stage.world.tip("main").await)
        }
    };
    let done = stage.ended("Completed").await;
    let reviewed: Vec<&str> = done["spec"]["approved"]["reviewedBy"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|one| one.as_str()?.split(' ').next())
        .collect();
    assert_eq!(reviewed, ["ann", "ben"]);
    stage.told(number, "| moved |").await;
    stage.status(&tip, "success").await;

    // What somebody pushes has no approvals at all.
    let text = format!(
        "apiVersion: storage.billyronks.io/v1\nkind: TierAssignment\nmetadata: {{name: data-0, namespace: db}}\n\
         spec: {{claim: data-0, volume: {}, tier: cold}}\n",
        VOLUMES[0]
    );
    let pushed = stage.push("p/assignments/db/data-0.yaml", &text).await;
    stage.status(pushed.as_str(), "pending").await;
    let by_hand = |one: &Value| one["commit"] == pushed.as_str() && one["number"].is_null();
    let remembered = async || {
        let all = stage.follow.status()["merges"].as_array().cloned()?;
        all.into_iter().find(by_hand)
    };
    stage.until("the commit", remembered).await;
    assert_eq!(stage.migrations().len(), 1);
    stage.follow.halt().await;
}

/// What cannot be measured has not changed: an outage closes no pull request.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_prometheus_withdraws_nothing() {
    let mut stage = Stage::set(World::github().await, json!({})).await;
    let number = stage.opened().await;
    stage.follow.running.prometheus.fail(Some("down"), None);
    stage.follow.run().await;
    let unknown = async || {
        let all = stage.follow.running.kubernetes.list("StoragePolicy");
        all.iter()
            .any(|one| one["status"].to_string().contains("HeatUnknown"))
            .then_some(())
    };
    stage.until("HeatUnknown", unknown).await;
    stage.follow.turns(3).await;
    assert!(stage.world.forge.get(number).await.unwrap().is_open());
    stage.follow.running.prometheus.fail(None, None);
    stage.load(2000.0);
    let closed = async || (!stage.world.forge.get(number).await.unwrap().is_open()).then_some(());
    stage
        .until("the withdrawal of what no longer holds", closed)
        .await;
    let why = async || {
        let all = stage.world.forge.comments(number, None).await.unwrap();
        let said = "- `db/data-0`: 2000 IOPS lies between the thresholds";
        all.iter().any(|one| one.body.contains(said)).then_some(())
    };
    stage.until("the reason", why).await;
    stage.follow.halt().await;
}

/// What policies go by could not be read, and the source says so; what Git says is applied all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_says_when_it_is_blind() {
    let mut stage = Stage::set(World::github().await, json!({})).await;
    stage.follow.run().await;
    stage.follow.until("Measured", &["True/Measured"]).await;
    stage.follow.running.prometheus.fail(Some("down"), None);
    let words = [
        "False/PrometheusUnavailable",
        "questions were not answered",
        "down",
    ];
    stage.follow.until("Measured", &words).await;
    stage
        .follow
        .until("Ready", &["True/ReconciliationSucceeded"])
        .await;
    stage.follow.running.prometheus.fail(None, None);
    stage.follow.until("Measured", &["True/Measured"]).await;
    stage.follow.halt().await;
}

/// One of two cannot be measured any more: the other one's refresh does not drop it.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_cannot_be_measured_stays_when_its_proposal_is_refreshed() {
    let mut stage = Stage::set(World::github().await, json!({})).await;
    let second = |load: Option<Load>| stage.follow.running.prometheus.set(VOLUMES[1], load);
    second(Some(Load::random(9000.0, 1.0)));
    stage.follow.run().await;
    let both = |one: &Value| one["number"].is_u64() && one["moves"].as_array().map(Vec::len) == Some(2);
    let before = proposal(&stage.follow, "two moves", both).await;
    stage.follow.halt().await;
    stage.follow.running.prometheus.set(VOLUMES[1], None);
    // Base moves on, so that the proposal is made anew.
    let tip = stage.push("p/more.yaml", "# nothing\n").await;
    stage.follow.run().await;
    let anew = |one: &Value| one["base"] == tip.as_str() && one["commit"] != before["commit"];
    let after = proposal(&stage.follow, "the refresh", anew).await;
    assert_eq!(after["moves"], before["moves"], "{after:#}");
    let pull = stage
        .world
        .forge
        .get(after["number"].as_u64().unwrap())
        .await
        .unwrap();
    assert!(
        pull.body.contains("`db/data-1`") && pull.body.contains("9000 IOPS"),
        "{}",
        pull.body
    );
    stage.follow.halt().await;
}

/// A newest commit that cannot be read may have taken the approval back: nothing starts until it is mended.
#[tokio::test(flavor = "multi_thread")]
async fn while_the_newest_commit_is_broken_nothing_starts() {
    let rule = json!({"approvals": {"count": 1, "from": ["ann"]}});
    let mut stage = Stage::set(World::github().await, rule).await;
    let number = stage.opened().await;
    stage.world.merge(number, MergeBy::Squash, "ben").await;
    stage.follow.run().await;
    stage.told(number, "approved by 0 of 1").await;
    stage.push("p/broken.yaml", "kind: [").await;
    stage.follow.until("Ready", &["BuildFailed"]).await;
    stage.world.review(number, "ann", Verdict::Approve).await;
    stage.follow.poke().await;
    let approved = async || {
        let known = stage.merge(number)["approvedBy"].to_string();
        known.contains("ann").then_some(())
    };
    stage.until("the approval", approved).await;
    stage.follow.turns(3).await;
    assert_eq!(stage.migrations().len(), 0);
    stage.push("p/broken.yaml", "").await;
    stage.ended("Completed").await;
    stage.follow.halt().await;
}

/// Lets the tag `v1` name the tip of main.
fn tag(world: &World) {
    let repository = world.simulated().repository().to_owned();
    let mut git = std::process::Command::new("git");
    let done = git
        .current_dir(repository)
        .args(["tag", "-f", "v1", "main"])
        .output();
    assert!(done.unwrap().status.success());
}

/// Where a tag is followed the merge is believed when the tag has it, and each move of it is accepted then.
#[tokio::test(flavor = "multi_thread")]
async fn a_merge_that_the_tag_does_not_have_yet_is_waited_for() {
    let mut stage = Stage::set(World::github().await, json!({})).await;
    let number = stage.opened().await;
    tag(&stage.world);
    let mut source = stage
        .follow
        .running
        .kubernetes
        .get("PolicySource", Some("couchestor-system"), "homelab")
        .unwrap();
    source["spec"]["ref"] = json!({"tag": "v1"});
    stage.follow.put(source);
    stage.world.merge(number, MergeBy::Squash, "ann").await;
    stage.follow.run().await;
    stage.follow.turns(3).await;
    let all = stage.follow.status()["proposals"].as_array().cloned().unwrap();
    assert_eq!((all.len(), &all[0]["state"]), (1, &json!("Open")), "{all:#?}");
    tag(&stage.world);
    let merged = |one: &Value| one["number"] == number && one["state"] == "Merged";
    let merged = proposal(&stage.follow, "the merge", merged).await;
    assert_eq!(merged["moves"][0]["accepted"], true, "{merged:#}");
    stage.ended("Completed").await;
    stage.follow.halt().await;
}

/// Approvals are dismissed by a push, so a proposal is pushed anew only for what concerns it.
#[tokio::test(flavor = "multi_thread")]
async fn what_happens_elsewhere_in_the_repository_pushes_no_proposal_anew() {
    let mut stage = Stage::set(World::github().await, json!({})).await;
    let number = stage.opened().await;
    let head = async || stage.world.forge.get(number).await.unwrap().head_sha;
    let before = head().await;
    let elsewhere = stage.push("readme.md", "Hello\n").await;
    stage.follow.run().await;
    let compared = |one: &Value| one["base"] == elsewhere.as_str();
    proposal(&stage.follow, "the comparison", compared).await;
    stage.follow.turns(2).await;
    let head = async || stage.world.forge.get(number).await.unwrap().head_sha;
    assert_eq!(head().await, before);
    let here = stage.push("p/more.yaml", "# nothing\n").await;
    let pushed = |one: &Value| one["base"] == here.as_str() && one["commit"] != before.as_str();
    proposal(&stage.follow, "a new commit", pushed).await;
    assert_ne!(head().await, before);
    stage.follow.halt().await;
}

/// Lost replies, refusals and a controller that ends in the middle: one comment, one migration, and the status is right in the end.
#[tokio::test(flavor = "multi_thread")]
async fn faults_tell_nothing_twice() {
    const FAULTS: [Fault; 4] = [
        Fault::LostReply,
        Fault::ErrorAfter,
        Fault::ErrorBefore,
        Fault::Cut,
    ];
    let mut random = fastrand::Rng::with_seed(seed("results under faults"));
    let mut happened = 0;
    for world in [World::github().await, World::gitlab().await] {
        let mut stage = Stage::set(world, json!({})).await;
        let number = stage.opened().await;
        stage.world.merge(number, MergeBy::Squash, "ann").await;
        let tip = stage.world.tip("main").await;
        stage
            .world
            .simulated()
            .faults_by_chance(random.u64(..), 3, &FAULTS);
        for _ in 0..3 {
            stage.follow.run().await;
            tokio::time::sleep(Duration::from_millis(random.u64(500..2500))).await;
            stage.follow.halt().await;
        }
        happened += stage.world.simulated().happened().len();
        stage.world.simulated().no_faults();
        stage.follow.run().await;
        stage.ended("Completed").await;
        stage.told(number, "| moved |").await;
        stage.status(&tip, "success").await;
        assert_eq!(stage.migrations().len(), 1);
        stage.follow.halt().await;
    }
    say(&format!("{happened} faults, and one comment each"));
}

/// Without a forge merging by hand is the approval, and it is looked at once more as well.
#[tokio::test(flavor = "multi_thread")]
async fn on_plain_git_what_makes_no_sense_any_more_is_superseded() {
    let more = json!({"forge": {"type": "none"}});
    let mut stage = Stage::set(World::github().await, more).await;
    stage.follow.run().await;
    let open = |one: &Value| one["state"] == "Open";
    let record = proposal(&stage.follow, "the branch", open).await;
    stage.follow.halt().await;
    let path = "p/assignments/db/data-0.yaml";
    let folder = tempfile::tempdir().unwrap();
    let person = client(&stage.world, &folder, "person");
    let proposed = person
        .log_branch(record["branch"].as_str().unwrap(), 1)
        .await
        .unwrap();
    let content = person.read_at(&proposed[0].commit, path).await.unwrap();
    stage.push(path, &String::from_utf8(content).unwrap()).await;
    stage.load(100.0);
    stage.follow.run().await;
    let ended = stage.ended("Superseded").await;
    let message = ended["status"]["message"].as_str().unwrap();
    assert!(message.contains("100 IOPS no longer speaks for it"), "{message}");
    let look = async || stage.audit().await.contains("Result: Superseded\n").then_some(());
    stage.until("the record", look).await;
    assert_eq!(stage.world.simulated().requests(), [""; 0], "nobody asks a forge");
    stage.follow.halt().await;
}

/// What the cluster holds after a migration that was rolled back.
fn rolled_back(commit: &str) -> Value {
    let at = "2026-11-21T14:30:00Z";
    json!({
        "apiVersion": "storage.billyronks.io/v1", "kind": "VolumeMigration",
        "metadata": {"name": "db-data-0-failed"},
        "spec": {
            "source": {"namespace": "couchestor-system", "name": "homelab"},
            "claim": {"namespace": "db", "name": "data-0"},
            "volume": VOLUMES[0], "volumeUuid": &VOLUMES[0][4..], "from": "cold", "to": "hot",
            "toPoolLabels": {}, "timeoutSeconds": 60, "policy": "tiering",
            "approved": {"revision": "main", "commit": commit, "author": "Ann", "at": at, "path": "x"},
        },
        "status": {
            "phase": "RolledBack", "message": "the copy made no progress for 10 min",
            "startedAt": couchestor::io::clock::now().to_string(),
            "finishedAt": couchestor::io::clock::now().to_string(),
        },
    })
}

async fn a_failed_move_is_told_and_taken_back(world: World) {
    let mut stage = Stage::set(world, json!({})).await;
    let first = stage.opened().await;
    stage.world.merge(first, MergeBy::Squash, "ann").await;
    let tip = stage.world.tip("main").await;
    stage.follow.put(rolled_back(&tip));
    stage.follow.run().await;
    let text = stage.told(first, "**failed**; rolled back").await;
    assert!(
        text.contains("the copy made no progress for 10 min") && text.contains("kubectl describe"),
        "{text}"
    );
    stage.status(&tip, "failure").await;
    let back = |one: &Value| one["policy"] == "rollback/tiering" && one["number"].is_u64();
    let record = proposal(&stage.follow, "the way back", back).await;
    let number = record["number"].as_u64().unwrap();
    let pull = stage.world.forge.get(number).await.unwrap();
    assert_eq!(pull.title, "Take back the failed move of db/data-0 to hot");
    assert!(
        pull.body.contains("the copy made no progress for 10 min"),
        "{}",
        pull.body
    );
    assert!(pull.labels.contains(&"storage".to_owned()), "{:?}", pull.labels);
    stage.follow.halt().await;
    stage.world.merge(number, MergeBy::Squash, "ann").await;
    stage.follow.run().await;
    // Base says where the volume is, and nothing is moved for that; the policy may ask again.
    let again = |one: &Value| one["policy"] == "tiering" && one["number"].as_u64() > Some(number);
    proposal(&stage.follow, "the policy's next proposal", again).await;
    let merged = |one: &Value| one["policy"] == "rollback/tiering" && one["state"] == "Merged";
    let merged = proposal(&stage.follow, "the merge", merged).await;
    assert_eq!(merged["moves"][0]["accepted"], true, "{merged:#}");
    assert_eq!(stage.migrations().len(), 1);
    let folder = tempfile::tempdir().unwrap();
    let person = client(&stage.world, &folder, "person");
    let tip = person.fetch("main").await.unwrap().branches["main"].clone();
    let file = person
        .read_at(&tip, "p/assignments/db/data-0.yaml")
        .await
        .unwrap();
    let file = String::from_utf8(file).unwrap();
    assert!(
        file.contains("tier: cold") && !file.contains("decision"),
        "{file}"
    );
    stage.follow.halt().await;
}

async fn a_no_to_the_way_back_is_remembered(world: World) {
    let mut stage = Stage::set(world, json!({})).await;
    let first = stage.opened().await;
    stage.world.merge(first, MergeBy::Squash, "ann").await;
    stage.follow.put(rolled_back(&stage.world.tip("main").await));
    stage.follow.run().await;
    let back = |one: &Value| one["policy"] == "rollback/tiering" && one["number"].is_u64();
    let record = proposal(&stage.follow, "the way back", back).await;
    stage.world.turn(record["number"].as_u64().unwrap(), false).await;
    stage.follow.poke().await;
    let declined = |one: &Value| one["policy"] == "rollback/tiering" && one["state"] == "Declined";
    proposal(&stage.follow, "the no", declined).await;
    stage.follow.turns(3).await;
    assert_eq!(stage.world.forge.list_open(10).await.unwrap(), []);
    stage.follow.halt().await;
}

/// A no holds at the load to which it was said, and for as long as the source says.
async fn a_no_holds_until_the_load_differs_or_it_is_forgotten(world: World) {
    let mut stage = Stage::set(world, json!({"rejections": {"expireAfter": "720h"}})).await;
    let first = stage.opened().await;
    stage.declined(first).await;
    // Half as much again is not the same question any more; a tenth is.
    stage.load(6700.0);
    stage.follow.run().await;
    stage.follow.turns(3).await;
    assert_eq!(stage.world.forge.list_open(10).await.unwrap(), []);
    stage.follow.halt().await;
    stage.load(12_240.0);
    let second = stage.opened().await;
    assert!(second > first);
    stage.declined(second).await;
    let namespace = Some("couchestor-system");
    let kubernetes = &stage.follow.running.kubernetes;
    let mut source = kubernetes.get("PolicySource", namespace, "homelab").unwrap();
    let long_ago = couchestor::io::clock::now().as_second() - 721 * 3600;
    let long_ago = Timestamp::from_second(long_ago).unwrap().to_string();
    for one in source["status"]["proposals"].as_array_mut().unwrap() {
        one["since"] = long_ago.as_str().into();
    }
    stage.follow.put(source);
    let third = stage.opened().await;
    assert!(third > second, "nothing has changed but the time");
    // What the policy asks for is another question too, though the load is the same.
    stage.declined(third).await;
    stage.follow.run().await;
    stage.follow.turns(2).await;
    assert_eq!(stage.world.forge.list_open(10).await.unwrap(), []);
    stage.follow.halt().await;
    stage
        .push("p/policies.yaml", &POLICIES.replace("above: 5000", "above: 5100"))
        .await;
    let fourth = stage.opened().await;
    assert!(fourth > third);
}

/// How long a volume rests stands on the volume: whoever forgets everything else still knows it.
async fn a_moved_volume_rests(world: World) {
    let mut stage = Stage::set(world, json!({})).await;
    let number = stage.opened().await;
    stage.world.merge(number, MergeBy::Squash, "ann").await;
    stage.follow.run().await;
    let done = stage.ended("Completed").await;
    stage.told(number, "| moved |").await;
    stage.follow.halt().await;
    let kubernetes = &stage.follow.running.kubernetes;
    let mut volume = kubernetes.get("PersistentVolume", None, VOLUMES[0]).unwrap();
    let key = "storage.billyronks.io/last-migration";
    assert_eq!(
        volume["metadata"]["annotations"][key], done["status"]["finishedAt"],
        "{volume:#}"
    );
    // It is cold, and rests.
    stage.load(100.0);
    stage.follow.run().await;
    let rests = async || {
        let policy = stage
            .follow
            .running
            .kubernetes
            .get("StoragePolicy", None, "tiering")?;
        let status = &policy["status"];
        let told = &status["leftAloneClaims"]["db/data-0"];
        (status["leftAlone"]["CoolingDown"] == 1 && told == "CoolingDown").then_some(())
    };
    stage.until("CoolingDown", rests).await;
    stage.follow.turns(2).await;
    assert_eq!(stage.world.forge.list_open(10).await.unwrap(), []);
    stage.follow.halt().await;
    // A day later it does not.
    let before = couchestor::io::clock::now().as_second() - 25 * 3600;
    volume["metadata"]["annotations"][key] = Timestamp::from_second(before).unwrap().to_string().into();
    stage.follow.put(volume);
    let back = stage.opened().await;
    let pull = stage.world.forge.get(back).await.unwrap();
    assert_eq!(pull.title, "Move db/data-0 from hot to cold");
}

/// An approval is of what was seen: with `headOnly`, a push after it makes it void.
async fn what_was_pushed_after_the_approval_is_not_carried_out(world: World) {
    let rule = json!({"approvals": {"count": 1, "from": ["ann", "ben"], "headOnly": true}});
    let mut stage = Stage::set(world, rule).await;
    let number = stage.opened().await;
    stage.world.review(number, "ann", Verdict::Approve).await;
    let branch = stage.world.forge.get(number).await.unwrap().head_branch;
    let pushed = stage.world.push(&branch, None).await;
    // A forge takes a moment to see a push.
    let seen = async || {
        let pull = stage.world.forge.get(number).await.unwrap();
        (pull.head_sha.as_str() == pushed).then_some(())
    };
    stage.until("the push", seen).await;
    stage.world.merge(number, MergeBy::Merge, "ben").await;
    stage.follow.run().await;
    stage.told(number, "approved by 0 of 1").await;
    stage.follow.turns(3).await;
    assert_eq!(stage.migrations().len(), 0, "{:#?}", stage.migrations());
    stage.follow.halt().await;
}

/// A move that succeeded and made the volume slower.
async fn what_became_slower_is_proposed_to_move_back(world: World) {
    let mut stage = Stage::set(world, json!({})).await;
    let asking =
        format!("{POLICIES}  samplingWindow: 1m\n  rollback: {{latencyWorsePercent: 50, within: 24h}}\n");
    stage.push("p/policies.yaml", &asking).await;
    let first = stage.opened().await;
    stage.world.merge(first, MergeBy::Squash, "ann").await;
    stage.follow.run().await;
    let mut done = stage.ended("Completed").await;
    assert_eq!(done["spec"]["latencyBeforeMs"], 2.0, "{done:#}");
    stage.told(first, "| moved |").await;
    stage.follow.halt().await;
    // Two hours later it takes three times as long.
    let before = couchestor::io::clock::now().as_second() - 7200;
    done["status"]["finishedAt"] = Timestamp::from_second(before).unwrap().to_string().into();
    stage.follow.put(done);
    let slow = Load {
        latency_ms: 6.0,
        ..Load::random(6120.0, 1.0)
    };
    stage.follow.running.prometheus.set(VOLUMES[0], Some(slow));
    stage.follow.run().await;
    let back = |one: &Value| one["policy"] == "slower/tiering" && one["number"].is_u64();
    let record = proposal(&stage.follow, "the way back", back).await;
    let number = record["number"].as_u64().unwrap();
    let pull = stage.world.forge.get(number).await.unwrap();
    assert_eq!(pull.title, "Move db/data-0 back to cold: it became slower");
    assert!(
        pull.body.contains("| cold → hot | 2.00 ms | 6.00 ms |"),
        "{}",
        pull.body
    );
    // What the policy holds for too slow is its own affair.
    assert!(
        !pull.body.contains("50 %") && !pull.body.contains("50%"),
        "{}",
        pull.body
    );
    stage.follow.halt().await;
    stage.world.merge(number, MergeBy::Squash, "ann").await;
    stage.follow.run().await;
    let back = async || {
        let all = stage.migrations();
        let is_back = |one: &Value| one["spec"]["to"] == "cold" && one["status"]["phase"] == "Completed";
        all.into_iter().find(is_back)
    };
    let back = stage.until("the way back", back).await;
    assert_eq!(
        back["spec"]["latencyBeforeMs"],
        Value::Null,
        "nobody asks for it again"
    );
    stage.follow.halt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_whose_words_contradict_each_other_is_refused() {
    let mut follow = Follow::new().await;
    follow.commit("p/policies.yaml", "", &[]);
    follow.source(json!({"proposals": {"approvals": {"count": 2}}}));
    follow.run().await;
    let words = ["InvalidSpec", "without a forge nobody knows who approved"];
    follow.until("Ready", &words).await;
    let few = json!({"count": 2, "from": ["ann", "Ann"]});
    follow.source(json!({"proposals": {"approvals": few, "forge": {"type": "github"}}}));
    let words = ["InvalidSpec", "more approvals are demanded than people are named"];
    follow.until("Ready", &words).await;
    follow.source(json!({"audit": {"branch": "main"}}));
    follow
        .until("Ready", &["InvalidSpec", "spec.audit.branch: it is spec.branch"])
        .await;
    follow.halt().await;
}

macro_rules! afterwards {
    ($($claim:ident)*) => {
        mod github {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $claim() {
                super::$claim(super::World::github().await).await;
            })*
        }
        mod gitlab {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $claim() {
                super::$claim(super::World::gitlab().await).await;
            })*
        }
        mod gitea {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $claim() {
                if super::servers::left_out(concat!("proposals::afterwards::gitea::", stringify!($claim))) {
                    return;
                }
                super::$claim(super::World::gitea().await).await;
            })*
        }
    };
}

afterwards! {
    what_became_of_it_is_told
    what_makes_no_sense_any_more_is_superseded
    without_the_approvals_demanded_nothing_moves
    a_failed_move_is_told_and_taken_back
    a_no_to_the_way_back_is_remembered
    what_became_slower_is_proposed_to_move_back
    a_no_holds_until_the_load_differs_or_it_is_forgotten
    a_moved_volume_rests
    what_was_pushed_after_the_approval_is_not_carried_out
}
