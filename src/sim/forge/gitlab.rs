//! What a simulated GitLab answers (docs.gitlab.com/api).

use super::REPOSITORY;
use super::door::{Answer, Asked};
use super::git::MergeBy;
use super::state::{Pull, Refusal, Said, SimStatus, Standing, State, Verdict};
use crate::model::pull_request::{CommitState, Label};
use axum::http::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// GitLab's own page size.
const PER_PAGE: usize = 20;

fn refuse((status, words): Refusal) -> Answer {
    match status {
        404 => Answer::of(404, json!({"message": "404 Not found"})),
        409 => Answer::of(409, json!({"message": [words]})),
        // GitLab says 400 where GitHub says 422.
        422 => Answer::of(400, json!({"message": words})),
        _ => Answer::of(status, json!({"message": words})),
    }
}

/// Answers one request.
pub(super) fn answer(state: &mut State, asked: &Asked) -> Answer {
    let path: Vec<&str> = asked.path.iter().map(String::as_str).collect();
    if path == ["user"] {
        return Answer::ok(json!({"username": asked.who, "id": 1}));
    }
    let ["projects", project, rest @ ..] = path.as_slice() else {
        return Answer::not_found();
    };
    if *project != REPOSITORY {
        return Answer::of(404, json!({"message": "404 Project Not Found"}));
    }
    match (&asked.method, rest) {
        (&Method::GET, ["merge_requests"]) => list(state, asked),
        (&Method::POST, ["merge_requests"]) => open(state, asked),
        (method, ["merge_requests", number, rest @ ..]) => match number.parse() {
            Ok(number) => one(state, asked, method, number, rest),
            Err(_) => Answer::not_found(),
        },
        (&Method::GET, ["labels"]) => {
            let labels = state.labels.iter().map(|label| json!({"name": label.name}));
            Answer::page(labels.collect(), asked, PER_PAGE)
        }
        (&Method::POST, ["labels"]) => {
            if !asked.text("color").starts_with('#') {
                return Answer::of(400, json!({"message": {"color": ["must be a valid color code"]}}));
            }
            let label = Label {
                name: asked.text("name").to_owned(),
                color: asked.text("color").to_owned(),
                description: asked.text("description").to_owned(),
            };
            match state.add_label(label) {
                Ok(()) => Answer::of(201, asked.body.clone()),
                Err(refusal) => refuse(refusal),
            }
        }
        (&Method::GET, ["repository", "commits", sha, "merge_requests"]) => {
            let found = state.of_commit(sha);
            Answer::page(
                found.into_iter().map(|pull| show(state, pull)).collect(),
                asked,
                PER_PAGE,
            )
        }
        (&Method::GET, ["repository", "commits", sha, "statuses"]) => statuses(state, asked, sha),
        (&Method::POST, ["statuses", sha]) => set_status(state, asked, sha),
        _ => Answer::not_found(),
    }
}

/// The newest of each name.
fn statuses(state: &State, asked: &Asked, sha: &str) -> Answer {
    let mut newest: BTreeMap<&str, &SimStatus> = BTreeMap::new();
    for status in state.statuses.iter().filter(|status| status.sha == sha) {
        if asked.query("name").is_none_or(|name| name == status.context) {
            newest.insert(&status.context, status);
        }
    }
    let shown = newest.into_values().map(|status| {
        let word = match status.state {
            CommitState::Pending => "pending",
            CommitState::Success => "success",
            CommitState::Failure | CommitState::Error => "failed",
        };
        json!({
            "id": status.id, "status": word, "name": status.context,
            "description": status.description, "target_url": status.url,
        })
    });
    Answer::page(shown.collect(), asked, PER_PAGE)
}

