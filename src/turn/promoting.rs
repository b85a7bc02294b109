//! Promotions of rollouts: judged, proposed, and told of where people merged them.

use super::moving::{self, is_ours, name};
use super::starting::Approvals;
use super::{Source, TurnFailure, Turned, World, letting_go};
use crate::decide::promotions::{self, Decided, NAMESPACES_MAX, Proposing, Stands, phase_of};
use crate::decide::{InFlight, rollouts};
use crate::io::restores::Restores;
use crate::model::desired::Desired;
use crate::model::failure::Class;
use crate::model::ids::CommitId;
use crate::model::kinds::merges::MergeStatus;
use crate::model::kinds::policy_source::ProposalStatus;
use crate::model::kinds::{Rollout, WorkloadMove};
use crate::model::observation::Observation;
use crate::model::promotions::Promotion;
use crate::model::pull_request::cut;
use crate::model::rendering::ProposalText;
use crate::model::rollouts::Report;
use crate::propose;
use crate::render::promotion;
use crate::render::proposal::Site;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Promotions of which something is told in one turn: one question and two writes each.
const TOLD_MAX: usize = 20;

/// The name of the comment on what became of a promotion.
const COMMENT: &str = "couchestor workloads";

/// The context of the status of its commit.
const CONTEXT: &str = "couchestor/workloads";

/// Characters that the comment's hidden mark may need.
const MARK: usize = 100;

/// Judges rollouts by what the statuses of their objects remember of them; nobody is asked where Git has none. `None`: nobody knows what
/// they remember.
async fn judged(world: &World, seen: &rollouts::Seen<'_>, turned: &mut Turned) -> Option<Vec<Report>> {
    if rollouts::asked(seen.desired) == rollouts::Asked::default() {
        return Some(Vec::new());
    }
    match world.cluster.list::<Rollout>().await {
        Ok(objects) => {
            let of = |object: Rollout| Some((object.metadata.name?, object.status?));
            let before = objects.into_iter().filter_map(of).collect();
            Some(rollouts::judge(seen, &before))
        }
        Err(error) => {
            turned.failures.push(TurnFailure::from(&error));
            None
        }
    }
}

/// What is decided of promotions, with what it was decided by.
#[derive(Default)]
pub(super) struct Promoted {
    /// What was decided.
    pub(super) decided: Decided,
    /// What is to be proposed; nothing when nobody could judge the rollouts.
    proposing: Option<Proposing>,
    /// Rollouts as they were judged, with what is to be said of their promotions.
    pub(super) reports: Vec<Report>,
}

/// Judges rollouts, looks at the namespaces that promotions are about, and decides.
pub(super) async fn decide(
    world: &World,
    source: &Source<'_>,
    (desired, observation, in_flight): (&Desired, &Observation, &InFlight),
    moves: &[WorkloadMove],
    now: Timestamp,
    turned: &mut Turned,
) -> Promoted {
    let judging = rollouts::Seen {
        desired,
        observation,
        backups: in_flight.backups.as_deref(),
        now,
    };
    let Some(mut reports) = judged(world, &judging, turned).await else {
        return Promoted::default();
    };
    let unseen = BTreeMap::new();
    let seen = promotions::Seen {
        source: &source.name,
        desired,
        observation,
        in_flight,
        limits: source.limits,
        reports: &reports,
        moves,
        facts: &unseen,
        now,
    };
    let asked = promotions::asked(&seen).into_iter().take(NAMESPACES_MAX);
    let facts = Restores::of(&world.cluster).of_workloads(asked).await;
    let seen = promotions::Seen {
        facts: &facts,
        ..seen
    };
    let decided = promotions::decide(&seen);
    let proposing = promotions::proposals(&seen, &decided);
    promotions::tell(&mut reports, &decided, moves, &source.name);
    Promoted {
        decided,
        proposing: Some(proposing),
        reports,
    }
}

