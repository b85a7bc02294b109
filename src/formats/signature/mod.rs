//! Signatures of Git commits and tags: what was signed, by which of the keys that are trusted, and whether it holds.
//!
//! Git puts a commit's signature into the header `gpgsig` and a tag's at the end of its message; what is signed is the object
//! without it (git's `commit.c` and `gpg-interface.c`). Whether a key was valid is judged at the time that the signed object
//! states, as git does: a signer whose key ran out could date a commit back, so a key that leaked is taken out of the
//! Secret, not only given an end.

use jiff::Timestamp;

/// OpenPGP keys and signatures.
mod openpgp;

/// SSH keys and signatures.
mod ssh;

#[cfg(test)]
mod tests;

/// Files of keys in one Secret; more is a mistake.
const FILES_MAX: usize = 256;

/// Longest file of keys: a large OpenPGP certificate with many user ids has some hundred kilobytes.
const FILE_BYTES_MAX: usize = 1 << 20;

/// Largest commit or tag object that is looked at; real ones have a few kilobytes.
pub const OBJECT_BYTES_MAX: usize = 1 << 20;

/// What kind of object is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signable {
    /// A commit.
    Commit,
    /// An annotated tag.
    Tag,
}

/// A signature that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The key, as its tool writes it: `SHA256:…` for SSH, the fingerprint for OpenPGP.
    pub key: String,
    /// The key of the Secret that it came from.
    pub file: String,
}

/// Why an object is not trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no signature.
    #[error("it is not signed")]
    Unsigned,
    /// The signature is of another kind.
    #[error("its signature is {kind}; sign with an SSH or OpenPGP key")]
    Kind {
        /// Which.
        kind: &'static str,
    },
    /// The object or its signature cannot be read.
    #[error("its {what} cannot be read")]
    Malformed {
        /// Which part.
        what: &'static str,
    },
    /// None of the keys made it.
    #[error("it is signed by {key}, which is none of the keys in the Secret of spec.verify.secretRef")]
    UnknownKey {
        /// The key that made it.
        key: String,
    },
    /// A tag that was signed for something else.
    #[error("it was signed as tag {name} of {object}")]
    Elsewhere {
        /// Its name, as signed.
        name: String,
        /// What it points to, as signed.
        object: String,
    },
    /// The key is known and the signature does not hold.
    #[error("its signature by {key} does not hold: the object was changed after it was signed")]
    Broken {
        /// The key that it names.
        key: String,
    },
    /// The key was not valid then.
    #[error("its key {key} {why}")]
    NotValid {
        /// The key.
        key: String,
        /// Why not.
        why: String,
    },
}

/// Keys whose signatures are trusted.
#[derive(Clone, Debug, Default)]
pub struct Signers {
    ssh: Vec<ssh::Signer>,
    openpgp: Vec<openpgp::Signer>,
}

impl Signers {
    /// Reads keys from the files of a Secret: `*.sshpub` hold public keys as in `authorized_keys` or lines of OpenSSH's
    /// `allowed_signers`, `*.asc` hold armored OpenPGP public keys. Other files are left alone.
    ///
    /// # Errors
    /// Which file cannot be read and why; also when there is no key at all.
    pub fn parse<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, String> {
        let mut signers = Self::default();
        for (index, (name, text)) in files.into_iter().enumerate() {
            if index >= FILES_MAX {
                return Err(format!("holds more than {FILES_MAX} keys"));
            }
            if text.len() > FILE_BYTES_MAX {
                return Err(format!("{name} is larger than {FILE_BYTES_MAX} bytes"));
            }
            if name.ends_with(".sshpub") {
                signers.ssh.extend(ssh::read(name, text)?);
            } else if name.ends_with(".asc") {
                signers.openpgp.extend(openpgp::read(name, text)?);
            }
        }
        if signers.ssh.is_empty() && signers.openpgp.is_empty() {
            return Err(
                "holds no signer: add SSH public keys as *.sshpub or OpenPGP public keys as *.asc".to_owned(),
            );
        }
        Ok(signers)
    }

    /// Checks the signature of a raw Git object.
    ///
    /// # Errors
    /// Why it is not trusted.
    pub fn verify(&self, object: &[u8], kind: Signable) -> Result<Signed, Refusal> {
        let parts = split(object, kind)?;
        match parts.format {
            Format::Ssh => ssh::verify(&self.ssh, &parts),
            Format::OpenPgp => openpgp::verify(&self.openpgp, &parts),
            Format::X509 => Err(Refusal::Kind { kind: "an X.509 one" }),
        }
    }
}

