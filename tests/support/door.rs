//! A door before a server: what comes through it can be cut off, as a network does it, and let through again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Open until it is shut; it ends with the runtime of the test that made it.
pub struct Door {
    url: String,
    shut: watch::Sender<bool>,
    refused: Arc<AtomicUsize>,
}

impl Door {
    /// A door before a server, by its address `http://host:port`.
    pub async fn before(server: &str) -> Self {
        let server = server.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (shut, seen) = watch::channel(false);
        let refused: Arc<AtomicUsize> = Arc::default();
        let count = refused.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(through(near, server.clone(), seen.clone(), count.clone()));
            }
        });
        Self { url, shut, refused }
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
}

async fn through(
    mut near: TcpStream,
    server: String,
    mut shut: watch::Receiver<bool>,
    refused: Arc<AtomicUsize>,
) {
    let passes = async {
        let mut far = TcpStream::connect(&server).await?;
        tokio::io::copy_bidirectional(&mut near, &mut far).await
    };
    tokio::select! {
        biased;
        _ = shut.wait_for(|shut| *shut) => drop(refused.fetch_add(1, Ordering::Relaxed)),
        _ = passes => {}
    }
}
