//! Run-time control of ovsextd: what it has, what it lost, and what its threads do.
//!
//! Where it sits: registered by `run`.

use std::sync::Arc;

use daemon::unixctl::Commands;
use dpif::Dpif;
use dpif::text::{Counters, FlowLine, show};

use crate::host::Host;

/// Registers the commands.
pub(crate) fn register(commands: &Commands, host: &Arc<Host>) {
    let of_call = host.clone();
    commands.register("ovsextd/show", "", 0..=0, move |call| call.reply(shown(&of_call)));
    let of_call = host.clone();
    commands.register("ovsextd/dump-flows", "", 0..=0, move |call| {
        let now_ms = of_call.env().now.mono.as_millis();
        let mut out = String::new();
        of_call.dpif.for_each_flow(&mut |flow| out += &format!("{}\n", FlowLine { flow: &flow, now_ms }));
        call.reply(out);
    });
    let of_call = host.clone();
    commands.register("ovsextd/show-ways", "", 0..=0, move |call| call.reply(of_call.ways.show()));
    for command in &dpif_netdev::COMMANDS {
        let host = host.clone();
        commands.register(command.name, command.usage, 0..=command.max, move |call| {
            let args: Vec<&str> = call.args.iter().map(String::as_str).collect();
            match command.answer(&[&host.dpif], &args) {
                Ok(text) => call.reply(text),
                Err(text) => call.error(text),
            }
        });
    }
}

/// Ports and totals; who is connected; what was lost, and why.
fn shown(host: &Host) -> String {
    let mut out = show(&host.dpif, Counters::Without);
    let lost = host.device.counters();
    out += &format!("  handles: {}\n", host.handles());
    out += &format!("  connections: {}\n", host.dpif.datapath().conntrack().count());
    out += &format!(
        "  upcalls: unwanted:{} lost:{}\n  events: lost:{}\n",
        lost.upcalls_unwanted, lost.upcalls_lost, lost.events_lost
    );
    for (reason, n) in host.dpif.stats().drops.iter().filter(|(_, n)| *n != 0) {
        out += &format!("  drop {}: {n}\n", reason.name());
    }
    out
}
