//! Runs a scenario on a host and compares everything that is said, and that nothing else happens.
//!
//! Where it sits: called by the test of the corpus for each scenario and host.

use std::collections::BTreeMap;

use datapath::{
    BandKind, Command, CommandError, DropCounts, FlowPut, MeterBand, MeterConfig, MeterUnit, PutMode, Reply,
    Stats,
};
use flow::Match;
use odp::text::{parse_actions, parse_match};
use odp::{Action, TunnelKind, Ufid};
use packet::{DropReason, OdpPort};

use crate::Scenario;
use crate::scenario::{Outcome, Step, What};

/// What packets led to on a host.
#[derive(Debug, Default)]
pub struct Passed {
    /// Packets that left: port and frame.
    pub out: Vec<(u32, Vec<u8>)>,
    /// Packets that went up: port, frame, and whether a flow was wanting.
    pub up: Vec<(u32, Vec<u8>, bool)>,
    /// Of those, packets that the host counts as dropped because nobody answered.
    pub unanswered: u64,
}

/// A datapath in its surroundings.
pub trait Host {
    /// What it is called in a complaint.
    fn name(&self) -> &'static str;
    /// Sets the time, in milliseconds.
    fn set_time(&mut self, ms: u64);
    /// Lets there be so many connections at most, of all or of a zone.
    fn limit_connections(&mut self, most: u32, zone: Option<u16>);
    /// Whoever takes what goes up goes away.
    fn deafen(&mut self);
    /// Carries out a command.
    fn apply(&mut self, command: Command<'_>) -> Result<Reply, CommandError>;
    /// Lets packets come in as one batch.
    fn receive(&mut self, packets: Vec<(u32, Vec<u8>)>) -> Passed;
    /// Executes actions on a packet.
    fn execute(&mut self, packet: (u32, Vec<u8>), actions: &[Action]) -> Result<Passed, CommandError>;
}

/// Time at which scenarios begin.
const BEGIN: u64 = 5000;

/// Runs a scenario; what differs is complained about with the step's line.
pub fn run(file: &str, scenario: &Scenario, host: &mut dyn Host) -> Result<(), String> {
    let mut run = Run { host, now: BEGIN };
    run.host.set_time(BEGIN);
    for Step { line, what } in &scenario.steps {
        run.step(what).map_err(|why| {
            format!("{file}:{line}: scenario {} on {}: {why}", scenario.name, run.host.name())
        })?;
    }
    Ok(())
}

struct Run<'a> {
    host: &'a mut dyn Host,
    now: u64,
}

type Done = Result<(), String>;

