//! Asks a guest that does not end which of its tasks wait for what: the kernel says it on its
//! console.

use std::{fs, io, os::unix::net::UnixDatagram, path::Path, time::Duration};

/// How long a kernel that hangs as a whole may keep us.
const PATIENCE: Duration = Duration::from_secs(2);

/// The request, as user-mode Linux's control socket expects it: a magic number, a version, and a
/// text in 512 bytes.
const MAGIC: u32 = 0xcafe_babe;
const VERSION: u32 = 2;
const ASK: &[u8] = b"sysrq w";

/// Where in an answer it says whether more follows.
const MORE: std::ops::Range<usize> = 4..8;

/// Has the kernel list its blocked tasks on its console, and waits until it has. `directory` is the
/// guest's.
pub(super) fn list_blocked_tasks(directory: &Path) -> io::Result<()> {
    let own = directory.join("asks");
    let socket = UnixDatagram::bind(&own)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send_to(&request(), control_socket(directory)?)?;
    let mut answer = [0; 4096];
    loop {
        let length = socket.recv(&mut answer)?;
        let more = answer[..length].get(MORE);
        if more.is_none_or(|more| more == [0; 4]) {
            return Ok(());
        }
    }
}

fn request() -> Vec<u8> {
    let length = u32::try_from(ASK.len()).expect("a few bytes");
    let mut request: Vec<u8> = [MAGIC, VERSION, length].iter().flat_map(|word| word.to_ne_bytes()).collect();
    request.extend(ASK);
    request.resize(3 * size_of::<u32>() + 512, 0);
    request
}

/// The kernel makes it in a directory of a name of its own.
fn control_socket(directory: &Path) -> io::Result<std::path::PathBuf> {
    let mut sockets = fs::read_dir(directory)?.filter_map(|entry| Some(entry.ok()?.path().join("mconsole")));
    sockets.find(|socket| socket.exists()).ok_or_else(|| io::ErrorKind::NotFound.into())
}
