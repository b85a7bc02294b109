//! What a simulated GitHub answers (docs.github.com/rest).

use super::REPOSITORY;
use super::door::{Answer, Asked};
use super::state::{Pull, Refusal, Said, SimStatus, Standing, State, Verdict};
use crate::model::pull_request::{CommitState, Label};
use axum::http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// GitHub's own page size.
const PER_PAGE: usize = 30;

fn refuse((status, words): Refusal) -> Answer {
    match status {
        404 => Answer::not_found(),
        422 if words == "already_exists" => Answer::of(
            422,
            json!({"message": "Validation Failed", "errors": [{"resource": "Label", "code": "already_exists", "field": "name"}]}),
        ),
        _ => Answer::of(
            status,
            json!({"message": "Validation Failed", "errors": [{"code": "custom", "message": words}]}),
        ),
    }
}

/// GitHub shows whole seconds.
fn shown(at: Timestamp) -> String {
    let at = Timestamp::from_second(at.as_second()).unwrap_or(at);
    at.to_string()
}

/// Answers one request.
pub(super) fn answer(state: &mut State, asked: &Asked) -> Answer {
    let path: Vec<&str> = asked.path.iter().map(String::as_str).collect();
    if path == ["user"] && asked.who == super::app::LOGIN_OF_APP {
        return Answer::of(403, json!({"message": "Resource not accessible by integration"}));
    }
    if path == ["user"] {
        return Answer::ok(json!({"login": asked.who, "id": 1}));
    }
    let ["repos", owner, name, rest @ ..] = path.as_slice() else {
        return Answer::not_found();
    };
    if format!("{owner}/{name}") != REPOSITORY {
        return Answer::not_found();
    }
    match (&asked.method, rest) {
        (&Method::GET, ["pulls"]) => list(state, asked),
        (&Method::POST, ["pulls"]) => open(state, asked),
        (method, ["pulls", number, rest @ ..]) => match number.parse() {
            Ok(number) => one(state, asked, method, number, rest),
            Err(_) => Answer::not_found(),
        },
        (method, ["issues", "comments", id]) => comment(state, asked, method, id),
        (method, ["issues", number, rest @ ..]) => match number.parse() {
            Ok(number) => issue(state, asked, method, number, rest),
            Err(_) => Answer::not_found(),
        },
        (&Method::GET, ["labels"]) => {
            let labels = state.labels.iter().map(|label| json!({"name": label.name}));
            Answer::page(labels.collect(), asked, PER_PAGE)
        }
        (&Method::POST, ["labels"]) => {
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
        (&Method::GET, ["commits", sha, "pulls"]) => {
            let found = state.of_commit(sha);
            let shown = found.into_iter().map(|pull| show(state, pull, false)).collect();
            Answer::page(shown, asked, PER_PAGE)
        }
        (&Method::GET, ["commits", sha, "statuses"]) => {
            let statuses = state.statuses.iter().rev().filter(|status| status.sha == *sha);
            Answer::page(statuses.map(status).collect(), asked, PER_PAGE)
        }
        (&Method::POST, ["statuses", sha]) => {
            let new = SimStatus {
                id: 0,
                sha: (*sha).to_owned(),
                context: asked.text("context").to_owned(),
                state: match asked.text("state") {
                    "pending" => CommitState::Pending,
                    "success" => CommitState::Success,
                    "failure" => CommitState::Failure,
                    "error" => CommitState::Error,
                    _ => return refuse((422, "state is invalid".to_owned())),
                },
                description: asked.text("description").to_owned(),
                url: asked.body["target_url"].as_str().map(str::to_owned),
            };
            match state.set_status(new) {
                Ok(()) => Answer::of(201, asked.body.clone()),
                Err(refusal) => refuse(refusal),
            }
        }
        _ => Answer::not_found(),
    }
}

fn word(state: CommitState) -> &'static str {
    match state {
        CommitState::Pending => "pending",
        CommitState::Success => "success",
        CommitState::Failure => "failure",
        CommitState::Error => "error",
    }
}

