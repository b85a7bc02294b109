//! A proposed move → its branch, its file and what a reviewer reads. No time stands in the text: it is reproducible.

use crate::formats::yaml::edit;
use crate::formats::yaml::emit::emit;
use crate::model::decision::{ProposedMove, measured};
use crate::model::desired::Desired;
use crate::model::engine::gib;
use crate::model::kinds::API_VERSION;
use crate::model::rendering::{FileChange, ProposalText};
use serde_json::{Value, json};

/// Longest name that is shown; Kubernetes allows 253 characters.
const NAME_MAX: usize = 253;

/// Pools that are listed; the roomiest come first.
const POOLS_MAX: usize = 20;

/// A name as people read it, wherever a forge shows it: nobody can be mentioned by one, nothing linked, no line or table broken.
/// Kubernetes' own names have no other characters.
fn shown(name: &str) -> String {
    let good = |one: char| one.is_ascii_alphanumeric() || matches!(one, '-' | '_' | '.' | '/');
    let kept = name.chars().take(NAME_MAX);
    kept.map(|one| if good(one) { one } else { '?' }).collect()
}

/// Renders a proposal.
///
/// # Errors
/// Why the assignment's file cannot be edited without touching what people wrote around it.
pub fn render(
    proposed: &ProposedMove,
    desired: &Desired,
    prefix: &str,
    assignments: &str,
    trailer: &str,
) -> Result<ProposalText, String> {
    let claim = &proposed.claim;
    let branch = format!("{prefix}tier/{}/{}", claim.namespace, claim.name);
    let note = &proposed.note;
    let (from, to) = (shown(proposed.from.as_str()), shown(proposed.to.as_str()));
    let owner = shown(&claim.to_string());
    let title = format!("Move {owner} from {from} to {to}");
    let key = format!(
        "{}/{}/{}-{}",
        shown(proposed.policy.as_str()),
        shown(proposed.volume.as_str()),
        from,
        to
    );
    let measured = measured(&shown(&note.signal), note.value);
    let policy = shown(proposed.policy.as_str());
    let side = if proposed.hotter {
        "at or above the high"
    } else {
        "below the low"
    };
    let reason = match (note.watermark, &note.window) {
        (Some(watermark), Some(window)) => format!(
            "It averaged {measured} over {}, {side} watermark of {watermark} (StoragePolicy `{policy}`).",
            shown(window),
        ),
        // What was encrypted stays unsaid.
        _ => format!(
            "It averaged {measured}, {side} watermark of StoragePolicy `{policy}`, which is encrypted."
        ),
    };
    let pools = proposed.candidates.iter().take(POOLS_MAX);
    let pools: Vec<String> = pools.map(|pool| format!("`{}`", shown(pool.as_str()))).collect();
    let body = format!(
        "{reason}\n\n\
         | | |\n| --- | --- |\n| claim | `{owner}` |\n| volume | `{}` |\n| from | `{from}` |\n| to | `{to}` |\n\
         | pools that could take it now | {} |\n| bytes to copy | {} |\n\n\
         Merging approves the move: a complete copy is made on `{to}` before the old one is removed. \
         Deleting the branch declines it. Reverting the merge moves the volume back.\n",
        shown(proposed.volume.as_str()),
        pools.join(", "),
        gib(proposed.bytes),
    );
    let content = file(proposed, desired)?;
    let path = format!("{assignments}/{}/{}.yaml", claim.namespace, claim.name);
    Ok(ProposalText {
        commit_message: format!(
            "{title}\n\n{reason}\n\nMerging this approves the move.\n\n{trailer}: {key}\n"
        ),
        branch,
        key,
        title,
        body,
        files: vec![FileChange {
            path,
            content: Some(content.into_bytes()),
        }],
        claim: claim.clone(),
        volume: proposed.volume.clone(),
        from: proposed.from.clone(),
        to: proposed.to.clone(),
        note: note.clone(),
    })
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
    } else {
        // The whole of it: a field of the old one may have no place in the new one.
        set("/spec/decision", &note)?;
    }
    Ok(text)
}
