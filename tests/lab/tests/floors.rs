//! The floors of each crate: a module imports only from floors below its own, so that there is no
//! circle.
//!
//! What counts are paths that start with `crate::` or `super::` in the product's code. Tests,
//! comments and the root's re-exports don't.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The modules below one module of a crate.
struct Tree {
    source: &'static str,
    /// The module whose children these are, if it is not the crate's root.
    parent: Option<&'static str>,
    /// Files that may import everything: those of the parent itself.
    roots: &'static [&'static str],
    /// The lowest first. Modules on one floor don't import each other.
    floors: &'static [&'static [&'static str]],
}

const TREES: [Tree; 6] = [
    Tree {
        source: "ipvs/src",
        parent: None,
        roots: &["lib"],
        floors: &[
            // Values.
            &["errno", "invalid_value", "report"],
            &["stats", "timeouts", "info", "kernel", "name"],
            &["daemon", "service"],
            &["destination"],
            // What is done to a director, and why it is refused.
            &["cause", "command"],
            &["refusal"],
            &["table"],
            &["rules"],
            &["explain"],
            &["rule", "drain"],
            // This machine.
            &["getsockopt", "unshare"],
            &["netns", "sysctl", "sysfs"],
            &["proc", "serialize"],
            // The kernel's bytes, and those who exchange them.
            &["wire"],
            &["error"],
            &["sync"],
            &["exchange"],
            &["fake"],
            &["link"],
            &["sockopt"],
            &["session"],
            // What users call.
            &["change"],
            &["client"],
            &["monitor"],
            &["desired"],
            &["owners"],
            &["fuzzing"],
        ],
    },
    Tree {
        source: "fwmark/src",
        parent: None,
        roots: &["lib"],
        floors: &[
            // Values.
            &["number"],
            &["mark", "network", "ports", "protocol", "interface"],
            &["rule"],
            &["overlap", "group", "command_line"],
            &["parse"],
            // What other programs do.
            &["selector"],
            &["foreign"],
            &["check", "in_use"],
            // The firewall.
            &["failure"],
            &["nft"],
            &["iptables"],
            &["backend"],
        ],
    },
    Tree {
        source: "ipvs-text/src",
        parent: None,
        roots: &["lib"],
        floors: &[&["escape", "lines"], &["exposition", "ipvsadm"], &["render"]],
    },
    Tree {
        source: "ipvs-cli/src",
        parent: None,
        roots: &["lib", "main", "start", "program"],
        // docs/architecture.md says what each is for.
        floors: &[
            &["exit", "http"],
            &["io"],
            &["env", "arguments", "hint"],
            &["completions", "manual"],
            &["desired", "foreign"],
            &["state"],
            &["director"],
            &["session"],
            &["change"],
            &["dropin"],
            &["subcommands"],
        ],
    },
    Tree {
        source: "ipvs-follow/src",
        parent: None,
        roots: &["lib", "main"],
        floors: &[
            &["etcd", "exit", "figures", "messages", "pace", "service", "who"],
            &["args"],
            &["source"],
            &["fleet", "follower"],
            &["program"],
        ],
    },
    Tree {
        source: "ipvs-cli/src",
        parent: Some("subcommands"),
        roots: &["mod", "cli", "output", "tips"],
        floors: &[
            // What several subcommands share.
            &["args", "entries", "servers", "live", "findings"],
            &[
                "apply",
                "check",
                "completions",
                "conns",
                "convert",
                "diff",
                "doctor",
                "drain",
                "man",
                "mark",
                "metrics",
                "monitor",
                "owners",
                "report",
                "restore",
                "show",
                "sync",
                "top",
                "undrain",
                "watch",
                "weight",
            ],
        ],
    },
];

