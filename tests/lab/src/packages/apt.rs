//! A private apt: its own sources, lists and (empty) package database, so that it needs no
//! privileges, changes nothing on the host, and resolves the same packages on every host.

use std::{
    env, fs,
    io::{self, IsTerminal},
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

use tempfile::TempDir;

use super::mirror;
use crate::{
    error::{Context, Error, Result},
    kernel::Suite,
    signals,
};

/// Where Debian's packages of archive keys put them.
const KEYRINGS: [&str; 2] =
    ["/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"];

/// What apt-get says of a release that the mirror does not have.
const NO_RELEASE: &str = "does not have a Release file";
/// And of a package.
const NO_PACKAGE: &str = "Unable to locate package";

/// The package lists of one Debian release, gone again when dropped.
#[derive(Debug)]
pub(crate) struct Session {
    suite: Suite,
    mirror: String,
    dir: TempDir,
}

impl Session {
    /// Fetches the release's package list into a new directory inside `parent`.
    pub(crate) fn open(suite: Suite, parent: &Path) -> Result<Self> {
        require_machine()?;
        let mirror = mirror::find()?;
        let keyring = keyring()?;
        let dir = tempfile::Builder::new()
            .prefix("apt-")
            .tempdir_in(parent)
            .context(|| format!("make a directory in {}", parent.display()))?;
        write_configuration(dir.path(), suite, &mirror, &keyring)?;
        let session = Self { suite, mirror, dir };
        eprintln!("lab: fetching the package list of Debian {} (about 10 MB) …", suite.name());
        let status = session.apt_get(&["update"], parent)?;
        if !status.success() && session.is_gone(&["update"], NO_RELEASE)? {
            return Err(session.gone("any package"));
        }
        session.check(status, "fetching the package list")?;
        Ok(session)
    }

    /// Whether apt-get says this when it is run again: its first words went to the terminal.
    fn is_gone(&self, arguments: &[&str], message: &str) -> Result<bool> {
        let output = self.command().args(arguments).output().context(|| "run apt-get".into())?;
        Ok(String::from_utf8_lossy(&output.stderr).contains(message))
    }

    fn gone(&self, what: &str) -> Error {
        let (suite, mirror) = (self.suite.name(), self.mirror.clone());
        Error::Gone { what: what.into(), suite, mirror }
    }

    /// Downloads the packages and all they depend on, libc included, into `dir`.
    pub(crate) fn download(&self, packages: &[&str], dir: &Path) -> Result<Vec<PathBuf>> {
        let wanted = self.resolve(packages)?;
        let size: u64 = wanted.iter().map(|package| package.size).sum();
        let (names, count, size) = (packages.join(", "), wanted.len(), size as f64 / 1e6);
        eprintln!("lab: downloading {names} and what they need: {count} packages, {size:.1} MB …");
        let names: Vec<&str> = wanted.iter().map(|package| package.name.as_str()).collect();
        self.download_alone(&names, dir)
    }

    /// Downloads these packages and no others into `dir`.
    pub(crate) fn download_alone(&self, packages: &[&str], dir: &Path) -> Result<Vec<PathBuf>> {
        let arguments = [&["download"], packages].concat();
        let mut status = self.apt_get(&arguments, dir)?;
        if !status.success() {
            eprintln!("lab: the mirror may have replaced a package since its list was fetched; fetching it again …");
            self.apt_get(&["update"], dir)?;
            status = self.apt_get(&arguments, dir)?;
        }
        self.check(status, &format!("downloading {}", packages.join(", ")))?;
        debs(dir)
    }

    /// What installing the packages on an empty system would download.
    fn resolve(&self, packages: &[&str]) -> Result<Vec<Package>> {
        let mut command = self.command();
        command.args(["--print-uris", "--yes", "-qq", "install"]).args(packages);
        let output = command.output().context(|| "run apt-get".into())?;
        if !output.status.success() {
            if String::from_utf8_lossy(&output.stderr).contains(NO_PACKAGE) {
                return Err(self.gone(&packages.join(", ")));
            }
            eprint!("{}", String::from_utf8_lossy(&output.stderr));
            self.check(output.status, &format!("looking for {}", packages.join(", ")))?;
        }
        Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(Package::parse).collect())
    }

    /// Runs apt-get with its progress on our stderr: stdout belongs to the script that the user
    /// wants to run.
    fn apt_get(&self, arguments: &[&str], directory: &Path) -> Result<ExitStatus> {
        signals::check()?;
        let stderr = io::stderr().as_fd().try_clone_to_owned().context(|| "duplicate stderr".into())?;
        let mut command = self.command();
        if !io::stderr().is_terminal() {
            command.arg("-qq");
        }
        command
            .args(arguments)
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(stderr)
            .status()
            .context(|| "run apt-get".into())
    }

    fn command(&self) -> Command {
        let mut command = Command::new("apt-get");
        command.env("APT_CONFIG", self.dir.path().join("apt.conf")).env("LC_ALL", "C.UTF-8");
        command
    }

    fn check(&self, status: ExitStatus, what: &str) -> Result<()> {
        if status.success() {
            return Ok(());
        }
        let what = format!("{what} (Debian {})", self.suite.name());
        Err(Error::Download { what, status, mirror: self.mirror.clone() })
    }
}

/// A package to download.
#[derive(Debug, PartialEq, Eq)]
struct Package {
    name: String,
    size: u64,
}

