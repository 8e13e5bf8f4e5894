//! Faults of the socket, at any call: each call of a client returns, none reports a success that
//! was none, and an unknown outcome of a change is reported as unknown.

use std::fmt::Debug;
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::client::Client;
use crate::fake::{Fake, Fault};
use crate::link::Link;
use crate::report::Report;
use crate::wire::Detail;
use crate::{
    DaemonRole, Destination, Service, ServiceKey, Table, Weight,
    change::{Change, DirectorState, Planner},
};

const DEADLINE: Duration = Duration::from_secs(1);

/// A client whose socket has faults, and one of the same kernel whose socket has none.
struct World<C> {
    session: Session<C>,
    witness: Client,
}

impl<C: Transport> World<C> {
    fn new(table: Table, transport: impl FnOnce(Link) -> C) -> Self {
        let kernel = Fake::new(table);
        let witness = Client::over(Link::Fake(Box::new(kernel.of_another_program())), DEADLINE).unwrap();
        let link = Link::Fake(Box::new(kernel));
        World { session: block_on_ready(Session::over(transport(link))).unwrap(), witness }
    }

    /// The faults of the next calls.
    fn go_wrong(&mut self, faults: impl IntoIterator<Item = Option<Fault>>) {
        let Link::Fake(fake) = self.session.transport.link() else { unreachable!("it was made so") };
        fake.script().faults = faults.into_iter().collect();
    }

    fn truth(&mut self) -> Table {
        self.witness.table().unwrap()
    }

    /// Without further faults the client works, but for one call that may find an unfinished dump.
    fn is_well(&mut self) {
        self.go_wrong([]);
        let truth = self.truth();
        match block_on_ready(self.session.table(Detail::Statistics)) {
            Ok(table) => assert_eq!(table, truth),
            Err(error) => {
                let is_known = matches!(error, Error::Deadline(_)) || error.errno() == Some(Errno::EBUSY);
                assert!(is_known, "{error}");
                assert_eq!(block_on_ready(self.session.table(Detail::Statistics)).unwrap(), truth);
            }
        }
        let missing = Command::DeleteService("mark 9999".parse().unwrap());
        assert_eq!(block_on_ready(self.session.execute(&missing)).unwrap_err().errno(), Some(Errno::ESRCH));
    }
}

/// The output of work that waits for nothing, though it may yield.
fn block_on_ready<T>(work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(output) = work.as_mut().poll(&mut context) {
            return output;
        }
    }
}

fn blocking(link: Link) -> Blocking {
    Blocking { link, deadline: DEADLINE }
}

/// Both clients: what waits for nothing, and what lets others work.
macro_rules! on_both {
    ($law:ident($table:expr $(, $argument:expr)*)) => {
        $law(World::new($table, blocking) $(, $argument)*);
        #[cfg(feature = "tokio")]
        $law(World::new($table, crate::client::Waiting::at_once) $(, $argument)*);
    };
}

fn errno() -> impl Strategy<Value = Errno> {
    select(&[Errno::EINTR, Errno::EAGAIN, Errno::ENOBUFS, Errno::ENOMEM, Errno::EIO, Errno::EPERM][..])
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        3 => errno().prop_map(Fault::Fails),
        1 => Just(Fault::ShortSend),
        1 => Just(Fault::Lost),
        1 => Just(Fault::Vanished),
        1 => Just(Fault::Late),
        1 => (0..60usize).prop_map(Fault::Truncated),
        1 => errno().prop_map(Fault::Stale),
    ]
}

fn faults() -> impl Strategy<Value = Vec<Option<Fault>>> {
    vec(option::weighted(0.4, fault()), 0..20)
}

/// A repeated reply to a dump looks like a second entry, so that fault is for changes only.
fn faults_of_changes() -> impl Strategy<Value = Vec<Option<Fault>>> {
    vec(option::weighted(0.4, prop_oneof![7 => fault(), 1 => Just(Fault::Twice)]), 0..20)
}

