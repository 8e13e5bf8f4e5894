//! Both clients have the same methods.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Methods of `AsyncClient` that are methods of another type where the client blocks:
/// `Change::apply` and `apply_with`.
const OF_A_CHANGE: [&str; 2] = ["apply", "apply_with"];

/// The names of the public functions in all `impl` blocks of a type, in the source under this
/// directory.
fn methods(directory: &Path, of: &str, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            methods(&path, of, found);
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let mut is_inside = false;
        for line in text.lines() {
            if line.starts_with("impl") {
                is_inside = line == format!("impl {of} {{");
            } else if line == "}" {
                is_inside = false;
            }
            let line = line.trim_start();
            let name = ["pub fn ", "pub async fn "].iter().find_map(|start| line.strip_prefix(start));
            if let Some(name) = name.filter(|_| is_inside) {
                let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap();
                found.insert(name[..end].to_owned());
            }
        }
    }
}

fn methods_of(name: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    methods(Path::new("src"), name, &mut found);
    found
}

#[test]
fn both_pipelines_have_the_same_methods() {
    let blocking = methods_of("Pipeline<'_>");
    assert!(blocking.contains("push"), "{blocking:?}");
    assert_eq!(blocking, methods_of("AsyncPipeline<'_>"));
}

#[test]
fn both_clients_have_the_same_methods() {
    let (blocking, mut asynchronous) = (methods_of("Client"), methods_of("AsyncClient"));
    assert!(blocking.contains("table") && blocking.contains("reconcile"), "{blocking:?}");
    for name in OF_A_CHANGE {
        assert!(asynchronous.remove(name), "{name}");
    }
    assert_eq!(blocking, asynchronous);
}