impl Package {
    /// Reads a line of apt-get's: `'http://…/x_1.2_amd64.deb' x_1.2_amd64.deb 12345 SHA256:…`.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ').skip(1);
        let name = words.next()?.split('_').next()?.to_owned();
        Some(Self { name, size: words.next()?.parse().ok()? })
    }
}

/// Unpacks one package file.
pub(crate) fn unpack(deb: &Path, into: &Path) -> Result<()> {
    let mut command = Command::new("dpkg-deb");
    super::tree::run(command.arg("--extract").arg(deb).arg(into))
}

/// Programs, and the packages that have them.
const PROGRAMS: [(&str, &str); 5] =
    [("apt-get", "apt"), ("dpkg-deb", "dpkg"), ("tar", "tar"), ("gzip", "gzip"), ("md5sum", "coreutils")];

/// An error with everything that this machine lacks to fetch packages, and the lab's kernels.
pub(crate) fn require_machine() -> Result<()> {
    require(missing())
}

/// The same, with what else is missing.
pub(crate) fn require(missing: Vec<String>) -> Result<()> {
    if missing.is_empty() { Ok(()) } else { Err(Error::Machine { missing }) }
}

/// What this machine lacks to fetch packages.
pub(crate) fn missing() -> Vec<String> {
    let mut missing = Vec::new();
    if env::consts::ARCH != "x86_64" {
        missing.push(format!(
            "an x86_64 processor: Debian has the lab's kernels for no other, and this is {}",
            env::consts::ARCH
        ));
    }
    let programs = PROGRAMS.iter().filter(|(program, _)| !is_program(program));
    missing.extend(programs.map(|(program, package)| format!("the program {program}, of Debian's package {package}")));
    if keyring().is_err() {
        missing.push(format!("Debian's archive keys, {}: the package debian-archive-keyring", KEYRINGS[0]));
    }
    if is_program("apt-get") && matches!(mirror::find(), Err(Error::NoMirror)) {
        missing.push(
            "a Debian mirror, which apt's configuration does not name: IPVS_LAB_MIRROR=http://MIRROR/debian".into(),
        );
    }
    missing
}

/// Whether PATH has such a program.
pub(crate) fn is_program(name: &str) -> bool {
    env::split_paths(&env::var_os("PATH").unwrap_or_default()).any(|dir| dir.join(name).is_file())
}

fn keyring() -> Result<PathBuf> {
    let found = KEYRINGS.iter().map(PathBuf::from).find(|path| path.exists());
    found.ok_or_else(|| Error::NoKeyring(KEYRINGS[0].into()))
}

/// apt reads one file of the lab in place of all of the host's: hooks and pins stay out. Proxies
/// and the like come in.
fn write_configuration(dir: &Path, suite: Suite, mirror: &str, keyring: &Path) -> Result<()> {
    for name in ["state", "lists/partial", "cache"] {
        make_dir(&dir.join(name))?;
    }
    write(&dir.join("status"), "")?;
    let source = format!("deb [signed-by={}] {mirror} {} main\n", keyring.display(), suite.name());
    write(&dir.join("sources.list"), &source)?;
    let place = dir.display();
    // Old lists will do, as long as they are signed: mirrors lag behind, and sid's lists count as
    // too old after a week.
    let own = format!(
        r#"Dir::Etc::Parts "/dev/null"; Dir::Etc::main "/dev/null";
Dir::Etc::SourceList "{place}/sources.list"; Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null"; Dir::Etc::PreferencesParts "/dev/null";
Dir::State "{place}/state"; Dir::State::Lists "{place}/lists"; Dir::State::status "{place}/status";
Dir::Cache "{place}/cache"; Dir::Log "{place}";
APT::Architecture "amd64"; APT::Architectures {{ "amd64"; }};
APT::Install-Recommends "false"; APT::Sandbox::User ""; APT::Update::Error-Mode "any";
Acquire::Languages "none"; Acquire::Retries "2"; Acquire::Check-Valid-Until "false"; Debug::NoLocking "true";
Acquire::http::Proxy::127.0.0.1 "DIRECT"; Acquire::http::Proxy::localhost "DIRECT";
"#
    );
    write(&dir.join("apt.conf"), &format!("{}{own}", host_transport_settings()?))
}

/// The host's settings for reaching mirrors: proxies, timeouts, certificates. Not what it wants to
/// fetch.
fn host_transport_settings() -> Result<String> {
    let output = Command::new("apt-config").args(["dump", "Acquire"]).output().context(|| "run apt-config".into())?;
    let all = String::from_utf8_lossy(&output.stdout).into_owned();
    let wanted = |line: &&str| !line.starts_with("Acquire::IndexTargets") && !line.starts_with("Acquire::Languages");
    Ok(all.lines().filter(wanted).map(|line| format!("{line}\n")).collect())
}

fn debs(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).context(|| format!("read {}", dir.display()))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    Ok(paths.filter(|path| path.extension().is_some_and(|ext| ext == "deb")).collect())
}

fn make_dir(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).context(|| format!("make {}", dir.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_apt_names_a_package_and_its_size() {
        let line = "'http://a.test/debian/pool/main/l/x/libnl-3-200_3.7.0-0.2%2bb1_amd64.deb' libnl-3-200_3.7.0-0.2+b1_amd64.deb 63124 SHA256:ab";
        assert_eq!(Package::parse(line), Some(Package { name: "libnl-3-200".into(), size: 63124 }));
        assert_eq!(Package::parse("Reading package lists..."), None);
    }
}
