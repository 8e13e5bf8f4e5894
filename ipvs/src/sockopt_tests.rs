//! What is read through the older interface of the in-memory kernel, while it stands still and
//! while it does not.

use std::cell::RefCell;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::fake::Fake;
use crate::service::Service;
use crate::wire::{Header, encode_change};
use crate::{Command, Daemon, Destination, Family, Statistics, Tunnel, strategies};

fn read(table: &table::Table) -> Result<Table, Error> {
    let mut fake = Fake::new(table.clone());
    Table::ask(|option, buffer| fake.ask(option, buffer))
}

fn service(mark: u32) -> Service {
    Service::new(format!("mark {mark}").parse().unwrap())
}

fn table(commands: impl IntoIterator<Item = Command>) -> table::Table {
    let mut table = table::Table::new();
    commands.into_iter().for_each(|command| table.apply(&command).unwrap());
    table
}

#[test]
fn what_is_not_reported_is_named() {
    let web: ServiceKey = "tcp 10.0.0.1:80".parse().unwrap();
    let behind = |at: &str| Destination::new(at.parse().unwrap()).with_forwarding(Forwarding::Tunnel(Tunnel::Ipip));
    let shown = [
        Command::AddService(Service::new(web)),
        Command::AddDestination(web, behind("10.0.0.2:80")),
        Command::AddDestination(web, Destination::new("10.0.0.3:80".parse().unwrap())),
    ];
    let hidden = [
        Command::AddDestination(web, behind("[2001:db8::2]:80")),
        Command::AddService(Service::new("tcp [2001:db8::1]:80".parse().unwrap())),
    ];
    let older = read(&table(shown.into_iter().chain(hidden))).unwrap();
    let expected = table(shown);
    assert!(older.table.services().eq(expected.services()));
    assert_eq!(older.ipv6_destinations, [(web, 1)]);
    assert_eq!(older.tunnels().collect::<Vec<_>>(), [(web, "10.0.0.2:80".parse().unwrap())]);
}

/// The kernel, whose table is changed by this after each question.
fn read_while(start: &table::Table, mut change: impl FnMut(&mut Fake, i32)) -> Result<Table, Error> {
    let fake = RefCell::new(Fake::new(start.clone()));
    Table::ask(|option, buffer| {
        let answered = fake.borrow_mut().ask(option, buffer);
        change(&mut fake.borrow_mut(), option);
        answered
    })
}

fn make(fake: &mut Fake, command: &Command) {
    let mut datagram = Vec::new();
    encode_change(&mut datagram, Header::request(0x1f, 1), command);
    fake.send(&datagram).unwrap();
}

#[test]
fn services_that_come_meanwhile_are_asked_for_again() {
    let mut next = 2;
    let older = read_while(&table([Command::AddService(service(1))]), |fake, option| {
        if option == sockopt::GET_INFO && next < 5 {
            make(fake, &Command::AddService(service(next)));
            next += 1;
        }
    });
    assert_eq!(older.unwrap().table.services().len(), 4);
    let mut next = 1;
    let restless = read_while(&table::Table::new(), |fake, option| {
        if option == sockopt::GET_INFO {
            make(fake, &Command::AddService(service(next)));
            next += 1;
        }
    });
    assert!(matches!(restless, Err(Error::Unstable)), "{restless:?}");
}

#[test]
fn a_service_that_goes_meanwhile_is_not_there() {
    let all = [1, 2, 3].map(|mark| Command::AddService(service(mark)));
    let older = read_while(&table(all), |fake, option| {
        if option == sockopt::GET_SERVICES {
            make(fake, &Command::DeleteService(service(2).key()));
        }
    });
    let marks: Vec<_> = older.unwrap().table.services().map(|entry| entry.service().key()).collect();
    assert_eq!(marks, [service(1).key(), service(3).key()]);
}

fn server(n: u8) -> Destination {
    Destination::new(format!("10.0.0.{n}:80").parse().unwrap())
}

