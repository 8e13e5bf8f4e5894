//! What pages and comments say of the code is there: files, functions
//! (`tests/lab/tests/code.rs:pages`), and the findings of the doctor. Comments are at most 100
//! columns wide.

use std::fs;
use std::path::{Path, PathBuf};

/// Paths begin with one of these.
const TOP: [&str; 9] =
    ["ipvs/", "ipvs-text/", "ipvs-cli/", "ipvs-follow/", "fwmark/", "packaging/", "tests/", "fuzz/", "docs/"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The pages in the root and in docs/.
fn pages() -> Vec<PathBuf> {
    let directories = ["", "docs", "docs/guides"];
    let files = directories.iter().flat_map(|directory| fs::read_dir(root().join(directory)).unwrap());
    let pages = files.map(|entry| entry.unwrap().path());
    pages.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

/// What stands between backticks and is a path of the repository, with the name behind its colon.
fn named(page: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let words = page.split('`').skip(1).step_by(2);
    let is_path = |word: &&str| TOP.iter().any(|top| word.starts_with(top)) && !word.contains([' ', '*', '<', '\n']);
    words.filter(is_path).map(|word| word.split_once(':').map_or((word, None), |(path, name)| (path, Some(name))))
}

/// Is there an item of this name?
fn defines(code: &str, name: &str) -> bool {
    let items = ["fn", "const", "static", "struct", "enum", "trait", "type"].map(|kind| format!("{kind} {name}"));
    let ends = |rest: &str| !rest.starts_with(|letter: char| letter.is_alphanumeric() || letter == '_');
    items.iter().any(|item| code.match_indices(item.as_str()).any(|(at, _)| ends(&code[at + item.len()..])))
}

#[test]
fn named_files_exist() {
    let (mut count, mut faults) = (0, Vec::new());
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for (path, name) in named(&text) {
            count += 1;
            let file = root().join(path);
            let is_there = match name {
                None => file.exists(),
                Some(name) => fs::read_to_string(&file).is_ok_and(|code| defines(&code, name)),
            };
            if !is_there {
                faults.push(format!("{}: {path} {}", page.display(), name.unwrap_or_default()));
            }
        }
    }
    assert!(count > 100, "only {count} names are found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// All Rust files and pages of the workspace.
fn sources(below: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !name.starts_with('.') && !["target", "corpus", "artifacts"].contains(&name) {
            sources(&path, found);
        } else if name.ends_with(".rs") || name.ends_with(".md") {
            found.push(path);
        }
    }
}

/// The Rust files and pages that a comment names between backticks.
fn named_by_comment(line: &str) -> impl Iterator<Item = &str> {
    let comment = line.split_once("//").map_or("", |(_, comment)| comment);
    let is_file = |word: &&str| {
        let is_path = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte));
        is_path && (word.ends_with(".rs") || word.ends_with(".md"))
    };
    comment.split('`').skip(1).step_by(2).filter(is_file)
}

#[test]
fn files_that_comments_name_are_there() {
    let (mut found, mut names) = (Vec::new(), 0);
    sources(&root(), &mut found);
    let known = |named: &str| found.iter().any(|path| path.ends_with(named));
    let mut faults = Vec::new();
    for path in found.iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs")) {
        for line in fs::read_to_string(path).unwrap().lines() {
            for named in named_by_comment(line) {
                names += 1;
                if !known(named) {
                    faults.push(format!("{}: {named}", path.display()));
                }
            }
        }
    }
    assert!(names > 20, "only {names} names are found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Types of a list of public items that programs may construct, or match, completely.
fn exhaustive_types(list: &str) -> Vec<&str> {
    let types = list.lines().filter_map(|line| {
        let path = line.strip_prefix("pub enum ").or_else(|| line.strip_prefix("pub struct "))?;
        let name = path.split(['(', '<']).next()?;
        let field = format!("pub {name}::");
        let is_field = |line: &str| line.strip_prefix(&field).is_some_and(|rest| rest.contains(": "));
        let has_public_field = || path.contains("(pub ") || list.lines().any(is_field);
        (line.starts_with("pub enum") || has_public_field()).then_some(name.trim_start_matches("ipvs::"))
    });
    types.collect()
}

#[test]
fn exhaustive_types_are_documented() {
    let list = fs::read_to_string(root().join("tests/lab/api/linux-ipvs.txt")).unwrap();
    let page = fs::read_to_string(root().join("docs/api-guidelines.md")).unwrap();
    let section = page.split("## Types without").nth(1).unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(" |").next());
    let mut documented: Vec<&str> = rows.flat_map(|row| row.split("`, `")).map(|name| name.trim_matches('`')).collect();
    let mut found = exhaustive_types(&list);
    documented.sort_unstable();
    found.sort_unstable();
    assert_eq!(documented, found);
}