impl Run<'_> {
    fn step(&mut self, what: &What) -> Done {
        match what {
            What::Tunnel(port, kind) => {
                let kind = TunnelKind::from_name(kind).ok_or("no such tunnel")?;
                self.must(Command::SetTunnel { port: OdpPort(*port), kind: Some(kind) })
            }
            What::Meter(id, words) => {
                let config = meter(words).ok_or("no such meter")?;
                self.must(Command::SetMeter { id: *id, config: &config })
            }
            What::Bond(id, members) => {
                let mut all = [OdpPort::NONE; 256];
                all.iter_mut().zip(members.iter().cycle()).for_each(|(to, from)| *to = OdpPort(*from));
                self.must(Command::SetBond { id: *id, members: &all })
            }
            What::Connections(most, zone) => {
                self.host.limit_connections(*most, *zone);
                Ok(())
            }
            What::Deaf => {
                self.host.deafen();
                Ok(())
            }
            What::Flow(flow, actions) => self.put(flow, actions)?.map_err(|e| e.to_string()),
            What::Refuse(flow, actions) => {
                let before = self.stats().flows;
                match self.put(flow, actions)? {
                    Err(CommandError::InvalidActions(_)) if self.stats().flows == before => Ok(()),
                    other => Err(format!("not refused: {other:?}")),
                }
            }
            What::Wait(ms) => {
                self.now += ms;
                self.host.set_time(self.now);
                Ok(())
            }
            What::Packets(packets, outcome) => {
                let before = self.stats().drops;
                let passed = self.host.receive(packets.clone());
                self.compare(&before, passed, outcome)
            }
            What::Execute(packet, actions, outcome) => {
                let before = self.stats().drops;
                let list = read_actions(actions)?;
                let passed = self.host.execute(packet.clone(), &list).map_err(|e| e.to_string())?;
                self.compare(&before, passed, outcome)
            }
            What::Count(flow, packets, bytes) => {
                let matched = read_match(flow)?;
                let reply = self.host.apply(Command::FindFlow(&matched)).map_err(|e| e.to_string())?;
                let stats = reply.into_flow().ok_or("no such flow")?.stats;
                same("counted", &(stats.packets, stats.bytes), &(*packets, *bytes))
            }
        }
    }

    fn must(&mut self, command: Command<'_>) -> Done {
        self.host.apply(command).map(drop).map_err(|e| e.to_string())
    }

    fn put(&mut self, flow: &str, actions: &str) -> Result<Result<(), CommandError>, String> {
        let (matched, actions) = (read_match(flow)?, read_actions(actions)?);
        let mut put = FlowPut { ufid: Ufid::of(&matched), matched, actions, mode: PutMode::CreateOrModify };
        Ok(self.host.apply(Command::PutFlow(&mut put)).map(drop))
    }

    fn stats(&mut self) -> Stats {
        match self.host.apply(Command::Stats) {
            Ok(Reply::Stats(stats)) => stats,
            other => panic!("no statistics: {other:?}"),
        }
    }

    fn compare(&mut self, before: &DropCounts, passed: Passed, wanted: &Outcome) -> Done {
        let by_port = |list: &mut dyn Iterator<Item = (u32, Vec<u8>)>| {
            let mut ports: BTreeMap<u32, Vec<Vec<u8>>> = BTreeMap::new();
            list.for_each(|(port, frame)| ports.entry(port).or_default().push(frame));
            ports
        };
        let mut out = by_port(&mut passed.out.into_iter());
        // Bytes that do not matter are made equal.
        let mut nth: BTreeMap<u32, usize> = BTreeMap::new();
        for (port, frame, free) in &wanted.out {
            let n = nth.entry(*port).or_default();
            if let Some(got) = out.get_mut(port).and_then(|frames| frames.get_mut(*n)) {
                for at in free {
                    if let (Some(got), Some(want)) = (got.get_mut(*at), frame.get(*at)) {
                        *got = *want;
                    }
                }
            }
            *n += 1;
        }
        let want = by_port(&mut wanted.out.iter().map(|(port, frame, _)| (*port, frame.clone())));
        let hex = |ports: BTreeMap<u32, Vec<Vec<u8>>>| -> Vec<String> {
            let line = |(port, frames): (u32, Vec<Vec<u8>>)| {
                frames.into_iter().map(move |frame| format!("{port}: {}", testkit::to_hex(&frame)))
            };
            ports.into_iter().flat_map(line).collect()
        };
        same("sent", &hex(out), &hex(want))?;
        let up = |list: &[(u32, Vec<u8>, bool)]| -> Vec<String> {
            let why = |miss: bool| if miss { "miss" } else { "up" };
            list.iter()
                .map(|(port, frame, miss)| format!("{} {port}: {}", why(*miss), testkit::to_hex(frame)))
                .collect()
        };
        same("sent up", &up(&passed.up), &up(&wanted.up))?;
        let after = self.stats().drops;
        let mut drops: BTreeMap<&str, u64> = BTreeMap::new();
        for (reason, n) in after.iter() {
            let quiet = if reason == DropReason::Policy { passed.unanswered } else { 0 };
            let n = n - before.get(reason) - quiet;
            if n != 0 {
                drops.insert(reason.name(), n);
            }
        }
        same("dropped", &drops, &wanted.drops.iter().map(|(name, n)| (name.as_str(), *n)).collect())
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, got: &T, want: &T) -> Done {
    if got == want { Ok(()) } else { Err(format!("{what}\n  {got:#?}\n  instead of\n  {want:#?}")) }
}

fn read_match(text: &str) -> Result<Match, String> {
    parse_match(text, &|_| None).map_err(|e| e.to_string())
}

/// A list of actions. That a drop has a code is not in Open vSwitch's text.
fn read_actions(text: &str) -> Result<Vec<Action>, String> {
    if let Some(code) = text.strip_prefix("drop(").and_then(|rest| rest.strip_suffix(')')) {
        return Ok(vec![Action::Drop(code.parse().map_err(|_| "no such code")?)]);
    }
    parse_actions(text, &|_| None).map_err(|e| e.to_string())
}

fn meter(words: &[String]) -> Option<MeterConfig> {
    let (unit, mut rest) = words.split_first()?;
    let unit = match unit.as_str() {
        "kbps" => MeterUnit::Kbps,
        "pktps" => MeterUnit::Pktps,
        _ => return None,
    };
    let mut bands = Vec::new();
    while let Some((kind, tail)) = rest.split_first() {
        let (kind, tail) = match (kind.as_str(), tail) {
            ("drop", tail) => (BandKind::Drop, tail),
            ("remark", [by, tail @ ..]) => (BandKind::DscpRemark(by.parse().ok()?), tail),
            _ => return None,
        };
        let [rate, burst, tail @ ..] = tail else { return None };
        bands.push(MeterBand { kind, rate: rate.parse().ok()?, burst: burst.parse().ok()? });
        rest = tail;
    }
    Some(MeterConfig { unit, bands })
}
