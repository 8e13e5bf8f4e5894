//! The floors of each crate: a module imports only from the modules below it, so that there is no circle.
//!
//! What counts are `crate::…` paths of the product's code. Tests, comments and the root's re-exports don't.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The modules in the root of a crate, each above those that it imports.
struct Crate {
    source: &'static str,
    modules: &'static [&'static str],
}

const CRATES: [Crate; 1] = [Crate {
    source: "ipvs/src",
    modules: &[
        // Values.
        "errno",
        "invalid_value",
        "stats",
        "timeouts",
        "info",
        "kernel",
        "name",
        "daemon",
        "service",
        "destination",
        // What is done to a director, and why it is refused.
        "cause",
        "command",
        "refusal",
        "table",
        "rules",
        "explain",
        "rule",
        "drain",
        // This machine.
        "getsockopt",
        "unshare",
        "netns",
        "sysctl",
        "proc",
        "serialize",
        // The kernel's bytes, and those who exchange them.
        "wire",
        "error",
        "exchange",
        "fake",
        "link",
        "sockopt",
        "session",
        // What users call.
        "change",
        "client",
        "desired",
        "owners",
        "fuzzing",
    ],
}];

#[test]
fn modules_import_only_what_is_below_them() {
    for Crate { source, modules } in CRATES {
        let floor = |module: &str| modules.iter().position(|known| *known == module);
        let mut faults = Vec::new();
        let mut seen = BTreeSet::new();
        for file in sources(&root().join(source)) {
            let path = file.strip_prefix(root().join(source)).unwrap();
            let module = path.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
            if ["lib", "main"].contains(&&*module) || is_test(path) {
                continue;
            }
            let Some(own) = floor(&module) else {
                faults.push(format!("{source}/{}: the module `{module}` has no floor in {}", path.display(), file!()));
                continue;
            };
            for imported in imports(&fs::read_to_string(&file).unwrap()) {
                if imported != module && floor(&imported).is_none_or(|floor| floor > own) {
                    faults.push(format!(
                        "{source}/{}: imports `crate::{imported}`, which is not below it",
                        path.display()
                    ));
                }
            }
            seen.insert(module);
        }
        for gone in modules.iter().filter(|module| !seen.contains(**module)) {
            faults.push(format!("{source}: there is no module `{gone}`"));
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
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
    let of_tests = ["law", "laws", "strategies", "plan_exhaustive", "faulty", "log"];
    name.ends_with("tests") || name.ends_with("_laws") || of_tests.contains(&name)
}

/// The modules of the crate that a file names, outside of comments and of what only tests are compiled with.
fn imports(text: &str) -> BTreeSet<String> {
    let mut modules = BTreeSet::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let line = line.split("//").next().unwrap_or_default();
        if line.trim_start().starts_with("#[cfg(test)]") {
            skip_item(&mut lines);
            continue;
        }
        for (at, _) in line.match_indices("crate::") {
            let is_own = !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':' || c == '$');
            let rest = &line[at + "crate::".len()..];
            // A group of several modules is shown as a fault: each has a line of its own.
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if is_own && rest.starts_with('{') {
                modules.insert("{…}".to_owned());
            } else if is_own && !name.is_empty() {
                modules.insert(name);
            }
        }
    }
    modules
}

/// Passes over the item behind an attribute: up to its `;`, or to the brace that closes it.
fn skip_item<'t>(lines: &mut impl Iterator<Item = &'t str>) {
    let mut depth = 0;
    for line in lines {
        let line = line.split("//").next().unwrap_or_default();
        depth += line.matches('{').count();
        depth -= line.matches('}').count().min(depth);
        let is_attribute = line.trim_start().starts_with("#[");
        if depth == 0 && !is_attribute && line.trim_end().ends_with([';', '}', ',']) {
            return;
        }
    }
}

#[test]
fn what_only_tests_see_is_no_import() {
    let text = "use crate::table::Table; // crate::client\n#[cfg(test)]\nmod tests {\n    use crate::fake::Fake;\n}\n\
        #[cfg(test)]\nuse crate::log;\nfn f() -> crate::error::Error {}\n";
    assert_eq!(imports(text).into_iter().collect::<Vec<_>>(), ["error", "table"]);
}
