//! One pull request → its plan: the head is fetched and merged in memory, read, rendered, tried and decided on; nothing is changed.

use super::{Source, TurnFailure, World, brief};
use crate::apply::{self, Action};
use crate::decide::{self, InFlight};
use crate::decrypt::{self, ClearCache, FILE_BYTES_MAX, Vouched};
use crate::formats::sops::Identities;
use crate::formats::yaml;
use crate::io::cluster::ClusterError;
use crate::io::git::{Blobs, GitError, Merged, Tips};
use crate::model::decision::Decision;
use crate::model::desired::Desired;
use crate::model::diagnostic::Diagnostic;
use crate::model::failure::Class;
use crate::model::ids::{BlobId, CommitId, Revision};
use crate::model::kinds::volume_migration::VolumeMigration;
use crate::model::observation::Observation;
use crate::model::pull_request::PullRequest;
use crate::model::rendering::RenderedObject;
use crate::model::review::{Change, Note, Plan, Tried};
use crate::model::tree::{Checkout, ClearTree, Entry, EntryKind, Provenance, Refused};
use crate::parse::{self, ParseCache};
use crate::render;
use crate::review;
use jiff::Timestamp;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// Objects that the API server is asked about for one plan.
const TRIED_MAX: usize = 200;

/// Conflicts, sealed files and changed files that a plan names.
const NAMED_MAX: usize = 200;

/// What is remembered between pull requests and turns: most of a head is as in the base branch. Only for heads of the same
/// repository: nothing that a fork brings meets anything that was decrypted.
#[derive(Default)]
pub struct Remembered {
    clear: ClearCache,
    parsed: ParseCache,
}

/// What a turn knows when it comes to the pull requests.
pub(super) struct Scene<'a> {
    /// What is applied, or should be.
    pub desired: &'a Desired,
    /// The tree that it was read from.
    pub tree: Option<&'a ClearTree>,
    /// What is wrong or doubtful in the base branch.
    pub diagnostics: &'a [Diagnostic],
    /// What was decided for it.
    pub decision: &'a Decision<'a>,
    /// The world.
    pub observation: &'a Observation,
    /// What is under way.
    pub in_flight: &'a InFlight,
    /// The source's own migrations.
    pub migrations: &'a [VolumeMigration],
    /// Where the remote's branches stand.
    pub tips: &'a Tips,
    /// The pull requests that are open.
    pub open: &'a [PullRequest],
    /// Whether the base branch's tip is applied.
    pub applied: bool,
    /// Now.
    pub now: Timestamp,
}

/// What came of looking.
pub(super) enum Looked {
    /// It changes nothing that couchestor reads.
    Untouched,
    /// Its plan.
    Planned(Box<Plan>),
}

/// What making plans needs.
pub(super) struct Here<'a, 's> {
    world: &'a World,
    pub(super) source: &'a Source<'s>,
    scene: &'a Scene<'a>,
    pub(super) base: &'a CommitId,
    remembered: &'a mut Remembered,
    /// What the base branch renders; made for the first plan.
    rendered: Option<Vec<RenderedObject>>,
}

/// A head, read.
struct Read {
    desired: Option<Desired>,
    diagnostics: Vec<Diagnostic>,
    /// Files that belong to the policies.
    files: BTreeSet<String>,
}

impl<'a, 's> Here<'a, 's> {
    pub(super) fn new(
        world: &'a World,
        source: &'a Source<'s>,
        scene: &'a Scene<'a>,
        base: &'a CommitId,
        remembered: &'a mut Remembered,
    ) -> Self {
        Self {
            world,
            source,
            scene,
            base,
            remembered,
            rendered: None,
        }
    }

