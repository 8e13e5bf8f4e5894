//! `cargo lab demo`: the firewall-mark example of many tutorials, with our binary as ipvsadm.

use std::{process::ExitCode, time::Duration};

use clap::Args;

use super::{run::streams, scene};
use crate::{
    cli::GuestOptions,
    error::Result,
    stage::{Limits, conclude},
};

/// Arguments of `cargo lab demo`.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    #[command(flatten)]
    guest: GuestOptions,
    /// Show the real ipvsadm in place of `ipvs-cli`
    #[arg(long)]
    ipvsadm: bool,
}

impl Demo {
    /// Plays the scene; fails when a table or an answer is not what it should be.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let guest = scene::with_legacy_iptables(self.guest)?;
        let limits = Limits::through(Duration::from_secs(120));
        let (stage, ending) = scene::play("firewall-mark.sh", &guest, self.ipvsadm, |_| Ok(streams()), &limits)?;
        Ok(conclude(stage.kernel(), ending))
    }
}
