//! keepalived manages its services, by netlink and without any ipvsadm, while somebody lists and
//! edits the same table: it is disturbed by `ipvs-cli` as by the original, and not more; and
//! `ipvs-cli` shows what it does.

use crate::protocol::{self, Protocol};
use crate::stages::{Change, Expected, changed};
use crate::web::Web;
use kernel_tests::case::Transcript;
use kernel_tests::system::{Installation, OBSERVER, System};
use kernel_tests::target::Target;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::mem;
use std::process::{Child, Stdio};

const CONFIGURATION: &str = include_str!("../../programs/keepalived.conf");
pub(crate) const CONFIGURED: &str = "/etc/keepalived/keepalived.conf";
pub(crate) const LOG: &str = "/var/log/keepalived.log";
const IPVSADM: &str = "/usr/sbin/ipvsadm";

const ALL_UP: &str = "\
-A -t 192.0.2.1:80 -s wrr -p 300 -M 255.255.255.0
-a -t 192.0.2.1:80 -r 192.0.2.11:80 -m -w 3
-a -t 192.0.2.1:80 -r 192.0.2.12:80 -m -w 2
-A -t 192.0.2.1:443 -s wlc
-a -t 192.0.2.1:443 -r 192.0.2.11:443 -g -w 10
-a -t 192.0.2.1:443 -r 192.0.2.12:443 -g -w 10
-A -u 192.0.2.1:53 -s lc -o
-a -u 192.0.2.1:53 -r 192.0.2.11:5353 -m -w 1
-A -t [2001:db8::1]:80 -s mh
-a -t [2001:db8::1]:80 -r [2001:db8::11]:80 -m -w 4
-A -f 7 -s sh -b sh-port
-a -f 7 -r 192.0.2.11:0 -g -w 5
-a -f 7 -r 192.0.2.12:0 -i -w 6 --tun-type gue --tun-port 6080 --tun-nocsum
";

/// What somebody does to keepalived's services, and beside them.
const EDITS: [&str; 6] = [
    "-e -t 192.0.2.1:80 -r 192.0.2.11:80 -m -w 7",
    "-a -t 192.0.2.1:443 -r 192.0.2.55:443 -g -w 4",
    "-d -f 7 -r 192.0.2.11:0",
    "-E -u 192.0.2.1:53 -s rr -o",
    "-A -t 192.0.2.1:25 -s rr",
    "-a -t 192.0.2.1:25 -r 192.0.2.13:25 -m",
];

const EDITED: &[Change<'_>] = &[
    ("192.0.2.11:80 -m -w 3\n", "192.0.2.11:80 -m -w 7\n"),
    ("192.0.2.12:443 -g -w 10\n", "192.0.2.12:443 -g -w 10\n-a -t 192.0.2.1:443 -r 192.0.2.55:443 -g -w 4\n"),
    ("-a -f 7 -r 192.0.2.11:0 -g -w 5\n", ""),
    ("-A -u 192.0.2.1:53 -s lc -o\n", "-A -u 192.0.2.1:53 -s rr -o\n"),
    (
        "-A -t 192.0.2.1:80 -s wrr",
        "-A -t 192.0.2.1:25 -s rr\n-a -t 192.0.2.1:25 -r 192.0.2.13:25 -m -w 1\n-A -t 192.0.2.1:80 -s wrr",
    ),
];

const ONE_IS_DOWN: &[Change<'_>] = &[
    ("-a -t 192.0.2.1:80 -r 192.0.2.12:80 -m -w 2\n", ""),
    ("192.0.2.12:443 -g -w 10\n", "192.0.2.12:443 -g -w 0\n"),
    ("-a -f 7 -r 192.0.2.12:0 -i -w 6 --tun-type gue --tun-port 6080 --tun-nocsum\n", ""),
];

const BOTH_ARE_DOWN: &[Change<'_>] = &[
    ("192.0.2.11:80 -m -w 7\n", "127.0.0.1:8081 -m -w 1\n"),
    ("192.0.2.11:443 -g -w 10\n", "192.0.2.11:443 -g -w 0\n"),
    ("-a -u 192.0.2.1:53 -r 192.0.2.11:5353 -m -w 1\n", ""),
];

