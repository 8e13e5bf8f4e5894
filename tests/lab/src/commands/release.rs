//! `cargo lab release`: all that a release consists of, in one directory with its checksums.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
};

use clap::Args;
use ring::digest::{SHA256, digest};

use crate::{
    commands::sbom,
    error::{Context, Error, Result},
    packages, signals,
    workspace::Workspace,
};

const FORMATS: [&str; 4] = ["deb", "rpm", "image", "tar"];

/// Arguments of `cargo lab release`.
#[derive(Debug, Args)]
#[command(after_help = "\
Everything is built twice, and the packages are compared. Their date is $SOURCE_DATE_EPOCH, else that of the last commit.
docs/packaging.md says what is in them.")]
pub(crate) struct Release {
    /// For this kind of machine; may be repeated [default: this one]
    #[arg(long, value_name = "TRIPLE")]
    target: Vec<String>,
    /// Where all of it is put
    #[arg(long, value_name = "DIR", default_value = "target/packages")]
    out: PathBuf,
}

impl Release {
    /// Makes the packages, the bills of materials and the checksums, and prints their paths.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let workspace = Workspace::find()?;
        let out = workspace.root().join(&self.out);
        // What an earlier version left does not belong to this one.
        let _ = fs::remove_dir_all(&out);
        fs::create_dir_all(&out).context(|| format!("make {}", out.display()))?;
        let targets = if self.target.is_empty() { vec![None] } else { self.target.iter().map(Some).collect() };
        for target in targets {
            signals::check()?;
            let mut command = workspace.cargo();
            command.args(["run", "--quiet", "--package", "packaging", "--", "--twice", "--out"]).arg(&out);
            command.args(FORMATS.iter().flat_map(|format| ["--format", format]));
            command.args(target.into_iter().flat_map(|target| ["--target", target]));
            let status = command.stdout(Stdio::null()).status().context(|| "run cargo".into())?;
            if !status.success() {
                return Err(Error::Command { command: format!("{command:?}"), status, output: String::new() });
            }
        }
        for bill in sbom::write(&workspace)? {
            let copy = out.join(bill.file_name().unwrap_or_default());
            fs::copy(&bill, &copy).context(|| format!("copy {}", bill.display()))?;
        }
        let sums = checksums(&out)?;
        let path = out.join("SHA256SUMS");
        fs::write(&path, &sums).context(|| format!("write {}", path.display()))?;
        print!("{sums}");
        println!("{}", path.display());
        Ok(ExitCode::SUCCESS)
    }
}

/// A line for each file, as `sha256sum --check` reads it.
fn checksums(directory: &Path) -> Result<String> {
    let entries = fs::read_dir(directory).context(|| format!("read {}", directory.display()))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let mut sums = String::new();
    for path in paths {
        let content = fs::read(&path).context(|| format!("read {}", path.display()))?;
        let name = path.file_name().unwrap_or_default().display();
        sums += &format!("{}  {name}\n", packages::hex(digest(&SHA256, &content).as_ref()));
    }
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_sha256sum() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("b"), "abc").unwrap();
        fs::write(directory.path().join("a"), "").unwrap();
        assert_eq!(
            checksums(directory.path()).unwrap(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a\n\
             ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  b\n"
        );
    }
}
