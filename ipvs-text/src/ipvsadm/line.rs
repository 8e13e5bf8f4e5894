//! The options of one line so far. `finish.rs` makes a command of them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;

use ipvs::{
    DaemonRole, Family, FirewallMark, InterfaceName, Persistence, PersistenceEngine, Protocol, Scheduler, ServiceKey,
    TunnelFlags, Weight,
};

use super::addresses::Addresses;
use super::grammar::Opt;
use super::rules::{Slot, Slots, Verb};
use super::usage::{Role, Usage};
use super::value;

/// The options of a line.
pub(super) struct Line {
    pub(super) verb: Verb,
    /// Of `--start-daemon` and `--stop-daemon`.
    pub(super) role: Option<DaemonRole>,
    /// What was given.
    pub(super) given: Slots,
    pub(super) service: Option<ServiceKey>,
    pub(super) scheduler: Option<Scheduler>,
    /// As given, because which flags there are depends on a scheduler that may come later.
    pub(super) scheduler_flags: Vec<u8>,
    pub(super) engine: Option<PersistenceEngine>,
    pub(super) persistence: Option<Persistence>,
    pub(super) mask_v4: Option<Ipv4Addr>,
    pub(super) mask_v6: Option<u32>,
    pub(super) server: Option<SocketAddr>,
    pub(super) method: Method,
    pub(super) tunnel: TunnelKind,
    pub(super) tunnel_port: Option<NonZeroU16>,
    pub(super) tunnel_flags: TunnelFlags,
    pub(super) weight: Weight,
    pub(super) upper_threshold: u32,
    pub(super) lower_threshold: u32,
    pub(super) interface: Option<InterfaceName>,
    pub(super) sync_id: u32,
    pub(super) sync_max_len: Option<u16>,
    pub(super) group: Option<IpAddr>,
    pub(super) group_port: Option<u16>,
    pub(super) ttl: Option<u8>,
}

/// `-g`, `-i`, `-m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    DirectRoute,
    Tunnel,
    Masquerade,
}

/// `--tun-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TunnelKind {
    Ipip,
    Gue,
    Gre,
}

/// The largest number that a C `int` holds.
const INT_MAX: u32 = i32::MAX as u32;
/// 31 days, in seconds: the longest timeout that ipvsadm takes.
pub const LONGEST_TIMEOUT: u32 = 31 * 24 * 60 * 60;

impl Line {
    /// A line with this command, and the command's value if it has one.
    pub(super) fn new(verb: Verb, value: Option<&[u8]>) -> Result<Self, Usage> {
        let role = value.and_then(value::role);
        match verb {
            Verb::StartDaemon if role.is_none() => return Err(Usage::Illegal("start-daemon parameter")),
            // Not the option's name, but what ipvsadm says.
            Verb::StopDaemon if role.is_none() => return Err(Usage::Illegal("start_daemon")),
            _ => {}
        }
        Ok(Line {
            verb,
            role,
            given: Slots::NONE,
            service: None,
            scheduler: None,
            scheduler_flags: Vec::new(),
            engine: None,
            persistence: None,
            mask_v4: None,
            mask_v6: None,
            server: None,
            method: Method::DirectRoute,
            tunnel: TunnelKind::Ipip,
            tunnel_port: None,
            tunnel_flags: TunnelFlags::empty(),
            weight: Weight::default(),
            upper_threshold: 0,
            lower_threshold: 0,
            interface: None,
            sync_id: 0,
            sync_max_len: None,
            group: None,
            group_port: None,
            ttl: None,
        })
    }

    /// Takes the next option of the line.
    pub(super) fn take(
        &mut self,
        opt: Opt,
        slot: Option<Slot>,
        value: Option<&[u8]>,
        addresses: &mut Addresses<'_>,
    ) -> Result<(), Usage> {
        if let Some(slot) = slot
            && !self.given.insert(slot)
        {
            return Err(Usage::Multiple(slot));
        }
        let text = value.unwrap_or_default();
        match opt {
            Opt::TcpService => self.take_service(text, Protocol::TCP, addresses)?,
            Opt::UdpService => self.take_service(text, Protocol::UDP, addresses)?,
            Opt::SctpService => self.take_service(text, Protocol::SCTP, addresses)?,
            Opt::MarkService => self.service = Some(ServiceKey::Mark { mark: mark(text)?, family: Family::V4 }),
            Opt::Ipv6 => self.make_ipv6()?,
            Opt::Scheduler => self.scheduler = fit(text, Scheduler::MAX_LEN, Scheduler::new),
            Opt::SchedulerFlags => self.scheduler_flags = text.to_owned(),
            Opt::PersistenceEngine => {
                self.engine = fit(text, PersistenceEngine::MAX_LEN, PersistenceEngine::new);
            }
            Opt::Persistent => self.persistence = Some(value.map_or(Ok(Persistence::default()), persistence)?),
            Opt::Netmask => self.take_netmask(text, addresses)?,
            Opt::RealServer => self.take_server(text, addresses)?,
            Opt::DirectRoute => self.method = Method::DirectRoute,
            Opt::Tunnel => self.method = Method::Tunnel,
            Opt::Masquerade => self.method = Method::Masquerade,
            Opt::TunType => self.tunnel = tunnel_kind(text).ok_or(Usage::Illegal("tunnel type"))?,
            Opt::TunPort => self.tunnel_port = NonZeroU16::new(small(text, 1, u16::MAX, "tunnel port")?),
            Opt::TunNoChecksum => self.tunnel_flags = TunnelFlags::empty(),
            Opt::TunChecksum => self.tunnel_flags = TunnelFlags::CHECKSUM,
            Opt::TunRemoteChecksum => self.tunnel_flags = TunnelFlags::REMOTE_CHECKSUM,
            Opt::Weight => self.weight = weight(text)?,
            Opt::UpperThreshold => self.upper_threshold = number(text, 0, INT_MAX, "u_threshold")?,
            Opt::LowerThreshold => self.lower_threshold = number(text, 0, INT_MAX, "l_threshold")?,
            Opt::McastInterface => {
                self.interface = fit(text, InterfaceName::MAX_LEN, InterfaceName::new);
            }
            Opt::SyncId => self.sync_id = number(text, 0, 255, "syncid")?,
            Opt::SyncMaxLen => self.sync_max_len = Some(small(text, 1, 65507, "sync-maxlen")?),
            Opt::McastGroup => self.group = Some(value::group(text)?),
            Opt::McastPort => self.group_port = Some(small(text, 1, u16::MAX, "mcast-port")?),
            Opt::McastTtl => self.ttl = Some(small(text, 1, u8::MAX, "mcast-ttl")?),
            // That they were given is all there is to know, and of `--sort` not even that.
            Opt::Connections | Opt::Timeouts | Opt::Daemons | Opt::Stats | Opt::Rate | Opt::Exact => {}
            Opt::Thresholds | Opt::PersistentConn | Opt::TunInfo | Opt::NoSort | Opt::Sort => {}
            Opt::OnePacket | Opt::Numeric => {}
        }
        Ok(())
    }

