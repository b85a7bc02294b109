//! Assignments that are taken back → one branch, its files and what a reviewer reads.

use super::markdown::{counted, plain, shown};
use super::proposal::Site;
use crate::formats::yaml::edit;
use crate::model::decision::ProposedMove;
use crate::model::desired::Desired;
use crate::model::ids::{ClaimRef, PolicyName, hex};
use crate::model::kinds::volume_migration::Phase;
use crate::model::rendering::{FileChange, ProposalText};
use serde_json::json;
use sha2::{Digest, Sha256};

/// One assignment that is taken back.
#[derive(Clone, Copy)]
pub struct Back<'a> {
    /// From the tier that base says to the one that it should say.
    pub back: &'a ProposedMove,
    /// The migration.
    pub migration: &'a str,
    /// What became of it.
    pub what: What<'a>,
}

/// What became of a move that is taken back. Those of one proposal are of one kind.
#[derive(Clone, Copy)]
pub enum What<'a> {
    /// It failed.
    Failed {
        /// How it ended.
        phase: Phase,
        /// Why, in its own words.
        message: &'a str,
    },
    /// The volume has answered more slowly since.
    Slower {
        /// Mean latency before, in milliseconds.
        before: f64,
        /// Mean latency after.
        after: f64,
    },
}

/// Renders what takes moves of a policy back, without those whose file cannot be edited: these are given back with the
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
    let title = title(&kept);
    let key = key(identity, &kept);
    let reasons: Vec<String> = kept
        .iter()
        .map(|one| {
            let claim = shown(&one.back.claim.to_string());
            let (migration, here) = (shown(one.migration), shown(one.back.to.as_str()));
            match one.what {
                What::Failed { phase, .. } => {
                    format!(
                        "{claim}: {migration} ended as {}; it is on {here}",
                        phase.as_str()
                    )
                }
                What::Slower { before, after } => {
                    let (before, after) = (milliseconds(before), milliseconds(after));
                    format!("{claim}: latency {before} before {migration}, {after} after it")
                }
            }
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
    format!("{}/{}", identity.as_str(), hex(&hash.finalize()[..8]))
}

fn title(kept: &[Back]) -> String {
    let slower = matches!(
        kept,
        [
            Back {
                what: What::Slower { .. },
                ..
            },
            ..
        ]
    );
    match kept {
        [one] => {
            let claim = shown(&one.back.claim.to_string());
            match slower {
                true => format!(
                    "Move {claim} back to {}: it became slower",
                    shown(one.back.to.as_str())
                ),
                false => format!(
                    "Take back the failed move of {claim} to {}",
                    shown(one.back.from.as_str())
                ),
            }
        }
        _ if slower => format!("Move {} back that became slower", counted(kept.len(), "volume")),
        _ => format!("Take back {}", counted(kept.len(), "failed move")),
    }
}

/// Three digits are enough to compare by.
fn milliseconds(value: f64) -> String {
    match value {
        large if large >= 100.0 => format!("{large:.0} ms"),
        medium if medium >= 1.0 => format!("{medium:.2} ms"),
        small => format!("{small:.3} ms"),
    }
}

/// Longest table, in characters: with the words around it a text stays below what every forge takes.
const TABLE_MAX: usize = 50_000;

/// Adds rows to a table while they fit, and says how many more there are.
fn rows(body: &mut String, rows: impl Iterator<Item = String>) {
    let (mut length, mut left) = (0, 0_usize);
    for row in rows {
        length += row.chars().count();
        match length <= TABLE_MAX && left == 0 {
            true => body.push_str(&row),
            false => left += 1,
        }
    }
    if left > 0 {
        body.push_str(&format!("\n… and {left} more, each a file of this branch.\n"));
    }
}

/// How to say no.
fn no(site: Site) -> &'static str {
    match site.forge {
        true => "close this without merging",
        false => "delete the branch",
    }
}

fn body(all: &[Back], site: Site) -> String {
    match all {
        [
            Back {
                what: What::Slower { .. },
                ..
            },
            ..,
        ] => slower(all, site),
        _ => failed(all, site),
    }
}

