//! Phases against each other, against the databases that they move, and what opens them.

use super::super::super::Reader;
use crate::model::desired::Resource;
use crate::model::kinds::backup::{BackupPolicySpec, RuleMethod, VolumeMethod};
use crate::model::kinds::rollout::{BackupGate, PhaseMethod, RolloutPhase, RolloutSpec, WorkloadSelector};
use crate::model::secret::MASK;
use serde::Deserialize;
use serde_json::Value;

/// The label of a claim of CloudNativePG with the name of its Cluster, and that with what it holds.
const CLUSTER: &str = "cnpg.io/cluster";
const ROLE: &str = "cnpg.io/pvcRole";

/// Whether there may be claims that both choose.
fn may_meet(one: &WorkloadSelector, other: &WorkloadSelector) -> bool {
    let (Some(a), Some(b)) = (&one.selector, &other.selector) else {
        return one.namespace == other.namespace;
    };
    let differs = |(key, value): (&String, &String)| b.match_labels.get(key).is_some_and(|own| own != value);
    one.namespace == other.namespace && !a.match_labels.iter().any(differs)
}

impl Reader<'_> {
    /// A claim is on one class only: of two phases that want it on different ones the earlier falls back when the later moves it, and that
    /// one waits again.
    pub(super) fn shared_claims(&mut self, resource: &Resource, spec: &RolloutSpec) {
        for (later, phase) in spec.phases.iter().enumerate() {
            let earlier = spec.phases[..later].iter().find(|earlier| {
                let pairs = earlier.workloads.iter();
                let mut pairs = pairs.flat_map(|one| phase.workloads.iter().map(move |other| (one, other)));
                earlier.class(spec) != phase.class(spec) && pairs.any(|(one, other)| may_meet(one, other))
            });
            if let Some(earlier) = earlier {
                let message = format!(
                    "phase {} has claims of this one, and moves them onto another class: one of the two is never done",
                    resource.origin.told(&earlier.name)
                );
                let help =
                    "choose the claims by labels, so that each belongs to phases with one `storageClassName`";
                let pointer = format!("/spec/phases/{later}/workloads");
                self.wrong(resource, &pointer, "phase", message, help);
            }
        }
    }

    /// A phase that asks for nothing is allowed, and seldom meant.
    pub(super) fn opens(&mut self, resource: &Resource, phase: &RolloutPhase, pointer: &str, last: bool) {
        let moves = phase.method != Some(PhaseMethod::New);
        let (bare, hasty) = (moves && phase.gates.is_empty(), !last && phase.soak.is_none());
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

    /// What CloudNativePG's operator could not do. Of a Cluster that is not in the tree nothing is known.
    pub(super) fn databases_of(&mut self, resource: &Resource, phase: &RolloutPhase, pointer: &str) {
        if phase.method != Some(PhaseMethod::Cnpg) {
            return;
        }
        let taken = |cluster: &&&Resource| {
            phase.workloads.iter().any(|one| {
                let name = one
                    .selector
                    .as_ref()
                    .and_then(|all| all.match_labels.get(CLUSTER));
                one.namespace == cluster.namespace() && name.is_none_or(|name| name == cluster.name())
            })
        };
        // It is one unless it is written.
        let instances = |one: &Resource| {
            one.value
                .pointer("/spec/instances")
                .map_or(Some(1), Value::as_i64)
        };
        let mut of_phase = self.around.clusters.iter().filter(taken);
        if let Some(cluster) = of_phase.find(|one| instances(one).is_some_and(|count| count < 2)) {
            let name = match cluster.origin.secret || resource.origin.secret {
                true => MASK,
                false => cluster.name(),
            };
            let message =
                format!("Cluster {name} has one instance, and a Cluster without a replica is not moved");
            let help = "give it `instances: 2` or more for the time of the move";
            self.wrong(resource, &format!("{pointer}/method"), "phase", message, help);
        }
    }

    /// Of volumes that Velero leaves to CloudNativePG its backups and drills prove nothing.
    pub(super) fn left_to_databases(
        &mut self,
        resource: &Resource,
        (phase, gate): (&RolloutPhase, &BackupGate),
        pointer: &str,
    ) {
        let key = (gate.namespace.as_str(), gate.policy.as_str());
        let policy = self
            .around
            .policies
            .get(&key)
            .and_then(|one| one.value.get("spec"));
        let spec = policy.and_then(|spec| BackupPolicySpec::deserialize(spec).ok());
        let is_left = spec.is_some_and(|spec| ["PG_DATA", "PG_WAL"].iter().all(|role| leaves(&spec, role)));
        if phase.method == Some(PhaseMethod::Cnpg) && is_left {
            let message = "the policy leaves the volumes of CloudNativePG out, so that this gate proves nothing of them and does not hold";
            let help = "ask for what backs them up, such as `metric: {query: time() - max(barman_cloud_cloudnative_pg_io_last_available_backup_timestamp{…}), …}`";
            self.doubt(resource, pointer, "gate", message, help);
        }
    }
}

/// Whether a policy leaves out the claims of CloudNativePG that hold this, whatever their class.
fn leaves(spec: &BackupPolicySpec, role: &str) -> bool {
    let takes = spec.volume_rules.iter().find(|rule| {
        let mut labels = rule.claim_labels.iter();
        labels.all(|(key, value)| key == ROLE && value == role)
    });
    match takes {
        Some(rule) => rule.method == RuleMethod::Skip && rule.storage_classes.is_empty(),
        None => spec.volume_policy.is_none() && spec.volumes == VolumeMethod::None,
    }
}
