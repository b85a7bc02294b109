//! Variables of Flux's post-build substitution for folders on disk: those of the PolicySource that reads the folder, and those given.

use super::{Failed, about, words};
use crate::decrypt::FILE_BYTES_MAX;
use crate::formats::substitute::Variables;
use crate::formats::yaml::{self, Node};
use crate::model::desired::group_of;
use crate::model::kinds::GROUP;
use crate::model::kinds::policy_source::PostBuild;
use serde::Deserialize;
use std::path::PathBuf;

/// Where variables come from.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct VariableArguments {
    /// Put a value in the place of `${NAME}` in the objects, over what a PolicySource says; may be given several times.
    #[arg(long, value_name = "NAME=VALUE")]
    substitute: Vec<String>,
    /// A file with the PolicySource that reads the folder, for its postBuild.substitute; else the one in the folder, if there is one.
    #[arg(long, value_name = "FILE")]
    source: Option<PathBuf>,
}

/// The variables for a folder whose files have these texts.
pub(super) fn variables<'a>(
    arguments: &VariableArguments,
    texts: impl Iterator<Item = &'a str>,
) -> Result<Variables, Failed> {
    let found = match &arguments.source {
        Some(path) => {
            let length = std::fs::metadata(path).map_err(about(path))?.len();
            if length > FILE_BYTES_MAX as u64 {
                return Err(Failed(format!(
                    "{}: the file has more than {FILE_BYTES_MAX} bytes",
                    path.display()
                )));
            }
            let text = std::fs::read_to_string(path).map_err(about(path))?;
            let documents =
                yaml::load(&text).map_err(|error| Failed(format!("{}: {error}", path.display())))?;
            let sources: Vec<&Node> = documents.iter().filter(|one| is_source(one)).collect();
            let [source] = sources.as_slice() else {
                return Err(Failed(format!(
                    "{} holds {} PolicySources; give a file with one",
                    path.display(),
                    sources.len()
                )));
            };
            post_build(source)?
        }
        None => of_folder(texts),
    };
    let mut variables = Variables::default();
    if let Some(found) = found {
        if !found.substitute_from.is_empty() {
            words(
                "postBuild.substituteFrom names objects of the cluster, which are not read here; give their values with --substitute",
            );
        }
        for (name, value) in found.substitute {
            variables.set(&name, value, false).map_err(Failed)?;
        }
    }
    for given in &arguments.substitute {
        let (name, value) = given
            .split_once('=')
            .ok_or_else(|| Failed(format!("--substitute {given}: write NAME=VALUE")))?;
        variables.set(name, value.to_owned(), false).map_err(Failed)?;
    }
    Ok(variables)
}

/// What the only PolicySource of a folder says; of several nobody knows which reads it.
fn of_folder<'a>(texts: impl Iterator<Item = &'a str>) -> Option<PostBuild> {
    let mut found = Vec::new();
    for text in texts.filter(|text| text.contains("PolicySource") && text.contains("postBuild")) {
        // What is no YAML is told of when it is parsed.
        let documents = yaml::load(text).unwrap_or_default();
        for source in documents.iter().filter(|one| is_source(one)) {
            // What is wrong with it is a finding, which stands at its line.
            found.extend(post_build(source).ok().flatten());
        }
    }
    if found.len() > 1 {
        words(
            "several PolicySources here have variables; name the file of the one that reads this folder with --source",
        );
        return None;
    }
    found.pop()
}

fn is_source(document: &Node) -> bool {
    let text = |field: &str| document.get(field).and_then(Node::text);
    text("kind") == Some("PolicySource")
        && text("apiVersion").is_some_and(|version| group_of(version) == GROUP)
}

fn post_build(source: &Node) -> Result<Option<PostBuild>, Failed> {
    let Some(node) = source.get("spec").and_then(|spec| spec.get("postBuild")) else {
        return Ok(None);
    };
    let value = node.to_json().map_err(|error| Failed(error.to_string()))?;
    PostBuild::deserialize(&value)
        .map(Some)
        .map_err(|error| Failed(format!("spec.postBuild of the PolicySource: {error}")))
}
