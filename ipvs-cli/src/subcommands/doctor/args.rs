//! The options of `doctor`.

use std::net::IpAddr;

use clap::{Args, ValueEnum};
use ipvs::Family;

use super::real_server::{Method, Role, Wrapping};
use crate::arguments::number::whole;

/// Find what keeps packets from their service, and the commands that mend it
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(in crate::subcommands) struct Doctor {
    /// Print as JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Examine this machine as a real server of the virtual address VIP
    #[arg(long, value_name = "VIP")]
    pub(super) real_server: Option<IpAddr>,
    /// How the director forwards to this real server
    #[arg(long, value_name = "METHOD", default_value = "direct-route", requires = "real_server")]
    pub(super) forwarding: Forwarding,
    /// The kind of tunnel
    #[arg(long, value_name = "TYPE", default_value = "ipip", requires = "real_server")]
    pub(super) tunnel: Tunnel,
    /// UDP port of a gue tunnel
    #[arg(long, value_name = "PORT", default_value = "6080", requires = "real_server", allow_negative_numbers = true,
        value_parser = whole::<u16>(1, 65535))]
    pub(super) tunnel_port: u16,
    /// The gre tunnel has checksums, as with ipvsadm's --tun-csum
    #[arg(long, requires = "real_server")]
    pub(super) checksum: bool,
    /// Family of the tunnel's outer packets: that of the real server's address
    #[arg(long, value_name = "FAMILY", default_value = "ipv4", requires = "real_server")]
    pub(super) over: Over,
    /// The director's address: with NAT replies return through it, and a gre
    /// tunnel comes from it
    #[arg(long, value_name = "ADDRESS", requires = "real_server", required_if_eq("forwarding", "masquerade"))]
    pub(super) director: Option<IpAddr>,
    /// Address of a client that must get replies
    #[arg(long, value_name = "ADDRESS", requires = "real_server", required_if_eq("forwarding", "masquerade"))]
    pub(super) client: Option<IpAddr>,
    /// Port of a UDP server
    #[arg(long, value_name = "PORT", requires = "real_server", allow_negative_numbers = true,
        value_parser = whole::<u16>(1, 65535))]
    pub(super) udp: Option<u16>,
}

const HELP: &str = "\
Exit status: 0 no problem, at most hints; 1 a problem; 2 the machine could not
be examined.

Examples:
  ipvs-cli doctor
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
    pub(super) fn role(&self, vip: IpAddr) -> Role {
        let wrapping = match self.tunnel {
            Tunnel::Ipip => Wrapping::Ipip,
            Tunnel::Gue => Wrapping::Gue { port: self.tunnel_port },
            Tunnel::Gre => Wrapping::Gre { checksum: self.checksum },
        };
        let over = match self.over {
            Over::Ipv4 => Family::V4,
            Over::Ipv6 => Family::V6,
        };
        let method = match self.forwarding {
            Forwarding::DirectRoute => Method::DirectRoute,
            Forwarding::Masquerade => Method::Masquerade,
            Forwarding::Tunnel => Method::Tunnel(wrapping, over),
        };
        Role { vip, method, client: self.client, udp: self.udp, director: self.director }
    }
}
