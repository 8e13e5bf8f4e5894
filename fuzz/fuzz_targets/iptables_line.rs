//! A line of iptables: understood and printed as one that is read as the same, or refused at a word
//! of it.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &str| {
    match fwmark::parse(line) {
        Ok(understood) => assert_eq!(fwmark::parse(&understood.to_string()), Ok(understood)),
        Err(error) => {
            assert!(line[error.offset()..].starts_with(error.word()));
            assert!(!error.to_string().is_empty());
        }
    }
});