    fn take_service(&mut self, text: &[u8], protocol: Protocol, addresses: &mut Addresses<'_>) -> Result<(), Usage> {
        let (ip, port) =
            addresses.service(text, protocol).ok_or_else(|| Usage::Address(Role::Virtual, text.to_owned()))?;
        self.service = Some(ServiceKey::Address { protocol, at: SocketAddr::new(ip, port.unwrap_or(0)) });
        Ok(())
    }

    /// The port, and the protocol that its name belongs to, are those of the service given so far.
    fn take_server(&mut self, text: &[u8], addresses: &mut Addresses<'_>) -> Result<(), Usage> {
        let (protocol, service_port) = match self.service {
            Some(ServiceKey::Address { protocol, at }) => (Some(protocol), at.port()),
            Some(ServiceKey::Mark { .. }) => (Some(Protocol::TCP), 0),
            None => (None, 0),
        };
        let (ip, port) = addresses.server(text, protocol).ok_or_else(|| Usage::Address(Role::Real, text.to_owned()))?;
        self.server = Some(SocketAddr::new(ip, port.unwrap_or(service_port)));
        Ok(())
    }

    /// `-6`: the firewall mark given before is one of IPv6 packets. A mask given before is
    /// forgotten.
    fn make_ipv6(&mut self) -> Result<(), Usage> {
        match &mut self.service {
            Some(ServiceKey::Mark { family, .. }) => *family = Family::V6,
            _ => return Err(Usage::Ipv6BeforeMark),
        }
        self.mask_v6 = None;
        Ok(())
    }

    /// What a mask is depends on the service given so far. One of the other family than the service
    /// is forgotten.
    fn take_netmask(&mut self, text: &[u8], addresses: &mut Addresses<'_>) -> Result<(), Usage> {
        if self.service.is_some_and(|key| key.family() == Family::V6) {
            let prefix = value::mask_v6(text).ok_or(Usage::Illegal("ipv6 netmask"))?;
            self.mask_v6 = Some(prefix);
        } else {
            let mask =
                value::ipv4_host(text, addresses.names).ok_or(Usage::Illegal("virtual server persistent mask"))?;
            self.mask_v4 = Some(mask);
        }
        Ok(())
    }
}

fn number(text: &[u8], least: u32, most: u32, what: &'static str) -> Result<u32, Usage> {
    value::number(text, least..=most).ok_or(Usage::Illegal(what))
}

/// A number that fits into a smaller type, whose range `least..=most` must be within.
fn small<T: TryFrom<u32> + Into<u32>>(text: &[u8], least: T, most: T, what: &'static str) -> Result<T, Usage> {
    let value = number(text, least.into(), most.into(), what)?;
    T::try_from(value).map_err(|_| Usage::Illegal(what))
}

fn mark(text: &[u8]) -> Result<FirewallMark, Usage> {
    let mark = value::number(text, 1..=u32::MAX).and_then(|mark| FirewallMark::new(mark).ok());
    mark.ok_or_else(|| Usage::Invalid("fwmark", text.to_owned()))
}

fn weight(text: &[u8]) -> Result<Weight, Usage> {
    let weight = value::number(text, 0..=Weight::MAX.get()).and_then(|weight| Weight::new(weight).ok());
    weight.ok_or(Usage::Illegal("weight"))
}

fn persistence(text: &[u8]) -> Result<Persistence, Usage> {
    let persistence = value::number(text, 1..=LONGEST_TIMEOUT).and_then(|seconds| Persistence::new(seconds).ok());
    persistence.ok_or_else(|| Usage::Invalid("timeout", text.to_owned()))
}

fn tunnel_kind(text: &[u8]) -> Option<TunnelKind> {
    match text {
        b"ipip" => Some(TunnelKind::Ipip),
        b"gue" => Some(TunnelKind::Gue),
        b"gre" => Some(TunnelKind::Gre),
        _ => None,
    }
}

/// A name cut to what the kernel can hold; none if it is empty.
fn fit<'t, N, E>(text: &'t [u8], longest: usize, new: fn(&'t [u8]) -> Result<N, E>) -> Option<N> {
    new(&text[..text.len().min(longest)]).ok()
}
