//! Plans on pull requests, on simulated GitHub and GitLab and a real Gitea: one list of claims for all of them.

use crate::forges::world::World;
use couchestor::model::kinds::review::ReviewResult;
use couchestor::sim::prometheus::Load;
use ended::*;
use life::{BACKUPS, Life, POLICY, TIERS, assignment};
use own::*;

/// A repository, its forge, a cluster and a controller.
mod life;

/// The controller itself.
mod followed;

/// The comment as people see it.
mod golden;

/// What faults, a second source and time change: nothing.
mod steady;

/// What becomes of a plan when its pull request ends.
mod ended;

/// Plans on proposals of ours.
mod own;

/// Each claim on each host.
macro_rules! reviews {
    ($($claim:ident)*) => {
        mod github {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $claim() {
                super::$claim(super::Life::new(super::World::github().await).await).await;
            })*
        }
        mod gitlab {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $claim() {
                super::$claim(super::Life::new(super::World::gitlab().await).await).await;
            })*
        }
        mod gitea {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $claim() {
                if crate::support::servers::left_out(concat!("reviews::gitea::", stringify!($claim))) {
                    return;
                }
                super::$claim(super::Life::new(super::World::gitea().await).await).await;
            })*
        }
    };
}

reviews! {
    it_says_what_is_created_changed_deleted_scheduled_and_moved
    a_lower_threshold_says_which_moves_would_be_proposed
    mistakes_are_told_with_their_lines
    what_the_api_server_refuses_is_told
    a_new_head_changes_the_same_comment
    when_base_moves_on_the_plan_is_made_anew
    a_conflict_is_said
    what_touches_no_policies_is_left_in_peace
    commands_are_obeyed_once_and_only_from_who_may
    after_the_merge_the_same_comment_says_what_came_of_it
    a_merge_that_is_not_applied_is_said_so
    closed_without_a_merge_it_is_forgotten
    a_fork_gets_neither_keys_nor_the_cluster
    what_was_encrypted_stays_unsaid
    a_quiet_turn_writes_nothing
    one_of_ours_that_somebody_holds_stays_as_it_is
}

async fn it_says_what_is_created_changed_deleted_scheduled_and_moved(mut life: Life) {
    life.good_turn().await;
    let archive = "---\napiVersion: storage.billyronks.io/v1\nkind: StorageTier\nmetadata: {name: archive}\n\
                   spec: {rank: 1, poolSelector: {matchLabels: {storage-tier: archive}}}\n";
    let number = life
        .open(
            "change",
            &[
                ("p/tiers.yaml", Some(&format!("{TIERS}{archive}"))),
                ("p/policy.yaml", Some(&POLICY.replace("50000", "60000"))),
                ("p/backups.yaml", Some(&BACKUPS.replace("0 2 * * *", "0 5 * * *"))),
                ("p/notes.yaml", None),
                ("p/assignments/db/data-0.yaml", Some(&assignment("hot"))),
            ],
        )
        .await;
    let writes = life.running.kubernetes.requests().writes();
    life.good_turn().await;
    assert_eq!(
        life.running.kubernetes.requests().writes(),
        writes,
        "nothing is changed"
    );
    let comment = life.comment(number).await;
    for words in [
        "`StorageTier archive` in `p/tiers.yaml`",
        "`StoragePolicy tiering` in `p/policy.yaml`",
        "`spec.signals[iops].above`: `50000` → `60000`",
        "`ConfigMap db/notes` in `p/notes.yaml`",
        "`velero/daily-backup`: `0 2 * * *` → `0 5 * * *`",
        "| `db/data-0` | cold | hot | approved by this merge",
        "1 volume to move later",
    ] {
        assert!(comment.contains(words), "{words}: {comment}");
    }
    let tried = life.running.kubernetes.requests().all();
    assert!(tried.iter().any(|one| one.dry_run), "the API server was asked");
    let (state, words) = life.state(&life.head(number).await).await;
    assert_eq!(state, "success");
    assert!(words.contains("1 object deleted"), "{words}");
    assert_eq!(life.review(number).unwrap().result, ReviewResult::Planned);
}

