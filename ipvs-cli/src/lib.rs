//! The command line of IPVS: a drop-in for `ipvsadm`, `ipvsadm-save` and `ipvsadm-restore`.

pub mod ipvsadm;
pub mod request;
