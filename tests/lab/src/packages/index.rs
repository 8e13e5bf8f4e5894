//! The list of a release's packages, and what a package needs.

use std::{
    cmp::Ordering,
    collections::{HashMap, HashSet, VecDeque, hash_map::Entry},
    io::BufRead,
};

use super::{
    refusal::Refusal,
    release::{Expected, unhex},
    version,
};

/// A package that can be downloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    /// Where the mirror has it.
    pub(super) path: String,
    pub(super) expected: Expected,
    /// For each thing that it needs, the packages that will do.
    needs: Vec<Vec<String>>,
    /// The names of packages that it stands in for.
    provides: Vec<String>,
    importance: usize,
}

/// All packages of a release.
#[derive(Debug, Default)]
pub(super) struct Index {
    packages: HashMap<String, Package>,
    /// Those of which there is a newer version.
    older: Vec<Package>,
    providers: HashMap<String, Vec<String>>,
}

/// What is read of a package. Lines that continue a field begin with a blank, so they are none.
const FIELDS: [&str; 9] =
    ["Package", "Version", "Priority", "Pre-Depends", "Depends", "Provides", "Filename", "Size", "SHA256"];
/// The most important first.
const PRIORITIES: [&str; 4] = ["required", "important", "standard", "optional"];

impl Index {
    /// Reads a list, paragraph by paragraph.
    pub(super) fn read(list: impl BufRead) -> std::io::Result<Result<Self, Refusal>> {
        let (mut index, mut fields) = (Self::default(), HashMap::new());
        for line in list.lines() {
            let line = line?;
            if line.is_empty() {
                if let Err(refusal) = index.add(std::mem::take(&mut fields)) {
                    return Ok(Err(refusal));
                }
            } else if let Some((name, value)) = line.split_once(':').filter(|(name, _)| FIELDS.contains(name)) {
                fields.insert(name.to_owned(), value.trim().to_owned());
            }
        }
        Ok(index.add(fields).map(|()| index))
    }

    /// Of several versions, the newest counts.
    fn add(&mut self, fields: HashMap<String, String>) -> Result<(), Refusal> {
        if fields.is_empty() {
            return Ok(());
        }
        self.put(Package::of(&fields)?);
        Ok(())
    }

    /// Adds the packages of another list.
    pub(super) fn add_all(&mut self, other: Self) {
        other.packages.into_values().chain(other.older).for_each(|package| self.put(package));
    }

    fn put(&mut self, package: Package) {
        for name in &package.provides {
            self.providers.entry(name.clone()).or_default().push(package.name.clone());
        }
        match self.packages.entry(package.name.clone()) {
            Entry::Vacant(place) => drop(place.insert(package)),
            Entry::Occupied(mut place) => {
                let is_newer = version::compare(&package.version, &place.get().version) == Ordering::Greater;
                self.older.push(if is_newer { place.insert(package) } else { package });
            }
        }
    }

    /// A package by its name; else the name itself.
    pub(super) fn find<'a>(&self, name: &'a str) -> Result<&Package, &'a str> {
        self.packages.get(name).ok_or(name)
    }

    /// A package by its name and its version, whatever revision Debian has of that.
    pub(super) fn find_version(&self, name: &str, upstream: &str) -> Option<&Package> {
        let is_revision =
            |version: &str| version.strip_prefix(upstream).is_some_and(|rest| rest.starts_with(['+', '-']));
        let mut all = self.packages.get(name).into_iter().chain(&self.older);
        all.find(|package| package.name == name && is_revision(&package.version))
    }

    /// The packages and all that they need, as if nothing were installed; else the name that the
    /// list does not have. What can be had in one way only is taken first, so that it decides where
    /// several will do.
    pub(super) fn closure<'a>(&'a self, names: &'a [&str]) -> Result<Vec<&'a Package>, &'a str> {
        let mut chosen: Vec<&Package> = Vec::new();
        let mut known = HashSet::new();
        let (mut certain, mut open): (VecDeque<&str>, VecDeque<&Vec<String>>) =
            (names.iter().copied().collect(), VecDeque::new());
        loop {
            while let Some(name) = certain.pop_front() {
                if known.insert(name) {
                    let package = self.find(name)?;
                    chosen.push(package);
                    let is_certain = |need: &&Vec<String>| need.len() == 1 && self.is_only_way(&need[0]);
                    let (sure, several): (Vec<_>, Vec<_>) = package.needs.iter().partition(is_certain);
                    certain.extend(sure.into_iter().map(|need| need[0].as_str()));
                    open.extend(several);
                }
            }
            let Some(need) = open.pop_front() else { return Ok(chosen) };
            let is_met = |name: &String| {
                known.contains(name.as_str()) || chosen.iter().any(|package| package.provides.contains(name))
            };
            if !need.iter().any(is_met) {
                let found = need.iter().find_map(|name| self.best(name));
                certain.push_back(found.ok_or(need.first().map_or("", String::as_str))?);
            }
        }
    }

    /// Does no other package stand in for this one?
    fn is_only_way(&self, name: &str) -> bool {
        self.packages.contains_key(name) && !self.providers.contains_key(name)
    }

    /// The package of this name, or the most important one that stands in for it.
    fn best<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        if self.packages.contains_key(name) {
            return Some(name);
        }
        let providers = self.providers.get(name)?.iter().filter_map(|name| self.packages.get(name));
        providers.min_by_key(|package| (package.importance, &package.name)).map(|package| package.name.as_str())
    }
}

