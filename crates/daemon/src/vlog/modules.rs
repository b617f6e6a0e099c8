//! Names of log modules, as Open vSwitch's programs list them: `-vMODULE` and `vlog/set` accept these.
//!
//! Where it sits: what every program knows is the initial content of `level::Modules`; each adds its own with `vlog::add_modules`.

/// Modules of every program.
#[rustfmt::skip]
pub(super) const COMMON: &[&str] = &[
    "backtrace", "bundle", "command_line", "conntrack", "conntrack_tp", "coverage", "ct_dpif", "dns_resolve",
    "dpdk", "dpif", "dpif_lookup_autovalidator", "dpif_lookup_generic", "dpif_mfex_extract_study",
    "dpif_netdev", "dpif_netdev_extract", "dpif_netdev_impl", "dpif_netdev_lookup", "dpif_netlink",
    "dpif_netlink_rtnl", "dpif_offload", "dpif_offload_dummy", "entropy", "fatal_signal", "flow", "hmap",
    "ipf", "jsonrpc", "meta_flow", "native_tnl", "netdev", "netdev_afxdp", "netdev_linux", "netdev_offload",
    "netdev_offload_tc", "netdev_vport", "netlink", "netlink_conntrack", "netlink_notifier", "netlink_socket",
    "nx_match", "odp_execute", "odp_execute_impl", "odp_util", "ofp_actions", "ofp_bundle", "ofp_connection",
    "ofp_errors", "ofp_flow", "ofp_group", "ofp_match", "ofp_meter", "ofp_monitor", "ofp_msgs", "ofp_packet",
    "ofp_port", "ofp_protocol", "ofp_queue", "ofp_table", "ofp_util", "ovs_numa", "ovs_rcu", "ovs_replay",
    "ovs_router", "ovs_thread", "ovsdb_cs", "ovsdb_error", "ovsdb_idl", "ox_stat", "pmd_perf", "poll_loop",
    "reconnect", "route_table", "sha1", "signals", "socket_util", "socket_util_unix", "stream", "stream_fd",
    "stream_replay", "stream_ssl", "stream_tcp", "stream_unix", "svec", "tc", "timeval", "unixctl",
    "userspace_tso", "util", "uuid", "vlog",
];

/// Modules of programs that may run in the background.
pub const DAEMON_MODULES: &[&str] = &["daemon", "daemon_unix", "lockfile", "process"];

/// Modules of programs that read databases themselves.
#[rustfmt::skip]
pub const DATABASE_MODULES: &[&str] = &[
    "lockfile", "ovsdb", "ovsdb_file", "ovsdb_jsonrpc_server", "ovsdb_log", "ovsdb_monitor", "ovsdb_rbac",
    "ovsdb_util", "raft", "raft_rpc", "storage", "transaction", "transaction_forward", "trigger",
];

/// Modules of the switch.
#[rustfmt::skip]
pub const SWITCH_MODULES: &[&str] = &[
    "bfd", "bond", "bridge", "bundles", "cfm", "collectors", "connmgr", "fail_open", "in_band", "ipfix",
    "lacp", "lldp", "lldpd", "lldpd_structs", "memory", "netdev_dummy", "netflow", "ofproto", "ofproto_dpif",
    "ofproto_dpif_mirror", "ofproto_dpif_monitor", "ofproto_dpif_rid", "ofproto_dpif_upcall",
    "ofproto_dpif_xlate", "ofproto_xlate_cache", "ovs_lldp", "pcap", "rconn", "rstp", "rstp_sm", "sflow",
    "stp", "system_stats", "tunnel", "vconn", "vconn_stream", "vswitchd",
];
