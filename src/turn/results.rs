//! What became of merged moves, told where people merged them: one living comment and a commit status.

use super::{Source, TurnFailure, Turned, brief};
use crate::io::forge::{Forge, ForgeError};
use crate::model::approval::{Approved, Move};
use crate::model::decision::{Decision, Why};
use crate::model::desired::Desired;
use crate::model::failure::{Class, Failure};
use crate::model::ids::{CommitId, hex};
use crate::model::kinds::merges::MergeStatus;
use crate::model::kinds::policy_source::{ProposalState, ProposalStatus};
use crate::model::kinds::volume_migration::{Phase, VolumeMigration};
use crate::model::observation::{Backing, Observation};
use crate::model::pull_request::{CommitState, cut};
use crate::render::results::{self, Row, Standing};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// The context of the commit status.
const CONTEXT: &str = "couchestor/apply";

/// The name of the comment.
const COMMENT: &str = "couchestor results";

/// Characters that the comment's hidden mark may need.
const MARK: usize = 100;

/// Pull requests of which something is told in one turn: four questions and two writes each.
const TOLD_MAX: usize = 5;

/// How often mere progress is told; what ended, and what went wrong, is told at once.
const PROGRESS_SECS: i64 = 600;

/// Migrations that ended longer ago are not looked up any more.
const LATELY_SECS: i64 = 24 * 3600;

/// Everything of a turn that results are made of.
pub(super) struct Seen<'a> {
    pub(super) desired: &'a Desired,
    pub(super) observation: &'a Observation,
    pub(super) decision: &'a Decision<'a>,
    pub(super) migrations: &'a [VolumeMigration],
    pub(super) records: Vec<ProposalStatus>,
    pub(super) now: Timestamp,
}

/// Commits of which the forge should know, or say something: what starts now, what runs, and what ended lately.
pub(super) fn relevant(
    decision: &Decision<'_>,
    unapproved: impl Iterator<Item = CommitId>,
    migrations: &[VolumeMigration],
    now: Timestamp,
) -> BTreeSet<CommitId> {
    let lately = |migration: &&VolumeMigration| {
        let finished = migration
            .status
            .as_ref()
            .and_then(|status| status.finished_at.as_ref());
        let at: Option<Timestamp> = finished.and_then(|at| at.parse().ok());
        at.is_none_or(|at| now.as_second().saturating_sub(at.as_second()) < LATELY_SECS)
    };
    let starts = decision.starts.iter().map(|one| &one.approved);
    let superseded = decision.superseded.iter().map(|one| &one.approved);
    let mut commits: BTreeSet<CommitId> = starts
        .chain(superseded)
        .map(|approved| approved.approval().commit.clone())
        .collect();
    commits.extend(unapproved);
    let ran = migrations.iter().filter(lately);
    commits.extend(ran.map(|one| CommitId(one.spec.approved.commit.clone())));
    commits
}

/// Notes in the records of merged proposals which commit holds their moves: somebody may have merged without the forge.
pub(super) fn bind(records: &mut [ProposalStatus], desired: &Desired) {
    let merged = records
        .iter_mut()
        .filter(|record| record.state == ProposalState::Merged);
    let unbound = merged
        .flat_map(|record| &mut record.moves)
        .filter(|one| one.accepted && one.approved_in.is_none());
    for one in unbound {
        let same = |approved: &&Approved<Move>| {
            let what = approved.what();
            what.claim.namespace == one.namespace
                && what.claim.name == one.claim
                && what.volume.as_str() == one.volume
                && what.to.as_str() == one.to
        };
        let approved = desired.approved.iter().find(same);
        one.approved_in = approved.map(|approved| approved.approval().commit.to_string());
    }
}

