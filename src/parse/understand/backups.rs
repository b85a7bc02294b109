//! BackupLocation, BackupPolicy and Rollout.

use super::super::word;
use super::{Reader, hint};
use crate::formats::cron;
use crate::model::desired::Resource;
use crate::model::kinds::backup::{BackupLocationSpec, BackupPolicySpec};
use crate::model::kinds::rollout::RolloutSpec;
use std::collections::BTreeSet;

/// A Velero Schedule's name is a label value, and Velero adds 15 characters for a backup's name.
const SCHEDULE_NAME_MAX: usize = 48;

/// Phases of a rollout: people write a handful.
const PHASES_MAX: usize = 100;

/// The locations of a tree, by namespace and name.
pub(super) fn locations(resources: &[Resource]) -> BTreeSet<(String, String)> {
    resources
        .iter()
        .filter(|resource| resource.kind() == "BackupLocation")
        .map(|resource| (resource.namespace().to_owned(), resource.name().to_owned()))
        .collect()
}

impl Reader<'_> {
    pub(super) fn location(&mut self, resource: &Resource) {
        self.needs_namespace(resource);
        let Some(spec) = self.spec::<BackupLocationSpec>(resource) else {
            return;
        };
        for (pointer, text) in [
            ("/spec/validationFrequency", &spec.validation_frequency),
            ("/spec/backupSyncPeriod", &spec.backup_sync_period),
        ] {
            if let Some(text) = text {
                self.duration(resource, pointer, text);
            }
        }
        if spec.force_path_style && spec.region.is_none() {
            self.wrong(
                resource,
                "/spec/forcePathStyle",
                "missing-field",
                "`region` is required with `forcePathStyle`",
                "write the region, or any word if the server has none",
            );
        }
    }

    pub(super) fn backup(&mut self, resource: &Resource) {
        self.needs_namespace(resource);
        let Some(spec) = self.spec::<BackupPolicySpec>(resource) else {
            return;
        };
        if !self
            .locations
            .contains(&(resource.namespace().to_owned(), spec.location.clone()))
        {
            let message = format!(
                "there is no BackupLocation {} in namespace {}",
                resource.origin.told(&spec.location),
                resource.origin.told(resource.namespace())
            );
            self.wrong(
                resource,
                "/spec/location",
                "reference",
                message,
                "correct the name, or add the location",
            );
        }
        let mut named = BTreeSet::new();
        for (index, schedule) in spec.schedules.iter().enumerate() {
            let pointer = format!("/spec/schedules/{index}");
            // It becomes the end of a Velero Schedule's name.
            let wrong = match (word(&schedule.name), named.insert(&schedule.name)) {
                (false, _) => Some((
                    "`name` is no name that Kubernetes takes",
                    "write lower case letters, digits and -",
                )),
                (true, false) => Some((
                    "two schedules have this name",
                    "name each differently: one Velero Schedule is made of each",
                )),
                (true, true) => None,
            };
            if let Some((message, help)) = wrong {
                self.wrong(resource, &format!("{pointer}/name"), "name", message, help);
            }
            if let Err(help) = cron::check(&schedule.schedule) {
                let help = hint(
                    resource,
                    help,
                    "write five fields (minute, hour, day of month, month, day of week), or such as @daily",
                );
                self.wrong(
                    resource,
                    &format!("{pointer}/schedule"),
                    "schedule",
                    "`schedule` is not one that Velero reads",
                    help,
                );
            }
            self.duration(resource, &format!("{pointer}/ttl"), &schedule.ttl);
            if resource.name().len() + 1 + schedule.name.len() > SCHEDULE_NAME_MAX {
                self.wrong(
                    resource,
                    &format!("{pointer}/name"),
                    "value",
                    "the names of policy and schedule are too long together",
                    format!("keep them below {SCHEDULE_NAME_MAX} characters: Velero puts them into labels"),
                );
            }
        }
        for (pointer, text) in [("/spec/rpo", &spec.rpo), ("/spec/rto", &spec.rto)] {
            if let Some(text) = text {
                self.duration(resource, pointer, text);
            }
        }
        if spec.included_namespaces.iter().any(|namespace| namespace == "*")
            && spec.included_namespaces.len() > 1
        {
            self.wrong(
                resource,
                "/spec/includedNamespaces",
                "value",
                "`*` must stand alone",
                "take the others out",
            );
        }
    }

    pub(super) fn rollout(&mut self, resource: &Resource) {
        let Some(spec) = self.spec::<RolloutSpec>(resource) else {
            return;
        };
        if spec.phases.len() > PHASES_MAX {
            let message = format!("a rollout has at most {PHASES_MAX} phases");
            self.wrong(resource, "", "value", message, "join some of them");
            return;
        }
        for (index, phase) in spec.phases.iter().enumerate() {
            if let Some(soak) = &phase.soak {
                self.duration(resource, &format!("/spec/phases/{index}/soak"), soak);
            }
        }
    }
}
