//! `simulate`: the simulated servers of a world file, until interrupted.

use super::{Failed, about, data, words};
use crate::sim::world::{World, start};
use std::path::PathBuf;

/// Options of `simulate`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// The world file.
    world: PathBuf,
    /// Where to write the kubeconfig.
    #[arg(long, default_value = "simulated.kubeconfig")]
    kubeconfig: PathBuf,
}

/// `simulate`.
pub async fn simulate(arguments: Arguments) -> Result<u8, Failed> {
    let text = std::fs::read_to_string(&arguments.world).map_err(about(&arguments.world))?;
    let world =
        World::read(&text).map_err(|error| Failed(format!("{}: {error}", arguments.world.display())))?;
    let running = start(&world, crate::io::clock::now).await.map_err(Failed)?;
    for crd in crate::model::kinds::all_crds() {
        running.kubernetes.put(serde_json::to_value(crd)?)?;
    }
    let kubeconfig = &arguments.kubeconfig;
    std::fs::write(kubeconfig, running.kubernetes.kubeconfig()).map_err(about(kubeconfig))?;
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
