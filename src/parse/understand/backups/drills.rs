//! Drills: whether what a policy says of them can be carried out. They are carried out elsewhere.

use super::super::super::word;
use super::super::Reader;
use super::around::holds;
use crate::formats::duration;
use crate::model::desired::Resource;
use crate::model::kinds::backup::BackupPolicySpec;
use crate::model::kinds::drill::{DrillSpec, Sentinel};
use jiff::Timestamp;

/// Drills are looked at from the first second of 2027 on, as schedules are.
const FROM: i64 = 1_798_761_600;

impl Reader<'_> {
    pub(super) fn drill(&mut self, resource: &Resource, spec: &BackupPolicySpec) {
        let Some(drill) = &spec.drill else {
            if spec.rto.is_some() {
                let help = "add `drill`: how long a restore takes is known only from restores";
                self.doubt(
                    resource,
                    "/spec/rto",
                    "drill",
                    "nothing measures how long a restore takes",
                    help,
                );
            }
            return;
        };
        self.duration(resource, "/spec/drill/evidenceAge", &drill.evidence_age);
        self.duration(resource, "/spec/drill/timeout", &drill.timeout);
        self.drill_times(resource, spec, drill);
        let all = if drill.namespaces.is_empty() {
            &spec.included_namespaces
        } else {
            &drill.namespaces
        };
        if all.iter().any(|one| is_pattern(one)) {
            let help = "write `namespaces`, each by its name: one after the other is restored into a namespace of its own";
            let message = "a drill restores namespaces, and a pattern is none";
            self.wrong(resource, "/spec/drill", "drill", message, help);
        }
        for (index, namespace) in drill.namespaces.iter().enumerate() {
            if !is_pattern(namespace) && !is_backed_up(spec, namespace) {
                let pointer = format!("/spec/drill/namespaces/{index}");
                let message = format!(
                    "no backup of this policy holds namespace {}",
                    resource.origin.told(namespace)
                );
                let help = "name one of `includedNamespaces`, or take it out";
                self.wrong(resource, &pointer, "drill", message, help);
            }
        }
        for (index, sentinel) in drill.sentinels.iter().enumerate() {
            self.sentinel(
                resource,
                spec,
                drill,
                sentinel,
                &format!("/spec/drill/sentinels/{index}"),
            );
        }
        if let Some(job) = &drill.job {
            let told = resource.origin.told(&job.name);
            let wrong = match self
                .around
                .config_maps
                .get(&(resource.namespace(), job.name.as_str()))
            {
                None if self
                    .around
                    .is_misspelt("ConfigMap", resource.namespace(), &job.name) =>
                {
                    None
                }
                None => Some((
                    "name",
                    format!("this repository has no ConfigMap {told} in this namespace"),
                )),
                Some(config_map) if !holds(config_map, &job.key) => Some((
                    "key",
                    format!("ConfigMap {told} has no key {}", resource.origin.told(&job.key)),
                )),
                Some(_) => None,
            };
            if let Some((field, message)) = wrong {
                let help = "add a ConfigMap with the manifest of a Job below that key";
                self.wrong(
                    resource,
                    &format!("/spec/drill/job/{field}"),
                    "drill",
                    message,
                    help,
                );
            }
        }
        if drill.image.trim().is_empty() {
            self.wrong(
                resource,
                "/spec/drill/image",
                "value",
                "`image` is empty",
                "write an image, or take it out",
            );
        }
    }

    fn drill_times(&mut self, resource: &Resource, spec: &BackupPolicySpec, drill: &DrillSpec) {
        let read = |text: &str| duration::parse(text).ok();
        let cron = self.cron(resource, "/spec/drill/schedule", &drill.schedule);
        let from = Timestamp::from_second(FROM).unwrap_or(Timestamp::UNIX_EPOCH);
        let gaps = cron.and_then(|cron| cron.gaps(from));
        if let (Some(gaps), Some(age)) = (gaps, read(&drill.evidence_age))
            && age < gaps.longest
        {
            let gap = duration::format(gaps.longest);
            self.wrong(
                resource,
                "/spec/drill/evidenceAge",
                "drill",
                format!(
                    "up to {} pass between two drills, and what one proves does not hold for as long",
                    resource.origin.told(&gap)
                ),
                "drill more often, or let the evidence hold for longer",
            );
        }
        let rto = spec.rto.as_deref().and_then(read);
        if let (Some(rto), Some(timeout)) = (rto, read(&drill.timeout))
            && timeout < rto
        {
            self.wrong(
                resource,
                "/spec/drill/timeout",
                "drill",
                "a drill would be given up before its restore has taken as long as `rto` allows",
                "write a `timeout` that is longer than `rto`",
            );
        }
    }

    fn sentinel(
        &mut self,
        resource: &Resource,
        spec: &BackupPolicySpec,
        drill: &DrillSpec,
        sentinel: &Sentinel,
        pointer: &str,
    ) {
        let drilled = match drill.namespaces.is_empty() {
            true => is_backed_up(spec, &sentinel.namespace),
            false => drill.namespaces.contains(&sentinel.namespace),
        };
        let relative = sentinel
            .path
            .split('/')
            .all(|part| !matches!(part, "" | "." | ".."));
        let plain = !sentinel.path.contains(|letter: char| letter.is_control());
        for (field, fits, message, help) in [
            (
                "namespace",
                drilled,
                "no drill restores this namespace",
                "name a namespace that the drill restores",
            ),
            (
                "claim",
                sentinel.claim.split('.').all(word),
                "`claim` is no name that Kubernetes takes",
                "write the claim's name",
            ),
            (
                "path",
                relative && plain,
                "`path` is no path inside of a volume",
                "write it from the root of the volume, without / at its start and without `.` and `..`",
            ),
        ] {
            if !fits {
                self.wrong(resource, &format!("{pointer}/{field}"), "drill", message, help);
            }
        }
    }
}

/// Whether backups hold a namespace, as far as it can be said: patterns may match anything.
pub(super) fn is_backed_up(spec: &BackupPolicySpec, namespace: &str) -> bool {
    let included = spec
        .included_namespaces
        .iter()
        .any(|one| one == namespace || is_pattern(one));
    included && !spec.excluded_namespaces.iter().any(|one| one == namespace)
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}
