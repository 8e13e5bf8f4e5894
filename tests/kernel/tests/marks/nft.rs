//! The back end nftables. The lab's guests have no nftables for IPv4 and IPv6; a machine's own
//! kernel mostly has.

use super::packets::mark_of;
use super::world::{Lacking, Test};
use fwmark::{Backend, BackendError, MarkRule, Nftables, Owner, parse};
use netlink_sys::{Socket, protocols::NETLINK_NETFILTER};
use std::io;
use std::process::Command;

pub(crate) const TESTS: &[(&str, Test)] = &[
    ("packets_get_the_marks_that_the_rules_say", packets_get_the_marks_that_the_rules_say),
    ("an_owner_touches_nothing_but_its_own", an_owner_touches_nothing_but_its_own),
    ("a_table_of_another_program_is_left_alone", a_table_of_another_program_is_left_alone),
    ("the_program_nft_shows_our_table", the_program_nft_shows_our_table),
    ("rules_that_the_program_nft_made_are_understood", rules_that_the_program_nft_made_are_understood),
    ("ten_thousand_rules_are_one_transaction", ten_thousand_rules_are_one_transaction),
];

/// The back end, or what it is that this kernel lacks.
pub(crate) fn open(owner: Owner) -> Result<Nftables, Lacking> {
    match Nftables::open(owner) {
        Err(error @ BackendError::Unavailable { .. }) => Err(Lacking(error.to_string())),
        result => Ok(result.expect("a network of our own")),
    }
}

pub(crate) fn owner(name: &str) -> Owner {
    name.parse().expect("an owner")
}

pub(crate) fn lines(lines: &[&str]) -> Vec<MarkRule> {
    let rule = |line: &&str| parse(&format!("iptables -t mangle -A PREROUTING {line}")).expect("a line").rule;
    lines.iter().map(rule).collect()
}

fn packets_get_the_marks_that_the_rules_say() -> Result<(), Lacking> {
    open(owner("other"))?.apply(&lines(&["-d 192.0.2.9 -j MARK --set-mark 9"])).unwrap();
    super::model::check_at_random(&mut Backend::Nftables(open(Owner::default())?), 200, &all_rules);
    Ok(())
}

/// As the program nft shows them; without it, the rules of all programs but an owner that does not
/// exist.
fn all_rules() -> String {
    nft("list ruleset").unwrap_or_else(|_| {
        let foreign = open(owner("nobody")).map(|mut nftables| nftables.others().expect("rules can be read"));
        foreign.expect("nftables is here").iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    })
}

fn an_owner_touches_nothing_but_its_own() -> Result<(), Lacking> {
    let mut one = open(owner("one"))?;
    let mut other = open(owner("other"))?;
    let [first, second, third] = [
        ["-d 127.0.0.1 -j MARK --set-mark 1"],
        ["-d 127.0.0.2 -j MARK --set-mark 2"],
        ["-d 127.0.0.2 -p tcp -j MARK --set-mark 3"],
    ]
    .map(|line| lines(&line));
    assert!(one.apply(&first).unwrap());
    assert!(other.apply(&second).unwrap());
    assert_eq!(one.list().unwrap(), first);
    assert!(other.apply(&third).unwrap());
    assert_eq!(one.list().unwrap(), first);
    let seen: Vec<String> = one.others().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(seen, ["nftables table inet other, chain prerouting, handle 3: sets the mark 3 (-d 127.0.0.2 -p tcp)"]);
    assert!(one.remove().unwrap());
    assert!(!one.remove().unwrap());
    assert_eq!(other.list().unwrap(), third);
    assert_eq!(mark_of("127.0.0.1".parse().unwrap(), "127.0.0.2:7000".parse().unwrap()), 3);
    Ok(())
}

fn a_table_of_another_program_is_left_alone() -> Result<(), Lacking> {
    let mut nftables = open(owner("shop"))?;
    create_table("shop");
    let rules = lines(&["-d 127.0.0.1 -j MARK --set-mark 1"]);
    for result in [nftables.apply(&rules), nftables.remove(), nftables.list().map(|_| false)] {
        assert!(matches!(&result, Err(BackendError::Foreign { name, .. }) if name == "shop"), "{result:?}");
    }
    Ok(())
}

