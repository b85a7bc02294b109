//! Flux's real kustomize-controller with a real API server, on loopback.
//!
//! What the rest of Flux does is played: source-controller, by putting a commit out as an artifact, and helm-controller, by writing the
//! status of HelmReleases. Their objects are checked by their own CRDs all the same.

use super::cluster::{Cluster, free_port};
use super::objects::{client, get, send, text, until};
use super::watched::Watched;
use super::{ready, servers};
use kube::Client;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Ready takes a fraction of a second on an idle machine.
const READY_MAX: Duration = Duration::from_secs(90);

/// Where Flux is, and its global keys.
pub const NAMESPACE: &str = "flux-system";

/// The Secret with the keys for files that say no other.
const KEYS: &str = "sops-age";

/// A running kustomize-controller in a cluster of its own, which knows Flux's kinds and no others.
pub struct Flux {
    pub cluster: Cluster,
    artifacts: Artifacts,
    _controller: Watched,
}

/// The one that tests share which need couchestor's and Velero's kinds; names must be their own.
pub fn shared() -> &'static Flux {
    static SHARED: OnceLock<Flux> = OnceLock::new();
    SHARED.get_or_init(|| {
        let flux = Flux::start();
        flux.define(&[&servers::velero_kinds(), &root().join("kubernetes/crds.yaml")]);
        flux
    })
}

/// This repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

impl Flux {
    pub fn start() -> Self {
        let binary = servers::kustomize_controller();
        let kinds = servers::flux_kinds();
        let cluster = Cluster::start();
        define(&cluster, &kinds.each_ref().map(PathBuf::as_path));
        cluster.kubectl(&["create", "namespace", NAMESPACE], "");
        let (health, metrics) = (free_port(), free_port());
        // What waits for others is looked at every second, where Flux takes half a minute.
        let command = format!(
            "'{}' --health-addr=127.0.0.1:{health} --metrics-addr=127.0.0.1:{metrics} --sops-age-secret={KEYS} \
             --requeue-dependency=1s --no-remote-bases",
            binary.display()
        );
        let controller = Watched::start(&command, |shell| {
            shell.env("KUBECONFIG", cluster.kubeconfig_path());
            shell.env("RUNTIME_NAMESPACE", NAMESPACE);
        });
        let answers = || ready::answers(health, "/readyz");
        ready::wait("kustomize-controller", READY_MAX, answers, || controller.log());
        Self {
            cluster,
            artifacts: Artifacts::serve(),
            _controller: controller,
        }
    }

    /// Has the cluster know kinds: of a file, or of every file of a folder.
    pub fn define(&self, paths: &[&Path]) {
        define(&self.cluster, paths);
    }

    pub async fn admin(&self) -> Client {
        client(&self.cluster.kubeconfig()).await
    }

    pub fn apply(&self, object: &Value) {
        self.cluster.kubectl(&["apply", "-f", "-"], &object.to_string());
    }

    /// A Secret with an age key, as people make it for Flux.
    pub fn age_key(&self, namespace: &str, name: &str, key: &str) {
        self.apply(
            &json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace},
            "stringData": {"age.agekey": key}}),
        );
    }

    /// The key that opens what no Kustomization names a key for.
    pub fn global_key(&self, key: &str) {
        self.age_key(NAMESPACE, KEYS, key);
    }

    /// Does what source-controller does: puts the tip of a repository's branch out as the artifact of a GitRepository, which is made if it
    /// is not there. Gives its revision.
    pub async fn put_out(&self, client: &Client, (namespace, name): (&str, &str), of: &Path) -> String {
        let path = format!("/apis/source.toolkit.fluxcd.io/v1/namespaces/{namespace}/gitrepositories/{name}");
        if get(client, &path).await.is_none() {
            self.apply(
                &json!({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {"interval": "1h", "url": "https://git.example.org/home/ops", "ref": {"branch": "main"}}}),
            );
        }
        let commit = git(of, &["rev-parse", "main"]);
        let commit = String::from_utf8(commit).unwrap().trim().to_owned();
        let archive = git(of, &["archive", "--format=tar.gz", "main"]);
        let digest = format!("sha256:{:x}", Sha256::digest(&archive));
        let (place, size) = (
            format!("gitrepository/{namespace}/{name}/{commit}.tar.gz"),
            archive.len(),
        );
        let url = self.artifacts.put(&place, archive);
        let (revision, now) = (
            format!("main@sha1:{commit}"),
            couchestor::io::clock::now().to_string(),
        );
        let artifact = json!({"url": url, "path": place, "revision": revision, "digest": digest, "size": size,
            "lastUpdateTime": now});
        self.play(
            client,
            &path,
            json!({"artifact": artifact}),
            &[("Ready", "Succeeded")],
        )
        .await;
        revision
    }

    /// Writes the status of an object as its controller would: of its present generation, with these conditions that hold, for these
    /// reasons.
    pub async fn play(&self, client: &Client, path: &str, mut status: Value, conditions: &[(&str, &str)]) {
        let object = until(client, path, "what is to have a status", |_| true).await;
        let generation = object["metadata"]["generation"].clone();
        let now = couchestor::io::clock::now()
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string();
        let condition = |(kind, reason): &(&str, &str)| json!({"type": kind, "status": "True", "reason": reason, "message": "played by a test", "lastTransitionTime": now, "observedGeneration": generation});
        status["observedGeneration"] = generation.clone();
        status["conditions"] = conditions.iter().map(condition).collect();
        let path = format!("{path}/status");
        let written = send(client, "PATCH", &path, &json!({"status": status})).await;
        written.unwrap_or_else(|words| panic!("{path}: {words}"));
    }

    /// Asks for a Kustomization to be looked at now, as `flux reconcile` does.
    pub fn ask(&self, namespace: &str, name: &str) {
        let now = format!("reconcile.fluxcd.io/requestedAt={}", couchestor::io::clock::now());
        let annotate = [
            "annotate",
            "--overwrite",
            "kustomizations.kustomize.toolkit.fluxcd.io",
        ];
        self.cluster
            .kubectl(&[&annotate[..], &["-n", namespace, name, &now]].concat(), "");
    }
}

