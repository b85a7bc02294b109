//! What is allowed, and is probably not what was meant: thresholds that nothing crosses, windows that leave nothing, slips of units
//! and names. All of it are warnings.

use super::near;
use super::schema;
use super::understand::Understood;
use crate::formats::{duration, quantity};
use crate::model::desired::{Policy, Resource, TierPools};
use crate::model::diagnostic::Diagnostic;
use crate::model::ids::{PolicyName, TierName};
use crate::model::kinds::storage_policy::{SignalSpec, StoragePolicySpec};
use crate::model::kinds::tier_assignment::TierAssignmentSpec;
use crate::model::resources::Resources;
use crate::model::week;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Below that a duration is a slip of its unit: nothing here is looked at more often.
const LEAST: Duration = Duration::from_secs(1);

/// Below that no copy of a volume gets complete.
const LEAST_TIMEOUT: Duration = Duration::from_secs(60);

/// A Monday's first second, and seconds of a week: whether windows leave anything open is seen in any week.
const MONDAY: i64 = 1_767_571_200;
const WEEK_SECS: i64 = 7 * 24 * 3600;

/// Durations that may be as short as they like, by their kinds and pointers; those of lists by the list and the field.
const DURATIONS: [(&str, &str, &str); 8] = [
    ("StoragePolicy", "/spec/cooldownPeriod", ""),
    ("StoragePolicy", "/spec/minVolumeAge", ""),
    ("BackupLocation", "/spec/validationFrequency", ""),
    ("BackupLocation", "/spec/backupSyncPeriod", ""),
    ("BackupPolicy", "/spec/rpo", ""),
    ("BackupPolicy", "/spec/rto", ""),
    ("BackupPolicy", "/spec/schedules", "ttl"),
    ("Rollout", "/spec/phases", "soak"),
];

/// Policies of which it is told one by one that the repository does not make their StorageClass. Where classes are made elsewhere it is
/// so of all of them, and to find the line of each means to read its file again.
const CLASSES_TOLD_MAX: usize = 20;

pub(super) fn check(resources: &Resources, understood: &Understood, diagnostics: &mut Vec<Diagnostic>) {
    let classes = classes(resources);
    // Those too that are wrong in themselves, or whose kind is misspelt: they are told of for that.
    let policies: BTreeSet<&str> = near::meant_as(resources, "StoragePolicy")
        .map(Resource::name)
        .collect();
    let mut unknown: BTreeMap<String, (&Resource, usize)> = BTreeMap::new();
    let mut without_class: Vec<&Resource> = Vec::new();
    for resource in resources.of_our_group() {
        let mut doubts = Doubts {
            resource,
            found: Vec::new(),
        };
        doubts.durations();
        doubts.namespace();
        match resource.kind() {
            "StoragePolicy" => {
                let name = PolicyName(resource.name().to_owned());
                if let Some(policy) = understood.policies.get(&name) {
                    doubts.policy(policy);
                    if !classes.is_empty() && !classes.contains(policy.storage_class.as_str()) {
                        if without_class.len() < CLASSES_TOLD_MAX {
                            doubts.class(policy);
                        }
                        without_class.push(resource);
                    }
                }
            }
            "TierAssignment" => {
                if let Some(policy) = doubts.assignment(understood, &policies) {
                    unknown.entry(policy).or_insert((resource, 0)).1 += 1;
                }
            }
            _ => {}
        }
        diagnostics.extend(doubts.found);
    }
    if let [first, rest @ ..] = without_class.get(CLASSES_TOLD_MAX..).unwrap_or_default() {
        diagnostics.push(Diagnostic::warning(
            first.origin.place(""),
            "reference",
            match rest.len() {
                0 => "this policy watches a StorageClass that this repository does not make".to_owned(),
                more => format!(
                    "this policy and {more} more watch StorageClasses that this repository does not make"
                ),
            },
            "correct the names, or leave them if the classes are made elsewhere",
        ));
    }
    diagnostics.extend(unknown.into_iter().map(|(policy, (first, count))| {
        let others = match count {
            1 => String::new(),
            count => format!(", which {count} assignments name"),
        };
        Diagnostic::warning(
            first.origin.place("/spec/decision/policy"),
            "reference",
            format!("there is no StoragePolicy {}{others}", first.origin.told(&policy)),
            "correct the name, or take `decision` out: it is the assignment of a person then",
        )
    }));
}

