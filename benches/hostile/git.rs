//! Hostile commits: fetched into a new clone, listed, read and parsed. libgit2 is C, whose memory our allocator does not see, so what
//! counts is how far the resident memory of the whole process rises, where the system tells.

use super::commits::{self, ABSENCES, BROKEN, Ends, Entry, Remote, around};
use super::{MIB, MIB_MAX, MILLIS_MAX, measure};
use tokio::runtime::Runtime;

/// A commit and how it ends: words of the error, or none when it is read.
struct Case {
    name: &'static str,
    remote: Remote,
    says: Vec<&'static str>,
    /// A harmless commit with as many objects, which may take its own time to fetch: of a `file://` address libgit2 plays the server
    /// too, and both sides of that count as ours.
    beside: Option<Remote>,
}

/// What was taken by all of them.
#[derive(Default)]
pub struct Sum {
    pub cases: usize,
    pub beyond: usize,
    pub surprising: usize,
}

/// Folders in folders, each ten times: a thousand million files in a few hundred bytes.
fn many_folders(name: &'static str) -> Case {
    let remote = Remote::new();
    let mut id = remote.class("b");
    for level in 0..9 {
        let mode = if level == 0 { "100644" } else { "40000" };
        let name = |number: usize| format!("d{number}").into_bytes();
        let entries: Vec<Entry> = (0..10).map(|number| (mode, name(number), id.clone())).collect();
        id = remote.tree(&entries);
    }
    remote.commit(&around(&remote, &[("40000", b"b".to_vec(), id)]));
    Case {
        name,
        remote,
        says: vec!["too-many-files", "1000000"],
        beside: None,
    }
}

/// Somewhat more levels than the longest path has.
const LEVELS: usize = 2_100;

fn deep_folders(name: &'static str) -> Case {
    let remote = Remote::new();
    let mut id = remote.tree(&[("100644", b"c.yaml".to_vec(), remote.class("c"))]);
    for _ in 0..LEVELS {
        id = remote.tree(&[("40000", b"d".to_vec(), id)]);
    }
    remote.commit(&around(&remote, &[("40000", b"b".to_vec(), id)]));
    packed(&remote);
    Case {
        name,
        remote,
        says: vec!["long-path", "p/b/d/d/"],
        beside: Some(many_files(LEVELS)),
    }
}

/// So many different files in one folder that is not read.
fn many_files(count: usize) -> Remote {
    let remote = Remote::new();
    let folder = tempfile::tempdir().unwrap();
    let mut paths = String::new();
    for number in 0..count {
        let path = folder.path().join(number.to_string());
        std::fs::write(&path, format!("{number}: a file like many\n")).unwrap();
        paths += &format!("{}\n", path.display());
    }
    let (made, ids) = remote.git(&["hash-object", "-w", "--stdin-paths"], paths.as_bytes());
    assert!(made, "{ids}");
    let mut entries: Vec<Entry> = ids
        .lines()
        .enumerate()
        .map(|(number, id)| ("100644", format!("f{number:05}").into_bytes(), id.to_owned()))
        .collect();
    entries.sort_by(|a, b| a.1.cmp(&b.1));
    let files = remote.tree(&entries);
    let root = remote.tree(&[("40000", b"other".to_vec(), files)]);
    remote.commit(&root);
    packed(&remote);
    remote
}

/// As a server keeps a push of so many objects (`receive.unpackLimit` is 100); what it takes to open thousands of files counts for nobody.
fn packed(remote: &Remote) {
    assert!(remote.git(&["repack", "-adq"], b"").0);
}

/// Those whose name has a word. To name them all of them are made once in a repository of no consequence.
fn all(only: &str) -> Vec<Case> {
    let names: Vec<&str> = commits::cases(&Remote::new()).iter().map(|case| case.0).collect();
    let chosen = |name: &str| name.contains(only);
    let indices = (0..names.len()).filter(|index| chosen(names[*index]));
    let entries = indices.map(|index| {
        let remote = Remote::new();
        let (name, entries, ends) = commits::cases(&remote).swap_remove(index);
        remote.commit(&around(&remote, &entries));
        let says = match ends {
            Ends::Read(_) => Vec::new(),
            Ends::Refused(words) | Ends::Stricter(words) => words.to_vec(),
        };
        Case {
            name,
            remote,
            says,
            beside: None,
        }
    });
    let broken = BROKEN.into_iter().chain(ABSENCES).filter(|case| chosen(case.0));
    let broken = broken.map(|(name, make, says, _)| {
        let remote = Remote::new();
        remote.commit(&make(&remote));
        Case {
            name,
            remote,
            says: vec![says],
            beside: None,
        }
    });
    let mut all: Vec<Case> = entries.chain(broken).collect();
    for (name, make) in [
        ("folders that multiply", many_folders as fn(&'static str) -> Case),
        ("folders that are deep", deep_folders),
    ] {
        if chosen(name) {
            all.push(make(name));
        }
    }
    all
}

/// Runs those whose name has a word; the time is held when it is a benchmark.
pub fn run(only: &str, is_bench: bool) -> Sum {
    let runtime = Runtime::new().unwrap();
    // What libgit2 makes once and keeps counts for no case.
    let harmless = Remote::new();
    harmless.commit(&around(&harmless, &[]));
    let url = |remote: &Remote| format!("file://{}", remote.path().display());
    runtime.block_on(harmless.read_at(&url(&harmless))).unwrap();
    let mut sum = Sum::default();
    for case in all(only) {
        let beside = case.beside.as_ref().filter(|_| is_bench).map(|remote| {
            let began = measure::cpu_millis();
            // It has no policies, which is said once it was fetched and listed.
            drop(runtime.block_on(remote.read_at(&url(remote))));
            measure::cpu_millis() - began
        });
        let allowed = MILLIS_MAX + beside.unwrap_or(0.0);
        let resident = measure::mark_resident();
        let began = measure::cpu_millis();
        let outcome = runtime.block_on(case.remote.read_at(&url(&case.remote)));
        let millis = measure::cpu_millis() - began;
        let peak = measure::peak_resident().saturating_sub(resident);
        let mib = peak as f64 / MIB;
        let expected = match &outcome {
            Ok(_) => case.says.is_empty(),
            Err(text) => !case.says.is_empty() && case.says.iter().all(|word| text.contains(word)),
        };
        let over = is_bench && millis > allowed || mib > MIB_MAX;
        sum.cases += 1;
        sum.beyond += usize::from(over);
        sum.surprising += usize::from(!expected);
        println!(
            "{millis:>8.1} {allowed:>8.1} {mib:>8.1} {MIB_MAX:>8.1} {:>8}  Git: {}{}{}\n{:46}{}",
            "",
            case.name,
            if over { "  BEYOND" } else { "" },
            if expected { "" } else { "  ENDS OTHERWISE" },
            "",
            format!("{outcome:?}").chars().take(150).collect::<String>()
        );
    }
    sum
}
