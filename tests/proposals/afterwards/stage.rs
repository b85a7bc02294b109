//! A repository with a forge, a controller that follows it, and what people do there after a proposal.

use crate::forges::world::{Host, World};
use crate::proposals::followed::{PATIENCE, VOLUMES, policies, proposal, source};
use crate::proposals::life::client;
use crate::support::follow::Follow;
use couchestor::io::git::{Lease, Signature};
use couchestor::model::ids::CommitId;
use couchestor::model::pull_request::NewPullRequest;
use couchestor::model::rendering::FileChange;
use couchestor::sim::prometheus::Load;
use jiff::Timestamp;
use serde_json::Value;

const CONTEXT: &str = "couchestor/apply";

/// A controller that has opened a pull request for the first volume; it is merged while the controller is halted.
pub(super) struct Stage {
    pub(super) world: World,
    pub(super) follow: Follow,
}

impl Stage {
    pub(super) async fn set(world: World, more: Value) -> Self {
        policies(&world).await;
        let follow = Follow::new().await;
        source(&world, &follow, more);
        let stage = Self { world, follow };
        stage.load(6120.0);
        stage
    }

    pub(super) fn load(&self, iops: f64) {
        let load = Load::random(iops, 1.0);
        self.follow.running.prometheus.set(VOLUMES[0], Some(load));
    }

    /// A move of the first volume ended so many seconds ago, and since then the volume takes three times as long.
    pub(super) fn slower_since(&self, mut moved: Value, seconds: i64) {
        let then = couchestor::io::clock::now().as_second() - seconds;
        moved["status"]["finishedAt"] = Timestamp::from_second(then).unwrap().to_string().into();
        self.follow.put(moved);
        let slow = Load {
            latency_ms: 6.0,
            ..Load::random(6120.0, 1.0)
        };
        self.follow.running.prometheus.set(VOLUMES[0], Some(slow));
    }

    /// Waits for an open pull request.
    pub(super) async fn opened(&mut self) -> u64 {
        self.follow.run().await;
        let open = |one: &Value| one["state"] == "Open" && one["number"].is_u64();
        let number = proposal(&self.follow, "the pull request", open).await["number"].as_u64();
        self.follow.halt().await;
        number.unwrap()
    }

    pub(super) fn migrations(&self) -> Vec<Value> {
        self.follow.running.kubernetes.list("VolumeMigration")
    }

    pub(super) async fn until<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
        self.follow.found(what, PATIENCE, look).await
    }

    /// A person closes it, and the controller takes notice.
    pub(super) async fn declined(&mut self, number: u64) {
        self.world.turn(number, false).await;
        self.follow.run().await;
        let declined = |one: &Value| one["number"] == number && one["state"] == "Declined";
        proposal(&self.follow, "the no", declined).await;
        self.follow.halt().await;
    }

    /// Waits until one migration has ended so.
    pub(super) async fn ended(&self, phase: &str) -> Value {
        let look = async || {
            let all = self.migrations();
            all.into_iter().find(|one| one["status"]["phase"] == phase)
        };
        self.until(phase, look).await
    }

    /// Waits until the only comment about results says this.
    pub(super) async fn told(&self, number: u64, words: &str) -> String {
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

    pub(super) async fn status(&self, sha: &str, wanted: &str) {
        let look = async || {
            let known = self.world.statuses(sha).await;
            known.get(CONTEXT).filter(|state| *state == wanted).map(drop)
        };
        self.until(wanted, look).await;
    }

    /// What is remembered of a merge.
    pub(super) fn merge(&self, number: u64) -> Value {
        let all = self.follow.status()["merges"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        all.into_iter()
            .find(|one| one["number"] == number)
            .unwrap_or_default()
    }

    /// A pull request that adds a comment to the assignment.
    pub(super) async fn touched(&self, tip: &str) -> u64 {
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
    pub(super) async fn push(&self, path: &str, content: &str) -> CommitId {
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
    pub(super) fn writes(&self) -> usize {
        match &self.world.host {
            Host::Sim(sim) => sim
                .requests()
                .iter()
                .filter(|one| !one.starts_with("GET "))
                .count(),
            Host::Gitea(_) => self.world.door.as_ref().unwrap().writes(),
        }
    }

    /// Somebody adds a commit to a pull request's branch; the head before it and the new one.
    pub(super) async fn pushed(&self, number: u64) -> (String, String) {
        let before = self.world.forge.get(number).await.unwrap();
        let pushed = self.world.push(&before.head_branch, None).await;
        // A forge takes a moment to see a push.
        let seen = async || {
            let pull = self.world.forge.get(number).await.unwrap();
            (pull.head_sha.as_str() == pushed).then_some(())
        };
        self.until("the push", seen).await;
        (before.head_sha.0, pushed)
    }

    pub(super) async fn audit(&self) -> String {
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
