//! The options of `conns`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use ipvs::proc::Connection;

use crate::arguments::number::whole;
use crate::change::args::ChangeArgs;
use crate::subcommands::entries::Wanted;
use crate::subcommands::entries::order::Sort;

const HELP: &str = "\
Exit status: 0 done; 1 the table or a file can't be read, or not all of it was
done; 2 wrong usage, or no access to IPVS.

Examples:
  ipvs-cli conns --service tcp:192.0.2.1:80 --state ESTABLISHED
  ipvs-cli conns --client 203.0.113.0/24 --sort expires --limit 20
  ipvs-cli conns --by server
  ipvs-cli conns --by client,server --limit 10
  ipvs-cli conns --save connections; ipvs-cli conns --load connections
  ssh peer ipvs-cli conns --save - | ipvs-cli conns --load -
  ipvs-cli conns --kill --client 203.0.113.9 --dry-run
  ipvs-cli conns --move-to 192.0.2.12 --server 192.0.2.11 --protocol udp";

#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Conns {
    #[command(flatten)]
    pub(super) wanted: Wanted,
    /// Sort by KEY instead of the kernel's order; takes memory for all that is
    /// shown, which --limit bounds. With --by, one of its keys
    #[arg(long, value_name = "KEY", conflicts_with = "count")]
    pub(super) sort: Option<Sort>,
    /// Reverse the order
    #[arg(long)]
    pub(super) reverse: bool,
    /// Show at most NUMBER
    #[arg(long, value_name = "NUMBER", conflicts_with = "count", allow_negative_numbers = true,
        value_parser = whole::<usize>(0, u32::MAX))]
    pub(super) limit: Option<usize>,
    /// Count by KEY, or by several at once (`client,server`), the most frequent
    /// first, with a total
    #[arg(long, value_name = "KEY", value_delimiter = ',')]
    pub(super) by: Vec<By>,
    /// Show only the number, including persistence templates
    #[arg(long, conflicts_with = "by")]
    pub(super) count: bool,
    /// Print as JSON, an object on each line
    #[arg(long)]
    pub(super) json: bool,
    /// Read a copy of /proc/net/ip_vs_conn; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(super) from: Option<PathBuf>,
    /// Save the table to FILE, or to standard output (`-`)
    #[arg(long, value_name = "FILE", conflicts_with_all = SHOWING, group = DEEDS)]
    pub(super) save: Option<PathBuf>,
    /// Load the entries that --save has saved; `-` is standard input
    ///
    /// Entries that the table has stay as they are.
    #[arg(long, value_name = "FILE", conflicts_with_all = SHOWING, group = DEEDS)]
    pub(super) load: Option<PathBuf>,
    /// Load entries whose service or real server is not here, too
    #[arg(long, requires = "load")]
    pub(super) unbound: bool,
    /// End these connections, and delete these templates
    #[arg(long, conflicts_with_all = SHOWING, group = DEEDS)]
    pub(super) kill: bool,
    /// Give these UDP flows another real server of their service: an address,
    /// or an address with a port
    #[arg(long, value_name = "SERVER", conflicts_with_all = SHOWING, group = DEEDS)]
    pub(super) move_to: Option<NewServer>,
    /// With --kill or --move-to: every entry
    #[arg(long, requires = DEEDS, conflicts_with_all = ["load", "save"])]
    pub(super) all: bool,
    /// Only show how many entries would be loaded, ended or moved
    #[arg(long, requires = DEEDS, conflicts_with = "save")]
    pub(super) dry_run: bool,
    /// Do not ask on a terminal before entries are ended or moved
    #[arg(long, requires = DEEDS)]
    pub(super) yes: bool,
    /// Wait for the end of standard input, then undo what a killed ipvs-cli left
    #[arg(long, hide = true)]
    pub(super) guard: bool,
    #[command(flatten)]
    pub(in crate::subcommands) common: ChangeArgs,
}

impl Conns {
    /// Does it change the kernel's table?
    pub(in crate::subcommands) fn is_change(&self) -> bool {
        !self.dry_run && (self.load.is_some() || self.kill || self.move_to.is_some())
    }

    /// By which of the keys groups are sorted; `None` without `--sort`.
    ///
    /// # Errors
    /// What is wrong with the keys.
    pub(super) fn grouping(&self) -> Result<Option<usize>, String> {
        if let Some(twice) = (1..self.by.len()).find(|at| self.by[..*at].contains(&self.by[*at])) {
            return Err(format!("--by has '{}' twice", self.by[twice].name()));
        }
        let Some(sort) = self.sort.filter(|_| !self.by.is_empty()) else { return Ok(None) };
        let of = |by: &By| match (sort, by) {
            (Sort::Client, By::Client) | (Sort::Service, By::Service) | (Sort::Server, By::Server) => true,
            (sort, by) => sort == Sort::State && *by == By::State,
        };
        let place = self.by.iter().position(of).ok_or_else(|| {
            let keys: Vec<_> = self.by.iter().map(|by| by.name()).collect();
            format!(
                "--sort must be one of the keys of --by, {}; without --sort the most frequent come first",
                keys.join(", ")
            )
        })?;
        Ok(Some(place))
    }
}

/// What is no listing.
const DEEDS: &str = "deeds";

/// The options of a listing.
const SHOWING: [&str; 7] = ["sort", "reverse", "limit", "by", "count", "json", "from"];

/// A real server for flows that have another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NewServer {
    address: IpAddr,
    /// `None`: that of the server that a flow has.
    port: Option<u16>,
}

impl NewServer {
    /// The server for this flow.
    pub(super) fn at(self, flow: &Connection) -> SocketAddr {
        SocketAddr::new(self.address, self.port.unwrap_or(flow.destination.port()))
    }
}

impl FromStr for NewServer {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse() {
            return Ok(NewServer { address, port: None });
        }
        let at: SocketAddr =
            text.parse().map_err(|_| "must be an address, with or without a port: 192.0.2.1, [2001:db8::1]:53")?;
        Ok(NewServer { address: at.ip(), port: Some(at.port()) })
    }
}

/// What connections may have in common.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Client,
    Service,
    Server,
    State,
    Protocol,
}

impl By {
    /// As it is written.
    pub(super) fn name(self) -> &'static str {
        match self {
            By::Client => "client",
            By::Service => "service",
            By::Server => "server",
            By::State => "state",
            By::Protocol => "protocol",
        }
    }
}
