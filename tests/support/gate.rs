//! A gate before a real API server, and the controller as a process behind it: the gate sees each request before the server does, and
//! kills the process by those that write down a state that is to be struck.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use couchestor::sim::world::Running;
use fastrand::Rng;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a request may hold: objects of the API server are smaller.
const BODY_MAX: usize = 8 << 20;

/// What belongs to one connection, and not to the request that comes on it.
const OF_ONE_CONNECTION: [header::HeaderName; 4] = [
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
];

/// States that are struck in one go. A test that would strike more has forgotten what it strikes.
const KILLS_MAX: usize = 80;

/// When the process is killed by a request of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// The server never sees the request.
    Before,
    /// The server has carried it out, and nobody reads the answer.
    After,
}

/// A request of the process.
pub struct Asked<'a> {
    pub method: &'a Method,
    pub path: &'a str,
    pub body: &'a Value,
}

/// The state that a request writes down, if it is one that is to be struck.
pub type Struck = fn(&Asked) -> Option<String>;

/// Each state is struck when it is written down first: before it is written, after it, or after what is written next.
struct Striking {
    rng: Rng,
    state: Option<Struck>,
    seen: BTreeSet<String>,
    /// The state after which the next write of the process is struck.
    next: Option<String>,
    /// Kills, in words.
    kills: Vec<String>,
}

impl Striking {
    fn judge(&mut self, asked: &Asked) -> Option<Moment> {
        if asked.method == "GET" {
            return None;
        }
        let state = self.state.and_then(|state| state(asked));
        let state = state.filter(|state| self.seen.len() < KILLS_MAX && self.seen.insert(state.clone()));
        let (moment, words) = match (self.next.take(), state) {
            (Some(first), own) => {
                let own = own.unwrap_or_else(|| format!("{} {}", asked.method, asked.path));
                (Moment::After, format!("after {own}, which follows {first}"))
            }
            (None, None) => return None,
            (None, Some(state)) => match self.rng.u8(..3) {
                0 => (Moment::Before, format!("before {state}")),
                1 => (Moment::After, format!("after {state}")),
                _ => {
                    self.next = Some(state);
                    return None;
                }
            },
        };
        self.kills.push(words);
        Some(moment)
    }
}

/// What the requests go through.
#[derive(Clone)]
struct Way {
    server: String,
    client: reqwest::Client,
    arguments: Vec<String>,
    log: PathBuf,
    process: Arc<Mutex<Option<Child>>>,
    striking: Arc<Mutex<Striking>>,
}

/// The gate and its process, which ends with it.
pub struct Gate {
    folder: tempfile::TempDir,
    way: Way,
}

fn lock<T: ?Sized>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gate {
    /// A gate before the server that a kubeconfig names, and a controller behind it that is started anew whenever it was killed. What else
    /// the controller needs is simulated.
    pub async fn before(kubeconfig: &str, running: &Running, seed: u64) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = kubeconfig.split("server: \"").nth(1).unwrap();
        let server = server.split('"').next().unwrap().to_owned();
        let client = reqwest::Client::builder().no_proxy();
        let client = client.tls_danger_accept_invalid_certs(true).build().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("kubeconfig"), kubeconfig.replace(&server, &url)).unwrap();
        let (kubeconfig, cache) = (path("kubeconfig"), path("cache"));
        let (mayastor, prometheus) = (running.mayastor.url(), running.prometheus.url());
        let mut arguments = vec!["run", "--kubeconfig", &kubeconfig, "--cache-dir", &cache];
        arguments.extend(["--mayastor-url", &mayastor, "--prometheus-url", &prometheus]);
        arguments.extend(["--allow-file-urls", "--sync-poll-interval-seconds", "0.2"]);
        arguments.extend(["--metrics-addr", "127.0.0.1:0", "--health-addr", "127.0.0.1:0"]);
        let way = Way {
            server,
            client,
            arguments: arguments.into_iter().map(str::to_owned).collect(),
            log: folder.path().join("log"),
            process: Arc::default(),
            striking: Arc::new(Mutex::new(Striking {
                rng: Rng::with_seed(seed),
                state: None,
                seen: BTreeSet::new(),
                next: None,
                kills: Vec::new(),
            })),
        };
        way.start();
        let routes = Router::new().fallback(pass).with_state(way.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { folder, way }
    }

    /// What is struck from now on: each of these states once.
    pub fn strike(&self, state: Option<Struck>) {
        let mut striking = lock(&self.way.striking);
        striking.state = state;
        striking.seen.clear();
    }

    /// How the process was killed, each time.
    pub fn kills(&self) -> Vec<String> {
        lock(&self.way.striking).kills.clone()
    }

    /// A process that ends by itself is a fault.
    pub fn lives(&self) {
        let mut process = lock(&self.way.process);
        let ended = process.as_mut().map(|child| child.try_wait().unwrap());
        assert_eq!(ended, Some(None), "it ended by itself: {}", self.log());
    }

    /// The end of the log of all processes, newest line first.
    pub fn log(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        log.lines().rev().take(60).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if let Some(mut child) = lock(&self.way.process).take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Way {
    fn spawned(&self) -> Child {
        let mut log = std::fs::OpenOptions::new();
        let log = log.create(true).append(true).open(&self.log).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_couchestor"));
        command.args(&self.arguments).stderr(log).spawn().unwrap()
    }

    fn start(&self) {
        *lock(&self.process) = Some(self.spawned());
    }

    /// Nobody is there to read what is given back.
    fn kill_and_start(&self) -> Response {
        let mut process = lock(&self.process);
        // After the gate's own end none is started.
        if let Some(child) = process.as_mut() {
            kill(child);
            *process = Some(self.spawned());
        }
        nothing()
    }
}

/// By SIGKILL.
fn kill(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn of_the_request(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in OF_ONE_CONNECTION {
        headers.remove(name);
    }
    headers
}

fn nothing() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}

async fn pass(State(way): State<Way>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_MAX).await else {
        return nothing();
    };
    let asked = Asked {
        method: &head.method,
        path: head.uri.path(),
        body: &serde_json::from_slice(&body).unwrap_or_default(),
    };
    let moment = lock(&way.striking).judge(&asked);
    if moment == Some(Moment::Before) {
        return way.kill_and_start();
    }
    let url = format!("{}{}", way.server, head.uri);
    let passed = way.client.request(head.method.clone(), url);
    let passed = passed.headers(of_the_request(&head.headers)).body(body);
    let answer = passed.send().await;
    if moment == Some(Moment::After) {
        return way.kill_and_start();
    }
    let Ok(answer) = answer else { return nothing() };
    let (status, headers) = (answer.status(), of_the_request(answer.headers()));
    // A watch never ends: what comes is passed on as it comes.
    let chunks = futures::stream::try_unfold(answer, |mut answer| async move {
        let chunk = answer.chunk().await?;
        Ok::<_, reqwest::Error>(chunk.map(|chunk| (chunk, answer)))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    (*response.status_mut(), *response.headers_mut()) = (status, headers);
    response
}
