//! The subcommands, in this process, on an in-memory kernel that remembers from call to call.

mod connections;
mod conns;
mod control_characters;
mod deletions;
mod director;
mod drain;
mod dry_run;
mod edits;
mod faults;
mod groups;
mod help;
mod json;
mod manual;
mod metrics;
mod mistakes;
mod modules;
mod monitor;
mod offline;
mod options;
mod owners;
mod report;
mod restrictions;
mod schema;
mod unwritten;
mod watch;

use director::{Director, Done, SHOP, done};

#[test]
fn apply_makes_it_so_and_then_there_is_nothing_to_do() {
    let mut director = Director::new();
    director.must("ipvsadm -A -f 7");
    let summary = "2 services added, 1 deleted; 3 destinations added; timeouts set\n";
    assert_eq!(director.feed("ipvs-cli apply -", SHOP), done(0, summary, ""));
    assert_eq!(director.feed("ipvs-cli apply -", SHOP), done(0, "nothing to change\n", ""));
    assert_eq!(director.feed("ipvs-cli apply --quiet -", "-C"), done(0, "", ""));
    assert_eq!(director.saved(), "");
}

#[test]
fn a_file_is_named_in_what_is_said() {
    let mut director = Director::new();
    let file = director.file("shop.rules", SHOP);
    assert_eq!(director.run(&format!("ipvs-cli apply {file}")).status, 0);
    assert_eq!(director.run(&format!("ipvs-cli diff --rules {file}")), done(0, "", ""));
    let wrong = director.file("wrong.rules", "-A -f 1\n-A -f 0\n");
    let said = director.run(&format!("ipvs-cli apply {wrong}"));
    assert_eq!((said.status, said.stdout.as_str()), (1, ""));
    assert!(said.stderr.starts_with(&format!("{wrong}:2: ")), "{}", said.stderr);
    let missing = director.run("ipvs-cli diff --rules /no/such/file");
    assert_eq!(missing, done(2, "", "ipvs-cli: /no/such/file: No such file or directory (os error 2)\n"));
}

#[test]
fn diff_tells_what_apply_would_do() {
    let mut director = Director::new();
    director.must("ipvsadm -A -t 192.0.2.1:80 -s rr");
    director.must("ipvsadm -a -t 192.0.2.1:80 -r 192.0.2.11 -m");
    director.must("ipvsadm -A -f 7");
    let expected = "- --set 900 120 300
+ --set 900 60 300
- -A -t 192.0.2.1:80 -s rr
+ -A -t 192.0.2.1:80 -s wrr
- -a -t 192.0.2.1:80 -r 192.0.2.11:80 -m -w 1
+ -a -t 192.0.2.1:80 -r 192.0.2.11:80 -m -w 3
+ -a -t 192.0.2.1:80 -r 192.0.2.12:80 -m -w 3
- -A -f 7 -s wlc
+ -A -f 10 -s rr -p 600
+ -a -f 10 -r 192.0.2.11:0 -i -w 1 --tun-type ipip
";
    assert_eq!(director.feed("ipvs-cli diff --rules -", SHOP), done(1, expected, ""));
    let changes = "~ --set 900 120 300 -> 900 60 300
~ -A -t 192.0.2.1:80: -s rr -> wrr
~ -a -t 192.0.2.1:80 -r 192.0.2.11:80 -m: -w 1 -> 3
+ -a -t 192.0.2.1:80 -r 192.0.2.12:80 -m -w 3
- -A -f 7 -s wlc
+ -A -f 10 -s rr -p 600
+ -a -f 10 -r 192.0.2.11:0 -i -w 1 --tun-type ipip
1 service added, 1 edited, 1 deleted; 2 destinations added, 1 edited; timeouts set
";
    assert_eq!(director.feed("ipvs-cli diff -", SHOP), done(1, changes, ""));
    director.feed("ipvs-cli apply -", SHOP);
    assert_eq!(director.feed("ipvs-cli diff --rules -", SHOP), done(0, "", ""));
    assert_eq!(director.feed("ipvs-cli diff -", SHOP), done(0, "", ""));
}

