//! Command-line options by GNU's conventions, which Open vSwitch's users and scripts rely on.
//!
//! Where it sits: every daemon and tool parses its arguments with it, from tables that it puts together (its own options, the log's,
//! the daemon's). Texts of errors are those of glibc.
//!
//! `--name=value` and `--name value`, unambiguous prefixes of long names, bundles of short options, `--` to end the options.
//! With `Order::Stop` the first other argument ends the options, with `Order::Permute` options may follow other arguments.

use std::collections::VecDeque;

/// Whether an option takes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// It takes none.
    None,
    /// It must have one.
    Required,
    /// It may have one, attached: `--name=value`, `-nvalue`.
    Optional,
}

/// One option. It is known by its long name, also where only its short form is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opt {
    /// Its name.
    pub name: &'static str,
    /// Its letter, if it has one.
    pub short: Option<char>,
    /// Whether `--name` is accepted.
    pub long: bool,
    /// Whether it takes a value.
    pub value: Value,
}

impl Opt {
    /// `--name`.
    pub const fn flag(name: &'static str) -> Opt {
        Opt { name, short: None, long: true, value: Value::None }
    }

    /// `--name=VALUE`.
    pub const fn required(name: &'static str) -> Opt {
        Opt { name, short: None, long: true, value: Value::Required }
    }

    /// `--name[=VALUE]`.
    pub const fn optional(name: &'static str) -> Opt {
        Opt { name, short: None, long: true, value: Value::Optional }
    }

    /// The same with a short form.
    pub const fn short(self, letter: char) -> Opt {
        Opt { short: Some(letter), ..self }
    }

    /// The same without its long form.
    pub const fn short_only(self) -> Opt {
        Opt { long: false, ..self }
    }
}

/// What to do with an argument that is no option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// It ends the options.
    Stop,
    /// Options may follow it.
    Permute,
}

/// Why arguments are refused, in glibc's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GetoptError {
    /// No such long option.
    #[error("unrecognized option '--{0}'")]
    UnknownLong(String),
    /// A prefix of several.
    #[error("option '--{0}' is ambiguous; possibilities:{1}")]
    Ambiguous(String, String),
    /// A value for an option that takes none.
    #[error("option '--{0}' doesn't allow an argument")]
    UnexpectedValue(&'static str),
    /// No value for a long option that takes one.
    #[error("option '--{0}' requires an argument")]
    MissingLongValue(&'static str),
    /// No such short option.
    #[error("invalid option -- '{0}'")]
    UnknownShort(char),
    /// No value for a short option that takes one.
    #[error("option requires an argument -- '{0}'")]
    MissingShortValue(char),
}

/// Walks through the options of a command line.
#[derive(Debug)]
pub struct Getopt<'a> {
    table: &'a [Opt],
    order: Order,
    arguments: VecDeque<String>,
    /// What remains of a bundle of short options.
    bundle: String,
    operands: Vec<String>,
}

