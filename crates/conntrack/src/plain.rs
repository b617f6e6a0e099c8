//! A packet whose headers have been read already: TCP or UDP over IPv4, of a connection that is there.
//!
//! Where it sits: beside `process.rs`. The datapath's short key tells addresses, ports and places; nothing of it is read a
//! second time here. One probe finds the connection, and its shard is locked once.
//!
//! I1  What [`Conntrack::process_plain`] does to packet, metadata and table is what [`Conntrack::process`] does.
//!     Whatever is not a plain packet of a live connection goes there.
//!
//! Context: any worker; never allocates.

use flow::ct_state::{INV, TRK};
use packet::{L4Checksum, Now, PacketMeta};
use wire::tcp::TcpRef;
use wire::{bytes, checksum, ip, ipv4, udp};

use crate::action::{CtAction, CtPacket, CtVerdict, Rewrite};
use crate::conn::Orig;
use crate::counters::Counter;
use crate::extract::Kind;
use crate::process::{Standing, judge};
use crate::table::Conntrack;
use crate::tcp::TcpSegment;

/// What a key tells of a packet that is TCP or UDP over IPv4, without options or fragments, and whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// Source address.
    pub src: u32,
    /// Destination address.
    pub dst: u32,
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// The protocol: TCP or UDP.
    pub proto: u8,
    /// Where the transport header is in the frame: behind an IPv4 header of twenty bytes.
    pub l4: usize,
    /// The end of the packet, by its IPv4 header.
    pub end: usize,
}

/// A frame whose headers are known.
#[derive(Clone, Copy, Debug)]
pub struct PlainFrame<'a> {
    /// The contiguous first bytes, at least to the end of the transport header.
    pub head: &'a [u8],
    /// Bytes of the whole frame.
    pub len: usize,
    /// What is known of the transport checksum.
    pub l4_checksum: L4Checksum,
    /// The headers.
    pub headers: &'a Headers,
}

/// What a packet is to the live connection that it was found to belong to.
#[derive(Clone, Copy, Debug)]
pub struct Tracked {
    /// `flow::ct_state` bits.
    pub state: u8,
    /// The connection's zone.
    pub zone: u16,
    /// The connection's mark.
    pub mark: u32,
    label: [u64; 2],
    note: u64,
    orig: Orig,
}

impl Tracked {
    /// Sets a packet's connection fields, of which none is set.
    #[inline]
    pub fn store(&self, meta: &mut PacketMeta) {
        (meta.ct_state, meta.ct_zone, meta.ct_mark) = (self.state, self.zone, self.mark);
        let [high, low] = self.label;
        meta.ct_label = u128::from(high) << 64 | u128::from(low);
        meta.ct_conn = self.note;
        meta.ct_tuple = Some(self.orig.to_ct_tuple());
    }
}

impl Conntrack {
    /// What [`Conntrack::process`] does, for a packet whose headers are known and that no `ct` action has seen yet.
    pub fn process_plain(
        &self,
        now: Now,
        meta: &mut PacketMeta,
        packet: &mut CtPacket<'_>,
        headers: &Headers,
        action: &CtAction,
    ) -> CtVerdict {
        if meta.ct_state == 0 && meta.ct_conn == 0 && action.only_looks() {
            let (len, l4_checksum) = (packet.len, packet.l4_checksum);
            let frame = PlainFrame { head: packet.head, len, l4_checksum, headers };
            if let Some(tracked) = self.track_plain(now, &frame, action.zone) {
                tracked.store(meta);
                return CtVerdict::Pass(Rewrite::None);
            }
        }
        self.process(now, meta, packet, action)
    }

    /// The same of a packet of a live connection, where the action only looks ([`CtAction::only_looks`]); `None` for
    /// others, which are left to [`Conntrack::process`].
    pub fn track_plain(&self, now: Now, frame: &PlainFrame<'_>, zone: u16) -> Option<Tracked> {
        match frame.headers.proto {
            ip::PROTO_UDP => self.established::<false>(now, frame, zone),
            ip::PROTO_TCP => self.established::<true>(now, frame, zone),
            _ => None,
        }
    }

    /// The same of TCP or else of UDP.
    #[inline(always)]
    fn established<const TCP: bool>(&self, now: Now, frame: &PlainFrame<'_>, zone: u16) -> Option<Tracked> {
        let (kind, summed) = read::<TCP>(frame)?;
        let headers = frame.headers;
        let place = self.place_v4(headers, zone);
        let mut shard = self.shard(place.shard)?;
        let (conn, side) = shard.find_v4(place.tag, headers, zone)?;
        let entry = shard.v4_mut(conn)?;
        let now_ms = now.mono.as_millis();
        if entry.body.expires <= now_ms || entry.body.is_helped() {
            return None;
        }
        let Standing::Part(state, timeout) = judge(&mut entry.body, &kind, side, self.seq_check()) else {
            // The packet begins another, as the first of which it is seen next.
            self.end(shard, conn, now);
            return None;
        };
        let body = &mut entry.body;
        body.count(side, frame.len);
        if let Some(timeout) = timeout {
            body.expires = self.deadline(now_ms, body.policy, timeout);
        }
        let tracked = Tracked {
            state: TRK | state,
            zone,
            mark: body.mark,
            label: body.label_words(),
            note: u64::from(body.generation) << 32 | u64::from(conn.number()),
            orig: entry.orig_v4(),
        };
        shard.count_verified(summed);
        drop(shard);
        if state & INV != 0 {
            self.counters.add(Counter::Invalid);
        }
        Some(tracked)
    }
}

/// Reads what the key does not tell, and verifies checksums: the kind, and whether the transport's was summed. `None`
/// for what cannot be tracked.
#[inline(always)]
fn read<const TCP: bool>(frame: &PlainFrame<'_>) -> Option<(Kind, bool)> {
    let (head, h) = (frame.head, frame.headers);
    let (network, segment) = head.get(h.l4.checked_sub(ipv4::HEADER_LEN)?..)?.split_first_chunk()?;
    if !checksum::is_right(network) || frame.l4_checksum == L4Checksum::Bad {
        return None;
    }
    let len = h.end.checked_sub(h.l4)?;
    let (segment, whole) = segment.get(..len).map_or((segment, false), |segment| (segment, true));
    let (kind, has_sum) = if TCP {
        (Kind::Tcp(TcpSegment::read(&TcpRef::parse(segment)?, len)?), true)
    } else {
        let header: &[u8; udp::HEADER_LEN] = segment.first_chunk()?;
        if usize::from(bytes::u16_at(header, udp::OFF_LEN)?) != len {
            return None;
        }
        (Kind::Other, bytes::u16_at(header, udp::OFF_CHECKSUM)? != 0)
    };
    let verify = frame.l4_checksum == L4Checksum::Unknown && whole && has_sum;
    let right = !verify || checksum::is_right_v4(network, segment);
    right.then_some((kind, verify))
}
