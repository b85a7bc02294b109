//! A repository with policies, its forge, a cluster, a controller that takes turns when it is told to, and people.

use crate::forges::world::{Host, World};
use crate::proposals::life::client;
use crate::support::canary::Canary;
use crate::support::line;
use crate::support::seal::Sealer;
use couchestor::decide::Limits;
use couchestor::formats::sops::Identities;
use couchestor::formats::substitute::Variables;
use couchestor::io::git::{Lease, Repository, Signature};
use couchestor::model::ids::CommitId;
use couchestor::model::kinds::merges::ApprovalRule;
use couchestor::model::kinds::policy_source::PolicySourceStatus;
use couchestor::model::kinds::review::{Commands, Plans, ReviewStatus};
use couchestor::model::pull_request::Comment;
use couchestor::model::rendering::FileChange;
use couchestor::sim::world::Running;
use couchestor::turn::{Memory, Source, Turned, World as Outside, turn};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::path::Path;

pub const TIERS: &str = "\
apiVersion: storage.billyronks.io/v1
kind: StorageTier
metadata: {name: cold}
spec: {rank: 10, poolSelector: {matchLabels: {storage-tier: cold}}}
---
apiVersion: storage.billyronks.io/v1
kind: StorageTier
metadata: {name: hot}
spec:
  rank: 100
  poolSelector: {matchLabels: {storage-tier: hot}}
  storageClass: {name: fast, mayastor: {replicas: 1}}
";

pub const POLICY: &str = "\
apiVersion: storage.billyronks.io/v1
kind: StoragePolicy
metadata: {name: tiering}
spec:
  tiers: [cold, hot]
  signals:
    - {name: iops, above: 50000, below: 1}
";

pub const BACKUPS: &str = "\
apiVersion: storage.billyronks.io/v1
kind: BackupLocation
metadata: {name: s3, namespace: velero}
spec: {bucket: b, region: r, credentials: {name: velero-s3}, default: true}
---
apiVersion: storage.billyronks.io/v1
kind: BackupPolicy
metadata: {name: daily, namespace: velero}
spec:
  location: s3
  includedNamespaces: [db]
  volumes: fs-backup
  schedules: [{name: backup, schedule: 0 2 * * *, ttl: 720h}]
";

pub const NOTES: &str =
    "{apiVersion: v1, kind: ConfigMap, metadata: {name: notes, namespace: db}, data: {a: b}}\n";

/// The volume of the claim db/data-0.
pub const VOLUME: &str = "pvc-5f3c1c6e-0b1d-4c86-9d5e-2b8f6f0a0001";

pub fn assignment(tier: &str) -> String {
    format!(
        "apiVersion: storage.billyronks.io/v1\nkind: TierAssignment\nmetadata: {{name: data-0, namespace: db}}\n\
         spec: {{claim: data-0, volume: {VOLUME}, tier: {tier}}}\n"
    )
}

pub type Files<'a> = &'a [(&'a str, Option<&'a str>)];

pub struct Life {
    pub world: World,
    pub running: Running,
    pub outside: Outside,
    pub status: PolicySourceStatus,
    pub canary: Canary,
    pub sealer: Sealer,
    pub variables: Variables,
    pub hinted: bool,
    /// Whether another source of the cluster follows the same branch.
    pub second: bool,
    /// Approvals that are demanded; then approved moves may start.
    pub approvals: Option<ApprovalRule>,
    memory: Memory,
    repository: Repository,
    person: Repository,
    identities: Identities,
    made: i64,
    _folder: tempfile::TempDir,
}

