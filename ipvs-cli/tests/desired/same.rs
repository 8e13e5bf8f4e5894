//! A text that says of services what the director holds desires the same, whether they are read or
//! only compared.

use ipvs::Table;
use ipvs::desired::Problem;
use ipvs_cli::desired::{self, Desired};
use ipvs_cli::ipvsadm::value::NoNames;
use ipvs_cli::ipvsadm::{Parser, Posix};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::identity::rules;
use crate::read;
use crate::strategies::{services_of_ipvsadm, table};

fn read_for(director: &Table, text: &[u8]) -> Result<Desired, Vec<Problem>> {
    desired::read_for(director, "text", text.to_vec(), &mut Parser::new(&mut NoNames, Posix(false)))
}

/// The table, or what is wrong, and the warnings.
fn outcome(read: Result<Desired, Vec<Problem>>, director: &Table) -> Result<(Table, String), String> {
    // Which service is near to one that is not there depends on how many are there already.
    let line = |problem: &Problem| format!("{}\n", problem.to_string().split(", but ").next().unwrap_or_default());
    let lines = |problems: Vec<Problem>| problems.iter().map(line).collect::<String>();
    let desired = read.map_err(lines)?;
    let table = desired.state.table(director).map_err(Vec::from).map_err(lines)?;
    Ok((table, format!("{:?} {}", desired.state.scope, lines(desired.state.warnings))))
}

