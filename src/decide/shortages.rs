//! Approved moves for which there is no room: since when, and when they are waited for no more.

use super::spent;
use crate::model::decision::{Decision, Why};
use crate::model::desired::Desired;
use crate::model::ids::{ClaimRef, CommitId};
use crate::model::kinds::proposals::ShortageStatus;
use crate::model::migration_brief::MigrationBrief;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// How long an approved move waits for room: a disk that was ordered is there by then, and what a person approved longer ago should be
/// looked at again before it starts by itself.
pub const ROOM_SECS: i64 = 7 * 24 * 3600;

/// Shortages that are remembered: some 200 kB of status. Those beyond wait until there are fewer.
const KEPT_MAX: usize = 1000;

/// Since when there has been no room for the moves that these claims' assignments approve, and in which commit.
pub type Shortages = BTreeMap<ClaimRef, (CommitId, Timestamp)>;

/// As status remembers them; what cannot be read begins anew.
pub fn known(remembered: &[ShortageStatus]) -> Shortages {
    let read = |one: &ShortageStatus| {
        let claim = ClaimRef {
            namespace: one.namespace.clone(),
            name: one.claim.clone(),
        };
        Some((claim, (CommitId(one.commit.clone()), one.since.parse().ok()?)))
    };
    remembered.iter().filter_map(read).collect()
}

/// What status is to remember: every approved move that has no room now, and those of which that cannot be told now and had none
/// before.
pub fn shortages(
    desired: &Desired,
    decision: &Decision<'_>,
    migrations: &[MigrationBrief],
    before: &Shortages,
    now: Timestamp,
) -> Vec<ShortageStatus> {
    // Whether it is known that there is no room.
    let mut lacking: BTreeMap<(&str, &str), Option<&str>> = BTreeMap::new();
    for left in &decision.left_alone {
        match &left.why {
            Why::NoRoom { tier, .. } | Why::NoPool { tier, .. } => {
                lacking.insert(left.claim(), Some(tier.as_str()));
            }
            Why::EngineUnknown { .. } | Why::NotInEngine | Why::Unfit(_) => {
                lacking.insert(left.claim(), None);
            }
            _ => {}
        }
    }
    let spent = spent(desired, migrations);
    let mut found = Vec::new();
    for approved in &desired.approved {
        let (what, commit) = (approved.what(), &approved.approval().commit);
        let earlier = before.get(&what.claim).filter(|(known, _)| known == commit);
        let lacks = match lacking.get(&(what.claim.namespace.as_str(), what.claim.name.as_str())) {
            // Another tier is one that the policy would like, where the approved move is long done.
            Some(Some(tier)) => *tier == what.to.as_str(),
            Some(None) => earlier.is_some(),
            None => false,
        };
        if !lacks || spent.contains(&what.claim) || found.len() == KEPT_MAX {
            continue;
        }
        found.push(ShortageStatus {
            namespace: what.claim.namespace.clone(),
            claim: what.claim.name.clone(),
            commit: commit.to_string(),
            since: earlier.map_or(now, |(_, since)| *since).to_string(),
        });
    }
    found
}
