//! Which volumes a policy would move: named filters in order, cheap ones first. Budgets and room come later.

use super::heat::{Direction, Held, Measured, Pointed};
use super::select::Taken;
use super::{NO_PAST, Past, Proposed, View, place, protection};
use crate::model::decision::{Decision, LeftAlone, Subject, Why};
use crate::model::desired::{Assignment, Policy};
use crate::model::glance::Glance;
use crate::model::kinds::policy_source::{ProposalState, ProposedMoveStatus};
use crate::model::masked::noted;
use crate::model::observation::{Backing, BoundVolume, CopyAt, MayastorVolume, Pin, UNKNOWN, Unfit};
use crate::model::policies::Rule;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroI64;

/// A refused move is asked for again only when the signal is this many times further out than when it was refused.
const MATERIAL: f64 = 1.5;

/// A move that a policy wants, before budgets and room.
pub(super) struct Wanted<'a> {
    pub(super) bound: &'a BoundVolume,
    /// Where its reason stands among [`Decision::left_alone`], in case that it stays.
    pub(super) slot: usize,
    pub(super) volume: &'a MayastorVolume,
    /// Bytes of all its copies.
    pub(super) bytes: u64,
    pub(super) policy: &'a Policy,
    /// Its place in order of name.
    pub(super) taker: usize,
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) pointed: Pointed<'a>,
    /// The open proposal of it, if there is one.
    pub(super) open: Option<&'a ProposedMoveStatus>,
    /// The VolumeMigration with which an earlier approval of it was used up.
    pub(super) after: Option<Box<str>>,
}

/// Every volume whose move does not start gets a reason, in order; those that a policy would move get one for the case that they
/// must stay.
pub(super) fn judge<'a>(
    view: &View<'a>,
    left: BTreeMap<usize, LeftAlone<'a>>,
    started: &BTreeSet<usize>,
    spent: &BTreeMap<usize, String>,
    decision: &mut Decision<'a>,
) -> Vec<Wanted<'a>> {
    // A list that grows is copied again and again, and in a turn of a hundred thousand volumes that tells; more than this seldom move.
    let mut wanted = Vec::with_capacity(view.observation.volumes.len() / 4);
    let mut left = left.into_iter().peekable();
    let mut started = started.iter().copied().peekable();
    let reasons = &mut decision.left_alone;
    reasons.reserve_exact(view.observation.volumes.len());
    let volumes = &view.observation.volumes;
    for (index, (bound, glance)) in volumes.iter().zip(volumes.glances()).enumerate() {
        let starts = started.next_if_eq(&index).is_some();
        if let Some((_, left)) = left.next_if(|(left, _)| *left == index) {
            reasons.push(left);
            continue;
        }
        if starts {
            continue;
        }
        let tiers = place::tiers_at_a_glance(glance, bound, &view.pool_tiers);
        let superseded = spent.get(&index);
        if superseded.is_none() && at_a_glance(view, index, (bound, glance), tiers, reasons) {
            continue;
        }
        let (policy, why) = match taker(view, glance.group) {
            Err(why) => (None, why),
            Ok(taker) => {
                let policy = view.policies.all[taker];
                let why = match one(view, index, bound, taker, tiers, superseded.is_some()) {
                    // What was merged and did not happen is what people ask about.
                    Err(why) => superseded.map_or(why, |migration| Why::Superseded {
                        migration: migration.clone(),
                    }),
                    Ok(one) => {
                        wanted.push(Wanted {
                            slot: reasons.len(),
                            after: superseded.map(|migration| migration.as_str().into()),
                            ..one
                        });
                        Why::NotFound
                    }
                };
                (Some(policy), why)
            }
        };
        reasons.push(LeftAlone {
            subject: Subject::Volume(bound),
            policy,
            tier: place::only(tiers).map(|tier| &view.tiers[tier].name),
            why,
        });
    }
    wanted
}

