//! Asks real servers along the way that IPVS sends packets of clients, and sees their replies
//! before the kernel of this machine does: a reply that bears a virtual address comes to the
//! director as a packet of its own address, which the kernel drops.
//!
//! It makes evidence; `probed` judges it. `targets` says whom to ask for what, `packet` and `reply`
//! are bytes, `wire` sockets, and `ask` sends questions and finds their answers.

mod ask;
mod packet;
mod reply;
mod targets;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use ipvs::{Forwarding, Protocol, ServiceKey, Table, Tunnel as TableTunnel, TunnelFlags, Weight};

use self::ask::{Asker, Question, What};
use self::packet::{Contents, LONGEST, Mark, Packet, Way};
use self::reply::{Chunk, Kind, Reply};
use self::wire::{PORTS, Ports, Sources, Wire, WireError};

pub(super) use self::packet::{Mac, Tunnel, TunnelKind, must_answer};
pub(super) use self::reply::Failure;
pub(super) use self::targets::{Route, targets};

#[cfg(fuzzing)]
pub(super) fn fuzz(frame: &[u8]) {
    if let Some(reply) = reply::read(frame) {
        assert_eq!(reply.mac[..], frame[6..12]);
    }
}

/// Real servers that are asked at the same time.
const TOGETHER: usize = 1024;
/// How long a server of this machine may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(2);

/// A real server of a service, and what clients ask it for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) service: ServiceKey,
    pub(super) server: SocketAddr,
    pub(super) forwarding: Forwarding,
    pub(super) weight: Weight,
    pub(super) vip: IpAddr,
    pub(super) protocol: Protocol,
    /// The port that packets have when they are at the real server; `None` is any.
    pub(super) port: Option<u16>,
    pub(super) route: Route,
}

/// What was asked of all real servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Probes {
    pub(super) all: Vec<Probe>,
    pub(super) claims: Vec<Claim>,
    pub(super) sent: u64,
    pub(super) received: u64,
}

/// What was asked of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Probe {
    pub(super) target: Target,
    /// The next machine on the way, if it answered for its address.
    pub(super) hop: Option<Mac>,
    /// Its number among those that can't be asked from one port at a time.
    turn: u16,
    answers: BTreeMap<Step, Answer>,
}

/// A machine that answers for a virtual address of this director.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) vip: IpAddr,
    pub(super) link: u32,
    pub(super) mac: Mac,
    /// The real server that has this address of Ethernet.
    pub(super) server: Option<IpAddr>,
}

/// A question to a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// What a client sends first.
    Service,
    /// An echo request to the address that clients use, on their packets' way.
    Way,
    /// An echo request to the real server's own address.
    Own,
    /// The same through the tunnel.
    Unwrapped,
    /// What a client sends, through a tunnel of another kind.
    Other(TunnelKind),
    /// The longest packet of a client, with its length.
    Long(u16),
    /// A packet of NAT from outside of the real server's network: from the virtual address.
    Outside,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Came {
        hop_limit: u8,
        /// The longest segment of TCP that the real server takes.
        longest: Option<u16>,
    },
    Refused,
    Failed {
        from: IpAddr,
        failure: Failure,
        /// The error is about the tunnel's packet, and not about what is in it.
        is_outer: bool,
    },
    Silent,
}

impl Probe {
    pub(super) fn new(target: Target, hop: Option<Mac>, answers: impl IntoIterator<Item = (Step, Answer)>) -> Self {
        Probe { target, hop, turn: 0, answers: answers.into_iter().collect() }
    }

    /// `None` if it was not asked.
    pub(super) fn answer(&self, step: Step) -> Option<Answer> {
        self.answers.get(&step).copied()
    }

    pub(super) fn came(&self, step: Step) -> bool {
        matches!(self.answer(step), Some(Answer::Came { .. }))
    }

    pub(super) fn answers(&self) -> impl Iterator<Item = (Step, Answer)> + '_ {
        self.answers.iter().map(|(step, answer)| (*step, *answer))
    }
}

/// What is needed of this machine to ask.
pub(super) struct Surroundings<'d> {
    pub(super) table: &'d Table,
    /// The names of interfaces, by their numbers.
    pub(super) names: BTreeMap<u32, String>,
    /// The most packets in a second.
    pub(super) rate: u32,
    pub(super) progress: &'d mut dyn FnMut(String),
}

