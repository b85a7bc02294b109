//! The controller itself with a forge: it opens a pull request, keeps it up to date, and carries out what a person merges there.

use super::life::client;
use crate::forges::world::{Host, World};
use crate::support::follow::Follow;
use crate::support::{say, seed, servers};
use couchestor::io::git::{Lease, Signature};
use couchestor::model::pull_request::{ForgeKind, PullRequest, PullRequestState};
use couchestor::model::rendering::FileChange;
use couchestor::sim::forge::{Fault, MergeBy, REPOSITORY};
use couchestor::sim::prometheus::Load;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

pub const PATIENCE: Duration = Duration::from_secs(60);

pub const POLICIES: &str = "\
apiVersion: storage.billyronks.io/v1
kind: StorageTier
metadata: {name: cold}
spec: {rank: 10, costPerGiBMonth: 0.05, poolSelector: {matchLabels: {storage-tier: cold}}}
---
apiVersion: storage.billyronks.io/v1
kind: StorageTier
metadata: {name: hot}
spec: {rank: 100, costPerGiBMonth: 0.3, poolSelector: {matchLabels: {storage-tier: hot}}}
---
apiVersion: storage.billyronks.io/v1
kind: StoragePolicy
metadata: {name: tiering}
spec:
  tiers: [cold, hot]
  signals: [{name: iops, above: 5000, below: 500}]
  notHeatWhen: [{name: requestSize, above: 262144}, {name: readRatio, above: 0.95}]
";

/// The volumes of the example's world.
pub const VOLUMES: [&str; 2] = [
    "pvc-5f3c1c6e-0b1d-4c86-9d5e-2b8f6f0a0001",
    "pvc-5f3c1c6e-0b1d-4c86-9d5e-2b8f6f0a0002",
];

pub async fn policies(world: &World) {
    let folder = tempfile::tempdir().unwrap();
    let person = client(world, &folder, "person");
    let tip = person.fetch("main").await.unwrap().branches["main"].clone();
    let files = vec![FileChange {
        path: "p/policies.yaml".into(),
        content: Some(POLICIES.into()),
    }];
    let who = Signature {
        name: "Ann".into(),
        email: "ann@example.org".into(),
    };
    let (lease, at) = (
        Lease::At(tip.clone()),
        Timestamp::from_second(1_790_000_000).unwrap(),
    );
    let pushed = person.push_as(&who, "main", lease, Some(tip), files, "Policies\n".into(), at);
    pushed.await.unwrap();
}

pub fn source(world: &World, follow: &Follow, more: Value) {
    let mut forge = json!({"secretRef": {"name": "forge"}});
    forge["type"] = match world.kind() {
        ForgeKind::Github => "github".into(),
        ForgeKind::Gitlab => "gitlab".into(),
        ForgeKind::Gitea => "gitea".into(),
    };
    follow.secret("forge", json!({"token": world.token}));
    let mut spec = match &world.host {
        Host::Sim(sim) => {
            forge["url"] = sim.url().into();
            forge["repository"] = REPOSITORY.into();
            json!({"url": format!("file://{}", sim.repository().display())})
        }
        Host::Gitea(repository) => {
            forge["url"] = world.door.as_ref().expect("a door before Gitea").url().into();
            forge["repository"] = repository.name.as_str().into();
            follow.secret("git", json!({"username": world.me(), "password": world.token}));
            json!({"url": repository.git_url(), "secretRef": {"name": "git"}})
        }
    };
    spec["proposals"] = json!({"path": "assignments", "labels": ["storage"], "forge": forge});
    for (key, value) in more.as_object().unwrap() {
        spec["proposals"][key] = value.clone();
    }
    follow.source(spec);
}

