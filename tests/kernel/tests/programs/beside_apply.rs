//! keepalived and `ipvs-cli apply` on one table, each with services of its own, and both at work at
//! the same time: what keepalived made stays as keepalived has it, unless a file names it.
//!
//! keepalived neither looks at the table nor repairs it: what another program takes away stays away
//! until its server has been down and up again. So the table at the end of a round shows each
//! deletion of the round.
//!
//! `KEEPALIVED_SECONDS` says for how long; without it, each kind of `apply` has two rounds.

use crate::keepalived::{CONFIGURED, Daemon, LOG};
use crate::stages::Expected;
use kernel_tests::case::Transcript;
use kernel_tests::system::{Installation, Release, System};
use kernel_tests::target::Target;
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::os::unix::process::CommandExt;
use std::time::{Duration, Instant};

/// keepalived's services are on port 80 of 192.0.2.1 and so on. Every other one keeps servers that
/// are down, with the weight 0.
const SERVICES: u32 = 4;
/// Their servers are 192.0.2.21 and so on. The first one of each service is always up.
const SERVERS: u32 = 3;
/// Addresses of the services that are applied: of nobody, and of an owner. Each has them on some of
/// these ports, with some destinations.
const NOBODYS: &str = "192.0.2.100";
const OWNERS: &str = "192.0.2.101";
const PORTS: u32 = 4;
const DESTINATIONS: u32 = 4;
/// Files that are applied in a round, while keepalived follows what went up and down.
const FILES: u32 = 3;

/// How a file is applied.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Manner {
    Only,
    NoDeletions,
    OnlyAdditions,
    Owner,
    /// The file also names a service of keepalived's.
    NamesKeepalived,
}

const MANNERS: [Manner; 5] =
    [Manner::Only, Manner::Owner, Manner::NoDeletions, Manner::OnlyAdditions, Manner::NamesKeepalived];

/// The destinations of a service, with their weights.
type Destinations = BTreeMap<u32, u32>;

#[test]
fn beside_keepalived_of_debian_12() {
    beside(Release::Debian12);
}

#[test]
fn beside_keepalived_of_debian_13() {
    beside(Release::Debian13);
}

fn beside(release: Release) {
    let seconds = std::env::var("KEEPALIVED_SECONDS").map_or(0, |text| text.parse().expect("a number of seconds"));
    let rounds = System::of(release, Installation::of(Target::IpvsCli), |system| {
        let mut table = Writers::start(system);
        let end = Instant::now() + Duration::from_secs(seconds);
        let mut rounds = 0;
        while rounds < 2 * MANNERS.len() || Instant::now() < end {
            table.round(MANNERS[rounds % MANNERS.len()], rounds % 4 == 3);
            rounds += 1;
        }
        rounds
    });
    println!("{release:?}: {rounds} rounds of {FILES} files");
}

/// The two who write, and what the table must be.
struct Writers<'a> {
    system: &'a System,
    keepalived: Daemon,
    /// What keepalived's configuration adds to each weight.
    offset: u32,
    /// keepalived's servers that are down, by service and server.
    down: Vec<(u32, u32)>,
    applied: BTreeMap<u32, Destinations>,
    owned: BTreeMap<u32, Destinations>,
    dice: u64,
}

impl<'a> Writers<'a> {
    fn start(system: &'a System) -> Self {
        (1..=SERVICES).for_each(|service| system.add_address(&format!("192.0.2.{service}")));
        system.write_program("/usr/bin/check", "#!/bin/sh\ntest ! -e /run/down-$1\n");
        system.write(CONFIGURED, &configuration(0));
        assert_eq!(system.run("/usr/sbin/keepalived", ["-t"]).transcript(), Transcript::default());
        let keepalived = Daemon::start(system);
        let (applied, owned) = (BTreeMap::new(), BTreeMap::new());
        let writers = Writers { system, keepalived, offset: 0, down: Vec::new(), applied, owned, dice: 1 };
        writers.settle("at the start");
        writers
    }

