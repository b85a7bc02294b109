//! What status remembers of proposals: open ones, and for a while those that ended.

use super::Here;
use crate::model::ids::CommitId;
use crate::model::kinds::policy_source::{ProposalState, ProposalStatus, ProposedMoveStatus};
use crate::model::pull_request::cut;
use crate::model::rendering::ProposalText;
use jiff::Timestamp;
use std::time::Duration;

/// Proposals that are remembered, open ones among them; of those that ended what [`Worth`] says is forgotten first.
const REMEMBERED_MAX: usize = 100;

/// Bytes of all records as JSON: etcd takes a megabyte and a half, and the object holds an inventory and more beside them.
const BYTES_MAX: usize = 512 << 10;

/// Characters of a body that status keeps, for sources without a forge: an object may have a megabyte and a half in all.
const BODY_MAX: usize = 10_000;

/// Remembers a proposal; what was said of the same moves before is void. One that is being withdrawn keeps its own until it is gone.
pub(super) fn replace(records: &mut Vec<ProposalStatus>, new: ProposalStatus) {
    let again = |one: &ProposedMoveStatus| {
        let same = |other: &ProposedMoveStatus| {
            (&one.namespace, &one.claim, &one.volume, &one.to)
                == (&other.namespace, &other.claim, &other.volume, &other.to)
        };
        new.moves.iter().any(same)
    };
    let stays = |record: &&mut ProposalStatus| record.state != ProposalState::Withdrawing;
    for record in records.iter_mut().filter(stays) {
        record.moves.retain(|one| !again(one));
    }
    records.retain(|record| !record.moves.is_empty());
    records.push(new);
}

pub(super) fn set_state(
    records: &mut [ProposalStatus],
    which: impl Fn(&ProposalStatus) -> bool,
    state: ProposalState,
    now: Timestamp,
) -> bool {
    let mut changed = false;
    for record in records.iter_mut().filter(|record| which(record)) {
        if record.state != state {
            record.state = state;
            if matches!(state, ProposalState::Merged | ProposalState::Declined) {
                // It is read no more, and counts towards what an object may hold.
                record.body = String::new();
            }
            record.since = now.to_string();
            changed = true;
        }
    }
    changed
}

pub(super) fn record(
    here: &Here<'_>,
    proposal: &ProposalText,
    (branch, commit): (String, CommitId),
    before: Option<ProposalStatus>,
) -> ProposalStatus {
    let proposals = here.proposals;
    let policy = proposal.policy.to_string();
    let moves = proposal.moves.iter().map(|one| ProposedMoveStatus {
        namespace: one.claim.namespace.clone(),
        claim: one.claim.name.clone(),
        volume: one.volume.to_string(),
        from: one.from.to_string(),
        to: one.to.to_string(),
        decision: one.note.clone(),
        accepted: false,
        approved_in: None,
    });
    ProposalStatus {
        branch,
        state: ProposalState::Open,
        key: proposal.key.clone(),
        commit: commit.0,
        base: proposals.base.to_string(),
        number: before.as_ref().and_then(|before| before.number),
        url: before.as_ref().and_then(|before| before.url.clone()),
        shown: before.map(|before| before.shown).unwrap_or_default(),
        moves: moves.collect(),
        policy_fingerprint: proposals.fingerprints.get(&policy).cloned().unwrap_or_default(),
        policy,
        title: proposal.title.clone(),
        body: if here.forge.is_some() {
            String::new()
        } else {
            cut(&proposal.body, BODY_MAX)
        },
        since: proposals.now.to_string(),
    }
}

/// What is lost with a record that ended; what comes first is forgotten first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Worth {
    /// Nothing: all of it was accepted, and base holds it.
    Done,
    /// A no that is too old to hold.
    Expired,
    /// All of it was accepted, and base holds it no more: a person may have reverted it, which is a no, or it was moved again.
    Gone,
    /// A no that holds.
    No,
}

impl Worth {
    /// `None`: it has not ended, and is not forgotten.
    pub(super) fn of(
        record: &ProposalStatus,
        in_base: impl Fn(&ProposedMoveStatus) -> bool,
        expire: Option<Duration>,
        now: Timestamp,
    ) -> Option<Self> {
        let accepted = record.moves.iter().all(|one| one.accepted);
        match record.state {
            ProposalState::Open | ProposalState::Edited | ProposalState::Withdrawing => None,
            ProposalState::Merged if accepted && record.moves.iter().all(&in_base) => Some(Self::Done),
            ProposalState::Merged if accepted => Some(Self::Gone),
            // What was taken out before the merge is a no too.
            ProposalState::Merged | ProposalState::Declined if record.is_forgotten(expire, now) => {
                Some(Self::Expired)
            }
            ProposalState::Merged | ProposalState::Declined => Some(Self::No),
        }
    }
}

/// Keeps the records within their bounds: what is worth least goes first, and of the same worth the oldest.
pub(super) fn forget(records: &mut Vec<ProposalStatus>, worth: impl Fn(&ProposalStatus) -> Option<Worth>) {
    records.sort_by(|a, b| (a.since.as_str(), a.branch.as_str()).cmp(&(b.since.as_str(), b.branch.as_str())));
    let bytes = |record: &ProposalStatus| serde_json::to_vec(record).map_or(0, |text| text.len());
    let mut sum: usize = records.iter().map(bytes).sum();
    for record in records.iter_mut() {
        if sum <= BYTES_MAX {
            break;
        }
        sum -= record.body.len().min(sum);
        record.body = String::new();
    }
    while records.len() > REMEMBERED_MAX || sum > BYTES_MAX {
        let ended = records.iter().enumerate();
        let ended = ended.filter_map(|(at, record)| Some((worth(record)?, at)));
        let Some((_, least)) = ended.min() else {
            return;
        };
        sum = sum.saturating_sub(bytes(&records.remove(least)));
    }
}
