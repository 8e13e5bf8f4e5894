//! Building for other processors with what Debian has: its cross compilers, and the standard
//! library compiled from its sources, which must be of the very release of this machine's Rust.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use clap::ValueEnum;
use tempfile::TempDir;

use crate::{
    cache::Cache,
    error::{Context, Error, Result},
    kernel::Suite,
    packages::{Session, Tree, output},
    workspace::Workspace,
};

/// Grows when the way in which these trees are made changes.
const RECIPE: u32 = 1;
/// Megabytes that one of them takes while it is made.
const ROOM: u64 = 1000;
/// Makes a released cargo and rustc take the option `-Z build-std`.
const UNSTABLE: &str = "RUSTC_BOOTSTRAP";
/// Where cargo then finds the standard library, if it is not among rustup's components.
const LIBRARY: &str = "__CARGO_TESTS_ONLY_SRC_ROOT";
const BUILD_STD: &str = "-Zbuild-std=std,panic_abort,panic_unwind,proc_macro,test";

/// A processor that programs can be built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// 64-bit ARM: directors run on it.
    #[value(name = "aarch64-unknown-linux-gnu")]
    Aarch64,
    /// IBM Z, the witness for numbers whose first byte is the highest.
    #[value(name = "s390x-unknown-linux-gnu")]
    S390x,
    /// x86 of 32 bits, the witness for small pointers.
    #[value(name = "i686-unknown-linux-gnu")]
    I686,
}

/// What differs from target to target.
struct Names {
    triple: &'static str,
    /// Of GNU's programs.
    gnu: &'static str,
    /// The package with the C library.
    library: &'static str,
    /// The emulator of one program.
    emulator: &'static str,
    /// What tells cargo about the linker, the emulator and the C compiler.
    variables: [&'static str; 4],
}

impl Target {
    fn names(self) -> Names {
        match self {
            Self::Aarch64 => Names {
                triple: "aarch64-unknown-linux-gnu",
                gnu: "aarch64-linux-gnu",
                library: "libc6-dev-arm64-cross",
                emulator: "qemu-aarch64-static",
                variables: [
                    "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER",
                    "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER",
                    "CC_aarch64_unknown_linux_gnu",
                    "AR_aarch64_unknown_linux_gnu",
                ],
            },
            Self::S390x => Names {
                triple: "s390x-unknown-linux-gnu",
                gnu: "s390x-linux-gnu",
                library: "libc6-dev-s390x-cross",
                emulator: "qemu-s390x-static",
                variables: [
                    "CARGO_TARGET_S390X_UNKNOWN_LINUX_GNU_LINKER",
                    "CARGO_TARGET_S390X_UNKNOWN_LINUX_GNU_RUNNER",
                    "CC_s390x_unknown_linux_gnu",
                    "AR_s390x_unknown_linux_gnu",
                ],
            },
            Self::I686 => Names {
                triple: "i686-unknown-linux-gnu",
                gnu: "i686-linux-gnu",
                library: "libc6-dev-i386-cross",
                emulator: "qemu-i386-static",
                variables: [
                    "CARGO_TARGET_I686_UNKNOWN_LINUX_GNU_LINKER",
                    "CARGO_TARGET_I686_UNKNOWN_LINUX_GNU_RUNNER",
                    "CC_i686_unknown_linux_gnu",
                    "AR_i686_unknown_linux_gnu",
                ],
            },
        }
    }
}

/// All that building for a target takes.
#[derive(Debug)]
pub(crate) struct Cross {
    target: Target,
    compiler: PathBuf,
    emulators: PathBuf,
    library: PathBuf,
}

impl Cross {
    /// Fetches what is missing. The cache's tools must be there.
    pub(crate) fn ensure(cache: &Cache, target: Target) -> Result<Self> {
        let version = rust_version()?;
        let tree = |name: String| cache.dir().join(format!("{name}.{RECIPE}"));
        let sources = tree(format!("rust-src-{version}"));
        let this = Self {
            target,
            compiler: tree(format!("cross-{}", target.names().gnu)),
            emulators: tree("emulators-of-programs".into()),
            library: sources.join(format!("usr/src/rustc-{version}/library")),
        };
        if this.compiler.exists() && this.emulators.exists() && sources.exists() {
            return Ok(this);
        }
        let _lock = cache.lock()?;
        let session = |suite| {
            cache.require_megabytes(ROOM)?;
            Session::open(suite, cache.dir())
        };
        if !this.compiler.exists() {
            make_compiler(&session(Suite::Bookworm)?, cache, &target.names(), &this.compiler)?;
        }
        if !this.emulators.exists() {
            make_emulators(&session(Suite::Bookworm)?, &this.emulators)?;
        }
        if !sources.exists() {
            let archives = archives_beside(&sources)?;
            let session = session(Suite::TrixieBackports)?;
            let debs = session.download_version("rust-src", &version, archives.path())?;
            Tree::of_files(&debs, &sources)?.without(&["usr/share"]).settle()?;
        }
        Ok(this)
    }

