//! The floors of the program: a module imports only from floors below its own. docs/architecture.md says what each is for.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The top-level modules, the lowest first. Those on one floor do not import each other.
const FLOORS: [&[&str]; 12] = [
    &["escape", "exit"],
    &["io"],
    &["env", "arguments"],
    &["ipvsadm"],
    &["render"],
    &["desired"],
    &["state"],
    &["director"],
    &["session"],
    &["change"],
    &["dropin"],
    &["subcommands"],
];

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// The words that follow `prefix` in code, comments left out.
fn named<'t>(text: &'t str, prefix: &'t str) -> impl Iterator<Item = &'t str> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let rests = code.flat_map(move |line| line.match_indices(prefix).map(move |(at, _)| &line[at + prefix.len()..]));
    rests.map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default())
}

/// Each source file below `src`, by its path there, with its text.
fn modules() -> Vec<(String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let module = |path: PathBuf| {
        let name = path.strip_prefix(&src).unwrap().with_extension("").to_str().unwrap().to_owned();
        (name, fs::read_to_string(path).unwrap())
    };
    sources(&src).into_iter().map(module).collect()
}

#[test]
fn no_module_imports_from_its_own_floor_or_a_higher_one() {
    let mut wrong = BTreeSet::new();
    let modules = modules();
    for (path, text) in &modules {
        let own = path.split('/').next().unwrap();
        // The roots, which may use everything.
        if ["lib", "main", "start", "program"].contains(&own) {
            continue;
        }
        let Some(of) = floor(own) else { panic!("{path} is on no floor: add it to FLOORS") };
        for target in named(text, "crate::").filter(|target| *target != own) {
            if floor(target).is_none_or(|floor| floor >= of) {
                wrong.insert(format!("{path} imports {target}"));
            }
        }
    }
    assert_eq!(wrong, BTreeSet::new());
    for module in FLOORS.iter().flat_map(|floor| floor.iter()) {
        assert!(modules.iter().any(|(path, _)| path.split('/').next() == Some(module)), "there is no {module}");
    }
}

#[test]
fn no_subcommand_imports_another() {
    /// What several need.
    const SHARED: [&str; 3] = ["findings", "live", "servers"];
    let mut wrong = BTreeSet::new();
    for (path, text) in modules() {
        let Some((own, _)) = path.strip_prefix("subcommands/").and_then(|path| path.split_once('/')) else { continue };
        for target in named(&text, "crate::subcommands::").filter(|target| *target != own) {
            if !SHARED.contains(&target) && !target.is_empty() {
                wrong.insert(format!("{path} imports {target}"));
            }
        }
    }
    assert_eq!(wrong, BTreeSet::new());
}
