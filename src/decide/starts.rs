//! Which approved moves start now: the decision is looked at once more, then budgets, room and windows.

use super::again::Attempts;
use super::budgets::Running;
use super::heat::Direction;
use super::place::{self, Room, bit};
use super::shortages::ROOM_SECS;
use super::{View, judge, protection, rollback};
use crate::model::approval::{Approved, Move};
use crate::model::decision::{Decision, LeftAlone, Start, Subject, Superseded, Why, span};
use crate::model::desired::Policy;
use crate::model::ids::{PolicyName, TierName};
use crate::model::kinds::volume_migration::Phase;
use crate::model::migration_brief::MigrationBrief;
use crate::model::observation::{Backing, BoundVolume, MayastorVolume};
use std::collections::{BTreeMap, BTreeSet};

/// How long a migration may take when no policy says it: the seed's default.
const DEFAULT_TIMEOUT_SECS: u64 = 30 * 60;

/// Where a volume is whose copies are on several tiers.
const MIXED: &str = "mixed";

/// What became of the approved moves, beside those that start.
#[derive(Default)]
pub(super) struct Begun<'a> {
    /// Volumes whose move starts, by index.
    pub(super) started: BTreeSet<usize>,
    /// Volumes that are left alone, by index.
    pub(super) left: BTreeMap<usize, LeftAlone<'a>>,
    /// Volumes whose approval was used up without a move, by index, with the VolumeMigration that says so.
    pub(super) spent: BTreeMap<usize, String>,
    /// What assignments name and nobody has seen.
    pub(super) missing: Vec<LeftAlone<'a>>,
}

/// Takes the room of copies that moves under way have yet to make, and counts the moves.
pub(super) fn reserve<'a>(view: &View<'a>, room: &mut Room) -> Running<'a> {
    let mut running = Running::of(view);
    for migration in view
        .in_flight
        .migrations
        .iter()
        .filter(|one| !one.phase.is_final())
    {
        let bound = view
            .observation
            .find(&migration.claim)
            .map(|index| &view.observation.volumes[index]);
        let Some(Backing::Mayastor(volume)) = bound.map(|bound| &bound.backing) else {
            continue;
        };
        let Some(to) = view.tier(&migration.to) else {
            running.add_unplaced(volume);
            continue;
        };
        let missing = usize::from(volume.wanted_copies).saturating_sub(place::copies_on(view, volume, to));
        let mut chosen = Vec::new();
        if missing > 0
            && let Ok(found) = room.choose(view, volume, to)
        {
            chosen = found;
            chosen.truncate(missing);
            room.take(volume, &chosen);
        }
        running.add_way(view, room, volume, to, &chosen);
    }
    running
}

pub(super) fn starts<'a>(view: &View<'a>, room: &mut Room, decision: &mut Decision<'a>) -> Begun<'a> {
    let mut begun = Begun::default();
    let mut running = reserve(view, room);
    let attempts = Attempts::of(&view.in_flight.migrations);
    let stands = view.limits.dry_run || view.in_flight.control.stop.is_some();
    // All of them first: their looks at memory then wait together and not one for the other.
    let all: Vec<_> = approved(view).collect();
    for (approved, found, meant) in all {
        let what = approved.what();
        let outcome = match found {
            None => Err(Why::NotFound),
            // What was approved twice has one verdict: the first.
            Some(index) if begun.started.contains(&index) || begun.left.contains_key(&index) => Ok(None),
            Some(_) if !meant => attempts.other_volume(approved),
            Some(index) => start(view, room, &mut running, &attempts, approved, index),
        };
        match (outcome, found) {
            (Ok(None), _) => {}
            (Ok(Some(start)), found) => {
                begun.started.extend(found);
                decision.starts.push(start);
            }
            (Err(Why::Superseded { migration }), Some(index)) => drop(begun.spent.insert(index, migration)),
            // What was carried out is not used up without a move.
            (Err(why), Some(index))
                if is_over(view, approved, &why) && !stands && !attempts.moved(approved) =>
            {
                let waited = !why.supersedes();
                let left = left(view, what, found, why);
                let mut words = left.words();
                if waited {
                    words.push_str(&format!(
                        "; it has waited for room for {}",
                        span(ROOM_SECS.unsigned_abs())
                    ));
                }
                decision.superseded.push(Superseded {
                    approved: approved.clone(),
                    attempt: attempts.next(approved),
                    from: left.tier.cloned().unwrap_or_else(|| TierName(MIXED.to_owned())),
                    why: words,
                });
                begun.left.insert(index, left);
            }
            (Err(why), Some(index)) => drop(begun.left.insert(index, left(view, what, found, why))),
            (Err(why), None) => begun.missing.push(left(view, what, found, why)),
        }
    }
    begun
}

