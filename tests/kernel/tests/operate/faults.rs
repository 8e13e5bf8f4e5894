//! What the kernel refuses although nothing was to be said against it, and answers that are lost.

use std::fs;

use super::world::{Done, World, calls, key, program, rules, scratch, strace, table};

/// Of an address that is no host here, as only this machine's routes say.
const NO_HOST: &str = "-a -t 10.0.1.1:80 -r 198.51.100.7:80 -m\n";

#[test]
fn a_refusal_midway_is_undone_and_reported_with_its_line() {
    let mut world = World::new();
    world.has_no_host("198.51.100.7");
    let before = table(1..=20, 1);
    world.hold(&before);
    let wanted = rules(1..=20, 2) + NO_HOST + rules(251..=400, 2).trim_start_matches("-C\n");
    let line = 1 + wanted.lines().position(|line| line == NO_HOST.trim_end()).unwrap();
    let said = format!(
        "standard input:{line}: 198.51.100.7 is a broadcast address, and a destination is one host; what had been changed was undone\n"
    );
    assert_eq!(world.run("apply -", &wanted), Done { status: 1, stdout: String::new(), stderr: said });
    assert!(world.holds(&before));
}

/// The original clears, and goes on from line to line. So does `ipvs-cli` when there is no other
/// way.
#[test]
fn ipvsadm_restore_does_as_the_original() {
    let mut world = World::new();
    world.has_no_host("198.51.100.7");
    world.hold(&table(1..=20, 1));
    let wanted = rules(10..=12, 2) + "-A -t 10.0.1.1:80 -s wrr\n" + NO_HOST + "-A -f 1\n";
    let done = world.run("restore --line-by-line", &wanted);
    assert_eq!(
        done,
        Done {
            status: 0,
            stdout: String::new(),
            stderr: "Invalid operation.  Possibly wrong module version, address not unicast, ...\n".into()
        }
    );
    assert_eq!(world.client.table().unwrap().services().len(), 5);
}

/// Of which nobody but the kernel knows whether it has it.
#[test]
fn a_made_up_scheduler_is_refused_by_the_kernels_word_and_nothing_is_changed() {
    let mut world = World::new();
    let before = table(1..=20, 1);
    world.hold(&before);
    let line = 1 + rules(1..=20, 2).lines().count();
    for (rule, what) in [
        ("-A -f 99 -s made-up\n", "scheduler made-up (module ip_vs_made-up)"),
        ("-A -f 99 --pe made-up -p\n", "persistence engine made-up (module ip_vs_pe_made-up)"),
    ] {
        let wanted = rules(1..=20, 2) + rule;
        let said = format!("standard input:{line}: the kernel says that it has no {what}; Linux has ");
        for command in ["apply -", "restore", "apply --dry-run -", "--dry-run restore", "diff -"] {
            let done = world.run(command, &wanted);
            assert!(done.status > 0 && done.stdout.is_empty() && done.stderr.starts_with(&said), "{command}: {done:?}");
            assert!(world.holds(&before), "{command}");
        }
    }
    let done = world.run("--dry-run -A -f 99 -s made-up", "");
    assert!(done.status == 255 && done.stderr.contains("hint: the kernel says that it has no scheduler"), "{done:?}");
}

#[test]
fn commands_that_would_be_refused_are_not_sent() {
    let mut world = World::new();
    let before = table(1..=20, 1);
    world.hold(&before);
    let wanted = rules(10..=20, 2) + "--start-daemon master --mcast-interface nowhere0\n";
    let sends = calls(&world, "sendto", "apply -", &wanted);
    assert_eq!(sends, calls(&world, "sendto", "diff -", &wanted));
    for line in ["apply -", "restore", "apply --dry-run -"] {
        let said = "standard input:35: there is no network interface nowhere0\n".to_owned();
        assert_eq!(world.run(line, &wanted), Done { status: 1, stdout: String::new(), stderr: said });
    }
    assert!(world.holds(&before));
    let said = world.run("--dry-run --start-daemon backup --mcast-interface nowhere0", "");
    assert!(said.stderr.ends_with("hint: there is no network interface nowhere0\n"), "{said:?}");
}

/// Each of its answers once. Those of reads end it before anything was sent; after a change it
/// looks how far it got.
#[test]
fn any_answer_may_be_lost() {
    let mut world = World::new();
    let (before, after) = (table(1..=4, 1), table(3..=60, 2));
    let wanted = rules(3..=60, 2);
    world.hold(&before);
    let all = calls(&world, "recvfrom", "apply -", &wanted);
    let mut survived = 0;
    for at in 1..=all {
        world.hold(&before);
        let done = world.injecting(&format!("recvfrom:error=ENOBUFS:when={at}"), "apply -", &wanted);
        match done.status {
            0 => assert!(world.holds(&after), "{at}: {done:?}"),
            1 | 2 => assert!(world.holds(&before) && done.stderr.contains("lost"), "{at}: {done:?}"),
            _ => panic!("{at}: {done:?}"),
        }
        survived += usize::from(done.stderr.contains("planned again"));
    }
    assert!(survived >= 2, "at least the two parts of the change were made with a lost answer: {survived}");
}

