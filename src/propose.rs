//! Rendered proposals → branches and pull requests: one per policy, one commit on base's tip, never over a person's work.
//!
//! Without a forge the branch is the proposal: merging it approves, deleting it declines. With one the pull request is what people
//! see, and closing it declines. Whether something was merged is read from the base branch, whatever a forge says.

use crate::io::forge::{Forge, ForgeError};
use crate::io::git::{GitError, Repository, Tips};
use crate::model::failure::{Class, Failure};
use crate::model::ids::CommitId;
use crate::model::kinds::policy_source::{ProposalState, ProposalStatus, ProposedMoveStatus};
use crate::model::pull_request::{NewPullRequest, PullRequest, PullRequestState, cut};
use crate::model::rendering::ProposalText;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// How it is done.
mod act;

/// What branches are called.
mod names;

/// What is done.
mod plan;

/// What is remembered.
mod remembered;

use act::{Here, carry_out};
pub use plan::{Action, Known, Pulls, plan};
use plan::{is_of, is_open};
use remembered::{forget_oldest, set_state};

/// Open pull requests that are looked through: also people's own.
const LISTED_MAX: usize = 200;

/// The trailer by which couchestor knows a commit of its own again.
pub const TRAILER: &str = "Couchestor-Proposal";

/// Why something was not proposed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Git would not.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The forge would not.
    #[error(transparent)]
    Forge(#[from] ForgeError),
}

impl Failure for ProposeError {
    fn class(&self) -> Class {
        match self {
            Self::Git(error) => error.class(),
            Self::Forge(error) => error.class(),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Git(error) => error.reason(),
            Self::Forge(error) => error.reason(),
        }
    }
}

/// What became of the branches.
#[derive(Debug, Default)]
pub struct Proposed {
    /// The new record.
    pub records: Vec<ProposalStatus>,
    /// What was done, branch by branch, for events.
    pub done: Vec<(String, Action)>,
    /// What could not be done.
    pub errors: Vec<(String, ProposeError)>,
    /// What is wrong with the template of proposals: the built-in one was used.
    pub template: Option<String>,
    /// Whether something is meant to be done that has to be remembered first: the next turn does it, and has nothing to wait for.
    pub again: bool,
}

/// What proposing starts from.
#[derive(Clone, Copy)]
pub struct Proposals<'a> {
    /// What is wanted now.
    pub wanted: &'a [ProposalText],
    /// What is remembered.
    pub recorded: &'a [ProposalStatus],
    /// Where the remote's branches stand.
    pub tips: &'a Tips,
    /// The tip of the base branch.
    pub base: &'a CommitId,
    /// The base branch.
    pub base_branch: &'a str,
    /// Labels for pull requests.
    pub labels: &'a [String],
    /// Where pull requests stand.
    pub pulls: &'a Pulls,
    /// What was found out beside that.
    pub known: &'a Known,
    /// Whose proposals these are: several clusters may use one repository, and have policies of the same name.
    pub owner: &'a str,
    /// Hashes of the policies' specs, by name.
    pub fingerprints: &'a BTreeMap<String, String>,
    /// Now.
    pub now: Timestamp,
}

/// What a forge said of its pull requests.
#[derive(Clone, Debug, Default)]
pub struct Polled {
    /// Where those of the records stand.
    pub pulls: Pulls,
    /// Of those that are merged, the commits that merging made, as far as the forge tells.
    pub merges: BTreeMap<u64, Merge>,
    /// All that are open, newest first; `None` when nobody asked.
    pub open: Option<Vec<PullRequest>>,
}

/// What merging a pull request made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merge {
    /// The commit on base.
    pub commit: CommitId,
    /// When.
    pub at: Option<Timestamp>,
}

/// Asks the forge where the pull requests of the records stand: one question for all that are open, and one for each that is not
/// among them any more. `all`: the open ones are of interest even when there is no record.
///
/// # Errors
/// Any [`ForgeError`].
pub async fn poll(forge: &Forge, recorded: &[ProposalStatus], all: bool) -> Result<Polled, ForgeError> {
    let numbers = || {
        recorded
            .iter()
            .filter_map(|record| Some((record.number?, is_open(record))))
    };
    if !all && numbers().next().is_none() {
        return Ok(Polled::default());
    }
    let listed = forge.list_open(LISTED_MAX).await?;
    let open: BTreeSet<u64> = listed.iter().map(|pull| pull.number).collect();
    let (mut pulls, mut merges) = (Pulls::new(), BTreeMap::new());
    for (number, is_open) in numbers() {
        if open.contains(&number) {
            pulls.insert(number, PullRequestState::Open);
        } else if is_open {
            let state = match forge.get(number).await {
                Ok(pull) => {
                    let at = pull.merged_at;
                    let merge = pull.merge_commit.map(|commit| Merge { commit, at });
                    merges.extend(merge.map(|merge| (number, merge)));
                    pull.state
                }
                // An administrator has deleted it.
                Err(ForgeError::NotFound { .. }) => PullRequestState::Closed,
                Err(error) => return Err(error),
            };
            pulls.insert(number, state);
        }
    }
    Ok(Polled {
        pulls,
        merges,
        open: Some(listed),
    })
}

