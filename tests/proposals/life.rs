//! A repository, its forge if it has one, what a controller remembers of its proposals, and a person.

use crate::forges::world::{Host, World, credentials};
use couchestor::io::git::{Credentials, Lease, Repository, Signature, Tips};
use couchestor::model::decision::ProposedMove;
use couchestor::model::desired::Desired;
use couchestor::model::ids::{ClaimRef, CommitId, Revision};
use couchestor::model::kinds::policy_source::{ProposalStatus, ProposedMoveStatus};
use couchestor::model::kinds::tier_assignment::DecisionNote;
use couchestor::model::pull_request::PullRequest;
use couchestor::model::rendering::{FileChange, ProposalText};
use couchestor::propose::{self, Known, Proposals, Proposed, Pulls, TRAILER};
use couchestor::render::proposal::{Site, Template, render};
use couchestor::sim::forge::MergeBy;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub struct Life {
    pub world: World,
    pub repository: Repository,
    pub forge: bool,
    pub records: Vec<ProposalStatus>,
    pub now: i64,
    _folder: tempfile::TempDir,
}

pub fn client(world: &World, folder: &tempfile::TempDir, name: &str) -> Repository {
    let (url, credentials) = match &world.host {
        Host::Sim(sim) => (
            format!("file://{}", sim.repository().display()),
            Credentials::default(),
        ),
        Host::Gitea(repository) => (repository.git_url(), credentials(&world.token)),
    };
    let folder = folder.path().join(name);
    Repository::new(&url, &folder, credentials, Duration::from_secs(30), true).unwrap()
}

impl Life {
    pub fn new(world: World, forge: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            repository: client(&world, &folder, "controller"),
            world,
            forge,
            records: Vec::new(),
            now: 1_800_000_000,
            _folder: folder,
        }
    }

    /// What a turn does, for these claims.
    pub async fn turn(&mut self, claims: &[&str]) -> Proposed {
        let (repository, world) = (&self.repository, &self.world);
        let proposed = turn_of(repository, world, self.forge, &self.records, claims, self.now).await;
        self.now += 100;
        self.records.clone_from(&proposed.records);
        proposed
    }

    /// A turn in which nothing goes wrong; what was done, in a word each.
    pub async fn done(&mut self, claims: &[&str]) -> Vec<String> {
        let proposed = self.turn(claims).await;
        assert!(proposed.errors.is_empty(), "{:?}", proposed.errors);
        let word = |action: &propose::Action| {
            let text = format!("{action:?}");
            text.chars().take_while(|one| one.is_alphabetic()).collect()
        };
        proposed.done.iter().map(|(_, action)| word(action)).collect()
    }

    pub fn record(&self) -> &ProposalStatus {
        assert_eq!(self.records.len(), 1, "{:?}", self.records);
        &self.records[0]
    }

    pub fn time(&self) -> Timestamp {
        Timestamp::from_second(self.now).unwrap()
    }

    /// The branch of the only proposal.
    pub fn branch(&self) -> String {
        self.record().branch.clone()
    }

    /// Branches of proposals that are there.
    pub async fn branches(&self) -> Vec<String> {
        let names = self.tips().await.branches.into_keys();
        names
            .filter(|name| name.starts_with("couchestor/moves/"))
            .collect()
    }

    pub async fn pull(&self) -> Option<PullRequest> {
        match self.record().number {
            Some(number) => Some(self.world.forge.get(number).await.unwrap()),
            None => None,
        }
    }

    pub async fn comments(&self, number: Option<u64>) -> String {
        let Some(number) = number else {
            return String::new();
        };
        let all = self.world.forge.comments(number, None).await.unwrap();
        all.into_iter().map(|one| one.body + "\n").collect()
    }

    pub async fn tips(&self) -> Tips {
        self.repository.fetch("main").await.unwrap()
    }

    pub async fn has(&self, branch: &str, path: &str) -> bool {
        let tip = self.repository.log_branch(branch, 1).await.unwrap()[0]
            .commit
            .clone();
        self.repository.read_at(&tip, path).await.is_ok()
    }

    /// A person's commit.
    pub async fn commit(&self, branch: &str, path: &str, content: Option<&str>) -> CommitId {
        let tip = self.repository.log_branch(branch, 1).await.unwrap()[0]
            .commit
            .clone();
        let files = vec![FileChange {
            path: path.to_owned(),
            content: content.map(|text| text.as_bytes().to_vec()),
        }];
        let who = Signature {
            name: "Ann".into(),
            email: "ann@example.org".into(),
        };
        let at = Timestamp::from_second(self.now).unwrap();
        let (lease, message) = (Lease::At(tip.clone()), "A person's change\n".to_owned());
        let pushed = self
            .repository
            .push_as(&who, branch, lease, Some(tip), files, message, at);
        pushed.await.unwrap()
    }

    /// A person agrees: on the forge, or with plain Git.
    pub async fn merge(&self, how: MergeBy) {
        match self.record().number.filter(|_| self.forge) {
            Some(number) => self.world.merge(number, how, "ann").await,
            None => self.pick().await,
        }
    }

    /// A person takes the branch's files over to base on the command line.
    pub async fn pick(&self) {
        let tip = self.repository.log_branch(&self.branch(), 1).await.unwrap()[0]
            .commit
            .clone();
        for one in &self.record().moves {
            let path = format!("assignments/{}/{}.yaml", one.namespace, one.claim);
            if let Ok(content) = self.repository.read_at(&tip, &path).await {
                self.commit("main", &path, Some(std::str::from_utf8(&content).unwrap()))
                    .await;
            }
        }
    }
}

