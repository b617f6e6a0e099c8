//! `dpctl/dump-flows` and `dpctl/get-flow`: megaflows, as text.
//!
//! Where it sits: beside the other `dpctl` commands; how a megaflow is written is `dpif::text`'s.
//!
//! Spec: ovs-dpctl(8).

use std::collections::BTreeMap;

use datapath::{Command, FlowInfo};
use dpif::Dpif;
use dpif::text::DetailedFlow;
use flow::Match;
use odp::Ufid;
use odp::text::Extent;
use openflow::Names;
use openflow::text::exact;
use packet::OdpPort;

use super::{Datapaths, INVALID, Millis, failed};

/// How dumps are to be written: `-m`, `--names`, `--no-names`.
struct Dumped {
    extent: Extent,
    /// Ports' names, if they are wanted.
    names: Option<BTreeMap<OdpPort, String>>,
}

impl Dumped {
    /// Takes the options out of the arguments.
    fn parse(args: &[String]) -> Result<(Extent, Option<bool>, Vec<String>), String> {
        let (mut extent, mut named, mut rest) = (Extent::Matched, None, Vec::new());
        for arg in args {
            match arg.as_str() {
                "-m" | "--more" => extent = Extent::Everything,
                "--names" => named = Some(true),
                "--no-names" => named = Some(false),
                "-s" | "--statistics" => {}
                other if other.starts_with('-') => return Err(format!("Unrecognized option {other}\n")),
                _ => rest.push(arg.clone()),
            }
        }
        Ok((extent, named, rest))
    }

    /// With names if they were asked for, or everything was.
    fn of(dpif: &dyn Dpif, extent: Extent, named: Option<bool>) -> Dumped {
        let wanted = named.unwrap_or(extent == Extent::Everything);
        let names = || dpif.ports().into_iter().map(|port| (port.number, port.name)).collect();
        Dumped { extent, names: wanted.then(names) }
    }

    fn line(&self, flow: &FlowInfo, now_ms: u64) -> String {
        format!("{}\n", DetailedFlow { flow, now_ms, extent: self.extent, names: self.names.as_ref() })
    }
}

/// `dpctl/dump-flows [-m] [--names] [DP] [filter=FLOW] [type=TYPES] [pmd=CORE]`.
pub(super) fn flows(dps: &Datapaths, now_ms: &Millis, args: &[String]) -> Result<String, String> {
    let (extent, named, rest) = Dumped::parse(args)?;
    let (chosen, rest) = Chosen::parse(&rest);
    let dpif = dps.only(rest)?;
    let wanted = chosen.wanted(&*dpif)?;
    let (now_ms, dumped) = (now_ms(), Dumped::of(&*dpif, extent, named));
    let mut lines = Vec::new();
    dpif.for_each_flow(&mut |flow| {
        if wanted.has(&flow) {
            lines.push(dumped.line(&flow, now_ms));
        }
    });
    // Every thread of this datapath shares one table; users' scripts expect the line all the same, unless they name a thread.
    if !lines.is_empty() && chosen.thread.is_none() {
        lines.insert(0, "flow-dump from the main thread:\n".to_owned());
    }
    Ok(lines.concat())
}

/// Which megaflows users want, in their words.
#[derive(Default)]
struct Chosen<'a> {
    filter: Option<&'a str>,
    types: Option<&'a str>,
    thread: Option<&'a str>,
}

impl<'a> Chosen<'a> {
    /// Takes the words off the end of the arguments.
    fn parse(mut args: &'a [String]) -> (Chosen<'a>, &'a [String]) {
        let mut chosen = Chosen::default();
        while let Some((last, rest)) = args.split_last() {
            let place = match last.split_once('=') {
                Some(("filter", value)) => chosen.filter.replace(value),
                Some(("type", value)) => chosen.types.replace(value),
                Some(("pmd", value)) => chosen.thread.replace(value),
                _ => break,
            };
            if place.is_some() {
                break;
            }
            args = rest;
        }
        (chosen, args)
    }

    fn wanted(&self, dpif: &dyn Dpif) -> Result<Wanted, String> {
        let mut wanted = Wanted { filter: None, any: true };
        if let Some(text) = self.filter {
            let mut names = Names::none();
            for port in dpif.ports() {
                names.ports.insert(port.number.0, &port.name);
            }
            let filter = exact::parse_said(text, &names);
            wanted.filter =
                Some(filter.map_err(|e| format!("ovs-vswitchd: Failed to parse filter ({e})\n"))?);
        }
        if let Some(text) = self.types {
            wanted.any = false;
            for name in text.split(',').filter(|name| !name.is_empty()) {
                let (_, here) = TYPES
                    .iter()
                    .find(|(known, _)| *known == name)
                    .ok_or_else(|| failed(&format!("Failed to parse type ({name})"), INVALID))?;
                wanted.any |= *here == Here::Yes;
            }
        }
        if let Some(text) = self.thread {
            // All are the main thread's, which is called -1.
            wanted.any &= core(text).ok_or_else(String::new)? == -1;
        }
        Ok(wanted)
    }
}

/// The number in front of a text, as C reads one.
fn core(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text).bytes().take_while(u8::is_ascii_digit).count();
    text[..digits + usize::from(text.starts_with('-'))].parse().ok()
}

/// Whether megaflows of a type can be in our datapaths.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Here {
    Yes,
    No,
}

/// The types of megaflows: nothing is offloaded.
const TYPES: [(&str, Here); 7] = [
    ("ovs", Here::Yes),
    ("tc", Here::No),
    ("dpdk", Here::No),
    ("offloaded", Here::No),
    ("non-offloaded", Here::Yes),
    ("partially-offloaded", Here::No),
    ("all", Here::Yes),
];

/// Which megaflows users want.
struct Wanted {
    filter: Option<Match>,
    /// False if none is of a wanted type and thread.
    any: bool,
}

impl Wanted {
    /// A megaflow is wanted if some packet of it could be one of the filter's.
    fn has(&self, flow: &FlowInfo) -> bool {
        let agrees = |filter: &Match| {
            let FlowInfo { matched, .. } = flow;
            matched.wc.equal(&filter.wc.apply(&matched.key), &filter.wc.apply(&filter.key))
        };
        self.any && self.filter.as_ref().is_none_or(agrees)
    }
}

/// `ufid:` and 32 hexadecimal digits, with or without dashes.
pub(super) fn parse_ufid(text: &str) -> Option<Ufid> {
    let digits: String = text.strip_prefix("ufid:")?.chars().filter(|c| *c != '-').collect();
    let hexadecimal = digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    hexadecimal.then(|| u128::from_str_radix(&digits, 16).ok())?.map(Ufid)
}

/// `dpctl/get-flow [-m] [--names] [DP] ufid:UFID`.
pub(super) fn one(dps: &Datapaths, now_ms: &Millis, args: &[String]) -> Result<String, String> {
    let (extent, named, args) = Dumped::parse(args)?;
    let (ufid, name) = args.split_last().ok_or_else(|| failed("parsing flow ufid", INVALID))?;
    let dpif = dps.only(name)?;
    let ufid = parse_ufid(ufid).ok_or_else(|| failed("parsing flow ufid", INVALID))?;
    let reply = dpif.apply(Command::GetFlow(ufid)).map_err(|e| failed("getting flow", &e.to_string()))?;
    let flow = reply.into_flow().ok_or_else(|| failed("getting flow", "No such file or directory"))?;
    Ok(Dumped::of(&*dpif, extent, named).line(&flow, now_ms()))
}
