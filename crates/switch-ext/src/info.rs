//! What hardware did to a packet or is to do: NDIS's words, and the core's.
//!
//! Where it sits: a packet comes with three words; the core works on [`Offload`] and on tags in the frame; a changed packet
//! leaves with words again.
//!
//! Packets of the external port carry what a receiver's hardware found out; all others carry what a sender's hardware is
//! to do. The same bits mean different things.
//!
//! Spec: NDIS_TCP_IP_CHECKSUM_…, NDIS_TCP_LARGE_SEND_OFFLOAD_…, NDIS_NET_BUFFER_LIST_8021Q_INFO.

use packet::{L4Checksum, Offload, Segmentation, SegmentationKind};

/// The three words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// Checksums.
    pub checksum: u64,
    /// Large send.
    pub large_send: u64,
    /// The VLAN tag.
    pub vlan: u64,
}

const TX_IPV4: u64 = 1;
const TX_IPV6: u64 = 1 << 1;
const TX_TCP: u64 = 1 << 2;
const TX_UDP: u64 = 1 << 3;
const TX_IP: u64 = 1 << 4;
const TX_OFFSET_SHIFT: u32 = 16;
const TX_OFFSET: u64 = 0x3ff << TX_OFFSET_SHIFT;
const RX_FAILED: u64 = 1 | 1 << 1;
const RX_SUCCEEDED: u64 = 1 << 3 | 1 << 4;
const MSS: u64 = 0xf_ffff;
const LSO_OFFSET_SHIFT: u32 = 20;
const LSO_OFFSET: u64 = 0x3ff << LSO_OFFSET_SHIFT;
const LSO_V2: u64 = 1 << 30;
const LSO_IPV6: u64 = 1 << 31;
/// Where TCP and UDP have their checksum.
const TCP_CHECKSUM: u16 = 16;
const UDP_CHECKSUM: u16 = 6;

impl Info {
    /// The tag as a frame would have it: priority, the canonical bit, VLAN.
    pub(crate) fn tci(&self) -> Option<u16> {
        let v = self.vlan as u16;
        (v != 0).then_some((v & 7) << 13 | (v >> 3 & 1) << 12 | v >> 4)
    }

    /// The same packet with another tag. A tag of zeros cannot be told from none.
    pub(crate) fn with_tci(self, tci: Option<u16>) -> Info {
        let vlan = tci.map_or(0, |t| t >> 13 | (t >> 12 & 1) << 3 | (t & 0xfff) << 4);
        Info { vlan: u64::from(vlan), ..self }
    }

    /// What a packet from a virtual machine or the host is to have done; `l4` is where its transport header begins.
    pub(crate) fn offload_to_do(&self, l4: Option<u16>) -> Offload {
        let mut offload = Offload::default();
        let mss = self.large_send & MSS;
        let at = |word: u64, mask: u64, shift: u32| match (word & mask) >> shift {
            0 => l4,
            n => Some(n as u16),
        };
        if let Some(size) = u16::try_from(mss).ok().filter(|n| *n != 0) {
            let kind = if self.large_send & LSO_IPV6 != 0 {
                SegmentationKind::TcpV6
            } else {
                SegmentationKind::TcpV4
            };
            offload.segment = Some(Segmentation { kind, size, ecn: false });
            if let Some(start) = at(self.large_send, LSO_OFFSET, LSO_OFFSET_SHIFT) {
                offload.l4 = L4Checksum::Partial { start, offset: TCP_CHECKSUM };
            }
        } else if self.checksum & (TX_TCP | TX_UDP) != 0
            && let Some(start) = at(self.checksum, TX_OFFSET, TX_OFFSET_SHIFT)
        {
            let offset = if self.checksum & TX_TCP != 0 { TCP_CHECKSUM } else { UDP_CHECKSUM };
            offload.l4 = L4Checksum::Partial { start, offset };
        }
        offload
    }

    /// What a receiver's hardware found out about a packet from outside.
    pub(crate) fn offload_done(&self) -> Offload {
        let l4 = if self.checksum & RX_FAILED != 0 {
            L4Checksum::Bad
        } else if self.checksum & RX_SUCCEEDED != 0 {
            L4Checksum::Good
        } else {
            L4Checksum::Unknown
        };
        Offload { l4, ..Offload::default() }
    }

    /// The words of a changed packet that had `self` and `before`, and has `now`. Headers may have moved; what was to be
    /// done still is.
    pub(crate) fn after(&self, before: &Offload, now: &Offload) -> Info {
        match (before.l4, now.l4) {
            (L4Checksum::Partial { .. }, L4Checksum::Partial { start, .. }) => {
                let start = u64::from(start);
                let checksum = self.checksum & !TX_OFFSET | start << TX_OFFSET_SHIFT & TX_OFFSET;
                let large_send = self.large_send & !LSO_OFFSET | start << LSO_OFFSET_SHIFT & LSO_OFFSET;
                Info {
                    checksum: if self.checksum == 0 { 0 } else { checksum },
                    large_send: if now.segment.is_none() { 0 } else { large_send },
                    ..*self
                }
            }
            (was, is) if was == is => Info { large_send: 0, ..*self },
            _ => Info { checksum: 0, large_send: 0, ..*self },
        }
    }

