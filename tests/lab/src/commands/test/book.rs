//! The book that mdbook makes of docs/: its links lead somewhere. That they do on GitHub, too:
//! `tests/lab/tests/links.rs`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
};

use crate::error::{Context, Result};

/// Pages with links of their own making.
const GENERATED: [&str; 3] = ["404.html", "print.html", "toc.html"];

/// The links of a book's pages that lead nowhere.
pub(super) fn broken_links(book: &Path) -> Result<Vec<String>> {
    let mut files = BTreeMap::new();
    read_all(book, Path::new(""), &mut files)?;
    let anchors: BTreeMap<&Path, BTreeSet<&str>> =
        files.iter().map(|(path, text)| (path.as_path(), values(text, "id").collect())).collect();
    let mut broken = Vec::new();
    for (page, text) in &files {
        if page.extension().is_none_or(|extension| extension != "html")
            || GENERATED.iter().any(|name| page.ends_with(name))
        {
            continue;
        }
        for link in values(text, "href").chain(values(text, "src")) {
            if !link.contains("://") && !link.starts_with("mailto:") && !leads_somewhere(page, link, &anchors) {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    Ok(broken)
}

fn leads_somewhere(page: &Path, link: &str, anchors: &BTreeMap<&Path, BTreeSet<&str>>) -> bool {
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let decoded = percent_decoded(path);
    let target = if path.is_empty() { page.to_owned() } else { plain(&page.with_file_name("").join(decoded)) };
    let Some(known) = anchors.get(target.as_path()) else { return false };
    anchor.is_none_or(|anchor| anchor.is_empty() || known.contains(percent_decoded(anchor).as_str()))
}

/// Without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = text.get(at + 1..at + 3).filter(|_| byte == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        decoded.push(hex.unwrap_or(byte));
        at += if hex.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// The values of an attribute.
fn values<'t>(html: &'t str, attribute: &str) -> impl Iterator<Item = &'t str> {
    let begin = format!("{attribute}=\"");
    let starts: Vec<usize> = html.match_indices(&begin).map(|(at, _)| at).collect();
    let whole = move |at: &usize| html[..*at].ends_with([' ', '\n']);
    starts.into_iter().filter(whole).filter_map(move |at| html[at + begin.len()..].split('"').next())
}

/// All files below, by their paths there. What is no text counts, too, but has no anchors.
fn read_all(book: &Path, below: &Path, files: &mut BTreeMap<PathBuf, String>) -> Result<()> {
    let directory = book.join(below);
    let what = || format!("read {}", directory.display());
    for entry in fs::read_dir(&directory).context(what)? {
        let entry = entry.context(what)?;
        let path = below.join(entry.file_name());
        if entry.file_type().context(what)?.is_dir() {
            read_all(book, &path, files)?;
        } else {
            let bytes = fs::read(entry.path()).context(what)?;
            files.insert(path, String::from_utf8_lossy(&bytes).into_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_links_are_reported() {
        let book = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(book.path().join(name), text).unwrap();
        fs::create_dir(book.path().join("guides")).unwrap();
        let links = |links: &[&str]| {
            links.iter().map(|link| format!("<a class=\"x\" href=\"{link}\">x</a>")).collect::<String>()
        };
        let good = [
            "guides/b.html",
            "guides/b.html#two-%E4%B8%AD",
            "#one",
            "#idle-sides",
            "#",
            "https://example.com/",
            "data.json",
        ];
        write("a.html", &format!("<h2 id=\"one\">{}<img src=\"no.svg\"><b id=\"idle-sides\">", links(&good)));
        write(
            "guides/b.html",
            &format!("<h1 id=\"two-中\">{}", links(&["../a.html#one", "../a.html#two", "b.md", "/a.html"])),
        );
        write("data.json", "{}");
        write("404.html", &links(&["nowhere"]));
        let expected =
            ["a.html: no.svg", "guides/b.html: ../a.html#two", "guides/b.html: b.md", "guides/b.html: /a.html"];
        assert_eq!(broken_links(book.path()).unwrap(), expected);
    }
}
