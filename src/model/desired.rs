//! What the repository asks for, understood and validated.

use super::approval::{Approved, Move};
use super::diagnostic::Place;
use super::engine::gib;
use super::ids::{ClaimRef, ObjectId, PolicyName, Revision, TierName, VolumeName};
use super::kinds::API_VERSION;
use super::kinds::tier_assignment::DecisionNote;
use super::observation::Pin;
use super::places::Places;
use super::policies::Policies;
use super::promotions::Promotions;
use super::resources::Resources;
use super::secret::{MASK, wipe};
use super::week::WeekWindow;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Places by the JSON pointers of what was changed from there.
pub type Changes = BTreeMap<String, Place>;

/// What fingerprints of encrypted policies begin with.
pub const SEALED: &str = "sealed:";

/// Where an object comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The file, from the repository's root.
    pub path: Arc<str>,
    /// Which document of the file, from 0.
    pub document: usize,
    /// The line at which the document's content starts.
    pub line: u32,
    /// The places of its values before overlays changed them.
    pub places: Arc<Places>,
    /// What patches and replacements wrote, and where that stands, the latest last.
    pub changed: Vec<Arc<Changes>>,
    /// Whether the file was encrypted.
    pub secret: bool,
}

impl Origin {
    /// A text of the object for a message: of what was encrypted nobody is shown any.
    pub fn told<'a>(&self, text: &'a str) -> &'a str {
        if self.secret { MASK } else { text }
    }

    /// The place of the value at a JSON pointer, or of its nearest ancestor that the file holds: in the patch that wrote it
    /// last, or in the object's own file.
    pub fn place(&self, pointer: &str) -> Place {
        let ancestors = || {
            let cuts = pointer.rmatch_indices('/').map(|(cut, _)| &pointer[..cut]);
            std::iter::once(pointer).chain(cuts)
        };
        let changed = self.changed.iter().rev();
        if let Some(place) = changed
            .flat_map(|changes| ancestors().find_map(|one| changes.get(one)))
            .next()
        {
            return place.clone();
        }
        let mut rest = pointer;
        loop {
            if let Some((line, column)) = self.places.get(rest) {
                return Place {
                    path: self.path.to_string(),
                    line,
                    column,
                };
            }
            match rest.rfind('/') {
                Some(cut) => rest = &rest[..cut],
                None => {
                    return Place {
                        path: self.path.to_string(),
                        line: self.line,
                        column: 1,
                    };
                }
            }
        }
    }
}

/// A text inside of an object by the keys on the way, or "". A JSON pointer would be taken apart each time.
pub fn text_at<'a>(value: &'a serde_json::Value, path: &[&str]) -> &'a str {
    path.iter()
        .try_fold(value, |at, key| at.get(*key))
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default()
}

/// The group of an `apiVersion`; that of the core has no name.
pub fn group_of(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// A Kubernetes object as the overlay left it.
#[derive(Clone, PartialEq)]
pub struct Resource {
    /// The object; shared with whoever remembers it, and copied by whoever changes it.
    pub value: Arc<serde_json::Value>,
    /// Where it comes from.
    pub origin: Origin,
}

impl Drop for Resource {
    fn drop(&mut self) {
        // Whoever is the last to hold what was encrypted wipes it.
        if self.origin.secret
            && let Some(value) = Arc::get_mut(&mut self.value)
        {
            wipe(value);
        }
    }
}

impl Resource {
    /// The object, to be changed.
    pub fn value_mut(&mut self) -> &mut serde_json::Value {
        Arc::make_mut(&mut self.value)
    }

    /// `apiVersion`, or "" when it is missing.
    pub fn api_version(&self) -> &str {
        self.text(&["apiVersion"])
    }

    /// `kind`, or "".
    pub fn kind(&self) -> &str {
        self.text(&["kind"])
    }

    /// `metadata.name`, or "".
    pub fn name(&self) -> &str {
        self.text(&["metadata", "name"])
    }

    /// `metadata.namespace`, or "".
    pub fn namespace(&self) -> &str {
        self.text(&["metadata", "namespace"])
    }

    /// What a message about the repository calls it.
    pub fn label(&self) -> String {
        if self.origin.secret {
            "an object that was encrypted".to_owned()
        } else {
            self.id().to_string()
        }
    }

    /// The group of its `apiVersion`, as [`group_of`] has it.
    pub fn group(&self) -> &str {
        group_of(self.api_version())
    }

    /// What identifies the object in a cluster.
    pub fn id(&self) -> ObjectId {
        ObjectId {
            group: self.group().to_owned(),
            kind: self.kind().to_owned(),
            namespace: self.namespace().to_owned(),
            name: self.name().to_owned(),
        }
    }

    fn text(&self, path: &[&str]) -> &str {
        text_at(&self.value, path)
    }
}

impl std::fmt::Debug for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A Secret's values are secret wherever they come from.
        let hidden = self.origin.secret || self.kind() == "Secret";
        let mut shown = f.debug_struct("Resource");
        match hidden {
            true => shown.field("value", &MASK),
            false => shown.field("value", &self.value),
        };
        shown.field("origin", &self.origin).finish()
    }
}