#[test]
fn when_all_answers_are_lost_that_is_said() {
    let mut world = World::new();
    let wanted = rules(1..=60, 1);
    let reads = calls(&world, "recvfrom", "diff -", &wanted);
    let done = world.injecting(&format!("recvfrom:error=ENOBUFS:when={}+", reads + 1), "apply -", &wanted);
    assert_eq!((done.status, done.stdout.as_str()), (3, ""), "{done:?}");
    assert!(done.stderr.contains("it is unknown which part of the change was made"), "{done:?}");
    assert!(done.stderr.contains("safe to run it again"), "{done:?}");
    assert_eq!(world.run("apply -", &wanted).status, 0);
    assert!(world.holds(&table(1..=60, 1)));
}

/// As `World::injecting`. Did it call what was to fail?
fn injecting_seen(world: &World, inject: &str, arguments: &str) -> (Done, bool) {
    let log = scratch("injected");
    let mut command = strace(&["trace=recvfrom", &format!("inject={inject}")], &log);
    command.arg(program()).args(arguments.split(' '));
    let done = world.start(command, "").wait_with_output().unwrap().into();
    let is_seen = fs::read_to_string(&log).unwrap().contains("(INJECTED)");
    fs::remove_file(&log).unwrap();
    (done, is_seen)
}

/// Each service has a real server that is meant, and another one.
#[test]
fn a_weight_whose_reply_is_lost_is_read_back_or_reported_as_unknown() {
    let mut world = World::new();
    let before = table(1..=2, 1);
    world.hold(&before);
    // Which reply is the first to a change differs: a table is read again while other namespaces
    // change. Mostly it is the one that it was last time.
    let mut first = 1;
    let mut losing = |world: &mut World, replies: &str, line: &str, status: i32| {
        let lost = (first..40).chain(1..first).find_map(|at| {
            first = at;
            world.hold(&before);
            let (done, is_lost) = injecting_seen(world, &format!("recvfrom:error=ENOBUFS:when={at}{replies}"), line);
            (is_lost && done.status == status).then_some(done)
        });
        lost.unwrap_or_else(|| panic!("{line}: no lost reply ends it with status {status}"))
    };
    for line in ["weight --all 127.0.0.1 5", "undrain --all 127.0.0.1 --weight 5"] {
        let done = losing(&mut world, "", line, 0);
        assert_eq!(done.stdout.lines().count(), 2, "{line}: {done:?}");
        assert_eq!(done.stderr, "ipvs-cli: replies of the kernel were lost\n", "{line}");
        let weights = (1..=2).flat_map(|service| world.client.destinations(&key(service)).unwrap());
        let weights = weights.map(|state| state.destination.weight.get()).filter(|weight| *weight == 5);
        assert_eq!(weights.count(), 2, "{line}: {done:?}");
        let done = losing(&mut world, "+", line, 3);
        assert_eq!(done.stdout, "", "{line}: {done:?}");
        let lines =
            done.stderr.matches(": it is unknown whether it was changed: replies of the kernel were lost").count();
        assert_eq!(lines, 2, "{line}: {done:?}");
        assert!(done.stderr.ends_with("read the table again: replies of the kernel were lost\n"), "{done:?}");
        let json = losing(&mut world, "+", &line.replacen(' ', " --json ", 1), 3);
        assert_eq!(json.stdout.matches("\"outcome\": \"unconfirmed\"").count(), 2, "{line}: {json:?}");
    }
    let unknown = (first..60).chain(1..first).find_map(|at| {
        world.hold(&before);
        let done =
            world.injecting(&format!("recvfrom:error=ENOBUFS:when={at}+"), "drain --timeout 0 --all 127.0.0.1", "");
        assert!(done.status > 0, "{at}: {done:?}");
        (done.status == 3).then_some(done)
    });
    let done = unknown.expect("the replies to its changes are lost");
    assert!(done.stderr.contains(": it is unknown whether it was changed: "), "{done:?}");
    assert!(done.stderr.contains("`ipvs-cli undrain "), "{done:?}");
}

#[test]
fn a_time_limit_undoes_what_was_done() {
    let mut world = World::new();
    let before = table(1..=4, 1);
    world.hold(&before);
    let wanted = rules(3..=200, 2);
    let first = calls(&world, "sendto", "diff -", &wanted) + 1;
    let inject = format!("sendto:delay_enter=1500000:when={first}");
    let done = world.injecting(&inject, "apply --timeout 1 -", &wanted);
    let said = "ipvs-cli: not done in time; what had been changed was undone\n";
    assert_eq!(done, Done { status: 1, stdout: String::new(), stderr: said.into() });
    assert!(world.holds(&before));
}
