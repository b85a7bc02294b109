//! Which volumes backups hold, as it was judged: the verdict on each volume, and what follows for policies and locations.

use super::backups::{BackupRules, FoundBackup, Method, PolicyKey, Unseen};
use super::ids::ClaimRef;
use super::kinds::drill::{BackupSeen, UncoveredVolume};
use super::kinds::drill::{DrillRecord, DrillRun};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What conditions say of them.
mod says;

pub use says::{COVERED, DRILLED, FRESH, Said};

/// How far the clocks of a cluster may be apart, in seconds.
const CLOCKS_APART_SECS: i64 = 300;

/// How many seconds ago something was; none when it is dated in the future, by a clock that was wrong then or is now: such evidence would
/// hold for as long as the clock was wrong.
pub fn age(at: Timestamp, now: Timestamp) -> Option<u64> {
    let age = now.as_second().saturating_sub(at.as_second());
    (age >= -CLOCKS_APART_SECS).then(|| u64::try_from(age).unwrap_or(0))
}

/// Volumes that a status names as uncovered: etcd takes a megabyte and a half, and a person mends one kind of gap at a time.
pub const NAMED_MAX: usize = 20;

/// Why the data of a volume is not in the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gap {
    /// No backup of its policy has ended.
    NeverBackedUp,
    /// The backup did not end as Completed.
    BackupNotCompleted,
    /// Its claim was made after the backup had started.
    YoungerThanBackup,
    /// It is a hostPath, which Velero skips.
    HostPath,
    /// It has no file system, and fs-backup reads files.
    BlockMode,
    /// No pod mounts it, so fs-backup cannot reach it.
    NotMounted,
    /// Its pod does not run, so Velero skipped it.
    PodNotRunning,
    /// Its pod is not in the backup.
    PodNotSelected,
    /// An annotation of its pod leaves it out.
    ExcludedByPod,
    /// It has no snapshots, and those are to be moved.
    NotCsi,
    /// Its snapshot never left its disk.
    SnapshotNotMoved,
    /// Its upload failed.
    UploadFailed,
    /// Its upload did not read all of it.
    UploadIncomplete,
    /// Its upload names no snapshot.
    NoSnapshotId,
    /// It was uploaded by restic, which Velero restores no more.
    Restic,
    /// Nothing was written down of it.
    NoRecord,
}

impl Gap {
    /// In one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NeverBackedUp => "NeverBackedUp",
            Self::BackupNotCompleted => "BackupNotCompleted",
            Self::YoungerThanBackup => "YoungerThanBackup",
            Self::HostPath => "HostPath",
            Self::BlockMode => "BlockMode",
            Self::NotMounted => "NotMounted",
            Self::PodNotRunning => "PodNotRunning",
            Self::PodNotSelected => "PodNotSelected",
            Self::ExcludedByPod => "ExcludedByPod",
            Self::NotCsi => "NotCsi",
            Self::SnapshotNotMoved => "SnapshotNotMoved",
            Self::UploadFailed => "UploadFailed",
            Self::UploadIncomplete => "UploadIncomplete",
            Self::NoSnapshotId => "NoSnapshotId",
            Self::Restic => "Restic",
            Self::NoRecord => "NoRecord",
        }
    }
}

/// What a backup has of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its data is proved to be in the bucket.
    Covered {
        /// How it came there.
        method: Method,
        /// How much of it there is, in bytes.
        bytes: u64,
        /// The snapshot in the repository.
        snapshot: String,
    },
    /// The policy says that it needs no backup.
    Exempt {
        /// Why.
        reason: String,
    },
    /// It is not there.
    Uncovered {
        /// Why not.
        gap: Gap,
        /// Why not, and what to do.
        message: String,
    },
}

/// A backup, volume by volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The backup.
    pub backup: FoundBackup,
    /// The claims in scope, in order.
    pub volumes: Vec<(ClaimRef, Verdict)>,
}

impl Judged {
    /// The verdict on a claim; none on one that was not in scope.
    pub fn verdict(&self, claim: &ClaimRef) -> Option<&Verdict> {
        let found = self.volumes.binary_search_by(|(own, _)| own.cmp(claim));
        found.ok().map(|place| &self.volumes[place].1)
    }

    /// Its volumes that are uncovered.
    pub fn gaps(&self) -> impl Iterator<Item = (&ClaimRef, Gap, &str)> {
        self.volumes.iter().filter_map(|(claim, verdict)| match verdict {
            Verdict::Uncovered { gap, message } => Some((claim, *gap, message.as_str())),
            Verdict::Covered { .. } | Verdict::Exempt { .. } => None,
        })
    }

    /// Whether it is a backup: Completed, and with every volume that was there when it started. What was made since is no older than
    /// the backup is, so the age of the backup speaks for it too.
    pub fn is_full(&self) -> bool {
        let completed = self.backup.phase == "Completed" && self.backup.started.is_some();
        completed && self.gaps().all(|(_, gap, _)| gap == Gap::YoungerThanBackup)
    }

