//! One dated, immutable reading of the world, in compact records. It can be written to a file and read back, so that a plan can be
//! made without a cluster.
//!
//! A hundred thousand volumes are ordinary, so a record holds indices and short names, not objects: they are joined by `Observation::assemble`.

use super::claims::Claims;
use super::engine::{Node, Pool};
use super::glance::Volumes;
use super::ids::{ClaimRef, NodeName, PoolName, VolumeName};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroI64;
use std::sync::Arc;

/// Answers as JSON.
mod answers;

/// Why a volume could not be moved.
mod unfit;

pub use unfit::Unfit;

/// Who provides a volume, as the cluster says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provider {
    /// A Mayastor volume, by its uuid.
    Mayastor(String),
    /// A Longhorn volume, by its name.
    Longhorn(String),
    /// OpenEBS LocalPV or another volume that lives on one node.
    Local,
    /// Anything else, by its CSI driver.
    Other(String),
}

/// Until when a person keeps a volume where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pin {
    /// Until the annotation is taken away.
    Always,
    /// Until then, in seconds since the epoch.
    Until(i64),
    /// The annotation cannot be read; a person meant something by it, so the volume stays.
    Unreadable,
}

/// A bound PersistentVolume with its claim, as the cluster says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterVolume {
    /// The PersistentVolume.
    pub name: VolumeName,
    /// The claim that it is bound to.
    pub claim: ClaimRef,
    /// The claim's labels.
    pub claim_labels: BTreeMap<String, String>,
    /// Its StorageClass.
    pub storage_class: String,
    /// Who provides it.
    pub provider: Provider,
    /// When couchestor last moved it, from the annotation on the PersistentVolume.
    pub last_migration: Option<Timestamp>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// Whether a person keeps it where it is, from the annotation on the claim.
    pub pin: Option<Pin>,
}

/// What policies select volumes by; volumes that are alike share one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Group {
    /// The StorageClass; few are shared by many.
    #[serde(with = "shared")]
    pub storage_class: Arc<str>,
    /// The claim's labels, in order of key; keys are shared too.
    #[serde(with = "pairs")]
    pub labels: Box<[(Arc<str>, Box<str>)]>,
}

impl Group {
    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        // A claim has a handful of labels.
        let found = self.labels.iter().find(|(own, _)| **own == *key);
        found.map(|(_, value)| &**value)
    }
}

/// Labels are written as a mapping.
mod pairs {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::collections::BTreeMap;
    use std::sync::Arc;

    type Pairs = Box<[(Arc<str>, Box<str>)]>;

