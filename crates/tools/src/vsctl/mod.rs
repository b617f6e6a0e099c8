//! ovs-vsctl: queries and changes the configuration of ovs-vswitchd in its database.
//!
//! Where it sits: `src/bin/ovs-vsctl.rs` calls [`main`]. The database commands come from `ctl`.
//!
//! ~~~text
//! connect ─► replica ─► run all commands over one transaction ─► commit ─► wait for ovs-vswitchd ─► print
//!               ▲                                              │ changed meanwhile
//!               └──────────────────────────────────────────────┘
//! ~~~
//!
//! Spec: ovs-vsctl(8). Reading order: `options`, `run`, `model`, `bridges`, `ports`, `remotes`, `zones`.

mod bridges;
mod model;
mod options;
mod ports;
mod remotes;
mod run;
mod zones;

use ovsdb::Uuid;

use crate::ctl::command::{Access, MANY, Syntax};
use crate::ctl::context::{Context, Failure, random_uuid};
use crate::ctl::record::Identity;
use crate::ctl::show::{self, Shown};

pub use run::main;

macro_rules! commands {
    ($($name:literal $min:literal..$max:expr, $arguments:literal, [$($option:literal),*], $access:ident, $run:expr;)+) => {
        const COMMANDS: &[Syntax] = &[$(Syntax {
            name: $name, min: $min, max: $max, arguments: $arguments, options: &[$($option),*],
            access: Access::$access, run: $run,
        }),+];
    };
}

commands! {
    "init" 0..0, "", [], ReadWrite, |cx| { root(cx); Ok(()) };
    "show" 0..0, "", [], ReadOnly, |cx| show::show(cx, SHOWN);
    "emer-reset" 0..0, "", [], ReadWrite, remotes::emer_reset;

    "add-br" 1..3, "NEW-BRIDGE [PARENT] [NEW-VLAN]", ["--may-exist"], ReadWrite, bridges::add_br;
    "del-br" 1..1, "BRIDGE", ["--if-exists"], ReadWrite, bridges::del_br;
    "list-br" 0..0, "", ["--real", "--fake"], ReadOnly, bridges::list_br;
    "br-exists" 1..1, "BRIDGE", [], ReadOnly, bridges::br_exists;
    "br-to-vlan" 1..1, "BRIDGE", [], ReadOnly, bridges::br_to_vlan;
    "br-to-parent" 1..1, "BRIDGE", [], ReadOnly, bridges::br_to_parent;
    "br-set-external-id" 2..3, "BRIDGE KEY [VALUE]", [], ReadWrite, bridges::br_set_external_id;
    "br-get-external-id" 1..2, "BRIDGE [KEY]", [], ReadOnly, bridges::br_get_external_id;

    "list-ports" 1..1, "BRIDGE", [], ReadOnly, ports::list_ports;
    "add-port" 2..MANY, "BRIDGE NEW-PORT [COLUMN[:KEY]=VALUE]...", ["--may-exist"], ReadWrite, ports::add_port;
    "del-port" 1..2, "[BRIDGE] PORT|IFACE", ["--if-exists", "--with-iface"], ReadWrite, ports::del_port;
    "port-to-br" 1..1, "PORT", [], ReadOnly, ports::port_to_br;
    "add-bond" 4..MANY, "BRIDGE BOND IFACE... [COLUMN[:KEY]=VALUE]...", ["--may-exist", "--fake-iface"], ReadWrite, ports::add_bond;
    "add-bond-iface" 2..2, "BOND IFACE", ["--may-exist"], ReadWrite, ports::add_bond_iface;
    "del-bond-iface" 1..2, "[BOND] IFACE", ["--if-exists"], ReadWrite, ports::del_bond_iface;
    "list-ifaces" 1..1, "BRIDGE", [], ReadOnly, ports::list_ifaces;
    "iface-to-br" 1..1, "IFACE", [], ReadOnly, ports::iface_to_br;

    "get-controller" 1..1, "BRIDGE", [], ReadOnly, remotes::get_controller;
    "del-controller" 1..1, "BRIDGE", [], ReadWrite, remotes::del_controller;
    "set-controller" 1..MANY, "BRIDGE TARGET...", ["--inactivity-probe="], ReadWrite, remotes::set_controller;
    "get-fail-mode" 1..1, "BRIDGE", [], ReadOnly, remotes::get_fail_mode;
    "del-fail-mode" 1..1, "BRIDGE", [], ReadWrite, remotes::del_fail_mode;
    "set-fail-mode" 2..2, "BRIDGE MODE", [], ReadWrite, remotes::set_fail_mode;
    "get-manager" 0..0, "", [], ReadOnly, remotes::get_manager;
    "del-manager" 0..0, "", [], ReadWrite, remotes::del_manager;
    "set-manager" 1..MANY, "TARGET...", ["--inactivity-probe="], ReadWrite, remotes::set_manager;
    "get-ssl" 0..0, "", [], ReadOnly, remotes::get_ssl;
    "del-ssl" 0..0, "", [], ReadWrite, remotes::del_ssl;
    "set-ssl" 3..3, "PRIVATE-KEY CERTIFICATE CA-CERT", ["--bootstrap"], ReadWrite, remotes::set_ssl;

    "add-zone-tp" 2..MANY, "DATAPATH zone=ZONE POLICIES", ["--may-exist"], ReadWrite, zones::add_zone_tp;
    "del-zone-tp" 2..2, "DATAPATH zone=ZONE", ["--if-exists"], ReadWrite, zones::del_zone_tp;
    "list-zone-tp" 1..1, "DATAPATH", [], ReadOnly, zones::list_zone_tp;
    "set-zone-limit" 3..3, "DATAPATH ZONE|default LIMIT", [], ReadWrite, zones::set_zone_limit;
    "del-zone-limit" 2..2, "DATAPATH ZONE|default", ["--if-exists"], ReadWrite, zones::del_zone_limit;
    "list-zone-limits" 1..1, "DATAPATH", [], ReadOnly, zones::list_zone_limits;
    "list-dp-cap" 1..1, "DATAPATH", [], ReadOnly, zones::list_dp_cap;
}

