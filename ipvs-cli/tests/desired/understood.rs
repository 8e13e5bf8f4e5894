//! Texts that are understood: what they speak of, and what they are warned of.

use ipvs::desired::{Place, Problem, Scope};
use ipvs::{Command, Forwarding, Service};

use crate::strategies::director;
use crate::{read, table};

const NOTHING: Scope = Scope { services: false, timeouts: false, master: false, backup: false, marks: false };

#[test]
fn texts_speak_of_what_is_in_them() {
    for (text, scope) in [
        ("-C", Scope { services: true, ..NOTHING }),
        ("-A -f 1\n-D -f 1", Scope { services: true, ..NOTHING }),
        ("--set 1 2 3", Scope { timeouts: true, ..NOTHING }),
        ("--start-daemon master --mcast-interface lo", Scope { master: true, ..NOTHING }),
        ("--stop-daemon backup", Scope { backup: true, ..NOTHING }),
        ("version = 1", NOTHING),
        ("version = 1\nservices = []", Scope { services: true, marks: true, ..NOTHING }),
        ("version = 1\n[[services]]\nmark = 1", Scope { services: true, marks: true, ..NOTHING }),
        ("version = 1\ndaemons = []", Scope { master: true, backup: true, ..NOTHING }),
        ("version = 1\n[timeouts]", NOTHING),
        ("version = 1\n[timeouts]\nudp = 5", Scope { timeouts: true, ..NOTHING }),
        ("{\"version\": 1, \"services\": []}", Scope { services: true, marks: true, ..NOTHING }),
    ] {
        assert_eq!(read("scope", text).unwrap().state.scope, scope, "{text}");
    }
}

#[test]
fn parts_that_the_text_lacks_stay() {
    let before = "-A -f 1\n--set 10 20 30\n--start-daemon master --mcast-interface lo\n--start-daemon backup --mcast-interface lo";
    let before = table("before", before).unwrap();
    let after = |text| read("after", text).unwrap().state.table(&before).unwrap();
    assert_eq!(after("version = 1"), before);
    assert_eq!(after("-C").services().len(), 0);
    assert_eq!(after("-C").daemons(), before.daemons());
    assert_eq!(after("--set 0 0 31").timeouts().udp, Some(31));
    assert_eq!(after("version = 1\ntimeouts.tcp = 11").timeouts().tcp_fin, Some(20));
    assert_eq!(after("--stop-daemon backup").daemons(), &before.daemons()[..1]);
    assert!(after("version = 1\ndaemons = []").daemons().is_empty());
    assert_eq!(after("version = 1\ndaemons = []").services().len(), 1);
    // Started again with other settings, though it runs.
    let restarted = after("--start-daemon master --mcast-interface lo --syncid 9");
    assert_eq!(restarted.daemons()[0].sync_id, 9);
    assert_eq!(restarted.daemons()[1], before.daemons()[1]);
    // Started and stopped: there is none, wherever it began.
    let stopped = after("--start-daemon master --mcast-interface lo\n--stop-daemon master");
    assert_eq!(stopped.daemons(), &before.daemons()[1..]);
}

#[test]
fn rules_are_read_as_ipvsadm_restore_does() {
    let text = "# a comment\nipvsadm -A  -t\t192.0.2.1:80 -s rr\r\n\n -a -t 192.0.2.1:80 -r 192.0.2.11:8080 -m\n-E -t 192.0.2.1:80 -s sh -b sh-port";
    let table = table("rules", text).unwrap();
    let entry = table.services().next().unwrap();
    let expected = Service::new("tcp 192.0.2.1:80".parse().unwrap()).with_scheduler(ipvs::Scheduler::SH);
    assert_eq!(*entry.service(), expected.with_scheduler_flags(ipvs::SchedulerFlags::SH_PORT));
    assert_eq!(entry.destinations().next().unwrap().destination.forwarding, Forwarding::Masquerade);
}

/// A mark at the beginning is no part of the text; nor are the line ends of other systems.
#[test]
fn texts_of_other_systems() {
    for text in [
        "\u{feff}version = 1\r\n[[services]]\r\nmark = 1\r\n[[services]]\r\nmark = 2\r\n",
        "\u{feff}{\"version\": 1,\r\n\"services\": [{\"mark\": 1}, {\"mark\": 2}]}\r\n",
        "\u{feff}-A -f 1\r\n-A -f 2\r\n",
    ] {
        assert_eq!(table("text", text).unwrap().services().len(), 2, "{text:?}");
    }
    let problem = &read("x", "\u{feff}version = 2").unwrap_err()[0];
    assert_eq!(problem.place.to_string(), "x:1:11");
}

