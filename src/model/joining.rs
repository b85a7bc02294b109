//! What the cluster, the engine and Prometheus said becomes one observation of compact records.
//!
//! All three name a hundred thousand volumes, each in an order of its own, and a look at what was not read lately costs more than
//! anything that is done with it. So what can be met in order is not looked for, and what is alike is looked at once.

use super::claims::{Claims, begun, hash};
use super::engine::{Abilities, EngineState, Volume, longhorn_id, longhorn_name};
use super::glance::Volumes;
use super::ids::{NodeName, PoolName};
use super::observation::{
    Backing, BoundVolume, ClusterVolume, CopyAt, Fleet, Group, MayastorVolume, Observation, Provider,
    RawAnswer, Topology, UNKNOWN, Unfit, index,
};
use super::quick::Table;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroI64;
use std::sync::Arc;

impl Observation {
    /// Joins what the cluster, the engine and Prometheus said.
    pub fn assemble(
        at: Timestamp,
        mut seen: Vec<ClusterVolume>,
        classes_in_use: BTreeSet<String>,
        engine: Result<EngineState, String>,
        raw: BTreeMap<String, RawAnswer>,
    ) -> Self {
        let mut joining = Joining::default();
        // Not one after the other into the place of what was seen: that is much larger, and would be kept.
        let mut volumes: Vec<BoundVolume> = Vec::with_capacity(seen.len());
        let order = in_order(&seen);
        for (place, _) in &order {
            let bound = joining.bind(&mut seen[*place as usize], volumes.len());
            volumes.push(bound);
        }
        drop(seen);
        joining.groups.shrink_to_fit();
        let (asked, groups) = (joining.asked, joining.groups);
        let engine = engine.map(|state| back(&mut volumes, asked, state));
        let claims = Claims::of(&volumes, order.into_iter().map(|(_, hash)| hash));
        let align = |values: HashMap<String, f64>| {
            let of = |volume: &BoundVolume| values.get(&*volume.name).copied().unwrap_or(f64::NAN);
            volumes.iter().map(of).collect()
        };
        let answers = raw
            .into_iter()
            .map(|(query, values)| (query, values.map(align)))
            .collect();
        let volumes = Volumes::from(volumes);
        volumes.glances();
        Self {
            at,
            volumes,
            groups,
            classes_in_use,
            engine,
            answers,
            unbound: Vec::new(),
            figures: BTreeMap::new(),
            claims,
        }
    }
}

/// The first bytes of a text as a number of the same order: most texts differ in them, and then nobody reads the texts.
fn beginning(text: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(text) {
        *to = *from;
    }
    u64::from_be_bytes(bytes)
}

/// How many bytes two texts have in common at their beginnings.
fn in_common(a: &str, b: &str) -> usize {
    let same = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b);
    same.count()
}

/// The places of volumes in order of claim, with the hashes of their claims, which are made while the names are at hand. Namespaces are
/// few, and the names in one of them often begin alike.
fn in_order(seen: &[ClusterVolume]) -> Vec<(u32, u64)> {
    let mut namespaces: BTreeMap<&str, Vec<(u64, u32)>> = BTreeMap::new();
    for (volume, place) in seen.iter().zip(0_u32..UNKNOWN) {
        match namespaces.get_mut(volume.claim.namespace.as_str()) {
            Some(places) => places.push((0, place)),
            None => drop(namespaces.insert(&volume.claim.namespace, vec![(0, place)])),
        }
    }
    let name = |place: u32| seen[place as usize].claim.name.as_str();
    let rest = |place: u32| (name(place), seen[place as usize].name.as_str(), place);
    let mut all = Vec::with_capacity(seen.len());
    for (namespace, mut places) in namespaces {
        let first = places.first().map_or("", |(_, place)| name(*place));
        let alike = places.iter().map(|(_, place)| in_common(first, name(*place)));
        let alike = alike.min().unwrap_or(0);
        for (begins, place) in &mut places {
            *begins = beginning(&name(*place).as_bytes()[alike..]);
        }
        places.sort_unstable_by(|(a, one), (b, other)| a.cmp(b).then_with(|| rest(*one).cmp(&rest(*other))));
        let begun = begun(namespace);
        let hashed = |(_, place): (u64, u32)| (place, hash(begun, name(place)));
        all.extend(places.into_iter().map(hashed));
    }
    all
}

