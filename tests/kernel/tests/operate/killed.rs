//! `kill -9` at every point of an apply: another one makes the rest, and takes nothing away that is
//! to stay.

use std::fs;

use ipvs::{Command, change::Planner};

use super::world::{World, calls, program, rules, scratch, strace, table};

#[test]
fn whatever_point_it_was_killed_at_another_run_makes_the_rest() {
    let mut world = World::new();
    let (before, after) = (table(1..=6, 1), table(4..=60, 2));
    let wanted = rules(4..=60, 2);
    world.hold(&before);
    let all = calls(&world, "sendto", "apply -", &wanted);
    let mut partial = 0;
    for at in 1..=all {
        world.hold(&before);
        let killed = world.injecting(&format!("sendto:signal=SIGKILL:when={at}"), "apply -", &wanted);
        assert_eq!(killed.status, 128 + 9, "{at}: {killed:?}");
        partial += usize::from(!world.holds(&before) && !world.holds(&after));
        makes_the_rest(&mut world, &wanted);
        assert!(world.holds(&after), "{at}");
    }
    assert!(partial >= 1, "some of them left the director in between");
}

/// Applies, and compares what was sent with what there was to do.
fn makes_the_rest(world: &mut World, wanted: &str) {
    let current = world.client.table().unwrap();
    let plan = Planner::new().only_services().plan(&current, &table(4..=60, 2));
    let is_deletion =
        |command: &&Command| matches!(command, Command::DeleteService(_) | Command::DeleteDestination(..));
    let deletions = plan.commands().iter().filter(is_deletion).count();
    let stays = |number: &u32| current.service(&super::world::key(*number)).is_some();
    assert_eq!(deletions, (1..=3).filter(stays).count(), "only the services that are to go");
    assert_eq!(sent(world, wanted), (deletions, plan.commands().len()));
}

/// How many deletions, and how many changes, an apply sends.
fn sent(world: &World, wanted: &str) -> (usize, usize) {
    const DELETE: [&str; 3] = ["\\x03", "\\x07", "\\x11"];
    const CHANGE: [&str; 4] = ["\\x01", "\\x02", "\\x05", "\\x06"];
    let log = scratch("sent");
    let mut command = strace(&["trace=sendto", "abbrev=none"], &log);
    command.args(["-xx", "-s", "4000"]).arg(program()).args(["apply", "-"]);
    let done = world.start(command, wanted).wait_with_output().unwrap();
    assert!(done.status.success(), "{done:?}");
    let trace = fs::read_to_string(&log).unwrap();
    fs::remove_file(&log).unwrap();
    // But for the question what number the kernel has given to IPVS.
    let trace: String = trace.lines().filter(|line| line.contains("nlmsg_type=IPVS")).collect();
    // The number of the command, and version 1, begin what follows the header of each message.
    let count = |commands: &[&str]| {
        commands.iter().map(|command| trace.matches(&format!("\"{command}\\x01\\x00\\x00")).count()).sum()
    };
    let deletions: usize = count(&DELETE);
    (deletions, deletions + count(&CHANGE))
}