/// Which pools a tier is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TierPools {
    /// Mayastor pools that carry all these labels.
    Mayastor(BTreeMap<String, String>),
    /// Folders on each node's own disks; volumes on it cannot be moved.
    Local,
}

/// A storage tier, understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Tier {
    /// Its name.
    pub name: TierName,
    /// Its rank: a higher one is faster.
    pub rank: i32,
    /// Its pools.
    pub pools: TierPools,
    /// Bytes that a move must leave free on a pool of this tier.
    pub pool_reserve: u64,
    /// The StorageClass that it renders, if any.
    pub storage_class: Option<String>,
    /// How many moves to or from it may run at one time.
    pub max_moves: Option<u32>,
    /// Price of one GiB for a month, if it is known.
    pub cost_per_gib_month: Option<f64>,
    /// Whether its file was encrypted: none of its figures is told.
    pub secret: bool,
}

/// Where a signal's values come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Measure {
    /// Operations per second.
    Iops,
    /// Bytes per second.
    Throughput,
    /// Mean time of an operation, in milliseconds.
    Latency,
    /// Mean time of a read, in milliseconds.
    ReadLatency,
    /// Mean time of a write, in milliseconds.
    WriteLatency,
    /// Mean bytes of an operation.
    RequestSize,
    /// Part of the operations that read, 0 to 1.
    ReadRatio,
    /// PromQL of the user's own.
    Query(String),
}

/// A signal with its thresholds.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    /// Its name.
    pub name: Arc<str>,
    /// Where its values come from.
    pub measure: Measure,
    /// The percentile over the window, 0 to 1; the mean when there is none.
    pub percentile: Option<f64>,
    /// At or above this it speaks for hot.
    pub above: Option<f64>,
    /// Below this it speaks for cold.
    pub below: Option<f64>,
}

/// How full tiers must or may be, 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fullness {
    /// Cold volumes leave a tier only while it is at least so full.
    pub demote_above: Option<f64>,
    /// Hot volumes go to a tier only if it is at most so full afterwards.
    pub promote_below: Option<f64>,
}

/// How much a policy may move, beside its concurrent migrations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budgets {
    /// Moves that may start within an hour.
    pub moves_per_hour: Option<u32>,
    /// Bytes that may be copied by moves that start within an hour.
    pub bytes_per_hour: Option<u64>,
    /// Moves that may read from or write to one node at one time.
    pub moves_per_node: Option<u32>,
    /// Moves that may read from or write to one pool at one time.
    pub moves_per_pool: Option<u32>,
}

/// A limit of a policy's budgets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// So many moves.
    Moves(u32),
    /// So many bytes.
    Bytes(u64),
}

impl Budgets {
    /// All limits with their words, that of moves at one time first.
    pub fn limits(&self, at_once: u32) -> Vec<(Limit, String)> {
        let moves =
            |limit: Option<u32>, of: &str| limit.map(|limit| (Limit::Moves(limit), format!("{limit} {of}")));
        let bytes = |limit: u64| (Limit::Bytes(limit), format!("{} in an hour", gib(limit)));
        let all = [
            moves(Some(at_once), "at one time"),
            moves(self.moves_per_hour, "in an hour"),
            self.bytes_per_hour.map(bytes),
            moves(self.moves_per_node, "on a node"),
            moves(self.moves_per_pool, "on a pool"),
        ];
        all.into_iter().flatten().collect()
    }
}

/// When a move is taken back because the volume became slower.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rollback {
    /// By which part the latency must have grown: 1 is twice as long.
    pub worse: f64,
    /// For how long after a move it is looked at.
    pub within: Duration,
}

