//! Of what generated command lines are made. Small, so that commands meet; the simplest first, as
//! shrinking goes there.
//!
//! A profile is some options in their long form. Addresses are such that their comparison, which
//! wraps at 32 bits, does not contradict itself: else the listing depends on the kernel's own
//! order, which no two tables share. `listing.rs` has the others.

/// What fits together: the options of one family of addresses.
#[derive(Debug)]
pub(crate) struct Family {
    /// Virtual services; the first are those where commands meet, some later ones are the same in
    /// other words.
    pub(crate) services: &'static [&'static str],
    /// Real servers.
    pub(crate) servers: &'static [&'static str],
    /// Persistence.
    pub(crate) persistence: &'static [&'static str],
}

/// How many of a family's services are the common ones.
pub(crate) const COMMON: usize = 5;

pub(crate) const V4: Family = Family {
    services: &[
        "--tcp-service=192.0.2.1:80",
        "--udp-service=192.0.2.1:53",
        "--fwmark-service=1",
        "--sctp-service=192.0.2.1:2904",
        "--fwmark-service=4294967295",
        "--fwmark-service=7",
        "--tcp-service=192.0.2.1:http",
        "--tcp-service=www.example.net:http",
        "--tcp-service=www:www",
        "--tcp-service=3221225985:80",
        "--tcp-service=0xc0.0.02.01:80",
        "--tcp-service=192.0.2.1 junk:080",
        "--tcp-service=192.0.2.2:shell",
        "--udp-service=192.0.2.2:syslog",
        "--udp-service=192.0.2.1:53 --ops",
        "--tcp-service=192.0.2.3 --persistent",
        "--tcp-service=[192.0.2.1]:80 --persistent",
        "--tcp-service=app1.example.net:webcache",
        "--tcp-service=localhost:65535",
        "--tcp-service=a-name-that-is-longer-than-all-that-a-listing-can-hold-at-all.example.net:80",
    ],
    servers: &[
        "--real-server=192.0.2.11:80",
        "--real-server=192.0.2.12",
        "--real-server=192.0.2.11:8080",
        "--real-server=app1.example.net:http",
        "--real-server=app2.example.net",
        "--real-server=127.0.0.1:80",
        "--real-server=172.16.0.1:80",
        "--real-server=a-real-server-with-a-long-name.example.net:http-alt",
        "--real-server=192.0.2.11:0",
    ],
    persistence: &[
        "--persistent",
        "--persistent=300",
        "--persistent=60 --netmask=255.255.255.0",
        "--netmask=255.255.0.0",
        "--persistent=5 --netmask=0.0.0.0",
        "--persistent=2678400 --netmask=255.255.255.255",
    ],
};

pub(crate) const V6: Family = Family {
    services: &[
        "--tcp-service=[2001:db8::1]:80",
        "--fwmark-service=1 --ipv6",
        "--udp-service=[2001:db8::1]:53",
        "--sctp-service=[2001:db8::2]:2904",
        "--fwmark-service=3000000000 --ipv6",
        "--tcp-service=2001:db8::1 --persistent",
        "--tcp-service=[2001:DB8::0:1]:http",
        "--udp-service=[2001:db8::14]:domain",
        "--udp-service=[2001:db8::1]:53 --ops",
        "--tcp-service=[2001:db8::9]:8080",
    ],
    servers: &[
        "--real-server=[2001:db8::11]:80",
        "--real-server=2001:db8::12",
        "--real-server=[2001:db8::11]:webcache",
        "--real-server=[::1]:80",
        "--real-server=[fd00::1]:0",
    ],
    persistence: &[
        "--persistent",
        "--persistent=60 --netmask=64",
        "--netmask=96",
        "--persistent=5 --netmask=1",
        "--persistent=5 --netmask=128",
    ],
};

