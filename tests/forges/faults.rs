//! Whatever goes wrong with whichever request: nothing is done twice, nothing is lost, and nobody is flooded.

use super::world::{World, options, proposal};
use crate::support::{say, seed};
use couchestor::io::forge::{Forge, ForgeError, Options};
use couchestor::io::git::Credentials;
use couchestor::model::failure::{Class, Failure};
use couchestor::model::ids::CommitId;
use couchestor::model::pull_request::{CommitState, ForgeKind, Label, PullRequestState, hidden_marker};
use couchestor::model::secret::SecretText;
use couchestor::sim::forge::{Fault, ForgeSim, Standing, Verdict};
use std::time::Duration;

const BRANCH: &str = "couchestor/one";

/// Faults that leave it open whether something was done, and others.
const FAULTS: [Fault; 6] = [
    Fault::LostReply,
    Fault::ErrorAfter,
    Fault::ErrorBefore,
    Fault::Cut,
    Fault::Stale,
    Fault::Race,
];

/// What is done to a pull request that is there, and how it must look afterwards.
#[derive(Clone, Copy, Debug)]
enum Act {
    Open,
    Update,
    Close,
    Reopen,
    Comment,
    EditComment,
    Status,
    Labels,
}

const ACTS: [Act; 8] = [
    Act::Open,
    Act::Update,
    Act::Close,
    Act::Reopen,
    Act::Comment,
    Act::EditComment,
    Act::Status,
    Act::Labels,
];

impl Act {
    /// What stands before it is done.
    async fn prepare(self, world: &World) {
        if matches!(self, Self::Open | Self::Labels) {
            return;
        }
        world.forge.open(&proposal(BRANCH)).await.unwrap();
        match self {
            Self::Reopen => drop(world.forge.close(1).await.unwrap()),
            Self::EditComment => drop(world.forge.upsert_comment(1, "plan", "before").await.unwrap()),
            _ => {}
        }
    }

    async fn act(self, forge: &Forge, head: &str) -> Result<(), ForgeError> {
        let head = CommitId(head.to_owned());
        match self {
            Self::Open => forge.open(&proposal(BRANCH)).await.map(drop),
            Self::Update => forge.update(1, "New title", "New body").await.map(drop),
            Self::Close => forge.close(1).await.map(drop),
            Self::Reopen => forge.reopen(1).await.map(drop),
            Self::Comment | Self::EditComment => forge.upsert_comment(1, "plan", "after").await.map(drop),
            Self::Status => {
                let status = forge.set_status(&head, "couchestor/plan", CommitState::Success, "ok", None);
                status.await.map(drop)
            }
            Self::Labels => {
                let label = Label {
                    name: "couchestor".to_owned(),
                    color: "1d76db".to_owned(),
                    description: "ours".to_owned(),
                };
                forge.ensure_labels(&[label]).await
            }
        }
    }

    /// It is done, once.
    fn check(self, sim: &ForgeSim, told: &str) {
        sim.with(|state| {
            let pull = state.pulls.first();
            let open = state.pulls.iter().filter(|pull| pull.standing == Standing::Open);
            assert!(state.pulls.len() <= 1, "opened twice: {told}");
            match self {
                Self::Open | Self::Reopen => assert_eq!(open.count(), 1, "{told}"),
                Self::Close => assert_eq!(pull.unwrap().standing, Standing::Closed, "{told}"),
                Self::Update => assert_eq!(
                    (pull.unwrap().title.as_str(), pull.unwrap().body.as_str()),
                    ("New title", "New body"),
                    "{told}"
                ),
                Self::Comment | Self::EditComment => {
                    let marker = hidden_marker("plan");
                    let comments = &pull.unwrap().comments;
                    let ours: Vec<&str> = comments
                        .iter()
                        .filter(|comment| comment.body.starts_with(&marker))
                        .map(|comment| comment.body.as_str())
                        .collect();
                    assert_eq!(ours.len(), 1, "{told}: {ours:?}");
                    assert!(ours[0].ends_with("after"), "{told}: {ours:?}");
                }
                Self::Status => {
                    let newest = state.statuses.last().unwrap();
                    assert_eq!(newest.state, CommitState::Success, "{told}");
                }
                Self::Labels => assert_eq!(state.labels.len(), 1, "{told}"),
            }
            if let (Self::Open, Some(pull)) = (self, pull) {
                assert_eq!(pull.labels.len(), 2, "{told}");
            }
        });
    }
}

