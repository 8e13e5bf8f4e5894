//! The tree as a compressed tar archive, for distributions without a package.

use std::path::{Path, PathBuf};

use tar::EntryType;

use super::{Tar, gzip, sha256, write};
use crate::{
    control::Package,
    error::{Context, Result},
    tree::Tree,
};

/// Packs a tree with the checksums of its files. Gives the archive's path.
pub(crate) fn build(package: &Package, tree: &Tree, out: &Path) -> Result<PathBuf> {
    let name = package.tar_name();
    let directory = name.trim_end_matches(".tar.gz");
    let mut archive = Tar::new(package.date);
    archive.directory(&format!("{directory}/"))?;
    archive.tree(tree, &format!("{directory}/"))?;
    let mut sums = String::new();
    tree.each_file(&mut |name, path| {
        if !path.is_symlink() {
            let content = std::fs::read(path).context(|| format!("read {}", path.display()))?;
            sums += &format!("{}  {}\n", sha256(&content), name.display());
        }
        Ok(())
    })?;
    archive.entry(&format!("{directory}/SHA256SUMS"), EntryType::Regular, 0o644, "", sums.as_bytes())?;
    write(out, &name, &gzip(&archive.finish()?)?)
}