/// Most volumes lie between the thresholds of a plain policy, or on the right tier: they are told without the steps of [`one`], which
/// would say the same, and so are those of which too little is known. Whether it was one of them.
fn at_a_glance<'a>(
    view: &View<'a>,
    index: usize,
    (bound, glance): (&'a BoundVolume, &Glance),
    on_tiers: u64,
    reasons: &mut Vec<LeftAlone<'a>>,
) -> bool {
    let Some(Taken::By(taker)) = view.selected.of_group.get(glance.group as usize) else {
        return false;
    };
    if glance.pinned || view.past_at[index] != NO_PAST {
        return false;
    }
    let taker = *taker as usize;
    let Some((kind, pointed)) = view.policies.of(taker, index) else {
        return false;
    };
    // Only what is in the engine is on a tier.
    let Some(from) = place::only(on_tiers & kind.mask) else {
        return false;
    };
    let subject = Subject::Volume(bound);
    let policy = Some(view.policies.all[taker]);
    let tier = place::only(on_tiers).map(|tier| &view.tiers[tier].name);
    match pointed {
        Err(Why::BetweenWatermarks { signal, value }) => put(reasons, || LeftAlone {
            subject,
            policy,
            tier,
            why: Why::BetweenWatermarks { signal, value },
        }),
        Err(why) => put(reasons, || LeftAlone {
            subject,
            policy,
            tier,
            why,
        }),
        Ok(pointed) => {
            let last = match pointed.direction {
                Direction::Hotter => kind.tiers.last(),
                Direction::Colder => kind.tiers.first(),
            };
            if last != Some(&from) {
                return false;
            }
            put(reasons, || LeftAlone {
                subject,
                policy,
                tier,
                why: Why::OnRightTier {
                    tier: view.tiers[from].name.as_str(),
                },
            });
        }
    }
    true
}

/// Adds a reason that is made in the place where it stays: one that is made first and then pushed is copied once more.
fn put<'a>(reasons: &mut Vec<LeftAlone<'a>>, make: impl FnOnce() -> LeftAlone<'a>) {
    reasons.extend(std::iter::once_with(make));
}

/// The policy that takes the volumes of a group.
pub(super) fn taker(view: &View, group: u32) -> Result<usize, Why<'static>> {
    match view.selected.of_group.get(group as usize) {
        Some(Taken::By(policy)) => Ok(*policy as usize),
        Some(Taken::Several(names)) => Err(Why::ClaimedTwice {
            policies: view.selected.several[*names as usize].clone(),
        }),
        Some(Taken::Nobody) | None => Err(Why::NoPolicy),
    }
}

fn one<'a>(
    view: &View<'a>,
    index: usize,
    bound: &'a BoundVolume,
    taker: usize,
    on_tiers: u64,
    spent: bool,
) -> Result<Wanted<'a>, Why<'a>> {
    let measured = &view.policies.measured(taker);
    let past = view.past(index);
    let rule = measured.rule;
    if !rule.enabled {
        return Err(Why::PolicyDisabled);
    }
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
    kept(view, bound, past)?;
    if let Some(running) = past.and_then(|past| past.running) {
        return Err(Why::InFlight {
            migration: running.name.clone(),
        });
    }
    if let Err(error) = &view.observation.engine {
        return Err(Why::EngineUnknown {
            error: error.as_str().into(),
        });
    }
    let Backing::Mayastor(volume) = &bound.backing else {
        return Err(Why::NotInEngine);
    };
    let Some(ways) = ways(view, measured, past, on_tiers) else {
        return Err(Why::OnNoTier {
            pools: pools_of(view, volume),
        });
    };
    let Ways {
        from,
        hotter,
        colder,
        held,
    } = ways;
    let plainly = (held == Held::default())
        .then(|| view.policies.of(taker, index))
        .flatten();
    let pointed = plainly.map_or_else(|| measured.points(index, held), |(_, pointed)| pointed)?;
    let to = match pointed.direction {
        Direction::Hotter => hotter,
        Direction::Colder => colder,
    };
    let to = to.ok_or_else(|| Why::OnRightTier {
        tier: view.tiers[from].name.as_str(),
    })?;
    old_enough(view, bound, rule)?;
    cooled_down(view, bound, rule)?;
    full_enough(view, volume, rule, (from, to), pointed.direction)?;
    // What is asked for already stays asked for; it does not start before.
    let asked = past.is_some_and(|past| open_proposal(view, past, to).is_some());
    if pointed.direction == Direction::Colder && !asked {
        protection::lets_demote(view, bound)?;
    }
    if let Some(past) = past {
        not_declined(view, bound, past, measured.policy, to, &pointed)?;
        if !spent {
            not_assigned(view, bound, past, to)?;
        }
    }
    if let Some(unfit) = unfit(volume, past.and_then(|past| past.assigned)) {
        return Err(Why::Unfit(unfit));
    }
    if rule.dry_run || view.limits.dry_run {
        return Err(Why::DryRun {
            to: view.names[to].clone(),
        });
    }
    Ok(Wanted {
        bound,
        slot: 0,
        bytes: place::bytes(volume),
        volume,
        policy: measured.policy,
        taker,
        from,
        to,
        pointed,
        open: past.and_then(|past| open_proposal(view, past, to)),
        after: None,
    })
}

