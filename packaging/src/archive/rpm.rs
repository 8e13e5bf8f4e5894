//! RPM's package, with the habits of Red Hat's distributions.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use rpm::{BuildConfig, CompressionWithLevel, Dependency, FileOptions, PackageBuilder, Scriptlet, Timestamp};

use crate::{
    control::{DESCRIPTION, NAME, Package, SUMMARY},
    error::{Context, Error, Result},
    tree::Tree,
};

/// The version of ipvsadm that the program stands in for.
const STANDS_IN_FOR: &str = "1.31";
/// Directories that no other package has.
const DIRECTORIES: [&str; 4] = [
    "/usr/libexec/ipvs-cli",
    "/usr/share/doc/ipvs-cli",
    "/usr/share/doc/ipvs-cli/examples",
    "/usr/share/licenses/ipvs-cli",
];

/// Packs a tree. Gives the package's path.
pub(crate) fn build(package: &Package, tree: &Tree, out: &Path) -> Result<PathBuf> {
    let path = out.join(package.rpm_name());
    let packing = |error: rpm::Error| Error::Rpm { package: path.clone(), source: Box::new(error) };
    let time = Timestamp::from(u32::try_from(package.date.seconds()).unwrap_or(u32::MAX));
    // Every rpm since 2003 reads gzip, and version 4 of the format.
    let config = BuildConfig::v4().source_date(time).compression(CompressionWithLevel::Gzip(9));
    let mut builder =
        PackageBuilder::new(NAME, env!("CARGO_PKG_VERSION"), "MIT OR Apache-2.0", package.machine.rpm, SUMMARY);
    builder.using_config(config).release(package.revision.text()).description(DESCRIPTION.trim_end());
    builder.build_host("localhost").group("System Environment/Base");
    builder.provides(Dependency::eq("ipvsadm", STANDS_IN_FOR)).suggests(Dependency::any("keepalived"));
    // alternatives is that of chkconfig, or a package of its own.
    builder.requires(Dependency::script_post("/bin/sh")).requires(Dependency::script_post("/usr/sbin/alternatives"));
    builder.requires(Dependency::script_preun("/usr/sbin/alternatives"));
    builder.post_install_script(Scriptlet::new(include_str!("../../redhat/post")));
    builder.pre_uninstall_script(Scriptlet::new(include_str!("../../redhat/preun")));
    builder.post_uninstall_script(Scriptlet::new(include_str!("../../redhat/postun")));
    builder.trigger_postun("ipvsadm", None, Scriptlet::new(include_str!("../../redhat/ipvsadm-gone")));
    for directory in DIRECTORIES {
        builder.with_dir_entry(FileOptions::dir(directory).permissions(0o755)).map_err(packing)?;
    }
    tree.each_file(&mut |name, file| {
        let (target, reading) = (format!("/{}", name.display()), || format!("read {}", file.display()));
        let metadata = fs::symlink_metadata(file).context(reading)?;
        if metadata.is_symlink() {
            let link = fs::read_link(file).context(reading)?;
            builder.with_symlink(FileOptions::symlink(target, link.to_string_lossy())).map_err(packing)?;
            return Ok(());
        }
        let mode = u16::try_from(metadata.permissions().mode() & 0o777).unwrap_or(0o644);
        let options = FileOptions::new(&target).permissions(mode).modified_at(time);
        let options = match () {
            () if target.starts_with("/etc/") => options.config().noreplace(),
            () if target.starts_with("/usr/share/licenses/") => options.license(),
            () if target.starts_with("/usr/share/doc/") || target.starts_with("/usr/share/man/") => options.doc(),
            () => options,
        };
        builder.with_file_contents(fs::read(file).context(reading)?, options).map_err(packing)?;
        Ok(())
    })?;
    let made = builder.build().map_err(packing)?;
    made.write_file(&path).map_err(packing)?;
    Ok(path)
}
