//! The life of a proposal, on plain Git, simulated GitHub and GitLab, and a real Gitea: one list of claims for all of them.

use crate::forges::world::World;
use crate::support::say;
use couchestor::io::git::Lease;
use couchestor::model::ids::CommitId;
use couchestor::model::kinds::policy_source::{ProposalState, ProposalStatus};
use couchestor::model::pull_request::PullRequestState;
use couchestor::sim::forge::MergeBy;
use life::{ByHand, Life, client, turn_as, turn_of};
use outages::{
    a_forge_that_is_down_at_first_gets_one_pull_request,
    while_the_forge_is_down_nothing_is_lost_doubled_or_concluded,
};
use withdrawn::{
    a_persons_work_on_what_is_being_withdrawn_is_kept, a_withdrawal_that_was_cut_short_is_no_no,
    it_is_withdrawn_when_it_no_longer_holds, what_goes_on_after_all_is_known_again_after_a_crash,
};

/// A repository, its forge, and a controller's memory.
pub mod life;

/// What no longer holds.
mod withdrawn;

/// A forge that fails.
mod outages;

/// The controller itself.
pub mod followed;

/// What the controller does with what was merged.
mod afterwards;

/// What was encrypted stays unsaid.
mod canaries;

/// Each claim on each host.
macro_rules! lives {
    ($($claim:ident)*) => {
        mod plain {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $claim() {
                super::$claim(super::Life::new(super::World::github().await, false)).await;
            })*
        }
        mod github {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $claim() {
                super::$claim(super::Life::new(super::World::github().await, true)).await;
            })*
        }
        mod gitlab {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $claim() {
                super::$claim(super::Life::new(super::World::gitlab().await, true)).await;
            })*
        }
        mod gitea {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $claim() {
                if crate::support::servers::left_out(concat!("proposals::gitea::", stringify!($claim))) {
                    return;
                }
                super::$claim(super::Life::new(super::World::gitea().await, true)).await;
            })*
        }
    };
}

// That at most `maxOpen` are open is decided, not carried out: `decide::tests::random` checks it in every random world, and
// `decide::tests` have a row for none. What a no is worth after `rejections.expireAfter`, or when the load differs materially, has
// rows there too, and is claimed of the controller in `afterwards`.
lives! {
    the_same_proposal_changes_with_the_situation
    it_is_withdrawn_when_it_no_longer_holds
    a_withdrawal_that_was_cut_short_is_no_no
    a_persons_work_on_what_is_being_withdrawn_is_kept
    what_goes_on_after_all_is_known_again_after_a_crash
    a_persons_branch_is_never_written_to
    a_no_is_remembered
    opened_again_it_is_kept_up_to_date_again
    merged_in_any_way_it_is_done
    merged_on_the_command_line_it_is_done
    what_a_person_took_out_before_the_merge_is_a_no_for_that_volume
    when_what_is_built_changes_the_proposal_stands_on_it
    when_base_moves_on_elsewhere_the_proposal_stays_as_it_is
    what_conflicts_with_base_is_made_anew_unless_a_person_works_on_it
    while_the_forge_is_down_nothing_is_lost_doubled_or_concluded
    a_forge_that_is_down_at_first_gets_one_pull_request
    a_deleted_branch_is_a_no
    two_controllers_make_one_proposal
    two_controllers_at_different_times_make_one_proposal
    a_branch_that_nobody_recorded_is_found_again
    two_clusters_leave_each_others_branches_alone
    a_branch_of_an_older_release_stays_its_proposals
    a_quiet_turn_writes_nothing
}

async fn the_same_proposal_changes_with_the_situation(mut life: Life) {
    assert_eq!(life.done(&["a"]).await, ["Create"]);
    let first = (life.record().number, life.record().commit.clone());
    assert_eq!(first.0.is_some(), life.forge);
    assert_eq!(life.done(&["a", "b"]).await, ["Refresh"]);
    let record = life.record();
    assert_eq!(record.number, first.0, "the same pull request");
    assert_ne!(record.commit, first.1);
    assert_eq!(record.moves.len(), 2);
    if let Some(pull) = life.pull().await {
        assert_eq!(pull.title, "Move 2 volumes by tiering: 2 to hotter tiers");
        assert!(pull.body.contains("db/b") && pull.is_open(), "{}", pull.body);
        assert_eq!(pull.head_sha.as_str(), record.commit);
    }
    for claim in ["a", "b"] {
        let path = format!("assignments/db/{claim}.yaml");
        assert!(life.has(&life.branch(), &path).await, "{path}");
    }
}

