//! A real Kubernetes API server with etcd on loopback: one per test process, or one's own.

use super::{ready, servers};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

/// Ready takes three seconds on an idle machine.
const READY_MAX: Duration = Duration::from_secs(90);

/// A running API server. It ends with its owner; when the whole process dies, a watchdog that holds the other end of a
/// pipe ends the servers.
pub struct Cluster {
    url: String,
    folder: PathBuf,
    watchdog: Child,
}

/// The cluster that the tests of this process share: use names of your own.
pub fn shared() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(Cluster::start)
}

/// A port on loopback that nobody listens on.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    listener.local_addr().expect("it is bound").port()
}

impl Cluster {
    pub fn start() -> Self {
        let (apiserver, etcd) = (servers::kube_apiserver(), servers::etcd());
        let folder = tempfile::Builder::new()
            .prefix("couchestor-cluster-")
            .tempdir()
            .unwrap()
            .keep();
        let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/kube-apiserver");
        let (client, peer, port) = (free_port(), free_port(), free_port());
        std::fs::write(
            folder.join("tokens.csv"),
            "admin-token,admin,1,system:masters\nplain-token,couchestor,2,\n",
        )
        .unwrap();
        let script = format!(
            r#"trap "" INT
cd "{folder}"
"{etcd}" --data-dir etcd --listen-client-urls http://127.0.0.1:{client} --advertise-client-urls http://127.0.0.1:{client} \
  --listen-peer-urls http://127.0.0.1:{peer} --initial-advertise-peer-urls http://127.0.0.1:{peer} \
  --initial-cluster default=http://127.0.0.1:{peer} --unsafe-no-fsync --log-level error > etcd.log 2>&1 &
e=$!
serve() {{
"{apiserver}" --etcd-servers=http://127.0.0.1:{client} --secure-port={port} --bind-address=127.0.0.1 --cert-dir=certs \
  --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="{keys}/not-a-secret-sa.pub" \
  --service-account-signing-key-file="{keys}/not-a-secret-sa.key" --authorization-mode=RBAC --token-auth-file=tokens.csv \
  --service-cluster-ip-range=10.96.0.0/16 --disable-admission-plugins=ServiceAccount --allow-privileged=true \
  >> apiserver.log 2>&1 &
a=$!
}}
serve
while read x; do
  kill -9 $a
  wait $a 2> /dev/null
  echo gone
  serve
done
kill -9 $a $e
cd /
rm -rf "{folder}"
"#,
            folder = folder.display(),
            etcd = etcd.display(),
            apiserver = apiserver.display(),
            keys = keys.display(),
        );
        let watchdog = Command::new("sh")
            .arg("-c")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh is there");
        let cluster = Self {
            url: format!("https://127.0.0.1:{port}"),
            folder,
            watchdog,
        };
        std::fs::write(cluster.kubeconfig_path(), cluster.kubeconfig()).unwrap();
        cluster.wait_until_ready();
        cluster
    }

    /// Kills the API server and starts it again, on the same port and with the same etcd; comes back when it is ready.
    pub fn restart_api(&mut self) {
        use std::io::{BufRead, BufReader, Write};
        let pipe = self.watchdog.stdin.as_mut().expect("it is piped");
        pipe.write_all(b"again\n").expect("the watchdog lives");
        pipe.flush().expect("the watchdog lives");
        // The old one answers until the watchdog says that it is gone.
        let told = self.watchdog.stdout.as_mut().expect("it is piped");
        let mut line = String::new();
        BufReader::new(told)
            .read_line(&mut line)
            .expect("the watchdog lives");
        assert_eq!(line, "gone\n");
        self.wait_until_ready();
    }

    fn wait_until_ready(&self) {
        let answers = || {
            let ready = Command::new(servers::kubectl())
                .arg("--kubeconfig")
                .arg(self.kubeconfig_path())
                .args(["get", "--raw", "/readyz"])
                .output()
                .expect("kubectl starts");
            ready.status.success()
        };
        // The end of it, newest first.
        let log = || {
            let log = std::fs::read_to_string(self.folder.join("apiserver.log")).unwrap_or_default();
            log.lines().rev().take(20).collect::<Vec<_>>().join("\n")
        };
        ready::wait("kube-apiserver", READY_MAX, answers, log);
    }

    /// An administrator's kubeconfig.
    pub fn kubeconfig(&self) -> String {
        self.config("admin-token")
    }

    /// The kubeconfig of user `couchestor`, who has no rights but those that a test gives.
    pub fn kubeconfig_of_couchestor(&self) -> String {
        self.config("plain-token")
    }

    fn config(&self, token: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\nclusters:\n- name: test\n  cluster: {{server: \"{}\", \
             insecure-skip-tls-verify: true}}\ncontexts:\n- name: test\n  context: {{cluster: test, user: test}}\nusers:\n\
             - name: test\n  user: {{token: {token}}}\n",
            self.url
        )
    }

    pub fn kubeconfig_path(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// Runs kubectl as administrator, with a text on its stdin, and gives its stdout.
    pub fn kubectl(&self, arguments: &[&str], stdin: &str) -> String {
        use std::io::Write;
        let mut child = Command::new(servers::kubectl())
            .arg("--kubeconfig")
            .arg(self.kubeconfig_path())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl starts");
        child
            .stdin
            .take()
            .expect("it is piped")
            .write_all(stdin.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "kubectl {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Closing the pipe is the signal.
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}
