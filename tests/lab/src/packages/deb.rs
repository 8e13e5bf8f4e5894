//! Package files: an `ar` archive with two compressed `tar` archives, of which one has the files.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use liblzma::read::XzDecoder;
use tar::{Archive, EntryType};

use super::refusal::Refusal;
use crate::{
    error::{Context, Error, Result},
    signals,
};

/// Unpacks the files into a directory, and never outside of it.
pub(crate) fn unpack(deb: &Path, into: &Path) -> Result<()> {
    visit(deb, "data.tar", |archive| {
        for entry in archive.entries()? {
            let mut entry = entry?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let kind = entry.header().entry_type();
            let is_known =
                matches!(kind, EntryType::Regular | EntryType::Directory | EntryType::Symlink | EntryType::Link);
            if !is_known || !entry.unpack_in(into)? {
                return Ok(Err(Refusal::Entry(name)));
            }
            if signals::check().is_err() {
                return Err(io::ErrorKind::Interrupted.into());
            }
        }
        Ok(Ok(()))
    })
}

/// The paths of all files, as the archive has them: `./`, `./usr/`, `./usr/bin/x`.
pub(super) fn names(deb: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    visit(deb, "data.tar", |archive| {
        for entry in archive.entries()? {
            names.push(String::from_utf8_lossy(&entry?.path_bytes()).into_owned());
        }
        Ok(Ok(()))
    })?;
    Ok(names)
}

/// What the package says about itself.
pub(super) fn control(deb: &Path) -> Result<String> {
    let mut control = None;
    visit(deb, "control.tar", |archive| {
        for entry in archive.entries()? {
            let mut entry = entry?;
            if entry.path()?.ends_with("control") {
                let mut text = String::new();
                entry.read_to_string(&mut text)?;
                control = Some(text);
            }
        }
        Ok(Ok(()))
    })?;
    control.ok_or_else(|| Error::Missing(deb.join("control")))
}

/// Calls a function with one of the two archives.
fn visit(
    deb: &Path,
    name: &str,
    mut work: impl FnMut(&mut Archive<XzDecoder<&mut ar::Entry<'_, File>>>) -> io::Result<Result<(), Refusal>>,
) -> Result<()> {
    let refused = |why| Error::Refused { url: deb.display().to_string(), why };
    let mut visit = || -> io::Result<Result<(), Refusal>> {
        let mut members = ar::Archive::new(File::open(deb)?);
        while let Some(member) = members.next_entry() {
            let mut member = member?;
            if member.header().identifier() == format!("{name}.xz").as_bytes() {
                return work(&mut Archive::new(XzDecoder::new(&mut member)));
            }
        }
        Ok(Err(Refusal::NoData))
    };
    visit().context(|| format!("unpack {}", deb.display()))?.map_err(refused)
}
