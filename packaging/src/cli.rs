//! The command line.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Parser;

use crate::{
    archive, build, clock, contents,
    control::{Package, Revision},
    error::{Context, Error, Result},
    tree::Tree,
};

/// Build the Debian package of ipvs-cli and ipvs-follow.
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
    /// Build everything a second time, in a new target directory, and fail if the package differs
    /// by a byte; minutes
    #[arg(long, conflicts_with = "tree")]
    twice: bool,
}

const AFTER_HELP: &str = "\
The same sources give the same package, byte for byte: its date is $SOURCE_DATE_EPOCH, else that of the last commit.
docs/packaging.md says what is in it, and how it lives beside the package ipvsadm.";

impl Cli {
    /// Builds, and prints where the package is.
    pub(crate) fn run(self) -> Result<()> {
        let workspace = build::workspace()?;
        let date = clock::date(&workspace)?;
        let built = build::release(&workspace, self.target.as_deref(), None)?;
        let package = Package { architecture: built.architecture, revision: self.revision.clone(), date };
        let made = match &self.tree {
            Some(directory) => {
                lay_out(&package, &built.programs, &workspace, directory)?;
                directory.clone()
            }
            None => {
                let out = self.out.clone().unwrap_or_else(|| built.target_directory.join("debian"));
                pack(&package, &built.programs, &workspace, &out)?
            }
        };
        if self.twice {
            self.compare(&package, &made, &workspace, &built.target_directory)?;
        }
        println!("{}", made.display());
        Ok(())
    }

    /// Builds again, where nothing is left of the first time.
    fn compare(&self, package: &Package, first: &Path, workspace: &Path, target_directory: &Path) -> Result<()> {
        let again = tempfile::Builder::new().prefix("again-").tempdir_in(target_directory);
        let again = again.context(|| format!("make a directory in {}", target_directory.display()))?;
        let built = build::release(workspace, self.target.as_deref(), Some(again.path()))?;
        let second = pack(package, &built.programs, workspace, &again.path().join("debian"))?;
        match is_same(first, &second)? {
            Some(length) => eprintln!("packaging: built twice, the same {length} bytes"),
            None => {
                // To be looked at.
                let _ = again.keep();
                return Err(Error::Differ { first: first.to_owned(), second });
            }
        }
        Ok(())
    }
}

/// How many bytes both files have, if they are the same ones.
fn is_same(first: &Path, second: &Path) -> Result<Option<usize>> {
    let read = |path: &Path| fs::read(path).context(|| format!("read {}", path.display()));
    let (first, second) = (read(first)?, read(second)?);
    Ok((first == second).then_some(first.len()))
}

fn pack(package: &Package, programs: &[PathBuf], workspace: &Path, out: &Path) -> Result<PathBuf> {
    let staging = tempfile::tempdir().context(|| "make a temporary directory".into())?;
    let tree = lay_out(package, programs, workspace, &staging.path().join("root"))?;
    package.add_control_files(&tree)?;
    archive::build(package, &tree, out)
}

fn lay_out(package: &Package, programs: &[PathBuf], workspace: &Path, root: &Path) -> Result<Tree> {
    let tree = Tree::create(root)?;
    contents::put(package, programs, workspace, &tree)?;
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_that_differ_by_a_byte_are_found() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &str| {
            let path = directory.path().join(name);
            fs::write(&path, content).unwrap();
            path
        };
        let [one, same, other] = [("one", "abc"), ("same", "abc"), ("other", "abd")].map(|(name, of)| file(name, of));
        assert_eq!(is_same(&one, &same).unwrap(), Some(3));
        assert_eq!(is_same(&one, &other).unwrap(), None);
        assert!(is_same(&one, &directory.path().join("none")).unwrap_err().to_string().contains("none"));
    }
}
