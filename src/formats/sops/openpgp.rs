//! OpenPGP private keys and the messages in which sops seals a data key to them.

use pgp::composed::{Deserializable, Message, SignedSecretKey};
use pgp::types::Password;
use std::io::Read;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Keys of one file; more is a mistake.
const KEYS_MAX: usize = 64;

const BEGIN: &str = "-----BEGIN PGP PRIVATE KEY BLOCK-----";

/// A private key without a passphrase, as Flux reads them.
#[derive(Clone)]
pub(super) struct SecretKey(Arc<SignedSecretKey>);

/// Reads the armored keys of one file.
pub(super) fn read(name: &str, text: &str) -> Result<Vec<SecretKey>, String> {
    let mut keys = Vec::new();
    for block in text.match_indices(BEGIN).map(|(at, _)| &text[at..]) {
        let broken = || format!("{name} is no armored OpenPGP private key");
        let (found, _) = SignedSecretKey::from_string_many(block).map_err(|_| broken())?;
        for key in found {
            if keys.len() >= KEYS_MAX {
                return Err(format!("{name} holds more than {KEYS_MAX} keys"));
            }
            keys.push(SecretKey(Arc::new(key.map_err(|_| broken())?)));
        }
    }
    if keys.is_empty() {
        return Err(format!(
            "{name} holds no OpenPGP private key; export it with `gpg --armor --export-secret-keys`"
        ));
    }
    Ok(keys)
}

impl SecretKey {
    /// Whether nothing of the key can be used without a passphrase.
    pub(super) fn is_locked(&self) -> bool {
        let subkeys = self.0.secret_subkeys.iter();
        let mut parts = subkeys.map(|subkey| subkey.key.secret_params().is_encrypted());
        self.0.primary_key.secret_params().is_encrypted() && parts.all(|locked| locked)
    }
}

/// Opens a message, if it is sealed to this key.
pub(super) fn open(key: &SecretKey, message: &str, max: u64) -> Option<Zeroizing<Vec<u8>>> {
    let (message, _) = Message::from_armor(message.as_bytes()).ok()?;
    let mut message = message.decrypt(&Password::empty(), &key.0).ok()?;
    if message.is_compressed() {
        message = message.decompress().ok()?;
    }
    let mut clear = Zeroizing::new(Vec::new());
    message.take(max).read_to_end(&mut clear).ok()?;
    Some(clear)
}
