//! One table of claims about pull requests, held on simulated GitHub and GitLab and on a real Gitea.

use couchestor::io::forge::{Forge, ForgeError};
use couchestor::model::failure::{Class, Failure};
use couchestor::model::ids::CommitId;
use couchestor::model::pull_request::{CommitState, ForgeKind, Label, PullRequestState, hidden_marker};
use couchestor::sim::forge::{MergeBy, Verdict};
use std::time::Duration;
use world::{World, credentials, options, proposal};

/// Lost answers and everything else that goes wrong.
mod faults;

/// A repository with people.
pub mod world;

/// Each claim on each forge.
macro_rules! claims {
    ($($claim:ident)*) => {
        mod github {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $claim() {
                super::$claim(&super::World::github().await).await;
            })*
        }
        mod gitlab {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $claim() {
                super::$claim(&super::World::gitlab().await).await;
            })*
        }
        mod gitea {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $claim() {
                if crate::support::servers::left_out(concat!("forges::gitea::", stringify!($claim))) {
                    return;
                }
                super::$claim(&super::World::gitea().await).await;
            })*
        }
    };
}

claims! {
    a_pull_request_is_opened_once
    one_that_was_closed_is_found_and_a_new_one_may_follow
    the_open_one_is_found_before_newer_closed_ones
    one_whose_branch_was_deleted_is_found_as_closed
    merging_is_told_with_who_when_and_the_commit_on_base
    text_is_updated_when_it_differs
    it_is_closed_and_reopened_and_each_only_when_needed
    one_comment_lives
    comments_of_people_are_read_from_a_time_on
    a_status_is_written_when_it_differs
    approvals_are_of_the_head_that_was_seen
    labels_are_made_once
    a_conflict_is_seen
    open_ones_are_listed_newest_first
    a_wrong_token_and_a_wrong_repository_are_matters_for_a_person
    texts_that_are_too_long_are_not_sent
}

async fn a_pull_request_is_opened_once(world: &World) {
    let forge = &world.forge;
    let head = world.push("couchestor/one", Some("main")).await;
    assert_eq!(forge.find("couchestor/one", "main").await.unwrap(), None);
    let wanted = proposal("couchestor/one");
    let first = forge.open(&wanted).await.unwrap();
    assert!(first.new);
    let made = &first.pull_request;
    assert_eq!(made.state, PullRequestState::Open);
    assert_eq!(made.title, wanted.title);
    assert_eq!(made.body, wanted.body);
    assert_eq!(made.head_branch, "couchestor/one");
    assert_eq!(made.base_branch, "main");
    assert_eq!(made.head_sha, CommitId(head));
    assert_eq!(made.author, forge.whoami().await.unwrap());
    assert_eq!(made.author, world.me());
    assert_eq!(made.labels, ["couchestor", "storage"]);
    assert!(!made.from_fork && !made.draft);
    assert_eq!(
        (&made.merged_by, &made.merged_at, &made.merge_commit),
        (&None, &None, &None)
    );
    assert!(made.url.ends_with(&format!("/{}", made.number)), "{}", made.url);

    let writes = world.writes();
    let second = forge.open(&wanted).await.unwrap();
    assert!(!second.new);
    assert_eq!(second.pull_request.number, made.number);
    assert_eq!(world.writes(), writes, "opening what is open writes nothing");
    assert_eq!(forge.list_open(10).await.unwrap().len(), 1);
    assert_eq!(forge.get(made.number).await.unwrap().number, made.number);
}

async fn opened(world: &World, branch: &str) -> u64 {
    world.push(branch, Some("main")).await;
    let opened = world.forge.open(&proposal(branch)).await.unwrap();
    assert!(opened.new);
    opened.pull_request.number
}

