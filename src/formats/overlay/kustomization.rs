//! A kustomization file as understood: one field for each of kustomize's that is read.

use super::fields::Spec;
use super::object::Behavior;
use super::select::Selector;
use crate::model::diagnostic::Place;
use std::collections::BTreeMap;

/// A kustomization file.
#[derive(Default)]
pub(super) struct Kustomization {
    pub(super) component: bool,
    pub(super) resources: Vec<(String, Place)>,
    pub(super) components: Vec<(String, Place)>,
    pub(super) config_maps: Vec<Generator>,
    pub(super) secrets: Vec<Generator>,
    pub(super) generator_options: GeneratorOptions,
    /// `patchesStrategicMerge` first, then `patches`.
    pub(super) patches: Vec<Patch>,
    pub(super) namespace: String,
    pub(super) prefix: String,
    pub(super) suffix: String,
    /// `labels`, then `commonLabels`.
    pub(super) labels: Vec<Labels>,
    pub(super) annotations: BTreeMap<String, String>,
    /// `patchesJson6902`, which come after names and labels.
    pub(super) late_patches: Vec<Patch>,
    pub(super) replicas: Vec<Replica>,
    pub(super) images: Vec<Image>,
    pub(super) replacements: Vec<Replacement>,
    pub(super) origins: bool,
    pub(super) order: Option<Order>,
    /// Patterns that had to be compiled.
    pub(super) patterns: usize,
}

impl Kustomization {
    /// Whether it has no objects of its own.
    pub(super) fn adds_nothing(&self) -> bool {
        self.resources.is_empty()
            && self.components.is_empty()
            && self.config_maps.is_empty()
            && self.secrets.is_empty()
    }

    /// Whether it may give objects other names.
    pub(super) fn renames(&self) -> bool {
        let texts = [&self.namespace, &self.prefix, &self.suffix];
        texts.iter().any(|text| !text.is_empty())
            || !(self.patches.is_empty() && self.late_patches.is_empty() && self.replacements.is_empty())
    }
}

/// An entry of `patches`, `patchesStrategicMerge` or `patchesJson6902`.
pub(super) struct Patch {
    pub(super) place: Place,
    pub(super) path: Option<(String, Place)>,
    pub(super) inline: Option<String>,
    pub(super) target: Option<Selector>,
    pub(super) allow_name_change: bool,
    pub(super) allow_kind_change: bool,
    /// Whether it is one of `patchesJson6902`, after which kustomize does not know what an object was called before.
    pub(super) late: bool,
}

/// An entry of `labels`.
#[derive(Clone, Default)]
pub(super) struct Labels {
    pub(super) pairs: BTreeMap<String, String>,
    pub(super) selectors: bool,
    pub(super) templates: bool,
    pub(super) fields: Vec<Spec>,
}

/// An entry of `images`.
#[derive(Default)]
pub(super) struct Image {
    pub(super) name: String,
    pub(super) new_name: Option<String>,
    pub(super) new_tag: Option<String>,
    pub(super) tag_suffix: Option<String>,
    pub(super) digest: Option<String>,
    pub(super) place: Place,
}

/// An entry of `replicas`.
#[derive(Default)]
pub(super) struct Replica {
    pub(super) name: String,
    pub(super) count: i64,
    pub(super) place: Place,
}

/// An entry of `configMapGenerator` or `secretGenerator`.
#[derive(Default)]
pub(super) struct Generator {
    pub(super) place: Place,
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) behavior: Behavior,
    pub(super) envs: Vec<String>,
    pub(super) literals: Vec<String>,
    pub(super) files: Vec<String>,
    pub(super) type_: String,
    pub(super) options: GeneratorOptions,
}

/// `generatorOptions`, and `options` of a generator.
#[derive(Clone, Default)]
pub(super) struct GeneratorOptions {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) disable_name_suffix_hash: bool,
    pub(super) immutable: bool,
}

impl GeneratorOptions {
    /// These options, with those for all generators below them.
    pub(super) fn over(&self, global: &Self) -> Self {
        let lay = |own: &BTreeMap<String, String>, all: &BTreeMap<String, String>| {
            let mut both = all.clone();
            both.extend(own.clone());
            both
        };
        Self {
            labels: lay(&self.labels, &global.labels),
            annotations: lay(&self.annotations, &global.annotations),
            disable_name_suffix_hash: self.disable_name_suffix_hash || global.disable_name_suffix_hash,
            immutable: self.immutable || global.immutable,
        }
    }
}

/// An entry of `replacements`.
pub(super) struct Replacement {
    pub(super) place: Place,
    pub(super) path: Option<(String, Place)>,
    pub(super) source: Option<ReplacementSource>,
    pub(super) source_value: Option<zeroize::Zeroizing<String>>,
    pub(super) targets: Vec<ReplacementTarget>,
}

/// Where a value is taken from. Its id is compared, not matched as a pattern.
#[derive(Default)]
pub(super) struct ReplacementSource {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) field_path: String,
    pub(super) options: FieldOptions,
}

/// Where a value is put.
#[derive(Default)]
pub(super) struct ReplacementTarget {
    pub(super) select: Option<Selector>,
    pub(super) reject: Vec<Selector>,
    pub(super) field_paths: Vec<String>,
    pub(super) options: FieldOptions,
}

/// Which part of a text, and whether a missing field is made.
#[derive(Clone, Default)]
pub(super) struct FieldOptions {
    pub(super) delimiter: String,
    pub(super) index: i64,
    pub(super) create: bool,
}

/// `sortOptions` with `order: legacy`.
pub(super) struct Order {
    pub(super) first: Vec<String>,
    pub(super) last: Vec<String>,
}
