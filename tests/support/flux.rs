//! Flux's real kustomize-controller in the cluster of [`super::velero`], and artifacts of this repository served on loopback, as
//! source-controller would serve them.

use super::cluster::free_port;
use super::objects::{get, send, until_within};
use super::servers;
use super::velero::{Watched, cluster};
use kube::Client;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Ready takes a tenth of a second on an idle machine.
const READY_MAX: Duration = Duration::from_secs(90);

/// The controller waits for what it applied, which is more than one object.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// The running controller; it ends with its owner.
pub struct Flux {
    controller: Watched,
    artifacts: String,
    folder: tempfile::TempDir,
}

impl Flux {
    /// Starts it, with the kinds of Flux's controllers and with the age key of the example.
    pub fn start() -> Self {
        let binary = servers::kustomize_controller();
        let cluster = cluster();
        for controller in ["kustomize-controller", "source-controller", "helm-controller"] {
            let crds = servers::flux_crds(controller);
            let crds = crds.to_str().expect("a path in UTF-8");
            cluster.kubectl(&["apply", "--server-side", "-f", crds], "");
        }
        cluster.kubectl(
            &[
                "wait",
                "--for=condition=Established",
                "crd",
                "--all",
                "--timeout=60s",
            ],
            "",
        );
        cluster.kubectl(&["create", "namespace", "flux-system"], "");
        let key = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/demo.agekey");
        let from = format!("--from-file=age.agekey={}", key.display());
        cluster.kubectl(
            &[
                "create",
                "secret",
                "generic",
                "sops-age",
                "--namespace",
                "flux-system",
                &from,
            ],
            "",
        );
        let folder = tempfile::Builder::new()
            .prefix("couchestor-flux-")
            .tempdir()
            .unwrap();
        let (health, metrics) = (free_port(), free_port());
        let command = format!(
            "'{}' --health-addr=127.0.0.1:{health} --metrics-addr=127.0.0.1:{metrics} --sops-age-secret=sops-age \
             --requeue-dependency=1s",
            binary.display()
        );
        let controller = Watched::start(&command, |shell| {
            shell
                .env("KUBECONFIG", cluster.kubeconfig_path())
                .env("RUNTIME_NAMESPACE", "flux-system");
        });
        let flux = Self {
            controller,
            artifacts: serve(folder.path()),
            folder,
        };
        let began = Instant::now();
        while !ready(health) {
            assert!(
                began.elapsed() < READY_MAX,
                "kustomize-controller was not ready within {READY_MAX:?}: {}",
                flux.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        flux
    }

    /// The end of the controller's log, newest line first.
    pub fn log(&self) -> String {
        self.controller.log()
    }

    /// What source-controller says of a repository: this one's folders, packed and served.
    pub async fn publish(&self, client: &Client, namespace: &str, name: &str, folders: &[&str]) {
        let file = format!("{name}.tar.gz");
        let packed = Command::new("tar")
            .args(["--sort=name", "--mtime=@0", "-czf"])
            .arg(self.folder.path().join(&file))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(folders)
            .status()
            .expect("tar is there");
        assert!(packed.success());
        let bytes = std::fs::read(self.folder.path().join(&file)).unwrap();
        let digest: String = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let path = format!("/apis/source.toolkit.fluxcd.io/v1/namespaces/{namespace}/gitrepositories/{name}");
        let there = until_within(PATIENCE, client, &path, "the GitRepository", |_| true).await;
        let now = "2026-01-01T00:00:00Z";
        let ready = json!({"type": "Ready", "status": "True", "reason": "Succeeded", "message": "", "lastTransitionTime": now});
        let artifact = json!({"url": format!("{}/{file}", self.artifacts), "path": file, "digest": format!("sha256:{digest}"),
            "revision": format!("main@sha1:{}", &digest[..40]), "lastUpdateTime": now, "size": bytes.len()});
        let status = json!({"status": {"observedGeneration": there["metadata"]["generation"], "conditions": [ready], "artifact": artifact}});
        send(client, "PATCH", &format!("{path}/status"), &status)
            .await
            .unwrap();
    }

    /// Waits until a Kustomization is ready, or is not and says so with these words; gives what it is then.
    pub async fn until(
        &self,
        client: &Client,
        namespace: &str,
        name: &str,
        ready: bool,
        words: &str,
    ) -> Value {
        let path =
            format!("/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/{namespace}/kustomizations/{name}");
        let is = |one: &Value| {
            let conditions = one["status"]["conditions"].as_array().into_iter().flatten();
            let mut conditions = conditions.filter(|condition| condition["type"] == "Ready");
            let current = one["status"]["observedGeneration"] == one["metadata"]["generation"];
            conditions.next().is_some_and(|condition| {
                let said = condition["message"].as_str().unwrap_or_default();
                current && condition["status"] == if ready { "True" } else { "False" } && said.contains(words)
            })
        };
        let what = format!("Kustomization {namespace}/{name} is ready={ready} {words}");
        until_within(PATIENCE, client, &path, &what, is).await
    }

    /// Asks for another round of a Kustomization, waits for its end, and gives what it is then.
    pub async fn again(&self, client: &Client, namespace: &str, name: &str, token: &str) -> Value {
        let path =
            format!("/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/{namespace}/kustomizations/{name}");
        let ask = json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": token}}});
        send(client, "PATCH", &path, &ask).await.unwrap();
        let handled = |one: &Value| one["status"]["lastHandledReconcileAt"] == token;
        until_within(
            PATIENCE,
            client,
            &path,
            &format!("round {token} of {name}"),
            handled,
        )
        .await
    }
}

/// Serves a folder's files on loopback for as long as this process lives.
fn serve(folder: &Path) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let folder = folder.to_owned();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 4096];
            let read = stream.read(&mut head).unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..read]).into_owned();
            let name = head
                .split_whitespace()
                .nth(1)
                .unwrap_or_default()
                .trim_start_matches('/')
                .to_owned();
            let body = std::fs::read(folder.join(&name)).unwrap_or_default();
            let code = if body.is_empty() {
                "404 Not Found"
            } else {
                "200 OK"
            };
            let answer = format!(
                "HTTP/1.1 {code}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream
                .write_all(answer.as_bytes())
                .and_then(|()| stream.write_all(&body));
        }
    });
    url
}

