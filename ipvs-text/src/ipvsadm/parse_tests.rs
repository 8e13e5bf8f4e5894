//! Lines and what becomes of them, as measured with the original.

use std::num::NonZeroU16;

use ipvs::{
    Command, Daemon, DaemonRole, Destination, Forwarding, InterfaceName, Netmask, Persistence, PersistenceEngine,
    Scheduler, SchedulerFlags, Service, ServiceKey, Timeouts, Tunnel, TunnelFlags, Weight,
};

use super::testing::{FewNames, parse, warned, words};
use super::{Invocation, Parser, Posix};
use crate::ipvsadm::request::{ListRequest, Listed, View};

#[track_caller]
fn command(line: &str) -> Command {
    match parse(line) {
        Ok(Invocation::Change(command)) => command,
        other => panic!("{line}: {other:?}"),
    }
}

#[track_caller]
fn service(line: &str) -> Service {
    match command(line) {
        Command::AddService(service) | Command::EditService(service) => service,
        other => panic!("{line}: {other:?}"),
    }
}

#[track_caller]
fn destination(line: &str) -> Destination {
    match command(line) {
        Command::AddDestination(_, destination) | Command::EditDestination(_, destination) => destination,
        other => panic!("{line}: {other:?}"),
    }
}

#[track_caller]
fn list(line: &str) -> ListRequest {
    match parse(line) {
        Ok(Invocation::List(request)) => request,
        other => panic!("{line}: {other:?}"),
    }
}

/// The line is not understood: exit status and text.
#[track_caller]
fn refused(line: &str, status: u8, text: &str) {
    match parse(line) {
        Err(usage) => assert_eq!((usage.to_string().as_str(), usage.exit_status()), (text, status), "{line}"),
        other => panic!("{line}: {other:?}"),
    }
}

const TRY: &str = "Try `ipvsadm -h' or 'ipvsadm --help' for more information.";

fn key(text: &str) -> ServiceKey {
    text.parse().unwrap()
}

#[test]
fn the_command_comes_first() {
    for line in [
        "-t 1.1.1.1:1 -A",
        "-n",
        "--sort -L",
        "-Q",
        "--bogus=5",
        "--start-daemon",
        "--",
        "-- -L",
        "x",
        "-f",
        "-L=",
        "--list=",
        "-h=",
        "-L=n",
    ] {
        refused(line, 255, TRY);
    }
    assert_eq!(parse(""), Ok(Invocation::List(ListRequest::ALL)));
    for line in ["-h", "--help", "-hn=", "-h --bogus", "x -h", "-hL"] {
        assert_eq!(parse(line), Ok(Invocation::Help), "{line}");
    }
    assert_eq!(parse("-v --bogus"), Ok(Invocation::Version));
}

#[test]
fn there_is_one_command() {
    for (line, word) in [
        ("-L -h", "-h"),
        ("-lL", "-lL"),
        ("-AD", "-AD"),
        ("-C --start-daemon master", "master"),
        ("-S -L", "-S -L"),
        ("-C --start-daemon=master", "--start-daemon=master"),
        ("-A -t 1.2.3.4 -D", "-D"),
        ("-L -v", "-v"),
        ("-R -R", "-R"),
    ] {
        let word = word.rsplit(' ').next().unwrap();
        refused(line, 2, &format!("invalid option `{word}'"));
    }
}

#[test]
fn scanner_errors_equal_those_of_popt() {
    for (line, text) in [
        ("-At", "-At: missing argument"),
        ("-A -t", "-t: missing argument"),
        ("-A --tcp-service", "--tcp-service: missing argument"),
        ("-A -Q", "-Q: unknown option"),
        ("-Lq", "-Lq: unknown option"),
        ("-A --bogus=5", "--bogus=5: unknown option"),
        ("-A --tcp-servic 1", "--tcp-servic: unknown option"),
        ("-A -n=3", "-n=3: option does not take an argument"),
        ("-Ln=", "-Ln=: option does not take an argument"),
        ("-A --numeric=3", "--numeric=3: option does not take an argument"),
        ("-A --numeric=", "--numeric=: option does not take an argument"),
        ("-L foo -Q", "-Q: unknown option"),
        ("--set -1 2 3", "-1: unknown option"),
        ("-A -=", "-=: unknown option"),
        ("-A ---n", "---n: unknown option"),
    ] {
        refused(line, 255, text);
    }
    // What stands before has been looked at already.
    refused("-A -w x -Q", 2, "illegal weight specified");
}

