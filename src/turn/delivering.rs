//! Delivery by pull request in a turn: what is rendered is compared with what the branch holds, and the difference is proposed.

use super::{Source, TurnFailure, proposing, review};
use crate::decrypt::FILE_BYTES_MAX;
use crate::io::git::{Blobs, GitError, Tips, blob_id};
use crate::model::delivery::Target;
use crate::model::desired::Desired;
use crate::model::failure::Class;
use crate::model::ids::{BlobId, CommitId, Revision};
use crate::model::kinds::policy_source::{DeliveryStatus, Inventory, PolicySourceStatus, ProposalState};
use crate::model::rendering::RenderedObject;
use crate::model::tree::ClearTree;
use crate::propose::{self, Known, Polled, Proposals, Proposed, Words};
use crate::render::delivery::{self as rendered, Changes};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Refusals and files that a message names.
const NAMED_MAX: usize = 3;

/// What is to be delivered, as it was found out last.
pub struct Prepared {
    /// What it was rendered from.
    revision: Revision,
    /// The commit that it was compared with.
    pub(super) base: CommitId,
    /// The files of the folder there.
    files: BTreeMap<String, String>,
    changes: Changes,
    inventory: Inventory,
}

impl Prepared {
    /// Whether the branch holds all of it.
    pub(super) fn is_delivered(&self) -> bool {
        self.changes.is_nothing()
    }
}

/// What became of a delivery.
pub struct Delivered {
    /// What is to be remembered.
    pub status: DeliveryStatus,
    /// What was done and what was not.
    pub proposed: Proposed,
    /// In one word and in words, what a person has to do for it, if anything.
    pub waits: Option<(&'static str, String)>,
}

fn refused(message: String) -> TurnFailure {
    TurnFailure {
        class: Class::Stalled,
        reason: "DeliveryRefused".to_owned(),
        message: format!("{message}; nothing is delivered, and what was delivered last stays"),
    }
}

fn named(all: &[String]) -> String {
    let more = match all.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    format!("{}{more}", all[..all.len().min(NAMED_MAX)].join("; "))
}

/// Compares what is rendered with what the branch holds.
pub(super) async fn prepare(
    source: &Source<'_>,
    to: &Target,
    (desired, objects, tree): (&Desired, &[RenderedObject], Option<&ClearTree>),
    tips: &Tips,
    classes_in_use: &BTreeSet<String>,
) -> Result<Prepared, TurnFailure> {
    let failed = |error: GitError| TurnFailure::from(&error);
    let Some(tree) = tree.filter(|tree| tree.revision == desired.revision) else {
        return Err(TurnFailure {
            class: Class::Retry,
            reason: "DeliveryFailed".to_owned(),
            message: "the files of the revision are not at hand".to_owned(),
        });
    };
    let Some(base) = tips.branches.get(&to.branch) else {
        return Err(TurnFailure {
            class: Class::Waiting,
            reason: "BranchNotFound".to_owned(),
            message: format!(
                "there is no branch {}; make it, or correct spec.delivery.branch",
                to.branch
            ),
        });
    };
    if !source.repository.has(base).await.map_err(failed)? {
        source.repository.fetch(&to.branch).await.map_err(failed)?;
    }
    let blobs = source.repository.blobs().map_err(failed)?;
    let sealed = match sealed(&blobs, objects, tree) {
        Ok(sealed) => sealed,
        Err(error) => return Err(unread(source, blobs.damage(), error).await),
    };
    let manifests = rendered::manifests(objects, tree, &sealed, &to.path);
    let manifests = manifests.map_err(|all| {
        let all: Vec<String> = all
            .iter()
            .map(|one| format!("{}: {}", one.place, one.why))
            .collect();
        refused(named(&all))
    })?;
    let entries = source.repository.entries(base).await.map_err(failed)?;
    let name = source.name.to_string();
    let read = |blob: &BlobId| {
        blobs
            .read(blob, FILE_BYTES_MAX)
            .map_err(|error| error.to_string())
    };
    let standing = match rendered::standing(&entries, &to.path, Some(&name), read) {
        Ok((standing, _)) => standing,
        Err(why) if blobs.damage().is_some() => return Err(unread(source, blobs.damage(), why).await),
        Err(why) => return Err(refused(why)),
    };
    let whose = (to.path.as_str(), name.as_str());
    let changes = rendered::changes(&manifests, &standing, classes_in_use, whose, blob_id);
    if !changes.taken.is_empty() {
        return Err(refused(format!(
            "{} in {} is not couchestor's and stands where a manifest should; move it, or give spec.delivery.path another folder",
            named(&changes.taken),
            to.path
        )));
    }
    Ok(Prepared {
        revision: desired.revision.clone(),
        base: base.clone(),
        files: standing.files,
        changes,
        inventory: manifests.inventory,
    })
}

/// What could not be read. A damaged clone is made anew, and the next turn reads it.
async fn unread(source: &Source<'_>, damage: Option<String>, error: String) -> TurnFailure {
    let mended = match damage {
        Some(damage) => source.repository.mend(&damage).await,
        None => Ok(()),
    };
    match mended {
        Ok(()) => TurnFailure {
            class: Class::Retry,
            reason: "DeliveryFailed".to_owned(),
            message: error,
        },
        Err(error) => TurnFailure::from(&error),
    }
}

/// The encrypted files that objects come from, as they lie in Git.
fn sealed(
    blobs: &Blobs,
    objects: &[RenderedObject],
    tree: &ClearTree,
) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let of = objects.iter().filter(|object| object.origin.secret);
    let paths: BTreeSet<&str> = of.map(|object| &*object.origin.path).collect();
    let mut sealed = BTreeMap::new();
    for path in paths {
        let Some(file) = tree.files.get(path).filter(|file| file.secret) else {
            continue;
        };
        let content = blobs.read(&file.blob, FILE_BYTES_MAX);
        sealed.insert(
            path.to_owned(),
            content.map_err(|error| format!("{path}: {error}"))?,
        );
    }
    Ok(sealed)
}