    pub(super) fn serialize<S: Serializer>(pairs: &Pairs, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(pairs.iter().map(|(key, value)| (&**key, value)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Pairs, D::Error> {
        let read = BTreeMap::<Box<str>, Box<str>>::deserialize(from)?;
        Ok(read.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }
}

/// No pool or node of that name was read.
pub const UNKNOWN: u32 = u32::MAX;

/// Where a copy is, by the indices of [`Fleet`], or [`UNKNOWN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyAt {
    /// Its pool.
    pub pool: u32,
    /// Its node.
    pub node: u32,
}

/// Copies of a volume, in place as long as there are few.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<CopyAt>", into = "Vec<CopyAt>")]
pub struct Copies(Kept);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kept {
    Few([CopyAt; Copies::FEW], u8),
    Many(Box<[CopyAt]>),
}

impl Copies {
    const FEW: usize = 3;
}

impl std::ops::Deref for Copies {
    type Target = [CopyAt];

    fn deref(&self) -> &[CopyAt] {
        match &self.0 {
            Kept::Few(few, count) => &few[..usize::from(*count)],
            Kept::Many(many) => many,
        }
    }
}

impl FromIterator<CopyAt> for Copies {
    fn from_iter<I: IntoIterator<Item = CopyAt>>(copies: I) -> Self {
        let mut few = [CopyAt {
            pool: UNKNOWN,
            node: UNKNOWN,
        }; Self::FEW];
        let mut copies = copies.into_iter();
        let mut count = 0;
        for (place, copy) in few.iter_mut().zip(copies.by_ref()) {
            *place = copy;
            count += 1;
        }
        let mut rest = copies.peekable();
        Self(match rest.peek() {
            None => Kept::Few(few, count),
            Some(_) => Kept::Many(few.into_iter().chain(rest).collect()),
        })
    }
}

impl From<Vec<CopyAt>> for Copies {
    fn from(copies: Vec<CopyAt>) -> Self {
        copies.into_iter().collect()
    }
}

impl From<Copies> for Vec<CopyAt> {
    fn from(copies: Copies) -> Self {
        copies.to_vec()
    }
}

/// What the engine says of a volume, as far as deciding needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MayastorVolume {
    /// Its uuid, when it is not what follows `pvc-` in the PersistentVolume's name.
    pub uuid: Option<Box<str>>,
    /// Size in bytes.
    pub size: u64,
    /// Its copies.
    pub copies: Copies,
    /// Its topology, by the index in [`Fleet::topologies`].
    pub topology: u32,
    /// How many copies it should have.
    pub wanted_copies: u8,
    /// Thin provisioned.
    pub thin: bool,
    /// Encrypted.
    pub encrypted: bool,
    /// Why it could not be moved now.
    pub unfit: Option<Unfit>,
}

/// What a volume is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Backing {
    /// A volume that an engine knows which moves copies: Mayastor, or Longhorn, whose volumes have the same facts.
    Mayastor(MayastorVolume),
    /// A volume of Mayastor's driver that its API does not show.
    NotInEngine,
    /// One node's own disk.
    Local,
    /// Another driver; few are shared by many.
    Other(#[serde(with = "shared")] Arc<str>),
}

/// A bound PersistentVolume with its claim, in brief.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundVolume {
    /// The PersistentVolume.
    pub name: Box<str>,
    /// The claim's namespace.
    #[serde(with = "shared")]
    pub namespace: Arc<str>,
    /// The claim.
    pub claim: Box<str>,
    /// What it is made of.
    pub backing: Backing,
    /// What policies select it by, an index of [`Observation::groups`].
    pub group: u32,
    /// When couchestor last moved it, in seconds since the epoch, at which nothing was moved.
    pub last_migration: Option<NonZeroI64>,
    /// When it was made, in seconds since the epoch.
    pub created: Option<NonZeroI64>,
    /// Whether a person keeps it where it is.
    pub pin: Option<Pin>,
}

mod shared {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::sync::Arc;

    pub(super) fn serialize<S: Serializer>(text: &Arc<str>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<str>, D::Error> {
        Ok(String::deserialize(from)?.into())
    }
}

impl BoundVolume {
    /// The claim by namespace and name.
    pub fn claim_ref(&self) -> ClaimRef {
        ClaimRef {
            namespace: self.namespace.to_string(),
            name: self.claim.to_string(),
        }
    }

    /// The PersistentVolume's name.
    pub fn volume_name(&self) -> VolumeName {
        VolumeName(self.name.to_string())
    }

    /// The uuid by which Mayastor knows it, or what stands in its place for a volume of Longhorn.
    pub fn uuid(&self) -> Option<&str> {
        let Backing::Mayastor(volume) = &self.backing else {
            return None;
        };
        let own = volume.uuid.as_deref();
        own.or_else(|| self.name.strip_prefix("pvc-"))
    }

    pub(super) fn key(&self) -> (&str, &str) {
        (&self.namespace, &self.claim)
    }
}

/// Which pools and nodes a volume's topology admits.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Topology {
    /// Pool labels that it demands; an empty value means "any value of this key".
    pub pool_inclusion: BTreeMap<String, String>,
    /// Node labels that it demands, likewise.
    pub node_inclusion: BTreeMap<String, String>,
    /// Nodes that it may use; empty means all.
    pub allowed_nodes: Vec<NodeName>,
}

/// The storage engine's pools and nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fleet {
    /// Pools in order of name.
    pub pools: Vec<Pool>,
    /// Nodes in order of name.
    pub nodes: Vec<Node>,
    /// Topologies of volumes, each once.
    pub topologies: Vec<Topology>,
}

