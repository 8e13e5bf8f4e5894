//! `man`: the manual pages, as files.

mod args;

use std::fs;
use std::io::ErrorKind;

use clap::Command;
use ipvs_text::escape;

use crate::exit::Exit;
use crate::manual::{is_page, pages};
use crate::session::{Session, Trouble};
use crate::state::file;

pub(super) use args::Man;

pub(super) fn run(man: &Man, all: &Command, session: &mut Session<'_, '_>) -> Exit {
    let done = write(man, all, session);
    session.finish(done, Exit::No)
}

fn write(man: &Man, all: &Command, session: &mut Session<'_, '_>) -> Result<Exit, Trouble> {
    let pages = pages("", all, |_| {});
    let files: Vec<_> = pages.iter().map(|page| (man.directory.join(format!("{}.8", page.name)), &page.text)).collect();
    // A page of the real ipvsadm is not this program's to replace.
    for (path, _) in &files {
        let reason = match fs::read(path) {
            Ok(content) if is_page(&content) => continue,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Ok(_) => "it was not written by ipvs-cli; nothing was written: name another directory".to_owned(),
            Err(error) => format!("{error}; nothing was written"),
        };
        return Err(Trouble::Other(format!("{}: {reason}", escape::path(path))));
    }
    for (path, text) in files {
        file::write(&path, text.as_bytes(), 0o644).map_err(|error| Trouble::Other(error.to_string()))?;
        session.report(escape::path(&path));
    }
    Ok(Exit::Success)
}
