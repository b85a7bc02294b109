//! A kustomization file's text → its fields, and a refusal by name for every field that is not read.

use super::fields::Spec;
use super::kustomization::{
    Generator, GeneratorOptions, Image, Kustomization, Labels, Order, Replacement, Replica,
};
use super::object::Behavior;
use super::read::Reader;
use super::yaml_diagnostic;
use crate::formats::yaml::{self, Node};
use crate::model::diagnostic::{Diagnostic, Place};

/// Patches.
mod patches;

/// Replacements.
mod replacements;

/// Patches, generators, replacements and other entries of one file, together.
const ENTRIES_MAX: usize = 10_000;

/// Fields of kustomize that are refused, and what to do instead.
const REFUSED: [(&str, &str); 15] = [
    (
        "configurations",
        "write the effect out as patches: configurations of transformers are not read",
    ),
    (
        "crds",
        "drop it: it only tells kustomize of name references, and couchestor follows those of its own kinds",
    ),
    (
        "generators",
        "plugins are not run; use configMapGenerator or secretGenerator, or commit what they make",
    ),
    (
        "helmChartInflationGenerator",
        "charts are not rendered; let Flux install them with a HelmRelease",
    ),
    (
        "helmCharts",
        "charts are not rendered; let Flux install them with a HelmRelease",
    ),
    (
        "helmGlobals",
        "charts are not rendered; let Flux install them with a HelmRelease",
    ),
    ("inventory", "drop it: couchestor keeps its own inventory"),
    ("metadata", "drop it: nothing reads it"),
    ("openapi", "drop it: other schemas are not read"),
    (
        "transformers",
        "plugins are not run; use patches, labels, images or replacements",
    ),
    ("validators", "plugins are not run; use `couchestor validate`"),
    ("vars", "use replacements"),
    (
        "sops",
        "kustomization files are not decrypted; encrypt the files that they name",
    ),
    ("exec", "programs are not run"),
    ("containers", "programs are not run"),
];

/// Fields that are read.
const READ: [&str; 23] = [
    "apiVersion",
    "bases",
    "buildMetadata",
    "commonAnnotations",
    "commonLabels",
    "components",
    "configMapGenerator",
    "generatorOptions",
    "imageTags",
    "images",
    "kind",
    "labels",
    "namePrefix",
    "nameSuffix",
    "namespace",
    "patches",
    "patchesJson6902",
    "patchesStrategicMerge",
    "replacements",
    "replicas",
    "resources",
    "secretGenerator",
    "sortOptions",
];

impl Kustomization {
    /// Reads the file, and says what is wrong with it. Where that is only what stands in some fields, the others are given all the same,
    /// so that what is wrong with the files that they name is told in the same run; nothing is ever made of such a tree.
    pub(super) fn read(path: &str, text: &str, secret: bool) -> (Option<Self>, Vec<Diagnostic>) {
        let documents = match yaml::load(text) {
            Ok(documents) => documents,
            Err(error) => return (None, vec![yaml_diagnostic(path, error, secret)]),
        };
        let mut reader = Reader::new(path, secret);
        let mut found = Self::default();
        match documents.as_slice() {
            [] => reader.refuse(
                Place::file(path),
                "empty-kustomization",
                "the file is empty",
                "list `resources:`",
            ),
            [root] => reader.root(root, &mut found),
            [_, second, ..] => reader.refuse(
                reader.place(second),
                "kustomization",
                "a kustomization is one document, and this is a second one",
                "put it into a file of its own",
            ),
        }
        found.patterns = reader.patterns.len();
        let of_fields = |one: &Diagnostic| one.rule == "kustomization-field";
        // What is encrypted in it would be taken for names of files.
        let sealed = |root: &Node| root.get("sops").is_some();
        let goes_on = reader.diagnostics.iter().all(of_fields) && !documents.iter().any(sealed);
        (goes_on.then_some(found), reader.diagnostics)
    }

    /// Reads a file of one or several replacements.
    pub(super) fn read_replacements(
        path: &str,
        text: &str,
        secret: bool,
    ) -> Result<Vec<Replacement>, Vec<Diagnostic>> {
        let documents = yaml::load_wiped(text).map_err(|error| vec![yaml_diagnostic(path, error, secret)])?;
        let mut reader = Reader::new(path, secret);
        let mut found = Vec::new();
        for document in documents.iter() {
            match &document.kind {
                yaml::Kind::List(items) => {
                    found.extend(items.iter().map(|item| reader.replacement(item)));
                }
                _ => found.push(reader.replacement(document)),
            }
        }
        if reader.diagnostics.is_empty() {
            Ok(found)
        } else {
            Err(reader.diagnostics)
        }
    }
}

