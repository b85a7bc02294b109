//! Objects while they are built: what each is called now, what it was called before, and how it is found.

use crate::model::desired::{Resource, text_at};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

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
pub(super) const NO_NAMESPACE: &str = "_non_namespaceable_";

/// The same, as it stands in an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Named<'a> {
    pub(super) group: &'a str,
    pub(super) version: &'a str,
    pub(super) kind: &'a str,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
}

impl<'a> Named<'a> {
    /// The id that an object's own text gives.
    pub(super) fn of(value: &'a Value) -> Self {
        let (group, version) = split_api_version(text_at(value, &["apiVersion"]));
        let metadata = value.get("metadata");
        let text = |field: &str| metadata.and_then(|all| all.get(field)).and_then(Value::as_str);
        Self {
            group,
            version,
            kind: text_at(value, &["kind"]),
            namespace: text("namespace").unwrap_or_default(),
            name: text("name").unwrap_or_default(),
        }
    }

    /// The namespace for comparisons: none given means `default`, and a kind without namespaces has none.
    pub(super) fn effective_namespace(&self) -> &'a str {
        if is_cluster_scoped(self.group, self.kind) {
            NO_NAMESPACE
        } else if self.namespace.is_empty() {
            "default"
        } else {
            self.namespace
        }
    }

    /// A copy.
    pub(super) fn to_id(self) -> Id {
        Id {
            group: self.group.to_owned(),
            version: self.version.to_owned(),
            kind: self.kind.to_owned(),
            namespace: self.namespace.to_owned(),
            name: self.name.to_owned(),
        }
    }
}

impl Id {
    /// The id that an object's own text gives.
    pub(super) fn of(value: &Value) -> Self {
        Named::of(value).to_id()
    }

    /// Without a copy.
    pub(super) fn named(&self) -> Named<'_> {
        Named {
            group: &self.group,
            version: &self.version,
            kind: &self.kind,
            namespace: &self.namespace,
            name: &self.name,
        }
    }

    /// The namespace for comparisons.
    pub(super) fn effective_namespace(&self) -> &str {
        self.named().effective_namespace()
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
    /// A file. What is merged into its object by a generator keeps it, and not where its text comes from.
    File(Arc<str>),
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

    /// An object as its file has it.
    pub(super) fn of_file(resource: Resource) -> Self {
        let source = Source::File(resource.origin.path.clone());
        Self::new(resource, source)
    }

    /// What it is called now.
    pub(super) fn id(&self) -> Id {
        Id::of(&self.resource.value)
    }

    /// The same, without a copy.
    pub(super) fn named(&self) -> Named<'_> {
        Named::of(&self.resource.value)
    }

    /// Its annotations, if it has any.
    pub(super) fn annotations(&self) -> Option<&Map<String, Value>> {
        self.resource
            .value
            .get("metadata")?
            .get("annotations")?
            .as_object()
    }

    /// What it was called first.
    pub(super) fn first_named(&self) -> Named<'_> {
        self.before.first().map_or_else(|| self.named(), Id::named)
    }

    /// Remembers what it is called, before that changes.
    pub(super) fn remember(&mut self) {
        let mut named = self.named();
        let namespace = named.effective_namespace();
        named.namespace = if namespace == NO_NAMESPACE { "" } else { namespace };
        if self.before.last().map(Id::named) != Some(named) {
            let id = named.to_id();
            self.before.push(id);
        }
    }

    /// Everything that it is or was called. Earlier names stay with the group and version that it has now, as in kustomize.
    pub(super) fn all_named(&self) -> impl Iterator<Item = Named<'_>> {
        let now = self.named();
        let before = self.before.iter().map(move |id| Named {
            group: now.group,
            version: now.version,
            ..id.named()
        });
        before.chain([now])
    }
}

/// Finds objects by any name that they have or had, without looking at each.
///
/// The maps go by keyed hashes of the texts, not by copies of them; nobody can know two texts of one hash, and all but
/// [`by_id`](Self::by_id) are looked at again by those who ask.
#[derive(Default)]
pub(super) struct Index {
    hasher: RandomState,
    by_id: HashMap<u64, Vec<usize>>,
    by_name: HashMap<u64, Vec<usize>>,
    by_kind: HashMap<u64, Vec<usize>>,
}

impl Index {
    pub(super) fn new(objects: &[Object]) -> Self {
        let mut index = Self::default();
        index.by_id.reserve(objects.len());
        index.by_name.reserve(objects.len());
        for (position, object) in objects.iter().enumerate() {
            index.add(position, object);
        }
        index
    }

    fn id_hash(&self, id: Named) -> u64 {
        let namespace = id.effective_namespace();
        self.hasher.hash_one(Named { namespace, ..id })
    }

    /// Adds the names of one object; those that it lost stay, because they still find it.
    pub(super) fn add(&mut self, position: usize, object: &Object) {
        for id in object.all_named() {
            let keys = [
                self.id_hash(id),
                self.hasher.hash_one(id.name),
                self.hasher.hash_one(id.kind),
            ];
            let maps = [&mut self.by_id, &mut self.by_name, &mut self.by_kind];
            for (map, key) in maps.into_iter().zip(keys) {
                let positions = map.entry(key).or_default();
                // In their order, and each once: what is done to those that are found is done once to each.
                if let Err(at) = positions.binary_search(&position) {
                    positions.insert(at, position);
                }
            }
        }
    }

    /// Objects that are or were called so.
    pub(super) fn by_id(&self, id: Named) -> &[usize] {
        self.by_id.get(&self.id_hash(id)).map_or(&[], Vec::as_slice)
    }

    /// Objects whose name is or was this.
    pub(super) fn by_name(&self, name: &str) -> &[usize] {
        let key = self.hasher.hash_one(name);
        self.by_name.get(&key).map_or(&[], Vec::as_slice)
    }

    /// Objects whose kind is or was this.
    pub(super) fn by_kind(&self, kind: &str) -> &[usize] {
        let key = self.hasher.hash_one(kind);
        self.by_kind.get(&key).map_or(&[], Vec::as_slice)
    }
}

/// Kinds of Kubernetes that have no namespace, with their groups; then ours and our neighbours', of which kustomize knows
/// nothing (it would put them into a namespace, and the API server would refuse them).
const CLUSTER_SCOPED: [(&str, &str); 41] = [
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
    ("storage.billyronks.io", "RolloutPromotion"),
    ("storage.billyronks.io", "StoragePolicy"),
    ("storage.billyronks.io", "StorageTier"),
    ("storage.billyronks.io", "VolumeMigration"),
    ("storage.billyronks.io", "WorkloadMove"),
];

/// Whether a kind has no namespace.
pub(super) fn is_cluster_scoped(group: &str, kind: &str) -> bool {
    // It is asked of every object for every patch, and nearly all kinds differ in length or first letter.
    let begins = kind.as_bytes().first();
    let alike = |other: &str| other.len() == kind.len() && other.as_bytes().first() == begins;
    let mut all = CLUSTER_SCOPED.iter();
    all.any(|(of, other)| alike(other) && *other == kind && *of == group)
}
