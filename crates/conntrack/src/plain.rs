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
use wire::checksum::{Sum, pseudo_v4};
use wire::tcp::TcpRef;
use wire::{bytes, ip, ipv4, udp};

use crate::action::{Commit, CtAction, CtPacket, CtVerdict, Rewrite};
use crate::counters::Counter;
use crate::extract::{Facts, Kind, Layout};
use crate::process::{Standing, judge};
use crate::table::Conntrack;
use crate::tcp::TcpSegment;
use crate::tuple::Tuple;

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
        if meta.ct_state == 0
            && meta.ct_conn == 0
            && (action.nat.is_none(), action.mark, action.label) == (true, None, None)
            && action.commit != Commit::Force
            && let Some(verdict) = match headers.proto {
                ip::PROTO_UDP => self.established::<false>(now, meta, packet, headers, action),
                ip::PROTO_TCP => self.established::<true>(now, meta, packet, headers, action),
                _ => None,
            }
        {
            return verdict;
        }
        self.process(now, meta, packet, action)
    }

    /// The same, of a live connection of TCP or else of UDP; `None`, and nothing is changed, for others.
    #[inline(always)]
    fn established<const TCP: bool>(
        &self,
        now: Now,
        meta: &mut PacketMeta,
        packet: &mut CtPacket<'_>,
        headers: &Headers,
        action: &CtAction,
    ) -> Option<CtVerdict> {
        let (kind, summed) = read::<TCP>(packet, headers)?;
        let place = self.place_v4(headers, action.zone);
        let mut shard = self.shard(place.shard)?;
        let (conn, side) = shard.find_v4(place.tag, headers, action.zone)?;
        let entry = shard.v4_mut(conn)?;
        let now_ms = now.mono.as_millis();
        if entry.body.expires <= now_ms || entry.body.is_helped() {
            return None;
        }
        let standing = judge(&mut entry.body, &kind, side, self.seq_check());
        let Standing::Part(state, timeout) = standing else {
            shard.count_verified(summed);
            self.end(shard, conn, now);
            let facts = facts(packet, headers, kind, action.zone);
            meta.clear_ct();
            meta.ct_zone = action.zone;
            return Some(self.process_new(now, meta, packet, action, &facts));
        };
        let body = &mut entry.body;
        body.count(side, packet.len);
        if let Some(timeout) = timeout {
            body.expires = self.deadline(now, body.policy, timeout);
        }
        meta.ct_state = TRK | state;
        meta.ct_zone = action.zone;
        (meta.ct_mark, meta.ct_label) = (body.mark, body.label());
        meta.ct_conn = u64::from(body.generation) << 32 | u64::from(conn.number());
        meta.ct_tuple = Some(entry.orig().to_ct_tuple());
        shard.count_verified(summed);
        drop(shard);
        if state & INV != 0 {
            self.counters.add(Counter::Invalid);
        }
        Some(CtVerdict::Pass(Rewrite::None))
    }
}

/// Whole facts, for a connection that begins.
fn facts(packet: &CtPacket<'_>, h: &Headers, kind: Kind, zone: u16) -> Facts {
    let tuple = Tuple {
        src: h.src.into(),
        dst: h.dst.into(),
        src_port: h.src_port,
        dst_port: h.dst_port,
        proto: h.proto,
        zone,
        ..Tuple::default()
    };
    Facts { tuple, layout: Layout { l3: packet.l3, l4: h.l4, end: h.end }, kind }
}

/// Reads what the key does not tell, and verifies checksums: the kind, and whether the transport's was summed. `None`
/// for what cannot be tracked.
#[inline(always)]
fn read<const TCP: bool>(packet: &CtPacket<'_>, h: &Headers) -> Option<(Kind, bool)> {
    let head: &[u8] = packet.head;
    let network: &[u8; ipv4::HEADER_LEN] = head.get(packet.l3..h.l4)?.first_chunk()?;
    if Sum::new().bytes(network).finish() != 0 || packet.l4_checksum == L4Checksum::Bad {
        return None;
    }
    let (segment, whole) = match head.get(h.l4..h.end) {
        Some(segment) => (segment, true),
        None => (head.get(h.l4..)?, false),
    };
    let len = h.end.checked_sub(h.l4)?;
    let (kind, has_sum) = if TCP {
        (Kind::Tcp(TcpSegment::read(&TcpRef::parse(segment)?, len)?), true)
    } else {
        let header: &[u8; udp::HEADER_LEN] = segment.first_chunk()?;
        if usize::from(bytes::u16_at(header, udp::OFF_LEN)?) != len {
            return None;
        }
        (Kind::Other, bytes::u16_at(header, udp::OFF_CHECKSUM)? != 0)
    };
    let verify = packet.l4_checksum == L4Checksum::Unknown && whole && has_sum;
    let right = !verify || pseudo_v4(h.src, h.dst, h.proto, len as u16).bytes(segment).finish() == 0;
    right.then_some((kind, verify))
}
