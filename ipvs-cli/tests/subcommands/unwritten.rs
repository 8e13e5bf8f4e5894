//! Output that can't be written.

use std::ffi::OsString;
use std::io::{self, ErrorKind, Write};

use ipvs_cli::env::Environment;

use crate::director::{Director, SHOP};

/// A disk that has no room, or a pipe that nobody reads.
struct Full(ErrorKind);

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn run(director: &mut Director, line: &str, why: ErrorKind) -> (u8, String) {
    let argv: Vec<OsString> = line.split(' ').map(OsString::from).collect();
    let mut stderr = Vec::new();
    let (stdin, stdout) = (&mut SHOP.as_bytes(), &mut Full(why));
    let state = director.state_directory();
    let mut environment = Environment { state_directory: Some(&state), ..Environment::new(stdin, stdout, &mut stderr) };
    let status = ipvs_cli::run(&argv, &mut environment, &mut director.kernel);
    (status, String::from_utf8(stderr).unwrap())
}

#[test]
fn an_unwritten_output_is_reported_with_a_status() {
    let mut director = Director::new();
    assert_eq!(director.feed("ipvs-cli apply --quiet -", SHOP).status, 0);
    for (line, status) in [
        ("show", 2),
        ("show --json", 2),
        ("show --toml", 2),
        ("show --rules", 2),
        ("conns", 2),
        ("conns --save -", 2),
        ("metrics", 2),
        ("watch --count 1 --interval 0.1", 2),
        ("apply -", 0),
        ("apply --dry-run -", 2),
        ("restore --dry-run", 2),
        ("drain --json --all 192.0.2.12", 0),
        ("diff -", 2),
        ("help", 2),
    ] {
        let (found, said) = run(&mut director, &format!("ipvs-cli {line}"), ErrorKind::StorageFull);
        assert_eq!((found, said.as_str()), (status, "ipvs-cli: standard output: no storage space\n"), "{line}");
        let (found, said) = run(&mut director, &format!("ipvs-cli {line}"), ErrorKind::BrokenPipe);
        let is_1 = line.starts_with("diff") || line.contains("--save");
        assert!(said.is_empty() && (found == 0 || is_1), "{line}: {found} {said}");
    }
    // A drop-in says nothing.
    assert_eq!(run(&mut director, "ipvsadm -L -n", ErrorKind::StorageFull), (0, String::new()));
    assert_eq!(run(&mut director, "ipvs-cli -L -n", ErrorKind::StorageFull), (0, String::new()));
}
