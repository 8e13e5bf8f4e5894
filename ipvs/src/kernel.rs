//! What a director's Linux does where kernels differ: named behaviours, and the version that is
//! their default.

use std::fmt;
use std::str::FromStr;

use crate::invalid_value::InvalidValue;

bitflags::bitflags! {
    /// What a kernel does where kernels differ, by name:
    /// [`Table::with_behaviors`](crate::Table::with_behaviors).
    ///
    /// Stable releases take changes over from newer ones, so a version number does not say what a
    /// kernel does. It is only the default (`Behaviors::from`); [`probe`](Self::probe) asks the
    /// running kernel. `docs/kernels.md` says which tested kernels have which.
    ///
    /// ```
    /// use ipvs::{Behaviors, KernelVersion};
    /// let older: KernelVersion = "6.12".parse()?;
    /// assert!(!Behaviors::from(older).contains(Behaviors::SIGNED_UPPER_THRESHOLD));
    /// assert_eq!(Behaviors::from(KernelVersion::NEWEST), Behaviors::all());
    /// # Ok::<(), ipvs::InvalidValue>(())
    /// ```
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Behaviors: u32 {
        /// An [`upper_threshold`](crate::Destination::upper_threshold) above 2,147,483,647 is
        /// refused, with `EINVAL`. (`ip_vs_add_dest` and `ip_vs_edit_dest`.)
        const SIGNED_UPPER_THRESHOLD = 1;
        /// The table of connections is made with the first service or backup daemon of a network
        /// namespace, and grows: before,
        /// [`connection_table_size`](crate::Info::connection_table_size) is 0.
        const CONNECTION_TABLE_ON_DEMAND = 2;
        /// The kind, port and flags of a [`Tunnel`](crate::Tunnel) are kept. A kernel without this
        /// takes the command, ignores them, and makes an `ipip` tunnel. (`ip_vs_genl_parse_dest`.)
        const TUNNEL_KINDS = 4;
    }
}

impl Behaviors {
    /// The first release of Linux that is known to have each; a stable release of an older series
    /// may have it, too.
    const SINCE: [(Self, KernelVersion); 3] = [
        (Self::SIGNED_UPPER_THRESHOLD, KernelVersion { major: 7, minor: 2 }),
        (Self::CONNECTION_TABLE_ON_DEMAND, KernelVersion { major: 7, minor: 2 }),
        (Self::TUNNEL_KINDS, KernelVersion { major: 5, minor: 2 }),
    ];

    /// What [`KernelVersion::running`] is known for; nothing is asked.
    pub fn of_running_version() -> Self {
        KernelVersion::running().into()
    }
}

impl Default for Behaviors {
    /// Those of [`KernelVersion::NEWEST`].
    fn default() -> Self {
        KernelVersion::NEWEST.into()
    }
}

impl From<KernelVersion> for Behaviors {
    /// What this version is known for. A stable release of it may do otherwise.
    fn from(version: KernelVersion) -> Self {
        let known = Self::SINCE.into_iter().filter(|(_, since)| version >= *since);
        known.map(|(behavior, _)| behavior).collect()
    }
}

impl fmt::Display for Behaviors {
    /// Their names, lower case with dashes and a space between two, as in `signed-upper-threshold`;
    /// `none` if there is none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter_names().map(|(name, _)| name.to_ascii_lowercase().replace('_', "-")).collect();
        if names.is_empty() { f.pad("none") } else { f.pad(&names.join(" ")) }
    }
}

impl FromStr for Behaviors {
    type Err = InvalidValue;

    /// What [`Display`](fmt::Display) writes.
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let named = |word: &str| Self::from_name(&word.to_ascii_uppercase().replace('-', "_"));
        let named =
            |word| named(word).ok_or_else(|| InvalidValue::new("kernel behaviour", word, "a name of docs/kernels.md"));
        if text == "none" { Ok(Self::empty()) } else { text.split_whitespace().map(named).collect() }
    }
}

/// A version of Linux, such as 6.12. Of how a kernel behaves it is only the default: [`Behaviors`].
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

    /// The version of the running kernel, by `uname -r`; [`NEWEST`](Self::NEWEST) if that is not a
    /// version.
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

    /// Of a version or a release, such as `6.1` or `6.1.0-18-amd64`: what follows the second number
    /// is not looked at.
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
    fn a_version_is_the_default_of_its_behaviors() {
        for (version, expected) in [
            ("5.1", "none"),
            ("6.1", "tunnel-kinds"),
            ("7.1", "tunnel-kinds"),
            ("7.2", "signed-upper-threshold connection-table-on-demand tunnel-kinds"),
        ] {
            let behaviors: Behaviors = version.parse::<KernelVersion>().unwrap().into();
            assert_eq!((behaviors.to_string().as_str(), expected.parse()), (expected, Ok(behaviors)), "{version}");
        }
        assert!("unheard-of".parse::<Behaviors>().is_err());
        let known: Behaviors = Behaviors::SINCE.map(|(behavior, _)| behavior).into_iter().collect();
        assert_eq!(known, Behaviors::all(), "each has a default");
    }

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
