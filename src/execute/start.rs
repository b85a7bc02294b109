//! From an approved move to a VolumeMigration with a name that can be made only once.

use crate::model::decision::Start;
use crate::model::ids::SourceRef;
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

/// Makes the VolumeMigration of an approved move. The name depends on volume, tier and approving commit, so that
/// making it twice is refused by the cluster, while a new approval makes a new one.
pub fn migration(source: &SourceRef, start: &Start, target: Target) -> VolumeMigration {
    let (what, approval) = (start.approved.what(), start.approved.approval());
    let identity = format!("{}|{}|{}", what.volume, what.to, approval.commit);
    let hash = short_hash(&identity);
    let mut name = format!("{}-{}", what.claim.namespace, what.claim.name);
    name.truncate(NAME_MAX - 1 - hash.len());
    let name = format!("{}-{hash}", name.trim_end_matches(['-', '.']));
    VolumeMigration::new(
        &name,
        VolumeMigrationSpec {
            source: Named {
                namespace: source.namespace.clone(),
                name: source.name.clone(),
            },
            claim: Named {
                namespace: what.claim.namespace.clone(),
                name: what.claim.name.clone(),
            },
            volume: what.volume.to_string(),
            volume_uuid: target.volume_uuid,
            from: start.from.to_string(),
            to: what.to.to_string(),
            to_pool_labels: target.pool_labels,
            pool_reserve_bytes: target.pool_reserve,
            policy: what.policy.clone(),
            timeout_seconds: start.timeout_secs,
            preserve: target.preserve,
            approved: ApprovedBy {
                revision: approval.revision.to_string(),
                commit: approval.commit.to_string(),
                author: approval.author.clone(),
                at: approval.at.to_string(),
                path: approval.path.clone(),
            },
        },
    )
}

/// The label of a migration's node cordons.
pub fn cordon_label(migration: &str) -> String {
    format!("couchestor-{}", short_hash(migration))
}

fn short_hash(text: &str) -> String {
    Sha256::digest(text.as_bytes())[..4]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
