//! Signatures of webhooks: GitHub, Gitea, Forgejo and GitLab, each over the raw bytes and compared in constant time.
//!
//! A webhook is a hint to fetch now and nothing else: its text is hashed and thrown away.

use crate::model::secret::SecretText;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// How far a signed time may be from ours (standardwebhooks.com: five minutes).
const APART_SECS: i64 = 300;

/// Longest delivery id that is kept.
const ID_MAX: usize = 128;

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sender {
    /// Forgejo, which also says that it is Gitea, and GitHub.
    Forgejo,
    /// Gitea, which also says that it is GitHub.
    Gitea,
    /// GitHub.
    Github,
    /// GitLab.
    Gitlab,
}

/// Why a delivery is refused. No text tells what would have been right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no secret, so nobody can be believed.
    #[error("no webhook secret is set")]
    NoSecret,
    /// It is from none of the forges that are known.
    #[error("no forge that is known sends this")]
    Unknown,
    /// It is not signed.
    #[error("the delivery is not signed: set a secret in the forge's webhook")]
    Unsigned,
    /// It is signed with another secret, or was changed.
    #[error("the signature is wrong")]
    Wrong,
    /// It was signed too long ago, or in the future.
    #[error("the signature's time is too far from ours")]
    Late,
}

/// A delivery that is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Who sent it.
    pub sender: Sender,
    /// What happened, in the forge's words.
    pub event: String,
    /// Its own number; a forge that sends it again says the same.
    pub id: Option<String>,
    /// Which secret it was signed with.
    pub secret: usize,
}

/// Verifies a delivery with the first secret that fits. `header` finds a header by its name in small letters; `now` is in
/// seconds.
///
/// # Errors
/// Why it is refused.
pub fn verify<'a>(
    secrets: &[SecretText],
    header: impl Fn(&str) -> Option<&'a str>,
    body: &[u8],
    now: i64,
) -> Result<Delivery, Refused> {
    // An empty key would make everybody's signature right.
    if secrets.iter().all(|secret| secret.expose().is_empty()) {
        return Err(Refused::NoSecret);
    }
    let (sender, event) = sender(&header).ok_or(Refused::Unknown)?;
    let mut fits = None;
    for (index, secret) in secrets.iter().enumerate() {
        if secret.expose().is_empty() {
            continue;
        }
        // Every secret is tried, so that the time says nothing about which of them is right.
        if signed(sender, secret.expose(), &header, body, now)? && fits.is_none() {
            fits = Some(index);
        }
    }
    let id = match sender {
        Sender::Forgejo => header("x-forgejo-delivery").or_else(|| header("x-gitea-delivery")),
        Sender::Gitea => header("x-gitea-delivery"),
        Sender::Github => header("x-github-delivery"),
        Sender::Gitlab => header("idempotency-key")
            .or_else(|| header("webhook-id"))
            .or_else(|| header("x-gitlab-event-uuid")),
    };
    Ok(Delivery {
        sender,
        event: event.chars().take(ID_MAX).collect(),
        id: id.map(|id| id.chars().take(ID_MAX).collect()),
        secret: fits.ok_or(Refused::Wrong)?,
    })
}

/// Forgejo says that it is Gitea, too, and both say that they are GitHub.
fn sender<'a>(header: &impl Fn(&str) -> Option<&'a str>) -> Option<(Sender, &'a str)> {
    [
        (Sender::Forgejo, "x-forgejo-event"),
        (Sender::Gitea, "x-gitea-event"),
        (Sender::Github, "x-github-event"),
        (Sender::Gitlab, "x-gitlab-event"),
    ]
    .into_iter()
    .find_map(|(sender, name)| Some((sender, header(name)?)))
}

fn signed<'a>(
    sender: Sender,
    secret: &[u8],
    header: &impl Fn(&str) -> Option<&'a str>,
    body: &[u8],
    now: i64,
) -> Result<bool, Refused> {
    let hex = match sender {
        Sender::Forgejo => header("x-forgejo-signature").or_else(|| header("x-gitea-signature")),
        Sender::Gitea => header("x-gitea-signature"),
        Sender::Github => {
            header("x-hub-signature-256").map(|text| text.strip_prefix("sha256=").unwrap_or(""))
        }
        Sender::Gitlab => return gitlab(secret, header, body, now),
    };
    let hex = hex.filter(|text| !text.is_empty()).ok_or(Refused::Unsigned)?;
    Ok(unhexed(hex).is_some_and(|claimed| is_hmac(secret, &[body], &claimed)))
}

