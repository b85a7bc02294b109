//! A whole move on the real API server, with the rights that `couchestor manifests` gives.

use super::*;
use crate::support::cluster;
use std::time::{Duration, Instant};

/// A new kind is served within seconds.
const SERVED_MAX: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_of_longhorn_moves_on_the_real_api_server_with_the_rights_of_the_manifest() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = cluster::Cluster::start();
    for crd in crds() {
        server.kubectl(&["apply", "-f", "-"], &crd.to_string());
    }
    server.kubectl(&["create", "namespace", NAMESPACE], "");
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/kubernetes/couchestor.yaml");
    let manifest = std::fs::read_to_string(manifest).unwrap();
    let role = manifest
        .split("\n---\n")
        .find(|text| text.contains("kind: ClusterRole\n"))
        .unwrap();
    server.kubectl(&["apply", "-f", "-"], role);
    server.kubectl(
        &[
            "create",
            "clusterrolebinding",
            "moves",
            "--clusterrole=couchestor",
            "--user=couchestor",
        ],
        "",
    );
    let admin = Cluster::from_kubeconfig(&server.kubeconfig()).await.unwrap();
    let ours = Cluster::from_kubeconfig(&server.kubeconfig_of_couchestor())
        .await
        .unwrap();
    let until = Instant::now() + SERVED_MAX;
    while Longhorn::of(&ours).state().await.is_err() {
        assert!(Instant::now() < until, "{:?}", Longhorn::of(&ours).state().await);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let sim = LonghornSim::new(&admin, 40);
    furnish(&sim, 2, true).await;
    let process = Process::new(&ours, &sim, "nvme");
    let status = run(&process, &sim, approved).await;
    assert_eq!(status.phase, Phase::Completed, "{}", status.message);
    assert_eq!(pools(&sim).await, ["h1/nvme", "h2/nvme"]);
    assert_tidy(&sim, 2, "real").await;
}
