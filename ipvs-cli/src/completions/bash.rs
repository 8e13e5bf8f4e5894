//! For bash, with the library of the package bash-completion.

use super::{
    MADE_BY, SAVE, function_name,
    table::{Choice, Command, Table, Values},
};

/// The script for one name of the program.
pub(super) fn script(program: &str, table: &Table) -> String {
    let commands: Vec<String> = table.commands.iter().flat_map(|command| command.name.forms()).collect();
    let commands = commands.join(" ");
    let values = value_cases(table);
    let options: String = table.commands.iter().map(options_case).collect();
    format!(
        r#"# Completions of {program} for bash.
# {MADE_BY}

# What the saved table, on standard input, has behind an option in the lines of a command.
__PROGRAM_NAME_saved() {{
    local -a line
    local at
    while read -r -a line; do
        [[ ${{line[0]}} == "$1" ]] || continue
        for ((at = 1; at < ${{#line[@]}} - 1; at++)); do
            [[ ${{line[at]}} == "$2" ]] && printf '%s\n' "${{line[at + 1]}}"
        done
    done | sort -u
}}

_PROGRAM_NAME() {{
    local cur prev words cword
    _get_comp_words_by_ref -n : cur prev words cword
    COMPREPLY=()
    if ((cword == 1)); then
        mapfile -t COMPREPLY < <(compgen -W '{commands}' -- "$cur")
        return
    fi
    # The value of an option. Subcommands have options of their own; those of ipvsadm mean the same with each command.
    local offered= command=${{words[1]}}
    [[ $command == -* ]] && command=-
    case "$command $prev" in
{values}        *) offered=none ;;
    esac
    if [[ $offered != none ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$offered" -- "$cur")
        __ltrim_colon_completions "$cur"
        return
    fi
    local groups= files= tasks=
    case ${{words[1]}} in
{options}    esac
    if [[ $files && $cur != -* ]]; then
        _filedir
        return
    fi
    if [[ $tasks && $cur != -* && $cword -eq 2 ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$tasks" -- "$cur")
        return
    fi
    local group word
    local -a options=()
    for group in $groups; do
        for word in "${{words[@]:2:cword-2}}"; do
            [[ ,$group, == *",$word,"* ]] && continue 2
        done
        options+=(${{group//,/ }})
    done
    mapfile -t COMPREPLY < <(compgen -W "${{options[*]}}" -- "$cur")
}}

complete -F _PROGRAM_NAME {program}
"#
    )
    .replace("PROGRAM_NAME", &function_name(program))
}

/// The script of `ipvsadm-save`.
pub(super) fn save() -> String {
    format!("# Completions of {SAVE} for bash.\n# {MADE_BY}\n\ncomplete -W -n {SAVE}\n")
}

/// What follows an option: `'- -s' | '- --scheduler') offered='rr wrr' ;;`, once for each.
fn value_cases(table: &Table) -> String {
    let mut cases: Vec<String> = Vec::new();
    for command in &table.commands {
        let language = if command.name.is_word() { command.name.long.as_str() } else { "-" };
        for choice in command.groups.iter().flatten().chain([&command.name]) {
            if let Some(case) = value_case(language, choice).filter(|case| !cases.contains(case)) {
                cases.push(case);
            }
        }
    }
    cases.concat()
}

fn value_case(language: &str, choice: &Choice) -> Option<String> {
    let saved = |line: &str, option: &str| {
        format!(r#"$("${{words[0]}}" -S -n 2>/dev/null | __PROGRAM_NAME_saved {line} {option})"#)
    };
    let value = choice.value.as_ref().filter(|value| value.must)?;
    let offered = match &value.values {
        Values::Words(words) => format!("'{}'", words.join(" ")),
        Values::Services(option) => saved("-A", option),
        Values::Servers => saved("-a", "-r"),
        Values::Interfaces => "$(command ls /sys/class/net 2>/dev/null)".to_owned(),
        Values::Files => "$(compgen -f -- \"$cur\")".to_owned(),
        Values::Anything => String::new(),
    };
    let whole = choice.forms().map(|form| format!("'{language} {form}'"));
    // A letter may be the last of several in a word.
    let bundles = choice.letters.iter().map(|letter| format!("'{language} -'[!-]*{letter}"));
    let patterns: Vec<String> = whole.chain(bundles).collect();
    Some(format!("        {}) offered={offered} ;;\n", patterns.join(" | ")))
}

/// What a command takes: `-S* | --save) groups='-n,--numeric' ;;`
fn options_case(command: &Command) -> String {
    let group = |choices: &Vec<Choice>| choices.iter().flat_map(Choice::forms).collect::<Vec<_>>().join(",");
    let groups: Vec<String> = command.groups.iter().map(group).collect();
    let files = if command.takes_files() { " files=yes" } else { "" };
    let tasks = command.tasks().map_or_else(String::new, |tasks| format!(" tasks='{tasks}'"));
    format!("        {}) groups='{}'{files}{tasks} ;;\n", patterns(&command.name), groups.join(" "))
}

/// The words that are a command: `-S* | --save`, as more letters may follow in the same word.
pub(super) fn patterns(name: &Choice) -> String {
    let letters = name.letters.iter().map(|letter| format!("-{letter}*"));
    letters.chain([name.long.clone()]).collect::<Vec<_>>().join(" | ")
}
