//! The whole table: every command with every option, and with every two of them; every letter and
//! every name.
//!
//! `COMPAT_PAIRS=all` takes all pairs of options, and does so on every kernel. Else only neighbours
//! in the order in which wrong options are compared, which is enough if that order is one, and only
//! on one kernel: none of them has a say in what is understood.

use crate::line::{Item, items, words};
use crate::play::{self, Views};
use crate::pools::values;
use crate::step::Step;
use crate::world::Pair;
use ipvs_cli::ipvsadm::grammar::{self, Item as Meaning, ROWS, Row, Takes};
use ipvs_cli::ipvsadm::rules::Slot;
use kernel_tests::on_the_fastest_kernel;
use kernel_tests::target::Target;
use libtest_mimic::{Failed, Trial};
use std::collections::BTreeSet;

/// What each command needs. Those that make something make another thing each time: `{n}` is a
/// number.
const COMMANDS: [&str; 16] = [
    "--add-service --tcp-service=192.0.2.7:{n}",
    "--edit-service --tcp-service=192.0.2.1:80",
    "--delete-service --tcp-service=192.0.2.1:81",
    "--add-server --tcp-service=192.0.2.1:80 --real-server=192.0.2.11:{n} --masquerading",
    "--edit-server --tcp-service=192.0.2.1:80 --real-server=192.0.2.11:80",
    "--delete-server --tcp-service=192.0.2.1:80 --real-server=192.0.2.12:80",
    "--list",
    "--zero",
    "--save",
    "--clear",
    "--restore",
    "--set",
    "--start-daemon=master --mcast-interface=lo",
    "--stop-daemon=master",
    "--help",
    "--version",
];

/// On what table.
const FILLING: &str = "-A -t 192.0.2.1:80 -s rr
-a -t 192.0.2.1:80 -r 192.0.2.11:80 -m
-a -t 192.0.2.1:80 -r 192.0.2.12:80 -m
-A -t 192.0.2.1:81 -s wlc -p
-A -f 1 -6
";

/// The trials, group by group.
pub(crate) fn trials() -> Vec<Trial> {
    let elsewhere = !all_pairs_asked() && !on_the_fastest_kernel();
    let mut trials = vec![
        Trial::test("table::letters", || check(letters())),
        Trial::test("table::names", || check(long_names())),
        Trial::test("table::every_name_of_the_help_is_known", every_name_of_the_help_is_known),
    ];
    for command in COMMANDS {
        let name = command.split([' ', '=']).next().unwrap_or_default().trim_start_matches('-');
        trials.push(Trial::test(format!("table::one_option::{name}"), move || check(one_option(command))));
        // The others don't look at what follows.
        if !["help", "version"].contains(&name) {
            let trial = Trial::test(format!("table::two_options::{name}"), move || check(two_options(command)));
            trials.push(trial);
        }
    }
    trials.into_iter().map(|trial| trial.with_ignored_flag(elsewhere)).collect()
}

fn all_pairs_asked() -> bool {
    std::env::var_os("COMPAT_PAIRS").is_some_and(|pairs| pairs == "all")
}

/// Plays them one after the other; what differs, alone.
fn check(steps: Vec<Step>) -> Result<(), Failed> {
    let pair = Pair::new();
    let fill = Step::new(["ipvsadm", "-R"]).fed(FILLING);
    let mut whole = vec![fill.clone()];
    whole.extend(steps);
    match play::play(&pair, &whole, Views::Sometimes) {
        Ok(tally) if tally.commands < whole.len() => Err(format!("ended after {} commands", tally.commands).into()),
        Ok(tally) => {
            play::add(tally);
            Ok(())
        }
        Err(mismatch) => {
            let alone =
                whole.get(mismatch.at).and_then(|step| play::play(&pair, &[fill, step.clone()], Views::Always).err());
            Err(alone.unwrap_or(mismatch).to_string().into())
        }
    }
}

fn line(items: &[Item]) -> Step {
    Step::new(std::iter::once(b"ipvsadm".to_vec()).chain(words(items, &[])))
}

/// Everything that can stand behind a command: each option with a value it takes, and what is none.
fn options() -> Vec<Item> {
    let known = ROWS.iter().map(with_value);
    let unknown = [&b"word"[..], b"--bogus", b"-q", b"--numeric=", b"-n=3", b"--"];
    known.chain(unknown.map(|word| Item::Word(word.to_vec()))).collect()
}

