//! Which phase of a rollout is open, what holds of its gates, and what it waits for.
//!
//! Pure. Gates fail closed: what cannot be known does not hold. A phase opens only while everything that the phases before it have proved
//! holds now; that it has soaked is remembered, and a break later does not make it soak again.

use crate::formats::duration;
use crate::model::backups::PolicyKey;
use crate::model::coverage::{BackupReading, PolicyReport};
use crate::model::desired::Desired;
use crate::model::ids::ClaimRef;
use crate::model::kinds::backup::BackupPolicySpec;
use crate::model::kinds::rollout::{
    BackupGate, Gate, GateStatus, MetricGate, PhaseState, PhaseStatus, RolloutPhase, RolloutSpec,
    RolloutStatus, WorkloadSelector,
};
use crate::model::kinds::workload_move::MOVE_LABEL;
use crate::model::observation::Observation;
use crate::model::promotions::Candidate;
use crate::model::pull_request::cut;
use crate::model::rollouts::{Report, fingerprint};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroI64;

/// What backups prove.
mod backed;

use backed::{covers, drilled, fresh, needs};

#[cfg(test)]
mod tests;

/// Claims that a message names.
const NAMED_MAX: usize = 3;

/// What a gate says, in letters: four hundred of them may stand in one status.
const MESSAGE_LETTERS_MAX: usize = 400;

/// What a rollout is judged by.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    /// What Git asks for.
    pub desired: &'a Desired,
    /// What was seen of volumes and figures.
    pub observation: &'a Observation,
    /// What is known of backups.
    pub backups: Option<&'a BackupReading>,
    /// Now.
    pub now: Timestamp,
}

/// What has to be read for a repository's rollouts; nothing where it has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Figures that their gates ask Prometheus for.
    pub figures: BTreeSet<String>,
    /// Namespaces of their workloads.
    pub namespaces: BTreeSet<String>,
}

/// What has to be read.
pub fn asked(desired: &Desired) -> Asked {
    let all = desired.ours::<RolloutSpec>("Rollout");
    let mut asked = Asked::default();
    for phase in all.flat_map(|(_, spec)| spec.phases) {
        let metrics = phase.gates.into_iter().filter_map(|gate| gate.metric);
        asked.figures.extend(metrics.map(|metric| metric.query));
        let workloads = phase.workloads.into_iter();
        asked.namespaces.extend(workloads.map(|one| one.namespace));
    }
    asked
}

/// Judges every rollout of a repository. `before` is what the statuses of their objects say, by name.
pub fn judge(seen: &Seen, before: &BTreeMap<String, RolloutStatus>) -> Vec<Report> {
    let policies = seen.desired.ours::<BackupPolicySpec>("BackupPolicy");
    let policies: BTreeMap<(&str, &str), (BackupPolicySpec, bool)> = policies
        .map(|(resource, spec)| {
            let key = (resource.namespace(), resource.name());
            (key, (spec, resource.origin.secret))
        })
        .collect();
    let rollouts = seen.desired.ours::<RolloutSpec>("Rollout");
    let none = RolloutStatus::default();
    let judged = rollouts.map(|(resource, spec)| {
        let before = before.get(resource.name()).unwrap_or(&none);
        let judging = Judging {
            seen,
            policies: &policies,
            spec: &spec,
            secret: resource.origin.secret,
        };
        // All volumes are looked through for each.
        let claims: Vec<Claims> = spec.phases.iter().map(|phase| judging.claims(phase)).collect();
        let phases = judging.phases(&spec.phases, &claims, &before.phases);
        let judged = spec.phases.iter().zip(claims).zip(&phases);
        let candidates = judged
            .map(|((phase, claims), judged)| judging.candidate(phase, claims, judged.fingerprint.clone()));
        Report {
            name: resource.name().to_owned(),
            class: spec.storage_class_name.clone(),
            secret: resource.origin.secret,
            candidates: candidates.collect(),
            phases,
            copy: spec.copy.clone().unwrap_or_default(),
        }
    });
    judged.collect()
}

