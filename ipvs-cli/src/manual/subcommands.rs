//! The subcommands of ipvs-cli, from the same description that their `--help` prints.

use clap::{Arg, Command};

use super::roff::Roff;

/// All of them: of one that has tasks of its own, such as `mark`, first itself, and then each task,
/// by both names.
fn all(root: &Command) -> Vec<(String, Command)> {
    let mut all = Vec::new();
    for command in root.get_subcommands() {
        let name = command.get_name().to_owned();
        let tasks = command.get_subcommands().map(|task| (format!("{name} {}", task.get_name()), task.clone()));
        all.push((name.clone(), command.clone()));
        all.extend(tasks);
    }
    all
}

/// The forms of their command lines.
pub(super) fn forms(root: &Command) -> Vec<String> {
    let lines = all(root).into_iter().filter(|(_, command)| !command.has_subcommands());
    let forms = |(name, mut command): (String, Command)| {
        let usage = command.render_usage().to_string();
        let arguments = usage.lines().filter_map(|line| Some(line.split_once(command.get_name())?.1.trim()));
        arguments.map(|arguments| format!("{name} {arguments}").trim_end().to_owned()).collect::<Vec<_>>()
    };
    lines.flat_map(forms).collect()
}

/// The forms of a program's command line without a subcommand, and with each.
pub(super) fn own_forms(root: &Command) -> Vec<String> {
    let usage = root.clone().render_usage().to_string();
    let own = usage.lines().filter_map(|line| Some(line.split_once(root.get_name())?.1.trim().to_owned()));
    own.filter(|form| !form.contains("COMMAND")).chain(forms(root)).collect()
}

/// Each with its arguments; then those that go with all.
pub(super) fn describe(roff: &mut Roff, root: &Command) {
    for (name, command) in all(root) {
        roff.part(&name);
        describe_own(roff, &command, |argument| !argument.is_hide_set());
    }
    roff.part("Options of all that ask a director");
    describe_arguments(roff, root.get_arguments().filter(|argument| argument.is_global_set()));
}

/// One, or a program without its subcommands, with these of its arguments.
pub(super) fn describe_own(roff: &mut Roff, command: &Command, is_meant: fn(&Arg) -> bool) {
    let about = command.get_long_about().or(command.get_about());
    roff.say(&sentence(&about.map(ToString::to_string).unwrap_or_default()));
    describe_arguments(roff, command.get_arguments().filter(|argument| is_meant(argument)));
    if let Some(after) = command.get_after_help() {
        let after = after.to_string();
        let (text, examples) = after.split_once("\n\nExamples:\n").unwrap_or((&after, ""));
        roff.say(text);
        for example in examples.lines() {
            roff.example(example.trim());
        }
    }
}

fn describe_arguments<'a>(roff: &mut Roff, arguments: impl Iterator<Item = &'a Arg>) {
    let (words, options): (Vec<_>, Vec<_>) = arguments.partition(|argument| argument.is_positional());
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
    let takes_value = argument.get_action().takes_values();
    let listed = takes_value && !possible.is_empty();
    let possible = if listed { format!(" One of {}.", possible.join(", ")) } else { String::new() };
    let defaults: Vec<_> = argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    let has_default = takes_value && !defaults.is_empty() && !argument.is_hide_default_value_set();
    let default = if has_default { format!(" Default: `{}`.", defaults.join("`, `")) } else { String::new() };
    format!("{}{possible}{default}", sentence(&help))
}

fn sentence(help: &str) -> String {
    let end = if help.ends_with(['.', ':']) { "" } else { "." };
    format!("{help}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subcommand_is_there_with_its_options_and_defaults() {
        let root = crate::subcommands::command();
        let mut roff = Roff::page("ipvs-cli", "test", "");
        describe(&mut roff, &root);
        let page = roff.finish();
        let forms = forms(&root);
        for (name, command) in all(&root) {
            assert!(page.contains(&format!(".SS {name}\n")), "{name}");
            assert_eq!(
                forms.iter().any(|form| form.starts_with(&name)),
                !command.has_subcommands() || ["mark", "sync"].contains(&&*name)
            );
            let shown = command.get_arguments().filter(|argument| !argument.is_hide_set());
            for long in shown.filter_map(Arg::get_long).chain(["netns"]) {
                assert!(page.contains(&format!("\\-\\-{}", long.replace('-', "\\-"))), "{long}");
            }
        }
        assert!(all(&root).iter().any(|(name, _)| name == "mark list"));
        for form in ["mark list [OPTIONS]", "weight [OPTIONS] --all SERVER [--all SERVER]... WEIGHT"] {
            assert!(forms.iter().any(|found| found == form), "{form}: {forms:?}");
        }
        assert!(page.contains("changing this director. Default: \\fB\\%30\\fR"), "{page}");
    }
}
