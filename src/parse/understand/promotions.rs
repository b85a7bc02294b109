//! Promotions of rollouts: whether each stands in its own file, and names claims.

use super::Reader;
use crate::model::desired::Resource;
use crate::model::ids::ClaimRef;
use crate::model::kinds::rollout_promotion::RolloutPromotionSpec;
use crate::model::promotions::{self, Promotion};
use crate::model::rollouts::fingerprint;
use crate::model::tree::ClearTree;
use std::collections::BTreeSet;

impl Reader<'_> {
    pub(super) fn promotion(&mut self, resource: &Resource, tree: &ClearTree) {
        let Some(spec) = self.spec::<RolloutPromotionSpec>(resource) else {
            return;
        };
        let path = resource.origin.path.to_string();
        let wanted = promotions::path(&tree.assignments, &spec.rollout, &spec.phase);
        if path != wanted {
            let message = match resource.origin.secret {
                true => format!(
                    "a promotion belongs into {}/{}/<rollout>/<phase>.yaml",
                    tree.assignments,
                    promotions::FOLDER
                ),
                false => format!("this promotion belongs into {wanted}"),
            };
            let help = "move the file: that it is there lets the phase be moved, and taking it out has it moved back";
            self.wrong(resource, "", "promotion-path", message, help);
            return;
        }
        self.is_of_a_phase(resource, &spec);
        let mut claims = BTreeSet::new();
        for (index, text) in spec.claims.iter().enumerate() {
            let claim = text
                .split_once('/')
                .filter(|(namespace, name)| super::super::word(namespace) && !name.is_empty());
            let Some((namespace, name)) = claim else {
                let message = format!("{} is no claim", resource.origin.told(text));
                let help = "write namespace/name";
                self.wrong(resource, &format!("/spec/claims/{index}"), "value", message, help);
                continue;
            };
            claims.insert(ClaimRef {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            });
        }
        if !self.whole() {
            return;
        }
        let promotion = Promotion {
            rollout: spec.rollout,
            phase: spec.phase,
            fingerprint: spec.fingerprint,
            claims,
            keep_old_volumes: spec.keep_old_volumes,
            secret: resource.origin.secret,
        };
        self.understood.promotions.insert(path, promotion);
    }

    /// What makes a promotion be of no effect. It is no mistake: who changes a phase has it proposed anew.
    fn is_of_a_phase(&mut self, resource: &Resource, spec: &RolloutPromotionSpec) {
        let told = |text: &str| resource.origin.told(text).to_owned();
        let Some((_, rollout)) = self.rollouts.get(spec.rollout.as_str()) else {
            // One that could not be read is told of for that.
            if !self.rollout_names.contains(spec.rollout.as_str()) {
                let message = format!("this repository has no Rollout {}", told(&spec.rollout));
                let help = "correct the name, or take the file out: without its Rollout a promotion moves nothing, and nothing back";
                self.doubt(resource, "/spec/rollout", "reference", message, help);
            }
            return;
        };
        let Some(phase) = rollout.phases.iter().find(|phase| phase.name == spec.phase) else {
            let message = format!(
                "Rollout {} has no phase {}",
                told(&spec.rollout),
                told(&spec.phase)
            );
            let help = "correct the name, or take the file out";
            self.doubt(resource, "/spec/phase", "reference", message, help);
            return;
        };
        let now = fingerprint(phase.class(rollout), phase);
        let elsewhere = spec.claims.iter().position(|claim| {
            let namespace = claim.split('/').next().unwrap_or_default();
            phase.workloads.iter().all(|one| one.namespace != namespace)
        });
        if now != spec.fingerprint {
            let message = "the phase is not written as it was promoted, so that this has no effect";
            let help = format!(
                "look at the phase, and write `fingerprint: {now:?}` if that is what you want to promote"
            );
            let general = "look at the phase, and write the fingerprint that its Rollout's status has";
            let help = if resource.origin.secret {
                general.to_owned()
            } else {
                help
            };
            self.doubt(resource, "/spec/fingerprint", "promotion", message, help);
        } else if let Some(place) = elsewhere {
            let message =
                "no workload of the phase is in this namespace, so that the promotion has no effect";
            let help = "name all claims of the phase, and no others";
            self.doubt(
                resource,
                &format!("/spec/claims/{place}"),
                "promotion",
                message,
                help,
            );
        }
    }
}
