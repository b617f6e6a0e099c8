//! Link messages: reading what the kernel says of a device, and writing what is asked of it.
//!
//! Where it sits: between netlink's bytes and [`super::Links`]. Pure.
//!
//! Spec: rtnetlink(7); linux/if_link.h.

use netdev::NetdevStats;
use netlink::{Attrs, Builder, Header, Message, flags};
use wire::EthAddr;

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_SETLINK: u16 = 19;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_LINKINFO: u16 = 18;
const IFLA_STATS64: u16 = 23;
const IFLA_EXT_MASK: u16 = 29;
const RTEXT_FILTER_SKIP_STATS: u32 = 1 << 3;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;

const IFF_UP: u32 = 1;
const IFF_RUNNING: u32 = 0x40;
const IFF_LOWER_UP: u32 = 0x1_0000;

/// Bytes of `struct ifinfomsg`.
const IFINFO_LEN: usize = 16;

/// What is known of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LinkInfo {
    pub index: u32,
    pub name: String,
    pub flags: u32,
    pub mtu: u32,
    pub mac: EthAddr,
    /// The link at the other end or below, zero for none: of a veth pair the peer.
    pub peer: u32,
}

impl LinkInfo {
    pub(crate) fn up(&self) -> bool {
        self.flags & IFF_UP != 0
    }

    pub(crate) fn carrier(&self) -> bool {
        self.flags & IFF_RUNNING != 0
    }

    /// True if the kernel gives packets to the driver: also where a protocol above holds the link back.
    pub(crate) fn sends(&self) -> bool {
        self.flags & IFF_LOWER_UP != 0
    }
}

/// What a message says happened, or is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LinkEvent {
    Is(LinkInfo),
    Gone(u32),
}

/// Reads a notification, or an answer to a request. What concerns a bridge's ports, not a device, is `None`.
pub(crate) fn event(message: &Message<'_>) -> Option<LinkEvent> {
    let (head, rest) = message.payload.split_first_chunk::<IFINFO_LEN>()?;
    if head[0] != 0 {
        return None;
    }
    let index = u32::from_ne_bytes([head[4], head[5], head[6], head[7]]);
    match message.header.kind {
        RTM_DELLINK => Some(LinkEvent::Gone(index)),
        RTM_NEWLINK => {
            let attrs = Attrs::new(rest);
            Some(LinkEvent::Is(LinkInfo {
                index,
                name: attrs.find(IFLA_IFNAME)?.str()?.to_owned(),
                flags: u32::from_ne_bytes([head[8], head[9], head[10], head[11]]),
                mtu: attrs.find(IFLA_MTU).and_then(|a| a.u32()).unwrap_or(0),
                mac: attrs
                    .find(IFLA_ADDRESS)
                    .and_then(|a| a.payload.try_into().ok())
                    .map_or(EthAddr::ZERO, EthAddr),
                peer: attrs.find(IFLA_LINK).and_then(|a| a.u32()).unwrap_or(0),
            }))
        }
        _ => None,
    }
}

/// The counters in an answer to a request for one link, as seen from the device.
pub(crate) fn stats(message: &Message<'_>) -> Option<NetdevStats> {
    let attr = Attrs::new(message.payload.get(IFINFO_LEN..)?).find(IFLA_STATS64)?;
    let n = |index: usize| attr.payload.get(index * 8..)?.first_chunk().map(|b| u64::from_ne_bytes(*b));
    Some(NetdevStats {
        rx_packets: n(0),
        tx_packets: n(1),
        rx_bytes: n(2),
        tx_bytes: n(3),
        rx_errors: n(4),
        tx_errors: n(5),
        rx_dropped: n(6),
        tx_dropped: n(7),
        collisions: n(9),
        rx_over_err: n(11),
        rx_crc_err: n(12),
        rx_frame_err: n(13),
        rx_missed_errors: n(15),
        ..NetdevStats::default()
    })
}

/// What to change of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkChange {
    Mac(EthAddr),
    Mtu(u32),
    Up,
    Down,
}

/// A request for every link, without counters.
pub(crate) fn dump(seq: u32) -> Option<Vec<u8>> {
    let mut b = Builder::new();
    b.begin(
        &Header { kind: RTM_GETLINK, flags: flags::REQUEST | flags::DUMP, seq, pid: 0 },
        &[0; IFINFO_LEN],
    );
    b.put_u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    b.finish()
}

/// Which link a request means.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which<'a> {
    Name(&'a str),
    Index(u32),
}

/// A request for one link with its counters.
pub(crate) fn get(seq: u32, which: Which<'_>) -> Option<Vec<u8>> {
    let mut b = Builder::new();
    let header = Header { kind: RTM_GETLINK, flags: flags::REQUEST, seq, pid: 0 };
    match which {
        Which::Name(name) => {
            b.begin(&header, &[0; IFINFO_LEN]);
            b.put_str(IFLA_IFNAME, name);
        }
        Which::Index(index) => b.begin(&header, &of_link(index)),
    }
    b.finish()
}

