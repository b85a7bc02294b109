//! kustomize's own tests (`api/krusty` of the module that the real kustomize is built from), file by file: the situation that stands
//! for what each is about, or why none does.

use super::{refused, situations};
use crate::support::servers;
use std::collections::BTreeSet;

/// What stands for a file of tests.
enum By {
    /// These situations, which are compared with the real kustomize.
    Situations(&'static [&'static str]),
    /// A table in `rows.rs`, compared likewise: this test.
    Rows(&'static str),
    /// It is about what is refused by name: this is said, a row of `refused.rs`.
    Refused(&'static str),
    /// Nothing, for this reason.
    Nothing(&'static str),
}

use By::{Nothing, Refused, Rows, Situations};

const REMOTE: &str = "remote bases are not read";
const PLUGINS: &str = "plugins are not run";
const CHARTS: &str = "charts are not rendered";
const CONFIGURATIONS: &str = "configurations of transformers";
const LISTS: &str = "every_list_merges_by_the_keys_that_kustomize_merges_it_by";
const REFERENCES: &str = "every_reference_follows_where_kustomize_follows_it";

#[rustfmt::skip]
const ALL: [(&str, By); 72] = [
    ("accumulation_test.go", Situations(&["a folder without a kustomization", "two kustomization files", "a file that is not there"])),
    ("baseandoverlaymedium_test.go", Situations(&["a strategic merge by name", "a generator merges over a base's generated map", "labels with and without selectors", "images by name, tag and digest"])),
    ("baseandoverlaysmall_test.go", Situations(&["a plain list of files", "a prefix takes references along", "replicas", "patchesStrategicMerge by path and inline"])),
    ("basereusenameprefix_test.go", Situations(&["two bases of one base"])),
    ("basic_io_test.go", Situations(&["annotations that look like numbers"])),
    ("blankvalues_test.go", Situations(&["a namespace that is blank"])),
    ("chartinflatorplugin_test.go", Refused(PLUGINS)),
    ("complexcomposition_test.go", Refused(PLUGINS)),
    ("component_test.go", Situations(&["a component changes what its user has", "a component listed as a resource"])),
    ("configmaps_test.go", Situations(&["a generator from files, env files and literals", "files that are no text", "a generator merges over a base's generated map", "global generator options"])),
    ("crd_test.go", Refused("it only tells kustomize of name references")),
    ("customconfig_test.go", Refused(CONFIGURATIONS)),
    ("customconfigofbuiltinplugin_test.go", Refused(PLUGINS)),
    ("customconfigreusable_test.go", Refused(PLUGINS)),
    ("diamondcomposition_test.go", Situations(&["two bases of one base", "the same object twice"])),
    ("diamondpatchref_test.go", Situations(&["two bases of one base", "a generated ConfigMap's hash takes references along"])),
    ("diamonds_test.go", Situations(&["two bases of one base"])),
    ("directoryarrangement_test.go", Situations(&["folders whose names begin alike"])),
    ("disablenamesuffix_test.go", Situations(&["a generated ConfigMap without a hash", "global generator options"])),
    ("duplicatekeys_test.go", Situations(&["a key twice"])),
    ("extendedpatch_test.go", Situations(&["targets by pattern and selector", "a selector of labels", "a target by annotation", "a target by group, version and namespace", "a target that takes nothing"])),
    ("fnplugin_test.go", Refused(PLUGINS)),
    ("generatormergeandreplace_test.go", Situations(&["a generator merges over a base's generated map", "a generator replaces a base's generated map", "a generator merges bytes over bytes"])),
    ("generatoroptions_test.go", Situations(&["global generator options"])),
    ("gvknpatch_test.go", Situations(&["a name is changed by a patch that may", "a kind is changed by a patch that may"])),
    ("helmchartinflationgenerator_test.go", Refused(CHARTS)),
    ("iampolicygenerator_test.go", Refused(PLUGINS)),
    ("inlinelabels_test.go", Situations(&["labels with and without selectors"])),
    ("inlinepatch_test.go", Situations(&["patchesStrategicMerge by path and inline", "targets by pattern and selector"])),
    ("inlinetransformer_test.go", Refused(PLUGINS)),
    ("intermediateresourceid_test.go", Situations(&["two bases of one base", "a patch finds an object by the namespace that it had"])),
    ("issue2896_test.go", Situations(&["JSON patches from files"])),
    ("issue3377_test.go", Situations(&["nulls and empty lists"])),
    ("keepemptyarray_test.go", Situations(&["nulls and empty lists"])),
    ("kustomizationmetadata_test.go", Refused("nothing reads it")),
    ("kustomizer_test.go", Situations(&["an empty kustomization"])),
    ("legacy_order_test.go", Situations(&["legacy order"])),
    ("legacyprefixsuffixtransformer_test.go", Refused(PLUGINS)),
    ("localconfig_test.go", Situations(&["what is local to the build is left out"])),
    ("managedbylabel_test.go", Refused("only `originAnnotations`")),
    ("mergeenvfrom_test.go", Situations(&["envFrom is replaced by a merge and added to by a JSON patch"])),
    ("multibytecharacter_test.go", Situations(&["letters of many scripts"])),
    ("multiplepatch_test.go", Situations(&["several patches in one file", "a container is deleted, a list is replaced", "an object is deleted", "a merge that says that it is one"])),
    ("namedspacedserviceaccounts_test.go", Situations(&["a role binding across namespaces"])),
    ("nameprefixsuffixpatch_test.go", Situations(&["patchesJson6902 come after the prefix and still find the old name"])),
    ("namereference_test.go", Rows(REFERENCES)),
    ("namespacedgenerators_test.go", Situations(&["generators in two namespaces"])),
    ("namespacepropagation_test.go", Situations(&["a patch finds an object by the namespace that it had", "a namespace goes into everything that has one"])),
    ("namespaces_test.go", Situations(&["a namespace goes into everything that has one", "the same object in no namespace and in default"])),
    ("nameupdateinroleref_test.go", Situations(&["a role binding across namespaces"])),
    ("no_list_items_test.go", Situations(&["a list of objects in one file"])),
    ("nullvalues_test.go", Situations(&["nulls and empty lists"])),
    ("numericcommonlabels_test.go", Situations(&["annotations that look like numbers"])),
    ("openapicustomschema_test.go", Refused("other schemas are not read")),
    ("originannotation_test.go", Situations(&["origins"])),
    ("patchdelete_test.go", Situations(&["a container is deleted, a list is replaced"])),
    ("pluginenv_test.go", Refused(PLUGINS)),
    ("poddisruptionbudget_test.go", Situations(&["a disruption budget"])),
    ("remoteloader_test.go", Refused(REMOTE)),
    ("repeatbase_test.go", Situations(&["two bases of one base"])),
    ("replacementtransformer_test.go", Situations(&["replacements by key, index and star", "replacements in a file of their own", "a replacement of a missing field"])),
    ("resourceconflict_test.go", Situations(&["two bases of one base", "the same object twice"])),
    ("rolebindingacrossnamespace_test.go", Situations(&["a role binding across namespaces"])),
    ("simple_test.go", Rows(LISTS)),
    ("sortordertransformer_test.go", Situations(&["legacy order"])),
    ("stringquoteblank_test.go", Nothing("it is about where kustomize breaks long lines when it writes; what is compared is what they say")),
    ("transformerannotation_test.go", Refused("only `originAnnotations`")),
    ("transformerplugin_test.go", Refused(PLUGINS)),
    ("transformersarrays_test.go", Refused(PLUGINS)),
    ("transformersimage_test.go", Situations(&["images by name, tag and digest"])),
    ("validatingwebhook_test.go", Situations(&["webhooks and API services follow their namespace"])),
    ("variableref_test.go", Refused("use replacements")),
];

#[test]
fn every_test_of_kustomize_has_a_situation_or_a_reason() {
    let names: BTreeSet<&str> = situations::all().into_iter().map(|(name, _)| name).collect();
    let rows = include_str!("rows.rs");
    let refused: BTreeSet<&str> = refused::REFUSED.into_iter().map(|(_, words)| words).collect();
    let mut cited = BTreeSet::new();
    for (file, by) in &ALL {
        match by {
            Situations(all) => {
                for name in *all {
                    assert!(names.contains(name), "{file}: there is no situation {name}");
                    cited.insert(*name);
                }
                assert!(!all.is_empty(), "{file}");
            }
            Rows(test) => assert!(rows.contains(&format!("fn {test}()")), "{file}: {test}"),
            Refused(words) => assert!(refused.contains(words), "{file}: nobody refuses with {words}"),
            Nothing(why) => assert!(!why.is_empty(), "{file}"),
        }
    }
    assert!(
        cited.len() >= 40,
        "{} situations stand for something",
        cited.len()
    );
}

/// The table is held against the files themselves, which lie in Go's module cache once the real kustomize was built.
#[test]
fn no_test_of_kustomize_is_forgotten() {
    if servers::left_out("no_test_of_kustomize_is_forgotten") {
        return;
    }
    servers::kustomize();
    let folder = servers::module_folder("kustomize", "sigs.k8s.io/kustomize/api", "krusty");
    let there: BTreeSet<String> = std::fs::read_dir(folder.join("krusty"))
        .expect("a folder")
        .map(|entry| {
            entry
                .expect("a folder")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| name.ends_with("_test.go"))
        .collect();
    let told: BTreeSet<String> = ALL.iter().map(|(file, _)| (*file).to_owned()).collect();
    assert_eq!(there, told);
}
