//! `drain --move-udp` and `--kill-after` on a real kernel.

use std::collections::BTreeMap;
use std::fs;

use ipvs::proc::Connection;
use ipvs::{Protocol, ServiceKey};

use super::connections::{assert_daemons, director, entries, file, parse, shown, some_daemons, table};
use super::world::{Done, run};

/// The real server that goes, in the services of addresses.
const GOES: &str = "127.0.0.1";

fn is_udp(entry: &Connection) -> bool {
    matches!(entry.target, ServiceKey::Address { protocol: Protocol::UDP, .. })
}

fn words(all: &[&Connection]) -> String {
    let of = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    let templates = all.iter().filter(|entry| entry.is_template()).count();
    format!("{} and {}", of(all.len() - templates, "connection"), of(templates, "template"))
}

fn without_times(entries: BTreeMap<String, u32>) -> Vec<String> {
    entries.into_keys().collect()
}

#[test]
fn drain_moves_udp_and_ends_what_is_left_exactly_as_the_dry_run_says() {
    let mut world = director();
    let before = some_daemons(&mut world);
    let lines = table(2000);
    assert_eq!(run("conns --load -", &file(&lines, 0)).status, 0);
    let all: Vec<Connection> = lines.iter().map(|line| parse(line)).collect();
    let (its, others): (Vec<_>, Vec<_>) = all.iter().partition(|entry| entry.destination.ip().to_string() == GOES);
    let (udp, tcp): (Vec<_>, Vec<_>) = its.iter().partition(|entry| is_udp(entry));

    let dry = run(&format!("drain --dry-run --move-udp --kill-after 0.5 --all {GOES}"), "");
    assert_eq!((dry.status, &*dry.stderr), (0, ""), "{dry:?}");
    assert_eq!(dry.stdout.matches("would set weight 0, is 1; ").count(), 4, "{dry:?}");
    let expected = format!("would move flows of UDP and end their templates: {}\n", words(&udp));
    assert!(dry.stdout.contains(&expected), "{dry:?}, not {expected}");
    let expected = format!("would end after 0.5 s what is left of {}\n", words(&its));
    assert!(dry.stdout.ends_with(&expected), "{dry:?}, not {expected}");
    assert_eq!(without_times(shown()), without_times(entries(all.iter().cloned())));

    let done = run(&format!("drain --move-udp --kill-after 0.5 --timeout 60 --all {GOES}"), "");
    assert_eq!(done.status, 0, "{done:?}");
    let (flows, templates): (Vec<_>, Vec<_>) = udp.iter().partition(|entry| !entry.is_template());
    for expected in [
        format!("moved {}\n", words(&flows)),
        format!("ended {}\n", words(&templates)),
        format!("ended {}\n", words(&tcp)),
    ] {
        assert!(done.stdout.contains(&expected), "{done:?}, not {expected}");
    }
    assert_eq!(done.stdout.matches(": drained; ").count(), 4, "{done:?}");
    assert!(!done.stderr.contains("UDP: a client that keeps its port"), "they were moved: {done:?}");
    let nothing = run("conns --kill --yes --client 198.51.100.1", "");
    assert_eq!((nothing.status, &*nothing.stdout), (0, "nothing to end\n"), "{nothing:?}");
    // Each of these services has one other real server.
    let moved = flows.into_iter().cloned().map(|mut entry| {
        entry.destination.set_ip("127.0.0.2".parse().unwrap());
        entry
    });
    let expected = entries(others.into_iter().cloned().chain(moved));
    assert_eq!(without_times(shown()), without_times(expected));
    assert_daemons(&mut world, &before);
}

#[test]
fn connections_of_a_marks_real_server_are_found_and_ended() {
    let mut world = director();
    let lines = table(200);
    assert_eq!(run("conns --load -", &file(&lines, 0)).status, 0);
    let done = run("drain mark:7 127.0.0.3 --kill-after 0 --timeout 60", "");
    assert_eq!(done.status, 0, "{done:?}");
    let left = lines.iter().map(|line| parse(line)).filter(|entry| entry.destination.ip().to_string() != "127.0.0.3");
    assert_eq!(without_times(shown()), without_times(entries(left)));
    assert_daemons(&mut world, &[]);
}

#[test]
fn where_connections_can_not_be_changed_no_weight_is_changed_either() {
    let mut world = director();
    fs::write("/proc/sys/net/ipv4/vs/backup_only", "1").unwrap();
    for option in ["--kill-after 1", "--move-udp"] {
        let Done { status, stdout, stderr } = run(&format!("drain {option} --all {GOES}"), "");
        assert_eq!((status, &*stdout), (1, ""), "{stderr}");
        assert!(stderr.contains("backup_only=1") && stderr.contains("nothing was changed"), "{stderr}");
    }
    fs::write("/proc/sys/net/ipv4/vs/backup_only", "0").unwrap();
    let table = world.client.table().unwrap();
    let states = table.services().flat_map(|entry| entry.destinations());
    assert!(states.into_iter().all(|state| state.destination.weight.get() == 1));
    assert_daemons(&mut world, &[]);
}

#[test]
fn without_another_real_server_flows_stay_where_they_are() {
    let mut world = director();
    let line = "UDP CB007101 9C40 C0000201 0035 7F000001 0035 UDP             299";
    assert_eq!(run("conns --load -", &file(&[line.into()], 0)).status, 0);
    let done = run("drain udp:192.0.2.1:53 127.0.0.1 127.0.0.2 --force --move-udp --timeout 1", "");
    assert!(
        done.status == 1 && done.stderr.contains("udp 192.0.2.1:53: no other real server has a weight"),
        "{done:?}"
    );
    assert_eq!(without_times(shown()), without_times(entries([parse(line)].into_iter())));
    assert_daemons(&mut world, &[]);
}
