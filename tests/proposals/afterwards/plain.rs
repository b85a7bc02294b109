//! What the controller does with what was merged where there is no forge: the branch is the proposal, merging it by hand approves, and
//! deleting it declines. What it tells stands in the audit branch and in statuses.

use super::back::rolled_back;
use super::stage::Stage;
use crate::forges::world::World;
use crate::proposals::followed::{POLICIES, proposal};
use crate::proposals::life::{ByHand, by_hand, client};
use couchestor::model::ids::CommitId;
use jiff::Timestamp;
use serde_json::{Value, json};

async fn set() -> Stage {
    let more = json!({"forge": {"type": "none"}, "rejections": {"expireAfter": "720h"}});
    Stage::set(World::github().await, more).await
}

/// Waits for an open proposal of a policy.
async fn opened(stage: &mut Stage, policy: &str) -> Value {
    stage.follow.run().await;
    let open = |one: &Value| one["state"] == "Open" && one["policy"] == policy;
    let record = proposal(&stage.follow, "the branch", open).await;
    stage.follow.halt().await;
    assert!(record["number"].is_null(), "{record:#}");
    record
}

fn branch(record: &Value) -> &str {
    record["branch"].as_str().unwrap()
}

/// A person merges a proposal by hand; what base is then.
async fn merged(stage: &Stage, record: &Value, how: ByHand) -> String {
    let repository = stage.world.simulated().repository().display().to_string();
    by_hand(&repository, branch(record), how);
    stage.world.tip("main").await
}

/// A person deletes the branch, and the controller takes notice.
async fn declined(stage: &mut Stage, record: &Value) {
    stage.world.delete_branch(branch(record)).await;
    stage.follow.run().await;
    let declined = |one: &Value| one["branch"] == record["branch"] && one["state"] == "Declined";
    proposal(&stage.follow, "the no", declined).await;
    stage.follow.halt().await;
}

