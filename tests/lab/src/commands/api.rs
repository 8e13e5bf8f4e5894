//! `cargo lab api`: lists the public items of the libraries, by cargo-public-api, and those without
//! an example.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use clap::Args;

use crate::{
    cargo_tool::CargoTool,
    commands::examples,
    error::{Context, Error, Result},
    packages,
    workspace::{LIBRARIES, Published, Workspace},
};

/// It reads the JSON of the rustdoc that the workspace declares.
pub(crate) const TOOL: CargoTool = CargoTool { name: "cargo-public-api", version: "0.52.0", options: &[] };

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Arguments of `cargo lab api`.
#[derive(Debug, Args)]
pub(crate) struct Api {
    /// Write the lists instead of comparing them
    #[arg(long)]
    write: bool,
}

impl Api {
    /// Prints what has changed since the lists were written, and which items lack an example; or
    /// writes the lists.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let workspace = Workspace::find()?;
        let program = TOOL.find()?.map_err(Error::NoTool)?;
        if self.write {
            for library in LIBRARIES {
                let path = workspace.root().join(list_of(library));
                let list = public_items(&program, &description(&workspace, library)?)?;
                fs::write(&path, list).context(|| format!("write {}", path.display()))?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        let changes = changes(&workspace, &program)?;
        changes.iter().for_each(|change| println!("{change}"));
        Ok(if changes.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// The lines in which the lists of the libraries differ from their code, and their items without
/// example.
pub(crate) fn changes(workspace: &Workspace, program: &Path) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for library in LIBRARIES {
        let path = workspace.root().join(list_of(library));
        let listed = fs::read_to_string(&path).context(|| format!("read {}", path.display()))?;
        let json = description(workspace, library)?;
        all.extend(difference(&listed, &public_items(program, &json)?));
        let json = fs::read(&json).context(|| format!("read {}", json.display()))?;
        all.extend(examples::missing(&json)?.into_iter().map(|item| format!("without an example: {item}")));
    }
    Ok(all)
}

/// The file with the list, in the workspace.
fn list_of(library: Published) -> String {
    format!("tests/lab/api/{}.txt", library.package)
}

/// What rustdoc knows of a library, as JSON.
fn description(workspace: &Workspace, library: Published) -> Result<PathBuf> {
    // Its own directory: what is compiled depends on the variable below.
    let target = workspace.root().join("target/public-api");
    let mut rustdoc = workspace.cargo();
    rustdoc.args(["rustdoc", "--quiet", "--lib", "--all-features", "--target", TARGET, "-p", library.package]);
    rustdoc.arg("--target-dir").arg(&target).args(["--", "-Z", "unstable-options", "--output-format", "json"]);
    // rustdoc has JSON for its nightly releases only; it describes the code, and compiles nothing.
    packages::run(rustdoc.env("RUSTC_BOOTSTRAP", "1"))?;
    Ok(target.join(TARGET).join("doc").join(library.directory).with_extension("json"))
}

/// The list, one item a line.
fn public_items(program: &Path, json: &Path) -> Result<String> {
    let mut list = Command::new(program);
    list.args(["public-api", "-sss", "--color=never", "--rustdoc-json"]).arg(json);
    packages::output(&mut list)
}

/// Lines that were removed, then lines that were added.
fn difference(before: &str, after: &str) -> Vec<String> {
    let [before, after]: [BTreeSet<&str>; 2] = [before, after].map(|text| text.lines().collect());
    let removed = before.difference(&after).map(|line| format!("- {line}"));
    removed.chain(after.difference(&before).map(|line| format!("+ {line}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn a_renamed_item_is_removed_and_added() {
        assert_eq!(difference("mod a\nfn a::b\n", "mod a\nfn a::c\n"), ["- fn a::b", "+ fn a::c"]);
        assert_eq!(difference("mod a\n", "mod a\n"), [""; 0]);
    }
}