/// What a tag object says that it is: the id of what it points to, and its name. Both are signed: a signed tag that is
/// pushed under another name, or again for another release, does not pass for that one.
pub fn tagged(object: &[u8]) -> Option<(&str, &str)> {
    let header = |name: &str| {
        let line = object
            .split(|&byte| byte == b'\n')
            .take_while(|line| !line.is_empty())
            .find(|line| line.starts_with(name.as_bytes()))?;
        std::str::from_utf8(&line[name.len()..]).ok()
    };
    Some((header("object ")?, header("tag ")?))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Ssh,
    OpenPgp,
    X509,
}

/// A signed object, taken apart.
struct Parts {
    payload: Vec<u8>,
    signature: String,
    format: Format,
    at: Timestamp,
}

const MARKS: [(&str, Format); 4] = [
    ("-----BEGIN SSH SIGNATURE-----", Format::Ssh),
    ("-----BEGIN PGP SIGNATURE-----", Format::OpenPgp),
    ("-----BEGIN PGP MESSAGE-----", Format::OpenPgp),
    ("-----BEGIN SIGNED MESSAGE-----", Format::X509),
];

fn format_of(text: &[u8]) -> Option<Format> {
    MARKS
        .iter()
        .find(|(mark, _)| text.starts_with(mark.as_bytes()))
        .map(|(_, format)| *format)
}

fn split(object: &[u8], kind: Signable) -> Result<Parts, Refusal> {
    let (payload, signature, who) = match kind {
        Signable::Commit => {
            let (payload, signature) = split_commit(object)?;
            (payload, signature, "committer ")
        }
        Signable::Tag => {
            let (payload, signature) = split_tag(object)?;
            (payload, signature, "tagger ")
        }
    };
    let format = format_of(&signature).ok_or(Refusal::Malformed { what: "signature" })?;
    let signature = String::from_utf8(signature).map_err(|_| Refusal::Malformed { what: "signature" })?;
    let at = time(&payload, who).ok_or(Refusal::Malformed { what: "date" })?;
    Ok(Parts {
        payload,
        signature,
        format,
        at,
    })
}

/// A commit without its signature headers, and the signature. The header of the other hash algorithm is no part of what
/// was signed either.
fn split_commit(object: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Refusal> {
    let mut payload = Vec::with_capacity(object.len());
    let mut signature: Option<Vec<u8>> = None;
    let mut rest = object;
    let mut inside: Option<bool> = None;
    while !rest.is_empty() {
        let end = rest
            .iter()
            .position(|&byte| byte == b'\n')
            .map_or(rest.len(), |at| at + 1);
        let (line, after) = rest.split_at(end);
        if line == b"\n" {
            // The message follows; nothing in it is a header.
            payload.extend_from_slice(rest);
            break;
        }
        rest = after;
        match (inside, line.first()) {
            (Some(ours), Some(b' ')) => {
                if ours && let Some(signature) = &mut signature {
                    signature.extend_from_slice(&line[1..]);
                }
                continue;
            }
            _ => inside = None,
        }
        if let Some(start) = line.strip_prefix(b"gpgsig ") {
            if signature.is_some() {
                return Err(Refusal::Malformed {
                    what: "header (it has two signatures)",
                });
            }
            signature = Some(start.to_vec());
            inside = Some(true);
        } else if line.starts_with(b"gpgsig-sha256 ") {
            inside = Some(false);
        } else {
            payload.extend_from_slice(line);
        }
    }
    Ok((payload, signature.ok_or(Refusal::Unsigned)?))
}

/// A tag without the signature that ends its message, and the signature.
fn split_tag(object: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Refusal> {
    let mut at = 0;
    let mut found = None;
    while at < object.len() {
        if format_of(&object[at..]).is_some() {
            found = Some(at);
        }
        at = object[at..]
            .iter()
            .position(|&byte| byte == b'\n')
            .map_or(object.len(), |end| at + end + 1);
    }
    let cut = found.ok_or(Refusal::Unsigned)?;
    Ok((object[..cut].to_vec(), object[cut..].to_vec()))
}

/// The time of a header line `committer Name <email> 1700000000 +0100`.
fn time(payload: &[u8], who: &str) -> Option<Timestamp> {
    let line = payload
        .split(|&byte| byte == b'\n')
        .take_while(|line| !line.is_empty())
        .find(|line| line.starts_with(who.as_bytes()))?;
    let after = line.rsplit(|&byte| byte == b'>').next()?;
    let seconds = std::str::from_utf8(after).ok()?.split_whitespace().next()?;
    Timestamp::from_second(seconds.parse().ok()?).ok()
}