/// Its lines without indentation.
fn flat(code: &str) -> String {
    code.lines().map(str::trim).collect::<Vec<_>>().join("\n")
}

#[test]
fn code_of_the_library_page_is_part_of_an_example() {
    let mut files = vec![root().join("ipvs/tests/examples.rs")];
    files.extend(fs::read_dir(root().join("ipvs/examples")).unwrap().map(|entry| entry.unwrap().path()));
    let examples: Vec<String> = files.iter().map(|file| flat(&fs::read_to_string(file).unwrap())).collect();
    let page = fs::read_to_string(root().join("docs/library.md")).unwrap();
    let blocks: Vec<&str> = page.split("```rust\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() > 5, "{blocks:?}");
    for block in blocks {
        assert!(examples.iter().any(|example| example.contains(&flat(block))), "no example has\n{block}");
    }
}

#[test]
fn comments_are_at_most_100_columns_wide() {
    let (mut found, mut faults) = (Vec::new(), Vec::new());
    sources(&root(), &mut found);
    for path in found.iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs")) {
        for (index, line) in fs::read_to_string(path).unwrap().lines().enumerate() {
            if line.trim_start().starts_with("//") && line.chars().count() > 100 {
                faults.push(format!("{}:{}", path.display(), index + 1));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn what_is_gone_is_noticed() {
    let page = "See `ipvs/src/lib.rs`, `tests/lab/tests/code.rs:defines` and `ls ipvs/src`.";
    let found: Vec<_> = named(page).collect();
    assert_eq!(found, [("ipvs/src/lib.rs", None), ("tests/lab/tests/code.rs", Some("defines"))]);
    let code = "pub(crate) const fn named(x: u8) {}\nstatic TABLE: [u8; 1] = [1];\nstruct Table<T>(T);";
    for name in ["named", "TABLE", "Table"] {
        assert!(defines(code, name), "{name}");
    }
    for name in ["name", "x", "Tab"] {
        assert!(!defines(code, name), "{name}");
    }
}

#[test]
fn findings_of_the_doctor_are_documented() {
    let page = fs::read_to_string(root().join("docs/doctor.md")).unwrap();
    let documented = |id: &str| page.contains(&format!("`{id}`"));
    let below = |path: &str| fs::read_to_string(root().join("ipvs-cli/src/subcommands").join(path)).unwrap();
    let judges = ["director.rs", "firewall.rs", "probed.rs", "real_server.rs", "silent.rs", "sync_daemons.rs"];
    let code = judges.map(|name| below(&format!("doctor/{name}"))).concat()
        + &["findings/marks.rs", "findings/remedies.rs"].map(below).concat();
    // Code in which a finding is made begins with its level.
    let made =
        code.split("Finding::").skip(1).filter(|code| code.starts_with("problem(\"") || code.starts_with("hint(\""));
    let made: Vec<&str> = made.filter_map(|code| code.split('"').nth(1)).collect();
    assert!(made.len() > 20, "{made:?}");
    for id in &made {
        assert!(documented(id), "docs/doctor.md does not have `{id}`");
    }
    for row in page.lines().filter(|line| line.starts_with("| `") && !line.starts_with("| `--")) {
        for id in row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2) {
            assert!(code.contains(&format!("\"{id}\"")), "docs/doctor.md has `{id}`, which the doctor does not find");
        }
    }
}
