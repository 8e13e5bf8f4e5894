//! A machine whose kernel has no IPVS: the original and `ipvs-cli` say the same.
//!
//! A file of its own, because the module is missing for the whole machine while the test runs. So
//! it runs only in the lab's guest, which no one else needs; anywhere else it would take IPVS away
//! from somebody.

use kernel_tests::case::Status;
use kernel_tests::sandbox;
use kernel_tests::target::{Outcome, Target};
use nix::kmod::{DeleteModuleFlags, delete_module};
use serde_json::{Value, json};
use shell::Shell;
use std::ffi::CString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

#[path = "no_module/reload.rs"]
mod reload;
#[path = "shell/mod.rs"]
mod shell;

/// Held by the test that unloads modules: the others would miss them.
static MACHINE: Mutex<()> = Mutex::new(());

/// The program that the kernel runs to load a module.
const LOADER: &str = "/proc/sys/kernel/modprobe";

/// How long the network namespaces of earlier tests, which use the module, may take to vanish.
const PATIENCE: Duration = Duration::from_secs(120);

const NO_MODULE: &str = "Can't initialize ipvs: Protocol not available\n\
     Are you sure that IP Virtual Server is built in the kernel or as module?\n";

/// The loader of before, which comes back whatever happens.
struct NoLoader(String);

impl NoLoader {
    fn new() -> Self {
        let loader = fs::read_to_string(LOADER).expect("the kernel has modules");
        fs::write(LOADER, "/bin/false").expect("run as root");
        Self(loader.trim_end().to_owned())
    }
}

impl Drop for NoLoader {
    fn drop(&mut self) {
        let _ = fs::write(LOADER, &self.0);
    }
}

#[test]
fn says_that_the_module_is_missing() {
    if std::env::var_os("LAB_KERNEL").is_none() {
        eprintln!("not run: it unloads ip_vs, which only the lab's guest can do without");
        return;
    }
    let _machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let loader = NoLoader::new();
    unload();
    without_modprobe();
    subcommands_have_one_status();
    where_modprobe_finds_no_modules();
    the_doctor_finds_it();
    where_modprobe_finds_it(Path::new(&loader.0));
    drop(loader);
    unload();
    counts_connections_at_once();
    unload();
    loads_again();
    says_which_scheduler_is_missing();
}

/// One fault, one status.
fn subcommands_have_one_status() {
    for line in [
        "apply -",
        "restore",
        "diff -",
        "show",
        "show --json",
        "drain tcp:192.0.2.1:80 192.0.2.11",
        "undrain --all 192.0.2.11",
        "weight --all 192.0.2.11 1",
        "owners",
        "watch --count 1",
        "metrics",
    ] {
        let said = shell::with(Target::IpvsCli, |shell| shell.type_in(&format!("ipvs-cli {line}"), b"-A -f 1\n"));
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        assert_eq!((said.status, text.lines().count()), (Status::Exit(2), 1), "{line}: {text}");
    }
}

fn without_modprobe() {
    let [ipvsadm, ipvs_cli] = [Target::Ipvsadm, Target::IpvsCli].map(|target| shell::with(target, try_everything));
    for ((line, ipvsadm), (_, ipvs_cli)) in ipvsadm.iter().zip(&ipvs_cli) {
        assert_eq!(ipvsadm, ipvs_cli, "{line}");
        let said = String::from_utf8_lossy(&ipvs_cli.stderr);
        assert!(!line.starts_with("ipvsadm") || said == NO_MODULE, "{line}: {said:?}");
    }
}

/// Both run it, and both let it speak for itself.
fn where_modprobe_finds_no_modules() {
    let kmod = shell::find("kmod").expect("the lab brings kmod");
    let [ipvsadm, ipvs_cli] = [Target::Ipvsadm, Target::IpvsCli].map(|target| {
        shell::with(target, |shell| {
            sandbox::install_modprobe(&kmod).unwrap_or_else(|error| panic!("{error}"));
            try_everything(shell)
        })
    });
    for ((line, ipvsadm), (_, ipvs_cli)) in ipvsadm.iter().zip(&ipvs_cli) {
        // ipvsadm runs it also where it may not load anything, ipvs-cli only where the module is
        // missing.
        let [original, own] = [ipvsadm, ipvs_cli].map(|outcome| String::from_utf8_lossy(&outcome.stderr));
        assert!(original.ends_with(&*own), "{line}: ipvsadm {original:?}, ipvs-cli {own:?}");
        assert_eq!((&ipvsadm.stdout, ipvsadm.status), (&ipvs_cli.stdout, ipvs_cli.status), "{line}");
        if line.starts_with("ipvsadm") {
            assert_eq!(original, own, "{line}");
            let own = own.strip_suffix(NO_MODULE).unwrap_or_else(|| panic!("{line}: {own:?}"));
            assert!(own.starts_with("modprobe: FATAL: Module ip_vs not found") && own.lines().count() == 1, "{own:?}");
        }
    }
}