async fn one_that_was_closed_is_found_and_a_new_one_may_follow(world: &World) {
    let first = opened(world, "couchestor/one").await;
    world.turn(first, false).await;
    let found = world.forge.find("couchestor/one", "main").await.unwrap().unwrap();
    assert_eq!((found.number, found.state), (first, PullRequestState::Closed));
    assert_eq!(found.merged_by, None);
    let second = world.forge.open(&proposal("couchestor/one")).await.unwrap();
    assert!(second.new && second.pull_request.number > first);
    let found = world.forge.find("couchestor/one", "main").await.unwrap().unwrap();
    assert_eq!(found.number, second.pull_request.number);
    assert_eq!(world.forge.find("couchestor/two", "main").await.unwrap(), None);
    assert_eq!(world.forge.find("couchestor/one", "other").await.unwrap(), None);
}

async fn the_open_one_is_found_before_newer_closed_ones(world: &World) {
    let first = opened(world, "couchestor/one").await;
    world.turn(first, false).await;
    let second = world.forge.open(&proposal("couchestor/one")).await.unwrap();
    world.turn(second.pull_request.number, false).await;
    let found = world.forge.find("couchestor/one", "main").await.unwrap().unwrap();
    assert_eq!(
        found.number, second.pull_request.number,
        "of closed ones, the newest"
    );
    world.turn(first, true).await;
    let found = world.forge.find("couchestor/one", "main").await.unwrap().unwrap();
    assert_eq!((found.number, found.state), (first, PullRequestState::Open));
    let again = world.forge.open(&proposal("couchestor/one")).await.unwrap();
    assert_eq!((again.pull_request.number, again.new), (first, false));
}

