//! The way to netlink's datagrams: an nlmon device, a packet socket on it, and a socket for
//! announcements about families.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, SystemTime};

use netlink_sys::protocols::{NETLINK_GENERIC, NETLINK_ROUTE};
use netlink_sys::{Socket, SocketAddr};
use rustix::net::sockopt::{Timeout, set_socket_recv_buffer_size_force, set_socket_timeout, socket_error};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socket_with};

use super::error::{DeviceFault, MonitorError};
use super::filter::{self, GENERIC, MESSAGES, nothing, program};
use super::socket::{attach, bind, sent};
use crate::errno::Errno;
use crate::getsockopt::getsockopt;
use crate::name::InterfaceName;
use crate::wire::{self, Body, Link, NLMON};

/// What devices of monitors are called, before the process id.
const PREFIX: &str = "ipvsmon";
/// The longest name of an interface.
const NAME_LENGTH: usize = 15;
/// Room for about 25,000 packets of one request, so that the monitor may pause for a reading of a
/// large table.
const BUFFER: usize = 32 << 20;
/// Longer than all that the filter passes of real programs.
const PACKET: usize = 256 << 10;
/// How many packets are taken before events are reported.
const BURST: usize = 256;
/// The multicast group "notify" of the controller of generic netlink.
const NOTIFY: u32 = 0x10;
/// How long the kernel may take to answer a request about devices: it may load a module first.
const DEADLINE: Duration = Duration::from_secs(10);
/// A new device gets its socket within microseconds.
const SETTLING: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Tap {
    packets: OwnedFd,
    announcements: Socket,
    /// Dropped last: the device goes when the sockets are gone.
    _device: Option<Device>,
    has_gate: bool,
    buffer: Vec<u8>,
}

/// A device that was made, and is removed again.
#[derive(Debug)]
struct Device {
    routes: Routes,
    index: u32,
}

impl Drop for Device {
    fn drop(&mut self) {
        // The next monitor finds what is left.
        let _ = self.routes.delete(self.index);
    }
}

/// Announcements about families, which are to be heard before the family is asked for.
pub(super) fn announcements() -> Result<Socket, MonitorError> {
    let open = || -> io::Result<Socket> {
        let mut socket = Socket::new(NETLINK_GENERIC)?;
        socket.bind_auto()?;
        // Nobody but the kernel is received from then.
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.add_membership(NOTIFY)?;
        socket.set_non_blocking(true)?;
        Ok(socket)
    };
    open().map_err(|error| MonitorError::io("open a socket of generic netlink", error))
}

impl Tap {
    /// Makes a device, or uses that of this name, and receives what concerns the family.
    pub(super) fn open(
        device: Option<InterfaceName>,
        announcements: Socket,
        family: u16,
        replies: bool,
    ) -> Result<Self, MonitorError> {
        let packets = socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None)
            .map_err(|error| MonitorError::privileged("open a packet socket", error.into()))?;
        // A smaller buffer only loses more, which is reported.
        let _ = set_socket_recv_buffer_size_force(&packets, BUFFER);
        attach_filter(packets.as_fd(), family, replies)?;
        let routes = || Routes::open().map_err(|error| MonitorError::io("open a socket of rtnetlink", error));
        let bind = |index| {
            bind(packets.as_fd(), index).map_err(|error| match error.raw_os_error().map(Errno::new) {
                Some(Errno::ENODEV) => MonitorError::DeviceGone,
                _ => MonitorError::io("bind the packet socket", error),
            })
        };
        let (has_gate, device) = match device {
            // It may be in use by other programs, so nothing is changed.
            Some(name) => {
                bind(routes()?.existing(name)?)?;
                (false, None)
            }
            None => {
                routes()?.remove_left_over();
                // A device with a packet socket is not left over. The socket remembers that the
                // device was down.
                let mut device = again_if_gone(|| {
                    let mut routes = routes()?;
                    let index = routes.create()?;
                    let device = Device { routes, index };
                    bind(index).map(|()| device)
                })?;
                let index = device.index;
                let _ = socket_error(&packets);
                let _ = sent(packets.as_fd());
                let has_gate = device.routes.put_gate(index).is_ok();
                device
                    .routes
                    .set_up(index)
                    .map_err(|error| MonitorError::privileged("set an nlmon device up", error))?;
                (has_gate, Some(device))
            }
        };
        Ok(Tap { packets, announcements, _device: device, has_gate, buffer: vec![0; PACKET] })
    }

    /// Are datagrams dropped that only look as if the kernel had sent them?
    pub(super) fn has_gate(&self) -> bool {
        self.has_gate
    }

    /// Receives what concerns this family from now on, and nothing if it is 0.
    pub(super) fn watch(&mut self, family: u16, replies: bool) -> Result<(), MonitorError> {
        attach_filter(self.packets.as_fd(), family, replies)
    }

    /// Takes packets that have come, with how many were before each, and when it was sent. Are
    /// there more?
    pub(super) fn packets(
        &mut self,
        mut take: impl FnMut(usize, Option<SystemTime>, &[u8]),
    ) -> Result<bool, MonitorError> {
        for place in 0..BURST {
            match recv(&self.packets, &mut self.buffer[..], RecvFlags::DONTWAIT) {
                Ok((length, _)) => take(place, sent(self.packets.as_fd()), &self.buffer[..length]),
                Err(rustix::io::Errno::AGAIN) => return Ok(false),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::NETDOWN | rustix::io::Errno::NODEV | rustix::io::Errno::NXIO) => {
                    return Err(MonitorError::DeviceGone);
                }
                Err(error) => return Err(MonitorError::io("receive packets", error.into())),
            }
        }
        Ok(true)
    }

    /// Takes the next announcement about families, if there is one.
    pub(super) fn announcement(&mut self) -> Result<Option<Vec<u8>>, MonitorError> {
        let mut datagram = Vec::with_capacity(32 << 10);
        match self.announcements.recv(&mut datagram, 0) {
            Ok(_) => Ok(Some(datagram)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(MonitorError::io("receive announcements about netlink families", error)),
        }
    }

    /// How many packets were dropped since the last call.
    pub(super) fn dropped(&self) -> u32 {
        // `struct tpacket_stats`: packets, drops.
        let mut statistics = [0; 8];
        let read = getsockopt(self.packets.as_fd(), libc::SOL_PACKET, libc::PACKET_STATISTICS, &mut statistics);
        let [_, _, _, _, drops @ ..] = statistics;
        read.map_or(0, |()| u32::from_ne_bytes(drops))
    }

    /// What becomes readable when something has come.
    pub(super) fn sources(&self) -> [BorrowedFd<'_>; 2] {
        [self.packets.as_fd(), self.announcements.as_fd()]
    }
}

