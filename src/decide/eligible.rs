//! Which volumes a policy would move: named filters in order, then budgets.

use super::View;
use super::place;
use crate::model::decision::{Decision, ProposedMove, Why};
use crate::model::desired::{Policy, Tier};
use crate::model::engine::EngineState;
use crate::model::ids::{ClaimRef, TierName, VolumeName};
use crate::model::kinds::policy_source::{ProposalState, ProposalStatus};
use crate::model::kinds::tier_assignment::DecisionNote;
use crate::model::observation::{BoundVolume, Heat, Provider};
use std::collections::{BTreeMap, BTreeSet};

/// An open proposal stands until the load has gone back this far past its watermark, so that a load that swings
/// around the watermark does not open and withdraw the same branch over and over.
const HOLD: f64 = 0.9;

/// A refused move is asked for again only when the load is this many times further out than when it was refused.
const MATERIAL: f64 = 1.5;

pub(super) fn proposals(view: &View, decision: &mut Decision) {
    let mentioned: BTreeSet<ClaimRef> = decision
        .starts
        .iter()
        .map(|start| start.approved.what().claim.clone())
        .chain(decision.left_alone.iter().map(|left| left.claim.clone()))
        .collect();
    let mut wanted: Vec<(ProposedMove, bool)> = Vec::new();
    let mut volumes: Vec<&BoundVolume> = view.observation.volumes.values().collect();
    volumes.sort_by(|a, b| a.claim.cmp(&b.claim));
    for bound in volumes {
        if mentioned.contains(&bound.claim) {
            continue;
        }
        let policy = match policy_of(view, bound) {
            Ok(policy) => policy,
            Err(why) => {
                decision.left_alone.push(view.leave(bound, None, why));
                continue;
            }
        };
        match wanted_move(view, bound, policy) {
            Ok(proposed) => {
                let open = open_proposal(view, &bound.claim, &bound.name, &proposed.to).is_some();
                wanted.push((proposed, open));
            }
            Err(why) => decision
                .left_alone
                .push(view.leave(bound, Some(policy.name.as_str()), why)),
        }
    }
    budget(view, wanted, decision);
}

/// The policy that takes a claim: the only enabled one, or one that is switched off if that is all there is.
fn policy_of<'a>(view: &View<'a>, bound: &BoundVolume) -> Result<&'a Policy, Why> {
    let takes = |policy: &&Policy| {
        policy.storage_class == bound.storage_class
            && policy
                .claim_labels
                .iter()
                .all(|(key, value)| bound.claim_labels.get(key) == Some(value))
    };
    let matching: Vec<&Policy> = view.desired.policies.values().filter(takes).collect();
    let enabled: Vec<&Policy> = matching.iter().copied().filter(|policy| policy.enabled).collect();
    match (enabled.as_slice(), matching.first()) {
        ([one], _) => Ok(one),
        ([], Some(one)) => Ok(one),
        ([], None) => Err(Why::NoPolicy),
        (several, _) => Err(Why::ClaimedTwice {
            policies: several
                .iter()
                .map(|policy| policy.name.as_str())
                .collect::<Vec<_>>()
                .join(", "),
        }),
    }
}

fn wanted_move(view: &View, bound: &BoundVolume, policy: &Policy) -> Result<ProposedMove, Why> {
    if !policy.enabled {
        return Err(Why::PolicyDisabled);
    }
    match &bound.provider {
        Provider::Mayastor(_) => {}
        Provider::Local => {
            return Err(Why::NotMovable {
                provider: "LocalPV".to_owned(),
            });
        }
        Provider::Other(driver) => {
            return Err(Why::NotMovable {
                provider: driver.clone(),
            });
        }
    }
    if let Some(running) = view
        .in_flight
        .migrations
        .iter()
        .find(|migration| migration.volume == bound.name && !migration.phase.is_final())
    {
        return Err(Why::InFlight {
            migration: running.name.clone(),
        });
    }
    let engine = view
        .observation
        .engine
        .as_ref()
        .map_err(|error| Why::EngineUnknown { error: error.clone() })?;
    let volume = place::engine_volume(bound, engine).ok_or(Why::NotInEngine)?;
    let tiers: Vec<&Tier> = policy
        .tiers
        .iter()
        .filter_map(|name| view.desired.tiers.get(name))
        .collect();
    let from = place::tier_of(volume, engine, tiers.iter().copied()).ok_or_else(|| Why::OnNoTier {
        pools: pools_of(volume, engine),
    })?;
    let heat = heat(view, bound, policy)?;
    let (to, watermark) = direction(view, bound, policy, &tiers, &from, heat)?;
    let tier = view.desired.tiers.get(&to).ok_or(Why::NotFound)?;
    cooled_down(view, bound, policy)?;
    let note = note(view, bound, policy, &from, &to, heat, watermark);
    not_declined(view, bound, policy, &to, heat)?;
    not_failed(view, bound, &to)?;
    if let Some(why) = place::unfit(volume) {
        return Err(why);
    }
    let candidates = place::candidates(volume, engine, tier)?;
    if policy.dry_run || view.limits.dry_run {
        return Err(Why::DryRun { to });
    }
    Ok(ProposedMove {
        claim: bound.claim.clone(),
        volume: bound.name.clone(),
        policy: policy.name.clone(),
        from,
        to,
        note,
        candidates,
        bytes: volume.size.saturating_mul(u64::from(volume.num_replicas)),
    })
}

