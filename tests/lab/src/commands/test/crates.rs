//! What users of a published crate get: its own files and nothing beside them, with the
//! dependencies of its lock file, or with dependencies as old as it says will do.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{
    error::{Context, Error, Result},
    packages,
    workspace::{LIBRARIES, PUBLISHED, Workspace},
};

/// The version of all crates.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// On crates.io, another project's package. A dependency on the library without
/// `package = "linux-ipvs"` gets it.
const FOREIGN: &str = "ipvs";

/// Packs the crates. They are compiled when they are unpacked: cargo itself would compile ipvs-cli
/// with the last run's linux-ipvs, since all files of a package have one time of change.
pub(super) fn package(workspace: &Workspace) -> Command {
    let mut command = workspace.cargo();
    command.args(["package", "--quiet", "--allow-dirty", "--no-verify", "--target-dir"]).arg(target(workspace));
    command.args(PUBLISHED.iter().flat_map(|published| ["-p", published.package]));
    command
}

fn target(workspace: &Workspace) -> PathBuf {
    workspace.root().join("target")
}

/// The directories in the packages.
fn members() -> [String; PUBLISHED.len()] {
    PUBLISHED.map(|published| format!("{}-{VERSION}", published.package))
}

fn has_package(lock: &str, name: &str) -> bool {
    let name = format!("name = \"{name}\"");
    lock.lines().any(|line| line == name)
}

/// The packed crates, unpacked into a workspace of their own.
pub(super) struct Crates {
    directory: TempDir,
}

impl Crates {
    /// Unpacks them. The workspace starts with the versions of this project's lock file.
    pub(super) fn unpack(workspace: &Workspace) -> Result<Self> {
        // Outside of this project, whose settings for cargo are not those of the packages' users.
        let directory = tempfile::tempdir().context(|| "make a directory".into())?;
        let members = members();
        for name in &members {
            let archive = target(workspace).join("package").join(format!("{name}.crate"));
            // With the time of now: all files of a package have one time, by which cargo would take
            // what it compiled from the last run's package for this one's.
            packages::run(Command::new("tar").arg("-xzmf").arg(&archive).arg("-C").arg(directory.path()))?;
        }
        let manifest = directory.path().join("Cargo.toml");
        fs::write(&manifest, manifest_of(&members)).context(|| format!("write {}", manifest.display()))?;
        let lock = directory.path().join("Cargo.lock");
        fs::copy(workspace.root().join("Cargo.lock"), &lock).context(|| format!("write {}", lock.display()))?;
        Ok(Self { directory })
    }

    /// An error if the lock file of a package has another project's package.
    pub(super) fn check_lock_files(&self) -> Result<()> {
        for name in members() {
            let path = self.directory.path().join(name).join("Cargo.lock");
            let lock = fs::read_to_string(&path).context(|| format!("read {}", path.display()))?;
            if has_package(&lock, FOREIGN) {
                return Err(Error::ForeignPackage { package: FOREIGN, lock: path });
            }
        }
        Ok(())
    }

    /// Compiles one of them, with its default features only.
    pub(super) fn check_alone(&self, workspace: &Workspace, package: &str) -> Command {
        let mut command = self.cargo(workspace);
        command.args(["check", "--quiet", "-p", package]);
        command
    }

    /// Picks the oldest dependencies.
    pub(super) fn take_oldest_dependencies(&self, workspace: &Workspace) -> Result<()> {
        // cargo has this for its nightly releases only; it picks versions, and changes nothing in
        // how they are compiled.
        let mut update = self.cargo(workspace);
        update.args(["update", "--quiet", "-Z", "direct-minimal-versions"]).env("RUSTC_BOOTSTRAP", "1");
        packages::run(&mut update)
    }

    /// Compiles them.
    pub(super) fn check(&self, workspace: &Workspace) -> Command {
        let mut command = self.cargo(workspace);
        command.args(["check", "--quiet", "--locked"]);
        command
    }

    /// Tests the libraries with the Rust in this directory.
    pub(super) fn test_libraries(&self, workspace: &Workspace, rust: &Path) -> Command {
        let mut path = rust.join("lab-bin").into_os_string();
        path.push(":");
        path.push(env::var_os("PATH").unwrap_or_default());
        let mut command = workspace.command(rust.join("lab-bin/cargo"));
        command.current_dir(self.directory.path()).args(["test", "--quiet", "--locked", "--all-features"]);
        command.args(LIBRARIES.iter().flat_map(|published| ["-p", published.package]));
        command.env("PATH", path).env("CARGO_TARGET_DIR", target(workspace).join("old-rust"));
        for name in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN"] {
            command.env_remove(name);
        }
        command
    }

    /// cargo in their workspace. It keeps the dependencies that it compiled; the packages are
    /// compiled anew each time.
    fn cargo(&self, workspace: &Workspace) -> Command {
        let mut command = workspace.cargo();
        command.current_dir(self.directory.path()).env("CARGO_INCREMENTAL", "0");
        command.env("CARGO_TARGET_DIR", target(workspace).join("packages"));
        command
    }
}

/// A workspace in which they find each other.
fn manifest_of(members: &[String]) -> String {
    let patches = members.iter().filter_map(|member| {
        let (name, _version) = member.rsplit_once('-')?;
        Some(format!("{name} = {{ path = {member:?} }}\n"))
    });
    format!("[workspace]\nresolver = \"3\"\nmembers = {members:?}\n\n[patch.crates-io]\n{}", String::from_iter(patches))
}

#[cfg(test)]
mod tests {
    use super::{FOREIGN, has_package, manifest_of};

    #[test]
    fn crates_find_each_other_by_name() {
        let manifest = manifest_of(&["linux-ipvs-0.1.0".into(), "ipvs-cli-0.1.0".into()]);
        assert!(manifest.contains("members = [\"linux-ipvs-0.1.0\", \"ipvs-cli-0.1.0\"]"), "{manifest}");
        assert!(manifest.contains("\nipvs-cli = { path = \"ipvs-cli-0.1.0\" }\n"), "{manifest}");
    }

    #[test]
    fn another_projects_package_is_found_by_its_whole_name() {
        let lock = |name: &str| format!("[[package]]\nname = \"{name}\"\nversion = \"0.1.1\"\n");
        assert!(has_package(&(lock("indexmap") + &lock("ipvs")), FOREIGN));
        assert!(!has_package(&(lock("ipvs-cli") + &lock("linux-ipvs")), FOREIGN));
    }
}
