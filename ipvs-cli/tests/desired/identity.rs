//! What a table is written as makes the same table again.

use std::net::{IpAddr, SocketAddr};

use fwmark::MarkRule;
use ipvs::desired::{Packets, Scope, WriteOptions, write_json, write_toml};
use ipvs::{Behaviors, Client, Command, Destination, Service, Table, Weight};
use ipvs_cli::desired::{Desired, groups_of};
use ipvs_cli::director::Director;
use ipvs_cli::env::Environment;
use proptest::prelude::*;

use crate::read;
use crate::strategies::{director, mark_rules, services_of_ipvsadm, table};

fn json(table: &Table, options: WriteOptions<'_>) -> Vec<u8> {
    let mut text = Vec::new();
    write_json(&mut text, table, options).unwrap();
    text
}

fn toml(table: &Table) -> Vec<u8> {
    let mut text = Vec::new();
    write_toml(&mut text, table, WriteOptions::default()).unwrap();
    text
}

pub(crate) fn rules(table: &Table) -> Vec<u8> {
    let mut kernel = Director::with(Client::fake(table.clone()));
    let (status, stdout) = run(&mut kernel, "ipvsadm -S -n", b"");
    assert_eq!(status, 0);
    stdout
}

/// Calls the program; gives its status and its standard output.
fn run(kernel: &mut Director, line: &str, mut stdin: &[u8]) -> (u8, Vec<u8>) {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let mut environment = Environment::new(&mut stdin, &mut stdout, &mut stderr);
    let argv: Vec<_> = line.split(' ').map(Into::into).collect();
    (ipvs_cli::run(&argv, &mut environment, kernel), stdout)
}

/// What the director shows of itself is what it has, whatever its kernel has beside what is in the
/// Linux tree.
fn shown_and_applied_is_nothing(table: &Table, show: &str) -> Result<(), TestCaseError> {
    let mut kernel = Director::with(Client::fake(table.clone()));
    let (status, text) = run(&mut kernel, show, b"");
    prop_assert_eq!(status, 0);
    for (line, said) in [
        ("ipvs-cli diff -", ""),
        ("ipvs-cli apply --dry-run -", "dry run, nothing was sent: nothing to change\n"),
        ("ipvs-cli apply -", "nothing to change\n"),
        ("ipvs-cli --dry-run restore", "dry run, nothing was sent: nothing to change\n"),
        ("ipvs-cli restore", "nothing to change\n"),
    ] {
        let (status, stdout) = run(&mut kernel, line, &text);
        let said = (0, said.to_owned());
        prop_assert_eq!((status, String::from_utf8_lossy(&stdout).into_owned()), said, "{}: {}", show, line);
    }
    prop_assert_eq!(&kernel.client().unwrap().table().unwrap(), table);
    Ok(())
}

/// What some kernels hold, and others do not take or would shorten.
#[test]
fn the_largest_numbers_are_nothing_to_change() {
    for (upper, seconds) in [(1 << 31, 4_294_968), (u32::MAX, u32::MAX)] {
        let mut table = Table::new().with_behaviors(Behaviors::empty());
        let service: Service = serde_json::from_value(serde_json::json!({"mark": 1, "persistence": seconds})).unwrap();
        let mut server = Destination::new("192.0.2.11:0".parse().unwrap());
        (server.upper_threshold, server.lower_threshold) = (upper, upper);
        table.apply(&Command::AddService(service)).unwrap();
        table.apply(&Command::AddDestination(service.key(), server)).unwrap();
        for show in ["ipvs-cli show --json", "ipvs-cli show --toml"] {
            shown_and_applied_is_nothing(&table, show).unwrap();
        }
    }
}

fn understood(text: Vec<u8>) -> Desired {
    let shown = String::from_utf8_lossy(&text).into_owned();
    match read("written", text) {
        Ok(desired) => desired,
        Err(problems) => panic!("{}\n{shown}", problems[0]),
    }
}

proptest! {
    #[test]
    fn json_is_the_identity(table in table(), other in table(), statistics: bool) {
        let mut options = WriteOptions::default();
        options.statistics = statistics;
        let desired = understood(json(&table, options));
        prop_assert_eq!(desired.state.scope, Scope::EVERYTHING);
        // Wherever it is carried out.
        for before in [&table, &director(), &other] {
            prop_assert_eq!(&desired.state.table(before).unwrap(), &table);
        }
    }

    #[test]
    fn toml_is_the_identity(table in table(), other in table()) {
        let desired = understood(toml(&table));
        prop_assert_eq!(desired.state.scope, Scope::EVERYTHING);
        for before in [&table, &director(), &other] {
            prop_assert_eq!(&desired.state.table(before).unwrap(), &table);
        }
    }

    #[test]
    fn rules_are_the_identity_of_services(table in services_of_ipvsadm(), other in services_of_ipvsadm()) {
        let text = rules(&table);
        if text.is_empty() {
            // Nothing is no rules file: it would be what is left of a program that failed.
            prop_assert!(read("written", text).is_err());
            return Ok(());
        }
        let desired = understood(text);
        prop_assert_eq!(desired.state.scope, Scope { services: true, ..Scope::default() });
        for before in [&table, &other] {
            prop_assert_eq!(&desired.state.table(before).unwrap(), &table);
        }
    }

}

