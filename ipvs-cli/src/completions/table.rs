//! What may stand on a command line, as completions need it: from the grammar of ipvsadm, and from
//! clap's subcommands.

use clap::ValueHint;
use ipvs_text::ipvsadm::{
    grammar::{Item, Opt, ROWS, Row, Section, Takes},
    rules::{Slot, Verb, of_command},
    value,
};

/// All commands of a program.
#[derive(Debug)]
pub(super) struct Table {
    /// In the order of the help.
    pub(super) commands: Vec<Command>,
}

/// What a line begins with: an option of ipvsadm's that is a command, or a subcommand.
#[derive(Debug)]
pub(super) struct Command {
    /// Its names.
    pub(super) name: Choice,
    /// Its options; those of a group exclude each other.
    pub(super) groups: Vec<Vec<Choice>>,
    /// Its words that belong to no option.
    pub(super) words: Vec<Value>,
}

impl Command {
    /// What its first word may be, if that is one of few: such as `add` of `mark`.
    pub(super) fn tasks(&self) -> Option<String> {
        match &self.words.first()?.values {
            Values::Words(words) => Some(words.join(" ")),
            _ => None,
        }
    }

    /// Whether a word of it is a file.
    pub(super) fn takes_files(&self) -> bool {
        self.words.iter().any(|value| value.values == Values::Files)
    }
}

/// A command or an option.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    /// The one-letter names.
    pub(super) letters: Vec<char>,
    /// The long name, with its dashes if it has any.
    pub(super) long: String,
    /// What it does, in a line.
    pub(super) summary: String,
    /// What follows.
    pub(super) value: Option<Value>,
}

/// A value of an option, or a word.
#[derive(Debug, Clone)]
pub(super) struct Value {
    /// What the help calls it.
    pub(super) name: String,
    /// Whether the next word is it, whatever that looks like.
    pub(super) must: bool,
    /// What it may be.
    pub(super) values: Values,
}

/// What a value may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Values {
    /// One of these words.
    Words(Vec<String>),
    /// The address of a virtual service that exists, as the saved table has it behind this option.
    Services(String),
    /// The address of a real server that exists.
    Servers,
    /// A network interface.
    Interfaces,
    /// A file.
    Files,
    /// Nothing that could be foreseen.
    Anything,
}

impl Choice {
    /// All names, the short ones first: `-t`, `--tcp-service`.
    pub(super) fn forms(&self) -> impl Iterator<Item = String> {
        self.letters.iter().map(|letter| format!("-{letter}")).chain([self.long.clone()])
    }

    /// Whether it is a subcommand.
    pub(super) fn is_word(&self) -> bool {
        !self.long.starts_with('-')
    }
}

impl Table {
    /// The language of ipvsadm.
    pub(super) fn of_ipvsadm() -> Self {
        let is_command = |row: &&Row| matches!(row.section, Section::Commands | Section::Unlisted);
        let commands = ROWS.iter().filter(is_command).map(|row| Command {
            name: of_row(row),
            groups: groups(row.item),
            words: match row.takes {
                Takes::Words(names) => names.split(' ').map(|name| anything(name, true)).collect(),
                _ => Vec::new(),
            },
        });
        Self { commands: commands.collect() }
    }

    /// The same, and the subcommands.
    pub(super) fn of_ipvs_cli(whole: &clap::Command) -> Self {
        let mut table = Self::of_ipvsadm();
        let general: Vec<_> = whole.get_arguments().filter(|argument| argument.is_global_set()).collect();
        table.commands.extend(whole.get_subcommands().map(|command| of_subcommand(command, &general)));
        table
    }
}

fn anything(name: &str, must: bool) -> Value {
    Value { name: name.to_owned(), must, values: Values::Anything }
}