async fn a_lower_threshold_says_which_moves_would_be_proposed(mut life: Life) {
    let load = Load::random(6120.0, 1.0);
    life.running.prometheus.set(life::VOLUME, Some(load));
    // The same in the clear, and encrypted: then neither the threshold nor the policy's name is told.
    let sealed = |life: &Life, above: u64| {
        let policy = serde_json::json!({
            "apiVersion": "storage.billyronks.io/v1", "kind": "StoragePolicy", "metadata": {"name": "tiering"},
            "spec": {"tiers": ["cold", "hot"], "signals": [{"name": "iops", "above": above, "below": 1}]},
        });
        life.sealer.yaml(&policy.to_string())
    };
    life.good_turn().await;
    let lower = POLICY.replace("50000", "5000");
    let number = life.open("lower", &[("p/policy.yaml", Some(&lower))]).await;
    life.good_turn().await;
    let comment = life.comment(number).await;
    for words in [
        "`spec.signals[iops].above`: `50000` → `5000`",
        "| `db/data-0` | cold | hot | a move would be proposed",
        "StoragePolicy tiering",
        "1 volume to be proposed",
    ] {
        assert!(comment.contains(words), "{words}: {comment}");
    }
    assert_eq!(life.status.proposals, [], "it is only said");

    let (high, low) = (9_876_543, 5432);
    life.commit("main", None, &[("p/policy.yaml", Some(&sealed(&life, high)))])
        .await;
    life.good_turn().await;
    let lower = sealed(&life, low);
    let number = life.open("sealed", &[("p/policy.yaml", Some(&lower))]).await;
    life.good_turn().await;
    let comment = life.comment(number).await;
    for words in [
        "changed (secret)",
        "| `db/data-0` | cold | hot | a move would be proposed",
        "an encrypted StoragePolicy",
    ] {
        assert!(comment.contains(words), "{words}: {comment}");
    }
    let said = format!("{comment}{:?}", life.state(&life.head(number).await).await);
    for hidden in [high.to_string(), low.to_string(), "tiering".to_owned()] {
        assert!(!said.contains(&hidden), "{hidden}: {said}");
    }
}

async fn mistakes_are_told_with_their_lines(mut life: Life) {
    let wrong = POLICY.replace("  tiers:", "  tires:");
    let number = life.open("wrong", &[("p/policy.yaml", Some(&wrong))]).await;
    life.good_turn().await;
    let comment = life.comment(number).await;
    assert!(
        comment.contains("`p/policy.yaml:5:3` **error** unknown-field"),
        "{comment}"
    );
    assert!(comment.contains("would apply nothing"), "{comment}");
    let (state, words) = life.state(&life.head(number).await).await;
    assert!(
        state.starts_with("fail") && words.contains("error"),
        "{state}: {words}"
    );
    assert_eq!(life.review(number).unwrap().result, ReviewResult::Refused);
}

async fn what_the_api_server_refuses_is_told(mut life: Life) {
    let nowhere = "{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: nowhere}}\n";
    let made = "apiVersion: v1\nkind: Namespace\nmetadata: {name: made}\n---\n\
                {apiVersion: v1, kind: ConfigMap, metadata: {name: late, namespace: made}}\n";
    let files = [("p/x.yaml", Some(nowhere)), ("p/y.yaml", Some(made))];
    let number = life.open("refused", &files).await;
    life.good_turn().await;
    let comment = life.comment(number).await;
    for words in [
        "`ConfigMap nowhere/x` in `p/x.yaml`; **refused by the API server**",
        "`ConfigMap made/late` in `p/y.yaml`; can only be tried once its Namespace is there",
        "1 object refused by the API server",
    ] {
        assert!(comment.contains(words), "{words}: {comment}");
    }
    let (state, _) = life.state(&life.head(number).await).await;
    assert!(state.starts_with("fail"), "{state}");
}

async fn a_new_head_changes_the_same_comment(mut life: Life) {
    let number = life
        .open(
            "change",
            &[("p/policy.yaml", Some(&POLICY.replace("50000", "60000")))],
        )
        .await;
    life.good_turn().await;
    let first = life.ours(number).await;
    let head = life
        .commit(
            "change",
            None,
            &[("p/policy.yaml", Some(&POLICY.replace("50000", "70000")))],
        )
        .await;
    life.until(number, "the new head", |review| review.head == head.as_str())
        .await;
    let second = life.ours(number).await;
    assert_eq!((second.len(), second[0].id), (1, first[0].id), "the same comment");
    assert!(second[0].body.contains("`50000` → `70000`"), "{}", second[0].body);
    assert!(!second[0].body.contains("60000"), "{}", second[0].body);
    assert_eq!(life.state(head.as_str()).await.0, "success");
}

async fn when_base_moves_on_the_plan_is_made_anew(mut life: Life) {
    let number = life.open("change", &[("p/notes.yaml", None)]).await;
    life.good_turn().await;
    assert!(life.comment(number).await.contains("ConfigMap db/notes"));
    // Somebody else changes another file: what the pull request changes stays the same, and is merged with that in memory.
    let base = life
        .commit(
            "main",
            None,
            &[("p/policy.yaml", Some(&POLICY.replace("50000", "40000")))],
        )
        .await;
    life.hinted = false;
    life.until(number, "the new base", |review| review.base == base.as_str())
        .await;
    let comment = life.comment(number).await;
    assert!(
        comment.contains("ConfigMap db/notes") && comment.contains(&base.as_str()[..12]),
        "{comment}"
    );
    assert!(
        !comment.contains("StoragePolicy"),
        "what others merged is not its doing: {comment}"
    );
}

