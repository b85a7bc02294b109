//! What a simulated forge knows: pull requests, comments, reviews, statuses, labels; and how pushes change them.

use super::git::{Git, MergeBy};
use crate::model::pull_request::{CommitState, ForgeKind, Label};
use jiff::{SignedDuration, Timestamp};

/// Where a simulated pull request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Open.
    Open,
    /// Closed and not merged.
    Closed,
    /// Merged.
    Merged,
}

/// What a reviewer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Yes.
    Approve,
    /// No. On GitLab this takes one's approval back.
    RequestChanges,
    /// Neither.
    Comment,
    /// A maintainer took somebody's review away.
    Dismiss,
}

/// One review.
#[derive(Clone, Debug)]
pub struct Review {
    /// Who.
    pub login: String,
    /// What they said.
    pub verdict: Verdict,
    /// The head that they saw.
    pub commit: String,
    /// When.
    pub at: Timestamp,
}

/// One comment.
#[derive(Clone, Debug)]
pub struct Said {
    /// Its number.
    pub id: u64,
    /// Who.
    pub author: String,
    /// What.
    pub body: String,
    /// When.
    pub at: Timestamp,
    /// When it was edited last.
    pub edited: Timestamp,
    /// Whether GitLab itself says it.
    pub system: bool,
}

/// One pull request.
#[derive(Clone, Debug)]
pub struct Pull {
    /// Its number.
    pub number: u64,
    /// Where it stands.
    pub standing: Standing,
    /// Its title.
    pub title: String,
    /// Its body.
    pub body: String,
    /// Its branch.
    pub head_branch: String,
    /// The branch's newest commit.
    pub head_sha: String,
    /// Whether the branch is in a fork.
    pub from_fork: bool,
    /// Where it goes.
    pub base_branch: String,
    /// Who opened it.
    pub author: String,
    /// Its labels.
    pub labels: Vec<String>,
    /// Who merged it, when, and what base was then.
    pub merged: Option<(String, Timestamp, String)>,
    /// How it was merged; nothing when somebody pushed it.
    pub merged_how: Option<MergeBy>,
    /// When it was opened.
    pub created: Timestamp,
    /// When it changed last.
    pub updated: Timestamp,
    /// Each head and when it came.
    pub versions: Vec<(String, Timestamp)>,
    /// Reviews in the order of time.
    pub reviews: Vec<Review>,
    /// Comments in the order of time.
    pub comments: Vec<Said>,
}

/// One commit status.
#[derive(Clone, Debug)]
pub struct SimStatus {
    /// Its number.
    pub id: u64,
    /// The commit.
    pub sha: String,
    /// Its context.
    pub context: String,
    /// Its state.
    pub state: CommitState,
    /// Its description.
    pub description: String,
    /// Its address.
    pub url: Option<String>,
}

/// Everything.
pub struct State {
    pub(super) kind: ForgeKind,
    pub(super) git: Git,
    /// Pull requests by number, beginning with 1.
    pub pulls: Vec<Pull>,
    /// Statuses, oldest first.
    pub statuses: Vec<SimStatus>,
    /// Labels.
    pub labels: Vec<Label>,
    last: Timestamp,
    ids: u64,
}

/// A refusal: a status and the forge's words.
pub(super) type Refusal = (u16, String);

impl State {
    pub(super) fn new(kind: ForgeKind, git: Git) -> Self {
        Self {
            kind,
            git,
            pulls: Vec::new(),
            statuses: Vec::new(),
            labels: Vec::new(),
            last: crate::io::clock::now(),
            ids: 100,
        }
    }

    /// Which forge it plays.
    pub fn kind(&self) -> ForgeKind {
        self.kind
    }

    /// A moment that is later than every one before it.
    pub(super) fn tick(&mut self) -> Timestamp {
        let next = self.last + SignedDuration::from_millis(1);
        self.last = next.max(crate::io::clock::now());
        self.last
    }

    pub(super) fn id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    pub(super) fn pull(&mut self, number: u64) -> Option<&mut Pull> {
        self.pulls.iter_mut().find(|pull| pull.number == number)
    }

    /// Looks at the branches and does what forges do about them.
    pub(super) fn sync(&mut self) {
        for at in 0..self.pulls.len() {
            let pull = self.pulls[at].clone();
            if pull.standing != Standing::Open || pull.from_fork {
                continue;
            }
            let Some(tip) = self.git.tip(&pull.head_branch) else {
                // A branch that is deleted closes its pull request.
                let now = self.tick();
                self.pulls[at].standing = Standing::Closed;
                self.pulls[at].updated = now;
                continue;
            };
            if tip != pull.head_sha {
                let now = self.tick();
                self.git.point(&self.kind.head_reference(pull.number), &tip);
                self.pulls[at].head_sha = tip.clone();
                self.pulls[at].versions.push((tip.clone(), now));
                self.pulls[at].updated = now;
            }
            // Pushed to base by hand: GitHub and GitLab call that merged.
            if let Some(base) = self.git.tip(&pull.base_branch)
                && self.git.holds(&base, &tip)
            {
                let now = self.tick();
                self.pulls[at].standing = Standing::Merged;
                self.pulls[at].merged = Some(("pusher".to_owned(), now, base));
                self.pulls[at].updated = now;
            }
        }
    }