impl Package {
    fn of(fields: &HashMap<String, String>) -> Result<Self, Refusal> {
        let field = |name: &'static str| fields.get(name).map(String::as_str).ok_or(Refusal::Malformed(name));
        let (name, version) = (field("Package")?, field("Version")?);
        let is_plain = |text: &str, more: &str| {
            text.starts_with(|first: char| first.is_ascii_alphanumeric())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
        };
        // They become file names and addresses.
        if !is_plain(name, "+-.") {
            return Err(Refusal::Malformed("Package"));
        }
        if !is_plain(version, "+-.~:") {
            return Err(Refusal::Malformed("Version"));
        }
        let path = field("Filename")?;
        if !is_plain(path, "+-.~_%:/") || path.split('/').any(|part| ["", ".", ".."].contains(&part)) {
            return Err(Refusal::Malformed("Filename"));
        }
        let size = field("Size")?.parse().map_err(|_| Refusal::Malformed("Size"))?;
        let sha256 = unhex(field("SHA256")?).ok_or(Refusal::Malformed("SHA256"))?;
        let list =
            |name: &str| fields.get(name).map_or("", String::as_str).split(',').filter(|need| !need.trim().is_empty());
        let needs = ["Pre-Depends", "Depends"].into_iter().flat_map(list);
        let importance = fields.get("Priority").and_then(|value| PRIORITIES.iter().position(|name| name == value));
        Ok(Self {
            name: name.to_owned(),
            version: version.to_owned(),
            path: path.to_owned(),
            expected: Expected { size, sha256 },
            needs: needs.map(|need| need.split('|').map(bare).collect()).collect(),
            provides: list("Provides").map(bare).collect(),
            importance: importance.unwrap_or(PRIORITIES.len()),
        })
    }

    /// The name of its file, as `apt-get download` names it.
    pub(super) fn file_name(&self) -> String {
        format!("{}_{}.deb", self.name, self.version.replace(':', "%3a"))
    }
}

