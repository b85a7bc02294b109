//! Velero's own objects, where they stand in Git beside ours: the same rules as for those that are rendered.

use super::super::Reader;
use super::schedules::SCHEDULE_NAME_MAX;
use crate::model::desired::{Resource, text_at};
use crate::model::secret::MASK;
use serde_json::Value;

impl Reader<'_> {
    /// A Schedule of Velero: one that it does not read, that never fires, or whose backups go nowhere.
    pub(in crate::parse::understand) fn raw_schedule(&mut self, resource: &Resource) {
        let text = text_at(&resource.value, &["spec", "schedule"]);
        // What is missing the API server says.
        if !text.is_empty() {
            drop(self.cron(resource, "/spec/schedule", text));
        }
        if resource.name().len() > SCHEDULE_NAME_MAX {
            let message = "the name of this Schedule is too long: Velero makes no backup of it";
            let help = format!(
                "keep it below {SCHEDULE_NAME_MAX} characters: Velero adds a date and puts it into labels"
            );
            self.wrong(resource, "/metadata/name", "value", message, help);
        }
        let pointer = ["spec", "template", "storageLocation"];
        let (namespace, name) = (resource.namespace(), text_at(&resource.value, &pointer));
        let around = &self.around;
        let ours = around.locations.keys().copied();
        let raw = around
            .raw_locations
            .iter()
            .map(|one| (one.namespace(), one.name()));
        let mut here = ours
            .chain(raw)
            .filter(|(there, _)| *there == namespace)
            .peekable();
        // A tree without any leaves them to somebody else.
        let unknown = here.peek().is_some() && !name.is_empty() && !here.any(|(_, known)| known == name);
        if unknown && !around.is_misspelt("BackupLocation", namespace, name) {
            let message = format!(
                "there is no BackupLocation or BackupStorageLocation {} in this namespace: every backup would fail its validation",
                resource.origin.told(name)
            );
            let help = "correct the name, or add the location";
            self.wrong(
                resource,
                "/spec/template/storageLocation",
                "reference",
                message,
                help,
            );
        }
    }

    /// A BackupStorageLocation of Velero that is the default beside another one.
    pub(in crate::parse::understand) fn raw_location(&mut self, resource: &Resource) {
        let is_default = |one: &Resource| one.value.pointer("/spec/default") == Some(&Value::Bool(true));
        if !is_default(resource) {
            return;
        }
        let of_namespace = |one: &&&Resource| one.namespace() == resource.namespace() && is_default(one);
        let ours = self.around.locations.values();
        let before = self.around.raw_locations.iter();
        let before = before.take_while(|one| !std::ptr::eq(**one, resource));
        let other = ours.chain(before).find(of_namespace);
        if let Some(other) = other {
            let name = match other.origin.secret || resource.origin.secret {
                true => MASK,
                false => other.name(),
            };
            let message = format!("{} {name} is the default of this namespace too", other.kind());
            let help =
                "set `default: false` on one: Velero keeps a single default, and writes it into the others";
            self.wrong(resource, "/spec/default", "default-location", message, help);
        }
    }
}
