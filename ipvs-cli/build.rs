//! Two scripts for the linker: `drop_in.ld` puts together what one command of ipvsadm's language
//! executes, and `no_unwinding.ld` leaves out what a release build never needs.

use std::env;

fn main() {
    let has = |variable: &str, part: &str| env::var(variable).is_ok_and(|value| value.contains(part));
    let is_static = has("CARGO_CFG_TARGET_FEATURE", "crt-static") && has("CARGO_CFG_TARGET_ENV", "gnu");
    // Another linker than rustc's own or the C compiler's may not know the language.
    let is_known = !has("CARGO_ENCODED_RUSTFLAGS", "fuse-ld");
    let scripts: &[&str] = if has("PROFILE", "release") { &["drop_in.ld", "no_unwinding.ld"] } else { &["drop_in.ld"] };
    let directory = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    for script in scripts {
        println!("cargo::rerun-if-changed={script}");
        if is_static && is_known {
            println!("cargo::rustc-link-arg-bins=-T{directory}/{script}");
        }
    }
}
