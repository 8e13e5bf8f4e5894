//! Values of the libraries as words of the command line.

use std::net::IpAddr;
use std::str::FromStr;

use ipvs::InvalidValue;

/// Reads a value. The error fits behind the name of the option.
pub(crate) fn value<T: FromStr<Err = InvalidValue>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: InvalidValue| format!("must be {}", error.allowed()))
}

/// Reads an address.
pub(crate) fn address(text: &str) -> Result<IpAddr, &'static str> {
    text.parse().map_err(|_| "must be an address of IPv4 or IPv6")
}