#[test]
fn values_are_glued_or_follow() {
    for line in [
        "-A -t 10.0.0.1:80",
        "-A -t10.0.0.1:80",
        "-A -t=10.0.0.1:80",
        "-At 10.0.0.1:80",
        "-At10.0.0.1:80",
        "-A --tcp-service 10.0.0.1:80",
        "--add-service --tcp-service=10.0.0.1:80",
        "-A -t !#:+ 10.0.0.1:80",
        "-A -t 10.0.0.1:!#:+ 80",
    ] {
        assert_eq!(command(line), Command::AddService(Service::new(key("tcp 10.0.0.1:80"))), "{line}");
    }
    refused("-A -w==5", 2, "illegal weight specified");
    refused("-A -t 10.0.0.1:80 -s", 255, "-s: missing argument");
    assert_eq!(service("-A -t 10.0.0.1:80 -s -p").scheduler, Scheduler::new("-p").unwrap());
    assert_eq!(service("-A -t 10.0.0.1:80 -s -- -p").scheduler, Scheduler::new("--").unwrap());
}

#[test]
fn the_placeholder_takes_a_plain_word() {
    assert_eq!(service("-A -p !#:+ 5 -t 10.0.0.1:80").persistence, Some(Persistence::new(5).unwrap()));
    // The option that it stands behind still takes it.
    assert_eq!(service("-A -t !#:+ -s 10.0.0.35:80").scheduler, Scheduler::new("10.0.0.35:80").unwrap());
    refused("-A -f !#:+x", 2, "invalid fwmark value `!#:+x' specified");
    refused("-A -f !#:+x 5 6", 2, "invalid fwmark value `5x' specified");
    refused("-A -f !#:+!#:+ -- -x", 2, "invalid fwmark value `!#:+!#:+' specified");
    assert_eq!(command("-D -f !#:+!#:+ 1"), Command::DeleteService(key("mark 11")));
    refused("-D -f !#:+ 1 2", 2, "unexpected argument 2");
}

#[test]
fn the_value_of_p_is_optional() {
    let seconds = |line| service(line).persistence.map(Persistence::seconds);
    for line in [
        "-A -t 1.1.1.1:1 -p",
        "-A -p -t 1.1.1.1:1",
        "-A -t 1.1.1.1:1 -p -s rr",
        "-A -t 1.1.1.1:1 --persistent --sort",
        "-Ap -t 1.1.1.1:1",
    ] {
        assert_eq!(seconds(line), Some(360), "{line}");
    }
    for line in [
        "-A -t 1.1.1.1:1 -p 9",
        "-A -t 1.1.1.1:1 -p9",
        "-A -t 1.1.1.1:1 -p=9",
        "-A -t 1.1.1.1:1 --persistent=9",
        "-A -t 1.1.1.1:1 --persistent _+9",
    ] {
        assert_eq!(seconds(line), Some(9), "{line}");
    }
    assert_eq!(seconds("-A -t 1.1.1.1:1 -p 2678400"), Some(2_678_400));
    for (line, value) in [
        ("-A -p ''", ""),
        ("-A -p=", ""),
        ("-A --persistent=", ""),
        ("-A -p 10.0.0.1", "10.0.0.1"),
        ("-A -po", "o"),
        ("-Apt", "t"),
        ("-A -p 0", "0"),
        ("-A -p 2678401", "2678401"),
    ] {
        refused(line, 2, &format!("invalid timeout value `{value}' specified"));
    }
}

#[test]
fn plain_words() {
    for (line, word) in [
        ("foo -L", "foo"),
        ("-L foo -n", "foo"),
        ("- -L -n", "-"),
        ("'' -L", ""),
        ("-L -- -n", "-n"),
        ("-R x", "x"),
        ("-L a b", "a"),
        ("-L -n -- --", "--"),
    ] {
        refused(line, 2, &format!("unexpected argument {word}"));
    }
}

#[test]
fn posix_ends_the_options_at_the_first_plain_word() {
    let mut names = FewNames;
    let mut parser = Parser::new(&mut names, Posix(true));
    let mut refusal = |line| parser.parse(&words(line)).unwrap_err().to_string();
    assert_eq!(refusal("-L x -Q"), "unexpected argument x");
    assert_eq!(refusal("x -L"), TRY);
}

