//! What distinguishes the programs that change a database by chains of commands.
//!
//! Where it sits: ovs-vsctl and vtep-ctl each implement [`Program`]; `options` and `run` are written over it.

use std::process::ExitCode;

use daemon::getopt::Opt;
use stream::replicated::Replicated;

use super::command::{Invocation, Syntax};
use super::context::{Context, Failure};
use super::needs::Needs;
use super::options::Options;
use super::record::Identity;

/// A program.
pub trait Program {
    /// The database that it works on.
    const DATABASE: &'static str;
    /// The schema of that database which this version of the program was made for, as JSON.
    const SCHEMA: &'static str;
    /// Its name in the log.
    const LOG: &'static str;
    /// What it is, for the first line of its usage.
    const PURPOSE: &'static str;
    /// Options that only this program has.
    const OPTIONS: &'static [Opt];
    /// What `--help` says of them.
    const OPTIONS_HELP: &'static str;
    /// What `--help` says of its own commands.
    const COMMANDS_HELP: &'static str;
    /// How records are named.
    const IDENTITIES: &'static [Identity];

    /// Its own commands; the database commands come besides.
    fn commands() -> &'static [Syntax];

    /// What one of its own commands looks at, what [`Program::prepare`] and [`Program::finish`] look at included; `wait` tells
    /// whether the daemon will be waited for.
    fn needs(call: &Invocation, wait: bool, needs: &mut Needs<'_>);

    /// Done before each command; `wait` tells whether the daemon has to be told of the change.
    fn prepare(cx: &mut Context<'_>, wait: bool);

    /// Done after a commit that took the number `next_cfg`: waits for the daemon, and reports what it could not do.
    fn finish(
        db: &mut Replicated,
        next_cfg: i64,
        added: &[String],
        options: &Options,
    ) -> impl Future<Output = Result<ExitCode, Failure>>;
}
