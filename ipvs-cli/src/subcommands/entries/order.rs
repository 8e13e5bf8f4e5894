//! The connections that come first in an order, for `conns --sort` and for `top`.

use std::cmp::Ordering;

use clap::ValueEnum;
use ipvs::proc::Connection;

/// An order.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::subcommands) enum Sort {
    Client,
    Service,
    Server,
    State,
    Expires,
}

/// Keeps all entries, or the first ones: at most twice the limit in memory.
#[derive(Debug)]
pub(in crate::subcommands) struct First {
    sort: Sort,
    reverse: bool,
    limit: usize,
    held: Vec<Connection>,
}

impl First {
    pub(in crate::subcommands) fn new(sort: Sort, reverse: bool, limit: Option<usize>) -> Self {
        First { sort, reverse, limit: limit.unwrap_or(usize::MAX), held: Vec::new() }
    }

    pub(in crate::subcommands) fn add(&mut self, connection: Connection) {
        self.held.push(connection);
        if self.held.len() / 2 >= self.limit.max(512) {
            self.cut();
        }
    }

    pub(in crate::subcommands) fn ordered(mut self) -> Vec<Connection> {
        self.cut();
        self.held
    }

    fn cut(&mut self) {
        let (sort, reverse) = (self.sort, self.reverse);
        // Equal ones stay in the kernel's order.
        self.held.sort_by(|one, other| {
            let order = compare(sort, one, other);
            if reverse { order.reverse() } else { order }
        });
        self.held.truncate(self.limit);
    }
}

fn compare(sort: Sort, one: &Connection, other: &Connection) -> Ordering {
    match sort {
        Sort::Client => one.client.cmp(&other.client),
        Sort::Service => one.target.cmp(&other.target),
        Sort::Server => one.destination.cmp(&other.destination),
        Sort::State => one.state.cmp(&other.state),
        Sort::Expires => one.expires.cmp(&other.expires),
    }
}
