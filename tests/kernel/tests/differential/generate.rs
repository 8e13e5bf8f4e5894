//! Random sequences of commands: mostly right, often nearly right, sometimes nonsense. They shrink
//! to the shortest that fails.

use crate::line::{Between, Item, Spelling, items, row, words};
use crate::pools::{self, values};
use crate::script;
use crate::step::Step;
use ipvs_cli::ipvsadm::grammar::{self, Row, Takes};
use proptest::collection::vec;
use proptest::option::{self, weighted};
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// The words of a command line, without the program.
pub(crate) type Words = Vec<Vec<u8>>;

/// Commands that follow each other on one table.
pub(crate) fn sequence() -> impl Strategy<Value = Vec<Step>> {
    (weighted(0.85, script::filling()), vec(step(), 1..40)).prop_map(|(filling, mut steps)| {
        steps.splice(0..0, filling.map(|text| called("ipvsadm", vec![b"-R".to_vec()]).fed(text)));
        steps
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        60 => line(Place::Shell).prop_map(|words| called("ipvsadm", words)),
        14 => script::of_lines().prop_map(|text| called("ipvsadm", vec![b"-R".to_vec()]).fed(text)),
        6 => script::filling().prop_map(|text| called("ipvsadm", vec![b"-R".to_vec()]).fed(text)),
        3 => script::filling().prop_map(|text| called("ipvsadm-restore", Words::new()).fed(text)),
        2 => script::without_nul().prop_map(|text| called("ipvsadm-restore", Words::new()).fed(text)),
        3 => select(&["", "-n", "-h", "-n -n", "x", "-n x", "-x", "--", "-"][..]).prop_map(save),
        3 => line(Place::Shell).prop_map(|words| called("ipvsadm", words).with_variable("POSIXLY_CORRECT")),
        1 => line(Place::Shell).prop_map(|words| called("ipvsadm", words).with_variable("POSIX_ME_HARDER")),
        4 => (select(NAMES), line(Place::Shell)).prop_map(|(name, words)| called(name, words)),
        5 => soup().prop_map(|words| called("ipvsadm", words)),
        3 => script::of_bytes().prop_map(|text| called("ipvsadm", vec![b"-R".to_vec()]).fed(text)),
        1 => Just(called("ipvsadm", Words::new())),
    ]
}

/// Other words for the program; it stands in many messages.
const NAMES: &[&str] = &["/sbin/ipvsadm", "./ipvsadm", "ipvs adm/ipvsadm", "%s/ipvsadm"];

fn called(program: &str, words: Words) -> Step {
    Step::new(std::iter::once(program.as_bytes().to_vec()).chain(words))
}

fn save(words: &str) -> Step {
    called("ipvsadm-save", words.split_whitespace().map(Into::into).collect())
}

/// Where a line stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the shell.
    Shell,
    /// In a script for `-R`, where one line may not start and stop a daemon soon after each other:
    /// Linux 6.1 hangs ipvsadm then.
    Script,
}

/// A command line, spelled in some way.
pub(crate) fn line(place: Place) -> impl Strategy<Value = Words> {
    // A wrong line ends a script, and those behind it would be for nothing.
    let clean = if place == Place::Shell { 16 } else { 60 };
    let noise = prop_oneof![clean => Just(Vec::new()), 2 => vec(any_item(), 1), 1 => vec(any_item(), 1..4)];
    let order = prop_oneof![4 => Just(Vec::new()), 1 => vec(any::<u8>(), 1..12)];
    let spellings = prop_oneof![1 => Just(Vec::new()), 2 => vec(spelling(), 8)];
    let lost = weighted(0.03, any::<Index>());
    (sensible(place), noise, order, lost, spellings, weighted(0.02, Just(()))).prop_map(
        |(mut items, noise, order, lost, spellings, late)| {
            items.extend(noise);
            shuffle(&mut items[1..], &order);
            if let Some(lost) = lost {
                items.remove(lost.index(items.len()));
            }
            // The command behind its options is none.
            if late.is_some() && !items.is_empty() {
                items.rotate_left(1);
            }
            words(&items, &spellings)
        },
    )
}

