//! The law of changes: whatever another writer does, at every point of a change, none of its
//! acknowledged work is lost unless the desired state asks for it, and what is reported is true.
//!
//! `IPVS_LAW_CASES=20000 cargo test --release -p linux-ipvs --lib change::law` for a long run.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};

use super::engine::is_made;
use super::*;
use crate::change::plan::laws;
use crate::client::Client;
use crate::fake::log::Event;
use crate::fake::{Fake, Fault};
use crate::link::Link;
use crate::table::DestinationState;
use crate::wire::{self, Body, Read, Request};
use crate::{Destination, Service, ServiceKey, Weight, change::EntryKey};

/// The number of the socket that makes the change, and so of its events.
const CHANGE: usize = 0;

/// What another writer does at a point of the change.
#[derive(Clone, Debug)]
enum Act {
    /// Anything.
    Any(Command),
    /// Something about the service or destination that the next datagram is about: which of its
    /// requests, and what.
    Meddle(usize, Meddling),
}

#[derive(Clone, Copy, Debug)]
enum Meddling {
    Same,
    Differently,
    DeleteDestination,
    DeleteService,
    EditService,
    AddDestination,
    ReplaceService,
}

#[derive(Clone, Debug)]
struct Case {
    before: Table,
    desired: Table,
    /// How many requests a datagram has at most.
    window: usize,
    /// The acts of another writer, each with the call of the change before which it comes.
    acts: Vec<(usize, Act)>,
    /// At which call of the progress callback it breaks.
    interrupt: Option<usize>,
    hook_fails: bool,
    only_services: bool,
    keep_weights: bool,
    leaves_others: bool,
    max_deletions: Option<usize>,
}

impl Case {
    fn planner(&self) -> Planner {
        let mut planner = Planner::new();
        if self.only_services {
            planner = planner.only_services();
        }
        if self.keep_weights {
            planner = planner.keep_weights();
        }
        if self.leaves_others {
            planner = planner.leaving_others();
        }
        self.max_deletions.into_iter().fold(planner, Planner::max_deletions)
    }

    /// Equal, but for weights if they are kept.
    fn is_same(&self, a: Option<Value>, b: Option<Value>) -> bool {
        let unweighted = |value| match value {
            Some(Value::Destination(server)) if self.keep_weights => {
                Some(Value::Destination(server.with_weight(Weight::ZERO)))
            }
            value => value,
        };
        unweighted(a) == unweighted(b)
    }
}

