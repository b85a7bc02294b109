//! `validate` and `render`: policy folders on disk, read by the very code that reads commits.

use super::variables::{VariableArguments, variables};
use super::{Failed, Output, about, counted, data, no_sarif, report, value, words};
use crate::decrypt::{self, ClearCache};
use crate::formats::overlay;
use crate::formats::sops::Identities;
use crate::model::desired::{Desired, Resource, text_at};
use crate::model::diagnostic::{Diagnostic, Place, Severity};
use crate::model::ids::{BlobId, Revision};
use crate::model::observation::Pin;
use crate::model::rendering::RenderedObject;
use crate::model::tree::{Checkout, ClearTree, Entry, EntryKind};
use crate::parse;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Files below a repository's root that are looked at; more is probably the wrong folder.
const FILES_MAX: usize = 200_000;

/// Where a source's assignments are unless it says otherwise.
const ASSIGNMENTS: &str = "assignments";

/// Where the keys for encrypted files are.
#[derive(clap::Args, Clone, Debug)]
pub struct KeyArguments {
    /// Age identities, an ssh key or OpenPGP private keys, beside the keys that the sops command finds by itself.
    #[arg(long, env = "SOPS_AGE_KEY_FILE", value_name = "FILE")]
    pub age_key: Option<String>,
    /// An ssh key.
    #[arg(long, env = "SOPS_AGE_SSH_PRIVATE_KEY_FILE", hide = true)]
    pub age_ssh_key: Option<String>,
    /// age identities themselves.
    #[arg(long, env = "SOPS_AGE_KEY", hide_env_values = true, hide = true)]
    pub age_key_text: Option<String>,
    /// Where the user's configuration is.
    #[arg(long, env = "XDG_CONFIG_HOME", hide = true)]
    pub config_home: Option<OsString>,
    /// The user's home.
    #[arg(long, env = "HOME", hide = true)]
    pub home: Option<OsString>,
}

/// Options of `validate`.
#[derive(clap::Args, Clone, Debug)]
pub struct FolderArguments {
    /// The folder, as spec.path would name it.
    pub path: PathBuf,
    /// The folder of the TierAssignments below it.
    #[arg(long, default_value = ASSIGNMENTS)]
    pub assignments: String,
    #[command(flatten)]
    pub keys: KeyArguments,
    #[command(flatten)]
    pub variables: VariableArguments,
    /// How to print.
    #[arg(short, long, value_enum, default_value = "text")]
    pub output: Output,
}

/// Options of `render`.
#[derive(clap::Args, Clone, Debug)]
pub struct RenderArguments {
    #[command(flatten)]
    folder: FolderArguments,
    /// Print secret values too.
    #[arg(long)]
    show_secrets: bool,
}

/// The folder or file itself, and the root of the repository that it is in (outside of any: the folder, or the file's).
pub(super) fn located(path: &Path, may_be_file: bool) -> Result<(PathBuf, PathBuf), Failed> {
    let path = path.canonicalize().map_err(about(path))?;
    if path.is_file() && !may_be_file {
        return Err(Failed(format!(
            "{} is a file; give the folder that it is in",
            path.display()
        )));
    }
    let root = path
        .ancestors()
        .find(|folder| folder.join(".git").exists())
        .or(path.parent().filter(|_| path.is_file()))
        .map_or_else(|| path.clone(), Path::to_path_buf);
    Ok((path, root))
}

/// Reads a folder. Diagnostics stand beside what was understood.
pub(super) fn read(arguments: &FolderArguments) -> Result<(Option<Desired>, Vec<Diagnostic>), Failed> {
    let (desired, _, diagnostics) = read_with_files(arguments)?;
    Ok((desired, diagnostics))
}

/// What was understood of a folder, its files in clear, and diagnostics.
type Understood = (Option<Desired>, Option<ClearTree>, Vec<Diagnostic>);

