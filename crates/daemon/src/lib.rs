//! What every daemon needs: clock, log, pid file, detaching, run-time control.
//!
//! Where it sits: between `stream` and the daemons and tools. Daemons call `start`, `unixctl` and `vlog`; tools call `getopt`, `vlog`,
//! `pidfile` and `tool`. It knows nothing of switches and databases.
//!
//! A whole daemon:
//!
//! ~~~no_run
//! use std::process::ExitCode;
//!
//! use daemon::getopt::{Getopt, Opt, Order};
//! use daemon::{Daemon, Exit, Options, program, vlog};
//!
//! fn main() -> ExitCode {
//!     daemon::init();
//!     let table = [&[Opt::required("greeting")], daemon::OPTIONS, vlog::OPTIONS].concat();
//!     let (mut options, mut greeting) = (Options::default(), "hello".to_owned());
//!     let mut getopt = Getopt::from_env(&table, Order::Permute);
//!     loop {
//!         match getopt.next() {
//!             Ok(Some(("greeting", Some(text)))) => greeting = text,
//!             Ok(Some((name, value))) => match options.accept(name, value.as_deref()) {
//!                 Ok(_) => {}
//!                 Err(error) => program::exit_with(&error),
//!             },
//!             Ok(None) => break,
//!             Err(error) => program::exit_with(&error.to_string()),
//!         }
//!     }
//!     // Forks here if asked: before any thread, file or socket of the daemon's own.
//!     let daemon = Daemon::start(&options).unwrap_or_else(|error| program::exit_with(&error.to_string()));
//!     daemon.run(async |handle| {
//!         let exit = Exit::register(handle.commands());
//!         handle.commands().register("greet", "[NAME]", 0..=1, move |call| {
//!             let text = format!("{greeting}, {}", call.arg(0).unwrap_or("world"));
//!             call.reply(text);
//!         });
//!         // Sockets are opened here; errors until `ready` reach whoever started the daemon.
//!         handle.ready();
//!         log::info!(target: "greeter", "{}", daemon::version::banner(program::name()));
//!         exit.requested().await;
//!         exit.reply();
//!         ExitCode::SUCCESS
//!     })
//! }
//! ~~~
//! State that commands and the main loop share lives in an `Rc<RefCell<…>>`: everything runs in one thread. A handler may also keep
//! its `Call` and answer later, or send it to another thread.
//!
//! Reading order: `start`, `detach`, `pidfile`, `vlog`, `unixctl`, `coverage`, `memory`, `getopt`, `tls`, `replay`, `usage`, `tool`.

pub mod coverage;
mod detach;
mod exit;
pub mod getopt;
pub mod memory;
pub mod pidfile;
pub mod program;
pub mod replay;
mod start;
mod sys;
mod time_commands;
pub mod tls;
pub mod tool;
pub mod unixctl;
pub mod usage;
mod user;
pub mod version;
pub mod vlog;

pub use exit::Exit;
pub use rustix::thread::CapabilitySet;
pub use start::{Daemon, Handle, OPTIONS, Options, StartError};
pub use stream::Clock;
pub use stream::dirs;

/// Names the program after the first argument sets up its log, and lets faults kill. The first thing in every `main`.
pub fn init() {
    program::set_name(&std::env::args_os().next().unwrap_or_default().to_string_lossy());
    vlog::init();
    sys::die_of_faults();
}