async fn a_persons_branch_is_never_written_to(mut life: Life) {
    life.done(&["a", "b"]).await;
    let theirs = life.commit(&life.branch(), "notes.md", Some("wait\n")).await;
    assert_eq!(life.done(&["a", "b"]).await, ["LeaveEdited"]);
    assert_eq!(life.record().state, ProposalState::Edited);
    // Whatever changes then: the wish, the base, or that it is wanted at all.
    assert!(life.done(&["a", "b", "c"]).await.is_empty());
    life.commit("main", "other.md", Some("x\n")).await;
    assert!(life.done(&["a"]).await.is_empty());
    assert!(life.done(&[]).await.is_empty());
    assert_eq!(life.tips().await.branches[&life.branch()], theirs);
    if let Some(pull) = life.pull().await {
        assert!(pull.is_open());
        let comments = life.comments(Some(pull.number)).await;
        assert_eq!(comments.matches("writes to it no more").count(), 1, "{comments}");
    }
}

async fn a_no_is_remembered(mut life: Life) {
    life.done(&["a"]).await;
    let number = life.record().number;
    match number {
        Some(number) => life.world.turn(number, false).await,
        None => life.world.delete_branch(&life.branch()).await,
    }
    assert_eq!(life.done(&["a"]).await, ["Declined"]);
    assert_eq!(life.record().state, ProposalState::Declined);
    assert_eq!(
        (
            life.record().moves.len(),
            life.record().policy_fingerprint.as_str()
        ),
        (1, "f")
    );
    if number.is_some() {
        assert!(life.comments(number).await.contains("not asked for again"));
    }
    // What is decided now leaves it out, and nothing more happens.
    assert!(life.done(&[]).await.is_empty());
    assert_eq!(life.record().state, ProposalState::Declined);
    // Another volume may be asked for.
    assert_eq!(life.done(&["b"]).await, ["Create"]);
    let states: Vec<ProposalState> = life.records.iter().map(|record| record.state).collect();
    assert_eq!(states, [ProposalState::Declined, ProposalState::Open]);
}

async fn opened_again_it_is_kept_up_to_date_again(mut life: Life) {
    if !life.forge {
        return say(
            "proposals::plain::opened_again_it_is_kept_up_to_date_again: there is no such row on plain Git, which has nothing to open \
             again: a branch that comes back is a branch of its own",
        );
    }
    life.done(&["a"]).await;
    let number = life.record().number.unwrap();
    life.world.turn(number, false).await;
    assert_eq!(life.done(&["a"]).await, ["Declined"]);
    life.world.turn(number, true).await;
    assert_eq!(life.done(&[]).await, ["Reopened"]);
    assert_eq!(life.record().state, ProposalState::Open);
    assert_eq!(life.done(&["a", "b"]).await, ["Refresh"]);
    assert_eq!(
        (life.record().number, life.record().moves.len()),
        (Some(number), 2)
    );
}

async fn merged_in_any_way_it_is_done(mut life: Life) {
    for (how, claim) in [
        (MergeBy::Merge, "a"),
        (MergeBy::Squash, "b"),
        (MergeBy::Rebase, "c"),
    ] {
        life.records.clear();
        assert_eq!(life.done(&[claim]).await, ["Create"], "{how:?}");
        let number = life.record().number;
        life.merge(how).await;
        assert_eq!(life.done(&[claim]).await, ["Merged"], "{how:?}");
        let record = life.record();
        assert_eq!(record.state, ProposalState::Merged, "{how:?}");
        assert!(record.moves.iter().all(|one| one.accepted), "{how:?}");
        assert_eq!(life.branches().await, [""; 0], "{how:?}");
        if let Some(number) = number {
            let state = life.world.forge.get(number).await.unwrap().state;
            assert_eq!(state, PullRequestState::Merged, "{how:?}");
        }
    }
}

