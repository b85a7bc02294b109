//! BackupPolicy. What Velero would find wrong only when a backup runs is found here.

use super::super::{is_label, word};
use super::Reader;
use crate::formats::yaml::escape;
use crate::model::desired::Resource;
use crate::model::kinds::LabelSelector;
use crate::model::kinds::backup::{BackupHook, BackupPolicySpec};
use std::collections::{BTreeMap, BTreeSet};

/// What backups refer to.
pub(super) mod around;

/// BackupLocations.
mod locations;

/// Velero's own objects.
mod raw;

/// When backups are made.
pub(super) mod schedules;

/// How the data of volumes is backed up.
mod volumes;

/// Volume policies as Velero reads them.
mod volume_policy;

/// Drills.
mod drills;

pub use drills::drill_job;

/// Phases that open on what backups have proved.
mod rollouts;

/// The longest name of a namespace.
const NAMESPACE_MAX: usize = 63;

impl<'a> Reader<'a> {
    pub(super) fn backup(&mut self, resource: &'a Resource) {
        self.needs_namespace(resource);
        let Some(spec) = self.spec::<BackupPolicySpec>(resource) else {
            return;
        };
        self.goes_to(resource, "/spec/location", &spec.location);
        for (pointer, text) in [("/spec/rpo", &spec.rpo), ("/spec/rto", &spec.rto)] {
            if let Some(text) = text {
                self.duration(resource, pointer, text);
            }
        }
        self.schedules(resource, &spec);
        let (included, excluded) = (&spec.included_namespaces, &spec.excluded_namespaces);
        self.namespaces(resource, "/spec", included, excluded);
        self.labels(resource, "/spec/labels", &spec.labels);
        self.selector(resource, "/spec/labelSelector", spec.label_selector.as_ref());
        self.volumes(resource, &spec);
        self.hooks(resource, &spec);
        self.drill(resource, &spec);
    }

    /// Labels that the API server would refuse when an object is made of them.
    fn labels(&mut self, resource: &Resource, pointer: &str, labels: &BTreeMap<String, String>) {
        for (key, _) in labels.iter().filter(|(key, value)| !is_label(key, value)) {
            let message =
                "Kubernetes takes no such label: what carries it would never be made, and nothing has it";
            let help = "write letters, digits, -, _ and . with a letter or digit at both ends, at most 63 of them; before the key may stand a domain and /";
            let pointer = format!("{pointer}/{}", escape(key));
            self.wrong(resource, &pointer, "value", message, help);
        }
    }

    fn selector(&mut self, resource: &Resource, pointer: &str, selector: Option<&LabelSelector>) {
        let Some(selector) = selector else { return };
        self.labels(
            resource,
            &format!("{pointer}/matchLabels"),
            &selector.match_labels,
        );
        if selector.match_labels.is_empty() {
            let help = "give at least one label, or take it out";
            self.wrong(
                resource,
                pointer,
                "value",
                "an empty selector chooses nothing",
                help,
            );
        }
    }

    /// The namespaces of a backup, in lists below `at`.
    fn namespaces(&mut self, resource: &Resource, at: &str, included: &[String], excluded: &[String]) {
        if included.iter().any(|namespace| namespace == "*") && included.len() > 1 {
            self.wrong(
                resource,
                &format!("{at}/includedNamespaces"),
                "value",
                "`*` must stand alone",
                "take the others out",
            );
        }
        for (index, namespace) in excluded.iter().enumerate() {
            let wrong = match namespace.as_str() {
                "*" => "`*` among the excluded namespaces leaves nothing, and Velero refuses it",
                name if included.iter().any(|one| one == name) => {
                    "this namespace is both included and excluded: every backup would fail its validation"
                }
                _ => continue,
            };
            let pointer = format!("{at}/excludedNamespaces/{index}");
            self.wrong(resource, &pointer, "value", wrong, "take it out");
        }
        for (field, list) in [("includedNamespaces", included), ("excludedNamespaces", excluded)] {
            for (index, namespace) in list.iter().enumerate() {
                let pointer = format!("{at}/{field}/{index}");
                let plain = !namespace.contains(['*', '?', '[', '{']);
                if plain && self.is_nowhere(namespace) {
                    let message = "this repository makes namespaces, and none of this name";
                    let help = "correct the name, or add the Namespace; of one that is made elsewhere nothing needs to be changed";
                    self.doubt(resource, &pointer, "namespace", message, help);
                }
                if field == "includedNamespaces" && self.around.excluded.contains(namespace.as_str()) {
                    let message = "this namespace carries the label velero.io/exclude-from-backup, so that no backup holds it";
                    let help = "take the label off the Namespace, or take it out here";
                    self.wrong(resource, &pointer, "value", message, help);
                }
                if let Err(help) = namespace_pattern(namespace) {
                    let message = "Velero reads this neither as a namespace nor as a pattern of some: every backup would fail its validation";
                    self.wrong(resource, &pointer, "value", message, help);
                }
            }
        }
    }

