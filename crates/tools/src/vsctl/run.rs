//! One run of ovs-vsctl: connect, carry the commands out, wait for ovs-vswitchd, print.
//!
//! Where it sits: called by the binary's `main`.

use std::process::ExitCode;

use daemon::{Clock, dirs, program, tool, vlog};
use ovsdb::table::Printer;
use ovsdb::{Atom, Datum, Uuid};
use ovsdb_idl::{Idl, Outcome, State, Txn, Wanted};
use stream::jsonrpc;
use stream::replicated::Replicated;

use super::options::{self, Options};
use super::{IDENTITIES, all_commands, root};
use crate::ctl::command::{Access, Invocation, parse};
use crate::ctl::context::{Context, Failure, Output, Symbols};

/// Exit status if ovs-vswitchd could not set an interface up.
const RELOAD_FAILED: u8 = 65;

/// The whole program.
pub fn main() -> ExitCode {
    daemon::init();
    let _ = vlog::set("any:console:warn");
    let _ = vlog::set("reconnect:warn");
    let mut options = options::read();
    let of_first = std::mem::take(&mut options.of_first);
    let commands = parse(&all_commands(), of_first, std::mem::take(&mut options.args));
    let commands = match commands {
        Ok(commands) => commands,
        Err(failure) => return report(&failure),
    };
    match tool::run(options.timeout, carry_out(&options, &commands)) {
        Ok(code) => code,
        Err(failure) => report(&failure),
    }
}

fn report(failure: &Failure) -> ExitCode {
    if !failure.text.is_empty() {
        eprintln!("{}: {}", program::name(), failure.text);
    }
    ExitCode::from(failure.status)
}

/// What one run over the replica gave.
struct Attempt {
    txn: Txn,
    outputs: Vec<Output>,
    added: Vec<String>,
    try_again: bool,
}

async fn carry_out(options: &Options, commands: &[Invocation]) -> Result<ExitCode, Failure> {
    let clock = Clock::new();
    let mut session = jsonrpc::Options::default();
    session.reconnect.probe_interval = 0;
    if !options.retry && options.remotes.iter().all(|r| stream::name::is_active(r)) {
        session.reconnect.tries = Some(options.remotes.len() as u32);
    }
    let idl = Idl::new("Open_vSwitch", Wanted::Everything);
    let mut db = Replicated::dial(options.remotes.clone(), idl, session, &clock);
    let args: Vec<String> = std::env::args().collect();
    log::info!(target: "vsctl", "Called as {}", args.join(" "));
    loop {
        synced(&mut db, options).await?;
        let seqno = db.idl().seqno();
        let mut attempt = attempt(&db, options, commands)?;
        if attempt.try_again {
            wait_for_change(&mut db, seqno, options).await?;
            continue;
        }
        attempt.txn.comment(&format!("{}: {}", program::name(), args.join(" ")));
        let outcome = if options.dry_run { Outcome::Unchanged } else { db.commit(attempt.txn).await };
        let (inserted, next_cfg) = match outcome {
            Outcome::Unchanged => Default::default(),
            Outcome::Committed { inserted, incremented } => (inserted, incremented),
            Outcome::TryAgain => {
                wait_for_change(&mut db, seqno, options).await?;
                continue;
            }
            Outcome::NotLocked => return Err("database not locked".into()),
            Outcome::Error(text) => {
                log::warn!(target: "ovsdb_idl", "transaction error: {text}");
                return Err(format!("transaction error: {text}").into());
            }
        };
        print(options, attempt.outputs, &inserted);
        let reload = match next_cfg {
            Some(next_cfg) if options.wait => {
                wait_for_reload(&mut db, next_cfg, options).await?;
                check_interfaces(&db, &attempt.added)
            }
            _ => ExitCode::SUCCESS,
        };
        return Ok(reload);
    }
}

/// Waits until the replica follows the database.
async fn synced(db: &mut Replicated, options: &Options) -> Result<(), Failure> {
    loop {
        match db.idl().state() {
            State::Synced => return Ok(()),
            State::Failed(why) => return Err(format!("{}: {why}", options.remotes.join(",")).into()),
            _ => step(db, options).await?,
        }
    }
}

async fn step(db: &mut Replicated, options: &Options) -> Result<(), Failure> {
    if db.next().await {
        return Ok(());
    }
    let why = db.session().machine().last_error().unwrap_or("End of file").to_owned();
    Err(format!("{}: database connection failed ({why})", options.remotes.join(",")).into())
}

async fn wait_for_change(db: &mut Replicated, seqno: u64, options: &Options) -> Result<(), Failure> {
    while db.idl().seqno() == seqno {
        step(db, options).await?;
    }
    Ok(())
}

/// Runs every command over one transaction.
fn attempt(db: &Replicated, options: &Options, commands: &[Invocation]) -> Result<Attempt, Failure> {
    let mut txn = Txn::new(db.idl().replica());
    let mut symbols = Symbols::default();
    let (mut outputs, mut added, mut try_again) = (Vec::new(), Vec::new(), false);
    for call in commands {
        let mut cx = Context {
            txn: &mut txn,
            call,
            symbols: &mut symbols,
            identities: IDENTITIES,
            output: Output::default(),
            try_again: false,
            added_interfaces: &mut added,
        };
        let row = root(&mut cx);
        if options.wait && call.syntax.access == Access::ReadWrite {
            cx.txn.increment("Open_vSwitch", row, "next_cfg");
        }
        (call.syntax.run)(&mut cx)?;
        try_again |= cx.try_again;
        outputs.push(std::mem::take(&mut cx.output));
        if try_again {
            break;
        }
    }
    if !try_again {
        symbols.check()?;
    }
    Ok(Attempt { txn, outputs, added, try_again })
}

fn print(options: &Options, outputs: Vec<Output>, inserted: &std::collections::BTreeMap<Uuid, Uuid>) {
    let mut printer = Printer::new(options.style);
    for mut output in outputs {
        if let Some(provisional) = output.created {
            let uuid = inserted.get(&provisional).copied().unwrap_or(provisional);
            output.text.push_str(&format!("{uuid}\n"));
        }
        if let Some(table) = &output.table {
            output.text.push_str(&printer.print(table));
        }
        if options.oneline {
            let text = output.text.strip_suffix('\n').unwrap_or(&output.text);
            println!("{}", text.replace('\\', "\\\\").replace('\n', "\\n"));
        } else {
            print!("{}", output.text);
        }
    }
}

/// Waits until ovs-vswitchd has taken the configuration over.
async fn wait_for_reload(db: &mut Replicated, next_cfg: i64, options: &Options) -> Result<(), Failure> {
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
fn check_interfaces(db: &Replicated, added: &[String]) -> ExitCode {
    let txn = Txn::new(db.idl().replica());
    let mut failed = false;
    for row in txn.rows("Interface") {
        let get = |column| txn.get("Interface", row.uuid(), column).and_then(Datum::single);
        let name = get("name").and_then(Atom::as_str).unwrap_or_default();
        if !added.iter().any(|a| a == name) || get("ofport").and_then(Atom::as_integer) != Some(-1) {
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
