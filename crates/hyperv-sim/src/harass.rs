//! Hostile user space: any IOCTL with any bytes, on many files at once, with waits that are cancelled.
//!
//! Where it sits: part of the administrator's script, while guests talk. Whoever may open the device is trusted not to remove
//! ports, so that is left out; everything else may come, broken in any way. What must hold is checked by the ledgers and by
//! the rules of requests: each is completed once, nothing is left, and guests still get through.

use netlink::flags;
use odp::netlink::ids::{self, Family, cmd, control_attr, control_cmd};

use crate::channel::Channel;
use crate::files::Pending;
use crate::world::{rule, with};

/// Files at most.
const FILES: usize = 6;
/// Codes of the device, and some that are none.
const CODES: [u32; 8] =
    [0xafc8_8400, 0xafc8_4406, 0xafc8_440a, 0xafc8_440e, 0xafc8_4411, 0xafc8_8416, 0xafc8_8418, 0x0022_2003];
const FAMILIES: [Family; 8] =
    [ids::CONTROL, ids::DATAPATH, ids::PACKET, ids::VPORT, ids::FLOW, ids::NETDEV, ids::CT_LIMIT, ids::METER];

fn below(n: usize) -> usize {
    with(|w| w.random.below(n))
}

fn bytes(n: usize) -> Vec<u8> {
    with(|w| (0..n).map(|_| w.random.next() as u8).collect())
}

/// A message that some family may take, with a few attributes of random bytes, and perhaps a bit wrong.
fn message(channel: &Channel) -> Vec<u8> {
    let family = FAMILIES[below(FAMILIES.len())];
    let flags = if below(3) == 0 { flags::REQUEST | flags::DUMP } else { flags::REQUEST };
    let mut message = channel.message(family, below(8) as u8, flags, |b| {
        for _ in 0..below(5) {
            let payload = bytes([1, 2, 4, 8, 12, 16, 40][below(7)]);
            b.put(below(14) as u16, &payload);
        }
    });
    if below(3) == 0 {
        let at = below(message.len());
        message[at] ^= 1 << below(8);
    }
    if below(8) == 0 {
        message.truncate(below(message.len()));
    }
    message
}

/// Ports are not to be made, changed or removed.
fn is_about_ports(message: &[u8]) -> bool {
    message.get(4..6) == Some(&ids::VPORT.id.to_le_bytes()) && message.get(16) != Some(&cmd::GET)
}

fn subscribe(channel: &Channel) {
    // Events of connections come from other processors, at any time.
    let _ = channel.ask(ids::CONTROL, control_cmd::SOCK_PROP, 0, |b| {
        b.put_u32(control_attr::SOCK_PROTO, [ids::NETLINK_GENERIC, ids::NETLINK_NETFILTER][below(2)]);
        b.put_u32(control_attr::SOCK_PID, channel.pid);
    });
    // Twice, or without memory, it fails; both may be.
    let _ = channel.write(ids::CONTROL, control_cmd::PACKET_SUBSCRIBE, |b| {
        b.put_u8(control_attr::PACKET_SUBSCRIBE, below(2) as u8);
        b.put_u32(control_attr::PACKET_PID, channel.pid);
    });
    let _ = channel.write(ids::CONTROL, control_cmd::MC_SUBSCRIBE, |b| {
        b.put_u32(control_attr::MCAST_GRP, below(4) as u32);
        b.put_u8(control_attr::MCAST_JOIN, below(2) as u8);
    });
}

/// Files, and what waits at them.
#[derive(Default)]
struct Mob {
    files: Vec<(Channel, Vec<Pending>)>,
}

impl Mob {
    fn step(&mut self) {
        if self.files.is_empty() || (below(6) == 0 && self.files.len() < FILES) {
            // Memory may be short.
            self.files.extend(Channel::open().ok().map(|channel| (channel, Vec::new())));
            return;
        }
        let at = below(self.files.len());
        let (channel, waiting) = &mut self.files[at];
        match below(10) {
            0 => self.leave(at),
            1 => subscribe(channel),
            2 | 3 => waiting.push(channel.wait([control_cmd::PEND, control_cmd::PEND_PACKET][below(2)])),
            4 => {
                if let Some(mut pending) = waiting.pop() {
                    pending.cancel();
                    // Cancelled, or over before it was.
                    let _ = pending.finish();
                }
            }
            5 => {
                let (code, room) = (CODES[below(CODES.len())], [0, 3, 4, 35, 36, 100, 70_000][below(7)]);
                let input = bytes(below(60));
                // Completed, one way or another: the rules of requests are checked on the way.
                let _ = channel.raw(code, &input, room);
            }
            _ => {
                let message = message(channel);
                if !is_about_ports(&message) {
                    let code = CODES[4 + below(2)];
                    waiting.push(channel.begin(code, &message));
                }
            }
        }
    }

    /// Closes a file; what waits there ends by that.
    fn leave(&mut self, at: usize) {
        let (channel, waiting) = self.files.swap_remove(at);
        channel.close();
        rule(waiting.iter().all(Pending::is_over), "a file is closed, and a request of it is not completed");
        for pending in waiting {
            let _ = pending.finish();
        }
    }
}

/// Does its worst, and leaves.
pub(crate) fn harass(steps: usize) {
    let mut mob = Mob::default();
    for _ in 0..steps {
        mob.step();
    }
    while let Some(last) = mob.files.len().checked_sub(1) {
        mob.leave(last);
    }
}
