//! The sync daemons (`-L --daemon`).

use std::io::{self, Write};

use ipvs::{Daemon, DaemonRole};

use super::address::numeric;
use super::number::decimal;

/// Writes a line for each daemon.
pub fn list(out: &mut dyn Write, daemons: &[Daemon]) -> io::Result<()> {
    let mut text = Vec::new();
    for daemon in daemons {
        line(&mut text, daemon);
    }
    out.write_all(&text)
}

fn line(line: &mut Vec<u8>, daemon: &Daemon) {
    line.extend_from_slice(match daemon.role {
        DaemonRole::Master => b"master sync daemon (mcast=",
        DaemonRole::Backup => b"backup sync daemon (mcast=",
    });
    line.extend_from_slice(daemon.interface.as_bytes());
    line.extend_from_slice(b", syncid=");
    decimal(line, daemon.sync_id);
    number(line, b", maxlen=", daemon.max_len);
    if let Some(group) = daemon.group {
        line.extend_from_slice(b", group=");
        numeric(line, group);
    }
    number(line, b", port=", daemon.port);
    number(line, b", ttl=", daemon.ttl.map(u16::from));
    line.extend_from_slice(b")\n");
}

/// Only what is known, and not 0.
fn number(line: &mut Vec<u8>, title: &[u8], number: Option<u16>) {
    if let Some(number) = number.filter(|&number| number != 0) {
        line.extend_from_slice(title);
        decimal(line, number);
    }
}

#[cfg(test)]
mod tests {
    use ipvs::InterfaceName;

    use super::*;
    use crate::render::samples::text;

    fn lo(role: DaemonRole) -> Daemon {
        Daemon::new(role, InterfaceName::new("lo").unwrap())
    }

    /// Recorded from ipvsadm 1.31.
    #[test]
    fn both_daemons_have_a_line() {
        let master = lo(DaemonRole::Master)
            .with_max_len(1472)
            .with_group(std::net::IpAddr::from([224, 0, 0, 81]))
            .with_port(8848)
            .with_ttl(1);
        let group = "ff05::1:2".parse::<std::net::IpAddr>().unwrap();
        let backup = lo(DaemonRole::Backup).with_sync_id(7).with_max_len(65487).with_group(group);
        let backup = backup.with_port(8848).with_ttl(1);
        assert_eq!(
            text(|out| list(out, &[master, backup]).unwrap()),
            "master sync daemon (mcast=lo, syncid=0, maxlen=1472, group=224.0.0.81, port=8848, ttl=1)
backup sync daemon (mcast=lo, syncid=7, maxlen=65487, group=ff05::1:2, port=8848, ttl=1)\n"
        );
    }

    #[test]
    fn unknown_values_are_left_out() {
        let daemon = lo(DaemonRole::Backup).with_port(0);
        assert_eq!(text(|out| list(out, &[daemon]).unwrap()), "backup sync daemon (mcast=lo, syncid=0)\n");
        assert_eq!(text(|out| list(out, &[]).unwrap()), "");
    }
}