#[test]
fn diff_is_coloured_where_that_is_wanted() {
    let mut director = Director::new();
    let red_and_green = "\x1b[32m+ -A -f 1 -s wlc\x1b[m\n";
    assert_eq!(director.feed("ipvs-cli diff --rules --color always -", "-A -f 1"), done(1, red_and_green, ""));
    assert_eq!(director.feed("ipvs-cli diff --rules -", "-A -f 1"), done(1, "+ -A -f 1 -s wlc\n", ""));
    director.colors = || true;
    // The environment of the tests may ask for none.
    let wants_none = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let automatic = if wants_none { "+ -A -f 1 -s wlc\n" } else { red_and_green };
    assert_eq!(director.feed("ipvs-cli diff --rules -", "-A -f 1"), done(1, automatic, ""));
    assert_eq!(director.feed("ipvs-cli diff --rules --color=never -", "-A -f 1"), done(1, "+ -A -f 1 -s wlc\n", ""));
}

#[test]
fn show_is_the_listing_or_a_desired_state() {
    let mut director = Director::new();
    director.feed("ipvs-cli apply -", SHOP);
    assert_eq!(director.run("ipvs-cli show"), director.run("ipvsadm -L -n"));
    assert_eq!(director.run("ipvs-cli show --rules"), director.run("ipvsadm -S -n"));
    assert_eq!(director.run("ipvs-cli show mark 10"), director.run("ipvsadm -L -n -f 10"));
    assert_eq!(director.run("ipvs-cli show --rules mark:10").stdout.lines().count(), 2);
    for notation in ["--json", "--toml", "--json --statistics"] {
        let text = director.run(&format!("ipvs-cli show {notation}")).stdout;
        assert_eq!(director.feed("ipvs-cli diff --rules -", &text), done(0, "", ""), "{notation}");
        let mut other = Director::new();
        assert_eq!(other.feed("ipvs-cli apply -", &text).status, 0);
        assert_eq!(other.run(&format!("ipvs-cli show {notation}")).stdout, text);
    }
}

#[test]
fn show_leaves_out_sync_daemons_unless_asked() {
    let mut master = Director::new();
    master.feed("ipvs-cli apply -", SHOP);
    let without = ["--toml", "--json"].map(|notation| master.run(&format!("ipvs-cli show {notation}")).stdout);
    master.must("ipvsadm --start-daemon master --mcast-interface lo --syncid 7");
    let mut backup = Director::new();
    backup.must("ipvsadm --start-daemon backup --mcast-interface lo --syncid 7");
    let daemons = backup.run("ipvsadm -L --daemon");
    for (notation, without) in ["--toml", "--json"].into_iter().zip(&without) {
        let text = master.run(&format!("ipvs-cli show {notation}")).stdout;
        assert_eq!(text, *without, "{notation}");
        assert_eq!(backup.feed("ipvs-cli apply -", &text).status, 0);
        assert_eq!(backup.run("ipvsadm -L --daemon"), daemons, "{notation}");
        assert_eq!(master.feed("ipvs-cli apply -", &text), done(0, "nothing to change\n", ""), "{notation}");
        // A copy of one director alone has them.
        let all = master.run(&format!("ipvs-cli show {notation} --daemons")).stdout;
        assert!(all.contains("daemons") && all.contains("master"), "{all}");
        assert_eq!(master.feed("ipvs-cli apply -", &all), done(0, "nothing to change\n", ""), "{notation}");
        let summary = "backup daemon stopped; master daemon started\n";
        assert_eq!(backup.feed("ipvs-cli apply --dry-run --quiet -", &all).status, 0);
        assert_eq!(backup.feed("ipvs-cli apply --services-only -", &all), done(0, "nothing to change\n", ""));
        assert_eq!(backup.feed("ipvs-cli apply -", &all), done(0, summary, ""), "{notation}");
        assert_eq!(backup.run("ipvsadm -L --daemon"), master.run("ipvsadm -L --daemon"));
        backup.must("ipvsadm --stop-daemon master");
        backup.must("ipvsadm --start-daemon backup --mcast-interface lo --syncid 7");
    }
    for line in ["show --daemons --rules", "show --daemons --json mark:1"] {
        assert_eq!(master.run(&format!("ipvs-cli {line}")).status, 2, "{line}");
    }
}

#[test]
fn show_knows_the_service_that_was_meant() {
    let mut director = Director::new();
    director.must("ipvsadm -A -t 192.0.2.1:80");
    let said = "ipvs-cli: there is no service udp 192.0.2.1:80, but tcp 192.0.2.1:80\n";
    assert_eq!(director.run("ipvs-cli show --json udp:192.0.2.1:80"), done(1, "", said));
    let wrong = director.run("ipvs-cli show 192.0.2.1:80");
    assert_eq!(wrong.status, 2);
    assert!(
        wrong.stderr.starts_with("ipvs-cli: '192.0.2.1:80' is not a service: write it as tcp:"),
        "{}",
        wrong.stderr
    );
    assert_eq!(director.run("ipvs-cli show --statistics").status, 2);
    assert_eq!(director.run("ipvs-cli show --json --toml").status, 2);
}

