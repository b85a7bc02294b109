//! `PolicySource`: which repository, branch and path; with which credentials; how to propose; where to audit.

use super::LocalRef;
pub use super::delivery::{Delivery, DeliveryMode, DeliveryStatus};
use super::merges::{ApprovalRule, MergeStatus};
pub use super::moves::{Moves, MovesStatus};
pub use super::proposals::{ProposalState, ProposalStatus, ProposedMoveStatus, ShortageStatus};
use super::review::{Plans, ReviewStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A Git repository of storage policies, and how couchestor works on it.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "storage.billyronks.io",
    version = "v1",
    kind = "PolicySource",
    namespaced,
    status = "PolicySourceStatus",
    category = "couchestor",
    doc = "A Git repository of storage policies that this cluster follows",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Revision",
        type_ = "string",
        json_path = ".status.lastAppliedRevision"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct PolicySourceSpec {
    /// The repository: `https://…`, `ssh://user@host/path` or, when the controller allows it by flag, `file:///…`.
    #[schemars(regex(pattern = r"^(https?|ssh|file)://"))]
    pub url: String,

    /// The branch whose tree has authority.
    #[serde(default = "default_branch")]
    #[x_kube(validation = Rule::new("self != ''").message("name a branch"))]
    pub branch: String,

    /// What is followed instead of the branch's tip. The branch stays what proposals are made for.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Reference>,

    /// The folder that is built, from the root of the repository.
    #[serde(default)]
    pub path: String,

    /// How often to look for a new commit, a Go duration such as `1m`.
    #[serde(default = "default_interval")]
    pub interval: String,

    /// How long one Git operation may take, a Go duration such as `60s`.
    #[serde(default = "default_timeout")]
    pub timeout: String,

    /// Stops everything for this source but migrations that are under way.
    #[serde(default)]
    pub suspend: bool,

    /// Whether objects that left the repository are removed from the cluster. With `delivery.mode: commit` whoever applies the folder
    /// decides that.
    #[serde(default)]
    pub prune: bool,

    /// Credentials, with the keys that Flux uses: `username`+`password`, `bearerToken`, `identity`+`known_hosts`
    /// (+`password`), `ca.crt`, `tls.crt`+`tls.key`; with `provider: github`, those of a GitHub App.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalRef>,

    /// Whose credentials `secretRef` holds.
    #[serde(default)]
    pub provider: Provider,

    /// A Secret with the proxy to go through: `address`, and `username`+`password` when it wants them. Without it, those of the
    /// controller's environment are used: `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_secret_ref: Option<LocalRef>,

    /// Keys for SOPS-encrypted files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decryption: Option<Decryption>,

    /// Which signatures a commit must carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<Verify>,

    /// What is done to the objects after the overlay is built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post_build: Option<PostBuild>,

    /// What becomes of the rendered objects; without it couchestor applies them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Delivery>,

    /// How moves are proposed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposals: Option<Proposals>,

    /// How moves are carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moves: Option<Moves>,

    /// Where outcomes are recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<Audit>,

    /// A Secret with the `token` that the forge's webhook signs its deliveries with; each is a hint to fetch now. Without it no
    /// delivery is believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_secret_ref: Option<LocalRef>,
}

/// What is followed; when several are given the later in this list wins, as with Flux.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reference {
    /// A tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The newest tag in a range of versions, such as `>=1.2.0 <2.0.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub semver: Option<String>,
    /// Any reference by its full name, such as `refs/pull/420/head`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A commit of the branch, or of the whole repository, by its 40 digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

/// Whose credentials a source uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// Any server's: name and password, token, key.
    #[default]
    Generic,
    /// A GitHub App's: `githubAppID`, `githubAppInstallationID` or `githubAppInstallationOwner`, `githubAppPrivateKey`.
    Github,
}

/// What is done to the objects after the overlay is built.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PostBuild {
    /// Variables that stand as `${NAME}` in the objects.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub substitute: std::collections::BTreeMap<String, String>,
    /// ConfigMaps and Secrets that hold more of them; a later one wins over an earlier one, `substitute` over all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub substitute_from: Vec<SubstituteFrom>,
}

/// Where variables come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubstituteFrom {
    /// The kind of the object.
    pub kind: VariablesKind,
    /// Its name, in the source's namespace.
    pub name: String,
    /// Whether it may be missing.
    #[serde(default)]
    pub optional: bool,
}

/// Kinds that hold variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum VariablesKind {
    /// Values that anybody may see.
    ConfigMap,
    /// Values that nobody may see: every object that one of them went into is treated as secret.
    Secret,
}

fn default_branch() -> String {
    "main".to_owned()
}

fn default_interval() -> String {
    "1m".to_owned()
}

fn default_timeout() -> String {
    "60s".to_owned()
}

/// Keys for SOPS-encrypted files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Decryption {
    /// A Secret whose keys named `*.agekey` hold age identities (also SSH keys), and those named `*.asc` OpenPGP private keys.
    pub secret_ref: LocalRef,
}

/// Which signatures a commit must carry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verify {
    /// What must be signed.
    pub mode: VerifyMode,
    /// A Secret with the signers' keys (`*.sshpub`, `*.asc`).
    pub secret_ref: LocalRef,
}