/// The options of a command, in the order of the help.
fn groups(command: Item) -> Vec<Vec<Choice>> {
    let Item::Verb(verb) = command else { return Vec::new() };
    let mut groups: Vec<(Option<Slot>, Vec<Choice>)> = Vec::new();
    for row in &ROWS {
        let Item::Opt(opt, slot) = row.item else { continue };
        if !is_of_use(verb, opt, slot) {
            continue;
        }
        match groups.iter_mut().find(|(of, _)| of.is_some() && *of == slot) {
            Some((_, choices)) => choices.push(of_row(row)),
            None => groups.push((slot, vec![of_row(row)])),
        }
    }
    groups.into_iter().map(|(_, choices)| choices).collect()
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

fn of_row(row: &Row) -> Choice {
    let value = match row.takes {
        Takes::Nothing | Takes::Words(_) => None,
        Takes::Value(name) => {
            let name = if name.is_empty() { "role" } else { name };
            Some(Value { name: name.to_owned(), must: true, values: values(row) })
        }
        Takes::MaybeValue(name) => Some(anything(name, false)),
    };
    let summary = if row.item == Item::Version { "print the version".to_owned() } else { row.help.join(" ") };
    let letters = row.letters.chars().chain(row.quiet_letters.chars()).collect();
    Choice { letters, long: format!("--{}", row.long), summary, value }
}

fn values(row: &Row) -> Values {
    let words = |words: &[&str]| Values::Words(words.iter().copied().map(str::to_owned).collect());
    match row.item {
        Item::Verb(_) => words(&["master", "backup"]),
        Item::Opt(Opt::TcpService | Opt::UdpService | Opt::SctpService | Opt::MarkService, _) => {
            let letter = row.letters.chars().next();
            Values::Services(letter.map_or_else(|| format!("--{}", row.long), |letter| format!("-{letter}")))
        }
        Item::Opt(Opt::RealServer, _) => Values::Servers,
        Item::Opt(Opt::McastInterface, _) => Values::Interfaces,
        Item::Opt(Opt::SchedulerFlags, _) => words(&value::scheduler_flag_names().collect::<Vec<_>>()),
        Item::Opt(Opt::PersistenceEngine, _) => words(&["sip"]),
        Item::Opt(..) | Item::Help | Item::Version => choices(row.help).map_or(Values::Anything, |list| words(&list)),
    }
}

/// The words of a help text that begins `one of rr|wrr|lc,`.
fn choices(help: &[&'static str]) -> Option<Vec<&'static str>> {
    let list = help.first()?.strip_prefix("one of ")?;
    Some(list.trim_end_matches(',').split('|').collect())
}

/// One with tasks of its own, such as `mark add`, is offered their names, and the options of all of
/// them.
fn of_subcommand(command: &clap::Command, general: &[&clap::Arg]) -> Command {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let name = Choice { letters: Vec::new(), long: command.get_name().to_owned(), summary: about, value: None };
    let tasks: Vec<&clap::Command> = command.get_subcommands().collect();
    let of_tasks = tasks.iter().flat_map(|task| task.get_arguments());
    let is_hidden =
        |one: &clap::Arg| command.get_arguments().any(|own| own.get_id() == one.get_id() && own.is_hide_set());
    let all = command.get_arguments().chain(of_tasks).chain(general.iter().copied());
    let mut options: Vec<Choice> = Vec::new();
    let shown = all.filter(|argument| !argument.is_positional() && !is_hidden(argument));
    for choice in shown.filter_map(of_argument) {
        if !options.iter().any(|other| other.long == choice.long) {
            options.push(choice);
        }
    }
    let words = if tasks.is_empty() { command.get_positionals().map(of_value).collect() } else { vec![names(&tasks)] };
    Command { name, groups: options.into_iter().map(|choice| vec![choice]).collect(), words }
}

fn names(tasks: &[&clap::Command]) -> Value {
    let names = tasks.iter().map(|task| task.get_name().to_owned()).collect();
    Value { name: "TASK".to_owned(), must: true, values: Values::Words(names) }
}

fn of_argument(argument: &clap::Arg) -> Option<Choice> {
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let value = argument.get_action().takes_values().then(|| of_value(argument));
    let letters = argument.get_short().into_iter().collect();
    Some(Choice { letters, long: format!("--{}", argument.get_long()?), summary: help, value })
}

fn of_value(argument: &clap::Arg) -> Value {
    let name = argument.get_value_names().and_then(|names| names.first());
    let possible: Vec<_> = argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    let values = match argument.get_value_hint() {
        _ if !possible.is_empty() => Values::Words(possible),
        ValueHint::AnyPath | ValueHint::FilePath => Values::Files,
        _ => Values::Anything,
    };
    let must = !argument.is_require_equals_set();
    Value { name: name.map(ToString::to_string).unwrap_or_default(), must, values }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(long: &str) -> Values {
        values(ROWS.iter().find(|row| row.long == long).unwrap())
    }

    fn words(words: &[&str]) -> Values {
        Values::Words(words.iter().copied().map(str::to_owned).collect())
    }

    fn options(table: &Table, command: &str) -> Vec<String> {
        let command = table.commands.iter().find(|entry| entry.name.long == command).unwrap();
        command.groups.iter().flatten().map(|choice| choice.long.clone()).collect()
    }

    #[test]
    fn words_come_from_the_table() {
        let Values::Words(schedulers) = option("scheduler") else { panic!("schedulers are words") };
        assert!(schedulers.iter().any(|name| name == "rr") && schedulers.iter().any(|name| name == "mh"));
        assert_eq!(option("tun-type"), words(&["ipip", "gue", "gre"]));
        assert_eq!(option("weight"), Values::Anything);
        assert_eq!(option("fwmark-service"), Values::Services("-f".into()));
        assert_eq!(option("sctp-service"), Values::Services("--sctp-service".into()));
    }

    #[test]
    fn options_go_with_the_commands_that_take_them() {
        let table = Table::of_ipvsadm();
        assert_eq!(options(&table, "--clear"), Vec::<String>::new());
        assert_eq!(options(&table, "--save"), ["--numeric"]);
        let adding = options(&table, "--add-server").join(" ");
        assert!(adding.contains("--weight") && !adding.contains("--scheduler"), "{adding}");
        let all: Vec<_> = table.commands.iter().flat_map(|command| options(&table, &command.name.long)).collect();
        for row in ROWS.iter().filter(|row| matches!(row.item, Item::Opt(opt, _) if opt != Opt::Sort)) {
            assert!(all.contains(&format!("--{}", row.long)), "--{} goes with no command", row.long);
        }
    }

    #[test]
    fn subcommands_come_from_clap() {
        let table = Table::of_ipvs_cli(&crate::subcommands::command());
        assert!(options(&table, "apply").contains(&"--dry-run".to_owned()));
        for (task, option) in [("add", "--source"), ("list", "--iptables"), ("delete", "--all"), ("check", "--netns")] {
            let mark = table.commands.iter().find(|command| command.name.long == "mark").unwrap();
            assert!(mark.tasks().unwrap().split(' ').any(|name| name == task));
            assert_eq!(options(&table, "mark").iter().filter(|name| *name == option).count(), 1, "{option}");
        }
        for offline in ["check", "convert", "completions", "man"] {
            let options = options(&table, offline);
            assert!(!options.iter().any(|name| name == "--netns" || name == "--state-dir"), "{offline}: {options:?}");
        }
        let diff = table.commands.iter().find(|command| command.name.long == "diff").unwrap();
        assert_eq!(diff.words.iter().map(|value| &value.values).collect::<Vec<_>>(), [&Values::Files, &Values::Files]);
        let color = diff.groups.iter().flatten().find(|choice| choice.long == "--color").unwrap();
        assert_eq!(color.value.as_ref().unwrap().values, words(&["auto", "always", "never"]));
    }
}