fn ready(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
        return false;
    };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let asked = stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n");
    let mut answer = String::new();
    asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.contains(" 200 ")
}

/// What a Kustomization applied, as it is, without what others write into it: each with its path.
pub async fn applied(client: &Client, kustomization: &Value) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for entry in kustomization["status"]["inventory"]["entries"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let id = entry["id"].as_str().unwrap_or_default().to_owned();
        // namespace_name_group_kind, with nothing where there is none.
        let parts: Vec<&str> = id.split('_').collect();
        let [namespace, name, group, kind] = parts[..] else {
            panic!("{id} is no entry of an inventory");
        };
        let version = entry["v"].as_str().unwrap_or_default();
        let plural = match kind.to_lowercase() {
            kind if kind.ends_with('y') => format!("{}ies", kind.trim_end_matches('y')),
            kind if kind.ends_with('s') => format!("{kind}es"),
            kind => format!("{kind}s"),
        };
        let base = match group {
            "" => format!("/api/{version}"),
            group => format!("/apis/{group}/{version}"),
        };
        let place = match namespace {
            "" => String::new(),
            namespace => format!("/namespaces/{namespace}"),
        };
        let path = format!("{base}{place}/{plural}/{name}");
        let mut object = get(client, &path)
            .await
            .unwrap_or_else(|| panic!("{path} is not there"));
        object.as_object_mut().expect("an object").remove("status");
        let metadata = object["metadata"].as_object_mut().expect("it has metadata");
        metadata.remove("managedFields");
        metadata.remove("resourceVersion");
        metadata.remove("finalizers");
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove("reconcile.fluxcd.io/requestedAt");
            annotations.remove("deployment.kubernetes.io/revision");
        }
        metadata.retain(|_, value| value.as_object().is_none_or(|fields| !fields.is_empty()));
        all.push((path, object));
    }
    all
}