/// A volume of which the engine should know something.
struct Asked {
    /// The beginning of its uuid.
    begins: u64,
    uuid: String,
    /// Its place in order of claim.
    place: usize,
    /// Whether its PersistentVolume is called after the uuid.
    named: bool,
}

/// What names and labels are made into, while records are joined.
#[derive(Default)]
struct Joining {
    groups: Vec<Group>,
    group_of: HashMap<Group, u32>,
    /// The group of the volume before: claims of a workload lie together and are alike.
    last_group: u32,
    /// Namespaces, StorageClasses and keys of labels: each is kept once.
    texts: HashMap<String, Arc<str>>,
    last_namespace: Arc<str>,
    asked: Vec<Asked>,
}

impl Joining {
    /// A text that many records share.
    fn shared(&mut self, text: String) -> Arc<str> {
        match self.texts.get(&text) {
            Some(known) => known.clone(),
            None => {
                let shared: Arc<str> = text.as_str().into();
                self.texts.insert(text, shared.clone());
                shared
            }
        }
    }

    fn namespace(&mut self, name: String) -> Arc<str> {
        if *self.last_namespace != *name {
            self.last_namespace = self.shared(name);
        }
        self.last_namespace.clone()
    }

    fn group(&mut self, storage_class: String, labels: BTreeMap<String, String>) -> u32 {
        let last = self.groups.get(self.last_group as usize);
        if !last.is_some_and(|last| is_of(last, &storage_class, &labels)) {
            self.last_group = self.other_group(storage_class, labels);
        }
        self.last_group
    }

    fn other_group(&mut self, storage_class: String, labels: BTreeMap<String, String>) -> u32 {
        let storage_class = self.shared(storage_class);
        let labels = labels
            .into_iter()
            .map(|(key, value)| (self.shared(key), value.into()));
        let group = Group {
            labels: labels.collect(),
            storage_class,
        };
        let next = index(self.groups.len());
        match self.group_of.get(&group) {
            Some(known) => *known,
            None => {
                self.groups.push(group.clone());
                self.group_of.insert(group, next);
                next
            }
        }
    }

    /// Has the engine asked for a volume of that uuid.
    fn ask(&mut self, uuid: String, seen: &ClusterVolume, place: usize) -> Backing {
        self.asked.push(Asked {
            begins: beginning(uuid.as_bytes()),
            named: seen.name.as_str().strip_prefix("pvc-") == Some(&uuid),
            uuid,
            place,
        });
        Backing::NotInEngine
    }

    /// A record of what the cluster says, whose place will be that one. What was seen is left empty.
    fn bind(&mut self, seen: &mut ClusterVolume, place: usize) -> BoundVolume {
        let backing = match std::mem::replace(&mut seen.provider, Provider::Local) {
            Provider::Local => Backing::Local,
            Provider::Other(driver) => Backing::Other(self.shared(driver)),
            Provider::Mayastor(uuid) => self.ask(uuid, seen, place),
            Provider::Longhorn(name) => self.ask(longhorn_id(&name), seen, place),
        };
        let (class, labels) = (&mut seen.storage_class, &mut seen.claim_labels);
        BoundVolume {
            group: self.group(std::mem::take(class), std::mem::take(labels)),
            name: std::mem::take(&mut seen.name.0).into(),
            namespace: self.namespace(std::mem::take(&mut seen.claim.namespace)),
            claim: std::mem::take(&mut seen.claim.name).into(),
            backing,
            last_migration: second(seen.last_migration),
            created: second(seen.created),
            pin: seen.pin,
        }
    }
}

fn second(at: Option<Timestamp>) -> Option<NonZeroI64> {
    NonZeroI64::new(at?.as_second())
}

fn is_of(group: &Group, storage_class: &str, labels: &BTreeMap<String, String>) -> bool {
    let own = group.labels.iter().map(|(key, value)| (&**key, &**value));
    let others = labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    *group.storage_class == *storage_class && own.eq(others)
}

