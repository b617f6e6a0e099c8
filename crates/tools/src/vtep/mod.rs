//! vtep-ctl: queries and changes the database of a hardware VTEP.
//!
//! Where it sits: `src/bin/vtep-ctl.rs` calls [`main`]. Everything but its own commands comes from `ctl`.
//!
//! Spec: vtep-ctl(8), vtep(5). Reading order: `switches`, `ports`, `macs`.

mod macs;
mod ports;
mod switches;

use std::process::ExitCode;

use daemon::getopt::Opt;
use ovsdb::{Atom, Datum, Uuid};
use stream::replicated::Replicated;

use crate::ctl::command::{Access, Invocation, MANY, Syntax};
use crate::ctl::context::{Context, Failure, random_uuid};
use crate::ctl::needs::Needs;
use crate::ctl::options::Options;
use crate::ctl::program::Program;
use crate::ctl::record::Identity;
use crate::ctl::show::{self, Shown};
use crate::ctl::targets::{self, Holder};

/// The whole program.
pub fn main() -> ExitCode {
    crate::ctl::run::main::<Vtep>()
}

/// vtep-ctl among the programs of its kind.
struct Vtep;

impl Program for Vtep {
    const DATABASE: &'static str = "hardware_vtep";
    const SCHEMA: &'static str =
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../ovsdb-server/schema/vtep.ovsschema"));
    const LOG: &'static str = "vtep_ctl";
    const PURPOSE: &'static str = "VTEP configuration utility";
    const OPTIONS: &'static [Opt] = &[];
    const OPTIONS_HELP: &'static str = "";
    const COMMANDS_HELP: &'static str = include_str!("help.txt");
    const IDENTITIES: &'static [Identity] = IDENTITIES;

    fn commands() -> &'static [Syntax] {
        COMMANDS
    }

    fn needs(call: &Invocation, _: bool, needs: &mut Needs<'_>) {
        needs.add("Global", &[]);
        match call.syntax.name {
            "show" => SHOWN.iter().for_each(|shown| shown.needs(needs)),
            "get-manager" | "del-manager" | "set-manager" => {
                needs.add("Global", &["managers"]);
                needs.add("Manager", &["target", "inactivity_probe"]);
            }
            "list-ps" | "ps-exists" => needs.add("Physical_Switch", &["name"]),
            "list-ls" | "ls-exists" => needs.add("Logical_Switch", &["name"]),
            "list-lr" | "lr-exists" => needs.add("Logical_Router", &["name"]),
            name if COMMANDS.iter().any(|c| c.name == name) => needs.add_everything(),
            _ => {}
        }
    }

    fn prepare(cx: &mut Context<'_>, _: bool) {
        root(cx);
    }

    async fn finish(_: &mut Replicated, _: i64, _: &[String], _: &Options) -> Result<ExitCode, Failure> {
        Ok(ExitCode::SUCCESS)
    }
}

