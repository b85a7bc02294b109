//! Flux's own kustomize-controller works off `flux/`, from its entry on: what it applies, in which order, and what it says of what is
//! missing. The cluster holds no kind of couchestor's before: Flux brings them.

use crate::support::flux::{Flux, NAMESPACE, Ops, applied, kustomization, readiness, refused, root};
use crate::support::objects::{get, list, text, until};
use crate::support::seal::Sealer;
use crate::support::servers;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::Client;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;

/// Everything that has a home in a namespace of `flux/apps`.
const APPS: [(&str, &str); 6] = [
    ("openebs-system", "localpv-provisioner"),
    ("velero", "velero-config"),
    ("velero", "velero"),
    ("velero", "velero-snapshots"),
    ("couchestor-system", "couchestor"),
    ("couchestor-system", "couchestor-source"),
];

const SECRET: &str = "/api/v1/namespaces/velero/secrets/velero-repo-credentials";
const SOURCE: &str = "/apis/storage.billyronks.io/v1/namespaces/couchestor-system/policysources/homelab";

struct Stage {
    flux: Flux,
    client: Client,
    ops: Ops,
}

impl Stage {
    /// A cluster with Flux and the kinds of others, the repository put out, and Flux's root pointed at the entry.
    async fn set() -> Self {
        let flux = Flux::start();
        flux.define(&[&servers::velero_kinds()]);
        let (client, ops) = (flux.admin().await, Ops::of(&["flux", "kubernetes"]));
        let stage = Self { flux, client, ops };
        // A key that opens nothing here.
        stage.flux.global_key(&Sealer::new().key);
        stage.put_out().await;
        stage.flux.apply(
            &json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": {"name": "flux-system", "namespace": NAMESPACE},
            "spec": {"interval": "1h", "path": "./flux/cluster", "prune": true,
                "sourceRef": {"kind": "GitRepository", "name": "flux-system"}}}),
        );
        stage
    }

    async fn put_out(&self) -> String {
        let source = (NAMESPACE, "flux-system");
        self.flux.put_out(&self.client, source, self.ops.path()).await
    }

    /// Plays what helm-controller says of a release that is installed.
    async fn install(&self, namespace: &str, name: &str) -> Value {
        let path = release(namespace, name);
        self.flux
            .play(&self.client, &path, json!({}), &[("Ready", "Succeeded")])
            .await;
        get(&self.client, &path).await.expect("it was played")
    }

    async fn held_back_by(&self, one: (&str, &str), dependency: &str) {
        let why = refused(&self.client, one, "DependencyNotReady").await;
        assert!(why.contains(dependency), "{one:?}: {why}");
    }
}

fn release(namespace: &str, name: &str) -> String {
    format!("/apis/helm.toolkit.fluxcd.io/v2/namespaces/{namespace}/helmreleases/{name}")
}

