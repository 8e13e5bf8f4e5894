//! Has the linker put together what one command of ipvsadm's language executes: `drop_in.ld` says why.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=drop_in.ld");
    let has = |variable: &str, part: &str| env::var(variable).is_ok_and(|value| value.contains(part));
    let is_static = has("CARGO_CFG_TARGET_FEATURE", "crt-static") && has("CARGO_CFG_TARGET_ENV", "gnu");
    // Another linker than rustc's own or the C compiler's may not know the language.
    if is_static && !has("CARGO_ENCODED_RUSTFLAGS", "fuse-ld") {
        let directory = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!("cargo::rustc-link-arg-bins=-T{directory}/drop_in.ld");
    }
}
