//! `audit`: who decided what, when, from which commit, with which outcome: out of Git alone.

use super::table::table;
use super::{Failed, Output, data, value, words};
use crate::io::git::{Credentials, Repository};
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
            "there is no branch {} yet: nothing was moved",
            arguments.branch
        ));
    }
    let trailer = |message: &str, key: &str| {
        let prefix = format!("{key}: ");
        message
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix(&prefix))
            .unwrap_or("-")
            .to_owned()
    };
    // Several people may have approved, each with a trailer of their own.
    let all = |message: &str, key: &str| {
        let prefix = format!("{key}: ");
        let found: Vec<&str> = message
            .lines()
            .filter_map(|line| line.strip_prefix(&prefix))
            .collect();
        match found.is_empty() {
            true => "-".to_owned(),
            false => found.join(", "),
        }
    };
    const KEYS: [&str; 15] = [
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
    if arguments.output != Output::Text {
        let records: Vec<serde_json::Value> = log
            .iter()
            .map(|entry| {
                let mut record: serde_json::Map<String, serde_json::Value> = KEYS
                    .iter()
                    .map(|key| ((*key).to_owned(), trailer(&entry.message, key).into()))
                    .collect();
                record.insert(
                    "Reviewed-By".to_owned(),
                    all(&entry.message, "Reviewed-By").into(),
                );
                record.insert("Commit".to_owned(), entry.commit.as_str().into());
                record.into()
            })
            .collect();
        value(&records.into(), arguments.output);
        return Ok(0);
    }
    let rows: Vec<_> = log
        .iter()
        .map(|entry| {
            let get = |key: &str| trailer(&entry.message, key);
            let short = |text: String| text.chars().take(10).collect::<String>();
            vec![
                get("Finished"),
                get("Claim"),
                format!("{} → {}", get("From"), get("To")),
                get("Result"),
                format!("{} s", get("Duration-Seconds")),
                get("Approved-By"),
                get("Merged-By"),
                all(&entry.message, "Reviewed-By"),
                short(get("Approved-Revision")),
                short(entry.commit.to_string()),
            ]
        })
        .collect();
    data(&table(
        &[
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
        ],
        &rows,
    ));
    Ok(0)
}
