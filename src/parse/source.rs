//! What is wrong with a PolicySource by itself, beyond its schema: `validate` and the controller say the same.

use crate::formats::duration;
use crate::formats::follow::Follow;
use crate::model::kinds::merges::ApprovalRule;
use crate::model::kinds::policy_source::{ForgeKind, PolicySourceSpec, Proposals, Provider};
use std::collections::BTreeSet;
use std::fmt;

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The field, such as `spec.ref.commit`.
    pub field: &'static str,
    /// What is wrong; it quotes nothing.
    pub message: String,
    /// What to write instead.
    pub help: String,
    /// The rule that it breaks.
    pub rule: &'static str,
}

impl fmt::Display for Wrong {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}; {}", self.field, self.message, self.help)
    }
}

impl Wrong {
    fn value(field: &'static str, message: &str, help: impl Into<String>) -> Self {
        Self {
            field,
            message: message.to_owned(),
            help: help.into(),
            rule: "value",
        }
    }

    /// Where the field is, as a JSON pointer.
    pub fn pointer(&self) -> String {
        format!("/{}", self.field.replace('.', "/"))
    }
}

/// What branches of proposals are called behind the prefix.
const PROPOSED: [&str; 2] = ["moves/", "rollback/"];

/// Everything that can be told without a cluster.
pub fn check(spec: &PolicySourceSpec) -> Vec<Wrong> {
    let mut found = Vec::new();
    let proposals = spec.proposals.clone().unwrap_or_default();
    let durations = [
        ("spec.timeout", Some(&spec.timeout)),
        ("spec.interval", Some(&spec.interval)),
        (
            "spec.proposals.rejections.expireAfter",
            proposals.rejections.as_ref().map(|one| &one.expire_after),
        ),
        (
            "spec.moves.nodeQuarantine",
            spec.moves.as_ref().map(|one| &one.node_quarantine),
        ),
    ];
    for (field, text) in durations {
        if let Some(Err(help)) = text.map(|text| duration::parse(text)) {
            found.push(Wrong {
                field,
                message: "it is no duration".to_owned(),
                help,
                rule: "duration",
            });
        }
    }
    if let Err((field, help)) = Follow::read(spec.reference.as_ref()) {
        found.push(Wrong::value(field, "nothing can be followed by it", help));
    }
    if spec.provider == Provider::Github && spec.secret_ref.is_none() {
        let message = "github needs spec.secretRef with the keys of the App";
        found.push(Wrong::value(
            "spec.provider",
            message,
            "give the Secret, or write generic",
        ));
    }
    branches(spec, &proposals, &mut found);
    if outside(&proposals.path) {
        let message = "it leads to no folder below spec.path";
        let help = "write a path below spec.path without `.` and `..`, such as assignments";
        found.push(Wrong::value("spec.proposals.path", message, help));
    }
    if let Some(rule) = &proposals.approvals {
        approvals(rule, proposals.forge.kind, &mut found);
    }
    found
}

fn branches(spec: &PolicySourceSpec, proposals: &Proposals, found: &mut Vec<Wrong>) {
    let prefix = &proposals.branch_prefix;
    if !prefix.ends_with('/') {
        let help = "end the prefix with a slash, such as couchestor/";
        found.push(Wrong::value(
            "spec.proposals.branchPrefix",
            "branches of proposals could not be told from others",
            help,
        ));
    }
    let audit = spec.audit.clone().unwrap_or_default().branch;
    let help = "name a branch that nothing else is on, such as couchestor/audit";
    let mut wrong = |message: &str| found.push(Wrong::value("spec.audit.branch", message, help));
    if audit == spec.branch {
        // Records would be committed onto the policies.
        wrong("it is spec.branch, and outcomes are not recorded among policies");
    } else if PROPOSED
        .iter()
        .any(|kind| audit.starts_with(&format!("{prefix}{kind}")))
    {
        wrong("branches of that name are proposals");
    }
}

/// Whether a path of a folder is none, or leads out of where it begins.
fn outside(path: &str) -> bool {
    let path = path.trim_matches('/');
    path.split('/').any(|part| matches!(part, "" | "." | ".."))
}

fn approvals(rule: &ApprovalRule, forge: ForgeKind, found: &mut Vec<Wrong>) {
    if forge == ForgeKind::None {
        let message = "without a forge nobody knows who approved";
        let help = "give spec.proposals.forge, or take this out";
        found.push(Wrong::value("spec.proposals.approvals", message, help));
    }
    // Forges take a login for the same however it is written.
    let people: BTreeSet<String> = rule.from.iter().map(|login| login.to_ascii_lowercase()).collect();
    if !people.is_empty() && people.len() < rule.count as usize {
        let message =
            "more approvals are demanded than people are named, so no move would ever be carried out";
        let help = "lower `count`, or name more people in `from` (each counts once)";
        found.push(Wrong::value("spec.proposals.approvals.count", message, help));
    }
}
