//! Who merged and who approved: asked of the forge, once for each commit on base that approves moves. Where approvals are demanded and
//! missing it is asked again now and then, for they may come after the merge.

use super::{Source, TurnFailure, Turned};
use crate::io::forge::{Forge, ForgeError};
use crate::model::ids::CommitId;
use crate::model::kinds::merges::{ApprovalRule, MergeStatus, Reviewer};
use crate::model::pull_request::Approval;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Commits that are looked up in one turn; each costs three questions at most.
const ASKED_MAX: usize = 10;

/// How often one that lacks something is looked up again: six times an hour, whatever their number. With three questions each that is
/// eighteen, and with the forty pages of pull requests fewer than sixty requests an hour (tests/reviews/steady.rs counts them). A
/// webhook or a poke asks at once.
const AGAIN_SECS: i64 = 600;

/// For how long a pull request is looked for that the forge did not know: GitHub finds out some time after the merge.
const LOOK_SECS: i64 = 3600;

/// Merges that are remembered.
const KEPT_MAX: usize = 50;

/// Merges that are remembered because they matter still; those beyond are asked for again when their turn comes.
const RELEVANT_MAX: usize = 500;

/// Commits whose approvals do not suffice, as far as is known.
pub(super) fn unapproved(source: &Source<'_>, merges: &[MergeStatus]) -> BTreeMap<CommitId, Arc<str>> {
    let Some(rule) = &source.approvals else {
        return BTreeMap::new();
    };
    let missing = merges.iter().filter_map(|merge| {
        let missing = rule.missing(merge)?;
        Some((CommitId(merge.commit.clone()), missing.into()))
    });
    missing.collect()
}

/// Looks up commits that nothing is known of, and again those that lack something. `relevant` are all that matter still; of the
/// others only the newest are remembered.
pub(super) async fn ask(
    source: &Source<'_>,
    relevant: &BTreeSet<CommitId>,
    merges: &mut Vec<MergeStatus>,
    now: Timestamp,
    turned: &mut Turned,
) {
    let Some(forge) = source.forge else {
        return;
    };
    let outcome = match ask_new(forge, source, relevant, merges, now).await {
        Ok(()) => ask_again(forge, source, relevant, merges, now).await,
        failed => failed,
    };
    if let Err(error) = outcome {
        turned.failures.push(TurnFailure::from(&error));
    }
    forget(relevant, merges);
}

async fn ask_new(
    forge: &Forge,
    source: &Source<'_>,
    relevant: &BTreeSet<CommitId>,
    merges: &mut Vec<MergeStatus>,
    now: Timestamp,
) -> Result<(), ForgeError> {
    let known: BTreeSet<String> = merges.iter().map(|merge| merge.commit.clone()).collect();
    let new = relevant.iter().filter(|commit| !known.contains(commit.as_str()));
    for commit in new.take(ASKED_MAX) {
        merges.push(look(forge, source, commit, now).await?);
    }
    Ok(())
}

async fn ask_again(
    forge: &Forge,
    source: &Source<'_>,
    relevant: &BTreeSet<CommitId>,
    merges: &mut [MergeStatus],
    now: Timestamp,
) -> Result<(), ForgeError> {
    let passed = |since: &str| {
        let since: Option<Timestamp> = since.parse().ok();
        since.map_or(i64::MAX, |since| {
            now.as_second().saturating_sub(since.as_second())
        })
    };
    let lacks = |merge: &MergeStatus| match (merge.number, &source.approvals) {
        (None, _) => passed(&merge.since) < LOOK_SECS || source.poked,
        (Some(_), Some(rule)) => rule.missing(merge).is_some(),
        (Some(_), None) => false,
    };
    let mut due: Vec<&mut MergeStatus> = merges
        .iter_mut()
        .filter(|merge| relevant.contains(&CommitId(merge.commit.clone())) && lacks(merge))
        .collect();
    due.sort_by(|a, b| a.asked.cmp(&b.asked));
    let now_asked = source.poked || source.hinted;
    // The one that was asked last says when any was.
    let fresh = due.last().is_some_and(|last| passed(&last.asked) < AGAIN_SECS);
    let count = match (now_asked, fresh) {
        (true, _) => ASKED_MAX,
        (false, true) => 0,
        (false, false) => 1,
    };
    for merge in due.into_iter().take(count) {
        match merge.number {
            Some(number) => merge.approved_by = reviewers(forge, number, source.approvals.as_ref()).await?,
            None => {
                let found = look(forge, source, &CommitId(merge.commit.clone()), now).await?;
                *merge = MergeStatus {
                    since: merge.since.clone(),
                    told: merge.told.clone(),
                    told_at: merge.told_at.clone(),
                    ..found
                };
            }
        }
        merge.asked = now.to_string();
    }
    Ok(())
}

async fn look(
    forge: &Forge,
    source: &Source<'_>,
    commit: &CommitId,
    now: Timestamp,
) -> Result<MergeStatus, ForgeError> {
    let mut merge = MergeStatus {
        commit: commit.to_string(),
        since: now.to_string(),
        asked: now.to_string(),
        ..MergeStatus::default()
    };
    if let Some(pull) = forge.merged_as(commit, &source.branch).await? {
        merge.approved_by = reviewers(forge, pull.number, source.approvals.as_ref()).await?;
        merge.own = forge.whoami().await?;
        merge.number = Some(pull.number);
        merge.url = Some(pull.url);
        merge.head = Some(pull.head_sha.0);
        merge.author = Some(pull.author);
        merge.merged_by = pull.merged_by;
    }
    Ok(merge)
}

/// Who approves: the repository's own people, and those whom the rule names.
async fn reviewers(
    forge: &Forge,
    number: u64,
    rule: Option<&ApprovalRule>,
) -> Result<Vec<Reviewer>, ForgeError> {
    let mut approvals = forge.approvals(number).await?;
    approvals.retain(|one| one.trusted || rule.is_some_and(|rule| rule.from.contains(&one.login)));
    let reviewer = |approval: Approval| Reviewer {
        login: approval.login,
        head: approval.commit.map(|commit| commit.0),
    };
    Ok(approvals.into_iter().map(reviewer).collect())
}

/// Remembers what matters, and of the rest the newest.
fn forget(relevant: &BTreeSet<CommitId>, merges: &mut Vec<MergeStatus>) {
    merges.sort_by(|a, b| b.since.cmp(&a.since));
    let mut kept = 0;
    merges.retain(|merge| {
        kept += 1;
        kept <= KEPT_MAX || kept <= RELEVANT_MAX && relevant.contains(&CommitId(merge.commit.clone()))
    });
}
