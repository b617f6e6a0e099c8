//! One run of a program: connect, carry the commands out, print, and wait for the daemon where there is one.
//!
//! Where it sits: called by the binaries' `main`.
//!
//! ~~~text
//! connect ─► replica ─► run all commands over one transaction ─► commit ─► print ─► wait for the daemon
//!               ▲                                              │ changed meanwhile
//!               └──────────────────────────────────────────────┘
//! ~~~

use std::process::ExitCode;

use daemon::{Clock, program, tool, vlog};
use ovsdb::Uuid;
use ovsdb::table::Printer;
use ovsdb_idl::{Choice, Fitness, Idl, Outcome, State, Txn, Wanted};
use stream::jsonrpc;
use stream::replicated::Replicated;

use super::command::{Access, Invocation, parse};
use super::context::{Context, Failure, Output, Symbols};
use super::database::COMMANDS as DATABASE_COMMANDS;
use super::needs::Needs;
use super::options::{self, Options};
use super::program::Program;

/// The whole program.
pub fn main<P: Program>() -> ExitCode {
    daemon::init();
    vlog::add_modules(&["db_ctl_base", "process", P::LOG]);
    let _ = vlog::set("any:console:warn");
    let _ = vlog::set("reconnect:warn");
    let mut options = options::read::<P>();
    let of_first = std::mem::take(&mut options.of_first);
    let commands = parse(&options::all_commands::<P>(), of_first, std::mem::take(&mut options.args));
    let commands = match commands {
        Ok(commands) => commands,
        Err(failure) => return report(&failure),
    };
    match tool::run(options.timeout, carry_out::<P>(&options, &commands)) {
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
    outputs: Vec<Output>,
    added: Vec<String>,
    try_again: bool,
}

async fn carry_out<P: Program>(options: &Options, commands: &[Invocation]) -> Result<ExitCode, Failure> {
    let clock = Clock::new();
    let mut session = jsonrpc::Options::default();
    session.reconnect.probe_interval = 0;
    if !options.retry && !options.remotes.iter().any(|r| stream::name::is_passive(r)) {
        session.reconnect.tries = Some(options.remotes.len() as u32);
    }
    let dial = |wanted| {
        let fitness = if options.leader_only { Fitness::Leader } else { Fitness::Member };
        let idl = Idl::new(P::DATABASE, wanted).with_fitness(fitness);
        // Records are looked up by what they are called.
        let idl = P::IDENTITIES.iter().fold(idl, |idl, i| idl.with_index(i.holder(), &[i.key]));
        Replicated::dial(options.in_order_of_trial(), idl, session.clone(), &clock)
    };
    let mut db = dial(Wanted::Columns(needed::<P>(options, commands)));
    let args: Vec<String> = std::env::args().collect();
    let may_change = commands.iter().any(|command| command.syntax.access == Access::ReadWrite);
    let level = if may_change { log::Level::Info } else { log::Level::Debug };
    log::log!(target: P::LOG, level, "Called as {}", args.join(" "));
    loop {
        synced(&mut db, options).await?;
        let seqno = db.idl().seqno();
        let mut txn = Txn::new(db.idl().replica());
        let attempt = attempt::<P>(&mut txn, options, commands);
        if txn.has_missed() {
            log::debug!(target: P::LOG, "commands look at more than was asked for, asking for everything");
            db = dial(Wanted::Everything);
            continue;
        }
        let attempt = attempt?;
        if attempt.try_again {
            wait_for_change(&mut db, seqno, options).await?;
            continue;
        }
        txn.comment(&format!("{}: {}", program::name(), args.join(" ")));
        let outcome = if options.dry_run { Outcome::Unchanged } else { db.commit(txn).await };
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
        return match next_cfg {
            Some(next_cfg) if options.wait => P::finish(&mut db, next_cfg, &attempt.added, options).await,
            _ => Ok(ExitCode::SUCCESS),
        };
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

/// Lets the replica take in one more message.
pub async fn step(db: &mut Replicated, options: &Options) -> Result<(), Failure> {
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

/// What the commands look at, and what is looked at besides.
fn needed<P: Program>(options: &Options, commands: &[Invocation]) -> Choice {
    let (wait, commands) = (options.wait, commands.to_vec());
    Choice::new(move |schema| {
        let mut needs = Needs::new(schema, P::IDENTITIES);
        for call in &commands {
            P::needs(call, wait && call.syntax.access == Access::ReadWrite, &mut needs);
            if DATABASE_COMMANDS.iter().any(|c| c.name == call.syntax.name) {
                needs.add_of_database_command(call);
            }
        }
        needs.into_columns()
    })
}

/// Runs every command over one transaction.
fn attempt<P: Program>(
    txn: &mut Txn,
    options: &Options,
    commands: &[Invocation],
) -> Result<Attempt, Failure> {
    let mut cache = None;
    let mut symbols = Symbols::default();
    let (mut outputs, mut added, mut try_again) = (Vec::new(), Vec::new(), false);
    for call in commands {
        let mut cx = Context {
            txn: &mut *txn,
            cache: &mut cache,
            call,
            symbols: &mut symbols,
            identities: P::IDENTITIES,
            output: Output::default(),
            try_again: false,
            added_interfaces: &mut added,
        };
        P::prepare(&mut cx, options.wait && call.syntax.access == Access::ReadWrite);
        (call.syntax.run)(&mut cx)?;
        try_again |= cx.try_again;
        outputs.push(std::mem::take(&mut cx.output));
        if try_again {
            break;
        }
    }
    if !try_again {
        symbols.check(P::LOG)?;
    }
    Ok(Attempt { outputs, added, try_again })
}

fn print(options: &Options, outputs: Vec<Output>, inserted: &std::collections::BTreeMap<Uuid, Uuid>) {
    let mut printer = Printer::new(options.style);
    for mut output in outputs {
        if let Some(provisional) = output.created {
            let uuid = inserted.get(&provisional).copied().unwrap_or(provisional);
            output.text.push_str(&format!("{uuid}\n"));
        }
        if let Some(table) = &output.table {
            print!("{}{}", output.text, printer.print(table));
        } else if options.oneline {
            let text = output.text.strip_suffix('\n').unwrap_or(&output.text);
            println!("{}", text.replace('\\', "\\\\").replace('\n', "\\n"));
        } else {
            print!("{}", output.text);
        }
    }
}