/// Whether a move is not waited for any more: what spoke for it is gone, or its tier has had no room for too long.
fn is_over(view: &View, approved: &Approved<Move>, why: &Why) -> bool {
    let lacks = matches!(why, Why::NoRoom { .. } | Why::NoPool { .. });
    let since = view.in_flight.shortages.get(&approved.what().claim);
    let long = since.is_some_and(|(commit, since)| {
        *commit == approved.approval().commit
            && view.now.as_second().saturating_sub(since.as_second()) >= ROOM_SECS
    });
    why.supersedes() || lacks && long
}

/// Approved moves with the places of their volumes, and whether those are the ones that were meant or others of their claims.
fn approved<'v, 'a>(
    view: &'v View<'a>,
) -> impl Iterator<Item = (&'a Approved<Move>, Option<usize>, bool)> + use<'v, 'a> {
    let mut near = 0;
    view.desired.approved.iter().map(move |approved| {
        let what = approved.what();
        let mut all = view.volumes_of(&what.claim, &mut near);
        let meant = |volume: &usize| *view.observation.volumes[*volume].name == *what.volume.as_str();
        match all.clone().find(meant) {
            Some(found) => (approved, Some(found), true),
            None => (approved, all.next(), false),
        }
    })
}

fn left<'a>(view: &View<'a>, what: &'a Move, found: Option<usize>, why: Why<'a>) -> LeftAlone<'a> {
    let policy = policy_of(view, what);
    match found.map(|index| &view.observation.volumes[index]) {
        Some(bound) => view.leave(bound, policy, why),
        None => LeftAlone {
            subject: Subject::Missing(Box::new((what.claim.clone(), what.volume.clone()))),
            policy,
            tier: None,
            why,
        },
    }
}

fn policy_of<'a>(view: &View<'a>, what: &Move) -> Option<&'a Policy> {
    view.desired.policies.get(&PolicyName(what.policy.clone()?))
}

/// `None` means that the volume is where it belongs.
fn start<'a>(
    view: &View<'a>,
    room: &mut Room,
    running: &mut Running<'a>,
    attempts: &Attempts,
    approved: &'a Approved<Move>,
    index: usize,
) -> Result<Option<Start>, Why<'a>> {
    let what = approved.what();
    let bound = &view.observation.volumes[index];
    let volume = movable(view, bound)?;
    let to = view.tier(&what.to).ok_or_else(|| Why::NoPool {
        tier: &what.to,
        excluded: Box::new(["the tier does not exist".to_owned()]),
    })?;
    if let Some(running) = view.past(index).and_then(|past| past.running) {
        return Err(Why::InFlight {
            migration: running.name.clone(),
        });
    }
    let from = view.placed(bound);
    if from == Some(to) {
        return Ok(None);
    }
    // What a person wrote without a policy's proposal is held to the policy that takes the volume.
    let taker = || Some(view.policies.all[judge::taker(view, bound.group).ok()?]);
    let policy = policy_of(view, what).or_else(taker);
    let attempt = attempts.may(view, approved, policy)?;
    if let Some(missing) = view.in_flight.unapproved.get(&approved.approval().commit) {
        return Err(Why::NotApproved {
            missing: missing.clone(),
        });
    }
    not_suspended(view, what)?;
    if let Some(stop) = &view.in_flight.control.stop {
        return Err(Why::Stopped(stop.clone()));
    }
    none_just_returned(view, volume, to)?;
    protection::lets_move(view, bound)?;
    if from.is_some_and(|from| view.tiers[to].rank < view.tiers[from].rank) {
        protection::lets_demote(view, bound)?;
    }
    let assignment = view.desired.assignments.get(&what.claim);
    if let Some(unfit) = judge::unfit(volume, assignment) {
        return Err(Why::Unfit(unfit));
    }
    let chosen = room.choose(view, volume, to)?;
    running.admits(view, room, (volume, &chosen), policy, (from, to))?;
    if let Some(policy) = policy {
        in_window(view, policy)?;
    }
    if view.limits.dry_run {
        return Err(Why::DryRun {
            to: view.names[to].clone(),
        });
    }
    // Last of all: the load is looked at when the move could start, not while it waits.
    still_holds(view, what, index, from, to, attempt.drifted)?;
    let from_name = from.map(|tier| &view.tiers[tier].name);
    let tiers = (from_name.map_or("", |name| name.as_str()), what.to.as_str());
    running.begin(what.policy.as_deref(), tiers, volume, room.nodes_of(&chosen));
    running.add_way(view, room, volume, to, &chosen);
    room.take(volume, &chosen);
    Ok(Some(Start {
        approved: approved.clone(),
        attempt: attempt.number,
        pools: place::names(view, &chosen),
        from: from_name.cloned().unwrap_or_else(|| TierName(MIXED.to_owned())),
        timeout_secs: policy.map_or(DEFAULT_TIMEOUT_SECS, |policy| policy.timeout.as_secs()),
        latency: policy_of(view, what)
            .and_then(|policy| rollback::latency_of(policy, view.observation, index, view.now)),
        accept_snapshots_stay: assignment.is_some_and(|one| one.accept_snapshots_stay),
    }))
}