/// Creates a table of family inet, as any program could.
fn create_table(name: &str) {
    let mut batch = Vec::new();
    let mut message = |kind: u16, flags: u16, header: [u8; 4], attrs: &[u8]| {
        batch.extend((20 + attrs.len() as u32).to_ne_bytes());
        batch.extend([kind.to_ne_bytes(), flags.to_ne_bytes()].concat());
        batch.extend([0; 8]); // sequence number, port
        batch.extend(header);
        batch.extend(attrs);
    };
    let mut attrs = [(4 + name.len() as u16).to_ne_bytes(), 1_u16.to_ne_bytes()].concat();
    attrs.extend(name.as_bytes());
    attrs.resize(attrs.len().next_multiple_of(4), 0);
    message(16, 1, [0, 0, 0, 10], &[]); // begin
    message(10 << 8, 0x405, [1, 0, 0, 0], &attrs); // create, acknowledge
    message(17, 1, [0, 0, 0, 10], &[]); // end
    let socket = Socket::new(NETLINK_NETFILTER).expect("a socket");
    socket.send(&batch, 0).expect("one datagram");
    let mut reply = Vec::with_capacity(4096);
    socket.recv(&mut reply, 0).expect("an acknowledgement");
    assert_eq!(reply[16..20], [0; 4], "the kernel refuses the table");
}

/// What the program nft prints for these arguments; in the lab, it is Debian's.
fn nft(input: &str) -> Result<String, Lacking> {
    // Protocols by their numbers: their names are the machine's.
    match Command::new("nft").args(["--numeric-protocol", input]).output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Lacking("there is no program nft".to_owned())),
        output => {
            let output = output.expect("it can be run");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Ok(String::from_utf8(output.stdout).expect("UTF-8"))
        }
    }
}

fn the_program_nft_shows_our_table() -> Result<(), Lacking> {
    let mut nftables = open(Owner::default())?;
    let own = "ip6tables -t mangle -A OUTPUT -d 2001:db8::1 -j MARK --set-xmark 0x10/0xff";
    let mut rules = lines(&[
        "-d 192.0.2.1 -p tcp --dport 80 -j MARK --set-mark 10",
        "-i eth+ -s 198.51.100.0/24 -d 192.0.2.0/24 -p udp --dport 1024:2000 -j MARK --set-mark 0x12345678",
    ]);
    rules.push(parse(own).expect("a line").rule);
    nftables.apply(&rules).unwrap();
    assert_eq!(nft("list ruleset")?, include_str!("table.nft"));
    Ok(())
}

fn rules_that_the_program_nft_made_are_understood() -> Result<(), Lacking> {
    let mut nftables = open(Owner::default())?;
    nft("table ip a {
            map m { type inet_service : mark; elements = { 80 : 1, 443 : 2 }; }
            set s { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 192.0.2.7-192.0.2.9 }; }
            chain pre {
                type filter hook prerouting priority mangle;
                ip daddr 192.0.2.0/24 tcp dport { 80, 443 } meta mark set 7
                tcp dport 1-1023 meta mark set meta mark or 0x4000
                meta mark set tcp dport map @m
                ip saddr @s udp dport 53 meta mark set 9
                ip saddr != 10.0.0.1 meta mark set ct mark
                meta mark set jhash ip saddr mod 16
                ct state new iifname \"eth*\" ip daddr & 255.255.0.255 == 10.1.0.1 meta mark set 3
                meta mark 5 accept
            }
            chain post { type filter hook postrouting priority mangle; meta mark set 1; }
        }")?;
    let others = nftables.others().unwrap();
    let mut others: Vec<_> =
        others.iter().map(|foreign| format!("{} ({})", foreign.effect(), foreign.packets())).collect();
    others.sort();
    assert_eq!(others, include_str!("others.txt").lines().collect::<Vec<_>>());
    Ok(())
}

fn ten_thousand_rules_are_one_transaction() -> Result<(), Lacking> {
    let mut nftables = open(Owner::default())?;
    let rules: Vec<MarkRule> = (0..10_000_u32)
        .map(|number| {
            let [.., high, low] = number.to_be_bytes();
            let line = format!("iptables -t mangle -A PREROUTING -d 127.1.{high}.{low} -p tcp --dport 80 -j MARK");
            parse(&format!("{line} --set-mark {}", number + 1)).expect("a line").rule
        })
        .collect();
    match nftables.apply(&rules) {
        Err(error @ BackendError::TooLarge { .. }) => return Err(Lacking(error.to_string())),
        result => assert!(result.unwrap()),
    }
    assert_eq!(nftables.list().unwrap(), rules);
    let to = "127.1.39.15:80".parse().unwrap();
    assert_eq!(mark_of("127.0.0.1".parse().unwrap(), to), 10_000);
    assert!(nftables.apply(&rules[1..]).unwrap());
    assert_eq!(nftables.list().unwrap().len(), 9_999);
    assert!(nftables.remove().unwrap());
    Ok(())
}
