//! Debian's package: an `ar` archive with one of control files and one of the tree.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use liblzma::write::XzEncoder;
use md5::{Digest, Md5};

use super::{Tar, hex, write};
use crate::{
    control::Package,
    error::{Context, Result},
    tree::Tree,
};

/// Packs a tree. Gives the package's path.
pub(crate) fn build(package: &Package, tree: &Tree, out: &Path) -> Result<PathBuf> {
    let mut control = Tar::new(package.date);
    control.directory("./")?;
    for (name, content, mode) in package.control_files(tree.kilobytes()?, &checksums(tree)?) {
        control.entry(&format!("./{name}"), tar::EntryType::Regular, mode.bits(), "", content.as_bytes())?;
    }
    let mut data = Tar::new(package.date);
    data.directory("./")?;
    data.tree(tree, "./")?;
    let mut archive = ar::Builder::new(Vec::new());
    for (name, content) in [
        ("debian-binary", b"2.0\n".to_vec()),
        ("control.tar.xz", xz(&control.finish()?)?),
        ("data.tar.xz", xz(&data.finish()?)?),
    ] {
        let mut header = ar::Header::new(name.into(), content.len() as u64);
        header.set_mode(0o100_644);
        header.set_mtime(package.date.seconds());
        archive.append(&header, content.as_slice()).context(|| format!("pack {name}"))?;
    }
    let archive = archive.into_inner().context(|| "pack an archive".into())?;
    write(out, &package.deb_name(), &archive)
}

fn xz(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = XzEncoder::new(Vec::new(), 9);
    let packed = encoder.write_all(bytes).and_then(|()| encoder.finish());
    packed.context(|| "compress".into())
}

/// The MD5 sums of all files but settings, as dpkg wants them.
fn checksums(tree: &Tree) -> Result<String> {
    let mut sums = String::new();
    tree.each_file(&mut |name, path| {
        if !path.is_symlink() && !name.starts_with("etc") {
            let content = std::fs::read(path).context(|| format!("read {}", path.display()))?;
            sums += &format!("{}  {}\n", hex(&Md5::digest(content)), name.display());
        }
        Ok(())
    })?;
    Ok(sums)
}