/// Of the threshold nothing is said: it may have been encrypted.
fn slower(all: &[Back], site: Site) -> String {
    let mut body = String::from(
        "Since couchestor moved these volumes, they answer more slowly than the policy's `rollback` allows. Merging this moves them \
         back.\n\n| volume | was moved | mean latency before | mean latency after | by |\n| --- | --- | --- | --- | --- |\n",
    );
    let row = |one: &Back| {
        let What::Slower { before, after } = one.what else {
            return None;
        };
        Some(format!(
            "| `{}` | {} → {} | {} | {} | `{}` |\n",
            shown(&one.back.claim.to_string()),
            shown(one.back.to.as_str()),
            shown(one.back.from.as_str()),
            milliseconds(before),
            milliseconds(after),
            shown(one.migration),
        ))
    };
    rows(&mut body, all.iter().filter_map(row));
    body.push_str(&format!(
        "\nBoth are means over the policy's `samplingWindow`: the last one before the move, and one after it. The load may have \
         changed as well: a look at it is worth its time.\n\n\
         **Yes:** merge this. The volumes are copied once more, and the policy may propose the move again after its \
         `cooldownPeriod`; write `pinned: true` into the assignment of one that is to stay.\n\n\
         **A part of it:** set the tier of the others again on this branch, and merge.\n\n\
         **No:** {}. The volumes stay where they are, and this is not asked for again after these moves.\n",
        no(site)
    ));
    body
}

fn failed(all: &[Back], site: Site) -> String {
    let mut body = String::from(
        "The base branch says where these volumes belong, and the moves there did not succeed. Merging this makes it say where they \
         are; nothing is copied for that.\n\n| volume | base says | it is on | what happened |\n| --- | --- | --- | --- |\n",
    );
    let row = |one: &Back| {
        let What::Failed { phase, message } = one.what else {
            return None;
        };
        let how = match phase {
            Phase::NeedsPerson => "stopped, and needs a person",
            _ => "rolled back",
        };
        Some(format!(
            "| `{}` | {} | {} | {how} (`{}`): {} |\n",
            shown(&one.back.claim.to_string()),
            shown(one.back.from.as_str()),
            shown(one.back.to.as_str()),
            shown(one.migration),
            plain(message),
        ))
    };
    rows(&mut body, all.iter().filter_map(row));
    let no = no(site);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::kinds::tier_assignment::DecisionNote;
    use crate::model::pull_request::ForgeKind;

    #[test]
    fn a_text_of_thousands_fits_on_every_forge_and_says_how_many_are_left_out() {
        let back = ProposedMove {
            claim: ClaimRef {
                namespace: "n".repeat(63),
                name: "c".repeat(253),
            },
            volume: "pvc".into(),
            policy: "p".into(),
            from: "hot".into(),
            to: "cold".into(),
            hotter: false,
            note: DecisionNote::bare("p".into(), "hot".into(), "failed m".into(), 0.0),
            candidates: Vec::new(),
            bytes: 0,
            monthly_cost: None,
        };
        let message = "*".repeat(1000);
        let failed = What::Failed {
            phase: Phase::RolledBack,
            message: &message,
        };
        let slower = What::Slower {
            before: 1.0,
            after: 2.0,
        };
        let site = Site {
            prefix: "",
            assignments: "",
            trailer: "",
            forge: true,
            pace: None,
        };
        for what in [failed, slower] {
            let one = Back {
                back: &back,
                migration: "m",
                what,
            };
            for (count, whole) in [(3, true), (5000, false)] {
                let text = body(&vec![one; count], site);
                let told = text.matches("| `nnn").count();
                assert!(text.chars().count() <= ForgeKind::Github.limits().body);
                assert!(text.contains("**No:**"), "how to answer is always said");
                assert_eq!(told == count, whole);
                let more = format!("… and {} more", count - told);
                assert_eq!(text.contains(&more), !whole);
            }
        }
    }
}
