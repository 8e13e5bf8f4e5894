//! `doctor`: what keeps packets from being balanced here, and the commands that mend it.
//!
//! `gather` asks the kernel for facts, `director` and `real_server` judge them, `findings` is what comes out.

mod director;
mod gather;
mod machine;
mod real_server;
mod rtnetlink;

use std::net::IpAddr;

use clap::{Args, ValueEnum};
use fwmark::{Backend, BackendError, Owner};
use ipvs::{Error, Family};

use self::director::Director;
use self::real_server::{Method, Role, Wrapping};
use crate::arguments::number::whole;
use crate::exit::Exit;
use crate::session::{Session, Trouble};
use crate::subcommands::findings::marks as check;
use crate::subcommands::findings::{Finding, Level, write_json};

/// Find what keeps packets from their service, and the commands that mend it
#[derive(Args, Debug)]
#[command(after_help = STATUS)]
pub(super) struct Doctor {
    /// Print as JSON
    #[arg(long)]
    json: bool,
    /// Examine this machine as a real server of the virtual address VIP
    #[arg(long, value_name = "VIP")]
    real_server: Option<IpAddr>,
    /// How the director forwards to this real server
    #[arg(long, value_name = "METHOD", default_value = "direct-route", requires = "real_server")]
    forwarding: Forwarding,
    /// The kind of tunnel
    #[arg(long, value_name = "TYPE", default_value = "ipip", requires = "real_server")]
    tunnel: Tunnel,
    /// UDP port of a gue tunnel
    #[arg(long, value_name = "PORT", default_value = "6080", requires = "real_server", allow_negative_numbers = true,
        value_parser = whole::<u16>(1, 65535))]
    tunnel_port: u16,
    /// The gre tunnel has checksums, as with ipvsadm's --tun-csum
    #[arg(long, requires = "real_server")]
    checksum: bool,
    /// Family of the tunnel's outer packets: that of the real server's address
    #[arg(long, value_name = "FAMILY", default_value = "ipv4", requires = "real_server")]
    over: Over,
    /// The director's address: with NAT replies return through it, and a gre
    /// tunnel comes from it
    #[arg(long, value_name = "ADDRESS", requires = "real_server", required_if_eq("forwarding", "masquerade"))]
    director: Option<IpAddr>,
    /// Address of a client that must get replies
    #[arg(long, value_name = "ADDRESS", requires = "real_server", required_if_eq("forwarding", "masquerade"))]
    client: Option<IpAddr>,
    /// Port of a UDP server
    #[arg(long, value_name = "PORT", requires = "real_server", allow_negative_numbers = true,
        value_parser = whole::<u16>(1, 65535))]
    udp: Option<u16>,
}

const STATUS: &str = "\
Exit status: 0 no problem, at most hints; 1 a problem; 2 the machine could not
be examined.

Examples:
  ipvs-cli doctor
  ipvs-cli doctor --real-server 192.0.2.1
  ipvs-cli doctor --real-server 192.0.2.1 --forwarding tunnel --tunnel gue";

#[derive(ValueEnum, Clone, Copy, Debug)]
enum Forwarding {
    DirectRoute,
    Masquerade,
    Tunnel,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum Tunnel {
    Ipip,
    Gue,
    Gre,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum Over {
    Ipv4,
    Ipv6,
}

pub(super) fn run(doctor: &Doctor, session: &mut Session<'_, '_>) -> Exit {
    let done = match doctor.real_server {
        Some(vip) => real_server(&doctor.role(vip)).map(|found| ("real-server", found)),
        None => director(session).map(|found| ("director", found)),
    };
    let done = done.map(|(role, found)| tell(doctor.json, role, &found, session));
    session.finish(done, Exit::Trouble)
}

impl Doctor {
    fn role(&self, vip: IpAddr) -> Role {
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

/// Says it. Gives the exit status.
fn tell(is_json: bool, role: &'static str, found: &[Finding], session: &mut Session<'_, '_>) -> Exit {
    if is_json {
        session.display.end();
        // Errors of writing are reported at the end.
        let _ = write_json(session.environment.stdout, role, found);
    } else {
        found.iter().for_each(|finding| session.report(finding));
        if found.is_empty() {
            session.report("nothing was found");
        }
    }
    if found.iter().any(|finding| finding.level == Level::Problem) { Exit::No } else { Exit::Success }
}

fn real_server(role: &Role) -> Result<Vec<Finding>, Trouble> {
    let machine = gather::machine(real_server::asked(role)).map_err(unseen)?;
    Ok(sorted(real_server::judge(role, &machine)))
}

fn director(session: &mut Session<'_, '_>) -> Result<Vec<Finding>, Trouble> {
    session.progress("reading the director's table");
    let table = match session.director.table() {
        Ok(table) => table,
        Err(error @ Error::ModuleMissing) => return Ok(vec![director::no_ipvs(&error.to_string())]),
        Err(error) => return Err(Trouble::Kernel(error)),
    };
    session.progress("reading the rules of firewalls");
    let (rules, marks) =
        match Backend::detect(Owner::default()).and_then(|mut backend| check::look(&mut backend, Some(&table))) {
            Ok(looked) => (looked.rules, looked.wrong),
            Err(BackendError::Unavailable { .. }) => (Vec::new(), check::without_backend(&table)),
            // All the rest can still be looked at.
            Err(error) => (Vec::new(), vec![check::Wrong::Unread(error.to_string())]),
        };
    session.progress("looking at the network");
    let machine = gather::machine(director::asked(&table, &rules)).map_err(unseen)?;
    let director = Director { machine, table, schedulers: gather::schedulers(), rules, marks };
    Ok(sorted(director::judge(&director)))
}

/// Problems first.
fn sorted(mut found: Vec<Finding>) -> Vec<Finding> {
    found.sort_by_key(|finding| finding.level);
    found
}

fn unseen(error: std::io::Error) -> Trouble {
    Trouble::Other(format!("this machine's network can't be looked at: {error}"))
}