/// Tells what has changed since it was told last.
pub(super) async fn tell(
    source: &Source<'_>,
    seen: &Seen<'_>,
    merges: &mut [MergeStatus],
    turned: &mut Turned,
) {
    let Some(forge) = source.forge else {
        return;
    };
    // Without the engine nobody knows where volumes are and how large.
    if seen.observation.engine.is_err() {
        return;
    }
    // Several commits may have come by one pull request, when it was rebased.
    let mut groups: BTreeMap<String, (Option<u64>, Vec<usize>)> = BTreeMap::new();
    for (index, merge) in merges.iter().enumerate() {
        let number = merge.number.or_else(|| number_of(&seen.records, &merge.commit));
        let key = number.map_or_else(|| merge.commit.clone(), |number| format!("#{number}"));
        groups.entry(key).or_insert((number, Vec::new())).1.push(index);
    }
    let mut told = 0;
    for (number, group) in groups.into_values() {
        let commits: BTreeSet<&str> = group.iter().map(|index| merges[*index].commit.as_str()).collect();
        let rows = rows(seen, &commits);
        if rows.is_empty() {
            continue;
        }
        let text = results::text(&rows);
        let verdict = results::verdict(&rows);
        let bad = rows.iter().filter(|row| row.standing.is_bad()).count();
        let hash = Sha256::digest(text.as_bytes());
        let id = format!("{bad}/{}", hex(&hash[..6]));
        let first = &merges[group[0]];
        let settled = rows.iter().all(|row| row.standing.is_settled());
        if first.told == id || !(settled || due(first, bad, seen.now)) || rests(first, seen.now) {
            continue;
        }
        told += 1;
        if told > TOLD_MAX {
            break;
        }
        let mut now_told = id;
        let (number, context) = (number, source.context(CONTEXT));
        if let Err(error) = tell_one(forge, number, &commits, &text, (&context, verdict)).await {
            let refused = error.class() != Class::Retry;
            // A comment that the forge does not take keeps nothing else from going on.
            turned.failures.push(TurnFailure {
                class: Class::Retry,
                ..TurnFailure::from(&error)
            });
            if !refused {
                continue;
            }
            REFUSED.clone_into(&mut now_told);
        }
        for index in group {
            merges[index].told.clone_from(&now_told);
            merges[index].told_at = Some(seen.now.to_string());
        }
    }
}

/// What is remembered as told when the forge refused it.
const REFUSED: &str = "refused";

/// Whether the forge refused lately what was to be told.
fn rests(merge: &MergeStatus, now: Timestamp) -> bool {
    let at: Option<Timestamp> = merge.told_at.as_ref().and_then(|at| at.parse().ok());
    merge.told == REFUSED
        && at.is_some_and(|at| now.as_second().saturating_sub(at.as_second()) < PROGRESS_SECS)
}

/// Whether progress may be told: never told before, something went wrong, or long ago.
fn due(merge: &MergeStatus, bad: usize, now: Timestamp) -> bool {
    let before = merge.told.split_once('/').and_then(|(bad, _)| bad.parse().ok());
    let at: Option<Timestamp> = merge.told_at.as_ref().and_then(|at| at.parse().ok());
    let long_ago = at.is_none_or(|at| now.as_second().saturating_sub(at.as_second()) >= PROGRESS_SECS);
    long_ago || before != Some(bad)
}

async fn tell_one(
    forge: &Forge,
    number: Option<u64>,
    commits: &BTreeSet<&str>,
    text: &str,
    (context, (state, words)): (&str, (CommitState, &str)),
) -> Result<(), ForgeError> {
    // The comment first: it is what people read, and a token may be allowed the one and not the other.
    if let Some(number) = number {
        let max = forge.address().kind.limits().body.saturating_sub(MARK);
        forge.upsert_comment(number, COMMENT, &cut(text, max)).await?;
    }
    for commit in commits {
        let commit = CommitId((*commit).to_owned());
        forge.set_status(&commit, context, state, words, None).await?;
    }
    Ok(())
}

