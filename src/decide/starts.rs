//! Which approved moves start now: the decision is looked at once more, then budgets, room and windows.

use super::heat::{self, Direction};
use super::place::{self, Room};
use super::{InFlight, View, judge, rollback};
use crate::model::approval::{Approved, Move};
use crate::model::decision::{Decision, LeftAlone, Start, Subject, Superseded, Why};
use crate::model::desired::Policy;
use crate::model::ids::{PolicyName, TierName};
use crate::model::kinds::volume_migration::Phase;
use crate::model::migration_brief::MigrationBrief;
use crate::model::observation::{Backing, BoundVolume, MayastorVolume};
use crate::model::quick::Table;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// How long a migration may take when no policy says it: the seed's default.
const DEFAULT_TIMEOUT_SECS: u64 = 30 * 60;

/// Where a volume is whose copies are on several tiers.
const MIXED: &str = "mixed";

/// What a budget per hour looks back over.
const HOUR_SECS: i64 = 3600;

/// Moves that run, and those that start in this turn.
struct Running<'a> {
    all: usize,
    of_policy: HashMap<&'a str, usize>,
    of_tier: HashMap<&'a str, usize>,
    of_node: HashMap<u32, usize>,
    /// Moves and bytes of a policy that started within the last hour.
    hourly: HashMap<&'a str, (usize, u64)>,
}

impl<'a> Running<'a> {
    fn of(view: &View<'a>, in_flight: &'a InFlight) -> Self {
        let mut running = Self {
            all: 0,
            of_policy: HashMap::new(),
            of_tier: HashMap::new(),
            of_node: HashMap::new(),
            hourly: HashMap::new(),
        };
        for migration in &in_flight.migrations {
            let bound = view
                .observation
                .find(&migration.claim)
                .map(|index| &view.observation.volumes[index]);
            let volume = bound.and_then(|bound| match &bound.backing {
                Backing::Mayastor(volume) => Some(volume),
                _ => None,
            });
            let policy = migration.policy.as_deref();
            if started_within_an_hour(migration, view.now)
                && let Some(policy) = policy
            {
                let (moves, bytes) = running.hourly.entry(policy).or_default();
                *moves += 1;
                *bytes = bytes.saturating_add(volume.map_or(0, place::bytes));
            }
            if !migration.phase.is_final() {
                let nodes = volume
                    .into_iter()
                    .flat_map(|volume| volume.copies.iter().map(|copy| copy.node));
                running.add(policy, &migration.from.0, &migration.to.0, nodes);
            }
        }
        running
    }

    fn add(&mut self, policy: Option<&'a str>, from: &'a str, to: &'a str, nodes: impl Iterator<Item = u32>) {
        self.all += 1;
        if let Some(policy) = policy {
            *self.of_policy.entry(policy).or_default() += 1;
        }
        for tier in [from, to] {
            *self.of_tier.entry(tier).or_default() += 1;
        }
        for node in nodes {
            *self.of_node.entry(node).or_default() += 1;
        }
    }
}

fn started_within_an_hour(migration: &MigrationBrief, now: Timestamp) -> bool {
    let started = migration
        .started
        .as_deref()
        .and_then(|at| at.parse::<Timestamp>().ok());
    started.is_some_and(|at| now.as_second().saturating_sub(at.as_second()) < HOUR_SECS)
}

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

/// Takes the room of copies that moves under way have yet to make.
fn reserve(view: &View, room: &mut Room) {
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
        let (Some(Backing::Mayastor(volume)), Some(to)) =
            (bound.map(|bound| &bound.backing), view.tier(&migration.to))
        else {
            continue;
        };
        let missing = usize::from(volume.wanted_copies).saturating_sub(place::copies_on(view, volume, to));
        if missing > 0
            && let Ok(mut chosen) = room.choose(view, volume, to)
        {
            chosen.truncate(missing);
            room.take(volume, &chosen);
        }
    }
}

