//! What is done with every branch that is wanted or remembered. Pure: Git is believed first, the forge where Git is silent.

use super::{Proposals, names};
use crate::model::decision::ProposedMove;
use crate::model::ids::CommitId;
use crate::model::kinds::policy_source::{ProposalState, ProposalStatus, ProposedMoveStatus};
use crate::model::kinds::tier_assignment::DecisionNote;
use crate::model::pull_request::PullRequestState;
use crate::model::rendering::ProposalText;
use std::collections::{BTreeMap, BTreeSet};

/// What is done with one branch and its pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is made.
    Create,
    /// It is there and nobody recorded it: ours, if we crashed after the push.
    Adopt(CommitId),
    /// It is replaced by a new commit, if it is still where we left it.
    Refresh(CommitId),
    /// It stands as it is.
    Keep,
    /// It is closed and deleted, because the decision no longer holds. That it is meant to be is remembered a turn before.
    Withdraw(CommitId),
    /// It was meant to be withdrawn and is wanted again: kept up to date if nothing of that was done yet, and withdrawn otherwise.
    Resume(CommitId),
    /// A person works on it.
    LeaveEdited,
    /// A person closed the pull request, or deleted the branch.
    Declined,
    /// A person opened it again.
    Reopened,
    /// It is gone and no longer wanted, or we were about to withdraw it: by us before a crash, or by a person who was right.
    Forget,
    /// Base holds it, or all that a person left of it; the branch is deleted if it is still there and ours.
    Merged(Option<CommitId>),
}

/// What was found out about recorded proposals before anything is done.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Branches of those of which nobody knows now whether they still hold. That they are not wanted says nothing then.
    pub undecided: BTreeSet<String>,
    /// Branches of those for which nothing has changed on base, though it has moved on.
    pub untouched: BTreeSet<String>,
    /// Numbers of pull requests that were merged, and base as it was read does not hold the merge yet.
    pub awaited: BTreeSet<u64>,
    /// Branches of those that ask for no move, but for files, and all of whose files base holds.
    pub in_base: BTreeSet<String>,
    /// Numbers of pull requests that somebody holds: their branches and texts stand as they are.
    pub held: BTreeSet<u64>,
    /// Namespaces and names of claims whose assignment in base was superseded: that base holds it says nothing of a proposal that is
    /// not merged yet.
    pub spent: BTreeSet<(String, String)>,
    /// By branch, what is said when that proposal is withdrawn now.
    pub why: BTreeMap<String, String>,
}

/// Whether it says something of a recorded move that base holds it. What the forge calls merged is in base by that merge, also when
/// it was superseded before the merge was taken notice of.
pub(super) fn counts(known: &Known, pull: Option<&PullRequestState>, one: &ProposedMoveStatus) -> bool {
    let claim = (one.namespace.clone(), one.claim.clone());
    pull == Some(&PullRequestState::Merged) || !known.spent.contains(&claim)
}

