//! Claims about phases of CloudNativePG's Clusters: each moves as a whole, onto the class that Git has given it, and back as that says.

use super::*;
use crate::model::cnpg::{
    CLUSTER_LABEL, ClaimNow, ClusterNow, DATA, HEALTHY, PodNow, Seen as ClusterSeen, Storage,
};

/// Two Clusters of two instances, of claims a and b, and c and d, which make claims of class `fast` by now.
fn scene_of_clusters() -> Scene {
    let mut scene = scene();
    let names = ["a", "b", "c", "d"];
    let all: BTreeSet<ClaimRef> = names.iter().map(|one| claim(one)).collect();
    scene.promotion.as_mut().unwrap().claims.clone_from(&all);
    let candidate = &mut scene.report.candidates[1];
    candidate.method = PhaseMethod::Cnpg;
    (candidate.claims, candidate.elsewhere) = (all.clone(), all);
    scene.facts.workloads.clear();
    scene.facts.claims = names.iter().map(|one| live(one, "slow")).collect();
    for (cluster, instances) in [("x", ["a", "b"]), ("y", ["c", "d"])] {
        for one in &mut scene.facts.claims {
            if instances.contains(&one.claim.claim.name.as_str()) {
                one.claim.labels.insert(CLUSTER_LABEL.into(), cluster.into());
            }
        }
        scene
            .facts
            .clusters
            .insert(cluster.into(), seen(cluster, instances));
    }
    scene
}

fn seen(cluster: &str, instances: [&str; 2]) -> ClusterSeen {
    let storage = Storage {
        place: "spec.storage.storageClass".into(),
        class: "fast".into(),
        ..Storage::default()
    };
    let of_claim = |name: &str| ClaimNow {
        class: "slow".into(),
        volume: format!("pv-{name}"),
        instance: name.into(),
        role: DATA.into(),
        bound: true,
        ..ClaimNow::default()
    };
    let pod = |name: &str| PodNow {
        ready: true,
        claims: [name.to_owned()].into(),
        primary: name == instances[0],
        ..PodNow::default()
    };
    let report = |name: &str| (name.to_owned(), (name == instances[0], 1));
    ClusterSeen {
        name: cluster.into(),
        cluster: Some(ClusterNow {
            wanted: 2,
            instances: 2,
            ready: 2,
            storage: [(DATA.to_owned(), storage)].into(),
            names: instances.map(str::to_owned).into(),
            phase: HEALTHY.into(),
            primary: instances[0].into(),
            target: instances[0].into(),
            reported: instances.map(report).into(),
            ..ClusterNow::default()
        }),
        claims: instances.map(|one| (one.to_owned(), of_claim(one))).into(),
        pods: instances.map(|one| (one.to_owned(), pod(one))).into(),
        ..ClusterSeen::default()
    }
}

fn cluster<'s>(scene: &'s mut Scene, name: &str) -> &'s mut ClusterNow {
    let seen = scene.facts.clusters.get_mut(name).unwrap();
    seen.cluster.as_mut().unwrap()
}

fn class(scene: &mut Scene, name: &str, class: &str) {
    cluster(scene, name).storage.get_mut(DATA).unwrap().class = class.into();
}

fn waits(scene: &Scene) -> String {
    match &scene.decided().standings[0].stands {
        Stands::Waits(why) => why.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_cluster_after_the_other_is_moved_as_a_whole() {
    let mut scene = scene_of_clusters();
    let start = scene.decided().start.unwrap();
    assert_eq!(start.method, PhaseMethod::Cnpg);
    assert_eq!(
        (start.workloads[0].kind.as_str(), start.workloads[0].name.as_str()),
        ("Cluster", "x")
    );
    assert!(start.flux.is_empty());
    assert_eq!(started(&scene.decided()), ["a", "b"]);
    // Git has not given it the class yet: the other one does not wait for it.
    class(&mut scene, "x", "slow");
    assert_eq!(started(&scene.decided()), ["c", "d"]);
    class(&mut scene, "y", "slow");
    let said = waits(&scene);
    assert!(
        said.contains("refused (ClusterClass): Cluster x makes claims of slow"),
        "{said}"
    );
    // It is proposed as soon as Git has.
    scene.promotion = None;
    let proposing = |scene: &Scene| scene.seen(|seen| proposals(seen, &decide(seen)));
    assert!(proposing(&scene).wanted.is_empty());
    class(&mut scene, "y", "fast");
    let wanted = proposing(&scene).wanted;
    let refused: Vec<bool> = wanted[0]
        .groups
        .iter()
        .map(|one| !one.refusals.is_empty())
        .collect();
    assert_eq!(refused, [true, false]);
}

#[test]
fn a_cluster_that_is_not_well_is_waited_for_and_what_is_none_is_refused() {
    let mut scene = scene_of_clusters();
    scene.facts.clusters.remove("y");
    cluster(&mut scene, "x").phase = "Upgrading cluster".into();
    let said = waits(&scene);
    assert!(said.contains("Cluster x says: Upgrading cluster"), "{said}");
    assert!(
        said.contains("refused (NoCluster): claim c is of no Cluster"),
        "{said}"
    );
    let mut scene = scene_of_clusters();
    for one in &mut scene.facts.claims {
        one.claim.labels.clear();
    }
    assert!(waits(&scene).contains("NoCluster"));
    // Nor is an instance torn apart.
    let mut scene = scene_of_clusters();
    scene.facts.clusters.remove("y");
    let some: BTreeSet<ClaimRef> = ["a", "c"].map(claim).into();
    scene.promotion.as_mut().unwrap().claims.clone_from(&some);
    let candidate = &mut scene.report.candidates[1];
    (candidate.claims, candidate.elsewhere) = (some.clone(), some);
    assert!(waits(&scene).contains("ClaimLeftOut"), "{}", waits(&scene));
    scene
        .facts
        .busy
        .push("drill d of namespace db is under way".into());
    assert!(scene.decided().start.is_none());
}

#[test]
fn it_is_taken_back_when_git_has_given_it_its_old_class_again() {
    let mut scene = scene_of_clusters();
    (scene.promotion, scene.gone) = (None, true);
    scene.moved(MovePhase::Completed, &["a", "b"], None, "c1");
    let spec = &mut scene.moves[0].spec;
    spec.method = PhaseMethod::Cnpg;
    spec.workloads = vec![crate::model::kinds::workload_move::KindName {
        kind: "Cluster".into(),
        name: "x".into(),
    }];
    for one in scene.facts.clusters.get_mut("x").unwrap().claims.values_mut() {
        one.class = "fast".into();
    }
    assert!(
        waits(&scene).contains("let Git say slow there first"),
        "{}",
        waits(&scene)
    );
    class(&mut scene, "x", "slow");
    // That its old volumes were let go is of no matter.
    scene.moves[0].status.as_mut().unwrap().let_go_at = Some("2027-01-01T00:00:00Z".into());
    let start = scene.decided().start.unwrap();
    assert_eq!(start.back.as_deref(), Some("move-0"));
    assert_eq!(started(&scene.decided()), ["a", "b"]);
    assert!(
        start
            .claims
            .iter()
            .all(|one| one.to == "slow" && one.onto.is_none())
    );
}