async fn a_conflict_is_said(mut life: Life) {
    let number = life
        .open(
            "change",
            &[("p/policy.yaml", Some(&POLICY.replace("50000", "60000")))],
        )
        .await;
    let base = life
        .commit(
            "main",
            None,
            &[("p/policy.yaml", Some(&POLICY.replace("50000", "70000")))],
        )
        .await;
    life.until(number, "the conflict", |review| review.base == base.as_str())
        .await;
    let comment = life.comment(number).await;
    assert!(
        comment.contains("conflicts with `main`") && comment.contains("`p/policy.yaml`"),
        "{comment}"
    );
    assert_eq!(life.review(number).unwrap().result, ReviewResult::Conflict);
    let (state, words) = life.state(&life.head(number).await).await;
    assert!(
        state.starts_with("fail") && words == "conflicts with main",
        "{state}: {words}"
    );
    // Both sides changed one file, at places that fit together: no conflict, and one plan.
    let both = format!("# why\n{TIERS}");
    life.commit("main", None, &[("p/tiers.yaml", Some(&both))]).await;
    let parted = life.status.reviews[0].base.clone();
    let parted = couchestor::model::ids::CommitId(parted);
    life.commit(
        "other",
        Some(&parted),
        &[("p/tiers.yaml", Some(&TIERS.replace("rank: 100", "rank: 99")))],
    )
    .await;
    let other = life.request("other").await;
    life.until(other, "the other plan", |review| !review.said.is_empty())
        .await;
    let comment = life.comment(other).await;
    assert!(comment.contains("`spec.rank`: `100` → `99`"), "{comment}");
}

async fn what_touches_no_policies_is_left_in_peace(mut life: Life) {
    let number = life.open("docs", &[("docs/README.md", Some("hello\n"))]).await;
    life.good_turn().await;
    assert!(life.ours(number).await.is_empty());
    assert_eq!(life.review(number).unwrap().result, ReviewResult::Untouched);
    let (state, words) = life.state(&life.head(number).await).await;
    assert_eq!(
        (state.as_str(), words.as_str()),
        ("success", "touches no policies")
    );
    // Then it does, and then it does no more.
    let head = life.commit("docs", None, &[("p/notes.yaml", None)]).await;
    life.until(number, "the plan", |review| review.head == head.as_str())
        .await;
    assert!(life.comment(number).await.contains("ConfigMap db/notes"));
    let head = life
        .commit("docs", None, &[("p/notes.yaml", Some(life::NOTES))])
        .await;
    life.until(number, "nothing", |review| review.head == head.as_str())
        .await;
    assert!(
        life.comment(number)
            .await
            .contains("touches no policies any more")
    );
}

async fn commands_are_obeyed_once_and_only_from_who_may(mut life: Life) {
    let number = life.open("change", &[("p/notes.yaml", None)]).await;
    life.good_turn().await;
    let head = life.head(number).await;
    life.world.comment(number, "ben", "/couchestor hold").await;
    life.good_turn().await;
    assert_eq!(life.state(&head).await.0, "success", "ben is nobody");
    life.world
        .comment(number, "ann", "not yet\n/couchestor hold\n")
        .await;
    life.until(number, "the hold", |review| {
        review.held_by.as_deref() == Some("ann")
    })
    .await;
    let (state, words) = life.state(&head).await;
    assert!(
        state.starts_with("fail") && words == "held by ann",
        "{state}: {words}"
    );
    assert!(life.comment(number).await.contains("Held by `ann`"));
    // It stays held, whatever is pushed.
    let next = life
        .commit(
            "change",
            None,
            &[("p/policy.yaml", Some(&POLICY.replace("50000", "60000")))],
        )
        .await;
    life.until(number, "the next head", |review| review.head == next.as_str())
        .await;
    assert_eq!(life.state(next.as_str()).await.1, "held by ann");
    life.world.comment(number, "ann", "/couchestor plan").await;
    life.until(number, "the plan", |review| review.held_by.is_none())
        .await;
    assert_eq!(life.state(next.as_str()).await.0, "success");
    assert!(life.comment(number).await.contains("`50000` → `60000`"));
    // Once: what was obeyed is not obeyed again.
    let obeyed = life.review(number).unwrap().last_comment;
    for _ in 0..3 {
        life.good_turn().await;
    }
    let review = life.review(number).unwrap();
    assert_eq!(
        (review.result, review.held_by.is_none()),
        (ReviewResult::Planned, true)
    );
    assert!(review.last_comment >= obeyed && obeyed > 0);
}