/// A service with these destinations, of which the kernel is asked while this is done after the
/// first questions of how many there are.
fn destinations_while(
    servers: impl IntoIterator<Item = Destination>,
    changes: impl IntoIterator<Item = Command>,
) -> Result<(Vec<String>, usize), Error> {
    let key = service(1).key();
    let servers = servers.into_iter().map(|server| Command::AddDestination(key, server));
    let start = table([Command::AddService(service(1))].into_iter().chain(servers));
    let mut changes = changes.into_iter();
    let older = read_while(&start, |fake, option| {
        if option == sockopt::GET_SERVICE {
            changes.next().into_iter().for_each(|change| make(fake, &change));
        }
    })?;
    let mut shown: Vec<_> = older.table.service(&key).unwrap().destinations().collect();
    shown.sort_by_key(|state| state.destination.address);
    let shown = shown.into_iter().map(|state| state.destination.address.to_string()).collect();
    Ok((shown, older.ipv6_destinations.iter().map(|(_, count)| count).sum()))
}

#[test]
fn destinations_that_change_meanwhile_are_asked_for_again() {
    let key = service(1).key();
    let add = |server: Destination| Command::AddDestination(key, server);
    let of_ipv6 =
        Destination::new("[2001:db8::1]:80".parse().unwrap()).with_forwarding(Forwarding::Tunnel(Tunnel::Ipip));
    let all = |count: u8| (1..=count).map(|n| format!("10.0.0.{n}:80")).collect::<Vec<_>>();
    let come = destinations_while([server(1)], [2, 3, 4].map(|n| add(server(n))));
    assert_eq!(come.unwrap(), (all(4), 0));
    let gone = [3, 2].map(|n| Command::DeleteDestination(key, server(n).address));
    assert_eq!(destinations_while([1, 2, 3].map(server), gone).unwrap(), (all(1), 0));
    // As many are shown as there were, but not those.
    let other = destinations_while([server(1), of_ipv6], [add(server(2))]);
    assert_eq!(other.unwrap(), (all(2), 1));
    let replaced = [Command::DeleteDestination(key, of_ipv6.address), add(server(2))];
    assert_eq!(destinations_while([server(1), of_ipv6], replaced).unwrap(), (all(2), 0));
    for restless in [
        (1..=250).map(|n| add(server(n))).collect::<Vec<_>>(),
        (1..=250).rev().map(|n| Command::DeleteDestination(key, server(n).address)).collect(),
    ] {
        let start = if matches!(restless[0], Command::AddDestination(..)) { 0 } else { 250 };
        let shown = destinations_while((1..=start).map(server), restless);
        assert!(matches!(shown, Err(Error::Unstable)), "{shown:?}");
    }
}

#[test]
fn a_count_that_is_right_saves_a_call_and_a_wrong_one_is_not_believed() {
    let key = service(1).key();
    let mut fake = Fake::new(table([
        Command::AddService(service(1)),
        Command::AddDestination(key, server(1)),
        Command::AddDestination(key, server(2)),
    ]));
    let mut read = |count| {
        let mut calls = Vec::new();
        let destinations = all_destinations(&mut Vec::new(), &key, count, Detail::NoStatistics, |option, buffer| {
            calls.push(option);
            fake.ask(option, buffer)
        });
        (destinations.map(|destinations| destinations.len()), calls)
    };
    let (count, copy) = (sockopt::GET_SERVICE, sockopt::GET_DESTINATIONS);
    assert_eq!(read(None), (Some(2), vec![count, copy, count]));
    assert_eq!(read(Some(2)), (Some(2), vec![copy]));
    for wrong in [0, 1, 3] {
        assert_eq!(read(Some(wrong)), (Some(2), vec![copy, count, copy, count]), "{wrong}");
    }
}

#[test]
fn absurd_numbers_are_not_believed() {
    for option in [sockopt::GET_INFO, sockopt::GET_SERVICE] {
        for count in [u32::MAX, u32::MAX - 1, i32::MAX as u32] {
            let mut fake = Fake::new(table([Command::AddService(service(1))]));
            let shown = Table::ask(|asked, buffer| {
                fake.ask(asked, buffer)?;
                if asked == option {
                    let at = if option == sockopt::GET_INFO { 8 } else { 44 };
                    buffer[at..][..4].copy_from_slice(&count.to_ne_bytes());
                }
                Ok(())
            });
            let error = shown.unwrap_err();
            assert!(matches!(error, Error::Decode(WireError::Value { value, .. }) if value == count), "{error:?}");
        }
    }
}