/// A package's name without version and architecture: a release fits together.
fn bare(need: &str) -> String {
    need.trim().split([' ', '(', ':', '[']).next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paragraph(name: &str, version: &str, more: &str) -> String {
        let hash = "00".repeat(32);
        format!("Package: {name}\nVersion: {version}\nFilename: pool/{name}.deb\nSize: 5\nSHA256: {hash}\n{more}\n\n")
    }

    fn index(paragraphs: &[(&str, &str, &str)]) -> Index {
        let text: String = paragraphs.iter().map(|(name, version, more)| paragraph(name, version, more)).collect();
        Index::read(text.as_bytes()).unwrap().unwrap()
    }

    fn names(index: &Index, wanted: &[&str]) -> Vec<String> {
        let mut names: Vec<_> = index.closure(wanted).unwrap().iter().map(|package| package.name.clone()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_package_comes_with_all_that_it_needs() {
        let index = index(&[
            (
                "bash",
                "5",
                "Pre-Depends: libc6 (>= 2.36)\nDepends: awk, base (>= 2) | other\nDescription: a shell\n Depends: nothing",
            ),
            ("libc6", "2.36-9+deb12u1", "Depends: bash"),
            ("base", "3", ""),
            ("mawk", "1", "Priority: required\nProvides: awk (= 3), x"),
            ("gawk", "1", "Priority: optional\nProvides: awk"),
            ("unrelated", "1", ""),
        ]);
        assert_eq!(names(&index, &["bash"]), ["base", "bash", "libc6", "mawk"]);
        // What is there already will do.
        assert_eq!(names(&index, &["bash", "gawk"]), ["base", "bash", "gawk", "libc6"]);
        assert_eq!(index.closure(&["bash", "none"]).unwrap_err(), "none");
    }

    #[test]
    fn a_later_choice_can_serve_an_earlier_need() {
        let index = index(&[
            ("a", "1", "Depends: heavy | light, b"),
            ("b", "1", "Depends: light"),
            ("heavy", "1", ""),
            ("light", "1", ""),
            ("c", "1", "Depends: gone | virtual"),
            ("d", "1", "Depends: gone"),
            ("e", "1", "Depends: module, perl"),
            ("module", "1", ""),
            ("perl", "1", "Provides: module"),
        ]);
        assert_eq!(names(&index, &["a"]), ["a", "b", "light"]);
        assert_eq!(names(&index, &["e"]), ["e", "perl"]);
        assert_eq!(index.closure(&["c"]).unwrap_err(), "gone");
        assert_eq!(index.closure(&["d"]).unwrap_err(), "gone");
    }

    #[test]
    fn the_newest_of_several_versions_counts() {
        let index = index(&[("a", "1.9-1", ""), ("a", "1:1.10~rc1-1", ""), ("a", "1.10-1", "")]);
        assert_eq!(index.find("a").unwrap().file_name(), "a_1%3a1.10~rc1-1.deb");
    }

    #[test]
    fn of_two_lists_the_newest_version_counts() {
        let mut newer = index(&[("a", "2.0-1", "Depends: b")]);
        newer.add_all(index(&[("a", "1.0-1", ""), ("b", "1.0-1", "")]));
        assert_eq!(names(&newer, &["a"]), ["a", "b"]);
        assert_eq!(newer.find("a").unwrap().version, "2.0-1");
        assert!(newer.find_version("a", "1.0").is_some());
    }

    #[test]
    fn an_older_version_is_found_by_its_number_without_the_revision() {
        let versions = ["1.95.0+dfsg1-2~bpo13+1", "1.97.1+dfsg1-1", "1.9-1"];
        let index = index(&versions.map(|version| ("a", version, "")));
        let found = |number| index.find_version("a", number).map(|package| package.version.as_str());
        assert_eq!(found("1.95.0"), Some(versions[0]));
        assert_eq!((found("1.97.1"), found("1.9")), (Some(versions[1]), Some(versions[2])));
        assert_eq!((found("1.95"), found("1.96.0"), index.find_version("b", "1.9")), (None, None, None));
    }

    #[test]
    fn names_that_leave_their_directory_are_refused() {
        for (from, to, field) in [
            ("Package: a", "Package: ../a", "Package"),
            ("Package: a", "Package: .a", "Package"),
            ("Version: 1", "Version: 1/../../a", "Version"),
            ("pool/a", "pool/../../a", "Filename"),
            ("pool/a", "/pool/a", "Filename"),
            ("pool/a", "pool//a", "Filename"),
            ("pool/a", "pool/a?b=c#", "Filename"),
            ("Size: 5", "Size: -5", "Size"),
            ("SHA256: 00", "SHA256: 0", "SHA256"),
        ] {
            let text = paragraph("a", "1", "").replace(from, to);
            assert_eq!(Index::read(text.as_bytes()).unwrap().unwrap_err(), Refusal::Malformed(field), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_list_makes_it_panic(text in "((Package|Version|Filename|Size|SHA256|Depends|Provides): [a-z0-9|,: ]{0,9}\n|\n| x\n){0,30}", name in "[a-z]") {
            if let Ok(Ok(index)) = Index::read(text.as_bytes()) {
                let _ = index.closure(&[&name]);
            }
        }

        /// Each need of each chosen package is met by a chosen one, and nothing is chosen twice.
        #[test]
        fn what_is_chosen_is_complete(needs in proptest::collection::vec(proptest::collection::vec(proptest::collection::vec(0_usize..12, 1..4), 0..4), 12)) {
            let text: String = needs.iter().enumerate().map(|(number, needs)| {
                let groups: Vec<String> = needs.iter().map(|need| need.iter().map(|name| format!("p{name}")).collect::<Vec<_>>().join(" | ")).collect();
                paragraph(&format!("p{number}"), "1", &format!("Depends: {}", groups.join(", ")))
            }).collect();
            let index = Index::read(text.as_bytes()).unwrap().unwrap();
            let chosen = index.closure(&["p0"]).unwrap();
            let names: HashSet<&str> = chosen.iter().map(|package| package.name.as_str()).collect();
            assert_eq!(names.len(), chosen.len());
            for package in chosen {
                assert!(package.needs.iter().all(|need| need.iter().any(|name| names.contains(name.as_str()))));
            }
        }
    }
}
