//! A controller without election that another one has taken over from.

use super::simulated::Servers;
use super::{command, folder};
use crate::support::cluster::free_port;
use couchestor::io::cluster::Cluster;
use couchestor::model::ids::ObjectId;
use couchestor::model::kinds::PolicySource;
use serde_json::json;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const WORLD: &str = include_str!("../../policies/world.yaml");

/// A controller that ends with its test.
struct Controller(Child);

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for an answer of a controller's `/readyz`.
async fn ready(address: &str, code: u16) -> String {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let began = Instant::now();
    loop {
        if let Ok(answer) = client.get(format!("http://{address}/readyz")).send().await
            && answer.status().as_u16() == code
        {
            return answer.text().await.unwrap();
        }
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "no {code} of {address}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_without_election_that_was_superseded_is_not_ready_and_says_why() {
    let folder = folder(&[("world.yaml", WORLD)]);
    let folder = folder.path();
    let servers = Servers::start(folder);
    let cluster = Cluster::connect(Some(&folder.join("k"))).await.unwrap();
    let free = format!("127.0.0.1:{}", free_port());
    let mut controller = command(folder, &["run", "--kubeconfig", "k", "--cache-dir", "c"]);
    controller
        .args(["--health-addr", &free, "--metrics-addr", "127.0.0.1:0"])
        .args(["--sync-poll-interval-seconds", "0.2", "--log-level", "error"])
        .stderr(Stdio::null());
    let _controller = Controller(controller.spawn().unwrap());
    assert_eq!(ready(&free, 200).await, "ok\n");

    let id = ObjectId {
        group: "storage.billyronks.io".to_owned(),
        kind: "PolicySource".to_owned(),
        namespace: "couchestor-system".to_owned(),
        name: "homelab".to_owned(),
    };
    let spec = json!({"url": "https://127.0.0.1:9/a.git", "path": "p", "suspend": true});
    let object = json!({"apiVersion": "storage.billyronks.io/v1", "kind": "PolicySource",
        "metadata": {"name": id.name, "namespace": id.namespace}, "spec": spec});
    cluster
        .create_object("storage.billyronks.io/v1", &id, &object)
        .await
        .unwrap();
    // Another one takes over: it raises the epoch. The one that runs may write the status at the same moment.
    let began = Instant::now();
    loop {
        let mut source: PolicySource = cluster.list().await.unwrap().remove(0);
        source.status.get_or_insert_default().epoch = Some(99);
        if cluster.replace_status(&source).await.is_ok() {
            break;
        }
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "the status is not written"
        );
    }
    let why = ready(&free, 503).await;
    for words in [
        "superseded",
        "epoch 99",
        "couchestor-system/homelab",
        "--leader-election lease",
    ] {
        assert!(why.contains(words), "{why}");
    }
    drop(servers);
}