async fn one_whose_branch_was_deleted_is_found_as_closed(world: &World) {
    let number = opened(world, "couchestor/a/b").await;
    let head = world.tip("couchestor/a/b").await;
    world.delete_branch("couchestor/a/b").await;
    let mut found = None;
    // Gitea closes it in the background.
    for _ in 0..100 {
        found = world.forge.find("couchestor/a/b", "main").await.unwrap();
        if found.as_ref().is_some_and(|found| !found.is_open()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let found = found.unwrap();
    assert_eq!((found.number, found.state), (number, PullRequestState::Closed));
    assert_eq!(found.head_branch, "couchestor/a/b");
    assert_eq!(found.head_sha, CommitId(head));
    let refused = world.forge.reopen(number).await;
    // Gitea reopens it, and then cannot do anything with it.
    if world.kind() != ForgeKind::Gitea {
        assert!(matches!(refused, Err(ForgeError::Refused { .. })), "{refused:?}");
    }
}

async fn merging_is_told_with_who_when_and_the_commit_on_base(world: &World) {
    for (how, who) in [
        (MergeBy::Merge, "ann"),
        (MergeBy::Squash, "ben"),
        (MergeBy::Rebase, "ann"),
    ] {
        let branch = format!("couchestor/{}", format!("{how:?}").to_lowercase());
        let number = opened(world, &branch).await;
        // Base moves on, so that each way of merging makes a commit.
        world.push("main", None).await;
        world.merge(number, how, who).await;
        let base = CommitId(world.tip("main").await);
        let found = world.forge.get(number).await.unwrap();
        assert_eq!(found.state, PullRequestState::Merged, "{how:?}");
        assert_eq!(found.merged_by.as_deref(), Some(who), "{how:?}");
        assert!(found.merged_at.is_some());
        assert_eq!(found.merge_commit, Some(base), "{how:?}");
        let found = world.forge.find(&branch, "main").await.unwrap().unwrap();
        assert_eq!((found.number, found.merged_by.as_deref()), (number, Some(who)));
        let writes = world.writes();
        let closed = world.forge.close(number).await.unwrap();
        assert_eq!(
            (closed.pull_request.state, closed.written),
            (PullRequestState::Merged, false)
        );
        let refused = world.forge.reopen(number).await;
        assert!(matches!(refused, Err(ForgeError::Refused { .. })), "{refused:?}");
        assert_eq!(world.writes(), writes, "what was merged is left alone");
    }
}

async fn text_is_updated_when_it_differs(world: &World) {
    let number = opened(world, "couchestor/one").await;
    let wanted = proposal("couchestor/one");
    let same = world
        .forge
        .update(number, &wanted.title, &wanted.body)
        .await
        .unwrap();
    assert!(!same.written);
    let body = "two\nlines, <!-- a hidden one --> and ünïcode\n";
    let changed = world.forge.update(number, "Another title", body).await.unwrap();
    assert!(changed.written);
    let found = world.forge.get(number).await.unwrap();
    assert_eq!(found.title, "Another title");
    assert_eq!(found.body.trim(), body.trim());
    assert_eq!(found.labels, ["couchestor", "storage"]);
    let same = world.forge.update(number, "Another title", body).await.unwrap();
    assert!(!same.written, "what is there is not written again");
}

async fn it_is_closed_and_reopened_and_each_only_when_needed(world: &World) {
    let number = opened(world, "couchestor/one").await;
    let forge = &world.forge;
    for (open, written) in [
        (true, false),
        (false, true),
        (false, false),
        (true, true),
        (true, false),
    ] {
        let changed = match open {
            true => forge.reopen(number).await.unwrap(),
            false => forge.close(number).await.unwrap(),
        };
        assert_eq!((changed.pull_request.is_open(), changed.written), (open, written));
        assert_eq!(forge.get(number).await.unwrap().is_open(), open);
    }
}

async fn one_comment_lives(world: &World) {
    let number = opened(world, "couchestor/one").await;
    let forge = &world.forge;
    let marker = hidden_marker("plan");
    // A person quotes the mark, and another comment of ours has another.
    world.comment(number, "ann", &format!("{marker}\n\nmine")).await;
    assert!(
        forge
            .upsert_comment(number, "result", "done")
            .await
            .unwrap()
            .written
    );
    assert!(
        forge
            .upsert_comment(number, "plan", "first")
            .await
            .unwrap()
            .written
    );
    assert!(
        !forge
            .upsert_comment(number, "plan", "first")
            .await
            .unwrap()
            .written
    );
    assert!(
        forge
            .upsert_comment(number, "plan", "second")
            .await
            .unwrap()
            .written
    );
    let read = || async {
        let comments = forge.comments(number, None).await.unwrap();
        let mut texts: Vec<(String, String)> = comments
            .into_iter()
            .map(|comment| (comment.author, comment.body.lines().last().unwrap().to_owned()))
            .collect();
        texts.sort();
        texts
    };
    let pair = |who: &str, text: &str| (who.to_owned(), text.to_owned());
    let wanted = [
        pair("ann", "mine"),
        pair(world.me(), "done"),
        pair(world.me(), "second"),
    ];
    assert_eq!(read().await, wanted);
    // Two of us began at once.
    world
        .comment(number, world.me(), &format!("{marker}\n\ntwin"))
        .await;
    assert!(
        forge
            .upsert_comment(number, "plan", "third")
            .await
            .unwrap()
            .written
    );
    let wanted = [
        pair("ann", "mine"),
        pair(world.me(), "done"),
        pair(world.me(), "third"),
    ];
    assert_eq!(read().await, wanted);
}

async fn comments_of_people_are_read_from_a_time_on(world: &World) {
    let number = opened(world, "couchestor/one").await;
    world.comment(number, "ann", "/couchestor hold").await;
    let all = world.forge.comments(number, None).await.unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(
        (all[0].author.as_str(), all[0].body.as_str()),
        ("ann", "/couchestor hold")
    );
    // Forges show whole seconds.
    tokio::time::sleep(Duration::from_millis(2100)).await;
    world.comment(number, "ben", "/couchestor plan").await;
    let since = all[0].created_at + jiff::SignedDuration::from_secs(1);
    let new = world.forge.comments(number, Some(since)).await.unwrap();
    assert_eq!(new.len(), 1, "{new:?}");
    assert_eq!(new[0].author, "ben");
    let both = world
        .forge
        .comments(number, Some(all[0].created_at))
        .await
        .unwrap();
    assert_eq!(both.len(), 2, "the time itself is within");
}

async fn a_status_is_written_when_it_differs(world: &World) {
    let head = CommitId(world.push("couchestor/one", Some("main")).await);
    let forge = &world.forge;
    let url = Some("https://example.org/plan");
    let long = "x".repeat(400);
    for (context, state, words, written) in [
        ("couchestor/plan", CommitState::Pending, "looking", true),
        ("couchestor/plan", CommitState::Pending, "looking", false),
        ("couchestor/plan", CommitState::Success, "3 moves", true),
        ("couchestor/plan", CommitState::Success, "3 moves", false),
        ("couchestor/apply", CommitState::Failure, &long, true),
        ("couchestor/apply", CommitState::Failure, &long, false),
        ("couchestor/plan", CommitState::Success, "3 moves", false),
        ("couchestor/apply", CommitState::Pending, "again", true),
        ("couchestor/apply", CommitState::Error, "no answer", true),
        ("couchestor/apply", CommitState::Error, "no answer", false),
    ] {
        let done = forge.set_status(&head, context, state, words, url).await.unwrap();
        assert_eq!(done, written, "{context} {state:?} {words}");
    }
    // GitLab keeps a description for as long as the state.
    forge
        .set_status(&head, "couchestor/plan", CommitState::Success, "4 moves", url)
        .await
        .unwrap();
}

async fn approvals_are_of_the_head_that_was_seen(world: &World) {
    let number = opened(world, "couchestor/one").await;
    let first = CommitId(world.tip("couchestor/one").await);
    assert_eq!(world.forge.approvals(number).await.unwrap(), []);
    world.review(number, "ann", Verdict::Approve).await;
    world.review(number, "ann", Verdict::Comment).await;
    let approvals = world.forge.approvals(number).await.unwrap();
    assert_eq!(approvals.len(), 1);
    assert_eq!(approvals[0].login, "ann");
    assert!(approvals[0].is_of(&first), "{approvals:?}");
    assert!(approvals[0].at.is_some() && approvals[0].trusted, "{approvals:?}");

    let second = CommitId(world.push("couchestor/one", None).await);
    let found = world.forge.get(number).await.unwrap();
    assert_eq!(found.head_sha, second);
    let approvals = world.forge.approvals(number).await.unwrap();
    assert!(
        approvals[0].is_of(&first) && !approvals[0].is_of(&second),
        "{approvals:?}"
    );

    world.review(number, "ben", Verdict::Approve).await;
    let approvals = world.forge.approvals(number).await.unwrap();
    let by: Vec<(&str, bool)> = approvals
        .iter()
        .map(|approval| (approval.login.as_str(), approval.is_of(&second)))
        .collect();
    assert_eq!(by, [("ann", false), ("ben", true)]);

    world.review(number, "ben", Verdict::RequestChanges).await;
    world.review(number, "ann", Verdict::Approve).await;
    let approvals = world.forge.approvals(number).await.unwrap();
    assert_eq!(approvals.len(), 1, "{approvals:?}");
    assert!(
        approvals[0].login == "ann" && approvals[0].is_of(&second),
        "{approvals:?}"
    );

    world.review(number, "ann", Verdict::Dismiss).await;
    assert_eq!(world.forge.approvals(number).await.unwrap(), []);
}

async fn labels_are_made_once(world: &World) {
    let label = |name: &str| Label {
        name: name.to_owned(),
        color: "1d76db".to_owned(),
        description: "made by couchestor".to_owned(),
    };
    let labels = [label("couchestor"), label("storage")];
    let writes = world.writes();
    world.forge.ensure_labels(&labels).await.unwrap();
    assert_eq!(world.writes(), writes + 2);
    world.forge.ensure_labels(&labels).await.unwrap();
    assert_eq!(world.writes(), writes + 2);
    let number = opened(world, "couchestor/one").await;
    assert_eq!(
        world.forge.get(number).await.unwrap().labels,
        ["couchestor", "storage"]
    );
}

async fn a_conflict_is_seen(world: &World) {
    match &world.host {
        world::Host::Sim(sim) => {
            sim.push("couchestor/one", Some("main"), &[("same", "theirs")])
                .unwrap();
            sim.push("main", None, &[("same", "ours")]).unwrap();
        }
        world::Host::Gitea(repository) => {
            repository
                .push("couchestor/one", Some("main"), "same", "theirs")
                .await;
            repository.push("main", None, "same", "ours").await;
        }
    }
    let opened = world.forge.open(&proposal("couchestor/one")).await.unwrap();
    let number = opened.pull_request.number;
    let mut seen = None;
    for _ in 0..100 {
        seen = world.forge.get(number).await.unwrap().mergeable;
        if seen.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(seen, Some(false));
}

async fn open_ones_are_listed_newest_first(world: &World) {
    let mut numbers = Vec::new();
    for name in ["one", "two", "three"] {
        numbers.push(opened(world, &format!("couchestor/{name}")).await);
        // Gitea sorts by whole seconds.
        if world.kind() == ForgeKind::Gitea {
            tokio::time::sleep(Duration::from_millis(1100)).await;
        }
    }
    world.turn(numbers[1], false).await;
    let listed = world.forge.list_open(10).await.unwrap();
    let listed: Vec<u64> = listed.iter().map(|one| one.number).collect();
    assert_eq!(listed, [numbers[2], numbers[0]]);
    let one = world.forge.list_open(1).await.unwrap();
    assert_eq!(one.len(), 1, "no more than were asked for");
}

async fn a_wrong_token_and_a_wrong_repository_are_matters_for_a_person(world: &World) {
    let number = opened(world, "couchestor/one").await;
    let address = world.forge.address().clone();
    let wrong = Forge::new(&address, credentials("not-the-right-token"), options()).unwrap();
    let errors = [
        wrong.find("couchestor/one", "main").await.unwrap_err(),
        wrong.open(&proposal("couchestor/two")).await.unwrap_err(),
        wrong.get(number).await.unwrap_err(),
        wrong.whoami().await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, ForgeError::Denied { .. }), "{error}");
        assert_eq!(
            (error.class(), error.reason()),
            (Class::Stalled, "AuthenticationFailed")
        );
        assert!(
            !format!("{error} {error:?}").contains("not-the-right-token"),
            "{error}"
        );
    }
    let mut elsewhere = address;
    elsewhere.repository = "acme/no-such-thing".to_owned();
    let elsewhere = Forge::new(&elsewhere, credentials(&world.token), options()).unwrap();
    let error = elsewhere.list_open(10).await.unwrap_err();
    assert!(matches!(error, ForgeError::NotFound { .. }), "{error}");
    let error = world.forge.get(4711).await.unwrap_err();
    assert!(matches!(error, ForgeError::NotFound { .. }), "{error}");
    assert!(!error.to_string().contains(&world.token));
}

async fn texts_that_are_too_long_are_not_sent(world: &World) {
    world.push("couchestor/one", Some("main")).await;
    let limits = world.kind().limits();
    let mut wanted = proposal("couchestor/one");
    let writes = world.writes();
    wanted.body = "x".repeat(limits.body + 1);
    let error = world.forge.open(&wanted).await.unwrap_err();
    assert!(error.to_string().contains("the body has"), "{error}");
    wanted.body = "x".repeat(60_000);
    wanted.title = "x".repeat(limits.title + 1);
    let error = world.forge.open(&wanted).await.unwrap_err();
    assert!(error.to_string().contains("the title has"), "{error}");
    assert_eq!(world.writes(), writes);
    wanted.title = "x".repeat(limits.title);
    let opened = world.forge.open(&wanted).await.unwrap();
    assert_eq!(opened.pull_request.body, wanted.body);
}
