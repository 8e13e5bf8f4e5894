//! The command line of IPVS: a drop-in for `ipvsadm`, `ipvsadm-save` and `ipvsadm-restore`.
//!
//! A command line becomes an [`Invocation`](ipvsadm::Invocation), then calls of an
//! [`ipvs::Client`], whose results [`render`] prints. Everything it touches is in an
//! [`Environment`](env::Environment) and a [`Director`](director::Director), so tests run it in
//! their own process on an in-memory kernel:
//!
//! ```
//! use ipvs::{Client, Table};
//! use ipvs_cli::env::Environment;
//! use ipvs_cli::director::Director;
//!
//! let mut director = Director::with(Client::fake(Table::new()));
//! let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
//! for line in ["ipvsadm -A -f 10 -s rr", "ipvsadm -S"] {
//!     let argv: Vec<_> = line.split(' ').map(Into::into).collect();
//!     let mut stdin = &b""[..];
//!     let mut environment = Environment::new(&mut stdin, &mut stdout, &mut stderr);
//!     assert_eq!(ipvs_cli::run(&argv, &mut environment, &mut director), 0);
//! }
//! assert_eq!(stdout, b"-A -f 10 -s rr\n");
//! ```

mod arguments;
mod change;
pub mod completions;
pub mod desired;
pub mod director;
mod dropin;
pub mod env;
mod exit;
pub mod foreign;
mod hint;
pub mod http;
pub mod io;
pub mod manual;
mod program;
mod session;
mod state;
pub mod subcommands;

pub use change::keep;
pub use ipvs_text::{escape, ipvsadm, render};
pub use program::run;
