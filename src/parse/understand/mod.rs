//! Objects as written → as understood: durations, quantities, schedules and references are checked here.

use super::mend::mend;
use super::near;
use super::schema;
use super::source;
use crate::formats::duration;
use crate::model::desired::{Assignment, Policy, Resource, Tier};
use crate::model::diagnostic::{Diagnostic, Severity};
use crate::model::ids::{ClaimRef, PolicyName, TierName, VolumeName};
use crate::model::kinds::policy_source::PolicySourceSpec;
use crate::model::kinds::rollout::RolloutSpec;
use crate::model::kinds::tier_assignment::TierAssignmentSpec;
use crate::model::observation::Pin;
use crate::model::promotions::Promotion;
use crate::model::resources::Resources;
use crate::model::tree::ClearTree;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Backups and phases.
mod backups;

pub use backups::drill_job;

use backups::around::Around;
use backups::schedules::Planned;

/// Storage policies.
mod policies;

/// Promotions of rollouts.
mod promotions;

/// Tiers.
mod tiers;

/// What an object of ours lacks that has no namespace, as it is told.
pub(super) const NAMESPACE: &str = "`metadata.namespace`";

#[derive(Default)]
pub(super) struct Understood {
    pub(super) tiers: BTreeMap<TierName, Tier>,
    pub(super) policies: BTreeMap<PolicyName, Policy>,
    pub(super) assignments: BTreeMap<ClaimRef, Assignment>,
    /// By their files.
    pub(super) promotions: BTreeMap<String, Promotion>,
}

pub(super) fn understand<'a>(
    resources: &'a Resources,
    tree: &'a ClearTree,
    diagnostics: &'a mut Vec<Diagnostic>,
) -> Understood {
    let mut reader = Reader {
        tree,
        diagnostics,
        understood: Understood::default(),
        around: Around::of(resources),
        planned: Vec::new(),
        rollouts: BTreeMap::new(),
        tier_names: near::meant_as(resources, "StorageTier")
            .map(|resource| resource.name().to_owned())
            .collect(),
        rollout_names: near::meant_as(resources, "Rollout").map(Resource::name).collect(),
        lost: Vec::new(),
    };
    let ours = |kind: &str| {
        let all = resources.ours(kind);
        all.filter(|resource| schema::too_large(resource).is_none())
    };
    reader.tiers(ours("StorageTier"));
    for resource in ours("StoragePolicy") {
        reader.lost.clear();
        reader.policy(resource);
    }
    for resource in ours("TierAssignment") {
        reader.lost.clear();
        reader.assignment(resource, tree);
    }
    for resource in ours("BackupLocation") {
        reader.lost.clear();
        reader.location(resource);
    }
    for resource in ours("BackupPolicy") {
        reader.lost.clear();
        reader.backup(resource);
    }
    for resource in resources.of("velero.io", "Schedule") {
        reader.lost.clear();
        reader.raw_schedule(resource);
    }
    reader.schedules_together();
    for resource in resources.of("velero.io", "BackupStorageLocation") {
        reader.lost.clear();
        reader.raw_location(resource);
    }
    for resource in ours("Rollout") {
        reader.lost.clear();
        reader.rollout(resource);
    }
    reader.rollouts_together();
    for resource in ours("RolloutPromotion") {
        reader.lost.clear();
        reader.promotion(resource, tree);
    }
    for resource in ours("PolicySource") {
        reader.lost.clear();
        reader.source(resource);
    }
    reader.understood
}

struct Reader<'a> {
    tree: &'a ClearTree,
    diagnostics: &'a mut Vec<Diagnostic>,
    understood: Understood,
    /// What backups refer to.
    around: Around<'a>,
    /// The Velero Schedules of the policies that were read.
    planned: Vec<Planned<'a>>,
    /// Rollouts that were read, by name.
    rollouts: BTreeMap<&'a str, (&'a Resource, RolloutSpec)>,
    /// Names of all tiers, also of those that are wrong in themselves or whose kind is misspelt.
    tier_names: BTreeSet<String>,
    /// Names of all Rollouts, also of those that are wrong in themselves or whose kind is misspelt.
    rollout_names: BTreeSet<&'a str>,
    /// What the object at hand says wrongly by its schema, by JSON pointers: nothing is said of it again, nor of what rests on it.
    lost: Vec<String>,
}

