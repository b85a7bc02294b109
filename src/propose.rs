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
use crate::model::tree::Entry;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How it is done.
mod act;

/// What branches are called.
mod names;

/// What is done.
mod plan;

/// What is remembered.
mod remembered;

use act::{Here, carry_out};
use plan::is_of;
pub use plan::is_open;
pub use plan::{Action, Known, Pulls, plan};
use remembered::{Worth, forget, set_state};

/// Open pull requests that are looked through, the newest: also people's own. docs/pull-requests.md names it.
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

/// What is said on a pull request of its end.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    /// When it is withdrawn and nothing more is known of why.
    pub withdrawn: &'static str,
    /// When a person has changed the branch.
    pub edited: &'static str,
    /// When a person has said no.
    pub declined: &'static str,
    /// When base holds what was proposed and the forge does not know.
    pub merged: &'static str,
}

impl Words {
    /// Of moves.
    pub const MOVES: Self = Self {
        withdrawn: "What spoke for these moves has changed, so they are not proposed any more. couchestor has closed this and will ask \
            again if they are needed.",
        edited: "Somebody else has changed this branch, so couchestor writes to it no more. Merge it or close it as it is; delete the \
            branch's own commits to have it kept up to date again.",
        declined: "Understood: these moves are not asked for again unless the load or the policy changes materially, or the memory of \
            this expires (`proposals.rejections`). Reopen this to change your mind.",
        merged: "The base branch holds these moves already, so this is done and closed. They are carried out as if this had been merged \
            here.",
    };

    /// Of manifests.
    pub const MANIFESTS: Self = Self {
        withdrawn: "The branch holds what is rendered now, or manifests are not delivered by pull request any more. couchestor has closed \
            this and will ask again when something else is rendered.",
        edited: Self::MOVES.edited,
        declined: "Understood: this is not asked again until something else is rendered, or the memory of it expires \
            (`proposals.rejections`). Reopen this to change your mind.",
        merged: "The branch holds these manifests already, so this is done and closed.",
    };
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
    /// What is said of its end.
    pub words: &'a Words,
    /// Hashes of the policies' specs, by name.
    pub fingerprints: &'a BTreeMap<String, String>,
    /// How long a no holds; `None`: for ever.
    pub expire: Option<Duration>,
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
    /// Requests that it took to list them: one for each page.
    pub pages: u64,
}

/// What merging a pull request made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merge {
    /// The commit on base.
    pub commit: CommitId,
    /// When.
    pub at: Option<Timestamp>,
}

/// Asks the forge where the pull requests of the records stand: a question for each page of those that are open, and one for each that
/// is not among them any more. `all`: the open ones are of interest even when there is no record.
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
    let before = forge.requests().reads;
    let listed = forge.list_open(LISTED_MAX).await?;
    let pages = forge.requests().reads.saturating_sub(before);
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
        pages,
    })
}

/// Branches of the recorded proposals for which nothing has changed on base since they were made: nothing in the folder that is built,
/// nor in that of the assignments.
pub async fn untouched(
    repository: &Repository,
    folders: [&str; 2],
    base: &CommitId,
    recorded: &[ProposalStatus],
) -> BTreeSet<String> {
    let (mut untouched, mut files) = (BTreeSet::new(), None);
    let asked = |record: &&ProposalStatus| record.base != base.as_str() && record.state.is_asked();
    for record in recorded.iter().filter(asked) {
        if files.is_none() {
            files = files_in(repository, folders, base).await;
        }
        // One that cannot be read any more was rewritten.
        let before = files_in(repository, folders, &CommitId(record.base.clone())).await;
        if before.is_some() && before == files {
            untouched.insert(record.branch.clone());
        }
    }
    untouched
}

/// The files of a commit in these folders; `None` when it is not here.
async fn files_in(
    repository: &Repository,
    folders: [&str; 2],
    commit: &CommitId,
) -> Option<BTreeMap<String, Entry>> {
    let inside = |folder: &str, path: &str| {
        let rest = path.strip_prefix(folder.trim_end_matches('/'));
        folder.is_empty() || rest.is_some_and(|rest| rest.starts_with('/'))
    };
    let mut files = repository.entries(commit).await.ok()?;
    files.retain(|path, _| folders.iter().any(|folder| inside(folder, path)));
    Some(files)
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
    let worth = |record: &ProposalStatus| Worth::of(record, &in_base, proposals.expire, proposals.now);
    forget(&mut proposed.records, worth);
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