/// Pieces of TOML begin at the headers of services: however those are written, the whole is read.
#[test]
fn services_may_be_written_in_many_ways() {
    for text in [
        "version = 1\n[[services]]\nmark = 1\n[[services]]\nmark = 2",
        "version = 1\n  [[services]] # one\nmark = 1\n[[services]]# two\n[services.statistics]\na = 1\n[[services]]\nmark = 3",
        "version = 1\n[[ services ]]\nmark = 1\n[[services]]\nmark = 2",
        "version = 1\n[[\"services\"]]\nmark = 1\n[['services']]\nmark = 2",
        "version = 1\nservices = [\n{ mark = 1 },\n# [[services]]\n{ mark = 2 } ]",
        "version = 1\n[[services]]\nmark = 1\nengine = '''\nsip'''\n[[services]]\nmark = 2\nscheduler = \"\"\"r\\\n  r\"\"\"",
        "version = 1\n[kernel]\nnote = \"\"\"\n[[services]]\n\"\"\"\n[[services]]\nmark = 1\n[[services]]\nmark = 2",
        "version = 1\n[kernel]\nnote = '''\n[[services]]\n'''\n[[services]]\nmark = 1\n[[services]]\nmark = 2",
        "version = 1\n[[services]]\nmark = 1\n[timeouts]\ntcp = 5\n[[services]]\nmark = 2\n[[daemons]]\nrole = 'backup'\ninterface = 'lo'",
    ] {
        let said = |problems: Vec<Problem>| problems.into_iter().map(|problem| problem.reason).collect::<Vec<_>>();
        let read = read("many", text).map_err(said);
        if text.contains("statistics") {
            // The second has no identity: that is all that is wrong.
            assert_eq!(read.unwrap_err(), ["a service needs 'address' and 'protocol', or 'mark'"]);
        } else {
            assert_eq!(read.unwrap().state.table(&director()).unwrap().services().len(), 2, "{text}");
        }
    }
}

#[test]
fn unlikely_values_are_warnings() {
    for (text, expected) in [
        ("\u{2013}A -f 1", "1: `\u{2013}A' read as `-A': its dash is not the `-' of the keyboard"),
        (
            "version = 1\n[[services]]\naddress = '192.0.2.1:0'\nprotocol = 'tcp'",
            "2:1: port 0 is for all ports, which needs 'persistence': without it nothing is served",
        ),
        (
            "version = 1\n[[services]]\naddress = '192.0.2.1:80'\nprotocol = 'tcp'\none_packet = true",
            "5:14: 'one_packet' has no effect but for UDP or a firewall mark",
        ),
        (
            "version = 1\n[[services]]\nmark = 1\npersistence = 4294968",
            "4:15: a kernel with 1,000 clock ticks a second shortens more than 4294967 s",
        ),
        ("version = 1\n[[services]]\nmark = 1\nengine = 'sip'", "4:10: 'engine' has no effect without 'persistence'"),
        ("version = 1\n[[services]]\nmark = 1\nnetmask = 24", "4:11: 'netmask' has no effect without 'persistence'"),
        (
            "{\"version\": 1, \"services\": [{\"address\": \"192.0.2.1:80\", \"protocol\": \"tcp\",\n\
             \"destinations\": [{\"address\": \"192.0.2.11:81\"}]}]}",
            "2:30: packets arrive there with the service's port, 80: only `forwarding = \"masquerade\"` changes it",
        ),
        (
            "version = 1\n[[services]]\nmark = 1\ndestinations = [{ address = '192.0.2.11', forwarding = 'tunnel',\n\
             tunnel = { type = 'gre', flags = ['remote-checksum'] } }]",
            "5:26: \"remote-checksum\" has no effect but in a tunnel of type \"gue\"",
        ),
        (
            "version = 1\n[[daemons]]\nrole = 'master'\ninterface = 'lo'\nsync_id = 256",
            "5:11: only eight bits of 'sync_id' are sent: 256 is the same as 0",
        ),
    ] {
        let warnings = read("x", text).unwrap().state.warnings;
        let said: Vec<_> = warnings.iter().map(ToString::to_string).collect();
        assert_eq!(said, [format!("x:{expected}")], "{text}");
    }
}

#[test]
fn commands_have_the_places_of_their_texts() {
    let text = "version = 1\ntimeouts = { tcp = 5 }\n[[services]]\nmark = 1\n[[services.destinations]]\naddress = '192.0.2.1'\n";
    let place = |place: &Place| (place.to_string(), place.text().into_owned());
    let commands = read("x", text).unwrap().state.commands;
    let places: Vec<_> = commands.iter().map(|located| place(&located.place)).collect();
    let expected =
        [("x:2:12", "timeouts = { tcp = 5 }"), ("x:3:1", "[[services]]"), ("x:5:1", "[[services.destinations]]")];
    assert_eq!(places, expected.map(|(place, text)| (place.to_owned(), text.to_owned())));
    assert!(matches!(commands[1].command, Command::AddService(_)));
}
