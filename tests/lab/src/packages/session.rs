//! The packages of one Debian release: found, and fetched from a mirror that need not be trusted.
//!
//! `InRelease` is signed, and has the hash of the list of packages, which has the hash of each
//! package. It resolves the same packages on every host.

use std::{
    env,
    fs::File,
    io::{self, BufReader, Seek, Write},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use liblzma::read::XzDecoder;
use ring::digest::{self, SHA256};

use super::{
    index::{Index, Package},
    mirror::{self, Mirror},
    openpgp::{self, Key},
    refusal::Refusal,
    release::{self, Expected, Release},
    transport::{Sink, Transport},
};
use crate::{
    error::{Context, Error, Result},
    kernel::Suite,
};

/// What `InRelease` may have at most. Debian's have 200,000 bytes.
const RELEASE_LIMIT: u64 = 2_000_000;
/// The list that is used, and its size when it is not compressed.
const LIST: &str = "main/binary-amd64/Packages.xz";
const PLAIN_LIST: &str = "main/binary-amd64/Packages";

/// The packages of one Debian release.
#[derive(Debug)]
pub(crate) struct Session {
    suite: &'static str,
    transport: Transport,
    index: Index,
}

impl Session {
    /// Fetches the release's list of packages. `cache` remembers which release was here.
    pub(crate) fn open(suite: Suite, cache: &Path) -> Result<Self> {
        require_machine()?;
        let mirror = mirror::find()?;
        eprintln!("lab: fetching the package list of Debian {} (about 10 MB) …", suite.name());
        Self::fetch(suite.name(), &mirror, &openpgp::debian(), cache)
    }

    /// The same, with a mirror and keys of the caller's.
    pub(super) fn fetch(suite: &'static str, mirror: &Mirror, keys: &[Key], cache: &Path) -> Result<Self> {
        let transport = Transport::new(&mirror.address, mirror.proxy.as_deref())?;
        let index = list(suite, mirror, &transport, keys, cache)?;
        Ok(Self { suite, transport, index })
    }

    /// Downloads the packages and all they depend on, libc included, into `dir`.
    pub(crate) fn download(&self, packages: &[&str], dir: &Path) -> Result<Vec<PathBuf>> {
        let wanted = self.index.closure(packages).map_err(|name| self.gone(name))?;
        let size: u64 = wanted.iter().map(|package| package.expected.size).sum();
        let (names, count, size) = (packages.join(", "), wanted.len(), size as f64 / 1e6);
        eprintln!("lab: downloading {names} and what they need: {count} packages, {size:.1} MB …");
        wanted.iter().map(|package| self.get(package, dir)).collect()
    }

    /// Downloads these packages and no others into `dir`.
    pub(crate) fn download_alone(&self, packages: &[&str], dir: &Path) -> Result<Vec<PathBuf>> {
        let find = |name: &&str| self.index.find(name).map_err(|name| self.gone(name));
        packages.iter().map(|name| self.get(find(name)?, dir)).collect()
    }

    /// Downloads the package of this version, whatever revision Debian has of it, and no other into
    /// `dir`.
    pub(crate) fn download_version(&self, package: &str, version: &str, dir: &Path) -> Result<Vec<PathBuf>> {
        let found = self.index.find_version(package, version);
        let found = found.ok_or_else(|| self.gone(&format!("{package} {version}")))?;
        Ok(vec![self.get(found, dir)?])
    }

    fn get(&self, package: &Package, dir: &Path) -> Result<PathBuf> {
        let path = dir.join(package.file_name());
        let file = File::create(&path).context(|| format!("write {}", path.display()))?;
        let mut file = Checked::new(file);
        if !self.transport.fetch(&package.path, package.expected.size, &mut file)? {
            return Err(self.gone(&package.name));
        }
        let url = format!("{}/{}", self.transport.mirror(), package.path);
        file.finish(package.expected).map_err(|why| Error::Refused { url, why })?;
        Ok(path)
    }

    fn gone(&self, what: &str) -> Error {
        gone(what, self.suite, &self.transport)
    }
}

fn gone(what: &str, suite: &'static str, transport: &Transport) -> Error {
    Error::Gone { what: what.into(), suite, mirror: transport.mirror().into() }
}

/// Fetches and checks the list of packages.
fn list(suite: &'static str, mirror: &Mirror, transport: &Transport, keys: &[Key], cache: &Path) -> Result<Index> {
    let directory = format!("dists/{suite}");
    let url = |name: &str| format!("{}/{directory}/{name}", transport.mirror());
    let refused = |name: &str, why: Refusal| Error::Refused { url: url(name), why };
    let Some(message) = transport.get(&format!("{directory}/InRelease"), RELEASE_LIMIT)? else {
        return Err(gone("any package", suite, transport));
    };
    let now = Timestamp::now();
    let check = || {
        let message = String::from_utf8(message).map_err(|_| Refusal::Distrusted(openpgp::Distrust::NotSigned))?;
        let text = openpgp::verify(&message, keys, now).map_err(Refusal::Distrusted)?;
        let release = Release::parse(&text)?;
        release.check(suite, now, mirror.accept_expired)?;
        let files = (release.file(LIST)?, release.file(PLAIN_LIST)?);
        Ok((release, files))
    };
    let (release, (packed, plain)) = check().map_err(|why| refused("InRelease", why))?;
    release::remember(&release, &cache.join("releases").join(suite))?.map_err(|why| refused("InRelease", why))?;
    let name = match release.is_by_hash {
        // A mirror that is being updated has the old list under this name, too.
        true => format!("main/binary-amd64/by-hash/SHA256/{}", hex(&packed.sha256)),
        false => LIST.to_owned(),
    };
    let file = tempfile::tempfile_in(cache).context(|| format!("make a file in {}", cache.display()))?;
    let mut file = Checked::new(file);
    if !transport.fetch(&format!("{directory}/{name}"), packed.size, &mut file)? {
        return Err(gone("any package", suite, transport));
    }
    let file = file.finish(packed).map_err(|why| refused(&name, why))?;
    // The signed release says how long it is: a small file can't become an endless one.
    let list = io::Read::take(XzDecoder::new(file), plain.size);
    let index = Index::read(BufReader::new(list)).context(|| format!("unpack {}", url(&name)))?;
    index.map_err(|why| refused(&name, why))
}

/// A file that is hashed while it is written.
struct Checked {
    file: File,
    hash: digest::Context,
    length: u64,
}

impl Checked {
    fn new(file: File) -> Self {
        Self { file, hash: digest::Context::new(&SHA256), length: 0 }
    }

    /// The file, to be read, if it is what was expected.
    fn finish(mut self, expected: Expected) -> Result<File, Refusal> {
        let is_good = self.length == expected.size && self.hash.finish().as_ref() == expected.sha256;
        let is_good = is_good && self.file.rewind().is_ok();
        if is_good { Ok(self.file) } else { Err(Refusal::OtherContent) }
    }
}

impl Write for Checked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.length += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Sink for Checked {
    fn clear(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        (self.hash, self.length) = (digest::Context::new(&SHA256), 0);
        Ok(())
    }
}

/// A hash, as programs print it.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

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
    if matches!(mirror::find(), Err(Error::NoMirror)) {
        missing.push("the address of a Debian mirror: IPVS_LAB_MIRROR=http://MIRROR/debian".into());
    }
    missing
}

/// Whether PATH has such a program.
pub(crate) fn is_program(name: &str) -> bool {
    env::split_paths(&env::var_os("PATH").unwrap_or_default()).any(|dir| dir.join(name).is_file())
}
