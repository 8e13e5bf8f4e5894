//! Addresses and ranges of addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Consecutive addresses of one family.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    pub(super) first: IpAddr,
    pub(super) count: u128,
}

impl Range {
    /// `192.0.2.1`, `192.0.2.1-10`, `192.0.2.1-192.0.2.10` or `192.0.2.0/29`; the last group of an
    /// IPv6 address is hexadecimal.
    pub(super) fn parse(text: &str) -> Option<Range> {
        if let Some((first, last)) = text.split_once('-') {
            let first: IpAddr = first.parse().ok()?;
            let last = match first {
                _ if last.contains(['.', ':']) => last.parse().ok()?,
                IpAddr::V4(first) => {
                    let last: u8 = last.parse().ok()?;
                    IpAddr::V4(Ipv4Addr::from_bits(first.to_bits() & !0xff | u32::from(last)))
                }
                IpAddr::V6(first) => {
                    let last = u16::from_str_radix(last, 16).ok()?;
                    IpAddr::V6(Ipv6Addr::from_bits(first.to_bits() & !0xffff | u128::from(last)))
                }
            };
            let is_same_family = first.is_ipv4() == last.is_ipv4();
            let count =
                bits(last).checked_sub(bits(first)).filter(|&more| is_same_family && more > 0)?.checked_add(1)?;
            return Some(Range { first, count });
        }
        if let Some((first, prefix)) = text.split_once('/') {
            let first: IpAddr = first.parse().ok()?;
            let host = (if first.is_ipv4() { 32u32 } else { 128 }).checked_sub(prefix.parse().ok()?)?;
            return Some(Range { first, count: 1u128.checked_shl(host)? });
        }
        Some(Range { first: text.parse().ok()?, count: 1 })
    }

    pub(super) fn addresses(self) -> impl Iterator<Item = IpAddr> {
        (0..self.count).map_while(move |index| {
            let bits = bits(self.first).checked_add(index)?;
            Some(match self.first {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(bits).ok()?)),
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(bits)),
            })
        })
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}
