//! What each policy source counts of itself. A turn replaces the counts of its own source only, and the gauges show the sum of all.

use crate::model::kinds::volume_migration::Phase;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// A move that runs.
#[derive(Clone, Debug, PartialEq)]
pub struct MoveNow {
    /// The claim's namespace.
    pub namespace: String,
    /// The claim.
    pub claim: String,
    /// Where it stands.
    pub phase: Phase,
    /// Since when it is in that phase.
    pub since: Option<Timestamp>,
    /// Which part of all bytes is copied, from 0 to 1.
    pub ratio: Option<f64>,
}

/// A pool as a source knows it: the copies on it, and the tiers that take it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tiered {
    /// Names of the source's tiers that take it.
    pub tiers: Vec<String>,
    /// Copies on it.
    pub replicas: i64,
}

/// A volume that the newest backup of its policy does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unprotected {
    /// The claim's namespace.
    pub namespace: String,
    /// The claim.
    pub claim: String,
    /// Why not, in one word.
    pub reason: &'static str,
}

/// The backups of a policy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BackupsNow {
    /// The policy's namespace.
    pub namespace: String,
    /// The policy.
    pub policy: String,
    /// When the newest backup that holds every volume started; unknown is no time.
    pub covered_at: Option<Timestamp>,
    /// How many seconds may be lost.
    pub allowed_seconds: Option<i64>,
    /// When a restore was last proved to work.
    pub verified_at: Option<Timestamp>,
    /// How many seconds the last restore took.
    pub restore_seconds: Option<i64>,
    /// Volumes of the newest backup by `covered`, `exempt` and `uncovered`.
    pub volumes: [(&'static str, i64); 3],
    /// Those that are uncovered, the first of them.
    pub unprotected: Vec<Unprotected>,
    /// Why drills do not prove what is asked of them, in one word; none where they do, or where none is asked for.
    pub unproved: Option<&'static str>,
}

/// The phase of a rollout that is open or soaking.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RolloutNow {
    /// The rollout.
    pub rollout: String,
    /// The phase.
    pub phase: String,
    /// Its gates that do not hold.
    pub failing: i64,
}

/// What one source counts. What a turn did not get to see stays as the last one saw it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SourceCounts {
    /// Moves that run.
    pub running: Vec<MoveNow>,
    /// Moves that wait for a person.
    pub needing_person: i64,
    /// Moves of workloads that wait for a person.
    pub workload_moves_needing_person: i64,
    /// Moves that hold cordons, each with since when where the journal says so.
    pub cordons: Vec<Option<Timestamp>>,
    /// Proposals that are open.
    pub proposals: i64,
    /// Volumes that are left alone, by reason.
    pub left_alone: BTreeMap<&'static str, i64>,
    /// Pools by name.
    pub pools: BTreeMap<String, Tiered>,
    /// Claims whose approved tier is not where their volume is, and that are not being moved.
    pub off_tier: i64,
    /// Whether its moves are stopped until a person says otherwise.
    pub stopped: bool,
    /// Backups of its policies.
    pub backups: Vec<BackupsNow>,
    /// Its rollouts that are not done, but for encrypted ones.
    pub rollouts: Vec<RolloutNow>,
}

/// The tier of copies on pools that no tier takes.
pub(super) const UNLABELLED: &str = "unlabelled";

