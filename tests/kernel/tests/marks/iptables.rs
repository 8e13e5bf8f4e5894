//! The back end iptables, with both variants of its programs as far as the machine has them.

use super::nft::{lines, owner};
use super::packets::mark_of;
use super::world::{Lacking, Test};
use fwmark::{Backend, BackendError, Iptables, Owner, Survey, Variant, parse};
use kernel_tests::sandbox;

pub(crate) const TESTS: &[(&str, Test)] = &[
    ("legacy_packets_get_the_marks_that_the_rules_say", || check_at_random(Variant::Legacy)),
    ("nft_packets_get_the_marks_that_the_rules_say", || check_at_random(Variant::Nft)),
    ("legacy_leaves_no_trace", || leaves_no_trace(Variant::Legacy)),
    ("nft_leaves_no_trace", || leaves_no_trace(Variant::Nft)),
    ("legacy_leaves_rules_of_other_programs", || leaves_rules_of_other_programs(Variant::Legacy)),
    ("nft_leaves_rules_of_other_programs", || leaves_rules_of_other_programs(Variant::Nft)),
    ("the_machines_own_iptables_is_found", the_machines_own_iptables_is_found),
    ("legacy_stays_in_the_network_where_it_was_opened", || stays_where_it_was_opened(Variant::Legacy)),
    ("nft_stays_in_the_network_where_it_was_opened", || stays_where_it_was_opened(Variant::Nft)),
];

/// The back end, or what it is that this machine or its kernel lacks.
fn open(owner: Owner, variant: Variant) -> Result<Iptables, Lacking> {
    match Iptables::open_variant(owner, variant) {
        Err(error @ BackendError::Unavailable { .. }) => Err(Lacking(error.to_string())),
        result => Ok(result.expect("a network of our own")),
    }
}

/// Opened here, then used by a thread of another network.
fn stays_where_it_was_opened(variant: Variant) -> Result<(), Lacking> {
    let iptables = open(Owner::default(), variant)?;
    let rules = some_rules();
    let before_there = std::thread::scope(|scope| {
        let elsewhere = scope.spawn(|| {
            sandbox::enter_network().unwrap();
            let before = saved(variant);
            assert!(iptables.apply(&rules).unwrap());
            assert_eq!(iptables.list().unwrap(), rules);
            assert_eq!(saved(variant), before, "the other network's");
            before
        });
        elsewhere.join().unwrap()
    });
    assert_ne!(saved(variant), before_there);
    assert_eq!(iptables.list().unwrap(), rules);
    iptables.remove().unwrap();
    Ok(())
}

fn check_at_random(variant: Variant) -> Result<(), Lacking> {
    // Each starts a dozen programs, which takes a guest a second.
    let mut backend = Backend::Iptables(open(Owner::default(), variant)?);
    restore_foreign_rules(variant);
    super::model::check_at_random(&mut backend, 25, &|| saved(variant));
    Ok(())
}

