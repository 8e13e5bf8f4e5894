//! In place of sockets to the kernel, where that is not Linux: there are none.

use std::io;
use std::os::fd::BorrowedFd;
#[cfg(feature = "tokio")]
use std::os::fd::OwnedFd;
use std::time::Duration;

use crate::errno::Errno;
use crate::error::Error;
use crate::exchange::{Buffers, Datagrams};
use crate::netns::{Namespace, NamespaceError};

#[derive(Debug)]
pub(crate) enum Sockets {}

impl Sockets {
    pub(super) fn open(_: Duration) -> Result<Self, Error> {
        let why = "IPVS is a part of Linux, and this is another system: only `Client::fake` works here";
        Err(io::Error::new(io::ErrorKind::Unsupported, why).into())
    }

    pub(super) fn open_in(deadline: Duration, _: &Namespace) -> Result<Self, Error> {
        Self::open(deadline)
    }

    pub(super) fn another(&self, _: Duration) -> Result<Self, Error> {
        match *self {}
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        match *self {}
    }

    pub(super) fn receive_in(&mut self, _: Datagrams) {
        match *self {}
    }

    pub(super) fn namespace(&self) -> Result<Namespace, NamespaceError> {
        match *self {}
    }

    pub(super) fn prepare_window(&self) -> Buffers {
        match *self {}
    }

    #[cfg(feature = "tokio")]
    pub(super) fn readiness(&self) -> io::Result<OwnedFd> {
        match *self {}
    }

    pub(super) fn send(&self, _: &[u8]) -> io::Result<usize> {
        match *self {}
    }

    pub(super) fn receive(&self, _: &mut Vec<u8>, _: bool) -> io::Result<usize> {
        match *self {}
    }

    pub(super) fn ask(&mut self, _: i32, _: &mut [u8]) -> Result<(), Errno> {
        match *self {}
    }
}

pub(crate) fn open_sockopt() -> Result<impl FnMut(i32, &mut [u8]) -> Result<(), Errno>, Errno> {
    Err::<fn(i32, &mut [u8]) -> Result<(), Errno>, _>(Errno::EOPNOTSUPP)
}