pub(super) fn starts<'a>(view: &View<'a>, room: &mut Room, decision: &mut Decision<'a>) -> Begun<'a> {
    let mut begun = Begun::default();
    let mut running = Running::of(view, view.in_flight);
    reserve(view, room);
    let tried = tried(view.in_flight);
    // All of them first: their looks at memory then wait together and not one for the other.
    let all: Vec<_> = approved(view).collect();
    for (approved, found) in all {
        let what = approved.what();
        let outcome = match found {
            None => Err(Why::NotFound),
            // What was approved twice has one verdict: the first.
            Some(index) if begun.started.contains(&index) || begun.left.contains_key(&index) => Ok(None),
            Some(index) => start(view, room, &mut running, &tried, approved, index),
        };
        match (outcome, found) {
            (Ok(None), _) => {}
            (Ok(Some(start)), found) => {
                begun.started.extend(found);
                decision.starts.push(start);
            }
            (Err(Why::Superseded { migration }), Some(index)) => drop(begun.spent.insert(index, migration)),
            (Err(why), Some(index)) if why.supersedes() && !view.limits.dry_run => {
                let left = left(view, what, found, why);
                decision.superseded.push(Superseded {
                    approved: approved.clone(),
                    from: left.tier.cloned().unwrap_or_else(|| TierName(MIXED.to_owned())),
                    why: left.words(),
                });
                begun.left.insert(index, left);
            }
            (Err(why), Some(index)) => drop(begun.left.insert(index, left(view, what, found, why))),
            (Err(why), None) => begun.missing.push(left(view, what, found, why)),
        }
    }
    begun
}

/// Approved moves with the places of their volumes: the volume that was meant, or another one of the claim.
fn approved<'v, 'a>(
    view: &'v View<'a>,
) -> impl Iterator<Item = (&'a Approved<Move>, Option<usize>)> + use<'v, 'a> {
    let mut near = 0;
    view.desired.approved.iter().map(move |approved| {
        let what = approved.what();
        let mut all = view.volumes_of(&what.claim, &mut near);
        let meant = |volume: &usize| *view.observation.volumes[*volume].name == *what.volume.as_str();
        let found = all.clone().find(meant).or_else(|| all.next());
        (approved, found)
    })
}

/// Migrations by volume, tier and approval.
type Tried<'a> = Table<(&'a str, &'a str, &'a str), &'a MigrationBrief>;

fn tried(in_flight: &InFlight) -> Tried<'_> {
    let mut tried = Tried::default();
    for migration in &in_flight.migrations {
        let (volume, to) = (migration.volume.as_str(), migration.to.as_str());
        let approved_in = migration.approved_in.as_str();
        tried.entry((volume, to, approved_in)).or_insert(migration);
    }
    tried
}

