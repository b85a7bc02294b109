//! Drills: whether what a policy says of them can be carried out. They are carried out elsewhere.

use super::super::super::word;
use super::super::Reader;
use super::around::holds;
use super::schedules::from;
use crate::formats::image::is_image;
use crate::formats::{duration, yaml};
use crate::model::desired::{Resource, text_at};
use crate::model::kinds::backup::{BackupPolicySpec, KeyRef};
use crate::model::kinds::drill::{DrillSpec, Sentinel};
use crate::model::secret::MASK;
use k8s_openapi::api::batch::v1::Job;
use serde::Deserialize;
use serde_json::Value;

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
            self.job(resource, job);
        }
        self.image(resource, "/spec/drill/image", &drill.image);
    }

    fn job(&mut self, resource: &Resource, job: &KeyRef) {
        let told = resource.origin.told(&job.name);
        let key = (resource.namespace(), job.name.as_str());
        let (field, message) = match self.around.config_maps.get(&key) {
            None if self.around.is_misspelt("ConfigMap", key.0, key.1) => return,
            None => (
                "name",
                format!("this repository has no ConfigMap {told} in this namespace"),
            ),
            Some(config_map) if !holds(config_map, &job.key) => (
                "key",
                format!("ConfigMap {told} has no key {}", resource.origin.told(&job.key)),
            ),
            Some(config_map) => match drill_job(config_map, &job.key) {
                Ok(_) => return,
                Err(why) => (
                    "key",
                    format!(
                        "what ConfigMap {told} has below this key is no Job that runs: {}",
                        match config_map.origin.secret {
                            true => MASK,
                            false => &why,
                        }
                    ),
                ),
            },
        };
        let help = "add a ConfigMap with the manifest of a Job below that key";
        let pointer = format!("/spec/drill/job/{field}");
        self.wrong(resource, &pointer, "drill", message, help);
    }

    /// An image that pods of ours run.
    pub(super) fn image(&mut self, resource: &Resource, pointer: &str, image: &str) {
        if !is_image(image) {
            let message = "no kubelet takes this for the name of an image";
            let help = "write registry/path:tag, the path in lower case, or take it out";
            self.wrong(resource, pointer, "value", message, help);
        }
    }

    fn drill_times(&mut self, resource: &Resource, spec: &BackupPolicySpec, drill: &DrillSpec) {
        let read = |text: &str| duration::parse(text).ok();
        let cron = self.cron(resource, "/spec/drill/schedule", &drill.schedule);
        let gaps = cron.and_then(|cron| cron.gaps(from()));
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

/// The Job that a drill runs, out of the ConfigMap that Git has.
///
/// # Errors
/// Why it is none that runs. The words may quote the manifest.
pub fn drill_job(config_map: &Resource, key: &str) -> Result<Value, String> {
    let documents = yaml::load(text_at(&config_map.value, &["data", key]));
    let documents = documents.map_err(|_| "it is not YAML".to_owned())?;
    let count = documents.len();
    let mut documents = documents.into_iter();
    let (Some(job), None) = (documents.next(), documents.next()) else {
        return Err(format!("it is {count} documents, and should be one"));
    };
    let job = job.into_json().map_err(|_| "it is not JSON".to_owned())?;
    if job["kind"] != "Job" || job["apiVersion"] != "batch/v1" {
        return Err("it needs `apiVersion: batch/v1` and `kind: Job`".to_owned());
    }
    let typed = Job::deserialize(&job).map_err(|error| error.to_string())?;
    let pod = typed.spec.and_then(|spec| spec.template.spec).unwrap_or_default();
    if pod.containers.is_empty() {
        return Err("it has no containers".to_owned());
    }
    let restarts = pod.restart_policy.as_deref();
    if !matches!(restarts, Some("Never" | "OnFailure")) {
        return Err("a Job needs `restartPolicy: Never` or `OnFailure`".to_owned());
    }
    Ok(job)
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
