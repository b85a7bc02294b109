//! `audit`: who decided what, when, from which commit, with which outcome: out of Git alone.

use super::table::table;
use super::{Failed, Output, data, value, words};
use crate::io::git::{Credentials, LogEntry, Repository};
use crate::model::kinds::policy_source::AUDIT_BRANCH;
use crate::model::secret::SecretText;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// How long the fetch may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Options of `audit`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// The policy repository: an address, or a path on this machine.
    #[arg(long)]
    repository: String,
    /// The audit branch.
    #[arg(long, default_value = AUDIT_BRANCH)]
    branch: String,
    /// How many outcomes, the newest first.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// User name for https.
    #[arg(long, env = "GIT_USERNAME")]
    username: Option<String>,
    /// Password or token for https.
    #[arg(long, env = "GIT_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// File with the private key for ssh.
    #[arg(long, env = "GIT_SSH_IDENTITY", requires = "known_hosts")]
    identity: Option<PathBuf>,
    /// File with the keys of ssh servers, such as ~/.ssh/known_hosts.
    #[arg(long, env = "GIT_SSH_KNOWN_HOSTS")]
    known_hosts: Option<PathBuf>,
    /// File with the certificates of the authority of an https server.
    #[arg(long, env = "GIT_SSL_CAINFO")]
    ca_file: Option<PathBuf>,
    /// How to print.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

impl Arguments {
    /// What was given, under the keys that a source's Secret has.
    fn credentials(&self, url: &str) -> Result<Credentials, Failed> {
        let secret = |bytes: &[u8]| SecretText::new(bytes.to_vec());
        let mut data = BTreeMap::new();
        for (key, text) in [("username", &self.username), ("password", &self.password)] {
            if let Some(text) = text {
                data.insert(key.to_owned(), secret(text.as_bytes()));
            }
        }
        let ssh = url.starts_with("ssh://");
        let files = [
            ("identity", &self.identity, ssh),
            ("known_hosts", &self.known_hosts, ssh),
            ("ca.crt", &self.ca_file, !ssh),
        ];
        for (key, path, fits) in files {
            if let Some(path) = path.as_ref().filter(|_| fits) {
                let read = std::fs::read(path);
                let bytes = read.map_err(|error| Failed(format!("{}: {error}", path.display())))?;
                data.insert(key.to_owned(), secret(&bytes));
            }
        }
        match data.is_empty() {
            true => Ok(Credentials::default()),
            false => Ok(Credentials::from_secret(&data, url)?),
        }
    }
}

/// `audit`.
pub async fn audit(arguments: Arguments) -> Result<u8, Failed> {
    super::no_sarif(arguments.output)?;
    let url = if arguments.repository.contains("://") {
        arguments.repository.clone()
    } else {
        let path = PathBuf::from(&arguments.repository)
            .canonicalize()
            .map_err(|error| Failed(format!("{}: {error}", arguments.repository)))?;
        format!("file://{}", path.display())
    };
    let clone = tempfile::tempdir()?;
    let credentials = arguments.credentials(&url)?;
    let repository = Repository::new(&url, &clone.path().join("clone"), credentials, TIMEOUT, true)?;
    let limit = usize::try_from(arguments.limit).unwrap_or(usize::MAX);
    let log = repository.log_branch(&arguments.branch, limit).await?;
    if log.is_empty() && arguments.branch != AUDIT_BRANCH {
        return Err(Failed(format!(
            "there is no branch {} in {}; a source that names no audit branch uses {AUDIT_BRANCH}",
            arguments.branch, arguments.repository
        )));
    }
    if log.is_empty() {
        words(&format!(
            "there is no branch {} yet: nothing was moved or drilled",
            arguments.branch
        ));
    }
    if arguments.output != Output::Text {
        let records: Vec<serde_json::Value> = log.iter().map(recorded).collect();
        value(&records.into(), arguments.output);
        return Ok(0);
    }
    let (drills, moves): (Vec<_>, Vec<_>) = log.iter().partition(|entry| is_drill(entry));
    let mut pages = Vec::new();
    if !moves.is_empty() {
        pages.push(table(
            &MOVE_HEAD,
            &moves.into_iter().map(moved).collect::<Vec<_>>(),
        ));
    }
    if !drills.is_empty() {
        pages.push(table(
            &DRILL_HEAD,
            &drills.into_iter().map(drilled).collect::<Vec<_>>(),
        ));
    }
    if !pages.is_empty() {
        data(&pages.join("\n"));
    }
    Ok(0)
}

