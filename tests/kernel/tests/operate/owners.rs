//! Eight owners on one director, killed at any moment, beside a program that knows nothing of
//! owners.
//!
//! `OWNERS_APPLIES` says how often each owner applies a file; a long run takes 1000.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use ipvs::{Client, Command, Scheduler, Service, ServiceKey};
use kernel_tests::target::Target;

use super::world::{Done, World, calls, ipvs_cli, program, run, start};

const OWNERS: u16 = 8;
/// Services that each owner has for itself, and those that all of them ask for now and then.
const OWN: u16 = 5;
const SHARED: u16 = 3;

/// Numbers that are the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u16) -> u16 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u16::try_from((self.0 >> 33) % u64::from(limit)).unwrap()
    }
}

fn own(owner: u16, number: u16) -> u16 {
    1000 + 100 * owner + number
}

fn shared(number: u16) -> u16 {
    5000 + number
}

fn foreign(number: u16) -> u16 {
    9000 + number
}

fn key(port: u16) -> ServiceKey {
    ServiceKey::tcp(([192, 0, 2, 1], port))
}

/// A file with these services.
fn file(ports: impl IntoIterator<Item = u16>) -> String {
    ports.into_iter().fold("-C\n".to_owned(), |mut text, port| {
        let rule = format!("-A -t 192.0.2.1:{port} -s rr\n-a -t 192.0.2.1:{port} -r 127.0.0.1:80 -m\n");
        text.write_str(&rule).unwrap();
        text
    })
}

/// The change is made then; the director's state is neither the old one nor one with a right list
/// of owners.
#[test]
fn owners_that_cannot_be_written_after_a_change_are_an_error() {
    let mut world = World::new();
    let shop = |scheduler| format!("-A -t 192.0.2.1:1 -s {scheduler}\n");
    assert_eq!(world.run("apply --owner shop -", &shop("rr")).status, 0);
    let full = "renameat,renameat2:error=ENOSPC:when=2";
    let done = world.injecting(full, "apply --owner shop -", &shop("wlc"));
    assert_eq!((done.status, done.stdout.as_str()), (3, "1 service edited\n"), "{done:?}");
    assert!(
        done.stderr.starts_with("ipvs-cli: the change was made, but the list of owners can't be written: "),
        "{done:?}"
    );
    assert!(done.stderr.ends_with("; run it again\n"), "{done:?}");
    assert_eq!(world.client.service(&key(1)).unwrap().service.scheduler, Scheduler::WLC);
    assert_eq!(world.run("owners", "").stdout, "OWNER  SERVICE\nshop   tcp:192.0.2.1:1\n");
    let again = Done { status: 0, stdout: "nothing to change\n".into(), stderr: String::new() };
    assert_eq!(world.run("apply --owner shop -", &shop("wlc")), again);
    // Before the change, nothing is sent.
    let done = world.injecting("renameat,renameat2:error=ENOSPC:when=1", "apply --owner shop -", &shop("sed"));
    assert_eq!((done.status, done.stdout.as_str()), (1, ""), "{done:?}");
    assert!(done.stderr.starts_with("ipvs-cli: nothing was changed: the list of owners "), "{done:?}");
    assert_eq!(world.client.service(&key(1)).unwrap().service.scheduler, Scheduler::WLC);
}

