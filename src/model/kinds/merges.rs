//! Who merged and who approved, as the forge says: which approvals a source demands, and what it remembers of each merge.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Approvals that are demanded of the pull request that brings a move to the base branch, beside its merge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalRule {
    /// How many people must approve; couchestor and the author of the pull request do not count.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 50))]
    pub count: u32,

    /// Whose approvals count, by their logins on the forge. When nobody is named, those of the repository's own people: on
    /// GitHub its owners, members and collaborators, on Gitea those who may write to the branch, on GitLab all who can approve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<String>,

    /// Whether only approvals of exactly the head that was merged count, and not those that were given before the last push.
    #[serde(default)]
    pub head_only: bool,
}

fn one() -> u32 {
    1
}

/// What the forge says of a commit on the base branch that approves moves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MergeStatus {
    /// The commit.
    pub commit: String,
    /// The pull request that brought it; absent when somebody pushed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// Where people see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The head that was merged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// Who opened it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Who merged it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged_by: Option<String>,
    /// Who approves it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approved_by: Vec<Reviewer>,
    /// Our own login, whose approval would be none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub own: String,
    /// When the forge was asked first, RFC 3339.
    pub since: String,
    /// When the forge was asked last, RFC 3339.
    pub asked: String,
    /// Identifies what was told there about the moves.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub told: String,
    /// When that was told, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_at: Option<String>,
}

/// Somebody who approves a pull request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reviewer {
    /// Their login on the forge.
    pub login: String,
    /// The head that they approved, when the forge tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
}

/// Digits of a commit that people read.
const SHORT: usize = 10;

fn short(commit: &str) -> String {
    commit.chars().take(SHORT).collect()
}

/// Forges take a login for the same however it is written.
fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

impl ApprovalRule {
    /// What is missing, in words; `None` when nothing is.
    pub fn missing(&self, merge: &MergeStatus) -> Option<String> {
        if merge.number.is_none() {
            return Some(format!(
                "commit {} came by no pull request, and `proposals.approvals` demands one that {} approved",
                short(&merge.commit),
                self.whom()
            ));
        }
        let counts = |one: &&Reviewer| {
            let named = self.from.is_empty() || self.from.iter().any(|login| same(login, &one.login));
            let own = same(&one.login, &merge.own)
                || merge
                    .author
                    .as_ref()
                    .is_some_and(|author| same(author, &one.login));
            let of_head = !self.head_only || merge.head.is_some() && one.head == merge.head;
            named && !own && of_head
        };
        let has = merge.approved_by.iter().filter(counts).count();
        (has < self.count as usize).then(|| {
            format!(
                "approved by {has} of {} that `proposals.approvals` demands ({})",
                self.count,
                self.whom()
            )
        })
    }

    fn whom(&self) -> String {
        let whom = match self.from.is_empty() {
            true => "anybody but its author".to_owned(),
            false => self.from.join(", "),
        };
        match self.head_only {
            true => format!("{whom}; of the head that was merged"),
            false => whom,
        }
    }
}

impl MergeStatus {
    /// Who approves, each with the head that they saw.
    pub fn reviewers(&self) -> Vec<String> {
        let shown = |one: &Reviewer| match &one.head {
            Some(head) => format!("{} ({})", one.login, short(head)),
            None => one.login.clone(),
        };
        self.approved_by.iter().map(shown).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;

    fn by(login: &str, head: Option<&str>) -> Reviewer {
        Reviewer {
            login: login.to_owned(),
            head: head.map(str::to_owned),
        }
    }

    #[test]
    fn approvals_count_when_they_are_the_right_ones() {
        let rule = |count, from: &[&str], head_only| ApprovalRule {
            count,
            from: from.iter().map(|one| (*one).to_owned()).collect(),
            head_only,
        };
        let two = vec![by("ann", Some("h1")), by("ben", Some("h2"))];
        for (what, rule, approved_by, holds) in [
            ("nobody", rule(1, &[], false), vec![], false),
            ("one of one", rule(1, &[], false), vec![by("ann", None)], true),
            ("one of two", rule(2, &[], false), vec![by("ann", None)], false),
            ("two of two", rule(2, &[], false), two.clone(), true),
            (
                "one is not asked",
                rule(2, &["ann", "cid"], false),
                two.clone(),
                false,
            ),
            (
                "however it is written",
                rule(1, &["ANN"], false),
                two.clone(),
                true,
            ),
            ("an older head", rule(2, &[], true), two.clone(), false),
            ("the head", rule(1, &["ben"], true), two, true),
            (
                "of no head in particular",
                rule(1, &[], true),
                vec![by("ann", None)],
                false,
            ),
            ("the author", rule(1, &[], false), vec![by("Opener", None)], false),
            (
                "ourselves",
                rule(1, &["bot"], false),
                vec![by("bot", None)],
                false,
            ),
        ] {
            let merge = MergeStatus {
                commit: "c".repeat(40),
                number: Some(7),
                head: Some("h2".into()),
                author: Some("opener".into()),
                own: "bot".into(),
                approved_by,
                ..MergeStatus::default()
            };
            assert_eq!(
                rule.missing(&merge).is_none(),
                holds,
                "{what}: {:?}",
                rule.missing(&merge)
            );
            let pushed = MergeStatus {
                number: None,
                ..merge
            };
            let words = rule.missing(&pushed).unwrap();
            assert!(
                words.starts_with("commit cccccccccc came by no pull request"),
                "{words}"
            );
        }
    }
}
