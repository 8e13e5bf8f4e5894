//! The subcommands of ipvs-cli, from the same description that their `--help` prints.

use clap::{Arg, Command};

use super::roff::Roff;

/// The forms of their command lines.
pub(super) fn forms() -> Vec<String> {
    let mut command = ipvs_cli::operate::command();
    let usage = |subcommand: &mut Command| {
        let name = subcommand.get_name().to_owned();
        let usage = subcommand.render_usage().to_string();
        let arguments = usage.split_once(&name).map(|(_, arguments)| arguments.trim().to_owned()).unwrap_or_default();
        format!("{name} {arguments}")
    };
    command.get_subcommands_mut().map(usage).collect()
}

/// Each with its arguments.
pub(super) fn describe(roff: &mut Roff) {
    for subcommand in ipvs_cli::operate::command().get_subcommands() {
        roff.part(subcommand.get_name());
        let about = subcommand.get_long_about().or(subcommand.get_about());
        roff.say(&sentence(&about.map(ToString::to_string).unwrap_or_default()));
        let (words, options): (Vec<_>, Vec<_>) =
            subcommand.get_arguments().partition(|argument| argument.is_positional());
        for argument in words.into_iter().chain(options) {
            roff.item(&term(argument), &explanation(argument));
        }
        if let Some(after) = subcommand.get_after_help() {
            roff.say(&marked(&after.to_string()));
        }
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
        for subcommand in ipvs_cli::operate::command().get_subcommands() {
            assert!(page.contains(&format!(".SS {}\n", subcommand.get_name())));
            assert!(forms().iter().any(|form| form.starts_with(subcommand.get_name())));
            for long in subcommand.get_arguments().filter_map(Arg::get_long) {
                assert!(page.contains(&format!("\\-\\-{}", long.replace('-', "\\-"))), "{long}");
            }
        }
    }

    #[test]
    fn quoted_words_of_help_texts_stand_out() {
        assert_eq!(marked("as `ipvs-cli -L -n', or `-' alone; it's so"), "as `ipvs-cli -L -n`, or `-` alone; it's so");
        assert_eq!(sentence("what `apply' would do"), "what `apply` would do.");
    }
}
