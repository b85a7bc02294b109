//! SSH keys, as `authorized_keys` or OpenSSH's `allowed_signers` write them, and the signatures that they make.

use super::{Parts, Refusal, Signed};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use ssh_key::{Algorithm, HashAlg, PublicKey, SshSig};

/// What `git` signs for; a signature made for anything else is worth nothing here.
const NAMESPACE: &str = "git";

/// Keys of one file; more is a mistake.
const KEYS_MAX: usize = 4096;

/// A key, and when it is valid.
#[derive(Clone, Debug)]
pub(super) struct Signer {
    key: PublicKey,
    file: String,
    after: Option<Timestamp>,
    before: Option<Timestamp>,
}

/// Reads the keys of one file.
pub(super) fn read(file: &str, text: &str) -> Result<Vec<Signer>, String> {
    let mut signers = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if signers.len() >= KEYS_MAX {
            return Err(format!("{file} holds more than {KEYS_MAX} keys"));
        }
        signers.push(signer(file, line).map_err(|what| format!("{file}, line {}: {what}", index + 1))?);
    }
    Ok(signers)
}

fn signer(file: &str, line: &str) -> Result<Signer, String> {
    let words = words(line);
    let at = words
        .iter()
        .position(|word| {
            ["ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-"]
                .iter()
                .any(|kind| word.starts_with(kind))
        })
        .ok_or("this is no SSH public key; write `ssh-ed25519 AAAA… name`")?;
    let blob = words
        .get(at + 1)
        .ok_or("the key itself is missing after its type")?;
    let key = PublicKey::from_openssh(&format!("{} {blob}", words[at]))
        .map_err(|_| "the key cannot be read; copy the line of the *.pub file whole".to_owned())?;
    if key.algorithm() == Algorithm::Dsa {
        return Err("DSA keys are too weak; use ssh-ed25519".to_owned());
    }
    let mut signer = Signer {
        key,
        file: file.to_owned(),
        after: None,
        before: None,
    };
    // Principals come first in allowed_signers. They are not compared with the commit's author, whom anybody may claim to be.
    for option in words[..at].iter().flat_map(|word| options(word)) {
        let (name, value) = option.split_once('=').unwrap_or((&option, ""));
        match name.to_ascii_lowercase().as_str() {
            "valid-after" => signer.after = Some(moment(value)?),
            "valid-before" => signer.before = Some(moment(value)?),
            "namespaces" if value.split(',').any(|one| matches!(one.trim(), NAMESPACE | "*")) => {}
            "namespaces" => return Err(format!("namespaces=\"{value}\" leaves out `git`")),
            "cert-authority" => {
                return Err("certificates are not read; list the signers' own keys".to_owned());
            }
            _ if option.contains('=') => return Err(format!("the option `{name}` is not known")),
            _ => {}
        }
    }
    Ok(signer)
}

/// Words between blanks; quotes hold blanks together.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for letter in line.chars() {
        match letter {
            '"' => quoted = !quoted,
            ' ' | '\t' if !quoted => {
                words.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(word) = words.last_mut() {
            word.push(letter);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Options between commas; quotes hold commas together, and go.
fn options(word: &str) -> Vec<String> {
    let mut options = vec![String::new()];
    let mut quoted = false;
    for letter in word.chars() {
        match letter {
            '"' => quoted = !quoted,
            ',' if !quoted => options.push(String::new()),
            _ => {
                if let Some(option) = options.last_mut() {
                    option.push(letter);
                }
            }
        }
    }
    options
}

/// `YYYYMMDD[HHMM[SS]][Z]`, read as UTC: a controller has no local time that its users would think of.
fn moment(text: &str) -> Result<Timestamp, String> {
    let digits = text.strip_suffix(['Z', 'z']).unwrap_or(text);
    let padded = match digits.len() {
        8 => format!("{digits}000000"),
        12 => format!("{digits}00"),
        14 => digits.to_owned(),
        _ => String::new(),
    };
    DateTime::strptime("%Y%m%d%H%M%S", padded)
        .ok()
        .and_then(|moment| moment.to_zoned(TimeZone::UTC).ok())
        .map(|zoned| zoned.timestamp())
        .ok_or_else(|| format!("`{text}` is no time; write YYYYMMDD or YYYYMMDDHHMMSS"))
}

/// A text in the notation of SSH: its length, and its bytes.
fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (text, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(text)
}

/// The key of a signature over SHA-1, which the library takes for a broken one (OpenSSH's PROTOCOL.sshsig says what stands in it).
fn over_sha1(armored: &str) -> Option<PublicKey> {
    let body: String = armored
        .lines()
        .filter(|line| !line.starts_with('-'))
        .map(str::trim)
        .collect();
    let bytes = STANDARD.decode(body).ok()?;
    // A version follows.
    let mut rest = bytes.strip_prefix(b"SSHSIG")?.get(4..)?;
    let key = string(&mut rest)?;
    let [_namespace, _reserved, _digest] = [string(&mut rest)?, string(&mut rest)?, string(&mut rest)?];
    let mut signature = string(&mut rest)?;
    match string(&mut signature)? {
        b"ssh-rsa" => PublicKey::from_bytes(key).ok(),
        _ => None,
    }
}

/// Checks a signature.
pub(super) fn verify(signers: &[Signer], parts: &Parts) -> Result<Signed, Refusal> {
    let of = |key: &PublicKey| -> Vec<&Signer> {
        let same = |signer: &&Signer| signer.key.key_data() == key.key_data();
        signers.iter().filter(same).collect()
    };
    let name = |key: &PublicKey| key.fingerprint(HashAlg::Sha256).to_string();
    if let Some(key) = over_sha1(&parts.signature) {
        let (known, key) = (!of(&key).is_empty(), name(&key));
        let why = "signed with SHA-1, which can be forged; use OpenSSH 8.2 or later".to_owned();
        return Err(if known {
            Refusal::NotValid { key, why }
        } else {
            Refusal::UnknownKey { key }
        });
    }
    let signature =
        SshSig::from_pem(parts.signature.trim_end().as_bytes()).map_err(|_| Refusal::Malformed {
            what: "SSH signature",
        })?;
    let key = PublicKey::from(signature.public_key().clone());
    let (name, known) = (name(&key), of(&key));
    if known.is_empty() {
        return Err(Refusal::UnknownKey { key: name });
    }
    if key.verify(NAMESPACE, &parts.payload, &signature).is_err() {
        return Err(Refusal::Broken { key: name });
    }
    let mut why = String::new();
    for signer in known {
        match (signer.after, signer.before) {
            (Some(after), _) if parts.at < after => {
                why = format!("is valid only after {after}; this is of {}", parts.at);
            }
            (_, Some(before)) if parts.at >= before => {
                why = format!("was valid only before {before}; this is of {}", parts.at);
            }
            _ => {
                return Ok(Signed {
                    key: name,
                    file: signer.file.clone(),
                });
            }
        }
    }
    Err(Refusal::NotValid { key: name, why })
}