/// A storage policy, understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Its name.
    pub name: PolicyName,
    /// Volumes of this StorageClass are its own.
    pub storage_class: String,
    /// Labels that a claim must carry; empty means every claim.
    pub claim_labels: BTreeMap<String, String>,
    /// What makes a volume hot or cold.
    pub signals: Vec<Signal>,
    /// When all of these hold, a volume is not hot after all.
    pub not_heat_when: Vec<Signal>,
    /// How long a volume must have been beyond its thresholds without a break; zero asks for nothing.
    pub sustained: Duration,
    /// How far a signal must go back past its threshold before what was decided is taken back, 0 to 1.
    pub hysteresis: f64,
    /// The window over which signals are measured, as written (it goes into PromQL).
    pub window_text: String,
    /// The same as a length of time.
    pub window: Duration,
    /// Windows of the week whose load is not counted.
    pub excluded_windows: Vec<WeekWindow>,
    /// Windows of the week in which moves may start; none means always.
    pub move_windows: Vec<WeekWindow>,
    /// How old a volume must be before it is moved.
    pub min_age: Duration,
    /// How full tiers must or may be.
    pub fullness: Fullness,
    /// How much may be moved.
    pub budgets: Budgets,
    /// When moves are taken back because volumes became slower, if ever.
    pub rollback: Option<Rollback>,
    /// Least part of the window that must have samples, 0 to 1.
    pub min_coverage: f64,
    /// How long a volume rests after a move.
    pub cooldown: Duration,
    /// Its tiers from the coldest to the hottest.
    pub tiers: Vec<TierName>,
    /// How many moves of this policy may be proposed or running at one time.
    pub max_concurrent: u32,
    /// How long one migration may take.
    pub timeout: Duration,
    /// Whether it proposes anything.
    pub enabled: bool,
    /// Whether it only says what it would propose.
    pub dry_run: bool,
    /// Hash of its spec, or of its files when it was encrypted: a change makes earlier refusals void.
    pub fingerprint: String,
    /// Whether its file was encrypted: then its thresholds and windows are shown to nobody.
    pub secret: bool,
}

/// One claim's assignment as the base tree has it.
#[derive(Clone, PartialEq)]
pub struct Assignment {
    /// The claim.
    pub claim: ClaimRef,
    /// The volume that was measured.
    pub volume: VolumeName,
    /// The tier.
    pub tier: TierName,
    /// Whether the volume stays on this tier whatever policies say.
    pub pin: Option<Pin>,
    /// Whether snapshots may stay behind.
    pub accept_snapshots_stay: bool,
    /// What the decision rested on.
    pub decision: Option<DecisionNote>,
    /// The file.
    pub path: String,
    /// The file's text, for edits by span; none of a file that was encrypted.
    pub text: String,
    /// Whether the file was encrypted: then it is never edited.
    pub secret: bool,
}

impl std::fmt::Debug for Assignment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Assignment of {} in {}", self.claim, self.path)
    }
}

/// All that one revision asks for.
#[derive(Clone, Debug)]
pub struct Desired {
    /// The commit.
    pub revision: Revision,
    /// Every object of the repository, ours and others, in the order of the files.
    pub resources: Resources,
    /// Tiers by name, including those that a policy's two selectors imply.
    pub tiers: BTreeMap<TierName, Tier>,
    /// Policies by name.
    pub policies: Policies,
    /// Assignments by claim.
    pub assignments: BTreeMap<ClaimRef, Assignment>,
    /// What the base tree approves: one per assignment, and one per assignment that was taken out again.
    pub approved: Vec<Approved<Move>>,
    /// Claims whose assignment a person took out after it had moved the volume.
    pub reverted: BTreeSet<ClaimRef>,
    /// Phases of rollouts that may be carried out, and those that are taken back.
    pub promotions: Promotions,
}

impl Desired {
    /// The objects of one of our kinds, with their specs. What cannot be read is a diagnostic of the parser, and is left out.
    pub fn ours<'d, T: DeserializeOwned>(
        &'d self,
        kind: &'static str,
    ) -> impl Iterator<Item = (&'d Resource, T)> + use<'d, T> {
        let served = |one: &&Resource| one.api_version() == API_VERSION;
        let read = |one: &'d Resource| Some((one, T::deserialize(one.value.get("spec")?).ok()?));
        self.resources.ours(kind).filter(served).filter_map(read)
    }
}
