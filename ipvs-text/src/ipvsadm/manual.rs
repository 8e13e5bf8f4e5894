//! What the manual says about each option: the grammar's rows in sentences.
//!
//! Only packaging reads it; the program itself prints the short texts of the rows. In a text, ``
//! `-n` `` is what is typed as it stands, and `<weight>` a value in its place. An empty line begins
//! a paragraph.

use super::grammar::{Item, Opt};
use super::rules::Verb;

/// The sentences about a command or an option.
pub const fn sentences(item: Item) -> &'static str {
    match item {
        Item::Help => "Prints a summary of all commands and options. Needs neither privileges nor IPVS.",
        Item::Version => {
            "Prints the version of ipvsadm whose behaviour this is. Called as `ipvs-cli`, a second line has the program's \
             own version. Needs neither privileges nor IPVS."
        }
        Item::Verb(verb) => of_command(verb),
        Item::Opt(opt, _) => of_option(opt),
    }
}

const fn of_command(verb: Verb) -> &'static str {
    match verb {
        Verb::AddService => {
            "Adds a virtual service: an address, a port and a protocol, or a firewall mark. It has no real servers yet."
        }
        Verb::EditService => {
            "Changes a virtual service and leaves its real servers as they are. All its settings are replaced: what is not \
             given goes back to its default."
        }
        Verb::DeleteService => "Deletes a virtual service together with its real servers.",
        Verb::AddServer => "Adds a real server to a virtual service.",
        Verb::EditServer => {
            "Changes a real server of a virtual service. All its settings are replaced: what is not given goes back to its \
             default, the weight to 1."
        }
        Verb::DeleteServer => {
            "Removes a real server from a virtual service. Packets of its connections are dropped from then on."
        }
        Verb::Flush => "Deletes all virtual services. Timeouts and sync daemons stay.",
        Verb::Restore => {
            "Reads command lines from standard input, one a line, and carries them out one after the other. The word \
             `ipvsadm` may stand in front of each. The table is not cleared first. A line that cannot be understood ends the \
             run; one that the kernel refuses does not. The exit status is that of the last line."
        }
        Verb::Save => {
            "Prints the table as command lines that `-R` reads. Use it with `-n`: names may not lead back to the same address."
        }
        Verb::List => {
            "Lists the table, or one virtual service, if one is given. This is also what happens without any arguments. \
             The columns are chosen by `--stats`, `--rate`, `--thresholds`, `--persistent-conn` and `--tun-info`; with \
             `-c`, `--timeout` or `--daemon` something else is listed."
        }
        Verb::Zero => "Sets the counters of one virtual service, or of all, to zero. Connections stay.",
        Verb::Set => {
            "Sets how many seconds an idle connection is remembered: of TCP, of TCP after a FIN, and of UDP. 0 leaves a \
             value as it is; the largest is 2678400, which is 31 days."
        }
        Verb::StartDaemon => {
            "Starts a daemon in the kernel that announces connections to other directors (`master`), or one that learns of \
             them (`backup`). One of each may run."
        }
        Verb::StopDaemon => "Stops the sync daemon, the `master` or the `backup`.",
    }
}