#[test]
fn restore_is_all_or_nothing() {
    let mut director = Director::new();
    assert_eq!(director.feed("ipvs-cli restore", "-A -f 1\n-A -f 2\n"), done(0, "2 services added\n", ""));
    let refused = "standard input:2: there is a service mark 3 already\n";
    for line in ["restore", "restore --atomic"] {
        assert_eq!(director.feed(&format!("ipvs-cli {line}"), "-A -f 3\n-A -f 3\n"), done(1, "", refused), "{line}");
        assert_eq!(director.saved(), "-A -f 1 -s wlc\n-A -f 2 -s wlc\n", "{line}");
    }
    let file = director.file("rules", "-A -f 2\n-A -f 3\n");
    let summary = "1 service added, 1 deleted\n";
    assert_eq!(director.run(&format!("ipvs-cli restore {file}")), done(0, summary, ""));
    assert_eq!(director.run(&format!("ipvs-cli restore --atomic {file}")), done(0, "nothing to change\n", ""));
    assert_eq!(director.saved(), "-A -f 2 -s wlc\n-A -f 3 -s wlc\n");
    assert_eq!(director.run("ipvs-cli restore /no/such/file").status, 1);
}

#[test]
fn restore_of_a_wrong_file_changes_nothing() {
    let mut director = Director::new();
    director.feed("ipvs-cli apply -", SHOP);
    let before = director.run("ipvs-cli show --json --statistics");
    let empty = "standard input:1:1: The file is empty. For a director without services write `-C`, \
        or `version = 1` and `services = []`\n";
    for (text, message) in [
        ("", empty),
        ("# saved by a program that failed\n\n", empty),
        ("version = 1\n[[services]]\nservice = \"tcp 192.0.2.1:80\"\n", "standard input:3:1: "),
        ("virtual_server 192.0.2.1 80 {\n    lb_algo rr\n}\n", "standard input:1:"),
        ("<!DOCTYPE html>\n<title>404</title>\n", "standard input:1:"),
        ("\u{7f}ELF\u{2}\u{1}\0\0\n\0-A -f 1\n", "standard input:1:"),
        ("-A -f 1\n-A -f 2 -s\n", "standard input:2: "),
    ] {
        for line in ["restore", "restore --atomic"] {
            let done = director.feed(&format!("ipvs-cli {line}"), text);
            assert_eq!((done.status, done.stdout.as_str()), (1, ""), "{line}: {text:?}");
            assert!(done.stderr.starts_with(message), "{line}: {text:?}: {}", done.stderr);
            assert_eq!(director.run("ipvs-cli show --json --statistics"), before, "{line}: {text:?}");
        }
    }
}

#[test]
fn restore_reads_every_notation() {
    let mut director = Director::new();
    director.feed("ipvs-cli apply -", SHOP);
    let [toml, json] = ["--toml", "--json"].map(|notation| director.run(&format!("ipvs-cli show {notation}")).stdout);
    for text in [&toml, &json] {
        director.must("ipvsadm -C");
        director.must("ipvsadm -A -f 7");
        let summary = "2 services added, 1 deleted; 3 destinations added\n";
        assert_eq!(director.feed("ipvs-cli restore", text), done(0, summary, ""));
        assert_eq!(director.run("ipvs-cli show --json").stdout, json);
    }
    // Rules replace the table. Of what a typed file does not mention nothing is changed.
    assert_eq!(director.feed("ipvs-cli restore", "version = 1\ntimeouts = { tcp = 5 }").stdout, "timeouts set\n");
    let summary = "2 services deleted with 3 destinations; timeouts set\n";
    assert_eq!(director.feed("ipvs-cli restore", "--set 7 0 0\n"), done(0, summary, ""));
}

