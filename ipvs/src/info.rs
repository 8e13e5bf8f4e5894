//! What the kernel says about its IPVS.

use std::fmt;
use std::str::FromStr;

use crate::invalid_value::InvalidValue;

/// Version and size of the kernel's IPVS. Kernel: `IPVS_CMD_GET_INFO`.
///
/// ```
/// use ipvs::{Client, Table};
/// let info = Client::fake(Table::new()).info()?;
/// assert_eq!(info.version.to_string(), "1.2.1");
/// # Ok::<(), ipvs::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Info {
    /// The version of the interface, 1.2.1 since 2008.
    pub version: Version,
    /// Buckets of the connection table: constant, or with
    /// [`Behaviors::CONNECTION_TABLE_ON_DEMAND`](crate::Behaviors) the present size, 0 before the
    /// first service or backup daemon.
    pub connection_table_size: u32,
}

/// A version of the interface, such as 1.2.1.
///
/// ```
/// let version: ipvs::Version = "1.2.1".parse()?;
/// assert!(version < ipvs::Version { major: 1, minor: 3, patch: 0 });
/// # Ok::<(), ipvs::InvalidValue>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// First number.
    pub major: u8,
    /// Second number.
    pub minor: u8,
    /// Third number.
    pub patch: u8,
}

impl Version {
    pub(crate) fn from_code(code: u32) -> Self {
        let [_, major, minor, patch] = code.to_be_bytes();
        Version { major, minor, patch }
    }

    pub(crate) fn code(self) -> u32 {
        u32::from_be_bytes([0, self.major, self.minor, self.patch])
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for Version {
    type Err = InvalidValue;

    /// Reads what [`Display`](fmt::Display) writes.
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let numbers: Option<Vec<u8>> = text.split('.').map(|number| number.parse().ok()).collect();
        match numbers.as_deref() {
            Some(&[major, minor, patch]) => Ok(Version { major, minor, patch }),
            _ => Err(InvalidValue::new("IPVS version", text, "three numbers from 0 to 255, such as 1.2.1")),
        }
    }
}
