//! The protocol of connection synchronisation: what a master daemon sends, and what a backup daemon
//! makes of what is sent to it.

mod sync {
    mod golden;
    mod sockets;
    mod table;
}
