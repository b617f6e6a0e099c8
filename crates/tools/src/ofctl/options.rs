//! Options of ovs-ofctl, and what they settle for a command.
//!
//! Where it sits: parsed once in `main`; every command reads the [`Context`].
//!
//! Spec: ovs-ofctl(8), "OPTIONS".

use std::io::IsTerminal;

use daemon::getopt::{Getopt, Opt, Order};
use openflow::msg::{PacketInFormat, VersionSet};
use openflow::{Protocols, Version};

use super::{Fatal, exit, fatal};

/// What the options settle.
#[derive(Clone, Debug)]
pub struct Context {
    /// Protocols that may be spoken.
    pub allowed: Protocols,
    /// `--strict`.
    pub strict: bool,
    /// `--readd`.
    pub readd: bool,
    /// `--read-only`.
    pub read_only: bool,
    /// `-m`, times.
    pub more: u8,
    /// `--timestamp`.
    pub timestamp: bool,
    /// `--no-stats`.
    pub no_stats: bool,
    /// `--names` or `--no-names`.
    pub names: Option<bool>,
    /// `--bundle`.
    pub bundle: bool,
    /// `--may-create`.
    pub may_create: bool,
    /// `--bare`.
    pub bare: bool,
    /// `--pcap`.
    pub pcap: bool,
    /// `--bad-csum`.
    pub bad_csum: bool,
    /// `-P`.
    pub packet_in_format: Option<PacketInFormat>,
    /// `--sort` and `--rsort`, in order.
    pub sort: Vec<SortKey>,
    /// `-t`.
    pub timeout_secs: u64,
    /// `--unixctl`.
    pub unixctl: Option<String>,
    /// `--detach`, `--pidfile` and so on.
    pub daemon: daemon::Options,
}

/// One criterion of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortKey {
    /// The field, or `None` for the priority.
    pub field: Option<flow::Field>,
    /// Largest first.
    pub descending: bool,
}

impl Context {
    /// Versions that may be agreed on.
    pub fn versions(&self) -> VersionSet {
        Version::ALL.into_iter().filter(|v| self.allowed.intersects(Protocols::of_version(*v))).collect()
    }

    /// True if ports are printed by name.
    pub fn show_names(&self) -> bool {
        self.names.unwrap_or_else(|| std::io::stdout().is_terminal())
    }
}

const OPTIONS: &[Opt] = &[
    Opt::flag("strict"),
    Opt::flag("read-only"),
    Opt::flag("readd"),
    Opt::flag("bundle"),
    Opt::required("flow-format").short('F'),
    Opt::required("packet-in-format").short('P'),
    Opt::flag("more").short('m'),
    Opt::flag("timestamp"),
    Opt::required("timeout").short('t'),
    Opt::optional("sort"),
    Opt::optional("rsort"),
    Opt::flag("names"),
    Opt::flag("no-names"),
    Opt::flag("stats"),
    Opt::flag("no-stats"),
    Opt::required("unixctl"),
    Opt::optional("color"),
    Opt::flag("may-create"),
    Opt::flag("bare"),
    Opt::flag("pcap"),
    Opt::flag("bad-csum"),
    Opt::required("protocols").short('O'),
    Opt::flag("help").short('h'),
    Opt::flag("version").short('V'),
];

/// Parses the command line: the context, the command and its arguments.
pub fn parse() -> Result<(Context, Vec<String>), Fatal> {
    let table = [OPTIONS, daemon::OPTIONS, daemon::vlog::OPTIONS, daemon::tls::OPTIONS].concat();
    let mut getopt = Getopt::from_env(&table, Order::Permute);
    let mut cx = Context {
        allowed: Protocols::ANY,
        strict: false,
        readd: false,
        read_only: false,
        more: 0,
        timestamp: false,
        no_stats: false,
        names: None,
        bundle: false,
        may_create: false,
        bare: false,
        pcap: false,
        bad_csum: false,
        packet_in_format: None,
        sort: Vec::new(),
        timeout_secs: 0,
        unixctl: None,
        daemon: daemon::Options::default(),
    };
    let mut versions: Option<VersionSet> = None;
    let mut tls = stream::tls::Settings::default();
    loop {
        match getopt.next() {
            Ok(Some(("protocols", Some(text)))) => versions = Some(parse_versions(&text)?),
            Ok(Some((name, value))) if daemon::tls::accept(&mut tls, name, value.as_deref()) => {}
            Ok(Some((name, value))) => accept(&mut cx, name, value)?,
            Ok(None) => break,
            Err(error) => return Err(fatal(error.to_string())),
        }
    }
    stream::tls::configure(tls);
    settle_protocols(&mut cx, versions)?;
    Ok((cx, getopt.operands()))
}

