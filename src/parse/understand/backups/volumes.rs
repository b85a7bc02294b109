//! How the data of volumes gets into the bucket: every StorageClass of the tree by a way that its engine has.

use super::super::Reader;
use super::around::{Class, Engine, LVM};
use super::volume_policy;
use crate::model::backups::matches;
use crate::model::desired::{Resource, text_at};
use crate::model::kinds::backup::{BackupPolicySpec, RuleMethod, VolumeMethod, VolumeRule};
use crate::model::secret::MASK;
use std::collections::BTreeSet;

/// The labels of the volumes that CloudNativePG backs up by itself, and the one that tells what a volume holds.
const CNPG_LABELS: &str = "cnpg.io/";
const PG_ROLE: &str = "cnpg.io/pvcRole";

impl<'a> Reader<'a> {
    pub(super) fn volumes(&mut self, resource: &Resource, spec: &BackupPolicySpec) {
        if let Some(policy) = &spec.volume_policy {
            if !spec.volume_rules.is_empty() {
                self.wrong(
                    resource,
                    "/spec/volumePolicy",
                    "value",
                    "`volumeRules` are rendered into a volume policy, and a backup has only one",
                    "write one of `volumeRules` and `volumePolicy`",
                );
            }
            self.volume_policy(resource, "/spec/volumePolicy/name", &policy.name);
            return;
        }
        self.rules(resource, spec);
        for class in self.around.classes.clone() {
            self.class(resource, spec, class);
        }
        self.snapshots(resource, spec);
        self.snapshot_locations(resource, spec);
        self.databases(resource, spec);
    }

    /// Velero takes the only VolumeSnapshotLocation of a provider by itself, also where CSI's snapshots need none; of two it wants to be told
    /// which, and a backup that tells none fails its validation (velero 1.18, `validateAndGetSnapshotLocations`).
    fn snapshot_locations(&mut self, resource: &Resource, spec: &BackupPolicySpec) {
        if spec.takes_snapshots() {
            self.one_snapshot_location(resource, "/spec/volumes");
        }
    }

    pub(super) fn one_snapshot_location(&mut self, resource: &Resource, pointer: &str) {
        let all = self.around.snapshot_locations.iter();
        let here = all.filter(|one| one.namespace() == resource.namespace());
        let mut providers = BTreeSet::new();
        let twice = here
            .map(|one| (text_at(&one.value, &["spec", "provider"]), one.origin.secret))
            .find(|(provider, _)| !providers.insert(*provider));
        if let Some((provider, secret)) = twice {
            let told = if secret { MASK } else { provider };
            let message = format!(
                "this repository has two VolumeSnapshotLocations of provider {told} in this namespace: every backup would fail its validation"
            );
            let help = "take one of them out: snapshots of CSI volumes need none";
            self.wrong(resource, pointer, "volume-method", message, help);
        }
    }

    pub(super) fn volume_policy(&mut self, resource: &Resource, pointer: &str, name: &str) {
        let told = resource.origin.told(name);
        let Some(config_map) = self
            .around
            .config_maps
            .get(&(resource.namespace(), name))
            .copied()
        else {
            if self.around.is_misspelt("ConfigMap", resource.namespace(), name) {
                return;
            }
            self.wrong(
                resource,
                pointer,
                "volume-policy",
                format!("this repository has no ConfigMap {told} in this namespace: every backup would fail its validation"),
                "add it, correct the name, or write `volumeRules` instead",
            );
            return;
        };
        if let Err((pointer, message)) = volume_policy::check(config_map) {
            let help = "write one key with `version: v1` and `volumePolicies`, each with `conditions` and an `action`, or write `volumeRules` instead";
            self.wrong(config_map, &pointer, "volume-policy", message, help);
        }
    }

