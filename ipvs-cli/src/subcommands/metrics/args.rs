//! The options of `metrics`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::http::listen_at;

const HELP: &str = "\
Exit status: 0 written; 1 FILE can't be written, or ADDRESS is in use; 2
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
