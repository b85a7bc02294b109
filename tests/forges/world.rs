//! One repository on one forge, with people who act on it, whichever forge it is.

use crate::support::canary::Canary;
use crate::support::door::Door;
use crate::support::gitea;
use couchestor::io::forge::{Address, Forge, Options};
use couchestor::io::git::Credentials;
use couchestor::model::pull_request::{ForgeKind, NewPullRequest};
use couchestor::model::secret::SecretText;
use couchestor::sim::forge::{ForgeSim, LOGIN, MergeBy, REPOSITORY, Verdict};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub enum Host {
    Sim(ForgeSim),
    Gitea(gitea::Repository),
}

pub struct World {
    pub host: Host,
    pub forge: Forge,
    pub token: String,
    pub canary: Option<Canary>,
    /// What our own requests go through, before a real forge.
    pub door: Option<Door>,
    folder: tempfile::TempDir,
    files: AtomicUsize,
}

pub fn options() -> Options {
    Options {
        timeout: Duration::from_secs(30),
        writes_per_minute: 100_000,
        ..Options::default()
    }
}

pub fn credentials(token: &str) -> Credentials {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let token = SecretText::new(token.as_bytes().to_vec());
    Credentials::for_api(&BTreeMap::from([("token".to_owned(), token)])).unwrap()
}

/// A proposal on a branch.
pub fn proposal(head: &str) -> NewPullRequest {
    NewPullRequest {
        title: format!("Move data of {head}"),
        body: "| claim | to |\n|---|---|\n| a | hot |".to_owned(),
        head_branch: head.to_owned(),
        base_branch: "main".to_owned(),
        labels: vec!["storage".to_owned(), "couchestor".to_owned()],
    }
}

impl World {
    /// A simulated forge; its token is a canary.
    pub async fn sim(kind: ForgeKind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let canary = Canary::new();
        let token = canary.word.clone();
        let sim = ForgeSim::start(kind, &folder.path().join("policies.git"), &token)
            .await
            .unwrap();
        let forge = Self::client(&sim, &token, options());
        Self {
            host: Host::Sim(sim),
            forge,
            token,
            canary: Some(canary),
            door: None,
            folder,
            files: AtomicUsize::new(0),
        }
    }

    pub fn client(sim: &ForgeSim, token: &str, options: Options) -> Forge {
        let kind = Some(sim.with(|state| state.kind()));
        let address = Address::find(kind, "file:///x", Some(&sim.url()), Some(REPOSITORY)).unwrap();
        Forge::new(&address, credentials(token), options).unwrap()
    }

    pub async fn github() -> Self {
        Self::sim(ForgeKind::Github).await
    }

    pub async fn gitlab() -> Self {
        Self::sim(ForgeKind::Gitlab).await
    }

    pub async fn gitea() -> Self {
        let repository = gitea::shared().repository().await;
        let token = repository.gitea.token("couchestor-bot").to_owned();
        let door = Door::before(&repository.gitea.url).await;
        let (kind, git) = (Some(ForgeKind::Gitea), repository.git_url());
        let address = Address::find(kind, &git, Some(door.url()), Some(&repository.name)).unwrap();
        let forge = Forge::new(&address, credentials(&token), options()).unwrap();
        Self {
            host: Host::Gitea(repository),
            forge,
            token,
            canary: None,
            door: Some(door),
            folder: tempfile::tempdir().unwrap(),
            files: AtomicUsize::new(0),
        }
    }

    pub fn kind(&self) -> ForgeKind {
        self.forge.address().kind
    }

    /// The simulator.
    pub fn simulated(&self) -> &ForgeSim {
        assert!(self.folder.path().exists());
        match &self.host {
            Host::Sim(sim) => sim,
            Host::Gitea(_) => panic!("this claim is about a simulated forge"),
        }
    }

    /// Adds a commit to a branch; from another if one is given.
    pub async fn push(&self, branch: &str, from: Option<&str>) -> String {
        let file = format!("file-{}", self.files.fetch_add(1, Ordering::Relaxed));
        match &self.host {
            Host::Sim(sim) => sim.push(branch, from, &[(&file, "text")]).unwrap(),
            Host::Gitea(repository) => repository.push(branch, from, &file, "text").await,
        }
    }

