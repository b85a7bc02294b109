//! Rendered proposals → branches: one branch per claim, one commit on base's tip, never over a person's work.
//!
//! Without a forge the branch is the proposal: merging it approves, deleting it declines.

use crate::io::git::{GitError, Lease, Repository, Tips};
use crate::model::ids::CommitId;
use crate::model::kinds::policy_source::{ProposalState, ProposalStatus};
use crate::model::rendering::ProposalText;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Proposals that are remembered after they ended; the oldest are forgotten first.
const REMEMBERED_MAX: usize = 100;

/// The trailer by which couchestor knows a commit of its own again.
pub const TRAILER: &str = "Couchestor-Proposal";

/// What is done with one branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is made.
    Create,
    /// It is replaced by a new commit, if it is still where we left it.
    Refresh(CommitId),
    /// It stands as it is.
    Keep,
    /// It is deleted, because the decision no longer holds.
    Withdraw(CommitId),
    /// A person works on it.
    LeaveEdited,
    /// A person deleted it.
    Declined,
    /// It is gone and no longer wanted: withdrawn by us before a crash, or by a person who was right.
    Forget,
    /// Base holds it; the branch is deleted if it is still there and ours.
    Merged(Option<CommitId>),
}

/// Decides what is done with every branch that is wanted or remembered. `in_base` says whether base already holds what a
/// recorded proposal asked for.
pub fn plan(
    wanted: &[ProposalText],
    recorded: &[ProposalStatus],
    tips: &Tips,
    base: &CommitId,
    in_base: impl Fn(&ProposalStatus) -> bool,
) -> BTreeMap<String, Action> {
    let mut actions = BTreeMap::new();
    for record in recorded
        .iter()
        .filter(|record| matches!(record.state, ProposalState::Open | ProposalState::Edited))
    {
        let tip = tips.branches.get(&record.branch);
        let ours = tip.is_some_and(|tip| tip.as_str() == record.commit);
        let proposal = wanted.iter().find(|proposal| proposal.branch == record.branch);
        let action = if in_base(record) {
            Action::Merged(tip.filter(|_| ours).cloned())
        } else {
            match (tip, proposal) {
                (None, None) => Action::Forget,
                (None, Some(_)) => Action::Declined,
                (Some(_), _) if !ours => Action::LeaveEdited,
                (Some(tip), None) => Action::Withdraw(tip.clone()),
                (Some(tip), Some(proposal)) if proposal.key != record.key || record.base != base.as_str() => {
                    Action::Refresh(tip.clone())
                }
                (Some(_), Some(_)) => Action::Keep,
            }
        };
        actions.insert(record.branch.clone(), action);
    }
    for proposal in wanted {
        actions.entry(proposal.branch.clone()).or_insert(Action::Create);
    }
    actions
}

/// What became of the branches.
#[derive(Debug, Default)]
pub struct Proposed {
    /// The new record.
    pub records: Vec<ProposalStatus>,
    /// What was done, branch by branch, for events.
    pub done: Vec<(String, Action)>,
    /// What could not be done.
    pub errors: Vec<(String, GitError)>,
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
    /// Hashes of the policies' specs, by name.
    pub fingerprints: &'a BTreeMap<String, String>,
    /// Now.
    pub now: Timestamp,
}

/// Carries the plan out. `in_base` says whether base already holds what a recorded proposal asked for.
pub async fn propose(
    repository: &Repository,
    proposals: &Proposals<'_>,
    in_base: impl Fn(&ProposalStatus) -> bool,
) -> Proposed {
    let Proposals {
        wanted,
        recorded,
        tips,
        base,
        ..
    } = *proposals;
    let actions = plan(wanted, recorded, tips, base, in_base);
    let mut proposed = Proposed {
        records: recorded.to_vec(),
        ..Proposed::default()
    };
    for (branch, action) in actions {
        let outcome = carry_out(repository, proposals, &mut proposed.records, &branch, &action).await;
        match outcome {
            Ok(true) => proposed.done.push((branch, action)),
            Ok(false) => {}
            Err(error) => proposed.errors.push((branch, error)),
        }
    }
    forget_oldest(&mut proposed.records);
    proposed
}

