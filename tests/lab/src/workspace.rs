//! The workspace the lab belongs to, and cargo's work in it.

use std::{
    env,
    ffi::{OsStr, OsString},
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::Deserialize;

use crate::{
    error::{Context, Error, Result},
    packages,
};

/// A package that is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Published {
    /// Its name on the registry.
    pub(crate) package: &'static str,
    /// Its directory in the workspace.
    pub(crate) directory: &'static str,
}

/// The published libraries, each after those that it depends on.
pub(crate) const LIBRARIES: [Published; 2] =
    [Published { package: "linux-ipvs", directory: "ipvs" }, Published { package: "fwmark", directory: "fwmark" }];

/// The published packages, each after those that it depends on.
pub(crate) const PUBLISHED: [Published; 5] = [
    LIBRARIES[0],
    LIBRARIES[1],
    Published { package: "ipvs-text", directory: "ipvs-text" },
    Published { package: "ipvs-cli", directory: "ipvs-cli" },
    Published { package: "ipvs-follow", directory: "ipvs-follow" },
];

/// The checkout.
#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    root: PathBuf,
    /// Environment variables for cargo, beyond those of this program.
    settings: Vec<(&'static str, OsString)>,
}

/// A test binary that cargo has built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TestBinary {
    /// The test target's name.
    pub(crate) name: String,
    /// The program.
    pub(crate) path: PathBuf,
    /// The directory of its package, in which tests run.
    pub(crate) package: PathBuf,
}

/// The parts we use of the messages that cargo writes, one a line.
#[derive(Debug, Deserialize)]
struct Message {
    reason: String,
    executable: Option<PathBuf>,
    target: Option<Target>,
    manifest_path: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    manifest_path: PathBuf,
}

impl Workspace {
    /// The workspace this program was built in, or is run by cargo in.
    pub(crate) fn find() -> Result<Self> {
        let package =
            env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        let root = package.join("../..");
        let root = root.canonicalize().context(|| format!("find the workspace at {}", root.display()))?;
        Ok(Self { root, settings: Vec::new() })
    }

    /// The same with a variable that cargo looks at, such as `RUSTFLAGS`.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.settings.push((name, value.into()));
        self
    }

    /// Its directory.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// cargo, in the workspace.
    pub(crate) fn cargo(&self) -> Command {
        self.command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
    }

    /// A program that is cargo or runs it, in the workspace.
    ///
    /// As from a shell, without what the cargo that runs the lab says of it: build scripts that
    /// look at that would run again, now for this cargo and then for that one, and all that depends
    /// on them would be compiled each time.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        let of_a_package = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(of_a_package)) {
            command.env_remove(name);
        }
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    /// The manifests of its members.
    pub(crate) fn manifests(&self) -> Result<Vec<PathBuf>> {
        let mut command = self.cargo();
        let text = packages::output(command.args(["metadata", "--format-version", "1", "--no-deps"]))?;
        let metadata: Metadata =
            serde_json::from_str(&text).map_err(|source| Error::Json { what: "cargo's metadata", source })?;
        Ok(metadata.packages.into_iter().map(|package| package.manifest_path).collect())
    }

    /// Builds the release binary of ipvs-cli.
    pub(crate) fn build_ipvs_cli(&self) -> Result<PathBuf> {
        let built = self.build(&["build", "--release", "-p", "ipvs-cli"])?;
        let found = built.into_iter().find(|binary| binary.name == "ipvs-cli");
        found.map(|binary| binary.path).ok_or_else(|| Error::Missing("ipvs-cli".into()))
    }

    /// Builds the release binary of ipvs-follow: by itself, so that ipvs-cli has the same features
    /// of its crates as without it.
    pub(crate) fn build_ipvs_follow(&self) -> Result<PathBuf> {
        let built = self.build(&["build", "--release", "-p", "ipvs-follow"])?;
        let found = built.into_iter().find(|binary| binary.name == "ipvs-follow");
        found.map(|binary| binary.path).ok_or_else(|| Error::Missing("ipvs-follow".into()))
    }

    /// Builds the tests that need a kernel.
    pub(crate) fn build_kernel_tests(&self) -> Result<Vec<TestBinary>> {
        self.build(&["test", "--no-run", "-p", "kernel-tests"])
    }

    /// Builds something else. Gives the programs it made.
    pub(crate) fn build(&self, arguments: &[&str]) -> Result<Vec<TestBinary>> {
        let mut command = self.cargo();
        command.args(arguments);
        build_by(command)
    }
}

/// Runs a cargo command that builds; its messages to people go to stderr. Gives the programs it
/// made.
pub(crate) fn build_by(mut command: Command) -> Result<Vec<TestBinary>> {
    command.arg("--message-format=json-render-diagnostics");
    if !io::stderr().is_terminal() {
        command.arg("--quiet"); // who runs a script wants its own words on stderr, and no others
    }
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context(|| "run cargo".into())?;
    if !output.status.success() {
        let words = command.get_args().map(|word| word.to_string_lossy());
        let command = format!("cargo {}", Vec::from_iter(words).join(" "));
        return Err(Error::Command { command, status: output.status, output: String::new() });
    }
    programs(&String::from_utf8_lossy(&output.stdout))
}

fn programs(messages: &str) -> Result<Vec<TestBinary>> {
    let mut programs = Vec::new();
    for line in messages.lines().filter(|line| line.starts_with('{')) {
        let message: Message =
            serde_json::from_str(line).map_err(|source| Error::Json { what: "cargo's messages", source })?;
        if message.reason != "compiler-artifact" {
            continue;
        }
        if let (Some(path), Some(target), Some(manifest)) = (message.executable, message.target, message.manifest_path)
        {
            let package = manifest.parent().unwrap_or(Path::new("/")).to_owned();
            programs.push(TestBinary { name: target.name, path, package });
        }
    }
    Ok(programs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_picked_from_cargos_messages() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","manifest_path":"/w/ipvs/Cargo.toml","target":{"name":"ipvs"},"executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","manifest_path":"/w/tests/kernel/Cargo.toml","target":{"name":"compat"},"executable":"/t/compat-1"}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        let expected =
            TestBinary { name: "compat".into(), path: "/t/compat-1".into(), package: "/w/tests/kernel".into() };
        assert_eq!(programs(messages).unwrap(), [expected]);
    }
}
