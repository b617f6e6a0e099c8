//! `ofproto/trace`: a flow's way through the tables, as text.
//!
//! Where it sits: the tree is `xlate`'s; this file parses the command, follows recirculation and frames the text.

use std::collections::VecDeque;

use flow::{Field, FlowKey, ct_state, tun_metadata};
use odp::cookie::SlowPath;
use openflow::{field, matches};
use xlate::{Fork, Outcome, Request, SideEffects, ct_state_text, flow_text, megaflow_text};

use crate::core::{Switch, View, ViewMemory};
use crate::upcall::Batch;

/// Most recirculations that a trace follows.
const MAX_RECIRCULATIONS: usize = 4096;

impl Switch {
    /// `ofproto/trace BRIDGE FLOW [-generate] [--ct-next STATE]…`; an `Err` is an error's words.
    pub fn trace(&self, args: &[&str]) -> Result<String, String> {
        let (mut plain, mut ct_next) = (Vec::new(), VecDeque::new());
        let mut effects = SideEffects::Suppressed;
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match *arg {
                "-generate" | "--generate" => effects = SideEffects::Allowed,
                "-consistent" | "--consistent" | "--names" | "--no-names" => {}
                "--ct-next" | "-ct-next" => {
                    let state = args.next().ok_or("Missing argument for option ct-next")?;
                    ct_next.push_back(parse_ct_state(state)?);
                }
                other => plain.push(other),
            }
        }
        let [bridge, flow] = plain[..] else { return Err("Must specify bridge name".into()) };
        let names = self.names(bridge);
        let view = self.shared.view();
        let (index, _) = view.network.bridge(bridge).ok_or_else(|| format!("{bridge}: unknown bridge"))?;
        let (m, _) =
            matches::parse(flow, &names).map_err(|e| format!("Bad openflow flow syntax: {flow}: {e}"))?;
        let mut key = m.key;
        field::options(&m)
            .filter_map(Field::option)
            .for_each(|n| tun_metadata::set_present(&mut key, n, true));
        if key.eth_type() == 0 && key.packet_type() == 0 {
            key.set_eth_type(0);
        }
        let mut out = String::new();
        let mut forks = self.step(&view, index, &key, effects, &mut out);
        for _ in 0..MAX_RECIRCULATIONS {
            let Some(fork) = forks.pop_front() else { break };
            let chosen = ct_next.pop_front();
            let key = resumed(&fork, chosen.unwrap_or(ct_state::TRK | ct_state::NEW));
            out += &banner(&fork, chosen, &key);
            forks.extend(self.step(&view, index, &key, effects, &mut out));
        }
        Ok(out)
    }

    /// Traces one pass through the tables.
    fn step(
        &self,
        view: &View,
        bridge: usize,
        key: &FlowKey,
        effects: SideEffects,
        out: &mut String,
    ) -> VecDeque<Fork> {
        let names = openflow::Names::none();
        let outcome = xlate::translate(&Request {
            network: &view.network,
            memory: &ViewMemory { shared: &self.shared, view },
            bridge,
            key,
            actions: None,
            effects,
            trace: true,
        });
        *out += &format!("Flow: {}\n", flow_text(key, &names));
        let Outcome { trace, flow, wc, actions, error, forks, credits, slow, .. } = outcome;
        *out += &trace.unwrap_or_default().text();
        let mut end = flow;
        end.set_actset_output(key.actset_output());
        let changed = flow_text(&end, &names);
        // What the tracker cleared is no change of the packet.
        let mut untracked = *key;
        for (s, _) in [(flow::slot::ct_state, ()), (flow::slot::ct_zone, ()), (flow::slot::ct_mark, ())] {
            untracked.set(s, end.get(s));
        }
        untracked.set(flow::slot::ct_label, end.get(flow::slot::ct_label));
        let same = changed == flow_text(&untracked, &names);
        *out += &format!("\nFinal flow: {}\n", if same { "unchanged" } else { &changed });
        let mut matched = *key;
        if let Some(bridge) = view.network.bridges.get(bridge) {
            bridge.rules.options.open(&mut matched);
        }
        *out += &format!("Megaflow: {}\n", megaflow_text(&matched, &wc, &names));
        *out += &format!("Datapath actions: {}\n", odp::text::ActionList(&actions));
        if let Some(error) = error {
            *out += &format!("Translation failed ({}), packet is dropped.\n", error.text());
        } else if slow != SlowPath::default() {
            // An action for debugging is the one reason.
            *out += "This flow is handled by the userspace slow path because it:\n  - Uses action(s) not supported by datapath.\n";
        }
        if effects == SideEffects::Allowed {
            let used = self.shared.last_time();
            self.shared.credit(
                view,
                &credits,
                Batch { packets: 0, bytes: 0, used, tcp_flags: key.tcp_flags() },
            );
        }
        forks.into()
    }
}

/// The packet as it comes back from the tracker with `state`, translated addresses simulated.
fn resumed(fork: &Fork, state: u8) -> FlowKey {
    let mut key = fork.flow;
    key.set_recirc_id(fork.id);
    key.set_ct_state(state);
    key.set_ct_zone(fork.zone);
    if let Some(nat) = fork.nat {
        let addr = nat.addr.map(|(lo, _)| lo).filter(|_| !nat.is_ipv6);
        let port = nat.port.map(|(lo, _)| lo);
        match nat.kind {
            Some(odp::NatKind::Src) => {
                addr.into_iter().for_each(|a| key.set_nw_src(a as u32));
                port.into_iter().for_each(|p| key.set_tp_src(p));
            }
            Some(odp::NatKind::Dst) => {
                addr.into_iter().for_each(|a| key.set_nw_dst(a as u32));
                port.into_iter().for_each(|p| key.set_tp_dst(p));
            }
            None => {}
        }
    }
    key
}

fn banner(fork: &Fork, chosen: Option<u8>, key: &FlowKey) -> String {
    let line = "=".repeat(79);
    let state = match chosen {
        Some(state) => format!("resume conntrack with ct_state={}", ct_state_text(state)),
        None => "resume conntrack with default ct_state=trk|new (use --ct-next to customize)".into(),
    };
    let mut out = format!("\n{line}\nrecirc({:#x}) - {state}\n", fork.id);
    if fork.nat.is_some_and(|n| n.kind.is_some()) {
        let addresses = |k: &FlowKey| {
            let ip = std::net::Ipv4Addr::from_bits;
            let (src, dst) = (ip(k.nw_src()), ip(k.nw_dst()));
            format!("nw_src={src},tp_src={},nw_dst={dst},tp_dst={}", k.tp_src(), k.tp_dst())
        };
        out += "Replacing src/dst IP/ports to simulate NAT:\n";
        out += &format!(" Initial flow: {}\n", addresses(&fork.flow));
        out += &format!(" Modified flow: {}\n", addresses(key));
    }
    out + &format!("{line}\n\n")
}

/// `trk,est` and the like.
fn parse_ct_state(text: &str) -> Result<u8, String> {
    let mut state = 0;
    for name in text.split([',', '|', ' ']).filter(|n| !n.is_empty()) {
        let bit = ct_state::NAMES.iter().position(|n| *n == name);
        state |= 1 << bit.ok_or_else(|| format!("{name}: unknown connection tracking state flag"))?;
    }
    if state & ct_state::TRK == 0 {
        return Err("invalid connection state: TRK must be set".into());
    }
    Ok(state)
}
