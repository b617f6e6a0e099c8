//! `dpctl/dump-flows` and `dpctl/get-flow`: megaflows, as text.
//!
//! Where it sits: beside the other `dpctl` commands; how a megaflow is written is `dpif::text`'s.
//!
//! Spec: ovs-dpctl(8).

use std::collections::BTreeMap;

use datapath::{Command, FlowInfo};
use dpif::Dpif;
use dpif::text::DetailedFlow;
use odp::Ufid;
use odp::text::Extent;
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

/// `dpctl/dump-flows [-m] [--names] [DP]`.
pub(super) fn flows(dps: &Datapaths, now_ms: &Millis, args: &[String]) -> Result<String, String> {
    let (extent, named, rest) = Dumped::parse(args)?;
    let dpif = dps.only(&rest)?;
    let (now_ms, dumped) = (now_ms(), Dumped::of(&*dpif, extent, named));
    let mut lines = Vec::new();
    dpif.for_each_flow(&mut |flow| lines.push(dumped.line(&flow, now_ms)));
    if lines.is_empty() {
        return Ok(String::new());
    }
    // Every thread of this datapath shares one table; users' scripts expect the line all the same.
    Ok(format!("flow-dump from the main thread:\n{}", lines.concat()))
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
