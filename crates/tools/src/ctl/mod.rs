//! What ovs-vsctl and vtep-ctl share: commands in chains, and the database commands (`list`, `set`, `create`, …).
//!
//! Where it sits: between a program's own commands and the replica. It knows tables and columns only by their schema.
//!
//! ~~~text
//! arguments ─ command ─► invocations ─► each runs over one Txn (context) ─► commit ─► output
//! ~~~
//!
//! A command reads and changes the database through the transaction alone. If what it relied on has changed by the time
//! of the commit, everything is run again; so output is collected and printed only at the end.
//!
//! Reading order: `program`, `options`, `usage`, `run`, `command`, `context`, `record`, `column`, `database`, `needs`, `targets`, `show`.

pub mod column;
pub mod command;
pub mod context;
pub mod database;
pub mod needs;
pub mod options;
pub mod program;
pub mod record;
pub mod run;
pub mod show;
pub mod targets;
mod usage;

pub use command::{Access, Invocation, Syntax};
pub use context::{Context, Failure};
pub use program::Program;

/// The table of a program's commands: name, how many arguments, what they are called, options, what it does to the
/// database, and the function.
macro_rules! commands {
    ($($name:literal $min:literal..$max:expr, $arguments:literal, [$($option:literal),*], $access:ident, $run:expr;)+) => {
        const COMMANDS: &[Syntax] = &[$(Syntax {
            name: $name, min: $min, max: $max, arguments: $arguments, options: &[$($option),*],
            access: Access::$access, run: $run,
        }),+];
    };
}
pub(crate) use commands;
