//! Which approvals were used up without a move: base still holds their assignments, and they start nothing any more.

use crate::model::desired::Desired;
use crate::model::ids::ClaimRef;
use crate::model::kinds::volume_migration::Phase;
use crate::model::migration_brief::MigrationBrief;
use std::collections::{BTreeSet, HashSet};

/// Claims whose assignment in base was superseded: another proposal of the same move is not in base before it is merged.
pub fn spent(desired: &Desired, migrations: &[MigrationBrief]) -> BTreeSet<ClaimRef> {
    let superseded = migrations.iter().filter(|one| one.phase == Phase::Superseded);
    let superseded: HashSet<(&str, &str, &str)> = superseded
        .map(|one| (one.volume.as_str(), one.to.as_str(), one.approved_in.as_str()))
        .collect();
    let of = desired.approved.iter().filter(|approved| {
        let (what, approval) = (approved.what(), approved.approval());
        superseded.contains(&(what.volume.as_str(), what.to.as_str(), approval.commit.as_str()))
    });
    of.map(|approved| approved.what().claim.clone()).collect()
}