impl Promoted {
    /// The proposals; in a dry run there are none.
    pub(super) fn texts(&self, source: &Source<'_>) -> Vec<ProposalText> {
        let site = Site {
            prefix: &source.prefix,
            assignments: &source.assignments,
            trailer: propose::TRAILER,
            forge: source.forge.is_some(),
            pace: None,
        };
        let wanted = self.proposing.iter().flat_map(|one| &one.wanted);
        let wanted = wanted.filter(|_| !source.limits.dry_run);
        wanted.map(|one| promotion::render(one, site)).collect()
    }

    /// What is said of a proposal that is being withdrawn, if it is of a rollout.
    pub(super) fn withdrawn(&self, record: &ProposalStatus) -> Option<String> {
        let rollout = promotions::rollout_of(&record.policy)?;
        let not = self.proposing.as_ref().map_or(&[][..], |one| &one.not);
        let why = not.iter().find(|(name, _)| name == rollout);
        let why = why.map_or(
            "the rollout is not in Git any more, or another phase of it is asked about",
            |(_, why)| why,
        );
        Some(promotion::withdrawn(why))
    }

    /// Branches of open proposals of which nobody knows now whether they are wanted still, for something could not be looked at.
    pub(super) fn undecided<'r>(
        &'r self,
        records: &'r [ProposalStatus],
    ) -> impl Iterator<Item = String> + use<'r> {
        let unknown = |rollout: &str| {
            let proposing = self.proposing.as_ref();
            proposing.is_none_or(|one| one.unknown.contains(rollout))
        };
        let open = records.iter().filter(|record| record.state.is_asked());
        let of_it = open.filter(move |record| promotions::rollout_of(&record.policy).is_some_and(unknown));
        of_it.map(|record| record.branch.clone())
    }
}

/// Lets go old volumes that nobody needs, and starts the next move.
pub(super) async fn carry_out(
    world: &World,
    source: &Source<'_>,
    by: (&Desired, &Observation, &InFlight),
    approvals: &Approvals<'_>,
    moves: &mut [WorkloadMove],
    promoted: &mut Promoted,
    turned: &mut Turned,
) {
    let reports = &mut promoted.reports;
    letting_go::let_go(world, source, by, approvals, moves, reports, turned).await;
    moving::begin(world, source, by.0, promoted, approvals, turned).await;
}

/// Commits of which the forge should know: what starts now, and what a promotion that is not done rests on.
pub(super) fn relevant(desired: &Desired, promoted: &Promoted, moves: &[WorkloadMove]) -> Vec<CommitId> {
    let undone = |rollout: &str, phase: &str| {
        let mut all = promoted.decided.standings.iter();
        all.any(|one| one.rollout == rollout && one.phase == phase && one.stands != Stands::Moved)
    };
    let standing = desired.promotions.standing.iter();
    // What lets old volumes go is approved by itself, long after the move.
    let lets_go = |what: &Promotion| {
        let kept = |one: &WorkloadMove| {
            one.status
                .as_ref()
                .is_none_or(|status| status.let_go_at.is_none())
        };
        let mut of_it = moves.iter().filter(|one| {
            let spec = &one.spec;
            (&spec.rollout, &spec.rollout_phase) == (&what.rollout, &what.phase)
        });
        !what.keep_old_volumes && of_it.any(kept)
    };
    let standing =
        standing.filter(|one| undone(&one.what().rollout, &one.what().phase) || lets_go(one.what()));
    let start = promoted
        .decided
        .start
        .iter()
        .map(|start| start.approval.commit.clone());
    let lately = moves.iter().filter(|one| !phase_of(one).is_final());
    standing
        .map(|one| one.approval().commit.clone())
        .chain(start)
        .chain(lately.map(|one| CommitId(one.spec.approved.commit.clone())))
        .collect()
}

/// What is told on one pull request: several phases may have been promoted with it.
#[derive(Default)]
struct News {
    commits: BTreeSet<CommitId>,
    rows: Vec<promotion::Row>,
    standing: Vec<String>,
}

