//! What keeps sync daemons from receiving each other. Judges facts only, as `director`.

use std::net::{IpAddr, Ipv4Addr};

use ipvs::desired::Scope;
use ipvs::{Daemon, DaemonRole, Table};
use ipvs_text::escape::ShellCommand;

use super::director::{Director, destinations, virtual_addresses};
use super::machine::{LinkKind, Route, sysctl};
use crate::subcommands::findings::{Finding, Remedy};

pub(super) const BACKUP_ONLY: &str = "net/ipv4/vs/backup_only";
pub(super) const PERSIST_MODE: &str = "net/ipv4/vs/sync_persist_mode";
pub(super) const VERSION: &str = "net/ipv4/vs/sync_version";

/// The kernel's defaults.
const GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 81));
const PORT: u16 = 8848;
const TTL: u8 = 1;

/// The sync daemons of the other director.
///
/// # Errors
/// Its file does not have them.
pub(super) fn of_peer(table: &Table, scope: Scope) -> Result<Vec<Daemon>, &'static str> {
    if scope.master && scope.backup {
        Ok(table.daemons().to_vec())
    } else {
        Err("no sync daemons in it: `ipvs-cli show --toml --daemons` of the other director writes them")
    }
}

pub(super) fn judge(director: &Director) -> Vec<Finding> {
    let mut found = Vec::new();
    let daemons = director.table.daemons();
    found.extend(daemons.iter().filter_map(|daemon| interface(director, daemon)));
    found.extend(backup_only(director));
    if has(daemons, DaemonRole::Master).is_some() {
        found.extend(announcements(director));
    }
    if let Some(peer) = &director.peer {
        found.extend(pair(director, peer));
    }
    found
}

fn has(daemons: &[Daemon], role: DaemonRole) -> Option<&Daemon> {
    daemons.iter().find(|daemon| daemon.role == role)
}

fn interface(director: &Director, daemon: &Daemon) -> Option<Finding> {
    let Daemon { role, interface, .. } = daemon;
    let name = interface.to_string();
    let why = match role {
        DaemonRole::Master => "no other director learns the connections of this one",
        DaemonRole::Backup => "this director learns no connections, and cuts them when it takes over",
    };
    let link = director.machine.links.iter().find(|link| link.name == name);
    match link {
        None => {
            let what = format!("the {role} sync daemon uses the interface {name}, which this machine does not have");
            Some(Finding::problem("sync-interface", what, why))
        }
        Some(link) if !link.is_up => {
            let what = format!("the {role} sync daemon uses the interface {name}, which is down");
            let up = ShellCommand::new(["ip", "link", "set", "dev", &name, "up"]);
            Some(Finding::problem("sync-interface", what, why).mended_by(Remedy::LinkUp, [up]))
        }
        Some(link) if link.kind == LinkKind::Loopback => {
            let what = format!("the {role} sync daemon uses the loopback, which no other machine reaches");
            Some(Finding::hint("sync-interface", what, why))
        }
        Some(_) => None,
    }
}

/// Kernel: `sysctl_backup_only`, which counts only while a backup daemon runs.
fn backup_only(director: &Director) -> Option<Finding> {
    let Director { machine, table, .. } = director;
    if machine.settings.get(BACKUP_ONLY) != Some(1) {
        return None;
    }
    // With 0, two directors that are each other's real servers send packets to and fro.
    if destinations(table).any(|(_, ip, _)| *machine.route(ip, 0) == Route::Local) {
        let what = "net.ipv4.vs.backup_only is 1, and this director is a real server, too";
        let why = "while a backup sync daemon runs, this director forwards nothing, and takes what the other director \
            sends it for its own";
        return Some(Finding::hint("backup-only", what, why));
    }
    let is_here = virtual_addresses(table, &director.rules)
        .into_iter()
        .any(|(ip, mark)| *machine.route(ip, mark) == Route::Local);
    let is_backup = has(table.daemons(), DaemonRole::Backup).is_some();
    let finding = if is_here && is_backup {
        let what =
            "net.ipv4.vs.backup_only is 1 and a backup sync daemon runs, and a virtual address is on this machine";
        Finding::problem("backup-only", what, "this director forwards nothing: it takes what clients send for its own")
    } else {
        let what = "net.ipv4.vs.backup_only is 1";
        let why = "while a backup sync daemon runs, this director forwards nothing, so `ipvs-cli conns` refuses to load, end \
            or move connections. It is meant for directors that are real servers, too";
        Finding::hint("backup-only", what, why)
    };
    Some(finding.mended_by(Remedy::BackupOnlyOff, sysctl([(BACKUP_ONLY, 0)])))
}

/// Kernel: `ip_vs_sync_conn`, `ip_vs_sync_conn_needed`.
fn announcements(director: &Director) -> Vec<Finding> {
    let settings = &director.machine.settings;
    let is_persistent = director.table.services().any(|entry| entry.service().persistence.is_some());
    let is_of_templates_only = settings.get(PERSIST_MODE).is_some_and(|value| value != 0) && is_persistent;
    let mut found = Vec::new();
    if settings.get(VERSION) == Some(0) {
        let why = if is_of_templates_only {
            "the master sync daemon announces neither IPv6 nor marks, and with sync_persist_mode=1 no persistence templates \
             either: their clients get another real server when the backup takes over"
        } else {
            "the master sync daemon announces neither IPv6, nor marks, nor the data of persistence engines: such connections \
             and templates are lost when the backup takes over"
        };
        let finding = Finding::problem("sync-version", "net.ipv4.vs.sync_version is 0", why);
        found.push(finding.mended_by(Remedy::SyncVersion, sysctl([(VERSION, 1)])));
    }
    if is_of_templates_only {
        let what = "net.ipv4.vs.sync_persist_mode is 1, and there are persistent services";
        let why = "the master sync daemon announces their templates, but not their connections, which are cut when the \
            backup takes over";
        let finding = Finding::hint("sync-persist-mode", what, why);
        found.push(finding.mended_by(Remedy::SyncAll, sysctl([(PERSIST_MODE, 0)])));
    }
    found
}

