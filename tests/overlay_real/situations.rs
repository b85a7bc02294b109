//! Situations that people meet, each by name: what is easily got wrong, and what must be refused.

use super::tree;
use super::verdicts::{Counts, Verdict, compare};
use crate::support::{say, servers};

#[test]
fn every_situation_is_built_as_kustomize_builds_it() {
    if servers::left_out("every_situation_is_built_as_kustomize_builds_it") {
        return;
    }
    let (mut failures, mut counts) = (Vec::new(), Counts::default());
    for (name, files) in all() {
        let verdict = match compare(name, &tree(files), "over") {
            Ok(verdict) => verdict,
            Err(difference) => {
                failures.push(difference);
                continue;
            }
        };
        counts.add(&verdict);
        let refused = REFUSED.contains(&name);
        if refused != (verdict == Verdict::Refused) {
            failures.push(format!(
                "{name}: {verdict:?}, and it must be refused by both: {refused}"
            ));
        }
    }
    say(&format!("overlay situations: {}", counts.words()));
    assert!(failures.is_empty(), "{}", failures.join("\n=======\n"));
}

/// Situations that both must refuse. That both refuse another is a mistake in it, which compares nothing.
const REFUSED: [&str; 17] = [
    "a replacement past the end of a list",
    "brackets around a key without a dot",
    "the same object in no namespace and in default",
    "an empty kustomization",
    "a JSON patch that tests in vain",
    "a component listed as a resource",
    "the same object twice",
    "a replacement of a missing field",
    "an unknown field",
    "two kustomization files",
    "a cycle",
    "yes and no are no texts",
    "a folder without a kustomization",
    "a file that is not there",
    "a key twice",
    "replicas of nobody",
    "a patch of another kind of value",
];

pub(super) type Situation = (&'static str, &'static [(&'static str, &'static str)]);

const DEPLOYMENT: &str = r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    spec:
      containers:
      - name: main
        image: nginx:1
        env: [{name: A, value: a}, {name: B, value: b}]
        ports: [{containerPort: 80}, {containerPort: 53, protocol: UDP}]
        args: [x]
      volumes: [{name: v, configMap: {name: conf}}]
"#;

pub(super) const CONFIG: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: conf}\ndata: {k: v}\n";

