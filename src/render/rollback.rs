//! Assignments that are taken back → one branch, its files and what a reviewer reads.

use super::markdown::{counted, plain, shown};
use super::proposal::Site;
use crate::formats::yaml::edit;
use crate::model::decision::ProposedMove;
use crate::model::desired::Desired;
use crate::model::ids::{ClaimRef, PolicyName};
use crate::model::kinds::volume_migration::Phase;
use crate::model::rendering::{FileChange, ProposalText};
use serde_json::json;
use sha2::{Digest, Sha256};

/// One assignment that is taken back.
#[derive(Clone, Copy)]
pub struct Back<'a> {
    /// From the tier that base says to the one on which the volume is.
    pub back: &'a ProposedMove,
    /// The migration that failed.
    pub migration: &'a str,
    /// How it ended.
    pub phase: Phase,
    /// Why, in its own words.
    pub message: &'a str,
}

/// Renders what takes the failed moves of a policy back, without those whose file cannot be edited: these are given back with the
/// reason.
pub fn render(
    identity: &PolicyName,
    all: &[Back],
    desired: &Desired,
    site: Site,
) -> (Option<ProposalText>, Vec<(ClaimRef, String)>) {
    let (mut files, mut kept, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for one in all {
        match file(one.back, desired) {
            Ok(change) => {
                files.push(change);
                kept.push(*one);
            }
            Err(error) => refused.push((one.back.claim.clone(), error)),
        }
    }
    if kept.is_empty() {
        return (None, refused);
    }
    let title = match kept.as_slice() {
        [one] => format!(
            "Take back the failed move of {} to {}",
            shown(&one.back.claim.to_string()),
            shown(one.back.from.as_str())
        ),
        _ => format!("Take back {}", counted(kept.len(), "failed move")),
    };
    let key = key(identity, &kept);
    let reasons: Vec<String> = kept
        .iter()
        .map(|one| {
            let claim = shown(&one.back.claim.to_string());
            let (migration, here) = (shown(one.migration), shown(one.back.to.as_str()));
            format!(
                "{claim}: {migration} ended as {}; it is on {here}",
                one.phase.as_str()
            )
        })
        .collect();
    let text = ProposalText {
        commit_message: format!("{title}\n\n{}\n\n{}: {key}\n", reasons.join("\n"), site.trailer),
        branch: format!("{}{}", site.prefix, identity.as_str()),
        body: body(&kept, site),
        key,
        title,
        files,
        policy: identity.clone(),
        moves: kept.iter().map(|one| one.back.clone()).collect(),
    };
    (Some(text), refused)
}

fn key(identity: &PolicyName, all: &[Back]) -> String {
    let mut hash = Sha256::new();
    for one in all {
        let claim = one.back.claim.to_string();
        for part in [
            &claim,
            &one.back.volume.0,
            &one.back.from.0,
            &one.back.to.0,
            one.migration,
        ] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
    }
    let digest: String = hash.finalize()[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{}/{digest}", identity.as_str())
}

fn body(all: &[Back], site: Site) -> String {
    let mut body = String::from(
        "The base branch says where these volumes belong, and the moves there did not succeed. Merging this makes it say where they \
         are; nothing is copied for that.\n\n| volume | base says | it is on | what happened |\n| --- | --- | --- | --- |\n",
    );
    for one in all {
        let how = match one.phase {
            Phase::NeedsPerson => "stopped, and needs a person",
            _ => "rolled back",
        };
        body.push_str(&format!(
            "| `{}` | {} | {} | {how} (`{}`): {} |\n",
            shown(&one.back.claim.to_string()),
            shown(one.back.from.as_str()),
            shown(one.back.to.as_str()),
            shown(one.migration),
            plain(one.message),
        ));
    }
    let no = match site.forge {
        true => "close this without merging",
        false => "delete the branch",
    };
    body.push_str(&format!(
        "\n**Yes:** merge this. The policy may propose the move again when the load asks for it.\n\n\
         **Try again instead:** mend the cause and commit any change to the assignment; this is withdrawn then.\n\n\
         **No:** {no}. The assignment stays as it is, and this is not asked for again.\n"
    ));
    body
}

/// The assignment's file with the tier on which the volume is; what spoke for the other one is taken out.
fn file(back: &ProposedMove, desired: &Desired) -> Result<FileChange, String> {
    let known = desired.assignments.get(&back.claim);
    let known = known.ok_or_else(|| "there is no assignment any more".to_owned())?;
    if known.secret {
        // An edit would commit the clear text.
        return Err(format!(
            "{}: the file is encrypted, and couchestor commits no clear text; run `sops decrypt --in-place {}` and commit it",
            known.path, known.path
        ));
    }
    let wrong = |error: edit::EditError| format!("{}: {error}", known.path);
    let mut text = edit::set(&known.text, 0, "/spec/tier", &json!(back.to.as_str())).map_err(wrong)?;
    if known.decision.is_some() {
        text = edit::remove(&text, 0, "/spec/decision").map_err(wrong)?;
    }
    Ok(FileChange {
        path: known.path.clone(),
        content: Some(text.into_bytes()),
    })
}
