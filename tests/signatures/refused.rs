//! Signatures that hold, by keys that may not make them or over digests that can be forged: every one is refused, and told why.

use super::{Bench, DATE, refusal, signers};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use couchestor::formats::signature::Signable;
use pgp::composed::{
    ArmorOptions, Deserializable, DetachedSignature, SignedKeyDetails, SignedPublicKey, SignedPublicSubKey,
    SignedSecretKey,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{KeyFlags, Signature, SignatureConfig, SignatureType, Subpacket, SubpacketData};
use pgp::types::{KeyDetails, Password, SignedUser, Timestamp};
use ssh_key::{HashAlg, PublicKey, SshSig};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

/// The fingerprints of a key and its subkeys, in this order.
fn prints(bench: &Bench, user: &str) -> Vec<String> {
    let listing = bench.gpg(&["--with-colons", "--with-subkey-fingerprint", "--list-keys", user]);
    let of_line = |line: &str| Some(line.strip_prefix("fpr:")?.trim_matches(':').to_owned());
    listing.lines().filter_map(of_line).collect()
}

/// A key that certifies alone, and its subkey that signs, as gpg makes them.
fn key_with_subkey(bench: &Bench, user: &str) -> Vec<String> {
    bench.gpg_key(user, &["ed25519", "cert", "never"]);
    let primary = prints(bench, user).remove(0);
    bench.gpg(&["--quick-add-key", &primary, "ed25519", "sign", "never"]);
    prints(bench, user)
}

/// Says these lines to gpg's editor of a key.
fn edit(bench: &Bench, key: &str, lines: &[&str]) {
    std::fs::write(bench.path("lines"), lines.join("\n") + "\nsave\n").expect("our folder");
    let mut command = bench.command("gpg", bench.folder.path());
    command
        .args(["--no-tty", "--quiet", "--yes", "--pinentry-mode", "loopback"])
        .args(["--passphrase", "", "--command-file", "lines", "--edit-key", key]);
    Bench::run(&mut command);
}

/// Commits while gpg has these options.
fn commit_with(bench: &Bench, options: &str, key: &str) -> Vec<u8> {
    let file = bench.path("gnupg/gpg.conf");
    std::fs::write(&file, options).expect("our folder");
    let commit = bench.commit("openpgp", key, DATE);
    std::fs::remove_file(file).expect("our folder");
    commit
}

fn believed(certificate: &str, commit: &[u8]) -> bool {
    signers(&[("a.asc", certificate)])
        .verify(commit, Signable::Commit)
        .is_ok()
}

fn assert_refused(what: &str, certificate: &str, commit: &[u8], words: &str) {
    let why = refusal(&signers(&[("a.asc", certificate)]), commit, Signable::Commit);
    assert!(why.contains(words), "{what}: {why}");
}

#[test]
fn what_gpg_says_of_a_key_after_it_signed_counts() {
    let bench = Bench::new();
    let late = "faked-system-time 20990101T000000\n";
    let early = "faked-system-time 20000101T000000\nignore-time-conflict\nignore-valid-from\n";
    let as_it_is: &[&str] = &[];
    let revoke: &[&str] = &["key 1", "revkey", "y", "0", "", "y"];
    // gpg leaves the subkey's own signature under its binding where it is: what it is for is all that changes.
    let other_use: &[&str] = &["key 1", "change-usage", "S", "A", "Q"];
    for (number, (what, options, lines, expire, words)) in [
        ("a subkey revoked", "", revoke, None, "was revoked by its owner"),
        (
            "a subkey that authenticates",
            "",
            other_use,
            None,
            "is not made for signing",
        ),
        (
            "a subkey that ran out",
            late,
            as_it_is,
            Some("subkey"),
            "was valid only before",
        ),
        (
            "a key that ran out above its subkey",
            late,
            as_it_is,
            Some("key"),
            "was valid only before",
        ),
        (
            "a subkey younger than its signature",
            early,
            as_it_is,
            None,
            "after its signature",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let user = format!("user{number}@example.org");
        let prints = key_with_subkey(&bench, &user);
        let [key, subkey] = [&prints[0], &prints[1]];
        let before = bench.gpg_export(&user);
        let in_time = bench.commit("openpgp", &user, DATE);
        assert!(believed(&before, &in_time), "{what}");
        let commit = commit_with(&bench, options, &user);
        // gpg says so for the time at which it signs; it is the certificate that is judged here.
        assert_eq!(believed(&before, &commit), options != early, "{what}");
        if !lines.is_empty() {
            edit(&bench, key, lines);
        }
        match expire {
            Some("subkey") => drop(bench.gpg(&["--quick-set-expire", key, "1y", subkey])),
            Some(_) => drop(bench.gpg(&["--quick-set-expire", key, "1y"])),
            None => {}
        }
        let after = bench.gpg_export(&user);
        assert_refused(what, &after, &commit, words);
        // What a key signed in its time stays; what a revoked one signed does not, nor one that is for something else.
        assert_eq!(believed(&after, &in_time), lines.is_empty(), "{what}");
    }
}

#[test]
fn an_openpgp_key_that_certifies_alone_signs_no_commit() {
    let bench = Bench::new();
    bench.gpg_key("anna@example.org", &["ed25519", "sign,cert", "never"]);
    let commit = bench.commit("openpgp", "anna@example.org", DATE);
    assert!(believed(&bench.gpg_export("anna@example.org"), &commit));
    let key = prints(&bench, "anna@example.org").remove(0);
    edit(&bench, &key, &["change-usage", "S", "Q"]);
    let certifies = bench.gpg_export("anna@example.org");
    assert_refused(
        "a key that certifies",
        &certifies,
        &commit,
        "is not made for signing",
    );
}

#[test]
fn an_openpgp_signature_over_a_weak_digest_is_refused() {
    let bench = Bench::new();
    let certificate = bench.gpg_key("anna@example.org", &["rsa2048", "sign", "never"]);
    for (digest, strong) in [
        ("SHA1", false),
        ("RIPEMD160", false),
        ("SHA224", false),
        ("SHA256", true),
        ("SHA384", true),
        ("SHA512", true),
    ] {
        let commit = commit_with(&bench, &format!("digest-algo {digest}\n"), "anna@example.org");
        if strong {
            assert!(believed(&certificate, &commit), "{digest}");
        } else {
            assert_refused(digest, &certificate, &commit, "a digest that can be forged");
        }
    }
}

/// The private half of what gpg made.
fn secret(bench: &Bench, user: &str) -> SignedSecretKey {
    let armored = bench.gpg(&["--armor", "--export-secret-keys", user]);
    SignedSecretKey::from_string(&armored).expect("gpg wrote it").0
}

/// The beginning of a statement of this moment by a key.
fn statement(kind: SignatureType, by: &impl KeyDetails) -> SignatureConfig {
    let mut config = SignatureConfig::v4(kind, by.algorithm(), HashAlgorithm::Sha512);
    let made = SubpacketData::SignatureCreationTime(Timestamp::now());
    config.hashed_subpackets = vec![Subpacket::regular(made).expect("it is short")];
    config
}

/// What a subkey says: that it belongs to a key.
fn consent(of: &SignedSecretKey, to: &SignedSecretKey) -> Signature {
    let subkey = &of.secret_subkeys[0].key;
    statement(SignatureType::KeyBinding, subkey)
        .sign_primary_key_binding(
            subkey,
            subkey.public_key(),
            &Password::empty(),
            to.primary_key.public_key(),
        )
        .expect("it can sign")
}

/// The certificate of a key with somebody's subkey bound to it.
fn bound(
    to: &SignedSecretKey,
    of: &SignedSecretKey,
    signs: bool,
    consent: Option<Signature>,
) -> SignedPublicKey {
    let subkey = of.secret_subkeys[0].key.public_key().clone();
    let mut flags = KeyFlags::default();
    flags.set_sign(signs);
    flags.set_authentication(!signs);
    let mut config = statement(SignatureType::SubkeyBinding, &to.primary_key);
    for data in [SubpacketData::KeyFlags(flags)]
        .into_iter()
        .chain(consent.map(|one| SubpacketData::EmbeddedSignature(Box::new(one))))
    {
        config
            .hashed_subpackets
            .push(Subpacket::regular(data).expect("it is short"));
    }
    let binding = config
        .sign_subkey_binding(
            &to.primary_key,
            to.primary_key.public_key(),
            &Password::empty(),
            &subkey,
        )
        .expect("it can sign");
    let subkey = SignedPublicSubKey::new(subkey, vec![binding]);
    with_subkeys(to, to.details.clone(), vec![subkey])
}

fn with_subkeys(
    key: &SignedSecretKey,
    details: SignedKeyDetails,
    subkeys: Vec<SignedPublicSubKey>,
) -> SignedPublicKey {
    SignedPublicKey::new(key.primary_key.public_key().clone(), details, subkeys)
}

#[test]
fn a_subkey_belongs_to_a_certificate_only_when_both_say_so() {
    let bench = Bench::new();
    for user in ["anna@example.org", "eve@example.org"] {
        key_with_subkey(&bench, user);
    }
    let [anna, eve] = ["anna@example.org", "eve@example.org"].map(|user| secret(&bench, user));
    let commit = bench.commit("openpgp", "anna@example.org", DATE);
    let of_anna = anna.to_public_key();
    // Whoever may make the statements that gpg makes is believed: it is no mistake of ours that the others are refused for.
    let ours = bound(&anna, &anna, true, Some(consent(&anna, &anna)));
    for certificate in [&of_anna, &ours] {
        let armored = certificate.to_armored_string(ArmorOptions::default());
        assert!(believed(&armored.expect("it can be written"), &commit));
    }
    let vouched_by_eve = SignedKeyDetails {
        users: vec![SignedUser {
            id: anna.details.users[0].id.clone(),
            signatures: eve.details.users[0].signatures.clone(),
        }],
        ..anna.details.clone()
    };
    let silent = SignedKeyDetails {
        users: Vec::new(),
        ..anna.details.clone()
    };
    let purpose = "is not made for signing";
    let statement = "has no statement by its own owner";
    for (what, certificate, words) in [
        (
            "a subkey with the statement of another key",
            with_subkeys(&eve, eve.details.clone(), of_anna.public_subkeys.clone()),
            "is not bound to the certificate",
        ),
        (
            "a subkey claimed in silence",
            bound(&eve, &anna, true, None),
            purpose,
        ),
        (
            "a subkey claimed with what it said to its owner",
            bound(&eve, &anna, true, Some(consent(&anna, &anna))),
            purpose,
        ),
        (
            "a subkey claimed with what another subkey said",
            bound(&eve, &anna, true, Some(consent(&eve, &eve))),
            purpose,
        ),
        (
            "a subkey for something else",
            bound(&anna, &anna, false, Some(consent(&anna, &anna))),
            purpose,
        ),
        (
            "a key that says nothing",
            with_subkeys(&anna, silent, of_anna.public_subkeys.clone()),
            statement,
        ),
        (
            "a key of which another speaks",
            with_subkeys(&anna, vouched_by_eve, of_anna.public_subkeys.clone()),
            statement,
        ),
    ] {
        let armored = certificate
            .to_armored_string(ArmorOptions::default())
            .expect("it can be written");
        assert_refused(what, &armored, &commit, words);
    }
}

#[test]
fn an_openpgp_signature_that_says_no_time_is_refused() {
    let bench = Bench::new();
    let certificate = bench.gpg_key("anna@example.org", &["ed25519", "sign", "never"]);
    let anna = secret(&bench, "anna@example.org");
    bench.git(&["commit", "-q", "--allow-empty", "-m", "words"], &[]);
    let object = bench.object("commit", "HEAD");
    for (timed, words) in [(true, None), (false, Some("a signature without a time"))] {
        let mut config = statement(SignatureType::Binary, &anna.primary_key);
        if !timed {
            config.hashed_subpackets.clear();
        }
        let by = SubpacketData::IssuerFingerprint(anna.primary_key.fingerprint());
        config
            .hashed_subpackets
            .push(Subpacket::regular(by).expect("it is short"));
        let signature = config
            .sign(&anna.primary_key, &Password::empty(), object.as_slice())
            .expect("it can sign");
        let armored = DetachedSignature::new(signature)
            .to_armored_string(ArmorOptions::default())
            .expect("it can be written");
        let commit = signed(&object, &armored);
        match words {
            Some(words) => assert_refused("no time", &certificate, &commit, words),
            None => assert!(believed(&certificate, &commit)),
        }
    }
}

/// A commit with a signature as git puts it in.
fn signed(commit: &[u8], armored: &str) -> Vec<u8> {
    let text = std::str::from_utf8(commit).expect("a commit is text here");
    let header = format!("gpgsig {}\n\n", armored.trim_end().replace('\n', "\n "));
    text.replacen("\n\n", &format!("\n{header}"), 1).into_bytes()
}

/// A text in the notation of SSH.
fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("it is short");
    [&length.to_be_bytes()[..], bytes].concat()
}

/// What OpenSSH's agent makes of this with a key when nobody asks for a better digest than that of RFC 4253: SHA-1.
fn signed_by_agent(bench: &Bench, key: &str, blob: &[u8], data: &[u8]) -> Vec<u8> {
    let socket = bench.path("agent");
    let mut agent = bench
        .command("ssh-agent", bench.folder.path())
        .args(["-D", "-a", "agent"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("this test needs openssh-client");
    let answer = (|| {
        // It says where it listens once it does.
        let mut said = BufReader::new(agent.stdout.take()?);
        said.read_line(&mut String::new()).ok()?;
        let mut stream = UnixStream::connect(&socket).ok()?;
        let mut add = bench.command("ssh-add", bench.folder.path());
        Bench::run(add.args(["-q", key]).env("SSH_AUTH_SOCK", &socket));
        let request = [&[13][..], &string(blob), &string(data), &[0; 4]].concat();
        stream.write_all(&string(&request)).ok()?;
        let mut length = [0; 4];
        stream.read_exact(&mut length).ok()?;
        let mut answer = vec![0; usize::try_from(u32::from_be_bytes(length)).ok()?];
        stream.read_exact(&mut answer).ok()?;
        // A byte that says that it is a signature, and the signature with its length.
        answer.starts_with(&[14]).then(|| answer[5..].to_vec())
    })();
    let _ = agent.kill();
    let _ = agent.wait();
    answer.expect("the agent signs")
}

#[test]
fn an_ssh_signature_over_sha1_is_refused_and_told_why() {
    let bench = Bench::new();
    let public = bench.ssh_key("anna", &["-t", "rsa", "-b", "2048"]);
    let other = bench.ssh_key("eve", &["-t", "rsa", "-b", "2048"]);
    bench.git(&["commit", "-q", "--allow-empty", "-m", "words"], &[]);
    let object = bench.object("commit", "HEAD");
    let key = PublicKey::from_openssh(&public).expect("ssh-keygen wrote it");
    let blob = key.to_bytes().expect("it can be written");
    let data = SshSig::signed_data("git", HashAlg::Sha512, &object).expect("it can be written");
    let signature = signed_by_agent(&bench, "anna", &blob, &data);
    assert!(
        signature.starts_with(&string(b"ssh-rsa")),
        "the agent chose a better digest"
    );
    let parts = [&blob[..], b"git", b"", b"sha512", &signature];
    let parts: Vec<u8> = parts.into_iter().flat_map(string).collect();
    let whole = STANDARD.encode([&b"SSHSIG"[..], &1_u32.to_be_bytes(), &parts].concat());
    let lines: Vec<&str> = whole
        .as_bytes()
        .chunks(70)
        .map(|line| std::str::from_utf8(line).expect("base64"))
        .collect();
    let armored = format!(
        "-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n",
        lines.join("\n")
    );
    let commit = signed(&object, &armored);
    let why = refusal(&signers(&[("a.sshpub", &public)]), &commit, Signable::Commit);
    assert!(why.contains("SHA-1") && why.contains("SHA256:"), "{why}");
    let why = refusal(&signers(&[("e.sshpub", &other)]), &commit, Signable::Commit);
    assert!(why.contains("none of the keys"), "{why}");
}