/// What must be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum VerifyMode {
    /// The commit that is followed.
    #[serde(rename = "HEAD")]
    Head,
    /// The annotated tag that is followed; needs `ref.tag` or `ref.semver`.
    Tag,
    /// Both.
    #[serde(rename = "TagAndHEAD")]
    TagAndHead,
}

impl VerifyMode {
    /// The mode as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Head => "HEAD",
            Self::Tag => "Tag",
            Self::TagAndHead => "TagAndHEAD",
        }
    }
}

/// How moves are proposed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Proposals {
    /// The folder of the TierAssignments, below `spec.path`.
    #[serde(default = "default_assignments")]
    pub path: String,

    /// What the names of proposal branches start with.
    #[serde(default = "default_prefix")]
    #[x_kube(validation = Rule::new("self.endsWith('/')").message("end the prefix with a slash, such as couchestor/"))]
    pub branch_prefix: String,

    /// How many proposals may be open at one time.
    #[serde(default = "default_max_open")]
    #[schemars(range(min = 0, max = 100))]
    pub max_open: u32,

    /// How long a no is remembered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejections: Option<Rejections>,

    /// Approvals that the forge must know before a merged move is carried out. Without it merging is all that it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvals: Option<ApprovalRule>,

    /// Labels for pull requests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,

    /// A template of title and body, a file of at most 64 KiB by its path from the root of the repository. The built-in one
    /// (`couchestor schema --template`) stands in for one that is missing or wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,

    /// The forge, when pull requests are opened through its API.
    #[serde(default)]
    pub forge: Forge,

    /// What is said on pull requests of what merging them would change.
    #[serde(default)]
    pub plans: Plans,
}

impl Default for Proposals {
    fn default() -> Self {
        Self {
            path: default_assignments(),
            branch_prefix: default_prefix(),
            max_open: default_max_open(),
            rejections: None,
            approvals: None,
            labels: Vec::new(),
            template: None,
            forge: Forge::default(),
            plans: Plans::default(),
        }
    }
}

/// How long a no is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rejections {
    /// After this time the same move may be proposed again, a Go duration such as `720h`.
    pub expire_after: String,
}

fn default_assignments() -> String {
    "assignments".to_owned()
}

fn default_prefix() -> String {
    "couchestor/".to_owned()
}

fn default_max_open() -> u32 {
    3
}

/// A forge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Forge {
    /// Which one; `none` pushes branches only.
    #[serde(rename = "type", default)]
    pub kind: ForgeKind,
    /// Its address, for forges that people host themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Path of the repository on the forge, when it cannot be told from the source's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// A Secret with a `token` (or `bearerToken`, or `password`), and `ca.crt` for a forge with a certificate authority of its own; or
    /// with the keys of a GitHub App. Without it the source's own credentials are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalRef>,
}

/// Forges by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ForgeKind {
    /// No API: branches are pushed, and merged by hand.
    #[default]
    None,
    /// GitHub and GitHub Enterprise.
    Github,
    /// GitLab.
    Gitlab,
    /// Gitea and Forgejo.
    Gitea,
}

/// Where outcomes are recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Audit {
    /// The orphan branch that gets one commit per outcome.
    #[serde(default = "default_audit_branch")]
    pub branch: String,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            branch: default_audit_branch(),
        }
    }
}

/// The audit branch of a source that names no other.
pub const AUDIT_BRANCH: &str = "couchestor/audit";

fn default_audit_branch() -> String {
    AUDIT_BRANCH.to_owned()
}

/// What couchestor did with the source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicySourceStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The newest revision that was tried, `main@sha1:<40 hex>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_attempted_revision: Option<String>,
    /// The newest revision that is applied in full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_applied_revision: Option<String>,
    /// The value of the annotation `reconcile.fluxcd.io/requestedAt` that was last acted upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
    /// The epoch of the leadership that works on it: one with a lower epoch does nothing more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// What is applied, so that what leaves the repository can be removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inventory: Option<Inventory>,
    /// What became of a delivery by pull request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<DeliveryStatus>,
    /// The last five revisions with their results.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<HistoryEntry>,
    /// Proposals that are open or remembered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proposals: Vec<ProposalStatus>,
    /// What the forge says of the newest commits that approve moves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merges: Vec<MergeStatus>,
    /// Approved moves that wait for room.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shortages: Vec<ShortageStatus>,
    /// Pull requests that were looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reviews: Vec<ReviewStatus>,
    /// What is remembered of moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moves: Option<MovesStatus>,
    /// Ready, Reconciling and Stalled as kstatus reads them, SourceVerified, TemplateUsed, Measured, and Moving: whether approved moves
    /// start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// What is applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Inventory {
    /// One entry per object.
    pub entries: Vec<InventoryEntry>,
}

/// One applied object, as Flux writes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct InventoryEntry {
    /// `<namespace>_<name>_<group>_<kind>`.
    pub id: String,
    /// API version.
    pub v: String,
}

/// One revision that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// The revision.
    pub revision: String,
    /// When it was first tried, RFC 3339.
    pub at: String,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// `Succeeded`, or the reason of the failure.
    pub result: String,
}