fn example_key() -> String {
    std::fs::read_to_string(root().join("policies/demo.agekey")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn flux_applies_all_of_it_in_order_and_says_what_keeps_the_rest() {
    if servers::left_out("flux_applies_all_of_it_in_order_and_says_what_keeps_the_rest") {
        return;
    }
    let stage = Stage::set().await;
    let revision = stage.put_out().await;
    applied(&stage.client, (NAMESPACE, "flux-system"), &revision).await;
    applied(&stage.client, (NAMESPACE, "cluster-apps"), &revision).await;
    every_app_has_what_is_said_once(&stage).await;
    a_wrong_key_is_said_and_the_right_one_opens_the_secret(&stage, &revision).await;
    releases_are_waited_for(&stage, &revision).await;
    snapshots_are_told_of_where_their_kinds_are_missing(&stage, &revision).await;
    couchestor_is_installed_and_its_kinds_are_there(&stage).await;
    the_source_is_well_when_what_it_renders_is(&stage, &revision).await;
    what_leaves_git_leaves_the_cluster_but_for_what_must_stay(&stage).await;
}

async fn every_app_has_what_is_said_once(stage: &Stage) {
    for (namespace, name) in APPS {
        let one = get(&stage.client, &kustomization(namespace, name)).await;
        let one = one.unwrap_or_else(|| panic!("{namespace}/{name} is not there"));
        assert_eq!(text(&one, "/spec/decryption/provider"), "sops", "{name}");
        assert_eq!(text(&one, "/spec/deletionPolicy"), "WaitForTermination", "{name}");
        // Those of couchestor's own install are its own.
        let patches = one["spec"]["patches"].to_string();
        assert_eq!(
            patches.contains("HelmRelease"),
            name != "couchestor",
            "{name}: {patches}"
        );
    }
}

async fn a_wrong_key_is_said_and_the_right_one_opens_the_secret(stage: &Stage, revision: &str) {
    let why = refused(&stage.client, ("velero", "velero-config"), "BuildFailed").await;
    assert!(
        why.contains("velero-repo-credentials") && why.contains("cannot get sops data key"),
        "{why}"
    );
    assert_eq!(get(&stage.client, SECRET).await, None, "nothing of it is applied");
    stage
        .held_back_by(("velero", "velero"), "velero/velero-config")
        .await;
    stage
        .held_back_by(("couchestor-system", "couchestor-source"), "couchestor")
        .await;
    assert_eq!(get(&stage.client, &release("velero", "velero")).await, None);

    stage.flux.global_key(&example_key());
    stage.flux.ask("velero", "velero-config");
    applied(&stage.client, ("velero", "velero-config"), revision).await;
    let secret = get(&stage.client, SECRET).await.expect("it was applied");
    let file = "flux/apps/velero/velero/config/repository.sops.yaml";
    let clear = Command::new(servers::sops())
        .args(["decrypt", "--output-type", "json", file])
        .current_dir(root())
        .env("SOPS_AGE_KEY_FILE", root().join("policies/demo.agekey"))
        .output();
    let clear: Value = serde_json::from_slice(&clear.expect("sops starts").stdout).unwrap();
    assert_eq!(secret["data"], clear["data"]);
    let password = STANDARD
        .decode(text(&secret, "/data/repository-password"))
        .unwrap();
    assert!(
        password.starts_with(b"the-demo-s-password"),
        "the example's password is no ciphertext"
    );
    assert_eq!(secret.get("sops"), None);
}

async fn releases_are_waited_for(stage: &Stage, revision: &str) {
    for (namespace, name) in [("openebs-system", "localpv-provisioner"), ("velero", "velero")] {
        // It is applied, and not installed.
        until(
            &stage.client,
            &release(namespace, name),
            "the release is applied",
            |_| true,
        )
        .await;
        let path = kustomization(namespace, name);
        let one = until(&stage.client, &path, "its health is awaited", |one| {
            readiness(one).0 == "Unknown"
        });
        let one = one.await;
        assert_ne!(text(&one, "/status/lastAppliedRevision"), revision, "{name}");
        if name == "velero" {
            stage
                .held_back_by(("couchestor-system", "couchestor-source"), "couchestor")
                .await;
        }
        let installed = stage.install(namespace, name).await;
        applied(&stage.client, (namespace, name), revision).await;
        // Patched in twice: into the Kustomization, and from there into the release.
        assert_eq!(text(&installed, "/spec/install/crds"), "CreateReplace", "{name}");
        assert_eq!(text(&installed, "/spec/install/strategy/name"), "RetryOnFailure");
        assert_eq!(
            text(&installed, "/spec/upgrade/strategy/name"),
            "RemediateOnFailure"
        );
        let chart =
            format!("/apis/source.toolkit.fluxcd.io/v1/namespaces/{namespace}/ocirepositories/{name}");
        let chart = get(&stage.client, &chart)
            .await
            .expect("the chart's source is applied");
        assert!(text(&chart, "/spec/url").starts_with("oci://"), "{chart}");
    }
}

/// Nothing waits for them: the releases are there already.
async fn snapshots_are_told_of_where_their_kinds_are_missing(stage: &Stage, revision: &str) {
    let own = ("velero", "velero-snapshots");
    let why = refused(&stage.client, own, "ReconciliationFailed").await;
    assert!(why.contains("VolumeSnapshotClass"), "{why}");
    stage
        .flux
        .define(&[&servers::snapshot_kinds().join("snapshot.storage.k8s.io_volumesnapshotclasses.yaml")]);
    stage.flux.ask(own.0, own.1);
    applied(&stage.client, own, revision).await;
    let class = "/apis/snapshot.storage.k8s.io/v1/volumesnapshotclasses/mayastor";
    let class = get(&stage.client, class).await.expect("it was applied");
    // The driver is that of the volumes, and the label is what Velero looks for.
    assert_eq!(text(&class, "/driver"), "io.openebs.csi-mayastor");
    assert_eq!(
        text(&class, "/metadata/labels/velero.io~1csi-volumesnapshot-class"),
        "true"
    );
    let release = get(&stage.client, &release("velero", "velero")).await.unwrap();
    assert_eq!(text(&release, "/spec/values/configuration/features"), "EnableCSI");
    assert_eq!(release["spec"]["values"]["deployNodeAgent"], true);
}

async fn couchestor_is_installed_and_its_kinds_are_there(stage: &Stage) {
    assert_eq!(
        get(&stage.client, SOURCE).await,
        None,
        "couchestor is not there yet"
    );
    let own = ("couchestor-system", "couchestor");
    let revision = stage.flux.put_out(&stage.client, own, stage.ops.path()).await;
    let deployment = "/apis/apps/v1/namespaces/couchestor-system/deployments/couchestor";
    until(
        &stage.client,
        deployment,
        "couchestor's Deployment is applied",
        |_| true,
    )
    .await;
    stage
        .held_back_by(("couchestor-system", "couchestor-source"), "couchestor")
        .await;
    let replicas = json!({"replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1});
    let well = [
        ("Available", "MinimumReplicasAvailable"),
        ("Progressing", "NewReplicaSetAvailable"),
    ];
    stage.flux.play(&stage.client, deployment, replicas, &well).await;
    applied(&stage.client, own, &revision).await;
    // The namespace is the one that stands in flux/, with what protects it.
    let namespace = get(&stage.client, "/api/v1/namespaces/couchestor-system")
        .await
        .unwrap();
    assert_eq!(
        text(&namespace, "/metadata/labels/pod-security.kubernetes.io~1enforce"),
        "restricted"
    );
    assert_eq!(text(&namespace, "/metadata/labels/app.kubernetes.io~1name"), "");
    assert_eq!(
        text(&namespace, "/metadata/labels/kustomize.toolkit.fluxcd.io~1name"),
        "cluster-apps"
    );
}

/// What couchestor would render of its repository: as `render` says, since the address in the example is nobody's.
fn rendered() -> BTreeMap<String, Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_couchestor"))
        .args(["render", "policies/homelab", "-o", "json"])
        .current_dir(root())
        .env("SOPS_AGE_KEY_FILE", root().join("policies/demo.agekey"))
        .output()
        .unwrap();
    let objects: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let named = |one: Value| {
        (
            format!("{} {}", text(&one, "/kind"), text(&one, "/metadata/name")),
            one,
        )
    };
    objects.into_iter().map(named).collect()
}

async fn the_source_is_well_when_what_it_renders_is(stage: &Stage, revision: &str) {
    let own = ("couchestor-system", "couchestor-source");
    let source = until(&stage.client, SOURCE, "the PolicySource is applied", |_| true).await;
    assert_eq!(text(&source, "/spec/path"), "policies/homelab");
    assert_eq!(source["spec"]["interval"], "1m");
    stage
        .flux
        .play(&stage.client, SOURCE, json!({}), &[("Ready", "Succeeded")])
        .await;
    // Nothing that couchestor should have made is there: that is not well.
    let path = kustomization(own.0, own.1);
    let waits = |one: &Value| readiness(one).0 == "Unknown";
    until(&stage.client, &path, "what is to be rendered is awaited", waits).await;

    // Velero finds the schedule wrong.
    let objects = rendered();
    let velero = |kind: &str, name: &str| format!("/apis/velero.io/v1/namespaces/velero/{kind}/{name}");
    let (location, schedule) = (
        velero("backupstoragelocations", "s3"),
        velero("schedules", "daily-backup"),
    );
    stage.flux.apply(&objects["BackupStorageLocation s3"]);
    stage.flux.apply(&objects["Schedule daily-backup"]);
    // Velero's kinds have no status of their own: it is written like everything else.
    let phase = |path: &str, phase: &str| {
        let kind = path.split('/').rev().nth(1).unwrap().to_owned();
        let name = path.rsplit('/').next().unwrap().to_owned();
        let patch = json!({"status": {"phase": phase}}).to_string();
        let patch = [
            "patch",
            &kind,
            &name,
            "-n",
            "velero",
            "--type=merge",
            "-p",
            &patch,
        ];
        stage.flux.cluster.kubectl(&patch, "");
    };
    phase(&location, "Available");
    phase(&schedule, "FailedValidation");
    let why = refused(&stage.client, own, "HealthCheckFailed").await;
    assert!(why.contains("Schedule/velero/daily-backup"), "{why}");

    // The location cannot be reached: then it is waited for.
    phase(&schedule, "Enabled");
    phase(&location, "Unavailable");
    stage.flux.ask(own.0, own.1);
    until(&stage.client, &path, "the location is awaited", waits).await;
    phase(&location, "Available");
    applied(&stage.client, own, revision).await;

    let all = list(
        &stage.client,
        "/apis/kustomize.toolkit.fluxcd.io/v1/kustomizations",
    )
    .await;
    assert_eq!(all.len(), APPS.len() + 2);
    for one in all {
        assert_eq!(readiness(&one).0, "True", "{one:#?}");
    }
}

async fn what_leaves_git_leaves_the_cluster_but_for_what_must_stay(stage: &Stage) {
    // One app.
    stage.ops.edit(
        "flux/apps/openebs-system/kustomization.yaml",
        "  - ./localpv-provisioner/ks.yaml\n",
        "",
    );
    stage.ops.commit("Without LocalPV");
    let revision = stage.put_out().await;
    applied(&stage.client, (NAMESPACE, "cluster-apps"), &revision).await;
    gone(stage, &release("openebs-system", "localpv-provisioner")).await;
    gone(stage, &kustomization("openebs-system", "localpv-provisioner")).await;

    // All of them.
    let made_once = get(&stage.client, SECRET).await.unwrap();
    let delete = [
        "delete",
        "kustomizations.kustomize.toolkit.fluxcd.io",
        "-n",
        NAMESPACE,
        "flux-system",
    ];
    stage.flux.cluster.kubectl(&delete, "");
    for (namespace, name) in APPS {
        gone(stage, &kustomization(namespace, name)).await;
    }
    gone(stage, SOURCE).await;
    gone(stage, &release("velero", "velero")).await;
    gone(
        stage,
        "/apis/apps/v1/namespaces/couchestor-system/deployments/couchestor",
    )
    .await;
    // With another password what was backed up could not be read any more.
    let stays = get(&stage.client, SECRET).await.expect("the password stays");
    assert_eq!(stays["data"], made_once["data"]);
    for namespace in ["velero", "openebs-system", "couchestor-system"] {
        let path = format!("/api/v1/namespaces/{namespace}");
        let stays = get(&stage.client, &path).await.expect("namespaces stay");
        assert_eq!(stays["metadata"].get("deletionTimestamp"), None, "{namespace}");
    }
    // With the kinds would go all that is written in objects of them, journals of moves too.
    let kind =
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/volumemigrations.storage.billyronks.io";
    let stays = get(&stage.client, kind).await.expect("the kinds stay");
    assert_eq!(stays["metadata"].get("deletionTimestamp"), None);
}

async fn gone(stage: &Stage, path: &str) {
    let began = std::time::Instant::now();
    while let Some(there) = get(&stage.client, path).await {
        assert!(
            began.elapsed() < crate::support::objects::PATIENCE,
            "{path} is still there: {there:#?}"
        );
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    }
}
