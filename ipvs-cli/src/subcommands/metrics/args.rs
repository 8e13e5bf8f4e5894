//! The options of `metrics`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::http::listen_at;

const HELP: &str = "\
Files and standard output have Prometheus' classic text format; scrapers that
ask for OpenMetrics get that. With --netns, which is repeatable, each series has
a label `netns`. The port of --listen is in the namespace of the caller.

Exit status: 0 written; 1 FILE can't be written, ADDRESS is in use, or one of
several namespaces can't be read; 2 wrong usage, or no access to IPVS.

Examples:
  ipvs-cli metrics --destinations
  ipvs-cli metrics --output /var/lib/prometheus/node-exporter/ipvs.prom
  ipvs-cli metrics --listen 192.0.2.1:9875
  ipvs-cli metrics --netns blue --netns green --listen 9875";

#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Metrics {
    /// Add destinations: 11 time series for each, beside the 8 of a service
    #[arg(long)]
    pub(super) destinations: bool,
    /// Add connections by protocol and state: reads the connection table
    #[arg(long)]
    pub(super) connections: bool,
    /// Replace FILE in one step, for node_exporter's textfile collector
    #[arg(long, value_name = "FILE", conflicts_with = "listen")]
    pub(super) output: Option<PathBuf>,
    /// Serve http://ADDRESS/metrics: an address with a port, or a port, which
    /// then only this machine can reach
    #[arg(long, value_name = "ADDRESS", value_parser = listen_at)]
    pub(super) listen: Option<SocketAddr>,
}
