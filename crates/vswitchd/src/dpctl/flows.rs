//! `dpctl/add-flow` and its like: megaflows put in, changed and taken out by hand.
//!
//! Where it sits: beside the other `dpctl` commands. Flows and actions are read by `odp`'s text form; what is installed is
//! validated by the datapath, and refused whole.
//!
//! The switch owns its datapath: it deletes what it did not install with the next revalidation.
//!
//! Spec: ovs-dpctl(8).

use std::sync::Arc;

use datapath::{Command, CommandError, FlowInfo, FlowPut, PutMode};
use dpif::Dpif;
use dpif::text::StatsText;
use flow::Match;
use odp::Ufid;
use odp::text::{ActionList, parse_actions, parse_match};

use super::dump::parse_ufid;
use super::{Datapaths, INVALID, Millis, failed};

type Result<T> = std::result::Result<T, String>;

/// Options of commands, taken off their arguments.
#[derive(Default)]
struct Options {
    may_create: bool,
    clear: bool,
    statistics: bool,
}

fn options(args: &[String]) -> Result<(Options, Vec<String>)> {
    let mut options = Options::default();
    let mut rest = Vec::new();
    for arg in args {
        match arg.as_str() {
            "--may-create" => options.may_create = true,
            "--clear" => options.clear = true,
            "-s" | "--statistics" => options.statistics = true,
            other if other.starts_with('-') => return Err(failed("unrecognized option", INVALID)),
            _ => rest.push(arg.clone()),
        }
    }
    Ok((options, rest))
}

/// Which megaflow is meant.
struct Named {
    ufid: Option<Ufid>,
    matched: Match,
}

impl Named {
    /// `[ufid:UFID[, ]]FLOW`.
    fn parse(dpif: &dyn Dpif, text: &str) -> Result<Named> {
        let (ufid, rest) = if text.starts_with("ufid:") {
            let (ufid, rest) = text.split_at(text.find([',', ' ']).unwrap_or(text.len()));
            (Some(parse_ufid(ufid).ok_or_else(|| failed("parsing flow ufid", INVALID))?), rest)
        } else {
            (None, text)
        };
        let matched = parse_match(rest, &|name| port_of(dpif, name))
            .map_err(|e| failed(&format!("parsing flow key ({e})"), INVALID))?;
        Ok(Named { ufid, matched })
    }

    /// The identifier of the megaflow that is there: the one given, or that of the same match.
    fn existing(&self, dpif: &dyn Dpif) -> std::result::Result<FlowInfo, CommandError> {
        let command = self.ufid.map_or(Command::FindFlow(&self.matched), Command::GetFlow);
        dpif.apply(command)?.into_flow().ok_or(CommandError::NotFound)
    }
}

fn port_of(dpif: &dyn Dpif, name: &str) -> Option<u32> {
    dpif.port_by_name(name).map(|port| port.number.0)
}

/// Puts a megaflow in, or changes one; returns what it had counted before.
fn put(dpif: &dyn Dpif, flow: &str, actions: &str, mode: PutMode) -> Result<Option<FlowInfo>> {
    let named = Named::parse(dpif, flow)?;
    let actions = parse_actions(actions, &|name| port_of(dpif, name))
        .map_err(|_| failed("parsing actions", INVALID))?;
    let old = named.existing(dpif).ok();
    let ufid = named.ufid.or(old.as_ref().map(|flow| flow.ufid)).unwrap_or_else(|| Ufid::of(&named.matched));
    let mut put = FlowPut { ufid, matched: named.matched, actions, mode };
    dpif.apply(Command::PutFlow(&mut put)).map_err(|e| failed("updating flow table", &e.to_string()))?;
    Ok(old)
}

fn delete(dpif: &dyn Dpif, flow: &str) -> Result<FlowInfo> {
    let named = Named::parse(dpif, flow)?;
    let gone = named
        .existing(dpif)
        .and_then(|flow| dpif.apply(Command::DelFlow(flow.ufid))?.into_flow().ok_or(CommandError::NotFound));
    gone.map_err(|e| failed("deleting flow", &e.to_string()) + "Perhaps you need to specify a UFID?\n")
}

fn counted(options: &Options, flow: Option<&FlowInfo>, now_ms: u64) -> String {
    match flow {
        Some(flow) if options.statistics => format!("{}\n", StatsText { stats: &flow.stats, now_ms }),
        _ => String::new(),
    }
}

/// `dpctl/add-flow [DP] FLOW ACTIONS`.
pub(super) fn add(dps: &Datapaths, now_ms: &Millis, args: &[String]) -> Result<String> {
    let (options, args) = options(args)?;
    one(dps, now_ms, &options, &args, PutMode::Create)
}