/// Services and servers that are wrong, or belong to no family for sure.
pub(crate) const BAD_SERVICES: &[&str] =
    &["--tcp-service=192.0.2.3", "--fwmark-service=0", "--tcp-service=192.0.2.1:80 --ops", "--ipv6 --fwmark-service=1"];
pub(crate) const BAD_SERVERS: &[&str] = &[
    "--real-server=192.0.2.11:domain",
    "--real-server=0.0.0.0:80",
    "--real-server=224.0.0.1:80",
    "--real-server=255.255.255.255:80",
    "--real-server=[fe80::1]:80",
    "--real-server=[ff02::1]:80",
    "--real-server=[::ffff:192.0.2.11]:80",
];

/// How a service is scheduled.
pub(crate) const SCHEDULING: &[&str] = &[
    "--scheduler=rr",
    "--scheduler=wlc",
    "--scheduler=sh --sched-flags=sh-port",
    "--scheduler=sh --sched-flags=sh-fallback,sh-port",
    "--scheduler=sh --sched-flags=flag-1",
    "--scheduler=sh --sched-flags=flag-3",
    "--scheduler=mh --sched-flags=mh-fallback",
    "--scheduler=mh --sched-flags=mh-fallback,mh-port",
    "--scheduler=rr --sched-flags=flag-1,flag-3",
    "--sched-flags=flag-2",
    "--scheduler=wrr",
    "--scheduler=lc",
    "--scheduler=lblc",
    "--scheduler=lblcr",
    "--scheduler=dh",
    "--scheduler=sed",
    "--scheduler=nq",
    "--scheduler=fo",
    "--scheduler=ovf",
    "--scheduler=none",
];
pub(crate) const BAD_SCHEDULING: &[&str] = &[
    "--scheduler=rr --sched-flags=sh-port",
    "--scheduler=unheard-of",
    "--sched-flags=mh-port --scheduler=sh",
    "--pe=unheard-of --persistent",
    "--pe=sip",
];

/// How packets get to a server.
pub(crate) const FORWARDING: &[&str] = &[
    "--masquerading",
    "--gatewaying",
    "--ipip",
    "--ipip --tun-type=ipip",
    "--ipip --tun-type=gue --tun-port=6080",
    "--ipip --tun-type=gue --tun-port=6080 --tun-nocsum",
    "--ipip --tun-type=gue --tun-port=65535 --tun-csum",
    "--ipip --tun-type=gue --tun-port=1 --tun-remcsum",
    "--ipip --tun-type=gre",
    "--ipip --tun-type=gre --tun-csum",
    "--ipip --tun-type=gre --tun-nocsum",
];
pub(crate) const BAD_FORWARDING: &[&str] = &[
    "--ipip --tun-type=gue",
    "--ipip --tun-type=gre --tun-remcsum",
    "--ipip --tun-type=gre --tun-port=1",
    "--ipip --tun-csum",
    "--ipip --tun-type=gue --tun-port=6080 --tun-csum --tun-nocsum",
    "--masquerading --tun-type=gue",
    "--masquerading --ipip",
];

/// What a server can take.
pub(crate) const CAPACITY: &[&str] = &[
    "--weight=5",
    "--weight=0",
    "--weight=65536",
    "--weight=2147483647",
    "--u-threshold=100 --l-threshold=50",
    "--u-threshold=100",
    "--weight=3 --u-threshold=70000 --l-threshold=1",
    "--u-threshold=2147483647 --l-threshold=2147483647",
];
pub(crate) const BAD_CAPACITY: &[&str] =
    &["--l-threshold=7", "--u-threshold=5 --l-threshold=6", "--weight=2147483648", "--weight=-1"];

