//! Every bound of the code that reads input, and the test that exceeds it: a new one is named here, or this fails.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Who exceeds a bound.
enum Proof {
    /// The row of this name beside this file.
    Row(&'static str),
    /// The test of this name.
    Test(&'static str),
    /// Nothing is refused: what is beyond is left out, for this reason.
    LeftOut(&'static str),
}

use Proof::{LeftOut, Row, Test};

#[rustfmt::skip]
const ALL: [(&str, &str, Proof); 119] = [
    ("formats/image.rs", "NAME_BYTES_MAX", Test("an_image_has_a_path_in_lower_case_and_perhaps_a_registry_a_tag_and_a_digest")),
    ("parse/mod.rs", "NAME_MAX", Test("a_label_is_what_the_api_server_takes")),
    ("parse/mod.rs", "PREFIX_MAX", Test("a_label_is_what_the_api_server_takes")),
    ("formats/cron.rs", "TEXT_MAX", Row("bytes of a schedule")),
    ("formats/duration.rs", "TEXT_MAX", Row("bytes of a duration")),
    ("formats/pattern.rs", "TEXT_BYTES_MAX", Row("bytes of any pattern")),
    ("formats/pattern.rs", "PROGRAM_BYTES_MAX", Row("program of a pattern")),
    ("formats/quantity.rs", "TEXT_MAX", Row("bytes of a quantity")),
    ("formats/version_range.rs", "RANGE_MAX", Row("bytes of a range of versions")),
    ("formats/version_range.rs", "TAG_MAX", Test("a_tag_that_is_too_long_is_no_version")),
    ("formats/overlay/generators.rs", "KEY_BYTES_MAX", Row("bytes of a generated key")),
    ("formats/overlay/generators.rs", "DATA_BYTES_MAX", Row("bytes of a generated object")),
    ("formats/overlay/generators.rs", "GENERATED_BYTES_MAX", Row("bytes of all that is generated")),
    ("parse/cross/overlap.rs", "KEY_SETS_MAX", LeftOut("policies with more sets of labels than that are not doubted")),
    ("formats/webhook.rs", "ID_MAX", LeftOut("a delivery's id is kept at its beginning")),
    ("formats/overlay/build.rs", "KUSTOMIZATION_BYTES_MAX", Row("bytes of a kustomization")),
    ("formats/overlay/generators.rs", "KEYS_MAX", Row("entries of a generated object")),
    ("formats/overlay/names.rs", "LOOKS_MAX", Row("objects of one name")),
    ("formats/overlay/patches.rs", "PATCH_BYTES_MAX", Row("bytes of a patch")),
    ("formats/overlay/paths.rs", "TWICE_MAX", Row("objects that are told as defined twice")),
    ("formats/overlay/replacements.rs", "PARTS_BYTES_MAX", Row("bytes that parts make")),
    ("formats/overlay/work.rs", "COPIES_MAX", LeftOut("it is an allowance, of which looks at objects are counted")),
    ("formats/overlay/work.rs", "LEVELS_MAX", Row("levels that patches put together")),
    ("formats/overlay/work.rs", "LOOKS_MAX", Row("looks at objects")),
    ("formats/overlay/work.rs", "WRITTEN_BYTES_MAX", Row("bytes that patches write")),
    ("formats/pattern.rs", "MISTAKES_MAX", LeftOut("the rest of a long list of wrong patterns is not even read")),
    ("formats/pattern.rs", "PATTERNS_MAX", Row("regular expressions of a kustomization")),
    ("formats/overlay/mod.rs", "DEPTH_MAX", Row("folders one by one")),
    ("formats/overlay/mod.rs", "FILES_MAX", Row("files of a build")),
    ("formats/overlay/mod.rs", "FOLDERS_MAX", Row("folders that are built")),
    ("formats/overlay/mod.rs", "OBJECTS_MAX", Row("objects of a build")),
    ("formats/overlay/paths.rs", "PATH_BYTES_MAX", Row("bytes of a path")),
    ("formats/overlay/reading.rs", "ENTRIES_MAX", Row("entries of a kustomization")),
    ("formats/overlay/select.rs", "TEXT_MAX", Row("bytes of a selector")),
    ("formats/overlay/select.rs", "REQUIREMENTS_MAX", Row("requirements of a selector")),
    ("formats/signature/mod.rs", "FILES_MAX", Row("files of signers")),
    ("formats/signature/mod.rs", "FILE_BYTES_MAX", Row("bytes of a file of signers")),
    ("formats/signature/mod.rs", "OBJECT_BYTES_MAX", Test("a_commit_that_is_too_large_to_have_its_signature_checked_is_not_believed")),
    ("formats/signature/openpgp.rs", "KEYS_MAX", Row("OpenPGP keys of a file of signers")),
    ("formats/signature/ssh.rs", "KEYS_MAX", Row("keys of a file of signers")),
    ("formats/sops/creation_rules.rs", "BYTES_MAX", Row("bytes of the rules")),
    ("formats/sops/creation_rules.rs", "FOLDERS_MAX", LeftOut("files deeper than that are below no rule, as with sops")),
    ("formats/sops/creation_rules.rs", "RULES_MAX", Row("rules")),
    ("formats/sops/go_regex.rs", "REPEAT_MAX", Row("repetitions in a rule's pattern")),
    ("formats/sops/rule_keys.rs", "DEPTH_MAX", Row("levels of a rule's groups")),
    ("formats/sops/rule_keys.rs", "KEYS_MAX", Row("keys of a rule")),
    ("formats/sops/identities.rs", "STANZAS_MAX", Row("headers of age")),
    ("formats/sops/inside.rs", "FILES_MAX", Row("encrypted files inside of Secrets")),
    ("formats/sops/lines.rs", "ENTRIES_MAX", Row("entries of a flattened block")),
    ("formats/sops/metadata.rs", "ENC_BYTES_MAX", Row("bytes of what is sealed to a recipient")),
    ("formats/sops/metadata.rs", "RECIPIENTS_MAX", Row("recipients")),
    ("formats/sops/walk.rs", "VALUES_MAX", Row("encrypted values of a file")),
    ("formats/yaml/load.rs", "ANCHORS_MAX", Row("anchors of a file")),
    ("formats/yaml/load.rs", "COMMENTS_MAX", Row("comments where they are read")),
    ("formats/yaml/shape.rs", "DIRECTIVES_MAX", Row("directives of a file")),
    ("parse/mod.rs", "UNEXPANDED_MAX", LeftOut("of what stands beside a wrong expression the first few are not judged")),
    ("parse/doubts.rs", "CLASSES_TOLD_MAX", Test("policies_whose_classes_are_made_elsewhere_are_told_of_one_by_one_to_a_bound")),
    ("parse/schema.rs", "BYTES_MAX", Row("bytes of an object of ours")),
    ("parse/schema.rs", "FINDINGS_MAX", Row("mistakes of an object of ours")),
    ("parse/schema.rs", "VALUES_MAX", Row("values of an object of ours")),
    ("parse/schema.rs", "WORD_BYTES_MAX", LeftOut("a longer word is like none of ours, and nothing is suggested")),
    ("parse/understand/backups.rs", "NAMESPACE_MAX", Row("letters of a namespace's name")),
    ("parse/understand/backups/rollouts.rs", "PHASES_MAX", Row("phases of a rollout")),
    ("parse/understand/backups/rollouts.rs", "GATES_MAX", Row("gates of a phase")),
    ("parse/understand/backups/rollouts.rs", "NAME_BYTES_MAX", Row("letters of a phase's name")),
    ("parse/understand/tiers.rs", "TIERS_MAX", Row("tiers")),
    ("formats/sops/identities.rs", "DATA_KEY_MAX", LeftOut("a data key is 32 bytes, and what is longer opens nothing")),
    ("formats/sops/lines.rs", "DEPTH_MAX", Row("levels of a flattened key")),
    ("formats/sops/lines.rs", "ITEMS_MAX", Row("items of a flattened list")),
    ("formats/sops/metadata.rs", "GROUPS_MAX", Row("key groups")),
    ("formats/sops/openpgp.rs", "KEYS_MAX", Row("OpenPGP keys of a file")),
    ("formats/substitute/expand.rs", "DEPTH_MAX", Row("levels of a substitution")),
    ("formats/substitute/expand.rs", "TEXT_MAX", Row("bytes of a substitution")),
    ("formats/substitute/work.rs", "STEPS_MAX", Test("what_costs_too_much_is_told_once_and_ends_the_substitution")),
    ("formats/substitute/work.rs", "GROWN_BYTES_MAX", Test("what_costs_too_much_is_told_once_and_ends_the_substitution")),
    ("formats/overlay/items.rs", "COMPARISONS_MAX", LeftOut("more comparisons are made by an index")),
    ("formats/yaml/load.rs", "NODES_MAX", Row("values of a file")),
    ("formats/yaml/shape.rs", "WORDS_MAX", Row("words of a file")),
    ("formats/yaml/load.rs", "COLLECTIONS_MAX", Row("lists and mappings of a file")),
    ("formats/yaml/load.rs", "DEPTH_MAX", Row("levels of a file")),
    ("formats/yaml/load.rs", "DOCUMENTS_MAX", Row("documents of a file")),
    ("formats/yaml/load.rs", "COPIED_BYTES_MAX", Row("bytes that aliases copy")),
    ("parse/understand/backups/schedules.rs", "SCHEDULE_NAME_MAX", Row("characters of a schedule's name")),
    ("decrypt.rs", "FILE_BYTES_MAX", Row("bytes of a file")),
    ("decrypt.rs", "FILES_MAX", Row("files with assignments")),
    ("decrypt.rs", "DOUBTS_MAX", LeftOut("the first doubts about a file say what to do about all of them")),
    ("io/git/clone.rs", "FOLLOWED_MAX", LeftOut("the oldest references of a clone are forgotten, and fetched again when they are followed")),
    ("io/git/clone/packs.rs", "SMALL_PACKS_MAX", Test("two_hundred_fetches_leave_few_packs_and_everything_in_them")),
    ("io/git/clone.rs", "SAID_MAX", LeftOut("a server's words beside the protocol are quoted at their end")),
    ("io/git/github_app.rs", "ANSWER_MAX", Test("an_answer_of_github_is_read_to_its_bound")),
    ("io/git/http.rs", "CONNECT_MAX", Test("a_connection_may_take_half_a_minute_and_never_longer_than_the_whole")),
    ("io/git/http.rs", "QUOTED_MAX", LeftOut("an address that we are sent to is quoted at its beginning")),
    ("io/git/http.rs", "SENT_BYTES_MAX", Test("a_push_is_collected_to_its_bound")),
    ("io/git/merge.rs", "CONFLICTS_MAX", LeftOut("a conflict is said by its first files")),
    ("io/git/merge.rs", "MADE_BYTES_MAX", LeftOut("what a merge writes beyond it is said to be too large")),
    ("io/git/merge.rs", "RECURSION_MAX", LeftOut("merge bases beyond it are taken as they are")),
    ("io/git/mod.rs", "RECEIVED_BYTES_MAX", Test("an_answer_without_end_is_read_to_its_bound")),
    ("io/git/provenance.rs", "COMMITS_MAX", LeftOut("what is older was brought by the oldest commit that is looked at")),
    ("io/git/provenance.rs", "REMEMBERED_MAX", Test("a_history_that_is_too_large_to_remember_is_walked_anew")),
    ("io/git/ssh.rs", "WORDS_MAX", Test("what_the_server_says_beside_the_data_is_kept_to_its_bound")),
    ("io/git/trees.rs", "ENTRIES_MAX", Test("folders_that_are_many_are_counted_and_folders_that_are_deep_are_read")),
    ("io/git/trees.rs", "PATH_MAX", Test("folders_that_are_many_are_counted_and_folders_that_are_deep_are_read")),
    ("io/git/trees.rs", "SHOWN_MAX", LeftOut("a path is quoted at its beginning")),
    ("io/git/trees.rs", "TREE_BYTES_MAX", Test("a_listing_that_is_too_large_is_not_read")),
    ("io/git/write.rs", "SEARCH_MAX", LeftOut("a record that is older is not looked for again")),
    ("parse/understand/policies.rs", "SUSTAINED_MAX", Row("time for which thresholds must be crossed")),
    ("cli/run.rs", "POKES_MAX", LeftOut("a hint that waits is as good as two")),
    ("cli/backtest.rs", "EVALUATIONS_MAX", Test("what_cannot_be_replayed_is_said")),
    ("cli/backtest.rs", "VALUES_MAX", Test("a_replay_keeps_and_asks_for_so_much_and_no_more")),
    ("cli/backtest.rs", "REQUESTS_MAX", Test("a_replay_keeps_and_asks_for_so_much_and_no_more")),
    ("cli/demo.rs", "STEP_MAX", LeftOut("the demonstration waits so long for itself")),
    ("cli/demo/controller.rs", "STOP_MAX", LeftOut("a controller that takes longer to stop is killed")),
    ("cli/folder.rs", "FILES_MAX", Test("a_folder_with_too_many_files_is_probably_the_wrong_one")),
    ("cli/restore/plan.rs", "LOOKED_AT_MAX", LeftOut("older backups than a month of daily ones are named by --backup")),
    ("cli/restore/plan.rs", "PASSED_MAX", LeftOut("the rest of those that were passed over is counted")),
    ("cli/restore/run.rs", "TRIES_MAX", LeftOut("who writes beside us so often goes on, and it is said")),
    ("cli/restore/run.rs", "PAUSE_MAX", LeftOut("a pause grows no longer than that")),
    ("cli/status/waiting.rs", "ROWS_MAX", Test("what_waits_is_listed_with_what_it_waits_for_and_not_without_end")),
    ("cli/report.rs", "SHOWN_MAX", LeftOut("the rest of a long report is counted")),
];

/// Where input is read.
const READERS: [&str; 5] = ["formats", "parse", "decrypt.rs", "io/git", "cli"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    if folder.is_file() {
        found.push(folder.to_owned());
        return;
    }
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() || path.extension().is_some_and(|end| end == "rs") {
            sources(&path, found);
        }
    }
}

/// The texts of all Rust files below a folder of this crate.
fn texts(folder: &str) -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found = Vec::new();
    sources(&root, &mut found);
    let name = |path: &Path| {
        path.strip_prefix(&root)
            .unwrap_or(path)
            .to_string_lossy()
            .into_owned()
    };
    found
        .iter()
        .map(|path| (name(path), std::fs::read_to_string(path).unwrap()))
        .collect()
}

/// The name of the bound that a line declares, whoever may see it and however deep it stands.
fn bound(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let rest = match line.strip_prefix("pub") {
        Some(after) if after.starts_with('(') => after.split_once(')')?.1,
        Some(after) => after,
        None => line,
    };
    let (name, _) = rest.trim_start().strip_prefix("const ")?.split_once(':')?;
    (name.ends_with("_MAX") || name.starts_with("MAX_")).then_some(name)
}

#[test]
fn a_bound_is_seen_whoever_may_see_it_and_however_deep_it_stands() {
    for before in [
        "",
        "pub ",
        "pub(super) ",
        "pub(crate) ",
        "pub(in crate::io) ",
        "    ",
        "\tpub(crate) ",
    ] {
        for name in ["TEXT_MAX", "MAX_TEXT"] {
            assert_eq!(bound(&format!("{before}const {name}: usize = 1;")), Some(name));
        }
    }
    for line in [
        "const TEXT: usize = 1;",
        "let TEXT_MAX: usize = 1;",
        "// const TEXT_MAX: usize = 1;",
        "public const A_MAX: u8 = 1;",
    ] {
        assert_eq!(bound(line), None, "{line}");
    }
}

#[test]
fn every_bound_of_what_is_read_is_exceeded_by_a_test() {
    let source = texts("src");
    let of_readers = source
        .iter()
        .filter(|(path, _)| READERS.iter().any(|reader| path.starts_with(reader)));
    let mut there = BTreeSet::new();
    for (path, text) in of_readers {
        let names = text.lines().filter_map(bound);
        there.extend(names.map(|name| (path.clone(), name.to_owned())));
    }
    let told: BTreeSet<(String, String)> = ALL
        .iter()
        .map(|(path, name, _)| ((*path).to_owned(), (*name).to_owned()))
        .collect();
    let missing: Vec<_> = there.difference(&told).collect();
    let gone: Vec<_> = told.difference(&there).collect();
    assert!(
        missing.is_empty(),
        "bounds that no test is named for: {missing:?}"
    );
    assert!(gone.is_empty(), "these are no bounds of the source: {gone:?}");
    let mut all = texts("tests");
    all.extend(source);
    let rows = [
        include_str!("../bounds.rs"),
        include_str!("sealed.rs"),
        include_str!("overlays.rs"),
        include_str!("patches.rs"),
    ]
    .concat();
    for (path, name, proof) in &ALL {
        let holds = match proof {
            Row(row) => rows.contains(&format!("\"{row}\"")),
            Test(test) => all.values().any(|text| text.contains(&format!("fn {test}()"))),
            LeftOut(reason) => !reason.is_empty(),
        };
        assert!(holds, "{path}: {name} is exceeded by nobody");
    }
}
