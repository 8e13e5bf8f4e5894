//! `restore`: replaces the table by what a file describes, all of it or nothing.

mod args;

use std::fs::File;
use std::path::Path;

use ipvs_text::escape;

use crate::change::apply;
use crate::change::args::Restrictions;
use crate::change::prepare::{Text, absolute};
use crate::director::Director;
use crate::dropin;
use crate::env::Environment;
use crate::exit::Exit;
use crate::io::FileInput;
use crate::session::journal::{LogOutcome, Record};
use crate::session::{Session, Trouble};

pub(super) use args::Restore;

pub(super) fn run(restore: &Restore, environment: &mut Environment<'_>, director: &mut Director) -> Exit {
    if restore.line_by_line {
        return line_by_line(restore, environment, director);
    }
    let mut session = Session::new(environment, director, restore.manner.common.quiet);
    let done = Text::read(&mut session, &restore.file).and_then(|mut text| {
        text.replaces_services = true;
        let ownership = restore.ownership.clone();
        let restrictions = Restrictions { undrain: restore.undrain, ownership, ..Restrictions::default() };
        apply::change("restore", &mut session, text, &restrictions, &restore.manner)
    });
    session.finish(done, Exit::No)
}

/// As ipvsadm-restore, which reads standard input.
fn line_by_line(restore: &Restore, environment: &mut Environment<'_>, director: &mut Director) -> Exit {
    if restore.file == Path::new("-") {
        return run_lines(restore, None, environment, director);
    }
    match File::open(&restore.file) {
        Ok(file) => {
            let path = absolute(&restore.file);
            run_lines(restore, Some(&path), &mut environment.reading(&mut FileInput(file)), director)
        }
        Err(error) => {
            let trouble = Trouble::Other(format!("{}: {error}", escape::path(&restore.file)));
            Session::new(environment, director, false).finish(Err(trouble), Exit::No)
        }
    }
}

fn run_lines(
    restore: &Restore,
    file: Option<&str>,
    environment: &mut Environment<'_>,
    director: &mut Director,
) -> Exit {
    if restore.manner.dry_run {
        return dropin::try_out(environment, director, |environment, director| {
            dropin::ipvsadm_restore(&[], environment, director)
        });
    }
    let status = dropin::ipvsadm_restore(&[], environment, director);
    let (outcome, detail) = match status {
        Exit::Success => (LogOutcome::Done, "line by line".to_owned()),
        _ => (LogOutcome::Failed, format!("line by line, exit status {}; part of it may be done", u8::from(status))),
    };
    let record = Record { subcommand: "restore", file, outcome, detail: &detail };
    Session::new(environment, director, true).log(&restore.manner.common.logging, &record);
    status
}
