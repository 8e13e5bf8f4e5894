//! For fish.

use super::{
    MADE_BY, SAVE, SAVE_HELP, function_name,
    table::{Command, Table, Values, letters, summary, values},
};
use ipvs_cli::ipvsadm::grammar::{ROWS, Row};

/// The script for one name of the program.
pub(super) fn script(program: &str, table: &Table) -> String {
    let name = function_name(program);
    let at_command = |row: &Row| line(&format!("__PROGRAM_NAME_at_command --{}", row.long), row);
    let commands: String = table.commands.iter().map(|command| at_command(command.row)).collect();
    let options: String = ROWS.iter().filter_map(|row| option(row, table)).collect();
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
    and string match -qr -- "^(-[$argv[1]]|--($argv[2])\$)" $words[2]
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

complete -c {program} -f
{commands}{options}"#
    )
    .replace("complete -c PROGRAM", &format!("complete -c {program}"))
    .replace("PROGRAM_NAME", &name)
}

/// The script of `ipvsadm-save`.
pub(super) fn save() -> String {
    format!(
        "# Completions of {SAVE} for fish.\n# {MADE_BY}\n\ncomplete -c {SAVE} -f\ncomplete -c {SAVE} -s n -d '{SAVE_HELP}'\n"
    )
}

/// An option, with the commands that take it.
fn option(row: &Row, table: &Table) -> Option<String> {
    let takes = |command: &&Command| command.groups.iter().flatten().any(|other| other.long == row.long);
    let commands: Vec<&Command> = table.commands.iter().filter(takes).collect();
    let long: Vec<&str> = commands.iter().map(|command| command.row.long).collect();
    let short: String = commands.iter().flat_map(|command| letters(command.row)).collect();
    // Brackets with nothing between them would be no pattern.
    let short = if short.is_empty() { "-".to_owned() } else { short };
    (!commands.is_empty()).then(|| line(&format!("__PROGRAM_NAME_with {short} '{}'", long.join("|")), row))
}

/// One option, where a condition holds.
fn line(condition: &str, row: &Row) -> String {
    let letters: String = letters(row).map(|letter| format!(" -s {letter}")).collect();
    let value = match values(row) {
        Values::None => String::new(),
        Values::Words(words) => format!(" -x -a '{}'", words.join(" ")),
        Values::Services(option) => format!(" -x -a '(__PROGRAM_NAME_saved -A {option})'"),
        Values::Servers => " -x -a '(__PROGRAM_NAME_saved -a -r)'".to_owned(),
        Values::Interfaces => " -x -a '(__fish_print_interfaces)'".to_owned(),
        Values::Anything => " -x".to_owned(),
    };
    let help = summary(row).replace('\\', "\\\\").replace('\'', "\\'");
    format!("complete -c PROGRAM -n \"{condition}\"{letters} -l {}{value} -d '{help}'\n", row.long)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_every_option_is_offered() {
        let script = script("ipvsadm", &Table::of_program());
        for row in ROWS.iter().filter(|row| row.long != "sort") {
            assert!(script.contains(&format!(" -l {} ", row.long)), "--{}", row.long);
            assert!(letters(row).all(|letter| script.contains(&format!(" -s {letter} "))), "{}", row.letters);
        }
    }
}