    pub(super) fn open(
        &mut self,
        author: &str,
        title: &str,
        body: &str,
        (head, base): (&str, &str),
        from_fork: bool,
    ) -> Result<u64, Refusal> {
        let Some(head_sha) = self.git.tip(head) else {
            return Err((422, "head is invalid".to_owned()));
        };
        let Some(base_sha) = self.git.tip(base) else {
            return Err((422, "base is invalid".to_owned()));
        };
        if let Some(open) = self.open_one(head, base).filter(|_| !from_fork) {
            return Err(match self.kind {
                ForgeKind::Gitlab => (
                    409,
                    format!("Another open merge request already exists for this source branch: !{open}"),
                ),
                _ => (422, format!("A pull request already exists for acme:{head}.")),
            });
        }
        if self.kind == ForgeKind::Github && self.git.ahead(&base_sha, &head_sha) == 0 {
            return Err((422, format!("No commits between {base} and {head}")));
        }
        let max = self.kind.limits().body;
        if body.chars().count() > max {
            return Err((422, format!("body is too long (maximum is {max} characters)")));
        }
        let now = self.tick();
        let number = self.pulls.len() as u64 + 1;
        self.git.point(&self.kind.head_reference(number), &head_sha);
        self.pulls.push(Pull {
            number,
            standing: Standing::Open,
            title: title.to_owned(),
            body: body.to_owned(),
            head_branch: head.to_owned(),
            head_sha: head_sha.clone(),
            from_fork,
            base_branch: base.to_owned(),
            author: author.to_owned(),
            labels: Vec::new(),
            merged: None,
            merged_how: None,
            created: now,
            updated: now,
            versions: vec![(head_sha, now)],
            reviews: Vec::new(),
            comments: Vec::new(),
        });
        Ok(number)
    }

    fn open_one(&self, head: &str, base: &str) -> Option<u64> {
        self.pulls
            .iter()
            .find(|pull| {
                pull.standing == Standing::Open
                    && !pull.from_fork
                    && pull.head_branch == head
                    && pull.base_branch == base
            })
            .map(|pull| pull.number)
    }

    /// Closes or opens again.
    pub(super) fn turn(&mut self, number: u64, open: bool) -> Result<(), Refusal> {
        let now = self.tick();
        let Some(pull) = self.pull(number).cloned() else {
            return Err((404, "Not Found".to_owned()));
        };
        let standing = match (pull.standing, open) {
            (Standing::Merged, true) => return Err((422, "it was merged".to_owned())),
            (Standing::Merged, false) => return Ok(()),
            (_, false) => Standing::Closed,
            (Standing::Open, true) => return Ok(()),
            (Standing::Closed, true) => {
                let Some(tip) = self.git.tip(&pull.head_branch) else {
                    return Err((422, format!("the {} branch was deleted", pull.head_branch)));
                };
                if self.kind == ForgeKind::Github && !self.git.holds(&tip, &pull.head_sha) {
                    let words = format!("the {} branch was force-pushed or recreated", pull.head_branch);
                    return Err((422, words));
                }
                if self.open_one(&pull.head_branch, &pull.base_branch).is_some() {
                    return Err((422, "another one is open".to_owned()));
                }
                Standing::Open
            }
        };
        if let Some(pull) = self.pull(number) {
            pull.standing = standing;
            pull.updated = now;
        }
        Ok(())
    }

    pub(super) fn merge(&mut self, number: u64, how: MergeBy, who: &str) -> Result<String, String> {
        let now = self.tick();
        let pull = self.pull(number).cloned().ok_or("there is none of this number")?;
        if pull.standing != Standing::Open {
            return Err("it is not open".to_owned());
        }
        let message = match how {
            MergeBy::Squash => format!("{} (#{number})", pull.title),
            _ => format!("Merge pull request #{number} from acme/{}", pull.head_branch),
        };
        let tip = self.git.merge(
            &pull.base_branch,
            &pull.head_sha,
            how,
            &message,
            i64::try_from(number).unwrap_or(0),
        )?;
        if let Some(pull) = self.pull(number) {
            pull.standing = Standing::Merged;
            pull.merged = Some((who.to_owned(), now, tip.clone()));
            pull.merged_how = Some(how);
            pull.updated = now;
        }
        Ok(tip)
    }

