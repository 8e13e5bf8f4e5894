//! The examples do what they say, on the in-memory kernel.

use ipvs::{Client, Command, Errno, FakeKernel, Service, Table, owners::Ledger, proc::Connections};

/// Each example is a module with a function `run`, which takes a director and where to write to.
macro_rules! examples {
    ($($name:ident: $path:literal)*) => {
        $(
            #[path = $path]
            #[expect(dead_code, reason = "what runs is not main")]
            mod $name;
        )*
    };
}

examples! {
    change_weight: "../examples/change_weight.rs"
    controller: "../examples/controller.rs"
    drain_server: "../examples/drain_server.rs"
    dry_run: "../examples/dry_run.rs"
    first_service: "../examples/first_service.rs"
    list_connections: "../examples/list_connections.rs"
    list_services: "../examples/list_services.rs"
    many_at_once: "../examples/many_at_once.rs"
    other_namespace: "../examples/other_namespace.rs"
    sync_daemons: "../examples/sync_daemons.rs"
    watch_changes: "../examples/watch_changes.rs"
    watch_rates: "../examples/watch_rates.rs"
    why_refused: "../examples/why_refused.rs"
    with_owner: "../examples/with_owner.rs"
}
#[cfg(feature = "desired")]
examples! { apply_file: "../examples/apply_file.rs" }
#[cfg(feature = "serde")]
examples! { as_json: "../examples/as_json.rs" }
#[cfg(feature = "tokio")]
examples! { with_tokio: "../examples/with_tokio.rs" }

/// What an example writes; it must be the same each time.
fn says(run: impl Fn(&mut Client, &mut dyn std::io::Write) -> Result<(), Box<dyn std::error::Error>>) -> String {
    says_of(Client::fake(Table::new()), run)
}

