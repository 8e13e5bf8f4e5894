//! Four real servers, and virtual services on a port each, with figures of who got which
//! connections.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::Duration;

use ipvs::{Client, Destination, Family, Protocol, Scheduler, SchedulerFlags, Service, ServiceKey, Weight};
use kernel_tests::network::{Conversation, Network, Servers, Speaks, client, server, virtual_address};

/// The number of real servers.
pub(crate) const SERVERS: usize = 4;

/// Every service has a port of its own: the kernel keeps the counts of a real server that was
/// deleted, for a while.
const PORTS: std::ops::RangeInclusive<u16> = 1001..=1008;

/// A number from 0 for each real server.
pub(crate) type Shares = [usize; SERVERS];

/// The network and a connection to its director.
pub(crate) struct Field {
    pub(crate) network: Network,
    pub(crate) director: Client,
    free: std::ops::RangeInclusive<u16>,
    _servers: Servers,
}

impl Field {
    pub(crate) fn build() -> Self {
        let network = Network::build(SERVERS as u16);
        let ports: Vec<_> = PORTS.map(|port| (port, Speaks::Greeting(Protocol::TCP))).collect();
        let servers = network.serve(&ports);
        let director = network.director.run(|| Client::connect().unwrap());
        Field { network, director, free: PORTS, _servers: servers }
    }

    /// A port that no service has yet.
    pub(crate) fn free_port(&mut self) -> u16 {
        self.free.next().expect("there are enough ports")
    }

    /// A service of all real servers, by direct routing.
    pub(crate) fn share(&mut self, scheduler: Scheduler, flags: SchedulerFlags, weights: [u32; SERVERS]) -> SocketAddr {
        let at = virtual_address(Family::V4, self.free_port());
        self.add(&Service::new(ServiceKey::tcp(at)).with_scheduler(scheduler).with_scheduler_flags(flags), weights);
        at
    }

    /// Adds a service with all real servers.
    pub(crate) fn add(&mut self, service: &Service, weights: [u32; SERVERS]) {
        self.director.add_service(service).unwrap();
        for (number, weight) in weights.into_iter().enumerate() {
            let destination = destination(&service.key(), number).with_weight(Weight::new(weight).unwrap());
            self.director.add_destination(&service.key(), &destination).unwrap();
        }
    }

    /// Gives a real server another weight.
    pub(crate) fn weigh(&mut self, at: SocketAddr, number: usize, weight: u32) {
        let key = ServiceKey::tcp(at);
        let destination = destination(&key, number).with_weight(Weight::new(weight).unwrap());
        self.director.edit_destination(&key, &destination).unwrap();
    }

    /// Takes a real server out.
    pub(crate) fn remove(&mut self, key: &ServiceKey, number: usize) {
        self.director.delete_destination(key, destination(key, number).address).unwrap();
    }

    /// Who answers this client.
    pub(crate) fn ask(&self, from: IpAddr, to: SocketAddr) -> usize {
        let answer =
            self.network.ask(Protocol::TCP, from, to).unwrap_or_else(|error| panic!("{from} to {to}: {error}"));
        number(&answer.server)
    }

    /// A connection that stays.
    pub(crate) fn hold(&self, from: IpAddr, to: SocketAddr) -> io::Result<Held> {
        let conversation = self.network.hold(Protocol::TCP, from, to)?;
        Ok(Held { server: number(&conversation.answer.server), _conversation: conversation })
    }

    /// Connections that stay open.
    pub(crate) fn hold_many(&self, count: usize, to: SocketAddr) -> Vec<Held> {
        (0..count).map(|_| self.hold(client(Family::V4, 1, 1), to).unwrap()).collect()
    }

    /// Waits until the director counts this many established connections.
    pub(crate) fn wait_for_active(&mut self, key: &ServiceKey, expected: usize) {
        for _try in 0..2400 {
            let states = self.director.destinations(key).unwrap();
            if states.iter().map(|state| state.active_connections as usize).sum::<usize>() == expected {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("{key} does not come to {expected} connections");
    }
}

/// A connection to a real server, until this is dropped.
pub(crate) struct Held {
    pub(crate) server: usize,
    _conversation: Conversation,
}

fn destination(key: &ServiceKey, number: usize) -> Destination {
    let port = match key {
        ServiceKey::Address { at, .. } => at.port(),
        ServiceKey::Mark { .. } => 0,
    };
    Destination::new((server(number as u16 + 1, Family::V4), port).into())
}

/// `rs1` is 0.
fn number(name: &str) -> usize {
    name.strip_prefix("rs").and_then(|digits| digits.parse::<usize>().ok()).expect("a real server's name") - 1
}

/// How many of them are each server's.
pub(crate) fn shares(servers: impl IntoIterator<Item = usize>) -> Shares {
    servers.into_iter().fold([0; SERVERS], |mut shares, server| {
        shares[server] += 1;
        shares
    })
}

/// How many of the servers of all of them.
pub(crate) fn held(connections: &[Held]) -> Shares {
    shares(connections.iter().map(|held| held.server))
}

/// The clients, or what else is asked from or for, whose server is another one now.
pub(crate) fn moved<K: Ord>(
    before: &BTreeMap<K, usize>,
    after: &BTreeMap<K, usize>,
    from: impl Fn(usize) -> bool,
) -> usize {
    before.iter().filter(|(who, server)| from(**server) && after[who] != **server).count()
}
