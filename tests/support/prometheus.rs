//! A real Prometheus on loopback, with recorded series of the past: blocks that promtool makes from OpenMetrics text.

use super::{ready, servers};
use std::fmt::Write;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Ready takes a fifth of a second on an idle machine.
const READY_MAX: Duration = Duration::from_secs(60);

/// Mayastor's counters of one volume, all of which only grow.
#[derive(Clone, Copy, Default)]
pub struct Rates {
    pub reads: f64,
    pub writes: f64,
    pub read_bytes: f64,
    pub write_bytes: f64,
    pub read_us: f64,
    pub write_us: f64,
}

impl Rates {
    /// Small requests, half of them reads.
    pub fn of(iops: f64) -> Self {
        let half = iops / 2.0;
        Self {
            reads: half,
            writes: half,
            read_bytes: half * 4096.0,
            write_bytes: half * 4096.0,
            read_us: half * 500.0,
            write_us: half * 1000.0,
        }
    }
}

/// A volume's rates at a time; `None` when it was not there.
type RatesAt = Box<dyn Fn(i64) -> Option<Rates>>;

/// What was scraped: each volume's rates at each time, or nothing where it was not there.
pub struct Recording {
    pub first: i64,
    pub last: i64,
    pub scrape: i64,
    pub volumes: Vec<(&'static str, RatesAt)>,
}

impl Recording {
    /// The exposition with times; samples of one series stand together.
    fn text(&self) -> String {
        type Part = fn(&Rates) -> f64;
        let metrics: [(&str, Part); 6] = [
            ("num_read_ops", |rates| rates.reads),
            ("num_write_ops", |rates| rates.writes),
            ("bytes_read", |rates| rates.read_bytes),
            ("bytes_written", |rates| rates.write_bytes),
            ("read_latency_us", |rates| rates.read_us),
            ("write_latency_us", |rates| rates.write_us),
        ];
        let mut text = String::new();
        for (metric, part) in metrics {
            writeln!(text, "# TYPE volume_{metric} gauge").unwrap();
            for (volume, rates) in &self.volumes {
                let (mut sum, mut at) = (0.0, self.first);
                while at <= self.last {
                    if let Some(rates) = rates(at) {
                        sum += part(&rates) * self.scrape as f64;
                        writeln!(
                            text,
                            "volume_{metric}{{node=\"n1\",pv_name=\"{volume}\"}} {sum} {at}"
                        )
                        .unwrap();
                    }
                    at += self.scrape;
                }
            }
        }
        text.push_str("# EOF\n");
        text
    }
}

/// A running Prometheus; it ends with its owner.
pub struct Prometheus {
    pub url: String,
    child: Child,
    folder: tempfile::TempDir,
}

impl Prometheus {
    pub fn with(recording: &Recording) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("couchestor-prometheus-")
            .tempdir()
            .unwrap();
        let (text, data) = (folder.path().join("recording"), folder.path().join("data"));
        std::fs::write(&text, recording.text()).unwrap();
        let made = Command::new(servers::promtool())
            .args([
                "tsdb",
                "create-blocks-from",
                "openmetrics",
                "--max-block-duration=2000h",
                "--quiet",
            ])
            .args([&text, &data])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let config = folder.path().join("prometheus.yml");
        std::fs::write(&config, "global: {scrape_interval: 1m}\n").unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new(servers::prometheus())
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(["--storage.tsdb.retention.time=50y", "--log.level=warn"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let server = Self {
            url: format!("http://127.0.0.1:{port}"),
            child,
            folder,
        };
        let log = || std::fs::read_to_string(server.folder.path().join("log")).unwrap_or_default();
        ready::wait("Prometheus", READY_MAX, || ready::answers(port, "/-/ready"), log);
        server
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