    fn below(&mut self, limit: u32) -> u32 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) as u32 % limit
    }

    /// Servers go down and up, perhaps the configuration is another one, and meanwhile files are
    /// applied.
    fn round(&mut self, manner: Manner, reload: bool) {
        self.change_servers();
        if reload {
            self.offset = (self.offset + 1) % 7;
            self.system.write(CONFIGURED, &configuration(self.offset));
            self.keepalived.signal(Signal::SIGHUP);
        }
        if manner == Manner::NamesKeepalived {
            return self.name_keepalived();
        }
        for _file in 0..FILES {
            let file = self.file();
            self.apply(manner, &rules(if manner == Manner::Owner { OWNERS } else { NOBODYS }, &file));
            self.expect(manner, file);
        }
        self.settle(&format!("{manner:?}"));
    }

    fn change_servers(&mut self) {
        let all = (1..=SERVICES).flat_map(|service| (1..SERVERS).map(move |server| (service, server)));
        let down: Vec<_> = all.filter(|_| self.below(3) == 0).collect();
        for (service, server) in &self.down {
            fs::remove_file(flag(*service, *server)).expect("it was made when the server went down");
        }
        down.iter().for_each(|(service, server)| self.system.write(&flag(*service, *server), ""));
        self.down = down;
    }

    /// A file's services: on some of the ports, but at least on one, each with some destinations.
    fn file(&mut self) -> BTreeMap<u32, Destinations> {
        let mut file = BTreeMap::new();
        let first = 1 + self.below(PORTS);
        for port in 1..=PORTS {
            if port == first || self.below(3) != 0 {
                let destinations = 1 + self.below(DESTINATIONS);
                file.insert(port, (0..destinations).map(|number| (number, 1 + self.below(9))).collect());
            }
        }
        file
    }

    fn apply(&self, manner: Manner, file: &str) {
        let options = match manner {
            Manner::Only => vec![format!("--only={NOBODYS}/32")],
            Manner::NoDeletions => vec!["--no-deletions".into()],
            Manner::OnlyAdditions => vec!["--only-additions".into()],
            Manner::Owner => vec!["--owner=shop".into()],
            Manner::NamesKeepalived => vec!["--only=tcp:192.0.2.1:80".into()],
        };
        self.system.write("/run/file.rules", file);
        let mut command = self.system.command("/usr/sbin/ipvsadm");
        command.arg0("ipvs-cli").arg("apply").args(options).arg("/run/file.rules");
        let output = command.output().unwrap_or_else(|error| panic!("ipvs-cli: {error}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{manner:?}: {}: {said}\n{file}", output.status);
    }

    /// What the file means for the services that were applied before.
    fn expect(&mut self, manner: Manner, file: BTreeMap<u32, Destinations>) {
        match manner {
            Manner::Only => return self.applied = file,
            Manner::Owner => return self.owned = file,
            _ => {}
        }
        for (port, destinations) in file {
            let service = self.applied.entry(port).or_default();
            for (number, weight) in destinations {
                if manner != Manner::OnlyAdditions || !service.contains_key(&number) {
                    service.insert(number, weight);
                }
            }
        }
    }

    /// A file takes a service of keepalived's over, and gives it back.
    fn name_keepalived(&mut self) {
        self.settle("before keepalived is named");
        let mut taken = String::from("-A -t 192.0.2.1:80 -s wrr\n");
        let _ = writeln!(taken, "-a -t 192.0.2.1:80 -r 192.0.2.21:80 -m -w {}", 70 + self.below(9));
        self.apply(Manner::NamesKeepalived, &taken);
        let others = self.keepalived_rules(2..=SERVICES);
        self.wait("keepalived is named", &format!("{taken}{others}{}", self.applied_rules()));
        self.apply(Manner::NamesKeepalived, &self.keepalived_rules(1..=1));
        self.settle("keepalived has its service again");
    }

    fn settle(&self, when: &str) {
        self.wait(when, &(self.keepalived_rules(1..=SERVICES) + &self.applied_rules()));
    }

    fn wait(&self, when: &str, table: &str) {
        Expected::new(table).wait(self.system, when, LOG);
        assert_eq!(self.system.observe(&["-S", "-n"]), table, "{when}");
    }

    fn applied_rules(&self) -> String {
        rules(NOBODYS, &self.applied) + &rules(OWNERS, &self.owned)
    }

    /// keepalived's services as they are when it has followed all that went up and down.
    fn keepalived_rules(&self, services: std::ops::RangeInclusive<u32>) -> String {
        let mut rules = String::new();
        for service in services {
            let _ = writeln!(rules, "-A -t 192.0.2.{service}:80 -s wrr");
            for server in 0..SERVERS {
                let weight = match self.down.contains(&(service, server)) {
                    true if keeps_servers_that_are_down(service) => 0,
                    true => continue,
                    false => weight(server, self.offset),
                };
                let _ = writeln!(rules, "-a -t 192.0.2.{service}:80 -r 192.0.2.2{}:80 -m -w {weight}", server + 1);
            }
        }
        rules
    }
}

fn keeps_servers_that_are_down(service: u32) -> bool {
    service.is_multiple_of(2)
}

fn weight(server: u32, offset: u32) -> u32 {
    10 * (server + 1) + offset
}

/// The file that is there while a server of keepalived's is down.
fn flag(service: u32, server: u32) -> String {
    format!("/run/down-{service}-{server}")
}

/// The rules of the services of an address.
fn rules(address: &str, services: &BTreeMap<u32, Destinations>) -> String {
    let mut rules = String::new();
    for (port, destinations) in services {
        let service = format!("-t {address}:{}", 8000 + port);
        let _ = writeln!(rules, "-A {service} -s rr");
        for (number, weight) in destinations {
            let _ = writeln!(rules, "-a {service} -r 192.0.2.3{number}:80 -m -w {weight}");
        }
    }
    rules
}

fn configuration(offset: u32) -> String {
    let mut text = String::from("global_defs {\n\tscript_user root\n\tenable_script_security\n}\n");
    for service in 1..=SERVICES {
        let _ = writeln!(text, "virtual_server 192.0.2.{service} 80 {{");
        text +=
            "\tdelay_loop 1\n\tretry 1\n\tdelay_before_retry 1\n\tlvs_sched wrr\n\tlvs_method NAT\n\tprotocol TCP\n";
        for server in 0..SERVERS {
            let inhibit = if keeps_servers_that_are_down(service) { "inhibit_on_failure" } else { "" };
            let _ = writeln!(
                text,
                "\treal_server 192.0.2.2{} 80 {{\n\t\tweight {}\n\t\t{inhibit}\n\t\tMISC_CHECK {{\n\
                 \t\t\tmisc_path \"/usr/bin/check {service}-{server}\"\n\t\t\tmisc_timeout 20\n\t\t}}\n\t}}",
                server + 1,
                weight(server, offset),
            );
        }
        text += "}\n";
    }
    text
}
