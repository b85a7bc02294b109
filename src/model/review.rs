//! What merging a pull request would change, as it is found out without changing anything.

use super::diagnostic::Diagnostic;
use super::ids::CommitId;

/// A plan. No value of anything that was encrypted, or that came from a Secret, is in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The pull request's head.
    pub head: CommitId,
    /// The tip of the base branch onto which it was merged, in memory.
    pub base: CommitId,
    /// The base branch.
    pub branch: String,
    /// Whether it comes from another repository: then no key is used for it, and the cluster is not asked.
    pub fork: bool,
    /// Encrypted files that were not opened, with what is wrong with each all the same.
    pub sealed: Vec<String>,
    /// What is wrong or doubtful, and is not so in the base branch already.
    pub diagnostics: Vec<Diagnostic>,
    /// Files that conflict with the base branch.
    pub conflicts: Vec<String>,
    /// Why Git itself would not take the head.
    pub unreadable: Option<String>,
    /// Files that it brings, changes or takes away, for a plan without objects.
    pub files: Vec<String>,
    /// Objects that would be created, changed or deleted.
    pub objects: Vec<ObjectChange>,
    /// Backup schedules that change.
    pub schedules: Vec<ScheduleChange>,
    /// What changes for volumes.
    pub moves: Vec<PlannedMove>,
    /// What a reader should know of how this was found out, in sentences of ours.
    pub notes: Vec<Note>,
}

impl Plan {
    /// Whether something is wrong with it, so that merging it would not be carried out.
    pub fn is_refused(&self) -> bool {
        let error = |one: &Diagnostic| one.severity == super::diagnostic::Severity::Error;
        self.unreadable.is_some()
            || self.diagnostics.iter().any(error)
            || self
                .objects
                .iter()
                .any(|one| matches!(one.tried, Tried::Refused(_)))
    }

    /// How many objects are changed in this way.
    pub fn count(&self, change: Change) -> usize {
        self.objects.iter().filter(|one| one.change == change).count()
    }
}

/// What a reader should know of how a plan was found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Note {
    /// The base branch's tip is not what is applied.
    BaseNotApplied,
    /// Signatures are demanded; nobody asked for that of the head.
    SignatureLater,
    /// Some policies ask what was not asked yet.
    LoadUnknown,
    /// So many objects are tried at most.
    TriedInPart,
    /// Objects that leave the repository stay in the cluster.
    NoPrune,
    /// What is rendered is not applied here, but delivered by another pull request.
    Delivered,
}

/// How an object is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// It is new.
    Created,
    /// It differs.
    Changed,
    /// It is gone.
    Deleted,
    /// It is gone, and stays in the cluster, paused.
    Paused,
}

/// What the API server said to an object, without keeping it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tried {
    /// It was not asked.
    #[default]
    No,
    /// It would take it, and make it.
    Creates,
    /// It would take it, and change what is there.
    Configures,
    /// What is there is as it should be already.
    Unchanged,
    /// It cannot be asked before something else is there, in words.
    Later(&'static str),
    /// It would not take it, in its words.
    Refused(String),
}

/// One object.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectChange {
    /// How it is changed.
    pub change: Change,
    /// Its kind; `object` when that was encrypted.
    pub kind: String,
    /// What it is called; `None` when that was encrypted.
    pub name: Option<String>,
    /// The file that it comes from.
    pub path: String,
    /// What it is made of, when it is not itself in the repository.
    pub made_from: Option<String>,
    /// Whether its values are secret: then there are no fields.
    pub secret: bool,
    /// Its fields, in order of path.
    pub fields: Vec<FieldChange>,
    /// Fields that are not listed.
    pub more_fields: usize,
    /// What the API server says.
    pub tried: Tried,
}

/// One field of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    /// Its path, as people write it.
    pub path: String,
    /// Its value as JSON, cut short, when it had one.
    pub before: Option<String>,
    /// The same of what it will have.
    pub after: Option<String>,
}

/// When a backup is made, by a Schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleChange {
    /// The Schedule.
    pub name: String,
    /// Its cron expression, when it was there.
    pub before: Option<String>,
    /// The same afterwards, when it still is.
    pub after: Option<String>,
}

/// What becomes of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// The merge approves its move, which starts.
    Moves,
    /// The merge approves its move, which waits.
    Waits,
    /// Its move would be proposed.
    Proposed,
    /// Its move is proposed today and would not be any more.
    NotProposed,
}

/// One volume.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlannedMove {
    /// What becomes of it.
    pub fate: Fate,
    /// The claim; `None` when that was encrypted.
    pub claim: Option<String>,
    /// Where it is.
    pub from: Option<String>,
    /// Where it goes.
    pub to: Option<String>,
    /// Why it waits, or what policy asks for it.
    pub words: String,
}
