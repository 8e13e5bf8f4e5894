//! Which Linux a director runs on.

use std::fmt;
use std::str::FromStr;

use crate::error::InvalidValue;

/// A version of Linux, such as 6.12: where kernels differ, a [`Table`](crate::Table) does what its version does.
///
/// ```
/// use ipvs::KernelVersion;
/// let bookworm: KernelVersion = "6.1.0-18-amd64".parse()?;
/// assert_eq!(bookworm, KernelVersion { major: 6, minor: 1 });
/// assert!(bookworm < KernelVersion::NEWEST);
/// # Ok::<(), ipvs::InvalidValue>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelVersion {
    /// First number.
    pub major: u16,
    /// Second number.
    pub minor: u16,
}

impl KernelVersion {
    /// The newest that this crate was tested on: 7.2.
    pub const NEWEST: Self = KernelVersion { major: 7, minor: 2 };

    /// The version of the running kernel, as `uname -r` tells it; the newest, if that is no version.
    pub fn running() -> Self {
        let release = rustix::system::uname();
        release.release().to_str().ok().and_then(|release| release.parse().ok()).unwrap_or(Self::NEWEST)
    }
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for KernelVersion {
    type Err = InvalidValue;

    /// Of a version or a release, such as `6.1` or `6.1.0-18-amd64`: what follows the second number is not looked at.
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let number = |part: &str| {
            let digits = part.find(|byte: char| !byte.is_ascii_digit()).unwrap_or(part.len());
            part[..digits].parse().ok()
        };
        let mut parts = text.splitn(3, '.');
        let (major, minor) = (parts.next().and_then(|part| part.parse().ok()), parts.next().and_then(number));
        match (major, minor) {
            (Some(major), Some(minor)) => Ok(KernelVersion { major, minor }),
            _ => Err(InvalidValue::new("kernel version", text, "two numbers with a point between them, as in 6.1")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_have_versions() {
        for (release, version) in
            [("6.1.192", (6, 1)), ("7.2-rc3", (7, 2)), ("7.2", (7, 2)), ("6.12.0+deb13-um", (6, 12))]
        {
            let (major, minor) = version;
            assert_eq!(release.parse(), Ok(KernelVersion { major, minor }), "{release}");
        }
        for text in ["", "6", "x.1", "6.x", "-6.1", "6..1", "99999.1"] {
            assert!(text.parse::<KernelVersion>().is_err(), "{text:?}");
        }
    }
}
