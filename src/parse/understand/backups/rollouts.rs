//! Rollouts: whether a phase could ever open. A gate that can never hold would be found out when somebody waits for it.

use super::super::Reader;
use super::drills::is_backed_up;
use crate::formats::duration;
use crate::model::desired::Resource;
use crate::model::kinds::backup::{BackupPolicySpec, drilled_namespaces};
use crate::model::kinds::rollout::{BackupGate, Gate, MetricGate, RolloutPhase, RolloutSpec};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::time::Duration;

/// What is asked of phases beside their gates.
mod phases;

/// Phases of a rollout: people write a handful.
const PHASES_MAX: usize = 20;

/// Gates of a phase.
const GATES_MAX: usize = 20;

/// Bytes of a phase's name: it becomes a part of names of objects and branches.
const NAME_BYTES_MAX: usize = 63;

/// The shortest time in which pods can end, a volume be made and anything be copied.
const COPY_MIN: Duration = Duration::from_secs(600);

/// What is said of a gate that is wrong: the field, the rule, what is wrong and what to do.
type Wrong = (&'static str, &'static str, String, &'static str);

impl<'a> Reader<'a> {
    pub(in crate::parse::understand) fn rollout(&mut self, resource: &'a Resource) {
        let Some(spec) = self.spec::<RolloutSpec>(resource) else {
            return;
        };
        if spec.phases.len() > PHASES_MAX {
            let message = format!("a rollout has at most {PHASES_MAX} phases");
            self.wrong(resource, "", "value", message, "join some of them");
            return;
        }
        if let Some(copy) = &spec.copy {
            self.duration(resource, "/spec/copy/timeout", &copy.timeout);
            if duration::parse(&copy.timeout).is_ok_and(|allowed| allowed < COPY_MIN) {
                let message = "workloads are not moved within so short a time";
                let help = "write 10m or more: a move that takes longer is taken back";
                self.wrong(resource, "/spec/copy/timeout", "value", message, help);
            }
            self.image(resource, "/spec/copy/image", &copy.image);
        }
        self.classes_of(resource, &spec);
        let mut names = BTreeSet::new();
        for (index, phase) in spec.phases.iter().enumerate() {
            let pointer = format!("/spec/phases/{index}");
            if phase.name.is_empty() || !names.insert(&phase.name) {
                let message = "two phases have this name, or it is empty";
                let help = "name each differently: what a phase has proved is remembered by its name";
                self.wrong(resource, &format!("{pointer}/name"), "name", message, help);
            }
            let fits = phase.name.len() <= NAME_BYTES_MAX && super::super::super::word(&phase.name);
            if !(fits || phase.name.is_empty()) {
                let message = format!("{} is no name of a phase", resource.origin.told(&phase.name));
                let help = "write lower case letters, digits and -, at most 63 of them: the phase's promotion is a file of that name";
                self.wrong(resource, &format!("{pointer}/name"), "name", message, help);
            }
            if let Some(soak) = &phase.soak {
                self.duration(resource, &format!("{pointer}/soak"), soak);
            }
            if phase.workloads.is_empty() {
                let message = "this phase has no workloads, so that it is never done";
                let help = "name the namespaces of its workloads";
                self.wrong(
                    resource,
                    &format!("{pointer}/workloads"),
                    "missing-field",
                    message,
                    help,
                );
            }
            if phase.gates.len() > GATES_MAX {
                let message = format!("a phase has at most {GATES_MAX} gates");
                self.wrong(
                    resource,
                    &format!("{pointer}/gates"),
                    "value",
                    message,
                    "take some out",
                );
                continue;
            }
            self.opens(resource, phase, &pointer, index + 1 == spec.phases.len());
            self.databases_of(resource, phase, &pointer);
            for (index, gate) in phase.gates.iter().enumerate() {
                self.gate(resource, phase, gate, &format!("{pointer}/gates/{index}"));
            }
        }
        if self.whole() {
            self.rollouts.insert(resource.name(), (resource, spec));
        }
    }

    fn gate(&mut self, resource: &Resource, phase: &RolloutPhase, gate: &Gate, pointer: &str) {
        let backups = [
            ("coverage", &gate.coverage),
            ("rpo", &gate.rpo),
            ("drill", &gate.drill),
            ("rto", &gate.rto),
        ];
        let asked = backups.iter().filter(|(_, one)| one.is_some()).count();
        if asked + usize::from(gate.metric.is_some()) != 1 {
            let message = "a gate asks for exactly one thing";
            let help =
                "write one of `coverage`, `rpo`, `drill`, `rto` and `metric`, each as a gate of its own";
            self.wrong(resource, pointer, "gate", message, help);
            return;
        }
        for (word, one) in backups {
            let Some(one) = one else { continue };
            let pointer = format!("{pointer}/{word}");
            if let Some(within) = &one.within {
                self.duration(resource, &format!("{pointer}/within"), within);
            }
            match self.backup_gate(resource, phase, word, one) {
                Some((field, rule, message, help)) => {
                    self.wrong(resource, &format!("{pointer}{field}"), rule, message, help);
                }
                None => {
                    self.left_to_databases(resource, (phase, one), &pointer);
                    self.lasts(resource, (phase, word, one), &pointer);
                }
            }
        }
        if let Some(metric) = &gate.metric {
            self.metric(resource, metric, &format!("{pointer}/metric"));
        }
    }

    fn backup_gate(
        &self,
        resource: &Resource,
        phase: &RolloutPhase,
        word: &str,
        gate: &BackupGate,
    ) -> Option<Wrong> {
        let key = (gate.namespace.as_str(), gate.policy.as_str());
        let Some(policy) = self.around.policies.get(&key) else {
            if self.around.is_misspelt("BackupPolicy", key.0, key.1) {
                return None;
            }
            let message = format!(
                "this repository has no BackupPolicy {} in namespace {}",
                resource.origin.told(&gate.policy),
                resource.origin.told(&gate.namespace)
            );
            let help = "correct the name, or give the policy's `namespace`";
            return Some(("/policy", "reference", message, help));
        };
        // What is wrong with the policy itself is told there.
        let spec = BackupPolicySpec::deserialize(policy.value.get("spec")?).ok()?;
        if !spec.uploads() {
            let message = "this policy backs up no data of volumes, so that the gate never holds".to_owned();
            let help = "name a policy that does, or give this one another `volumes` than `none`";
            return Some(("/policy", "gate", message, help));
        }
        let unheld = phase
            .workloads
            .iter()
            .find(|one| !is_backed_up(&spec, &one.namespace));
        if let Some(one) = unheld {
            let message = format!(
                "no backup of this policy holds namespace {}, so that the gate never holds",
                resource.origin.told(&one.namespace)
            );
            let help = "name a policy that backs up the namespaces of the phase's workloads";
            return Some(("/policy", "gate", message, help));
        }
        let promises = |promise: &Option<String>, name: &str| {
            let lacks = promise.is_none() && gate.within.is_none();
            lacks.then(|| {
                let message = format!("the policy promises no `{name}`, so that the gate never holds");
                (
                    "/policy",
                    "gate",
                    message,
                    "add it to the policy, or write `within`",
                )
            })
        };
        match word {
            "coverage" if gate.within.is_some() => {
                let message = "`within` means nothing of a coverage gate".to_owned();
                Some((
                    "/within",
                    "gate",
                    message,
                    "an `rpo` gate says how old the backup may be",
                ))
            }
            "rpo" => promises(&spec.rpo, "rpo"),
            "rto" => self
                .drills(resource, phase, &spec)
                .or_else(|| promises(&spec.rto, "rto")),
            "drill" => self.drills(resource, phase, &spec),
            _ => None,
        }
    }

    /// Whether the policy drills the namespaces of a phase.
    fn drills(&self, resource: &Resource, phase: &RolloutPhase, spec: &BackupPolicySpec) -> Option<Wrong> {
        let Some(drill) = &spec.drill else {
            let message = "the policy asks for no drills, so that the gate never holds".to_owned();
            return Some(("/policy", "gate", message, "add `drill` to the policy"));
        };
        let drilled = drilled_namespaces(spec, drill);
        let lacks = phase
            .workloads
            .iter()
            .find(|one| !drilled.contains(&one.namespace.as_str()))?;
        let message = format!(
            "no drill of this policy restores namespace {}, so that the gate never holds",
            resource.origin.told(&lacks.namespace)
        );
        Some((
            "/policy",
            "gate",
            message,
            "add it to the policy's `drill.namespaces`",
        ))
    }

    fn metric(&mut self, resource: &Resource, gate: &MetricGate, pointer: &str) {
        if gate.query.trim().is_empty() {
            let help = "write PromQL with exactly one value, such as `count(ALERTS{alertstate=\"firing\"}) or vector(0)`";
            self.wrong(
                resource,
                &format!("{pointer}/query"),
                "value",
                "this query asks for nothing",
                help,
            );
        }
        let bound = |one: Option<f64>| one.is_some_and(f64::is_finite);
        let wrong = match (gate.above, gate.below) {
            (above, below) if !bound(above) && !bound(below) => "this gate has no bound",
            (Some(above), Some(below)) if above >= below => "no value is above `above` and below `below`",
            _ => return,
        };
        let help = "write `above`, `below` or both, so that a value can lie between them";
        self.wrong(resource, pointer, "gate", wrong, help);
    }
}