#[test]
fn restore_line_by_line_is_ipvsadm_restore() {
    let mut director = Director::new();
    let rules = "-A -f 1\n-A -f 1\n-A -f 2\n";
    assert_eq!(director.feed("ipvs-cli restore --line-by-line", rules), done(0, "", "Service already exists\n"));
    assert_eq!(director.saved(), "-A -f 1 -s wlc\n-A -f 2 -s wlc\n");
    let file = director.file("rules", "-A -f 2\n-A -f 3\n");
    assert_eq!(director.run(&format!("ipvs-cli restore --line-by-line {file}")), done(0, "", ""));
    assert_eq!(director.saved(), "-A -f 2 -s wlc\n-A -f 3 -s wlc\n");
    assert_eq!(director.run("ipvs-cli restore --line-by-line /no/such/file").status, 1);
    for option in ["--atomic", "--timeout 5", "--wait 5", "--json", "--max-deletions 3", "--yes"] {
        assert_eq!(director.run(&format!("ipvs-cli restore --line-by-line {option}")).status, 2, "{option}");
    }
    assert_eq!(director.saved(), "-A -f 2 -s wlc\n-A -f 3 -s wlc\n");
}

#[test]
fn an_unknown_subcommand_is_refused_with_a_similar_one_and_the_way_to_help() {
    let mut director = Director::new();
    let mut refused = |line: &str| {
        let Done { status, stdout, stderr } = director.run(line);
        assert_eq!((status, stdout.as_str()), (2, ""), "{line}");
        assert!(stderr.ends_with("\nFor more information, try '--help'.\n") && stderr.lines().count() < 8, "{stderr}");
        stderr
    };
    for line in ["ipvs-cli foo", "ipvs-cli foo show", "ipvs-cli --netns blue foo", "ipvs-cli mark foo"] {
        assert!(refused(line).starts_with("error: unrecognized subcommand 'foo'\n"), "{line}: {}", refused(line));
    }
    assert!(refused("ipvs-cli shwo").contains("tip: a similar subcommand exists: 'show'\n"));
    assert!(refused("ipvs-cli mark chekc").contains("tip: a similar subcommand exists: 'check'\n"));
    let none = refused("ipvs-cli --netns blue");
    assert_eq!(none.matches("[subcommands: apply, ").count(), 1, "{none}");
}

/// With the range, whichever option it is.
#[test]
fn a_number_that_is_none_is_refused_with_what_is_expected() {
    let mut director = Director::new();
    for (line, option, expected) in [
        ("apply - --max-deletions x", "--max-deletions <N>", "a whole number from 0 to 4294967295"),
        ("restore --max-deletions -1", "--max-deletions <N>", "a whole number from 0 to 4294967295"),
        ("conns --limit -1", "--limit <NUMBER>", "a whole number from 0 to 4294967295"),
        ("conns --expires-within 1.5", "--expires-within <SECONDS>", "a whole number from 0 to 4294967295"),
        ("conns --expires-after x", "--expires-after <SECONDS>", "a whole number from 0 to 4294967295"),
        ("watch --count x", "--count <NUMBER>", "a whole number from 0 to 4294967295"),
        (
            "doctor --real-server 192.0.2.1 --tunnel-port 65536",
            "--tunnel-port <PORT>",
            "a whole number from 1 to 65535",
        ),
        ("apply - --owner 9", "--owner <NAME>", "1 to 20 letters, digits and -"),
        ("mark list --owner 9", "--owner <NAME>", "1 to 20 letters, digits and -"),
        ("conns --protocol x", "--protocol <PROTOCOL>", "tcp, udp, sctp or a number"),
        ("monitor --device averyverylongname", "--device <INTERFACE>", "1 to 15 bytes without NUL"),
        ("doctor --real-server x", "--real-server <VIP>", "an address of IPv4 or IPv6"),
        ("doctor --real-server 192.0.2.1 --udp 0", "--udp <PORT>", "a whole number from 1 to 65535"),
        ("apply - --wait x", "--wait <SECONDS>", "a number of seconds, such as 10 or 0.5"),
        ("apply - --timeout -1", "--timeout <SECONDS>", "a number of seconds, such as 10 or 0.5"),
        ("drain --all 192.0.2.1 --timeout nan", "--timeout <SECONDS>", "a number of seconds, such as 10 or 0.5"),
        ("mark delete --all --wait x", "--wait <SECONDS>", "a number of seconds, such as 10 or 0.5"),
        ("top --interval 0", "--interval <SECONDS>", "at least 0.1 seconds"),
        ("undrain --all 192.0.2.1 --weight x", "--weight <WEIGHT>", "a number from 0 to 2147483647"),
        (
            "apply - --only x",
            "--only <SERVICE|NETWORK>",
            "a service, such as tcp:192.0.2.1:80 or mark:10, or an address or",
        ),
    ] {
        let Done { status, stdout, stderr } = director.run(&format!("ipvs-cli {line}"));
        assert_eq!((status, stdout.as_str()), (2, ""), "{line}: {stderr}");
        assert!(stderr.contains(&format!(" for '{option}': must be {expected}")), "{line}: {stderr}");
    }
}

