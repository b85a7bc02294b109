//! The kinds that are served: a table of the built-in ones, and what a CustomResourceDefinition adds.

use serde_json::Value;

use super::schema::Shape;

/// A served kind.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Kind {
    /// API group; empty for the core group.
    pub(super) group: String,
    /// Served versions, the preferred one first.
    pub(super) versions: Vec<Version>,
    /// `StorageClass`.
    pub(super) kind: String,
    /// `storageclasses`.
    pub(super) plural: String,
    /// `storageclass`.
    pub(super) singular: String,
    /// `sc`.
    pub(super) short: Vec<String>,
    /// `all` and the like.
    pub(super) categories: Vec<String>,
    /// Whether its objects live in namespaces.
    pub(super) namespaced: bool,
    /// Whether `metadata.generation` counts its changes.
    pub(super) generation: bool,
    /// Whether a CustomResourceDefinition made it.
    pub(super) custom: bool,
}

/// A version of a kind.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Version {
    /// `v1`.
    pub(super) name: String,
    /// Whether `status` is a subresource.
    pub(super) status: bool,
    /// The `openAPIV3Schema` of a custom resource.
    pub(super) schema: Option<Value>,
    /// `additionalPrinterColumns`.
    pub(super) columns: Vec<Value>,
}

const NAMESPACED: u8 = 1;
const STATUS: u8 = 2;
const GENERATION: u8 = 4;

/// Group, version, kind, plural, short name, flags.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    u8,
);

const BUILT_IN: &[Row] = &[
    ("", "v1", "ConfigMap", "configmaps", "cm", NAMESPACED),
    ("", "v1", "Endpoints", "endpoints", "ep", NAMESPACED),
    ("", "v1", "Event", "events", "ev", NAMESPACED),
    ("", "v1", "Namespace", "namespaces", "ns", STATUS),
    ("", "v1", "Node", "nodes", "no", STATUS),
    ("", "v1", "PersistentVolume", "persistentvolumes", "pv", STATUS),
    (
        "",
        "v1",
        "PersistentVolumeClaim",
        "persistentvolumeclaims",
        "pvc",
        NAMESPACED | STATUS,
    ),
    ("", "v1", "Pod", "pods", "po", NAMESPACED | STATUS | GENERATION),
    (
        "",
        "v1",
        "ResourceQuota",
        "resourcequotas",
        "quota",
        NAMESPACED | STATUS,
    ),
    ("", "v1", "Secret", "secrets", "", NAMESPACED),
    ("", "v1", "Service", "services", "svc", NAMESPACED | STATUS),
    ("", "v1", "ServiceAccount", "serviceaccounts", "sa", NAMESPACED),
    (
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        "crd",
        STATUS | GENERATION,
    ),
    (
        "apps",
        "v1",
        "DaemonSet",
        "daemonsets",
        "ds",
        NAMESPACED | STATUS | GENERATION,
    ),
    (
        "apps",
        "v1",
        "Deployment",
        "deployments",
        "deploy",
        NAMESPACED | STATUS | GENERATION,
    ),
    (
        "apps",
        "v1",
        "ReplicaSet",
        "replicasets",
        "rs",
        NAMESPACED | STATUS | GENERATION,
    ),
    (
        "apps",
        "v1",
        "StatefulSet",
        "statefulsets",
        "sts",
        NAMESPACED | STATUS | GENERATION,
    ),
    (
        "batch",
        "v1",
        "CronJob",
        "cronjobs",
        "cj",
        NAMESPACED | STATUS | GENERATION,
    ),
    ("batch", "v1", "Job", "jobs", "", NAMESPACED | STATUS | GENERATION),
    ("coordination.k8s.io", "v1", "Lease", "leases", "", NAMESPACED),
    ("events.k8s.io", "v1", "Event", "events", "ev", NAMESPACED),
    (
        "networking.k8s.io",
        "v1",
        "NetworkPolicy",
        "networkpolicies",
        "netpol",
        NAMESPACED | GENERATION,
    ),
    (
        "policy",
        "v1",
        "PodDisruptionBudget",
        "poddisruptionbudgets",
        "pdb",
        NAMESPACED | STATUS | GENERATION,
    ),
    (
        "rbac.authorization.k8s.io",
        "v1",
        "ClusterRole",
        "clusterroles",
        "",
        0,
    ),
    (
        "rbac.authorization.k8s.io",
        "v1",
        "ClusterRoleBinding",
        "clusterrolebindings",
        "",
        0,
    ),
    ("rbac.authorization.k8s.io", "v1", "Role", "roles", "", NAMESPACED),
    (
        "rbac.authorization.k8s.io",
        "v1",
        "RoleBinding",
        "rolebindings",
        "",
        NAMESPACED,
    ),
    (
        "scheduling.k8s.io",
        "v1",
        "PriorityClass",
        "priorityclasses",
        "pc",
        GENERATION,
    ),
    ("storage.k8s.io", "v1", "CSIDriver", "csidrivers", "", 0),
    ("storage.k8s.io", "v1", "CSINode", "csinodes", "", 0),
    ("storage.k8s.io", "v1", "StorageClass", "storageclasses", "sc", 0),
    (
        "storage.k8s.io",
        "v1",
        "VolumeAttachment",
        "volumeattachments",
        "",
        STATUS,
    ),
];

