//! The settings that decide which clients still reach a server of weight 0.

use std::fs;
use std::path::Path;

use ipvs::{Persistence, Protocol, ServiceKey};

use super::Target;

/// As this network namespace has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    /// Clients of a persistent service don't come back.
    pub(super) expire_quiescent_template: bool,
    /// A client that uses a port again counts as a new one, at least if its old connection is over.
    pub(super) ports_count_as_new: bool,
}

impl Settings {
    /// The kernel's defaults where it can't be asked.
    pub(super) fn read(proc: Option<&Path>) -> Self {
        let is_set = |name: &str, default: bool| {
            let text = proc.and_then(|proc| fs::read_to_string(proc.join("sys/net/ipv4/vs").join(name)).ok());
            text.map_or(default, |text| text.trim() != "0")
        };
        Settings {
            expire_quiescent_template: is_set("expire_quiescent_template", false),
            ports_count_as_new: is_set("conn_reuse_mode", true) || is_set("expire_nodest_conn", false),
        }
    }

    /// Why it may take long: a sentence for each reason.
    pub(super) fn notes(self, targets: &[Target], udp_timeout: Option<u32>) -> Vec<String> {
        let mut notes = Vec::new();
        let persistence = targets.iter().filter_map(|target| target.persistence).map(Persistence::seconds).max();
        if let Some(seconds) = persistence.filter(|_| !self.expire_quiescent_template) {
            notes.push(format!(
                "the service is persistent: clients that it knows still come, and are waited for until {seconds} s after their \
                 last connection; --kill-after ends what is left at this server alone; sysctl \
                 net.ipv4.vs.expire_quiescent_template=1 sends them elsewhere, and does so in all services"
            ));
        }
        let is_udp =
            |target: &Target| matches!(target.drain.service(), ServiceKey::Address { protocol: Protocol::UDP, .. });
        if targets.iter().any(|target| is_udp(target) && !target.in_use.is_unused()) {
            let ends =
                udp_timeout.map_or_else(String::new, |seconds| format!(", and ends {seconds} s after its last packet"));
            notes.push(format!("UDP: a client that keeps its port keeps its server{ends}; --timeout bounds it"));
        }
        if !self.ports_count_as_new {
            notes.push(
                "a client that uses a port again stays with its server; --kill-after ends what is left at this server \
                 alone; sysctl net.ipv4.vs.conn_reuse_mode=1 sends it elsewhere, and does so in all services"
                    .to_owned(),
            );
        }
        notes
    }
}
