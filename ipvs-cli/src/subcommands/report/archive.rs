//! An archive in the form `ustar` of POSIX, as far as a report needs it: small regular files.

use std::io::Write;

/// The size of a header, and what contents are filled up to.
const BLOCK: usize = 512;

/// Appends a file. The name has at most 100 bytes.
pub(super) fn append(archive: &mut Vec<u8>, name: &str, seconds: u64, content: &[u8]) {
    let mut header = [0; BLOCK];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    // Mode, owner, group.
    put(100, "0000600\x000000000\x000000000\x00");
    put(124, &format!("{:011o}\0{seconds:011o}\0", content.len()));
    // The sum of the header counts itself as spaces.
    put(148, "        0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    // Writing to a slice that is large enough does not fail.
    let _ = write!(&mut header[148..156], "{sum:06o}\0 ");
    archive.extend_from_slice(&header);
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(BLOCK), 0);
}

/// Ends the archive.
pub(super) fn finish(archive: &mut Vec<u8>) {
    archive.resize(archive.len() + 2 * BLOCK, 0);
}
