//! The manual pages.

mod ipvs_cli;
mod ipvsadm;
mod roff;
mod scripts;
mod subcommands;

use crate::clock::Date;

/// A page of section 8, in the language of man.
#[derive(Debug)]
pub(crate) struct Page {
    /// What it is called by.
    pub(crate) name: &'static str,
    /// The whole source.
    pub(crate) text: String,
}

/// All of them.
pub(crate) fn pages(date: Date) -> [Page; 4] {
    [ipvsadm::page(date), scripts::save(date), scripts::restore(date), ipvs_cli::page(date)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(name: &str) -> String {
        let pages = pages(Date::default());
        pages.into_iter().find(|page| page.name == name).unwrap().text
    }

    #[test]
    fn every_option_is_in_the_manual_with_all_its_names_and_its_sentences() {
        let text = page("ipvsadm");
        for row in &::ipvs_cli::ipvsadm::grammar::ROWS {
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