/// Proposes what is to be delivered, or takes back what is not any more. Nothing where neither is of any concern.
pub(super) async fn propose(
    source: &Source<'_>,
    desired: &Desired,
    prepared: Option<&Prepared>,
    before: &PolicySourceStatus,
    (tips, polled): (&Tips, &Polled),
    now: Timestamp,
) -> Option<Delivered> {
    let remembered = before.delivery.clone().unwrap_or_default();
    let recorded = &remembered.proposals;
    let to = source.delivery.as_ref().zip(prepared);
    if to.is_none() && !recorded.iter().any(propose::is_open) {
        return None;
    }
    let name = source.name.to_string();
    let (folder, branch, base) = match to {
        Some((to, prepared)) => (to.path.as_str(), to.branch.as_str(), &prepared.base),
        None => ("", source.branch.as_str(), &desired.revision.commit),
    };
    let text = to.and_then(|(_, prepared)| {
        let (whose, site) = (
            (folder, &*name),
            (source.prefix.as_str(), branch, propose::TRAILER),
        );
        let forge = source.forge.is_some();
        rendered::proposal(&prepared.changes, whose, site, &prepared.revision, forge)
    });
    let no = recorded.iter().find(|record| {
        let forgotten = record.is_forgotten(source.limits.rejections_expire, now);
        record.state == ProposalState::Declined
            && !forgotten
            && text.as_ref().is_some_and(|text| text.key == record.key)
    });
    let declined = no.is_some();
    let quiet = declined || source.limits.dry_run;
    let wanted: Vec<_> = text.clone().filter(|_| !quiet).into_iter().collect();
    let known = known(source, to, (before, polled), base, now).await;
    let owner = format!("{name} {folder}");
    let proposals = Proposals {
        wanted: &wanted,
        recorded,
        tips,
        base,
        base_branch: branch,
        labels: &source.labels,
        pulls: &polled.pulls,
        known: &known,
        owner: &owner,
        words: &Words::MANIFESTS,
        fingerprints: &BTreeMap::new(),
        expire: source.limits.rejections_expire,
        now,
    };
    let proposed = propose::propose(source.repository, source.forge, &proposals, |_| false).await;
    let mut status = DeliveryStatus {
        proposals: proposed.records.clone(),
        ..remembered
    };
    if let Some((_, prepared)) = to {
        status.inventory = prepared.inventory.clone();
        if prepared.is_delivered() {
            status.revision = Some(prepared.revision.to_string());
        }
    }
    let waits = text.map(|text| waits(source, &proposed, declined, (&text.title, branch)));
    Some(Delivered {
        status,
        proposed,
        waits,
    })
}

/// What a person has to do before manifests are delivered.
fn waits(
    source: &Source<'_>,
    proposed: &Proposed,
    declined: bool,
    (title, branch): (&str, &str),
) -> (&'static str, String) {
    let open = proposed.records.iter().find(|record| propose::is_open(record));
    match open {
        _ if declined => (
            "DeliveryDeclined",
            format!("{title}: somebody said no; it is asked again when something else is rendered"),
        ),
        Some(record) => {
            let place = record.url.as_ref().unwrap_or(&record.branch);
            (
                "DeliveryProposed",
                format!("{title}: merge {place} into {branch}"),
            )
        }
        None if source.limits.dry_run => ("DryRun", format!("{title}: not proposed, because of --dry-run")),
        None => ("DeliveryProposed", format!("{title}: about to be proposed")),
    }
}

/// What is found out about the recorded proposal before anything is done.
async fn known(
    source: &Source<'_>,
    to: Option<(&Target, &Prepared)>,
    (before, polled): (&PolicySourceStatus, &Polled),
    base: &CommitId,
    now: Timestamp,
) -> Known {
    let mut known = Known {
        held: review::held(source, before),
        awaited: proposing::awaited(source, base, true, polled, now).await,
        ..Known::default()
    };
    let records = before.delivery.iter().flat_map(|delivery| &delivery.proposals);
    for record in records.filter(|record| propose::is_open(record)) {
        let here = to.filter(|(to, _)| record.policy == rendered::identity(&to.branch).0);
        let Some((to, prepared)) = here else { continue };
        let settled = prepared.is_delivered() && record.key == prepared.changes.key;
        let commit = CommitId(record.commit.clone());
        if settled || source.repository.contains(base, &commit).await == Ok(true) {
            known.in_base.insert(record.branch.clone());
        }
        if record.base == base.as_str() {
            continue;
        }
        // One that cannot be read any more was rewritten.
        let old = source.repository.entries(&CommitId(record.base.clone())).await;
        if old.is_ok_and(|old| rendered::below(&to.path, &old) == prepared.files) {
            known.untouched.insert(record.branch.clone());
        }
    }
    known
}
