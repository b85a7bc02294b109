//! Which approved moves start now.

use super::View;
use super::place;
use crate::model::approval::{Approved, Move};
use crate::model::decision::{Decision, LeftAlone, Start, Why};
use crate::model::ids::{PolicyName, TierName};
use crate::model::kinds::volume_migration::Phase;
use crate::model::observation::Provider;

/// How long a migration may take when no policy says it: the seed's default.
const DEFAULT_TIMEOUT_SECS: u64 = 30 * 60;

pub(super) fn starts(view: &View, decision: &mut Decision) {
    let mut running = view
        .in_flight
        .migrations
        .iter()
        .filter(|migration| !migration.phase.is_final())
        .count();
    for approved in &view.desired.approved {
        match start(view, approved, running) {
            Ok(None) => {}
            Ok(Some(start)) => {
                running += 1;
                decision.starts.push(start);
            }
            Err(why) => {
                let what = approved.what();
                decision.left_alone.push(LeftAlone {
                    claim: what.claim.clone(),
                    volume: what.volume.clone(),
                    policy: what.policy.clone().map(PolicyName),
                    tier: view.placed.get(&what.claim).cloned(),
                    why,
                });
            }
        }
    }
}

/// `None` means that the volume is where it belongs.
fn start(view: &View, approved: &Approved<Move>, running: usize) -> Result<Option<Start>, Why> {
    let what = approved.what();
    let bound = view
        .observation
        .volumes
        .values()
        .find(|bound| bound.claim == what.claim)
        .ok_or(Why::NotFound)?;
    if bound.name != what.volume {
        return Err(Why::OtherVolume {
            assigned: what.volume.clone(),
        });
    }
    if let Provider::Local = bound.provider {
        return Err(Why::NotMovable {
            provider: "LocalPV".to_owned(),
        });
    }
    if let Provider::Other(driver) = &bound.provider {
        return Err(Why::NotMovable {
            provider: driver.clone(),
        });
    }
    let engine = view
        .observation
        .engine
        .as_ref()
        .map_err(|error| Why::EngineUnknown { error: error.clone() })?;
    let volume = place::engine_volume(bound, engine).ok_or(Why::NotInEngine)?;
    let tier = view.desired.tiers.get(&what.to).ok_or_else(|| Why::NoPool {
        tier: what.to.clone(),
        excluded: vec!["the tier does not exist".to_owned()],
    })?;
    if let Some(running) = view
        .in_flight
        .migrations
        .iter()
        .find(|migration| migration.volume == what.volume && !migration.phase.is_final())
    {
        return Err(Why::InFlight {
            migration: running.name.clone(),
        });
    }
    if view.placed.get(&what.claim) == Some(&what.to) {
        return Ok(None);
    }
    let same = view.in_flight.migrations.iter().find(|migration| {
        migration.volume == what.volume
            && migration.to == what.to
            && migration.approved_in == approved.approval().commit
    });
    match same {
        Some(done) if done.phase == Phase::Completed => {
            return Err(Why::Drifted {
                migration: done.name.clone(),
            });
        }
        Some(failed) => {
            return Err(Why::FailedBefore {
                migration: failed.name.clone(),
            });
        }
        None => {}
    }
    if let Some(why) = place::unfit(volume) {
        return Err(why);
    }
    place::candidates(volume, engine, tier)?;
    let policy = what
        .policy
        .as_ref()
        .and_then(|name| view.desired.policies.get(&PolicyName(name.clone())));
    within_budgets(view, what, running)?;
    if view.limits.dry_run {
        return Err(Why::DryRun { to: what.to.clone() });
    }
    Ok(Some(Start {
        approved: approved.clone(),
        from: view
            .placed
            .get(&what.claim)
            .cloned()
            .unwrap_or_else(|| TierName("mixed".to_owned())),
        timeout_secs: policy.map_or(DEFAULT_TIMEOUT_SECS, |policy| policy.timeout.as_secs()),
    }))
}

fn within_budgets(view: &View, what: &Move, running: usize) -> Result<(), Why> {
    if running >= view.limits.max_concurrent as usize {
        return Err(Why::OverBudget {
            budget: format!(
                "the controller's --max-concurrent-migrations of {}",
                view.limits.max_concurrent
            ),
        });
    }
    let Some(policy) = what
        .policy
        .as_ref()
        .and_then(|name| view.desired.policies.get(&PolicyName(name.clone())))
    else {
        return Ok(());
    };
    let of_policy = view
        .in_flight
        .migrations
        .iter()
        .filter(|migration| {
            !migration.phase.is_final() && migration.policy.as_deref() == Some(policy.name.as_str())
        })
        .count();
    if of_policy >= policy.max_concurrent as usize {
        return Err(Why::OverBudget {
            budget: format!(
                "maxConcurrentMigrations: {} of {}",
                policy.max_concurrent, policy.name
            ),
        });
    }
    Ok(())
}
