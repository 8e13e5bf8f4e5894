//! The packages: installed, used, upgraded and removed in a throwaway root directory, inside a
//! guest of the lab.
//!
//! Each test is a script in `guest/`, which fails with the words of what went wrong.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use tempfile::TempDir;

/// Packages of two revisions, built once for all tests.
fn packages() -> &'static Path {
    static BUILT: OnceLock<TempDir> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let out = tempfile::tempdir().unwrap();
        for revision in ["1", "2"] {
            build(out.path(), revision);
        }
        out
    });
    built.path()
}

const FORMATS: [&str; 4] = ["deb", "rpm", "image", "tar"];

fn build(out: &Path, revision: &str) -> Vec<PathBuf> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_packaging"));
    // Else it is that of the last commit, and somebody may be about to make one.
    command.env("SOURCE_DATE_EPOCH", "1767225600");
    command.args(FORMATS.iter().flat_map(|format| ["--format", format]));
    let output = command.args(["--revision", revision, "--out"]).arg(out).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(PathBuf::from).collect()
}

/// Runs a script of `guest/` as root in a guest, with the packages.
fn in_guest(script: &str, arguments: &[&str]) {
    in_guest_of(None, script, arguments);
}

/// The same, with a kernel of this series.
fn in_guest_of(kernel: Option<&str>, script: &str, arguments: &[&str]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guest").join(script);
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Build scripts that look at what this cargo says of this package would run again, and the lab
    // be compiled each time.
    for (name, _) in
        env::vars().filter(|(name, _)| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
    {
        command.env_remove(name);
    }
    command.args(["run", "--quiet", "--package", "lab", "--", "run", "--ipvsadm", "--debian"]);
    command.args(kernel.into_iter().flat_map(|kernel| ["--kernel", kernel]));
    let output = command.arg(&script).arg(packages()).args(arguments).output().unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success(), "{}: {}\n{said}", script.display(), output.status);
}

#[test]
fn the_same_sources_give_the_same_packages() {
    let again = tempfile::tempdir().unwrap();
    let made = build(again.path(), "1");
    assert_eq!(made.len(), FORMATS.len());
    for package in made {
        let first = packages().join(package.file_name().unwrap());
        let same = std::fs::read(&package).unwrap() == std::fs::read(first).unwrap();
        assert!(same, "{} differs", package.display());
    }
}

#[test]
fn ipvs_cli_and_ipvsadm_install_in_every_order() {
    in_guest("beside.sh", &[]);
}

#[test]
fn ipvs_cli_and_ipvsadm_install_where_sbin_is_a_directory() {
    in_guest("beside.sh", &["unmerged"]);
}

#[test]
fn there_is_an_ipvsadm_at_every_moment() {
    in_guest("always.sh", &[]);
}

#[test]
fn lintian_has_nothing_against_it() {
    in_guest("lintian.sh", &[]);
}

#[test]
fn its_manual_pages_are_what_man_wants() {
    in_guest("manual.sh", &[]);
}

#[test]
fn its_service_loads_and_saves_rules_on_linux_6_1() {
    in_guest_of(Some("6.1"), "service.sh", &[]);
}

#[test]
fn its_service_loads_and_saves_rules_on_linux_6_12() {
    in_guest_of(Some("6.12"), "service.sh", &[]);
}

/// The lab's kernel can't mark packets: neither nftables nor iptables' old tables are in it.
#[test]
fn its_service_loads_and_saves_rules_on_linux_7_2() {
    in_guest_of(Some("7.2"), "service.sh", &["without-marks"]);
}

#[test]
fn the_rpm_is_installed_used_upgraded_and_removed() {
    in_guest("rpm.sh", &[]);
}

#[test]
fn the_image_has_what_a_container_needs() {
    in_guest("image.sh", &[]);
}

#[test]
fn the_archive_works_where_it_is_unpacked() {
    in_guest("tarball.sh", &[]);
}

#[test]
fn the_program_needs_nothing_but_a_kernel() {
    in_guest("empty.sh", &[]);
}

#[test]
fn shells_complete_its_command_lines() {
    in_guest("completions.sh", &[]);
}