fn status(status: &SimStatus) -> Value {
    json!({
        "id": status.id, "state": word(status.state), "context": status.context,
        "description": status.description, "target_url": status.url,
    })
}

fn list(state: &State, asked: &Asked) -> Answer {
    // A filter without an owner is no filter.
    let head = asked.query("head").and_then(|head| head.split_once(':'));
    let mut pulls: Vec<&Pull> = state
        .pulls
        .iter()
        .filter(|pull| match asked.query("state").unwrap_or("open") {
            "open" => pull.standing == Standing::Open,
            "closed" => pull.standing != Standing::Open,
            _ => true,
        })
        .filter(|pull| {
            head.is_none_or(|(owner, branch)| {
                pull.head_branch == branch && (owner == "acme") != pull.from_fork
            })
        })
        .filter(|pull| asked.query("base").is_none_or(|base| pull.base_branch == base))
        .collect();
    pulls.sort_by_key(|pull| match asked.query("sort") {
        Some("updated") => (pull.updated, pull.number),
        _ => (pull.created, pull.number),
    });
    if asked.query("direction") != Some("asc") {
        pulls.reverse();
    }
    let shown = pulls.into_iter().map(|pull| show(state, pull, false)).collect();
    Answer::page(shown, asked, PER_PAGE)
}

/// Lists leave some of it out.
fn show(state: &State, pull: &Pull, whole: bool) -> Value {
    let repository = |fork: bool| json!({"id": if fork { 2 } else { 1 }});
    let base_sha = state.git.tip(&pull.base_branch).unwrap_or_default();
    let labels: Vec<Value> = pull.labels.iter().map(|name| json!({"name": name})).collect();
    let merged = pull.merged.as_ref();
    let mut shown = json!({
        "number": pull.number,
        "html_url": format!("https://github.test/{REPOSITORY}/pull/{}", pull.number),
        "state": if pull.standing == Standing::Open { "open" } else { "closed" },
        "title": pull.title,
        "body": if pull.body.is_empty() { Value::Null } else { json!(pull.body) },
        "head": {"ref": pull.head_branch, "sha": pull.head_sha, "repo": repository(pull.from_fork)},
        "base": {"ref": pull.base_branch, "sha": base_sha, "repo": repository(false)},
        "user": {"login": pull.author},
        "labels": labels,
        "draft": false,
        "merged_at": merged.map(|(_, at, _)| shown(*at)),
        // Before it is merged this is a test merge, which is on no branch.
        "merge_commit_sha": merged.map_or_else(|| "7e57".repeat(10), |(_, _, commit)| commit.clone()),
        "created_at": shown(pull.created),
        "updated_at": shown(pull.updated),
    });
    if whole {
        shown["merged"] = json!(merged.is_some());
        shown["merged_by"] = json!(merged.map(|(who, _, _)| json!({"login": who})));
        let open = pull.standing == Standing::Open;
        shown["mergeable"] = json!(open.then(|| state.git.can_merge(&base_sha, &pull.head_sha)));
    }
    shown
}

fn open(state: &mut State, asked: &Asked) -> Answer {
    let branches = (asked.text("head"), asked.text("base"));
    let head = branches.0.rsplit(':').next().unwrap_or_default();
    let opened = state.open(
        asked.who,
        asked.text("title"),
        asked.text("body"),
        (head, branches.1),
        false,
    );
    match opened {
        Ok(number) => shown_one(state, number, 201),
        Err(refusal) => refuse(refusal),
    }
}

fn shown_one(state: &State, number: u64, status: u16) -> Answer {
    match state.pulls.iter().find(|pull| pull.number == number) {
        Some(pull) => Answer::of(status, show(state, pull, true)),
        None => Answer::not_found(),
    }
}

