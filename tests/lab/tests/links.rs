//! The links of all pages lead somewhere, as GitHub reads them. In the book, which mdbook makes of
//! docs/, `cargo lab test` follows them, too.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

/// Sites that pages link to. Open an address before you add its site: this test can't.
const SITES: [&str; 6] = ["docs.rs/tokio", "example.com", "mutants.rs", "no-color.org", "prometheus.io", "semver.org"];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// All pages below, by their paths there.
fn pages(below: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.starts_with('.') || ["target", "corpus", "artifacts"].contains(&name) {
            continue;
        }
        if path.is_dir() {
            pages(&path, found);
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}

/// The lines that are no code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// Where the links of a page lead.
fn links(text: &str) -> Vec<&str> {
    let mut links = Vec::new();
    for line in prose(text) {
        // What stands between grave accents is code.
        let without_code = line.split('`').step_by(2).collect::<Vec<_>>().join("");
        let starts = line.match_indices("](").map(|(at, _)| at + 2);
        links.extend(
            starts
                .filter_map(|start| line[start..].split_once(')'))
                .map(|(link, _)| link)
                .filter(|link| without_code.contains(&format!("]({link})"))),
        );
    }
    links
}

/// The anchors of a page's headings, as GitHub names them.
fn anchors(text: &str) -> Vec<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let headings =
        prose(text).filter_map(|line| line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#')));
    headings
        .map(|heading| {
            let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || [' ', '-', '_'].contains(letter));
            let anchor = kept.collect::<String>().trim().to_lowercase().replace(' ', "-");
            let count = seen.entry(anchor.clone()).or_default();
            *count += 1;
            if *count == 1 { anchor } else { format!("{anchor}-{}", *count - 1) }
        })
        .collect()
}

/// Why a link leads nowhere.
fn trouble(workspace: &Path, page: &Path, link: &str) -> Option<String> {
    if let Some((_, address)) = link.split_once("://") {
        let is_known = SITES.iter().any(|site| address.strip_prefix(site).is_some_and(|rest| !rest.starts_with('.')));
        return (!is_known).then(|| "the site is not in the test's list".to_owned());
    }
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let target = if path.is_empty() { page.to_owned() } else { page.with_file_name(path) };
    let Ok(target) = target.canonicalize() else { return Some("there is no such file".to_owned()) };
    let docs = workspace.join("docs");
    if page.starts_with(&docs) && !target.starts_with(&docs) {
        return Some("the book has only docs/: name the file, without a link".to_owned());
    }
    let anchor = anchor.filter(|_| target.extension().is_some_and(|extension| extension == "md"))?;
    let known = anchors(&fs::read_to_string(target).unwrap());
    (!known.iter().any(|known| known == anchor)).then(|| format!("the page has only {}", known.join(", ")))
}

#[test]
fn links_lead_somewhere() {
    let workspace = workspace();
    let mut found = Vec::new();
    pages(&workspace, &mut found);
    let mut count = 0;
    let mut dead = Vec::new();
    for page in &found {
        let text = fs::read_to_string(page).unwrap();
        for link in links(&text) {
            count += 1;
            let page_name = page.strip_prefix(&workspace).unwrap().display();
            dead.extend(trouble(&workspace, page, link).map(|why| format!("{page_name}: {link}: {why}")));
        }
    }
    assert!(found.len() > 25 && count > 100, "only {} pages and {count} links are found", found.len());
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}

#[test]
fn every_page_is_in_the_book() {
    let docs = workspace().join("docs");
    let summary = fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    let mut found = Vec::new();
    pages(&docs, &mut found);
    for page in found {
        let name = page.strip_prefix(&docs).unwrap().to_str().unwrap();
        assert!(name == "SUMMARY.md" || summary.contains(&format!("]({name})")), "{name} is not in docs/SUMMARY.md");
    }
}

#[test]
fn dead_links_are_found() {
    let workspace = workspace();
    let page = workspace.join("docs/guides/pcc.md");
    for (link, is_dead) in [
        ("ppc.md", false),
        ("../articles.md", false),
        ("pcc.zh.md#1-真实服务器", false),
        ("#1-the-real-servers", false),
        ("https://example.com/nothing", false),
        ("https://example.com.test/", true),
        ("https://docs.rs/ipvs", true),
        ("no.md", true),
        ("#no", true),
        ("ppc.md#no", true),
        ("../../README.md", true),
    ] {
        assert_eq!(trouble(&workspace, &page, link).is_some(), is_dead, "{link}");
    }
    let text = "[a](b.md) and [`c`](d.md#e) but `[x](y)`\n```\n[no](no.md)\n```\n![f](g.svg)";
    assert_eq!(links(text), ["b.md", "d.md#e", "g.svg"]);
    assert_eq!(anchors("# A, b `c-d`\ntext\n## It's\n## It's\n"), ["a-b-c-d", "its", "its-1"]);
}