/// The pull request of a proposal whose moves a commit holds, when the forge did not notice the merge.
fn number_of(records: &[ProposalStatus], commit: &str) -> Option<u64> {
    let of = |record: &&ProposalStatus| {
        let mut moves = record.moves.iter();
        moves.any(|one| one.approved_in.as_deref() == Some(commit))
    };
    records.iter().find(of)?.number
}

/// The moves that these commits approve: those that became migrations, and those that wait.
fn rows(seen: &Seen<'_>, commits: &BTreeSet<&str>) -> Vec<Row> {
    let of = |migration: &&VolumeMigration| commits.contains(migration.spec.approved.commit.as_str());
    let mut migrations: Vec<&VolumeMigration> = seen.migrations.iter().filter(of).collect();
    // What was tried again is told once, as it stands.
    migrations.retain(|one| {
        let next = |other: &&VolumeMigration| {
            (&other.spec.volume, &other.spec.to, &other.spec.approved.commit)
                == (&one.spec.volume, &one.spec.to, &one.spec.approved.commit)
                && other.spec.attempt > one.spec.attempt
        };
        !seen.migrations.iter().any(|other| next(&other))
    });
    let mut rows: Vec<Row> = migrations.iter().map(|one| row(seen, one)).collect();
    for approved in &seen.desired.approved {
        let (what, approval) = (approved.what(), approved.approval());
        let begun = |one: &&VolumeMigration| {
            one.spec.approved.commit == approval.commit.as_str()
                && one.spec.volume == what.volume.as_str()
                && one.spec.to == what.to.as_str()
        };
        if !commits.contains(approval.commit.as_str()) || migrations.iter().copied().any(|one| begun(&one)) {
            continue;
        }
        let left = seen.decision.left_alone.iter().find(|left| left.is(&what.claim));
        let Some(left) = left else { continue };
        if left.tier == Some(&what.to) {
            continue;
        }
        let (why, approvals) = match &left.why {
            why @ Why::NotApproved { .. } => (why.to_string(), true),
            // Figures change all the time.
            why => (why.reason().to_owned(), false),
        };
        rows.push(Row {
            claim: what.claim.to_string(),
            from: left.tier.map(ToString::to_string).unwrap_or_default(),
            to: what.to.to_string(),
            standing: Standing::Waits { why, approvals },
            seconds: None,
            copied: None,
            migration: String::new(),
        });
    }
    rows.sort_by(|a, b| (&a.claim, &a.to).cmp(&(&b.claim, &b.to)));
    rows
}

fn row(seen: &Seen<'_>, migration: &VolumeMigration) -> Row {
    let (spec, known) = (&migration.spec, brief(migration));
    let status = migration.status.clone().unwrap_or_default();
    let at = |at: &Option<String>| at.as_ref().and_then(|at| at.parse::<Timestamp>().ok());
    let times = at(&status.started_at).zip(at(&status.finished_at));
    let seconds = times.and_then(|(from, to)| u64::try_from(to.as_second() - from.as_second()).ok());
    let found = seen.observation.find(&known.claim);
    let size = found.and_then(|index| match &seen.observation.volumes[index].backing {
        Backing::Mayastor(volume) => Some(volume.size),
        _ => None,
    });
    let new = status
        .result
        .iter()
        .filter(|copy| !status.baseline.iter().any(|old| old.id == copy.id));
    let copies = u64::try_from(new.count()).unwrap_or(u64::MAX);
    let moved = matches!(known.phase, Phase::Completed | Phase::Preserved);
    Row {
        claim: known.claim.to_string(),
        from: spec.from.clone(),
        to: spec.to.clone(),
        standing: match known.phase.is_final() {
            true => Standing::Ended {
                phase: known.phase,
                message: status.message,
            },
            false => Standing::Runs,
        },
        seconds: seconds.filter(|_| known.phase != Phase::Superseded),
        copied: size.filter(|_| moved).map(|size| size.saturating_mul(copies)),
        migration: known.name,
    }
}
