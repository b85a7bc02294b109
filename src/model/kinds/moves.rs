//! How a PolicySource carries moves out, and what it remembers for that.

use jiff::Timestamp;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How moves are carried out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Moves {
    /// After so many failed moves in a row nothing new starts until a person says so (`couchestor migrations resume-all`); 0 means
    /// never.
    #[serde(default = "default_stop_after")]
    #[schemars(range(min = 0, max = 100))]
    pub stop_after_failures: u32,

    /// How many moves may run between the same two nodes at one time, in either direction; 0 means any number.
    #[serde(default = "default_per_node_pair")]
    #[schemars(range(min = 0, max = 100))]
    pub per_node_pair: u32,

    /// How long a node that was not Online and has returned takes no new copy and gives none up, a Go duration such as `10m`.
    #[serde(default = "default_quarantine")]
    pub node_quarantine: String,
}

impl Default for Moves {
    fn default() -> Self {
        Self {
            stop_after_failures: default_stop_after(),
            per_node_pair: default_per_node_pair(),
            node_quarantine: default_quarantine(),
        }
    }
}

fn default_stop_after() -> u32 {
    3
}

fn default_per_node_pair() -> u32 {
    1
}

fn default_quarantine() -> String {
    "10m".to_owned()
}

/// What a source remembers of its moves. Everything else about them stands in the VolumeMigrations.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MovesStatus {
    /// Failures that ended before this do not count any more, RFC 3339: when a person last said that moves go on, or when they
    /// were first counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted_since: Option<String>,
    /// The value of the annotation `storage.billyronks.io/resume-moves` that was last acted upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_resume: Option<String>,
    /// Why the followed commit freezes all moves, so that it is known when Git cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<String>,
    /// Nodes that are not Online, and those that have just returned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeSeen>,
}

/// A node that is away, or has been until lately.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeSeen {
    /// Its name.
    pub name: String,
    /// Since when it was seen not to be Online, RFC 3339.
    pub away_since: String,
    /// When it was seen Online again, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returned_at: Option<String>,
}

impl NodeSeen {
    /// When it was seen Online again.
    pub fn returned(&self) -> Option<Timestamp> {
        self.returned_at.as_ref()?.parse().ok()
    }
}

/// What a person says by an annotation: an empty value and `false` say nothing.
pub fn said<'a>(annotations: Option<&'a BTreeMap<String, String>>, key: &str) -> Option<&'a str> {
    let value = annotations?.get(key)?.trim();
    (!value.is_empty() && !value.eq_ignore_ascii_case("false")).then_some(value)
}

/// What a person says by an annotation, as the end of a sentence: `true` gives no reason.
pub fn because(value: &str) -> String {
    match value.eq_ignore_ascii_case("true") {
        true => "no reason is given".to_owned(),
        false => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_annotation_without_a_word_says_nothing() {
        for (value, expected) in [
            ("", None),
            ("  ", None),
            ("false", None),
            ("False", None),
            ("true", Some("true")),
            (" disks are on their way ", Some("disks are on their way")),
        ] {
            let all = BTreeMap::from([("k".to_owned(), value.to_owned())]);
            assert_eq!(said(Some(&all), "k"), expected, "{value:?}");
            assert_eq!(said(Some(&all), "other"), None, "{value:?}");
        }
    }
}
