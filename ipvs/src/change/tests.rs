//! Other writers, interruptions and refusals at every point of a change, over the in-memory kernel.

use super::*;
use crate::client::Client;
use crate::{Cause, Destination, Errno, Forwarding, Service, ServiceKey, Weight};

fn key(n: u32) -> ServiceKey {
    format!("mark {n}").parse().unwrap()
}

fn server(n: u8) -> Destination {
    Destination::new(([192, 0, 2, n], 80).into()).with_forwarding(Forwarding::Masquerade)
}

/// These services with two destinations each: 500 take several datagrams.
fn table(services: impl IntoIterator<Item = u32>, weight: u32) -> Table {
    let mut table = Table::new();
    for n in services {
        table.apply(&Command::AddService(Service::new(key(n)))).unwrap();
        for server in [server(11), server(12)] {
            table.apply(&Command::AddDestination(key(n), server.with_weight(Weight::new(weight).unwrap()))).unwrap();
        }
    }
    table
}

fn is_as(client: &mut Client, table: &Table) -> bool {
    crate::change::plan(&client.table().unwrap(), table).is_empty()
}

/// Makes the change from one to the other while `meddle` changes the same kernel at each step;
/// returns what came of it.
fn change(
    (from, to): (Table, Table),
    mut meddle: impl FnMut(&mut Client, Progress) -> ControlFlow<()>,
) -> (Result<Applied, ChangeError>, Client) {
    let mut client = Client::fake(from);
    let mut other = client.try_clone().unwrap();
    let change = Change::prepare(client.table().unwrap(), to, Planner::new()).unwrap();
    let made = change.apply(&mut client, |progress| meddle(&mut other, progress));
    (made, client)
}

#[test]
fn what_is_as_desired_is_left_alone() {
    let same = || table(1..=50, 1);
    let mut calls = 0;
    let (made, _) = change((same(), same()), |_, _| {
        calls += 1;
        ControlFlow::Continue(())
    });
    assert_eq!((made.unwrap(), calls), (Applied::default(), 0));
}

#[test]
fn progress_is_reported_from_nothing_to_all() {
    let mut steps = Vec::new();
    let (made, mut client) = change((Table::new(), table(1..=500, 1)), |_, progress| {
        steps.push(progress);
        ControlFlow::Continue(())
    });
    assert_eq!(made.unwrap().commands.len(), 1500);
    assert_eq!((steps[0].done, steps[0].total, steps[0].phase), (0, 1500, Phase::Applying));
    assert!(steps.len() > 10 && steps.is_sorted_by(|a, b| a.done < b.done), "{steps:?}");
    assert!(is_as(&mut client, &table(1..=500, 1)));
}