fn key(n: u32) -> ServiceKey {
    format!("mark {n}").parse().unwrap()
}

fn server(n: u8, weight: u32) -> Destination {
    Destination::new(([192, 0, 2, n], 0).into()).with_weight(Weight::new(weight).unwrap())
}

/// Few services and servers, so that some commands are refused and some are not.
fn command() -> impl Strategy<Value = Command> {
    let place = || (1..5u32, 1..4u8, 0..3u32);
    prop_oneof![
        4 => (1..5u32).prop_map(|n| Command::AddService(Service::new(key(n)))),
        1 => (1..5u32).prop_map(|n| Command::DeleteService(key(n))),
        4 => place().prop_map(|(n, host, weight)| Command::AddDestination(key(n), server(host, weight))),
        2 => place().prop_map(|(n, host, weight)| Command::EditDestination(key(n), server(host, weight))),
        1 => place().prop_map(|(n, host, _)| Command::DeleteDestination(key(n), server(host, 0).address)),
    ]
}

fn director(services: u32, destinations: u8) -> Table {
    let mut table = Table::new();
    for n in 1..=services {
        table.apply(&Command::AddService(Service::new(key(n)))).unwrap();
        for host in 1..=destinations {
            table.apply(&Command::AddDestination(key(n), server(host, 1))).unwrap();
        }
    }
    table
}

fn one_by_one<C: Transport + Debug>(mut world: World<C>, commands: &[Command], faults: &[Option<Fault>]) {
    world.go_wrong(faults.iter().copied());
    for command in commands {
        let before = world.truth();
        let mut after = before.clone();
        let expected = after.apply(command);
        let reported = block_on_ready(world.session.execute(command));
        let truth = world.truth();
        match reported {
            Ok(()) => assert_eq!((expected, &truth), (Ok(()), &after)),
            Err(Error::Refused(refusal)) => assert_eq!((expected, &truth), (Err(refusal), &before)),
            Err(Error::OutcomeUnknown { .. }) => assert!(truth == before || truth == after),
            Err(error) => assert_eq!(truth, before, "{error}"),
        }
    }
    world.is_well();
}

fn all_together<C: Transport + Debug>(mut world: World<C>, commands: &[Command], faults: &[Option<Fault>]) {
    world.go_wrong(faults.iter().copied());
    let before = world.truth();
    let mut after = before.clone();
    let expected: Vec<Outcome> = commands.iter().map(|command| after.apply(command)).collect();
    let reported = block_on_ready(world.session.execute_all(commands));
    let truth = world.truth();
    match reported {
        Ok(outcomes) => assert_eq!((outcomes, truth), (expected, after)),
        Err(Error::OutcomeUnknown { known, .. }) => assert!(expected.starts_with(&known), "{known:?}"),
        Err(error) => assert_eq!(truth, before, "{error}"),
    }
    world.is_well();
}

fn reads<C: Transport + Debug>(mut world: World<C>, faults: &[Option<Fault>]) {
    let truth = world.truth();
    world.go_wrong(faults.iter().copied());
    for _ in 0..4 {
        for detail in [Detail::Statistics, Detail::NoStatistics] {
            if let Some(table) = successful(block_on_ready(world.session.table(detail))) {
                assert_eq!(table, truth);
            }
        }
        if let Some(state) = successful(block_on_ready(world.session.service(&key(1)))) {
            assert_eq!(state.service.key(), key(1));
        }
    }
    world.is_well();
}

/// The value; an error of a read must not mention changes.
fn successful<T>(read: Result<T, Error>) -> Option<T> {
    match read {
        Ok(value) => Some(value),
        Err(error) => {
            let is_strange = error.errno().is_some_and(|errno| errno == Errno::ESRCH || errno == Errno::EEXIST);
            assert!(!is_strange && !matches!(error, Error::OutcomeUnknown { .. } | Error::ModuleMissing), "{error}");
            None
        }
    }
}

