//! `restore`: replaces the table by the rules of a file; all of them or none, if asked.

use std::fs::File;
use std::path::Path;

use super::cli::{Manner, Restore, Restrictions};
use super::prepare::Text;
use super::session::{Session, Trouble};
use super::{apply, dry_run};
use crate::io::{FileInput, Streams};
use crate::kernel::Kernel;
use crate::run::ipvsadm_restore;

const AS_IT_WAS: u8 = 1;
const USAGE: u8 = 2;

pub(super) fn run(restore: &Restore, streams: &mut Streams<'_>, kernel: &mut Kernel) -> u8 {
    if restore.atomic {
        let mut session = Session::new(streams, kernel, restore.manner.quiet);
        let done = atomic(&restore.file, &restore.manner, &mut session);
        return session.conclude(done, AS_IT_WAS);
    }
    if restore.manner.is_bounded() || restore.manner.json {
        let trouble = Trouble::Other("--wait, --timeout and --json go with --atomic".to_owned());
        return Session::new(streams, kernel, false).conclude(Err(trouble), USAGE);
    }
    if restore.file == Path::new("-") {
        return line_by_line(&restore.manner, streams, kernel);
    }
    match File::open(&restore.file) {
        Ok(file) => {
            let mut stdin = FileInput(file);
            line_by_line(&restore.manner, &mut streams.reading(&mut stdin), kernel)
        }
        Err(error) => {
            let trouble = Trouble::Other(format!("{}: {error}", restore.file.display()));
            Session::new(streams, kernel, false).conclude(Err(trouble), AS_IT_WAS)
        }
    }
}

/// As `apply`, but of the services none stay that the file does not name.
fn atomic(file: &Path, manner: &Manner, session: &mut Session<'_, '_>) -> Result<u8, Trouble> {
    let mut text = Text::read(session, file)?;
    text.is_about_services = true;
    apply::change(session, text, &Restrictions::default(), manner)
}

/// As ipvsadm-restore.
fn line_by_line(manner: &Manner, streams: &mut Streams<'_>, kernel: &mut Kernel) -> u8 {
    if manner.dry_run { dry_run::try_out(streams, kernel, ipvsadm_restore) } else { ipvsadm_restore(streams, kernel) }
}