    pub async fn tip(&self, branch: &str) -> String {
        match &self.host {
            Host::Sim(sim) => sim.tip(branch).unwrap(),
            Host::Gitea(repository) => repository.tip(branch).await,
        }
    }

    pub async fn delete_branch(&self, branch: &str) {
        match &self.host {
            Host::Sim(sim) => sim.delete_branch(branch).unwrap(),
            Host::Gitea(repository) => {
                let path = format!("/branches/{branch}");
                repository.done("ann", "DELETE", &path, &Value::Null).await;
            }
        }
    }

    pub async fn merge(&self, number: u64, how: MergeBy, who: &str) {
        match &self.host {
            Host::Sim(sim) => drop(sim.merge(number, how, who).unwrap()),
            Host::Gitea(repository) => {
                let word = match how {
                    MergeBy::Merge => "merge",
                    MergeBy::Squash => "squash",
                    MergeBy::Rebase => "rebase",
                    MergeBy::FastForward => "fast-forward-only",
                };
                repository.merge(number, word, who).await;
            }
        }
    }

    pub async fn turn(&self, number: u64, open: bool) {
        match &self.host {
            Host::Sim(sim) => sim.turn(number, open).unwrap(),
            Host::Gitea(repository) => {
                let state = if open { "open" } else { "closed" };
                let path = format!("/pulls/{number}");
                repository
                    .done("ann", "PATCH", &path, &json!({"state": state}))
                    .await;
            }
        }
    }

    pub async fn review(&self, number: u64, who: &str, verdict: Verdict) {
        match &self.host {
            Host::Sim(sim) => sim.review(number, who, verdict).unwrap(),
            Host::Gitea(repository) => {
                let path = format!("/pulls/{number}/reviews");
                let event = match verdict {
                    Verdict::Approve => "APPROVED",
                    Verdict::RequestChanges => "REQUEST_CHANGES",
                    Verdict::Comment => "COMMENT",
                    Verdict::Dismiss => {
                        let reviews = repository.done("chief", "GET", &path, &Value::Null).await;
                        for review in reviews.as_array().unwrap() {
                            let stands = review["state"] == "APPROVED" && review["dismissed"] == false;
                            if review["user"]["login"] == who && stands {
                                let path = format!("{path}/{}/dismissals", review["id"]);
                                let body = json!({"message": "no", "priors": false});
                                repository.done("chief", "POST", &path, &body).await;
                            }
                        }
                        return;
                    }
                };
                let body = json!({"event": event, "body": "looked at"});
                repository.done(who, "POST", &path, &body).await;
            }
        }
    }

    pub async fn comment(&self, number: u64, who: &str, text: &str) {
        match &self.host {
            Host::Sim(sim) => {
                sim.comment(number, who, text).unwrap();
            }
            Host::Gitea(repository) => {
                let path = format!("/issues/{number}/comments");
                let body = json!({"body": text});
                repository.done(who, "POST", &path, &body).await;
            }
        }
    }

    /// The newest state of each context of a commit's statuses.
    pub async fn statuses(&self, sha: &str) -> BTreeMap<String, String> {
        match &self.host {
            Host::Sim(sim) => sim.with(|state| {
                let of = state.statuses.iter().filter(|status| status.sha == sha);
                of.map(|one| (one.context.clone(), format!("{:?}", one.state).to_lowercase()))
                    .collect()
            }),
            Host::Gitea(repository) => {
                let path = format!("/commits/{sha}/statuses?sort=oldest");
                let all = repository.done("ann", "GET", &path, &Value::Null).await;
                let text = |one: &Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
                let all = all.as_array().cloned().unwrap_or_default();
                all.iter()
                    .map(|one| (text(one, "context"), text(one, "status")))
                    .collect()
            }
        }
    }

    /// Our own login.
    pub fn me(&self) -> &'static str {
        match &self.host {
            Host::Sim(_) => LOGIN,
            Host::Gitea(_) => "couchestor-bot",
        }
    }

    pub fn writes(&self) -> u64 {
        self.forge.requests().writes
    }
}
