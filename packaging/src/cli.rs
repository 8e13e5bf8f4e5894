//! The command line.

use std::path::{Path, PathBuf};

use clap::Parser;

use crate::{
    archive, build, clock, contents,
    control::{Package, Revision},
    error::{Context, Result},
    tree::Tree,
};

/// Build the Debian package of ipvs-cli.
#[derive(Debug, Parser)]
#[command(name = "cargo debian", bin_name = "cargo debian", version, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    /// Where the package is put [default: target/debian]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// For another kind of machine, whose standard library rustup has installed
    #[arg(long, value_name = "TRIPLE")]
    target: Option<String>,
    /// What stands behind the version: grows with each package of one version
    #[arg(long, default_value = "1", value_parser = Revision::parse)]
    revision: Revision,
    /// Only lay out the files in a new directory, for packages of other kinds
    #[arg(long, value_name = "DIR", conflicts_with = "out")]
    tree: Option<PathBuf>,
}

const AFTER_HELP: &str = "\
The same sources give the same package, byte for byte: its date is $SOURCE_DATE_EPOCH, else that of the last commit.
docs/packaging.md says what is in it, and how it lives beside the package ipvsadm.";

impl Cli {
    /// Builds, and prints where the package is.
    pub(crate) fn run(self) -> Result<()> {
        let workspace = build::workspace()?;
        let date = clock::date(&workspace)?;
        let built = build::release(&workspace, self.target.as_deref())?;
        let package = Package { architecture: built.architecture, revision: self.revision, date };
        let made = match &self.tree {
            Some(directory) => {
                lay_out(&package, &built.program, &workspace, directory)?;
                directory.clone()
            }
            None => {
                let out = self.out.unwrap_or_else(|| built.target_directory.join("debian"));
                let staging = tempfile::tempdir().context(|| "make a temporary directory".into())?;
                let root = staging.path().join("root");
                let tree = lay_out(&package, &built.program, &workspace, &root)?;
                package.add_control_files(&tree)?;
                archive::build(&package, &tree, &out)?
            }
        };
        println!("{}", made.display());
        Ok(())
    }
}

fn lay_out(package: &Package, program: &Path, workspace: &Path, root: &Path) -> Result<Tree> {
    let tree = Tree::create(root)?;
    contents::put(package, program, workspace, &tree)?;
    Ok(tree)
}