fn one(state: &mut State, asked: &Asked, method: &Method, number: u64, rest: &[&str]) -> Answer {
    match (method, rest) {
        (&Method::GET, []) => shown_one(state, number, 200),
        (&Method::PATCH, []) => {
            let turned = match asked.text("state") {
                "open" => state.turn(number, true),
                "closed" => state.turn(number, false),
                _ => Ok(()),
            };
            if let Err(refusal) = turned {
                return refuse(refusal);
            }
            let now = state.tick();
            if let Some(pull) = state.pull(number) {
                if let Some(title) = asked.body["title"].as_str() {
                    pull.title = title.to_owned();
                }
                if let Some(body) = asked.body["body"].as_str() {
                    pull.body = body.to_owned();
                }
                pull.updated = now;
            }
            shown_one(state, number, 200)
        }
        (&Method::GET, ["reviews"]) => {
            let Some(pull) = state.pull(number) else {
                return Answer::not_found();
            };
            let reviews = pull.reviews.iter().map(|review| {
                let verdict = match review.verdict {
                    Verdict::Approve => "APPROVED",
                    Verdict::RequestChanges => "CHANGES_REQUESTED",
                    Verdict::Comment => "COMMENTED",
                    Verdict::Dismiss => "DISMISSED",
                };
                json!({
                    "state": verdict, "user": {"login": review.login}, "commit_id": review.commit,
                    "submitted_at": shown(review.at),
                    "author_association": if review.login.starts_with("stranger") { "NONE" } else { "COLLABORATOR" },
                })
            });
            Answer::page(reviews.collect(), asked, PER_PAGE)
        }
        _ => Answer::not_found(),
    }
}

fn said(comment: &Said) -> Value {
    json!({
        "id": comment.id, "body": comment.body, "user": {"login": comment.author},
        "created_at": shown(comment.at), "updated_at": shown(comment.edited),
    })
}

fn issue(state: &mut State, asked: &Asked, method: &Method, number: u64, rest: &[&str]) -> Answer {
    match (method, rest) {
        (&Method::GET, ["comments"]) => {
            let since: Option<Timestamp> = asked.query("since").and_then(|since| since.parse().ok());
            let Some(pull) = state.pull(number) else {
                return Answer::not_found();
            };
            // The filter looks at the last edit, to the second.
            let second = SignedDuration::from_secs(1);
            let comments = pull
                .comments
                .iter()
                .filter(|comment| since.is_none_or(|since| comment.edited + second > since));
            Answer::page(comments.map(said).collect(), asked, PER_PAGE)
        }
        (&Method::POST, ["comments"]) => match state.say(number, asked.who, asked.text("body"), false) {
            Ok(id) => Answer::of(201, json!({"id": id})),
            Err(refusal) => refuse(refusal),
        },
        (&Method::POST, ["labels"]) => {
            let names: Vec<String> = serde_json::from_value(asked.body["labels"].clone()).unwrap_or_default();
            match state.put_labels(number, &names) {
                Ok(()) => Answer::ok(json!([])),
                Err(refusal) => refuse(refusal),
            }
        }
        _ => Answer::not_found(),
    }
}

fn comment(state: &mut State, asked: &Asked, method: &Method, id: &str) -> Answer {
    let Ok(id) = id.parse() else {
        return Answer::not_found();
    };
    if *method == Method::GET {
        return state
            .said(id)
            .map_or_else(Answer::not_found, |comment| Answer::ok(said(comment)));
    }
    let (text, status) = match *method {
        Method::PATCH => (Some(asked.text("body")), 200),
        Method::DELETE => (None, 204),
        _ => return Answer::not_found(),
    };
    match state.edit(id, text) {
        Ok(()) if status == 204 => Answer::of(204, Value::Null),
        Ok(()) => Answer::ok(json!({"id": id})),
        Err(refusal) => refuse(refusal),
    }
}