/// keepalived puts its own servers back as they are configured, and leaves the rest.
const BACK: &[Change<'_>] = &[
    (
        "-a -t 192.0.2.1:80 -r 127.0.0.1:8081 -m -w 1\n",
        "-a -t 192.0.2.1:80 -r 192.0.2.11:80 -m -w 3\n-a -t 192.0.2.1:80 -r 192.0.2.12:80 -m -w 2\n",
    ),
    ("192.0.2.11:443 -g -w 0\n", "192.0.2.11:443 -g -w 10\n"),
    ("192.0.2.12:443 -g -w 0\n", "192.0.2.12:443 -g -w 10\n"),
    ("-s rr -o\n", "-s rr -o\n-a -u 192.0.2.1:53 -r 192.0.2.11:5353 -m -w 1\n"),
    (
        "-A -f 7 -s sh -b sh-port\n",
        "-A -f 7 -s sh -b sh-port\n\
         -a -f 7 -r 192.0.2.11:0 -g -w 5\n\
         -a -f 7 -r 192.0.2.12:0 -i -w 6 --tun-type gue --tun-port 6080 --tun-nocsum\n",
    ),
];

/// What is edited in the configuration before the reload.
const NEW_CONFIGURATION: &[Change<'_>] = &[
    ("\t\tweight 3\n", "\t\tweight 30\n"),
    ("lvs_sched mh", "lvs_sched wrr"),
    ("\t\tlvs_method TUN type gue port 6080\n", ""),
];

const RELOADED: &[Change<'_>] = &[
    ("192.0.2.11:80 -m -w 3\n", "192.0.2.11:80 -m -w 30\n"),
    ("-s mh\n", "-s wrr\n"),
    ("-i -w 6 --tun-type gue --tun-port 6080 --tun-nocsum\n", "-g -w 6\n"),
];

/// In the end there is what keepalived does not know of.
const FOREIGN: &str = "-A -t 192.0.2.1:25 -s rr\n-a -t 192.0.2.1:25 -r 192.0.2.13:25 -m -w 1\n";

#[test]
fn keepalived_goes_on_while_ours_lists_and_edits() {
    protocol::assert_same(&[Installation::of(Target::IpvsCli)], play);
}

fn play(system: &System) -> Protocol {
    prepare(system);
    let good = |address: &str| Web::serve(address, "alive");
    let (web11, web12, _web6) = (good("192.0.2.11:80"), good("192.0.2.12:80"), good("[2001:db8::11]:80"));
    let mut director = Director::start(system);
    director.stage("all are up", &[]);

    for edit in EDITS {
        director.ipvsadm(edit);
    }
    director.stage("somebody has edited", EDITED);

    drop(web12);
    director.stage("one is down", ONE_IS_DOWN);

    drop(web11);
    system.write("/run/down-192.0.2.11", "");
    director.stage("both are down", BOTH_ARE_DOWN);

    let _back = ["192.0.2.11:80", "192.0.2.12:80"].map(good);
    fs::remove_file("/run/down-192.0.2.11").expect("it was made above");
    director.stage("both are back", BACK);

    system.write(CONFIGURED, &changed(CONFIGURATION, NEW_CONFIGURATION));
    director.keepalived.signal(Signal::SIGHUP);
    director.stage("the configuration is another", RELOADED);

    // keepalived will want to remove it, too.
    director.ipvsadm("-D -t 192.0.2.1:443");
    director.keepalived.signal(Signal::SIGTERM);
    director.expected = Expected::new(FOREIGN);
    director.stage("keepalived has ended", &[]);
    director.finish()
}