/// A signature, where a new GitLab sends one, or else the secret itself.
fn gitlab<'a>(
    secret: &[u8],
    header: &impl Fn(&str) -> Option<&'a str>,
    body: &[u8],
    now: i64,
) -> Result<bool, Refused> {
    let Some(signatures) = header("webhook-signature") else {
        let token = header("x-gitlab-token").ok_or(Refused::Unsigned)?;
        // Digests have one length, so that the secret's own does not show.
        let same = Sha256::digest(secret).ct_eq(&Sha256::digest(token));
        return Ok(same.into());
    };
    let (Some(id), Some(at)) = (header("webhook-id"), header("webhook-timestamp")) else {
        return Err(Refused::Unsigned);
    };
    let time: i64 = at.parse().map_err(|_| Refused::Unsigned)?;
    let decoded = std::str::from_utf8(secret)
        .ok()
        .and_then(|text| text.strip_prefix("whsec_"))
        .and_then(|text| STANDARD.decode(text).ok())
        .map(zeroize::Zeroizing::new);
    let key = decoded.as_ref().map_or(secret, |decoded| decoded.as_slice());
    let parts = [id.as_bytes(), b".", at.as_bytes(), b".", body];
    // There may be several while a secret is being changed.
    let right = signatures
        .split(' ')
        .filter_map(|one| STANDARD.decode(one.strip_prefix("v1,")?).ok())
        .any(|claimed| is_hmac(key, &parts, &claimed));
    match right && now.abs_diff(time) > APART_SECS.unsigned_abs() {
        true => Err(Refused::Late),
        false => Ok(right),
    }
}

fn is_hmac(key: &[u8], parts: &[&[u8]], claimed: &[u8]) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return false;
    };
    for part in parts {
        mac.update(part);
    }
    mac.verify_slice(claimed).is_ok()
}

