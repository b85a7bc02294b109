//! What is observed of clusters with Longhorn, alone and beside Mayastor.

use super::*;
use couchestor::io::mayastor::Mayastor;
use couchestor::model::engine::{EngineState, longhorn_name};
use couchestor::model::observation::{Backing, Observation, Unfit};
use couchestor::observe::{self, volumes};

async fn observed(cluster: &Cluster) -> Observation {
    let volume = json!({"metadata": {"name": VOLUME}, "spec": {"storageClassName": "longhorn",
        "claimRef": {"namespace": "db", "name": "data-0"},
        "csi": {"driver": "driver.longhorn.io", "volumeHandle": VOLUME}}});
    let claim = json!({"metadata": {"namespace": "db", "name": "data-0"}, "spec": {"volumeName": VOLUME}});
    let joined = volumes::join(
        vec![serde_json::from_value(volume).unwrap()],
        vec![serde_json::from_value(claim).unwrap()],
    );
    // Nobody listens there.
    let mayastor = Mayastor::new("http://127.0.0.1:1").unwrap();
    let engines = observe::Engines {
        mayastor: &mayastor,
        longhorn: &Longhorn::of(cluster),
    };
    let now = Timestamp::from_second(START).unwrap();
    observe::observe(joined, engines, None, &BTreeSet::new(), now).await
}

#[tokio::test]
async fn a_cluster_with_longhorn_alone_is_read_without_mayastor() {
    let world = world(2, true).await;
    let seen = observed(&world.cluster).await;
    let fleet = seen.engine.as_ref().unwrap();
    assert_eq!(fleet.pools.len(), 5);
    let volume = &seen.volumes[0];
    assert_eq!(volume.uuid().and_then(longhorn_name), Some(VOLUME));
    let Backing::Mayastor(known) = &volume.backing else {
        panic!("{volume:?}");
    };
    assert_eq!(
        (known.copies.len(), known.wanted_copies, known.unfit),
        (2, 2, None)
    );
}

#[tokio::test]
async fn a_cluster_whose_volumes_are_longhorns_without_its_kinds_says_so() {
    let kubernetes = KubernetesSim::start(|| Timestamp::from_second(START).unwrap())
        .await
        .unwrap();
    let cluster = Cluster::from_kubeconfig(&kubernetes.kubeconfig()).await.unwrap();
    let seen = observed(&cluster).await;
    let error = seen.engine.unwrap_err();
    assert!(error.contains("longhorn.io/v1beta2"), "{error}");
}

#[tokio::test]
async fn a_volume_that_longhorn_balances_is_unfit_for_a_move() {
    let world = world(1, true).await;
    world
        .sim
        .add_setting("replica-auto-balance", "best-effort")
        .await
        .unwrap();
    let seen = observed(&world.cluster).await;
    let Backing::Mayastor(known) = &seen.volumes[0].backing else {
        panic!("{:?}", seen.volumes[0]);
    };
    assert!(
        matches!(known.unfit, Some(Unfit::Obstacle(_))),
        "{:?}",
        known.unfit
    );
}

#[tokio::test]
async fn no_volume_of_one_engine_may_use_a_node_of_the_other() {
    let world = world(1, true).await;
    let longhorn = Longhorn::of(&world.cluster).state().await.unwrap();
    let mayastor = EngineState {
        volumes: longhorn.volumes.clone(),
        ..longhorn.clone()
    };
    let count = mayastor.nodes.len();
    let both = mayastor.beside(longhorn.as_longhorn());
    assert_eq!(both.nodes.len(), 2 * count, "nodes of one name are two things");
    assert_eq!(both.volumes.len(), 2);
    for (id, volume) in &both.volumes {
        for (name, node) in &both.nodes {
            let admitted = volume
                .node_inclusion
                .iter()
                .all(|(key, value)| node.labels.get(key) == Some(value));
            let of_longhorn = name.as_str().starts_with("longhorn:");
            assert_eq!(
                admitted,
                longhorn_name(id).is_some() == of_longhorn,
                "{id} on {name}"
            );
        }
        for replica in &volume.replicas {
            assert!(both.nodes.contains_key(&replica.node), "{id}: {replica:?}");
        }
    }
}