fn pools_of(volume: &crate::model::engine::Volume, engine: &EngineState) -> String {
    let pools: BTreeSet<String> = volume
        .replicas
        .iter()
        .map(|replica| {
            let labels = engine.pools.get(&replica.pool).map(|pool| &pool.labels);
            let labels: Vec<String> = labels
                .into_iter()
                .flatten()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            format!("{} ({})", replica.pool, labels.join(", "))
        })
        .collect();
    pools.into_iter().collect::<Vec<_>>().join(", ")
}

fn heat(view: &View, bound: &BoundVolume, policy: &Policy) -> Result<Heat, Why> {
    let table = view
        .observation
        .heat
        .get(&policy.window_text)
        .ok_or_else(|| Why::HeatUnknown {
            error: "nothing was asked for this window".to_owned(),
        })?;
    let table = table
        .as_ref()
        .map_err(|error| Why::HeatUnknown { error: error.clone() })?;
    let heat = table.get(&bound.name).copied().ok_or(Why::NoData)?;
    if !heat.iops.is_finite() || !heat.coverage.is_finite() {
        return Err(Why::NoData);
    }
    if heat.coverage < policy.min_coverage {
        return Err(Why::LowCoverage {
            percent: percent(heat.coverage),
            needed_percent: percent(policy.min_coverage),
        });
    }
    Ok(heat)
}

fn percent(part: f64) -> u32 {
    // Rounded down, so that 74.9 % never reads as the 75 % that would have been enough.
    (part.clamp(0.0, 1.0) * 100.0) as u32
}

/// One step towards the hotter or the colder neighbour, with the watermark that was crossed.
fn direction(
    view: &View,
    bound: &BoundVolume,
    policy: &Policy,
    tiers: &[&Tier],
    from: &TierName,
    heat: Heat,
) -> Result<(TierName, f64), Why> {
    let here = tiers
        .iter()
        .position(|tier| tier.name == *from)
        .ok_or(Why::NotFound)?;
    let hotter = tiers.get(here + 1).map(|tier| tier.name.clone());
    let colder = here.checked_sub(1).map(|index| tiers[index].name.clone());
    let held = |to: &Option<TierName>| {
        to.as_ref()
            .is_some_and(|to| open_proposal(view, &bound.claim, &bound.name, to).is_some())
    };
    let high = policy.high_watermark * if held(&hotter) { HOLD } else { 1.0 };
    let low = policy.low_watermark / if held(&colder) { HOLD } else { 1.0 };
    let right = || Why::OnRightTier { tier: from.clone() };
    if heat.iops >= high {
        Ok((hotter.ok_or_else(right)?, policy.high_watermark))
    } else if heat.iops < low {
        Ok((colder.ok_or_else(right)?, policy.low_watermark))
    } else {
        Err(Why::BetweenWatermarks { iops: heat.iops })
    }
}

fn cooled_down(view: &View, bound: &BoundVolume, policy: &Policy) -> Result<(), Why> {
    let Some(last) = bound.last_migration else {
        return Ok(());
    };
    let rested = view.now.as_second().saturating_sub(last.as_second());
    let needed = i64::try_from(policy.cooldown.as_secs()).unwrap_or(i64::MAX);
    match u64::try_from(needed.saturating_sub(rested)) {
        Ok(seconds_left) if seconds_left > 0 => Err(Why::CoolingDown { seconds_left }),
        _ => Ok(()),
    }
}

fn open_proposal<'a>(
    view: &View<'a>,
    claim: &ClaimRef,
    volume: &VolumeName,
    to: &TierName,
) -> Option<&'a ProposalStatus> {
    recorded(view, claim, volume, to)
        .find(|proposal| matches!(proposal.state, ProposalState::Open | ProposalState::Edited))
}

