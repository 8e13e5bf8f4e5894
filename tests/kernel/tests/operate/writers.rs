//! Several writers: each `ipvs-cli` waits for its turn, and works beside other programs.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use kernel_tests::target::Target;

use super::world::{Done, World, calls, program, rules, strace, table};

/// The lock of this thread's network namespace.
fn lock() -> String {
    fs::create_dir_all("/run/ipvs-cli").unwrap();
    format!("/run/ipvs-cli/{}.lock", fs::metadata("/proc/thread-self/ns/net").unwrap().ino())
}

#[test]
fn the_holder_of_the_lock_is_named_and_waited_for() {
    let mut world = World::new();
    let wanted = rules(1..=60, 1);
    let first = calls(&world, "sendto", "diff -", &wanted) + 1;
    // It stands still with the lock in its hand.
    let mut command = strace(&[&format!("inject=sendto:delay_enter=600000000:when={first}")], "/dev/null");
    command.arg(program()).args(["apply", "-"]);
    let mut slow = world.start(command, &wanted);
    let holder = loop {
        match fs::read_to_string(lock()) {
            Ok(text) if !text.is_empty() => break text,
            _ => thread::sleep(Duration::from_millis(10)),
        }
    };
    let begins = format!("ipvs-cli: {holder} has been changing this director for ");
    assert!(holder.ends_with(" apply -)"), "{holder}");
    for line in ["apply --wait 0 -", "apply --wait=0.1 -", "apply --timeout 0.1 -", "restore --wait 0"] {
        let done = world.run(line, "-A -f 1");
        assert_eq!((done.status, &*done.stdout), (1, ""), "{line}");
        let seconds = done.stderr.strip_prefix(&begins).and_then(|rest| rest.split_once(" s; "));
        let seconds = seconds.unwrap_or_else(|| panic!("{line}: {}", done.stderr));
        assert!(seconds.0.parse::<u64>().is_ok(), "{line}: {}", done.stderr);
        assert_eq!(seconds.1, "nothing was changed; --wait SECONDS waits longer\n", "{line}");
    }
    // Mistakes of a file are reported before waiting for another writer.
    for line in ["apply -", "restore"] {
        let Done { status, stderr, .. } = world.run(line, "-A -f 1\n-A -f 0\n");
        assert!(status == 1 && stderr.starts_with("standard input:2: "), "{line}: {stderr}");
    }
    // They change nothing, or are one command.
    assert_eq!(world.run("diff -", &wanted).status, 1);
    assert_eq!(world.run("apply --dry-run -", &wanted).status, 0);
    assert_eq!(world.run("-A -f 7", "").status, 0);
    // The lock goes with its holder, and then those have it that wait.
    let waiting = ["apply -", "restore --line-by-line"].map(|line| {
        let mut command = Command::new(program());
        command.args(line.split(' '));
        world.start(command, "-C\n-A -f 1\n")
    });
    let process = holder.split(' ').nth(1).unwrap().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(process), nix::sys::signal::Signal::SIGKILL).unwrap();
    // While strace makes it wait, it can't end.
    slow.kill().unwrap();
    slow.wait().unwrap();
    for waiting in waiting {
        let done: Done = waiting.wait_with_output().unwrap().into();
        assert_eq!((done.status, done.stderr.as_str()), (0, ""));
    }
    assert_eq!(world.run("show --rules", "").stdout, "-A -f 1 -s wlc\n");
    assert!(world.client.service(&"mark 7".parse().unwrap()).is_err());
}

