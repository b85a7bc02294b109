//! A PolicySource's spec and Secrets → its clients: repository, keys, what is followed.

use super::{Known, Settings, leadership};
use crate::decide::Limits;
use crate::fetch::Verification;
use crate::formats::duration;
use crate::formats::follow::Follow;
use crate::formats::signature::Signers;
use crate::formats::sops::Identities;
use crate::formats::substitute::Variables;
use crate::io::forge::{Address, Forge, ForgeError, Options};
use crate::io::git::{Credentials, GitError, Repository};
use crate::model::delivery::Target;
use crate::model::failure::Class;
use crate::model::ids::SourceRef;
use crate::model::kinds::moves;
use crate::model::kinds::policy_source::{
    self, DeliveryMode, ForgeKind, PolicySource, PostBuild, Provider, VariablesKind,
};
use crate::model::kinds::{PAUSED, RESUME_MOVES};
use crate::model::moves::Rules;
use crate::model::pull_request;
use crate::model::secret::SecretText;
use crate::turn::{Memory, Source, TurnFailure, World};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;
use zeroize::Zeroizing;

/// Makes the clients of a source, when its spec or Secrets are new.
pub(super) async fn prepare(
    world: &World,
    settings: &Settings,
    known: &mut BTreeMap<SourceRef, Known>,
    name: &SourceRef,
    source: &PolicySource,
) -> Result<(), TurnFailure> {
    let spec = &source.spec;
    let stalled = |reason: &str, message: String| TurnFailure {
        class: Class::Stalled,
        reason: reason.to_owned(),
        message,
    };
    if let Some(wrong) = crate::parse::source::check(spec).first() {
        return Err(stalled("InvalidSpec", wrong.to_string()));
    }
    // Both are right: they were checked.
    let timeout = duration::parse(&spec.timeout).map_err(|help| stalled("InvalidSpec", help))?;
    let follow = Follow::read(spec.reference.as_ref()).map_err(|(_, help)| stalled("InvalidSpec", help))?;
    let secret = match &spec.secret_ref {
        Some(reference) => Some(read_secret(world, &name.namespace, &reference.name).await?),
        None => None,
    };
    let proxy = match &spec.proxy_secret_ref {
        Some(reference) => Some(read_secret(world, &name.namespace, &reference.name).await?),
        None => None,
    };
    let keys = match &spec.decryption {
        Some(decryption) => Some(read_secret(world, &name.namespace, &decryption.secret_ref.name).await?),
        None => None,
    };
    let signers = match &spec.verify {
        Some(verify) => Some(read_secret(world, &name.namespace, &verify.secret_ref.name).await?),
        None => None,
    };
    let variables = variables(world, &name.namespace, spec.post_build.as_ref()).await?;
    let forge_spec = spec.proposals.clone().unwrap_or_default();
    let token = match &forge_spec.forge.secret_ref {
        Some(reference) => Some(read_secret(world, &name.namespace, &reference.name).await?),
        None => None,
    };
    let webhook = match &spec.webhook_secret_ref {
        Some(reference) => Some(read_secret(world, &name.namespace, &reference.name).await?),
        None => None,
    };
    if let Some(secret) = &webhook
        && !secret.contains_key("token")
    {
        let message = "spec.webhookSecretRef: the Secret has no key `token`";
        return Err(stalled("InvalidSpec", message.to_owned()));
    }
    let mut fingerprint = format!(
        "{:?}",
        (
            &spec.url,
            &spec.branch,
            &spec.reference,
            &spec.provider,
            &spec.verify,
            &spec.path,
            &spec.timeout,
            &spec.delivery,
            &spec.proposals
        )
    );
    for (index, secret) in [&secret, &proxy, &keys, &signers, &token, &webhook]
        .into_iter()
        .enumerate()
    {
        for (key, value) in secret.iter().flatten() {
            fingerprint.push_str(&format!(
                "{index}{key}={}",
                crate::formats::sops::fingerprint(value.expose())
            ));
        }
    }
    fingerprint.push_str(&variables.fingerprint());
    if known.get(name).is_some_and(|one| one.fingerprint == fingerprint) {
        return Ok(());
    }
    let failed = |error: GitError| TurnFailure::from(&error);
    let mut credentials = match (&secret, spec.provider) {
        (Some(secret), Provider::Generic) => Credentials::from_secret(secret, &spec.url).map_err(failed)?,
        (Some(secret), Provider::Github) => Credentials::github_app(secret).map_err(failed)?,
        (None, Provider::Github) => {
            let message = "spec.provider: github needs spec.secretRef with the keys of the App";
            return Err(stalled("InvalidSpec", message.to_owned()));
        }
        (None, Provider::Generic) => Credentials::default(),
    };
    if let Some(proxy) = &proxy {
        credentials = credentials.with_proxy(proxy).map_err(failed)?;
    }
    let guard = leadership::guard(&world.leadership);
    let options = Options {
        guard: guard.clone(),
        ..Options::default()
    };
    let forge = forge(
        &spec.url,
        &forge_spec.forge,
        token.as_ref(),
        proxy.as_ref(),
        &credentials,
        options,
    )?;
    let directory = settings.directory.join(&name.namespace).join(&name.name);
    let repository = Repository::new(
        &spec.url,
        &directory,
        credentials,
        timeout,
        settings.allow_file_urls,
    )
    .map_err(|error| TurnFailure::from(&error))?
    .guarded(guard);
    let identities = match &keys {
        Some(keys) => {
            let files: Vec<(&str, &str)> = keys
                .iter()
                .filter(|(key, _)| key.ends_with(".agekey") || key.ends_with(".asc"))
                .filter_map(|(key, value)| Some((key.as_str(), value.expose_str().ok()?)))
                .collect();
            Identities::parse(files)
                .map_err(|what| stalled("InvalidKeys", format!("the decryption Secret: {what}")))?
        }
        None => Identities::default(),
    };
    let verification = match (&spec.verify, &signers) {
        (Some(verify), Some(files)) => Some(Verification {
            mode: verify.mode,
            signers: signers_of(files).map_err(|what| {
                let secret = &verify.secret_ref.name;
                stalled(
                    "InvalidSigners",
                    format!("Secret {}/{secret} {what}", name.namespace),
                )
            })?,
        }),
        _ => None,
    };
    let fresh = Known {
        fingerprint,
        follow,
        verification,
        webhook: webhook.and_then(|mut secret| secret.remove("token")),
        hinted: false,
        hinted_at: None,
        repository,
        forge,
        identities,
        variables,
        memory: Memory::default(),
        next: Instant::now(),
        failures: 0,
        seen: None,
    };
    known.insert(name.clone(), fresh);
    Ok(())
}