/// `dpctl/mod-flow [DP] FLOW ACTIONS`.
pub(super) fn modify(dps: &Datapaths, now_ms: &Millis, args: &[String]) -> Result<String> {
    let (options, args) = options(args)?;
    let mode = match (options.may_create, options.clear) {
        (true, _) => PutMode::CreateOrModify,
        (false, true) => PutMode::ModifyAndZero,
        (false, false) => PutMode::Modify,
    };
    one(dps, now_ms, &options, &args, mode)
}

fn one(
    dps: &Datapaths,
    now_ms: &Millis,
    options: &Options,
    args: &[String],
    mode: PutMode,
) -> Result<String> {
    let [name @ .., flow, actions] = args else { return Err(failed("parsing flow", INVALID)) };
    let dpif = dps.only(name)?;
    let old = put(&*dpif, flow, actions, mode)?;
    Ok(counted(options, old.as_ref(), now_ms()))
}

/// `dpctl/del-flow [DP] FLOW`.
pub(super) fn del(dps: &Datapaths, now_ms: &Millis, args: &[String]) -> Result<String> {
    let (options, args) = options(args)?;
    let [name @ .., flow] = args.as_slice() else { return Err(failed("parsing flow", INVALID)) };
    let gone = delete(&*dps.only(name)?, flow)?;
    Ok(counted(&options, Some(&gone), now_ms()))
}

/// What a line of a file does that does not say it.
#[derive(Clone, Copy)]
enum Usual {
    Add,
    Modify,
    Delete,
}

/// `dpctl/add-flows [DP] FILE`.
pub(super) fn add_file(dps: &Datapaths, _: &Millis, args: &[String]) -> Result<String> {
    file(dps, args, Usual::Add)
}

/// `dpctl/mod-flows [DP] FILE`.
pub(super) fn modify_file(dps: &Datapaths, _: &Millis, args: &[String]) -> Result<String> {
    file(dps, args, Usual::Modify)
}

/// `dpctl/del-flows [DP] [FILE]`.
pub(super) fn del_all(dps: &Datapaths, _: &Millis, args: &[String]) -> Result<String> {
    let (dpif, rest): (Arc<dyn Dpif>, &[String]) = dps.choose(args)?;
    if !rest.is_empty() {
        return file(dps, args, Usual::Delete);
    }
    dpif.apply(Command::FlushFlows).map_err(|e| failed("deleting all flows", &e.to_string()))?;
    Ok(String::new())
}

/// Carries out a file's lines: one that fails does not keep the others from being tried. As in Open vSwitch the command
/// succeeds all the same, and its answer says what went wrong.
fn file(dps: &Datapaths, args: &[String], usual: Usual) -> Result<String> {
    let [name @ .., file] = args else { return Err(failed("parsing flow", INVALID)) };
    let dpif = dps.only(name)?;
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(e) => {
            let absent = e.kind() == std::io::ErrorKind::NotFound;
            let why = if absent { "No such file or directory" } else { INVALID };
            return Ok(failed(&format!("Opening file \"{file}\" failed"), why));
        }
    };
    let mut errors = String::new();
    for (n, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if !line.is_empty()
            && let Err(why) = carry_out(&*dpif, line, usual).unwrap_or_else(|| {
                Err(format!("ovs-vswitchd: Failed parsing line number {}, skipped!\n", n + 1))
            })
        {
            errors += &why;
        }
    }
    Ok(errors)
}

/// One line: `[add|modify|delete] FLOW [ACTIONS]`; none if it is none.
fn carry_out(dpif: &dyn Dpif, line: &str, usual: Usual) -> Option<Result<()>> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (what, words) = match words.as_slice() {
        ["add", rest @ ..] => (Usual::Add, rest),
        ["modify", rest @ ..] => (Usual::Modify, rest),
        ["delete", rest @ ..] => (Usual::Delete, rest),
        all => (usual, all),
    };
    Some(match (what, words) {
        (Usual::Add, [flow, actions]) => put(dpif, flow, actions, PutMode::Create).map(drop),
        (Usual::Modify, [flow, actions]) => put(dpif, flow, actions, PutMode::Modify).map(drop),
        (Usual::Delete, [flow] | [flow, _]) => delete(dpif, flow).map(drop),
        _ => return None,
    })
}

/// `dpctl/parse-actions ACTIONS`: as they read.
pub(super) fn parse(_: &Datapaths, _: &Millis, args: &[String]) -> Result<String> {
    let mut out = String::new();
    for text in args {
        let list = parse_actions(text, &|_| None).map_err(|_| failed("odp_actions_from_string", INVALID))?;
        out += &format!("{}\n", ActionList(&list));
    }
    Ok(out)
}
