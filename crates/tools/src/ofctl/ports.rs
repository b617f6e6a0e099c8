//! mod-port: changing how a port behaves.
//!
//! Where it sits: one PORT_MOD after the port's address was asked for.
//!
//! Spec: ovs-ofctl(8), `mod-port`.

use openflow::msg::{Message, PortConfig, PortDesc, PortMod};

use super::vconn::Vconn;
use super::{Context, Fatal, fatal, flows, names};

/// Words, the bit that they mean, and whether they set it. `no-` before one of the second half turns it around.
const ACTIONS: [(&str, PortConfig, bool); 8] = [
    ("up", PortConfig::PORT_DOWN, false),
    ("down", PortConfig::PORT_DOWN, true),
    ("stp", PortConfig::NO_STP, false),
    ("receive", PortConfig::NO_RECV, false),
    ("receive-stp", PortConfig::NO_RECV_STP, false),
    ("flood", PortConfig::NO_FLOOD, false),
    ("forward", PortConfig::NO_FWD, false),
    ("packet-in", PortConfig::NO_PACKET_IN, false),
];

fn action(word: &str) -> Option<(PortConfig, bool)> {
    let lower = word.to_ascii_lowercase();
    let find = |name: &str| ACTIONS.iter().find(|(n, ..)| *n == name).map(|(_, bit, set)| (*bit, *set));
    match lower.strip_prefix("no-") {
        Some(name) if name != "up" && name != "down" => find(name).map(|(bit, set)| (bit, !set)),
        _ => find(&lower),
    }
}

/// mod-port
pub async fn mod_port(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    let (switch, port, word) = (&args[0], &args[1], &args[2]);
    let (bit, set) = action(word).ok_or_else(|| fatal(format!("unknown mod-port command '{word}'")))?;
    let mut vconn = Vconn::open(cx, switch).await?;
    let desc = find(&mut vconn, switch, port).await?;
    let config = if set { bit } else { PortConfig::empty() };
    let request = PortMod { port: desc.port, hw_addr: desc.hw_addr, config, mask: bit, ..PortMod::default() };
    let errors = vconn.transact_without_reply(&[Message::PortMod(request)]).await?;
    match errors.first() {
        Some(error) => Err(flows::refused(cx, error)),
        None => Ok(()),
    }
}

async fn find(vconn: &mut Vconn, switch: &str, port: &str) -> Result<PortDesc, Fatal> {
    let number = port.parse::<u32>().ok();
    let reserved = openflow::OfpPort::from_reserved_name(port);
    let is_it = |p: &PortDesc| {
        number == Some(p.port.0) || reserved == Some(p.port) || number.is_none() && p.name == port
    };
    let found = names::ports(vconn).await?.into_iter().find(is_it);
    found.ok_or_else(|| fatal(format!("{switch}: couldn't find port `{port}'")))
}
