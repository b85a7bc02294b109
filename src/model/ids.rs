//! Names of things, each a type of its own so that a pool is never passed where a node is meant.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }
    };
}

name!(
    /// A Git commit's id, 40 hexadecimal digits.
    CommitId
);
name!(
    /// A Git blob's id. Equal ids mean equal bytes, which is what every cache here relies on.
    BlobId
);
name!(
    /// The name of a PersistentVolume. It dies with the volume; a claim that is bound again gets another.
    VolumeName
);
name!(
    /// The name of a StorageTier (or of one of the two tiers that a policy's pool selectors imply).
    TierName
);
name!(
    /// The name of a StoragePolicy.
    PolicyName
);
name!(
    /// A storage node, as the storage engine names it.
    NodeName
);
name!(
    /// A disk pool, as the storage engine names it.
    PoolName
);
name!(
    /// A replica's uuid. It changes when a replica is rebuilt elsewhere, so it names one copy in one place.
    ReplicaId
);

/// A PersistentVolumeClaim by namespace and name. It outlives the volume that it is bound to.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClaimRef {
    /// The claim's namespace.
    pub namespace: String,
    /// The claim's name.
    pub name: String,
}

impl fmt::Display for ClaimRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.namespace, self.name))
    }
}

/// A PolicySource by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SourceRef {
    /// The PolicySource's namespace.
    pub namespace: String,
    /// The PolicySource's name.
    pub name: String,
}

impl fmt::Display for SourceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.namespace, self.name))
    }
}

/// A commit on a branch, written `main@sha1:<40 hex>` as Flux writes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Revision {
    /// The branch that was read.
    pub branch: String,
    /// Its tip.
    pub commit: CommitId,
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}@sha1:{}", self.branch, self.commit))
    }
}

/// A Kubernetes object by what identifies it in the cluster; its API version is only how it was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectId {
    /// API group, empty for the core group.
    pub group: String,
    /// Kind, such as `StorageClass`.
    pub kind: String,
    /// Namespace, empty for cluster-scoped objects.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ObjectId {
    /// Writes the id as Flux's inventories do: `<namespace>_<name>_<group>_<kind>`.
    pub fn inventory_id(&self) -> String {
        format!("{}_{}_{}_{}", self.namespace, self.name, self.group, self.kind)
    }

    /// `apiVersion` of a version of its group, such as `v1`.
    pub fn api_version(&self, version: &str) -> String {
        match self.group.as_str() {
            "" => version.to_owned(),
            group => format!("{group}/{version}"),
        }
    }

    /// Reads an id that [`ObjectId::inventory_id`] wrote. Names may hold `_` only in RBAC (there `:` is written `__`).
    pub fn from_inventory_id(id: &str) -> Option<Self> {
        let (namespace, rest) = id.split_once('_')?;
        let (rest, kind) = rest.rsplit_once('_')?;
        let (name, group) = rest.rsplit_once('_')?;
        Some(Self {
            group: group.to_owned(),
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.namespace.as_str() {
            "" => format!("{} {}", self.kind, self.name),
            namespace => format!("{} {namespace}/{}", self.kind, self.name),
        };
        f.pad(&text)
    }
}

/// Bytes as small hexadecimal digits: digests name things by the first of theirs.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inventory_id_reads_back_as_the_object_it_names() {
        for (namespace, name, group, kind) in [
            ("", "fast", "storage.k8s.io", "StorageClass"),
            ("velero", "daily", "velero.io", "Schedule"),
            ("db", "cloud", "", "Secret"),
        ] {
            let id = ObjectId {
                group: group.into(),
                kind: kind.into(),
                namespace: namespace.into(),
                name: name.into(),
            };
            assert_eq!(ObjectId::from_inventory_id(&id.inventory_id()), Some(id));
        }
    }
}