/// Nothing is asked for in some turns.
async fn nothing_is_open(stage: &mut Stage) {
    stage.follow.run().await;
    stage.follow.turns(3).await;
    let all = stage.follow.status()["proposals"].clone();
    let open = |one: &&Value| one["state"] == "Open";
    assert_eq!(all.as_array().unwrap().iter().find(open), None, "{all:#}");
    stage.follow.halt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_of_it_is_recorded_and_the_volume_rests() {
    for how in [ByHand::Merge, ByHand::Rebase, ByHand::CherryPick] {
        let mut stage = set().await;
        let record = opened(&mut stage, "tiering").await;
        merged(&stage, &record, how).await;
        stage.follow.run().await;
        stage.ended("Completed").await;
        let audit = async || stage.audit().await.contains("Result: Completed\n").then_some(());
        stage.until("the record", audit).await;
        stage.follow.halt().await;
        stage.load(100.0);
        nothing_is_open(&mut stage).await;
        assert_eq!(stage.migrations().len(), 1, "{how:?}");
        assert_eq!(stage.world.simulated().requests(), [""; 0], "nobody asks a forge");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_holds_until_the_load_or_the_policy_differs() {
    let mut stage = set().await;
    let first = opened(&mut stage, "tiering").await;
    declined(&mut stage, &first).await;
    stage.load(6700.0);
    nothing_is_open(&mut stage).await;
    stage.load(12_240.0);
    let second = opened(&mut stage, "tiering").await;
    assert_ne!(branch(&second), branch(&first));
    declined(&mut stage, &second).await;
    nothing_is_open(&mut stage).await;
    let other = POLICIES.replace("above: 5000", "above: 5100");
    stage.push("p/policies.yaml", &other).await;
    let third = opened(&mut stage, "tiering").await;
    assert_ne!(branch(&third), branch(&second));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_move_is_taken_back_or_not() {
    for agreed in [true, false] {
        let mut stage = set().await;
        let record = opened(&mut stage, "tiering").await;
        let tip = merged(&stage, &record, ByHand::Squash).await;
        stage.follow.put(rolled_back(&tip));
        let back = opened(&mut stage, "rollback/tiering").await;
        assert_eq!(back["title"], "Take back the failed move of db/data-0 to hot");
        let body = back["body"].as_str().unwrap();
        assert!(body.contains("the copy made no progress for 10 min"), "{body}");
        assert!(body.contains("**No:** delete the branch."), "{body}");
        if !agreed {
            declined(&mut stage, &back).await;
            nothing_is_open(&mut stage).await;
            continue;
        }
        let tip = merged(&stage, &back, ByHand::Merge).await;
        stage.follow.run().await;
        let done = |one: &Value| one["branch"] == back["branch"] && one["state"] == "Merged";
        let done = proposal(&stage.follow, "the merge", done).await;
        assert_eq!(done["moves"][0]["accepted"], true, "{done:#}");
        stage.follow.halt().await;
        assert_eq!(stage.migrations().len(), 1);
        let folder = tempfile::tempdir().unwrap();
        let person = client(&stage.world, &folder, "person");
        person.fetch("main").await.unwrap();
        let file = person
            .read_at(&CommitId(tip), "p/assignments/db/data-0.yaml")
            .await;
        let file = String::from_utf8(file.unwrap()).unwrap();
        assert!(file.contains("tier: cold"), "{file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_slower_is_proposed_to_move_back() {
    let mut stage = set().await;
    let asking =
        format!("{POLICIES}  samplingWindow: 1m\n  rollback: {{latencyWorsePercent: 50, within: 24h}}\n");
    stage.push("p/policies.yaml", &asking).await;
    let record = opened(&mut stage, "tiering").await;
    merged(&stage, &record, ByHand::Merge).await;
    stage.follow.run().await;
    let audit = async || stage.audit().await.contains("Result: Completed\n").then_some(());
    stage.until("the record", audit).await;
    stage.follow.halt().await;
    stage.slower_since(stage.ended("Completed").await, 7200);
    let back = opened(&mut stage, "slower/tiering").await;
    assert_eq!(back["title"], "Move db/data-0 back to cold: it became slower");
    merged(&stage, &back, ByHand::Merge).await;
    stage.follow.run().await;
    let moved = async || {
        let all = stage.migrations();
        let is_back = |one: &Value| one["spec"]["to"] == "cold" && one["status"]["phase"] == "Completed";
        all.into_iter().find(is_back)
    };
    stage.until("the way back", moved).await;
    stage.follow.halt().await;
}

/// What a command prints, and what it says beside that.
fn run(folder: &std::path::Path, arguments: &[&str], code: i32) -> (String, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_couchestor"));
    let output = command.current_dir(folder).args(arguments).env("HOME", folder);
    let output = output.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (data, words) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{data}{words}");
    (data, words)
}

#[tokio::test(flavor = "multi_thread")]
async fn status_says_why_volumes_are_left_alone_and_plan_where_it_differs_from_the_controller() {
    let mut stage = set().await;
    opened(&mut stage, "tiering").await;
    stage.follow.run().await;
    stage.follow.turns(1).await;
    stage.follow.halt().await;
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    std::fs::create_dir(home.join("p")).unwrap();
    std::fs::write(home.join("p/a.yaml"), POLICIES).unwrap();
    std::fs::write(home.join("k"), stage.follow.running.kubernetes.kubeconfig()).unwrap();
    let (status, _) = run(home, &["status", "--volumes", "--kubeconfig", "k"], 0);
    let told = |claim: &str, reason: &str| {
        let mut lines = status.lines();
        lines.any(|line| line.split_whitespace().collect::<Vec<_>>() == ["tiering", claim, reason])
    };
    assert!(told("web/uploads", "NoData"), "{status}");
    assert!(told("db/data-1", "BetweenWatermarks"), "{status}");
    let (plain, _) = run(home, &["status", "--kubeconfig", "k"], 0);
    assert!(
        !plain.contains("web/uploads"),
        "only when it is asked for: {plain}"
    );

    // A no that the source remembers is one, and one that it has forgotten is none.
    let (mayastor, prometheus) = (
        stage.follow.running.mayastor.url(),
        stage.follow.running.prometheus.url(),
    );
    for (hours, word) in [(719, "Declined"), (721, "cold → hot")] {
        let kubernetes = &stage.follow.running.kubernetes;
        let namespace = Some("couchestor-system");
        let mut source = kubernetes.get("PolicySource", namespace, "homelab").unwrap();
        let since = couchestor::io::clock::now().as_second() - hours * 3600;
        let record = &mut source["status"]["proposals"][0];
        record["state"] = "Declined".into();
        record["since"] = Timestamp::from_second(since).unwrap().to_string().into();
        stage.follow.put(source);
        let plan = [
            "plan",
            "p",
            "--kubeconfig",
            "k",
            "--mayastor-url",
            &mayastor,
            "--prometheus-url",
            &prometheus,
        ];
        let code = if word == "Declined" { 0 } else { 2 };
        let (text, words) = run(home, &plan, code);
        let mut lines = text.lines();
        let line = lines
            .find(|line| line.starts_with("db/data-0 "))
            .unwrap_or_default();
        assert!(line.contains(word), "{hours}: {text}");
        let limits = "PolicySource couchestor-system/homelab has at most 3 proposals open at one time";
        assert!(words.contains(limits), "{words}");
    }
}
