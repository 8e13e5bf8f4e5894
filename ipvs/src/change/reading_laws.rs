//! Changes by readings of many datagrams, while others disturb each dump: what succeeds is whole,
//! and what fails is undone, and says truly why.

use std::net::SocketAddr;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;
use crate::client::Client;
use crate::link::Link;
use crate::session::reading_laws::{Event, Staying, busy, cases, event, staying};
use crate::{Destination, Error, Family, Scheduler, Service, Weight};

/// What is desired beside what is there.
#[derive(Clone, Debug)]
struct Edits {
    /// Every which service is changed, from which on, and how.
    every: usize,
    first: usize,
    how: How,
    /// How many services are added.
    added: u32,
}

#[derive(Clone, Copy, Debug)]
enum How {
    Delete,
    EditService,
    AddDestination,
    DeleteDestinations,
    EditDestinations,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Whole,
    Some,
    Owner,
    KeepsWeights,
    WithoutDeletions,
}

impl Kind {
    fn planner(self) -> Planner {
        let planner = match self {
            Kind::Whole => return Planner::new(),
            Kind::Some => Planner::new(),
            Kind::Owner => Planner::new().only_services().leaving_others(),
            Kind::KeepsWeights => Planner::new().keep_weights(),
            Kind::WithoutDeletions => Planner::new().without_deletions(),
        };
        planner.services_where(|key| !Event::toggles(key))
    }
}

impl Edits {
    fn desired(&self, before: &Table) -> Table {
        let mut desired = before.clone();
        for entry in before.services().skip(self.first).step_by(self.every) {
            let key = entry.service().key();
            let added: SocketAddr = match key.family() {
                Family::V4 => "10.1.1.1:0".parse().unwrap(),
                Family::V6 => "[2001:db8:1::1]:0".parse().unwrap(),
            };
            let servers = entry.destinations().map(|state| state.destination);
            let commands: Vec<_> = match self.how {
                How::Delete => vec![Command::DeleteService(key)],
                How::EditService => vec![Command::EditService(Service::new(key).with_scheduler(Scheduler::LC))],
                How::AddDestination => vec![Command::AddDestination(key, Destination::new(added))],
                How::DeleteDestinations => {
                    servers.map(|server| Command::DeleteDestination(key, server.address)).collect()
                }
                How::EditDestinations => {
                    servers.map(|server| Command::EditDestination(key, server.with_weight(Weight::ZERO))).collect()
                }
            };
            commands.iter().for_each(|command| desired.apply(command).unwrap());
        }
        for n in 0..self.added {
            let family = if n % 3 == 2 { Family::V6 } else { Family::V4 };
            desired.apply(&Command::AddService(Service::new(Staying::key(5_000 + n, family)))).unwrap();
        }
        desired
    }
}

fn edits() -> impl Strategy<Value = Edits> {
    let how = prop::sample::select(vec![
        How::Delete,
        How::EditService,
        How::AddDestination,
        How::DeleteDestinations,
        How::EditDestinations,
    ]);
    let every = prop_oneof![1..4usize, 4..12usize, 20..100usize];
    let added = prop_oneof![Just(0u32), 0..5u32, 50..150u32];
    (every, 0..30usize, how, added).prop_map(|(every, first, how, added)| Edits { every, first, how, added })
}

/// Those of the commands that are not about what the others change.
fn undisturbed(commands: &[Command]) -> Vec<Command> {
    let toggled = Staying::key(0, Family::V4);
    let is_disturbed = |command: &Command| match command {
        Command::DeleteDestination(key, at) => *key == toggled && Event::toggles_destination(at),
        // With such destinations.
        Command::DeleteService(key) if *key == toggled => true,
        command => command.service_key().is_some_and(|key| Event::toggles(&key)),
    };
    commands.iter().filter(|command| !is_disturbed(command)).copied().collect()
}

#[test]
fn a_change_by_disturbed_readings_is_whole_or_undone() {
    let kind =
        prop::sample::select(vec![Kind::Whole, Kind::Some, Kind::Owner, Kind::KeepsWeights, Kind::WithoutDeletions]);
    let given = (staying(), any::<u64>(), vec(event(true), 0..40), edits(), kind, any::<bool>());
    TestRunner::new(cases())
        .run(&given, |(staying, seed, events, edits, kind, reads)| {
            let is_quiet = events.iter().all(|event| matches!(event, Event::Nothing));
            let before = staying.table();
            let (desired, planner) = (edits.desired(&before), kind.planner());
            let mut kernel = busy(&staying, seed, events);
            kernel.most_calls = 1_000_000;
            let witness = kernel.of_another_program();
            let mut client = Client::over(Link::Fake(Box::new(kernel)), Duration::from_secs(1)).unwrap();
            let made = if reads {
                match client.reconcile(&desired, &planner) {
                    Ok(applied) => Ok(applied),
                    Err(ReconcileError::Change(error)) => Err(error),
                    Err(ReconcileError::Read(Error::Unstable)) if !is_quiet => return Ok(()),
                    Err(error) => return Err(TestCaseError::fail(error.to_string())),
                }
            } else {
                let change = Change::prepare(before.clone(), desired.clone(), planner.clone()).unwrap();
                change.apply(&mut client, |_| ControlFlow::Continue(())).map_err(Box::new)
            };
            let end = witness.world().table.clone();
            let Err(error) = made else {
                let missing = undisturbed(planner.plan(&end, &desired).commands());
                prop_assert!(missing.is_empty(), "{:?}: {:?}", missing, made);
                return Ok(());
            };
            let kept: Vec<_> = error.report.kept.iter().filter_map(|kept| kept.command.service_key()).collect();
            let mut left = undisturbed(crate::change::plan(&end, &before).commands());
            left.retain(|command| !command.service_key().is_some_and(|key| kept.contains(&key)));
            prop_assert!(left.is_empty(), "{:?} is not undone: {:?}", left, error);
            prop_assert!(!is_quiet, "{:?}", error);
            match &error.reason {
                // An owner's change stops before the rest of it is done.
                StopReason::Contended => {
                    let remaining = &error.report.remaining;
                    let rest = undisturbed(remaining);
                    let is_early = kind == Kind::Owner && rest.len() < remaining.len();
                    prop_assert!(rest.is_empty() || is_early, "{:?} differs, and nobody touched it", rest);
                }
                StopReason::Failed(Error::Unstable) => {}
                _ => return Err(TestCaseError::fail(error.to_string())),
            }
            Ok(())
        })
        .unwrap();
}
