//! Errors say each thing once: in their own text, or in that of their source.

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;

use ipvs::netns::{Namespace, NamespaceError};
use ipvs::proc::{self, Connections, ConnectionsError};
use ipvs::sysctl::{Sysctl, SysctlError, Sysctls};
use ipvs::{CommandKind, Errno, Error, Refusal, Report, WireError};

fn denied() -> io::Error {
    io::Error::from_raw_os_error(Errno::EACCES.raw())
}

fn path() -> PathBuf {
    "/proc/some-file".into()
}

fn all() -> Vec<Box<dyn StdError>> {
    let refusal = Refusal::new(CommandKind::AddService, Errno::EEXIST);
    let namespace = || NamespaceError::Enter { name: "blue".to_owned(), source: denied() };
    vec![
        Box::new(Error::Refused(refusal)),
        Box::new(Error::OutcomeUnknown { known: Vec::new(), source: Box::new(Error::Io(denied())) }),
        Box::new(Error::OutcomeUnknown { known: vec![Ok(())], source: Box::new(Error::RepliesLost) }),
        Box::new(Error::Decode(WireError::Missing("IPVS_SVC_ATTR_AF"))),
        Box::new(Error::Namespace(namespace())),
        Box::new(Error::Io(denied())),
        Box::new(NamespaceError::Open { path: path(), source: denied() }),
        Box::new(NamespaceError::Create(denied())),
        Box::new(namespace()),
        Box::new(NamespaceError::Leave { name: "blue".to_owned(), source: denied() }),
        Box::new(NamespaceError::Unknown(denied())),
        Box::new(Namespace::named("a/b").unwrap_err()),
        Box::new(SysctlError::Read { path: path(), source: denied() }),
        Box::new(SysctlError::Set { path: path(), source: denied() }),
        Box::new(SysctlError::Kind { sysctl: Sysctl::Conntrack, value: "x".to_owned() }),
        Box::new(Sysctls::at("/nowhere").all().unwrap_err()),
        Box::new(proc::Error::Read { path: path(), source: denied() }),
        Box::new(proc::Table::parse("1\n2\n3\nx").unwrap_err()),
        Box::new(ConnectionsError::Open { path: path(), source: denied() }),
        Box::new(ConnectionsError::Read { line: 7, source: denied() }),
        Box::new(Connections::new(&b"x"[..]).next().unwrap().unwrap_err()),
    ]
}

#[test]
fn no_error_repeats_its_source() {
    for error in all() {
        let mut outer: &dyn StdError = &*error;
        while let Some(source) = outer.source() {
            assert!(!outer.to_string().contains(&source.to_string()), "{outer}; {source}");
            outer = source;
        }
        let report = Report::new(&*error).to_string();
        assert_eq!(report.matches("denied").count(), usize::from(report.contains("denied")), "{report}");
    }
}

#[test]
fn errors_of_the_system_are_sources() {
    for error in all() {
        let is_from_system = format!("{error:?}").contains("Os {");
        let mut chain = std::iter::successors(Some(&*error as &dyn StdError), |error| (*error).source());
        assert_eq!(chain.any(|error| error.is::<io::Error>()), is_from_system, "{error:?}");
    }
}