struct Judging<'a> {
    seen: &'a Seen<'a>,
    /// BackupPolicies by namespace and name, and whether they were encrypted.
    policies: &'a BTreeMap<(&'a str, &'a str), (BackupPolicySpec, bool)>,
    spec: &'a RolloutSpec,
    secret: bool,
}

/// A claim of a phase.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// It has no volume yet.
    Unbound,
    /// It has one.
    Bound {
        /// Whether that is of the phase's class.
        on_class: bool,
        /// When it was made, in seconds since the epoch. A claim that is made anew is not the one that an older backup holds.
        made: Option<i64>,
    },
}

impl Claim {
    fn is_placed(self) -> bool {
        matches!(self, Self::Bound { on_class: true, .. })
    }
}

/// The claims of a phase.
type Claims = BTreeMap<ClaimRef, Claim>;

/// A backup policy that a gate asks about.
struct Backed<'a> {
    spec: &'a BackupPolicySpec,
    report: &'a PolicyReport,
    /// Whether figures of it may be told.
    told: bool,
}

impl Judging<'_> {
    fn phases(&self, phases: &[RolloutPhase], claims: &[Claims], before: &[PhaseStatus]) -> Vec<PhaseStatus> {
        let mut all: Vec<PhaseStatus> = Vec::with_capacity(phases.len());
        // The first phase that keeps the others waiting.
        let mut waits: Option<String> = None;
        for (phase, claims) in phases.iter().zip(claims) {
            let fingerprint = fingerprint(phase.class(self.spec), phase);
            let known = before
                .iter()
                .find(|one| one.name == phase.name && one.fingerprint == fingerprint);
            let judged = self.phase(phase, claims, known, waits.as_deref(), fingerprint);
            let lacks = judged.state != PhaseState::Done || !judged.waits_for.is_empty();
            if lacks && waits.is_none() {
                waits = Some(match judged.state {
                    PhaseState::Done => format!("phase {}: {}", judged.name, judged.waits_for),
                    _ => format!("phase {}", judged.name),
                });
            }
            all.push(judged);
        }
        all
    }

    fn phase(
        &self,
        phase: &RolloutPhase,
        claims: &Claims,
        known: Option<&PhaseStatus>,
        waits: Option<&str>,
        fingerprint: String,
    ) -> PhaseStatus {
        let placed = claims.values().filter(|claim| claim.is_placed()).count();
        let gates: Vec<GateStatus> = phase
            .gates
            .iter()
            .map(|gate| self.gate(gate, claims, claims))
            .collect();
        let mut lacks = Vec::new();
        match (placed, claims.len()) {
            (_, 0) => lacks.push("its workloads have no claim".to_owned()),
            (placed, all) if placed < all => {
                let elsewhere = claims.iter().filter(|(_, claim)| !claim.is_placed());
                let names = named(elsewhere.map(|(claim, _)| claim.to_string()), all - placed);
                lacks.push(format!("{names} on {}", phase.class(self.spec)));
            }
            _ => {}
        }
        let failing = gates.iter().filter(|gate| !gate.holds);
        lacks.extend(failing.map(|gate| format!("{}: {}", gate.gate, gate.message)));
        let done_at = known.and_then(|known| known.done_at.clone());
        let mut status = PhaseStatus {
            name: phase.name.clone(),
            claims: u32::try_from(claims.len()).unwrap_or(u32::MAX),
            placed: u32::try_from(placed).unwrap_or(u32::MAX),
            gates,
            fingerprint,
            ..PhaseStatus::default()
        };
        if let Some(done_at) = done_at {
            status.state = PhaseState::Done;
            status.held_since = known.and_then(|known| known.held_since.clone());
            status.done_at = Some(done_at);
            status.waits_for = joined(&lacks);
            return status;
        }
        if let Some(waits) = waits {
            status.waits_for = waits.to_owned();
            return status;
        }
        if !lacks.is_empty() {
            status.state = PhaseState::Open;
            status.waits_for = joined(&lacks);
            return status;
        }
        let now = self.seen.now;
        let since = known.and_then(|known| known.held_since.as_ref()?.parse::<Timestamp>().ok());
        // A clock that went back proves nothing.
        let since = since.filter(|since| *since <= now).unwrap_or(now);
        let soak = phase.soak.as_deref().map_or(0, seconds);
        let until = i64::try_from(soak)
            .ok()
            .and_then(|soak| since.as_second().checked_add(soak));
        status.held_since = Some(since.to_string());
        if until.is_none_or(|until| now.as_second() < until) {
            status.state = PhaseState::Soaking;
            let until = until.and_then(|until| Timestamp::from_second(until).ok());
            status.waits_for = match until.filter(|_| !self.secret) {
                Some(until) => format!("all of it holds, and must until {until}"),
                None => "all of it holds, and must for longer".to_owned(),
            };
        } else {
            status.state = PhaseState::Done;
            status.done_at = Some(now.to_string());
        }
        status
    }

    /// What the phase's promotion is decided by. A backup of what has just been moved comes with the night, and nothing that is still to
    /// be moved waits for it: so gates are asked about the claims that are elsewhere.
    fn candidate(&self, phase: &RolloutPhase, all: Claims, fingerprint: String) -> Candidate {
        let mut claims = all.clone();
        claims.retain(|_, claim| !claim.is_placed());
        let gates = phase.gates.iter();
        Candidate {
            class: phase.class(self.spec).to_owned(),
            fingerprint,
            method: phase.method.unwrap_or_default(),
            elsewhere: claims.keys().cloned().collect(),
            gates: gates.map(|gate| self.gate(gate, &claims, &all)).collect(),
            claims: all.into_keys().collect(),
        }
    }

    /// The claims of a phase's workloads, in order.
    fn claims(&self, phase: &RolloutPhase) -> Claims {
        let observation = self.seen.observation;
        let mut all = Claims::new();
        for volume in observation.volumes.iter() {
            let group = observation.group(volume);
            let label = |key: &str| group.and_then(|group| group.label(key));
            if takes(phase, &volume.namespace, label) {
                let class = group.map(|group| &*group.storage_class);
                let claim = Claim::Bound {
                    on_class: class == Some(phase.class(self.spec)),
                    made: volume.created.map(NonZeroI64::get),
                };
                all.insert(volume.claim_ref(), claim);
            }
        }
        for one in &observation.unbound {
            let label = |key: &str| one.labels.get(key).map(String::as_str);
            if takes(phase, &one.claim.namespace, label) {
                all.insert(one.claim.clone(), Claim::Unbound);
            }
        }
        all
    }

    /// What holds of a gate for these claims of a phase, which has `all` of them.
    fn gate(&self, gate: &Gate, claims: &Claims, all: &Claims) -> GateStatus {
        let backed = |one| {
            self.backed(one)
                .and_then(|backed| needs(&backed, all).map(|()| backed))
        };
        let (gate, found) = if let Some(one) = &gate.coverage {
            let found = backed(one).and_then(|backed| covers(&backed, claims));
            (named_gate("coverage", one), found)
        } else if let Some(one) = &gate.rpo {
            let found = backed(one).and_then(|backed| fresh(&backed, claims, one, self.seen.now));
            (named_gate("rpo", one), found)
        } else if let Some(one) = &gate.drill {
            let within = one.within.as_deref();
            let found = backed(one).and_then(|backed| drilled(&backed, claims, within, None, self.seen.now));
            (named_gate("drill", one), found)
        } else if let Some(one) = &gate.rto {
            let found = backed(one).and_then(|backed| {
                let rto = one.within.as_deref().or(backed.spec.rto.as_deref());
                let rto = rto.ok_or_else(|| "the policy promises no rto".to_owned())?;
                drilled(&backed, claims, None, Some(rto), self.seen.now)
            });
            (named_gate("rto", one), found)
        } else if let Some(one) = &gate.metric {
            (format!("metric {}", one.name), self.figure(one))
        } else {
            ("gate".to_owned(), Err("it asks for nothing".to_owned()))
        };
        let (holds, message) = match found {
            Ok(message) => (true, message),
            // A server may quote a whole query.
            Err(message) => (false, cut(&message, MESSAGE_LETTERS_MAX)),
        };
        GateStatus { gate, holds, message }
    }

    fn backed<'b>(&'b self, gate: &'b BackupGate) -> Result<Backed<'b>, String> {
        let (spec, secret) = self
            .policies
            .get(&(gate.namespace.as_str(), gate.policy.as_str()))
            .ok_or_else(|| "the repository has no such BackupPolicy".to_owned())?;
        let reading = self
            .seen
            .backups
            .ok_or_else(|| "nothing is known of backups".to_owned())?;
        if let Some(unseen) = &reading.unseen {
            return Err(unseen.told().1);
        }
        let key = PolicyKey {
            namespace: gate.namespace.clone(),
            name: gate.policy.clone(),
        };
        let report = reading.policy(&key);
        let report = report.ok_or_else(|| "nothing is known of its backups".to_owned())?;
        let told = !secret && !self.secret;
        // What was proved yesterday is of no use while its location cannot be reached, and nothing new is proved meanwhile.
        if let Some(trouble) = &report.trouble {
            return Err(match told {
                true => trouble.words().to_owned(),
                false => "something keeps its backups from being made".to_owned(),
            });
        }
        Ok(Backed { spec, report, told })
    }

    fn figure(&self, gate: &MetricGate) -> Result<String, String> {
        let found = self.seen.observation.figures.get(&gate.query);
        let value = match found {
            Some(Ok(value)) => *value,
            Some(Err(error)) if !self.secret => return Err(error.clone()),
            Some(Err(_)) => return Err("it is not known".to_owned()),
            None => return Err("Prometheus was not asked".to_owned()),
        };
        let above = gate.above.is_none_or(|above| value > above);
        let below = gate.below.is_none_or(|below| value < below);
        let bounds = [("above", gate.above), ("below", gate.below)];
        let bounds = bounds
            .iter()
            .filter_map(|(word, bound)| Some(format!("{word} {}", short((*bound)?))));
        let bounds = bounds.collect::<Vec<String>>().join(" and ");
        // A value that is told while all is well changes all the time, and with it the status.
        match (above && below, self.secret) {
            (true, true) => Ok("it is within its (encrypted) bounds".to_owned()),
            (true, false) => Ok(format!("it is {bounds}")),
            (false, true) => Err("it is not within its (encrypted) bounds".to_owned()),
            (false, false) => Err(format!("it is {} and must be {bounds}", short(value))),
        }
    }
}