async fn a_fork_gets_neither_keys_nor_the_cluster(mut life: Life) {
    life.good_turn().await;
    life.variables
        .set("PASSWORD", life.canary.secret.clone(), true)
        .unwrap();
    life.good_turn().await;
    let gift = life::NOTES
        .replace("notes", "gift")
        .replace("a: b", "a: '${PASSWORD}'");
    let sealed = life.secret("theirs");
    life.running.kubernetes.requests().clear();
    let number = life
        .fork(&[
            ("p/gift.yaml", Some(&gift)),
            ("p/gift-secret.yaml", Some(&sealed)),
        ])
        .await;
    life.until(number, "the look", |review| !review.said.is_empty())
        .await;
    let comment = life.comment(number).await;
    for words in [
        "another repository",
        "no key was used",
        "`p/gift.yaml`",
        "`p/gift-secret.yaml`",
        "`p/secret.yaml`",
    ] {
        assert!(comment.contains(words), "{words}: {comment}");
    }
    assert!(!comment.contains("ConfigMap"), "no object is shown: {comment}");
    let asked = life.running.kubernetes.requests().all();
    let about = |name: &str| asked.iter().any(|one| one.name.contains(name));
    assert!(
        !about("gift") && !asked.iter().any(|one| one.dry_run),
        "the cluster was asked: {asked:?}"
    );
    life.canary.assert_absent(&comment);
    let (state, words) = life.state(&life.head(number).await).await;
    assert_eq!(state, "success");
    assert!(words.starts_with("validated only: a fork's"), "{words}");
}

async fn what_was_encrypted_stays_unsaid(mut life: Life) {
    life.good_turn().await;
    life.variables
        .set("PASSWORD", life.canary.secret.clone(), true)
        .unwrap();
    life.variables
        .set("WORD", life.canary.word.clone(), true)
        .unwrap();
    let changed = life.secret("second");
    let with_value = life::NOTES.replace("a: b", "a: '${PASSWORD}'");
    let with_name = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x-${WORD}\n  namespace: db\n";
    let policy = life.sealer.yaml(
        &serde_json::json!({
            "apiVersion": "storage.billyronks.io/v1", "kind": "StoragePolicy", "metadata": {"name": "hidden"},
            "spec": {"tiers": ["cold", "hot"], "storageClass": life.canary.word,
                     "signals": [{"name": "iops", "above": life.canary.number, "below": 1}]},
        })
        .to_string(),
    );
    let plain = format!(
        "{{apiVersion: v1, kind: Secret, metadata: {{name: plain, namespace: db}}, stringData: {{a: '{}'}}}}\n",
        life.canary.word
    );
    let number = life
        .open(
            "secrets",
            &[
                ("p/secret.yaml", Some(&changed)),
                ("p/notes.yaml", Some(&with_value)),
                ("p/name.yaml", Some(with_name)),
                ("p/plain.yaml", Some(&plain)),
                (
                    "p/named.yaml",
                    Some(include_str!("../policies/base/velero-s3.sops.yaml")),
                ),
            ],
        )
        .await;
    life.good_turn().await;
    let first = life.comment(number).await;
    for words in [
        "an encrypted `Secret` in `p/secret.yaml`: changed (secret)",
        "`ConfigMap db/notes` in `p/notes.yaml`: changed (secret)",
        "an encrypted `ConfigMap` in `p/name.yaml`",
        "`Secret db/plain` in `p/plain.yaml`",
        // What stands in the clear in an encrypted file may be told.
        "`Secret velero/velero-s3` in `p/named.yaml`",
    ] {
        assert!(first.contains(words), "{words}: {first}");
    }
    let head = life.head(number).await;
    let status = format!("{:?}", life.state(&head).await);
    // And when something is wrong with it.
    let head = life
        .commit("secrets", None, &[("p/hidden.yaml", Some(&policy))])
        .await;
    life.until(number, "the second plan", |review| review.head == head.as_str())
        .await;
    let second = life.comment(number).await;
    let said = format!(
        "{first}{second}{status}{:?}{:?}",
        life.state(head.as_str()).await,
        life.status.reviews
    );
    life.canary.assert_absent(&said);
}

async fn a_quiet_turn_writes_nothing(mut life: Life) {
    for branch in ["one", "two"] {
        let path = format!("p/{branch}.yaml");
        life.open(branch, &[(&path, Some(&life::NOTES.replace("notes", branch)))])
            .await;
    }
    for _ in 0..3 {
        life.good_turn().await;
    }
    // Our own comments are news to the list, until it has settled.
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    life.good_turn().await;
    let before = life.world.forge.requests();
    for _ in 0..10 {
        life.good_turn().await;
    }
    let after = life.world.forge.requests();
    assert_eq!(after.writes, before.writes);
    let asked = after.reads - before.reads;
    assert!(asked <= 10, "one question per turn, and {asked} were asked");
}