/// `--wait` always takes a value, so that no word behind it is taken for a weight or a file.
#[test]
fn wait_takes_the_word_behind_it() {
    let mut director = Director::new();
    assert_eq!(director.feed("ipvs-cli apply --quiet -", SHOP).status, 0);
    let saved = director.saved();
    for line in
        ["weight --all 192.0.2.12 --wait 5", "apply --wait 5", "drain --wait mark:10 192.0.2.11", "apply - --wait"]
    {
        let Done { status, stderr, .. } = director.run(&format!("ipvs-cli {line}"));
        assert_eq!(status, 2, "{line}: {stderr}");
        assert_eq!(director.saved(), saved, "{line}");
    }
    assert_eq!(director.run("ipvs-cli weight --quiet --all 192.0.2.12 --wait 5 7"), done(0, "", ""));
    assert!(director.saved().contains("-r 192.0.2.12:80 -m -w 7"), "{}", director.saved());
}

#[test]
fn wrong_command_lines_are_reported() {
    let mut director = Director::new();
    for line in [
        "apply",
        "apply a b",
        "apply --only-additions --no-deletions -",
        "apply --only x -",
        "apply --wait=x -",
        // Without packets they would choose nothing, and every rule of the mark would go.
        "mark delete 10 --source 198.51.100.0/24",
        "mark delete 10 --interface eth0",
        "mark delete 10 --output",
    ] {
        let Done { status, stdout, stderr } = director.run(&format!("ipvs-cli {line}"));
        assert_eq!((status, stdout.as_str()), (2, ""), "{line}");
        assert!(stderr.starts_with("error: "), "{line}: {stderr}");
    }
    for line in ["help", "help apply", "diff --help", "show -h"] {
        let Done { status, stdout, stderr } = director.run(&format!("ipvs-cli {line}"));
        assert_eq!((status, stderr.as_str()), (0, ""), "{line}");
        assert!(stdout.contains("Usage: ipvs-cli"), "{line}: {stdout}");
    }
}

#[test]
fn show_of_an_absent_service_has_status_1() {
    let mut director = Director::new();
    assert_eq!(director.feed("ipvs-cli apply --quiet -", director::SHOP).status, 0);
    for form in ["", " --json", " --toml", " --rules"] {
        let said = director.run(&format!("ipvs-cli show{form} tcp:192.0.2.9:80"));
        assert_eq!((said.status, said.stdout.as_str()), (1, ""), "{form}: {}", said.stderr);
        assert!(said.stderr.contains("there is no service tcp 192.0.2.9:80"), "{form}: {}", said.stderr);
    }
}

/// `-h` is an option of ipvsadm.
#[test]
fn without_a_word_it_prints_its_own_help() {
    let mut director = Director::new();
    let help = director.run("ipvs-cli help");
    assert!(help.status == 0 && help.stdout.contains("\n  apply "), "{help:?}");
    assert_eq!(director.run("ipvs-cli --help"), help);
    assert_eq!(director.run("ipvs-cli"), help);
    assert_eq!(director.run("/usr/sbin/ipvs-cli"), help);
    let ipvsadm = director.run("ipvs-cli -h");
    assert!(ipvsadm.stdout.contains("--add-service"), "{ipvsadm:?}");
    assert_eq!(director.run("ipvsadm"), director.run("ipvsadm -L"), "the drop-in lists");
}

/// A file that is none, and one that does not end.
#[test]
fn other_things_than_files_are_refused_by_name() {
    let mut director = Director::new();
    let directory = std::env::temp_dir();
    let directory = directory.display();
    for line in ["apply", "diff", "restore"] {
        let done = director.run(&format!("ipvs-cli {line} {directory}"));
        assert!(done.status > 0 && done.stderr.contains(&format!("{directory}: Is a directory")), "{done:?}");
    }
    let endless = director.run("ipvs-cli apply /dev/zero");
    assert_eq!(endless, done(1, "", "ipvs-cli: /dev/zero: it is larger than 256 MiB\n"));
    for line in ["conns --from /dev/zero", "conns --count --from /dev/zero"] {
        let done = director.run(&format!("ipvs-cli {line}"));
        let message =
            "ipvs-cli: /dev/zero: cannot read line 1 of the connection table: a line of more than 4096 bytes\n";
        assert_eq!((done.status, &*done.stderr), (1, message), "{line}");
    }
}
