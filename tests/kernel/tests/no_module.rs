//! A machine whose kernel has no IPVS: the original and ours say the same.
//!
//! A file of its own, because the module is missing for the whole machine while the test runs. So it runs only in the lab's guest,
//! which no one else needs; anywhere else it would take IPVS away from somebody.

use kernel_tests::target::{Outcome, Target};
use nix::kmod::{DeleteModuleFlags, delete_module};
use shell::Shell;
use std::ffi::CString;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

#[path = "shell/mod.rs"]
mod shell;

/// The program that the kernel runs to load a module.
const LOADER: &str = "/proc/sys/kernel/modprobe";

/// How long the network namespaces of earlier tests, which use the module, may take to vanish.
const PATIENCE: Duration = Duration::from_secs(20);

const NO_MODULE: &str = "Can't initialize ipvs: Protocol not available\n\
     Are you sure that IP Virtual Server is built in the kernel or as module?\n";

/// The loader of before, which comes back whatever happens.
struct NoLoader(String);

impl NoLoader {
    fn new() -> Self {
        let loader = fs::read_to_string(LOADER).expect("the kernel has modules");
        fs::write(LOADER, "/bin/false").expect("run as root");
        Self(loader)
    }
}

impl Drop for NoLoader {
    fn drop(&mut self) {
        let _ = fs::write(LOADER, self.0.trim_end());
    }
}

#[test]
fn says_that_the_module_is_missing() {
    if std::env::var_os("LAB_KERNEL").is_none() {
        eprintln!("not run: it unloads ip_vs, which only the lab's guest can do without");
        return;
    }
    let loader = NoLoader::new();
    unload();
    let [theirs, ours] = [Target::Theirs, Target::Ours].map(|target| shell::with(target, try_everything));
    for ((line, theirs), (_, ours)) in theirs.iter().zip(&ours) {
        // The original also runs a program to load it, which may say something first.
        let said = String::from_utf8_lossy(&theirs.stderr);
        assert!(said.ends_with(&*String::from_utf8_lossy(&ours.stderr)), "{line}: theirs {theirs:?}, ours {ours:?}");
        assert_eq!((&theirs.stdout, theirs.status), (&ours.stdout, ours.status), "{line}");
        let permitted = !line.starts_with("unshare");
        assert_eq!(String::from_utf8_lossy(&ours.stderr) == NO_MODULE, permitted, "{line}: {ours:?}");
    }
    drop(loader);
    let listing = shell::with(Target::Ours, |shell| shell.type_in("ipvsadm -L -n", b""));
    assert!(listing.stdout.starts_with(b"IP Virtual Server"), "the module is back, but: {listing:?}");
}

fn try_everything(shell: &mut Shell) -> Vec<(String, Outcome)> {
    let mut done = Vec::new();
    for program in ["ipvsadm", "unshare -U -r ipvsadm"] {
        for arguments in ["", "-L -n", "-S", "-A -t 192.0.2.1:80", "-C", "-R", "--set 1 2 3", "--bogus"] {
            let line = format!("{program} {arguments}");
            let outcome = shell.type_in(&line, b"-A -t 192.0.2.1:80\n");
            done.push((line, outcome));
        }
    }
    done
}

/// Unloads IPVS, first what depends on it.
fn unload() {
    let end = Instant::now() + PATIENCE;
    loop {
        let mut modules = loaded();
        if modules.is_empty() {
            return;
        }
        modules.sort_by_key(|name| std::cmp::Reverse(name.len()));
        let results: Vec<_> = modules.iter().map(|name| remove(name)).collect();
        if results.iter().any(Result::is_err) {
            assert!(Instant::now() < end, "{modules:?} cannot be unloaded: {results:?}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

fn loaded() -> Vec<String> {
    let modules = fs::read_to_string("/proc/modules").expect("/proc is mounted");
    let names = modules.lines().filter_map(|line| line.split(' ').next());
    names.filter(|name| name.starts_with("ip_vs")).map(str::to_owned).collect()
}

fn remove(module: &str) -> nix::Result<()> {
    let name = CString::new(module).expect("a name of /proc/modules");
    delete_module(&name, DeleteModuleFlags::O_NONBLOCK)
}
