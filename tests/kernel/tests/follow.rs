//! `ipvs-follow` on a real kernel.

mod follow {
    use std::ffi::OsString;

    mod cluster;
    mod fleet;
    mod program;

    fn ipvs_follow() -> OsString {
        std::env::var_os("IPVS_FOLLOW").expect("set IPVS_FOLLOW to the path of the ipvs-follow to be tested")
    }
}