/// What people do to a saved file.
#[derive(Clone, Debug)]
enum Edit {
    Remove(Index),
    Repeat(Index, Index),
    Swap(Index, Index),
    Insert(Index, &'static str),
    Cut(Index),
    Byte(Index, u8),
    /// All lines, in other words.
    Reword(&'static str, &'static str),
}

fn edit() -> impl Strategy<Value = Edit> {
    const LINES: [&str; 9] =
        ["# a comment", "", "-C", "-A -f 77", "-D -f 77", "--set 1 2 3", "-Z", " -A -t 192.0.2.1:80", "nonsense"];
    const REWORDINGS: [(&str, &str); 5] =
        [(" -w ", " -w 0"), (" -w 1", ""), (" -g", ""), (" -m", " --masquerading"), (" -r ", " --real-server ")];
    let place = any::<Index>;
    prop_oneof![
        place().prop_map(Edit::Remove),
        (place(), place()).prop_map(|(line, to)| Edit::Repeat(line, to)),
        (place(), place()).prop_map(|(line, other)| Edit::Swap(line, other)),
        (place(), proptest::sample::select(&LINES[..])).prop_map(|(at, line)| Edit::Insert(at, line)),
        place().prop_map(Edit::Cut),
        (place(), proptest::sample::select(&b" 0123456789-\n!"[..])).prop_map(|(at, byte)| Edit::Byte(at, byte)),
        proptest::sample::select(&REWORDINGS[..]).prop_map(|(words, other)| Edit::Reword(words, other)),
    ]
}

fn edited(text: &[u8], edits: &[Edit]) -> Vec<u8> {
    edits.iter().fold(text.to_vec(), |text, edit| {
        let mut lines: Vec<Vec<u8>> = text.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
        let count = lines.len();
        let at = |index: &Index| index.index(count);
        match edit {
            Edit::Remove(line) => drop(lines.remove(at(line))),
            Edit::Repeat(line, to) => lines.insert(at(to), lines[at(line)].clone()),
            Edit::Swap(line, other) => lines.swap(at(line), at(other)),
            Edit::Insert(place, line) => lines.insert(at(place), line.as_bytes().to_vec()),
            Edit::Reword(words, other) => {
                return String::from_utf8_lossy(&text).replace(words, other).into_bytes();
            }
            Edit::Cut(line) => drop(lines[at(line)].pop()),
            Edit::Byte(place, byte) => {
                let (before, behind) = text.split_at(place.index(text.len() + 1));
                return [before, &[*byte], behind].concat();
            }
        }
        lines.join(&b'\n')
    })
}

proptest! {
    #[test]
    fn compared_is_as_read(
        director in prop_oneof![3 => services_of_ipvsadm(), 1 => table()],
        edits in vec(edit(), 0..4),
    ) {
        let text = edited(&rules(&director), &edits);
        prop_assert_eq!(
            outcome(read_for(&director, &text), &director),
            outcome(read("text", text.clone()), &director),
            "{}", String::from_utf8_lossy(&text)
        );
    }
}

const SAVED: &str = "-A -t 192.0.2.1:80 -s rr
-a -t 192.0.2.1:80 -r 192.0.2.11:80 -g -w 1
-a -t 192.0.2.1:80 -r 192.0.2.12:80 -i -w 2 --tun-type ipip
-A -u 192.0.2.1:0 -s sh -p 300
-a -u 192.0.2.1:0 -r 192.0.2.11:53 -m -w 1 -x 10 -y 5
-A -f 3 -6 -s wlc
-a -f 3 -6 -r [2001:db8::11]:80 -g -w 0
";

fn director() -> Table {
    crate::table("saved", SAVED).unwrap()
}

#[test]
fn saved_services_are_compared_and_not_read() {
    let director = director();
    let desired = read_for(&director, SAVED.as_bytes()).unwrap();
    assert_eq!((desired.state.same.len(), desired.state.commands.len()), (3, 0));
    assert_eq!(desired.state.table(&director).unwrap(), director);
    // Wherever it is carried out.
    assert_eq!(desired.state.table(&Table::new()).unwrap(), director);
}

#[test]
fn only_what_differs_is_read() {
    let (director, changed) = (director(), SAVED.replace("-w 2 ", "-w 3 "));
    let desired = read_for(&director, changed.as_bytes()).unwrap();
    assert_eq!((desired.state.same.len(), desired.state.commands.len()), (2, 3));
    assert_eq!(desired.state.table(&director).unwrap(), crate::table("changed", changed).unwrap());
}

#[test]
fn other_words_are_compared_and_put_into_no_table() {
    let director = director();
    let text = SAVED.replace(" -w ", " -w 0").replace("-A -t 192.0.2.1:80 -s rr", "-A -s rr -t 192.0.2.1:80");
    let desired = read_for(&director, text.as_bytes()).unwrap();
    assert_eq!((desired.state.same.len(), desired.state.commands.len()), (3, 0));
    assert_eq!(desired.state.table(&director).unwrap(), director);
    for (words, other) in [("-w 01 --tun", "-w 02 --tun"), ("-w 02 ", "-w 03 "), ("-s sh", "-s dh")] {
        let changed = text.replace(words, other);
        let desired = read_for(&director, changed.as_bytes()).unwrap();
        assert_eq!(desired.state.table(&director).unwrap(), crate::table("changed", changed).unwrap(), "{other}");
    }
}

/// The last three are further apart than the comparison of `-S` sees.
#[test]
fn the_order_in_which_they_were_added_does_not_matter() {
    for hosts in [&["192.0.2.12", "192.0.2.11"][..], &["10.0.0.1", "100.0.0.1", "200.0.0.1"]] {
        let lines: String = hosts.iter().map(|host| format!("-a -f 1 -r {host}:80 -m -w 1\n")).collect();
        let added = format!("-A -f 1 -s rr\n{lines}");
        let director = crate::table("added", &*added).unwrap();
        for text in [rules(&director), added.into_bytes()] {
            assert_eq!(read_for(&director, &text).unwrap().state.same.len(), 1, "{}", String::from_utf8_lossy(&text));
        }
    }
}

#[test]
fn a_clear_before_all_of_it_means_nothing() {
    let director = director();
    let desired = read_for(&director, format!("# all of it\n-C\n{SAVED}").as_bytes()).unwrap();
    assert_eq!((desired.state.same.len(), desired.state.commands.len()), (3, 0));
    let nothing = read_for(&director, b"-C").unwrap();
    assert_eq!(nothing.state.table(&director).unwrap(), Table::new());
}

#[test]
fn later_lines_about_a_saved_service_count() {
    let director = director();
    for line in ["-D -f 3 -6", "-A -f 3 -6 -s rr", "-a -f 3 -6 -r [2001:db8::12]:80", "-C"] {
        for text in [format!("{SAVED}{line}\n"), format!("{line}\n{SAVED}"), format!("{SAVED}{line}\n{SAVED}")] {
            assert_eq!(
                outcome(read_for(&director, text.as_bytes()), &director),
                outcome(read("text", text.clone()), &director),
                "{text}"
            );
        }
    }
}
