//! Builds servers from the Go modules in `tests/servers` on first use and keeps them by version below `target/`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One build at a time within this process. Two processes may build the same twice; each has files of its own, and the
/// rename at the end is atomic.
static BUILD: Mutex<()> = Mutex::new(());

static LEFT_OUT: AtomicUsize = AtomicUsize::new(0);

/// Whether tests that need a built server are left out (`COUCHESTOR_TEST_SERVERS=none`); says and counts which.
pub fn left_out(test: &str) -> bool {
    if std::env::var("COUCHESTOR_TEST_SERVERS").as_deref() != Ok("none") {
        return false;
    }
    let count = LEFT_OUT.fetch_add(1, Ordering::Relaxed) + 1;
    super::say(&format!(
        "left out because of COUCHESTOR_TEST_SERVERS=none: {test} ({count} so far)"
    ));
    true
}

pub fn kube_apiserver() -> PathBuf {
    from_assets("kube-apiserver").unwrap_or_else(|| {
        built(
            "kube-apiserver",
            "kube-apiserver",
            "k8s.io/kubernetes/cmd/kube-apiserver",
        )
    })
}

pub fn kubectl() -> PathBuf {
    from_assets("kubectl")
        .unwrap_or_else(|| built("kube-apiserver", "kubectl", "k8s.io/kubernetes/cmd/kubectl"))
}

pub fn kube_controller_manager() -> PathBuf {
    let package = "k8s.io/kubernetes/cmd/kube-controller-manager";
    from_assets("kube-controller-manager")
        .unwrap_or_else(|| built("kube-controller-manager", "kube-controller-manager", package))
}

/// Its library serves metrics a second time, at port 8080 of every address, and no option changes that: the linker does.
const NO_SECOND_METRICS: &[&str] =
    &["-ldflags=-s -w -X sigs.k8s.io/controller-runtime/pkg/metrics/server.DefaultBindAddress=0"];

pub fn velero() -> PathBuf {
    let package = "github.com/vmware-tanzu/velero/cmd/velero";
    built_with("velero", "velero", package, NO_SECOND_METRICS)
}

/// What makes Velero speak S3.
pub fn velero_plugin() -> PathBuf {
    let package = "github.com/vmware-tanzu/velero-plugin-for-aws/velero-plugin-for-aws";
    built("velero-plugin-for-aws", "velero-plugin-for-aws", package)
}

/// The S3 server, out of its crate.
pub fn s3s_fs() -> PathBuf {
    const VERSION: &str = "0.14.1";
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join(format!("target/test-servers/s3s-fs-{VERSION}"));
    let binary = folder.join("bin/s3s-fs");
    if binary.exists() {
        return binary;
    }
    let _one = BUILD.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !binary.exists() {
        eprintln!("building s3s-fs for the tests (once)");
        // cargo lets only one process at a time install into a folder. It serves a few kilobytes: compiling it quickly counts more.
        let status = Command::new(env!("CARGO"))
            .current_dir(root)
            .args([
                "install",
                "s3s-fs",
                "--features",
                "binary",
                "--debug",
                "--locked",
                "--quiet",
            ])
            .arg(format!("--version={VERSION}"))
            .arg("--root")
            .arg(&folder)
            .status()
            .expect("cargo runs these tests");
        assert!(status.success(), "cargo install of s3s-fs ended with {status}");
    }
    binary
}

pub fn etcd() -> PathBuf {
    from_assets("etcd").unwrap_or_else(|| built("etcd", "etcd", "go.etcd.io/etcd/server/v3"))
}

pub fn sops() -> PathBuf {
    built("sops", "sops", "github.com/getsops/sops/v3/cmd/sops")
}

pub fn age_keygen() -> PathBuf {
    built("sops", "age-keygen", "filippo.io/age/cmd/age-keygen")
}

pub fn kustomize() -> PathBuf {
    built("kustomize", "kustomize", "sigs.k8s.io/kustomize/kustomize/v5")
}

/// Flux's controller that applies what lies in Git.
pub fn kustomize_controller() -> PathBuf {
    let package = "github.com/fluxcd/kustomize-controller";
    built("kustomize-controller", "kustomize-controller", package)
}

/// The folders in which the CRDs of Flux's kinds lie: its sources', its Kustomization's, its HelmRelease's.
pub fn flux_kinds() -> [PathBuf; 3] {
    const CRDS: &str = "config/crd/bases";
    let of = |module: &str, package: &str| module_folder(module, package, CRDS).join(CRDS);
    [
        of("flux-kinds", "github.com/fluxcd/source-controller"),
        of("kustomize-controller", "github.com/fluxcd/kustomize-controller"),
        of("flux-kinds", "github.com/fluxcd/helm-controller"),
    ]
}

/// The folder in which the CRDs of Velero's kinds lie.
pub fn velero_kinds() -> PathBuf {
    const CRDS: &str = "config/crd/v1/bases";
    module_folder("velero", "github.com/vmware-tanzu/velero", CRDS).join(CRDS)
}

/// The folder with the kinds of CSI's snapshots, as the client that Velero is built with knows them.
pub fn snapshot_kinds() -> PathBuf {
    const CRDS: &str = "config/crd";
    let package = "github.com/kubernetes-csi/external-snapshotter/client/v8";
    module_folder("velero", package, CRDS).join(CRDS)
}