/// What the record of a move tells.
const MOVE_KEYS: [&str; 15] = [
    "Migration",
    "Claim",
    "Volume",
    "From",
    "To",
    "Policy",
    "Approved-Revision",
    "Approved-By",
    "Pull-Request",
    "Merged-By",
    "Epoch",
    "Result",
    "Started",
    "Finished",
    "Duration-Seconds",
];

/// What the record of a drill tells.
const DRILL_KEYS: [&str; 9] = [
    "Drill",
    "Policy",
    "Policy-Revision",
    "Namespace",
    "Backup",
    "Result",
    "Started",
    "Finished",
    "Restore-Seconds",
];

const MOVE_HEAD: [&str; 10] = [
    "FINISHED",
    "CLAIM",
    "MOVE",
    "RESULT",
    "TOOK",
    "APPROVED BY",
    "MERGED BY",
    "REVIEWED BY",
    "IN",
    "RECORD",
];

const DRILL_HEAD: [&str; 7] = [
    "FINISHED",
    "DRILL OF",
    "POLICY",
    "RESULT",
    "RESTORED IN",
    "BACKUP",
    "RECORD",
];

fn is_drill(entry: &LogEntry) -> bool {
    trailer(entry, "Drill") != "-"
}

/// The last trailer with a key.
fn trailer(entry: &LogEntry, key: &str) -> String {
    trailers(entry, key).last().unwrap_or("-").to_owned()
}

fn trailers<'e>(entry: &'e LogEntry, key: &str) -> impl Iterator<Item = &'e str> {
    let prefix = format!("{key}: ");
    entry
        .message
        .lines()
        .filter_map(move |line| line.strip_prefix(&prefix))
}

/// Several people may have approved, each with a trailer of their own.
fn reviewers(entry: &LogEntry) -> String {
    let found: Vec<&str> = trailers(entry, "Reviewed-By").collect();
    match found.is_empty() {
        true => "-".to_owned(),
        false => found.join(", "),
    }
}

fn recorded(entry: &LogEntry) -> serde_json::Value {
    let keys: &[&str] = if is_drill(entry) { &DRILL_KEYS } else { &MOVE_KEYS };
    let told = keys
        .iter()
        .map(|key| ((*key).to_owned(), trailer(entry, key).into()));
    let mut record: serde_json::Map<String, serde_json::Value> = told.collect();
    if !is_drill(entry) {
        record.insert("Reviewed-By".to_owned(), reviewers(entry).into());
    }
    record.insert("Commit".to_owned(), entry.commit.as_str().into());
    record.into()
}

fn short(text: &str) -> String {
    text.chars().take(10).collect()
}

fn moved(entry: &LogEntry) -> Vec<String> {
    let get = |key: &str| trailer(entry, key);
    vec![
        get("Finished"),
        get("Claim"),
        format!("{} → {}", get("From"), get("To")),
        get("Result"),
        format!("{} s", get("Duration-Seconds")),
        get("Approved-By"),
        get("Merged-By"),
        reviewers(entry),
        short(&get("Approved-Revision")),
        short(entry.commit.as_str()),
    ]
}

fn drilled(entry: &LogEntry) -> Vec<String> {
    let get = |key: &str| trailer(entry, key);
    let took = match get("Restore-Seconds").as_str() {
        "-" => "-".to_owned(),
        seconds => format!("{seconds} s"),
    };
    vec![
        get("Finished"),
        get("Namespace"),
        get("Policy"),
        get("Result"),
        took,
        get("Backup"),
        short(entry.commit.as_str()),
    ]
}
