//! The options of `metrics`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::Args;

const HELP: &str = "\
Exit status: 0 written; 1 FILE can't be written, or ADDRESS not be used; 2
wrong usage, or no access to IPVS.

Examples:
  ipvs-cli metrics --destinations
  ipvs-cli metrics --output /var/lib/node_exporter/ipvs.prom
  ipvs-cli metrics --listen 192.0.2.1:9875";

#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Metrics {
    /// Add destinations: 11 time series for each, beside the 6 of a service
    #[arg(long)]
    pub(super) destinations: bool,
    /// Add connections by protocol and state: reads the connection table
    #[arg(long)]
    pub(super) connections: bool,
    /// Write to FILE as a whole, for node_exporter's textfile collector
    #[arg(long, value_name = "FILE", conflicts_with = "listen")]
    pub(super) output: Option<PathBuf>,
    /// Serve http://ADDRESS/metrics: an address with a port, or a port, which
    /// then only this machine can reach
    #[arg(long, value_name = "ADDRESS", value_parser = listen_at)]
    pub(super) listen: Option<SocketAddr>,
}

/// Without addresses, only this machine may ask.
fn listen_at(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').unwrap_or(text).parse();
    let loopback = port.map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)).ok();
    loopback
        .or_else(|| text.parse().ok())
        .ok_or_else(|| "must be an address with a port, such as 192.0.2.1:9875, or a port".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_of_this_machine_alone() {
        for (text, at) in [
            ("9875", "127.0.0.1:9875"),
            (":9875", "127.0.0.1:9875"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("[::1]:9875", "[::1]:9875"),
        ] {
            assert_eq!(listen_at(text).unwrap().to_string(), at);
        }
        for text in ["", "x", "192.0.2.1", "70000", "localhost:9875"] {
            assert!(listen_at(text).is_err(), "{text}");
        }
    }
}
