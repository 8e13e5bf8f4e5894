//! The list `daemons`.

use std::net::IpAddr;

use super::Reader;
use super::fields::{Fields, Found, Keys};
use super::service::named;
use crate::command::Command;
use crate::daemon::{Daemon, DaemonRole};
use crate::desired::tree::{Kind, Value};
use crate::name::InterfaceName;

/// The keys of a sync daemon.
pub(in crate::desired) const KEYS: Keys = Keys {
    what: "a sync daemon",
    names: &["role", "interface", "sync_id", "group", "port", "ttl", "max_len"],
    others: &[("mcast_interface", "interface"), ("mcast_group", "group"), ("state", "role"), ("maxlen", "max_len")],
};

impl Reader<'_> {
    /// The list says which daemons run: those that are not in it don't.
    pub(super) fn daemon_list(&mut self, value: Value<'_>) {
        let Kind::List(values) = value.kind else {
            return self.notes.problem(value.at, format!("'daemons' must be a list, not {}", value.kind.found()));
        };
        for role in [DaemonRole::Master, DaemonRole::Backup] {
            self.scope.add_daemon(role);
        }
        for value in values {
            let Some(mut fields) = Fields::of(value, &KEYS, &mut self.notes) else { continue };
            let Some(daemon) = self.daemon(&mut fields) else { continue };
            if let Some((_, first)) = self.daemons.iter().find(|(role, _)| *role == daemon.role) {
                self.twice(fields.at, &format!("the sync daemon {}", daemon.role), *first);
            }
            self.daemons.push((daemon.role, fields.at));
            self.command(fields.at, Command::StartDaemon(daemon));
        }
    }

    pub(in crate::desired) fn daemon(&mut self, fields: &mut Fields<'_>) -> Option<Daemon> {
        fields.require("role", "\"master\" or \"backup\"", &mut self.notes);
        fields.require("interface", "the network interface that it uses, such as \"eth0\"", &mut self.notes);
        let role = fields.word("role", &["master", "backup"], &[("slave", "backup")], &mut self.notes);
        let is = "the name of a network interface, such as \"eth0\": 1 to 15 bytes";
        let interface = fields.text("interface", &mut self.notes, is, |name| named(name, InterfaceName::new));
        let sync_id: Option<Found<u32>> = fields.integer("sync_id", 0..=u32::MAX, "", &mut self.notes);
        if let Some(Found { at, value }) = sync_id.filter(|found| found.value > 255) {
            self.notes
                .warn(at, format!("only eight bits of 'sync_id' are sent: {value} is the same as {}", value & 255));
        }
        // A kernel may say 0 for its default.
        let (is_of_kernel, least) = (self.is_of_kernel, u8::from(!self.is_of_kernel));
        let group = fields.text("group", &mut self.notes, "a multicast address, such as \"224.0.0.81\"", |text| {
            text.parse().ok().filter(|group: &IpAddr| group.is_multicast() || is_of_kernel)
        });
        let port: Option<Found<u16>> = fields.integer("port", least.into()..=u16::MAX, "", &mut self.notes);
        let ttl: Option<Found<u8>> = fields.integer("ttl", least..=u8::MAX, "", &mut self.notes);
        let max_len: Option<Found<u16>> =
            fields.integer("max_len", least.into()..=u16::MAX, " (bytes)", &mut self.notes);
        let role = match role?.value {
            "master" => DaemonRole::Master,
            _ => DaemonRole::Backup,
        };
        Some(Daemon {
            sync_id: sync_id.map_or(0, |found| found.value),
            group: group.map(|found| found.value),
            port: port.map(|found| found.value),
            ttl: ttl.map(|found| found.value),
            max_len: max_len.map(|found| found.value),
            ..Daemon::new(role, interface?.value)
        })
    }
}