/// Services are claimed before they are added. What a killed run has claimed and not added has no
/// owner, and another program may add it.
#[test]
fn a_claim_without_a_service_is_given_up() {
    let mut world = World::new();
    let rules = "-A -t 192.0.2.1:1 -s rr\n";
    let file = format!("/run/ipvs-cli/{}.owners", fs::metadata("/proc/thread-self/ns/net").unwrap().ino());
    let is_claimed = || fs::read_to_string(&file).is_ok_and(|text| text.contains("192.0.2.1:1"));
    let all = calls(&world, "sendto", "apply --owner shop -", rules);
    let mut killed_between = 0;
    for at in 1..=all {
        world.client.flush().unwrap();
        assert_eq!(world.run("apply --owner shop -", "-C\n").status, 0);
        assert!(!is_claimed());
        let killed = world.injecting(&format!("sendto:signal=SIGKILL:when={at}"), "apply --owner shop -", rules);
        assert_eq!(killed.status, 128 + 9, "{at}: {killed:?}");
        if !is_claimed() || !world.client.services().unwrap().is_empty() {
            continue;
        }
        killed_between += 1;
        // A list does not show it, and changes nothing. Any next change gives it up.
        let before = fs::read(&file).unwrap();
        assert_eq!(world.run("owners", "").stdout, "OWNER  SERVICE\n");
        assert_eq!(fs::read(&file).unwrap(), before, "{at}");
        assert_eq!(world.run("apply --owner mail -", "-A -f 1\n").status, 0);
        assert!(!is_claimed(), "{at}");
        assert_eq!(world.run("-A -t 192.0.2.1:1 -s rr", "").status, 0);
        let refused = world.run("apply --owner shop -", rules);
        assert!(refused.status == 1 && refused.stderr.contains("is there and has no owner"), "{refused:?}");
    }
    assert!(killed_between >= 1, "at one of {all}");
}

/// Who may change the director but not look into root's directory would take owned and drained
/// services for nobody's.
#[test]
fn a_directory_that_cannot_be_looked_into_is_an_error() {
    let world = World::new();
    let shop = "-A -t 192.0.2.1:1 -s rr\n-a -t 192.0.2.1:1 -r 127.0.0.1:80 -m\n";
    assert_eq!(world.run("apply --owner shop -", shop).status, 0);
    let before = world.run("show --rules", "").stdout;
    for arguments in ["apply -", "restore", "apply --undrain -", "apply --dry-run -", "owners"] {
        let mut command = std::process::Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=+net_admin"]);
        command.args(["--ambient-caps=+net_admin", "--"]).arg(program()).args(arguments.split(' '));
        let done: Done = world.start(command, "-A -f 1\n").wait_with_output().unwrap().into();
        assert_eq!((done.status, done.stdout.as_str()), (1, ""), "{arguments}: {done:?}");
        assert!(done.stderr.contains("Permission denied"), "{arguments}: {done:?}");
        assert_eq!(world.run("show --rules", "").stdout, before, "{arguments}");
    }
}

/// Applies files at random, and is killed during every third.
fn write(owner: u16, applies: u32) {
    let mut dice = Dice(owner.into());
    for _ in 0..applies {
        let mut ports: Vec<u16> = (0..OWN).filter(|_| dice.below(2) == 0).map(|number| own(owner, number)).collect();
        if dice.below(3) == 0 {
            ports.push(shared(dice.below(SHARED)));
        }
        let take = if dice.below(2) == 0 { " --take" } else { "" };
        let call = ipvs_cli(&format!("apply --wait 600 --quiet --owner owner-{owner}{take} -"));
        let mut child = start(call, &file(ports));
        if dice.below(3) == 0 {
            thread::sleep(Duration::from_micros(u64::from(dice.below(40_000))));
            // It may have ended.
            let _ = child.kill();
        }
        let Done { status, stderr, .. } = child.wait_with_output().unwrap().into();
        let is_conflict = status == 1 && stderr.contains("--take takes these services over");
        assert!(matches!(status, 0 | 137) || is_conflict, "owner {owner}: status {status}: {stderr}");
    }
}

/// Adds services that nobody else names, looks whether they stay, and now and then clears the whole
/// table by ipvsadm.
fn disturb(is_over: &AtomicBool) -> u32 {
    let mut client = Client::connect().unwrap();
    let mut rounds = 0;
    loop {
        for number in 0..3 {
            client.add_service(&Service::new(key(foreign(number))).with_scheduler(Scheduler::WLC)).unwrap();
        }
        for _ in 0..100 {
            for number in 0..3 {
                let service = client.service(&key(foreign(number)));
                assert_eq!(
                    service.map(|state| state.service.scheduler).ok(),
                    Some(Scheduler::WLC),
                    "{number}, {rounds}"
                );
            }
            thread::sleep(Duration::from_millis(3));
        }
        if is_over.load(Ordering::Relaxed) {
            return rounds;
        }
        rounds += 1;
        let ipvsadm = Target::Ipvsadm.program().unwrap_or_else(|error| panic!("{error}"));
        assert!(std::process::Command::new(ipvsadm).arg("-C").status().unwrap().success());
    }
}

