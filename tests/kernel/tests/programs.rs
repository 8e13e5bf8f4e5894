//! Programs that call ipvsadm, with the original and with `ipvs-cli`; and Prometheus with the
//! metrics of `ipvs-cli`.

#[path = "programs/beside_apply.rs"]
mod beside_apply;
#[path = "programs/convert.rs"]
mod convert;
#[path = "programs/failover.rs"]
mod failover;
#[path = "programs/init_script.rs"]
mod init_script;
#[path = "programs/keepalived.rs"]
mod keepalived;
#[path = "programs/ldirectord.rs"]
mod ldirectord;
#[path = "programs/metrics.rs"]
mod metrics;
#[path = "programs/monitor.rs"]
mod monitor;
#[path = "programs/prometheus.rs"]
mod prometheus;
#[path = "programs/protocol.rs"]
mod protocol;
#[path = "programs/stages.rs"]
mod stages;
#[path = "programs/web.rs"]
mod web;
#[path = "programs/wrappers.rs"]
mod wrappers;