const fn of_option(opt: Opt) -> &'static str {
    match opt {
        Opt::TcpService => of_service(),
        Opt::UdpService => "As `-t`, for UDP.",
        Opt::SctpService => "As `-t`, for SCTP.",
        Opt::MarkService => {
            "The virtual service of all packets with this firewall mark, a number from 1 to 4294967295. Rules of iptables or \
             nftables mark the packets; so several addresses and ports become one service. It is a service of IPv4, unless \
             `-6` follows."
        }
        Opt::Ipv6 => "Makes the firewall mark before it one of IPv6 packets. It has to stand after `-f`.",
        Opt::Scheduler => of_scheduler(),
        Opt::PersistenceEngine => {
            "What a client is known by, besides its address: `sip` takes the Call-ID of SIP over UDP, in a service with `-p`."
        }
        Opt::Persistent => {
            "Sends all connections of a client to the same real server, as long as no more than <timeout> seconds pass \
             between them: 1 to 2678400, 360 if no number is given. A service of port 0 takes all ports, and has to be persistent."
        }
        Opt::Netmask => {
            "Counts clients of one network as one, for persistence: a mask such as 255.255.255.0, or a prefix length from 1 \
             to 128 for IPv6, which has to stand after the service. Without it each address is a client."
        }
        Opt::RealServer => {
            "The real server: an address or a name, with a port if it is not the service's. With `-g` and `-i` the port is always \
             the service's, unless the service is a firewall mark. IPv6 addresses with a port go into brackets."
        }
        Opt::DirectRoute => {
            "Sends packets to the real server as they are, by its link-layer address. It must be in a network of the director's and \
             have the service's address itself, without answering ARP for it. This is the default."
        }
        Opt::Tunnel => {
            "Sends packets to the real server inside of others (see `--tun-type`). It must have the service's address itself. It \
             may be anywhere, and of the other IP version than the service."
        }
        Opt::Masquerade => {
            "Rewrites the packets' destination to the real server's address and port, and the answers' source back. Answers must \
             come back through the director."
        }
        Opt::TunType => {
            "How packets are wrapped with `-i`: in IP (`ipip`), in UDP (`gue`, which needs `--tun-port`) or in GRE (`gre`)."
        }
        Opt::TunPort => "The UDP port to which `gue` sends, from 1 to 65535.",
        Opt::TunNoChecksum => "No checksum over what is wrapped, with `gue` and `gre`. This is the default.",
        Opt::TunChecksum => "A checksum over what is wrapped, with `gue` and `gre`.",
        Opt::TunRemoteChecksum => "A checksum that the real server completes (remote checksum offload), with `gue`.",
        Opt::Weight => {
            "The share of the real server: 0 to 2147483647, 1 if not given. With 0 it gets no new connections and keeps those it \
             has, which is the way to take it out of service."
        }
        Opt::UpperThreshold => {
            "A real server with this number of connections gets no new ones. 0, the default, is no limit."
        }
        Opt::LowerThreshold => {
            "A real server that has reached its upper threshold gets connections again when it has less than this. Without it that \
             is three quarters of the upper threshold."
        }
        Opt::Connections => {
            "Lists the connections instead of the table, with `--persistent-conn` also what the persistence engine knows them by."
        }
        Opt::Timeouts => "Lists the timeouts that `--set` sets.",
        Opt::Daemons => "Lists the sync daemons that run.",
        Opt::Stats => "Counters: connections, packets and bytes in, packets and bytes out.",
        Opt::Rate => "The same per second, as an average of the last seconds.",
        Opt::Exact => {
            "Prints counters and rates in full. Without it, large ones are cut down to K, M, G or T, thousands each."
        }
        Opt::Thresholds => "The thresholds of real servers, with their connections.",
        Opt::PersistentConn => "The number of persistent connections of each real server.",
        Opt::TunInfo => "How packets to each real server are wrapped.",
        Opt::NoSort => "Lists in the kernel's order. Without it services and real servers are sorted.",
        Opt::Sort => "Does nothing: listings are sorted anyway.",
        Opt::OnePacket => {
            "Schedules each datagram on its own, without a connection. For UDP services, and for firewall marks that stand for such."
        }
        Opt::Numeric => {
            "Prints addresses and ports as numbers. Without it they are looked up, which takes time if a name server does not answer."
        }
        Opt::SchedulerFlags => {
            "Flags of the scheduler, with commas between them. `sh-fallback` and `mh-fallback`: if the server that was found is not \
             available, take another. `sh-port` and `mh-port`: the client's port counts, too. `flag-1`, `flag-2` and `flag-3` are \
             the three flags by number, for any scheduler."
        }
        Opt::SyncId => {
            "A number from 0 to 255 for a group of directors: a daemon looks only at messages with its own. 0, which is the default whatever \
             the summary of `-h` says, makes a backup look at all. With `-L` it has no effect."
        }
        Opt::SyncMaxLen => {
            "The longest message that is sent or received, in bytes. Without it that is what fits into a packet of the interface."
        }
        Opt::McastInterface => "The network interface of the messages. `eth0` if not given.",
        Opt::McastGroup => "The multicast group of the messages, of IPv4 or IPv6. 224.0.0.81 if not given.",
        Opt::McastPort => "The UDP port of the messages. 8848 if not given.",
        Opt::McastTtl => {
            "How many networks the messages may cross, from 1 to 255. 1 if not given: they stay in the first."
        }
    }
}

const fn of_service() -> &'static str {
    "The virtual service of TCP with this address and port. The address may be a name; one of IPv6 goes into brackets when a port follows: \
     `[2001:db8::1]:80`. Without a port it is 0: all ports of a persistent service."
}

const fn of_scheduler() -> &'static str {
    "How a real server is chosen for a new connection. `rr` takes one after the other; `wrr` the same, by weight. `lc` takes the one with the \
     fewest connections; `wlc` counts them against the weight. `lblc` keeps an address with its server while that is not overloaded, and \
     `lblcr` with a set of servers: both are for caches. `dh` takes the destination's address for a hash, `sh` the source's, `mh` the source's \
     with a table that changes little when servers come and go. `sed` takes the shortest expected delay, `nq` the same, but an idle server \
     first. `fo` takes the available server of highest weight, `ovf` the same until it has as many connections as its weight. `twos` takes \
     the better of two at random.\n\n\
     The kernel loads a scheduler's module when it is first asked for, and refuses a name that has none."
}