/// The same, with the files that were read.
pub(super) fn read_with_files(arguments: &FolderArguments) -> Result<Understood, Failed> {
    let (path, root) = located(&arguments.path, false)?;
    if arguments.assignments != ASSIGNMENTS && !path.join(&arguments.assignments).is_dir() {
        return Err(Failed(format!(
            "there is no folder {} for --assignments",
            path.join(&arguments.assignments).display()
        )));
    }
    let below = |path: &Path| {
        let rest = path.strip_prefix(&root).unwrap_or(path);
        rest.components()
            .map(|part| part.as_os_str().to_string_lossy().into_owned())
            .collect::<Vec<_>>()
            .join("/")
    };
    let (folder, mut entries) = (below(&path), BTreeMap::new());
    list(&root, &root, &mut entries)?;
    let checkout = Checkout {
        revision: Revision {
            branch: "local".to_owned(),
            commit: "0000000000000000000000000000000000000000".into(),
        },
        entries,
        introduced: BTreeMap::new(),
        removed: BTreeMap::new(),
    };
    let assignments = match folder.as_str() {
        "" => arguments.assignments.clone(),
        folder => format!("{folder}/{}", arguments.assignments),
    };
    // On disk a file's path serves as its blob id: nothing is cached beyond this one reading.
    let read = |id: &BlobId| {
        // What is too large is not read whole to find that out, nor what grows meanwhile.
        let mut bytes = Vec::new();
        let most = decrypt::FILE_BYTES_MAX as u64 + 1;
        std::fs::File::open(root.join(id.as_str()))
            .and_then(|file| file.take(most).read_to_end(&mut bytes))
            .map_err(|error| error.to_string())?;
        if bytes.len() > decrypt::FILE_BYTES_MAX {
            Err("the file is too large".to_owned())
        } else {
            Ok(bytes)
        }
    };
    let identities = identities(&arguments.keys)?;
    let linked = linked_folders(&root, &folder, &assignments, &checkout.entries);
    match decrypt::decrypt(
        &checkout,
        &folder,
        &assignments,
        &read,
        &identities,
        decrypt::Vouched::Unknown,
        &mut ClearCache::default(),
    ) {
        Ok(tree) => {
            let variables = variables(&arguments.variables, clear(&tree))?;
            let parsed = parse::parse(&tree, &[], &variables, &mut parse::ParseCache::default());
            let mut diagnostics = parsed.diagnostics;
            if let Some(desired) = &parsed.desired {
                diagnostics.extend(passed(desired, crate::io::clock::now().as_second()));
                diagnostics.extend(without_template(desired, &folder, &checkout.entries));
            }
            diagnostics.extend(linked);
            diagnostics.sort();
            Ok((parsed.desired, Some(tree), diagnostics))
        }
        Err(refused) => {
            let rest = refused.rest.iter().flat_map(|tree| clear(tree));
            let variables = variables(&arguments.variables, rest)?;
            let mut diagnostics = parse::findings(refused, &variables);
            diagnostics.extend(linked);
            diagnostics.sort();
            Ok((None, None, diagnostics))
        }
    }
}

/// Sources whose template is not there. Only of a source that reads this very repository it can be told, and it is taken for one when its
/// `path` is a folder here.
fn without_template(desired: &Desired, folder: &str, entries: &BTreeMap<String, Entry>) -> Vec<Diagnostic> {
    let is_here = |path: &str| {
        let path = path.trim_matches('/');
        let below = format!("{path}/");
        path == folder
            || entries
                .range(below.clone()..)
                .next()
                .is_some_and(|(one, _)| one.starts_with(&below))
    };
    let sources = desired.resources.ours("PolicySource");
    let lacks = |source: &&Resource| {
        let path = text_at(&source.value, &["spec", "path"]);
        let template = text_at(&source.value, &["spec", "proposals", "template"]);
        let there = entries
            .get(template)
            .is_some_and(|entry| entry.kind == EntryKind::File);
        // What is no path at all is told of for what it is.
        let is_path = !parse::source::leads_nowhere(template);
        is_path && !there && is_here(path.trim_start_matches("./"))
    };
    let warning = |source: &Resource| {
        Diagnostic::warning(
            source.origin.place("/spec/proposals/template"),
            "missing-file",
            "there is no such file in this repository, so that the built-in template is used",
            "correct the path, from the root of the repository; leave it if the source reads another repository",
        )
    };
    sources.filter(lacks).map(warning).collect()
}

