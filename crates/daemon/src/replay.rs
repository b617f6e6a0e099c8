//! The options `--record` and `--replay`.
//!
//! Where it sits: programs that have them join `OPTIONS` to their own and call `accept`.
//!
//! Spec: ovsdb-server(1), ovsdb-client(1).

use stream::replay::{self, Mode};

use crate::getopt::Opt;
use crate::program;

/// The options.
pub const OPTIONS: &[Opt] = &[Opt::optional("record"), Opt::optional("replay")];

/// What `--help` says of them.
pub const USAGE: &str = "\
Replay options:
  --record[=DIR]            turn on writing replay files
  --replay[=DIR]            run from replay files
";

/// Takes one of `OPTIONS`; `false` if `name` is none. To be called before anything is opened.
pub fn accept(name: &str, folder: Option<&str>) -> bool {
    let Some(mode) = Mode::of_option(name) else { return false };
    if !replay::begin(mode, folder) {
        program::exit_with("--record and --replay options are mutually exclusive.");
    }
    true
}