/// Waits until the source's status shows one proposal of which this holds.
pub async fn proposal(follow: &Follow, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let status = follow.status();
        let all = status["proposals"].as_array().cloned().unwrap_or_default();
        if let Some(found) = all.into_iter().find(&holds) {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what} never came: {status:#}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub async fn shown(world: &World, proposal: &Value) -> PullRequest {
    let number = proposal["number"].as_u64().unwrap();
    world.forge.get(number).await.unwrap()
}

pub fn moves(proposal: &Value) -> usize {
    proposal["moves"].as_array().map_or(0, Vec::len)
}

async fn opens_refreshes_and_carries_out_what_is_merged(world: World) {
    policies(&world).await;
    let mut follow = Follow::new().await;
    source(&world, &follow, json!({}));
    let load = |volume: &str, load: Load| follow.running.prometheus.set(volume, Some(load));
    load(VOLUMES[0], Load::random(6120.0, 1.0));
    // As busy, and no heat: it is read from end to end in large pieces.
    let backup = Load {
        request_bytes: 1_048_576.0,
        read_ratio: 1.0,
        ..Load::random(9000.0, 1.0)
    };
    load(VOLUMES[1], backup);
    follow.run().await;

    let first = proposal(&follow, "the pull request", |one| one["number"].is_u64()).await;
    let pull = shown(&world, &first).await;
    assert_eq!(pull.title, "Move db/data-0 from cold to hot");
    assert_eq!(
        (pull.author.as_str(), pull.base_branch.as_str()),
        (world.me(), "main")
    );
    assert!(pull.labels.contains(&"storage".to_owned()), "{:?}", pull.labels);
    for words in ["6120 IOPS", "+10.00", "a request size of 1024 KiB is no heat"] {
        assert!(pull.body.contains(words), "{words}: {}", pull.body);
    }

    follow
        .running
        .prometheus
        .set(VOLUMES[1], Some(Load::random(9000.0, 1.0)));
    let second = proposal(&follow, "the second move", |one| moves(one) == 2).await;
    assert_eq!(second["number"], first["number"], "the same pull request");
    let pull = shown(&world, &second).await;
    assert_eq!(pull.title, "Move 2 volumes by tiering: 2 to hotter tiers");
    assert_eq!(world.forge.list_open(10).await.unwrap().len(), 1);

    world.merge(pull.number, MergeBy::Squash, "ann").await;
    let merged = proposal(&follow, "the merge", |one| one["state"] == "Merged").await;
    let accepted = |one: &Value| one["accepted"] == true;
    assert!(
        merged["moves"].as_array().unwrap().iter().all(accepted),
        "{merged:#}"
    );
    let began = Instant::now();
    loop {
        let all = follow.running.kubernetes.list("VolumeMigration");
        let done = all
            .iter()
            .filter(|one| one["status"]["phase"] == "Completed")
            .count();
        if done == 2 {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "the moves never ended: {all:#?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(shown(&world, &merged).await.state, PullRequestState::Merged);
    follow.halt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_real_gitea() {
    if servers::left_out("proposals::followed::on_a_real_gitea") {
        return;
    }
    opens_refreshes_and_carries_out_what_is_merged(World::gitea().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_github() {
    opens_refreshes_and_carries_out_what_is_merged(World::github().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_gitlab() {
    opens_refreshes_and_carries_out_what_is_merged(World::gitlab().await).await;
}

/// Faults at any request to the forge, and a controller that ends now and then: without a merge nothing is moved, and with one each
/// move that was approved is made once.
#[tokio::test(flavor = "multi_thread")]
async fn under_faults_nothing_moves_without_a_merge_and_each_approved_move_is_made_once() {
    const FAULTS: [Fault; 8] = [
        Fault::LostReply,
        Fault::ErrorAfter,
        Fault::ErrorBefore,
        Fault::Cut,
        Fault::Stale,
        Fault::Race,
        Fault::TooMany(0),
        Fault::Secondary(0),
    ];
    let mut random = fastrand::Rng::with_seed(seed("the controller under faults"));
    let mut happened = 0;
    for world in [World::github().await, World::gitlab().await] {
        policies(&world).await;
        let mut follow = Follow::new().await;
        source(&world, &follow, json!({}));
        for volume in VOLUMES {
            let load = Load::random(7000.0, 1.0);
            follow.running.prometheus.set(volume, Some(load));
        }
        let migrations = |follow: &Follow| follow.running.kubernetes.list("VolumeMigration");
        world.simulated().faults_by_chance(random.u64(..), 3, &FAULTS);
        for _ in 0..3 {
            follow.run().await;
            follow.turns(random.u64(1..4)).await;
            assert_eq!(migrations(&follow).len(), 0, "nobody has merged anything");
        }
        world.simulated().no_faults();
        let both = |one: &Value| one["state"] == "Open" && one["number"].is_u64() && moves(one) == 2;
        let asked = proposal(&follow, "both moves", both).await;
        follow.turns(2).await;
        assert_eq!(world.forge.list_open(10).await.unwrap().len(), 1);
        assert_eq!(migrations(&follow).len(), 0, "nobody has merged anything");
        follow.halt().await;
        let number = asked["number"].as_u64().unwrap();
        world.merge(number, MergeBy::Squash, "ann").await;
        world.simulated().faults_by_chance(random.u64(..), 3, &FAULTS);
        for _ in 0..3 {
            follow.run().await;
            follow.turns(random.u64(1..4)).await;
        }
        happened += world.simulated().happened().len();
        world.simulated().no_faults();
        let began = Instant::now();
        let completed = |all: &[Value]| all.iter().all(|one| one["status"]["phase"] == "Completed");
        while migrations(&follow).len() < 2 || !completed(&migrations(&follow)) {
            let all = migrations(&follow);
            assert!(began.elapsed() < PATIENCE, "the moves never ended: {all:#?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        follow.turns(2).await;
        let all = migrations(&follow);
        let mut moved: Vec<&str> = all
            .iter()
            .filter_map(|one| one["spec"]["volume"].as_str())
            .collect();
        moved.sort_unstable();
        assert_eq!(moved, VOLUMES, "{all:#?}");
        follow.halt().await;
    }
    assert!(happened > 0, "nothing went wrong");
    say(&format!(
        "{happened} faults, and each approved move was made once"
    ));
}

/// A person pushes a file to main.
async fn pushed(world: &World, path: &str, text: &str) {
    let folder = tempfile::tempdir().unwrap();
    let person = client(world, &folder, "person");
    let tip = person.fetch("main").await.unwrap().branches["main"].clone();
    let files = vec![FileChange {
        path: path.into(),
        content: Some(text.into()),
    }];
    let who = Signature {
        name: "Ann".into(),
        email: "ann@example.org".into(),
    };
    let at = Timestamp::from_second(1_790_000_100).unwrap();
    let lease = Lease::At(tip.clone());
    let pushed = person.push_as(&who, "main", lease, Some(tip), files, "Template\n".into(), at);
    pushed.await.unwrap();
}

/// People write the text of proposals themselves, in Git; a mistake in it costs their words, and no proposal.
#[tokio::test(flavor = "multi_thread")]
async fn a_template_in_the_repository_is_what_proposals_say() {
    let world = World::github().await;
    policies(&world).await;
    let ours = "# Please: {{ summary }}\n\nDear colleagues, {{ policy }} asks for {{ total.moves }}.\n\
                {% for one in moves %}\n- {{ one.claim }} to {{ one.to }}{% endfor %}\n";
    pushed(&world, "templates/moves.md", ours).await;
    let mut follow = Follow::new().await;
    source(&world, &follow, json!({"template": "templates/moves.md"}));
    let load = |follow: &Follow, volume: usize, iops| {
        let load = Load::random(iops, 1.0);
        follow.running.prometheus.set(VOLUMES[volume], Some(load));
    };
    load(&follow, 0, 6120.0);
    follow.run().await;
    let first = proposal(&follow, "the pull request", |one| one["number"].is_u64()).await;
    let pull = shown(&world, &first).await;
    assert_eq!(pull.title, "Please: Move db/data-0 from cold to hot");
    let body = "Dear colleagues, tiering asks for 1.\n- db/data-0 to hot";
    assert_eq!(pull.body.trim(), body);
    follow
        .until("TemplateUsed", &["True/TemplateUsed: templates/moves.md"])
        .await;
    // It is broken, and other moves are wanted.
    pushed(&world, "templates/moves.md", "# {{ summary }}\n\n{{ nobody }}\n").await;
    let words = [
        "False/TemplateWrong",
        "templates/moves.md:3: undefined value",
        "the built-in template is used",
    ];
    follow.until("TemplateUsed", &words).await;
    load(&follow, 1, 9000.0);
    let second = proposal(&follow, "the second move", |one| moves(one) == 2).await;
    assert_eq!(second["number"], first["number"]);
    let began = Instant::now();
    loop {
        let pull = shown(&world, &second).await;
        if pull.title == "Move 2 volumes by tiering: 2 to hotter tiers" {
            assert!(
                pull.body.contains("9000 IOPS") && !pull.body.contains("Dear"),
                "{}",
                pull.body
            );
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{}", pull.title);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // What budgets make of many moves is said too.
    let budgets = format!("{POLICIES}  budgets: {{movesPerHour: 1}}\n");
    pushed(&world, "p/policies.yaml", &budgets).await;
    let began = Instant::now();
    while !shown(&world, &second).await.body.contains("at most 1 in an hour") {
        let body = shown(&world, &second).await.body;
        assert!(began.elapsed() < PATIENCE, "{body}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // It is gone: that is told too, and nothing else changes.
    let gone = json!({"template": "templates/none.md"});
    source(&world, &follow, gone);
    let words = [
        "False/TemplateWrong",
        "templates/none.md",
        "spec.proposals.template",
    ];
    follow.until("TemplateUsed", &words).await;
    follow.until("Ready", &["True/ReconciliationSucceeded"]).await;
    follow.halt().await;
}
