//! `--sort`: the connections that come first in an order.

use std::cmp::Ordering;

use ipvs::proc::Connection;

use super::args::Sort;

/// Keeps all entries, or the first ones: at most twice the limit in memory.
#[derive(Debug)]
pub(super) struct First {
    sort: Sort,
    reverse: bool,
    limit: usize,
    held: Vec<Connection>,
}

impl First {
    pub(super) fn new(sort: Sort, reverse: bool, limit: Option<usize>) -> Self {
        First { sort, reverse, limit: limit.unwrap_or(usize::MAX), held: Vec::new() }
    }

    pub(super) fn add(&mut self, connection: Connection) {
        self.held.push(connection);
        if self.held.len() / 2 >= self.limit.max(512) {
            self.cut();
        }
    }

    pub(super) fn ordered(mut self) -> Vec<Connection> {
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