fn says_of(
    mut director: Client,
    run: impl Fn(&mut Client, &mut dyn std::io::Write) -> Result<(), Box<dyn std::error::Error>>,
) -> String {
    let mut out = Vec::new();
    run(&mut director, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn examples_say_what_they_did() {
    assert_eq!(says(|director, out| first_service::run(director, out)), "tcp 192.0.2.1:80 is scheduled by wrr\n");
    assert_eq!(says(|director, out| change_weight::run(director, out)), "192.0.2.11:80: weight 100 became 50\n");
    assert_eq!(
        says_of(watch_rates::sample().unwrap(), |director, out| watch_rates::run(director, out)),
        "udp 192.0.2.1:53: 0 connections, 0/s, 0 bytes/s in\n192.0.2.11:53: 0 connections, 0/s, 0 bytes/s in\n"
    );
    assert_eq!(says(|director, out| sync_daemons::run(director, out)), "master on lo, id 7, group 224.0.0.81\n");
    assert_eq!(
        says(|director, out| dry_run::run(director, out)),
        "would add service\nwould add destination\n2 commands were sent\n"
    );
    assert_eq!(
        says(|director, out| many_at_once::run(director, out)),
        "mark 1: the service exists already\n1000 of 1001 were made\n"
    );
}

#[test]
fn a_listing_shows_what_another_example_made() {
    let mut director = Client::fake(Table::new());
    first_service::run(&mut director, &mut Vec::new()).unwrap();
    assert_eq!(
        says_of(director, |director, out| list_services::run(director, out)),
        "tcp 192.0.2.1:80 by wrr
    192.0.2.12:8080 masquerade weight 1: 0 active, 0 inactive
    192.0.2.11:8080 masquerade weight 3: 0 active, 0 inactive
"
    );
}

#[test]
fn a_drained_server_is_gone() {
    let output = says(|director, out| drain_server::run(director, out));
    assert!(output.starts_with("192.0.2.11:80 gets no new connections; its weight was 1\n"), "{output}");
    assert!(output.ends_with("192.0.2.11:80 is out of service\n"), "{output}");
}

#[test]
fn refusals_have_their_reasons() {
    let output = says(|director, out| why_refused::run(director, out));
    let expected = [
        "EEXIST: the service exists already: there is a service tcp 192.0.2.1:80 already",
        "ESRCH: there is no such service: there is no service tcp 192.0.2.1:8080, but tcp 192.0.2.1:80",
        "ENOENT: the kernel has no such scheduler or persistence engine: the kernel says that it has no scheduler rrr",
    ];
    assert_eq!(output.lines().count(), expected.len(), "{output}");
    for (line, expected) in output.lines().zip(expected) {
        assert!(line.starts_with(expected), "{line}");
    }
}

#[test]
fn connections_are_listed_without_templates() {
    let mut out = Vec::new();
    list_connections::run(Connections::new(list_connections::SAMPLE.as_bytes()), &mut out).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "127.0.0.1:40001 -> tcp 127.0.0.10:80 -> 127.0.0.10:8080: ESTABLISHED\n"
    );
}

#[test]
fn a_missing_namespace_is_reported() {
    let error = other_namespace::run(&"/dev/null".parse().unwrap(), &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("/dev/null"), "{error}");
}

/// Keys of all services, in order.
fn keys(director: &mut Client) -> Vec<String> {
    let mut keys: Vec<_> = director.services().unwrap().iter().map(|state| state.service.key().to_string()).collect();
    keys.sort();
    keys
}

#[test]
fn a_controller_takes_no_empty_file_for_a_desired_state() {
    let mut director = Client::fake(Table::new());
    controller::step(&mut director, "tcp 192.0.2.1:80 = 192.0.2.11:80\n").unwrap();
    for text in ["", "\n \n", "owns 192.0.2.1\n"] {
        let error = controller::step(&mut director, text).unwrap_err();
        assert_eq!(error.to_string(), "there is no service in it: the director stays as it is", "{text:?}");
        assert_eq!(keys(&mut director), ["tcp 192.0.2.1:80"]);
    }
}

#[test]
fn a_controller_that_owns_addresses_finds_its_stale_services_and_spares_others() {
    let mut director = Client::fake(Table::new());
    for key in ["mark 7", "tcp 192.0.2.1:81", "tcp 192.0.2.9:80", "udp 192.0.2.1:53"] {
        director.execute(&Command::AddService(Service::new(key.parse().unwrap()))).unwrap();
    }
    let text = "owns 192.0.2.1\ntcp 192.0.2.1:80 = 192.0.2.11:80\n";
    controller::step(&mut director, text).unwrap();
    assert_eq!(keys(&mut director), ["mark 7", "tcp 192.0.2.1:80", "tcp 192.0.2.9:80"]);
    let error = controller::step(&mut director, &format!("{text}tcp 192.0.2.9:80 =\n")).unwrap_err();
    assert_eq!(error.to_string(), "tcp 192.0.2.9:80 is not of an address that a line `owns` has");
}

fn desired(keys: &[&str]) -> Table {
    let mut table = Table::new();
    for key in keys {
        table.apply(&Command::AddService(Service::new(key.parse().unwrap()))).unwrap();
    }
    table
}

#[test]
fn an_owner_deletes_its_own_services_only() {
    let kernel = FakeKernel::new(desired(&["udp 192.0.2.1:53"]));
    let (mut director, mut ledger) = (kernel.client(), Ledger::new());
    let mut step = |wanted: &Table| {
        with_owner::step(&mut director, &mut ledger, wanted, |_| Ok(()))
            .map(|applied| applied.commands.len())
            .map_err(|error| error.to_string())
    };
    assert_eq!(step(&desired(&["tcp 192.0.2.1:80"])), Ok(1));
    assert_eq!(step(&desired(&["tcp 192.0.2.1:80"])), Ok(0));
    assert_eq!(step(&Table::new()), Ok(1));
    assert_eq!(kernel.table(), desired(&["udp 192.0.2.1:53"]));
    let refused = step(&desired(&["udp 192.0.2.1:53"]));
    assert_eq!(refused, Err("udp 192.0.2.1:53 is there and has no owner".to_owned()));
}

#[test]
fn an_owner_claims_nothing_by_a_change_that_was_undone() {
    let kernel = FakeKernel::new(Table::new());
    let (mut director, mut ledger) = (kernel.client(), Ledger::new());
    // The second of the two changes is refused.
    kernel.refuse(2, Errno::ENOMEM);
    let wanted = desired(&["mark 1", "mark 2"]);
    with_owner::step(&mut director, &mut ledger, &wanted, |_| Ok(())).unwrap_err();
    assert_eq!((kernel.table().services().len(), ledger.is_empty()), (0, true));
}

#[test]
fn changes_are_written_with_the_program_that_made_them() {
    use ipvs::monitor::{Action, Event, EventKind, Outcome, Process, Sender};

    let mut sender = Sender::default();
    sender.process = Some(Process::new(4711, "ipvsadm"));
    let request = |action| EventKind::Request { sender: sender.clone(), action, outcome: Outcome::Accepted };
    let delete = Command::DeleteService("tcp 192.0.2.1:80".parse().unwrap());
    let kinds = [request(Action::Change(delete)), EventKind::Found(Command::Flush), EventKind::Lost { packets: 3 }];
    let events = kinds.map(|kind| Ok(Event::new(std::time::SystemTime::now(), kind)));
    let mut out = Vec::new();
    watch_changes::run(events, &mut out).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "ipvsadm[4711]: -D -t 192.0.2.1:80: accepted\nunknown program: -C\n3 packets were lost\n"
    );
}