impl Life {
    pub async fn new(world: World) -> Self {
        let running = line::servers().await;
        let outside = line::outside(&running, None).await;
        let folder = tempfile::tempdir().unwrap();
        let sealer = Sealer::new();
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/demo.agekey");
        let demo = std::fs::read_to_string(demo).unwrap();
        let keys = [("k.agekey", sealer.key.as_str()), ("demo.agekey", demo.as_str())];
        let identities = Identities::parse(keys).unwrap();
        let life = Self {
            repository: client(&world, &folder, "controller"),
            person: client(&world, &folder, "person"),
            world,
            running,
            outside,
            status: PolicySourceStatus::default(),
            canary: Canary::new(),
            sealer,
            variables: Variables::default(),
            hinted: true,
            second: false,
            approvals: None,
            memory: Memory::default(),
            identities,
            made: 1_790_000_000,
            _folder: folder,
        };
        let secret = life.secret("first");
        let mut life = life;
        life.commit(
            "main",
            None,
            &[
                ("p/tiers.yaml", Some(TIERS)),
                ("p/policy.yaml", Some(POLICY)),
                ("p/backups.yaml", Some(BACKUPS)),
                ("p/notes.yaml", Some(NOTES)),
                ("p/secret.yaml", Some(&secret)),
            ],
        )
        .await;
        life
    }

