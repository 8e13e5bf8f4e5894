//! The archives that a tree is packed into. The same tree and date give the same bytes.

pub(crate) mod deb;
pub(crate) mod image;
pub(crate) mod rpm;
pub(crate) mod tarball;

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use crate::{
    clock::Date,
    error::{Context, Result},
    tree::Tree,
};

/// A tar archive, whose files belong to root and have one time.
struct Tar {
    archive: Builder<Vec<u8>>,
    date: Date,
}

impl Tar {
    fn new(date: Date) -> Self {
        Self { archive: Builder::new(Vec::new()), date }
    }

    /// Adds all of a tree, below a path.
    fn tree(&mut self, tree: &Tree, prefix: &str) -> Result<()> {
        let mut known = Vec::new();
        tree.each_file(&mut |name, path| {
            let parents: Vec<&Path> = name.ancestors().skip(1).filter(|parent| *parent != Path::new("")).collect();
            for parent in parents.into_iter().rev() {
                if !known.iter().any(|known: &PathBuf| known == parent) {
                    known.push(parent.to_owned());
                    self.directory(&format!("{prefix}{}/", parent.display()))?;
                }
            }
            self.file(&format!("{prefix}{}", name.display()), path)
        })
    }

    fn directory(&mut self, name: &str) -> Result<()> {
        self.entry(name, EntryType::Directory, 0o755, "", &[])
    }

    /// A file or a link, as it is on the disk.
    fn file(&mut self, name: &str, path: &Path) -> Result<()> {
        let reading = || format!("read {}", path.display());
        let metadata = fs::symlink_metadata(path).context(reading)?;
        if metadata.is_symlink() {
            let target = fs::read_link(path).context(reading)?;
            return self.entry(name, EntryType::Symlink, 0o777, &target.to_string_lossy(), &[]);
        }
        let content = fs::read(path).context(reading)?;
        self.entry(name, EntryType::Regular, metadata.permissions().mode() & 0o777, "", &content)
    }

    fn entry(&mut self, name: &str, kind: EntryType, mode: u32, target: &str, content: &[u8]) -> Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.date.seconds());
        header.set_size(content.len() as u64);
        let packing = || format!("pack {name}");
        header.set_username("root").and_then(|()| header.set_groupname("root")).context(packing)?;
        match kind {
            EntryType::Symlink => self.archive.append_link(&mut header, name, target).context(packing),
            _ => self.archive.append_data(&mut header, name, content).context(packing),
        }
    }

    fn finish(self) -> Result<Vec<u8>> {
        self.archive.into_inner().context(|| "pack an archive".into())
    }
}

/// As small as gzip can, and without name and time, which would differ from build to build.
pub(crate) fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    let packed = encoder.write_all(bytes).and_then(|()| encoder.finish());
    packed.context(|| "compress".into())
}

/// As people compare it.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write(out: &Path, name: &str, content: &[u8]) -> Result<PathBuf> {
    let path = out.join(name);
    fs::write(&path, content).context(|| format!("write {}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressed_files_have_no_time() {
        let packed = gzip(b"text").unwrap();
        assert_eq!(packed[..8], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0]);
        assert_eq!(packed, gzip(b"text").unwrap());
    }
}
