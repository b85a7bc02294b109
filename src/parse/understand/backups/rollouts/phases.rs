//! Phases against each other, against the databases that they move, and what opens them.

use super::super::super::{Reader, hint};
use super::super::schedules::{PAIRS, from, time_between};
use super::super::volumes::leaves;
use crate::formats::{cron, duration};
use crate::model::desired::Resource;
use crate::model::kinds::backup::BackupPolicySpec;
use crate::model::kinds::rollout::{BackupGate, PhaseMethod, RolloutPhase, RolloutSpec, WorkloadSelector};
use crate::model::secret::MASK;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;

/// The label of a claim of CloudNativePG with the name of its Cluster, and that with what it holds.
const CLUSTER: &str = "cnpg.io/cluster";

/// Whether there may be claims that both choose.
fn may_meet(one: &WorkloadSelector, other: &WorkloadSelector) -> bool {
    let (Some(a), Some(b)) = (&one.selector, &other.selector) else {
        return one.namespace == other.namespace;
    };
    let differs = |(key, value): (&String, &String)| b.match_labels.get(key).is_some_and(|own| own != value);
    one.namespace == other.namespace && !a.match_labels.iter().any(differs)
}

/// A phase of a rollout, and some of its workloads.
#[derive(Clone, Copy)]
struct Wants<'r> {
    resource: &'r Resource,
    phase: &'r RolloutPhase,
    place: usize,
    class: &'r str,
    one: &'r WorkloadSelector,
}

