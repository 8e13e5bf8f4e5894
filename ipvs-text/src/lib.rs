//! The text of ipvsadm: its command lines as values, and values as it prints them.
//!
//! [`ipvsadm`] makes an [`Invocation`](ipvsadm::Invocation) of the words of a command line, and
//! [`render`] writes listings and saved tables, byte for byte as ipvsadm does. What is done in
//! between, the program of `ipvs-cli` decides.
//!
//! ```
//! use ipvs::{Command, Table};
//! use ipvs_text::ipvsadm::value::NoNames;
//! use ipvs_text::ipvsadm::{Invocation, Parser, Posix, Words};
//! use ipvs_text::render;
//!
//! let mut names = NoNames;
//! let mut parser = Parser::new(&mut names, Posix(false));
//! let mut words = Words::default();
//! words.split_line(b"-A -t 192.0.2.1:80 -s wlc");
//! let Ok(Invocation::Change(command)) = parser.parse(&words) else { panic!() };
//! assert!(matches!(command, Command::AddService(_)));
//!
//! let mut table = Table::new();
//! table.apply(&command).unwrap();
//! let mut saved = Vec::new();
//! render::save::table(&mut saved, &table, None).unwrap();
//! assert_eq!(saved, b"-A -t 192.0.2.1:80 -s wlc\n");
//! ```
//!
//! # Why it is a package of its own
//!
//! A script for `-R` and a listing have thousands of lines, and each instruction counts that is
//! executed for each of them. So this package is compiled to be fast, and `ipvs-cli`, whose code
//! mostly runs once in a run, to be small (`Cargo.toml` of the workspace).

pub mod escape;
pub mod exposition;
pub mod ipvsadm;
pub mod lines;
pub mod render;
