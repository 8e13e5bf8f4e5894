//! The options of `report`.

use std::path::PathBuf;

use clap::Args;

const HELP: &str = "\
FILE has the table with its counters, connections by state and by server,
settings of the kernel, modules, interfaces, addresses, routes, neighbours,
rules of the firewall, what `doctor` finds, owners, versions, and what ipvs-cli
wrote to the journal. Its file README says what could not be read.

With --anonymize each address, MAC address and the name of the host has another
one in all files. Addresses of one network stay in one network: the first 8 bits
of IPv4 and 16 of IPv6 stay as they are, and so do loopback, link-local and
multicast prefixes. Ports, names of interfaces, owners and programs stay.

Exit status: 0 written; 1 FILE can't be written; 2 wrong usage.

Examples:
  ipvs-cli report report.tar
  ipvs-cli report --anonymize report.tar";

#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(in crate::subcommands) struct Report {
    /// The file to write, an archive that `tar -xf` unpacks
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    /// Give each address, MAC address and the host's name another one
    #[arg(long)]
    pub(super) anonymize: bool,
}