    fn rules(&mut self, resource: &Resource, spec: &BackupPolicySpec) {
        for (index, rule) in spec.volume_rules.iter().enumerate() {
            let pointer = format!("/spec/volumeRules/{index}");
            if spec
                .volume_rules
                .iter()
                .take(index)
                .any(|earlier| takes_all_of(earlier, rule))
            {
                let message = "an earlier rule takes every volume of this one, which takes none";
                let help = "write the rule that takes fewer volumes before it";
                self.wrong(resource, &pointer, "value", message, help);
            }
            let reason = rule.reason.as_deref().unwrap_or_default().trim();
            if rule.method == RuleMethod::Skip && reason.is_empty() {
                self.wrong(
                    resource,
                    &pointer,
                    "missing-field",
                    "`reason` is required with `method: skip`",
                    "write why these volumes need no backup of their data: reports of coverage repeat it",
                );
            }
            self.labels(resource, &format!("{pointer}/claimLabels"), &rule.claim_labels);
            let bare = |class: &Class| matches!(class.engine, Engine::Hostpath | Engine::ThickLvm);
            let classes = &self.around.classes;
            if rule.method == RuleMethod::SnapshotMove
                && rule.storage_classes.is_empty()
                && !rule.claim_labels.is_empty()
                && !classes.is_empty()
                && classes.iter().all(bare)
            {
                let message = "no StorageClass of this repository has snapshots that can be restored";
                let help = "write `method: fs-backup`, or leave it if these volumes are of a class that is made elsewhere";
                self.doubt(
                    resource,
                    &format!("{pointer}/method"),
                    "volume-method",
                    message,
                    help,
                );
            }
            for (position, name) in rule.storage_classes.iter().enumerate() {
                let classes = &self.around.classes;
                if !classes.is_empty() && !classes.iter().any(|class| class.name == name) {
                    let message = format!(
                        "this repository makes no StorageClass {}",
                        resource.origin.told(name)
                    );
                    let pointer = format!("{pointer}/storageClasses/{position}");
                    let help = "correct the name, or leave it if the class is made elsewhere";
                    self.doubt(resource, &pointer, "reference", message, help);
                }
            }
        }
    }

    /// The rule or the default that takes the volumes of a class must be a way that its engine has.
    fn class(&mut self, resource: &Resource, spec: &BackupPolicySpec, class: Class<'a>) {
        // A rule with labels takes some of the volumes; the rest goes on to the next.
        let names = |rule: &VolumeRule| rule.storage_classes.iter().any(|name| name == class.name);
        let mut taken = None;
        for (index, rule) in spec.volume_rules.iter().enumerate() {
            let takes = names(rule) || rule.storage_classes.is_empty() && rule.claim_labels.is_empty();
            if takes && rule.method == RuleMethod::SnapshotMove {
                self.has_snapshots(resource, &format!("/spec/volumeRules/{index}/method"), class);
            }
            if takes && rule.claim_labels.is_empty() {
                taken = Some(index);
                break;
            }
        }
        if taken.is_none() && spec.volumes == VolumeMethod::SnapshotMove {
            self.has_snapshots(resource, "/spec/volumes", class);
        }
    }

    fn has_snapshots(&mut self, resource: &Resource, pointer: &str, class: Class<'a>) {
        let name = match class.secret || resource.origin.secret {
            true => MASK,
            false => class.name,
        };
        let (message, help) = match class.engine {
            Engine::Hostpath => (
                format!(
                    "volumes of StorageClass {name} are folders on a node, which have no snapshots: their data would not be backed up"
                ),
                "give the class a rule with `method: fs-backup` (it needs Velero's node agent: `deployNodeAgent: true` of its chart)",
            ),
            Engine::ThickLvm => (
                format!(
                    "volumes of StorageClass {name} are thick, and a snapshot of a thick LVM volume cannot be restored"
                ),
                "give the class a rule with `method: fs-backup`, or make thin volumes (`lvm: {thin: true}`) with another class",
            ),
            Engine::Csi(_) | Engine::Unknown => return,
        };
        self.wrong(resource, pointer, "volume-method", message, help);
    }

