//! A phase of a rollout that may be carried out → one branch, its file and what a reviewer reads; and what became of it. No time stands in
//! the texts: they are reproducible.

use super::markdown::{bare, plain, shown};
use super::proposal::Site;
use super::text::yaml;
use crate::model::decision::span;
use crate::model::engine::gib;
use crate::model::ids::hex;
use crate::model::kinds::rollout::PhaseMethod;
use crate::model::kinds::workload_move::MovePhase;
use crate::model::promotions::{self, Group, Wanted};
use crate::model::pull_request::CommitState;
use crate::model::rendering::{FileChange, ProposalText};
use crate::model::secret::MASK;
use serde_json::json;
use sha2::{Digest, Sha256};

/// Claims that a text lists; the others are in the file.
const CLAIMS_TOLD_MAX: usize = 100;

/// Renders the proposal.
pub fn render(wanted: &Wanted, site: Site) -> ProposalText {
    let title = format!(
        "Promote phase {} of rollout {}: move {} onto {}",
        shown(&wanted.phase),
        shown(&wanted.rollout),
        match wanted.candidate.elsewhere.len() {
            1 => "1 volume".to_owned(),
            count => format!("{count} volumes"),
        },
        shown(&wanted.class)
    );
    let file = file(wanted);
    let key = format!(
        "{}/{}",
        shown(&wanted.rollout),
        hex(&Sha256::digest(file.as_bytes())[..8])
    );
    let gates: Vec<String> = wanted
        .candidate
        .gates
        .iter()
        .map(|gate| format!("{}: {}", shown(&gate.gate), gate.message))
        .collect();
    ProposalText {
        commit_message: format!(
            "{title}\n\n{}\n\nMerging this approves the moves, and reverting it approves the way back.\n\n{}: {key}\n",
            gates.join("\n"),
            site.trailer
        ),
        branch: format!("{}moves/{}", site.prefix, wanted.identity.as_str()),
        body: body(wanted, site),
        title,
        key,
        files: vec![FileChange {
            path: promotions::path(site.assignments, &wanted.rollout, &wanted.phase),
            content: Some(file.into_bytes()),
        }],
        policy: wanted.identity.clone(),
        moves: wanted.moves.clone(),
    }
}

/// The promotion's file.
fn file(wanted: &Wanted) -> String {
    let claims: Vec<String> = wanted.candidate.claims.iter().map(ToString::to_string).collect();
    yaml(&[json!({
        "apiVersion": crate::model::kinds::API_VERSION,
        "kind": "RolloutPromotion",
        "metadata": {"name": format!("{}.{}", wanted.rollout, wanted.phase)},
        "spec": {
            "rollout": wanted.rollout,
            "phase": wanted.phase,
            "fingerprint": wanted.candidate.fingerprint,
            "claims": claims,
            "keepOldVolumes": wanted.keep_old_volumes,
        },
    })])
}

fn body(wanted: &Wanted, site: Site) -> String {
    let mut body = format!(
        "Phase {} ({} of {}) of rollout `{}` is open and its gates hold. Merging this lets couchestor move these claims onto StorageClass \
         `{}`, one group after the other:\n\n| claim | from | size | {} | |\n| --- | --- | --- | --- | --- |\n",
        bare(&wanted.phase),
        wanted.place,
        wanted.phases,
        shown(&wanted.rollout),
        shown(&wanted.class),
        match wanted.candidate.method {
            PhaseMethod::Cnpg => "of",
            PhaseMethod::Copy | PhaseMethod::New => "scaled down meanwhile",
        },
    );
    let elsewhere = |claim: &crate::model::ids::ClaimRef| wanted.candidate.elsewhere.contains(claim);
    let listed = wanted.moves.iter().filter(|one| elsewhere(&one.claim));
    for one in listed.clone().take(CLAIMS_TOLD_MAX) {
        let of_it =
            |group: &&Group| group.namespace == one.claim.namespace && group.claims.contains(&one.claim.name);
        let group = wanted.groups.iter().find(of_it);
        let workloads = group.map_or(String::new(), |group| {
            let all: Vec<String> = group
                .workloads
                .iter()
                .map(|one| format!("`{}/{}`", shown(&one.kind), shown(&one.name)))
                .collect();
            all.join(", ")
        });
        let refused = group.and_then(|group| group.refusals.first());
        body.push_str(&format!(
            "| `{}` | {} | {} | {} | {} |\n",
            shown(&one.claim.to_string()),
            shown(&one.note.from),
            gib(one.bytes),
            if workloads.is_empty() {
                "nothing uses it".to_owned()
            } else {
                workloads
            },
            refused.map_or("moves".to_owned(), |one| format!(
                "**is not moved** ({}): {}",
                one.reason,
                plain(&one.message)
            )),
        ));
    }
    let more = listed.count().saturating_sub(CLAIMS_TOLD_MAX);
    if more > 0 {
        body.push_str(&format!("\n… and {more} more, each named in the file.\n"));
    }
    let how = match wanted.candidate.method {
        PhaseMethod::Cnpg => cloned(wanted),
        PhaseMethod::Copy | PhaseMethod::New => copied(wanted),
    };
    body.push_str(&how);
    if !wanted.candidate.gates.is_empty() {
        body.push_str("\n| gate | what was found |\n| --- | --- |\n");
        for gate in &wanted.candidate.gates {
            body.push_str(&format!("| {} | {} |\n", plain(&gate.gate), plain(&gate.message)));
        }
    }
    let no = match site.forge {
        true => "close this without merging",
        false => "delete the branch",
    };
    let undo = match wanted.candidate.method {
        PhaseMethod::Cnpg => {
            "revert the merge, and give the Clusters their old class. Their instances are made anew on that, and nothing that was written since is lost"
        }
        PhaseMethod::Copy | PhaseMethod::New => {
            "revert the merge. What was moved is copied back onto the old volumes, with what was written since"
        }
    };
    body.push_str(&format!(
        "\nAll of it is looked at again before each move; this is closed when a gate stops holding.\n\n\
         **Yes:** merge this.\n\n\
         **No:** {no}. The phase is not proposed again as long as it is written as it is.\n\n\
         **Undo:** {undo}.\n\n\
         **When all is well:** `keepOldVolumes: false` in the file lets the old volumes go, each once a later backup holds its claim.\n"
    ));
    body
}

