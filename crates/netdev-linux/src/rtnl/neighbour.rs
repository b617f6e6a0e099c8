//! Neighbours: what the kernel says of one, and what it is asked.
//!
//! Where it sits: `route` reads all of them, `way` asks for one and follows them.
//!
//! Spec: rtnetlink(7); linux/neighbour.h.

use std::net::IpAddr;

use netlink::{Builder, Header, Message, flags};
use wire::EthAddr;

use super::message::{ip, octets, split};

const RTM_NEWNEIGH: u16 = 28;
const RTM_DELNEIGH: u16 = 29;
pub(super) const RTM_GETNEIGH: u16 = 30;

const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;

/// Bytes of `struct ndmsg`.
pub(super) const NDMSG_LEN: usize = 12;

/// States in which a neighbour's address is good: reachable, stale, delay, probe, noarp and permanent.
const NUD_VALID: u16 = 0x02 | 0x04 | 0x08 | 0x10 | 0x40 | 0x80;
/// A neighbour's state: known, and not heard of for long.
const NUD_STALE: u16 = 0x04;
/// A neighbour's state: it does not answer.
const NUD_FAILED: u16 = 0x20;
/// A neighbour's flag: somebody sends there.
const NTF_USE: u8 = 1;

/// A neighbour whose Ethernet address is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Index of the link.
    pub link: u32,
    /// Its address.
    pub address: IpAddr,
    /// Its Ethernet address.
    pub mac: EthAddr,
}

/// What became of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeighbourState {
    /// It has this Ethernet address.
    Known {
        /// The address.
        mac: EthAddr,
        /// It was not heard of for long: the kernel asks it again if somebody sends there.
        is_stale: bool,
    },
    /// It does not answer.
    Failed,
    /// Not known, or not any more.
    Unknown,
}

/// Asks what the kernel knows of a neighbour.
pub(super) fn get(seq: u32, link: u32, address: IpAddr) -> Option<Vec<u8>> {
    request(seq, (RTM_GETNEIGH, 0), (link, address), 0)
}

/// Has the kernel ask a neighbour for its address, as if it sent a packet there; acknowledged.
pub(super) fn solicit(seq: u32, link: u32, address: IpAddr) -> Option<Vec<u8>> {
    request(seq, (RTM_NEWNEIGH, flags::CREATE | flags::ACK), (link, address), NTF_USE)
}

/// A message about one neighbour, without a state.
fn request(
    seq: u32,
    (kind, more): (u16, u16),
    (link, address): (u32, IpAddr),
    neighbour_flags: u8,
) -> Option<Vec<u8>> {
    let (family, dst) = octets(address);
    let mut fixed = [0; NDMSG_LEN];
    (fixed[0], fixed[10]) = (family, neighbour_flags);
    fixed[4..8].copy_from_slice(&link.to_ne_bytes());
    let mut b = Builder::new();
    b.begin(&Header { kind, flags: flags::REQUEST | more, seq, ..Header::default() }, &fixed);
    b.put(NDA_DST, &dst);
    b.finish()
}

/// Link, address and state of the neighbour that a message is about.
pub(super) fn event(m: &Message<'_>) -> Option<(u32, IpAddr, NeighbourState)> {
    let is_gone = m.header.kind == RTM_DELNEIGH;
    let kind = if is_gone { RTM_DELNEIGH } else { RTM_NEWNEIGH };
    let (fixed, attrs) = split(m, kind, NDMSG_LEN)?;
    let link = u32::from_ne_bytes(fixed.get(4..8)?.try_into().ok()?);
    let state = u16::from_ne_bytes(fixed.get(8..10)?.try_into().ok()?);
    let address = ip(*fixed.first()?, &attrs, NDA_DST)?;
    let mac = || {
        let mac = EthAddr(attrs.find(NDA_LLADDR)?.payload.try_into().ok()?);
        (mac != EthAddr::ZERO && !mac.is_multicast()).then_some(mac)
    };
    let state = match (is_gone, state) {
        (false, NUD_FAILED) => NeighbourState::Failed,
        (false, state) if state & NUD_VALID != 0 => mac().map_or(NeighbourState::Unknown, |mac| {
            NeighbourState::Known { mac, is_stale: state & NUD_STALE != 0 }
        }),
        _ => NeighbourState::Unknown,
    };
    Some((link, address, state))
}

/// The neighbour that a message is about, if its Ethernet address is known.
pub(super) fn known(m: &Message<'_>) -> Option<Neighbour> {
    let (link, address, state) = event(m)?;
    let NeighbourState::Known { mac, .. } = state else { return None };
    Some(Neighbour { link, address, mac })
}

#[cfg(test)]
mod tests {
    use super::super::message::AF_INET;
    use super::*;

    fn told(kind: u16, state: u16, mac: &[u8]) -> Option<(u32, IpAddr, NeighbourState)> {
        let mut b = Builder::new();
        let mut fixed = [0; NDMSG_LEN];
        (fixed[0], fixed[4]) = (AF_INET, 7);
        fixed[8..10].copy_from_slice(&state.to_ne_bytes());
        b.begin(&Header { kind, ..Header::default() }, &fixed);
        b.put(NDA_DST, &[10, 0, 0, 1]);
        b.put(NDA_LLADDR, mac);
        let bytes = b.finish().unwrap();
        let m = netlink::Messages::new(&bytes).next().unwrap().unwrap();
        event(&m)
    }

    #[test]
    fn a_neighbour_is_known_in_some_states_and_if_it_has_an_address() {
        let mac = [2, 0, 0, 0, 0, 1];
        let known = |is_stale| Some(NeighbourState::Known { mac: EthAddr(mac), is_stale });
        let state = |kind, state, mac: &[u8]| {
            told(kind, state, mac).map(|(link, address, state)| {
                assert_eq!((link, address), (7, "10.0.0.1".parse().unwrap()));
                state
            })
        };
        assert_eq!(state(RTM_NEWNEIGH, 0x02, &mac), known(false));
        assert_eq!(state(RTM_NEWNEIGH, NUD_STALE, &mac), known(true));
        assert_eq!(state(RTM_NEWNEIGH, NUD_FAILED, &mac), Some(NeighbourState::Failed));
        let unknown = Some(NeighbourState::Unknown);
        assert_eq!(state(RTM_NEWNEIGH, 0x01, &mac), unknown, "being asked");
        assert_eq!(state(RTM_DELNEIGH, 0x02, &mac), unknown);
        for none in [&[][..], &[0; 6], &[1, 0, 0, 0, 0, 1], &[2; 20]] {
            assert_eq!(state(RTM_NEWNEIGH, 0x02, none), unknown, "{none:?}");
        }
        assert_eq!(state(RTM_DELNEIGH + 1, 0x02, &mac), None);
    }
}