/// Does each receive what the other one sends?
fn pair(director: &Director, peer: &[Daemon]) -> Vec<Finding> {
    let own = director.table.daemons();
    let is_backup_only = director.machine.settings.get(BACKUP_ONLY) == Some(1);
    let [master, backup] = [DaemonRole::Master, DaemonRole::Backup];
    let mut found = Vec::new();
    if [own, peer].iter().all(|daemons| has(daemons, master).is_none()) {
        let what = "neither this director nor the other one has a master sync daemon";
        let why = "no connection is announced: all are cut when the other director takes over";
        found.push(Finding::problem("sync-one-sided", what, why));
    }
    for (sender, receiver, own, is_sender) in
        [(has(own, master), has(peer, backup), own, true), (has(peer, master), has(own, backup), own, false)]
    {
        match (sender, receiver) {
            (None, _) => {}
            (Some(sender), None) => found.push(one_sided(sender, own, is_sender, is_backup_only)),
            (Some(sender), Some(receiver)) => found.extend(unheard(sender, receiver, is_sender)),
        }
    }
    found
}

fn one_sided(sender: &Daemon, own: &[Daemon], is_sender: bool, is_backup_only: bool) -> Finding {
    let (here, there) = if is_sender { ("this", "the other") } else { ("the other", "this") };
    let what =
        format!("{here} director has a master sync daemon, and {there} one has no backup sync daemon that receives it");
    let why = format!("{there} director does not learn the connections, and cuts them when it takes over");
    let finding = Finding::problem("sync-one-sided", what, why);
    // With backup_only, a backup daemon would end all forwarding here.
    if is_sender || is_backup_only {
        return finding;
    }
    let mut missing = *sender;
    missing.role = DaemonRole::Backup;
    // The name of the other machine's interface says little if this one's master has another.
    missing.interface = has(own, DaemonRole::Master).map_or(sender.interface, |daemon| daemon.interface);
    finding.mended_by(Remedy::StartDaemon, [start(&missing)])
}

fn unheard(sender: &Daemon, receiver: &Daemon, is_sender: bool) -> Vec<Finding> {
    let (own, other) = if is_sender { (sender, receiver) } else { (receiver, sender) };
    let mut found = Vec::new();
    let mut differ = |id, what: String, why| {
        // What runs here is made as what runs there.
        let stop = ShellCommand::new(["ipvsadm".to_owned(), "--stop-daemon".to_owned(), own.role.to_string()]);
        let mut same = *other;
        (same.role, same.interface) = (own.role, own.interface);
        found.push(Finding::problem(id, what, why).mended_by(Remedy::RestartDaemon, [stop, start(&same)]));
    };
    let group =
        |daemon: &Daemon| format!("group {} port {}", daemon.group.unwrap_or(GROUP), daemon.port.unwrap_or(PORT));
    let (role, other_role) = (own.role, other.role);
    if group(own) != group(other) {
        let what = format!(
            "the {role} sync daemon has {}, and the other director's {other_role} {}",
            group(own),
            group(other)
        );
        differ("sync-group", what, "the backup receives nothing");
    }
    // A message has eight bits for it.
    if receiver.sync_id != 0 && receiver.sync_id != sender.sync_id & 0xff {
        let what = format!(
            "the {role} sync daemon has sync id {}, and the other director's {other_role} {}",
            own.sync_id, other.sync_id
        );
        differ("sync-id", what, "the backup ignores messages of another sync id, unless its own is 0");
    }
    if let (Some(sent), Some(received)) = (sender.max_len, receiver.max_len)
        && sent > received
    {
        let what =
            format!("the master sync daemon sends messages of up to {sent} bytes, and the backup reads {received}");
        differ(
            "sync-maxlen",
            what,
            "the backup drops longer messages, so what is announced on a busy director is lost",
        );
    }
    if own.interface != other.interface {
        let what = format!(
            "the {role} sync daemon uses {}, and the other director's {other_role} {}",
            own.interface, other.interface
        );
        let why = "both must be in the same network, as messages pass no router";
        found.push(Finding::hint("sync-network", what, why));
    }
    found
}

/// The command that starts it.
fn start(daemon: &Daemon) -> ShellCommand {
    let Daemon { role, interface, sync_id, max_len, group, port, ttl, .. } = daemon;
    let mut words = ["ipvsadm", "--start-daemon"].map(Vec::from).to_vec();
    words.extend([role.to_string().into(), b"--mcast-interface".to_vec(), interface.as_bytes().to_vec()]);
    let mut option = |name: &str, value: Option<String>| {
        words.extend(value.into_iter().flat_map(|value| [name.as_bytes().to_vec(), value.into_bytes()]));
    };
    option("--syncid", Some(sync_id.to_string()));
    option("--sync-maxlen", max_len.map(|value| value.to_string()));
    option("--mcast-group", group.filter(|value| *value != GROUP).map(|value| value.to_string()));
    option("--mcast-port", port.filter(|value| *value != PORT).map(|value| value.to_string()));
    option("--mcast-ttl", ttl.filter(|value| *value != TTL).map(|value| value.to_string()));
    ShellCommand::new(words)
}