/// The StorageClasses that the tree makes, by its tiers or as they are.
fn classes(resources: &Resources) -> BTreeSet<&str> {
    // Those too whose kind or group is misspelt, which is told of.
    let of_tiers = near::meant_as(resources, "StorageTier")
        .filter_map(|tier| tier.value.pointer("/spec/storageClass/name")?.as_str());
    let own = resources.of("storage.k8s.io", "StorageClass");
    of_tiers.chain(own.map(Resource::name)).collect()
}

struct Doubts<'a> {
    resource: &'a Resource,
    found: Vec<Diagnostic>,
}

impl Doubts<'_> {
    fn doubt(&mut self, pointer: &str, rule: &str, message: impl Into<String>, help: impl Into<String>) {
        let place = self.resource.origin.place(pointer);
        self.found.push(Diagnostic::warning(place, rule, message, help));
    }

    /// A namespace means nothing of a kind that the whole cluster shares: the API server drops it without a word, and what was meant for
    /// one namespace holds in all.
    fn namespace(&mut self) {
        if schema::is_cluster_wide(self.resource.kind()) && !self.resource.namespace().is_empty() {
            let kind = self.resource.kind();
            let message = format!("a {kind} is of the whole cluster, and `namespace` has no effect");
            let help = match kind {
                "StoragePolicy" => {
                    "take it out; `storageClassName` and `volumeSelector` say which volumes it is for"
                }
                _ => "take it out",
            };
            self.doubt("/metadata/namespace", "cluster-wide", message, help);
        }
    }

    fn durations(&mut self) {
        let of_kind = DURATIONS
            .iter()
            .filter(|(kind, ..)| *kind == self.resource.kind());
        let short = |value: &Value| {
            let read = value.as_str().and_then(|text| duration::parse(text).ok());
            read.is_some_and(|read| !read.is_zero() && read < LEAST)
        };
        let resource = self.resource;
        let mut tell = |pointer: &str| {
            let name = pointer.rsplit('/').next().unwrap_or_default();
            let message = format!("`{name}` is less than a second");
            let help = "is its unit the one that was meant?";
            self.doubt(pointer, "duration", message, help);
        };
        for (_, pointer, field) in of_kind {
            // No key of these needs the escapes of a JSON pointer, and serde_json takes copies of each to undo them.
            let mut keys = pointer.split('/').skip(1);
            let value = keys.try_fold(&*resource.value, |at, key| at.get(key));
            match (value, field.is_empty()) {
                (Some(Value::Array(items)), false) => {
                    let items = items.iter().enumerate();
                    for (index, _) in items.filter(|(_, item)| item.get(field).is_some_and(short)) {
                        tell(&format!("{pointer}/{index}/{field}"));
                    }
                }
                (Some(value), _) if short(value) => tell(pointer),
                _ => {}
            }
        }
    }

    /// Says that nothing here makes a policy's StorageClass.
    fn class(&mut self, policy: &Policy) {
        let message = format!(
            "this repository makes no StorageClass {}; the policy watches nothing unless the cluster has one",
            self.resource.origin.told(&policy.storage_class)
        );
        let help = "correct the name, or leave it if the class is made elsewhere";
        self.doubt("/spec/storageClassName", "reference", message, help);
    }

    fn policy(&mut self, policy: &Policy) {
        // The spec is read again only where it has any of the fields that `numbers` looks at.
        let has_numbers = |spec: &&Value| {
            let mut fields = ["signals", "notHeatWhen", "budgets"].iter();
            fields.any(|field| spec.get(field).is_some())
        };
        let spec = self.resource.value.get("spec").filter(has_numbers);
        if let Some(spec) = spec.and_then(|spec| StoragePolicySpec::deserialize(spec).ok()) {
            self.numbers(&spec);
        }
        let (from, to) = (MONDAY, MONDAY + WEEK_SECS);
        if let (Ok(first), Ok(last)) = (Timestamp::from_second(from), Timestamp::from_second(to)) {
            let excluded = policy.excluded_windows.iter();
            let parts = excluded.flat_map(|window| window.within(first, last)).collect();
            if week::merged(parts) == [(from, to)] {
                self.doubt(
                    "/spec/excludedWindows",
                    "window",
                    "these windows leave out the whole week: no load is ever counted",
                    "exclude less; a window from and to the same time is 24 hours long",
                );
            }
        }
        if policy.timeout < LEAST_TIMEOUT {
            self.doubt(
                "/spec/migrationTimeout",
                "duration",
                "`migrationTimeout` is shorter than a minute: migrations are rolled back before a copy is complete",
                "write how long the largest volume may take, such as 2h",
            );
        }
    }

    /// Thresholds and budgets, as they are written: in `signals`, `notHeatWhen` and `budgets`.
    fn numbers(&mut self, spec: &StoragePolicySpec) {
        for (list, signals) in [("signals", &spec.signals), ("notHeatWhen", &spec.not_heat_when)] {
            for (index, signal) in signals.iter().enumerate() {
                self.thresholds(&format!("/spec/{list}/{index}"), signal);
            }
        }
        let budget = spec
            .budgets
            .as_ref()
            .and_then(|budgets| budgets.bytes_per_hour.as_deref());
        if budget.and_then(|text| quantity::parse_ceil(text).ok()) == Some(0) {
            self.doubt(
                "/spec/budgets/bytesPerHour",
                "quantity",
                "`bytesPerHour` of 0 does not stop moves: one at a time may start every hour",
                "write `enabled: false` to stop them, or `movesPerHour: 1`",
            );
        }
    }

    fn thresholds(&mut self, pointer: &str, signal: &SignalSpec) {
        let own = signal.query.is_some();
        let ratio = signal.name == "readRatio" && !own;
        for (field, value) in [("above", signal.above), ("below", signal.below)] {
            let Some(value) = value.filter(|_| !own) else {
                continue;
            };
            let at = format!("{pointer}/{field}");
            let (what, help) = match (field, value) {
                (_, value) if ratio && value > 1.0 => (
                    match field {
                        "above" => "no volume is ever at or above this: `readRatio` is 0 to 1",
                        _ => "every volume is always below this: `readRatio` is 0 to 1",
                    },
                    "write a part of one, such as 0.95 for 95 %",
                ),
                ("above", 0.0) => (
                    "every volume is always at or above 0",
                    "write the least value that counts, or take it out",
                ),
                ("below", 0.0) => (
                    "no volume is ever below 0",
                    "write a larger number, or take it out",
                ),
                _ => continue,
            };
            self.doubt(&at, "signal", what, help);
        }
    }

    /// Says what is odd about an assignment, and gives the policy that it names and that is not there.
    fn assignment(&mut self, understood: &Understood, policies: &BTreeSet<&str>) -> Option<String> {
        let spec = TierAssignmentSpec::deserialize(self.resource.value.get("spec")?).ok()?;
        let tier = understood.tiers.get(&TierName(spec.tier.clone()));
        if tier.is_some_and(|tier| tier.pools == TierPools::Local) {
            let message = format!(
                "tier {} is local: no volume can be moved to it",
                self.resource.origin.told(&spec.tier)
            );
            self.doubt(
                "/spec/tier",
                "reference",
                message,
                "name a tier with a poolSelector",
            );
        }
        if spec.volume.is_empty() {
            self.doubt(
                "/spec/volume",
                "value",
                "`volume` is empty: the claim has another one, so nothing is moved",
                "write the name of the claim's PersistentVolume",
            );
        }
        let policy = spec.decision?.policy;
        (!policies.contains(policy.as_str())).then_some(policy)
    }
}