    /// The workspace, whose cargo builds for the target with [`Self::arguments`].
    pub(crate) fn workspace(&self) -> Result<Workspace> {
        let Names { variables: [linker, runner, cc, ar], emulator, .. } = self.target.names();
        // What an emulated PC has in memory twice shall be small.
        let workspace = Workspace::find()?.with("CARGO_PROFILE_DEV_DEBUG", "0");
        let workspace = workspace.with(UNSTABLE, "1").with(LIBRARY, &self.library);
        let workspace = workspace.with(linker, self.compiler.join("lab-bin/gcc"));
        let workspace = workspace.with(runner, self.emulators.join("usr/bin").join(emulator));
        Ok(workspace.with(cc, self.compiler.join("lab-bin/gcc")).with(ar, self.compiler.join("lab-bin/ar")))
    }

    /// Arguments of cargo beside what to build. The directory is another one, as the variables also
    /// change programs of this machine.
    pub(crate) fn arguments(&self) -> [&'static str; 5] {
        ["--target", self.target.names().triple, BUILD_STD, "--target-dir", "target/cross"]
    }
}

/// The release of the Rust that this is built with, such as `1.95.0`.
fn rust_version() -> Result<String> {
    let said = output(Command::new("rustc").arg("--version"))?;
    let version = said.split(' ').nth(1).map(str::to_owned);
    version.ok_or_else(|| Error::Missing(format!("a version in `{}`", said.trim_end()).into()))
}

/// Debian's cross compiler, which finds all that it needs beside itself.
fn make_compiler(session: &Session, cache: &Cache, names: &Names, home: &Path) -> Result<()> {
    let gnu = names.gnu;
    let tree = Tree::unpack(session, &[&format!("gcc-{gnu}"), names.library], home)?;
    let own = tree.path().join("usr/lib/gcc-cross").join(gnu);
    let entry = fs::read_dir(&own).ok().and_then(|mut entries| entries.next()?.ok());
    let version = entry.ok_or_else(|| Error::Missing(own.clone()))?.file_name();
    let inside = |name: &str| format!("{name}=../lib/gcc-cross/{gnu}/{}/{name}", version.display());
    let named = |name: &str, program: &str| format!("{name}={gnu}-{program}");
    let commands = [
        named("gcc", "gcc"),
        named("as", "as"),
        named("ld", "ld.bfd"),
        named("ar", "ar"),
        inside("cc1"),
        inside("collect2"),
    ];
    tree.expose("lab-bin", &commands.each_ref().map(String::as_str), &cache.tools())?;
    tree.settle()
}

/// Of Debian's emulators of single programs, those of the targets.
fn make_emulators(session: &Session, home: &Path) -> Result<()> {
    let archives = archives_beside(home)?;
    let debs = session.download_alone(&["qemu-user-static"], archives.path())?;
    let tree = Tree::of_files(&debs, home)?.without(&["usr/share", "usr/libexec"]);
    let kept: Vec<_> = Target::value_variants().iter().map(|target| target.names().emulator).collect();
    let bin = tree.path().join("usr/bin");
    for entry in fs::read_dir(&bin).context(|| format!("read {}", bin.display()))?.flatten() {
        if !kept.iter().any(|name| entry.file_name() == *name) {
            fs::remove_file(entry.path()).context(|| format!("remove {}", entry.path().display()))?;
        }
    }
    tree.settle()
}

/// A directory for packages, in the same file system.
fn archives_beside(home: &Path) -> Result<TempDir> {
    let parent = home.parent().unwrap_or(Path::new("/"));
    let made = tempfile::Builder::new().prefix("debs-").tempdir_in(parent);
    made.context(|| format!("make a directory in {}", parent.display()))
}