crate::ctl::commands! {
    "show" 0..0, "", ["--filter="], ReadOnly, |cx| show::show(cx, SHOWN);

    "get-manager" 0..0, "", [], ReadOnly, |cx| { let to = managers(cx); targets::print(cx, to); Ok(()) };
    "del-manager" 0..0, "", [], ReadWrite, |cx| { let to = managers(cx); targets::replace(cx, to, &[]); Ok(()) };
    "set-manager" 1..MANY, "TARGET...", ["--inactivity-probe="], ReadWrite, set_manager;

    "add-ps" 1..1, "PS", ["--may-exist"], ReadWrite, |cx| switches::add(cx, &switches::PHYSICAL);
    "del-ps" 1..1, "PS", ["--if-exists"], ReadWrite, |cx| switches::delete(cx, &switches::PHYSICAL);
    "list-ps" 0..0, "", [], ReadOnly, |cx| switches::list(cx, &switches::PHYSICAL);
    "ps-exists" 1..1, "PS", [], ReadOnly, |cx| switches::exists(cx, &switches::PHYSICAL);

    "list-ports" 1..1, "PS", [], ReadOnly, ports::list;
    "add-port" 2..2, "PS PORT", ["--may-exist"], ReadWrite, ports::add;
    "del-port" 2..2, "PS PORT", ["--if-exists"], ReadWrite, ports::delete;
    "bind-ls" 4..4, "PS PORT VLAN LS", [], ReadWrite, ports::bind;
    "unbind-ls" 3..3, "PS PORT VLAN", [], ReadWrite, ports::unbind;
    "list-bindings" 2..2, "PS PORT", [], ReadOnly, ports::list_bindings;

    "add-ls" 1..1, "LS", ["--may-exist"], ReadWrite, |cx| switches::add(cx, &switches::LOGICAL);
    "del-ls" 1..1, "LS", ["--if-exists"], ReadWrite, |cx| switches::delete(cx, &switches::LOGICAL);
    "list-ls" 0..0, "", [], ReadOnly, |cx| switches::list(cx, &switches::LOGICAL);
    "ls-exists" 1..1, "LS", [], ReadOnly, |cx| switches::exists(cx, &switches::LOGICAL);
    "set-replication-mode" 2..2, "LS MODE", [], ReadWrite, switches::set_replication_mode;
    "get-replication-mode" 1..1, "LS", [], ReadOnly, switches::get_replication_mode;

    "add-lr" 1..1, "LR", ["--may-exist"], ReadWrite, |cx| switches::add(cx, &switches::ROUTER);
    "del-lr" 1..1, "LR", ["--if-exists"], ReadWrite, |cx| switches::delete(cx, &switches::ROUTER);
    "list-lr" 0..0, "", [], ReadOnly, |cx| switches::list(cx, &switches::ROUTER);
    "lr-exists" 1..1, "LR", [], ReadOnly, |cx| switches::exists(cx, &switches::ROUTER);

    "add-ucast-local" 3..4, "LS MAC [ENCAP] IP", [], ReadWrite, |cx| macs::add_unicast(cx, &macs::LOCAL);
    "del-ucast-local" 2..2, "LS MAC", [], ReadWrite, |cx| macs::delete_unicast(cx, &macs::LOCAL);
    "add-mcast-local" 3..4, "LS MAC [ENCAP] IP", [], ReadWrite, |cx| macs::add_multicast(cx, &macs::LOCAL);
    "del-mcast-local" 3..4, "LS MAC [ENCAP] IP", [], ReadWrite, |cx| macs::delete_multicast(cx, &macs::LOCAL);
    "clear-local-macs" 1..1, "LS", [], ReadWrite, |cx| macs::clear(cx, &macs::LOCAL);
    "list-local-macs" 1..1, "LS", [], ReadOnly, |cx| macs::list(cx, &macs::LOCAL);
    "add-ucast-remote" 3..4, "LS MAC [ENCAP] IP", [], ReadWrite, |cx| macs::add_unicast(cx, &macs::REMOTE);
    "del-ucast-remote" 2..2, "LS MAC", [], ReadWrite, |cx| macs::delete_unicast(cx, &macs::REMOTE);
    "add-mcast-remote" 3..4, "LS MAC [ENCAP] IP", [], ReadWrite, |cx| macs::add_multicast(cx, &macs::REMOTE);
    "del-mcast-remote" 3..4, "LS MAC [ENCAP] IP", [], ReadWrite, |cx| macs::delete_multicast(cx, &macs::REMOTE);
    "clear-remote-macs" 1..1, "LS", [], ReadWrite, |cx| macs::clear(cx, &macs::REMOTE);
    "list-remote-macs" 1..1, "LS", [], ReadOnly, |cx| macs::list(cx, &macs::REMOTE);
}

const fn shown(table: &'static str, name: Option<&'static str>, columns: &'static [&'static str]) -> Shown {
    Shown { table, name, columns, named: None }
}

const SHOWN: &[Shown] = &[
    shown("Global", None, &["managers", "switches"]),
    shown("Manager", Some("target"), &["is_connected"]),
    shown("Physical_Switch", Some("name"), &["management_ips", "tunnel_ips", "ports"]),
    Shown { named: Some(("vlan_bindings", "name")), ..shown("Physical_Port", Some("name"), &[]) },
];

const fn by(table: &'static str, key: &'static str) -> Identity {
    Identity { table, via: None, key }
}

/// How records are named.
const IDENTITIES: &[Identity] = &[
    by("Manager", "target"),
    by("Physical_Switch", "name"),
    by("Physical_Port", "name"),
    by("Logical_Switch", "name"),
    by("Logical_Router", "name"),
];

/// The only record of the Global table; made if there is none.
fn root(cx: &mut Context<'_>) -> Uuid {
    if let Some(row) = cx.txn.rows("Global").first() {
        return row.uuid();
    }
    let uuid = random_uuid();
    cx.txn.insert("Global", uuid);
    uuid
}

fn managers(cx: &mut Context<'_>) -> Holder {
    Holder { table: "Global", row: root(cx), column: "managers", of: "Manager" }
}

fn set_manager(cx: &mut Context<'_>) -> Done {
    let (to, wanted) = (managers(cx), cx.call.args.clone());
    targets::warn_of_typos(Vtep::LOG, &wanted);
    targets::replace(cx, to, &wanted);
    targets::set_probe(cx, to)
}

fn text(s: &str) -> Datum {
    Datum::scalar(Atom::string(s))
}

/// The result of a command.
type Done = Result<(), Failure>;