/// The library's JSON of a table is the program's: `diff -` and `apply -` take it, and it takes
/// what `show` writes.
#[test]
fn the_json_of_the_library_is_that_of_the_program() {
    let text =
        "version = 1\ntimeouts.udp = 60\n[[services]]\nmark = 1\n[[services.destinations]]\naddress = '192.0.2.11'";
    let table = crate::table("table", text).unwrap();
    let mut kernel = Director::with(Client::fake(table.clone()));
    let json = serde_json::to_vec(&kernel.client().unwrap().table().unwrap()).unwrap();
    assert_eq!(run(&mut kernel, "ipvs-cli diff -", &json), (0, Vec::new()));
    for show in ["ipvs-cli show --json", "ipvs-cli show --json --statistics --daemons"] {
        let (status, shown) = run(&mut kernel, show, b"");
        assert_eq!((status, serde_json::from_slice::<Table>(&shown).unwrap()), (0, table.clone()), "{show}");
    }
    let (status, _) = run(&mut Director::with(Client::fake(Table::new())), "ipvs-cli diff -", &json);
    assert_eq!(status, 1, "it differs from another director");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn applying_what_show_prints_changes_nothing(typed in table(), services in services_of_ipvsadm()) {
        shown_and_applied_is_nothing(&typed, "ipvs-cli show --toml")?;
        shown_and_applied_is_nothing(&typed, "ipvs-cli show --json")?;
        // No rules are no rules file.
        if services.services().len() > 0 {
            shown_and_applied_is_nothing(&services, "ipvsadm -S -n")?;
        }
    }
}

proptest! {
    /// Equal tables are equal texts, in whatever order they came to be.
    #[test]
    fn texts_are_stable(table in table()) {
        let text = json(&table, WriteOptions::default());
        let mut turned: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let services = turned["services"].as_array_mut().unwrap();
        services.reverse();
        services.iter_mut().for_each(|service| service["destinations"].as_array_mut().unwrap().reverse());
        let again = understood(turned.to_string().into()).state.table(&director()).unwrap();
        prop_assert_eq!(json(&again, WriteOptions::default()), text);
        prop_assert_eq!(toml(&again), toml(&table));
    }
}

/// A table of services with these rules, each of which is for one of them.
fn services_of(rules: &[MarkRule]) -> Table {
    let mut table = Table::new();
    for rule in rules {
        let family = if rule.family() == fwmark::Family::V6 { " ipv6" } else { "" };
        let key = format!("mark {}{family}", rule.set().mark()).parse().unwrap();
        // Refused, if it is there already.
        let _ = table.apply(&Command::AddService(Service::new(key)));
    }
    table
}

/// Each service has its own groups, each destination its own weight.
#[test]
fn groups_and_drained_weights_are_in_their_services() {
    let text = "version = 1\nservices = [\n{mark = 1, destinations = [{address = '192.0.2.1'}, {address = '192.0.2.2'}]},\n\
                {mark = 2, destinations = [{address = '192.0.2.1'}]}]";
    let table = crate::table("two", text).unwrap();
    let [one, two] = [1, 2].map(|mark| format!("mark {mark}").parse().unwrap());
    let [first, second] = [1, 2].map(|last| SocketAddr::from(([192, 0, 2, last], 0)));
    let weight = |weight| Weight::new(weight).unwrap();
    let drained = [(two, first, weight(7)), (one, second, weight(8))];
    let groups =
        [(two, 1), (one, 2), (two, 3)].map(|(key, last)| (key, Packets::new(IpAddr::from([203, 0, 113, last]).into())));
    let mut options = WriteOptions::default();
    (options.groups, options.drained) = (&groups, &drained);
    let written: serde_json::Value = serde_json::from_slice(&json(&table, options)).unwrap();
    let (services, null) = (&written["services"], serde_json::Value::Null);
    let before = |service: usize, server: usize| &services[service]["destinations"][server]["weight_before"];
    assert_eq!([before(0, 0), before(0, 1), before(1, 0)], [&null, &8.into(), &7.into()]);
    let address = |address: &str| serde_json::json!({"address": address});
    assert_eq!(services[0]["group"], serde_json::json!([address("203.0.113.2")]));
    assert_eq!(services[1]["group"], serde_json::json!([address("203.0.113.1"), address("203.0.113.3")]));
}

proptest! {
    #[test]
    fn groups_are_the_identity(rules in mark_rules()) {
        let table = services_of(&rules);
        let groups = groups_of(&rules);
        let mut options = WriteOptions::default();
        options.groups = &groups;
        let mut toml = Vec::new();
        write_toml(&mut toml, &table, options).unwrap();
        for text in [json(&table, options), toml] {
            let desired = understood(text);
            let read: Vec<&MarkRule> = desired.groups.iter().flat_map(|group| &group.rules).collect();
            prop_assert_eq!(read.len(), rules.len());
            for group in &desired.groups {
                // In their order.
                let of_service = |rule: &&MarkRule| services_of(&[(*rule).clone()]).service(&group.service).is_some();
                prop_assert_eq!(group.rules.iter().collect::<Vec<_>>(), rules.iter().filter(of_service).collect::<Vec<_>>());
            }
        }
    }
}

#[test]
fn only_selects_one_service() {
    let text = "version = 1\nservices = [{mark = 1, destinations = [{address = '192.0.2.1'}]}, {mark = 2}]";
    let table = crate::table("two", text).unwrap();
    let only = Some("mark 1".parse().unwrap());
    let parts = Scope { services: true, marks: true, ..Scope::default() };
    let mut options = WriteOptions::default();
    (options.parts, options.statistics, options.only) = (parts, true, only);
    let shown = understood(json(&table, options));
    assert_eq!(shown.state.scope, parts);
    let shown = shown.state.table(&Table::new()).unwrap();
    assert_eq!(shown.services().collect::<Vec<_>>(), [table.services().next().unwrap()]);
}