#[rustfmt::skip]
pub(super) fn all() -> Vec<Situation> {
    vec![
        ("a plain list of files", &[
            ("over/d.yaml", DEPLOYMENT),
            ("over/c.yaml", CONFIG),
            ("over/kustomization.yaml", r#"resources: [d.yaml, c.yaml]
"#),
        ]),
        ("a prefix takes references along", &[
            ("over/d.yaml", DEPLOYMENT),
            ("over/c.yaml", CONFIG),
            ("over/kustomization.yaml", r#"resources: [d.yaml, c.yaml]
namePrefix: p-
nameSuffix: -s
"#),
        ]),
        ("a generated ConfigMap's hash takes references along", &[
            ("over/d.yaml", DEPLOYMENT),
            ("over/kustomization.yaml", r#"resources: [d.yaml]
configMapGenerator:
- name: conf
  literals: [k=v]
"#),
        ]),
        ("a folder without a kustomization", &[
            ("base/c.yaml", CONFIG),
            ("over/kustomization.yaml", "resources: [../base]\n"),
        ]),
        ("a target by annotation", &[
            ("over/a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, annotations: {tier: hot}}\ndata: {k: v}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, annotations: {tier: cold}}\ndata: {k: v}\n"),
            ("over/kustomization.yaml", r#"resources: [a.yaml]
patches:
- target: {annotationSelector: "tier=hot"}
  patch: |-
    - {op: replace, path: /data/k, value: x}
"#),
        ]),
        ("a target by group, version and namespace", &[
            ("over/a.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a, namespace: one}\nspec: {replicas: 1}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a, namespace: two}\nspec: {replicas: 1}\n---\napiVersion: example.org/v1\nkind: Deployment\nmetadata: {name: a, namespace: one}\nspec: {replicas: 1}\n"),
            ("over/kustomization.yaml", r#"resources: [a.yaml]
patches:
- target: {group: apps, version: v1, namespace: one}
  patch: |-
    - {op: replace, path: /spec/replicas, value: 3}
"#),
        ]),
        ("a target that takes nothing", &[
            ("over/c.yaml", CONFIG),
            ("over/kustomization.yaml", r#"resources: [c.yaml]
patches:
- target: {kind: Deployment}
  patch: |-
    - {op: replace, path: /spec/replicas, value: 3}
"#),
        ]),
        ("a merge that says that it is one", &[
            ("over/d.yaml", DEPLOYMENT),
            ("over/kustomization.yaml", r#"resources: [d.yaml]
patches:
- patch: |-
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: web}
    spec:
      template:
        spec:
          $patch: merge
          serviceAccountName: x
          containers:
          - {name: main, $patch: merge, image: "nginx:2"}
"#),
        ]),
        ("the old names of fields", &[
            ("base/d.yaml", DEPLOYMENT),
            ("base/kustomization.yaml", "resources: [d.yaml]\n"),
            ("over/kustomization.yaml", r#"bases: [../base]
imageTags:
- {name: nginx, newTag: "9"}
"#),
        ]),
        ("a generated ConfigMap without a hash", &[
            ("over/d.yaml", DEPLOYMENT),
            ("over/kustomization.yaml", r#"resources: [d.yaml]
configMapGenerator:
- name: conf
  literals: [k=v]
  options: {disableNameSuffixHash: true}
"#),
        ]),
        ("a generator merges over a base's generated map", &[
            ("base/kustomization.yaml", r#"configMapGenerator:
- name: conf
  literals: [a=1, b=2]
"#),
            ("over/d.yaml", DEPLOYMENT),
            ("over/kustomization.yaml", r#"resources: [../base, d.yaml]
namePrefix: p-
configMapGenerator:
- name: conf
  behavior: merge
  literals: [b=3, c=4]
"#),
        ]),
        ("a generator replaces a base's generated map", &[
            ("base/kustomization.yaml", r#"secretGenerator:
- name: s
  literals: [a=1]
"#),
            ("over/kustomization.yaml", r#"resources: [../base]
secretGenerator:
- name: s
  behavior: replace
  type: x/y
  literals: [c=4]
"#),
        ]),
        ("a generator from files, env files and literals", &[
            ("over/a.txt", r#"one
two
"#),
            ("over/b.env", r#"# c
X=1
Y=a=b
Z
"#),
            ("over/kustomization.yaml", r#"configMapGenerator:
- name: m
  files: [a.txt, renamed=a.txt]
  envs: [b.env]
  literals: [q="quoted", r='single', s=a=b]
"#),
        ]),
        ("JSON patches from files", &[
            ("over/d.yaml", DEPLOYMENT),
            ("over/c.yaml", CONFIG),
            ("over/p.yaml", "- {op: replace, path: /data/k, value: from-yaml}\n- {op: add, path: /data/l, value: x}\n"),
            ("over/p.json", r#"[{"op": "add", "path": "/spec/replicas", "value": 7}]"#),
            ("over/kustomization.yaml", r#"resources: [d.yaml, c.yaml]
patches:
- {path: p.yaml, target: {kind: ConfigMap}}
- {path: p.json, target: {kind: Deployment}}
"#),
        ]),
        ("patchesJson6902 from files", &[
            ("over/d.yaml", DEPLOYMENT),
            ("over/c.yaml", CONFIG),
            ("over/p.yaml", "- {op: replace, path: /data/k, value: from-yaml}\n"),
            ("over/p.json", r#"[{"op": "remove", "path": "/spec/template/spec/volumes"}]"#),
            ("over/kustomization.yaml", r#"resources: [d.yaml, c.yaml]
patchesJson6902:
- {path: p.yaml, target: {version: v1, kind: ConfigMap, name: conf}}
- {path: p.json, target: {group: apps, version: v1, kind: Deployment, name: web}}
"#),
        ]),
        ("files that are no text", &[
            ("over/a.bin", "\u{ff}\u{fe}\u{0}x\u{80}"),
            ("over/b.bin", "plain"),
            ("over/c.bin", "\u{c3}\u{28}"),
            ("over/kustomization.yaml", r#"configMapGenerator:
- {name: m, files: [a.bin, b.bin, key=c.bin], literals: [l=v]}
- {name: other, files: [a.bin]}
secretGenerator:
- {name: s, files: [a.bin, b.bin]}
"#),
        ]),
        ("a generator merges bytes over bytes", &[
            ("base/a.bin", "\u{ff}one"),
            ("base/kustomization.yaml", "configMapGenerator: [{name: m, files: [a.bin, k=a.bin], literals: [l=v]}]\n"),
            ("over/a.bin", "\u{ff}two"),
            ("over/kustomization.yaml", r#"resources: [../base]
configMapGenerator: [{name: m, behavior: merge, files: [a.bin]}]
"#),
        ]),
        ("global generator options", &[
            ("over/kustomization.yaml", r#"generatorOptions: {labels: {l: g, m: g}, annotations: {a: g}, immutable: true}
configMapGenerator:
- name: m
  literals: [a=b]
  options: {labels: {l: own}}
"#),
        ]),
        ("a strategic merge by name", &[
            ("over/d.yaml", DEPLOYMENT),
            ("over/c.yaml", CONFIG),
            ("over/kustomization.yaml", r#"resources: [d.yaml, c.yaml]
patches:
- patch: |-
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: web}
    spec: {template: {spec: {containers: [{name: main, env: [{name: B, value: c}, {name: C, value: d}], args: [z]}]}}}
"#),
        ]),
        ("a container is deleted, a list is replaced", &[
            ("over/d.yaml", DEPLOYMENT),
            ("over/c.yaml", CONFIG),
            ("over/kustomization.yaml", r#"resources: [d.yaml, c.yaml]
patches:
- patch: |-
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: web}
    spec:
      template:
        spec:
          containers:
          - {name: side, image: s}
          - {name: main, $patch: delete}
          volumes:
          - $patch: replace
          - {name: w, emptyDir: {}}
"#),
        ]),
        ("an object is deleted", &[
            ("over/d.yaml", DEPLOYMENT),
            ("over/c.yaml", CONFIG),
            ("over/kustomization.yaml", r#"resources: [d.yaml, c.yaml]
patches:
- patch: |-
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: conf}
    $patch: delete
"#),
        ]),
        ("several patches in one file", &[
            ("over/d.yaml", DEPLOYMENT),
            ("over/c.yaml", CONFIG),
            ("over/p.yaml", r#"apiVersion: v1
kind: ConfigMap
metadata: {name: conf}
data: {x: "1"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {replicas: 2}
"#),
            ("over/kustomization.yaml", r#"resources: [d.yaml, c.yaml]
patches: [{path: p.yaml}]
"#),
        ]),
        ("patchesStrategicMerge by path and inline", &[
            ("over/d.yaml", DEPLOYMENT),
            ("over/c.yaml", CONFIG),
            ("over/p.yaml", r#"apiVersion: v1
kind: ConfigMap
metadata: {name: conf}
data: {x: "1"}
"#),
            ("over/kustomization.yaml", r#"resources: [d.yaml, c.yaml]
patchesStrategicMerge:
- p.yaml
- |-
  apiVersion: apps/v1
  kind: Deployment
  metadata: {name: web}
  spec: {replicas: 3}
"#),
        ]),
        ("patchesJson6902 come after the prefix and still find the old name", &[
            ("over/d.yaml", DEPLOYMENT),
            ("over/c.yaml", CONFIG),
            ("over/kustomization.yaml", r#"resources: [d.yaml, c.yaml]
namePrefix: p-
patchesJson6902:
- target: {version: v1, kind: ConfigMap, name: conf}
  patch: |-
    - {op: add, path: /data/z, value: "1"}
    - {op: test, path: /metadata/name, value: p-conf}
"#),
        ]),
        ("a name that patchesJson6902 gives is followed by no reference", &[
            ("base/d.yaml", DEPLOYMENT),
            ("base/c.yaml", CONFIG),
            ("base/kustomization.yaml", r#"resources: [d.yaml, c.yaml]
patchesJson6902:
- target: {version: v1, kind: ConfigMap, name: conf}
  patch: |-
    - {op: replace, path: /metadata/name, value: other}
"#),
            ("over/kustomization.yaml", r#"resources: [../base]
namePrefix: p-
patches:
- target: {kind: ConfigMap, name: conf}
  patch: |-
    - {op: add, path: /data/z, value: "1"}
"#),
        ]),
        ("a name that patchesJson6902 gives behind a prefix is followed", &[
            ("over/d.yaml", DEPLOYMENT),
            ("over/c.yaml", CONFIG),
            ("over/kustomization.yaml", r#"resources: [d.yaml, c.yaml]
namePrefix: p-
patchesJson6902:
- target: {version: v1, kind: ConfigMap, name: conf}
  patch: |-
    - {op: replace, path: /metadata/name, value: other}
"#),
        ]),
        ("a name that a patch gives is followed by references", &[
            ("over/d.yaml", DEPLOYMENT),
            ("over/c.yaml", CONFIG),
            ("over/kustomization.yaml", r#"resources: [d.yaml, c.yaml]
patches:
- target: {version: v1, kind: ConfigMap, name: conf}
  patch: |-
    - {op: replace, path: /metadata/name, value: other}
"#),
        ]),
        ("a JSON patch that tests in vain", &[
            ("over/d.yaml", DEPLOYMENT),
            ("over/c.yaml", CONFIG),
            ("over/kustomization.yaml", r#"resources: [d.yaml, c.yaml]
patches:
- target: {kind: ConfigMap}
  patch: |-
    - {op: test, path: /data/k, value: other}
"#),
        ]),
        ("targets by pattern and selector", &[
            ("over/d.yaml", DEPLOYMENT),
            ("over/c.yaml", CONFIG),
            ("over/kustomization.yaml", r#"resources: [d.yaml, c.yaml]
labels: [{pairs: {tier: hot}}]
patches:
- target: {kind: (Config.*|Deploy.*), name: (conf|web)}
  patch: |-
    - {op: add, path: /metadata/annotations, value: {a: b}}
"#),
        ]),
        ("a selector of labels", &[
            ("over/c.yaml", r#"apiVersion: v1
kind: ConfigMap
metadata: {name: conf, labels: {app: x, tier: hot}}
"#),
            ("over/e.yaml", r#"apiVersion: v1
kind: ConfigMap
metadata: {name: other, labels: {app: w}}
"#),
            ("over/kustomization.yaml", r#"resources: [c.yaml, e.yaml]
patches:
- target: {labelSelector: "app in (x, z), tier!=cold, !gone"}
  patch: |-
    - {op: add, path: /data, value: {p: q}}
"#),
        ]),
        ("a name is changed by a patch that may", &[
            ("over/d.yaml", DEPLOYMENT),
            ("over/c.yaml", CONFIG),
            ("over/kustomization.yaml", r#"resources: [d.yaml, c.yaml]
patches:
- target: {kind: ConfigMap}
  options: {allowNameChange: true}
  patch: |-
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: fresh}
"#),
        ]),
        ("a kind is changed by a patch that may", &[
            ("over/d.yaml", DEPLOYMENT),
            ("over/c.yaml", CONFIG),
            ("over/kustomization.yaml", r#"resources: [d.yaml, c.yaml]
patches:
- target: {kind: ConfigMap}
  options: {allowKindChange: true}
  patch: |-
    apiVersion: v1
    kind: Secret
    metadata: {name: conf}
"#),
        ]),
        ("a namespace goes into everything that has one", &[
            ("over/d.yaml", DEPLOYMENT),
            ("over/c.yaml", CONFIG),
            ("over/r.yaml", r#"apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: b}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: r}
subjects: [{kind: ServiceAccount, name: default, namespace: x}, {kind: ServiceAccount, name: sa, namespace: x}]
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: sa, namespace: x}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: fast}
provisioner: p
---
apiVersion: v1
kind: Namespace
metadata: {name: old}
"#),
            ("over/kustomization.yaml", r#"resources: [d.yaml, c.yaml, r.yaml]
namespace: team
"#),
        ]),
        ("webhooks and API services follow their namespace", &[
            ("over/w.yaml", r#"apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.x}
spec: {service: {name: svc, namespace: old}}
---
apiVersion: v1
kind: Service
metadata: {name: svc, namespace: old}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: h}
webhooks: [{name: a.b, clientConfig: {service: {name: svc, namespace: old}}}]
"#),
            ("over/kustomization.yaml", r#"resources: [w.yaml]
namespace: team
namePrefix: p-
"#),
        ]),
        ("labels with and without selectors", &[
            ("over/d.yaml", DEPLOYMENT),
            ("over/s.yaml", r#"apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80}]}
"#),
            ("over/kustomization.yaml", r#"resources: [d.yaml, s.yaml]
labels:
- {pairs: {a: "1"}}
- {pairs: {b: "2"}, includeTemplates: true}
- {pairs: {c: "3"}, includeSelectors: true}
commonLabels: {d: "4"}
commonAnnotations: {e: "5"}
"#),
        ]),
        ("images by name, tag and digest", &[
            ("over/d.yaml", DEPLOYMENT),
            ("over/kustomization.yaml", r#"resources: [d.yaml]
images:
- {name: nginx, newName: reg:5000/n, newTag: "2"}
- {name: reg:5000/n, digest: sha256:abc}
"#),
        ]),
        ("replicas", &[
            ("over/d.yaml", DEPLOYMENT),
            ("over/kustomization.yaml", r#"resources: [d.yaml]
replicas: [{name: web, count: 4}]
"#),
        ]),
        ("replicas of nobody", &[
            ("over/d.yaml", DEPLOYMENT),
            ("over/kustomization.yaml", r#"resources: [d.yaml]
replicas: [{name: nobody, count: 4}]
"#),
        ]),
        ("a component changes what its user has", &[
            ("over/d.yaml", DEPLOYMENT),
            ("over/c.yaml", CONFIG),
            ("comp/kustomization.yaml", r#"apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
namePrefix: c-
patches:
- target: {kind: Deployment}
  patch: |-
    - {op: add, path: /spec/replicas, value: 9}
"#),
            ("over/kustomization.yaml", r#"resources: [d.yaml, c.yaml]
components: [../comp]
nameSuffix: -o
"#),
        ]),
        ("a component listed as a resource", &[
            ("over/d.yaml", DEPLOYMENT),
            ("comp/kustomization.yaml", r#"apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
namePrefix: c-
"#),
            ("over/kustomization.yaml", r#"resources: [d.yaml, ../comp]
"#),
        ]),
        ("two bases of one base", &[
            ("base/c.yaml", CONFIG),
            ("base/kustomization.yaml", r#"resources: [c.yaml]
"#),
            ("a/kustomization.yaml", r#"resources: [../base]
namePrefix: a-
"#),
            ("b/kustomization.yaml", r#"resources: [../base]
namePrefix: b-
"#),
            ("over/kustomization.yaml", r#"resources: [../a, ../b]
namePrefix: x-
"#),
        ]),
        ("the same object in no namespace and in default", &[
            ("over/c.yaml", CONFIG),
            ("over/e.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: conf, namespace: default}\n"),
            ("over/kustomization.yaml", "resources: [c.yaml, e.yaml]\n"),
        ]),
        ("the same object twice", &[
            ("over/c.yaml", CONFIG),
            ("over/e.yaml", CONFIG),
            ("over/kustomization.yaml", r#"resources: [c.yaml, e.yaml]
"#),
        ]),
        ("replacements by key, index and star", &[
            ("over/d.yaml", DEPLOYMENT),
            ("over/c.yaml", r#"apiVersion: v1
kind: ConfigMap
metadata: {name: conf}
data: {tag: "1.9", host: a.b.c}
"#),
            ("over/kustomization.yaml", r#"resources: [d.yaml, c.yaml]
replacements:
- source: {kind: ConfigMap, name: conf, fieldPath: data.tag}
  targets:
  - select: {kind: Deployment}
    fieldPaths: ["spec.template.spec.containers.[name=main].image"]
    options: {delimiter: ":", index: 1}
  - select: {kind: Deployment}
    fieldPaths: ["spec.template.spec.containers.*.env.0.value"]
- source: {kind: ConfigMap, fieldPath: data.host, options: {delimiter: ".", index: 1}}
  targets:
  - select: {kind: Deployment}
    reject: [{name: nobody}]
    fieldPaths: ["metadata.labels.[example.org/host]"]
    options: {create: true}
- sourceValue: given
  targets:
  - select: {kind: ConfigMap}
    fieldPaths: [data.host]
"#),
        ]),
        ("replacements in a file of their own", &[
            ("over/d.yaml", DEPLOYMENT),
            ("over/c.yaml", CONFIG),
            ("over/r.yaml", r#"source: {kind: ConfigMap, name: conf, fieldPath: data.k}
targets:
- select: {kind: Deployment}
  fieldPaths: ["spec.template.spec.containers.[name=main].args.0"]
"#),
            ("over/kustomization.yaml", r#"resources: [d.yaml, c.yaml]
replacements: [{path: r.yaml}]
"#),
        ]),
        ("a replacement of a missing field", &[
            ("over/d.yaml", DEPLOYMENT),
            ("over/c.yaml", CONFIG),
            ("over/kustomization.yaml", r#"resources: [d.yaml, c.yaml]
replacements:
- source: {kind: ConfigMap, fieldPath: data.gone}
  targets: [{select: {kind: Deployment}, fieldPaths: [spec.x]}]
"#),
        ]),
        ("legacy order", &[
            ("over/d.yaml", DEPLOYMENT),
            ("over/c.yaml", CONFIG),
            ("over/n.yaml", r#"apiVersion: v1
kind: Namespace
metadata: {name: ns}
"#),
            ("over/kustomization.yaml", r#"resources: [d.yaml, c.yaml, n.yaml]
sortOptions: {order: legacy}
"#),
        ]),
        ("a file that is not there", &[
            ("over/kustomization.yaml", "resources: [d.yaml]\n"),
        ]),
        ("folders whose names begin alike", &[
            ("base/c.yaml", CONFIG),
            ("base/kustomization.yaml", "resources: [c.yaml]\n"),
            ("base-two/d.yaml", DEPLOYMENT),
            ("base-two/kustomization.yaml", "resources: [d.yaml, ../base]\n"),
            ("over/kustomization.yaml", "resources: [../base-two]\nnamePrefix: p-\n"),
        ]),
        ("a key twice", &[
            ("over/c.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: conf}\ndata: {k: v, k: w}\n"),
            ("over/kustomization.yaml", "resources: [c.yaml]\n"),
        ]),
        ("annotations that look like numbers", &[
            ("over/d.yaml", DEPLOYMENT),
            ("over/c.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: conf, annotations: {port: \"8080\", \"on\": \"true\", happy: \"01\"}}\n"),
            ("over/kustomization.yaml", r#"resources: [d.yaml, c.yaml]
commonLabels: {version: "1", "on": "true"}
commonAnnotations: {sum: "1e3", year: "2001-01-01"}
"#),
        ]),
        ("a namespace that is blank", &[
            ("over/c.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: conf, namespace: \"\"}\ndata: {k: v}\n"),
            ("over/kustomization.yaml", "resources: [c.yaml]\nnamePrefix: p-\n"),
        ]),
        ("nulls and empty lists", &[
            ("over/d.yaml", r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  strategy: null
  template:
    spec:
      tolerations: []
      nodeSelector: {}
      containers: [{name: main, image: "nginx:1", args: null, env: []}]
"#),
            ("over/kustomization.yaml", r#"resources: [d.yaml]
patches:
- patch: |-
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: web}
    spec: {replicas: 2}
"#),
        ]),
        ("letters of many scripts", &[
            ("over/t.txt", "\u{e9}t\u{e9} \u{4e16}\u{754c} \u{1f600}\n"),
            ("over/kustomization.yaml", r#"configMapGenerator:
- {name: m, files: [t.txt], literals: ["k=世<&>"]}
"#),
        ]),
        ("envFrom is replaced by a merge and added to by a JSON patch", &[
            ("over/d.yaml", r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    spec:
      containers:
      - name: main
        image: nginx:1
        envFrom: [{configMapRef: {name: one}}]
"#),
            ("over/kustomization.yaml", r#"resources: [d.yaml]
configMapGenerator: [{name: one, literals: [a=b]}, {name: two, literals: [a=b]}]
patches:
- patch: |-
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: web}
    spec: {template: {spec: {containers: [{name: main, envFrom: [{configMapRef: {name: two}}]}]}}}
- target: {kind: Deployment}
  patch: |-
    - {op: add, path: /spec/template/spec/containers/0/envFrom/-, value: {configMapRef: {name: one}}}
"#),
        ]),
        ("a role binding across namespaces", &[
            ("over/r.yaml", r#"apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: b, namespace: one}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: r}
subjects: [{kind: ServiceAccount, name: sa, namespace: one}, {kind: ServiceAccount, name: sa, namespace: two}, {kind: ServiceAccount, name: gone, namespace: three}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: r, namespace: one}
rules: []
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: sa, namespace: one}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: sa, namespace: two}
"#),
            ("over/kustomization.yaml", "resources: [r.yaml]\nnamePrefix: p-\nnameSuffix: -s\n"),
        ]),
        ("generators in two namespaces", &[
            ("over/kustomization.yaml", r#"configMapGenerator:
- {name: m, namespace: one, literals: [a=1]}
- {name: m, namespace: two, literals: [a=2]}
secretGenerator:
- {name: s, namespace: one, literals: [a=1]}
"#),
        ]),
        ("a disruption budget", &[
            ("over/b.yaml", r#"apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: b}
spec: {maxUnavailable: 1, selector: {matchLabels: {app: a}}}
"#),
            ("over/kustomization.yaml", r#"resources: [b.yaml]
commonLabels: {tier: hot}
patches:
- patch: |-
    apiVersion: policy/v1
    kind: PodDisruptionBudget
    metadata: {name: b}
    spec: {maxUnavailable: 50%}
"#),
        ]),
        ("origins", &[
            ("base/c.yaml", CONFIG),
            ("base/kustomization.yaml", r#"resources: [c.yaml]
"#),
            ("over/d.yaml", DEPLOYMENT),
            ("over/kustomization.yaml", r#"resources: [../base, d.yaml]
buildMetadata: [originAnnotations]
configMapGenerator: [{name: m, literals: [a=b]}]
"#),
        ]),
        ("the origin of what a generator merges into", &[
            ("base/c.yaml", CONFIG),
            ("base/kustomization.yaml", r#"resources: [c.yaml]
"#),
            ("over/kustomization.yaml", r#"resources: [../base]
buildMetadata: [originAnnotations]
configMapGenerator: [{name: conf, behavior: merge, literals: [a=b]}]
"#),
        ]),
        ("what is local to the build is left out", &[
            ("over/c.yaml", r#"apiVersion: v1
kind: ConfigMap
metadata: {name: conf, annotations: {config.kubernetes.io/local-config: "true"}}
data: {k: v}
"#),
            ("over/d.yaml", DEPLOYMENT),
            ("over/kustomization.yaml", r#"resources: [d.yaml, c.yaml]
"#),
        ]),
        ("a list of objects in one file", &[
            ("over/c.yaml", r#"apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: b}}
"#),
            ("over/kustomization.yaml", r#"resources: [c.yaml]
namePrefix: p-
"#),
        ]),
        ("an empty kustomization", &[
            ("over/kustomization.yaml", r#"apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
"#),
        ]),
        ("an unknown field", &[
            ("over/c.yaml", CONFIG),
            ("over/kustomization.yaml", r#"resources: [c.yaml]
resource: [d.yaml]
"#),
        ]),
        ("two kustomization files", &[
            ("over/c.yaml", CONFIG),
            ("over/kustomization.yaml", r#"resources: [c.yaml]
"#),
            ("over/kustomization.yml", r#"resources: [c.yaml]
"#),
        ]),
        ("a cycle", &[
            ("a/kustomization.yaml", r#"resources: [../over]
"#),
            ("over/kustomization.yaml", r#"resources: [../a]
"#),
        ]),
        ("yes and no are no texts", &[
            ("over/c.yaml", CONFIG),
            ("over/kustomization.yaml", r#"resources: [c.yaml]
commonAnnotations: {a: yes}
"#),
        ]),
        ("a CRD's lists are replaced", &[
            ("over/c.yaml", r#"apiVersion: example.org/v1
kind: W
metadata: {name: w, finalizers: [a.b/c]}
spec: {containers: [{name: a}, {name: b}]}
"#),
            ("over/kustomization.yaml", r#"resources: [c.yaml]
patches:
- patch: |-
    apiVersion: example.org/v1
    kind: W
    metadata: {name: w, finalizers: [d.e/f]}
    spec: {containers: [{name: a, x: 1}]}
"#),
        ]),
        ("a patch of another kind of value", &[
            ("over/d.yaml", DEPLOYMENT),
            ("over/kustomization.yaml", r#"resources: [d.yaml]
patches:
- patch: |-
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: web}
    spec: {template: [1]}
"#),
        ]),
        ("a patch finds an object by the namespace that it had", &[
            ("base/c.yaml", r#"apiVersion: v1
kind: ConfigMap
metadata: {name: conf, namespace: old}
"#),
            ("base/kustomization.yaml", r#"resources: [c.yaml]
namespace: new
"#),
            ("over/kustomization.yaml", r#"resources: [../base]
patches:
- patch: |-
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: conf, namespace: old}
    data: {a: b}
"#),
        ]),
        ("a block at the end of an inline patch", &[
            ("over/c.yaml", CONFIG),
            ("over/kustomization.yaml", "resources: [c.yaml]\npatches:\n- patch: |\n    apiVersion: v1\n    kind: ConfigMap\n    metadata: {name: conf}\n    data:\n      z: |\n        x\n        y\n- target: {kind: ConfigMap}\n  patch: |-\n    - op: add\n      path: /data/w\n      value: |+\n        x\n        y\n- patch: |+\n    apiVersion: v1\n    kind: ConfigMap\n    metadata: {name: conf}\n    data:\n      v: >\n        x\n        y\n\n"),
        ]),
        ("a block at the end of the older kinds of patches", &[
            ("over/c.yaml", CONFIG),
            ("over/kustomization.yaml", "resources: [c.yaml]\npatchesStrategicMerge:\n- |\n  apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: conf}\n  data:\n    z: |\n      x\n      y\npatchesJson6902:\n- target: {kind: ConfigMap, name: conf, version: v1}\n  patch: |\n    - op: add\n      path: /data/w\n      value: |\n        x\n        y\n"),
        ]),
        ("a block at the end of a file without a line break", &[
            ("over/c.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: conf}\ndata:\n  k: |\n    x\n    y"),
            ("over/p.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: conf}\ndata:\n  l: |+\n    x"),
            ("over/q.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: conf}\ndata:\n  m: |\n    x\n# comment"),
            ("over/kustomization.yaml", "resources: [c.yaml]\npatches: [{path: p.yaml}, {path: q.yaml}]\n"),
        ]),
        ("labels and annotations of nothing", &[
            ("over/c.yaml", CONFIG),
            ("over/d.yaml", DEPLOYMENT),
            ("over/e.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: e, labels: {}, annotations: {}}\n"),
            ("over/kustomization.yaml", "resources: [c.yaml, d.yaml, e.yaml]\ncommonLabels: {}\ncommonAnnotations: {}\nlabels: [{pairs: {}}, {pairs: {}, includeTemplates: true}]\n"),
        ]),
        ("a patch takes the last label and the last annotation", &[
            ("over/c.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: conf, labels: {a: b}, annotations: {a: b}}\ndata: {k: v}\n"),
            ("over/kustomization.yaml", "resources: [c.yaml]\npatches:\n- patch: |-\n    apiVersion: v1\n    kind: ConfigMap\n    metadata: {name: conf, labels: {a: null}, annotations: {a: null}}\n    data: {k: null}\n"),
        ]),
        ("a patch takes an annotation that is not there", &[
            ("over/c.yaml", CONFIG),
            ("over/kustomization.yaml", "resources: [c.yaml]\npatches:\n- patch: |-\n    apiVersion: v1\n    kind: ConfigMap\n    metadata: {name: conf, annotations: {a: null}}\n"),
        ]),
        ("a list of patches in one file", &[
            ("over/c.yaml", CONFIG),
            ("over/d.yaml", DEPLOYMENT),
            ("over/p.yaml", "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: conf}\n  data: {z: q}\n- apiVersion: apps/v1\n  kind: Deployment\n  metadata: {name: web}\n  spec: {replicas: 3}\n"),
            ("over/kustomization.yaml", "resources: [c.yaml, d.yaml]\npatches: [{path: p.yaml}]\n"),
        ]),
        ("a targeted patch without kind and name", &[
            ("over/c.yaml", CONFIG),
            ("over/kustomization.yaml", "resources: [c.yaml]\npatches:\n- target: {kind: ConfigMap}\n  patch: |-\n    data: {q: r}\n"),
        ]),
        ("a patch of comments", &[
            ("over/c.yaml", CONFIG),
            ("over/p.yaml", "# nothing\n"),
            ("over/kustomization.yaml", "resources: [c.yaml]\npatches: [{path: p.yaml}]\n"),
        ]),
        ("words and dates that YAML 1.1 reads otherwise", &[
            ("over/c.yaml", "apiVersion: x.io/v1\nkind: Foo\nmetadata: {name: conf}\nspec: [yes, on, y, Off, NO, 2001-01-01, 0644, 1_000, ~, 0x1F]\n"),
            ("over/kustomization.yaml", "resources: [c.yaml]\npatches:\n- patch: |-\n    apiVersion: x.io/v1\n    kind: Foo\n    metadata: {name: conf}\n    status: {a: yes, b: 2001-01-01}\n"),
        ]),
        ("a replacement makes items of lists", &[
            ("over/c.yaml", CONFIG),
            ("over/w.yaml", "apiVersion: x.io/v1\nkind: Foo\nmetadata: {name: foo}\nspec: {l: [{q: 1}]}\n"),
            ("over/kustomization.yaml", "resources: [c.yaml, w.yaml]\nreplacements:\n- source: {kind: ConfigMap, fieldPath: data.k}\n  targets:\n  - select: {kind: Foo}\n    fieldPaths: [spec.x.z.0.q, spec.y.0, spec.l.1.q, \"spec.[a.b]\"]\n    options: {create: true}\n"),
        ]),
        ("a replacement past the end of a list", &[
            ("over/c.yaml", CONFIG),
            ("over/kustomization.yaml", "resources: [c.yaml]\nreplacements:\n- source: {kind: ConfigMap, fieldPath: data.k}\n  targets:\n  - select: {kind: ConfigMap}\n    fieldPaths: [spec.x.1.q]\n    options: {create: true}\n"),
        ]),
        ("brackets around a key without a dot", &[
            ("over/c.yaml", CONFIG),
            ("over/kustomization.yaml", "resources: [c.yaml]\nreplacements:\n- source: {kind: ConfigMap, fieldPath: metadata.name}\n  targets:\n  - select: {kind: ConfigMap}\n    fieldPaths: [\"data.[k]\"]\n"),
        ]),
        ("a replacement puts a map into a text", &[
            ("over/c.yaml", CONFIG),
            ("over/d.yaml", DEPLOYMENT),
            ("over/kustomization.yaml", "resources: [c.yaml, d.yaml]\nreplacements:\n- source: {kind: Deployment, fieldPath: spec.template.spec.containers}\n  targets:\n  - select: {kind: ConfigMap}\n    fieldPaths: [data.k]\n"),
        ]),
    ]
}
