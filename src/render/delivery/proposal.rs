//! What differs → the proposal that a person merges.

use super::Changes;
use crate::model::ids::{CommitId, PolicyName, Revision};
use crate::model::rendering::ProposalText;
use crate::render::markdown::{code, plain};

/// Rows of the table in a pull request: a forge shows no more of a large change either, and each is a file of the branch.
const ROWS_MAX: usize = 200;

/// What deliveries are called among proposals, before the branch that they go to. No policy has such a name, because it holds a slash.
pub(super) const IDENTITY: &str = "delivery/";

/// What the delivery to a branch is called among proposals: one to another branch is another one.
pub fn identity(branch: &str) -> PolicyName {
    PolicyName(format!("{IDENTITY}{branch}"))
}

/// What the names of branches begin with that deliver into a folder.
pub fn branch(prefix: &str, folder: &str) -> String {
    let slug: String = folder
        .chars()
        .map(|one| if one.is_ascii_alphanumeric() { one } else { '-' })
        .collect();
    format!("{prefix}delivery/{slug}")
}

/// The proposal that writes the manifests; nothing where the folder is as it should be.
pub fn proposal(
    changes: &Changes,
    (folder, source): (&str, &str),
    (prefix, base_branch, trailer): (&str, &str, &str),
    revision: &Revision,
    forge: bool,
) -> Option<ProposalText> {
    if changes.is_nothing() {
        return None;
    }
    let counts = [
        (changes.added.len(), "new"),
        (changes.changed.len(), "changed"),
        (changes.removed.len(), "removed"),
    ];
    let counts: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    let summary = match counts.as_slice() {
        [] => "the list of manifests".to_owned(),
        counts => format!("manifests: {}", counts.join(", ")),
    };
    let title = format!("Deliver storage {summary}");
    let CommitId(commit) = &revision.commit;
    Some(ProposalText {
        branch: branch(prefix, folder),
        key: changes.key.clone(),
        body: body(changes, (folder, source), forge),
        commit_message: format!(
            "{title}\n\nWhat couchestor renders for {source}, as files in {folder}.\n\nRendered-From: {commit}\n{trailer}: {}\n",
            changes.key
        ),
        title,
        files: changes.writes.clone(),
        policy: identity(base_branch),
        moves: Vec::new(),
    })
}

fn body(changes: &Changes, (folder, source): (&str, &str), forge: bool) -> String {
    let no = if forge {
        "close this without merging"
    } else {
        "delete the branch"
    };
    let mut body = format!(
        "The manifests that couchestor renders for PolicySource {} are to be written to {}. couchestor applies none of them: Flux, or \
         whoever applies that folder, does.\n\n",
        code(source),
        code(folder)
    );
    let row =
        |action: &str, path: &str, what: &str| format!("| {action} | {} | {} |\n", code(path), plain(what));
    let rows = changes
        .added
        .iter()
        .map(|(path, what)| row("new", path, what))
        .chain(
            changes
                .changed
                .iter()
                .map(|(path, what)| row("changed", path, what)),
        )
        .chain(
            changes
                .removed
                .iter()
                .map(|path| row("removed", path, "left Git: whoever applies the folder removes it")),
        )
        .chain(changes.kept.iter().map(|(path, why)| row("stays", path, why)));
    let rows: Vec<String> = rows.collect();
    if !rows.is_empty() {
        body.push_str("| | file | holds |\n| --- | --- | --- |\n");
        body.extend(rows.iter().take(ROWS_MAX).map(String::as_str));
        if let more @ 1.. = rows.len().saturating_sub(ROWS_MAX) {
            body.push_str(&format!("\n… and {more} more, each a file of this branch.\n"));
        }
    }
    body.push_str(&format!(
        "\n**Yes:** merge this.\n\n**No:** {no}. It is asked again when something else is rendered.\n\n**Something else:** change the policies, \
         and this follows; what is written into this branch by hand ends that, and is overwritten by the next delivery.\n"
    ));
    body
}