#[test]
fn options_stand_once() {
    for (line, name) in [
        ("-A -t 10.0.0.1:80 -t 1", "service-address"),
        ("-A -f 1 -t 1.1.1.1:1", "service-address"),
        ("-A -w 1 -w x", "weight"),
        ("-a -g -m", "forwarding-method"),
        ("-a -m -m", "forwarding-method"),
        ("-L --stats --stats", "stats"),
        ("-L -Xn --exact", "exact"),
    ] {
        refused(line, 2, &format!("multiple '{name}' options specified"));
    }
    assert!(list("-L --sort --sort -f 1 -6 -6").what == Listed::Service(key("mark 1 ipv6")));
}

#[test]
fn bad_values() {
    for (line, text) in [
        ("-A -t 80", "illegal virtual server address[:port] specified"),
        ("-L -r 1", "illegal real server address[:port] specified"),
        ("-a -r 10.0.0.1:http -t 10.0.0.1:80", "illegal real server address[:port] specified"),
        ("-A -f 0", "invalid fwmark value `0' specified"),
        ("-A -f -1", "invalid fwmark value `-1' specified"),
        ("-A -f 4294967296", "invalid fwmark value `4294967296' specified"),
        ("-A -f ''", "invalid fwmark value `' specified"),
        ("-A -f 5x", "invalid fwmark value `5x' specified"),
        ("-A -M bogus.", "illegal virtual server persistent mask specified"),
        ("-A -t [::1]:81 -M 0", "illegal ipv6 netmask specified"),
        ("-A -t [::1]:81 -M 129", "illegal ipv6 netmask specified"),
        ("-A -w 99999999999", "illegal weight specified"),
        ("-A -w 2147483648", "illegal weight specified"),
        ("-A -w -1", "illegal weight specified"),
        ("-A -w 5_", "illegal weight specified"),
        ("-A -w ''", "illegal weight specified"),
        ("-A -w 0x5", "illegal weight specified"),
        ("-a -x 2147483648", "illegal u_threshold specified"),
        ("-a -y z", "illegal l_threshold specified"),
        ("--start-daemon master --syncid 256", "illegal syncid specified"),
        ("--start-daemon master --mcast-port 0", "illegal mcast-port specified"),
        ("--start-daemon master --mcast-ttl 0", "illegal mcast-ttl specified"),
        ("--start-daemon master --mcast-ttl 256", "illegal mcast-ttl specified"),
        ("--start-daemon master --sync-maxlen 65508", "illegal sync-maxlen specified"),
        ("--start-daemon master --mcast-group 1.2.3.4", "invalid IPv4 mcast-group `1.2.3.4'"),
        ("--start-daemon master --mcast-group ::1", "invalid IPv6 mcast-group `::1'"),
        ("-a --tun-type IPIP", "illegal tunnel type specified"),
        ("-a --tun-port 0", "illegal tunnel port specified"),
        ("-a --tun-port 65536", "illegal tunnel port specified"),
        ("-A -6 -f 2", "-6 used before -f\n"),
        ("-A -t [::1]:80 -6", "-6 used before -f\n"),
        ("--start-daemon x", "illegal start-daemon parameter specified"),
        ("--stop-daemon x", "illegal start_daemon specified"),
        ("--set 1 2 -n 2678401", "invalid timeout value `2678401' specified"),
        ("-L -b bogus", "invalid scheduler flag `bogus'"),
        ("-A -t 10.0.0.3:80 -b mh-port -s sh", "incompatible scheduler flag `mh-port'"),
    ] {
        refused(line, 2, text);
    }
}

