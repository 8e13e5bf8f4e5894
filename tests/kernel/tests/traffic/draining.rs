//! `ipvs-cli drain` under each scheduler: while it waits, no new client is refused, and none goes
//! to the drained server; or it does not start. The figures are in docs/schedulers.md.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use ipvs::{Client, Errno, Error, Family, Scheduler, SchedulerFlags, Service, ServiceKey, Weight};
use kernel_tests::network::client;
use kernel_tests::target::Target;

use super::field::{Field, SERVERS};

const PLAIN: SchedulerFlags = SchedulerFlags::empty();
const FALLBACK: SchedulerFlags = SchedulerFlags::FLAG_1;

/// How many clients come while a server is drained.
const CLIENTS: u8 = 40;

/// What became of new clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Outcome {
    refused: usize,
    to_the_drained: usize,
}

/// Starts it on the director, by this name.
fn start(field: &Field, name: &str, arguments: &str) -> Child {
    let mut command = Command::new(Target::IpvsCli.program().unwrap());
    command.arg0(name).args(arguments.split(' '));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    field.network.director.run(|| command.spawn().unwrap())
}

/// New clients, each from an address of its own.
fn ask(field: &Field, at: SocketAddr, drained: usize) -> Outcome {
    let mut outcome = Outcome::default();
    for host in 1..=CLIENTS {
        match field.hold(client(Family::V4, 7, host), at) {
            Ok(held) if held.server == drained => outcome.to_the_drained += 1,
            Ok(_) => {}
            Err(_) => outcome.refused += 1,
        }
    }
    outcome
}

fn weight(director: &mut Client, key: &ServiceKey, server: SocketAddr) -> Weight {
    let found = director.destinations(key).unwrap();
    found.iter().find(|state| state.destination.address == server).unwrap().destination.weight
}

/// Drains the server of a client that holds a connection to it. Either what became of those that
/// came meanwhile, or what the program says that did not start.
fn drain(field: &mut Field, at: SocketAddr) -> Result<Outcome, String> {
    let key = ServiceKey::tcp(at);
    let held = field.hold(client(Family::V4, 7, 1), at).unwrap();
    let server = SocketAddr::new(kernel_tests::network::server(held.server as u16 + 1, Family::V4), at.port());
    let before = weight(&mut field.director, &key, server);
    let mut program = start(field, "ipvs-cli", &format!("drain --timeout 60 tcp:{at} {server}"));
    let outcome = loop {
        if weight(&mut field.director, &key, server) == Weight::ZERO {
            let outcome = ask(field, at, held.server);
            assert!(program.try_wait().unwrap().is_none(), "the held connection keeps it waiting");
            program.kill().unwrap();
            break Ok(outcome);
        }
        if program.try_wait().unwrap().is_some() {
            break Err(());
        }
        thread::sleep(Duration::from_millis(20));
    };
    let said = String::from_utf8(program.wait_with_output().unwrap().stderr).unwrap();
    if outcome.is_err() {
        assert_eq!(weight(&mut field.director, &key, server), before, "nothing was changed: {said}");
        // It is right: with weight 0, clients are refused.
        field.weigh(at, held.server, 0);
        let outcome = ask(field, at, held.server);
        println!("weight 0 all the same: {} of {CLIENTS} refused", outcome.refused);
        assert!(outcome.refused > 0, "{said}");
        field.weigh(at, held.server, before.get());
    }
    outcome.map_err(|()| said)
}

/// A service of this scheduler, if the kernel has it.
fn service(field: &mut Field, scheduler: Scheduler, flags: SchedulerFlags) -> Option<SocketAddr> {
    let at = kernel_tests::network::virtual_address(Family::V4, field.free_port());
    let service = Service::new(ServiceKey::tcp(at)).with_scheduler(scheduler).with_scheduler_flags(flags);
    match field.director.add_service(&service) {
        Err(Error::Refused(refusal)) if refusal.errno == Errno::ENOENT => return None,
        added => added.unwrap(),
    }
    field.director.delete_service(&service.key()).unwrap();
    // Of a hash, a server with a high weight keeps a small share only when its weight becomes 0;
    // others must have room.
    let is_hash = [Scheduler::SH, Scheduler::MH, Scheduler::DH].contains(&scheduler);
    field.add(&service, [if is_hash { 1 } else { 50 }; SERVERS]);
    Some(at)
}

#[track_caller]
fn drains_without_a_refusal(field: &mut Field, scheduler: Scheduler, flags: SchedulerFlags) {
    let Some(at) = service(field, scheduler, flags) else {
        return println!("{scheduler}: skipped: this kernel does not have it");
    };
    let outcome = drain(field, at).unwrap_or_else(|said| panic!("{scheduler}: {said}"));
    println!("{scheduler} {flags:?}: while a server drains, of {CLIENTS} new clients {outcome:?}");
    assert_eq!(outcome, Outcome::default(), "{scheduler}");
}

#[test]
fn drain_refuses_no_client_where_the_scheduler_looks_at_weights() {
    for schedulers in [
        &[Scheduler::RR, Scheduler::WRR, Scheduler::LC, Scheduler::WLC, Scheduler::SED, Scheduler::NQ][..],
        &[Scheduler::FO, Scheduler::OVF, Scheduler::LBLC, Scheduler::LBLCR, Scheduler::TWOS],
    ] {
        let mut field = Field::build();
        for scheduler in schedulers {
            drains_without_a_refusal(&mut field, *scheduler, PLAIN);
        }
    }
}

#[test]
fn drain_does_not_start_where_clients_would_be_refused_and_its_cure_works() {
    let mut field = Field::build();
    for scheduler in [Scheduler::SH, Scheduler::MH] {
        drains_without_a_refusal(&mut field, scheduler, FALLBACK);
        let at = service(&mut field, scheduler, PLAIN).unwrap();
        let said = drain(&mut field, at).unwrap_err();
        println!("{said}");
        let cure = said.split('`').nth(1).unwrap();
        let (program, arguments) = cure.split_once(' ').unwrap();
        let cured = start(&field, program, arguments).wait_with_output().unwrap();
        assert!(cured.status.success() && cured.stderr.is_empty(), "{cure}: {cured:?}");
        assert_eq!(drain(&mut field, at), Ok(Outcome::default()), "{scheduler}, cured");
    }
    let at = service(&mut field, Scheduler::DH, PLAIN).unwrap();
    let said = drain(&mut field, at).unwrap_err();
    assert!(said.contains("dh has no fallback"), "{said}");
}
