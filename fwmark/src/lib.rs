//! Firewall marks.