/// Where a volume is among the tiers of its policy, where it could go, and what of that is asked for already.
pub(super) struct Ways {
    from: usize,
    hotter: Option<usize>,
    colder: Option<usize>,
    pub(super) held: Held,
}

/// None when its copies are not on one tier of the policy.
pub(super) fn ways<'a>(
    view: &View<'a>,
    measured: &Measured<'a>,
    past: Option<&Past<'a>>,
    on_tiers: u64,
) -> Option<Ways> {
    let from = place::only(on_tiers & measured.kind.mask)?;
    let tiers = &measured.kind.tiers;
    let here = tiers.iter().position(|tier| *tier == from)?;
    let (hotter, colder) = (
        tiers.get(here + 1).copied(),
        here.checked_sub(1).map(|at| tiers[at]),
    );
    let open = |to: Option<usize>| past.and_then(|past| open_proposal(view, past, to?)).is_some();
    Some(Ways {
        from,
        hotter,
        colder,
        held: Held {
            hotter: open(hotter),
            colder: open(colder),
        },
    })
}

/// What speaks against moving a volume, beside what its assignment accepts.
pub(super) fn unfit(volume: &MayastorVolume, assignment: Option<&Assignment>) -> Option<Unfit> {
    let accepts = assignment.is_some_and(|assignment| assignment.accept_snapshots_stay);
    let stays = |unfit: &Unfit| matches!(unfit, Unfit::Snapshots(_) | Unfit::Clone);
    volume.unfit.filter(|unfit| !(accepts && stays(unfit)))
}

/// Whether a person keeps it where it is, by an annotation or by its assignment.
fn kept(view: &View, bound: &BoundVolume, past: Option<&Past>) -> Result<(), Why<'static>> {
    let assigned = || past.and_then(|past| past.assigned);
    let (pin, by_assignment) = match bound.pin {
        Some(pin) => (pin, false),
        None => match assigned().and_then(|assignment| assignment.pin) {
            Some(pin) => (pin, true),
            None => return Ok(()),
        },
    };
    match pin {
        Pin::Always => Err(Why::Kept {
            until: None,
            by_assignment,
        }),
        Pin::Unreadable => Err(Why::KeptUnreadably),
        Pin::Until(until) if until > view.now.as_second() => Err(Why::Kept {
            until: Some(until),
            by_assignment,
        }),
        Pin::Until(_) => Ok(()),
    }
}

fn pools_of(view: &View, volume: &MayastorVolume) -> String {
    let Ok(fleet) = &view.observation.engine else {
        return String::new();
    };
    let named = |copy: &CopyAt| match fleet.pools.get(copy.pool as usize) {
        Some(pool) if copy.pool != UNKNOWN => {
            let labels: Vec<String> = pool
                .labels
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            format!("{} ({})", pool.name, labels.join(", "))
        }
        _ => "a pool that Mayastor does not show".to_owned(),
    };
    let pools: BTreeSet<String> = volume.copies.iter().map(named).collect();
    pools.into_iter().collect::<Vec<_>>().join(", ")
}

fn seconds_left(view: &View, since: Option<NonZeroI64>, needed: i64) -> Option<u64> {
    let passed = view.now.as_second().saturating_sub(since?.get());
    u64::try_from(needed.saturating_sub(passed))
        .ok()
        .filter(|left| *left > 0)
}

