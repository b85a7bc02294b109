//! `StoragePolicy` as understood: signals, windows, budgets and the tiers between which volumes move.

use super::{Reader, hint};
use crate::formats::{duration, quantity};
use crate::model::desired::{
    Budgets, Fullness, Measure, Policy, Resource, Rollback, SEALED, Signal, Tier, TierPools,
};
use crate::model::ids::{PolicyName, TierName, hex};
use crate::model::kinds::LabelSelector;
use crate::model::kinds::storage_policy::{SignalSpec, StoragePolicySpec, WindowSpec};
use crate::model::week::{self, WeekWindow};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::time::Duration;

/// Names of the tiers that a policy's two selectors imply.
const IMPLIED: [(&str, i32); 2] = [("hot", 100), ("cold", 0)];

/// The longest time for which thresholds must be crossed: it is looked at in sixty steps, and a break within one is not seen.
const SUSTAINED_MAX: Duration = Duration::from_secs(168 * 3600);

/// Signals that need no query, by their names.
const BUILT_IN: [(&str, Measure); 7] = [
    ("iops", Measure::Iops),
    ("throughput", Measure::Throughput),
    ("latency", Measure::Latency),
    ("readLatency", Measure::ReadLatency),
    ("writeLatency", Measure::WriteLatency),
    ("requestSize", Measure::RequestSize),
    ("readRatio", Measure::ReadRatio),
];