    /// The words by which a sender has done what `offload` says, and nothing else.
    pub(crate) fn to_do(offload: &Offload, is_ipv6: bool) -> Info {
        let L4Checksum::Partial { start, offset } = offload.l4 else { return Info::default() };
        let start = u64::from(start);
        if let Some(how) = offload.segment {
            let family = if is_ipv6 { LSO_IPV6 } else { 0 };
            let large_send = u64::from(how.size) | start << LSO_OFFSET_SHIFT & LSO_OFFSET | LSO_V2 | family;
            return Info { large_send, ..Info::default() };
        }
        let family = if is_ipv6 { TX_IPV6 } else { TX_IPV4 };
        let what = if offset == TCP_CHECKSUM { TX_TCP } else { TX_UDP };
        Info { checksum: family | what | start << TX_OFFSET_SHIFT & TX_OFFSET, ..Info::default() }
    }

    /// True if the checksum of the IPv4 header is left to the sender's hardware.
    pub(crate) fn wants_ip_checksum(&self) -> bool {
        self.checksum & TX_IP != 0
    }
}

/// True if a checksum is left to hardware.
pub(crate) fn asks(offload: &Offload) -> bool {
    matches!(offload.l4, L4Checksum::Partial { .. })
}

/// Where the transport header of an untagged frame begins, by the shortest way; `None` if it is not plain IP.
pub(crate) fn l4_offset(head: &[u8]) -> Option<u16> {
    match (head.get(12)?, head.get(13)?) {
        (0x08, 0x00) => Some(14 + u16::from(head.get(14)? & 0xf) * 4),
        (0x86, 0xdd) => Some(54),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_go_both_ways() {
        for tci in [0x0001, 0x2fff, 0xe064, 0x1005] {
            assert_eq!(Info::default().with_tci(Some(tci)).tci(), Some(tci));
        }
        assert_eq!(Info::default().with_tci(None).tci(), None);
        // VLAN 100 with priority 5, as NDIS has it
        assert_eq!(Info { vlan: 5 | 100 << 4, ..Info::default() }.tci(), Some(5 << 13 | 100));
    }

    #[test]
    fn requests_follow_headers_that_move() {
        let asked = Info { checksum: 1 | TX_TCP | 34 << 16, ..Info::default() };
        let before = asked.offload_to_do(None);
        assert_eq!(before.l4, L4Checksum::Partial { start: 34, offset: 16 });
        let mut now = before;
        now.shift(4);
        assert_eq!(asked.after(&before, &now).checksum, 1 | TX_TCP | 38 << 16);
        assert_eq!(asked.after(&before, &Offload::default()), Info::default(), "no longer to be done");
    }

    #[test]
    fn large_sends_are_segmentation() {
        let asked = Info { large_send: 1460 | 34 << 20 | 1 << 30, ..Info::default() };
        let offload = asked.offload_to_do(None);
        assert_eq!(offload.segment.map(|s| (s.kind, s.size)), Some((SegmentationKind::TcpV4, 1460)));
        assert_eq!(asked.after(&offload, &offload), asked);
    }

    #[test]
    fn what_a_tunnel_left_is_asked_for() {
        let l4 = L4Checksum::Partial { start: 54, offset: 16 };
        let segment = Some(Segmentation { kind: SegmentationKind::TcpV6, size: 1400, ecn: false });
        let large = Info::to_do(&Offload { l4, segment, outer: 0 }, true);
        assert_eq!(large, Info { large_send: 1400 | 54 << 20 | 3 << 30, ..Info::default() });
        let one = Info::to_do(&Offload { l4, ..Offload::default() }, true);
        assert_eq!(one, Info { checksum: 2 | 4 | 54 << 16, ..Info::default() });
        let l4 = L4Checksum::Partial { start: 34, offset: 6 };
        let datagram = Info::to_do(&Offload { l4, ..Offload::default() }, false);
        assert_eq!(datagram, Info { checksum: 1 | 8 | 34 << 16, ..Info::default() });
        assert_eq!(
            Info::to_do(&Offload { l4: L4Checksum::Good, ..Offload::default() }, false),
            Info::default()
        );
    }

    #[test]
    fn receivers_words_are_findings() {
        assert_eq!(Info { checksum: 1 << 3, ..Info::default() }.offload_done().l4, L4Checksum::Good);
        assert_eq!(Info { checksum: 1 << 1, ..Info::default() }.offload_done().l4, L4Checksum::Bad);
    }
}
