//! cargo's part: the program itself.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::error::{Context, Error, Result};

/// A kind of machine, by the names that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Machine {
    rust: &'static str,
    pub(crate) debian: &'static str,
    pub(crate) rpm: &'static str,
    pub(crate) oci: &'static str,
}

const MACHINES: [Machine; 7] = [
    Machine { rust: "x86_64", debian: "amd64", rpm: "x86_64", oci: "amd64" },
    Machine { rust: "aarch64", debian: "arm64", rpm: "aarch64", oci: "arm64" },
    Machine { rust: "i686", debian: "i386", rpm: "i686", oci: "386" },
    Machine { rust: "armv7", debian: "armhf", rpm: "armv7hl", oci: "arm" },
    Machine { rust: "riscv64gc", debian: "riscv64", rpm: "riscv64", oci: "riscv64" },
    Machine { rust: "powerpc64le", debian: "ppc64el", rpm: "ppc64le", oci: "ppc64le" },
    Machine { rust: "s390x", debian: "s390x", rpm: "s390x", oci: "s390x" },
];

/// The programs, each of the package of its name.
pub(crate) const PROGRAMS: [&str; 2] = ["ipvs-cli", "ipvs-follow"];

/// Programs that were built.
#[derive(Debug)]
pub(crate) struct Built {
    /// The files, in the order of [`PROGRAMS`].
    pub(crate) programs: [PathBuf; PROGRAMS.len()],
    /// cargo's directory.
    pub(crate) target_directory: PathBuf,
    /// The machine that they run on.
    pub(crate) machine: Machine,
}

/// The checkout that this program was built in, or is run by cargo in.
pub(crate) fn workspace() -> Result<PathBuf> {
    let package = env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    let root = package.join("..");
    root.canonicalize().context(|| format!("find the workspace at {}", root.display()))
}

/// Builds the programs for a machine, this one unless another is named, in cargo's directory or
/// another.
pub(crate) fn release(workspace: &Path, target: Option<&str>, directory: Option<&Path>) -> Result<Built> {
    let target = match target {
        Some(target) => target.to_owned(),
        None => host(workspace)?,
    };
    let machine = machine(&target).ok_or_else(|| Error::Architecture(target.clone()))?;
    require_standard_library(workspace, &target)?;
    let [cli, follow] = PROGRAMS.map(|name| build(workspace, &target, directory, name));
    Ok(Built { programs: [cli?, follow?], target_directory: target_directory(workspace)?, machine })
}

/// One by itself, so that it has only what it needs of the crates that both have.
fn build(workspace: &Path, target: &str, directory: Option<&Path>, name: &str) -> Result<PathBuf> {
    let mut command = cargo(workspace);
    command.args(["build", "--release", "--package", name, "--target", target]);
    command.arg("--message-format=json-render-diagnostics");
    if let Some(directory) = directory {
        // All of it, even where cargo is configured to build in another directory.
        command.arg("--target-dir").arg(directory).env("CARGO_BUILD_BUILD_DIR", directory);
    }
    let messages = output(command, "cargo build")?;
    messages.lines().find_map(|message| program(message, name)).ok_or(Error::NoProgram)
}

fn cargo(workspace: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace);
    command
}

/// The machine that rustc builds for when nobody names one.
fn host(workspace: &Path) -> Result<String> {
    let mut command = Command::new("rustc");
    command.current_dir(workspace).arg("-vV");
    let said = output(command, "rustc -vV")?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or(Error::NoProgram)
}

fn machine(target: &str) -> Option<Machine> {
    let name = target.split('-').next()?;
    MACHINES.into_iter().find(|machine| machine.rust == name)
}

/// Without it rustc fails with pages of messages that don't say what to do.
fn require_standard_library(workspace: &Path, target: &str) -> Result<()> {
    let mut command = Command::new("rustc");
    command.current_dir(workspace).args(["--print", "target-libdir", "--target", target]);
    let directory = PathBuf::from(output(command, "rustc --print target-libdir")?.trim());
    if directory.is_dir() { Ok(()) } else { Err(Error::NoTarget(target.to_owned())) }
}

fn target_directory(workspace: &Path) -> Result<PathBuf> {
    let mut command = cargo(workspace);
    command.args(["metadata", "--no-deps", "--format-version=1"]);
    let metadata: Value = serde_json::from_str(&output(command, "cargo metadata")?).unwrap_or_default();
    Ok(metadata["target_directory"].as_str().map_or_else(|| workspace.join("target"), PathBuf::from))
}

/// What a program prints; its messages to people go to stderr.
fn output(mut command: Command, name: &str) -> Result<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context(|| format!("run {name}"))?;
    if !output.status.success() {
        return Err(Error::Command { command: name.to_owned(), status: output.status });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The path in a message of cargo's, if it is about this program.
fn program(message: &str, name: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    let is_meant = message["target"]["name"] == name;
    message["executable"].as_str().filter(|_| is_meant).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_picked_from_cargos_messages() {
        let library = r#"{"reason":"compiler-artifact","target":{"name":"ipvs_cli"},"executable":null}"#;
        let ipvs_cli = r#"{"reason":"compiler-artifact","target":{"name":"ipvs-cli"},"executable":"/t/ipvs-cli"}"#;
        let found = [library, ipvs_cli, "not json"].map(|message| program(message, "ipvs-cli"));
        assert_eq!(found, [None, Some("/t/ipvs-cli".into()), None]);
    }

    #[test]
    fn packages_have_names_of_their_own_for_machines() {
        assert_eq!(machine("x86_64-unknown-linux-musl").map(|machine| machine.debian), Some("amd64"));
        assert_eq!(machine("i686-unknown-linux-gnu").map(|machine| machine.debian), Some("i386"));
        assert_eq!(machine("wasm32-unknown-unknown"), None);
    }
}
