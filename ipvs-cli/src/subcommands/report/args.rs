//! The options of `report`.

use std::path::PathBuf;

use clap::Args;

const HELP: &str = "\
FILE has the table with its counters, connections by state and by server,
settings of the kernel, modules, interfaces, addresses, routes, neighbours,
firewall rules, findings of `doctor`, owners, versions, and the journal of
ipvs-cli and ipvs-follow. Its file README names what could not be read.

With --anonymize an address has the same pseudonym in all files, and addresses
in one network get pseudonyms in one network. The first 8 bits of IPv4 and 16 of
IPv6 stay, and so do loopback, link-local and multicast prefixes. Ports and the
names of interfaces, owners and programs are not replaced.

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
    /// Replace addresses, MAC addresses and the host's name by pseudonyms
    #[arg(long)]
    pub(super) anonymize: bool,
}
