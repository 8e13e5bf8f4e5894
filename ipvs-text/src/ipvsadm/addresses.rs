//! The addresses of a text's lines.

use std::net::IpAddr;

use ipvs::Protocol;

use super::value::{self, Resolve};

/// Reads addresses. Rules name a service once for each of its servers, so the last service's
/// address is kept.
#[derive(Debug)]
pub(super) struct Addresses<'r> {
    pub(super) names: &'r mut dyn Resolve,
    last: Option<Last>,
}

#[derive(Debug)]
struct Last {
    text: Vec<u8>,
    protocol: Protocol,
    address: Address,
}

/// An address, and the port if one is given.
type Address = (IpAddr, Option<u16>);

impl<'r> Addresses<'r> {
    pub(super) fn new(names: &'r mut dyn Resolve) -> Self {
        Addresses { names, last: None }
    }

    /// As [`value::address`].
    pub(super) fn service(&mut self, text: &[u8], protocol: Protocol) -> Option<Address> {
        if let Some(last) = self.last.as_ref().filter(|last| last.text == text && last.protocol == protocol) {
            return Some(last.address);
        }
        let address = self.server(text, Some(protocol))?;
        let mut text_kept = self.last.take().map(|last| last.text).unwrap_or_default();
        text_kept.clear();
        text_kept.extend_from_slice(text);
        self.last = Some(Last { text: text_kept, protocol, address });
        Some(address)
    }

    /// As [`value::address`].
    pub(super) fn server(&mut self, text: &[u8], protocol: Option<Protocol>) -> Option<Address> {
        value::address(text, protocol, self.names)
    }

    /// Names are to be looked up anew.
    pub(super) fn forget(&mut self) {
        self.last = None;
        self.names.forget();
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    /// A system whose one host moves each time that it is looked for.
    #[derive(Debug, Default)]
    struct Restless(u8);

    impl Resolve for Restless {
        fn host(&mut self, _: &[u8]) -> Option<Ipv4Addr> {
            self.0 += 1;
            Some(Ipv4Addr::new(10, 0, 0, self.0))
        }

        fn port(&mut self, _: &[u8], protocol: Protocol) -> Option<u16> {
            Some(if protocol == Protocol::TCP { 80 } else { 53 })
        }
    }

    #[test]
    fn the_last_address_is_kept_for_the_same_text_and_protocol() {
        let mut names = Restless::default();
        let mut addresses = Addresses::new(&mut names);
        let mut read = |text: &str, protocol| addresses.service(text.as_bytes(), protocol).unwrap();
        let first = read("web:http", Protocol::TCP);
        assert_eq!(read("web:http", Protocol::TCP), first);
        assert_eq!(read("web:http", Protocol::UDP), ([10, 0, 0, 2].into(), Some(53)));
        assert_eq!(read("web", Protocol::UDP), ([10, 0, 0, 3].into(), None));
        assert_eq!(read("1.2.3.4:5", Protocol::TCP), ([1, 2, 3, 4].into(), Some(5)));
        addresses.forget();
        assert_eq!(addresses.service(b"web:http", Protocol::TCP), Some(([10, 0, 0, 4].into(), Some(80))));
    }
}
