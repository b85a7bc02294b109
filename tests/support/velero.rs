//! A real Velero with a real API server, kube-controller-manager and S3 server, all on loopback.
//!
//! There is one stack per test process, and [`shared`] is the Velero that most tests use, in namespace `velero`: others use it too,
//! so namespaces, locations and buckets need names of their own, and a test that lets an S3 server go makes a server and a location
//! of its own. What would break the others, such as an object that Velero cannot read at all, is for a Velero that stands
//! [`alone`] in another namespace. What a cluster's nodes do is played by [`super::kubelet`], for all of them.

use super::cluster::{Cluster, free_port};
use super::kubelet::Kubelet;
use super::objects::{client, send, until};
use super::s3::S3;
use super::watched::Watched;
use super::{ready, servers};
use kube::Client;
use serde_json::{Value, json};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

/// Where the shared Velero is; the example's policies say the same.
pub const NAMESPACE: &str = "velero";

/// The bucket of the location `shared` that each Velero here has.
pub const BUCKET: &str = "shared";

/// Velero begins to work within three seconds on an idle machine.
const READY_MAX: Duration = Duration::from_secs(120);

/// Kubernetes' own controllers that backups and drills need: claims are bound, pods of Jobs and of workloads are made, what is
/// owned goes with its owner, quotas are counted, namespaces end.
const CONTROLLERS: &str = "garbage-collector-controller,namespace-controller,resourcequota-controller,persistentvolume-binder-controller,\
    persistentvolumeclaim-protection-controller,persistentvolume-protection-controller,statefulset-controller,\
    deployment-controller,replicaset-controller,job-controller";

/// A cluster of its own, because its controllers would bind and collect what other tests make by hand; with Velero's kinds.
struct Stack {
    cluster: Cluster,
    _manager: Watched,
}

fn stack() -> &'static Stack {
    static STACK: OnceLock<Stack> = OnceLock::new();
    STACK.get_or_init(|| {
        let manager = servers::kube_controller_manager();
        let velero = servers::velero();
        let cluster = Cluster::start();
        let port = free_port();
        let manager = Watched::start(
            &format!(
                "'{}' --kubeconfig='{}' --controllers={CONTROLLERS} --leader-elect=false --bind-address=127.0.0.1 \
                 --secure-port={port} --cert-dir=certs --use-service-account-credentials=false",
                manager.display(),
                cluster.kubeconfig_path().display()
            ),
            |_| {},
        );
        let install = ["install", "--crds-only", "--dry-run", "-o", "yaml"];
        let crds = Command::new(velero).args(install).env("HOME", manager.folder()).output().unwrap();
        assert!(crds.status.success(), "{}", String::from_utf8_lossy(&crds.stderr));
        cluster.kubectl(&["apply", "--server-side", "-f", "-"], &String::from_utf8_lossy(&crds.stdout));
        let ours = include_str!("../../kubernetes/crds.yaml");
        cluster.kubectl(&["apply", "--server-side", "-f", "-"], ours);
        let folder = servers::snapshot_kinds();
        for kind in ["volumesnapshots", "volumesnapshotcontents", "volumesnapshotclasses"] {
            let crd = folder.join(format!("snapshot.storage.k8s.io_{kind}.yaml"));
            let crd = std::fs::read_to_string(crd).unwrap();
            cluster.kubectl(&["apply", "--server-side", "-f", "-"], &crd);
        }
        cluster.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"], "");
        Stack { cluster, _manager: manager }
    })
}

/// The cluster that all Veleros of this process are in.
pub fn cluster() -> &'static Cluster {
    &stack().cluster
}

/// A client of the cluster's administrator, for the runtime of the test that asks.
pub async fn admin() -> Client {
    client(&cluster().kubeconfig()).await
}

/// A running Velero.
pub struct Velero {
    pub namespace: &'static str,
    pub s3: S3,
    server: Watched,
}

/// The Velero that the tests of this process share.
pub fn shared() -> &'static Velero {
    static SHARED: OnceLock<Velero> = OnceLock::new();
    SHARED.get_or_init(|| Velero::start(NAMESPACE))
}

/// What nodes and node agents do.
pub fn kubelet() -> &'static Kubelet {
    static KUBELET: OnceLock<Kubelet> = OnceLock::new();
    KUBELET.get_or_init(|| Kubelet::start(cluster().kubeconfig()))
}

/// Objects with the names of the example's are there once: who makes them holds this meanwhile.
pub static EXAMPLE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A Velero of one's own.
pub fn alone(namespace: &'static str) -> Velero {
    Velero::start(namespace)
}

/// Starts the server itself, and says at which port it tells its metrics.
fn serve(namespace: &str) -> (Watched, u16) {
    let (binary, plugin) = (servers::velero(), servers::velero_plugin());
    let metrics = free_port();
    let server = Watched::start(
        &format!(
            "'{}' server --namespace={namespace} --plugin-dir=plugins --metrics-address=127.0.0.1:{metrics} --profiler-address= \
             --store-validation-frequency=5s --backup-sync-period=5s --concurrent-backups=8 \
             --item-operation-sync-frequency=1s --features=EnableCSI",
            binary.display()
        ),
        |shell| {
            let plugins = shell.get_current_dir().expect("it has a folder").join("plugins");
            std::fs::create_dir_all(&plugins).unwrap();
            std::os::unix::fs::symlink(&plugin, plugins.join("velero-plugin-for-aws")).unwrap();
            shell.env("KUBECONFIG", cluster().kubeconfig_path());
        },
    );
    (server, metrics)
}

