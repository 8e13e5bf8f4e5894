//! For fish.

use super::{
    MADE_BY, SAVE, SAVE_HELP, function_name,
    table::{Choice, Command, Table, Values},
};

/// The script for one name of the program.
pub(super) fn script(program: &str, table: &Table) -> String {
    let commands: String = table.commands.iter().map(command_line).collect();
    let options: String = options(table).iter().map(|(condition, choice)| line(condition, choice)).collect();
    let words: String = table.commands.iter().filter_map(words_line).collect();
    format!(
        r#"# Completions of {program} for fish.
# {MADE_BY}

# Is the command still to come, or is it this one, whose value is still to come?
function __PROGRAM_NAME_at_command
    set -l words (commandline -opc)
    test (count $words) -eq 1
    or test "$words[2..-1]" = $argv[1]
end

# Is the command one of these? Letters, then names.
function __PROGRAM_NAME_with
    set -l words (commandline -opc)
    test (count $words) -gt 1
    and string match -qr -- "^(-[$argv[1]]|($argv[2])\$)" $words[2]
end

# What the saved table has behind an option in the lines of a command.
function __PROGRAM_NAME_saved
    set -l words (commandline -opc)
    for text in ($words[1] -S -n 2>/dev/null)
        set -l line (string split ' ' -- $text)
        test "$line[1]" = $argv[1]
        and set -l at (contains -i -- $argv[2] $line)
        and test $at -lt (count $line)
        and echo $line[(math $at + 1)]
    end | sort -u
end

complete -c PROGRAM -f
{commands}{options}{words}"#
    )
    .replace("PROGRAM_NAME", &function_name(program))
    .replace("complete -c PROGRAM", &format!("complete -c {program}"))
}

/// The script of `ipvsadm-save`.
pub(super) fn save() -> String {
    format!(
        "# Completions of {SAVE} for fish.\n# {MADE_BY}\n\ncomplete -c {SAVE} -f\ncomplete -c {SAVE} -s n -d '{SAVE_HELP}'\n"
    )
}

fn command_line(command: &Command) -> String {
    let name = &command.name;
    if name.is_word() {
        let condition = "test (count (commandline -opc)) -eq 1";
        return format!("complete -c PROGRAM -n \"{condition}\" -a {} -d '{}'\n", name.long, quoted(&name.summary));
    }
    line(&format!("__PROGRAM_NAME_at_command {}", name.long), name)
}

/// Each option, under the condition that the command is one that takes it. Options of ipvsadm mean
/// the same with each.
fn options(table: &Table) -> Vec<(String, &Choice)> {
    let mut made: Vec<(String, &Choice)> = Vec::new();
    for command in &table.commands {
        for choice in command.groups.iter().flatten() {
            let takes = |other: &&Command| {
                let same_language = !other.name.is_word() && !command.name.is_word();
                (same_language || other.name.long == command.name.long)
                    && other.groups.iter().flatten().any(|option| option.long == choice.long)
            };
            let condition = with(&table.commands.iter().filter(takes).collect::<Vec<_>>());
            if !made.iter().any(|(other, option)| *other == condition && option.long == choice.long) {
                made.push((condition, choice));
            }
        }
    }
    made
}

fn with(commands: &[&Command]) -> String {
    let long: Vec<&str> = commands.iter().map(|command| command.name.long.as_str()).collect();
    let short: String = commands.iter().flat_map(|command| &command.name.letters).collect();
    // Brackets with nothing between them would be no pattern.
    let short = if short.is_empty() { "-".to_owned() } else { short };
    format!("__PROGRAM_NAME_with {short} '{}'", long.join("|"))
}

/// One option, where a condition holds.
fn line(condition: &str, choice: &Choice) -> String {
    let letters: String = choice.letters.iter().map(|letter| format!(" -s {letter}")).collect();
    let value = match choice.value.as_ref().filter(|value| value.must).map(|value| &value.values) {
        None => String::new(),
        Some(Values::Words(words)) => format!(" -x -a '{}'", words.join(" ")),
        Some(Values::Services(option)) => format!(" -x -a '(__PROGRAM_NAME_saved -A {option})'"),
        Some(Values::Servers) => " -x -a '(__PROGRAM_NAME_saved -a -r)'".to_owned(),
        Some(Values::Interfaces) => " -x -a '(__fish_print_interfaces)'".to_owned(),
        Some(Values::Files) => " -r -F".to_owned(),
        Some(Values::Anything) => " -x".to_owned(),
    };
    let (long, help) = (choice.long.trim_start_matches('-'), quoted(&choice.summary));
    format!("complete -c PROGRAM -n \"{condition}\"{letters} -l {long}{value} -d '{help}'\n")
}

/// A command that takes a file, or one of few words behind its name.
fn words_line(command: &Command) -> Option<String> {
    let condition = with(&[command]);
    let tasks = command.tasks().map(|tasks| {
        format!("complete -c PROGRAM -n \"{condition}; and test (count (commandline -opc)) -eq 2\" -a '{tasks}'\n")
    });
    tasks.or_else(|| command.takes_files().then(|| format!("complete -c PROGRAM -n \"{condition}\" -F\n")))
}

/// Inside of single quotes.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipvs_text::ipvsadm::grammar::ROWS;

    #[test]
    fn every_name_of_every_option_is_offered() {
        let script = script("ipvsadm", &Table::of_ipvsadm());
        for row in ROWS.iter().filter(|row| row.long != "sort") {
            assert_eq!(script.matches(&format!(" -l {} ", row.long)).count(), 1, "--{}", row.long);
            let mut letters = row.letters.chars().chain(row.quiet_letters.chars());
            assert!(letters.all(|letter| script.contains(&format!(" -s {letter} "))), "{}", row.letters);
        }
    }
}