    /// Looks at a pull request. An error means that it could not be looked at.
    pub(super) async fn look(&mut self, pull: &PullRequest) -> Result<Looked, TurnFailure> {
        let failed = |error: GitError| TurnFailure::from(&error);
        let repository = self.source.repository;
        if !repository.has(&pull.head_sha).await.map_err(failed)? {
            let forge = self.source.forge.map(|forge| forge.address().kind);
            let name = forge
                .map(|kind| kind.head_reference(pull.number))
                .unwrap_or_default();
            repository.fetch_reference(&name).await.map_err(failed)?;
            if !repository.has(&pull.head_sha).await.map_err(failed)? {
                return Err(TurnFailure {
                    class: Class::Retry,
                    reason: "ReviewFailed".to_owned(),
                    message: format!("{name} is not at {} yet", pull.head_sha),
                });
            }
        }
        let mut plan = Plan {
            head: pull.head_sha.clone(),
            base: self.base.clone(),
            branch: self.source.branch.clone(),
            fork: pull.from_fork,
            ..Plan::default()
        };
        let merged = match repository.merged(self.base, &pull.head_sha).await {
            Ok(merged) => merged,
            // What it touches is not known, and that it cannot be merged is worth saying anyway.
            Err(error @ GitError::Tree { .. }) => {
                plan.unreadable = Some(error.to_string());
                return Ok(Looked::Planned(Box::new(plan)));
            }
            Err(error) => return Err(failed(error)),
        };
        if !merged.changed.iter().any(|path| self.may_matter(path)) {
            return Ok(Looked::Untouched);
        }
        if !merged.conflicts.is_empty() {
            plan.conflicts = merged.conflicts.into_iter().take(NAMED_MAX).collect();
            return Ok(Looked::Planned(Box::new(plan)));
        }
        let checkout = self.checkout(pull, &merged);
        let read = match self.read(pull, &checkout, &merged) {
            Ok(read) => read,
            Err(damage) => {
                repository.mend(&damage).await.map_err(failed)?;
                return Err(failed(GitError::Damaged { detail: damage }));
            }
        };
        let known = |path: &&String| read.files.contains(*path) || self.is_known(path);
        let touched: Vec<String> = merged.changed.iter().filter(known).cloned().collect();
        if touched.is_empty() {
            return Ok(Looked::Untouched);
        }
        plan.diagnostics = review::news(read.diagnostics, self.scene.diagnostics);
        if pull.from_fork {
            // Without a key every encrypted file is a finding, and no mistake of whoever wrote this.
            let (sealed, rest) = std::mem::take(&mut plan.diagnostics)
                .into_iter()
                .partition(|one| one.rule == "sops");
            let sealed: Vec<Diagnostic> = sealed;
            plan.diagnostics = rest;
            let paths: BTreeSet<String> = sealed.into_iter().map(|one| one.place.path).collect();
            plan.sealed = paths.into_iter().take(NAMED_MAX).collect();
            plan.files = touched.into_iter().take(NAMED_MAX).collect();
            return Ok(Looked::Planned(Box::new(plan)));
        }
        if let Some(head) = read.desired {
            self.compare(&mut plan, &head, &merged).await?;
        }
        self.note(&mut plan);
        Ok(Looked::Planned(Box::new(plan)))
    }

    /// Whether a path may belong to the policies, by its folder or because the base branch reads it.
    fn may_matter(&self, path: &str) -> bool {
        let inside = |folder: &str| {
            folder.is_empty()
                || path
                    .strip_prefix(folder)
                    .is_some_and(|rest| rest.starts_with('/'))
        };
        inside(&self.source.root) || inside(&self.source.assignments) || self.is_known(path)
    }

    fn is_known(&self, path: &str) -> bool {
        let known = |tree: &ClearTree| tree.files.contains_key(path) || tree.broken.contains(path);
        self.scene.tree.is_some_and(known) || self.scene.diagnostics.iter().any(|one| one.place.path == path)
    }

    /// The merged files with the provenance that they would have. It decides nothing: what a head says is never carried out.
    fn checkout(&self, pull: &PullRequest, merged: &Merged) -> Checkout {
        let here = Provenance {
            commit: pull.head_sha.clone(),
            author: pull.author.clone(),
            committed_at: self.scene.now,
            summary: String::new(),
        };
        let (mut introduced, mut removed) = match self.scene.tree {
            Some(tree) => (tree.introduced.clone(), tree.removed.clone()),
            None => (BTreeMap::new(), BTreeMap::new()),
        };
        for path in &merged.changed {
            match merged.entries.contains_key(path) {
                true => {
                    introduced.insert(path.clone(), here.clone());
                    removed.remove(path);
                }
                false => {
                    introduced.remove(path);
                    removed.insert(path.clone(), here.clone());
                }
            }
        }
        Checkout {
            revision: Revision {
                branch: self.source.branch.clone(),
                commit: pull.head_sha.clone(),
            },
            entries: merged.entries.clone(),
            introduced,
            removed,
        }
    }

