//! OpenPGP certificates (RFC 9580), and the signatures that they make.

use super::{Parts, Refusal, Signed};
use jiff::Timestamp;
use pgp::composed::{Deserializable, DetachedSignature, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType};
use pgp::types::{KeyDetails, Tag};

/// Certificates of one file; more is a mistake.
const KEYS_MAX: usize = 1024;

const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";

/// A certificate whose own statements were checked when it was read.
#[derive(Clone, Debug)]
pub(super) struct Signer {
    certificate: SignedPublicKey,
    file: String,
}

/// Reads the certificates of one file; it may hold several blocks.
pub(super) fn read(file: &str, text: &str) -> Result<Vec<Signer>, String> {
    if text.contains("PRIVATE KEY BLOCK") {
        return Err(format!(
            "{file} holds a private key; export the public one with `gpg --armor --export`"
        ));
    }
    let mut signers = Vec::new();
    for block in text.match_indices(BEGIN).map(|(at, _)| &text[at..]) {
        let broken = |_| format!("{file} is no armored OpenPGP public key; use `gpg --armor --export`");
        let (certificates, _) = SignedPublicKey::from_string_many(block).map_err(broken)?;
        for certificate in certificates {
            let certificate = certificate.map_err(broken)?;
            if signers.len() >= KEYS_MAX {
                return Err(format!("{file} holds more than {KEYS_MAX} keys"));
            }
            signers.push(Signer {
                certificate,
                file: file.to_owned(),
            });
        }
    }
    if signers.is_empty() {
        return Err(format!("{file} holds no OpenPGP public key block"));
    }
    Ok(signers)
}

/// Checks a signature.
pub(super) fn verify(signers: &[Signer], parts: &Parts) -> Result<Signed, Refusal> {
    let malformed = Refusal::Malformed {
        what: "OpenPGP signature",
    };
    let Ok((detached, _)) = DetachedSignature::from_string(&parts.signature) else {
        return Err(malformed);
    };
    let signature = &detached.signature;
    if !matches!(signature.typ(), Some(SignatureType::Binary | SignatureType::Text)) {
        return Err(malformed);
    }
    for signer in signers {
        let certificate = &signer.certificate;
        let primary = &certificate.primary_key;
        let subkeys = certificate.public_subkeys.iter();
        // Who made it is only said by the signature; which key it is, is seen by trying.
        if made_by(signature, primary) {
            let name = name(primary);
            judge(signature, primary, parts, &name)?;
            valid_certificate(signer, signature, &name, true)?;
            return Ok(signed(signer, name));
        }
        if let Some(subkey) = subkeys.clone().find(|subkey| made_by(signature, &subkey.key)) {
            let name = name(&subkey.key);
            judge(signature, &subkey.key, parts, &name)?;
            valid_certificate(signer, signature, &name, false)?;
            valid_subkey(signer, subkey, signature, &name)?;
            return Ok(signed(signer, name));
        }
    }
    let named = match (
        signature.issuer_fingerprint().first(),
        signature.issuer_key_id().first(),
    ) {
        (Some(fingerprint), _) => format!("{fingerprint:X}"),
        (None, Some(id)) => id.to_string().to_uppercase(),
        (None, None) => "an OpenPGP key that it does not name".to_owned(),
    };
    Err(Refusal::UnknownKey { key: named })
}

fn signed(signer: &Signer, key: String) -> Signed {
    Signed {
        key,
        file: signer.file.clone(),
    }
}

fn name(key: &impl KeyDetails) -> String {
    format!("{:X}", key.fingerprint())
}

fn made_by(signature: &Signature, key: &impl KeyDetails) -> bool {
    let by_print = signature
        .issuer_fingerprint()
        .iter()
        .any(|print| **print == key.fingerprint());
    let by_id = signature
        .issuer_key_id()
        .iter()
        .any(|id| **id == key.legacy_key_id());
    by_print || by_id
}