/// Another monitor may take a device for a left-over and remove it, if this one pauses before it
/// has bound its socket.
fn again_if_gone<D>(mut attempt: impl FnMut() -> Result<D, MonitorError>) -> Result<D, MonitorError> {
    match attempt() {
        Err(MonitorError::DeviceGone) => attempt(),
        made => made,
    }
}

/// Has the socket receive nothing but what concerns the family.
fn attach_filter(socket: BorrowedFd<'_>, family: u16, replies: bool) -> Result<(), MonitorError> {
    // There is not always memory for two programs, and never may there be none.
    let attached = attach(socket, &nothing()).and_then(|()| {
        if family == 0 {
            // The number of a family that is gone may become another's.
            return Ok(());
        }
        let mut messages = MESSAGES;
        loop {
            match attach(socket, &program(GENERIC, family, replies, messages)) {
                // An administrator may allow less memory. What is not followed then is reported as
                // lost.
                Err(error) if error.raw_os_error() == Some(Errno::ENOMEM.raw()) && messages > 1 => messages /= 2,
                attached => return attached,
            }
        }
    });
    attached.map_err(|error| MonitorError::io("attach a filter to the packet socket", error))
}

/// A conversation with the kernel about interfaces.
#[derive(Debug)]
struct Routes {
    socket: Socket,
    sequence: u32,
}

impl Routes {
    fn open() -> io::Result<Self> {
        let socket = Socket::new(NETLINK_ROUTE)?;
        socket.connect(&SocketAddr::new(0, 0))?;
        for way in [Timeout::Recv, Timeout::Send] {
            // Only bounds a lost reply.
            let _ = set_socket_timeout(&socket, way, Some(DEADLINE));
        }
        Ok(Routes { socket, sequence: 0 })
    }

    /// Sends a request, and receives its acknowledgement.
    fn ask(&mut self, write: impl FnOnce(&mut Vec<u8>, u32), mut take: impl FnMut(&[u8])) -> Result<(), io::Error> {
        self.sequence += 1;
        let mut request = Vec::new();
        write(&mut request, self.sequence);
        self.socket.send(&request, 0)?;
        loop {
            let mut reply = Vec::with_capacity(32 << 10);
            self.socket.recv(&mut reply, 0)?;
            for message in wire::messages(&reply) {
                let (header, body) = message.map_err(io::Error::other)?;
                match body {
                    _ if header.sequence != self.sequence => {}
                    Body::Family { attrs, .. } => take(attrs),
                    Body::Ack(0) | Body::Done(0) => return Ok(()),
                    Body::Ack(code) | Body::Done(code) => return Err(io::Error::from_raw_os_error(code)),
                }
            }
        }
    }

    fn links(&mut self) -> io::Result<Vec<Link>> {
        let mut links = Vec::new();
        self.ask(wire::encode_links, |bytes| links.extend(wire::decode_link(bytes)))?;
        Ok(links)
    }

    fn delete(&mut self, index: u32) -> io::Result<()> {
        self.ask(|out, sequence| wire::encode_delete_link(out, sequence, index), |_| {})
    }