impl Fleet {
    /// The index of a node, or [`UNKNOWN`].
    pub fn node(&self, name: &NodeName) -> u32 {
        let found = self.nodes.binary_search_by(|node| node.name.cmp(name));
        found.map_or(UNKNOWN, index)
    }

    /// The index of a pool, or [`UNKNOWN`].
    pub fn pool(&self, name: &PoolName) -> u32 {
        let found = self.pools.binary_search_by(|pool| pool.name.cmp(name));
        found.map_or(UNKNOWN, index)
    }
}

pub(super) fn index(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(UNKNOWN)
}

/// One value per volume, in the order of [`Observation::volumes`]; not a number where there is none. `Err` says why nothing was
/// read. A value that is missing is unknown, never zero.
pub type Answer = Result<Vec<f64>, String>;

/// What a server said to a question: values by PersistentVolume.
pub type RawAnswer = Result<HashMap<String, f64>, String>;

/// A claim without a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnboundClaim {
    /// Which.
    pub claim: ClaimRef,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// One reading of the world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// When it was taken.
    pub at: Timestamp,
    /// Bound volumes in order of claim.
    pub volumes: Volumes,
    /// What policies select them by.
    pub groups: Vec<Group>,
    /// Names of StorageClasses that a volume or a claim refers to.
    pub classes_in_use: BTreeSet<String>,
    /// The storage engine, or why it could not be read: then nothing is decided.
    pub engine: Result<Fleet, String>,
    /// Signals by the query that was asked.
    #[serde(with = "answers")]
    pub answers: BTreeMap<String, Answer>,
    /// Claims in the namespaces of rollouts that have no volume yet.
    #[serde(default)]
    pub unbound: Vec<UnboundClaim>,
    /// Figures that are of no volume, by the query that was asked.
    #[serde(default)]
    pub figures: BTreeMap<String, Result<f64, String>>,
    /// Where each claim's volumes are; their order never changes.
    #[serde(skip)]
    pub(super) claims: Claims,
}

impl Observation {
    /// The index of a claim's volume.
    pub fn find(&self, claim: &ClaimRef) -> Option<usize> {
        self.claims.first(&self.volumes, &claim.namespace, &claim.name)
    }

    /// The indices of all volumes of a claim; there should be one.
    pub fn all_of(&self, claim: &ClaimRef) -> std::ops::Range<usize> {
        self.all_from(self.find(claim))
    }

    /// The indices of all volumes of each of many claims, which takes a fraction of the time of asking one by one.
    pub fn all_of_each<'c>(
        &self,
        claims: impl Iterator<Item = &'c ClaimRef> + Clone,
    ) -> impl Iterator<Item = std::ops::Range<usize>> {
        let keys = claims.map(|claim| (claim.namespace.as_str(), claim.name.as_str()));
        let found = self.claims.first_of_each(&self.volumes, keys);
        found.into_iter().map(|first| self.all_from(first))
    }

    /// A claim's volumes from its first on.
    fn all_from(&self, first: Option<usize>) -> std::ops::Range<usize> {
        let Some(first) = first else { return 0..0 };
        if !self.claims.has_several(&self.volumes) {
            return first..first + 1;
        }
        let key = self.volumes[first].key();
        let more = self.volumes[first + 1..].iter();
        first..first + 1 + more.take_while(|volume| volume.key() == key).count()
    }

    /// The index of a volume by its claim and its own name.
    pub fn index_of(&self, namespace: &str, claim: &str, name: &str) -> Option<usize> {
        let key = (namespace, claim);
        let first = self.claims.first(&self.volumes, namespace, claim)?;
        let same = self.volumes[first..]
            .iter()
            .take_while(|volume| volume.key() == key);
        same.zip(first..)
            .find_map(|(volume, index)| (*volume.name == *name).then_some(index))
    }

    /// What policies select a volume by.
    pub fn group(&self, volume: &BoundVolume) -> Option<&Group> {
        self.groups.get(volume.group as usize)
    }
}
