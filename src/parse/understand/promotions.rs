//! Promotions of rollouts: whether each stands in its own file, and names claims.

use super::Reader;
use crate::model::desired::Resource;
use crate::model::ids::ClaimRef;
use crate::model::kinds::rollout_promotion::RolloutPromotionSpec;
use crate::model::promotions::{self, Promotion};
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
}
