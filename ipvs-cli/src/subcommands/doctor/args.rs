//! The options of `doctor`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ipvs::{Family, ServiceKey};

use super::real_server::{Method, Role, Wrapping};
use crate::arguments::network::Network;
use crate::arguments::number::whole;
use crate::arguments::service;
use crate::arguments::value::address;

/// Find what keeps packets from their service, and the commands that mend it
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(in crate::subcommands) struct Doctor {
    /// Print as JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Compare the sync daemons with those of the other director, from its
    /// `ipvs-cli show --toml --daemons`; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "real_server")]
    pub(super) peer: Option<PathBuf>,
    /// Ask real servers by packets on the way that IPVS sends those of clients:
    /// all of them, those of SERVICE, or those of SERVICE at SERVER
    #[arg(long, conflicts_with = "real_server")]
    pub(super) probe: bool,
    /// At most RATE packets a second for --probe
    #[arg(long, value_name = "RATE", default_value_t = 1000, requires = "probe", allow_negative_numbers = true,
        value_parser = whole::<u32>(1, 100_000))]
    pub(super) rate: u32,
    /// A virtual service, such as tcp:192.0.2.1:80 or mark:10
    #[arg(value_name = "SERVICE", requires = "probe", value_parser = service::parse)]
    pub(super) service: Option<ServiceKey>,
    /// A real server, such as 192.0.2.11 or 192.0.2.11:80, or a network of them
    #[arg(value_name = "SERVER", requires = "probe", value_parser = service::server)]
    pub(super) server: Option<Network>,
    /// Examine this machine as a real server of the virtual address VIP
    #[arg(long, value_name = "VIP", value_parser = address)]
    pub(super) real_server: Option<IpAddr>,
    /// How the director forwards to this real server
    #[arg(long, value_name = "METHOD", default_value = "direct-route", requires = "real_server")]
    pub(super) forwarding: Forwarding,
    /// The kind of tunnel, ipip if not given
    #[arg(long, value_name = "TYPE", requires = "real_server")]
    pub(super) tunnel: Option<Tunnel>,
    /// UDP port of a gue tunnel, 6080 if not given
    #[arg(long, value_name = "PORT", requires = "real_server", allow_negative_numbers = true,
        value_parser = whole::<u16>(1, 65535))]
    pub(super) tunnel_port: Option<u16>,
    /// The gre tunnel has checksums, as with ipvsadm's --tun-csum
    #[arg(long, requires = "real_server")]
    pub(super) checksum: bool,
    /// Family of the tunnel's outer packets: that of the real server's address,
    /// ipv4 if not given
    #[arg(long, value_name = "FAMILY", requires = "real_server")]
    pub(super) over: Option<Over>,
    /// The director's address: with NAT replies return through it, and a gre
    /// tunnel comes from it
    #[arg(long, value_name = "ADDRESS", requires = "real_server", required_if_eq("forwarding", "masquerade"),
        value_parser = address)]
    pub(super) director: Option<IpAddr>,
    /// Address of a client that must get replies
    #[arg(long, value_name = "ADDRESS", requires = "real_server", required_if_eq("forwarding", "masquerade"),
        value_parser = address)]
    pub(super) client: Option<IpAddr>,
    /// Port of a UDP server
    #[arg(long, value_name = "PORT", requires = "real_server", allow_negative_numbers = true,
        value_parser = whole::<u16>(1, 65535))]
    pub(super) udp: Option<u16>,
    /// Port of a TCP server
    #[arg(long, value_name = "PORT", requires = "real_server", allow_negative_numbers = true,
        value_parser = whole::<u16>(1, 65535))]
    pub(super) tcp: Option<u16>,
}

const HELP: &str = "\
Exit status: 0 no problem, at most hints; 1 a problem; 2 the machine could not
be examined.

Examples:
  ipvs-cli doctor
  ipvs-cli doctor --probe
  ipvs-cli doctor --probe tcp:192.0.2.1:80 192.0.2.11
  ssh peer ipvs-cli show --toml --daemons | ipvs-cli doctor --peer -
  ipvs-cli doctor --real-server 192.0.2.1
  ipvs-cli doctor --real-server 192.0.2.1 --forwarding tunnel --tunnel gue";

#[derive(ValueEnum, Clone, Copy, Debug)]
pub(super) enum Forwarding {
    DirectRoute,
    Masquerade,
    Tunnel,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
pub(super) enum Tunnel {
    Ipip,
    Gue,
    Gre,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
pub(super) enum Over {
    Ipv4,
    Ipv6,
}

impl Doctor {
    /// The role that the options describe.
    ///
    /// # Errors
    /// Which option belongs to another one that is not given.
    pub(super) fn role(&self, vip: IpAddr) -> Result<Role, &'static str> {
        let has_tunnel = self.tunnel.is_some() || self.over.is_some();
        let method = match (self.forwarding, self.tunnel.unwrap_or(Tunnel::Ipip), self.tunnel_port, self.checksum) {
            (Forwarding::DirectRoute | Forwarding::Masquerade, ..) if has_tunnel => {
                return Err("--tunnel and --over need --forwarding tunnel");
            }
            (Forwarding::DirectRoute, _, None, false) => Method::DirectRoute,
            (Forwarding::Masquerade, _, None, false) => Method::Masquerade,
            (Forwarding::Tunnel, Tunnel::Ipip, None, false) => Method::Tunnel(Wrapping::Ipip, self.family()),
            (Forwarding::Tunnel, Tunnel::Gue, port, false) => {
                Method::Tunnel(Wrapping::Gue { port: port.unwrap_or(6080) }, self.family())
            }
            (Forwarding::Tunnel, Tunnel::Gre, None, checksum) => {
                Method::Tunnel(Wrapping::Gre { checksum }, self.family())
            }
            (_, _, Some(_), _) => return Err("--tunnel-port needs --forwarding tunnel --tunnel gue"),
            (.., true) => return Err("--checksum needs --forwarding tunnel --tunnel gre"),
        };
        let Doctor { client, udp, tcp, director, .. } = *self;
        Ok(Role { vip, method, client, udp, tcp, director })
    }

    /// The family of a tunnel's outer packets.
    fn family(&self) -> Family {
        match self.over {
            Some(Over::Ipv6) => Family::V6,
            Some(Over::Ipv4) | None => Family::V4,
        }
    }
}
