//! What the controller does with what was merged: it looks once more, asks who approved, and tells what became of it.

use super::followed::{POLICIES, VOLUMES, proposal, shown};
use super::life::client;
use crate::forges::world::World;
use crate::support::follow::Follow;
use crate::support::{say, seed, servers};
use back::{
    a_failed_move_is_told_and_taken_back, a_no_to_the_way_back_is_remembered,
    what_became_slower_is_proposed_to_move_back,
};
use couchestor::model::pull_request::ForgeKind;
use couchestor::sim::forge::{Fault, MergeBy, Verdict};
use couchestor::sim::prometheus::Load;
use jiff::Timestamp;
use serde_json::{Value, json};
use stage::Stage;
use std::time::Duration;

/// What all of it is done in.
mod stage;

/// The way back.
mod back;

/// What cannot be measured.
mod blind;

/// What can never be carried out.
mod over;

/// The same on plain Git.
mod plain;

async fn what_became_of_it_is_told(world: World) {
    let mut stage = Stage::set(world, json!({})).await;
    let number = stage.opened().await;
    stage.world.review(number, "ann", Verdict::Approve).await;
    // What was merged is not what was seen, and it is told which head that was.
    let (seen, merged) = stage.pushed(number).await;
    assert_ne!(seen[..10], merged[..10]);
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
    let reviewed = format!("ann ({})", &seen[..10]);
    assert_eq!(approved["reviewedBy"], json!([reviewed]), "{approved:#}");
    let known = stage.merge(number);
    assert_eq!(
        (&known["mergedBy"], &known["head"]),
        (&json!("ann"), &json!(merged))
    );
    assert_eq!(
        known["approvedBy"],
        json!([{"login": "ann", "head": seen}]),
        "{known:#}"
    );
    let audit = stage.audit().await;
    for trailer in [
        format!("Pull-Request: {number}\n"),
        "Merged-By: ann\n".to_owned(),
        format!("Reviewed-By: {reviewed}\n"),
    ] {
        assert!(audit.contains(&trailer), "{trailer}: {audit}");
    }
    // All is said: a controller that forgot everything but its status writes nothing more.
    stage.follow.halt().await;
    let before = stage.writes();
    assert!(before > 0, "what it wrote was counted");
    stage.follow.run().await;
    stage.follow.turns(3).await;
    assert_eq!(stage.writes(), before);
    stage.told(number, "| moved |").await;
    assert_eq!(stage.migrations().len(), 1);
    // The next proposal says how long such a move takes.
    let load = Load::random(6120.0, 1.0);
    stage.follow.running.prometheus.set(VOLUMES[1], Some(load));
    let next = |one: &Value| one["state"] == "Open" && one["number"].as_u64() > Some(number);
    let next = proposal(&stage.follow, "another pull request", next).await;
    let body = shown(&stage.world, &next).await.body;
    let row = body.lines().find(|line| line.starts_with("| `")).unwrap();
    assert!(row.contains(" min | "), "{row}");
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
    // What a pull request brings is not followed, so nobody is told what it would change.
    let other = stage.touched(&stage.world.tip("main").await).await;
    let head = stage.world.forge.get(other).await.unwrap().head_sha;
    stage.follow.poke().await;
    stage.follow.turns(3).await;
    assert_eq!(stage.world.forge.comments(other, None).await.unwrap().len(), 0);
    assert!(
        !stage
            .world
            .statuses(head.as_str())
            .await
            .contains_key("couchestor/plan")
    );
    assert_eq!(stage.follow.status()["reviews"].as_array().map_or(0, Vec::len), 0);
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
    assert!(happened > 0, "nothing went wrong");
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

/// What is closed because its load fell says of which volume, and what is so now.
async fn what_no_longer_holds_is_closed_with_its_reason(world: World) {
    let mut stage = Stage::set(world, json!({})).await;
    let number = stage.opened().await;
    stage.load(3000.0);
    stage.follow.run().await;
    let closed = async || {
        let all = stage.world.forge.comments(number, None).await.unwrap();
        let said = |body: &String| body.contains("not proposed any more");
        all.into_iter().map(|one| one.body).find(said)
    };
    let text = stage.until("the comment", closed).await;
    let why = "- `db/data-0`: 3000 IOPS lies between the thresholds";
    assert!(text.contains(why), "{text}");
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
    stage.pushed(number).await;
    stage.world.merge(number, MergeBy::Merge, "ben").await;
    stage.follow.run().await;
    stage.told(number, "approved by 0 of 1").await;
    stage.follow.turns(3).await;
    assert_eq!(stage.migrations().len(), 0, "{:#?}", stage.migrations());
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
    what_no_longer_holds_is_closed_with_its_reason
    a_no_holds_until_the_load_differs_or_it_is_forgotten
    a_moved_volume_rests
    what_was_pushed_after_the_approval_is_not_carried_out
}
