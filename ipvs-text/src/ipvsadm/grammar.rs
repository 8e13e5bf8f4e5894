//! The options of ipvsadm as data.
//!
//! A new option is a row of [`ROWS`] and a variant of [`Opt`] for what it means. Scanner, checks
//! and help text read the rows; `parse.rs` does not compile until it says what the new [`Opt`]
//! does. Which commands take an option says `rules.rs`, by [`Slot`].

use super::rules::{Slot, Verb};

/// One option or command word.
#[derive(Debug)]
pub struct Row {
    /// The one-letter forms.
    pub letters: &'static str,
    /// One-letter forms that the help text does not mention.
    pub quiet_letters: &'static str,
    /// The long form, without its two dashes.
    pub long: &'static str,
    /// Does a value follow?
    pub takes: Takes,
    /// What it stands for.
    pub item: Item,
    /// Where the help text shows it.
    pub section: Section,
    /// What the help text says about it, a line each.
    pub help: &'static [&'static str],
}

/// Does a value follow an option? With the value's name in the help text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// None.
    Nothing,
    /// One value: the rest of its word, or the next word, even if that starts with a dash.
    Value(&'static str),
    /// One, unless the next word looks like an option.
    MaybeValue(&'static str),
    /// None, but the command uses words that belong to no option, wherever they stand.
    Words(&'static str),
}

/// What a row stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// `-h`.
    Help,
    /// `-v`.
    Version,
    /// What to do: the first option of every line.
    Verb(Verb),
    /// How to do it. Options with a slot are checked: given once, and to a command that takes them.
    Opt(Opt, Option<Slot>),
}

/// A part of the help text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// "Commands".
    Commands,
    /// "virtual-service".
    VirtualService,
    /// "Options".
    Options,
    /// "Daemon Options".
    Daemon,
    /// Not mentioned.
    Unlisted,
}

/// The options, by meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the help texts of the rows say it")]
pub enum Opt {
    TcpService,
    UdpService,
    SctpService,
    MarkService,
    Ipv6,
    Scheduler,
    PersistenceEngine,
    Persistent,
    Netmask,
    RealServer,
    DirectRoute,
    Tunnel,
    Masquerade,
    TunType,
    TunPort,
    TunNoChecksum,
    TunChecksum,
    TunRemoteChecksum,
    Weight,
    UpperThreshold,
    LowerThreshold,
    Connections,
    Timeouts,
    Daemons,
    Stats,
    Rate,
    Exact,
    Thresholds,
    PersistentConn,
    TunInfo,
    NoSort,
    Sort,
    OnePacket,
    Numeric,
    SchedulerFlags,
    SyncId,
    SyncMaxLen,
    McastInterface,
    McastGroup,
    McastPort,
    McastTtl,
}

use Takes::{MaybeValue, Nothing, Value, Words};

