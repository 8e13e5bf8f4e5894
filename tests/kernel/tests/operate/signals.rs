//! Signals and closed pipes while a change is made.

use std::process::Stdio;

use super::world::{Done, World, calls, ipvs_cli, program, rules, strace, table};

/// Many enough for a score of datagrams.
const MANY: u32 = 800;

/// The send after which most of the change is still to be made.
fn early(world: &World, before: u32) -> usize {
    // As many as a run that changes nothing, and three more.
    calls(world, "sendto", "apply -", &rules(1..=before, 1)) + 3
}

#[test]
fn a_signal_undoes_what_was_done() {
    let mut world = World::new();
    let before = table(1..=20, 1);
    world.hold(&before);
    let at = early(&world, 20);
    for (signal, number) in [("SIGINT", 2), ("SIGTERM", 15), ("SIGHUP", 1)] {
        let inject = format!("sendto:signal={signal}:when={at}");
        let Done { status, stdout, stderr } = world.injecting(&inject, "apply -", &rules(10..=MANY, 2));
        let said = format!("ipvs-cli: interrupted by {signal}; what had been changed was undone\n");
        assert_eq!((status, stdout.as_str(), stderr), (128 + number, "", said));
        assert!(world.holds(&before), "after {signal}");
    }
    assert_eq!(world.run("apply -", &rules(10..=MANY, 2)).status, 0);
    assert!(world.holds(&table(10..=MANY, 2)));
}

#[test]
fn ipvsadm_restore_is_undone_too() {
    let mut world = World::new();
    let before = table(1..=20, 1);
    world.hold(&before);
    let at = early(&world, 20);
    let mut command = strace(&[&format!("inject=sendto:signal=SIGTERM:when={at}")], "/dev/null");
    // By the name of a link, as strace can't give a program another.
    let link = super::world::scratch("bin");
    std::fs::create_dir(&link).unwrap();
    let link = format!("{link}/ipvsadm-restore");
    std::os::unix::fs::symlink(program(), &link).unwrap();
    command.arg(link);
    let done: Done = world.start(command, &rules(10..=MANY, 2)).wait_with_output().unwrap().into();
    let said = "ipvsadm-restore: interrupted by SIGTERM; what had been changed was undone\n";
    assert_eq!(done, Done { status: 128 + 15, stdout: String::new(), stderr: said.into() });
    assert!(world.holds(&before));
}

#[test]
fn a_signal_that_was_ignored_from_the_start_stays_so() {
    let mut world = World::new();
    let at = early(&world, 0);
    let inject = format!("inject=sendto:signal=SIGHUP:when={at}");
    let mut command = std::process::Command::new("bash");
    let line = format!("trap '' HUP; exec strace -f -qq -o /dev/null -e {inject} '{}' apply -", program().display());
    command.args(["-c", &line]);
    let done: Done = world.start(command, &rules(1..=MANY, 1)).wait_with_output().unwrap().into();
    assert_eq!((done.status, done.stderr.as_str()), (0, ""));
    assert!(world.holds(&table(1..=MANY, 1)));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut world = World::new();
    world.hold(&table(1..=20, 1));
    let at = early(&world, 20);
    // With every send another one.
    let inject = format!("sendto:signal=SIGTERM:when={at}+1");
    let Done { status, stderr, .. } = world.injecting(&inject, "apply -", &rules(10..=MANY, 2));
    assert_eq!(status, 3, "{stderr}");
    assert!(stderr.contains("a second signal") && stderr.contains("safe to run it again"), "{stderr}");
    assert_eq!(world.run("apply -", &rules(10..=MANY, 2)).status, 0);
    assert!(world.holds(&table(10..=MANY, 2)));
}

#[test]
fn a_closed_pipe_does_not_stop_a_change() {
    let mut world = World::new();
    world.has_no_host("198.51.100.7");
    let closed = || Stdio::from(std::io::pipe().unwrap().1);
    let mut feed = |arguments: &str, input: &str| {
        let mut command = ipvs_cli(arguments);
        let file = super::world::scratch("input");
        std::fs::write(&file, input).unwrap();
        command.stdin(std::fs::File::open(&file).unwrap()).stdout(closed()).stderr(closed());
        let status = command.status().unwrap();
        std::fs::remove_file(&file).unwrap();
        (status.code(), world.client.table().unwrap().services().len())
    };
    assert_eq!(feed("apply -", &rules(1..=300, 1)), (Some(0), 300));
    let refused = rules(1..=400, 1) + "-a -t 10.0.1.1:80 -r 198.51.100.7:80 -m\n";
    assert_eq!(feed("apply -", &refused), (Some(1), 300));
}
