//! The asynchronous client lets other tasks run while it works on large tables, and can be stopped
//! whenever it does.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ipvs::{AsyncClient, Command, Destination, Service, Table, change::Planner};
use tokio::time::timeout;

/// The number of services, and of destinations of each.
fn table(services: u32, destinations: u8) -> Table {
    let mut table = Table::new();
    for n in 1..=services {
        let key = format!("mark {n}").parse().unwrap();
        table.apply(&Command::AddService(Service::new(key))).unwrap();
        for host in 1..=destinations {
            let at = format!("192.0.2.{host}:0").parse().unwrap();
            table.apply(&Command::AddDestination(key, Destination::new(at))).unwrap();
        }
    }
    table
}

fn planner() -> Planner {
    Planner::new().only_services()
}

/// Polls at most this many times; gives the output, if there is one, and the number of polls.
fn steps<T>(work: impl Future<Output = T>, most: usize) -> (Option<T>, usize) {
    let mut work = pin!(work);
    for step in 1..=most {
        if let Poll::Ready(output) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return (Some(output), step);
        }
    }
    (None, most)
}

const ALL: usize = usize::MAX;

#[test]
fn reading_yields_for_each_service() {
    let mut director = AsyncClient::fake(table(300, 2));
    for (read, count) in [(steps(director.table(), ALL)), (steps(director.table_without_statistics(), ALL))] {
        assert_eq!(read.unwrap().unwrap().services().len(), 300);
        assert!(count > 300, "{count}");
    }
}

/// Planning and trying out are work of their own: without them, as many datagrams make fewer steps.
#[test]
fn planning_yields_in_between() {
    let (services, servers) = (1000, 5);
    let desired = table(services, servers);
    let mut director = AsyncClient::fake(Table::new());
    let (made, count) = steps(director.reconcile(&desired, &planner()), ALL);
    let commands = made.unwrap().unwrap().commands.len();
    assert_eq!(commands, 6000);
    let (sent, sending) = steps(director.execute_all(&vec![Command::Zero(None); commands]), ALL);
    assert!(sent.unwrap().unwrap().iter().all(Result::is_ok));
    // Planned, copied, and tried out: each in pieces of at most 128 entries.
    assert!(count - sending > 3 * commands / 256, "{count} steps, {sending} of them to send");
    let (made, count) = steps(director.reconcile(&desired, &planner()), ALL);
    assert!(made.unwrap().unwrap().commands.is_empty());
    assert!(count > 1000, "{count}");
}

#[test]
fn a_timeout_cuts_a_reconcile_off() {
    let desired = table(10_000, 5);
    let mut director = AsyncClient::fake(Table::new());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        assert!(timeout(Duration::from_millis(20), director.reconcile(&desired, &planner())).await.is_err());
        // It can be used on, and the next one ends what was begun.
        director.info().await.unwrap();
        director.reconcile(&desired, &planner()).await.unwrap();
        assert!(ipvs::change::plan(&director.table().await.unwrap(), &desired).is_empty());
    });
}

#[test]
fn a_task_of_the_same_thread_runs_meanwhile() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut director = AsyncClient::fake(table(500, 2));
    let turns = runtime.block_on(async {
        let reading = tokio::spawn(async move { director.table().await.unwrap().services().len() });
        let mut turns = 0;
        while !reading.is_finished() {
            turns += 1;
            tokio::task::yield_now().await;
        }
        assert_eq!(reading.await.unwrap(), 500);
        turns
    });
    assert!(turns > 500, "{turns}");
}

/// Wherever it yields, it can be dropped, and the director is then between what it was and what was
/// desired.
#[test]
fn a_reconcile_can_be_dropped_at_each_yield() {
    let (from, to) = (table(60, 2), table(40, 3));
    for most in (1..).step_by(7) {
        let mut director = AsyncClient::fake(from.clone());
        if let (Some(made), _) = steps(director.reconcile(&to, &planner()), most) {
            made.unwrap();
            return;
        }
        let (between, _) = steps(director.table(), ALL);
        assert!(between.unwrap().unwrap().services().len() >= 40);
        let (made, _) = steps(director.reconcile(&to, &planner()), ALL);
        made.unwrap().unwrap();
        let (reached, _) = steps(director.table(), ALL);
        assert!(ipvs::change::plan(&reached.unwrap().unwrap(), &to).is_empty(), "{most}");
    }
}
