//! Host keys, compared with `known_hosts` as sshd(8) describes the file: plain and hashed names, ports, patterns, revocations.
//!
//! A `@cert-authority` line cannot be honoured: russh 0.55 asks the server for no `*-cert-v01@openssh.com` algorithm, reads what
//! it shows as a plain `PublicKey`, sums the exchange hash up over that key encoded again (`client/kex.rs`, `WaitingForDhReply`), and
//! hands only that key to `Handler::check_server_key`. So a host that has a certificate shows its plain key, and the certificate never
//! comes here. Where the file knows a host by an authority only it is refused by name; its own key beside that line is enough.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha1::Sha1;

/// A host's name as the file has it: with its port when that is not the usual one.
fn name_of(host: &str, port: u16) -> String {
    if port == 22 {
        host.to_owned()
    } else {
        format!("[{host}]:{port}")
    }
}

/// The kinds of keys that are known for a host.
pub fn kinds(known_hosts: &str, host: &str, port: u16) -> Vec<String> {
    let name = name_of(host, port);
    let lines = known_hosts.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with(['#', '@']))
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let names = fields.next()?;
            matches(names, &name)
                .then(|| fields.next().map(str::to_owned))
                .flatten()
        })
        .collect()
}

/// Checks a server's raw host key.
///
/// # Errors
/// Why it is not trusted, and what to do.
pub fn check(known_hosts: &str, host: &str, port: u16, key: &[u8]) -> Result<(), String> {
    let name = name_of(host, port);
    let encoded = STANDARD.encode(key);
    let (mut known, mut same, mut authority) = (false, false, false);
    for line in known_hosts
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let (marker, rest) = match line.strip_prefix('@') {
            Some(marked) => {
                let (marker, rest) = marked.split_once(char::is_whitespace).unwrap_or((marked, ""));
                (Some(marker), rest)
            }
            None => (None, line),
        };
        let mut fields = rest.split_whitespace();
        let (Some(names), Some(_), Some(listed)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        if !matches(names, &name) {
            continue;
        }
        match marker {
            None => {
                known = true;
                same |= listed == encoded;
            }
            Some("cert-authority") => authority = true,
            Some("revoked") if listed == encoded => {
                return Err(format!("the host key of {name} is revoked in known_hosts"));
            }
            _ => {}
        }
    }
    match (known, same) {
        (_, true) => Ok(()),
        // See the top: there is no certificate that could be checked against the authority.
        (false, false) if authority => Err(format!(
            "known_hosts names only a certificate authority for {name}; host certificates are not read: add the host's own key"
        )),
        (true, false) => Err(format!(
            "the host key of {name} is another one than known_hosts has; find out why before you change the Secret"
        )),
        (false, false) => Err(format!(
            "{name} is not in known_hosts; add the output of `ssh-keyscan -p {port} {host}` to the Secret once you trust it"
        )),
    }
}

fn matches(names: &str, name: &str) -> bool {
    if let Some(hashed) = names.strip_prefix("|1|") {
        return hash_matches(hashed, name).unwrap_or(false);
    }
    let mut found = false;
    for pattern in names.split(',') {
        match pattern.strip_prefix('!') {
            Some(negated) if glob(negated.as_bytes(), name.as_bytes()) => return false,
            Some(_) => {}
            None => found |= glob(pattern.as_bytes(), name.as_bytes()),
        }
    }
    found
}

fn hash_matches(hashed: &str, name: &str) -> Option<bool> {
    let (salt, digest) = hashed.split_once('|')?;
    let mut mac = Hmac::<Sha1>::new_from_slice(&STANDARD.decode(salt).ok()?).ok()?;
    mac.update(name.as_bytes());
    Some(mac.verify_slice(&STANDARD.decode(digest).ok()?).is_ok())
}

/// Whether a name fits a pattern; only the last star is tried again further on, so that many stars cost no more than one.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(one) if *one == b'?' || one.eq_ignore_ascii_case(&name[n]) => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, seen)) => {
                    star = Some((at, seen + 1));
                    p = at + 1;
                    n = seen + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|one| *one == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_known_by_name_pattern_port_or_hash_and_only_with_its_key() {
        let key = b"raw key";
        let listed = STANDARD.encode(key);
        let mut mac = Hmac::<Sha1>::new_from_slice(b"salt").expect("any length is a key");
        mac.update(b"git.example.org");
        let hashed = format!(
            "|1|{}|{}",
            STANDARD.encode(b"salt"),
            STANDARD.encode(mac.finalize().into_bytes())
        );
        for (line, port, ok) in [
            (format!("git.example.org ssh-ed25519 {listed}"), 22, true),
            (
                format!("# c\nother,git.example.org ssh-ed25519 {listed} comment"),
                22,
                true,
            ),
            (format!("*.example.org ssh-ed25519 {listed}"), 22, true),
            (
                format!("*.example.org,!git.example.org ssh-ed25519 {listed}"),
                22,
                false,
            ),
            (format!("{hashed} ssh-ed25519 {listed}"), 22, true),
            (format!("[git.example.org]:2222 ssh-ed25519 {listed}"), 2222, true),
            (format!("git.example.org ssh-ed25519 {listed}"), 2222, false),
            (
                format!("git.example.org ssh-ed25519 {}", STANDARD.encode(b"other")),
                22,
                false,
            ),
            (
                format!("git.example.org ssh-ed25519 {listed}\n@revoked * ssh-ed25519 {listed}"),
                22,
                false,
            ),
            (String::new(), 22, false),
        ] {
            assert_eq!(
                check(&line, "git.example.org", port, key).is_ok(),
                ok,
                "{line} {port}"
            );
        }
    }
}
