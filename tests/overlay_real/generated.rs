//! Random trees: a base, perhaps a component and a second base, an overlay over them, with every feature switched on by chance.

use super::Tree;
use super::verdicts::{Counts, INTENDED, Verdict, compare};
use crate::support::{say, seed, servers};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Trees of one run.
const TREES: u64 = 800;

/// Of a hundred trees both may refuse so many; it is some seventeen.
const REFUSED_PERCENT: u64 = 21;

/// What trees that both build alike must have, each so many times in one run.
const WANTED_EACH: usize = 3;
const WANTED: [&str; 59] = [
    "a base beside the folder",
    "a second base",
    "a component",
    "namespace",
    "namePrefix",
    "nameSuffix",
    "labels",
    "labels in selectors",
    "labels in templates",
    "labels in fields",
    "commonLabels",
    "commonAnnotations",
    "images: a tag",
    "images: a name",
    "images: a digest",
    "images: all three",
    "images: a suffix",
    "replicas",
    "configMapGenerator",
    "secretGenerator",
    "a generator that merges",
    "a generator that replaces",
    "a generator's literals",
    "a generator's envs",
    "a generator's files",
    "a generator's type",
    "a generator's labels",
    "a generator's namespace",
    "a generator without hash",
    "generatorOptions",
    "patches: strategic, of a file",
    "patches: strategic, in place",
    "patches: strategic, with a target",
    "patches: JSON",
    "patches: $patch: delete of an object",
    "patches: $patch: delete",
    "patches: $patch: replace",
    "patches: a null that takes away",
    "patches: another name",
    "patches: target by kind",
    "patches: target by pattern",
    "patches: target by name",
    "patches: target by group and version",
    "patches: target by version",
    "patches: target by namespace",
    "patches: target by labelSelector",
    "patches: target by annotationSelector",
    "patchesStrategicMerge, of a file",
    "patchesStrategicMerge, in place",
    "patchesJson6902, of a file",
    "patchesJson6902, in place",
    "replacements",
    "replacements: a place that is made",
    "replacements: an item by its name",
    "replacements: all items",
    "originAnnotations",
    "sortOptions: legacy",
    "sortOptions: fifo",
    "sortOptions: an order",
];

/// Makes one tree.
struct Maker {
    random: fastrand::Rng,
    tree: Tree,
    /// What the tree has, in words of [`WANTED`].
    has: BTreeSet<&'static str>,
    /// Objects of the base by kind, name and namespace.
    objects: Vec<(&'static str, String, Option<&'static str>)>,
    /// The first of them that the folder at hand can see.
    visible: usize,
}

const NAMES: [&str; 6] = ["web", "db", "cache", "data", "web-config", "creds"];
const NAMESPACES: [Option<&str>; 4] = [None, Some("default"), Some("prod"), Some("staging")];
const KINDS: [&str; 16] = [
    "Deployment",
    "StatefulSet",
    "Service",
    "ConfigMap",
    "Secret",
    "ServiceAccount",
    "PersistentVolumeClaim",
    "StorageClass",
    "CronJob",
    "RoleBinding",
    "ClusterRole",
    "Ingress",
    "Namespace",
    "HorizontalPodAutoscaler",
    "NetworkPolicy",
    "Widget",
];

fn api_version(kind: &str) -> &'static str {
    match kind {
        "Deployment" | "StatefulSet" => "apps/v1",
        "CronJob" => "batch/v1",
        "StorageClass" => "storage.k8s.io/v1",
        "RoleBinding" | "ClusterRole" => "rbac.authorization.k8s.io/v1",
        "Ingress" | "NetworkPolicy" => "networking.k8s.io/v1",
        "HorizontalPodAutoscaler" => "autoscaling/v1",
        "Widget" => "example.org/v1",
        _ => "v1",
    }
}

