//! Fewer rights than root has: capabilities one by one, another user namespace, and system calls
//! that a sandbox forbids.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::thread;

use ipvs::{Client, Errno, Error};
use kernel_tests::on_one_kernel;
use nix::errno::Errno as Os;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

use super::world::{Done, World, program, start};

/// `CAP_NET_ADMIN`.
const NET_ADMIN: u32 = 12;

const RULES: &str = "-A -t 10.0.0.1:80 -s rr -p 300
-a -t 10.0.0.1:80 -r 127.0.0.1 -m -w 5
-a -t 10.0.0.1:80 -r 127.0.0.2 -m
-A -t [2001:db8::1]:80 -s wlc
-a -t [2001:db8::1]:80 -r [2001:db8::11]:80 -m
";

/// What a director goes through: each line, with its input.
const LINES: [(&str, &str); 16] = [
    ("-A -f 1 -s rr", ""),
    ("-a -f 1 -r 127.0.0.1 -m", ""),
    ("-e -f 1 -r 127.0.0.1 -m -w 7", ""),
    ("-L -n", ""),
    ("-L -n --stats", ""),
    ("-S -n", ""),
    ("apply -", RULES),
    ("-R", "-A -f 2\n-A -f 2\n-A -f 3\n-D -f 2\n"),
    ("diff -", RULES),
    ("show --json", ""),
    ("--set 900 120 300", ""),
    ("-L --timeout", ""),
    ("--start-daemon master --mcast-interface lo", ""),
    ("--stop-daemon master", ""),
    ("-Z", ""),
    ("-C", ""),
];

/// Has our program do all of that, behind these words.
fn a_day(before: &[&str]) -> Vec<Done> {
    run_all(&LINES, before)
}

fn run_all(lines: &[(&str, &str)], before: &[&str]) -> Vec<Done> {
    let done = |(line, input): &(&str, &str)| {
        let mut command = Command::new(before.first().copied().unwrap_or("env"));
        command.args(before.iter().skip(1)).arg(program()).args(line.split(' '));
        start(command, input).wait_with_output().unwrap().into()
    };
    lines.iter().map(done).collect()
}

fn setpriv(rights: &str) -> [&str; 5] {
    ["setpriv", "--bounding-set", rights, "--inh-caps", rights]
}

#[track_caller]
fn all_is_refused(world: &mut World, lines: &[(&str, &str)], day: &[Done], who: &str) {
    for ((line, _), done) in lines.iter().zip(day) {
        assert!(
            done.status != 0 && done.stderr.contains("Permission denied (you must be root)"),
            "{who}: {line}: {done:?}"
        );
        assert_eq!(done.stdout, "", "{who}: {line}");
    }
    assert_eq!(world.client.services().unwrap().len(), 0, "{who}");
}

/// Other crates ask for marks, by ways that need more.
#[track_caller]
fn is_as(day: &[Done], expected: &[Done], who: &str) {
    for ((line, _), (done, expected)) in LINES.iter().zip(day.iter().zip(expected)) {
        // A state without the rules of its marks is not all of it.
        let is_of_marks = done.status == 1 && done.stderr.contains("the rules that mark packets are not shown");
        assert_eq!(done.stdout, expected.stdout, "{who}: {line}");
        let is_same = (done.status, &done.stderr) == (expected.status, &expected.stderr);
        assert!(is_same || is_of_marks, "{who}: {line}: status {}: {}", done.status, done.stderr);
    }
}

#[test]
fn of_all_capabilities_one_is_needed() {
    if !on_one_kernel() {
        return;
    }
    let mut world = World::new();
    let made = Done { status: 0, stdout: "2 services added; 3 destinations added\n".into(), stderr: String::new() };
    let last: u32 = fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap().trim().parse().unwrap();
    for capability in (0..=last).filter(|capability| *capability != NET_ADMIN) {
        let without = format!("-cap_{capability}");
        let done = run_all(&[("apply -", RULES)], &setpriv(&without));
        assert_eq!(done[0], made, "without capability {capability}");
        world.client.execute(&ipvs::Command::Flush).unwrap();
    }
    is_as(&a_day(&setpriv("-all,+net_admin")), &a_day(&[]), "with no other");
    let refused = a_day(&setpriv("-net_admin"));
    all_is_refused(&mut world, &LINES, &refused, "without CAP_NET_ADMIN");
    // Mistakes of the file are reported first.
    for done in run_all(&[("apply -", "-A -f 0\n"), ("diff -", "-A -f 0\n")], &setpriv("-net_admin")) {
        assert!(done.status != 0 && done.stderr.starts_with("standard input:1: "), "{done:?}");
    }
}

