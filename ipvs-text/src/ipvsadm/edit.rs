//! What an edit of ipvsadm's language has done beside what was asked: it replaces the whole
//! configuration.

use std::net::SocketAddr;

use ipvs::{Client, Command, Destination, Forwarding, Service, ServiceKey};

use crate::escape::ShellCommand;
use crate::ipvsadm::rules::{Slot, Slots};

/// What was typed of a line, beyond the command that it makes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Typed {
    /// Which options.
    pub given: Slots,
    /// The real server, before its port became the service's.
    pub server: Option<SocketAddr>,
}

/// What the command is about to edit, as it is now; `None` if it edits nothing. It asks the kernel.
pub fn before(command: &Command, client: &mut Client) -> Option<Before> {
    match command {
        Command::EditService(service) => Some(Before::Service(client.service(&service.key()).ok()?.service)),
        Command::EditDestination(key, destination) => {
            let found = client.destinations(key).ok()?.into_iter().map(|state| state.destination);
            found.into_iter().find(|found| found.address == destination.address).map(Before::Destination)
        }
        _ => None,
    }
}

/// An entry before it was edited.
#[derive(Clone, Copy, Debug)]
pub enum Before {
    /// A service.
    Service(Service),
    /// A destination.
    Destination(Destination),
}

/// The hints that follow a command that was carried out.
pub fn after(before: Option<Before>, command: &Command, typed: Typed) -> Vec<String> {
    let mut hints = Vec::new();
    match (before, command) {
        (Some(Before::Service(before)), Command::EditService(service)) => {
            hints.extend(service_changes(&before, service, typed.given));
        }
        (Some(Before::Destination(before)), Command::EditDestination(key, destination)) => {
            hints.extend(destination_changes(&before, *key, destination, typed.given));
        }
        _ => {}
    }
    hints.extend(other_port(command, typed));
    hints.extend(odd_netmask(command));
    hints
}

/// Could a hint follow this command? Called for each command, so it must not ask the kernel.
pub fn may_follow(command: &Command, typed: Typed) -> bool {
    matches!(command, Command::EditService(_) | Command::EditDestination(..))
        || other_port(command, typed).is_some()
        || odd_netmask(command).is_some()
}

/// What changed without being given, and how it is set back.
#[derive(Default)]
struct Changes(Vec<String>);

impl Changes {
    fn add<T: Clone + PartialEq>(
        &mut self,
        what: &str,
        before: &T,
        after: &mut T,
        is_given: bool,
        show: impl Fn(&T) -> String,
    ) {
        if !is_given && before != after {
            self.0.push(format!("{what} was {}, is {}", show(before), show(after)));
            *after = before.clone();
        }
    }

    /// `back`: what makes all of it as it was, with what was given.
    fn hint(self, back: Command) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        // The words of a rule have no spaces in them.
        let command = ShellCommand::new(std::iter::once("ipvsadm").chain(back.to_string().split(' ')));
        Some(format!("not given, and so changed: {}; this sets it back: {command}", self.0.join("; ")))
    }
}

fn destination_changes(before: &Destination, key: ServiceKey, after: &Destination, given: Slots) -> Option<String> {
    const TUNNEL: Slots = Slots::of(&[Slot::TunType, Slot::TunPort, Slot::TunNoCsum, Slot::TunCsum, Slot::TunRemCsum]);
    let mut restored = *after;
    let mut changes = Changes::default();
    // The kernel makes a destination local by itself, whatever was asked.
    let is_fixed = before.forwarding == Forwarding::Local;
    let is_tunnel = matches!((before.forwarding, after.forwarding), (Forwarding::Tunnel(_), Forwarding::Tunnel(_)));
    let method_given = if is_tunnel { given.intersects(TUNNEL) } else { given.has(Slot::ForwardingMethod) };
    let what = if is_tunnel { "the tunnel" } else { "forwarding" };
    changes.add(what, &before.forwarding, &mut restored.forwarding, is_fixed || method_given, ToString::to_string);
    changes.add("the weight", &before.weight, &mut restored.weight, given.has(Slot::Weight), ToString::to_string);
    let upper = given.has(Slot::UThreshold);
    changes.add(
        "the upper threshold",
        &before.upper_threshold,
        &mut restored.upper_threshold,
        upper,
        ToString::to_string,
    );
    let lower = given.has(Slot::LThreshold);
    changes.add(
        "the lower threshold",
        &before.lower_threshold,
        &mut restored.lower_threshold,
        lower,
        ToString::to_string,
    );
    changes.hint(Command::EditDestination(key, restored))
}

fn service_changes(before: &Service, after: &Service, given: Slots) -> Option<String> {
    let mut restored = *after;
    let mut changes = Changes::default();
    let scheduler = given.has(Slot::Scheduler);
    changes.add("the scheduler", &before.scheduler, &mut restored.scheduler, scheduler, ToString::to_string);
    // The flags have other meanings with another scheduler.
    let flags = given.has(Slot::SchedFlags) || before.scheduler != restored.scheduler;
    let show = |flags: &ipvs::SchedulerFlags| {
        if flags.is_empty() { "none".to_owned() } else { format!("{:#x}", flags.bits()) }
    };
    changes.add("the scheduler's flags", &before.scheduler_flags, &mut restored.scheduler_flags, flags, show);
    let persistent = given.has(Slot::Persistent);
    let show = |persistence: &Option<ipvs::Persistence>| {
        persistence.map_or_else(|| "none".to_owned(), |persistence| format!("{} s", persistence.seconds()))
    };
    changes.add("persistence", &before.persistence, &mut restored.persistence, persistent, show);
    if restored.persistence.is_some() && !given.has(Slot::Netmask) && before.netmask() != restored.netmask() {
        changes.0.push(format!("the netmask was {}, is {}", before.netmask(), restored.netmask()));
        restored = restored.with_netmask(before.netmask()).unwrap_or(restored);
    }
    let show = |engine: &Option<ipvs::PersistenceEngine>| {
        engine.map_or_else(|| "none".to_owned(), |engine| engine.to_string())
    };
    changes.add("the persistence engine", &before.engine, &mut restored.engine, given.has(Slot::Pe), show);
    let show = |one_packet: &bool| if *one_packet { "on" } else { "off" }.to_owned();
    changes.add("one-packet scheduling", &before.one_packet, &mut restored.one_packet, given.has(Slot::Ops), show);
    changes.hint(Command::EditService(restored))
}

/// Direct routing and tunnels keep the port.
fn other_port(command: &Command, typed: Typed) -> Option<String> {
    let (Command::AddDestination(_, destination) | Command::EditDestination(_, destination)) = command else {
        return None;
    };
    let typed = typed.server.filter(|typed| typed.port() != 0 && typed.port() != destination.address.port())?;
    Some(format!(
        "it is {}, not {typed}: direct routing and tunnels keep the service's port; -m (masquerading) can change it",
        destination.address
    ))
}

/// `-M 24` is the netmask 0.0.0.24.
fn odd_netmask(command: &Command) -> Option<String> {
    let (Command::AddService(service) | Command::EditService(service)) = command else { return None };
    let mask = service.netmask().as_v4()?;
    let bits = mask.to_bits();
    if bits.leading_ones() + bits.trailing_zeros() >= 32 {
        return None;
    }
    let prefix = match bits {
        1..=32 => {
            let mask = std::net::Ipv4Addr::from_bits(u32::MAX << (32 - bits));
            format!("; for a prefix of {bits} bits write -M {mask}")
        }
        _ => String::new(),
    };
    Some(format!("the netmask is {mask}, which is not one of a network{prefix}"))
}
