//! What users of a published crate get: its own files and nothing beside them, with dependencies as old as it says will do.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{
    error::{Context, Result},
    packages,
    workspace::{PUBLISHED, Workspace},
};

/// The crates as they would be uploaded, unpacked into a workspace of their own.
pub(super) struct Crates {
    directory: TempDir,
}

impl Crates {
    /// Packs and unpacks them, and picks the oldest dependencies.
    pub(super) fn unpack(workspace: &Workspace) -> Result<Self> {
        let directory = tempfile::tempdir().context(|| "make a directory".into())?;
        let mut package = workspace.cargo();
        package.args(["package", "--quiet", "--no-verify", "--allow-dirty", "--target-dir"]).arg(directory.path());
        package.args(PUBLISHED.iter().flat_map(|published| ["-p", published.package]));
        packages::run(&mut package)?;
        let mut members = Vec::new();
        for archive in archives(&directory.path().join("package"))? {
            packages::run(Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(directory.path()))?;
            members.push(archive.file_stem().unwrap_or_default().to_string_lossy().into_owned());
        }
        let manifest = directory.path().join("Cargo.toml");
        fs::write(&manifest, manifest_of(&members)).context(|| format!("write {}", manifest.display()))?;
        let crates = Self { directory };
        let mut update = crates.cargo(workspace);
        // cargo has this for its nightly releases only; it picks versions, and changes nothing in how they are compiled.
        update.args(["update", "--quiet", "-Z", "direct-minimal-versions"]).env("RUSTC_BOOTSTRAP", "1");
        packages::run(&mut update)?;
        Ok(crates)
    }

    /// Compiles them.
    pub(super) fn check(&self, workspace: &Workspace) -> Command {
        let mut command = self.cargo(workspace);
        command.args(["check", "--quiet", "--locked"]);
        command
    }

    /// cargo, outside of the workspace, but with its place for what is compiled.
    fn cargo(&self, workspace: &Workspace) -> Command {
        let mut command = workspace.cargo();
        command.current_dir(self.directory.path());
        command.env_remove("CARGO_TARGET_DIR").arg("--config");
        command.arg(format!("build.target-dir={:?}", self.directory.path().join("target")));
        command
    }
}

fn archives(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).context(|| format!("read {}", directory.display()))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    Ok(paths.filter(|path| path.extension().is_some_and(|kind| kind == "crate")).collect())
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
    use super::manifest_of;

    #[test]
    fn crates_find_each_other_by_name() {
        let manifest = manifest_of(&["ipvs-0.1.0".into(), "ipvs-cli-0.1.0".into()]);
        assert!(manifest.contains("members = [\"ipvs-0.1.0\", \"ipvs-cli-0.1.0\"]"), "{manifest}");
        assert!(manifest.contains("\nipvs-cli = { path = \"ipvs-cli-0.1.0\" }\n"), "{manifest}");
    }
}