/// All of them, in the order of the help text.
pub static ROWS: [Row; 57] = [
    command("A", "add-service", Nothing, Verb::AddService, &["add virtual service with options"]),
    command("E", "edit-service", Nothing, Verb::EditService, &["edit virtual service with options"]),
    command("D", "delete-service", Nothing, Verb::DeleteService, &["delete virtual service"]),
    command("C", "clear", Nothing, Verb::Flush, &["clear the whole table"]),
    command("R", "restore", Nothing, Verb::Restore, &["restore rules from stdin"]),
    command("S", "save", Nothing, Verb::Save, &["save rules to stdout"]),
    command("a", "add-server", Nothing, Verb::AddServer, &["add real server with options"]),
    command("e", "edit-server", Nothing, Verb::EditServer, &["edit real server with options"]),
    command("d", "delete-server", Nothing, Verb::DeleteServer, &["delete real server"]),
    command("Ll", "list", Nothing, Verb::List, &["list the table"]),
    command("Z", "zero", Nothing, Verb::Zero, &["zero counters in a service or all services"]),
    command("", "set", Words("tcp tcpfin udp"), Verb::Set, &["set connection timeout values"]),
    command("", "start-daemon", Value(""), Verb::StartDaemon, &["start connection sync daemon"]),
    command("", "stop-daemon", Value(""), Verb::StopDaemon, &["stop connection sync daemon"]),
    Row { section: Section::Commands, ..row("h", "help", Nothing, Item::Help, &["display this help message"]) },
    Row { section: Section::Unlisted, ..row("v", "version", Nothing, Item::Version, &[]) },
    service("t", "tcp-service", "service-address", Opt::TcpService, &["service-address is host[:port]"]),
    service("u", "udp-service", "service-address", Opt::UdpService, &["service-address is host[:port]"]),
    service("", "sctp-service", "service-address", Opt::SctpService, &["service-address is host[:port]"]),
    service("f", "fwmark-service", "fwmark", Opt::MarkService, &["fwmark is an integer greater than zero"]),
    free("6", "ipv6", Opt::Ipv6, &["fwmark entry uses IPv6"]),
    option(
        "s",
        "scheduler",
        Value("scheduler"),
        Opt::Scheduler,
        Slot::Scheduler,
        &["one of rr|wrr|lc|wlc|lblc|lblcr|dh|sh|sed|nq|fo|ovf|mh,", "the default scheduler is wlc."],
    ),
    option(
        "",
        "pe",
        Value("engine"),
        Opt::PersistenceEngine,
        Slot::Pe,
        &["alternate persistence engine may be sip,", "not set by default."],
    ),
    option("p", "persistent", MaybeValue("timeout"), Opt::Persistent, Slot::Persistent, &["persistent service"]),
    option("M", "netmask", Value("netmask"), Opt::Netmask, Slot::Netmask, &["persistent granularity mask"]),
    option(
        "r",
        "real-server",
        Value("server-address"),
        Opt::RealServer,
        Slot::RealServer,
        &["server-address is host (and port)"],
    ),
    option(
        "g",
        "gatewaying",
        Nothing,
        Opt::DirectRoute,
        Slot::ForwardingMethod,
        &["gatewaying (direct routing) (default)"],
    ),
    option("i", "ipip", Nothing, Opt::Tunnel, Slot::ForwardingMethod, &["ipip encapsulation (tunneling)"]),
    option("m", "masquerading", Nothing, Opt::Masquerade, Slot::ForwardingMethod, &["masquerading (NAT)"]),
    option(
        "",
        "tun-type",
        Value("type"),
        Opt::TunType,
        Slot::TunType,
        &["one of ipip|gue|gre,", "the default tunnel type is ipip."],
    ),
    option("", "tun-port", Value("port"), Opt::TunPort, Slot::TunPort, &["tunnel destination port"]),
    option("", "tun-nocsum", Nothing, Opt::TunNoChecksum, Slot::TunNoCsum, &["tunnel encapsulation without checksum"]),
    option("", "tun-csum", Nothing, Opt::TunChecksum, Slot::TunCsum, &["tunnel encapsulation with checksum"]),
    option(
        "",
        "tun-remcsum",
        Nothing,
        Opt::TunRemoteChecksum,
        Slot::TunRemCsum,
        &["tunnel encapsulation with remote checksum"],
    ),
    option("w", "weight", Value("weight"), Opt::Weight, Slot::Weight, &["capacity of real server"]),
    option(
        "x",
        "u-threshold",
        Value("uthreshold"),
        Opt::UpperThreshold,
        Slot::UThreshold,
        &["upper threshold of connections"],
    ),
    option(
        "y",
        "l-threshold",
        Value("lthreshold"),
        Opt::LowerThreshold,
        Slot::LThreshold,
        &["lower threshold of connections"],
    ),
    option("c", "connection", Nothing, Opt::Connections, Slot::Connection, &["output of current IPVS connections"]),
    option("", "timeout", Nothing, Opt::Timeouts, Slot::Timeout, &["output of timeout (tcp tcpfin udp)"]),
    option("", "daemon", Nothing, Opt::Daemons, Slot::Daemon, &["output of daemon information"]),
    option("", "stats", Nothing, Opt::Stats, Slot::Stats, &["output of statistics information"]),
    option("", "rate", Nothing, Opt::Rate, Slot::Rate, &["output of rate information"]),
    Row {
        quiet_letters: "X",
        ..option("", "exact", Nothing, Opt::Exact, Slot::Exact, &["expand numbers (display exact values)"])
    },
    option("", "thresholds", Nothing, Opt::Thresholds, Slot::Thresholds, &["output of thresholds information"]),
    option(
        "",
        "persistent-conn",
        Nothing,
        Opt::PersistentConn,
        Slot::PersistentConn,
        &["output of persistent connection info"],
    ),
    option("", "tun-info", Nothing, Opt::TunInfo, Slot::TunInfo, &["output of tunnel information"]),
    option("", "nosort", Nothing, Opt::NoSort, Slot::NoSort, &["disable sorting output of service/server entries"]),
    free("", "sort", Opt::Sort, &["does nothing, for backwards compatibility"]),
    option("o", "ops", Nothing, Opt::OnePacket, Slot::Ops, &["one-packet scheduling"]),
    option("n", "numeric", Nothing, Opt::Numeric, Slot::Numeric, &["numeric output of addresses and ports"]),
    option(
        "b",
        "sched-flags",
        Value("flags"),
        Opt::SchedulerFlags,
        Slot::SchedFlags,
        &["scheduler flags (comma-separated)"],
    ),
    daemon("syncid", "sid", Opt::SyncId, Slot::SyncId, &["syncid for connection sync (default=255)"]),
    daemon("sync-maxlen", "length", Opt::SyncMaxLen, Slot::SyncMaxLen, &["Max sync message length (default=1472)"]),
    daemon(
        "mcast-interface",
        "interface",
        Opt::McastInterface,
        Slot::McastInterface,
        &["multicast interface for connection sync"],
    ),
    daemon("mcast-group", "address", Opt::McastGroup, Slot::McastGroup, &["IPv4/IPv6 group (default=224.0.0.81)"]),
    daemon("mcast-port", "port", Opt::McastPort, Slot::McastPort, &["UDP port (default=8848)"]),
    daemon("mcast-ttl", "ttl", Opt::McastTtl, Slot::McastTtl, &["Multicast TTL (default=1)"]),
];