    /// A tree that has VolumeSnapshotClasses says which drivers Velero takes snapshots of. One that has none says nothing about them.
    fn snapshots(&mut self, resource: &Resource, spec: &BackupPolicySpec) {
        if !self.around.has_snapshot_classes {
            return;
        }
        let moved = |class: &Class| {
            let rule = spec.volume_rules.iter().find(|rule| {
                rule.claim_labels.is_empty()
                    && (rule.storage_classes.is_empty()
                        || rule.storage_classes.iter().any(|name| name == class.name))
            });
            match rule {
                Some(rule) => rule.method == RuleMethod::SnapshotMove,
                None => spec.volumes == VolumeMethod::SnapshotMove,
            }
        };
        let without = self.around.classes.iter().find_map(|class| match class.engine {
            Engine::Csi(driver) if moved(class) && !self.around.snapshot_drivers.contains(driver) => {
                Some(driver)
            }
            _ => None,
        });
        if let Some(driver) = without {
            let lvm = if driver == LVM {
                " (and OpenEBS 4.4 or later)"
            } else {
                ""
            };
            self.doubt(
                resource,
                "/spec/volumes",
                "volume-method",
                format!("no VolumeSnapshotClass of this repository is Velero's for {driver}"),
                format!(
                    "label one `velero.io/csi-volumesnapshot-class: \"true\"`; snapshots also need the snapshot controller, Velero's node agent and its \
                     feature EnableCSI{lvm}"
                ),
            );
        }
    }

    /// A database that runs while its files are read one by one is not in the backup as it was at any time; and one that is left out has
    /// to have a backup of its own.
    fn databases(&mut self, resource: &Resource, spec: &BackupPolicySpec) {
        let is_any = |list: &[String], namespace: &str| list.iter().any(|one| matches(one, namespace));
        let in_scope = |cluster: &&&Resource| {
            is_any(&spec.included_namespaces, cluster.namespace())
                && !is_any(&spec.excluded_namespaces, cluster.namespace())
        };
        let mut inside = self.around.clusters.iter().filter(in_scope);
        let told = |cluster: &Resource, text: &str| match cluster.origin.secret || resource.origin.secret {
            true => MASK.to_owned(),
            false => text.to_owned(),
        };
        let is_left = leaves(spec, "PG_DATA") && leaves(spec, "PG_WAL");
        let known = |rule: &VolumeRule| {
            let mut labels = rule.claim_labels.keys();
            labels.any(|label| label.starts_with(CNPG_LABELS))
        };
        if is_left {
            let bare = inside.find(|cluster| !self.around.is_backed_up_itself(cluster));
            if let Some(cluster) = bare {
                let message = format!(
                    "this leaves Cluster {} out, and nothing in this repository backs it up",
                    told(cluster, &format!("{}/{}", cluster.namespace(), cluster.name()))
                );
                let help = "give the Cluster `plugins` with its object store, and a ScheduledBackup of its own, or leave it if both are made elsewhere";
                self.doubt(
                    resource,
                    "/spec/includedNamespaces",
                    "database-backup",
                    message,
                    help,
                );
            }
        } else if let Some(cluster) = inside.next().filter(|_| !spec.volume_rules.iter().any(known)) {
            let message = format!(
                "the volumes of CloudNativePG's clusters in {} are backed up while the database writes them",
                told(cluster, cluster.namespace())
            );
            self.doubt(
                resource,
                "/spec/includedNamespaces",
                "database-backup",
                message,
                "let the database back itself up, and leave its volumes out: {claimLabels: {cnpg.io/pvcRole: PG_DATA}, method: skip, reason: …}, \
                 and the same for PG_WAL",
            );
        }
    }
}

/// Whether each volume that the later rule speaks of is taken by the earlier one.
fn takes_all_of(earlier: &VolumeRule, later: &VolumeRule) -> bool {
    let classes = |rule: &VolumeRule| rule.storage_classes.iter().cloned().collect::<BTreeSet<String>>();
    let labels = |(name, value): (&String, &String)| later.claim_labels.get(name) == Some(value);
    let fits = earlier.storage_classes.is_empty()
        || !later.storage_classes.is_empty() && classes(later).is_subset(&classes(earlier));
    fits && earlier.claim_labels.iter().all(labels)
}

/// Whether a policy leaves out the claims of CloudNativePG that hold this, whatever their class.
pub(super) fn leaves(spec: &BackupPolicySpec, role: &str) -> bool {
    let takes = spec.volume_rules.iter().find(|rule| {
        let mut labels = rule.claim_labels.iter();
        labels.all(|(key, value)| key == PG_ROLE && value == role)
    });
    match takes {
        Some(rule) => rule.method == RuleMethod::Skip && rule.storage_classes.is_empty(),
        None => spec.volume_policy.is_none() && spec.volumes == VolumeMethod::None,
    }
}
