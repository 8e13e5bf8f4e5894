//! Why something that a mirror sent is not used.

use jiff::Timestamp;

use super::openpgp::Distrust;

/// The reason, as the end of a sentence: what the mirror sent, then this.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Refusal {
    /// Nobody who is trusted has signed it.
    #[error("{0}")]
    Distrusted(Distrust),
    /// It is of another release than was asked for.
    #[error("it is the release {0:?}")]
    OtherRelease(String),
    /// The release does not count any more.
    #[error(
        "it was valid until {0}: the mirror has fallen behind, or someone holds new packages back. Use another mirror, or accept it: \
         IPVS_LAB_EXPIRED=accept"
    )]
    Expired(Timestamp),
    /// A newer one has been here.
    #[error(
        "it is of {found}, and {seen} was here before: the mirror has fallen behind, or someone goes back to packages with known faults. \
         Use another mirror, or remove {note} to accept it"
    )]
    RolledBack {
        /// The date of this one.
        found: Timestamp,
        /// The date of the one before.
        seen: Timestamp,
        /// The file that remembers it.
        note: String,
    },
    /// It has more bytes than are expected.
    #[error("it has more than {limit} bytes")]
    TooLarge {
        /// The most that it may have.
        limit: u64,
    },
    /// It has fewer bytes, or other ones.
    #[error("its size or SHA-256 is not what the signed release says")]
    OtherContent,
    /// A line that can't be understood, or is missing.
    #[error("it has no proper {0}")]
    Malformed(&'static str),
    /// A package with a path that leaves its directory, or with something that is no file.
    #[error("it has {0}, which no package has")]
    Entry(String),
    /// It is compressed in a way that Debian does not use.
    #[error("it has no data.tar.xz")]
    NoData,
}
