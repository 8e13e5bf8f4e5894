//! What `show` writes, `apply` makes.

use ipvs::{
    Table,
    change::{Planner, plan},
};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use super::world::{Done, World, rules, table};

#[path = "../../../../ipvs-cli/tests/desired/strategies.rs"]
#[expect(dead_code, reason = "made for other tests, too")]
mod strategies;

#[test]
fn applying_shown_json_changes_nothing() {
    let mut world = World::new();
    let mut runner = TestRunner::deterministic();
    for round in 0..30 {
        let wanted = strategies::table().new_tree(&mut runner).unwrap().current();
        // What this machine has no route or interface for is refused, and the rest is made.
        world.client.execute_all(plan(&Table::new(), &wanted).commands()).unwrap();
        let held = world.client.table().unwrap();
        let notation = if round % 2 == 0 { "show --json --daemons" } else { "show --toml --daemons" };
        let shown = world.run(notation, "").stdout;
        let again = world.run("apply -", &shown);
        assert_eq!((again.status, again.stdout.as_str()), (0, "nothing to change\n"), "{round}\n{shown}");
        assert_eq!(
            world.run("apply --quiet -", "-C\n--stop-daemon master\n--stop-daemon backup\n--set 900 120 300").status,
            0
        );
        assert_eq!(world.client.table().unwrap().services().len(), 0);
        assert_eq!(world.run("apply --quiet -", &shown), success(""), "{round}\n{shown}");
        let made = world.client.table().unwrap();
        assert!(plan(&made, &held).is_empty(), "{round}: {:?}\n{shown}", plan(&made, &held));
        world.client.flush().unwrap();
        for daemon in made.daemons() {
            world.client.stop_daemon(daemon.role).unwrap();
        }
    }
}

fn success(stdout: &str) -> Done {
    Done { status: 0, stdout: stdout.to_owned(), stderr: String::new() }
}

#[test]
fn diff_tells_and_apply_makes_it() {
    let mut world = World::new();
    world.hold(&table(1..=3, 1));
    let wanted = rules(2..=4, 2) + "--set 0 60 0\n--start-daemon backup --mcast-interface lo --syncid 3\n";
    let difference = world.run("diff --rules -", &wanted);
    assert_eq!(difference.status, 1);
    assert_eq!(difference.stdout.lines().filter(|line| line.starts_with("+ ")).count(), 2 + 4 + 3, "{difference:?}");
    let difference = world.run("diff -", &wanted).stdout;
    let (lines, total) = difference.trim_end().rsplit_once('\n').unwrap();
    let dry = world.run("--dry-run apply -", &wanted);
    assert_eq!(dry, success(&format!("{lines}\ndry run, nothing was sent: {total}\n")));
    assert!(world.holds(&table(1..=3, 1)), "a dry run changes nothing");
    let summary = "1 service added, 1 deleted with 2 destinations; 2 destinations added, 4 edited; timeouts set; backup daemon started\n";
    assert_eq!(world.run("apply -", &wanted), success(summary));
    assert_eq!(world.run("diff -", &wanted), success(""));
    assert!(world.holds(&table(2..=4, 2)));
    assert_eq!(world.client.daemons().unwrap().len(), 1);
    assert_eq!(world.client.timeouts().unwrap().tcp_fin, Some(60));
}

/// Lines of all commands, in every form, on the director and on its copy.
#[test]
fn a_dry_run_tells_what_the_run_then_does() {
    let mut world = World::new();
    let lines = [
        "-A -t 192.0.2.1:80 -s rr",
        "-a -t 192.0.2.1:80 -r 192.0.2.11 -m",
        "-e -t 192.0.2.1:80 -r 192.0.2.11 -m -w 9",
        "-E -t 192.0.2.1:80 -s wrr -p 60",
        "-A -t 192.0.2.1:80",
        "-d -t 192.0.2.1:80 -r 192.0.2.12",
        "-a -t 192.0.2.1:80 -r 224.0.0.1",
        "--set 0 60 0",
        "--start-daemon master --mcast-interface lo",
        "--stop-daemon master",
        "-D -t 192.0.2.1:80",
        "-C",
    ];
    for line in lines {
        let before = world.client.table().unwrap();
        let tried = world.run(&format!("--dry-run {line}"), "");
        assert_eq!(world.client.table().unwrap(), before, "{line}");
        let done = world.run(line, "");
        let said = tried.stderr.lines().filter(|line| !line.starts_with("hint: ")).collect::<Vec<_>>();
        assert_eq!((tried.status, said), (done.status, done.stderr.lines().collect()), "{line}");
        let after = world.client.table().unwrap();
        let changed = !Planner::new().plan(&before, &after).is_empty();
        assert_eq!(tried.stdout.contains("nothing to change"), !changed, "{line}: {}", tried.stdout);
    }
}
