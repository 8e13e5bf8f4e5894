//! Lost replies, refusals and other writers at the worst moments of a change, one command in each
//! datagram.

use std::mem::discriminant;
use std::time::Duration;

use super::*;
use crate::client::Client;
use crate::fake::{Fake, Fault};
use crate::link::Link;
use crate::owners::{Ledger, Writer};
use crate::wire::{self, Body, Read, Request};
use crate::{
    Daemon, DaemonRole, Destination, Errno, FakeKernel, Forwarding, InterfaceName, Scheduler, Service, ServiceKey,
    Tunnel, Weight,
};

fn key(n: u32) -> ServiceKey {
    format!("mark {n}").parse().unwrap()
}

fn server(n: u8) -> Destination {
    Destination::new(([192, 0, 2, n], 80).into()).with_forwarding(Forwarding::Masquerade)
}

/// Services with the numbers and weights of their destinations.
fn table(services: &[(u32, &[(u8, u32)])]) -> Table {
    let mut table = Table::new();
    for (n, servers) in services {
        table.apply(&Command::AddService(Service::new(key(*n)))).unwrap();
        for (server, weight) in servers.iter().map(|(n, weight)| (self::server(*n), Weight::new(*weight).unwrap())) {
            table.apply(&Command::AddDestination(key(*n), server.with_weight(weight))).unwrap();
        }
    }
    table
}

/// The numbers and weights of the destinations of a service, in order.
fn servers(client: &mut Client, n: u32) -> Vec<(u8, u32)> {
    let states = client.destinations(&key(n)).unwrap();
    let mut servers: Vec<_> = states
        .iter()
        .map(|state| {
            let std::net::IpAddr::V4(address) = state.destination.address.ip() else { panic!("{state:?}") };
            (address.octets()[3], state.destination.weight.get())
        })
        .collect();
    servers.sort_unstable();
    servers
}

fn client_of(link: Link) -> Client {
    Client::over(link, Duration::from_secs(1)).unwrap()
}

/// A client of a kernel on whose calls, from the one of this number on, these faults come; and
/// another client of it.
fn faulty(table: &Table, at: usize, faults: &[Fault]) -> (Client, Client) {
    watched(table, at, faults, |_, _| ())
}

/// The same, and what another writer does before each call.
fn watched(
    table: &Table,
    at: usize,
    faults: &[Fault],
    mut write: impl FnMut(&[Request], &mut Client) + Send + 'static,
) -> (Client, Client) {
    /// Calls to connect.
    const CONNECT: usize = 2;
    let kernel = Fake::new(table.clone());
    // So that services are dumped, and dumps can be counted.
    let mut elsewhere = Table::new();
    elsewhere.apply(&Command::AddService(Service::new(key(1)))).unwrap();
    kernel.world().elsewhere = vec![elsewhere];
    let other = kernel.of_another_program();
    let mut third = client_of(Link::Fake(Box::new(kernel.of_another_program())));
    let fine = std::iter::repeat_n(None, at + CONNECT);
    let mut link = kernel;
    link.script().faults = fine.chain(faults.iter().copied().map(Some)).collect();
    link.window = 1;
    link.script().writer = Some(Box::new(move |datagram| write(&requests(datagram), &mut third)));
    (client_of(Link::Fake(Box::new(link))), client_of(Link::Fake(Box::new(other))))
}

fn requests(datagram: &[u8]) -> Vec<Request> {
    let request = |message: Result<(wire::Header, Body<'_>), _>| {
        let Ok((header, Body::Family { command, attrs })) = message else { return None };
        wire::decode_request(&header, command, attrs).ok()?
    };
    wire::messages(datagram).filter_map(request).collect()
}

fn change(from: &Table, to: &Table) -> Change {
    Change::prepare(from.clone(), to.clone(), Planner::new()).unwrap()
}

