//! The timeouts of connections (`-L --timeout`).

use std::io::{self, Write};

use ipvs::Timeouts;

/// Writes the one line. 0 stands for a protocol that the kernel was built without.
pub fn line(out: &mut dyn Write, timeouts: Timeouts) -> io::Result<()> {
    let [tcp, tcp_fin, udp] = [timeouts.tcp, timeouts.tcp_fin, timeouts.udp].map(Option::unwrap_or_default);
    writeln!(out, "Timeout (tcp tcpfin udp): {tcp} {tcp_fin} {udp}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples::text;

    #[test]
    fn the_line_is_as_recorded() {
        let timeouts = Timeouts::new().with_tcp(900).with_tcp_fin(120).with_udp(300);
        assert_eq!(text(|out| line(out, timeouts).unwrap()), "Timeout (tcp tcpfin udp): 900 120 300\n");
    }
}