/// Completes records with what the engine knows. Both are in order of uuid; what no claim is bound to is dropped. Of two that name one
/// uuid the first has it.
fn back(volumes: &mut [BoundVolume], mut asked: Vec<Asked>, state: EngineState) -> Fleet {
    let fleet = Fleet {
        pools: state.pools.into_values().collect(),
        nodes: state.nodes.into_values().collect(),
        topologies: Vec::new(),
    };
    let can = Abilities::of(fleet.nodes.iter());
    let mut recording = Recording::of(&fleet);
    asked.sort_unstable_by(|a, b| {
        let begins = a.begins.cmp(&b.begins);
        begins.then_with(|| (&a.uuid, a.place).cmp(&(&b.uuid, b.place)))
    });
    let mut asked = asked.into_iter().peekable();
    for (uuid, volume) in state.volumes {
        let begins = beginning(uuid.as_bytes());
        let before = |one: &Asked| one.begins < begins || one.begins == begins && one.uuid < uuid;
        while asked.next_if(before).is_some() {}
        if let Some(one) = asked.next_if(|one| one.begins == begins && one.uuid == uuid) {
            let own = (!one.named).then(|| uuid.into());
            // A volume of Longhorn may lie beside Mayastor's; of what it can the nodes do not tell.
            let can = match longhorn_name(&one.uuid) {
                Some(_) => Abilities::LONGHORN,
                None => can,
            };
            volumes[one.place].backing = Backing::Mayastor(recording.record(volume, own, can));
        }
    }
    let topologies = recording.topologies;
    Fleet { topologies, ..fleet }
}

/// Tables that are needed while the engine's records are made.
struct Recording<'f> {
    fleet: &'f Fleet,
    pools: Table<&'f str, u32>,
    /// For each pool its node.
    nodes: Vec<u32>,
    topologies: Vec<Topology>,
    topology_of: BTreeMap<Topology, u32>,
}

impl<'f> Recording<'f> {
    fn of(fleet: &'f Fleet) -> Self {
        let pools = fleet.pools.iter();
        Self {
            nodes: pools.clone().map(|pool| fleet.node(&pool.node)).collect(),
            pools: pools.map(|pool| pool.name.as_str()).zip(0..).collect(),
            fleet,
            topologies: Vec::new(),
            topology_of: BTreeMap::new(),
        }
    }

    fn copy(&self, pool: &PoolName, node: &NodeName) -> CopyAt {
        let Some(pool) = self.pools.get(pool.as_str()).copied() else {
            return CopyAt {
                pool: UNKNOWN,
                node: self.fleet.node(node),
            };
        };
        // A copy is on the node of its pool, unless the engine was read while that changed.
        let same = self.fleet.pools[pool as usize].node == *node;
        CopyAt {
            pool,
            node: match same {
                true => self.nodes[pool as usize],
                false => self.fleet.node(node),
            },
        }
    }

    fn topology(&mut self, topology: Topology) -> u32 {
        match self.topology_of.get(&topology) {
            Some(known) => *known,
            None => {
                let next = index(self.topologies.len());
                self.topologies.push(topology.clone());
                self.topology_of.insert(topology, next);
                next
            }
        }
    }

    fn record(&mut self, volume: Volume, uuid: Option<Box<str>>, can: Abilities) -> MayastorVolume {
        let unfit = Unfit::of(&volume, can);
        let copies = volume.replicas.iter();
        let copies = copies.map(|replica| self.copy(&replica.pool, &replica.node));
        MayastorVolume {
            uuid,
            size: volume.size,
            copies: copies.collect(),
            wanted_copies: volume.num_replicas,
            thin: volume.thin,
            encrypted: volume.encrypted,
            unfit,
            topology: self.topology(Topology {
                pool_inclusion: volume.pool_inclusion,
                node_inclusion: volume.node_inclusion,
                allowed_nodes: volume.allowed_nodes,
            }),
        }
    }
}

#[cfg(test)]
mod tests;
