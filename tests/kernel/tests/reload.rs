//! What a reload of the table does to clients: a stream of short connections and some long ones go
//! through a director while its table is changed ten times.
//!
//! Prints what each way of reloading costs; the figures are in docs/performance.md.
//! `RELOAD_SERVICES` makes the table larger.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, fs, thread};

use ipvs::{Client, ServiceKey};

use network::{Network, VIRTUAL};
use traffic::{Clients, Report};

#[path = "reload/network.rs"]
mod network;
#[path = "reload/rules.rs"]
mod rules;
#[path = "reload/traffic.rs"]
mod traffic;

/// How often the table is changed.
const CHANGES: usize = 10;

/// The least number of short connections in each of the eleven times between changes.
const SHORT_BETWEEN_CHANGES: usize = 200;

/// A way to bring the director to the rules in a file.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// What the original's ipvsadm-restore does: `ipvsadm -C`, then `ipvsadm -R`.
    ClearAndRefill,
    /// Our ipvsadm-restore.
    Restore,
    /// `ipvs-cli apply FILE`.
    Apply,
}

impl Way {
    fn reload(self, rules: &Path) {
        match self {
            Way::ClearAndRefill => {
                run(Command::new(program("IPVSADM")).arg("-C"));
                run(Command::new(program("IPVSADM")).arg("-R").stdin(fs::File::open(rules).unwrap()));
            }
            Way::Restore => {
                let mut restore = Command::new(program("IPVS_CLI"));
                run(restore.arg0("ipvsadm-restore").stdin(fs::File::open(rules).unwrap()));
            }
            Way::Apply => run(Command::new(program("IPVS_CLI")).arg0("ipvs-cli").arg("apply").arg(rules)),
        }
    }
}

fn program(variable: &str) -> PathBuf {
    env::var_os(variable).unwrap_or_else(|| panic!("{variable} is not set: the lab sets it")).into()
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{command:?}: {} {stderr}", output.status);
}

/// Changes the table ten times under load.
fn reload_under_load(way: Way) -> Report {
    let network = Network::build();
    let directory = env::temp_dir().join(format!("reload-{way:?}-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let services = env::var("RELOAD_SERVICES").map_or(300, |text| text.parse().unwrap());
    let files = [0, 1].map(|version| {
        let path = directory.join(format!("{version}.rules"));
        fs::write(&path, rules::version(version, services)).unwrap();
        path
    });
    network.on_director(|| {
        way.reload(&files[0]);
        let clients = Clients::start(&network);
        for change in 1..=CHANGES {
            clients.wait_for_short(change * SHORT_BETWEEN_CHANGES);
            way.reload(&files[change % 2]);
        }
        clients.wait_for_short((CHANGES + 1) * SHORT_BETWEEN_CHANGES);
        let mut report = clients.stop();
        report.counted = counted(report.short_made + report.long_held);
        println!("{way:?}, {services} services: {report}");
        report
    })
}

/// The virtual service's counter of connections, once it is at least what is expected, or has
/// stopped: the kernel brings it up to date every two seconds.
fn counted(expected: u64) -> u64 {
    let key = ServiceKey::tcp(VIRTUAL);
    let mut client = Client::connect().unwrap();
    let (mut last, mut same) = (None, 0);
    loop {
        let connections = client.service(&key).unwrap().statistics.unwrap().connections;
        same = if last == Some(connections) { same + 1 } else { 0 };
        // On a busy machine it may miss its turn.
        if connections >= expected || same == 5 {
            return connections;
        }
        last = Some(connections);
        thread::sleep(Duration::from_secs(3));
    }
}

#[track_caller]
fn loses_nothing(report: &Report) {
    assert!(report.short_made >= 2000, "{report}");
    assert_eq!((report.short_failed, report.long_cut), (0, 0), "{report}");
    assert!(report.counted >= report.short_made + report.long_held, "{report}");
}

#[test]
fn apply_loses_nothing() {
    loses_nothing(&reload_under_load(Way::Apply));
}

#[test]
fn ipvsadm_restore_of_ipvs_cli_loses_nothing() {
    loses_nothing(&reload_under_load(Way::Restore));
}

/// Shows that the load would notice.
#[test]
fn the_original_ipvsadm_restore_loses_counters() {
    let report = reload_under_load(Way::ClearAndRefill);
    assert!(report.counted < report.short_made + report.long_held, "{report}");
}
