//! The command line of IPVS: a drop-in for `ipvsadm`, `ipvsadm-save` and `ipvsadm-restore`.
//!
//! A call goes from its words to an [`Invocation`](ipvsadm::Invocation), from there to calls of an [`ipvs::Client`], and
//! what the kernel says through [`render`] to standard output. Everything it touches comes as a parameter, so tests run it
//! in their own process on an in-memory kernel:
//!
//! ```
//! use ipvs::{Client, Table};
//! use ipvs_cli::io::Streams;
//! use ipvs_cli::kernel::Kernel;
//!
//! let mut kernel = Kernel::with(Client::fake(Table::new()), "/proc/net/ip_vs_conn");
//! let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
//! for line in ["ipvsadm -A -f 10 -s rr", "ipvsadm -S"] {
//!     let argv: Vec<_> = line.split(' ').map(Into::into).collect();
//!     let mut stdin = &b""[..];
//!     let mut streams = Streams { stdin: &mut stdin, stdout: &mut stdout, stderr: &mut stderr, hints: || false,
//!         colors: || false };
//!     assert_eq!(ipvs_cli::run(&argv, &mut streams, &mut kernel), 0);
//! }
//! assert_eq!(stdout, b"-A -f 10 -s rr\n");
//! ```

pub mod desired;
mod escape;
mod failure;
mod hint;
pub mod io;
pub mod ipvsadm;
pub mod kernel;
mod lines;
mod listing;
mod lookup;
mod mark_rules;
pub mod operate;
pub mod render;
pub mod request;
mod restore;
mod run;
mod script;
mod sigpipe;

pub use run::run;
