//! The assignment's file of a proposed move: a new one, or the old one with its values changed.

use crate::formats::yaml::edit;
use crate::formats::yaml::emit::emit;
use crate::model::decision::ProposedMove;
use crate::model::desired::Desired;
use crate::model::kinds::API_VERSION;
use serde_json::{Value, json};

/// The assignment's file: a new one, or the old one with its values changed and everything else as people left it.
pub(super) fn file(proposed: &ProposedMove, desired: &Desired) -> Result<String, String> {
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
    // What an earlier decision said and this one does not, or may not, because its policy is encrypted now.
    let old = known.decision.as_ref().map(|decision| json!(decision));
    for field in ["watermark", "window", "percentile", "also", "sustainedFor"] {
        if note.get(field).is_none() && old.as_ref().is_some_and(|old| old.get(field).is_some()) {
            let pointer = format!("/spec/decision/{field}");
            text = edit::remove(&text, 0, &pointer).map_err(|error| format!("{}: {error}", known.path))?;
        }
    }
    Ok(text)
}