fn set_status(state: &mut State, asked: &Asked, sha: &str) -> Answer {
    let name = match asked.text("name") {
        "" => asked.text("context"),
        name => name,
    };
    let new = SimStatus {
        id: 0,
        sha: sha.to_owned(),
        context: name.to_owned(),
        state: match asked.text("state") {
            "pending" | "running" => CommitState::Pending,
            "success" => CommitState::Success,
            "failed" | "canceled" => CommitState::Failure,
            _ => return Answer::of(400, json!({"error": "state does not have a valid value"})),
        },
        description: asked.text("description").to_owned(),
        url: asked.body["target_url"].as_str().map(str::to_owned),
    };
    match state.set_status(new) {
        Ok(()) => Answer::of(201, asked.body.clone()),
        Err(refusal) => refuse(refusal),
    }
}

fn list(state: &State, asked: &Asked) -> Answer {
    let same = |name: &str, value: &str| asked.query(name).is_none_or(|wanted| wanted == value);
    let mut pulls: Vec<&Pull> = state
        .pulls
        .iter()
        .filter(|pull| same("source_branch", &pull.head_branch) && same("target_branch", &pull.base_branch))
        .filter(|pull| match asked.query("state").unwrap_or("all") {
            "opened" => pull.standing == Standing::Open,
            "closed" => pull.standing == Standing::Closed,
            "merged" => pull.standing == Standing::Merged,
            _ => true,
        })
        .collect();
    pulls.sort_by_key(|pull| match asked.query("order_by") {
        Some("updated_at") => (pull.updated, pull.number),
        _ => (pull.created, pull.number),
    });
    if asked.query("sort") != Some("asc") {
        pulls.reverse();
    }
    let shown = pulls.into_iter().map(|pull| show(state, pull)).collect();
    Answer::page(shown, asked, PER_PAGE)
}

fn show(state: &State, pull: &Pull) -> Value {
    let base_sha = state.git.tip(&pull.base_branch).unwrap_or_default();
    let conflicts = pull.standing == Standing::Open && !state.git.can_merge(&base_sha, &pull.head_sha);
    let merged = pull.merged.as_ref();
    let commit = merged.map(|(_, _, commit)| commit.clone());
    // A squash has its own field, a merge commit another; a fast-forward has none.
    let (merge, squash) = match pull.merged_how {
        Some(MergeBy::Merge) => (commit, None),
        Some(MergeBy::Squash) => (None, commit),
        // GitLab rebases the branch itself before it fast-forwards.
        Some(MergeBy::Rebase | MergeBy::FastForward) | None => (None, None),
    };
    let sha = match (pull.merged_how, merged) {
        (Some(MergeBy::Rebase), Some((_, _, commit))) => commit,
        _ => &pull.head_sha,
    };
    json!({
        "iid": pull.number,
        "web_url": format!("https://gitlab.test/{REPOSITORY}/-/merge_requests/{}", pull.number),
        "state": match pull.standing {
            Standing::Open => "opened",
            Standing::Closed => "closed",
            Standing::Merged => "merged",
        },
        "title": pull.title,
        "description": pull.body,
        "source_branch": pull.head_branch,
        "target_branch": pull.base_branch,
        "source_project_id": if pull.from_fork { 2 } else { 1 },
        "target_project_id": 1,
        "sha": sha,
        "author": {"username": pull.author},
        "labels": pull.labels,
        "draft": pull.title.starts_with("Draft:"),
        "merged_at": merged.map(|(_, at, _)| at.to_string()),
        "merge_user": merged.map(|(who, _, _)| json!({"username": who})),
        "merge_commit_sha": merge,
        "squash_commit_sha": squash,
        "detailed_merge_status": if conflicts { "conflict" } else { "mergeable" },
        "has_conflicts": conflicts,
        "created_at": pull.created.to_string(),
        "updated_at": pull.updated.to_string(),
    })
}

fn shown_one(state: &State, number: u64, status: u16) -> Answer {
    match state.pulls.iter().find(|pull| pull.number == number) {
        Some(pull) => Answer::of(status, show(state, pull)),
        None => Answer::not_found(),
    }
}

fn names(text: &str) -> Vec<String> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

fn open(state: &mut State, asked: &Asked) -> Answer {
    let opened = state.open(
        asked.who,
        asked.text("title"),
        asked.text("description"),
        (asked.text("source_branch"), asked.text("target_branch")),
        false,
    );
    match opened {
        Ok(number) => {
            let _ = state.put_labels(number, &names(asked.text("labels")));
            shown_one(state, number, 201)
        }
        Err(refusal) => refuse(refusal),
    }
}