/// Addresses, the configuration, and a script that keepalived runs.
fn prepare(system: &System) {
    let addresses = ["192.0.2.1", "192.0.2.11", "192.0.2.12", "2001:db8::1", "2001:db8::11"];
    addresses.iter().for_each(|address| system.add_address(address));
    system.write(CONFIGURED, CONFIGURATION);
    system.write_program("/usr/bin/check-dns", "#!/bin/sh\ntest ! -e /run/down-$1\n");
    let tested = system.run("/usr/sbin/keepalived", ["-t"]);
    assert_eq!(tested.transcript(), Transcript::default());
}

/// The one who runs keepalived, looks at the table, and edits it.
struct Director<'a> {
    system: &'a System,
    keepalived: Daemon,
    expected: Expected,
    protocol: Protocol,
}

impl<'a> Director<'a> {
    fn start(system: &'a System) -> Self {
        let keepalived = Daemon::start(system);
        Self { system, keepalived, expected: Expected::new(ALL_UP), protocol: Protocol::default() }
    }

    /// Runs the tool in use.
    fn ipvsadm(&mut self, line: &str) {
        let outcome = self.system.run(IPVSADM, line.split(' '));
        self.protocol.add(format!("ipvsadm {line}"), &outcome);
    }

    /// Waits until the table has become what it should be; then every view of it is the original's.
    fn stage(&mut self, name: &str, changes: &[Change<'_>]) {
        self.expected.change(changes);
        self.expected.wait(self.system, name, LOG);
        for view in [
            "-L -n",
            "-L",
            "-L -n --stats",
            "-L -n --rate --exact",
            "-L -n --thresholds",
            "-L -n --persistent-conn",
            "-L -n --tun-info",
            "-L -n -c",
            "-L -n -f 7",
            "-L -n -t 192.0.2.1:80",
            "-L -n --nosort",
        ] {
            let look = |program: &str| self.system.run(program, view.split(' ')).transcript();
            assert_eq!(look(IPVSADM), look(OBSERVER), "{name}: ipvsadm {view}");
        }
    }

    /// What was done, and each kind of line in the log about a server or a refusal; their order and
    /// number are a matter of time, as is how often keepalived tried before it gave a server up.
    fn finish(&mut self) -> Protocol {
        let ended = self.system.wait_for(|| self.keepalived.0.try_wait().transpose());
        let log = self.system.read(LOG);
        assert!(ended.is_some_and(|ended| ended.is_ok_and(|status| status.success())), "{log}");
        let is_about_ipvs = |line: &&str| line.contains("service") || line.contains("IPVS cmd");
        let messages =
            log.lines().filter(is_about_ipvs).map(|line| line.split_once(": ").map_or(line, |(_, message)| message));
        let messages = messages
            .map(|message| message.split_once(" after ").map_or(message, |(what, _)| what).trim_end_matches('.'));
        let messages: BTreeSet<String> = messages.map(str::to_owned).collect();
        self.protocol.add_lines("the log", Vec::from_iter(messages));
        mem::take(&mut self.protocol)
    }
}

/// A running keepalived, which ends with the test.
pub(crate) struct Daemon(Child);

impl Daemon {
    /// Only its checkers: what there is to know of VRRP has nothing to do with IPVS.
    pub(crate) fn start(system: &System) -> Self {
        Self::start_with(system, &[])
    }

    pub(crate) fn start_with(system: &System, options: &[&str]) -> Self {
        let log = File::create(LOG).unwrap_or_else(|error| panic!("{LOG}: {error}"));
        let mut command = system.command("/usr/sbin/keepalived");
        command
            .args(["--dont-fork", "--log-console", "--log-detail", "--check"])
            .args(options)
            .stdout(Stdio::null())
            .stderr(log);
        Self(command.spawn().unwrap_or_else(|error| panic!("keepalived: {error}")))
    }

    pub(crate) fn wait(&mut self) {
        self.0.wait().unwrap_or_else(|error| panic!("keepalived: {error}"));
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.0.id().cast_signed());
        kill(pid, signal).unwrap_or_else(|error| panic!("keepalived: {error}"));
    }
}

impl Drop for Daemon {
    /// A test that fails leaves no daemon behind.
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            self.signal(Signal::SIGTERM);
            let _ = self.0.wait();
        }
    }
}