#[test]
fn without_a_place_for_the_lock_it_is_said() {
    let world = World::new();
    // The number of the namespace may have been that of another.
    let _ = fs::remove_file(lock());
    fs::create_dir(lock()).unwrap();
    let said = format!(
        "ipvs-cli: {}: it is a directory, but must be a regular file or not there; going on without a lock against another ipvs-cli; \
         --state-dir names another directory\n",
        lock()
    );
    assert_eq!(world.run("apply -", "-A -f 1"), Done { status: 0, stdout: "1 service added\n".into(), stderr: said });
    let quiet = world.run("apply --quiet -", "-A -f 2");
    assert_eq!((quiet.status, &*quiet.stdout), (0, ""));
    assert!(quiet.stderr.contains("going on without a lock"), "{}", quiet.stderr);
    assert_eq!(
        world.run("restore --line-by-line", "-A -f 2"),
        Done { status: 0, stdout: String::new(), stderr: String::new() }
    );
    let wrong = world.run("apply -", "-A -f 1 -s");
    assert!(wrong.status != 0 && wrong.stderr.starts_with("standard input:1: "), "only the file is wrong: {wrong:?}");
    fs::remove_dir(lock()).unwrap();
}

/// The lock of another namespace is another one.
#[test]
fn each_network_has_its_own() {
    let world = World::new();
    let file = File::create(lock()).unwrap();
    file.lock().unwrap();
    (&file).write_all(b"somebody").unwrap();
    assert_eq!(world.run("apply -", "-A -f 1").status, 1);
    let made = Done { status: 0, stdout: "1 service added\n".into(), stderr: String::new() };
    let elsewhere = || World::new().run("apply -", "-A -f 1");
    assert_eq!(thread::spawn(elsewhere).join().unwrap(), made);
    file.unlock().unwrap();
    assert_eq!(world.run("apply -", "-A -f 1"), made);
}

/// The original, which takes no lock, adds and deletes the services of `ipvs-cli` all the while.
#[test]
fn the_original_may_race_with_it() {
    let mut world = World::new();
    for weight in 1..=10 {
        let done = raced(|| world.run("apply -", &rules(1..=200, weight)));
        // Not before it ended: of services that are read while others are deleted, the kernel
        // passes some over.
        let now = without_raced(&rules_of(&world.client.table().unwrap()));
        match done.status {
            0 => assert_eq!(now, without_raced(rules(1..=200, weight).trim_start_matches("-C\n")), "{done:?}"),
            1 | 3 => assert!(!done.stderr.is_empty(), "{done:?}"),
            _ => panic!("{done:?}"),
        }
    }
    assert_eq!(world.run("apply -", &rules(1..=200, 1)).status, 0);
    assert!(world.holds(&table(1..=200, 1)));
}

/// What comes of it while the original changes services.
fn raced(work: impl FnOnce() -> Done) -> Done {
    let ipvsadm = Target::Ipvsadm.program().unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        // A thread has the namespace of the one that starts it.
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for line in [
                    "-A -t 10.0.5.1:80 -s wrr",
                    "-D -t 10.0.6.1:80",
                    "-D -t 10.0.5.1:80",
                    "-a -t 10.0.7.1:80 -r 127.0.0.9:80 -m",
                ] {
                    let _ = Command::new(&ipvsadm).args(line.split(' ')).output();
                }
            }
        });
        let _stops = Stops(&stop);
        work()
    })
}

/// Ends the other writer, also where the work panics: it would be waited for without end.
struct Stops<'s>(&'s AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Rules but for those of the services that the original changes.
fn without_raced(rules: &str) -> String {
    let is_raced = |line: &str| [5, 6, 7].iter().any(|number| line.contains(&format!(" 10.0.{number}.1:80")));
    rules.lines().filter(|line| !is_raced(line)).map(|line| format!("{line}\n")).collect()
}

/// The services of a table as `rules` writes them.
fn rules_of(table: &ipvs::Table) -> String {
    let mut entries: Vec<_> = table.services().collect();
    entries.sort_by_key(|entry| entry.service().key());
    let mut text = String::new();
    for entry in entries {
        let at = entry.service().key().to_string().replace("tcp ", "-t ");
        text += &format!("-A {at} -s wrr\n");
        let mut states: Vec<_> = entry.destinations().collect();
        states.sort_by_key(|state| state.destination.address);
        for state in states {
            text += &format!("-a {at} -r {} -m -w {}\n", state.destination.address, state.destination.weight);
        }
    }
    text
}
