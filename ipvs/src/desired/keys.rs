//! The keys of TOML and JSON. docs/schema/ and docs/desired-state.md say the same; tests compare.

/// The keys of one kind of table.
#[derive(Debug)]
pub(super) struct Keys {
    /// The table, in messages.
    pub(super) what: &'static str,
    pub(super) names: &'static [&'static str],
    /// What other programs call some of them.
    pub(super) others: &'static [(&'static str, &'static str)],
}

/// The version of the notation that this program writes, and the only one that it reads.
pub(super) const VERSION: i64 = 1;

pub(super) fn unknown_version(version: i64) -> String {
    format!("version {version} is unknown: this program reads version {VERSION}")
}

pub(super) const TOP: Keys = Keys {
    what: "a desired state",
    names: &["version", "timeouts", "daemons", "services", "kernel"],
    others: &[("virtual_services", "services"), ("sync_daemons", "daemons"), ("ipvs", "version")],
};

pub(super) const TIMEOUTS: Keys =
    Keys { what: "'timeouts'", names: &["tcp", "tcp_fin", "udp"], others: &[("fin", "tcp_fin")] };

pub(super) const DAEMON: Keys = Keys {
    what: "a sync daemon",
    names: &["role", "interface", "sync_id", "group", "port", "ttl", "max_len"],
    others: &[("mcast_interface", "interface"), ("mcast_group", "group"), ("state", "role"), ("maxlen", "max_len")],
};

pub(super) const SERVICE: Keys = Keys {
    what: "a service",
    names: &[
        "address",
        "protocol",
        "mark",
        "family",
        "group",
        "scheduler",
        "scheduler_flags",
        "persistence",
        "netmask",
        "engine",
        "one_packet",
        "destinations",
        "statistics",
    ],
    others: &[
        ("ip", "address"),
        ("port", "address"),
        ("fwmark", "mark"),
        ("packets", "group"),
        ("rules", "group"),
        ("lb_algo", "scheduler"),
        ("flags", "scheduler_flags"),
        ("timeout", "persistence"),
        ("persistence_timeout", "persistence"),
        ("mask", "netmask"),
        ("pe", "engine"),
        ("ops", "one_packet"),
        ("servers", "destinations"),
        ("real_servers", "destinations"),
    ],
};

/// No table has more keys than a service.
pub(super) const MOST: usize = SERVICE.names.len();

pub(super) const GROUP: Keys = Keys {
    what: "a member of a group",
    names: &["address", "protocol", "ports", "source", "interface", "output", "mask"],
    others: &[
        ("ip", "address"),
        ("destination", "address"),
        ("port", "ports"),
        ("dports", "ports"),
        ("dport", "ports"),
    ],
};

pub(super) const DESTINATION: Keys = Keys {
    what: "a destination",
    names: &[
        "address",
        "forwarding",
        "tunnel",
        "weight",
        "upper_threshold",
        "lower_threshold",
        "weight_before",
        "statistics",
    ],
    others: &[
        ("ip", "address"),
        ("port", "address"),
        ("method", "forwarding"),
        ("lb_kind", "forwarding"),
        ("max_connections", "upper_threshold"),
    ],
};

pub(super) const TUNNEL: Keys =
    Keys { what: "a tunnel", names: &["type", "port", "flags"], others: &[("checksum", "flags")] };

/// The words for how packets reach a destination.
pub(super) const FORWARDING: [&str; 5] = ["direct-route", "masquerade", "tunnel", "local", "bypass"];

/// What others call them.
pub(super) const OTHER_FORWARDING: &[(&str, &str)] = &[
    ("dr", "direct-route"),
    ("route", "direct-route"),
    ("gate", "direct-route"),
    ("gatewaying", "direct-route"),
    ("-g", "direct-route"),
    ("nat", "masquerade"),
    ("masq", "masquerade"),
    ("masquerading", "masquerade"),
    ("-m", "masquerade"),
    ("tun", "tunnel"),
    ("ipip", "tunnel"),
    ("-i", "tunnel"),
    ("localnode", "local"),
];

pub(super) const TUNNELS: [&str; 3] = ["ipip", "gue", "gre"];

pub(super) const CHECKSUM: &str = "checksum";
pub(super) const REMOTE_CHECKSUM: &str = "remote-checksum";