/// Returns whether anything happened.
async fn carry_out(
    repository: &Repository,
    proposals: &Proposals<'_>,
    records: &mut Vec<ProposalStatus>,
    branch: &str,
    action: &Action,
) -> Result<bool, GitError> {
    let Proposals {
        wanted,
        tips,
        base,
        fingerprints,
        now,
        ..
    } = *proposals;
    let open = |record: &ProposalStatus| {
        record.branch == branch && matches!(record.state, ProposalState::Open | ProposalState::Edited)
    };
    let proposal = wanted.iter().find(|proposal| proposal.branch == branch);
    match (action, proposal) {
        (Action::Keep, _) | (Action::Create | Action::Refresh(_), None) => return Ok(false),
        (Action::Create, Some(proposal)) => {
            let commit = match tips.branches.get(branch) {
                None => push(repository, proposal, Lease::Absent, base, now).await?,
                // A branch that nobody recorded: ours, if we crashed after the push; else somebody else's.
                Some(tip) if is_ours(repository, branch, proposal).await? => {
                    if let Some(adopted) = adopt(repository, branch, base).await? {
                        adopted
                    } else {
                        push(repository, proposal, Lease::At(tip.clone()), base, now).await?
                    }
                }
                Some(_) => {
                    return Err(GitError::Refused {
                        branch: branch.to_owned(),
                        detail: "a branch of this name is there already and is not couchestor's".to_owned(),
                    });
                }
            };
            records.retain(|record| {
                !(record.namespace == proposal.claim.namespace
                    && record.claim == proposal.claim.name
                    && record.volume == proposal.volume.as_str()
                    && record.to == proposal.to.as_str())
            });
            records.push(record(proposal, commit, base, fingerprints, now));
        }
        (Action::Refresh(tip), Some(proposal)) => {
            let commit = push(repository, proposal, Lease::At(tip.clone()), base, now).await?;
            records.retain(|record| !open(record));
            records.push(record(proposal, commit, base, fingerprints, now));
        }
        (Action::Withdraw(tip), _) => {
            repository.delete_branch(branch, tip.clone()).await?;
            records.retain(|record| !open(record));
        }
        (Action::Forget, _) => records.retain(|record| !open(record)),
        (Action::LeaveEdited, _) => {
            if let Some(own) = own_commit(repository, branch).await? {
                // We pushed it and crashed before it was recorded.
                for record in records.iter_mut().filter(|record| open(record)) {
                    (record.commit, record.base, record.key) = own.clone();
                    record.state = ProposalState::Open;
                }
                return Ok(false);
            }
            return Ok(set_state(records, open, ProposalState::Edited, now));
        }
        (Action::Declined, _) => return Ok(set_state(records, open, ProposalState::Declined, now)),
        (Action::Merged(tip), _) => {
            if let Some(tip) = tip {
                repository.delete_branch(branch, tip.clone()).await?;
            }
            return Ok(set_state(records, open, ProposalState::Merged, now));
        }
    }
    Ok(true)
}

async fn push(
    repository: &Repository,
    proposal: &ProposalText,
    lease: Lease,
    base: &CommitId,
    now: Timestamp,
) -> Result<CommitId, GitError> {
    let message = proposal.commit_message.clone();
    repository
        .push(
            &proposal.branch,
            lease,
            Some(base.clone()),
            proposal.files.clone(),
            message,
            now,
        )
        .await
}

async fn is_ours(repository: &Repository, branch: &str, proposal: &ProposalText) -> Result<bool, GitError> {
    let trailer = format!("{TRAILER}: {}", proposal.key);
    let newest = repository.log_branch(branch, 1).await?;
    Ok(newest.first().is_some_and(|entry| {
        entry.committer == crate::io::git::Signature::default().email
            && entry.message.lines().any(|line| line == trailer)
    }))
}

/// Commit, parent and key of a branch whose tip is a commit of our own: a person who amends it becomes its committer.
async fn own_commit(
    repository: &Repository,
    branch: &str,
) -> Result<Option<(String, String, String)>, GitError> {
    let newest = repository.log_branch(branch, 1).await?;
    Ok(newest.into_iter().next().and_then(|entry| {
        let prefix = format!("{TRAILER}: ");
        let key = entry
            .message
            .lines()
            .find_map(|line| line.strip_prefix(&prefix).map(str::to_owned))?;
        let ours = entry.committer == crate::io::git::Signature::default().email;
        Some((entry.commit.0, entry.parent?.0, key)).filter(|_| ours)
    }))
}

/// The tip of a branch of ours that stands on base's tip already.
async fn adopt(repository: &Repository, branch: &str, base: &CommitId) -> Result<Option<CommitId>, GitError> {
    let newest = repository.log_branch(branch, 1).await?;
    Ok(newest
        .into_iter()
        .find(|entry| entry.parent.as_ref() == Some(base))
        .map(|entry| entry.commit))
}

fn set_state(
    records: &mut [ProposalStatus],
    which: impl Fn(&ProposalStatus) -> bool,
    state: ProposalState,
    now: Timestamp,
) -> bool {
    let mut changed = false;
    for record in records.iter_mut().filter(|record| which(record)) {
        if record.state != state {
            record.state = state;
            record.since = now.to_string();
            changed = true;
        }
    }
    changed
}

fn record(
    proposal: &ProposalText,
    commit: CommitId,
    base: &CommitId,
    fingerprints: &BTreeMap<String, String>,
    now: Timestamp,
) -> ProposalStatus {
    ProposalStatus {
        branch: proposal.branch.clone(),
        state: ProposalState::Open,
        key: proposal.key.clone(),
        commit: commit.0,
        base: base.to_string(),
        namespace: proposal.claim.namespace.clone(),
        claim: proposal.claim.name.clone(),
        volume: proposal.volume.to_string(),
        from: proposal.from.to_string(),
        to: proposal.to.to_string(),
        policy_fingerprint: fingerprints
            .get(&proposal.note.policy)
            .cloned()
            .unwrap_or_default(),
        decision: proposal.note.clone(),
        title: proposal.title.clone(),
        body: proposal.body.clone(),
        since: now.to_string(),
    }
}

fn forget_oldest(records: &mut Vec<ProposalStatus>) {
    records.sort_by(|a, b| (a.since.as_str(), a.branch.as_str()).cmp(&(b.since.as_str(), b.branch.as_str())));
    while records.len() > REMEMBERED_MAX {
        let Some(oldest) = records
            .iter()
            .position(|record| matches!(record.state, ProposalState::Merged | ProposalState::Declined))
        else {
            return;
        };
        records.remove(oldest);
    }
}

#[cfg(test)]
mod tests;
