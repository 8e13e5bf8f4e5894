//! Changes beside programs that do not take the lock, and change the same entries at the same time.
//!
//! `RESTORE_OFFSETS` says how many offsets between 0 and 1 s are tried; a long run takes 20.

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use ipvs::{Client, Destination, Table, change::Planner};
use kernel_tests::target::Target;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::world::{Done, World, calls, key, program, rules, scratch, strace, table};

/// Of three rules each.
const SERVICES: u32 = 1000;

fn offsets() -> Vec<Duration> {
    let count: u32 = std::env::var("RESTORE_OFFSETS").map_or(3, |text| text.parse().expect("a number of offsets"));
    assert!(count >= 2, "RESTORE_OFFSETS must be 2 or more");
    // Three of them: where ipvsadm has made little, some and most of it.
    let longest = if count == 3 { 200 } else { 1000 };
    (0..count).map(|at| Duration::from_millis(u64::from(longest * at / (count - 1)))).collect()
}

#[test]
fn apply_beside_ipvsadm_restore_leaves_no_rule_missing() {
    let mut world = World::new();
    let text = rules(1..=SERVICES, 1);
    let file = scratch("rules");
    fs::write(&file, text.trim_start_matches("-C\n")).unwrap();
    for offset in offsets() {
        world.client.flush().unwrap();
        let mut restore = Command::new(Target::Ipvsadm.program().unwrap());
        restore.arg("-R").stdin(File::open(&file).unwrap()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut restore = restore.spawn().unwrap();
        thread::sleep(offset);
        let applied = world.run(&format!("apply {file}"), "");
        assert_eq!(applied.status, 0, "{offset:?}: {}", applied.stderr);
        // It stops at a rule that is there already.
        restore.wait().unwrap();
        assert!(world.holds(&table(1..=SERVICES, 1)), "{offset:?}");
        println!("after {offset:?}: {}{}", applied.stdout, applied.stderr);
    }
    fs::remove_file(&file).unwrap();
}

/// 200 services of four destinations, half of them not those of the round before.
fn round(number: u32) -> Table {
    let first = 1 + 100 * number;
    let mut desired = table(first..first + 200, 1 + number);
    for service in first..first + 200 {
        for host in 3..=4 {
            let server = Destination::new(([127, 0, 0, host], 80).into());
            desired.apply(&ipvs::Command::AddDestination(key(service), server)).unwrap();
        }
    }
    desired
}

#[test]
fn two_programs_that_reconcile_the_same_state_both_succeed() {
    let mut world = World::new();
    let together = Barrier::new(2);
    let planner = Planner::new().only_services();
    let attempts: usize = (0..10)
        .map(|number| {
            let desired = round(number);
            let attempts = thread::scope(|scope| {
                let programs = [(); 2].map(|()| {
                    // A thread has the namespace of the one that starts it.
                    scope.spawn(|| {
                        let mut client = Client::connect().unwrap();
                        together.wait();
                        client.reconcile(&desired, &planner).map(|applied| applied.attempts)
                    })
                });
                programs.map(|program| program.join().unwrap().unwrap()).iter().sum::<usize>()
            });
            assert!(world.holds(&desired), "round {number}");
            attempts
        })
        .sum();
    println!("{attempts} attempts in 20 changes");
}

/// Runs `ipvs-cli`, stopped after this call of sendto; `act` is done then, if it sends that often.
fn stopped_after(world: &World, at: usize, arguments: &str, input: &str, act: impl FnOnce()) -> Done {
    let log = scratch("stopped");
    let mut command = strace(&["trace=sendto", &format!("inject=sendto:signal=SIGSTOP:when={at}")], &log);
    command.arg(program()).args(arguments.split(' '));
    let mut child = world.start(command, input);
    let stopped = loop {
        let lines = fs::read_to_string(&log).unwrap_or_default();
        match lines.lines().find(|line| line.ends_with("--- stopped by SIGSTOP ---")) {
            Some(line) => break line.split(' ').next().map(|pid| Pid::from_raw(pid.parse().unwrap())),
            None if child.try_wait().unwrap().is_some() => break None,
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    if let Some(pid) = stopped {
        act();
        kill(pid, Signal::SIGCONT).unwrap();
    }
    fs::remove_file(&log).unwrap();
    child.wait_with_output().unwrap().into()
}

#[test]
fn what_ipvsadm_undoes_midway_is_made_again() {
    let mut world = World::new();
    let (before, after, wanted) = (table(1..=20, 1), table(11..=70, 2), rules(11..=70, 2));
    world.hold(&before);
    let first = calls(&world, "sendto", "diff -", &wanted) + 1;
    let address = key(30).to_string().replace("tcp ", "");
    let mut noticed = 0;
    for act in [
        "-C",
        "-D -t ADDRESS",
        "-E -t ADDRESS -s lc",
        "-a -t ADDRESS -r 127.0.0.9:80 -m",
        "-d -t ADDRESS -r 127.0.0.1:80",
        "-e -t ADDRESS -r 127.0.0.1:80 -m -w 9",
    ] {
        for (at, command) in [(first, "apply -"), (first + 1, "restore -")] {
            world.hold(&before);
            let done = stopped_after(&world, at, command, &wanted, || {
                let mut ipvsadm = Command::new(Target::Ipvsadm.program().unwrap());
                ipvsadm.args(act.replace("ADDRESS", &address).split(' '));
                // The service may not be there yet.
                ipvsadm.stderr(Stdio::null()).status().unwrap();
            });
            assert_eq!(done.status, 0, "{act} after {at} calls: {done:?}");
            assert!(world.holds(&after), "{act} after {at} calls: {done:?}");
            noticed += usize::from(done.stderr.contains("planned again"));
        }
    }
    assert!(noticed >= 6, "{noticed}");
}
