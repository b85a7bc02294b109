//! Plans in a turn: what open pull requests would change is found out and said there, and what came of those that were merged.

use super::planning::{Here, Looked, Remembered, Scene};
use super::{APPLY_FAILED, Source, TurnFailure, Turned, World};
use crate::formats::follow::Follow;
use crate::io::forge::{Forge, ForgeError};
use crate::model::failure::{Class, Failure};
use crate::model::ids::{CommitId, Revision};
use crate::model::kinds::policy_source::PolicySourceStatus;
use crate::model::kinds::review::{ReviewResult, ReviewStatus};
use crate::model::pull_request::{CommitState, PullRequest, PullRequestState, hidden_marker};
use crate::render::review::{self as rendered, Outcome, Said};
use crate::review::command::{self, Command};
use crate::review::records::{self, PER_TURN_MAX, REVIEWS_MAX};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// The context of the commit status.
const CONTEXT: &str = "couchestor/plan";

impl Source<'_> {
    /// The context of a commit status: where several sources follow one branch, those that came later add their names, so that
    /// neither overwrites what the other says.
    pub(super) fn context(&self, of: &str) -> String {
        match self.second {
            true => format!("{of}/{}", self.name),
            false => of.to_owned(),
        }
    }
}

/// Pull requests that somebody who may holds.
pub(super) fn held(source: &Source<'_>, before: &PolicySourceStatus) -> BTreeSet<u64> {
    let held = before.reviews.iter().filter(|record| record.held_by.is_some());
    let held = held.filter(|_| source.plans.enabled);
    held.map(|record| record.number).collect()
}

/// What the hidden mark of a comment takes at most.
const MARK_MAX: usize = 600;

/// Looks at the pull requests, those that are open and those that were merged. What goes wrong is tried again in the next turn, and
/// changes nothing about what is applied.
pub(super) async fn review(
    world: &World,
    source: &Source<'_>,
    scene: &Scene<'_>,
    remembered: &mut Remembered,
    before: &PolicySourceStatus,
    turned: &mut Turned,
) {
    // What a pull request brings is followed only if the branch is.
    let (Some(forge), true, Follow::Branch) = (source.forge, source.plans.enabled, source.follow) else {
        return;
    };
    let Some(base) = scene.tips.branches.get(&source.branch) else {
        return;
    };
    let speaker = Speaker {
        forge,
        name: format!("plan {} {}", source.name, source.root),
        context: source.context(CONTEXT),
    };
    let mut records = Vec::new();
    for record in &before.reviews {
        let open = scene.open.iter().find(|pull| pull.number == record.number);
        match open {
            Some(pull) if pull.base_branch == source.branch => records.push(record.clone()),
            // It goes to another branch now.
            Some(_) => {}
            None => {
                let closed = closed(source, &speaker, scene, record, turned).await;
                match closed {
                    Ok(kept) => records.extend(kept),
                    Err(failure) => {
                        records.push(record.clone());
                        turned.failures.push(failure);
                    }
                }
            }
        }
    }
    let mut here = Here::new(world, source, scene, base, remembered);
    let mut looked = 0;
    let to_us = scene.open.iter().filter(|pull| pull.base_branch == source.branch);
    for pull in to_us.take(REVIEWS_MAX) {
        let known = records.iter().find(|record| record.number == pull.number);
        let mut record = known.cloned().unwrap_or_else(|| records::new(pull));
        let listens = !source.plans.commands.from.is_empty();
        let news = listens && records::has_news(&record, pull);
        if !news && !records::is_stale(&record, pull, base) {
            continue;
        }
        if records::rests(&record, scene.now) && !source.poked {
            continue;
        }
        if looked == PER_TURN_MAX {
            break;
        }
        looked += 1;
        match look_at(&mut here, &speaker, pull, &mut record, scene.now).await {
            Ok(()) => record.not_before = None,
            Err(failure) => {
                // What was said is not known, and a command that was read has yet to be obeyed.
                record.said.clear();
                if failure.reason == REFUSED {
                    record.not_before = records::later(scene.now);
                }
                turned.failures.push(failure);
            }
        }
        records::put(&mut records, record);
    }
    records::bound(&mut records);
    turned.reviews = Some(records);
}

/// A plan that could not be said now.
const LATE: &str = "ReviewFailed";

/// A comment or a status that the forge does not take: the token may not, or the conversation is locked.
const REFUSED: &str = "ReviewRefused";

/// A failure that is no more than a comment that is late.
fn late<E: Failure>(number: u64) -> impl Fn(E) -> TurnFailure {
    move |error| TurnFailure {
        class: Class::Retry,
        reason: match error.class() {
            Class::Retry => LATE,
            _ => REFUSED,
        }
        .to_owned(),
        message: format!("the plan of pull request {number}: {error}"),
    }
}