impl Reader<'_> {
    fn root(&mut self, root: &Node, found: &mut Kustomization) {
        let mut entries = 0;
        for (key, value, place) in self.entries(root) {
            if let yaml::Kind::List(items) = &value.kind {
                entries += items.len();
            }
            self.field(key, value, place, found);
        }
        let says = |key: &str| !matches!(key, "apiVersion" | "kind");
        if !self.entries(root).iter().any(|(key, ..)| says(key)) {
            self.refuse(
                self.place(root),
                "empty-kustomization",
                "the file asks for nothing",
                "list `resources:`",
            );
        }
        if entries > ENTRIES_MAX {
            let message = format!("the file has more than {ENTRIES_MAX} entries");
            self.refuse(
                self.place(root),
                "too-many-entries",
                message,
                "split it into folders",
            );
        }
        if found.component
            != root
                .get("kind")
                .is_some_and(|kind| kind.text() == Some("Component"))
        {
            found.component = !found.component;
        }
        let wanted = if found.component {
            "kustomize.config.k8s.io/v1alpha1"
        } else {
            "kustomize.config.k8s.io/v1beta1"
        };
        if let Some(version) = root.get("apiVersion")
            && version.text() != Some(wanted)
        {
            self.refuse(
                self.place(version),
                "kustomization",
                format!("`apiVersion` is not `{wanted}`"),
                "correct it",
            );
        }
    }

    fn field(&mut self, key: &str, value: &Node, place: Place, found: &mut Kustomization) {
        match key {
            "apiVersion" => {}
            "kind" => match value.text() {
                Some("Kustomization") => {}
                Some("Component") => found.component = true,
                _ => self.refuse(
                    place,
                    "kustomization",
                    "`kind` is neither `Kustomization` nor `Component`",
                    "correct it",
                ),
            },
            "resources" | "bases" => found.resources.extend(self.paths(value)),
            "components" => found.components.extend(self.paths(value)),
            "configMapGenerator" => found.config_maps = self.each(value, Self::generator),
            "secretGenerator" => found.secrets = self.each(value, Self::generator),
            "generatorOptions" => found.generator_options = self.options(value),
            "patchesStrategicMerge" => {
                let patches = self.each(value, Self::strategic_patch);
                found.patches.splice(0..0, patches);
            }
            "patches" => found.patches.extend(self.each(value, Self::trimmed_patch)),
            "patchesJson6902" => {
                found.late_patches = self.each(value, Self::patch);
                found.late_patches.iter_mut().for_each(|patch| patch.late = true);
            }
            "namespace" => found.namespace = self.string(value),
            "namePrefix" => found.prefix = self.string(value),
            "nameSuffix" => found.suffix = self.string(value),
            "labels" => {
                let labels = self.each(value, Self::labels);
                found.labels.splice(0..0, labels);
            }
            "commonLabels" => found.labels.push(Labels {
                pairs: self.pairs(value),
                selectors: true,
                ..Labels::default()
            }),
            "commonAnnotations" => found.annotations = self.pairs(value),
            "images" | "imageTags" => found.images.extend(self.each(value, Self::image)),
            "replicas" => found.replicas = self.each(value, Self::replica),
            "replacements" => found.replacements = self.each(value, Self::replacement),
            "buildMetadata" => {
                for item in self.items(value) {
                    match item.text() {
                        Some("originAnnotations") => found.origins = true,
                        _ => self.refuse(
                            self.place(item),
                            "kustomization-field",
                            "only `originAnnotations` is read of buildMetadata",
                            "drop the others",
                        ),
                    }
                }
            }
            "sortOptions" => found.order = self.order(value),
            other => self.unknown(place, other),
        }
    }

    fn unknown(&mut self, place: Place, key: &str) {
        let refused = REFUSED.iter().find(|(name, _)| *name == key);
        let (message, help) = match refused {
            Some((_, help)) => (format!("`{key}` is not read"), (*help).to_owned()),
            None => {
                let near = READ
                    .iter()
                    .min_by_key(|name| strsim::damerau_levenshtein(name, key));
                let help = match near {
                    Some(name) if strsim::damerau_levenshtein(name, key) <= 3 => {
                        format!("did you mean `{name}`?")
                    }
                    _ => "drop it; kustomize has no such field".to_owned(),
                };
                (format!("`{}` is not read", self.told(key)), help)
            }
        };
        self.refuse(place, "kustomization-field", message, &help);
    }

    fn labels(&mut self, item: &Node) -> Labels {
        let mut labels = Labels::default();
        for (key, value, place) in self.entries(item) {
            match key {
                "pairs" => labels.pairs = self.pairs(value),
                "includeSelectors" => labels.selectors = self.boolean(value),
                "includeTemplates" => labels.templates = self.boolean(value),
                "fields" => labels.fields = self.each(value, Self::field_spec),
                other => self.strange(
                    place,
                    other,
                    "labels",
                    "pairs, includeSelectors, includeTemplates and fields",
                ),
            }
        }
        labels
    }

    fn field_spec(&mut self, item: &Node) -> Spec {
        let mut spec = Spec {
            group: String::new(),
            version: String::new(),
            kind: String::new(),
            path: String::new(),
            create: false,
        };
        for (key, value, place) in self.entries(item) {
            match key {
                "group" => spec.group = self.string(value),
                "version" => spec.version = self.string(value),
                "kind" => spec.kind = self.string(value),
                "path" => spec.path = self.string(value),
                "create" => spec.create = self.boolean(value),
                other => self.strange(place, other, "a field", "group, version, kind, path and create"),
            }
        }
        spec
    }

    fn image(&mut self, item: &Node) -> Image {
        let mut image = Image {
            place: self.place(item),
            ..Image::default()
        };
        for (key, value, place) in self.entries(item) {
            match key {
                "name" => image.name = self.string(value),
                "newName" => image.new_name = Some(self.string(value)),
                "newTag" => image.new_tag = Some(self.string(value)),
                "tagSuffix" => image.tag_suffix = Some(self.string(value)),
                "digest" => image.digest = Some(self.string(value)),
                other => self.strange(
                    place,
                    other,
                    "an image",
                    "name, newName, newTag, tagSuffix and digest",
                ),
            }
        }
        image
    }

    fn replica(&mut self, item: &Node) -> Replica {
        let mut replica = Replica {
            place: self.place(item),
            ..Replica::default()
        };
        for (key, value, place) in self.entries(item) {
            match key {
                "name" => replica.name = self.string(value),
                "count" => replica.count = self.integer(value),
                other => self.strange(place, other, "replicas", "name and count"),
            }
        }
        replica
    }

    fn generator(&mut self, item: &Node) -> Generator {
        let mut generator = Generator {
            place: self.place(item),
            ..Generator::default()
        };
        for (key, value, place) in self.entries(item) {
            match key {
                "name" => generator.name = self.string(value),
                "namespace" => generator.namespace = self.string(value),
                "type" => generator.type_ = self.string(value),
                "env" => generator.envs.push(self.string(value)),
                "envs" => generator.envs.extend(self.strings(value)),
                "literals" => generator.literals = self.strings(value),
                "files" => generator.files = self.strings(value),
                "options" => generator.options = self.options(value),
                "behavior" => {
                    generator.behavior = match self.string(value).as_str() {
                        "replace" => Behavior::Replace,
                        "merge" => Behavior::Merge,
                        _ => Behavior::Create,
                    }
                }
                other => self.strange(
                    place,
                    other,
                    "a generator",
                    "name, namespace, behavior, type, envs, files, literals and options",
                ),
            }
        }
        if generator.name.is_empty() {
            self.refuse(
                self.place(item),
                "kustomization",
                "a generator needs a name",
                "write `name:`",
            );
        }
        generator
    }

    fn options(&mut self, node: &Node) -> GeneratorOptions {
        let mut options = GeneratorOptions::default();
        for (key, value, place) in self.entries(node) {
            match key {
                "labels" => options.labels = self.pairs(value),
                "annotations" => options.annotations = self.pairs(value),
                "disableNameSuffixHash" => options.disable_name_suffix_hash = self.boolean(value),
                "immutable" => options.immutable = self.boolean(value),
                other => self.strange(
                    place,
                    other,
                    "generator options",
                    "labels, annotations, disableNameSuffixHash and immutable",
                ),
            }
        }
        options
    }

    fn order(&mut self, node: &Node) -> Option<Order> {
        let mut order = None;
        let mut legacy = false;
        for (key, value, place) in self.entries(node) {
            match key {
                "order" => match value.text() {
                    Some("legacy") => legacy = true,
                    Some("fifo") => {}
                    _ => self.refuse(
                        place,
                        "kustomization",
                        "`order` is neither `fifo` nor `legacy`",
                        "correct it",
                    ),
                },
                "legacySortOptions" => {
                    let mut lists = Order {
                        first: Vec::new(),
                        last: Vec::new(),
                    };
                    for (key, value, place) in self.entries(value) {
                        match key {
                            "orderFirst" => lists.first = self.strings(value),
                            "orderLast" => lists.last = self.strings(value),
                            other => {
                                self.strange(place, other, "legacySortOptions", "orderFirst and orderLast")
                            }
                        }
                    }
                    order = Some(lists);
                }
                other => self.strange(place, other, "sortOptions", "order and legacySortOptions"),
            }
        }
        if order.is_some() && !legacy {
            self.refuse(
                self.place(node),
                "kustomization",
                "`legacySortOptions` needs `order: legacy`",
                "write both or none",
            );
        }
        legacy.then(|| order.unwrap_or_else(Order::usual))
    }
}