/// The Secret of all locations but the shared one. Velero writes the file of a Secret anew each time that anybody asks for it, and whoever
/// reads it just then finds nothing (`internal/credentials/file_store.go`, vmware-tanzu/velero issue 8524): the location is Unavailable until
/// it is looked at again. Everybody needs the shared one, so it has a file of its own, and is looked at seldom.
const OTHERS: &str = "others";

impl Velero {
    fn start(namespace: &'static str) -> Self {
        let cluster = cluster();
        cluster.kubectl(&["create", "namespace", namespace], "");
        // Restores look up Velero's own Deployment.
        cluster.kubectl(
            &["apply", "--namespace", namespace, "-f", "-"],
            include_str!("velero/deployment.yaml"),
        );
        // Before Velero starts, as it should be: else Velero makes one with a password that everybody knows.
        let password = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "velero-repo-credentials", "namespace": namespace},
            "stringData": {"repository-password": "not-a-secret-make-your-own"}});
        cluster.kubectl(&["apply", "-f", "-"], &password.to_string());
        let s3 = S3::start("access-not-secret", "secret-not-secret", BUCKET);
        let (server, metrics) = serve(namespace);
        let velero = Self {
            namespace,
            s3,
            server,
        };
        velero.wait_until_ready(metrics);
        for secret in ["shared", OTHERS] {
            velero.apply(&velero.secret(secret, &velero.s3));
        }
        let mut shared = velero.location("shared", BUCKET, &velero.s3);
        shared["spec"]["credential"]["name"] = json!("shared");
        shared["spec"]["validationFrequency"] = json!("1m");
        velero.apply(&shared);
        velero
    }

    /// Kills Velero and its plugins at once, and starts it again.
    pub fn restart(&mut self) {
        self.server.kill();
        let (server, metrics) = serve(self.namespace);
        self.server = server;
        self.wait_until_ready(metrics);
    }

    fn wait_until_ready(&self, metrics: u16) {
        let answers = || ready::answers(metrics, "/metrics");
        ready::wait("Velero", READY_MAX, answers, || self.log());
    }

    /// The end of Velero's log, newest line first.
    pub fn log(&self) -> String {
        self.server.log()
    }

    /// A Secret with the credentials of an S3 server.
    pub fn secret(&self, name: &str, s3: &S3) -> Value {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": self.namespace},
            "stringData": {"cloud": s3.credentials()}})
    }

    /// A location in a bucket, with the credentials of all but the shared one.
    pub fn location(&self, name: &str, bucket: &str, s3: &S3) -> Value {
        let config = json!({"region": "none", "s3Url": s3.url(), "s3ForcePathStyle": "true"});
        let spec = json!({"provider": "aws", "objectStorage": {"bucket": bucket}, "config": config,
            "credential": {"name": OTHERS, "key": "cloud"}});
        self.object("BackupStorageLocation", name, spec)
    }

    /// An object of Velero's kinds.
    pub fn object(&self, kind: &str, name: &str, spec: Value) -> Value {
        let metadata = json!({"name": name, "namespace": self.namespace});
        json!({"apiVersion": "velero.io/v1", "kind": kind, "metadata": metadata, "spec": spec})
    }

    /// Applies an object.
    pub fn apply(&self, object: &Value) {
        cluster().kubectl(&["apply", "-f", "-"], &object.to_string());
    }

    /// Runs the `velero` command as people do, and gives what it prints.
    pub fn command(&self, arguments: &[&str]) -> String {
        let output = Command::new(servers::velero())
            .args(arguments)
            .args(["--namespace", self.namespace])
            .env("KUBECONFIG", cluster().kubeconfig_path())
            .env("HOME", self.server.folder())
            .output()
            .expect("velero starts");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "velero {arguments:?}: {said}{words}");
        said
    }

    /// Where an object of Velero's is: `kind` in small letters and the plural.
    pub fn path(&self, kind: &str, name: &str) -> String {
        format!("/apis/velero.io/v1/namespaces/{}/{kind}/{name}", self.namespace)
    }

    /// Waits for a location to be in a phase.
    pub async fn located(&self, client: &Client, name: &str, phase: &str) -> Value {
        let what = format!("location {name} is {phase}");
        let path = self.path("backupstoragelocations", name);
        until(client, &path, &what, |one| one["status"]["phase"] == phase).await
    }

    /// Makes an object of Velero's kinds, past everybody's checks but the API server's, which may refuse it with words.
    pub async fn make(&self, client: &Client, kind: &str, name: &str, spec: Value) -> Result<(), String> {
        let folder = self.path(&format!("{}s", kind.to_lowercase()), "");
        let object = self.object(kind, name, spec);
        send(client, "POST", folder.trim_end_matches('/'), &object)
            .await
            .map(|_| ())
    }

    /// Makes a Backup and waits for its end.
    pub async fn backup(&self, client: &Client, name: &str, spec: Value) -> Value {
        self.make(client, "Backup", name, spec)
            .await
            .unwrap_or_else(|words| panic!("Backup {name}: {words}"));
        self.ended(client, "backups", name).await
    }

    /// Waits for the end of a Backup or Restore.
    pub async fn ended(&self, client: &Client, kind: &str, name: &str) -> Value {
        let over = ["Completed", "PartiallyFailed", "Failed", "FailedValidation"];
        let over = |one: &Value| over.iter().any(|phase| one["status"]["phase"] == *phase);
        until(
            client,
            &self.path(kind, name),
            &format!("{kind} {name} ends"),
            over,
        )
        .await
    }
}
