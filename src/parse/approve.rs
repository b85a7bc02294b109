//! What the verified base tree approves: an assignment approves its move, and taking one out again approves the way back.

use crate::model::approval::{Approval, Approved, Move, OUR_ADDRESS};
use crate::model::desired::Assignment;
use crate::model::ids::{ClaimRef, TierName};
use crate::model::kinds::volume_migration::Phase;
use crate::model::migration_brief::MigrationBrief;
use crate::model::promotions::{self, Promotion, Promotions, Withdrawn};
use crate::model::tree::{ClearTree, Provenance};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

pub(super) struct Approvals {
    pub(super) approved: Vec<Approved<Move>>,
    pub(super) reverted: BTreeSet<ClaimRef>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "parse is the mint of approvals: it reads the verified base tree"
)]
pub(super) fn approvals(
    assignments: &BTreeMap<ClaimRef, Assignment>,
    tree: &ClearTree,
    past: &[MigrationBrief],
) -> Approvals {
    let mut approved = Vec::new();
    for assignment in assignments.values() {
        let what = Move {
            claim: assignment.claim.clone(),
            volume: assignment.volume.clone(),
            to: assignment.tier.clone(),
            policy: assignment
                .decision
                .as_ref()
                .map(|decision| decision.policy.clone()),
        };
        let from = tree.introduced.get(&assignment.path);
        approved.push(Approved::read_from_verified_tree(
            what,
            approval(tree, &assignment.path, from),
        ));
    }
    let mut reverted = BTreeSet::new();
    for back in ways_back(assignments, tree, past) {
        reverted.insert(back.0.claim.clone());
        approved.push(Approved::read_from_verified_tree(back.0, back.1));
    }
    approved.sort_by(|a, b| a.what().claim.cmp(&b.what().claim));
    Approvals { approved, reverted }
}

/// What stands in the folder of promotions lets phases be carried out; what was taken out of it takes them back.
#[expect(
    clippy::disallowed_methods,
    reason = "parse is the mint of approvals: it reads the verified base tree"
)]
pub(super) fn promotions(standing: &BTreeMap<String, Promotion>, tree: &ClearTree) -> Promotions {
    let stand = standing.iter().map(|(path, promotion)| {
        let from = tree.introduced.get(path);
        Approved::read_from_verified_tree(promotion.clone(), approval(tree, path, from))
    });
    let gone = tree.removed.iter().filter_map(|(path, removal)| {
        let (rollout, phase) = promotions::of_path(&tree.assignments, path)?;
        let what = Withdrawn {
            rollout: rollout.to_owned(),
            phase: phase.to_owned(),
        };
        // What is there again is not taken back.
        let there = tree.files.contains_key(path) || tree.broken.contains(path);
        (!there).then(|| Approved::read_from_verified_tree(what, approval(tree, path, Some(removal))))
    });
    Promotions {
        standing: stand.collect(),
        withdrawn: gone.collect(),
    }
}

/// For each claim whose assignment was taken out after it had moved the volume: back to where that move began.
fn ways_back(
    assignments: &BTreeMap<ClaimRef, Assignment>,
    tree: &ClearTree,
    past: &[MigrationBrief],
) -> Vec<(Move, Approval)> {
    let mut newest: BTreeMap<&ClaimRef, &MigrationBrief> = BTreeMap::new();
    for migration in past
        .iter()
        .filter(|migration| migration.phase == Phase::Completed)
    {
        let known = newest.entry(&migration.claim).or_insert(migration);
        if migration.finished > known.finished {
            *known = migration;
        }
    }
    newest
        .into_values()
        .filter(|migration| !assignments.contains_key(&migration.claim))
        .filter_map(|migration| {
            let path = format!(
                "{}/{}/{}.yaml",
                tree.assignments, migration.claim.namespace, migration.claim.name
            );
            let removal = tree.removed.get(&path)?;
            let to = if removal.commit == migration.approved_in {
                // This was the way back already; it stays approved, so that nothing is asked twice.
                migration.to.clone()
            } else {
                began(migration, past)
            };
            let what = Move {
                claim: migration.claim.clone(),
                volume: migration.volume.clone(),
                to,
                policy: migration.policy.clone(),
            };
            Some((what, approval(tree, &path, Some(removal))))
        })
        .collect()
}

/// Where a volume was when its move was approved: later attempts may have begun on the way, or elsewhere.
fn began(migration: &MigrationBrief, past: &[MigrationBrief]) -> TierName {
    let same = past.iter().filter(|one| {
        (&one.volume, &one.to, &one.approved_in) == (&migration.volume, &migration.to, &migration.approved_in)
    });
    let first = same.min_by_key(|one| one.attempt);
    first.map_or_else(|| migration.from.clone(), |first| first.from.clone())
}

/// Who approved, as far as the commit tells: one of our own was merged by a fast-forward, which names nobody.
fn approver(author: &str) -> String {
    match author.ends_with(&format!("<{OUR_ADDRESS}>")) {
        true => "unknown (merged by a fast-forward)".to_owned(),
        false => author.to_owned(),
    }
}

fn approval(tree: &ClearTree, path: &str, from: Option<&Provenance>) -> Approval {
    Approval {
        revision: tree.revision.clone(),
        commit: from.map_or_else(|| tree.revision.commit.clone(), |from| from.commit.clone()),
        author: from.map_or_else(|| "unknown".to_owned(), |from| approver(&from.author)),
        at: from.map_or(Timestamp::UNIX_EPOCH, |from| from.committed_at),
        path: path.to_owned(),
    }
}