fn a_whole_change<C: Transport + Debug>(mut world: World<C>, wanted: &Table, faults: &[Option<Fault>]) {
    let before = world.truth();
    let change = Change::prepare(before.clone(), wanted.clone(), Planner::new()).unwrap();
    world.go_wrong(faults.iter().copied());
    let made = block_on_ready(
        change.apply_over(&mut world.session, &mut |_| Ok(()), &mut |_| std::ops::ControlFlow::Continue(())),
    );
    let now_there = world.truth();
    let is_as = |table: &Table| crate::change::plan(&now_there, table).is_empty();
    match made {
        Ok(_) => assert!(is_as(wanted)),
        Err(unmade) => match unmade.state {
            DirectorState::Untouched | DirectorState::Undone => assert!(is_as(&before), "{unmade}"),
            DirectorState::Partial | DirectorState::Unknown => {}
        },
    }
    world.is_well();
}

proptest! {
    #[test]
    fn each_outcome_is_true(commands in vec(command(), 1..15), faults in faults_of_changes()) {
        on_both!(one_by_one(director(2, 2), &commands, &faults));
    }

    #[test]
    fn outcomes_of_many_changes_are_true(commands in vec(command(), 1..300), faults in faults_of_changes()) {
        on_both!(all_together(director(2, 2), &commands, &faults));
    }

    #[test]
    fn a_reading_is_whole_or_an_error(services in 1..70u32, faults in faults()) {
        on_both!(reads(director(services, 1), &faults));
    }

    #[test]
    fn a_change_reports_the_state_of_the_director(from in 0..30u32, to in 0..30u32, faults in faults()) {
        on_both!(a_whole_change(director(from, 2), &director(to, 3), &faults));
    }
}

fn said_of<T>(outcome: Result<T, Error>) -> String {
    outcome.map_or_else(|error| Report::new(&error).to_string(), |_| String::new())
}

/// Each fault alone, for a command and for a read: the error that the caller gets.
#[test]
fn each_fault_has_its_error() {
    const UNKNOWN: &str = "it is unknown which changes were made, so read the table again";
    let add = Command::AddService(Service::new(key(7)));
    for (fault, at_send, at_receive) in [
        (Fault::Fails(Errno::EINTR), "", ""),
        (Fault::Fails(Errno::EAGAIN), "the netlink socket failed: Resource", "did not reply within 1000 ms"),
        (Fault::Fails(Errno::ENOBUFS), "the netlink socket failed: No buffer space", "replies of the kernel were lost"),
        (
            Fault::Fails(Errno::EIO),
            "the netlink socket failed: Input/output",
            "the netlink socket failed: Input/output",
        ),
        (Fault::Lost, "", "replies of the kernel were lost"),
        (Fault::Vanished, "", "did not reply within 1000 ms"),
        (Fault::Late, "", "did not reply within 1000 ms"),
        (Fault::Truncated(7), "", "did not fit into the receive buffer"),
        (Fault::Stale(Errno::EEXIST), "", ""),
        (Fault::Twice, "", ""),
    ] {
        for (faults, said, is_sent) in
            [(vec![Some(fault)], at_send, false), (vec![None, Some(fault)], at_receive, true)]
        {
            let mut world = World::new(Table::new(), blocking);
            world.go_wrong(faults.clone());
            let report = said_of(block_on_ready(world.session.execute(&add)));
            assert!(report.contains(said) && report.is_empty() == said.is_empty(), "{fault:?}: {report}");
            assert_eq!(report.contains(UNKNOWN), is_sent && !said.is_empty(), "{fault:?}: {report}");
            assert_eq!(world.truth().services().len(), usize::from(is_sent || said.is_empty()), "{fault:?}");
            world.is_well();
            world.go_wrong(faults);
            let report = said_of(block_on_ready(world.session.info()));
            assert!(report.contains(said) && !report.contains(UNKNOWN), "{fault:?}: {report}");
            world.is_well();
        }
    }
}