impl Reader<'_> {
    /// The classes onto which volumes move.
    pub(super) fn classes_of(&mut self, resource: &Resource, spec: &RolloutSpec) {
        let own = spec.phases.iter().zip(0..).filter_map(|(phase, place)| {
            let pointer = format!("/spec/phases/{place}/storageClassName");
            Some((pointer, phase.storage_class_name.as_deref()?))
        });
        let whole = (
            "/spec/storageClassName".to_owned(),
            spec.storage_class_name.as_str(),
        );
        for (pointer, name) in std::iter::once(whole).chain(own) {
            let classes = &self.around.classes;
            if name.trim().is_empty() {
                let help = "name the StorageClass onto which the volumes move";
                self.wrong(resource, &pointer, "value", "no class is named", help);
            } else if !classes.is_empty() && !classes.iter().any(|class| class.name == name) {
                let told = resource.origin.told(name);
                let message = format!("this repository makes no StorageClass {told}");
                let help = "correct the name, or leave it if the class is made elsewhere";
                self.doubt(resource, &pointer, "reference", message, help);
            }
        }
    }

    /// A claim is on one class only: of two phases that want it on different ones the earlier falls back when the later moves it, and that
    /// one waits again.
    pub(in crate::parse::understand) fn rollouts_together(&mut self) {
        self.lost.clear();
        let rollouts = std::mem::take(&mut self.rollouts);
        let all = rollouts.values().flat_map(|(resource, spec)| {
            let phases = spec.phases.iter().enumerate();
            phases.flat_map(move |(place, phase)| {
                let class = phase.class(spec);
                phase.workloads.iter().map(move |one| Wants {
                    resource,
                    phase,
                    place,
                    class,
                    one,
                })
            })
        });
        let all: Vec<Wants> = all.collect();
        let pairs = all
            .iter()
            .enumerate()
            .flat_map(|(index, later)| all[..index].iter().map(move |earlier| (earlier, later)));
        let mut told: BTreeSet<(&str, usize)> = BTreeSet::new();
        let at_odds = |(a, b): &(&Wants, &Wants)| a.class != b.class && may_meet(a.one, b.one);
        for (earlier, later) in pairs.take(PAIRS).filter(at_odds) {
            // Of one phase it is told once.
            if !told.insert((later.resource.name(), later.place)) {
                continue;
            }
            let secret = earlier.resource.origin.secret || later.resource.origin.secret;
            let name = match secret {
                true => MASK.to_owned(),
                false if earlier.resource.name() == later.resource.name() => earlier.phase.name.clone(),
                false => format!("{} of Rollout {}", earlier.phase.name, earlier.resource.name()),
            };
            let message = format!(
                "phase {name} has claims of this one, and moves them onto another class: one of the two is never done"
            );
            let help =
                "choose the claims by labels, so that each belongs to phases with one `storageClassName`";
            let pointer = format!("/spec/phases/{}/workloads", later.place);
            self.wrong(later.resource, &pointer, "phase", message, help);
        }
        self.rollouts = rollouts;
    }

    /// A gate that holds neither from one backup or drill to the next nor for as long as a soak: the phase is never done.
    pub(super) fn lasts(
        &mut self,
        resource: &Resource,
        (phase, word, gate): (&RolloutPhase, &str, &BackupGate),
        pointer: &str,
    ) {
        let read = |text: Option<&String>| text.and_then(|text| duration::parse(text).ok());
        let Some(within) = read(gate.within.as_ref()) else {
            return;
        };
        let gap = self.policy_of(gate).and_then(|spec| match word {
            "rpo" => time_between(&spec),
            "drill" => cron::parse(&spec.drill?.schedule)
                .ok()?
                .gaps(from())
                .map(|gaps| gaps.longest),
            _ => None,
        });
        let soak = read(phase.soak.as_ref()).unwrap_or_default();
        let Some(gap) = gap.filter(|gap| within < *gap && within <= soak) else {
            return;
        };
        let message =
            "this holds neither from one to the next nor for as long as `soak`: the phase is never done";
        let general = "write more than `soak`, or the longest time between two and the time that one takes";
        let help = format!("up to {} pass between two: {general}", duration::format(gap));
        let help = hint(resource, help, general);
        self.doubt(resource, &format!("{pointer}/within"), "gate", message, help);
    }

    /// The policy that a gate asks.
    fn policy_of(&self, gate: &BackupGate) -> Option<BackupPolicySpec> {
        let key = (gate.namespace.as_str(), gate.policy.as_str());
        let policy = self.around.policies.get(&key)?;
        BackupPolicySpec::deserialize(policy.value.get("spec")?).ok()
    }

    /// A phase that asks for nothing is allowed, and seldom meant.
    pub(super) fn opens(&mut self, resource: &Resource, phase: &RolloutPhase, pointer: &str, last: bool) {
        let moves = phase.method != Some(PhaseMethod::New);
        let soak = phase.soak.as_deref().map(duration::parse);
        let soaks = soak.is_some_and(|soak| soak.is_ok_and(|soak| !soak.is_zero()));
        let (bare, hasty) = (moves && phase.gates.is_empty(), !last && !soaks);
        let (message, help) = match (bare, hasty) {
            (false, false) => return,
            (true, true) => (
                "this phase asks for nothing before its workloads move, nor before the next phase opens",
                "add `gates`, such as `- coverage: {policy: …}` and `- drill: {policy: …}`, and `soak: 168h`",
            ),
            (true, false) => (
                "this phase asks for nothing before its workloads move",
                "add `gates`, such as `- coverage: {policy: …}` and `- drill: {policy: …}`",
            ),
            (false, true) => (
                "the next phase opens as soon as this one's claims are on the class and its gates hold",
                "write for how long all of it has to hold before: `soak: 168h`",
            ),
        };
        self.doubt(resource, pointer, "phase", message, help);
    }

    /// What CloudNativePG's operator could not do, or nobody but it. Of Clusters that are not in the tree nothing is known.
    pub(super) fn databases_of(&mut self, resource: &Resource, phase: &RolloutPhase, pointer: &str) {
        let named = |one: &WorkloadSelector| {
            let selector = one.selector.as_ref()?;
            selector.match_labels.get(CLUSTER).cloned()
        };
        let taken = |cluster: &&&Resource| {
            phase.workloads.iter().any(|one| {
                one.namespace == cluster.namespace() && named(one).is_none_or(|name| name == cluster.name())
            })
        };
        let of_phase: Vec<&Resource> = self.around.clusters.iter().filter(taken).copied().collect();
        let told = |cluster: &Resource| match cluster.origin.secret || resource.origin.secret {
            true => MASK.to_owned(),
            false => cluster.name().to_owned(),
        };
        let method = phase.method.unwrap_or_default();
        // It is one unless it is written.
        let instances = |one: &Resource| {
            one.value
                .pointer("/spec/instances")
                .map_or(Some(1), Value::as_i64)
        };
        let alone = of_phase
            .iter()
            .find(|one| instances(one).is_some_and(|count| count < 2));
        if let Some(cluster) = alone.filter(|_| method == PhaseMethod::Cnpg) {
            let name = told(cluster);
            let message =
                format!("Cluster {name} has one instance, and a Cluster without a replica is not moved");
            let help = "give it `instances: 2` or more for the time of the move";
            self.wrong(resource, &format!("{pointer}/method"), "phase", message, help);
        }
        let chosen = phase.workloads.iter().find_map(named);
        if method == PhaseMethod::Copy && (chosen.is_some() || !of_phase.is_empty()) {
            let message = "claims of this phase are CloudNativePG's, and nothing but its operator moves them";
            let help = "write `method: cnpg`, in a phase of their own";
            self.doubt(resource, pointer, "phase", message, help);
        }
        for (place, one) in phase.workloads.iter().enumerate() {
            let Some(name) = named(one) else { continue };
            let mut here = self
                .around
                .clusters
                .iter()
                .filter(|cluster| cluster.namespace() == one.namespace);
            if here.clone().next().is_some() && !here.any(|cluster| cluster.name() == name) {
                let told = resource.origin.told(&name);
                let message = format!("this repository has no Cluster {told} in that namespace, and others");
                let help = "correct the name, or leave it if the Cluster is made elsewhere";
                let pointer = format!("{pointer}/workloads/{place}/selector");
                self.doubt(resource, &pointer, "reference", message, help);
            }
        }
    }

    /// Of volumes that Velero leaves to CloudNativePG its backups and drills prove nothing.
    pub(super) fn left_to_databases(
        &mut self,
        resource: &Resource,
        (phase, gate): (&RolloutPhase, &BackupGate),
        pointer: &str,
    ) {
        let spec = self.policy_of(gate);
        let is_left = spec.is_some_and(|spec| ["PG_DATA", "PG_WAL"].iter().all(|role| leaves(&spec, role)));
        if phase.method == Some(PhaseMethod::Cnpg) && is_left {
            let message = "the policy leaves the volumes of CloudNativePG out, so that this gate proves nothing of them and does not hold";
            let help = "ask for what backs them up, such as `metric: {query: time() - max(barman_cloud_cloudnative_pg_io_last_available_backup_timestamp{…}), …}`";
            self.doubt(resource, pointer, "gate", message, help);
        }
    }
}