#[test]
fn an_interruption_at_any_point_is_undone() {
    let (from, to) = (table(1..=200, 1), table(101..=300, 2));
    let mut points = 0;
    for point in 0.. {
        let mut step = 0;
        let (made, mut client) = change((from.clone(), to.clone()), |_, progress| {
            step += usize::from(progress.phase == Phase::Applying);
            if step > point { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let Err(unmade) = made else { break };
        let state = if point == 0 { DirectorState::Untouched } else { DirectorState::Undone };
        assert!(matches!(unmade.reason, StopReason::Interrupted) && unmade.state == state, "{point}: {unmade}");
        assert!(is_as(&mut client, &from), "{point}");
        points += 1;
    }
    assert!(points >= 5, "{points}");
}

#[test]
fn what_another_writer_has_done_already_counts_as_done() {
    let mut is_first = true;
    let (applied, mut client) = change((table([1], 1), table(2..=300, 1)), |other, progress| {
        if progress.done > 0 && std::mem::take(&mut is_first) {
            other.add_service(&Service::new(key(299))).unwrap();
            other.add_destination(&key(299), &server(11)).unwrap();
            other.delete_service(&key(1)).unwrap();
        }
        ControlFlow::Continue(())
    });
    let applied = applied.unwrap();
    let done = [
        Command::AddService(Service::new(key(299))),
        Command::AddDestination(key(299), server(11)),
        Command::DeleteService(key(1)),
    ];
    assert_eq!((applied.attempts, &applied.already_done[..]), (1, &done[..]));
    assert_eq!(applied.commands.len(), 3 * 299 + 1 - 3);
    assert!(is_as(&mut client, &table(2..=300, 1)));
}

#[test]
fn what_another_writer_made_different_is_planned_again() {
    let same = Service::new(key(299));
    // Another scheduler; a destination that is not desired; one with another weight.
    for (service, destination) in [
        (same.with_scheduler(crate::Scheduler::RR), server(11)),
        (same, server(13)),
        (same, server(11).with_weight(Weight::new(7).unwrap())),
    ] {
        let mut is_first = true;
        let (applied, mut client) = change((Table::new(), table(1..=300, 1)), |other, progress| {
            if progress.done > 0 && std::mem::take(&mut is_first) {
                other.add_service(&service).unwrap();
                other.add_destination(&key(299), &destination).unwrap();
            }
            ControlFlow::Continue(())
        });
        assert_eq!(applied.unwrap().attempts, 2, "{service:?} {destination:?}");
        assert!(is_as(&mut client, &table(1..=300, 1)), "what is not desired goes");
    }
}

#[test]
fn a_writer_who_never_stops_leads_to_undoing() {
    let (from, to) = (table(1..=100, 1), table(1..=300, 2));
    let at = server(11).address;
    let (applied, mut client) = change((from.clone(), to), |other, progress| {
        if progress.phase != Phase::Undoing && progress.done == 0 {
            // After each reading: takes away what was there, or adds what was not there, but
            // differently.
            if other.delete_destination(&key(100), at).is_err() {
                other.add_destination(&key(100), &server(11).with_weight(Weight::new(7).unwrap())).unwrap();
            }
            let _ = other.add_service(&Service::new(key(7000)));
        }
        ControlFlow::Continue(())
    });
    let error = applied.unwrap_err();
    assert!(matches!(error.reason, StopReason::Contended), "{error}");
    assert_eq!(error.state, DirectorState::Undone, "{:?}", error.report.kept);
    assert!(error.report.attempts <= 7, "{}", error.report.attempts);
    let is_about_it = |command: &Command| command.service_key() == Some(key(100));
    assert!(error.report.remaining.iter().any(is_about_it), "{:?}", error.report.remaining);
    let now = client.table().unwrap();
    assert!(now.service(&key(7000)).is_some(), "what another writer has added elsewhere stays");
    let back = Planner::new().without_deletions().plan(&now, &from);
    assert!(back.commands().iter().all(is_about_it) && back.commands().len() == 1, "{back:?}");
}

#[test]
fn after_a_refused_addition_nothing_is_taken_away() {
    let (from, mut to) = (table([1], 1), Table::new());
    to.apply(&Command::AddService(Service::new(key(1)))).unwrap();
    to.apply(&Command::AddDestination(key(1), server(13))).unwrap();
    let mut fewest = usize::MAX;
    let (applied, _) = change((from, to), |other, progress| {
        fewest = fewest.min(other.destinations(&key(1)).unwrap().len());
        if progress.done == 0 && progress.phase == Phase::Applying {
            other.add_destination(&key(1), &server(13).with_weight(Weight::ZERO)).unwrap();
        }
        ControlFlow::Continue(())
    });
    assert!(applied.unwrap().attempts > 1);
    assert_eq!(fewest, 2);
}

#[test]
fn a_deleted_service_that_another_writer_made_again_is_left_as_it_is() {
    let from = table(1..=200, 1);
    let (applied, mut client) = change((from.clone(), Table::new()), |other, progress| match progress.done {
        0 => ControlFlow::Continue(()),
        _ => {
            // The newest is deleted first.
            let _ = other.add_service(&Service::new(key(200)));
            ControlFlow::Break(())
        }
    });
    let error = applied.unwrap_err();
    assert_eq!(error.state, DirectorState::Undone, "{:?}", error.report.kept);
    assert!(client.destinations(&key(200)).unwrap().is_empty());
    client.delete_service(&key(200)).unwrap();
    assert!(is_as(&mut client, &table(1..=199, 1)), "the others are back, with their destinations");
}

/// No other writer causes that, and no other attempt cures it.
#[test]
fn a_refusal_for_good_stops_at_once_and_is_undone() {
    let from = table([1], 1);
    let mut client = Client::fake(from.clone());
    let mut to = table(1..=300, 1);
    let limit = Destination { upper_threshold: 1 << 31, ..server(13) };
    let mut older = Table::new().with_behaviors(crate::Behaviors::empty());
    older.apply(&Command::AddService(Service::new(key(300)))).unwrap();
    older.apply(&Command::AddDestination(key(300), limit)).unwrap();
    to.adopt(older.service(&key(300)).unwrap().clone());
    // Planned for a kernel that takes the limit, and sent to one that does not.
    let before = client.table().unwrap().with_behaviors(crate::Behaviors::empty());
    let change = Change::prepare(before, to, Planner::new()).unwrap();
    let error = change.apply(&mut client, |_| ControlFlow::Continue(())).unwrap_err();
    let StopReason::Refused(refused) = &error.reason else { panic!("{error}") };
    assert_eq!(refused.command, Command::AddDestination(key(300), limit));
    assert_eq!(refused.cause, Some(Cause::UpperThreshold(1 << 31)));
    assert_eq!((error.state, error.report.attempts), (DirectorState::Undone, 1));
    assert_eq!(error.report.undone.len(), 299, "each service as a whole");
    assert!(is_as(&mut client, &from));
}

/// A kernel that ignores kinds of tunnels, with these services; and what is desired: three services
/// with a destination behind gue each.
fn without_tunnel_kinds(from: Table) -> (Client, Table) {
    let kinds = crate::Behaviors::TUNNEL_KINDS;
    let client = Client::fake(from.with_behaviors(crate::Behaviors::all() - kinds));
    let mut to = table(1..=3, 1);
    for n in 1..=3 {
        to.apply(&Command::AddDestination(key(n), behind_gue())).unwrap();
    }
    (client, to)
}

fn behind_gue() -> Destination {
    server(13).with_forwarding(Forwarding::Tunnel("gue:6080".parse().unwrap()))
}

fn is_about_tunnel(rejected: &Rejected) -> bool {
    let [_, (Command::AddDestination(..) | Command::EditDestination(..), cause), _] = rejected.refusals[..] else {
        return false;
    };
    matches!(cause, Cause::TunnelIgnored { at, .. } if at == behind_gue().address)
}

/// Before any service is there, the kernel can't be asked. What it makes is read back.
#[test]
fn an_ignored_kind_of_tunnel_is_found_out_and_undone() {
    for is_owners in [false, true] {
        let (mut client, to) = without_tunnel_kinds(Table::new());
        let planner = if is_owners { Planner::new().leaving_others() } else { Planner::new() };
        let error = match client.reconcile(&to, &planner) {
            Err(ReconcileError::Change(error)) => error,
            other => panic!("{other:?}"),
        };
        let StopReason::Rejected(rejected) = &error.reason else { panic!("{error}") };
        assert!(is_about_tunnel(rejected), "{rejected}");
        assert!(error.to_string().contains("192.0.2.13:80 of mark 1 would be behind ipip, not gue:6080"), "{error}");
        assert_eq!((error.state, error.report.attempts), (DirectorState::Undone, 1), "{error}");
        assert!(is_as(&mut client, &Table::new()));
    }
}

#[test]
fn an_ignored_kind_of_tunnel_is_rejected_before_anything_is_sent_if_a_service_is_there() {
    let from = table([1], 1);
    let (mut client, to) = without_tunnel_kinds(from.clone());
    for _ in 0..2 {
        let rejected = match client.reconcile(&to, &Planner::new()) {
            Err(ReconcileError::Rejected(rejected)) => rejected,
            other => panic!("{other:?}"),
        };
        assert!(is_about_tunnel(&rejected), "{rejected}");
        assert!(is_as(&mut client, &from));
    }
    // Of what only another writer changes the kernel is not accused.
    let mut newer = Client::fake(from);
    let mut other = newer.try_clone().unwrap();
    let change = Change::prepare(newer.table().unwrap(), to.clone(), Planner::new()).unwrap();
    let mut is_first = true;
    let made = change.apply(&mut newer, |progress| {
        if progress.done == progress.total && std::mem::take(&mut is_first) {
            let ipip = behind_gue().with_forwarding(Forwarding::Tunnel(crate::Tunnel::Ipip));
            other.edit_destination(&key(1), &ipip).unwrap();
        }
        ControlFlow::Continue(())
    });
    assert_eq!(made.map(|applied| applied.attempts).unwrap(), 1 + usize::from(!is_first));
    assert!(is_as(&mut newer, &to));
}

#[test]
fn foreseeable_refusals_are_reported_before_anything_is_sent() {
    let mut from = Table::new();
    from.apply(&Command::StartDaemon(crate::Daemon::new(crate::DaemonRole::Master, crate::InterfaceName::LOOPBACK)))
        .unwrap();
    let mut to = table([1], 1);
    let mixed =
        Destination::new("[2001:db8::11]:80".parse().unwrap()).with_forwarding(Forwarding::Tunnel(crate::Tunnel::Ipip));
    to.apply(&Command::AddDestination(key(1), mixed)).unwrap();
    assert!(Change::prepare(from.clone(), to.clone(), Planner::new()).is_ok(), "the daemon goes first");
    let rejected = Change::prepare(from, to, Planner::new().without_daemons()).unwrap_err();
    let [(Command::AddDestination(at, _), cause)] = rejected.refusals[..] else { panic!("{rejected:?}") };
    assert_eq!((at, cause.errno()), (key(1), Errno::EINVAL));
}

#[test]
fn a_daemon_is_tried_beside_services_that_stay_as_they_are() {
    let mut from = table([1], 1);
    let mixed =
        Destination::new("[2001:db8::11]:80".parse().unwrap()).with_forwarding(Forwarding::Tunnel(crate::Tunnel::Ipip));
    from.apply(&Command::AddDestination(key(1), mixed)).unwrap();
    let mut to = Table::new();
    to.apply(&Command::StartDaemon(crate::Daemon::new(crate::DaemonRole::Master, crate::InterfaceName::LOOPBACK)))
        .unwrap();
    let rejected = Change::prepare(from, to, Planner::new().without_services()).unwrap_err();
    let [(Command::StartDaemon(_), cause)] = rejected.refusals[..] else { panic!("{rejected:?}") };
    assert_eq!(cause.errno(), Errno::EINVAL);
}

#[test]
fn timeouts_and_daemons_are_undone_too() {
    let from = Table::new();
    let mut to = table(1..=100, 1);
    to.apply(&Command::SetTimeouts(crate::Timeouts { tcp: Some(60), ..Default::default() })).unwrap();
    let (made, mut client) = change((from.clone(), to), |_, progress| match progress.done {
        0 => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    });
    assert_eq!(made.unwrap_err().state, DirectorState::Undone);
    assert!(is_as(&mut client, &from));
}

/// Makes a change. Returns each call of the hook, with the number of services then.
fn around(
    from: Table,
    to: Table,
    fail_at: Option<Phase>,
) -> (Result<Applied, ChangeError>, Vec<(Phase, usize)>, Client) {
    let mut client = Client::fake(from);
    let mut other = client.try_clone().unwrap();
    let change = Change::prepare(client.table().unwrap(), to, Planner::new()).unwrap();
    let mut calls = Vec::new();
    let mut hook = |phase| {
        calls.push((phase, other.table().unwrap().services().len()));
        if fail_at == Some(phase) { Err("no marks here".to_owned()) } else { Ok(()) }
    };
    let made = change.apply_with(&mut client, &mut hook, |_| ControlFlow::Continue(()));
    (made, calls, client)
}

#[test]
fn the_hook_is_called_when_old_and_new_services_are_there() {
    let (made, calls, _) = around(table(1..=20, 1), table(11..=30, 1), None);
    assert!(made.is_ok());
    assert_eq!(calls, [(Phase::Applying, 30)]);
    let (made, calls, _) = around(table(1..=2, 1), table(1..=2, 1), None);
    assert!(made.is_ok() && calls == [(Phase::Applying, 2)], "even if nothing else changes: {calls:?}");
}

#[test]
fn a_hook_that_fails_undoes_all() {
    let (made, calls, mut client) = around(table(1..=20, 1), table(11..=30, 1), Some(Phase::Applying));
    let unmade = made.unwrap_err();
    assert_eq!(unmade.to_string(), "no marks here; what had been changed was undone");
    assert_eq!(calls, [(Phase::Applying, 30)], "it has nothing to undo");
    assert!(is_as(&mut client, &table(1..=20, 1)));
    let unmade = around(table(1..=2, 1), table(1..=1, 1), Some(Phase::Applying)).0.unwrap_err();
    assert_eq!(unmade.state, DirectorState::Untouched);
}

#[test]
fn work_of_the_hook_is_undone_between_the_passes() {
    let mut client = Client::fake(table(1..=300, 1));
    let change = Change::prepare(client.table().unwrap(), table(301..=310, 1), Planner::new()).unwrap();
    let mut other = client.try_clone().unwrap();
    let mut calls = Vec::new();
    let mut hook = |phase| {
        calls.push((phase, other.table().unwrap().services().len()));
        Ok(())
    };
    // Some of the old services are deleted already.
    let made = change.apply_with(&mut client, &mut hook, |progress| match progress.done {
        done if done > 60 && progress.phase == Phase::Applying => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    assert_eq!(made.unwrap_err().state, DirectorState::Undone);
    assert_eq!(calls, [(Phase::Applying, 310), (Phase::Undoing, 310)]);
    assert!(is_as(&mut client, &table(1..=300, 1)));
}

/// Before: service 1. Desired: service 2 instead. Another writer adds 2 just before the first
/// command, and deletes 1 just before the next attempt or the deletion.
#[test]
fn another_writer_with_the_same_aim_is_left_its_work() {
    let (made, mut client) = change((table([1], 1), table([2], 1)), |other, progress| {
        match (progress.phase, progress.done) {
            (Phase::Applying, 0) => table([2], 1).services().for_each(|entry| {
                other.add_service(entry.service()).unwrap();
                for state in entry.destinations() {
                    other.add_destination(&key(2), &state.destination).unwrap();
                }
            }),
            _ => drop(other.delete_service(&key(1))),
        }
        ControlFlow::Continue(())
    });
    assert!(is_as(&mut client, &table([2], 1)), "{made:?}");
    assert_eq!(made.unwrap().commands, [], "the other writer did it all");
}

#[test]
fn a_service_that_may_not_be_deleted_itself_stays() {
    let named = [11, 12].map(|n| EntryKey::destination(key(1), server(n).address));
    let plan = Planner::new().only_these_deletions(named).plan(&table([1], 1), &Table::new());
    assert_eq!(plan.commands(), [12, 11].map(|n| Command::DeleteDestination(key(1), server(n).address)));
}

/// Makes service 4 otherwise than desired, and two services that are not desired: the change is
/// planned again.
fn make_others(director: &mut Client) {
    director.add_service(&Service::new(key(4)).with_scheduler(crate::Scheduler::LC)).unwrap();
    for n in [10, 11] {
        director.add_service(&Service::new(key(n))).unwrap();
    }
}

#[test]
fn limits_of_deletions_bind_each_attempt() {
    let (from, to) = (table(1..=3, 1), table([1, 2, 4], 1));
    let too_many = DeletionsError::TooMany { services: 3, destinations: 2, limit: 4 };
    let planners = [
        (Planner::new().max_deletions(5), None),
        (Planner::new().max_deletions(4), Some(too_many)),
        (Planner::new().approved_deletions([3, 10, 11].map(key)), None),
        (Planner::new().approved_deletions([key(3)]), Some(DeletionsError::NotApproved(key(11)))),
    ];
    for (planner, refused) in planners {
        let mut client = Client::fake(from.clone());
        let mut other = client.try_clone().unwrap();
        let change = Change::prepare(client.table().unwrap(), to.clone(), planner).unwrap();
        let made = change.apply(&mut client, |progress| {
            if (progress.phase, progress.done) == (Phase::Applying, 0) {
                make_others(&mut other);
            }
            ControlFlow::Continue(())
        });
        match (made, refused) {
            (Ok(applied), None) => assert_eq!(applied.attempts, 2),
            (Err(error), Some(refused)) => {
                assert!(matches!(error.reason, StopReason::Deletions(reason) if reason == refused), "{error}");
                assert_eq!(error.state, DirectorState::Undone);
                assert!(client.table().unwrap().service(&key(3)).is_some());
            }
            (made, refused) => panic!("{made:?} {refused:?}"),
        }
    }
}

/// The destinations of service 1 with their weights and upper thresholds.
fn limits(client: &mut Client) -> Vec<(u8, u32, u32)> {
    let mut limits: Vec<_> = client
        .destinations(&key(1))
        .unwrap()
        .into_iter()
        .map(|state| {
            let std::net::IpAddr::V4(ip) = state.destination.address.ip() else { panic!("IPv4") };
            (ip.octets()[3], state.destination.weight.get(), state.destination.upper_threshold)
        })
        .collect();
    limits.sort();
    limits
}

/// A health checker sets weights between the reading and the edit of something else.
#[test]
fn a_weight_that_is_kept_is_the_newest_one() {
    let before = table([1], 5);
    let mut desired = before.clone();
    for server in [server(11), server(12)] {
        let edited = Destination { upper_threshold: 100, ..server.with_weight(Weight::new(9).unwrap()) };
        desired.apply(&Command::EditDestination(key(1), edited)).unwrap();
    }
    for fails in [false, true] {
        let mut client = Client::fake(before.clone());
        let mut checker = client.try_clone().unwrap();
        let change = Change::prepare(client.table().unwrap(), desired.clone(), Planner::new().keep_weights()).unwrap();
        checker.edit_destination(&key(1), &server(11).with_weight(Weight::ZERO)).unwrap();
        let hook = |phase| if fails && phase != Phase::Undoing { Err("no".to_owned()) } else { Ok(()) };
        let made = change.apply_with(&mut client, hook, |_| ControlFlow::Continue(()));
        assert_eq!(made.is_err(), fails);
        let threshold = if fails { 0 } else { 100 };
        assert_eq!(limits(&mut client), [(11, 0, threshold), (12, 5, threshold)]);
    }
}

/// Another program deletes a service and makes it anew, after it was read for its former owner.
#[test]
fn an_owner_leaves_alone_what_was_made_anew_since_the_reading() {
    let before = table(1..=2, 1);
    let mut desired = table(1..=2, 7);
    desired.apply(&Command::AddDestination(key(2), server(13))).unwrap();
    desired.apply(&Command::DeleteDestination(key(2), server(11).address)).unwrap();
    for foreign in [1, 2].map(key) {
        let mut client = Client::fake(before.clone());
        let mut other = client.try_clone().unwrap();
        let planner = Planner::new().leaving_others();
        let change = Change::prepare(client.table().unwrap(), desired.clone(), planner).unwrap();
        other.delete_service(&foreign).unwrap();
        other.add_service(&Service::new(foreign).with_scheduler(crate::Scheduler::LC)).unwrap();
        let server = server(12).with_weight(Weight::new(3).unwrap());
        other.add_destination(&foreign, &server).unwrap();
        let error = change.apply(&mut client, |_| ControlFlow::Continue(())).unwrap_err();
        assert!(matches!(error.reason, StopReason::Contended), "{error}");
        let applied = &error.report.applied;
        assert!(applied.iter().all(|command| command.service_key() != Some(foreign)), "{applied:?}");
        let found = client.destinations(&foreign).unwrap();
        assert_eq!(found.iter().map(|state| state.destination).collect::<Vec<_>>(), [server]);
    }
}

/// Makes a change while another program does this right before the deletions.
fn disturbed(change: &Change, mut disturb: impl FnMut(&mut Client)) -> (Result<Applied, ChangeError>, Client) {
    let mut client = Client::fake(change.before().clone());
    let mut other = client.try_clone().unwrap();
    let hook = |phase| {
        if phase != Phase::Undoing {
            disturb(&mut other);
        }
        Ok(())
    };
    (change.apply_with(&mut client, hook, |_| ControlFlow::Continue(())), client)
}

#[test]
fn destinations_added_before_a_service_is_deleted_count() {
    let planner = Planner::new().max_deletions(7);
    let change = Change::prepare(table(1..=2, 1), Table::new(), planner).unwrap();
    for (more, is_made) in [(0, true), (1, true), (2, false)] {
        // The service that is deleted first.
        let (made, mut client) = disturbed(&change, |other| {
            (13..13 + more).for_each(|n| other.add_destination(&key(2), &server(n)).unwrap());
        });
        let Err(error) = made else {
            assert!(is_made && client.services().unwrap().is_empty());
            continue;
        };
        let expected = DeletionsError::TooMany { services: 2, destinations: 6, limit: 7 };
        assert!(matches!(error.reason, StopReason::Deletions(reason) if reason == expected), "{error}");
        assert!(!is_made && error.state == DirectorState::Untouched, "{error}");
    }
}

/// Another program adds a destination to a service of the owner, or edits one, after the reading.
#[test]
fn an_owner_takes_no_destination_from_another_writer() {
    let before = table(1..=1, 1);
    let mut without = before.clone();
    without.apply(&Command::DeleteDestination(key(1), server(12).address)).unwrap();
    let mut retired = before.clone();
    retired.apply(&Command::EditDestination(key(1), server(12).with_weight(Weight::ZERO))).unwrap();
    let other_weight = server(12).with_weight(Weight::new(7).unwrap());
    let (foreign, edited) =
        (Command::AddDestination(key(1), server(13)), Command::EditDestination(key(1), other_weight));
    for (desired, act, stops) in [
        (&Table::new(), foreign, true),
        (&Table::new(), edited, true),
        (&without, edited, true),
        (&retired, edited, true),
        // It is not about that one.
        (&without, foreign, false),
        (&retired, foreign, false),
    ] {
        let change = Change::prepare(before.clone(), desired.clone(), Planner::new().leaving_others()).unwrap();
        let (made, mut client) = disturbed(&change, |other| other.execute(&act).unwrap());
        assert_eq!(made.is_err(), stops, "{act}: {made:?}");
        if let Err(error) = made {
            assert!(matches!(error.reason, StopReason::Contended), "{error}");
            assert_eq!(error.report.applied, []);
        }
        let there = client.destinations(&key(1)).unwrap();
        let (Command::AddDestination(_, made) | Command::EditDestination(_, made)) = act else { panic!() };
        assert!(there.iter().any(|state| state.destination == made), "{act}: {there:?}");
    }
}

/// A health checker changes the weight of a destination whose forwarding the change has edited,
/// before the undo.
#[test]
fn what_an_edit_leaves_beside_the_edit_of_another_writer_is_reported() {
    let before = table(1..=1, 1);
    let edited = server(11).with_forwarding(Forwarding::DirectRoute);
    let edited_service = Service::new(key(1)).with_scheduler(crate::Scheduler::RR);
    let mut desired = before.clone();
    desired.apply(&Command::EditDestination(key(1), edited)).unwrap();
    desired.apply(&Command::EditService(edited_service)).unwrap();
    let change = Change::prepare(before, desired, Planner::new()).unwrap();
    let mut of_others = edited_service;
    of_others.one_packet = true;
    for (weight, forwarding, scheduler, kept) in [
        (7, Forwarding::DirectRoute, crate::Scheduler::RR, 2),
        // Nothing of the change is left.
        (7, Forwarding::Masquerade, crate::Scheduler::LC, 0),
    ] {
        let mut client = Client::fake(change.before().clone());
        let mut other = client.try_clone().unwrap();
        let hook = |phase| {
            if phase == Phase::Undoing {
                return Ok(());
            }
            let weight = Weight::new(weight).unwrap();
            other.edit_destination(&key(1), &edited.with_weight(weight).with_forwarding(forwarding)).unwrap();
            other.edit_service(&of_others.with_scheduler(scheduler)).unwrap();
            Err("no".to_owned())
        };
        let error = change.apply_with(&mut client, hook, |_| ControlFlow::Continue(())).unwrap_err();
        let mut commands: Vec<_> = error.report.kept.iter().map(|kept| kept.command).collect();
        commands.reverse();
        let expected = [Command::EditService(edited_service), Command::EditDestination(key(1), edited)];
        assert_eq!(commands, expected[..kept], "{error:?}");
        assert!(error.report.kept.iter().all(|kept| kept.reason == KeptReason::Changed));
        let state = if kept > 0 { DirectorState::Partial } else { DirectorState::Undone };
        assert_eq!(error.state, state);
    }
}

#[test]
fn what_another_writer_undoes_at_any_point_is_made_again() {
    let (from, to) = (table(1..=150, 1), table(101..=300, 2));
    let other_service = Service::new(key(120)).with_scheduler(crate::Scheduler::LC);
    let acts = [
        Command::Flush,
        Command::DeleteService(key(120)),
        Command::EditService(other_service),
        Command::DeleteDestination(key(120), server(11).address),
        Command::EditDestination(key(120), server(11).with_weight(Weight::new(7).unwrap())),
        Command::AddDestination(key(120), server(13)),
        Command::DeleteService(key(300)),
        Command::EditDestination(key(300), server(11).with_weight(Weight::new(7).unwrap())),
    ];
    for act in acts {
        let mut noticed = 0;
        for point in 0.. {
            let mut step = 0;
            let (made, mut client) = change((from.clone(), to.clone()), |other, _| {
                step += 1;
                if step == point + 1 {
                    // Refused while the service is not there yet.
                    let _ = other.execute(&act);
                }
                ControlFlow::Continue(())
            });
            let applied = made.unwrap();
            assert!(is_as(&mut client, &to), "{act} at {point}: {applied:?}");
            noticed += usize::from(applied.attempts > 1);
            if step <= point {
                break;
            }
        }
        assert!(noticed > 0, "{act} never mattered");
    }
}

#[test]
fn a_deleted_service_that_the_change_sent_nothing_about_comes_back() {
    for services in [10, 500] {
        for act in [Command::Flush, Command::DeleteService(key(1))] {
            let (from, to) = (table(1..=services, 1), table(1..=services + 1, 1));
            let (made, mut client) = change((from, to.clone()), |other, progress| {
                if progress.phase == Phase::Applying {
                    other.execute(&act).unwrap();
                }
                ControlFlow::Continue(())
            });
            assert_eq!(made.unwrap().attempts, 2, "{act}");
            assert!(is_as(&mut client, &to), "{act}");
        }
    }
}

#[test]
fn nothing_is_deleted_before_what_was_added_is_there() {
    let change = Change::prepare(table([1], 1), table([2], 1), Planner::new()).unwrap();
    for act in [Command::DeleteService(key(2)), Command::DeleteDestination(key(2), server(11).address)] {
        let (made, mut client) = disturbed(&change, |other| other.execute(&act).unwrap());
        let applied = made.unwrap();
        assert_eq!((applied.attempts, applied.commands.last()), (2, Some(&Command::DeleteService(key(1)))), "{act}");
        assert!(is_as(&mut client, &table([2], 1)), "{act}");
    }
}

/// A kernel without UDP acknowledges a timeout of it, and does nothing.
#[test]
fn a_timeout_that_the_kernel_has_not_is_no_difference() {
    let timeouts = crate::Timeouts::new().with_tcp(900).with_tcp_fin(120);
    let mut client = Client::fake(Table::read(Vec::new(), timeouts, Vec::new(), Table::new().info()));
    let mut desired = Table::new();
    desired.apply(&Command::SetTimeouts(timeouts.with_tcp(60).with_udp(60))).unwrap();
    let applied = client.reconcile(&desired, &Planner::new()).unwrap();
    assert_eq!(applied.commands, [Command::SetTimeouts(crate::Timeouts::new().with_tcp(60))]);
    client.set_timeouts(crate::Timeouts::new().with_udp(60)).unwrap();
    assert_eq!(client.timeouts().unwrap(), timeouts.with_tcp(60));
}

/// No kernel has both, but two readings of one may have.
#[test]
fn a_daemon_beside_an_added_destination_of_another_family_is_foreseen() {
    let key: ServiceKey = "mark 1".parse().unwrap();
    let mixed =
        Destination::new("[2001:db8::1]:0".parse().unwrap()).with_forwarding(Forwarding::Tunnel(crate::Tunnel::Ipip));
    let mut table = Table::new();
    table.apply(&Command::AddService(Service::new(key))).unwrap();
    table.apply(&Command::AddDestination(key, mixed)).unwrap();
    let daemon = crate::Daemon::new(crate::DaemonRole::Master, crate::InterfaceName::LOOPBACK);
    let services = table.services().cloned().collect();
    let desired = Table::read(services, table.timeouts(), vec![daemon], table.info());
    let rejected = Change::prepare(Table::new(), desired, Planner::new()).unwrap_err();
    let expected = Cause::DaemonBesideMixedFamilies { service: key, at: mixed.address };
    assert_eq!(rejected.refusals, [(Command::StartDaemon(daemon), expected)]);
}
