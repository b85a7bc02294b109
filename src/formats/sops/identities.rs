//! Keys that open files. They have no Debug and are never shown.

use super::metadata::{Group, Metadata, Recipient};
use super::{SopsError, digest, openpgp, shamir};
use crate::model::ids::hex;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use std::io::Read;
use std::sync::Arc;
use zeroize::Zeroizing;

/// A data key is 32 bytes, a part of one 33; nothing much longer is read.
const DATA_KEY_MAX: usize = 1024;

/// Stanzas in the headers of age of one file: the sops command writes one for each recipient, and each costs a multiplication
/// on a curve for every key that we have.
const STANZAS_MAX: usize = 512;

/// Identities of age that need a plugin or a library that we do not have.
const OTHER_KINDS: [(&str, &str); 2] = [
    ("AGE-SECRET-KEY-PQ-", "a post-quantum identity"),
    ("AGE-PLUGIN-", "an identity of an age plugin"),
];

/// A set of keys: age identities (X25519 and ssh keys) and OpenPGP private keys.
#[derive(Clone, Default)]
pub struct Identities {
    keys: Vec<Arc<dyn age::Identity + Send + Sync>>,
    /// The public keys of the X25519 identities, as files name them.
    public: Vec<String>,
    pgp: Vec<openpgp::SecretKey>,
    /// Keys that were given and cannot be used, in words.
    unusable: Vec<String>,
    id: String,
    /// What masks are made with: nobody without the keys can try values out.
    mask: Zeroizing<Vec<u8>>,
}

impl Identities {
    /// Reads key files as `age-keygen`, `ssh-keygen` and `gpg --armor --export-secret-keys` write them: comments and blank lines
    /// are fine.
    ///
    /// A key of a kind that we cannot use is passed over while there are others, and named when no other opens a file.
    ///
    /// # Errors
    /// The name of the first file in which something is no key, or that nothing can be used; no text is ever quoted.
    pub fn parse<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, String> {
        Self::of(files, [])
    }

    /// Reads key files that somebody named, and others that were found in their usual places. Of those nothing is an error: what
    /// cannot be used is named when no key opens a file.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), about the files that were named.
    pub fn of<'a>(
        named: impl IntoIterator<Item = (&'a str, &'a str)>,
        found: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, String> {
        let mut all = Self::default();
        let mut texts = Zeroizing::new(Vec::new());
        for (name, text) in named {
            texts.extend_from_slice(text.as_bytes());
            all.add(name, text)?;
        }
        if all.is_empty()
            && let Some(first) = all.unusable.first()
        {
            return Err(first.clone());
        }
        for (name, text) in found {
            texts.extend_from_slice(text.as_bytes());
            if let Err(what) = all.add(name, text) {
                all.unusable.push(what);
            }
        }
        all.id = digest(&texts);
        let mut seed = Zeroizing::new(b"couchestor mask ".to_vec());
        seed.extend_from_slice(&texts);
        all.mask = Zeroizing::new(Sha256::digest(&*seed).to_vec());
        Ok(all)
    }

