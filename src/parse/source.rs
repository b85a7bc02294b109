//! What is wrong with a PolicySource by itself, beyond its schema: `validate` and the controller say the same.

use crate::formats::duration;
use crate::formats::follow::Follow;
use crate::model::kinds::merges::ApprovalRule;
use crate::model::kinds::policy_source::{DeliveryMode, ForgeKind, PolicySourceSpec, Proposals, Provider};
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The field, such as `spec.ref.commit`.
    pub field: &'static str,
    /// Which item of it, when it is a list.
    pub item: Option<usize>,
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
            item: None,
            message: message.to_owned(),
            help: help.into(),
            rule: "value",
        }
    }

    /// Where the field is, as a JSON pointer.
    pub fn pointer(&self) -> String {
        let item = self.item.map(|item| format!("/{item}")).unwrap_or_default();
        format!("/{}{item}", self.field.replace('.', "/"))
    }
}

/// A source that is looked at more often would be looked at without a pause.
const INTERVAL_MIN: Duration = Duration::from_millis(500);

/// In less time no server answers.
const TIMEOUT_MIN: Duration = Duration::from_secs(1);

/// What branches of proposals are called behind the prefix.
const PROPOSED: [&str; 4] = ["moves/", "rollback/", "slower/", "delivery/"];

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
                item: None,
                message: "it is no duration".to_owned(),
                help,
                rule: "duration",
            });
        }
    }
    let least = [
        ("spec.interval", &spec.interval, INTERVAL_MIN),
        ("spec.timeout", &spec.timeout, TIMEOUT_MIN),
    ];
    for (field, text, least) in least {
        if duration::parse(text).is_ok_and(|duration| duration < least) {
            let message = "so short a time leaves no pause, or no time for any answer";
            let help = format!("write at least {}; a minute is usual", duration::format(least));
            found.push(Wrong::value(field, message, help));
        }
    }
    if spec.path.split('/').any(|part| part == "..") {
        let message = "it leads out of the repository";
        let help = "write the folder's path from the root of the repository";
        found.push(Wrong::value("spec.path", message, help));
    }
    let after_scheme = spec.url.split_once("://").map(|(_, rest)| rest);
    if after_scheme.is_some_and(str::is_empty) {
        found.push(Wrong::value(
            "spec.url",
            "it names no server",
            "write the whole address",
        ));
    }
    if spec
        .secret_ref
        .as_ref()
        .is_some_and(|secret| secret.name.is_empty())
    {
        let message = "it names no Secret";
        found.push(Wrong::value(
            "spec.secretRef.name",
            message,
            "write its name, or take secretRef out",
        ));
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
    delivery(spec, &proposals, &mut found);
    if let Some(rule) = &proposals.approvals {
        approvals(rule, proposals.forge.kind, &mut found);
    }
    if let Some(Err((message, help))) = proposals.forge.url.as_deref().map(forge_address) {
        found.push(Wrong::value("spec.proposals.forge.url", message, help));
    }
    found
}

/// What proposals go without, and everything else goes on: labels that the forge refuses, a template that is nowhere.
pub fn doubts(spec: &PolicySourceSpec) -> Vec<Wrong> {
    let proposals = spec.proposals.clone().unwrap_or_default();
    let mut found = Vec::new();
    for (index, label) in proposals.labels.iter().enumerate() {
        if let Err((message, help)) = label_for(proposals.forge.kind, label) {
            found.push(Wrong {
                item: Some(index),
                ..Wrong::value("spec.proposals.labels", message, help)
            });
        }
    }
    if proposals.template.as_deref().is_some_and(leads_nowhere) {
        let message = "it leads to no file of the repository, so that the built-in template is used";
        let help = "write the file's path from the root of the repository, without `.` and `..`";
        found.push(Wrong::value("spec.proposals.template", message, help));
    }
    found
}

/// What is wrong, and what to write instead.
type Words = (&'static str, &'static str);

/// Whether a forge takes a label: GitHub one of up to 50 letters, the others of up to 255, GitLab without a comma (`BaseLabel` in its
/// `app/models/concerns`: a comma parts labels there).
fn label_for(forge: ForgeKind, label: &str) -> Result<(), Words> {
    if label.trim().is_empty() || label.trim() != label {
        let message = "it is empty, or has space around it, which forges refuse or cut off";
        return Err((message, "write the label's name"));
    }
    if label.contains(char::is_control) {
        return Err(("no forge takes a label of several lines", "write it in one line"));
    }
    let (most, help) = match forge {
        ForgeKind::Github => (50, "shorten it: GitHub takes 50 letters"),
        _ => (255, "shorten it: forges take 255 letters"),
    };
    if label.chars().count() > most {
        return Err(("it is too long for a label", help));
    }
    if forge == ForgeKind::Gitlab && label.contains(',') {
        let help = "take the comma out: it parts two labels there";
        return Err(("GitLab takes no label with a comma", help));
    }
    Ok(())
}

