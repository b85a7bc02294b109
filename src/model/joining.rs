//! What the cluster, the engine and Prometheus said becomes one observation of compact records.

use super::claims::Claims;
use super::engine::{EngineState, Volume, longhorn_id};
use super::ids::VolumeName;
use super::observation::{
    Backing, BoundVolume, ClusterVolume, CopyAt, Fleet, Group, MayastorVolume, Observation, Provider,
    RawAnswer, Topology, Unfit, index,
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};
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
        seen.sort_by(|a, b| a.claim.cmp(&b.claim).then_with(|| a.name.cmp(&b.name)));
        let mut joining = Joining::default();
        let fleet = engine.map(|state| joining.fleet(state));
        // Not one after the other into the place of what was seen: that is much larger, and would be kept.
        let mut volumes: Vec<BoundVolume> = Vec::with_capacity(seen.len());
        volumes.extend(
            seen.into_iter()
                .map(|volume| joining.bind(volume, fleet.as_ref().ok())),
        );
        joining.groups.shrink_to_fit();
        let claims = Claims::of(&volumes);
        let align = |values: HashMap<String, f64>| {
            let of = |volume: &BoundVolume| values.get(&*volume.name).copied().unwrap_or(f64::NAN);
            volumes.iter().map(of).collect()
        };
        let answers = raw
            .into_iter()
            .map(|(query, values)| (query, values.map(align)))
            .collect();
        Self {
            at,
            volumes,
            groups: joining.groups,
            classes_in_use,
            engine: fleet.map(|fleet| Fleet {
                topologies: joining.topologies,
                ..fleet
            }),
            answers,
            claims,
        }
    }
}

/// Tables that are needed while records are joined.
#[derive(Default)]
struct Joining {
    volumes: BTreeMap<String, Volume>,
    groups: Vec<Group>,
    group_of: HashMap<Group, u32>,
    /// Namespaces, StorageClasses and keys of labels: each is kept once.
    texts: HashMap<String, Arc<str>>,
    topologies: Vec<Topology>,
    topology_of: BTreeMap<Topology, u32>,
}

impl Joining {
    /// Takes the engine's records apart; what no claim is bound to is dropped in the end.
    fn fleet(&mut self, state: EngineState) -> Fleet {
        self.volumes = state.volumes;
        Fleet {
            pools: state.pools.into_values().collect(),
            nodes: state.nodes.into_values().collect(),
            topologies: Vec::new(),
        }
    }

    /// A record, made when its volume's turn comes: what is read together lies together.
    fn record(&mut self, volume: Volume, uuid: Option<Box<str>>, fleet: &Fleet) -> MayastorVolume {
        let unfit = Unfit::of(&volume);
        let copies = volume.replicas.iter().map(|replica| CopyAt {
            pool: fleet.pool(&replica.pool),
            node: fleet.node(&replica.node),
        });
        let copies = copies.collect();
        let topology = Topology {
            pool_inclusion: volume.pool_inclusion,
            node_inclusion: volume.node_inclusion,
            allowed_nodes: volume.allowed_nodes,
        };
        let next = index(self.topologies.len());
        let topology = match self.topology_of.get(&topology) {
            Some(known) => *known,
            None => {
                self.topologies.push(topology.clone());
                self.topology_of.insert(topology, next);
                next
            }
        };
        MayastorVolume {
            uuid,
            size: volume.size,
            copies,
            topology,
            wanted_copies: volume.num_replicas,
            thin: volume.thin,
            encrypted: volume.encrypted,
            unfit,
        }
    }

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

    fn group(&mut self, storage_class: String, labels: BTreeMap<String, String>) -> u32 {
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

    fn known(&mut self, uuid: String, name: &VolumeName, fleet: Option<&Fleet>) -> Backing {
        match (self.volumes.remove(&uuid), fleet) {
            (Some(known), Some(fleet)) => {
                let named = name.as_str().strip_prefix("pvc-") == Some(&uuid);
                let uuid = (!named).then(|| uuid.into());
                Backing::Mayastor(self.record(known, uuid, fleet))
            }
            _ => Backing::NotInEngine,
        }
    }

    fn bind(&mut self, volume: ClusterVolume, fleet: Option<&Fleet>) -> BoundVolume {
        let group = self.group(volume.storage_class, volume.claim_labels);
        let backing = match volume.provider {
            Provider::Local => Backing::Local,
            Provider::Other(driver) => Backing::Other(driver.into()),
            Provider::Mayastor(uuid) => self.known(uuid, &volume.name, fleet),
            Provider::Longhorn(name) => self.known(longhorn_id(&name), &volume.name, fleet),
        };
        let namespace = self.shared(volume.claim.namespace);
        BoundVolume {
            name: volume.name.0.into(),
            namespace,
            claim: volume.claim.name.into(),
            backing,
            group,
            last_migration: volume.last_migration.map(Timestamp::as_second),
            created: volume.created.map(Timestamp::as_second),
            pin: volume.pin,
        }
    }
}
