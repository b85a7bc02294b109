//! Proposals in a turn: the forge is asked where they stand, what is decided is rendered, and the difference is carried out.

use super::promoting::Promoted;
use super::{Source, TurnFailure, Turned, results};
use crate::decide::{self, InFlight, promotions};
use crate::io::git::Tips;
use crate::model::decision::{Decision, ProposedMove, Why};
use crate::model::desired::{Assignment, Desired, SEALED};
use crate::model::ids::{ClaimRef, CommitId, PolicyName};
use crate::model::kinds::policy_source::{PolicySourceStatus, ProposalState, ProposalStatus};
use crate::model::observation::Observation;
use crate::model::pace::Pace;
use crate::model::rendering::ProposalText;
use crate::propose::{self, Known, Polled, Proposals, Proposed};
use crate::render;
use crate::render::proposal::{TEMPLATE_BYTES_MAX, Template};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// How often the forge is asked where pull requests stand, for each page that the answer had last: forty questions an hour, however
/// many pull requests are open. A webhook asks for a turn at once.
const POLL_SECS: i64 = 90;

/// How long base may go without the commit of a merge that the forge tells of, when its tip is what is followed.
const SHOWN_SECS: i64 = 3600;

/// What the forge said, when, and where the base branch was then.
pub struct Asked {
    polled: Polled,
    at: Timestamp,
    base: Option<CommitId>,
}

/// Where pull requests stand: asked now and then, when somebody pokes, and when the base branch has moved on, since that may have
/// been the merge of one. `None`: there is no forge, or it does not say.
pub(super) async fn poll(
    source: &Source<'_>,
    known: &mut Option<Asked>,
    before: &PolicySourceStatus,
    tips: &Tips,
    now: Timestamp,
    turned: &mut Turned,
) -> Option<Polled> {
    let forge = source.forge?;
    let base = tips.branches.get(&source.branch).cloned();
    let fresh = |asked: &Asked| {
        let pages = i64::try_from(asked.polled.pages.max(1)).unwrap_or(i64::MAX);
        let passed = now.as_second().saturating_sub(asked.at.as_second());
        passed < POLL_SECS.saturating_mul(pages) && asked.base == base
    };
    if let Some(asked) = known.as_ref()
        && fresh(asked)
        && !source.poked
        && !source.hinted
    {
        return Some(asked.polled.clone());
    }
    let delivered = before.delivery.iter().flat_map(|delivery| &delivery.proposals);
    let recorded: Vec<ProposalStatus> = before.proposals.iter().chain(delivered).cloned().collect();
    match propose::poll(forge, &recorded, source.plans.enabled).await {
        Ok(polled) => {
            *known = Some(Asked {
                polled: polled.clone(),
                at: now,
                base,
            });
            Some(polled)
        }
        // What the forge said before may be old, so nothing is concluded from it.
        Err(error) => {
            turned.failures.push(TurnFailure::from(&error));
            None
        }
    }
}

/// What is found out about recorded proposals before anything is done.
async fn known(
    source: &Source<'_>,
    desired: &Desired,
    (tips, polled): (&Tips, &Polled),
    recorded: &[ProposalStatus],
    now: Timestamp,
) -> Known {
    let base = &desired.revision.commit;
    // A tag may lag behind for weeks; a branch shows a merge at once, unless somebody has rewritten it.
    let follows_tip = tips.branches.get(&source.branch) == Some(base);
    let folders = [source.root.as_str(), source.assignments.as_str()];
    Known {
        awaited: awaited(source, base, follows_tip, polled, now).await,
        untouched: propose::untouched(source.repository, folders, base, recorded).await,
        ..Known::default()
    }
}

/// Numbers of pull requests that the forge calls merged, and whose merge base does not hold yet.
pub(super) async fn awaited(
    source: &Source<'_>,
    base: &CommitId,
    follows_tip: bool,
    polled: &Polled,
    now: Timestamp,
) -> BTreeSet<u64> {
    let mut awaited = BTreeSet::new();
    for (number, merge) in &polled.merges {
        let long_ago = merge
            .at
            .is_some_and(|at| now.as_second().saturating_sub(at.as_second()) >= SHOWN_SECS);
        let believed = follows_tip && long_ago;
        if !believed && source.repository.contains(base, &merge.commit).await != Ok(true) {
            awaited.insert(*number);
        }
    }
    awaited
}