#[cfg(feature = "desired")]
#[test]
fn a_file_is_applied_by_the_smallest_change() {
    use ipvs::desired::Source;

    let mut director = Client::fake(Table::new());
    let mut apply = |text: &str| {
        let mut out = Vec::new();
        apply_file::run(&mut director, &Source::new("shop.toml", text), &mut out)
            .map(|()| String::from_utf8(out).unwrap())
            .map_err(|error| error.to_string())
    };
    let shop = "version = 1\n[[services]]\naddress = '192.0.2.1:80'\nprotocol = 'tcp'\n\
        [[services.destinations]]\naddress = '192.0.2.11'\nforwarding = 'masquerade'\n";
    let commands = "-A -t 192.0.2.1:80 -s wlc\n-a -t 192.0.2.1:80 -r 192.0.2.11:80 -m -w 1\n";
    assert_eq!(apply(shop).unwrap(), commands);
    assert_eq!(apply(shop).unwrap(), "");
    assert_eq!(
        apply(&format!("{shop}weight = 5\nwieght = 3\n")).unwrap_err(),
        "shop.toml:9:1: unknown key 'wieght' in a destination: did you mean 'weight'?"
    );
    let edit = "-e -t 192.0.2.1:80 -r 192.0.2.11:80 -m -w 5\n";
    assert_eq!(apply(&format!("{shop}weight = 5\n")).unwrap(), edit);
    assert_eq!(apply("version = 1\ntimeouts.udp = 60").unwrap(), "--set 0 0 60\n", "services are left alone");
}

#[cfg(feature = "serde")]
#[test]
fn a_table_comes_back_from_json() {
    let output = says(|director, out| as_json::run(director, out));
    assert!(output.contains("\"address\": \"192.0.2.1:80\""), "{output}");
    assert!(output.ends_with("}\ncommands that brought it back: 1\n"), "{output}");
}

#[cfg(feature = "tokio")]
#[test]
fn the_asynchronous_client_adds_a_service() {
    let mut out = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(with_tokio::run(&mut ipvs::AsyncClient::fake(Table::new()), &mut out)).unwrap();
    assert_eq!(out, b"1 services\n");
}
