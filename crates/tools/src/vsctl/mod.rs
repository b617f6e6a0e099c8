//! ovs-vsctl: queries and changes the configuration of ovs-vswitchd in its database.
//!
//! Where it sits: `src/bin/ovs-vsctl.rs` calls [`main`]. The database commands come from `ctl`.
//!
//! Spec: ovs-vsctl(8). Reading order: `model`, `bridges`, `ports`, `remotes`, `auto_attach`, `zones`, `reload`.

mod auto_attach;
mod bridges;
mod model;
mod ports;
mod reload;
mod remotes;
mod zones;

use std::process::ExitCode;

use daemon::getopt::Opt;
use ovsdb::Uuid;
use stream::replicated::Replicated;

use crate::ctl::command::{Access, Invocation, MANY, Syntax};
use crate::ctl::context::{Context, Failure, random_uuid};
use crate::ctl::needs::Needs;
use crate::ctl::options::Options;
use crate::ctl::program::Program;
use crate::ctl::record::Identity;
use crate::ctl::show::{self, Shown};

/// The whole program.
pub fn main() -> ExitCode {
    daemon::vlog::add_modules(&["vconn", "vconn_stream"]);
    crate::ctl::run::main::<Vsctl>()
}

/// ovs-vsctl among the programs of its kind.
struct Vsctl;

impl Program for Vsctl {
    const DATABASE: &'static str = "Open_vSwitch";
    const SCHEMA: &'static str =
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../ovsdb-server/schema/vswitch.ovsschema"));
    const LOG: &'static str = "vsctl";
    const PURPOSE: &'static str = "ovs-vswitchd management utility";
    const OPTIONS: &'static [Opt] = &[
        Opt::flag("no-wait"),
        Opt::flag("retry"),
        Opt::flag("commands"),
        Opt::flag("options"),
        Opt::flag("leader-only"),
        Opt::flag("no-leader-only"),
        Opt::flag("shuffle-remotes"),
        Opt::flag("no-shuffle-remotes"),
    ];
    const OPTIONS_HELP: &'static str =
        "  --no-wait                   do not wait for ovs-vswitchd to reconfigure
  --retry                     keep trying to connect to server forever
  --no-leader-only            take any server of a cluster, not only its leader
  --no-shuffle-remotes        try remotes in the order of --db
";
    const COMMANDS_HELP: &'static str = include_str!("help.txt");
    const IDENTITIES: &'static [Identity] = IDENTITIES;

    fn commands() -> &'static [Syntax] {
        COMMANDS
    }

    fn needs(call: &Invocation, wait: bool, needs: &mut Needs<'_>) {
        needs.add("Open_vSwitch", &[]);
        if wait {
            needs.add("Open_vSwitch", &["cur_cfg"]);
            needs.add("Interface", &["name", "ofport", "error"]);
        }
        needs_of(call.syntax.name, needs);
    }

    fn prepare(cx: &mut Context<'_>, wait: bool) {
        let row = root(cx);
        if wait {
            cx.txn.increment("Open_vSwitch", row, "next_cfg");
        }
    }

    async fn finish(
        db: &mut Replicated,
        next_cfg: i64,
        added: &[String],
        options: &Options,
    ) -> Result<ExitCode, Failure> {
        reload::wait(db, next_cfg, options).await?;
        Ok(reload::check_interfaces(db, added))
    }
}

crate::ctl::commands! {
    "init" 0..0, "", [], ReadWrite, |cx| { root(cx); Ok(()) };
    "show" 0..0, "", ["--filter="], ReadOnly, |cx| show::show(cx, SHOWN);
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

    "add-aa-mapping" 3..3, "BRIDGE ARG ARG", [], ReadWrite, auto_attach::add;
    "del-aa-mapping" 3..3, "BRIDGE ARG ARG", [], ReadWrite, auto_attach::delete;
    "get-aa-mapping" 1..1, "BRIDGE", [], ReadOnly, auto_attach::list;

    "add-zone-tp" 3..MANY, "DATAPATH zone=ZONE POLICIES", ["--may-exist"], ReadWrite, zones::add_zone_tp;
    "del-zone-tp" 2..2, "DATAPATH zone=ZONE", ["--if-exists"], ReadWrite, zones::del_zone_tp;
    "list-zone-tp" 1..1, "DATAPATH", [], ReadOnly, zones::list_zone_tp;
    "set-zone-limit" 3..3, "DATAPATH ZONE|default LIMIT", [], ReadWrite, zones::set_zone_limit;
    "del-zone-limit" 2..2, "DATAPATH ZONE|default", ["--if-exists"], ReadWrite, zones::del_zone_limit;
    "list-zone-limits" 1..1, "DATAPATH", [], ReadOnly, zones::list_zone_limits;
    "list-dp-cap" 1..1, "DATAPATH", [], ReadOnly, zones::list_dp_cap;
}

/// What a command of this program's own looks at.
fn needs_of(command: &str, needs: &mut Needs<'_>) {
    let own = COMMANDS.iter().any(|c| c.name == command);
    if !own || command == "init" {
        return;
    }
    match command {
        "show" => return SHOWN.iter().for_each(|shown| shown.needs(needs)),
        "emer-reset" => return needs.add_everything(),
        "get-manager" | "del-manager" | "set-manager" => {
            needs.add("Open_vSwitch", &["manager_options"]);
            return needs.add("Manager", &["target", "inactivity_probe"]);
        }
        "get-ssl" | "del-ssl" | "set-ssl" => {
            needs.add("Open_vSwitch", &["ssl"]);
            return needs.add_all("SSL");
        }
        name if name.ends_with("-zone-tp") || name.contains("-zone-limit") || name == "list-dp-cap" => {
            needs.add("Open_vSwitch", &["datapaths"]);
            return ["Datapath", "CT_Zone", "CT_Timeout_Policy"].iter().for_each(|t| needs.add_all(t));
        }
        "br-set-external-id" | "br-get-external-id" => {
            ["Bridge", "Port"].iter().for_each(|table| needs.add(table, &["external_ids"]));
        }
        "get-controller" | "del-controller" | "set-controller" => {
            needs.add("Bridge", &["controller"]);
            needs.add("Controller", &["target", "inactivity_probe"]);
        }
        "get-fail-mode" | "del-fail-mode" | "set-fail-mode" => needs.add("Bridge", &["fail_mode"]),
        "add-aa-mapping" | "del-aa-mapping" | "get-aa-mapping" => {
            needs.add("Bridge", &["auto_attach"]);
            needs.add("AutoAttach", &["mappings"]);
        }
        _ => {}
    }
    // The others are about bridges, ports and interfaces.
    needs.add("Open_vSwitch", &["bridges"]);
    model::COLUMNS.iter().for_each(|(table, columns)| needs.add(table, columns));
}

const fn shown(table: &'static str, name: Option<&'static str>, columns: &'static [&'static str]) -> Shown {
    Shown { table, name, columns, named: None }
}

const SHOWN: &[Shown] = &[
    shown("Open_vSwitch", None, &["manager_options", "bridges", "ovs_version"]),
    shown("Bridge", Some("name"), &["controller", "fail_mode", "datapath_type", "ports"]),
    shown("Port", Some("name"), &["tag", "trunks", "interfaces"]),
    shown("Interface", Some("name"), &["type", "options", "error"]),
    shown("Controller", Some("target"), &["is_connected"]),
    shown("Manager", Some("target"), &["is_connected"]),
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
    by("Flow_Sample_Collector_Set", "id"),
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