impl Maker {
    fn new(seed: u64) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            tree: Tree::new(),
            has: BTreeSet::new(),
            objects: Vec::new(),
            visible: 0,
        }
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.random.u32(0..100) < percent
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.random.usize(0..all.len())]
    }

    /// Notes a feature of the tree.
    fn note(&mut self, feature: &'static str) {
        self.has.insert(feature);
    }

    /// The same by chance: whether it is to be had.
    fn coin(&mut self, percent: u32, feature: &'static str) -> bool {
        let heads = self.chance(percent);
        if heads {
            self.note(feature);
        }
        heads
    }

    fn pod(&mut self, indent: usize) -> String {
        let pad = " ".repeat(indent);
        let mut text = String::new();
        let (config, secret, claim) = (self.pick(&NAMES), self.pick(&NAMES), self.pick(&NAMES));
        let account = self.pick(&NAMES);
        let _ = writeln!(text, "{pad}serviceAccountName: {account}\n{pad}containers:");
        for name in ["main", "side"].iter().take(1 + self.random.usize(0..2)) {
            let image = self.pick(&[
                "nginx",
                "nginx:1.0",
                "ghcr.io/org/app:v1@sha256:abc",
                "localhost:5000/app",
                "app:2",
            ]);
            let _ = writeln!(text, "{pad}- name: {name}\n{pad}  image: {image}");
            if self.chance(50) {
                let _ = writeln!(
                    text,
                    "{pad}  env:\n{pad}  - {{name: A, value: \"1\"}}\n{pad}  - name: B\n{pad}    valueFrom: {{configMapKeyRef: {{name: {config}, key: k}}}}"
                );
            }
            if self.chance(40) {
                let dns = self.pick(&["", ", protocol: TCP"]);
                let _ = writeln!(
                    text,
                    "{pad}  ports:\n{pad}  - containerPort: 80\n{pad}  - {{containerPort: 53{dns}, name: t}}\n{pad}  - {{containerPort: 53, protocol: UDP}}"
                );
            }
            if self.chance(30) {
                let _ = writeln!(text, "{pad}  envFrom:\n{pad}  - secretRef: {{name: {secret}}}");
            }
            if self.chance(30) {
                let _ = writeln!(
                    text,
                    "{pad}  volumeMounts:\n{pad}  - {{name: v, mountPath: /v}}\n{pad}  args: [a, b]"
                );
            }
        }
        if self.chance(50) {
            let _ = writeln!(
                text,
                "{pad}volumes:\n{pad}- name: v\n{pad}  configMap: {{name: {config}}}\n{pad}- name: w\n{pad}  secret: {{secretName: {secret}}}\n{pad}- name: x\n{pad}  persistentVolumeClaim: {{claimName: {claim}}}"
            );
        }
        if self.chance(20) {
            let _ = writeln!(
                text,
                "{pad}topologySpreadConstraints:\n{pad}- topologyKey: zone\n{pad}  whenUnsatisfiable: DoNotSchedule\n{pad}  labelSelector: {{matchLabels: {{app: x}}}}"
            );
        }
        if self.chance(15) {
            let _ = writeln!(text, "{pad}imagePullSecrets:\n{pad}- name: {secret}");
        }
        text
    }

    fn body(&mut self, kind: &str) -> String {
        let other = self.pick(&NAMES);
        match kind {
            "Deployment" | "StatefulSet" => {
                let replicas = if self.chance(50) { "  replicas: 1\n" } else { "" };
                let selector = if self.chance(80) { "  selector: {matchLabels: {app: x}}\n" } else { "" };
                let service = if kind == "StatefulSet" { format!("  serviceName: {other}\n") } else { String::new() };
                let claims = if kind == "StatefulSet" && self.chance(40) {
                    "  volumeClaimTemplates:\n  - metadata: {name: data}\n    spec: {storageClassName: db}\n"
                } else {
                    ""
                };
                let pod = self.pod(6);
                format!("spec:\n{replicas}{selector}{service}  template:\n    metadata:\n      labels: {{app: x}}\n    spec:\n{pod}{claims}")
            }
            "CronJob" => {
                let pod = self.pod(10);
                format!("spec:\n  schedule: \"0 2 * * *\"\n  jobTemplate:\n    spec:\n      template:\n        spec:\n{pod}")
            }
            "Service" => {
                let dns = self.pick(&["", "  - {port: 53, name: t}\n", "  - {port: 53, protocol: TCP, name: t}\n"]);
                format!("spec:\n  selector: {{app: x}}\n  ports:\n  - {{port: 80, name: http}}\n{dns}  - {{port: 53, protocol: UDP, name: u}}\n")
            }
            "ConfigMap" => "data:\n  k: v\n  num: \"1\"\n".into(),
            "Secret" => "type: Opaque\nstringData:\n  k: v\n".into(),
            "PersistentVolumeClaim" => format!("spec:\n  storageClassName: {other}\n  accessModes: [ReadWriteOnce]\n"),
            "StorageClass" => format!("provisioner: x\nparameters:\n  secretName: {other}\n  repl: \"2\"\n"),
            "RoleBinding" => format!(
                "roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {other}}}\nsubjects:\n- {{kind: ServiceAccount, name: {}}}\n- {{kind: ServiceAccount, name: default, namespace: why}}\n",
                self.pick(&NAMES)
            ),
            "ClusterRole" => format!("rules:\n- apiGroups: [\"\"]\n  resources: [secrets]\n  resourceNames: [{other}, nobody]\n  verbs: [get]\n"),
            "Ingress" => format!(
                "spec:\n  tls:\n  - secretName: {other}\n  rules:\n  - http:\n      paths:\n      - path: /\n        pathType: Prefix\n        backend: {{service: {{name: {}, port: {{number: 80}}}}}}\n",
                self.pick(&NAMES)
            ),
            "HorizontalPodAutoscaler" => format!("spec:\n  maxReplicas: 3\n  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: {other}}}\n"),
            "NetworkPolicy" => "spec:\n  podSelector: {matchLabels: {app: x}}\n  ingress:\n  - from:\n    - podSelector: {matchLabels: {app: z}}\n".into(),
            "Widget" => {
                let word = self.pick(&[
                    "yes", "on", "Off", "2001-01-01", "text", "0644", "\"yes\"", "12", "1_000", "~", "0x1F", "two words",
                ]);
                format!("spec:\n  size: 1\n  word: {word}\n  tags: [a, b]\n  containers:\n  - {{name: main, image: nginx}}\n  nested: {{deep: {{value: text}}}}\n")
            }
            _ => String::new(),
        }
    }

    fn object(&mut self, kind: &'static str, name: &str, namespace: Option<&'static str>) -> String {
        let mut text = format!(
            "apiVersion: {}\nkind: {kind}\nmetadata:\n  name: {name}\n",
            api_version(kind)
        );
        if let Some(namespace) = namespace {
            let _ = writeln!(text, "  namespace: {namespace}");
        }
        if self.chance(30) {
            text.push_str("  labels:\n    app: x\n    tier: hot\n");
        }
        if self.chance(20) {
            text.push_str("  annotations:\n    note: \"yes\"\n");
        }
        if self.chance(10) {
            text.push_str("  finalizers: [a.b/c]\n");
        }
        text + &self.body(kind)
    }

    /// A folder with objects and a kustomization of them.
    fn base(&mut self, folder: &str, names: &[&'static str]) {
        self.visible = self.objects.len();
        let mut resources = String::new();
        let count = 1 + self.random.usize(0..6);
        for number in 0..count {
            let kind = self.pick(&KINDS);
            let name = self.pick(names);
            let cluster = ["StorageClass", "ClusterRole", "Namespace"].contains(&kind);
            let namespace = if cluster { None } else { self.pick(&NAMESPACES) };
            // Only what differs by more than a namespace that is spelt in two ways.
            let spelt = |one: Option<&str>| one.unwrap_or("default").to_owned();
            let twice = |(k, n, s): &(&str, String, Option<&str>)| {
                *k == kind && n == name && spelt(*s) == spelt(namespace)
            };
            if self.objects.iter().any(twice) {
                continue;
            }
            let text = self.object(kind, name, namespace);
            self.objects.push((kind, name.to_owned(), namespace));
            let file = format!("{number}-{}.yaml", kind.to_lowercase());
            self.tree.insert(format!("{folder}/{file}"), text);
            let _ = writeln!(resources, "- {file}");
        }
        let mut text = if resources.is_empty() {
            String::new()
        } else {
            format!("resources:\n{resources}")
        };
        self.features(&mut text, folder, 15);
        if text.is_empty() {
            text = "namePrefix: \"\"\nresources: []\ncommonLabels: {a: b}\n".into();
        }
        self.tree.insert(format!("{folder}/kustomization.yaml"), text);
    }

    fn features(&mut self, text: &mut String, folder: &str, percent: u32) {
        if self.coin(percent, "namespace") {
            let _ = writeln!(text, "namespace: {}", self.pick(&["prod", "team", "default"]));
        }
        if self.coin(percent, "namePrefix") {
            let _ = writeln!(text, "namePrefix: {}", self.pick(&["a-", "dev-"]));
        }
        if self.coin(percent, "nameSuffix") {
            let _ = writeln!(text, "nameSuffix: {}", self.pick(&["-z", "-v2"]));
        }
        if self.coin(percent, "labels") {
            let (how, selectors) = self.pick(&[
                ("labels", ""),
                ("labels in selectors", "  includeSelectors: true\n"),
                ("labels in templates", "  includeTemplates: true\n"),
                ("labels", "  includeSelectors: false\n"),
            ]);
            self.note(how);
            let fields = if self.coin(20, "labels in fields") {
                "  fields:\n  - {path: spec/labels, kind: Widget, create: true}\n"
            } else {
                ""
            };
            let _ = write!(
                text,
                "labels:\n- pairs: {{team: storage, app: why}}\n{selectors}{fields}"
            );
        }
        if self.coin(percent / 2, "commonLabels") {
            text.push_str("commonLabels: {common: label}\n");
        }
        if self.coin(percent, "commonAnnotations") {
            text.push_str("commonAnnotations: {by: \"us\", note: \"no\"}\n");
        }
        if self.chance(percent) {
            let (how, change) = self.pick(&[
                ("images: a tag", "newTag: \"9\""),
                ("images: a name", "newName: other/app"),
                ("images: a digest", "digest: sha256:fff"),
                (
                    "images: all three",
                    "newName: x\n  newTag: \"3\"\n  digest: sha256:eee",
                ),
                ("images: a suffix", "tagSuffix: -slim"),
            ]);
            self.note(how);
            let _ = write!(
                text,
                "images:\n- name: {}\n  {change}\n",
                self.pick(&["nginx", "app", "ghcr.io/org/app", "localhost:5000/app"])
            );
        }
        self.replicas(text, percent);
        self.generators(text, folder, percent);
        self.patches(text, folder, percent * 2);
        self.older_patches(text, folder, percent / 2);
        self.replacements(text, percent);
    }

    fn replicas(&mut self, text: &mut String, percent: u32) {
        let scaled = self.objects[self.visible..]
            .iter()
            .filter(|(kind, ..)| *kind == "Deployment" || *kind == "StatefulSet");
        let names: Vec<String> = scaled.map(|(_, name, _)| name.clone()).collect();
        if !names.is_empty() && self.coin(percent, "replicas") {
            let name = &names[self.random.usize(0..names.len())];
            let _ = writeln!(text, "replicas:\n- {{name: {name}, count: 5}}");
        }
    }

    fn generators(&mut self, text: &mut String, folder: &str, percent: u32) {
        for (field, kind) in [("configMapGenerator", "ConfigMap"), ("secretGenerator", "Secret")] {
            if !self.coin(percent, field) {
                continue;
            }
            self.note("a generator's literals");
            let existing: Vec<String> = self.objects[self.visible..]
                .iter()
                .filter(|(one, ..)| *one == kind)
                .map(|(_, name, _)| name.clone())
                .collect();
            let behavior = if !existing.is_empty() && self.chance(40) {
                let (how, behavior) = self.pick(&[
                    ("a generator that merges", "merge"),
                    ("a generator that replaces", "replace"),
                ]);
                self.note(how);
                behavior
            } else {
                "create"
            };
            let name = if behavior == "create" {
                // One of its own mostly: two of one name are refused.
                match self.chance(70) {
                    true => format!("made-{folder}"),
                    false => self.pick(&["made", "web-config", "creds"]).to_owned(),
                }
            } else {
                existing[self.random.usize(0..existing.len())].clone()
            };
            let _ = write!(
                text,
                "{field}:\n- name: {name}\n  behavior: {behavior}\n  literals: [a=1, \"b='quoted text'\", c=<&>]\n"
            );
            if self.coin(40, "a generator's envs") {
                self.tree.insert(
                    format!("{folder}/some.env"),
                    "# words\nX=1\n  Y=two words\nZ\n".into(),
                );
                text.push_str("  envs: [some.env]\n");
            }
            if self.coin(40, "a generator's files") {
                self.tree.insert(
                    format!("{folder}/app.conf"),
                    "line one\n\tline \"two\"\nlast".into(),
                );
                text.push_str("  files: [app.conf, other.conf=app.conf]\n");
            }
            if kind == "Secret" && self.coin(40, "a generator's type") {
                text.push_str("  type: example.org/custom\n");
            }
            if self.coin(30, "a generator's labels") {
                text.push_str(
                    "  options: {labels: {from: generator}, annotations: {x: \"y\"}, immutable: true}\n",
                );
            } else if self.coin(30, "a generator without hash") {
                text.push_str("  options: {disableNameSuffixHash: true}\n");
            }
            if self.coin(20, "a generator's namespace") {
                text.push_str("  namespace: prod\n");
            }
        }
        if self.coin(percent / 3, "generatorOptions") {
            text.push_str("generatorOptions: {labels: {all: generators}, disableNameSuffixHash: true}\n");
        }
    }

    /// A strategic body for a kind.
    fn strategic(&mut self, kind: &str) -> String {
        match kind {
            "Deployment" | "StatefulSet" => self
                .pick(&[
                    "spec:\n  template:\n    spec:\n      containers:\n      - name: side\n        image: side:2\n        env:\n        - {name: B, value: two}\n        - {name: C, value: three}\n",
                    "spec:\n  template:\n    spec:\n      containers:\n      - name: main\n        $patch: delete\n      - name: new\n        image: new\n",
                    "spec:\n  template:\n    spec:\n      containers:\n      - name: main\n        ports:\n        - {containerPort: 80, name: http}\n        - {containerPort: 8080}\n        volumeMounts:\n        - {name: yy, mountPath: /y}\n        args: [c]\n",
                    "spec:\n  template:\n    spec:\n      containers:\n      - name: main\n        ports:\n        - {containerPort: 53, protocol: UDP, hostPort: 53}\n",
                    "spec:\n  replicas: 7\n  template:\n    spec:\n      volumes:\n      - $patch: replace\n      - name: only\n        emptyDir: {}\n",
                    "spec:\n  selector: null\n  template:\n    $patch: replace\n    spec: {containers: [{name: z, image: z}]}\n",
                    "metadata:\n  finalizers: [x.y/z]\nspec:\n  template:\n    metadata:\n      labels: {app: null, more: \"1\"}\n",
                ])
                .into(),
            "Service" => self
                .pick(&["spec:\n  ports:\n  - {port: 53, protocol: UDP, nodePort: 30053}\n", "spec:\n  ports:\n  - {port: 53, protocol: TCP, nodePort: 30053}\n", "spec:\n  ports:\n  - {port: 80, name: web}\n  - {port: 443}\n", "spec:\n  ports:\n  - {port: 53, protocol: UDP, $patch: delete}\n", "spec:\n  selector: {app: z}\n"])
                .into(),
            "Widget" => self
                .pick(&["spec:\n  tags: [c]\n  containers:\n  - {name: other}\n", "spec:\n  word: no\n  since: 2001-01-01\n", "spec:\n  size: null\n  nested: {deep: {more: 2}}\n", "spec:\n  nested:\n    $patch: delete\n"])
                .into(),
            "ConfigMap" => "data:\n  k: changed\n  num: null\n  z: \"9\"\n".into(),
            _ => "metadata:\n  annotations: {patched: \"true\"}\n".into(),
        }
    }

    /// A JSON patch: mostly operations that an object of the kind has something for, and now and then any on anything.
    fn operations(&mut self, kind: &str) -> String {
        const ANYWHERE: [&str; 8] = [
            "{op: add, path: /metadata/annotations, value: {j: \"1\"}}",
            "{op: add, path: /metadata/annotations/j, value: \"1\"}",
            "{op: replace, path: /metadata/annotations/j, value: 2}",
            "{op: add, path: /metadata/labels, value: {j: k}}",
            "{op: replace, path: /metadata/labels, value: {app: x}}",
            "{op: test, path: /metadata/gone, value: null}",
            "{op: copy, from: /metadata/name, path: /metadata/annotations/copied}",
            "{op: remove, path: /metadata/annotations}",
        ];
        const OF_WIDGETS: [&str; 10] = [
            "{op: add, path: /spec/tags/-, value: c}",
            "{op: add, path: /spec/tags/0, value: 9}",
            "{op: replace, path: /spec/tags/-1, value: z}",
            "{op: replace, path: /spec/fresh, value: [1, 2]}",
            "{op: remove, path: /spec/word}",
            "{op: move, from: /spec/tags, path: /spec/moved}",
            "{op: copy, from: /spec/nested, path: /spec/copied}",
            "{op: test, path: /spec/size, value: 1.0}",
            "{op: replace, path: /spec/tags/01, value: one}",
            "{op: test, path: /spec/tags, value: [a, b]}",
        ];
        if self.chance(15) {
            return "- {op: add, path: /metadata/labels, value: {j: k}}\n- {op: replace, path: /metadata/labels/j, value: l}".to_owned();
        }
        if self.chance(10) {
            return "- {op: remove, path: /metadata/name}\n- {op: add, path: /metadata/name, value: renamed}"
                .to_owned();
        }
        let count = 1 + self.random.usize(0..3);
        let mut all = Vec::new();
        for _ in 0..count {
            let own = kind == "Widget" && self.chance(70);
            all.push(match (own, self.chance(5)) {
                (_, true) => self.any_operation(),
                (true, _) => format!("- {}", self.pick(&OF_WIDGETS)),
                (false, _) => format!("- {}", self.pick(&ANYWHERE)),
            });
        }
        all.join("\n")
    }

    /// Any operation on any place, whether it is there or not.
    fn any_operation(&mut self) -> String {
        const PLACES: [&str; 12] = [
            "/metadata/annotations/note",
            "/metadata/labels/app",
            "/metadata/finalizers/0",
            "/metadata/finalizers/-",
            "/spec",
            "/spec/size",
            "/spec/tags/1",
            "/spec/tags/-2",
            "/spec/gone",
            "/spec/gone/deep",
            "/data/k",
            "/data/new",
        ];
        let (path, from) = (self.pick(&PLACES), self.pick(&PLACES));
        let value = self.pick(&["1", "1.0", "text", "null", "true", "{a: b}", "[1, x]", "\"1\""]);
        match self.pick(&["add", "replace", "test", "remove", "move", "copy"]) {
            "remove" => format!("- {{op: remove, path: {path}}}"),
            verb @ ("move" | "copy") => format!("- {{op: {verb}, from: {from}, path: {path}}}"),
            verb => format!("- {{op: {verb}, path: {path}, value: {value}}}"),
        }
    }

    fn patches(&mut self, text: &mut String, folder: &str, percent: u32) {
        if self.objects.len() == self.visible || !self.chance(percent) {
            return;
        }
        let mut entries = String::new();
        for number in 0..1 + self.random.usize(0..2) {
            let (kind, name, namespace) = self.seen_object();
            let body = self.strategic(kind);
            let merged = patch_of(kind, &name, namespace, &body);
            match self.random.u32(0..15) {
                0 | 6 | 7 | 11 => {
                    let file = format!("patch-{number}.yaml");
                    self.note("patches: strategic, of a file");
                    self.note_body(&body);
                    self.tree.insert(format!("{folder}/{file}"), merged);
                    let _ = writeln!(entries, "- path: {file}");
                }
                1 | 8 | 9 | 10 => {
                    self.note("patches: strategic, in place");
                    self.note_body(&body);
                    let _ = writeln!(entries, "- patch: |-\n{}", indented(&merged, 4));
                }
                2 | 12 | 13 | 14 => {
                    let (how, target) = self.pick(&[
                        ("patches: target by kind", "kind: Deployment"),
                        ("patches: target by pattern", "kind: (Deployment|StatefulSet)"),
                        ("patches: target by name", "name: w.*"),
                        ("patches: target by group and version", "group: apps, version: v1"),
                        (
                            "patches: target by group and version",
                            "group: storage.k8s.io, version: v1, kind: StorageClass",
                        ),
                        ("patches: target by version", "version: v1"),
                        ("patches: target by namespace", "namespace: prod"),
                        ("patches: target by labelSelector", "labelSelector: app=x"),
                        (
                            "patches: target by annotationSelector",
                            "annotationSelector: note=yes",
                        ),
                        (
                            "patches: target by annotationSelector",
                            "annotationSelector: \"note in (yes, no), by\"",
                        ),
                    ]);
                    self.note("patches: strategic, with a target");
                    self.note(how);
                    let any = "apiVersion: v1\nkind: Any\nmetadata:\n  name: any\n  annotations: {via: target}\n  labels: {q: r}\n";
                    let _ = writeln!(
                        entries,
                        "- target: {{{target}}}\n  patch: |-\n{}",
                        indented(any, 4)
                    );
                }
                3 => {
                    self.note("patches: JSON");
                    let operations = self.operations(kind);
                    let _ = writeln!(
                        entries,
                        "- target: {{kind: {kind}, name: {name}}}\n  patch: |-\n{}",
                        indented(&operations, 4)
                    );
                }
                4 => {
                    self.note("patches: $patch: delete of an object");
                    let _ = writeln!(
                        entries,
                        "- patch: |-\n{}\n    $patch: delete",
                        indented(&patch_of(kind, &name, namespace, ""), 4)
                    );
                }
                _ => {
                    self.note("patches: another name");
                    let renamed = format!(
                        "apiVersion: {}\nkind: {kind}\nmetadata:\n  name: fresh-{name}\n",
                        api_version(kind)
                    );
                    let _ = writeln!(
                        entries,
                        "- target: {{kind: {kind}, name: {name}}}\n  options: {{allowNameChange: true}}\n  patch: |-\n{}",
                        indented(&renamed, 4)
                    );
                }
            }
        }
        let _ = write!(text, "patches:\n{entries}");
    }

    /// The two fields that patches stood in before there was one for all.
    fn older_patches(&mut self, text: &mut String, folder: &str, percent: u32) {
        if self.objects.len() == self.visible {
            return;
        }
        if self.chance(percent) {
            let (kind, name, namespace) = self.seen_object();
            let body = self.strategic(kind);
            self.note_body(&body);
            let patch = patch_of(kind, &name, namespace, &body);
            if self.chance(50) {
                self.note("patchesStrategicMerge, of a file");
                self.tree.insert(format!("{folder}/older.yaml"), patch);
                text.push_str("patchesStrategicMerge: [older.yaml]\n");
            } else {
                self.note("patchesStrategicMerge, in place");
                let _ = write!(text, "patchesStrategicMerge:\n- |-\n{}\n", indented(&patch, 2));
            }
        }
        if self.chance(percent) {
            let (kind, name, namespace) = self.seen_object();
            let operations = match self.chance(60) {
                true => "- {op: add, path: /metadata/labels, value: {older: \"yes\"}}".to_owned(),
                false => self.operations(kind),
            };
            let version = api_version(kind);
            let (group, version) = version.split_once('/').unwrap_or(("", version));
            let group = match group {
                "" => String::new(),
                group => format!("group: {group}, "),
            };
            let namespace = match namespace.filter(|_| self.chance(50)) {
                Some(namespace) => format!(", namespace: {namespace}"),
                None => String::new(),
            };
            let _ = write!(
                text,
                "patchesJson6902:\n- target: {{{group}version: {version}, kind: {kind}, name: {name}{namespace}}}\n"
            );
            if self.chance(50) {
                self.note("patchesJson6902, of a file");
                self.tree
                    .insert(format!("{folder}/older-json.yaml"), operations + "\n");
                text.push_str("  path: older-json.yaml\n");
            } else {
                self.note("patchesJson6902, in place");
                let _ = write!(text, "  patch: |-\n{}\n", indented(&operations, 4));
            }
        }
    }

    /// One of the objects that the folder at hand can see.
    fn seen_object(&mut self) -> (&'static str, String, Option<&'static str>) {
        self.objects[self.random.usize(self.visible..self.objects.len())].clone()
    }

    /// Notes what the body of a strategic patch has.
    fn note_body(&mut self, body: &str) {
        for (feature, words) in [
            ("patches: $patch: delete", "$patch: delete"),
            ("patches: $patch: replace", "$patch: replace"),
            ("patches: a null that takes away", ": null"),
        ] {
            if body.contains(words) {
                self.note(feature);
            }
        }
    }

    fn replacements(&mut self, text: &mut String, percent: u32) {
        let configs: Vec<_> = self.objects[self.visible..]
            .iter()
            .filter(|(kind, ..)| *kind == "ConfigMap")
            .cloned()
            .collect();
        if configs.is_empty() || !self.chance(percent) {
            return;
        }
        let (_, name, _) = &configs[self.random.usize(0..configs.len())];
        let (target, path) = self.pick(&[
            (
                "kind: Deployment",
                "spec.template.spec.containers.[name=main].image",
            ),
            ("kind: Deployment", "spec.template.spec.containers.*.image"),
            ("kind: Deployment", "metadata.annotations.[a.b/c]"),
            ("kind: Widget", "spec.nested.deep.value"),
            ("kind: Widget", "spec.size"),
            ("kind: Service", "spec.ports.0.port"),
        ]);
        let options = self.pick(&[
            "",
            "    options: {create: true}\n",
            "    options: {create: true}\n",
            "    options: {create: true}\n",
            "    options: {delimiter: \":\", index: 1}\n",
            "    options: {delimiter: \"/\", index: -1}\n",
        ]);
        self.note("replacements");
        for (feature, words) in [
            ("replacements: a place that is made", "create: true"),
            ("replacements: an item by its name", "[name="),
            ("replacements: all items", "*"),
        ] {
            if path.contains(words) || options.contains(words) {
                self.note(feature);
            }
        }
        let _ = write!(
            text,
            "replacements:\n- source: {{kind: ConfigMap, name: {name}, fieldPath: data.num}}\n  targets:\n  - select: {{{target}}}\n    fieldPaths: [\"{path}\"]\n{options}"
        );
    }

    /// The files of the tree, and what it has.
    fn build(mut self) -> (Tree, BTreeSet<&'static str>) {
        self.base("base", &NAMES);
        self.note("a base beside the folder");
        let second = self.coin(30, "a second base");
        if second {
            self.base("other", &["extra", "web", "db"]);
        }
        self.visible = 0;
        let mut text = String::from("resources:\n- ../base\n");
        if second {
            text.push_str("- ../other\n");
        }
        if self.coin(20, "a component") {
            let mut component =
                String::from("apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n");
            self.features(&mut component, "component", 25);
            self.tree.insert("component/kustomization.yaml".into(), component);
            text.push_str("components: [../component]\n");
        }
        self.features(&mut text, "over", 30);
        if self.coin(15, "originAnnotations") {
            text.push_str("buildMetadata: [originAnnotations]\n");
        }
        if self.chance(15) {
            let (how, options) = self.pick(&[
                ("sortOptions: legacy", "sortOptions: {order: legacy}\n"),
                ("sortOptions: fifo", "sortOptions: {order: fifo}\n"),
                (
                    "sortOptions: an order",
                    "sortOptions:\n  order: legacy\n  legacySortOptions: {orderFirst: [Widget, ConfigMap], orderLast: [Namespace]}\n",
                ),
            ]);
            self.note(how);
            text.push_str(options);
        }
        self.tree.insert("over/kustomization.yaml".into(), text);
        (self.tree, self.has)
    }
}