/// Whether a claim with these labels is of a phase's workloads.
fn takes<'l>(phase: &RolloutPhase, namespace: &str, label: impl Fn(&str) -> Option<&'l str>) -> bool {
    // The claim of a copy is there for the time of a move.
    if label(MOVE_LABEL).is_some() {
        return false;
    }
    let is_of = |one: &WorkloadSelector| {
        let mut labels = one.selector.iter().flat_map(|selector| &selector.match_labels);
        namespace == one.namespace && labels.all(|(key, value)| label(key) == Some(value.as_str()))
    };
    phase.workloads.iter().any(is_of)
}

fn seconds(text: &str) -> u64 {
    // What is no duration is a finding; a time that nobody understands never passes.
    duration::parse(text).map_or(u64::MAX, |length| length.as_secs())
}

/// A figure with no more digits than it needs.
fn short(value: f64) -> String {
    match value.fract() == 0.0 {
        true => format!("{value:.0}"),
        false => format!("{value:.3}"),
    }
}

fn named_gate(word: &str, gate: &BackupGate) -> String {
    format!("{word} {}/{}", gate.namespace, gate.policy)
}

/// What is missing, in one line; the gates say the rest of it.
fn joined(lacks: &[String]) -> String {
    cut(&lacks.join("; "), 2 * MESSAGE_LETTERS_MAX)
}

/// The first of so many names.
fn named(names: impl Iterator<Item = String>, count: usize) -> String {
    let shown: Vec<String> = names.take(NAMED_MAX).collect();
    let more = match count.saturating_sub(shown.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", shown.join(", "))
}