impl<'a> Getopt<'a> {
    /// Over `arguments`, without the program's name.
    pub fn new(table: &'a [Opt], order: Order, arguments: impl IntoIterator<Item = String>) -> Getopt<'a> {
        let arguments = arguments.into_iter().collect();
        Getopt { table, order, arguments, bundle: String::new(), operands: Vec::new() }
    }

    /// Over the process's own arguments; those that are not UTF-8 are converted with replacement characters.
    pub fn from_env(table: &'a [Opt], order: Order) -> Getopt<'a> {
        Getopt::new(table, order, std::env::args_os().skip(1).map(|a| a.to_string_lossy().into_owned()))
    }

    /// The next option's name and value.
    #[allow(clippy::should_implement_trait, reason = "errors end the walk, so it is no iterator")]
    pub fn next(&mut self) -> Result<Option<(&'static str, Option<String>)>, GetoptError> {
        if !self.bundle.is_empty() {
            return self.short().map(Some);
        }
        while let Some(argument) = self.arguments.pop_front() {
            if argument == "--" {
                break;
            } else if let Some(long) = argument.strip_prefix("--") {
                return self.long(long).map(Some);
            } else if argument.len() > 1 && argument.starts_with('-') {
                self.bundle = argument[1..].to_owned();
                return self.short().map(Some);
            }
            self.operands.push(argument);
            if self.order == Order::Stop {
                break;
            }
        }
        self.operands.extend(self.arguments.drain(..));
        Ok(None)
    }

    /// The arguments that are no options, once `next` has given `None`.
    pub fn operands(self) -> Vec<String> {
        self.operands
    }

    fn long(&mut self, text: &str) -> Result<(&'static str, Option<String>), GetoptError> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        let option = self.find_long(name, text)?;
        match (option.value, value) {
            (Value::None, Some(_)) => Err(GetoptError::UnexpectedValue(option.name)),
            (Value::Required, None) => match self.arguments.pop_front() {
                Some(value) => Ok((option.name, Some(value))),
                None => Err(GetoptError::MissingLongValue(option.name)),
            },
            (_, value) => Ok((option.name, value)),
        }
    }

    /// The option called `name`; errors show it as it was `given`, with its value.
    fn find_long(&self, name: &str, given: &str) -> Result<Opt, GetoptError> {
        let long = || self.table.iter().filter(|option| option.long);
        if let Some(option) = long().find(|option| option.name == name) {
            return Ok(*option);
        }
        let candidates: Vec<Opt> = long().filter(|option| option.name.starts_with(name)).copied().collect();
        match candidates.as_slice() {
            [] => Err(GetoptError::UnknownLong(given.to_owned())),
            [option] => Ok(*option),
            several => {
                let names = several.iter().map(|option| format!(" '--{}'", option.name)).collect();
                Err(GetoptError::Ambiguous(given.to_owned(), names))
            }
        }
    }

    fn short(&mut self) -> Result<(&'static str, Option<String>), GetoptError> {
        let letter = self.bundle.remove(0);
        let option = self.table.iter().find(|option| option.short == Some(letter));
        let option = option.ok_or(GetoptError::UnknownShort(letter))?;
        if option.value == Value::None {
            return Ok((option.name, None));
        }
        let attached = std::mem::take(&mut self.bundle);
        let value = match (option.value, attached.is_empty()) {
            (_, false) => Some(attached),
            (Value::Required, true) => {
                Some(self.arguments.pop_front().ok_or(GetoptError::MissingShortValue(letter))?)
            }
            (_, true) => None,
        };
        Ok((option.name, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Opt] = &[
        Opt::required("target").short('t'),
        Opt::flag("version").short('V'),
        Opt::optional("verbose").short('v'),
        Opt::flag("no-headings"),
        Opt::flag("more").short('m').short_only(),
        Opt::flag("help").short('h'),
    ];

    fn check(order: Order, arguments: &str, expected: &str) {
        let mut getopt = Getopt::new(TABLE, order, arguments.split(' ').map(str::to_owned));
        let mut seen = Vec::new();
        loop {
            match getopt.next() {
                Ok(Some((name, Some(value)))) => seen.push(format!("{name}={value}")),
                Ok(Some((name, None))) => seen.push(name.to_owned()),
                Ok(None) => break,
                Err(error) => {
                    seen.push(error.to_string());
                    break;
                }
            }
        }
        seen.push(format!("{:?}", getopt.operands()));
        assert_eq!(seen.join(" "), expected, "{arguments}");
    }

    #[test]
    fn conventions() {
        let table = [
            ("-t x a -V", "target=x version [\"a\"]"),
            ("-tx -vdbg -v y", "target=x verbose=dbg verbose [\"y\"]"),
            ("--target=x --target y --verbose --verbose=z", "target=x target=y verbose verbose=z []"),
            ("--tar x --no-head --versi", "target=x no-headings version []"),
            ("-mmVt x", "more more version target=x []"),
            ("-mmVtx", "more more version target=x []"),
            ("a -- -V -", "[\"a\", \"-V\", \"-\"]"),
            ("- -V", "version [\"-\"]"),
            ("--ver", "option '--ver' is ambiguous; possibilities: '--version' '--verbose' []"),
            ("--ver=1", "option '--ver=1' is ambiguous; possibilities: '--version' '--verbose' []"),
            ("--foo", "unrecognized option '--foo' []"),
            ("--foo=1", "unrecognized option '--foo=1' []"),
            ("--more", "unrecognized option '--more' []"),
            ("--help=3", "option '--help' doesn't allow an argument []"),
            ("--target", "option '--target' requires an argument []"),
            ("-t", "option requires an argument -- 't' []"),
            ("-q", "invalid option -- 'q' []"),
        ];
        for (arguments, expected) in table {
            check(Order::Permute, arguments, expected);
        }
        check(Order::Stop, "-m a -V --foo", "more [\"a\", \"-V\", \"--foo\"]");
    }
}