#[test]
fn eight_owners_that_are_killed_leave_nothing_behind_and_touch_nothing_foreign() {
    let applies = std::env::var("OWNERS_APPLIES").map_or(12, |text| text.parse().expect("a number of applies"));
    let mut world = World::new();
    let is_over = AtomicBool::new(false);
    let rounds = thread::scope(|scope| {
        let foreign = scope.spawn(|| disturb(&is_over));
        let owners: Vec<_> = (0..OWNERS).map(|owner| scope.spawn(move || write(owner, applies))).collect();
        let ended: Vec<_> = owners.into_iter().map(|owner| owner.join()).collect();
        is_over.store(true, Ordering::Relaxed);
        let rounds = foreign.join().unwrap();
        assert!(ended.iter().all(Result::is_ok));
        rounds
    });
    println!("{OWNERS} owners, {applies} applies each, the table cleared {rounds} times");

    // Each names what it wants at last: nothing else of any owner stays.
    let mut expected: BTreeMap<ServiceKey, String> = BTreeMap::new();
    for owner in 0..OWNERS {
        let shared = (owner == 0).then_some((0..SHARED).map(shared)).into_iter().flatten();
        let ports: Vec<u16> = [own(owner, 0), own(owner, 1)].into_iter().chain(shared).collect();
        expected.extend(ports.iter().map(|port| (key(*port), format!("owner-{owner}"))));
        // Owner 0 comes first: what it takes over no other has any more.
        let done = run(&format!("apply --wait 600 --quiet --owner owner-{owner} --take -"), &file(ports));
        assert_eq!((done.status, done.stderr.as_str()), (0, ""), "owner {owner}");
    }
    let mut owners = BTreeMap::new();
    for line in run("owners", "").stdout.lines().skip(1) {
        let (owner, service) = line.split_once(' ').unwrap();
        let service: ServiceKey = service.trim().replacen(':', " ", 1).parse().unwrap();
        assert_eq!(owners.insert(service, owner.to_owned()), None, "two owners: {service}");
    }
    assert_eq!(owners, expected);
    let there: BTreeSet<_> = world.client.services().unwrap().iter().map(|state| state.service.key()).collect();
    assert_eq!(there, expected.keys().copied().chain((0..3).map(|number| key(foreign(number)))).collect());
    world.client.execute(&Command::Flush).unwrap();
}

/// It can be read, and no change is made without a place for what is known of it.
#[test]
fn a_named_directory_that_is_read_only_is_for_reading() {
    let mut world = World::new();
    let rules = "-A -t 192.0.2.1:1 -s wrr\n-a -t 192.0.2.1:1 -r 10.0.0.1 -m -w 3\n";
    assert_eq!(world.run("apply -", rules).status, 0);
    let before = world.client.table().unwrap();
    let inside = |arguments: &str| -> Done {
        let mut command = std::process::Command::new("unshare");
        command.args([
            "--mount",
            "sh",
            "-ec",
            "mount -t tmpfs -o ro,mode=700 none /mnt; exec \"$0\" --state-dir /mnt $1",
        ]);
        command.arg(program()).arg(arguments);
        world.start(command, rules).wait_with_output().unwrap().into()
    };
    for arguments in ["show", "owners", "diff -", "apply --dry-run -", "drain --dry-run --force --all 10.0.0.1"] {
        let done = inside(arguments);
        assert_eq!((done.status, &*done.stderr), (0, ""), "{arguments}: {done:?}");
    }
    let refused = "ipvs-cli: --state-dir /mnt: Read-only file system (os error 30); nothing was changed\n";
    for arguments in
        ["apply -", "restore", "weight --all 10.0.0.1 5", "drain --force --all 10.0.0.1", "undrain --all 10.0.0.1"]
    {
        let done = inside(arguments);
        assert_eq!((done.status, &*done.stdout, &*done.stderr), (2, "", refused), "{arguments}");
    }
    assert_eq!(world.client.table().unwrap(), before);
}
