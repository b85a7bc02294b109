//! Servers that tests start: whether they answer yet.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// The pause between two looks: a server is ready within a fraction of a second to some seconds.
const PAUSE: Duration = Duration::from_millis(50);

/// Waits for a server to be ready; one that is not within the limit fails the test with what its log says.
pub fn wait(what: &str, limit: Duration, ready: impl Fn() -> bool, log: impl Fn() -> String) {
    let began = Instant::now();
    while !ready() {
        assert!(
            began.elapsed() < limit,
            "{what} was not ready within {limit:?}; its log:\n{}",
            log()
        );
        std::thread::sleep(PAUSE);
    }
}

/// Whether a server on loopback answers a GET of this path with 200.
pub fn answers(port: u16, path: &str) -> bool {
    let asked = TcpStream::connect(("127.0.0.1", port)).and_then(|mut stream| {
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let question = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        stream.write_all(question.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    });
    asked.is_ok_and(|answer| answer.contains(" 200 "))
}
