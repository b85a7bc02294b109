//! Deliveries on forges: a pull request, kept up to date in place, merged or closed by people.

use super::{FOLDER, MAP, PATIENCE, TIERS};
use crate::forges::world::World;
use crate::proposals::followed::source;
use crate::proposals::life::client;
use crate::support::follow::Follow;
use crate::support::servers;
use couchestor::io::git::{Lease, Signature};
use couchestor::model::pull_request::{PullRequest, PullRequestState};
use couchestor::model::rendering::FileChange;
use couchestor::sim::forge::MergeBy;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Several turns take less, also on a busy machine.
const ASK_AGAIN: Duration = Duration::from_secs(5);

struct Stage {
    world: World,
    follow: Follow,
}

impl Stage {
    async fn set(world: World) -> Self {
        let stage = Self {
            world,
            follow: Follow::new().await,
        };
        stage.push("main", "p/tiers.yaml", TIERS).await;
        stage.push("main", "p/map.yaml", MAP).await;
        source(&stage.world, &stage.follow, json!({"plans": {"enabled": false}}));
        let kubernetes = &stage.follow.running.kubernetes;
        let mut object = kubernetes
            .get("PolicySource", Some("couchestor-system"), "homelab")
            .unwrap();
        object["spec"]["delivery"] = json!({"mode": "commit", "path": FOLDER});
        stage.follow.put(object);
        stage
    }

    /// A person commits a file.
    async fn push(&self, branch: &str, path: &str, content: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let person = client(&self.world, &folder, "person");
        let tips = person.fetch_all().await.unwrap().branches;
        let tip = tips[branch].clone();
        let files = vec![FileChange {
            path: path.into(),
            content: Some(content.into()),
        }];
        let who = Signature {
            name: "Ann".into(),
            email: "ann@example.org".into(),
        };
        let at = Timestamp::from_second(1_790_000_000).unwrap();
        let pushed = person.push_as(
            &who,
            branch,
            Lease::At(tip.clone()),
            Some(tip),
            files,
            "By hand\n".into(),
            at,
        );
        pushed.await.unwrap().to_string()
    }

