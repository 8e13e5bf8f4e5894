//! The subcommands on a real kernel: what needs signals, a terminal, a second process, or packets.

mod operate {
    pub(crate) mod world;

    mod beside;
    mod churn;
    mod connections;
    mod copied;
    mod ending;
    mod faults;
    mod journal;
    mod killed;
    mod limits;
    mod namespaces;
    mod out_of_memory;
    mod outside;
    mod owners;
    mod race;
    mod report;
    mod rights;
    mod round_trips;
    mod signals;
    mod sync;
    mod terminal;
    mod unprivileged;
    mod unprivileged_root;
    mod writers;
}
