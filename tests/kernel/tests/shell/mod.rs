//! A shell in a fresh network namespace in which `ipvsadm` is the program under test.

use kernel_tests::case::CommandLine;
use kernel_tests::sandbox;
use kernel_tests::target::{Outcome, Request, Session, Target};
use std::env;
use std::ffi::OsString;
use std::mem;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The directory of the sandbox whose programs the shell finds first.
const BIN: &str = "/usr/local/sbin";

/// How long a command may take. A busy machine is slow.
const DEADLINE: Duration = Duration::from_secs(60);

/// How often a table is listed again; rehashing it takes milliseconds.
const LISTINGS: usize = 20;

pub(crate) struct Shell {
    session: Box<dyn Session>,
    path: OsString,
}

/// Runs `work` with a shell in which `ipvsadm` is the target.
pub(crate) fn with<T: Send>(target: Target, work: impl FnOnce(&mut Shell) -> T + Send) -> T {
    std::thread::scope(|scope| {
        // Namespaces belong to a thread.
        let world = scope.spawn(|| work(&mut Shell::new(target)));
        world.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

impl Shell {
    fn new(target: Target) -> Self {
        let iptables = find("iptables-legacy");
        sandbox::enter(&program(target)).unwrap_or_else(|error| panic!("{error}"));
        if let Some(iptables) = iptables {
            symlink(iptables, Path::new(BIN).join("iptables")).expect("the sandbox's directory is empty");
        }
        let mut path = OsString::from(BIN);
        path.push(":");
        path.push(env::var_os("PATH").unwrap_or_default());
        Self { session: target.session().expect("the program is known"), path }
    }

    /// What happens when the line is typed, and `stdin` then.
    pub(crate) fn type_in(&mut self, line: &str, stdin: &[u8]) -> Outcome {
        self.start(["bash", "-c", line].map(OsString::from).to_vec(), stdin)
    }

    /// What a program does with these words, without a shell between.
    pub(crate) fn start(&mut self, argv: Vec<OsString>, stdin: &[u8]) -> Outcome {
        let env = vec![("PATH".into(), self.path.clone()), ("LC_ALL".into(), "C.UTF-8".into())];
        let typed = CommandLine { env, argv, stdout: None };
        let request = Request { command: &typed, stdin, deadline: DEADLINE };
        self.session.run(request).unwrap_or_else(|error| panic!("{:?}: {error}", typed.argv))
    }

    /// The kernel's state as the original shows it: what it shows twice in a row. Linux 7.2
    /// rehashes many services some time after they were added, and a listing meanwhile has some of
    /// them twice and others not at all.
    pub(crate) fn table(&mut self) -> Vec<Outcome> {
        let mut shown = self.listings();
        for _again in 0..LISTINGS {
            let before = mem::replace(&mut shown, self.listings());
            if shown == before {
                return shown;
            }
        }
        panic!("the table does not come to rest");
    }

    fn listings(&mut self) -> Vec<Outcome> {
        let ipvsadm = program(Target::Ipvsadm);
        ["-S -n", "-L -n"].map(|arguments| self.type_in(&format!("'{}' {arguments}", ipvsadm.display()), b"")).to_vec()
    }
}

/// The file of a program that runs on the real kernel.
pub(crate) fn program(target: Target) -> PathBuf {
    target.program().unwrap_or_else(|error| panic!("{error}"))
}

/// The file of a program in PATH.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|directory| directory.join(program)).find(|file| file.exists())
}
