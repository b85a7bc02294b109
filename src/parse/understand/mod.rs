//! Objects as written → as understood: durations, quantities, schedules and references are checked here.

use crate::formats::{duration, quantity};
use crate::model::desired::{Assignment, Policy, Resource, Tier, TierPools};
use crate::model::diagnostic::Diagnostic;
use crate::model::ids::{ClaimRef, PolicyName, TierName, VolumeName};
use crate::model::kinds::GROUP;
use crate::model::kinds::storage_tier::StorageTierSpec;
use crate::model::kinds::tier_assignment::TierAssignmentSpec;
use crate::model::observation::Pin;
use crate::model::secret::MASK;
use crate::model::tree::ClearTree;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Backups and phases.
mod backups;

/// Storage policies.
mod policies;

#[derive(Default)]
pub(super) struct Understood {
    pub(super) tiers: BTreeMap<TierName, Tier>,
    pub(super) policies: BTreeMap<PolicyName, Policy>,
    pub(super) assignments: BTreeMap<ClaimRef, Assignment>,
}

pub(super) fn understand(
    resources: &[Resource],
    tree: &ClearTree,
    diagnostics: &mut Vec<Diagnostic>,
) -> Understood {
    let mut reader = Reader {
        diagnostics,
        understood: Understood::default(),
        locations: backups::locations(resources),
        tier_names: resources
            .iter()
            .filter(|resource| resource.kind() == "StorageTier")
            .map(|resource| resource.name().to_owned())
            .collect(),
        encrypted: resources
            .iter()
            .filter(|resource| resource.origin.secret)
            .map(|resource| resource.name().to_owned())
            .collect(),
    };
    let ours = |kind: &'static str| {
        resources
            .iter()
            .filter(move |resource| resource.kind() == kind && resource.api_version().starts_with(GROUP))
    };
    for resource in ours("StorageTier") {
        reader.tier(resource);
    }
    for resource in ours("StoragePolicy") {
        reader.policy(resource);
    }
    for resource in ours("TierAssignment") {
        reader.assignment(resource, tree);
    }
    for resource in ours("BackupLocation") {
        reader.location(resource);
    }
    for resource in ours("BackupPolicy") {
        reader.backup(resource);
    }
    for resource in ours("Rollout") {
        reader.rollout(resource);
    }
    reader.understood
}

struct Reader<'a> {
    diagnostics: &'a mut Vec<Diagnostic>,
    understood: Understood,
    locations: BTreeSet<(String, String)>,
    /// Names of all tiers, also of those that are wrong in themselves.
    tier_names: BTreeSet<String>,
    /// Names of objects that were encrypted.
    encrypted: BTreeSet<String>,
}

/// What to write instead: a reader's own words quote the text, which is shown of no file that was encrypted.
fn hint(resource: &Resource, own: String, general: &str) -> String {
    match resource.origin.secret {
        true => general.to_owned(),
        false => own,
    }
}