/// Asks all of them.
///
/// # Errors
/// Why nothing can be asked.
pub(super) fn run(targets: Vec<Target>, around: Surroundings<'_>) -> Result<Probes, String> {
    let mut probes: Vec<Probe> = targets.into_iter().map(|target| Probe::new(target, None, [])).collect();
    let mut answers = Probes::default();
    probes.iter_mut().filter(|probe| probe.target.route == Route::Local).for_each(Probe::connect);
    let (mut sources, mut links) = (Sources::default(), BTreeSet::new());
    for probe in &probes {
        let Route::Out { link, source, outside, .. } = &probe.target.route else { continue };
        links.insert(*link);
        match probe.target.protocol {
            Protocol::TCP => sources.tcp.extend(outside.iter().chain([source])),
            Protocol::UDP => drop(sources.udp.insert(*source)),
            Protocol::SCTP => drop(sources.sctp.insert(*source)),
            _ => {}
        }
    }
    if !links.is_empty() {
        let unavailable = |error: std::io::Error| format!("--probe can't be used here: {error}");
        let mut random = [0; 6];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
            .map_err(|errno| unavailable(errno.into()))?;
        let [a, b, c, d, e, f] = random;
        let secret = u32::from_be_bytes([a, b, c, d]);
        let ports = Ports::reserve(&sources, u16::from_be_bytes([e, f])).map_err(unavailable)?;
        let mut wires = BTreeMap::new();
        for link in links {
            let name = around.names.get(&link).map_or("?", String::as_str);
            match Wire::open(name, Mark::identifier(secret), ports.base) {
                Ok(wire) => drop(wires.insert(link, wire)),
                Err(error @ WireError::NotEthernet(_)) => not_asked(&mut probes, link, &error.to_string()),
                Err(error) => return Err(error.to_string()),
            }
        }
        let asker = Asker::new(wires, ports, secret, around.rate);
        let mut run = Run { asker, progress: around.progress, scheduled: scheduled(around.table) };
        for together in probes.chunks_mut(TOGETHER) {
            run.ask(together).map_err(unavailable)?;
        }
        answers.claims = run.claims(&probes).map_err(unavailable)?;
        (answers.sent, answers.received) = (run.asker.sent, run.asker.received);
    }
    answers.all = probes;
    Ok(answers)
}

fn not_asked(probes: &mut [Probe], by: u32, why: &str) {
    for probe in probes {
        if matches!(probe.target.route, Route::Out { link, .. } if link == by) {
            probe.target.route = Route::None(why.to_owned());
        }
    }
}

struct Run<'d> {
    asker: Asker,
    progress: &'d mut dyn FnMut(String),
    /// Where IPVS may take the reply of a real server for a client's packet; `None` is everywhere.
    scheduled: Option<BTreeSet<IpAddr>>,
}

/// A question to one of several real servers.
type Ask = (usize, Step, Question);

