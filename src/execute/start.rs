//! From an approved move to a VolumeMigration with a name that can be made only once.

use crate::model::approval::{Approval, Approved, Move};
use crate::model::decision::{Start, Superseded};
use crate::model::ids::{SourceRef, TierName, hex};
use crate::model::kinds::UNFINISHED_MOVE;
use crate::model::kinds::merges::MergeStatus;
use crate::model::kinds::volume_migration::{ApprovedBy, Named, VolumeMigration, VolumeMigrationSpec};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Object names may have 253 characters; labels and most tables stop at 63.
const NAME_MAX: usize = 63;

/// What the cluster adds to an approved move.
#[derive(Clone, Debug)]
pub struct Target {
    /// The engine's uuid of the volume.
    pub volume_uuid: String,
    /// Labels of the target tier's pools.
    pub pool_labels: BTreeMap<String, String>,
    /// Bytes that must stay free on a target pool.
    pub pool_reserve: u64,
    /// Whether the old copies are kept.
    pub preserve: bool,
}

/// Makes the VolumeMigration of an approved move; `merge` is what the forge says of the commit. The name depends on volume, tier,
/// approving commit and attempt, so that making it twice is refused by the cluster, while a new approval or attempt makes a new one.
pub fn migration(
    source: &SourceRef,
    start: &Start,
    target: Target,
    merge: Option<&MergeStatus>,
) -> VolumeMigration {
    let spec = VolumeMigrationSpec {
        volume_uuid: target.volume_uuid,
        to_pool_labels: target.pool_labels,
        pool_reserve_bytes: target.pool_reserve,
        timeout_seconds: start.timeout_secs,
        preserve: target.preserve,
        latency_before_ms: start.latency,
        accept_snapshots_stay: start.accept_snapshots_stay,
        attempt: numbered(start.attempt),
        ..spec(source, &start.approved, &start.from, merge)
    };
    let mut made = VolumeMigration::new(&name(&start.approved, start.attempt), spec);
    made.metadata.finalizers = Some(vec![UNFINISHED_MOVE.to_owned()]);
    made
}

/// Makes the VolumeMigration of an approved move that is not to be started any more: it uses the approval up. That it ends before it
/// begins stands in its spec, so that no crash can make a move of it.
pub fn superseded(source: &SourceRef, one: &Superseded, merge: Option<&MergeStatus>) -> VolumeMigration {
    let spec = VolumeMigrationSpec {
        superseded: Some(one.why.clone()),
        attempt: numbered(one.attempt),
        ..spec(source, &one.approved, &one.from, merge)
    };
    VolumeMigration::new(&name(&one.approved, one.attempt), spec)
}

/// The first attempt of an approval has no number.
fn numbered(attempt: u32) -> Option<u32> {
    (attempt > 1).then_some(attempt)
}

fn name(approved: &Approved<Move>, attempt: u32) -> String {
    let (what, approval) = (approved.what(), approved.approval());
    let identity = format!("{}|{}|{}", what.volume, what.to, approval.commit);
    let suffix = numbered(attempt).map_or_else(String::new, |attempt| format!("-{attempt}"));
    let hash = short_hash(&identity) + &suffix;
    named(&what.claim.namespace, &what.claim.name, &hash)
}

/// The name of an object that is made for a claim: whatever of the claim's name has no room is left out, for the hash tells it from others.
pub(super) fn named(namespace: &str, name: &str, hash: &str) -> String {
    let mut start = format!("{namespace}-{name}");
    start.truncate(NAME_MAX - 1 - hash.len());
    format!("{}-{hash}", start.trim_end_matches(['-', '.']))
}

/// A source as specs name it.
pub(super) fn named_source(source: &SourceRef) -> Named {
    Named {
        namespace: source.namespace.clone(),
        name: source.name.clone(),
    }
}

/// Who approved, as specs tell it; `merge` is what the forge says of the commit.
pub(super) fn approved_by(approval: &Approval, merge: Option<&MergeStatus>) -> ApprovedBy {
    ApprovedBy {
        revision: approval.revision.to_string(),
        commit: approval.commit.to_string(),
        author: approval.author.clone(),
        at: approval.at.to_string(),
        path: approval.path.clone(),
        pull_request: merge.and_then(|merge| merge.number),
        merged_by: merge.and_then(|merge| merge.merged_by.clone()),
        reviewed_by: merge.map(MergeStatus::reviewers).unwrap_or_default(),
    }
}

fn spec(
    source: &SourceRef,
    approved: &Approved<Move>,
    from: &TierName,
    merge: Option<&MergeStatus>,
) -> VolumeMigrationSpec {
    let what = approved.what();
    VolumeMigrationSpec {
        source: named_source(source),
        claim: Named {
            namespace: what.claim.namespace.clone(),
            name: what.claim.name.clone(),
        },
        volume: what.volume.to_string(),
        volume_uuid: String::new(),
        from: from.to_string(),
        to: what.to.to_string(),
        to_pool_labels: BTreeMap::new(),
        pool_reserve_bytes: 0,
        policy: what.policy.clone(),
        timeout_seconds: 0,
        latency_before_ms: None,
        preserve: false,
        superseded: None,
        attempt: None,
        accept_snapshots_stay: false,
        approved: approved_by(approved.approval(), merge),
    }
}

/// What all labels of our cordons begin with; eight hexadecimal digits follow.
const CORDON_LABEL: &str = "couchestor-";

/// The label of a migration's node cordons.
pub fn cordon_label(migration: &str) -> String {
    format!("{CORDON_LABEL}{}", short_hash(migration))
}

/// Whether a label is one that [`cordon_label`] makes.
pub fn is_cordon_label(label: &str) -> bool {
    let digits = label.strip_prefix(CORDON_LABEL).unwrap_or_default();
    digits.len() == 8 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// A text in short.
pub(super) fn short_hash(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes())[..4])
}