fn judge(
    signature: &Signature,
    key: &impl pgp::types::VerifyingKey,
    parts: &Parts,
    name: &str,
) -> Result<(), Refusal> {
    let strong = matches!(
        signature.hash_alg(),
        Some(
            HashAlgorithm::Sha256
                | HashAlgorithm::Sha384
                | HashAlgorithm::Sha512
                | HashAlgorithm::Sha3_256
                | HashAlgorithm::Sha3_512
        )
    );
    if !strong {
        return Err(invalid(
            name,
            "signed with a digest that can be forged; use SHA-256 or longer",
        ));
    }
    signature
        .verify(key, parts.payload.as_slice())
        .map_err(|_| Refusal::Broken { key: name.to_owned() })
}

fn invalid(key: &str, why: impl Into<String>) -> Refusal {
    Refusal::NotValid {
        key: key.to_owned(),
        why: why.into(),
    }
}

/// What the certificate says of its primary key: not revoked, not expired, and, if it signs itself, made for signing.
fn valid_certificate(signer: &Signer, signature: &Signature, name: &str, signs: bool) -> Result<(), Refusal> {
    let certificate = &signer.certificate;
    let primary = &certificate.primary_key;
    let details = &certificate.details;
    // Whatever the reason: a certificate that was revoked is taken out of the Secret or it is not trusted.
    if details
        .revocation_signatures
        .iter()
        .any(|revocation| revocation.verify_key(primary).is_ok())
    {
        return Err(invalid(name, "was revoked by its owner"));
    }
    let direct = details
        .direct_signatures
        .iter()
        .filter(|own| own.verify_key(primary).is_ok());
    let users = details.users.iter().flat_map(|user| {
        user.signatures.iter().filter(move |own| {
            own.is_certification() && own.verify_certification(primary, Tag::UserId, &user.id).is_ok()
        })
    });
    let Some(newest) = direct
        .chain(users)
        .max_by_key(|own| own.created().map_or(0, |at| at.as_secs()))
    else {
        return Err(invalid(
            name,
            "has no statement by its own owner, so nothing says that it is whole",
        ));
    };
    if signs && newest.key_flags() != Default::default() && !newest.key_flags().sign() {
        return Err(invalid(name, "is not made for signing"));
    }
    alive(primary.created_at().as_secs(), newest, signature, name)
}

/// What the certificate says of a subkey: bound by the primary key, binding it in turn, not revoked, not expired.
fn valid_subkey(
    signer: &Signer,
    subkey: &SignedPublicSubKey,
    signature: &Signature,
    name: &str,
) -> Result<(), Refusal> {
    let primary = &signer.certificate.primary_key;
    let holds = |own: &&Signature| own.verify_subkey_binding(primary, &subkey.key).is_ok();
    let own = || subkey.signatures.iter().filter(holds);
    if own().any(|own| own.typ() == Some(SignatureType::SubkeyRevocation)) {
        return Err(invalid(name, "was revoked by its owner"));
    }
    let newest = own()
        .filter(|own| own.typ() == Some(SignatureType::SubkeyBinding))
        .max_by_key(|own| own.created().map_or(0, |at| at.as_secs()));
    let Some(newest) = newest else {
        return Err(invalid(name, "is not bound to the certificate that holds it"));
    };
    // Without the embedded signature anyone could claim somebody else's subkey (RFC 9580, 5.2.1.9).
    let mutual = newest
        .embedded_signature()
        .is_some_and(|back| back.verify_primary_key_binding(&subkey.key, primary).is_ok());
    if !newest.key_flags().sign() || !mutual {
        return Err(invalid(name, "is not made for signing"));
    }
    alive(subkey.key.created_at().as_secs(), newest, signature, name)
}

/// Whether a key lived when the signature was made.
fn alive(born: u32, own: &Signature, signature: &Signature, name: &str) -> Result<(), Refusal> {
    let Some(made) = signature.created().map(|at| at.as_secs()) else {
        return Err(invalid(name, "made a signature without a time"));
    };
    let text = |seconds: u32| {
        Timestamp::from_second(i64::from(seconds)).map_or_else(|_| seconds.to_string(), |at| at.to_string())
    };
    if made < born {
        return Err(invalid(
            name,
            format!("was made on {}, after its signature", text(born)),
        ));
    }
    match own.key_expiration_time().map(|time| time.as_secs()) {
        Some(life) if life > 0 && made >= born.saturating_add(life) => Err(invalid(
            name,
            format!(
                "was valid only before {}; the signature is of {}",
                text(born.saturating_add(life)),
                text(made)
            ),
        )),
        _ => Ok(()),
    }
}