    /// Has datagrams of generic netlink that can't be what they look like dropped on their way
    /// through the device.
    fn put_gate(&mut self, index: u32) -> io::Result<()> {
        let program = filter::gate();
        let length = u16::try_from(program.len()).map_err(io::Error::other)?;
        let program = filter::bytes(&program);
        self.ask(|out, sequence| wire::encode_new_clsact(out, sequence, index), |_| {})?;
        let generic = NETLINK_GENERIC as u16;
        self.ask(|out, sequence| wire::encode_new_filter(out, sequence, index, generic, (length, &program)), |_| {})
    }

    fn set_up(&mut self, index: u32) -> io::Result<()> {
        self.ask(|out, sequence| wire::encode_up(out, sequence, index), |_| {})
    }

    /// The device of this name, made by somebody else.
    fn existing(&mut self, name: InterfaceName) -> Result<u32, MonitorError> {
        let links = self.links().map_err(|error| MonitorError::io("list interfaces", error))?;
        let fault = match links.iter().find(|link| link.name == name.as_bytes()) {
            Some(link) if link.kind == NLMON && link.is_up => return Ok(link.index),
            Some(link) if link.kind == NLMON => DeviceFault::Down,
            Some(_) => DeviceFault::OtherKind,
            None => DeviceFault::Missing,
        };
        Err(MonitorError::Device { name, fault })
    }

    /// Makes a device of a name that nobody else has.
    fn create(&mut self) -> Result<u32, MonitorError> {
        let name = format!("{PREFIX}{}", std::process::id());
        let names = std::iter::once(name.clone()).chain(('a'..='z').map(|suffix| format!("{name}{suffix}")));
        for name in names.filter(|name| name.len() <= NAME_LENGTH) {
            match self.ask(|out, sequence| wire::encode_new_nlmon(out, sequence, name.as_bytes()), |_| {}) {
                Ok(()) => {
                    let links = self.links().map_err(|error| MonitorError::io("list interfaces", error))?;
                    let made = links.iter().find(|link| link.name == name.as_bytes());
                    return made.map(|link| link.index).ok_or(MonitorError::DeviceGone);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) if error.raw_os_error() == Some(Errno::EOPNOTSUPP.raw()) => {
                    return Err(MonitorError::NlmonMissing);
                }
                Err(error) => return Err(MonitorError::privileged("make an nlmon device", error)),
            }
        }
        Err(MonitorError::io("make an nlmon device", io::ErrorKind::AlreadyExists.into()))
    }

    /// Removes devices of monitors that were killed. A device in use has a packet socket; process
    /// ids prove nothing, since the monitor may be in another PID namespace.
    fn remove_left_over(&mut self) {
        let Ok(links) = self.links() else { return };
        let mut left: Vec<u32> = links
            .iter()
            .filter(|link| link.kind == NLMON && is_of_monitor(&link.name))
            .map(|link| link.index)
            .collect();
        for pause in [Duration::ZERO, SETTLING] {
            if left.is_empty() {
                return;
            }
            std::thread::sleep(pause);
            let Ok(sockets) = fs::read_to_string("/proc/thread-self/net/packet") else { return };
            let used: Vec<u32> = interfaces_in_use(&sockets).collect();
            left.retain(|index| !used.contains(index));
        }
        for index in left {
            let _ = self.delete(index);
        }
    }
}

/// Is it a name that monitors give: the prefix, a process id, and perhaps a letter?
fn is_of_monitor(name: &[u8]) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX.as_bytes()) else { return false };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    digits > 0 && matches!(rest[digits..], [] | [b'a'..=b'z'])
}

/// The interfaces that packet sockets are bound to, in the text of `/proc/net/packet`.
fn interfaces_in_use(text: &str) -> impl Iterator<Item = u32> {
    text.lines().filter_map(|line| line.split_ascii_whitespace().nth(4)?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_monitors_are_left_over() {
        for name in ["ipvsmon1", "ipvsmon4194304", "ipvsmon4711c"] {
            assert!(is_of_monitor(name.as_bytes()), "{name}");
        }
        for name in ["ipvsmon", "ipvsmona", "ipvsmon1ab", "ipvsmon1-", "nlmon0", "ipvsmo1"] {
            assert!(!is_of_monitor(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn a_device_that_another_monitor_has_removed_is_made_again() {
        for (gone, is_made) in [(0, true), (1, true), (2, false)] {
            let mut attempts = 0..;
            let made = again_if_gone(|| match attempts.next() {
                Some(attempt) if attempt >= gone => Ok(()),
                _ => Err(MonitorError::DeviceGone),
            });
            assert_eq!(made.is_ok(), is_made, "{gone}");
        }
        let mut attempts = 0;
        let refused = again_if_gone(|| -> Result<(), _> {
            attempts += 1;
            Err(MonitorError::NlmonMissing)
        });
        assert!(matches!(refused, Err(MonitorError::NlmonMissing)) && attempts == 1);
    }

    #[test]
    fn an_interface_with_a_packet_socket_is_in_use() {
        let text = "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n\
            00000000beef 3      3    0003   7     1 0      0      5555\n\
            00000000beef 3      3    88cc   12    1 0      0      5556\n";
        assert_eq!(interfaces_in_use(text).collect::<Vec<_>>(), [7, 12]);
    }
}