impl Run<'_> {
    fn questions(&mut self, questions: &[Question]) -> std::io::Result<Vec<Vec<Reply>>> {
        let progress = &mut *self.progress;
        self.asker.ask(questions, &mut |sent| progress(format!("asking real servers: {sent} packets sent")))
    }

    fn ask(&mut self, probes: &mut [Probe]) -> std::io::Result<()> {
        self.find_hops(probes)?;
        self.give_ports(probes);
        // What has the same ports is asked one after the other.
        for wave in 0..=probes.iter().map(|probe| probe.turn / PORTS).max().unwrap_or_default() {
            for is_first in [true, false] {
                let mut questions: Vec<Ask> = Vec::new();
                for (number, probe) in probes.iter().enumerate().filter(|(_, probe)| probe.turn / PORTS == wave) {
                    let Some(asking) = probe.asking(self) else { continue };
                    let asked = if is_first { asking.first() } else { asking.more(probe) };
                    questions.extend(asked.into_iter().map(|(step, question)| (number, step, question)));
                }
                self.put(probes, &questions)?;
            }
        }
        Ok(())
    }

    /// One machine may have the addresses of several real servers, and be asked for one address and
    /// port: it takes two SYN from one port for one connection. Of UDP, also answers of several
    /// machines are told apart by ports only.
    fn give_ports(&self, probes: &mut [Probe]) {
        let mut turns: BTreeMap<(Option<Mac>, IpAddr, IpAddr, Option<u16>), u16> = BTreeMap::new();
        for probe in probes {
            let target = &probe.target;
            let Route::Out { hop, .. } = target.route else { continue };
            let (at, server) = (target.at_server(), target.server.ip());
            let machine = match target.protocol {
                Protocol::UDP => (None, at),
                _ if hop == server => (probe.hop, at),
                _ => (None, server),
            };
            let turn = turns.entry((machine.0, machine.1, at, target.port)).or_default();
            probe.turn = *turn;
            *turn += 1;
        }
    }

    fn put(&mut self, probes: &mut [Probe], asked: &[Ask]) -> std::io::Result<()> {
        let questions: Vec<Question> = asked.iter().map(|(_, _, question)| *question).collect();
        for ((number, step, question), heard) in asked.iter().zip(self.questions(&questions)?) {
            probes[*number].answers.insert(*step, answer(question, &heard));
        }
        Ok(())
    }

    /// Asks for the next machines' addresses of Ethernet, as the kernel does, without the kernel's
    /// table.
    fn find_hops(&mut self, probes: &mut [Probe]) -> std::io::Result<()> {
        let mut asked = BTreeMap::new();
        for probe in probes.iter() {
            if let Route::Out { link, hop, hop_source, .. } = probe.target.route {
                asked.entry((link, hop)).or_insert(hop_source);
            }
        }
        let question = |(&(link, target), &source): (&(u32, IpAddr), &IpAddr)| Question {
            link,
            what: What::Who { source, target },
        };
        let questions: Vec<Question> = asked.iter().map(question).collect();
        let heard = self.questions(&questions)?;
        let found: BTreeMap<(u32, IpAddr), Mac> =
            asked.into_keys().zip(heard).filter_map(|(hop, heard)| Some((hop, neighbour(heard.first()?)?))).collect();
        for probe in probes {
            if let Route::Out { link, hop, .. } = probe.target.route {
                probe.hop = found.get(&(link, hop)).copied();
            }
        }
        Ok(())
    }

    /// Asks which machines answer for virtual addresses, where real servers have them, too.
    fn claims(&mut self, probes: &[Probe]) -> std::io::Result<Vec<Claim>> {
        let (mut asked, mut servers) = (BTreeMap::new(), BTreeMap::new());
        for Probe { target, hop: mac, .. } in probes {
            let Route::Out { link, hop, source, is_vip_here, .. } = target.route else { continue };
            if hop != target.server.ip() {
                continue;
            }
            servers.extend(mac.map(|mac| ((link, mac), hop)));
            if is_vip_here && target.forwarding != Forwarding::Masquerade {
                asked.entry((link, target.vip)).or_insert(source);
            }
        }
        if asked.is_empty() {
            self.asker.settle()?;
            return Ok(Vec::new());
        }
        let question = |(&(link, target), &source): (&(u32, IpAddr), &IpAddr)| Question {
            link,
            what: What::Claim { source, target },
        };
        let questions: Vec<Question> = asked.iter().map(question).collect();
        let mut claims = Vec::new();
        for (&(link, vip), heard) in asked.keys().zip(self.questions(&questions)?) {
            let macs: BTreeSet<Mac> = heard.iter().filter_map(neighbour).collect();
            claims.extend(macs.into_iter().map(|mac| {
                let server = servers.get(&(link, mac)).copied();
                Claim { vip, link, mac, server }
            }));
        }
        Ok(claims)
    }
}

fn neighbour(reply: &Reply) -> Option<Mac> {
    if let Kind::Neighbour { mac, .. } = reply.kind { Some(mac) } else { None }
}

fn answer(question: &Question, heard: &[Reply]) -> Answer {
    let Some(reply) = heard.first() else { return Answer::Silent };
    let came = |longest| Answer::Came { hop_limit: reply.hop_limit, longest };
    match reply.kind {
        Kind::Tcp { segment, .. } if segment.is_reset => Answer::Refused,
        Kind::Sctp { chunk: Chunk::Abort, .. } => Answer::Refused,
        Kind::Tcp { segment, .. } => came(segment.longest),
        Kind::Error { from, target, error, .. } => {
            let packet = if let What::Packet { packet, .. } = question.what { Some(packet) } else { None };
            let is_outer = packet.is_none_or(|packet| packet.target != target);
            let is_datagram = packet.is_some_and(|packet| packet.contents == Contents::Datagram);
            match error {
                Failure::Port if is_datagram && !is_outer => Answer::Refused,
                failure => Answer::Failed { from, failure, is_outer },
            }
        }
        _ => came(None),
    }
}