    /// How it stands in a status.
    pub fn seen(&self) -> BackupSeen {
        let mut seen = BackupSeen {
            name: self.backup.name.clone(),
            location: self.backup.location.clone(),
            started_at: self.backup.at().map(|at| at.to_string()).unwrap_or_default(),
            completed_at: self.backup.completed.map(|at| at.to_string()),
            phase: self.backup.phase.clone(),
            volumes: u32::try_from(self.volumes.len()).unwrap_or(u32::MAX),
            ..BackupSeen::default()
        };
        for (_, verdict) in &self.volumes {
            match verdict {
                Verdict::Covered { bytes, .. } => {
                    seen.covered += 1;
                    seen.bytes = seen.bytes.saturating_add(*bytes);
                }
                Verdict::Exempt { .. } => seen.exempt += 1,
                Verdict::Uncovered { .. } => {}
            }
        }
        seen.uncovered = self.gaps().take(NAMED_MAX).map(uncovered).collect();
        seen
    }
}

/// A volume that a backup does not hold, as a status names it.
pub fn uncovered((claim, gap, message): (&ClaimRef, Gap, &str)) -> UncoveredVolume {
    UncoveredVolume {
        namespace: claim.namespace.clone(),
        claim: claim.name.clone(),
        reason: gap.as_str().to_owned(),
        message: message.to_owned(),
    }
}

/// What of a policy's Schedules and locations keeps backups from being made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Velero refuses a Schedule, in its own words.
    ScheduleRefused(String),
    /// Nothing uploads volumes, and why.
    NoNodeAgent(String),
    /// Backups cannot be written to a location, and why.
    LocationUnavailable(String),
}

impl Trouble {
    /// What it is, in words.
    pub fn words(&self) -> &str {
        match self {
            Self::ScheduleRefused(words) | Self::NoNodeAgent(words) | Self::LocationUnavailable(words) => {
                words
            }
        }
    }
}

/// All that is known of one policy's backups.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyReport {
    /// What it promises.
    pub rules: Arc<BackupRules>,
    /// Claims in its scope now whose data it promises to hold; those that it exempts are not among them.
    pub in_scope: Vec<ClaimRef>,
    /// The newest backup that has ended.
    pub newest: Option<Judged>,
    /// The newest one that holds every volume.
    pub covered: Option<Judged>,
    /// The backup that reads volumes now, or is about to: which ones it has yet to read is not known.
    pub reading: Option<String>,
    /// Claims whose upload goes on, with the backup.
    pub uploading: BTreeMap<ClaimRef, String>,
    /// The drill that runs.
    pub drill: Option<DrillRun>,
    /// Drills that ended, the newest first.
    pub drills: Vec<DrillRecord>,
    /// What keeps backups from being made.
    pub trouble: Option<Trouble>,
}

impl PolicyReport {
    /// When the newest backup that holds every volume started: all data is at most as old as that. Unknown is never fresh.
    pub fn covered_at(&self) -> Option<Timestamp> {
        self.covered.as_ref()?.backup.started
    }

    /// How many seconds of work would be lost now. What is dated in the future says nothing.
    pub fn age(&self, now: Timestamp) -> Option<u64> {
        age(self.covered_at()?, now)
    }

    /// Whether no more would be lost than the policy allows; nothing when it says nothing about that.
    pub fn is_fresh(&self, now: Timestamp) -> Option<bool> {
        let rpo = self.rules.rpo?;
        Some(self.age(now).is_some_and(|age| age <= rpo.as_secs()))
    }

    /// Volumes in scope that the newest backup does not hold; all of them when there is none.
    pub fn unprotected(&self) -> Vec<(ClaimRef, Gap)> {
        match &self.newest {
            Some(newest) => newest
                .gaps()
                .map(|(claim, gap, _)| (claim.clone(), gap))
                .collect(),
            None => {
                let all = self.in_scope.iter().cloned();
                all.map(|claim| (claim, Gap::NeverBackedUp)).collect()
            }
        }
    }
}

/// What is known of a location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocationReport {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Whether backups can be written there and kept in order.
    pub available: bool,
    /// In one word.
    pub reason: &'static str,
    /// In words.
    pub message: String,
}

/// One look at the backups of all policies.
#[derive(Clone, Debug, PartialEq)]
pub struct BackupReading {
    /// When it was taken.
    pub at: Timestamp,
    /// Why nothing could be seen; then the reports hold nothing but what policies promise.
    pub unseen: Option<Unseen>,
    /// Policies in order.
    pub policies: Vec<PolicyReport>,
    /// Locations.
    pub locations: Vec<LocationReport>,
    /// Namespaces that Velero leaves out.
    pub excluded_namespaces: std::collections::BTreeSet<String>,
    /// Restores that people have asked for and that have not ended, by namespace.
    pub restoring: BTreeMap<String, String>,
    /// What Velero does for others.
    pub busy: Vec<super::backups::Busy>,
}

impl BackupReading {
    /// A policy's report.
    pub fn policy(&self, key: &PolicyKey) -> Option<&PolicyReport> {
        self.policies.iter().find(|one| one.rules.policy == *key)
    }

    /// A location's report.
    pub fn location(&self, namespace: &str, name: &str) -> Option<&LocationReport> {
        let mut all = self.locations.iter();
        all.find(|one| one.namespace == namespace && one.name == name)
    }
}
