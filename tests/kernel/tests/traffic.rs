//! Real packets: clients, a director and real servers in namespaces of their own, and who answers whom.

mod traffic {
    mod marks;
    mod persistence;
    mod tables;
}
