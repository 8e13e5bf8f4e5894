//! The scenes: scripts that build a network of a client, a director and two real servers, and do
//! something in it.

use std::path::PathBuf;

use crate::{
    cache::Cache,
    cli::GuestOptions,
    error::{Error, Result},
    guest::{Ending, Streams},
    kernel::Kernel,
    stage::{Limits, Stage, Tool},
    workspace::Workspace,
};

/// Runs one of the scripts in `tests/lab/scenes`.
pub(crate) fn play(
    name: &str,
    guest: &GuestOptions,
    ipvsadm: bool,
    streams: impl FnOnce(&Stage) -> Result<Streams>,
    limits: &Limits,
) -> Result<(Stage, Ending)> {
    guest.fetch()?;
    let workspace = Workspace::find()?;
    let tool = if ipvsadm { Tool::Ipvsadm } else { Tool::IpvsCli(workspace.build_ipvs_cli()?) };
    let stage = Stage::new(guest, &tool)?;
    let scenes: PathBuf = workspace.root().join("tests/lab/scenes");
    let command = vec!["bash".to_owned(), scenes.join(name).display().to_string()];
    let streams = streams(&stage)?;
    let ending = stage.run(command, &scenes, streams, limits)?;
    Ok((stage, ending))
}

/// Chooses a kernel that has iptables-legacy, or refuses one that hasn't.
pub(crate) fn with_legacy_iptables(mut guest: GuestOptions) -> Result<GuestOptions> {
    match guest.kernel {
        Some(kernel) if !kernel.has_legacy_iptables() => return Err(Error::NoLegacyIptables(kernel)),
        Some(_) => {}
        None => {
            let newest = Cache::open()?.default_kernel();
            guest.kernel = Some(if newest.has_legacy_iptables() { newest } else { Kernel::V6_1 });
        }
    }
    Ok(guest)
}