/// A request to make a pair of veth devices, to be acknowledged. A `%d` in the peer's name becomes a free number.
pub(crate) fn new_veth(seq: u32, name: &str, peer: &str) -> Option<Vec<u8>> {
    let flags = flags::REQUEST | flags::ACK | flags::CREATE | flags::EXCL;
    let mut b = Builder::new();
    b.begin(&Header { kind: RTM_NEWLINK, flags, seq, pid: 0 }, &[0; IFINFO_LEN]);
    b.put_str(IFLA_IFNAME, name);
    let info = b.begin_nest(IFLA_LINKINFO);
    b.put_str(IFLA_INFO_KIND, "veth");
    let data = b.begin_nest(IFLA_INFO_DATA);
    let other = b.begin_nest(VETH_INFO_PEER);
    b.put_raw(&[0; IFINFO_LEN]);
    b.put_str(IFLA_IFNAME, peer);
    b.end_nest(other);
    b.end_nest(data);
    b.end_nest(info);
    b.finish()
}

/// A request to remove a link, to be acknowledged.
pub(crate) fn delete(seq: u32, index: u32) -> Option<Vec<u8>> {
    let mut b = Builder::new();
    let header = Header { kind: RTM_DELLINK, flags: flags::REQUEST | flags::ACK, seq, pid: 0 };
    b.begin(&header, &of_link(index));
    b.finish()
}

/// A `struct ifinfomsg` that names a link.
fn of_link(index: u32) -> [u8; IFINFO_LEN] {
    let mut head = [0; IFINFO_LEN];
    head[4..8].copy_from_slice(&index.to_ne_bytes());
    head
}

/// A request to change a link, to be acknowledged.
pub(crate) fn set(seq: u32, index: u32, change: LinkChange) -> Option<Vec<u8>> {
    let mut head = of_link(index);
    if matches!(change, LinkChange::Up | LinkChange::Down) {
        let wanted = if change == LinkChange::Up { IFF_UP } else { 0 };
        head[8..12].copy_from_slice(&wanted.to_ne_bytes());
        head[12..16].copy_from_slice(&IFF_UP.to_ne_bytes());
    }
    let mut b = Builder::new();
    b.begin(&Header { kind: RTM_SETLINK, flags: flags::REQUEST | flags::ACK, seq, pid: 0 }, &head);
    match change {
        LinkChange::Mac(mac) => b.put(IFLA_ADDRESS, &mac.0),
        LinkChange::Mtu(mtu) => b.put_u32(IFLA_MTU, mtu),
        LinkChange::Up | LinkChange::Down => {}
    }
    b.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, family: u8, attrs: impl Fn(&mut Builder)) -> Vec<u8> {
        let mut head = [0; IFINFO_LEN];
        head[0] = family;
        head[4] = 7;
        head[8] = 0x41;
        let mut b = Builder::new();
        b.begin(&Header { kind, ..Header::default() }, &head);
        attrs(&mut b);
        b.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> Option<LinkEvent> {
        event(&netlink::Messages::new(bytes).next().unwrap().unwrap())
    }

    #[test]
    fn links_come_and_go_but_not_with_bridges() {
        let attrs = |b: &mut Builder| {
            b.put_str(IFLA_IFNAME, "veth0");
            b.put_u32(IFLA_MTU, 1500);
            b.put(IFLA_ADDRESS, &[2, 0, 0, 0, 0, 1]);
            b.put_u32(IFLA_LINK, 3);
        };
        let mac = EthAddr([2, 0, 0, 0, 0, 1]);
        let link = LinkInfo { index: index_7(), name: "veth0".into(), flags: 0x41, mtu: 1500, mac, peer: 3 };
        assert!(link.up() && link.carrier());
        assert_eq!(read(&message(RTM_NEWLINK, 0, attrs)), Some(LinkEvent::Is(link)));
        assert_eq!(read(&message(RTM_DELLINK, 0, attrs)), Some(LinkEvent::Gone(index_7())));
        assert_eq!(read(&message(RTM_DELLINK, 7, attrs)), None);
        assert_eq!(read(&message(RTM_NEWLINK, 0, |_| {})), None);
    }

    fn index_7() -> u32 {
        u32::from_ne_bytes([7, 0, 0, 0])
    }

    #[test]
    fn counters_are_the_kernels_in_order() {
        let counters: Vec<u8> = (1..=24u64).flat_map(u64::to_ne_bytes).collect();
        let bytes = message(RTM_NEWLINK, 0, |b| b.put(IFLA_STATS64, &counters));
        let m = netlink::Messages::new(&bytes).next().unwrap().unwrap();
        let shown: Vec<String> = stats(&m).unwrap().iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(
            shown.join(" "),
            "rx_packets=1 tx_packets=2 rx_bytes=3 tx_bytes=4 rx_dropped=7 tx_dropped=8 rx_errors=5 tx_errors=6 \
             rx_frame_err=14 rx_over_err=12 rx_crc_err=13 rx_missed_errors=16 collisions=10"
        );
    }
}
