//! Objects while they are built: what each is called now, what it was called before, and how it is found.

use crate::model::desired::{Resource, text_at};
use serde_json::Value;
use std::collections::HashMap;

/// What an object is called. kustomize tells objects apart by version too.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Id {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) kind: String,
    /// As it is written; "" for none.
    pub(super) namespace: String,
    pub(super) name: String,
}

/// Stands for "has no namespace" where namespaces are compared.
const NO_NAMESPACE: &str = "_non_namespaceable_";

impl Id {
    /// The id that an object's own text gives.
    pub(super) fn of(value: &Value) -> Self {
        let text = |path: &[&str]| text_at(value, path);
        let (group, version) = split_api_version(text(&["apiVersion"]));
        Self {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: text(&["kind"]).to_owned(),
            namespace: text(&["metadata", "namespace"]).to_owned(),
            name: text(&["metadata", "name"]).to_owned(),
        }
    }

    /// The namespace for comparisons: none given means `default`, and a kind without namespaces has none.
    pub(super) fn effective_namespace(&self) -> &str {
        if is_cluster_scoped(&self.group, &self.kind) {
            NO_NAMESPACE
        } else if self.namespace.is_empty() {
            "default"
        } else {
            &self.namespace
        }
    }

    fn key(&self) -> String {
        format!(
            "{}\n{}\n{}\n{}\n{}",
            self.name,
            self.kind,
            self.group,
            self.version,
            self.effective_namespace()
        )
    }
}

/// `apps/v1` → (`apps`, `v1`); the core group has no name.
pub(super) fn split_api_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

/// What a generated object does to one that is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Behavior {
    /// It must not be there.
    #[default]
    Create,
    /// It takes the other's place.
    Replace,
    /// Its data is laid over the other's.
    Merge,
}

/// An object.
#[derive(Clone)]
pub(super) struct Object {
    pub(super) resource: Resource,
    /// What it was called before each change of its name or namespace, the oldest first.
    pub(super) before: Vec<Id>,
    pub(super) prefixes: Vec<String>,
    pub(super) suffixes: Vec<String>,
    /// Whether a hash of its content is to be added to its name.
    pub(super) hash: bool,
    pub(super) behavior: Behavior,
    /// Where the build read or made it, for `originAnnotations`.
    pub(super) source: Source,
}

/// Where an object came from, as kustomize's origin annotation says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A file, from the folder that is built.
    File(String),
    /// A generator of a kustomization file.
    Generator {
        /// The file.
        file: String,
        /// `ConfigMapGenerator` or `SecretGenerator`.
        kind: &'static str,
    },
}

impl Object {
    pub(super) fn new(resource: Resource, source: Source) -> Self {
        Self {
            resource,
            before: Vec::new(),
            prefixes: Vec::new(),
            suffixes: Vec::new(),
            hash: false,
            behavior: Behavior::Create,
            source,
        }
    }

    /// What it is called now.
    pub(super) fn id(&self) -> Id {
        Id::of(&self.resource.value)
    }

    /// What it was called first.
    pub(super) fn first_id(&self) -> Id {
        self.before.first().cloned().unwrap_or_else(|| self.id())
    }

    /// Remembers what it is called, before that changes.
    pub(super) fn remember(&mut self) {
        let mut id = self.id();
        id.namespace = id.effective_namespace().to_owned();
        if id.namespace == NO_NAMESPACE {
            id.namespace = String::new();
        }
        if self.before.last() != Some(&id) {
            self.before.push(id);
        }
    }

    /// Everything that it is or was called. Earlier names stay with the group and version that it has now, as in kustomize.
    pub(super) fn ids(&self) -> Vec<Id> {
        let now = self.id();
        let mut ids: Vec<Id> = self
            .before
            .iter()
            .map(|id| Id {
                group: now.group.clone(),
                version: now.version.clone(),
                ..id.clone()
            })
            .collect();
        ids.push(now);
        ids
    }
}

/// Finds objects by any name that they have or had, without looking at each.
#[derive(Default)]
pub(super) struct Index {
    by_id: HashMap<String, Vec<usize>>,
    by_name: HashMap<String, Vec<usize>>,
}

impl Index {
    pub(super) fn new(objects: &[Object]) -> Self {
        let mut index = Self::default();
        for (position, object) in objects.iter().enumerate() {
            index.add(position, object);
        }
        index
    }

    /// Adds the names of one object; those that it lost stay, because they still find it.
    pub(super) fn add(&mut self, position: usize, object: &Object) {
        for id in object.ids() {
            for (map, key) in [(&mut self.by_id, id.key()), (&mut self.by_name, id.name)] {
                let positions = map.entry(key).or_default();
                if positions.last() != Some(&position) {
                    positions.push(position);
                }
            }
        }
    }

    /// Objects that are or were called so.
    pub(super) fn by_id(&self, id: &Id) -> &[usize] {
        self.by_id.get(&id.key()).map_or(&[], Vec::as_slice)
    }

    /// Objects whose name is or was this.
    pub(super) fn by_name(&self, name: &str) -> &[usize] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }
}

/// Kinds of Kubernetes that have no namespace, with their groups; then ours and our neighbours', of which kustomize knows
/// nothing (it would put them into a namespace, and the API server would refuse them).
const CLUSTER_SCOPED: [(&str, &str); 39] = [
    ("", "ComponentStatus"),
    ("", "Namespace"),
    ("", "Node"),
    ("", "PersistentVolume"),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("apiregistration.k8s.io", "APIService"),
    ("authentication.k8s.io", "TokenReview"),
    ("authorization.k8s.io", "SelfSubjectAccessReview"),
    ("authorization.k8s.io", "SelfSubjectRulesReview"),
    ("authorization.k8s.io", "SubjectAccessReview"),
    ("certificates.k8s.io", "CertificateSigningRequest"),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"),
    ("internal.apiserver.k8s.io", "StorageVersion"),
    ("networking.k8s.io", "IngressClass"),
    ("node.k8s.io", "RuntimeClass"),
    ("policy", "PodSecurityPolicy"),
    ("rbac.authorization.k8s.io", "ClusterRole"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
    ("scheduling.k8s.io", "PriorityClass"),
    ("storage.k8s.io", "CSIDriver"),
    ("storage.k8s.io", "CSINode"),
    ("storage.k8s.io", "StorageClass"),
    ("storage.k8s.io", "VolumeAttachment"),
    ("storage.k8s.io", "VolumeAttributesClass"),
    ("snapshot.storage.k8s.io", "VolumeSnapshotClass"),
    ("snapshot.storage.k8s.io", "VolumeSnapshotContent"),
    ("groupsnapshot.storage.k8s.io", "VolumeGroupSnapshotClass"),
    ("resource.k8s.io", "DeviceClass"),
    ("gateway.networking.k8s.io", "GatewayClass"),
    ("cert-manager.io", "ClusterIssuer"),
    ("storage.billyronks.io", "Rollout"),
    ("storage.billyronks.io", "StoragePolicy"),
    ("storage.billyronks.io", "StorageTier"),
    ("storage.billyronks.io", "VolumeMigration"),
];

/// Whether a kind has no namespace.
pub(super) fn is_cluster_scoped(group: &str, kind: &str) -> bool {
    CLUSTER_SCOPED.contains(&(group, kind))
}
