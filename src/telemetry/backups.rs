//! What metrics show of backups and drills, and of the rollouts that rest on them.

use super::counts::SourceCounts;
use super::metrics::age;
use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PolicyLabel {
    namespace: String,
    policy: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StateLabel {
    namespace: String,
    policy: String,
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct UnprotectedLabel {
    namespace: String,
    claim: String,
    policy: String,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct UnprovedLabel {
    namespace: String,
    policy: String,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PhaseOfRollout {
    rollout: String,
    phase: String,
}

/// What is shown of backups, and of the rollouts that rest on them.
#[derive(Clone, Default)]
pub(super) struct Backups {
    rpo: Family<PolicyLabel, Gauge>,
    objective: Family<PolicyLabel, Gauge>,
    verified: Family<PolicyLabel, Gauge>,
    restore: Family<PolicyLabel, Gauge>,
    volumes: Family<StateLabel, Gauge>,
    unprotected: Family<UnprotectedLabel, Gauge>,
    unproved: Family<UnprovedLabel, Gauge>,
    gates: Family<PhaseOfRollout, Gauge>,
}

impl Backups {
    pub(super) fn register(&self, registry: &mut Registry) {
        let rpo = "How much work would be lost: the age of the newest backup that holds every volume; none while there is no such backup";
        registry.register("couchestor_rpo_seconds", rpo, self.rpo.clone());
        let objective = "How much work may be lost by the policy's rpo";
        registry.register(
            "couchestor_rpo_objective_seconds",
            objective,
            self.objective.clone(),
        );
        let verified = "When a restore was last proved to work";
        registry.register(
            "couchestor_last_verified_timestamp",
            verified,
            self.verified.clone(),
        );
        let restore = "How long the last restore of a drill took";
        registry.register(
            "couchestor_restore_duration_seconds",
            restore,
            self.restore.clone(),
        );
        let volumes = "Volumes in scope by what the newest backup has of them";
        registry.register("couchestor_backup_volumes", volumes, self.volumes.clone());
        let unprotected =
            "Volumes that the newest backup of their policy does not hold, the first hundred of each policy";
        registry.register(
            "couchestor_volume_unprotected",
            unprotected,
            self.unprotected.clone(),
        );
        let unproved = "Policies whose drills do not prove that a restore works and is fast enough";
        registry.register("couchestor_restore_unproved", unproved, self.unproved.clone());
        let gates = "Gates that do not hold of the phase of a rollout that is open or soaking";
        registry.register("couchestor_rollout_gates_failing", gates, self.gates.clone());
    }

    pub(super) fn add_up<'s>(&self, sources: impl Iterator<Item = &'s SourceCounts> + Clone, now: Timestamp) {
        for family in [&self.rpo, &self.objective, &self.verified, &self.restore] {
            family.clear();
        }
        self.volumes.clear();
        self.unprotected.clear();
        self.unproved.clear();
        self.gates.clear();
        for one in sources.clone().flat_map(|source| &source.rollouts) {
            let phase = PhaseOfRollout {
                rollout: one.rollout.clone(),
                phase: one.phase.clone(),
            };
            self.gates.get_or_create(&phase).set(one.failing);
        }
        for one in sources.flat_map(|source| &source.backups) {
            let policy = PolicyLabel {
                namespace: one.namespace.clone(),
                policy: one.policy.clone(),
            };
            let values = [
                (&self.rpo, one.covered_at.map(|since| age(now, since))),
                (&self.objective, one.allowed_seconds),
                (&self.verified, one.verified_at.map(Timestamp::as_second)),
                (&self.restore, one.restore_seconds),
            ];
            for (family, value) in values {
                if let Some(value) = value {
                    family.get_or_create(&policy).set(value);
                }
            }
            for (state, volumes) in one.volumes {
                let state = StateLabel {
                    namespace: one.namespace.clone(),
                    policy: one.policy.clone(),
                    state,
                };
                self.volumes.get_or_create(&state).set(volumes);
            }
            if let Some(reason) = one.unproved {
                let unproved = UnprovedLabel {
                    namespace: one.namespace.clone(),
                    policy: one.policy.clone(),
                    reason,
                };
                self.unproved.get_or_create(&unproved).set(1);
            }
            for volume in &one.unprotected {
                let volume = UnprotectedLabel {
                    namespace: volume.namespace.clone(),
                    claim: volume.claim.clone(),
                    policy: one.policy.clone(),
                    reason: volume.reason,
                };
                self.unprotected.get_or_create(&volume).set(1);
            }
        }
    }
}
