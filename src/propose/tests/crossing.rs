//! Claims about proposals of which one asks for what another is just being withdrawn for, in a real repository.

use super::*;
use crate::io::git::{self, Credentials, Lease, Repository, Signature};
use crate::propose::{Proposed, propose};
use std::time::Duration;

fn of(policy: &str) -> ProposalText {
    ProposalText {
        branch: format!("couchestor/moves/{policy}"),
        policy: policy.into(),
        ..wanted(policy)
    }
}

async fn turn(
    repository: &Repository,
    base: &CommitId,
    wanted: &ProposalText,
    recorded: &[ProposalStatus],
) -> Proposed {
    let proposals = Proposals {
        wanted: std::slice::from_ref(wanted),
        recorded,
        tips: &repository.list().await.unwrap(),
        base,
        base_branch: "main",
        labels: &[],
        pulls: &Pulls::new(),
        known: &Known::default(),
        owner: "couchestor-system/homelab assignments",
        words: &crate::propose::Words::MOVES,
        fingerprints: &BTreeMap::new(),
        expire: None,
        now: "2026-11-21T14:30:05Z".parse().unwrap(),
    };
    let proposed = propose(repository, None, &proposals, |_| false).await;
    assert!(proposed.errors.is_empty(), "{:?}", proposed.errors);
    proposed
}

#[tokio::test]
async fn a_policy_that_takes_over_anothers_volume_leaves_no_branch_of_the_other_behind() {
    // Branches are worked on in order of name.
    for (old, new) in [("a", "b"), ("b", "a")] {
        let folder = tempfile::tempdir().unwrap();
        let bare = folder.path().join("bare");
        git::init_bare(&bare).unwrap();
        let (url, clone) = (format!("file://{}", bare.display()), folder.path().join("clone"));
        let wait = Duration::from_secs(60);
        let repository = Repository::new(&url, &clone, Credentials::default(), wait, true).unwrap();
        let (who, at) = (Signature::default(), Timestamp::UNIX_EPOCH);
        let base = repository
            .push_as(&who, "main", Lease::Absent, None, Vec::new(), "b\n".into(), at)
            .await
            .unwrap();
        let states = |proposed: &Proposed| {
            let all = proposed.records.iter();
            all.map(|one| (one.policy.clone(), one.state))
                .collect::<BTreeMap<_, _>>()
        };
        let first = turn(&repository, &base, &of(old), &[]).await;
        assert_eq!(
            states(&first),
            BTreeMap::from([(old.into(), ProposalState::Open)])
        );
        let second = turn(&repository, &base, &of(new), &first.records).await;
        let both = [
            (old.to_owned(), ProposalState::Withdrawing),
            (new.to_owned(), ProposalState::Open),
        ];
        assert_eq!(states(&second), BTreeMap::from(both), "{old} → {new}");
        let third = turn(&repository, &base, &of(new), &second.records).await;
        assert_eq!(
            states(&third),
            BTreeMap::from([(new.into(), ProposalState::Open)])
        );
        let tips = repository.list().await.unwrap();
        let branches: Vec<&str> = tips.branches.keys().map(String::as_str).collect();
        assert_eq!(
            branches,
            [third.records[0].branch.as_str(), "main"],
            "{old} → {new}"
        );
    }
}