    /// Waits until the newest delivery is as it should be; it is asked for at once, where pull requests are looked at every ninety seconds.
    async fn record(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let (began, mut asked) = (Instant::now(), None);
        loop {
            let status = self.follow.status();
            let all = status["delivery"]["proposals"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            if let Some(found) = all.into_iter().find(&holds) {
                return found;
            }
            assert!(began.elapsed() < PATIENCE, "{what} never came: {status:#}");
            // Whoever asks all the time changes the source under each turn, which then cannot write down what it has done.
            let answered = self.asked() == status["lastHandledReconcileAt"];
            if answered && asked.is_none_or(|at: Instant| at.elapsed() > ASK_AGAIN) {
                self.follow.poke().await;
                asked = Some(Instant::now());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// What the source was asked last; nothing at first.
    fn asked(&self) -> Value {
        let kubernetes = &self.follow.running.kubernetes;
        let source = kubernetes.get("PolicySource", Some("couchestor-system"), "homelab");
        let pointer = "/metadata/annotations/reconcile.fluxcd.io~1requestedAt";
        source
            .and_then(|source| source.pointer(pointer).cloned())
            .unwrap_or_default()
    }

    async fn open(&self, after: u64) -> PullRequest {
        let open = |one: &Value| {
            one["state"] == "Open" && one["number"].as_u64().is_some_and(|number| number > after)
        };
        let record = self.record("the pull request", open).await;
        self.world
            .forge
            .get(record["number"].as_u64().unwrap())
            .await
            .unwrap()
    }
}

async fn it_is_opened_kept_up_to_date_merged_and_closed(world: World) {
    let mut stage = Stage::set(world).await;
    stage.follow.run().await;
    let first = stage.open(0).await;
    assert_eq!(first.title, "Deliver storage manifests: 5 new");
    assert_eq!(
        (first.author.as_str(), first.base_branch.as_str()),
        (stage.world.me(), "main")
    );
    for words in [
        "`clusters/homelab`",
        "storageclass.storage.k8s.io_mayastor.yaml",
        "made from StorageTier cold",
        "**No:** close this",
    ] {
        assert!(first.body.contains(words), "{words}: {}", first.body);
    }
    let said = stage.follow.until("Ready", &["True/DeliveryProposed"]).await;
    let place = &first.url[first.url.rfind("/chief/").unwrap_or_default()..];
    assert!(said.contains(place), "{said}");

    // In place.
    stage
        .push("main", "p/more.yaml", &MAP.replace("dashboard", "more"))
        .await;
    stage
        .record("the change", |one| {
            one["title"] == "Deliver storage manifests: 6 new"
        })
        .await;
    let again = stage.world.forge.get(first.number).await.unwrap();
    assert_eq!(again.title, "Deliver storage manifests: 6 new");
    assert_ne!(again.head_sha, first.head_sha);
    assert_eq!(stage.world.forge.list_open(10).await.unwrap().len(), 1);

    stage.world.merge(first.number, MergeBy::Squash, "ann").await;
    stage.record("the end", |one| one["state"] == "Merged").await;
    let tip = stage.world.tip("main").await;
    stage
        .follow
        .until("Ready", &["True/ReconciliationSucceeded: delivered", &tip])
        .await;
    let writes = stage.world.writes();
    stage.follow.turns(3).await;
    assert_eq!(
        (stage.world.writes(), stage.world.tip("main").await),
        (writes, tip)
    );

    // A no, until something else is rendered.
    stage
        .push("main", "p/more.yaml", &MAP.replace("dashboard", "less"))
        .await;
    let second = stage.open(first.number).await;
    stage.world.turn(second.number, false).await;
    stage.record("the no", |one| one["state"] == "Declined").await;
    stage.follow.until("Ready", &["True/DeliveryDeclined"]).await;
    stage.follow.turns(3).await;
    assert_eq!(stage.world.forge.list_open(10).await.unwrap().len(), 0);
    stage
        .push("main", "p/more.yaml", &MAP.replace("dashboard", "again"))
        .await;
    let third = stage.open(second.number).await;

    // A person's work on the branch stays, and when it is merged what is left of the difference is asked for.
    let theirs = stage.push(&third.head_branch, "notes.md", "words\n").await;
    stage.record("it is theirs", |one| one["state"] == "Edited").await;
    stage
        .push("main", "p/map.yaml", &MAP.replace("Storage", "Disks"))
        .await;
    stage.follow.turns(3).await;
    assert_eq!(stage.world.tip(&third.head_branch).await, theirs);
    stage.world.merge(third.number, MergeBy::Merge, "ann").await;
    let last = stage.open(third.number).await;
    assert_eq!(last.title, "Deliver storage manifests: 1 changed");
    stage.follow.halt().await;

    // Nothing is delivered any more: what was asked for is taken back.
    let kubernetes = &stage.follow.running.kubernetes;
    let mut object = kubernetes
        .get("PolicySource", Some("couchestor-system"), "homelab")
        .unwrap();
    object["spec"]["delivery"] = json!({"mode": "apply"});
    stage.follow.put(object);
    stage.follow.run().await;
    stage
        .follow
        .until("Ready", &["True/ReconciliationSucceeded: applied"])
        .await;
    let began = Instant::now();
    while stage.world.forge.get(last.number).await.unwrap().state == PullRequestState::Open {
        assert!(began.elapsed() < PATIENCE, "{:#}", stage.follow.status());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    stage.follow.halt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_gitea_it_is_opened_kept_up_to_date_merged_and_closed() {
    if servers::left_out("on_gitea_it_is_opened_kept_up_to_date_merged_and_closed") {
        return;
    }
    it_is_opened_kept_up_to_date_merged_and_closed(World::gitea().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_github_it_is_opened_kept_up_to_date_merged_and_closed() {
    it_is_opened_kept_up_to_date_merged_and_closed(World::github().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_gitlab_it_is_opened_kept_up_to_date_merged_and_closed() {
    it_is_opened_kept_up_to_date_merged_and_closed(World::gitlab().await).await;
}
