//! A door before a server: what comes through it can be cut off, as a network does it, and let through again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Open until it is shut; it ends with the runtime of the test that made it.
pub struct Door {
    url: String,
    shut: watch::Sender<bool>,
    refused: Arc<AtomicUsize>,
    writes: Arc<AtomicUsize>,
}

/// What begins a request for a change.
const CHANGES: [&[u8]; 4] = [b"POST ", b"PUT ", b"PATCH ", b"DELETE "];

impl Door {
    /// A door before a server, by its address `http://host:port`.
    pub async fn before(server: &str) -> Self {
        let server = server.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (shut, seen) = watch::channel(false);
        let refused: Arc<AtomicUsize> = Arc::default();
        let writes: Arc<AtomicUsize> = Arc::default();
        let counts = (refused.clone(), writes.clone());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(through(near, server.clone(), seen.clone(), counts.clone()));
            }
        });
        Self {
            url,
            shut,
            refused,
            writes,
        }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Cuts everything off, also what is on its way, or lets it through again.
    pub fn shut(&self, shut: bool) {
        self.shut.send_replace(shut);
    }

    /// Connections that were refused or cut.
    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    /// Requests for changes that came through.
    pub fn writes(&self) -> usize {
        self.writes.load(Ordering::Relaxed)
    }
}

/// Passes on what is asked. A client waits for the answer before it asks again, so that a request begins what is read.
async fn asked(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    writes: &AtomicUsize,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        if CHANGES.iter().any(|method| buffer[..read].starts_with(method)) {
            writes.fetch_add(1, Ordering::Relaxed);
        }
        to.write_all(&buffer[..read]).await?;
    }
}

async fn through(
    mut near: TcpStream,
    server: String,
    mut shut: watch::Receiver<bool>,
    (refused, writes): (Arc<AtomicUsize>, Arc<AtomicUsize>),
) {
    let passes = async {
        let mut far = TcpStream::connect(&server).await?;
        let ((near_out, mut near_in), (mut far_out, far_in)) = (near.split(), far.split());
        let answered = async {
            tokio::io::copy(&mut far_out, &mut near_in).await?;
            near_in.shutdown().await
        };
        tokio::try_join!(asked(near_out, far_in, &writes), answered)
    };
    tokio::select! {
        biased;
        _ = shut.wait_for(|shut| *shut) => drop(refused.fetch_add(1, Ordering::Relaxed)),
        _ = passes => {}
    }
}
