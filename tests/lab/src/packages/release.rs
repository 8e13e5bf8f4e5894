//! `InRelease`: what a mirror's release consists of.

use std::{collections::HashMap, fs, io::Write, path::Path};

use jiff::{Timestamp, civil::DateTime, tz::Offset};

use super::refusal::Refusal;
use crate::error::{Context, Result};

/// A file that can be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) size: u64,
    pub(super) sha256: [u8; 32],
}

/// What has been signed.
#[derive(Debug)]
pub(super) struct Release {
    codename: String,
    date: Timestamp,
    valid_until: Option<Timestamp>,
    pub(super) is_by_hash: bool,
    files: HashMap<String, Expected>,
}

impl Release {
    /// Reads the text, whose signature has been verified.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        let (mut fields, mut files, mut section) = (HashMap::new(), HashMap::new(), "");
        for line in text.lines() {
            if let Some(line) = line.strip_prefix(' ') {
                if section == "SHA256" {
                    let (name, expected) = file(line).ok_or(Refusal::Malformed("line in SHA256"))?;
                    files.insert(name.to_owned(), expected);
                }
            } else if let Some((name, value)) = line.split_once(':') {
                section = name;
                fields.insert(name, value.trim());
            }
        }
        let time = |name: &'static str| {
            let value = fields.get(name);
            value.map(|value| moment(value).ok_or(Refusal::Malformed(name))).transpose()
        };
        Ok(Self {
            codename: (*fields.get("Codename").ok_or(Refusal::Malformed("Codename"))?).to_owned(),
            date: time("Date")?.ok_or(Refusal::Malformed("Date"))?,
            valid_until: time("Valid-Until")?,
            is_by_hash: fields.get("Acquire-By-Hash") == Some(&"yes"),
            files,
        })
    }

    /// Refuses another release than was asked for, and one that has expired.
    pub(super) fn check(&self, codename: &str, now: Timestamp, accept_expired: bool) -> Result<(), Refusal> {
        if self.codename != codename {
            return Err(Refusal::OtherRelease(self.codename.clone()));
        }
        match self.valid_until {
            Some(until) if until < now && !accept_expired => Err(Refusal::Expired(until)),
            _ => Ok(()),
        }
    }

    pub(super) fn file(&self, name: &str) -> Result<Expected, Refusal> {
        self.files.get(name).copied().ok_or(Refusal::Malformed("list of packages"))
    }
}

/// A line `HASH SIZE NAME`.
fn file(line: &str) -> Option<(&str, Expected)> {
    let mut words = line.split_ascii_whitespace();
    let (sha256, size) = (words.next()?, words.next()?.parse().ok()?);
    Some((words.next()?, Expected { size, sha256: unhex(sha256)? }))
}

/// The bytes of a hash.
pub(super) fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(bytes)
}

/// As releases have it: `Sat, 11 Jul 2026 10:16:37 UTC`.
fn moment(text: &str) -> Option<Timestamp> {
    let time = DateTime::strptime("%a, %d %b %Y %H:%M:%S", text.strip_suffix(" UTC")?).ok()?;
    Offset::UTC.to_timestamp(time).ok()
}

/// Remembers which release was here, and refuses to go back to an older one.
pub(super) fn remember(release: &Release, note: &Path) -> Result<Result<(), Refusal>> {
    let seen = fs::read_to_string(note).ok().and_then(|text| text.trim().parse::<Timestamp>().ok());
    match seen {
        Some(seen) if release.date < seen => {
            return Ok(Err(Refusal::RolledBack { found: release.date, seen, note: note.display().to_string() }));
        }
        Some(seen) if release.date == seen => return Ok(Ok(())),
        _ => {}
    }
    let directory = note.parent().unwrap_or(Path::new("/"));
    let write = || {
        fs::create_dir_all(directory)?;
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        writeln!(file, "{}", release.date)?;
        file.persist(note).map(drop).map_err(|error| error.error)
    };
    write().context(|| format!("write {}", note.display()))?;
    Ok(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Origin: Debian\nCodename: sid\nDate: Fri, 30 Oct 2026 08:08:01 UTC\n\
                        Valid-Until: Fri, 06 Nov 2026 08:08:01 UTC\nAcquire-By-Hash: yes\nMD5Sum:\n aa 1 x\nSHA256:\n \
                        00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff  17 main/binary-amd64/Packages\n";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_release_is_good_for_its_name_and_its_time() {
        let release = Release::parse(TEXT).unwrap();
        assert!(release.is_by_hash);
        assert_eq!(release.file("main/binary-amd64/Packages").unwrap().size, 17);
        assert_eq!(release.file("x"), Err(Refusal::Malformed("list of packages")));
        let (before, after) = (at("2026-11-06T08:08:00Z"), at("2026-11-06T08:08:02Z"));
        assert_eq!(release.check("sid", before, false), Ok(()));
        assert_eq!(release.check("trixie", before, false), Err(Refusal::OtherRelease("sid".into())));
        assert_eq!(release.check("sid", after, false), Err(Refusal::Expired(at("2026-11-06T08:08:01Z"))));
        assert_eq!(release.check("sid", after, true), Ok(()));
    }

    #[test]
    fn an_older_release_than_the_last_one_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let note = directory.path().join("releases/sid");
        let release = |day: &str| Release::parse(&TEXT.replace("Date: Fri, 30", day)).unwrap();
        for (day, is_good) in [
            ("Date: Fri, 30", true),
            ("Date: Fri, 30", true),
            ("Date: Thu, 29", false),
            ("Date: Sat, 31", true),
            ("Date: Fri, 30", false),
        ] {
            assert_eq!(remember(&release(day), &note).unwrap().is_ok(), is_good, "{day}");
        }
    }

    #[test]
    fn what_a_release_lacks_is_named() {
        for (from, to, name) in [
            ("Codename", "Codeman", "Codename"),
            ("Date: Fri", "Datum: Fri", "Date"),
            ("Date: Fri, 30 Oct", "Date: Fri, 30 Okt", "Date"),
            ("08:08:01 UTC\nAcquire", "08:08:01 CET\nAcquire", "Valid-Until"),
            ("  17 ", "  1x7 ", "line in SHA256"),
            ("00112233", "0011223g", "line in SHA256"),
        ] {
            assert_eq!(Release::parse(&TEXT.replacen(from, to, 1)).unwrap_err(), Refusal::Malformed(name), "{from}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "([A-Za-z0-9:, \n-]|SHA256:\n |Date: |Codename: ){0,60}") {
            let _ = Release::parse(&text);
        }
    }
}
