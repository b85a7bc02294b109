//! The first stages of the line: a tip is fetched, verified, decrypted and parsed, or the last good one stays.

use super::{Memory, Source, TurnFailure, Turned, brief, holding};
use crate::decrypt::{self, Vouched};
use crate::fetch::{self, Fetched};
use crate::io::git::{GitError, Tips};
use crate::model::diagnostic::{Diagnostic, Severity};
use crate::model::failure::Class;
use crate::model::kinds::volume_migration::VolumeMigration;
use crate::model::tree::{Checkout, ClearTree, Refused};
use crate::parse;

/// Reads the source. What is wrong with its content is put into `turned`; an error means that it could not be looked at.
pub(super) async fn read(
    source: &Source<'_>,
    memory: &mut Memory,
    migrations: &[VolumeMigration],
    finished: usize,
    turned: &mut Turned,
) -> Result<Tips, TurnFailure> {
    let fetched = fetch::fetch(
        source.repository,
        &source.branch,
        source.follow,
        source.verification,
        &source.assignments,
        memory.tried.as_ref(),
    )
    .await
    .map_err(|error: GitError| TurnFailure::from(&error))?;
    let past = || migrations.iter().map(brief).collect::<Vec<_>>();
    let tips = match fetched {
        Fetched::Unchanged(tips) => {
            // A migration that finished since the tip was read may have become a way back.
            if let (Some((desired, known)), Some(tree)) = (&mut memory.desired, &memory.tree)
                && *known != finished
            {
                *known = finished;
                if let Some(fresh) = parse::parse(tree, &past(), source.variables, &mut memory.parsed).desired
                {
                    *desired = fresh;
                }
            }
            tips
        }
        Fetched::Unverified(revision, tips, refusal) => {
            // The last verified revision stays what it is: applied, and the only one with authority.
            memory.applied = false;
            memory.tried = Some(revision);
            memory.diagnostics.clear();
            memory.verification = Some(Err(refusal));
            tips
        }
        Fetched::Changed(checkout, tips, verified) => {
            memory.verification = verified.map(|verified| Ok(verified.message));
            // Also a commit of which nothing can be made freezes.
            let frozen = holding::frozen(source, &checkout);
            memory.frozen = Some(frozen.map_err(|error| TurnFailure::from(&error))?);
            let tree = clear(source, memory, &checkout).await?;
            memory.applied = false;
            memory.tried = Some(checkout.revision.clone());
            match tree {
                Ok(tree) => {
                    let parsed = parse::parse(&tree, &past(), source.variables, &mut memory.parsed);
                    memory.diagnostics = parsed.diagnostics;
                    if let Some(desired) = parsed.desired {
                        memory.desired = Some((desired, finished));
                        memory.tree = Some(tree);
                    }
                }
                Err(refused) => memory.diagnostics = parse::findings(refused, source.variables),
            }
            tips
        }
    };
    turned.attempted = memory.tried.clone();
    turned.verification = memory.verification.clone();
    if let Some(Err(refusal)) = &memory.verification {
        turned.failures.push(TurnFailure {
            class: Class::Stalled,
            reason: "VerificationFailed".to_owned(),
            message: format!(
                "{refusal}; nothing of it is applied or carried out, and what was verified last stays"
            ),
        });
    }
    let errors: Vec<&Diagnostic> = memory
        .diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity == Severity::Error)
        .collect();
    if let Some(first) = errors.first() {
        let more = if errors.len() > 1 {
            format!(" (and {} more; see `couchestor validate`)", errors.len() - 1)
        } else {
            String::new()
        };
        turned.failures.push(TurnFailure {
            class: Class::Stalled,
            reason: "BuildFailed".to_owned(),
            message: format!("{first}{more}"),
        });
    }
    Ok(tips)
}

/// Brings the files of a commit into the clear. A clone that lacks some of them is made anew first.
async fn clear(
    source: &Source<'_>,
    memory: &mut Memory,
    checkout: &Checkout,
) -> Result<Result<ClearTree, Refused>, TurnFailure> {
    // A signed tag names its commit, so either signature vouches for the files.
    let signed = source.verification.is_some();
    let vouched = if signed { Vouched::Yes } else { Vouched::No };
    let failed = |error: GitError| TurnFailure::from(&error);
    let mut mended = false;
    loop {
        let (tree, damage) = {
            let blobs = source.repository.blobs().map_err(failed)?;
            let read = |id: &_| blobs.read(id, decrypt::FILE_BYTES_MAX);
            let tree = tokio::task::block_in_place(|| {
                decrypt::decrypt(
                    checkout,
                    &source.root,
                    &source.assignments,
                    &read,
                    source.identities,
                    vouched,
                    &mut memory.clear,
                )
            });
            (tree, blobs.damage())
        };
        let Some(detail) = damage else {
            return Ok(tree);
        };
        if mended {
            return Err(failed(GitError::Damaged { detail }.again()));
        }
        source.repository.mend(&detail).await.map_err(failed)?;
        mended = true;
    }
}
