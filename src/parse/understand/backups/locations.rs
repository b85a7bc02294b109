//! BackupLocations: what Velero or its plugin for S3 would find wrong only once a backup runs.

use super::super::Reader;
use super::around::holds;
use crate::model::desired::{Resource, text_at};
use crate::model::kinds::REPOSITORY_SECRET;
use crate::model::kinds::backup::BackupLocationSpec;
use crate::model::secret::MASK;
use serde_json::Value;

/// The algorithms that `PutObject` of the plugin knows; an empty one switches checksums off (velero-plugin-for-aws 1.14).
const CHECKSUMS: [&str; 5] = ["", "CRC32", "CRC32C", "SHA1", "SHA256"];

/// The key of its password, and the password that Velero takes by itself if nobody made the Secret.
const REPOSITORY_KEY: &str = "repository-password";
const KNOWN_PASSWORD: [(&str, &str); 2] = [
    ("stringData", "static-passw0rd"),
    ("data", "c3RhdGljLXBhc3N3MHJk"),
];

impl<'a> Reader<'a> {
    pub(in crate::parse::understand) fn location(&mut self, resource: &'a Resource) {
        self.needs_namespace(resource);
        let Some(spec) = self.spec::<BackupLocationSpec>(resource) else {
            return;
        };
        for (pointer, text) in [
            ("/spec/validationFrequency", &spec.validation_frequency),
            ("/spec/backupSyncPeriod", &spec.backup_sync_period),
        ] {
            if let Some(text) = text {
                self.duration(resource, pointer, text);
            }
        }
        self.place_in_bucket(resource, &spec);
        self.endpoint(resource, &spec);
        self.encryption(resource, &spec);
        self.credentials(resource, &spec);
        self.repository_password(resource);
        self.one_default(resource, &spec);
        self.place_of_its_own(resource, &spec);
    }

