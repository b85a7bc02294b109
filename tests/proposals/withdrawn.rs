//! What no longer holds is withdrawn, wherever that is cut short, and nobody has said no by it.

use super::life::Life;
use crate::forges::world::World;
use couchestor::model::ids::CommitId;
use couchestor::model::kinds::policy_source::ProposalState;
use couchestor::model::pull_request::PullRequestState;

pub(super) async fn it_is_withdrawn_when_it_no_longer_holds(mut life: Life) {
    life.done(&["a"]).await;
    let number = life.record().number;
    life.withdrawn().await;
    assert_eq!(life.records, []);
    assert_eq!(life.branches().await, [""; 0]);
    if let Some(number) = number {
        let state = life.world.forge.get(number).await.unwrap().state;
        assert_eq!(state, PullRequestState::Closed);
        assert!(
            life.comments(Some(number))
                .await
                .contains("not proposed any more")
        );
    }
    // And later it may hold again.
    assert_eq!(life.done(&["a"]).await, ["Create"]);
    assert!(number.is_none() || life.record().number > number);
}

/// Wherever our own withdrawal ends, and what is wanted again then: nobody has said no.
pub(super) async fn a_withdrawal_that_was_cut_short_is_no_no(mut life: Life) {
    for cut in ["before anything was done", "after closing", "after deleting"] {
        assert_eq!(life.done(&["a"]).await, ["Create"], "{cut}");
        assert!(life.done(&[]).await.is_empty(), "it is remembered first: {cut}");
        let before = life.record().clone();
        assert_eq!(before.state, ProposalState::Withdrawing, "{cut}");
        if let Some(number) = before.number.filter(|_| cut != "before anything was done") {
            life.world.forge.close(number).await.unwrap();
        }
        if cut == "after deleting" {
            let tip = CommitId(before.commit.clone());
            life.repository.delete_branch(&before.branch, tip).await.unwrap();
        }
        // The load is back.
        let done = life.done(&["a"]).await;
        if cut == "before anything was done" || cut == "after closing" && !life.forge {
            assert_eq!(done, ["Resume"], "{cut}");
        } else {
            assert_eq!(
                done,
                [if cut == "after deleting" {
                    "Forget"
                } else {
                    "Resume"
                }],
                "{cut}"
            );
            assert_eq!(life.records, [], "{cut}");
            assert_eq!(life.branches().await, [""; 0], "{cut}");
            assert_eq!(life.done(&["a"]).await, ["Create"], "{cut}");
        }
        assert!(life.done(&["a"]).await.is_empty(), "{cut}");
        assert_eq!(life.record().state, ProposalState::Open, "{cut}");
        assert_eq!(life.branches().await, [life.branch()], "{cut}");
        if let Some(pull) = life.pull().await {
            assert!(pull.is_open(), "{cut}");
            let same = Some(pull.number) == before.number;
            assert_eq!(same, cut == "before anything was done", "{cut}");
            assert_eq!(life.world.forge.list_open(10).await.unwrap().len(), 1, "{cut}");
        }
        life.withdrawn().await;
    }
}

pub(super) async fn a_persons_work_on_what_is_being_withdrawn_is_kept(mut life: Life) {
    life.done(&["a"]).await;
    assert!(life.done(&[]).await.is_empty());
    let number = life.record().number;
    let theirs = life.commit(&life.branch(), "notes.md", Some("wait\n")).await;
    let branch = life.branch();
    for wanted in [&["a"][..], &[], &["a", "b"]] {
        assert!(life.done(wanted).await.is_empty());
        assert_eq!(life.tips().await.branches[&branch], theirs);
    }
    match number {
        // Closing it is no answer to what was not asked any more.
        Some(number) => life.world.turn(number, false).await,
        None => life.world.delete_branch(&branch).await,
    }
    assert_eq!(life.done(&["a"]).await, ["Forget"]);
    assert_eq!(life.records, []);
}

/// It was wanted again in time, and the controller ended after the push: the branch is ours, and nobody's work.
pub(super) async fn what_goes_on_after_all_is_known_again_after_a_crash(mut life: Life) {
    life.done(&["a"]).await;
    let number = life.record().number;
    assert!(life.done(&[]).await.is_empty());
    let before = life.records.clone();
    assert_eq!(life.done(&["a", "b"]).await, ["Resume"]);
    life.records = before;
    assert!(life.done(&["a", "b"]).await.is_empty());
    assert_eq!(life.record().state, ProposalState::Open);
    assert_eq!(life.done(&["a", "b"]).await, ["Refresh"]);
    assert!(life.done(&["a", "b"]).await.is_empty());
    assert_eq!((life.record().number, life.record().moves.len()), (number, 2));
    assert!(!life.comments(number).await.contains("writes to it no more"));
}

/// Git does not delete the branch after the pull request was closed, and the load is back before it does.
#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_could_not_be_deleted_is_no_no() {
    for forge in [true, false] {
        let mut life = Life::new(World::github().await, forge);
        life.done(&["a"]).await;
        assert!(life.done(&[]).await.is_empty());
        let (branch, number) = (life.branch(), life.record().number);
        let lock = life
            .world
            .simulated()
            .repository()
            .join(format!("refs/heads/{branch}.lock"));
        std::fs::write(&lock, "").unwrap();
        let turned = life.turn(&[]).await;
        assert_eq!(turned.errors.len(), 1, "{turned:?}");
        if let Some(number) = number {
            assert!(!life.world.forge.get(number).await.unwrap().is_open());
        }
        assert_eq!(life.record().state, ProposalState::Withdrawing);
        std::fs::remove_file(&lock).unwrap();
        assert_eq!(life.done(&["a"]).await, ["Resume"]);
        life.turn(&["a"]).await;
        assert_eq!(life.record().state, ProposalState::Open);
        assert_eq!(life.branches().await, [life.branch()]);
        assert_eq!(life.branch() == branch, !forge, "what was not closed goes on");
    }
}