/// Netlink reports a loss once, and drops all replies until those that wait were received.
#[test]
fn after_a_loss_the_next_call_is_answered() {
    let mut world = World::new(director(200, 0), blocking);
    world.go_wrong([None, Some(Fault::Fails(Errno::ENOBUFS))]);
    let error = block_on_ready(world.session.execute(&Command::DeleteService(key(1)))).unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown { .. }), "{error}");
    block_on_ready(world.session.execute(&Command::DeleteService(key(2)))).unwrap();
    world.go_wrong([None, Some(Fault::Fails(Errno::ENOBUFS))]);
    let error = block_on_ready(world.session.services(Detail::Statistics)).unwrap_err();
    assert!(matches!(error, Error::RepliesLost), "{error}");
    block_on_ready(world.session.execute(&Command::DeleteService(key(3)))).unwrap();
    // All of a dump is lost, its end too.
    world.go_wrong([None, Some(Fault::Lost)]);
    let error = block_on_ready(world.session.services(Detail::Statistics)).unwrap_err();
    assert!(matches!(error, Error::RepliesLost), "{error}");
    block_on_ready(world.session.execute(&Command::DeleteService(key(4)))).unwrap();
    assert_eq!(world.truth().services().len(), 196);
}

#[test]
fn the_outcome_of_a_datagram_sent_in_part_is_unknown() {
    let mut world = World::new(Table::new(), blocking);
    world.go_wrong([Some(Fault::ShortSend)]);
    let error = block_on_ready(world.session.execute(&Command::Flush)).unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown { .. }), "{error}");
    world.is_well();
}

/// The kernel may not reply when a daemon is stopped; a loss is reported even then.
#[test]
fn a_lost_answer_is_not_the_silence_of_a_stopped_daemon() {
    let mut world = World::new(Table::new(), blocking);
    world.go_wrong([None, Some(Fault::Lost)]);
    let error = block_on_ready(world.session.execute(&Command::StopDaemon(DaemonRole::Master))).unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown { .. }), "{error}");
}

#[test]
fn outcomes_of_earlier_datagrams_come_with_the_error_of_a_later_one() {
    let commands: Vec<Command> = (1..=300).map(|n| Command::AddService(Service::new(key(n)))).collect();
    // The second datagram is not sent; its reply does not arrive.
    for (before, datagrams) in [(2, 1), (3, 2)] {
        let mut world = World::new(Table::new(), blocking);
        world.go_wrong(std::iter::repeat_n(None, before).chain([Some(Fault::Fails(Errno::EIO))]));
        let error = block_on_ready(world.session.execute_all(&commands)).unwrap_err();
        let Error::OutcomeUnknown { known, .. } = &error else { panic!("{error}") };
        assert!(!known.is_empty() && known.iter().all(Result::is_ok), "{known:?}");
        assert_eq!(world.truth().services().len(), datagrams * known.len());
        let said =
            format!("{} changes were answered, and it is unknown which of those after them were made", known.len());
        assert!(error.to_string().contains(&said), "{error}");
        world.is_well();
    }
}

#[test]
fn connecting_ends_too() {
    for (fault, said) in
        [(Fault::Vanished, "did not reply"), (Fault::Lost, "lost"), (Fault::Fails(Errno::EIO), "Input/output")]
    {
        for faults in [vec![Some(fault)], vec![None, Some(fault)]] {
            let is_at_send = faults.len() == 1;
            let fake = Fake::new(Table::new());
            fake.script().faults = faults.into();
            match block_on_ready(Session::over(blocking(Link::Fake(Box::new(fake))))) {
                Ok(_) => assert!(is_at_send && said != "Input/output"),
                Err(error) => assert!(Report::new(&error).to_string().contains(said), "{error}"),
            }
        }
    }
}
