//! A director, and the program called on it.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use ipvs::{Client, Table};
use ipvs_cli::director;
use ipvs_cli::env::Environment;
use ipvs_cli::io::Input;

pub(crate) const SHOP: &str = "# a shop
-A -t 192.0.2.1:80 -s wrr
-a -t 192.0.2.1:80 -r 192.0.2.11 -m -w 3
-a -t 192.0.2.1:80 -r 192.0.2.12 -m -w 3
-A -f 10 -s rr -p 600
-a -f 10 -r 192.0.2.11 -i
--set 0 60 0
";

/// A director with its table, and a directory for files.
pub(crate) struct Director {
    pub(crate) kernel: director::Director,
    pub(crate) colors: fn() -> bool,
    /// The terminal, where standard input is none.
    pub(crate) terminal: Option<PathBuf>,
    /// The file that lists the kernel's connections.
    pub(crate) connections: PathBuf,
    state: PathBuf,
    directory: PathBuf,
}

/// What a call did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) status: u8,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The same, as bytes.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) status: u8,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

pub(crate) fn done(status: u8, stdout: &str, stderr: &str) -> Done {
    Done { status, stdout: stdout.to_owned(), stderr: stderr.to_owned() }
}

impl Director {
    pub(crate) fn new() -> Self {
        static DIRECTORIES: AtomicUsize = AtomicUsize::new(0);
        let number = DIRECTORIES.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("ipvs-cli-{}-{number}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let kernel = director::Director::with(Client::fake(Table::new()));
        let (state, connections) = (directory.join("state"), "/dev/null".into());
        Director { kernel, colors: || false, terminal: None, connections, state, directory }
    }

    /// A client of another program.
    pub(crate) fn other_program(&mut self) -> Client {
        self.kernel.client().unwrap().try_clone().unwrap()
    }

    /// From now on the state directory is another one.
    pub(crate) fn keep_state_in(&mut self, directory: &str) {
        self.state = directory.into();
    }

    pub(crate) fn state_directory(&self) -> PathBuf {
        self.state.clone()
    }

    /// The file of this kind that the state directory has for this network namespace.
    pub(crate) fn state_file(&self, kind: &str) -> PathBuf {
        let number = fs::metadata("/proc/thread-self/ns/net").unwrap().ino();
        self.state_directory().join(format!("{number}.{kind}"))
    }

    /// The name of a new file that holds this text.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        self.file_of_bytes(name, text.as_bytes())
    }

    pub(crate) fn file_of_bytes(&self, name: &str, text: &[u8]) -> String {
        let path = self.directory.join(name);
        fs::write(&path, text).unwrap();
        path.into_os_string().into_string().unwrap()
    }

    pub(crate) fn run(&mut self, line: &str) -> Done {
        self.feed(line, "")
    }

    /// Calls it with this on standard input.
    pub(crate) fn feed(&mut self, line: &str, stdin: &str) -> Done {
        self.call(line, &mut stdin.as_bytes(), || false)
    }

    /// Calls it on a terminal, where this is typed.
    pub(crate) fn answer(&mut self, line: &str, typed: &str) -> Done {
        self.call(line, &mut Terminal(typed.as_bytes()), || true)
    }

    /// Calls it on a terminal, with this on standard input instead of the keyboard.
    pub(crate) fn pipe(&mut self, line: &str, mut stdin: &[u8]) -> Done {
        self.call(line, &mut stdin, || true)
    }

    fn call(&mut self, line: &str, stdin: &mut dyn Input, hints: fn() -> bool) -> Done {
        let argv: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let Raw { status, stdout, stderr } = self.call_with(&argv, stdin, hints);
        Done { status, stdout: String::from_utf8(stdout).unwrap(), stderr: String::from_utf8(stderr).unwrap() }
    }

    /// Calls it with these words, whatever is in them.
    pub(crate) fn argv(&mut self, argv: &[OsString], mut stdin: &[u8], hints: fn() -> bool) -> Raw {
        self.call_with(argv, &mut stdin, hints)
    }

    fn call_with(&mut self, argv: &[OsString], stdin: &mut dyn Input, hints: fn() -> bool) -> Raw {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let mut environment = Environment {
            hints,
            colors: self.colors,
            state_directory: Some(&self.state),
            terminal: self.terminal.as_deref(),
            connections: &self.connections,
            ..Environment::new(stdin, &mut stdout, &mut stderr)
        };
        let status = ipvs_cli::run(argv, &mut environment, &mut self.kernel);
        Raw { status, stdout, stderr }
    }

    #[track_caller]
    pub(crate) fn must(&mut self, line: &str) {
        assert_eq!(self.run(line), done(0, "", ""), "{line}");
    }

    pub(crate) fn saved(&mut self) -> String {
        self.run("ipvsadm -S -n").stdout
    }
}

/// A terminal as standard input.
struct Terminal<'t>(&'t [u8]);

impl Read for Terminal<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Input for Terminal<'_> {
    fn would_block(&self) -> bool {
        false
    }

    fn is_terminal(&self) -> bool {
        true
    }
}

impl Drop for Director {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}
