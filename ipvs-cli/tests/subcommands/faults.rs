//! What goes wrong, on a director in memory; what needs signals or a second process is in
//! `tests/kernel/tests/operate.rs`.

use super::director::{Director, SHOP, done};

#[test]
fn a_wrong_file_is_reported_from_end_to_end_and_nothing_is_done() {
    let mut director = Director::new();
    director.must("ipvsadm -A -f 7");
    let text = "-A -f 1\n-A -f 0\n-D -f 2\n-a -f 1 -r 192.0.2.11 -w x\n-a -f 9 -r 192.0.2.11\n";
    for line in ["apply -", "restore", "diff -"] {
        let said = director.feed(&format!("ipvs-cli {line}"), text);
        assert_eq!((said.status, said.stdout.as_str()), (if line == "diff -" { 2 } else { 1 }, ""), "{line}");
        let places: Vec<&str> = said.stderr.lines().map(|line| line.split(": ").next().unwrap()).collect();
        assert_eq!(places, ["standard input:2", "standard input:4"], "{}", said.stderr);
    }
    let refused = "-A -f 1\n-D -f 2\n-a -f 1 -r 224.0.0.1\n-a -f 9 -r 192.0.2.11\n";
    let said = "standard input:2: there is no service mark 2
standard input:3: 224.0.0.1 is a multicast address, and a destination is one host
standard input:4: there is no service mark 9\n";
    assert_eq!(director.feed("ipvs-cli apply -", refused), done(1, "", said));
    assert_eq!(director.saved(), "-A -f 7 -s wlc\n");
}

/// What every kernel refuses is reported before a wait; what only this director's kernel knows is
/// not refused.
#[test]
fn a_wrong_file_is_reported_while_another_ipvs_cli_has_the_lock() {
    let mut director = Director::new();
    assert_eq!(director.feed("ipvs-cli apply -", "-A -f 7"), done(0, "1 service added\n", ""));
    let held = std::fs::File::options().write(true).open(director.state_file("lock")).unwrap();
    held.lock().unwrap();
    let refused = done(1, "", "standard input:2: there is a service mark 1 already\n");
    assert_eq!(director.feed("ipvs-cli apply -", "-A -f 1\n-A -f 1\n"), refused);
    let said = director.feed("ipvs-cli apply --wait 0 -", "-A -f 1 -s fastest\n");
    assert!(said.status == 1 && said.stderr.contains("changing this director"), "{}", said.stderr);
}

/// What a restriction leaves may be in the way.
#[test]
fn impossible_commands_are_reported_with_their_line() {
    let mut director = Director::new();
    director.must("ipvsadm --start-daemon master --mcast-interface lo");
    let mixed = "-A -t 192.0.2.1:80\n-a -t 192.0.2.1:80 -r [2001:db8::1]:80 -i\n";
    let said = director.feed("ipvs-cli apply -", mixed);
    assert_eq!(said.status, 1);
    assert!(said.stderr.starts_with("standard input:2: ") && said.stderr.contains("sync daemon"), "{}", said.stderr);

    director.must("ipvsadm --stop-daemon master");
    director.feed("ipvs-cli apply -", mixed);
    let daemon = "-A -f 1\n--start-daemon backup --mcast-interface lo\n";
    let said = director.feed("ipvs-cli apply --no-deletions -", daemon);
    assert_eq!(said.status, 1);
    assert!(said.stderr.starts_with("standard input:2: "), "{}", said.stderr);
    assert!(!director.saved().contains("-f 1"), "nothing was sent");
}

#[test]
fn warnings_are_printed_unless_silence_is_wanted() {
    let mut director = Director::new();
    let pasted = "\u{2013}A -f 1\n";
    let said = director.feed("ipvs-cli apply -", pasted);
    assert_eq!((said.status, said.stdout.as_str()), (0, "1 service added\n"));
    assert!(said.stderr.starts_with("standard input:1: warning: "), "{}", said.stderr);
    assert_eq!(director.feed("ipvs-cli apply --quiet -", pasted), done(0, "", ""));
}

#[test]
fn a_time_that_is_over_changes_nothing() {
    let mut director = Director::new();
    let said = "ipvs-cli: not done in time; nothing was changed\n";
    assert_eq!(director.feed("ipvs-cli apply --timeout 0 -", SHOP), done(1, "", said));
    assert_eq!(director.saved(), "");
    assert_eq!(director.feed("ipvs-cli apply --timeout 1e15 -", SHOP).status, 0);
    assert_eq!(director.feed("ipvs-cli apply --timeout 0 -", SHOP), done(0, "nothing to change\n", ""));
}

/// Right from end to end, it is made by the difference; else line by line, as the original does.
#[test]
fn ipvsadm_restore_is_the_same_either_way() {
    for (text, said, saved) in [
        ("-A -f 1\n# no\n\n-A -f 2 -s rr\n-D -f 1\n", done(0, "", ""), "-A -f 2 -s rr\n"),
        ("-A -f 1\n-Z\n-A -f 2", done(0, "", ""), "-A -f 1 -s wlc\n-A -f 2 -s wlc\n"),
        ("-A -f 1\n-L -n -f 1\n", done(0, LISTED, ""), "-A -f 1 -s wlc\n"),
        ("-A -f 1\n-A -f 1\n", done(255, "", "Service already exists\n"), "-A -f 1 -s wlc\n"),
        ("-A -f 1\n-A -f 0\n", done(2, "", "invalid fwmark value `0' specified\n"), "-A -f 1 -s wlc\n"),
        ("", done(0, "", ""), ""),
        (" \n#\n", done(0, "", ""), ""),
    ] {
        let mut director = Director::new();
        director.must("ipvsadm -A -f 2");
        director.must("ipvsadm -A -f 3");
        assert_eq!(director.feed("ipvsadm-restore", text), said, "{text:?}");
        assert_eq!(director.saved(), saved, "{text:?}");
    }
}

const LISTED: &str = "Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
FWM  1 wlc
";