fn recorded<'a>(
    view: &View<'a>,
    claim: &ClaimRef,
    volume: &VolumeName,
    to: &TierName,
) -> impl Iterator<Item = &'a ProposalStatus> {
    view.in_flight.proposals.iter().filter(move |proposal| {
        proposal.namespace == claim.namespace
            && proposal.claim == claim.name
            && proposal.volume == volume.as_str()
            && proposal.to == to.as_str()
    })
}

/// The figures of an open proposal stay as they were proposed: a reviewer's text does not change under their eyes.
fn note(
    view: &View,
    bound: &BoundVolume,
    policy: &Policy,
    from: &TierName,
    to: &TierName,
    heat: Heat,
    watermark: f64,
) -> DecisionNote {
    let fresh = DecisionNote {
        policy: policy.name.to_string(),
        from: from.to_string(),
        signal: "iops".to_owned(),
        value: heat.iops.round(),
        watermark,
        window: policy.window_text.clone(),
    };
    match open_proposal(view, &bound.claim, &bound.name, to) {
        Some(open) => {
            let same = DecisionNote {
                value: fresh.value,
                ..open.decision.clone()
            };
            if same == fresh {
                open.decision.clone()
            } else {
                fresh
            }
        }
        None => fresh,
    }
}

fn not_declined(
    view: &View,
    bound: &BoundVolume,
    policy: &Policy,
    to: &TierName,
    heat: Heat,
) -> Result<(), Why> {
    let reverted = view.desired.reverted.contains(&bound.claim);
    let refusal = recorded(view, &bound.claim, &bound.name, to).find(|proposal| match proposal.state {
        ProposalState::Declined => true,
        ProposalState::Merged => reverted,
        ProposalState::Open | ProposalState::Edited => false,
    });
    let Some(refusal) = refusal else { return Ok(()) };
    let then = refusal.decision.value;
    let further_out = if heat.iops >= policy.high_watermark {
        heat.iops >= then * MATERIAL
    } else {
        heat.iops <= then / MATERIAL && then >= 1.0
    };
    if refusal.policy_fingerprint != policy.fingerprint || further_out {
        return Ok(());
    }
    Err(Why::Declined {
        branch: refusal.branch.clone(),
    })
}

fn not_failed(view: &View, bound: &BoundVolume, to: &TierName) -> Result<(), Why> {
    let Some(assignment) = view.desired.assignments.get(&bound.claim) else {
        return Ok(());
    };
    if assignment.tier != *to || assignment.volume != bound.name {
        return Ok(());
    }
    Err(Why::Assigned { tier: to.clone() })
}

/// Keeps what is proposed already, then admits new proposals in order of claim while budgets last.
fn budget(view: &View, mut wanted: Vec<(ProposedMove, bool)>, decision: &mut Decision) {
    wanted.sort_by(|(a, a_open), (b, b_open)| b_open.cmp(a_open).then(a.claim.cmp(&b.claim)));
    let mut of_policy: BTreeMap<String, u32> = BTreeMap::new();
    for migration in view
        .in_flight
        .migrations
        .iter()
        .filter(|migration| !migration.phase.is_final())
    {
        if let Some(policy) = &migration.policy {
            *of_policy.entry(policy.clone()).or_default() += 1;
        }
    }
    for start in &decision.starts {
        if let Some(policy) = &start.approved.what().policy {
            *of_policy.entry(policy.clone()).or_default() += 1;
        }
    }
    for (proposed, open) in wanted {
        let used = of_policy.entry(proposed.policy.to_string()).or_default();
        let allowed = view
            .desired
            .policies
            .get(&proposed.policy)
            .map_or(0, |policy| policy.max_concurrent);
        let budget = if !open && decision.proposals.len() >= view.limits.max_open as usize {
            Some(format!(
                "the source's proposals.maxOpen of {}",
                view.limits.max_open
            ))
        } else if !open && *used >= allowed {
            Some(format!(
                "maxConcurrentMigrations: {allowed} of {}",
                proposed.policy
            ))
        } else {
            None
        };
        match budget {
            None => {
                *used += 1;
                decision.proposals.push(proposed);
            }
            Some(budget) => {
                if let Some(bound) = view.observation.volumes.get(&proposed.volume) {
                    decision.left_alone.push(view.leave(
                        bound,
                        Some(proposed.policy.as_str()),
                        Why::OverBudget { budget },
                    ));
                }
            }
        }
    }
    decision.proposals.sort_by(|a, b| a.claim.cmp(&b.claim));
}