impl Reader<'_> {
    pub(super) fn policy(&mut self, resource: &Resource) {
        let Some(spec) = self.spec::<StoragePolicySpec>(resource) else {
            return;
        };
        if spec.low_watermark_iops >= spec.high_watermark_iops {
            let written = resource.value.pointer("/spec/lowWatermarkIOPS").is_some();
            let (pointer, help) = match written {
                true => (
                    "/spec/lowWatermarkIOPS",
                    "keep them well apart, or volumes move to and fro".to_owned(),
                ),
                false => (
                    "/spec/highWatermarkIOPS",
                    format!(
                        "write `lowWatermarkIOPS` too: without it, it is {}",
                        spec.low_watermark_iops
                    ),
                ),
            };
            let message = "`lowWatermarkIOPS` must be below `highWatermarkIOPS`";
            self.wrong(resource, pointer, "watermarks", message, help);
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
        let mut optional = |pointer: &str, text: &Option<String>| match text {
            Some(text) => self.duration(resource, pointer, text),
            None => Duration::ZERO,
        };
        let sustained = optional("/spec/sustainedFor", &spec.sustained_for);
        let bounds = Duration::from_secs(60)..=SUSTAINED_MAX;
        let readable = |text: &String| duration::parse(text).is_ok();
        if spec.sustained_for.as_ref().is_some_and(readable) && !bounds.contains(&sustained) {
            let help = "write something between 1m and 168h";
            self.wrong(
                resource,
                "/spec/sustainedFor",
                "duration",
                "`sustainedFor` is too short or too long",
                help,
            );
        }
        let mut optional = |pointer: &str, text: &Option<String>| match text {
            Some(text) => self.duration(resource, pointer, text),
            None => Duration::ZERO,
        };
        let min_age = optional("/spec/minVolumeAge", &spec.min_volume_age);
        let cooldown = self.duration(resource, "/spec/cooldownPeriod", &spec.cooldown_period);
        let timeout = self.duration(resource, "/spec/migrationTimeout", &spec.migration_timeout);
        let signals = self.signals(resource, &spec);
        let not_heat_when = self.exceptions(resource, &spec.not_heat_when);
        let excluded_windows = self.windows(resource, "/spec/excludedWindows", &spec.excluded_windows);
        let move_windows = self.windows(resource, "/spec/moveWindows", &spec.move_windows);
        let budgets = self.budgets(resource, &spec);
        let rollback = self.rollback(resource, &spec, window);
        let tiers = self.tiers_of(resource, &spec);
        if !self.whole() {
            return;
        }
        let name = PolicyName(resource.name().to_owned());
        let fingerprint = self.fingerprint(resource);
        let percent = |percent: u32| f64::from(percent) / 100.0;
        let fullness = spec.fullness.unwrap_or_default();
        let labels = spec.volume_selector.map(|selector| selector.match_labels);
        self.understood.policies.insert(
            name.clone(),
            Policy {
                name,
                storage_class: spec.storage_class_name,
                claim_labels: labels.unwrap_or_default(),
                signals,
                not_heat_when,
                sustained,
                hysteresis: percent(spec.hysteresis_percent),
                window_text: spec.sampling_window,
                window,
                excluded_windows,
                move_windows,
                min_age,
                fullness: Fullness {
                    demote_above: fullness.demote_above_percent.map(percent),
                    promote_below: fullness.promote_below_percent.map(percent),
                },
                budgets,
                rollback,
                min_coverage: percent(spec.min_coverage_percent),
                cooldown,
                tiers,
                max_concurrent: spec.max_concurrent_migrations,
                timeout,
                enabled: spec.enabled,
                dry_run: spec.dry_run,
                fingerprint,
                secret: resource.origin.secret,
            },
        );
    }

    /// What tells a policy's spec from another one. It stands in status, where whoever reads it could try values until one fits: so of
    /// what was encrypted the files count, as Git names them, and not what they say.
    fn fingerprint(&self, resource: &Resource) -> String {
        let origin = &resource.origin;
        if !origin.secret {
            let spec = resource.value.get("spec");
            return spec.map(|spec| hash(&spec.to_string())).unwrap_or_default();
        }
        let written = origin.changed.iter().flat_map(|changes| changes.values());
        let mut paths: BTreeSet<&str> = written.map(|place| place.path.as_str()).collect();
        paths.insert(&origin.path);
        let blobs = paths.into_iter().filter_map(|path| self.tree.files.get(path));
        let blobs: Vec<&str> = blobs.map(|file| file.blob.as_str()).collect();
        format!(
            "{SEALED}{}",
            hash(&format!("{} {}", origin.document, blobs.join(" ")))
        )
    }

    fn rollback(
        &mut self,
        resource: &Resource,
        spec: &StoragePolicySpec,
        window: Duration,
    ) -> Option<Rollback> {
        let written = spec.rollback.as_ref()?;
        let within = self.duration(resource, "/spec/rollback/within", &written.within);
        if duration::parse(&written.within).is_ok() && within <= window {
            let written = resource.value.pointer("/spec/rollback/within").is_some();
            let pointer = if written {
                "/spec/rollback/within"
            } else {
                "/spec/rollback"
            };
            self.wrong(
                resource,
                pointer,
                "duration",
                "`within` is not longer than `samplingWindow`, so no window after a move would be looked at",
                "write a longer time, such as four sampling windows",
            );
        }
        Some(Rollback {
            worse: f64::from(written.latency_worse_percent) / 100.0,
            within,
        })
    }

    /// The signals that make hot or cold: those that are listed, or the two watermarks.
    fn signals(&mut self, resource: &Resource, spec: &StoragePolicySpec) -> Vec<Signal> {
        let (high, low) = (spec.high_watermark_iops as f64, spec.low_watermark_iops as f64);
        let seed = SignalSpec {
            name: "iops".to_owned(),
            query: None,
            percentile: None,
            above: None,
            below: None,
        };
        let written = match spec.signals.is_empty() {
            true => std::slice::from_ref(&seed),
            false => spec.signals.as_slice(),
        };
        let mut signals: Vec<Signal> = Vec::new();
        for (index, one) in written.iter().enumerate() {
            let pointer = format!("/spec/signals/{index}");
            let Some(mut signal) = self.signal(resource, &pointer, one, &signals) else {
                continue;
            };
            if (signal.above, signal.below) == (None, None) && signal.measure == Measure::Iops {
                // That the one is below the other was looked at already.
                (signal.above, signal.below) = (Some(high), Some(low));
                signals.push(signal);
                continue;
            }
            match (signal.above, signal.below) {
                (None, None) => {
                    let message = "this signal has no threshold";
                    self.wrong(
                        resource,
                        &pointer,
                        "signal",
                        message,
                        "write `above`, `below` or both",
                    );
                }
                (Some(above), Some(below)) if below >= above => {
                    let message = "`below` must be less than `above`";
                    let help = "keep them well apart, or volumes move to and fro";
                    self.wrong(resource, &format!("{pointer}/below"), "watermarks", message, help);
                }
                _ => {}
            }
            signals.push(signal);
        }
        signals
    }

    fn exceptions(&mut self, resource: &Resource, written: &[SignalSpec]) -> Vec<Signal> {
        let mut exceptions = Vec::new();
        for (index, one) in written.iter().enumerate() {
            let pointer = format!("/spec/notHeatWhen/{index}");
            let Some(signal) = self.signal(resource, &pointer, one, &exceptions) else {
                continue;
            };
            if signal.above.is_some() == signal.below.is_some() {
                let message = "an exception holds on one side of one threshold";
                self.wrong(
                    resource,
                    &pointer,
                    "signal",
                    message,
                    "write either `above` or `below`",
                );
            }
            exceptions.push(signal);
        }
        exceptions
    }

    fn signal(
        &mut self,
        resource: &Resource,
        pointer: &str,
        spec: &SignalSpec,
        others: &[Signal],
    ) -> Option<Signal> {
        for (field, value) in [("above", spec.above), ("below", spec.below)] {
            if value.is_some_and(|value| !value.is_finite() || value < 0.0) {
                let pointer = format!("{pointer}/{field}");
                let message = format!("`{field}` is no number that a signal can have");
                self.wrong(
                    resource,
                    &pointer,
                    "signal",
                    message,
                    "write a number of 0 or more",
                );
            }
        }
        let name = format!("{pointer}/name");
        let built_in = BUILT_IN.iter().find(|(known, _)| *known == spec.name);
        let measure = match (built_in, &spec.query) {
            (Some((_, measure)), None) => measure.clone(),
            (None, Some(query)) if !query.trim().is_empty() => Measure::Query(query.clone()),
            (Some(_), Some(_)) => {
                let message = "a signal of this name is built in and has no `query`";
                self.wrong(resource, &name, "signal", message, "give yours another name");
                return None;
            }
            (None, _) => {
                let known: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
                let help = format!("write one of {}, or give a `query`", known.join(", "));
                self.wrong(
                    resource,
                    &name,
                    "signal",
                    "no signal of this name is built in",
                    help,
                );
                return None;
            }
        };
        if others.iter().any(|other| {
            *other.name == *spec.name
                && other.percentile.map(|part| part * 100.0) == spec.percentile.map(f64::from)
        }) {
            self.wrong(
                resource,
                &name,
                "signal",
                "this signal is listed twice",
                "keep one of the two",
            );
            return None;
        }
        Some(Signal {
            name: spec.name.as_str().into(),
            measure,
            percentile: spec.percentile.map(|percent| f64::from(percent) / 100.0),
            above: spec.above,
            below: spec.below,
        })
    }

    fn windows(&mut self, resource: &Resource, pointer: &str, written: &[WindowSpec]) -> Vec<WeekWindow> {
        let mut windows = Vec::new();
        for (index, one) in written.iter().enumerate() {
            match WeekWindow::read(&one.days, &one.from, &one.to, one.time_zone.as_deref()) {
                Ok(window) => windows.push(window),
                Err(week::WindowError { field, help }) => {
                    let pointer = format!("{pointer}/{index}/{field}");
                    let message = format!("`{field}` of this window cannot be read");
                    self.wrong(resource, &pointer, "window", message, help);
                }
            }
        }
        windows
    }

    fn budgets(&mut self, resource: &Resource, spec: &StoragePolicySpec) -> Budgets {
        let written = spec.budgets.clone().unwrap_or_default();
        let bytes = match written.bytes_per_hour.as_deref().map(quantity::parse_ceil) {
            None => None,
            Some(Ok(bytes)) => Some(bytes),
            Some(Err(help)) => {
                let help = hint(resource, help, "write a quantity such as 500G, 500Gi or 1.5Ti");
                let pointer = "/spec/budgets/bytesPerHour";
                self.wrong(
                    resource,
                    pointer,
                    "quantity",
                    "`bytesPerHour` is no quantity",
                    help,
                );
                None
            }
        };
        Budgets {
            moves_per_hour: written.moves_per_hour,
            bytes_per_hour: bytes,
            moves_per_node: written.moves_per_node,
            moves_per_pool: written.moves_per_pool,
        }
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
        } else if self.whole() {
            self.understood.tiers.insert(
                name.clone(),
                Tier {
                    name: name.clone(),
                    rank,
                    pools,
                    pool_reserve: 0,
                    storage_class: None,
                    max_moves: None,
                    cost_per_gib_month: None,
                    secret: false,
                },
            );
        }
        name
    }
}

fn hash(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes())[..8])
}
