//! The moves of a policy → one branch, its files and what a reviewer reads. No time stands in the text: it is reproducible.

use crate::formats::yaml::edit;
use crate::formats::yaml::emit::emit;
use crate::model::decision::{LeftAlone, ProposedMove, measured};
use crate::model::desired::Desired;
use crate::model::engine::gib;
use crate::model::ids::{ClaimRef, PolicyName};
use crate::model::kinds::API_VERSION;
use crate::model::rendering::{FileChange, ProposalText};
use crate::render::markdown::{counted, plain, shown};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Pools that are listed for a move; the roomiest come first.
const POOLS_MAX: usize = 5;

/// Volumes that are listed as left alone; more are counted. GitHub takes 65,536 characters in all.
const LEFT_MAX: usize = 50;

/// Where proposals are written, and how they are marked.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    /// What the names of branches start with.
    pub prefix: &'a str,
    /// The folder of the assignments, from the repository's root.
    pub assignments: &'a str,
    /// The trailer by which a commit is known again.
    pub trailer: &'a str,
    /// Whether a forge shows the text as a pull request.
    pub forge: bool,
}

/// Renders the moves of a policy, without those whose file cannot be edited without touching what people wrote around it: these are
/// given back with the reason. `left_alone` are the policy's other volumes.
pub fn render(
    policy: &PolicyName,
    moves: &[&ProposedMove],
    left_alone: &[&LeftAlone],
    desired: &Desired,
    site: Site,
) -> (Option<ProposalText>, Vec<(ClaimRef, String)>) {
    let (mut files, mut kept, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for one in moves {
        match file(one, desired) {
            Ok(content) => {
                files.push(FileChange {
                    path: format!(
                        "{}/{}/{}.yaml",
                        site.assignments, one.claim.namespace, one.claim.name
                    ),
                    content: Some(content.into_bytes()),
                });
                kept.push((*one).clone());
            }
            Err(error) => refused.push((one.claim.clone(), error)),
        }
    }
    if kept.is_empty() {
        return (None, refused);
    }
    let name = shown(policy.as_str());
    let (key, title) = (key(policy, &kept), title(&name, &kept));
    let reasons: Vec<String> = kept
        .iter()
        .map(|one| format!("{}: {}", owner(one), reason(one)))
        .collect();
    let text = ProposalText {
        commit_message: format!(
            "{title}\n\n{}\n\nMerging this approves {}.\n\n{}: {key}\n",
            reasons.join("\n"),
            if kept.len() == 1 { "the move" } else { "the moves" },
            site.trailer
        ),
        branch: format!("{}moves/{}", site.prefix, policy.as_str()),
        body: body(&name, &kept, left_alone, site),
        key,
        title,
        files,
        policy: policy.clone(),
        moves: kept,
    };
    (Some(text), refused)
}

/// Names the set of moves.
fn key(policy: &PolicyName, moves: &[ProposedMove]) -> String {
    let mut hash = Sha256::new();
    for one in moves {
        for part in [
            &one.claim.namespace,
            &one.claim.name,
            &one.volume.0,
            &one.from.0,
            &one.to.0,
        ] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
    }
    let digest: String = hash.finalize()[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{}/{digest}", shown(policy.as_str()))
}

fn owner(one: &ProposedMove) -> String {
    shown(&one.claim.to_string())
}

fn title(policy: &str, moves: &[ProposedMove]) -> String {
    match moves {
        [one] => format!(
            "Move {} from {} to {}",
            owner(one),
            shown(one.from.as_str()),
            shown(one.to.as_str())
        ),
        _ => {
            let to_hotter = moves.iter().filter(|one| one.hotter).count();
            let to_colder = moves.len() - to_hotter;
            let parts: Vec<String> = [(to_hotter, "hotter"), (to_colder, "colder")]
                .into_iter()
                .filter(|(count, _)| *count > 0)
                .map(|(count, tier)| format!("{count} to {tier} tiers"))
                .collect();
            format!("Move {} volumes by {policy}: {}", moves.len(), parts.join(", "))
        }
    }
}

/// What one move rests on.
fn reason(one: &ProposedMove) -> String {
    let note = &one.note;
    let measured = measured(&shown(&note.signal), note.value);
    let policy = shown(one.policy.as_str());
    let side = if one.hotter {
        "at or above the high"
    } else {
        "below the low"
    };
    match (note.watermark, &note.window) {
        (Some(watermark), Some(window)) => format!(
            "It averaged {measured} over {}, {side} watermark of {watermark} (StoragePolicy `{policy}`).",
            shown(window),
        ),
        // What was encrypted stays unsaid.
        _ => format!("It averaged {measured}, {side} (encrypted) watermark of StoragePolicy `{policy}`."),
    }
}

fn body(policy: &str, moves: &[ProposedMove], left_alone: &[&LeftAlone], site: Site) -> String {
    let one = moves.len() == 1;
    let them = if one { "the volume" } else { "the volumes" };
    let mut body = match moves {
        [one] => format!("{}\n\n", reason(one)),
        _ => format!(
            "StoragePolicy `{policy}` finds {} volumes on the wrong tier.\n\n",
            moves.len()
        ),
    };
    body.push_str("| volume | from | to | observed | threshold | to copy | a month | pools with room |\n");
    body.push_str("| --- | --- | --- | --- | --- | --- | --- | --- |\n");
    for one in moves {
        body.push_str(&row(one));
    }
    let costs: Vec<f64> = moves.iter().filter_map(|one| one.monthly_cost).collect();
    let copied = moves.iter().fold(0_u64, |sum, one| sum.saturating_add(one.bytes));
    if moves.len() > 1 {
        let cost = match costs.len() == moves.len() {
            true => format!("{:+.2}", costs.iter().sum::<f64>()),
            false => "–".to_owned(),
        };
        body.push_str(&format!("| **all** | | | | | {} | {cost} | |\n", gib(copied)));
    }
    body.push_str(
        "\n**Yes:** merge this. A complete copy is made on the new tier before the old one is removed, and the load is looked at once \
         more before anything starts.\n\n",
    );
    if !one {
        body.push_str(
            "**Some of it:** delete the files of the others from this branch, and merge. couchestor does not write to a branch that a \
             person has changed.\n\n",
        );
    }
    let no = if site.forge {
        "close this without merging"
    } else {
        "delete the branch"
    };
    body.push_str(&format!(
        "**No:** {no}. {} asked for again only when the load or the policy has changed materially.\n\n\
         **Undo:** revert the merge; that moves {them} back.\n",
        if one { "The move is" } else { "The moves are" }
    ));
    if !left_alone.is_empty() {
        body.push_str(&format!(
            "\n<details><summary>{} of this policy stay where they are</summary>\n\n| volume | tier | why |\n| --- | --- | --- |\n",
            counted(left_alone.len(), "other volume")
        ));
        for left in left_alone.iter().take(LEFT_MAX) {
            let (namespace, claim) = left.claim();
            let tier = left.tier.map_or("–".to_owned(), |tier| shown(tier.as_str()));
            let claim = shown(&format!("{namespace}/{claim}"));
            body.push_str(&format!("| `{claim}` | {tier} | {} |\n", plain(&left.words())));
        }
        if left_alone.len() > LEFT_MAX {
            body.push_str(&format!("\n… and {} more.\n", left_alone.len() - LEFT_MAX));
        }
        body.push_str("\n</details>\n");
    }
    body
}

fn row(one: &ProposedMove) -> String {
    let note = &one.note;
    let threshold = note.watermark.map_or_else(
        || "encrypted".to_owned(),
        |watermark| {
            format!(
                "{} {}",
                if one.hotter { "≥" } else { "<" },
                measured(&shown(&note.signal), watermark)
            )
        },
    );
    let over = note
        .window
        .as_ref()
        .map(|window| format!(" over {}", shown(window)))
        .unwrap_or_default();
    let pools: Vec<String> = one
        .candidates
        .iter()
        .take(POOLS_MAX)
        .map(|pool| format!("`{}`", shown(pool.as_str())))
        .collect();
    let more = match one.candidates.len().saturating_sub(POOLS_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "| `{}` | {} | {} | {}{over} | {threshold} | {} | {} | {}{more} |\n",
        owner(one),
        shown(one.from.as_str()),
        shown(one.to.as_str()),
        measured(&shown(&note.signal), note.value),
        gib(one.bytes),
        one.monthly_cost
            .map_or_else(|| "–".to_owned(), |cost| format!("{cost:+.2}")),
        pools.join(", "),
    )
}

/// The assignment's file: a new one, or the old one with its values changed and everything else as people left it.
fn file(proposed: &ProposedMove, desired: &Desired) -> Result<String, String> {
    let note = json!(proposed.note);
    let Some(known) = desired.assignments.get(&proposed.claim) else {
        return Ok(format!(
            "---\n{}",
            emit(&json!({
                "apiVersion": API_VERSION,
                "kind": "TierAssignment",
                "metadata": {"name": proposed.claim.name, "namespace": proposed.claim.namespace},
                "spec": {
                    "claim": proposed.claim.name,
                    "volume": proposed.volume.as_str(),
                    "tier": proposed.to.as_str(),
                    "decision": note,
                },
            }))
        ));
    };
    if known.secret {
        // An edit would commit the clear text.
        return Err(format!(
            "{}: the file is encrypted, and couchestor commits no clear text; nothing in an assignment is secret: run `sops decrypt --in-place {}` and commit it",
            known.path, known.path
        ));
    }
    let mut text = known.text.clone();
    let mut set = |pointer: &str, value: &Value| -> Result<(), String> {
        text = edit::set(&text, 0, pointer, value).map_err(|error| format!("{}: {error}", known.path))?;
        Ok(())
    };
    set("/spec/volume", &json!(proposed.volume.as_str()))?;
    set("/spec/tier", &json!(proposed.to.as_str()))?;
    if known.decision.is_none() {
        set("/spec/decision", &note)?;
        return Ok(text);
    }
    for (field, value) in note.as_object().into_iter().flatten() {
        set(&format!("/spec/decision/{field}"), value)?;
    }
    // What an earlier decision said and this one may not, because its policy is encrypted now.
    let old = known.decision.as_ref().map(|decision| json!(decision));
    for field in ["watermark", "window"] {
        if note.get(field).is_none() && old.as_ref().is_some_and(|old| old.get(field).is_some()) {
            let pointer = format!("/spec/decision/{field}");
            text = edit::remove(&text, 0, &pointer).map_err(|error| format!("{}: {error}", known.path))?;
        }
    }
    Ok(text)
}