#[test]
fn refusals_say_what_was_asked() {
    for (refused, errno, said) in [
        (sockopt::GET_INFO, Errno::EPERM, "not permitted: it takes CAP_NET_ADMIN"),
        (sockopt::GET_INFO, Errno::ENOPROTOOPT, "this kernel has no IPVS"),
        (sockopt::GET_SERVICES, Errno::ENOMEM, "the kernel is out of memory"),
        (sockopt::GET_DESTINATIONS, Errno::ENOMEM, "the kernel is out of memory"),
        (sockopt::GET_DAEMONS, Errno::EFAULT, "Bad address"),
    ] {
        let mut fake = Fake::new(table([Command::AddService(service(1))]));
        let result = Table::ask(|option, buffer| if option == refused { Err(errno) } else { fake.ask(option, buffer) });
        let error = result.unwrap_err();
        assert!(error.to_string().starts_with(said), "{error}");
        let is_missing = errno == Errno::ENOPROTOOPT;
        assert_eq!(
            (matches!(error, Error::ModuleMissing), error.errno()),
            (is_missing, (!is_missing).then_some(errno))
        );
    }
}

/// A service as the older interface shows it, if it does.
fn shown(state: &ServiceState) -> Option<ServiceState> {
    let mut shown = *state;
    shown.service.engine = None;
    (shown.service.key().family() == Family::V4).then_some(shown)
}

fn small(statistics: Statistics) -> Statistics {
    Statistics { bytes_in: statistics.bytes_in, ..Statistics::default() }
}

proptest! {
    #[test]
    fn whatever_is_answered_is_a_table_or_an_error(
        counts in vec(prop_oneof![0..4u32, any::<u32>()], 1..6),
        bytes in vec(prop_oneof![4 => Just(0), 1 => any::<u8>()], 1..400),
    ) {
        let (mut counts, mut bytes) = (counts.iter().cycle(), bytes.iter().cycle());
        let shown = Table::ask(|option, buffer| {
            buffer.iter_mut().zip(&mut bytes).for_each(|(byte, said)| *byte = *said);
            let at = match option {
                sockopt::GET_INFO => 8,
                sockopt::GET_SERVICE => 44,
                _ => return Ok(()),
            };
            buffer[at..][..4].copy_from_slice(&counts.next().unwrap().to_ne_bytes());
            Ok(())
        });
        match shown {
            Ok(older) => prop_assert!(older.ipv6_destinations.iter().all(|(key, count)| *count > 0 && older.table.service(key).is_some())),
            Err(error) => prop_assert!(matches!(error, Error::Decode(_) | Error::Unstable), "{:?}", error),
        }
    }

    #[test]
    fn all_of_ipv4_is_listed(
        services in vec((strategies::service(), vec(strategies::destination_state(), 0..5)), 0..6),
        daemon in strategies::daemon(),
    ) {
        let services = services.into_iter().map(|(service, mut destinations)| {
            destinations.retain(|state| !state.destination.address.ip().is_unspecified());
            destinations.iter_mut().for_each(|state| state.statistics = state.statistics.map(small));
            TableEntry::read(ServiceState::new(service), destinations)
        });
        let start = table::Table::new();
        let table = table::Table::read(services.collect(), start.timeouts(), vec![daemon], start.info());
        let older = read(&table).unwrap();
        let expected: Vec<_> = table.services().filter_map(|entry| shown(entry.state())).collect();
        let read: Vec<_> = older.table.services().map(|entry| *entry.state()).collect();
        prop_assert_eq!(&read, &expected);
        prop_assert_eq!((older.table.timeouts(), older.table.info()), (table.timeouts(), table.info()));
        let named = Daemon { sync_id: daemon.sync_id, ..Daemon::new(daemon.role, daemon.interface) };
        prop_assert_eq!(older.table.daemons(), &[named]);
        for state in read {
            let key = state.service.key();
            let all: Vec<_> = table.service(&key).unwrap().destinations().copied().collect();
            let mut expected: Vec<_> = all.iter().copied().filter(|state| state.destination.family() == Family::V4).collect();
            let missing = all.len() - expected.len();
            for state in &mut expected {
                if let Forwarding::Tunnel(tunnel) = &mut state.destination.forwarding {
                    *tunnel = Tunnel::Ipip;
                }
            }
            let read: Vec<_> = older.table.service(&key).unwrap().destinations().copied().collect();
            prop_assert_eq!(read, expected);
            let hidden = older.ipv6_destinations.iter().find(|(of, _)| *of == key).map_or(0, |(_, count)| *count);
            prop_assert_eq!(hidden, missing);
        }
    }
}
