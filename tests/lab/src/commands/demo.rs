//! `cargo lab demo`: the firewall-mark example of many tutorials, with our binary as ipvsadm.

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use clap::Args;

use super::{run::streams, scene};
use crate::{
    bench::machines::Machine,
    cli::GuestOptions,
    emulated::{Commands, Emulated},
    error::Result,
    kernel::{Architecture, Kernel},
    stage::{Limits, conclude},
};

const SCENE: &str = "firewall-mark.sh";
/// An emulated PC takes a minute on a machine that does nothing else.
const DEADLINE_OF_PC: Duration = Duration::from_secs(1800);

/// Arguments of `cargo lab demo`.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    #[command(flatten)]
    guest: GuestOptions,
    /// Show the real ipvsadm in place of `ipvs-cli`
    #[arg(long)]
    ipvsadm: bool,
    /// Play it on an emulated PC with this processor and kernel 6.1
    #[arg(long, value_enum, conflicts_with_all = ["ipvsadm", "kernel", "memory", "env"])]
    arch: Option<Architecture>,
}

impl Demo {
    /// Plays the scene; fails when a table or an answer is not what it should be.
    pub(crate) fn run(self) -> Result<ExitCode> {
        if let Some(architecture) = self.arch {
            return play_on_pc(architecture);
        }
        let guest = scene::with_legacy_iptables(self.guest)?;
        let limits = Limits::through(Duration::from_secs(120));
        let (stage, ending) = scene::play(SCENE, &guest, self.ipvsadm, |_| Ok(streams()), &limits)?;
        Ok(conclude(stage.kernel(), ending))
    }
}

fn play_on_pc(architecture: Architecture) -> Result<ExitCode> {
    let pc = Emulated::prepare(Machine { kernel: Kernel::V6_1, architecture }, false)?;
    let scenes = pc.workspace().join("tests/lab/scenes");
    let job = Commands {
        commands: vec![vec!["bash".into(), scenes.join(SCENE).display().to_string()]],
        directory: scenes.clone(),
        modules: vec!["ip_vs".into()],
        environment: BTreeMap::new(),
    };
    let statuses = pc.run(job, &[scenes], DEADLINE_OF_PC, |line| println!("{line}"))?;
    Ok(if statuses == [0] { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