fn movable<'a>(view: &View<'a>, bound: &'a BoundVolume) -> Result<&'a MayastorVolume, Why<'static>> {
    let driver = match &bound.backing {
        Backing::Local => Some(&view.local),
        Backing::Other(driver) => Some(driver),
        Backing::Mayastor(_) | Backing::NotInEngine => None,
    };
    if let Some(provider) = driver {
        return Err(Why::NotMovable {
            provider: provider.clone(),
        });
    }
    if let Err(error) = &view.observation.engine {
        return Err(Why::EngineUnknown {
            error: error.as_str().into(),
        });
    }
    match &bound.backing {
        Backing::Mayastor(volume) => Ok(volume),
        _ => Err(Why::NotInEngine),
    }
}

/// Nodes that have just returned take no new copy and give none up. The engine may place a copy on any pool of the tier, so none of
/// its nodes may rest.
fn none_just_returned(view: &View, volume: &MayastorVolume, to: usize) -> Result<(), Why<'static>> {
    let resting = &view.in_flight.control.resting;
    let (false, Ok(fleet)) = (resting.is_empty(), &view.observation.engine) else {
        return Ok(());
    };
    let own = volume
        .copies
        .iter()
        .filter_map(|copy| fleet.nodes.get(copy.node as usize));
    let own = own.map(|node| &node.name);
    let pools = fleet.pools.iter().zip(&view.pool_tiers);
    let of_tier = pools
        .filter(|(_, tiers)| **tiers & bit(to) != 0)
        .map(|(pool, _)| &pool.node);
    let rests = |node| Some((node, *resting.get(node)?));
    let found = own
        .chain(of_tier)
        .filter_map(rests)
        .find(|(_, until)| view.now < *until);
    match found {
        Some((node, until)) => Err(Why::NodeJustReturned {
            node: node.as_str().into(),
            until: until.as_second(),
        }),
        None => Ok(()),
    }
}

/// A policy that is switched off holds back what it proposed, also what was merged already. What a person wrote, pinned or reverted
/// is no move of the policy's.
fn not_suspended(view: &View, what: &Move) -> Result<(), Why<'static>> {
    let assignment = view.desired.assignments.get(&what.claim);
    let own = assignment.is_some_and(|one| one.decision.is_some() && one.pin.is_none());
    match policy_of(view, what) {
        Some(policy) if own && !policy.enabled => Err(Why::Suspended),
        _ => Ok(()),
    }
}

/// Whether what spoke for the move still does: people merge when they have time, and loads change. An assignment that a person wrote,
/// or that is pinned, and the way back after a revert are carried out whatever the load. One whose load is not known now waits.
fn still_holds<'a>(
    view: &View<'a>,
    what: &Move,
    index: usize,
    from: Option<usize>,
    to: usize,
    drifted: bool,
) -> Result<(), Why<'a>> {
    let Some(assignment) = view.desired.assignments.get(&what.claim) else {
        return Ok(());
    };
    let (Some(decision), None, Some(from)) = (&assignment.decision, assignment.pin, from) else {
        return Ok(());
    };
    // Copies that have left their tier by themselves are on any other one.
    if !drifted && *decision.from != *view.tiers[from].name.as_str() {
        // Where a merged move has put it since, a person who approves an older decision takes that move back.
        let ours = |one: &MigrationBrief| {
            one.phase == Phase::Completed && one.volume == what.volume && one.to == view.tiers[from].name
        };
        return match view.in_flight.migrations.iter().any(ours) {
            true => Ok(()),
            false => Err(Why::Moved {
                tier: &view.tiers[from].name,
                decided: decision.from.as_str().into(),
            }),
        };
    }
    let Some(place) = view.policies.place(&decision.policy) else {
        return Err(Why::PolicyGone(decision.policy.as_str().into()));
    };
    let measured = view.policies.measured(place);
    let direction = match view.tiers[to].rank > view.tiers[from].rank {
        true => Direction::Hotter,
        false => Direction::Colder,
    };
    match measured.gone_back(index, direction)? {
        Some((signal, value)) => Err(Why::NoLongerHolds { signal, value }),
        None => Ok(()),
    }
}

fn in_window(view: &View, policy: &Policy) -> Result<(), Why<'static>> {
    let windows = &policy.move_windows;
    if windows.is_empty() || windows.iter().any(|window| window.contains(view.now)) {
        return Ok(());
    }
    let opens = windows.iter().filter_map(|window| window.opens(view.now)).min();
    Err(Why::OutsideWindow { opens })
}
