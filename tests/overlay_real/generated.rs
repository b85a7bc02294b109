//! Random trees: a base, perhaps a component and a second base, an overlay over them, with every feature switched on by chance.

use super::Tree;
use super::verdicts::{Counts, INTENDED, compare};
use crate::support::{say, seed, servers};
use std::fmt::Write;

/// Trees of one run.
const TREES: u64 = 800;

/// Of a hundred trees both may refuse so many; it is some seventeen.
const REFUSED_PERCENT: u64 = 21;

/// Makes one tree.
struct Maker {
    random: fastrand::Rng,
    tree: Tree,
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
        if self.chance(percent) {
            let _ = writeln!(text, "namespace: {}", self.pick(&["prod", "team", "default"]));
        }
        if self.chance(percent) {
            let _ = writeln!(text, "namePrefix: {}", self.pick(&["a-", "dev-"]));
        }
        if self.chance(percent) {
            let _ = writeln!(text, "nameSuffix: {}", self.pick(&["-z", "-v2"]));
        }
        if self.chance(percent) {
            let selectors = self.pick(&[
                "",
                "  includeSelectors: true\n",
                "  includeTemplates: true\n",
                "  includeSelectors: false\n",
            ]);
            let fields = if self.chance(20) {
                "  fields:\n  - {path: spec/labels, kind: Widget, create: true}\n"
            } else {
                ""
            };
            let _ = write!(
                text,
                "labels:\n- pairs: {{team: storage, app: why}}\n{selectors}{fields}"
            );
        }
        if self.chance(percent / 2) {
            text.push_str("commonLabels: {common: label}\n");
        }
        if self.chance(percent) {
            text.push_str("commonAnnotations: {by: \"us\", note: \"no\"}\n");
        }
        if self.chance(percent) {
            let change = self.pick(&[
                "newTag: \"9\"",
                "newName: other/app",
                "digest: sha256:fff",
                "newName: x\n  newTag: \"3\"\n  digest: sha256:eee",
                "tagSuffix: -slim",
            ]);
            let _ = write!(
                text,
                "images:\n- name: {}\n  {change}\n",
                self.pick(&["nginx", "app", "ghcr.io/org/app", "localhost:5000/app"])
            );
        }
        self.replicas(text, percent);
        self.generators(text, folder, percent);
        self.patches(text, folder, percent * 2);
        self.replacements(text, percent);
    }

    fn replicas(&mut self, text: &mut String, percent: u32) {
        let scaled = self.objects[self.visible..]
            .iter()
            .filter(|(kind, ..)| *kind == "Deployment" || *kind == "StatefulSet");
        let names: Vec<String> = scaled.map(|(_, name, _)| name.clone()).collect();
        if !names.is_empty() && self.chance(percent) {
            let name = &names[self.random.usize(0..names.len())];
            let _ = writeln!(text, "replicas:\n- {{name: {name}, count: 5}}");
        }
    }

    fn generators(&mut self, text: &mut String, folder: &str, percent: u32) {
        for (field, kind) in [("configMapGenerator", "ConfigMap"), ("secretGenerator", "Secret")] {
            if !self.chance(percent) {
                continue;
            }
            let existing: Vec<String> = self.objects[self.visible..]
                .iter()
                .filter(|(one, ..)| *one == kind)
                .map(|(_, name, _)| name.clone())
                .collect();
            let behavior = if !existing.is_empty() && self.chance(40) {
                self.pick(&["merge", "replace"])
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
            if self.chance(40) {
                self.tree.insert(
                    format!("{folder}/some.env"),
                    "# words\nX=1\n  Y=two words\nZ\n".into(),
                );
                text.push_str("  envs: [some.env]\n");
            }
            if self.chance(40) {
                self.tree.insert(
                    format!("{folder}/app.conf"),
                    "line one\n\tline \"two\"\nlast".into(),
                );
                text.push_str("  files: [app.conf, other.conf=app.conf]\n");
            }
            if kind == "Secret" && self.chance(40) {
                text.push_str("  type: example.org/custom\n");
            }
            if self.chance(30) {
                text.push_str(
                    "  options: {labels: {from: generator}, annotations: {x: \"y\"}, immutable: true}\n",
                );
            } else if self.chance(30) {
                text.push_str("  options: {disableNameSuffixHash: true}\n");
            }
            if self.chance(20) {
                text.push_str("  namespace: prod\n");
            }
        }
        if self.chance(percent / 3) {
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
            let (kind, name, namespace) =
                self.objects[self.random.usize(self.visible..self.objects.len())].clone();
            let head = |extra: &str| {
                let namespace = namespace.map_or(String::new(), |one| format!("  namespace: {one}\n"));
                format!(
                    "apiVersion: {}\nkind: {kind}\nmetadata:\n  name: {name}\n{namespace}{extra}",
                    api_version(kind)
                )
            };
            let body = self.strategic(kind);
            let merged = match body.strip_prefix("metadata:\n") {
                Some(rest) => head("") + rest,
                None => head("") + &body,
            };
            match self.random.u32(0..12) % 11 {
                0 | 6 | 7 => {
                    let file = format!("patch-{number}.yaml");
                    self.tree.insert(format!("{folder}/{file}"), merged);
                    let _ = writeln!(entries, "- path: {file}");
                }
                1 | 8 | 9 | 10 => {
                    let _ = writeln!(entries, "- patch: |-\n{}", indented(&merged, 4));
                }
                2 => {
                    let target = self.pick(&[
                        "kind: Deployment",
                        "labelSelector: app=x",
                        "kind: (Deployment|StatefulSet)",
                        "name: w.*",
                    ]);
                    let any = "apiVersion: v1\nkind: Any\nmetadata:\n  name: any\n  annotations: {via: target}\n  labels: {q: r}\n";
                    let _ = writeln!(
                        entries,
                        "- target: {{{target}}}\n  patch: |-\n{}",
                        indented(any, 4)
                    );
                }
                3 => {
                    let operations = self.operations(kind);
                    let _ = writeln!(
                        entries,
                        "- target: {{kind: {kind}, name: {name}}}\n  patch: |-\n{}",
                        indented(&operations, 4)
                    );
                }
                4 => {
                    let _ = writeln!(
                        entries,
                        "- patch: |-\n{}\n    $patch: delete",
                        indented(&head(""), 4)
                    );
                }
                _ => {
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
        let _ = write!(
            text,
            "replacements:\n- source: {{kind: ConfigMap, name: {name}, fieldPath: data.num}}\n  targets:\n  - select: {{{target}}}\n    fieldPaths: [\"{path}\"]\n{options}"
        );
    }

    fn build(mut self) -> Tree {
        self.base("base", &NAMES);
        let second = self.chance(30);
        if second {
            self.base("other", &["extra", "web", "db"]);
        }
        self.visible = 0;
        let mut text = String::from("resources:\n- ../base\n");
        if second {
            text.push_str("- ../other\n");
        }
        if self.chance(20) {
            let mut component =
                String::from("apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n");
            self.features(&mut component, "component", 25);
            self.tree.insert("component/kustomization.yaml".into(), component);
            text.push_str("components: [../component]\n");
        }
        self.features(&mut text, "over", 30);
        if self.chance(15) {
            text.push_str("buildMetadata: [originAnnotations]\n");
        }
        if self.chance(15) {
            text.push_str(self.pick(&[
                "sortOptions: {order: legacy}\n",
                "sortOptions: {order: fifo}\n",
                "sortOptions:\n  order: legacy\n  legacySortOptions: {orderFirst: [Widget, ConfigMap], orderLast: [Namespace]}\n",
            ]));
        }
        self.tree.insert("over/kustomization.yaml".into(), text);
        self.tree
    }
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
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if number >= TREES || failures.lock().expect("no panic inside").len() >= 3 {
                        return;
                    }
                    let tree = Maker::new(seed.wrapping_add(number)).build();
                    match compare(
                        &format!("tree of seed {}", seed.wrapping_add(number)),
                        &tree,
                        "over",
                    ) {
                        Ok(verdict) => counts.lock().expect("no panic inside").add(&verdict),
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
}
