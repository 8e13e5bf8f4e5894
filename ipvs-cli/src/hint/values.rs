//! The values that options take: as data.

use ipvs_text::ipvsadm::grammar::{Opt, Row};
use ipvs_text::ipvsadm::{LONGEST_TIMEOUT, grammar::Item};

/// The values of one kind.
pub(super) struct Kind {
    /// What ipvsadm's message calls it.
    pub(super) named: &'static str,
    /// What it is.
    pub(super) is: &'static str,
    pub(super) allowed: Allowed,
    /// What follows in the hint.
    pub(super) remark: &'static str,
}

pub(super) enum Allowed {
    /// A whole number, from and to.
    Number(u32, u32),
    /// One of these words.
    Words(&'static [&'static str]),
    /// Something like these.
    Like(&'static [&'static str]),
}

use Allowed::{Like, Number, Words};

const INT_MAX: u32 = i32::MAX as u32;

/// What follows `illegal`, or `invalid` with the value, in a message.
pub(super) const KINDS: [Kind; 18] = [
    kind("weight", "a weight is a whole number", Number(0, INT_MAX), "; 0 takes no new connections"),
    kind("u_threshold", "a threshold is a number of connections", Number(0, INT_MAX), "; 0 is none"),
    kind("l_threshold", "a threshold is a number of connections", Number(0, INT_MAX), "; 0 is none"),
    kind("virtual server persistent mask", "a netmask is written", Like(&["255.255.255.0"]), ""),
    kind("ipv6 netmask", "the netmask of IPv6 is a prefix length", Number(1, 128), ""),
    kind("tunnel type", "a kind of tunnel is", Words(&["ipip", "gue", "gre"]), ""),
    kind("tunnel port", "a port is a whole number", Number(1, 65535), ""),
    kind("mcast-port", "a port is a whole number", Number(1, 65535), ""),
    kind("syncid", "a sync id is a whole number", Number(0, 255), "; 0 takes all"),
    kind("mcast-ttl", "a time to live is a whole number", Number(1, 255), ""),
    kind("sync-maxlen", "a length is a number of bytes", Number(1, 65507), ""),
    kind("start-daemon parameter", "a daemon is", Words(&["master", "backup"]), ""),
    kind("start_daemon", "a daemon is", Words(&["master", "backup"]), ""),
    kind("fwmark", "a firewall mark is a decimal number", Number(1, u32::MAX), ""),
    // Of --set, then of -p.
    kind("timeout", "a timeout is a number of seconds", Number(0, LONGEST_TIMEOUT), ", which is 31 days"),
    kind("timeout", "a timeout is a number of seconds", Number(1, LONGEST_TIMEOUT), ", which is 31 days"),
    kind("mcast-group", "a group is an address of multicast", Like(&["224.0.0.81", "ff02::81"]), ""),
    kind(
        "scheduler flag",
        "a flag is",
        Words(&["sh-fallback", "sh-port", "mh-fallback", "mh-port", "flag-1", "flag-2", "flag-3"]),
        "",
    ),
];

const fn kind(named: &'static str, is: &'static str, allowed: Allowed, remark: &'static str) -> Kind {
    Kind { named, is, allowed, remark }
}

/// The schedulers of the kernel.
pub(super) const SCHEDULERS: [&str; 14] =
    ["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh", "twos"];

/// A value that the option takes.
pub(super) fn sample(row: &Row) -> Option<&'static str> {
    Some(match row.item {
        Item::Verb(_) => "master",
        Item::Opt(opt, _) => match opt {
            Opt::TcpService | Opt::UdpService | Opt::SctpService => "192.0.2.1:80",
            Opt::MarkService => "10",
            Opt::Scheduler => "rr",
            Opt::PersistenceEngine => "sip",
            Opt::Persistent => "300",
            Opt::Netmask => "255.255.255.0",
            Opt::RealServer => "192.0.2.11",
            Opt::TunType => "gre",
            Opt::TunPort => "6080",
            Opt::Weight => "1",
            Opt::UpperThreshold => "1000",
            Opt::LowerThreshold => "800",
            Opt::SchedulerFlags => "mh-port",
            Opt::SyncId => "1",
            Opt::SyncMaxLen => "1400",
            Opt::McastInterface => "eth0",
            Opt::McastGroup => "224.0.0.81",
            Opt::McastPort => "8848",
            Opt::McastTtl => "1",
            _ => return None,
        },
        _ => return None,
    })
}
