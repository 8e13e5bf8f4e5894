//! The package file itself, which Debian's own `dpkg-deb` makes.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    control::Package,
    error::{Context, Error, Result},
    tree::Tree,
};

/// Packs a tree with its control files. Gives the package's path.
pub(crate) fn build(package: &Package, tree: &Tree, out: &Path) -> Result<PathBuf> {
    fs::create_dir_all(out).context(|| format!("make {}", out.display()))?;
    let out = env::current_dir().context(|| "find the current directory".into())?.join(out);
    let path = out.join(package.file_name());
    let mut command = Command::new("dpkg-deb");
    // It sorts what it packs, and cuts times that are later than the package's off to that.
    command.args(["--build", "--root-owner-group", "-Zxz", "-z9", "--threads-max=1"]).arg(tree.root()).arg(&path);
    command.env("SOURCE_DATE_EPOCH", package.date.seconds().to_string());
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    let status = match status {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let purpose = "packs the files; `--tree` only lays them out, and does without";
            return Err(Error::MissingProgram { program: "dpkg-deb", purpose, package: "dpkg" });
        }
        status => status.context(|| "run dpkg-deb".into())?,
    };
    if !status.success() {
        return Err(Error::Command { command: "dpkg-deb --build".into(), status });
    }
    Ok(path)
}
