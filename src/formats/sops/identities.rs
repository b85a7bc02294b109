//! Keys that open files. They have no Debug and are never shown.

use super::metadata::Metadata;
use super::{SopsError, digest};
use std::io::Read;
use std::sync::Arc;
use zeroize::Zeroizing;

/// A data key is 32 bytes; nothing longer is read.
const DATA_KEY_MAX: u64 = 1024;

/// A set of age identities (X25519 and ssh keys).
#[derive(Clone, Default)]
pub struct Identities {
    keys: Vec<Arc<dyn age::Identity + Send + Sync>>,
    id: String,
}

impl Identities {
    /// Reads key files as `age-keygen` and `ssh-keygen` write them: comments and blank lines are fine.
    ///
    /// # Errors
    /// The name of the first file in which something is no key; its text is never quoted.
    pub fn parse<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, String> {
        let mut keys: Vec<Arc<dyn age::Identity + Send + Sync>> = Vec::new();
        let mut all = Zeroizing::new(String::new());
        for (name, text) in files {
            all.push_str(text);
            if text.contains("-----BEGIN ") {
                let identity = age::ssh::Identity::from_buffer(text.as_bytes(), Some(name.to_owned()))
                    .map_err(|_| format!("{name} is no ssh key that age can use"))?;
                match identity {
                    age::ssh::Identity::Unencrypted(_) => keys.push(Arc::new(identity)),
                    _ => {
                        return Err(format!(
                            "{name} is an ssh key with a passphrase or of a kind that age cannot use"
                        ));
                    }
                }
                continue;
            }
            for line in text
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
            {
                let identity: age::x25519::Identity = line.parse().map_err(|_| {
                    format!("{name} holds a line that is no age identity (AGE-SECRET-KEY-1…)")
                })?;
                keys.push(Arc::new(identity));
            }
        }
        Ok(Self {
            id: digest(all.as_bytes()),
            keys,
        })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Names the set without telling anything about it, for caches.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Opens the data key with any identity; recipients that we cannot read are passed over.
    pub(super) fn open(&self, metadata: &Metadata) -> Result<Zeroizing<Vec<u8>>, SopsError> {
        for recipient in &metadata.age {
            let armored = age::armor::ArmoredReader::new(recipient.enc.as_bytes());
            let Ok(decryptor) = age::Decryptor::new_buffered(armored) else {
                continue;
            };
            let keys = self.keys.iter().map(|key| key.as_ref() as &dyn age::Identity);
            let Ok(reader) = decryptor.decrypt(keys) else {
                continue;
            };
            let mut data_key = Zeroizing::new(Vec::new());
            if reader.take(DATA_KEY_MAX).read_to_end(&mut data_key).is_ok() && data_key.len() == 32 {
                return Ok(data_key);
            }
        }
        let mut recipients: Vec<String> = metadata.age.iter().map(|one| one.recipient.clone()).collect();
        recipients.extend(
            metadata
                .others
                .iter()
                .map(|kind| format!("recipients of kind {kind}")),
        );
        Err(SopsError::NoKey {
            recipients: recipients.join(", "),
        })
    }
}
