//! The manual pages, from the tables that parser and help read.

mod ipvs_cli;
mod ipvsadm;
mod roff;
mod scripts;
mod subcommands;

use clap::Command;

pub use self::roff::Roff;

/// A page of section 8, in the language of man.
///
/// ```
/// let pages = ipvs_cli::manual::pages("", &ipvs_cli::subcommands::command(), |_| {});
/// let page = pages.iter().find(|page| page.name == "ipvsadm").unwrap();
/// assert!(page.text.contains(".TH IPVSADM 8") && ipvs_cli::manual::is_page(page.text.as_bytes()));
/// ```
#[derive(Debug)]
pub struct Page {
    /// The name of the program.
    pub name: &'static str,
    /// The whole source.
    pub text: String,
}

/// Whether a file with this content is one of the pages, of any version of the program.
pub fn is_page(content: &[u8]) -> bool {
    content.starts_with(roff::FIRST_LINE.as_bytes())
}

/// All pages. `date` is such as `2026-11-30`, or empty; `command` is
/// [`subcommands::command`](crate::subcommands::command); `of_package` adds sections of a package
/// to ipvs-cli(8).
pub fn pages(date: &str, command: &Command, of_package: impl FnOnce(&mut Roff)) -> [Page; 4] {
    [ipvsadm::page(date), scripts::save(date), scripts::restore(date), ipvs_cli::page(date, command, of_package)]
}

/// The page of another program that has a description for clap, and of its subcommands.
///
/// ```
/// let command = clap::Command::new("other").about("Does something else");
/// let page = ipvs_cli::manual::page_of("other", "something else", "", &command, "ipvs-cli(8)");
/// assert!(page.text.contains(".TH OTHER 8"));
/// ```
pub fn page_of(name: &'static str, description: &str, date: &str, command: &Command, see_also: &str) -> Page {
    let mut roff = Roff::page(name, description, date);
    roff.section("SYNOPSIS").forms(name, subcommands::own_forms(command).iter().map(String::as_str));
    roff.section("DESCRIPTION");
    // Those of all subcommands are described with them.
    subcommands::describe_own(&mut roff, command, |argument| !argument.is_global_set());
    if command.has_subcommands() {
        roff.section("COMMANDS");
        subcommands::describe(&mut roff, command);
    }
    roff.section("SEE ALSO").say(see_also);
    Page { name, text: roff.finish() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(name: &str) -> String {
        let pages = pages("", &crate::subcommands::command(), |_| {});
        pages.into_iter().find(|page| page.name == name).unwrap().text
    }

    #[test]
    fn every_option_is_in_the_manual_with_all_its_names_and_its_sentences() {
        let text = page("ipvsadm");
        for row in &ipvs_text::ipvsadm::grammar::ROWS {
            let long = row.long.replace('-', "\\-");
            assert!(text.contains(&format!("\\fB\\%\\-\\-{long}\\fR")), "--{}", row.long);
            for letter in row.letters.chars().chain(row.quiet_letters.chars()) {
                assert!(text.contains(&format!("\\fB\\%\\-{letter}\\fR")), "-{letter}");
            }
        }
    }

    #[test]
    fn pages_name_each_other() {
        for name in ["ipvsadm", "ipvsadm-save", "ipvsadm-restore", "ipvs-cli"] {
            let others = ["ipvsadm", "ipvs-cli"].into_iter().filter(|other| *other != name);
            for other in others {
                let reference = format!("\\fB{}\\fR(8)", other.replace('-', "\\-"));
                assert!(page(name).contains(&reference), "{name} does not name {other}");
            }
        }
    }
}