/// The client of the forge, with the forge's own Secret or the source's credentials.
fn forge(
    url: &str,
    spec: &policy_source::Forge,
    token: Option<&BTreeMap<String, SecretText>>,
    proxy: Option<&BTreeMap<String, SecretText>>,
    source: &Credentials,
    options: Options,
) -> Result<Option<Forge>, TurnFailure> {
    let kind = match spec.kind {
        ForgeKind::None => return Ok(None),
        ForgeKind::Github => pull_request::ForgeKind::Github,
        ForgeKind::Gitlab => pull_request::ForgeKind::Gitlab,
        ForgeKind::Gitea => pull_request::ForgeKind::Gitea,
    };
    let failed = |error: ForgeError| TurnFailure::from(&error);
    let address =
        Address::find(Some(kind), url, spec.url.as_deref(), spec.repository.as_deref()).map_err(failed)?;
    let credentials = match token {
        None => source.clone(),
        Some(secret) => {
            let read = Credentials::for_api(secret).map_err(|error| TurnFailure::from(&error))?;
            match proxy {
                Some(proxy) => read
                    .with_proxy(proxy)
                    .map_err(|error| TurnFailure::from(&error))?,
                None => read,
            }
        }
    };
    Forge::new(&address, credentials, options)
        .map(Some)
        .map_err(failed)
}