    /// Adds the keys of one file.
    fn add(&mut self, name: &str, text: &str) -> Result<(), String> {
        if text.contains("-----BEGIN PGP ") {
            let (locked, open): (Vec<_>, Vec<_>) = openpgp::read(name, text)?
                .into_iter()
                .partition(openpgp::SecretKey::is_locked);
            if !locked.is_empty() {
                self.unusable.push(format!(
                    "{name} holds an OpenPGP key with a passphrase, which couchestor does not ask for"
                ));
            }
            self.pgp.extend(open);
            return Ok(());
        }
        if text.contains("-----BEGIN ") {
            let identity = age::ssh::Identity::from_buffer(text.as_bytes(), Some(name.to_owned()))
                .map_err(|_| format!("{name} is no ssh key that age can use"))?;
            match identity {
                age::ssh::Identity::Unencrypted(_) => self.keys.push(Arc::new(identity)),
                _ => self.unusable.push(format!(
                    "{name} is an ssh key with a passphrase or of a kind that age cannot use"
                )),
            }
            return Ok(());
        }
        for line in text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            if let Some((_, kind)) = OTHER_KINDS.iter().find(|(start, _)| line.starts_with(start)) {
                self.unusable
                    .push(format!("{name} holds {kind}, which couchestor does not use"));
                continue;
            }
            let identity: age::x25519::Identity = line
                .parse()
                .map_err(|_| format!("{name} holds a line that is no age identity (AGE-SECRET-KEY-1…)"))?;
            self.public.push(identity.to_public().to_string());
            self.keys.push(Arc::new(identity));
        }
        Ok(())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.pgp.is_empty()
    }

    /// Eight digits that are the same for the same text and these keys. A plain digest would let anybody try short values out; so
    /// there are none without a key that only its owner has.
    pub fn masked(&self, text: &str) -> Option<String> {
        if self.is_empty() {
            return None;
        }
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.mask).ok()?;
        mac.update(text.as_bytes());
        Some(hex(&mac.finalize().into_bytes()[..4]))
    }

    /// Names the set without telling anything about it, for caches.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Opens the data key: with any identity where one group is enough, from enough groups where it was split. Recipients that
    /// we cannot use are passed over.
    pub(super) fn open(&self, metadata: &Metadata) -> Result<Zeroizing<Vec<u8>>, SopsError> {
        let age = metadata.groups.iter().flat_map(|group| &group.age);
        if age.map(|one| stanzas(&one.enc)).sum::<usize>() > STANZAS_MAX {
            return Err(SopsError::Metadata {
                what: format!("has more than {STANZAS_MAX} stanzas in its headers of age"),
            });
        }
        let parts: Vec<Zeroizing<Vec<u8>>> = metadata
            .groups
            .iter()
            .filter_map(|group| self.part(group))
            .collect();
        let key = match metadata.groups.len() {
            1 => parts.into_iter().next(),
            _ if parts.len() >= metadata.threshold => shamir::combine(&parts),
            _ => None,
        };
        key.filter(|key| key.len() == 32).ok_or_else(|| {
            let groups: Vec<String> = metadata
                .groups
                .iter()
                .map(|group| group.words().join(", "))
                .collect();
            let recipients = match groups.as_slice() {
                [one] => one.clone(),
                many => format!("{} of the groups ({})", metadata.threshold, many.join("), (")),
            };
            // A key that could not be used may be the one.
            let unusable = self
                .unusable
                .iter()
                .map(|what| format!(" ({what})"))
                .collect::<String>();
            SopsError::NoKey {
                recipients: recipients + &unusable,
            }
        })
    }

    fn part(&self, group: &Group) -> Option<Zeroizing<Vec<u8>>> {
        // Those that are said to be ours come first: to try one costs as much as to read the file.
        let ours = |recipient: &&Recipient| self.public.contains(&recipient.recipient);
        let others = group.age.iter().filter(|recipient| !ours(recipient));
        let by_age = group.age.iter().filter(ours).chain(others).find_map(|recipient| {
            let armored = age::armor::ArmoredReader::new(recipient.enc.as_bytes());
            let decryptor = age::Decryptor::new_buffered(armored).ok()?;
            let keys = self.keys.iter().map(|key| key.as_ref() as &dyn age::Identity);
            let reader = decryptor.decrypt(keys).ok()?;
            let mut key = Zeroizing::new(Vec::with_capacity(DATA_KEY_MAX));
            reader.take(DATA_KEY_MAX as u64).read_to_end(&mut key).ok()?;
            Some(key)
        });
        by_age.or_else(|| {
            group.pgp.iter().find_map(|recipient| {
                let mut keys = self.pgp.iter();
                keys.find_map(|key| openpgp::open(key, &recipient.enc, DATA_KEY_MAX as u64))
            })
        })
    }
}

/// How many recipients the header of an age file names.
fn stanzas(armored: &str) -> usize {
    let mut bytes = Vec::new();
    // What cannot be read has no header that age could read either.
    let _ = age::armor::ArmoredReader::new(armored.as_bytes()).read_to_end(&mut bytes);
    bytes.windows(4).filter(|part| part == b"\n-> ").count()
}