/// Decides what is done with every branch that is wanted or remembered, by its name; a policy has one open proposal, whatever its
/// branch is called. `in_base` says whether base already holds what a recorded move asked for.
pub fn plan(
    proposals: &Proposals<'_>,
    in_base: impl Fn(&ProposedMoveStatus) -> bool,
) -> BTreeMap<String, Action> {
    let Proposals {
        wanted,
        recorded,
        tips,
        base,
        pulls,
        known,
        now,
        ..
    } = *proposals;
    let mut actions = BTreeMap::new();
    for record in recorded.iter().filter(|record| is_open(record)) {
        let tip = tips.branches.get(&record.branch);
        let ours = tip.is_some_and(|tip| tip.as_str() == record.commit);
        let ours_or_gone = ours || tip.is_none();
        let proposal = wanted.iter().find(|proposal| is_of(record, proposal));
        let pull = record.number.and_then(|number| pulls.get(&number));
        let in_base = |one: &ProposedMoveStatus| in_base(one) && counts(known, pull, one);
        let merged = Action::Merged(tip.filter(|_| ours).cloned());
        let all = match record.moves.as_slice() {
            [] => known.in_base.contains(&record.branch),
            moves => moves.iter().all(&in_base),
        };
        let some = record.moves.iter().any(&in_base);
        let awaited = record
            .number
            .is_some_and(|number| known.awaited.contains(&number));
        let moved = record.base != base.as_str() && !known.untouched.contains(&record.branch);
        let action = if awaited && !all {
            // Whether each move was accepted is read from base.
            Action::Keep
        } else if all || pull == Some(&PullRequestState::Merged) {
            merged
        } else if record.state == ProposalState::Withdrawing {
            withdrawing(tip.filter(|_| ours), proposal, tip.is_some(), pull)
        } else {
            match (tip, proposal) {
                // Merged by hand without some of it, and deleted.
                (None, _) if some => merged,
                (_, None) if ours_or_gone && known.undecided.contains(&record.branch) => Action::Keep,
                (None, None) => Action::Forget,
                (None, Some(_)) => Action::Declined,
                (Some(_), Some(_)) if pull == Some(&PullRequestState::Closed) => Action::Declined,
                // What a person has changed and closed is a no, wanted or not.
                (Some(_), None) if !ours && pull == Some(&PullRequestState::Closed) => Action::Declined,
                (Some(_), _) if !ours => Action::LeaveEdited,
                (Some(tip), None) => Action::Withdraw(tip.clone()),
                (Some(tip), Some(proposal)) if moved || !is_same(record, proposal) => {
                    Action::Refresh(tip.clone())
                }
                (Some(_), Some(_)) => Action::Keep,
            }
        };
        let held = record.number.is_some_and(|number| known.held.contains(&number));
        let action = match action {
            Action::Refresh(_) | Action::Withdraw(_) | Action::Resume(_) if held => Action::Keep,
            action => action,
        };
        actions.insert(record.branch.clone(), action);
    }
    for record in recorded
        .iter()
        .filter(|record| record.state == ProposalState::Declined)
    {
        let pull = record.number.and_then(|number| pulls.get(&number));
        // The policy may have asked for other moves since: one proposal at a time.
        let other = recorded
            .iter()
            .any(|other| is_open(other) && other.policy == record.policy);
        // Gitea shows a pull request as open for a while after its branch is gone.
        if pull == Some(&PullRequestState::Open) && !other && tips.branches.contains_key(&record.branch) {
            actions.entry(record.branch.clone()).or_insert(Action::Reopened);
        }
    }
    for proposal in wanted {
        let known = |record: &ProposalStatus| {
            is_of(record, proposal)
                && (is_open(record) || actions.get(&record.branch) == Some(&Action::Reopened))
        };
        if recorded.iter().any(known) {
            continue;
        }
        let (branch, action) = match names::unrecorded(&proposal.branch, tips, recorded).next() {
            Some(branch) => (branch.to_owned(), Action::Adopt(tips.branches[branch].clone())),
            None => (names::fresh(&proposal.branch, now), Action::Create),
        };
        actions.entry(branch).or_insert(action);
    }
    actions
}

/// What is done with a proposal that was meant to be withdrawn. Whatever is found of it now, we may have done it: nothing of it is a
/// person's no.
fn withdrawing(
    ours: Option<&CommitId>,
    proposal: Option<&ProposalText>,
    there: bool,
    pull: Option<&PullRequestState>,
) -> Action {
    match (ours, proposal) {
        (Some(tip), None) => Action::Withdraw(tip.clone()),
        (Some(tip), Some(_)) => Action::Resume(tip.clone()),
        // A person has changed it meanwhile and may still merge it, or we had begun to keep it up to date again.
        (None, _) if there && pull != Some(&PullRequestState::Closed) => Action::LeaveEdited,
        (None, _) => Action::Forget,
    }
}

/// Whether a record asks for the same moves for the same reasons. Figures that were measured anew are no other reason.
fn is_same(record: &ProposalStatus, proposal: &ProposalText) -> bool {
    // A number may lose its last bit on its way through JSON.
    let near = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() <= a.abs().max(b.abs()) * 1e-9,
        (a, b) => a.is_none() && b.is_none(),
    };
    let same = |a: &DecisionNote, b: &DecisionNote| {
        let also = a.also.iter().zip(&b.also);
        let mut also = also.map(|(a, b)| {
            a.signal == b.signal
                && near(Some(a.watermark), Some(b.watermark))
                && near(a.percentile, b.percentile)
        });
        (&a.policy, &a.signal, &a.window, &a.sustained_for)
            == (&b.policy, &b.signal, &b.window, &b.sustained_for)
            && near(a.watermark, b.watermark)
            && near(a.percentile, b.percentile)
            && a.also.len() == b.also.len()
            && also.all(|same| same)
    };
    let unchanged = |one: &ProposedMove| {
        let mut moves = record.moves.iter();
        let of = |other: &&ProposedMoveStatus| {
            (&*other.namespace, &*other.claim) == (&*one.claim.namespace, &*one.claim.name)
        };
        moves
            .find(of)
            .is_none_or(|other| same(&other.decision, &one.note))
    };
    proposal.key == record.key && proposal.moves.iter().all(unchanged)
}

/// Whether a record is of the proposal that is wanted.
pub(super) fn is_of(record: &ProposalStatus, proposal: &ProposalText) -> bool {
    record.policy == proposal.policy.as_str()
}

/// Whether it has yet to end.
pub fn is_open(record: &ProposalStatus) -> bool {
    record.state.is_open()
}

/// Where pull requests stand, by number.
pub type Pulls = BTreeMap<u64, PullRequestState>;