/// Sorts by the keys, of which there may be too few.
fn shuffle(items: &mut [Item], keys: &[u8]) {
    let key = |at: usize| keys.get(at).copied().unwrap_or_default();
    let mut keyed: Vec<(u8, Item)> = items.iter().enumerate().map(|(at, item)| (key(at), item.clone())).collect();
    keyed.sort_by_key(|(key, _)| *key);
    items.iter_mut().zip(keyed).for_each(|(slot, (_, item))| *slot = item);
}

fn spelling() -> impl Strategy<Value = Spelling> {
    let between = select(&[Between::Blank, Between::Nothing, Between::Equals][..]);
    (weighted(0.3, Just(())), weighted(0.3, Just(())), between).prop_map(|(long, bundled, between)| Spelling {
        long: long.is_some(),
        bundled: bundled.is_some(),
        between,
    })
}

/// A line that makes sense, if perhaps not to the kernel; the command first.
fn sensible(place: Place) -> impl Strategy<Value = Vec<Item>> {
    let daemon = |verb: &'static str| {
        (select(&["master", "backup"][..]), maybe(0.9, pools::DAEMONS, pools::BAD_DAEMONS))
            .prop_map(move |(state, options)| with(&format!("--{verb}={state}"), [options]))
    };
    let stop = if place == Place::Shell { "stop-daemon" } else { "start-daemon" };
    prop_oneof![
        18 => add_service("--add-service"),
        10 => add_service("--edit-service"),
        28 => add_server("--add-server"),
        12 => add_server("--edit-server"),
        4 => service().prop_map(|service| with("--delete-service", [service])),
        6 => service_and_server().prop_map(|(service, at)| with("--delete-server", [service, at])),
        3 => option::of(service()).prop_map(|service| with("--zero", service)),
        20 => listing(),
        6 => maybe(0.8, &["--numeric"], &["--exact"]).prop_map(|numeric| with("--save", [numeric])),
        4 => select(pools::TIMEOUTS).prop_map(|words| {
            with("--set", [words.map(|word| Item::Word(word.into())).to_vec()])
        }),
        4 => daemon("start-daemon"),
        2 => daemon(stop),
        1 => Just(items("--clear")),
        1 => Just(items("--restore")),
        1 => select(&["--help", "--version"][..]).prop_map(items),
    ]
}

fn add_service(command: &'static str) -> impl Strategy<Value = Vec<Item>> {
    let of = |family: &'static pools::Family| {
        (service_of(family), maybe(0.4, family.persistence, &["--ops", "--pe=sip --persistent"]))
    };
    let scheduling = maybe(0.7, pools::SCHEDULING, pools::BAD_SCHEDULING);
    (prop_oneof![3 => of(&pools::V4), 2 => of(&pools::V6)], scheduling)
        .prop_map(move |((service, persistence), scheduling)| with(command, [service, persistence, scheduling]))
}

fn add_server(command: &'static str) -> impl Strategy<Value = Vec<Item>> {
    let forwarding = maybe(0.7, pools::FORWARDING, pools::BAD_FORWARDING);
    let capacity = maybe(0.6, pools::CAPACITY, pools::BAD_CAPACITY);
    (service_and_server(), forwarding, capacity)
        .prop_map(move |((service, at), forwarding, capacity)| with(command, [service, at, forwarding, capacity]))
}

fn listing() -> impl Strategy<Value = Vec<Item>> {
    let nosort = weighted(0.1, Just(items("--nosort")));
    (maybe(0.9, pools::LISTINGS, pools::BAD_LISTINGS), weighted(0.3, service()), nosort)
        .prop_map(|(view, service, nosort)| with("--list", [Some(view), service, nosort].into_iter().flatten()))
}

fn with(command: &str, parts: impl IntoIterator<Item = Vec<Item>>) -> Vec<Item> {
    items(command).into_iter().chain(parts.into_iter().flatten()).collect()
}

type Profiles = &'static [&'static str];

/// Nearly always a good one.
fn one_of(good: Profiles, bad: Profiles) -> impl Strategy<Value = Vec<Item>> {
    prop_oneof![19 => select(good), 1 => select(bad)].prop_map(items)
}

