//! The command line.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Parser, ValueEnum};

use crate::{
    archive::{deb, image, rpm, tarball},
    build::{self, Built},
    clock,
    contents::{self, Family},
    control::{Package, Revision},
    error::{Context, Error, Result},
    tree::Tree,
};

/// Build packages of ipvs-cli and ipvs-follow: Debian's, unless others are named.
#[derive(Debug, Parser)]
#[command(name = "cargo debian", bin_name = "cargo debian", version, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    /// What to make; may be repeated [default: deb]
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Vec<Format>,
    /// Where the packages are put [default: target/debian]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// For another kind of machine, whose standard library rustup has installed
    #[arg(long, value_name = "TRIPLE")]
    target: Option<String>,
    /// What stands behind the version: grows with each package of one version
    #[arg(long, default_value = "1", value_parser = Revision::parse)]
    revision: Revision,
    /// Only lay out the files in a new directory, for packages of other kinds
    #[arg(long, value_name = "DIR", conflicts_with_all = ["out", "format"])]
    tree: Option<PathBuf>,
    /// Build everything a second time, in a new target directory, and fail if a package differs by
    /// a byte; minutes
    #[arg(long, conflicts_with = "tree")]
    twice: bool,
}

/// A kind of package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A package for Debian and its relatives
    Deb,
    /// A package for Red Hat's distributions, Fedora and their relatives
    Rpm,
    /// A container image with nothing but the program ipvs-cli
    Image,
    /// The files as an archive, for other distributions
    Tar,
}

const AFTER_HELP: &str = "\
The same sources give the same packages, byte for byte: their date is $SOURCE_DATE_EPOCH, else that of the last commit.
docs/packaging.md says what is in them, and how they live beside the package ipvsadm.";

impl Cli {
    /// Builds, and prints where the packages are.
    pub(crate) fn run(self) -> Result<()> {
        let workspace = build::workspace()?;
        let date = clock::date(&workspace)?;
        let built = build::release(&workspace, self.target.as_deref(), None)?;
        let package = Package { machine: built.machine, revision: self.revision.clone(), date };
        if let Some(directory) = &self.tree {
            contents::put(&package, Family::Debian, &built.programs, &workspace, &Tree::create(directory)?)?;
            println!("{}", directory.display());
            return Ok(());
        }
        let out = self.out.clone().unwrap_or_else(|| built.target_directory.join("debian"));
        let made = self.pack_all(&package, &built, &workspace, &out)?;
        if self.twice {
            self.compare(&package, &made, &workspace, &built.target_directory)?;
        }
        for path in made {
            println!("{}", path.display());
        }
        Ok(())
    }

    /// Builds again, where nothing is left of the first time.
    fn compare(&self, package: &Package, made: &[PathBuf], workspace: &Path, target_directory: &Path) -> Result<()> {
        let again = tempfile::Builder::new().prefix("again-").tempdir_in(target_directory);
        let again = again.context(|| format!("make a directory in {}", target_directory.display()))?;
        let built = build::release(workspace, self.target.as_deref(), Some(again.path()))?;
        let others = self.pack_all(package, &built, workspace, &again.path().join("packages"))?;
        for (first, second) in made.iter().zip(others) {
            let Some(length) = is_same(first, &second)? else {
                // To be looked at.
                let _ = again.keep();
                return Err(Error::Differ { first: first.to_owned(), second });
            };
            let name = first.file_name().unwrap_or_default().display();
            eprintln!("packaging: {name}: built twice, the same {length} bytes");
        }
        Ok(())
    }

    fn pack_all(&self, package: &Package, built: &Built, workspace: &Path, out: &Path) -> Result<Vec<PathBuf>> {
        fs::create_dir_all(out).context(|| format!("make {}", out.display()))?;
        let out = std::path::absolute(out).context(|| format!("find {}", out.display()))?;
        let formats = if self.format.is_empty() { &[Format::Deb] } else { self.format.as_slice() };
        formats.iter().map(|format| pack(*format, package, built, workspace, &out)).collect()
    }
}

/// How many bytes both files have, if they are the same ones.
fn is_same(first: &Path, second: &Path) -> Result<Option<usize>> {
    let read = |path: &Path| fs::read(path).context(|| format!("read {}", path.display()));
    let (first, second) = (read(first)?, read(second)?);
    Ok((first == second).then_some(first.len()))
}

fn pack(format: Format, package: &Package, built: &Built, workspace: &Path, out: &Path) -> Result<PathBuf> {
    let staging = tempfile::tempdir().context(|| "make a temporary directory".into())?;
    let lay_out = |family| {
        let tree = Tree::create(&staging.path().join("root"))?;
        contents::put(package, family, &built.programs, workspace, &tree)?;
        Ok(tree)
    };
    match format {
        Format::Deb => deb::build(package, &lay_out(Family::Debian)?, out),
        Format::Rpm => rpm::build(package, &lay_out(Family::RedHat)?, out),
        Format::Tar => tarball::build(package, &lay_out(Family::Other)?, out),
        Format::Image => image::build(package, &built.programs[0], out),
    }
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
