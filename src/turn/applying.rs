//! What is rendered is brought to where it belongs: into the cluster, or as manifests into Git, for somebody else to apply.

use super::delivering::{self, Prepared};
use super::publishing::apply_failure;
use super::{COMPARE_SECS, Source, Turned, World};
use crate::apply::{self, ApplyMemory};
use crate::io::git::Tips;
use crate::model::desired::Desired;
use crate::model::kinds::policy_source::{Inventory, PolicySourceStatus};
use crate::model::observation::Observation;
use crate::model::tree::ClearTree;
use crate::render;
use jiff::Timestamp;

/// What is remembered of it from turn to turn; see [`super::Memory`].
pub(super) struct Kept<'a> {
    pub(super) tree: Option<&'a ClearTree>,
    pub(super) objects: &'a mut ApplyMemory,
    pub(super) delivery: &'a mut Option<Prepared>,
    pub(super) applied: &'a mut bool,
    pub(super) compared: &'a mut Option<Timestamp>,
    pub(super) renders: &'a mut u64,
}

/// Renders and brings what the tip asks for: when tip or spec changed, when asked, and every ten minutes.
pub(super) async fn bring(
    world: &World,
    source: &Source<'_>,
    (desired, observation): (&Desired, &Observation),
    (before, tips): (&PolicySourceStatus, &Tips),
    kept: Kept<'_>,
    now: Timestamp,
    turned: &mut Turned,
) {
    let due = kept
        .compared
        .is_none_or(|at| now.as_second() - at.as_second() >= COMPARE_SECS);
    let full = source.poked || due;
    let moved = |to| {
        let tip = tips.branches.get(to);
        kept.delivery.as_ref().is_none_or(|one| Some(&one.base) != tip)
    };
    let moved = source.delivery.as_ref().is_some_and(|to| moved(&to.branch));
    if *kept.applied && !full && !moved {
        return;
    }
    *kept.renders += 1;
    let objects = render::render(desired);
    let empty = Inventory::default();
    let previous = before.inventory.as_ref().unwrap_or(&empty);
    *kept.compared = Some(now);
    match &source.delivery {
        None => {
            let options = apply::Options {
                prune: source.prune,
                previous,
                classes_in_use: Some(&observation.classes_in_use),
                full,
            };
            let applied = apply::apply(&world.cluster, &objects, options, kept.objects).await;
            turned.failures.extend(applied.failures.iter().map(apply_failure));
            turned.inventory = Some(applied.inventory.clone());
            *kept.applied = applied.failures.is_empty();
            turned.actions = Some(applied);
        }
        Some(to) => {
            let used = &observation.classes_in_use;
            let prepared = delivering::prepare(source, to, (desired, &objects, kept.tree), tips, used).await;
            *kept.applied = prepared.is_ok();
            match prepared {
                Ok(prepared) => *kept.delivery = Some(prepared),
                Err(failure) => turned.failures.push(failure),
            }
            // What was applied until now is whoever's who applies it now.
            if !previous.entries.is_empty() {
                let (left, failures) = apply::hand_over::hand_over(&world.cluster, previous).await;
                turned.failures.extend(failures.iter().map(apply_failure));
                turned.inventory = Some(left);
                if !failures.is_empty() {
                    // The next turn tries again, and not the one in ten minutes.
                    *kept.compared = None;
                }
            }
        }
    }
}