/// Gitea keeps its pages and its words in its module's folder: the second path.
pub fn gitea() -> (PathBuf, PathBuf) {
    let tags = &["-tags", "sqlite,sqlite_unlock_notify"];
    let binary = built_with("gitea", "gitea", "code.gitea.io/gitea", tags);
    (binary, module_folder("gitea", "code.gitea.io/gitea", "options"))
}

/// Where Go keeps what a module here was built from; `has` is there when it is whole.
pub fn module_folder(module: &str, package: &str, has: &str) -> PathBuf {
    let module = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/servers")
        .join(module);
    let ask = || {
        let list = ["list", "-m", "-f", "{{.Dir}}", package];
        let output = Command::new("go").current_dir(&module).args(list).output();
        let output = output.expect("Go built it");
        PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
    };
    if !ask().join(has).exists() {
        // Built earlier, and the module cache was cleaned since.
        let download = ["mod", "download", package];
        let _ = Command::new("go").current_dir(&module).args(download).status();
    }
    let folder = ask();
    assert!(folder.join(has).exists(), "{package} has no {has} in {folder:?}");
    folder
}

/// Without the libraries of all clouds in which it can find what to scrape, which are most of what there is to compile.
const NO_DISCOVERY: &[&str] = &["-tags", "remove_all_sd"];

pub fn prometheus() -> PathBuf {
    let package = "github.com/prometheus/prometheus/cmd/prometheus";
    built_with("prometheus", "prometheus", package, NO_DISCOVERY)
}

pub fn promtool() -> PathBuf {
    let package = "github.com/prometheus/prometheus/cmd/promtool";
    built_with("prometheus", "promtool", package, NO_DISCOVERY)
}

/// Reads SOPS files with the rops library: a program of ours in a cargo project of its own.
pub fn rops() -> PathBuf {
    let _one = BUILD.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("target/test-servers/rops");
    // cargo itself knows whether anything is to be done, and lets only one process at a time do it.
    let status = Command::new(env!("CARGO"))
        .current_dir(root.join("tests/servers/rops"))
        .args(["build", "--release", "--locked", "--quiet", "--target-dir"])
        .arg(&folder)
        .status()
        .expect("cargo runs these tests");
    assert!(status.success(), "cargo build of rops ended with {status}");
    folder.join("release/rops-oracle")
}

fn from_assets(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os("KUBEBUILDER_ASSETS")?).join(name);
    path.exists().then_some(path)
}

fn built(module: &str, name: &str, package: &str) -> PathBuf {
    built_with(module, name, package, &[])
}

fn built_with(module: &str, name: &str, package: &str, tags: &[&str]) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = root.join("tests/servers").join(module);
    let sums = std::fs::read(source.join("go.sum")).expect("each module has a go.sum");
    let mods = std::fs::read(source.join("go.mod")).expect("each module has a go.mod");
    let version = sums
        .iter()
        .chain(&mods)
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let folder = root
        .join("target/test-servers")
        .join(format!("{module}-{version:016x}"));
    let binary = folder.join(name);
    if binary.exists() {
        return binary;
    }
    let _one = BUILD.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    std::fs::create_dir_all(&folder).expect("target/ can be written");
    if !binary.exists() {
        eprintln!(
            "building {name} for the tests (once; kube-apiserver, velero, gitea and kustomize-controller take a few minutes)"
        );
        // The name of the temporary file is this process's own; the rename at the end is atomic.
        let temporary = folder.join(format!(".{name}-{}", std::process::id()));
        // Built from a copy, because `-mod=mod` may complete go.mod and go.sum.
        let copy = folder.join(format!("module-{}", std::process::id()));
        std::fs::create_dir_all(&copy).expect("target/ can be written");
        for file in ["go.mod", "go.sum", "main.go"] {
            std::fs::copy(source.join(file), copy.join(file)).expect("each module has these files");
        }
        let status = go_build(&copy)
            .args(tags)
            .arg("-o")
            .arg(&temporary)
            .arg(package)
            .status();
        match status {
            Ok(status) if status.success() => {
                std::fs::rename(&temporary, &binary).expect("the build is there")
            }
            Ok(status) => panic!("go build of {name} ended with {status}"),
            Err(error) => panic!(
                "this test builds {name} with Go, which did not start ({error}): install Go 1.26 or later from https://go.dev/dl, \
                 or set COUCHESTOR_TEST_SERVERS=none to leave such tests out"
            ),
        }
    }
    binary
}

/// What is compiled here is compiled once and never debugged: so it is about quick compiling. Each compiler holds its memory up to
/// a bound instead of collecting garbage, nothing writes debugging symbols, and SQLite's single large file of C is optimised a little only.
fn go_build(folder: &Path) -> Command {
    let mut command = Command::new("go");
    command
        .current_dir(folder)
        .env("GOGC", "off")
        .env("GOMEMLIMIT", "2GiB")
        .env("CGO_CFLAGS", "-O1")
        .args(["build", "-mod=mod", "-buildvcs=false", "-trimpath"])
        .args(["-ldflags=-s -w", "-gcflags=all=-dwarf=false"]);
    command
}
