//! Servers that do not answer: the command ends within seconds, and names the server.

use super::{POLICIES, command, folder, said};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What somebody waits who mistyped an address, and what a busy machine takes beside it.
const PATIENCE: Duration = Duration::from_secs(25);

/// Every command that asks a cluster something.
const ASKING: [&[&str]; 12] = [
    &["status"],
    &["status", "--volumes", "-o", "json"],
    &["status", "--watch"],
    &["migrations"],
    &["migrations", "show", "m"],
    &["migrations", "resume-all"],
    &["drill", "list"],
    &["drill", "run", "daily"],
    &["restore", "plan", "database"],
    &["restore", "abort", "1a2b3c4d"],
    &["plan", "p"],
    &["backtest", "p", "--prometheus-url", "http://127.0.0.1:9"],
];

fn kubeconfig(folder: &Path, address: SocketAddr) {
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters: [{{name: a, cluster: {{server: 'http://{address}'}}}}]\nusers: [{{name: a, user: {{token: canary}}}}]\ncontexts: [{{name: a, context: {{cluster: a, user: a}}}}]\n"
    );
    std::fs::write(folder.join("k"), text).unwrap();
}

/// Runs them all at once, and gives what each said and how long it took.
fn all(folder: &Path, commands: &[&[&str]]) -> Vec<(String, String, Option<i32>, Duration)> {
    let run = |mut command: Command, arguments: String| {
        let began = Instant::now();
        command
            .env("KUBECONFIG", "k")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        std::thread::spawn(move || {
            let output = child.wait_with_output().unwrap();
            (arguments, said(&output), output.status.code(), began.elapsed())
        })
    };
    let running: Vec<_> = commands
        .iter()
        .map(|arguments| run(command(folder, arguments), arguments.join(" ")))
        .collect();
    running.into_iter().map(|one| one.join().unwrap()).collect()
}

#[test]
fn a_server_that_takes_connections_and_says_nothing_is_named_within_seconds() {
    let folder = folder(&[("p/a.yaml", POLICIES)]);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    kubeconfig(folder.path(), address);
    let named = format!("the Kubernetes API at http://{address} did not answer: nothing came for 10 seconds");
    for (arguments, said, code, took) in all(folder.path(), &ASKING) {
        assert_eq!(code, Some(1), "{arguments}: {said}");
        assert!(said.contains(&named), "{arguments}: {said}");
        assert!(
            said.contains("that --kubeconfig names the right"),
            "{arguments}: {said}"
        );
        assert!(!said.contains("canary"), "{arguments}: {said}");
        assert!(took < PATIENCE, "{arguments} took {took:?}");
    }
}

#[test]
fn a_controller_that_gets_no_epoch_says_from_which_server() {
    let folder = folder(&[]);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    kubeconfig(folder.path(), address);
    let run = [
        "run",
        "--cache-dir",
        "c",
        "--health-addr",
        "127.0.0.1:0",
        "--metrics-addr",
        "127.0.0.1:0",
    ];
    let (_, said, code, took) = all(folder.path(), &[&run]).remove(0);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("of http://{address}: ")), "{said}");
    assert!(took < PATIENCE, "{took:?}");
}

#[test]
fn a_server_that_always_says_later_is_not_asked_for_minutes() {
    let folder = folder(&[]);
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    kubeconfig(folder.path(), busy.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in busy.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(
                b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            );
        }
    });
    let (_, said, code, took) = all(folder.path(), &[&["status"]]).remove(0);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("503"), "{said}");
    assert!(took < PATIENCE, "{took:?}");
}