async fn look_at(
    here: &mut Here<'_, '_>,
    speaker: &Speaker<'_>,
    pull: &PullRequest,
    record: &mut ReviewStatus,
    now: Timestamp,
) -> Result<(), TurnFailure> {
    let number = pull.number;
    let from = &here.source.plans.commands.from;
    let mut asked = false;
    if !from.is_empty() && records::has_news(record, pull) {
        let since = record.seen.parse().ok();
        let comments = speaker
            .forge
            .comments(number, since)
            .await
            .map_err(late(number))?;
        let (newest, given) = command::newest(&comments, record.last_comment, from);
        record.last_comment = newest;
        record.seen = records::seen(pull, now);
        match given {
            Some((Command::Plan, _)) => (record.held_by, asked) = (None, true),
            Some((Command::Hold, login)) => record.held_by = Some(login),
            None => {}
        }
    }
    let held = record.held_by.clone();
    let stale = asked
        || records::is_stale(record, pull, here.base)
        || held.is_none() && record.result == ReviewResult::Held;
    let said = match held {
        Some(login) => {
            record.result = ReviewResult::Held;
            rendered::held(&login)
        }
        None if !stale => return Ok(()),
        None => match here.look(pull).await.map_err(|failure| TurnFailure {
            class: Class::Retry,
            message: format!("the plan of pull request {number}: {}", failure.message),
            ..failure
        })? {
            Looked::Untouched => {
                record.result = ReviewResult::Untouched;
                rendered::untouched(record.commented)
            }
            Looked::Planned(plan) => {
                record.result = match (&plan, plan.is_refused()) {
                    (plan, _) if !plan.conflicts.is_empty() => ReviewResult::Conflict,
                    (_, true) => ReviewResult::Refused,
                    (_, false) => ReviewResult::Planned,
                };
                rendered::plan(&plan, speaker.room())
            }
        },
    };
    speaker.say(pull, record, &said).await.map_err(late(number))?;
    record.head = pull.head_sha.0.clone();
    record.base = here.base.0.clone();
    Ok(())
}

/// What becomes of a record whose pull request is not open any more.
async fn closed(
    source: &Source<'_>,
    speaker: &Speaker<'_>,
    scene: &Scene<'_>,
    record: &ReviewStatus,
    turned: &Turned,
) -> Result<Option<ReviewStatus>, TurnFailure> {
    let number = record.number;
    let mut record = record.clone();
    if record.merged.is_none() {
        let pull = match speaker.forge.get(number).await {
            Ok(pull) => pull,
            // Somebody deleted it.
            Err(ForgeError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(late(number)(error)),
        };
        match pull.state {
            // The list is longer than what is read of it, or lags behind.
            PullRequestState::Open => return Ok(Some(record).filter(|_| pull.base_branch == source.branch)),
            PullRequestState::Closed => return Ok(None),
            PullRequestState::Merged if !record.commented || pull.base_branch != source.branch => {
                return Ok(None);
            }
            PullRequestState::Merged => {
                let tip = scene.tips.branches.get(&source.branch).cloned();
                record.merged = pull.merge_commit.or(tip).map(|commit| commit.0);
            }
        }
    }
    let merged = CommitId(record.merged.clone().unwrap_or_default());
    let holds = async |tip: &CommitId| {
        let contains = source.repository.contains(tip, &merged).await;
        contains.map_err(late(number))
    };
    if turned.applied && holds(&scene.desired.revision.commit).await? {
        let outcome = Outcome::Applied(&scene.desired.revision);
        speaker
            .say_outcome(&mut record, &outcome)
            .await
            .map_err(late(number))?;
        return Ok(None);
    }
    // Of what cannot be applied before what keeps it from being read; that a migration waits is no reason.
    let all = || turned.failures.iter();
    let beside = [LATE, REFUSED, "MigrationWaits", "RecordFailed"];
    let failure = all()
        .find(|failure| failure.reason == APPLY_FAILED)
        .or_else(|| all().find(|failure| !beside.contains(&failure.reason.as_str())));
    if let (Some(attempted), Some(failure)) = (&turned.attempted, failure.filter(|_| !turned.applied))
        && holds(&attempted.commit).await?
    {
        let attempted: &Revision = attempted;
        let outcome = Outcome::Failed(attempted, &failure.message);
        speaker
            .say_outcome(&mut record, &outcome)
            .await
            .map_err(late(number))?;
    }
    Ok(Some(record))
}

/// Who says something on pull requests, in one comment on each.
struct Speaker<'a> {
    forge: &'a Forge,
    /// What our comment is found again by: several of us may speak on one pull request.
    name: String,
    /// What our status is called.
    context: String,
}

impl Speaker<'_> {
    /// Characters that a comment may have.
    fn room(&self) -> usize {
        self.forge.address().kind.limits().body.saturating_sub(MARK_MAX)
    }

    /// Says it in the comment and as the status of the head, if anything of it is new.
    async fn say(
        &self,
        pull: &PullRequest,
        record: &mut ReviewStatus,
        said: &Said,
    ) -> Result<(), ForgeError> {
        let comment = said.comment.as_deref().unwrap_or_default();
        let state = match said.state {
            CommitState::Success => "success",
            _ => "failure",
        };
        let key = records::key(&[pull.head_sha.as_str(), comment, state, &said.description]);
        if record.said == key {
            return Ok(());
        }
        if let Some(comment) = &said.comment {
            self.forge
                .upsert_comment(pull.number, &self.name, comment)
                .await?;
            record.commented = true;
        }
        self.forge
            .set_status(
                &pull.head_sha,
                &self.context,
                said.state,
                &said.description,
                Some(&pull.url),
            )
            .await?;
        record.said = key;
        Ok(())
    }

    /// Says what came of a merge, above the plan.
    async fn say_outcome(&self, record: &mut ReviewStatus, outcome: &Outcome<'_>) -> Result<(), ForgeError> {
        let key = records::key(&[&rendered::outcome(outcome, None, usize::MAX)]);
        if record.said == key {
            return Ok(());
        }
        let ours = self.forge.own_comment(record.number, &self.name).await?;
        let mark = hidden_marker(&self.name);
        let earlier = ours.as_ref().map(|comment| comment.body.trim_start());
        let earlier = earlier.and_then(|body| body.strip_prefix(mark.as_str()));
        let text = rendered::outcome(outcome, earlier, self.room());
        self.forge
            .upsert_comment(record.number, &self.name, &text)
            .await?;
        record.said = key;
        Ok(())
    }
}
