//! The repository of a simulated forge: a real bare one, in which pushing and merging really happen.

use git2::build::TreeUpdateBuilder;
use git2::{FileMode, Oid, Repository, Signature, Time};
use std::path::Path;

/// How a person merges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MergeBy {
    /// A merge commit.
    Merge,
    /// One commit with everything.
    Squash,
    /// Each commit again on top of base.
    Rebase,
    /// No commit: base moves to the head.
    FastForward,
}

/// A bare repository.
pub(super) struct Git {
    repository: Repository,
}

fn words(error: &git2::Error) -> String {
    error.message().to_owned()
}

impl Git {
    /// Opens the repository of a folder, or makes one with a first commit on `main`.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        if let Ok(repository) = Repository::open_bare(path) {
            return Ok(Self { repository });
        }
        let mut options = git2::RepositoryInitOptions::new();
        options.bare(true).initial_head("main");
        let repository = Repository::init_opts(path, &options).map_err(|error| words(&error))?;
        let git = Self { repository };
        let tree = git
            .repository
            .treebuilder(None)
            .and_then(|builder| builder.write())
            .map_err(|error| words(&error))?;
        git.commit(tree, &[], "Begin", 0)
            .and_then(|commit| git.set("refs/heads/main", commit))
            .map_err(|error| words(&error))?;
        Ok(git)
    }

    fn commit(&self, tree: Oid, parents: &[Oid], message: &str, at: i64) -> Result<Oid, git2::Error> {
        let who = Signature::new("Forge", "forge@example.org", &Time::new(1_700_000_000 + at, 0))?;
        let tree = self.repository.find_tree(tree)?;
        let parents: Vec<git2::Commit<'_>> = parents
            .iter()
            .map(|parent| self.repository.find_commit(*parent))
            .collect::<Result<_, _>>()?;
        let parents: Vec<&git2::Commit<'_>> = parents.iter().collect();
        self.repository.commit(None, &who, &who, message, &tree, &parents)
    }

    fn set(&self, name: &str, commit: Oid) -> Result<(), git2::Error> {
        self.repository.reference(name, commit, true, "forge").map(drop)
    }

    /// The newest commit of a branch.
    pub(super) fn tip(&self, branch: &str) -> Option<String> {
        let name = format!("refs/heads/{branch}");
        self.repository.refname_to_id(&name).ok().map(|id| id.to_string())
    }

    /// Makes a reference point to a commit.
    pub(super) fn point(&self, name: &str, commit: &str) {
        // A commit that is gone leaves the reference as it is.
        if let Ok(commit) = Oid::from_str(commit) {
            let _ = self.set(name, commit);
        }
    }

    /// Whether the repository has a commit.
    pub(super) fn has(&self, commit: &str) -> bool {
        Oid::from_str(commit).is_ok_and(|id| self.repository.find_commit(id).is_ok())
    }

    /// Adds a commit with these files to a branch; from another start if one is given, which rewrites the branch.
    pub(super) fn push(
        &self,
        branch: &str,
        from: Option<&str>,
        files: &[(&str, &str)],
        at: i64,
    ) -> Result<String, String> {
        let start = from
            .map(|from| self.tip(from).unwrap_or_else(|| from.to_owned()))
            .or_else(|| self.tip(branch))
            .ok_or_else(|| format!("there is no branch {branch}"))?;
        let add = || -> Result<Oid, git2::Error> {
            let parent = self.repository.find_commit(Oid::from_str(&start)?)?;
            let mut update = TreeUpdateBuilder::new();
            for (path, text) in files {
                let blob = self.repository.blob(text.as_bytes())?;
                update.upsert(*path, blob, FileMode::Blob);
            }
            let tree = update.create_updated(&self.repository, &parent.tree()?)?;
            let commit = self.commit(tree, &[parent.id()], &format!("Change {branch}"), at)?;
            self.set(&format!("refs/heads/{branch}"), commit)?;
            Ok(commit)
        };
        add().map(|id| id.to_string()).map_err(|error| words(&error))
    }

    /// Deletes a branch.
    pub(super) fn delete(&self, branch: &str) -> Result<(), String> {
        self.repository
            .find_reference(&format!("refs/heads/{branch}"))
            .and_then(|mut found| found.delete())
            .map_err(|error| words(&error))
    }

    /// How many commits a head has that base lacks.
    pub(super) fn ahead(&self, base: &str, head: &str) -> usize {
        let count = || -> Result<usize, git2::Error> {
            let (ahead, _) = self
                .repository
                .graph_ahead_behind(Oid::from_str(head)?, Oid::from_str(base)?)?;
            Ok(ahead)
        };
        count().unwrap_or(0)
    }

    /// Whether one commit is another one's ancestor, or the same.
    pub(super) fn holds(&self, tip: &str, commit: &str) -> bool {
        if tip == commit {
            return true;
        }
        match (Oid::from_str(tip), Oid::from_str(commit)) {
            (Ok(tip), Ok(commit)) => self.repository.graph_descendant_of(tip, commit).unwrap_or(false),
            _ => false,
        }
    }

    /// Whether a head can be merged into a base without a conflict.
    pub(super) fn can_merge(&self, base: &str, head: &str) -> bool {
        self.merged_tree(base, head).is_ok()
    }

    fn merged_tree(&self, base: &str, head: &str) -> Result<Oid, String> {
        let merge = || -> Result<Option<Oid>, git2::Error> {
            let ours = self.repository.find_commit(Oid::from_str(base)?)?;
            let theirs = self.repository.find_commit(Oid::from_str(head)?)?;
            let mut index = self.repository.merge_commits(&ours, &theirs, None)?;
            match index.has_conflicts() {
                true => Ok(None),
                false => index.write_tree_to(&self.repository).map(Some),
            }
        };
        merge()
            .map_err(|error| words(&error))?
            .ok_or_else(|| "there is a conflict".to_owned())
    }

    /// Merges a head into a branch; returns the branch's new tip.
    pub(super) fn merge(
        &self,
        base_branch: &str,
        head: &str,
        how: MergeBy,
        message: &str,
        at: i64,
    ) -> Result<String, String> {
        let base = self
            .tip(base_branch)
            .ok_or_else(|| format!("there is no branch {base_branch}"))?;
        let tree = self.merged_tree(&base, head)?;
        let work = || -> Result<Option<Oid>, git2::Error> {
            let (ours, theirs) = (Oid::from_str(&base)?, Oid::from_str(head)?);
            let tip = match how {
                MergeBy::Merge => self.commit(tree, &[ours, theirs], message, at)?,
                MergeBy::Squash => self.commit(tree, &[ours], message, at)?,
                MergeBy::Rebase => match self.replay(ours, theirs, at)? {
                    Some(tip) => tip,
                    None => return Ok(None),
                },
                MergeBy::FastForward if self.holds(head, &base) => theirs,
                MergeBy::FastForward => return Ok(None),
            };
            self.set(&format!("refs/heads/{base_branch}"), tip)?;
            Ok(Some(tip))
        };
        work()
            .map_err(|error| words(&error))?
            .map(|tip| tip.to_string())
            .ok_or_else(|| "it cannot be merged this way".to_owned())
    }

    fn replay(&self, base: Oid, head: Oid, at: i64) -> Result<Option<Oid>, git2::Error> {
        let mut walk = self.repository.revwalk()?;
        walk.set_sorting(git2::Sort::TOPOLOGICAL | git2::Sort::REVERSE)?;
        walk.push(head)?;
        walk.hide(base)?;
        let mut tip = base;
        for id in walk {
            let commit = self.repository.find_commit(id?)?;
            let onto = self.repository.find_commit(tip)?;
            let mut index = self.repository.cherrypick_commit(&commit, &onto, 0, None)?;
            if index.has_conflicts() {
                return Ok(None);
            }
            let tree = index.write_tree_to(&self.repository)?;
            let message = commit.message().unwrap_or("Change").to_owned();
            tip = self.commit(tree, &[tip], &message, at)?;
        }
        Ok(Some(tip))
    }
}