pub(super) async fn propose_all(
    source: &Source<'_>,
    desired: &Desired,
    (decision, observation): (&Decision<'_>, &Observation),
    (returns, promoted): (Vec<ProposalText>, &Promoted),
    in_flight: &InFlight,
    (tips, polled, held): (&Tips, &Polled, BTreeSet<u64>),
    now: Timestamp,
) -> Proposed {
    let pace = Pace::of(&in_flight.migrations);
    let site = render::proposal::Site {
        prefix: &source.prefix,
        assignments: &source.assignments,
        trailer: propose::TRAILER,
        forge: source.forge.is_some(),
        pace: Some(&pace),
    };
    let mut of_policy: BTreeMap<&PolicyName, Vec<&ProposedMove>> = BTreeMap::new();
    for one in &decision.proposals {
        of_policy.entry(&one.policy).or_default().push(one);
    }
    // Where nothing else is wanted the proposal stands as it is.
    let unmeasured = decide::unmeasured(desired, decision, observation, &in_flight.proposals);
    for one in &unmeasured {
        if let Some(moves) = of_policy.get_mut(&one.policy) {
            moves.push(one);
            moves.sort_by(|a, b| a.claim.cmp(&b.claim));
        }
    }
    let (template, mut complaint) = match template(source, desired).await {
        Ok(template) => (template, None),
        Err(complaint) => (Template::built_in(), Some(complaint)),
    };
    let mut texts = returns;
    for (policy, moves) in of_policy {
        let left = decision.left_alone.iter();
        let left: Vec<_> = left
            .filter(|left| left.policy.is_some_and(|one| one.name == *policy))
            .filter(|left| !moves.iter().any(|one| left.is(&one.claim)))
            .collect();
        let rendered = render::proposal::render(policy, &moves, &left, desired, site, &template);
        texts.extend(rendered.text);
        complaint = complaint.or(rendered.complaint);
        for (claim, error) in rendered.refused {
            tracing::warn!(%claim, error, "not proposed");
        }
    }
    let fingerprints = desired
        .policies
        .values()
        .map(|policy| (policy.name.to_string(), policy.fingerprint.clone()))
        .collect();
    let mut known = known(source, desired, (tips, polled), &in_flight.proposals, now).await;
    known.undecided = decide::undecided(decision, observation, &in_flight.proposals);
    known.undecided.extend(promoted.undecided(&in_flight.proposals));
    known.held = held;
    known.why = withdrawn(&in_flight.proposals, decision, observation);
    for record in &in_flight.proposals {
        let words = promoted.withdrawn(record);
        known
            .why
            .extend(words.map(|words| (record.branch.clone(), words)));
    }
    // What was superseded stands in base and is not what is asked for now.
    let spent = decide::spent(desired, &in_flight.migrations).into_iter();
    known.spent = spent.map(|claim| (claim.namespace, claim.name)).collect();
    let owner = format!("{} {}", source.name, source.assignments);
    let proposals = Proposals {
        wanted: &texts,
        recorded: &in_flight.proposals,
        tips,
        base: &desired.revision.commit,
        base_branch: &source.branch,
        labels: &source.labels,
        pulls: &polled.pulls,
        known: &known,
        owner: &owner,
        words: &propose::Words::MOVES,
        fingerprints: &fingerprints,
        expire: source.limits.rejections_expire,
        now,
    };
    let mut proposed = propose::propose(source.repository, source.forge, &proposals, |one| {
        let claim = ClaimRef {
            namespace: one.namespace.clone(),
            name: one.claim.clone(),
        };
        let holds = |assignment: &Assignment| {
            assignment.tier.as_str() == one.to && assignment.volume.as_str() == one.volume
        };
        let standing = &desired.promotions.standing;
        match promotions::rollout_of(&one.decision.policy) {
            Some(_) => promotions::holds(standing, (&one.namespace, &one.claim), &one.decision),
            None => desired.assignments.get(&claim).is_some_and(holds),
        }
    })
    .await;
    results::bind(&mut proposed.records, desired);
    forget_guessable(&mut proposed.records, desired);
    proposed.template = complaint.map(|what| format!("{what} (the built-in template is used)"));
    proposed
}

/// What is said of each proposal that is being withdrawn, by branch: why each of its moves is not wanted any more.
fn withdrawn(
    records: &[ProposalStatus],
    decision: &Decision<'_>,
    observation: &Observation,
) -> BTreeMap<String, String> {
    // What takes a move back has its reasons in the move, and not in how its volume stands now.
    let told =
        |record: &&ProposalStatus| record.state == ProposalState::Withdrawing && !record.policy.contains('/');
    let mut texts = BTreeMap::new();
    for record in records.iter().filter(told) {
        let reasons = record.moves.iter().map(|one| {
            let claim = ClaimRef {
                namespace: one.namespace.clone(),
                name: one.claim.clone(),
            };
            let left = decision.left_alone.iter().find(|left| left.is(&claim));
            let words = match (left, observation.find(&claim)) {
                (Some(left), _) => left.words(),
                (None, None) => Why::NotFound.to_string(),
                (None, Some(_)) => "another move of it is proposed".to_owned(),
            };
            (claim.to_string(), words)
        });
        texts.insert(record.branch.clone(), render::proposal::withdrawn(reasons));
    }
    texts
}

/// Older releases hashed what encrypted policies say, and a weak value can be found by trying. Such a no is asked for once more.
fn forget_guessable(records: &mut [ProposalStatus], desired: &Desired) {
    let sealed = |record: &&mut ProposalStatus| {
        let policy = desired.policies.get(&PolicyName(record.policy.clone()));
        policy.is_some_and(|policy| policy.secret) && !record.policy_fingerprint.starts_with(SEALED)
    };
    for record in records.iter_mut().filter(sealed) {
        record.policy_fingerprint.clear();
    }
}

/// The template that the source names, as it stands in the revision whose policies hold: only what is verified can speak.
async fn template(source: &Source<'_>, desired: &Desired) -> Result<Template, String> {
    let Some(path) = &source.template else {
        return Ok(Template::built_in());
    };
    let commit = &desired.revision.commit;
    let read = source.repository.plain_file_at(commit, path, TEMPLATE_BYTES_MAX);
    let read = read.await.map_err(|error| error.to_string()).flatten();
    let bytes = read.map_err(|what| format!("{path}: {what}; correct spec.proposals.template"))?;
    Template::read(path, &bytes)
}
