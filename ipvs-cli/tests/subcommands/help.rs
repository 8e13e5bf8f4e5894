//! The help of every subcommand, short and long.

use clap::Command;

fn each(command: &Command, name: &str, judge: &mut dyn FnMut(&str, &Command)) {
    judge(name, command);
    // What clap adds needs no example.
    for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        each(subcommand, &format!("{name} {}", subcommand.get_name()), judge);
    }
}

/// Every page, and what is wrong with it.
fn wrong(find: impl Fn(&mut Command) -> Vec<String>) -> Vec<String> {
    let mut root = ipvs_cli::subcommands::command();
    root.build();
    let mut found = Vec::new();
    each(&root, "ipvs-cli", &mut |name, command| {
        found.extend(find(&mut command.clone()).into_iter().map(|what| format!("{name}: {what}")));
    });
    found
}

#[test]
fn no_line_of_help_is_wider_than_a_terminal() {
    const COLUMNS: usize = 80;
    let wide = wrong(|command| {
        let pages = [command.render_help(), command.render_long_help()].map(|page| page.to_string());
        let lines = pages.iter().flat_map(|page| page.lines());
        lines.filter(|line| line.chars().count() > COLUMNS).map(str::to_owned).collect()
    });
    assert_eq!(wide, Vec::<String>::new(), "{}", wide.join("\n"));
}

/// The lines of examples and exit statuses are wrapped by hand: a wider one is wrapped once more.
#[test]
fn no_line_of_an_end_of_help_is_wrapped_again() {
    let wide = wrong(|command| {
        let end = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        end.lines().filter(|line| line.chars().count() > 80).map(str::to_owned).collect()
    });
    assert_eq!(wide, Vec::<String>::new());
}

#[test]
fn the_long_help_of_each_subcommand_has_an_example() {
    let without = wrong(|command| {
        let page = command.render_long_help().to_string();
        let call = format!("\n  {} ", command.get_bin_name().unwrap_or("ipvs-cli"));
        let examples = page.split_once("Example").map_or("", |(_, examples)| examples);
        if examples.contains(&call) { Vec::new() } else { vec!["no example".to_owned()] }
    });
    assert_eq!(without, Vec::<String>::new());
}