    /// Pull requests that a commit is part of: those that ended in it, and those whose branch brought it.
    pub(super) fn of_commit(&self, sha: &str) -> Vec<&Pull> {
        let of = |pull: &&Pull| {
            let ended = pull.merged.as_ref().is_some_and(|(_, _, commit)| commit == sha);
            ended || pull.merged.is_some() && pull.head_sha == sha
        };
        self.pulls.iter().filter(of).collect()
    }

    pub(super) fn say(&mut self, number: u64, who: &str, body: &str, system: bool) -> Result<u64, Refusal> {
        let (now, id) = (self.tick(), self.id());
        let max = self.kind.limits().body;
        if body.chars().count() > max {
            return Err((422, format!("body is too long (maximum is {max} characters)")));
        }
        let pull = self.pull(number).ok_or((404, "Not Found".to_owned()))?;
        pull.comments.push(Said {
            id,
            author: who.to_owned(),
            body: body.to_owned(),
            at: now,
            edited: now,
            system,
        });
        pull.updated = now;
        Ok(id)
    }

    /// A comment by its number.
    pub(super) fn said(&self, id: u64) -> Option<&Said> {
        let mut comments = self.pulls.iter().flat_map(|pull| &pull.comments);
        comments.find(|comment| comment.id == id)
    }

    /// Edits a comment, or deletes it when there is no text.
    pub(super) fn edit(&mut self, id: u64, body: Option<&str>) -> Result<(), Refusal> {
        let now = self.tick();
        for pull in &mut self.pulls {
            let Some(at) = pull.comments.iter().position(|comment| comment.id == id) else {
                continue;
            };
            match body {
                Some(body) => {
                    pull.comments[at].body = body.to_owned();
                    pull.comments[at].edited = now;
                }
                None => {
                    pull.comments.remove(at);
                }
            }
            return Ok(());
        }
        Err((404, "Not Found".to_owned()))
    }

    pub(super) fn review(&mut self, number: u64, who: &str, verdict: Verdict) -> Result<(), String> {
        let now = self.tick();
        let pull = self.pull(number).ok_or("there is none of this number")?;
        let commit = pull.head_sha.clone();
        match verdict {
            // The review itself changes its word; no new one is made.
            Verdict::Dismiss => {
                for review in pull.reviews.iter_mut().filter(|review| review.login == who) {
                    review.verdict = Verdict::Dismiss;
                }
            }
            verdict => pull.reviews.push(Review {
                login: who.to_owned(),
                verdict,
                commit,
                at: now,
            }),
        }
        if self.kind == ForgeKind::Gitlab && verdict == Verdict::Approve {
            self.say(number, who, "approved this merge request", true)
                .map_err(|(_, words)| words)?;
        }
        Ok(())
    }

    pub(super) fn set_status(&mut self, mut status: SimStatus) -> Result<(), Refusal> {
        if !self.git.has(&status.sha) {
            return Err((422, format!("No commit found for SHA: {}", status.sha)));
        }
        if status.description.chars().count() > self.kind.limits().description {
            return Err((422, "description is too long".to_owned()));
        }
        let of_context = |known: &&SimStatus| known.sha == status.sha && known.context == status.context;
        let count = self.statuses.iter().filter(of_context).count();
        if count >= 1000 {
            return Err((
                422,
                "This SHA and context has reached the maximum number of statuses.".to_owned(),
            ));
        }
        let newest = self.statuses.iter().rev().find(of_context);
        if self.kind == ForgeKind::Gitlab && newest.is_some_and(|newest| newest.state == status.state) {
            return Err((
                400,
                "Cannot transition status via :enqueue from :pending (Reason(s): Status cannot transition via \"enqueue\")"
                    .to_owned(),
            ));
        }
        status.id = self.id();
        self.statuses.push(status);
        Ok(())
    }

    pub(super) fn add_label(&mut self, label: Label) -> Result<(), Refusal> {
        if self
            .labels
            .iter()
            .any(|known| known.name.eq_ignore_ascii_case(&label.name))
        {
            return Err(match self.kind {
                ForgeKind::Gitlab => (409, "Label already exists".to_owned()),
                _ => (422, "already_exists".to_owned()),
            });
        }
        self.labels.push(label);
        Ok(())
    }

    pub(super) fn put_labels(&mut self, number: u64, names: &[String]) -> Result<(), Refusal> {
        for name in names {
            // Both forges make a label that is put on a pull request and is not there.
            let label = Label {
                name: name.clone(),
                color: "ededed".to_owned(),
                description: String::new(),
            };
            let _ = self.add_label(label);
        }
        let now = self.tick();
        let pull = self.pull(number).ok_or((404, "Not Found".to_owned()))?;
        for name in names {
            if !pull.labels.contains(name) {
                pull.labels.push(name.clone());
            }
        }
        pull.updated = now;
        Ok(())
    }
}
