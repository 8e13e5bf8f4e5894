//! Programs for checks and releases that are published as crates.

use std::{fs, path::PathBuf, process::Command};

use crate::{
    cache::Cache,
    error::{Context, Result},
    packages,
};

/// One of them.
#[derive(Debug)]
pub(crate) struct CargoTool {
    /// The name of the crate and of its program.
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// Further arguments of `cargo install`.
    pub(crate) options: &'static [&'static str],
}

/// It, or why it can't be had.
pub(crate) type Found = std::result::Result<PathBuf, String>;

impl CargoTool {
    /// From PATH or from the lab's cache; compiled into the cache when there is none.
    pub(crate) fn find(&self) -> Result<Found> {
        if packages::is_program(self.name) {
            return Ok(Ok(self.name.into()));
        }
        let cache = Cache::open()?;
        let root = cache.dir().join("cargo-tools");
        let program = root.join("bin").join(self.name);
        // cargo's own list of what it has installed there.
        let installed = fs::read_to_string(root.join(".crates.toml")).unwrap_or_default();
        if program.exists() && installed.contains(&format!("\"{} {} ", self.name, self.version)) {
            return Ok(Ok(program));
        }
        eprintln!("lab: compiling {} into {}, once (some minutes) …", self.name, root.display());
        let mut command = Command::new("cargo");
        command.args(["install", "--locked", "--quiet", "--version", self.version, self.name, "--root"]).arg(&root);
        // Not in the workspace: its linker flags are for its own programs.
        let output = command.args(self.options).current_dir(cache.dir()).output().context(|| "run cargo".into())?;
        if output.status.success() {
            return Ok(Ok(program));
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let reason = said.lines().find(|line| line.starts_with("error")).unwrap_or("cargo install failed");
        Ok(Err(format!("{} {} can't be had: {reason}", self.name, self.version)))
    }
}
