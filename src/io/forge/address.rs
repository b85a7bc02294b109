//! Where a repository's API is, from the address that Git uses.

use super::ForgeError;
use crate::model::pull_request::ForgeKind;
use reqwest::Url;

/// A repository on a forge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Which forge.
    pub kind: ForgeKind,
    /// The API's address without a slash at its end, such as `https://api.github.com`.
    pub api: String,
    /// The repository's path, such as `owner/name`; on GitLab groups may hold groups.
    pub repository: String,
}

fn wrong(what: impl Into<String>) -> ForgeError {
    ForgeError::Address { what: what.into() }
}

impl Address {
    /// Finds a repository's API.
    ///
    /// - `kind`: may be left out for github.com, gitlab.com, gitea.com and codeberg.org.
    /// - `git_url`: what Git clones from.
    /// - `api`: the forge's address, if it cannot be told from `git_url`; with or without `/api/v3` and the like.
    /// - `repository`: its path, if it cannot be told from `git_url`.
    ///
    /// # Errors
    /// What is missing, and what to write.
    pub fn find(
        kind: Option<ForgeKind>,
        git_url: &str,
        api: Option<&str>,
        repository: Option<&str>,
    ) -> Result<Self, ForgeError> {
        let remote = Url::parse(git_url).ok();
        let host = remote.as_ref().and_then(Url::host_str).unwrap_or_default();
        let kind = kind.or_else(|| known(host)).ok_or_else(|| {
            wrong(format!(
                "{host:?} is no forge that is known by its name; say whether it is github, gitlab or gitea"
            ))
        })?;
        let root = match api {
            Some(api) => Some(parse(api)?),
            None => None,
        };
        let (prefix, path) = match repository {
            Some(path) => (String::new(), path.trim_matches('/').to_owned()),
            None => {
                let remote = remote
                    .as_ref()
                    .ok_or_else(|| wrong("no path of the repository can be read from the Git address"))?;
                split(kind, remote, root.as_ref())
            }
        };
        check_path(kind, &path)?;
        let api = match root {
            Some(root) => complete(kind, &root),
            None => {
                let remote = remote
                    .as_ref()
                    .filter(|remote| matches!(remote.scheme(), "http" | "https" | "ssh"))
                    .ok_or_else(|| wrong("it cannot be told from the Git address; give the API's address"))?;
                complete(kind, &of_remote(remote, &prefix)?)
            }
        };
        Ok(Self {
            kind,
            api,
            repository: path,
        })
    }

    /// The part of the path before the name: a person, an organisation or a group.
    pub fn owner(&self) -> &str {
        self.repository.rsplit_once('/').map_or("", |(owner, _)| owner)
    }

    /// The repository's name.
    pub fn name(&self) -> &str {
        self.repository
            .rsplit_once('/')
            .map_or(self.repository.as_str(), |(_, name)| name)
    }
}

fn known(host: &str) -> Option<ForgeKind> {
    match host {
        "github.com" | "ssh.github.com" => Some(ForgeKind::Github),
        "gitlab.com" | "altssh.gitlab.com" => Some(ForgeKind::Gitlab),
        "gitea.com" | "codeberg.org" => Some(ForgeKind::Gitea),
        host if host.ends_with(".ghe.com") => Some(ForgeKind::Github),
        _ => None,
    }
}