    /// Decrypts and parses, for a fork without any key and without the values of Secrets. An error is the damage of the clone.
    fn read(&mut self, pull: &PullRequest, checkout: &Checkout, merged: &Merged) -> Result<Read, String> {
        let source = self.source;
        let (nobody, public) = (Identities::default(), source.variables.without_secrets());
        let (identities, variables) = match pull.from_fork {
            true => (&nobody, &public),
            false => (source.identities, source.variables),
        };
        let mut apart = Remembered::default();
        let remembered = match pull.from_fork {
            true => &mut apart,
            false => &mut *self.remembered,
        };
        // Where signatures are demanded, that of the merge will vouch for what a MAC does not bind.
        let vouched = match source.verification {
            Some(_) => Vouched::Unknown,
            None => Vouched::No,
        };
        let blobs = source.repository.blobs().map_err(|error| error.to_string())?;
        let read = |id: &BlobId| content(&blobs, merged, id);
        let past: Vec<_> = self.scene.migrations.iter().map(brief).collect();
        let found = tokio::task::block_in_place(|| {
            let tree = decrypt::decrypt(
                checkout,
                &source.root,
                &source.assignments,
                &read,
                identities,
                vouched,
                &mut remembered.clear,
            );
            match tree {
                Ok(tree) => {
                    let parsed = parse::parse(&tree, &past, variables, &mut remembered.parsed);
                    Read {
                        files: tree.files.into_keys().collect(),
                        desired: parsed.desired,
                        diagnostics: parsed.diagnostics,
                    }
                }
                Err(refused) => Read {
                    files: files_of(&refused),
                    desired: None,
                    diagnostics: parse::findings(refused, variables),
                },
            }
        });
        match blobs.damage() {
            Some(damage) => Err(damage),
            None => Ok(found),
        }
    }

    /// What differs from the base branch: objects, schedules, moves.
    async fn compare(&mut self, plan: &mut Plan, head: &Desired, merged: &Merged) -> Result<(), TurnFailure> {
        let scene = self.scene;
        let before = self.rendered.get_or_insert_with(|| render::render(scene.desired));
        let after = render::render(head);
        {
            let blobs = self
                .source
                .repository
                .blobs()
                .map_err(|error| TurnFailure::from(&error))?;
            let base = scene.tree.map(|tree| &tree.files);
            let names = RefCell::new(BTreeMap::new());
            let public = |change: Change, object: &RenderedObject| {
                let path: &str = &object.origin.path;
                let blob = match change {
                    Change::Deleted | Change::Paused => {
                        base.and_then(|files| files.get(path)).map(|file| &file.blob)
                    }
                    _ => merged
                        .entries
                        .get(path)
                        .filter(|entry| is_file(entry))
                        .map(|entry| &entry.blob),
                };
                let Some(blob) = blob else {
                    return false;
                };
                let mut names = names.borrow_mut();
                let known: &BTreeSet<(String, String)> = names
                    .entry(blob.clone())
                    .or_insert_with(|| in_the_clear(&blobs, merged, blob));
                known.contains(&(object.id.kind.clone(), object.id.name.clone()))
            };
            // Otherwise a note says what becomes of them.
            let pauses = self.source.prune && self.source.delivery.is_none();
            plan.objects = review::compare(before, &after, pauses, &public);
        }
        plan.schedules = review::schedules(before, &after);
        let decision = decide::decide(
            head,
            scene.observation,
            scene.in_flight,
            self.source.limits,
            scene.now,
        );
        plan.moves = review::moves(scene.desired, head, scene.decision, &decision);
        let asked = decide::questions(scene.desired, scene.now);
        if !decide::questions(head, scene.now).is_subset(&asked) {
            plan.notes.push(Note::LoadUnknown);
        }
        let before = std::mem::take(before);
        let outcome = self.attempt(plan, &before, &after).await;
        self.rendered = Some(before);
        outcome
    }

