//! The arguments of ipvsadm, one per line: refused with a message, or executed on an in-memory
//! kernel.

#![no_main]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use fuzz::{FewNames, NoNames, run, table};
use ipvs_cli::ipvsadm::{Invocation, Parser, Posix, Words};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let arguments: Vec<&[u8]> = data.split(|&byte| byte == b'\n').collect();
    let words: Words = arguments.iter().collect();
    for posix in [Posix(false), Posix(true)] {
        match Parser::new(&mut FewNames, posix).parse(&words) {
            Ok(Invocation::Change(command)) => drop(table().apply(&command)),
            Ok(_) => {}
            Err(usage) => {
                usage.write(&mut Vec::new(), b"ipvsadm").expect("memory takes everything");
            }
        }
    }
    if NoNames::are_enough(&words) {
        let argv = std::iter::once(&b"ipvsadm"[..]).chain(arguments).map(|word| OsString::from_vec(word.to_vec()));
        run(&argv.collect::<Vec<_>>(), &mut &b""[..]);
    }
});
