//! `demo`: the main job on this machine. This file plays the world: the person who commits and merges, and the load. The
//! controller is the product's own, a process of `couchestor run`, and does not know where it is.

use super::{Failed, about, data, words};
use crate::io::git::{Credentials, Lease, Repository, Signature};
use crate::model::ids::CommitId;
use crate::model::kinds::volume_migration::VolumeMigration;
use crate::model::kinds::{GROUP, all_crds};
use crate::model::rendering::FileChange;
use crate::sim::prometheus::Load;
use crate::sim::world::{Running, World, start};
use include_dir::{Dir, include_dir};
use serde_json::{Value, json};
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// The controller as a process.
mod controller;

use controller::Controller;

static POLICIES: Dir = include_dir!("$CARGO_MANIFEST_DIR/policies");

/// What a step may take at most; all of them together take half a minute.
const STEP_MAX: Duration = Duration::from_secs(30);

/// The claim whose load rises.
const CLAIM: (&str, &str) = ("db", "data-0");

/// Options of `demo`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Leave everything in this folder, to be looked at.
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Wait for Enter before each step.
    #[arg(long)]
    step: bool,
}

struct Demo {
    step: bool,
    number: usize,
    began: Instant,
    running: Running,
    repository: Repository,
    path: PathBuf,
    volume: String,
    uuid: String,
}

/// `demo`.
pub async fn demo(arguments: Arguments) -> Result<u8, Failed> {
    // Asked for before anything is made: whoever ends the demo leaves neither its controller nor its folder behind.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let temporary = tempfile::Builder::new().prefix("couchestor-demo-").tempdir()?;
    let folder = match &arguments.keep {
        Some(keep) => {
            std::fs::create_dir_all(keep).map_err(about(keep))?;
            if std::fs::read_dir(keep).map_err(about(keep))?.next().is_some() {
                return Err(Failed(format!(
                    "{} is not empty; name a new folder",
                    keep.display()
                )));
            }
            keep.canonicalize()?
        }
        None => temporary.path().to_owned(),
    };
    let mut demo = Demo::prepare(&arguments, &folder).await?;
    let mut controller = demo.controller(&folder)?;
    let outcome = tokio::select! {
        outcome = demo.play() => outcome,
        _ = terminate.recv() => Err(Failed("the demo was ended by SIGTERM".to_owned())),
        _ = interrupt.recv() => Err(Failed("the demo was interrupted".to_owned())),
    };
    let ended = controller.stop().await;
    words(&ended);
    match &outcome {
        Ok(()) => words(&format!("done in {:.0} s", demo.began.elapsed().as_secs_f64())),
        Err(_) => words(&controller.log()),
    }
    if arguments.keep.is_some() {
        words(&format!(
            "everything is in {}: repository.git, kubeconfig, controller.log",
            folder.display()
        ));
    }
    outcome.map(|()| 0)
}

