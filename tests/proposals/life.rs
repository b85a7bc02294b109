//! A repository, its forge if it has one, what a controller remembers of its proposals, and a person.

use crate::forges::world::{Host, World, credentials};
use couchestor::io::git::{Credentials, Lease, Repository, Signature, Tips};
use couchestor::model::decision::ProposedMove;
use couchestor::model::desired::Desired;
use couchestor::model::ids::{ClaimRef, CommitId, Revision};
use couchestor::model::kinds::policy_source::{ProposalState, ProposalStatus, ProposedMoveStatus};
use couchestor::model::kinds::tier_assignment::DecisionNote;
use couchestor::model::pull_request::PullRequest;
use couchestor::model::rendering::{FileChange, ProposalText};
use couchestor::propose::{self, Known, Proposals, ProposeError, Proposed, Pulls, TRAILER};
use couchestor::render::proposal::{Site, Template, render};
use couchestor::sim::forge::{Fault, MergeBy};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

pub struct Life {
    pub world: World,
    pub repository: Repository,
    pub forge: bool,
    pub records: Vec<ProposalStatus>,
    pub now: i64,
    _folder: tempfile::TempDir,
}

/// How a person brings a branch to base on the command line.
#[derive(Clone, Copy, Debug)]
pub enum ByHand {
    Merge,
    Squash,
    Rebase,
    CherryPick,
}

/// Runs the real `git` in a folder, with nothing of the user's own configuration.
fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(folder)
        .env("HOME", folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_AUTHOR_NAME", "Ann")
        .env("GIT_AUTHOR_EMAIL", "ann@example.org")
        .env("GIT_COMMITTER_NAME", "Ann")
        .env("GIT_COMMITTER_EMAIL", "ann@example.org")
        .args(arguments)
        .output()
        .expect("these tests need git");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {words}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A person brings a branch to base with the real `git`, in a clone of their own. Base has moved on there, so that each way makes
/// commits of another kind: one with two parents, one of other contents and message, or others with the same.
pub fn by_hand(url: &str, branch: &str, how: ByHand) {
    let folder = tempfile::tempdir().unwrap();
    let git = |arguments: &[&str]| git(folder.path(), arguments);
    git(&["clone", "-q", "-b", "main", url, "."]);
    let theirs = format!("origin/{branch}");
    let base = git(&["rev-parse", "HEAD"]);
    std::fs::write(folder.path().join("beside.md"), format!("after {base}\n")).unwrap();
    git(&["add", "-A"]);
    git(&["commit", "-q", "-m", "Beside"]);
    let parents = match how {
        ByHand::Merge => {
            git(&["merge", "-q", "--no-ff", "--no-edit", &theirs]);
            2
        }
        ByHand::Squash => {
            git(&["merge", "-q", "--squash", &theirs]);
            git(&["commit", "-q", "-m", "Squashed"]);
            1
        }
        ByHand::Rebase => {
            git(&["checkout", "-q", "-b", "rebased", &theirs]);
            git(&["rebase", "-q", "main"]);
            git(&["checkout", "-q", "main"]);
            git(&["merge", "-q", "--ff-only", "rebased"]);
            1
        }
        ByHand::CherryPick => {
            git(&["cherry-pick", "-x", &theirs]);
            1
        }
    };
    let made = git(&["log", "-1", "--format=%P"]);
    assert_eq!(made.split(' ').count(), parents, "{how:?}");
    git(&["push", "-q", "origin", "main"]);
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
            None => self.by_hand(match how {
                MergeBy::Merge | MergeBy::FastForward => ByHand::Merge,
                MergeBy::Squash => ByHand::Squash,
                MergeBy::Rebase => ByHand::Rebase,
            }),
        }
    }

    /// A person brings the branch to base on the command line.
    pub fn by_hand(&self, how: ByHand) {
        let url = match &self.world.host {
            Host::Sim(sim) => sim.repository().display().to_string(),
            Host::Gitea(repository) => {
                let with_token = format!("http://ann:{}@", repository.gitea.token("ann"));
                repository.git_url().replacen("http://", &with_token, 1)
            }
        };
        by_hand(&url, &self.branch(), how);
    }

    /// Makes the forge, or without one the repository, unreachable, or reachable again.
    pub fn unreachable(&self, gone: bool) {
        match (&self.world.host, self.forge) {
            (Host::Sim(sim), false) => {
                let (here, away) = (sim.repository(), sim.repository().with_extension("away"));
                match gone {
                    true => std::fs::rename(here, away).unwrap(),
                    false => std::fs::rename(away, here).unwrap(),
                }
            }
            (Host::Sim(sim), true) if gone => {
                sim.faults_by_chance(
                    crate::support::seed("the forge is down"),
                    1,
                    &[Fault::ErrorBefore, Fault::Cut],
                );
            }
            (Host::Sim(sim), true) => sim.no_faults(),
            (Host::Gitea(_), _) => self.world.door.as_ref().unwrap().shut(gone),
        }
    }

    /// How often somebody was turned away by a forge that was made unreachable.
    pub fn turned_away(&self) -> usize {
        match &self.world.host {
            Host::Sim(sim) => sim.happened().len(),
            Host::Gitea(_) => self.world.door.as_ref().unwrap().refused(),
        }
    }

    /// Nothing is wanted any more: that it will be withdrawn is remembered first, and done with the next turn.
    pub async fn withdrawn(&mut self) {
        assert!(self.done(&[]).await.is_empty());
        let states: Vec<_> = self.records.iter().map(|record| record.state).collect();
        assert_eq!(states, [ProposalState::Withdrawing]);
        assert_eq!(self.done(&[]).await, ["Withdraw"]);
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
    // As in a turn: without Git nothing is done at all.
    let tips = match repository.fetch("main").await {
        Ok(tips) => tips,
        Err(error) => {
            return Proposed {
                records: records.to_vec(),
                errors: vec![(String::new(), ProposeError::Git(error))],
                ..Proposed::default()
            };
        }
    };
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
    // As in a turn that could look at everything, and in which nobody holds anything.
    let known = Known {
        untouched: propose::untouched(repository, ["p", "assignments"], &base, records).await,
        ..Known::default()
    };
    let fingerprints = BTreeMap::from([("tiering".to_owned(), "f".to_owned())]);
    let proposals = Proposals {
        wanted: &wanted,
        recorded: records,
        tips: &tips,
        base: &base,
        base_branch: "main",
        labels: &[],
        pulls: &pulls,
        known: &known,
        owner,
        words: &propose::Words::MOVES,
        fingerprints: &fingerprints,
        expire: None,
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
            percentile: None,
            also: Vec::new(),
            sustained_for: None,
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
        resources: couchestor::model::resources::Resources::default(),
        tiers: BTreeMap::new(),
        policies: Default::default(),
        assignments: BTreeMap::new(),
        approved: Vec::new(),
        reverted: BTreeSet::new(),
        promotions: Default::default(),
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
