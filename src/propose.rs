//! Rendered proposals → branches and pull requests: one per policy, one commit on base's tip, never over a person's work.
//!
//! Without a forge the branch is the proposal: merging it approves, deleting it declines. With one the pull request is what people
//! see, and closing it declines. Whether something was merged is read from the base branch, whatever a forge says.

use crate::io::forge::{Forge, ForgeError};
use crate::io::git::{GitError, Lease, Repository, Tips};
use crate::model::failure::{Class, Failure};
use crate::model::ids::CommitId;
use crate::model::kinds::policy_source::{ProposalState, ProposalStatus, ProposedMoveStatus};
use crate::model::pull_request::{NewPullRequest, PullRequest, PullRequestState, cut};
use crate::model::rendering::ProposalText;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// What branches are called.
mod names;

/// What is done.
mod plan;

/// What is remembered.
mod remembered;

pub use plan::{Action, Known, Pulls, plan};
use plan::{counts, is_of, is_open};
use remembered::{forget_oldest, record, replace, set_state};

/// Open pull requests that are looked through: also people's own.
const LISTED_MAX: usize = 200;

/// What is said when a proposal is withdrawn.
const WITHDRAWN: &str = "The load, the policy or the room for these moves has changed, so they are not proposed any more. \
    couchestor closes this and will ask again if they are needed.";

/// What is said when a person has changed the branch.
const EDITED: &str = "Somebody else has changed this branch, so couchestor writes to it no more. Merge it or close it as it is; \
    delete the branch's own commits to have it kept up to date again.";

/// What is said when a person has said no.
const DECLINED: &str = "Understood: these moves are not asked for again unless the load or the policy changes materially, or the \
    memory of this expires (`proposals.rejections`). Reopen this to change your mind.";

/// What is said when base holds what was proposed and the forge does not know.
const MERGED: &str = "The base branch holds these moves already, so this is done and closed. They are carried out as if this had \
    been merged here.";

/// The trailer by which couchestor knows a commit of its own again.
pub const TRAILER: &str = "Couchestor-Proposal";

/// The trailer that says for which source, and for which folder of assignments, a commit was made.
const SOURCE: &str = "Couchestor-Source";

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
    proposed
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

/// What carrying out one action needs.
struct Here<'a> {
    repository: &'a Repository,
    forge: Option<&'a Forge>,
    proposals: &'a Proposals<'a>,
    branch: &'a str,
}