/// Every command.
fn all_commands() -> Vec<Syntax> {
    [COMMANDS, crate::ctl::database::COMMANDS].concat()
}

const SHOWN: &[Shown] = &[
    Shown { table: "Open_vSwitch", name: None, columns: &["manager_options", "bridges", "ovs_version"] },
    Shown {
        table: "Bridge",
        name: Some("name"),
        columns: &["controller", "fail_mode", "datapath_type", "ports"],
    },
    Shown { table: "Port", name: Some("name"), columns: &["tag", "trunks", "interfaces"] },
    Shown { table: "Interface", name: Some("name"), columns: &["type", "options", "error"] },
    Shown { table: "Controller", name: Some("target"), columns: &["is_connected"] },
    Shown { table: "Manager", name: Some("target"), columns: &["is_connected"] },
];

const fn by(table: &'static str, key: &'static str) -> Identity {
    Identity { table, via: None, key }
}

const fn through(table: &'static str, holder: &'static str, column: &'static str) -> Identity {
    Identity { table, via: Some((holder, column)), key: "name" }
}

/// How records are named.
const IDENTITIES: &[Identity] = &[
    by("Bridge", "name"),
    through("Controller", "Bridge", "controller"),
    by("Interface", "name"),
    by("Mirror", "name"),
    by("Manager", "target"),
    through("NetFlow", "Bridge", "netflow"),
    by("Port", "name"),
    through("QoS", "Port", "qos"),
    through("sFlow", "Bridge", "sflow"),
    by("Flow_Table", "name"),
    through("IPFIX", "Bridge", "ipfix"),
    through("AutoAttach", "Bridge", "auto_attach"),
];

/// The only record of the Open_vSwitch table; made if there is none.
fn root(cx: &mut Context<'_>) -> Uuid {
    if let Some(row) = cx.txn.rows("Open_vSwitch").first() {
        return row.uuid();
    }
    let uuid = random_uuid();
    cx.txn.insert("Open_vSwitch", uuid);
    uuid
}

/// The result of a command.
type Done = Result<(), Failure>;