async fn merged_on_the_command_line_it_is_done(mut life: Life) {
    for (how, claim) in [
        (ByHand::Merge, "a"),
        (ByHand::Squash, "b"),
        (ByHand::Rebase, "c"),
        (ByHand::CherryPick, "d"),
    ] {
        life.records.clear();
        assert_eq!(life.done(&[claim]).await, ["Create"], "{how:?}");
        let number = life.record().number;
        life.by_hand(how);
        assert_eq!(life.done(&[claim]).await, ["Merged"], "{how:?}");
        assert!(life.record().moves[0].accepted, "{how:?}");
        assert_eq!(life.branches().await, [""; 0], "{how:?}");
        if let Some(number) = number {
            let state = life.world.forge.get(number).await.unwrap().state;
            let comments = life.comments(Some(number)).await;
            // A forge may notice by itself that base holds the head.
            let told = comments.contains("base branch holds these moves");
            let noticed = state == PullRequestState::Merged;
            assert!(
                state != PullRequestState::Open && (told || noticed && matches!(how, ByHand::Merge)),
                "{how:?}: {comments}"
            );
        }
        assert!(life.done(&[claim]).await.is_empty(), "{how:?}");
    }
}

async fn what_a_person_took_out_before_the_merge_is_a_no_for_that_volume(mut life: Life) {
    life.done(&["a", "b"]).await;
    life.commit(&life.branch(), "assignments/db/b.yaml", None).await;
    life.done(&["a", "b"]).await;
    life.merge(MergeBy::Squash).await;
    if !life.forge {
        life.world.delete_branch(&life.branch()).await;
    }
    assert_eq!(life.done(&["b"]).await, ["Merged"]);
    let moves = life.record().moves.iter();
    let accepted: Vec<_> = moves.map(|one| (one.claim.as_str(), one.accepted)).collect();
    assert_eq!(accepted, [("a", true), ("b", false)]);
}

/// Approvals are dismissed by a push, so nothing is pushed for what does not concern it.
async fn when_base_moves_on_elsewhere_the_proposal_stays_as_it_is(mut life: Life) {
    life.done(&["a"]).await;
    let before = life.record().clone();
    let base = life.commit("main", "other.md", Some("x\n")).await;
    assert!(life.done(&["a"]).await.is_empty());
    assert_eq!(life.tips().await.branches[&life.branch()].as_str(), before.commit);
    // It is compared with that from now on.
    assert_eq!(life.record().base, base.as_str());
    assert_eq!(
        (life.record().number, &life.record().shown),
        (before.number, &before.shown)
    );
}

async fn when_what_is_built_changes_the_proposal_stands_on_it(mut life: Life) {
    life.done(&["a"]).await;
    let number = life.record().number;
    let base = life.commit("main", "p/other.yaml", Some("# x\n")).await;
    assert_eq!(life.done(&["a"]).await, ["Refresh"]);
    assert_eq!(
        (life.record().base.as_str(), life.record().number),
        (base.as_str(), number)
    );
    let log = life.repository.log_branch(&life.branch(), 2).await.unwrap();
    assert_eq!(log[0].parent.as_ref(), Some(&base));
    if let Some(pull) = life.pull().await {
        assert!(pull.is_open());
        // Its text was written anew with it.
        assert!(life.record().shown.ends_with(&life.record().commit));
    }
}