/// What a finding rests on, beside the place that it names.
fn rests_on<'a>(rule: &str, pointer: &'a str) -> Vec<&'a str> {
    let parent = pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
    match (rule, pointer) {
        ("policy-tiers", _) => vec!["/spec/tiers", "/spec/nvmePoolSelector", "/spec/sataPoolSelector"],
        ("tier-pools", _) => vec!["/spec/poolSelector", "/spec/local"],
        ("tier-overlap", _) => vec!["/spec/poolSelector", "/spec/local", "/spec/rank", pointer],
        ("assignment-path" | "duplicate-object", _) => vec!["/spec/claim"],
        ("watermarks", "/spec/lowWatermarkIOPS" | "/spec/highWatermarkIOPS") => {
            vec!["/spec/lowWatermarkIOPS", "/spec/highWatermarkIOPS"]
        }
        // An object's fields against each other.
        ("signal" | "watermarks", _) => vec![parent],
        (_, "/spec/audit/branch") => vec![pointer, "/spec/branch", "/spec/proposals/branchPrefix"],
        (_, "/spec/proposals/approvals/count") => vec!["/spec/proposals/approvals"],
        (_, "/spec/proposals/approvals") => vec![pointer, "/spec/proposals/forge"],
        (_, "/spec/provider") => vec![pointer, "/spec/secretRef"],
        (_, "/spec/until") => vec![pointer, "/spec/pinned"],
        (_, "/spec/forcePathStyle") => vec![pointer, "/spec/region"],
        ("rpo" | "retention", _) => vec!["/spec/schedules", "/spec/rpo", "/spec/drill", pointer],
        ("drill", _) => vec!["/spec/includedNamespaces", "/spec/rto", pointer],
        ("volume-method", _) => vec!["/spec/volumeRules", "/spec/volumes"],
        _ => vec![pointer],
    }
}

/// Whether one JSON pointer leads to what the other leads to, or into it.
fn within(inner: &str, outer: &str) -> bool {
    inner
        .strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
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
        let lost = |one: &&str| {
            let mut lost = self.lost.iter();
            lost.any(|lost| within(lost, one) || within(one, lost))
        };
        if rests_on(rule, pointer).iter().any(lost) {
            return;
        }
        self.diagnostics.push(Diagnostic::error(
            resource.origin.place(pointer),
            rule,
            message,
            help,
        ));
    }

    /// Says what is allowed, and is probably not meant.
    fn doubt(
        &mut self,
        resource: &Resource,
        pointer: &str,
        rule: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let before = self.diagnostics.len();
        self.wrong(resource, pointer, rule, message, help);
        for told in self.diagnostics.iter_mut().skip(before) {
            told.severity = Severity::Warning;
        }
    }

    /// The spec as its type; what the schema check has said already is not said again, and what is left is looked at all the same.
    fn spec<T: DeserializeOwned>(&mut self, resource: &Resource) -> Option<T> {
        let written = resource.value.get("spec")?;
        if let Ok(spec) = T::deserialize(written) {
            return Some(spec);
        }
        let schema = schema::of_kind(resource.kind())?
            .properties
            .as_ref()?
            .get("spec")?;
        let (mended, lost) = mend(schema, written);
        self.lost = lost;
        let read = serde_json::from_value(mended);
        if read.is_err() && self.whole() {
            // The schema has found nothing, and still it is none: without a word the object would be of no effect.
            let help = format!(
                "correct it; `couchestor schema {}` says what each field takes",
                resource.kind()
            );
            self.wrong(resource, "/spec", "value", "this spec cannot be read", help);
        }
        read.ok()
    }

    /// Whether the object at hand is as it was written: only then others are compared with it.
    fn whole(&self) -> bool {
        self.lost.is_empty()
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
        // One that is no text is told of elsewhere.
        let written = resource.value.pointer("/metadata/namespace");
        if written.is_none_or(|value| value.is_null() || value == "") {
            self.wrong(
                resource,
                "/metadata",
                "missing-field",
                format!("{NAMESPACE} is missing"),
                "write it, or set `namespace` in kustomization.yaml",
            );
        }
    }

    fn source(&mut self, resource: &Resource) {
        let Some(spec) = self.spec::<PolicySourceSpec>(resource) else {
            return;
        };
        let told = |resource: &Resource, wrong: &source::Wrong| {
            let help = hint(
                resource,
                wrong.help.clone(),
                "correct it; `couchestor schema PolicySource` says what each field takes",
            );
            let name = wrong.field.rsplit('.').next().unwrap_or_default();
            (format!("`{name}`: {}", wrong.message), help)
        };
        for wrong in source::check(&spec) {
            let (message, help) = told(resource, &wrong);
            self.wrong(resource, &wrong.pointer(), wrong.rule, message, help);
        }
        for wrong in source::doubts(&spec) {
            let (message, help) = told(resource, &wrong);
            self.doubt(resource, &wrong.pointer(), wrong.rule, message, help);
        }
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
        // What was encrypted is never edited, and no copy of it is made.
        let plain = tree.files.get(&path).filter(|file| !file.secret);
        let text = plain
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
            (Some(until), true) => match Pin::until(until) {
                Some(pin) => Some(pin),
                None => {
                    let help = "write a time such as 2027-01-31T00:00:00Z, in quotes";
                    self.wrong(resource, "/spec/until", "value", "`until` is no time", help);
                    Some(Pin::Unreadable)
                }
            },
        };
        if !self.whole() {
            return;
        }
        let volume = VolumeName(spec.volume);
        self.understood.assignments.insert(
            claim.clone(),
            Assignment {
                claim,
                volume,
                tier,
                pin,
                accept_snapshots_stay: spec.accept_snapshots_stay,
                decision: spec.decision,
                path,
                text,
                secret: resource.origin.secret,
            },
        );
    }
}