/// Where a Kustomization is.
pub fn kustomization(namespace: &str, name: &str) -> String {
    format!("/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/{namespace}/kustomizations/{name}")
}

/// What an object's condition `Ready` says of its present generation: status, reason and message.
pub fn readiness(object: &Value) -> (&str, &str, &str) {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    let mut conditions = conditions.into_iter().flatten();
    let ready = conditions.find(|one| one["type"] == "Ready");
    ready.map_or(("", "", ""), |one| {
        (text(one, "/status"), text(one, "/reason"), text(one, "/message"))
    })
}

/// Waits until a Kustomization has applied a revision and is well.
pub async fn applied(client: &Client, (namespace, name): (&str, &str), revision: &str) -> Value {
    let what = format!("Kustomization {namespace}/{name} has applied {revision}");
    let well = |one: &Value| {
        text(one, "/status/lastAppliedRevision") == revision
            && readiness(one).0 == "True"
            && one["status"]["observedGeneration"] == one["metadata"]["generation"]
    };
    until(client, &kustomization(namespace, name), &what, well).await
}

/// Waits until a Kustomization is not well for a reason, and gives its words.
pub async fn refused(client: &Client, (namespace, name): (&str, &str), reason: &str) -> String {
    let what = format!("Kustomization {namespace}/{name} says {reason}");
    let not_well = |one: &Value| readiness(one).0 == "False" && readiness(one).1 == reason;
    let seen = until(client, &kustomization(namespace, name), &what, not_well).await;
    readiness(&seen).2.to_owned()
}

fn define(cluster: &Cluster, paths: &[&Path]) {
    for path in paths {
        let path = path.to_string_lossy();
        cluster.kubectl(&["apply", "--server-side", "-f", &path], "");
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
}

/// Runs git in a folder, which may be a bare repository, and gives what it prints.
pub fn git(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"];
    let output = Command::new("git")
        .current_dir(folder)
        .args(who)
        .args(arguments)
        .output();
    let output = output.expect("git is there");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {words}");
    output.stdout
}

/// A repository of somebody's, with a work tree.
pub struct Ops(tempfile::TempDir);

impl Ops {
    /// With folders of this repository, as they lie there.
    pub fn of(folders: &[&str]) -> Self {
        let ops = Self(tempfile::tempdir().unwrap());
        git(ops.path(), &["init", "--quiet", "--initial-branch=main"]);
        for folder in folders {
            copy(&root().join(folder), &ops.path().join(folder));
        }
        ops.commit("Begin");
        ops
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Puts something in the place of something that stands once in a file.
    pub fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.path().join(file);
        let before = std::fs::read_to_string(&path).unwrap();
        assert_eq!(before.matches(from).count(), 1, "{from:?} in {file}");
        std::fs::write(path, before.replace(from, to)).unwrap();
    }

    pub fn commit(&self, message: &str) {
        git(self.path(), &["add", "--all"]);
        git(
            self.path(),
            &["commit", "--quiet", "--allow-empty", "-m", message],
        );
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().expect("an entry has a name"));
        match path.is_dir() {
            true => copy(&path, &to),
            false => drop(std::fs::copy(&path, &to).unwrap()),
        }
    }
}

/// Files that are served as they are, by a thread that ends with this process.
struct Artifacts {
    url: String,
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
}

impl Artifacts {
    fn serve() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let files: Arc<Mutex<BTreeMap<String, Vec<u8>>>> = Arc::default();
        let served = files.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let files = served.lock().unwrap_or_else(PoisonError::into_inner).clone();
                // Whoever asks hears nothing when this fails, and asks again.
                let _ = answer(stream, &files);
            }
        });
        Self { url, files }
    }

    /// Puts a file there and gives its address.
    fn put(&self, path: &str, content: Vec<u8>) -> String {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.insert(format!("/{path}"), content);
        format!("{}/{path}", self.url)
    }
}

fn answer(mut stream: TcpStream, files: &BTreeMap<String, Vec<u8>>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let (mut asked, mut piece) = (Vec::new(), [0; 1024]);
    while !asked.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut piece)? {
            0 => return Ok(()),
            read => asked.extend_from_slice(&piece[..read]),
        }
    }
    let asked = String::from_utf8_lossy(&asked);
    let found = asked.split(' ').nth(1).and_then(|path| files.get(path));
    let (status, body) = found.map_or(("404 Not Found", &[][..]), |body| ("200 OK", body));
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)
}
