//! bundle: a file of flows, groups and packets that take effect together.
//!
//! Where it sits: each line begins with `flow`, `group` or `packet-out`; the rest is what the command of that kind reads.
//!
//! Spec: ovs-ofctl(8), "OpenFlow Switch Bundle Command".

use openflow::msg::{GroupCommand, Message};
use openflow::text::{flow, group};
use openflow::{FlowModCommand, Names, Protocols};

use super::{Context, Fatal, flows, packets};

/// bundle
pub async fn bundle(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    let (switch, file) = (&args[0], &args[1]);
    let lines = flows::read_lines(file)?;
    let parse = |names: &Names| {
        let mut messages = Vec::new();
        let mut usable = Protocols::ANY;
        for (number, line) in &lines {
            let one = parse_line(line, names).map_err(|e| format!("{file}:{number}: {e}"))?;
            messages.extend(one.0);
            usable &= one.1;
        }
        Ok((messages, usable))
    };
    let (messages, usable) = flows::with_names(cx, switch, parse).await?;
    // There are no bundles before 1.4, but for an extension of 1.3 that nobody asks for here.
    let mut cx = cx.clone();
    if !cx.allowed.intersects(Protocols::OF13_UP) {
        cx.allowed = Protocols::OF14_OXM;
    }
    flows::send_bundle(&cx, switch, messages, usable & Protocols::OF13_UP).await
}

fn parse_line(line: &str, names: &Names) -> Result<(Vec<Message>, Protocols), String> {
    let (kind, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    match kind {
        "flow" => {
            let (fm, usable) =
                flow::parse_line(rest, FlowModCommand::Add, names).map_err(|e| e.to_string())?;
            Ok((vec![Message::FlowMod(fm)], usable))
        }
        "group" => {
            let (gm, usable) =
                group::parse_line(rest, GroupCommand::Add, names).map_err(|e| e.to_string())?;
            Ok((vec![Message::GroupMod(gm)], usable))
        }
        "packet-out" => {
            let (packets, usable) = packets::parse_packet_out(rest, names)?;
            Ok((packets.into_iter().map(Message::PacketOut).collect(), usable))
        }
        _ => Err(format!("Unsupported bundle message type: {kind}")),
    }
}
