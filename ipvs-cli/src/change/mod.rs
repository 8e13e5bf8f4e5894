//! Changing a director as a whole: from a desired state to a plan, and from the plan to the change.

pub(crate) mod apply;
pub(crate) mod args;
pub(crate) mod claims;
pub(crate) mod difference;
pub(crate) mod drained;
pub mod keep;
pub(crate) mod make;
pub(crate) mod marks;
pub(crate) mod offline;
pub(crate) mod prepare;
pub(crate) mod summary;
