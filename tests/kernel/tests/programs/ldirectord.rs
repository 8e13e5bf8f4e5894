//! ldirectord with a configuration as people have it: its real servers go down and come back, and
//! the kernel's table follows, by the original and by `ipvs-cli`.

use crate::protocol::{self, Protocol};
use crate::stages::{Change, Expected, changed};
use crate::web::Web;
use kernel_tests::case::Transcript;
use kernel_tests::system::{Installation, System};
use kernel_tests::target::Target;
use std::collections::BTreeSet;
use std::path::Path;
use std::{fs, mem};

const CONFIGURATION: &str = include_str!("../../programs/ldirectord.cf");
const CONFIGURED: &str = "/etc/ha.d/ldirectord.cf";
const LOG: &str = "/var/log/ldirectord.log";
const PROCESS: &str = "/run/ldirectord.ldirectord.cf.pid";
/// What it says if it looks at its configuration between our writing and our signal.
const BY_CHANCE: [&str; 2] = ["has changed on disk", " - ignore new configuration"];
const SCRIPT: &str = "/etc/init.d/ldirectord";

/// What stands in the table before ldirectord starts: a service that is not its business, and one
/// that it has to put right.
const BEFORE: &str = "-A -t 192.0.2.1:22 -s rr\n\
    -a -t 192.0.2.1:22 -r 192.0.2.77:22 -m -w 1\n\
    -A -t 192.0.2.1:80 -s lc -p 60\n\
    -a -t 192.0.2.1:80 -r 192.0.2.66:80 -g -w 4\n\
    -a -t 192.0.2.1:80 -r 192.0.2.11:80 -g -w 4\n";

const ALL_UP: &str = "\
-A -t 192.0.2.1:22 -s rr
-a -t 192.0.2.1:22 -r 192.0.2.77:22 -m -w 1
-A -t 192.0.2.1:25 -s rr
-a -t 192.0.2.1:25 -r 192.0.2.13:2525 -m -w 9
-A -t 192.0.2.1:80 -s wrr
-a -t 192.0.2.1:80 -r 192.0.2.11:80 -m -w 3
-a -t 192.0.2.1:80 -r 192.0.2.12:80 -m -w 2
-a -t 192.0.2.1:80 -r 192.0.2.13:8080 -m -w 1
-A -t 192.0.2.1:443 -s wlc -p 1800 -M 255.255.255.0
-a -t 192.0.2.1:443 -r 192.0.2.11:443 -g -w 10
-a -t 192.0.2.1:443 -r 192.0.2.12:443 -g -w 10
-A -u 192.0.2.1:53 -s lc -o
-a -u 192.0.2.1:53 -r 192.0.2.11:5353 -m -w 1
-a -u 192.0.2.1:53 -r 192.0.2.12:5353 -m -w 2
-A -t [2001:db8::1]:80 -s wlc
-a -t [2001:db8::1]:80 -r [2001:db8::11]:80 -m -w 4
-a -t [2001:db8::1]:80 -r [2001:db8::12]:80 -m -w 1
-A -f 7 -s sh -p 360
-a -f 7 -r 192.0.2.11:0 -g -w 5
-a -f 7 -r 192.0.2.12:0 -i -w 6 --tun-type ipip
";

const ONE_IS_DOWN: &[Change<'_>] = &[
    ("-a -t 192.0.2.1:80 -r 192.0.2.12:80 -m -w 2\n", ""),
    ("-a -t 192.0.2.1:443 -r 192.0.2.12:443 -g -w 10\n", "-a -t 192.0.2.1:443 -r 192.0.2.12:443 -g -w 0\n"),
    ("-a -t [2001:db8::1]:80 -r [2001:db8::12]:80 -m -w 1\n", "-a -t [2001:db8::1]:80 -r [2001:db8::12]:80 -m -w 0\n"),
    ("-a -f 7 -r 192.0.2.12:0 -i -w 6 --tun-type ipip\n", "-a -f 7 -r 192.0.2.12:0 -i -w 0 --tun-type ipip\n"),
];