impl Reader<'_> {
    fn wrong(
        &mut self,
        resource: &Resource,
        pointer: &str,
        rule: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.diagnostics.push(Diagnostic::error(
            resource.origin.place(pointer),
            rule,
            message,
            help,
        ));
    }

    /// The spec as its type; what the schema check has said already is not said again.
    fn spec<T: DeserializeOwned>(&mut self, resource: &Resource) -> Option<T> {
        serde_json::from_value(resource.value.get("spec")?.clone()).ok()
    }

    fn duration(&mut self, resource: &Resource, pointer: &str, text: &str) -> Duration {
        match duration::parse(text) {
            Ok(duration) => duration,
            Err(help) => {
                let help = hint(
                    resource,
                    help,
                    "write a Go duration such as 30s, 5m, 1h30m or 720h",
                );
                let name = pointer.rsplit('/').next().unwrap_or_default();
                self.wrong(
                    resource,
                    pointer,
                    "duration",
                    format!("`{name}` is no duration"),
                    help,
                );
                Duration::ZERO
            }
        }
    }

    fn needs_namespace(&mut self, resource: &Resource) {
        if resource.namespace().is_empty() {
            self.wrong(
                resource,
                "/metadata",
                "missing-field",
                "`metadata.namespace` is missing",
                "write it, or set `namespace` in kustomization.yaml",
            );
        }
    }

    fn tier(&mut self, resource: &Resource) {
        let Some(spec) = self.spec::<StorageTierSpec>(resource) else {
            return;
        };
        let pools = match (&spec.pool_selector, &spec.local) {
            (Some(selector), None) if !selector.match_labels.is_empty() => {
                TierPools::Mayastor(selector.match_labels.clone())
            }
            (None, Some(_)) => TierPools::Local,
            (Some(_), None) => {
                self.wrong(
                    resource,
                    "/spec/poolSelector",
                    "value",
                    "an empty selector would take every pool",
                    "give at least one label",
                );
                return;
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
                return;
            }
        };
        if let (TierPools::Local, Some(class)) = (&pools, &spec.storage_class) {
            if class.mayastor.is_some() {
                self.wrong(
                    resource,
                    "/spec/storageClass/mayastor",
                    "value",
                    "a local tier has no Mayastor parameters",
                    "take them out",
                );
            }
            if class.allow_volume_expansion == Some(true) {
                self.wrong(
                    resource,
                    "/spec/storageClass/allowVolumeExpansion",
                    "value",
                    "LocalPV hostpath volumes cannot grow",
                    "take it out",
                );
            }
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
        };
        if let Some(other) = self.understood.tiers.values().find(|other| {
            other.rank == tier.rank || other.pools == tier.pools && other.pools != TierPools::Local
        }) {
            let whose = match self.encrypted.contains(other.name.as_str()) {
                true => MASK,
                false => other.name.as_str(),
            };
            let message = format!("tier {whose} has the same rank or the same pools");
            self.wrong(
                resource,
                "/spec",
                "tier-overlap",
                message,
                "give each tier a rank and labels of its own",
            );
        }
        self.understood.tiers.insert(name, tier);
    }

    fn assignment(&mut self, resource: &Resource, tree: &ClearTree) {
        self.needs_namespace(resource);
        let Some(spec) = self.spec::<TierAssignmentSpec>(resource) else {
            return;
        };
        let tier = TierName(spec.tier.clone());
        if !self.understood.tiers.contains_key(&tier) && !self.tier_names.contains(tier.as_str()) {
            self.wrong(
                resource,
                "/spec/tier",
                "reference",
                format!("there is no tier {}", resource.origin.told(tier.as_str())),
                "correct the name, or add the StorageTier",
            );
        }
        let claim = ClaimRef {
            namespace: resource.namespace().to_owned(),
            name: spec.claim.clone(),
        };
        let path = resource.origin.path.to_string();
        let wanted = format!("{}/{}/{}.yaml", tree.assignments, claim.namespace, claim.name);
        if path != wanted {
            self.wrong(
                resource,
                "",
                "assignment-path",
                match resource.origin.secret {
                    true => format!(
                        "an assignment belongs into {}/<namespace>/<claim>.yaml",
                        tree.assignments
                    ),
                    false => format!("the assignment of {claim} belongs into {wanted}"),
                },
                "move the file: its history is the volume's history",
            );
        }
        if let Some(other) = self.understood.assignments.get(&claim) {
            let claim = claim.to_string();
            let message = format!(
                "{} is assigned twice; also in {}",
                resource.origin.told(&claim),
                other.path
            );
            self.wrong(
                resource,
                "/spec/claim",
                "duplicate-object",
                message,
                "keep one of the two",
            );
            return;
        }
        let text = tree
            .files
            .get(&path)
            .and_then(|file| file.text.expose_str().ok())
            .unwrap_or_default()
            .to_owned();
        let pin = match (&spec.until, spec.pinned) {
            (None, false) => None,
            (None, true) => Some(Pin::Always),
            (Some(_), false) => {
                let help = "write `pinned: true` beside it, or take it out";
                let message = "`until` says until when an assignment is pinned, and this one is not";
                self.wrong(resource, "/spec/until", "value", message, help);
                None
            }
            (Some(until), true) => match until.parse::<Timestamp>() {
                Ok(until) => Some(Pin::Until(until.as_second())),
                Err(_) => {
                    let help = "write a time such as 2027-01-31T00:00:00Z, in quotes";
                    self.wrong(resource, "/spec/until", "value", "`until` is no time", help);
                    Some(Pin::Unreadable)
                }
            },
        };
        let volume = VolumeName(spec.volume);
        self.understood.assignments.insert(
            claim.clone(),
            Assignment {
                claim,
                volume,
                tier,
                pin,
                decision: spec.decision,
                path,
                text,
                secret: resource.origin.secret,
            },
        );
    }
}
