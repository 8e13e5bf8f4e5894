//! `cargo lab pictures`: the pictures in the README and in docs/, of what the product shows in a
//! guest.

use std::{fs, path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;

use super::scene;
use crate::{
    cli::GuestOptions,
    error::{Context, Error, Result},
    guest::{Capture, Ending, Output, Streams},
    kernel::Kernel,
    picture,
    stage::{Limits, Stage, Tool, conclude},
    workspace::Workspace,
};

/// So wide that no command of a scene is broken.
const SCENE_COLUMNS: u16 = 108;

/// A scene in `tests/lab/scenes`, its picture in `docs/pictures`, and the picture's title.
const SCENES: [(&str, &str, &str); 4] = [
    ("firewall-mark.sh", "demo", "cargo lab demo: a service of a firewall mark, and who answers"),
    ("diff.sh", "diff", "ipvs-cli diff: a weight to edit, a real server to add and one to delete"),
    ("drain.sh", "drain", "ipvs-cli drain: a real server goes out of service without cutting a download"),
    ("doctor.sh", "doctor", "ipvs-cli doctor: a director without its virtual address, a real server that answers ARP"),
];

const DEADLINE: Duration = Duration::from_secs(180);

/// The test of package kernel-tests that has `top` on a terminal, and what its screen stands
/// behind.
const PROGRAM: &str = "screens";
const TEST: &str = "top_is_as_in_its_picture";
const SCREEN: &str = "screen: ";
/// The size of its terminal.
const ROWS: u16 = 18;
const COLUMNS: u16 = 100;

/// Arguments of `cargo lab pictures`.
#[derive(Debug, Args)]
#[command(after_help = "They are written to docs/pictures. Tests fail when the product shows something else.")]
pub(crate) struct Pictures {}

impl Pictures {
    /// Draws them.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let workspace = Workspace::find()?;
        // This kernel has the iptables that the demo needs.
        let guest = GuestOptions { kernel: Some(Kernel::V6_1), memory: 1024, env: Vec::new() };
        for (script, name, title) in SCENES {
            let output = Capture::default();
            let limits = Limits { deadline: DEADLINE, out: Output::Capture(output.clone()), err: Output::Stderr };
            let (stage, ending) = scene::play(script, &guest, false, |_| Ok(Streams::Apart), &limits)?;
            if !matches!(ending, Ending::Exited(0)) {
                return Ok(conclude(stage.kernel(), ending));
            }
            write(&workspace, name, title, picture::screen(&output.text(), SCENE_COLUMNS).screen())?;
        }
        let top = top(&workspace, &guest)?;
        write(&workspace, "top", "ipvs-cli top: services, their rates, and the destinations of one", top.screen())?;
        Ok(ExitCode::SUCCESS)
    }
}

fn write(workspace: &Workspace, name: &str, title: &str, screen: &vt100::Screen) -> Result<()> {
    let path = workspace.root().join("docs/pictures").join(name).with_extension("svg");
    fs::write(&path, picture::svg(title, screen)).context(|| format!("write {}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}

/// The screen of `top`, with traffic.
fn top(workspace: &Workspace, guest: &GuestOptions) -> Result<vt100::Parser> {
    guest.fetch()?;
    let programs = workspace.build_kernel_tests()?;
    let program = programs.into_iter().find(|program| program.name == PROGRAM);
    let program = program.ok_or_else(|| Error::Missing(PathBuf::from(PROGRAM)))?;
    let mut stage = Stage::new(guest, &Tool::IpvsCli(workspace.build_ipvs_cli()?))?;
    stage.keep(&program.path);
    stage.set("CARGO_MANIFEST_DIR", program.package.display().to_string());
    stage.set("LAB_PICTURE", "1");
    let output = Capture::default();
    let limits = Limits { deadline: DEADLINE, out: Output::Capture(output.clone()), err: Output::Stderr };
    let command = [&program.path.display().to_string(), TEST, "--exact", "--nocapture"].map(str::to_owned).to_vec();
    stage.run(command, &program.package, Streams::Apart, &limits)?;
    // Whether the picture of before is still right does not matter here.
    let text = output.text();
    let shown = text.lines().find_map(|line| line.split_once(SCREEN)).map(|(_, shown)| shown);
    let shown: String = serde_json::from_str(shown.unwrap_or_default())
        .map_err(|source| Error::Json { what: "the screen of top", source })?;
    let mut parser = vt100::Parser::new(ROWS, COLUMNS, 0);
    parser.process(shown.as_bytes());
    Ok(parser)
}