fn old_enough(view: &View, bound: &BoundVolume, rule: &Rule) -> Result<(), Why<'static>> {
    match seconds_left(view, bound.created, rule.min_age) {
        Some(seconds_left) => Err(Why::TooYoung { seconds_left }),
        None => Ok(()),
    }
}

fn cooled_down(view: &View, bound: &BoundVolume, rule: &Rule) -> Result<(), Why<'static>> {
    match seconds_left(view, bound.last_migration, rule.cooldown) {
        Some(seconds_left) => Err(Why::CoolingDown { seconds_left }),
        None => Ok(()),
    }
}

fn full_enough(
    view: &View,
    volume: &MayastorVolume,
    rule: &Rule,
    (from, to): (usize, usize),
    direction: Direction,
) -> Result<(), Why<'static>> {
    let percent = |part: f64| (part.clamp(0.0, 9.99) * 100.0).round() as u32;
    match direction {
        Direction::Colder => {
            let (now, needed) = (view.filled[from].part, rule.demote_above);
            match now < needed {
                true => Err(Why::TierHasRoom {
                    tier: view.names[from].clone(),
                    percent: percent(now),
                    needed_percent: percent(needed),
                }),
                false => Ok(()),
            }
        }
        Direction::Hotter => {
            let (after, allowed) = (place::fullness_after(view, to, volume), rule.promote_below);
            match after > allowed {
                true => Err(Why::TierFull {
                    tier: view.names[to].clone(),
                    percent: percent(after),
                    allowed_percent: percent(allowed),
                }),
                false => Ok(()),
            }
        }
    }
}

pub(super) fn open_proposal<'a>(
    view: &View<'a>,
    past: &Past<'a>,
    to: usize,
) -> Option<&'a ProposedMoveStatus> {
    let found = recorded(view, past, to).find(|(proposal, _)| proposal.state.is_asked());
    found.map(|(_, one)| one)
}

/// What was proposed of a volume to a tier, with the proposal that it was part of.
fn recorded<'v, 'a>(
    view: &'v View<'a>,
    past: &'v Past<'a>,
    to: usize,
) -> impl Iterator<Item = Proposed<'a>> + use<'v, 'a> {
    let to = view.tiers[to].name.as_str();
    past.proposed.iter().copied().filter(move |(_, one)| one.to == to)
}

fn not_declined(
    view: &View,
    bound: &BoundVolume,
    past: &Past,
    policy: &Policy,
    to: usize,
    pointed: &Pointed,
) -> Result<(), Why<'static>> {
    let mut refusals = recorded(view, past, to).filter(|(proposal, one)| match proposal.state {
        ProposalState::Declined => !proposal.is_forgotten(view.limits.rejections_expire, view.now),
        ProposalState::Merged if one.accepted => view.desired.reverted.contains(&bound.claim_ref()),
        // It was taken out of the proposal before that was merged.
        ProposalState::Merged => !proposal.is_forgotten(view.limits.rejections_expire, view.now),
        ProposalState::Open | ProposalState::Edited | ProposalState::Withdrawing => false,
    });
    let Some((proposal, refusal)) = refusals.next() else {
        return Ok(());
    };
    let then = refusal.decision.value;
    let same_signal = refusal.decision.signal == noted(policy, pointed.signal);
    let further_out = match pointed.direction {
        Direction::Hotter => pointed.value >= then * MATERIAL,
        Direction::Colder => pointed.value <= then / MATERIAL && then >= idle(pointed.signal),
    };
    if proposal.policy_fingerprint != policy.fingerprint || same_signal && further_out {
        return Ok(());
    }
    Err(Why::Declined {
        branch: proposal.branch.clone(),
    })
}

/// Below that a signal says nothing but that nobody is there: less of it is no other situation.
fn idle(signal: &str) -> f64 {
    match signal {
        "iops" | "throughput" => 1.0,
        _ => f64::MIN_POSITIVE,
    }
}

fn not_assigned(view: &View, bound: &BoundVolume, past: &Past, to: usize) -> Result<(), Why<'static>> {
    let tier = &view.tiers[to].name;
    match past.assigned {
        Some(assignment) if assignment.tier == *tier && *assignment.volume.as_str() == *bound.name => {
            Err(Why::Assigned {
                tier: view.names[to].clone(),
            })
        }
        _ => Ok(()),
    }
}
