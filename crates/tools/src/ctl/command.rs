//! Commands: their syntax as data, and splitting a command line into invocations.
//!
//! Where it sits: each program lists its commands as [`Syntax`] rows; parsing, usage checks and `--commands` follow.

use std::collections::BTreeMap;

use daemon::getopt::{Opt, Value};

use super::context::{Context, Failure};

/// Whether a command may change the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It only reads.
    ReadOnly,
    /// It may change.
    ReadWrite,
}

/// One command.
#[derive(Clone, Copy)]
pub struct Syntax {
    /// Its name.
    pub name: &'static str,
    /// Fewest arguments.
    pub min: usize,
    /// Most arguments.
    pub max: usize,
    /// Its arguments, for `--commands`.
    pub arguments: &'static str,
    /// Its options, with `=` behind those that take a value: `--if-exists`, `--columns=`.
    pub options: &'static [&'static str],
    /// Whether it changes the database.
    pub access: Access,
    /// What it does.
    pub run: fn(&mut Context<'_>) -> Result<(), Failure>,
}

/// Any number of arguments.
pub const MANY: usize = usize::MAX;

/// A command with its arguments and options.
#[derive(Clone)]
pub struct Invocation {
    /// The command.
    pub syntax: Syntax,
    /// Its arguments, without its name.
    pub args: Vec<String>,
    /// Its options, without their values' `=`, each with its value if it takes one.
    pub options: BTreeMap<&'static str, Option<String>>,
}

impl Invocation {
    /// True if an option was given.
    pub fn has(&self, option: &str) -> bool {
        self.options.contains_key(option)
    }

    /// The value of an option, if given.
    pub fn value(&self, option: &str) -> Option<&str> {
        self.options.get(option)?.as_deref()
    }
}

/// The options of all commands, as rows of an option table: they may stand before the first command.
pub fn options_of(commands: &[Syntax]) -> Vec<Opt> {
    let mut table: Vec<Opt> = Vec::new();
    for text in commands.iter().flat_map(|c| c.options) {
        let name = text.trim_start_matches('-').trim_end_matches('=');
        let value = if text.ends_with('=') { Value::Required } else { Value::None };
        if table.iter().all(|o| o.name != name) {
            table.push(Opt { value, ..Opt::flag(name) });
        }
    }
    table
}

/// Splits arguments at `--` into invocations; `first` are the options found before the first command.
pub fn parse(
    commands: &[Syntax],
    first: Vec<(String, Option<String>)>,
    args: Vec<String>,
) -> Result<Vec<Invocation>, Failure> {
    let mut invocations = Vec::new();
    let mut options = first;
    for words in args.split(|a| a == "--") {
        if words.is_empty() {
            if !options.is_empty() {
                return Err("missing command name (use --help for help)".into());
            }
            continue;
        }
        let at = words.iter().position(|w| !w.starts_with('-')).unwrap_or(words.len());
        for word in words[..at].iter() {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (word.as_str(), None),
            };
            if options.iter().any(|(n, _)| n == name) {
                return Err(format!("'{name}' option specified multiple times").into());
            }
            options.push((name.to_owned(), value));
        }
        invocations.push(one(commands, std::mem::take(&mut options), &words[at..])?);
    }
    if invocations.is_empty() {
        return Err("missing command name (use --help for help)".into());
    }
    Ok(invocations)
}

fn one(
    commands: &[Syntax],
    given: Vec<(String, Option<String>)>,
    words: &[String],
) -> Result<Invocation, Failure> {
    let (name, args) = words.split_first().ok_or("missing command name (use --help for help)")?;
    let unknown = || format!("unknown command '{name}'; use --help for help");
    let syntax = *commands.iter().find(|c| c.name == name).ok_or_else(unknown)?;
    let mut options = BTreeMap::new();
    for (option, value) in given {
        let row = syntax.options.iter().find(|o| o.trim_end_matches('=') == option);
        let row = row.ok_or_else(|| format!("'{name}' command has no '{option}' option"))?;
        match (row.ends_with('='), &value) {
            (true, None) => {
                return Err(format!("missing argument to '{option}' option on '{name}' command").into());
            }
            (false, Some(_)) => {
                return Err(format!("'{option}' option on '{name}' does not accept an argument").into());
            }
            _ => {}
        }
        options.insert(row.trim_end_matches('='), value);
    }
    if args.len() < syntax.min {
        return Err(format!("'{name}' command requires at least {} arguments", syntax.min).into());
    }
    if args.len() > syntax.max {
        return Err(format!("'{name}' command takes at most {} arguments", syntax.max).into());
    }
    Ok(Invocation { syntax, args: args.to_vec(), options })
}