#[test]
fn the_checks_at_the_end_have_an_order() {
    for (line, text) in [
        ("--set", "--set option requires 3 timeout values"),
        ("--set x 2", "--set option requires 3 timeout values"),
        ("--set 1 2 3 4", "unexpected argument 4"),
        ("--set 1 2 x 4", "invalid timeout value `x' specified"),
        ("--set 1 2 -n 3", "Illegal 'numeric' option with the 'set' command"),
        ("--set 1 2 3 -b bogus", "invalid scheduler flag `bogus'"),
        ("-L foo -b bogus", "unexpected argument foo"),
        ("-A", "You need to supply the 'service-address' option for the 'add-service' command"),
        ("-d -t 1.1.1.1:1", "You need to supply the 'real-server' option for the 'delete-server' command"),
        ("-D -t 1.1.1.1:1 -p", "Illegal 'persistent' option with the 'delete-service' command"),
        (
            "-L -c -s rr -t 10.0.0.1:80",
            "The option 'service-address' conflicts with the 'connection' option in the 'list' command",
        ),
        (
            "-L --daemon --timeout --stats",
            "The option 'daemon' conflicts with the 'timeout' option in the 'list' command",
        ),
        ("-L --stats --timeout --persistent-conn", "options conflicts in the list command"),
        ("-L --daemon --persistent-conn", "options conflicts in the list command"),
        ("-Lc --rate", "options conflicts in the list command"),
        ("-A -t 1.2.3.4", "Zero port specified for non-persistent service"),
        ("-A -t 1.2.3.4:0 -o", "Zero port specified for non-persistent service"),
        ("-A -t 1.2.3.4:0 -p -o", "One-Packet Scheduling is only for UDP virtual services"),
        ("-E --sctp-service 1.2.3.4:1 -o", "One-Packet Scheduling is only for UDP virtual services"),
        (
            "-a -t 10.0.0.1:80 -r [::1]:81 -m --tun-type gre",
            "Different address family is allowed only for tunneling servers",
        ),
        ("-a -f 1 -r [::1]:81", "Different address family is allowed only for tunneling servers"),
        ("-a -t 10.0.0.1:80 -r 10.0.0.1 --tun-port 9", "Tunnel options conflict with forward method"),
        ("-a -t 10.0.0.1:80 -r 10.0.0.1 -m --tun-type ipip", "Tunnel options conflict with forward method"),
        ("-a -t 10.0.0.1:80 -r 10.0.0.1 -i --tun-port 9", "Illegal 'tun-port' option with the 'ipip' tunnel type"),
        (
            "-a -t 10.0.0.1:80 -r 10.0.0.1 -i --tun-type gue",
            "You need to supply the 'tun-port' option for the 'gue' tunnel type",
        ),
    ] {
        refused(line, 2, text);
    }
}

#[test]
fn services() {
    let plain = Service::new(key("tcp 10.0.0.1:80"));
    assert_eq!(command("-E -t 10.0.0.1:80"), Command::EditService(plain));
    assert_eq!(command("-A -u 10.0.0.1:domain -s rr -o"), {
        let mut service = Service::new(key("udp 10.0.0.1:53")).with_scheduler(Scheduler::RR);
        service.one_packet = true;
        Command::AddService(service)
    });
    assert_eq!(service("-A --sctp-service [::1]:9 --pe sip -p 7 -M 64 -b sh-port,sh-fallback -s sh"), {
        let mut service = Service::new(key("sctp [::1]:9")).with_scheduler(Scheduler::SH);
        service.persistence = Some(Persistence::new(7).unwrap());
        service.engine = Some(PersistenceEngine::SIP);
        service.scheduler_flags = SchedulerFlags::SH_PORT | SchedulerFlags::SH_FALLBACK;
        service.with_netmask(Netmask::v6(64).unwrap()).unwrap()
    });
    assert_eq!(command("-D -f 4294967295"), Command::DeleteService(key("mark 4294967295")));
    assert_eq!(service("-A -f 9 -o").key(), key("mark 9"));
    assert_eq!(service("-A -t 1.1.1.1 -p").key(), key("tcp 1.1.1.1:0"));
}

#[test]
fn names_are_cut() {
    assert_eq!(service("-A -f 1 -s 1234567890123456").scheduler, Scheduler::new("123456789012345").unwrap());
    assert_eq!(service("-A -f 1 -s ''").scheduler, Scheduler::WLC);
    let engine = service("-A -f 1 --pe 12345678901234567").engine;
    assert_eq!(engine, Some(PersistenceEngine::new("1234567890123456").unwrap()));
    assert_eq!(service("-A -f 1 --pe ''").engine, None);
}