/// Gathers the variables of `spec.postBuild`: those of later objects win, and the source's own win over all, as with Flux.
async fn variables(
    world: &World,
    namespace: &str,
    post_build: Option<&PostBuild>,
) -> Result<Variables, TurnFailure> {
    let mut variables = Variables::default();
    let Some(post_build) = post_build else {
        return Ok(variables);
    };
    let wrong = |what: String| TurnFailure {
        class: Class::Stalled,
        reason: "InvalidSpec".to_owned(),
        message: format!("spec.postBuild: {what}"),
    };
    for from in &post_build.substitute_from {
        // `None` for a value that is no text.
        let (found, secret) = match from.kind {
            VariablesKind::ConfigMap => {
                let map = world.cluster.config_map(namespace, &from.name).await;
                let map = map.map_err(|error| TurnFailure::from(&error))?;
                let texts = map.map(|map| {
                    map.into_iter()
                        .map(|(key, value)| (key, Some(Zeroizing::new(value))))
                        .collect::<BTreeMap<_, _>>()
                });
                (texts, false)
            }
            VariablesKind::Secret => {
                let map = world.cluster.secret(namespace, &from.name).await;
                let map = map.map_err(|error| TurnFailure::from(&error))?;
                let text = |value: &SecretText| Some(Zeroizing::new(value.expose_str().ok()?.to_owned()));
                let texts = map.map(|map| {
                    map.iter()
                        .map(|(key, value)| (key.clone(), text(value)))
                        .collect()
                });
                (texts, true)
            }
        };
        let Some(found) = found else {
            if from.optional {
                continue;
            }
            return Err(TurnFailure {
                class: Class::Waiting,
                reason: "VariablesNotFound".to_owned(),
                message: format!(
                    "there is no {:?} {namespace}/{} (spec.postBuild.substituteFrom)",
                    from.kind, from.name
                ),
            });
        };
        for (key, value) in found {
            let set = match value {
                Some(mut value) => variables.set(&key, std::mem::take(&mut *value), secret),
                None => variables.set_unreadable(&key),
            };
            set.map_err(&wrong)?;
        }
    }
    for (key, value) in &post_build.substitute {
        variables.set(key, value.clone(), false).map_err(&wrong)?;
    }
    variables.are_all();
    Ok(variables)
}

fn signers_of(files: &BTreeMap<String, SecretText>) -> Result<Signers, String> {
    let texts = files
        .iter()
        .filter_map(|(key, value)| Some((key.as_str(), value.expose_str().ok()?)));
    Signers::parse(texts)
}

async fn read_secret(
    world: &World,
    namespace: &str,
    name: &str,
) -> Result<BTreeMap<String, SecretText>, TurnFailure> {
    world
        .cluster
        .secret(namespace, name)
        .await
        .map_err(|error| TurnFailure::from(&error))?
        .ok_or_else(|| TurnFailure {
            class: Class::Waiting,
            reason: "SecretNotFound".to_owned(),
            message: format!("there is no Secret {namespace}/{name}"),
        })
}

/// What the source says of its moves, in its spec and by annotations.
fn rules(source: &PolicySource) -> Rules {
    let spec = source.spec.moves.clone().unwrap_or_default();
    let annotations = source.metadata.annotations.as_ref();
    let of = |key: &str| moves::said(annotations, key).map(str::to_owned);
    let rules = match duration::parse(&spec.node_quarantine) {
        Ok(quarantine) => Rules::of(&spec, quarantine),
        // It was checked.
        Err(_) => Rules::default(),
    };
    Rules {
        paused: of(PAUSED),
        resume: of(RESUME_MOVES),
        ..rules
    }
}

/// Where manifests are delivered by pull request, if they are.
fn target(spec: &policy_source::PolicySourceSpec) -> Option<Target> {
    let delivery = spec.delivery.as_ref();
    let delivery = delivery.filter(|one| one.mode == DeliveryMode::Commit)?;
    Some(Target {
        path: delivery.path.clone()?.trim_matches('/').to_owned(),
        branch: delivery.branch.clone().unwrap_or_else(|| spec.branch.clone()),
    })
}

/// The source as a turn works on it.
pub(super) fn understood<'a>(
    name: &SourceRef,
    source: &PolicySource,
    one: &'a Known,
    settings: &Settings,
    poked: bool,
) -> Source<'a> {
    let spec = &source.spec;
    let proposals = spec.proposals.clone().unwrap_or_default();
    let root = spec.path.trim_matches('/').trim_start_matches("./").to_owned();
    let folder = proposals.path.trim_matches('/').to_owned();
    Source {
        name: name.clone(),
        repository: &one.repository,
        branch: spec.branch.clone(),
        forge: one.forge.as_ref(),
        approvals: proposals.approvals.clone(),
        labels: proposals.labels.clone(),
        template: proposals.template.clone(),
        plans: proposals.plans.clone(),
        follow: &one.follow,
        verification: one.verification.as_ref(),
        assignments: if root.is_empty() {
            folder
        } else {
            format!("{root}/{folder}")
        },
        root,
        delivery: target(spec),
        prefix: proposals.branch_prefix,
        audit: spec.audit.clone().unwrap_or_default().branch,
        identities: &one.identities,
        variables: &one.variables,
        prune: spec.prune,
        suspended: spec.suspend,
        poked,
        hinted: false,
        limits: Limits {
            max_open: proposals.max_open,
            rejections_expire: proposals
                .rejections
                .and_then(|one| duration::parse(&one.expire_after).ok()),
            max_concurrent: settings.max_concurrent,
            dry_run: settings.dry_run,
        },
        preserve: settings.preserve,
        moves: rules(source),
        others: BTreeSet::new(),
        second: false,
    }
}