/// All rules of the variant's programs, as they save them.
fn saved(variant: Variant) -> String {
    let suffix = variant.to_string().replace("iptables", "");
    let all = ["iptables", "ip6tables"].map(|program| run_program(&format!("{program}{suffix}-save"), &[], ""));
    let all = all.iter().flat_map(|text| text.lines());
    // Comments have the time; counters count.
    let lines = all.filter(|line| !line.starts_with('#')).map(|line| line.split(" [").next().unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

fn run_program(program: &str, arguments: &[&str], input: &str) -> String {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("the program reads");
    let output = child.wait_with_output().expect("it was started");
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Rules of both families, from outside and of the director's own.
fn some_rules() -> Vec<fwmark::MarkRule> {
    let v6 = parse("ip6tables -t mangle -A OUTPUT -d 2001:db8::1 -p tcp --dport 443 -j MARK --set-mark 3");
    let own = parse("iptables -t mangle -A OUTPUT -d 127.0.0.2 -p tcp -j MARK --set-xmark 0x2/0xf");
    let web = lines(&["-d 127.0.0.1 -p tcp -m multiport --dports 80,443,8000:8080 -j MARK --set-mark 1"]);
    web.into_iter().chain([v6, own].map(|line| line.expect("a line").rule)).collect()
}

const FOREIGN_RULES: &str = "*mangle
:mine - [0:0]
-A PREROUTING -d 127.0.0.0/8 -j mine
-A OUTPUT -p icmp -j ACCEPT
-A mine -p udp -m comment --comment \"ipvs-fwmark:7\" -j MARK --set-xmark 0x99/0xffffffff
COMMIT
";

fn restore_foreign_rules(variant: Variant) {
    let suffix = variant.to_string().replace("iptables", "");
    for program in ["iptables", "ip6tables"] {
        let foreign_rules = if program == "iptables" {
            FOREIGN_RULES.into()
        } else {
            FOREIGN_RULES.replace("127.0.0.0/8", "::1/128").replace("icmp", "ipv6-icmp")
        };
        run_program(&format!("{program}{suffix}-restore"), &[], &foreign_rules);
    }
}

fn leaves_no_trace(variant: Variant) -> Result<(), Lacking> {
    let iptables = open(Owner::default(), variant)?;
    restore_foreign_rules(variant);
    let before = saved(variant);
    assert!(iptables.apply(&some_rules()).unwrap());
    let during = saved(variant);
    assert_ne!(during, before);
    assert!(!iptables.apply(&some_rules()).unwrap());
    assert_eq!(saved(variant), during);
    assert!(iptables.apply(&some_rules()[..1]).unwrap());
    assert!(!saved(variant).contains("ipvs-fwmark-out"), "its only rules are gone");
    assert!(iptables.remove().unwrap());
    assert_eq!(saved(variant), before);
    assert!(!iptables.remove().unwrap());
    Ok(())
}

fn leaves_rules_of_other_programs(variant: Variant) -> Result<(), Lacking> {
    let [one, other] = [open(owner("one"), variant)?, open(owner("other"), variant)?];
    let [first, second] =
        ["-d 127.0.0.1 -j MARK --set-mark 1", "-d 127.0.0.2 -j MARK --set-mark 2"].map(|line| lines(&[line]));
    one.apply(&first).unwrap();
    other.apply(&second).unwrap();
    assert_eq!((one.list().unwrap(), other.list().unwrap()), (first, second));
    let seen: Vec<_> =
        one.others().unwrap().iter().map(|foreign| (foreign.packets(), foreign.effect().to_string())).collect();
    assert_eq!(seen, [("-d 127.0.0.2 and more".to_owned(), "sets the mark 2".to_owned())]);
    one.remove().unwrap();
    assert_eq!(mark_of("127.0.0.1".parse().unwrap(), "127.0.0.2:7000".parse().unwrap()), 2);

    let suffix = variant.to_string().replace("iptables", "");
    let foreign = "*mangle\n:other-in - [0:0]\n-A other-in -j ACCEPT\nCOMMIT\n";
    run_program(&format!("iptables{suffix}-restore"), &["--noflush"], foreign);
    let before = saved(variant);
    let refused = Iptables::open_variant(owner("other"), variant);
    assert!(matches!(&refused, Err(BackendError::Foreign { name, .. }) if name == "other-in"), "{refused:?}");
    assert_eq!(saved(variant), before);
    Ok(())
}

fn the_machines_own_iptables_is_found() -> Result<(), Lacking> {
    let iptables = match Iptables::open(Owner::default()) {
        Err(error @ BackendError::Unavailable { .. }) => return Err(Lacking(error.to_string())),
        result => result.expect("a network of our own"),
    };
    let rules = some_rules();
    iptables.apply(&rules).unwrap();
    let mut found = Backend::detect(Owner::default()).unwrap();
    assert!(matches!(found, Backend::Iptables(_)), "{found}");
    assert_eq!(found.list().unwrap(), rules);
    let survey = Survey::of_others(&owner("somebody-else"));
    assert!(survey.unread.is_empty(), "{:?}", survey.unread);
    assert_eq!(survey.rules.len(), rules.len(), "{:#?}", survey.rules);
    found.remove().unwrap();
    Ok(())
}