/// Copies by tier. Every source sees all pools, so a pool counts once for each tier that takes it, whoever names that tier.
pub(super) fn by_tier<'a>(sources: impl Iterator<Item = &'a SourceCounts>) -> BTreeMap<String, i64> {
    let mut pools: BTreeMap<&str, Tiered> = BTreeMap::new();
    for (name, seen) in sources.flat_map(|source| &source.pools) {
        let pool = pools.entry(name).or_default();
        pool.replicas = pool.replicas.max(seen.replicas);
        for tier in &seen.tiers {
            if !pool.tiers.contains(tier) {
                pool.tiers.push(tier.clone());
            }
        }
    }
    let mut tiers = BTreeMap::from([(UNLABELLED.to_owned(), 0)]);
    for mut pool in pools.into_values() {
        if pool.tiers.is_empty() {
            pool.tiers.push(UNLABELLED.to_owned());
        }
        for tier in pool.tiers {
            *tiers.entry(tier).or_default() += pool.replicas;
        }
    }
    tiers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::SourceRef;
    use crate::telemetry::Metrics;

    fn source(name: &str) -> SourceRef {
        SourceRef {
            namespace: "s".to_owned(),
            name: name.to_owned(),
        }
    }

    fn value(metrics: &Metrics, sample: &str) -> Option<String> {
        let now = "2026-03-01T12:00:00Z".parse().unwrap();
        let text = metrics.text(now);
        let found = text
            .lines()
            .find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        found.map(str::to_owned)
    }

    fn running(claim: &str) -> MoveNow {
        MoveNow {
            namespace: "db".to_owned(),
            claim: claim.to_owned(),
            phase: Phase::WaitSync,
            since: "2026-03-01T11:59:00Z".parse().ok(),
            ratio: Some(0.25),
        }
    }

    #[test]
    fn what_sources_count_adds_up_and_a_turn_of_one_changes_nothing_of_the_others() {
        let metrics = Metrics::default();
        for name in ["a", "b"] {
            metrics.count(&source(name), |counts| {
                counts.running = vec![running(name)];
                counts.proposals = 2;
                counts.left_alone = BTreeMap::from([("Resting", 3)]);
            });
        }
        metrics.count(&source("a"), |counts| counts.running.clear());
        for (sample, expected) in [
            ("storage_operator_active_migrations", Some("1")),
            ("couchestor_proposals_open", Some("4")),
            ("couchestor_volumes_left_alone{reason=\"Resting\"}", Some("6")),
            (
                "couchestor_rebuild_progress_ratio{namespace=\"db\",claim=\"b\"}",
                Some("0.25"),
            ),
            (
                "couchestor_rebuild_progress_ratio{namespace=\"db\",claim=\"a\"}",
                None,
            ),
            (
                "couchestor_migration_phase_age_seconds{phase=\"WaitSync\"}",
                Some("60"),
            ),
        ] {
            assert_eq!(value(&metrics, sample).as_deref(), expected, "{sample}");
        }
    }

    #[test]
    fn a_source_that_is_gone_counts_no_more() {
        let metrics = Metrics::default();
        metrics.count(&source("gone"), |counts| counts.stopped = true);
        assert_eq!(value(&metrics, "couchestor_moves_stopped").as_deref(), Some("1"));
        metrics.keep(&[source("here")].into());
        assert_eq!(value(&metrics, "couchestor_moves_stopped").as_deref(), Some("0"));
    }

    #[test]
    fn the_oldest_cordon_ages_while_no_turn_ends() {
        let metrics = Metrics::default();
        metrics.count(&source("a"), |counts| {
            counts.cordons = vec![
                None,
                "2026-03-01T11:58:00Z".parse().ok(),
                "2026-03-01T11:59:00Z".parse().ok(),
            ];
        });
        assert_eq!(value(&metrics, "couchestor_cordons_held").as_deref(), Some("3"));
        metrics.leaked(2);
        assert_eq!(value(&metrics, "couchestor_cordons_held").as_deref(), Some("5"));
        metrics.leaked(0);
        assert_eq!(value(&metrics, "couchestor_cordons_held").as_deref(), Some("3"));
        assert_eq!(
            value(&metrics, "couchestor_cordon_held_seconds").as_deref(),
            Some("120")
        );
    }

    #[test]
    fn a_copy_counts_once_however_many_sources_see_its_pool() {
        let pool = |tiers: &[&str]| Tiered {
            tiers: tiers.iter().map(|&tier| tier.to_owned()).collect(),
            replicas: 5,
        };
        let counts = |tiers: &[&str]| SourceCounts {
            pools: BTreeMap::from([("p".to_owned(), pool(tiers)), ("q".to_owned(), pool(&[]))]),
            ..SourceCounts::default()
        };
        let tiers = by_tier([counts(&["hot"]), counts(&[]), counts(&["hot"])].iter());
        let expected = [("hot".to_owned(), 5), (UNLABELLED.to_owned(), 5)];
        assert_eq!(tiers, BTreeMap::from(expected));
    }
}
