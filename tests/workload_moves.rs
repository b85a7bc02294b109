//! Moves of workloads, by the line against the simulated API server: everybody else is played, volumes are directories, and the script that
//! copies is the very one.

/// A namespace, and everybody in it.
mod world;

/// What breaks off goes on.
mod broken_off;

/// Gates of backups.
mod gates;

/// Promotions that are asked for.
mod asked;

/// What is encrypted.
mod sealed;

/// Old volumes.
mod let_go;

/// A Cluster of CloudNativePG, and everybody around it.
mod databases;

/// Clusters whose instances are made anew.
mod clusters;

/// With the real controllers.
mod real;

/// A Cluster with the real controllers.
mod real_databases;

/// With the process killed there.
mod killed;

/// The script by itself.
mod script;

use couchestor::sim::kubernetes::{On, What};
use serde_json::{Value, json};
use world::{CLAIM, World, text};

/// The shop is up on the class with everything that it had, and nothing else is left but the old volume.
pub(crate) fn assert_on(world: &World, class: &str, volumes: usize, what: &str) {
    for name in world.claims {
        let volume = world.volume_of(name);
        assert_eq!(text(&volume, "/spec/storageClassName"), class, "{what}");
        assert_eq!(
            text(&volume, "/spec/persistentVolumeReclaimPolicy"),
            "Delete",
            "{what}"
        );
        let claim = world.get("PersistentVolumeClaim", name).unwrap();
        assert_eq!(text(&claim, "/spec/storageClassName"), class, "{what}");
        assert_eq!(claim["metadata"]["labels"], json!({"app": "shop"}), "{what}");
        let whose = world.directory(name).unwrap().join("whose");
        assert_eq!(std::fs::read_to_string(whose).unwrap(), *name, "{what}");
    }
    let home = world.directory(CLAIM).unwrap();
    assert_eq!(
        std::fs::read_to_string(home.join("newest")).unwrap(),
        "1 2 3",
        "{what}"
    );
    let set = world.get("StatefulSet", "shop").unwrap();
    assert_eq!(set["spec"]["replicas"], 1, "{what}");
    let flux = world.get("Kustomization", "apps").unwrap();
    assert_ne!(flux["spec"]["suspend"], true, "{what}");
    assert_eq!(world.sim().list("Job"), Vec::<Value>::new(), "{what}");
    let of_shop = |one: &Value| one.pointer("/spec/claimRef/namespace") == Some(&json!("shop"));
    let mine = world.sim().list("PersistentVolume").into_iter().filter(of_shop);
    let is_bound = |one: &Value| {
        let mut all = world.claims.iter();
        all.any(|name| world.volume_of(name)["metadata"]["name"] == one["metadata"]["name"])
    };
    let kept: Vec<Value> = mine.filter(|one| !is_bound(one)).collect();
    let each = |name: &&str| {
        let of = format!("shop/{name}");
        let mine = kept
            .iter()
            .filter(|one| text(one, "/metadata/annotations/storage.billyronks.io~1kept-of") == of);
        mine.count()
    };
    let counts: Vec<usize> = world.claims.iter().map(each).collect();
    assert_eq!(counts, vec![volumes - 1; world.claims.len()], "{what}: {kept:#?}");
    assert_eq!(kept.len(), counts.iter().sum::<usize>(), "{what}: {kept:#?}");
    for one in kept {
        assert_eq!(
            text(&one, "/spec/persistentVolumeReclaimPolicy"),
            "Retain",
            "{what}"
        );
    }
    let mut claims = world.sim().list("PersistentVolumeClaim");
    claims.retain(|one| one["metadata"]["namespace"] == "shop");
    assert_eq!(claims.len(), world.claims.len(), "{what}: {claims:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_in_git_moves_workloads_and_taking_it_out_moves_them_back() {
    let mut world = World::of_two().await;
    world.turn().await;
    let rollout = world.get("Rollout", "onto-fast").unwrap();
    assert_eq!(text(&rollout, "/status/phases/0/state"), "Open", "{rollout:#}");
    assert_eq!(text(&rollout, "/status/phases/0/promotion"), "not promoted");
    assert!(world.sim().list("WorkloadMove").is_empty());
    let began = world.log();

    world.promote("");
    world.until(1, "Completed").await;
    assert_on(&world, "fast", 2, "promoted");
    assert_eq!(world.log(), began + 1, "it was started once more");
    let one = world.newest().unwrap();
    assert_eq!(text(&one, "/spec/told"), "StatefulSet/shop");
    assert_eq!(text(&one, "/spec/approved/author"), "Anna <anna@example.org>");
    assert!(
        one["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty),
        "it can be deleted"
    );
    world.turn().await;
    let rollout = world.get("Rollout", "onto-fast").unwrap();
    assert_eq!(text(&rollout, "/status/phases/0/state"), "Done", "{rollout:#}");
    assert_eq!(
        text(&rollout, "/status/phases/0/promotion"),
        "promoted; its claims are on the class"
    );
    assert_eq!(text(&rollout, "/status/phases/0/moves/0/phase"), "Completed");
    let promotion = world.get("RolloutPromotion", "onto-fast.shops").unwrap();
    assert_eq!(text(&promotion, "/status/conditions/0/reason"), "Moved");
    world.follow.git(&["fetch", "-q", "origin"]);
    let audit = world
        .follow
        .git(&["log", "--format=%B", "origin/couchestor/audit"]);
    for line in [
        "Completed: StatefulSet/shop of shop from slow to fast",
        "Rollout: onto-fast",
        "Rollout-Phase: shops",
        "Result: Completed",
    ] {
        assert!(audit.contains(line), "{line}: {audit}");
    }
    let events = world.sim().list("Event");
    let told = |reason: &str| {
        events
            .iter()
            .any(|one| one["reason"] == reason && one["involvedObject"]["kind"] == "WorkloadMove")
    };
    for reason in ["Drain", "Copy", "Exchange", "Completed"] {
        assert!(told(reason), "{reason}: {events:#?}");
    }
    // Nothing more happens.
    world.turns(3).await;
    assert_eq!(world.sim().list("WorkloadMove").len(), 1);

    let home = world.directory(CLAIM).unwrap();
    std::fs::write(home.join("since"), "written since").unwrap();
    world.demote();
    world.until(2, "Completed").await;
    assert_on(&world, "slow", 2, "taken back");
    let home = world.directory(CLAIM).unwrap();
    assert_eq!(
        std::fs::read_to_string(home.join("since")).unwrap(),
        "written since"
    );
    world.turn().await;
    let rollout = world.get("Rollout", "onto-fast").unwrap();
    assert_eq!(
        text(&rollout, "/status/phases/0/promotion"),
        "taken back; its claims are where they were"
    );

    // Promoted once more, it moves once more: onto a volume of its own.
    world.promote("");
    world.until(3, "Completed").await;
    assert_on(&world, "fast", 3, "once more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phase_moves_onto_a_class_of_its_own() {
    let mut world = World::new().await;
    let own = world::ROLLOUT
        .replace("storageClassName: fast", "storageClassName: slow")
        .replace(
            "  - name: shops\n",
            "  - name: shops\n    storageClassName: fast\n",
        );
    world.follow.commit("p/rollout.yaml", &own, &[]);
    world.follow.git(&["push", "-q", "origin", "main"]);
    world.turn().await;
    let rollout = world.get("Rollout", "onto-fast").unwrap();
    let waits = text(&rollout, "/status/phases/0/waitsFor");
    assert_eq!(waits, "shop/data-shop-0 on fast");
    world.promote("");
    world.until(1, "Completed").await;
    assert_on(&world, "fast", 2, "onto the phase's class");
    world.demote();
    world.until(2, "Completed").await;
    assert_on(&world, "slow", 2, "taken back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_not_the_same_is_taken_back_and_says_so() {
    let mut world = World::new().await;
    world.turn().await;
    world.loses_a_byte = true;
    world.promote("");
    world.until(1, "RolledBack").await;
    assert_on(&world, "slow", 1, "a byte is lost");
    let one = world.newest().unwrap();
    let said = text(&one, "/status/message");
    assert!(
        said.contains("the copy is not what was copied: its entries differ"),
        "{said}"
    );
    assert!(said.ends_with("everything is as it was"), "{said}");
    // The same approval does not try again; another commit does.
    world.turns(3).await;
    assert_eq!(world.sim().list("WorkloadMove").len(), 1);
    let rollout = world.get("Rollout", "onto-fast").unwrap();
    assert!(
        text(&rollout, "/status/phases/0/promotion").contains("commit any change to the promotion"),
        "{rollout:#}"
    );
    world.loses_a_byte = false;
    world.promote("  keepOldVolumes: true\n");
    world.until(2, "Completed").await;
    assert_on(&world, "fast", 2, "tried again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_or_cancelled_before_the_exchange_is_taken_back() {
    let mut world = World::new().await;
    world.turn().await;
    world.provisions = false;
    world.promote("");
    world.turns(10).await;
    assert_eq!(world.phase(), "Copy");
    let mut one = world.newest().unwrap();
    one["metadata"]["annotations"] = json!({"storage.billyronks.io/cancel": "it is Black Friday"});
    world.put(one);
    world.until(1, "Cancelled").await;
    assert_on(&world, "slow", 1, "cancelled");
    let said = world.newest().unwrap();
    assert!(
        text(&said, "/status/message").contains("it is Black Friday"),
        "{said:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_move_holds_is_busy_for_restores() {
    let mut world = World::new().await;
    world.turn().await;
    world.provisions = false;
    world.promote("");
    world.turns(6).await;
    let cluster = couchestor::io::cluster::Cluster::from_kubeconfig(&world.sim().kubeconfig())
        .await
        .unwrap();
    let facts = couchestor::io::restores::Restores::of(&cluster)
        .facts("shop")
        .await
        .unwrap()
        .facts;
    assert!(
        facts
            .busy
            .iter()
            .any(|one| one.starts_with("WorkloadMove shop-data-shop-0-")),
        "{:?}",
        facts.busy
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_list_moves_decides_nothing_and_who_looks_has_a_reason() {
    let mut world = World::new().await;
    let looks = |world: &World| world.sim().requests().count("list", "daemonsets.apps");
    world.turn().await;
    assert!(looks(&world) > 0, "who might propose looks at the namespaces");
    world.provisions = false;
    world.promote("");
    world.turns(8).await;
    assert_eq!(world.phase(), "Copy");
    let told = |world: &World| world.get("Rollout", "onto-fast").unwrap()["status"].clone();
    let before = told(&world);
    assert_eq!(text(&before, "/phases/0/moves/0/phase"), "Copy", "{before:#}");
    let faults = world.sim().faults();
    faults.order(
        On::of("list", "workloadmoves.storage.billyronks.io"),
        1,
        What::Answer(500),
    );
    let turned = world.turn().await;
    assert_eq!(world.sim().faults().left(), 0);
    assert_eq!(turned.failures.len(), 1, "{:#?}", turned.failures);
    assert_eq!(told(&world), before, "a list that failed is no empty list");
    // While a move runs nobody looks for what could be moved beside it.
    world.sim().requests().clear();
    let turned = world.turn().await;
    assert_eq!(turned.moving, 1, "{:#?}", turned.failures);
    assert_eq!(
        looks(&world),
        0,
        "namespaces are looked at though nothing can start"
    );

    // A move that has ended and could not be recorded is not done with.
    world.provisions = true;
    world.says = |one| one.audit = "no..branch".to_owned();
    world.until(1, "Completed").await;
    let held = |world: &World| {
        let one = world.newest().unwrap();
        one["metadata"]["finalizers"]
            .as_array()
            .is_some_and(|all| !all.is_empty())
    };
    let turned = world.turn().await;
    assert!(held(&world) && turned.moving == 1, "{:#?}", turned.failures);
    world.says = |_| {};
    let turned = world.turn().await;
    assert!(!held(&world) && turned.moving == 0, "{:#?}", turned.failures);
}

/// What moves have finalizers for is not left half done when their source is deleted.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_deleted_source_a_move_counts_until_it_has_ended_and_is_let_go() {
    let held = |world: &World| {
        let one = world.newest().unwrap();
        let finalizers = one["metadata"]["finalizers"].as_array();
        finalizers.is_some_and(|all| !all.is_empty())
    };
    // One under way is taken back first, and counts for as long as that takes.
    let mut world = World::new().await;
    world.turn().await;
    world.provisions = false;
    world.promote("");
    world.turns(8).await;
    assert_eq!(world.phase(), "Copy");
    let mut counted = 0;
    while world.orphans().await > 0 {
        counted += 1;
        assert!(counted < 40, "it never ends: {:#?}", world.newest());
        assert!(held(&world), "{:#?}", world.newest());
        world.tick();
    }
    assert!(counted > 0, "it is not taken back at once");
    assert_eq!((world.phase().as_str(), held(&world)), ("Cancelled", false));
    assert_on(&world, "slow", 1, "its source is gone");

    // One that has ended counts too, while its finalizer cannot be taken off.
    let mut world = World::new().await;
    world.turn().await;
    world.promote("");
    world.says = |one| one.audit = "no..branch".to_owned();
    world.until(1, "Completed").await;
    assert!(held(&world), "it was never recorded");
    let faults = world.sim().faults();
    let patched = On::of("patch", "workloadmoves.storage.billyronks.io");
    faults.order(patched, 1, What::Answer(500));
    assert_eq!(world.orphans().await, 1);
    assert_eq!((world.sim().faults().left(), held(&world)), (0, true));
    assert_eq!(world.orphans().await, 0);
    assert!(!held(&world));
    assert_on(&world, "fast", 2, "its source is gone, and the move was over");
}