/// Connections to it still succeed, but who asks for a page gets another.
const ONE_SAYS_NONSENSE: &[Change<'_>] = &[
    ("-a -t 192.0.2.1:80 -r 192.0.2.11:80 -m -w 3\n", ""),
    ("-a -f 7 -r 192.0.2.11:0 -g -w 5\n", "-a -f 7 -r 127.0.0.1:0 -g -w 1\n-a -f 7 -r 192.0.2.11:0 -g -w 0\n"),
];

const THE_LAST_IS_DOWN: &[Change<'_>] = &[
    ("-a -t 192.0.2.1:80 -r 192.0.2.13:8080 -m -w 1\n", "-a -t 192.0.2.1:80 -r 127.0.0.1:8081 -m -w 1\n"),
    ("-a -u 192.0.2.1:53 -r 192.0.2.11:5353 -m -w 1\n", ""),
];

/// What is edited in the configuration before the reload.
const NEW_CONFIGURATION: &[Change<'_>] = &[
    ("real = 192.0.2.11:80 masq 3", "real = 192.0.2.11:80 masq 30"),
    ("\treal = 192.0.2.12:80 masq 2\n", ""),
    ("scheduler = wrr", "scheduler = wlc\n\tpersistent = 90"),
    ("persistent = 1800\n\tnetmask = 255.255.255.0\n", ""),
    ("\treal = 192.0.2.12 ipip 6\n", "\treal = 192.0.2.12 gate 6\n\treal = 192.0.2.13->192.0.2.14 masq 7\n"),
];

/// What that changes in the table. Behind the mark, the two new servers have no page to show.
const RELOADED: &[Change<'_>] = &[
    ("-A -t 192.0.2.1:80 -s wrr\n", "-A -t 192.0.2.1:80 -s wlc -p 90\n"),
    ("-a -t 192.0.2.1:80 -r 192.0.2.11:80 -m -w 3\n", "-a -t 192.0.2.1:80 -r 192.0.2.11:80 -m -w 30\n"),
    ("-a -t 192.0.2.1:80 -r 192.0.2.12:80 -m -w 2\n", ""),
    ("-A -t 192.0.2.1:443 -s wlc -p 1800 -M 255.255.255.0\n", "-A -t 192.0.2.1:443 -s wlc\n"),
    (
        "-a -f 7 -r 192.0.2.12:0 -i -w 6 --tun-type ipip\n",
        "-a -f 7 -r 192.0.2.12:0 -g -w 6\n\
         -a -f 7 -r 192.0.2.13:0 -m -w 0\n\
         -a -f 7 -r 192.0.2.14:0 -m -w 0\n",
    ),
];

/// Of the table in the end: only what is not ldirectord's.
const FOREIGN: &str = "-A -t 192.0.2.1:22 -s rr\n-a -t 192.0.2.1:22 -r 192.0.2.77:22 -m -w 1\n";

#[test]
fn ldirectord_does_the_same_with_ours() {
    protocol::assert_same(&[Installation::of(Target::IpvsCli)], play);
}

/// All stages, with whatever is installed as ipvsadm.
fn play(system: &System) -> Protocol {
    prepare(system);
    let mut director = Director { system, expected: Expected::new(ALL_UP), protocol: Protocol::default() };
    let good = |address: &str| Web::serve(address, "alive");
    let steady = good("[2001:db8::11]:80");
    let (web11, web12, web13) = (good("192.0.2.11:80"), good("192.0.2.12:80"), good("192.0.2.13:8080"));
    let web6 = good("[2001:db8::12]:80");

    director.script("start");
    director.stage("all are up", &[]);
    director.script("status");

    drop((web12, web6));
    director.stage("one is down", ONE_IS_DOWN);

    drop(web11);
    let web11 = Web::serve("192.0.2.11:80", "out of order");
    director.stage("one says nonsense", ONE_SAYS_NONSENSE);

    drop(web13);
    system.write("/run/down-192.0.2.11", "");
    director.stage("the last one is down", THE_LAST_IS_DOWN);

    drop(web11);
    let back = ["192.0.2.11:80", "192.0.2.12:80", "192.0.2.13:8080", "[2001:db8::12]:80"].map(good);
    fs::remove_file("/run/down-192.0.2.11").expect("it was made above");
    director.expected = Expected::new(ALL_UP);
    director.stage("all are back", &[]);

    system.write(CONFIGURED, &changed(CONFIGURATION, NEW_CONFIGURATION));
    director.signal("HUP");
    director.stage("the configuration is another", RELOADED);

    director.signal("TERM");
    director.expected = Expected::new(FOREIGN);
    director.stage("ldirectord has ended", &[]);
    drop((steady, back));
    director.finish()
}