/// What a listing shows, and how.
pub(crate) const LISTINGS: &[&str] = &[
    "--numeric",
    "--numeric --stats",
    "--numeric --rate",
    "--numeric --thresholds",
    "--numeric --persistent-conn",
    "--numeric --tun-info",
    "--numeric --exact --stats",
    "--numeric --exact --rate",
    "--timeout",
    "--daemon",
    "--connection --numeric",
    "--connection",
    "--connection --persistent-conn",
    "--stats",
    "--rate",
    "--thresholds",
    "--tun-info",
    "--persistent-conn",
    "--sort",
    "--exact",
    "--stats --rate",
    "--thresholds --persistent-conn --tun-info",
    "--syncid=5 --numeric",
];
pub(crate) const BAD_LISTINGS: &[&str] =
    &["--timeout --stats", "--daemon --rate", "--connection --timeout", "--timeout --daemon"];

/// Sync daemons.
pub(crate) const DAEMONS: &[&str] = &[
    "--mcast-interface=lo",
    "--mcast-interface=lo --syncid=7",
    "--mcast-interface=lo --syncid=255 --mcast-group=224.0.0.99 --mcast-port=9999 --mcast-ttl=5",
    "--mcast-interface=lo --sync-maxlen=1400",
    "--mcast-interface=lo --mcast-group=ff02::5",
];
pub(crate) const BAD_DAEMONS: &[&str] = &[
    "--mcast-interface=lo --mcast-group=10.0.0.1",
    "--mcast-interface=nonesuch0",
    "--syncid=1",
    "--mcast-interface=a-very-long-interface-name",
];

/// Timeouts, which are plain words.
pub(crate) const TIMEOUTS: &[[&str; 3]] = &[
    ["900", "120", "300"],
    ["0", "0", "0"],
    ["1", "0", "2678400"],
    ["0", "2678401", "0"],
    ["900", "120", "-1"],
    ["x", "120", "300"],
];

/// Values of an option that stands where it likes: some right, some nearly.
pub(crate) fn values(long: &str) -> &'static [&'static str] {
    match long {
        "tcp-service" | "udp-service" | "sctp-service" => &[
            "192.0.2.1:80",
            "192.0.2.4:8080",
            "[2001:db8::1]:80",
            "192.0.2.999:80",
            "192.0.2.1:65536",
            "192.0.2.1:nosuch",
            "192.0.2.1:",
            "192.0.2.1:-1",
            "192.0.2.1: 80",
            "192.0.2.1:+80",
            "192.0.2.1:HTTP",
            ":80",
            "80",
            "2001:db8::1:80",
            "[2001:db8::1]",
            "[2001:db8::1]80",
            "[2001:db8::1%lo]:80",
            "six.example.net:80",
            "nosuch.example.net:80",
            "[www.example.net]:80",
            "[",
        ],
        "real-server" => &[
            "192.0.2.13:80",
            "192.0.2.13",
            "[2001:db8::13]:80",
            "192.0.2.11:m2ua",
            "192.0.2.11:https",
            "192.0.2.11:",
            "app6.example.net:80",
            "nosuch.example.net",
            "192.0.2.11:80:80",
            "::ffff:192.0.2.11",
            "169.254.0.1:80",
        ],
        "fwmark-service" => &["1", "2", "4294967295", "4294967296", "0", "-1", "0x10", "010", " 7", "7 ", "+7"],
        "scheduler" => &["rr", "sh", "mh", "RR", "a-scheduler-with-a-long-name", "r r", "é"],
        "persistent" => &["5", "1", "2678400", "2678401", "0", "-1", "5x", " 5"],
        "netmask" => &["255.255.255.0", "24", "0", "1", "128", "129", "64x", "255.0.255.0", "www", "0xffffff00"],
        "weight" | "u-threshold" | "l-threshold" => {
            &["0", "1", "7", "100", "65535", "65536", "2147483647", "2147483648", "4294967296", "1.5"]
        }
        "syncid" => &["0", "1", "255", "256"],
        "mcast-port" | "tun-port" => &["1", "8848", "65535", "65536", "0"],
        "mcast-ttl" => &["1", "255", "256", "0"],
        "sync-maxlen" => &["1", "500", "65507", "65508", "0"],
        "mcast-group" => &["224.0.0.81", "239.255.255.255", "192.0.2.1", "ff05::8848", "2001:db8::1", "224.0.0", "::"],
        "mcast-interface" => &["lo", "eth0", "nonesuch0", "an-interface-with-a-long-name"],
        "tun-type" => &["ipip", "gue", "gre", "GRE", "vxlan"],
        "sched-flags" => &["flag-1", "sh-port", "mh-port", "flag-4", ",flag-2,", "flag-1 ,flag-2", "Flag-1"],
        "pe" => &["sip", "unheard-of", "an-engine-with-a-long-name"],
        "start-daemon" | "stop-daemon" => &["master", "backup", "both", "Master"],
        _ => ODD,
    }
}