impl Demo {
    async fn prepare(arguments: &Arguments, folder: &Path) -> Result<Self, Failed> {
        let text = |path: &str| {
            POLICIES
                .get_file(path)
                .and_then(include_dir::File::contents_utf8)
                .ok_or_else(|| Failed(format!("policies/{path} was not built in")))
        };
        let world = World::read(text("world.yaml")?).map_err(Failed)?;
        let running = start(&world, crate::io::clock::now).await.map_err(Failed)?;
        for crd in all_crds() {
            running.kubernetes.put(serde_json::to_value(crd)?)?;
        }
        let key = text("demo.agekey")?;
        running.kubernetes.put(json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "homelab-age", "namespace": "couchestor-system"},
            "data": {"demo.agekey": base64_text(key)},
        }))?;
        let claim = world
            .claims
            .iter()
            .find(|claim| (claim.namespace.as_str(), claim.name.as_str()) == CLAIM)
            .ok_or_else(|| Failed("the world has no claim db/data-0".to_owned()))?;
        let uuid = claim
            .volume
            .as_ref()
            .map(|volume| volume.uuid.clone())
            .unwrap_or_default();
        let path = folder.join("repository.git");
        git2_init(&path)?;
        let url = format!("file://{}", path.display());
        let repository = Repository::new(
            &url,
            &folder.join("person"),
            Credentials::default(),
            Duration::from_secs(20),
            true,
        )?;
        Ok(Self {
            step: arguments.step,
            number: 0,
            began: Instant::now(),
            volume: claim.volume_name(),
            running,
            repository,
            path,
            uuid,
        })
    }

    fn controller(&self, folder: &Path) -> Result<Controller, Failed> {
        let kubeconfig = folder.join("kubeconfig");
        std::fs::write(&kubeconfig, self.running.kubernetes.kubeconfig()).map_err(about(&kubeconfig))?;
        Controller::start(folder, &kubeconfig, &self.running)
    }

    async fn play(&mut self) -> Result<(), Failed> {
        self.say("A person commits policies/ to a bare repository, and tells the cluster to follow it.")
            .await?;
        let tip = self.commit_policies().await?;
        self.running.kubernetes.put(source(&self.path))?;
        self.wait("the commit to be applied", |demo| demo.applied(&tip))
            .await?;
        self.show_applied();

        self.say("The load on db/data-0 rises to 6120 operations per second.")
            .await?;
        self.running
            .prometheus
            .set(&self.volume, Some(Load::random(6120.0, 1.0)));
        self.wait("a proposal", |demo| demo.proposal().is_some()).await?;
        let proposal = self.proposal().unwrap_or_default();
        data(&indent(&format!(
            "branch {}\n\n{}",
            text(&proposal, "branch"),
            text(&proposal, "body")
        )));

        self.say("A person reads it and merges the branch. That is the approval.")
            .await?;
        let merged = self.merge(&proposal, &tip).await?;
        let before = self.replicas();
        data(&indent(&format!("merged as {}", &merged.as_str()[..10])));
        self.wait("the migration to start", |demo| demo.migration().is_some())
            .await?;

        self.say("The controller copies the volume to the hot tier, and removes the old copy once the new one is complete.").await?;
        self.follow().await?;

        self.say("What is left of it.").await?;
        data(&indent(&format!(
            "merged assignment, policies/homelab/assignments/{}/{}.yaml:",
            CLAIM.0, CLAIM.1
        )));
        let path = format!("policies/homelab/assignments/{}/{}.yaml", CLAIM.0, CLAIM.1);
        let content = self.repository.read_at(&merged, &path).await?;
        data(&indent(&indent(&String::from_utf8_lossy(&content))));
        data(&indent(&format!(
            "replicas before: {before}\nreplicas after:  {}",
            self.replicas()
        )));
        let fewest = self.running.mayastor.with(|state| {
            state
                .volumes
                .get(&self.uuid)
                .map_or(0, |volume| volume.fewest_synced)
        });
        data(&indent(&format!(
            "fewest complete copies at any time: {fewest}\n\ngit log couchestor/audit:"
        )));
        for entry in self.repository.log_branch("couchestor/audit", 5).await? {
            data(&indent(&indent(&format!(
                "commit {}\n\n{}",
                entry.commit,
                indent(&entry.message)
            ))));
        }
        Ok(())
    }

    async fn say(&mut self, what: &str) -> Result<(), Failed> {
        self.number += 1;
        let bold = anstyle::Style::new().bold();
        data(&format!("\n{bold}{}. {what}{bold:#}", self.number));
        if self.step {
            words("   press Enter to go on");
            // Beside the demo's own task, which a signal must be able to end.
            let enter = || std::io::stdin().lock().read_line(&mut String::new());
            tokio::task::spawn_blocking(enter).await??;
        }
        Ok(())
    }

    async fn wait(&self, what: &str, done: impl Fn(&Self) -> bool) -> Result<(), Failed> {
        let until = Instant::now() + STEP_MAX;
        while !done(self) {
            if Instant::now() > until {
                return Err(Failed(format!("waited {} s for {what}", STEP_MAX.as_secs())));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    async fn commit_policies(&self) -> Result<CommitId, Failed> {
        let mut files = Vec::new();
        collect(&POLICIES, &mut files);
        let now = crate::io::clock::now();
        Ok(self
            .repository
            .push_as(
                &person(),
                "main",
                Lease::Absent,
                None,
                files,
                "Describe the homelab's storage\n".to_owned(),
                now,
            )
            .await?)
    }

    /// Merges as a forge would: a commit with both parents' content, by the person.
    async fn merge(&self, proposal: &Value, base: &CommitId) -> Result<CommitId, Failed> {
        let log = self.repository.log_branch(&text(proposal, "branch"), 1).await?;
        let tip = log
            .first()
            .map(|entry| entry.commit.clone())
            .ok_or_else(|| Failed("the branch is gone".to_owned()))?;
        let path = format!("policies/homelab/assignments/{}/{}.yaml", CLAIM.0, CLAIM.1);
        let content = self.repository.read_at(&tip, &path).await?;
        let files = vec![FileChange {
            path,
            content: Some(content),
        }];
        let message = format!("Merge {}\n", text(proposal, "branch"));
        let now = crate::io::clock::now();
        self.repository.fetch("main").await?;
        Ok(self
            .repository
            .push_as(
                &person(),
                "main",
                Lease::At(base.clone()),
                Some(base.clone()),
                files,
                message,
                now,
            )
            .await?)
    }

    fn applied(&self, tip: &CommitId) -> bool {
        self.source_status("lastAppliedRevision")
            .as_str()
            .is_some_and(|revision| revision.ends_with(tip.as_str()))
    }

    fn source_status(&self, field: &str) -> Value {
        let source = self
            .running
            .kubernetes
            .get("PolicySource", Some("couchestor-system"), "homelab");
        source
            .map(|source| source["status"][field].clone())
            .unwrap_or_default()
    }

    fn proposal(&self) -> Option<Value> {
        let all = self.source_status("proposals");
        let moves = |one: &Value| {
            one["moves"]
                .as_array()
                .is_some_and(|all| all.iter().any(|one| one["claim"] == CLAIM.1))
        };
        all.as_array()?
            .iter()
            .find(|one| one["state"] == "Open" && moves(one))
            .cloned()
    }

    fn migration(&self) -> Option<VolumeMigration> {
        let all = self.running.kubernetes.list("VolumeMigration");
        all.into_iter()
            .next()
            .and_then(|one| serde_json::from_value(one).ok())
    }

    fn replicas(&self) -> String {
        self.running.mayastor.with(|state| {
            let volume = state.volumes.get(&self.uuid);
            let places = volume.iter().flat_map(|volume| &volume.copies).map(|copy| {
                let node = state
                    .pools
                    .get(&copy.pool)
                    .map(|pool| pool.node.clone())
                    .unwrap_or_default();
                format!("{} on {node}", copy.pool)
            });
            places.collect::<Vec<_>>().join(", ")
        })
    }

    fn show_applied(&self) {
        let inventory = self.source_status("inventory");
        let entries = inventory["entries"].as_array().cloned().unwrap_or_default();
        let ids: Vec<String> = entries
            .iter()
            .filter_map(|entry| crate::model::ids::ObjectId::from_inventory_id(entry["id"].as_str()?))
            .map(|id| {
                if id.group == GROUP {
                    format!("{id}")
                } else {
                    format!("{id}  ({})", id.group)
                }
            })
            .collect();
        data(&indent(&ids.join("\n")));
    }

    async fn follow(&self) -> Result<(), Failed> {
        let until = Instant::now() + STEP_MAX;
        let mut shown = String::new();
        let bar = indicatif::ProgressBar::new(100);
        bar.set_style(
            indicatif::ProgressStyle::with_template("   {bar:40} {pos} % {msg}")
                .unwrap_or_else(|_| indicatif::ProgressStyle::default_bar()),
        );
        loop {
            let status = self
                .migration()
                .and_then(|migration| migration.status)
                .unwrap_or_default();
            for record in &status.journal {
                let line = format!("{:<11} {}", record.step, record.note);
                if !shown.contains(&line) {
                    bar.suspend(|| data(&indent(&line)));
                    shown.push_str(&line);
                    shown.push('\n');
                }
            }
            bar.set_position(u64::from(status.progress_percent.unwrap_or(0)));
            if status.phase.is_final() && status.audit_commit.is_some() {
                bar.finish_and_clear();
                return match status.phase.as_str() {
                    "Completed" => Ok(()),
                    other => Err(Failed(format!(
                        "the migration ended as {other}: {}",
                        status.message
                    ))),
                };
            }
            if Instant::now() > until {
                return Err(Failed(format!(
                    "the migration is still in phase {}: {}",
                    status.phase.as_str(),
                    status.message
                )));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

fn source(repository: &Path) -> Value {
    json!({
        "apiVersion": "storage.billyronks.io/v1", "kind": "PolicySource",
        "metadata": {"name": "homelab", "namespace": "couchestor-system"},
        "spec": {
            "url": format!("file://{}", repository.display()), "branch": "main", "path": "policies/homelab",
            "interval": "1s", "timeout": "20s", "prune": true,
            "decryption": {"secretRef": {"name": "homelab-age"}},
            "proposals": {"path": "assignments", "branchPrefix": "couchestor/", "maxOpen": 3, "forge": {"type": "none"}},
            "audit": {"branch": "couchestor/audit"},
        },
    })
}

fn collect(folder: &Dir, files: &mut Vec<FileChange>) {
    for file in folder.files() {
        let path = format!("policies/{}", file.path().display());
        files.push(FileChange {
            path,
            content: Some(file.contents().to_vec()),
        });
    }
    for below in folder.dirs() {
        collect(below, files);
    }
}

fn base64_text(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}

fn git2_init(path: &Path) -> Result<(), Failed> {
    crate::io::git::init_bare(path).map_err(Failed::from)
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}

fn person() -> Signature {
    Signature {
        name: "Ada Operator".to_owned(),
        email: "ada@example.org".to_owned(),
    }
}

fn indent(text: &str) -> String {
    text.lines()
        .map(|line| {
            if line.is_empty() {
                String::new()
            } else {
                format!("   {line}")
            }
        })
        .collect::<Vec<_>>()
        .join("\n")
}
