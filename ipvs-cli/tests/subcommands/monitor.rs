//! `monitor --replay`. With a kernel: `tests/kernel/tests/monitor/program.rs`.

use crate::director::Director;
use crate::schema::objects;

const RECORDED: &str = r#"{"version": 1, "time": "2026-11-30T03:29:24.123Z", "event": "change", "rule": "-A -t 192.0.2.1:80 -s rr", "service": "tcp 192.0.2.1:80", "outcome": "accepted", "process": "ipvsadm", "parent": "bash", "pid": 4711, "login_uid": 1000, "port": 4711}
{"version": 1, "time": "2026-11-30T03:29:25.000Z", "event": "change", "rule": "-A -t 192.0.2.1:80 -s rr", "service": "tcp 192.0.2.1:80", "outcome": "refused", "reason": "the service exists already", "port": 4712}
{"version": 1, "time": "2026-11-30T03:29:26.000Z", "event": "change", "rule": "-a -t 192.0.2.1:80 -r 192.0.2.11:80 -m -w 1", "service": "tcp 192.0.2.1:80", "server": "192.0.2.11:80", "outcome": "unknown"}
{"version": 1, "time": "2026-11-30T03:29:27.000Z", "event": "found", "rule": "-A -f 7 -s wlc", "service": "mark 7"}
{"version": 1, "time": "2026-11-30T03:29:28.000Z", "event": "lost", "packets": 12}
{"version": 1, "time": "2026-11-30T03:29:29.000Z", "event": "reading", "rule": "get service", "service": "mark 7", "outcome": "accepted", "port": 5}
{"version": 1, "time": "2026-11-30T03:29:30.000Z", "event": "unreadable", "rule": "IPVS command 1", "outcome": "accepted", "port": 5}
{"version": 1, "time": "2026-11-30T03:29:31.000Z", "event": "module unloaded"}
{"version": 1, "time": "2026-11-30T03:29:32.000Z", "event": "change", "rule": "-C", "outcome": "accepted", "process": "a\u001bb", "pid": 9, "port": 9}
"#;

const SHOWN: &str = "  2026-11-30T03:29:24.123Z ipvsadm[4711] (bash, login 1000): -A -t 192.0.2.1:80 -s rr
! 2026-11-30T03:29:25.000Z port 4712: -A -t 192.0.2.1:80 -s rr - refused: the service exists already
? 2026-11-30T03:29:26.000Z unknown sender: -a -t 192.0.2.1:80 -r 192.0.2.11:80 -m -w 1 - outcome unknown
? 2026-11-30T03:29:27.000Z found by comparing: -A -f 7 -s wlc
? 2026-11-30T03:29:28.000Z 12 packets were lost: what they changed follows as found by comparing
  2026-11-30T03:29:29.000Z port 5: get service mark 7
? 2026-11-30T03:29:30.000Z port 5: IPVS command 1
? 2026-11-30T03:29:31.000Z module unloaded
  2026-11-30T03:29:32.000Z a\\x1bb[9]: -C
";

/// What is printed of the recording, with these options.
#[track_caller]
fn replayed(options: &str) -> String {
    let said = Director::new().feed(format!("ipvs-cli monitor --replay - {options}").trim_end(), RECORDED);
    assert_eq!((said.status, said.stderr.as_str()), (0, ""), "{options}");
    said.stdout
}

/// These lines of what is shown, counted from 1.
fn lines(numbers: &[usize]) -> String {
    numbers.iter().map(|number| format!("{}\n", SHOWN.lines().nth(number - 1).unwrap())).collect()
}

#[test]
fn a_recording_is_shown_as_it_was_seen() {
    assert_eq!(replayed(""), SHOWN);
    assert_eq!(replayed("--json"), RECORDED);
    assert_eq!(objects("event", RECORDED).len(), SHOWN.lines().count());
    assert_eq!(replayed("--count 2"), lines(&[1, 2]));
}

#[test]
fn rules_are_those_that_were_carried_out() {
    assert_eq!(replayed("--rules"), "-A -t 192.0.2.1:80 -s rr\n-A -f 7 -s wlc\n-C\n");
}

#[test]
fn what_is_asked_for_is_shown_with_what_concerns_everything() {
    assert_eq!(replayed("mark:7"), lines(&[4, 5, 6, 8, 9]));
    assert_eq!(replayed("--server 192.0.2.0/24"), lines(&[3, 5, 8]));
    for who in ["ipvsadm", "bash", "4711", "1000"] {
        assert_eq!(replayed(&format!("--who {who}")), lines(&[1, 5, 8]), "{who}");
    }
    assert_eq!(replayed("--who 5"), lines(&[5, 6, 7, 8]));
}

#[test]
fn what_is_no_recording_is_an_error_at_its_line() {
    for (text, line) in [("nonsense\n", 1), ("{}\n", 1), (&*format!("{RECORDED}{{\"time\": \"x\"}}\n"), 10)] {
        let said = Director::new().feed("ipvs-cli monitor --replay -", text);
        let expected = format!("-:{line}: must be a line of `ipvs-cli monitor --record'\n");
        assert_eq!((said.status, said.stderr), (1, expected));
    }
}

#[test]
fn there_is_nothing_to_watch_in_memory() {
    let said = Director::new().run("ipvs-cli monitor");
    assert_eq!(said.status, 2);
    assert!(said.stderr.contains("--replay FILE"), "{}", said.stderr);
    assert_eq!(Director::new().run("ipvs-cli monitor --replay - --record x").status, 2);
}
