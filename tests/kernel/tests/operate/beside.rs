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

use super::world::{World, key, rules, scratch, table};

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