/// A patch of an object: its head, then a body that may go on with its metadata.
fn patch_of(kind: &str, name: &str, namespace: Option<&str>, body: &str) -> String {
    let namespace = namespace.map_or(String::new(), |one| format!("  namespace: {one}\n"));
    let body = body.strip_prefix("metadata:\n").unwrap_or(body);
    format!(
        "apiVersion: {}\nkind: {kind}\nmetadata:\n  name: {name}\n{namespace}{body}",
        api_version(kind)
    )
}

fn indented(text: &str, by: usize) -> String {
    let pad = " ".repeat(by);
    text.lines()
        .map(|line| format!("{pad}{line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn generated_trees_are_built_as_kustomize_builds_them() {
    if servers::left_out("generated_trees_are_built_as_kustomize_builds_them") {
        return;
    }
    servers::kustomize();
    let seed = seed("overlay trees");
    let next = std::sync::atomic::AtomicU64::new(0);
    let counts = std::sync::Mutex::new(Counts::default());
    let failures = std::sync::Mutex::new(Vec::new());
    let built = std::sync::Mutex::new(BTreeMap::<&str, usize>::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if number >= TREES || failures.lock().expect("no panic inside").len() >= 3 {
                        return;
                    }
                    let (tree, has) = Maker::new(seed.wrapping_add(number)).build();
                    match compare(
                        &format!("tree of seed {}", seed.wrapping_add(number)),
                        &tree,
                        "over",
                    ) {
                        Ok(verdict) => {
                            counts.lock().expect("no panic inside").add(&verdict);
                            if verdict == Verdict::Same {
                                let mut built = built.lock().expect("no panic inside");
                                for feature in has {
                                    *built.entry(feature).or_default() += 1;
                                }
                            }
                        }
                        Err(difference) => failures.lock().expect("no panic inside").push(difference),
                    }
                }
            });
        }
    });
    let counts = counts.into_inner().expect("no panic inside");
    say(&format!("overlay trees: {}", counts.words()));
    let failures = failures.into_inner().expect("no panic inside");
    assert!(failures.is_empty(), "{}", failures.join("\n=======\n"));
    for one in INTENDED {
        let count = counts.by_name.get(one.name).copied().unwrap_or_default();
        assert!(
            count <= one.most,
            "{}: {count}, not {} at most",
            one.name,
            one.most
        );
    }
    // Nor one of which both refuse much: only what is built is compared.
    let most = usize::try_from(TREES * REFUSED_PERCENT / 100).expect("a small number");
    assert!(counts.refused <= most, "{}", counts.words());
    // A generator that makes mostly mistakes would compare nothing.
    assert!(counts.same >= 480, "{}", counts.words());
    // Nor one that leaves out what people write.
    let built = built.into_inner().expect("no panic inside");
    let table: Vec<String> = built
        .iter()
        .map(|(feature, count)| format!("\n  {count:>4} {feature}"))
        .collect();
    say(&format!(
        "overlay trees that are built alike, by what they have:{}",
        table.concat()
    ));
    let rare: Vec<&str> = WANTED
        .into_iter()
        .filter(|one| built.get(one).copied().unwrap_or_default() < WANTED_EACH)
        .collect();
    assert!(
        rare.is_empty(),
        "fewer than {WANTED_EACH} trees have each of {rare:?}"
    );
    let unknown: Vec<&&str> = built.keys().filter(|one| !WANTED.contains(one)).collect();
    assert!(unknown.is_empty(), "not in the list: {unknown:?}");
}
