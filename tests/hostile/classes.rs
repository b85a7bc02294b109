//! Every class of mistake that was published about GitOps controllers and about the libraries under them: what of it reaches us, and
//! the tests that hold it; or why it cannot reach us. A class without either fails here.

use crate::support::say;
use std::collections::BTreeSet;
use std::path::Path;

/// What answers a class.
enum Answer {
    /// What of it reaches us, and the tests that would fail without what stands against it.
    Held(&'static str, &'static [&'static str]),
    /// Why it cannot reach us.
    OutOfReach(&'static str),
}

use Answer::{Held, OutOfReach};

/// By whom it is told, the class, and the answer.
#[rustfmt::skip]
const CLASSES: [(&str, &str, Answer); 44] = [
    // Controllers.
    ("controllers", "somebody acts without the right to", Held(
        "a commit or a merge of somebody whom nobody trusts", &[
            "an_unverified_tip_is_not_applied_and_the_last_verified_one_stays",
            "an_unverified_tip_moves_no_volume_until_somebody_trusted_signs_it",
            "without_the_approvals_demanded_nothing_starts_or_is_used_up",
            "a_strangers_yes_on_a_public_repository_is_known_as_one",
            "a_fast_forward_of_our_own_commit_names_no_approver",
        ])),
    ("controllers", "one tenant reaches what is another's", Held(
        "objects and branches that somebody else made", &[
            "a_namespace_that_somebody_else_made_is_never_touched",
            "a_branch_of_the_same_name_in_a_fork_is_not_ours",
            "a_persons_branch_is_never_written_to_and_a_no_is_remembered",
        ])),
    ("controllers", "a login or a token of a user is believed without a look", OutOfReach(
        "nobody logs in: there is no interface that takes a token, and what may be done is Kubernetes' own rights of the controller")),
    ("controllers", "a receiver believes whoever calls it", Held(
        "deliveries of webhooks", &[
            "a_signed_delivery_is_a_hint_once_and_others_are_none",
            "without_a_secret_nobody_is_served",
        ])),
    ("controllers", "work is divided so that one sees more than it may", OutOfReach(
        "the work is not divided: one of several controllers acts, with the rights of all of them")),
    ("controllers", "a patch that fails shows what was encrypted", Held(
        "errors of overlays and of substitution", &[
            "errors_about_decrypted_text_carry_none_of_it",
            "no_error_about_what_was_encrypted_says_any_of_it",
            "what_an_encrypted_patch_touches_is_secret_and_its_values_are_in_no_message",
            "variables_are_substituted_or_refused_without_their_values",
        ])),
    ("controllers", "what the API server says shows what was encrypted", Held(
        "its answers to an apply that it refuses, and differences", &[
            "what_the_api_server_quotes_of_an_encrypted_object_is_said_nowhere",
            "a_secret_that_the_api_refuses_is_in_no_failure",
            "a_difference_is_told_by_path_and_type_and_no_secret_of_either_side_is_shown",
        ])),
    ("controllers", "a credential stands in a log", Held(
        "addresses, tokens and passwords in errors and in debug output", &[
            "objects_with_secrets_show_none_in_debug",
            "a_forges_words_are_quoted_in_short_and_without_the_token",
            "basic_credentials_over_tls_fetch_and_push_and_a_wrong_password_is_tried_once",
            "a_proxy_of_the_secret_is_gone_through_with_its_own_credentials",
        ])),
    ("controllers", "what was encrypted stands in a status, a comment or a release", Held(
        "conditions, events, pull requests and what is printed", &[
            "nothing_encrypted_comes_out_on_github",
            "nothing_encrypted_comes_out_on_gitlab",
            "no_command_says_any_of_it_either",
            "what_would_tell_a_secret_or_take_a_file_is_refused_whole",
            "a_variable_out_of_a_secret_is_written_nowhere",
        ])),
    ("controllers", "a webhook that anybody may call takes memory or ends the process", Held(
        "bodies without end, of strangers too", &[
            "deliveries_that_never_end_leave_room_for_nobody_and_hold_little",
            "what_finds_the_queue_full_counts_when_it_comes_again",
        ])),
    ("controllers", "a manifest takes time or memory without bound", Held(
        "every file of the repository", &[
            "hostile_files_end_with_an_error",
            "every_bound_is_named_with_its_size",
            "every_bound_of_what_is_read_is_exceeded_by_a_test",
        ])),
    ("controllers", "a path of an expression language ends the process", OutOfReach(
        "no such language is read; pointers of JSON patches and patterns are, under the bounds of files")),
    ("controllers", "a path leads out of the repository", Held(
        "paths of kustomizations and names of trees", &[
            "what_kustomize_would_fetch_or_run_is_refused_by_name",
            "hostile_names_are_read_as_git_reads_them_or_refused_by_path_and_rule",
            "a_hostile_commit_of_the_past_does_no_harm",
        ])),
    ("controllers", "a symbolic link is followed", Held(
        "links in commits, and in folders on disk", &[
            "links_are_not_followed",
            "hostile_names_are_read_as_git_reads_them_or_refused_by_path_and_rule",
        ])),
    ("controllers", "a page runs what stands in a name", Held(
        "the file that `backtest --html` writes; no page is served", &["names_on_the_page_are_only_names"])),
    ("controllers", "markup and letters that steer in what a reviewer reads", Held(
        "names and texts in pull requests, comments and terminals", &[
            "nothing_from_outside_is_markup",
            "no_name_mentions_links_or_breaks_what_a_reviewer_reads",
            "what_is_rendered_turns_no_text_around_and_reads_as_the_same",
            "without_colours_there_is_no_escape_and_messages_move_no_cursor",
        ])),
    ("controllers", "a webhook's signature is compared byte by byte, or is empty", Held(
        "signatures and tokens of deliveries", &[
            "several_secrets_are_tried_and_empty_ones_never_fit",
            "a_signed_delivery_is_a_hint_once_and_others_are_none",
        ])),
    ("controllers", "a webhook's text becomes a pattern", OutOfReach(
        "a delivery only makes the controller look at its own sources; no text of it is used")),
    ("controllers", "a server is believed without its key", Held(
        "ssh and TLS, for Git, forges and proxies", &[
            "a_host_is_believed_by_its_key_alone",
            "an_authority_is_believed_for_its_own_source_and_no_other",
            "a_certificate_for_another_name_or_another_time_is_refused_with_what_to_do",
            "a_host_key_is_trusted_only_where_it_stands",
        ])),
    ("controllers", "an address out of the repository is asked", Held(
        "remote bases, and redirects of the servers that an operator named", &[
            "what_kustomize_would_fetch_or_run_is_refused_by_name",
            "garbage_cut_answers_and_other_hosts_end_in_an_error_that_says_so",
        ])),
    // Libraries of theirs.
    ("Git in Go", "paths, links and `.git` in trees", Held(
        "names of trees", &["hostile_names_are_read_as_git_reads_them_or_refused_by_path_and_rule"])),
    ("Git in Go", "a server's answer takes time or memory without bound", Held(
        "packs, packets and listings", &[
            "an_answer_without_end_is_read_to_its_bound",
            "what_the_server_says_beside_the_data_is_kept_to_its_bound",
            "a_listing_that_is_too_large_is_not_read",
            "folders_that_are_many_are_counted_and_folders_that_are_deep_are_read",
        ])),
    ("Git in Go", "an address or a name becomes an argument or a part of one", Held(
        "paths that are sent over ssh, and names of references", &[
            "a_path_is_one_word_to_the_shell_of_the_server",
            "tags_ranges_references_and_commits_are_followed",
        ])),
    ("Git in Go", "objects that are not what their names say", Held(
        "what comes over the wire, and what lies in the clone", &[
            "random_bytes_of_a_clone_are_never_believed",
            "whatever_happens_to_the_clone_it_is_made_anew_once_and_read_whole",
            "a_pack_that_is_cut_spoiled_or_never_ends_over_http_changes_nothing",
        ])),
    ("Git in Go", "a credential is shown to another host", Held(
        "redirects, and hosts that are not the source's", &[
            "garbage_cut_answers_and_other_hosts_end_in_an_error_that_says_so",
            "an_authority_is_believed_for_its_own_source_and_no_other",
        ])),
    ("charts", "paths, schemas and archives of charts", Held(
        "a kustomization that asks for one", &["what_kustomize_would_fetch_or_run_is_refused_by_name"])),
    ("charts", "panics on odd YAML", Held(
        "every parser, on mutated input", &[
            "yaml_errors_lie_in_the_text",
            "overlays_are_built_or_refused",
            "every_kind_is_understood_or_refused_with_places_in_its_file",
            "folders_are_read_by_the_command_whatever_is_in_them",
        ])),
    ("charts", "a credential is sent to another domain", Held(
        "redirects", &["garbage_cut_answers_and_other_hosts_end_in_an_error_that_says_so"])),
    ("downloaders", "an address of a download is run or unpacked", Held(
        "addresses of bases", &["what_kustomize_would_fetch_or_run_is_refused_by_name"])),
    // Rust.
    ("Git in Rust", "names of devices and of other systems", Held(
        "they are files like others, since none is written", &[
            "hostile_names_are_read_as_git_reads_them_or_refused_by_path_and_rule"])),
    ("Git in Rust", "a transport runs a program", OutOfReach(
        "Git, ssh and proxies are spoken in this process; no program is started by what follows a source")),
    ("Git in Rust", "a link that was written is gone through by the next file", OutOfReach(
        "there is no work tree: files are read out of objects by their names")),
    ("Git in Rust", "a repository's own configuration is believed", Held(
        "the clone, which is this process's own and made anew when it is not as it was", &[
            "whatever_happens_to_the_clone_it_is_made_anew_once_and_read_whole"])),
    ("Git in Rust", "two objects of one SHA-1", OutOfReach(
        "libgit2 refuses objects that were made by the known attack; who wants more signs commits")),
    ("Git in C", "the key of an ssh server is not looked at", Held(
        "every ssh source", &["a_host_is_believed_by_its_key_alone"])),
    ("age", "the name of a plugin is run", Held(
        "identities and recipients of plugins", &[
            "keys_that_cannot_be_used_are_passed_over_and_named_when_they_may_be_the_one"])),
    ("YAML in Rust", "a parser that reads beyond its memory", OutOfReach(
        "the parser that is used forbids itself unsafe code, and the one that was warned of is not a dependency")),
    ("HTTP in Rust", "a peer that resets, floods or dawdles", Held(
        "servers that we ask, and callers of webhooks", &[
            "a_server_that_says_nothing_ends_in_a_timeout",
            "greetings_that_are_garbage_are_cut_or_never_come_end_in_words_over_tls_and_ssh",
            "deliveries_that_never_end_leave_room_for_nobody_and_hold_little",
        ])),
    // Git itself, kustomize and sops.
    ("Git", "submodules", Held(
        "commits that have some", &["what_the_server_cannot_give_out_ends_with_its_words_and_no_loop",
            "hostile_names_are_read_as_git_reads_them_or_refused_by_path_and_rule"])),
    ("Git", "hooks and files that are linked by a local clone", OutOfReach(
        "nothing is checked out and the git command is not run, so there is no hook, and no file is linked")),
    ("kustomize", "remote bases, plugins, programs", Held(
        "kustomizations that ask for them", &["what_kustomize_would_fetch_or_run_is_refused_by_name"])),
    ("sops", "a MAC that nobody checks", Held(
        "every edit that the MAC sees", &["every_edit_by_hand_is_refused_and_no_error_shows_a_value"])),
    ("sops", "keys, structure and comments that no MAC covers", Held(
        "clear parts of encrypted files", &[
            "what_no_mac_sees_is_refused_or_let_through_for_a_reason",
            "what_no_mac_sees_in_lines_is_refused_or_let_through_for_a_reason",
            "what_no_mac_binds_needs_a_signature",
            "no_spelling_hides_an_unbound_policy",
        ])),
    ("sops", "a MAC of encrypted values only", Held(
        "files that ask for it", &[
            "mac_only_encrypted_cannot_be_dropped_or_added",
            "a_mac_of_encrypted_values_only_is_doubted_inside_of_secrets_too",
        ])),
];

/// The texts of all Rust files below a folder.
fn texts(folder: &Path, all: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            texts(&path, all);
        } else if path.extension().is_some_and(|end| end == "rs") {
            all.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_class_of_known_mistakes_is_held_by_tests_or_out_of_reach_for_a_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = String::new();
    for folder in ["src", "tests"] {
        texts(&root.join(folder), &mut all);
    }
    // A test is a function behind its attribute, not a word in a table.
    let is_test = |name: &str| {
        let at = all.find(&format!("fn {name}()"));
        at.is_some_and(|at| {
            let before = all[..at].trim_end_matches("async ").trim_end();
            let line = before.rsplit('\n').next().unwrap_or_default().trim();
            line.starts_with("#[test]") || line.starts_with("#[tokio::test")
        })
    };
    let (mut seen, mut held, mut proofs) = (BTreeSet::new(), 0, BTreeSet::<&str>::new());
    for (whose, class, answer) in &CLASSES {
        assert!(seen.insert((whose, class)), "{whose}: {class} stands here twice");
        match answer {
            Held(what, tests) => {
                assert!(!what.is_empty() && !tests.is_empty(), "{whose}: {class}");
                let gone: Vec<_> = tests.iter().filter(|name| !is_test(name)).collect();
                assert!(gone.is_empty(), "{whose}: {class}: there is no test {gone:?}");
                held += 1;
                proofs.extend(*tests);
            }
            OutOfReach(why) => assert!(why.len() > 30, "{whose}: {class}: {why}"),
        }
    }
    say(&format!(
        "{} classes of known mistakes: {held} held by {} tests, {} out of reach",
        CLASSES.len(),
        proofs.len(),
        CLASSES.len() - held
    ));
}
