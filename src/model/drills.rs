//! Restore drills as they are seen from outside: what the cluster holds of one, in compact records.

use super::kinds::drill::DrillRun;
use std::collections::BTreeMap;

/// Everything that the next step of a drill depends on, read at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DrillSeen {
    /// The scratch namespace, if there is one of its name.
    pub scratch: Option<ScratchSeen>,
    /// Whether everything that surrounds the restore is there: network policy, quota, and the changes to what is restored.
    pub prepared: bool,
    /// Velero's Restore, if there is one of its name.
    pub restore: Option<RestoreSeen>,
    /// What the backup holds of the namespace, by claim; `None` when the Backup is gone.
    pub held: Option<BTreeMap<String, u64>>,
    /// Volumes as they were restored, by claim.
    pub restored: BTreeMap<String, VolumeSeen>,
    /// The Jobs that check, by name.
    pub jobs: BTreeMap<String, JobSeen>,
    /// What is left of the drill outside of the scratch namespace.
    pub leftovers: Leftovers,
}

/// What is left of a drill outside of its scratch namespace: Velero's Restore, and the ConfigMap beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leftovers {
    /// Nothing.
    #[default]
    Nothing,
    /// What Velero has yet to let go: a Restore goes when its files in the bucket are gone.
    Going,
    /// Something that nobody has deleted yet.
    Something,
}

/// A pod that is restored with data, and how many containers of it start before the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSeen {
    /// Its name.
    pub name: String,
    /// Its init containers in the cluster now.
    pub init_containers: usize,
}

/// The scratch namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScratchSeen {
    /// Whether this drill made it: a namespace of that name that somebody else made is never touched.
    pub ours: bool,
    /// Whether it is being deleted.
    pub going: bool,
}

/// A Restore of Velero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreSeen {
    /// Velero's phase; empty until Velero has looked at it.
    pub phase: String,
    /// Errors that Velero counted.
    pub errors: u64,
    /// Warnings that it counted.
    pub warnings: u64,
    /// Why it failed, in Velero's words.
    pub reason: String,
    /// Objects that were restored, and all that were to be.
    pub items: (u64, u64),
    /// When it was made (RFC 3339).
    pub created: String,
    /// When it ended (RFC 3339).
    pub completed: Option<String>,
}

impl RestoreSeen {
    /// Whether Velero will do nothing more for it.
    pub fn has_ended(&self) -> bool {
        matches!(
            self.phase.as_str(),
            "Completed" | "PartiallyFailed" | "Failed" | "FailedValidation"
        )
    }
}

/// A volume that Velero fills.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeSeen {
    /// Velero's phase of the PodVolumeRestore or DataDownload.
    pub phase: String,
    /// Bytes that are written.
    pub done: u64,
    /// Bytes that there are to write.
    pub total: u64,
    /// What Velero says of it.
    pub message: String,
}

/// A Job that checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobSeen {
    /// It has not ended.
    Running,
    /// All of it succeeded.
    Succeeded,
    /// It failed, in Kubernetes' words.
    Failed(String),
}

/// The longest name of a namespace.
const NAME_MAX: usize = 63;

/// The scratch namespace of a `drill` or a `restore`: it names what is restored as far as there is room, and always ends with the id.
pub fn scratch_name(of: &str, namespace: &str, id: &str) -> String {
    let room = NAME_MAX.saturating_sub(of.len() + "--".len() + id.len());
    let kept: String = namespace.chars().take(room).collect();
    format!("{of}-{}-{id}", kept.trim_end_matches('-'))
}

/// The name of what a drill makes in Velero's namespace: the Restore, and the ConfigMap with the changes to what is restored.
pub fn object_name(run: &DrillRun) -> String {
    format!("drill-{}", run.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_scratch_namespaces_are_names_and_always_end_with_the_drill() {
        for (namespace, expected) in [
            ("database", "drill-database-0f3a".to_owned()),
            (&"x".repeat(63), format!("drill-{}-0f3a", "x".repeat(52))),
            (
                &format!("{}-y", "x".repeat(51)),
                format!("drill-{}-0f3a", "x".repeat(51)),
            ),
        ] {
            let name = scratch_name("drill", namespace, "0f3a");
            assert_eq!(name, expected);
            assert!(name.len() <= NAME_MAX);
        }
    }
}