/// Carries the plan out. `in_base` says whether base already holds what a recorded move asked for.
pub async fn propose(
    repository: &Repository,
    forge: Option<&Forge>,
    proposals: &Proposals<'_>,
    in_base: impl Fn(&ProposedMoveStatus) -> bool,
) -> Proposed {
    let actions = plan(proposals, &in_base);
    let mut proposed = Proposed {
        records: proposals.recorded.to_vec(),
        ..Proposed::default()
    };
    // First of all: what is made in this turn may ask for the same volumes, and takes nothing from what is still to be closed.
    for branch in actions.iter().filter_map(withdrawn) {
        let meant = |record: &ProposalStatus| record.branch == *branch && is_open(record);
        set_state(
            &mut proposed.records,
            meant,
            ProposalState::Withdrawing,
            proposals.now,
        );
    }
    for (branch, action) in actions {
        let here = Here {
            repository,
            forge,
            proposals,
            branch: &branch,
        };
        let outcome = carry_out(&here, &mut proposed.records, &action, &in_base).await;
        match outcome {
            Ok(true) => proposed.done.push((branch, action)),
            Ok(false) => {}
            Err(error) => proposed.errors.push((branch, error)),
        }
    }
    if let Some(forge) = forge {
        show(forge, proposals, &mut proposed).await;
    }
    forget_oldest(&mut proposed.records);
    let withdrawing = |record: &&ProposalStatus| record.state == ProposalState::Withdrawing;
    let before: Vec<&str> = proposals
        .recorded
        .iter()
        .filter(withdrawing)
        .map(|record| record.branch.as_str())
        .collect();
    let mut meant = proposed.records.iter().filter(withdrawing);
    proposed.again = meant.any(|record| !before.contains(&record.branch.as_str()));
    proposed
}

/// The branch, if it is to be withdrawn.
fn withdrawn<'a>((branch, action): (&'a String, &Action)) -> Option<&'a String> {
    matches!(action, Action::Withdraw(_)).then_some(branch)
}

/// Opens the pull requests of branches that have none, and changes the text of those that speak of other moves: after the push, and
/// again when that did not succeed.
async fn show(forge: &Forge, proposals: &Proposals<'_>, proposed: &mut Proposed) {
    for record in proposed.records.iter_mut() {
        let text = proposals.wanted.iter().find(|text| is_of(record, text));
        if let (ProposalState::Open, Some(text)) = (record.state, text.filter(|text| text.key == record.key))
            && let Err(error) = show_one(forge, proposals, text, record).await
        {
            proposed.errors.push((record.branch.clone(), error.into()));
        }
    }
}

async fn show_one(
    forge: &Forge,
    proposals: &Proposals<'_>,
    text: &ProposalText,
    record: &mut ProposalStatus,
) -> Result<(), ForgeError> {
    let limits = forge.address().kind.limits();
    let (title, body) = (cut(&text.title, limits.title), cut(&text.body, limits.body));
    let number = match record.number {
        Some(number) => number,
        None => {
            let opened = forge
                .open(&NewPullRequest {
                    title: title.clone(),
                    body: body.clone(),
                    head_branch: record.branch.clone(),
                    base_branch: proposals.base_branch.to_owned(),
                    labels: proposals.labels.to_vec(),
                })
                .await?;
            // One that was open already may speak of other moves.
            if opened.new {
                record.shown = shown(record);
            }
            record.url = Some(opened.pull_request.url);
            *record.number.insert(opened.pull_request.number)
        }
    };
    if record.shown != shown(record) {
        // Without an answer nobody knows of which moves it speaks.
        record.shown.clear();
        forge.update(number, &title, &body).await?;
        record.shown = shown(record);
    }
    Ok(())
}

/// What a pull request's text was made for: the moves, and the commit with the figures that it tells of. Figures that are measured anew
/// change neither, so they do not rewrite the text.
fn shown(record: &ProposalStatus) -> String {
    format!("{} {}", record.key, record.commit)
}

#[cfg(test)]
mod tests;
