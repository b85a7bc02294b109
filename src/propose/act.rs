//! One action → Git and the forge, in steps that may be cut short anywhere: what was not recorded is found again, and done again.

use super::plan::{Action, counts, is_of, is_open};
use super::remembered::{record, replace, set_state};
use super::{Proposals, ProposeError, TRAILER, names};
use crate::io::forge::{Forge, ForgeError};
use crate::io::git::{GitError, Lease, Repository};
use crate::model::ids::CommitId;
use crate::model::kinds::policy_source::{ProposalState, ProposalStatus, ProposedMoveStatus};
use crate::model::pull_request::PullRequestState;
use crate::model::rendering::ProposalText;

/// The trailer that says for which source, and for which folder of assignments, a commit was made.
const SOURCE: &str = "Couchestor-Source";

/// What carrying out one action needs.
pub(super) struct Here<'a> {
    pub(super) repository: &'a Repository,
    pub(super) forge: Option<&'a Forge>,
    pub(super) proposals: &'a Proposals<'a>,
    pub(super) branch: &'a str,
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

    /// Whether the pull request is there and open, as the forge says it of this one and now; one that was never opened cannot have
    /// been closed.
    async fn stands(&self, number: Option<u64>) -> Result<bool, ForgeError> {
        match (self.forge, number) {
            (Some(forge), Some(number)) => match forge.get(number).await {
                Ok(pull) => Ok(pull.is_open()),
                Err(ForgeError::NotFound { .. }) => Ok(false),
                Err(error) => Err(error),
            },
            _ => Ok(true),
        }
    }
}

/// Returns whether anything happened.
pub(super) async fn carry_out(
    here: &Here<'_>,
    records: &mut Vec<ProposalStatus>,
    action: &Action,
    in_base: impl Fn(&ProposedMoveStatus) -> bool,
) -> Result<bool, ProposeError> {
    let branch = here.branch;
    let Proposals {
        wanted, base, now, ..
    } = *here.proposals;
    let open = |record: &ProposalStatus| record.branch == branch && is_open(record);
    let is_new_intent = |record: &ProposalStatus| open(record) && record.state != ProposalState::Withdrawing;
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
        (Action::Keep, _)
        | (Action::Create | Action::Adopt(_) | Action::Refresh(_) | Action::Resume(_), None) => {
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
        (Action::Refresh(tip), Some(proposal)) => refresh(here, records, proposal, tip).await?,
        // The status that is written after this turn says what is meant to be done. From then on a pull request that is found closed,
        // or a branch that is found gone, was closed or deleted by us.
        (Action::Withdraw(_), _) if here.proposals.recorded.iter().any(is_new_intent) => return Ok(false),
        (Action::Withdraw(tip), _) => withdraw(here, records, number, tip).await?,
        // It may have been closed before the last turn was cut short.
        (Action::Resume(tip), Some(proposal)) => match here.stands(number).await? {
            true => refresh(here, records, proposal, tip).await?,
            false => withdraw(here, records, number, tip).await?,
        },
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
            let withdrawn = |record: &ProposalStatus| record.state == ProposalState::Withdrawing;
            if records.iter().any(|record| open(record) && withdrawn(record)) {
                // It is theirs, and stays what it was for us: closing it is no answer to what is not asked any more.
                return Ok(false);
            }
            let told = |record: &ProposalStatus| record.state == ProposalState::Edited;
            if records.iter().any(|record| open(record) && !told(record)) {
                // Before it is remembered that it was said: whatever cuts this short, it is said with the next turn.
                here.say(number, "edited", here.proposals.words.edited).await?;
            }
            return Ok(set_state(records, open, ProposalState::Edited, now));
        }
        (Action::Declined, _) => {
            here.say(number, "declined", here.proposals.words.declined)
                .await?;
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
                here.say(number, "merged", here.proposals.words.merged).await?;
                here.close(number).await?;
            }
            if let Some(tip) = tip {
                here.repository.delete_branch(branch, tip.clone()).await?;
            }
            return Ok(set_state(records, open, ProposalState::Merged, now));
        }
    }
    Ok(true)
}

/// Puts a new commit in the place of the branch's own.
async fn refresh(
    here: &Here<'_>,
    records: &mut Vec<ProposalStatus>,
    proposal: &ProposalText,
    tip: &CommitId,
) -> Result<(), ProposeError> {
    let ours = |record: &ProposalStatus| record.branch == here.branch && is_open(record);
    let commit = push(here, here.branch, proposal, Lease::At(tip.clone())).await?;
    let before = records.iter().find(|record| ours(record)).cloned();
    records.retain(|record| !ours(record));
    let made = (here.branch.to_owned(), commit);
    replace(records, record(here, proposal, made, before));
    Ok(())
}

/// Takes a proposal back: closed, told why, deleted, forgotten. Whatever cuts this short, the record says that it was meant to be done,
/// and each step is done again.
async fn withdraw(
    here: &Here<'_>,
    records: &mut Vec<ProposalStatus>,
    number: Option<u64>,
    tip: &CommitId,
) -> Result<(), ProposeError> {
    here.close(number).await?;
    let why = here.proposals.known.why.get(here.branch);
    let words = why.map_or(here.proposals.words.withdrawn, String::as_str);
    here.say(number, "withdrawn", words).await?;
    here.repository.delete_branch(here.branch, tip.clone()).await?;
    records.retain(|record| !(record.branch == here.branch && is_open(record)));
    Ok(())
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