/// The kinds that every server has.
pub(super) fn built_in() -> Vec<Kind> {
    let kind = |&(group, version, kind, plural, short, flags): &Row| Kind {
        group: group.to_owned(),
        versions: vec![Version {
            name: version.to_owned(),
            status: flags & STATUS != 0,
            schema: None,
            columns: Vec::new(),
        }],
        kind: kind.to_owned(),
        plural: plural.to_owned(),
        singular: kind.to_lowercase(),
        short: (!short.is_empty())
            .then(|| short.to_owned())
            .into_iter()
            .collect(),
        categories: Vec::new(),
        namespaced: flags & NAMESPACED != 0,
        generation: flags & GENERATION != 0,
        custom: false,
    };
    BUILT_IN.iter().map(kind).collect()
}

/// The kind that a CustomResourceDefinition defines, or nothing if it lacks what names it.
pub(super) fn from_definition(definition: &Value) -> Option<Kind> {
    let spec = &definition["spec"];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let texts = |value: &Value| {
        value
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(text)
            .collect::<Vec<_>>()
    };
    let version = |version: &Value| {
        Some(Version {
            name: text(&version["name"])?,
            status: version.pointer("/subresources/status").is_some(),
            schema: version.pointer("/schema/openAPIV3Schema").cloned(),
            columns: version["additionalPrinterColumns"]
                .as_array()
                .cloned()
                .unwrap_or_default(),
        })
    };
    let versions: Vec<_> = spec["versions"]
        .as_array()?
        .iter()
        .filter(|version| version["served"] == true)
        .filter_map(version)
        .collect();
    let kind = text(&spec["names"]["kind"])?;
    Some(Kind {
        group: text(&spec["group"])?,
        versions: (!versions.is_empty()).then_some(versions)?,
        plural: text(&spec["names"]["plural"])?,
        singular: text(&spec["names"]["singular"]).unwrap_or_else(|| kind.to_lowercase()),
        short: texts(&spec["names"]["shortNames"]),
        categories: texts(&spec["names"]["categories"]),
        namespaced: spec["scope"] == "Namespaced",
        generation: true,
        custom: true,
        kind,
    })
}

impl Kind {
    /// The version of that name.
    pub(super) fn version(&self, name: &str) -> Option<&Version> {
        self.versions.iter().find(|version| version.name == name)
    }

    /// `storageclasses.storage.k8s.io`; plain `pods` in the core group.
    pub(super) fn resource(&self) -> String {
        qualified(&self.plural, &self.group)
    }

    /// `StorageClass.storage.k8s.io`; plain `Pod` in the core group.
    pub(super) fn qualified_kind(&self) -> String {
        qualified(&self.kind, &self.group)
    }

    /// `storage.k8s.io/v1`.
    pub(super) fn api_version(&self, version: &str) -> String {
        match self.group.as_str() {
            "" => version.to_owned(),
            group => format!("{group}/{version}"),
        }
    }

    /// How its objects are put together.
    pub(super) fn shape(&self, version: &str) -> Shape<'_> {
        match (
            self.custom,
            self.version(version).and_then(|version| version.schema.as_ref()),
        ) {
            (true, Some(schema)) => Shape::Root(schema),
            _ => Shape::BuiltIn(""),
        }
    }

    /// Whether `metadata.resourceVersion` must be given to replace an object.
    pub(super) fn must_name_version(&self) -> bool {
        self.custom || matches!(self.plural.as_str(), "leases" | "customresourcedefinitions")
    }
}

fn qualified(name: &str, group: &str) -> String {
    match group {
        "" => name.to_owned(),
        group => format!("{name}.{group}"),
    }
}