/// Links to folders in places that are read whole: what is behind them is left out, as the controller leaves it out, and no file speaks
/// of it. A link that a kustomization names is refused where it is named.
fn linked_folders(
    root: &Path,
    folder: &str,
    assignments: &str,
    entries: &BTreeMap<String, Entry>,
) -> Vec<Diagnostic> {
    let above = |path: &str| path.rsplit_once('/').map_or("", |(above, _)| above).to_owned();
    let built = |folder: &str| {
        overlay::NAMES.iter().any(|name| {
            let prefix = if folder.is_empty() { "" } else { "/" };
            entries.contains_key(&format!("{folder}{prefix}{name}"))
        })
    };
    // From the link up to the folder that is read: a kustomization between them says itself what belongs to it.
    let read_whole = |path: &str, whole: &str, kustomized: bool| {
        let mut at = above(path);
        loop {
            let inside = whole.is_empty() || at == whole || at.starts_with(&format!("{whole}/"));
            if !inside || kustomized && built(&at) {
                return false;
            }
            if at == whole {
                return true;
            }
            at = above(&at);
        }
    };
    // What is hidden is not read either, and a link with the name of a file is refused.
    let passed_over = |path: &str| {
        let below = path.strip_prefix(folder).unwrap_or(path);
        below.split('/').any(|part| part.starts_with('.'))
    };
    let like_a_file = |path: &str| path.ends_with(".yaml") || path.ends_with(".yml");
    let links = entries.iter().filter(|(path, entry)| {
        entry.kind == EntryKind::Symlink
            && !like_a_file(path)
            && (read_whole(path, folder, true) && !passed_over(path) || read_whole(path, assignments, false))
            && root.join(path).is_dir()
    });
    let warning = |(path, _): (&String, &Entry)| {
        Diagnostic::warning(
            Place::file(path),
            "linked-folder",
            format!("{path} is a symbolic link to a folder, and nothing behind it is read"),
            "put the folder itself here, or name what it holds in a kustomization.yaml",
        )
    };
    links.map(warning).collect()
}

/// The texts that were not encrypted.
fn clear(tree: &ClearTree) -> impl Iterator<Item = &str> {
    let plain = tree.files.values().filter(|file| !file.secret);
    plain.filter_map(|file| file.text.expose_str().ok())
}

/// Assignments that were pinned until a time that has passed: they keep nothing any more.
fn passed(desired: &Desired, now: i64) -> Vec<Diagnostic> {
    let assignments = desired.assignments.values();
    let over = assignments.filter(|one| matches!(one.pin, Some(Pin::Until(until)) if until <= now));
    let over: BTreeSet<&str> = over.map(|one| one.path.as_str()).collect();
    let pinned = desired.resources.ours("TierAssignment");
    let warning = |resource: &Resource| {
        Diagnostic::warning(
            resource.origin.place("/spec/until"),
            "pin",
            "the time in `until` has passed: the volume is not pinned any more",
            "take `pinned` and `until` out, or write a later time",
        )
    };
    let passed = pinned.filter(|resource| over.contains(&*resource.origin.path));
    passed.map(warning).collect()
}

pub(super) fn list(root: &Path, folder: &Path, entries: &mut BTreeMap<String, Entry>) -> Result<(), Failed> {
    for entry in std::fs::read_dir(folder).map_err(about(folder))? {
        let entry = entry.map_err(about(folder))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(about(&path))?;
        let name = entry.file_name();
        if name == ".git" || name == "target" && folder == root || name == "node_modules" {
            continue;
        }
        if kind.is_dir() {
            list(root, &path, entries)?;
            continue;
        }
        let rest = path
            .strip_prefix(root)
            .unwrap_or(&path)
            .to_string_lossy()
            .into_owned();
        // Pipes and devices could be read for ever; they are refused as links are.
        let kind = if kind.is_file() {
            EntryKind::File
        } else {
            EntryKind::Symlink
        };
        entries.insert(
            rest.clone(),
            Entry {
                blob: BlobId(rest),
                kind,
            },
        );
        if entries.len() > FILES_MAX {
            return Err(Failed(format!(
                "more than {FILES_MAX} files lie below {}; is it the right folder?",
                root.display()
            )));
        }
    }
    Ok(())
}

