//! What is split off and how keys are read; signatures by the real `git`, `ssh-keygen` and `gpg` are in tests/signatures.rs.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::*;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

#[test]
fn a_commit_is_split_into_what_was_signed_and_the_signature() {
    let commit = b"tree 1\nauthor A <a@b> 1700000000 +0000\ncommitter C > D <c@d> 1700000001 +0100\n\
gpgsig -----BEGIN SSH SIGNATURE-----\n line\n -----END SSH SIGNATURE-----\ngpgsig-sha256 other\n more\nencoding utf-8\n\nmessage\ngpgsig -----BEGIN PGP SIGNATURE-----\n";
    let parts = split(commit, Signable::Commit).unwrap();
    assert_eq!(
        parts.signature,
        "-----BEGIN SSH SIGNATURE-----\nline\n-----END SSH SIGNATURE-----\n"
    );
    assert_eq!(
        String::from_utf8(parts.payload).unwrap(),
        "tree 1\nauthor A <a@b> 1700000000 +0000\ncommitter C > D <c@d> 1700000001 +0100\nencoding utf-8\n\nmessage\ngpgsig -----BEGIN PGP SIGNATURE-----\n"
    );
    assert_eq!(parts.at.as_second(), 1_700_000_001);
    assert_eq!(parts.format, Format::Ssh);
}

#[test]
fn what_is_unsigned_or_odd_is_refused_by_name() {
    let head = "tree 1\ncommitter C <c@d> 1 +0000\n";
    for (object, kind, expected) in [
        (format!("{head}\nmessage\n"), Signable::Commit, "not signed"),
        (
            format!("{head}\n-----BEGIN SSH SIGNATURE-----\n"),
            Signable::Commit,
            "not signed",
        ),
        (
            format!("{head}gpgsig -----BEGIN SSH SIGNATURE-----\ngpgsig -----BEGIN SSH SIGNATURE-----\n\nm"),
            Signable::Commit,
            "two signatures",
        ),
        (
            format!("{head}gpgsig -----BEGIN SIGNED MESSAGE-----\n\nm"),
            Signable::Commit,
            "X.509",
        ),
        (
            format!("{head}gpgsig hello\n\nm"),
            Signable::Commit,
            "signature cannot be read",
        ),
        (
            "tree 1\ngpgsig -----BEGIN SSH SIGNATURE-----\n\nm".to_owned(),
            Signable::Commit,
            "date cannot be read",
        ),
        (
            "object 1\ntagger C <c@d> 1 +0000\n\nmessage\n".to_owned(),
            Signable::Tag,
            "not signed",
        ),
        (
            format!("{head}gpgsig -----BEGIN SSH SIGNATURE-----\n !\n\nm"),
            Signable::Commit,
            "SSH signature cannot be read",
        ),
        (
            format!("{head}gpgsig -----BEGIN PGP SIGNATURE-----\n !\n\nm"),
            Signable::Commit,
            "OpenPGP signature cannot be read",
        ),
        (String::new(), Signable::Commit, "not signed"),
        (String::new(), Signable::Tag, "not signed"),
    ] {
        let signers = Signers::parse([("a.sshpub", KEY)]).unwrap();
        let refusal = signers.verify(object.as_bytes(), kind).unwrap_err().to_string();
        assert!(refusal.contains(expected), "{object:?}: {refusal}");
    }
}

#[test]
fn keys_are_read_as_people_write_them_and_mistakes_are_named_by_line() {
    for (line, expected) in [
        (KEY.to_owned(), Ok(())),
        (format!("# a comment\n\n{KEY} anna@example.org\n"), Ok(())),
        (format!("anna@example.org,*@ops {KEY}"), Ok(())),
        (
            format!("anna namespaces=\"git,file\",valid-after=\"20250101\" {KEY}"),
            Ok(()),
        ),
        (
            format!("valid-after=\"20250101Z\",valid-before=\"20260101123456Z\" {KEY}"),
            Ok(()),
        ),
        ("hello".to_owned(), Err("line 1: this is no SSH public key")),
        ("ssh-ed25519".to_owned(), Err("the key itself is missing")),
        ("ssh-ed25519 AAAA".to_owned(), Err("the key cannot be read")),
        (
            format!("\nanna namespaces=\"file\" {KEY}"),
            Err("line 2: namespaces=\"file\" leaves out"),
        ),
        (
            format!("anna cert-authority {KEY}"),
            Err("certificates are not read"),
        ),
        (
            format!("anna valid-after=\"soon\" {KEY}"),
            Err("`soon` is no time"),
        ),
        (format!("anna colour=red {KEY}"), Err("`colour` is not known")),
    ] {
        let read = Signers::parse([("a.sshpub", line.as_str())]).map(|_| ());
        match (&read, expected) {
            (Ok(()), Ok(())) => {}
            (Err(error), Err(text)) if error.contains(text) => {}
            _ => panic!("{line:?}: {read:?}, not {expected:?}"),
        }
    }
}

#[test]
fn a_secret_without_a_usable_signer_is_an_error() {
    for (file, text, expected) in [
        ("readme", KEY, "holds no signer"),
        ("a.asc", "hello", "holds no OpenPGP public key"),
        ("a.asc", "-----BEGIN PGP PRIVATE KEY BLOCK-----", "private key"),
        (
            "a.asc",
            "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n-----END PGP PUBLIC KEY BLOCK-----\n",
            "a.asc is no armored",
        ),
    ] {
        let error = Signers::parse([(file, text)]).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}
