//! Real packets: clients, a director and real servers in namespaces of their own, and who answers
//! whom.

mod traffic {
    mod announced;
    mod counts;
    mod directors;
    mod draining;
    mod ended;
    mod envelope;
    mod failback;
    mod field;
    mod forwarding;
    mod marks;
    mod persistence;
    mod schedulers;
    mod tables;
}