fn parse_versions(text: &str) -> Result<VersionSet, Fatal> {
    let mut set = VersionSet(0);
    for name in text.split([',', ' ']).filter(|n| !n.is_empty()) {
        let version =
            Version::from_name(name).ok_or_else(|| fatal(format!("Unknown OpenFlow version: \"{name}\"")))?;
        set = set.union(VersionSet::one(version));
    }
    Ok(set)
}

fn accept(cx: &mut Context, name: &'static str, value: Option<String>) -> Result<(), Fatal> {
    let text = value.clone().unwrap_or_default();
    match name {
        "strict" => cx.strict = true,
        "readd" => cx.readd = true,
        "read-only" => cx.read_only = true,
        "bundle" => cx.bundle = true,
        "more" => cx.more = cx.more.saturating_add(1),
        "timestamp" => cx.timestamp = true,
        "names" => cx.names = Some(true),
        "no-names" => cx.names = Some(false),
        "stats" => cx.no_stats = false,
        "no-stats" => cx.no_stats = true,
        "unixctl" => {
            cx.unixctl = Some(text.clone());
            return accept_daemon(cx, name, Some(text));
        }
        "may-create" => cx.may_create = true,
        "bare" => cx.bare = true,
        "pcap" => cx.pcap = true,
        "bad-csum" => cx.bad_csum = true,
        "color" => {}
        "flow-format" => cx.allowed = parse_flow_format(&text)?,
        "packet-in-format" => {
            let format = PacketInFormat::from_name(&text);
            cx.packet_in_format =
                Some(format.ok_or_else(|| fatal(format!("unknown packet-in format `{text}'")))?);
        }
        "timeout" => {
            cx.timeout_secs = text
                .parse()
                .ok()
                .filter(|n| *n > 0)
                .ok_or_else(|| fatal(format!("value {text} on -t or --timeout is invalid")))?;
        }
        "sort" | "rsort" => {
            let field = match value.as_deref() {
                None | Some("priority") => None,
                Some(field) => Some(
                    flow::Field::by_name(field)
                        .ok_or_else(|| fatal(format!("{field}: unknown field name")))?
                        .field,
                ),
            };
            cx.sort.push(SortKey { field, descending: name == "rsort" });
        }
        "help" => {
            super::say(HELP);
            return Err(exit(0));
        }
        "version" => {
            let banner = daemon::version::banner(daemon::program::name());
            super::say(&format!("{banner}\nOpenFlow versions 0x1:0x6\n"));
            return Err(exit(0));
        }
        _ => return accept_daemon(cx, name, value),
    }
    Ok(())
}

fn accept_daemon(cx: &mut Context, name: &'static str, value: Option<String>) -> Result<(), Fatal> {
    cx.daemon.accept(name, value.as_deref()).map(drop).map_err(fatal)
}

fn parse_flow_format(text: &str) -> Result<Protocols, Fatal> {
    let mut all = Protocols::empty();
    for name in text.split(',') {
        all |= Protocols::from_format_name(name)
            .ok_or_else(|| fatal(format!("{name}: unknown flow protocol")))?;
    }
    Ok(all)
}

/// The names of versions in a set, as the option takes them.
fn version_names(set: VersionSet) -> String {
    let names: Vec<&str> = Version::ALL.into_iter().filter(|v| set.contains(*v)).map(Version::name).collect();
    names.join(", ")
}

fn settle_protocols(cx: &mut Context, versions: Option<VersionSet>) -> Result<(), Fatal> {
    let mut versions = versions.unwrap_or(VersionSet::one(Version::V10));
    if cx.bundle && versions == VersionSet::one(Version::V10) {
        // Bundles do not exist before 1.3; nobody is meant to name a version for them.
        versions = VersionSet::one(Version::V14);
    }
    let of_versions = Version::ALL
        .into_iter()
        .filter(|v| versions.contains(*v))
        .fold(Protocols::empty(), |all, v| all | Protocols::of_version(v));
    if !cx.allowed.intersects(of_versions) {
        return Err(fatal(format!(
            "None of the enabled OpenFlow versions ({}) supports any of the enabled flow formats ({}).  \
             (Use -O to enable additional OpenFlow versions or -F to enable additional flow formats.)",
            version_names(versions),
            cx.allowed,
        )));
    }
    cx.allowed &= of_versions;
    Ok(())
}

const HELP: &str = include_str!("help.txt");