/// Values that are odd wherever they stand.
pub(crate) const ODD: &[&str] = &[
    "",
    "0",
    "x",
    "-1",
    "-",
    "--",
    "=",
    "=5",
    "010",
    "0x10",
    " 5",
    "5 ",
    "\t5",
    "99999999999999999999",
    "18446744073709551617",
    "-9223372036854775809",
    "%s%n",
    "é",
    "[",
    "-n",
    "--numeric",
    "\u{665}",
    "*",
];

/// Words for lines that make no sense. Without a dash between letters, and of dashes only the plain
/// one: what `ipvs-cli` reads into those, the original does not.
pub(crate) const SOUP: &[&str] = &[
    "-A",
    "-E",
    "-D",
    "-a",
    "-e",
    "-d",
    "-L",
    "-l",
    "-S",
    "-C",
    "-Z",
    "-R",
    "-h",
    "-v",
    "-t",
    "-u",
    "-f",
    "-r",
    "-s",
    "-p",
    "-M",
    "-w",
    "-x",
    "-y",
    "-g",
    "-i",
    "-m",
    "-n",
    "-c",
    "-X",
    "-6",
    "-o",
    "-b",
    "-Ln",
    "-lnc",
    "-At",
    "-q",
    "-",
    "--",
    "--list",
    "--save",
    "--sctp-service",
    "--set",
    "--scheduler",
    "--persistent",
    "--tun-type",
    "--tun-port",
    "--tun-csum",
    "--tun-nocsum",
    "--pe",
    "--sort",
    "--stats",
    "--rate",
    "--exact",
    "--thresholds",
    "--timeout",
    "--daemon",
    "--numeric=",
    "--bogus",
    "--numer",
    "--mcast-group",
    "--add-service",
    "--start-daemon",
    "--weight=7",
    "192.0.2.1:80",
    "192.0.2.2",
    "192.0.2.11:80",
    "192.0.2.12",
    "[2001:db8::1]:80",
    "[2001:db8::11]:80",
    "2001:db8::1",
    "192.0.2.1:http",
    "192.0.2.999:80",
    ":80",
    "80",
    "0",
    "1",
    "-1",
    "7",
    "65536",
    "4294967296",
    "0x10",
    "010",
    "rr",
    "wlc",
    "sh",
    "mh",
    "none",
    "gue",
    "gre",
    "ipip",
    "sip",
    "master",
    "sh-port",
    "flag-1,flag-2",
    "255.255.255.0",
    "64",
    "129",
    "é",
    "!#:+",
    "=",
    "ipvsadm",
    "#",
];

/// Beginnings of lines that lead deeper than any random word would.
pub(crate) const BEGINNINGS: &[&str] = &[
    "",
    "-A -t 192.0.2.1:80",
    "-A -f 1",
    "-A -u 192.0.2.1:53 -s rr",
    "-A -t [2001:db8::1]:80 -s sh",
    "-E -t 192.0.2.1:80",
    "-a -t 192.0.2.1:80 -r 192.0.2.11",
    "-a -f 1 -r 192.0.2.12",
    "-e -t 192.0.2.1:80 -r 192.0.2.11",
    "-D -f 1",
    "-L -n",
];
