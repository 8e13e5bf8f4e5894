//! The files that a configuration includes.

use std::cell::Cell;
use std::fmt::Debug;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use crate::io::{FileInput, read_whole};

/// Where included files come from.
pub trait Files: Debug {
    /// The files that match a pattern of `glob(7)`, sorted; all paths are looked up in `directory`.
    ///
    /// # Errors
    /// Too many directory entries would have to be looked at.
    fn matching(&self, directory: &Path, pattern: &str) -> io::Result<Vec<PathBuf>>;

    /// The contents of a file.
    ///
    /// # Errors
    /// Those of opening and reading, and for all that is not a regular file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
}

/// A system without files.
#[derive(Clone, Copy, Debug)]
pub struct NoFiles;

impl Files for NoFiles {
    fn matching(&self, _: &Path, _: &str) -> io::Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }

    fn read(&self, _: &Path) -> io::Result<Vec<u8>> {
        Err(ErrorKind::NotFound.into())
    }
}

/// The files of this system. It looks at two million directory entries and then no more: patterns
/// such as `*/../*/../*` have no end otherwise.
#[derive(Clone, Debug)]
pub struct SystemFiles {
    entries_left: Cell<usize>,
}

impl Default for SystemFiles {
    fn default() -> Self {
        SystemFiles { entries_left: Cell::new(2_000_000) }
    }
}

impl SystemFiles {
    /// The entries of a directory whose names match, sorted.
    fn entries(&self, parent: &Path, pattern: &str) -> io::Result<Vec<PathBuf>> {
        if !pattern.contains(['*', '?', '[', '\\']) {
            self.spend(1)?;
            let path = parent.join(pattern);
            return Ok(if path.exists() { vec![path] } else { Vec::new() });
        }
        let mut paths = Vec::new();
        for entry in parent.read_dir().into_iter().flatten().flatten() {
            // A long pattern takes long to compare.
            self.spend(1 + pattern.len() / 8)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if (!name.starts_with('.') || pattern.starts_with('.')) && matches(pattern, &name) {
                paths.push(entry.path());
            }
        }
        paths.sort();
        Ok(paths)
    }

    fn spend(&self, entries: usize) -> io::Result<()> {
        let left = self.entries_left.get().checked_sub(entries);
        self.entries_left.set(left.unwrap_or(0));
        left.map(drop).ok_or_else(|| io::Error::other("it makes too many directory entries to look at"))
    }
}

impl Files for SystemFiles {
    fn matching(&self, directory: &Path, pattern: &str) -> io::Result<Vec<PathBuf>> {
        let mut found = vec![if pattern.starts_with('/') { PathBuf::from("/") } else { directory.to_owned() }];
        for part in pattern.split('/').filter(|part| !part.is_empty()) {
            let mut next = Vec::new();
            for parent in found {
                next.append(&mut self.entries(&parent, part)?);
            }
            found = next;
        }
        Ok(found)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        // A FIFO without a writer would keep a blocking call for ever.
        let file =
            File::from(rustix::fs::open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?);
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let mut text = Vec::new();
        read_whole(&mut FileInput(file), &mut text)?;
        Ok(text)
    }
}

/// Does a name match a pattern with `*`, `?`, `[a-z]` and `[!a-z]`?
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut read) = (0, 0);
    // Where to go on if what follows the last `*` does not match.
    let mut retry = None;
    while read < name.len() || at < pattern.len() {
        let step = match pattern.get(at) {
            Some('*') => {
                retry = Some((at, read + 1));
                at += 1;
                continue;
            }
            Some(_) => name.get(read).and_then(|letter| one(&pattern[at..], *letter)),
            None => None,
        };
        match (step, retry) {
            (Some(length), _) => (at, read) = (at + length, read + 1),
            (None, Some((star, next))) if next <= name.len() => (at, read) = (star, next),
            (None, _) => return false,
        }
    }
    true
}

/// The length of the pattern's first element, if it matches the letter.
fn one(pattern: &[char], letter: char) -> Option<usize> {
    let is_literal = |other: char, length: usize| (other == letter).then_some(length);
    match pattern {
        ['?', ..] => Some(1),
        ['\\', escaped, ..] => is_literal(*escaped, 2),
        ['[', rest @ ..] => {
            let is_negated = matches!(rest, ['!' | '^', ..]);
            let set = &rest[usize::from(is_negated)..];
            // A bracket at the beginning is one of the set.
            let Some(end) = set.iter().skip(1).position(|letter| *letter == ']').map(|end| end + 1) else {
                return is_literal('[', 1);
            };
            let is_in = set[..end].iter().enumerate().any(|(index, first)| match set[..end].get(index + 1..) {
                Some(['-', last, ..]) => (*first..=*last).contains(&letter),
                _ => *first == letter,
            });
            (is_in != is_negated).then_some(2 + usize::from(is_negated) + end)
        }
        [literal, ..] => is_literal(*literal, 1),
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_those_of_a_shell() {
        for (pattern, yes, no) in [
            ("*.conf", "a.conf", "a.conf.bak"),
            ("a?c", "abc", "ac"),
            ("[a-c]x", "bx", "dx"),
            ("[!a-c]x", "dx", "bx"),
            ("a\\*", "a*", "ab"),
            ("*a*b", "xaab", "xaabc"),
            ("[]]", "]", "["),
            ("a[", "a[", "a"),
        ] {
            assert!(matches(pattern, yes), "{pattern} {yes}");
            assert!(!matches(pattern, no), "{pattern} {no}");
        }
    }

    #[test]
    fn only_regular_files_are_read() {
        let files = SystemFiles::default();
        let error = files.read(Path::new("/dev/null")).unwrap_err();
        assert_eq!(error.to_string(), "it is not a regular file");
        assert!(files.read(Path::new("/")).is_err() && files.read(Path::new("/no/such")).is_err());
        let this = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert_eq!(files.matching(this, "src/foreign/f?les.r[s]").unwrap(), [this.join("src/foreign/files.rs")]);
        assert!(files.matching(this, "src/no-such/*").unwrap().is_empty());
    }

    #[test]
    fn a_pattern_without_end_is_refused() {
        let files = SystemFiles { entries_left: Cell::new(10_000) };
        let this = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(files.matching(this, &"*/../".repeat(100)).is_err());
        assert!(files.matching(this, "src").is_err(), "nothing is looked at any more");
    }
}
