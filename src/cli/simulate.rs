//! `simulate`: the simulated servers of a world file, until interrupted.

use super::{Failed, about, data, words};
use crate::sim::world::{World, start};
use std::path::{Path, PathBuf};

/// The first line of the kubeconfigs that this command writes: only such a file is written over.
const MARK: &str = "# Written by `couchestor simulate`, which writes over it.\n";

/// Options of `simulate`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// The world file.
    world: PathBuf,
    /// Where to write the kubeconfig: a new file, or one that this command wrote.
    #[arg(long, default_value = "simulated.kubeconfig")]
    kubeconfig: PathBuf,
}

/// `simulate`.
pub async fn simulate(arguments: Arguments) -> Result<u8, Failed> {
    spare(&arguments.kubeconfig)?;
    let text = std::fs::read_to_string(&arguments.world).map_err(about(&arguments.world))?;
    let world =
        World::read(&text).map_err(|error| Failed(format!("{}: {error}", arguments.world.display())))?;
    let running = start(&world, crate::io::clock::now)
        .await
        .map_err(|error| Failed(format!("{}: {error}", arguments.world.display())))?;
    for crd in crate::model::kinds::all_crds() {
        running.kubernetes.put(serde_json::to_value(crd)?)?;
    }
    let kubeconfig = &arguments.kubeconfig;
    let text = format!("{MARK}{}", running.kubernetes.kubeconfig());
    std::fs::write(kubeconfig, text).map_err(about(kubeconfig))?;
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

/// Refuses to write over a file that is somebody else's, such as the kubeconfig of a real cluster.
fn spare(path: &Path) -> Result<(), Failed> {
    // What is no file, such as /dev/stdout, holds nothing that could be lost; a folder that is missing is told of by writing.
    if !path.is_file() {
        return Ok(());
    }
    let held = std::fs::read(path).map_err(about(path))?;
    if held.is_empty() || held.starts_with(MARK.as_bytes()) {
        return Ok(());
    }
    Err(Failed(format!(
        "{} exists, and `simulate` did not write it; name another file with --kubeconfig, or remove it",
        path.display()
    )))
}
