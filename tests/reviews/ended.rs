//! What becomes of a plan when its pull request is merged or closed.

use super::life::{self, Life};
use couchestor::sim::forge::MergeBy;

pub(super) async fn after_the_merge_the_same_comment_says_what_came_of_it(mut life: Life) {
    for (branch, how) in [
        ("one", MergeBy::Merge),
        ("two", MergeBy::Squash),
        ("three", MergeBy::Rebase),
    ] {
        let path = format!("p/{branch}.yaml");
        let text = life::NOTES.replace("notes", branch);
        let number = life.open(branch, &[(&path, Some(&text))]).await;
        life.until(number, "the plan", |review| review.commented).await;
        let before = life.ours(number).await;
        life.world.merge(number, how, "ann").await;
        life.hinted = false;
        let mut turns = 0;
        while life.review(number).is_some() {
            life.good_turn().await;
            turns += 1;
            assert!(turns < 60, "{how:?}: {:?}", life.status.reviews);
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        life.hinted = true;
        let after = life.ours(number).await;
        assert_eq!(
            (after.len(), after[0].id),
            (1, before[0].id),
            "{how:?}: the same comment"
        );
        let tip = life.world.tip("main").await;
        let text = &after[0].body;
        assert!(
            text.contains("**Merged and applied**") && text.contains(&tip[..12]),
            "{how:?}: {text}"
        );
        assert!(
            text.contains(&format!("ConfigMap db/{branch}")),
            "{how:?}: {text}"
        );
    }
}

pub(super) async fn a_merge_that_is_not_applied_is_said_so(mut life: Life) {
    let nowhere = "{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: nowhere}}\n";
    let number = life.open("refused", &[("p/x.yaml", Some(nowhere))]).await;
    life.good_turn().await;
    life.world.merge(number, MergeBy::Squash, "ann").await;
    let mut comment = String::new();
    for _ in 0..30 {
        life.turn().await;
        comment = life.comment(number).await;
        if comment.contains("and not applied") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(
        comment.contains("**Merged, and not applied**") && comment.contains("nowhere"),
        "{comment}"
    );
    assert_eq!(comment.matches("The plan").count(), 1, "{comment}");
    // Somebody mends it, and the same comment says so.
    life.commit("main", None, &[("p/x.yaml", None)]).await;
    for _ in 0..30 {
        life.turn().await;
        if life.review(number).is_none() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let comment = life.comment(number).await;
    assert!(comment.contains("**Merged and applied**"), "{comment}");
    assert!(
        !comment.contains("not applied") && comment.matches("The plan").count() == 1,
        "{comment}"
    );
}

pub(super) async fn closed_without_a_merge_it_is_forgotten(mut life: Life) {
    let number = life.open("change", &[("p/notes.yaml", None)]).await;
    life.good_turn().await;
    let comment = life.comment(number).await;
    life.world.turn(number, false).await;
    life.good_turn().await;
    assert!(life.review(number).is_none());
    assert_eq!(life.comment(number).await, comment);
    life.world.turn(number, true).await;
    life.good_turn().await;
    assert_eq!(
        life.ours(number).await.len(),
        1,
        "opened again it is the same comment"
    );
}