    /// An encrypted Secret whose values are canaries.
    pub fn secret(&self, more: &str) -> String {
        let object = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": self.canary.word, "namespace": "velero"},
            "stringData": {"cloud": self.canary.secret, "n": self.canary.number.to_string(), "more": more},
        });
        self.sealer.yaml(&object.to_string())
    }

    /// A person's commit on a branch, which is made from main or another commit if it is not there.
    pub async fn commit(&mut self, branch: &str, from: Option<&CommitId>, files: Files<'_>) -> CommitId {
        let tips = self.person.fetch_all().await.unwrap();
        let tip = tips.branches.get(branch).cloned();
        let lease = tip.clone().map_or(Lease::Absent, Lease::At);
        let parent = from
            .cloned()
            .or(tip)
            .unwrap_or_else(|| tips.branches["main"].clone());
        let change = |(path, text): &(&str, Option<&str>)| FileChange {
            path: (*path).to_owned(),
            content: text.map(|text| text.as_bytes().to_vec()),
        };
        let files = files.iter().map(change).collect();
        let who = Signature {
            name: "Ann".into(),
            email: "ann@example.org".into(),
        };
        self.made += 1;
        let at = Timestamp::from_second(self.made).unwrap();
        let pushed = self
            .person
            .push_as(&who, branch, lease, Some(parent), files, "Change\n".into(), at);
        pushed.await.unwrap()
    }

    /// A person opens a pull request with these files.
    pub async fn open(&mut self, branch: &str, files: Files<'_>) -> u64 {
        self.commit(branch, None, files).await;
        self.request(branch).await
    }

    /// A person opens a pull request of a branch.
    pub async fn request(&self, branch: &str) -> u64 {
        match &self.world.host {
            Host::Sim(sim) => sim.open("ann", "A change", (branch, "main"), false).unwrap(),
            Host::Gitea(repository) => {
                let body = json!({"head": branch, "base": "main", "title": "A change"});
                let made = repository.done("ann", "POST", "/pulls", &body).await;
                made["number"].as_u64().unwrap()
            }
        }
    }

    /// Somebody opens a pull request from a repository of their own.
    pub async fn fork(&mut self, files: Files<'_>) -> u64 {
        match &self.world.host {
            Host::Sim(_) => {
                self.commit("theirs", None, files).await;
                let sim = self.world.simulated();
                sim.open("eve", "A gift", ("theirs", "main"), true).unwrap()
            }
            Host::Gitea(repository) => {
                use base64::Engine;
                let gitea = repository.gitea;
                repository.done("ben", "POST", "/forks", &json!({})).await;
                let name = repository.name.split_once('/').unwrap().1;
                let entries: Vec<Value> = files
                    .iter()
                    .map(|(path, text)| {
                        let content = base64::engine::general_purpose::STANDARD.encode(text.unwrap());
                        json!({"operation": "create", "path": path, "content": content})
                    })
                    .collect();
                let body =
                    json!({"branch": "main", "new_branch": "theirs", "files": entries, "message": "A gift"});
                let path = format!("/repos/ben/{name}/contents");
                gitea.done("ben", "POST", &path, &body).await;
                let body = json!({"head": "ben:theirs", "base": "main", "title": "A gift"});
                let made = repository.done("ben", "POST", "/pulls", &body).await;
                made["number"].as_u64().unwrap()
            }
        }
    }

    /// A turn of the controller; what it remembers is kept.
    pub async fn turn(&mut self) -> Turned {
        let of_it = line::source(&self.repository, &self.identities);
        let source = Source {
            forge: Some(&self.world.forge),
            plans: Plans {
                enabled: true,
                commands: Commands {
                    from: vec!["ann".to_owned()],
                },
            },
            variables: &self.variables,
            hinted: self.hinted,
            approvals: self.approvals.clone(),
            limits: Limits {
                max_concurrent: self.approvals.as_ref().map_or(0, |_| 1),
                ..of_it.limits
            },
            second: self.second,
            ..of_it
        };
        let turned = turn(&self.outside, &source, &self.status, &mut self.memory).await;
        let turned = turned.unwrap_or_else(|failure| panic!("{failure:?}"));
        if let Some(inventory) = &turned.inventory {
            self.status.inventory = Some(inventory.clone());
        }
        if let Some(merges) = &turned.merges {
            self.status.merges.clone_from(merges);
        }
        if let Some(reviews) = &turned.reviews {
            self.status.reviews.clone_from(reviews);
        }
        if let Some(proposed) = &turned.proposed {
            self.status.proposals.clone_from(&proposed.records);
        }
        turned
    }

    /// A turn in which nothing goes wrong.
    pub async fn good_turn(&mut self) {
        let turned = self.turn().await;
        assert!(turned.failures.is_empty(), "{:?}", turned.failures);
    }

    /// Turns until the review of a pull request is as wanted: a forge may need a while to see a push.
    pub async fn until(&mut self, number: u64, what: &str, holds: impl Fn(&ReviewStatus) -> bool) {
        for _ in 0..60 {
            self.turn().await;
            if self.review(number).is_some_and(&holds) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        panic!("{what} never came: {:?}", self.status.reviews);
    }

    pub fn review(&self, number: u64) -> Option<&ReviewStatus> {
        self.status.reviews.iter().find(|review| review.number == number)
    }

    /// Our comments on a pull request.
    pub async fn ours(&self, number: u64) -> Vec<Comment> {
        let mut all = self.world.forge.comments(number, None).await.unwrap();
        all.retain(|comment| comment.author == self.world.me());
        all
    }

    /// Our only comment on a pull request.
    pub async fn comment(&self, number: u64) -> String {
        let ours = self.ours(number).await;
        assert_eq!(ours.len(), 1, "{ours:?}");
        ours[0].body.clone()
    }

    /// State and words of the newest status of a commit.
    pub async fn state(&self, commit: &str) -> (String, String) {
        match &self.world.host {
            Host::Sim(sim) => sim.with(|state| {
                let of = |one: &&couchestor::sim::forge::SimStatus| {
                    one.sha == commit && one.context == "couchestor/plan"
                };
                let found = state.statuses.iter().rev().find(of);
                found.map_or_else(Default::default, |one| {
                    (format!("{:?}", one.state).to_lowercase(), one.description.clone())
                })
            }),
            Host::Gitea(repository) => {
                let path = format!("/commits/{commit}/statuses?sort=recentupdate");
                let all = repository.done("ann", "GET", &path, &Value::Null).await;
                let all = all.as_array().cloned().unwrap_or_default();
                let newest = all
                    .iter()
                    .filter(|one| one["context"] == "couchestor/plan")
                    .max_by_key(|one| one["id"].as_u64());
                let text = |name: &str| newest.map(|one| one[name].as_str().unwrap_or_default().to_owned());
                (
                    text("status").unwrap_or_default(),
                    text("description").unwrap_or_default(),
                )
            }
        }
    }

    pub async fn head(&self, number: u64) -> String {
        self.world.forge.get(number).await.unwrap().head_sha.0
    }
}