#[test]
fn a_netmask_is_read_by_the_family_of_the_service_before_it() {
    let mask = |line| service(line).netmask().to_string();
    assert_eq!(mask("-A -t 10.1.0.1:80 -M 255.255.0"), "255.255.0.0");
    assert_eq!(mask("-A -M 255.255.0 -t 10.1.0.1:80"), "255.255.0.0");
    assert_eq!(mask("-A -t 10.1.0.1:80 -M 24"), "0.0.0.24");
    assert_eq!(mask("-A -t 10.1.0.1:80 -M localhost"), "127.0.0.1");
    assert_eq!(mask("-A -t [::1]:80 -M 12x"), "12");
    assert_eq!(mask("-A -M 24 -t [::1]:84"), "128");
    assert_eq!(mask("-A -f 1 -6 -M 24"), "24");
    assert_eq!(mask("-A -f 1 -6 -M 24 -6"), "128");
    assert_eq!(mask("-A -f 3 -M 255.255.0.0 -6"), "128");
    assert_eq!(mask("-A -M 255.255.0.0 -f 4"), "255.255.0.0");
}

#[test]
fn destinations() {
    assert_eq!(
        destination("-a -t 10.0.0.1:80 -r 10.0.0.2:81 -m -w 5 -x 9 -y 7"),
        Destination::new("10.0.0.2:81".parse().unwrap())
            .with_forwarding(Forwarding::Masquerade)
            .with_weight(Weight::new(5).unwrap())
            .with_upper_threshold(9)
            .with_lower_threshold(7)
    );
    let address = |line| destination(line).address.to_string();
    assert_eq!(address("-e -t 10.0.0.1:80 -r 10.0.0.2:81"), "10.0.0.2:80");
    assert_eq!(address("-e -t 10.0.0.1:80 -r 10.0.0.2:81 -i"), "10.0.0.2:80");
    assert_eq!(address("-e -t 10.0.0.1:80 -r 10.0.0.2 -m"), "10.0.0.2:80");
    assert_eq!(address("-e -r 10.0.0.2 -m -t 10.0.0.1:80"), "10.0.0.2:0");
    assert_eq!(address("-e -f 1 -r 10.0.0.2:81"), "10.0.0.2:81");
    assert_eq!(address("-e -f 1 -r 10.0.0.2:http"), "10.0.0.2:80");
    assert_eq!(address("-e -u 10.0.0.1:80 -r 10.0.0.2:domain -m"), "10.0.0.2:53");
    // The port of a deleted one is left alone.
    let deleted = Command::DeleteDestination(key("tcp 10.0.0.1:80"), "10.0.0.2:81".parse().unwrap());
    assert_eq!(command("-d -t 10.0.0.1:80 -r 10.0.0.2:81"), deleted);
    assert_eq!(destination("-a -f 1 -r 10.0.0.2 -w 2147483647").weight, Weight::MAX);
}

#[test]
fn tunnels() {
    let tunnel = |options: &str| destination(&format!("-a -t 10.0.0.1:80 -r ::1 -i {options}")).forwarding;
    let port = NonZeroU16::new(6080).unwrap();
    let (none, sum, remote) = (TunnelFlags::empty(), TunnelFlags::CHECKSUM, TunnelFlags::REMOTE_CHECKSUM);
    for (options, is) in [
        ("", Tunnel::Ipip),
        ("--tun-type ipip", Tunnel::Ipip),
        ("--tun-type gue --tun-port 6080", Tunnel::Gue { port, flags: none }),
        ("--tun-type gue --tun-port 6080 --tun-nocsum", Tunnel::Gue { port, flags: none }),
        ("--tun-port 6080 --tun-remcsum --tun-type gue", Tunnel::Gue { port, flags: remote }),
        ("--tun-type gre --tun-csum", Tunnel::Gre { flags: sum }),
        ("--tun-type gre", Tunnel::Gre { flags: none }),
    ] {
        assert_eq!(tunnel(options), Forwarding::Tunnel(is), "{options}");
    }
}