/// The kernel does not load modules by itself, and modprobe knows how to.
fn where_modprobe_finds_it(modprobe: &Path) {
    for target in [Target::Ipvsadm, Target::IpvsCli] {
        unload();
        let outcome = shell::with(target, |shell| {
            sandbox::install_modprobe(modprobe).unwrap_or_else(|error| panic!("{error}"));
            shell.type_in("ipvsadm -L -n", b"")
        });
        let is_listing = outcome.stdout.starts_with(b"IP Virtual Server version");
        assert!(is_listing && outcome.stderr.is_empty(), "{target:?}: {outcome:?}");
    }
}

fn loads_again() {
    let [_, listing] = &shell::with(Target::IpvsCli, Shell::table)[..] else { panic!("what is saved, and a listing") };
    assert!(listing.stdout.starts_with(b"IP Virtual Server"), "the loader is back, but: {listing:?}");
}

/// Their table is a file of the module, which is there once something has made the kernel load it.
fn counts_connections_at_once() {
    let said = shell::with(Target::IpvsCli, |shell| shell.type_in("ipvs-cli metrics --connections", b""));
    assert_eq!((said.status, said.stderr.as_slice()), (Status::Exit(0), b"".as_slice()));
}

fn the_doctor_finds_it() {
    let mut doctor = Command::new(Target::IpvsCli.program().expect("it is built"));
    let output = doctor.arg0("ipvs-cli").args(["doctor", "--json"]).output().expect("it can be started");
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((output.status.code(), found["findings"].as_array().map(Vec::len)), (Some(1), Some(1)), "{found}");
    assert_eq!(
        (&found["findings"][0]["id"], &found["findings"][0]["mend"]),
        (&"no-ipvs".into(), &json!(["modprobe ip_vs"]))
    );
}

/// IPVS is there, and of its schedulers none can be loaded.
fn says_which_scheduler_is_missing() {
    let _loader = NoLoader::new();
    const LINES: [&str; 6] = [
        "ipvsadm -A -t 192.0.2.1:80",
        "ipvsadm -A -t 192.0.2.1:80 -s lblcr",
        "ipvsadm -A -t 192.0.2.1:80 -s rr --pe sip -p",
        "ipvsadm -A -f 1 -s sed",
        "ipvsadm -R",
        "ipvsadm -L -n",
    ];
    let input = b"-A -t 192.0.2.1:80 -s mh\n-a -t 192.0.2.1:80 -r 192.0.2.11\n";
    let try_out = |shell: &mut Shell| LINES.map(|line| shell.type_in(line, input));
    let [ipvsadm, ipvs_cli] = [Target::Ipvsadm, Target::IpvsCli].map(|target| shell::with(target, try_out));
    for ((line, ipvsadm), ipvs_cli) in LINES.iter().zip(&ipvsadm).zip(&ipvs_cli) {
        assert_eq!(ipvsadm, ipvs_cli, "{line}");
    }
    let said = |outcome: &Outcome| String::from_utf8_lossy(&outcome.stderr).into_owned();
    for outcome in &ipvs_cli[..4] {
        assert_eq!(said(outcome), "Scheduler or persistence engine not found\n");
    }
    let applied =
        shell::with(Target::IpvsCli, |shell| shell.type_in("ipvs-cli apply -", b"-A -f 1 -s sed\n-A -f 2 -s dh\n"));
    let missing =
        "standard input:1: the kernel says that it has no scheduler sed (module ip_vs_sed); nothing was changed\n";
    assert_eq!((&*said(&applied), applied.status), (missing, Status::Exit(1)));
    // Of one that not every kernel has, the kernel is asked first.
    let applied = shell::with(Target::IpvsCli, |shell| shell.type_in("ipvs-cli apply -", b"-A -f 1 -s twos\n"));
    let missing = "standard input:1: the kernel says that it has no scheduler twos (module ip_vs_twos)\n";
    assert_eq!((&*said(&applied), applied.status), (missing, Status::Exit(1)));
}

fn try_everything(shell: &mut Shell) -> Vec<(String, Outcome)> {
    let mut done = Vec::new();
    for program in [
        "ipvsadm",
        "setpriv --bounding-set=-net_admin ipvsadm",
        "setpriv --bounding-set=-net_raw ipvsadm",
        "unshare -U -r ipvsadm",
        "unshare -U -r -n ipvsadm",
    ] {
        for arguments in ["", "-S", "-A -t 192.0.2.1:80", "-R", "--bogus"] {
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