fn command() -> impl Strategy<Value = Command> {
    let (key, service, destination) = (laws::key, laws::service, laws::destination);
    prop_oneof![
        2 => service().prop_map(Command::AddService),
        2 => service().prop_map(Command::EditService),
        2 => key().prop_map(Command::DeleteService),
        3 => (key(), destination()).prop_map(|(key, destination)| Command::AddDestination(key, destination)),
        3 => (key(), destination()).prop_map(|(key, destination)| Command::EditDestination(key, destination)),
        2 => (key(), destination()).prop_map(|(key, destination)| Command::DeleteDestination(key, destination.address)),
        1 => Just(Command::Flush),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    use Meddling::*;
    let meddling = prop::sample::select(vec![
        Same,
        Differently,
        DeleteDestination,
        DeleteService,
        EditService,
        AddDestination,
        ReplaceService,
    ]);
    prop_oneof![
        1 => command().prop_map(Act::Any),
        3 => (0..4usize, meddling).prop_map(|(which, meddling)| Act::Meddle(which, meddling)),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let acts = prop_oneof![
        4 => vec((0..60usize, act()), 0..4),
        1 => vec((0..120usize, act()), 0..60),
    ];
    let stop = (option::weighted(0.5, 0..12usize), prop::bool::weighted(0.15), any::<bool>());
    let restrictions = (prop::bool::weighted(0.3), prop::bool::weighted(0.3), option::weighted(0.3, 0..8usize));
    (laws::table(), laws::table(), 1..4usize, acts, stop, restrictions).prop_map(
        |(
            before,
            desired,
            window,
            acts,
            (interrupt, hook_fails, only_services),
            (keep_weights, leaves_others, max_deletions),
        )| Case {
            before,
            desired,
            window,
            acts,
            interrupt,
            hook_fails,
            only_services,
            keep_weights,
            leaves_others,
            max_deletions,
        },
    )
}

/// The keys and commands that a datagram is about.
fn requests(datagram: &[u8]) -> Vec<(ServiceKey, Option<Command>)> {
    let request = |message: Result<(wire::Header, Body<'_>), _>| {
        let Ok((header, Body::Family { command, attrs })) = message else { return None };
        match wire::decode_request(&header, command, attrs).ok()?? {
            Request::Change(command) => Some((command.service_key()?, Some(command))),
            Request::Read(Read::Service(key) | Read::Destinations(key)) => Some((key, None)),
            _ => None,
        }
    };
    wire::messages(datagram).filter_map(request).collect()
}

/// Commands of another writer about the same entry.
fn meddle(how: Meddling, key: ServiceKey, command: Option<Command>) -> Vec<Command> {
    let (at, server) = match command {
        Some(Command::AddDestination(_, server) | Command::EditDestination(_, server)) => (server.address, server),
        Some(Command::DeleteDestination(_, at)) => (at, Destination::new(at)),
        _ => {
            let at = "192.0.2.11:80".parse().unwrap();
            (at, Destination::new(at))
        }
    };
    let other = server.with_weight(Weight::new(77).unwrap());
    let service = Service::new(key).with_scheduler(crate::Scheduler::LC);
    match how {
        Meddling::Same => command.into_iter().collect(),
        Meddling::Differently => match command {
            Some(Command::AddService(_)) => vec![Command::AddService(service)],
            Some(Command::EditService(_)) => vec![Command::EditService(service)],
            Some(Command::AddDestination(..)) => vec![Command::AddDestination(key, other)],
            _ => vec![Command::EditDestination(key, other)],
        },
        Meddling::DeleteDestination => vec![Command::DeleteDestination(key, at)],
        Meddling::DeleteService => vec![Command::DeleteService(key)],
        Meddling::EditService => vec![Command::EditService(service)],
        Meddling::AddDestination => vec![Command::AddDestination(key, other)],
        Meddling::ReplaceService => vec![Command::DeleteService(key), Command::AddService(service)],
    }
}

/// A client of a kernel beside which another writer works, and with whose calls this goes wrong.
fn contended(case: &Case, faults: &[Option<Fault>]) -> (Client, Fake) {
    /// Calls to connect.
    const CONNECT: usize = 2;
    let kernel = Fake::new(case.before.clone());
    let (witness, other) = (kernel.of_another_program(), kernel.of_another_program());
    let mut link = kernel;
    link.window = case.window;
    let mut other = client_of(Link::Fake(Box::new(other)));
    let (mut call, mut last, acts) = (0, Vec::new(), case.acts.clone());
    let write = move |datagram: &[u8]| {
        let about = requests(datagram);
        if !about.is_empty() {
            last = about;
        }
        for (_, act) in acts.iter().filter(|(at, _)| *at == call) {
            let commands = match act {
                Act::Any(command) => vec![*command],
                Act::Meddle(..) if last.is_empty() => Vec::new(),
                Act::Meddle(which, how) => {
                    let (key, command) = last[which % last.len()];
                    meddle(*how, key, command)
                }
            };
            for command in commands {
                // Refused ones are no work that could be lost.
                let _ = other.execute(&command);
            }
        }
        call += 1;
    };
    link.script().writer = Some(Box::new(write));
    link.script().faults = std::iter::repeat_n(None, CONNECT).chain(faults.iter().copied()).collect();
    (client_of(Link::Fake(Box::new(link))), witness)
}

fn client_of(link: Link) -> Client {
    Client::over(link, Duration::from_secs(1)).unwrap()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Value {
    Service(Service),
    Destination(Destination),
}

fn entries(table: &Table) -> BTreeMap<EntryKey, Value> {
    let mut entries = BTreeMap::new();
    for entry in table.services() {
        let key = entry.service().key();
        entries.insert(EntryKey::service(key), Value::Service(*entry.service()));
        for state in entry.destinations() {
            let at = EntryKey::destination(key, state.destination.address);
            entries.insert(at, Value::Destination(state.destination));
        }
    }
    entries
}

fn has_usable(table: &Table, key: &ServiceKey) -> bool {
    let usable = |state: &DestinationState| crate::change::plan::is_usable(&state.destination);
    table.service(key).is_some_and(|entry| entry.destinations().any(usable))
}

fn entry_of(command: &Command) -> Option<EntryKey> {
    match command {
        Command::AddDestination(key, server) | Command::EditDestination(key, server) => {
            Some(EntryKey::destination(*key, server.address))
        }
        Command::DeleteDestination(key, at) => Some(EntryKey::destination(*key, *at)),
        _ => command.service_key().map(EntryKey::service),
    }
}

/// Who changed an entry.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Who {
    Other,
    Forward,
    Undo,
}

/// A change of one entry.
#[derive(Clone, Copy, Debug)]
struct Touch {
    at: usize,
    who: Who,
    after: Option<Value>,
    /// It went with its service.
    is_of_service: bool,
    /// It was not there before.
    is_new: bool,
}

type History = BTreeMap<EntryKey, Vec<Touch>>;

/// When the last reading of a table began, from which the change was planned again: services are
/// read first, and the version of IPVS last. A reading that only confirms a result has no version.
fn planned_from(events: &[(usize, Event)]) -> Option<usize> {
    let end = events.iter().rposition(|event| *event == (CHANGE, Event::AskedInfo))?;
    events[..end].iter().rposition(|event| *event == (CHANGE, Event::ReadServices))
}

/// Goes through what happened in order. Checks each step of the change against what another writer
/// did before it.
fn replay(
    case: &Case,
    events: &[(usize, Event)],
    forward: usize,
) -> Result<(Table, History, Vec<Table>), TestCaseError> {
    let (initial, desired) = (entries(&case.before), entries(&case.desired));
    let (mut table, mut history, mut tables) = (case.before.clone(), History::new(), vec![case.before.clone()]);
    let (mut own, mut deleted) = (0, 0);
    for (at, (socket, event)) in events.iter().enumerate() {
        let Event::Done(command) = event else { continue };
        let who = match (*socket == CHANGE, own < forward) {
            (false, _) => Who::Other,
            (true, true) => Who::Forward,
            (true, false) => Who::Undo,
        };
        own += usize::from(who != Who::Other);
        let before = entries(&table);
        let was_usable = command.service_key().is_some_and(|key| has_usable(&table, &key));
        table.apply(command).unwrap_or_else(|refusal| panic!("{command:?}: {refusal}"));
        let after = entries(&table);
        let touched = before.keys().chain(after.keys()).filter(|key| before.get(key) != after.get(key));
        let mut touched: Vec<EntryKey> = touched.copied().chain(entry_of(command)).collect();
        if let (Who::Forward, Command::DeleteService(service)) = (who, command) {
            // Also of those that another writer took away after the reading.
            let known = initial.keys().chain(history.keys()).copied();
            touched.extend(known.filter(|key| key.service == *service));
        }
        touched.sort();
        touched.dedup();
        // Between the question and the command another writer can't be noticed.
        let asked = command
            .service_key()
            .and_then(|key| events[..at].iter().rposition(|event| *event == (CHANGE, Event::AskedService(key))));
        let in_window = |touch: &Touch| asked.is_some_and(|asked| touch.at > asked);
        if let (Who::Undo, true, Some(key)) = (who, was_usable, command.service_key()) {
            // Another writer may take the others after the reply.
            let others = history.iter().filter(|(at, _)| at.service == key).flat_map(|(_, touches)| touches);
            let is_disturbed = others.filter(|touch| touch.who == Who::Other).any(in_window);
            let is_emptied = table.service(&key).is_some() && !has_usable(&table, &key);
            prop_assert!(
                !is_emptied || is_disturbed || !has_usable(&case.before, &key),
                "{command:?} of the undo took the last usable destination"
            );
        }
        let last_by_other = |key: &EntryKey, history: &History| {
            history.get(key).and_then(|touches| touches.last().copied()).filter(|touch| touch.who == Who::Other)
        };
        // It was there at the reading that the command was planned from, or this change has made it
        // since.
        let read = planned_from(&events[..at]).unwrap_or(0);
        let done = events[..read].iter().filter(|(_, event)| matches!(event, Event::Done(_))).count();
        let is_own = |key: &EntryKey| {
            let mut touches = history.get(key).into_iter().flatten().filter(|touch| touch.at >= read);
            tables[done].service(&key.service).is_some()
                || touches.any(|touch| touch.who == Who::Forward && touch.is_new)
        };
        if let (Who::Forward, true, Some(service)) = (who, case.leaves_others, command.service_key()) {
            let taken = match command {
                Command::AddService(_) => Vec::new(),
                // Where another writer has just made the service, what is sent with it arrives, and
                // is undone.
                Command::AddDestination(..) if !is_own(&EntryKey::service(service)) => Vec::new(),
                Command::AddDestination(..) => vec![EntryKey::service(service)],
                _ => touched.iter().copied().chain([EntryKey::service(service)]).collect(),
            };
            for key in taken {
                let was = before.get(&key).copied();
                let is_known = [&initial, &desired].iter().any(|table| case.is_same(was, table.get(&key).copied()));
                if let Some(touch) = last_by_other(&key, &history).filter(|_| was.is_some() && !is_known) {
                    prop_assert!(in_window(&touch), "{key} was taken from another writer by {command:?}");
                }
            }
        }
        if let (Who::Forward, Command::DeleteService(_) | Command::DeleteDestination(..)) = (who, command) {
            let gone = touched.iter().filter(|key| before.contains_key(key) && !after.contains_key(key));
            deleted += gone.filter(|key| last_by_other(key, &history).is_none_or(|touch| !in_window(&touch))).count();
            prop_assert!(case.max_deletions.is_none_or(|most| deleted <= most), "{deleted} entries were deleted");
        }
        for key in touched {
            let creation = history
                .get(&EntryKey::service(key.service))
                .and_then(|touches| touches.iter().rev().find(|touch| touch.is_new).copied());
            let of_service = history.get(&EntryKey::service(key.service)).cloned().unwrap_or_default();
            let touches = history.entry(key).or_default();
            let (was, is) = (before.get(&key).copied(), after.get(&key).copied());
            let by_other = touches.last().is_none_or(|touch| touch.who == Who::Other);
            match who {
                Who::Forward => {
                    let wanted = desired.get(&key).copied();
                    prop_assert!(case.is_same(is, wanted), "{key} by {command:?}: {is:?}, not {wanted:?}");
                }
                Who::Undo if by_other && was != is => {
                    let made = touches.iter().rev().find(|touch| touch.who == Who::Forward);
                    let is_as_made = made.is_some_and(|touch| touch.after == was);
                    // Between the question and the command another writer can't be noticed.
                    let asked = events[..at].iter().rposition(|(socket, event)| {
                        *socket == CHANGE
                            && match event {
                                Event::AskedService(asked) => {
                                    *asked == key.service
                                        && (key.destination.is_none() || matches!(command, Command::DeleteService(_)))
                                }
                                Event::AskedDestinations(asked) => {
                                    *asked == key.service
                                        && key.destination.is_some()
                                        && !matches!(command, Command::DeleteService(_))
                                }
                                _ => false,
                            }
                    });
                    let in_window = touches.last().zip(asked).is_some_and(|(touch, asked)| touch.at > asked);
                    prop_assert!(is_as_made || in_window, "undo took {key} from another writer by {command:?}");
                }
                Who::Undo if was.is_none() && key.destination.is_some() => {
                    // What went with a service that another writer has made again stays away.
                    let made = touches.iter().rev().find(|touch| touch.who == Who::Forward);
                    let is_others = creation.zip(made).is_some_and(|(creation, made)| {
                        creation.who == Who::Other && creation.at > made.at && made.is_of_service
                    });
                    let asked = events[..at]
                        .iter()
                        .rposition(|(socket, event)| *socket == CHANGE && *event == Event::AskedService(key.service));
                    let in_window = creation.zip(asked).is_some_and(|(creation, asked)| creation.at > asked);
                    // What another writer makes again exactly as the undo had made it can't be
                    // distinguished from that.
                    let is_alike = of_service.iter().filter(|touch| touch.who == Who::Undo).any(|touch| {
                        creation.is_some_and(|creation| touch.at < creation.at && touch.after == creation.after)
                    });
                    prop_assert!(!is_others || is_alike || in_window, "{key} was added to another writer's service");
                }
                _ => {}
            }
            let is_of_service = matches!(command, Command::DeleteService(_));
            touches.push(Touch { at, who, after: is, is_of_service, is_new: was.is_none() && is.is_some() });
        }
        tables.push(table.clone());
    }
    Ok((table, history, tables))
}

fn law(case: &Case) -> Result<(), TestCaseError> {
    of_a_change(case, &[], judge)
}

/// Makes the change of a case while this goes wrong with its calls, and has the result judged.
fn of_a_change(
    case: &Case,
    faults: &[Option<Fault>],
    judge: impl Fn(&Case, &Planner, &Result<Applied, ChangeError>, Fake, &[Phase], &[(usize, Event)]) -> TestCaseResult,
) -> TestCaseResult {
    let planner = case.planner();
    let Ok(change) = Change::prepare(case.before.clone(), case.desired.clone(), planner.clone()) else { return Ok(()) };
    let (mut client, witness) = contended(case, faults);
    let (mut calls, mut hooks) = (0, Vec::new());
    let hook = |phase| {
        hooks.push(phase);
        if case.hook_fails && phase != Phase::Undoing { Err("no".to_owned()) } else { Ok(()) }
    };
    let result = change.apply_with(&mut client, hook, |_| {
        calls += 1;
        if case.interrupt.is_some_and(|at| calls > at) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    drop(client);
    let events = witness.log.events();
    judge(case, &planner, &result, witness, &hooks, &events)
        .map_err(|error| TestCaseError::fail(format!("{error}\nthe change: {result:?}\nwhat happened: {events:#?}")))
}

fn judge(
    case: &Case,
    planner: &Planner,
    result: &Result<Applied, ChangeError>,
    witness: Fake,
    hooks: &[Phase],
    events: &[(usize, Event)],
) -> Result<(), TestCaseError> {
    let own: Vec<Command> = events
        .iter()
        .filter_map(|(socket, event)| match event {
            Event::Done(command) if *socket == CHANGE => Some(*command),
            _ => None,
        })
        .collect();
    let reported = match result {
        Ok(applied) => applied.commands.clone(),
        Err(error) => [&error.report.applied[..], &error.report.undone[..]].concat(),
    };
    prop_assert_eq!(&own, &reported, "what was carried out is not what is reported");
    let forward = match result {
        Ok(applied) => applied.commands.len(),
        Err(error) => error.report.applied.len(),
    };
    let (end, history, tables) = replay(case, events, forward)?;
    let truth = client_of(Link::Fake(Box::new(witness))).table().unwrap();
    prop_assert!(crate::change::plan(&end, &truth).is_empty() && crate::change::plan(&truth, &end).is_empty());
    let is_other_since = |key: ServiceKey, since: usize| {
        history
            .iter()
            .filter(|(entry, _)| entry.service == key)
            .flat_map(|(_, touches)| touches)
            .any(|touch| touch.who == Who::Other && touch.at >= since)
    };
    let initial = entries(&case.before);
    match result {
        Ok(applied) => {
            let since = planned_from(events).filter(|_| applied.attempts > 1).unwrap_or(0);
            for command in planner.clone().only_services().plan(&end, &case.desired).commands() {
                let key = command.service_key().unwrap();
                prop_assert!(is_other_since(key, since), "{command:?} is missing, and no other writer has undone it");
            }
            was_as_desired(case, planner, applied, events, &tables)?;
            for entry in case.desired.services().filter(|_| case.leaves_others) {
                let key = EntryKey::service(entry.service().key());
                let touches = history.get(&key).into_iter().flatten();
                let made = touches.filter(|touch| touch.is_new).map(|touch| touch.who);
                let is_own = initial.contains_key(&key) || made.clone().any(|who| who == Who::Forward);
                prop_assert!(is_own || made.count() == 0, "{key} was taken over from another writer");
            }
            for command in &applied.already_done {
                let Some(key) = command.service_key() else { continue };
                let was_so = tables.iter().any(|table| match command {
                    // But for its weight, if that is kept.
                    Command::AddDestination(_, wanted) => {
                        let there = entry_of(command).and_then(|at| entries(table).get(&at).copied());
                        case.is_same(there, Some(Value::Destination(*wanted)))
                    }
                    _ => is_made(command, table.service(&key)),
                });
                prop_assert!(was_so, "{command:?} was never done by anybody");
            }
            prop_assert_eq!(hooks.len(), 1);
        }
        Err(error) => {
            let end = entries(&end);
            let is_kept =
                |key: &EntryKey| error.report.kept.iter().any(|kept| entry_of(&kept.command).as_ref() == Some(key));
            for (key, touches) in &history {
                let last = touches.last().unwrap();
                // A service that another writer made again is its own, with what it has and has
                // not.
                let service = history.get(&EntryKey::service(key.service)).into_iter().flatten();
                let others = touches.iter().chain(service).any(|touch| touch.who == Who::Other);
                if last.who == Who::Forward && last.after.is_some() && !initial.contains_key(key) {
                    prop_assert!(is_kept(key), "{key} is left, and not reported");
                }
                if !others && !is_kept(key) {
                    prop_assert_eq!(end.get(key), initial.get(key), "{} is not as it was", key);
                }
            }
            for kept in &error.report.kept {
                let Some(key) = entry_of(&kept.command) else { continue };
                prop_assert!(is_other_since(key.service, 0), "{kept:?}, but there was no other writer");
            }
            let is_harmless = matches!(error.state, DirectorState::Untouched | DirectorState::Undone);
            prop_assert_eq!(is_harmless, error.report.kept.is_empty(), "{}", error.state);
            prop_assert_eq!(error.state == DirectorState::Untouched, forward == 0);
            if matches!(error.reason, StopReason::Contended) {
                prop_assert!(!error.report.remaining.is_empty());
                // The others wait until these are done.
                let is_first = |command: &&Command| match command {
                    Command::DeleteService(_) | Command::DeleteDestination(..) => false,
                    Command::EditDestination(_, edited) => crate::change::plan::is_usable(edited),
                    _ => true,
                };
                let remaining = &error.report.remaining;
                let has_first = remaining.iter().any(|command| is_first(&command));
                let remaining = remaining.iter().filter(|command| !has_first || is_first(command));
                let keys = remaining.filter_map(Command::service_key);
                let untouched: Vec<_> = keys.clone().filter(|key| !is_other_since(*key, 0)).collect();
                // What is another writer's stops an owner's change before the rest is done.
                let is_early = case.leaves_others && untouched.len() < keys.count();
                prop_assert!(
                    is_early || untouched.is_empty(),
                    "{untouched:?} differ, and no other writer touched them"
                );
            }
            let has_succeeded = !case.hook_fails && !hooks.is_empty();
            prop_assert_eq!(hooks.len(), usize::from(!hooks.is_empty()) + usize::from(has_succeeded), "{:?}", hooks);
        }
    }
    Ok(())
}

/// After the last command of a change that succeeded, each entry of the services that it was about
/// was once as desired, and each other desired service was once there.
fn was_as_desired(
    case: &Case,
    planner: &Planner,
    applied: &Applied,
    events: &[(usize, Event)],
    tables: &[Table],
) -> Result<(), TestCaseError> {
    let is_done = |event: &&(usize, Event)| matches!(event.1, Event::Done(_));
    let last = events.iter().rposition(|event| event.0 == CHANGE && is_done(&event));
    let Some(last) = last else { return Ok(()) };
    let after = &tables[events[..=last].iter().filter(is_done).count()..];
    let commands = applied.commands.iter().chain(&applied.already_done);
    let changed: BTreeSet<ServiceKey> = commands.filter_map(Command::service_key).collect();
    let known = [entries(&case.before), entries(&case.desired)];
    let mut never: Option<BTreeSet<EntryKey>> = None;
    for table in after {
        let now = entries(table);
        // Neither as it was nor as desired.
        let is_others = |at: &EntryKey| {
            let is_as = |known: &BTreeMap<_, _>| case.is_same(now.get(at).copied(), known.get(at).copied());
            now.contains_key(at) && !known.iter().any(is_as)
        };
        // In its own service, an owner leaves the destinations of other writers alone.
        let is_left = |command: &Command| {
            let at = entry_of(command).unwrap();
            let is_of_others = match command {
                Command::DeleteService(key) => now.keys().any(|at| at.service == *key && is_others(at)),
                _ => is_others(&at),
            };
            case.leaves_others && is_of_others && !is_others(&EntryKey::service(at.service))
        };
        let planner = planner.clone().only_services().these_services(changed.iter().copied());
        let plan = planner.plan(table, &case.desired);
        let differing = plan.commands().iter().filter(|command| !is_left(command)).filter_map(entry_of);
        let missing = case.desired.services().map(|entry| EntryKey::service(entry.service().key()));
        let missing = missing.filter(|at| table.service(&at.service).is_none());
        let differing: BTreeSet<_> = differing.chain(missing).collect();
        never = Some(never.map_or(differing.clone(), |never| &never & &differing));
    }
    let never = never.unwrap_or_default();
    prop_assert!(never.is_empty(), "{never:?} were never as desired after the last command");
    Ok(())
}

/// How many cases: a few in each run of the tests.
fn cases() -> u32 {
    std::env::var("IPVS_LAW_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(500)
}

#[test]
fn no_work_of_another_writer_is_lost_and_reports_are_true() {
    let config = Config { cases: cases(), max_shrink_iters: 20_000, failure_persistence: None, ..Config::default() };
    TestRunner::new(config).run(&case(), |case| law(&case)).unwrap();
}

fn fault() -> impl Strategy<Value = Fault> {
    prop::sample::select(vec![
        Fault::Lost,
        Fault::Vanished,
        Fault::Late,
        Fault::Twice,
        Fault::Fails(crate::Errno::ENOBUFS),
        Fault::Fails(crate::Errno::EINTR),
        Fault::Truncated(20),
        Fault::ShortSend,
        Fault::Stale(crate::Errno::EEXIST),
    ])
}

/// As [`judge`], as far as it holds if replies were lost.
fn judge_losses(
    case: &Case,
    planner: &Planner,
    result: &Result<Applied, ChangeError>,
    _: Fake,
    _: &[Phase],
    events: &[(usize, Event)],
) -> Result<(), TestCaseError> {
    let (mut tables, mut own, mut others) = (vec![case.before.clone()], Vec::new(), BTreeSet::new());
    for (socket, event) in events {
        let Event::Done(command) = event else { continue };
        let mut table = tables.last().unwrap().clone();
        if *socket == CHANGE {
            own.push(*command);
        } else {
            match command.service_key() {
                Some(key) => drop(others.insert(key)),
                None => others.extend(table.services().map(|entry| entry.service().key())),
            }
        }
        table.apply(command).unwrap();
        tables.push(table);
    }
    let end = tables.last().unwrap();
    let is_other = |command: &Command| command.service_key().is_some_and(|key| others.contains(&key));
    let (reported, unacknowledged) = match result {
        Ok(applied) => (applied.commands.clone(), applied.unacknowledged.clone()),
        Err(error) => (
            [&error.report.applied[..], &error.report.undone[..]].concat(),
            error.report.kept.iter().map(|kept| kept.command).collect(),
        ),
    };
    let mut done = own.iter();
    for command in &reported {
        prop_assert!(done.any(|done| done == command), "{command:?} is reported, and was not carried out");
    }
    match result {
        Ok(applied) => {
            for command in planner.clone().only_services().plan(end, &case.desired).commands() {
                prop_assert!(is_other(command), "{command:?} is missing, and no other writer has undone it");
            }
            let unreported =
                own.iter().filter(|command| !reported.contains(command) && !unacknowledged.contains(command));
            for command in unreported {
                prop_assert!(is_other(command) || command.service_key().is_none(), "{command:?} is not reported");
            }
            was_as_desired(case, planner, applied, events, &tables)?;
        }
        Err(error) if error.state == DirectorState::Unknown => {}
        Err(error) => {
            let (initial, end) = (entries(&case.before), entries(end));
            let is_kept =
                |key: &EntryKey| error.report.kept.iter().any(|kept| entry_of(&kept.command).as_ref() == Some(key));
            for key in initial.keys().chain(end.keys()) {
                if !others.contains(&key.service) && !is_kept(key) && !is_kept(&EntryKey::service(key.service)) {
                    prop_assert_eq!(end.get(key), initial.get(key), "{} is not as it was", key);
                }
            }
            prop_assert_eq!(error.state == DirectorState::Partial, !error.report.kept.is_empty());
        }
    }
    Ok(())
}

#[test]
fn reports_are_true_where_replies_are_lost() {
    let config = Config { cases: cases(), max_shrink_iters: 20_000, failure_persistence: None, ..Config::default() };
    let faults = vec(option::weighted(0.06, fault()), 0..150);
    TestRunner::new(config).run(&(case(), faults), |(case, faults)| of_a_change(&case, &faults, judge_losses)).unwrap();
}

/// What is sent with a service arrives where another writer has made the service a moment before,
/// also after this change had made it once. It is undone.
#[test]
fn a_service_that_another_writer_makes_again_is_not_taken() {
    let key: ServiceKey = "mark 1 ipv6".parse().unwrap();
    let server = Destination::new("192.0.2.11:80".parse().unwrap()).with_weight(Weight::ZERO);
    let tunnel = crate::Forwarding::Tunnel(crate::Tunnel::Ipip);
    let udp = "udp 192.0.2.1:80".parse().unwrap();
    let mut desired = Table::new();
    for command in [
        Command::AddService(Service::new(udp)),
        Command::AddDestination(udp, server.with_forwarding(crate::Forwarding::Masquerade)),
        Command::AddService(Service::new(key)),
        Command::AddDestination(key, server.with_forwarding(tunnel)),
        Command::AddService(Service::new("tcp 192.0.2.1:80".parse().unwrap())),
    ] {
        desired.apply(&command).unwrap();
    }
    for again in 6..40 {
        let case = Case {
            before: Table::new(),
            desired: desired.clone(),
            window: 2,
            acts: vec![(5, Act::Any(Command::Flush)), (again, Act::Meddle(0, Meddling::ReplaceService))],
            interrupt: None,
            hook_fails: false,
            only_services: false,
            keep_weights: false,
            leaves_others: true,
            max_deletions: None,
        };
        law(&case).unwrap();
    }
}