type Help = &'static [&'static str];

const fn row(letters: &'static str, long: &'static str, takes: Takes, item: Item, help: Help) -> Row {
    Row { letters, quiet_letters: "", long, takes, item, section: Section::Options, help }
}

const fn command(letters: &'static str, long: &'static str, takes: Takes, verb: Verb, help: Help) -> Row {
    Row { section: Section::Commands, ..row(letters, long, takes, Item::Verb(verb), help) }
}

const fn service(letters: &'static str, long: &'static str, value: &'static str, opt: Opt, help: Help) -> Row {
    let item = Item::Opt(opt, Some(Slot::ServiceAddress));
    Row { section: Section::VirtualService, ..row(letters, long, Value(value), item, help) }
}

const fn option(letters: &'static str, long: &'static str, takes: Takes, opt: Opt, slot: Slot, help: Help) -> Row {
    row(letters, long, takes, Item::Opt(opt, Some(slot)), help)
}

/// An option that may be repeated and stand anywhere.
const fn free(letters: &'static str, long: &'static str, opt: Opt, help: Help) -> Row {
    row(letters, long, Nothing, Item::Opt(opt, None), help)
}

const fn daemon(long: &'static str, value: &'static str, opt: Opt, slot: Slot, help: Help) -> Row {
    Row { section: Section::Daemon, ..row("", long, Value(value), Item::Opt(opt, Some(slot)), help) }
}

/// The row of each ASCII letter: its place in [`ROWS`] plus one, or 0. Made by the compiler.
static BY_LETTER: [u8; 128] = by_letter();

const fn by_letter() -> [u8; 128] {
    let mut table = [0; 128];
    let mut at = 0;
    while at < ROWS.len() {
        let mut letters = [ROWS[at].letters.as_bytes(), ROWS[at].quiet_letters.as_bytes()];
        while let [[letter, rest @ ..], other] | [other @ [], [letter, rest @ ..]] = letters {
            table[*letter as usize] = at as u8 + 1;
            letters = [rest, other];
        }
        at += 1;
    }
    table
}

/// The row of a letter such as `t`.
pub fn by_short(letter: u8) -> Option<&'static Row> {
    let place = *BY_LETTER.get(usize::from(letter))?;
    ROWS.get(usize::from(place).wrapping_sub(1))
}

/// The row of a long name such as `tcp-service`, which must be exact.
pub fn by_long(name: &[u8]) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.long.as_bytes() == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn option_names_are_unique() {
        let mut seen = HashSet::new();
        for row in &ROWS {
            assert!(seen.insert(row.long.to_owned()), "{}", row.long);
            for letter in row.letters.chars().chain(row.quiet_letters.chars()) {
                assert!(letter.is_ascii_alphanumeric());
                assert!(seen.insert(letter.to_string()), "{letter}");
            }
        }
    }

    #[test]
    fn every_name_finds_its_row() {
        for row in &ROWS {
            assert_eq!(by_long(row.long.as_bytes()).unwrap().item, row.item);
            for letter in row.letters.bytes().chain(row.quiet_letters.bytes()) {
                assert_eq!(by_short(letter).unwrap().item, row.item);
            }
        }
        assert!(by_short(b'-').is_none());
        assert!(by_short(b'Q').is_none());
        assert!(by_short(0xe2).is_none());
        assert!(by_long(b"").is_none());
        assert!(by_long(b"tcp-servic").is_none());
    }

    /// Each meaning has one spelling: two rows of the same [`Opt`] or [`Verb`] would be a slip.
    #[test]
    fn every_meaning_has_one_row() {
        for (at, row) in ROWS.iter().enumerate() {
            assert!(ROWS[at + 1..].iter().all(|other| other.item != row.item), "{}", row.long);
        }
    }
}
