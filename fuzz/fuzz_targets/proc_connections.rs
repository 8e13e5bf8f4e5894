//! A connection table: each of its lines is an entry or an error.

#![no_main]

use ipvs::proc::{Connections, ConnectionsError};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|table: &[u8]| {
    let title = usize::from(table.starts_with(b"Pro "));
    let lines = table.split_inclusive(|&byte| byte == b'\n').count();
    let entries: Vec<_> = Connections::new(table).collect();
    assert_eq!(entries.len() + title, lines);
    for entry in entries {
        match entry {
            Ok(connection) => drop(format!("{} {}", connection.target, connection.state)),
            Err(ConnectionsError::Line { line, .. }) => assert!((1..=lines as u64).contains(&line)),
            Err(other) => panic!("reading memory can't fail: {other}"),
        }
    }
});