    /// Whether namespaces are made in the tree, and this one is not: Velero backs a namespace that is not there up as nothing, and calls
    /// it well.
    fn is_nowhere(&self, namespace: &str) -> bool {
        let made = &self.around.namespaces;
        !made.is_empty() && !made.contains(namespace)
    }

    fn hooks(&mut self, resource: &Resource, spec: &BackupPolicySpec) {
        let mut named = BTreeSet::new();
        for (index, hook) in spec.hooks.iter().enumerate() {
            let pointer = format!("/spec/hooks/{index}");
            if hook.name.is_empty() || !named.insert(&hook.name) {
                let help = "name each differently: Velero's reports tell hooks by their names";
                self.wrong(
                    resource,
                    &format!("{pointer}/name"),
                    "name",
                    "two hooks have this name, or it is empty",
                    help,
                );
            }
            if hook.pre.is_none() && hook.post.is_none() {
                let help = "write `pre`, `post` or both, each with a `command`";
                self.wrong(
                    resource,
                    &pointer,
                    "missing-field",
                    "this hook runs no command",
                    help,
                );
            }
            for (position, namespace) in hook.namespaces.iter().enumerate() {
                if !drills::is_backed_up(spec, namespace) {
                    let message = format!(
                        "no backup of this policy holds namespace {}",
                        resource.origin.told(namespace)
                    );
                    let pointer = format!("{pointer}/namespaces/{position}");
                    let help = "name one of `includedNamespaces`, or take it out";
                    self.wrong(resource, &pointer, "value", message, help);
                }
            }
            self.hook_times(resource, hook, &pointer);
            self.selector(resource, &format!("{pointer}/selector"), hook.selector.as_ref());
        }
    }

    fn hook_times(&mut self, resource: &Resource, hook: &BackupHook, pointer: &str) {
        for (when, command) in [("pre", &hook.pre), ("post", &hook.post)] {
            if let Some(timeout) = command.as_ref().and_then(|command| command.timeout.as_ref()) {
                self.duration(resource, &format!("{pointer}/{when}/timeout"), timeout);
            }
        }
    }
}

/// Whether a text is a namespace's name or a pattern, as Velero reads it (1.18, `pkg/util/wildcard`), or what to write instead.
fn namespace_pattern(text: &str) -> Result<(), &'static str> {
    if text.contains(['{', '}', ',', '|', '(', ')', '!']) {
        return Err(
            "write each alternative as an entry of its own: only `*`, `?` and `[…]` are read in patterns",
        );
    }
    if text.contains("**") {
        return Err("write a single `*` for any characters");
    }
    let (mut rest, closed) = (
        text,
        "close each `[` with a `]`, with what it stands for between them",
    );
    while let Some((before, set)) = rest.split_once('[') {
        match set.split_once(']') {
            Some((inner, after)) if !inner.is_empty() && !before.contains(']') => rest = after,
            _ => return Err(closed),
        }
    }
    if rest.contains(']') {
        return Err(closed);
    }
    // Velero checks what is left when each sign of a pattern is a letter.
    let name = text.replace(['*', '?', '[', ']'], "x");
    match word(&name) && name.len() <= NAMESPACE_MAX {
        true => Ok(()),
        false => Err("write lower case letters, digits and -, at most 63 of them"),
    }
}
