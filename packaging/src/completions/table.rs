//! The table of options, as completions need it: which options go with which command, and what their values may be.

use ipvs_cli::ipvsadm::{
    grammar::{Item, Opt, ROWS, Row, Section, Takes},
    rules::{Slot, Verb, of_command},
    value,
};

/// All commands.
#[derive(Debug)]
pub(crate) struct Table {
    /// In the order of the help.
    pub(crate) commands: Vec<Command>,
}

/// A command, which is the first option of a line.
#[derive(Debug)]
pub(crate) struct Command {
    /// Its own row.
    pub(crate) row: &'static Row,
    /// Its options; those of a group exclude each other.
    pub(crate) groups: Vec<Vec<&'static Row>>,
}

/// What a value may be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Values {
    /// There is none, or none that must follow.
    None,
    /// One of these words.
    Words(Vec<&'static str>),
    /// The address of a virtual service that exists, as the saved table has it behind this option.
    Services(String),
    /// The address of a real server that exists.
    Servers,
    /// A network interface.
    Interfaces,
    /// Nothing that could be foreseen.
    Anything,
}

impl Table {
    /// That of the program.
    pub(crate) fn of_program() -> Self {
        let is_command = |row: &&Row| matches!(row.section, Section::Commands | Section::Unlisted);
        let commands = ROWS.iter().filter(is_command).map(|row| Command { row, groups: groups(row.item) });
        Self { commands: commands.collect() }
    }
}

/// The options of a command, in the order of the help.
fn groups(command: Item) -> Vec<Vec<&'static Row>> {
    let Item::Verb(verb) = command else { return Vec::new() };
    let mut groups: Vec<(Option<Slot>, Vec<&'static Row>)> = Vec::new();
    for row in &ROWS {
        let Item::Opt(opt, slot) = row.item else { continue };
        if !is_of_use(verb, opt, slot) {
            continue;
        }
        match groups.iter_mut().find(|(of, _)| of.is_some() && *of == slot) {
            Some((_, rows)) => rows.push(row),
            None => groups.push((slot, vec![row])),
        }
    }
    groups.into_iter().map(|(_, rows)| rows).collect()
}

fn is_of_use(verb: Verb, opt: Opt, slot: Option<Slot>) -> bool {
    let takes = |slot| of_command(verb).takes(slot);
    match (opt, slot) {
        // It does nothing.
        (Opt::Sort, _) => false,
        // It has no effect there.
        (Opt::SyncId, _) if verb == Verb::List => false,
        (_, Some(slot)) => takes(slot),
        // It stands behind a firewall mark.
        (_, None) => takes(Slot::ServiceAddress),
    }
}

/// What the value of an option may be.
pub(crate) fn values(row: &Row) -> Values {
    if !matches!(row.takes, Takes::Value(_)) {
        return Values::None;
    }
    match row.item {
        Item::Verb(_) => Values::Words(vec!["master", "backup"]),
        Item::Opt(Opt::TcpService | Opt::UdpService | Opt::SctpService | Opt::MarkService, _) => {
            Values::Services(forms(row).next().unwrap_or_default())
        }
        Item::Opt(Opt::RealServer, _) => Values::Servers,
        Item::Opt(Opt::McastInterface, _) => Values::Interfaces,
        Item::Opt(Opt::SchedulerFlags, _) => Values::Words(value::scheduler_flag_names().collect()),
        Item::Opt(Opt::PersistenceEngine, _) => Values::Words(vec!["sip"]),
        Item::Opt(..) | Item::Help | Item::Version => choices(row.help).map_or(Values::Anything, Values::Words),
    }
}

/// The words of a help text that begins `one of rr|wrr|lc,`.
fn choices(help: &[&'static str]) -> Option<Vec<&'static str>> {
    let list = help.first()?.strip_prefix("one of ")?;
    Some(list.trim_end_matches(',').split('|').collect())
}

/// All names of an option, the short ones first: `-t`, `--tcp-service`.
pub(crate) fn forms(row: &Row) -> impl Iterator<Item = String> {
    letters(row).map(|letter| format!("-{letter}")).chain([format!("--{}", row.long)])
}

/// Its letters.
pub(crate) fn letters(row: &Row) -> impl Iterator<Item = char> {
    row.letters.chars().chain(row.quiet_letters.chars())
}

/// What it does, in a line.
pub(crate) fn summary(row: &Row) -> String {
    match row.item {
        Item::Version => "print the version".to_owned(),
        _ => row.help.join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipvs_cli::ipvsadm::grammar::by_long;

    fn of(long: &str) -> Values {
        values(by_long(long.as_bytes()).unwrap())
    }

    #[test]
    fn words_come_from_the_table() {
        let Values::Words(schedulers) = of("scheduler") else { panic!("schedulers are words") };
        assert!(schedulers.contains(&"rr") && schedulers.contains(&"mh"), "{schedulers:?}");
        assert_eq!(of("tun-type"), Values::Words(vec!["ipip", "gue", "gre"]));
        assert_eq!(of("weight"), Values::Anything);
        assert_eq!(of("persistent"), Values::None);
        assert_eq!(of("fwmark-service"), Values::Services("-f".into()));
        assert_eq!(of("sctp-service"), Values::Services("--sctp-service".into()));
    }

    #[test]
    fn options_go_with_the_commands_that_take_them() {
        let table = Table::of_program();
        let options = |long: &str| -> Vec<&str> {
            let command = table.commands.iter().find(|command| command.row.long == long).unwrap();
            command.groups.iter().flatten().map(|row| row.long).collect()
        };
        assert_eq!(options("clear"), Vec::<&str>::new());
        assert_eq!(options("save"), ["numeric"]);
        assert!(options("add-server").contains(&"weight") && !options("add-server").contains(&"scheduler"));
        let all: Vec<&str> = table.commands.iter().flat_map(|command| options(command.row.long)).collect();
        for row in ROWS.iter().filter(|row| matches!(row.item, Item::Opt(opt, _) if opt != Opt::Sort)) {
            assert!(all.contains(&row.long), "--{} goes with no command", row.long);
        }
    }
}
