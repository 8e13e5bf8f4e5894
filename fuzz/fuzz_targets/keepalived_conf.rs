//! A configuration of keepalived with the files around it, `f1` and so on, each behind a NUL: it is
//! a state, whose places are in the texts, or it is wrong somewhere.

#![no_main]

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use ipvs::Table;
use ipvs::desired::{Place, Source};
use ipvs_cli::foreign::{self, Files, Format, Surroundings};
use ipvs_cli::ipvsadm::value::NoNames;
use libfuzzer_sys::fuzz_target;

#[derive(Debug)]
struct Texts<'t>(Vec<&'t [u8]>);

impl Files for Texts<'_> {
    fn matching(&self, directory: &Path, pattern: &str) -> io::Result<Vec<PathBuf>> {
        let all = (1..self.0.len()).map(|number| directory.join(format!("f{number}")));
        Ok(all.filter(|path| pattern == "*" || directory.join(pattern) == *path).collect())
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let number = path.to_str().and_then(|name| name.strip_prefix('f')?.parse::<usize>().ok());
        number.and_then(|number| self.0.get(number)).map(|text| text.to_vec()).ok_or(ErrorKind::NotFound.into())
    }
}

fuzz_target!(|bytes: &[u8]| {
    let texts = Texts(bytes.split(|&byte| byte == 0).collect());
    let lines = bytes.iter().filter(|&&byte| byte == b'\n').count() + 1;
    let is_inside = |place: &Place| place.line() <= lines;
    let (main, path) = (Source::new("main", texts.0[0]), Path::new("main"));
    let surroundings = Surroundings { path, files: &texts, names: &mut NoNames, config_id: "fuzz" };
    match foreign::read(Format::Keepalived, &main, surroundings) {
        Ok(read) => {
            assert!(read.notes.iter().all(|note| is_inside(&note.place) && !note.reason.is_empty()));
            drop(read.desired.table(&Table::new()));
        }
        Err(problems) => assert!(!problems.is_empty() && problems.iter().all(|problem| is_inside(&problem.place))),
    }
});
