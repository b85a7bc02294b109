//! The moves of a policy → one branch, its files and what a reviewer reads. No time stands in the text: it is reproducible.

use crate::model::decision::{LeftAlone, ProposedMove};
use crate::model::desired::Desired;
use crate::model::ids::{ClaimRef, PolicyName, hex};
use crate::model::pace::Pace;
use crate::model::rendering::{FileChange, ProposalText};
use crate::render::markdown::{bare, plain, shown};
use page::{Page, owner, reason};
use sha2::{Digest, Sha256};

/// The assignment's file.
mod file;

/// What a template gets.
mod page;

/// Texts that people may write themselves.
mod template;

#[cfg(test)]
mod tests;

pub use template::{BUILT_IN, TEMPLATE_BYTES_MAX, Template};

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
    /// How fast moves were until now, when that is of interest.
    pub pace: Option<&'a Pace>,
}

/// What became of the moves of a policy.
#[derive(Debug, Default)]
pub struct Rendered {
    /// The proposal, when anything is left of it.
    pub text: Option<ProposalText>,
    /// Moves whose file cannot be edited, and why.
    pub refused: Vec<(ClaimRef, String)>,
    /// What is wrong with the template: then the built-in one was used.
    pub complaint: Option<String>,
}

/// Renders the moves of a policy, without those whose file cannot be edited without touching what people wrote around it: these are
/// given back with the reason. `left_alone` are the policy's other volumes.
pub fn render(
    policy: &PolicyName,
    moves: &[&ProposedMove],
    left_alone: &[&LeftAlone],
    desired: &Desired,
    site: Site,
    template: &Template,
) -> Rendered {
    let (mut files, mut kept, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for one in moves {
        match file::file(one, desired) {
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
        return Rendered {
            refused,
            ..Rendered::default()
        };
    }
    let name = bare(policy.as_str());
    let (key, summary) = (key(policy, &kept), title(&name, &kept));
    let rule = desired.policies.get(policy);
    let page = Page::new((&name, rule), &summary, &kept, left_alone, site);
    let (written, complaint) = template.write(&page);
    let reasons: Vec<String> = kept
        .iter()
        .map(|one| format!("{}: {}", owner(one), reason(one)))
        .collect();
    let text = ProposalText {
        commit_message: format!(
            "{summary}\n\n{}\n\nMerging this approves {}.\n\n{}: {key}\n",
            reasons.join("\n"),
            if kept.len() == 1 { "the move" } else { "the moves" },
            site.trailer
        ),
        branch: format!("{}moves/{}", site.prefix, policy.as_str()),
        title: written.title,
        body: written.body,
        key,
        files,
        policy: policy.clone(),
        moves: kept,
    };
    Rendered {
        text: Some(text),
        refused,
        complaint,
    }
}

/// Moves whose reasons are told one by one when a proposal is withdrawn.
const REASONS_MAX: usize = 50;

/// What is said when a proposal is withdrawn: its claims, and why each is not asked for any more.
pub fn withdrawn(reasons: impl ExactSizeIterator<Item = (String, String)>) -> String {
    let more = reasons.len().saturating_sub(REASONS_MAX);
    let lines = reasons.take(REASONS_MAX);
    let mut lines: Vec<String> = lines
        .map(|(claim, words)| format!("- `{}`: {}", shown(&claim), plain(&words)))
        .collect();
    if more > 0 {
        lines.push(format!("- and {more} more"));
    }
    format!(
        "These moves are not proposed any more:\n\n{}\n\ncouchestor has closed this and will ask again if they are needed.",
        lines.join("\n")
    )
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
    format!("{}/{}", shown(policy.as_str()), hex(&hash.finalize()[..8]))
}

fn title(policy: &str, moves: &[ProposedMove]) -> String {
    match moves {
        [one] => format!(
            "Move {} from {} to {}",
            owner(one),
            bare(one.from.as_str()),
            bare(one.to.as_str())
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