fn with_value(row: &'static Row) -> Item {
    let takes_one = matches!(row.takes, Takes::Value(_) | Takes::MaybeValue(_));
    Item::Option { row, value: takes_one.then(|| values(row.long)[0].into()) }
}

/// The command with what it needs, made new for each number.
fn whole(command: &str, number: usize) -> Vec<Item> {
    items(&command.replace("{n}", &(100 + number).to_string()))
}

/// Each option behind the whole command, and behind its name alone.
fn one_option(command: &'static str) -> Vec<Step> {
    let mut steps = vec![line(&whole(command, 0)), line(&whole(command, 0)[..1])];
    for (number, option) in options().into_iter().enumerate() {
        for mut items in [whole(command, 1 + number), whole(command, 0)[..1].to_vec()] {
            items.push(option.clone());
            steps.push(line(&items));
            steps.extend(stopped(command));
        }
    }
    steps
}

/// A daemon runs only once.
fn stopped(command: &str) -> Option<Step> {
    command.starts_with("--start-daemon").then(|| line(&items("--stop-daemon=master")))
}

/// Two options behind the whole command, the later one first.
fn two_options(command: &'static str) -> Vec<Step> {
    let pairs = if all_pairs_asked() { all_pairs() } else { neighbours() };
    let pair = |(number, (first, second)): (usize, &(Item, Item))| {
        let mut items = whole(command, number);
        items.extend([second.clone(), first.clone()]);
        [Some(line(&items)), stopped(command)]
    };
    pairs.iter().enumerate().flat_map(pair).flatten().collect()
}

fn all_pairs() -> Vec<(Item, Item)> {
    let options = options();
    let pairs = options
        .iter()
        .enumerate()
        .flat_map(|(at, first)| options[at + 1..].iter().map(move |second| (first.clone(), second.clone())));
    pairs.collect()
}

/// Those that are next to each other where wrong options are looked for.
fn neighbours() -> Vec<(Item, Item)> {
    let of = |slot: &Slot| {
        let row = ROWS.iter().find(|row| matches!(row.item, Meaning::Opt(_, Some(of)) if of == *slot));
        with_value(row.unwrap_or_else(|| panic!("no option fills {slot:?}")))
    };
    Slot::ALL.windows(2).map(|pair| (of(&pair[0]), of(&pair[1]))).collect()
}

/// Every letter as the command, behind one, and glued to one.
fn letters() -> Vec<Step> {
    let letters = (b'!'..=b'~').map(char::from);
    letters
        .flat_map(|letter| {
            [vec![format!("-{letter}")], vec!["-L".into(), format!("-{letter}")], vec![format!("-L{letter}")]]
        })
        // Dashes between letters are read apart by `ipvs-cli`: docs/compatibility.md.
        .filter(|words| words[0] != "-L-")
        .map(|words| Step::new(std::iter::once("ipvsadm".to_owned()).chain(words)))
        .collect()
}

/// Every name, as the command and behind one, with a value and without its last letter.
fn long_names() -> Vec<Step> {
    let first = |word: String| vec![word];
    let behind = |word: String| vec!["-L".to_owned(), word];
    let of = |row: &Row| {
        let (whole, cut) = (format!("--{}", row.long), format!("--{}", &row.long[..row.long.len() - 1]));
        [first(whole.clone()), behind(whole.clone()), behind(whole + "=1"), behind(cut)]
    };
    ROWS.iter().flat_map(of).map(|words| Step::new(std::iter::once("ipvsadm".to_owned()).chain(words))).collect()
}

/// A name that only the original knows would be in nobody's table.
fn every_name_of_the_help_is_known() -> Result<(), Failed> {
    let help = Pair::new().ipvsadm.run(Target::Ipvsadm, &Step::new(["ipvsadm", "-h"]).command, b"");
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let names: BTreeSet<&str> = help
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
        .filter_map(|word| word.strip_prefix("--"))
        .filter(|name| !name.is_empty())
        .collect();
    let unknown: Vec<&&str> = names.iter().filter(|name| grammar::by_long(name.as_bytes()).is_none()).collect();
    if names.len() < 40 || !unknown.is_empty() {
        return Err(format!("{} names, of these unknown to ipvs-cli: {unknown:?}", names.len()).into());
    }
    Ok(())
}