/// Addresses, configuration, and a table that is not empty.
fn prepare(system: &System) {
    let addresses =
        ["192.0.2.1", "192.0.2.11", "192.0.2.12", "192.0.2.13", "2001:db8::1", "2001:db8::11", "2001:db8::12"];
    addresses.iter().for_each(|address| system.add_address(address));
    system.write(CONFIGURED, CONFIGURATION);
    system.write("/etc/default/ldirectord", &format!("CONFIG_FILE={CONFIGURED}\n"));
    system.write_program("/usr/bin/check-dns", "#!/bin/sh\ntest ! -e /run/down-$3\n");
    let restored = system.run_with("/usr/sbin/ipvsadm", ["-R"], BEFORE.as_bytes());
    assert_eq!(restored.transcript(), Transcript::default());
}

/// The one who runs ldirectord and looks at what it does.
struct Director<'a> {
    system: &'a System,
    expected: Expected,
    protocol: Protocol,
}

impl Director<'_> {
    /// Debian's init script for ldirectord. It loads Perl and a dozen of its modules each time, so
    /// it is not for every change.
    fn script(&mut self, word: &str) {
        let mut outcome = self.system.run(SCRIPT, [word]);
        outcome.stderr = without_process(&String::from_utf8_lossy(&outcome.stderr)).into();
        self.protocol.add(format!("{SCRIPT} {word}"), &outcome);
    }

    /// What the init script does, too, for these.
    fn signal(&self, signal: &str) {
        self.system.sh(&format!("kill -{signal} $(cat {PROCESS})"));
    }

    /// Waits until the table has become what it should be, and looks at it with the tool in use.
    fn stage(&mut self, name: &'static str, changes: &[Change<'_>]) {
        self.expected.change(changes);
        self.expected.wait(self.system, name, LOG);
        for view in ["-L -n", "-L -n --thresholds", "-L -n --persistent-conn"] {
            let outcome = self.system.run("/usr/sbin/ipvsadm", view.split(' '));
            self.protocol.add(format!("{name}: ipvsadm {view}"), &outcome);
        }
    }

    /// What was seen, and each kind of line in the log; their order and number are a matter of
    /// time.
    fn finish(&mut self) -> Protocol {
        const LAST: &str = "Linux Director Daemon terminated on signal: TERM";
        let log = || Some(self.system.read(LOG)).filter(|log| log.contains(LAST));
        let log = self.system.wait_for(log).unwrap_or_else(|| panic!("{}", self.system.read(LOG)));
        let always = |line: &&str| !BY_CHANCE.iter().any(|part| line.contains(part));
        let messages: BTreeSet<String> = log.lines().filter(always).map(message).collect();
        self.protocol.add_lines("the log", Vec::from_iter(messages));
        mem::take(&mut self.protocol)
    }
}

impl Drop for Director<'_> {
    /// A test that fails leaves no daemon behind.
    fn drop(&mut self) {
        if Path::new(PROCESS).exists() {
            self.signal("TERM");
        }
    }
}

/// A line of the log without its time and the number of the process.
fn message(line: &str) -> String {
    without_process(line.split_once("] ").map_or(line, |(_, message)| message))
}

/// ldirectord prints the number of its process.
fn without_process(text: &str) -> String {
    let Some((before, after)) = text.split_once("pid: ") else { return text.into() };
    format!("{before}pid: N{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
}
