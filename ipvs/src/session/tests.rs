//! Futures that are dropped at any point leave a client that can be used on.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::fake::Fake;
use crate::link::Link;
use crate::service::Service;
use crate::wire::Detail;
use crate::{Destination, Table, change::Planner};

/// Is not ready when it is first asked for a datagram, as a socket that must be waited for.
struct Hesitant(Link);

impl Transport for Hesitant {
    fn link(&mut self) -> &mut Link {
        &mut self.0
    }

    async fn receive(&mut self, buffer: &mut Vec<u8>) -> Result<(), Error> {
        self.yield_now().await;
        assert!(self.0.try_receive(buffer)?, "the in-memory kernel replies at once");
        Ok(())
    }

    async fn pause(&mut self, _: std::time::Duration) {}
}

impl Pace for Hesitant {
    async fn yield_now(&mut self) {
        let mut asked = false;
        poll_fn(|_| if std::mem::replace(&mut asked, true) { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

fn poll<T>(work: impl Future<Output = T>, times: usize) -> Option<T> {
    let mut work = pin!(work);
    for _ in 0..times {
        if let Poll::Ready(output) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return Some(output);
        }
    }
    None
}

const ALWAYS: usize = 100_000;

fn director(services: u32, destinations: u32) -> Table {
    let mut table = Table::new();
    for service in 1..=services {
        let key = format!("mark {service}").parse().unwrap();
        table.apply(&Command::AddService(Service::new(key))).unwrap();
        for n in 1..=destinations {
            let server = Destination::new(format!("10.0.{}.{}:0", n / 250, n % 250 + 1).parse().unwrap());
            table.apply(&Command::AddDestination(key, server)).unwrap();
        }
    }
    table
}

fn core(table: &Table) -> Session<Hesitant> {
    let link = Link::Fake(Box::new(Fake::new(table.clone())));
    poll(Session::over(Hesitant(link)), ALWAYS).unwrap().unwrap()
}

#[test]
fn a_dump_that_was_dropped_is_in_nobodys_way() {
    // Each dump takes several datagrams.
    let table = director(200, 200);
    let expected: Vec<_> = table.services().rev().map(|entry| *entry.state()).collect();
    let key = expected[0].service.key();
    let mut interrupted = 0;
    for polls in 1.. {
        let mut session = core(&table);
        if poll(session.services(Detail::Statistics), polls).is_some() {
            break;
        }
        interrupted += 1;
        assert_eq!(
            poll(session.destinations(&key, Detail::Statistics), ALWAYS).unwrap().unwrap().len(),
            200,
            "{polls}"
        );
        assert_eq!(poll(session.services(Detail::Statistics), ALWAYS).unwrap().unwrap(), expected, "{polls}");
    }
    assert!(interrupted > 1, "{interrupted}");
}

#[test]
fn what_drains_a_dump_may_be_dropped_too() {
    let table = director(200, 0);
    for polls in 1..4 {
        let mut session = core(&table);
        assert!(poll(session.services(Detail::Statistics), 1).is_none());
        let command = Command::DeleteService("mark 1".parse().unwrap());
        let done = poll(session.execute(&command), polls).is_some();
        // Either it was sent or it was not; nothing is sent later.
        let left = poll(session.services(Detail::Statistics), ALWAYS).unwrap().unwrap().len();
        assert!(left == 199 || !done && left == 200, "{polls}: {left}");
        assert_eq!(session.enqueued(), 0);
    }
}

#[test]
fn late_replies_are_nobody_elses() {
    let table = director(3, 0);
    let key = |n: u32| format!("mark {n}").parse().unwrap();
    let mut session = core(&table);
    // Both are sent; what becomes of them is not waited for.
    assert!(poll(session.execute(&Command::DeleteService(key(9))), 1).is_none());
    assert!(poll(session.service(&key(9)), 1).is_none());
    assert_eq!(
        poll(session.execute(&Command::DeleteService(key(2))), ALWAYS).unwrap().map_err(|error| error.errno()),
        Ok(())
    );
    assert_eq!(poll(session.service(&key(3)), ALWAYS).unwrap().unwrap().service.key(), key(3));
    let refused = poll(session.execute(&Command::DeleteService(key(2))), ALWAYS).unwrap().unwrap_err();
    assert_eq!(refused.errno(), Some(Errno::ESRCH));
}

#[test]
fn commands_of_a_dropped_flush_are_not_sent_again() {
    let mut session = core(&Table::new());
    for n in 1..=5u32 {
        session.enqueue(&Command::AddService(Service::new(format!("mark {n}").parse().unwrap())));
    }
    assert!(poll(session.flush(), 1).is_none());
    assert_eq!(session.enqueued(), 0);
    session.enqueue(&Command::AddService(Service::new("mark 6".parse().unwrap())));
    let outcomes = poll(session.flush(), ALWAYS).unwrap().unwrap();
    assert_eq!(outcomes, [Ok(())]);
    assert_eq!(poll(session.services(Detail::Statistics), ALWAYS).unwrap().unwrap().len(), 6);
}

#[test]
fn a_change_that_was_dropped_can_be_made_again_from_wherever_it_was() {
    let desired = director(60, 3);
    for polls in (1..).step_by(3) {
        let mut session = core(&director(5, 7));
        let planner = Planner::new();
        let done = poll(crate::change::reconcile(&mut session, &desired, &planner), polls).is_some();
        poll(crate::change::reconcile(&mut session, &desired, &planner), ALWAYS).unwrap().unwrap();
        let present = poll(session.table(Detail::NoStatistics), ALWAYS).unwrap().unwrap();
        assert!(crate::change::plan(&present, &desired).is_empty(), "{polls}");
        if done {
            return;
        }
    }
}

/// A client of an in-memory kernel, and that kernel.
fn client_and_kernel() -> (crate::Client, Fake) {
    let mut client = crate::Client::fake(director(3, 2));
    let Link::Fake(fake) = client.session.transport.link() else { unreachable!("it was made so") };
    let kernel = fake.another();
    (client, kernel)
}

fn mark(n: u32) -> Command {
    Command::AddService(Service::new(format!("mark {n}").parse().unwrap()))
}

#[test]
fn a_client_goes_on_when_the_module_was_loaded_again() {
    let (mut client, kernel) = client_and_kernel();
    kernel.reload(0x20);
    assert_eq!(client.table().unwrap(), Table::new());
    kernel.reload(0x21);
    client.execute(&mark(1)).unwrap();
    kernel.reload(0x22);
    // More than one window; of the replies that nothing was carried out, none is left for later.
    let many: Vec<_> = (1..=300).map(mark).collect();
    let outcomes = client.execute_all(&many).unwrap();
    assert!(outcomes.len() == 300 && outcomes.iter().all(Result::is_ok));
    kernel.reload(0x23);
    let mut clone = client.try_clone().unwrap();
    assert_eq!(clone.info().unwrap(), client.info().unwrap());
    kernel.reload(0x24);
    assert_eq!(
        client.execute_all(&[mark(1), mark(1), Command::Flush]).unwrap().iter().filter(|o| o.is_ok()).count(),
        2
    );
}

#[test]
fn what_was_gathered_before_a_reload_is_sent_after_it() {
    let (mut client, kernel) = client_and_kernel();
    let mut pipeline = client.pipeline();
    assert!(pipeline.push(&mark(9)).unwrap().is_empty());
    kernel.reload(0x20);
    // Meanwhile a question finds the new number.
    assert!(pipeline.explain(&mark(8), Errno::EEXIST).is_ok());
    pipeline.push(&mark(10)).unwrap();
    assert_eq!(pipeline.flush().unwrap(), [Ok(()), Ok(())]);
    assert_eq!(client.table().unwrap().services().len(), 2);
}

#[test]
fn a_module_that_is_gone_is_an_error_of_its_own() {
    let (mut client, kernel) = client_and_kernel();
    kernel.reload(0);
    assert!(matches!(client.table(), Err(Error::ModuleMissing)));
    assert!(matches!(client.execute(&mark(1)), Err(Error::ModuleMissing)));
    assert!(matches!(client.execute_all(&[mark(1), mark(2)]), Err(Error::ModuleMissing)));
    assert!(matches!(client.try_clone().unwrap().services(), Err(Error::ModuleMissing)));
    kernel.reload(0x20);
    client.execute(&mark(1)).unwrap();
}

#[test]
fn a_scheduler_that_is_not_there_is_no_sign_of_a_reload() {
    let (mut client, kernel) = client_and_kernel();
    let key = "tcp 192.0.2.1:80".parse().unwrap();
    let unknown = Command::AddService(Service::new(key).with_scheduler("zz".parse().unwrap()));
    let refusal = |result: Result<(), Error>| match result {
        Err(Error::Refused(refusal)) => refusal.errno,
        other => panic!("{other:?}"),
    };
    assert_eq!(refusal(client.execute(&unknown)), Errno::ENOENT);
    // Nor is it one after a reload.
    kernel.reload(0x20);
    assert_eq!(refusal(client.execute(&unknown)), Errno::ENOENT);
    assert_eq!(client.table().unwrap(), Table::new());
}

/// What is asked between the pushes of a window changes nothing about which command each outcome
/// belongs to.
#[test]
fn questions_between_pushes_leave_the_outcomes_in_order() {
    let commands = [mark(1), mark(9), Command::Zero(None), mark(9), mark(2), mark(10)];
    let expected = [Err(Errno::EEXIST), Ok(()), Ok(()), Err(Errno::EEXIST), Err(Errno::EEXIST), Ok(())];
    // After none of the pushes, after some, and after all.
    for asked in 0..1 << commands.len() {
        let table = director(3, 2);
        let mut client = crate::Client::fake(table.clone());
        let mut pipeline = client.pipeline();
        for (at, command) in commands.iter().enumerate() {
            assert!(pipeline.push(command).unwrap().is_empty());
            if asked >> at & 1 == 1 {
                pipeline.explain(&mark(1), Errno::EEXIST).unwrap();
            }
        }
        let outcomes = pipeline.flush().unwrap();
        let errnos: Vec<_> = outcomes.iter().map(|outcome| outcome.map_err(|refusal| refusal.errno)).collect();
        assert_eq!(errnos, expected, "{asked:b}");

        let mut session = core(&table);
        for (at, command) in commands.iter().enumerate() {
            session.enqueue(command);
            if asked >> at & 1 == 1 {
                poll(session.explain(&mark(1), Errno::EEXIST), ALWAYS).unwrap().unwrap();
                // Dropped: its reply comes while the outcomes are waited for.
                assert!(poll(session.service(&"mark 99".parse().unwrap()), 1).is_none());
            }
        }
        assert_eq!(poll(session.flush(), ALWAYS).unwrap().unwrap(), outcomes, "{asked:b}");
    }
}