    /// Asks the API server what it would say to each object that is new or differs, without keeping it.
    async fn attempt(
        &self,
        plan: &mut Plan,
        before: &[RenderedObject],
        after: &[RenderedObject],
    ) -> Result<(), TurnFailure> {
        let known: BTreeMap<_, _> = before.iter().map(|object| (&object.id, &object.value)).collect();
        let mut by_id: Vec<&RenderedObject> = after
            .iter()
            .filter(|object| known.get(&object.id) != Some(&&object.value))
            .collect();
        // As `review::compare` lists them.
        by_id.sort_by(|a, b| a.id.cmp(&b.id));
        let created: Vec<&RenderedObject> = by_id
            .iter()
            .filter(|object| !known.contains_key(&object.id))
            .copied()
            .collect();
        let changes = plan
            .objects
            .iter_mut()
            .filter(|one| matches!(one.change, Change::Created | Change::Changed));
        for (index, (change, object)) in changes.zip(&by_id).enumerate() {
            if index == TRIED_MAX {
                plan.notes.push(Note::TriedInPart);
                break;
            }
            if let Some(why) = review::comes_later(object, &created) {
                change.tried = Tried::Later(why);
                continue;
            }
            change.tried = match self.tried(object).await {
                Ok(tried) => tried,
                // That is no fault of the pull request.
                Err(error @ ClusterError::Unreachable { .. }) => return Err(TurnFailure::from(&error)),
                Err(_) if change.name.is_none() => Tried::Refused(
                    "the API server finds it wrong (details of secret objects are not shown)".to_owned(),
                ),
                Err(error) => {
                    let error = if object.secret { error.masked() } else { error };
                    Tried::Refused(error.to_string())
                }
            };
        }
        Ok(())
    }

    async fn tried(&self, object: &RenderedObject) -> Result<Tried, ClusterError> {
        let cluster = &self.world.cluster;
        Ok(match apply::difference(cluster, object).await? {
            Action::Created => {
                // What is not there was not tried yet.
                let dry = true;
                cluster
                    .apply_object(&object.api_version, &object.id, &object.value, dry)
                    .await?;
                Tried::Creates
            }
            Action::Unchanged => Tried::Unchanged,
            _ => Tried::Configures,
        })
    }

    fn note(&self, plan: &mut Plan) {
        if !self.scene.applied || self.scene.desired.revision.commit != *self.base {
            plan.notes.push(Note::BaseNotApplied);
        }
        if self.source.verification.is_some() {
            plan.notes.push(Note::SignatureLater);
        }
        if self.source.delivery.is_some() {
            plan.notes.push(Note::Delivered);
        } else if !self.source.prune && plan.count(Change::Deleted) > 0 {
            plan.notes.push(Note::NoPrune);
        }
        plan.notes.sort();
    }
}

fn is_file(entry: &Entry) -> bool {
    entry.kind == EntryKind::File
}

fn content(blobs: &Blobs, merged: &Merged, id: &BlobId) -> Result<Vec<u8>, String> {
    match merged.made.get(id) {
        Some(Some(made)) if made.len() <= FILE_BYTES_MAX => Ok(made.clone()),
        Some(_) => Err(format!("the merged file is larger than {FILE_BYTES_MAX} bytes")),
        None => blobs.read(id, FILE_BYTES_MAX),
    }
}

/// Kinds and names that stand in the clear in a file as it is committed.
fn in_the_clear(blobs: &Blobs, merged: &Merged, blob: &BlobId) -> BTreeSet<(String, String)> {
    let bytes = content(blobs, merged, blob).unwrap_or_default();
    let nodes = std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| yaml::load(text).ok());
    let documents: Vec<_> = nodes
        .iter()
        .flatten()
        .filter_map(|node| node.to_json().ok())
        .collect();
    review::names_in_the_clear(&documents)
}

fn files_of(refused: &Refused) -> BTreeSet<String> {
    let tree = refused
        .rest
        .iter()
        .flat_map(|tree| tree.files.keys().chain(&tree.broken));
    let told = refused.diagnostics.iter().map(|one| &one.place.path);
    tree.chain(told).cloned().collect()
}
