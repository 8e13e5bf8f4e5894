//! docs/security.md names the test of each sentence that can be tested. They are there, and the
//! blocks of `unsafe` are counted.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The text of all Rust files below these directories.
fn sources(directories: &[&str]) -> String {
    fn below(path: &Path, text: &mut String) {
        for entry in fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                below(&entry, text);
            } else if entry.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&fs::read_to_string(entry).unwrap());
            }
        }
    }
    let mut text = String::new();
    directories.iter().for_each(|directory| below(&root().join(directory), &mut text));
    text
}

/// What stands between backticks and looks like the name of a test or of a fuzz target: words with
/// underscores, nothing else.
fn names(page: &str) -> Vec<&str> {
    let is_name = |word: &&str| {
        word.contains('_')
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    page.split('`').skip(1).step_by(2).filter(is_name).collect()
}

#[test]
fn each_test_that_the_page_names_is_there() {
    let page = fs::read_to_string(root().join("docs/security.md")).unwrap();
    let tests = sources(&["ipvs", "ipvs-text", "ipvs-cli", "ipvs-follow", "fwmark", "tests/kernel"]);
    let names = names(&page);
    assert!(names.len() > 40, "{names:?}");
    // What the page calls by its own name.
    let others = ["nf_tables", "sch_ingress", "cls_bpf", "ip_vs"];
    for name in names.into_iter().filter(|name| !others.contains(name)) {
        let is_target = root().join(format!("fuzz/fuzz_targets/{name}.rs")).is_file();
        let is_lint = name == "unsafe_code";
        assert!(is_target || is_lint || tests.contains(&format!("fn {name}()")), "docs/security.md names {name}");
    }
}

#[test]
fn unsafe_blocks_are_as_many_as_the_page_says() {
    const NUMBERS: [&str; 12] =
        ["No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten", "Eleven"];
    let shipped = sources(&["ipvs/src", "ipvs-text/src", "ipvs-cli/src", "ipvs-follow/src", "fwmark/src"]);
    let blocks =
        shipped.lines().filter(|line| line.contains("unsafe {") && !line.trim_start().starts_with("//")).count();
    let page = fs::read_to_string(root().join("docs/security.md")).unwrap();
    let said = format!("{} blocks in all that is shipped", NUMBERS[blocks]);
    assert!(page.contains(&said), "there are {blocks} blocks");
}