    fn place_in_bucket(&mut self, resource: &Resource, spec: &BackupLocationSpec) {
        if spec.force_path_style && spec.region.is_none() {
            self.wrong(
                resource,
                "/spec/forcePathStyle",
                "missing-field",
                "`region` is required with `forcePathStyle`",
                "write the region, or any word if the server has none",
            );
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        if spec.bucket.is_empty() || !spec.bucket.bytes().all(plain) {
            self.wrong(
                resource,
                "/spec/bucket",
                "value",
                "`bucket` is no name of a bucket",
                "write the name alone, and a folder in it as `prefix`",
            );
        }
        let prefix = spec.prefix.as_deref().unwrap_or("ok");
        if prefix.split('/').any(|part| matches!(part, "" | "." | "..")) {
            self.wrong(
                resource,
                "/spec/prefix",
                "value",
                "`prefix` is no folder of the bucket",
                "write it without / at its ends and without `.` and `..`",
            );
        }
        if spec.tags.len() > 10 || spec.tags.keys().any(String::is_empty) {
            self.wrong(
                resource,
                "/spec/tags",
                "value",
                "an object of S3 has at most ten tags, and none without a key",
                "take some out",
            );
        }
    }

    fn endpoint(&mut self, resource: &Resource, spec: &BackupLocationSpec) {
        if spec
            .endpoint
            .as_deref()
            .is_some_and(|url| url.starts_with("http:"))
            && !spec.allow_insecure
        {
            self.wrong(
                resource,
                "/spec/endpoint",
                "endpoint",
                "credentials and backups would travel without TLS",
                "give the server a certificate and write its address with TLS, or `allowInsecure: true` beside it if nobody else is on that network",
            );
        }
        if let Some(url) = &spec.public_url {
            let host = url
                .strip_prefix("https://")
                .or_else(|| url.strip_prefix("http://"));
            let host = host.map(|rest| rest.trim_end_matches('/'));
            if host.is_none_or(|host| host.is_empty() || host.contains(['/', '?', '#', ' '])) {
                self.wrong(
                    resource,
                    "/spec/publicUrl",
                    "endpoint",
                    "`publicUrl` is no address of a server",
                    "write the scheme and the host, without a path: Velero signs addresses of the bucket with it",
                );
            }
        }
        let checksum = spec.checksum_algorithm.as_deref().unwrap_or_default();
        if !CHECKSUMS.contains(&checksum) {
            self.wrong(
                resource,
                "/spec/checksumAlgorithm",
                "value",
                "`checksumAlgorithm` is none that Velero's plugin knows",
                "write CRC32, CRC32C, SHA1 or SHA256, or \"\" for servers that take none",
            );
        }
        if spec.ca_cert.is_some() && spec.ca_cert_ref.is_some() {
            self.wrong(
                resource,
                "/spec/caCertRef",
                "value",
                "a location with both `caCert` and `caCertRef` is never available",
                "keep one of them",
            );
        }
        let pem = |text: &String| text.contains("-----BEGIN CERTIFICATE-----");
        if spec.ca_cert.as_ref().is_some_and(|text| !pem(text)) {
            self.wrong(
                resource,
                "/spec/caCert",
                "value",
                "`caCert` is no certificate in PEM",
                "write it as a block: `caCert: |`, and below it the text from -----BEGIN CERTIFICATE----- on",
            );
        }
    }

    fn encryption(&mut self, resource: &Resource, spec: &BackupLocationSpec) {
        let own_key = spec.customer_key_encryption_secret.as_deref();
        let by_server = spec.server_side_encryption.as_deref();
        if own_key.is_some() && (by_server.is_some() || spec.kms_key_id.is_some()) {
            self.wrong(
                resource,
                "/spec/customerKeyEncryptionSecret",
                "value",
                "the server encrypts with a key of ours or with one of its own, not with both",
                "keep `customerKeyEncryptionSecret`, or `serverSideEncryption` with `kmsKeyId`",
            );
        }
        if spec.kms_key_id.is_some() && by_server.is_some_and(|method| !method.starts_with("aws:kms")) {
            self.wrong(
                resource,
                "/spec/serverSideEncryption",
                "value",
                "`kmsKeyId` belongs to the encryption `aws:kms`",
                "write `serverSideEncryption: aws:kms`, or take `kmsKeyId` out",
            );
        }
        let named = |text: &str| {
            text.split_once('/')
                .is_some_and(|(name, key)| !name.is_empty() && !key.is_empty() && !key.contains('/'))
        };
        if own_key.is_some_and(|text| !named(text)) {
            self.wrong(
                resource,
                "/spec/customerKeyEncryptionSecret",
                "value",
                "`customerKeyEncryptionSecret` names no key of a Secret",
                "write <name of the Secret>/<key in it>",
            );
        }
    }

    fn credentials(&mut self, resource: &Resource, spec: &BackupLocationSpec) {
        let mut wanted = vec![("/spec/credentials", &spec.credentials.name, &spec.credentials.key)];
        wanted.extend(
            spec.ca_cert_ref
                .iter()
                .map(|one| ("/spec/caCertRef", &one.name, &one.key)),
        );
        let own = spec.customer_key_encryption_secret.as_deref();
        let own = own.and_then(|own| own.split_once('/'));
        let own = own.map(|(name, key)| (name.to_owned(), key.to_owned()));
        wanted.extend(
            own.iter()
                .map(|(name, key)| ("/spec/customerKeyEncryptionSecret", name, key)),
        );
        for (pointer, name, key) in wanted {
            let told = resource.origin.told(name).to_owned();
            match self.around.secrets.get(&(resource.namespace(), name.as_str())) {
                None if self
                    .around
                    .is_misspelt("Secret", resource.namespace(), name) => {}
                None => self.doubt(
                    resource,
                    &format!("{pointer}/name"),
                    "credentials",
                    format!("this repository has no Secret {told} in this namespace; without it the location is never available"),
                    "add it, encrypted with sops, or leave it if something else makes it",
                ),
                Some(secret) if !holds(secret, key) => {
                    let key = resource.origin.told(key).to_owned();
                    self.wrong(
                        resource,
                        &format!("{pointer}/key"),
                        "credentials",
                        format!("Secret {told} has no key {key}"),
                        "add the key to the Secret, or name the one that it has; credentials are written as [default] with \
                         aws_access_key_id=… and aws_secret_access_key=… on lines of their own",
                    );
                }
                Some(_) => {}
            }
        }
    }

    /// Once for each namespace: whoever reads the bucket reads the files of every backup, unless the repositories have a password of their own.
    fn repository_password(&mut self, resource: &Resource) {
        let namespace = resource.namespace();
        let Some(secret) = self.around.secrets.get(&(namespace, REPOSITORY_SECRET)).copied() else {
            let first = self
                .around
                .locations
                .keys()
                .find(|(other, _)| *other == namespace);
            let misspelt = self.around.is_misspelt("Secret", namespace, REPOSITORY_SECRET);
            if !misspelt && first.is_some_and(|(_, name)| *name == resource.name()) {
                let namespace = resource.origin.told(namespace);
                self.doubt(
                    resource,
                    "/spec/bucket",
                    "repository-password",
                    format!(
                        "this repository has no Secret {REPOSITORY_SECRET} in this namespace: Velero would encrypt files with a password that everybody knows"
                    ),
                    format!(
                        "before Velero first starts, encrypt with sops and add: {{apiVersion: v1, kind: Secret, metadata: {{name: {REPOSITORY_SECRET}, \
                         namespace: {namespace}}}, stringData: {{{REPOSITORY_KEY}: <40 random letters>}}}}; and never change it: older backups need it"
                    ),
                );
            }
            return;
        };
        let known = KNOWN_PASSWORD
            .iter()
            .any(|(field, known)| text_at(&secret.value, &[field, REPOSITORY_KEY]) == *known);
        let empty = ["stringData", "data"].iter().any(|field| {
            let value = secret.value.get(*field).and_then(|data| data.get(REPOSITORY_KEY));
            value.and_then(Value::as_str) == Some("")
        });
        let wrong = match (holds(secret, REPOSITORY_KEY) && !empty, known) {
            (true, false) => return,
            (false, _) => format!("Secret {REPOSITORY_SECRET} has no key {REPOSITORY_KEY}: Velero cannot open its repositories"),
            (true, true) => "the password of the repositories is the one that Velero takes by itself, and that everybody knows".to_owned(),
        };
        self.wrong(
            secret,
            "/metadata/name",
            "repository-password",
            wrong,
            format!("write 40 random letters as {REPOSITORY_KEY} below `stringData`, and encrypt the file with sops"),
        );
    }

    /// Velero writes `default: false` into all but one, and what is in Git would be written back for ever.
    fn one_default(&mut self, resource: &Resource, spec: &BackupLocationSpec) {
        if !spec.default {
            return;
        }
        let (namespace, name) = (resource.namespace(), resource.name());
        let other = self.around.locations.iter().find(|((one, other), location)| {
            *one == namespace
                && *other < name
                && location.value.pointer("/spec/default") == Some(&true.into())
        });
        if let Some(((_, other), location)) = other {
            let whose = match location.origin.secret || resource.origin.secret {
                true => MASK,
                false => *other,
            };
            let message = format!("BackupLocation {whose} is the default of this namespace too");
            let help =
                "set `default: false` on one: Velero keeps a single default, and writes it into the others";
            self.wrong(resource, "/spec/default", "default-location", message, help);
        }
    }
    /// Two locations of one place are no two copies, and one inside of another makes that unavailable: Velero allows no folders but its own
    /// beside its own (velero issues 3193 and 8918).
    fn place_of_its_own(&mut self, resource: &Resource, spec: &BackupLocationSpec) {
        let own = (resource.namespace(), resource.name());
        let mine = spec.prefix.as_deref().unwrap_or_default();
        let meets = |location: &Resource| {
            let at = |field: &str| text_at(&location.value, &["spec", field]);
            let server = spec.endpoint.as_deref().unwrap_or_default();
            let theirs = at("prefix");
            let same = server.trim_end_matches('/') == at("endpoint").trim_end_matches('/')
                && spec.bucket == at("bucket");
            same && (is_below(mine, theirs) || is_below(theirs, mine))
        };
        let mut before = self.around.locations.iter().filter(|(other, _)| **other < own);
        let Some(((_, name), other)) = before.find(|(_, location)| meets(location)) else {
            return;
        };
        let whose = match other.origin.secret || resource.origin.secret {
            true => MASK,
            false => *name,
        };
        let (what, help) = match text_at(&other.value, &["spec", "prefix"]) == mine {
            true => (
                "has the same place: what is kept there is one copy and not two",
                "give each a bucket or a `prefix` of its own",
            ),
            false => (
                "lies in the same bucket, one inside of the other: the outer one would never be available",
                "give both a `prefix`, of which none is a folder of the other",
            ),
        };
        let pointer = match spec.prefix {
            Some(_) => "/spec/prefix",
            None => "/spec/bucket",
        };
        let message = format!("BackupLocation {whose} {what}");
        self.wrong(resource, pointer, "value", message, help);
    }
}

/// Whether a folder of a bucket is another, or inside of it.
fn is_below(folder: &str, other: &str) -> bool {
    let rest = folder.strip_prefix(other);
    rest.is_some_and(|rest| other.is_empty() || rest.is_empty() || rest.starts_with('/'))
}