/// How instances of CloudNativePG's Clusters are made anew, and what that costs.
fn cloned(wanted: &Wanted) -> String {
    format!(
        "\n**What is down:** one replica of a Cluster at a time, until its operator has cloned it; and for seconds the database, when another \
         instance becomes the primary. A clone that takes longer than {} waits for a person.\n\n\
         **How:** each Cluster makes claims of the class already, for Git says so. Of one replica after the other the volumes are set to \
         `Retain` and the claims and the pod deleted, and the operator makes it anew; nothing is deleted before all instances are ready and \
         follow. Then another one becomes the primary, and the old one is made anew last. The old volumes stay.\n",
        plain(&wanted.copy.timeout)
    )
}

/// How volumes are copied, and what that costs.
fn copied(wanted: &Wanted) -> String {
    let pods: i64 = wanted
        .groups
        .iter()
        .filter(|one| one.refusals.is_empty())
        .map(|one| one.pods)
        .sum();
    let flux: std::collections::BTreeSet<String> = wanted
        .groups
        .iter()
        .flat_map(|group| &group.flux)
        .map(|one| {
            format!(
                "`{} {}/{}`",
                shown(&one.kind),
                shown(&one.namespace),
                shown(&one.name)
            )
        })
        .collect();
    let before = wanted
        .down_before
        .map_or("nobody knows yet how long".to_owned(), |seconds| {
            format!(
                "earlier moves of this rollout kept theirs down for {} at most",
                span(seconds)
            )
        });
    format!(
        "\n**What is down:** the workloads of a group ({pods} pods in all), while its volumes are copied and compared; {before}. What takes longer \
         than {} is taken back.{}\n\n\
         **How:** a new claim beside each one, everything scaled to nothing, a Job that copies every file and compares all of them by \
         SHA-256, and only then the claim is bound to its new volume. What fails before that is taken back. The old volumes stay \
         (`Retain`).\n",
        plain(&wanted.copy.timeout),
        match flux.is_empty() {
            true => String::new(),
            false => format!(
                " Suspended meanwhile: {}.",
                flux.into_iter().collect::<Vec<_>>().join(", ")
            ),
        }
    )
}

/// What is said when the proposal is withdrawn.
pub fn withdrawn(why: &str) -> String {
    format!(
        "This phase is not to be promoted now: {}.\n\ncouchestor has closed this and will ask again when it may be.",
        plain(why)
    )
}

/// A move, as the comment on the pull request tells it.
pub struct Row {
    /// The WorkloadMove.
    pub name: String,
    /// Its claims.
    pub claims: String,
    /// Whether it takes another one back.
    pub back: bool,
    /// Where it stands.
    pub phase: MovePhase,
    /// In words.
    pub message: String,
    /// For how long its workloads were down.
    pub down: Option<u64>,
}

impl Row {
    /// The row of an encrypted promotion: it names no claim, and neither its move nor what is said of that, which name claims too.
    pub fn masked(self) -> Self {
        Self {
            name: MASK.to_owned(),
            claims: MASK.to_owned(),
            message: "it is encrypted; its WorkloadMove in the cluster says more".to_owned(),
            ..self
        }
    }
}

/// The comment on what became of a promotion, and the state of its commit; `standing` is what is said of the promotion as a whole.
pub fn results(rows: &[Row], standing: &str) -> (String, CommitState, &'static str) {
    let bad = |row: &&Row| {
        matches!(
            row.phase,
            MovePhase::RolledBack | MovePhase::NeedsPerson | MovePhase::Superseded
        )
    };
    let failed = rows.iter().any(|row| bad(&row));
    let done = standing.is_empty() && rows.iter().all(|row| row.phase.is_final());
    let (state, words) = match (failed, done) {
        (true, _) => (CommitState::Failure, "a move of workloads did not succeed"),
        (false, true) => (CommitState::Success, "the workloads were moved"),
        (false, false) => (CommitState::Pending, "workloads are being moved, or wait"),
    };
    let mut text = format!(
        "{}\n\n",
        match (failed, done) {
            (true, _) => "**Not all of it was moved.**",
            (false, true) => "**Moved.**",
            (false, false) => "**Under way.**",
        }
    );
    if !rows.is_empty() {
        text.push_str("| claims | move | is | workloads were down | |\n| --- | --- | --- | --- | --- |\n");
    }
    for row in rows.iter().take(CLAIMS_TOLD_MAX) {
        text.push_str(&format!(
            "| `{}` | `{}`{} | {} | {} | {} |\n",
            shown(&row.claims),
            shown(&row.name),
            if row.back { " (back)" } else { "" },
            row.phase.as_str(),
            row.down.map_or("–".to_owned(), span),
            if row.phase == MovePhase::Completed {
                String::new()
            } else {
                plain(&row.message)
            },
        ));
    }
    if !standing.is_empty() {
        text.push_str(&format!("\n{}.\n", plain(standing)));
    }
    (text, state, words)
}
