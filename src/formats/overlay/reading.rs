//! A kustomization file's text → its fields, and a refusal by name for every field that is not read.

use super::fields::Spec;
use super::kustomization::{
    FieldOptions, Generator, GeneratorOptions, Image, Kustomization, Labels, Order, Patch, Replacement,
    ReplacementSource, ReplacementTarget, Replica,
};
use super::object::Behavior;
use super::read::Reader;
use super::select::{self, Pattern, Selector};
use super::yaml_diagnostic;
use crate::formats::pattern;
use crate::formats::yaml::{self, Node};
use crate::model::diagnostic::{Diagnostic, Place};
use zeroize::Zeroizing;

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
    pub(super) fn read(path: &str, text: &str, secret: bool) -> Result<Self, Vec<Diagnostic>> {
        let documents = yaml::load(text).map_err(|error| vec![yaml_diagnostic(path, error, secret)])?;
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
        if reader.diagnostics.is_empty() {
            Ok(found)
        } else {
            Err(reader.diagnostics)
        }
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

    fn strategic_patch(&mut self, item: &Node) -> Patch {
        let text = self.string(item);
        // A patch itself may stand where a path is expected; no path has two lines or a `key: value` in it.
        let inline = text.contains('\n') || text.contains(": ");
        Patch {
            place: self.place(item),
            path: (!inline).then(|| (text.clone(), self.place(item))),
            inline: inline.then_some(text),
            target: None,
            allow_name_change: false,
            allow_kind_change: false,
            late: false,
        }
    }

    /// An entry of `patches`: kustomize cuts the space behind its text off, and so the line break of a last value in a block.
    fn trimmed_patch(&mut self, item: &Node) -> Patch {
        let mut patch = self.patch(item);
        if let Some(text) = &mut patch.inline {
            text.truncate(text.trim_end().len());
        }
        patch
    }

    fn patch(&mut self, item: &Node) -> Patch {
        let mut patch = Patch {
            place: self.place(item),
            path: None,
            inline: None,
            target: None,
            allow_name_change: false,
            allow_kind_change: false,
            late: false,
        };
        for (key, value, place) in self.entries(item) {
            match key {
                "path" => patch.path = Some((self.string(value), self.place(value))),
                "patch" => {
                    patch.inline = Some(self.string(value));
                    patch.place = self.place(value);
                }
                "target" => patch.target = Some(self.selector(value)),
                "options" => {
                    for (key, value, place) in self.entries(value) {
                        match key {
                            "allowNameChange" => patch.allow_name_change = self.boolean(value),
                            "allowKindChange" => patch.allow_kind_change = self.boolean(value),
                            other => self.strange(
                                place,
                                other,
                                "a patch's options",
                                "allowNameChange and allowKindChange",
                            ),
                        }
                    }
                }
                other => self.strange(place, other, "a patch", "path, patch, target and options"),
            }
        }
        if patch.path.is_some() == patch.inline.is_some() {
            self.refuse(
                self.place(item),
                "kustomization",
                "a patch needs exactly one of `path` and `patch`",
                "keep one of them",
            );
        }
        patch
    }

    /// A selector by patterns, as patches and replacements have it.
    fn selector(&mut self, node: &Node) -> Selector {
        let mut selector = Selector::default();
        for (key, value, place) in self.entries(node) {
            let text = self.string(value);
            if text.is_empty() {
                continue;
            }
            if key == "labelSelector" || key == "annotationSelector" {
                let requirements = match select::requirements(&text) {
                    Ok(requirements) => requirements,
                    Err(what) => {
                        self.refuse(
                            place,
                            "selector",
                            format!("`{key}` {what}"),
                            "write requirements such as `app=db,tier!=hot`, separated by commas",
                        );
                        continue;
                    }
                };
                if key == "labelSelector" {
                    selector.labels = requirements;
                } else {
                    selector.annotations = requirements;
                }
                continue;
            }
            let pattern = match self.pattern(&text) {
                Ok(pattern) => pattern,
                Err(what) => {
                    self.wrong_patterns += 1;
                    if self.wrong_patterns > pattern::MISTAKES_MAX {
                        continue;
                    }
                    self.refuse(
                        place,
                        "pattern",
                        format!("`{}` {what}", self.told(key)),
                        "write a short one, and escape special characters with a backslash",
                    );
                    continue;
                }
            };
            match key {
                "group" => selector.group = Some(pattern),
                "version" => selector.version = Some(pattern),
                "kind" => selector.kind = Some(pattern),
                "name" => selector.name = Some(pattern),
                "namespace" => selector.namespace = Some(pattern),
                other => self.strange(
                    place,
                    other,
                    "a target",
                    "group, version, kind, name, namespace, labelSelector and annotationSelector",
                ),
            }
        }
        selector
    }

    /// A pattern, compiled once however often it is written.
    fn pattern(&mut self, text: &str) -> Result<Pattern, String> {
        if Pattern::is_word(text) {
            return Pattern::read(text);
        }
        if let Some(known) = self.patterns.get(text) {
            return known.clone();
        }
        if self.patterns.len() == pattern::PATTERNS_MAX || self.wrong_patterns > pattern::MISTAKES_MAX {
            let max = pattern::PATTERNS_MAX;
            return Err(format!("is one of more than {max} different regular expressions"));
        }
        let fresh = Pattern::read(text);
        self.patterns.insert(text.to_owned(), fresh.clone());
        fresh
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

    fn replacement(&mut self, item: &Node) -> Replacement {
        let mut replacement = Replacement {
            place: self.place(item),
            path: None,
            source: None,
            source_value: None,
            targets: Vec::new(),
        };
        for (key, value, place) in self.entries(item) {
            match key {
                "path" => replacement.path = Some((self.string(value), self.place(value))),
                "source" => replacement.source = Some(self.source(value)),
                "sourceValue" => replacement.source_value = Some(Zeroizing::new(self.string(value))),
                "targets" => replacement.targets = self.each(value, Self::target),
                other => self.strange(
                    place,
                    other,
                    "a replacement",
                    "path, source, sourceValue and targets",
                ),
            }
        }
        replacement
    }

    fn source(&mut self, node: &Node) -> ReplacementSource {
        let mut source = ReplacementSource::default();
        for (key, value, place) in self.entries(node) {
            match key {
                "group" => source.group = self.string(value),
                "version" => source.version = self.string(value),
                "kind" => source.kind = self.string(value),
                "name" => source.name = self.string(value),
                "namespace" => source.namespace = self.string(value),
                "fieldPath" => source.field_path = self.string(value),
                "options" => source.options = self.field_options(value),
                other => self.strange(
                    place,
                    other,
                    "a source",
                    "group, version, kind, name, namespace, fieldPath and options",
                ),
            }
        }
        source
    }

    fn target(&mut self, node: &Node) -> ReplacementTarget {
        let mut target = ReplacementTarget::default();
        for (key, value, place) in self.entries(node) {
            match key {
                "select" => target.select = Some(self.selector(value)),
                "reject" => target.reject = self.each(value, Self::selector),
                "fieldPaths" => target.field_paths = self.strings(value),
                "options" => target.options = self.field_options(value),
                other => self.strange(place, other, "a target", "select, reject, fieldPaths and options"),
            }
        }
        target
    }

    fn field_options(&mut self, node: &Node) -> FieldOptions {
        let mut options = FieldOptions::default();
        for (key, value, place) in self.entries(node) {
            match key {
                "delimiter" => options.delimiter = self.string(value),
                "index" => options.index = self.integer(value),
                "create" => options.create = self.boolean(value),
                "encoding" => self.refuse(
                    place,
                    "kustomization-field",
                    "`encoding` is not read",
                    "drop it; kustomize ignores it",
                ),
                other => self.strange(place, other, "options", "delimiter, index and create"),
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