/// Whether a forge's address is one: its scheme, a server, a port at most, and a path.
fn forge_address(url: &str) -> Result<(), Words> {
    const HELP: &str =
        "write what people open the forge with: the scheme, the server, and a port or a path if it has any";
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    let Some(rest) = rest else {
        return Err(("it is no address of a forge", HELP));
    };
    let server = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if server.contains('@') {
        let help = "take it out, and give the token by secretRef";
        return Err(("credentials stand in it, for all to read", help));
    }
    if rest.contains(['?', '#']) {
        return Err(("something stands behind its path", HELP));
    }
    // An address of IPv6 stands in brackets, and holds colons.
    let (host, port) = match server.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, after)) => (host, after.strip_prefix(':')),
        None => match server.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (server, None),
        },
    };
    let odd = |letter: char| letter.is_whitespace() || letter.is_control() || "\\<>\"^`{|}".contains(letter);
    let no_port = port.is_some_and(|port| port.parse::<u16>().is_err());
    if host.is_empty() || no_port || url.contains(odd) {
        return Err(("it names no server that could be asked", HELP));
    }
    Ok(())
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
    // Whether the prefix may begin a name is seen with something behind it.
    for (field, name) in [
        ("spec.branch", spec.branch.clone()),
        ("spec.audit.branch", audit.clone()),
        ("spec.proposals.branchPrefix", format!("{prefix}x")),
    ] {
        if !is_branch(&name) {
            let help = "Git takes no spaces, `..`, `~`, `^`, `:`, `?`, `*`, `[`, `\\` or `@{`, and no part that begins with a dot or ends in `.lock`";
            found.push(Wrong::value(field, "Git takes no branch of that name", help));
        }
    }
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

/// Whether Git takes it for the name of a branch (git-check-ref-format).
fn is_branch(name: &str) -> bool {
    let bad = |letter: char| letter.is_control() || " ~^:?*[\\".contains(letter);
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    !name.contains(bad)
        && !name.contains("..")
        && !name.contains("@{")
        && !name.ends_with('.')
        && !name.starts_with('-')
        && name.split('/').all(part)
}

/// A delivery by pull request must not be what is read, or what is recorded.
fn delivery(spec: &PolicySourceSpec, proposals: &Proposals, found: &mut Vec<Wrong>) {
    let Some(delivery) = spec
        .delivery
        .as_ref()
        .filter(|one| one.mode == DeliveryMode::Commit)
    else {
        return;
    };
    let mut wrong = |field, message: &str, help: &str| found.push(Wrong::value(field, message, help));
    let branch = delivery.branch.as_ref().unwrap_or(&spec.branch);
    let path = delivery.path.as_deref().unwrap_or_default();
    let help = "name a folder of its own for the manifests, from the root of the repository, such as clusters/homelab/storage";
    if outside(path) {
        let message = "it leads to no folder of the repository";
        wrong("spec.delivery.path", message, help);
    } else if *branch == spec.branch && overlap(path, &spec.path) {
        let message = "it overlaps spec.path, so what is written there would be read again";
        wrong("spec.delivery.path", message, help);
    }
    let help = "name the branch that Flux follows, or take this out";
    let audit = spec.audit.clone().unwrap_or_default().branch;
    if branch.is_empty() || *branch == audit {
        let message = "it is no branch that manifests could be delivered to";
        wrong("spec.delivery.branch", message, help);
    } else if branch.starts_with(&proposals.branch_prefix) {
        let message = "branches of that name are proposals";
        wrong("spec.delivery.branch", message, help);
    }
}

/// Whether one of two folders holds the other; the root, which is written as nothing, holds all.
fn overlap(one: &str, other: &str) -> bool {
    let parts = |path: &'_ str| -> Vec<String> {
        let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
        parts.map(str::to_owned).collect()
    };
    let (one, other) = (parts(one), parts(other));
    one.starts_with(&other) || other.starts_with(&one)
}

/// Whether a path from the root of a repository is that of no file in it, whatever the repository holds.
pub fn leads_nowhere(path: &str) -> bool {
    path.split('/').any(|part| matches!(part, "" | "." | ".."))
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