fn break_if(condition: bool) -> ControlFlow<()> {
    if condition { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// A service is deleted, made again by another writer, and deleted again: what comes back is the
/// other writer's, and nothing else.
#[test]
fn a_service_that_was_deleted_twice_comes_back_as_it_was_last() {
    let from = table(&[(1, &[(11, 1), (12, 1)]), (2, &[(11, 1)]), (3, &[(11, 1), (12, 1)])]);
    let (mut client, mut other) = faulty(&from, 0, &[]);
    let mut third = other.try_clone().unwrap();
    let made = change(&from, &table(&[(1, &[(12, 1)])])).apply(&mut client, |progress| {
        match (progress.phase, progress.done) {
            // So that there is another attempt.
            (Phase::Applying, 0) => third.delete_service(&key(1)).unwrap(),
            (Phase::Applying, 2) => {
                third.add_service(&Service::new(key(9))).unwrap();
                third.add_service(&Service::new(key(3))).unwrap();
                third.add_destination(&key(3), &server(13)).unwrap();
            }
            _ => {}
        }
        break_if((progress.phase, progress.done) == (Phase::Retrying, 3))
    });
    let error = made.unwrap_err();
    let deletions = error.report.applied.iter().filter(|command| **command == Command::DeleteService(key(3)));
    assert_eq!((error.state, deletions.count()), (DirectorState::Undone, 2), "{error:?}");
    assert_eq!(servers(&mut other, 3), [(13, 1)]);
}

#[test]
fn a_service_that_comes_back_without_its_destinations_is_reported() {
    let from = table(&[(1, &[(11, 1)]), (2, &[(11, 1), (12, 1)])]);
    let mut is_back = Some(false);
    let (mut client, mut other) = watched(&from, 0, &[], move |requests, other| {
        if is_back == Some(true) {
            other.edit_service(&Service::new(key(2)).with_scheduler(Scheduler::LC)).unwrap();
            is_back = None;
        }
        if let [Request::Change(Command::AddService(_))] = requests {
            is_back = is_back.map(|_| true);
        }
    });
    let made = change(&from, &Table::new()).apply(&mut client, |progress| break_if(progress.done > 0));
    let error = made.unwrap_err();
    assert_eq!(servers(&mut other, 2), [], "it may be another writer's");
    let kept = Kept { command: Command::DeleteService(key(2)), reason: KeptReason::Changed };
    assert_eq!((error.state, &error.report.kept[..]), (DirectorState::Partial, &[kept][..]));
}

/// The reply to the deletion of the former destination is lost, then the change is interrupted: the
/// new one stays.
#[test]
fn an_undo_takes_no_last_usable_destination_away() {
    let from = table(&[(1, &[(11, 1)]), (2, &[(11, 1)])]);
    let mut is_kept = 0;
    for (at, fault) in (0..40).flat_map(|at| [Fault::Lost, Fault::Vanished, Fault::Late].map(|fault| (at, fault))) {
        let (mut client, mut other) = faulty(&from, at, &[fault]);
        let made = change(&from, &table(&[(1, &[(12, 1)])]))
            .apply(&mut client, |progress| break_if(progress.phase == Phase::Retrying));
        assert_ne!(servers(&mut other, 1), [], "{at} {fault:?}: {made:?}");
        let Err(error) = made else { continue };
        if let Some(kept) = error.report.kept.iter().find(|kept| kept.reason == KeptReason::LastUsable) {
            assert_eq!(
                (kept.command, error.state),
                (Command::AddDestination(key(1), server(12)), DirectorState::Partial)
            );
            is_kept += 1;
        }
    }
    assert!(is_kept > 0);
}

#[test]
fn one_lost_reply_does_not_end_an_undo() {
    let from = table(&[(1, &[(11, 1)]), (2, &[(11, 1)]), (3, &[(11, 1)])]);
    let mut to = table(&[(1, &[(11, 1)])]);
    to.apply(&Command::SetTimeouts(crate::Timeouts { tcp: Some(60), ..Default::default() })).unwrap();
    to.apply(&Command::StartDaemon(Daemon::new(DaemonRole::Master, InterfaceName::LOOPBACK))).unwrap();
    let change = change(&from, &to);
    let all = change.plan().commands().len();
    let faults = [Fault::Lost, Fault::Vanished, Fault::Late, Fault::Fails(Errno::ENOBUFS)];
    for (at, fault) in (0..60).flat_map(|at| faults.map(|fault| (at, fault))) {
        let (mut client, mut other) = faulty(&from, at, &[fault]);
        let stop = |progress: Progress| break_if(progress.phase == Phase::Applying && progress.done == all - 1);
        let Err(error) = change.apply(&mut client, stop) else { continue };
        let is_back = crate::change::plan(&other.table().unwrap(), &from).is_empty();
        let is_reported = matches!(error.state, DirectorState::Partial) && !error.report.kept.is_empty();
        assert!(is_back || is_reported, "{at} {fault:?}: {error:?}");
    }
}

#[test]
fn what_is_as_desired_after_the_last_attempt_is_done() {
    let from = table(&(1..=30).map(|n| (n, &[][..])).collect::<Vec<_>>());
    let mut readings = 0;
    let (mut client, mut other) = watched(&from, 0, &[], move |requests, other| {
        readings += usize::from(matches!(requests, [Request::Read(Read::Services)]));
        if readings == 20 {
            other.flush().unwrap();
            other.add_service(&Service::new(key(100))).unwrap();
            readings += 1;
        }
    });
    let (mut third, mut attempt) = (other.try_clone().unwrap(), 0);
    let made = change(&from, &table(&[(100, &[])])).apply(&mut client, |progress| {
        if progress.done == 0 {
            attempt += 1;
            // Less differs each time, but what is to be there never comes to be.
            third.delete_service(&key(attempt)).unwrap();
            if third.delete_service(&key(100)).is_err() {
                third.add_service(&Service::new(key(100)).with_scheduler(Scheduler::LC)).unwrap();
            }
        }
        ControlFlow::Continue(())
    });
    assert_eq!(made.unwrap().attempts, 20);
    assert_eq!(other.services().unwrap().len(), 1);
}

#[test]
fn a_hook_that_cannot_undo_its_own_work_is_reported() {
    let from = table(&[(1, &[(11, 1), (12, 0)]), (2, &[(11, 1)])]);
    for weight in [0, 5] {
        let to = table(&[(1, &[(11, 1), (12, weight)])]);
        let mut client = Client::fake(from.clone());
        let mut is_hook_done = false;
        let hook = |phase| {
            is_hook_done = true;
            if phase == Phase::Undoing { Err("the marks stay".to_owned()) } else { Ok(()) }
        };
        // Before service 2 is deleted.
        let stop =
            |progress: Progress| break_if(progress.done + 1 == progress.total && (weight == 0 || progress.done > 0));
        let error = change(&from, &to).apply_with(&mut client, hook, stop).unwrap_err();
        assert_eq!(
            (error.state, error.report.hook.as_deref()),
            (DirectorState::Partial, Some("the marks stay")),
            "{error:?}"
        );
        let edit = Command::EditDestination(key(1), server(12).with_weight(Weight::new(weight).unwrap()));
        let kept: Vec<_> = error.report.kept.iter().map(|kept| kept.command).collect();
        assert_eq!(kept, if weight == 0 { vec![] } else { vec![edit] });
        assert_eq!(servers(&mut client, 1), [(11, 1), (12, weight)]);
        assert!(is_hook_done);
    }
}

/// Makes a change for an owner to whom service 1 of `from` belongs, while another writer makes that
/// service anew.
fn owned(from: &Table, to: &Table, takes: bool) -> (Result<Applied, ChangeError>, Client) {
    let mut client = Client::fake(from.clone());
    let mut other = client.try_clone().unwrap();
    let writer = Writer { takes, ..Writer::of("shop".parse().unwrap()) };
    let mut ledger = Ledger::new();
    ledger.claim(&writer, &Planner::new(), &Table::new(), from);
    let planner = ledger.restrict(Planner::new().only_services(), &writer, from, to).unwrap();
    let change = Change::prepare(client.table().unwrap(), to.clone(), planner).unwrap();
    let mut is_first = true;
    let made = change.apply(&mut client, |_| {
        if std::mem::take(&mut is_first) {
            let _ = other.delete_service(&key(1));
            other.add_service(&Service::new(key(1)).with_scheduler(Scheduler::RR)).unwrap();
            other.add_destination(&key(1), &server(77)).unwrap();
        }
        ControlFlow::Continue(())
    });
    (made, other)
}

#[test]
fn an_owner_takes_no_service_over_that_another_writer_makes_meanwhile() {
    let desired = table(&[(1, &[(11, 1)]), (2, &[(11, 1)])]);
    let edited = table(&[(1, &[(11, 2)]), (2, &[(11, 1)])]);
    let rest = table(&[(2, &[(11, 1)])]);
    for (from, to) in [(Table::new(), &desired), (desired.clone(), &edited), (desired.clone(), &rest)] {
        let (made, mut other) = owned(&from, to, false);
        let error = made.unwrap_err();
        assert!(matches!(error.state, DirectorState::Untouched | DirectorState::Undone), "{error:?}");
        assert_eq!(servers(&mut other, 1), [(77, 1)], "{error:?}");
        assert_eq!(other.services().unwrap().len(), from.services().len().max(1));
        let (made, mut other) = owned(&from, to, true);
        assert!(made.is_ok() && crate::change::plan(&other.table().unwrap(), to).is_empty(), "{made:?}");
    }
}

/// What an attempt has deleted counts in the next one, too.
#[test]
fn deletions_of_all_attempts_count_together() {
    let from = table(&[(1, &[(11, 1), (12, 1)]), (3, &[(11, 1)])]);
    let desired = table(&[(1, &[(11, 0), (12, 1)])]);
    let mut is_deleted = false;
    let (mut client, mut other) = watched(&from, 0, &[], move |requests, third| match requests {
        [Request::Change(Command::EditDestination(..))] => {
            third.delete_destination(&key(1), server(11).address).unwrap();
        }
        [Request::Change(Command::DeleteService(_))] => is_deleted = true,
        [Request::Read(Read::Services)] if is_deleted => drop(third.add_service(&Service::new(key(3)))),
        _ => {}
    });
    let planner = Planner::new().max_deletions(2);
    let change = Change::prepare(from.clone(), desired, planner).unwrap();
    let error = change.apply(&mut client, |_| ControlFlow::Continue(())).unwrap_err();
    let expected = DeletionsError::TooMany { services: 2, destinations: 1, limit: 2 };
    assert!(matches!(error.reason, StopReason::Deletions(reason) if reason == expected), "{error}");
    assert_eq!(error.report.attempts, 1);
    assert!(other.service(&key(3)).is_ok());
}

/// The reply to the first deletion is lost, and another writer adds a service that is not desired.
#[test]
fn a_deletion_whose_reply_was_lost_counts() {
    let from = table(&[(1, &[])]);
    let mut is_limited = 0;
    for at in 0..12 {
        let mut is_added = false;
        let (mut client, _) = watched(&from, at, &[Fault::Lost], move |_, third| {
            if !is_added && third.services().unwrap().is_empty() {
                third.add_service(&Service::new(key(2))).unwrap();
                is_added = true;
            }
        });
        let change = Change::prepare(from.clone(), Table::new(), Planner::new().max_deletions(1)).unwrap();
        match change.apply(&mut client, |_| ControlFlow::Continue(())) {
            Ok(made) => assert!(made.commands.len() + made.unacknowledged.len() <= 1, "{at}: {made:?}"),
            Err(error) => is_limited += usize::from(matches!(error.reason, StopReason::Deletions(_))),
        }
    }
    assert!(is_limited > 0);
}

/// Another program deletes a service that an owner has just added, and makes its own.
#[test]
fn destinations_of_an_owner_stay_out_of_the_service_of_another_writer() {
    let mut is_made = false;
    let (mut client, mut other) = watched(&Table::new(), 0, &[], move |_, third| {
        if !is_made && third.services().unwrap().len() == 1 {
            third.delete_service(&key(1)).unwrap();
            third.add_service(&Service::new(key(1)).with_scheduler(Scheduler::RR)).unwrap();
            is_made = true;
        }
    });
    let desired = table(&[(1, &[(11, 1), (12, 1)])]);
    let change = Change::prepare(Table::new(), desired, Planner::new().leaving_others()).unwrap();
    let error = change.apply(&mut client, |_| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(error.reason, StopReason::Contended), "{error}");
    assert_eq!(error.report.applied, [Command::AddService(Service::new(key(1)))]);
    assert_eq!(servers(&mut other, 1), []);
}

/// A health checker retires destinations after the reading; the change deletes the first, is
/// interrupted, and brings it back.
#[test]
fn a_deleted_destination_comes_back_with_the_weight_that_it_had() {
    let from = table(&[(1, &[(11, 5), (12, 5)]), (2, &[(11, 5), (12, 5)])]);
    for to in [table(&[(1, &[(11, 5)]), (2, &[(11, 5)])]), Table::new()] {
        let (mut client, mut other) = faulty(&from, 0, &[]);
        let change = Change::prepare(from.clone(), to, Planner::new().keep_weights()).unwrap();
        for n in [1, 2] {
            other.edit_destination(&key(n), &server(12).with_weight(Weight::ZERO)).unwrap();
        }
        let error = change.apply(&mut client, |progress| break_if(progress.done > 0)).unwrap_err();
        assert_eq!((error.report.applied.len(), error.state), (1, DirectorState::Undone), "{error:?}");
        for n in [1, 2] {
            assert_eq!(servers(&mut other, n), [(11, 5), (12, 0)]);
        }
    }
}

/// Another writer sets back what is of no service, right after it was changed.
#[test]
fn timeouts_and_daemons_that_another_writer_sets_back_are_set_again() {
    let daemon = Daemon::new(DaemonRole::Master, InterfaceName::LOOPBACK);
    let timeouts = |tcp| Command::SetTimeouts(crate::Timeouts { tcp: Some(tcp), ..Default::default() });
    let from = table(&[(1, &[(11, 1)])]);
    let mut desired = table(&[(2, &[(11, 1)])]);
    for command in [timeouts(60), Command::StartDaemon(daemon)] {
        desired.apply(&command).unwrap();
    }
    for (made, act) in
        [(timeouts(60), timeouts(70)), (Command::StartDaemon(daemon), Command::StopDaemon(DaemonRole::Master))]
    {
        let (mut is_made, mut is_done) = (false, false);
        let (mut client, mut other) = watched(&from, 0, &[], move |requests, other| {
            if is_made && !std::mem::replace(&mut is_done, true) {
                other.execute(&act).unwrap();
            }
            is_made |= requests.iter().any(
                |request| matches!(request, Request::Change(command) if discriminant(command) == discriminant(&made)),
            );
        });
        let applied = change(&from, &desired).apply(&mut client, |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(applied.attempts, 2, "{act}");
        assert!(crate::change::plan(&other.table().unwrap(), &desired).is_empty(), "{act}");
    }
}

/// Those of its readings included.
#[test]
fn one_lost_reply_does_not_end_a_change() {
    let (from, to) = (table(&[(1, &[(11, 1)]), (2, &[(11, 1)])]), table(&[(2, &[(11, 2)]), (3, &[(11, 1), (12, 1)])]));
    let faults = [Fault::Lost, Fault::Vanished, Fault::Late, Fault::Fails(Errno::ENOBUFS)];
    for (at, fault) in (0..60).flat_map(|at| faults.map(|fault| (at, fault))) {
        let (mut client, mut other) = faulty(&from, at, &[fault]);
        let applied = change(&from, &to).apply(&mut client, |_| ControlFlow::Continue(()));
        let applied = applied.unwrap_or_else(|error| panic!("{at} {fault:?}: {error:?}"));
        assert!(crate::change::plan(&other.table().unwrap(), &to).is_empty(), "{at} {fault:?}: {applied:?}");
    }
}

/// All services are read at the end, as most were changed.
#[test]
fn a_service_that_was_not_changed_is_missed_when_all_are_read() {
    let (from, to) = (table(&[(1, &[(11, 1)])]), table(&[(1, &[(11, 1)]), (2, &[]), (3, &[])]));
    let (mut client, mut other) = watched(&from, 0, &[], |requests, third| {
        if matches!(requests, [Request::Change(Command::AddService(service))] if service.key() == key(3)) {
            third.delete_service(&key(1)).unwrap();
        }
    });
    let applied = change(&from, &to).apply(&mut client, |_| ControlFlow::Continue(())).unwrap();
    assert_eq!((applied.attempts, servers(&mut other, 1)), (2, vec![(11, 1)]), "{applied:?}");
}

/// While what was changed is read: another writer adds a destination of IPv6 and takes one of IPv4,
/// which comes back as soon as the destinations were counted. So there are as many of IPv4 as were
/// counted of both.
#[test]
fn a_destination_of_ipv6_is_not_overlooked_when_the_result_is_read() {
    let (from, to) = (table(&[(1, &[(11, 1)])]), table(&[(1, &[(11, 1), (12, 1)])]));
    let of_ipv6 =
        Destination::new("[2001:db8::1]:80".parse().unwrap()).with_forwarding(Forwarding::Tunnel(Tunnel::Ipip));
    let (mut is_sent, mut questions) = (false, 0);
    let (mut client, mut other) = watched(&from, 0, &[], move |requests, third| match requests {
        [Request::Change(Command::AddDestination(..))] => is_sent = true,
        [Request::Read(Read::Services)] if is_sent && questions == 0 => {
            third.delete_destination(&key(1), server(12).address).unwrap();
            third.add_destination(&key(1), &of_ipv6).unwrap();
            questions = 1;
        }
        // The first is about the numbers, the second about the destinations.
        [] if questions > 0 => {
            if questions == 2 {
                third.add_destination(&key(1), &server(12)).unwrap();
            }
            questions += 1;
        }
        _ => {}
    });
    let applied = change(&from, &to).apply(&mut client, |_| ControlFlow::Continue(())).unwrap();
    assert_eq!((applied.attempts, servers(&mut other, 1)), (2, vec![(11, 1), (12, 1)]), "{applied:?}");
}

/// Another writer takes the former destination away, or sets it to weight 0, at any point.
#[test]
fn an_undo_leaves_the_last_usable_destination_if_others_were_taken() {
    let from = table(&[(1, &[(11, 1)]), (2, &[])]);
    let added = Command::AddDestination(key(1), server(12));
    let retired = server(11).with_weight(Weight::ZERO);
    let deleted = Command::DeleteDestination(key(1), server(11).address);
    let retired_again = Command::EditDestination(key(1), retired.with_upper_threshold(100));
    let mut is_kept = 0;
    for to in [table(&[(1, &[(12, 1)])]), table(&[(1, &[(11, 1), (12, 1)])]), table(&[(1, &[(11, 0), (12, 1)])])] {
        for act in [deleted, Command::EditDestination(key(1), retired), retired_again] {
            for (interrupt, point) in (1..4).flat_map(|interrupt| (0..8).map(move |point| (interrupt, point))) {
                let (mut client, mut other) = faulty(&from, 0, &[]);
                let (mut third, mut calls) = (other.try_clone().unwrap(), 0);
                let made = change(&from, &to).apply(&mut client, |progress| {
                    if calls == point {
                        // Refused if the change has deleted it.
                        let _ = third.execute(&act);
                    }
                    calls += 1;
                    break_if(progress.phase != Phase::Undoing && calls > interrupt)
                });
                let Err(error) = made else { continue };
                // Else the other writer took the only one.
                if error.report.applied.contains(&added) {
                    let left = servers(&mut other, 1);
                    assert!(left.iter().any(|(_, weight)| *weight > 0), "{act} at {point}: {left:?} {error:?}");
                }
                let kept = Kept { command: added, reason: KeptReason::LastUsable };
                if error.report.kept.contains(&kept) {
                    assert_eq!(error.state, DirectorState::Partial);
                    is_kept += 1;
                }
            }
        }
    }
    assert!(is_kept > 0);
}

/// The kernel refuses a command of the change, and another one of the undo.
#[test]
fn an_undo_leaves_the_last_usable_destination_if_others_are_refused() {
    let from = table(&[(1, &[(11, 1)]), (2, &[])]);
    let mut is_kept = 0;
    for (first, second) in (1..5).flat_map(|first| (first + 1..9).map(move |second| (first, second))) {
        let kernel = FakeKernel::new(from.clone());
        for nth in [first, second] {
            kernel.refuse(nth, Errno::ENOMEM);
        }
        let made = change(&from, &table(&[(1, &[(12, 1)])])).apply(&mut kernel.client(), |_| break_if(false));
        assert_ne!(servers(&mut kernel.client(), 1), [], "{first} {second}: {made:?}");
        let Err(error) = made else { continue };
        is_kept += error.report.kept.iter().filter(|kept| kept.reason == KeptReason::LastUsable).count();
    }
    assert!(is_kept > 0);
}

/// Another writer makes exactly the service that the owner desires, before any call of the change.
#[test]
fn an_owner_takes_no_identical_service_over() {
    let desired = table(&[(1, &[(11, 1)]), (2, &[(11, 1)])]);
    let same = |commands: &[Command]| commands.contains(&Command::AddService(Service::new(key(1))));
    // Without and with the destination, and what makes the change read and plan again.
    for (is_whole, disturbs) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut stopped = 0;
        for at in 0..20 {
            let (mut call, mut is_made) = (0, false);
            let (mut client, mut other) = watched(&Table::new(), 0, &[], move |_, third| {
                if call == at && third.service(&key(1)).is_err() {
                    third.add_service(&Service::new(key(1))).unwrap();
                    if is_whole {
                        third.add_destination(&key(1), &server(11)).unwrap();
                    }
                    is_made = true;
                }
                if is_made && disturbs && third.delete_service(&key(2)).is_ok() {
                    is_made = false;
                }
                call += 1;
            });
            let planner = Planner::new().only_services().leaving_others();
            let change = Change::prepare(Table::new(), desired.clone(), planner).unwrap();
            match change.apply(&mut client, |_| ControlFlow::Continue(())) {
                Ok(applied) => {
                    assert!(same(&applied.commands) && !same(&applied.already_done), "{at}: {applied:?}");
                }
                Err(error) => {
                    assert_eq!(error.state, DirectorState::Undone, "{at}: {error:?}");
                    let is_about_it = |command: &Command| command.service_key() == Some(key(1));
                    assert!(!error.report.applied.iter().any(is_about_it), "{at}: {error:?}");
                    let left: &[_] = if is_whole { &[(11, 1)] } else { &[] };
                    assert_eq!(servers(&mut other, 1), left, "{at}: {error:?}");
                    stopped += 1;
                }
            }
        }
        assert!(stopped > 0, "{is_whole} {disturbs}");
    }
}

/// The table is read again before the owner's service is sent, and then another writer has made it.
#[test]
fn an_owner_takes_no_service_over_that_a_later_reading_shows() {
    let from = table(&[(2, &[(11, 1)])]);
    for servers in [&[][..], &[(11, 1)]] {
        let (mut client, mut other) = faulty(&from, 0, &[Fault::Fails(Errno::ENOBUFS)]);
        let planner = Planner::new().only_services().leaving_others();
        let change = Change::prepare(from.clone(), table(&[(1, &[(11, 1)]), (2, &[(11, 1)])]), planner).unwrap();
        let same = table(&[(1, servers)]);
        for command in crate::change::plan(&Table::new(), &same).commands() {
            other.execute(command).unwrap();
        }
        let error = change.apply(&mut client, |_| ControlFlow::Continue(())).unwrap_err();
        assert!(matches!(error.reason, StopReason::Contended), "{error:?}");
        assert_eq!(error.state, DirectorState::Untouched);
        assert_eq!(error.report.remaining[0], Command::AddService(Service::new(key(1))), "it names the service");
    }
}

/// An owner's own service is no other writer's because a reply was lost.
#[test]
fn a_service_of_an_owner_whose_reply_was_lost_is_its_own() {
    let (from, to) = (table(&[(1, &[(11, 1)])]), table(&[(3, &[(11, 1), (12, 1)]), (4, &[(11, 1)])]));
    let mut are_lost = 0;
    let faults = [Fault::Lost, Fault::Vanished, Fault::Late, Fault::Fails(Errno::ENOBUFS)];
    for (at, fault) in (0..40).flat_map(|at| faults.map(|fault| (at, fault))) {
        let (mut client, mut other) = faulty(&from, at, &[fault]);
        let change = Change::prepare(from.clone(), to.clone(), Planner::new().leaving_others()).unwrap();
        match change.apply(&mut client, |_| ControlFlow::Continue(())) {
            Ok(applied) => {
                assert!(crate::change::plan(&other.table().unwrap(), &to).is_empty(), "{at} {fault:?}: {applied:?}");
                are_lost += applied.unacknowledged.len();
            }
            // The table could not be read.
            Err(error) => assert!(matches!(error.reason, StopReason::Failed(_)), "{at} {fault:?}: {error:?}"),
        }
    }
    assert!(are_lost > 0);
}

/// The owner's service is deleted, and another writer makes it anew at once.
#[test]
fn a_service_that_replaces_the_deleted_one_of_an_owner_is_not_left_over() {
    let from = table(&[(1, &[(11, 1)])]);
    let (mut is_sent, mut is_made) = (false, false);
    let (mut client, mut other) = watched(&from, 0, &[], move |requests, third| {
        if is_sent && !std::mem::replace(&mut is_made, true) {
            third.add_service(&Service::new(key(1)).with_scheduler(Scheduler::LC)).unwrap();
            third.add_destination(&key(1), &server(77)).unwrap();
        }
        is_sent |= matches!(requests, [Request::Change(Command::DeleteService(_))]);
    });
    let change = Change::prepare(from, Table::new(), Planner::new().leaving_others()).unwrap();
    let error = change.apply(&mut client, |_| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(error.reason, StopReason::Contended), "{error:?}");
    assert_eq!(servers(&mut other, 1), [(77, 1)]);
}

/// Another writer undoes what was sent first, once the last command was sent: noticed, also if the
/// reply to the first was lost.
#[test]
fn what_was_not_acknowledged_is_read_at_the_end_too() {
    let (from, to) = (table(&[(1, &[(11, 1)]), (2, &[(11, 1)])]), table(&[(1, &[(11, 2)]), (2, &[(11, 2)])]));
    let mut are_lost = 0;
    for at in 0..12 {
        let (mut sent, mut is_undone) = (Vec::new(), false);
        let (mut client, mut other) = watched(&from, at, &[Fault::Lost], move |requests, third| {
            if let ([first, _], false) = (&sent[..], is_undone) {
                third.edit_destination(first, &server(11)).unwrap();
                is_undone = true;
            }
            for request in requests {
                match request {
                    Request::Change(Command::EditDestination(key, _)) if !sent.contains(key) => sent.push(*key),
                    _ => {}
                }
            }
        });
        // If the table could not be read after that, the change is undone.
        let Ok(applied) = change(&from, &to).apply(&mut client, |_| ControlFlow::Continue(())) else { continue };
        assert!(crate::change::plan(&other.table().unwrap(), &to).is_empty(), "{at}: {applied:?}");
        are_lost += applied.unacknowledged.len();
    }
    assert!(are_lost > 0);
}

/// Another writer undoes a command whose reply was lost, before the table is read again.
#[test]
fn what_the_table_does_not_show_is_not_reported_as_unacknowledged() {
    let to = table(&[(1, &[]), (2, &[])]);
    let mut is_hit = 0;
    for at in 0..12 {
        let mut is_undone = false;
        let (mut client, _) = watched(&Table::new(), at, &[Fault::Lost], move |requests, third| {
            if !is_undone && matches!(requests, [Request::Read(Read::Services)]) {
                is_undone = third.delete_service(&key(1)).is_ok();
            }
        });
        // If the table could not be read after that, the change is undone.
        let Ok(applied) = change(&Table::new(), &to).apply(&mut client, |_| ControlFlow::Continue(())) else {
            continue;
        };
        let twice = applied.unacknowledged.iter().filter(|command| applied.commands.contains(command));
        assert_eq!(twice.count(), 0, "{at}: {applied:?}");
        let added = applied.commands.iter().filter(|command| **command == Command::AddService(Service::new(key(1))));
        is_hit += usize::from(applied.attempts > 1 && added.count() == 1);
    }
    assert!(is_hit > 0);
}

/// Another writer deletes a service of the owner, a reading shows that, and another writer makes it
/// exactly alike.
#[test]
fn a_service_that_a_reading_did_not_show_is_no_longer_the_owners() {
    let desired = table(&[(1, &[]), (2, &[])]);
    let mut contended = 0;
    for at in 0..40 {
        let mut step = 0;
        let (mut client, _) = watched(&Table::new(), at, &[Fault::Fails(Errno::ENOBUFS)], move |requests, third| {
            step = match (step, requests) {
                (0, [Request::Change(Command::AddService(service))]) if service.key() == key(2) => 1,
                (1, _) => {
                    third.flush().unwrap();
                    2
                }
                (2, [Request::Change(Command::AddService(service))]) if service.key() == key(1) => {
                    third.add_service(&Service::new(key(2))).unwrap();
                    3
                }
                (step, _) => step,
            };
        });
        let planner = Planner::new().only_services().leaving_others();
        let change = Change::prepare(Table::new(), desired.clone(), planner).unwrap();
        match change.apply(&mut client, |_| ControlFlow::Continue(())) {
            // The refusal was lost, so it may be the owner's.
            Ok(applied) => assert_eq!(applied.unacknowledged, [Command::AddService(Service::new(key(2)))], "{at}"),
            Err(error) => contended += usize::from(matches!(error.reason, StopReason::Contended)),
        }
    }
    assert!(contended > 0);
}

/// Another writer makes the service after the reading, and the reply to the deletion of its
/// destination is lost.
#[test]
fn an_undo_takes_no_last_usable_destination_of_a_later_service_away() {
    let from = table(&[(2, &[(11, 1)])]);
    let mut is_kept = 0;
    for (at, fault) in (0..40).flat_map(|at| [Fault::Lost, Fault::Vanished].map(|fault| (at, fault))) {
        let (mut client, mut other) = faulty(&from, at, &[fault]);
        let change = change(&from, &table(&[(1, &[(12, 1)])]));
        other.add_service(&Service::new(key(1))).unwrap();
        other.add_destination(&key(1), &server(11)).unwrap();
        let made = change.apply(&mut client, |_| break_if(servers(&mut other, 1) == [(12, 1)]));
        assert_ne!(servers(&mut other, 1), [], "{at} {fault:?}: {made:?}");
        let Err(error) = made else { continue };
        is_kept += error.report.kept.iter().filter(|kept| kept.reason == KeptReason::LastUsable).count();
    }
    assert!(is_kept > 0);
}