/// What there is to tell of promotions, by the numbers of their pull requests. Of an encrypted one no claim is named.
fn news(
    source: &Source<'_>,
    desired: &Desired,
    promoted: &Promoted,
    moves: &[WorkloadMove],
    merges: &[MergeStatus],
) -> BTreeMap<u64, News> {
    let standing = desired.promotions.standing.iter();
    let standing = standing.map(|one| (&one.what().rollout, &one.what().phase, one.approval()));
    let gone = desired.promotions.withdrawn.iter();
    let gone = gone.map(|one| (&one.what().rollout, &one.what().phase, one.approval()));
    let mut all: BTreeMap<u64, News> = BTreeMap::new();
    for (rollout, phase, approval) in standing.chain(gone) {
        let commit = &approval.commit;
        let merge = merges.iter().find(|one| one.commit == commit.as_str());
        // Of a rollout that is gone nobody knows whether it may be told.
        let secret = promotions::is_secret(desired, rollout, phase);
        let Some((number, secret)) = merge.and_then(|one| one.number).zip(secret) else {
            continue;
        };
        // Of a promotion that has left Git only its moves still say that it was encrypted.
        let secret = secret || {
            let of_phase = |one: &&WorkloadMove| {
                is_ours(source, one) && (&one.spec.rollout, &one.spec.rollout_phase) == (rollout, phase)
            };
            moves.iter().filter(of_phase).any(|one| one.spec.secret)
        };
        let news = all.entry(number).or_default();
        let mut standings = promoted.decided.standings.iter();
        let stands = standings.find(|one| one.rollout == *rollout && one.phase == *phase);
        if let Some(Stands::Waits(why) | Stands::Superseded(why)) = stands.map(|one| &one.stands) {
            news.standing.push(match secret {
                true => {
                    format!("phase {phase} waits, and is encrypted: its Rollout in the cluster says for what")
                }
                false => why.clone(),
            });
        }
        let of_it = |one: &&WorkloadMove| {
            is_ours(source, one)
                && one.spec.approved.commit == commit.as_str()
                && (&one.spec.rollout, &one.spec.rollout_phase) == (rollout, phase)
        };
        let rows = moves.iter().filter(of_it).map(row);
        news.rows
            .extend(rows.map(|row| if secret { row.masked() } else { row }));
        news.commits.insert(commit.clone());
    }
    all.retain(|_, news| !news.rows.is_empty() || !news.standing.is_empty());
    all
}

/// Tells on the pull request by which promotions came what became of them, where that is something else than was told last.
pub(super) async fn tell(
    source: &Source<'_>,
    desired: &Desired,
    promoted: &Promoted,
    (moves, merges, told): (&[WorkloadMove], &[MergeStatus], &mut BTreeMap<u64, String>),
    turned: &mut Turned,
) {
    // What nobody could judge is not called done.
    let Some(forge) = source.forge.filter(|_| promoted.proposing.is_some()) else {
        return;
    };
    let all = news(source, desired, promoted, moves, merges);
    for (number, news) in all.into_iter().take(TOLD_MAX) {
        let (text, state, words) = promotion::results(&news.rows, &news.standing.join("; "));
        if told.get(&number) == Some(&text) {
            continue;
        }
        let max = forge.address().kind.limits().body.saturating_sub(MARK);
        let mut said = forge
            .upsert_comment(number, COMMENT, &cut(&text, max))
            .await
            .map(drop);
        for commit in &news.commits {
            if said.is_ok() {
                let context = source.context(CONTEXT);
                said = forge
                    .set_status(commit, &context, state, words, None)
                    .await
                    .map(drop);
            }
        }
        match said {
            Ok(()) => drop(told.insert(number, text)),
            Err(error) => turned.failures.push(TurnFailure {
                class: Class::Retry,
                ..TurnFailure::from(&error)
            }),
        }
    }
}

fn row(one: &WorkloadMove) -> promotion::Row {
    let status = one.status.clone().unwrap_or_default();
    let down = status.seconds_down();
    let claims: Vec<&str> = one.spec.claims.iter().map(|claim| claim.name.as_str()).collect();
    promotion::Row {
        name: name(one).to_owned(),
        claims: format!("{}/{}", one.spec.namespace, claims.join(",")),
        back: one.spec.back.is_some(),
        phase: status.phase,
        message: status.message,
        down,
    }
}
