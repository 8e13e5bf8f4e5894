//! Two versions of a table: the virtual service keeps its real servers, much else changes.

use std::fmt::Write;

use crate::network::{SERVERS, VIRTUAL};

/// The rules of a version, 0 or 1, with this number of services beside the one that is used.
pub(crate) fn version(version: usize, services: usize) -> String {
    let mut rules = String::new();
    for n in 0..services {
        if n == services / 2 {
            used_service(&mut rules, version);
        }
        other_service(&mut rules, n, version);
    }
    rules
}

fn used_service(rules: &mut String, version: usize) {
    writeln!(rules, "-A -t {VIRTUAL} -s wrr").unwrap();
    for (n, server) in SERVERS.iter().enumerate() {
        let weight = 1 + (n + version) % 2;
        writeln!(rules, "-a -t {VIRTUAL} -r {server} -m -w {weight}").unwrap();
    }
}

/// A tenth of them is in one version only, a tenth has other servers, a tenth another scheduler.
fn other_service(rules: &mut String, n: usize, version: usize) {
    if n % 10 == version {
        return;
    }
    let at = format!("10.9.{}.{}:80", n / 250, 1 + n % 250);
    let scheduler = if n % 10 == 2 && version == 1 { "rr" } else { "wlc" };
    writeln!(rules, "-A -t {at} -s {scheduler}").unwrap();
    for host in 1..=4 {
        let host = if n % 10 == 3 { host + 4 * version } else { host };
        writeln!(rules, "-a -t {at} -r 10.8.{}.{host}:80 -m -w 1", n % 250).unwrap();
    }
}