fn unhexed(text: &str) -> Option<Vec<u8>> {
    if text.len() != 64 {
        return None;
    }
    text.as_bytes()
        .chunks(2)
        .map(|pair| {
            let pair = std::str::from_utf8(pair).ok()?;
            let plain = pair.bytes().all(|byte| byte.is_ascii_hexdigit());
            plain.then(|| u8::from_str_radix(pair, 16).ok()).flatten()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;

    const SECRET: &str = "It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";
    /// The example of docs.github.com, "Validating webhook deliveries".
    const HEX: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    const NOW: i64 = 1_800_000_000;

    type Headers<'a> = &'a [(&'a str, &'a str)];

    fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(text);
        mac.finalize().into_bytes().to_vec()
    }

    fn secrets(texts: &[&str]) -> Vec<SecretText> {
        texts
            .iter()
            .map(|text| SecretText::new(text.as_bytes().to_vec()))
            .collect()
    }

    fn check(secret: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Delivery, Refused> {
        let find = |name: &str| {
            headers
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| *value)
        };
        verify(&secrets(&[secret]), find, body, NOW)
    }

    #[test]
    fn each_forge_is_known_and_believed() {
        let hub = format!("sha256={HEX}");
        let stamp = NOW.to_string();
        let signed = [b"id-1.".as_slice(), stamp.as_bytes(), b".", BODY].concat();
        let v1 = format!("v1,AAAA v1,{}", STANDARD.encode(mac(SECRET.as_bytes(), &signed)));
        let github = [
            ("x-github-event", "push"),
            ("x-github-delivery", "g-1"),
            ("x-hub-signature-256", &hub),
        ];
        let gitea = [
            &github[..],
            &[
                ("x-gitea-event", "pull_request"),
                ("x-gitea-delivery", "t-1"),
                ("x-gitea-signature", HEX),
            ],
        ]
        .concat();
        let forgejo = [
            &gitea[..],
            &[
                ("x-forgejo-event", "push"),
                ("x-forgejo-delivery", "f-1"),
                ("x-forgejo-signature", HEX),
            ],
        ]
        .concat();
        let token = [
            ("x-gitlab-event", "Push Hook"),
            ("x-gitlab-token", SECRET),
            ("idempotency-key", "l-1"),
        ];
        let gitlab = [
            ("x-gitlab-event", "Push Hook"),
            ("webhook-id", "id-1"),
            ("webhook-timestamp", &stamp),
            ("webhook-signature", &v1),
        ];
        let table: [(Headers<'_>, Sender, &str); 5] = [
            (&github, Sender::Github, "g-1"),
            (&gitea, Sender::Gitea, "t-1"),
            (&forgejo, Sender::Forgejo, "f-1"),
            (&token, Sender::Gitlab, "l-1"),
            (&gitlab, Sender::Gitlab, "id-1"),
        ];
        for (headers, sender, id) in table {
            let found = check(SECRET, headers, BODY).unwrap();
            assert_eq!((found.sender, found.id.as_deref()), (sender, Some(id)));
            assert_eq!(check("another", headers, BODY), Err(Refused::Wrong), "{sender:?}");
            assert_eq!(check("", headers, BODY), Err(Refused::NoSecret), "{sender:?}");
            if sender != Sender::Gitlab || id == "id-1" {
                for at in 0..BODY.len() {
                    let mut changed = BODY.to_vec();
                    changed[at] ^= 1;
                    assert_eq!(
                        check(SECRET, headers, &changed),
                        Err(Refused::Wrong),
                        "{sender:?}"
                    );
                }
                assert_eq!(check(SECRET, headers, b""), Err(Refused::Wrong), "{sender:?}");
            }
        }
    }

    #[test]
    fn what_is_not_signed_as_it_should_be_is_refused() {
        let upper = HEX.to_uppercase();
        let event = ("x-github-event", "push");
        let (gitea, lab) = (("x-gitea-event", "push"), ("x-gitlab-event", "Push Hook"));
        let (hub, sha1) = (format!("sha256={HEX}"), format!("sha1={}", &HEX[..40]));
        let late = (NOW - 400).to_string();
        let signed = [b"i.".as_slice(), late.as_bytes(), b".", BODY].concat();
        let v1 = format!("v1,{}", STANDARD.encode(mac(SECRET.as_bytes(), &signed)));
        let table: [(Headers<'_>, Refused); 13] = [
            (&[], Refused::Unknown),
            (&[("x-hub-signature-256", &hub)], Refused::Unknown),
            (&[event], Refused::Unsigned),
            (&[event, ("x-hub-signature-256", HEX)], Refused::Unsigned),
            (&[event, ("x-hub-signature-256", "sha256=")], Refused::Unsigned),
            (&[event, ("x-hub-signature-256", "sha256=zz")], Refused::Wrong),
            (&[event, ("x-hub-signature", &sha1)], Refused::Unsigned),
            // Gitea's own header counts, whatever else there is.
            (&[gitea, event, ("x-hub-signature-256", &hub)], Refused::Unsigned),
            (&[gitea, ("x-gitea-signature", &hub)], Refused::Wrong),
            (&[lab], Refused::Unsigned),
            (&[lab, ("x-gitlab-token", "")], Refused::Wrong),
            (
                &[
                    lab,
                    ("x-gitlab-token", SECRET),
                    ("webhook-signature", "v1,AAAA"),
                    ("webhook-id", "i"),
                    ("webhook-timestamp", "1"),
                ],
                Refused::Wrong,
            ),
            (
                &[
                    lab,
                    ("webhook-signature", &v1),
                    ("webhook-id", "i"),
                    ("webhook-timestamp", &late),
                ],
                Refused::Late,
            ),
        ];
        for (headers, refused) in table {
            assert_eq!(check(SECRET, headers, BODY), Err(refused), "{headers:?}");
        }
        assert!(check(SECRET, &[gitea, ("x-gitea-signature", &upper)], BODY).is_ok());
    }

    #[test]
    fn several_secrets_are_tried_and_empty_ones_never_fit() {
        let headers = [("x-gitea-event", "push"), ("x-gitea-signature", HEX)];
        let find = |name: &str| {
            headers
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| *value)
        };
        let found = verify(&secrets(&["", "other", SECRET]), find, BODY, NOW).unwrap();
        assert_eq!(found.secret, 2);
        assert_eq!(verify(&[], find, BODY, NOW), Err(Refused::NoSecret));
        let empty: String = mac(b"", BODY).iter().map(|byte| format!("{byte:02x}")).collect();
        let headers = [("x-gitea-event", "push"), ("x-gitea-signature", empty.as_str())];
        let find = |name: &str| {
            headers
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| *value)
        };
        assert_eq!(
            verify(&secrets(&["", "other"]), find, BODY, NOW),
            Err(Refused::Wrong)
        );
    }
}