impl Here<'_> {
    /// Says something on the pull request, once.
    async fn say(&self, number: Option<u64>, topic: &str, words: &str) -> Result<(), ForgeError> {
        if let (Some(forge), Some(number)) = (self.forge, number) {
            let marker = format!("couchestor {topic}");
            match forge.upsert_comment(number, &marker, words).await {
                // Where the pull request was deleted nobody reads it.
                Ok(_) | Err(ForgeError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Closes the pull request, if there is one still.
    async fn close(&self, number: Option<u64>) -> Result<(), ForgeError> {
        match (self.forge, number) {
            (Some(forge), Some(number)) => match forge.close(number).await {
                Ok(_) | Err(ForgeError::NotFound { .. }) => Ok(()),
                Err(error) => Err(error),
            },
            _ => Ok(()),
        }
    }
}

/// Returns whether anything happened.
async fn carry_out(
    here: &Here<'_>,
    records: &mut Vec<ProposalStatus>,
    action: &Action,
    in_base: impl Fn(&ProposedMoveStatus) -> bool,
) -> Result<bool, ProposeError> {
    let (repository, branch) = (here.repository, here.branch);
    let Proposals {
        wanted, base, now, ..
    } = *here.proposals;
    let open = |record: &ProposalStatus| record.branch == branch && is_open(record);
    let number = records
        .iter()
        .find(|record| open(record))
        .and_then(|record| record.number);
    let proposal = wanted
        .iter()
        .find(|proposal| match records.iter().find(|record| open(record)) {
            Some(record) => is_of(record, proposal),
            None => names::is_of(&proposal.branch, branch),
        });
    match (action, proposal) {
        (Action::Keep, _) if here.proposals.known.untouched.contains(branch) => {
            // What has happened on base until here does not concern it.
            for record in records.iter_mut().filter(|record| open(record)) {
                record.base = base.to_string();
            }
            return Ok(false);
        }
        (Action::Keep, _) | (Action::Create | Action::Adopt(_) | Action::Refresh(_), None) => {
            return Ok(false);
        }
        (Action::Create, Some(proposal)) => {
            let Some(made) = create(here, branch, proposal).await? else {
                return Ok(false);
            };
            replace(records, record(here, proposal, made, None));
        }
        (Action::Adopt(_), Some(proposal)) => {
            let Some(made) = adopt(here, proposal).await? else {
                return Ok(false);
            };
            replace(records, record(here, proposal, made, None));
        }
        (Action::Refresh(tip), Some(proposal)) => {
            let lease = Lease::At(tip.clone());
            let commit = push(here, branch, proposal, lease).await?;
            let before = records.iter().find(|record| open(record)).cloned();
            records.retain(|record| !open(record));
            let made = (branch.to_owned(), commit);
            replace(records, record(here, proposal, made, before));
        }
        (Action::Withdraw(tip), _) => {
            here.say(number, "withdrawn", WITHDRAWN).await?;
            here.close(number).await?;
            repository.delete_branch(branch, tip.clone()).await?;
            records.retain(|record| !open(record));
        }
        (Action::Forget, _) => records.retain(|record| !open(record)),
        (Action::LeaveEdited, _) => {
            if let Some(own) = own_commit(here, branch).await? {
                // We pushed it and crashed before it was recorded: what it holds is not known, so the next turn makes it anew.
                let (commit, parent, _) = own;
                for record in records.iter_mut().filter(|record| open(record)) {
                    (record.commit, record.base, record.key) =
                        (commit.clone(), parent.clone(), String::new());
                    record.state = ProposalState::Open;
                }
                return Ok(false);
            }
            let changed = set_state(records, open, ProposalState::Edited, now);
            if changed {
                here.say(number, "edited", EDITED).await?;
            }
            return Ok(changed);
        }
        (Action::Declined, _) => {
            here.say(number, "declined", DECLINED).await?;
            return Ok(set_state(records, open, ProposalState::Declined, now));
        }
        (Action::Reopened, _) => {
            let reopened = |record: &ProposalStatus| {
                let pull = record.number.and_then(|number| here.proposals.pulls.get(&number));
                record.branch == branch && pull == Some(&PullRequestState::Open)
            };
            return Ok(set_state(records, reopened, ProposalState::Open, now));
        }
        (Action::Merged(tip), _) => {
            let pull = number.and_then(|number| here.proposals.pulls.get(&number));
            for record in records.iter_mut().filter(|record| open(record)) {
                for one in &mut record.moves {
                    one.accepted = in_base(one) && counts(here.proposals.known, pull, one);
                }
            }
            if pull == Some(&PullRequestState::Open) {
                // Merged on the command line, which a forge need not notice.
                here.say(number, "merged", MERGED).await?;
                here.close(number).await?;
            }
            if let Some(tip) = tip {
                repository.delete_branch(branch, tip.clone()).await?;
            }
            return Ok(set_state(records, open, ProposalState::Merged, now));
        }
    }
    Ok(true)
}

/// Makes the branch. Somebody of us may have done the same in this very moment under another name: then ours is taken back, and the
/// next turn sees what there is.
async fn create(
    here: &Here<'_>,
    branch: &str,
    proposal: &ProposalText,
) -> Result<Option<(String, CommitId)>, GitError> {
    let commit = push(here, branch, proposal, Lease::Absent).await?;
    let after = here.repository.list().await?;
    for other in names::raced(&proposal.branch, branch, here.proposals.tips, &after) {
        if own_commit(here, other).await?.is_some() {
            here.repository.delete_branch(branch, commit).await?;
            return Ok(None);
        }
    }
    Ok(Some((branch.to_owned(), commit)))
}

/// Takes over a branch that nobody recorded, if it is ours; else a new one is made beside it.
async fn adopt(here: &Here<'_>, proposal: &ProposalText) -> Result<Option<(String, CommitId)>, GitError> {
    let Proposals {
        tips,
        base,
        recorded,
        now,
        ..
    } = *here.proposals;
    // The newest may be another cluster's.
    for branch in names::unrecorded(&proposal.branch, tips, recorded) {
        match own_commit(here, branch).await? {
            Some((commit, parent, key)) if key == proposal.key && parent == base.as_str() => {
                return Ok(Some((branch.to_owned(), CommitId(commit))));
            }
            Some(_) => {
                let lease = Lease::At(tips.branches[branch].clone());
                let commit = push(here, branch, proposal, lease).await?;
                return Ok(Some((branch.to_owned(), commit)));
            }
            None => {}
        }
    }
    create(here, &names::fresh(&proposal.branch, now), proposal).await
}

async fn push(
    here: &Here<'_>,
    branch: &str,
    proposal: &ProposalText,
    lease: Lease,
) -> Result<CommitId, GitError> {
    let Proposals { base, owner, now, .. } = *here.proposals;
    let message = format!("{}{SOURCE}: {owner}\n", proposal.commit_message);
    let files = proposal.files.clone();
    here.repository
        .push(branch, lease, Some(base.clone()), files, message, now)
        .await
}

/// Commit, parent and key of a branch whose tip is a commit of our own: a person who amends it becomes its committer, and another
/// cluster's couchestor names a source of its own.
async fn own_commit(here: &Here<'_>, branch: &str) -> Result<Option<(String, String, String)>, GitError> {
    let newest = here.repository.log_branch(branch, 1).await?;
    Ok(newest.into_iter().next().and_then(|entry| {
        let trailer = |name: &str| {
            let mut lines = entry.message.lines().rev();
            lines.find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(": ")?.to_owned()))
        };
        let key = trailer(TRAILER)?;
        let ours = trailer(SOURCE).as_deref() == Some(here.proposals.owner)
            && entry.committer == crate::io::git::Signature::default().email;
        Some((entry.commit.0, entry.parent?.0, key)).filter(|_| ours)
    }))
}

#[cfg(test)]
mod tests;