#[test]
fn modules_import_only_from_floors_below() {
    let mut faults = Vec::new();
    for tree in &TREES {
        let directory = root().join(tree.source).join(tree.parent.unwrap_or_default());
        let mut seen = BTreeSet::new();
        for file in sources(&directory) {
            let path = file.strip_prefix(&directory).unwrap();
            let module = path.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
            if tree.roots.contains(&&*module) || is_test(path) {
                continue;
            }
            let text = fs::read_to_string(&file).unwrap();
            let file = file.strip_prefix(root()).unwrap().display();
            let Some(own) = tree.floor(&module) else {
                faults.push(format!("{file}: the module `{module}` is on no floor in {}", file!()));
                continue;
            };
            for imported in imports(&text, &tree.segments(path)).iter().filter_map(|path| tree.child(path)) {
                if imported != module && tree.floor(&imported).is_none_or(|floor| floor >= own) {
                    faults.push(format!("{file}: imports `{imported}`, which is not on a floor below"));
                }
            }
            seen.insert(module);
        }
        let modules = tree.floors.iter().flat_map(|floor| floor.iter());
        faults.extend(modules.filter(|name| !seen.contains(**name)).map(|name| format!("there is no module `{name}`")));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

impl Tree {
    fn floor(&self, module: &str) -> Option<usize> {
        self.floors.iter().position(|floor| floor.contains(&module))
    }

    /// The path of a file's module, from the crate's root.
    fn segments(&self, file: &Path) -> Vec<String> {
        let own = file.with_extension("");
        let own = own.iter().map(|part| part.to_str().unwrap()).filter(|part| *part != "mod");
        self.parent.into_iter().chain(own).map(str::to_owned).collect()
    }

    /// The module of this tree that an imported path leads to.
    fn child(&self, path: &[String]) -> Option<String> {
        match (self.parent, path) {
            (None, [child, ..]) => Some(child.clone()),
            (Some(parent), [first, child, ..]) if first == parent => Some(child.clone()),
            _ => None,
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(sources(&path)),
            false => files.extend(path.extension().is_some_and(|extension| extension == "rs").then_some(path)),
        }
    }
    files
}

/// Files that only tests are compiled with.
fn is_test(path: &Path) -> bool {
    let name = path.file_stem().unwrap().to_str().unwrap();
    let of_tests = ["law", "laws", "strategies", "plan_exhaustive", "log"];
    name.ends_with("tests") || name.ends_with("_laws") || of_tests.contains(&name)
}

/// The paths that a file names, from the crate's root, outside of comments and of items for tests.
fn imports(text: &str, module: &[String]) -> BTreeSet<Vec<String>> {
    let mut paths = BTreeSet::new();
    let mut lines = text.lines();
    let mut module = module.to_vec();
    let mut inline: Vec<String> = Vec::new();
    while let Some(line) = lines.next() {
        let line = line.split("//").next().unwrap_or_default();
        if line.trim_start().starts_with("#[cfg(") && line.contains("test") {
            skip_item(&mut lines);
            continue;
        }
        if let Some((before, rest)) = line.split_once("mod ").filter(|_| line.ends_with('{')) {
            let indent = before.len() - before.trim_start().len();
            inline.push(format!("{}}}", &line[..indent]));
            module.push(rest.trim_end_matches(" {").to_owned());
        }
        if inline.last().is_some_and(|end| end == line) {
            inline.pop();
            module.pop();
        }
        let starts = line.match_indices("crate::").chain(line.match_indices("super::"));
        for (at, _) in
            starts.filter(|(at, _)| !line[..*at].ends_with(|c: char| c.is_alphanumeric() || "_:$".contains(c)))
        {
            let path =
                line[at..].split(|c: char| !c.is_alphanumeric() && !"_:{".contains(c)).next().unwrap_or_default();
            let mut absolute = module.clone();
            for segment in path.split("::") {
                match segment {
                    "crate" => absolute.clear(),
                    "super" => drop(absolute.pop()),
                    // A group of several modules is shown as a fault: each has a line of its own.
                    name => absolute.push(name.to_owned()),
                }
            }
            paths.insert(absolute);
        }
    }
    paths
}

/// Skips the item after an attribute: one line, or up to the brace that closes it at its
/// indentation.
fn skip_item<'t>(lines: &mut impl Iterator<Item = &'t str>) {
    let Some(first) = lines.find(|line| !line.trim_start().starts_with("#[")) else { return };
    if !first.ends_with([';', ',', '}']) {
        let indent = &first[..first.len() - first.trim_start().len()];
        let _ = lines.find(|line| line.strip_prefix(indent).is_some_and(|rest| rest.starts_with('}')));
    }
}

#[test]
fn paths_are_read_from_the_root_and_tests_are_left_out() {
    let text = "
use crate::table::Table; // crate::client
#[cfg(test)]
mod tests {
    use crate::fake::Fake;
}
#[cfg(test)]
use crate::log;
pub mod inline {
    use super::own;
}
fn f() -> super::super::error::Error {
    super::g::<$crate::T>()
}
use crate::{a, b};
";
    let module = ["change".to_owned(), "plan".to_owned()];
    let paths: Vec<String> = imports(text, &module).into_iter().map(|path| path.join("::")).collect();
    assert_eq!(paths, ["change::g::", "change::plan::own", "error::Error", "table::Table", "{a"]);
}