#[test]
fn root_of_another_user_namespace_is_nobody() {
    if !on_one_kernel() {
        return;
    }
    let mut world = World::new();
    all_is_refused(&mut world, &LINES, &a_day(&["unshare", "-U", "-r"]), "in this network");
    // Of its own network it may know something: `unprivileged_root.rs`.
    let own = ["unshare", "-U", "-r", "-n"];
    let (known, refused): (Vec<_>, Vec<_>) = LINES.iter().copied().partition(|(line, _)| *line == "show --json");
    all_is_refused(&mut world, &refused, &run_all(&refused, &own), "in its own network");
    let known = run_all(&known, &own);
    assert!(known.len() == 1 && known[0].status == 0 && known[0].stdout.contains("\"services\": []"), "{known:?}");
}

/// Forbids these system calls.
fn without(calls: &[i64], errno: Os) -> BpfProgram {
    let rules: BTreeMap<_, _> = calls.iter().map(|call| (*call, Vec::new())).collect();
    let forbidden = SeccompAction::Errno(errno as u32);
    let arch = TargetArch::try_from(std::env::consts::ARCH).unwrap();
    SeccompFilter::new(rules, SeccompAction::Allow, forbidden, arch).unwrap().try_into().unwrap()
}

#[test]
fn a_sandbox_may_forbid_what_is_only_faster() {
    if !on_one_kernel() {
        return;
    }
    let _world = World::new();
    let expected = a_day(&[]);
    for (calls, errno) in
        [(&[libc::SYS_getsockopt][..], Os::EPERM), (&[libc::SYS_getsockopt, libc::SYS_setsockopt], Os::ENOSYS)]
    {
        let filter = without(calls, errno);
        let day = thread::scope(|scope| {
            let in_sandbox = || {
                seccompiler::apply_filter(&filter).unwrap();
                let socket =
                    rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None);
                let asked = rustix::net::sockopt::socket_type(socket.unwrap());
                assert_eq!(asked.is_err(), calls.contains(&libc::SYS_getsockopt), "the filter is there");
                a_day(&[])
            };
            scope.spawn(in_sandbox).join().unwrap()
        });
        is_as(&day, &expected, &format!("{calls:?}: {errno}"));
    }
}

/// What can't be done without is said, and soon.
#[test]
fn a_sandbox_may_forbid_what_is_needed() {
    if !on_one_kernel() {
        return;
    }
    let _world = World::new();
    for (call, said) in
        [(libc::SYS_socket, "the netlink socket failed"), (libc::SYS_connect, "the netlink socket failed")]
    {
        let filter = without(&[call], Os::EACCES);
        let error = thread::spawn(move || {
            seccompiler::apply_filter(&filter).unwrap();
            Client::connect().unwrap_err()
        });
        let error = error.join().unwrap();
        assert!(matches!(&error, Error::Io(_)) && error.to_string().starts_with(said), "{error}");
        assert_eq!(error.errno(), Some(Errno::EACCES));
    }
}

/// Another user than root, who may not write to the state directory either.
#[test]
fn a_user_without_rights_reads_in_one_line_what_is_needed() {
    let mut world = World::new();
    assert_eq!(world.run("apply --quiet -", RULES).status, 0);
    let before = world.client.table().unwrap();
    let nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--bounding-set", "-all"];
    for (line, input) in [
        ("apply -", RULES),
        ("restore", RULES),
        ("diff -", RULES),
        ("show --json", ""),
        ("drain tcp:10.0.0.1:80 127.0.0.1", ""),
        ("undrain tcp:10.0.0.1:80 127.0.0.1", ""),
        ("weight --all 127.0.0.1 3", ""),
        ("watch --count 1", ""),
        ("owners", ""),
        ("conns --kill --all --yes", ""),
    ] {
        let done = &run_all(&[(line, input)], &nobody)[0];
        let expected =
            "ipvs-cli: Permission denied (you must be root): it takes CAP_NET_ADMIN in the initial user namespace\n";
        assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("", expected), "{line}");
        assert_eq!(done.status, 2, "{line}");
    }
    let done = &run_all(&[("metrics", "")], &nobody)[0];
    let note = "ipvs-cli: without CAP_NET_ADMIN there is only what /proc shows to everybody\n";
    assert_eq!((done.status, done.stderr.as_str()), (0, note));
    assert!(done.stdout.contains("\nipvs_scrape_privileged 0\n"), "{}", done.stdout);
    // What is wrong with the file is seen without rights.
    let wrong = &run_all(&[("apply -", "-A -f 0\n")], &nobody)[0];
    assert!(wrong.status == 1 && wrong.stderr.starts_with("standard input:1: "), "{wrong:?}");
    assert_eq!(world.client.table().unwrap(), before);
}
