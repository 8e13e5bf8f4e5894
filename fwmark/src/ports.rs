//! Ports, ranges and lists of both.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use ipvs::InvalidValue;

use crate::number;

/// A port, or all ports from a first to a last one.
///
/// ```
/// use fwmark::PortRange;
/// assert_eq!("8080:8089".parse::<PortRange>()?, PortRange::new(8080, 8089)?);
/// assert_eq!("1024:".parse::<PortRange>()?, PortRange::new(1024, 65535)?);
/// assert_eq!(PortRange::from(80).to_string(), "80");
/// # Ok::<(), fwmark::InvalidValue>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// The ports from `first` to `last`, both included.
    ///
    /// # Errors
    /// [`InvalidValue`] if the last one comes before the first.
    ///
    /// ```
    /// assert!(fwmark::PortRange::new(443, 80).is_err());
    /// ```
    pub fn new(first: u16, last: u16) -> Result<Self, InvalidValue> {
        if first > last { Err(Self::refuse(&format!("{first}:{last}"))) } else { Ok(PortRange { first, last }) }
    }

    /// The first port.
    ///
    /// ```
    /// assert_eq!(fwmark::PortRange::new(80, 90)?.first(), 80);
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub const fn first(self) -> u16 {
        self.first
    }

    /// The last port.
    ///
    /// ```
    /// assert_eq!(fwmark::PortRange::from(80).last(), 80);
    /// ```
    pub const fn last(self) -> u16 {
        self.last
    }

    /// Is the port in it?
    ///
    /// ```
    /// assert!(fwmark::PortRange::new(80, 90)?.contains(90));
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }

    /// The kernel's slots that it takes in a list.
    pub(crate) fn slots(self) -> usize {
        if self.first == self.last { 1 } else { 2 }
    }

    fn refuse(found: &str) -> InvalidValue {
        InvalidValue::new("port", found, "a number from 0 to 65535, or FIRST:LAST")
    }
}

/// The one port.
impl From<u16> for PortRange {
    fn from(port: u16) -> Self {
        PortRange { first: port, last: port }
    }
}

/// Fails for an empty range.
///
/// ```
/// assert_eq!(fwmark::PortRange::try_from(80..=90)?.to_string(), "80:90");
/// # Ok::<(), fwmark::InvalidValue>(())
/// ```
impl TryFrom<RangeInclusive<u16>> for PortRange {
    type Error = InvalidValue;

    fn try_from(range: RangeInclusive<u16>) -> Result<Self, InvalidValue> {
        Self::new(*range.start(), *range.end())
    }
}

impl From<PortRange> for RangeInclusive<u16> {
    fn from(range: PortRange) -> Self {
        range.first..=range.last
    }
}

impl FromStr for PortRange {
    type Err = InvalidValue;

    /// Reads `80`, `80:90`, `80:` (to 65535) and `:80` (from 0). Names such as `http` are refused:
    /// their ports differ from machine to machine.
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let port = |digits: &str, otherwise: u16| match digits {
            "" => Some(otherwise),
            digits => number::unsigned(digits)?.try_into().ok(),
        };
        let (first, last) = match text.split_once(':') {
            Some((first, last)) => (port(first, 0), port(last, u16::MAX)),
            None if text.is_empty() => (None, None),
            None => (port(text, 0), port(text, 0)),
        };
        match (first, last) {
            (Some(first), Some(last)) if first <= last => Ok(PortRange { first, last }),
            _ => Err(Self::refuse(text)),
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}:{}", self.first, self.last) }
    }
}

/// The ports of one rule: at least one, and no more than fit into the kernel's structure.
///
/// A rule has 15 slots (`XT_MULTI_PORTS`); a port takes one, a range two. [`Ports::split`] spreads
/// longer lists over several rules.
///
/// ```
/// use fwmark::Ports;
/// let web: Ports = "80,443,8080:8089".parse()?;
/// assert!(web.contains(8081));
/// assert_eq!(web.to_string(), "80,443,8080:8089");
/// # Ok::<(), fwmark::InvalidValue>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ports(Vec<PortRange>);

impl Ports {
    /// The slots of a rule.
    pub(crate) const SLOTS: usize = 15;

    /// These ports, in this order.
    ///
    /// # Errors
    /// [`InvalidValue`] if there is none, or if they need more than 15 slots.
    ///
    /// ```
    /// use fwmark::Ports;
    /// assert!(Ports::new((1..=15).map(Into::into)).is_ok());
    /// assert!(Ports::new((1..=16).map(Into::into)).is_err());
    /// assert!(Ports::new([]).is_err());
    /// ```
    pub fn new(ranges: impl IntoIterator<Item = PortRange>) -> Result<Self, InvalidValue> {
        let ports = Ports(ranges.into_iter().collect());
        let slots: usize = ports.0.iter().map(|range| range.slots()).sum();
        if slots == 0 || slots > Self::SLOTS {
            let allowed = "1 to 15 ports, of which a range counts as two";
            return Err(InvalidValue::new("list of ports", ports.to_string(), allowed));
        }
        Ok(ports)
    }

    /// All these ports, in this order, as few lists as they fit into.
    ///
    /// ```
    /// use fwmark::Ports;
    /// let lists = Ports::split((1..=20).map(Into::into));
    /// assert_eq!(lists.iter().map(|ports| ports.ranges().len()).collect::<Vec<_>>(), [15, 5]);
    /// ```
    pub fn split(ranges: impl IntoIterator<Item = PortRange>) -> Vec<Self> {
        let mut lists: Vec<Ports> = Vec::new();
        let mut free = 0;
        for range in ranges {
            match lists.last_mut() {
                Some(Ports(last)) if range.slots() <= free => last.push(range),
                _ => {
                    lists.push(range.into());
                    free = Self::SLOTS;
                }
            }
            free -= range.slots();
        }
        lists
    }

    /// The ports and ranges, in their order.
    ///
    /// ```
    /// let ports: fwmark::Ports = "80,443".parse()?;
    /// assert_eq!(ports.ranges().len(), 2);
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub fn ranges(&self) -> &[PortRange] {
        &self.0
    }

    /// Is the port among them?
    ///
    /// ```
    /// let ports: fwmark::Ports = "80,443".parse()?;
    /// assert!(!ports.contains(81));
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub fn contains(&self, port: u16) -> bool {
        self.0.iter().any(|range| range.contains(port))
    }
}

impl From<PortRange> for Ports {
    fn from(range: PortRange) -> Self {
        Ports(vec![range])
    }
}

impl FromStr for Ports {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let ranges: Vec<PortRange> = text.split(',').map(str::parse).collect::<Result<_, _>>()?;
        Ports::new(ranges)
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{range}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_ranges_reach_the_end() {
        assert_eq!(":".parse(), PortRange::new(0, 65535));
        assert_eq!(":80".parse(), PortRange::new(0, 80));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "http", "65536", "90:80", "80:90:100", "80-90", "-1", "80,", ",80", "80,,90"] {
            assert!(text.parse::<Ports>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_range_takes_two_slots() {
        let sevens = (0..7).map(|n| PortRange::new(n * 10, n * 10 + 1).unwrap());
        assert!(Ports::new(sevens.clone().chain([PortRange::from(99)])).is_ok());
        assert!(Ports::new(sevens.chain([PortRange::new(98, 99).unwrap()])).is_err());
    }
}