#[test]
fn the_other_changes() {
    assert_eq!(command("-C"), Command::Flush);
    assert_eq!(command("-Z"), Command::Zero(None));
    assert_eq!(command("-Z -f 3"), Command::Zero(Some(key("mark 3"))));
    for all in ["-Z -t 0.0.0.0", "-Z -u 0.0.0.0:0", "-Z -t [::]:0"] {
        assert_eq!(command(all), Command::Zero(None), "{all}");
    }
    assert_eq!(command("-Z -t 0.0.0.0:1"), Command::Zero(Some(key("tcp 0.0.0.0:1"))));
    let timeouts = Timeouts::new().with_tcp(1).with_udp(2_678_400);
    for line in ["--set 1 0 2678400", "1 --set 0 2678400", "--set -- 1 -0 2678400"] {
        assert_eq!(command(line), Command::SetTimeouts(timeouts), "{line}");
    }
    assert_eq!(command("--stop-daemon=backup --syncid 3"), Command::StopDaemon(DaemonRole::Backup));
    let plain = Daemon::new(DaemonRole::Master, InterfaceName::new("eth0").unwrap());
    assert_eq!(command("--start-daemon master --mcast-interface ''"), Command::StartDaemon(plain));
    let full = "--start-daemon master --mcast-interface 1234567890123456 --syncid 7 --sync-maxlen 1400 \
                --mcast-group ff02::1 --mcast-port 9000 --mcast-ttl 255";
    assert_eq!(
        command(full),
        Command::StartDaemon(
            Daemon::new(DaemonRole::Master, InterfaceName::new("123456789012345").unwrap())
                .with_sync_id(7)
                .with_max_len(1400)
                .with_group("ff02::1".parse::<std::net::IpAddr>().unwrap())
                .with_port(9000)
                .with_ttl(255)
        )
    );
    assert_eq!(parse("-S -n"), Ok(Invocation::Save { numeric: true }));
    assert_eq!(parse("-R"), Ok(Invocation::Restore));
}

#[test]
fn listings() {
    assert_eq!(list("-l"), ListRequest::ALL);
    assert_eq!(
        list("-Ln --exact --nosort --syncid 5 --sort"),
        ListRequest { numeric: true, exact: true, nosort: true, ..ListRequest::ALL }
    );
    for (line, what) in [
        ("-Lc", Listed::Connections),
        ("-L --timeout", Listed::Timeouts),
        ("-L --daemon", Listed::Daemons),
        ("-L -t 0.0.0.0:0", Listed::Service(key("tcp 0.0.0.0:0"))),
    ] {
        assert_eq!(list(line).what, what, "{line}");
    }
    for (line, view) in [
        ("-L --tun-info --persistent-conn --thresholds --rate --stats", View::Stats),
        ("-L --tun-info --persistent-conn --thresholds --rate", View::Rate),
        ("-L --tun-info --persistent-conn --thresholds", View::Thresholds),
        ("-L --tun-info --persistent-conn", View::PersistentConn),
        ("-L --tun-info", View::TunInfo),
        ("-Lc --persistent-conn", View::PersistentConn),
    ] {
        assert_eq!(list(line).view, view, "{line}");
    }
}

#[test]
fn pasted_lines_are_understood_with_a_warning() {
    for (line, plain, warning) in [
        ("–C", "-C", "warning: `–C' read as `-C': its dash is not the `-' of the keyboard\n"),
        (
            "-a -t 10.0.0.1:80 -r 10.0.0.2 -g-w 1",
            "-a -t 10.0.0.1:80 -r 10.0.0.2 -g -w 1",
            "warning: `-g-w' read as `-g -w': a space is missing\n",
        ),
        ("-A -f 1 –s rr", "-A -f 1 -s rr", "warning: `–s' read as `-s': its dash is not the `-' of the keyboard\n"),
        (
            "-A -f 1 -p –s rr",
            "-A -f 1 -p -s rr",
            "warning: `–s' read as `-s': its dash is not the `-' of the keyboard\n",
        ),
        (
            "-A —fwmark-service=1",
            "-A -f 1",
            "warning: `—fwmark-service=1' read as `--fwmark-service=1': its dash is not the `-' of the keyboard\n",
        ),
        ("-L-n-c", "-Lnc", "warning: `-L-n-c' read as `-L -n -c': a space is missing\n"),
    ] {
        assert_eq!(warned(line), (parse(plain), vec![warning.to_owned()]), "{line}");
    }
    assert_eq!(warned("-a -t 10.0.0.1:80 -r172.16.4.101").1, Vec::<String>::new());
    assert_eq!(warned("-L –").0.unwrap_err().to_string(), "unexpected argument –");
    // Behind `--` nothing is an option, and a value is whatever stands there.
    assert_eq!(warned("-L -- –n").0.unwrap_err().to_string(), "unexpected argument –n");
    assert_eq!(service("-A -f 1 -s –n").scheduler, Scheduler::new("–n").unwrap());
}
