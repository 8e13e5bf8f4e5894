//! The examples of the library do on a kernel what they do on the in-memory kernel, and say the
//! same.

use std::error::Error;
use std::io::Write;

use ipvs::{AsyncClient, Client, Table, netns::Namespace, proc::Connections};
use kernel_tests::sandbox;

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
    apply_file: "../../../ipvs/examples/apply_file.rs"
    change_weight: "../../../ipvs/examples/change_weight.rs"
    controller: "../../../ipvs/examples/controller.rs"
    drain_server: "../../../ipvs/examples/drain_server.rs"
    dry_run: "../../../ipvs/examples/dry_run.rs"
    first_service: "../../../ipvs/examples/first_service.rs"
    list_connections: "../../../ipvs/examples/list_connections.rs"
    list_services: "../../../ipvs/examples/list_services.rs"
    many_at_once: "../../../ipvs/examples/many_at_once.rs"
    other_namespace: "../../../ipvs/examples/other_namespace.rs"
    sync_daemons: "../../../ipvs/examples/sync_daemons.rs"
    watch_rates: "../../../ipvs/examples/watch_rates.rs"
    why_refused: "../../../ipvs/examples/why_refused.rs"
    with_tokio: "../../../ipvs/examples/with_tokio.rs"
}

type Example = fn(&mut Client, &mut dyn Write) -> Result<(), Box<dyn Error>>;

fn says(director: &mut Client, example: Example) -> String {
    let mut out = Vec::new();
    example(director, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// Each starts on a director without services.
fn says_the_same_on_both(example: Example) {
    sandbox::enter_network().unwrap();
    let expected = says(&mut Client::fake(Table::new()), example);
    assert!(!expected.is_empty());
    assert_eq!(says(&mut Client::connect().unwrap(), example), expected);
}

#[test]
fn apply_file_says_the_same_on_both() {
    says_the_same_on_both(|director, out| {
        let text = "version = 1\nservices = [{ mark = 7, destinations = [{ address = '127.0.0.1' }] }]";
        let file = ipvs::desired::Source::new("test.toml", text);
        apply_file::run(director, &file, out)?;
        apply_file::run(director, &file, out)
    });
}

#[test]
fn change_weight_says_the_same_on_both() {
    says_the_same_on_both(|director, out| change_weight::run(director, out));
}

#[test]
fn drain_server_says_the_same_on_both() {
    says_the_same_on_both(|director, out| drain_server::run(director, out));
}

#[test]
fn dry_run_says_the_same_on_both() {
    says_the_same_on_both(|director, out| dry_run::run(director, out));
}

#[test]
fn first_service_and_list_services_say_the_same_on_both() {
    says_the_same_on_both(|director, out| {
        first_service::run(director, out)?;
        list_services::run(director, out)
    });
}

#[test]
fn many_at_once_says_the_same_on_both() {
    says_the_same_on_both(|director, out| many_at_once::run(director, out));
}

#[test]
fn sync_daemons_says_the_same_on_both() {
    says_the_same_on_both(|director, out| sync_daemons::run(director, out));
}

#[test]
fn watch_rates_says_the_same_on_both() {
    says_the_same_on_both(|director, out| {
        director.reconcile(&watch_rates::sample()?.table()?, &ipvs::change::Planner::new().only_services())?;
        watch_rates::run(director, out)
    });
}

#[test]
fn why_refused_says_the_same_on_both_and_leaves_nothing() {
    says_the_same_on_both(|director, out| {
        why_refused::run(director, out)?;
        Ok(writeln!(out, "{} services", director.services()?.len())?)
    });
}

#[test]
fn a_controller_says_the_same_on_both() {
    says_the_same_on_both(|director, out| {
        for text in ["owns 192.0.2.1\ntcp 192.0.2.1:80 = 127.0.0.1:80\n", "owns 192.0.2.1\ntcp 192.0.2.1:81 =\n", ""] {
            match controller::step(director, text) {
                Ok(applied) => writeln!(out, "{} commands", applied.commands.len())?,
                Err(error) => writeln!(out, "{error}")?,
            }
        }
        Ok(())
    });
}

#[test]
fn with_tokio_and_others_that_always_ask_the_kernel_run() {
    sandbox::enter_network().unwrap();
    let mut out = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut director = runtime.block_on(AsyncClient::connect()).unwrap();
    runtime.block_on(with_tokio::run(&mut director, &mut out)).unwrap();
    list_connections::run(Connections::open().unwrap(), &mut out).unwrap();
    let here = Namespace::of_this_thread().unwrap();
    other_namespace::run(&here, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(
        text.starts_with(&format!("1 services\n{here}: 1 services\n")) && text.contains("\nconntrack = "),
        "{text}"
    );
}