/// The keys that the sops command would use (`age/keysource.go`, `loadIdentities`): of every place where it looks, all that are
/// there; but no program is run for `SOPS_AGE_KEY_CMD`. What somebody named must be a key. What merely lies in a usual place need
/// not: an ssh key with a passphrase there is named when no other key opens a file.
pub(super) fn identities(arguments: &KeyArguments) -> Result<Identities, Failed> {
    // A variable that is set to nothing is not set.
    let named = [&arguments.age_ssh_key, &arguments.age_key].into_iter().flatten();
    let mut given = Vec::new();
    for path in named.filter(|path| !path.is_empty()).map(Path::new) {
        let text = std::fs::read_to_string(path).map_err(about(path))?;
        given.push((path.display().to_string(), Zeroizing::new(text)));
    }
    if let Some(text) = &arguments.age_key_text {
        given.push(("SOPS_AGE_KEY".to_owned(), Zeroizing::new(text.clone())));
    }
    let folder = |named: &Option<OsString>| named.clone().filter(|one| !one.is_empty()).map(PathBuf::from);
    let home = folder(&arguments.home);
    let config = folder(&arguments.config_home).or(home.as_ref().map(|home| home.join(".config")));
    let home = home.as_ref();
    let usual = [
        home.map(|home| home.join(".ssh/id_ed25519")),
        home.map(|home| home.join(".ssh/id_rsa")),
        config.map(|config| config.join("sops/age/keys.txt")),
    ];
    let found: Vec<(String, Zeroizing<String>)> = usual
        .into_iter()
        .flatten()
        .filter_map(|path| {
            let text = std::fs::read_to_string(&path).ok()?;
            Some((path.display().to_string(), Zeroizing::new(text)))
        })
        .collect();
    Identities::of(
        given.iter().map(|(name, text)| (name.as_str(), text.as_str())),
        found.iter().map(|(name, text)| (name.as_str(), text.as_str())),
    )
    .map_err(Failed)
}

/// `validate`.
pub fn validate(arguments: &FolderArguments) -> Result<u8, Failed> {
    let (desired, diagnostics) = read(arguments)?;
    let nothing = desired.is_some_and(|desired| desired.resources.is_empty());
    if nothing && diagnostics.is_empty() {
        return Err(Failed(format!(
            "no objects found in {}: nothing was checked; name the folder that holds the policies' YAML files",
            arguments.path.display()
        )));
    }
    match arguments.output {
        Output::Text => {
            report::text(&diagnostics, &located(&arguments.path, false)?.1);
            let errors = diagnostics
                .iter()
                .filter(|diagnostic| diagnostic.severity == Severity::Error)
                .count();
            match (errors, diagnostics.len()) {
                (_, 0) => words("nothing wrong found"),
                (errors, all) => words(&format!(
                    "{}, {}",
                    counted(errors, "error"),
                    counted(all - errors, "warning")
                )),
            }
        }
        Output::Sarif => data(&serde_json::to_string_pretty(&report::sarif(
            &diagnostics,
            &located(&arguments.path, false)?.1,
        ))?),
        output => value(&serde_json::to_value(&diagnostics)?, output),
    }
    Ok(u8::from(!diagnostics.is_empty()))
}

/// Prints diagnostics to stderr and says whether they forbid going on.
pub(super) fn complain(diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        words(&diagnostic.to_string());
    }
}

/// `render`.
pub fn render(arguments: &RenderArguments) -> Result<u8, Failed> {
    no_sarif(arguments.folder.output)?;
    let (desired, diagnostics) = read(&arguments.folder)?;
    complain(&diagnostics);
    let Some(desired) = desired else { return Ok(1) };
    let objects = crate::render::render(&desired);
    let shown = |object: &RenderedObject| match arguments.show_secrets {
        true => serde_json::Value::clone(&object.value),
        false => crate::render::text::masked(object),
    };
    let values: Vec<_> = objects.iter().map(shown).collect();
    match arguments.folder.output {
        Output::Json => value(&serde_json::Value::Array(values), Output::Json),
        Output::Text | Output::Yaml => data(&crate::render::text::yaml(&values)),
        Output::Sarif => {}
    }
    Ok(0)
}