fn maybe(probability: f64, good: Profiles, bad: Profiles) -> impl Strategy<Value = Vec<Item>> {
    weighted(probability, one_of(good, bad)).prop_map(Option::unwrap_or_default)
}

fn service() -> impl Strategy<Value = Vec<Item>> {
    prop_oneof![3 => service_of(&pools::V4), 2 => service_of(&pools::V6)]
}

/// Mostly one of the few with which commands meet.
fn service_of(family: &'static pools::Family) -> impl Strategy<Value = Vec<Item>> {
    let anywhere = (1..=254u8, any::<u16>()).prop_map(|(host, port)| {
        let value = format!("192.0.2.{host}:{port}").into_bytes();
        vec![Item::Option { row: row("tcp-service"), value: Some(value) }]
    });
    prop_oneof![
        30 => one_of(&family.services[..pools::COMMON], pools::BAD_SERVICES),
        10 => one_of(family.services, pools::BAD_SERVICES),
        2 => anywhere,
    ]
}

/// Mostly of one family.
fn service_and_server() -> impl Strategy<Value = (Vec<Item>, Vec<Item>)> {
    let pair =
        |service, server: &'static pools::Family| (service_of(service), one_of(server.servers, pools::BAD_SERVERS));
    prop_oneof![
        20 => pair(&pools::V4, &pools::V4),
        14 => pair(&pools::V6, &pools::V6),
        1 => pair(&pools::V4, &pools::V6),
        1 => pair(&pools::V6, &pools::V4),
    ]
}

/// Lines that fill a table, and are right: most of the services with which commands meet, and
/// servers.
pub(crate) fn filling() -> impl Strategy<Value = Vec<Words>> {
    let some = |probability, good| maybe(probability, good, good);
    let service = move |family: &'static pools::Family, at: usize| {
        let options = (some(0.7, pools::SCHEDULING), some(0.4, family.persistence));
        weighted(
            0.8,
            options.prop_map(move |options| with("--add-service", [items(family.services[at]), options.0, options.1])),
        )
    };
    let server = move |family: &'static pools::Family| {
        let common = &family.services[..pools::COMMON];
        (
            one_of(common, common),
            one_of(family.servers, family.servers),
            some(0.7, pools::FORWARDING),
            some(0.6, pools::CAPACITY),
        )
            .prop_map(|(service, at, forwarding, capacity)| with("--add-server", [service, at, forwarding, capacity]))
    };
    let both = [&pools::V4, &pools::V6];
    let services: Vec<_> =
        both.into_iter().flat_map(|family| (0..pools::COMMON).map(move |at| service(family, at))).collect();
    (services, vec(prop_oneof![server(both[0]), server(both[1])], 0..16)).prop_map(|(services, servers)| {
        services.into_iter().flatten().chain(servers).map(|items| words(&items, &[])).collect()
    })
}

/// Any option with any value, or a word.
fn any_item() -> impl Strategy<Value = Item> {
    let rows: Vec<&'static Row> = grammar::ROWS.iter().rev().collect();
    (select(rows), 0..24u8, any::<Index>(), any::<u32>()).prop_map(|(row, kind, index, number)| {
        let pick = |from: &[&str]| index.get(from).as_bytes().to_vec();
        let takes_value = matches!(row.takes, Takes::Value(_) | Takes::MaybeValue(_));
        let value = match kind {
            21 => return Item::Word(pick(pools::ODD)),
            22 => return Item::Word(pick(pools::SOUP)),
            23 => !takes_value,
            _ => takes_value,
        };
        let value = value.then(|| match kind {
            0..=14 => pick(values(row.long)),
            15 | 16 => number.to_string().into_bytes(),
            _ => pick(pools::ODD),
        });
        Item::Option { row, value }
    })
}

/// Words that hardly belong together.
pub(crate) fn soup() -> impl Strategy<Value = Words> {
    (select(pools::BEGINNINGS), vec(select(pools::SOUP), 0..5)).prop_map(|(beginning, soup)| {
        beginning.split_whitespace().chain(soup).map(|word| word.as_bytes().to_vec()).collect()
    })
}
