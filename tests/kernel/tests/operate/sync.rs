//! `sync verify` and `sync listen` on a real kernel.

use std::fs;
use std::thread;
use std::time::Duration;

use ipvs::sync::{Datagram, Entry, Sender};
use ipvs::{Daemon, DaemonRole, InterfaceName};

use super::connections::{director, file, parse, table};
use super::world::{Done, ipvs_cli, run, scratch, start};

#[test]
fn what_the_backup_has_not_learned_is_named() {
    let _world = director();
    let mut lines = table(1000);
    assert_eq!(run("conns --load -", &file(&lines, 0)).status, 0);
    let good = run("sync verify -", &file(&lines, 0));
    assert_eq!(good.status, 0, "{good:?}");
    assert_eq!(
        good.stdout,
        "1000 the same, 0 missing, 0 with another real server; 0 not compared; 0 only on the backup\n"
    );
    let [missing, elsewhere, new, over] = [
        "TCP CB007101 9C40 C0000201 0050 7F000001 0050 ESTABLISHED     899",
        "TCP 0A010000 0431 C0000201 0050 7F000001 0050 ESTABLISHED    1007",
        "TCP CB007103 9C40 C0000201 0050 7F000001 0050 SYN_RECV        899",
        "TCP CB007104 9C40 C0000201 0050 7F000001 0050 TIME_WAIT         5",
    ];
    let changed = lines.iter_mut().find(|line| line.starts_with(&elsewhere[..31])).unwrap();
    assert_eq!(parse(changed).destination.to_string(), "127.0.0.2:80");
    elsewhere.clone_into(changed);
    lines.extend([missing, new, over].map(String::from));
    lines.remove(0);
    let text = file(&lines, 0);
    let done = run("sync verify -", &text);
    let expected = "\
elsewhere 10.1.0.0:1073         tcp 192.0.2.1:80           127.0.0.1:80          ESTABLISHED 1007
missing   203.0.113.1:40000     tcp 192.0.2.1:80           127.0.0.1:80          ESTABLISHED 899
998 the same, 1 missing, 1 with another real server; 2 not compared; 1 only on the backup
";
    assert_eq!(done, Done { status: 1, stdout: expected.into(), stderr: String::new() });
    let done = run("sync verify - --protocol udp", &text);
    assert_eq!((done.status, done.stdout.lines().count()), (0, 1), "{done:?}");
    // Files, of which one is no table, or was saved too early.
    let [master, backup] = ["master", "backup"].map(scratch);
    fs::write(&master, &text).unwrap();
    let done = run(&format!("conns --save {backup}"), "");
    assert_eq!(done.status, 0);
    fs::write(&master, file(&lines, 0)).unwrap();
    let early = run(&format!("sync verify {master} {backup}"), "");
    assert!(early.status == 1 && early.stderr.contains("must be saved at least 10 s after"), "{early:?}");
    fs::write(&master, file(&lines, 60)).unwrap();
    let done = run(&format!("sync verify --json {master} {backup}"), "");
    let last = r#"{"version": 1, "same": 998, "missing": 1, "elsewhere": 1, "skipped": 2, "only_backup": 1}"#;
    assert_eq!((done.status, done.stdout.lines().last()), (1, Some(last)), "{done:?}");
    assert!(
        done.stdout.starts_with(r#"{"version": 1, "outcome": "elsewhere", "client": "10.1.0.0:1073", "#),
        "{done:?}"
    );
    fs::write(&backup, &text[..text.len() / 2]).unwrap();
    let cut = run(&format!("sync verify {master} {backup}"), "");
    assert_eq!(cut.status, 1, "{cut:?}");
    for path in [master, backup] {
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn what_a_master_announces_is_printed() {
    let mut world = director();
    let daemon = Daemon::new(DaemonRole::Backup, InterfaceName::LOOPBACK).with_sync_id(7).with_port(9000);
    let sender = Sender::open(&daemon).unwrap();
    let mut datagram = Datagram::new(7, 1400);
    let mut entries: Vec<Entry> = [
        "TCP CB007101 9C40 C0000201 0050 7F000001 0050 ESTABLISHED     899",
        "IP  CB007101 0000 00000007 0000 7F000003 0000 NONE             59",
        "UDP 2001:0db8:0000:0000:0000:0000:0000:0009 9C47 2001:0db8:0000:0000:0000:0000:0000:0001 0038 \
         2001:0db8:0000:0000:0000:0000:0002:0001 0038 UDP             299",
    ]
    .iter()
    .map(|line| Entry::try_from(&parse(line)).unwrap())
    .collect();
    // A state of a later kernel.
    entries.push(entries[0].clone());
    entries[3].state = 99;
    entries.iter().for_each(|entry| assert!(datagram.push(entry).unwrap()));
    let receive = |arguments: &str, sockets: usize| -> Done {
        let child = start(ipvs_cli(arguments), "");
        let path = format!("/proc/{}/net/udp", child.id());
        let listens = || fs::read_to_string(&path).unwrap().matches(":2328 00000000:0000 ").count() == sockets;
        // That of the sender has the group as its remote address.
        (0..3000).take_while(|_| !listens()).for_each(|_| thread::sleep(Duration::from_millis(20)));
        sender.send(&Datagram::new(6, 1400)).unwrap();
        sender.send(&datagram).unwrap();
        child.wait_with_output().unwrap().into()
    };
    let listen = "sync listen --interface lo --port 9000 --sync-id 7 --count 1";
    let done = receive(listen, 1);
    let expected = "\
0.0.0.0 7 203.0.113.1:40000     tcp 192.0.2.1:80           127.0.0.1:80          ESTABLISHED 899
0.0.0.0 7 203.0.113.1           mark 7                     127.0.0.3:0           NONE        59      template mark 7
0.0.0.0 7 [2001:db8::9]:40007   udp [2001:db8::1]:56       [2001:db8::2:1]:56    UDP         299
";
    assert_eq!((done.status, &*done.stdout), (0, expected), "{done:?}");
    assert_eq!(done.stderr, "ipvs-cli: an entry from 0.0.0.0: protocol tcp has no state of number 99\n");
    let done = receive(&format!("{listen} --json"), 1);
    let first = r#"{"version": 1, "from": "0.0.0.0", "sync_id": 7, "client": "203.0.113.1:40000", "service": "tcp 192.0.2.1:80", "server": "127.0.0.1:80", "state": "ESTABLISHED", "expires": 899, "template": false, "active": true}"#;
    assert_eq!(done.stdout.lines().next(), Some(first), "{done:?}");
    // Without an interface, the settings of the backup daemon.
    let done = run("sync listen --count 1", "");
    assert!(done.status == 2 && done.stderr.contains("this director has no backup sync daemon"), "{done:?}");
    world.client.start_daemon(&daemon).unwrap();
    assert_eq!(receive("sync listen --count 1", 2).stdout, expected);
    let done = run("sync listen --interface nosuch0", "");
    assert!(done.status == 2 && done.stderr.starts_with("ipvs-cli: nosuch0: "), "{done:?}");
}
