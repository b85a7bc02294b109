//! What a PolicySource's status remembers of its proposals.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What became of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ProposalState {
    /// Its branch waits for a person.
    Open,
    /// A person added commits: the branch is theirs now.
    Edited,
    /// What spoke for it is gone, and couchestor is closing it: whatever is found of it now is no word of a person's.
    Withdrawing,
    /// The base branch holds it.
    Merged,
    /// A person closed the pull request, or deleted the branch: a no.
    Declined,
}

impl ProposalState {
    /// Whether people are still asked: nothing has been said of it, and it is not being taken back.
    pub fn is_asked(self) -> bool {
        matches!(self, Self::Open | Self::Edited)
    }

    /// Whether it has yet to end: until then it counts, and its policy has no other one.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Open | Self::Edited | Self::Withdrawing)
    }
}

/// A proposal, open or remembered: the moves of one policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProposalStatus {
    /// The branch.
    pub branch: String,
    /// The policy; `rollback/<policy>` for what takes failed moves of it back, `slower/<policy>` for moves
    /// after which volumes became slower.
    #[serde(default)]
    pub policy: String,
    /// What became of it.
    pub state: ProposalState,
    /// Identifies the moves: the same key means the same proposal, however its figures have changed.
    pub key: String,
    /// The branch's tip as couchestor pushed it.
    pub commit: String,
    /// The base commit below it, or a later one that changed nothing for it.
    pub base: String,
    /// The pull request's number, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// Where people see the pull request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What the pull request's text was made for, the key of the moves and the commit; anything else means that it has yet to be changed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub shown: String,
    /// What is proposed.
    #[serde(default)]
    pub moves: Vec<ProposedMoveStatus>,
    /// A hash of the policy's spec at the time, or of its files when it is encrypted: a changed policy makes a no void.
    #[serde(default)]
    pub policy_fingerprint: String,
    /// What the pull request is called.
    pub title: String,
    /// What a pull request would say, for sources without a forge.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
    /// When the state was entered, RFC 3339.
    pub since: String,
}

impl ProposalStatus {
    /// Whether a no is so old that it may be asked again: `expire` is `spec.proposals.rejections.expireAfter`, and without it a no is
    /// never too old.
    pub fn is_forgotten(&self, expire: Option<Duration>, now: Timestamp) -> bool {
        let since = self.since.parse::<Timestamp>().ok();
        match (expire, since) {
            (Some(expire), Some(since)) => {
                let passed = now.as_second().saturating_sub(since.as_second());
                u64::try_from(passed).is_ok_and(|passed| passed >= expire.as_secs())
            }
            _ => false,
        }
    }
}

/// One move of a proposal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProposedMoveStatus {
    /// The claim's namespace.
    pub namespace: String,
    /// The claim's name.
    pub claim: String,
    /// The PersistentVolume.
    pub volume: String,
    /// From which tier.
    pub from: String,
    /// To which tier.
    pub to: String,
    /// What the decision rested on.
    pub decision: super::tier_assignment::DecisionNote,
    /// Of a merged proposal: whether this move was merged too, or taken out before.
    #[serde(default)]
    pub accepted: bool,
    /// Of a merged one: the commit on base that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_in: Option<String>,
}

/// An approved move that waits because no pool of its tier has room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShortageStatus {
    /// The claim's namespace.
    pub namespace: String,
    /// The claim's name.
    pub claim: String,
    /// The commit that approved the move.
    pub commit: String,
    /// Since when there has been no room, RFC 3339.
    pub since: String,
}