async fn begun(kind: ForgeKind) -> (World, String) {
    let world = World::sim(kind).await;
    let head = world.push(BRANCH, Some("main")).await;
    (world, head)
}

fn absent(world: &World, text: &str) {
    world.canary.as_ref().unwrap().assert_absent(text);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_at_every_request_of_every_act_does_nothing_twice_and_loses_nothing() {
    let mut cases = 0;
    for kind in [ForgeKind::Github, ForgeKind::Gitlab] {
        for act in ACTS {
            for fault in FAULTS {
                for at in 0.. {
                    let (world, head) = begun(kind).await;
                    act.prepare(&world).await;
                    let sim = world.simulated();
                    sim.fault(at, fault);
                    let told = format!("{kind:?} {act:?}: {fault:?} at request {at}");
                    let mut outcomes = vec![act.act(&world.forge, &head).await];
                    if sim.happened().is_empty() {
                        break;
                    }
                    while let Some(Err(error)) = outcomes.last() {
                        assert_eq!(error.class(), Class::Retry, "{told}: {error}");
                        absent(&world, &format!("{error} {error:?}"));
                        assert!(outcomes.len() < 4, "{told}: {outcomes:?}");
                        outcomes.push(act.act(&world.forge, &head).await);
                    }
                    act.check(sim, &format!("{told}: {:?} {outcomes:?}", sim.requests()));
                    cases += 1;
                }
            }
        }
    }
    say(&format!("{cases} faults, each at one request"));
    assert!(cases > 200, "{cases}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_faults_at_once_do_nothing_twice_and_lose_nothing() {
    let seed = seed("faults of a forge");
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut errors, mut happened, rounds) = (0, 0, 60);
    for round in 0..rounds {
        let kind = [ForgeKind::Github, ForgeKind::Gitlab][round % 2];
        let (world, head) = begun(kind).await;
        let sim = world.simulated();
        for act in [
            Act::Labels,
            Act::Open,
            Act::Comment,
            Act::Status,
            Act::Update,
            Act::Close,
            Act::Reopen,
        ] {
            sim.faults_by_chance(random.u64(..), random.u64(2..5), &FAULTS);
            let mut tries = 0;
            while let Err(error) = act.act(&world.forge, &head).await {
                assert_eq!(error.class(), Class::Retry, "{error}");
                absent(&world, &format!("{error} {error:?}"));
                errors += 1;
                tries += 1;
                if tries == 20 {
                    sim.no_faults();
                }
                assert!(tries < 30, "{error}");
            }
            // A list that lags behind may have hidden a twin; the next look finds it.
            sim.no_faults();
            act.act(&world.forge, &head).await.unwrap();
            let told = format!("seed {seed}, round {round}: {:?}", sim.happened());
            if !matches!(act, Act::Labels | Act::Open) {
                act.check(sim, &told);
            }
            sim.with(|state| assert_eq!(state.pulls.len().max(1), 1, "{told}"));
        }
        happened += sim.happened().len();
    }
    say(&format!(
        "{rounds} rounds, {happened} faults, {errors} errors told"
    ));
    assert!(happened > rounds, "{happened}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_yes_on_a_public_repository_is_known_as_one() {
    let (world, branch) = begun(ForgeKind::Github).await;
    let number = crate::forges::opened(&world, &branch).await;
    world.review(number, "stranger-sam", Verdict::Approve).await;
    world.review(number, "ann", Verdict::Approve).await;
    let approvals = world.forge.approvals(number).await.unwrap();
    let trusted: Vec<(&str, bool)> = approvals
        .iter()
        .map(|one| (one.login.as_str(), one.trusted))
        .collect();
    assert_eq!(trusted, [("ann", true), ("stranger-sam", false)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_too_late_is_not_believed_to_be_a_no() {
    let mut all = Vec::new();
    for kind in [ForgeKind::Github, ForgeKind::Gitlab] {
        for act in [Act::Open, Act::Comment, Act::Update] {
            all.push(too_late(kind, act));
        }
    }
    futures::future::join_all(all).await;
}

async fn too_late(kind: ForgeKind, act: Act) {
    let (world, head) = begun(kind).await;
    act.prepare(&world).await;
    let sim = world.simulated();
    let hasty = Options {
        timeout: Duration::from_secs(2),
        ..options()
    };
    let forge = World::client(sim, &world.token, hasty);
    forge.whoami().await.unwrap();
    // The write is the second request; the read before it and the write are slow once.
    for at in 0..2 {
        sim.fault(at, Fault::Slow(Duration::from_secs(4)));
    }
    let mut outcome = act.act(&forge, &head).await;
    for _ in 0..6 {
        let Err(error) = &outcome else { break };
        assert_eq!(error.class(), Class::Retry, "{error}");
        outcome = act.act(&forge, &head).await;
    }
    outcome.unwrap();
    act.check(sim, &format!("{kind:?} {act:?} {:?}", sim.happened()));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_closed_before_its_lost_answer_was_looked_for_is_found() {
    for kind in [ForgeKind::Github, ForgeKind::Gitlab] {
        let (world, _) = begun(kind).await;
        let sim = world.simulated();
        // It is opened, its answer is lost, and so is the look for it; a person closes it meanwhile.
        sim.fault(1, Fault::LostReply);
        sim.fault(2, Fault::Cut);
        let error = world.forge.open(&proposal(BRANCH)).await.unwrap_err();
        assert_eq!(error.class(), Class::Retry, "{error}");
        sim.turn(1, false).unwrap();
        let found = world.forge.find(BRANCH, "main").await.unwrap().unwrap();
        assert_eq!((found.number, found.state), (1, PullRequestState::Closed));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_is_told_with_its_end_and_nothing_is_asked_before() {
    let table = [
        (ForgeKind::Github, Fault::TooMany(1)),
        (ForgeKind::Github, Fault::Secondary(1)),
        (ForgeKind::Gitlab, Fault::TooMany(1)),
    ];
    for (kind, fault) in table {
        for write in [false, true] {
            let (world, _) = begun(kind).await;
            let sim = world.simulated();
            sim.fault(usize::from(write), fault);
            let error = world.forge.open(&proposal(BRANCH)).await.unwrap_err();
            let until = error.not_before().unwrap_or_else(|| panic!("{error}"));
            assert_eq!((error.class(), error.reason()), (Class::Waiting, "RateLimited"));
            let asked = sim.requests().len();
            let again = world.forge.open(&proposal(BRANCH)).await.unwrap_err();
            assert_eq!(again.not_before(), Some(until), "{again}");
            assert_eq!(sim.requests().len(), asked, "nothing is asked before {until}");
            assert_eq!(world.forge.requests().not_before, Some(until));
            let pause = until.duration_since(couchestor::io::clock::now());
            assert!(pause.as_secs() <= 3, "{pause}");
            tokio::time::sleep(pause.unsigned_abs() + Duration::from_millis(100)).await;
            assert!(world.forge.open(&proposal(BRANCH)).await.unwrap().new);
            assert_eq!(world.forge.requests().limited, 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_is_used_up_is_not_asked_again() {
    for kind in [ForgeKind::Github, ForgeKind::Gitlab] {
        let (world, _) = begun(kind).await;
        let sim = world.simulated();
        sim.budget(Some(1));
        assert_eq!(world.forge.find(BRANCH, "main").await.unwrap(), None);
        assert_eq!(world.forge.requests().remaining, Some(0));
        let asked = sim.requests().len();
        let error = world.forge.open(&proposal(BRANCH)).await.unwrap_err();
        assert!(error.not_before().is_some(), "{error}");
        assert_eq!(sim.requests().len(), asked);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_change_costs_nothing() {
    for kind in [ForgeKind::Github, ForgeKind::Gitlab] {
        let (world, _) = begun(kind).await;
        let sim = world.simulated();
        let number = world
            .forge
            .open(&proposal(BRANCH))
            .await
            .unwrap()
            .pull_request
            .number;
        sim.review(number, "ann", Verdict::Approve).unwrap();
        let look = || async {
            world.forge.find(BRANCH, "main").await.unwrap();
            world.forge.get(number).await.unwrap();
            world.forge.comments(number, None).await.unwrap();
            world.forge.approvals(number).await.unwrap();
            world.forge.list_open(10).await.unwrap();
        };
        look().await;
        sim.budget(Some(1));
        let before = world.forge.requests();
        for _ in 0..10 {
            look().await;
        }
        let after = world.forge.requests();
        assert_eq!(after.reads - before.reads, after.unchanged - before.unchanged);
        assert_eq!(after.writes, before.writes);
        sim.budget(None);
        sim.comment(number, "ann", "new").unwrap();
        let comments = world.forge.comments(number, None).await.unwrap();
        assert_eq!(comments.len(), 1, "what changed is seen at once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_writes_are_bounded() {
    let (world, head) = begun(ForgeKind::Github).await;
    let sim = world.simulated();
    let few = Options {
        writes_per_minute: 3,
        ..options()
    };
    let forge = World::client(sim, &world.token, few);
    let mut written = 0;
    let mut limit = None;
    for round in 0..10 {
        let words = round.to_string();
        let head = CommitId(head.clone());
        match forge
            .set_status(&head, "couchestor/plan", CommitState::Success, &words, None)
            .await
        {
            Ok(_) => written += 1,
            Err(error) => limit = error.not_before(),
        }
    }
    assert_eq!(written, 3);
    assert!(limit.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn long_lists_are_read_page_by_page() {
    for kind in [ForgeKind::Github, ForgeKind::Gitlab] {
        let (world, _) = begun(kind).await;
        let sim = world.simulated();
        for round in 0..130 {
            let branch = format!("other/{round}");
            sim.push(&branch, Some("main"), &[(&branch, "x")]).unwrap();
            sim.open("ann", "Another", (&branch, "main"), false).unwrap();
        }
        let ours = world
            .forge
            .open(&proposal(BRANCH))
            .await
            .unwrap()
            .pull_request
            .number;
        for round in 0..230 {
            sim.comment(ours, "ann", &format!("comment {round}")).unwrap();
        }
        assert_eq!(world.forge.list_open(1000).await.unwrap().len(), 131);
        assert_eq!(world.forge.list_open(70).await.unwrap().len(), 70);
        assert_eq!(world.forge.comments(ours, None).await.unwrap().len(), 230);
        world.forge.upsert_comment(ours, "plan", "one").await.unwrap();
        let again = world.forge.upsert_comment(ours, "plan", "one").await.unwrap();
        assert!(!again.written, "it is found on the last page");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_of_the_same_name_in_a_fork_is_not_ours() {
    for kind in [ForgeKind::Github, ForgeKind::Gitlab] {
        let (world, _) = begun(kind).await;
        let sim = world.simulated();
        let theirs = sim.open("mallory", "Ours?", (BRANCH, "main"), true).unwrap();
        assert_eq!(world.forge.find(BRANCH, "main").await.unwrap(), None);
        assert!(world.forge.get(theirs).await.unwrap().from_fork);
        let ours = world.forge.open(&proposal(BRANCH)).await.unwrap();
        assert!(ours.new && ours.pull_request.number != theirs);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_pushed_to_base_by_hand_is_merged_and_a_rewritten_one_is_not_reopened() {
    for kind in [ForgeKind::Github, ForgeKind::Gitlab] {
        let (world, head) = begun(kind).await;
        let sim = world.simulated();
        let first = world
            .forge
            .open(&proposal(BRANCH))
            .await
            .unwrap()
            .pull_request
            .number;
        sim.push("main", Some(&head), &[("more", "x")]).unwrap();
        let found = world.forge.get(first).await.unwrap();
        assert_eq!(found.state, PullRequestState::Merged);
        assert_eq!(found.merged_by.as_deref(), Some("pusher"));

        world.push("couchestor/two", Some("main")).await;
        let second = world.forge.open(&proposal("couchestor/two")).await.unwrap();
        let second = second.pull_request.number;
        world.forge.close(second).await.unwrap();
        world.push("couchestor/two", Some("main")).await;
        let reopened = world.forge.reopen(second).await;
        match kind {
            ForgeKind::Github => assert!(
                matches!(reopened, Err(ForgeError::Refused { .. })),
                "{reopened:?}"
            ),
            _ => assert!(reopened.unwrap().pull_request.is_open()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_comments_under_its_own_name_and_renews_its_token_once() {
    let (world, _) = begun(ForgeKind::Github).await;
    let sim = world.simulated();
    let key = std::process::Command::new("openssl")
        .args(["genrsa", "-traditional", "2048"])
        .output()
        .unwrap();
    let base = format!("{}/api/v3", sim.url());
    let data = [
        ("githubAppID", "42".as_bytes()),
        ("githubAppInstallationID", b"7"),
        ("githubAppBaseURL", base.as_bytes()),
        ("githubAppPrivateKey", &key.stdout),
    ];
    let data = data
        .iter()
        .map(|(name, value)| ((*name).to_owned(), SecretText::new(value.to_vec())));
    let credentials = Credentials::for_api(&data.collect()).unwrap();
    let forge = Forge::new(world.forge.address(), credentials, options()).unwrap();
    assert_eq!(forge.whoami().await.unwrap(), "couchestor-app[bot]");
    let number = forge.open(&proposal(BRANCH)).await.unwrap().pull_request.number;
    assert!(forge.upsert_comment(number, "plan", "one").await.unwrap().written);
    assert_eq!(sim.take_back_token(), 1, "one token is enough for all");
    assert!(forge.upsert_comment(number, "plan", "two").await.unwrap().written);
    assert_eq!(sim.take_back_token(), 2, "it was renewed");
    let comments = forge.comments(number, None).await.unwrap();
    let said: Vec<&str> = comments.iter().map(|comment| comment.author.as_str()).collect();
    assert_eq!(said, ["couchestor-app[bot]"]);
    // The other identity's comment is another's.
    assert!(
        world
            .forge
            .upsert_comment(number, "plan", "mine")
            .await
            .unwrap()
            .written
    );
    assert_eq!(forge.comments(number, None).await.unwrap().len(), 2);
}

/// A forge that hangs costs what was allowed, and is asked nothing more.
#[tokio::test(flavor = "multi_thread")]
async fn all_requests_together_take_no_longer_than_was_allowed() {
    for kind in [ForgeKind::Github, ForgeKind::Gitlab] {
        let (world, _) = begun(kind).await;
        let (sim, forge) = (world.simulated(), &world.forge);
        forge.list_open(10).await.unwrap();
        let allowance = forge.allow(Duration::from_millis(500));
        sim.fault(0, Fault::Slow(Duration::from_secs(20)));
        let error = forge.list_open(10).await.unwrap_err();
        assert_eq!(error.class(), Class::Retry, "{error}");
        let before = sim.requests().len();
        for error in [
            forge.list_open(10).await.unwrap_err(),
            forge.open(&proposal(BRANCH)).await.unwrap_err(),
        ] {
            assert_eq!(error.class(), Class::Retry, "{error}");
            assert!(
                error.to_string().contains("that a turn may wait for it"),
                "{error}"
            );
        }
        assert_eq!(sim.requests().len(), before, "nothing more was asked");
        drop(allowance);
        forge.list_open(10).await.unwrap();
    }
}

/// GitHub asks for it, and answers with its secondary limit to who does otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn changes_are_asked_for_one_at_a_time() {
    for kind in [ForgeKind::Github, ForgeKind::Gitlab] {
        let (world, head) = begun(kind).await;
        let (sim, head) = (world.simulated(), CommitId(head));
        // Each takes a while, so that others would come meanwhile.
        sim.faults_by_chance(1, 1, &[Fault::Slow(Duration::from_millis(50))]);
        let contexts: Vec<String> = (0..6).map(|number| format!("couchestor/{number}")).collect();
        let set = |context| {
            world
                .forge
                .set_status(&head, context, CommitState::Pending, "x", None)
        };
        for written in futures::future::join_all(contexts.iter().map(|context| set(context))).await {
            assert!(written.unwrap());
        }
        assert_eq!(sim.with(|state| state.statuses.len()), 6);
        assert_eq!(sim.writes_at_once(), 1);
    }
}
