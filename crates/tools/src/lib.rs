//! The command-line tools: ovs-vsctl, vtep-ctl, ovs-ofctl, ovs-appctl, ovs-dpctl, ovsdb-client, ovsdb-tool.

pub mod appctl;
pub mod ctl;
pub mod dpctl;
pub mod ofctl;
pub mod ovsdb_client;
pub mod ovsdb_tool;
pub mod vsctl;
pub mod vtep;