/// What a turn does with proposals; `claims` are those whose volumes should move.
pub async fn turn_of(
    repository: &Repository,
    world: &World,
    forge: bool,
    records: &[ProposalStatus],
    claims: &[&str],
    now: i64,
) -> Proposed {
    let owner = "couchestor-system/homelab assignments";
    turn_as(owner, repository, world, forge, records, claims, now).await
}

/// The same for the source of some cluster.
pub async fn turn_as(
    owner: &str,
    repository: &Repository,
    world: &World,
    forge: bool,
    records: &[ProposalStatus],
    claims: &[&str],
    now: i64,
) -> Proposed {
    let tips = repository.fetch("main").await.unwrap();
    let base = tips.branches["main"].clone();
    let forge = forge.then_some(&world.forge);
    // As in a turn: when the forge does not answer, nothing is concluded.
    let pulls = match forge {
        Some(forge) => {
            propose::poll(forge, records, false)
                .await
                .unwrap_or_default()
                .pulls
        }
        None => Pulls::new(),
    };
    let mut in_base = BTreeSet::new();
    for one in records.iter().flat_map(|record| &record.moves) {
        let path = format!("assignments/{}/{}.yaml", one.namespace, one.claim);
        let content = repository.read_at(&base, &path).await.unwrap_or_default();
        if String::from_utf8_lossy(&content).contains(&format!("tier: {}\n", one.to)) {
            in_base.insert(one.claim.clone());
        }
    }
    // What base holds is not proposed any more.
    let wanted = claims.iter().copied().filter(|claim| !in_base.contains(*claim));
    let wanted: Vec<ProposalText> = text(wanted, forge.is_some()).into_iter().collect();
    let fingerprints = BTreeMap::from([("tiering".to_owned(), "f".to_owned())]);
    let proposals = Proposals {
        wanted: &wanted,
        recorded: records,
        tips: &tips,
        base: &base,
        base_branch: "main",
        labels: &[],
        pulls: &pulls,
        known: &Known::default(),
        owner,
        fingerprints: &fingerprints,
        now: Timestamp::from_second(now).unwrap(),
    };
    let held = |one: &ProposedMoveStatus| in_base.contains(&one.claim);
    propose::propose(repository, forge, &proposals, held).await
}

fn proposed(claim: &str) -> ProposedMove {
    ProposedMove {
        claim: ClaimRef {
            namespace: "db".into(),
            name: claim.to_owned(),
        },
        volume: format!("pvc-{claim}").into(),
        policy: "tiering".into(),
        from: "cold".into(),
        to: "hot".into(),
        hotter: true,
        note: DecisionNote {
            policy: "tiering".into(),
            from: "cold".into(),
            signal: "iops".into(),
            value: 6000.0,
            watermark: Some(5000.0),
            window: Some("1h".into()),
            after: None,
        },
        candidates: vec!["nvme-1".into()],
        bytes: 10 << 30,
        monthly_cost: Some(2.5),
    }
}

fn text<'a>(claims: impl Iterator<Item = &'a str>, forge: bool) -> Option<ProposalText> {
    let moves: Vec<ProposedMove> = claims.map(proposed).collect();
    let desired = Desired {
        revision: Revision {
            branch: "main".into(),
            commit: "0".into(),
        },
        resources: Vec::new(),
        tiers: BTreeMap::new(),
        policies: Default::default(),
        assignments: BTreeMap::new(),
        approved: Vec::new(),
        reverted: BTreeSet::new(),
    };
    let site = Site {
        prefix: "couchestor/",
        assignments: "assignments",
        trailer: TRAILER,
        forge,
        pace: None,
    };
    let moves: Vec<&ProposedMove> = moves.iter().collect();
    let template = Template::built_in();
    let rendered = render(&"tiering".into(), &moves, &[], &desired, site, &template);
    assert_eq!((rendered.refused, rendered.complaint), (vec![], None));
    rendered.text
}
