//! `cargo lab sbom`: a bill of materials (CycloneDX) of each crate that we publish, by
//! cargo-cyclonedx.

use std::{fs, path::PathBuf, process::ExitCode};

use clap::Args;

use crate::{
    cargo_tool::CargoTool,
    error::{Context, Error, Result},
    packages,
    workspace::{PUBLISHED, Published, Workspace},
};

const TOOL: CargoTool = CargoTool { name: "cargo-cyclonedx", version: "0.5.9", options: &[] };

/// Which dependencies of the lockfile are meant: those of the programs that we build.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Under this name cargo-cyclonedx writes beside the manifest of each member of the workspace.
const NAME: &str = "bill-of-materials";

/// Arguments of `cargo lab sbom`.
#[derive(Debug, Args)]
#[command(after_help = "\
The same lockfile gives the same bytes where SOURCE_DATE_EPOCH is set, but for a path: cargo names these crates by it.")]
pub(crate) struct Sbom {}

impl Sbom {
    /// Writes `target/sbom/CRATE.cdx.json`.
    pub(crate) fn run(self) -> Result<ExitCode> {
        for bill in write(&Workspace::find()?)? {
            println!("{}", bill.display());
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes them, and gives their paths.
pub(super) fn write(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let program = TOOL.find()?.map_err(Error::NoTool)?;
    let mut command = workspace.command(program);
    command.args(["cyclonedx", "--format", "json", "--spec-version", "1.5", "--override-filename", NAME]);
    packages::run(command.args(["--all-features", "--no-build-deps", "--target", TARGET]))?;
    let bills = workspace.root().join("target/sbom");
    fs::create_dir_all(&bills).context(|| format!("make {}", bills.display()))?;
    let mut made = Vec::new();
    for manifest in workspace.manifests()? {
        let directory = manifest.with_file_name("");
        let written = directory.join(NAME).with_extension("json");
        let published = PUBLISHED.iter().find(|published| directory == workspace.root().join(published.directory));
        if let Some(Published { package, .. }) = published {
            let bill = bills.join(format!("{package}.cdx.json"));
            fs::copy(&written, &bill).context(|| format!("copy {}", written.display()))?;
            made.push(bill);
        }
        fs::remove_file(&written).context(|| format!("remove {}", written.display()))?;
    }
    Ok(made)
}
