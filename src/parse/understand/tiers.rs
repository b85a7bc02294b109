//! StorageTiers as written → as understood, each compared with all others.

use super::{Reader, hint};
use crate::formats::quantity;
use crate::model::desired::{Resource, Tier, TierPools};
use crate::model::ids::TierName;
use crate::model::kinds::storage_tier::{StorageClassTemplate, StorageTierSpec};
use crate::model::secret::MASK;
use std::collections::BTreeMap;

mod local;

/// Tiers of a repository: sets of them are kept as bits, with room for those that policies imply; people have a handful.
const TIERS_MAX: usize = 60;

impl Reader<'_> {
    pub(super) fn tiers<'r>(&mut self, resources: impl Iterator<Item = &'r Resource> + Clone) {
        if let Some(resource) = resources.clone().nth(TIERS_MAX) {
            let message = format!("there are more than {TIERS_MAX} tiers, and none is read");
            self.wrong(resource, "", "value", message, "take some out");
            return;
        }
        for resource in resources {
            self.lost.clear();
            self.tier(resource);
        }
    }

    fn tier(&mut self, resource: &Resource) {
        let Some(spec) = self.spec::<StorageTierSpec>(resource) else {
            return;
        };
        let pools = match (&spec.pool_selector, &spec.local) {
            (Some(selector), None) if !selector.match_labels.is_empty() => {
                Some(TierPools::Mayastor(selector.match_labels.clone()))
            }
            (None, Some(_)) => Some(TierPools::Local),
            (Some(_), None) => {
                self.wrong(
                    resource,
                    "/spec/poolSelector",
                    "value",
                    "an empty selector would take every pool",
                    "give at least one label",
                );
                None
            }
            (selector, _) => {
                self.wrong(
                    resource,
                    "/spec",
                    "tier-pools",
                    "a tier needs exactly one of `poolSelector` and `local`",
                    match selector {
                        Some(_) => "keep one of them",
                        None => "write `poolSelector: {matchLabels: …}` for Mayastor pools, or `local:` for local disks",
                    },
                );
                None
            }
        };
        if let Some(local) = &spec.local {
            self.local(resource, &spec, local);
        }
        if let (Some(TierPools::Mayastor(labels)), Some(class)) = (&pools, &spec.storage_class) {
            self.longhorn(resource, class, labels);
        }
        let pool_reserve = match spec.pool_reserve.as_deref().map(quantity::parse_ceil) {
            None => 0,
            Some(Ok(bytes)) => bytes,
            Some(Err(help)) => {
                let help = hint(resource, help, "write a quantity such as 500M, 10Gi or 1.5Ti");
                self.wrong(
                    resource,
                    "/spec/poolReserve",
                    "quantity",
                    "`poolReserve` is no quantity",
                    help,
                );
                0
            }
        };
        let Some(pools) = pools.filter(|_| self.whole()) else {
            return;
        };
        let name = TierName(resource.name().to_owned());
        let storage_class = spec.storage_class.map(|class| class.name);
        let tier = Tier {
            name: name.clone(),
            rank: spec.rank,
            pools,
            pool_reserve,
            storage_class,
            max_moves: spec.max_concurrent_moves,
            cost_per_gib_month: spec.cost_per_gib_month,
            secret: resource.origin.secret,
        };
        if let Some(other) = self.understood.tiers.values().find(|other| {
            other.rank == tier.rank || other.pools == tier.pools && other.pools != TierPools::Local
        }) {
            let whose = if other.secret { MASK } else { other.name.as_str() };
            let (pointer, what) = match other.rank == tier.rank {
                true => ("/spec/rank", "rank"),
                false => ("/spec/poolSelector", "pools"),
            };
            let message = format!("tier {whose} has the same {what}");
            let help = "give each tier a rank and labels of its own";
            self.wrong(resource, pointer, "tier-overlap", message, help);
        }
        self.understood.tiers.insert(name, tier);
    }

    /// Tags of Longhorn's disks have no values.
    fn longhorn(
        &mut self,
        resource: &Resource,
        class: &StorageClassTemplate,
        labels: &BTreeMap<String, String>,
    ) {
        if class.longhorn.is_none() {
            return;
        }
        if class.mayastor.is_some() {
            self.wrong(
                resource,
                "/spec/storageClass/mayastor",
                "value",
                "a tier is Longhorn's or Mayastor's",
                "keep one of `mayastor` and `longhorn`",
            );
        }
        if labels.values().any(|value| !value.is_empty()) {
            self.wrong(
                resource,
                "/spec/poolSelector/matchLabels",
                "value",
                "tags of Longhorn's disks have no values",
                "write each tag as a key with an empty value, such as `nvme: \"\"`",
            );
        }
    }
}
