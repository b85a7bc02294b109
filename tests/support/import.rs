//! Real repositories of any size in seconds, written with `git fast-import`.

use couchestor::io::git::init_bare;
use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A real repository, written with `git fast-import`.
pub struct Made {
    pub path: PathBuf,
    stream: String,
    /// The mark of the newest commit.
    pub mark: usize,
    pub commits: usize,
}

impl Made {
    pub fn new(path: PathBuf) -> Self {
        init_bare(&path).unwrap();
        Self {
            path,
            stream: String::new(),
            mark: 0,
            commits: 0,
        }
    }

    /// Begins a commit of the branch on top of these; files follow.
    pub fn commit(&mut self, branch: &str, parents: &[String]) {
        self.mark += 1;
        self.commits += 1;
        let (mark, at) = (self.mark, 1_700_000_000 + self.commits);
        let summary = format!("commit {}", self.commits);
        let _ = write!(
            self.stream,
            "commit refs/heads/{branch}\nmark :{mark}\nauthor Ann <ann@example.org> {at} +0000\ncommitter Bob <bob@example.org> {at} +0000\ndata {}\n{summary}\n",
            summary.len()
        );
        for (index, parent) in parents.iter().enumerate() {
            let word = if index == 0 { "from" } else { "merge" };
            let _ = writeln!(self.stream, "{word} {parent}");
        }
    }

    /// A file of the commit that was begun.
    pub fn file(&mut self, path: &str, text: &str) {
        let _ = write!(
            self.stream,
            "M 100644 inline {path}\ndata {}\n{text}\n",
            text.len()
        );
    }

    /// The newest commit, to build on; marks are forgotten with each import.
    pub fn last(&self) -> Vec<String> {
        let last = match self.stream.is_empty() {
            true => "refs/heads/main^0".to_owned(),
            false => format!(":{}", self.mark),
        };
        vec![last]
    }

    /// Takes a file or a folder out.
    pub fn remove(&mut self, path: &str) {
        let _ = writeln!(self.stream, "D {path}");
    }

    /// Gives what was gathered to Git.
    pub fn import(&mut self) {
        let mut child = Command::new("git")
            .current_dir(&self.path)
            .args(["fast-import", "--quiet", "--force"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("this test needs git");
        child
            .stdin
            .take()
            .unwrap()
            .write_all(self.stream.as_bytes())
            .unwrap();
        assert!(child.wait().unwrap().success());
        self.stream.clear();
    }

    /// What Git itself says.
    pub fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .current_dir(&self.path)
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "git {arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Where the main branch is.
    pub fn tip(&self) -> String {
        self.git(&["rev-parse", "refs/heads/main"]).trim().to_owned()
    }
}
