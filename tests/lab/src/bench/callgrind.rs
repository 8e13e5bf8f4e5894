//! Instructions of a program, counted by valgrind's tool callgrind: from PATH, else from Debian,
//! fetched at first use.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    cache::Cache,
    error::{Context, Error, Result},
    kernel::Suite,
    packages::{self, Session, Tree},
};

/// Grows when the way in which the tree is made changes.
const RECIPE: u32 = 1;
/// What the packages have and a static program does not need.
const SUPERFLUOUS: [&str; 3] = ["usr/include", "usr/share", "usr/lib/debug"];
/// Where valgrind's tools are.
const TOOLS: &str = "usr/libexec/valgrind";
/// What is needed of them begins like this.
const TOOLS_KEPT: [&str; 3] = ["callgrind-amd64-linux", "vgpreload_core-amd64-linux", "default.supp"];

/// It, ready to run.
#[derive(Debug)]
pub(crate) struct Callgrind {
    valgrind: PathBuf,
    /// Where its tools are, if not where it expects them.
    tools: Option<PathBuf>,
}

/// How many instructions a run took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    /// Of functions in Rust.
    pub(super) rust: u64,
    /// Of all others: the C library.
    pub(super) other: u64,
}

impl Callgrind {
    /// That of this machine or of the cache.
    pub(crate) fn find(cache: &Cache) -> Result<Self> {
        if packages::is_program("valgrind") {
            return Ok(Self { valgrind: "valgrind".into(), tools: None });
        }
        cache.ensure(&[])?;
        let tree = cache.dir().join(format!("valgrind.{RECIPE}"));
        let _lock = cache.lock()?;
        if !tree.exists() {
            make(cache, &tree)?;
        }
        Ok(Self { valgrind: tree.join("lab-bin/valgrind"), tools: Some(tree.join(TOOLS)) })
    }

    /// Runs the program, which must have its symbols, and be static if valgrind is of the cache.
    pub(super) fn count(&self, program: &Path, arguments: &[&str]) -> Result<Count> {
        let text = self.run(&["--compress-strings=no", "--compress-pos=no"], program, arguments)?;
        read(&text).ok_or(Error::Missing("a total in callgrind's figures that is their sum".into()))
    }

    /// The same in parts, one of which ends whenever this function begins, without what another
    /// function does: names with `*`.
    pub(super) fn parts(&self, program: &Path, arguments: &[&str], function: &str, without: &str) -> Result<Vec<u64>> {
        let (before, toggle) = (format!("--dump-before={function}"), format!("--toggle-collect={without}"));
        let options = [&*before, "--combine-dumps=yes", &*toggle, "--collect-atstart=yes"];
        let text = self.run(&options, program, arguments)?;
        let totals = text.lines().filter_map(|line| line.strip_prefix("totals: "));
        let parts: Option<Vec<u64>> = totals.map(|total| total.trim().parse().ok()).collect();
        parts.ok_or(Error::Missing("a total in callgrind's figures that is a number".into()))
    }

    /// What callgrind writes.
    fn run(&self, options: &[&str], program: &Path, arguments: &[&str]) -> Result<String> {
        let directory = tempfile::tempdir().context(|| "make a directory".into())?;
        let file = directory.path().join("callgrind");
        let mut command = Command::new(&self.valgrind);
        // The same environment everywhere: it is on the stack, in one place or another.
        command.env_clear().env("PATH", env::var_os("PATH").unwrap_or_default());
        command.envs(self.tools.iter().map(|tools| ("VALGRIND_LIB", tools)));
        command.args(["--quiet", "--vgdb=no", "--tool=callgrind", "--demangle=no"]).args(options);
        command.arg(format!("--callgrind-out-file={}", file.display()));
        packages::run(command.arg(program).args(arguments).stdin(Stdio::null()))?;
        fs::read_to_string(&file).context(|| format!("read {}", file.display()))
    }
}

fn make(cache: &Cache, home: &Path) -> Result<()> {
    cache.require_room()?;
    let session = Session::open(Suite::Bookworm, cache.dir())?;
    let tree = Tree::unpack(&session, &["valgrind"], home)?.without(&SUPERFLUOUS);
    tree.expose("lab-bin", &["valgrind=valgrind.bin"], &cache.tools())?;
    let tools = tree.path().join(TOOLS);
    for entry in fs::read_dir(&tools).context(|| format!("read {}", tools.display()))?.flatten() {
        let name = entry.file_name();
        if !TOOLS_KEPT.iter().any(|kept| name.to_string_lossy().starts_with(kept)) {
            let _ = fs::remove_file(entry.path());
        }
    }
    tree.settle()
}

/// Adds up a file of callgrind's: `fn=NAME`, then a line `PLACE INSTRUCTIONS` for each of its lines
/// in the source. Behind `calls=…` is what the called function took, which has an `fn=` of its own.
fn read(text: &str) -> Option<Count> {
    let mut count = Count { rust: 0, other: 0 };
    let mut total: Option<u64> = None;
    let mut is_rust = false;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("fn=") {
            is_rust = is_rust_symbol(name);
        } else if line.starts_with("calls=") {
            lines.next();
        } else if let Some(number) = line.strip_prefix("totals: ") {
            total = number.trim().parse().ok();
        } else if line.starts_with(|c: char| c.is_ascii_digit()) {
            let instructions: u64 = line.split(' ').nth(1)?.parse().ok()?;
            *if is_rust { &mut count.rust } else { &mut count.other } += instructions;
        }
    }
    (total? == count.rust + count.other).then_some(count)
}

/// In its two ways to write names, the older of which C++ has, too.
fn is_rust_symbol(name: &str) -> bool {
    name.starts_with("_ZN") || name.starts_with("_R")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
# callgrind format
positions: line
events: Ir
summary: 25

ob=/x/codec
fl=???
fn=_ZN5codec4main17h0123456789abcdefE
0 6
cfn=malloc
calls=2 0
0 12
12 3
fn=malloc
0 12
fn=_RNvCs_5codec4work
7 4

totals: 25
";

    #[test]
    fn calls_of_a_function_are_counted_once() {
        assert_eq!(read(FILE), Some(Count { rust: 13, other: 12 }));
    }

    #[test]
    fn half_a_file_is_no_count() {
        assert_eq!(read(&FILE.replace("totals: 25\n", "")), None);
        assert_eq!(read(&FILE.replace("7 4\n", "")), None);
    }
}
