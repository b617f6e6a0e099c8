//! After a commit: waiting for ovs-vswitchd, and telling what it could not set up.
//!
//! Where it sits: `mod.rs` calls it unless `--no-wait` was given.

use std::collections::BTreeSet;
use std::process::ExitCode;

use daemon::{dirs, program};
use ovsdb::{Atom, Datum};
use ovsdb_idl::Txn;
use stream::replicated::Replicated;

use crate::ctl::context::Failure;
use crate::ctl::options::Options;
use crate::ctl::run::step;

/// Exit status if ovs-vswitchd could not set an interface up.
const RELOAD_FAILED: u8 = 65;

/// Waits until ovs-vswitchd has taken the configuration over.
pub(super) async fn wait(db: &mut Replicated, next_cfg: i64, options: &Options) -> Result<(), Failure> {
    loop {
        let txn = Txn::new(db.idl().replica());
        let done = txn.rows("Open_vSwitch").iter().any(|row| {
            let cur = txn
                .get("Open_vSwitch", row.uuid(), "cur_cfg")
                .and_then(Datum::single)
                .and_then(Atom::as_integer);
            cur.is_some_and(|cur| cur >= next_cfg)
        });
        if done {
            return Ok(());
        }
        step(db, options).await?;
    }
}

/// Tells which of the added interfaces ovs-vswitchd could not set up.
pub(super) fn check_interfaces(db: &Replicated, added: &[String]) -> ExitCode {
    let txn = Txn::new(db.idl().replica());
    let added: BTreeSet<&str> = added.iter().map(String::as_str).collect();
    let mut failed = false;
    for row in txn.rows("Interface") {
        let get = |column| txn.get("Interface", row.uuid(), column).and_then(Datum::single);
        let name = get("name").and_then(Atom::as_str).unwrap_or_default();
        if !added.contains(name) || get("ofport").and_then(Atom::as_integer) != Some(-1) {
            continue;
        }
        let error = get("error").and_then(Atom::as_str);
        let what = match error {
            Some(error) => format!(
                "Error detected while setting up '{name}': {error}.  See ovs-vswitchd log for details."
            ),
            None => format!("Error detected while setting up '{name}'.  See ovs-vswitchd log for details."),
        };
        eprintln!("{}: {what}", program::name());
        failed = true;
    }
    if failed {
        eprintln!("{}: The default log directory is \"{}\".", program::name(), dirs::logdir().display());
        return ExitCode::from(RELOAD_FAILED);
    }
    ExitCode::SUCCESS
}
