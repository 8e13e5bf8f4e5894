//! In place of a way to netlink, where the system is not Linux: there is none.

use std::convert::Infallible;

use super::error::MonitorError;
use crate::name::InterfaceName;

#[derive(Debug)]
pub(super) enum Tap {}

pub(super) fn announcements() -> Result<Infallible, MonitorError> {
    Err(MonitorError::io("watch netlink", std::io::ErrorKind::Unsupported.into()))
}

impl Tap {
    pub(super) fn open(
        _: Option<InterfaceName>,
        announcements: Infallible,
        _: u16,
        _: bool,
    ) -> Result<Self, MonitorError> {
        match announcements {}
    }

    pub(super) fn has_gate(&self) -> bool {
        match *self {}
    }

    pub(super) fn watch(&mut self, _: u16, _: bool) -> Result<(), MonitorError> {
        match *self {}
    }

    pub(super) fn packets(
        &mut self,
        _: impl FnMut(usize, Option<std::time::SystemTime>, &[u8]),
    ) -> Result<bool, MonitorError> {
        match *self {}
    }

    pub(super) fn announcement(&mut self) -> Result<Option<Vec<u8>>, MonitorError> {
        match *self {}
    }

    pub(super) fn dropped(&self) -> u32 {
        match *self {}
    }

    pub(super) fn sources(&self) -> [std::os::fd::BorrowedFd<'_>; 2] {
        match *self {}
    }
}