async fn what_conflicts_with_base_is_made_anew_unless_a_person_works_on_it(mut life: Life) {
    life.done(&["a"]).await;
    let number = life.record().number;
    // Base and the proposal have another file each under the same name: no merge could bring them together.
    let path = "assignments/db/a.yaml";
    let base = life
        .commit("main", path, Some("spec: {tier: cold, volume: x}\n"))
        .await;
    assert_eq!(life.done(&["a"]).await, ["Refresh"]);
    let log = life.repository.log_branch(&life.branch(), 2).await.unwrap();
    assert_eq!(log[0].parent.as_ref(), Some(&base));
    assert_eq!(
        (life.record().number, life.record().base.as_str()),
        (number, base.as_str())
    );
    if let Some(pull) = life.pull().await {
        assert!(pull.is_open());
        assert_eq!(pull.head_sha.as_str(), life.record().commit);
    }
    let theirs = life
        .commit(&life.branch(), path, Some("spec: {tier: warm, volume: a}\n"))
        .await;
    life.commit("main", path, Some("spec: {tier: cold, volume: y}\n"))
        .await;
    assert_eq!(life.done(&["a"]).await, ["LeaveEdited"]);
    for _ in 0..3 {
        assert!(life.done(&["a"]).await.is_empty());
    }
    assert_eq!(life.tips().await.branches[&life.branch()], theirs);
    assert_eq!(
        (life.record().state, life.record().number),
        (ProposalState::Edited, number)
    );
    if let Some(pull) = life.pull().await {
        assert!(pull.is_open(), "the conflict is theirs to resolve");
    }
}

async fn a_deleted_branch_is_a_no(mut life: Life) {
    life.done(&["a"]).await;
    life.world.delete_branch(&life.branch()).await;
    assert_eq!(life.done(&["a"]).await, ["Declined"]);
    assert_eq!(life.record().state, ProposalState::Declined);
    assert!(life.done(&[]).await.is_empty());
}

async fn two_controllers_make_one_proposal(mut life: Life) {
    let folder = tempfile::tempdir().unwrap();
    let other = client(&life.world, &folder, "other");
    let (ours, theirs) = tokio::join!(
        turn_of(&life.repository, &life.world, life.forge, &[], &["a"], life.now),
        turn_of(&other, &life.world, life.forge, &[], &["a"], life.now),
    );
    // One of the two may have been told that it came second; the next turn finds what is there.
    life.records = match ours.records.is_empty() {
        true => theirs.records,
        false => ours.records,
    };
    life.turn(&["a"]).await;
    assert!(life.done(&["a"]).await.is_empty());
    let again = turn_of(&other, &life.world, life.forge, &[], &["a"], life.now).await;
    assert!(again.errors.is_empty(), "{:?}", again.errors);
    let of = |record: &ProposalStatus| (record.number, record.commit.clone());
    assert_eq!(of(&again.records[0]), of(life.record()));
    if life.forge {
        assert_eq!(life.world.forge.list_open(10).await.unwrap().len(), 1);
    }
}

/// Whose clocks differ, so that each chooses a name of its own.
async fn two_controllers_at_different_times_make_one_proposal(mut life: Life) {
    let folder = tempfile::tempdir().unwrap();
    let other = client(&life.world, &folder, "other");
    for round in 0..4 {
        let (ours, theirs) = tokio::join!(
            turn_of(&life.repository, &life.world, life.forge, &[], &["a"], life.now),
            turn_of(&other, &life.world, life.forge, &[], &["a"], life.now + 7),
        );
        let made = [ours, theirs].into_iter().filter(|one| !one.records.is_empty());
        let made: Vec<_> = made.map(|one| one.records).collect();
        let there = life.branches().await;
        assert!(there.len() <= 1, "round {round}: {there:?}");
        life.records = made.into_iter().next().unwrap_or_default();
        life.now += 100;
        life.turn(&["a"]).await;
        assert_eq!(life.branches().await, [life.branch()], "round {round}");
        if life.forge {
            assert_eq!(
                life.world.forge.list_open(10).await.unwrap().len(),
                1,
                "round {round}"
            );
        }
        life.withdrawn().await;
        assert_eq!(life.branches().await, [""; 0], "round {round}");
    }
}

async fn a_branch_that_nobody_recorded_is_found_again(mut life: Life) {
    // The controller ended before it could write down what it had pushed: at once, or after the pull request.
    life.done(&["a"]).await;
    let (branch, number) = (life.branch(), life.record().number);
    life.records.clear();
    assert_eq!(life.done(&["a"]).await, ["Adopt"]);
    assert_eq!((life.branch(), life.record().number), (branch.clone(), number));
    // By then other moves may be wanted.
    life.records.clear();
    assert_eq!(life.done(&["a", "b"]).await, ["Adopt"]);
    assert_eq!((life.branch(), life.record().number), (branch.clone(), number));
    assert!(life.has(&branch, "assignments/db/b.yaml").await);
    assert_eq!(life.branches().await, [branch]);
    if let Some(pull) = life.pull().await {
        assert_eq!(life.world.forge.list_open(10).await.unwrap().len(), 1);
        assert_eq!(pull.title, "Move 2 volumes by tiering: 2 to hotter tiers");
    }
}

