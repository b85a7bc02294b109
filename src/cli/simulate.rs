//! `simulate`: the simulated servers of a world file, until interrupted.

use super::{Failed, about, data, words};
use crate::sim::world::{World, start};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// The first line of the kubeconfigs that this command writes: only such a file is written over, and only while nobody serves it.
const MARK: &str = "# Written by `couchestor simulate`, which writes over it.\n";

/// Options of `simulate`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// The world file.
    world: PathBuf,
    /// Where to write the kubeconfig: a new file, or one that this command wrote and that no other `simulate` serves now. Two at one time
    /// need a file each.
    #[arg(long, default_value = "simulated.kubeconfig")]
    kubeconfig: PathBuf,
}

/// `simulate`.
pub async fn simulate(arguments: Arguments) -> Result<u8, Failed> {
    let text = std::fs::read_to_string(&arguments.world).map_err(about(&arguments.world))?;
    let world =
        World::read(&text).map_err(|error| Failed(format!("{}: {error}", arguments.world.display())))?;
    let kubeconfig = &arguments.kubeconfig;
    let mut file = claim(kubeconfig)?;
    let running = start(&world, crate::io::clock::now)
        .await
        .map_err(|error| Failed(format!("{}: {error}", arguments.world.display())))?;
    for crd in crate::model::kinds::all_crds() {
        running.kubernetes.put(serde_json::to_value(crd)?)?;
    }
    let text = format!("{MARK}{}", running.kubernetes.kubeconfig());
    write(&mut file, &text).map_err(about(kubeconfig))?;
    data(&format!(
        "KUBECONFIG={}\nMAYASTOR_URL={}\nPROMETHEUS_URL={}",
        arguments.kubeconfig.display(),
        running.mayastor.url(),
        running.prometheus.url()
    ));
    words("the servers run until Ctrl-C");
    tokio::signal::ctrl_c().await?;
    Ok(0)
}

/// Opens the file for the kubeconfig and keeps others that simulate from it for as long as it is open: it is locked, and the lock ends
/// with the process, however that ends. What somebody else wrote, such as the kubeconfig of a real cluster, is refused.
fn claim(path: &Path) -> Result<File, Failed> {
    // What is no file, such as /dev/stdout, holds nothing that could be lost, and several may write to it.
    if path.exists() && !path.is_file() {
        return OpenOptions::new().write(true).open(path).map_err(about(path));
    }
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(path).map_err(about(path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(Failed(format!(
                "another `couchestor simulate` runs and serves {}; name another file for this one with --kubeconfig, or end that one",
                path.display()
            )));
        }
        // Some network file systems have no locks.
        Err(TryLockError::Error(error)) => words(&format!(
            "{} cannot be locked ({error}): see that no other `couchestor simulate` uses it",
            path.display()
        )),
    }
    let mut held = Vec::new();
    let most = MARK.len() as u64;
    (&mut file)
        .take(most)
        .read_to_end(&mut held)
        .map_err(about(path))?;
    match held.is_empty() || held == MARK.as_bytes() {
        true => Ok(file),
        false => Err(Failed(format!(
            "{} exists, and `simulate` did not write it; name another file with --kubeconfig, or remove it",
            path.display()
        ))),
    }
}

/// Writes the text in the place of what the file holds.
fn write(file: &mut File, text: &str) -> std::io::Result<()> {
    if file.metadata()?.is_file() {
        file.set_len(0)?;
        file.rewind()?;
    }
    file.write_all(text.as_bytes())?;
    file.flush()
}
