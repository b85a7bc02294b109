//! Promotions by pull request: asked once, told of, taken for a yes when they are merged and for a no when they are closed.

use super::assert_on;
use super::world::{CLAIM, FILE, World, text};
use crate::forges::world::{Host, World as Hub};
use crate::support::servers;
use couchestor::model::kinds::policy_source::ProposalState;
use couchestor::model::pull_request::ForgeKind;
use couchestor::sim::forge::{MergeBy, Standing};
use couchestor::sim::kubernetes::{On, What};
use serde_json::{Value, json};

/// Turns until something is there.
async fn until(world: &mut World, what: &str, holds: impl Fn(&World) -> bool) {
    for _ in 0..40 {
        if holds(world) {
            return;
        }
        world.turns(1).await;
    }
    panic!(
        "{what} never came: {:#?} {:#?}",
        world.before.proposals,
        world.get("Rollout", "onto-fast")
    );
}

fn pulls(world: &World) -> Vec<couchestor::sim::forge::Pull> {
    world
        .hub
        .as_ref()
        .unwrap()
        .simulated()
        .with(|state| state.pulls.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phase_that_may_move_is_asked_for_once_and_its_merge_moves_it() {
    for kind in [ForgeKind::Github, ForgeKind::Gitlab] {
        let hub = Hub::sim(kind).await;
        let mut world = World::with(Some(hub)).await;
        until(&mut world, "a pull request", |world| !pulls(world).is_empty()).await;
        world.turns(3).await;
        let all = pulls(&world);
        assert_eq!(all.len(), 1, "asked once: {all:#?}");
        let pull = &all[0];
        assert_eq!(
            pull.title,
            "Promote phase shops of rollout onto-fast: move 1 volume onto fast"
        );
        for words in [
            "| `shop/data-shop-0` | slow | 1 GiB | `StatefulSet/shop` | moves |",
            "**What is down:**",
            "Suspended meanwhile: `Kustomization flux-system/apps`",
            "**No:** close this without merging",
            "**Undo:** revert the merge",
        ] {
            assert!(pull.body.contains(words), "{words}\n{}", pull.body);
        }
        assert!(
            world.sim().list("WorkloadMove").is_empty(),
            "nothing moves before"
        );

        let number = pull.number;
        world
            .hub
            .as_ref()
            .unwrap()
            .merge(number, MergeBy::Merge, "ben")
            .await;
        world.until(1, "Completed").await;
        assert_on(&world, "fast", 2, "merged");
        let one = world.newest().unwrap();
        assert_eq!(one["spec"]["approved"]["mergedBy"], "ben", "{one:#}");
        assert_eq!(one["spec"]["approved"]["pullRequest"], number);
        world.turns(2).await;
        let said: Vec<String> = pulls(&world)[0]
            .comments
            .iter()
            .map(|one| one.body.clone())
            .collect();
        let told = said
            .iter()
            .any(|one| one.contains("**Moved.**") && one.contains("| `shop/data-shop-0` |"));
        assert!(told, "{said:#?}");

        world.demote();
        world.until(2, "Completed").await;
        assert_on(&world, "slow", 2, "reverted");
        world.turns(3).await;
        assert_eq!(
            pulls(&world).len(),
            1,
            "what was taken back is not asked for again"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_real_gitea_it_is_asked_for_merged_and_told_of() {
    if servers::left_out("on_a_real_gitea_it_is_asked_for_merged_and_told_of") {
        return;
    }
    let mut world = World::with(Some(Hub::gitea().await)).await;
    let asked = |world: &World| world.before.proposals.iter().find_map(|one| one.number);
    until(&mut world, "a pull request", |world| asked(world).is_some()).await;
    world.turns(3).await;
    let number = asked(&world).unwrap();
    let open = hub(&world).forge.list_open(10).await.unwrap();
    assert_eq!(open.len(), 1, "asked once: {open:#?}");
    let pull = hub(&world).forge.get(number).await.unwrap();
    assert_eq!(
        (pull.title.as_str(), pull.base_branch.as_str()),
        (
            "Promote phase shops of rollout onto-fast: move 1 volume onto fast",
            "main"
        )
    );
    assert!(
        pull.body.contains("| `shop/data-shop-0` | slow | 1 GiB |"),
        "{}",
        pull.body
    );
    assert!(
        world.sim().list("WorkloadMove").is_empty(),
        "nothing moves before"
    );

    hub(&world).merge(number, MergeBy::Merge, "ben").await;
    world.until(1, "Completed").await;
    assert_on(&world, "fast", 2, "merged on Gitea");
    let one = world.newest().unwrap();
    assert_eq!(one["spec"]["approved"]["mergedBy"], "ben", "{one:#}");
    assert_eq!(one["spec"]["approved"]["pullRequest"], number, "{one:#}");
    let mut records = world.before.proposals.iter();
    let record = records.find(|one| one.number == Some(number)).unwrap();
    assert_eq!(record.state, ProposalState::Merged, "{record:#?}");

    world.turns(2).await;
    let said = comments(&world, number).await;
    let told: Vec<&String> = said.iter().filter(|one| one.contains("**Moved.**")).collect();
    assert_eq!(told.len(), 1, "one comment lives: {said:#?}");
    assert!(told[0].contains("| `shop/data-shop-0` |"), "{said:#?}");
    let statuses = hub(&world).statuses(text(&one, "/spec/approved/commit")).await;
    let status = statuses.get("couchestor/workloads").map(String::as_str);
    assert_eq!(status, Some("success"), "{statuses:#?}");
    let writes = hub(&world).writes();
    world.turns(3).await;
    assert_eq!(hub(&world).writes(), writes, "what was told is told once");
    assert!(hub(&world).forge.list_open(10).await.unwrap().is_empty());

    world.demote();
    world.until(2, "Completed").await;
    assert_on(&world, "slow", 2, "reverted on Gitea");
}

fn hub(world: &World) -> &Hub {
    world.hub.as_ref().unwrap()
}

/// What stands under a pull request of the real Gitea.
async fn comments(world: &World, number: u64) -> Vec<String> {
    let Host::Gitea(repository) = &hub(world).host else {
        panic!("it is no Gitea")
    };
    let path = format!("/issues/{number}/comments");
    let all = repository.done("ann", "GET", &path, &Value::Null).await;
    let all = all.as_array().cloned().unwrap_or_default();
    all.iter().map(|one| text(one, "/body").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_closes_it_has_said_no_to_the_phase_as_it_is_written() {
    let mut world = World::with(Some(Hub::github().await)).await;
    until(&mut world, "a pull request", |world| !pulls(world).is_empty()).await;
    let number = pulls(&world)[0].number;
    world.hub.as_ref().unwrap().turn(number, false).await;
    world.turns(5).await;
    assert_eq!(pulls(&world).len(), 1, "a no is remembered");
    assert!(world.sim().list("WorkloadMove").is_empty());
    // Written differently it is another question.
    let other = super::world::ROLLOUT.replace("{namespace: shop}]", "{namespace: shop}]\n    soak: 1h");
    world.follow.commit("p/rollout.yaml", &other, &[]);
    world.follow.git(&["push", "-q", "origin", "main"]);
    until(&mut world, "another pull request", |world| {
        pulls(world).len() == 2
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_moved_any_more_is_not_asked_for_any_more() {
    let mut world = World::with(Some(Hub::github().await)).await;
    until(&mut world, "a pull request", |world| !pulls(world).is_empty()).await;
    world.put(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "by-hand", "namespace": "shop"},
        "spec": {"containers": [{"name": "x", "image": "x"}], "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": CLAIM}}]},
        "status": {"phase": "Running"}}));
    let closed = |world: &World| {
        pulls(world)[0]
            .comments
            .iter()
            .any(|one| one.body.contains("none of it can be moved"))
    };
    until(&mut world, "a word why", closed).await;
    let said = &pulls(&world)[0].comments;
    assert!(
        said.iter()
            .any(|one| one.body.contains("pod by-hand uses a claim")),
        "{said:#?}"
    );
    // It may again: it is asked again.
    world.sim().remove("Pod", Some("shop"), "by-hand");
    until(&mut world, "another pull request", |world| {
        pulls(world).len() == 2
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_forge_the_branch_is_the_question_and_merging_it_the_answer() {
    let mut world = World::new().await;
    let branch = |world: &World| {
        let all = world.follow.git(&["ls-remote", "--heads", "origin"]);
        all.lines().find_map(|line| {
            let (_, name) = line.split_once("refs/heads/")?;
            name.contains("moves/rollout/onto-fast").then(|| name.to_owned())
        })
    };
    until(&mut world, "a branch", |world| branch(world).is_some()).await;
    let name = branch(&world).unwrap();
    world.follow.git(&["fetch", "-q", "origin"]);
    let file = world.follow.git(&["show", &format!("origin/{name}:{FILE}")]);
    for line in [
        "kind: RolloutPromotion",
        "rollout: onto-fast",
        "phase: shops",
        "shop/data-shop-0",
        "keepOldVolumes: true",
    ] {
        assert!(file.contains(line), "{line}: {file}");
    }
    world
        .follow
        .git(&["merge", "-q", "--no-ff", "-m", "yes", &format!("origin/{name}")]);
    world.follow.git(&["push", "-q", "origin", "main"]);
    world.until(1, "Completed").await;
    assert_on(&world, "fast", 2, "merged by hand");
    world.turns(3).await;
    assert_eq!(branch(&world), None, "the branch is taken away");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_looked_at_takes_no_question_back() {
    let mut world = World::with(Some(Hub::github().await)).await;
    until(&mut world, "a pull request", |world| !pulls(world).is_empty()).await;
    world.turns(2).await;
    for (resource, looks) in [("rollouts.storage.billyronks.io", 3), ("daemonsets.apps", 3)] {
        for _ in 0..looks {
            let faults = world.sim().faults();
            faults.order(On::of("list", resource), 1, What::Answer(500));
            world.turns(1).await;
            assert_eq!(world.sim().faults().left(), 0, "{resource} are looked at");
        }
        world.turns(2).await;
        let all = pulls(&world);
        assert_eq!(all.len(), 1, "{resource}: {all:#?}");
        assert_eq!(all[0].standing, Standing::Open, "{resource}");
        let said = &all[0].comments;
        let withdrawn = said.iter().any(|one| one.body.contains("not to be promoted now"));
        assert!(!withdrawn, "{resource}: {said:#?}");
    }
    // After a no nobody looks any more.
    let number = pulls(&world)[0].number;
    world.hub.as_ref().unwrap().turn(number, false).await;
    world.turns(3).await;
    world.sim().requests().clear();
    world.turns(2).await;
    assert_eq!(world.sim().requests().count("list", "daemonsets.apps"), 0);
    let judged = world
        .sim()
        .requests()
        .count("list", "rollouts.storage.billyronks.io");
    assert!(judged > 0, "rollouts are judged all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_of_two_promotions_of_one_pull_request_is_told_in_one_comment() {
    let mut world = World::with(Some(Hub::github().await)).await;
    let other = super::world::ROLLOUT
        .replace("onto-fast", "onto-other")
        .replace("storageClassName: fast", "storageClassName: other")
        .replace("namespace: shop", "namespace: mail");
    world.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "mail"}}));
    let claim = world.put(json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "box", "namespace": "mail"},
        "spec": {"storageClassName": "slow", "accessModes": ["ReadWriteOnce"], "volumeName": "pvc-box",
            "resources": {"requests": {"storage": "1Gi"}}},
        "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}}));
    world.put(json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "pvc-box"},
        "spec": {"storageClassName": "slow", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"},
            "persistentVolumeReclaimPolicy": "Delete", "csi": {"driver": "example.org/disk", "volumeHandle": "pvc-box"},
            "claimRef": {"namespace": "mail", "name": "box", "uid": claim["metadata"]["uid"]}},
        "status": {"phase": "Bound"}}));
    world.follow.commit("p/other.yaml", &other, &[]);
    world.follow.git(&["push", "-q", "origin", "main"]);
    world.turns(2).await;
    world.follow.git(&["checkout", "-q", "-b", "both"]);
    for rollout in ["onto-fast", "onto-other"] {
        let path = format!("p/assignments/rollouts/{rollout}/shops.yaml");
        let mut promotion = world.promotion(rollout, "");
        if rollout == "onto-other" {
            promotion = promotion.replace("shop/data-shop-0", "mail/box");
        }
        world.follow.commit(&path, &promotion, &[]);
    }
    world.follow.git(&["push", "-q", "origin", "both"]);
    world.follow.git(&["checkout", "-q", "main"]);
    let hub = world.hub.as_ref().unwrap();
    let both = ("both", "main");
    let number = hub.simulated().open("ann", "Both", both, false).unwrap();
    hub.merge(number, MergeBy::Squash, "ben").await;
    world.until(1, "Completed").await;
    world.turns(3).await;
    let told = |world: &World| {
        let all = pulls(world);
        let pull = all.iter().find(|one| one.number == number).unwrap();
        let said: Vec<String> = pull.comments.iter().map(|one| one.body.clone()).collect();
        said.join("\n")
    };
    let (said, writes) = (told(&world), world.hub.as_ref().unwrap().writes());
    for words in ["| `shop/data-shop-0` |", "there is no StorageClass other"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    world.turns(3).await;
    assert_eq!(
        world.hub.as_ref().unwrap().writes(),
        writes,
        "{said}\n{}",
        told(&world)
    );
}
