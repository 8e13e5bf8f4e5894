//! `mark check`.

use fwmark::Backend;
use ipvs::Report;

use super::trouble;
use crate::exit::Exit;
use crate::session::{Session, Trouble};
use crate::subcommands::findings::marks::{Wrong, look};
use crate::subcommands::findings::{Finding, Looked, write_json};

/// Reports what was found, as lines or JSON. Returns the exit status.
pub(super) fn check(backend: &mut Backend, is_json: bool, session: &mut Session<'_, '_>) -> Result<Exit, Trouble> {
    let table = session.director.table();
    let wrong = look(backend, table.as_ref().ok()).map_err(trouble)?.wrong;
    if let Err(error) = table {
        session.note(format!("services are not looked at: {}", Report::new(&error)));
    }
    if is_json {
        let found: Vec<Finding> = wrong.iter().map(Wrong::finding).collect();
        session.display.end();
        // Errors of writing are reported at the end.
        let looked = Looked { at: vec!["rules that set marks".to_owned()], ..Looked::default() };
        let _ = write_json(session.environment.stdout, "marks", &looked, &found);
    } else {
        wrong.iter().for_each(|line| session.report(line));
    }
    Ok(if wrong.is_empty() { Exit::Success } else { Exit::No })
}