fn one(state: &mut State, asked: &Asked, method: &Method, number: u64, rest: &[&str]) -> Answer {
    if state.pull(number).is_none() {
        return Answer::of(404, json!({"message": "404 Not found"}));
    }
    match (method, rest) {
        (&Method::GET, []) => shown_one(state, number, 200),
        (&Method::PUT, []) => change(state, asked, number),
        (&Method::GET, ["approvals"]) => approvals(state, number),
        (&Method::GET, ["versions"]) => {
            let versions = state.pull(number).map(|pull| pull.versions.clone());
            let shown = versions.unwrap_or_default().into_iter().rev();
            let shown = shown
                .map(|(sha, at)| json!({"head_commit_sha": sha, "created_at": at.to_string()}))
                .collect();
            Answer::page(shown, asked, PER_PAGE)
        }
        (&Method::GET, ["notes"]) => {
            let notes = state.pull(number).map(|pull| pull.comments.clone());
            let mut notes: Vec<Value> = notes.unwrap_or_default().iter().map(said).collect();
            if asked.query("sort") != Some("asc") {
                notes.reverse();
            }
            Answer::page(notes, asked, PER_PAGE)
        }
        (&Method::POST, ["notes"]) => match state.say(number, asked.who, asked.text("body"), false) {
            Ok(id) => Answer::of(201, json!({"id": id})),
            Err(refusal) => refuse(refusal),
        },
        (&Method::GET, ["notes", id]) => {
            let found = id.parse().ok().and_then(|id| state.said(id));
            found.map_or_else(Answer::not_found, |note| Answer::ok(said(note)))
        }
        (&Method::PUT | &Method::DELETE, ["notes", id]) => {
            let text = (*method == Method::PUT).then(|| asked.text("body"));
            match id.parse().map(|id| state.edit(id, text)) {
                Ok(Ok(())) if text.is_none() => Answer::of(204, Value::Null),
                Ok(Ok(())) => Answer::ok(json!({})),
                Ok(Err(refusal)) => refuse(refusal),
                Err(_) => Answer::not_found(),
            }
        }
        _ => Answer::not_found(),
    }
}

fn change(state: &mut State, asked: &Asked, number: u64) -> Answer {
    let turned = match asked.text("state_event") {
        "reopen" => state.turn(number, true),
        "close" => state.turn(number, false),
        _ => Ok(()),
    };
    if let Err(refusal) = turned {
        return refuse(refusal);
    }
    let _ = state.put_labels(number, &names(asked.text("add_labels")));
    let now = state.tick();
    if let Some(pull) = state.pull(number) {
        if let Some(title) = asked.body["title"].as_str() {
            pull.title = title.to_owned();
        }
        if let Some(body) = asked.body["description"].as_str() {
            pull.body = body.to_owned();
        }
        pull.updated = now;
    }
    shown_one(state, number, 200)
}

/// GitLab keeps who approves, and not which head they saw.
fn approvals(state: &mut State, number: u64) -> Answer {
    let mut now: BTreeMap<String, bool> = BTreeMap::new();
    let reviews = state.pull(number).map(|pull| pull.reviews.clone());
    for review in reviews.unwrap_or_default() {
        match review.verdict {
            Verdict::Approve => now.insert(review.login, true),
            Verdict::RequestChanges | Verdict::Dismiss => now.insert(review.login, false),
            Verdict::Comment => None,
        };
    }
    let approved: Vec<Value> = now
        .into_iter()
        .filter(|(_, approves)| *approves)
        .map(|(login, _)| json!({"user": {"username": login}}))
        .collect();
    Answer::ok(json!({"approved_by": approved}))
}

fn said(note: &Said) -> Value {
    json!({
        "id": note.id, "body": note.body, "author": {"username": note.author}, "system": note.system,
        "created_at": note.at.to_string(), "updated_at": note.edited.to_string(),
    })
}