fn left<'a>(view: &View<'a>, what: &'a Move, found: Option<usize>, why: Why) -> LeftAlone<'a> {
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
    tried: &Tried,
    approved: &'a Approved<Move>,
    index: usize,
) -> Result<Option<Start>, Why> {
    let what = approved.what();
    let bound = &view.observation.volumes[index];
    if *bound.name != *what.volume.as_str() {
        not_superseded(tried, approved)?;
        return Err(Why::OtherVolume {
            assigned: what.volume.clone(),
        });
    }
    let volume = movable(view, bound)?;
    let to = view.tier(&what.to).ok_or_else(|| Why::NoPool {
        tier: what.to.as_str().into(),
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
    not_tried(tried, approved)?;
    if let Some(missing) = view.in_flight.unapproved.get(&approved.approval().commit) {
        return Err(Why::NotApproved {
            missing: missing.clone(),
        });
    }
    not_suspended(view, what)?;
    if let Some(unfit) = volume.unfit {
        return Err(Why::Unfit(unfit));
    }
    let chosen = room.choose(view, volume, to)?;
    // What a person wrote without a policy's proposal is held to the policy that takes the volume.
    let taker = || Some(view.policies[judge::taker(view, bound).ok()?].policy);
    let policy = policy_of(view, what).or_else(taker);
    within_budgets(view, running, volume, policy, from, to, &chosen, room)?;
    if let Some(policy) = policy {
        in_window(view, policy)?;
    }
    if view.limits.dry_run {
        return Err(Why::DryRun {
            to: view.names[to].clone(),
        });
    }
    // Last of all: the load is looked at when the move could start, not while it waits.
    still_holds(view, what, index, from, to)?;
    let from_name = from.map(|tier| &view.tiers[tier].name);
    let nodes = volume
        .copies
        .iter()
        .map(|copy| copy.node)
        .chain(room.nodes_of(&chosen));
    running.add(
        what.policy.as_deref(),
        from_name.map_or("", |name| name.as_str()),
        what.to.as_str(),
        nodes.collect::<Vec<_>>().into_iter(),
    );
    if let Some(policy) = &what.policy {
        let (moves, bytes) = running.hourly.entry(policy).or_default();
        *moves += 1;
        *bytes = bytes.saturating_add(place::bytes(volume));
    }
    room.take(volume, &chosen);
    Ok(Some(Start {
        approved: approved.clone(),
        from: from_name.cloned().unwrap_or_else(|| TierName(MIXED.to_owned())),
        timeout_secs: policy.map_or(DEFAULT_TIMEOUT_SECS, |policy| policy.timeout.as_secs()),
        latency: policy_of(view, what)
            .and_then(|policy| rollback::latency_of(policy, view.observation, index, view.now)),
    }))
}

fn movable<'a>(view: &View<'a>, bound: &'a BoundVolume) -> Result<&'a MayastorVolume, Why> {
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

fn migration_of<'a>(tried: &Tried<'a>, approved: &Approved<Move>) -> Option<&'a MigrationBrief> {
    let what = approved.what();
    let key = (
        what.volume.as_str(),
        what.to.as_str(),
        approved.approval().commit.as_str(),
    );
    tried.get(&key).copied()
}

fn not_superseded(tried: &Tried, approved: &Approved<Move>) -> Result<(), Why> {
    match migration_of(tried, approved) {
        Some(done) if done.phase == Phase::Superseded => Err(Why::Superseded {
            migration: done.name.clone(),
        }),
        _ => Ok(()),
    }
}

/// An approval moves a volume once.
fn not_tried(tried: &Tried, approved: &Approved<Move>) -> Result<(), Why> {
    not_superseded(tried, approved)?;
    match migration_of(tried, approved) {
        None => Ok(()),
        Some(done) if done.phase == Phase::Completed => Err(Why::Drifted {
            migration: done.name.clone(),
        }),
        Some(failed) => Err(Why::FailedBefore {
            migration: failed.name.clone(),
        }),
    }
}

/// A policy that is switched off holds back what it proposed, also what was merged already. What a person wrote, pinned or reverted
/// is no move of the policy's.
fn not_suspended(view: &View, what: &Move) -> Result<(), Why> {
    let assignment = view.desired.assignments.get(&what.claim);
    let own = assignment.is_some_and(|one| one.decision.is_some() && one.pin.is_none());
    match policy_of(view, what) {
        Some(policy) if own && !policy.enabled => Err(Why::Suspended),
        _ => Ok(()),
    }
}

/// Whether what spoke for the move still does: people merge when they have time, and loads change. An assignment that a person wrote,
/// or that is pinned, and the way back after a revert are carried out whatever the load. One whose load is not known now waits.
fn still_holds(view: &View, what: &Move, index: usize, from: Option<usize>, to: usize) -> Result<(), Why> {
    let Some(assignment) = view.desired.assignments.get(&what.claim) else {
        return Ok(());
    };
    let (Some(decision), None, Some(from)) = (&assignment.decision, assignment.pin, from) else {
        return Ok(());
    };
    if *decision.from != *view.tiers[from].name.as_str() {
        // Where a merged move has put it since, a person who approves an older decision takes that move back.
        let ours = |one: &MigrationBrief| {
            one.phase == Phase::Completed && one.volume == what.volume && one.to == view.tiers[from].name
        };
        return match view.in_flight.migrations.iter().any(ours) {
            true => Ok(()),
            false => Err(Why::Moved {
                tier: view.names[from].clone(),
                decided: decision.from.as_str().into(),
            }),
        };
    }
    let by_name = |measured: &heat::Measured| measured.policy.name.as_str().cmp(&decision.policy);
    let Ok(place) = view.policies.binary_search_by(by_name) else {
        return Err(Why::PolicyGone(decision.policy.as_str().into()));
    };
    let measured = &view.policies[place];
    let direction = match view.tiers[to].rank > view.tiers[from].rank {
        true => Direction::Hotter,
        false => Direction::Colder,
    };
    match measured.gone_back(index, direction)? {
        Some((signal, value)) => Err(Why::NoLongerHolds { signal, value }),
        None => Ok(()),
    }
}

fn in_window(view: &View, policy: &Policy) -> Result<(), Why> {
    let windows = &policy.move_windows;
    if windows.is_empty() || windows.iter().any(|window| window.contains(view.now)) {
        return Ok(());
    }
    let opens = windows.iter().filter_map(|window| window.opens(view.now)).min();
    Err(Why::OutsideWindow { opens })
}

#[expect(clippy::too_many_arguments, reason = "every budget counts something else")]
fn within_budgets(
    view: &View,
    running: &Running,
    volume: &MayastorVolume,
    policy: Option<&Policy>,
    from: Option<usize>,
    to: usize,
    chosen: &[u32],
    room: &Room,
) -> Result<(), Why> {
    let over = |budget: String| {
        Err(Why::OverBudget {
            budget: budget.into(),
        })
    };
    let max = view.limits.max_concurrent;
    if running.all >= max as usize {
        return over(format!("the controller's --max-concurrent-migrations of {max}"));
    }
    for tier in from.into_iter().chain([to]).map(|tier| view.tiers[tier]) {
        let used = running.of_tier.get(tier.name.as_str()).copied().unwrap_or(0);
        if let Some(max) = tier.max_moves.filter(|max| used >= *max as usize) {
            return over(match tier.secret {
                true => format!("maxConcurrentMoves of tier {}", tier.name),
                false => format!("maxConcurrentMoves: {max} of tier {}", tier.name),
            });
        }
    }
    let Some(policy) = policy else { return Ok(()) };
    let name = &policy.name;
    let used = running.of_policy.get(name.as_str()).copied().unwrap_or(0);
    if used >= policy.max_concurrent as usize {
        return over(format!(
            "maxConcurrentMigrations: {} of {name}",
            policy.max_concurrent
        ));
    }
    let (moves, bytes) = running.hourly.get(name.as_str()).copied().unwrap_or_default();
    if let Some(max) = policy.budgets.moves_per_hour.filter(|max| moves >= *max as usize) {
        return over(format!("movesPerHour: {max} of {name}"));
    }
    // A volume that is larger than the whole budget would never move: it starts alone.
    let after = bytes.saturating_add(place::bytes(volume));
    if policy
        .budgets
        .bytes_per_hour
        .is_some_and(|max| bytes > 0 && after > max)
    {
        return over(format!("bytesPerHour of {name}"));
    }
    if let Some(max) = policy.budgets.moves_per_node {
        let nodes = volume
            .copies
            .iter()
            .map(|copy| copy.node)
            .chain(room.nodes_of(chosen));
        let full = |node: &u32| running.of_node.get(node).copied().unwrap_or(0) >= max as usize;
        if let Some(node) = nodes.into_iter().find(full) {
            let name_of = view
                .observation
                .engine
                .as_ref()
                .ok()
                .and_then(|fleet| fleet.nodes.get(node as usize));
            let node = name_of.map_or_else(|| "a node".to_owned(), |node| node.name.to_string());
            return over(format!("movesPerNode: {max} of {name} on {node}"));
        }
    }
    Ok(())
}
