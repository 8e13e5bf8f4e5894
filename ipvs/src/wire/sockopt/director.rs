//! What is of the whole director: `struct ip_vs_getinfo`, `ip_vs_timeout_user`, and two of
//! `ip_vs_daemon_user`.

use byteorder::{ByteOrder, NativeEndian};

use super::{blank, name};
use crate::daemon::{Daemon, DaemonRole};
use crate::info::{Info, Version};
use crate::name::InterfaceName;
use crate::timeouts::Timeouts;

mod information {
    pub(super) const VERSION_0: usize = 0;
    pub(super) const CONNECTION_TABLE_4: usize = 4;
    /// How many services of IPv4 there are.
    pub(super) const SERVICES_8: usize = 8;
    pub(super) const SIZE: usize = 12;
}

mod timeout {
    pub(super) const TCP_0: usize = 0;
    pub(super) const TCP_FIN_4: usize = 4;
    pub(super) const UDP_8: usize = 8;
    pub(super) const SIZE: usize = 12;
}

mod daemon {
    pub(super) const STATE_0: usize = 0;
    pub(super) const INTERFACE_4: usize = 4;
    pub(super) const SYNC_ID_20: usize = 20;
    pub(super) const SIZE: usize = 24;
}

/// One for each role, master first; of one that does not run, all is 0.
const DAEMONS: [(DaemonRole, u32); 2] = [(DaemonRole::Master, 1), (DaemonRole::Backup, 2)];

pub(crate) fn ask_info(buffer: &mut Vec<u8>) {
    blank(buffer, information::SIZE);
}

/// Version and size, and how many services of IPv4 there are.
pub(crate) fn info(reply: &[u8]) -> Option<(Info, usize)> {
    let number = |at: usize| reply.get(at..at + 4).map(NativeEndian::read_u32);
    let info = Info {
        version: Version::from_code(number(information::VERSION_0)?),
        connection_table_size: number(information::CONNECTION_TABLE_4)?,
    };
    Some((info, usize::try_from(number(information::SERVICES_8)?).ok()?))
}

/// For the in-memory kernel.
pub(crate) fn put_info(buffer: &mut [u8], info: Info, services: usize) {
    NativeEndian::write_u32(&mut buffer[information::VERSION_0..], info.version.code());
    NativeEndian::write_u32(&mut buffer[information::CONNECTION_TABLE_4..], info.connection_table_size);
    NativeEndian::write_u32(&mut buffer[information::SERVICES_8..], services as u32);
}

pub(crate) fn ask_timeouts(buffer: &mut Vec<u8>) {
    blank(buffer, timeout::SIZE);
}

/// The timeouts; those of a protocol that the kernel was built without are 0 here.
pub(crate) fn timeouts(reply: &[u8]) -> Option<Timeouts> {
    let seconds = |at: usize| {
        let seconds = reply.get(at..at + 4).map(NativeEndian::read_u32)?;
        Some((seconds != 0).then_some(seconds))
    };
    Some(Timeouts {
        tcp: seconds(timeout::TCP_0)?,
        tcp_fin: seconds(timeout::TCP_FIN_4)?,
        udp: seconds(timeout::UDP_8)?,
    })
}

/// For the in-memory kernel.
pub(crate) fn put_timeouts(buffer: &mut [u8], timeouts: &Timeouts) {
    let all = [(timeout::TCP_0, timeouts.tcp), (timeout::TCP_FIN_4, timeouts.tcp_fin), (timeout::UDP_8, timeouts.udp)];
    for (at, seconds) in all {
        NativeEndian::write_u32(&mut buffer[at..], seconds.unwrap_or(0));
    }
}

pub(crate) fn ask_daemons(buffer: &mut Vec<u8>) {
    blank(buffer, DAEMONS.len() * daemon::SIZE);
}

/// The sync daemons that run, master first: role, interface and sync id, and nothing else.
pub(crate) fn daemons(reply: &[u8]) -> Option<Vec<Daemon>> {
    let mut all = Vec::new();
    for (at, (role, state)) in DAEMONS.into_iter().enumerate() {
        let entry = reply.get(at * daemon::SIZE..(at + 1) * daemon::SIZE)?;
        if NativeEndian::read_u32(&entry[daemon::STATE_0..]) != state {
            continue;
        }
        let interface = InterfaceName::new(name(&entry[daemon::INTERFACE_4..daemon::SYNC_ID_20])).ok()?;
        all.push(Daemon {
            sync_id: NativeEndian::read_u32(&entry[daemon::SYNC_ID_20..]),
            ..Daemon::new(role, interface)
        });
    }
    Some(all)
}

/// For the in-memory kernel.
pub(crate) fn put_daemons(buffer: &mut [u8], running: &[Daemon]) {
    for (entry, (role, state)) in buffer.chunks_exact_mut(daemon::SIZE).zip(DAEMONS) {
        let Some(runs) = running.iter().find(|runs| runs.role == role) else { continue };
        let interface = runs.interface.as_bytes();
        NativeEndian::write_u32(&mut entry[daemon::STATE_0..], state);
        entry[daemon::INTERFACE_4..][..interface.len()].copy_from_slice(interface);
        NativeEndian::write_u32(&mut entry[daemon::SYNC_ID_20..], runs.sync_id);
    }
}

/// Is it as long as the reply to this will be?
pub(super) fn is_whole(option: i32, question: &[u8]) -> bool {
    question.len()
        == match option {
            super::GET_INFO => information::SIZE,
            super::GET_TIMEOUTS => timeout::SIZE,
            _ => DAEMONS.len() * daemon::SIZE,
        }
}