/// Another cluster has a policy of the same name and follows another folder, or has another source.
async fn two_clusters_leave_each_others_branches_alone(mut life: Life) {
    let folder = tempfile::tempdir().unwrap();
    let other = client(&life.world, &folder, "other");
    life.done(&["a"]).await;
    let ours = (life.branch(), life.record().commit.clone());
    let (mut theirs, owner) = (Vec::new(), "couchestor-system/homelab other/assignments");
    for turn in 0..3 {
        let now = life.now + 50;
        let proposed = turn_as(owner, &other, &life.world, life.forge, &theirs, &["b"], now).await;
        assert!(proposed.errors.is_empty(), "{:?}", proposed.errors);
        theirs = proposed.records;
        assert_eq!(theirs.len(), 1, "turn {turn}: {theirs:?}");
        assert_ne!(theirs[0].branch, ours.0, "turn {turn}");
        assert!(life.done(&["a"]).await.is_empty(), "turn {turn}");
        assert_eq!((life.branch(), life.record().commit.clone()), ours, "turn {turn}");
    }
    // After a crash each finds its own again: theirs is the newer one.
    life.records.clear();
    assert_eq!(life.done(&["a"]).await, ["Adopt"]);
    assert_eq!(life.branch(), ours.0);
    let tip = life.tips().await.branches[&theirs[0].branch].to_string();
    assert_eq!(tip, theirs[0].commit);
    assert!(life.has(&ours.0, "assignments/db/a.yaml").await);
    assert!(!life.has(&ours.0, "assignments/db/b.yaml").await);
}

async fn a_branch_of_an_older_release_stays_its_proposals(mut life: Life) {
    let old = "couchestor/moves/tiering";
    life.done(&["a"]).await;
    let (made, commit) = (life.branch(), CommitId(life.record().commit.clone()));
    let push = life.repository.push(
        old,
        Lease::Absent,
        Some(commit),
        Vec::new(),
        "x".into(),
        life.time(),
    );
    let commit = push.await.unwrap();
    life.world.delete_branch(&made).await;
    let record = &mut life.records[0];
    (record.branch, record.commit) = (old.to_owned(), commit.0);
    (record.number, record.url) = (None, None);
    assert_eq!(life.done(&["a", "b"]).await, ["Refresh"]);
    assert_eq!(
        (life.branch(), life.record().number.is_some()),
        (old.to_owned(), life.forge)
    );
    assert_eq!(life.branches().await, [old]);
    life.withdrawn().await;
    assert_eq!(life.done(&["a"]).await, ["Create"]);
    assert_ne!(life.branch(), old);
}

async fn a_quiet_turn_writes_nothing(mut life: Life) {
    life.done(&["a"]).await;
    let before = life.world.forge.requests();
    for _ in 0..10 {
        assert!(life.done(&["a"]).await.is_empty());
    }
    let after = life.world.forge.requests();
    assert_eq!(after.writes, before.writes);
    let asked = after.reads - before.reads;
    assert!(asked <= 10, "one question per turn, and {asked} were asked");
}

/// An administrator may delete a pull request: that is a no, and no reason to fail for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_that_was_deleted_is_a_no() {
    for wanted in [&["a"][..], &[]] {
        let mut life = Life::new(World::github().await, true);
        life.done(&["a"]).await;
        life.world.simulated().with(|state| state.pulls.clear());
        if wanted.is_empty() {
            life.withdrawn().await;
            assert_eq!(life.records, []);
        } else {
            assert_eq!(life.done(wanted).await, ["Declined"]);
            assert_eq!(life.record().state, ProposalState::Declined);
        }
        assert!(life.done(&[]).await.is_empty());
    }
}