fn parse(api: &str) -> Result<Url, ForgeError> {
    let url = Url::parse(api).map_err(|_| wrong(format!("{api:?} is no address")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("the API's address begins with https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("the token belongs into the Secret, not into the address"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("the API's address ends with its path"));
    }
    Ok(url)
}

/// What stands before the repository's path, and the path.
fn split(kind: ForgeKind, remote: &Url, root: Option<&Url>) -> (String, String) {
    let path = remote.path().trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    if kind == ForgeKind::Gitlab {
        // Groups hold groups, so only the API's address tells whether GitLab itself is in a folder.
        let folder = root.map_or("", |root| root.path().trim_matches('/'));
        let folder = folder.strip_suffix("api/v4").unwrap_or(folder).trim_matches('/');
        let inside = path
            .strip_prefix(folder)
            .filter(|rest| rest.starts_with('/'))
            .unwrap_or(path);
        return (String::new(), inside.trim_matches('/').to_owned());
    }
    let parts: Vec<&str> = path.split('/').collect();
    let at = parts.len().saturating_sub(2);
    (parts[..at].join("/"), parts[at..].join("/"))
}

fn check_path(kind: ForgeKind, path: &str) -> Result<(), ForgeError> {
    let parts: Vec<&str> = path.split('/').collect();
    let enough = match kind {
        ForgeKind::Gitlab => parts.len() >= 2,
        ForgeKind::Github | ForgeKind::Gitea => parts.len() == 2,
    };
    let plain = |part: &&str| {
        !part.is_empty()
            && !matches!(*part, "." | "..")
            && part
                .chars()
                .all(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.' | '~' | '+'))
    };
    match enough && parts.iter().all(plain) {
        true => Ok(()),
        false => Err(wrong(format!(
            "{path:?} is no repository of {}; write owner/name",
            kind.name()
        ))),
    }
}

/// The forge that a remote is on: ssh's port says nothing about its web server.
fn of_remote(remote: &Url, prefix: &str) -> Result<Url, ForgeError> {
    let host = match remote.host_str() {
        Some("ssh.github.com") => "github.com",
        Some("altssh.gitlab.com") => "gitlab.com",
        Some(host) => host,
        None => return Err(wrong("the Git address names no host")),
    };
    let port = match (remote.scheme(), remote.port()) {
        ("ssh", _) | (_, None) => String::new(),
        (_, Some(port)) => format!(":{port}"),
    };
    let scheme = if remote.scheme() == "http" {
        "http"
    } else {
        "https"
    };
    let slash = if prefix.is_empty() { "" } else { "/" };
    parse(&format!("{scheme}://{host}{port}{slash}{prefix}"))
}

/// Adds what an address lacks to be that of the API.
fn complete(kind: ForgeKind, root: &Url) -> String {
    let host = root.host_str().unwrap_or_default();
    let text = root.as_str().trim_end_matches('/');
    let suffix = match kind {
        ForgeKind::Github if matches!(host, "github.com" | "www.github.com" | "api.github.com") => {
            return "https://api.github.com".to_owned();
        }
        // Enterprise Cloud with data residency.
        ForgeKind::Github if host.ends_with(".ghe.com") => {
            return format!("https://api.{}", host.strip_prefix("api.").unwrap_or(host));
        }
        ForgeKind::Github => "/api/v3",
        ForgeKind::Gitlab => "/api/v4",
        ForgeKind::Gitea => "/api/v1",
    };
    match text.ends_with(suffix) {
        true => text.to_owned(),
        false => format!("{text}{suffix}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;
    use ForgeKind::{Gitea, Github, Gitlab};

    type Given = (
        Option<ForgeKind>,
        &'static str,
        Option<&'static str>,
        Option<&'static str>,
    );

    #[test]
    fn an_api_is_found_from_what_git_clones() {
        #[rustfmt::skip]
        let table: [(Given, &str, &str); 17] = [
            ((None, "https://github.com/acme/policies.git", None, None), "https://api.github.com", "acme/policies"),
            ((None, "ssh://git@github.com/acme/policies", None, None), "https://api.github.com", "acme/policies"),
            ((None, "ssh://git@ssh.github.com:443/acme/policies.git", None, None), "https://api.github.com", "acme/policies"),
            ((None, "https://acme.ghe.com/acme/policies", None, None), "https://api.acme.ghe.com", "acme/policies"),
            ((Some(Github), "https://git.acme.org/a/b.git", None, None), "https://git.acme.org/api/v3", "a/b"),
            ((Some(Github), "ssh://git@git.acme.org:2222/a/b.git", None, None), "https://git.acme.org/api/v3", "a/b"),
            ((Some(Github), "https://github.com/a/b", Some("https://github.com"), None), "https://api.github.com", "a/b"),
            ((None, "https://gitlab.com/group/sub/deep/b.git", None, None), "https://gitlab.com/api/v4", "group/sub/deep/b"),
            ((Some(Gitlab), "https://acme.org/gitlab/group/b.git", Some("https://acme.org/gitlab"), None), "https://acme.org/gitlab/api/v4", "group/b"),
            ((Some(Gitlab), "https://acme.org/gitlab/group/b.git", Some("https://acme.org/gitlab/api/v4/"), None), "https://acme.org/gitlab/api/v4", "group/b"),
            ((Some(Gitlab), "ssh://git@acme.org/gitlabs/b.git", Some("https://acme.org/gitlab"), None), "https://acme.org/gitlab/api/v4", "gitlabs/b"),
            ((None, "https://codeberg.org/acme/b", None, None), "https://codeberg.org/api/v1", "acme/b"),
            ((Some(Gitea), "http://127.0.0.1:3000/acme/b.git", None, None), "http://127.0.0.1:3000/api/v1", "acme/b"),
            ((Some(Gitea), "https://acme.org/git/acme/b.git", None, None), "https://acme.org/git/api/v1", "acme/b"),
            ((Some(Gitea), "ssh://git@acme.org:2222/acme/b.git", Some("https://acme.org:3000/api/v1"), None), "https://acme.org:3000/api/v1", "acme/b"),
            ((Some(Github), "file:///srv/b.git", Some("http://127.0.0.1:1"), Some("acme/b")), "http://127.0.0.1:1/api/v3", "acme/b"),
            ((Some(Gitlab), "file:///srv/b.git", Some("http://127.0.0.1:1"), Some("/a/c/b/")), "http://127.0.0.1:1/api/v4", "a/c/b"),
        ];
        for ((kind, git, api, repository), wanted, path) in table {
            let found = Address::find(kind, git, api, repository).unwrap();
            assert_eq!(
                (found.api.as_str(), found.repository.as_str()),
                (wanted, path),
                "{git}"
            );
        }
    }

    #[test]
    fn an_address_that_cannot_work_is_refused_in_words() {
        #[rustfmt::skip]
        let table: [(Given, &str); 9] = [
            ((None, "https://git.acme.org/a/b", None, None), "say whether it is github, gitlab or gitea"),
            ((Some(Github), "https://git.acme.org/b", None, None), "write owner/name"),
            ((Some(Gitea), "https://git.acme.org/a/..", None, None), "write owner/name"),
            ((Some(Gitlab), "https://gitlab.com/b", None, None), "write owner/name"),
            ((Some(Github), "https://github.com/a/b", None, Some("a/b?x=1")), "write owner/name"),
            ((Some(Gitea), "file:///srv/b.git", None, Some("a/b")), "give the API's address"),
            ((Some(Gitea), "https://h/a/b", Some("ftp://h"), None), "begins with https://"),
            ((Some(Gitea), "https://h/a/b", Some("https://k3y:x@h"), None), "belongs into the Secret"),
            ((Some(Gitea), "https://h/a/b", Some("https://h/?token=1"), None), "ends with its path"),
        ];
        for ((kind, git, api, repository), words) in table {
            let error = Address::find(kind, git, api, repository).unwrap_err().to_string();
            assert!(error.contains(words), "{git}: {error}");
            assert!(!error.contains("k3y"), "{error}");
        }
    }
}
