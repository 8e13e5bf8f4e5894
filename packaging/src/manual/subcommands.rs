//! The subcommands of ipvs-cli, from the same description that their `--help` prints.

use clap::{Arg, Command};

use super::roff::Roff;

/// All of them: of one that has tasks of its own, such as `mark`, first itself, and then each task,
/// by both names.
fn all() -> Vec<(String, Command)> {
    let mut all = Vec::new();
    for command in ipvs_cli::subcommands::command().get_subcommands() {
        let name = command.get_name().to_owned();
        let tasks = command.get_subcommands().map(|task| (format!("{name} {}", task.get_name()), task.clone()));
        all.push((name.clone(), command.clone()));
        all.extend(tasks);
    }
    all
}

/// The forms of their command lines.
pub(super) fn forms() -> Vec<String> {
    let lines = all().into_iter().filter(|(_, command)| !command.has_subcommands());
    let form = |(name, mut command): (String, Command)| {
        let usage = command.render_usage().to_string();
        let arguments = usage.split_once(command.get_name()).map(|(_, arguments)| arguments.trim().to_owned());
        format!("{name} {}", arguments.unwrap_or_default()).trim_end().to_owned()
    };
    lines.map(form).collect()
}

/// Each with its arguments; then those that go with all.
pub(super) fn describe(roff: &mut Roff) {
    for (name, command) in all() {
        roff.part(&name);
        let about = command.get_long_about().or(command.get_about());
        roff.say(&sentence(&about.map(ToString::to_string).unwrap_or_default()));
        describe_arguments(roff, &command);
        if let Some(after) = command.get_after_help() {
            let after = after.to_string();
            let (text, examples) = after.split_once("\n\nExamples:\n").unwrap_or((&after, ""));
            roff.say(&marked(text));
            for example in examples.lines() {
                roff.example(example.trim());
            }
        }
    }
    roff.part("Options of all of them");
    describe_arguments(roff, &ipvs_cli::subcommands::command());
}

fn describe_arguments(roff: &mut Roff, command: &Command) {
    let (words, options): (Vec<_>, Vec<_>) = command.get_arguments().partition(|argument| argument.is_positional());
    for argument in words.into_iter().chain(options) {
        roff.item(&term(argument), &explanation(argument));
    }
}

/// The name of an argument, and that of its value: `--only`, SERVICE.
fn term(argument: &Arg) -> String {
    let short = argument.get_short().map(|letter| format!("`-{letter}`"));
    let long = argument.get_long().map(|long| format!("`--{long}`"));
    let names: Vec<String> = short.into_iter().chain(long).collect();
    let takes_value = argument.is_positional() || argument.get_action().takes_values();
    let value = argument.get_value_names().and_then(|names| names.first()).filter(|_| takes_value);
    match (names.join(", "), value) {
        (names, None) => names,
        (names, Some(value)) if names.is_empty() => format!("<{value}>"),
        (names, Some(value)) if argument.is_require_equals_set() => format!("{names}[=<{value}>]"),
        (names, Some(value)) => format!("{names} <{value}>"),
    }
}

fn explanation(argument: &Arg) -> String {
    let help = argument.get_long_help().or(argument.get_help()).map(ToString::to_string).unwrap_or_default();
    let possible: Vec<_> =
        argument.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
    let listed = argument.get_action().takes_values() && !possible.is_empty();
    let possible = if listed { format!(" One of {}.", possible.join(", ")) } else { String::new() };
    format!("{}{possible}", sentence(&help))
}

fn sentence(help: &str) -> String {
    let end = if help.ends_with(['.', ':']) { "" } else { "." };
    format!("{}{end}", marked(help))
}

/// What help texts put between a grave accent and an apostrophe is typed as it stands.
fn marked(help: &str) -> String {
    let mut pieces = help.split('`');
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        text += "`";
        text += &piece.replacen('\'', "`", 1);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subcommand_is_there_with_its_options() {
        let mut roff = Roff::page("ipvs-cli", "test", Default::default());
        describe(&mut roff);
        let page = roff.finish();
        for (name, command) in all() {
            assert!(page.contains(&format!(".SS {name}\n")), "{name}");
            assert_eq!(
                forms().iter().any(|form| form.starts_with(&name)),
                !command.has_subcommands() || name == "mark"
            );
            for long in command.get_arguments().filter_map(Arg::get_long).chain(["netns"]) {
                assert!(page.contains(&format!("\\-\\-{}", long.replace('-', "\\-"))), "{long}");
            }
        }
        assert!(all().iter().any(|(name, _)| name == "mark list"));
        assert!(forms().contains(&"mark list [OPTIONS]".to_owned()), "{:?}", forms());
    }

    #[test]
    fn quoted_words_of_help_texts_stand_out() {
        assert_eq!(marked("as `ipvs-cli -L -n', or `-' alone; it's so"), "as `ipvs-cli -L -n`, or `-` alone; it's so");
        assert_eq!(sentence("what `apply' would do"), "what `apply` would do.");
    }
}