/// How one real server is asked.
struct Asking<'p> {
    target: &'p Target,
    way: Way,
    link: u32,
    mtu: u32,
    source: IpAddr,
    own_source: IpAddr,
    outside: Option<IpAddr>,
    /// The source port.
    from: u16,
}

impl Probe {
    /// `None` if no packet can get there.
    fn asking(&self, run: &Run<'_>) -> Option<Asking<'_>> {
        let Route::Out { link, mtu, source, own_source, outside, tunnel, .. } = self.target.route else { return None };
        let way = Way { own: run.asker.wires.get(&link)?.mac, hop: self.hop?, tunnel };
        let from = run.asker.ports.base + self.turn % PORTS;
        let outside = outside.filter(|vip| run.scheduled.as_ref().is_some_and(|taken| !taken.contains(vip)));
        Some(Asking { target: &self.target, way, link, mtu, source, own_source, outside, from })
    }

    /// A server of this machine: packets are not forwarded, so a connection shows the same.
    fn connect(&mut self) {
        let Target { server, forwarding, protocol, port, .. } = self.target;
        let (Forwarding::Masquerade, Protocol::TCP, Some(port)) = (forwarding, protocol, port) else { return };
        let answer = match TcpStream::connect_timeout(&(server.ip(), port).into(), CONNECT) {
            Ok(stream) => {
                // Reset, it is over at once on both sides.
                let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                let _ = stream.shutdown(Shutdown::Read);
                Answer::Came { hop_limit: 64, longest: None }
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Answer::Refused,
            Err(_) => Answer::Silent,
        };
        self.answers.insert(Step::Service, answer);
    }
}

/// The addresses at which a packet to a port without a service may be balanced: a virtual address
/// with a service of all ports, or of FTP, whose data have ports of their own. By mark, any.
fn scheduled(table: &Table) -> Option<BTreeSet<IpAddr>> {
    const FTP: u16 = 21;
    let mut taken = BTreeSet::new();
    for entry in table.services() {
        match entry.service().key() {
            ServiceKey::Address { at, .. } if [0, FTP].contains(&at.port()) => drop(taken.insert(at.ip())),
            ServiceKey::Address { .. } => {}
            ServiceKey::Mark { .. } => return None,
        }
    }
    Some(taken)
}

impl Target {
    /// The address that packets have when they are at the real server.
    fn at_server(&self) -> IpAddr {
        if self.forwarding == Forwarding::Masquerade { self.server.ip() } else { self.vip }
    }

    /// A real server without the virtual address may pass packets on, back to this machine: they
    /// must end there.
    fn hop_limit(&self) -> u8 {
        if self.forwarding == Forwarding::Masquerade { 64 } else { 1 }
    }
}

impl Asking<'_> {
    fn question(&self, way: Way, packet: Packet) -> Question {
        Question { link: self.link, what: What::Packet { way, packet } }
    }

    fn echo(&self, to: IpAddr, way: Way) -> Question {
        let is_own = to == self.target.server.ip();
        let source = if is_own { self.own_source } else { self.source };
        let hop_limit = if is_own && way.tunnel.is_none() { 64 } else { self.target.hop_limit() };
        let packet = Packet { source, from: 0, target: to, port: 0, hop_limit, length: 0, contents: Contents::Echo };
        self.question(way, packet)
    }

    /// What a client sends first; `None` if it is not known.
    fn service(&self) -> Option<Question> {
        let contents = match self.target.protocol {
            Protocol::TCP => Contents::Syn,
            Protocol::UDP => Contents::Datagram,
            Protocol::SCTP => Contents::Init,
            _ => return None,
        };
        let packet = Packet {
            source: self.source,
            from: self.from,
            target: self.target.at_server(),
            port: self.target.port?,
            hop_limit: self.target.hop_limit(),
            length: 0,
            contents,
        };
        Some(self.question(self.way, packet))
    }

    /// What a client sends first. Where it need not be answered, whether the machine is there.
    fn first(&self) -> Vec<(Step, Question)> {
        let service = self.service().map(|question| (Step::Service, question));
        let is_certain = service.is_some() && self.target.protocol == Protocol::TCP;
        let echo = || (Step::Way, self.echo(self.target.at_server(), self.way));
        service.into_iter().chain((!is_certain).then(echo)).collect()
    }

    /// What to ask after the first answers.
    fn more(&self, probe: &Probe) -> Vec<(Step, Question)> {
        match (probe.answer(Step::Service), probe.answer(Step::Way)) {
            (Some(Answer::Came { longest, .. }), _) if self.target.protocol == Protocol::TCP => {
                let long = self.long(longest).and_then(|length| Some((length, self.service()?)));
                let long = long.map(|(length, question)| (Step::Long(length), question.with_length(length)));
                let outside = self.outside.and_then(|vip| Some((Step::Outside, self.service()?.with_source(vip))));
                long.into_iter().chain(outside).collect()
            }
            (_, Some(Answer::Came { .. })) => {
                let echo = self.echo(self.target.at_server(), self.way);
                let long = self.long(None).map(|length| (Step::Long(length), echo.with_length(length)));
                let outside = self.outside.map(|vip| (Step::Outside, echo.with_source(vip)));
                long.into_iter().chain(outside).collect()
            }
            (Some(Answer::Came { .. } | Answer::Refused), _) => Vec::new(),
            _ => self.diagnosis(probe),
        }
    }

    /// The length of a client's longest packet; `None` if each is as long as any.
    fn long(&self, longest: Option<u16>) -> Option<u16> {
        const SHORT: u16 = 576;
        let overhead = self.way.tunnel.map_or(0, |tunnel| tunnel.overhead());
        let room = u16::try_from(self.mtu).unwrap_or(u16::MAX).saturating_sub(overhead);
        let headers = if self.source.is_ipv4() { 40 } else { 60 };
        let taken = longest.map_or(LONGEST, |longest| longest.saturating_add(headers));
        Some(room.min(taken).min(LONGEST)).filter(|length| *length > SHORT)
    }

    /// Where it ends.
    fn diagnosis(&self, probe: &Probe) -> Vec<(Step, Question)> {
        let server = self.target.server.ip();
        let direct = Way { tunnel: None, ..self.way };
        let mut more = vec![(Step::Own, self.echo(server, direct))];
        if self.target.forwarding != Forwarding::Masquerade && probe.answer(Step::Way).is_none() {
            more.push((Step::Way, self.echo(self.target.vip, self.way)));
        }
        let Some(tunnel) = self.way.tunnel else { return more };
        if server.is_ipv4() == self.target.vip.is_ipv4() {
            more.push((Step::Unwrapped, self.echo(server, self.way)));
        }
        for kind in others(tunnel.kind) {
            let way = Way { tunnel: Some(Tunnel { kind, ..tunnel }), ..self.way };
            let question = match self.service() {
                Some(Question { link, what: What::Packet { packet, .. } }) if self.target.protocol != Protocol::UDP => {
                    Question { link, what: What::Packet { way, packet } }
                }
                _ => self.echo(self.target.vip, way),
            };
            more.push((Step::Other(kind), question));
        }
        more
    }
}

/// Tunnels that the real server may have in place of this one.
fn others(kind: TunnelKind) -> Vec<TunnelKind> {
    /// The port that documentation of the kernel has for GUE.
    const USUAL: u16 = 6080;
    match kind {
        TunnelKind::Ipip => Vec::new(),
        TunnelKind::Gre { checksum } => vec![TunnelKind::Gre { checksum: !checksum }],
        TunnelKind::Gue { port, checksum } => {
            let mut all = vec![TunnelKind::Gue { port, checksum: !checksum }];
            all.extend((port != USUAL).then_some(TunnelKind::Gue { port: USUAL, checksum }));
            all
        }
    }
}

impl Question {
    fn with_length(mut self, length: u16) -> Self {
        if let What::Packet { packet, .. } = &mut self.what {
            packet.length = length;
        }
        self
    }

    fn with_source(mut self, source: IpAddr) -> Self {
        if let What::Packet { packet, .. } = &mut self.what {
            packet.source = source;
        }
        self
    }
}

/// The tunnel as IPVS writes it; `None` for one of a newer kernel.
fn kind_of(tunnel: TableTunnel) -> Option<TunnelKind> {
    let checksum = |flags: TunnelFlags| flags.contains(TunnelFlags::CHECKSUM);
    match tunnel {
        TableTunnel::Ipip => Some(TunnelKind::Ipip),
        TableTunnel::Gue { port, flags } => Some(TunnelKind::Gue { port: port.get(), checksum: checksum(flags) }),
        TableTunnel::Gre { flags } => Some(TunnelKind::Gre { checksum: checksum(flags) }),
        _ => None,
    }
}
