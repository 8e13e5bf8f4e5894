//! `ipvs-follow` on a real kernel.

mod follow {
    mod program;
}
