//! Objects as written → as understood: durations, quantities, schedules and references are checked here.

use crate::formats::duration;
use crate::model::desired::{Assignment, Policy, Resource, Tier, TierPools};
use crate::model::diagnostic::Diagnostic;
use crate::model::ids::{ClaimRef, PolicyName, TierName, VolumeName};
use crate::model::kinds::GROUP;
use crate::model::kinds::LabelSelector;
use crate::model::kinds::storage_policy::StoragePolicySpec;
use crate::model::kinds::tier_assignment::TierAssignmentSpec;
use crate::model::tree::ClearTree;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Names of the tiers that a policy's two selectors imply.
const IMPLIED: [(&str, i32); 2] = [("hot", 100), ("cold", 0)];

/// Backups and phases.
mod backups;

/// Tiers.
mod tiers;

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
            .filter(|resource| super::schema::too_large(resource).is_none())
    };
    reader.tiers(ours("StorageTier"));
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

    fn policy(&mut self, resource: &Resource) {
        let Some(spec) = self.spec::<StoragePolicySpec>(resource) else {
            return;
        };
        if spec.low_watermark_iops >= spec.high_watermark_iops {
            self.wrong(
                resource,
                "/spec/lowWatermarkIOPS",
                "watermarks",
                "`lowWatermarkIOPS` must be below `highWatermarkIOPS`",
                "keep them well apart, or volumes move to and fro",
            );
        }
        let window = self.duration(resource, "/spec/samplingWindow", &spec.sampling_window);
        let readable = duration::parse(&spec.sampling_window).is_ok();
        if readable && window < Duration::from_secs(60) {
            self.wrong(
                resource,
                "/spec/samplingWindow",
                "duration",
                "`samplingWindow` is shorter than a minute",
                "use at least four scrape intervals, such as 5m",
            );
        }
        let cooldown = self.duration(resource, "/spec/cooldownPeriod", &spec.cooldown_period);
        let timeout = self.duration(resource, "/spec/migrationTimeout", &spec.migration_timeout);
        let tiers = self.tiers_of(resource, &spec);
        let name = PolicyName(resource.name().to_owned());
        let fingerprint = resource
            .value
            .get("spec")
            .map(|spec| hash(&spec.to_string()))
            .unwrap_or_default();
        let labels = spec
            .volume_selector
            .map(|selector| selector.match_labels)
            .unwrap_or_default();
        self.understood.policies.insert(
            name.clone(),
            Policy {
                name,
                storage_class: spec.storage_class_name,
                claim_labels: labels,
                high_watermark: spec.high_watermark_iops as f64,
                low_watermark: spec.low_watermark_iops as f64,
                window_text: spec.sampling_window,
                window,
                min_coverage: f64::from(spec.min_coverage_percent) / 100.0,
                cooldown,
                tiers,
                max_concurrent: spec.max_concurrent_migrations,
                timeout,
                enabled: spec.enabled,
                dry_run: spec.dry_run,
                fingerprint,
            },
        );
    }

    /// The policy's tiers from the coldest to the hottest.
    fn tiers_of(&mut self, resource: &Resource, spec: &StoragePolicySpec) -> Vec<TierName> {
        match (&spec.tiers, &spec.nvme_pool_selector, &spec.sata_pool_selector) {
            (Some(names), None, None) => {
                let mut tiers: Vec<(i32, TierName)> = Vec::new();
                for (index, name) in names.iter().enumerate() {
                    match self.understood.tiers.get(&TierName(name.clone())) {
                        Some(Tier {
                            pools: TierPools::Local,
                            ..
                        }) => {
                            self.wrong(
                                resource,
                                &format!("/spec/tiers/{index}"),
                                "reference",
                                format!(
                                    "tier {} is local: no volume can be moved to or from it",
                                    resource.origin.told(name)
                                ),
                                "name tiers with a poolSelector",
                            );
                        }
                        Some(_) if names[..index].contains(name) => self.wrong(
                            resource,
                            &format!("/spec/tiers/{index}"),
                            "value",
                            "this tier is named twice",
                            "keep one of the two",
                        ),
                        Some(tier) => tiers.push((tier.rank, tier.name.clone())),
                        None if self.tier_names.contains(name) => {}
                        None => self.wrong(
                            resource,
                            &format!("/spec/tiers/{index}"),
                            "reference",
                            format!("there is no StorageTier {}", resource.origin.told(name)),
                            "correct the name, or add the tier",
                        ),
                    }
                }
                if names.len() < 2 {
                    self.wrong(
                        resource,
                        "/spec/tiers",
                        "value",
                        "a policy needs at least two tiers",
                        "add one",
                    );
                }
                tiers.sort();
                tiers.into_iter().map(|(_, name)| name).collect()
            }
            (None, Some(nvme), Some(sata)) => {
                let hot = self.implied(resource, "/spec/nvmePoolSelector", nvme, IMPLIED[0]);
                let cold = self.implied(resource, "/spec/sataPoolSelector", sata, IMPLIED[1]);
                vec![cold, hot]
            }
            _ => {
                self.wrong(
                    resource,
                    "/spec",
                    "policy-tiers",
                    "a policy needs either `tiers`, or both `nvmePoolSelector` and `sataPoolSelector`",
                    "keep one of the two ways",
                );
                Vec::new()
            }
        }
    }

    /// The StorageTier with these labels, or a tier that exists for this policy's sake only.
    fn implied(
        &mut self,
        resource: &Resource,
        pointer: &str,
        selector: &LabelSelector,
        (name, rank): (&str, i32),
    ) -> TierName {
        let pools = TierPools::Mayastor(selector.match_labels.clone());
        if let Some(tier) = self.understood.tiers.values().find(|tier| tier.pools == pools) {
            return tier.name.clone();
        }
        let name = TierName(name.to_owned());
        if selector.match_labels.is_empty() {
            self.wrong(
                resource,
                pointer,
                "value",
                "an empty selector would take every pool",
                "give at least one label",
            );
        } else if self.understood.tiers.contains_key(&name) {
            self.wrong(
                resource,
                pointer,
                "tier-overlap",
                format!("a tier called {name} with other labels is there already"),
                "use `tiers:` and name the StorageTiers",
            );
        } else {
            self.understood.tiers.insert(
                name.clone(),
                Tier {
                    name: name.clone(),
                    rank,
                    pools,
                    pool_reserve: 0,
                    storage_class: None,
                },
            );
        }
        name
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
        let volume = VolumeName(spec.volume);
        self.understood.assignments.insert(
            claim.clone(),
            Assignment {
                claim,
                volume,
                tier,
                decision: spec.decision,
                path,
                text,
                secret: resource.origin.secret,
            },
        );
    }
}

fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes())[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
