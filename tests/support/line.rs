//! The line by itself: what `turn` wants of the outside and of a source, against the simulated servers of the example's world.

use couchestor::decide::Limits;
use couchestor::fetch::Follow;
use couchestor::formats::sops::Identities;
use couchestor::formats::substitute::Variables;
use couchestor::ha::Leadership;
use couchestor::io::cluster::Cluster;
use couchestor::io::git::{self, Credentials, Lease, Repository};
use couchestor::io::mayastor::Mayastor;
use couchestor::io::prometheus::Prometheus;
use couchestor::model::ids::SourceRef;
use couchestor::model::kinds::all_crds;
use couchestor::model::rendering::FileChange;
use couchestor::sim::world::{Running, World as Seed, start};
use couchestor::telemetry::Metrics;
use couchestor::turn::{Source, World};
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

static NO_VARIABLES: LazyLock<Variables> = LazyLock::new(Variables::default);

/// The servers of `policies/world.yaml`, with our kinds.
pub async fn servers() -> Running {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let seed = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/world.yaml");
    let seed = Seed::read(&std::fs::read_to_string(seed).unwrap()).unwrap();
    let running = start(&seed, couchestor::io::clock::now).await.unwrap();
    for crd in all_crds() {
        let crd = serde_json::to_value(crd).unwrap();
        running.kubernetes.put(crd).unwrap();
    }
    running
}

/// The outside world by its clients, with another way to the cluster than the simulated server's own if there is one.
pub async fn outside(running: &Running, kubeconfig: Option<&str>) -> World {
    let own = running.kubernetes.kubeconfig();
    World {
        cluster: Cluster::from_kubeconfig(kubeconfig.unwrap_or(&own))
            .await
            .unwrap(),
        mayastor: Mayastor::new(&running.mayastor.url()).unwrap(),
        prometheus: Some(Prometheus::new(&running.prometheus.url()).unwrap()),
        metrics: Metrics::default(),
        clock: couchestor::io::clock::now,
        leadership: Leadership::unguarded(1),
    }
}

/// The controller's clone of a repository in the folder, to whose branch `main` these files were pushed.
pub async fn pushed(folder: &Path, files: Vec<FileChange>) -> Repository {
    let bare = folder.join("repository.git");
    git::init_bare(&bare).unwrap();
    let url = format!("file://{}", bare.display());
    let open = |name: &str| {
        let timeout = Duration::from_secs(20);
        Repository::new(&url, &folder.join(name), Credentials::default(), timeout, true).unwrap()
    };
    let now = couchestor::io::clock::now();
    open("person")
        .push("main", Lease::Absent, None, files, "policies\n".into(), now)
        .await
        .unwrap();
    open("controller")
}

/// A source on folder `p` of branch `main` that says nothing more.
pub fn source<'a>(repository: &'a Repository, identities: &'a Identities) -> Source<'a> {
    Source {
        name: SourceRef {
            namespace: "couchestor-system".into(),
            name: "homelab".into(),
        },
        repository,
        branch: "main".into(),
        forge: None,
        approvals: None,
        plans: couchestor::model::kinds::review::Plans::default(),
        labels: Vec::new(),
        template: None,
        follow: &Follow::Branch,
        verification: None,
        root: "p".into(),
        assignments: "p/assignments".into(),
        prefix: "couchestor/".into(),
        audit: "couchestor/audit".into(),
        delivery: None,
        identities,
        variables: &NO_VARIABLES,
        prune: true,
        suspended: false,
        poked: false,
        hinted: false,
        limits: Limits {
            max_open: 3,
            rejections_expire: None,
            max_concurrent: 2,
            dry_run: false,
        },
        preserve: false,
        moves: couchestor::model::moves::Rules::default(),
        others: std::collections::BTreeSet::new(),
        second: false,
    }
}
