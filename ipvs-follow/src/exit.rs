//! Exit statuses.

/// Wrong usage, or no access to IPVS or etcd.
pub(crate) const TROUBLE: u8 = 2;

/// What was asked for can't be done now.
pub(crate) const NO: u8 = 1;

/// An exit status other than 0, and why.
pub(crate) type Ending = Result<(), (u8, String)>;
